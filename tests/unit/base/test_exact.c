/*
 * test_exact.c - exact.c against results of exact fractions, and against a slow sum of its own: a
 * plain binary number of 2,240 bits for the positive and one for the negative addends.
 *
 * Every agreement is asked for bit by bit, since order, splits and layout must not show.
 */
#include "storage/base/exact.h"

#include <check.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"

#define WORDS 70

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static void same(double a, double b)
{
    ck_assert_msg(bits_of(a) == bits_of(b), "%a is not %a", a, b);
}

static double sum_of(const double *values, size_t n)
{
    struct varve_exact_sum sum;
    varve_exact_reset(&sum);
    varve_exact_add(&sum, values, n);
    return varve_exact_round(&sum);
}

static bool partial_of(const double *values, size_t n, struct varve_exact_partial *ret)
{
    const struct varve_exact_span span = varve_exact_span_of(values, n);
    return varve_exact_partial_of(values, n, &span, ret);
}

/* ------------------------------------------------------------------------- the slow reference */

struct slow {
    uint32_t side[2][WORDS]; /* positive, negative; bit 0 weighs 2^-1074 */
};

static void slow_add(struct slow *s, double v)
{
    int exponent;
    const double fraction = frexp(fabs(v), &exponent); /* v is finite */
    uint64_t m = (uint64_t)ldexp(fraction, 53);
    int at = exponent - 53 + 1074;
    uint32_t *side = s->side[v < 0];

    for (; at < 0; at++)
        m >>= 1; /* denormals: frexp made them longer than they are */
    for (int bit = 0; bit < 53; bit++) {
        if ((m >> bit & 1) == 0)
            continue;
        for (int i = at + bit;; i++) { /* add one bit, rippling its carry */
            uint32_t *word = &side[i / 32];
            *word ^= (uint32_t)1 << (i % 32);
            if ((*word >> (i % 32) & 1) != 0)
                break;
        }
    }
}

static bool slow_bit(const uint32_t *w, int i)
{
    return i >= 0 && (w[i / 32] >> (i % 32) & 1) != 0;
}

static double slow_round(const struct slow *s)
{
    uint32_t d[WORDS];
    int sign = 0;
    for (int i = WORDS - 1; i >= 0 && sign == 0; i--)
        sign = (s->side[0][i] > s->side[1][i]) - (s->side[0][i] < s->side[1][i]);
    if (sign == 0)
        return 0.0;
    int64_t borrow = 0;
    for (int i = 0; i < WORDS; i++) {
        const int64_t v = (int64_t)s->side[sign < 0][i] - (int64_t)s->side[sign > 0][i] + borrow;
        d[i] = (uint32_t)v;
        borrow = v < 0 ? -1 : 0;
    }
    int top = WORDS * 32 - 1;
    while (!slow_bit(d, top))
        top--;
    const int low = top > 52 ? top - 52 : 0;
    uint64_t m = 0;
    for (int i = top; i >= low; i--)
        m = m << 1 | slow_bit(d, i);
    bool rest = false;
    for (int i = 0; i < low - 1; i++)
        rest = rest || slow_bit(d, i);
    if (slow_bit(d, low - 1) && (rest || (m & 1) != 0))
        m++;
    return sign * ldexp((double)m, low - 1074);
}

static double slow_sum(const double *values, size_t n)
{
    struct slow s;
    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < n; i++)
        slow_add(&s, values[i]);
    return slow_round(&s);
}

/* ----------------------------------------------------------------------------------- generators */

enum shape { PRICES, WIDE, CENTS, DENORMAL, HUGE_VALUES, CANCEL, SPARSE, SPANS, SHAPES };

