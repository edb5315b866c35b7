/*
 * block_decode.c - rows [first, first + n) of an opened block, as values.
 *
 * Opening has checked every bound, so what is left to distrust are values: the ends of runs, and
 * ALP's integers and rows of exceptions (block_alp.c). A range that does not start on a packed row
 * goes through one row of scratch at either end; all rows between are unpacked where they belong.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/base/float_mode.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define RUNS_AT_ONCE 64u /* unpacked together */

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad block: %s", what);
}

typedef void row_fn(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                    int64_t base, uint64_t divisor, int64_t *out);

/* FOR in lanes: n >= 128 rows in the block. */
static void decode_for_rows(row_fn *rows, uint32_t lanes, const struct varve_block *block,
                            uint32_t first, uint32_t n, int64_t *out)
{
    const uint8_t *packed = block->payload.data;
    int64_t part[VARVE_ROW32];

    if (first % lanes != 0) {
        const uint32_t skip = first % lanes;
        const uint32_t take = n < lanes - skip ? n : lanes - skip;
        rows(packed, block->width, first / lanes, 1, block->base, block->divisor, part);
        memcpy(out, part + skip, take * sizeof *out);
        first += take;
        out += take;
        n -= take;
    }
    const uint32_t whole = n / lanes;
    rows(packed, block->width, first / lanes, whole, block->base, block->divisor, out);
    if (n % lanes != 0) {
        rows(packed, block->width, first / lanes + whole, 1, block->base, block->divisor, part);
        memcpy(out + (size_t)whole * lanes, part, n % lanes * sizeof *out);
    }
}

/* The bit string of a small block, or of the values of runs. */
static void decode_bit_string(const struct varve_block *block, uint32_t first, uint32_t n,
                              int64_t *out)
{
    uint64_t part[VARVE_VECTOR_ROWS];

    varve_unpack_u64(block->payload.data, first, n, block->width, part);
    for (uint32_t j = 0; j < n; j++)
        out[j] = (int64_t)((uint64_t)block->base + block->divisor * part[j]);
}

static void decode_for(const struct varve_kernels *k, const struct varve_block *block,
                       uint32_t first, uint32_t n, int64_t *out)
{
    if (block->n < VARVE_BLOCK_DENSE_ROWS)
        decode_bit_string(block, first, n, out);
    else if (block->width <= 32)
        decode_for_rows(k->for32_i64, VARVE_ROW32, block, first, n, out);
    else
        decode_for_rows(k->for64_i64, VARVE_ROW64, block, first, n, out);
}

#define SEGMENTS_MAX (VARVE_VECTOR_ROWS / VARVE_SEGMENT_ROWS)

/* What the scans of segments start from: the value of the row before their first. */
static void segment_starts(const struct varve_block *block, uint32_t segment, uint32_t segments,
                           uint64_t *out)
{
    uint64_t restarts[SEGMENTS_MAX + 1] = {0}; /* the first segment has none */
    const uint32_t skip = segment == 0 ? 1 : 0;

    assert(segments <= SEGMENTS_MAX);
    if (segments > skip)
        varve_unpack_u64(block->extra.data, segment + skip - 1, segments - skip, block->width2,
                         restarts + skip);
    for (uint32_t i = 0; i < segments; i++) {
        const uint64_t rows = (uint64_t)(segment + i) * VARVE_SEGMENT_ROWS;
        out[i] = (uint64_t)block->base + (rows - 1) * (uint64_t)block->step +
                 block->divisor * restarts[i];
    }
}

/* Scan residuals of rows [first, first + n), first at a segment's start. */
static void scan_rows32(const struct varve_kernels *k, const struct varve_block *block,
                        uint32_t first, uint32_t n, const uint32_t *residual, int64_t *out)
{
    const uint32_t s = VARVE_SEGMENT_ROWS;
    uint64_t starts[SEGMENTS_MAX];
    uint32_t segment = 0;

    segment_starts(block, first / s, (n + s - 1) / s, starts);
    for (; n >= 4 * s; segment += 4, n -= 4 * s, residual += 4 * s, out += 4 * s)
        k->scan_x4_u32(residual, starts + segment, (uint64_t)block->step, out);
    for (uint32_t take; n > 0; segment++, n -= take, residual += take, out += take) {
        take = n < s ? n : s;
        k->scan_u32(residual, take, starts[segment], (uint64_t)block->step, out);
    }
}

