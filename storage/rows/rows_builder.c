/*
 * rows_builder.c - rows that grow: memory, showing of buffers, appending of runs.
 *
 * All buffers whose size follows from the number of rows share one slab, so that growing is one
 * allocation: it happens whole or not at all. Only text and exceptions have memory of their own.
 */
#include "storage/rows/rows_int.h"

#include <assert.h>

#define ALIGN 64u
#define CAPACITY_LEAST 16u

static size_t round_up(size_t size)
{
    return (size + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
}

static bool has_memory(const struct varve_rows_builder *b, uint32_t column)
{
    return column < b->rows.schema->first_value || varve_column_set_has(&b->columns, column);
}

/* ------------------------------------------------------------------------------- Birth, death */

/* The three arrays of n_columns entries, in one block. */
static size_t tables_size(const struct varve_schema *schema)
{
    return (size_t)schema->n_columns * (2 * sizeof(struct varve_cells) + sizeof(size_t));
}

varve_status varve_rows_builder_init(struct varve_rows_builder *b, struct varve_heap *heap,
                                     const struct varve_schema *schema,
                                     const struct varve_column_set *columns, varve_error *err)
{
    const uint32_t n = schema->n_columns;
    memset(b, 0, sizeof *b);
    struct varve_cells *tables = varve_alloc_zero(heap, 1, tables_size(schema));
    if (tables == NULL)
        return varve_error_nomem(err, "rows");
    b->heap = heap;
    b->held = tables_size(schema);
    b->rows.schema = schema;
    b->rows.columns = tables;
    b->memory.schema = schema;
    b->memory.columns = tables + n;
    b->bytes_capacity = (size_t *)(void *)(tables + 2 * (size_t)n);
    b->all_columns = columns == NULL;
    if (columns != NULL)
        b->columns = *columns;
    else
        memset(&b->columns, 0xFF, sizeof b->columns);
    return VARVE_OK;
}

void varve_rows_builder_free(struct varve_rows_builder *b)
{
    if (b == NULL || b->rows.columns == NULL)
        return;
    const struct varve_schema *schema = b->rows.schema;
    for (uint32_t c = 0; c < schema->n_columns; c++) {
        if (b->bytes_capacity[c] != 0)
            varve_free_aligned(b->heap, b->memory.columns[c].values, b->bytes_capacity[c], ALIGN);
    }
    if (b->slab != NULL)
        varve_free_aligned(b->heap, b->slab, b->slab_size, ALIGN);
    varve_free(b->heap, b->memory.exceptions,
               b->exceptions_capacity * sizeof *b->memory.exceptions);
    varve_free(b->heap, b->rows.columns, tables_size(schema));
    memset(b, 0, sizeof *b);
}

/* ------------------------------------------------------------------------------------- Memory */

/* Hands out the pieces of a slab; with `base` NULL it only measures. */
struct cutter {
    uint8_t *base;
    size_t at;
    uint32_t rows; /* capacity */
};

static void *cut(struct cutter *cutter, size_t bytes)
{
    void *piece = cutter->base == NULL ? NULL : cutter->base + cutter->at;
    cutter->at += round_up(bytes);
    return piece;
}

/*
 * Cut a buffer of `width` bytes a row. What `n` rows hold moves over, and so does the pointer in
 * the rows if it showed the old buffer. `memory` and `shown` point to pointers to objects, of
 * whatever type.
 */
static void cut_array(struct cutter *cutter, size_t width, size_t n, void *memory, void *shown)
{
    void *old, *shown_old, *fresh = cut(cutter, width * cutter->rows);
    if (fresh == NULL)
        return;
    memcpy(&old, memory, sizeof old);
    memcpy(&shown_old, shown, sizeof shown_old);
    if (n > 0)
        memcpy(fresh, old, width * n);
    memcpy(memory, &fresh, sizeof fresh);
    if (shown_old != NULL)
        memcpy(shown, &fresh, sizeof fresh);
}

static void cut_bitmap(struct cutter *cutter, size_t n, uint64_t **memory, uint64_t **shown)
{
    const size_t bytes = VARVE_BITMAP_WORDS(cutter->rows) * sizeof(uint64_t);
    uint64_t *fresh = cut(cutter, bytes);
    if (fresh == NULL)
        return;
    const size_t used = *shown == NULL ? 0 : VARVE_BITMAP_WORDS(n) * sizeof(uint64_t);
    if (used > 0)
        memcpy(fresh, *memory, used);
    memset((uint8_t *)fresh + used, 0, bytes - used);
    if (*shown != NULL)
        *shown = fresh;
    *memory = fresh;
}

static void cut_column(struct varve_rows_builder *b, struct cutter *cutter, uint32_t column)
{
    struct varve_cells *m = &b->memory.columns[column];
    struct varve_cells *s = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    const uint32_t n = b->rows.n;
    const size_t width = varve_phys_width(phys);

    if (phys == VARVE_PHYS_BYTES) {
        uint32_t *fresh = cut(cutter, sizeof(uint32_t) * ((size_t)cutter->rows + 1));
        if (fresh != NULL) {
            if (m->offsets != NULL)
                memcpy(fresh, m->offsets, sizeof(uint32_t) * ((size_t)n + 1));
            else
                fresh[0] = 0;
            m->offsets = s->offsets = fresh;
        }
    } else {
        cut_array(cutter, width, n, &m->values, &s->values);
        s->values = m->values;
    }
    if (phys == VARVE_PHYS_DEC) {
        cut_array(cutter, 1, n, &m->scales, &s->scales);
        s->scales = m->scales;
    }
    cut_bitmap(cutter, n, &m->live, &s->live);
    cut_bitmap(cutter, n, &m->deleted, &s->deleted);
}

static void cut_all(struct varve_rows_builder *b, struct cutter *cutter)
{
    struct varve_rows *m = &b->memory, *s = &b->rows;
    const uint32_t n = s->n;

    cut_array(cutter, sizeof *m->time, n, &m->time, &s->time);
    s->time = m->time;
    cut_array(cutter, sizeof *m->wt, s->wt == NULL ? 0 : n, &m->wt, &s->wt);
    cut_array(cutter, sizeof *m->exp, s->exp == NULL ? 0 : n, &m->exp, &s->exp);
    if (s->schema->duplicates != VARVE_DUPLICATES_UPSERT) {
        cut_array(cutter, sizeof *m->writer, s->writer == NULL ? 0 : n, &m->writer, &s->writer);
        cut_array(cutter, sizeof *m->ordinal, s->ordinal == NULL ? 0 : n, &m->ordinal, &s->ordinal);
    }
    cut_bitmap(cutter, n, &m->marker_live, &s->marker_live);
    cut_bitmap(cutter, n, &m->marker_deleted, &s->marker_deleted);
    for (uint32_t c = s->schema->time_column + 1; c < s->schema->n_columns; c++) {
        if (has_memory(b, c))
            cut_column(b, cutter, c);
    }
}

static varve_status grow(struct varve_rows_builder *b, uint32_t need, varve_error *err)
{
    uint64_t capacity = b->capacity < CAPACITY_LEAST ? CAPACITY_LEAST : 2 * (uint64_t)b->capacity;
    if (capacity < need)
        capacity = need;
    if (capacity > UINT32_MAX)
        capacity = UINT32_MAX;
    struct cutter measure = {.rows = (uint32_t)capacity};
    cut_all(b, &measure);

    uint8_t *slab = varve_alloc_aligned(b->heap, measure.at, ALIGN);
    if (slab == NULL)
        return varve_error_nomem(err, "rows");
    struct cutter cutter = {.base = slab, .rows = (uint32_t)capacity};
    cut_all(b, &cutter);
    assert(cutter.at == measure.at);
    if (b->slab != NULL)
        varve_free_aligned(b->heap, b->slab, b->slab_size, ALIGN);
    b->held += measure.at - b->slab_size;
    b->slab = slab;
    b->slab_size = measure.at;
    b->capacity = (uint32_t)capacity;
    return VARVE_OK;
}

varve_status varve_rows_builder_reserve_text(struct varve_rows_builder *b, uint32_t column,
                                             uint32_t row, size_t bytes, varve_error *err)
{
    struct varve_cells *m = &b->memory.columns[column];
    const size_t used = m->offsets == NULL ? 0 : m->offsets[row];
    const size_t capacity = b->bytes_capacity[column];
    if (capacity != 0 && bytes <= capacity - used)
        return VARVE_OK;
    if (bytes > UINT32_MAX - ALIGN - used) /* offsets have 32 bits */
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a column of rows in memory is limited to 4 GiB of text");
    size_t size = round_up(used + bytes);
    if (size < 2 * capacity)
        size = 2 * capacity;
    if (size == 0)
        size = ALIGN;
    uint8_t *fresh = varve_alloc_aligned(b->heap, size, ALIGN);
    if (fresh == NULL)
        return varve_error_nomem(err, "rows");
    if (used > 0)
        memcpy(fresh, m->values, used);
    if (capacity != 0)
        varve_free_aligned(b->heap, m->values, capacity, ALIGN);
    m->values = b->rows.columns[column].values = fresh;
    b->bytes_capacity[column] = size;
    b->held += size - capacity;
    return VARVE_OK;
}

varve_status varve_rows_builder_reserve(struct varve_rows_builder *b, uint32_t n, size_t bytes,
                                        varve_error *err)
{
    varve_status rc = VARVE_OK;
    if (n > UINT32_MAX - b->rows.n)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "rows in memory are limited to 2^32 - 1");
    if (b->slab != NULL && n <= b->capacity - b->rows.n && bytes == 0)
        return VARVE_OK; /* text has memory, if only for nothing, since there is a slab */
    const struct varve_schema *schema = b->rows.schema;
    for (uint32_t c = schema->time_column + 1; rc == VARVE_OK && c < schema->n_columns; c++) {
        if (schema->phys[c] == VARVE_PHYS_BYTES && has_memory(b, c))
            rc = varve_rows_builder_reserve_bytes(b, c, bytes, err);
    }
    if (rc == VARVE_OK && (b->slab == NULL || n > b->capacity - b->rows.n))
        rc = grow(b, b->rows.n + n, err);
    return rc;
}

