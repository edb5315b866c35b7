/*
 * kernels.c - the loops of kernels.h, written so that the compiler vectorises them.
 *
 * Compiled several times with different instruction sets; VARVE_KERNELS names the table that a
 * build defines, and everything else is static. The inner loops run over the lanes of one packed
 * row, so their trip count is constant, their shifts are uniform and their addresses contiguous:
 * that, and no intrinsics, is what makes them fast on every machine.
 */
#include "storage/codec/kernels.h"
#include "storage/base/float_mode.h"

#include <varve/varve.h>

#if !defined(VARVE_KERNELS) || !defined(VARVE_KERNELS_NAME)
#error "the build names the table"
#endif

extern const struct varve_kernels VARVE_KERNELS;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "packed words are little-endian and are loaded as they are");

#define ROW_BYTES 128u /* of packed words: 32 x 4 or 16 x 8 */
#define RAMP_LANES 16u
#define HALVES_LANES 8u

static inline uint32_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* One row of 32 values; width 1 .. 32. */
static inline void unpack_row32(const uint8_t *restrict packed, uint32_t width, uint32_t row,
                                uint32_t *restrict out)
{
    const uint32_t bit = row * width;
    const uint32_t shift = bit % 32;
    const uint32_t mask = UINT32_MAX >> (32 - width);
    const uint8_t *low = packed + (size_t)(bit / 32) * ROW_BYTES;

    if (shift + width <= 32) {
        for (uint32_t l = 0; l < VARVE_ROW32; l++)
            out[l] = load_u32(low + 4 * l) >> shift & mask;
    } else {
        const uint8_t *high = low + ROW_BYTES;
        const uint32_t up = 32 - shift;
        for (uint32_t l = 0; l < VARVE_ROW32; l++)
            out[l] = (load_u32(low + 4 * l) >> shift | load_u32(high + 4 * l) << up) & mask;
    }
}

/* One row of 16 values; width 1 .. 64. */
static inline void unpack_row64(const uint8_t *restrict packed, uint32_t width, uint32_t row,
                                uint64_t *restrict out)
{
    const uint32_t bit = row * width;
    const uint32_t shift = bit % 64;
    const uint64_t mask = UINT64_MAX >> (64 - width);
    const uint8_t *low = packed + (size_t)(bit / 64) * ROW_BYTES;

    if (shift + width <= 64) {
        for (uint32_t l = 0; l < VARVE_ROW64; l++)
            out[l] = load_u64(low + 8 * l) >> shift & mask;
    } else {
        const uint8_t *high = low + ROW_BYTES;
        const uint32_t up = 64 - shift;
        for (uint32_t l = 0; l < VARVE_ROW64; l++)
            out[l] = (load_u64(low + 8 * l) >> shift | load_u64(high + 8 * l) << up) & mask;
    }
}

static void unpack_u32(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                       uint32_t *out)
{
    if (width == 0) {
        memset(out, 0, (size_t)rows * VARVE_ROW32 * sizeof *out);
        return;
    }
    for (uint32_t r = 0; r < rows; r++)
        unpack_row32(packed, width, row + r, out + (size_t)r * VARVE_ROW32);
}

/* Times a divisor of 33 bits or more: the product in halves, as vectors multiply 32 bits by 32. */
static void for32_wide(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                       int64_t base, uint64_t divisor, int64_t *out)
{
    const uint32_t low = (uint32_t)divisor, high = (uint32_t)(divisor >> 32);
    uint32_t part[VARVE_ROW32] = {0};

    for (uint32_t r = 0; r < rows; r++, out += VARVE_ROW32) {
        if (width > 0)
            unpack_row32(packed, width, row + r, part);
        for (uint32_t l = 0; l < VARVE_ROW32; l++)
            out[l] = (int64_t)((uint64_t)base + (uint64_t)part[l] * low +
                               ((uint64_t)part[l] * high << 32));
    }
}

static void for32_times(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                        int64_t base, uint32_t divisor, int64_t *out)
{
    uint32_t part[VARVE_ROW32] = {0};

    for (uint32_t r = 0; r < rows; r++, out += VARVE_ROW32) {
        if (width > 0)
            unpack_row32(packed, width, row + r, part);
        for (uint32_t l = 0; l < VARVE_ROW32; l++)
            out[l] = (int64_t)((uint64_t)base + (uint64_t)part[l] * divisor);
    }
}

