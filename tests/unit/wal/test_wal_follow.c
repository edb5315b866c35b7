/*
 * test_wal_follow.c - readers of a log that is still being written, and of one on a disk that does not
 * do what is expected: pages that are half written, reads that fail for a while, files that shrink.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "tests/unit/wal/log_fixture.h"

#define RECORD 118u /* bytes of a record with a payload of 10 */

static void put(struct log *log, bool durable, size_t size)
{
    ck_assert_int_eq(log_put(log, durable, size), VARVE_OK);
    ck_assert_int_eq(log_drain(log), VARVE_OK);
    varve_wal_set_commit_lsn(log->writer, varve_wal_written_lsn(log->writer));
}

static void expect(struct varve_wal_reader *reader, uint64_t index)
{
    struct varve_wal_record r;
    struct varve_span span;
    varve_error err = {0};

    const varve_status rc = varve_wal_reader_next(reader, &r, &span, &err);
    ck_assert_msg(rc == (index == 0 ? VARVE_END : VARVE_OK), "%s", err.message);
    if (index != 0)
        ck_assert_uint_eq(r.index, index);
}

/* Three records in page 1, which grew twice; a reader that stands behind the first. */
static struct varve_wal_reader *reader_in_a_page(struct log *log)
{
    struct varve_wal_reader *reader = NULL;

    log_init(log, 31);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    put(log, false, 10);
    put(log, false, 10); /* says that the first is committed */
    const struct varve_wal_reader_options o = log_reader_options(log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log->err), VARVE_OK);
    expect(reader, 1);
    expect(reader, 0);
    put(log, false, 10);
    return reader;
}

/* The same, and a fourth record; all are synced, and the log says so. */
static struct varve_wal_reader *reader_in_a_synced_page(struct log *log)
{
    struct varve_wal_reader *const reader = reader_in_a_page(log);

    put(log, true, 10);
    ck_assert_int_eq(varve_wal_idle_seal(log->writer, &log->err), VARVE_OK);
    return reader;
}

/* How long a page stays half written, and whether a reader waits for it: the writer may have lost its
 * processor in the middle of a page. */
static const struct {
    uint64_t torn_us;
    bool waits;
} half_written[] = {{1, true}, {200000, true}, {300000, false}};

/* What was found committed is read a second time, while the writer goes on. */
START_TEST(a_page_that_is_half_written_when_it_is_read_again_is_read_once_more)
{
    struct log log;
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_record r;
    struct varve_span span;

    log_init(&log, 33);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int i = 0; i < 3; i++)
        put(&log, false, 10);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_OK);
    log.disk.torn_us = half_written[_i].torn_us;
    if (half_written[_i].waits) {
        expect(reader, 1);
        expect(reader, 2);
        expect(reader, 0);
    } else { /* nobody writes for so long */
        ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, &log.err), VARVE_ECORRUPT);
    }
    log.disk.torn_us = 0;
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* The page in which a record begins, and the one in which it ends. */
START_TEST(a_half_written_page_that_cannot_be_read_again_is_told)
{
    struct log log;
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_record r;
    struct varve_span span;
    const bool ends = _i >= 2;

    log_init(&log, 34);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    put(&log, false, 10);
    put(&log, false, 6000);
    put(&log, false, 10);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    o.salvage = _i % 2 == 1;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_OK);
    log.disk.torn_us = 1;
    log.disk.torn_page = ends ? 2 : 1;
    if (ends)
        expect(reader, 1);
    mem_disk_fail(&log.disk, MEM_DISK_READ, ends ? 1 : 2, UINT64_MAX, EIO);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, &log.err), VARVE_EIO);
    ck_assert_int_eq(log.err.os_code, EIO);
    ck_assert_uint_eq(log.disk.torn_us, 0);
    mem_disk_fail(&log.disk, 0, 0, 0, 0);
    expect(reader, ends ? 2 : 1);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* What was synced lies in a page that is written again, with more. */
