/*
 * exact.c - exact sums of doubles in a wide fixed-point accumulator, and exact quotients.
 *
 * A finite double is m x 2^(e - 1075) with an integer m < 2^53 and e in 1 .. 2046 (denormals have
 * e = 1). The accumulator holds the sum as a number in units of 2^-1074, in 32-bit digits kept in
 * 64-bit limbs, so that many additions fit before carries must move. A block of values whose
 * exponents lie close together is first added as plain integers, which is the usual case.
 */
#include "storage/base/exact.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define LIMBS 70
#define PENDING_MAX (1u << 29)
#define BLOCK 1024u
#define SOME_ADDEND 1u  /* flags in `reserved`: there was an addend, ... */
#define NOT_NEG_ZERO 2u /* ... and one that was not -0.0 */

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t exponent_of(uint64_t bits)
{
    return (uint32_t)(bits >> 52) & 2047;
}

void varve_exact_reset(struct varve_exact_sum *sum)
{
    memset(sum, 0, sizeof *sum);
}

/* Bring every digit but the top one to 0 .. 2^32 - 1. */
static void propagate(struct varve_exact_sum *sum)
{
    int64_t carry = 0;

    for (int i = 0; i < LIMBS - 1; i++) {
        const int64_t digit = sum->limb[i] + carry;
        sum->limb[i] = digit & 0xffffffff;
        carry = digit >> 32;
    }
    sum->limb[LIMBS - 1] += carry;
    sum->pending = 0;
}

/* Add value x 2^(position) units of 2^-1074. |value| < 2^127. */
static void add_integer(struct varve_exact_sum *sum, varve_i128 value, uint32_t position)
{
    varve_u128 magnitude = value < 0 ? -(varve_u128)value : (varve_u128)value;
    uint32_t limb = position / 32;
    const uint32_t shift = position % 32;
    uint64_t carried = 0;

    if (sum->pending >= PENDING_MAX)
        propagate(sum);
    sum->pending++;
    while (magnitude != 0 || carried != 0) {
        const uint64_t word = (((uint64_t)magnitude & 0xffffffff) << shift) | carried;
        const int64_t digit = (int64_t)(word & 0xffffffff);
        assert(limb < LIMBS);
        sum->limb[limb++] += value < 0 ? -digit : digit;
        carried = word >> 32;
        magnitude >>= 32;
    }
}

static void add_one(struct varve_exact_sum *sum, uint64_t bits)
{
    const uint32_t exponent = exponent_of(bits);
    const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    const bool negative = bits >> 63 != 0;

    if (exponent == 2047) {
        if (fraction != 0)
            sum->nan++;
        else if (negative)
            sum->neg_inf++;
        else
            sum->pos_inf++;
        return;
    }
    const int64_t m = (int64_t)(exponent == 0 ? fraction : fraction | (uint64_t)1 << 52);
    add_integer(sum, negative ? -m : m, exponent == 0 ? 0 : exponent - 1);
}

/* Least and greatest exponent of a block (as if 1 for denormals and zeros), and whether all values
 * are -0.0. Branch-free, so that it vectorises. */
struct spread {
    uint32_t low, high;
    bool all_negative_zero;
};

static struct spread spread_of(const double *values, size_t n)
{
    uint64_t low = 2047, high = 0, not_negative_zero = 0;

    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = bits_of(values[i]);
        const uint64_t exponent = bits >> 52 & 2047;
        const uint64_t bounded = bits << 1 == 0 ? 2046 : exponent; /* a zero widens nothing */
        low = bounded < low ? bounded : low;
        high = exponent > high ? exponent : high;
        not_negative_zero |= bits ^ (uint64_t)1 << 63;
    }
    return (struct spread){(uint32_t)(low == 0 ? 1 : low), (uint32_t)(high == 0 ? 1 : high),
                           not_negative_zero == 0};
}

/* The signed mantissa of a finite value, shifted so that its unit is 2^(low - 1075). */
static int64_t scaled(uint64_t bits, uint32_t low)
{
    const uint64_t exponent = bits >> 52 & 2047;
    const uint64_t implicit = exponent == 0 ? 0 : (uint64_t)1 << 52;
    const uint64_t m = (bits & (((uint64_t)1 << 52) - 1)) | implicit;
    const uint64_t shift = exponent > low ? exponent - low : 0;
    const int64_t v = (int64_t)(m << shift);
    const int64_t sign = -(int64_t)(bits >> 63);
    return (v ^ sign) - sign;
}

