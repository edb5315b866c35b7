/*
 * test_wal_reader.c - wal_scan.c, wal_reader.c and wal_recovery.c: invariants R1 to R4, verdicts on
 * damaged and cut logs, crashes, following, rewriting.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal/log_fixture.h"

/* Write `n` records of mixed sizes and policies; sealed at the end if `close`. */
static void log_make(struct log *log, uint64_t seed, int n, bool close)
{
    log_init(log, seed);
    log->disk.order = MEM_DISK_RANDOM;
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < n; i++) {
        const size_t size = varve_rng_below(&log->disk.rng, 4) == 0
                                ? varve_rng_below(&log->disk.rng, 9000)
                                : varve_rng_below(&log->disk.rng, 300);
        ck_assert_int_eq(log_put(log, varve_rng_below(&log->disk.rng, 3) != 0, size), VARVE_OK);
    }
    ck_assert_int_eq(log_drain(log), VARVE_OK);
    if (close)
        ck_assert_int_eq(varve_wal_seal(log->writer, &log->err), VARVE_OK);
}

START_TEST(what_was_written_comes_back)
{
    for (int close = 0; close < 2; close++) {
        struct log log;
        struct varve_wal_verdict v;
        uint64_t n;

        log_make(&log, 5, 120, close != 0);
        const uint64_t end = varve_wal_appended_lsn(log.writer);
        log_writer_end(&log);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_uint_eq(n, 120);
        ck_assert_int_eq(v.kind, VARVE_WAL_CLEAN_END);
        ck_assert_uint_eq(v.records, 120);
        ck_assert_uint_eq(v.recovered_to, end);
        ck_assert_uint_eq(v.index, 120);
        ck_assert_int_eq(v.hlc, 240);
        log_free(&log);
    }
}
END_TEST

START_TEST(reading_starts_where_it_is_told_and_checks_the_history_there)
{
    struct log log;
    struct varve_wal_reader *reader;
    struct varve_wal_verdict v;
    struct varve_wal_record r;
    struct varve_span span;
    uint64_t n, index = 0, lsn = 0, term = 0, chain = 0;

    log_make(&log, 6, 60, true);
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), VARVE_OK);
    while (index < 40 && varve_wal_reader_next(reader, &r, &span, NULL) == VARVE_OK) {
        index = r.index;
        term = r.term;
        chain = r.chain;
        lsn = varve_wal_reader_lsn(reader);
    }
    varve_wal_reader_close(reader);
    o.start_lsn = lsn;
    o.start_index = index;
    o.start_term = term;
    o.start_chain = chain;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 20);
    ck_assert_uint_eq(v.records, 20);
    o.start_chain ^= 1;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
    /* The manifest's state may be ahead of the log, if nothing says that more was durable. */
    o.start_lsn = v.cut_lsn_end + 100000;
    o.start_chain ^= 1;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(v.recovered_to, o.start_lsn);
    ck_assert_uint_eq(v.index, index);
    log_free(&log);
}
END_TEST

/*
 * Bits of every byte of a small log flipped, each fifteenth: never a wrong record (log_check compares each), and a verdict
 * that the rules call for: with evidence for the whole log, only flips in pages that hold nothing
 * are let pass, and a damaged seal page that the manifest does not vouch for.
 */
