/*
 * test_block_alp.c - floats that are decimals: which scale they get, and that all bits come back.
 *
 * Method: columns made so that the right scale is known; columns in which every double that is not
 * like the others stands somewhere; the kernels of every path against the scalar one and against
 * arithmetic written out. The clauses of the format are in test_block_damage.c, folds and selections
 * in test_value_fold.c.
 */
#include <check.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "block_samples.h"

#define ROWS VARVE_VECTOR_ROWS

struct column {
    struct varve_heap heap;
    struct varve_buffer out;
    struct varve_block block;
    uint8_t lane;
    uint32_t n;
    const uint64_t *live;
    double values[ROWS];
    float narrow[ROWS];
};

static struct column *column_new(uint8_t lane, uint32_t n)
{
    struct column *c = calloc(1, sizeof *c);

    ck_assert_ptr_nonnull(c);
    varve_heap_init(&c->heap, NULL, UINT64_MAX);
    varve_buffer_init(&c->out, &c->heap);
    c->lane = lane;
    c->n = n;
    return c;
}

static void column_free(struct column *c)
{
    varve_buffer_free(&c->out);
    ck_assert_uint_eq(varve_heap_used(&c->heap), 0);
    free(c);
}

static const void *column_cells(const struct column *c)
{
    return c->lane == VARVE_LANE_F32 ? (const void *)c->narrow : c->values;
}

static void check_part(const struct column *c, const struct varve_kernels *k, uint32_t first,
                       uint32_t n)
{
    const uint32_t size = varve_lane_size(c->lane);
    const uint8_t *cells = (const uint8_t *)column_cells(c) + (size_t)first * size;
    uint64_t back[ROWS];
    bool sound = varve_block_decode_with(k, &c->block, first, n, back, NULL, NULL) == VARVE_OK;

    for (uint32_t j = 0; j < n; j++) {
        if (c->live == NULL || varve_bit_get(c->live, first + j))
            sound = sound &&
                    memcmp((uint8_t *)back + (size_t)j * size, cells + (size_t)j * size, size) == 0;
    }
    ck_assert_msg(sound, "rows %u + %u on path %s", first, n, k->name);
}

/* Encode on every path, which must give the same bytes, and decode, whole and in parts. */
static const struct varve_block *encode(struct column *c)
{
    const struct varve_lanes in = {
        .lane = c->lane, .n = c->n, .values = column_cells(c), .live = c->live};
    struct varve_buffer again;

    varve_buffer_init(&again, &c->heap);
    varve_buffer_clear(&c->out);
    ck_assert_int_eq(varve_block_encode_with(varve_kernels_at(0), &in, 0, &c->out, NULL, NULL), 0);
    ck_assert_int_eq(varve_block_open(varve_buffer_span(&c->out), c->lane, c->n, &c->block, NULL),
                     0);
    for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
        const struct varve_kernels *k = varve_kernels_at(p);
        varve_buffer_clear(&again);
        ck_assert_int_eq(varve_block_encode_with(k, &in, 0, &again, NULL, NULL), 0);
        ck_assert_uint_eq(again.size, c->out.size);
        ck_assert_mem_eq(again.data, c->out.data, again.size);
        check_part(c, k, 0, c->n);
        for (uint32_t first = 0; first < c->n; first += 1 + first / 5)
            check_part(c, k, first, c->n - first < 70 ? c->n - first : 70);
    }
    varve_buffer_free(&again);
    return &c->block;
}

static double power(uint32_t exponent)
{
    double value = 1;
    for (uint32_t i = 0; i < exponent; i++)
        value *= 10; /* exact up to 10^22 */
    return value;
}

/* Random decimals of up to `digits` fraction digits, one of exactly as many among them. */
static void fill_decimals(struct column *c, uint32_t digits, uint64_t most, struct varve_rng *rng)
{
    for (uint32_t j = 0; j < c->n; j++) {
        const uint64_t integer = varve_rng_below(rng, most);
        c->values[j] = (double)(int64_t)(integer - most / 2) / power(digits);
        if (c->values[j] == 0)
            c->values[j] = 0.0; /* not -0.0 */
        c->narrow[j] = (float)c->values[j];
    }
}

