/*
 * test_value_fold.c - selections, ranks, folds and zone statistics against the plain loop.
 *
 * Method: the same samples as the round trips; a loop that is obviously right says what each call
 * must give, on every path, over ranges, with and without cells that are not live.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

static bool is_float(uint8_t lane)
{
    return lane == VARVE_LANE_F32 || lane == VARVE_LANE_F64;
}

static bool is_scalar(uint8_t lane)
{
    return varve_lane_is_integer(lane) || is_float(lane);
}

static union varve_scalar value_of(const struct sample *s, uint32_t row)
{
    union varve_scalar v = {.i64 = 0};
    switch (s->in.lane) {
    case VARVE_LANE_I8:
        v.i64 = ((const int8_t *)s->values)[row];
        break;
    case VARVE_LANE_I16:
        v.i64 = ((const int16_t *)s->values)[row];
        break;
    case VARVE_LANE_I32:
        v.i64 = ((const int32_t *)s->values)[row];
        break;
    case VARVE_LANE_F32:
        v.f64 = (double)((const float *)s->values)[row];
        break;
    default:
        memcpy(&v, s->values + row, sizeof v);
        break;
    }
    return v;
}

/* < 0, 0, > 0: NaN greatest and all one; `zeros`: -0.0 below 0.0. */
static int order(uint8_t lane, union varve_scalar a, union varve_scalar b, bool zeros)
{
    if (!is_float(lane))
        return (a.i64 > b.i64) - (a.i64 < b.i64);
    const bool a_nan = a.f64 != a.f64, b_nan = b.f64 != b.f64;
    if (a_nan || b_nan)
        return a_nan - b_nan;
    if (a.f64 == 0 && b.f64 == 0 && zeros)
        return (a.i64 == 0) - (b.i64 == 0); /* the bits of -0.0 are not 0 */
    return (a.f64 > b.f64) - (a.f64 < b.f64);
}

struct expected {
    struct varve_fold fold;
    struct varve_exact_sum fsum;
    uint32_t nan;
};

static void expect(const struct sample *s, uint32_t first, uint32_t n, struct expected *e)
{
    memset(e, 0, sizeof *e);
    varve_exact_reset(&e->fsum);
    for (uint32_t j = first; j < first + n; j++) {
        const union varve_scalar v = value_of(s, j);
        if (!sample_is_live(s, j))
            continue;
        e->fold.count++;
        if (!is_scalar(s->in.lane))
            continue;
        if (is_float(s->in.lane))
            varve_exact_add(&e->fsum, &v.f64, 1);
        else
            e->fold.sum += v.i64;
        e->nan += is_float(s->in.lane) && v.f64 != v.f64;
        if (!e->fold.has_range || order(s->in.lane, v, e->fold.min, true) < 0)
            e->fold.min = v;
        if (!e->fold.has_range || order(s->in.lane, v, e->fold.max, true) > 0)
            e->fold.max = v;
        if (!e->fold.has_first)
            e->fold.first = v;
        e->fold.last = v;
        e->fold.has_range = e->fold.has_first = true;
    }
}

/* Bits, except that every NaN of min and max is one. */
static bool same(uint8_t lane, union varve_scalar a, union varve_scalar b, bool any_nan)
{
    if (any_nan && is_float(lane) && a.f64 != a.f64 && b.f64 != b.f64)
        return true;
    return a.i64 == b.i64;
}

static bool same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

static bool fold_matches(uint8_t lane, const struct varve_fold *got, const struct expected *e)
{
    if (got->count != e->fold.count)
        return false;
    if (!is_scalar(lane))
        return true;
    if (got->has_first != e->fold.has_first || got->has_range != e->fold.has_range)
        return false;
    if (is_float(lane) && !same_double(varve_exact_round(got->fsum), varve_exact_round(&e->fsum)))
        return false;
    if (!got->has_first)
        return true;
    return same(lane, got->first, e->fold.first, false) &&
           same(lane, got->last, e->fold.last, false) && same(lane, got->min, e->fold.min, true) &&
           same(lane, got->max, e->fold.max, true) && (is_float(lane) || got->sum == e->fold.sum);
}