static void scan_rows64(const struct varve_kernels *k, const struct varve_block *block,
                        uint32_t first, uint32_t n, const uint64_t *residual, int64_t *out)
{
    const uint32_t s = VARVE_SEGMENT_ROWS;
    uint64_t starts[SEGMENTS_MAX];
    uint32_t segment = 0;

    segment_starts(block, first / s, (n + s - 1) / s, starts);
    for (; n >= 4 * s; segment += 4, n -= 4 * s, residual += 4 * s, out += 4 * s)
        k->scan_x4_u64(residual, starts + segment, (uint64_t)block->step, out);
    for (uint32_t take; n > 0; segment++, n -= take, residual += take, out += take) {
        take = n < s ? n : s;
        k->scan_u64(residual, take, starts[segment], (uint64_t)block->step, out);
    }
}

/* Residuals of rows [first, first + n) in lanes, times the divisor. */
static void unpack_products(const struct varve_kernels *k, const struct varve_block *block,
                            uint32_t first, uint32_t n, uint64_t *out)
{
    const uint32_t lanes = block->width <= 32 ? VARVE_ROW32 : VARVE_ROW64;
    row_fn *rows = block->width <= 32 ? k->for32_i64 : k->for64_i64;

    rows(block->payload.data, block->width, first / lanes, (n + lanes - 1) / lanes, 0,
         block->divisor, (int64_t *)out);
}

/* Rows from a segment's start: first % 128 == 0. */
static void decode_dfor_aligned(const struct varve_kernels *k, const struct varve_block *block,
                                uint32_t first, uint32_t n, int64_t *out)
{
    _Alignas(64) union {
        uint32_t u32[VARVE_VECTOR_ROWS];
        uint64_t u64[VARVE_VECTOR_ROWS];
    } residual;

    assert(first % VARVE_SEGMENT_ROWS == 0);
    if (block->n < VARVE_BLOCK_DENSE_ROWS) {
        varve_unpack_u64(block->payload.data, first, n, block->width, residual.u64);
        for (uint32_t j = 0; j < n; j++)
            residual.u64[j] *= block->divisor;
        scan_rows64(k, block, first, n, residual.u64, out);
    } else if (block->width <= 32 && block->divisor == 1) {
        k->unpack_u32(block->payload.data, block->width, first / VARVE_ROW32,
                      (n + VARVE_ROW32 - 1) / VARVE_ROW32, residual.u32);
        scan_rows32(k, block, first, n, residual.u32, out);
    } else {
        unpack_products(k, block, first, n, residual.u64);
        scan_rows64(k, block, first, n, residual.u64, out);
    }
}

static void decode_dfor(const struct varve_kernels *k, const struct varve_block *block,
                        uint32_t first, uint32_t n, int64_t *out)
{
    const uint32_t skip = first % VARVE_SEGMENT_ROWS;

    if (skip == 0) {
        decode_dfor_aligned(k, block, first, n, out);
    } else {
        _Alignas(64) int64_t rows[VARVE_VECTOR_ROWS];
        decode_dfor_aligned(k, block, first - skip, n + skip, rows);
        memcpy(out, rows + skip, n * sizeof *out);
    }
}

static uint32_t run_end(const struct varve_block *block, uint32_t run)
{
    uint64_t end;
    if (run + 1u == block->runs)
        return block->n;
    varve_unpack_u64(block->extra.data, run, 1, block->width2, &end);
    return (uint32_t)end;
}

