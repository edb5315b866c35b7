/*
 * exact.h - sums that are exact, so that they depend on no order, layout or instruction set.
 *
 * Integers and decimals: 128 bits (an int64 times 2^63 rows cannot overflow them). Floating point:
 * the real sum of the values, rounded once to nearest even, kept in a wide fixed-point accumulator
 * (a superaccumulator: after R. M. Neal, "Fast exact summation using small and large
 * superaccumulators", 2015). NaN and infinities are counted apart and decide by IEEE rules.
 * Threads: none; a value is owned by one thread.
 */
#ifndef VARVE_BASE_EXACT_H
#define VARVE_BASE_EXACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef __int128 varve_i128;
__extension__ typedef unsigned __int128 varve_u128;

/* A partial sum of finite doubles that fits (mantissa x 2^exponent exactly), for zone maps. Made by
 * varve_exact_partial_of() the mantissa is odd, or both are 0: equal sums are equal bytes. */
struct varve_exact_partial {
    varve_i128 mantissa;
    int16_t exponent;
};

/* The sum of any doubles. All zero is an empty sum. */
struct varve_exact_sum {
    int64_t limb[70]; /* 32-bit digits in 64-bit limbs, carries propagated before they overflow */
    uint32_t pending; /* additions since the last carry propagation */
    uint32_t flags;   /* tells an empty sum and one of -0.0 only from other zeros */
    uint64_t nan, pos_inf, neg_inf;
};

/*
 * How far apart values are, by the upper halves of their bits without the sign: all that deciding how
 * to add them takes, and quick to find with vector instructions. So those who have kernels make spans
 * with them (kernels.h), and hand them to the calls that are named for it; the others make their own.
 */
struct varve_exact_span {
    uint32_t most;      /* the greatest upper half */
    uint32_t least;     /* the least one minus 1; zeros wrap to the greatest number */
    uint32_t subnormal; /* not 0: some value is neither zero nor normal */
};

static inline struct varve_exact_span varve_exact_span_of(const double *values, size_t n)
{
    struct varve_exact_span span = {0, UINT32_MAX, 0};

    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint32_t high = (uint32_t)(bits >> 32) & INT32_MAX;
        span.most = high > span.most ? high : span.most;
        span.least = high - 1 < span.least ? high - 1 : span.least;
        span.subnormal |= high < 0x00100000 ? high | (uint32_t)bits : 0;
    }
    return span;
}

#define VARVE_EXACT_BLOCK 1024u /* values that have one span */

void varve_exact_reset(struct varve_exact_sum *sum);
void varve_exact_add(struct varve_exact_sum *sum, const double *values, size_t n);
/* At most VARVE_EXACT_BLOCK values, of this span. */
void varve_exact_add_block(struct varve_exact_sum *sum, const double *values, size_t n,
                           const struct varve_exact_span *span);
void varve_exact_add_f32(struct varve_exact_sum *sum, const float *values, size_t n);
/* Whether a partial read from a file can be a sum of doubles at all: exponent at least -1074, and
 * below 2^1088 in magnitude. */
bool varve_exact_partial_valid(const struct varve_exact_partial *p);
/* `p` must be valid. */
void varve_exact_add_partial(struct varve_exact_sum *sum, const struct varve_exact_partial *p);
void varve_exact_merge(struct varve_exact_sum *sum, const struct varve_exact_sum *other);
/* The real sum, rounded once. -0.0 only if every addend was -0.0 (an empty sum is 0.0). */
double varve_exact_round(const struct varve_exact_sum *sum);
/* The rounded sum divided by count (IEEE division of the rounded sum). count > 0. */
double varve_exact_mean(const struct varve_exact_sum *sum, uint64_t count);

/* The exact sum of n finite doubles of this span as a partial: false if the exponent span does not fit in 126
 * bits with n values, if one is not finite, if all are -0.0, or if there are none (then the caller
 * reads the values instead). A function of the values alone, not of their order. */
bool varve_exact_partial_of(const double *values, size_t n, const struct varve_exact_span *span,
                            struct varve_exact_partial *ret);

/*
 * Short runs. The sum of up to VARVE_EXACT_RUN doubles is high + low, where `high` adds what
 * (value + splitter) - splitter leaves of each value and `low` adds the rests: all additions within
 * a half are exact, in any order, and high + low rounds the real sum once. (Of zeros alone it says
 * 0.0, whatever their signs.)
 */
#define VARVE_EXACT_RUN 128u
struct varve_exact_halves {
    double high, low;
};
/* The splitter for any values of this span; false if they are too far apart, or not all finite, or
 * all zero, or if the processor does not round to nearest. */
bool varve_exact_splitter(const struct varve_exact_span *span, double *ret_splitter);
/* Add a run whose halves are not both zero. */
void varve_exact_add_halves(struct varve_exact_sum *sum, const struct varve_exact_halves *halves);

/* The quotient sum / (count x 10^scale) of an integer or decimal column, rounded once. count > 0,
 * 0 <= scale <= 18. */
double varve_exact_ratio(varve_i128 sum, uint64_t count, int scale);

#endif
