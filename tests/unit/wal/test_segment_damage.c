/*
 * test_segment_damage.c - headers, seals and pages that are sound and do not belong where they are,
 * each clause alone; lists of segments that cannot be.
 *
 * Method: take one page out of its envelope, change it, make it sound again, so that only the clause
 * under test is left to object.
 */
#include <check.h>
#include <string.h>

#include "tests/lib/format_clause.h"
#include "tests/unit/wal/log_fixture.h"

#define CLAUSES(table) ((int)(sizeof(table) / sizeof(table)[0]))

/* `n` durable records of `size` bytes, each in pages of its own, from page 1 on. */
static void log_of(struct log *log, int n, size_t size)
{
    log_init(log, 5);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(log_put(log, true, size), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
}

/* Three records in the first segment, pages 1 to 3, and its seal; two in the second. */
static void two_segments(struct log *log)
{
    log_of(log, 3, 3000);
    ck_assert_int_eq(log_segment(log), VARVE_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(log_put(log, true, 3000), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
    log_writer_end(log);
}

/* The digest of pages [0, n) of the first segment. */
static uint64_t digest_of(struct log *log, uint32_t n)
{
    uint64_t digest = 0;

    for (uint32_t p = 0; p < n; p++)
        digest =
            varve_page_digest_add(digest, varve_page_checksum(log_file(log, 0)->now + p * 4096));
    return digest;
}

/* ------------------------------------------------------------------------------------- Headers */

static const struct {
    struct format_clause field; /* of the second segment's header */
    const char *says;           /* NULL: nothing */
} header_clause[] = {
    {{16, 8, 1, VARVE_ECORRUPT}, "not the one that is listed"},        /* uuid */
    {{48, 8, 77, VARVE_ECORRUPT}, "not the one that is listed"},       /* id */
    {{56, 8, 1u << 20, VARVE_ECORRUPT}, "not the one that is listed"}, /* size */
    {{32, 8, 1, VARVE_ECORRUPT}, "another store"},
    {{104, 8, 1ull << 40, VARVE_ECORRUPT}, "another position"}, /* base_lsn */
    {{64, 8, 9, VARVE_ECORRUPT}, "does not follow"},            /* prev_id */
    {{72, 8, 1, VARVE_ECORRUPT}, "does not follow"},            /* prev_uuid */
    {{88, 8, 1, VARVE_ECORRUPT}, "does not follow"},            /* prev_final_lsn */
    {{96, 8, 1, VARVE_ECORRUPT}, "does not follow"},            /* prev_digest */
    {{112, 8, 9, VARVE_ECORRUPT}, "does not continue"},         /* base_index */
    {{120, 8, 9, VARVE_ECORRUPT}, "does not continue"},         /* base_term */
    {{128, 8, 9, VARVE_ECORRUPT}, "does not continue"},         /* base_chain */
    {{136, 8, 9, VARVE_ECORRUPT}, "does not continue"},         /* base_hlc */
    {{0, 1, 'X', VARVE_ECORRUPT}, "does not hold"},             /* magic */
    {{168, 1, 1, VARVE_ECORRUPT}, "does not hold"},             /* reserved */
    {{8, 2, 2, VARVE_EVERSION}, "newer format"},                /* major */
    {{144, 8, 1, VARVE_EVERSION}, "newer format"},              /* a feature readers must know */
    {{152, 8, 1, VARVE_EVERSION}, "can only be read"},          /* one that writers must know */
    {{160, 8, 1, VARVE_OK}, NULL},                              /* one that nobody must */
    {{10, 2, 3, VARVE_OK}, NULL},                               /* minor */
};

START_TEST(a_header_says_what_the_list_and_the_log_before_it_say)
{
    struct log log;
    struct varve_wal_verdict v = {0};
    struct varve_page_trailer trailer;
    uint64_t n;

    two_segments(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    o.writes = true;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 5);
    uint8_t *const page = log_page_open(&log, 1, 0, &trailer);
    format_clause_write(&header_clause[_i].field, page);
    log_page_seal(&log, 1, 0, &trailer);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), header_clause[_i].field.expect);
    if (header_clause[_i].says != NULL) {
        ck_assert_ptr_nonnull(strstr(log.err.message, header_clause[_i].says));
        ck_assert_str_eq(log.err.file, "0000000000000002.wal");
    }
    if (header_clause[_i].field.expect == VARVE_ECORRUPT)
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
    o.writes = false; /* who only reads need not know what a writer must */
    if (header_clause[_i].field.offset == 152)
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    log_free(&log);
}
END_TEST

START_TEST(a_header_page_is_one_and_stands_where_it_says)
{
    static const struct {
        uint16_t flags;
        uint64_t ahead; /* of its first_lsn */
        const char *says;
    } row[] = {{VARVE_PAGE_HEADER, 0, NULL},
               {VARVE_PAGE_HEADER, 1, "another position"},
               {VARVE_PAGE_IDLE, 0, "not a header page"},
               {0, 0, "not a header page"}};

    for (int i = 0; i < CLAUSES(row); i++) {
        struct log log;
        struct varve_wal_verdict v;
        struct varve_page_trailer trailer;
        uint64_t n;

        two_segments(&log);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        (void)log_page_open(&log, 1, 0, &trailer);
        trailer.flags = row[i].flags;
        trailer.first_lsn += row[i].ahead;
        log_page_seal(&log, 1, 0, &trailer);
        const varve_status rc = log_check(&log, &o, &v, &n);
        ck_assert_int_eq(rc, row[i].says == NULL ? VARVE_OK : VARVE_ECORRUPT);
        if (row[i].says != NULL) {
            ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
            ck_assert_ptr_nonnull(strstr(log.err.message, row[i].says));
        }
        log_free(&log);
    }
}
END_TEST

/* -------------------------------------------------------------------------- Seals, idle seals */

/* Fields 0 to 5 of the payload; 6 and 7: a byte too few, too many. */
START_TEST(a_control_page_says_what_was_read_before_it)
{
    for (int field = 0; field < 8; field++) {
        struct log log;
        struct varve_wal_verdict v;
        struct varve_page_trailer trailer;
        uint64_t n;

        log_of(&log, 2, 3000);
        if (_i == 0)
            ck_assert_int_eq(varve_wal_idle_seal(log.writer, &log.err), VARVE_OK);
        else
            ck_assert_int_eq(varve_wal_seal(log.writer, &log.err), VARVE_OK);
        log_writer_end(&log);
        uint8_t *const page = log_page_open(&log, 0, 3, &trailer);
        ck_assert_uint_eq(trailer.flags, _i == 0 ? VARVE_PAGE_IDLE : VARVE_PAGE_SEAL);
        if (field < 6)
            page[8 * field] ^= 1;
        else
            trailer.used = field == 6 ? VARVE_WAL_SEAL_SIZE - 1 : VARVE_WAL_SEAL_SIZE + 1;
        log_page_seal(&log, 0, 3, &trailer);
        struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
        ck_assert_uint_eq(v.page_offset, 3 * 4096);
        ck_assert_ptr_nonnull(strstr(log.err.message, "does not belong here"));
        o.cut_rot = true;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_uint_eq(n, 2);
        log_free(&log);
    }
}
END_TEST

START_TEST(a_seal_that_lies_is_none_and_the_next_header_vouches)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer;
    uint64_t n;

    two_segments(&log);
    log_page_open(&log, 0, 4, &trailer)[8] ^= 1;
    ck_assert_uint_eq(trailer.flags, VARVE_PAGE_SEAL);
    log_page_seal(&log, 0, 4, &trailer);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 5);
    ck_assert_uint_eq(v.damaged_seals, 1);
    log_free(&log);
}
END_TEST

