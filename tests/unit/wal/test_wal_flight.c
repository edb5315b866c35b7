/*
 * test_wal_flight.c - the log's writer at its edges: full slots, large groups, exact pages, failures
 * that come late or twice, syncs that wait, segments that are told.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/lib/fault.h"
#include "tests/unit/wal/log_fixture.h"

#define RECORD 118u /* bytes of a record with a payload of 10 */

static void start(struct log *log, enum mem_disk_order order)
{
    log_init(log, 41);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    ck_assert_int_eq(log_segment(log), VARVE_OK);
    log->disk.order = order;
}

static int reap(struct log *log)
{
    struct varve_wal_group_done done[8];
    const int n = varve_wal_reap(log->writer, false, 0, done, 8);

    for (int i = 0; i < n; i++)
        log->given += done[i].status == VARVE_OK;
    return n;
}

/* Let the oldest operation in flight complete, and take note. */
static int finish(struct log *log, int64_t result)
{
    mem_disk_finish(&log->disk, 0, result);
    return reap(log);
}

static struct varve_wal_segment *ready_segment(struct log *log)
{
    struct varve_wal_segment *segment = NULL;

    ck_assert_int_eq(varve_wal_segment_create(&log->disk.vfs, &log->heap, log->next_id++,
                                              log->segment_size, true, &segment, NULL),
                     VARVE_OK);
    while (varve_wal_segment_step(segment, NULL) == VARVE_OK)
        continue;
    return segment;
}

/* A next segment that the list of the fixture does not know. */
static void segment_next(struct log *log)
{
    struct varve_wal_segment *const segment = ready_segment(log);
    uint64_t base;

    ck_assert_int_eq(varve_wal_prepare_next(log->writer, segment, &base, &log->err), VARVE_OK);
    varve_wal_use_next(log->writer, segment);
}

static void records_check(struct log *log, uint64_t want)
{
    struct varve_wal_verdict v;
    uint64_t n;

    log_writer_end(log);
    const struct varve_wal_reader_options o = log_reader_options(log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, want);
}

/* ------------------------------------------------------------------------------------- Options */

START_TEST(options_are_checked_and_obeyed)
{
    struct log log;
    struct varve_wal_start where = {.base_lsn = 10};
    uint64_t end, ticket;

    log_init(&log, 42);
    struct varve_wal_options o = {.vfs = &log.disk.vfs, .heap = &log.heap};
    for (int i = 0; i < 4; i++) {
        o.depth = i == 0 ? VARVE_WAL_DEPTH_MAX + 1 : 1;
        o.group_bytes = i == 1 ? (1u << 20) + 1 : 2 * RECORD;
        where.prev_final_lsn = i == 2 ? 11 : 10;
        ck_assert_int_eq(varve_wal_writer_create(&o, &where, &log.writer, &log.err),
                         i == 3 ? VARVE_OK : VARVE_EINVAL);
    }
    ck_assert_uint_eq(varve_wal_current_segment(log.writer, &end), 0);
    ck_assert_int_eq(log_segment(&log), VARVE_OK);
    ck_assert_uint_eq(varve_wal_current_segment(log.writer, &end), 1);
    ck_assert_uint_eq(end, 10);
    log.disk.order = MEM_DISK_HELD;
    struct varve_wal_record r = {.type = VARVE_WAL_NOOP, .term = 1};
    const struct varve_span empty = {NULL, 0};
    ck_assert_uint_eq(varve_wal_group_bytes(log.writer), 0);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    for (int i = 0; i < 3; i++) /* 96 bytes each: the third makes it full */
        ck_assert_int_eq(varve_wal_append(log.writer, &r, empty, &end, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, empty, &end, NULL), VARVE_WAL_FULL);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_WAL_BUSY);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    log_free(&log);
}
END_TEST

/* -------------------------------------------------------------------------------- Large, exact */

/* One group of more pages than its first buffer has, or nearly; without memory for more, nothing
 * changes. */
