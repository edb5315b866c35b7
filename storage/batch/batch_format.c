/*
 * batch_format.c - sizes and writing of payloads. Reading is in payload_reader.c.
 */
#include "storage/batch/batch_format.h"

#include <assert.h>

/* A section's fixed part, and what a column and a block take beside their values. */
#define SECTION_BYTES_MAX 64u
#define COLUMN_BYTES_MAX 8u
#define BLOCK_BYTES_MAX 64u

uint64_t varve_payload_row_bytes(const struct varve_schema *schema)
{
    /* Time, write time, number of the key, and two state bits a column and for the marker. */
    uint64_t bytes = 8 + 8 + 4 + ((uint64_t)schema->n_columns + 4) / 4;
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const uint8_t phys = schema->phys[c];
        bytes += phys == VARVE_PHYS_BYTES ? 4 : varve_phys_width(phys) + (phys == VARVE_PHYS_DEC);
    }
    return bytes;
}

uint64_t varve_payload_section_bytes(const struct varve_schema *schema, uint64_t n)
{
    const uint64_t columns = (uint64_t)schema->n_columns + 4;
    const uint64_t blocks = (n + VARVE_VECTOR_ROWS - 1) / VARVE_VECTOR_ROWS;
    return SECTION_BYTES_MAX + columns * (COLUMN_BYTES_MAX + blocks * BLOCK_BYTES_MAX) +
           n * varve_payload_row_bytes(schema);
}

uint64_t varve_payload_more_bytes(const struct varve_schema *schema, uint64_t row_bytes,
                                  uint64_t before, uint64_t n)
{
    const uint64_t columns = (uint64_t)schema->n_columns + 4;
    const uint64_t had = (before + VARVE_VECTOR_ROWS - 1) / VARVE_VECTOR_ROWS;
    const uint64_t has = (before + n + VARVE_VECTOR_ROWS - 1) / VARVE_VECTOR_ROWS;
    return columns * (has - had) * BLOCK_BYTES_MAX + n * row_bytes;
}

/* ------------------------------------------------------------------------------- Plain columns */

static void write_plain_value(struct varve_buffer *out, const struct varve_lanes *in, uint32_t i)
{
    const uint8_t *values = in->values;
    switch (in->lane) {
    case VARVE_LANE_I8:
        varve_write_u8(out, values[i]);
        break;
    case VARVE_LANE_I16:
        varve_write_zigzag(out, ((const int16_t *)in->values)[i]);
        break;
    case VARVE_LANE_I32:
        varve_write_zigzag(out, ((const int32_t *)in->values)[i]);
        break;
    case VARVE_LANE_F32: {
        uint32_t bits;
        memcpy(&bits, values + 4 * (size_t)i, 4);
        varve_write_u32(out, bits);
        break;
    }
    case VARVE_LANE_F64: {
        uint64_t bits;
        memcpy(&bits, values + 8 * (size_t)i, 8);
        varve_write_u64(out, bits);
        break;
    }
    case VARVE_LANE_B16:
        varve_write_bytes(out, values + 16 * (size_t)i, 16);
        break;
    case VARVE_LANE_DEC:
        varve_write_zigzag(out, ((const int64_t *)in->values)[i]);
        varve_write_u8(out, (uint8_t)in->scales[i]);
        break;
    case VARVE_LANE_BYTES:
        varve_write_sized(out, values + in->offsets[i], in->offsets[i + 1] - in->offsets[i]);
        break;
    default:
        varve_write_zigzag(out, ((const int64_t *)in->values)[i]);
        break;
    }
}

static uint8_t state_at(const struct varve_lanes *in, uint32_t i)
{
    if (in->deleted != NULL && varve_bit_get(in->deleted, i))
        return VARVE_DELETED;
    return in->live == NULL || varve_bit_get(in->live, i) ? VARVE_LIVE : VARVE_ABSENT;
}

static void write_plain(struct varve_buffer *out, const struct varve_lanes *in)
{
    uint8_t states[(VARVE_PAYLOAD_PLAIN_ROWS_MAX + 3) / 4] = {0};
    bool all_live = true;

    assert(in->n <= VARVE_PAYLOAD_PLAIN_ROWS_MAX);
    for (uint32_t i = 0; i < in->n; i++) {
        const uint8_t state = state_at(in, i);
        states[i / 4] = (uint8_t)(states[i / 4] | state << 2 * (i % 4));
        all_live = all_live && state == VARVE_LIVE;
    }
    varve_write_u8(out, all_live ? VARVE_COLUMN_PLAIN : VARVE_COLUMN_PLAIN_STATES);
    if (!all_live)
        varve_write_bytes(out, states, (in->n + 3) / 4);
    for (uint32_t i = 0; i < in->n; i++) {
        if (state_at(in, i) == VARVE_LIVE)
            write_plain_value(out, in, i);
    }
}

