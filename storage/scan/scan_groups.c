/*
 * scan_groups.c - READ 3 and 4: rows of a table into groups, groups into batches.
 *
 * By partition, groups come in the order in which rows are read: one is open at a time and is given
 * when the next begins. Otherwise rows of one bucket may come from every partition, so that all
 * groups are gathered first; rows are then read forward whatever the order of the result.
 */
#include "storage/scan/groups_int.h"

#include <stdio.h>

/* --------------------------------------------------------------------------------------- Steps */

/* A step of the merge, ready to be folded: loaded rows, and which of them count. */
struct folding {
    const struct varve_rows *rows;
    uint32_t first, end;  /* rows [first, end) */
    const uint64_t *mask; /* by row; NULL: all */
    uint64_t bits[VARVE_SELECT_WORDS];
};

/* Rows [first, first + n) of a run into a group, column by column. */
static varve_status fold_run(varve_cursor *cursor, struct varve_group *group,
                             const struct folding *f, uint32_t first, uint32_t n, uint64_t count,
                             varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    varve_status rc = VARVE_OK;

    group->rows += count;
    for (uint32_t i = 0; rc == VARVE_OK && i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        if (column->column >= cursor->schema->time_column) {
            rc =
                varve_group_fold(groups, &group->cells[i], column, f->rows, first, n, f->mask, err);
            continue;
        }
        uint32_t low = first, high = first + n;
        if (f->mask != NULL) {
            low = (uint32_t)varve_bitmap_next(f->mask, first, high);
            while (high > low + 1 && !varve_bit_get(f->mask, high - 1))
                high--;
        }
        rc = varve_group_fold_constant(groups, &group->cells[i], column,
                                       &cursor->key_values[column->column], count,
                                       f->rows->time[low], f->rows->time[high - 1], err);
    }
    return rc;
}

static uint64_t selected_in(const struct folding *f, uint32_t first, uint32_t n)
{
    if (f->mask == NULL)
        return n;
    return varve_bitmap_count(f->mask, (size_t)first + n) - varve_bitmap_count(f->mask, first);
}

static bool is_subset(const struct varve_column_set *of, const struct varve_column_set *set)
{
    for (uint32_t w = 0; w < sizeof set->bits / sizeof *set->bits; w++)
        if ((of->bits[w] & ~set->bits[w]) != 0)
            return false;
    return true;
}

/* Decide which rows count, before anything but predicate columns is read. */
static varve_status select_rows(varve_cursor *cursor, const struct varve_merge_step *step,
                                bool filtered, struct folding *f, varve_error *err)
{
    const bool certain = varve_step_is_certain(cursor, step);
    const struct varve_column_set *needed = &cursor->groups->needed;
    struct varve_live_rows *live = &cursor->live;
    uint64_t selected[VARVE_SELECT_WORDS];
    const bool twice = filtered && certain && step->source != NULL;

    varve_status rc = varve_live_rows_take(live, cursor, step, step->first, step->n,
                                           twice ? &cursor->filter.columns : needed, err);
    if (rc < 0)
        return rc;
    f->rows = &live->rows;
    f->first = live->first;
    f->end = live->first + step->n;
    f->mask = NULL;
    if (certain && !filtered)
        return VARVE_OK;
    memcpy(selected, live->exists, sizeof selected);
    if (filtered)
        varve_filter_rows(&cursor->filter, &live->rows, live->first, step->n, selected);
    const size_t count = varve_bitmap_count(selected, step->n);
    if (count == 0) {
        f->end = f->first;
        return VARVE_OK;
    }
    if (twice && !is_subset(needed, &cursor->filter.columns)) {
        rc = varve_live_rows_take(live, cursor, step, step->first, step->n, needed, err);
        if (rc < 0)
            return rc;
    }
    if (count < step->n) {
        memset(f->bits, 0, sizeof f->bits);
        varve_bitmap_copy(f->bits, f->first, selected, 0, step->n);
        f->mask = f->bits;
    }
    return VARVE_OK;
}

/* Find the group of a bucket: open it (giving the one before), or look it up. END: enough. */
static varve_status enter_group(varve_cursor *cursor, int64_t bucket, struct varve_group **ret,
                                varve_error *err);