START_TEST(a_group_larger_than_its_first_buffer_takes_more)
{
    const uint64_t records = _i == 0 ? 17 : 60; /* of 15,108 bytes: 64 pages, 225 pages */
    struct log log;
    struct fault f;
    uint64_t end = 0, ticket;
    long failures = 0;

    log_init(&log, 43);
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&log.heap, &f.allocator, UINT64_MAX);
    log.segment_size = 4u << 20;
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(log_segment(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    for (uint64_t i = 1; i <= records; i++) {
        const uint64_t before = varve_wal_appended_lsn(log.writer);
        const long calls = fault_calls(&f);
        for (long n = 0;; n++) {
            f.at = fault_calls(&f) + n;
            const varve_status rc = log_append(&log, true, 15000, &end);
            if (rc == VARVE_OK)
                break;
            failures++;
            ck_assert_int_eq(rc, VARVE_ENOMEM);
            ck_assert_uint_eq(varve_wal_appended_lsn(log.writer), before);
            ck_assert_uint_eq(varve_wal_last_index(log.writer), i - 1);
        }
        ck_assert_int_le(fault_calls(&f) - calls, 5);
    }
    f.at = FAULT_NEVER;
    ck_assert_int_eq(failures, 2); /* the buffer, and what holds it */
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_uint_eq(log.durable_end, records * 15108);
    records_check(&log, records);
    log_free(&log);
}
END_TEST

/* Records that end with their page: the next one begins the next, in the same group or another. */
START_TEST(a_page_that_is_filled_exactly_is_final)
{
    struct log log;
    uint64_t end, ticket;
    struct varve_page_trailer t;

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(log_put(&log, false, VARVE_PAGE_PAYLOAD - 108), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    (void)log_page_open(&log, 0, 1, &t);
    ck_assert_uint_eq(t.used, VARVE_PAGE_PAYLOAD);
    ck_assert_uint_eq(t.flags, 0);
    ck_assert_int_eq(varve_wal_begin(log.writer, false, NULL), VARVE_OK);
    ck_assert_int_eq(log_append(&log, false, VARVE_PAGE_PAYLOAD - 108, &end), VARVE_OK);
    ck_assert_int_eq(log_append(&log, false, 10, &end), VARVE_OK);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    (void)log_page_open(&log, 0, 2, &t);
    ck_assert_uint_eq(t.first_record, 0);
    ck_assert_uint_eq(t.flags, 0);
    (void)log_page_open(&log, 0, 3, &t);
    ck_assert_uint_eq(t.first_record, 0);
    ck_assert_uint_eq(t.used, RECORD);
    ck_assert_uint_eq(t.flags, VARVE_PAGE_PARTIAL);
    records_check(&log, 3);
    log_free(&log);
}
END_TEST

START_TEST(a_group_ends_with_its_segment)
{
    struct log log;
    struct varve_wal_record r = {.type = VARVE_WAL_DATA, .term = 1};
    static const uint8_t payload[16000];
    uint64_t end, ticket;
    int n = 0, rc;

    start(&log, MEM_DISK_AT_ONCE);
    const struct varve_span span = varve_span_of(payload, sizeof payload);
    r.payload_hash = varve_wal_payload_hash(span);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    while ((rc = varve_wal_append(log.writer, &r, span, &end, NULL)) == VARVE_OK)
        n++;
    ck_assert_int_eq(rc, VARVE_WAL_FULL);
    ck_assert_int_eq(n, 3); /* 14 pages of 4,032 bytes */
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, span, &end, NULL), VARVE_WAL_SEGMENT);
    log_free(&log);
}
END_TEST

/* ------------------------------------------------------------------------------------ Slots */

/* Seals and idle seals take slots as groups do: when there is none, come again. */
START_TEST(without_a_free_slot_the_log_is_busy)
{
    struct log log;
    uint64_t base;

    for (int begin = 0; begin < 2; begin++) {
        start(&log, MEM_DISK_AT_ONCE);
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        log.disk.order = MEM_DISK_HELD;
        ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK); /* slot 1 */
        segment_next(&log);                                                /* its seal: slot 2 */
        struct varve_wal_segment *const last = ready_segment(&log);
        if (begin != 0) {
            for (int i = 0; i < 3; i++) /* slots 3 to 5 */
                ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
            ck_assert_int_eq(varve_wal_prepare_next(log.writer, last, &base, NULL), VARVE_OK);
            ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_WAL_BUSY);
        } else {
            for (int i = 0; i < 4; i++) /* slots 3 to 6 */
                ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
            ck_assert_int_eq(varve_wal_prepare_next(log.writer, last, &base, NULL), VARVE_WAL_BUSY);
        }
        while (log.disk.n_queue > 0)
            (void)finish(&log, 0);
        ck_assert_int_eq(varve_wal_prepare_next(log.writer, last, &base, NULL), VARVE_OK);
        ck_assert_uint_eq(base, (uint64_t)(begin != 0 ? 4 : 5) * RECORD);
        varve_wal_segment_close(last, true);
        log.disk.order = MEM_DISK_AT_ONCE;
        log_free(&log);
    }
}
END_TEST

