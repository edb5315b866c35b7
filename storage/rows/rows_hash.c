/*
 * rows_hash.c - the logical content hash: the same for the same rows however they lie.
 *
 * h(row)   = the partition's key hash, mixed with time, each clustering value, and the hidden
 *            suffix's writer and ordinal where there is one
 * h(stamp) = h(row) mixed with write time, then with (state, expiry or second of deletion)
 * h(cell)  = mix64(h(stamp) ^ salt(column id) ^ h(value)); h(value) is 0 unless live
 * The hash is the sum of h(cell) mod 2^64 over cells and the marker, whose salt is its own. A sum
 * has no order, so whole columns are hashed as if no exception existed, and each exception then
 * replaces one addend.
 */
#include "storage/rows/rows_int.h"

#include <assert.h>

#define CHUNK 256u
#define SALT_MARKER 0xA5D1C3B79E8F6243u
#define SALT_BARE 0x7C62B1F04D9A3E15u

static uint64_t salt_of(const struct varve_schema *schema, uint32_t column)
{
    if (column == VARVE_MARKER_COLUMN)
        return SALT_MARKER;
    return varve_mix64(SALT_MARKER + 1 + schema->columns[column].id);
}

static uint64_t stamp_hash(uint64_t row_hash, const struct varve_stamp *stamp)
{
    const uint64_t h = varve_mix64(row_hash ^ (uint64_t)stamp->wt);
    return varve_mix64(h ^ ((uint64_t)stamp->state << 32 | stamp->exp));
}

static uint64_t float_bits(const void *values, uint32_t row)
{
    uint32_t bits;
    memcpy(&bits, (const uint8_t *)values + (size_t)row * 4, 4);
    return bits;
}

/* Of 16 bytes in the order of memory; the same on any machine. */
static uint64_t uuid_hash(const void *values, uint32_t row)
{
    const uint8_t *p = (const uint8_t *)values + (size_t)row * 16;
    return varve_mix64(varve_get_u64(p)) ^ varve_get_u64(p + 8);
}

/* Values of rows [first, first + n) as 64 bits each. */
static void value_hashes(const struct varve_cells *cells, uint8_t phys, uint32_t first, uint32_t n,
                         uint64_t *out)
{
    switch (phys) {
    case VARVE_PHYS_I8:
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint64_t)(int64_t)((const int8_t *)cells->values)[first + i];
        break;
    case VARVE_PHYS_I16:
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint64_t)(int64_t)((const int16_t *)cells->values)[first + i];
        break;
    case VARVE_PHYS_I32:
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint64_t)(int64_t)((const int32_t *)cells->values)[first + i];
        break;
    case VARVE_PHYS_F32:
        for (uint32_t i = 0; i < n; i++)
            out[i] = float_bits(cells->values, first + i);
        break;
    case VARVE_PHYS_B16:
        for (uint32_t i = 0; i < n; i++)
            out[i] = uuid_hash(cells->values, first + i);
        break;
    case VARVE_PHYS_DEC:
        for (uint32_t i = 0; i < n; i++)
            out[i] = varve_mix64((uint64_t)((const int64_t *)cells->values)[first + i]) ^
                     varve_mix64(SALT_BARE + (uint8_t)cells->scales[first + i]);
        break;
    case VARVE_PHYS_BYTES:
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t at = cells->offsets[first + i];
            out[i] = varve_hash64((const uint8_t *)cells->values + at,
                                  cells->offsets[first + i + 1] - at, 0);
        }
        break;
    default: /* I64, F64 */
        memcpy(out, (const uint8_t *)cells->values + (size_t)first * 8, (size_t)n * 8);
        break;
    }
}

static void row_hashes(const struct varve_rows *rows, uint32_t first, uint32_t n, uint64_t key_hash,
                       uint64_t *out)
{
    const struct varve_schema *schema = rows->schema;
    uint64_t values[CHUNK];

    for (uint32_t i = 0; i < n; i++)
        out[i] = varve_mix64(key_hash ^ (uint64_t)rows->time[first + i]);
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        value_hashes(&rows->columns[c], schema->phys[c], first, n, values);
        for (uint32_t i = 0; i < n; i++)
            out[i] = varve_mix64(out[i] ^ values[i]);
    }
    if (schema->duplicates != VARVE_DUPLICATES_KEEP || rows->writer == NULL)
        return;
    for (uint32_t i = 0; i < n; i++)
        out[i] = varve_mix64(out[i] ^
                             ((uint64_t)rows->writer[first + i] << 32 | rows->ordinal[first + i]));
}

/* The 64 state bits from bit `at` on; bits at and above `n` of them are zero. */
static uint64_t bits_at(const uint64_t *bits, uint32_t at, uint32_t n, bool otherwise)
{
    uint64_t word = otherwise ? UINT64_MAX : 0;
    if (bits != NULL) {
        const uint32_t shift = at % 64;
        word = bits[at / 64] >> shift;
        if (shift != 0 && n > 64 - shift)
            word |= bits[at / 64 + 1] << (64 - shift);
    }
    return n < 64 ? word & (((uint64_t)1 << n) - 1) : word;
}