START_TEST(decimals_of_any_digits_have_no_exceptions) /* loop test: _i digits */
{
    static const uint64_t most[] = {90, 20000, UINT64_C(1) << 31, UINT64_C(1) << 40};
    static const uint32_t rows[] = {31, 32, 100, 128, 1000, 1024};
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)_i);
    for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct column *c = column_new(VARVE_LANE_F64, rows[r]);
        for (uint32_t m = 0; m < sizeof most / sizeof *most; m++) {
            fill_decimals(c, (uint32_t)_i, most[m], &rng);
            const struct varve_block *block = encode(c);
            ck_assert_int_eq(block->codec, VARVE_CODEC_ALP);
            ck_assert_uint_eq(block->runs, 0);
            ck_assert_uint_le(block->scale.e - block->scale.f, (uint32_t)_i);
        }
        column_free(c);
    }
}
END_TEST

START_TEST(floats_of_few_digits_take_it_too) /* loop test: _i digits */
{
    struct column *c = column_new(VARVE_LANE_F32, 1000);
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)_i);
    fill_decimals(c, (uint32_t)_i, 60000, &rng);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_eq(c->block.runs, 0);
    column_free(c);
}
END_TEST

/* Products with a tenth, a hundredth, .. are not the nearest doubles to what they seem to be. */
START_TEST(products_take_the_mode_that_multiplies) /* loop test: _i digits */
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)_i);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = (double)varve_rng_below(&rng, 1000000) * (1 / power((uint32_t)_i));
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_int_eq(c->block.scale.mode, VARVE_ALP_MUL);
    ck_assert_uint_eq(c->block.runs, 0);
    column_free(c);
}
END_TEST

/* Where multiplying misses what the sample did not show, dividing misses nothing. */
START_TEST(long_decimals_take_the_mode_that_divides)
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, 4);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = (double)varve_rng_below(&rng, UINT64_C(2000000000000000)) / 1e8;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_int_eq(c->block.scale.mode, VARVE_ALP_DIV);
    ck_assert_uint_eq(c->block.runs, 0);
    column_free(c);
}
END_TEST

static const uint64_t oddities[] = {
    0x8000000000000000u, /* -0.0 */
    0x7ff0000000000000u, 0xfff0000000000000u,
    0x7ff8000000000000u, 0xfff8000000000123u, /* quiet NaN */
    0x7ff0000000000001u, 0xfff7ffffffffffffu, /* signalling NaN */
    0x0000000000000001u, 0x800fffffffffffffu, /* subnormal */
    0x0010000000000000u, 0x7fefffffffffffffu, /* least normal, greatest */
    0x431ffffffffffffcu, 0xc31ffffffffffffcu, /* 2^51 - 1 */
    0x4320000000000000u, 0xc320000000000000u, /* 2^51 */
    0x4330000000000000u, 0x4340000000000000u, /* 2^52, 2^53 */
    0x4350000000000001u, 0x444b1ae4d6e2ef50u, /* above, 1e21 */
    0x3ff0000000000001u, 0x3fd3333333333334u, /* next to 1.0, and 0.1 * 3 */
};
#define ODDITIES (sizeof oddities / sizeof *oddities)

START_TEST(whatever_is_no_decimal_is_an_exception)
{
    static const uint32_t rows[] = {9, 64, 127, 128, 777, 1024};
    struct varve_rng rng;

    varve_rng_seed(&rng, 6);
    for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct column *c = column_new(VARVE_LANE_F64, rows[r]);
        for (uint32_t o = 0; o < ODDITIES; o++) {
            for (uint32_t place = 0; place < 3; place++) {
                fill_decimals(c, 2, 50000, &rng);
                memcpy(&c->values[place == 0   ? 0
                                  : place == 1 ? rows[r] / 2
                                               : rows[r] - 1],
                       &oddities[o], 8);
                encode(c);
            }
        }
        for (uint32_t j = 0; j < rows[r]; j++)
            if (j % 11 == 3)
                memcpy(&c->values[j], &oddities[j / 11 % ODDITIES], 8);
        encode(c);
        ck_assert(rows[r] < 64 || c->block.codec == VARVE_CODEC_ALP);
        ck_assert(rows[r] < 64 || c->block.runs > rows[r] / 13);
        column_free(c);
    }
}
END_TEST

