/*
 * block_encode.c - values into the smallest block that the codecs of version 1 give.
 *
 * A column is first made plain: integers widened to int64, the cells that are not live filled with
 * the live value before them (the first live one at the start), so that they widen no packing. One
 * pass of statistics then gives the exact size of every candidate; nothing is tried out. Only whether
 * to look for a common divisor (common_divisor.c) and for decimals among floats (decimal_scale.c) is
 * guessed from a few rows.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/base/float_mode.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

/* What each candidate would take, and the widths it would use. */
struct plan {
    uint8_t codec;
    uint8_t width; /* FOR, RLE */
    uint8_t delta_width;
    uint8_t restart_width;
    uint64_t divisor; /* FOR, DFOR; 1: none */
    size_t size;
};

static size_t zigzag_size(int64_t value)
{
    const uint32_t bits = varve_bit_length(varve_zigzag(value));
    return bits == 0 ? 1 : (bits + 6) / 7;
}

static size_t varint_size(uint64_t value)
{
    return value == 0 ? 1 : (varve_bit_length(value) + 6) / 7;
}

/* The sum of residuals before segment k, in units of `divisor`, for k = 1 .. restarts; returns the
 * width they need. */
static uint32_t restart_bases(const int64_t *values, uint32_t n, int64_t step, uint64_t divisor,
                              uint64_t *bases)
{
    uint64_t all = 0;
    for (uint32_t k = 1; k <= varve_block_restarts(n); k++) {
        const uint32_t last = k * VARVE_SEGMENT_ROWS - 1;
        const uint64_t sum = (uint64_t)values[last] - (uint64_t)values[0] - last * (uint64_t)step;
        bases[k - 1] = divisor == 1 ? sum : sum / divisor;
        all |= bases[k - 1];
    }
    return varve_bit_length(all);
}

static void consider(struct plan *plan, uint8_t codec, size_t size)
{
    if (size < plan->size) {
        plan->codec = codec;
        plan->size = size;
    }
}

/* Sizes leave out the four bytes of header that all share. Order decides ties. */
static struct plan plan_ints(const int64_t *values, uint32_t n, uint8_t lane, uint32_t flags,
                             const struct varve_int_stats *stats)
{
    const uint64_t range = (uint64_t)stats->max - (uint64_t)stats->min;
    const uint64_t delta_range = (uint64_t)stats->delta_max - (uint64_t)stats->delta_min;
    const uint32_t runs = stats->changes + 1;
    uint64_t bases[VARVE_VECTOR_ROWS / VARVE_SEGMENT_ROWS];
    struct plan plan = {.divisor = 1, .size = SIZE_MAX};

    if (range == 0) {
        plan.codec = VARVE_CODEC_CONST;
        plan.size = zigzag_size(stats->min);
        return plan;
    }
    plan.width = (uint8_t)varve_bit_length(range);
    plan.delta_width = (uint8_t)varve_bit_length(delta_range);
    plan.restart_width = (uint8_t)restart_bases(values, n, stats->delta_min, 1, bases);
    const size_t first = zigzag_size(values[0]) + zigzag_size(stats->delta_min);
    if (delta_range == 0)
        consider(&plan, VARVE_CODEC_CONST_DELTA, first);
    consider(&plan, VARVE_CODEC_RAW, (size_t)n * varve_lane_size(lane));
    consider(&plan, VARVE_CODEC_FOR,
             1 + zigzag_size(stats->min) + varve_block_packed_size(n, plan.width));
    if ((flags & VARVE_ENCODE_LOG) == 0)
        consider(&plan, VARVE_CODEC_RLE,
                 3 + zigzag_size(stats->min) + varve_pack_size(runs, plan.width) +
                     varve_pack_size(runs - 1, varve_bit_length(n - 1)));
    consider(&plan, VARVE_CODEC_DFOR,
             2 + first + varve_pack_size(varve_block_restarts(n), plan.restart_width) +
                 varve_block_packed_size(n, plan.delta_width));
    return plan;
}