static double value_of(struct varve_rng *rng, int shape)
{
    const double u = varve_rng_unit(rng) - 0.5;
    switch (shape) {
    case PRICES:
        return 30000 + 100 * u;
    case WIDE:
        return ldexp(u, (int)varve_rng_below(rng, 2000) - 1000);
    case CENTS:
        return (double)((int64_t)varve_rng_below(rng, 1000000) - 300000) / 100;
    case DENORMAL:
        return ldexp(u, -1022 - (int)varve_rng_below(rng, 50));
    case HUGE_VALUES:
        return ldexp(u, 1013 + (int)varve_rng_below(rng, 2));
    case CANCEL:
        return (varve_rng_below(rng, 2) != 0 ? 1.0 : -1.0) *
               ldexp(1.0 + 0x1p-52 * (double)varve_rng_below(rng, 3), 60);
    case SPARSE:
        return varve_rng_below(rng, 4) == 0 ? u : varve_rng_below(rng, 2) != 0 ? 0.0 : -0.0;
    default: /* about the greatest span that a split covers, a little less and a little more */
        return ldexp(0.5 + varve_rng_unit(rng) / 2, (int)varve_rng_below(rng, 40)) *
               (varve_rng_below(rng, 3) == 0 ? -1 : 1);
    }
}

static void shuffle(struct varve_rng *rng, double *values, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)varve_rng_below(rng, i);
        const double t = values[i - 1];
        values[i - 1] = values[j];
        values[j] = t;
    }
}

/* ---------------------------------------------------------------------------------------- tests */

