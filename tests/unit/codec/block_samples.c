/*
 * block_samples.c - see block_samples.h.
 */
#include "block_samples.h"

#include <string.h>

const uint32_t sample_rows[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 720, 1023, 1024};
const uint32_t sample_rows_count = sizeof sample_rows / sizeof *sample_rows;

static const int64_t edges[] = {INT64_MIN,     INT64_MAX, 0,         -1,
                                INT32_MIN,     INT32_MAX, INT16_MIN, INT16_MAX,
                                INT8_MIN,      INT8_MAX,  1,         INT64_MIN + 1,
                                INT64_MAX - 1, 1,         2};

static const uint64_t float_edges[] = {
    0x0000000000000000u, 0x8000000000000000u, 0x7ff0000000000000u, 0xfff0000000000000u,
    0x7ff8000000000000u, 0xfff8000000000123u, 0x7ff0000000000001u, 0x0000000000000001u,
    0x800fffffffffffffu, 0x7fefffffffffffffu, 0x4340000000000000u, 0x444b1ae4d6e2ef50u};

static const uint32_t single_edges[] = {0x00000000u, 0x80000000u, 0x7f800000u, 0xff800000u,
                                        0x7fc00000u, 0xffc00123u, 0x7f800001u, 0x00000001u,
                                        0x807fffffu, 0x7f7fffffu};

static int64_t int_of(enum sample_shape shape, uint32_t row, int64_t before, struct varve_rng *rng)
{
    switch (shape) {
    case SHAPE_CONST:
        return -7;
    case SHAPE_STEPS:
        return -50 + (int64_t)row * 3;
    case SHAPE_NARROW:
        return 40 + (int64_t)varve_rng_below(rng, 60);
    case SHAPE_WALK:
        return before + (int64_t)varve_rng_below(rng, 15) - 2;
    case SHAPE_RUNS:
        return row % 97 == 0 ? (int64_t)varve_rng_next(rng) : before;
    case SHAPE_RANDOM:
        return (int64_t)varve_rng_next(rng);
    case SHAPE_TICKS:
        return 77 + 300 * (int64_t)varve_rng_below(rng, 100);
    case SHAPE_LADDER:
        return before + 1000 * (int64_t)varve_rng_below(rng, 9) + 7;
    case SHAPE_PRICES:
        return 5 * (int64_t)varve_rng_below(rng, 1000);
    case SHAPE_SCALED:
        return (int64_t)varve_rng_below(rng, 100000);
    case SHAPE_EXTREMES:
    case SHAPE_COUNT:
        break;
    }
    return edges[row % (sizeof edges / sizeof *edges)];
}

static void fill_ints(struct sample *s, uint8_t lane, enum sample_shape shape,
                      struct varve_rng *rng)
{
    uint8_t *out = (uint8_t *)s->values;
    int64_t value = INT64_C(1700000000000);

    for (uint32_t j = 0; j < s->in.n; j++) {
        value = int_of(shape, j, value, rng);
        const int64_t kept = value;
        const uint32_t size = varve_lane_size(lane);
        memcpy(out + (size_t)j * size, &kept, size); /* little-endian: the low bytes */
        s->scales[j] = (int8_t)(shape == SHAPE_RANDOM ? varve_rng_next(rng) : j / 100);
    }
}

static void fill_floats(struct sample *s, uint8_t lane, enum sample_shape shape,
                        struct varve_rng *rng)
{
    double *doubles = (double *)s->values;
    float *floats = (float *)s->values;
    double value = 100.0;
    const bool single = lane == VARVE_LANE_F32;

    for (uint32_t j = 0; j < s->in.n; j++) {
        uint64_t bits = varve_rng_next(rng);
        if (shape == SHAPE_CONST)
            value = -0.0;
        else if (shape == SHAPE_STEPS)
            value = (double)j / 4;
        else if (shape == SHAPE_NARROW)
            value = (double)varve_rng_below(rng, 10000) / 100;
        else if (shape == SHAPE_WALK)
            value += (double)varve_rng_below(rng, 100) / 100 - 0.5;
        else if (shape == SHAPE_RUNS && j % 97 == 0)
            value = varve_rng_unit(rng);
        else if (shape == SHAPE_PRICES && single)
            value = (double)(23456 + varve_rng_below(rng, 9999)) / (j % 40 == 7 ? 10000 : 100);
        else if (shape == SHAPE_PRICES)
            value = (double)(varve_rng_next(rng) >> 24) / (j % 40 == 7 ? 1e9 : 1e7);
        else if (shape == SHAPE_SCALED)
            value = (double)varve_rng_below(rng, 100000) * 0.01;
        const bool edge = shape == SHAPE_EXTREMES || (shape == SHAPE_SCALED && j % 29 == 5);
        if (edge && single)
            memcpy(floats + j, single_edges + j % (sizeof single_edges / 4), 4);
        else if (edge)
            memcpy(doubles + j, float_edges + j % (sizeof float_edges / 8), 8);
        else if (shape == SHAPE_RANDOM)
            memcpy(single ? (void *)(floats + j) : doubles + j, &bits, single ? 4 : 8);
        else if (single)
            floats[j] = (float)value;
        else
            doubles[j] = value;
    }
}