/* The sum of h(cell) over the cells whose bit is set. `values` NULL: cells without a value. */
static uint64_t sum_cells(const uint64_t *bits, bool otherwise, uint32_t first, uint32_t n,
                          const uint64_t *stamps, const uint64_t *values, uint64_t salt)
{
    uint64_t sum = 0;
    for (uint32_t at = 0; at < n; at += 64) {
        const uint32_t k = n - at < 64 ? n - at : 64;
        uint64_t word = bits_at(bits, first + at, k, otherwise);
        const bool all = word == (k < 64 ? ((uint64_t)1 << k) - 1 : UINT64_MAX);
        for (uint32_t i = at; all && i < at + k; i++)
            sum += varve_mix64(stamps[i] ^ salt ^ (values != NULL ? values[i] : 0));
        for (uint32_t i = at; !all && word != 0; i++, word >>= 1) {
            if (word & 1)
                sum += varve_mix64(stamps[i] ^ salt ^ (values != NULL ? values[i] : 0));
        }
    }
    return sum;
}

/* h(stamp) of each row for its live and, if `deleted` is not NULL, its deleted cells, from h(row).
 * `live` may be `of_row`. */
static void chunk_stamps(const struct varve_rows *rows, uint32_t first, uint32_t n,
                         const uint64_t *of_row, uint64_t *live, uint64_t *deleted)
{
    for (uint32_t i = 0; i < n; i++) {
        const int64_t wt = varve_rows_wt(rows, first + i);
        const uint64_t h = varve_mix64(of_row[i] ^ (uint64_t)wt);
        const uint32_t exp = rows->exp != NULL ? rows->exp[first + i] : 0;
        if (deleted != NULL)
            deleted[i] =
                varve_mix64(h ^ ((uint64_t)VARVE_DELETED << 32 | varve_deletion_second(wt)));
        live[i] = varve_mix64(h ^ ((uint64_t)VARVE_LIVE << 32 | exp));
    }
}

static bool has_deleted(const struct varve_rows *rows)
{
    bool any = rows->marker_deleted != NULL;
    for (uint32_t c = rows->schema->first_value; c < rows->schema->n_columns; c++)
        any = any || rows->columns[c].deleted != NULL;
    return any;
}

/* One chunk as if there were no exceptions. */
static uint64_t chunk_hash(const struct varve_rows *rows, uint32_t first, uint32_t n,
                           uint64_t key_hash, bool deletions)
{
    const struct varve_schema *schema = rows->schema;
    uint64_t live[CHUNK], deleted[CHUNK], values[CHUNK];

    row_hashes(rows, first, n, key_hash, live);
    chunk_stamps(rows, first, n, live, live, deletions ? deleted : NULL);
    uint64_t sum = sum_cells(rows->marker_live, true, first, n, live, NULL, SALT_MARKER);
    if (rows->marker_deleted != NULL)
        sum += sum_cells(rows->marker_deleted, false, first, n, deleted, NULL, SALT_MARKER);
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        const uint64_t salt = salt_of(schema, c);
        assert(cells->values != NULL);
        value_hashes(cells, schema->phys[c], first, n, values);
        sum += sum_cells(cells->live, true, first, n, live, values, salt);
        if (cells->deleted != NULL)
            sum += sum_cells(cells->deleted, false, first, n, deleted, NULL, salt);
    }
    return sum;
}

/* What an exception changes in the sum. */
static uint64_t exception_difference(const struct varve_rows *rows, const struct varve_exception *e,
                                     uint64_t key_hash)
{
    const struct varve_schema *schema = rows->schema;
    const uint8_t state = varve_rows_state(rows, e->row, e->column);
    const uint64_t salt = salt_of(schema, e->column);
    const struct varve_stamp implied = varve_rows_implied(rows, e->row, state);
    const struct varve_stamp actual = {.wt = e->wt, .exp = e->exp, .state = state};
    uint64_t row_hash, value = 0;

    if (state == VARVE_ABSENT)
        return 0;
    row_hashes(rows, e->row, 1, key_hash, &row_hash);
    if (state == VARVE_LIVE && e->column != VARVE_MARKER_COLUMN)
        value_hashes(&rows->columns[e->column], schema->phys[e->column], e->row, 1, &value);
    return varve_mix64(stamp_hash(row_hash, &actual) ^ salt ^ value) -
           varve_mix64(stamp_hash(row_hash, &implied) ^ salt ^ value);
}

uint64_t varve_rows_content_hash(const struct varve_rows *rows, uint32_t first, uint32_t n,
                                 uint64_t key_hash)
{
    assert(first <= rows->n && n <= rows->n - first);
    const bool deletions = has_deleted(rows);
    uint64_t sum = 0;
    for (uint32_t at = 0; at < n; at += CHUNK)
        sum += chunk_hash(rows, first + at, n - at < CHUNK ? n - at : CHUNK, key_hash, deletions);
    if (rows->n_exceptions == 0)
        return sum;
    const uint32_t end = varve_rows_exceptions_from(rows, first + n);
    for (uint32_t i = varve_rows_exceptions_from(rows, first); i < end; i++)
        sum += exception_difference(rows, &rows->exceptions[i], key_hash);
    return sum;
}
