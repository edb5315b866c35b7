/*
 * value_fold.c - count, sum, min, max, first and last of a column; and the statistics of zone maps.
 *
 * Cells that are not live are taken out first (varve_gather_live), so that every kernel sees live
 * values only. Sums do not depend on how rows are cut into calls: integers add in 128 bits, floats
 * in an exact accumulator.
 *
 * Floats. min and max follow -Inf < .. < -0.0 < 0.0 < .. < Inf < NaN: max is NaN when any value is,
 * min only when all are. A NaN that stands for "some NaN" has the bits 7ff8000000000000; first and
 * last give the value as it is (F32 widened).
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define CHUNK VARVE_VECTOR_ROWS

static double canonical_nan(void)
{
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool is_float(uint8_t lane)
{
    return lane == VARVE_LANE_F32 || lane == VARVE_LANE_F64;
}

/* Inlined with a constant size, so that a value is moved without a call. */
static inline uint32_t gather_sized(const uint8_t *in, uint32_t size, const uint64_t *live,
                                    uint32_t n, uint8_t *out)
{
    uint32_t count = 0;

    for (uint32_t j = 0; j < n; j++) { /* store always, advance when live: nothing to mispredict */
        memcpy(out + (size_t)count * size, in + (size_t)j * size, size);
        count += varve_bit_get(live, j);
    }
    return count;
}

uint32_t varve_gather_live(const void *values, uint32_t size, const uint64_t *live, uint32_t n,
                           void *out)
{
    switch (size) {
    case 1:
        return gather_sized(values, 1, live, n, out);
    case 2:
        return gather_sized(values, 2, live, n, out);
    case 4:
        return gather_sized(values, 4, live, n, out);
    case 8:
        return gather_sized(values, 8, live, n, out);
    default:
        return gather_sized(values, size, live, n, out);
    }
}

void varve_fold_reset(struct varve_fold *fold)
{
    struct varve_exact_sum *fsum = fold->fsum;

    *fold = (struct varve_fold){0};
    fold->fsum = fsum;
    if (fsum != NULL)
        varve_exact_reset(fsum);
}

void varve_fold_int_range(struct varve_fold *fold, const struct varve_int_range *range)
{
    if (!fold->has_range || range->min < fold->min.i64)
        fold->min.i64 = range->min;
    if (!fold->has_range || range->max > fold->max.i64)
        fold->max.i64 = range->max;
    fold->has_range = true;
    fold->sum += range->sum;
}

/* `nan` values that are NaN, and the range of the others when has_range. */
static void fold_float_range(struct varve_fold *fold, bool has_range, double min, double max,
                             uint64_t nan)
{
    if (!has_range && nan == 0)
        return;
    if (!has_range)
        min = canonical_nan();
    if (nan > 0)
        max = canonical_nan();
    if (!fold->has_range || varve_f64_order(min, fold->min.f64) < 0)
        fold->min.f64 = min;
    if (!fold->has_range || varve_f64_order(max, fold->max.f64) > 0)
        fold->max.f64 = max;
    fold->has_range = true;
}

void varve_fold_keys(struct varve_fold *fold, const struct varve_key_range *keys)
{
    const bool has_range = keys->min <= keys->max;

    fold_float_range(fold, has_range, has_range ? varve_f64_of_key(keys->min) : 0.0,
                     has_range ? varve_f64_of_key(keys->max) : 0.0, keys->nan);
}

/* n live integers, at most CHUNK. */
static void fold_ints(const struct varve_kernels *k, struct varve_fold *fold, uint32_t want,
                      const int64_t *values, uint32_t n)
{
    struct varve_int_range range;

    if (!fold->has_first)
        fold->first.i64 = values[0];
    fold->last.i64 = values[n - 1];
    fold->has_first = true;
    if ((want & (VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX)) == 0)
        return;
    k->int_range(values, n, &range);
    varve_fold_int_range(fold, &range);
}

static void fold_floats(const struct varve_kernels *k, struct varve_fold *fold, uint32_t want,
                        const double *values, uint32_t n)
{
    if (!fold->has_first)
        fold->first.f64 = values[0];
    fold->last.f64 = values[n - 1];
    fold->has_first = true;
    if ((want & (VARVE_FOLD_MIN | VARVE_FOLD_MAX)) != 0) {
        struct varve_key_range keys;
        k->f64_range(values, n, &keys);
        varve_fold_keys(fold, &keys);
    }
    if ((want & VARVE_FOLD_SUM) != 0 && fold->fsum != NULL) {
        struct varve_exact_span span;
        k->f64_span(values, n, &span);
        varve_exact_add_block(fold->fsum, values, n, &span);
    }
}

/* Live cells of up to CHUNK rows as int64, in `values` itself when they stand there already. */
static const int64_t *live_ints(const struct varve_kernels *k, uint8_t lane, const uint8_t *values,
                                uint32_t n, const uint64_t *live, int64_t *wide, uint32_t *ret_n)
{
    const uint32_t size = varve_lane_size(lane);
    _Alignas(64) int64_t part[CHUNK];

    *ret_n = n;
    if (live != NULL) {
        *ret_n = varve_gather_live(values, size, live, n, part);
        values = (const uint8_t *)part;
    }
    if (live == NULL && lane == VARVE_LANE_I64)
        return (const int64_t *)(const void *)values;
    varve_ints_widen(k, lane, values, *ret_n, wide);
    return wide;
}