START_TEST(a_flipped_bit_in_any_byte_is_found_or_harmless)
{
    struct log log;
    uint64_t refused = 0, passed = 0, all = 0;

    log_init(&log, 7);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(log_put(&log, true, (size_t)i * 1500), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    const uint64_t end = varve_wal_durable_lsn(log.writer);
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    struct varve_file *const f = log_file(&log, 0);
    const uint64_t used = 4096 * 7; /* header, five pages, the idle seal */
    for (uint64_t bit = 0; bit < (used + 4096) * 8; bit += 15) {
        struct varve_wal_verdict v;
        uint64_t n;

        f->now[bit / 8] ^= (uint8_t)(1u << bit % 8);
        o.durable_lsn = bit % 2 == 0 ? end : 0;
        const varve_status rc = log_check(&log, &o, &v, &n);
        if (rc == VARVE_OK) {
            ck_assert_msg(bit / 8 >= used, "bit %lu", (unsigned long)bit);
            ck_assert_uint_eq(n, 4);
            passed++;
        } else {
            ck_assert_int_eq(rc, VARVE_ECORRUPT);
            ck_assert_str_eq(log.err.file, "0000000000000001.wal");
            ck_assert_uint_eq(log.err.offset / 4096, bit / 8 / 4096);
            refused++;
        }
        f->now[bit / 8] ^= (uint8_t)(1u << bit % 8);
        all++;
    }
    ck_assert_uint_eq(refused + passed, all);
    ck_assert_uint_gt(refused, 15000);
    log_free(&log);
}
END_TEST

START_TEST(every_truncation_of_a_listed_segment_is_refused)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_make(&log, 8, 10, false);
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    struct varve_file *const f = log_file(&log, 0);
    const uint64_t size = f->size;
    for (f->size = 0; f->size < size; f->size += f->size % 512 == 0 ? 1 : 511) {
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
    }
    f->size = size;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    f->exists = false;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
    f->exists = true;
    log_free(&log);
}
END_TEST

/* A tail without evidence: torn is cut, rot is refused or cut as asked. */
START_TEST(an_unacknowledged_tail_is_cut_if_torn_and_ambiguous_if_rotten)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_init(&log, 9);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(log_put(&log, true, 3000), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
    }
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    struct varve_file *const f = log_file(&log, 0);
    uint8_t saved[512];

    memcpy(saved, f->now + 3 * 4096 + 512, 512);
    memset(f->now + 3 * 4096 + 512, 0, 512); /* one sector of the last page lost */
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
    ck_assert_int_eq(v.page_class, VARVE_PAGE_TORN);
    ck_assert_uint_eq(v.page_offset, 3 * 4096);
    ck_assert_uint_eq(n, 2);
    o.durable_lsn = v.recovered_to + 1; /* now something says that it was acknowledged */
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
    ck_assert_uint_eq(log.err.lsn, v.recovered_to);
    ck_assert_uint_ge(log.err.lsn_end, v.recovered_to + 1);
    o.salvage = true; /* what lies before is given */
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
    ck_assert_uint_eq(n, 2);
    o.salvage = false;
    o.durable_lsn = 0;
    memcpy(f->now + 3 * 4096 + 512, saved, 512);
    f->now[3 * 4096 + 600] ^= 4;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
    ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
    o.cut_rot = true;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
    ck_assert_uint_eq(n, 2);
    log_free(&log);
}
END_TEST

/* The last page but one, and the last, of a log without other evidence; nobody sealed it. */
static void two_pages(struct log *log, struct varve_file **ret_file)
{
    log_init(log, 9);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(log_put(log, true, 3000), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
    log_writer_end(log);
    *ret_file = log_file(log, 0);
}

/* What a crash leaves of a page has no rot behind it: then not even a torn page is cut. */
START_TEST(a_torn_or_absent_page_with_rot_behind_it_is_ambiguous)
{
    for (int absent = 0; absent < 2; absent++) {
        struct log log;
        struct varve_wal_verdict v;
        struct varve_file *f;
        uint64_t n;

        two_pages(&log, &f);
        struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        memset(f->now + 2 * 4096 + 512, 0, absent != 0 ? 3584 : 512);
        if (absent != 0)
            memset(f->now + 2 * 4096, 0, 512);
        f->now[3 * 4096 + 4090] ^= 1; /* the trailer's sector too: it is no evidence */
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_AMBIGUOUS);
        ck_assert_uint_eq(v.page_class, absent != 0 ? VARVE_PAGE_ZERO : VARVE_PAGE_TORN);
        ck_assert_uint_eq(v.page_offset, 2 * 4096);
        o.cut_rot = true;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
        ck_assert_uint_eq(n, 1);
        o.cut_rot = false;
        memset(f->now + 3 * 4096 + 3584, 0, 512); /* a crash can leave this behind it */
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
        ck_assert_uint_eq(n, 1);
        log_free(&log);
    }
}
END_TEST

