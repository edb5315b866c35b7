/*
 * group_cells.c - one column of one group: gathering values, and what functions make of them.
 *
 * Numbers go through the codec's folds. Text, blobs, uuids and bare decimals go value by value. What
 * is gathered does not depend on the order of calls but for one thing that the direction settles:
 * of rows with equal times the first is the one that comes first in key order, and the last the one
 * that comes last.
 */
#include "storage/scan/groups_int.h"

#include <assert.h>

#include "storage/codec/kernels.h"

static varve_status keep_value(const struct varve_groups *groups, struct varve_group_value *keep,
                               const varve_value *value, varve_error *err)
{
    if (value->type != VARVE_TEXT && value->type != VARVE_BLOB) {
        keep->value = *value;
        keep->has = true;
        return VARVE_OK;
    }
    const size_t size = value->as.bytes.size;
    if (size > keep->capacity) {
        const size_t capacity = size < 64 ? 64 : size;
        uint8_t *fresh = varve_alloc(groups->heap, capacity);
        if (fresh == NULL)
            return varve_groups_nomem(groups->heap, capacity, err);
        varve_free(groups->heap, keep->bytes, keep->capacity);
        keep->bytes = fresh;
        keep->capacity = capacity;
    }
    if (size > 0)
        memcpy(keep->bytes, value->as.bytes.data, size);
    keep->value = *value;
    keep->value.as.bytes.data = keep->bytes;
    keep->has = true;
    return VARVE_OK;
}

varve_status varve_group_end(const struct varve_groups *groups, struct varve_group_value *end,
                             bool is_first, int64_t time, const varve_value *value,
                             varve_error *err)
{
    bool wins;

    if (!end->has)
        wins = true;
    else if (is_first)
        wins = groups->reverse ? time <= end->time : time < end->time;
    else
        wins = groups->reverse ? time > end->time : time >= end->time;
    if (!wins)
        return VARVE_OK;
    end->time = time;
    return keep_value(groups, end, value, err);
}

/* ------------------------------------------------------------------------------------- Values */

/* Order of values for min and max: decimals of one value by their scale, so that it is total. */
static int value_order(const varve_value *a, const varve_value *b)
{
    const int rc = varve_cell_compare(a->type, a, b);
    return rc != 0 || a->type != VARVE_DECIMAL ? rc : (a->scale > b->scale) - (a->scale < b->scale);
}

static varve_status offer_extremes(const struct varve_groups *groups, struct varve_group_cell *cell,
                                   uint32_t wants, const varve_value *least,
                                   const varve_value *greatest, varve_error *err)
{
    varve_status rc = VARVE_OK;

    if ((wants & VARVE_FOLD_MIN) != 0 &&
        (!cell->min->has || value_order(least, &cell->min->value) < 0))
        rc = keep_value(groups, cell->min, least, err);
    if (rc == VARVE_OK && (wants & VARVE_FOLD_MAX) != 0 &&
        (!cell->max->has || value_order(greatest, &cell->max->value) > 0))
        rc = keep_value(groups, cell->max, greatest, err);
    return rc;
}

static varve_status add_scaled(const struct varve_groups *groups, struct varve_group_cell *cell,
                               const varve_value *value, uint64_t times, varve_error *err)
{
    struct varve_scale_sum **at = &cell->sums;

    while (*at != NULL && (*at)->scale > value->scale)
        at = &(*at)->next;
    if (*at == NULL || (*at)->scale != value->scale) {
        struct varve_scale_sum *fresh = varve_alloc_zero(groups->heap, 1, sizeof *fresh);
        if (fresh == NULL)
            return varve_groups_nomem(groups->heap, sizeof *fresh, err);
        fresh->scale = value->scale;
        fresh->next = *at;
        *at = fresh;
    }
    (*at)->sum += (varve_i128)value->as.i64 * (varve_i128)times;
    return VARVE_OK;
}