static const double *live_floats(const struct varve_kernels *k, uint8_t lane, const uint8_t *values,
                                 uint32_t n, const uint64_t *live, double *wide, uint32_t *ret_n)
{
    const uint32_t size = varve_lane_size(lane);
    _Alignas(64) float part[CHUNK];

    *ret_n = n;
    if (lane == VARVE_LANE_F64) {
        if (live == NULL)
            return (const double *)(const void *)values;
        *ret_n = varve_gather_live(values, size, live, n, wide);
        return wide;
    }
    if (live != NULL) {
        *ret_n = varve_gather_live(values, size, live, n, part);
        values = (const uint8_t *)part;
    }
    k->widen_f32((const float *)(const void *)values, *ret_n, wide);
    return wide;
}

/* Up to CHUNK rows; `live` from bit 0 or NULL. */
static void fold_chunk(const struct varve_kernels *k, struct varve_fold *fold, uint32_t want,
                       uint8_t lane, const uint8_t *values, uint32_t n, const uint64_t *live)
{
    _Alignas(64) union {
        int64_t i64[CHUNK];
        double f64[CHUNK];
    } wide;
    uint32_t count;

    if (varve_lane_is_integer(lane)) {
        const int64_t *ints = live_ints(k, lane, values, n, live, wide.i64, &count);
        if (count > 0)
            fold_ints(k, fold, want, ints, count);
    } else if (is_float(lane)) {
        const double *floats = live_floats(k, lane, values, n, live, wide.f64, &count);
        if (count > 0)
            fold_floats(k, fold, want, floats, count);
    } else {
        count = live == NULL ? n : (uint32_t)varve_bitmap_count(live, n);
    }
    fold->count += count;
}

void varve_fold_lanes_with(const struct varve_kernels *k, struct varve_fold *fold, uint32_t want,
                           const struct varve_lanes *in, uint32_t first, uint32_t n)
{
    const uint32_t size = in->lane == VARVE_LANE_BYTES ? 0 : varve_lane_size(in->lane);
    const uint8_t *values = in->values;

    assert(first <= in->n && n <= in->n - first);
    while (n > 0) {
        const uint32_t take = n < CHUNK ? n : CHUNK;
        uint64_t live[VARVE_BLOCK_STATE_WORDS] = {0};

        if (in->live != NULL)
            varve_bitmap_copy(live, 0, in->live, first, take);
        fold_chunk(k, fold, want, in->lane, size == 0 ? NULL : values + (size_t)first * size, take,
                   in->live == NULL ? NULL : live);
        first += take;
        n -= take;
    }
}

void varve_fold_lanes(struct varve_fold *fold, uint32_t want, const struct varve_lanes *in,
                      uint32_t first, uint32_t n)
{
    varve_fold_lanes_with(varve_kernels_get(), fold, want, in, first, n);
}

static int64_t packed_value(const struct varve_block *block, uint64_t packed)
{
    return (int64_t)((uint64_t)block->base + block->divisor * packed);
}

/* Whole rows of 32 that are packed in 32-bit words fold without becoming int64 first. */
static void fold_packed(const struct varve_kernels *k, const struct varve_block *block,
                        uint32_t first, uint32_t n, struct varve_fold *fold)
{
    _Alignas(64) uint32_t offsets[VARVE_VECTOR_ROWS];
    const uint32_t row = first / VARVE_ROW32;
    const uint32_t end = (first + n + VARVE_ROW32 - 1) / VARVE_ROW32;
    struct varve_int_range range;

    k->unpack_u32(block->payload.data, block->width, row, end - row, offsets);
    const uint32_t *at = offsets + first % VARVE_ROW32;
    k->u32_range(at, n, &range);
    range.min = packed_value(block, (uint64_t)range.min);
    range.max = packed_value(block, (uint64_t)range.max);
    range.sum = (varve_i128)block->base * n + range.sum * (varve_i128)block->divisor;
    if (!fold->has_first)
        fold->first.i64 = packed_value(block, at[0]);
    fold->last.i64 = packed_value(block, at[n - 1]);
    fold->has_first = true;
    fold->count += n;
    varve_fold_int_range(fold, &range);
}

/* Sums of offsets from the base are sums of values only if no value wraps. */
static bool folds_packed(const struct varve_block *block, uint32_t first, uint32_t n)
{
    if (block->codec != VARVE_CODEC_FOR || block->n < VARVE_BLOCK_DENSE_ROWS || block->width > 32 ||
        block->flags != 0 || first + n > block->n || n == 0)
        return false;
    return varve_block_divisor_fits(block->base, block->divisor, block->width) &&
           varve_lane_holds(block->lane, block->base) &&
           varve_lane_holds(block->lane, packed_value(block, ((uint64_t)1 << block->width) - 1));
}

