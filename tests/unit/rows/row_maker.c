/*
 * row_maker.c - see row_maker.h.
 */
#include "tests/unit/rows/row_maker.h"

#include <check.h>
#include <stdlib.h>

const char row_table_all_types[] =
    "CREATE TABLE everything (k text, ts timestamp, seq int, tag text, "
    "b boolean, t tinyint, s smallint, i int, l bigint, f float, d double, "
    "m decimal(9, 2), n decimal, x text, y blob, at timestamp, day date, clock time, u uuid, "
    "PRIMARY KEY (k, ts, seq, tag)) WITH CLUSTERING ORDER BY (ts ASC, seq DESC, tag ASC)";

static void *heap_alloc(void *ctx, size_t size, size_t align)
{
    struct row_heap *h = ctx;
    if (h->calls++ == h->fail_at) {
        h->fired = true;
        return NULL;
    }
    void *memory = aligned_alloc(align, (size + align - 1) / align * align);
    if (memory != NULL)
        h->live++;
    return memory;
}

static void heap_free(void *ctx, void *memory, size_t size, size_t align)
{
    struct row_heap *h = ctx;
    (void)size;
    (void)align;
    if (memory != NULL)
        h->live--;
    free(memory);
}

void row_heap_init(struct row_heap *h, long fail_at)
{
    memset(h, 0, sizeof *h);
    h->allocator = (varve_allocator){.ctx = h, .alloc = heap_alloc, .free = heap_free};
    h->fail_at = fail_at;
    varve_heap_init(&h->heap, &h->allocator, UINT64_MAX);
}

struct varve_schema *row_schema(struct varve_heap *heap, const char *text)
{
    struct varve_schema *plain, *schema;
    varve_error err;
    const varve_status rc = varve_schema_from_text(heap, text, &plain, &err);
    ck_assert_msg(rc == VARVE_OK, "%s", rc == VARVE_OK ? "" : err.message);
    ck_assert_int_eq(varve_schema_with_id(plain, heap, 7, 1, &schema, &err), VARVE_OK);
    varve_schema_unref(plain);
    return schema;
}

static void text_value(struct varve_rng *rng, varve_value *value)
{
    static const char *const texts[] = {"", "a", "ab", "b", "\xC3\xA4", "a long text of a row"};
    const char *text = texts[varve_rng_below(rng, 6)];
    value->as.bytes.data = text;
    value->as.bytes.size = strlen(text);
}

varve_value row_value(struct varve_rng *rng, const varve_column_info *info)
{
    static const double reals[] = {0.0, -0.0, 1.5, -2.25, 1e300};
    varve_value v = {.type = info->type, .unit = info->unit, .scale = info->scale};
    switch (info->type) {
    case VARVE_BOOLEAN:
        v.as.i64 = (int64_t)varve_rng_below(rng, 2);
        break;
    case VARVE_FLOAT:
        v.as.f32 = (float)reals[varve_rng_below(rng, 4)];
        break;
    case VARVE_DOUBLE:
        v.as.f64 = reals[varve_rng_below(rng, 5)];
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        text_value(rng, &v);
        break;
    case VARVE_UUID:
        v.as.uuid[3] = (uint8_t)varve_rng_below(rng, 3);
        break;
    case VARVE_TIME:
        v.as.i64 = (int64_t)varve_rng_below(rng, 4) * 1000;
        break;
    default: /* the other integers, down to a byte wide */
        v.as.i64 = (int64_t)varve_rng_below(rng, 5) * 60 - 120;
        if (info->type == VARVE_DECIMAL && info->precision == 0)
            v.scale = (int8_t)((int)varve_rng_below(rng, 3) - 1);
        break;
    }
    return v;
}

bool row_values_same(const varve_value *a, const varve_value *b)
{
    if (a->type != b->type || a->scale != b->scale || a->presence != b->presence)
        return false;
    switch (a->type) {
    case VARVE_FLOAT:
        return memcmp(&a->as.f32, &b->as.f32, sizeof a->as.f32) == 0;
    case VARVE_TEXT:
    case VARVE_BLOB:
        return a->as.bytes.size == b->as.bytes.size &&
               (a->as.bytes.size == 0 ||
                memcmp(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size) == 0);
    case VARVE_UUID:
        return memcmp(a->as.uuid, b->as.uuid, 16) == 0;
    default:
        return memcmp(&a->as.i64, &b->as.i64, 8) == 0;
    }
}

