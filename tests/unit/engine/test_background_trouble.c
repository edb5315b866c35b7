/*
 * test_background_trouble.c - what goes wrong where no call waits for it is told in the statistics, and
 * made good: flushes that fail, files that cannot be removed, metadata that is read from its second copy.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/engine/harm.h"

#define ROWS 400

static void fault(struct sim_store *s, uint32_t class, const char *name, uint64_t times, int error)
{
    struct varve_sim_fault fault = {.classes = class, .nth = 1, .times = times, .error = error};

    memcpy(fault.name, name, strlen(name) + 1);
    ck_assert_int_eq(varve_sim_fault_add(s->sim, &fault), 0);
}

/* ------------------------------------------------------------------------- Flushes that fail */

/* Rows older than flush_interval_ms, and no descriptor for a file. */
static void make_flushes_fail(struct sim_store *s)
{
    for (int k = 0; k < 5; k++)
        ck_assert_int_eq(sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    varve_sim_clock_advance(s->sim, 700000000);
    fault(s, VARVE_SIM_OPEN, "", UINT64_MAX, EMFILE);
}

static void work_for(struct sim_store *s, int looks)
{
    for (int i = 0; i < looks; i++) {
        varve_sim_clock_advance(s->sim, 1000000);
        ck_assert_int_ge(varve_work(s->store, 1000, NULL), 0);
    }
}

START_TEST(flushes_that_fail_again_and_again_are_told)
{
    struct sim_store s;

    sim_store_create(&s, 6);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).flush_failures, 0);
    make_flushes_fail(&s);
    work_for(&s, 20);
    const varve_stats early = sim_store_stats(&s);
    ck_assert_uint_gt(early.flush_failures, 0);
    ck_assert_int_eq(early.flush_status, VARVE_EIO);
    work_for(&s, 20);
    const varve_stats late = sim_store_stats(&s);
    ck_assert_uint_gt(late.flush_failures, early.flush_failures);
    ck_assert_int_eq(late.flush_status, VARVE_EIO);
    ck_assert_uint_eq(late.flushes, 0);
    ck_assert_uint_eq(late.failed, 0);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_EIO); /* in words */
    ck_assert_int_eq(s.err.os_code, EMFILE);
    ck_assert_uint_eq(sim_store_stats(&s).flush_failures, late.flush_failures + 1);
    varve_sim_fault_clear(s.sim);
    work_for(&s, 20);
    const varve_stats well = sim_store_stats(&s);
    ck_assert_uint_eq(well.flushes, 1);
    ck_assert_uint_eq(well.flush_failures, 0);
    ck_assert_int_eq(well.flush_status, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 5 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_table_that_is_dropped_owes_no_flush)
{
    struct sim_store s;

    sim_store_create(&s, 7);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    sim_store_work(&s);
    make_flushes_fail(&s);
    work_for(&s, 20);
    ck_assert_uint_gt(sim_store_stats(&s).flush_failures, 0);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    work_for(&s, 20);
    ck_assert_uint_eq(sim_store_stats(&s).flush_failures, 0);
    ck_assert_int_eq(sim_store_stats(&s).flush_status, 0);
    varve_sim_fault_clear(s.sim);
    sim_store_destroy(&s);
}
END_TEST

/* --------------------------------------------------------------- Files that cannot be removed */

/* A table in a file, whose name is given. */
static void make_file(struct sim_store *s, uint64_t seed, char *ret_name)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 64u << 10;
    s->options.max_wal_bytes = 64u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    sim_store_table(s, "u", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    sim_store_work(s);
    ck_assert_uint_eq(sim_store_stats(s).pinned_bytes, 0);
    sim_store_newest(s, VARVE_FILE_SST, ret_name);
}