static const struct {
    size_t n;
    double values[10];
    double sum;
} known[] = {
    /* sums by exact fractions, rounded to nearest even */
    {3,
     {0x1.1ccf385ebc8a0p+1023, 0x1.1ccf385ebc8a0p+1023, -0x1.1ccf385ebc8a0p+1023},
     0x1.1ccf385ebc8a0p+1023},
    {2, {0x1.1ccf385ebc8a0p+1023, 0x1.1ccf385ebc8a0p+1023}, INFINITY},
    {4,
     {0x1.0000000000000p+0, 0x1.249ad2594c37dp+332, 0x1.0000000000000p+0, -0x1.249ad2594c37dp+332},
     0x1.0000000000000p+1},
    {10,
     {0x1.999999999999ap-4, 0x1.999999999999ap-4, 0x1.999999999999ap-4, 0x1.999999999999ap-4,
      0x1.999999999999ap-4, 0x1.999999999999ap-4, 0x1.999999999999ap-4, 0x1.999999999999ap-4,
      0x1.999999999999ap-4, 0x1.999999999999ap-4},
     0x1.0000000000000p+0},
    {2, {0x1.0000000000000p+53, 0x1.0000000000000p+0}, 0x1.0000000000000p+53},
    {3,
     {0x1.0000000000000p+53, 0x1.0000000000000p+0, 0x0.0000000000001p-1022},
     0x1.0000000000001p+53},
    {2, {0x1.0000000000001p+53, 0x1.0000000000000p+0}, 0x1.0000000000002p+53},
    {3,
     {0x1.0000000000000p+53, 0x1.0000000000000p+0, -0x0.0000000000001p-1022},
     0x1.0000000000000p+53},
    {2, {0x0.0000000000001p-1022, 0x0.0000000000001p-1022}, 0x0.0000000000002p-1022},
    {2, {0x1.0000000000000p-1022, -0x0.0000000000001p-1022}, 0x0.fffffffffffffp-1022},
    {3,
     {0x1.0000000000000p-1022, 0x0.0000000000001p-1022, 0x1.0000000000000p+0},
     0x1.0000000000000p+0},
    {2, {0x1.fffffffffffffp+1023, 0x1.0000000000000p+969}, 0x1.fffffffffffffp+1023},
    {2, {0x1.fffffffffffffp+1023, 0x1.0000000000000p+970}, INFINITY},
    {3,
     {0x1.fffffffffffffp+1023, 0x1.0000000000000p+970, -0x0.0000000000001p-1022},
     0x1.fffffffffffffp+1023},
    {2, {-0x1.fffffffffffffp+1023, -0x1.0000000000000p+970}, -INFINITY},
    {3,
     {0x1.0000000000000p+0, -0x1.0000000000000p+0, 0x0.0000000000001p-1022},
     0x0.0000000000001p-1022},
    {5,
     {0x1.1c37937e08000p+53, 0x1.0000000000000p+0, 0x1.cd2b297d889bcp-54, -0x1.1c37937e08000p+53,
      -0x1.0000000000000p+0},
     0x1.cd2b297d889bcp-54},
    {4,
     {0x1.8000000000000p+1, 0x1.0000000000000p-52, 0x1.0000000000000p-53, 0x1.0000000000000p-54},
     0x1.8000000000001p+1},
    {8,
     {-0x1.a9f23caccb130p-72, -0x1.0aa77421b2ea1p-92, -0x1.0b3a31b2b683bp+13,
      -0x1.ef725ca51346fp+22, -0x1.6199d1f907938p+6, -0x1.1a8c9abe0521ep-84, -0x1.a49208a95eb90p-90,
      -0x1.9536ccc978598p+15},
     -0x1.f323c8f1518bfp+22},
    {8,
     {-0x1.475888bcd5284p+70, 0x1.a6fc0dc022462p+96, -0x1.49ecc3e3dc15fp+32, 0x1.a4d8243e397f5p-93,
      0x1.9df17c5542384p-20, -0x1.9f6e376c75d42p-54, -0x1.800f356318effp+79,
      -0x1.33b71bbbf2f60p-14},
     0x1.a6fb4d66b1726p+96},
    {8,
     {-0x1.133e8a48cea9cp-77, 0x1.bb35e747805cdp+13, 0x1.2a92a9df14b66p-64, -0x1.83a4126752fecp+19,
      0x1.dd4d94583a047p-26, -0x1.6e227f83e892ap+49, -0x1.151d8b74400eep-90, 0x1.30aa2081e8233p+1},
     -0x1.6e227f89db6e6p+49},
    {8,
     {0x1.7a537f853e46fp-12, 0x1.c6362d0d2328ap-5, 0x1.185e7e470aa5ap-6, -0x1.3f2b5af93e2fdp-52,
      0x1.ac60e7149b91ep+45, 0x1.15213d65c8ba8p-84, 0x1.29b1e11a1fe30p+7, -0x1.57a7d85ba9741p-37},
     0x1.ac60e714a0394p+45},
    {8,
     {0x1.02551a2200168p-41, 0x1.594e0ee3dba3fp-89, -0x1.4063bfe488cb6p-14, -0x1.7060c8b914be7p-31,
      -0x1.bd75b52aad40ap+2, -0x1.23b244ad34175p+37, -0x1.49fbe74ff5ba8p+16, 0x1.82989a9744accp+83},
     0x1.82989a9744a83p+83},
    {8,
     {0x1.5e087fe7a8f22p-31, 0x1.29ff40a09b0dbp+25, -0x1.712c00768a6afp+62, -0x1.dad29fb573fedp+72,
      -0x1.6e0e621510fb8p-44, -0x1.81f7005d16c11p+35, -0x1.ee89ab67e9c17p+52,
      0x1.2c3f1b349c502p+35},
     -0x1.db2f099e2f035p+72},
    {8,
     {0x1.3f448bfc77120p+762, -0x1.b925fa488b14cp+518, 0x1.8c544a5596698p+360,
      -0x1.e8e5438798d40p+830, -0x1.28026ed4fac84p-583, -0x1.9d55fe1d0ba00p-174,
      0x1.12abab24ca91cp-532, 0x1.e82b0f3f63af8p+567},
     -0x1.e8e5438798d40p+830},
    {8,
     {-0x1.beab862a97108p+970, -0x1.ad7c186ab4828p+778, -0x1.92dd78e6afd00p+75,
      0x1.8895c51186cbap+702, 0x1.74b858466d982p+79, 0x1.a6b3516a50df4p+407, 0x1.763781e25a760p+496,
      0x1.d4b77d1d8943ep-443},
     -0x1.beab862a97108p+970},
    {8,
     {-0x1.ab060f6971b2ap-442, -0x1.1279e62bb5b9cp-106, -0x1.f3a5bdc1ecbdep-315,
      -0x0.000001e5e519bp-1022, -0x1.6ad3ceca5ff62p+451, 0x1.c1caaf21f77a0p+242,
      0x1.cff8e710101b0p-840, -0x1.632cb466e0d20p+543},
     -0x1.632cb466e0d20p+543},
    {8,
     {-0x1.a181bd33b90c0p+551, -0x1.95fa5f425d75ep+579, -0x1.c0421b679a1b6p-786,
      0x1.f04cb41ab8c08p+743, -0x1.59cd3171eddeap+331, 0x1.9c94301aeb308p-644,
      -0x1.ffc2d8b773a28p-442, 0x1.2bfaf467e6460p+425},
     0x1.f04cb41ab8c08p+743},
};
#define KNOWN ((int)(sizeof known / sizeof known[0]))

