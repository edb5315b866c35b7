/*
 * payload_reader.c - payloads back into sections: every byte is checked before it is believed.
 *
 * Counts are held against a budget (what a batch could have been) before memory is taken for them;
 * a loop over rows never begins before that.
 */
#include "storage/base/vec.h"
#include "storage/batch/batch_int.h"

struct decoded_section {
    const struct varve_schema *schema;
    struct varve_rows_builder rows;
    struct varve_key_set keys;
    uint32_t *part; /* NULL: one key */
    uint32_t n;
};

struct varve_payload {
    struct varve_heap *heap;
    struct decoded_section *sections;
    uint32_t n; /* begun, perhaps half built */
    uint32_t capacity;
};

struct decoder {
    struct varve_reader in;
    const uint8_t *start;
    struct varve_heap *heap;
    struct varve_buffer text; /* scratch: the bytes of one block */
    uint64_t budget;          /* bytes that the rest may still decode to */
    varve_schema_lookup lookup;
    void *lookup_ctx;
    varve_error *err;
};

static varve_status fail(struct decoder *d, varve_status status, const char *what)
{
    return varve_error_set(d->err, status, NULL, (uint64_t)(d->in.at - d->start), "log record: %s",
                           what);
}

static varve_status corrupt(struct decoder *d, const char *what)
{
    return fail(d, VARVE_ECORRUPT, what);
}

static bool spend(struct decoder *d, uint64_t bytes)
{
    if (bytes > d->budget)
        return false;
    d->budget -= bytes;
    return true;
}

/* A varint that fits 32 bits and is at least `min`; else the reader fails. */
static uint32_t read_u32_varint(struct varve_reader *in, uint32_t min)
{
    const uint64_t v = varve_read_varint(in);
    if (v < min || v > UINT32_MAX)
        in->failed = true;
    return in->failed ? 0 : (uint32_t)v;
}

/* ------------------------------------------------------------------------------------- Columns */

/* Where a column's cells go. Without a builder all cells must be live. */
struct column_target {
    uint8_t lane;
    uint32_t n;
    void *values;
    int8_t *scales;
    struct varve_rows_builder *builder; /* whose `column` has states and text */
    uint32_t column;
};

/* States of rows [at, at + n), from bit 0 of the bitmaps. */
static void put_states(const struct column_target *t, uint32_t at, uint32_t n, const uint64_t *live,
                       const uint64_t *deleted)
{
    struct varve_rows_builder *b = t->builder;
    const bool shown = b->rows.columns[t->column].live != NULL;
    uint64_t *out = varve_rows_builder_live(b, t->column);
    if (!shown)
        varve_bitmap_set_range(out, 0, at);
    varve_bitmap_copy(out, at, live, 0, n);
    if (varve_bitmap_next(deleted, 0, n) < n)
        varve_bitmap_copy(varve_rows_builder_deleted(b, t->column), at, deleted, 0, n);
}

static void put_live(const struct column_target *t, uint32_t at, uint32_t n)
{
    uint64_t *live = t->builder == NULL ? NULL : t->builder->rows.columns[t->column].live;
    if (live != NULL)
        varve_bitmap_set_range(live, at, n);
}

static varve_status read_block_states(struct decoder *d, const struct column_target *t,
                                      const struct varve_block *block, uint32_t at)
{
    uint64_t live[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)];
    uint64_t deleted[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)];

    if ((block->flags & (VARVE_BLOCK_HAS_ABSENT | VARVE_BLOCK_HAS_DELETED)) == 0) {
        put_live(t, at, block->n);
        return VARVE_OK;
    }
    if (t->builder == NULL || t->column < t->builder->rows.schema->first_value)
        return corrupt(d, "a column without states has some");
    varve_block_states(block, 0, block->n, live, deleted);
    for (size_t w = 0; w < VARVE_BITMAP_WORDS(block->n); w++) {
        if ((live[w] & deleted[w]) != 0)
            return corrupt(d, "a cell is live and deleted");
    }
    put_states(t, at, block->n, live, deleted);
    return VARVE_OK;
}