static uint32_t log2_ceil(size_t n)
{
    return n <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll((uint64_t)n - 1);
}

/* The sum of n finite values as an integer in units of 2^(low - 1075); false: it may not fit. */
static bool sum_close(const double *values, size_t n, struct spread spread, varve_i128 *ret)
{
    const uint32_t width = spread.high - (spread.low < spread.high ? spread.low : spread.high);

    if (width + 53 + log2_ceil(n) <= 63) {
        int64_t total = 0;
        for (size_t i = 0; i < n; i++)
            total += scaled(bits_of(values[i]), spread.low);
        *ret = total;
        return true;
    }
    if (width + 53 + log2_ceil(n) > 126)
        return false;
    varve_i128 total = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = bits_of(values[i]);
        const uint32_t exponent = exponent_of(bits);
        const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
        const uint64_t m = exponent == 0 ? fraction : fraction | (uint64_t)1 << 52;
        const uint32_t shift = exponent > spread.low ? exponent - spread.low : 0;
        const varve_i128 v = (varve_i128)((varve_u128)m << (m == 0 ? 0 : shift));
        total += bits >> 63 != 0 ? -v : v;
    }
    *ret = total;
    return true;
}

void varve_exact_add(struct varve_exact_sum *sum, const double *values, size_t n)
{
    while (n > 0) {
        const size_t take = n < BLOCK ? n : BLOCK;
        const struct spread spread = spread_of(values, take);
        varve_i128 total;

        sum->reserved |= SOME_ADDEND | (spread.all_negative_zero ? 0 : NOT_NEG_ZERO);
        if (spread.high < 2047 && sum_close(values, take, spread, &total)) {
            add_integer(sum, total, spread.low - 1);
        } else {
            for (size_t i = 0; i < take; i++)
                add_one(sum, bits_of(values[i]));
        }
        values += take;
        n -= take;
    }
}

void varve_exact_add_f32(struct varve_exact_sum *sum, const float *values, size_t n)
{
    double wide[BLOCK];

    while (n > 0) {
        const size_t take = n < BLOCK ? n : BLOCK;
        for (size_t i = 0; i < take; i++)
            wide[i] = (double)values[i];
        varve_exact_add(sum, wide, take);
        values += take;
        n -= take;
    }
}

void varve_exact_add_partial(struct varve_exact_sum *sum, const struct varve_exact_partial *p)
{
    varve_i128 mantissa = p->mantissa;
    int32_t position = p->exponent + 1074;

    sum->reserved |= SOME_ADDEND | NOT_NEG_ZERO;
    assert(position >= 0 && position < 2100);
    add_integer(sum, mantissa, (uint32_t)position);
}

void varve_exact_merge(struct varve_exact_sum *sum, const struct varve_exact_sum *other)
{
    struct varve_exact_sum copy = *other;

    propagate(&copy);
    propagate(sum);
    for (int i = 0; i < LIMBS; i++)
        sum->limb[i] += copy.limb[i];
    sum->pending = 2;
    sum->nan += other->nan;
    sum->pos_inf += other->pos_inf;
    sum->neg_inf += other->neg_inf;
    sum->reserved |= other->reserved;
}

bool varve_exact_partial_of(const double *values, size_t n, struct varve_exact_partial *ret)
{
    const struct spread spread = spread_of(values, n);
    struct varve_exact_partial partial;

    if (n == 0 || spread.high == 2047 || spread.all_negative_zero)
        return false;
    if (!sum_close(values, n, spread, &partial.mantissa))
        return false;
    partial.exponent = (int16_t)((int32_t)spread.low - 1075);
    *ret = partial;
    return true;
}

/* ------------------------------------------------------------------------------------ Rounding */

/* 32-bit digit i of a canonical non-negative number. */
static uint64_t digit(const struct varve_exact_sum *sum, int i)
{
    return i < 0 || i >= LIMBS ? 0 : (uint64_t)sum->limb[i];
}

/* Bits [position, position + 53) of a canonical non-negative number. */
static uint64_t bits_at(const struct varve_exact_sum *sum, uint32_t position)
{
    const int limb = (int)(position / 32);
    const uint32_t shift = position % 32;
    const uint64_t low = digit(sum, limb) | digit(sum, limb + 1) << 32;
    uint64_t word = low >> shift;

    if (shift != 0)
        word |= digit(sum, limb + 2) << (64 - shift);
    return word & (((uint64_t)1 << 53) - 1);
}

