/*
 * group_runs.c - READ 3: the rows of a step cut into buckets, and folded a column at a time.
 *
 * Of a vector of minutes all hours but the first and the last lie wholly inside. Those never become
 * groups: what a column's runs fold to goes straight into the result, column by column. Only the
 * first run, which may go on with the open group, and the last, which may not be complete, pass
 * through the cells of the open group.
 */
#include "storage/scan/groups_int.h"

#include <assert.h>

#define ENDS (VARVE_FOLD_FIRST | VARVE_FOLD_LAST)

bool varve_runs_suffice(const varve_cursor *cursor)
{
    const struct varve_groups *groups = cursor->groups;

    if (groups->buckets.every == 0 || groups->reverse)
        return false;
    for (uint32_t i = 0; i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        if (column->column < cursor->schema->time_column || column->kind == VARVE_GROUP_VALUE)
            return false;
        /* Ends have times, which runs do not keep: where groups meet again they would count. And
         * the bits of a float that is NaN do not survive being widened. */
        if ((column->wants & ENDS) != 0 &&
            (!groups->by_partition || column->phys == VARVE_PHYS_F32))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------- Cutting */

static uint32_t selected_in(const uint64_t *mask, uint32_t first, uint32_t n)
{
    if (mask == NULL)
        return n;
    return (uint32_t)(varve_bitmap_count(mask, (size_t)first + n) -
                      varve_bitmap_count(mask, first));
}

void varve_runs_cut(const struct varve_buckets *buckets, const struct varve_rows *rows,
                    const uint64_t *mask, uint32_t first, uint32_t end, struct varve_runs *runs,
                    uint32_t *ret_next)
{
    const int64_t *times = rows->time;
    struct varve_bucket bucket = varve_bucket_of(buckets, times[first]);
    uint32_t at = first, hint = 0;

    runs->rows = rows;
    runs->mask = mask;
    runs->first = first;
    runs->n = 0;
    while (at < end && runs->n < VARVE_RUNS_MAX) {
        bucket = varve_bucket_after(buckets, bucket, times[at]);
        const uint32_t to = varve_bucket_end(times, at, end, bucket.last, hint);
        const uint32_t count = selected_in(mask, at, to - at);
        hint = to - at;
        at = to;
        if (count == 0) { /* its rows count for nothing, whichever run they lie in */
            if (runs->n > 0)
                runs->ends[runs->n - 1] = at - first;
            continue;
        }
        runs->ends[runs->n] = at - first;
        runs->counts[runs->n] = count;
        runs->buckets[runs->n] = bucket.first;
        runs->n++;
    }
    *ret_next = at;
}

/* Fold the runs' rows of one column. */
static void fold_column(const struct varve_group_column *column, struct varve_runs *runs)
{
    const struct varve_lanes lanes = varve_rows_lanes(runs->rows, column->column);
    const uint64_t *live = runs->mask != NULL ? runs->mask : lanes.live;
    uint64_t both[VARVE_SELECT_WORDS];

    if (runs->mask != NULL && lanes.live != NULL) {
        for (uint32_t w = 0; w < VARVE_BITMAP_WORDS(runs->rows->n); w++)
            both[w] = runs->mask[w] & lanes.live[w];
        live = both;
    }
    varve_fold_runs(column->wants, &lanes, live, runs->first, runs->ends, runs->n, &runs->folds);
}

/* ------------------------------------------------------------------------------------ The cells */

static void keep_end(struct varve_group_value *end, const varve_column_info *info, int64_t time,
                     int64_t value)
{
    *end = (struct varve_group_value){.has = true, .time = time};
    end->value.type = info->type;
    end->value.unit = info->unit;
    end->value.scale = info->scale;
    end->value.as.i64 = value;
}

/* Fold run k into a cell. In a partition rows come in order, so that any time within the run can
 * stand for that of its first and last value. */
static void fold_run(const varve_cursor *cursor, const struct varve_group_column *column,
                     const struct varve_runs *runs, uint32_t k, struct varve_group_cell *cell)
{
    const varve_column_info *info = &cursor->schema->columns[column->column];
    const uint32_t begin = varve_run_begin(&runs->folds, k), end = runs->folds.ends[k];
    const int64_t *values = runs->folds.values;
    const uint32_t wants = column->wants & ~(uint32_t)ENDS;

    if (begin == end)
        return;
    if ((wants & ~(uint32_t)VARVE_FOLD_COUNT) == 0)
        cell->fold.count += end - begin;
    else
        varve_fold_run(&cell->fold, wants, &runs->folds, k);
    const int64_t time = runs->rows->time[runs->first + (k == 0 ? 0 : runs->ends[k - 1])];
    if ((column->wants & VARVE_FOLD_FIRST) != 0 && !cell->first->has)
        keep_end(cell->first, info, time, values[begin]);
    if ((column->wants & VARVE_FOLD_LAST) != 0)
        keep_end(cell->last, info, time, values[end - 1]);
}

void varve_runs_gather(varve_cursor *cursor, struct varve_runs *runs)
{
    const struct varve_groups *groups = cursor->groups;

    for (uint32_t i = 0; i < groups->n_columns; i++) {
        fold_column(&groups->columns[i], runs);
        for (uint32_t k = 0; k < runs->n; k++)
            fold_run(cursor, &groups->columns[i], runs, k, &runs->groups[k]->cells[i]);
    }
    for (uint32_t k = 0; k < runs->n; k++)
        runs->groups[k]->rows += runs->counts[k];
}

/* ------------------------------------------------------------------------------------- Results */

/* What a function makes of runs [from, n) of a column, as rows of the result from `from` on. */
struct giving {
    const struct varve_runs *runs;
    const struct varve_group_column *column;
    const varve_column_info *info;
    uint32_t from, n;
    uint32_t present[VARVE_RUNS_MAX];
    int64_t numbers[VARVE_RUNS_MAX];
    varve_i128 sums[VARVE_RUNS_MAX];
};

static void make_sums(struct giving *g, bool is_avg)
{
    const struct varve_run_folds *folds = &g->runs->folds;
    const int scale = g->info->type == VARVE_DECIMAL ? g->info->scale : 0;
    double reals[VARVE_RUNS_MAX];

    if (g->column->kind == VARVE_GROUP_FLOAT) {
        varve_run_sums(folds, g->n, reals);
        for (uint32_t k = 0; is_avg && k < g->n; k++)
            reals[k] = g->present[k] == 0 ? 0.0 : reals[k] / (double)g->present[k];
        memcpy(g->numbers, reals, g->n * sizeof *reals);
        return;
    }
    for (uint32_t k = 0; k < g->n; k++)
        g->sums[k] = folds->ranges[k].sum;
    if (!is_avg)
        return;
    for (uint32_t k = 0; k < g->n; k++)
        reals[k] = g->present[k] == 0 ? 0.0 : varve_group_mean(g->sums[k], g->present[k], scale);
    memcpy(g->numbers, reals, g->n * sizeof *reals);
}

static void make_extremes(struct giving *g, bool greatest)
{
    varve_run_extremes(&g->runs->folds, greatest, g->n, g->numbers);
    if (g->info->type != VARVE_FLOAT)
        return;
    for (uint32_t k = 0; k < g->n; k++) { /* a float's bits from the double's */
        double wide;
        memcpy(&wide, &g->numbers[k], sizeof wide);
        const float narrow = (float)wide;
        memcpy(&g->numbers[k], &narrow, sizeof narrow);
    }
}

static void make_ends(struct giving *g, bool is_last)
{
    const struct varve_run_folds *folds = &g->runs->folds;
    const int64_t *values = folds->values;

    for (uint32_t k = 0; k < g->n; k++)
        if (g->present[k] != 0)
            g->numbers[k] = values[is_last ? folds->ends[k] - 1 : varve_run_begin(folds, k)];
}

/* Of the complete runs from g->from on. */
static void give_inner(struct varve_result *result, uint32_t at, uint32_t function,
                       struct giving *g)
{
    const uint32_t *present = g->present + g->from;
    const uint32_t n = g->n - g->from;

    switch (function) {
    case VARVE_COUNT:
        for (uint32_t k = 0; k < g->n; k++)
            g->numbers[k] = g->present[k];
        present = NULL;
        break;
    case VARVE_SUM:
    case VARVE_AVG:
        make_sums(g, function == VARVE_AVG);
        if (function == VARVE_SUM && g->column->kind == VARVE_GROUP_INTEGER) {
            varve_result_hugeints(result, at, g->sums + g->from, present, n);
            return;
        }
        break;
    case VARVE_MIN:
    case VARVE_MAX:
        make_extremes(g, function == VARVE_MAX);
        break;
    default:
        make_ends(g, function == VARVE_LAST);
        break;
    }
    varve_result_numbers(result, at, g->numbers + g->from, present, n);
}

/* What functions make of a column's complete runs: all but the last. `goes_on`: the cell has the
 * first of them. */
static varve_status give_column(varve_cursor *cursor, const struct varve_runs *runs, uint32_t i,
                                bool goes_on, uint32_t at, varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    struct varve_result *result = &cursor->result;
    struct giving g = {.runs = runs, .from = goes_on ? 1 : 0, .n = runs->n - 1};

    g.column = &groups->columns[i];
    g.info = &cursor->schema->columns[g.column->column];
    for (uint32_t k = 0; k < g.n; k++)
        g.present[k] = varve_run_count(&runs->folds, k);
    for (uint32_t o = 0; o < cursor->scan.n_aggregates; o++, at++) {
        const uint32_t function = groups->outputs[o].function;
        if (function == VARVE_COUNT_ROWS || groups->outputs[o].cell != i)
            continue;
        if (goes_on) {
            varve_value value;
            varve_status rc = varve_group_result(&groups->open->cells[i], g.column, function,
                                                 g.info, &value, err);
            if (rc == VARVE_OK)
                rc = varve_result_put(result, at, &value, err);
            if (rc < 0)
                return rc;
        }
        result->rows += g.from;
        give_inner(result, at, function, &g);
        result->rows -= g.from;
    }
    return VARVE_OK;
}

/* The columns that do not depend on values: keys, buckets, numbers of rows. */
static varve_status give_frame(varve_cursor *cursor, const struct varve_runs *runs,
                               varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    struct varve_result *result = &cursor->result;
    const uint32_t n_keys = cursor->schema->n_partition;
    const uint32_t given = runs->n - 1;
    int64_t numbers[VARVE_RUNS_MAX];

    for (uint32_t i = 0; i < n_keys; i++) {
        const varve_status rc = varve_result_fill(result, i, &cursor->key_values[i], given, err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t k = 0; k < given; k++)
        numbers[k] = varve_bucket_start(cursor, runs->buckets[k]);
    varve_result_numbers(result, n_keys, numbers, NULL, given);
    for (uint32_t k = 0; k < given; k++)
        numbers[k] = (int64_t)runs->counts[k];
    for (uint32_t o = 0; o < cursor->scan.n_aggregates; o++)
        if (groups->outputs[o].function == VARVE_COUNT_ROWS)
            varve_result_numbers(result, n_keys + 1 + o, numbers, NULL, given);
    return VARVE_OK;
}

varve_status varve_runs_give(varve_cursor *cursor, struct varve_runs *runs, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;
    struct varve_group *open = groups->open;
    const uint32_t given = runs->n - 1;
    const bool goes_on = groups->is_open;
    varve_status rc = VARVE_OK;

    assert(runs->n > 0);
    assert(!goes_on || open->bucket == runs->buckets[0]);
    if (given > cursor->result.capacity - cursor->result.rows)
        return varve_groups_beyond_index(err);
    if (goes_on)
        runs->counts[0] += open->rows;
    for (uint32_t i = 0; rc == VARVE_OK && i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        struct varve_group_cell *cell = &open->cells[i];
        fold_column(column, runs);
        if (goes_on)
            fold_run(cursor, column, runs, 0, cell);
        if (given > 0)
            rc = give_column(cursor, runs, i, goes_on, cursor->schema->n_partition + 1, err);
        if (given > 0 || !goes_on) {
            varve_group_cell_reset(groups, cell);
            fold_run(cursor, column, runs, given, cell);
        }
    }
    if (rc == VARVE_OK && given > 0)
        rc = give_frame(cursor, runs, err);
    if (rc < 0)
        return rc;
    open->bucket = runs->buckets[given];
    open->rows = runs->counts[given];
    groups->is_open = true;
    groups->left -= given;
    groups->left_of_each -= given;
    cursor->result.rows += given;
    return VARVE_OK;
}