START_TEST(known_sums)
{
    double values[10];
    struct varve_rng rng;
    varve_rng_seed(&rng, 1);
    memcpy(values, known[_i].values, sizeof values);
    for (int round = 0; round < 20; round++) {
        same(sum_of(values, known[_i].n), known[_i].sum);
        shuffle(&rng, values, known[_i].n);
    }
    same(slow_sum(values, known[_i].n), known[_i].sum); /* so the reference is right too */
}
END_TEST

START_TEST(every_shape_agrees_with_the_slow_sum)
{
    static double values[3000];
    struct varve_rng rng;
    varve_rng_seed(&rng, (uint64_t)_i);
    for (int round = 0; round < 60; round++) {
        const size_t n = (size_t)varve_rng_below(&rng, round % 10 == 0 ? 3000 : 40) + 1;
        for (size_t i = 0; i < n; i++)
            values[i] = value_of(&rng, _i);
        const double expect = slow_sum(values, n);
        struct varve_exact_sum whole;
        varve_exact_reset(&whole);
        varve_exact_add(&whole, values, n);
        if (expect == 0.0)
            ck_assert(varve_exact_round(&whole) == 0.0);
        else
            same(varve_exact_round(&whole), expect);
    }
}
END_TEST

/* Sum in random pieces, some as partials, some in sums of their own that are merged. */
static double sum_in_pieces(struct varve_rng *rng, const double *values, size_t n,
                            uint32_t *partials)
{
    struct varve_exact_sum sum, other;
    varve_exact_reset(&sum);
    varve_exact_reset(&other);
    for (size_t i = 0; i < n;) {
        struct varve_exact_partial p;
        size_t take = 1 + (size_t)varve_rng_below(rng, 1500);
        take = take < n - i ? take : n - i;
        switch (varve_rng_below(rng, 3)) {
        case 0:
            if (partial_of(values + i, take, &p)) {
                ck_assert(varve_exact_partial_valid(&p));
                ck_assert((p.mantissa & 1) != 0 || (p.mantissa == 0 && p.exponent == 0));
                varve_exact_add_partial(&sum, &p);
                ++*partials;
                break;
            }
            varve_exact_add(&sum, values + i, take);
            break;
        case 1:
            varve_exact_add(&sum, values + i, take);
            break;
        default:
            varve_exact_add(&other, values + i, take);
        }
        i += take;
    }
    varve_exact_merge(&sum, &other);
    return varve_exact_round(&sum);
}

START_TEST(orders_and_splits_give_the_same_bits)
{
    static double values[20000];
    struct varve_rng rng;
    uint32_t partials = 0;
    varve_rng_seed(&rng, (uint64_t)_i + 100);
    const size_t n = sizeof values / sizeof values[0];
    for (size_t i = 0; i < n; i++)
        values[i] = value_of(&rng, _i);
    const double expect = sum_of(values, n);
    for (int round = 0; round < 8; round++) {
        shuffle(&rng, values, n);
        same(sum_of(values, n), expect);
        same(sum_in_pieces(&rng, values, n, &partials), expect);
    }
    if (_i != WIDE) /* whose exponents never lie close enough */
        ck_assert_uint_gt(partials, 0);
}
END_TEST

