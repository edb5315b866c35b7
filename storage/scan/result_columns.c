/*
 * result_columns.c - the batches that a cursor hands out, in Arrow's layout.
 *
 * All buffers of a fixed size per row lie in one slab, each 64-byte aligned and padded; only bytes
 * of text have memory of their own. Slots of null rows are zero. The first batches of a cursor are
 * small, so that a short answer touches little memory, and the first lies in the cursor's arena.
 */
#include "storage/scan/scan_int.h"

#include <assert.h>

#define ALIGN 64u
#define ROWS_FIRST 128u
#define ARENA_MOST 16384u    /* a slab of the first batch; larger ones are the heap's */
#define BYTES_FIRST 1024u    /* text of a column */
#define BYTES_MAX (8u << 20) /* of one text column in a batch, unless a row or a step has more */

varve_status varve_result_init(struct varve_result *result, varve_cursor *cursor,
                               uint32_t n_columns, varve_error *err)
{
    result->heap = cursor->heap;
    result->arena = &cursor->arena;
    result->n_columns = n_columns;
    result->columns = varve_cursor_memory(cursor, n_columns, sizeof *result->columns);
    result->views = varve_cursor_memory(cursor, n_columns, sizeof *result->views);
    if (result->columns == NULL || result->views == NULL)
        return varve_error_nomem(err, "the columns of a result");
    return VARVE_OK;
}

void varve_result_define(struct varve_result *result, uint32_t i, const char *name,
                         const varve_column_info *info, uint8_t type)
{
    struct varve_result_column *column = &result->columns[i];

    column->view.name = name;
    column->view.type = type;
    if (info != NULL) { /* what the type takes over from the table's column */
        column->view.unit = type == VARVE_TIMESTAMP ? info->unit : 0;
        if (info->type == VARVE_DECIMAL && (type == VARVE_DECIMAL || type == VARVE_HUGEINT)) {
            column->view.bare = info->precision == 0;
            column->view.scale = info->scale;
        }
    }
    column->is_bit = type == VARVE_BOOLEAN;
    if (type != VARVE_HUGEINT)
        column->phys = (uint8_t)varve_phys_of(type, column->view.bare ? 0 : 1);
}

void varve_result_free(struct varve_result *result)
{
    for (uint32_t i = 0; i < result->n_columns && result->columns != NULL; i++)
        if (result->columns[i].bytes_owned)
            varve_free_aligned(result->heap, result->columns[i].values,
                               result->columns[i].bytes_capacity, ALIGN);
    if (result->slab != NULL)
        varve_free_aligned(result->heap, result->slab, result->slab_size, ALIGN);
}