/* ----------------------------------------------------------------------------------- Failures */

START_TEST(the_first_error_is_the_one_that_is_kept)
{
    struct log log;

    start(&log, MEM_DISK_HELD);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    mem_disk_finish(&log.disk, 0, -ENOSPC);
    mem_disk_finish(&log.disk, 0, -EIO);
    ck_assert_int_eq(reap(&log), 2);
    ck_assert_uint_eq(log.given, 0);
    ck_assert_int_eq(varve_wal_error(log.writer, &log.err), VARVE_EIO_SYNC);
    ck_assert_int_eq(log.err.os_code, ENOSPC);
    log_free(&log);
}
END_TEST

START_TEST(a_write_that_ends_early_has_failed)
{
    for (int durable = 0; durable < 2; durable++) {
        struct log log;

        start(&log, MEM_DISK_HELD);
        ck_assert_int_eq(log_put(&log, durable != 0, 5000), VARVE_OK);
        ck_assert_int_eq(finish(&log, 4096), 1);
        ck_assert_uint_eq(log.given, 0);
        ck_assert_int_eq(varve_wal_error(log.writer, &log.err),
                         durable != 0 ? VARVE_EIO_SYNC : VARVE_EIO);
        ck_assert_int_eq(log.err.os_code, EIO);
        ck_assert_uint_eq(varve_wal_written_lsn(log.writer), 0);
        log_free(&log);
    }
}
END_TEST

START_TEST(a_sync_that_succeeds_after_a_failure_makes_nothing_durable)
{
    struct log log;
    struct varve_wal_seal seal;
    uint64_t id, base = 0;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK); /* once it is written */
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_uint_eq(log.disk.n_queue, 2); /* the second write, then the sync */
    ck_assert(varve_wal_syncing(log.writer));
    mem_disk_finish(&log.disk, 0, -EIO);
    mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(reap(&log), 1);
    ck_assert_uint_eq(log.given, 1);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 0);
    ck_assert(!varve_wal_syncing(log.writer)); /* nobody needs to go on reaping */
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal));
    struct varve_wal_segment *const next = ready_segment(&log);
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, next, &base, &log.err), VARVE_EIO);
    varve_wal_segment_close(next, true);
    log_free(&log);
}
END_TEST

START_TEST(a_seal_waits_for_an_idle_one_and_fails_with_it)
{
    for (int fail = 0; fail < 2; fail++) {
        struct log log;

        start(&log, MEM_DISK_AT_ONCE);
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        log.disk.order = MEM_DISK_RANDOM;
        ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
        ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_WAL_BUSY);
        if (fail != 0)
            mem_disk_fail(&log.disk, MEM_DISK_WRITE, 1, 1, EIO);
        ck_assert_int_eq(varve_wal_seal(log.writer, &log.err), fail != 0 ? VARVE_EIO_SYNC : 0);
        mem_disk_fail(&log.disk, 0, 0, 0, 0);
        if (fail == 0)
            records_check(&log, 1);
        log_free(&log);
    }
}
END_TEST

/* -------------------------------------------------------------------------- Syncs and segments */