static void check_folds(const struct sample *s, const struct varve_block *block, uint32_t first,
                        uint32_t n)
{
    const uint32_t want = 63;
    struct varve_exact_sum fsum;
    struct varve_fold fold = {.fsum = &fsum};
    struct expected e;
    bool sound = true;

    expect(s, first, n, &e);
    for (uint32_t i = 0; varve_kernels_at(i) != NULL; i++) {
        const struct varve_kernels *k = varve_kernels_at(i);
        const uint32_t half = n / 3;
        varve_fold_reset(&fold);
        varve_fold_lanes_with(k, &fold, want, &s->in, first, n);
        sound = sound && fold_matches(s->in.lane, &fold, &e);
        varve_fold_reset(&fold);
        sound = sound && varve_block_fold_with(k, block, first, half, want, &fold, NULL) == 0;
        sound = sound &&
                varve_block_fold_with(k, block, first + half, n - half, want, &fold, NULL) == 0;
        sound = sound && fold_matches(s->in.lane, &fold, &e);
    }
    ck_assert(sound);
}

/* What runs say of themselves, and what they fold to. */
static bool runs_match(const struct sample *s, const struct varve_run_folds *runs, uint32_t first,
                       const uint32_t *ends)
{
    struct varve_exact_sum fsum;
    struct varve_fold fold = {.fsum = &fsum};
    int64_t least[VARVE_RUNS_MAX], greatest[VARVE_RUNS_MAX];
    double sums[VARVE_RUNS_MAX];
    const bool floats = is_float(s->in.lane);

    varve_run_extremes(runs, false, runs->n, least);
    varve_run_extremes(runs, true, runs->n, greatest);
    if (floats)
        varve_run_sums(runs, runs->n, sums);
    for (uint32_t k = 0; k < runs->n; k++) {
        const uint32_t begin = k == 0 ? 0 : ends[k - 1];
        struct expected e;
        expect(s, first + begin, ends[k] - begin, &e);
        varve_fold_reset(&fold);
        varve_fold_run(&fold, 63, runs, k);
        if (varve_run_count(runs, k) != e.fold.count || !fold_matches(s->in.lane, &fold, &e))
            return false;
        if (floats && !same_double(sums[k], varve_exact_round(&e.fsum)))
            return false;
        if (!floats && e.fold.has_range && runs->ranges[k].sum != e.fold.sum)
            return false;
        const union varve_scalar min = {.i64 = least[k]}, max = {.i64 = greatest[k]};
        if (e.fold.has_range &&
            (!same(s->in.lane, min, e.fold.min, true) || !same(s->in.lane, max, e.fold.max, true)))
            return false;
    }
    return true;
}

/* Cut into runs of `most` rows and, in between, of one. */
static void check_runs(const struct sample *s, uint32_t first, uint32_t n, uint32_t most)
{
    uint32_t ends[VARVE_RUNS_MAX], n_runs = 0, at = 0;
    struct varve_run_folds *runs = malloc(sizeof *runs);
    bool sound = runs != NULL;

    while (at < n && n_runs < VARVE_RUNS_MAX) {
        const uint32_t take = n_runs % 5 == 4 ? 1 : most;
        at += take < n - at ? take : n - at;
        ends[n_runs++] = at;
    }
    for (uint32_t i = 0; n_runs > 0 && varve_kernels_at(i) != NULL; i++) {
        varve_fold_runs_with(varve_kernels_at(i), 63, &s->in, s->in.live, first, ends, n_runs,
                             runs);
        sound = sound && runs->n == n_runs && runs_match(s, runs, first, ends);
    }
    ck_assert(sound);
    free(runs);
}

