/*
 * batch.c - the life of a batch, rows put one by one (the long way), sealing.
 */
#include "storage/base/vec.h"
#include "storage/batch/batch_int.h"

#include <assert.h>

/* ---------------------------------------------------------------------------------------- Life */

varve_status varve_batch_create(struct varve_heap *heap, uint64_t record_bytes_max,
                                varve_batch **ret_batch, varve_error *err)
{
    assert(record_bytes_max <= VARVE_RECORD_BYTES_MAX);
    varve_batch *batch = varve_alloc_zero(heap, 1, sizeof *batch);
    if (batch == NULL)
        return varve_error_nomem(err, "a batch");
    batch->heap = heap;
    batch->bytes_max = record_bytes_max;
    batch->bytes = VARVE_PAYLOAD_HEADER_BYTES_MAX;
    varve_buffer_init(&batch->payload, heap);
    varve_buffer_init(&batch->key, heap);
    *ret_batch = batch;
    return VARVE_OK;
}

static void section_free(struct varve_heap *heap, struct varve_batch_section *section)
{
    varve_rows_builder_free(&section->rows);
    varve_key_set_free(&section->keys);
    varve_plain_cells_free(heap, section->schema, section->plain);
    varve_free(heap, section->part, section->part_capacity * sizeof *section->part);
    varve_free(heap, section->runs, section->runs_capacity * sizeof *section->runs);
    varve_schema_unref(section->schema);
    varve_free(heap, section, sizeof *section);
}

void varve_batch_free(varve_batch *batch)
{
    if (batch == NULL)
        return;
    struct varve_heap *heap = batch->heap;
    for (uint32_t i = 0; i < batch->n_allocated; i++)
        section_free(heap, batch->sections[i]);
    varve_free(heap, batch->sections, batch->sections_capacity * sizeof *batch->sections);
    varve_buffer_free(&batch->payload);
    varve_buffer_free(&batch->key);
    varve_free(heap, batch, sizeof *batch);
}

static void section_clear(struct varve_batch_section *section)
{
    varve_rows_builder_clear(&section->rows);
    varve_key_set_clear(&section->keys);
    section->n_runs = 0;
    section->raw_folded = 0;
    section->last_key = VARVE_NO_KEY;
}

void varve_batch_clear(varve_batch *batch)
{
    for (uint32_t i = 0; i < batch->n_sections; i++)
        section_clear(batch->sections[i]);
    varve_buffer_clear(&batch->payload);
    batch->n_sections = 0;
    batch->rows = 0;
    batch->bytes = VARVE_PAYLOAD_HEADER_BYTES_MAX;
    batch->raw_bytes = 0;
    batch->payload_hash = 0;
    batch->sealed = false;
    batch->origin = (struct varve_origin){0};
}

uint64_t varve_batch_rows(const varve_batch *batch)
{
    return batch->rows;
}

uint64_t varve_batch_bytes(const varve_batch *batch)
{
    return batch->bytes;
}

varve_status varve_batch_set_origin(varve_batch *batch, uint32_t origin, uint32_t epoch,
                                    uint64_t first, uint64_t last, varve_error *err)
{
    if (batch == NULL || origin == 0 || first > last)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "an origin has an id above 0, and its first is not above its last");
    batch->origin = (struct varve_origin){origin, epoch, first, last};
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Sections */

static varve_status section_create(varve_batch *batch, const struct varve_schema *schema,
                                   struct varve_batch_section **ret_section, varve_error *err)
{
    struct varve_batch_section *section = varve_alloc_zero(batch->heap, 1, sizeof *section);
    if (section == NULL)
        return varve_error_nomem(err, "a batch");
    varve_status rc = varve_plain_cells_create(batch->heap, schema, &section->plain, err);
    if (rc == VARVE_OK)
        rc = varve_rows_builder_init(&section->rows, batch->heap, schema, NULL, err);
    if (rc < 0) {
        varve_plain_cells_free(batch->heap, schema, section->plain);
        varve_free(batch->heap, section, sizeof *section);
        return rc;
    }
    varve_key_set_init(&section->keys, batch->heap);
    section->schema = varve_schema_ref(schema);
    section->row_bytes = varve_payload_row_bytes(schema);
    section->last_key = VARVE_NO_KEY;
    *ret_section = section;
    return VARVE_OK;
}

