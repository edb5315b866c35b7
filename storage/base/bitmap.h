/*
 * bitmap.h - bit sets in uint64_t words, least significant bit first (Arrow's order).
 */
#ifndef VARVE_BASE_BITMAP_H
#define VARVE_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARVE_BITMAP_WORDS(bits) (((size_t)(bits) + 63) / 64)

static inline bool varve_bit_get(const uint64_t *bits, size_t i)
{
    return (bits[i >> 6] >> (i & 63)) & 1;
}
static inline void varve_bit_set(uint64_t *bits, size_t i)
{
    bits[i >> 6] |= (uint64_t)1 << (i & 63);
}
static inline void varve_bit_clear(uint64_t *bits, size_t i)
{
    bits[i >> 6] &= ~((uint64_t)1 << (i & 63));
}

/* Number of set bits among the first `n`. */
size_t varve_bitmap_count(const uint64_t *bits, size_t n);
/* Set bits [first, first + n). */
void varve_bitmap_set_range(uint64_t *bits, size_t first, size_t n);
/* Copy n bits from src at src_first to dst at dst_first; other bits of dst stay. No overlap. */
void varve_bitmap_copy(uint64_t *dst, size_t dst_first, const uint64_t *src, size_t src_first,
                       size_t n);
/* The first set bit at or after `from` and below `n`, or n. */
size_t varve_bitmap_next(const uint64_t *bits, size_t from, size_t n);

#endif
