/*
 * exact.c - exact sums of floating point numbers, and quotients rounded once.
 *
 * The accumulator is a 2,240-bit fixed-point number whose bit 0 weighs 2^-1074, the least bit of
 * any double; limb i holds, signed and not yet carried, the bits from 32 i on.
 *
 * Speed comes from blocks. When the exponents of a block lie close together (the usual case), each
 * value is split by adding and subtracting a large constant into a multiple of 2^k and a rest; the
 * multiples, and the rests, are so short that double additions of them are exact, whatever the
 * rounding mode. A block is then a handful of additions to the accumulator. Other blocks go value
 * by value through integers.
 *
 * Invariants
 *   E1  |limb| <= pending * 2^32 for every limb but the last, which takes the carries.
 *   E2  pending <= PENDING_MAX between calls.
 *   E3  No sum depends on the rounding mode, on flushed denormals, or on the order of addends.
 *
 * Threads. None.
 */
#include "storage/base/exact.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "storage/base/float_mode.h"

static_assert(sizeof(double) == 8 && DBL_MANT_DIG == 53, "IEEE 754 binary64");

#define LIMBS 70
#define BIAS 1074              /* bit 0 of the accumulator weighs 2^-BIAS */
#define PENDING_MAX (1u << 29) /* 2^29 additions of less than 2^32 stay below 2^61 */
#define BLOCK VARVE_EXACT_BLOCK
#define LANES 8u      /* independent sums a block, so that additions overlap */
#define SPLIT_BITS 44 /* k is this far below the largest exponent */
#define SPLIT_SPAN 37 /* largest exponent distance that a split covers */
#define TOP_BITS 1088 /* a partial is below 2^1088: 2^64 doubles */

#define FRACTION_MASK UINT64_C(0x000fffffffffffff)
#define ABS_MASK UINT64_C(0x7fffffffffffffff)
#define INF_BITS UINT64_C(0x7ff0000000000000)

enum sum_flags {
    SUM_NOT_EMPTY = 1,  /* there was an addend */
    SUM_NOT_ALL_NEG = 2 /* there was an addend other than -0.0 */
};

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* 2^exponent, -1022 <= exponent <= 1023. */
static double power_of_two(int exponent)
{
    return double_of((uint64_t)(exponent + 1023) << 52);
}

/* Whether operations on doubles give the nearest one, whatever the caller has set. */
static bool rounds_to_nearest(void)
{
    const volatile double tiny = 0x1p-60;
    return FLT_EVAL_METHOD == 0 && 1.0 + tiny == 1.0 && 1.0 - tiny == 1.0;
}

static unsigned bit_length(varve_u128 v)
{
    const uint64_t high = (uint64_t)(v >> 64);
    const uint64_t low = (uint64_t)v;

    if (high != 0)
        return 128 - (unsigned)__builtin_clzll(high);
    return low != 0 ? 64 - (unsigned)__builtin_clzll(low) : 0;
}

/*
 * mantissa * 2^exponent as a double, rounded to nearest even; `sticky` says that the real number
 * lies a little above (in magnitude), by less than one unit of the mantissa.
 */
static double round_once(bool negative, varve_u128 mantissa, int exponent, bool sticky)
{
    const int length = (int)bit_length(mantissa);
    int drop = length - 53;

    assert(!sticky || length > 54); /* or the sticky bit could not be told from half a unit */
    if (length == 0)
        return negative ? -0.0 : 0.0;
    if (exponent + drop < -BIAS)
        drop = -BIAS - exponent; /* a denormal has fewer bits */
    uint64_t kept;
    if (drop > 0) {
        if (drop > 127)
            return negative ? -0.0 : 0.0;
        const varve_u128 rest = mantissa & (((varve_u128)1 << drop) - 1);
        const varve_u128 half = (varve_u128)1 << (drop - 1);
        kept = (uint64_t)(mantissa >> drop);
        if (rest > half || (rest == half && (sticky || (kept & 1) != 0)))
            kept++;
    } else {
        kept = (uint64_t)mantissa << -drop;
    }
    /* Adding kept to a shifted exponent lets a carry out of the fraction raise the exponent. */
    const int scale = exponent + drop + BIAS; /* 0: denormal or the least binade */
    if (scale > 2100)
        return negative ? -INFINITY : INFINITY;
    uint64_t bits = kept;
    if (scale > 0)
        bits += (uint64_t)scale << 52; /* kept has its 53rd bit, which counts as one exponent */
    if (bits > INF_BITS)
        bits = INF_BITS;
    return double_of(bits | (uint64_t)negative << 63);
}

