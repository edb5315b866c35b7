/*
 * test_record_damage.c - records whose pages are sound and that do not belong where they are, each
 * clause alone; pages that lie about records; reads that fail in every place; a log that changes
 * while it is read.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/wal/wal_format.h"
#include "tests/lib/format_clause.h"
#include "tests/unit/wal/log_fixture.h"

#define RECORD_BYTES(payload) (108u + (payload))

/* `n` durable records of `size` bytes, each a group, so that each begins a page. */
static void log_of(struct log *log, int n, size_t size)
{
    log_init(log, 3);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(log_put(log, true, size), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
    log_writer_end(log);
}

static struct varve_file *first_segment(struct log *log)
{
    return log_file(log, 0);
}

static void record_seal(const struct log *log, uint8_t *record, uint32_t header, uint64_t lsn)
{
    const uint64_t seed = varve_place_seed(log->listed[0].uuid, VARVE_WAL_KIND_RECORD, lsn);

    varve_put_u32(record, varve_crc32c(record + 4, header - 4, (uint32_t)seed));
}

/* In the second of three records. What is damaged was written whole, so evidence is not asked. */
static const struct format_clause clause[] = {
    {24, 8, 2, VARVE_OK},              /* as it is: its index */
    {24, 8, 3, VARVE_ECORRUPT},        /* an index that does not follow */
    {24, 8, 1, VARVE_ECORRUPT},        /* the index before */
    {32, 8, 0, VARVE_ECORRUPT},        /* a term that goes back */
    {80, 8, 7, VARVE_ECORRUPT},        /* another chain */
    {100, 8, 7, VARVE_ECORRUPT},       /* another hash of the payload: the chain has it too */
    {4, 4, 16u << 20, VARVE_ECORRUPT}, /* longer than its segment */
    {10, 2, 94, VARVE_ECORRUPT},       /* a header of no possible size */
    {10, 2, 112, VARVE_ECORRUPT},      /* a header larger than it is: its extensions do not hold */
    {8, 1, 0, VARVE_ECORRUPT},         /* a type that does not exist */
    {16, 8, 5, VARVE_ECORRUPT},        /* the position of another record */
    {8, 1, VARVE_WAL_INGEST, VARVE_EVERSION}, /* types that this version cannot apply */
    {8, 1, 17, VARVE_EVERSION},
    {9, 1, 4 | 32, VARVE_EVERSION}, /* a flag that this version does not know */
    {12, 4, 1, VARVE_EVERSION},     /* of a group of nodes */
};

START_TEST(each_clause_of_a_record_alone)
{
    struct log log;
    struct varve_wal_verdict v = {0};
    struct varve_page_trailer trailer;
    uint64_t n;

    log_of(&log, 3, 40);
    uint8_t *page = NULL;
    uint8_t *record = NULL;
    uint32_t page_no = 0;
    /* The last page that the second record begins in; small groups share one, grown again. */
    for (uint32_t p = 1; record == NULL; p++) {
        page = log_page_open(&log, 0, p, &trailer);
        for (uint32_t at = trailer.first_record; at < trailer.used; at += RECORD_BYTES(40))
            if (varve_get_u64(page + at + 24) == 2)
                record = page + at;
        page_no = p;
    }
    const uint64_t lsn = varve_get_u64(record + 16);
    format_clause_write(&clause[_i], record);
    record_seal(&log, record, 108, lsn);
    log_page_seal(&log, 0, page_no, &trailer);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), clause[_i].expect);
    if (clause[_i].expect == VARVE_ECORRUPT) {
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
        ck_assert_uint_eq(log.err.lsn, lsn);
    }
    if (clause[_i].expect != VARVE_OK) {
        ck_assert_str_ne(log.err.file, "");
        ck_assert_uint_eq(log.err.offset, (uint64_t)page_no * VARVE_PAGE_SIZE);
    }
    log_free(&log);
}
END_TEST