static size_t padded(size_t size)
{
    return (size + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
}

static size_t width_of(const struct varve_result_column *column)
{
    return column->phys == 0 ? 16 : varve_phys_width((enum varve_phys)column->phys);
}

static size_t values_size(const struct varve_result_column *column, uint32_t rows)
{
    return column->is_bit ? padded((rows + 7) / 8) : padded(width_of(column) * rows);
}

/* Cut the slab; with `slab` NULL only measure. */
static size_t cut(struct varve_result *result, uint8_t *slab, uint32_t rows)
{
    size_t at = 0;

    for (uint32_t i = 0; i < result->n_columns; i++) {
        struct varve_result_column *column = &result->columns[i];
        const bool bytes = column->phys == VARVE_PHYS_BYTES;
        const size_t values =
            bytes ? padded(sizeof(uint32_t) * ((size_t)rows + 1)) : values_size(column, rows);
        const size_t scales = column->view.bare ? padded(rows) : 0;
        if (slab != NULL) {
            column->validity = (uint64_t *)(void *)(slab + at);
            if (bytes)
                column->offsets = (uint32_t *)(void *)(slab + at + padded((rows + 7) / 8));
            else
                column->values = slab + at + padded((rows + 7) / 8);
            if (scales > 0)
                column->scales = (int8_t *)slab + at + padded((rows + 7) / 8) + values;
        }
        at += padded((rows + 7) / 8) + values + scales;
    }
    return at;
}

static varve_status make_slab(struct varve_result *result, uint32_t capacity, varve_error *err)
{
    const size_t cells = cut(result, NULL, capacity);
    const size_t size = cells == 0 ? ALIGN : cells;
    const bool first = result->capacity == 0 && size <= ARENA_MOST;
    uint8_t *slab = first ? varve_arena_alloc(result->arena, size, ALIGN)
                          : varve_alloc_aligned(result->heap, size, ALIGN);

    if (slab == NULL)
        return varve_error_nomem(err, "the rows of a result");
    if (result->slab != NULL)
        varve_free_aligned(result->heap, result->slab, result->slab_size, ALIGN);
    result->slab = first ? NULL : slab;
    result->slab_size = size;
    result->capacity = capacity;
    cut(result, slab, capacity);
    return VARVE_OK;
}

varve_status varve_result_begin(struct varve_result *result, uint32_t rows, varve_error *err)
{
    uint32_t capacity = result->capacity;

    if (capacity < VARVE_VECTOR_ROWS) {
        capacity = capacity == 0 ? ROWS_FIRST : capacity * 8;
        while (capacity < rows)
            capacity *= 2;
        if (capacity > VARVE_VECTOR_ROWS)
            capacity = VARVE_VECTOR_ROWS;
    }
    if (capacity != result->capacity) {
        const varve_status rc = make_slab(result, capacity, err);
        if (rc < 0)
            return rc;
    }
    result->rows = 0;
    result->full = false;
    for (uint32_t i = 0; i < result->n_columns; i++) {
        struct varve_result_column *column = &result->columns[i];
        column->view.nulls = 0;
        memset(column->validity, 0, padded((capacity + 7) / 8));
        if (column->is_bit)
            memset(column->values, 0, values_size(column, capacity));
        if (column->offsets != NULL)
            column->offsets[0] = 0;
    }
    return VARVE_OK;
}

/* Validity is written only once a batch has a null in the column: until then it is not shown. */
static void show_validity(struct varve_result_column *column, uint32_t rows)
{
    if (column->view.nulls == 0)
        varve_bitmap_set_range(column->validity, 0, rows);
}

static void set_valid(struct varve_result_column *column, uint32_t row, uint32_t n)
{
    if (column->view.nulls > 0)
        varve_bitmap_set_range(column->validity, row, n);
}

/* Room for `size` more bytes of a text column that holds `used`. */
static varve_status reserve_bytes(struct varve_result *result, struct varve_result_column *column,
                                  size_t used, size_t size, varve_error *err)
{
    if (size > UINT32_MAX - used) /* offsets have 32 bits */
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the texts of one batch of results have more than 4 GiB");
    const size_t need = padded(used + size + 1);
    if (need <= column->bytes_capacity)
        return VARVE_OK;
    const bool first = column->bytes_capacity == 0 && need <= BYTES_FIRST;
    size_t capacity = first ? BYTES_FIRST : 4 * BYTES_FIRST;
    if (capacity < 2 * column->bytes_capacity)
        capacity = 2 * column->bytes_capacity;
    if (capacity < need)
        capacity = need;
    uint8_t *fresh = first ? varve_arena_alloc(result->arena, capacity, ALIGN)
                           : varve_alloc_aligned(result->heap, capacity, ALIGN);
    if (fresh == NULL)
        return varve_error_nomem(err, "the text of a result");
    if (used > 0)
        memcpy(fresh, column->values, used);
    if (column->bytes_owned)
        varve_free_aligned(result->heap, column->values, column->bytes_capacity, ALIGN);
    column->values = fresh;
    column->bytes_capacity = capacity;
    column->bytes_owned = !first;
    return VARVE_OK;
}

static void store(struct varve_result_column *column, uint32_t row, const varve_value *value)
{
    const size_t width = width_of(column);

    if (column->is_bit) {
        column->values[row / 8] |= (uint8_t)((value->as.i64 & 1) << (row % 8));
        return;
    }
    uint8_t *at = column->values + row * width;
    switch (column->phys) {
    case VARVE_PHYS_I8:
        *(int8_t *)at = (int8_t)value->as.i64;
        break;
    case VARVE_PHYS_I16: {
        const int16_t v = (int16_t)value->as.i64;
        memcpy(at, &v, sizeof v);
        break;
    }
    case VARVE_PHYS_I32: {
        const int32_t v = (int32_t)value->as.i64;
        memcpy(at, &v, sizeof v);
        break;
    }
    case VARVE_PHYS_F32:
        memcpy(at, &value->as.f32, 4);
        break;
    case VARVE_PHYS_B16:
        memcpy(at, value->as.uuid, 16);
        break;
    case 0:
        memcpy(at, &value->as.i128, 16);
        break;
    default:
        memcpy(at, &value->as.i64, 8);
        break;
    }
    if (column->scales != NULL)
        column->scales[row] = value->scale;
}

varve_status varve_result_put_null(struct varve_result *result, uint32_t i, varve_error *err)
{
    static const varve_value zero;
    struct varve_result_column *column = &result->columns[i];
    const uint32_t row = result->rows;

    show_validity(column, row);
    column->view.nulls++;
    if (column->phys == VARVE_PHYS_BYTES) {
        column->offsets[row + 1] = column->offsets[row];
        return reserve_bytes(result, column, column->offsets[row], 0, err);
    }
    store(column, row, &zero);
    return VARVE_OK;
}

varve_status varve_result_put_other(struct varve_result *result, uint32_t i,
                                    const varve_value *value, varve_error *err)
{
    struct varve_result_column *column = &result->columns[i];
    const uint32_t row = result->rows;

    assert(row < result->capacity);
    if (value->presence != VARVE_SET)
        return varve_result_put_null(result, i, err);
    set_valid(column, row, 1);
    if (column->phys == VARVE_PHYS_BYTES) {
        const size_t size = value->as.bytes.size;
        const varve_status rc = reserve_bytes(result, column, column->offsets[row], size, err);
        if (rc < 0)
            return rc;
        if (size > 0)
            memcpy(column->values + column->offsets[row], value->as.bytes.data, size);
        column->offsets[row + 1] = column->offsets[row] + (uint32_t)size;
        result->full |= column->offsets[row + 1] > BYTES_MAX;
        return VARVE_OK;
    }
    store(column, row, value);
    return VARVE_OK;
}

/* Repeat the first of `n` values of `size` bytes, by copying what is there already. */
static void repeat(uint8_t *values, size_t size, uint32_t n)
{
    const size_t end = size * n;
    size_t done = size;

    while (done < end) {
        const size_t take = done < end - done ? done : end - done;
        memcpy(values + done, values, take);
        done += take;
    }
}

static varve_status fill_bytes(struct varve_result *result, struct varve_result_column *column,
                               struct varve_span bytes, uint32_t n, varve_error *err)
{
    uint32_t *offsets = column->offsets + result->rows;
    const uint32_t at = offsets[0];
    const varve_status rc = reserve_bytes(result, column, at, bytes.size * n, err);

    if (rc < 0 || n == 0)
        return rc;
    for (uint32_t k = 1; k <= n; k++)
        offsets[k] = at + k * (uint32_t)bytes.size;
    if (bytes.size > 0) {
        memcpy(column->values + at, bytes.data, bytes.size);
        repeat(column->values + at, bytes.size, n);
    }
    return VARVE_OK;
}

varve_status varve_result_fill(struct varve_result *result, uint32_t i, const varve_value *value,
                               uint32_t n, varve_error *err)
{
    struct varve_result_column *column = &result->columns[i];
    const uint32_t row = result->rows;
    const size_t width = width_of(column);

    assert(n <= result->capacity - row);
    set_valid(column, row, n);
    if (column->phys == VARVE_PHYS_BYTES)
        return fill_bytes(result, column, varve_span_of(value->as.bytes.data, value->as.bytes.size),
                          n, err);
    if (n == 0)
        return VARVE_OK;
    store(column, row, value);
    if (column->is_bit || column->scales != NULL) {
        for (uint32_t k = 1; k < n; k++)
            store(column, row + k, value);
        return VARVE_OK;
    }
    repeat(column->values + row * width, width, n);
    return VARVE_OK;
}

/* Validity of rows that are there or not. Returns whether all are. */
static bool set_present(struct varve_result_column *column, uint32_t row, const uint32_t *present,
                        uint32_t n)
{
    uint32_t missing = 0;

    for (uint32_t k = 0; present != NULL && k < n; k++)
        missing += present[k] == 0;
    if (missing > 0)
        show_validity(column, row);
    column->view.nulls += missing;
    if (missing == 0)
        set_valid(column, row, n);
    else
        for (uint32_t k = 0; k < n; k++)
            if (present[k] != 0)
                varve_bit_set(column->validity, row + k);
    return missing == 0;
}

void varve_result_numbers(struct varve_result *result, uint32_t i, const int64_t *values,
                          const uint32_t *present, uint32_t n)
{
    struct varve_result_column *column = &result->columns[i];
    const uint32_t row = result->rows;

    assert(n <= result->capacity - row);
    const bool all = set_present(column, row, present, n);
    if (all && (column->phys == VARVE_PHYS_I64 || column->phys == VARVE_PHYS_F64)) {
        memcpy(column->values + (size_t)row * 8, values, (size_t)n * 8);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        const varve_value value = {.as.i64 = all || present[k] != 0 ? values[k] : 0};
        store(column, row + k, &value);
    }
}

void varve_result_hugeints(struct varve_result *result, uint32_t i, const varve_i128 *values,
                           const uint32_t *present, uint32_t n)
{
    struct varve_result_column *column = &result->columns[i];
    uint8_t *at = column->values + (size_t)result->rows * sizeof *values;

    assert(n <= result->capacity - result->rows && column->phys == 0 && column->scales == NULL);
    set_present(column, result->rows, present, n);
    memcpy(at, values, n * sizeof *values); /* of nothing the sum is 0 */
}

/* ------------------------------------------------------------------------------------- Copying */

static bool is_run(const uint32_t *index, uint32_t n)
{
    return index[n - 1] - index[0] == n - 1 && index[n - 1] >= index[0];
}

static void gather(uint8_t *out, const uint8_t *in, size_t width, const uint32_t *index, uint32_t n)
{
    switch (width) {
    case 1:
        for (uint32_t k = 0; k < n; k++)
            out[k] = in[index[k]];
        break;
    case 4:
        for (uint32_t k = 0; k < n; k++)
            memcpy(out + (size_t)k * 4, in + (size_t)index[k] * 4, 4);
        break;
    case 8:
        for (uint32_t k = 0; k < n; k++)
            memcpy(out + (size_t)k * 8, in + (size_t)index[k] * 8, 8);
        break;
    default:
        for (uint32_t k = 0; k < n; k++)
            memcpy(out + k * width, in + index[k] * width, width);
        break;
    }
}

static void copy_fixed(uint8_t *out, const uint8_t *in, size_t width, const uint32_t *index,
                       uint32_t n)
{
    if (is_run(index, n))
        memcpy(out, in + index[0] * width, n * width);
    else
        gather(out, in, width, index, n);
}

static void copy_time(struct varve_result_column *column, uint32_t row, const int64_t *time,
                      const uint32_t *index, uint32_t n)
{
    if (column->phys == VARVE_PHYS_I64) {
        copy_fixed(column->values + row * sizeof *time, (const uint8_t *)time, sizeof *time, index,
                   n);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        const varve_value value = {.as.i64 = time[index[k]]};
        store(column, row + k, &value);
    }
}

static void zero_slot(struct varve_result_column *column, uint32_t row)
{
    const size_t width = width_of(column);

    if (column->is_bit)
        column->values[row / 8] &= (uint8_t) ~(1u << (row % 8));
    else if (column->phys != VARVE_PHYS_BYTES)
        memset(column->values + row * width, 0, width);
    if (column->scales != NULL)
        column->scales[row] = 0;
}

/* Validity of the rows from their live bits; the slots of nulls become zero. */
static void copy_validity(struct varve_result_column *column, uint32_t row, const uint64_t *live,
                          const uint32_t *index, uint32_t n)
{
    if (live == NULL) {
        set_valid(column, row, n);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (varve_bit_get(live, index[k])) {
            if (column->view.nulls > 0)
                varve_bit_set(column->validity, row + k);
            continue;
        }
        show_validity(column, row + k);
        column->view.nulls++;
        zero_slot(column, row + k);
    }
}

static uint32_t bytes_at(const struct varve_cells *cells, uint32_t row)
{
    if (cells->live != NULL && !varve_bit_get(cells->live, row))
        return 0; /* an expired cell has bytes that do not show */
    return cells->offsets[row + 1] - cells->offsets[row];
}

uint32_t varve_result_fit(const struct varve_result *result, uint32_t i,
                          const struct varve_rows *rows, uint32_t column, const uint32_t *index,
                          uint32_t n)
{
    const struct varve_result_column *out = &result->columns[i];
    uint64_t size;

    if (out->phys != VARVE_PHYS_BYTES || column <= rows->schema->time_column)
        return n;
    size = out->offsets[result->rows];
    for (uint32_t k = 0; k < n; k++) {
        size += bytes_at(&rows->columns[column], index[k]);
        if (size > BYTES_MAX && result->rows + k > 0)
            return k;
    }
    return n;
}

static varve_status copy_bytes(struct varve_result *result, struct varve_result_column *column,
                               const struct varve_cells *cells, const uint32_t *index, uint32_t n,
                               varve_error *err)
{
    const uint32_t row = result->rows;
    size_t size = 0;

    for (uint32_t k = 0; k < n; k++)
        size += bytes_at(cells, index[k]);
    const varve_status rc = reserve_bytes(result, column, column->offsets[row], size, err);
    if (rc < 0)
        return rc;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t at = column->offsets[row + k];
        const uint32_t bytes = bytes_at(cells, index[k]);
        if (bytes > 0)
            memcpy(column->values + at, (const uint8_t *)cells->values + cells->offsets[index[k]],
                   bytes);
        column->offsets[row + k + 1] = at + bytes;
    }
    return VARVE_OK;
}

