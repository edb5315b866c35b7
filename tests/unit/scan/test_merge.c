/*
 * test_merge.c - merging streams against a model of its own (fake_table.h).
 *
 * Method: random tables, random time ranges, both directions; what comes out must be the model's
 * rows in order, cell by cell and stamp by stamp, however the versions were spread over streams.
 */
#include "storage/scan/merge.h"
#include "tests/unit/rows/row_maker.h"
#include "tests/unit/scan/fake_table.h"

static const char table_bars[] = "CREATE TABLE bars (k text, ts int, a double, b text, c bigint, "
                                 "PRIMARY KEY (k, ts))";
static const char table_ticks[] =
    "CREATE TABLE ticks (k int, ts timestamp, seq smallint, tag text, a double, n decimal, "
    "PRIMARY KEY (k, ts, seq, tag)) WITH CLUSTERING ORDER BY (ts ASC, seq DESC, tag ASC)";
static const char table_keep[] = "CREATE TABLE events (k int, ts timestamp, v int, x blob, "
                                 "PRIMARY KEY (k, ts)) WITH duplicates = 'keep'";
static const char table_first[] = "CREATE TABLE once (k int, ts timestamp, v int, x text, "
                                  "PRIMARY KEY (k, ts)) WITH duplicates = 'first'";

static const struct fake_shape shapes[] = {
    {.create = table_bars,
     .partitions = 2,
     .sources = 3,
     .rows = 30,
     .time_span = 60,
     .time_step = 1,
     .piece_rows = 7},
    {.create = table_bars,
     .partitions = 2,
     .sources = 3,
     .rows = 30,
     .time_span = 60,
     .time_step = 1,
     .piece_rows = 7,
     .plain = true},
    {.create = table_ticks,
     .partitions = 2,
     .sources = 4,
     .rows = 40,
     .time_span = 20,
     .time_step = 10,
     .time_base = -100,
     .piece_rows = 9},
    {.create = table_keep,
     .partitions = 2,
     .sources = 3,
     .rows = 40,
     .time_span = 20,
     .time_step = 5,
     .piece_rows = 11,
     .plain = true},
    {.create = table_first,
     .partitions = 2,
     .sources = 3,
     .rows = 40,
     .time_span = 50,
     .time_step = 5,
     .piece_rows = 11,
     .plain = true},
    {.create = table_bars,
     .partitions = 1,
     .sources = 4,
     .rows = 60,
     .time_span = 200,
     .time_step = 1,
     .piece_rows = 20,
     .plain = true,
     .disjoint = true},
    {.create = table_bars,
     .partitions = 1,
     .sources = 2,
     .rows = 2500,
     .time_span = 4000,
     .time_step = 1,
     .piece_rows = 1024,
     .plain = true},
};
#define N_SHAPES (sizeof shapes / sizeof *shapes)

/* Everything that a merge gives, appended in the order of steps. */
struct collected {
    struct varve_rows_builder *steps;
    bool *plain;
    size_t n;
    uint32_t passed;
};

static void collect_free(struct collected *c)
{
    for (size_t i = 0; i < c->n; i++)
        varve_rows_builder_free(&c->steps[i]);
    free(c->steps);
    free(c->plain);
    *c = (struct collected){0};
}

static varve_status take_step(struct fake_table *table, const struct varve_column_set *columns,
                              const struct varve_merge_step *step, struct varve_rows_builder *out)
{
    struct varve_cells cells[FAKE_COLUMNS_MAX];
    struct varve_rows rows = {.columns = cells};
    const struct varve_rows *from = &rows;
    uint32_t first = 0;

    must(step->n > 0 && step->n <= VARVE_VECTOR_ROWS);
    must(varve_rows_builder_init(out, &table->heap, table->schema, columns, NULL) == VARVE_OK);
    if (step->source != NULL) {
        must(step->first + step->n <= step->piece.rows);
        must(step->whole == (step->n == step->piece.rows));
        const varve_status rc = step->source->ops->load(step->source, step->stream, step->first,
                                                        step->n, columns, true, &rows, NULL);
        if (rc < 0)
            return rc;
    } else {
        from = step->rows;
        first = step->first;
        must(first + step->n <= from->n);
    }
    must(varve_rows_append(out, from, first, step->n, NULL) == VARVE_OK);
    return VARVE_OK;
}