void varve_exact_reset(struct varve_exact_sum *sum)
{
    memset(sum, 0, sizeof *sum);
}

/* Restore E1 with pending 1: every digit into [0, 2^32), what is above into the next limb; the
 * sign of the number ends up in the last limb. */
static void carry(struct varve_exact_sum *sum)
{
    int64_t over = 0;

    for (int i = 0; i < LIMBS - 1; i++) {
        const int64_t v = sum->limb[i] + over;
        over = v >> 32;
        sum->limb[i] = v - over * ((int64_t)1 << 32);
    }
    sum->limb[LIMBS - 1] += over;
    sum->pending = 1;
}

static void make_room(struct varve_exact_sum *sum, uint32_t additions)
{
    if (sum->pending > PENDING_MAX - additions)
        carry(sum);
    sum->pending += additions;
}

/* Add (or subtract) magnitude * 2^(position - BIAS). The caller has made room. */
static void add_digits(struct varve_exact_sum *sum, bool negative, varve_u128 magnitude,
                       unsigned position)
{
    const unsigned shift = position % 32;
    int64_t *limb = &sum->limb[position / 32];
    const int64_t sign = negative ? -1 : 1;
    uint64_t low = (uint64_t)(magnitude & UINT32_MAX) << shift;

    magnitude >>= 32;
    while (low != 0 || magnitude != 0) {
        *limb++ += sign * (int64_t)(low & UINT32_MAX);
        low = (low >> 32) + ((uint64_t)(magnitude & UINT32_MAX) << shift);
        magnitude >>= 32;
    }
}

/* One finite double, not zero, by integers: at most 84 bits over three limbs. */
static void add_finite(struct varve_exact_sum *sum, uint64_t bits)
{
    const unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;
    const unsigned position = exponent == 0 ? 0 : exponent - 1;
    const unsigned shift = position % 32;
    const uint64_t fraction = (bits & FRACTION_MASK) | (uint64_t)(exponent != 0) << 52;
    const int64_t sign = -(int64_t)(bits >> 63); /* 0 or -1 */
    int64_t *limb = &sum->limb[position / 32];
    const uint64_t low = (fraction & UINT32_MAX) << shift;
    const uint64_t high = ((fraction >> 32) << shift) + (low >> 32);

    limb[0] += ((int64_t)(low & UINT32_MAX) ^ sign) - sign;
    limb[1] += ((int64_t)(high & UINT32_MAX) ^ sign) - sign;
    limb[2] += ((int64_t)(high >> 32) ^ sign) - sign;
}

/* What is known of a block's exponents. Exponents are those of the binade: 2^e <= |v| < 2^(e+1). */
struct block_range {
    bool finite;
    bool all_zero;
    bool normal; /* far enough from overflow and from denormals for arithmetic in doubles */
    int highest;
    int lowest; /* of the values that are not zero */
};

static struct block_range range_of(const struct varve_exact_span *span)
{
    struct block_range r = {.finite = span->most < INF_BITS >> 32,
                            .all_zero = span->most == 0 && span->subnormal == 0};

    if (!r.all_zero) {
        r.highest = (int)(span->most >> 20) - 1023;
        r.lowest = span->subnormal != 0 ? -1023 : (int)((span->least + 1) >> 20) - 1023;
        r.normal = r.highest < 1000 && r.lowest > -900;
    }
    return r;
}

