/*
 * oracle_sum.c - exact sums of the oracle: schoolbook arithmetic on one very long integer.
 */
#include <math.h>
#include <string.h>

#include "tests/model/oracle.h"

#define WORDS (sizeof((struct oracle_sum *)0)->words / sizeof(uint64_t))
__extension__ typedef unsigned __int128 u128;

static void add_at(uint64_t *words, size_t word, u128 value)
{
    u128 carry = value;

    for (size_t i = word; i < WORDS && carry != 0; i++) {
        const u128 sum = (u128)words[i] + (uint64_t)carry;
        words[i] = (uint64_t)sum;
        carry = (carry >> 64) + (sum >> 64);
    }
}

static void negate(uint64_t *words)
{
    for (size_t i = 0; i < WORDS; i++)
        words[i] = ~words[i];
    add_at(words, 0, 1);
}

void oracle_sum_add(struct oracle_sum *sum, double value)
{
    sum->count++;
    if (isnan(value)) {
        sum->nan++;
    } else if (isinf(value)) {
        value > 0 ? sum->positive_infinite++ : sum->negative_infinite++;
    } else if (value == 0) {
        sum->negative_zero += signbit(value) != 0;
    } else {
        int exponent;
        const double fraction = frexp(fabs(value), &exponent); /* in [0.5, 1) */
        const int low = exponent - 53 < -1074 ? -1074 : exponent - 53;
        const uint64_t mantissa = (uint64_t)ldexp(fraction, exponent - low);
        const unsigned shift = (unsigned)(low + 1074);
        if (value < 0) /* -(x + m) = -x - m */
            negate(sum->words);
        add_at(sum->words, shift / 64, (u128)mantissa << shift % 64);
        if (value < 0)
            negate(sum->words);
    }
}

static bool bit_of(const uint64_t *words, int bit)
{
    return bit >= 0 && (words[bit / 64] >> bit % 64 & 1) != 0;
}

/* `top` is the number of the highest bit set; bit 0 is worth 2^unit. */
static double round_bits(const uint64_t *words, int top, int unit, bool sticky)
{
    int low = top - 52;
    uint64_t mantissa = 0;

    if (unit == -1074 && low < 0)
        low = 0; /* what is below does not exist */
    for (int bit = top; bit >= low; bit--)
        mantissa = mantissa << 1 | (bit_of(words, bit) ? 1 : 0);
    for (int bit = low - 2; bit >= 0 && !sticky; bit--)
        sticky = bit_of(words, bit);
    if (bit_of(words, low - 1) && (sticky || (mantissa & 1) != 0))
        mantissa++;
    return ldexp((double)mantissa, low + unit);
}

double oracle_sum_round(const struct oracle_sum *sum)
{
    struct oracle_sum copy = *sum;
    const bool negative = sum->words[WORDS - 1] >> 63 != 0;
    int top = (int)WORDS * 64 - 1;

    if (sum->nan > 0 || (sum->positive_infinite > 0 && sum->negative_infinite > 0))
        return NAN;
    if (sum->positive_infinite + sum->negative_infinite > 0)
        return sum->positive_infinite > 0 ? INFINITY : -INFINITY;
    if (negative)
        negate(copy.words);
    while (top >= 0 && !bit_of(copy.words, top))
        top--;
    if (top < 0)
        return sum->count > 0 && sum->negative_zero == sum->count ? -0.0 : 0.0;
    const double rounded = round_bits(copy.words, top, -1074, false);
    return negative ? -rounded : rounded;
}

double oracle_ratio(oracle_i128 numerator, uint64_t count, int scale)
{
    u128 dividend = numerator < 0 ? -(u128)numerator : (u128)numerator, divisor = count;
    uint64_t words[3] = {0};

    for (int i = 0; i < scale; i++)
        divisor *= 10;
    if (dividend == 0)
        return 0.0;
    /* The whole part, then binary places until 192 bits are full or 64 follow the first one. */
    u128 whole = dividend / divisor, rest = dividend % divisor;
    int places = 0, significant = 0;
    words[0] = (uint64_t)whole;
    words[1] = (uint64_t)(whole >> 64);
    for (u128 w = whole; w != 0; w >>= 1)
        significant++;
    while (significant < 60) {
        rest <<= 1;
        const bool one = rest >= divisor;
        rest -= one ? divisor : 0;
        words[2] = words[2] << 1 | words[1] >> 63;
        words[1] = words[1] << 1 | words[0] >> 63;
        words[0] = words[0] << 1 | (one ? 1 : 0);
        places++;
        significant += significant > 0 || one ? 1 : 0;
    }
    int top = 191;
    while (!bit_of(words, top))
        top--;
    const double rounded = round_bits(words, top, -places, rest != 0);
    return numerator < 0 ? -rounded : rounded;
}
