/*
 * rows.c - looking at rows: stamps, values, order, existence, size.
 */
#include "storage/rows/rows_int.h"

#include <assert.h>

uint32_t varve_rows_exceptions_from(const struct varve_rows *rows, uint32_t row)
{
    uint32_t low = 0, high = rows->n_exceptions;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (rows->exceptions[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct varve_stamp varve_rows_stamp(const struct varve_rows *rows, uint32_t row, uint32_t column)
{
    assert(row < rows->n);
    struct varve_stamp stamp = varve_rows_implied(rows, row, varve_rows_state(rows, row, column));
    if (rows->n_exceptions == 0)
        return stamp;
    uint32_t low = varve_rows_exceptions_from(rows, row), high = rows->n_exceptions;
    while (low < high) { /* the first at or after (row, column) */
        const uint32_t middle = low + (high - low) / 2;
        const struct varve_exception *e = &rows->exceptions[middle];
        if (e->row == row && e->column < column)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == rows->n_exceptions)
        return stamp;
    const struct varve_exception *e = &rows->exceptions[low];
    if (e->row == row && e->column == column) {
        stamp.wt = e->wt;
        stamp.exp = e->exp;
    }
    return stamp;
}

static int64_t integer_at(const void *values, uint8_t phys, uint32_t row)
{
    switch (phys) {
    case VARVE_PHYS_I8:
        return ((const int8_t *)values)[row];
    case VARVE_PHYS_I16:
        return ((const int16_t *)values)[row];
    case VARVE_PHYS_I32:
        return ((const int32_t *)values)[row];
    default:
        return ((const int64_t *)values)[row];
    }
}

varve_value varve_rows_value(const struct varve_rows *rows, uint32_t row, uint32_t column)
{
    const struct varve_schema *schema = rows->schema;
    assert(column < schema->n_columns && column >= schema->time_column && row < rows->n);
    const varve_column_info *info = &schema->columns[column];
    const struct varve_cells *cells = &rows->columns[column];

    varve_value value = {.type = info->type, .unit = info->unit, .scale = info->scale};
    if (column == schema->time_column) {
        value.as.i64 = rows->time[row];
        return value;
    }
    assert(cells->values != NULL);
    switch (schema->phys[column]) {
    case VARVE_PHYS_F32:
        value.as.f32 = ((const float *)cells->values)[row];
        break;
    case VARVE_PHYS_F64:
        value.as.f64 = ((const double *)cells->values)[row];
        break;
    case VARVE_PHYS_B16:
        memcpy(value.as.uuid, (const uint8_t *)cells->values + (size_t)row * 16, 16);
        break;
    case VARVE_PHYS_DEC:
        value.scale = cells->scales[row];
        value.as.i64 = ((const int64_t *)cells->values)[row];
        break;
    case VARVE_PHYS_BYTES:
        value.as.bytes.data = (const uint8_t *)cells->values + cells->offsets[row];
        value.as.bytes.size = cells->offsets[row + 1] - cells->offsets[row];
        break;
    default:
        value.as.i64 = integer_at(cells->values, schema->phys[column], row);
        break;
    }
    return value;
}

struct varve_lanes varve_rows_lanes(const struct varve_rows *rows, uint32_t column)
{
    const struct varve_schema *schema = rows->schema;
    assert(column < schema->n_columns && column >= schema->time_column);
    if (column == schema->time_column)
        return (struct varve_lanes){.lane = VARVE_LANE_I64, .n = rows->n, .values = rows->time};
    const struct varve_cells *cells = &rows->columns[column];
    return (struct varve_lanes){.lane = schema->phys[column],
                                .n = rows->n,
                                .values = cells->values,
                                .offsets = cells->offsets,
                                .scales = cells->scales,
                                .live = cells->live,
                                .deleted = cells->deleted};
}

/* Order of two clustering cells, without the detour over values for integers. */
static int cell_order(const struct varve_rows *a, uint32_t i, const struct varve_rows *b,
                      uint32_t j, uint32_t column)
{
    const struct varve_schema *schema = a->schema;
    const uint8_t phys = schema->phys[column];
    if (phys <= VARVE_PHYS_I64) {
        const int64_t x = integer_at(a->columns[column].values, phys, i);
        const int64_t y = integer_at(b->columns[column].values, phys, j);
        return (x > y) - (x < y);
    }
    const varve_value x = varve_rows_value(a, i, column);
    const varve_value y = varve_rows_value(b, j, column);
    return varve_cell_compare(schema->columns[column].type, &x, &y);
}

static int suffix_order(const struct varve_rows *a, uint32_t i, const struct varve_rows *b,
                        uint32_t j)
{
    const int64_t x = varve_rows_wt(a, i), y = varve_rows_wt(b, j);
    if (x != y)
        return x < y ? -1 : 1;
    if (a->writer[i] != b->writer[j])
        return a->writer[i] < b->writer[j] ? -1 : 1;
    return (a->ordinal[i] > b->ordinal[j]) - (a->ordinal[i] < b->ordinal[j]);
}

int varve_rows_compare(const struct varve_rows *a, uint32_t i, const struct varve_rows *b,
                       uint32_t j)
{
    if (a->time[i] != b->time[j])
        return a->time[i] < b->time[j] ? -1 : 1;
    const struct varve_schema *schema = a->schema;
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const int rc = cell_order(a, i, b, j, c);
        if (rc != 0)
            return varve_schema_is_reversed(schema, c) ? -rc : rc;
    }
    /* Only in 'keep' tables is the suffix part of the key; in others equal keys must meet. */
    if (schema->duplicates == VARVE_DUPLICATES_KEEP && a->writer != NULL && b->writer != NULL)
        return suffix_order(a, i, b, j);
    return 0;
}

/* Deletion before expiring before live; an absent cell loses against all. */
static int rank_of(const struct varve_stamp *stamp)
{
    if (stamp->state == VARVE_DELETED)
        return 3;
    if (stamp->state == VARVE_LIVE)
        return stamp->exp != 0 ? 2 : 1;
    return 0;
}

int varve_stamp_order(const struct varve_stamp *a, const struct varve_stamp *b)
{
    if (a->state == VARVE_ABSENT || b->state == VARVE_ABSENT)
        return (a->state != VARVE_ABSENT) - (b->state != VARVE_ABSENT);
    if (a->wt != b->wt)
        return a->wt > b->wt ? 1 : -1;
    const int x = rank_of(a), y = rank_of(b);
    if (x != y)
        return x - y;
    return (a->exp > b->exp) - (a->exp < b->exp);
}

int varve_stamp_compare(const struct varve_stamp *a, const varve_value *va,
                        const struct varve_stamp *b, const varve_value *vb, uint8_t type,
                        uint8_t precision)
{
    const int rc = varve_stamp_order(a, b);
    if (rc != 0 || a->state != VARVE_LIVE || va == NULL || vb == NULL)
        return rc; /* markers have no value */
    return varve_cell_compare_serialised(type, precision, va, vb);
}

static bool shows(const struct varve_rows *rows, uint32_t row, uint32_t column, uint32_t now_s)
{
    const struct varve_stamp stamp = varve_rows_stamp(rows, row, column);
    return stamp.state == VARVE_LIVE && (stamp.exp == 0 || stamp.exp > now_s);
}

bool varve_rows_exists(const struct varve_rows *rows, uint32_t row, uint32_t now_s)
{
    assert(row < rows->n);
    if (rows->marker_live == NULL && rows->marker_deleted == NULL && rows->exp == NULL &&
        rows->n_exceptions == 0)
        return true;
    if (shows(rows, row, VARVE_MARKER_COLUMN, now_s))
        return true;
    for (uint32_t c = rows->schema->first_value; c < rows->schema->n_columns; c++) {
        if (shows(rows, row, c, now_s))
            return true;
    }
    return false;
}

/* Set bits among [first, first + n). */
static uint64_t count_live(const uint64_t *bits, uint32_t first, uint32_t n)
{
    if (bits == NULL)
        return n;
    uint64_t count = varve_bitmap_count(bits, (size_t)first + n);
    return count - varve_bitmap_count(bits, first);
}

uint64_t varve_rows_raw_bytes(const struct varve_rows *rows, uint32_t first, uint32_t n)
{
    const struct varve_schema *schema = rows->schema;
    assert(first <= rows->n && n <= rows->n - first);
    if (n == 0)
        return 0;
    uint64_t bytes = (uint64_t)n * varve_phys_width(schema->phys[schema->time_column]);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        if (cells->values == NULL)
            continue;
        if (schema->phys[c] == VARVE_PHYS_BYTES) { /* cells that are not live hold no bytes */
            bytes += cells->offsets[first + n] - cells->offsets[first];
            continue;
        }
        const uint64_t width =
            varve_phys_width(schema->phys[c]) + (schema->phys[c] == VARVE_PHYS_DEC);
        bytes += width * count_live(cells->live, first, n);
    }
    return bytes;
}
