/*
 * block_samples.h - columns to encode: every lane in every shape that a codec is made for.
 */
#ifndef VARVE_TESTS_BLOCK_SAMPLES_H
#define VARVE_TESTS_BLOCK_SAMPLES_H

#include "storage/base/bitmap.h"
#include "storage/base/rng.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

enum sample_shape {
    SHAPE_CONST,    /* one value */
    SHAPE_STEPS,    /* a constant step */
    SHAPE_NARROW,   /* random in a narrow range */
    SHAPE_WALK,     /* a random walk far from zero */
    SHAPE_RUNS,     /* long runs */
    SHAPE_RANDOM,   /* any bits */
    SHAPE_EXTREMES, /* the edges of the type in turn */
    SHAPE_TICKS,    /* multiples of 300 above an odd number */
    SHAPE_LADDER,   /* a climb by multiples of 1,000 and an odd number */
    SHAPE_PRICES,   /* decimals, some of two digits more; integers: multiples of 5 */
    SHAPE_SCALED,   /* floats: products with 0.01, the edges of the type among them */
    SHAPE_COUNT
};

enum sample_state {
    STATES_ALL,     /* every cell live */
    STATES_SOME,    /* at random, 30 % not live */
    STATES_GAP,     /* one gap in the middle */
    STATES_NONE,    /* no cell live */
    STATES_DELETED, /* at random, some of the others deleted */
    STATES_COUNT
};

#define SAMPLE_TEXT_BYTES (96u << 10)

struct sample {
    struct varve_lanes in;
    uint64_t values[VARVE_VECTOR_ROWS * 2];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1];
    uint64_t live[VARVE_BLOCK_STATE_WORDS];
    uint64_t deleted[VARVE_BLOCK_STATE_WORDS];
    uint8_t text[SAMPLE_TEXT_BYTES];
};

/* A function of its arguments alone. */
void sample_fill(struct sample *s, uint8_t lane, enum sample_shape shape, uint32_t n,
                 enum sample_state states, uint64_t seed);
/* Random integers that need exactly `width` bits above `base` (lane I64; n > 1 unless width 0). */
void sample_fill_width(struct sample *s, uint32_t width, int64_t base, uint32_t n, uint64_t seed);
/* Random multiples of `divisor` from `base` on, up to `most` times it (lane I64, n > 2): the first
 * two rows are `base` and base + divisor, the last base + most * divisor. */
void sample_fill_multiples(struct sample *s, uint64_t divisor, uint64_t most, int64_t base,
                           uint32_t n, uint64_t seed);
bool sample_is_live(const struct sample *s, uint32_t row);

/* The row counts at which layouts change. */
extern const uint32_t sample_rows[];
extern const uint32_t sample_rows_count;

#endif
