/*
 * test_wal_writer.c - wal_segment.c, wal_writer.c and wal_flight.c: invariants W1 to W6.
 *
 * The disk in memory checks throughout that no buffer changes in flight, no two writes in flight
 * overlap, nothing is written after a failed sync, and no sync is repeated.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/wal/log_fixture.h"

static const struct varve_page_trailer none;

/* The trailer of a page of the first segment as the disk has it now. */
static struct varve_page_trailer trailer_at(struct log *log, uint32_t segment, uint32_t page_no)
{
    struct varve_page_trailer t = none;
    char name[VARVE_WAL_NAME_MAX];
    const struct varve_wal_listed *const l = &log->listed[segment];
    const struct varve_page_place place = varve_wal_page_place(l->uuid, l->id, page_no);

    varve_wal_segment_name(l->id, name);
    const struct varve_file *const f = mem_disk_file(&log->disk, name);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(varve_page_classify(f->now + (size_t)page_no * 4096, &place, &t),
                     VARVE_PAGE_VALID);
    return t;
}

static void start(struct log *log, enum mem_disk_order order)
{
    log_init(log, 1);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    ck_assert_int_eq(log_segment(log), VARVE_OK);
    log->disk.order = order;
}

START_TEST(groups_are_reported_in_order_whatever_order_they_finish_in)
{
    struct log log;
    struct varve_wal_group_done done[8];

    start(&log, MEM_DISK_HELD);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_WAL_BUSY);
    ck_assert_uint_eq(log.disk.n_queue, 4); /* the header was there before */
    mem_disk_finish(&log.disk, 3, 0);
    mem_disk_finish(&log.disk, 1, 0);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 8), 0);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 0);
    mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 8), 2);
    ck_assert_uint_eq(done[0].ticket, 1);
    ck_assert_uint_eq(done[1].ticket, 2);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), done[1].lsn_end);
    mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 1), 1); /* as many as asked for */
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 1), 1);
    ck_assert_uint_eq(done[0].ticket, 4);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), varve_wal_appended_lsn(log.writer));
    log_free(&log);
}
END_TEST

START_TEST(after_a_failed_group_it_and_all_later_ones_fail_for_ever)
{
    struct log log;
    struct varve_wal_group_done done[8];

    start(&log, MEM_DISK_HELD);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    mem_disk_finish(&log.disk, 0, 0); /* group 1 */
    mem_disk_finish(&log.disk, 0, -EIO);
    mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 8), 4);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), done[0].lsn_end);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(done[i].status, i == 0 ? VARVE_OK : VARVE_EIO_SYNC);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, &log.err), VARVE_EIO_SYNC);
    ck_assert_int_eq(log.err.os_code, EIO);
    ck_assert_str_eq(log.err.file, "0000000000000001.wal");
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_EIO_SYNC);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_EIO_SYNC);
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_EIO_SYNC);
    log_free(&log);
}
END_TEST

START_TEST(an_open_group_of_a_failed_writer_is_reported_failed)
{
    struct log log;
    struct varve_wal_group_done done[8];
    struct varve_wal_record r = {.type = VARVE_WAL_NOOP, .term = 9};
    uint64_t end, ticket;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), 0);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, (struct varve_span){0}, &end, NULL), 0);
    mem_disk_finish(&log.disk, 0, -EIO);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 8), 1);
    ck_assert_int_lt(done[0].status, 0);
    ck_assert_int_lt(varve_wal_append(log.writer, &r, (struct varve_span){0}, &end, NULL), 0);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(varve_wal_reap(log.writer, true, 0, done, 8), 1);
    ck_assert_uint_eq(done[0].ticket, ticket);
    ck_assert_int_eq(done[0].status, VARVE_EIO_SYNC);
    ck_assert_uint_eq(log.disk.n_queue, 0); /* nothing was written any more */
    log_free(&log);
}
END_TEST

START_TEST(a_failed_sync_is_not_repeated)
{
    struct log log;

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    mem_disk_fail(&log.disk, MEM_DISK_SYNC, 1, 1, EIO);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_EIO_SYNC);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 0);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_EIO_SYNC);
    ck_assert_uint_eq(log.given, 1);
    log_free(&log);
}
END_TEST