bool varve_rows_builder_reserve_exceptions(struct varve_rows_builder *b, size_t n)
{
    const size_t size = sizeof *b->memory.exceptions;
    if (n <= b->exceptions_capacity)
        return true;
    size_t capacity = n < 8 ? 8 : n;
    if (capacity < 2 * (size_t)b->exceptions_capacity)
        capacity = 2 * (size_t)b->exceptions_capacity;
    if (capacity > UINT32_MAX)
        return false;
    void *fresh = varve_realloc(b->heap, b->memory.exceptions, b->exceptions_capacity * size,
                                capacity * size);
    if (fresh == NULL)
        return false;
    b->held += (capacity - b->exceptions_capacity) * size;
    b->memory.exceptions = b->rows.exceptions = fresh;
    b->exceptions_capacity = (uint32_t)capacity;
    return true;
}

/* ------------------------------------------------------------------------------------ Showing */

static uint64_t *show_bitmap(uint64_t **shown, uint64_t *memory, uint32_t n, bool set)
{
    if (*shown == NULL) {
        assert(memory != NULL);
        if (set)
            varve_bitmap_set_range(memory, 0, n);
        *shown = memory;
    }
    return *shown;
}

uint64_t *varve_rows_builder_live(struct varve_rows_builder *b, uint32_t column)
{
    if (column == VARVE_MARKER_COLUMN)
        return show_bitmap(&b->rows.marker_live, b->memory.marker_live, b->rows.n, true);
    return show_bitmap(&b->rows.columns[column].live, b->memory.columns[column].live, b->rows.n,
                       true);
}

