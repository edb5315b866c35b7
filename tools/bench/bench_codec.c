/*
 * bench_codec.c - rates of the kernels and of whole blocks, a line each, every path in one run.
 *
 * Data stay in the first-level cache. A line gives the best of several repetitions, so that what
 * else the machine does shows as little as possible; the scalar path is the baseline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/base/rng.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

#define ROWS 1024u
#define CALLS 2000u
#define REPETITIONS 15u

struct bench {
    const struct varve_kernels *k;
    struct varve_lanes in;
    struct varve_block block;
    struct varve_buffer out;
    uint32_t width;
    uint32_t encode_flags;
    uint32_t want;
    _Alignas(64) int64_t values[ROWS];
    _Alignas(64) int64_t result[ROWS];
    uint64_t selected[ROWS / 64];
    struct varve_exact_sum fsum;
    uint8_t packed[ROWS * 8];
};

typedef void bench_fn(struct bench *b);

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double run(struct bench *b, bench_fn *fn)
{
    double best = 1e30;
    for (uint32_t r = 0; r < REPETITIONS; r++) {
        const double start = now_ns();
        for (uint32_t i = 0; i < CALLS; i++)
            fn(b);
        const double each = (now_ns() - start) / CALLS / ROWS;
        best = each < best ? each : best;
    }
    return best;
}

static void unpack32(struct bench *b)
{
    b->k->unpack_u32(b->packed, b->width, 0, 32, (uint32_t *)b->result);
}
static void unpack64(struct bench *b)
{
    b->k->unpack_u64(b->packed, b->width, 0, 64, (uint64_t *)b->result);
}
static void decode(struct bench *b)
{
    if (varve_block_decode_with(b->k, &b->block, 0, ROWS, b->result, NULL, NULL) < 0)
        abort();
}
static void decode_60(struct bench *b)
{
    if (varve_block_decode_with(b->k, &b->block, 500, 60, b->result, NULL, NULL) < 0)
        abort();
}
static void fold(struct bench *b)
{
    struct varve_fold f = {.fsum = &b->fsum};
    if (varve_block_fold_with(b->k, &b->block, 0, ROWS, b->want, &f, NULL) < 0)
        abort();
    b->result[0] = f.last.i64;
}
static void fold_lanes(struct bench *b)
{
    struct varve_fold f = {.fsum = &b->fsum};
    varve_fold_lanes_with(b->k, &f, b->want, &b->in, 0, ROWS);
    b->result[0] = f.min.i64 ^ (int64_t)f.sum;
}
static void select_rows(struct bench *b)
{
    union varve_scalar operand;
    operand.i64 = b->values[7];
    memset(b->selected, 0xff, sizeof b->selected);
    if (varve_block_select_with(b->k, &b->block, 0, ROWS, VARVE_LT, operand, b->selected, NULL) < 0)
        abort();
}
static void encode(struct bench *b)
{
    struct varve_zone zone;
    varve_buffer_clear(&b->out);
    if (varve_block_encode_with(b->k, &b->in, b->encode_flags, &b->out, &zone, NULL) < 0)
        abort();
}

static void report(struct bench *b, const char *what, bench_fn *fn)
{
    printf("%-34s", what);
    for (uint32_t i = 0; varve_kernels_at(i) != NULL; i++) {
        b->k = varve_kernels_at(i);
        const double each = run(b, fn);
        printf("  %-8s %7.3f ns %6.2f G/s", b->k->name, each, 1.0 / each);
    }
    printf("\n");
}

/* Encode b->values as I64 and open the result. */
static void load(struct bench *b, uint8_t lane)
{
    b->in = (struct varve_lanes){.lane = lane, .n = ROWS, .values = b->values};
    varve_buffer_clear(&b->out);
    if (varve_block_encode(&b->in, 0, &b->out, NULL, NULL) < 0)
        abort();
    memcpy(b->packed, b->out.data, b->out.size);
    if (varve_block_open(varve_span_of(b->packed, b->out.size), lane, ROWS, &b->block, NULL) < 0)
        abort();
}

static void fill_random(struct bench *b, uint32_t width, int64_t base)
{
    struct varve_rng rng;
    varve_rng_seed(&rng, width);
    for (uint32_t j = 0; j < ROWS; j++)
        b->values[j] = base + (int64_t)varve_rng_below(&rng, UINT64_C(1) << width);
}

static void bench_kernels(struct bench *b)
{
    static const uint32_t widths[] = {1, 4, 8, 13, 16, 20, 24, 28, 32, 40, 52};
    char what[64];

    for (uint32_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        b->width = widths[i];
        (void)snprintf(what, sizeof what, "unpack %s, %u bits", b->width <= 32 ? "u32" : "u64",
                       b->width);
        report(b, what, b->width <= 32 ? unpack32 : unpack64);
    }
}