varve_status varve_result_copy(struct varve_result *result, uint32_t i,
                               const struct varve_rows *rows, uint32_t column,
                               const uint32_t *index, uint32_t n, varve_error *err)
{
    struct varve_result_column *out = &result->columns[i];
    const struct varve_cells *cells = &rows->columns[column];
    const uint32_t row = result->rows;
    const size_t width = width_of(out);

    assert(n > 0 && n <= result->capacity - row);
    if (column == rows->schema->time_column) {
        copy_time(out, row, rows->time, index, n);
        set_valid(out, row, n);
        return VARVE_OK;
    }
    if (out->phys == VARVE_PHYS_BYTES) {
        const varve_status rc = copy_bytes(result, out, cells, index, n, err);
        if (rc < 0)
            return rc;
    } else if (out->is_bit) {
        const int8_t *bits = cells->values;
        for (uint32_t k = 0; k < n; k++)
            out->values[(row + k) / 8] |= (uint8_t)((bits[index[k]] & 1) << ((row + k) % 8));
    } else {
        copy_fixed(out->values + row * width, cells->values, width, index, n);
    }
    if (out->scales != NULL)
        copy_fixed((uint8_t *)out->scales + row, (const uint8_t *)cells->scales, 1, index, n);
    copy_validity(out, row, cells->live, index, n);
    return VARVE_OK;
}

/* Nothing of an earlier batch shows behind the last value. */
static void zero_padding(struct varve_result_column *column, uint32_t rows)
{
    size_t used = column->is_bit ? (rows + 7) / 8 : rows * width_of(column);

    if (column->offsets != NULL)
        used = column->offsets[rows];
    memset(column->values + used, 0, padded(used) - used);
    if (column->offsets != NULL) {
        const size_t size = sizeof(uint32_t) * ((size_t)rows + 1);
        memset((uint8_t *)column->offsets + size, 0, padded(size) - size);
    }
    if (column->scales != NULL)
        memset(column->scales + rows, 0, padded(rows) - rows);
}

const varve_batch_view *varve_result_view(struct varve_result *result)
{
    for (uint32_t i = 0; i < result->n_columns; i++) {
        struct varve_result_column *column = &result->columns[i];
        varve_column_view *view = &result->views[i];
        zero_padding(column, result->rows);
        *view = column->view;
        view->validity = view->nulls > 0 ? (const uint8_t *)column->validity : NULL;
        view->values = column->values;
        view->offsets = column->offsets;
        view->scales = column->scales;
    }
    result->view = (varve_batch_view){
        .rows = result->rows, .n_columns = result->n_columns, .columns = result->views};
    return &result->view;
}