static varve_status read_block_text(struct decoder *d, const struct column_target *t,
                                    const struct varve_block *block, uint32_t at)
{
    struct varve_rows_builder *b = t->builder;
    if (!spend(d, block->raw_bytes))
        return corrupt(d, "more text than a record has");
    varve_buffer_clear(&d->text);
    varve_status rc = varve_rows_builder_reserve_text(b, t->column, at, block->raw_bytes, d->err);
    if (rc < 0)
        return rc;
    uint32_t *offsets = b->rows.columns[t->column].offsets + at;
    rc = varve_block_decode_bytes(block, 0, block->n, offsets, &d->text, d->err);
    if (rc < 0)
        return rc;
    if (d->text.failed)
        return varve_error_nomem(d->err, "a log record");
    const uint32_t start = offsets[0];
    for (uint32_t i = 0; i < block->n; i++) {
        if (offsets[i + 1] < offsets[i])
            return corrupt(d, "text does not ascend");
    }
    if (d->text.size > block->raw_bytes || offsets[block->n] - start != d->text.size)
        return corrupt(d, "text of another size than declared");
    if (d->text.size > 0)
        memcpy((uint8_t *)b->rows.columns[t->column].values + start, d->text.data, d->text.size);
    return VARVE_OK;
}

static varve_status read_block(struct decoder *d, const struct column_target *t, uint32_t at,
                               uint32_t *ret_rows)
{
    struct varve_block block;
    const uint32_t size = varve_read_u32(&d->in);
    const uint32_t rows = varve_read_u16(&d->in);
    if (d->in.failed || rows == 0 || rows > VARVE_VECTOR_ROWS || rows > t->n - at)
        return corrupt(d, "a block of no or too many rows");
    const struct varve_span span = varve_read_bytes(&d->in, size);
    if (d->in.failed)
        return corrupt(d, "a block reaches beyond the section");
    varve_status rc = varve_block_open(span, t->lane, rows, &block, d->err);
    if (rc < 0)
        return rc;
    if (block.codec == VARVE_CODEC_DICT)
        return corrupt(d, "a block of codes without a dictionary");
    rc = read_block_states(d, t, &block, at);
    if (rc < 0)
        return rc;
    *ret_rows = rows;
    if (t->lane == VARVE_LANE_BYTES)
        return read_block_text(d, t, &block, at);
    return varve_block_decode(&block, 0, rows,
                              (uint8_t *)t->values +
                                  (size_t)at * varve_phys_width((enum varve_phys)t->lane),
                              t->scales == NULL ? NULL : t->scales + at, d->err);
}

static void read_plain_number(struct varve_reader *in, const struct column_target *t, uint32_t i)
{
    const int64_t v = varve_read_zigzag(in);
    if ((t->lane == VARVE_LANE_I16 && v != (int16_t)v) ||
        (t->lane == VARVE_LANE_I32 && v != (int32_t)v))
        in->failed = true;
    if (t->lane == VARVE_LANE_I16)
        ((int16_t *)t->values)[i] = (int16_t)v;
    else if (t->lane == VARVE_LANE_I32)
        ((int32_t *)t->values)[i] = (int32_t)v;
    else
        ((int64_t *)t->values)[i] = v;
    if (t->lane == VARVE_LANE_DEC)
        t->scales[i] = (int8_t)varve_read_u8(in);
}

static varve_status read_plain_text(struct decoder *d, const struct column_target *t, uint32_t i)
{
    const struct varve_span span = varve_read_sized(&d->in, VARVE_RECORD_BYTES_MAX);
    if (d->in.failed || !spend(d, span.size))
        return corrupt(d, "text reaches beyond the section");
    const varve_status rc =
        varve_rows_builder_reserve_text(t->builder, t->column, i, span.size, d->err);
    if (rc < 0)
        return rc;
    struct varve_cells *cells = &t->builder->rows.columns[t->column];
    if (span.size > 0)
        memcpy((uint8_t *)cells->values + cells->offsets[i], span.data, span.size);
    cells->offsets[i + 1] = cells->offsets[i] + (uint32_t)span.size;
    return VARVE_OK;
}