static void check_zone(const struct sample *s, const struct varve_zone *zone)
{
    const uint8_t lane = s->in.lane;
    struct varve_exact_sum fsum;
    struct varve_fold fold = {.fsum = &fsum};
    struct expected e;

    expect(s, 0, s->in.n, &e);
    ck_assert_uint_eq(zone->live, e.fold.count);
    ck_assert_uint_eq(zone->nan, e.nan);
    ck_assert_int_eq(zone->has_range, is_scalar(lane) && e.fold.count > e.nan);
    ck_assert_int_eq(zone->has_ends, is_scalar(lane) && e.fold.count > 0);
    if (zone->live > 0) {
        ck_assert(sample_is_live(s, zone->first_row) && sample_is_live(s, zone->last_row));
        bool inside = true;
        for (uint32_t j = 0; j < s->in.n; j++)
            inside =
                inside && (!sample_is_live(s, j) || (j >= zone->first_row && j <= zone->last_row));
        ck_assert(inside);
    }
    varve_fold_reset(&fold);
    varve_fold_zone(&fold, 63, lane, zone);
    if (is_float(lane) && !zone->has_sum)
        fsum = e.fsum; /* then the values are read instead */
    ck_assert(fold_matches(lane, &fold, &e));
}

static void check_same_zone(const struct varve_zone *a, const struct varve_zone *b)
{
    ck_assert(
        a->live == b->live && a->nan == b->nan && a->has_range == b->has_range &&
        a->has_sum == b->has_sum && a->has_ends == b->has_ends && a->first_row == b->first_row &&
        a->last_row == b->last_row && a->min.i64 == b->min.i64 && a->max.i64 == b->max.i64 &&
        a->first.i64 == b->first.i64 && a->last.i64 == b->last.i64 && a->sum == b->sum &&
        a->partial.mantissa == b->partial.mantissa && a->partial.exponent == b->partial.exponent);
}