START_TEST(a_page_of_synced_records_that_is_half_written_is_waited_for)
{
    struct log log;
    uint64_t commit = 0;

    struct varve_wal_reader *const reader = reader_in_a_synced_page(&log);
    log.disk.torn_us = half_written[_i].torn_us;
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err),
                     half_written[_i].waits ? VARVE_OK : VARVE_ECORRUPT);
    log.disk.torn_us = 0;
    if (half_written[_i].waits) {
        ck_assert_uint_eq(commit, 4 * RECORD);
        expect(reader, 2);
        expect(reader, 3);
        expect(reader, 4);
        expect(reader, 0);
    }
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* However the page looks in which the reader stands: it was being written. */
START_TEST(a_page_that_is_being_written_again_is_not_yet)
{
    struct log log;
    uint64_t commit = 0;
    struct varve_page_trailer t;
    uint8_t saved[4096];

    struct varve_wal_reader *const reader = reader_in_a_page(&log);
    uint8_t *const page = log_page_open(&log, 0, 1, &t);
    memcpy(saved, page, sizeof saved);
    if (_i == 0)
        page[9] ^= 1;
    if (_i == 1)
        t.first_lsn++;
    if (_i == 2) { /* shorter, and what was behind that in the next page, where it would fit */
        struct varve_page_trailer next = t;
        next.first_lsn = RECORD;
        next.used = 2 * RECORD;
        memcpy(page + 4096, page + RECORD, next.used);
        log_page_seal(&log, 0, 2, &next);
        t.used = RECORD - 1;
    }
    if (_i == 3) {
        t.flags = VARVE_PAGE_IDLE;
        t.first_record = VARVE_PAGE_NO_RECORD;
    }
    if (_i > 0)
        log_page_seal(&log, 0, 1, &t);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err), VARVE_OK);
    ck_assert_uint_eq(commit, RECORD);
    expect(reader, 0);
    memcpy(page, saved, sizeof saved);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err), VARVE_OK);
    ck_assert_uint_eq(commit, 2 * RECORD);
    expect(reader, 2);
    expect(reader, 0);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* Unless it was synced, and something says so. */
START_TEST(a_page_that_stays_broken_and_was_synced_is_damage)
{
    struct log log;
    uint64_t commit = 7;

    struct varve_wal_reader *const reader = reader_in_a_synced_page(&log);
    log_file(&log, 0)->now[4096 + 9] ^= 1;
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err), VARVE_ECORRUPT);
    ck_assert_uint_eq(commit, 7);
    ck_assert_uint_eq(log.err.offset, 4096);
    ck_assert_uint_eq(log.err.lsn_end, 4 * RECORD);
    ck_assert_uint_eq(varve_wal_reader_durable_lsn(reader), 4 * RECORD);
    log_file(&log, 0)->now[4096 + 9] ^= 1;
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err), VARVE_OK);
    ck_assert_uint_eq(commit, 4 * RECORD);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* A page that was written whole, and lies about its record: no second look helps. */
START_TEST(a_record_that_does_not_belong_is_damage_without_evidence)
{
    struct log log;
    uint64_t commit;
    struct varve_page_trailer t;

    struct varve_wal_reader *const reader = reader_in_a_page(&log);
    uint8_t *const record = log_page_open(&log, 0, 1, &t) + RECORD;
    varve_put_u64(record + 24, 7); /* another index */
    const uint64_t seed = varve_place_seed(log.listed[0].uuid, VARVE_WAL_KIND_RECORD, RECORD);
    varve_put_u32(record, varve_crc32c(record + 4, 104, (uint32_t)seed));
    log_page_seal(&log, 0, 1, &t);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err), VARVE_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(log.err.message, "index does not follow"));
    ck_assert_uint_eq(log.err.lsn, RECORD);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* Each read of a refresh fails for good: an error, and the reader can be asked again. */