static varve_status read_plain_value(struct decoder *d, const struct column_target *t, uint32_t i)
{
    uint8_t *values = t->values;
    switch (t->lane) {
    case VARVE_LANE_I8:
        values[i] = varve_read_u8(&d->in);
        break;
    case VARVE_LANE_F32: {
        const uint32_t bits = varve_read_u32(&d->in);
        memcpy(values + 4 * (size_t)i, &bits, 4);
        break;
    }
    case VARVE_LANE_F64: {
        const uint64_t bits = varve_read_u64(&d->in);
        memcpy(values + 8 * (size_t)i, &bits, 8);
        break;
    }
    case VARVE_LANE_B16: {
        const struct varve_span span = varve_read_bytes(&d->in, 16);
        if (!d->in.failed)
            memcpy(values + 16 * (size_t)i, span.data, 16);
        break;
    }
    case VARVE_LANE_BYTES:
        return read_plain_text(d, t, i);
    default:
        read_plain_number(&d->in, t, i);
        break;
    }
    return d->in.failed ? corrupt(d, "a value is cut short or too wide") : VARVE_OK;
}

/* The filler of a cell that is not live. */
static void skip_plain_value(const struct column_target *t, uint32_t i)
{
    if (t->lane == VARVE_LANE_BYTES) {
        uint32_t *offsets = t->builder->rows.columns[t->column].offsets;
        offsets[i + 1] = offsets[i];
        return;
    }
    const size_t width = varve_phys_width((enum varve_phys)t->lane);
    memset((uint8_t *)t->values + i * width, 0, width);
    if (t->lane == VARVE_LANE_DEC)
        t->scales[i] = 0;
}

static varve_status read_plain_states(struct decoder *d, const struct column_target *t,
                                      uint64_t *live)
{
    uint64_t deleted = 0;
    if (t->builder == NULL || t->column < t->builder->rows.schema->first_value)
        return corrupt(d, "a column without states has some");
    *live = 0;
    for (uint32_t i = 0; i < t->n; i += 4) {
        unsigned states = varve_read_u8(&d->in);
        for (uint32_t k = i; k < i + 4; k++, states >>= 2) {
            const unsigned state = states & 3;
            if (state > VARVE_DELETED || (k >= t->n && state != 0))
                return corrupt(d, "a cell has no such state");
            *live |= (uint64_t)(state == VARVE_LIVE) << k;
            deleted |= (uint64_t)(state == VARVE_DELETED) << k;
        }
    }
    put_states(t, 0, t->n, live, &deleted);
    return VARVE_OK;
}

