/*
 * test_store_memory.c - memtables within their budget: when they are flushed, what dropped tables
 * give back, what a full disk does to commits and how they go on by themselves afterwards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/rng.h"
#include "storage/manifest/manifest.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 500

START_TEST(tables_that_fill_evenly_share_the_budget)
{
    struct sim_store s;
    char name[16];

    sim_store_create(&s, 1);
    s.options.memtable_bytes = 512u << 10;
    sim_store_open(&s);
    for (int t = 0; t < 8; t++) {
        (void)snprintf(name, sizeof name, "t%d", t);
        sim_store_table(&s, name, "upsert");
    }
    for (int round = 0; round < 24; round++) {
        for (int t = 0; t < 8; t++) {
            (void)snprintf(name, sizeof name, "t%d", t);
            const varve_status rc = sim_store_put(&s, name, round, (int64_t)round * ROWS, ROWS,
                                                  VARVE_POLICY_DURABLE_GROUP);
            ck_assert_msg(rc == VARVE_OK, "round %d: %s", round, s.err.message);
        }
    }
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_ge(stats.flushes, 2);
    ck_assert_uint_le(stats.memtable_bytes, 2 * s.options.memtable_bytes);
    for (int t = 0; t < 8; t++) {
        (void)snprintf(name, sizeof name, "t%d", t);
        ck_assert_int_eq(sim_store_count(&s, name), 24 * ROWS);
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(log_that_cannot_be_freed_causes_no_flush)
{
    struct sim_store s;

    sim_store_create(&s, 2);
    s.options.memory_limit = 8u << 20; /* the log's limit is 8 MiB, its second segment as large */
    s.options.memtable_bytes = 0;
    s.options.wal_segment_bytes = 0;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, 100, VARVE_POLICY_OS), VARVE_OK);
        sim_store_work(&s);
    }
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_le(stats.flushes, 1 + stats.bytes_given / (1u << 20));
    ck_assert_int_eq(sim_store_count(&s, "t"), 10000);
    sim_store_destroy(&s);
}
END_TEST

static void open_smallest(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.memory_limit = 8u << 20;
    s->options.memtable_bytes = 0;
    s->options.wal_segment_bytes = 1u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
}

START_TEST(smallest_memory_takes_much_data)
{
    struct sim_store s;

    open_smallest(&s, 3);
    for (int i = 0; i < 120; i++) {
        const varve_status rc =
            sim_store_put(&s, "t", i % 7, (int64_t)i * 1000, 1000, VARVE_POLICY_DEFAULT);
        ck_assert_msg(rc == VARVE_OK, "commit %d: %s: %s", i, varve_status_name(rc), s.err.message);
    }
    ck_assert_int_eq(sim_store_count(&s, "t"), 120000);
    ck_assert_uint_le(sim_store_stats(&s).memory_peak, s.options.memory_limit);
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 120000);
    sim_store_destroy(&s);
}
END_TEST

static int64_t count_rows(struct sim_store *s, const char *table)
{
    const varve_aggregate rows = {.function = VARVE_COUNT_ROWS};
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.aggregates = &rows;
    scan.n_aggregates = 1;
    ck_assert_int_eq(
        varve_aggregate_open(s->store, sim_store_handle(s, table), &scan, &cursor, NULL), VARVE_OK);
    ck_assert_int_eq(varve_cursor_next(cursor, &view, NULL), VARVE_OK);
    const int64_t n = varve_view_value(view, 0, 0).as.i64;
    varve_cursor_close(cursor);
    return n;
}

/* A row each: what a flush needs beside the rows is most then. */
START_TEST(smallest_memory_takes_many_partitions)
{
    enum { batches = 60, rows = 1000 };
    struct sim_store s;

    open_smallest(&s, 9);
    varve_table *table = sim_store_handle(&s, "t");
    for (int i = 0; i < batches; i++) {
        varve_batch *batch = NULL;
        ck_assert_int_eq(varve_batch_new(s.store, &batch, NULL), VARVE_OK);
        for (int k = i * rows; k < (i + 1) * rows; k++) {
            const varve_value row[3] = {{.type = VARVE_INT, .as.i64 = k},
                                        {.type = VARVE_TIMESTAMP, .as.i64 = k},
                                        {.type = VARVE_BIGINT, .as.i64 = 3 * (int64_t)k}};
            ck_assert_int_eq(varve_batch_put_row(batch, table, row, 3, NULL, NULL), VARVE_OK);
        }
        const varve_status rc = sim_store_commit(&s, batch, VARVE_POLICY_DEFAULT);
        ck_assert_msg(rc == VARVE_OK, "commit %d: %s: %s", i, varve_status_name(rc), s.err.message);
    }
    ck_assert_uint_le(sim_store_stats(&s).memory_peak, s.options.memory_limit);
    ck_assert_int_eq(count_rows(&s, "t"), batches * rows);
    sim_store_destroy(&s);
}
END_TEST

/* The directory of a file of such keys is as large as the rows: it must not wait in memory until there
 * are rows for a whole group. `_i`: what keys have in common, which the directory's upper pages repeat. */