static void for32_plain(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                        int64_t base, int64_t *out)
{
    uint32_t part[VARVE_ROW32] = {0};

    for (uint32_t r = 0; r < rows; r++, out += VARVE_ROW32) {
        if (width > 0)
            unpack_row32(packed, width, row + r, part);
        for (uint32_t l = 0; l < VARVE_ROW32; l++)
            out[l] = (int64_t)((uint64_t)base + part[l]);
    }
}

static void for32_i64(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                      int64_t base, uint64_t divisor, int64_t *out)
{
    if (divisor == 1)
        for32_plain(packed, width, row, rows, base, out);
    else if (divisor <= UINT32_MAX)
        for32_times(packed, width, row, rows, base, (uint32_t)divisor, out);
    else
        for32_wide(packed, width, row, rows, base, divisor, out);
}

static void for64_times(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                        int64_t base, uint64_t divisor, int64_t *out)
{
    uint64_t part[VARVE_ROW64] = {0};

    for (uint32_t r = 0; r < rows; r++, out += VARVE_ROW64) {
        if (width > 0)
            unpack_row64(packed, width, row + r, part);
        for (uint32_t l = 0; l < VARVE_ROW64; l++)
            out[l] = (int64_t)((uint64_t)base + part[l] * divisor);
    }
}

static void for64_plain(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                        int64_t base, int64_t *out)
{
    uint64_t part[VARVE_ROW64] = {0};

    for (uint32_t r = 0; r < rows; r++, out += VARVE_ROW64) {
        if (width > 0)
            unpack_row64(packed, width, row + r, part);
        for (uint32_t l = 0; l < VARVE_ROW64; l++)
            out[l] = (int64_t)((uint64_t)base + part[l]);
    }
}

static void for64_i64(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                      int64_t base, uint64_t divisor, int64_t *out)
{
    if (divisor == 1)
        for64_plain(packed, width, row, rows, base, out);
    else
        for64_times(packed, width, row, rows, base, divisor, out);
}

/* By way of the row of its own that the other has: the compiler vectorises that one only. */
static void unpack_u64(const uint8_t *packed, uint32_t width, uint32_t row, uint32_t rows,
                       uint64_t *out)
{
    for64_plain(packed, width, row, rows, 0, (int64_t *)out);
}

static void pack_u32(const uint32_t *in, uint32_t rows, uint32_t width, uint8_t *out)
{
    for (uint32_t r = 0; r < rows && width > 0; r++, in += VARVE_ROW32) {
        const uint32_t bit = r * width;
        const uint32_t shift = bit % 32;
        uint8_t *restrict low = out + (size_t)(bit / 32) * ROW_BYTES;

        for (uint32_t l = 0; l < VARVE_ROW32; l++) {
            const uint32_t word = load_u32(low + 4 * l) | in[l] << shift;
            memcpy(low + 4 * l, &word, sizeof word);
        }
        if (shift + width > 32) {
            uint8_t *restrict high = low + ROW_BYTES;
            for (uint32_t l = 0; l < VARVE_ROW32; l++) {
                const uint32_t word = in[l] >> (32 - shift);
                memcpy(high + 4 * l, &word, sizeof word);
            }
        }
    }
}

static void pack_u64(const uint64_t *in, uint32_t rows, uint32_t width, uint8_t *out)
{
    for (uint32_t r = 0; r < rows && width > 0; r++, in += VARVE_ROW64) {
        const uint32_t bit = r * width;
        const uint32_t shift = bit % 64;
        uint8_t *restrict low = out + (size_t)(bit / 64) * ROW_BYTES;

        for (uint32_t l = 0; l < VARVE_ROW64; l++) {
            const uint64_t word = load_u64(low + 8 * l) | in[l] << shift;
            memcpy(low + 8 * l, &word, sizeof word);
        }
        if (shift + width > 64) {
            uint8_t *restrict high = low + ROW_BYTES;
            for (uint32_t l = 0; l < VARVE_ROW64; l++) {
                const uint64_t word = in[l] >> (64 - shift);
                memcpy(high + 8 * l, &word, sizeof word);
            }
        }
    }
}