static varve_status read_column(struct decoder *d, const struct column_target *t)
{
    const uint8_t form = varve_read_u8(&d->in);
    varve_status rc = VARVE_OK;

    if (form == VARVE_COLUMN_BLOCKS) {
        for (uint32_t at = 0, rows = 0; rc == VARVE_OK && at < t->n; at += rows)
            rc = read_block(d, t, at, &rows);
        return rc;
    }
    if (form != VARVE_COLUMN_PLAIN && form != VARVE_COLUMN_PLAIN_STATES)
        return corrupt(d, "a column has no such form");
    if (t->n > VARVE_PAYLOAD_PLAIN_ROWS_MAX)
        return corrupt(d, "too many rows for a plain column");
    uint64_t live = UINT64_MAX;
    if (form == VARVE_COLUMN_PLAIN_STATES)
        rc = read_plain_states(d, t, &live);
    for (uint32_t i = 0; rc == VARVE_OK && i < t->n; i++) {
        if (live >> i & 1)
            rc = read_plain_value(d, t, i);
        else
            skip_plain_value(t, i);
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------- Keys */

static varve_status read_key(struct decoder *d, struct decoded_section *section)
{
    uint8_t scratch[VARVE_KEY_BYTES_MAX];
    varve_value values[VARVE_KEY_COLUMNS_MAX];

    const struct varve_span key = varve_read_sized(&d->in, VARVE_KEY_BYTES_MAX);
    if (d->in.failed || key.size == 0)
        return corrupt(d, "a partition key is cut short");
    const varve_status rc = varve_key_decode(section->schema, key, scratch, values, d->err);
    if (rc < 0)
        return rc;
    const uint64_t hash = varve_key_hash(key);
    if (varve_key_set_find(&section->keys, key, hash) != VARVE_NO_KEY)
        return corrupt(d, "a partition key stands twice");
    if (varve_key_set_add(&section->keys, key, hash) == VARVE_NO_KEY)
        return varve_error_nomem(d->err, "a log record");
    return VARVE_OK;
}

static varve_status read_keys(struct decoder *d, struct decoded_section *section, bool many)
{
    const uint32_t n = section->n;
    const uint32_t count = many ? read_u32_varint(&d->in, 1) : 1;
    if (d->in.failed || count > n || count > varve_reader_left(&d->in))
        return corrupt(d, "a count of keys cannot be");
    for (uint32_t k = 0; k < count; k++) {
        const varve_status rc = read_key(d, section);
        if (rc < 0)
            return rc;
    }
    if (!many)
        return VARVE_OK;
    section->part = varve_alloc(d->heap, n * sizeof *section->part);
    if (section->part == NULL)
        return varve_error_nomem(d->err, "a log record");
    const struct column_target t = {.lane = VARVE_LANE_I32, .n = n, .values = section->part};
    const varve_status rc = read_column(d, &t);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (section->part[i] >= count)
            return corrupt(d, "a row's key is not there");
    }
    return VARVE_OK;
}

/* --------------------------------------------------------------------------------------- Cells */

static varve_status read_time(struct decoder *d, struct decoded_section *section)
{
    const struct varve_schema *schema = section->schema;
    const int64_t *time = section->rows.rows.time;
    const struct column_target t = {
        .lane = VARVE_LANE_I64, .n = section->n, .values = section->rows.rows.time};
    const varve_status rc = read_column(d, &t);
    if (rc < 0)
        return rc;
    int64_t min = INT64_MIN, max = INT64_MAX;
    switch (schema->phys[schema->time_column]) {
    case VARVE_PHYS_I8:
        min = INT8_MIN, max = INT8_MAX;
        break;
    case VARVE_PHYS_I16:
        min = INT16_MIN, max = INT16_MAX;
        break;
    case VARVE_PHYS_I32:
        min = INT32_MIN, max = INT32_MAX;
        break;
    default:
        if (schema->columns[schema->time_column].type == VARVE_TIME)
            min = 0, max = INT64_C(86400000000000) - 1;
        break;
    }
    bool outside = false;
    for (uint32_t i = 0; i < section->n; i++)
        outside |= (time[i] < min) | (time[i] > max);
    return outside ? corrupt(d, "a time is outside its type's range") : VARVE_OK;
}

/* The schema column with this id, or n_columns. Ids ascend with columns in most tables. */
static uint32_t find_column(const struct varve_schema *schema, uint64_t id, uint32_t from)
{
    while (from < schema->n_columns && schema->columns[from].id != id)
        from++;
    return from;
}

/* Whether the key cells have their canonical spelling. */
static bool is_canonical(const struct varve_rows *rows, uint32_t column, uint32_t n)
{
    const varve_column_info *info = &rows->schema->columns[column];
    const uint8_t phys = rows->schema->phys[column];
    if (phys != VARVE_PHYS_F32 && phys != VARVE_PHYS_F64 && phys != VARVE_PHYS_DEC)
        return true;
    struct varve_rows all = *rows;
    all.n = n; /* the builder has not counted them yet */
    for (uint32_t i = 0; i < n; i++) {
        const varve_value found = varve_rows_value(&all, i, column);
        varve_value want = found;
        varve_key_canonical(info->type, info->precision, &want);
        if (found.scale != want.scale ||
            (phys == VARVE_PHYS_F32 ? memcmp(&found.as.f32, &want.as.f32, 4) != 0
                                    : memcmp(&found.as.i64, &want.as.i64, 8) != 0))
            return false;
    }
    return true;
}

static varve_status check_cells(struct decoder *d, struct decoded_section *section, uint32_t column)
{
    const struct varve_schema *schema = section->schema;
    const struct varve_cells *cells = &section->rows.rows.columns[column];
    const uint32_t n = section->n;

    if (varve_cells_check(schema, column, cells, 0, n) != n)
        return corrupt(d, "a value is outside what its type allows");
    if (column < schema->first_value && !is_canonical(&section->rows.rows, column, n))
        return corrupt(d, "a key cell is not canonical");
    if (schema->phys[column] != VARVE_PHYS_BYTES || cells->live == NULL)
        return VARVE_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (!varve_bit_get(cells->live, i) && cells->offsets[i] != cells->offsets[i + 1])
            return corrupt(d, "a cell without a value has text");
    }
    return VARVE_OK;
}

