/*
 * decimal_mean.c - the mean of bare decimals, whose scale may be anything from -128 to 127: the exact
 * quotient total / (count x 10^scale), rounded once to nearest even.
 *
 * Plain long division in binary on numbers of a few hundred bits. It is the rare case: within the
 * scales that columns can declare, varve_exact_ratio() is asked.
 */
#include "storage/scan/groups_int.h"

#include <assert.h>
#include <math.h>

#define DIGITS 24 /* of 32 bits: 128 + 426 bits of value, and room to shift by 57 */
#define QUOTIENT_BITS 57

struct wide {
    uint32_t digit[DIGITS];
};

static struct wide wide_of(varve_u128 value)
{
    struct wide w = {{0}};

    for (int i = 0; i < 4; i++)
        w.digit[i] = (uint32_t)(value >> 32 * i);
    return w;
}

static void times_ten(struct wide *w)
{
    uint64_t carry = 0;

    for (int i = 0; i < DIGITS; i++) {
        carry += (uint64_t)w->digit[i] * 10;
        w->digit[i] = (uint32_t)carry;
        carry >>= 32;
    }
    assert(carry == 0);
}

static int bit_length(const struct wide *w)
{
    int i = DIGITS - 1;

    while (i >= 0 && w->digit[i] == 0)
        i--;
    return i < 0 ? 0 : 32 * i + 32 - __builtin_clz(w->digit[i]);
}

static void shift_left(struct wide *w, int bits)
{
    const int digits = bits / 32, rest = bits % 32;

    assert(bits >= 0 && bit_length(w) + bits <= 32 * DIGITS);
    for (int i = DIGITS - 1; i >= 0; i--) {
        uint64_t two = 0;
        if (i >= digits)
            two = (uint64_t)w->digit[i - digits] << 32;
        if (i > digits)
            two |= w->digit[i - digits - 1];
        w->digit[i] = (uint32_t)(two << rest >> 32);
    }
}

static void halve(struct wide *w)
{
    for (int i = 0; i < DIGITS; i++) {
        const uint32_t above = i + 1 < DIGITS ? w->digit[i + 1] : 0;
        w->digit[i] = w->digit[i] >> 1 | above << 31;
    }
}

/* Subtract if the result is not negative. */
static bool take_away(struct wide *from, const struct wide *what)
{
    struct wide rest;
    int64_t borrow = 0;

    for (int i = 0; i < DIGITS; i++) {
        borrow += (int64_t)from->digit[i] - (int64_t)what->digit[i];
        rest.digit[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    if (borrow == 0)
        *from = rest;
    return borrow == 0;
}

double varve_decimal_mean(varve_i128 total, uint64_t count, int scale)
{
    assert(count > 0 && scale >= -128 && scale <= 127);
    if (total == 0)
        return 0.0;
    struct wide dividend = wide_of(total < 0 ? -(varve_u128)total : (varve_u128)total);
    struct wide divisor = wide_of(count);
    uint64_t quotient = 0;

    for (; scale > 0; scale--)
        times_ten(&divisor);
    for (; scale < 0; scale++)
        times_ten(&dividend);
    /* Bring the quotient to QUOTIENT_BITS or one bit less. */
    const int shift = bit_length(&divisor) + QUOTIENT_BITS - 1 - bit_length(&dividend);
    if (shift > 0)
        shift_left(&dividend, shift);
    else
        shift_left(&divisor, -shift);
    shift_left(&divisor, QUOTIENT_BITS - 1);
    for (int i = QUOTIENT_BITS - 1; i >= 0; i--, halve(&divisor))
        quotient |= (uint64_t)take_away(&dividend, &divisor) << i;
    /* 56 or 57 bits: the last one tells whether anything is left, and no tie can hide behind it. */
    if (bit_length(&dividend) > 0)
        quotient |= 1;
    uint64_t mantissa = quotient;
    int dropped = 0;
    while (mantissa >> 53 != 0) {
        mantissa >>= 1;
        dropped++;
    }
    const uint64_t cut = quotient & (((uint64_t)1 << dropped) - 1);
    const uint64_t half = (uint64_t)1 << (dropped - 1);
    if (cut > half || (cut == half && (mantissa & 1) != 0))
        mantissa++;
    const double result = ldexp((double)mantissa, dropped - shift);
    return total < 0 ? -result : result;
}
