/*
 * block_alp.c - floats that are decimals, as integers and exceptions (block_format.h, ALP).
 *
 * Encoding. decimal_scale.c says by a sample which powers of ten fit; then all rows are tried. What is
 * missed, bit by bit, is an exception and stands as it is: infinities, NaN and -0.0 need no rule of
 * their own. An exception's integer is its neighbour's, so that it widens no packing. The integers are
 * a block inside, of whatever codec is smallest for them.
 *
 * Decoding trusts no value: integers must be in range, rows of exceptions must ascend. A range of
 * rows costs its own rows and a search for its first exception.
 *
 * Callers have entered the default floating-point mode (float_mode.h).
 */
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define ROWS_MIN 8u   /* below this many rows the header costs what is saved */
#define SCALE_SIZE 5u /* mode, e, f, and the number of exceptions */
#define AT_ONCE 64u   /* exceptions handled together */

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad block: %s", what);
}

/* ------------------------------------------------------------------------------------- Encoding */

static uint32_t make_ints(const struct varve_kernels *k, const void *values, bool single,
                          uint32_t n, struct varve_alp_scale scale, int64_t *ints, uint64_t *missed)
{
    const struct varve_alp_powers by = varve_alp_powers_of(scale);

    k->alp_ints(values, n, &by, single, ints, missed);
    return (uint32_t)varve_bitmap_count(missed, n);
}

/* Whether of the values that were missed, as far as the first ones tell, this scale hits some. */
static bool hits_some(const struct varve_kernels *k, const void *values, bool single, uint32_t n,
                      struct varve_alp_scale scale, const uint64_t *missed)
{
    const size_t size = single ? sizeof(float) : sizeof(double);
    double some[AT_ONCE];
    int64_t ints[AT_ONCE];
    uint64_t again[1];
    uint32_t taken = 0;

    for (size_t j = varve_bitmap_next(missed, 0, n); j < n && taken < AT_ONCE;
         j = varve_bitmap_next(missed, j + 1, n))
        memcpy((uint8_t *)some + taken++ * size, (const uint8_t *)values + j * size, size);
    return taken > 0 && make_ints(k, some, single, taken, scale, ints, again) < taken;
}

static bool same_scale(struct varve_alp_scale a, struct varve_alp_scale b)
{
    return a.mode == b.mode && a.e == b.e && a.f == b.f;
}

/* The integers of all rows by the best scale, and the rows that it misses; false: hopeless. */
static bool find_ints(const struct varve_kernels *k, const void *values, bool single, uint32_t n,
                      struct varve_alp_scale *ret_scale, int64_t *ints, uint64_t *missed)
{
    struct varve_alp_scale best, last;

    if (!varve_decimal_scale(k, values, single, n, &best))
        return false;
    uint32_t least = make_ints(k, values, single, n, best, ints, missed);
    last = best;
    for (uint8_t mode = VARVE_ALP_MUL; mode <= VARVE_ALP_DIV && least > 0; mode++) {
        const struct varve_alp_scale other = {mode, (uint8_t)(best.e - best.f), 0};
        if (same_scale(other, best) || !hits_some(k, values, single, n, other, missed))
            continue; /* what the sample did not show is none in that mode either */
        const uint32_t count = make_ints(k, values, single, n, other, ints, missed);
        last = other;
        if (count >= least)
            continue;
        least = count;
        best = other;
    }
    if (!same_scale(last, best))
        least = make_ints(k, values, single, n, best, ints, missed);
    *ret_scale = best;
    return least < n;
}

/* Give missed rows the integer before them, and the first ones that of the first that is not. */
static void fill_missed(uint32_t n, const uint64_t *missed, int64_t *ints)
{
    uint32_t kept = 0;

    while (varve_bit_get(missed, kept))
        kept++;
    for (size_t j = varve_bitmap_next(missed, 0, n); j < n; j = varve_bitmap_next(missed, j + 1, n))
        ints[j] = j < kept ? ints[kept] : ints[j - 1];
}

static void write_exceptions(const uint8_t *values, size_t size, uint32_t n, const uint64_t *missed,
                             struct varve_buffer *out)
{
    struct varve_bit_pieces rows = {.width = varve_bit_length(n - 1)};

    for (size_t j = varve_bitmap_next(missed, 0, n); j < n; j = varve_bitmap_next(missed, j + 1, n))
        varve_bit_pieces_add(&rows, j, out);
    varve_bit_pieces_end(&rows, out);
    for (size_t j = varve_bitmap_next(missed, 0, n); j < n; j = varve_bitmap_next(missed, j + 1, n))
        varve_write_bytes(out, values + j * size, size);
}