/* Where two thirds of the rows are exceptions nothing is saved. */
START_TEST(few_decimals_are_not_worth_it)
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, 7);
    fill_decimals(c, 2, 50000, &rng);
    for (uint32_t j = 0; j < ROWS; j++)
        if (j % 3 != 0)
            c->values[j] = varve_rng_unit(&rng);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_RAW);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = 1.0 + varve_rng_unit(&rng);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_RAW);
    column_free(c);
}
END_TEST

/* What is not live may hold anything and costs nothing. */
START_TEST(cells_that_are_not_live_are_no_exceptions)
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    uint64_t live[VARVE_BLOCK_STATE_WORDS];
    struct varve_rng rng;

    varve_rng_seed(&rng, 8);
    fill_decimals(c, 2, 50000, &rng);
    memset(live, 0xff, sizeof live);
    for (uint32_t j = 0; j < ROWS; j++) {
        if (j % 7 != 2)
            continue;
        c->values[j] = NAN;
        varve_bit_clear(live, j);
    }
    c->live = live;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_eq(c->block.runs, 0);
    c->values[99] = NAN; /* a live one, before cells that are not */
    for (uint32_t j = 100; j < 200; j++)
        varve_bit_clear(live, j);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_eq(c->block.runs, 1);
    column_free(c);
}
END_TEST

/* A regular column of doubles costs what a regular column of integers does. */
START_TEST(integers_inside_take_their_own_codec)
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);

    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = 100 + (double)j / 4;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_lt(c->out.size, 24);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = (double)(j / 50) / 10;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_lt(c->out.size, 80);
    column_free(c);
}
END_TEST

static void check_same_bytes(const struct column *c, struct varve_buffer *first)
{
    if (first->size == 0)
        varve_write_bytes(first, c->out.data, c->out.size);
    ck_assert_uint_eq(c->out.size, first->size);
    ck_assert_mem_eq(c->out.data, first->data, first->size);
}

/* The bytes and the values are the same in whatever mode the caller computes. */
START_TEST(the_callers_mode_changes_nothing) /* loop test: _i: floats or doubles */
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    struct column *c = column_new(_i == 1 ? VARVE_LANE_F32 : VARVE_LANE_F64, ROWS);
    struct varve_buffer first;
    struct varve_rng rng;

    varve_rng_seed(&rng, 9);
    varve_buffer_init(&first, &c->heap);
    fill_decimals(c, _i == 1 ? 2 : 7, UINT64_C(1) << (_i == 1 ? 20 : 45), &rng);
    memcpy(&c->values[500], &oddities[7], 8);
    c->narrow[500] = 0x1p-149F;
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(fesetround(modes[i]), 0);
#if defined(__SSE__)
        const unsigned int before = _mm_getcsr();
        _mm_setcsr(before | 0x8040u); /* subnormals are zeros, results and operands */
#endif
        encode(c);
        ck_assert_int_eq(fegetround(), modes[i]);
#if defined(__SSE__)
        ck_assert_uint_eq(_mm_getcsr() & 0x8040u, 0x8040u);
        _mm_setcsr(before);
#endif
        check_part(c, varve_kernels_get(), 0, ROWS);
        ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
        check_part(c, varve_kernels_get(), 0, ROWS);
        check_same_bytes(c, &first);
    }
    ck_assert_int_eq(c->block.codec, VARVE_CODEC_ALP);
    varve_buffer_free(&first);
    column_free(c);
}
END_TEST

/* Subnormal floats are widened for the zone: they are not zeros, whatever the caller's mode. */
START_TEST(zones_of_subnormals_are_kept)
{
    struct column *c = column_new(VARVE_LANE_F32, ROWS);
    const struct varve_lanes in = {.lane = VARVE_LANE_F32, .n = ROWS, .values = c->narrow};
    struct varve_zone zone = {0}, alone = {0};

    for (uint32_t j = 0; j < ROWS; j++)
        c->narrow[j] = (float)(1 + j % 7) * 0x1p-149F;
#if defined(__SSE__)
    const unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
#endif
    ck_assert_int_eq(varve_block_encode(&in, VARVE_ENCODE_ZONE, &c->out, &zone, NULL), 0);
    varve_zone_of(&in, &alone);
#if defined(__SSE__)
    _mm_setcsr(before);
#endif
    ck_assert(zone.min.f64 == 0x1p-149);
    ck_assert(zone.max.f64 == 0x7p-149);
    ck_assert(alone.min.f64 == 0x1p-149);
    ck_assert(alone.max.f64 == 0x7p-149);
    column_free(c);
}
END_TEST

