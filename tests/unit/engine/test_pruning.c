/*
 * test_pruning.c - what a question does not read: files that its times or keys do not meet, vectors
 * that its times or predicates do not. Told by the cursor's counters, and by the disk.
 *
 * Method: the contents are so regular that every count can be worked out by hand.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/engine/sim_store.h"

/* -------------------------------------------------------------------------------------- Questions */

/* Files that were read. */
struct reads {
    char names[16][VARVE_SIM_NAME_MAX];
    uint32_t n;
};

static int watch_reads(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct reads *reads = ctx;
    uint32_t i = 0;

    (void)sim;
    if (event->phase != VARVE_SIM_BEFORE || event->op != VARVE_SIM_READ)
        return 0;
    while (i < reads->n && strcmp(reads->names[i], event->name) != 0)
        i++;
    if (i == reads->n) {
        ck_assert_uint_lt(reads->n, sizeof reads->names / sizeof reads->names[0]);
        (void)snprintf(reads->names[reads->n++], VARVE_SIM_NAME_MAX, "%s", event->name);
    }
    return 0;
}

/* Ask for all that `scan` means, as rows or as a count of them. */
static varve_cursor_stats ask(struct sim_store *s, varve_scan scan, bool count,
                              struct reads *ret_reads)
{
    static const varve_aggregate rows = {.function = VARVE_COUNT_ROWS};
    const varve_table *table = sim_store_handle(s, "t");
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_cursor_stats stats;

    memset(ret_reads, 0, sizeof *ret_reads);
    scan.struct_size = sizeof scan;
    scan.aggregates = &rows;
    scan.n_aggregates = count;
    ck_assert_int_eq(varve_sim_watch(s->sim, watch_reads, ret_reads), 0);
    varve_status rc = count ? varve_aggregate_open(s->store, table, &scan, &cursor, &s->err)
                            : varve_scan_open(s->store, table, &scan, &cursor, &s->err);
    ck_assert_msg(rc == VARVE_OK, "open: %s", s->err.message);
    while (rc == VARVE_OK)
        rc = varve_cursor_next(cursor, &view, &s->err);
    ck_assert_msg(rc == VARVE_END, "next: %s", s->err.message);
    varve_cursor_get_stats(cursor, &stats);
    varve_cursor_close(cursor);
    varve_sim_unwatch(s->sim, watch_reads, ret_reads);
    return stats;
}

/* ------------------------------------------------------------------------------------------ Files */

#define FILES 6
#define FILE_ROWS 50
#define FILE_STEP 100000

/* File f holds partition f alone, from time f * FILE_STEP on. Nothing is in a cache. */
static void make_files(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    for (int f = 0; f < FILES; f++) {
        ck_assert_int_eq(
            sim_store_put(s, "t", f, (int64_t)f * FILE_STEP, FILE_ROWS, VARVE_POLICY_DEFAULT),
            VARVE_OK);
        ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    }
    sim_store_close(s);
    sim_store_open(s);
    ck_assert_uint_eq(sim_store_stats(s).files, FILES);
}

/* Loop test: as rows, as a count. */
START_TEST(files_outside_the_times_of_a_question_are_not_read)
{
    static const struct {
        int64_t from, to;
        uint32_t files;
        uint64_t rows;
    } cases[] = {
        {2 * FILE_STEP, 4 * FILE_STEP, 2, 2 * (uint64_t)FILE_ROWS},
        {FILE_STEP + FILE_ROWS, 2 * FILE_STEP, 0, 0},         /* between two files */
        {FILE_STEP + FILE_ROWS - 1, 2 * FILE_STEP + 1, 2, 2}, /* a row of each */
        {FILES * FILE_STEP, INT64_MAX, 0, 0},                 /* behind all */
        {INT64_MIN, INT64_MAX, FILES, FILES * (uint64_t)FILE_ROWS},
    };
    struct reads reads;
    struct sim_store s;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const varve_scan scan = {
            .flags = VARVE_SCAN_FROM | VARVE_SCAN_TO, .from = cases[i].from, .to = cases[i].to};
        make_files(&s, 61);
        const varve_cursor_stats stats = ask(&s, scan, _i == 1, &reads);
        ck_assert_uint_eq(stats.files, cases[i].files);
        ck_assert_uint_eq(stats.files_pruned, FILES - cases[i].files);
        ck_assert_uint_eq(reads.n, cases[i].files);
        ck_assert_uint_eq(stats.rows, _i == 1 ? 1 : cases[i].rows);
        sim_store_destroy(&s);
    }
}
END_TEST