static varve_status fold_values(const struct varve_groups *groups, struct varve_group_cell *cell,
                                const struct varve_group_column *column,
                                const struct varve_rows *rows, uint32_t first, uint32_t n,
                                const uint64_t *live, varve_error *err)
{
    const bool sums = column->phys == VARVE_PHYS_DEC && (column->wants & VARVE_FOLD_SUM) != 0;
    varve_value least = {0}, greatest = {0};
    bool any = false;

    for (uint32_t i = first; i < first + n; i++) {
        if (live != NULL && !varve_bit_get(live, i))
            continue;
        const varve_value value = varve_rows_value(rows, i, column->column);
        if (!any || value_order(&value, &least) < 0)
            least = value;
        if (!any || value_order(&value, &greatest) > 0)
            greatest = value;
        any = true;
        cell->fold.count++;
        if (sums) {
            const varve_status rc = add_scaled(groups, cell, &value, 1, err);
            if (rc < 0)
                return rc;
        }
    }
    return any ? offer_extremes(groups, cell, column->wants, &least, &greatest, err) : VARVE_OK;
}

/* --------------------------------------------------------------------------------------- Fold */

static uint64_t count_bits(const uint64_t *bits, uint32_t first, uint32_t n)
{
    if (bits == NULL)
        return n;
    return varve_bitmap_count(bits, (size_t)first + n) - varve_bitmap_count(bits, first);
}

static varve_status fold_ends(const struct varve_groups *groups, struct varve_group_cell *cell,
                              const struct varve_group_column *column,
                              const struct varve_rows *rows, uint32_t first, uint32_t n,
                              const uint64_t *live, varve_error *err)
{
    uint32_t low = first, high = first + n; /* rows [low, high) begin and end with a live one */
    varve_status rc = VARVE_OK;

    if (live != NULL) {
        low = (uint32_t)varve_bitmap_next(live, first, (size_t)first + n);
        while (high > low && !varve_bit_get(live, high - 1))
            high--;
    }
    if (low >= high)
        return VARVE_OK;
    if ((column->wants & VARVE_FOLD_FIRST) != 0) {
        const varve_value value = varve_rows_value(rows, low, column->column);
        rc = varve_group_end(groups, cell->first, true, rows->time[low], &value, err);
    }
    if (rc == VARVE_OK && (column->wants & VARVE_FOLD_LAST) != 0) {
        const varve_value value = varve_rows_value(rows, high - 1, column->column);
        rc = varve_group_end(groups, cell->last, false, rows->time[high - 1], &value, err);
    }
    return rc;
}

/* The usual case, without what a fold of a few rows would spend most of its time on. */
static void fold_i64(struct varve_fold *fold, const int64_t *values, uint32_t n)
{
    struct varve_int_range range;

    varve_kernels_get()->int_range(values, n, &range);
    if (!fold->has_range || range.min < fold->min.i64)
        fold->min.i64 = range.min;
    if (!fold->has_range || range.max > fold->max.i64)
        fold->max.i64 = range.max;
    fold->has_range = true;
    fold->sum += range.sum;
    fold->count += n;
}

varve_status varve_group_fold(const struct varve_groups *groups, struct varve_group_cell *cell,
                              const struct varve_group_column *column,
                              const struct varve_rows *rows, uint32_t first, uint32_t n,
                              const uint64_t *mask, varve_error *err)
{
    const uint32_t numbers = VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX;
    struct varve_lanes lanes = varve_rows_lanes(rows, column->column);
    uint64_t both[VARVE_SELECT_WORDS];
    varve_status rc = VARVE_OK;

    assert(rows->n <= VARVE_VECTOR_ROWS);
    if (mask != NULL && lanes.live != NULL) {
        for (uint32_t w = 0; w < VARVE_BITMAP_WORDS(rows->n); w++)
            both[w] = mask[w] & lanes.live[w];
        lanes.live = both;
    } else if (mask != NULL) {
        lanes.live = mask;
    }
    if ((column->wants & numbers) == 0)
        cell->fold.count += count_bits(lanes.live, first, n);
    else if (column->kind == VARVE_GROUP_VALUE)
        rc = fold_values(groups, cell, column, rows, first, n, lanes.live, err);
    else if (lanes.live == NULL && lanes.lane == VARVE_LANE_I64)
        fold_i64(&cell->fold, (const int64_t *)lanes.values + first, n);
    else
        varve_fold_lanes(&cell->fold, column->wants & (numbers | VARVE_FOLD_COUNT), &lanes, first,
                         n);
    if (rc == VARVE_OK && (column->wants & (VARVE_FOLD_FIRST | VARVE_FOLD_LAST)) != 0)
        rc = fold_ends(groups, cell, column, rows, first, n, lanes.live, err);
    return rc;
}