static void scan_u32(const uint32_t *delta, uint32_t n, uint64_t acc, uint64_t step, int64_t *out)
{
    for (uint32_t j = 0; j < n; j++) {
        acc += delta[j] + step;
        out[j] = (int64_t)acc;
    }
}

static void scan_u64(const uint64_t *delta, uint32_t n, uint64_t acc, uint64_t step, int64_t *out)
{
    for (uint32_t j = 0; j < n; j++) {
        acc += delta[j] + step;
        out[j] = (int64_t)acc;
    }
}

/* Four chains of additions that do not wait for each other. */
static void scan_x4_u32(const uint32_t *delta, const uint64_t acc[4], uint64_t step, int64_t *out)
{
    const uint32_t s = VARVE_SEGMENT_ROWS;
    uint64_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];

    for (uint32_t j = 0; j < s; j++) {
        a += delta[j] + step;
        b += delta[s + j] + step;
        c += delta[2 * s + j] + step;
        d += delta[3 * s + j] + step;
        out[j] = (int64_t)a;
        out[s + j] = (int64_t)b;
        out[2 * s + j] = (int64_t)c;
        out[3 * s + j] = (int64_t)d;
    }
}

static void scan_x4_u64(const uint64_t *delta, const uint64_t acc[4], uint64_t step, int64_t *out)
{
    const uint32_t s = VARVE_SEGMENT_ROWS;
    uint64_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];

    for (uint32_t j = 0; j < s; j++) {
        a += delta[j] + step;
        b += delta[s + j] + step;
        c += delta[2 * s + j] + step;
        d += delta[3 * s + j] + step;
        out[j] = (int64_t)a;
        out[s + j] = (int64_t)b;
        out[2 * s + j] = (int64_t)c;
        out[3 * s + j] = (int64_t)d;
    }
}

static void widen_i8(const int8_t *restrict in, uint32_t n, int64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = in[j];
}

static void widen_i16(const int16_t *restrict in, uint32_t n, int64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = in[j];
}

static void widen_i32(const int32_t *restrict in, uint32_t n, int64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = in[j];
}

static void widen_f32(const float *restrict in, uint32_t n, double *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (double)in[j];
}

static void narrow_i8(const int64_t *restrict in, uint32_t n, int8_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (int8_t)in[j];
}

static void narrow_i16(const int64_t *restrict in, uint32_t n, int16_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (int16_t)in[j];
}

static void narrow_i32(const int64_t *restrict in, uint32_t n, int32_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (int32_t)in[j];
}

/* Products of a few lanes: one for each row would cost more than the rows. */
static void ramp(uint64_t base, uint64_t step, uint32_t n, int64_t *restrict out)
{
    uint64_t lane[RAMP_LANES];
    uint32_t j = 0;

    for (uint32_t l = 0; l < RAMP_LANES; l++)
        lane[l] = l * step;
    for (; j + RAMP_LANES <= n; j += RAMP_LANES, base += RAMP_LANES * step)
        for (uint32_t l = 0; l < RAMP_LANES; l++)
            out[j + l] = (int64_t)(base + lane[l]);
    for (uint32_t l = 0; j + l < n; l++)
        out[j + l] = (int64_t)(base + l * step);
}

/*
 * A 128-bit sum in two 64-bit ones, which vectorise: the low halves as they are, the high halves
 * biased to be unsigned, because AVX2 has no arithmetic shift of 64-bit lanes. Exact below 2^31
 * values.
 */
static varve_i128 wide_sum(const int64_t *in, uint32_t n)
{
    uint64_t low = 0, high = 0;

    for (uint32_t j = 0; j < n; j++) {
        const uint64_t biased = (uint64_t)in[j] ^ (uint64_t)1 << 63;
        low += biased & UINT32_MAX;
        high += biased >> 32;
    }
    const varve_u128 biased_sum = ((varve_u128)high << 32) + low;
    return (varve_i128)(biased_sum - ((varve_u128)n << 63));
}