static varve_status fold_text(const struct varve_block *block, uint32_t first, uint32_t n,
                              struct varve_fold *fold)
{
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];

    varve_block_states(block, first, n, live, deleted);
    fold->count += varve_bitmap_count(live, n);
    return VARVE_OK;
}

varve_status varve_block_fold_with(const struct varve_kernels *k, const struct varve_block *block,
                                   uint32_t first, uint32_t n, uint32_t want,
                                   struct varve_fold *fold, varve_error *err)
{
    _Alignas(64) int64_t values[VARVE_VECTOR_ROWS];
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];
    varve_status rc;

    assert(first <= block->n && n <= block->n - first);
    if (n == 0)
        return VARVE_OK;
    if (!varve_lane_is_integer(block->lane) && !is_float(block->lane))
        return fold_text(block, first, n, fold);
    if (folds_packed(block, first, n)) {
        fold_packed(k, block, first, n, fold);
        return VARVE_OK;
    }
    if (varve_lane_is_integer(block->lane))
        rc = varve_block_decode_ints(k, block, first, n, values, err);
    else
        rc = varve_block_decode_with(k, block, first, n, values, NULL, err);
    if (rc < 0)
        return rc;
    if (block->flags != 0)
        varve_block_states(block, first, n, live, deleted);
    fold_chunk(k, fold, want, varve_lane_is_integer(block->lane) ? VARVE_LANE_I64 : block->lane,
               (const uint8_t *)values, n, block->flags != 0 ? live : NULL);
    return VARVE_OK;
}

varve_status varve_block_fold(const struct varve_block *block, uint32_t first, uint32_t n,
                              uint32_t want, struct varve_fold *fold, varve_error *err)
{
    return varve_block_fold_with(varve_kernels_get(), block, first, n, want, fold, err);
}

void varve_fold_zone(struct varve_fold *fold, uint32_t want, uint8_t lane,
                     const struct varve_zone *zone)
{
    fold->count += zone->live;
    if (zone->live == 0)
        return;
    if (zone->has_ends) {
        if (!fold->has_first)
            fold->first = zone->first;
        fold->last = zone->last;
        fold->has_first = true;
    }
    if (is_float(lane)) {
        fold_float_range(fold, zone->has_range, zone->min.f64, zone->max.f64, zone->nan);
        if ((want & VARVE_FOLD_SUM) != 0 && zone->has_sum && fold->fsum != NULL)
            varve_exact_add_partial(fold->fsum, &zone->partial);
    } else if (zone->has_range) {
        const struct varve_int_range range = {zone->min.i64, zone->max.i64,
                                              zone->has_sum ? zone->sum : 0};
        varve_fold_int_range(fold, &range);
    }
}

static void zone_ends(struct varve_zone *zone, uint32_t n, const uint64_t *live)
{
    if (live == NULL) {
        zone->live = n;
        zone->last_row = (uint16_t)(n - 1);
        return;
    }
    zone->live = (uint32_t)varve_bitmap_count(live, n);
    zone->first_row = (uint16_t)varve_bitmap_next(live, 0, n);
    for (uint32_t j = n; j-- > 0;) {
        if (varve_bit_get(live, j)) {
            zone->last_row = (uint16_t)j;
            break;
        }
    }
}

static void zone_floats(const struct varve_kernels *k, const struct varve_lanes *in,
                        const uint64_t *live, struct varve_zone *zone)
{
    _Alignas(64) double wide[CHUNK];
    struct varve_key_range keys;
    struct varve_exact_span span;
    uint32_t n;
    const double *floats = live_floats(k, in->lane, in->values, in->n, live, wide, &n);

    k->f64_range(floats, n, &keys);
    zone->nan = keys.nan;
    zone->has_range = keys.min <= keys.max;
    if (zone->has_range) {
        zone->min.f64 = varve_f64_of_key(keys.min);
        zone->max.f64 = varve_f64_of_key(keys.max);
    }
    k->f64_span(floats, n, &span);
    zone->has_sum = keys.nan == 0 && varve_exact_partial_of(floats, n, &span, &zone->partial);
    zone->has_ends = true;
    zone->first.f64 = floats[0];
    zone->last.f64 = floats[n - 1];
}

void varve_zone_gather(const struct varve_kernels *k, const struct varve_lanes *in,
                       const uint64_t *live, struct varve_zone *ret_zone)
{
    struct varve_zone zone = {0};

    zone_ends(&zone, in->n, live);
    if (zone.live == 0) {
        zone.first_row = 0;
    } else if (varve_lane_is_integer(in->lane)) {
        _Alignas(64) int64_t wide[CHUNK];
        struct varve_int_range range;
        uint32_t n;
        const int64_t *ints = live_ints(k, in->lane, in->values, in->n, live, wide, &n);

        k->int_range(ints, n, &range);
        zone.has_range = zone.has_sum = zone.has_ends = true;
        zone.min.i64 = range.min;
        zone.max.i64 = range.max;
        zone.sum = range.sum;
        zone.first.i64 = ints[0];
        zone.last.i64 = ints[n - 1];
    } else if (is_float(in->lane)) {
        zone_floats(k, in, live, &zone);
    }
    *ret_zone = zone;
}
