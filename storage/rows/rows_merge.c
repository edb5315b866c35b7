/*
 * rows_merge.c - two versions of one row become one, in place at the end of a builder.
 *
 * The row's cells are settled one by one. The stamp of every winner is first written down as an
 * exception; then the row's own stamp is chosen and what it implies is dropped again. All memory
 * is reserved before the first change.
 */
#include "storage/rows/rows_int.h"

#include <assert.h>

/* One version of a row, its exceptions read in step with the columns. */
struct version {
    const struct varve_rows *rows;
    uint32_t row;
    uint32_t at;  /* next exception */
    uint32_t end; /* of the row's exceptions */
};

static struct version version_of(const struct varve_rows *rows, uint32_t row)
{
    const uint32_t at = varve_rows_exceptions_from(rows, row);
    uint32_t end = at;
    while (end < rows->n_exceptions && rows->exceptions[end].row == row)
        end++;
    return (struct version){rows, row, at, end};
}

/* The stamp of a column; columns must be asked for in ascending order. */
static struct varve_stamp version_stamp(struct version *v, uint32_t column)
{
    struct varve_stamp stamp =
        varve_rows_implied(v->rows, v->row, varve_rows_state(v->rows, v->row, column));
    while (v->at < v->end && v->rows->exceptions[v->at].column < column)
        v->at++;
    if (v->at < v->end && v->rows->exceptions[v->at].column == column) {
        stamp.wt = v->rows->exceptions[v->at].wt;
        stamp.exp = v->rows->exceptions[v->at].exp;
    }
    return stamp;
}

static bool is_merged(const struct varve_rows_builder *b, uint32_t column)
{
    return column == VARVE_MARKER_COLUMN || varve_column_set_has(&b->columns, column);
}

/* The column after `column` in the order of exceptions: cells, then the marker. */
static uint32_t column_after(const struct varve_schema *schema, uint32_t column)
{
    return column + 1 < schema->n_columns ? column + 1 : VARVE_MARKER_COLUMN;
}

static uint32_t first_column(const struct varve_schema *schema)
{
    return schema->first_value < schema->n_columns ? schema->first_value : VARVE_MARKER_COLUMN;
}