/* A sum modulo 2^64 is the sum where n times the values' bounds says that it cannot have wrapped. */
static inline void range_of_run(const int64_t *in, uint32_t n, struct varve_int_range *ret)
{
    const int64_t small = INT64_MAX >> (32 - __builtin_clz(n)); /* times n: below 2^63 */
    uint64_t sum = 0;
    int64_t min = in[0], max = in[0];

    for (uint32_t j = 0; j < n; j++) {
        sum += (uint64_t)in[j];
        min = in[j] < min ? in[j] : min;
        max = in[j] > max ? in[j] : max;
    }
    ret->min = min;
    ret->max = max;
    ret->sum = min >= -small && max <= small ? (varve_i128)(int64_t)sum : wide_sum(in, n);
}

static void int_range(const int64_t *in, uint32_t n, struct varve_int_range *ret)
{
    range_of_run(in, n, ret);
}

static void int_runs(const int64_t *in, const uint32_t *ends, uint32_t n_runs,
                     struct varve_int_range *ret)
{
    for (uint32_t k = 0, at = 0; k < n_runs; at = ends[k++]) {
        if (ends[k] > at)
            range_of_run(in + at, ends[k] - at, &ret[k]);
        else
            ret[k] = (struct varve_int_range){.sum = 0};
    }
}

static void u32_range(const uint32_t *in, uint32_t n, struct varve_int_range *ret)
{
    uint64_t sum = 0;
    uint32_t min = in[0], max = in[0];

    for (uint32_t j = 0; j < n; j++) {
        sum += in[j];
        min = in[j] < min ? in[j] : min;
        max = in[j] > max ? in[j] : max;
    }
    ret->min = min;
    ret->max = max;
    ret->sum = (varve_i128)sum;
}

static void int_stats(const int64_t *in, uint32_t n, struct varve_int_stats *ret)
{
    struct varve_int_range range;
    int64_t min = 0, max = 0;
    uint64_t changes = 0;

    int_range(in, n, &range);
    if (n > 1)
        min = max = (int64_t)((uint64_t)in[1] - (uint64_t)in[0]);
    for (uint32_t j = 1; j < n; j++) {
        const int64_t delta = (int64_t)((uint64_t)in[j] - (uint64_t)in[j - 1]);
        changes += delta != 0;
        min = delta < min ? delta : min;
        max = delta > max ? delta : max;
    }
    *ret = (struct varve_int_stats){.min = range.min,
                                    .max = range.max,
                                    .sum = range.sum,
                                    .delta_min = min,
                                    .delta_max = max,
                                    .changes = (uint32_t)changes};
}

/*
 * Keys as in varve_f64_key(), from the bits, in pieces: the compiler vectorises a map and a
 * reduction, but not both in one loop. A NaN is what lies above infinity without its sign; it takes
 * no part in min (`low`) or max (`high`).
 */
static void f64_range(const double *in, uint32_t n, struct varve_key_range *ret)
{
    const int64_t inf = INT64_C(0x7ff0000000000000);
    const uint8_t *bytes = (const uint8_t *)in;
    int64_t min = INT64_MAX, max = INT64_MIN;
    int64_t low[64], high[64];
    uint64_t nan = 0;

    for (uint32_t part; n > 0; n -= part, bytes += (size_t)part * 8) {
        part = n < 64 ? n : 64;
        for (uint32_t j = 0; j < part; j++) {
            const uint64_t bits = load_u64(bytes + (size_t)j * 8);
            const uint64_t sign = (uint64_t)0 - (bits >> 63);
            const int64_t key = (int64_t)(bits ^ sign >> 1);
            const bool is_nan = (int64_t)(bits & INT64_MAX) > inf;
            low[j] = is_nan ? INT64_MAX : key;
            high[j] = is_nan ? INT64_MIN : key;
            nan += is_nan;
        }
        for (uint32_t j = 0; j < part; j++) {
            min = low[j] < min ? low[j] : min;
            max = high[j] > max ? high[j] : max;
        }
    }
    ret->min = min;
    ret->max = max;
    ret->nan = (uint32_t)nan;
}

static void f64_keys(const double *restrict in, uint32_t n, int64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = varve_f64_key(in[j]);
}

