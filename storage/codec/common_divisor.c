/*
 * common_divisor.c - the greatest number that divides every offset of a packed block.
 *
 * Columns often hold multiples: prices of a tick size, volumes of a lot size, times of a second.
 * block_encode.c asks here and packs quotients. Three steps, so that columns without a divisor pay
 * close to nothing: a few offsets must all be multiples of 2, of 3, of 5 or of 7, else there is
 * none worth having; the divisor of a few offsets is a guess, and a multiple of what is sought;
 * then all offsets are tested against the guess, which shrinks where it fails.
 *
 * Testing divides nothing. A guess is odd * 2^shift, and `inverse` is that of the odd part modulo
 * 2^64. Multiplying by it permutes the numbers below 2^64 and takes a multiple of the odd part to
 * its quotient, so any other number goes above (2^64 - 1) / odd: it shows in the high bits.
 */
#include <assert.h>

#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define SIEVED 32u /* offsets looked at for a factor */
#define GUESSED 8u /* offsets that the guess is made from */
#define TESTED 64u /* offsets tested together */

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

struct varve_divider varve_divider_of(uint64_t divisor)
{
    struct varve_divider divider = {.divisor = divisor};
    uint64_t odd = divisor;

    assert(divisor > 0);
    for (; odd % 2 == 0; odd /= 2)
        divider.shift++;
    divider.inverse = odd; /* right in its low 3 bits, and in twice as many after each step */
    for (uint32_t bits = 3; bits < 64; bits *= 2)
        divider.inverse *= 2 - odd * divider.inverse;
    return divider;
}

static uint64_t offset_of(const int64_t *values, uint32_t row, int64_t base, bool deltas)
{
    const uint64_t from = deltas ? (uint64_t)values[row - 1] : 0;
    return (uint64_t)values[row] - from - (uint64_t)base;
}

/* Whether some offsets from all over are all multiples of the same small prime. */
static bool passes_sieve(const int64_t *values, uint32_t n, int64_t base, bool deltas)
{
    uint32_t primes = 15;

    for (uint32_t i = 0; i < SIEVED && primes != 0; i++) {
        const uint64_t x = offset_of(values, 1 + i * (n - 1) / SIEVED, base, deltas);
        primes &= (uint32_t)(x % 2 == 0) | (uint32_t)(x % 3 == 0) << 1 |
                  (uint32_t)(x % 5 == 0) << 2 | (uint32_t)(x % 7 == 0) << 3;
    }
    return primes != 0;
}

/*
 * Whether n offsets of at most `range` are multiples. With range below 2^62 the widest quotient has
 * w bits with 2^w <= 2 * range / divisor < 2^63 / odd, and what is no quotient is at least
 * 2^64 / odd: the bits from w on tell them apart.
 */
static bool divides_all(const struct varve_kernels *k, const uint64_t *offsets, uint32_t n,
                        const struct varve_divider *by, uint64_t range)
{
    const uint32_t width = varve_bit_length(range / by->divisor);
    uint64_t any, quotients;

    k->divided_bits(offsets, n, by->shift, by->inverse, &any, &quotients);
    return (any & (((uint64_t)1 << by->shift) - 1)) == 0 && quotients >> width == 0;
}

uint64_t varve_common_divisor(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                              int64_t base, bool deltas, uint64_t range)
{
    uint64_t offsets[VARVE_VECTOR_ROWS];
    struct varve_divider by = {0};
    uint64_t divisor = 0;

    assert(range < VARVE_DIVIDED_RANGE_MAX && n <= VARVE_VECTOR_ROWS);
    if (n < VARVE_DIVISOR_ROWS_MIN || range < 2 || !passes_sieve(values, n, base, deltas))
        return 1;
    (deltas ? k->delta_u64 : k->residual_u64)(values, n, base, offsets);
    for (uint32_t i = 0; i < GUESSED; i++)
        divisor = greatest_divisor(offsets[1 + i * (n - 1) / GUESSED], divisor);
    for (uint32_t at = 0; at < n && divisor != 1; at += TESTED) {
        const uint32_t rows = n - at < TESTED ? n - at : TESTED;
        if (divisor != 0 && by.divisor != divisor)
            by = varve_divider_of(divisor);
        if (divisor != 0 && divides_all(k, offsets + at, rows, &by, range))
            continue;
        for (uint32_t j = at; j < at + rows && divisor != 1; j++)
            divisor = greatest_divisor(offsets[j], divisor);
    }
    return divisor;
}