/* A section kept from before, or a new one, becomes the next in use. */
static varve_status section_begin(varve_batch *batch, const struct varve_schema *schema,
                                  varve_error *err)
{
    uint32_t at = batch->n_sections;
    if (at == VARVE_PAYLOAD_SECTIONS_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a batch is limited to %u tables", VARVE_PAYLOAD_SECTIONS_MAX);
    while (at < batch->n_allocated && batch->sections[at]->schema != schema)
        at++;
    if (at == batch->n_allocated) {
        if (!varve_vec_grow(batch->heap, (void **)&batch->sections, sizeof(void *), (size_t)at + 1,
                            &batch->sections_capacity))
            return varve_error_nomem(err, "a batch");
        const varve_status rc = section_create(batch, schema, &batch->sections[at], err);
        if (rc < 0)
            return rc;
        batch->n_allocated++;
    }
    struct varve_batch_section *section = batch->sections[at];
    batch->sections[at] = batch->sections[batch->n_sections];
    batch->sections[batch->n_sections] = section;
    batch->n_sections++;
    return VARVE_OK;
}

static varve_status judge_put(const struct varve_schema *schema, const varve_put *put,
                              int64_t max_wt, struct varve_put_plan *plan, varve_error *err)
{
    plan->wt = VARVE_WT_COMMIT;
    plan->update = false;
    plan->bytes = 0;
    if (put == NULL || put->flags == 0)
        return VARVE_OK;
    if ((put->flags & ~(uint32_t)(VARVE_PUT_UPDATE | VARVE_PUT_WRITE_TIME)) != 0)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "unknown put flags");
    if (schema->duplicates != VARVE_DUPLICATES_UPSERT)
        return varve_error_set(err, VARVE_EUNSUPPORTED, NULL, VARVE_NO_OFFSET,
                               "only an 'upsert' table takes updates and explicit write times");
    plan->update = (put->flags & VARVE_PUT_UPDATE) != 0;
    if ((put->flags & VARVE_PUT_WRITE_TIME) == 0)
        return VARVE_OK;
    if (put->write_time < VARVE_WT_MIN)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "the least 64-bit integer is no write time");
    if (put->write_time > max_wt)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "the write time is further ahead than max_clock_skew allows");
    plan->wt = put->write_time;
    return VARVE_OK;
}

varve_status varve_batch_put_begin(varve_batch *batch, const struct varve_schema *schema,
                                   const varve_put *put, int64_t max_wt,
                                   struct varve_put_plan *ret_plan, varve_error *err)
{
    varve_status rc = judge_put(schema, put, max_wt, ret_plan, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = batch->n_sections; i > 0; i--) {
        struct varve_batch_section *section = batch->sections[i - 1];
        if (section->schema == schema) {
            ret_plan->section = section;
            return VARVE_OK;
        }
        if (section->schema->table_id == schema->table_id)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "the table was altered while the batch was being filled");
    }
    rc = section_begin(batch, schema, err);
    if (rc == VARVE_OK)
        ret_plan->section = batch->sections[batch->n_sections - 1];
    return rc;
}

void varve_batch_put_abandon(varve_batch *batch)
{
    struct varve_batch_section *section = batch->sections[batch->n_sections - 1];
    if (section->rows.rows.n == 0) { /* only the last section can be without rows */
        section_clear(section);
        batch->n_sections--;
    }
}