/* Give the open group. END: no more groups are wanted of the partition. */
static varve_status close_group(varve_cursor *cursor, varve_error *err);

/* Whether a limit may come before the step's last row. */
static bool may_end(const struct varve_groups *groups, const struct folding *f)
{
    const uint64_t most = f->end - f->first + 1;
    return groups->left < most || groups->left_of_each < most;
}

static varve_status fold_runs(varve_cursor *cursor, const struct folding *f, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;
    struct varve_runs *runs = groups->runs;
    varve_status rc = VARVE_OK;

    for (uint32_t at = f->first; rc == VARVE_OK && at < f->end;) {
        varve_runs_cut(&groups->buckets, f->rows, f->mask, at, f->end, runs, &at);
        if (runs->n == 0)
            continue;
        if (groups->by_partition) {
            if (groups->is_open && groups->open->bucket != runs->buckets[0])
                rc = close_group(cursor, err);
            if (rc == VARVE_OK)
                rc = varve_runs_give(cursor, runs, err);
            continue;
        }
        for (uint32_t k = 0; rc == VARVE_OK && k < runs->n; k++)
            rc = varve_groups_find(groups, runs->buckets[k], &runs->groups[k], err);
        if (rc == VARVE_OK)
            varve_runs_gather(cursor, runs);
    }
    return rc;
}

static varve_status fold_rows(varve_cursor *cursor, const struct folding *f, varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    if (groups->runs != NULL && !may_end(groups, f))
        return fold_runs(cursor, f, err);
    const int64_t *times = f->rows->time;
    uint32_t first = f->first, end = f->end, hint = 0;
    struct varve_bucket bucket =
        varve_bucket_of(&groups->buckets, groups->reverse ? times[end - 1] : times[first]);

    while (first < end) {
        uint32_t from = first, to = end; /* of the next bucket */
        bucket = varve_bucket_after(&groups->buckets, bucket,
                                    groups->reverse ? times[end - 1] : times[first]);
        if (groups->reverse)
            end = from = varve_bucket_begin(times, first, end, bucket.first);
        else
            first = to = varve_bucket_end(times, first, end, bucket.last, hint);
        hint = to - from;
        const uint64_t count = selected_in(f, from, to - from);
        if (count == 0)
            continue;
        struct varve_group *group;
        varve_status rc = enter_group(cursor, bucket.first, &group, err);
        if (rc == VARVE_OK)
            rc = fold_run(cursor, group, f, from, to - from, count, err);
        if (rc != VARVE_OK)
            return rc;
    }
    return VARVE_OK;
}

/* Whether nothing but the zone maps themselves stands against an answer from them. */
static bool may_use_zones(const varve_cursor *cursor, const struct varve_merge_step *step,
                          enum varve_zone_verdict verdict, struct varve_bucket bucket)
{
    return (cursor->scan.flags & VARVE_SCAN_NO_ZONE_MAPS) == 0 && step->source != NULL &&
           step->whole && (step->piece.flags & VARVE_PIECE_ZONED) != 0 &&
           varve_step_is_certain(cursor, step) && verdict == VARVE_ZONE_ALL &&
           step->piece.last_time <= bucket.last;
}

