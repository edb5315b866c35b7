/*
 * cells_check.c - whole columns held against their type: the same rules as those of
 * varve_schema_check_value(), for arrays from the application and for decoded payloads.
 *
 * Types that allow any bits cost nothing; integers with a range cost a comparison a row, without
 * a branch; text is scanned once for bytes above 127 and only looked at cell by cell if it has any.
 */
#include "storage/batch/batch_int.h"

#include <assert.h>

static bool is_live(const struct varve_cells *cells, uint32_t row)
{
    return cells->live == NULL || varve_bit_get(cells->live, row);
}

static uint32_t check_i64(const struct varve_cells *cells, uint32_t first, uint32_t n, int64_t min,
                          int64_t max)
{
    const int64_t *values = (const int64_t *)cells->values + first;
    bool outside = false;
    for (uint32_t i = 0; i < n; i++)
        outside |= (values[i] < min) | (values[i] > max);
    for (uint32_t i = 0; outside && i < n; i++) { /* perhaps only fillers are outside */
        if ((values[i] < min || values[i] > max) && is_live(cells, first + i))
            return first + i;
    }
    return first + n;
}

static uint32_t check_boolean(const struct varve_cells *cells, uint32_t first, uint32_t n)
{
    const uint8_t *values = (const uint8_t *)cells->values + first;
    uint8_t all = 0;
    for (uint32_t i = 0; i < n; i++)
        all |= values[i];
    for (uint32_t i = 0; all > 1 && i < n; i++) {
        if (values[i] > 1 && is_live(cells, first + i))
            return first + i;
    }
    return first + n;
}

static bool is_ascii(const uint8_t *text, size_t size)
{
    uint64_t all = 0, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, text + i, 8);
        all |= word;
    }
    for (; i < size; i++)
        all |= text[i];
    return (all & 0x8080808080808080u) == 0;
}

static uint32_t check_bytes(const struct varve_cells *cells, uint32_t first, uint32_t n, bool text,
                            size_t max)
{
    const uint8_t *bytes = cells->values;
    const uint32_t *offsets = cells->offsets;
    for (uint32_t i = first; i < first + n; i++) {
        assert(offsets[i] <= offsets[i + 1]);
        if (offsets[i + 1] - offsets[i] > max && is_live(cells, i))
            return i;
    }
    const size_t size = offsets[first + n] - offsets[first];
    if (!text || size == 0 || is_ascii(bytes + offsets[first], size))
        return first + n;
    for (uint32_t i = first; i < first + n; i++) {
        if (is_live(cells, i) && !varve_utf8_valid(bytes + offsets[i], offsets[i + 1] - offsets[i]))
            return i;
    }
    return first + n;
}

uint32_t varve_cells_check(const struct varve_schema *schema, uint32_t column,
                           const struct varve_cells *cells, uint32_t first, uint32_t n)
{
    const varve_column_info *info = &schema->columns[column];
    struct varve_type_range range;
    const size_t max = column < schema->first_value ? VARVE_KEY_BYTES_MAX : VARVE_CELL_BYTES_MAX;
    switch (info->type) {
    case VARVE_BOOLEAN:
        return check_boolean(cells, first, n);
    case VARVE_TIME:
    case VARVE_DECIMAL:
        if (schema->phys[column] == VARVE_PHYS_DEC)
            return first + n; /* of a bare one every value is good */
        (void)varve_type_range(info->type, info->precision, &range);
        return check_i64(cells, first, n, range.min, range.max);
    case VARVE_TEXT:
    case VARVE_BLOB:
        return check_bytes(cells, first, n, info->type == VARVE_TEXT, max);
    default:
        return first + n;
    }
}