uint64_t *varve_rows_builder_deleted(struct varve_rows_builder *b, uint32_t column)
{
    if (column == VARVE_MARKER_COLUMN)
        return show_bitmap(&b->rows.marker_deleted, b->memory.marker_deleted, b->rows.n, false);
    return show_bitmap(&b->rows.columns[column].deleted, b->memory.columns[column].deleted,
                       b->rows.n, false);
}

int64_t *varve_rows_builder_wt(struct varve_rows_builder *b)
{
    if (b->rows.wt == NULL) {
        assert(b->memory.wt != NULL);
        for (uint32_t i = 0; i < b->rows.n; i++)
            b->memory.wt[i] = b->rows.wt_uniform;
        b->rows.wt = b->memory.wt;
    }
    return b->rows.wt;
}

uint32_t *varve_rows_builder_exp(struct varve_rows_builder *b)
{
    if (b->rows.exp == NULL) {
        assert(b->memory.exp != NULL);
        memset(b->memory.exp, 0, sizeof *b->memory.exp * b->rows.n);
        b->rows.exp = b->memory.exp;
    }
    return b->rows.exp;
}

/* Clear bits [first, n) of a shown bitmap. */
static void clear_tail(uint64_t *bits, uint32_t first, uint32_t n)
{
    if (bits == NULL || first >= n)
        return;
    size_t word = first / 64;
    if (first % 64 != 0)
        bits[word++] &= ((uint64_t)1 << (first % 64)) - 1;
    if (word < VARVE_BITMAP_WORDS(n))
        memset(bits + word, 0, (VARVE_BITMAP_WORDS(n) - word) * sizeof *bits);
}