/* A payload that is not the one hashed, in a record that is right about everything else. */
START_TEST(a_payload_has_its_hash)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer;
    uint64_t n;

    log_of(&log, 1, 40);
    uint8_t *const page = log_page_open(&log, 0, 1, &trailer);
    page[trailer.first_record + 108] ^= 1;
    log_page_seal(&log, 0, 1, &trailer);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
    log_free(&log);
}
END_TEST

/* first_record that is none, too late, or of a page in which none starts. */
START_TEST(a_page_knows_its_first_record)
{
    static const uint16_t wrong[] = {VARVE_PAGE_NO_RECORD, 8, 4, 0};
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer;
    uint64_t n;

    log_of(&log, 1, 9000); /* begins in page 1, goes on in 2, ends in 3 */
    const uint32_t page_no = _i < 2 ? 1 : 2;
    (void)log_page_open(&log, 0, page_no, &trailer);
    trailer.first_record = wrong[_i];
    log_page_seal(&log, 0, page_no, &trailer);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    log_free(&log);
}
END_TEST

/* A header that goes over the end of a page, or to it, and what is behind that end is lost. */
START_TEST(a_header_may_span_pages)
{
    static const uint32_t left[] = {50, 100, RECORD_BYTES(0)}; /* in its first page */
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n, ticket, end;

    log_init(&log, 4);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(log_put(&log, true, 0), VARVE_OK); /* makes the segment */
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(varve_wal_begin(log.writer, true, &log.err), VARVE_OK);
    ck_assert_int_eq(log_append(&log, true, VARVE_PAGE_PAYLOAD - left[_i] - RECORD_BYTES(0), &end),
                     VARVE_OK);
    ck_assert_int_eq(log_append(&log, true, 5000, &end), VARVE_OK); /* so much, then a page */
    ck_assert_int_eq(varve_wal_submit(log.writer, &ticket), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 3);
    uint32_t last = (uint32_t)(log.segment_size / VARVE_PAGE_SIZE) - 1; /* page that is not zero */
    while (varve_get_u16(first_segment(&log)->now + last * VARVE_PAGE_SIZE + VARVE_PAGE_PAYLOAD +
                         44) == 0)
        last--;
    const uint8_t *const begun = first_segment(&log)->now + (last - 2) * VARVE_PAGE_SIZE;
    ck_assert_uint_eq(varve_wal_record_claim(begun + VARVE_PAGE_PAYLOAD - left[_i]),
                      RECORD_BYTES(0));
    for (uint32_t p = last - 1; p <= last;
         p++) { /* without the header's end, without the payload's */
        uint8_t *const page = first_segment(&log)->now + (size_t)p * VARVE_PAGE_SIZE;
        uint8_t saved[VARVE_PAGE_SIZE];
        memcpy(saved, page, sizeof saved);
        memset(page, 0, sizeof saved);
        o.durable_lsn = 0;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        /* Zeros behind which nothing comes were never written. */
        ck_assert_int_eq(v.kind, p == last ? VARVE_WAL_CLEAN_END : VARVE_WAL_CUT);
        ck_assert_uint_eq(n, 2);
        o.durable_lsn = end;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
        memcpy(page, saved, sizeof saved);
    }
    log_free(&log);
}
END_TEST