/* `count` times one number. */
static void fold_number(struct varve_group_cell *cell, const struct varve_group_column *column,
                        const varve_value *value, uint64_t count)
{
    int64_t integer = value->as.i64;
    double real = column->type == VARVE_FLOAT ? (double)value->as.f32 : value->as.f64;
    struct varve_lanes lanes = {.lane = VARVE_LANE_I64, .n = 1, .values = &integer};
    double copies[64];

    if (column->kind == VARVE_GROUP_INTEGER) {
        varve_fold_lanes(&cell->fold, column->wants, &lanes, 0, 1);
        cell->fold.sum += (varve_i128)integer * (varve_i128)(count - 1);
        cell->fold.count += count - 1;
        return;
    }
    for (uint32_t i = 0; i < 64; i++)
        copies[i] = real;
    lanes = (struct varve_lanes){.lane = VARVE_LANE_F64, .n = 64, .values = copies};
    for (uint64_t left = count; left > 0;) {
        const uint32_t n = left < 64 ? (uint32_t)left : 64;
        varve_fold_lanes(&cell->fold, column->wants, &lanes, 0, n);
        left -= n;
    }
}

varve_status varve_group_fold_constant(const struct varve_groups *groups,
                                       struct varve_group_cell *cell,
                                       const struct varve_group_column *column,
                                       const varve_value *value, uint64_t count, int64_t first,
                                       int64_t last, varve_error *err)
{
    varve_status rc = VARVE_OK;

    if (count == 0)
        return VARVE_OK;
    if (column->kind != VARVE_GROUP_VALUE) {
        fold_number(cell, column, value, count);
    } else {
        cell->fold.count += count;
        if (column->phys == VARVE_PHYS_DEC && (column->wants & VARVE_FOLD_SUM) != 0)
            rc = add_scaled(groups, cell, value, count, err);
        if (rc == VARVE_OK)
            rc = offer_extremes(groups, cell, column->wants, value, value, err);
    }
    if (rc == VARVE_OK && (column->wants & VARVE_FOLD_FIRST) != 0)
        rc = varve_group_end(groups, cell->first, true, first, value, err);
    if (rc == VARVE_OK && (column->wants & VARVE_FOLD_LAST) != 0)
        rc = varve_group_end(groups, cell->last, false, last, value, err);
    return rc;
}

/* ------------------------------------------------------------------------------------- Results */

/* The sum of bare decimals at the greatest scale seen. From the least scale up, so that it depends
 * on the sums of scales alone. */
static varve_status decimal_sum(const struct varve_group_cell *cell, varve_i128 *ret_sum,
                                int *ret_scale, varve_error *err)
{
    const varve_i128 max = (varve_i128)(~(varve_u128)0 >> 1);
    varve_i128 total = 0;
    int scale = -129;

    for (int next = -129;;) { /* the list descends, and is short */
        const struct varve_scale_sum *found = NULL;
        for (const struct varve_scale_sum *s = cell->sums; s != NULL && s->scale > next;
             s = s->next)
            found = s;
        if (found == NULL)
            break;
        for (; total != 0 && scale < found->scale; scale++) {
            if (total > max / 10 || total < -(max / 10))
                return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                                       "a sum of decimals does not fit in 128 bits");
            total *= 10;
        }
        if (found->sum > 0 ? total > max - found->sum : total < -max - found->sum)
            return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                                   "a sum of decimals does not fit in 128 bits");
        total += found->sum;
        scale = next = found->scale;
    }
    *ret_sum = total;
    *ret_scale = scale;
    return VARVE_OK;
}