START_TEST(a_partial_page_is_written_again_until_something_durable_follows)
{
    struct log log;
    struct varve_wal_counters c;

    start(&log, MEM_DISK_AT_ONCE);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
    }
    varve_wal_counters_get(log.writer, &c);
    ck_assert_uint_eq(c.rewrites, 2);
    struct varve_page_trailer t = trailer_at(&log, 0, 1);
    ck_assert_uint_eq(t.flags, VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN);
    ck_assert_uint_eq(t.used, 3 * 118);
    ck_assert_uint_eq(t.first_record, 0);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 4 * 118);
    t = trailer_at(&log, 0, 2);
    ck_assert_uint_eq(t.flags, 0);
    ck_assert_uint_eq(t.first_lsn, 3 * 118);
    varve_wal_counters_get(log.writer, &c);
    ck_assert_uint_eq(c.syncs, 2); /* the header's, and one */
    /* What was synced is not written again either. */
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    while (varve_wal_syncing(log.writer))
        (void)varve_wal_reap(log.writer, true, 0, NULL, 0);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_END);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    t = trailer_at(&log, 0, 4);
    ck_assert_uint_eq(t.flags, VARVE_PAGE_PARTIAL);
    ck_assert_uint_eq(t.durable_lsn, 5 * 118);
    log_free(&log);
}
END_TEST

START_TEST(a_page_in_flight_is_not_written_again)
{
    struct log log;
    struct varve_wal_counters c;

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    varve_wal_counters_get(log.writer, &c);
    ck_assert_uint_eq(c.rewrites, 0);
    for (int i = 0; i < 2; i++)
        mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_uint_eq(trailer_at(&log, 0, 2).first_lsn, 118);
    log_free(&log);
}
END_TEST

START_TEST(a_sync_waits_while_the_open_group_grows_the_last_page)
{
    struct log log;
    uint64_t end, ticket;
    struct varve_wal_counters c;

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, false, NULL), 0);
    ck_assert_int_eq(log_append(&log, false, 10, &end), VARVE_OK);
    ck_assert_int_eq(varve_wal_sync(log.writer, NULL), VARVE_OK);
    varve_wal_counters_get(log.writer, &c);
    ck_assert_uint_eq(c.syncs, 1); /* the header's */
    ck_assert(varve_wal_syncing(log.writer));
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    while (varve_wal_syncing(log.writer) || varve_wal_in_flight(log.writer) > 0) {
        struct varve_wal_group_done done;
        (void)varve_wal_reap(log.writer, true, 0, &done, 1);
    }
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), end);
    log_free(&log);
}
END_TEST

START_TEST(durable_lsn_waits_for_earlier_bytes_without_dsync)
{
    struct log log;
    struct varve_wal_group_done done[4];

    start(&log, MEM_DISK_HELD);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    mem_disk_finish(&log.disk, 1, 0); /* the durable one first */
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 4), 0);
    mem_disk_finish(&log.disk, 0, 0);
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 4), 1);
    ck_assert_uint_eq(done[0].ticket, 1);
    ck_assert_uint_eq(varve_wal_written_lsn(log.writer), 2 * 118);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 0);
    mem_disk_finish(&log.disk, 0, 0); /* the sync that was submitted then */
    ck_assert_int_eq(varve_wal_reap(log.writer, false, 0, done, 4), 1);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), 2 * 118);
    log_free(&log);
}
END_TEST

