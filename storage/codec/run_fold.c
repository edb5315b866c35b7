/*
 * run_fold.c - count, sum, min, max of many short runs of a column at once.
 *
 * An hour of minutes is 60 rows: folding it by itself costs more in calls than in rows. Here cells
 * that are not live are taken out of all runs first, and one call of a kernel does every run.
 *
 * Floats. Where no value of the column is NaN, an infinity or far from the others, and no run is
 * long, runs are folded by keys and halves (exact.h). Otherwise nothing is computed ahead, and each
 * run goes through varve_fold_lanes() when it is asked for: the answers are the same.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define NUMBERS (VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX)

/* Ends of runs among the live cells. */
static void count_runs(struct varve_run_folds *runs, const uint64_t *live, uint32_t first,
                       const uint32_t *ends)
{
    if (live == NULL) {
        memcpy(runs->ends, ends, runs->n * sizeof *ends);
        return;
    }
    uint64_t bits[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)] = {0};
    varve_bitmap_copy(bits, 0, live, first, ends[runs->n - 1]);
    uint32_t count = 0, word = 0;
    for (uint32_t k = 0; k < runs->n; k++) {
        for (; word < ends[k] / 64; word++)
            count += (uint32_t)__builtin_popcountll(bits[word]);
        const uint64_t below = ((uint64_t)1 << ends[k] % 64) - 1;
        runs->ends[k] =
            count + (below == 0 ? 0 : (uint32_t)__builtin_popcountll(bits[word] & below));
    }
}

/* The live cells of rows [first, first + n), close together, as int64 or double. */
static void gather_values(const struct varve_kernels *k, struct varve_run_folds *runs,
                          const struct varve_lanes *in, const uint64_t *live, uint32_t first,
                          uint32_t n)
{
    const uint32_t size = varve_lane_size(in->lane);
    const uint8_t *values = (const uint8_t *)in->values + (size_t)first * size;
    _Alignas(64) uint8_t part[VARVE_VECTOR_ROWS * sizeof(int64_t)];

    if (live != NULL) {
        uint64_t bits[VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)] = {0};
        varve_bitmap_copy(bits, 0, live, first, n);
        n = varve_gather_live(values, size, bits, n, size == 8 ? (void *)runs->wide : part);
        values = size == 8 ? (const uint8_t *)runs->wide : part;
    }
    runs->values = runs->wide;
    if (in->lane == VARVE_LANE_I64 || in->lane == VARVE_LANE_F64)
        runs->values = values;
    else if (in->lane == VARVE_LANE_F32)
        k->widen_f32((const float *)(const void *)values, n, (double *)runs->wide);
    else
        varve_ints_widen(k, in->lane, values, n, runs->wide);
}

static void fold_floats(const struct varve_kernels *k, struct varve_run_folds *runs, uint32_t want,
                        uint32_t n)
{
    _Alignas(64) int64_t keys[VARVE_VECTOR_ROWS];
    struct varve_exact_span span;
    double splitter;

    for (uint32_t r = 0; r < runs->n; r++)
        if (varve_run_count(runs, r) > VARVE_EXACT_RUN)
            return;
    if (n == 0)
        return;
    k->f64_span(runs->values, n, &span);
    if (!varve_exact_splitter(&span, &splitter))
        return;
    if ((want & VARVE_FOLD_SUM) != 0)
        k->f64_run_halves(runs->values, runs->ends, runs->n, splitter, runs->halves);
    if ((want & (VARVE_FOLD_MIN | VARVE_FOLD_MAX)) != 0) {
        k->f64_keys(runs->values, n, keys);
        k->int_runs(keys, runs->ends, runs->n, runs->ranges);
    }
    runs->has_halves = true;
    runs->has_range = true;
}

void varve_fold_runs_with(const struct varve_kernels *k, uint32_t want,
                          const struct varve_lanes *in, const uint64_t *live, uint32_t first,
                          const uint32_t *ends, uint32_t n_runs, struct varve_run_folds *ret_runs)
{
    const bool floats = in->lane == VARVE_LANE_F32 || in->lane == VARVE_LANE_F64;

    assert(n_runs > 0 && n_runs <= VARVE_RUNS_MAX);
    assert(in->n <= VARVE_VECTOR_ROWS && first <= in->n && ends[n_runs - 1] <= in->n - first);
    assert(floats || varve_lane_is_integer(in->lane));
    ret_runs->n = n_runs;
    ret_runs->lane = floats ? VARVE_LANE_F64 : VARVE_LANE_I64;
    ret_runs->has_range = ret_runs->has_halves = false;
    count_runs(ret_runs, live, first, ends);
    gather_values(k, ret_runs, in, live, first, ends[n_runs - 1]);
    if ((want & NUMBERS) == 0)
        return;
    if (floats) {
        fold_floats(k, ret_runs, want, ret_runs->ends[n_runs - 1]);
    } else {
        k->int_runs(ret_runs->values, ret_runs->ends, n_runs, ret_runs->ranges);
        ret_runs->has_range = true;
    }
}