/* An open file whose keys do not reach to the one that is looked up is asked nothing. */
START_TEST(files_outside_the_keys_of_a_lookup_are_not_read)
{
    varve_value key = {.type = VARVE_INT, .as.i64 = FILES};
    const varve_scan scan = {.struct_size = sizeof scan, .partitions = &key, .n_partitions = 1};
    varve_cursor *cursor = NULL;
    struct reads reads;
    struct sim_store s;

    make_files(&s, 62);
    ck_assert_int_eq(varve_scan_open(s.store, sim_store_handle(&s, "t"), &scan, &cursor, &s.err),
                     VARVE_OK);
    varve_cursor_close(cursor); /* the files are open now */
    ck_assert_uint_eq(ask(&s, scan, false, &reads).rows, 0);
    ck_assert_uint_eq(reads.n, 0);
    for (key.as.i64 = 0; key.as.i64 < FILES; key.as.i64++) {
        ck_assert_uint_eq(ask(&s, scan, false, &reads).rows, FILE_ROWS);
        ck_assert_uint_eq(reads.n, 1);
    }
    sim_store_destroy(&s);
}
END_TEST

/* ---------------------------------------------------------------------------------------- Vectors */

#define VECTORS 8
#define VECTOR_ROWS 1024

/* One file of one partition; its row i has time i and v = 3 i. */
static void make_vectors(struct sim_store *s, uint64_t seed, uint32_t row_group_rows)
{
    sim_store_create(s, seed);
    s->options.row_group_rows = row_group_rows;
    s->options.memtable_bytes = 4u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    for (int64_t i = 0; i < VECTORS; i++)
        ck_assert_int_eq(
            sim_store_put(s, "t", 1, i * VECTOR_ROWS, VECTOR_ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(s).files, 1);
}

static varve_cursor_stats ask_where(struct sim_store *s, varve_op op, int64_t v, bool count,
                                    uint32_t flags)
{
    const varve_predicate predicate = {
        .column = 2, .op = op, .value = {.type = VARVE_BIGINT, .as.i64 = v}};
    const varve_scan scan = {.flags = flags, .predicates = &predicate, .n_predicates = 1};
    struct reads reads;

    return ask(s, scan, count, &reads);
}

/* Loop test: as rows, as a count. */
START_TEST(vectors_that_cannot_meet_a_predicate_are_not_read)
{
    const bool count = _i == 1;
    struct sim_store s;

    make_vectors(&s, 63, 0);
    varve_cursor_stats stats = ask_where(&s, VARVE_GT, 3 * 6 * VECTOR_ROWS, count, 0);
    ck_assert_uint_eq(stats.vectors_pruned, 6);
    /* All rows of the last one meet it: to count them takes its zone map alone. */
    ck_assert_uint_eq(stats.rows_examined, (count ? 1 : 2) * VECTOR_ROWS);
    ck_assert_uint_eq(stats.vectors_read, count ? 1 : 2);
    ck_assert_uint_eq(stats.rows, count ? 1 : 2 * VECTOR_ROWS - 1);
    stats = ask_where(&s, VARVE_EQ, 3 * VECTOR_ROWS, count, VARVE_SCAN_REVERSE);
    ck_assert_uint_eq(stats.vectors_pruned, VECTORS - 1);
    ck_assert_uint_eq(stats.vectors_read, 1);
    stats = ask_where(&s, VARVE_LT, 0, count, 0);
    ck_assert_uint_eq(stats.vectors_pruned, VECTORS);
    ck_assert_uint_eq(stats.vectors_read, 0);
    ck_assert_uint_eq(stats.rows_examined, 0);
    if (count) {
        stats = ask_where(&s, VARVE_LT, 0, count, VARVE_SCAN_NO_ZONE_MAPS);
        ck_assert_uint_eq(stats.vectors_pruned, 0);
        ck_assert_uint_eq(stats.rows_examined, VECTORS * VECTOR_ROWS);
    }
    sim_store_destroy(&s);
}
END_TEST

/* Loop test: row groups of all rows, and of a vector each. */
START_TEST(vectors_outside_the_times_of_a_question_are_not_read)
{
    varve_scan scan = {
        .flags = VARVE_SCAN_FROM | VARVE_SCAN_TO, .from = 2 * VECTOR_ROWS, .to = 5 * VECTOR_ROWS};
    struct reads reads;
    struct sim_store s;

    make_vectors(&s, 64, _i == 0 ? 0 : VECTOR_ROWS);
    for (int reverse = 0; reverse < 2; reverse++) {
        const varve_cursor_stats stats = ask(&s, scan, false, &reads);
        ck_assert_uint_eq(stats.vectors_pruned, VECTORS - 3);
        ck_assert_uint_eq(stats.vectors_read, 3);
        ck_assert_uint_eq(stats.rows, 3 * VECTOR_ROWS);
        scan.flags |= VARVE_SCAN_REVERSE;
    }
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, files_outside_the_times_of_a_question_are_not_read, 0, 2);
    tcase_add_test(cases, files_outside_the_keys_of_a_lookup_are_not_read);
    tcase_add_loop_test(cases, vectors_that_cannot_meet_a_predicate_are_not_read, 0, 2);
    tcase_add_loop_test(cases, vectors_outside_the_times_of_a_question_are_not_read, 0, 2);
}

int main(void)
{
    return sim_store_main("pruning", add);
}