/* VARVE_END: the partition needs no further rows. */
static varve_status fold_step(varve_cursor *cursor, const struct varve_merge_step *step,
                              varve_error *err)
{
    struct folding f;
    enum varve_zone_verdict verdict = VARVE_ZONE_SOME;
    bool done = false;
    varve_status rc;

    if (cursor->filter.n_rows == 0)
        verdict = VARVE_ZONE_ALL;
    else if (step->source != NULL && (step->piece.flags & VARVE_PIECE_ZONED) != 0 &&
             (cursor->scan.flags & VARVE_SCAN_NO_ZONE_MAPS) == 0) {
        rc = varve_filter_zone(&cursor->filter, step->source, step->stream, &step->piece, &verdict,
                               err);
        if (rc < 0)
            return rc;
    }
    if (verdict == VARVE_ZONE_NONE) {
        cursor->zone_pruned++;
        return VARVE_OK;
    }
    if (step->source != NULL) {
        const struct varve_bucket bucket =
            varve_bucket_of(&cursor->groups->buckets, step->piece.first_time);
        if (may_use_zones(cursor, step, verdict, bucket)) {
            struct varve_group *group;
            rc = enter_group(cursor, bucket.first, &group, err);
            if (rc == VARVE_OK)
                rc = varve_zone_answer(cursor, step, group, &done, err);
            if (rc != VARVE_OK || done)
                return rc;
        }
    }
    rc = varve_cursor_tick(cursor, step->n, err);
    if (rc == VARVE_OK)
        rc = select_rows(cursor, step, verdict != VARVE_ZONE_ALL, &f, err);
    return rc < 0 || f.first == f.end ? rc : fold_rows(cursor, &f, err);
}

/* -------------------------------------------------------------------------------------- Giving */

/* The start of a bucket as the time column's type can say it. */
int64_t varve_bucket_start(const varve_cursor *cursor, int64_t bucket)
{
    const varve_column_info *time = &cursor->schema->columns[cursor->schema->time_column];
    struct varve_type_range range = {.min = INT64_MIN};

    (void)varve_type_range(time->type, time->precision, &range);
    return bucket < range.min ? range.min : bucket;
}

static varve_status give_group(varve_cursor *cursor, const struct varve_group *group,
                               varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const struct varve_groups *groups = cursor->groups;
    struct varve_result *result = &cursor->result;
    varve_status rc = VARVE_OK;
    uint32_t at = 0;

    if (groups->by_partition)
        for (uint32_t i = 0; rc == VARVE_OK && i < schema->n_partition; i++)
            rc = varve_result_put(result, at++, &cursor->key_values[i], err);
    if (rc == VARVE_OK && groups->buckets.every > 0) {
        const varve_column_info *time = &schema->columns[schema->time_column];
        varve_value value = {.type = time->type, .unit = time->unit};
        value.as.i64 = varve_bucket_start(cursor, group->bucket);
        rc = varve_result_put(result, at++, &value, err);
    }
    for (uint32_t i = 0; rc == VARVE_OK && i < cursor->scan.n_aggregates; i++) {
        const struct varve_group_output *output = &groups->outputs[i];
        const struct varve_group_column *column = &groups->columns[output->cell];
        varve_value value = {.type = VARVE_BIGINT, .as.i64 = (int64_t)group->rows};
        if (output->function != VARVE_COUNT_ROWS)
            rc = varve_group_result(&group->cells[output->cell], column, output->function,
                                    &schema->columns[column->column], &value, err);
        if (rc == VARVE_OK)
            rc = varve_result_put(result, at++, &value, err);
    }
    if (rc == VARVE_OK)
        result->rows++;
    return rc;
}

varve_status varve_groups_beyond_index(varve_error *err)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                           "a vector has rows outside the times that its file's index says");
}

static varve_status close_group(varve_cursor *cursor, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;

    if (!groups->is_open)
        return VARVE_OK;
    groups->is_open = false;
    if (groups->open->rows == 0) /* opened for zone maps that did not answer, then no row matched */
        return VARVE_OK;
    if (cursor->result.rows == cursor->result.capacity)
        return varve_groups_beyond_index(err);
    const varve_status rc = give_group(cursor, groups->open, err);
    if (rc < 0)
        return rc;
    groups->left--;
    groups->left_of_each--;
    return groups->left == 0 || groups->left_of_each == 0 ? VARVE_END : VARVE_OK;
}

static varve_status enter_group(varve_cursor *cursor, int64_t bucket, struct varve_group **ret,
                                varve_error *err)
{
    struct varve_groups *groups = cursor->groups;

    if (!groups->by_partition)
        return varve_groups_find(groups, bucket, ret, err);
    if (!groups->is_open || groups->open->bucket != bucket) {
        const varve_status rc = close_group(cursor, err);
        if (rc != VARVE_OK)
            return rc;
        varve_group_reset(groups, groups->open, bucket);
        groups->is_open = true;
    }
    *ret = groups->open;
    return VARVE_OK;
}