/* FOR with a common divisor, if that is smaller than what is planned. */
static void plan_divided_for(struct plan *plan, uint32_t n, const struct varve_int_stats *stats,
                             uint64_t divisor)
{
    const uint64_t range = (uint64_t)stats->max - (uint64_t)stats->min;
    const uint32_t width = varve_bit_length(range / divisor);
    const size_t size =
        1 + zigzag_size(stats->min) + varint_size(divisor) + varve_block_packed_size(n, width);

    if (size >= plan->size || !varve_block_divisor_fits(stats->min, divisor, width))
        return;
    plan->codec = VARVE_CODEC_FOR;
    plan->width = (uint8_t)width;
    plan->divisor = divisor;
    plan->size = size;
}

static void plan_divided_dfor(struct plan *plan, const int64_t *values, uint32_t n,
                              const struct varve_int_stats *stats, uint64_t divisor)
{
    const uint64_t range = (uint64_t)stats->delta_max - (uint64_t)stats->delta_min;
    const uint32_t width = varve_bit_length(range / divisor);
    uint64_t bases[VARVE_VECTOR_ROWS / VARVE_SEGMENT_ROWS];
    const uint32_t restart_width = restart_bases(values, n, stats->delta_min, divisor, bases);
    const size_t size =
        2 + zigzag_size(values[0]) + zigzag_size(stats->delta_min) + varint_size(divisor) +
        varve_pack_size(varve_block_restarts(n), restart_width) + varve_block_packed_size(n, width);

    if (size >= plan->size || !varve_block_divisor_fits(stats->delta_min, divisor, width))
        return;
    plan->codec = VARVE_CODEC_DFOR;
    plan->delta_width = (uint8_t)width;
    plan->restart_width = (uint8_t)restart_width;
    plan->divisor = divisor;
    plan->size = size;
}

/*
 * What divides the values' offsets divides the deltas' too, so those are searched only where the
 * values have no divisor. The limits keep differences and the sums of residuals below 2^64, so that
 * quotients of them are exact.
 */
static void plan_divided(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                         const struct varve_int_stats *stats, struct plan *plan)
{
    const uint64_t range = (uint64_t)stats->max - (uint64_t)stats->min;
    const uint64_t delta_range = (uint64_t)stats->delta_max - (uint64_t)stats->delta_min;
    uint64_t divisor = 1;

    if (range >= VARVE_DIVIDED_RANGE_MAX)
        return;
    divisor = varve_common_divisor(k, values, n, stats->min, false, range);
    if (divisor > 1)
        plan_divided_for(plan, n, stats, divisor);
    if (delta_range >= (uint64_t)1 << 53)
        return;
    if (divisor == 1)
        divisor = varve_common_divisor(k, values, n, stats->delta_min, true, delta_range);
    if (divisor > 1)
        plan_divided_dfor(plan, values, n, stats, divisor);
}

/* The offsets of n values, or with `deltas` of their deltas, from `base`, in units of `divisor`. */
static void offsets_u64(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                        int64_t base, bool deltas, uint64_t divisor, uint64_t *out)
{
    (deltas ? k->delta_u64 : k->residual_u64)(values, n, base, out);
    if (divisor != 1) {
        const struct varve_divider by = varve_divider_of(divisor);
        k->divide_u64(out, n, by.shift, by.inverse, out);
    }
}

static void offsets_u32(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                        int64_t base, bool deltas, uint64_t divisor, uint32_t *out)
{
    _Alignas(64) uint64_t wide[VARVE_VECTOR_ROWS];

    if (divisor == 1) {
        (deltas ? k->delta_u32 : k->residual_u32)(values, n, base, out);
    } else {
        offsets_u64(k, values, n, base, deltas, divisor, wide);
        k->narrow_i32((const int64_t *)wide, n, (int32_t *)out);
    }
}

/* Pack what the codec packs: `deltas` and `divisor` as above. */
static void write_packed(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                         uint32_t width, int64_t base, bool deltas, uint64_t divisor,
                         struct varve_buffer *out)
{
    _Alignas(64) union {
        uint32_t u32[VARVE_VECTOR_ROWS];
        uint64_t u64[VARVE_VECTOR_ROWS];
    } residual;
    const size_t size = varve_block_packed_size(n, width);
    uint8_t *at = varve_buffer_reserve(out, size);

