/*
 * kernels.h - the loops that touch every value, one table of them an instruction set.
 *
 * Place.   The block_*.c files and the folds call these; kernels.c is compiled once a path (scalar,
 *          baseline, AVX2, AVX-512) and each build fills one table.
 *
 * Invariants
 *   K1  Every path computes the same results and writes the same bytes, bit for bit.
 *   K2  No kernel checks bounds: callers pass what varve_block_open() has checked.
 *   K3  Arithmetic on values wraps modulo 2^64.
 *   K4  Only widen_f32, f64_run_halves and the alp_ kernels compute with floating-point registers.
 *       The first depends on the denormal bit of MXCSR and the last on its rounding too, so whoever
 *       scans, encodes or decodes enters the default mode (float_mode.h); the halves' additions are
 *       exact.
 *
 * Threads. All tables are constant; every function is pure.
 */
#ifndef VARVE_CODEC_KERNELS_H
#define VARVE_CODEC_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "storage/codec/codec.h"

#define VARVE_SEGMENT_ROWS 128u /* of a DFOR block: rows between two restart bases */
#define VARVE_ROW32 32u         /* lanes of a packed row of 32-bit words */
#define VARVE_ROW64 16u         /* lanes of a packed row of 64-bit words */

/* What one pass over integers tells. n > 0. */
struct varve_int_stats {
    int64_t min, max;
    varve_i128 sum;
    int64_t delta_min, delta_max; /* of value[j] - value[j - 1] modulo 2^64; 0 when n = 1 */
    uint32_t changes;             /* rows that differ from the row before */
};

/* Order keys (varve_f64_key) of the doubles that are not NaN; min > max when there is none. */
struct varve_key_range {
    int64_t min, max;
    uint32_t nan;
};

/* Decimals as integers (block_format.h, ALP). All four powers are doubles: those above 1 are exact,
 * the others the nearest ones. */
struct varve_alp_powers {
    bool divides;     /* mode DIV: f is 0 */
    double e;         /* 10^e */
    double e_inverse; /* 10^-e */
    double f;         /* 10^f */
    double f_inverse; /* 10^-f */
};

/* The integers of ALP blocks: what a double's bits can be made from without a conversion. */
#define VARVE_ALP_INT_MIN (-(INT64_C(1) << 51))
#define VARVE_ALP_INT_MAX ((INT64_C(1) << 51) - 1)

struct varve_kernels {
    const char *name;

    /* Rows [row, row + rows) of packed words (block_format.h, Bit packing). `width` is 0 .. 32 for
     * 32-bit words, 0 .. 64 for 64-bit words; with width 0 nothing is read. */
    void (*unpack_u32)(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                       uint32_t *out);
    void (*unpack_u64)(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                       uint64_t *out);
    /* The same times `divisor` plus `base`, as the values themselves. */
    void (*for32_i64)(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                      int64_t base, uint64_t divisor, int64_t *out);
    void (*for64_i64)(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                      int64_t base, uint64_t divisor, int64_t *out);
    /* `out` is zeroed and of packed size; `in` holds rows x lanes values below 2^width. */
    void (*pack_u32)(const uint32_t *in, uint32_t rows, uint32_t width, uint8_t *out);
    void (*pack_u64)(const uint64_t *in, uint32_t rows, uint32_t width, uint8_t *out);

    /* out[j] = acc + sum of (delta[0 .. j] + step). The x4 forms do four whole segments at once. */
    void (*scan_u32)(const uint32_t *delta, uint32_t n, uint64_t acc, uint64_t step, int64_t *out);
    void (*scan_u64)(const uint64_t *delta, uint32_t n, uint64_t acc, uint64_t step, int64_t *out);
    void (*scan_x4_u32)(const uint32_t *delta, const uint64_t acc[4], uint64_t step, int64_t *out);
    void (*scan_x4_u64)(const uint64_t *delta, const uint64_t acc[4], uint64_t step, int64_t *out);

    void (*widen_i8)(const int8_t *in, uint32_t n, int64_t *out);
    void (*widen_i16)(const int16_t *in, uint32_t n, int64_t *out);
    void (*widen_i32)(const int32_t *in, uint32_t n, int64_t *out);
    void (*widen_f32)(const float *in, uint32_t n, double *out);
    void (*narrow_i8)(const int64_t *in, uint32_t n, int8_t *out);
    void (*narrow_i16)(const int64_t *in, uint32_t n, int16_t *out);
    void (*narrow_i32)(const int64_t *in, uint32_t n, int32_t *out);
    /* out[j] = base + j * step, modulo 2^64 */
    void (*ramp)(uint64_t base, uint64_t step, uint32_t n, int64_t *out);