bool varve_alp_encode(const struct varve_kernels *k, const void *values, uint8_t lane, uint32_t n,
                      const uint64_t *live, uint8_t block_flags, size_t most,
                      struct varve_buffer *out)
{
    _Alignas(64) int64_t ints[VARVE_VECTOR_ROWS];
    const uint32_t size = varve_lane_size(lane);
    const size_t start = out->size;
    uint64_t missed[VARVE_BLOCK_STATE_WORDS];
    struct varve_alp_scale scale;
    struct varve_int_stats stats;

    if (n < ROWS_MIN || !find_ints(k, values, lane == VARVE_LANE_F32, n, &scale, ints, missed))
        return false;
    fill_missed(n, missed, ints);
    for (uint32_t i = 0; live != NULL && i < VARVE_BITMAP_WORDS(n); i++)
        missed[i] &= live[i]; /* what is in no live cell need not come back */
    const uint32_t exceptions = (uint32_t)varve_bitmap_count(missed, n);
    const size_t rest = VARVE_BLOCK_HEADER_SIZE + SCALE_SIZE + (size_t)exceptions * size +
                        varve_pack_size(exceptions, varve_bit_length(n - 1));
    if (rest >= most)
        return false;
    varve_block_header_write(out, VARVE_CODEC_ALP, lane, block_flags, n);
    varve_write_u8(out, scale.mode);
    varve_write_u8(out, scale.e);
    varve_write_u8(out, scale.f);
    varve_write_u16(out, (uint16_t)exceptions);
    k->int_stats(ints, n, &stats);
    if (!varve_ints_encode(k, ints, n, VARVE_LANE_I64, 0, 0, &stats, most - rest, out)) {
        out->size = start;
        return false;
    }
    write_exceptions(values, size, n, missed, out);
    return true;
}

/* ------------------------------------------------------------------------------------- Decoding */

static uint32_t row_of(const struct varve_block *block, uint32_t exception)
{
    uint64_t row;

    varve_unpack_u64(block->extra.data, exception, 1, block->width2, &row);
    return (uint32_t)row;
}

/* The first exception at row `first` or after it; the one before was seen to be below. */
static uint32_t exception_at(const struct varve_block *block, uint32_t first)
{
    uint32_t low = 0, high = block->runs;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (row_of(block, middle) < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Put the exceptions of rows [first, first + n) in their places. */
static varve_status put_exceptions(const struct varve_block *block, uint32_t first, uint32_t n,
                                   uint8_t *out, varve_error *err)
{
    const uint32_t size = varve_lane_size(block->lane);
    uint32_t at = first == 0 ? 0 : exception_at(block, first);
    uint32_t least = first; /* rows ascend, so the next is this or above */
    uint64_t rows[AT_ONCE];

    for (uint32_t take; at < block->runs && least < first + n; at += take) {
        const uint32_t room = first + n - least; /* no more of them can be wanted */
        take = block->runs - at < AT_ONCE ? block->runs - at : AT_ONCE;
        take = take < room ? take : room;
        varve_unpack_u64(block->extra.data, at, take, block->width2, rows);
        for (uint32_t i = 0; i < take; i++) {
            if (rows[i] < least || rows[i] >= block->n)
                return corrupt(err, "rows of exceptions");
            if (rows[i] >= first + n)
                return VARVE_OK;
            memcpy(out + (size_t)(rows[i] - first) * size,
                   block->raw.data + (size_t)(at + i) * size, size);
            least = (uint32_t)rows[i] + 1;
        }
    }
    return VARVE_OK;
}

varve_status varve_alp_decode(const struct varve_kernels *k, const struct varve_block *block,
                              uint32_t first, uint32_t n, void *out, varve_error *err)
{
    _Alignas(64) int64_t ints[VARVE_VECTOR_ROWS];
    const struct varve_alp_powers by = varve_alp_powers_of(block->scale);
    struct varve_block inner;
    varve_status rc = varve_block_open_inner(block->payload, VARVE_LANE_I64, block->n, &inner, err);

    if (rc == VARVE_OK)
        rc = varve_block_decode_ints(k, &inner, first, n, ints, err);
    if (rc < 0)
        return rc;
    const bool sound = block->lane == VARVE_LANE_F32 ? k->alp_f32(ints, n, &by, out)
                                                     : k->alp_f64(ints, n, &by, out);
    if (!sound)
        return corrupt(err, "an integer out of range");
    return block->runs == 0 ? VARVE_OK : put_exceptions(block, first, n, out, err);
}