void varve_fold_runs(uint32_t want, const struct varve_lanes *in, const uint64_t *live,
                     uint32_t first, const uint32_t *ends, uint32_t n_runs,
                     struct varve_run_folds *ret_runs)
{
    varve_fold_runs_with(varve_kernels_get(), want, in, live, first, ends, n_runs, ret_runs);
}

/* The values of run k. */
static struct varve_lanes lanes_of_run(const struct varve_run_folds *runs, uint32_t k)
{
    return (struct varve_lanes){.lane = runs->lane,
                                .n = varve_run_count(runs, k),
                                .values = (const int64_t *)runs->values + varve_run_begin(runs, k)};
}

static bool is_zero(const struct varve_exact_halves *halves)
{
    return halves->high == 0.0 && halves->low == 0.0;
}

void varve_fold_run(struct varve_fold *fold, uint32_t want, const struct varve_run_folds *runs,
                    uint32_t k)
{
    const struct varve_lanes lanes = lanes_of_run(runs, k);
    const union varve_scalar *values = lanes.values;

    if (lanes.n == 0)
        return;
    if (!runs->has_range) {
        varve_fold_lanes(fold, want, &lanes, 0, lanes.n);
        return;
    }
    if (!fold->has_first)
        fold->first = values[0];
    fold->last = values[lanes.n - 1];
    fold->has_first = true;
    fold->count += lanes.n;
    if (runs->lane == VARVE_LANE_I64) {
        varve_fold_int_range(fold, &runs->ranges[k]);
        return;
    }
    if ((want & (VARVE_FOLD_MIN | VARVE_FOLD_MAX)) != 0)
        varve_fold_keys(fold, &(struct varve_key_range){.min = runs->ranges[k].min,
                                                        .max = runs->ranges[k].max});
    if ((want & VARVE_FOLD_SUM) == 0 || fold->fsum == NULL)
        return;
    if (is_zero(&runs->halves[k]))
        varve_exact_add(fold->fsum, lanes.values, lanes.n);
    else
        varve_exact_add_halves(fold->fsum, &runs->halves[k]);
}

static double exact_sum(const struct varve_run_folds *runs, uint32_t k)
{
    const struct varve_lanes lanes = lanes_of_run(runs, k);
    struct varve_exact_sum sum;

    varve_exact_reset(&sum);
    varve_exact_add(&sum, lanes.values, lanes.n);
    return varve_exact_round(&sum);
}

void varve_run_sums(const struct varve_run_folds *runs, uint32_t n_runs, double *out)
{
    assert(n_runs <= runs->n && runs->lane == VARVE_LANE_F64);
    for (uint32_t k = 0; k < n_runs; k++) {
        if (runs->has_halves && !is_zero(&runs->halves[k]))
            out[k] = runs->halves[k].high + runs->halves[k].low;
        else
            out[k] = exact_sum(runs, k);
    }
}

/* Of a run for which nothing was computed ahead. */
static int64_t find_extreme(const struct varve_run_folds *runs, bool greatest, uint32_t k)
{
    const struct varve_lanes lanes = lanes_of_run(runs, k);
    struct varve_fold fold = {.count = 0};

    varve_fold_lanes(&fold, VARVE_FOLD_MIN | VARVE_FOLD_MAX, &lanes, 0, lanes.n);
    return greatest ? fold.max.i64 : fold.min.i64;
}

void varve_run_extremes(const struct varve_run_folds *runs, bool greatest, uint32_t n_runs,
                        int64_t *out)
{
    assert(n_runs <= runs->n);
    for (uint32_t k = 0; k < n_runs; k++) {
        out[k] = greatest ? runs->ranges[k].max : runs->ranges[k].min;
        if (!runs->has_range) {
            out[k] = find_extreme(runs, greatest, k);
        } else if (runs->lane == VARVE_LANE_F64) {
            const double value = varve_f64_of_key(out[k]);
            memcpy(&out[k], &value, sizeof value);
        }
    }
}