/* Merge a partition. Failure is for tests with faults. */
static varve_status run_merge(struct fake_table *table, struct varve_heap *heap, uint32_t partition,
                              const struct varve_column_set *columns, int64_t first, int64_t last,
                              bool reverse, struct collected *out)
{
    struct varve_source *sources[FAKE_SOURCES_MAX];
    struct varve_merge_input inputs[FAKE_SOURCES_MAX];
    struct varve_merge *merge = NULL;
    struct varve_merge_step step;
    uint32_t n = 0;
    const long fail_at = table->fail_at;

    *out = (struct collected){0};
    table->fail_at = -1;
    for (uint32_t i = 0; i < table->shape.sources; i++) {
        sources[i] = fake_source_open(table, i);
        inputs[n].source = sources[i];
        if (sources[i]->ops->find(sources[i], varve_buffer_span(&table->keys[partition]),
                                  &inputs[n].partition, NULL) == VARVE_OK)
            n++;
    }
    table->fail_at = fail_at;
    varve_status rc = varve_merge_create(heap, table->schema, columns, &merge, NULL);
    if (rc == VARVE_OK)
        rc = varve_merge_begin(merge, inputs, n, first, last, reverse, NULL);
    while (rc == VARVE_OK && (rc = varve_merge_next(merge, &step, NULL)) == VARVE_OK) {
        out->steps = realloc(out->steps, (out->n + 1) * sizeof *out->steps);
        out->plain = realloc(out->plain, (out->n + 1) * sizeof *out->plain);
        must(out->steps != NULL && out->plain != NULL);
        out->plain[out->n] = step.plain;
        out->passed += step.source != NULL;
        rc = take_step(table, columns, &step, &out->steps[out->n++]);
    }
    varve_merge_free(merge);
    for (uint32_t i = 0; i < table->shape.sources; i++)
        sources[i]->ops->close(sources[i]);
    return rc;
}

static void check_stamp(struct varve_stamp got, struct varve_stamp want)
{
    must(got.state == want.state);
    must(got.state == VARVE_ABSENT || (got.wt == want.wt && got.exp == want.exp));
}

static void check_row(const struct varve_rows *rows, uint32_t i, const struct fake_row *want,
                      const struct varve_column_set *columns)
{
    const struct varve_schema *schema = rows->schema;

    must(rows->time[i] == want->time);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        if (c >= schema->first_value && !varve_column_set_has(columns, c))
            continue;
        if (c >= schema->first_value)
            check_stamp(varve_rows_stamp(rows, i, c), want->stamps[c]);
        if (c >= schema->first_value && want->stamps[c].state != VARVE_LIVE)
            continue;
        const varve_value got = varve_rows_value(rows, i, c);
        must(fake_values_same(&got, &want->values[c]));
    }
    check_stamp(varve_rows_stamp(rows, i, VARVE_MARKER_COLUMN), want->marker);
}

static void check_collected(const struct fake_table *table, const struct collected *c,
                            uint32_t partition, const struct varve_column_set *columns,
                            int64_t first, int64_t last, bool reverse)
{
    bool *exists;
    size_t n, at = 0;
    struct fake_row *model = fake_model(table, 0, &n, &exists);

    for (size_t i = 0; i < n; i++) /* keep what is asked */
        if (model[i].partition == partition && model[i].time >= first && model[i].time <= last)
            model[at++] = model[i];
    n = at;
    at = 0;
    for (size_t s = 0; s < c->n; s++) {
        const struct varve_rows *rows = &c->steps[reverse ? c->n - 1 - s : s].rows;
        for (uint32_t i = 0; i < rows->n; i++) {
            must(at < n);
            check_row(rows, i, &model[at++], columns);
        }
    }
    must(at == n);
    free(model);
    free(exists);
}

static void all_columns(struct varve_column_set *set)
{
    memset(set, 0xFF, sizeof *set);
}

static struct varve_column_set some_columns(const struct varve_schema *schema,
                                            struct varve_rng *rng)
{
    struct varve_column_set set = {{0}};

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        if (c < schema->first_value || varve_rng_below(rng, 2) == 0)
            varve_bit_set(set.bits, c);
    return set;
}