START_TEST(segments_are_switched_sealed_and_told)
{
    struct log log;
    struct varve_wal_seal seal;
    uint64_t id, base, next = 0, want = 1;

    start(&log, MEM_DISK_RANDOM);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(log_put(&log, i % 3 != 0, (size_t)i * 97 % 15000), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_seal(log.writer, &log.err), VARVE_OK);
    while (varve_wal_sealed(log.writer, &id, &base, &seal)) {
        ck_assert_uint_eq(id, want++);
        ck_assert_uint_eq(base, next);
        ck_assert_uint_ge(seal.lsn, base);
        next = seal.lsn;
    }
    ck_assert_uint_gt(want, 3);
    ck_assert_uint_eq(next, varve_wal_appended_lsn(log.writer));
    ck_assert_uint_eq(seal.index, 60);
    ck_assert_uint_eq(varve_wal_durable_lsn(log.writer), next);
    ck_assert_int_eq(varve_wal_seal(log.writer, &log.err), VARVE_END);
    log_free(&log);
}
END_TEST

static struct varve_wal_segment *ready_segment(struct log *log, uint64_t id)
{
    struct varve_wal_segment *segment = NULL;

    ck_assert_int_eq(varve_wal_segment_create(&log->disk.vfs, &log->heap, id, log->segment_size,
                                              true, &segment, NULL),
                     VARVE_OK);
    while (varve_wal_segment_step(segment, NULL) == VARVE_OK)
        continue;
    ck_assert(varve_wal_segment_ready(segment));
    return segment;
}

/* Its base is fixed and its header on the disk before anyone lists it; until then it can be tried
 * again, with this file or another. */
START_TEST(the_next_segment_is_durable_and_has_its_base_before_it_is_used)
{
    struct log log;
    struct varve_wal_header h;
    uint64_t base = 0, ticket, end;
    struct varve_wal_record r = {.type = VARVE_WAL_NOOP, .term = 9};

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    struct varve_wal_segment *const a = ready_segment(&log, 5), *const b = ready_segment(&log, 6);

    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), 0);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, (struct varve_span){0}, &end, NULL), 0);
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, a, &base, NULL), VARVE_WAL_FULL);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, a, &base, NULL), VARVE_OK);
    (void)varve_wal_reap(log.writer, true, 0, NULL, 0); /* the seal of the one before */
    for (uint32_t classes = MEM_DISK_WRITE; classes <= MEM_DISK_SYNC; classes *= 2) {
        struct varve_wal_segment *const c = ready_segment(&log, 7 + classes);
        mem_disk_fail(&log.disk, classes, 1, 1, EIO);
        ck_assert_int_lt(varve_wal_prepare_next(log.writer, c, &base, &log.err), 0);
        ck_assert_int_eq(log.err.os_code, EIO);
        varve_wal_segment_close(c, true);
    }
    ck_assert_int_eq(varve_wal_error(log.writer, NULL), VARVE_OK); /* nothing is lost */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_wal_prepare_next(log.writer, a, &base, NULL), VARVE_OK);
        ck_assert_uint_eq(base, end);
        ck_assert_int_eq(varve_wal_prepare_next(log.writer, b, &base, NULL), VARVE_OK);
        ck_assert_uint_eq(base, end);
    }
    const struct varve_file *const f = mem_disk_file(&log.disk, "0000000000000006.wal");
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(f->durable, VARVE_WAL_HEADER_SIZE), &h),
                     VARVE_OK);
    ck_assert_uint_eq(h.base_lsn, end);
    ck_assert_uint_eq(h.prev_final_lsn, end);
    ck_assert_uint_eq(h.prev_id, 1);
    ck_assert_uint_eq(h.base_index, 2);
    /* No position is given before the next segment is in use. */
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), 0);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, (struct varve_span){0}, &end, NULL),
                     VARVE_WAL_SEGMENT);
    varve_wal_use_next(log.writer, b);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, (struct varve_span){0}, &end, NULL), 0);
    ck_assert_uint_eq(r.lsn, base);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    varve_wal_segment_close(a, true);
    log_free(&log);
}
END_TEST

