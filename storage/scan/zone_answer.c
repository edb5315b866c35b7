/*
 * zone_answer.c - READ 4: when the zone maps of a vector say all that an aggregation asks of it.
 *
 * The caller has made sure that the whole piece counts: it lies in the range and in one bucket, no
 * other stream overlaps it (the merge passes on no others), every row exists and nothing in it has
 * expired, and every predicate is proven true for all its rows. What is left to see is whether the
 * zone map has what each aggregate wants; if one has not, the values are read for all.
 */
#include "storage/scan/groups_int.h"

#include <math.h>

/* A quiet copy is all that a widened NaN leaves of a float's: the value itself must be read. */
static bool keeps_bits(const struct varve_group_column *column, union varve_scalar end)
{
    return column->phys != VARVE_PHYS_F32 || !isnan(end.f64);
}

static bool zone_suffices(const struct varve_group_column *column, const struct varve_zone *zone,
                          uint32_t rows)
{
    const uint32_t wants = column->wants;

    if (zone->live == 0 || wants == VARVE_FOLD_COUNT)
        return true;
    if (column->kind == VARVE_GROUP_VALUE)
        return false;
    if ((wants & VARVE_FOLD_SUM) != 0 && !zone->has_sum)
        return false;
    if ((wants & (VARVE_FOLD_MIN | VARVE_FOLD_MAX)) != 0 && !zone->has_range && zone->nan == 0)
        return false;
    if ((wants & VARVE_FOLD_FIRST) != 0 && /* its time must be the piece's */
        (!zone->has_ends || zone->first_row != 0 || !keeps_bits(column, zone->first)))
        return false;
    return (wants & VARVE_FOLD_LAST) == 0 ||
           (zone->has_ends && (uint32_t)zone->last_row + 1 == rows &&
            keeps_bits(column, zone->last));
}

static varve_value end_value(const struct varve_group_column *column, const varve_column_info *info,
                             union varve_scalar end)
{
    varve_value value = {.type = info->type, .unit = info->unit, .scale = info->scale};

    if (column->phys == VARVE_PHYS_F32)
        value.as.f32 = (float)end.f64;
    else
        value.as.i64 = end.i64;
    return value;
}

static varve_status fold_zone(const struct varve_groups *groups, struct varve_group_cell *cell,
                              const struct varve_group_column *column,
                              const varve_column_info *info, const struct varve_piece *piece,
                              const struct varve_zone *zone, varve_error *err)
{
    varve_status rc = VARVE_OK;

    if (column->kind == VARVE_GROUP_VALUE)
        cell->fold.count += zone->live;
    else
        varve_fold_zone(&cell->fold, column->wants, column->phys, zone);
    if (zone->live == 0)
        return VARVE_OK;
    if ((column->wants & VARVE_FOLD_FIRST) != 0) {
        const varve_value value = end_value(column, info, zone->first);
        rc = varve_group_end(groups, cell->first, true, piece->first_time, &value, err);
    }
    if (rc == VARVE_OK && (column->wants & VARVE_FOLD_LAST) != 0) {
        const varve_value value = end_value(column, info, zone->last);
        rc = varve_group_end(groups, cell->last, false, piece->last_time, &value, err);
    }
    return rc;
}

/* The time column: the piece itself says its ends. */
static varve_status fold_time(const struct varve_groups *groups, struct varve_group_cell *cell,
                              const struct varve_group_column *column,
                              const varve_column_info *info, const struct varve_piece *piece,
                              varve_error *err)
{
    int64_t ends[2] = {piece->first_time, piece->last_time};
    const struct varve_lanes lanes = {.lane = VARVE_LANE_I64, .n = 2, .values = ends};
    const uint64_t count = cell->fold.count + piece->rows;
    varve_value value = {.type = info->type, .unit = info->unit};
    varve_status rc = VARVE_OK;

    varve_fold_lanes(&cell->fold, VARVE_FOLD_MIN | VARVE_FOLD_MAX, &lanes, 0, 2);
    cell->fold.count = count;
    value.as.i64 = piece->first_time;
    if ((column->wants & VARVE_FOLD_FIRST) != 0)
        rc = varve_group_end(groups, cell->first, true, piece->first_time, &value, err);
    value.as.i64 = piece->last_time;
    if (rc == VARVE_OK && (column->wants & VARVE_FOLD_LAST) != 0)
        rc = varve_group_end(groups, cell->last, false, piece->last_time, &value, err);
    return rc;
}

static varve_status zone_of(const struct varve_merge_step *step, uint32_t column,
                            const struct varve_zone **ret_zone, varve_error *err)
{
    *ret_zone = NULL;
    return step->source->ops->zone(step->source, step->stream, column, ret_zone, err);
}

static varve_status can_answer(varve_cursor *cursor, const struct varve_merge_step *step,
                               bool *ret_can, varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    const uint32_t time = cursor->schema->time_column;

    *ret_can = false;
    for (uint32_t i = 0; i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        const struct varve_zone *zone;
        if (column->column < time)
            continue;
        if (column->column == time) {
            if ((column->wants & VARVE_FOLD_SUM) != 0)
                return VARVE_OK;
            continue;
        }
        const varve_status rc = zone_of(step, column->column, &zone, err);
        if (rc < 0)
            return rc;
        if (zone == NULL || !zone_suffices(column, zone, step->piece.rows))
            return VARVE_OK;
    }
    *ret_can = true;
    return VARVE_OK;
}

varve_status varve_zone_answer(varve_cursor *cursor, const struct varve_merge_step *step,
                               struct varve_group *group, bool *ret_done, varve_error *err)
{
    const struct varve_groups *groups = cursor->groups;
    const struct varve_piece *piece = &step->piece;
    const uint32_t time = cursor->schema->time_column;
    varve_status rc = can_answer(cursor, step, ret_done, err);

    if (rc < 0 || !*ret_done)
        return rc;
    for (uint32_t i = 0; rc == VARVE_OK && i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        const varve_column_info *info = &cursor->schema->columns[column->column];
        const struct varve_zone *zone;
        if (column->column < time) {
            rc = varve_group_fold_constant(groups, &group->cells[i], column,
                                           &cursor->key_values[column->column], piece->rows,
                                           piece->first_time, piece->last_time, err);
        } else if (column->column == time) {
            rc = fold_time(groups, &group->cells[i], column, info, piece, err);
        } else {
            rc = zone_of(step, column->column, &zone, err);
            if (rc == VARVE_OK && zone != NULL)
                rc = fold_zone(groups, &group->cells[i], column, info, piece, zone, err);
        }
    }
    group->rows += piece->rows;
    cursor->zone_answers += groups->n_columns > 0 ? groups->n_columns : 1;
    return rc;
}
