/*
 * test_reader_beside.c - what a reader sees beside a writer that has not told it yet: everything that
 * the manifest proves is committed, although no page of the log says so.
 */
#include "tests/unit/engine/sim_store.h"

#define ROWS 50

/* A reader of its own process; no other time passes for the writer, so that it writes no idle seal. */
static struct sim_store reader_open(struct sim_store *s)
{
    struct sim_store reader = *s;

    ck_assert_int_eq(varve_sim_attach(s->sim, &reader.vfs), 0);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&reader);
    return reader;
}

static int64_t count_beside(struct sim_store *s, const char *table)
{
    struct sim_store reader = reader_open(s);
    const int64_t rows = sim_store_count(&reader, table);

    sim_store_close(&reader);
    return rows;
}

/* Recovery seals what the killed writer left. Nobody commits after it. */
START_TEST(what_was_recovered_is_seen)
{
    struct sim_store s;

    sim_store_create(&s, 71);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    for (int i = 1; i <= 3; i++) {
        if (_i == 0) {
            sim_store_kill(&s);
        } else {
            ck_assert(sim_store_cut(&s, 0));
        }
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)i * ROWS);
        ck_assert_int_eq(count_beside(&s, "t"), (int64_t)i * ROWS);
        sim_store_work(&s);
        ck_assert_int_eq(count_beside(&s, "t"), (int64_t)i * ROWS);
        ck_assert_int_eq(
            sim_store_put(&s, "t", 1, (int64_t)i * ROWS, ROWS, VARVE_POLICY_DURABLE_GROUP),
            VARVE_OK);
    }
    sim_store_destroy(&s);
}
END_TEST

/* The batch fills one table's memtable, whose half is flushed; the other half is in the log alone. */
START_TEST(a_batch_of_two_tables_is_seen_whole_when_half_of_it_is_in_a_file)
{
    enum { many = 20000 };
    struct sim_store s;

    sim_store_create(&s, 72);
    s.options.memtable_bytes = 256u << 10;
    s.options.wal_segment_bytes = 4u << 20;
    sim_store_open(&s);
    sim_store_table(&s, "a", "upsert");
    sim_store_table(&s, "b", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "b", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    varve_batch *batch = sim_store_batch(&s, "a", 1, 0, many);
    varve_value row[3] = {{.type = VARVE_INT, .as.i64 = 1},
                          {.type = VARVE_TIMESTAMP, .as.i64 = ROWS},
                          {.type = VARVE_BIGINT, .as.i64 = 3 * ROWS}};
    ck_assert_int_eq(varve_batch_put_row(batch, sim_store_handle(&s, "b"), row, 3, NULL, NULL),
                     VARVE_OK);
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    ck_assert_int_eq(count_beside(&s, "a"), count_beside(&s, "b") == ROWS ? 0 : many);
    while (sim_store_stats(&s).flushes == 0)
        ck_assert_int_eq(varve_work(s.store, 1, NULL), VARVE_OK);
    varve_table_stats in_files;
    varve_table_get_stats(s.store, sim_store_handle(&s, "b"), &in_files);
    ck_assert_uint_eq(in_files.files, 0); /* or this test shows nothing */
    struct sim_store reader = reader_open(&s);
    ck_assert_int_eq(sim_store_count(&reader, "a"), many);
    ck_assert_int_eq(sim_store_count(&reader, "b"), ROWS + 1);
    sim_store_close(&reader);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, what_was_recovered_is_seen, 0, 2);
    tcase_add_test(cases, a_batch_of_two_tables_is_seen_whole_when_half_of_it_is_in_a_file);
}

int main(void)
{
    return sim_store_main("reader_beside", add);
}