/* What parts values below 2^(highest + 1) at 2^(highest - SPLIT_BITS). */
static double splitter_of(int highest)
{
    return 1.5 * power_of_two(highest - SPLIT_BITS + 52);
}

static bool can_split(const struct block_range *range)
{
    return range->finite && range->normal && range->highest - range->lowest <= SPLIT_SPAN;
}

/*
 * Sums of high and low parts of at most BLOCK values whose exponents differ by at most SPLIT_SPAN.
 *
 * High parts are multiples of 2^k, k = highest - 44, at most 2^(highest + 1); a lane adds at most
 * 128 of them: at most 52 bits. Low parts are multiples of 2^(lowest - 52) and at most 2^k (half of
 * that when rounding to nearest), 128 of them 2^(k + 7): at most 52 bits when lowest is at
 * least highest - 37.
 */
static void split_sums(const double *values, size_t n, int highest, double high[LANES],
                       double low[LANES])
{
    const double big = splitter_of(highest);

    for (size_t j = 0; j < LANES; j++)
        high[j] = low[j] = 0.0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            const double v = values[i + j];
            const double h = (v + big) - big;
            high[j] += h;
            low[j] += v - h;
        }
    }
    for (size_t j = 0; i < n; i++, j++) {
        const double v = values[i];
        const double h = (v + big) - big;
        high[j] += h;
        low[j] += v - h;
    }
}

static void add_one(struct varve_exact_sum *sum, double v)
{
    const uint64_t bits = bits_of(v);

    if ((bits & ABS_MASK) < INF_BITS)
        add_finite(sum, bits);
    else if ((bits & ABS_MASK) > INF_BITS)
        sum->nan++;
    else if (bits >> 63 != 0)
        sum->neg_inf++;
    else
        sum->pos_inf++;
}

static uint32_t zero_flags(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bits_of(values[i]) == 0)
            return SUM_NOT_EMPTY | SUM_NOT_ALL_NEG;
    }
    return SUM_NOT_EMPTY;
}

void varve_exact_add_block(struct varve_exact_sum *sum, const double *values, size_t n,
                           const struct varve_exact_span *span)
{
    const struct block_range range = range_of(span);

    assert(n <= BLOCK);
    if (n == 0)
        return;
    if (range.all_zero) {
        sum->flags |= zero_flags(values, n);
        return;
    }
    sum->flags |= SUM_NOT_EMPTY | SUM_NOT_ALL_NEG;
    make_room(sum, BLOCK);
    if (can_split(&range)) {
        double high[LANES], low[LANES];
        split_sums(values, n, range.highest, high, low);
        for (size_t j = 0; j < LANES; j++) {
            add_finite(sum, bits_of(high[j]));
            add_finite(sum, bits_of(low[j]));
        }
        return;
    }
    for (size_t i = 0; i < n; i++)
        add_one(sum, values[i]);
}

void varve_exact_add(struct varve_exact_sum *sum, const double *values, size_t n)
{
    while (n > 0) {
        const size_t take = n < BLOCK ? n : BLOCK;
        const struct varve_exact_span span = varve_exact_span_of(values, take);
        varve_exact_add_block(sum, values, take, &span);
        values += take;
        n -= take;
    }
}

/* A run is no longer than a lane of a block, so what split_sums() says of lanes holds for it. */
static_assert(VARVE_EXACT_RUN == BLOCK / LANES, "the halves of a run must add exactly");

bool varve_exact_splitter(const struct varve_exact_span *span, double *ret_splitter)
{
    const struct block_range range = range_of(span);

    if (range.all_zero || !can_split(&range) || !rounds_to_nearest())
        return false;
    *ret_splitter = splitter_of(range.highest);
    return true;
}

void varve_exact_add_halves(struct varve_exact_sum *sum, const struct varve_exact_halves *halves)
{
    assert(halves->high != 0.0 || halves->low != 0.0);
    sum->flags |= SUM_NOT_EMPTY | SUM_NOT_ALL_NEG;
    make_room(sum, 2);
    add_finite(sum, bits_of(halves->high));
    add_finite(sum, bits_of(halves->low));
}