    if (at == NULL)
        return;
    if (n < VARVE_BLOCK_DENSE_ROWS || width > 32) {
        const uint32_t rows = (n + VARVE_ROW64 - 1) / VARVE_ROW64;
        offsets_u64(k, values, n, base, deltas, divisor, residual.u64);
        memset(residual.u64 + n, 0, (rows * VARVE_ROW64 - n) * sizeof *residual.u64);
        memset(at, 0, size);
        if (n < VARVE_BLOCK_DENSE_ROWS)
            varve_pack_u64(residual.u64, n, width, at);
        else
            k->pack_u64(residual.u64, rows, width, at);
    } else {
        const uint32_t rows = (n + VARVE_ROW32 - 1) / VARVE_ROW32;
        offsets_u32(k, values, n, base, deltas, divisor, residual.u32);
        memset(residual.u32 + n, 0, (rows * VARVE_ROW32 - n) * sizeof *residual.u32);
        memset(at, 0, size);
        k->pack_u32(residual.u32, rows, width, at);
    }
    out->size += size;
}

void varve_bit_string_write(struct varve_buffer *out, const uint64_t *values, uint32_t n,
                            uint32_t width)
{
    const size_t size = varve_pack_size(n, width);
    uint8_t *at = size == 0 ? NULL : varve_buffer_reserve(out, size);
    if (at == NULL)
        return;
    varve_pack_u64(values, n, width, at);
    out->size += size;
}

void varve_bit_pieces_add(struct varve_bit_pieces *pieces, uint64_t value, struct varve_buffer *out)
{
    pieces->values[pieces->n++] = value;
    if (pieces->n == sizeof pieces->values / sizeof *pieces->values)
        varve_bit_pieces_end(pieces, out);
}

void varve_bit_pieces_end(struct varve_bit_pieces *pieces, struct varve_buffer *out)
{
    varve_bit_string_write(out, pieces->values, pieces->n, pieces->width);
    pieces->n = 0;
}

static void write_rle(const int64_t *values, uint32_t n, const struct plan *plan, int64_t base,
                      struct varve_buffer *out)
{
    uint64_t ends[VARVE_VECTOR_ROWS], offsets[VARVE_VECTOR_ROWS];
    uint32_t runs = 0;

    for (uint32_t j = 0; j < n; j++) {
        if (j + 1 < n && values[j + 1] == values[j])
            continue;
        ends[runs] = j + 1;
        offsets[runs] = (uint64_t)values[j] - (uint64_t)base;
        runs++;
    }
    varve_write_u16(out, (uint16_t)runs);
    varve_write_u8(out, plan->width);
    varve_write_zigzag(out, base);
    varve_bit_string_write(out, ends, runs - 1, varve_bit_length(n - 1));
    varve_bit_string_write(out, offsets, runs, plan->width);
}

static void write_dfor(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                       const struct plan *plan, int64_t step, struct varve_buffer *out)
{
    uint64_t bases[VARVE_VECTOR_ROWS / VARVE_SEGMENT_ROWS];

    (void)restart_bases(values, n, step, plan->divisor, bases);
    varve_write_u8(out, plan->delta_width);
    varve_write_u8(out, plan->restart_width);
    varve_write_zigzag(out, values[0]);
    varve_write_zigzag(out, step);
    if (plan->divisor != 1)
        varve_write_varint(out, plan->divisor);
    varve_bit_string_write(out, bases, varve_block_restarts(n), plan->restart_width);
    write_packed(k, values, n, plan->delta_width, step, true, plan->divisor, out);
}

static void write_raw_ints(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                           uint8_t lane, struct varve_buffer *out)
{
    _Alignas(64) int32_t narrow[VARVE_VECTOR_ROWS];

    if (lane == VARVE_LANE_I8)
        k->narrow_i8(values, n, (int8_t *)narrow);
    else if (lane == VARVE_LANE_I16)
        k->narrow_i16(values, n, (int16_t *)narrow);
    else if (lane == VARVE_LANE_I32)
        k->narrow_i32(values, n, narrow);
    varve_write_bytes(out, lane == VARVE_LANE_I64 ? (const void *)values : narrow,
                      (size_t)n * varve_lane_size(lane));
}

