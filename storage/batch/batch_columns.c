/*
 * batch_columns.c - rows put as whole columns.
 *
 * Every array is checked first, then memory is reserved, then keys are numbered (the last step
 * that can fail, undone by forgetting the new ones), then values are copied a column at a time.
 */
#include "storage/base/vec.h"
#include "storage/batch/batch_int.h"

#include <assert.h>

/* One call's arguments on their way through the steps. */
struct columns_put {
    const struct varve_schema *schema;
    const varve_value *partition; /* or NULL: partition key columns are among the arrays */
    const varve_array *arrays;
    uint32_t n_arrays;
    uint32_t n;
    const varve_array *partition_arrays[VARVE_KEY_COLUMNS_MAX];
};

static varve_status fail_row(varve_error *err, varve_status status, uint64_t row,
                             const char *column, const char *what)
{
    varve_error_set(err, status, NULL, VARVE_NO_OFFSET, "column %.64s: %s", column, what);
    if (err != NULL)
        err->row = row;
    return status;
}

static bool is_valid(const varve_array *array, uint32_t row)
{
    return array->validity == NULL || (array->validity[row / 8] >> (row % 8) & 1) != 0;
}

/* The first row without a value, or n. */
static uint32_t first_invalid(const varve_array *array, uint32_t n)
{
    uint32_t row = 0;
    if (array->validity == NULL)
        return n;
    while (n - row >= 8 && array->validity[row / 8] == 0xFF)
        row += 8;
    while (row < n && is_valid(array, row))
        row++;
    return row;
}

/* ------------------------------------------------------------------------------------ Checking */

/* The arrays name every column at most once, key columns all, and have what their type needs. */
static varve_status check_shape(struct columns_put *put, varve_error *err)
{
    const struct varve_schema *schema = put->schema;
    uint64_t seen[VARVE_BITMAP_WORDS(VARVE_COLUMNS_MAX)] = {0};

    for (uint32_t i = 0; i < put->n_arrays; i++) {
        const varve_array *array = &put->arrays[i];
        if (array->column >= schema->n_columns || varve_bit_get(seen, array->column))
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "array %u names no column, or one that another names too", i);
        const varve_column_info *info = &schema->columns[array->column];
        const uint8_t phys = schema->phys[array->column];
        const bool bytes = phys == VARVE_PHYS_BYTES;
        varve_bit_set(seen, array->column);
        if ((array->flags & ~VARVE_ARRAY_UNSET) != 0 ||
            (array->values == NULL &&
             (!bytes || array->offsets == NULL || array->offsets[put->n] != array->offsets[0])) ||
            (bytes && array->offsets == NULL) || (phys == VARVE_PHYS_DEC && array->scales == NULL))
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "column %.64s: its array lacks a part or has unknown flags",
                                   info->name);
        if (array->column < schema->n_partition)
            put->partition_arrays[array->column] = array;
    }
    for (uint32_t c = 0; c < schema->first_value; c++) {
        const bool given = c < schema->n_partition && put->partition != NULL;
        if (given == varve_bit_get(seen, c))
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "key column %.64s must be given exactly once",
                                   schema->columns[c].name);
    }
    return VARVE_OK;
}

/* Offsets ascend; the bytes of valid rows are added to *ret_text. */
static varve_status check_offsets(const varve_array *array, const varve_column_info *info,
                                  uint32_t n, uint64_t *ret_text, varve_error *err)
{
    const uint32_t *offsets = array->offsets;
    bool ascend = true;
    uint64_t text = 0;

    for (uint32_t i = 0; i < n; i++)
        ascend &= offsets[i] <= offsets[i + 1];
    if (!ascend)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "column %.64s: offsets do not ascend", info->name);
    if (array->validity == NULL)
        text = offsets[n] - offsets[0];
    for (uint32_t i = 0; array->validity != NULL && i < n; i++)
        text += is_valid(array, i) ? offsets[i + 1] - offsets[i] : 0;
    *ret_text += text;
    return VARVE_OK;
}

/* The first row whose cell the type does not allow, or n. Rows without a value do not count. */
static uint32_t first_unfit(const struct columns_put *put, const varve_array *array)
{
    const uint32_t n = put->n;
    /* The array is only read: the cast serves the common shape of columns. */
    struct varve_cells cells;
    memset(&cells, 0, sizeof cells);
    memcpy(&cells.values, &array->values, sizeof cells.values);
    memcpy(&cells.offsets, &array->offsets, sizeof cells.offsets);

    uint32_t from = 0;
    while (from < n) {
        /* A run of rows with values, so that no bitmap need be built. */
        uint32_t end = n;
        if (array->validity != NULL) {
            while (from < n && !is_valid(array, from))
                from++;
            for (end = from; end < n && is_valid(array, end);)
                end++;
        }
        const uint32_t unfit =
            varve_cells_check(put->schema, array->column, &cells, from, end - from);
        if (unfit != end)
            return unfit;
        from = end;
    }
    return n;
}