static void bench_ints(struct bench *b)
{
    static const uint32_t widths[] = {8, 16, 20, 28, 40};
    char what[64];

    b->want = VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX;
    for (uint32_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        fill_random(b, widths[i], 1000000);
        load(b, VARVE_LANE_I64);
        (void)snprintf(what, sizeof what, "block decode FOR %u -> i64", widths[i]);
        report(b, what, decode);
        (void)snprintf(what, sizeof what, "block fold FOR %u", widths[i]);
        report(b, what, fold);
    }
    b->encode_flags = VARVE_ENCODE_ZONE;
    report(b, "encode FOR 40, zone", encode);
    fill_random(b, 16, 1000000);
    load(b, VARVE_LANE_I64);
    report(b, "encode FOR 16, zone", encode);
    report(b, "decode 60 rows of FOR 16 (a block)", decode_60);
    report(b, "select FOR 16", select_rows);
    report(b, "fold lanes i64, sum min max", fold_lanes);
    fill_random(b, 5, 0);
    for (uint32_t j = 1; j < ROWS; j++)
        b->values[j] += b->values[j - 1];
    load(b, VARVE_LANE_I64);
    report(b, "block decode DFOR 5 -> i64", decode);
    report(b, "decode 60 rows of DFOR (a block)", decode_60);
    report(b, "block fold DFOR 5", fold);
    report(b, "encode DFOR 5, zone", encode);
}

/* Multiples of a divisor: prices of a tick size. */
static void bench_divided(struct bench *b)
{
    static const uint32_t widths[] = {16, 40};
    char what[64];

    b->want = VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX;
    for (uint32_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        fill_random(b, widths[i], 0);
        for (uint32_t j = 0; j < ROWS; j++)
            b->values[j] *= 10000;
        load(b, VARVE_LANE_I64);
        (void)snprintf(what, sizeof what, "block decode FOR %u x 10^4 -> i64", widths[i]);
        report(b, what, decode);
        (void)snprintf(what, sizeof what, "block fold FOR %u x 10^4", widths[i]);
        report(b, what, fold);
        (void)snprintf(what, sizeof what, "encode FOR %u x 10^4, zone", widths[i]);
        report(b, what, encode);
    }
    fill_random(b, 5, 0);
    for (uint32_t j = 0; j < ROWS; j++)
        b->values[j] = b->values[j] * 10000 + (j == 0 ? 0 : b->values[j - 1]);
    load(b, VARVE_LANE_I64);
    report(b, "block decode DFOR 5 x 10^4 -> i64", decode);
    report(b, "encode DFOR 5 x 10^4, zone", encode);
    b->encode_flags |= VARVE_ENCODE_LOG;
    report(b, "encode DFOR 5 x 10^4, log", encode);
    fill_random(b, 16, 0);
    report(b, "encode FOR 16, log", encode);
    b->encode_flags = VARVE_ENCODE_ZONE;
}

/* Random values of `most` integers above `base`, divided by `by`; by 0: no decimals. */
static void fill_floats(struct bench *b, uint64_t base, uint64_t most, double by)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, most);
    for (uint32_t j = 0; j < ROWS; j++) {
        const uint64_t integer = base + varve_rng_below(&rng, most);
        const double value = by == 0 ? (double)integer / 3 : (double)integer / by;
        memcpy(b->values + j, &value, sizeof value);
    }
}

static void bench_floats(struct bench *b)
{
    fill_floats(b, 1000000, UINT64_C(1) << 40, 0);
    load(b, VARVE_LANE_F64);
    b->want = VARVE_FOLD_MIN | VARVE_FOLD_MAX;
    report(b, "fold lanes f64, min max", fold_lanes);
    b->want = VARVE_FOLD_SUM;
    report(b, "fold lanes f64, exact sum", fold_lanes);
    report(b, "select F64 RAW", select_rows);
    report(b, "encode F64 RAW, zone", encode);
    b->encode_flags |= VARVE_ENCODE_LOG;
    report(b, "encode F64 RAW, log", encode);
    b->encode_flags = VARVE_ENCODE_ZONE;
}

/* Decimals in doubles: prices, for which multiplying suffices, and volumes, for which it does not. */
static void bench_decimals(struct bench *b)
{
    static const struct {
        const char *name;
        uint64_t base, most;
        double by;
    } kinds[] = {{"2 digits of 16 bits", 2345600, UINT64_C(1) << 16, 1e2},
                 {"8 digits of 30 bits", 0, UINT64_C(1) << 30, 1e8},
                 {"8 digits of 50 bits", 0, UINT64_C(1) << 50, 1e8}};
    char what[64];

    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fill_floats(b, kinds[i].base, kinds[i].most, kinds[i].by);
        load(b, VARVE_LANE_F64);
        printf("%s: ALP %s %u %u, %u exceptions, %zu bytes\n", kinds[i].name,
               b->block.scale.mode == VARVE_ALP_DIV ? "DIV" : "MUL", b->block.scale.e,
               b->block.scale.f, b->block.runs, b->out.size);
        (void)snprintf(what, sizeof what, "block decode %s", kinds[i].name);
        report(b, what, decode);
        report(b, "decode 60 rows of it", decode_60);
        b->want = VARVE_FOLD_SUM;
        report(b, "block fold of it, exact sum", fold);
        report(b, "select of it", select_rows);
        report(b, "encode of it, zone", encode);
    }
}

int main(void)
{
    struct varve_heap heap;
    struct bench *b = aligned_alloc(64, (sizeof *b + 63) / 64 * 64);

    if (b == NULL)
        return EXIT_FAILURE;
    memset(b, 0, sizeof *b);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&b->out, &heap);
    varve_exact_reset(&b->fsum);
    bench_kernels(b);
    bench_ints(b);
    bench_divided(b);
    bench_floats(b);
    bench_decimals(b);
    varve_buffer_free(&b->out);
    free(b);
    return EXIT_SUCCESS;
}