bool varve_ints_encode(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                       uint8_t lane, uint8_t block_flags, uint32_t encode_flags,
                       const struct varve_int_stats *stats, size_t most, struct varve_buffer *out)
{
    struct plan plan = plan_ints(values, n, lane, encode_flags, stats);
    const size_t start = out->size;

    if (plan.codec != VARVE_CODEC_CONST && plan.codec != VARVE_CODEC_CONST_DELTA)
        plan_divided(k, values, n, stats, &plan);
    if (plan.size > most || most - plan.size < VARVE_BLOCK_HEADER_SIZE)
        return false;
    if (plan.divisor != 1)
        block_flags |= VARVE_BLOCK_HAS_DIVISOR;
    varve_block_header_write(out, plan.codec, lane, block_flags, n);
    switch (plan.codec) {
    case VARVE_CODEC_CONST:
        varve_write_zigzag(out, stats->min);
        break;
    case VARVE_CODEC_CONST_DELTA:
        varve_write_zigzag(out, values[0]);
        varve_write_zigzag(out, stats->delta_min);
        break;
    case VARVE_CODEC_FOR:
        varve_write_u8(out, plan.width);
        varve_write_zigzag(out, stats->min);
        if (plan.divisor != 1)
            varve_write_varint(out, plan.divisor);
        write_packed(k, values, n, plan.width, stats->min, false, plan.divisor, out);
        break;
    case VARVE_CODEC_RLE:
        write_rle(values, n, &plan, stats->min, out);
        break;
    case VARVE_CODEC_DFOR:
        write_dfor(k, values, n, &plan, stats->delta_min, out);
        break;
    default:
        write_raw_ints(k, values, n, lane, out);
        break;
    }
    assert(out->failed || out->size == start + VARVE_BLOCK_HEADER_SIZE + plan.size);
    return true;
}

/* Overwrite cells that are not live, `size` bytes each, with the live one before. */
static void fill_holes(uint8_t *values, uint32_t size, uint32_t n, const uint64_t *live)
{
    const size_t first = varve_bitmap_next(live, 0, n);
    if (first == n) {
        memset(values, 0, (size_t)n * size);
        return;
    }
    for (size_t j = 0; j < first; j++)
        memcpy(values + j * size, values + first * size, size);
    for (size_t j = first + 1; j < n; j++) {
        if (!varve_bit_get(live, j))
            memcpy(values + j * size, values + (j - 1) * size, size);
    }
}

static void encode_ints(const struct varve_kernels *k, const void *values, uint8_t lane, uint32_t n,
                        const uint64_t *live, uint8_t block_flags, uint32_t encode_flags,
                        struct varve_buffer *out)
{
    _Alignas(64) int64_t wide[VARVE_VECTOR_ROWS];
    struct varve_int_stats stats;
    const int64_t *plain = wide;

    if (lane == VARVE_LANE_I64 && live == NULL)
        plain = values;
    else
        varve_ints_widen(k, lane, values, n, wide);
    if (live != NULL)
        fill_holes((uint8_t *)wide, sizeof *wide, n, live);
    k->int_stats(plain, n, &stats);
    (void)varve_ints_encode(k, plain, n, lane, block_flags, encode_flags, &stats, SIZE_MAX, out);
}

/* Whether row j differs from the next in any of its `size` bytes. */
static inline bool differs(const uint8_t *values, uint32_t size, uint32_t j)
{
    const uint8_t *at = values + (size_t)j * size;

    if (size == 8)
        return memcmp(at, at + 8, 8) != 0;
    if (size == 4)
        return memcmp(at, at + 4, 4) != 0;
    return memcmp(at, at + 16, 16) != 0;
}

static uint32_t count_opaque_runs(const uint8_t *values, uint32_t size, uint32_t n)
{
    uint32_t runs = 1;

    for (uint32_t j = 0; j + 1 < n; j++)
        runs += differs(values, size, j);
    return runs;
}

static void write_opaque_runs(const uint8_t *values, uint32_t size, uint32_t n, uint32_t runs,
                              struct varve_buffer *out)
{
    struct varve_bit_pieces ends = {.width = varve_bit_length(n - 1)};

    varve_write_u16(out, (uint16_t)runs);
    for (uint32_t j = 0; j + 1 < n; j++)
        if (differs(values, size, j))
            varve_bit_pieces_add(&ends, j + 1, out);
    varve_bit_pieces_end(&ends, out);
    for (uint32_t j = 0; j < n; j++)
        if (j + 1 == n || differs(values, size, j))
            varve_write_bytes(out, values + (size_t)j * size, size);
}