START_TEST(a_dropped_file_that_could_not_be_removed_is_tried_again)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_file(&s, 8, name);
    fault(&s, VARVE_SIM_UNLINK, name, 1, EIO);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    ck_assert_int_ge(varve_work(s.store, 10000, &s.err), 0);
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    ck_assert(harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, (uint64_t)varve_sim_size(s.sim, name));
    sim_store_work(&s);
    ck_assert(!harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 0);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(log_that_could_not_be_removed_is_tried_again)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_file(&s, 9, name);
    for (int k = 0; k < 60; k++)
        ck_assert_int_eq(sim_store_put(&s, "u", k, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    struct varve_version *const version = sim_store_listed(&s);
    ck_assert_uint_gt(version->n_segments, 2);
    varve_file_name_wal(version->segments[0].id, name);
    varve_version_unref(version);
    fault(&s, VARVE_SIM_UNLINK, name, 2, EIO);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_int_ge(varve_work(s.store, 10000, &s.err), 0);
    ck_assert(harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 64u << 10); /* the others have gone */
    ck_assert_int_eq(varve_work(s.store, 10000, &s.err), VARVE_END);
    ck_assert(harm_exists(&s, name));
    ck_assert_int_eq(varve_work(s.store, 10000, &s.err), VARVE_OK);
    ck_assert(!harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 0);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_file_that_can_never_be_removed_is_collected_by_the_next_open)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_file(&s, 10, name);
    fault(&s, VARVE_SIM_UNLINK, "", UINT64_MAX, EROFS);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    sim_store_work(&s); /* it ends */
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(varve_work(s.store, 10000, &s.err), VARVE_END);
    const uint64_t tried = varve_sim_fault_hits(s.sim);
    ck_assert_uint_gt(tried, 3);
    ck_assert_uint_lt(tried, 100);
    ck_assert(harm_exists(&s, name));
    ck_assert_uint_gt(sim_store_stats(&s).pinned_bytes, 0);
    ck_assert_int_eq(sim_store_put(&s, "u", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "u"), ROWS);
    sim_store_close(&s);
    ck_assert(harm_exists(&s, name));
    varve_sim_fault_clear(s.sim);
    sim_store_open(&s);
    ck_assert(!harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 0);
    ck_assert_int_eq(sim_store_count(&s, "u"), ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_file_that_is_not_there_any_more_need_not_be_removed)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_file(&s, 11, name);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    ck_assert_uint_gt(sim_store_stats(&s).pinned_bytes, 0);
    sim_store_remove(&s, name);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 0);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------------- Second copies */

/* A file, sealed log segments behind it, and a manifest with edits. */
static void make_copies(struct sim_store *s, uint64_t seed, char *ret_name)
{
    make_file(s, seed, ret_name);
    for (int k = 2; k < 40; k++)
        ck_assert_int_eq(sim_store_put(s, "u", k, 0, ROWS, VARVE_POLICY_DURABLE_EACH), VARVE_OK);
}

/* Open as `flags` say, read all that there is, and close: how many repairs it took. */
static uint64_t repairs_of(struct sim_store *s, uint32_t flags)
{
    s->options.flags = flags;
    sim_store_open(s);
    ck_assert_int_eq(sim_store_count(s, "t"), ROWS);
    ck_assert_int_eq(sim_store_count(s, "u"), 38 * ROWS);
    const uint64_t repairs = sim_store_stats(s).repairs;
    sim_store_close(s);
    return repairs;
}

START_TEST(a_sound_store_needs_no_repair)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_copies(&s, 12, name);
    ck_assert_uint_eq(sim_store_stats(&s).repairs, 0);
    sim_store_kill(&s);
    ck_assert_uint_eq(repairs_of(&s, VARVE_OPEN_READ_ONLY), 0);
    ck_assert_uint_eq(repairs_of(&s, 0), 0);
    ck_assert_uint_eq(repairs_of(&s, 0), 0); /* closed before */
    sim_store_destroy(&s);
}
END_TEST

/* Whether all rows of `t`, or its one partition without them, can be read. */
static bool reads_all(struct sim_store *s, bool rows)
{
    const varve_table *table = sim_store_handle(s, "t");
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_scan scan;
    int64_t n = 0;

    varve_scan_init(&scan, sizeof scan);
    varve_status rc = rows ? varve_scan_open(s->store, table, &scan, &cursor, &s->err)
                           : varve_partitions_open(s->store, table, &scan, &cursor, &s->err);
    while (rc == VARVE_OK && (rc = varve_cursor_next(cursor, &view, &s->err)) == VARVE_OK)
        n += view->rows;
    varve_cursor_close(cursor);
    ck_assert(rc != VARVE_END || n == (rows ? ROWS : 1));
    return rc == VARVE_END;
}