/* The last record with these differences, right about everything else. */
static void record_replace(struct log *log, uint8_t type, uint8_t flags, int index_by, int term_by)
{
    struct varve_page_trailer trailer;
    struct varve_wal_record r, before;
    const uint8_t *const uuid = log->listed[0].uuid;
    const uint8_t *const first = log_page_open(log, 0, 1, &trailer);

    ck_assert_int_eq(
        varve_wal_record_decode(varve_span_of(first, RECORD_BYTES(0)), uuid, 0, &before), VARVE_OK);
    uint8_t *const page = log_page_open(log, 0, 2, &trailer);
    ck_assert_int_eq(
        varve_wal_record_decode(varve_span_of(page, RECORD_BYTES(0)), uuid, trailer.first_lsn, &r),
        VARVE_OK);
    r.type = type;
    r.flags = flags;
    r.index += (uint64_t)index_by;
    r.term += (uint64_t)term_by;
    r.chain = varve_wal_chain(before.chain, r.index, r.term, r.type, r.logical_hash);
    uint8_t payload[40];
    memcpy(payload, page + RECORD_BYTES(0), sizeof payload);
    const uint32_t header = varve_wal_record_encode(&r, uuid, page);
    memcpy(page + header, payload, sizeof payload);
    trailer.used = (uint16_t)(header + sizeof payload);
    log_page_seal(log, 0, 2, &trailer);
}

/* Whoever can make a chain can lie about these too. */
START_TEST(a_chain_that_agrees_excuses_no_index_and_no_term)
{
    static const struct {
        int index_by, term_by;
        const char *says;
    } row[] = {{0, 0, NULL},
               {0, 1, NULL},
               {1, 0, "index does not follow"},
               {-1, 0, "index does not follow"},
               {0, -1, "term goes back"}};

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct log log;
        struct varve_wal_reader *reader = NULL;

        log_of(&log, 2, 40);
        record_replace(&log, VARVE_WAL_DATA, 0, row[i].index_by, row[i].term_by);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err),
                         row[i].says == NULL ? VARVE_OK : VARVE_ECORRUPT);
        if (row[i].says != NULL)
            ck_assert_ptr_nonnull(strstr(log.err.message, row[i].says));
        varve_wal_reader_close(reader);
        log_free(&log);
    }
}
END_TEST

/* What cannot be applied is not passed over: the first pass says so, before anything is changed. */
START_TEST(a_record_that_cannot_be_applied_needs_a_newer_version)
{
    for (uint8_t flags = 0; flags < 3; flags++) {
        struct log log;
        struct varve_wal_verdict v;
        uint64_t n;
        const uint8_t type = (uint8_t)_i;
        const bool known = type == VARVE_WAL_DATA || type == VARVE_WAL_SCHEMA ||
                           type == VARVE_WAL_TABLE_DROP || type == VARVE_WAL_NOOP;

        log_of(&log, 2, 40);
        record_replace(&log, type, flags, 0, 0); /* 1: COMPRESSED, 2: ENCRYPTED */
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        const varve_status rc = log_check(&log, &o, &v, &n);
        ck_assert_int_eq(rc, known && flags == 0 ? VARVE_OK : VARVE_EVERSION);
        if (rc < 0) {
            struct varve_wal_reader *reader = NULL;
            ck_assert_uint_eq(log.err.lsn, RECORD_BYTES(40));
            ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), rc);
            ck_assert_ptr_null(reader);
        }
        log_free(&log);
    }
}
END_TEST

/* The manifest's state stands at the very end of a log that has another history there. */
START_TEST(the_history_is_checked_at_the_end_of_the_log_too)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_of(&log, 5, 100);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    o.start_lsn = v.recovered_to;
    o.start_index = v.index;
    o.start_term = v.term;
    o.start_chain = v.chain;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 0);
    for (int i = 0; i < 3; i++) { /* each of the three alone */
        struct varve_wal_reader_options other = o;
        other.start_index += i == 0;
        other.start_term += i == 1;
        other.start_chain += i == 2;
        ck_assert_int_eq(log_check(&log, &other, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
    }
    log_free(&log);
}
END_TEST

START_TEST(a_reader_does_what_its_mode_allows)
{
    struct log log;
    struct varve_wal_reader *reader;
    struct varve_wal_verdict v;
    uint64_t commit = 0;

    log_of(&log, 3, 100);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, NULL), VARVE_EINVAL);
    varve_wal_reader_close(reader);
    o.mode = VARVE_WAL_FOLLOW;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, NULL), VARVE_OK);
    struct varve_wal_listed bad = log.listed[0];
    bad.size += 5;
    ck_assert_int_eq(varve_wal_reader_refresh(reader, &bad, 1, &commit, NULL), VARVE_EINVAL);
    varve_wal_reader_close(reader);
    o.store_uuid[0] ^= 1; /* a chain that is broken does not mend */
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_ECORRUPT);
    log_free(&log);
}
END_TEST

