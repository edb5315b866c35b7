/*
 * plain_row.c - rows put one by one, the short way: a feed's rows are alike.
 *
 * Most rows of a feed have a key that the batch has, a set number in every other column, and find
 * memory there. What such a value must look like is worked out once a section (varve_plain_cell);
 * a row is then compared and written in one pass. Any row that is not like that changes nothing
 * here and goes the long way (batch.c), which also says what is wrong with it. Both ways write the
 * same.
 */
#include "storage/batch/batch_int.h"

#include <stddef.h>

_Static_assert(offsetof(varve_value, as) == 8 && offsetof(varve_value, type) == 0 &&
                   offsetof(varve_value, presence) == 1 && offsetof(varve_value, scale) == 2 &&
                   offsetof(varve_value, unit) == 3,
               "the head of a value is its first four bytes");

static uint32_t head_of(const varve_value *value)
{
    uint32_t head;

    memcpy(&head, value, sizeof head);
    return head;
}

/* `phys`: how rows hold the column. False: its values take more than a comparison and a store. */
static bool plain_cell_init(struct varve_plain_cell *cell, const varve_column_info *column,
                            uint8_t phys)
{
    const bool decimal = column->type == VARVE_DECIMAL;
    const bool timestamp = column->type == VARVE_TIMESTAMP;
    const varve_value mask = {.type = UINT8_MAX,
                              .presence = UINT8_MAX,
                              .scale = decimal ? -1 : 0,
                              .unit = timestamp ? UINT8_MAX : 0};
    varve_value value = {.type = column->type, .scale = decimal ? column->scale : (int8_t)0};
    struct varve_type_range range = {INT64_MIN, INT64_MAX}; /* of a double: any bits */

    if (phys == VARVE_PHYS_F64) {
        if (column->kind != VARVE_VALUE_COLUMN)
            return false;
    } else if ((phys != VARVE_PHYS_I64 && phys != VARVE_PHYS_I32) ||
               !varve_type_range(column->type, column->precision, &range)) {
        return false;
    }
    cell->mask = head_of(&mask);
    cell->head = head_of(&value);
    value.unit = timestamp ? column->unit : 0;
    cell->head_with_unit = head_of(&value);
    cell->narrow = phys == VARVE_PHYS_I32;
    cell->least = range.min;
    cell->span = (uint64_t)range.max - (uint64_t)range.min;
    return true;
}

varve_status varve_plain_cells_create(struct varve_heap *heap, const struct varve_schema *schema,
                                      struct varve_plain_cell **ret_cells, varve_error *err)
{
    const uint32_t n = schema->n_columns;
    struct varve_plain_cell *cells = varve_alloc_zero(heap, n, sizeof *cells);

    if (cells == NULL)
        return varve_error_nomem(err, "a batch");
    for (uint32_t c = schema->time_column; c < n; c++) {
        /* Rows hold times in eight bytes, whatever the column's type. */
        const uint8_t phys = c == schema->time_column ? VARVE_PHYS_I64 : schema->phys[c];
        if (!plain_cell_init(&cells[c], &schema->columns[c], phys)) {
            varve_plain_cells_free(heap, schema, cells);
            cells = NULL;
            break;
        }
    }
    *ret_cells = cells;
    return VARVE_OK;
}

void varve_plain_cells_free(struct varve_heap *heap, const struct varve_schema *schema,
                            struct varve_plain_cell *cells)
{
    if (cells != NULL)
        varve_free(heap, cells, schema->n_columns * sizeof *cells);
}

/* The key of the row if it is that of the row before, or the one that came after it last time: a
 * live feed brings the same keys in the same order again and again. */
static uint32_t likely_key(const struct varve_batch_section *section, const varve_value *values)
{
    const struct varve_key_set *keys = &section->keys;
    const uint32_t last = section->last_key;

    if (last == VARVE_NO_KEY)
        return VARVE_NO_KEY;
    const uint32_t next = last + 1 == keys->n ? 0 : last + 1;
    if (varve_key_is(section->schema, values, keys->spans[next]))
        return next;
    return next != last && varve_key_is(section->schema, values, keys->spans[last]) ? last
                                                                                    : VARVE_NO_KEY;
}

/* Write the cells behind the last row, where nothing shows yet. False: one is not plain. */
static bool write_cells(const struct varve_batch_section *section, const varve_value *values)
{
    const struct varve_schema *schema = section->schema;
    const struct varve_rows *rows = &section->rows.rows;
    const uint32_t row = rows->n;

    for (uint32_t c = schema->time_column; c < schema->n_columns; c++) {
        const struct varve_plain_cell *cell = &section->plain[c];
        const uint32_t head = head_of(&values[c]) & cell->mask;
        const int64_t value = values[c].as.i64; /* or the bits of a double */

        if ((head != cell->head && head != cell->head_with_unit) ||
            (uint64_t)value - (uint64_t)cell->least > cell->span)
            return false;
        void *out = c == schema->time_column ? rows->time : rows->columns[c].values;
        if (cell->narrow)
            ((int32_t *)out)[row] = (int32_t)value;
        else
            ((int64_t *)out)[row] = value;
    }
    return true;
}

bool varve_batch_put_plain_row(varve_batch *batch, struct varve_put_plan *plan,
                               const varve_value *values, uint32_t n)
{
    struct varve_batch_section *section = plan->section;
    struct varve_rows_builder *b = &section->rows;
    const struct varve_schema *schema = section->schema;

    if (section->plain == NULL || n != schema->n_columns || b->rows.n == b->capacity ||
        section->part_capacity < b->capacity || section->n_runs == section->runs_capacity)
        return false;
    const uint32_t key = likely_key(section, values);
    if (key == VARVE_NO_KEY || !write_cells(section, values) ||
        varve_batch_put_measure(batch, plan, 1, 0, 0, NULL) < 0)
        return false;
    for (uint32_t c = schema->first_value; c < n; c++)
        if (b->rows.columns[c].live != NULL)
            varve_bit_set(b->rows.columns[c].live, b->rows.n);
    section->part[b->rows.n] = key;
    section->last_key = key;
    varve_batch_put_end(batch, plan, 1);
    return true;
}
