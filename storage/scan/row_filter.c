/*
 * row_filter.c - the predicates of a scan, against partitions, zone maps and rows.
 *
 * Integers compare as they are, floats by keys in which -0.0 equals 0.0 and every NaN is one, the
 * greatest; the rest by varve_cell_compare(). A null satisfies nothing, nor does its negation.
 */
#include "storage/scan/scan_int.h"

#include "storage/codec/kernels.h"

static bool holds(uint32_t op, int order)
{
    switch (op) {
    case VARVE_EQ:
        return order == 0;
    case VARVE_NE:
        return order != 0;
    case VARVE_LT:
        return order < 0;
    case VARVE_LE:
        return order <= 0;
    case VARVE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool key_of(uint8_t phys, const varve_value *value, int64_t *ret_key)
{
    if (phys == VARVE_PHYS_F32)
        *ret_key = varve_f64_compare_key((double)value->as.f32);
    else if (phys == VARVE_PHYS_F64)
        *ret_key = varve_f64_compare_key(value->as.f64);
    else if (phys <= VARVE_PHYS_I64)
        *ret_key = value->as.i64;
    else
        return false;
    return true;
}

static struct varve_filter_term term_of(const struct varve_schema *schema, const varve_predicate *p)
{
    const varve_column_info *info = &schema->columns[p->column];
    struct varve_filter_term term = {.column = p->column, .op = p->op, .value = p->value};

    /* decimal(p, s) against a value of another scale is compared by value. */
    if (info->type != VARVE_DECIMAL || p->value.scale == info->scale)
        term.is_key = key_of(schema->phys[p->column], &p->value, &term.key);
    return term;
}

/* A bound on time becomes part of the range. False: it is none (!=). */
static bool narrow_time(varve_cursor *cursor, uint32_t op, int64_t bound)
{
    int64_t first = INT64_MIN, last = INT64_MAX;

    if (op == VARVE_NE)
        return false;
    if ((op == VARVE_LT && bound == INT64_MIN) || (op == VARVE_GT && bound == INT64_MAX)) {
        first = INT64_MAX;
        last = INT64_MIN;
    } else if (op == VARVE_LT || op == VARVE_LE) {
        last = op == VARVE_LT ? bound - 1 : bound;
    } else if (op == VARVE_GT || op == VARVE_GE) {
        first = op == VARVE_GT ? bound + 1 : bound;
    } else {
        first = last = bound;
    }
    if (first > cursor->first)
        cursor->first = first;
    if (last < cursor->last)
        cursor->last = last;
    return true;
}

varve_status varve_filter_init(struct varve_filter *filter, varve_cursor *cursor, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const uint32_t n = cursor->scan.n_predicates;

    if (n == 0)
        return VARVE_OK;
    filter->rows = varve_cursor_memory(cursor, n, sizeof *filter->rows);
    filter->partition = varve_cursor_memory(cursor, n, sizeof *filter->partition);
    filter->scratch = varve_arena_alloc(&cursor->arena, VARVE_VECTOR_ROWS * sizeof(int64_t), 64);
    if (filter->rows == NULL || filter->partition == NULL || filter->scratch == NULL)
        return varve_error_nomem(err, "the predicates of a scan");
    for (uint32_t i = 0; i < n; i++) {
        const varve_predicate *p = &cursor->scan.predicates[i];
        if (p->column == schema->time_column && narrow_time(cursor, p->op, p->value.as.i64))
            continue;
        if (p->column < schema->n_partition) {
            filter->partition[filter->n_partition++] = term_of(schema, p);
            continue;
        }
        filter->rows[filter->n_rows++] = term_of(schema, p);
        if (p->column != schema->time_column)
            varve_bit_set(filter->columns.bits, p->column);
    }
    return VARVE_OK;
}

static bool value_holds(const struct varve_filter_term *term, uint8_t phys,
                        const varve_value *value)
{
    int64_t key;

    if (term->is_key && key_of(phys, value, &key))
        return holds(term->op, (key > term->key) - (key < term->key));
    return holds(term->op, varve_cell_compare(value->type, value, &term->value));
}

bool varve_filter_partition(const struct varve_filter *filter, const varve_value *key)
{
    for (uint32_t i = 0; i < filter->n_partition; i++) {
        const struct varve_filter_term *term = &filter->partition[i];
        const varve_value *value = &key[term->column];
        const uint8_t phys = (uint8_t)varve_phys_of(value->type, 1);
        if (!value_holds(term, value->type == VARVE_DECIMAL ? VARVE_PHYS_DEC : phys, value))
            return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------- Zone maps */

/* The verdict on live values from min to max. */
static enum varve_zone_verdict range_verdict(uint32_t op, int64_t key, int64_t min, int64_t max)
{
    const bool low = holds(op, (min > key) - (min < key));
    const bool high = holds(op, (max > key) - (max < key));
    const bool inside = min <= key && key <= max;

    switch (op) {
    case VARVE_EQ:
        return !inside ? VARVE_ZONE_NONE : min == max ? VARVE_ZONE_ALL : VARVE_ZONE_SOME;
    case VARVE_NE:
        return !inside ? VARVE_ZONE_ALL : min == max ? VARVE_ZONE_NONE : VARVE_ZONE_SOME;
    default:
        return low && high ? VARVE_ZONE_ALL : low || high ? VARVE_ZONE_SOME : VARVE_ZONE_NONE;
    }
}

static enum varve_zone_verdict term_verdict(const struct varve_filter_term *term, uint8_t phys,
                                            const struct varve_zone *zone, uint32_t rows)
{
    const bool is_float = phys == VARVE_PHYS_F32 || phys == VARVE_PHYS_F64;
    int64_t min, max;

    if (zone->live == 0)
        return VARVE_ZONE_NONE;
    if (!term->is_key || (!zone->has_range && (!is_float || zone->nan == 0)))
        return VARVE_ZONE_SOME;
    min = zone->min.i64;
    max = zone->max.i64;
    if (is_float) {
        min = zone->has_range ? varve_f64_compare_key(zone->min.f64) : VARVE_F64_NAN_KEY;
        max = zone->nan > 0 ? VARVE_F64_NAN_KEY : varve_f64_compare_key(zone->max.f64);
    }
    const enum varve_zone_verdict verdict = range_verdict(term->op, term->key, min, max);
    return verdict == VARVE_ZONE_ALL && zone->live < rows ? VARVE_ZONE_SOME : verdict;
}

varve_status varve_filter_zone(const struct varve_filter *filter, struct varve_source *source,
                               uint32_t stream, const struct varve_piece *piece,
                               enum varve_zone_verdict *ret_verdict, varve_error *err)
{
    enum varve_zone_verdict all = VARVE_ZONE_ALL;

    for (uint32_t i = 0; i < filter->n_rows; i++) {
        const struct varve_filter_term *term = &filter->rows[i];
        const struct varve_zone *zone = NULL;
        enum varve_zone_verdict verdict = VARVE_ZONE_SOME;
        if (term->column < VARVE_COLUMNS_MAX &&
            varve_column_set_has(&filter->columns, term->column)) {
            const varve_status rc = source->ops->zone(source, stream, term->column, &zone, err);
            if (rc < 0)
                return rc;
        } else { /* time: only != is left of it */
            verdict = range_verdict(term->op, term->key, piece->first_time, piece->last_time);
        }
        if (zone != NULL) {
            const uint8_t type = term->value.type;
            const uint8_t phys = (uint8_t)varve_phys_of(type, 1);
            verdict = term_verdict(term, phys, zone, piece->rows);
        }
        if (verdict < all)
            all = verdict;
        if (all == VARVE_ZONE_NONE)
            break;
    }
    *ret_verdict = all;
    return VARVE_OK;
}

/* ---------------------------------------------------------------------------------------- Rows */

/* Clear the bits of rows whose cell is not live. */
static void select_live(const struct varve_cells *cells, uint32_t first, uint32_t n,
                        uint64_t *selected)
{
    uint64_t live[VARVE_SELECT_WORDS] = {0};

    if (cells->live == NULL)
        return;
    varve_bitmap_copy(live, 0, cells->live, first, n);
    for (uint32_t w = 0; w < VARVE_BITMAP_WORDS(n); w++)
        selected[w] &= live[w];
}

/* The values as keys: in place if they are already. */
static const int64_t *keys_of(const struct varve_filter *filter, const struct varve_rows *rows,
                              uint32_t column, uint32_t first, uint32_t n)
{
    const struct varve_kernels *k = varve_kernels_get();
    const struct varve_cells *cells = &rows->columns[column];
    const uint8_t phys = rows->schema->phys[column];
    int64_t *out = filter->scratch;

    if (column == rows->schema->time_column)
        return rows->time + first;
    switch (phys) {
    case VARVE_PHYS_I8:
        k->widen_i8((const int8_t *)cells->values + first, n, out);
        return out;
    case VARVE_PHYS_I16:
        k->widen_i16((const int16_t *)cells->values + first, n, out);
        return out;
    case VARVE_PHYS_I32:
        k->widen_i32((const int32_t *)cells->values + first, n, out);
        return out;
    case VARVE_PHYS_F32: {
        _Alignas(64) double wide[VARVE_VECTOR_ROWS];
        k->widen_f32((const float *)cells->values + first, n, wide);
        k->f64_compare_keys(wide, n, out);
        return out;
    }
    case VARVE_PHYS_F64:
        k->f64_compare_keys((const double *)cells->values + first, n, out);
        return out;
    default:
        return (const int64_t *)cells->values + first;
    }
}

/* Value by value, only where a bit is still set. */
static void select_values(const struct varve_filter_term *term, const struct varve_rows *rows,
                          uint32_t first, uint32_t n, uint64_t *selected)
{
    for (size_t i = varve_bitmap_next(selected, 0, n); i < n;
         i = varve_bitmap_next(selected, i + 1, n)) {
        const varve_value value = varve_rows_value(rows, first + (uint32_t)i, term->column);
        if (!holds(term->op, varve_cell_compare(value.type, &value, &term->value)))
            varve_bit_clear(selected, i);
    }
}

void varve_filter_rows(const struct varve_filter *filter, const struct varve_rows *rows,
                       uint32_t first, uint32_t n, uint64_t *selected)
{
    for (uint32_t i = 0; i < filter->n_rows; i++) {
        const struct varve_filter_term *term = &filter->rows[i];
        if (term->column != rows->schema->time_column)
            select_live(&rows->columns[term->column], first, n, selected);
        if (varve_bitmap_next(selected, 0, n) == n)
            return;
        if (term->is_key)
            varve_kernels_get()->compare_i64(keys_of(filter, rows, term->column, first, n), n,
                                             term->op, term->key, selected);
        else
            select_values(term, rows, first, n, selected);
    }
}