/* Every cell fits its column, keys have a value. *ret_text: bytes of text outside the partition key. */
static varve_status check_values(const struct columns_put *put, uint64_t *ret_text,
                                 varve_error *err)
{
    const struct varve_schema *schema = put->schema;
    uint64_t text = 0;

    for (uint32_t i = 0; i < put->n_arrays; i++) {
        const varve_array *array = &put->arrays[i];
        const varve_column_info *info = &schema->columns[array->column];
        if (schema->phys[array->column] == VARVE_PHYS_BYTES) {
            uint64_t size = 0;
            const varve_status rc = check_offsets(array, info, put->n, &size, err);
            if (rc < 0)
                return rc;
            text += array->column < schema->n_partition ? 0 : size;
        }
        if (array->column < schema->n_partition)
            continue; /* its values are checked when keys are encoded */
        if (array->column < schema->first_value && first_invalid(array, put->n) != put->n)
            return fail_row(err, VARVE_ETYPE, first_invalid(array, put->n), info->name,
                            "a key column has no value");
        const uint32_t unfit = first_unfit(put, array);
        if (unfit == put->n)
            continue;
        const bool large =
            schema->phys[array->column] == VARVE_PHYS_BYTES &&
            array->offsets[unfit + 1] - array->offsets[unfit] >
                (array->column < schema->first_value ? VARVE_KEY_BYTES_MAX : VARVE_CELL_BYTES_MAX);
        return fail_row(err, large ? VARVE_ELIMIT : VARVE_ETYPE, unfit, info->name,
                        large ? "the cell is too large (8 MiB, in a key 4 KiB)"
                              : "the value is outside what the type allows");
    }
    *ret_text = text;
    return VARVE_OK;
}

/* Text of all clustering columns of one row: at most 4 KiB. */
static varve_status check_clustering(const struct columns_put *put, varve_error *err)
{
    const struct varve_schema *schema = put->schema;
    const varve_array *arrays[VARVE_KEY_COLUMNS_MAX];
    uint32_t k = 0;

    for (uint32_t i = 0; i < put->n_arrays; i++) {
        const uint32_t c = put->arrays[i].column;
        if (c > schema->time_column && c < schema->first_value &&
            schema->phys[c] == VARVE_PHYS_BYTES)
            arrays[k++] = &put->arrays[i];
    }
    for (uint32_t row = 0; k > 1 && row < put->n; row++) { /* of one column it has been checked */
        uint64_t size = 0;
        for (uint32_t i = 0; i < k; i++)
            size += arrays[i]->offsets[row + 1] - arrays[i]->offsets[row];
        if (size > VARVE_KEY_BYTES_MAX)
            return fail_row(err, VARVE_ELIMIT, row, schema->columns[arrays[0]->column].name,
                            "the clustering columns take more than 4 KiB");
    }
    return VARVE_OK;
}

/* ---------------------------------------------------------------------------------------- Keys */

static int64_t integer_at(const varve_array *array, uint8_t phys, uint32_t row)
{
    switch (phys) {
    case VARVE_PHYS_I8:
        return ((const int8_t *)array->values)[row];
    case VARVE_PHYS_I16:
        return ((const int16_t *)array->values)[row];
    case VARVE_PHYS_I32:
        return ((const int32_t *)array->values)[row];
    default:
        return ((const int64_t *)array->values)[row];
    }
}

static varve_value value_at(const struct varve_schema *schema, const varve_array *array,
                            uint32_t row)
{
    const varve_column_info *info = &schema->columns[array->column];
    varve_value value = {.type = info->type, .unit = info->unit, .scale = info->scale};

    if (!is_valid(array, row)) {
        value.presence = VARVE_NULL;
        return value;
    }
    switch (schema->phys[array->column]) {
    case VARVE_PHYS_F32:
        value.as.f32 = ((const float *)array->values)[row];
        break;
    case VARVE_PHYS_F64:
        value.as.f64 = ((const double *)array->values)[row];
        break;
    case VARVE_PHYS_B16:
        memcpy(value.as.uuid, (const uint8_t *)array->values + (size_t)row * 16, 16);
        break;
    case VARVE_PHYS_DEC:
        value.scale = array->scales[row];
        value.as.i64 = ((const int64_t *)array->values)[row];
        break;
    case VARVE_PHYS_BYTES:
        value.as.bytes.data = (const uint8_t *)array->values + array->offsets[row];
        value.as.bytes.size = array->offsets[row + 1] - array->offsets[row];
        break;
    default:
        value.as.i64 = integer_at(array, schema->phys[array->column], row);
        break;
    }
    return value;
}

