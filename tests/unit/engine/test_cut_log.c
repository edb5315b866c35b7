/*
 * test_cut_log.c - what a crash leaves at the end of the log and recovery cuts away: it is told, by
 * those who cut and by those who only look, and the file that held it stays until everything before the
 * cut is in table files.
 */
#include <errno.h>
#include <string.h>

#include "tests/lib/fault.h"
#include "tests/unit/engine/harm.h"

#define ROWS 20
#define SAFE (3 * ROWS) /* rows that were acknowledged as durable */

struct torn { /* a disk whose log ends in a torn page */
    struct sim_store s;
    char log[VARVE_FILE_NAME_MAX];
};

/* Rows in files, durable rows in the log, then commits of the policy `os`; a sector of the last page was
 * not written. */
static void tear(struct torn *t, uint64_t seed)
{
    struct sim_store *s = &t->s;

    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    for (int k = 2; k <= 3; k++)
        ck_assert_int_eq(sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_DURABLE_EACH), VARVE_OK);
    for (int k = 4; k <= 6; k++)
        ck_assert_int_eq(sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_OS), VARVE_OK);
    sim_store_kill(s);
    struct varve_version *const version = sim_store_listed(s);
    ck_assert_uint_ge(version->n_segments, 1);
    varve_file_name_wal(version->segments[version->n_segments - 1].id, t->log);
    varve_version_unref(version);
    s->options.flags = 0;
}

static void tear_page(struct torn *t)
{
    harm_zero_sector(&t->s, t->log, harm_pages(&t->s, t->log) - 1, 0);
}

static varve_error only_finding(struct sim_store *s, varve_finding kind)
{
    struct harm harm;

    harm_findings(s, &harm);
    ck_assert_int_eq(harm.n, 1);
    ck_assert_int_eq(harm.kinds[0], kind);
    return harm.items[0];
}

START_TEST(a_cut_is_told_with_its_range_and_file)
{
    struct torn t;
    struct sim_store *s = &t.s;

    tear(&t, 51);
    tear_page(&t);
    const uint64_t before = harm_disk_hash(s);
    s->options.flags = VARVE_OPEN_READ_ONLY; /* looks only */
    sim_store_open(s);
    const varve_error told = only_finding(s, VARVE_FOUND_CUT);
    ck_assert_str_eq(told.file, t.log);
    ck_assert_uint_gt(told.offset, 0);
    ck_assert_uint_lt(told.lsn, told.lsn_end);
    ck_assert_ptr_nonnull(strstr(told.message, "would be cut away"));
    ck_assert_ptr_nonnull(strstr(told.message, "of interval and os some may be"));
    ck_assert_int_eq(sim_store_count(s, "t"), SAFE);
    sim_store_close(s);
    ck_assert_uint_eq(harm_disk_hash(s), before);

    s->options.flags = 0;
    sim_store_open(s);
    const varve_error cut = only_finding(s, VARVE_FOUND_CUT);
    ck_assert_str_eq(cut.file, t.log);
    ck_assert_uint_eq(cut.lsn, told.lsn);
    ck_assert_uint_eq(cut.lsn_end, told.lsn_end);
    ck_assert_ptr_nonnull(strstr(cut.message, "was cut away"));
    const varve_stats stats = sim_store_stats(s);
    ck_assert_uint_eq(stats.cut_lsn, cut.lsn);
    ck_assert_uint_eq(stats.cut_lsn_end, cut.lsn_end);
    ck_assert_uint_eq(stats.cut_doubtful, 0);
    ck_assert_int_eq(sim_store_count(s, "t"), SAFE);
    sim_store_destroy(s);
}
END_TEST

/* A page that has lost its trailer says nothing of what it held: it is told all the same. */
START_TEST(a_cut_of_unknown_length_is_told)
{
    struct torn t;

    tear(&t, 52);
    harm_zero_sector(&t.s, t.log, harm_pages(&t.s, t.log) - 1, 7);
    sim_store_open(&t.s);
    const varve_error cut = only_finding(&t.s, VARVE_FOUND_CUT);
    ck_assert_uint_lt(cut.lsn, cut.lsn_end);
    sim_store_destroy(&t.s);
}
END_TEST