/* The greatest integers of a scale, and the next, which are exceptions. */
START_TEST(integers_at_the_limit_are_kept) /* loop test: _i digits */
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)_i);
    for (uint32_t j = 0; j < ROWS; j++) {
        const int64_t below = (int64_t)varve_rng_below(&rng, 6) - 3;
        const int64_t integer = (j % 2 == 0 ? VARVE_ALP_INT_MAX : 1000) + below;
        c->values[j] = (double)(j % 3 == 0 ? -integer : integer) / power((uint32_t)_i);
    }
    encode(c);
    column_free(c);
}
END_TEST

/* Floats of a narrow range far from zero: their integers are long, and differ in few bits. */
START_TEST(floats_far_from_zero_are_packed)
{
    struct column *c = column_new(VARVE_LANE_F32, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, 12);
    for (uint32_t j = 0; j < ROWS; j++)
        c->narrow[j] = (float)(50000 + (double)varve_rng_below(&rng, 100000) / 100);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_lt(c->out.size, ROWS * 18 / 8);
    for (uint32_t j = 0; j < ROWS; j++)
        c->narrow[j] = (float)(5000000 + varve_rng_below(&rng, 1000));
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_lt(c->out.size, ROWS * 11 / 8);
    for (uint32_t j = 0; j < ROWS; j++)
        c->narrow[j] = (float)varve_rng_unit(&rng);
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_RAW);
    column_free(c);
}
END_TEST

/* Doubles whose nearest integers just fit have names by chance; that makes no decimals of them. */
START_TEST(doubles_of_any_magnitude_stay_raw) /* loop test: below 2^_i */
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)_i);
    for (uint32_t turn = 0; turn < 8; turn++) {
        for (uint32_t j = 0; j < ROWS; j++)
            c->values[j] = (1 + varve_rng_unit(&rng)) * (double)(UINT64_C(1) << _i) / 1048576;
        ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_RAW);
    }
    column_free(c);
}
END_TEST

/* Values that no scale gives back do not hide the right one for the others. */
START_TEST(what_never_comes_back_does_not_count)
{
    struct column *c = column_new(VARVE_LANE_F64, ROWS);
    struct varve_rng rng;

    varve_rng_seed(&rng, 13);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = j % 4 == 1 ? NAN : (5e9 + (double)varve_rng_below(&rng, 4000000)) / 1e5;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
    ck_assert_uint_eq(c->block.runs, ROWS / 4);
    for (uint32_t j = 0; j < ROWS; j++)
        c->values[j] = j % 2 == 1 ? NAN : INFINITY;
    ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_RAW);
    column_free(c);
}
END_TEST

/* Below eight rows the header costs what is saved. */
START_TEST(short_blocks_take_it_from_eight_rows_on)
{
    for (uint32_t n = 2; n <= 12; n++) {
        struct column *c = column_new(VARVE_LANE_F64, n);
        for (uint32_t j = 0; j < n; j++)
            c->values[j] = 100.25 + (double)(j * 7 % 5) / 4;
        ck_assert_int_eq(encode(c)->codec, n < 8 ? VARVE_CODEC_RAW : VARVE_CODEC_ALP);
        column_free(c);
    }
}
END_TEST

/* Exceptions at either end of what is asked for, and right outside of it. */
START_TEST(parts_hold_their_own_exceptions)
{
    static const uint32_t rows[] = {40, 127, 128, 1024};
    struct varve_rng rng;

    varve_rng_seed(&rng, 14);
    for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const uint32_t n = rows[r];
        struct column *c = column_new(VARVE_LANE_F64, n);
        fill_decimals(c, 2, 50000, &rng);
        for (uint32_t j = 9; j < n; j += 11)
            c->values[j] = c->values[j - 1] = NAN;
        ck_assert_int_eq(encode(c)->codec, VARVE_CODEC_ALP);
        for (uint32_t first = 7; first < 12; first++)
            for (uint32_t end = first + 1; end <= n; end += 1 + end / 8)
                check_part(c, varve_kernels_get(), first, end - first);
        column_free(c);
    }
}
END_TEST