START_TEST(a_refresh_that_fails_changes_nothing)
{
    struct log log;
    uint64_t commit = 0;

    struct varve_wal_reader *const reader = reader_in_a_page(&log);
    uint64_t nth = 1;
    for (;; nth++) {
        log.disk.fired = 0;
        mem_disk_fail(&log.disk, MEM_DISK_READ | MEM_DISK_OPEN | MEM_DISK_STAT, nth, UINT64_MAX,
                      EIO);
        const varve_status rc = varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err);
        if (log.disk.fired == 0)
            break;
        ck_assert_int_eq(rc, VARVE_EIO);
        ck_assert_uint_eq(varve_wal_reader_lsn(reader), RECORD);
        expect(reader, 0);
    }
    ck_assert_uint_gt(nth, 2); /* more than one was failed */
    mem_disk_fail(&log.disk, 0, 0, 0, 0);
    ck_assert_uint_eq(commit, 2 * RECORD);
    expect(reader, 2);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* It is no half-written page: salvage asks for it once more, and does not wait a quarter of a second. */
START_TEST(a_page_that_the_disk_does_not_give_back_is_asked_for_twice)
{
    struct log log;
    struct varve_wal_reader *reader = NULL;

    log_init(&log, 34);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    put(&log, true, 10);
    mem_disk_fail(&log.disk, MEM_DISK_READ, 1, UINT64_MAX, EIO);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    o.salvage = true;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_OK);
    ck_assert_uint_eq(log.disk.paused_us, 1000);
    ck_assert(varve_wal_reader_missing(reader, &log.err));
    ck_assert_int_eq(log.err.status, VARVE_EIO);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* A commit position in the gap before a segment that holds nothing yet. */
START_TEST(a_gap_that_is_committed_holds_no_record)
{
    struct log log;
    struct varve_wal_reader *reader = NULL;
    const struct varve_wal_start start = {.base_lsn = 1000};

    log_init(&log, 32);
    ck_assert_int_eq(log_writer(&log, &start), VARVE_OK);
    ck_assert_int_eq(log_segment(&log), VARVE_OK);
    varve_wal_set_commit_lsn(log.writer, 1000);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, &log.err), VARVE_OK);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_OK);
    expect(reader, 0);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* ------------------------------------------------------------------------------------ Odd disks */

/* Records of several pages in a segment larger than the reader's window. */
static struct varve_wal_reader *reader_of_a_large_segment(struct log *log, int n, bool salvage)
{
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_verdict v;

    log_init(log, 33);
    log->segment_size = 1u << 20;
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(log_put(log, true, 15000), VARVE_OK);
    ck_assert_int_eq(log_drain(log), VARVE_OK);
    log_writer_end(log);
    ck_assert_uint_eq(log->n_listed, 1);
    struct varve_wal_reader_options o = log_reader_options(log, VARVE_WAL_RECOVERY);
    o.salvage = salvage;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, &log->err), VARVE_OK);
    ck_assert_uint_eq(v.records, (uint64_t)n);
    return reader;
}

START_TEST(a_reader_goes_on_where_a_read_had_failed)
{
    struct log log;
    struct varve_wal_record r;
    struct varve_span span;
    uint64_t read = 1;
    varve_status rc;

    struct varve_wal_reader *const reader = reader_of_a_large_segment(&log, 40, _i == 1);
    expect(reader, 1); /* that reads the first pages, and some ahead */
    mem_disk_fail(&log.disk, MEM_DISK_READ, 1, UINT64_MAX, EIO);
    while ((rc = varve_wal_reader_next(reader, &r, &span, &log.err)) == VARVE_OK)
        ck_assert_uint_eq(r.index, ++read);
    ck_assert_int_eq(rc, VARVE_EIO);
    ck_assert_uint_lt(read, 20);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, &log.err), VARVE_EIO);
    ck_assert_int_eq(log.err.os_code, EIO);
    mem_disk_fail(&log.disk, 0, 0, 0, 0);
    while (read < 40)
        expect(reader, ++read);
    expect(reader, 0);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