START_TEST(what_is_damaged_and_cut_on_request_is_called_doubtful)
{
    struct torn t;
    struct sim_store *s = &t.s;

    tear(&t, 53);
    harm_flip(s, t.log, harm_pages(s, t.log) - 1, 4040); /* in its trailer: no torn write */
    ck_assert_int_eq(sim_store_try_open(s), VARVE_ECORRUPT);
    for (int i = 0; i < 2; i++) {
        s->options.wal_tail = VARVE_WAL_TAIL_CUT;
        s->options.flags = i == 0 ? VARVE_OPEN_READ_ONLY : 0;
        sim_store_open(s);
        ck_assert_ptr_nonnull(
            strstr(only_finding(s, VARVE_FOUND_CUT).message, "may have been acknowledged"));
        ck_assert_uint_eq(sim_store_stats(s).cut_doubtful, 1);
        ck_assert_int_eq(sim_store_count(s, "t"), SAFE);
        sim_store_close(s);
    }
    sim_store_destroy(s);
}
END_TEST

START_TEST(a_clean_end_is_no_finding)
{
    struct torn t;
    struct harm harm;

    tear(&t, 54);
    for (int i = 0; i < 2; i++) {
        sim_store_open(&t.s);
        harm_findings(&t.s, &harm);
        ck_assert_int_eq(harm.n, 0);
        ck_assert_int_eq(sim_store_count(&t.s, "t"), SAFE + 3 * ROWS);
        sim_store_close(&t.s);
    }
    ck_assert(!harm_exists(&t.s, t.log)); /* copied and exchanged, and nothing of it is missing */
    sim_store_destroy(&t.s);
}
END_TEST

/* Where only an idle seal is torn nothing of the log is: there is nothing to tell or to keep. */
START_TEST(a_torn_seal_is_no_cut)
{
    struct torn t;
    struct sim_store *s = &t.s;
    struct harm harm;

    sim_store_create(s, 59);
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, SAFE, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_sim_clock_advance(s->sim, 1000000);
    sim_store_work(s);
    sim_store_kill(s);
    struct varve_version *const version = sim_store_listed(s);
    varve_file_name_wal(version->segments[version->n_segments - 1].id, t.log);
    varve_version_unref(version);
    s->options.flags = 0;
    harm_zero_sector(s, t.log, harm_pages(s, t.log) - 1, 0);
    sim_store_open(s);
    harm_findings(s, &harm);
    ck_assert_int_eq(harm.n, 0);
    ck_assert_int_eq(sim_store_count(s, "t"), SAFE);
    sim_store_destroy(s);
}
END_TEST

START_TEST(what_was_cut_stays_until_all_before_it_is_in_files)
{
    uint8_t before[4096], after[4096];
    struct torn t;
    struct sim_store *s = &t.s;

    tear(&t, 55);
    tear_page(&t);
    const uint64_t at = (uint64_t)(harm_pages(s, t.log) - 1) * sizeof before;
    ck_assert_int_eq(varve_sim_read(s->sim, t.log, at, before, sizeof before), sizeof before);
    sim_store_open(s);
    sim_store_work(s);
    ck_assert_int_eq(only_finding(s, VARVE_FOUND_CUT).status, VARVE_OK);
    sim_store_kill(s);
    for (int i = 0; i < 3; i++) { /* opens that flush nothing change nothing about it */
        sim_store_open(s);
        const varve_error kept = only_finding(s, VARVE_FOUND_KEPT);
        ck_assert_str_eq(kept.file, t.log);
        ck_assert_uint_lt(kept.lsn, kept.lsn_end);
        ck_assert_uint_eq(sim_store_stats(s).cut_lsn_end, 0);
        sim_store_close(s);
    }
    sim_store_open(s);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    sim_store_work(s);
    ck_assert_int_eq(varve_sim_read(s->sim, t.log, at, after, sizeof after), sizeof after);
    ck_assert_int_eq(memcmp(before, after, sizeof before),
                     0); /* as it was, not only of that name */
    sim_store_close(s);

    struct harm harm;
    sim_store_open(s);
    harm_findings(s, &harm);
    ck_assert_int_eq(harm.n, 0);
    ck_assert(!harm_exists(s, t.log));
    ck_assert_int_eq(sim_store_count(s, "t"), SAFE);
    sim_store_destroy(s);
}
END_TEST

static void copy_disk(struct sim_store *to, const struct torn *from)
{
    memset(to, 0, sizeof *to);
    varve_heap_init(&to->heap, NULL, UINT64_MAX);
    to->options = from->s.options;
    ck_assert_int_eq(varve_sim_clone(from->s.sim, &to->sim), 0);
    ck_assert_int_eq(varve_sim_attach(to->sim, &to->vfs), 0);
}

