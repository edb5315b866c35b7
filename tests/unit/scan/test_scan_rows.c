/*
 * test_scan_rows.c - cursors of rows and of partitions against the model.
 *
 * Method: thousands of random questions to random tables; every cell of every batch must be the
 * model's, in its order, and every batch must have the promised layout.
 */
#include "tests/unit/rows/row_maker.h"
#include "tests/unit/scan/scan_rig.h"

#define TABLES 25
#define QUESTIONS 25

static void turn(struct fake_row *rows, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        const struct fake_row row = rows[i];
        rows[i] = rows[n - 1 - i];
        rows[n - 1 - i] = row;
    }
}

/* Apply order and limits to the model's rows. */
static size_t limit_rows(const struct fake_table *table, const struct rig_question *q,
                         struct fake_row *rows, size_t n)
{
    const bool declared = (q->scan.flags & VARVE_SCAN_DECLARED_ORDER) != 0 &&
                          table->schema->columns[table->schema->time_column].descending;
    size_t out = 0;
    uint64_t of_partition = 0;
    uint32_t partition = UINT32_MAX;

    for (size_t at = 0, end; declared && at < n; at = end) { /* the rows of each partition */
        for (end = at + 1; end < n && rows[end].partition == rows[at].partition;)
            end++;
        turn(rows + at, end - at);
    }
    if (rig_reverse(q))
        turn(rows, n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].partition != partition)
            of_partition = 0;
        partition = rows[i].partition;
        if (q->scan.limit_per_partition > 0 && of_partition++ >= q->scan.limit_per_partition)
            continue;
        if (q->scan.limit > 0 && out == q->scan.limit)
            break;
        rows[out++] = rows[i];
    }
    return out;
}

static void check_cells(const struct fake_table *table, const struct rig_question *q,
                        const varve_batch_view *view, uint32_t r, const struct fake_row *row)
{
    for (uint32_t i = 0; i < view->n_columns; i++) {
        const uint32_t column = q->scan.n_columns > 0 ? q->columns[i] : i;
        const varve_value got = varve_view_value(view, r, i);
        const varve_value want = rig_cell(table, q, row, column);
        if (want.presence == VARVE_NULL)
            must(got.presence == VARVE_NULL && got.type == want.type);
        else
            must(fake_values_same(&got, &want));
    }
}

static varve_status run_question(struct fake_table *table, struct varve_heap *heap,
                                 const struct rig_question *q, varve_error *err)
{
    varve_cursor *cursor = NULL;
    const varve_batch_view *view;
    size_t n, at = 0;
    struct fake_row *rows = rig_rows(table, q, &n);
    varve_status rc;

    n = limit_rows(table, q, rows, n);
    rc = rig_open(table, heap, q, RIG_ROWS, &cursor, err);
    while (rc == VARVE_OK) {
        rc = varve_cursor_next(cursor, &view, err);
        if (rc != VARVE_OK)
            break;
        rig_check_layout(view);
        must(view->n_columns ==
             (q->scan.n_columns > 0 ? q->scan.n_columns : table->schema->n_columns));
        for (uint32_t r = 0; r < view->rows; r++) {
            must(at < n);
            check_cells(table, q, view, r, &rows[at++]);
        }
    }
    if (rc == VARVE_END) {
        varve_cursor_stats stats;
        must(at == n);
        must(varve_cursor_next(cursor, &view, err) == VARVE_END);
        varve_cursor_get_stats(cursor, &stats);
        must(stats.rows == n);
    } else if (cursor != NULL) {
        must(varve_cursor_next(cursor, &view, err) == rc); /* a failure stays */
    }
    varve_cursor_close(cursor);
    free(rows);
    return rc;
}

START_TEST(rows_are_those_of_the_model)
{
    struct varve_rng rng;
    struct rig_question q;
    const bool large = rig_shapes[_i].rows >= 1000;

    varve_rng_seed(&rng, (uint64_t)_i + 1);
    for (uint64_t t = 0; t < (large ? 1 : TABLES); t++) {
        struct fake_table table;
        fake_table_make(&table, &rig_shapes[_i], t * 1000 + (uint64_t)_i);
        for (int k = 0; k < (large ? 40 : QUESTIONS); k++) {
            rig_ask(&q, &table, RIG_ROWS, &rng);
            must(run_question(&table, &table.heap, &q, NULL) == VARVE_END);
        }
        fake_table_free(&table);
    }
}
END_TEST