/* The page behind was written after the sync of the one before, and its trailer says so. */
START_TEST(the_trailer_of_a_damaged_page_is_evidence_if_its_sector_is_sound)
{
    for (int whole = 0; whole < 3; whole++) {
        struct log log;
        struct varve_wal_verdict v;
        struct varve_file *f;
        uint64_t n;

        two_pages(&log, &f);
        struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        o.cut_rot = true; /* whatever the policy: it is known to be lost */
        memset(f->now + 2 * 4096, 0, 4096);
        if (whole == 1) /* torn */
            memset(f->now + 3 * 4096 + 512, 0, 512);
        if (whole == 2) /* rotten */
            f->now[3 * 4096 + 600] ^= 4;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_DAMAGED);
        ck_assert_uint_gt(v.durable_lsn, v.recovered_to);
        log_free(&log);
    }
}
END_TEST

/* Segments begin with a header that was durable before they were listed. */
START_TEST(a_listed_segment_without_its_header_is_refused)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;
    uint8_t saved[65536];

    for (uint32_t used = 0; used < 2; used++) { /* nothing in it yet; a record */
        log_init(&log, 11);
        ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
        ck_assert_int_eq(log_put(&log, true, 3000), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        ck_assert_int_eq(log_segment(&log), VARVE_OK);
        if (used != 0)
            ck_assert_int_eq(log_put(&log, true, 3000), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        log_writer_end(&log);
        mem_disk_crash(&log.disk, true);
        ck_assert_uint_eq(log.n_listed, 2);
        struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        o.cut_rot = true;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_uint_eq(n, 1 + used);
        for (uint32_t seg = 0; seg < 2; seg++) {
            struct varve_file *const f = log_file(&log, seg);
            memcpy(saved, f->now, sizeof saved);
            for (int damage = 0; damage < 10; damage++) {
                if (damage < 8) /* a sector of it; where it was zero: no damage */
                    memset(f->now + (size_t)damage * 512, 0, 512);
                if (damage == 8) /* the page */
                    memset(f->now, 0, 4096);
                if (damage == 9) /* a file that was never used */
                    memset(f->now, 0, sizeof saved);
                const bool same = memcmp(f->now, saved, sizeof saved) == 0;
                ck_assert_int_eq(log_check(&log, &o, &v, &n), same ? VARVE_OK : VARVE_ECORRUPT);
                ck_assert(same || v.kind == VARVE_WAL_REFUSE_CHAIN);
                ck_assert(same || strstr(log.err.file, seg == 0 ? "1.wal" : "2.wal") != NULL);
                memcpy(f->now, saved, sizeof saved);
            }
        }
        /* Also when the log stops before it. */
        log_file(&log, 0)->now[4096 + 100] ^= 1;
        memset(log_file(&log, 1)->now, 0, 4096);
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
        log_free(&log);
    }
}
END_TEST

START_TEST(segments_are_read_in_the_order_of_their_base_and_no_other)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_wal_reader *reader;
    struct varve_wal_listed swapped[2], l;
    uint64_t n, commit;

    log_make(&log, 12, 60, true);
    log_writer_end(&log);
    ck_assert_uint_ge(log.n_listed, 3);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    l = log.listed[0];
    log.listed[0] = log.listed[1];
    log.listed[1] = l;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_EINVAL);
    log.listed[1] = log.listed[0];
    log.listed[0] = l;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);

    /* A longer list begins with what was known. */
    o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    o.n_segments = 2;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, NULL), VARVE_OK);
    swapped[0] = log.listed[0];
    swapped[1] = log.listed[2];
    ck_assert_int_eq(varve_wal_reader_refresh(reader, swapped, 2, &commit, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, log.listed, 1, &commit, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, log.listed, 3, &commit, NULL), VARVE_OK);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

