/*
 * bit_string.c - integers of equal width, one after the other, from the least significant bit on.
 *
 * Place.   Run ends, restart bases, state flips and small blocks; the run directories and zone maps
 *          of other formats. Whole vectors are packed in lanes instead (kernels.c).
 * Reading is total: it touches no byte outside varve_pack_size() of them.
 */
#include <assert.h>
#include <string.h>

#include "storage/codec/block_format.h"

uint32_t varve_bit_length(uint64_t value)
{
    return value == 0 ? 0 : 64u - (uint32_t)__builtin_clzll(value);
}

size_t varve_pack_size(uint32_t n, uint32_t width)
{
    assert(width <= 64);
    return (size_t)(((uint64_t)n * width + 7) / 8);
}

void varve_pack_u64(const uint64_t *in, uint32_t n, uint32_t width, uint8_t *out)
{
    const uint64_t mask = width == 0 ? 0 : UINT64_MAX >> (64 - width);
    uint64_t word = 0;   /* bits not yet written, lowest first */
    uint32_t filled = 0; /* below 64 */

    assert(width <= 64);
    if (width == 0)
        return;
    for (uint32_t j = 0; j < n; j++) {
        const uint64_t value = in[j] & mask;
        word |= value << filled;
        if (filled + width < 64) {
            filled += width;
            continue;
        }
        varve_put_u64(out, word);
        out += 8;
        word = filled == 0 ? 0 : value >> (64 - filled);
        filled = filled + width - 64;
    }
    for (; filled > 0; filled = filled > 8 ? filled - 8 : 0) {
        *out++ = (uint8_t)word;
        word >>= 8;
    }
}

struct varve_span varve_bit_string_read(struct varve_reader *r, uint32_t n, uint32_t width,
                                        bool *sound)
{
    const uint32_t used = (uint32_t)((uint64_t)n * width % 8);
    const struct varve_span bits = varve_read_bytes(r, varve_pack_size(n, width));

    if (!r->failed && used != 0 && bits.data[bits.size - 1] >> used != 0)
        *sound = false;
    return bits;
}

/* Up to 8 bytes at `p`, fewer at the end of the string. */
static uint64_t load_tail(const uint8_t *p, size_t left)
{
    uint64_t word = 0;
    if (left >= 8)
        return varve_get_u64(p);
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

void varve_unpack_u64(const uint8_t *in, uint32_t first, uint32_t n, uint32_t width, uint64_t *out)
{
    assert(width <= 64);
    if (n == 0)
        return;
    if (width == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    /* The caller owns the bytes up to the last value asked for, and maybe no more. */
    const size_t size = (size_t)((((uint64_t)first + n) * width + 7) / 8);
    const uint64_t mask = UINT64_MAX >> (64 - width);
    uint64_t bit = (uint64_t)first * width;
    uint32_t j = 0;

    /* Nearly all values lie in eight bytes, of which all are there. */
    for (; width <= 57 && j < n && (size_t)(bit / 8) + 8 <= size; j++, bit += width)
        out[j] = varve_get_u64(in + bit / 8) >> bit % 8 & mask;
    for (; j < n; j++, bit += width) {
        const size_t at = (size_t)(bit / 8);
        const uint32_t shift = (uint32_t)(bit % 8);
        uint64_t value = load_tail(in + at, size - at) >> shift;
        if (shift + width > 64)
            value |= (uint64_t)in[at + 8] << (64 - shift);
        out[j] = value & mask;
    }
}