START_TEST(rounding_mode_does_not_show)
{
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static double values[5000];
    struct varve_rng rng;
    varve_rng_seed(&rng, (uint64_t)_i + 200);
    for (size_t i = 0; i < 5000; i++)
        values[i] = value_of(&rng, _i);
    const double expect = sum_of(values, 5000);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(fesetround(modes[i]), 0);
        const double sum = sum_of(values, 5000);
        const double third = varve_exact_ratio(1, 3, 0);
        ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
        same(sum, expect);
        same(third, 1.0 / 3.0);
    }
}
END_TEST

START_TEST(many_additions_do_not_overflow_the_limbs)
{
    static double values[4096];
    struct varve_exact_sum sum, doubled;
    const double most = 0x1.fffffffffffffp+1023;
    for (size_t i = 0; i < 4096; i++)
        values[i] = most;
    varve_exact_reset(&sum);
    varve_exact_add(&sum, values, 4096);
    for (int i = 0; i < 40; i++) { /* 4096 * 2^40 times the greatest double */
        doubled = sum;
        varve_exact_merge(&sum, &doubled);
        ck_assert(isinf(varve_exact_round(&sum)));
    }
    for (size_t i = 0; i < 4096; i++)
        values[i] = -most;
    struct varve_exact_sum minus;
    varve_exact_reset(&minus);
    varve_exact_add(&minus, values, 4096);
    for (int i = 0; i < 40; i++) {
        doubled = minus;
        varve_exact_merge(&minus, &doubled);
    }
    varve_exact_merge(&sum, &minus);
    values[0] = 0x1p-1074;
    varve_exact_add(&sum, values, 1);
    same(varve_exact_round(&sum), 0x1p-1074);
}
END_TEST

START_TEST(zeros_keep_their_sign_only_when_alone)
{
    static const double minus[3] = {-0.0, -0.0, -0.0}, both[2] = {-0.0, 0.0}, cancel[2] = {1, -1};
    struct varve_exact_sum sum, other;
    struct varve_exact_partial p;
    same(sum_of(NULL, 0), 0.0);
    same(sum_of(minus, 3), -0.0);
    same(sum_of(both, 2), 0.0);
    same(sum_of(cancel, 2), 0.0);
    varve_exact_reset(&sum);
    varve_exact_reset(&other);
    varve_exact_merge(&sum, &other);
    same(varve_exact_round(&sum), 0.0);
    varve_exact_add(&other, minus, 3);
    varve_exact_merge(&sum, &other);
    same(varve_exact_round(&sum), -0.0);
    varve_exact_add(&sum, both, 2);
    same(varve_exact_round(&sum), 0.0);
    ck_assert(!partial_of(minus, 3, &p));
    ck_assert(!partial_of(minus, 0, &p));
    ck_assert(partial_of(both, 2, &p));
    ck_assert(p.mantissa == 0 && p.exponent == 0);
    varve_exact_reset(&sum);
    varve_exact_add(&sum, minus, 3);
    varve_exact_add_partial(&sum, &p);
    same(varve_exact_round(&sum), 0.0);
}
END_TEST

START_TEST(nan_and_infinities_decide)
{
    const double inf[4] = {1.0, INFINITY, 2.0, INFINITY};
    const double minus[2] = {-INFINITY, 1e308};
    const double nan[3] = {1.0, NAN, INFINITY};
    struct varve_exact_partial p;
    struct varve_exact_sum sum;
    ck_assert(partial_of(inf, 1, &p));
    ck_assert(!partial_of(inf, 4, &p));
    ck_assert(!partial_of(nan, 2, &p));
    same(sum_of(inf, 4), INFINITY);
    same(sum_of(minus, 2), -INFINITY);
    ck_assert(isnan(sum_of(nan, 3)));
    varve_exact_reset(&sum);
    varve_exact_add(&sum, inf, 4);
    varve_exact_add(&sum, minus, 2);
    ck_assert_uint_eq(bits_of(varve_exact_round(&sum)), UINT64_C(0x7ff8000000000000));
    ck_assert_uint_eq(sum.pos_inf, 2);
    ck_assert_uint_eq(sum.neg_inf, 1);
    ck_assert_uint_eq(bits_of(sum_of(nan, 3)), UINT64_C(0x7ff8000000000000));
}
END_TEST