/* Every integer of the range's ends, and some between, by arithmetic written out. */
START_TEST(kernels_compute_what_the_format_says)
{
    static const struct varve_alp_scale scales[] = {
        {VARVE_ALP_DIV, 0, 0},  {VARVE_ALP_DIV, 2, 0},   {VARVE_ALP_DIV, 18, 0},
        {VARVE_ALP_MUL, 0, 0},  {VARVE_ALP_MUL, 14, 12}, {VARVE_ALP_MUL, 18, 18},
        {VARVE_ALP_MUL, 18, 0}, {VARVE_ALP_MUL, 3, 1}};
    struct varve_rng rng;
    int64_t ints[ROWS];
    double out[ROWS];
    float narrow[ROWS];

    varve_rng_seed(&rng, 10);
    for (uint32_t j = 0; j < ROWS; j++)
        ints[j] = (int64_t)(varve_rng_next(&rng) >> (12 + j % 50)) + VARVE_ALP_INT_MIN * (j % 2);
    ints[0] = VARVE_ALP_INT_MIN;
    ints[ROWS - 1] = VARVE_ALP_INT_MAX;
    ints[7] = 0;
    for (uint32_t j = 0; j < ROWS; j++)
        if (ints[j] > VARVE_ALP_INT_MAX)
            ints[j] = VARVE_ALP_INT_MAX;
    for (uint32_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        const struct varve_alp_powers by = varve_alp_powers_of(scales[s]);
        for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
            bool sound = varve_kernels_at(p)->alp_f64(ints, ROWS, &by, out) &&
                         varve_kernels_at(p)->alp_f32(ints, ROWS, &by, narrow);
            for (uint32_t j = 0; j < ROWS; j++) {
                const volatile double scaled = (double)ints[j] * power(scales[s].f);
                const double want =
                    by.divides ? (double)ints[j] / power(scales[s].e) : scaled * by.e_inverse;
                const float single = (float)want;
                sound =
                    sound && memcmp(&out[j], &want, 8) == 0 && memcmp(&narrow[j], &single, 4) == 0;
            }
            ck_assert(sound);
        }
    }
}
END_TEST

START_TEST(kernels_refuse_integers_out_of_range)
{
    static const int64_t beyond[] = {VARVE_ALP_INT_MAX + 1, VARVE_ALP_INT_MIN - 1, INT64_MAX,
                                     INT64_MIN};
    const struct varve_alp_powers by =
        varve_alp_powers_of((struct varve_alp_scale){VARVE_ALP_DIV, 2, 0});
    int64_t ints[131] = {0};
    double out[131];
    float narrow[131];

    for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
        for (uint32_t i = 0; i < 4; i++) {
            for (uint32_t j = 0; j < 131; j++) {
                ints[j] = beyond[i];
                ck_assert(!varve_kernels_at(p)->alp_f64(ints, 131, &by, out));
                ck_assert(!varve_kernels_at(p)->alp_f32(ints, 131, &by, narrow));
                ints[j] = 0;
            }
        }
        ck_assert(varve_kernels_at(p)->alp_f64(ints, 131, &by, out));
    }
}
END_TEST

