/*
 * test_many_tables.c - a store with thousands of tables: each is found, keeps its rows and is flushed
 * in its turn, and a commit to one of them costs what it costs in a store with a single table.
 */
#include <stdio.h>
#include <time.h>

#include "tests/unit/engine/sim_store.h"

#define TABLES 2000
#define COMMITS 2000

static void make_tables(struct sim_store *s, int n)
{
    char name[16];

    for (int t = 0; t < n; t++) {
        (void)snprintf(name, sizeof name, "%c%d", t % 2 == 0 ? 't' : 'T', t);
        sim_store_table(s, name, "upsert");
    }
}

static double cpu_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Processor time of COMMITS commits to one table, the least of three rounds. */
static double cost_of_commits(struct sim_store *s)
{
    double least = 1e9;

    for (int round = 0; round < 3; round++) {
        const double begun = cpu_seconds();
        for (int i = 0; i < COMMITS; i++)
            ck_assert_int_eq(sim_store_put(s, "t0", i, 0, 1, VARVE_POLICY_OS), VARVE_OK);
        const double took = cpu_seconds() - begun;
        least = took < least ? took : least;
    }
    return least;
}

START_TEST(commit_costs_the_same_with_many_tables)
{
    struct sim_store one, many;

    sim_store_create(&one, 51);
    sim_store_create(&many, 51);
    ordering_thin_out(many.order, 64);
    one.options.memory_limit = many.options.memory_limit = 64u << 20;
    sim_store_open(&one);
    sim_store_open(&many);
    make_tables(&one, 1);
    make_tables(&many, TABLES);
    const double alone = cost_of_commits(&one), among = cost_of_commits(&many);
    ck_assert_msg(among < 2.5 * alone, "%.1f us instead of %.1f us a commit", among / COMMITS * 1e6,
                  alone / COMMITS * 1e6);
    sim_store_destroy(&one);
    sim_store_destroy(&many);
}
END_TEST

/* Rows go to all tables in turns, while memory is for a few of them only. */
START_TEST(every_table_keeps_its_rows)
{
    struct sim_store s;
    char name[16];

    sim_store_create(&s, 52);
    ordering_thin_out(s.order, 64); /* the manifest of 300 tables is read each time */
    s.options.memory_limit = 32u << 20;
    sim_store_open(&s);
    make_tables(&s, 300);
    for (int round = 0; round < 3; round++)
        for (int t = 0; t < 300; t++) {
            (void)snprintf(name, sizeof name, "t%d", t);
            ck_assert_int_eq(sim_store_put(&s, name, round, 0, t + 1, VARVE_POLICY_DEFAULT),
                             VARVE_OK);
        }
    ck_assert_uint_le(sim_store_stats(&s).memtable_bytes, 2 * s.options.memtable_bytes);
    for (int t = 0; t < 300; t += 3) {
        (void)snprintf(name, sizeof name, "T%d", t);
        ck_assert_int_eq(varve_table_drop(s.store, name, NULL), VARVE_OK);
        ck_assert_int_eq(varve_table_open(s.store, name, &(varve_table *){NULL}, NULL),
                         VARVE_ENOTFOUND);
        if (t % 2 == 0) /* one of that name again, in the place of the one before */
            sim_store_table(&s, name, "upsert");
    }
    sim_store_work(&s);
    for (int state = 0; state < 2; state++) {
        for (int t = 0; t < 300; t++) {
            (void)snprintf(name, sizeof name, "t%d", t);
            if (t % 3 != 0)
                ck_assert_int_eq(sim_store_count(&s, name), 3 * (t + 1));
            else if (t % 2 == 0)
                ck_assert_int_eq(sim_store_count(&s, name), 0);
        }
        ck_assert_uint_eq(sim_store_stats(&s).tables, 250);
        sim_store_kill(&s);
        sim_store_open(&s);
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(tables_stand_in_order_of_name_case_aside)
{
    struct sim_store s;
    static const char *const names[] = {"b", "\"Zeta\"", "a", "\"Beta\"", "c10", "c1"};
    static const char *const sorted[] = {"a", "b", "Beta", "c1", "c10", "Zeta"};

    sim_store_create(&s, 53);
    sim_store_open(&s);
    for (int i = 0; i < 6; i++)
        sim_store_table(&s, names[i], "upsert");
    for (int state = 0; state < 2; state++) {
        for (uint32_t i = 0; i < 6; i++) {
            char text[256];
            size_t size = 0;
            const varve_table *table = varve_table_at(s.store, i);
            ck_assert_ptr_nonnull(table);
            ck_assert_ptr_eq(table, sim_store_handle(&s, sorted[i]));
            ck_assert_int_eq(varve_schema_text(varve_table_schema(table), text, sizeof text, &size),
                             VARVE_OK);
        }
        ck_assert_ptr_null(varve_table_at(s.store, 6));
        sim_store_close(&s);
        sim_store_open(&s);
    }
    sim_store_destroy(&s);
}
END_TEST

/* What a memtable pins of the log is told by its first record, whichever table that went to. */
START_TEST(table_that_pins_the_log_longest_is_flushed_first)
{
    struct sim_store s;

    sim_store_create(&s, 54);
    ordering_thin_out(s.order, 16);
    s.options.max_wal_bytes = 512u << 10;
    s.options.memtable_bytes = 8u << 20;
    sim_store_open(&s);
    make_tables(&s, 50);
    ck_assert_int_eq(sim_store_put(&s, "t7", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    for (int i = 0; i < 300 && sim_store_stats(&s).flushes == 0; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t3", i, 0, 500, VARVE_POLICY_DEFAULT), VARVE_OK);
        sim_store_work(&s);
    }
    ck_assert_uint_ge(sim_store_stats(&s).flushes, 1);
    varve_table_stats stats = {.struct_size = sizeof stats};
    varve_table_get_stats(s.store, sim_store_handle(&s, "t7"), &stats);
    ck_assert_uint_eq(stats.file_rows, 10);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, commit_costs_the_same_with_many_tables);
    tcase_add_test(cases, every_table_keeps_its_rows);
    tcase_add_test(cases, tables_stand_in_order_of_name_case_aside);
    tcase_add_test(cases, table_that_pins_the_log_longest_is_flushed_first);
}

int main(void)
{
    return sim_store_main("many_tables", add);
}
