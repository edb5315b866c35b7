/*
 * fuzz_block.c - open arbitrary bytes as a block and use it every way there is.
 *
 * Input: [1 byte lane] [block]. The row count is taken from the block's header, so that the check
 * of it does not stop the fuzzer. Whatever decodes must decode the same in parts and on every path,
 * and its live values must survive being encoded again.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    uint64_t values[VARVE_VECTOR_ROWS * 2];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1];
    uint64_t live[VARVE_BLOCK_STATE_WORDS];
    uint64_t deleted[VARVE_BLOCK_STATE_WORDS];
    struct varve_buffer text;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool decode(const struct varve_kernels *k, const struct varve_block *block, uint32_t first,
                   uint32_t n, struct decoded *d)
{
    varve_status rc;

    varve_block_states(block, first, n, d->live, d->deleted);
    varve_buffer_clear(&d->text);
    d->offsets[0] = 0;
    if (block->lane == VARVE_LANE_BYTES)
        rc = varve_block_decode_bytes_with(k, block, first, n, d->offsets, &d->text, NULL);
    else
        rc = varve_block_decode_with(k, block, first, n, d->values, d->scales, NULL);
    require(rc == VARVE_OK || rc == VARVE_ECORRUPT || rc == VARVE_ENOMEM);
    return rc == VARVE_OK;
}

/* Rows [first, first + n) of `whole` are those of `part`; with `live_only` only live cells count. */
static void require_equal(uint8_t lane, const struct decoded *whole, uint32_t first, uint32_t n,
                          const struct decoded *part, bool live_only)
{
    const uint32_t size = varve_lane_size(lane);

    for (uint32_t j = 0; j < n; j++) {
        const uint32_t row = first + j;
        const bool live = varve_bit_get(whole->live, row);
        require(live == varve_bit_get(part->live, j));
        require(varve_bit_get(whole->deleted, row) == varve_bit_get(part->deleted, j));
        if (live_only && !live)
            continue;
        if (lane == VARVE_LANE_BYTES) {
            const uint32_t bytes = whole->offsets[row + 1] - whole->offsets[row];
            require(bytes == part->offsets[j + 1] - part->offsets[j]);
            require(bytes == 0 || memcmp(whole->text.data + whole->offsets[row],
                                         part->text.data + part->offsets[j], bytes) == 0);
        } else {
            require(memcmp((const uint8_t *)whole->values + (size_t)row * size,
                           (const uint8_t *)part->values + (size_t)j * size, size) == 0);
            require(lane != VARVE_LANE_DEC || whole->scales[row] == part->scales[j]);
        }
    }
}

static void check_parts(const struct varve_block *block, const struct decoded *whole,
                        struct decoded *part)
{
    const uint32_t n = block->n;
    const uint32_t cuts[4] = {n / 2, n - 1, n / 3, 0};

    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t rows = i % 2 == 0 ? n - cuts[i] : (n - cuts[i] + 1) / 2;
        for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
            if (decode(varve_kernels_at(p), block, cuts[i], rows, part))
                require_equal(block->lane, whole, cuts[i], rows, part, false);
        }
    }
}

static void check_again(const struct varve_block *block, const struct decoded *whole,
                        struct decoded *part, struct varve_heap *heap)
{
    struct varve_buffer out;
    struct varve_block again;
    struct varve_zone zone;
    const bool text = block->lane == VARVE_LANE_BYTES;
    const struct varve_lanes in = {.lane = block->lane,
                                   .n = block->n,
                                   .values = text ? (const void *)whole->text.data : whole->values,
                                   .offsets = whole->offsets,
                                   .scales = whole->scales,
                                   .live = whole->live,
                                   .deleted = whole->deleted};

    varve_buffer_init(&out, heap);
    const varve_status rc = varve_block_encode(&in, VARVE_ENCODE_ZONE, &out, &zone, NULL);
    require(rc == VARVE_OK || rc == VARVE_ENOMEM);
    if (rc == VARVE_OK) {
        require(varve_block_open(varve_buffer_span(&out), block->lane, block->n, &again, NULL) ==
                0);
        if (decode(varve_kernels_get(), &again, 0, block->n, part))
            require_equal(block->lane, whole, 0, block->n, part, true);
    }
    varve_buffer_free(&out);
}

/* Where rows ascend, the rank of one is how many are below it; elsewhere it is within the rows. */
static void check_rank(const struct varve_block *block, const struct decoded *whole)
{
    const int64_t *values = (const int64_t *)(const void *)whole->values;
    uint32_t below = 0, rank = 0;
    bool ascend = true;

    if (block->lane != VARVE_LANE_I64)
        return;
    for (uint32_t row = 1; row < block->n; row++)
        ascend = ascend && values[row - 1] <= values[row];
    for (uint32_t row = 0; row < block->n; row++)
        below += values[row] < values[block->n / 2];
    if (varve_block_rank(block, 0, block->n, values[block->n / 2], &rank, NULL) == VARVE_OK)
        require(rank <= block->n && (!ascend || rank == below));
}

/* Folding the block is folding what it decodes to. */
static void check_fold(const struct varve_block *block, const struct decoded *whole)
{
    struct varve_exact_sum fsum, other_sum;
    struct varve_fold fold = {.fsum = &fsum}, other = {.fsum = &other_sum};
    uint64_t selected[VARVE_BLOCK_STATE_WORDS];
    const struct varve_lanes in = {
        .lane = block->lane, .n = block->n, .values = whole->values, .live = whole->live};

    if (block->lane > VARVE_LANE_F64)
        return;
    varve_fold_reset(&fold);
    varve_fold_reset(&other);
    require(varve_block_fold(block, 0, block->n, 63, &fold, NULL) == VARVE_OK);
    varve_fold_lanes(&other, 63, &in, 0, block->n);
    require(fold.count == other.count && fold.sum == other.sum &&
            fold.has_range == other.has_range && fold.min.i64 == other.min.i64 &&
            fold.max.i64 == other.max.i64 && fold.last.i64 == other.last.i64);
    memset(selected, 0xff, sizeof selected);
    require(varve_block_select(block, 0, block->n, VARVE_GE, fold.min, selected, NULL) == VARVE_OK);
    require(varve_bitmap_count(selected, block->n) == fold.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_block block;

    if (size < 5 || data[0] < VARVE_LANE_I8 || data[0] > VARVE_LANE_BYTES)
        return 0;
    const uint32_t n = varve_get_u16(data + 3);
    uint8_t *copy = malloc(size - 1);
    struct decoded *whole = calloc(2, sizeof *whole), *part = whole + 1;
    require(copy != NULL && whole != NULL);
    memcpy(copy, data + 1, size - 1);
    varve_heap_init(&heap, NULL, 128u << 20);
    varve_buffer_init(&whole->text, &heap);
    varve_buffer_init(&part->text, &heap);
    if (varve_block_open(varve_span_of(copy, size - 1), data[0], n, &block, NULL) == VARVE_OK &&
        decode(varve_kernels_at(0), &block, 0, n, whole)) {
        check_parts(&block, whole, part);
        check_again(&block, whole, part, &heap);
        check_fold(&block, whole);
        check_rank(&block, whole);
    }
    varve_buffer_free(&whole->text);
    varve_buffer_free(&part->text);
    require(varve_heap_used(&heap) == 0);
    free(whole);
    free(copy);
    return 0;
}