void varve_rows_builder_truncate(struct varve_rows_builder *b, uint32_t n)
{
    struct varve_rows *rows = &b->rows;
    assert(n <= rows->n);
    for (uint32_t c = rows->schema->time_column + 1; c < rows->schema->n_columns; c++) {
        clear_tail(rows->columns[c].live, n, rows->n);
        clear_tail(rows->columns[c].deleted, n, rows->n);
    }
    clear_tail(rows->marker_live, n, rows->n);
    clear_tail(rows->marker_deleted, n, rows->n);
    while (rows->n_exceptions > 0 && rows->exceptions[rows->n_exceptions - 1].row >= n)
        rows->n_exceptions--;
    rows->n = n;
}

void varve_rows_builder_clear(struct varve_rows_builder *b)
{
    struct varve_rows *rows = &b->rows;
    varve_rows_builder_truncate(b, 0);
    for (uint32_t c = 0; c < rows->schema->n_columns; c++)
        rows->columns[c].live = rows->columns[c].deleted = NULL;
    rows->marker_live = rows->marker_deleted = NULL;
    rows->wt = NULL;
    rows->wt_uniform = 0;
    rows->exp = rows->writer = rows->ordinal = NULL;
}

/* ---------------------------------------------------------------------------------- Appending */

/* Whether all bits of [first, first + n) are set; NULL stands for all. */
static bool all_set(const uint64_t *bits, uint32_t first, uint32_t n)
{
    if (bits == NULL)
        return true;
    uint32_t i = first;
    const uint32_t end = first + n;
    for (; i < end && i % 64 != 0; i++) {
        if (!varve_bit_get(bits, i))
            return false;
    }
    for (; end - i >= 64; i += 64) {
        if (bits[i / 64] != UINT64_MAX)
            return false;
    }
    return end == i || (~bits[i / 64] & (((uint64_t)1 << (end - i)) - 1)) == 0;
}

static bool none_set(const uint64_t *bits, uint32_t first, uint32_t n)
{
    const size_t end = (size_t)first + n;
    return bits == NULL || varve_bitmap_next(bits, first, end) == end;
}

/* Take over state bits of a column or of the marker. A bitmap is shown only when it must be. */
static void append_states(struct varve_rows_builder *b, uint32_t column, const uint64_t *live,
                          const uint64_t *deleted, uint32_t first, uint32_t n)
{
    const bool marker = column == VARVE_MARKER_COLUMN;
    const uint64_t *shown = marker ? b->rows.marker_live : b->rows.columns[column].live;
    if (shown != NULL || !all_set(live, first, n)) {
        uint64_t *out = varve_rows_builder_live(b, column);
        if (live == NULL)
            varve_bitmap_set_range(out, b->rows.n, n);
        else
            varve_bitmap_copy(out, b->rows.n, live, first, n);
    }
    if (!none_set(deleted, first, n))
        varve_bitmap_copy(varve_rows_builder_deleted(b, column), b->rows.n, deleted, first, n);
}

static void append_cells(struct varve_rows_builder *b, const struct varve_rows *from,
                         uint32_t column, uint32_t first, uint32_t n)
{
    const struct varve_cells *in = &from->columns[column];
    struct varve_cells *out = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    const size_t width = varve_phys_width(phys);
    const uint32_t at = b->rows.n;

    if (phys == VARVE_PHYS_BYTES) {
        const uint32_t *offsets = in->offsets + first;
        const uint32_t size = offsets[n] - offsets[0];
        const uint32_t shift = out->offsets[at] - offsets[0]; /* modulo 2^32, as are the sums */
        for (uint32_t i = 1; i <= n; i++)
            out->offsets[at + i] = offsets[i] + shift;
        if (size > 0)
            memcpy((uint8_t *)out->values + out->offsets[at],
                   (const uint8_t *)in->values + offsets[0], size);
    } else {
        memcpy((uint8_t *)out->values + at * width, (const uint8_t *)in->values + first * width,
               n * width);
    }
    if (phys == VARVE_PHYS_DEC)
        memcpy(out->scales + at, in->scales + first, n);
    append_states(b, column, in->live, in->deleted, first, n);
}