/* The additions are exact (exact.h), so that lanes may add in any order. */
static inline void halves_of_run(const double *in, uint32_t n, double splitter,
                                 struct varve_exact_halves *ret)
{
    double high[HALVES_LANES] = {0}, low[HALVES_LANES] = {0};
    uint32_t j = 0;

    for (; j + HALVES_LANES <= n; j += HALVES_LANES) {
        for (uint32_t l = 0; l < HALVES_LANES; l++) {
            const double h = (in[j + l] + splitter) - splitter;
            high[l] += h;
            low[l] += in[j + l] - h;
        }
    }
    for (; j < n; j++) {
        const double h = (in[j] + splitter) - splitter;
        high[0] += h;
        low[0] += in[j] - h;
    }
    for (uint32_t l = 1; l < HALVES_LANES; l++) {
        high[0] += high[l];
        low[0] += low[l];
    }
    ret->high = high[0];
    ret->low = low[0];
}

static void f64_span(const double *in, uint32_t n, struct varve_exact_span *ret)
{
    *ret = varve_exact_span_of(in, n);
}

static void f64_run_halves(const double *in, const uint32_t *ends, uint32_t n_runs, double splitter,
                           struct varve_exact_halves *ret)
{
    for (uint32_t k = 0, at = 0; k < n_runs; at = ends[k++])
        halves_of_run(in + at, ends[k] - at, splitter, &ret[k]);
}

static void residual_u32(const int64_t *restrict in, uint32_t n, int64_t base,
                         uint32_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (uint32_t)((uint64_t)in[j] - (uint64_t)base);
}

static void residual_u64(const int64_t *restrict in, uint32_t n, int64_t base,
                         uint64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (uint64_t)in[j] - (uint64_t)base;
}

static void delta_u32(const int64_t *restrict in, uint32_t n, int64_t step, uint32_t *restrict out)
{
    out[0] = 0;
    for (uint32_t j = 1; j < n; j++)
        out[j] = (uint32_t)((uint64_t)in[j] - (uint64_t)in[j - 1] - (uint64_t)step);
}

static void delta_u64(const int64_t *restrict in, uint32_t n, int64_t step, uint64_t *restrict out)
{
    out[0] = 0;
    for (uint32_t j = 1; j < n; j++)
        out[j] = (uint64_t)in[j] - (uint64_t)in[j - 1] - (uint64_t)step;
}

static void divide_u64(const uint64_t *in, uint32_t n, uint32_t shift, uint64_t inverse,
                       uint64_t *out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = (in[j] >> shift) * inverse;
}

static void divided_bits(const uint64_t *in, uint32_t n, uint32_t shift, uint64_t inverse,
                         uint64_t *ret_in, uint64_t *ret_products)
{
    uint64_t any = 0, products = 0;

    for (uint32_t j = 0; j < n; j++) {
        any |= in[j];
        products |= (in[j] >> shift) * inverse;
    }
    *ret_in = any;
    *ret_products = products;
}

static void f64_compare_keys(const double *restrict in, uint32_t n, int64_t *restrict out)
{
    for (uint32_t j = 0; j < n; j++)
        out[j] = varve_f64_compare_key(in[j]);
}

/* Eight bytes of 0 or 1 into eight bits, the first byte lowest. */
static inline uint64_t gather_bits(const uint8_t *hit)
{
    return load_u64(hit) * UINT64_C(0x0102040810204080) >> 56;
}

/* Which of 64 values are (op = EQ) equal to, (LT) below or (GT) above the operand. */
static inline uint64_t compare_word(const int64_t *in, uint32_t op, int64_t operand)
{
    uint8_t hit[64];
    uint64_t word = 0;

    if (op == VARVE_EQ) {
        for (uint32_t j = 0; j < 64; j++)
            hit[j] = in[j] == operand;
    } else if (op == VARVE_LT) {
        for (uint32_t j = 0; j < 64; j++)
            hit[j] = in[j] < operand;
    } else {
        for (uint32_t j = 0; j < 64; j++)
            hit[j] = in[j] > operand;
    }
    for (uint32_t j = 0; j < 8; j++)
        word |= gather_bits(hit + (size_t)j * 8) << (j * 8);
    return word;
}