/* A column that the payload leaves out: all absent. */
static void leave_column(struct decoded_section *section, uint32_t column)
{
    struct varve_rows_builder *b = &section->rows;
    struct varve_cells *cells = &b->rows.columns[column];
    const uint8_t phys = section->schema->phys[column];

    (void)varve_rows_builder_live(b, column);
    if (phys == VARVE_PHYS_BYTES)
        memset(cells->offsets, 0, ((size_t)section->n + 1) * sizeof *cells->offsets);
    else
        memset(cells->values, 0, section->n * (size_t)varve_phys_width(phys));
    if (phys == VARVE_PHYS_DEC)
        memset(cells->scales, 0, section->n);
}

static varve_status read_cells(struct decoder *d, struct decoded_section *section)
{
    const struct varve_schema *schema = section->schema;
    uint32_t next = schema->time_column + 1;
    const uint32_t count = read_u32_varint(&d->in, 0);
    if (d->in.failed || count > schema->n_columns - next || count < schema->n_clustering)
        return corrupt(d, "a count of columns cannot be");
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t id = varve_read_varint(&d->in);
        const uint32_t c = find_column(schema, id, next);
        if (d->in.failed || c == schema->n_columns ||
            (i < schema->n_clustering && c != schema->time_column + 1 + i))
            return corrupt(d, "a column is not the table's, or out of order");
        for (; next < c; next++)
            leave_column(section, next);
        const struct column_target t = {.lane = schema->phys[c],
                                        .n = section->n,
                                        .values = section->rows.rows.columns[c].values,
                                        .scales = section->rows.rows.columns[c].scales,
                                        .builder = &section->rows,
                                        .column = c};
        varve_status rc = read_column(d, &t);
        if (rc == VARVE_OK)
            rc = check_cells(d, section, c);
        if (rc < 0)
            return rc;
        next = c + 1;
    }
    for (; next < schema->n_columns; next++)
        leave_column(section, next);
    return VARVE_OK;
}

/* -------------------------------------------------------------------------------------- Stamps */

static varve_status read_bits(struct decoder *d, uint64_t *bits, uint32_t n)
{
    const struct varve_span in = varve_read_bytes(&d->in, ((size_t)n + 7) / 8);
    if (d->in.failed || (n % 8 != 0 && in.data[n / 8] >> (n % 8) != 0))
        return corrupt(d, "markers are cut short or beyond the rows");
    for (size_t i = 0; i < in.size; i++)
        bits[i / 8] |= (uint64_t)in.data[i] << (i % 8 * 8);
    return VARVE_OK;
}

