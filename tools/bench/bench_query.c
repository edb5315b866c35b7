/*
 * bench_query.c - questions to a store: everything, hourly figures of everything, one hour of one
 * partition.
 */
#include <stdio.h>
#include <string.h>

#include "tools/bench/store_bench.h"

static bool failed(const varve_error *err, const char *doing)
{
    (void)fprintf(stderr, "varve: %s: %s: %s\n", doing, varve_status_name(err->status),
                  err->message);
    return false;
}

static uint64_t sum_column(const varve_column_view *view, uint32_t rows)
{
    const int64_t *wide = view->values;
    const int32_t *narrow = view->values;
    uint64_t sum = 0;

    if (view->type == VARVE_TEXT) /* lengths */
        return view->offsets[rows] - view->offsets[0];
    if (view->type == VARVE_INT)
        for (uint32_t i = 0; i < rows; i++)
            sum += (uint64_t)narrow[i];
    else /* a double's bits count */
        for (uint32_t i = 0; i < rows; i++)
            sum += (uint64_t)wide[i];
    return sum;
}

/* Take every row of a cursor, and close it. */
static varve_status drain_rows(varve_cursor *cursor, struct bench_sum *sum, varve_error *err)
{
    const varve_batch_view *view = NULL;
    varve_status rc;

    while ((rc = varve_cursor_next(cursor, &view, err)) == VARVE_OK) {
        sum->rows += view->rows;
        for (uint32_t c = 0; c < view->n_columns; c++)
            sum->cells += sum_column(&view->columns[c], view->rows);
    }
    varve_cursor_close(cursor);
    return rc;
}

bool bench_scan_all(varve_store *store, const struct bench_workload *workload,
                    struct bench_meter *meter, struct bench_sum *ret_sum)
{
    varve_table *table = NULL;
    varve_cursor *cursor = NULL;
    varve_scan scan;
    varve_error err = {0};

    varve_scan_init(&scan, sizeof scan);
    *ret_sum = (struct bench_sum){0};
    bench_meter_start(meter);
    varve_status rc = varve_table_open(store, workload->table, &table, &err);
    if (rc == VARVE_OK)
        rc = varve_scan_open(store, table, &scan, &cursor, &err);
    if (rc == VARVE_OK)
        rc = drain_rows(cursor, ret_sum, &err);
    bench_meter_stop(meter);
    return rc >= 0 || failed(&err, "scan");
}

/* A group's columns: partition, bucket, count, min, max, sum, avg. Of sums the low half counts. */
static void sum_groups(const varve_batch_view *view, struct bench_sum *sum)
{
    double scale = 1;

    for (int i = 0; i < view->columns[5].scale; i++)
        scale *= 10;
    sum->rows += view->rows;
    for (uint32_t c = 1; c < 6; c++) {
        const varve_column_view *column = &view->columns[c];
        const uint32_t words = column->type == VARVE_HUGEINT ? 2 : 1;
        const int64_t *wide = column->values;
        const int32_t *narrow = column->values;
        uint64_t cells = 0;
        for (uint32_t row = 0; row < view->rows; row++)
            cells +=
                column->type == VARVE_INT ? (uint64_t)narrow[row] : (uint64_t)wide[row * words];
        sum->cells += cells * (2 * (uint64_t)c + 1);
    }
    for (uint32_t row = 0; row < view->rows; row++)
        sum->averages += ((const double *)view->columns[6].values)[row] * scale;
}

bool bench_aggregate_hourly(varve_store *store, const struct bench_workload *workload,
                            struct bench_meter *meter, struct bench_sum *ret_sum)
{
    const varve_aggregate aggregates[] = {{.function = VARVE_COUNT, .column = workload->measured},
                                          {.function = VARVE_MIN, .column = workload->measured},
                                          {.function = VARVE_MAX, .column = workload->measured},
                                          {.function = VARVE_SUM, .column = workload->measured},
                                          {.function = VARVE_AVG, .column = workload->measured}};
    const varve_batch_view *view = NULL;
    varve_table *table = NULL;
    varve_cursor *cursor = NULL;
    varve_scan scan;
    varve_error err = {0};

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_BY_PARTITION;
    scan.aggregates = aggregates;
    scan.n_aggregates = sizeof aggregates / sizeof aggregates[0];
    scan.every = BENCH_HOUR_MS;
    *ret_sum = (struct bench_sum){0};
    bench_meter_start(meter);
    varve_status rc = varve_table_open(store, workload->table, &table, &err);
    if (rc == VARVE_OK)
        rc = varve_aggregate_open(store, table, &scan, &cursor, &err);
    while (rc == VARVE_OK && (rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK)
        sum_groups(view, ret_sum);
    varve_cursor_close(cursor);
    bench_meter_stop(meter);
    return rc >= 0 || failed(&err, "aggregate");
}

static varve_status slice(varve_store *store, const varve_table *table,
                          const struct bench_rows *rows, uint64_t pick, struct bench_sum *sum,
                          varve_error *err)
{
    const int64_t time = bench_rows_i64(rows, 1, pick);
    const uint32_t *offsets = rows->offsets[0];
    varve_value key = {.type = VARVE_TEXT};
    varve_cursor *cursor = NULL;
    varve_scan scan;

    key.as.bytes.data = (const char *)rows->values[0] + offsets[pick];
    key.as.bytes.size = offsets[pick + 1] - offsets[pick];
    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    scan.partitions = &key;
    scan.n_partitions = 1;
    scan.from = time - time % BENCH_HOUR_MS;
    scan.to = scan.from + BENCH_HOUR_MS;
    const varve_status rc = varve_scan_open(store, table, &scan, &cursor, err);
    return rc < 0 ? rc : drain_rows(cursor, sum, err);
}

bool bench_slices(varve_store *store, const struct bench_rows *rows, const uint64_t *picks,
                  uint32_t n, double *seconds, struct bench_sum *ret_sum)
{
    varve_table *table = NULL;
    varve_error err = {0};

    *ret_sum = (struct bench_sum){0};
    if (varve_table_open(store, rows->workload->table, &table, &err) < 0)
        return failed(&err, "open the table");
    for (uint32_t i = 0; i < n; i++) {
        const double begun_s = bench_wall_s();
        if (slice(store, table, rows, picks[i], ret_sum, &err) < 0)
            return failed(&err, "read a slice");
        seconds[i] = bench_wall_s() - begun_s;
    }
    return true;
}