/* Whether rows `a` and `b` have the same cells, bit for bit, in a key column's array. */
static bool is_same_cell(const struct varve_schema *schema, const varve_array *array, uint32_t a,
                         uint32_t b)
{
    const uint8_t *values = array->values;
    const uint8_t phys = schema->phys[array->column];
    if (phys == VARVE_PHYS_BYTES) {
        const uint32_t *o = array->offsets;
        const uint32_t size = o[a + 1] - o[a];
        return o[b + 1] - o[b] == size &&
               (size == 0 || memcmp(values + o[a], values + o[b], size) == 0);
    }
    const size_t width = varve_phys_width(phys);
    if (phys == VARVE_PHYS_DEC && array->scales[a] != array->scales[b])
        return false;
    return memcmp(values + a * width, values + b * width, width) == 0;
}

/* Whether row `b` has the key of row `a`, which is known to have one. Bits that differ may mean the
 * same key: that is for its encoding to say. */
static bool repeats(const struct columns_put *put, uint32_t a, uint32_t b)
{
    for (uint32_t c = 0; c < put->schema->n_partition; c++) {
        const varve_array *array = put->partition_arrays[c];
        if (!is_valid(array, b) || !is_same_cell(put->schema, array, a, b))
            return false;
    }
    return true;
}

/* Number the key of `values`, adding it if need be. `*bytes`: of new keys, in the log. */
static varve_status number_key(varve_batch *batch, struct varve_batch_section *section,
                               const varve_value *values, uint32_t *ret_key, uint64_t *bytes,
                               varve_error *err)
{
    varve_buffer_clear(&batch->key);
    const varve_status rc = varve_key_encode(section->schema, values, &batch->key, err);
    if (rc < 0)
        return rc;
    const struct varve_span key = varve_buffer_span(&batch->key);
    const uint64_t hash = varve_key_hash(key);
    uint32_t k = varve_key_set_find(&section->keys, key, hash);
    if (k == VARVE_NO_KEY) {
        k = varve_key_set_add(&section->keys, key, hash);
        if (k == VARVE_NO_KEY)
            return varve_error_nomem(err, "a batch");
        *bytes += key.size + VARVE_PAYLOAD_KEY_BYTES_MAX;
    }
    *ret_key = k;
    return VARVE_OK;
}

/* Number the key of one row of the arrays. */
static varve_status number_row(varve_batch *batch, const struct columns_put *put,
                               struct varve_batch_section *section, uint32_t row, uint32_t *ret_key,
                               uint64_t *bytes, varve_error *err)
{
    varve_value values[VARVE_KEY_COLUMNS_MAX];

    for (uint32_t c = 0; c < put->schema->n_partition; c++)
        values[c] = value_at(put->schema, put->partition_arrays[c], row);
    const varve_status rc = number_key(batch, section, values, ret_key, bytes, err);
    if (rc < 0 && err != NULL)
        err->row = row;
    return rc;
}

/*
 * Number the keys of all rows into section->part, which has room for them. Only a surprising key
 * is encoded and looked up: mostly a row has the key of the row before, or the one that followed
 * that key the last time, as in a live feed of many series.
 */