static bool any_below(const struct varve_exact_sum *sum, uint32_t position)
{
    const int limb = (int)(position / 32);

    for (int i = 0; i < limb; i++)
        if (sum->limb[i] != 0)
            return true;
    return (digit(sum, limb) & (((uint64_t)1 << (position % 32)) - 1)) != 0;
}

static double round_magnitude(const struct varve_exact_sum *sum)
{
    int top = LIMBS - 1;

    while (top >= 0 && sum->limb[top] == 0)
        top--;
    if (top < 0)
        return 0.0;
    const uint32_t high =
        (uint32_t)top * 32 + 63 - (uint32_t)__builtin_clzll((uint64_t)sum->limb[top]);
    if (high <= 52) /* below 2^53 units of 2^-1074: the bits are the double */
        return double_of(bits_at(sum, 0));
    const uint32_t low = high - 52;
    uint64_t mantissa = bits_at(sum, low);
    const bool half = (digit(sum, (int)((low - 1) / 32)) >> ((low - 1) % 32) & 1) != 0;
    if (half && (any_below(sum, low - 1) || (mantissa & 1) != 0))
        mantissa++;
    if (low + 1 >= 2047) /* a carry out of the mantissa is taken care of by the addition below */
        return HUGE_VAL;
    const uint64_t bits = ((uint64_t)low << 52) + mantissa;
    return bits >= (uint64_t)2047 << 52 ? HUGE_VAL : double_of(bits);
}

double varve_exact_round(const struct varve_exact_sum *sum)
{
    struct varve_exact_sum copy = *sum;

    if (sum->nan > 0 || (sum->pos_inf > 0 && sum->neg_inf > 0))
        return (double)NAN;
    if (sum->pos_inf > 0 || sum->neg_inf > 0)
        return sum->pos_inf > 0 ? HUGE_VAL : -HUGE_VAL;
    propagate(&copy);
    const bool negative = copy.limb[LIMBS - 1] < 0;
    if (negative) {
        for (int i = 0; i < LIMBS; i++)
            copy.limb[i] = -copy.limb[i];
        propagate(&copy);
    }
    const double magnitude = round_magnitude(&copy);
    if (magnitude == 0.0)
        return (sum->reserved & (SOME_ADDEND | NOT_NEG_ZERO)) == SOME_ADDEND ? -0.0 : 0.0;
    return negative ? -magnitude : magnitude;
}

double varve_exact_mean(const struct varve_exact_sum *sum, uint64_t count)
{
    assert(count > 0);
    return varve_exact_round(sum) / (double)count;
}

/* ------------------------------------------------------------------------------------ Quotient */

/* numerator / denominator rounded once to nearest even. denominator: 1 .. 2^126. */
static double divide(varve_u128 numerator, varve_u128 denominator)
{
    varve_u128 quotient = numerator / denominator;
    varve_u128 rest = numerator % denominator;
    int scale = 0;

    if (numerator == 0)
        return 0.0;
    while (quotient >> 55 == 0) { /* bring in 56 bits: 53, a rounding bit, and room */
        rest <<= 1;
        quotient <<= 1;
        if (rest >= denominator) {
            rest -= denominator;
            quotient |= 1;
        }
        scale--;
    }
    bool sticky = rest != 0;
    while (quotient >> 56 != 0) {
        sticky = sticky || (quotient & 1) != 0;
        quotient >>= 1;
        scale++;
    }
    uint64_t mantissa = (uint64_t)(quotient >> 3);
    const uint64_t cut = (uint64_t)quotient & 7;
    if (cut > 4 || (cut == 4 && (sticky || (mantissa & 1) != 0)))
        mantissa++;
    return ldexp((double)mantissa, scale + 3);
}

double varve_exact_ratio(varve_i128 sum, uint64_t count, int scale)
{
    varve_u128 numerator = sum < 0 ? -(varve_u128)sum : (varve_u128)sum;
    varve_u128 denominator = count;
    double result;

    assert(count > 0);
    while (scale > 0 && denominator < ((varve_u128)1 << 122)) {
        denominator *= 10;
        scale--;
    }
    while (scale < 0 && numerator < ((varve_u128)1 << 124)) {
        numerator *= 10;
        scale++;
    }
    result = divide(numerator, denominator);
    for (; scale > 0; scale--) /* scales that no decimal(p, s) has */
        result /= 10.0;
    for (; scale < 0; scale++)
        result *= 10.0;
    return sum < 0 ? -result : result;
}