/* A float as a double. Denormals go by way of an integer, which no processor mode flushes. */
static double widen(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7f800000u) != 0)
        return (double)v;
    const double magnitude = (double)(bits & 0x007fffffu) * 0x1p-149;
    return bits >> 31 != 0 ? -magnitude : magnitude;
}

void varve_exact_add_f32(struct varve_exact_sum *sum, const float *values, size_t n)
{
    double wide[BLOCK];

    while (n > 0) {
        const size_t take = n < BLOCK ? n : BLOCK;
        for (size_t i = 0; i < take; i++)
            wide[i] = widen(values[i]);
        varve_exact_add(sum, wide, take);
        values += take;
        n -= take;
    }
}

static varve_u128 magnitude_of(varve_i128 v)
{
    return v < 0 ? -(varve_u128)v : (varve_u128)v;
}

bool varve_exact_partial_valid(const struct varve_exact_partial *p)
{
    return p->exponent >= -BIAS &&
           (int)p->exponent + (int)bit_length(magnitude_of(p->mantissa)) <= TOP_BITS;
}

void varve_exact_add_partial(struct varve_exact_sum *sum, const struct varve_exact_partial *p)
{
    assert(varve_exact_partial_valid(p));

    sum->flags |= SUM_NOT_EMPTY | SUM_NOT_ALL_NEG;
    make_room(sum, 1);
    add_digits(sum, p->mantissa < 0, magnitude_of(p->mantissa), (unsigned)(p->exponent + BIAS));
}

void varve_exact_merge(struct varve_exact_sum *sum, const struct varve_exact_sum *other)
{
    if (sum->pending > PENDING_MAX - other->pending)
        carry(sum);
    for (int i = 0; i < LIMBS; i++)
        sum->limb[i] += other->limb[i];
    sum->pending += other->pending;
    if (sum->pending > PENDING_MAX)
        carry(sum);
    sum->flags |= other->flags;
    sum->nan += other->nan;
    sum->pos_inf += other->pos_inf;
    sum->neg_inf += other->neg_inf;
}

static double round_finite(const struct varve_exact_sum *sum)
{
    struct varve_exact_sum digits = *sum;

    carry(&digits); /* now the sign of the last limb is that of the number */
    const bool negative = digits.limb[LIMBS - 1] < 0;
    if (negative) {
        for (int i = 0; i < LIMBS; i++)
            digits.limb[i] = -digits.limb[i];
        carry(&digits);
    }
    int top = LIMBS - 1;
    while (top >= 0 && digits.limb[top] == 0)
        top--;
    if (top < 0)
        return 0.0;
    if (top == LIMBS - 1) /* at least 2^1134 */
        return negative ? -INFINITY : INFINITY;
    /* The four highest digits hold at least 97 bits below the first one set; the rest is sticky. */
    varve_u128 mantissa = 0;
    const int last = top >= 3 ? top - 3 : 0;
    for (int i = top; i >= last; i--)
        mantissa = mantissa << 32 | (varve_u128)(uint64_t)digits.limb[i];
    bool sticky = false;
    for (int i = 0; i < last; i++)
        sticky = sticky || digits.limb[i] != 0;
    return round_once(negative, mantissa, last * 32 - BIAS, sticky);
}

double varve_exact_round(const struct varve_exact_sum *sum)
{
    if (sum->nan > 0 || (sum->pos_inf > 0 && sum->neg_inf > 0))
        return double_of(UINT64_C(0x7ff8000000000000));
    if (sum->pos_inf > 0)
        return INFINITY;
    if (sum->neg_inf > 0)
        return -INFINITY;
    if (sum->flags == SUM_NOT_EMPTY)
        return -0.0;
    return round_finite(sum);
}

double varve_exact_mean(const struct varve_exact_sum *sum, uint64_t count)
{
    assert(count > 0);
    return varve_exact_round(sum) / (double)count;
}