START_TEST(floats_sum_as_their_doubles)
{
    static float values[3000];
    static double wide[3000];
    struct varve_rng rng;
    varve_rng_seed(&rng, 5);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < 3000; i++) {
            uint32_t bits;
            do { /* any finite float, denormals among them */
                bits = (uint32_t)varve_rng_next(&rng);
                bits &= round % 2 == 0 ? UINT32_MAX : 0x80ffffffu;
            } while ((bits & 0x7f800000u) == 0x7f800000u);
            memcpy(&values[i], &bits, sizeof bits);
            wide[i] = (double)values[i];
        }
        struct varve_exact_sum sum;
        varve_exact_reset(&sum);
        varve_exact_add_f32(&sum, values, 3000);
        same(varve_exact_round(&sum), slow_sum(wide, 3000));
    }
    const float odd[2] = {INFINITY, -0.0f};
    struct varve_exact_sum sum;
    varve_exact_reset(&sum);
    varve_exact_add_f32(&sum, odd + 1, 1);
    same(varve_exact_round(&sum), -0.0);
    varve_exact_add_f32(&sum, odd, 1);
    same(varve_exact_round(&sum), INFINITY);
}
END_TEST

START_TEST(partials_are_refused_when_they_cannot_hold)
{
    struct varve_exact_partial p;
    const double far_apart[2] = {1.0, 0x1p-80};
    const double near_enough[2] = {1.0, 0x1p-70};
    ck_assert(!partial_of(far_apart, 2, &p));
    ck_assert(partial_of(near_enough, 2, &p));
    ck_assert(p.exponent == -70 && p.mantissa == ((varve_i128)1 << 70) + 1);

    p = (struct varve_exact_partial){1, -1075};
    ck_assert(!varve_exact_partial_valid(&p));
    p = (struct varve_exact_partial){1, 1088};
    ck_assert(!varve_exact_partial_valid(&p));
    p = (struct varve_exact_partial){-1, 1087};
    ck_assert(varve_exact_partial_valid(&p));
    p = (struct varve_exact_partial){0, INT16_MAX};
    ck_assert(!varve_exact_partial_valid(&p));
    p = (struct varve_exact_partial){(varve_i128)1 << 126, 961};
    ck_assert(varve_exact_partial_valid(&p));
    struct varve_exact_sum sum;
    varve_exact_reset(&sum);
    for (int i = 0; i < 1000; i++) /* the greatest valid ones stay within the accumulator */
        varve_exact_add_partial(&sum, &p);
    same(varve_exact_round(&sum), INFINITY);
    p.mantissa = (varve_i128)((varve_u128)1 << 127);
    ck_assert(!varve_exact_partial_valid(&p));
    p.exponent = -1074;
    ck_assert(varve_exact_partial_valid(&p));
    varve_exact_reset(&sum);
    varve_exact_add_partial(&sum, &p);
    same(varve_exact_round(&sum), -0x1p-947);
}
END_TEST

START_TEST(mean_divides_the_rounded_sum)
{
    const double values[3] = {0.1, 0.2, 0.4};
    struct varve_exact_sum sum;
    varve_exact_reset(&sum);
    varve_exact_add(&sum, values, 3);
    same(varve_exact_mean(&sum, 3), varve_exact_round(&sum) / 3.0);
}
END_TEST

