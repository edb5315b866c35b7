/*
 * test_table_life.c - tables from creation to drop: duplicates, snapshots and cursors that outlive a
 * drop or a flush, splitting, verification, counters.
 */
#include <stdio.h>
#include <string.h>

#include "storage/manifest/manifest.h"
#include "tests/unit/engine/sim_store.h"

START_TEST(error_table_refuses_keys_it_has_in_every_state)
{
    struct sim_store s;
    varve_completion done[2];
    uint32_t n = 0;

    sim_store_create(&s, 41);
    sim_store_open(&s);
    sim_store_table(&s, "t", "error");
    /* In flight: the second is judged when the first has been applied. */
    for (uint64_t tag = 0; tag < 2; tag++)
        ck_assert_int_eq(varve_commit_start(s.store,
                                            sim_store_batch(&s, "t", 1, (int64_t)(5 - tag * 2), 4),
                                            VARVE_POLICY_DURABLE_GROUP, tag, NULL),
                         VARVE_OK);
    for (int i = 0; i < 100 && n < 2; i++) {
        (void)varve_work(s.store, 100, NULL);
        n += varve_commit_reap(s.store, done + n, 2 - n);
    }
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(done[0].status, VARVE_OK);
    ck_assert_int_eq(done[1].status, VARVE_EEXISTS);
    ck_assert_uint_eq(done[1].row, 2); /* rows 3, 4, [5], 6 */
    varve_batch_free(done[0].batch);
    varve_batch_free(done[1].batch);
    for (int state = 0; state < 3; state++) { /* memtable, file, after a kill */
        ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 9, VARVE_POLICY_DEFAULT), VARVE_EEXISTS);
        ck_assert_uint_eq(s.err.row, 5);
        ck_assert_int_eq(sim_store_put(&s, "t", 2, state * 10, 9, VARVE_POLICY_DEFAULT), VARVE_OK);
        ck_assert_int_eq(sim_store_count(&s, "t"), 4 + 9 * (state + 1));
        if (state == 0) {
            ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
        } else {
            sim_store_kill(&s);
            sim_store_open(&s);
        }
    }
    varve_batch *twice = sim_store_batch(&s, "t", 9, 0, 3);
    const varve_value again[3] = {{.type = VARVE_INT, .as.i64 = 9},
                                  {.type = VARVE_TIMESTAMP, .as.i64 = 1},
                                  {.type = VARVE_BIGINT, .as.i64 = 3}};
    ck_assert_int_eq(varve_batch_put_row(twice, sim_store_handle(&s, "t"), again, 3, NULL, NULL),
                     VARVE_OK);
    ck_assert_int_eq(sim_store_commit(&s, twice, VARVE_POLICY_DEFAULT), VARVE_EEXISTS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(duplicates_survive_a_flush_and_a_reopen)
{
    struct sim_store s;
    const int64_t expected[] = {10, 20, 10}; /* upsert, keep, first */
    const char *const names[] = {"upsert", "keep", "first"};

    sim_store_create(&s, 42);
    sim_store_open(&s);
    for (int i = 0; i < 3; i++)
        sim_store_table(&s, i == 0 ? "a" : i == 1 ? "b" : "c", names[i]);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(sim_store_put(&s,
                                           i == 0   ? "a"
                                           : i == 1 ? "b"
                                                    : "c",
                                           1, 0, 10, VARVE_POLICY_DEFAULT),
                             VARVE_OK);
        if (_i == 1)
            ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
        if (_i == 2) {
            sim_store_kill(&s);
            sim_store_open(&s);
        }
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sim_store_count(&s, i == 0 ? "a" : i == 1 ? "b" : "c"), expected[i]);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(snapshots_and_cursors_outlive_a_drop)
{
    struct sim_store s;
    varve_snapshot *snapshot = NULL;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;
    int64_t rows = 0;

    sim_store_create(&s, 43);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 2000, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, 500, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_table *table = sim_store_handle(&s, "t");
    ck_assert_int_eq(varve_snapshot_take(s.store, NULL, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_snapshot_take(s.store, &snapshot, NULL), VARVE_OK);
    varve_scan_init(&scan, sizeof scan);
    ck_assert_int_eq(varve_scan_open(s.store, table, &scan, &cursor, NULL), VARVE_OK);
    ck_assert_int_eq(varve_cursor_next(cursor, &view, NULL), VARVE_OK);
    rows += view->rows;
    varve_batch *late = sim_store_batch(&s, "t", 3, 0, 1);
    ck_assert_int_eq(varve_table_drop(s.store, "t", NULL), VARVE_OK);
    ck_assert_int_eq(varve_table_drop(s.store, "t", NULL), VARVE_ENOTFOUND);
    ck_assert_int_eq(sim_store_commit(&s, late, VARVE_POLICY_DEFAULT), VARVE_ENOTFOUND);
    sim_store_table(&s, "t", "upsert"); /* another one of that name */
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 7, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).views, 2);
    while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK)
        rows += view->rows;
    ck_assert_int_eq(rows, 2500);
    varve_cursor_close(cursor);
    ck_assert_int_eq(sim_store_rows(&s, table, snapshot), 2500);
    ck_assert_int_eq(sim_store_rows(&s, table, NULL), 0);
    ck_assert_uint_gt(sim_store_stats(&s).pinned_bytes, 0);
    varve_snapshot_release(snapshot);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).pinned_bytes, 0);
    ck_assert_uint_eq(sim_store_stats(&s).views, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 7);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 7);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(drop_lets_go_of_the_log_that_only_the_table_held)
{
    struct sim_store s;

    sim_store_create(&s, 24);
    s.options.wal_segment_bytes = 64u << 10;
    sim_store_open(&s);
    sim_store_table(&s, "kept", "upsert");
    sim_store_table(&s, "dropped", "upsert");
    if (_i == 1) /* its rows come first: they hold the log, too */
        ck_assert_int_eq(sim_store_put(&s, "kept", 0, 0, 100, VARVE_POLICY_DEFAULT), VARVE_OK);
    for (int k = 0; k < 60; k++)
        ck_assert_int_eq(sim_store_put(&s, "dropped", k, 0, 500, VARVE_POLICY_DEFAULT), VARVE_OK);
    if (_i == 0)
        ck_assert_int_eq(sim_store_put(&s, "kept", 0, 0, 100, VARVE_POLICY_DEFAULT), VARVE_OK);
    const uint64_t before = sim_store_stats(&s).wal_segments;
    ck_assert_uint_gt(before, 3);
    ck_assert_int_eq(varve_table_drop(s.store, "dropped", &s.err), VARVE_OK);
    sim_store_work(&s);
    if (_i == 0)
        ck_assert_uint_le(sim_store_stats(&s).wal_segments, 2);
    else
        ck_assert_uint_ge(sim_store_stats(&s).wal_segments, before);
    ck_assert_int_eq(sim_store_count(&s, "kept"), 100);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "kept"), 100);
    sim_store_destroy(&s);
}
END_TEST