varve_status varve_batch_put_measure(varve_batch *batch, struct varve_put_plan *plan, uint64_t n,
                                     uint64_t text, uint64_t key_bytes, varve_error *err)
{
    const struct varve_batch_section *section = plan->section;
    const uint64_t before = section->rows.rows.n;
    /* No product below can overflow: n is bounded first. */
    if (n > batch->bytes_max || text > batch->bytes_max || key_bytes > batch->bytes_max)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a batch is limited to %llu bytes in the log",
                               (unsigned long long)batch->bytes_max);
    const uint64_t rows =
        before == 0 ? varve_payload_section_bytes(section->schema, n)
                    : varve_payload_more_bytes(section->schema, section->row_bytes, before, n);
    const uint64_t bytes = rows + text + key_bytes;
    if (bytes > batch->bytes_max - batch->bytes) {
        const bool row = n == 1 && batch->rows == 0;
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a %s is limited to %llu bytes in the log", row ? "row" : "batch",
                               (unsigned long long)batch->bytes_max);
    }
    plan->bytes = bytes;
    return VARVE_OK;
}

varve_status varve_batch_put_reserve(varve_batch *batch, struct varve_put_plan *plan, uint32_t n,
                                     varve_error *err)
{
    struct varve_batch_section *section = plan->section;
    const varve_status rc = varve_rows_builder_reserve(&section->rows, n, 0, err);
    if (rc < 0)
        return rc;
    if (!varve_vec_grow(batch->heap, (void **)&section->part, sizeof *section->part,
                        section->rows.capacity, &section->part_capacity) ||
        !varve_vec_grow(batch->heap, (void **)&section->runs, sizeof *section->runs,
                        (size_t)section->n_runs + 1, &section->runs_capacity))
        return varve_error_nomem(err, "a batch");
    return VARVE_OK;
}

static void put_stamps(struct varve_rows_builder *b, int64_t wt, uint32_t n)
{
    if (b->rows.n == 0 && b->rows.wt == NULL)
        b->rows.wt_uniform = wt;
    if (b->rows.wt == NULL && b->rows.wt_uniform == wt)
        return;
    int64_t *out = varve_rows_builder_wt(b) + b->rows.n;
    for (uint32_t i = 0; i < n; i++)
        out[i] = wt;
}

void varve_batch_put_end(varve_batch *batch, const struct varve_put_plan *plan, uint32_t n)
{
    struct varve_batch_section *section = plan->section;
    struct varve_rows_builder *b = &section->rows;

    put_stamps(b, plan->wt, n);
    if (plan->update)
        (void)varve_rows_builder_live(b, VARVE_MARKER_COLUMN);
    else if (b->rows.marker_live != NULL)
        varve_bitmap_set_range(b->rows.marker_live, b->rows.n, n);
    const struct varve_row_run *last =
        section->n_runs > 0 ? &section->runs[section->n_runs - 1] : NULL;
    if (last == NULL || last->batch_row + (b->rows.n - last->first) != batch->rows)
        section->runs[section->n_runs++] = (struct varve_row_run){b->rows.n, batch->rows};
    b->rows.n += n;
    batch->rows += n;
    batch->bytes += plan->bytes;
    batch->sealed = false; /* a batch whose commit failed may grow further */
}

uint64_t varve_batch_section_row(const struct varve_batch_section *section, uint32_t row)
{
    uint32_t i = section->n_runs;
    while (i > 1 && section->runs[i - 1].first > row)
        i--;
    return i == 0 ? row : section->runs[i - 1].batch_row + (row - section->runs[i - 1].first);
}

/* ------------------------------------------------------------------------------- Rows one by one */

/* Whether a set value of the column's type is in order at first sight, as nearly all are. What is
 * not gets the full look, which also says what is wrong. */
static bool is_plain(const varve_column_info *column, const varve_value *value)
{
    static const int64_t decimal_end[] = {
        0,
        INT64_C(10),
        INT64_C(100),
        INT64_C(1000),
        INT64_C(10000),
        INT64_C(100000),
        INT64_C(1000000),
        INT64_C(10000000),
        INT64_C(100000000),
        INT64_C(1000000000),
        INT64_C(10000000000),
        INT64_C(100000000000),
        INT64_C(1000000000000),
        INT64_C(10000000000000),
        INT64_C(100000000000000),
        INT64_C(1000000000000000),
        INT64_C(10000000000000000),
        INT64_C(100000000000000000),
        INT64_C(1000000000000000000),
    };

    switch (column->type) {
    case VARVE_BIGINT:
    case VARVE_DOUBLE:
    case VARVE_FLOAT:
    case VARVE_UUID:
        return true;
    case VARVE_TIMESTAMP:
        return value->unit == 0 || value->unit == column->unit;
    case VARVE_INT:
        return value->as.i64 == (int32_t)value->as.i64;
    case VARVE_DECIMAL:
        return value->scale == column->scale && value->as.i64 < decimal_end[column->precision] &&
               value->as.i64 > -decimal_end[column->precision];
    default:
        return false;
    }
}

