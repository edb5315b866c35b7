/*
 * bitmap.c - ranges of bits, a word at a time.
 */
#include "storage/base/bitmap.h"

static uint64_t low_mask(size_t n) /* n: 0 .. 64 */
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

size_t varve_bitmap_count(const uint64_t *bits, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n / 64; i++)
        count += (size_t)__builtin_popcountll(bits[i]);
    if (n % 64 != 0)
        count += (size_t)__builtin_popcountll(bits[n / 64] & low_mask(n % 64));
    return count;
}

void varve_bitmap_set_range(uint64_t *bits, size_t first, size_t n)
{
    while (n > 0) {
        const size_t shift = first & 63;
        const size_t take = n < 64 - shift ? n : 64 - shift;
        bits[first >> 6] |= low_mask(take) << shift;
        first += take;
        n -= take;
    }
}

/* Up to 64 bits from position `first`. */
static uint64_t fetch(const uint64_t *bits, size_t first, size_t n)
{
    const size_t shift = first & 63;
    uint64_t word = bits[first >> 6] >> shift;

    if (shift + n > 64)
        word |= bits[(first >> 6) + 1] << (64 - shift);
    return word & low_mask(n);
}

void varve_bitmap_copy(uint64_t *dst, size_t dst_first, const uint64_t *src, size_t src_first,
                       size_t n)
{
    while (n > 0) {
        const size_t shift = dst_first & 63;
        const size_t take = n < 64 - shift ? n : 64 - shift;
        uint64_t *word = &dst[dst_first >> 6];
        *word = (*word & ~(low_mask(take) << shift)) | fetch(src, src_first, take) << shift;
        dst_first += take;
        src_first += take;
        n -= take;
    }
}

size_t varve_bitmap_next(const uint64_t *bits, size_t from, size_t n)
{
    while (from < n) {
        const uint64_t word = bits[from >> 6] >> (from & 63);
        if (word != 0) {
            const size_t at = from + (size_t)__builtin_ctzll(word);
            return at < n ? at : n;
        }
        from = (from | 63) + 1;
    }
    return n;
}