/* As many columns as there may be, in segments that are too small for a record of them. */
START_TEST(table_that_no_segment_takes_is_refused)
{
    struct sim_store s;
    static const char head[] = "CREATE TABLE w (k int, ts timestamp";
    static const char tail[] = ", PRIMARY KEY ((k), ts))";
    const size_t room = 1024 * 40;

    sim_store_create(&s, 47);
    s.options.wal_segment_bytes = 64u << 10;
    sim_store_open(&s);
    char *text = varve_alloc_zero(&s.heap, 1, room);
    size_t size = (size_t)snprintf(text, room, "%s", head);
    for (int c = 0; c < 1000; c++)
        size += (size_t)snprintf(text + size, room - size, ", a_column_of_some_kind_%d int", c);
    (void)snprintf(text + size, room - size, "%s", tail);
    ck_assert_int_eq(varve_table_create(s.store, text, &s.err), VARVE_ELIMIT);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    sim_store_table(&s, "t", "upsert"); /* nothing is left of it */
    sim_store_close(&s);
    s.options.wal_segment_bytes = 1u << 20;
    sim_store_open(&s);
    ck_assert_int_eq(varve_table_create(s.store, text, &s.err), VARVE_OK);
    varve_free(&s.heap, text, room);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_ptr_nonnull(sim_store_handle(&s, "w"));
    sim_store_destroy(&s);
}
END_TEST