/* Check everything but the partition key. */
static varve_status check_row(const struct varve_schema *schema, const varve_value *values,
                              uint32_t n, uint64_t *ret_text, varve_error *err)
{
    uint64_t text = 0, clustering = 0;
    for (uint32_t c = schema->time_column; c < n; c++) {
        const varve_value *value = &values[c];
        const uint8_t type = schema->columns[c].type;
        if (value->presence == VARVE_SET && value->type == type &&
            is_plain(&schema->columns[c], value))
            continue;
        const varve_status rc = varve_schema_check_value(schema, c, value, err);
        if (rc < 0)
            return rc;
        if (value->presence == VARVE_SET && (type == VARVE_TEXT || type == VARVE_BLOB)) {
            text += value->as.bytes.size;
            clustering += c < schema->first_value ? value->as.bytes.size : 0;
        }
    }
    if (clustering > VARVE_KEY_BYTES_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the clustering columns take %llu bytes, at most %u are allowed",
                               (unsigned long long)clustering, VARVE_KEY_BYTES_MAX);
    *ret_text = text;
    return VARVE_OK;
}

static void put_integer(void *values, uint8_t phys, uint32_t row, int64_t v)
{
    switch (phys) {
    case VARVE_PHYS_I8:
        ((int8_t *)values)[row] = (int8_t)v;
        break;
    case VARVE_PHYS_I16:
        ((int16_t *)values)[row] = (int16_t)v;
        break;
    case VARVE_PHYS_I32:
        ((int32_t *)values)[row] = (int32_t)v;
        break;
    default:
        ((int64_t *)values)[row] = v;
        break;
    }
}

/* Write the value of a cell of row `row`; NULL is the filler. */
static void put_value(struct varve_rows_builder *b, uint32_t column, uint32_t row,
                      const varve_value *value)
{
    static const varve_value filler = {0};
    const struct varve_cells *cells = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    const varve_value *v = value != NULL ? value : &filler;

    switch (phys) {
    case VARVE_PHYS_F32:
        ((float *)cells->values)[row] = v->as.f32;
        break;
    case VARVE_PHYS_F64:
        ((double *)cells->values)[row] = v->as.f64;
        break;
    case VARVE_PHYS_B16:
        memcpy((uint8_t *)cells->values + (size_t)row * 16, v->as.uuid, 16);
        break;
    case VARVE_PHYS_DEC:
        ((int64_t *)cells->values)[row] = v->as.i64;
        cells->scales[row] = v->scale;
        break;
    case VARVE_PHYS_BYTES: {
        const size_t size = value != NULL ? value->as.bytes.size : 0;
        if (size > 0)
            memcpy((uint8_t *)cells->values + cells->offsets[row], value->as.bytes.data, size);
        cells->offsets[row + 1] = cells->offsets[row] + (uint32_t)size;
        break;
    }
    default:
        put_integer(cells->values, phys, row, v->as.i64);
        break;
    }
}

static void put_cell(struct varve_rows_builder *b, uint32_t column, uint32_t row,
                     const varve_value *value)
{
    if (value != NULL && value->presence == VARVE_SET) {
        put_value(b, column, row, value);
        if (b->rows.columns[column].live != NULL)
            varve_bit_set(b->rows.columns[column].live, row);
        return;
    }
    put_value(b, column, row, NULL);
    (void)varve_rows_builder_live(b, column);
    if (value != NULL && value->presence == VARVE_NULL)
        varve_bit_set(varve_rows_builder_deleted(b, column), row);
}