/* ---------------------------------------------------------------------------- Group by partition */

/* How many groups a step can close at most. */
static uint32_t groups_of_step(const struct varve_groups *groups,
                               const struct varve_merge_step *step)
{
    int64_t first = step->piece.first_time, last = step->piece.last_time;

    if (groups->buckets.every == 0)
        return 1;
    if (step->source == NULL) {
        first = step->rows->time[step->first];
        last = step->rows->time[step->first + step->n - 1];
    }
    const uint64_t whole = ((uint64_t)last - (uint64_t)first) / (uint64_t)groups->buckets.every;
    return whole < step->n ? (uint32_t)(whole + 2 < step->n ? whole + 2 : step->n) : step->n;
}

/* Come to the next step. END: there is none. A partition that ends closes its group. */
static varve_status next_step(varve_cursor *cursor, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;
    varve_status rc;

    while (!groups->has_step && varve_result_room(&cursor->result) > 0) {
        if (groups->left == 0)
            return VARVE_END;
        if (!groups->in_partition) {
            rc = varve_cursor_partition(cursor, err);
            if (rc == VARVE_OK)
                rc = varve_merge_begin(cursor->merge, cursor->walk.inputs, cursor->walk.n_inputs,
                                       cursor->first, cursor->last, groups->reverse, err);
            if (rc != VARVE_OK)
                return rc;
            groups->in_partition = true;
            groups->left_of_each = cursor->scan.limit_per_partition;
            if (groups->left_of_each == 0)
                groups->left_of_each = UINT64_MAX;
        }
        rc = varve_merge_next(cursor->merge, &groups->step, err);
        if (rc == VARVE_END) {
            rc = close_group(cursor, err);
            groups->in_partition = false;
        } else if (rc == VARVE_OK) {
            groups->has_step = true;
        }
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status fill_by_partition(varve_cursor *cursor, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;
    struct varve_result *result = &cursor->result;
    varve_status rc = varve_result_begin(result, 1, err);

    if (cursor->first > cursor->last)
        return VARVE_END;
    while (rc == VARVE_OK) {
        rc = next_step(cursor, err);
        if (rc != VARVE_OK || !groups->has_step)
            break;
        const uint32_t most = groups_of_step(groups, &groups->step);
        if (most > varve_result_room(result)) {
            if (result->rows > 0) /* the step waits for the next batch */
                break;
            rc = varve_result_begin(result, most, err);
            if (rc < 0)
                break;
        }
        groups->has_step = false;
        rc = fold_step(cursor, &groups->step, err);
        if (rc == VARVE_END) {
            groups->in_partition = groups->is_open = false;
            rc = VARVE_OK;
        }
    }
    if (rc < 0)
        return rc;
    return result->rows > 0 ? VARVE_OK : VARVE_END;
}

/* ------------------------------------------------------------------------- Groups over partitions */

static varve_status gather_partition(varve_cursor *cursor, varve_error *err)
{
    struct varve_merge_step *step = &cursor->groups->step;
    varve_status rc = varve_merge_begin(cursor->merge, cursor->walk.inputs, cursor->walk.n_inputs,
                                        cursor->first, cursor->last, false, err);

    while (rc == VARVE_OK) {
        rc = varve_merge_next(cursor->merge, step, err);
        if (rc == VARVE_OK)
            rc = fold_step(cursor, step, err);
    }
    return rc == VARVE_END ? VARVE_OK : rc;
}

static varve_status gather(varve_cursor *cursor, varve_error *err)
{
    varve_status rc = cursor->first <= cursor->last ? VARVE_OK : VARVE_END;

    while (rc == VARVE_OK) {
        rc = varve_cursor_partition(cursor, err);
        if (rc == VARVE_OK)
            rc = gather_partition(cursor, err);
    }
    cursor->groups->gathered = rc == VARVE_END;
    return rc == VARVE_END ? VARVE_OK : rc;
}

/* Groups that zone maps were asked for in vain may have stayed empty. */
static void drop_empty(struct varve_groups *groups)
{
    size_t n = 0;

    for (size_t i = 0; i < groups->n_all; i++) {
        if (groups->all[i]->rows > 0)
            groups->all[n++] = groups->all[i];
        else
            varve_group_clear(groups, groups->all[i]);
    }
    groups->n_all = n;
}

static varve_status fill_gathered(varve_cursor *cursor, varve_error *err)
{
    struct varve_groups *groups = cursor->groups;
    struct varve_result *result = &cursor->result;
    varve_status rc = VARVE_OK;

    if (!groups->gathered) {
        rc = gather(cursor, err);
        if (rc < 0)
            return rc;
        if (groups->buckets.every == 0) { /* one row, whatever there is */
            struct varve_group *group;
            rc = varve_groups_find(groups, INT64_MIN, &group, err);
        } else {
            drop_empty(groups);
        }
        varve_groups_sort(groups, groups->descending);
    }
    if (rc == VARVE_OK)
        rc = varve_result_begin(result, 1, err);
    while (rc == VARVE_OK && varve_result_room(result) > 0 && groups->given < groups->n_all &&
           groups->left > 0) {
        rc = give_group(cursor, groups->all[groups->given], err);
        groups->given++;
        groups->left--;
    }
    if (rc < 0)
        return rc;
    return result->rows > 0 ? VARVE_OK : VARVE_END;
}

/* ---------------------------------------------------------------------------------------- Birth */

static uint8_t want_of(uint32_t function)
{
    switch (function) {
    case VARVE_SUM:
    case VARVE_AVG:
        return VARVE_FOLD_COUNT | VARVE_FOLD_SUM;
    case VARVE_MIN:
        return VARVE_FOLD_COUNT | VARVE_FOLD_MIN;
    case VARVE_MAX:
        return VARVE_FOLD_COUNT | VARVE_FOLD_MAX;
    case VARVE_FIRST:
        return VARVE_FOLD_COUNT | VARVE_FOLD_FIRST;
    case VARVE_LAST:
        return VARVE_FOLD_COUNT | VARVE_FOLD_LAST;
    default:
        return VARVE_FOLD_COUNT;
    }
}

static uint8_t kind_of(uint8_t phys)
{
    if (phys <= VARVE_PHYS_I64)
        return VARVE_GROUP_INTEGER;
    return phys == VARVE_PHYS_F32 || phys == VARVE_PHYS_F64 ? VARVE_GROUP_FLOAT : VARVE_GROUP_VALUE;
}

/* The distinct columns that aggregates name. */
static void list_columns(varve_cursor *cursor, struct varve_groups *groups)
{
    const struct varve_schema *schema = cursor->schema;

    for (uint32_t i = 0; i < cursor->scan.n_aggregates; i++) {
        const varve_aggregate *a = &cursor->scan.aggregates[i];
        uint32_t c = 0;
        groups->outputs[i] = (struct varve_group_output){.function = a->function};
        if (a->function == VARVE_COUNT_ROWS)
            continue;
        while (c < groups->n_columns && groups->columns[c].column != a->column)
            c++;
        struct varve_group_column *column = &groups->columns[c];
        if (c == groups->n_columns) {
            groups->n_columns++;
            column->column = a->column;
            column->type = schema->columns[a->column].type;
            column->phys = schema->phys[a->column];
            column->kind = kind_of(column->phys);
            if (a->column > schema->time_column)
                varve_bit_set(groups->needed.bits, a->column);
        }
        column->wants |= want_of(a->function);
        groups->outputs[i].cell = c;
    }
    groups->group_size = varve_group_size(groups);
}

static varve_status define_aggregate(varve_cursor *cursor, uint32_t at, const varve_aggregate *a,
                                     varve_error *err)
{
    static const char *const names[] = {"",    "count", "count", "sum", "min",
                                        "max", "avg",   "first", "last"};
    const bool rows = a->function == VARVE_COUNT_ROWS;
    const varve_column_info *info = rows ? NULL : &cursor->schema->columns[a->column];
    const size_t size = 9 + (rows ? 0 : strlen(info->name));
    char *name = varve_cursor_memory(cursor, 1, size);
    uint8_t type = VARVE_BIGINT;

    if (name == NULL)
        return varve_error_nomem(err, "the names of a result");
    (void)snprintf(name, size, "%s(%s)", names[a->function], rows ? "*" : info->name);
    if (a->function == VARVE_AVG)
        type = VARVE_DOUBLE;
    else if (a->function == VARVE_SUM)
        type =
            info->type == VARVE_FLOAT || info->type == VARVE_DOUBLE ? VARVE_DOUBLE : VARVE_HUGEINT;
    else if (a->function > VARVE_COUNT)
        type = info->type;
    varve_result_define(&cursor->result, at, name, info, type);
    return VARVE_OK;
}

static varve_status define_columns(varve_cursor *cursor, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const struct varve_groups *groups = cursor->groups;
    const varve_column_info *time = &schema->columns[schema->time_column];
    const uint32_t n_keys = groups->by_partition ? schema->n_partition : 0;
    const uint32_t n_buckets = groups->buckets.every > 0 ? 1 : 0;
    uint32_t at = 0;
    varve_status rc = varve_result_init(&cursor->result, cursor,
                                        n_keys + n_buckets + cursor->scan.n_aggregates, err);

    for (uint32_t i = 0; rc == VARVE_OK && i < n_keys; i++, at++)
        varve_result_define(&cursor->result, at, schema->columns[i].name, &schema->columns[i],
                            schema->columns[i].type);
    if (rc == VARVE_OK && n_buckets > 0)
        varve_result_define(&cursor->result, at++, "bucket", time, time->type);
    for (uint32_t i = 0; rc == VARVE_OK && i < cursor->scan.n_aggregates; i++)
        rc = define_aggregate(cursor, at++, &cursor->scan.aggregates[i], err);
    return rc;
}

varve_status varve_groups_init(varve_cursor *cursor, varve_error *err)
{
    struct varve_groups *groups = varve_cursor_memory(cursor, 1, sizeof *groups);
    struct varve_column_set needed;
    varve_status rc;

    if (groups == NULL)
        return varve_error_nomem(err, "an aggregation");
    groups->heap = cursor->heap;
    varve_arena_init(&groups->arena, cursor->heap,
                     (cursor->scan.flags & VARVE_SCAN_BY_PARTITION) != 0 ? 1 : VARVE_GROUPS_BLOCK);
    cursor->groups = groups;
    groups->columns =
        varve_cursor_memory(cursor, cursor->scan.n_aggregates, sizeof *groups->columns);
    groups->outputs =
        varve_cursor_memory(cursor, cursor->scan.n_aggregates, sizeof *groups->outputs);
    if (groups->columns == NULL || groups->outputs == NULL)
        return varve_error_nomem(err, "an aggregation");
    groups->buckets = (struct varve_buckets){cursor->scan.every, cursor->scan.origin};
    groups->by_partition = (cursor->scan.flags & VARVE_SCAN_BY_PARTITION) != 0;
    groups->descending = cursor->reverse;
    groups->reverse = groups->by_partition && cursor->reverse;
    cursor->reverse = groups->reverse;
    cursor->keys_reverse = groups->reverse;
    groups->left = cursor->scan.limit > 0 ? cursor->scan.limit : UINT64_MAX;
    list_columns(cursor, groups);
    rc = define_columns(cursor, err);
    if (rc == VARVE_OK && groups->by_partition)
        rc = varve_group_new(groups, &groups->open, err);
    if (rc == VARVE_OK && varve_runs_suffice(cursor)) {
        groups->runs = varve_cursor_memory(cursor, 1, sizeof *groups->runs);
        if (groups->runs == NULL)
            return varve_error_nomem(err, "an aggregation");
    }
    if (rc < 0)
        return rc;
    cursor->fill = groups->by_partition ? fill_by_partition : fill_gathered;
    needed = groups->needed;
    for (uint32_t w = 0; w < sizeof needed.bits / sizeof *needed.bits; w++)
        needed.bits[w] |= cursor->filter.columns.bits[w];
    return varve_merge_create(cursor->heap, cursor->schema, &needed, &cursor->merge, err);
}