START_TEST(table_is_split_into_even_ranges)
{
    struct sim_store s;
    varve_value *keys = NULL;
    uint32_t n = 0;

    sim_store_create(&s, 44);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    const varve_table *table = sim_store_handle(&s, "t");
    ck_assert_int_eq(varve_table_split(s.store, table, 4, &keys, &n, NULL), VARVE_OK);
    ck_assert(n == 0 && keys == NULL);
    ck_assert_int_eq(varve_table_split(s.store, table, 0, &keys, &n, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_table_split(s.store, table, 5000, &keys, &n, NULL), VARVE_EINVAL);
    for (int half = 0; half < 2; half++) { /* in a file, then in memory too */
        for (int k = half; k < 400; k += 2)
            ck_assert_int_eq(sim_store_put(&s, "t", k - 200, 0, 10, VARVE_POLICY_OS), VARVE_OK);
        if (half == 0)
            ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
        ck_assert_int_eq(varve_table_split(s.store, table, 4, &keys, &n, NULL), VARVE_OK);
        ck_assert_uint_eq(n, 3);
        for (uint32_t i = 0; i < n; i++) {
            ck_assert_uint_eq(keys[i].type, VARVE_INT);
            ck_assert_int_ge(keys[i].as.i64, -200 + 100 * (int)(i + 1) - 25);
            ck_assert_int_le(keys[i].as.i64, -200 + 100 * (int)(i + 1) + 25);
        }
        varve_keys_free(s.store, keys);
    }
    varve_keys_free(s.store, NULL);
    sim_store_destroy(&s);
}
END_TEST

struct problems {
    int n;
    char file[96];
};

static void note(void *ctx, const varve_error *problem)
{
    struct problems *problems = ctx;

    problems->n++;
    memcpy(problems->file, problem->file, sizeof problems->file);
}

static int stop_at_once(void *ctx, uint64_t rows, uint64_t bytes, double fraction)
{
    (void)rows;
    (void)bytes;
    ck_assert(fraction >= 0 && fraction <= 1);
    return ctx != NULL;
}

static int find_kind(void *ctx, const char *name)
{
    struct problems *wanted = ctx; /* n: the kind; the first file of it */
    uint64_t id;

    if ((int)varve_file_name_parse(name, &id) != wanted->n || wanted->file[0] != '\0')
        return 0;
    memcpy(wanted->file, name, strlen(name) + 1);
    return 0;
}

START_TEST(verification_finds_damage_and_nothing_else)
{
    struct sim_store s;
    struct problems problems = {0};

    sim_store_create(&s, 45);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 2000, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, 2000, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert_int_eq(varve_verify(s.store, note, &problems, stop_at_once, NULL, &s.err), VARVE_OK);
    ck_assert_int_eq(problems.n, 0);
    ck_assert_int_eq(varve_verify(s.store, NULL, NULL, stop_at_once, &s, NULL), VARVE_ECANCELED);
    const int kinds[] = {VARVE_FILE_SST, VARVE_FILE_WAL};
    for (size_t i = 0; i < 2; i++) {
        struct problems wanted = {.n = kinds[i]};
        ck_assert_int_eq(varve_sim_list(s.sim, find_kind, &wanted), 0);
        ck_assert_int_ne(wanted.file[0], '\0');
        const uint64_t bit = (uint64_t)(kinds[i] == VARVE_FILE_WAL ? 4096 + 700 : 500) * 8;
        ck_assert_int_eq(varve_sim_flip(s.sim, wanted.file, bit), 0);
        problems = (struct problems){0};
        ck_assert_int_eq(varve_verify(s.store, note, &problems, NULL, NULL, &s.err),
                         VARVE_ECORRUPT);
        ck_assert_int_ge(problems.n, 1);
        ck_assert_str_eq(problems.file, wanted.file);
        ck_assert_int_eq(varve_sim_flip(s.sim, wanted.file, bit), 0);
    }
    ck_assert_int_eq(varve_verify(s.store, note, &problems, NULL, NULL, &s.err), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(counters_add_up)
{
    struct sim_store s;
    varve_table_stats table = {.struct_size = sizeof table};

    sim_store_create(&s, 46);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    sim_store_table(&s, "u", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 100, 50, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 10, 20, VARVE_POLICY_DEFAULT), VARVE_OK);
    varve_table_get_stats(s.store, sim_store_handle(&s, "t"), &table);
    ck_assert_uint_eq(table.file_rows, 50);
    ck_assert_uint_eq(table.memtable_rows, 20);
    ck_assert_uint_eq(table.memtable_partitions, 1);
    ck_assert_uint_eq(table.partitions, 2);
    ck_assert_int_eq(table.first_time, 10);
    ck_assert_int_eq(table.last_time, 149);
    varve_table_get_stats(s.store, sim_store_handle(&s, "u"), &table);
    ck_assert_int_gt(table.first_time, table.last_time);
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_eq(stats.tables, 2);
    ck_assert_uint_eq(stats.rows_written, 70);
    ck_assert_uint_eq(stats.batches, 2);
    ck_assert_uint_eq(stats.flushes, 1);
    ck_assert_uint_eq(stats.file_rows + stats.memtable_rows, 70);
    ck_assert_uint_eq(stats.lsn_durable, stats.lsn_committed);
    ck_assert_uint_le(stats.lsn_replay, stats.lsn_committed);
    ck_assert_uint_gt(stats.bytes_log, 0);
    ck_assert_uint_eq(stats.memory_limit, s.options.memory_limit);
    varve_stats old = {.struct_size = 16, .tables = 77}; /* a caller that knows two fields */
    varve_get_stats(s.store, &old);
    ck_assert(old.struct_size == 16 && old.tables == 77);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, error_table_refuses_keys_it_has_in_every_state);
    tcase_add_loop_test(cases, duplicates_survive_a_flush_and_a_reopen, 0, 3);
    tcase_add_test(cases, snapshots_and_cursors_outlive_a_drop);
    tcase_add_loop_test(cases, drop_lets_go_of_the_log_that_only_the_table_held, 0, 2);
    tcase_add_test(cases, table_that_no_segment_takes_is_refused);
    tcase_add_test(cases, table_is_split_into_even_ranges);
    tcase_add_test(cases, verification_finds_damage_and_nothing_else);
    tcase_add_test(cases, counters_add_up);
}

int main(void)
{
    return sim_store_main("table_life", add);
}