START_TEST(an_idle_seal_waits_for_whatever_is_open_or_in_flight)
{
    struct log log;
    uint64_t ticket;

    log_init(&log, 44);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_END); /* no segment */
    ck_assert_int_eq(log_segment(&log), VARVE_OK);
    log.disk.order = MEM_DISK_HELD;
    ck_assert_int_eq(varve_wal_begin(log.writer, false, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_WAL_BUSY);
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_END);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_WAL_BUSY);
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_EINVAL);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK); /* asked for twice, done once */
    ck_assert_uint_eq(log.disk.n_queue, 1);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_WAL_BUSY);
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    while (log.disk.n_queue > 0)
        (void)finish(&log, 0);
    log.disk.order = MEM_DISK_AT_ONCE;
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_OK);
    varve_wal_set_commit_lsn(log.writer, RECORD);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_END); /* it is sealed */
    log_free(&log);
}
END_TEST

/* Only a page that the sync would cover must not be growing. */
START_TEST(a_sync_does_not_wait_for_an_open_group_on_a_page_of_its_own)
{
    struct log log;
    uint64_t end, ticket;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_OK);
    ck_assert_int_eq(log_append(&log, true, 10, &end), VARVE_OK);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), RECORD);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 2 * RECORD);
    log_free(&log);
}
END_TEST

/* Asked for while another is in flight, a sync begins when that has completed: by then the last page
 * that it would cover may be on its way to the disk again, longer. */
START_TEST(a_sync_waits_for_a_page_that_is_in_flight_again)
{
    struct log log;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK); /* a page of its own */
    mem_disk_finish(&log.disk, 1, 0);
    ck_assert_int_eq(reap(&log), 1);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    ck_assert_uint_eq(log.disk.n_queue, 1);               /* one at a time */
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK); /* into the second's page */
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), RECORD);
    ck_assert_uint_eq(log.disk.n_queue, 1); /* the third group, and no sync */
    ck_assert(varve_wal_syncing(log.writer));
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_uint_eq(log.disk.n_queue, 1);
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 3 * RECORD);
    ck_assert(!varve_wal_syncing(log.writer));
    log.disk.order = MEM_DISK_AT_ONCE;
    records_check(&log, 3);
    log_free(&log);
}
END_TEST

START_TEST(a_sync_of_a_sealed_segment_does_not_wait_for_the_open_group)
{
    struct log log;
    uint64_t end, ticket;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK); /* of the first group */
    segment_next(&log);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_uint_eq(log.disk.n_queue, 3); /* the sync, the seal, the second group */
    mem_disk_finish(&log.disk, 1, 0);
    mem_disk_finish(&log.disk, 1, 0);
    ck_assert_int_eq(reap(&log), 1);
    ck_assert_int_eq(varve_wal_begin(log.writer, false, NULL), VARVE_OK);
    ck_assert_int_eq(log_append(&log, false, 10, &end), VARVE_OK); /* into the second's page */
    ck_assert_uint_eq(log.disk.n_queue, 1);
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), RECORD);
    ck_assert_uint_eq(log.disk.n_queue, 1); /* the seal has to be durable too */
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert(!varve_wal_syncing(log.writer));
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    log.disk.order = MEM_DISK_AT_ONCE;
    ck_assert_int_eq(finish(&log, 0), 1);
    log_free(&log);
}
END_TEST

/* Sealed is told when it is durable, not when it is written; of a failed log nothing is told. */
START_TEST(a_segment_is_told_when_its_seal_is_durable)
{
    struct log log;
    struct varve_wal_seal seal = {0};
    uint64_t id = 0, base = 7;

    start(&log, MEM_DISK_HELD);
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal)); /* not sealed */
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    struct varve_wal_segment *const next = ready_segment(&log);
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, next, &base, NULL), VARVE_OK);
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal)); /* in flight */
    ck_assert_int_eq(finish(&log, 0), 1);
    ck_assert_int_eq(finish(&log, 0), 0);
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal)); /* written */
    varve_wal_use_next(log.writer, next);
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal));
    ck_assert_int_eq(finish(&log, 0), 0); /* the sync */
    ck_assert(varve_wal_sealed(log.writer, &id, &base, &seal));
    ck_assert_uint_eq(id, 1);
    ck_assert_uint_eq(base, 0);
    ck_assert_uint_eq(seal.lsn, RECORD);
    log.disk.order = MEM_DISK_AT_ONCE;
    for (int i = 0; i < 2; i++) /* the second time it is */
        ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_OK);
    ck_assert(varve_wal_sealed(log.writer, &id, &base, &seal));
    ck_assert_uint_eq(id, 2);
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal));
    ck_assert_uint_eq(varve_wal_current_segment(log.writer, &base), 0);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_END);
    ck_assert_int_eq(reap(&log), 0);
    log_free(&log);
}
END_TEST