/* F32, F64 and B16 whose cells that are not live (NULL: all are) have been filled: equal means equal
 * bytes. ALP is taken if it saves an eighth. */
static void encode_opaque(const struct varve_kernels *k, const uint8_t *values, uint8_t lane,
                          uint32_t n, const uint64_t *live, uint8_t block_flags,
                          uint32_t encode_flags, struct varve_buffer *out)
{
    const uint32_t size = varve_lane_size(lane);
    const bool thorough = (encode_flags & VARVE_ENCODE_LOG) == 0;
    const uint32_t runs = count_opaque_runs(values, size, n);
    const size_t raw = (size_t)n * size;
    const size_t rle = 2 + varve_pack_size(runs - 1, varve_bit_length(n - 1)) + (size_t)runs * size;
    const size_t most = (VARVE_BLOCK_HEADER_SIZE + (rle < raw ? rle : raw)) * 7 / 8;

    if (runs == 1) {
        varve_block_header_write(out, VARVE_CODEC_CONST, lane, block_flags, n);
        varve_write_bytes(out, values, size);
    } else if (thorough && lane != VARVE_LANE_B16 &&
               varve_alp_encode(k, values, lane, n, live, block_flags, most, out)) {
        return;
    } else if (thorough && rle < raw) {
        varve_block_header_write(out, VARVE_CODEC_RLE, lane, block_flags, n);
        write_opaque_runs(values, size, n, runs, out);
    } else {
        varve_block_header_write(out, VARVE_CODEC_RAW, lane, block_flags, n);
        varve_write_bytes(out, values, raw);
    }
}

/* Floats and B16 in functions of their own, as the latter's scratch is twice as large. */
static void encode_floats(const struct varve_kernels *k, const void *values, uint8_t lane,
                          uint32_t n, const uint64_t *live, uint8_t block_flags,
                          uint32_t encode_flags, struct varve_buffer *out)
{
    _Alignas(64) uint8_t plain[VARVE_VECTOR_ROWS * sizeof(double)];

    if (live != NULL) {
        memcpy(plain, values, (size_t)n * varve_lane_size(lane));
        fill_holes(plain, varve_lane_size(lane), n, live);
        values = plain;
    }
    encode_opaque(k, values, lane, n, live, block_flags, encode_flags, out);
}

static void encode_b16(const struct varve_kernels *k, const void *values, uint32_t n,
                       const uint64_t *live, uint8_t block_flags, uint32_t encode_flags,
                       struct varve_buffer *out)
{
    uint8_t plain[VARVE_VECTOR_ROWS * 16];

    if (live != NULL) {
        memcpy(plain, values, (size_t)n * 16);
        fill_holes(plain, 16, n, live);
        values = plain;
    }
    encode_opaque(k, values, VARVE_LANE_B16, n, live, block_flags, encode_flags, out);
}

/* Which cells are what, with the bits after the last row cleared. */
struct states {
    uint64_t live_bits[VARVE_BLOCK_STATE_WORDS];
    uint64_t deleted_bits[VARVE_BLOCK_STATE_WORDS];
    const uint64_t *live; /* NULL: all */
    uint8_t flags;
};

static void read_states(const struct varve_lanes *in, struct states *ret)
{
    const uint32_t words = (uint32_t)VARVE_BITMAP_WORDS(in->n);
    uint64_t absent = 0, deleted = 0;

    ret->live = NULL;
    ret->flags = 0;
    for (uint32_t i = 0; i < words; i++) {
        const uint64_t mask =
            i + 1 == words && in->n % 64 != 0 ? UINT64_MAX >> (64 - in->n % 64) : UINT64_MAX;
        ret->live_bits[i] = in->live == NULL ? mask : in->live[i] & mask;
        ret->deleted_bits[i] = in->deleted == NULL ? 0 : in->deleted[i] & mask;
        assert((ret->live_bits[i] & ret->deleted_bits[i]) == 0);
        absent |= ret->live_bits[i] ^ mask;
        deleted |= ret->deleted_bits[i];
    }
    if (absent != 0) {
        ret->live = ret->live_bits;
        ret->flags = VARVE_BLOCK_HAS_ABSENT;
    }
    if (deleted != 0)
        ret->flags |= VARVE_BLOCK_HAS_DELETED;
}