START_TEST(foreign_swapped_and_stale_segments_break_the_chain)
{
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;

    log_make(&log, 10, 80, true);
    log_writer_end(&log);
    ck_assert_uint_ge(log.n_listed, 3);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    for (int i = 0; i < 6; i++) {
        struct varve_wal_listed saved[LOG_SEGMENTS];
        memcpy(saved, log.listed, sizeof saved);
        o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        if (i == 0) { /* one is not listed */
            memmove(log.listed + 1, log.listed + 2, (log.n_listed - 2) * sizeof saved[0]);
            o.n_segments--;
        }
        if (i == 1)
            o.store_uuid[0] = 1;
        if (i == 2)
            log.listed[1].base_lsn = 7;
        if (i == 3) {
            log.listed[1].sealed = true;
            log.listed[1].digest = 1;
        }
        if (i == 4) { /* the first is gone, and what it held is needed */
            o.segments++;
            o.n_segments--;
        }
        if (i == 5)
            o.start_index = 1;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_ECORRUPT);
        ck_assert_int_eq(v.kind, VARVE_WAL_REFUSE_CHAIN);
        memcpy(log.listed, saved, sizeof saved);
    }
    log.listed[0].size = 4096;
    o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_EINVAL);
    log_free(&log);
}
END_TEST

START_TEST(a_lost_seal_is_no_loss_when_the_next_header_vouches)
{
    struct log log;
    struct varve_wal_verdict v;
    struct varve_wal_reader *reader;
    struct varve_wal_recovered out;
    uint64_t n;

    log_make(&log, 11, 60, true);
    log_writer_end(&log);
    struct varve_file *const f = log_file(&log, 0);
    uint32_t page = 15;
    while (f->now[page * 4096 + 4092] == 0 && f->now[page * 4096 + 4032] == 0)
        page--; /* the seal is the last page that is not zero */
    f->now[page * 4096 + 3] ^= 1;
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 60);
    ck_assert_uint_eq(v.damaged_seals, 1);
    /* And recovery writes the segment anew. */
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_recover(reader, &v, log.next_id, true, &out, &log.err), VARVE_OK);
    varve_wal_reader_close(reader);
    o.segments = out.segments;
    o.n_segments = out.n_segments;
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 60);
    ck_assert_uint_eq(v.damaged_seals, 0);
    varve_wal_recovered_free(&out);
    log_free(&log);
}
END_TEST

/* Recover, exchange the list, go on writing: what was acknowledged stays for ever. */
static void recover_and_go_on(struct log *log, uint64_t *ret_n)
{
    struct varve_wal_reader_options o = log_reader_options(log, VARVE_WAL_RECOVERY);
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_recovered out;
    struct varve_wal_verdict v, again;
    uint64_t n;

    o.durable_lsn = log->durable_end;
    ck_assert_msg(log_check(log, &o, &v, ret_n) == VARVE_OK, "%s", log->err.message);
    ck_assert_uint_ge(v.recovered_to, log->durable_end);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, &log->err), VARVE_OK);
    ck_assert_msg(varve_wal_recover(reader, &v, log->next_id, true, &out, &log->err) == VARVE_OK,
                  "%s", log->err.message);
    varve_wal_reader_close(reader);
    ck_assert_uint_ge(out.start.base_lsn, v.recovered_to);
    ck_assert_uint_ge(out.start.base_lsn, v.cut_lsn_end);
    log->next_id = out.next_id;
    memcpy(log->listed, out.segments, out.n_segments * sizeof out.segments[0]);
    log->n_listed = out.n_segments;
    log->durable_end = v.recovered_to;
    o = log_reader_options(log, VARVE_WAL_RECOVERY);
    o.durable_lsn = v.recovered_to;
    ck_assert_msg(log_check(log, &o, &again, &n) == VARVE_OK, "%s", log->err.message);
    ck_assert_uint_eq(n, *ret_n);
    ck_assert_uint_eq(again.chain, v.chain);
    ck_assert_int_eq(log_writer(log, &out.start), VARVE_OK);
    varve_wal_recovered_free(&out);
}