/* ------------------------------------------------------------------------------ Blocks of columns */

/* How many rows from `first` on go into one block: text closes it early. */
static uint32_t block_rows(const struct varve_lanes *in, uint32_t first)
{
    uint32_t k = in->n - first < VARVE_VECTOR_ROWS ? in->n - first : VARVE_VECTOR_ROWS;
    if (in->lane == VARVE_LANE_BYTES) {
        while (k > 1 && in->offsets[first + k] - in->offsets[first] > VARVE_VECTOR_BYTES_MAX)
            k--;
    }
    return k;
}

static uint32_t lane_width(uint8_t lane)
{
    return varve_phys_width((enum varve_phys)lane); /* the numbers are the same */
}

/* State bits of rows [first, first + n), at bit 0; NULL if all are set. */
static const uint64_t *slice_bits(const uint64_t *bits, uint32_t first, uint32_t n,
                                  uint64_t *scratch)
{
    if (bits == NULL)
        return NULL;
    memset(scratch, 0, VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS) * sizeof *scratch);
    varve_bitmap_copy(scratch, 0, bits, first, n);
    return scratch;
}

static varve_status write_block(struct varve_buffer *out, const struct varve_lanes *in,
                                uint32_t first, uint32_t n, varve_error *err)
{
    uint64_t live[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)];
    uint64_t deleted[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)];
    struct varve_lanes part = *in;
    const size_t at = out->size;

    part.n = n;
    if (in->lane == VARVE_LANE_BYTES)
        part.offsets = in->offsets + first;
    else
        part.values = (const uint8_t *)in->values + (size_t)first * lane_width(in->lane);
    if (in->scales != NULL)
        part.scales = in->scales + first;
    part.live = slice_bits(in->live, first, n, live);
    part.deleted = slice_bits(in->deleted, first, n, deleted);

    varve_write_u32(out, 0);
    varve_write_u16(out, (uint16_t)n);
    const size_t start = out->size;
    const varve_status rc = varve_block_encode(&part, VARVE_ENCODE_LOG, out, NULL, err);
    if (rc == VARVE_OK && !out->failed)
        varve_put_u32(out->data + at, (uint32_t)(out->size - start));
    return rc;
}