START_TEST(a_sealed_segment_is_as_the_list_says)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_wal_seal seal;
    uint64_t n, id, base;

    log_of(&log, 3, 3000);
    ck_assert_int_eq(varve_wal_seal(log.writer, &log.err), VARVE_OK);
    ck_assert(varve_wal_sealed(log.writer, &id, &base, &seal));
    log_writer_end(&log);
    log.listed[0].sealed = true;
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    for (uint64_t i = 0; i < 3; i++) {
        log.listed[0].final_lsn = seal.lsn - (i == 1);
        log.listed[0].digest = seal.digest ^ (i == 2);
        ck_assert_int_eq(log_check(&log, &o, &v, &n), i == 0 ? VARVE_OK : VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, i == 0 ? VARVE_WAL_CLEAN_END : VARVE_WAL_REFUSE_CHAIN);
    }
    log_free(&log);
}
END_TEST

/* --------------------------------------------------------------------------------- Data pages */

/* The last of three pages with another position, of another kind, or empty. */
START_TEST(a_page_that_belongs_elsewhere_is_rot)
{
    static const struct {
        int64_t ahead;
        uint16_t flags;
        bool empty;
    } row[] = {{1, 0, false},
               {-1, 0, false},
               {0, VARVE_PAGE_HEADER, false},
               {0, VARVE_PAGE_IDLE, false},
               {0, 0, true}};
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer;
    uint64_t n;

    log_of(&log, 3, 3000);
    log_writer_end(&log);
    (void)log_page_open(&log, 0, 3, &trailer);
    trailer.first_lsn += (uint64_t)row[_i].ahead;
    trailer.flags = row[_i].flags;
    if (row[_i].empty)
        trailer.used = 0;
    if (row[_i].empty || row[_i].flags != 0)
        trailer.first_record = VARVE_PAGE_NO_RECORD;
    log_page_seal(&log, 0, 3, &trailer);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
    ck_assert_int_eq(v.page_class, VARVE_PAGE_ROT);
    ck_assert_uint_eq(v.page_offset, 3 * 4096);
    ck_assert_ptr_nonnull(
        strstr(log.err.message, row[_i].ahead != 0 ? "another position" : "does not belong here"));
    o.cut_rot = true;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 2);
    log_free(&log);
}
END_TEST