/* Crash with groups in flight, again and again: nothing durable is lost, nothing is invented. */
static void crash_rounds(uint64_t seed, bool power, int os_share)
{
    struct log log;
    uint64_t n, before = 0;

    log_init(&log, seed);
    log.disk.order = MEM_DISK_RANDOM;
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int round = 0; round < 4; round++) {
        const uint64_t puts = varve_rng_below(&log.disk.rng, 25);
        for (uint64_t i = 0; i < puts; i++) {
            const size_t size = varve_rng_below(&log.disk.rng, 3) == 0
                                    ? varve_rng_below(&log.disk.rng, 12000)
                                    : varve_rng_below(&log.disk.rng, 200);
            const bool durable = (int)varve_rng_below(&log.disk.rng, 8) >= os_share;
            ck_assert_int_eq(log_put(&log, durable, size), VARVE_OK);
            if (varve_rng_below(&log.disk.rng, 8) == 0)
                ck_assert_int_eq(log_drain(&log), VARVE_OK);
            if (varve_rng_below(&log.disk.rng, 8) == 0)
                ck_assert_int_ge(varve_wal_idle_seal(log.writer, &log.err), 0);
        }
        const uint64_t durable = varve_wal_durable_lsn(log.writer);
        if (durable > log.durable_end)
            log.durable_end = durable;
        /* The process is gone: its writer is freed without another byte reaching the disk. */
        mem_disk_crash(&log.disk, power);
        mem_disk_fail(&log.disk, MEM_DISK_ANY, 1, UINT64_MAX, EIO);
        log_writer_end(&log);
        mem_disk_fail(&log.disk, 0, 0, 0, 0);
        recover_and_go_on(&log, &n);
        ck_assert_uint_ge(n, before);
        before = n;
    }
    log_free(&log);
}

START_TEST(crashes_lose_nothing_durable)
{
    for (uint64_t i = 0; i < 12; i++)
        crash_rounds((uint64_t)_i * 1000 + i, i % 3 != 0, (int)(i % 9));
}
END_TEST

START_TEST(a_live_log_is_followed_up_to_what_is_committed)
{
    struct log log;
    struct varve_wal_reader *reader;
    struct varve_wal_record r;
    struct varve_span span;
    uint64_t seen = 0, commit;

    log_init(&log, 12);
    log.disk.order = MEM_DISK_AT_ONCE;
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(log_segment(&log), VARVE_OK);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_END);
    for (int i = 1; i <= 60; i++) {
        ck_assert_int_eq(log_put(&log, i % 3 == 0, (size_t)i * 37), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        ck_assert_int_eq(
            varve_wal_reader_refresh(reader, log.listed, log.n_listed, &commit, &log.err),
            VARVE_OK);
        ck_assert_uint_le(commit, varve_wal_commit_lsn(log.writer));
        varve_wal_set_commit_lsn(log.writer, varve_wal_written_lsn(log.writer));
        if (i % 5 == 0) {
            ck_assert_int_ge(varve_wal_idle_seal(log.writer, &log.err), 0);
            (void)varve_wal_reap(log.writer, true, 0, NULL, 0);
        }
        ck_assert_msg(varve_wal_reader_refresh(reader, log.listed, log.n_listed, &commit,
                                               &log.err) == VARVE_OK,
                      "%s", log.err.message);
        while (varve_wal_reader_next(reader, &r, &span, &log.err) == VARVE_OK) {
            uint8_t want[4096];
            ck_assert_uint_eq(r.index, ++seen);
            log_payload(r.index, want, span.size);
            ck_assert(memcmp(want, span.data, span.size) == 0);
        }
        ck_assert_uint_le(seen, (uint64_t)i);
        if (i % 5 == 0)
            ck_assert_uint_eq(seen, (uint64_t)i);
    }
    /* A page that evidence covers and that stays broken is damage, not "not yet". */
    varve_wal_reader_close(reader);
    log_file(&log, 0)->now[2 * 4096 + 9] ^= 1;
    o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_ECORRUPT);
    log_file(&log, 0)->now[2 * 4096 + 9] ^= 1;
    log_file(&log, 1)->exists = false;
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_ESNAPSHOT);
    log_free(&log);
}
END_TEST