static bool holds(int order, uint32_t op)
{
    switch (op) {
    case VARVE_EQ:
        return order == 0;
    case VARVE_NE:
        return order != 0;
    case VARVE_LT:
        return order < 0;
    case VARVE_LE:
        return order <= 0;
    case VARVE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

/* What each operator selects of rows [first, first + n), by the plain loop; row n / 2 was not
 * selected before. */
static void expect_selected(const struct sample *s, uint32_t first, uint32_t n,
                            union varve_scalar operand,
                            uint64_t want[VARVE_GE + 1][VARVE_BLOCK_STATE_WORDS])
{
    memset(want, 0, (VARVE_GE + 1) * sizeof want[0]);
    for (uint32_t j = 0; j < n; j++) {
        if (j == n / 2 || !sample_is_live(s, first + j))
            continue;
        const int sign = order(s->in.lane, value_of(s, first + j), operand, false);
        for (uint32_t op = VARVE_EQ; op <= VARVE_GE; op++)
            if (holds(sign, op))
                varve_bit_set(want[op], j);
    }
}

static void check_select(const struct sample *s, const struct varve_block *block, uint32_t first,
                         uint32_t n, union varve_scalar operand)
{
    uint64_t want[VARVE_GE + 1][VARVE_BLOCK_STATE_WORDS];
    const uint64_t last = n % 64 == 0 ? UINT64_MAX : (UINT64_C(1) << n % 64) - 1;
    const uint32_t words = (n + 63) / 64;
    bool sound = true;

    expect_selected(s, first, n, operand, want);
    for (uint32_t i = 0; varve_kernels_at(i) != NULL; i++) {
        for (uint32_t op = VARVE_EQ; op <= VARVE_GE; op++) {
            uint64_t selected[VARVE_BLOCK_STATE_WORDS];
            memset(selected, 0xff, sizeof selected);
            varve_bit_clear(selected, n / 2);
            sound = sound && varve_block_select_with(varve_kernels_at(i), block, first, n, op,
                                                     operand, selected, NULL) == 0;
            if (words > 0) {
                selected[words - 1] &= last;
                sound = sound && memcmp(selected, want[op], words * sizeof *selected) == 0;
            }
        }
    }
    ck_assert(sound);
}

static void check_sample(const struct sample *s, struct varve_heap *heap)
{
    struct varve_buffer out;
    struct varve_block block;
    struct varve_zone zone, again;
    const uint32_t n = s->in.n;

    varve_buffer_init(&out, heap);
    ck_assert_int_eq(varve_block_encode(&s->in, VARVE_ENCODE_ZONE, &out, &zone, NULL), 0);
    ck_assert_int_eq(varve_block_open(varve_buffer_span(&out), s->in.lane, n, &block, NULL), 0);
    check_zone(s, &zone);
    for (uint32_t i = 0; varve_kernels_at(i) != NULL; i++) {
        varve_zone_gather(varve_kernels_at(i), &s->in, s->in.live, &again);
        check_same_zone(&again, &zone);
    }
    check_folds(s, &block, 0, n);
    check_folds(s, &block, n / 3, n - n / 3);
    check_folds(s, &block, n / 2, n / 4);
    if (is_scalar(s->in.lane)) {
        union varve_scalar nan = {.i64 = 3};
        check_runs(s, 0, n, 60);
        check_runs(s, n / 3, n - n / 3, 7);
        check_runs(s, 0, n, 200); /* longer than halves add exactly */
        check_select(s, &block, 0, n, value_of(s, n / 2));
        check_select(s, &block, n / 3, n - n / 3, value_of(s, 0));
        if (is_float(s->in.lane))
            nan.i64 = (int64_t)UINT64_C(0xfff8000000000001);
        check_select(s, &block, 0, n, nan);
        check_select(s, &block, 0, n, (union varve_scalar){.i64 = 0});
    }
    varve_buffer_free(&out);
}

START_TEST(folds_and_selections_are_the_plain_loop) /* loop test: _i is the lane */
{
    static const uint32_t rows[] = {1, 2, 63, 65, 127, 128, 720, 1024};
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (int shape = 0; shape < SHAPE_COUNT; shape++) {
        for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            for (int states = 0; states < STATES_COUNT; states++) {
                sample_fill(s, (uint8_t)_i, (enum sample_shape)shape, rows[r],
                            (enum sample_state)states, 2);
                check_sample(s, &heap);
            }
        }
    }
    free(s);
}
END_TEST

static uint32_t rank_of(const struct sample *s, uint32_t first, uint32_t n, int64_t key)
{
    uint32_t below = 0;
    for (uint32_t j = first; j < first + n; j++)
        below += value_of(s, j).i64 < key;
    return below;
}

static void check_ranks(const struct sample *s, const struct varve_block *block, uint32_t first,
                        uint32_t n)
{
    bool sound = true;

    for (uint32_t j = 0; j <= 16; j++) {
        const int64_t value = value_of(s, first + (n - 1) * j / 16).i64;
        const int64_t keys[] = {value, value > INT64_MIN ? value - 1 : value,
                                value < INT64_MAX ? value + 1 : value, INT64_MIN, INT64_MAX};
        for (uint32_t i = 0; i < 5; i++) {
            const uint32_t want = rank_of(s, first, n, keys[i]);
            for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
                uint32_t rank = UINT32_MAX;
                sound = sound &&
                        varve_block_rank_with(varve_kernels_at(p), block, first, n, keys[i], &rank,
                                              NULL) == 0 &&
                        rank == want;
            }
        }
    }
    ck_assert(sound);
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(ranks_in_ascending_rows_are_the_plain_loop) /* loop test: _i is the shape */
{
    static const uint32_t rows[] = {1, 2, 127, 128, 129, 257, 720, 1024};
    struct varve_heap heap;
    struct varve_buffer out;
    struct varve_block block;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&out, &heap);
    for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const uint32_t n = rows[r];
        sample_fill(s, VARVE_LANE_I64, (enum sample_shape)_i, n, STATES_ALL, 3);
        qsort(s->values, n, sizeof *s->values, by_value);
        varve_buffer_clear(&out);
        ck_assert_int_eq(varve_block_encode(&s->in, 0, &out, NULL, NULL), 0);
        ck_assert_int_eq(varve_block_open(varve_buffer_span(&out), VARVE_LANE_I64, n, &block, NULL),
                         0);
        check_ranks(s, &block, 0, n);
        check_ranks(s, &block, n / 3, n - n / 3);
        check_ranks(s, &block, n / 2, (n + 3) / 4);
    }
    varve_buffer_free(&out);
    free(s);
}
END_TEST