/* Integers of any bits are in range, and the rows that come back are told from the others. */
START_TEST(kernels_tell_what_comes_back) /* loop test: _i: floats or doubles */
{
    const bool single = _i == 1;
    struct varve_rng rng;
    double values[ROWS], back[ROWS];
    float floats[ROWS], narrow[ROWS];
    int64_t ints[ROWS];
    uint64_t missed[VARVE_BLOCK_STATE_WORDS];

    varve_rng_seed(&rng, 11);
    for (uint32_t turn = 0; turn < 40; turn++) {
        const uint32_t n = turn % 4 == 3 ? ROWS : 1 + (uint32_t)varve_rng_below(&rng, ROWS);
        const struct varve_alp_scale scale = {
            (uint8_t)(turn % 2 == 0 ? VARVE_ALP_DIV : VARVE_ALP_MUL), (uint8_t)(turn % 19),
            (uint8_t)(turn % 2 == 0 ? 0 : turn % 19 / 2)};
        const struct varve_alp_powers by = varve_alp_powers_of(scale);
        for (uint32_t j = 0; j < n; j++) {
            uint64_t bits = varve_rng_next(&rng);
            memcpy(&values[j], j % 9 == 0 ? &bits : &oddities[j % ODDITIES], 8);
            if (j % 2 == 0)
                values[j] = (double)varve_rng_below(&rng, 100000) / 100;
            floats[j] = (float)values[j];
        }
        const void *in = single ? (const void *)floats : values;
        void *out = single ? (void *)narrow : back;
        for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
            const struct varve_kernels *k = varve_kernels_at(p);
            memset(missed, 0xff, sizeof missed);
            k->alp_ints(in, n, &by, single, ints, missed);
            bool sound = single ? k->alp_f32(ints, n, &by, narrow) : k->alp_f64(ints, n, &by, back);
            for (uint32_t j = 0; j < n; j++) {
                const size_t size = single ? 4 : 8, at = j * size;
                const bool differs =
                    memcmp((uint8_t *)out + at, (const uint8_t *)in + at, size) != 0;
                sound = sound && varve_bit_get(missed, j) == differs;
            }
            sound = sound && (n % 64 == 0 || missed[n / 64] >> n % 64 == 0);
            ck_assert(sound);
        }
    }
}
END_TEST

/* As many exceptions as rows: nothing that is written, but readers take it. */
START_TEST(a_block_of_exceptions_alone_is_read)
{
    enum { N = 200 };
    struct column *c = column_new(VARVE_LANE_F64, N);
    uint64_t rows[N];

    for (uint32_t j = 0; j < N; j++) {
        rows[j] = j;
        memcpy(&c->values[j], &oddities[j % ODDITIES], 8);
    }
    varve_block_header_write(&c->out, VARVE_CODEC_ALP, VARVE_LANE_F64, 0, N);
    varve_write_u8(&c->out, VARVE_ALP_DIV);
    varve_write_u8(&c->out, 3);
    varve_write_u8(&c->out, 0);
    varve_write_u16(&c->out, N);
    varve_block_header_write(&c->out, VARVE_CODEC_CONST, VARVE_LANE_I64, 0, N);
    varve_write_zigzag(&c->out, 5);
    varve_bit_string_write(&c->out, rows, N, 8);
    varve_write_bytes(&c->out, c->values, N * sizeof *c->values);
    ck_assert_int_eq(varve_block_open(varve_buffer_span(&c->out), c->lane, N, &c->block, NULL), 0);
    for (uint32_t first = 0; first < N; first += 7)
        check_part(c, varve_kernels_get(), first, (N - first + 1) / 2);
    column_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_alp");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, decimals_of_any_digits_have_no_exceptions, 0, 19);
    tcase_add_loop_test(tcase, floats_of_few_digits_take_it_too, 0, 10);
    tcase_add_loop_test(tcase, products_take_the_mode_that_multiplies, 1, 7);
    tcase_add_test(tcase, long_decimals_take_the_mode_that_divides);
    tcase_add_test(tcase, whatever_is_no_decimal_is_an_exception);
    tcase_add_test(tcase, few_decimals_are_not_worth_it);
    tcase_add_test(tcase, cells_that_are_not_live_are_no_exceptions);
    tcase_add_test(tcase, integers_inside_take_their_own_codec);
    tcase_add_loop_test(tcase, the_callers_mode_changes_nothing, 0, 2);
    tcase_add_test(tcase, zones_of_subnormals_are_kept);
    tcase_add_loop_test(tcase, integers_at_the_limit_are_kept, 0, 19);
    tcase_add_test(tcase, floats_far_from_zero_are_packed);
    tcase_add_loop_test(tcase, doubles_of_any_magnitude_stay_raw, 0, 52);
    tcase_add_test(tcase, what_never_comes_back_does_not_count);
    tcase_add_test(tcase, short_blocks_take_it_from_eight_rows_on);
    tcase_add_test(tcase, parts_hold_their_own_exceptions);
    tcase_add_test(tcase, kernels_compute_what_the_format_says);
    tcase_add_test(tcase, kernels_refuse_integers_out_of_range);
    tcase_add_loop_test(tcase, kernels_tell_what_comes_back, 0, 2);
    tcase_add_test(tcase, a_block_of_exceptions_alone_is_read);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