static void put_integer(const struct varve_cells *cells, uint8_t phys, uint32_t row, int64_t v)
{
    if (phys == VARVE_PHYS_I8)
        ((int8_t *)cells->values)[row] = (int8_t)v;
    else if (phys == VARVE_PHYS_I16)
        ((int16_t *)cells->values)[row] = (int16_t)v;
    else if (phys == VARVE_PHYS_I32)
        ((int32_t *)cells->values)[row] = (int32_t)v;
    else
        ((int64_t *)cells->values)[row] = v;
}

/* Write a cell of the row that is being built; NULL: nothing. */
static void put(struct varve_rows_builder *b, uint32_t column, const varve_value *value)
{
    static const varve_value none = {0};
    const struct varve_cells *cells = &b->rows.columns[column];
    const uint8_t phys = b->rows.schema->phys[column];
    const uint32_t row = b->rows.n;
    const varve_value *v = value == NULL ? &none : value;
    size_t size;

    if (phys == VARVE_PHYS_BYTES) {
        size = value == NULL ? 0 : v->as.bytes.size;
        ck_assert_int_eq(varve_rows_builder_reserve_bytes(b, column, size, NULL), VARVE_OK);
        if (size > 0)
            memcpy((uint8_t *)cells->values + cells->offsets[row], v->as.bytes.data, size);
        cells->offsets[row + 1] = cells->offsets[row] + (uint32_t)size;
    } else if (phys == VARVE_PHYS_F32) {
        ((float *)cells->values)[row] = v->as.f32;
    } else if (phys == VARVE_PHYS_B16) {
        memcpy((uint8_t *)cells->values + (size_t)row * 16, v->as.uuid, 16);
    } else if (phys == VARVE_PHYS_F64) {
        memcpy((double *)cells->values + row, &v->as.i64, 8);
    } else {
        put_integer(cells, phys, row, v->as.i64);
    }
    if (phys == VARVE_PHYS_DEC)
        cells->scales[row] = v->scale;
}

static void put_state(struct varve_rows_builder *b, uint32_t column, uint8_t state)
{
    const bool marker = column == VARVE_MARKER_COLUMN;
    const uint64_t *live = marker ? b->rows.marker_live : b->rows.columns[column].live;
    if (state != VARVE_LIVE)
        (void)varve_rows_builder_live(b, column);
    else if (live != NULL)
        varve_bit_set(varve_rows_builder_live(b, column), b->rows.n);
    if (state == VARVE_DELETED)
        varve_bit_set(varve_rows_builder_deleted(b, column), b->rows.n);
}

static void put_row_stamp(struct varve_rows_builder *b, int64_t wt, uint32_t exp)
{
    if (b->rows.n == 0 && b->rows.wt == NULL)
        b->rows.wt_uniform = wt;
    if (b->rows.wt != NULL || b->rows.wt_uniform != wt)
        varve_rows_builder_wt(b)[b->rows.n] = wt;
    if (b->rows.exp != NULL || exp != 0)
        varve_rows_builder_exp(b)[b->rows.n] = exp;
}

/* Exceptions have room for the whole row: a copy of what the builder does itself is not needed. */
static void put_exception(struct varve_rows_builder *b, uint32_t column, int64_t wt, uint32_t exp)
{
    if (b->rows.n_exceptions == b->exceptions_capacity) {
        const uint32_t more = b->exceptions_capacity + 64;
        const size_t size = sizeof *b->rows.exceptions;
        void *fresh = varve_realloc(b->heap, b->memory.exceptions, b->exceptions_capacity * size,
                                    more * size);
        ck_assert_ptr_nonnull(fresh);
        b->memory.exceptions = b->rows.exceptions = fresh;
        b->exceptions_capacity = more;
    }
    b->rows.exceptions[b->rows.n_exceptions++] = (struct varve_exception){
        .row = b->rows.n, .column = (uint16_t)column, .exp = exp, .wt = wt};
}