START_TEST(an_invalid_page_at_a_live_tail_is_not_yet)
{
    struct log log;
    struct varve_wal_reader *reader;
    struct varve_wal_record r;
    struct varve_span span;
    uint64_t commit;

    log_init(&log, 13);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    ck_assert_int_eq(log_put(&log, true, 100), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    varve_wal_set_commit_lsn(log.writer, varve_wal_durable_lsn(log.writer));
    ck_assert_int_eq(log_put(&log, true, 100), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    ck_assert_int_eq(log_put(&log, true, 100), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    log_file(&log, 0)->now[3 * 4096 + 50] ^= 1; /* half written */
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_FOLLOW);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, NULL, &log.err), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_END);
    log_file(&log, 0)->now[3 * 4096 + 50] ^= 1;
    varve_wal_set_commit_lsn(log.writer, varve_wal_durable_lsn(log.writer));
    ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_refresh(reader, NULL, 0, &commit, NULL), VARVE_OK);
    ck_assert_uint_eq(commit, varve_wal_durable_lsn(log.writer));
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_OK);
    ck_assert_uint_eq(r.index, 3);
    ck_assert_int_eq(varve_wal_reader_next(reader, &r, &span, NULL), VARVE_END);
    varve_wal_reader_close(reader);
    log_free(&log);
}
END_TEST

START_TEST(reads_are_repeated_after_eio_and_then_given_up)
{
    struct log log;
    struct varve_wal_verdict v = {0};
    uint64_t n;

    log_make(&log, 14, 5, false);
    log_writer_end(&log);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    mem_disk_fail(&log.disk, MEM_DISK_READ, 1, 2, EIO);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(v.retries, 2);
    mem_disk_fail(&log.disk, MEM_DISK_READ, 1, 5,
                  EIO); /* three of a window, two of its first page */
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(v.retries, 5);
    mem_disk_fail(&log.disk, MEM_DISK_READ, 1, 6, EIO);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_EIO);
    ck_assert_uint_eq(log.err.offset, 0);
    log_free(&log);
}
END_TEST

/* Fail the n-th operation, or the n-th allocation, of reading and recovering, until none is left. */
static varve_status read_and_recover(struct log *log)
{
    struct varve_wal_reader_options o = log_reader_options(log, VARVE_WAL_RECOVERY);
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_recovered out = {0};
    struct varve_wal_verdict v = {0};

    varve_status rc = varve_wal_reader_open(&o, &reader, &v, &log->err);
    if (rc == VARVE_OK)
        rc = varve_wal_recover(reader, &v, log->next_id, true, &out, &log->err);
    varve_wal_reader_close(reader);
    varve_wal_recovered_free(&out);
    return rc;
}

START_TEST(recovery_survives_every_failing_operation)
{
    struct log log;

    log_make(&log, 15, 40, false);
    log_writer_end(&log);
    for (uint64_t i = 1;; i++) {
        mem_disk_fail(&log.disk, MEM_DISK_ANY & ~MEM_DISK_READ, i, 1, ENOSPC);
        const varve_status rc = read_and_recover(&log);
        if (log.disk.fired == 0) {
            ck_assert_int_eq(rc, VARVE_OK);
            break;
        }
        ck_assert_int_lt(rc, 0);
        ck_assert_int_eq(log.err.status, rc);
        ck_assert_uint_eq(varve_heap_used(&log.heap), 0);
        char name[VARVE_WAL_NAME_MAX];
        varve_wal_segment_name(log.next_id, name);
        ck_assert_ptr_null(mem_disk_file(&log.disk, name));
    }
    log_free(&log);
}
END_TEST

/* More than one group of the copy has room for. The copy reads like the log that it is made of, and
 * one that a fault ends leaves nothing behind. */