/* 2^63 - 1 a thousand times does not fit in 64 bits. */
START_TEST(sums_do_not_overflow)
{
    struct varve_fold fold = {0};
    int64_t values[VARVE_VECTOR_ROWS];

    for (uint32_t j = 0; j < 1024; j++)
        values[j] = j < 1000 ? INT64_MAX : INT64_MIN;
    const struct varve_lanes in = {.lane = VARVE_LANE_I64, .n = 1024, .values = values};
    varve_fold_lanes(&fold, 63, &in, 0, 1000);
    ck_assert(fold.sum == (varve_i128)INT64_MAX * 1000);
    varve_fold_lanes(&fold, 63, &in, 1000, 24);
    ck_assert(fold.sum == (varve_i128)INT64_MAX * 1000 + (varve_i128)INT64_MIN * 24);
}
END_TEST

/* Short runs: zeros keep their sign as in the long way, distant values and NaN take it. */
START_TEST(runs_of_doubles_round_once)
{
    enum { RUN = 6 };
    static const double tiny = 0x1p-40, huge = 0x1p300;
    static const struct {
        double run[RUN];
    } pairs[][2] = {{{{-0.0, -0.0, -0.0, -0.0, -0.0, -0.0}}, {{1.5, 2.5, 3.5, -0.0, 0.0, 1.0}}},
                    {{{-0.0, -0.0, -0.0, 0.0, -0.0, -0.0}}, {{1.5, -1.5, 3.5, -3.5, 2.0, -2.0}}},
                    {{{1.0, 0x1p-30, -1.0, 0x1p-31, 0.0, 0.1}}, {{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}}},
                    {{{huge, 1.0, -huge, tiny, 0.0, 0.0}}, {{1.0, tiny, tiny, -1.0, 3.0, 4.0}}},
                    {{{1.0, INFINITY, 2.0, 3.0, 0.0, 0.0}}, {{1.0, NAN, 2.0, 1e-320, 0.0, 1.0}}}};
    static const uint32_t ends[] = {RUN, 2 * RUN};
    struct varve_run_folds runs;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (uint32_t p = 0; varve_kernels_at(p) != NULL; p++) {
            const struct varve_lanes in = {
                .lane = VARVE_LANE_F64, .n = 2 * RUN, .values = pairs[i]};
            double sums[2];
            varve_fold_runs_with(varve_kernels_at(p), 63, &in, NULL, 0, ends, 2, &runs);
            varve_run_sums(&runs, 2, sums);
            for (uint32_t k = 0; k < 2; k++) {
                struct varve_exact_sum sum;
                varve_exact_reset(&sum);
                for (int j = 0; j < RUN; j++)
                    varve_exact_add(&sum, &pairs[i][k].run[j], 1);
                ck_assert(same_double(sums[k], varve_exact_round(&sum)));
            }
        }
    }
}
END_TEST

/* Columns in memory may be longer than a vector, and start at any bit of a bitmap. */
START_TEST(long_columns_fold_in_pieces)
{
    enum { ROWS = 5000 };
    struct varve_fold fold = {0};
    int64_t sum = 0, count = 0;
    int32_t *values = malloc(ROWS * sizeof *values);
    uint64_t live[(ROWS + 63) / 64] = {0};

    ck_assert_ptr_nonnull(values);
    for (int32_t j = 0; j < ROWS; j++) {
        values[j] = j * 31 % 977;
        if (j % 3 != 0)
            varve_bit_set(live, (size_t)j);
        sum += j >= 77 && j % 3 != 0 ? values[j] : 0;
        count += j >= 77 && j % 3 != 0;
    }
    const struct varve_lanes in = {
        .lane = VARVE_LANE_I32, .n = ROWS, .values = values, .live = live};
    varve_fold_lanes(&fold, 63, &in, 77, ROWS - 77);
    ck_assert(fold.sum == sum);
    ck_assert(fold.count == (uint64_t)count);
    free(values);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("value_fold");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, folds_and_selections_are_the_plain_loop, VARVE_LANE_I8,
                        VARVE_LANE_BYTES + 1);
    tcase_add_loop_test(tcase, ranks_in_ascending_rows_are_the_plain_loop, 0, SHAPE_COUNT);
    tcase_add_test(tcase, sums_do_not_overflow);
    tcase_add_test(tcase, runs_of_doubles_round_once);
    tcase_add_test(tcase, long_columns_fold_in_pieces);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