static varve_status encode_codec(const struct varve_kernels *k, const struct varve_lanes *in,
                                 const struct states *states, uint32_t flags,
                                 struct varve_buffer *out, varve_error *err)
{
    if (in->lane == VARVE_LANE_BYTES) {
        struct varve_lanes text = *in;
        text.live = states->live;
        return varve_text_encode(k, &text, states->flags, flags, out, err);
    }
    if (in->lane == VARVE_LANE_DEC) {
        varve_block_header_write(out, VARVE_CODEC_DECIMAL, in->lane, states->flags, in->n);
        encode_ints(k, in->values, VARVE_LANE_I64, in->n, states->live, 0, flags, out);
        encode_ints(k, in->scales, VARVE_LANE_I8, in->n, states->live, 0, flags, out);
    } else if ((flags & VARVE_ENCODE_CODES) != 0) {
        assert(in->lane == VARVE_LANE_I32);
        varve_block_header_write(out, VARVE_CODEC_DICT, in->lane, states->flags, in->n);
        encode_ints(k, in->values, in->lane, in->n, states->live, 0, flags, out);
    } else if (varve_lane_is_integer(in->lane)) {
        encode_ints(k, in->values, in->lane, in->n, states->live, states->flags, flags, out);
    } else if (in->lane == VARVE_LANE_B16) {
        encode_b16(k, in->values, in->n, states->live, states->flags, flags, out);
    } else {
        encode_floats(k, in->values, in->lane, in->n, states->live, states->flags, flags, out);
    }
    return VARVE_OK;
}

static varve_status encode_block(const struct varve_kernels *k, const struct varve_lanes *in,
                                 uint32_t flags, struct varve_buffer *out,
                                 struct varve_zone *ret_zone, varve_error *err)
{
    const size_t start = out->size;
    struct states states;

    read_states(in, &states);
    varve_status rc = encode_codec(k, in, &states, flags, out, err);
    if (rc == VARVE_OK && (states.flags & VARVE_BLOCK_HAS_ABSENT) != 0)
        varve_state_write(out, states.live_bits, in->n);
    if (rc == VARVE_OK && (states.flags & VARVE_BLOCK_HAS_DELETED) != 0)
        varve_state_write(out, states.deleted_bits, in->n);
    if (rc == VARVE_OK && out->failed)
        rc = varve_error_nomem(err, "a block");
    if (rc < 0) {
        out->size = start;
        return rc;
    }
    if ((flags & VARVE_ENCODE_ZONE) != 0 && ret_zone != NULL)
        varve_zone_gather(k, in, states.live, ret_zone);
    return VARVE_OK;
}

varve_status varve_block_encode_with(const struct varve_kernels *k, const struct varve_lanes *in,
                                     uint32_t flags, struct varve_buffer *out,
                                     struct varve_zone *ret_zone, varve_error *err)
{
    assert(in->n >= 1 && in->n <= VARVE_VECTOR_ROWS);
    assert(in->lane >= VARVE_LANE_I8 && in->lane <= VARVE_LANE_BYTES);
    if (in->lane != VARVE_LANE_F32 && in->lane != VARVE_LANE_F64)
        return encode_block(k, in, flags, out, ret_zone, err);
    const varve_float_mode mode = varve_float_mode_enter();
    const varve_status rc = encode_block(k, in, flags, out, ret_zone, err);
    varve_float_mode_leave(&mode);
    return rc;
}

varve_status varve_block_encode(const struct varve_lanes *in, uint32_t flags,
                                struct varve_buffer *out, struct varve_zone *ret_zone,
                                varve_error *err)
{
    return varve_block_encode_with(varve_kernels_get(), in, flags, out, ret_zone, err);
}

void varve_zone_of(const struct varve_lanes *in, struct varve_zone *ret_zone)
{
    struct states states;

    read_states(in, &states);
    const varve_float_mode mode = varve_float_mode_enter();
    varve_zone_gather(varve_kernels_get(), in, states.live, ret_zone);
    varve_float_mode_leave(&mode);
}