static varve_status number_keys(varve_batch *batch, const struct columns_put *put,
                                struct varve_batch_section *section, uint64_t *ret_bytes,
                                varve_error *err)
{
    uint32_t *part = section->part + section->rows.rows.n;
    uint32_t key = 0;
    uint32_t like = 0; /* a guess: the row above that has this one's key */

    if (put->partition != NULL) {
        const varve_status rc = number_key(batch, section, put->partition, &key, ret_bytes, err);
        for (uint32_t i = 0; rc == VARVE_OK && i < put->n; i++)
            part[i] = key;
        return rc;
    }
    for (uint32_t row = 0; row < put->n; row++, like++) {
        if (like < row && repeats(put, like, row)) {
            key = part[like];
        } else if (row > 0 && repeats(put, row - 1, row)) {
            like = row - 1;
        } else {
            const varve_status rc = number_row(batch, put, section, row, &key, ret_bytes, err);
            if (rc < 0)
                return rc;
            like = section->keys.rows[key]; /* of an earlier call: a worse guess, not a wrong one */
        }
        part[row] = key;
        section->keys.rows[key] = row;
    }
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Copying */

static void widen_time(const varve_array *array, uint8_t phys, int64_t *out, uint32_t n)
{
    if (phys == VARVE_PHYS_I64) {
        memcpy(out, array->values, n * sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] = integer_at(array, phys, i);
}

/* Whether rows [row, row + 8) share a byte and all have values. */
static bool is_byte_full(const varve_array *array, uint32_t row)
{
    return row % 8 == 0 && array->validity[row / 8] == 0xFF;
}

/* Rows without a value become deleted or absent cells with a filler. */
static void copy_states(struct varve_rows_builder *b, const varve_array *array, uint32_t n)
{
    const uint32_t at = b->rows.n;
    struct varve_cells *cells = &b->rows.columns[array->column];
    const uint8_t phys = b->rows.schema->phys[array->column];
    const size_t width = varve_phys_width(phys);

    if (first_invalid(array, n) == n) {
        if (cells->live != NULL)
            varve_bitmap_set_range(cells->live, at, n);
        return;
    }
    uint64_t *live = varve_rows_builder_live(b, array->column);
    uint64_t *deleted = (array->flags & VARVE_ARRAY_UNSET) != 0
                            ? NULL
                            : varve_rows_builder_deleted(b, array->column);
    varve_bitmap_set_range(live, at, n);
    for (uint32_t i = 0; i < n; i++) {
        if (is_byte_full(array, i) && n - i >= 8) {
            i += 7;
            continue;
        }
        if (is_valid(array, i))
            continue;
        varve_bit_clear(live, at + i);
        if (deleted != NULL)
            varve_bit_set(deleted, at + i);
        if (width > 0)
            memset((uint8_t *)cells->values + (at + i) * width, 0, width);
        if (phys == VARVE_PHYS_DEC)
            cells->scales[at + i] = 0;
    }
}

static void copy_bytes(struct varve_rows_builder *b, const varve_array *array, uint32_t n)
{
    struct varve_cells *cells = &b->rows.columns[array->column];
    uint32_t *out = cells->offsets + b->rows.n;
    const uint32_t *in = array->offsets;
    if (array->validity == NULL) {
        const uint32_t shift = out[0] - in[0]; /* modulo 2^32 */
        for (uint32_t i = 1; i <= n; i++)
            out[i] = in[i] + shift;
        if (in[n] > in[0])
            memcpy((uint8_t *)cells->values + out[0], (const uint8_t *)array->values + in[0],
                   in[n] - in[0]);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t size = is_valid(array, i) ? in[i + 1] - in[i] : 0;
        if (size > 0)
            memcpy((uint8_t *)cells->values + out[i], (const uint8_t *)array->values + in[i], size);
        out[i + 1] = out[i] + size;
    }
}

static void copy_column(struct varve_rows_builder *b, const varve_array *array, uint32_t n)
{
    const struct varve_schema *schema = b->rows.schema;
    struct varve_cells *cells = &b->rows.columns[array->column];
    const uint8_t phys = schema->phys[array->column];
    const size_t width = varve_phys_width(phys);
    const uint32_t at = b->rows.n;

    if (phys == VARVE_PHYS_BYTES)
        copy_bytes(b, array, n);
    else
        memcpy((uint8_t *)cells->values + at * width, array->values, n * width);
    if (phys == VARVE_PHYS_DEC)
        memcpy(cells->scales + at, array->scales, n);
    if (array->column >= schema->first_value) {
        copy_states(b, array, n);
        return;
    }
    if (phys != VARVE_PHYS_F32 && phys != VARVE_PHYS_F64 && phys != VARVE_PHYS_DEC)
        return;
    for (uint32_t i = 0; i < n; i++) { /* the types whose keys have a canonical spelling */
        const varve_column_info *info = &schema->columns[array->column];
        varve_value value = value_at(schema, array, i);
        varve_key_canonical(info->type, info->precision, &value);
        if (phys == VARVE_PHYS_F32)
            ((float *)cells->values)[at + i] = value.as.f32;
        else if (phys == VARVE_PHYS_F64)
            ((double *)cells->values)[at + i] = value.as.f64;
        else
            ((int64_t *)cells->values)[at + i] = value.as.i64;
        if (phys == VARVE_PHYS_DEC)
            cells->scales[at + i] = value.scale;
    }
}

/* A column that the call does not name: absent, with fillers. */
static void leave_column(struct varve_rows_builder *b, uint32_t column, uint32_t n)
{
    struct varve_cells *cells = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    const size_t width = varve_phys_width(phys);
    const uint32_t at = b->rows.n;

    (void)varve_rows_builder_live(b, column);
    if (phys == VARVE_PHYS_BYTES) {
        for (uint32_t i = 0; i < n; i++)
            cells->offsets[at + i + 1] = cells->offsets[at];
        return;
    }
    memset((uint8_t *)cells->values + at * width, 0, n * width);
    if (phys == VARVE_PHYS_DEC)
        memset(cells->scales + at, 0, n);
}

static void copy_columns(struct varve_rows_builder *b, const struct columns_put *put)
{
    const struct varve_schema *schema = put->schema;
    uint64_t seen[VARVE_BITMAP_WORDS(VARVE_COLUMNS_MAX)] = {0};

    for (uint32_t i = 0; i < put->n_arrays; i++) {
        const varve_array *array = &put->arrays[i];
        varve_bit_set(seen, array->column);
        if (array->column == schema->time_column)
            widen_time(array, schema->phys[array->column], b->rows.time + b->rows.n, put->n);
        else if (array->column > schema->time_column)
            copy_column(b, array, put->n);
    }
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        if (!varve_bit_get(seen, c))
            leave_column(b, c, put->n);
    }
}

/* -------------------------------------------------------------------------------------- Putting */

static varve_status reserve_text(struct varve_rows_builder *b, const struct columns_put *put,
                                 varve_error *err)
{
    for (uint32_t i = 0; i < put->n_arrays; i++) {
        const varve_array *array = &put->arrays[i];
        if (array->column <= put->schema->time_column ||
            put->schema->phys[array->column] != VARVE_PHYS_BYTES)
            continue;
        uint64_t size = 0;
        (void)check_offsets(array, &put->schema->columns[array->column], put->n, &size, NULL);
        const varve_status rc = varve_rows_builder_reserve_bytes(b, array->column, size, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status put_columns(varve_batch *batch, struct varve_put_plan *plan,
                                const struct columns_put *put, varve_error *err)
{
    struct varve_batch_section *section = plan->section;
    const uint32_t had_keys = section->keys.n;
    uint64_t text = 0, key_bytes = 0;

    /* Before the arrays are looked at: nothing is read for rows that cannot fit. */
    varve_status rc = varve_batch_put_measure(batch, plan, put->n, 0, 0, err);
    if (rc < 0)
        return rc;
    rc = check_values(put, &text, err);
    if (rc < 0)
        return rc;
    rc = check_clustering(put, err);
    if (rc < 0)
        return rc;
    rc = varve_batch_put_measure(batch, plan, put->n, text, 0, err);
    if (rc < 0)
        return rc;
    rc = varve_batch_put_reserve(batch, plan, put->n, err);
    if (rc < 0)
        return rc;
    rc = reserve_text(&section->rows, put, err);
    if (rc < 0)
        return rc;
    rc = number_keys(batch, put, section, &key_bytes, err);
    if (rc == VARVE_OK) /* again, now that the keys are known */
        rc = varve_batch_put_measure(batch, plan, put->n, text, key_bytes, err);
    if (rc < 0) {
        varve_key_set_truncate(&section->keys, had_keys);
        return rc;
    }
    copy_columns(&section->rows, put);
    section->last_key = section->part[section->rows.rows.n + put->n - 1];
    varve_batch_put_end(batch, plan, put->n);
    return VARVE_OK;
}

varve_status varve_batch_add_columns(varve_batch *batch, const struct varve_schema *schema,
                                     const varve_value *partition, const varve_array *arrays,
                                     uint32_t n_arrays, uint64_t n, const varve_put *put,
                                     int64_t max_wt, varve_error *err)
{
    struct varve_put_plan plan;
    if (n == 0)
        return VARVE_OK;
    if (n > VARVE_RECORD_BYTES_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a batch is limited to %llu bytes in the log",
                               (unsigned long long)batch->bytes_max);
    struct columns_put args = {.schema = schema,
                               .partition = partition,
                               .arrays = arrays,
                               .n_arrays = n_arrays,
                               .n = (uint32_t)n};
    varve_status rc = check_shape(&args, err);
    if (rc < 0)
        return rc;
    rc = varve_batch_put_begin(batch, schema, put, max_wt, &plan, err);
    if (rc < 0)
        return rc;
    rc = put_columns(batch, &plan, &args, err);
    if (rc < 0)
        varve_batch_put_abandon(batch);
    return rc;
}