START_TEST(a_segment_that_shrinks_under_its_reader_is_told)
{
    struct log log;
    struct varve_wal_record r;
    struct varve_span span;
    varve_status rc;

    struct varve_wal_reader *const reader = reader_of_a_large_segment(&log, 40, false);
    expect(reader, 1);
    const uint64_t size = log_file(&log, 0)->size;
    log_file(&log, 0)->size = 80 * 4096;
    while ((rc = varve_wal_reader_next(reader, &r, &span, &log.err)) == VARVE_OK)
        continue;
    ck_assert_int_eq(rc, VARVE_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(log.err.message, "cut short"));
    log_file(&log, 0)->size = size;
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* The same segment, sealed earlier: every page of it is sound. */
START_TEST(a_log_that_ends_earlier_under_its_reader_is_told)
{
    struct log log[2];
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_record r;
    struct varve_span span;

    for (int i = 0; i < 2; i++) {
        log_init(&log[i], 34);
        ck_assert_int_eq(log_writer(&log[i], NULL), VARVE_OK);
        for (int k = 0; k < 5 - 2 * i; k++)
            put(&log[i], true, 10);
        ck_assert_int_eq(varve_wal_seal(log[i].writer, &log[i].err), VARVE_OK);
        log_writer_end(&log[i]);
    }
    ck_assert_mem_eq(log[0].listed[0].uuid, log[1].listed[0].uuid, 16);
    const struct varve_wal_reader_options o = log_reader_options(&log[0], VARVE_WAL_RECOVERY);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log[0].err), VARVE_OK);
    memcpy(log_file(&log[0], 0)->now, log_file(&log[1], 0)->now, 65536);
    for (uint64_t i = 1; i <= 3; i++)
        expect(reader, i);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, &log[0].err), VARVE_ECORRUPT);
    ck_assert_str_eq(log[0].err.file, "0000000000000001.wal");
    ck_assert_uint_eq(log[0].err.lsn, 3 * RECORD);
    ck_assert_uint_eq(log[0].err.lsn_end, 5 * RECORD);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_ECORRUPT);
    varve_wal_reader_close(reader);
    log_free(&log[0]);
    log_free(&log[1]);
}
END_TEST

/* Recovery reads past the page cache where pages are aligned enough for it. */
START_TEST(a_disk_whose_direct_reads_want_more_than_a_page_is_read_without)
{
    static const uint32_t align[] = {0, 512, 4096, 8192};
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_init(&log, 35);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    put(&log, true, 5000);
    log_writer_end(&log);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    for (int i = 0; i < 4; i++) {
        log.disk.align = align[i];
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_uint_eq(n, 1);
        ck_assert(log_file(&log, 0)->read_direct == (align[i] <= 4096));
        ck_assert_uint_eq(log_file(&log, 0)->opened, 0);
    }
    mem_disk_fail(&log.disk, MEM_DISK_OPEN, 2, 1, EMFILE); /* the second try fails */
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_EIO);
    ck_assert_uint_eq(log_file(&log, 0)->opened, 0);
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_follow");
    TCase *const tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_page_that_is_being_written_again_is_not_yet, 0, 4);
    const int n = (int)(sizeof half_written / sizeof half_written[0]);
    tcase_add_loop_test(tc, a_page_that_is_half_written_when_it_is_read_again_is_read_once_more, 0,
                        n);
    tcase_add_loop_test(tc, a_page_of_synced_records_that_is_half_written_is_waited_for, 0, n);
    tcase_add_test(tc, a_page_that_the_disk_does_not_give_back_is_asked_for_twice);
    tcase_add_test(tc, a_page_that_stays_broken_and_was_synced_is_damage);
    tcase_add_test(tc, a_record_that_does_not_belong_is_damage_without_evidence);
    tcase_add_test(tc, a_refresh_that_fails_changes_nothing);
    tcase_add_test(tc, a_gap_that_is_committed_holds_no_record);
    tcase_add_loop_test(tc, a_reader_goes_on_where_a_read_had_failed, 0, 2);
    tcase_add_loop_test(tc, a_half_written_page_that_cannot_be_read_again_is_told, 0, 4);
    tcase_add_test(tc, a_segment_that_shrinks_under_its_reader_is_told);
    tcase_add_test(tc, a_log_that_ends_earlier_under_its_reader_is_told);
    tcase_add_test(tc, a_disk_whose_direct_reads_want_more_than_a_page_is_read_without);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