static varve_status prepare(struct varve_rows_builder *b, const struct varve_rows *from, uint32_t i,
                            varve_error *err)
{
    const struct varve_schema *schema = b->rows.schema;
    const size_t cells = schema->n_columns - schema->first_value + 1;
    if (!varve_rows_builder_reserve_exceptions(b, b->rows.n_exceptions + cells))
        return varve_error_nomem(err, "merging rows");
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        if (schema->phys[c] != VARVE_PHYS_BYTES || !is_merged(b, c))
            continue;
        const uint32_t *offsets = from->columns[c].offsets;
        const varve_status rc =
            varve_rows_builder_reserve_bytes(b, c, offsets[i + 1] - offsets[i], err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static void set_state(struct varve_rows_builder *b, uint32_t row, uint32_t column, uint8_t state)
{
    if (varve_rows_state(&b->rows, row, column) == state)
        return;
    uint64_t *live = varve_rows_builder_live(b, column);
    varve_bit_clear(live, row);
    if (state == VARVE_LIVE)
        varve_bit_set(live, row);
    uint64_t *deleted =
        column == VARVE_MARKER_COLUMN ? b->rows.marker_deleted : b->rows.columns[column].deleted;
    if (state == VARVE_DELETED)
        varve_bit_set(varve_rows_builder_deleted(b, column), row);
    else if (deleted != NULL)
        varve_bit_clear(deleted, row);
}

/* The cell of the last row becomes that of row `i`, state and value. */
static void replace_cell(struct varve_rows_builder *b, const struct varve_rows *from, uint32_t i,
                         uint32_t column, uint8_t state)
{
    const uint32_t last = b->rows.n - 1;
    set_state(b, last, column, state);
    if (column == VARVE_MARKER_COLUMN)
        return;
    const struct varve_cells *in = &from->columns[column];
    struct varve_cells *out = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    if (phys == VARVE_PHYS_BYTES) { /* the last row's bytes are the buffer's last */
        const uint32_t size = state == VARVE_LIVE ? in->offsets[i + 1] - in->offsets[i] : 0;
        if (size > 0)
            memcpy((uint8_t *)out->values + out->offsets[last],
                   (const uint8_t *)in->values + in->offsets[i], size);
        out->offsets[last + 1] = out->offsets[last] + size;
        return;
    }
    const size_t width = varve_phys_width(phys);
    uint8_t *cell = (uint8_t *)out->values + last * width;
    if (state == VARVE_LIVE)
        memcpy(cell, (const uint8_t *)in->values + i * width, width);
    else
        memset(cell, 0, width);
    if (phys == VARVE_PHYS_DEC)
        out->scales[last] = state == VARVE_LIVE ? in->scales[i] : 0;
}

static int value_order(const struct varve_rows_builder *b, const struct varve_rows *from,
                       uint32_t i, uint32_t column)
{
    const varve_column_info *info = &b->rows.schema->columns[column];
    const varve_value theirs = varve_rows_value(from, i, column);
    const varve_value ours = varve_rows_value(&b->rows, b->rows.n - 1, column);
    return varve_cell_compare_serialised(info->type, info->precision, &theirs, &ours);
}

/* Whether the cell of row `i` of `from` beats that of the last row. */
static bool theirs_wins(const struct varve_rows_builder *b, const struct varve_rows *from,
                        uint32_t i, uint32_t column, const struct varve_stamp *theirs,
                        const struct varve_stamp *ours)
{
    const int rc = varve_stamp_order(theirs, ours);
    if (rc != 0 || theirs->state != VARVE_LIVE || column == VARVE_MARKER_COLUMN)
        return rc > 0;
    return value_order(b, from, i, column) > 0;
}

/*
 * Choose the row's stamp from the winners' (exceptions [first, end), one for each cell that is not
 * absent; without any it is `wt`), and keep only those that it does not imply, from `out` on.
 */
static void settle_stamp(struct varve_rows_builder *b, uint32_t first, uint32_t end, uint32_t out,
                         int64_t wt)
{
    struct varve_rows *rows = &b->rows;
    const uint32_t last = rows->n - 1;
    uint32_t exp = 0;

    for (uint32_t i = first; i < end; i++)
        wt = rows->exceptions[i].wt > wt || i == first ? rows->exceptions[i].wt : wt;
    for (uint32_t i = end; i > first; i--) { /* the marker is last and decides first */
        const struct varve_exception *e = &rows->exceptions[i - 1];
        if (e->wt == wt && varve_rows_state(rows, last, e->column) == VARVE_LIVE) {
            exp = e->exp;
            break;
        }
    }
    if (rows->wt != NULL || rows->wt_uniform != wt) {
        if (last == 0 && rows->wt == NULL)
            rows->wt_uniform = wt;
        else
            varve_rows_builder_wt(b)[last] = wt;
    }
    if (rows->exp != NULL || exp != 0)
        varve_rows_builder_exp(b)[last] = exp;

    for (uint32_t i = first; i < end; i++) {
        const struct varve_exception e = rows->exceptions[i];
        const struct varve_stamp implied =
            varve_rows_implied(rows, last, varve_rows_state(rows, last, e.column));
        if (e.wt != implied.wt || e.exp != implied.exp)
            rows->exceptions[out++] = e;
    }
    rows->n_exceptions = out;
}

static void merge_cells(struct varve_rows_builder *b, const struct varve_rows *from, uint32_t i)
{
    const struct varve_schema *schema = b->rows.schema;
    struct varve_rows *rows = &b->rows;
    const uint32_t last = rows->n - 1;
    struct version ours = version_of(rows, last);
    struct version theirs = version_of(from, i);
    const uint32_t out = ours.at;
    const uint32_t first = rows->n_exceptions;
    uint32_t end = first;

    for (uint32_t c = first_column(schema);; c = column_after(schema, c)) {
        if (is_merged(b, c)) {
            const struct varve_stamp x = version_stamp(&theirs, c);
            struct varve_stamp won = version_stamp(&ours, c);
            if (theirs_wins(b, from, i, c, &x, &won)) {
                replace_cell(b, from, i, c, x.state);
                won = x;
            }
            if (won.state != VARVE_ABSENT)
                rows->exceptions[end++] = (struct varve_exception){
                    .row = last, .column = (uint16_t)c, .exp = won.exp, .wt = won.wt};
        }
        if (c == VARVE_MARKER_COLUMN)
            break;
    }
    const int64_t a = varve_rows_wt(rows, last), z = varve_rows_wt(from, i);
    settle_stamp(b, first, end, out, a > z ? a : z);
}

/* Whether row `i` of `from` came before the last row: whole rows, first come. */
static bool came_before(const struct varve_rows_builder *b, const struct varve_rows *from,
                        uint32_t i)
{
    const struct varve_rows *rows = &b->rows;
    const uint32_t last = rows->n - 1;
    const int64_t theirs = varve_rows_wt(from, i), ours = varve_rows_wt(rows, last);
    if (theirs != ours)
        return theirs < ours;
    if (rows->writer == NULL || from->writer == NULL)
        return false;
    if (from->writer[i] != rows->writer[last])
        return from->writer[i] < rows->writer[last];
    return from->ordinal[i] < rows->ordinal[last];
}

varve_status varve_rows_merge_last(struct varve_rows_builder *b, const struct varve_rows *from,
                                   uint32_t i, varve_error *err)
{
    assert(b->rows.n > 0 && i < from->n);
    varve_status rc;
    if (b->rows.schema->duplicates != VARVE_DUPLICATES_UPSERT) {
        if (!came_before(b, from, i))
            return VARVE_OK;
        rc = varve_rows_append_prepare(b, from, i, 1, err);
        if (rc < 0)
            return rc;
        varve_rows_builder_truncate(b, b->rows.n - 1);
        varve_rows_append_prepared(b, from, i, 1);
        return VARVE_OK;
    }
    rc = prepare(b, from, i, err);
    if (rc == VARVE_OK)
        merge_cells(b, from, i);
    return rc;
}

varve_status varve_rows_overlay_last(struct varve_rows_builder *b, const struct varve_rows *from,
                                     uint32_t i, varve_error *err)
{
    const struct varve_schema *schema = b->rows.schema;
    assert(b->rows.n > 0 && i < from->n);
    assert(varve_rows_wt(&b->rows, b->rows.n - 1) == varve_rows_wt(from, i));
    const varve_status rc = prepare(b, from, i, err);
    if (rc < 0)
        return rc;
    for (uint32_t c = first_column(schema);; c = column_after(schema, c)) {
        const uint8_t state = is_merged(b, c) ? varve_rows_state(from, i, c) : VARVE_ABSENT;
        if (state != VARVE_ABSENT)
            replace_cell(b, from, i, c, state);
        if (c == VARVE_MARKER_COLUMN)
            break;
    }
    return VARVE_OK;
}
