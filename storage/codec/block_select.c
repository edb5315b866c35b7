/*
 * block_select.c - which rows of a block satisfy a comparison.
 *
 * Values become int64 keys that order like them, and one kernel compares those. Integers are their
 * own keys; floats take keys in which NaN is one value, the greatest, and -0.0 equals 0.0. Constant
 * blocks are compared once.
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
