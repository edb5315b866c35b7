/*
 * block_select.c - which rows of a block satisfy a comparison.
 *
 * Values become int64 keys that order like them, and one kernel compares those. Integers are their
 * own keys; floats take keys in which NaN is one value, the greatest, and -0.0 equals 0.0. Constant
 * blocks are compared once. Where rows ascend, the place of a key among them is computed from a
 * constant step, or found among the segments that packing can decode from.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

static bool compare(int64_t key, uint32_t op, int64_t operand)
{
    switch (op) {
    case VARVE_EQ:
        return key == operand;
    case VARVE_NE:
        return key != operand;
    case VARVE_LT:
        return key < operand;
    case VARVE_LE:
        return key <= operand;
    case VARVE_GT:
        return key > operand;
    default:
        assert(op == VARVE_GE);
        return key >= operand;
    }
}

static varve_status float_keys(const struct varve_kernels *k, const struct varve_block *block,
                               uint32_t first, uint32_t n, int64_t *keys, varve_error *err)
{
    _Alignas(64) double wide[VARVE_VECTOR_ROWS];
    _Alignas(64) float narrow[VARVE_VECTOR_ROWS];
    const bool single = block->lane == VARVE_LANE_F32;
    const varve_status rc =
        varve_block_decode_with(k, block, first, n, single ? (void *)narrow : wide, NULL, err);

    if (rc < 0)
        return rc;
    if (single)
        k->widen_f32(narrow, n, wide);
    k->f64_compare_keys(wide, n, keys);
    return VARVE_OK;
}

varve_status varve_block_select_with(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, uint32_t op,
                                     union varve_scalar operand, uint64_t *selected,
                                     varve_error *err)
{
    _Alignas(64) int64_t keys[VARVE_VECTOR_ROWS];
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];
    const bool integer = varve_lane_is_integer(block->lane);
    const int64_t key = integer ? operand.i64 : varve_f64_compare_key(operand.f64);
    const bool single = integer && block->codec == VARVE_CODEC_CONST;
    varve_status rc;

    assert(integer || block->lane == VARVE_LANE_F32 || block->lane == VARVE_LANE_F64);
    assert(first <= block->n && n <= block->n - first);
    assert(op >= VARVE_EQ && op <= VARVE_GE);
    if (n == 0)
        return VARVE_OK;
    if (single && !compare(block->base, op, key)) {
        memset(selected, 0, VARVE_BITMAP_WORDS(n) * sizeof *selected);
        return VARVE_OK;
    }
    if (!single) {
        rc = integer ? varve_block_decode_ints(k, block, first, n, keys, err)
                     : float_keys(k, block, first, n, keys, err);
        if (rc < 0)
            return rc;
        k->compare_i64(keys, n, op, key, selected);
    }
    if (block->flags != 0) {
        varve_block_states(block, first, n, live, deleted);
        for (uint32_t i = 0; i < VARVE_BITMAP_WORDS(n); i++)
            selected[i] &= live[i];
    }
    return VARVE_OK;
}

varve_status varve_block_select(const struct varve_block *block, uint32_t first, uint32_t n,
                                uint32_t op, union varve_scalar operand, uint64_t *selected,
                                varve_error *err)
{
    return varve_block_select_with(varve_kernels_get(), block, first, n, op, operand, selected,
                                   err);
}

/* ------------------------------------------------------------------------------- Ascending rows */

/* Whether the block's values are base + j * step without wrapping, step above 0. */
static bool is_ramp(const struct varve_block *block)
{
    int64_t last;

    return block->codec == VARVE_CODEC_CONST_DELTA && block->step > 0 &&
           !__builtin_mul_overflow(block->step, (int64_t)block->n - 1, &last) &&
           !__builtin_add_overflow(last, block->base, &last) && varve_lane_holds(block->lane, last);
}

/* How many rows of a ramp are below `key`. */
static uint32_t ramp_rank(const struct varve_block *block, int64_t key)
{
    if (key <= block->base)
        return 0;
    const uint64_t step = (uint64_t)block->step;
    const uint64_t above = (uint64_t)key - (uint64_t)block->base;
    const uint64_t rank = (above - 1) / step + 1;
    return rank < block->n ? (uint32_t)rank : block->n;
}

varve_status varve_block_rank_with(const struct varve_kernels *k, const struct varve_block *block,
                                   uint32_t first, uint32_t n, int64_t key, uint32_t *ret_rank,
                                   varve_error *err)
{
    _Alignas(64) int64_t values[VARVE_SEGMENT_ROWS];
    uint32_t low = first, end = first + n;

    assert(varve_lane_is_integer(block->lane));
    assert(first <= block->n && n <= block->n - first);
    if (is_ramp(block)) {
        const uint32_t rank = ramp_rank(block, key);
        *ret_rank = rank <= first ? 0 : rank < end ? rank - first : n;
        return VARVE_OK;
    }
    while (end - low > VARVE_SEGMENT_ROWS) { /* some segment starts between low and end */
        uint32_t middle = (low + end) / 2 / VARVE_SEGMENT_ROWS * VARVE_SEGMENT_ROWS;
        if (middle <= low)
            middle += VARVE_SEGMENT_ROWS;
        const varve_status rc = varve_block_decode_ints(k, block, middle, 1, values, err);
        if (rc < 0)
            return rc;
        if (values[0] < key)
            low = middle;
        else
            end = middle;
    }
    const varve_status rc = varve_block_decode_ints(k, block, low, end - low, values, err);
    if (rc < 0)
        return rc;
    uint32_t below = 0;
    for (uint32_t i = 0; i < end - low; i++)
        below += values[i] < key;
    *ret_rank = low - first + below;
    return VARVE_OK;
}

varve_status varve_block_rank(const struct varve_block *block, uint32_t first, uint32_t n,
                              int64_t key, uint32_t *ret_rank, varve_error *err)
{
    return varve_block_rank_with(varve_kernels_get(), block, first, n, key, ret_rank, err);
}