START_TEST(long_keys_are_flushed_within_the_limit)
{
    enum { keys = 12000, size = 1000 };
    struct sim_store s;
    struct varve_rng rng;
    char key[size];

    sim_store_create(&s, 8);
    s.options.memory_limit = 16u << 20;
    s.options.memtable_bytes = 8u << 20;
    s.options.wal_segment_bytes = 1u << 20;
    sim_store_open(&s);
    ck_assert_int_eq(varve_table_create(s.store,
                                        "CREATE TABLE t (k text, ts timestamp, v double, "
                                        "PRIMARY KEY ((k), ts))",
                                        NULL),
                     VARVE_OK);
    varve_table *table = sim_store_handle(&s, "t");
    varve_rng_seed(&rng, 5);
    memset(key, 'k', sizeof key);
    for (int i = 0; i < keys; i += 100) {
        varve_batch *batch = NULL;
        ck_assert_int_eq(varve_batch_new(s.store, &batch, NULL), VARVE_OK);
        for (int k = i; k < i + 100; k++) {
            for (int at = _i == 0 ? 0 : size - 16; at < size; at++)
                key[at] = (char)('a' + varve_rng_below(&rng, 26));
            varve_value row[3] = {{.type = VARVE_TEXT},
                                  {.type = VARVE_TIMESTAMP, .as.i64 = k},
                                  {.type = VARVE_DOUBLE}};
            row[0].as.bytes.data = key;
            row[0].as.bytes.size = sizeof key;
            ck_assert_int_eq(varve_batch_put_row(batch, table, row, 3, NULL, NULL), VARVE_OK);
        }
        const varve_status rc = sim_store_commit(&s, batch, VARVE_POLICY_DEFAULT);
        ck_assert_msg(rc == VARVE_OK, "key %d: %s: %s", i, varve_status_name(rc), s.err.message);
    }
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_uint_le(sim_store_stats(&s).memory_peak, s.options.memory_limit);
    ck_assert_int_eq(count_rows(&s, "t"), keys);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(count_rows(&s, "t"), keys);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(dropped_table_gives_its_memory_back)
{
    struct sim_store s;

    sim_store_create(&s, 4);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(varve_table_drop(s.store, "t", NULL), VARVE_OK);
    sim_store_work(&s);
    const uint64_t before = sim_store_stats(&s).memory_used;
    sim_store_table(&s, "t", "upsert");
    for (int64_t i = 0; i < 10; i++)
        ck_assert_int_eq(sim_store_put(&s, "t", 1, i * 1000, 1000, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_snapshot *snapshot = NULL;
    const varve_table *table = sim_store_handle(&s, "t");
    ck_assert_int_eq(varve_snapshot_take(s.store, &snapshot, NULL), VARVE_OK);
    ck_assert_int_eq(varve_table_drop(s.store, "t", NULL), VARVE_OK);
    sim_store_work(&s);
    ck_assert_int_eq(sim_store_rows(&s, table, snapshot), 10000);
    ck_assert_uint_gt(sim_store_stats(&s).memory_used, before + 100000);
    varve_snapshot_release(snapshot);
    sim_store_work(&s);
    ck_assert_uint_lt(sim_store_stats(&s).memory_used, before + 100000);
    sim_store_destroy(&s);
}
END_TEST

/* Fill until the disk is full; returns how many commits were accepted. */
static int fill_disk(struct sim_store *s)
{
    int accepted = 0;

    for (;; accepted++) {
        const varve_status rc =
            sim_store_put(s, "t", accepted, 0, ROWS, VARVE_POLICY_DURABLE_GROUP);
        if (rc == VARVE_OK) {
            ck_assert_int_lt(accepted, 5000);
            continue;
        }
        ck_assert_msg(rc == VARVE_ENOSPC, "%s: %s", varve_status_name(rc), s->err.message);
        return accepted;
    }
}

START_TEST(full_disk_refuses_commits_until_there_is_room)
{
    struct sim_store s;

    sim_store_create(&s, 5);
    s.options.memtable_bytes = 512u << 10;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + (2u << 20));
    int accepted = fill_disk(&s);
    ck_assert_int_gt(accepted, 10);
    for (int i = 0; i < 20; i++) { /* what a flush frees is used again */
        (void)varve_work(s.store, 1000, NULL);
        varve_sim_clock_advance(s.sim, 1000000);
        const varve_status rc = sim_store_put(&s, "t", accepted, 0, ROWS, VARVE_POLICY_DEFAULT);
        ck_assert(rc == VARVE_OK || rc == VARVE_ENOSPC);
        accepted += rc == VARVE_OK;
    }
    /* Attempts leave nothing behind but the segment that is kept ready. */
    ck_assert_uint_le(sim_store_files(&s, VARVE_FILE_WAL), sim_store_stats(&s).wal_segments + 1);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)accepted * ROWS);
    varve_sim_set_capacity(s.sim, 0);
    varve_sim_clock_advance(s.sim, 10000000);
    ck_assert_int_eq(sim_store_put(&s, "t", accepted, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(accepted + 1) * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* A table with a few rows on a disk that will fail; its memtables are full before its log is. */
static void open_with_fault(struct sim_store *s, uint64_t seed, const struct varve_sim_fault *fault)
{
    sim_store_create(s, seed);
    s->options.memtable_bytes = 256u << 10;
    s->options.wal_segment_bytes = 64u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 0, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_sim_fault_add(s->sim, fault), 0);
}

START_TEST(flush_that_finds_no_room_holds_commits_back_and_goes_on)
{
    struct sim_store s;
    const struct varve_sim_fault no_room = {
        .classes = VARVE_SIM_OPEN, .nth = 1, .times = UINT64_MAX, .error = ENOSPC};
    varve_status rc = VARVE_OK;
    int accepted = 0;

    open_with_fault(&s, 6, &no_room);
    for (accepted = 1; accepted < 1000 && rc == VARVE_OK; accepted++)
        rc = sim_store_put(&s, "t", accepted, 0, ROWS, VARVE_POLICY_DEFAULT);
    accepted--;
    ck_assert_msg(rc == VARVE_ENOSPC, "%s: %s", varve_status_name(rc), s.err.message);
    varve_batch *batch = sim_store_batch(&s, "t", accepted, 0, ROWS);
    ck_assert_int_eq(varve_commit_start(s.store, batch, VARVE_POLICY_DEFAULT, 1, NULL),
                     VARVE_ENOSPC); /* not EAGAIN: there is nothing to wait for */
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_ENOSPC);
    varve_sim_fault_clear(s.sim);
    varve_sim_clock_advance(s.sim, 10000000);
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(accepted + 1) * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* Without threads, and although it is not yet time to try again by itself. Loop test: it fails once, for
 * long. */
START_TEST(commit_that_needs_room_tries_a_failed_flush_again)
{
    struct sim_store s;
    const struct varve_sim_fault fault = {
        .classes = VARVE_SIM_OPEN, .nth = 1, .times = _i == 0 ? 1 : UINT64_MAX, .error = EIO};
    varve_status rc = VARVE_OK;
    int n = 1;

    open_with_fault(&s, 9, &fault);
    while (n < 200 && (rc = sim_store_put(&s, "t", n, 0, ROWS, VARVE_POLICY_DEFAULT)) == VARVE_OK)
        n++;
    ck_assert_uint_ge(varve_sim_fault_hits(s.sim), 1);
    ck_assert_int_eq(rc, _i == 0 ? VARVE_OK : VARVE_EIO);
    varve_sim_fault_clear(s.sim);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(sim_store_put(&s, "t", n++, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_uint_gt(sim_store_stats(&s).flushes, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)n * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* How much the files of a table hold. */
static uint64_t rows_in_files(struct sim_store *s, const char *table)
{
    varve_table_stats stats = {.struct_size = sizeof stats};

    varve_table_get_stats(s->store, sim_store_handle(s, table), &stats);
    return stats.file_rows;
}

/* The age of a memtable is that of its oldest row, and each table has its own. */
START_TEST(memtable_is_flushed_when_it_is_old_however_small)
{
    const int64_t second = 1000000;
    struct sim_store s;

    sim_store_create(&s, 7);
    s.options.flush_interval_ms = 60000;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    sim_store_table(&s, "u", "upsert");
    varve_sim_clock_advance(s.sim, 100 * second); /* an empty memtable does not age */
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_sim_clock_advance(s.sim, 59 * second);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 10, 5, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "u", 1, 0, 20, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    varve_sim_clock_advance(s.sim, 2 * second);
    sim_store_work(&s);
    ck_assert_uint_eq(rows_in_files(&s, "t"), 15);
    ck_assert_uint_eq(rows_in_files(&s, "u"), 0);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 15, 5, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_sim_clock_advance(s.sim, 57 * second);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 1);
    varve_sim_clock_advance(s.sim, 2 * second);
    sim_store_work(&s);
    ck_assert_uint_eq(rows_in_files(&s, "t"), 15);
    ck_assert_uint_eq(rows_in_files(&s, "u"), 20);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 2);
    ck_assert_uint_eq(sim_store_stats(&s).memtable_rows, 5);
    ck_assert_int_eq(sim_store_count(&s, "t"), 20);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, tables_that_fill_evenly_share_the_budget);
    tcase_add_test(cases, log_that_cannot_be_freed_causes_no_flush);
    tcase_add_test(cases, smallest_memory_takes_much_data);
    tcase_add_test(cases, smallest_memory_takes_many_partitions);
    tcase_add_loop_test(cases, long_keys_are_flushed_within_the_limit, 0, 2);
    tcase_add_test(cases, dropped_table_gives_its_memory_back);
    tcase_add_test(cases, memtable_is_flushed_when_it_is_old_however_small);
    tcase_add_test(cases, full_disk_refuses_commits_until_there_is_room);
    tcase_add_test(cases, flush_that_finds_no_room_holds_commits_back_and_goes_on);
    tcase_add_loop_test(cases, commit_that_needs_room_tries_a_failed_flush_again, 0, 2);
}

int main(void)
{
    return sim_store_main("store_memory", add);
}