static void fill_uuids(struct sample *s, enum sample_shape shape, struct varve_rng *rng)
{
    uint64_t low = 1, high = 2;
    for (uint32_t j = 0; j < s->in.n; j++) {
        if (shape == SHAPE_RANDOM || shape == SHAPE_EXTREMES ||
            (shape == SHAPE_RUNS && j % 50 == 0)) {
            low = varve_rng_next(rng);
            high = varve_rng_next(rng);
        } else if (shape != SHAPE_CONST && shape != SHAPE_RUNS) {
            low += varve_rng_below(rng, 3);
        }
        s->values[2 * j] = low;
        s->values[2 * j + 1] = high;
    }
}

static uint32_t text_size(enum sample_shape shape, uint32_t row, struct varve_rng *rng)
{
    switch (shape) {
    case SHAPE_CONST:
    case SHAPE_STEPS:
        return 12;
    case SHAPE_WALK:
        return 3 + row % 5;
    case SHAPE_EXTREMES:
        return row == 3 ? 30000 : 0;
    case SHAPE_NARROW:
    case SHAPE_RUNS:
    case SHAPE_RANDOM:
    case SHAPE_TICKS:
    case SHAPE_LADDER:
    case SHAPE_PRICES:
    case SHAPE_SCALED:
    case SHAPE_COUNT:
        break;
    }
    return (uint32_t)varve_rng_below(rng, 40);
}

static void fill_text(struct sample *s, enum sample_shape shape, struct varve_rng *rng)
{
    static const char words[] =
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu";
    uint32_t at = 17; /* offsets need not start at 0 */

    s->offsets[0] = at;
    for (uint32_t j = 0; j < s->in.n; j++) {
        const uint32_t size = text_size(shape, j, rng);
        for (uint32_t i = 0; i < size; i++) {
            if (shape == SHAPE_RANDOM || shape == SHAPE_EXTREMES)
                s->text[at + i] = (uint8_t)varve_rng_next(rng);
            else if (shape == SHAPE_CONST)
                s->text[at + i] = (uint8_t)words[i];
            else
                s->text[at + i] = (uint8_t)words[(i + j / 8) % (sizeof words - 1)];
        }
        at += size;
        s->offsets[j + 1] = at;
    }
}

static void fill_states(struct sample *s, enum sample_state states, struct varve_rng *rng)
{
    const uint32_t n = s->in.n;

    if (states == STATES_ALL)
        return;
    s->in.live = s->live;
    for (uint32_t j = 0; j < n; j++) {
        const uint64_t dice = varve_rng_below(rng, 10);
        const bool live = states == STATES_GAP    ? j < n / 3 || j > n / 2
                          : states == STATES_NONE ? false
                                                  : dice >= 3;
        if (live)
            varve_bit_set(s->live, j);
        else if (states == STATES_DELETED && dice == 0)
            varve_bit_set(s->deleted, j);
    }
    if (states == STATES_DELETED)
        s->in.deleted = s->deleted;
}

void sample_fill(struct sample *s, uint8_t lane, enum sample_shape shape, uint32_t n,
                 enum sample_state states, uint64_t seed)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, seed * 1000003 + n * 131 + lane * 17 + (uint64_t)shape);
    memset(s, 0, sizeof *s);
    s->in = (struct varve_lanes){.lane = lane, .n = n, .values = s->values};
    if (lane == VARVE_LANE_BYTES) {
        s->in.values = s->text;
        s->in.offsets = s->offsets;
        fill_text(s, shape, &rng);
    } else if (lane == VARVE_LANE_B16) {
        fill_uuids(s, shape, &rng);
    } else if (lane == VARVE_LANE_F32 || lane == VARVE_LANE_F64) {
        fill_floats(s, lane, shape, &rng);
    } else {
        s->in.scales = lane == VARVE_LANE_DEC ? s->scales : NULL;
        fill_ints(s, lane, shape, &rng);
    }
    fill_states(s, states, &rng);
}

void sample_fill_width(struct sample *s, uint32_t width, int64_t base, uint32_t n, uint64_t seed)
{
    struct varve_rng rng;
    const uint64_t mask = width == 0 ? 0 : UINT64_MAX >> (64 - width);

    varve_rng_seed(&rng, seed + width);
    memset(s, 0, sizeof *s);
    s->in = (struct varve_lanes){.lane = VARVE_LANE_I64, .n = n, .values = s->values};
    for (uint32_t j = 0; j < n; j++)
        s->values[j] = (uint64_t)base + (varve_rng_next(&rng) & mask);
    s->values[n / 2] = (uint64_t)base + mask;
    s->values[0] = (uint64_t)base;
}

void sample_fill_multiples(struct sample *s, uint64_t divisor, uint64_t most, int64_t base,
                           uint32_t n, uint64_t seed)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, seed);
    memset(s, 0, sizeof *s);
    s->in = (struct varve_lanes){.lane = VARVE_LANE_I64, .n = n, .values = s->values};
    for (uint32_t j = 0; j < n; j++)
        s->values[j] = (uint64_t)base + varve_rng_below(&rng, most + 1) * divisor;
    s->values[0] = (uint64_t)base;
    s->values[1] = (uint64_t)base + divisor;
    s->values[n - 1] = (uint64_t)base + most * divisor;
}

bool sample_is_live(const struct sample *s, uint32_t row)
{
    return s->in.live == NULL || varve_bit_get(s->in.live, row);
}