static void append_stamps(struct varve_rows_builder *b, const struct varve_rows *from,
                          uint32_t first, uint32_t n)
{
    struct varve_rows *rows = &b->rows;
    if (rows->n == 0 && from->wt == NULL)
        rows->wt_uniform = from->wt_uniform;
    if (rows->wt != NULL || from->wt != NULL || rows->wt_uniform != from->wt_uniform) {
        int64_t *wt = varve_rows_builder_wt(b) + rows->n;
        if (from->wt != NULL)
            memcpy(wt, from->wt + first, sizeof *wt * n);
        else
            for (uint32_t i = 0; i < n; i++)
                wt[i] = from->wt_uniform;
    }
    if (rows->exp != NULL || from->exp != NULL) {
        uint32_t *exp = varve_rows_builder_exp(b) + rows->n;
        if (from->exp != NULL)
            memcpy(exp, from->exp + first, sizeof *exp * n);
        else
            memset(exp, 0, sizeof *exp * n);
    }
    if (rows->n == 0 && from->writer != NULL && b->memory.writer != NULL) {
        rows->writer = b->memory.writer;
        rows->ordinal = b->memory.ordinal;
    }
    assert((rows->writer != NULL) == (from->writer != NULL && b->memory.writer != NULL));
    if (rows->writer != NULL) {
        memcpy(rows->writer + rows->n, from->writer + first, sizeof *rows->writer * n);
        memcpy(rows->ordinal + rows->n, from->ordinal + first, sizeof *rows->ordinal * n);
    }
}

static void append_exceptions(struct varve_rows_builder *b, const struct varve_rows *from,
                              uint32_t first, uint32_t n)
{
    struct varve_rows *rows = &b->rows;
    if (from->n_exceptions == 0)
        return;
    const uint32_t end = varve_rows_exceptions_from(from, first + n);
    for (uint32_t i = varve_rows_exceptions_from(from, first); i < end; i++) {
        struct varve_exception e = from->exceptions[i];
        if (e.column != VARVE_MARKER_COLUMN && !has_memory(b, e.column))
            continue;
        e.row = e.row - first + rows->n;
        rows->exceptions[rows->n_exceptions++] = e;
    }
}

varve_status varve_rows_append_prepare(struct varve_rows_builder *b, const struct varve_rows *from,
                                       uint32_t first, uint32_t n, varve_error *err)
{
    const struct varve_schema *schema = b->rows.schema;
    varve_status rc = varve_rows_builder_reserve(b, n, 0, err);
    for (uint32_t c = schema->time_column + 1; rc == VARVE_OK && c < schema->n_columns; c++) {
        if (schema->phys[c] != VARVE_PHYS_BYTES || !has_memory(b, c))
            continue;
        const uint32_t *offsets = from->columns[c].offsets;
        assert(offsets != NULL);
        rc = varve_rows_builder_reserve_bytes(b, c, offsets[first + n] - offsets[first], err);
    }
    if (rc < 0 || from->n_exceptions == 0)
        return rc;
    const uint32_t more =
        varve_rows_exceptions_from(from, first + n) - varve_rows_exceptions_from(from, first);
    if (!varve_rows_builder_reserve_exceptions(b, (size_t)b->rows.n_exceptions + more))
        return varve_error_nomem(err, "rows");
    return VARVE_OK;
}

void varve_rows_append_prepared(struct varve_rows_builder *b, const struct varve_rows *from,
                                uint32_t first, uint32_t n)
{
    const struct varve_schema *schema = b->rows.schema;
    struct varve_rows *rows = &b->rows;
    if (n == 0)
        return;
    memcpy(rows->time + rows->n, from->time + first, sizeof *rows->time * n);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        if (has_memory(b, c)) {
            assert(from->columns[c].values != NULL);
            append_cells(b, from, c, first, n);
        }
    }
    append_states(b, VARVE_MARKER_COLUMN, from->marker_live, from->marker_deleted, first, n);
    append_stamps(b, from, first, n);
    append_exceptions(b, from, first, n);
    rows->n += n;
}

varve_status varve_rows_append(struct varve_rows_builder *b, const struct varve_rows *from,
                               uint32_t first, uint32_t n, varve_error *err)
{
    assert(first <= from->n && n <= from->n - first);
    const varve_status rc = varve_rows_append_prepare(b, from, first, n, err);
    if (rc == VARVE_OK)
        varve_rows_append_prepared(b, from, first, n);
    return rc;
}