START_TEST(a_next_segment_waits_while_too_many_wait_for_their_sync)
{
    struct log log;
    uint64_t base = 0;
    int rc = VARVE_OK;

    start(&log, MEM_DISK_HELD);
    struct varve_wal_segment *last = NULL;
    for (uint64_t id = 5; rc == VARVE_OK; id++) {
        ck_assert_uint_lt(id, 12);
        last = ready_segment(&log, id);
        rc = varve_wal_prepare_next(log.writer, last, &base, NULL);
        if (rc == VARVE_OK)
            varve_wal_use_next(log.writer, last);
    }
    ck_assert_int_eq(rc, VARVE_WAL_BUSY);
    while (log.disk.n_queue > 0) {
        mem_disk_finish(&log.disk, 0, 0);
        (void)varve_wal_reap(log.writer, false, 0, NULL, 0);
    }
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, last, &base, NULL), VARVE_OK);
    varve_wal_segment_close(last, true);
    log.disk.order = MEM_DISK_AT_ONCE;
    log_free(&log);
}
END_TEST

START_TEST(an_idle_seal_is_written_once_for_what_is_new)
{
    struct log log;

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_END);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_WAL_BUSY);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    varve_wal_set_commit_lsn(log.writer, 118);
    varve_wal_set_commit_lsn(log.writer, 5); /* never back */
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    (void)varve_wal_reap(log.writer, true, 0, NULL, 0);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_END);
    const struct varve_page_trailer t = trailer_at(&log, 0, 2);
    ck_assert_uint_eq(t.flags, VARVE_PAGE_IDLE);
    ck_assert_uint_eq(t.durable_lsn, 118);
    ck_assert_uint_eq(t.commit_lsn, 118);
    log_free(&log);
}
END_TEST

START_TEST(idle_seals_leave_the_last_page_to_the_seal)
{
    struct log log;
    struct varve_wal_seal seal;
    uint64_t id, base;

    start(&log, MEM_DISK_AT_ONCE);
    for (int i = 0; i < 7; i++) { /* a page and an idle page each: pages 1 to 14 */
        ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        varve_wal_set_commit_lsn(log.writer, varve_wal_durable_lsn(log.writer));
        ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
        (void)varve_wal_reap(log.writer, true, 0, NULL, 0);
    }
    ck_assert(!varve_wal_sealed(log.writer, &id, &base, &seal));
    varve_wal_set_commit_lsn(log.writer, UINT64_MAX);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    (void)varve_wal_reap(log.writer, true, 0, NULL, 0);
    ck_assert_uint_eq(trailer_at(&log, 0, 15).flags, VARVE_PAGE_SEAL);
    ck_assert(varve_wal_sealed(log.writer, &id, &base, &seal));
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_uint_eq(trailer_at(&log, 1, 1).first_lsn, 7 * 118);
    log_free(&log);
}
END_TEST

START_TEST(limits_and_misuse_are_refused)
{
    struct log log;
    static uint8_t large[16385];
    struct varve_wal_record r = {.type = VARVE_WAL_DATA, .term = 1};
    uint64_t end, ticket;
    struct varve_wal_segment *segment;
    const struct varve_span empty = {NULL, 0};
    const uint64_t sizes[] = {65536 - 4096, 65537, (512u << 20) + 4096};

    start(&log, MEM_DISK_AT_ONCE);
    ck_assert_int_eq(varve_wal_append(log.writer, &r, empty, &end, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), 0);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), VARVE_EINVAL);
    ck_assert_int_eq(/* it takes a larger segment */
                     varve_wal_append(log.writer, &r, varve_span_of(large, sizeof large), &end,
                                      &log.err),
                     VARVE_WAL_SEGMENT);
    ck_assert_int_eq(
        varve_wal_append(log.writer, &r, (struct varve_span){large, (16u << 20) + 1}, &end, NULL),
        VARVE_ELIMIT);
    r.payload_hash = varve_wal_payload_hash(varve_span_of(large, 16384));
    ck_assert_int_eq(varve_wal_append(log.writer, &r, varve_span_of(large, 16384), &end, NULL), 0);
    const struct varve_wal_record bad[] = {
        {.type = 0, .term = 1},
        {.type = VARVE_WAL_PAD, .term = 1},
        {.type = VARVE_WAL_DATA, .term = 0},
        {.type = VARVE_WAL_DATA, .term = 1, .group = 1},
        {.type = VARVE_WAL_DATA, .term = 1, .flags = VARVE_WAL_COMPRESSED}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct varve_wal_record b = bad[i];
        ck_assert_int_eq(varve_wal_append(log.writer, &b, empty, &end, NULL), VARVE_EINVAL);
    }
    ck_assert_uint_eq(varve_wal_group_bytes(log.writer), 108 + 16384);
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, NULL), 0);
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_END);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_int_eq(
            varve_wal_segment_create(&log.disk.vfs, &log.heap, 9, sizes[i], true, &segment, NULL),
            VARVE_EINVAL);
    ck_assert_int_eq(
        varve_wal_segment_create(&log.disk.vfs, &log.heap, 9, 65536, true, &segment, NULL), 0);
    ck_assert_int_eq(varve_wal_prepare_next(log.writer, segment, &end, NULL), VARVE_EINVAL);
    varve_wal_segment_close(segment, true);
    ck_assert_ptr_null(mem_disk_file(&log.disk, "0000000000000009.wal"));
    log_free(&log);
}
END_TEST