START_TEST(a_copy_of_many_groups_is_the_log_or_nothing)
{
    static const uint32_t classes[] = {MEM_DISK_WRITE, MEM_DISK_SYNC, MEM_DISK_SUBMIT,
                                       MEM_DISK_REAP, MEM_DISK_ANY & ~MEM_DISK_READ};
    struct log log;
    uint64_t points = 0, n = 0;
    struct varve_wal_verdict v = {0};

    log_init(&log, 18);
    log.segment_size = 4u << 20;
    log.disk.order = MEM_DISK_RANDOM;
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int i = 0; i < 150; i++)
        ck_assert_int_eq(log_put(&log, false, 15000), VARVE_OK);
    ck_assert_int_eq(log_drain(&log), VARVE_OK);
    log_writer_end(&log);
    for (size_t c = 0; c < sizeof classes / sizeof classes[0]; c++) {
        for (uint64_t i = 1;; i += 1 + i / 8) {
            mem_disk_fail(&log.disk, classes[c], i, 1, EIO);
            const varve_status rc = read_and_recover(&log);
            char name[VARVE_WAL_NAME_MAX];
            varve_wal_segment_name(log.next_id, name);
            ck_assert_uint_eq(varve_heap_used(&log.heap), 0);
            if (log.disk.fired == 0) {
                ck_assert_int_eq(rc, VARVE_OK);
                ck_assert_ptr_nonnull(mem_disk_file(&log.disk, name));
                log.next_id++;
                break;
            }
            points++;
            ck_assert_int_eq(log.err.status, rc);
            ck_assert_int_lt(rc, 0);
            ck_assert_ptr_null(mem_disk_file(&log.disk, name));
        }
    }
    mem_disk_fail(&log.disk, 0, 0, 0, 0);
    ck_assert_uint_gt(points, 10);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_recovered out = {0};
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, &log.err), VARVE_OK);
    ck_assert_int_eq(varve_wal_recover(reader, &v, log.next_id, true, &out, &log.err), VARVE_OK);
    varve_wal_reader_close(reader);
    ck_assert_uint_eq(out.n_segments, 1);
    log.listed[0] = out.segments[0];
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 150);
    varve_wal_recovered_free(&out);
    log_free(&log);
}
END_TEST

/* A log that no verdict accepts, and one that is only followed, are not made into another. */
START_TEST(only_an_accepted_log_is_recovered)
{
    static const struct {
        uint32_t mode, kind;
    } refused[] = {{VARVE_WAL_RECOVERY, VARVE_WAL_REFUSE_DAMAGED},
                   {VARVE_WAL_FOLLOW, VARVE_WAL_CLEAN_END}};
    struct log log;

    log_make(&log, 19, 5, false);
    log_writer_end(&log);
    for (size_t i = 0; i < 2; i++) {
        const struct varve_wal_reader_options o = log_reader_options(&log, refused[i].mode);
        struct varve_wal_reader *reader = NULL;
        struct varve_wal_recovered out = {0};
        struct varve_wal_verdict v = {0};
        ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, &log.err), VARVE_OK);
        v.kind = refused[i].kind;
        ck_assert_int_eq(varve_wal_recover(reader, &v, log.next_id, true, &out, &log.err),
                         VARVE_EINVAL);
        ck_assert_ptr_null(out.segments);
        varve_wal_reader_close(reader);
    }
    log_free(&log);
}
END_TEST

struct stingy {
    varve_allocator allocator;
    uint64_t left;
    bool fired;
};