static void compare_i64(const int64_t *in, uint32_t n, uint32_t op, int64_t operand,
                        uint64_t *selected)
{
    const bool inverse = op == VARVE_NE || op == VARVE_GE || op == VARVE_LE;
    const uint32_t plain = op == VARVE_NE   ? VARVE_EQ
                           : op == VARVE_GE ? VARVE_LT
                           : op == VARVE_LE ? VARVE_GT
                                            : op;
    const uint64_t flip = inverse ? UINT64_MAX : 0;
    uint32_t j = 0;

    for (; j + 64 <= n; j += 64)
        selected[j / 64] &= compare_word(in + j, plain, operand) ^ flip;
    if (j < n) {
        int64_t tail[64] = {0};
        memcpy(tail, in + j, (n - j) * sizeof *in);
        selected[j / 64] &= (compare_word(tail, plain, operand) ^ flip) | UINT64_MAX << (n - j);
    }
}

/*
 * Between integers below 2^51 and doubles there is no conversion to do: added to the bits of
 * 1.5 * 2^52 an integer is that many units in the last place. Instruction sets without a conversion
 * of 64-bit integers need that, and all of them compute it alike.
 */
#define ALP_BIAS INT64_C(0x4338000000000000)
#define ALP_BIAS_VALUE 6755399441055744.0
#define ALP_BELOW INT64_C(0x431ffffffffffffc) /* 2^51 - 1: what is below rounds to no more */

static inline double alp_value(double integer, const struct varve_alp_powers *by, bool divides)
{
    return divides ? integer / by->e : integer * by->f * by->e_inverse;
}

static inline double alp_double_of(int64_t integer)
{
    const int64_t bits = (int64_t)((uint64_t)integer + (uint64_t)ALP_BIAS);
    double biased;
    memcpy(&biased, &bits, sizeof biased);
    return biased - ALP_BIAS_VALUE;
}

/* In range an integer less the least one has 52 bits, and out of range more. */
static inline bool alp_in_range(const int64_t *in, uint32_t n)
{
    uint64_t any = 0;

    for (uint32_t j = 0; j < n; j++)
        any |= (uint64_t)in[j] - (uint64_t)VARVE_ALP_INT_MIN;
    return any >> 52 == 0;
}

static bool alp_f64(const int64_t *restrict in, uint32_t n, const struct varve_alp_powers *by,
                    double *restrict out)
{
    const struct varve_alp_powers powers = *by;

    if (!alp_in_range(in, n))
        return false;
    if (powers.divides) {
        for (uint32_t j = 0; j < n; j++)
            out[j] = alp_value(alp_double_of(in[j]), &powers, true);
    } else {
        for (uint32_t j = 0; j < n; j++)
            out[j] = alp_value(alp_double_of(in[j]), &powers, false);
    }
    return true;
}

static bool alp_f32(const int64_t *restrict in, uint32_t n, const struct varve_alp_powers *by,
                    float *restrict out)
{
    const struct varve_alp_powers powers = *by;

    if (!alp_in_range(in, n))
        return false;
    if (powers.divides) {
        for (uint32_t j = 0; j < n; j++)
            out[j] = (float)alp_value(alp_double_of(in[j]), &powers, true);
    } else {
        for (uint32_t j = 0; j < n; j++)
            out[j] = (float)alp_value(alp_double_of(in[j]), &powers, false);
    }
    return true;
}

/*
 * The integer is the value times 10^e (over 10^f), to nearest by adding and subtracting the bias.
 * What is too large, infinite or NaN, told by its bits, becomes 0 first: then it differs from the
 * value, as only 0.0 comes back as 0.0.
 */