static uint32_t next_column(const struct varve_schema *schema, uint32_t column)
{
    return column + 1 < schema->n_columns ? column + 1 : VARVE_MARKER_COLUMN;
}

void row_append_random(struct varve_rows_builder *b, struct varve_rng *rng, int64_t time)
{
    const struct varve_schema *schema = b->rows.schema;
    ck_assert_int_eq(varve_rows_builder_reserve(b, 1, 0, NULL), VARVE_OK);
    const int64_t wt = (int64_t)varve_rng_below(rng, 3) * 1500000 - 1500000;
    const uint32_t exp = varve_rng_below(rng, 4) == 0 ? 50 : 0;
    put_row_stamp(b, wt, exp);
    b->rows.time[b->rows.n] = time;
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        varve_value key = row_value(rng, &schema->columns[c]);
        varve_key_canonical(key.type, schema->columns[c].precision, &key);
        put(b, c, &key);
    }
    for (uint32_t c = schema->first_value;; c = next_column(schema, c)) {
        const uint8_t draw = (uint8_t)varve_rng_below(rng, 6);
        const uint8_t state = draw > 2 ? VARVE_LIVE : draw;
        if (c != VARVE_MARKER_COLUMN) {
            const varve_value value = row_value(rng, &schema->columns[c]);
            put(b, c, state == VARVE_LIVE ? &value : NULL);
        }
        put_state(b, c, state);
        const uint64_t clutter = varve_rng_below(rng, 5);
        if (state != VARVE_ABSENT && clutter == 0)
            put_exception(b, c, (int64_t)varve_rng_below(rng, 4) * 1500000 - 1500000,
                          (uint32_t)varve_rng_below(rng, 3) * 25);
        else if (state != VARVE_ABSENT && clutter == 1) /* says what is implied anyway */
            put_exception(b, c, wt, state == VARVE_LIVE ? exp : varve_deletion_second(wt));
        if (c == VARVE_MARKER_COLUMN)
            break;
    }
    b->rows.n++;
}

void row_append_restamped(struct varve_rows_builder *b, const struct varve_rows *from, uint32_t row,
                          int64_t wt, uint32_t exp)
{
    const struct varve_schema *schema = b->rows.schema;
    ck_assert_int_eq(varve_rows_builder_reserve(b, 1, 0, NULL), VARVE_OK);
    put_row_stamp(b, wt, exp);
    b->rows.time[b->rows.n] = from->time[row];
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const varve_value key = varve_rows_value(from, row, c);
        put(b, c, &key);
    }
    for (uint32_t c = schema->first_value;; c = next_column(schema, c)) {
        const struct varve_stamp stamp = varve_rows_stamp(from, row, c);
        if (c != VARVE_MARKER_COLUMN) {
            const varve_value value = varve_rows_value(from, row, c);
            put(b, c, stamp.state == VARVE_LIVE ? &value : NULL);
        }
        put_state(b, c, stamp.state);
        const uint32_t implied = stamp.state == VARVE_LIVE ? exp : varve_deletion_second(wt);
        if (stamp.state != VARVE_ABSENT && (stamp.wt != wt || stamp.exp != implied))
            put_exception(b, c, stamp.wt, stamp.exp);
        if (c == VARVE_MARKER_COLUMN)
            break;
    }
    b->rows.n++;
}

/* No assertion that passes: the test framework writes down each of them. */
void row_check_same(const struct varve_rows *a, uint32_t i, const struct varve_rows *b, uint32_t j)
{
    const struct varve_schema *schema = a->schema;
    bool same = a->time[i] == b->time[j];
    for (uint32_t c = schema->time_column + 1;; c = next_column(schema, c)) {
        const struct varve_stamp x = varve_rows_stamp(a, i, c), y = varve_rows_stamp(b, j, c);
        same = same && x.state == y.state;
        if (x.state != VARVE_ABSENT && c >= schema->first_value)
            same = same && x.wt == y.wt && x.exp == y.exp;
        if (c == VARVE_MARKER_COLUMN)
            break;
        const varve_value v = varve_rows_value(a, i, c), w = varve_rows_value(b, j, c);
        same = same && (x.state != VARVE_LIVE || row_values_same(&v, &w));
    }
    if (!same)
        ck_abort_msg("row %u is not row %u", i, j);
}