/* The write that made a partial page longer is lost, the page that it went on in is not. */
START_TEST(a_lost_longer_version_of_a_page_is_torn)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer;
    uint8_t shorter[4096];
    uint64_t n;

    log_init(&log, 6);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(log_put(&log, false, 10), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    memcpy(shorter, log_file(&log, 0)->now + 4096, sizeof shorter);
    ck_assert_int_eq(log_put(&log, false, 5000), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    log_writer_end(&log);
    memcpy(log_file(&log, 0)->now + 4096, shorter, sizeof shorter);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
    ck_assert_int_eq(v.page_class, VARVE_PAGE_TORN);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(v.recovered_to, 118);
    ck_assert_uint_eq(v.cut_lsn_end, 118 + 108 + 5000);
    /* Versions only grow: a page from further back is not what follows a partial one. */
    (void)log_page_open(&log, 0, 2, &trailer);
    trailer.first_lsn = 100;
    log_page_seal(&log, 0, 2, &trailer);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
    log_free(&log);
}
END_TEST

/* Write a control page that is right about everything before it. */
static void control_put(struct log *log, uint32_t page_no, uint16_t flag,
                        struct varve_wal_seal seal)
{
    const struct varve_page_trailer trailer = {.first_lsn = seal.lsn,
                                               .used = VARVE_WAL_SEAL_SIZE,
                                               .flags = flag,
                                               .first_record = VARVE_PAGE_NO_RECORD};

    seal.digest = digest_of(log, page_no);
    varve_wal_seal_encode(&seal, log_file(log, 0)->now + (size_t)page_no * 4096);
    log_page_seal(log, 0, page_no, &trailer);
}

START_TEST(a_record_is_not_interrupted_by_a_control_page)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_page_trailer trailer[2];
    uint64_t n;

    log_of(&log, 1, 9000); /* pages 1 to 3 */
    log_writer_end(&log);
    (void)log_page_open(&log, 0, 2, &trailer[0]);
    (void)log_page_open(&log, 0, 3, &trailer[1]);
    uint8_t *const now = log_file(&log, 0)->now;
    memmove(now + 3 * 4096, now + 2 * 4096, 2 * 4096); /* they make room for it */
    log_page_seal(&log, 0, 3, &trailer[0]);
    log_page_seal(&log, 0, 4, &trailer[1]);
    control_put(&log, 2, VARVE_PAGE_IDLE, (struct varve_wal_seal){.lsn = VARVE_PAGE_PAYLOAD});
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
    ck_assert_uint_eq(v.page_offset, 2 * 4096);
    ck_assert_uint_eq(v.recovered_to, 0);
    log_free(&log);
}
END_TEST