double varve_group_mean(varve_i128 sum, uint64_t count, int scale)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    const varve_i128 exact = (varve_i128)1 << 53;

    /* Both sides are exact as doubles: the division is what rounds. */
    if (scale >= 0 && scale <= 8 && sum <= exact && sum >= -exact && count <= 1u << 26)
        return (double)(int64_t)sum / ((double)count * powers[scale]);
    if (scale >= 0 && scale <= 18)
        return varve_exact_ratio(sum, count, scale);
    return varve_decimal_mean(sum, count, scale);
}

static varve_status sum_result(const struct varve_group_cell *cell,
                               const struct varve_group_column *column, bool is_avg,
                               const varve_column_info *info, varve_value *ret_value,
                               varve_error *err)
{
    const uint64_t count = cell->fold.count;
    varve_i128 sum = cell->fold.sum;
    int scale = info->type == VARVE_DECIMAL ? info->scale : 0;

    if (column->kind == VARVE_GROUP_FLOAT) {
        ret_value->type = VARVE_DOUBLE;
        ret_value->as.f64 =
            is_avg ? varve_exact_mean(cell->fold.fsum, count) : varve_exact_round(cell->fold.fsum);
        return VARVE_OK;
    }
    if (column->kind == VARVE_GROUP_VALUE) {
        const varve_status rc = decimal_sum(cell, &sum, &scale, err);
        if (rc < 0)
            return rc;
    }
    if (is_avg) {
        ret_value->type = VARVE_DOUBLE;
        ret_value->as.f64 = varve_group_mean(sum, count, scale);
        return VARVE_OK;
    }
    ret_value->type = VARVE_HUGEINT;
    ret_value->scale = (int8_t)scale;
    ret_value->as.i128.low = (uint64_t)sum;
    ret_value->as.i128.high = (int64_t)(sum >> 64);
    return VARVE_OK;
}

static void extreme_result(const struct varve_group_cell *cell,
                           const struct varve_group_column *column, bool is_max,
                           const varve_column_info *info, varve_value *ret_value)
{
    const union varve_scalar scalar = is_max ? cell->fold.max : cell->fold.min;

    if (column->kind == VARVE_GROUP_VALUE) {
        *ret_value = is_max ? cell->max->value : cell->min->value;
        return;
    }
    ret_value->type = info->type;
    ret_value->unit = info->unit;
    ret_value->scale = info->scale;
    if (info->type == VARVE_FLOAT)
        ret_value->as.f32 = (float)scalar.f64;
    else
        ret_value->as.i64 = scalar.i64; /* the bits of a double too */
}

varve_status varve_group_result(const struct varve_group_cell *cell,
                                const struct varve_group_column *column, uint32_t function,
                                const varve_column_info *info, varve_value *ret_value,
                                varve_error *err)
{
    *ret_value = (varve_value){.type = VARVE_BIGINT};
    if (function == VARVE_COUNT) {
        ret_value->as.i64 = (int64_t)cell->fold.count;
        return VARVE_OK;
    }
    if (function == VARVE_FIRST || function == VARVE_LAST) {
        const struct varve_group_value *end = function == VARVE_FIRST ? cell->first : cell->last;
        *ret_value = end->value;
        ret_value->presence = end->has ? VARVE_SET : VARVE_NULL;
        return VARVE_OK;
    }
    if (cell->fold.count == 0) {
        ret_value->presence = VARVE_NULL;
        return VARVE_OK;
    }
    if (function == VARVE_SUM || function == VARVE_AVG)
        return sum_result(cell, column, function == VARVE_AVG, info, ret_value, err);
    extreme_result(cell, column, function == VARVE_MAX, info, ret_value);
    return VARVE_OK;
}