static inline uint64_t alp_miss(double value, const struct varve_alp_powers *by, bool divides,
                                bool single, int64_t *ret_integer)
{
    double scaled = value * by->e * by->f_inverse;
    uint64_t bits, wanted;

    memcpy(&bits, &scaled, sizeof bits);
    bits &= (uint64_t)0 - (uint64_t)((int64_t)(bits & INT64_MAX) < ALP_BELOW);
    memcpy(&scaled, &bits, sizeof scaled);
    const double biased = scaled + ALP_BIAS_VALUE;
    memcpy(&bits, &biased, sizeof bits);
    *ret_integer = (int64_t)(bits - (uint64_t)ALP_BIAS);
    const double given = alp_value(biased - ALP_BIAS_VALUE, by, divides);
    const double back = single ? (double)(float)given : given;
    memcpy(&bits, &back, sizeof bits);
    memcpy(&wanted, &value, sizeof wanted);
    return bits ^ wanted;
}

/* Inlined with constants, so that each kind is a loop of its own. n is at most 64. */
static inline uint64_t alp_word(const void *restrict in, uint32_t n,
                                const struct varve_alp_powers *by, bool divides, bool single,
                                int64_t *restrict out)
{
    const double *values = in;
    double wide[64];
    uint64_t differs[64] = {0};
    uint8_t hit[64];
    uint64_t word = 0;

    if (single) {
        for (uint32_t j = 0; j < n; j++)
            wide[j] = ((const float *)in)[j];
        values = wide;
    }
    for (uint32_t j = 0; j < n; j++)
        differs[j] = alp_miss(values[j], by, divides, single, &out[j]);
    for (uint32_t j = 0; j < 64; j++)
        hit[j] = differs[j] != 0;
    for (uint32_t j = 0; j < 8; j++)
        word |= gather_bits(hit + (size_t)j * 8) << (j * 8);
    return word;
}

static inline void alp_words(const void *in, uint32_t n, const struct varve_alp_powers *by,
                             bool divides, bool single, int64_t *out, uint64_t *missed)
{
    const size_t size = single ? sizeof(float) : sizeof(double);
    const uint8_t *at = in;
    uint32_t j = 0;

    for (; j + 64 <= n; j += 64) /* loops of known length in each */
        missed[j / 64] = alp_word(at + j * size, 64, by, divides, single, out + j);
    if (j < n)
        missed[j / 64] = alp_word(at + j * size, n - j, by, divides, single, out + j);
}

static void alp_ints(const void *in, uint32_t n, const struct varve_alp_powers *by, bool single,
                     int64_t *out, uint64_t *missed)
{
    const struct varve_alp_powers powers = *by;

    if (powers.divides && single)
        alp_words(in, n, &powers, true, true, out, missed);
    else if (powers.divides)
        alp_words(in, n, &powers, true, false, out, missed);
    else if (single)
        alp_words(in, n, &powers, false, true, out, missed);
    else
        alp_words(in, n, &powers, false, false, out, missed);
}

const struct varve_kernels VARVE_KERNELS = {
    .name = VARVE_KERNELS_NAME,
    .unpack_u32 = unpack_u32,
    .unpack_u64 = unpack_u64,
    .for32_i64 = for32_i64,
    .for64_i64 = for64_i64,
    .pack_u32 = pack_u32,
    .pack_u64 = pack_u64,
    .scan_u32 = scan_u32,
    .scan_u64 = scan_u64,
    .scan_x4_u32 = scan_x4_u32,
    .scan_x4_u64 = scan_x4_u64,
    .widen_i8 = widen_i8,
    .widen_i16 = widen_i16,
    .widen_i32 = widen_i32,
    .widen_f32 = widen_f32,
    .narrow_i8 = narrow_i8,
    .narrow_i16 = narrow_i16,
    .narrow_i32 = narrow_i32,
    .ramp = ramp,
    .int_stats = int_stats,
    .int_range = int_range,
    .int_runs = int_runs,
    .u32_range = u32_range,
    .f64_range = f64_range,
    .f64_keys = f64_keys,
    .f64_span = f64_span,
    .f64_run_halves = f64_run_halves,
    .residual_u32 = residual_u32,
    .residual_u64 = residual_u64,
    .delta_u32 = delta_u32,
    .delta_u64 = delta_u64,
    .divide_u64 = divide_u64,
    .divided_bits = divided_bits,
    .alp_f64 = alp_f64,
    .alp_f32 = alp_f32,
    .alp_ints = alp_ints,
    .f64_compare_keys = f64_compare_keys,
    .compare_i64 = compare_i64,
};