/* The run that holds row `first`: the first whose end lies above it. */
static uint32_t run_of(const struct varve_block *block, uint32_t first)
{
    uint32_t low = 0, high = block->runs - 1u;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (run_end(block, middle) > first)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Ends, and with `values` values, of runs [run, run + n). */
static void unpack_runs(const struct varve_block *block, uint32_t run, uint32_t n, uint64_t *ends,
                        uint64_t *values)
{
    const uint32_t packed = run + n == block->runs ? n - 1 : n; /* the last end is not stored */

    varve_unpack_u64(block->extra.data, run, packed, block->width2, ends);
    if (packed < n)
        ends[packed] = block->n;
    if (values != NULL)
        varve_unpack_u64(block->payload.data, run, n, block->width, values);
}

/* Rows of a run-length block; `size` bytes a value, or int64 from packed values. */
static varve_status decode_rle(const struct varve_block *block, uint32_t first, uint32_t n,
                               bool integer, uint32_t size, uint8_t *out, varve_error *err)
{
    const uint32_t end = first + n;
    uint64_t ends[RUNS_AT_ONCE], values[RUNS_AT_ONCE];
    uint32_t row = first, have = 0, at = 0;

    for (uint32_t run = first == 0 ? 0 : run_of(block, first); row < end; run++, at++) {
        if (at == have && run < block->runs) {
            have = block->runs - run < RUNS_AT_ONCE ? block->runs - run : RUNS_AT_ONCE;
            have = have < end - row ? have : end - row; /* a run has a row or more */
            at = 0;
            unpack_runs(block, run, have, ends, integer ? values : NULL);
        }
        const uint64_t stop = run < block->runs ? ends[at] : 0;
        const uint32_t last = stop < end ? (uint32_t)stop : end;
        if (stop <= row || (stop >= block->n) != (run + 1u == block->runs))
            return corrupt(err, "ends of runs");
        if (integer) {
            const uint64_t value = (uint64_t)block->base + values[at];
            for (; row < last; row++, out += 8)
                memcpy(out, &value, 8);
        } else {
            for (; row < last; row++, out += size)
                memcpy(out, block->payload.data + (size_t)run * size, size);
        }
    }
    return VARVE_OK;
}

void varve_ints_widen(const struct varve_kernels *k, uint8_t lane, const void *values, uint32_t n,
                      int64_t *out)
{
    switch (lane) {
    case VARVE_LANE_I8:
        k->widen_i8(values, n, out);
        break;
    case VARVE_LANE_I16:
        k->widen_i16(values, n, out);
        break;
    case VARVE_LANE_I32:
        k->widen_i32(values, n, out);
        break;
    default:
        assert(lane == VARVE_LANE_I64);
        memcpy(out, values, n * sizeof *out);
        break;
    }
}

/* RAW values stand at any address: they are moved before they are widened. */
static void decode_raw_ints(const struct varve_kernels *k, const struct varve_block *block,
                            uint32_t first, uint32_t n, int64_t *out)
{
    const uint32_t size = varve_lane_size(block->lane);
    const uint8_t *from = block->payload.data + (size_t)first * size;
    _Alignas(64) int32_t part[VARVE_VECTOR_ROWS];

    if (block->lane == VARVE_LANE_I64) {
        memcpy(out, from, n * sizeof *out);
        return;
    }
    memcpy(part, from, (size_t)n * size);
    varve_ints_widen(k, block->lane, part, n, out);
}

/* Bring what packing left above the lane's bits back into its range. */
static void wrap_to_lane(uint8_t lane, uint32_t n, int64_t *values)
{
    for (uint32_t j = 0; j < n && lane == VARVE_LANE_I8; j++)
        values[j] = (int8_t)values[j];
    for (uint32_t j = 0; j < n && lane == VARVE_LANE_I16; j++)
        values[j] = (int16_t)values[j];
    for (uint32_t j = 0; j < n && lane == VARVE_LANE_I32; j++)
        values[j] = (int32_t)values[j];
}

varve_status varve_block_decode_ints(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, int64_t *out, varve_error *err)
{
    struct varve_block codes;
    varve_status rc = VARVE_OK;

    assert(varve_lane_is_integer(block->lane));
    assert(first <= block->n && n <= block->n - first);
    if (block->codec == VARVE_CODEC_DICT) {
        rc = varve_block_open_inner(block->payload, VARVE_LANE_I32, block->n, &codes, err);
        if (rc < 0)
            return rc;
        block = &codes;
    }
    switch (block->codec) {
    case VARVE_CODEC_RAW:
        decode_raw_ints(k, block, first, n, out);
        return VARVE_OK;
    case VARVE_CODEC_CONST:
        k->ramp((uint64_t)block->base, 0, n, out);
        return VARVE_OK;
    case VARVE_CODEC_CONST_DELTA:
        k->ramp((uint64_t)block->base + first * (uint64_t)block->step, (uint64_t)block->step, n,
                out);
        break;
    case VARVE_CODEC_FOR:
        decode_for(k, block, first, n, out);
        break;
    case VARVE_CODEC_DFOR:
        decode_dfor(k, block, first, n, out);
        break;
    case VARVE_CODEC_RLE:
        rc = decode_rle(block, first, n, true, 8, (uint8_t *)out, err);
        break;
    default:
        return corrupt(err, "codec of an integer");
    }
    if (rc == VARVE_OK)
        wrap_to_lane(block->lane, n, out);
    return rc;
}

static varve_status decode_int_lane(const struct varve_kernels *k, const struct varve_block *block,
                                    uint32_t first, uint32_t n, void *values, varve_error *err)
{
    _Alignas(64) int64_t wide[VARVE_VECTOR_ROWS];

    if (block->lane == VARVE_LANE_I64)
        return varve_block_decode_ints(k, block, first, n, values, err);
    const varve_status rc = varve_block_decode_ints(k, block, first, n, wide, err);
    if (rc < 0)
        return rc;
    if (block->lane == VARVE_LANE_I8)
        k->narrow_i8(wide, n, values);
    else if (block->lane == VARVE_LANE_I16)
        k->narrow_i16(wide, n, values);
    else
        k->narrow_i32(wide, n, values);
    return VARVE_OK;
}

static varve_status decode_alp(const struct varve_kernels *k, const struct varve_block *block,
                               uint32_t first, uint32_t n, void *values, varve_error *err)
{
    const varve_float_mode mode = varve_float_mode_enter();
    const varve_status rc = varve_alp_decode(k, block, first, n, values, err);

    varve_float_mode_leave(&mode);
    return rc;
}

/* F32, F64 and B16 are bytes of a size, or decimals. */
static varve_status decode_opaque(const struct varve_kernels *k, const struct varve_block *block,
                                  uint32_t first, uint32_t n, uint8_t *values, varve_error *err)
{
    const uint32_t size = varve_lane_size(block->lane);

    if (block->codec == VARVE_CODEC_ALP)
        return decode_alp(k, block, first, n, values, err);
    if (block->codec == VARVE_CODEC_RLE)
        return decode_rle(block, first, n, false, size, values, err);
    if (block->codec == VARVE_CODEC_RAW) {
        memcpy(values, block->payload.data + (size_t)first * size, (size_t)n * size);
        return VARVE_OK;
    }
    assert(block->codec == VARVE_CODEC_CONST);
    for (uint32_t j = 0; j < n; j++)
        memcpy(values + (size_t)j * size, block->payload.data, size);
    return VARVE_OK;
}

varve_status varve_block_decode_with(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, void *values, int8_t *scales,
                                     varve_error *err)
{
    struct varve_block mantissas, places;
    varve_status rc;

    assert(block->lane != VARVE_LANE_BYTES);
    assert(first <= block->n && n <= block->n - first);
    if (n == 0)
        return VARVE_OK;
    if (varve_lane_is_integer(block->lane))
        return decode_int_lane(k, block, first, n, values, err);
    if (block->lane != VARVE_LANE_DEC)
        return decode_opaque(k, block, first, n, values, err);
    rc = varve_block_open_inner(block->payload, VARVE_LANE_I64, block->n, &mantissas, err);
    if (rc == VARVE_OK)
        rc = varve_block_open_inner(block->extra, VARVE_LANE_I8, block->n, &places, err);
    if (rc == VARVE_OK)
        rc = decode_int_lane(k, &mantissas, first, n, values, err);
    if (rc == VARVE_OK)
        rc = decode_int_lane(k, &places, first, n, scales, err);
    return rc;
}

varve_status varve_block_decode(const struct varve_block *block, uint32_t first, uint32_t n,
                                void *values, int8_t *scales, varve_error *err)
{
    return varve_block_decode_with(varve_kernels_get(), block, first, n, values, scales, err);
}

/* Bits [first, first + n) of a stored bitmap; without one, `absent` throughout. */
static void expand_state(const struct varve_block *block, struct varve_span span, bool absent,
                         uint32_t first, uint32_t n, uint64_t *out)
{
    uint64_t bits[VARVE_BLOCK_STATE_WORDS + 1] = {0};
    struct varve_span whole;
    struct varve_reader r = varve_reader_of(span);

    if (span.size == 0) {
        memset(out, absent ? 0xff : 0, VARVE_BITMAP_WORDS(n) * sizeof *out);
    } else {
        const bool sound = varve_state_read(&r, block->n, &whole, bits);
        assert(sound); /* opening read the same bytes */
        (void)sound;
        for (uint32_t i = 0; i < VARVE_BITMAP_WORDS(n); i++) {
            const uint32_t at = first / 64 + i, shift = first % 64;
            out[i] = bits[at] >> shift;
            if (shift > 0)
                out[i] |= bits[at + 1] << (64 - shift);
        }
    }
    if (n % 64 != 0)
        out[n / 64] &= UINT64_MAX >> (64 - n % 64);
}

void varve_block_states(const struct varve_block *block, uint32_t first, uint32_t n, uint64_t *live,
                        uint64_t *deleted)
{
    assert(first <= block->n && n <= block->n - first);
    expand_state(block, block->live, true, first, n, live);
    expand_state(block, block->deleted, false, first, n, deleted);
}