static void put_cells(struct varve_rows_builder *b, const varve_value *values, uint32_t n)
{
    const struct varve_schema *schema = b->rows.schema;
    const uint32_t row = b->rows.n;

    b->rows.time[row] = values[schema->time_column].as.i64;
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        varve_value key = values[c];
        varve_key_canonical(schema->columns[c].type, schema->columns[c].precision, &key);
        put_value(b, c, row, &key);
    }
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        put_cell(b, c, row, c < n ? &values[c] : NULL);
}

static varve_status reserve_text(struct varve_rows_builder *b, const varve_value *values,
                                 uint32_t n, varve_error *err)
{
    const struct varve_schema *schema = b->rows.schema;
    for (uint32_t c = schema->time_column + 1; c < n; c++) {
        if (schema->phys[c] != VARVE_PHYS_BYTES || values[c].presence != VARVE_SET)
            continue;
        const varve_status rc =
            varve_rows_builder_reserve_bytes(b, c, values[c].as.bytes.size, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static bool is_key(const struct varve_key_set *keys, uint32_t number, struct varve_span key)
{
    const struct varve_span other = keys->spans[number];
    return other.size == key.size && memcmp(other.data, key.data, key.size) == 0;
}

/* The number of the row's key if the section has it; its bytes are in batch->key. */
static varve_status find_key(varve_batch *batch, const struct varve_batch_section *section,
                             const varve_value *values, uint32_t *ret_key, uint64_t *ret_hash,
                             varve_error *err)
{
    varve_buffer_clear(&batch->key);
    const varve_status rc = varve_key_encode(section->schema, values, &batch->key, err);
    if (rc < 0)
        return rc;
    const struct varve_span key = varve_buffer_span(&batch->key);
    if (section->last_key != VARVE_NO_KEY) {
        if (is_key(&section->keys, section->last_key, key)) {
            *ret_key = section->last_key;
            return VARVE_OK;
        }
        /* A live feed brings the same keys in the same order again and again. */
        const uint32_t next = section->last_key + 1 == section->keys.n ? 0 : section->last_key + 1;
        if (is_key(&section->keys, next, key)) {
            *ret_key = next;
            return VARVE_OK;
        }
    }
    *ret_hash = varve_key_hash(key);
    *ret_key = varve_key_set_find(&section->keys, key, *ret_hash);
    return VARVE_OK;
}

static varve_status put_row(varve_batch *batch, struct varve_put_plan *plan,
                            const varve_value *values, uint32_t n, varve_error *err)
{
    struct varve_batch_section *section = plan->section;
    uint32_t key = VARVE_NO_KEY;
    uint64_t hash = 0, text = 0;

    varve_status rc = check_row(section->schema, values, n, &text, err);
    if (rc < 0)
        return rc;
    rc = find_key(batch, section, values, &key, &hash, err);
    if (rc < 0)
        return rc;
    const uint64_t key_bytes =
        key == VARVE_NO_KEY ? batch->key.size + VARVE_PAYLOAD_KEY_BYTES_MAX : 0;
    rc = varve_batch_put_measure(batch, plan, 1, text, key_bytes, err);
    if (rc < 0)
        return rc;
    rc = varve_batch_put_reserve(batch, plan, 1, err);
    if (rc < 0)
        return rc;
    rc = reserve_text(&section->rows, values, n, err);
    if (rc < 0)
        return rc;
    if (key == VARVE_NO_KEY) { /* the last step that can fail */
        key = varve_key_set_add(&section->keys, varve_buffer_span(&batch->key), hash);
        if (key == VARVE_NO_KEY)
            return varve_error_nomem(err, "a batch");
    }
    section->part[section->rows.rows.n] = key;
    section->last_key = key;
    put_cells(&section->rows, values, n);
    varve_batch_put_end(batch, plan, 1);
    return VARVE_OK;
}

varve_status varve_batch_add_row(varve_batch *batch, const struct varve_schema *schema,
                                 const varve_value *values, uint32_t n, const varve_put *put,
                                 int64_t max_wt, varve_error *err)
{
    struct varve_put_plan plan;
    if (n < schema->first_value || n > schema->n_columns)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "%u values for a table of %u columns, %u of them key columns", n,
                               schema->n_columns, schema->first_value);
    varve_status rc = varve_batch_put_begin(batch, schema, put, max_wt, &plan, err);
    if (rc < 0)
        return rc;
    if (varve_batch_put_plain_row(batch, &plan, values, n))
        return VARVE_OK;
    rc = put_row(batch, &plan, values, n, err);
    if (rc < 0)
        varve_batch_put_abandon(batch);
    return rc;
}

/* ------------------------------------------------------------------------------------- Sealing */

static struct varve_section section_view(const struct varve_batch_section *section)
{
    return (struct varve_section){
        .schema = section->schema,
        .table_id = section->schema->table_id,
        .schema_version = section->schema->version,
        .n_keys = section->keys.n,
        .keys = section->keys.spans,
        .key_hashes = section->keys.hashes,
        .part = section->keys.n > 1 ? section->part : NULL,
        .rows = &section->rows.rows,
    };
}

/* Values, and the encoded key without its row-kind byte for every row. */
static uint64_t section_raw_bytes(const struct varve_batch_section *section)
{
    const struct varve_rows *rows = &section->rows.rows;
    uint64_t bytes = section->raw_folded + varve_rows_raw_bytes(rows, 0, rows->n);
    if (section->keys.n == 1)
        return bytes + (uint64_t)rows->n * (section->keys.spans[0].size - 1);
    for (uint32_t i = 0; i < rows->n; i++)
        bytes += section->keys.spans[section->part[i]].size - 1;
    return bytes;
}

static varve_status encode(varve_batch *batch, varve_error *err)
{
    const uint32_t n = batch->n_sections;
    struct varve_section one;
    struct varve_section *views = &one;
    if (n > 1) {
        views = varve_alloc(batch->heap, n * sizeof *views);
        if (views == NULL)
            return varve_error_nomem(err, "a batch");
    }
    for (uint32_t i = 0; i < n; i++)
        views[i] = section_view(batch->sections[i]);
    varve_buffer_clear(&batch->payload);
    const varve_status rc = varve_payload_encode(views, n, &batch->payload, err);
    if (n > 1)
        varve_free(batch->heap, views, n * sizeof *views);
    return rc;
}

varve_status varve_batch_seal(varve_batch *batch, varve_error *err)
{
    if (batch->sealed)
        return VARVE_OK;
    uint64_t raw_bytes = 0;
    for (uint32_t i = 0; i < batch->n_sections; i++)
        raw_bytes += section_raw_bytes(batch->sections[i]);
    for (uint32_t i = 0; i < batch->n_sections; i++) {
        const varve_status rc = varve_batch_section_settle(batch, batch->sections[i], err);
        if (rc < 0)
            return rc;
    }
    const varve_status rc = encode(batch, err);
    if (rc < 0)
        return rc;
    assert(batch->payload.size <= batch->bytes); /* the bound is one */
    batch->payload_hash = varve_hash64(batch->payload.data, batch->payload.size, 0);
    batch->raw_bytes = raw_bytes;
    batch->sealed = true;
    return VARVE_OK;
}

struct varve_span varve_batch_payload(const varve_batch *batch)
{
    assert(batch->sealed);
    return varve_buffer_span(&batch->payload);
}

uint64_t varve_batch_payload_hash(const varve_batch *batch)
{
    assert(batch->sealed);
    return batch->payload_hash;
}

uint32_t varve_batch_sections(const varve_batch *batch)
{
    return batch->n_sections;
}

struct varve_section varve_batch_section(const varve_batch *batch, uint32_t i)
{
    assert(i < batch->n_sections);
    return section_view(batch->sections[i]);
}

uint64_t varve_batch_row_of(const varve_batch *batch, uint32_t section, uint32_t row)
{
    assert(section < batch->n_sections);
    return varve_batch_section_row(batch->sections[section], row);
}

struct varve_origin varve_batch_origin(const varve_batch *batch)
{
    return batch->origin;
}

uint64_t varve_batch_raw_bytes(const varve_batch *batch)
{
    assert(batch->sealed);
    return batch->raw_bytes;
}

bool varve_batch_is_sealed(const varve_batch *batch)
{
    return batch->sealed;
}