static void *stingy_alloc(void *ctx, size_t size, size_t align)
{
    struct stingy *const s = ctx;

    if (s->left == 0) {
        s->fired = true;
        return NULL;
    }
    s->left--;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void stingy_free(void *ctx, void *memory, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(memory);
}

static varve_status write_some(struct log *log)
{
    varve_status rc = log_writer(log, NULL);

    for (int i = 0; i < 8 && rc >= 0; i++)
        rc = log_put(log, i % 2 == 0, 15000);
    if (rc >= 0)
        rc = log_drain(log);
    log_writer_end(log);
    return rc;
}

START_TEST(every_failing_allocation_is_survived)
{
    for (uint64_t i = 0;; i++) {
        struct stingy s = {.allocator = {.alloc = stingy_alloc, .free = stingy_free}, .left = i};
        struct log log;

        s.allocator.ctx = &s;
        log_init(&log, 16);
        varve_heap_init(&log.heap, &s.allocator, UINT64_MAX);
        varve_status rc = write_some(&log);
        if (rc == VARVE_OK)
            rc = read_and_recover(&log);
        ck_assert_int_eq(rc, s.fired ? VARVE_ENOMEM : VARVE_OK);
        log_free(&log);
        if (!s.fired)
            break;
    }
}
END_TEST

/* The golden segment is what the first version wrote, byte for byte. */
START_TEST(golden_segment_of_version_1)
{
    static const char path[] = "tests/golden/wal/v1/segment.wal";
    struct log log;
    struct varve_wal_verdict v;
    uint64_t n;
    uint8_t *const golden = malloc(65536);

    ck_assert_ptr_nonnull(golden);
    log_init(&log, 17);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    for (int i = 0; i < 12; i++) {
        ck_assert_int_eq(log_put(&log, i % 3 == 0, (size_t)i * 300), VARVE_OK);
        ck_assert_int_eq(log_drain(&log), VARVE_OK);
        varve_wal_set_commit_lsn(log.writer, varve_wal_written_lsn(log.writer));
        if (i == 5)
            ck_assert_int_eq(varve_wal_idle_seal(log.writer, NULL), VARVE_OK);
    }
    ck_assert_int_eq(varve_wal_seal(log.writer, NULL), VARVE_OK);
    log_writer_end(&log);
    struct varve_file *const f = log_file(&log, 0);
    ck_assert_uint_eq(f->size, 65536);
    if (getenv("VARVE_GOLDEN_WRITE") != NULL) {
        FILE *const out = fopen(path, "wb");
        ck_assert_ptr_nonnull(out);
        ck_assert_uint_eq(fwrite(f->now, 1, 65536, out), 65536);
        fclose(out);
    }
    FILE *const in = fopen(path, "rb");
    ck_assert_ptr_nonnull(in);
    ck_assert_uint_eq(fread(golden, 1, 65536, in), 65536);
    fclose(in);
    ck_assert(memcmp(golden, f->now, 65536) == 0);
    memcpy(f->now, golden, 65536);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 12);
    free(golden);
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_reader");
    TCase *const tc = tcase_create("all");

    tcase_add_test(tc, what_was_written_comes_back);
    tcase_add_test(tc, reading_starts_where_it_is_told_and_checks_the_history_there);
    tcase_add_test(tc, a_flipped_bit_in_any_byte_is_found_or_harmless);
    tcase_add_test(tc, every_truncation_of_a_listed_segment_is_refused);
    tcase_add_test(tc, an_unacknowledged_tail_is_cut_if_torn_and_ambiguous_if_rotten);
    tcase_add_test(tc, a_torn_or_absent_page_with_rot_behind_it_is_ambiguous);
    tcase_add_test(tc, the_trailer_of_a_damaged_page_is_evidence_if_its_sector_is_sound);
    tcase_add_test(tc, a_listed_segment_without_its_header_is_refused);
    tcase_add_test(tc, segments_are_read_in_the_order_of_their_base_and_no_other);
    tcase_add_test(tc, foreign_swapped_and_stale_segments_break_the_chain);
    tcase_add_test(tc, a_lost_seal_is_no_loss_when_the_next_header_vouches);
    tcase_add_loop_test(tc, crashes_lose_nothing_durable, 0, 10);
    tcase_add_test(tc, a_live_log_is_followed_up_to_what_is_committed);
    tcase_add_test(tc, an_invalid_page_at_a_live_tail_is_not_yet);
    tcase_add_test(tc, reads_are_repeated_after_eio_and_then_given_up);
    tcase_add_test(tc, recovery_survives_every_failing_operation);
    tcase_add_test(tc, a_copy_of_many_groups_is_the_log_or_nothing);
    tcase_add_test(tc, only_an_accepted_log_is_recovered);
    tcase_add_test(tc, every_failing_allocation_is_survived);
    tcase_add_test(tc, golden_segment_of_version_1);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