static varve_status read_markers(struct decoder *d, struct decoded_section *section, uint8_t flags)
{
    struct varve_rows_builder *b = &section->rows;
    varve_status rc = VARVE_OK;
    if (flags & VARVE_SECTION_MARKERS)
        rc = read_bits(d, varve_rows_builder_live(b, VARVE_MARKER_COLUMN), section->n);
    if (rc < 0 || (flags & VARVE_SECTION_MARKERS_DELETED) == 0)
        return rc;
    uint64_t *deleted = varve_rows_builder_deleted(b, VARVE_MARKER_COLUMN);
    rc = read_bits(d, deleted, section->n);
    for (size_t w = 0; rc == VARVE_OK && w < VARVE_BITMAP_WORDS(section->n); w++) {
        const uint64_t live = b->rows.marker_live == NULL ? UINT64_MAX : b->rows.marker_live[w];
        if ((live & deleted[w]) != 0)
            rc = corrupt(d, "a marker is live and deleted");
    }
    return rc;
}

static varve_status read_stamps(struct decoder *d, struct decoded_section *section, uint8_t flags)
{
    struct varve_rows_builder *b = &section->rows;
    struct column_target t = {.lane = VARVE_LANE_I64, .n = section->n};
    varve_status rc;

    b->rows.wt_uniform = VARVE_WT_COMMIT;
    if (flags & VARVE_SECTION_WRITE_TIMES) {
        t.values = varve_rows_builder_wt(b);
        rc = read_column(d, &t);
        if (rc < 0)
            return rc;
    }
    if (flags & VARVE_SECTION_EXPIRY) {
        t.lane = VARVE_LANE_I32;
        t.values = varve_rows_builder_exp(b);
        rc = read_column(d, &t);
        if (rc < 0)
            return rc;
    }
    return read_markers(d, section, flags);
}

/* ------------------------------------------------------------------------------------- Sections */

/* VARVE_END: the section is to be skipped. */
static varve_status begin_section(struct decoder *d, struct varve_payload *payload, uint8_t *flags,
                                  struct decoded_section **ret_section)
{
    *flags = varve_read_u8(&d->in);
    if ((*flags & ~(VARVE_SECTION_KEYS | VARVE_SECTION_WRITE_TIMES | VARVE_SECTION_EXPIRY |
                    VARVE_SECTION_MARKERS | VARVE_SECTION_MARKERS_DELETED)) != 0)
        return fail(d, VARVE_EVERSION, "a section has flags of a newer version");
    const uint32_t table = read_u32_varint(&d->in, 1);
    const uint32_t version = read_u32_varint(&d->in, 1);
    const uint32_t n = read_u32_varint(&d->in, 1);
    if (d->in.failed)
        return corrupt(d, "a section's head is cut short");
    const struct varve_schema *schema = NULL;
    varve_status rc = d->lookup(d->lookup_ctx, table, version, &schema);
    if (rc < 0)
        return fail(d, rc, "no schema of that table and version");
    if (schema == NULL)
        return VARVE_END;
    if (!spend(d, (uint64_t)n * varve_payload_row_bytes(schema)))
        return corrupt(d, "more rows than a record has");

    struct decoded_section *section = &payload->sections[payload->n];
    rc = varve_rows_builder_init(&section->rows, d->heap, schema, NULL, d->err);
    if (rc < 0)
        return rc;
    varve_key_set_init(&section->keys, d->heap);
    section->schema = schema;
    section->n = n;
    payload->n++;
    *ret_section = section;
    return varve_rows_builder_reserve(&section->rows, n, 0, d->err);
}

static varve_status read_section_body(struct decoder *d, struct varve_payload *payload)
{
    struct decoded_section *section = NULL;
    uint8_t flags = 0;

    varve_status rc = begin_section(d, payload, &flags, &section);
    if (rc == VARVE_END) {
        d->in.at = d->in.end;
        return VARVE_OK;
    }
    if (rc < 0)
        return rc;
    rc = read_keys(d, section, (flags & VARVE_SECTION_KEYS) != 0);
    if (rc < 0)
        return rc;
    rc = read_time(d, section);
    if (rc < 0)
        return rc;
    rc = read_cells(d, section);
    if (rc < 0)
        return rc;
    rc = read_stamps(d, section, flags);
    if (rc < 0)
        return rc;
    if (d->in.failed || varve_reader_left(&d->in) != 0)
        return corrupt(d, "a section has bytes behind its end");
    section->rows.rows.n = section->n;
    return VARVE_OK;
}