static const struct {
    uint64_t high, low, count;
    int scale;
    double quotient;
} ratio[] = {
    /* sum / (count * 10^scale) by exact fractions, rounded to nearest even */
    {UINT64_C(0x0), UINT64_C(0x1), UINT64_C(3), 0, 0x1.5555555555555p-2},
    {UINT64_C(0xffffffffffffffff), UINT64_C(0xffffffffffffffff), UINT64_C(3), 0,
     -0x1.5555555555555p-2},
    {UINT64_C(0x0), UINT64_C(0x0), UINT64_C(5), 3, 0x0.0p+0},
    {UINT64_C(0x0), UINT64_C(0xa), UINT64_C(4), 0, 0x1.4000000000000p+1},
    {UINT64_C(0x0), UINT64_C(0x20000000000001), UINT64_C(1), 0, 0x1.0000000000000p+53},
    {UINT64_C(0x0), UINT64_C(0x20000000000003), UINT64_C(1), 0, 0x1.0000000000002p+53},
    {UINT64_C(0x7fffffffffffffff), UINT64_C(0xffffffffffffffff), UINT64_C(1), 0,
     0x1.0000000000000p+127},
    {UINT64_C(0x8000000000000000), UINT64_C(0x0), UINT64_C(1), 0, -0x1.0000000000000p+127},
    {UINT64_C(0x8000000000000000), UINT64_C(0x0), UINT64_C(18446744073709551615), 18,
     -0x1.2725dd1d243acp+3},
    {UINT64_C(0x0), UINT64_C(0x1), UINT64_C(18446744073709551615), 18, 0x1.2725dd1d243acp-124},
    {UINT64_C(0x7fffffffffffffff), UINT64_C(0xffffffffffffffff), UINT64_C(18446744073709551615), 0,
     0x1.0000000000000p+63},
    {UINT64_C(0x0), UINT64_C(0x14000000000000a), UINT64_C(5), 1, 0x1.999999999999ap+50},
    {UINT64_C(0x0), UINT64_C(0xfa000000000003e9), UINT64_C(1000), 0, 0x1.0000000000000p+54},
    {UINT64_C(0x2000000000000), UINT64_C(0x1000000000000001), UINT64_C(1152921504606846976), 0,
     0x1.0000000000001p+53},
    {UINT64_C(0x2000000000000), UINT64_C(0xfffffffffffffff), UINT64_C(1152921504606846976), 0,
     0x1.0000000000000p+53},
    {UINT64_C(0x0), UINT64_C(0x7048860ddf79), UINT64_C(60), 8, 0x1.418086a879b14p+14},
    {UINT64_C(0xffffffffffffb53c), UINT64_C(0xdfd43f371200339d), UINT64_C(328033407307), 8,
     -0x1.505618d1b8545p+13},
    {UINT64_C(0xf9f7296a7961fd92), UINT64_C(0x5d39d0a89a2ef80f), UINT64_C(250), 14,
     -0x1.164b169171864p+68},
    {UINT64_C(0xffffffffffffffff), UINT64_C(0xd5fc899e4fd58dbe), UINT64_C(210), 10,
     -0x1.5ff4ff8412602p+20},
    {UINT64_C(0xffffffff85e999f3), UINT64_C(0x842e7fc229540a6e), UINT64_C(11854), 4,
     -0x1.147803b01faabp+68},
    {UINT64_C(0xfffffffffe5d31de), UINT64_C(0xdd02de92a49636a2), UINT64_C(18377501262071), 16,
     -0x1.691b3c86e373bp-9},
    {UINT64_C(0xe423cc59db916), UINT64_C(0x5b0e676f2ac34446), UINT64_C(23633903756), 7,
     0x1.163b1e727ef48p+58},
    {UINT64_C(0x74cda646fd), UINT64_C(0xbd68516766934036), UINT64_C(8074), 11,
     0x1.45c2439ade2b8p+53},
    {UINT64_C(0xffffffffe12ca029), UINT64_C(0x78e4b98d4787f93b), UINT64_C(5641), 14,
     -0x1.f804af91d99b1p+33},
    {UINT64_C(0x70df70149e259b), UINT64_C(0x5d58c705f979d04a), UINT64_C(59), 15,
     0x1.13b4df435fa3ap+63},
    {UINT64_C(0x0), UINT64_C(0xf713051d013), UINT64_C(1052275183669), 11, 0x1.62d1e192076abp-33},
    {UINT64_C(0xffffff9ea91c2439), UINT64_C(0xd5ab8b4d15b40aeb), UINT64_C(551134228663146658), 5,
     -0x1.0ae535cdbc59cp+27},
    {UINT64_C(0x32b8c9817a), UINT64_C(0xf7be8831f237e45a), UINT64_C(861971624), 2,
     0x1.437f834fdbb51p+65},
    {UINT64_C(0xffffffffe821658d), UINT64_C(0xfe3c9c8f2b855c1f), UINT64_C(2), 18,
     -0x1.b850bc3956f1bp+31},
    {UINT64_C(0xffff2deefaf55496), UINT64_C(0x988af3fbd39630d6), UINT64_C(6167304462059), 4,
     -0x1.eae00fe3f2720p+55},
    {UINT64_C(0xffffffffffffff87), UINT64_C(0x57a40b22188287e), UINT64_C(925688501703750), 16,
     -0x1.0912563dfc93ap-32},
    {UINT64_C(0x6c0dbcdfb85c0d), UINT64_C(0xd37ee91531dec4f4), UINT64_C(3), 6,
     0x1.2e23d33131b44p+97},
    {UINT64_C(0x0), UINT64_C(0xd58dcd746b446806), UINT64_C(12), 14, 0x1.90bbe04246bb3p+13},
    {UINT64_C(0xffffffffffe85e6c), UINT64_C(0x806c10b5e0cfab4c), UINT64_C(2192782746), 14,
     -0x1.049117bf5b0c5p+7},
    {UINT64_C(0xffffffff243d3570), UINT64_C(0x2c1eea1f265974a7), UINT64_C(265107686447), 17,
     -0x1.4861794e57833p+1},
    {UINT64_C(0x0), UINT64_C(0xd9c6c80d2b), UINT64_C(16377992606355808), 7, 0x1.91dfc308e1ba3p-38},
    {UINT64_C(0x0), UINT64_C(0xe0e38f0b5), UINT64_C(836358), 8, 0x1.7a6e171b5dff9p-11},
    {UINT64_C(0x3), UINT64_C(0xcaaf4915888564e8), UINT64_C(4043716559), 16, 0x1.d051d861623dbp-20},
    {UINT64_C(0xffff9ee6f179f2d2), UINT64_C(0xe48b96628f3c4be3), UINT64_C(4940790565516734), 13,
     -0x1.37672ec9a5f8ep+15},
    {UINT64_C(0x0), UINT64_C(0x50e40712da6b3), UINT64_C(16), 13, 0x1.1c9be51ada5d8p+3},
};
#define RATIOS ((int)(sizeof ratio / sizeof ratio[0]))

START_TEST(ratios_are_rounded_once)
{
    const varve_i128 sum = (varve_i128)((varve_u128)ratio[_i].high << 64 | ratio[_i].low);
    same(varve_exact_ratio(sum, ratio[_i].count, ratio[_i].scale), ratio[_i].quotient);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exact");
    TCase *tc = tcase_create("exact");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, known_sums, 0, KNOWN);
    tcase_add_loop_test(tc, every_shape_agrees_with_the_slow_sum, 0, SHAPES);
    tcase_add_loop_test(tc, orders_and_splits_give_the_same_bits, 0, SHAPES);
    tcase_add_loop_test(tc, rounding_mode_does_not_show, 0, SHAPES);
    tcase_add_test(tc, many_additions_do_not_overflow_the_limbs);
    tcase_add_test(tc, zeros_keep_their_sign_only_when_alone);
    tcase_add_test(tc, nan_and_infinities_decide);
    tcase_add_test(tc, floats_sum_as_their_doubles);
    tcase_add_test(tc, partials_are_refused_when_they_cannot_hold);
    tcase_add_test(tc, mean_divides_the_rounded_sum);
    tcase_add_loop_test(tc, ratios_are_rounded_once, 0, RATIOS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