/* A bit in each 64 bytes, one after the other. */
START_TEST(damage_of_a_file_that_a_second_copy_makes_good_is_counted)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];
    uint32_t of_header = 0, of_footer = 0, of_blocks = 0, later = 0;

    make_copies(&s, 13, name);
    sim_store_kill(&s);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    const uint64_t size = (uint64_t)varve_sim_size(s.sim, name);
    ck_assert_uint_gt(size, 3 * 4096);
    for (uint64_t byte = 0; byte < size; byte += 64) {
        harm_flip(&s, name, 0, byte);
        sim_store_open(&s);
        ck_assert_uint_eq(sim_store_stats(&s).repairs, 0); /* nothing of it has been read */
        (void)reads_all(&s, false);
        const uint64_t before = sim_store_stats(&s).repairs;
        if (reads_all(&s, true) && sim_store_stats(&s).repairs > 0) {
            later += sim_store_stats(&s).repairs > before;
            of_header += byte < 4096;
            of_footer += byte + 2 * 4096 >= size;
            of_blocks += byte >= 4096 && byte + 2 * 4096 < size;
        }
        sim_store_close(&s);
        harm_flip(&s, name, 0, byte);
    }
    ck_assert_uint_eq(of_header, 64);
    ck_assert_uint_eq(of_footer, 64); /* of the second copy none: it is not read */
    ck_assert_uint_gt(of_blocks, 5);  /* of the rows none */
    ck_assert_uint_gt(later, 0);      /* an index, when the file was open already */
    sim_store_destroy(&s);
}
END_TEST

START_TEST(repairs_stay_counted_when_the_file_is_closed)
{
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    make_copies(&s, 14, name);
    sim_store_kill(&s);
    s.options.flags = 0;
    harm_flip(&s, name, (uint64_t)varve_sim_size(s.sim, name) / 4096 - 2, 100);
    sim_store_open(&s);
    ck_assert_uint_eq(sim_store_stats(&s).repairs, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), ROWS);
    ck_assert_uint_eq(sim_store_stats(&s).repairs, 1);
    ck_assert_int_eq(sim_store_count(&s, "t"), ROWS); /* it is open */
    ck_assert_uint_eq(sim_store_stats(&s).repairs, 1);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    sim_store_work(&s);
    ck_assert(!harm_exists(&s, name));
    ck_assert_uint_eq(sim_store_stats(&s).repairs, 1);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(damage_of_the_manifest_is_counted)
{
    struct sim_store s;
    char file[VARVE_FILE_NAME_MAX], name[VARVE_FILE_NAME_MAX];

    make_copies(&s, 15, file);
    sim_store_kill(&s);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, name);
    for (uint64_t page = 0; page < 2; page++) { /* its header, and the first copy of what it says */
        harm_flip(&s, name, page, 17);
        ck_assert_uint_eq(repairs_of(&s, VARVE_OPEN_READ_ONLY), 1);
        harm_flip(&s, name, page, 17);
    }
    harm_flip(&s, name, 1, 17);
    ck_assert_uint_eq(repairs_of(&s, 0), 1);
    ck_assert_uint_eq(repairs_of(&s, 0), 0); /* the first has made it good */
    sim_store_destroy(&s);
}
END_TEST

START_TEST(damage_of_the_log_that_is_made_good_is_counted)
{
    struct sim_store s;
    char file[VARVE_FILE_NAME_MAX], name[VARVE_FILE_NAME_MAX];

    make_copies(&s, 16, file);
    sim_store_close(&s);
    struct varve_version *const version = sim_store_listed(&s);
    ck_assert_uint_gt(version->n_segments, 2);
    varve_file_name_wal(version->segments[1].id, name);
    varve_version_unref(version);
    fault(&s, VARVE_SIM_READ, name, 2, EIO);
    ck_assert_uint_eq(repairs_of(&s, VARVE_OPEN_READ_ONLY), 2);
    ck_assert_uint_eq(repairs_of(&s, VARVE_OPEN_READ_ONLY), 0);
    harm_flip(&s, name, harm_pages(&s, name) - 1, 20); /* its seal */
    ck_assert_uint_eq(repairs_of(&s, VARVE_OPEN_READ_ONLY), 1);
    ck_assert_uint_eq(repairs_of(&s, 0), 1);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, flushes_that_fail_again_and_again_are_told);
    tcase_add_test(cases, a_table_that_is_dropped_owes_no_flush);
    tcase_add_test(cases, a_dropped_file_that_could_not_be_removed_is_tried_again);
    tcase_add_test(cases, log_that_could_not_be_removed_is_tried_again);
    tcase_add_test(cases, a_file_that_can_never_be_removed_is_collected_by_the_next_open);
    tcase_add_test(cases, a_file_that_is_not_there_any_more_need_not_be_removed);
    tcase_add_test(cases, a_sound_store_needs_no_repair);
    tcase_add_test(cases, damage_of_a_file_that_a_second_copy_makes_good_is_counted);
    tcase_add_test(cases, repairs_stay_counted_when_the_file_is_closed);
    tcase_add_test(cases, damage_of_the_manifest_is_counted);
    tcase_add_test(cases, damage_of_the_log_that_is_made_good_is_counted);
}

int main(void)
{
    return sim_store_main("background_trouble", add);
}