START_TEST(a_log_that_changes_under_its_reader_is_told)
{
    struct log log;
    struct varve_wal_reader *reader;
    struct varve_wal_record record;
    struct varve_wal_verdict v;
    struct varve_span payload;
    varve_error err = {0};

    log_of(&log, 200, 3000); /* more than the reader's window holds at once */
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), VARVE_OK);
    ck_assert_uint_eq(v.records, 200);
    first_segment(&log)->now[2 * VARVE_PAGE_SIZE + 9] ^= 1;
    varve_status rc = VARVE_OK;
    uint64_t n = 0;
    while ((rc = varve_wal_reader_next(reader, &record, &payload, &err)) == VARVE_OK)
        n++;
    ck_assert_int_eq(rc, VARVE_ECORRUPT);
    ck_assert_uint_lt(n, 3);
    ck_assert_str_ne(err.file, "");
    ck_assert_ptr_nonnull(strstr(err.message, "changed"));
    ck_assert_uint_lt(err.lsn, err.lsn_end);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

/* Each read of a sound log and of one that ends in damage fails for good: an error, never an end. */
START_TEST(a_read_that_fails_is_never_the_end_of_the_log)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_of(&log, 60, 3000);
    if (_i % 2 == 1)
        memset(first_segment(&log)->now + 3 * VARVE_PAGE_SIZE, 0, VARVE_PAGE_SIZE);
    struct varve_wal_reader_options o =
        log_reader_options(&log, _i < 2 ? VARVE_WAL_RECOVERY : VARVE_WAL_FOLLOW);
    o.durable_lsn = 0;
    for (uint64_t nth = 1;; nth++) {
        struct varve_wal_reader *reader = NULL;
        uint64_t commit;
        log.disk.fired = 0;
        mem_disk_fail(&log.disk, MEM_DISK_READ | MEM_DISK_OPEN | MEM_DISK_STAT, nth, UINT64_MAX,
                      EIO);
        varve_status rc;
        if (_i < 2) {
            rc = log_check(&log, &o, &v, &n);
        } else {
            rc = varve_wal_reader_open(&o, &reader, NULL, &log.err);
            if (rc == VARVE_OK)
                rc = varve_wal_reader_refresh(reader, NULL, 0, &commit, &log.err);
            varve_wal_reader_close(reader);
        }
        if (log.disk.fired == 0)
            break;
        ck_assert_int_eq(rc, VARVE_EIO);
        ck_assert_uint_lt(nth, 1000);
    }
    mem_disk_fail(&log.disk, 0, 0, 0, 0);
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("record_damage");
    TCase *const tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, each_clause_of_a_record_alone, 0,
                        (int)(sizeof clause / sizeof clause[0]));
    tcase_add_test(tc, a_payload_has_its_hash);
    tcase_add_loop_test(tc, a_page_knows_its_first_record, 0, 4);
    tcase_add_loop_test(tc, a_header_may_span_pages, 0, 3);
    tcase_add_test(tc, a_chain_that_agrees_excuses_no_index_and_no_term);
    tcase_add_loop_test(tc, a_record_that_cannot_be_applied_needs_a_newer_version, 1,
                        VARVE_WAL_PAD);
    tcase_add_test(tc, the_history_is_checked_at_the_end_of_the_log_too);
    tcase_add_test(tc, a_reader_does_what_its_mode_allows);
    tcase_add_test(tc, a_log_that_changes_under_its_reader_is_told);
    tcase_add_loop_test(tc, a_read_that_fails_is_never_the_end_of_the_log, 0, 4);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