/* A finite double, a multiple of 2^unit, as that multiple. */
static varve_i128 multiple_of(double v, int unit)
{
    const uint64_t bits = bits_of(v);
    const int exponent = (int)(bits >> 52 & 0x7ff);
    if ((bits & ABS_MASK) == 0)
        return 0;
    const int shift = (exponent == 0 ? 1 : exponent) - 1 - BIAS - unit;
    const uint64_t fraction = (bits & FRACTION_MASK) | (uint64_t)(exponent != 0) << 52;
    const varve_u128 magnitude = shift >= 0 ? (varve_u128)fraction << shift : fraction >> -shift;
    return bits >> 63 != 0 ? -(varve_i128)magnitude : (varve_i128)magnitude;
}

/* The one spelling of a partial: an odd mantissa, or nothing at exponent 0. */
static struct varve_exact_partial canonical(varve_i128 mantissa, int unit)
{
    if (mantissa == 0)
        return (struct varve_exact_partial){0, 0};
    const uint64_t low = (uint64_t)mantissa;
    const int zeros =
        low != 0 ? __builtin_ctzll(low) : 64 + __builtin_ctzll((uint64_t)(mantissa >> 64));
    return (struct varve_exact_partial){mantissa >> zeros, (int16_t)(unit + zeros)};
}

bool varve_exact_partial_of(const double *values, size_t n, const struct varve_exact_span *span,
                            struct varve_exact_partial *ret)
{
    const struct block_range range = range_of(span);

    if (!range.finite || n == 0)
        return false;
    if (range.all_zero) {
        if ((zero_flags(values, n) & SUM_NOT_ALL_NEG) == 0)
            return false; /* -0.0, which a mantissa cannot say */
        *ret = canonical(0, 0);
        return true;
    }
    /* Every value is a multiple of 2^unit below 2^(highest + 1), the sum n times that. */
    const int lowest = range.lowest < -1022 ? -1022 : range.lowest;
    const int unit = lowest - 52;
    const int bits = range.highest + 1 - unit + (int)bit_length(n - 1);
    if (bits > 126)
        return false;
    varve_i128 total = 0;
    if (n <= BLOCK && range.normal && range.highest - lowest <= SPLIT_SPAN) {
        double high[LANES], low[LANES];
        split_sums(values, n, range.highest, high, low);
        for (size_t j = 0; j < LANES; j++)
            total += multiple_of(high[j], unit) + multiple_of(low[j], unit);
    } else {
        for (size_t i = 0; i < n; i++)
            total += multiple_of(values[i], unit);
    }
    *ret = canonical(total, unit);
    return true;
}

double varve_exact_ratio(varve_i128 sum, uint64_t count, int scale)
{
    assert(count > 0);
    assert(scale >= 0 && scale <= 18);

    varve_u128 divisor = count; /* at most 2^64 * 10^18 < 2^124 */
    for (int i = 0; i < scale; i++)
        divisor *= 10;
    const varve_u128 exact = (varve_u128)1 << 53;
    if (divisor <= exact && magnitude_of(sum) <= exact && rounds_to_nearest())
        return (double)(int64_t)sum / (double)(uint64_t)divisor; /* both exact: rounded once */
    /* Long division, as many bits at a time as the remainder has room for, until the quotient has
     * 55 bits; what is left of the remainder is the sticky bit. */
    const varve_u128 dividend = magnitude_of(sum);
    varve_u128 quotient = dividend / divisor;
    varve_u128 remainder = dividend % divisor;
    int exponent = 0;
    while (remainder != 0 && bit_length(quotient) < 55) {
        unsigned step = 128 - bit_length(remainder);
        if (step > 60)
            step = 60;
        remainder <<= step;
        quotient = quotient << step | remainder / divisor;
        remainder %= divisor;
        exponent -= (int)step;
    }
    return round_once(sum < 0, quotient, exponent, remainder != 0);
}