    void (*int_stats)(const int64_t *in, uint32_t n, struct varve_int_stats *ret);
    void (*int_range)(const int64_t *in, uint32_t n, struct varve_int_range *ret);
    /* The same of consecutive runs: run k is in[ends[k - 1] .. ends[k]), the first begins at 0. What
     * is said of an empty run is 0. */
    void (*int_runs)(const int64_t *in, const uint32_t *ends, uint32_t n_runs,
                     struct varve_int_range *ret);
    void (*u32_range)(const uint32_t *in, uint32_t n, struct varve_int_range *ret);
    void (*f64_range)(const double *in, uint32_t n, struct varve_key_range *ret);
    void (*f64_keys)(const double *in, uint32_t n, int64_t *out); /* varve_f64_key() */
    /* The halves of runs' sums (exact.h) of at most VARVE_EXACT_RUN values each. */
    void (*f64_run_halves)(const double *in, const uint32_t *ends, uint32_t n_runs, double splitter,
                           struct varve_exact_halves *ret);

    /* value - base, and the deltas of a DFOR block less `step` (the first is 0). */
    void (*residual_u32)(const int64_t *in, uint32_t n, int64_t base, uint32_t *out);
    void (*residual_u64)(const int64_t *in, uint32_t n, int64_t base, uint64_t *out);
    void (*delta_u32)(const int64_t *in, uint32_t n, int64_t step, uint32_t *out);
    void (*delta_u64)(const int64_t *in, uint32_t n, int64_t step, uint64_t *out);

    /* (in >> shift) * inverse, modulo 2^64: of all values, or of all the bits that occur in `in`
     * and in the products. `out` may be `in`. */
    void (*divide_u64)(const uint64_t *in, uint32_t n, uint32_t shift, uint64_t inverse,
                       uint64_t *out);
    void (*divided_bits)(const uint64_t *in, uint32_t n, uint32_t shift, uint64_t inverse,
                         uint64_t *ret_in, uint64_t *ret_products);

    /* The values that integers stand for. False: some integer is out of range, and nothing is
     * written. `out` is not `in`. */
    bool (*alp_f64)(const int64_t *in, uint32_t n, const struct varve_alp_powers *by, double *out);
    bool (*alp_f32)(const int64_t *in, uint32_t n, const struct varve_alp_powers *by, float *out);
    /* The integers that values may stand for, and in `missed` (words of n, bits from n on clear)
     * which of them give another value, bit by bit; those integers are in range too. The values are
     * floats with `single`, else doubles. */
    void (*alp_ints)(const void *in, uint32_t n, const struct varve_alp_powers *by, bool single,
                     int64_t *out, uint64_t *missed);

    void (*f64_span)(const double *in, uint32_t n, struct varve_exact_span *ret);
    /* Keys for comparison: NaN all one and greatest, -0.0 as 0.0. */
    void (*f64_compare_keys)(const double *in, uint32_t n, int64_t *out);
    /* AND into selected[0 .. words of n) whether `value op operand`; bits from n on stay. */
    void (*compare_i64)(const int64_t *in, uint32_t n, uint32_t op, int64_t operand,
                        uint64_t *selected);
};

/* The best path of this machine. Cheap: no state is kept. */
const struct varve_kernels *varve_kernels_get(void);
/* The paths this machine can run, from slowest to fastest; NULL past the last. For tests. */
const struct varve_kernels *varve_kernels_at(uint32_t index);

/* A double's bits as an integer that orders like the value: -Inf < .. < -0.0 < 0.0 < .. < Inf. */
static inline int64_t varve_f64_key(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (int64_t)(bits ^ (((uint64_t)0 - (bits >> 63)) >> 1));
}

static inline double varve_f64_of_key(int64_t key)
{
    const uint64_t bits = (uint64_t)key ^ (((uint64_t)0 - ((uint64_t)key >> 63)) >> 1);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* < 0, 0, > 0 in the order of keys, every NaN equal and greatest, -0.0 < 0.0. */
static inline int varve_f64_order(double a, double b)
{
    const int64_t inf = INT64_C(0x7ff0000000000000);
    const int64_t key_a = varve_f64_key(a), key_b = varve_f64_key(b);
    const int64_t x = key_a > inf || key_a < ~inf ? INT64_MAX : key_a;
    const int64_t y = key_b > inf || key_b < ~inf ? INT64_MAX : key_b;
    return (x > y) - (x < y);
}

#define VARVE_F64_NAN_KEY INT64_MAX /* the comparison key of every NaN */

/* The comparison key: as varve_f64_key, with every NaN greatest and -0.0 = 0.0. */
static inline int64_t varve_f64_compare_key(double value)
{
    const int64_t key = varve_f64_key(value);
    const int64_t inf = INT64_C(0x7ff0000000000000);
    if (key > inf || key < ~inf) /* ~inf is the key of -Inf */
        return VARVE_F64_NAN_KEY;
    return key == -1 ? 0 : key; /* -1 is the key of -0.0 */
}

#endif