START_TEST(merge_gives_each_key_once_with_the_winning_cells)
{
    struct varve_rng rng;
    uint32_t passed = 0;

    varve_rng_seed(&rng, (uint64_t)_i + 77);
    for (uint64_t seed = 0; seed < (shapes[_i].rows > 1000 ? 2 : 60); seed++) {
        struct fake_table table;
        fake_table_make(&table, &shapes[_i], seed * 100 + (uint64_t)_i);
        for (uint32_t k = 0; k < 8; k++) {
            const uint32_t partition = (uint32_t)varve_rng_below(&rng, table.shape.partitions);
            const int64_t span = (int64_t)table.shape.time_span * table.shape.time_step;
            const bool reverse = (k & 1) != 0;
            struct varve_column_set columns;
            struct collected out;
            int64_t first = INT64_MIN, last = INT64_MAX;
            all_columns(&columns);
            if (k >= 2) {
                first = table.shape.time_base + (int64_t)varve_rng_below(&rng, (uint64_t)span);
                last = first + (int64_t)varve_rng_below(&rng, (uint64_t)span);
            }
            if (table.shape.plain && k >= 4) /* narrow: what decides existence need not be there */
                columns = some_columns(table.schema, &rng);
            must(run_merge(&table, &table.heap, partition, &columns, first, last, reverse, &out) ==
                 VARVE_END);
            check_collected(&table, &out, partition, &columns, first, last, reverse);
            for (size_t s = 0; s < out.n; s++)
                must(!out.plain[s] || out.steps[s].rows.marker_live == NULL);
            passed += out.passed;
            collect_free(&out);
        }
        fake_table_free(&table);
    }
    ck_assert(!shapes[_i].disjoint || passed > 0);
}
END_TEST

START_TEST(pieces_that_nothing_overlaps_are_passed_on)
{
    const struct fake_shape shape = {.create = table_bars,
                                     .partitions = 1,
                                     .sources = 1,
                                     .rows = 5000,
                                     .time_span = 100000,
                                     .time_step = 1,
                                     .piece_rows = 1024,
                                     .plain = true};
    struct fake_table table;
    struct varve_column_set columns;
    struct collected out;

    all_columns(&columns);
    fake_table_make(&table, &shape, 5);
    for (int reverse = 0; reverse < 2; reverse++) {
        must(run_merge(&table, &table.heap, 0, &columns, INT64_MIN, INT64_MAX, reverse, &out) ==
             VARVE_END);
        ck_assert_uint_eq(out.passed, out.n);
        ck_assert_uint_eq(out.n, table.streams[0].n_cuts);
        collect_free(&out);
    }
    fake_table_free(&table);
}
END_TEST

START_TEST(merge_survives_every_failing_allocation_and_call)
{
    struct fake_table table;
    struct varve_column_set columns;
    struct collected out;

    all_columns(&columns);
    fake_table_make(&table, &shapes[2], 3);
    for (int reverse = 0; reverse < 2; reverse++) {
        bool fired = true;
        for (long n = 0; fired; n++) {
            struct row_heap h;
            row_heap_init(&h, n);
            const varve_status rc =
                run_merge(&table, &h.heap, 1, &columns, INT64_MIN, INT64_MAX, reverse, &out);
            fired = h.fired;
            must(rc == (fired ? VARVE_ENOMEM : VARVE_END));
            must(h.live == 0 && varve_heap_used(&h.heap) == 0);
            collect_free(&out);
        }
        varve_status rc = VARVE_EIO;
        for (long n = 0; rc != VARVE_END; n++) {
            table.calls = 0;
            table.fail_at = n;
            rc = run_merge(&table, &table.heap, 1, &columns, INT64_MIN, INT64_MAX, reverse, &out);
            must(rc == VARVE_EIO || rc == VARVE_END);
            collect_free(&out);
        }
        table.fail_at = -1;
    }
    fake_table_free(&table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge");
    TCase *tcase = tcase_create("merge");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, merge_gives_each_key_once_with_the_winning_cells, 0, N_SHAPES);
    tcase_add_test(tcase, pieces_that_nothing_overlaps_are_passed_on);
    tcase_add_test(tcase, merge_survives_every_failing_allocation_and_call);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