START_TEST(scan_survives_every_failing_allocation_and_call)
{
    struct fake_table table;
    struct varve_rng rng;

    varve_rng_seed(&rng, 9);
    fake_table_make(&table, &rig_shapes[0], 4);
    for (int k = 0; k < 6; k++) {
        struct rig_question q;
        bool fired = true;
        varve_status rc = VARVE_EIO;
        rig_ask(&q, &table, RIG_ROWS, &rng);
        for (long n = 0; fired; n++) {
            struct row_heap h;
            varve_error err = {.status = VARVE_OK};
            row_heap_init(&h, n);
            rc = run_question(&table, &h.heap, &q, &err);
            fired = h.fired;
            must(rc == (fired ? VARVE_ENOMEM : VARVE_END));
            must(!fired || err.status == rc);
            must(h.live == 0 && varve_heap_used(&h.heap) == 0 && table.open_sources == 0);
        }
        rc = VARVE_EIO;
        for (long n = 0; rc != VARVE_END; n++) {
            varve_error err = {.status = VARVE_OK};
            table.calls = 0;
            table.fail_at = n;
            rc = run_question(&table, &table.heap, &q, &err);
            must(rc == VARVE_END || (rc == VARVE_EIO && err.status == rc));
            must(table.open_sources == 0);
        }
        table.fail_at = -1;
    }
    fake_table_free(&table);
}
END_TEST

/* --------------------------------------------------------------------------------- Partitions */

static void run_partitions(struct fake_table *table, const struct rig_question *q)
{
    varve_cursor *cursor = NULL;
    const varve_batch_view *view;
    const uint32_t keys = table->schema->n_partition;
    const uint32_t n = table->shape.partitions;
    const bool reverse = rig_reverse(q);
    uint64_t given = 0;
    uint32_t at = 0;

    must(rig_open(table, &table->heap, q, RIG_PARTITIONS, &cursor, NULL) == VARVE_OK);
    while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK) {
        rig_check_layout(view);
        must(view->n_columns == keys + 3);
        for (uint32_t r = 0; r < view->rows; r++, given++) {
            uint32_t p;
            int64_t rows = 0, first = INT64_MAX, last = INT64_MIN;
            for (;; at++) { /* the next that is asked for and has rows */
                must(at < n);
                p = reverse ? n - 1 - at : at;
                rows = 0;
                first = INT64_MAX;
                last = INT64_MIN;
                for (size_t v = 0; v < table->n_versions; v++) {
                    const struct fake_row *row = &table->versions[v];
                    if (row->partition != p)
                        continue;
                    rows++;
                    first = row->time < first ? row->time : first;
                    last = row->time > last ? row->time : last;
                }
                if (rows > 0 && q->listed[p] &&
                    (q->from_partition == UINT32_MAX || p >= q->from_partition) &&
                    (q->to_partition == UINT32_MAX || p < q->to_partition))
                    break;
            }
            at++;
            for (uint32_t c = 0; c < keys; c++) {
                const varve_value got = varve_view_value(view, r, c);
                must(fake_values_same(&got, &table->key_values[p][c]));
            }
            must(varve_view_value(view, r, keys).as.i64 == rows);
            must(varve_view_value(view, r, keys + 1).as.i64 == first);
            must(varve_view_value(view, r, keys + 2).as.i64 == last);
        }
    }
    must(q->scan.limit == 0 || given <= q->scan.limit);
    varve_cursor_close(cursor);
}

START_TEST(partitions_come_from_directories_in_key_order)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, 3);
    for (uint64_t t = 0; t < 20; t++) {
        struct fake_table table;
        fake_table_make(&table, &rig_shapes[5], t);
        for (int k = 0; k < 20; k++) {
            struct rig_question q;
            rig_ask(&q, &table, RIG_PARTITIONS, &rng);
            run_partitions(&table, &q);
        }
        fake_table_free(&table);
    }
}
END_TEST

/* ------------------------------------------------------------------------- Cancelling, refusing */

static int stop_progress(void *ctx, uint64_t rows, uint64_t bytes, double fraction)
{
    (void)bytes;
    must(fraction >= 0.0 && fraction <= 1.0 && rows > 0);
    return ++*(int *)ctx >= 2;
}

START_TEST(cancel_and_progress_end_a_scan_for_good)
{
    struct fake_table table;
    struct rig_question q = {.floor = INT64_MIN};
    const struct fake_shape shape = {.create = rig_shapes[1].create,
                                     .partitions = 1,
                                     .sources = 1,
                                     .rows = 200000,
                                     .time_span = 1u << 30,
                                     .time_step = 1,
                                     .piece_rows = 1024,
                                     .plain = true};
    const varve_batch_view *view;
    varve_cursor *cursor;
    varve_status rc = VARVE_OK;
    varve_error err;
    int calls = 0;

    fake_table_make(&table, &shape, 1);
    varve_scan_init(&q.scan, sizeof q.scan);
    must(rig_open(&table, &table.heap, &q, RIG_ROWS, &cursor, NULL) == VARVE_OK);
    must(varve_cursor_next(cursor, &view, NULL) == VARVE_OK);
    varve_cursor_cancel(cursor);
    must(varve_cursor_next(cursor, &view, &err) == VARVE_ECANCELED);
    must(err.status == VARVE_ECANCELED);
    must(varve_cursor_next(cursor, &view, NULL) == VARVE_ECANCELED);
    varve_cursor_close(cursor);

    q.scan.progress = stop_progress;
    q.scan.progress_ctx = &calls;
    must(rig_open(&table, &table.heap, &q, RIG_ROWS, &cursor, NULL) == VARVE_OK);
    while (rc == VARVE_OK)
        rc = varve_cursor_next(cursor, &view, NULL);
    must(rc == VARVE_ECANCELED && calls == 2);
    varve_cursor_close(cursor);
    fake_table_free(&table);
}
END_TEST