/* Or reading would run over the end of the file. */
START_TEST(the_last_page_of_a_segment_is_its_seal)
{
    static const uint16_t kind[] = {VARVE_PAGE_SEAL, VARVE_PAGE_IDLE, 0};

    for (int i = 0; i < CLAUSES(kind); i++) {
        struct log log;
        struct varve_wal_verdict v;
        struct varve_page_trailer trailer;
        uint64_t n;

        log_of(&log, 14, 3000); /* pages 1 to 14 */
        log_writer_end(&log);
        ck_assert_uint_eq(log.n_listed, 1);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_uint_eq(n, 14);
        if (kind[i] == 0) {
            uint8_t *const page = log_page_open(&log, 0, 14, &trailer);
            memcpy(page + 4096, page, 4096);
            trailer.first_lsn = v.recovered_to;
            log_page_seal(&log, 0, 15, &trailer);
        } else {
            control_put(&log, 15, kind[i],
                        (struct varve_wal_seal){.lsn = v.recovered_to,
                                                .index = v.index,
                                                .term = v.term,
                                                .chain = v.chain,
                                                .hlc = v.hlc});
        }
        const bool sealed = kind[i] == VARVE_PAGE_SEAL;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), sealed ? VARVE_OK : VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, sealed ? VARVE_WAL_CLEAN_END : VARVE_WAL_REFUSE_AMBIGUOUS);
        if (!sealed)
            ck_assert_ptr_nonnull(strstr(log.err.message, "does not belong here"));
        log_free(&log);
    }
}
END_TEST

/* ----------------------------------------------------------------------------- Lists, evidence */

START_TEST(a_list_of_segments_that_cannot_be_is_refused)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    two_segments(&log);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    const struct varve_wal_listed good = log.listed[1];
    for (int i = 0; i < 5; i++) {
        log.listed[1] = good;
        if (i == 0)
            log.listed[1].id = 0;
        if (i == 1)
            log.listed[1].size += 512; /* not whole pages */
        if (i == 2)
            log.listed[1].size = VARVE_WAL_SEGMENT_MAX + 4096u;
        if (i == 3)
            log.listed[1].size = 2 * 4096;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), i == 4 ? VARVE_OK : VARVE_EINVAL);
    }
    log_free(&log);
}
END_TEST

START_TEST(a_log_without_segments_is_whole_unless_the_manifest_knows_of_more)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_init(&log, 7);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_int_eq(v.kind, VARVE_WAL_CLEAN_END);
    ck_assert_uint_eq(v.segment_id, 0);
    o.durable_lsn = 100;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
    ck_assert_str_eq(log.err.file, "");
    ck_assert_uint_eq(log.err.lsn_end, 100);
    struct varve_wal_reader *reader = NULL; /* without a place for the verdict and the error */
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, NULL), VARVE_ECORRUPT);
    ck_assert_ptr_null(reader);
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("segment_damage");
    TCase *const tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_header_says_what_the_list_and_the_log_before_it_say, 0,
                        CLAUSES(header_clause));
    tcase_add_test(tc, a_header_page_is_one_and_stands_where_it_says);
    tcase_add_loop_test(tc, a_control_page_says_what_was_read_before_it, 0, 2);
    tcase_add_test(tc, a_seal_that_lies_is_none_and_the_next_header_vouches);
    tcase_add_test(tc, a_sealed_segment_is_as_the_list_says);
    tcase_add_loop_test(tc, a_page_that_belongs_elsewhere_is_rot, 0, 5);
    tcase_add_test(tc, a_lost_longer_version_of_a_page_is_torn);
    tcase_add_test(tc, a_record_is_not_interrupted_by_a_control_page);
    tcase_add_test(tc, the_last_page_of_a_segment_is_its_seal);
    tcase_add_test(tc, a_list_of_segments_that_cannot_be_is_refused);
    tcase_add_test(tc, a_log_without_segments_is_whole_unless_the_manifest_knows_of_more);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