/* ------------------------------------------------------------------------------------ Segments */

START_TEST(a_segment_on_a_disk_that_wants_more_than_page_alignment_is_made_without_direct)
{
    static const uint32_t align[] = {0, 512, 4096, 8192};

    for (int i = 0; i < 4; i++) {
        struct log log;

        log_init(&log, 45);
        log.disk.align = align[i];
        ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
        ck_assert_int_eq(log_put(&log, true, 5000), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        ck_assert(log_file(&log, 0)->direct == (align[i] <= 4096));
        ck_assert_uint_eq(log_file(&log, 0)->opened, 1);
        records_check(&log, 1);
        log_free(&log);
    }
}
END_TEST

START_TEST(a_segment_that_cannot_be_made_leaves_no_file)
{
    static const uint32_t classes[] = {MEM_DISK_RANDOM_BYTES, MEM_DISK_OPEN, MEM_DISK_OPEN};
    struct varve_wal_segment *segment = NULL;
    struct log log;

    log_init(&log, 46);
    log.disk.align = 8192;
    for (uint64_t i = 0; i < 3; i++) {
        mem_disk_fail(&log.disk, classes[i], i == 2 ? 2 : 1, 1, EMFILE);
        ck_assert_int_eq(
            varve_wal_segment_create(&log.disk.vfs, &log.heap, 1, 65536, true, &segment, &log.err),
            VARVE_EIO);
        ck_assert_ptr_null(segment);
        ck_assert_ptr_null(mem_disk_file(&log.disk, "0000000000000001.wal"));
        ck_assert_uint_eq(varve_heap_used(&log.heap), 0);
    }
    ck_assert_int_eq(
        varve_wal_segment_create(&log.disk.vfs, &log.heap, 0, 65536, true, &segment, NULL),
        VARVE_EINVAL); /* 0 is no number */
    for (int direct = 0; direct < 2; direct++) {
        ck_assert_int_eq(varve_wal_segment_create(&log.disk.vfs, &log.heap, 1, 65536, direct != 0,
                                                  &segment, &log.err),
                         VARVE_OK);
        while (varve_wal_segment_step(segment, NULL) == VARVE_OK)
            ck_assert(!varve_wal_segment_ready(segment));
        ck_assert_int_eq(varve_wal_segment_step(segment, NULL), VARVE_END); /* it stays ready */
        varve_wal_segment_close(segment, true);
    }
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_flight");
    TCase *const tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, options_are_checked_and_obeyed);
    tcase_add_loop_test(tc, a_group_larger_than_its_first_buffer_takes_more, 0, 2);
    tcase_add_test(tc, a_page_that_is_filled_exactly_is_final);
    tcase_add_test(tc, a_group_ends_with_its_segment);
    tcase_add_test(tc, without_a_free_slot_the_log_is_busy);
    tcase_add_test(tc, the_first_error_is_the_one_that_is_kept);
    tcase_add_test(tc, a_write_that_ends_early_has_failed);
    tcase_add_test(tc, a_sync_that_succeeds_after_a_failure_makes_nothing_durable);
    tcase_add_test(tc, a_seal_waits_for_an_idle_one_and_fails_with_it);
    tcase_add_test(tc, an_idle_seal_waits_for_whatever_is_open_or_in_flight);
    tcase_add_test(tc, a_sync_does_not_wait_for_an_open_group_on_a_page_of_its_own);
    tcase_add_test(tc, a_sync_waits_for_a_page_that_is_in_flight_again);
    tcase_add_test(tc, a_sync_of_a_sealed_segment_does_not_wait_for_the_open_group);
    tcase_add_test(tc, a_segment_is_told_when_its_seal_is_durable);
    tcase_add_test(tc,
                   a_segment_on_a_disk_that_wants_more_than_page_alignment_is_made_without_direct);
    tcase_add_test(tc, a_segment_that_cannot_be_made_leaves_no_file);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