static void end_copy(struct sim_store *s)
{
    sim_store_close(s);
    varve_sim_destroy(s->sim);
}

/* Whatever stops the open that cuts: the next one cuts it, or finds it kept. */
START_TEST(a_cut_that_is_interrupted_is_not_forgotten)
{
    struct torn t;
    bool cut_again = false, kept = false;

    tear(&t, 56);
    tear_page(&t);
    for (uint64_t n = 1;; n++) {
        struct sim_store s;
        struct harm harm;
        copy_disk(&s, &t);
        ck_assert_int_eq(varve_sim_fault_nth(s.sim, n, true, EIO), 0);
        const varve_status rc = sim_store_try_open(&s);
        const bool struck = varve_sim_fault_hits(s.sim) > 0;
        sim_store_kill(&s);
        varve_sim_fault_clear(s.sim);
        sim_store_open(&s);
        harm_findings(&s, &harm);
        ck_assert_int_eq(harm.n, 1);
        ck_assert_str_eq(harm.items[0].file, t.log);
        ck_assert(harm_exists(&s, t.log));
        ck_assert_int_eq(sim_store_count(&s, "t"), SAFE);
        cut_again = cut_again || harm.n_cut == 1;
        kept = kept || (struck && harm.n_kept == 1);
        end_copy(&s);
        if (!struck) {
            ck_assert_int_eq(rc, VARVE_OK);
            break;
        }
    }
    ck_assert(cut_again && kept); /* both happened */
    sim_store_destroy(&t.s);
}
END_TEST

START_TEST(an_open_that_cuts_survives_every_missing_allocation)
{
    struct torn t;

    tear(&t, 57);
    tear_page(&t);
    for (long n = 0;; n++) {
        struct fault f;
        struct sim_store s;
        struct harm harm;
        copy_disk(&s, &t);
        fault_init(&f, n, FAULT_ONCE);
        s.options.allocator = &f.allocator;
        const varve_status rc = sim_store_try_open(&s);
        if (rc < 0)
            ck_assert_int_eq(rc, VARVE_ENOMEM);
        sim_store_kill(&s);
        ck_assert_uint_eq(fault_live(&f), 0);
        s.options.allocator = NULL;
        sim_store_open(&s);
        harm_findings(&s, &harm);
        ck_assert_int_eq(harm.n, 1);
        ck_assert_int_eq(sim_store_count(&s, "t"), SAFE);
        end_copy(&s);
        if (!fault_fired(&f)) {
            ck_assert_int_gt(n, 20);
            break;
        }
    }
    sim_store_destroy(&t.s);
}
END_TEST

/* Crash after crash and never a flush: the disk does not fill with what was cut. */
START_TEST(of_many_cuts_the_newest_are_kept)
{
    struct torn t;
    struct sim_store *s = &t.s;
    struct harm harm;

    tear(&t, 58);
    for (int i = 0; i < 20; i++) {
        tear_page(&t);
        sim_store_open(s);
        ck_assert_int_eq(sim_store_put(s, "t", 10 + i, 0, ROWS, VARVE_POLICY_OS), VARVE_OK);
        sim_store_kill(s);
        struct varve_version *const version = sim_store_listed(s);
        varve_file_name_wal(version->segments[version->n_segments - 1].id, t.log);
        varve_version_unref(version);
    }
    sim_store_open(s);
    harm_findings(s, &harm);
    ck_assert_int_ge(harm.n_kept, 16);
    ck_assert_int_le(harm.n_kept, 17);
    sim_store_destroy(s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, a_cut_is_told_with_its_range_and_file);
    tcase_add_test(cases, a_cut_of_unknown_length_is_told);
    tcase_add_test(cases, what_is_damaged_and_cut_on_request_is_called_doubtful);
    tcase_add_test(cases, a_clean_end_is_no_finding);
    tcase_add_test(cases, a_torn_seal_is_no_cut);
    tcase_add_test(cases, what_was_cut_stays_until_all_before_it_is_in_files);
    tcase_add_test(cases, a_cut_that_is_interrupted_is_not_forgotten);
    tcase_add_test(cases, an_open_that_cuts_survives_every_missing_allocation);
    tcase_add_test(cases, of_many_cuts_the_newest_are_kept);
}

int main(void)
{
    return sim_store_main("cut_log", add);
}