static varve_status write_column(struct varve_buffer *out, const struct varve_lanes *in,
                                 varve_error *err)
{
    if (in->n <= VARVE_PAYLOAD_PLAIN_ROWS_MAX) {
        write_plain(out, in);
        return VARVE_OK;
    }
    varve_write_u8(out, VARVE_COLUMN_BLOCKS);
    for (uint32_t first = 0; first < in->n;) {
        const uint32_t k = block_rows(in, first);
        const varve_status rc = write_block(out, in, first, k, err);
        if (rc < 0)
            return rc;
        first += k;
    }
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Sections */

/* Whether some cell is not absent. */
static bool is_present(const struct varve_cells *cells, uint32_t n)
{
    return cells->live == NULL || varve_bitmap_next(cells->live, 0, n) < n ||
           (cells->deleted != NULL && varve_bitmap_next(cells->deleted, 0, n) < n);
}

static uint8_t section_flags(const struct varve_section *section)
{
    const struct varve_rows *rows = section->rows;
    unsigned flags = 0;
    if (section->part != NULL)
        flags |= VARVE_SECTION_KEYS;
    if (rows->wt != NULL || rows->wt_uniform != VARVE_WT_COMMIT)
        flags |= VARVE_SECTION_WRITE_TIMES;
    if (rows->exp != NULL)
        flags |= VARVE_SECTION_EXPIRY;
    if (rows->marker_live != NULL)
        flags |= VARVE_SECTION_MARKERS;
    if (rows->marker_deleted != NULL)
        flags |= VARVE_SECTION_MARKERS_DELETED;
    return (uint8_t)flags;
}

static varve_status write_keys(struct varve_buffer *out, const struct varve_section *section,
                               varve_error *err)
{
    if (section->part == NULL) {
        varve_write_sized(out, section->keys[0].data, section->keys[0].size);
        return VARVE_OK;
    }
    varve_write_varint(out, section->n_keys);
    for (uint32_t k = 0; k < section->n_keys; k++)
        varve_write_sized(out, section->keys[k].data, section->keys[k].size);
    const struct varve_lanes part = {
        .lane = VARVE_LANE_I32, .n = section->rows->n, .values = section->part};
    return write_column(out, &part, err);
}

static varve_status write_cells(struct varve_buffer *out, const struct varve_rows *rows,
                                varve_error *err)
{
    const struct varve_schema *schema = rows->schema;
    const struct varve_lanes time = varve_rows_lanes(rows, schema->time_column);
    uint32_t count = schema->n_clustering;

    varve_status rc = write_column(out, &time, err);
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        count += is_present(&rows->columns[c], rows->n);
    varve_write_varint(out, count);
    for (uint32_t c = schema->time_column + 1; rc == VARVE_OK && c < schema->n_columns; c++) {
        if (c >= schema->first_value && !is_present(&rows->columns[c], rows->n))
            continue;
        const struct varve_lanes lanes = varve_rows_lanes(rows, c);
        varve_write_varint(out, schema->columns[c].id);
        rc = write_column(out, &lanes, err);
    }
    return rc;
}

/* One write time for all rows, a block at a time. */
static varve_status write_uniform_wt(struct varve_buffer *out, const struct varve_rows *rows,
                                     varve_error *err)
{
    int64_t values[VARVE_VECTOR_ROWS];
    struct varve_lanes lanes = {.lane = VARVE_LANE_I64, .n = rows->n, .values = values};

    for (uint32_t i = 0; i < VARVE_VECTOR_ROWS; i++)
        values[i] = rows->wt_uniform;
    if (rows->n <= VARVE_PAYLOAD_PLAIN_ROWS_MAX)
        return write_column(out, &lanes, err);
    varve_write_u8(out, VARVE_COLUMN_BLOCKS);
    for (uint32_t first = 0; first < rows->n; first += lanes.n) {
        lanes.n = rows->n - first < VARVE_VECTOR_ROWS ? rows->n - first : VARVE_VECTOR_ROWS;
        const varve_status rc = write_block(out, &lanes, 0, lanes.n, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static void write_bits(struct varve_buffer *out, const uint64_t *bits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 8)
        varve_write_u8(out, (uint8_t)(bits[i / 64] >> (i % 64)));
}

static varve_status write_stamps(struct varve_buffer *out, const struct varve_rows *rows,
                                 varve_error *err)
{
    varve_status rc = VARVE_OK;
    if (rows->wt != NULL) {
        const struct varve_lanes wt = {.lane = VARVE_LANE_I64, .n = rows->n, .values = rows->wt};
        rc = write_column(out, &wt, err);
    } else if (rows->wt_uniform != VARVE_WT_COMMIT) {
        rc = write_uniform_wt(out, rows, err);
    }
    if (rc == VARVE_OK && rows->exp != NULL) {
        const struct varve_lanes exp = {.lane = VARVE_LANE_I32, .n = rows->n, .values = rows->exp};
        rc = write_column(out, &exp, err);
    }
    if (rc < 0)
        return rc;
    if (rows->marker_live != NULL)
        write_bits(out, rows->marker_live, rows->n);
    if (rows->marker_deleted != NULL)
        write_bits(out, rows->marker_deleted, rows->n);
    return VARVE_OK;
}

static varve_status write_section(struct varve_buffer *out, const struct varve_section *section,
                                  varve_error *err)
{
    const struct varve_rows *rows = section->rows;
    assert(rows->n > 0 && rows->n_exceptions == 0 && section->n_keys > 0);
    assert(section->part != NULL || section->n_keys == 1);

    varve_write_u8(out, VARVE_SECTION_ROWS);
    varve_write_u32(out, 0);
    const size_t start = out->size;
    varve_write_u8(out, section_flags(section));
    varve_write_varint(out, section->table_id);
    varve_write_varint(out, section->schema_version);
    varve_write_varint(out, rows->n);
    varve_status rc = write_keys(out, section, err);
    if (rc == VARVE_OK)
        rc = write_cells(out, rows, err);
    if (rc == VARVE_OK)
        rc = write_stamps(out, rows, err);
    if (rc == VARVE_OK && !out->failed)
        varve_put_u32(out->data + start - 4, (uint32_t)(out->size - start));
    return rc;
}

varve_status varve_payload_encode(const struct varve_section *sections, uint32_t n,
                                  struct varve_buffer *out, varve_error *err)
{
    const size_t start = out->size;
    varve_status rc = VARVE_OK;

    assert(n <= VARVE_PAYLOAD_SECTIONS_MAX);
    varve_write_u8(out, VARVE_PAYLOAD_VERSION);
    varve_write_varint(out, n);
    for (uint32_t i = 0; rc == VARVE_OK && i < n; i++)
        rc = write_section(out, &sections[i], err);
    if (rc == VARVE_OK && out->failed)
        rc = varve_error_nomem(err, "a log record");
    if (rc < 0)
        out->size = start;
    return rc;
}