static varve_status check(const struct varve_schema *schema, const varve_scan *scan, bool aggregate)
{
    varve_error err = {.status = VARVE_OK};
    const varve_status rc = varve_scan_check(schema, scan, aggregate, &err);
    must(rc == VARVE_OK || err.status == rc);
    return rc;
}

START_TEST(each_senseless_question_is_refused)
{
    struct fake_table table;
    varve_scan scan, good;
    const uint32_t columns[] = {0, 99};
    varve_predicate term = {.column = 3, .op = VARVE_LT, .value = {.type = VARVE_DECIMAL}};
    varve_aggregate agg = {.function = VARVE_SUM, .column = 2};
    varve_value key = {.type = VARVE_TEXT};

    fake_table_make(&table, &rig_shapes[1], 1);
    const struct varve_schema *schema = table.schema;
    varve_scan_init(&good, sizeof good);
    must(check(schema, &good, false) == VARVE_OK);
    must(check(schema, &good, true) == VARVE_EINVAL); /* no aggregates */
    scan = good;
    scan.struct_size = 8;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan.struct_size = 4097;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    struct {
        varve_scan scan;
        uint8_t more[16]; /* fields of a newer version */
    } newer = {.scan = good};
    newer.scan.struct_size = sizeof newer;
    must(check(schema, &newer.scan, false) == VARVE_OK);
    newer.more[15] = 1;
    must(check(schema, &newer.scan, false) == VARVE_EUNSUPPORTED);
    scan = good;
    scan.flags = 1u << 20;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan = good;
    scan.n_columns = 2;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan.columns = columns;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan.n_columns = 1;
    must(check(schema, &scan, false) == VARVE_OK);
    scan = good;
    scan.n_partitions = 1;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan.partitions = &key;
    must(check(schema, &scan, false) == VARVE_OK);
    scan.key_from = &key;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan = good;
    scan.n_predicates = 1;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan.predicates = &term;
    must(check(schema, &scan, false) == VARVE_OK);
    term.op = 0;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    term.op = VARVE_EQ;
    term.value.presence = VARVE_NULL;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    term.value.presence = VARVE_SET;
    term.column = 2;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    term.column = 77;
    must(check(schema, &scan, false) == VARVE_EINVAL);
    scan = good;
    scan.aggregates = &agg;
    scan.n_aggregates = 1;
    must(check(schema, &scan, true) == VARVE_OK);
    scan.limit_per_partition = 1;
    must(check(schema, &scan, true) == VARVE_EINVAL);
    scan.flags = VARVE_SCAN_BY_PARTITION;
    must(check(schema, &scan, true) == VARVE_OK);
    scan.every = -1;
    must(check(schema, &scan, true) == VARVE_EINVAL);
    scan.every = 0;
    agg.column = 5; /* text */
    must(check(schema, &scan, true) == VARVE_EINVAL);
    agg.function = VARVE_MAX;
    must(check(schema, &scan, true) == VARVE_OK);
    agg.function = 99;
    must(check(schema, &scan, true) == VARVE_EINVAL);
    agg.function = VARVE_COUNT;
    agg.column = 50;
    must(check(schema, &scan, true) == VARVE_EINVAL);
    fake_table_free(&table);
}
END_TEST

START_TEST(time_range_turns_exclusive_ends_inclusive)
{
    varve_scan scan;
    int64_t first, last;

    varve_scan_init(&scan, sizeof scan);
    scan.from = 5;
    scan.to = 9;
    varve_scan_time_range(&scan, INT64_MIN, &first, &last);
    must(first == INT64_MIN && last == INT64_MAX);
    scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    varve_scan_time_range(&scan, INT64_MIN, &first, &last);
    must(first == 5 && last == 8);
    varve_scan_time_range(&scan, 7, &first, &last);
    must(first == 7 && last == 8);
    scan.to = INT64_MIN;
    varve_scan_time_range(&scan, INT64_MIN, &first, &last);
    must(first > last);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan_rows");
    TCase *tcase = tcase_create("scan_rows");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, rows_are_those_of_the_model, 0, (int)rig_n_shapes);
    tcase_add_test(tcase, scan_survives_every_failing_allocation_and_call);
    tcase_add_test(tcase, partitions_come_from_directories_in_key_order);
    tcase_add_test(tcase, cancel_and_progress_end_a_scan_for_good);
    tcase_add_test(tcase, each_senseless_question_is_refused);
    tcase_add_test(tcase, time_range_turns_exclusive_ends_inclusive);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