/* One scenario: write, switch segments, sync, seal. Status of the first thing that fails. */
static varve_status scenario(struct log *log)
{
    varve_status rc = log_writer(log, NULL);

    for (int i = 0; i < 16 && rc >= 0; i++)
        rc = log_put(log, i % 2 == 0, (size_t)i * 1000);
    if (rc >= 0)
        rc = log_drain(log);
    return rc < 0 ? rc : varve_wal_seal(log->writer, &log->err);
}

START_TEST(every_operation_failed_once_is_reported_and_nothing_false_is_acknowledged)
{
    for (uint64_t n = 1;; n++) {
        struct log log;
        struct varve_wal_verdict v = {0};
        uint64_t records;

        log_init(&log, n);
        log.disk.order = MEM_DISK_RANDOM;
        mem_disk_fail(&log.disk, MEM_DISK_ANY, n, 1, EIO);
        const varve_status rc = scenario(&log);
        const uint64_t fired = log.disk.fired;
        if (fired == 0)
            ck_assert_int_eq(rc, VARVE_OK);
        else
            ck_assert_int_lt(rc, 0);
        const uint64_t durable = log.writer == NULL ? 0 : varve_wal_durable_lsn(log.writer);
        varve_wal_writer_destroy(log.writer);
        log.writer = NULL;
        mem_disk_fail(&log.disk, 0, 0, 0, 0);
        mem_disk_crash(&log.disk, true);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_msg(log_check(&log, &o, &v, &records) == VARVE_OK, "%s", log.err.message);
        ck_assert_uint_ge(v.recovered_to, durable);
        log_free(&log);
        if (fired == 0)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_writer");
    TCase *const tc = tcase_create("all");

    tcase_add_test(tc, groups_are_reported_in_order_whatever_order_they_finish_in);
    tcase_add_test(tc, after_a_failed_group_it_and_all_later_ones_fail_for_ever);
    tcase_add_test(tc, an_open_group_of_a_failed_writer_is_reported_failed);
    tcase_add_test(tc, a_failed_sync_is_not_repeated);
    tcase_add_test(tc, a_partial_page_is_written_again_until_something_durable_follows);
    tcase_add_test(tc, a_page_in_flight_is_not_written_again);
    tcase_add_test(tc, a_sync_waits_while_the_open_group_grows_the_last_page);
    tcase_add_test(tc, durable_lsn_waits_for_earlier_bytes_without_dsync);
    tcase_add_test(tc, segments_are_switched_sealed_and_told);
    tcase_add_test(tc, the_next_segment_is_durable_and_has_its_base_before_it_is_used);
    tcase_add_test(tc, a_next_segment_waits_while_too_many_wait_for_their_sync);
    tcase_add_test(tc, an_idle_seal_is_written_once_for_what_is_new);
    tcase_add_test(tc, idle_seals_leave_the_last_page_to_the_seal);
    tcase_add_test(tc, limits_and_misuse_are_refused);
    tcase_add_test(tc, every_operation_failed_once_is_reported_and_nothing_false_is_acknowledged);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
