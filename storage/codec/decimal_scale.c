/*
 * decimal_scale.c - whether the floats of a vector are decimals, and by which powers of ten.
 *
 * Place.   block_alp.c asks before it tries all rows. The answer is a guess from a sample: a wrong one
 *          costs bytes and never a bit of a value.
 *
 * Columns that are no decimals pay for a few values of each vector: a double that some decimal of d
 * digits names is also named with more digits, as long as the integer has room, so that one try for
 * each value is enough. Of doubles whose integer just fits, a third have a name by chance; so either
 * half of the values must have short integers, or all must have a name.
 *
 * Callers have entered the default floating-point mode (float_mode.h).
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/base/float_mode.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define SAMPLED 32u  /* values that the scale is chosen by */
#define PROBED 8u    /* of them, those that tell whether to go on */
#define COST_ROW 10u /* bits of an exception's row, as far as the choice is concerned */
#define ZEROS_MIN 3u /* that a double next to a decimal ends in */
#define INT_SHORT (INT64_C(1) << 44) /* integers below it are no chance, of doubles */
#define FLOAT_INT_SHORT (1 << 20)    /* and of floats */
#define FLOAT_INT_MAX (1 << 24)      /* floats have no more bits */

static const double powers_of_ten[VARVE_ALP_EXPONENT_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
static const double inverse_powers[VARVE_ALP_EXPONENT_MAX + 1] = {
    1e0,   1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8, 1e-9,
    1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18};

struct varve_alp_powers varve_alp_powers_of(struct varve_alp_scale scale)
{
    assert(varve_alp_scale_is_sound(scale));
    return (struct varve_alp_powers){.divides = scale.mode == VARVE_ALP_DIV,
                                     .e = powers_of_ten[scale.e],
                                     .e_inverse = inverse_powers[scale.e],
                                     .f = powers_of_ten[scale.f],
                                     .f_inverse = inverse_powers[scale.f]};
}

/* --------------------------------------------------------------------------------------- Digits */

/* What a decimal needs: the value is integer / 10^digits, or next to it. */
struct decimal {
    int64_t integer;
    uint32_t digits;
    bool exact;
};

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/*
 * The integer that over 10^digits is the value, or the double next to it; false: none is. `single`:
 * the value is a float. The nearest decimal's product with 10^digits is off by at most half a unit of
 * the value's last place, a neighbour's by one more, and half a unit of the product's own.
 */
static bool is_named(double value, uint32_t digits, bool single, struct decimal *ret)
{
    const double scaled = value * powers_of_ten[digits];

    if (!(scaled > (double)VARVE_ALP_INT_MIN && scaled < (double)VARVE_ALP_INT_MAX))
        return false;
    ret->integer = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    if (fabs(scaled - (double)ret->integer) > fabs(scaled) * (single ? 0x1.8p-24 : 0x1p-51))
        return false;
    const double given = (double)ret->integer / powers_of_ten[digits];
    const uint64_t off = bits_of(single ? (double)(float)given : given) - bits_of(value);
    ret->digits = digits;
    ret->exact = off == 0;
    return off == 0 || (off + 1 <= 2 && !single && ret->integer != 0);
}

/* Floats have too few bits for the rule below: with enough digits each has a name. So the fewest
 * digits are sought. */
static bool find_float_digits(double value, struct decimal *ret)
{
    for (uint32_t digits = 0; digits <= VARVE_ALP_EXPONENT_MAX; digits++) {
        if (!(fabs(value * powers_of_ten[digits]) < FLOAT_INT_MAX))
            return false;
        if (is_named(value, digits, true, ret))
            return true;
    }
    return false;
}

/* Products with 10^-e are often next to what the decimal is. So are doubles that are none, by chance,
 * but then the digits do not end in zeros. */
static bool find_digits(double value, struct decimal *ret)
{
    const int exponent = (int)(bits_of(value) >> 52 & 0x7ff) - 1023; /* below 2^(exponent + 1) */

    if (exponent > 50)
        return false;
    /* 1233 / 4096 is just below log10(2), so that these digits leave room, and one more may. */
    const uint32_t most =
        exponent < -10 ? VARVE_ALP_EXPONENT_MAX : (uint32_t)(50 - exponent) * 1233u >> 12;
    if ((most == VARVE_ALP_EXPONENT_MAX || !is_named(value, most + 1, false, ret)) &&
        !is_named(value, most, false, ret))
        return false;
    const uint32_t tried = ret->digits;
    for (; ret->digits > 0 && ret->integer % 10 == 0; ret->digits--)
        ret->integer /= 10;
    return ret->exact || ret->digits + ZEROS_MIN <= tried;
}

static bool find_decimal(double value, bool single, struct decimal *ret)
{
    return single ? find_float_digits(value, ret) : find_digits(value, ret);
}

/* --------------------------------------------------------------------------------------- Sample */

struct sample {
    uint32_t n;
    bool single;
    double values[SAMPLED]; /* floats widened */
    float floats[SAMPLED];  /* as they are */
};

/* Value i of the sample's: one of each part of the vector, not all in step. */
static double sampled(const void *values, bool single, uint32_t n, uint32_t i)
{
    uint32_t row = i;

    if (n > SAMPLED) {
        const uint32_t part = i * n / SAMPLED, next = (i + 1) * n / SAMPLED;
        row = part + (i * 13 + 5) % SAMPLED * (next - part) / SAMPLED;
    }
    return single ? (double)((const float *)values)[row] : ((const double *)values)[row];
}

/* Whether values are decimals as a rule, as far as a few of them tell. */
static bool look_like_decimals(const void *values, bool single, uint32_t n)
{
    const uint32_t step = n < SAMPLED ? 1 : SAMPLED / PROBED;
    uint32_t finite = 0, named = 0, brief = 0;

    for (uint32_t probe = 0; probe * step < n && probe * step < SAMPLED; probe++) {
        const double value = sampled(values, single, n, probe * step + probe % step);
        struct decimal decimal;
        if (!isfinite(value))
            continue;
        finite++;
        if (!find_decimal(value, single, &decimal))
            continue;
        const int64_t limit = single ? FLOAT_INT_SHORT : INT_SHORT;
        named++;
        brief += decimal.integer > -limit && decimal.integer < limit;
    }
    return finite > 0 && (named == finite || brief * 2 >= finite);
}

/* Bit d of the answer: some value needs d digits. */
static uint32_t take_sample(const void *values, bool single, uint32_t n, struct sample *ret)
{
    uint32_t digits = 0;

    ret->n = n < SAMPLED ? n : SAMPLED;
    ret->single = single;
    for (uint32_t i = 0; i < ret->n; i++) {
        const double value = sampled(values, single, n, i);
        struct decimal decimal;
        ret->values[i] = value;
        ret->floats[i] = single ? (float)value : 0;
        if (find_decimal(value, single, &decimal))
            digits |= (uint32_t)1 << decimal.digits;
    }
    return digits;
}

/* Values that a scale misses, and the bits that all would take packed. */
static uint32_t try_scale(const struct varve_kernels *k, const struct sample *sample,
                          struct varve_alp_scale scale, uint32_t *ret_cost)
{
    const struct varve_alp_powers by = varve_alp_powers_of(scale);
    const void *values = sample->single ? (const void *)sample->floats : sample->values;
    int64_t ints[SAMPLED], min = INT64_MAX, max = INT64_MIN;
    uint64_t missed[1];

    k->alp_ints(values, sample->n, &by, sample->single, ints, missed);
    for (uint32_t i = 0; i < sample->n; i++) {
        if (varve_bit_get(missed, i))
            continue;
        min = ints[i] < min ? ints[i] : min;
        max = ints[i] > max ? ints[i] : max;
    }
    const uint32_t count = (uint32_t)varve_bitmap_count(missed, sample->n);
    const uint32_t width = count == sample->n ? 0 : varve_bit_length((uint64_t)max - (uint64_t)min);
    *ret_cost = sample->n * width + count * ((sample->single ? 32u : 64u) + COST_ROW);
    return count;
}

/* The mode that misses fewest with `digits`; of equals multiplying, then the greater e. */
static struct varve_alp_scale choose_mode(const struct varve_kernels *k,
                                          const struct sample *sample, uint32_t digits)
{
    struct varve_alp_scale best = {VARVE_ALP_DIV, (uint8_t)digits, 0};
    uint32_t cost, least = try_scale(k, sample, best, &cost) + 1;

    for (uint32_t e = VARVE_ALP_EXPONENT_MAX + 1; e-- > digits && least > 0;) {
        const struct varve_alp_scale scale = {VARVE_ALP_MUL, (uint8_t)e, (uint8_t)(e - digits)};
        const uint32_t missed = try_scale(k, sample, scale, &cost);
        if (missed >= least)
            continue;
        least = missed;
        best = scale;
    }
    return best;
}

bool varve_decimal_scale(const struct varve_kernels *k, const void *values, bool single, uint32_t n,
                         struct varve_alp_scale *ret_scale)
{
    struct sample sample;

    if (!look_like_decimals(values, single, n))
        return false;
    const uint32_t digits = take_sample(values, single, n, &sample);
    /* At least an eighth must be saved, as far as the sample tells. */
    uint32_t best = sample.n * (single ? 28u : 56u), chosen = UINT32_MAX, cost;
    for (uint32_t d = 0; d <= VARVE_ALP_EXPONENT_MAX; d++) {
        if ((digits >> d & 1) == 0)
            continue;
        for (uint8_t mode = VARVE_ALP_MUL; mode <= VARVE_ALP_DIV; mode++) {
            const struct varve_alp_scale scale = {mode, (uint8_t)d, 0};
            (void)try_scale(k, &sample, scale, &cost);
            if (cost >= best)
                continue;
            best = cost;
            chosen = d;
        }
    }
    if (chosen == UINT32_MAX)
        return false;
    *ret_scale = choose_mode(k, &sample, chosen);
    return true;
}