static varve_status read_section(struct decoder *d, struct varve_payload *payload)
{
    const uint8_t kind = varve_read_u8(&d->in);
    const uint32_t size = varve_read_u32(&d->in);
    if (d->in.failed)
        return corrupt(d, "a section's head is cut short");
    if (kind != VARVE_SECTION_ROWS)
        return fail(d, VARVE_EVERSION, "a section of a kind that is not known");
    if (size > varve_reader_left(&d->in))
        return corrupt(d, "a section reaches beyond the record");
    const uint8_t *end = d->in.end;
    d->in.end = d->in.at + size;
    const varve_status rc = read_section_body(d, payload);
    d->in.end = end;
    return rc;
}

static varve_status read_payload(struct decoder *d, struct varve_payload *payload)
{
    const uint8_t version = varve_read_u8(&d->in);
    if (d->in.failed || version == 0)
        return corrupt(d, "an empty payload");
    if (version != VARVE_PAYLOAD_VERSION)
        return fail(d, VARVE_EVERSION, "a payload of a newer version");
    const uint32_t n = read_u32_varint(&d->in, 0);
    if (d->in.failed || n > VARVE_PAYLOAD_SECTIONS_MAX || n > varve_reader_left(&d->in) / 5)
        return corrupt(d, "a count of sections cannot be");
    if (n > 0) {
        payload->sections = varve_alloc_zero(d->heap, n, sizeof *payload->sections);
        if (payload->sections == NULL)
            return varve_error_nomem(d->err, "a log record");
        payload->capacity = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        const varve_status rc = read_section(d, payload);
        if (rc < 0)
            return rc;
    }
    return varve_reader_left(&d->in) == 0 ? VARVE_OK : corrupt(d, "bytes behind the last section");
}

varve_status varve_payload_decode(struct varve_span in, varve_schema_lookup lookup, void *ctx,
                                  struct varve_heap *heap, struct varve_payload **ret_payload,
                                  varve_error *err)
{
    struct varve_payload *payload = varve_alloc_zero(heap, 1, sizeof *payload);
    if (payload == NULL)
        return varve_error_nomem(err, "a log record");
    payload->heap = heap;
    struct decoder d = {.in = varve_reader_of(in),
                        .start = in.data,
                        .heap = heap,
                        .budget = VARVE_RECORD_BYTES_MAX,
                        .lookup = lookup,
                        .lookup_ctx = ctx,
                        .err = err};
    varve_buffer_init(&d.text, heap);
    const varve_status rc = in.size <= VARVE_RECORD_BYTES_MAX
                                ? read_payload(&d, payload)
                                : corrupt(&d, "larger than a record can be");
    varve_buffer_free(&d.text);
    if (rc < 0) {
        varve_payload_free(payload);
        return rc;
    }
    *ret_payload = payload;
    return VARVE_OK;
}

void varve_payload_free(struct varve_payload *payload)
{
    if (payload == NULL)
        return;
    struct varve_heap *heap = payload->heap;
    for (uint32_t i = 0; i < payload->n; i++) {
        struct decoded_section *section = &payload->sections[i];
        varve_rows_builder_free(&section->rows);
        varve_key_set_free(&section->keys);
        varve_free(heap, section->part, section->part == NULL ? 0 : section->n * sizeof(uint32_t));
    }
    varve_free(heap, payload->sections, payload->capacity * sizeof *payload->sections);
    varve_free(heap, payload, sizeof *payload);
}

uint32_t varve_payload_sections(const struct varve_payload *payload)
{
    return payload->n;
}

struct varve_section varve_payload_section(const struct varve_payload *payload, uint32_t i)
{
    const struct decoded_section *section = &payload->sections[i];
    return (struct varve_section){
        .schema = section->schema,
        .table_id = section->schema->table_id,
        .schema_version = section->schema->version,
        .n_keys = section->keys.n,
        .keys = section->keys.spans,
        .key_hashes = section->keys.hashes,
        .part = section->part,
        .rows = &section->rows.rows,
    };
}
