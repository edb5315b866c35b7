/*
 * test_block_roundtrip.c - what is encoded comes back, on every path, whole and in part.
 *
 * Method: every lane in every shape, with every kind of states, at every row count where a layout
 * changes. The scalar path's bytes are the reference for the other paths; a full decode is the
 * reference for every range.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

static const char text_mark[] = "before";

struct decoded {
    uint64_t values[VARVE_VECTOR_ROWS * 2];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1];
    struct varve_buffer text;
};

/* An exact-size copy on the heap, so that reading past the block is an ASan report. */
static uint8_t *copy_of(const struct varve_buffer *b)
{
    uint8_t *copy = malloc(b->size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, b->data, b->size);
    return copy;
}

static void decode(const struct varve_kernels *k, const struct varve_block *block, uint32_t first,
                   uint32_t n, struct decoded *d)
{
    if (block->lane == VARVE_LANE_BYTES) {
        varve_buffer_clear(&d->text);
        varve_write_bytes(&d->text, text_mark, sizeof text_mark);
        d->offsets[0] = sizeof text_mark;
        ck_assert_int_eq(
            varve_block_decode_bytes_with(k, block, first, n, d->offsets, &d->text, NULL), 0);
        ck_assert_uint_eq(d->text.size, d->offsets[n]);
    } else {
        ck_assert_int_eq(varve_block_decode_with(k, block, first, n, d->values, d->scales, NULL),
                         0);
    }
}

/* Row `row` of the sample is row `at` of what was decoded. Plain conditions in the inner loops:
 * every ck_assert is a system call. */
static bool cell_is_equal(const struct sample *s, uint32_t row, const struct decoded *d,
                          uint32_t at)
{
    const uint32_t size = varve_lane_size(s->in.lane);

    if (!sample_is_live(s, row))
        return true;
    if (s->in.lane == VARVE_LANE_BYTES) {
        const uint32_t bytes = s->offsets[row + 1] - s->offsets[row];
        return d->offsets[at + 1] - d->offsets[at] == bytes &&
               memcmp(d->text.data + d->offsets[at], s->text + s->offsets[row], bytes) == 0;
    }
    return memcmp((const uint8_t *)d->values + (size_t)at * size,
                  (const uint8_t *)s->values + (size_t)row * size, size) == 0 &&
           (s->in.lane != VARVE_LANE_DEC || d->scales[at] == s->scales[row]);
}

/* States do not depend on how values are decoded. */
static void check_states(const struct sample *s, const struct varve_block *block, uint32_t first,
                         uint32_t n)
{
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];
    bool sound = true;

    varve_block_states(block, first, n, live, deleted);
    for (uint32_t j = 0; j < n; j++) {
        const bool is_deleted = s->in.deleted != NULL && varve_bit_get(s->in.deleted, first + j);
        sound = sound && varve_bit_get(live, j) == sample_is_live(s, first + j) &&
                varve_bit_get(deleted, j) == is_deleted;
    }
    if (n % 64 != 0) {
        sound = sound && live[n / 64] >> (n % 64) == 0;
        sound = sound && deleted[n / 64] >> (n % 64) == 0;
    }
    ck_assert(sound);
}

static void check_range(const struct varve_kernels *k, const struct sample *s,
                        const struct varve_block *block, uint32_t first, uint32_t n,
                        struct decoded *d)
{
    bool sound = true;

    decode(k, block, first, n, d);
    for (uint32_t j = 0; j < n; j++)
        sound = sound && cell_is_equal(s, first + j, d, j);
    ck_assert(sound);
    if (k == varve_kernels_at(0))
        check_states(s, block, first, n);
}

static void check_ranges(const struct varve_kernels *k, const struct sample *s,
                         const struct varve_block *block, struct decoded *d)
{
    static const uint32_t cuts[] = {0, 1, 15, 16, 31, 32, 33, 63, 64, 127, 128, 129, 255, 512, 719};
    struct varve_rng rng;
    const uint32_t n = block->n;

    check_range(k, s, block, 0, n, d);
    for (uint32_t i = 0; i < sizeof cuts / sizeof *cuts && cuts[i] < n; i++) {
        const uint32_t left = n - cuts[i];
        if (i % 4 == 1) /* to the end; where it begins is what matters, and 60 rows show that */
            check_range(k, s, block, cuts[i], left, d);
        check_range(k, s, block, cuts[i], left < 60 ? left : 60, d);
        check_range(k, s, block, cuts[i], 1, d);
    }
    varve_rng_seed(&rng, n);
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t first = (uint32_t)varve_rng_below(&rng, n);
        check_range(k, s, block, first, (uint32_t)varve_rng_below(&rng, n - first + 1), d);
    }
}

static size_t raw_size(const struct sample *s)
{
    if (s->in.lane == VARVE_LANE_BYTES)
        return s->offsets[s->in.n] - s->offsets[0] + 4 * (size_t)s->in.n;
    return (size_t)s->in.n * (varve_lane_size(s->in.lane) + (s->in.lane == VARVE_LANE_DEC));
}

/* Encode on every path, compare the bytes, decode on every path. Returns the codec. */
static uint8_t check_sample(const struct sample *s, uint32_t flags, struct varve_heap *heap)
{
    struct varve_buffer out, again;
    struct varve_block block;
    struct decoded *d = malloc(sizeof *d);

    ck_assert_ptr_nonnull(d);
    varve_buffer_init(&d->text, heap);
    varve_buffer_init(&out, heap);
    varve_buffer_init(&again, heap);
    ck_assert_int_eq(varve_block_encode_with(varve_kernels_at(0), &s->in, flags, &out, NULL, NULL),
                     0);
    const size_t states = (size_t)(s->in.live != NULL) + (size_t)(s->in.deleted != NULL);
    ck_assert_uint_le(out.size, raw_size(s) + 16 + states * (1 + (s->in.n + 7) / 8));
    uint8_t *copy = copy_of(&out);
    ck_assert_int_eq(
        varve_block_open(varve_span_of(copy, out.size), s->in.lane, s->in.n, &block, NULL), 0);
    for (uint32_t i = 0; varve_kernels_at(i) != NULL; i++) {
        const struct varve_kernels *k = varve_kernels_at(i);
        varve_buffer_clear(&again);
        ck_assert_int_eq(varve_block_encode_with(k, &s->in, flags, &again, NULL, NULL), 0);
        ck_assert_uint_eq(again.size, out.size);
        ck_assert_mem_eq(again.data, out.data, out.size);
        check_ranges(k, s, &block, d);
    }
    free(copy);
    varve_buffer_free(&again);
    varve_buffer_free(&out);
    varve_buffer_free(&d->text);
    free(d);
    return block.codec;
}

START_TEST(every_lane_and_shape_comes_back) /* loop test: _i is the lane */
{
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (int shape = 0; shape < SHAPE_COUNT; shape++) {
        for (uint32_t r = 0; r < sample_rows_count; r++) {
            for (int states = 0; states < STATES_COUNT; states++) {
                sample_fill(s, (uint8_t)_i, (enum sample_shape)shape, sample_rows[r],
                            (enum sample_state)states, 1);
                check_sample(s, r % 2 == 0 ? 0 : VARVE_ENCODE_LOG, &heap);
            }
        }
    }
    free(s);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(every_width_comes_back)
{
    static const int64_t bases[] = {0, INT64_MIN, -1, INT64_C(1) << 40};
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (uint32_t width = 0; width <= 64; width++) {
        for (uint32_t r = 1; r < sample_rows_count; r += width % 8 <= 1 ? 1 : 4) {
            sample_fill_width(s, width, width > 62 ? INT64_MIN : bases[width % 4], sample_rows[r],
                              r);
            check_sample(s, 0, &heap);
        }
    }
    free(s);
}
END_TEST

/* Which codec each shape of 1,024 bigints takes; the choice is part of determinism. */
START_TEST(shapes_take_the_codec_made_for_them)
{
    static const uint8_t want[SHAPE_COUNT] = {
        VARVE_CODEC_CONST, VARVE_CODEC_CONST_DELTA, VARVE_CODEC_FOR, VARVE_CODEC_DFOR,
        VARVE_CODEC_RLE,   VARVE_CODEC_RAW,         VARVE_CODEC_RAW, VARVE_CODEC_FOR,
        VARVE_CODEC_DFOR,  VARVE_CODEC_FOR,         VARVE_CODEC_FOR};
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (int shape = 0; shape < SHAPE_COUNT; shape++) {
        sample_fill(s, VARVE_LANE_I64, (enum sample_shape)shape, 1024, STATES_ALL, 3);
        ck_assert_int_eq(check_sample(s, 0, &heap), want[shape]);
    }
    sample_fill(s, VARVE_LANE_I64, SHAPE_RUNS, 1024, STATES_ALL, 3);
    ck_assert_int_ne(check_sample(s, VARVE_ENCODE_LOG, &heap), VARVE_CODEC_RLE);
    for (uint8_t lane = VARVE_LANE_F32; lane <= VARVE_LANE_F64; lane++) {
        sample_fill(s, lane, SHAPE_PRICES, 1024, STATES_ALL, 3);
        ck_assert_int_eq(check_sample(s, 0, &heap), VARVE_CODEC_ALP);
        ck_assert_int_eq(check_sample(s, VARVE_ENCODE_LOG, &heap), VARVE_CODEC_RAW);
        sample_fill(s, lane, SHAPE_SCALED, 1024, STATES_ALL, 3);
        ck_assert_int_eq(check_sample(s, 0, &heap), VARVE_CODEC_ALP);
        sample_fill(s, lane, SHAPE_RANDOM, 1024, STATES_ALL, 3);
        ck_assert_int_eq(check_sample(s, 0, &heap), VARVE_CODEC_RAW);
    }
    sample_fill(s, VARVE_LANE_BYTES, SHAPE_NARROW, 1024, STATES_ALL, 3);
    ck_assert_int_ge(check_sample(s, 0, &heap), VARVE_CODEC_TEXT_LZ4);
    ck_assert_int_eq(check_sample(s, VARVE_ENCODE_LOG, &heap), VARVE_CODEC_TEXT);
    free(s);
}
END_TEST

/* The divisor of the block that the sample becomes. */
static uint64_t divisor_of(const struct sample *s, uint32_t flags, struct varve_heap *heap)
{
    struct varve_buffer out;
    struct varve_block block;

    check_sample(s, flags, heap);
    varve_buffer_init(&out, heap);
    ck_assert_int_eq(varve_block_encode(&s->in, flags, &out, NULL, NULL), 0);
    ck_assert_int_eq(varve_block_open(varve_buffer_span(&out), s->in.lane, s->in.n, &block, NULL),
                     0);
    varve_buffer_free(&out);
    return block.divisor;
}

START_TEST(common_divisors_are_found)
{
    static const uint64_t divisors[] = {2,
                                        3,
                                        6,
                                        10,
                                        49,
                                        64,
                                        1000,
                                        22 * 13,
                                        1000000,
                                        UINT64_C(0xfffffffe),
                                        UINT64_C(1) << 32,
                                        UINT64_C(6000000000000),
                                        UINT64_C(1) << 45,
                                        UINT64_C(3814697265625) /* 5^18 */};
    static const int64_t bases[] = {0, -1, INT64_MIN, INT64_C(1) << 40};
    static const uint32_t rows[] = {32, 127, 128, 1023};
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (uint32_t d = 0; d < sizeof divisors / sizeof *divisors; d++) {
        const uint64_t most = d % 2 == 0 ? 50000 : 90;
        for (uint32_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            sample_fill_multiples(s, divisors[d], most, bases[(d + r) % 4], rows[r], d * 31 + r);
            ck_assert_uint_eq(divisor_of(s, r % 2 == 0 ? 0 : VARVE_ENCODE_LOG, &heap), divisors[d]);
        }
        /* The running sums: their deltas have the divisor, and a step that is no multiple. Where a
         * delta needs more than 53 bits, none is sought. */
        for (uint32_t j = 1; j < 1023; j++)
            s->values[j] += s->values[j - 1] - (uint64_t)bases[(d + 3) % 4] + 1;
        const uint64_t found = divisors[d] * most < UINT64_C(1) << 53 ? divisors[d] : 1;
        ck_assert_uint_eq(divisor_of(s, 0, &heap), found);
    }
    free(s);
}
END_TEST

/* Wherever the row stands that does not fit the guess made from a few. */
START_TEST(a_single_row_shrinks_the_divisor)
{
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (uint32_t row = 1; row < 1023; row += 93) {
        sample_fill_multiples(s, 1000, 100000, -5, 1024, row);
        s->values[row] += 20;
        ck_assert_uint_eq(divisor_of(s, 0, &heap), 20);
        s->values[row] -= 19;
        ck_assert_uint_eq(divisor_of(s, VARVE_ENCODE_LOG, &heap), 1);
    }
    free(s);
}
END_TEST

/* Ranges and bases at which products would leave 64 bits are packed without a divisor. */
START_TEST(divisors_at_the_edge_of_int64)
{
    struct varve_heap heap;
    struct sample *s = malloc(sizeof *s);

    ck_assert_ptr_nonnull(s);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    /* 7 multiples fill three bits: base + 7 * 1000 is the last that fits. */
    sample_fill_multiples(s, 1000, 7, INT64_MAX - 7000, 500, 1);
    ck_assert_uint_eq(divisor_of(s, 0, &heap), 1000);
    /* 5 multiples need three bits too, and 7 of them do not fit. */
    sample_fill_multiples(s, 1000, 5, INT64_MAX - 5000, 500, 1);
    ck_assert_uint_ne(divisor_of(s, 0, &heap), 0);
    sample_fill_multiples(s, UINT64_C(1) << 60, 3, INT64_MIN, 500, 1);
    ck_assert_uint_eq(divisor_of(s, 0, &heap), UINT64_C(1) << 60);
    for (uint64_t most = 4; most < 16; most++) {
        sample_fill_multiples(s, UINT64_C(1) << 60, most, INT64_MIN, 500, 1);
        check_sample(s, 0, &heap);
        sample_fill_multiples(s, UINT64_C(7) << 57, most, INT64_MIN, 500, 1);
        check_sample(s, 0, &heap);
    }
    free(s);
}
END_TEST

START_TEST(dictionary_codes_open_for_any_lane)
{
    struct varve_heap heap;
    struct varve_buffer out;
    struct varve_block block;
    int32_t codes[VARVE_VECTOR_ROWS], back[VARVE_VECTOR_ROWS];

    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&out, &heap);
    for (int32_t j = 0; j < 1024; j++)
        codes[j] = j * j % 37;
    const struct varve_lanes in = {.lane = VARVE_LANE_I32, .n = 1024, .values = codes};
    ck_assert_int_eq(varve_block_encode(&in, VARVE_ENCODE_CODES, &out, NULL, NULL), 0);
    for (uint8_t lane = VARVE_LANE_I8; lane <= VARVE_LANE_BYTES; lane++) {
        ck_assert_int_eq(varve_block_open(varve_buffer_span(&out), lane, 1024, &block, NULL), 0);
        ck_assert_int_eq(block.codec, VARVE_CODEC_DICT);
        ck_assert_int_eq(block.lane, VARVE_LANE_I32);
        ck_assert_int_eq(varve_block_decode(&block, 5, 1000, back, NULL, NULL), 0);
        ck_assert_mem_eq(back, codes + 5, 1000 * sizeof *codes);
    }
    varve_buffer_free(&out);
}
END_TEST

START_TEST(text_above_the_limit_is_refused)
{
    struct varve_heap heap;
    struct varve_buffer out;
    varve_error err;
    const size_t size = (16u << 20) + 1;
    uint8_t *text = calloc(1, size);
    uint32_t offsets[3] = {0, 1, VARVE_VECTOR_BYTES_MAX + 1};

    ck_assert_ptr_nonnull(text);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&out, &heap);
    struct varve_lanes in = {.lane = VARVE_LANE_BYTES, .n = 2, .values = text, .offsets = offsets};
    ck_assert_int_eq(varve_block_encode(&in, 0, &out, NULL, &err), VARVE_ELIMIT);
    ck_assert_uint_eq(out.size, 0);
    offsets[2]--;
    ck_assert_int_eq(varve_block_encode(&in, 0, &out, NULL, &err), VARVE_OK);
    varve_buffer_clear(&out);
    in.n = 1;
    offsets[1] = (uint32_t)size;
    ck_assert_int_eq(varve_block_encode(&in, 0, &out, NULL, &err), VARVE_ELIMIT);
    offsets[1] = (uint32_t)size - 1;
    ck_assert_int_eq(varve_block_encode(&in, 0, &out, NULL, &err), VARVE_OK);
    varve_buffer_free(&out);
    free(text);
}
END_TEST

/* Lower the heap's limit to nothing, a little, more, ... until encoding and decoding succeed. */
START_TEST(no_memory_is_reported_and_leaks_nothing) /* loop test: _i is the lane */
{
    struct sample *s = malloc(sizeof *s);
    bool done = false;
    uint32_t refused = 0;
    struct varve_heap heap;

    ck_assert_ptr_nonnull(s);
    sample_fill(s, (uint8_t)_i, SHAPE_NARROW, 720, STATES_SOME, 9);
    for (uint64_t limit = 0; !done; limit += limit < 4096 ? 512 : limit / 8) {
        struct varve_buffer out, text;
        struct varve_block block;
        varve_error err = {.status = VARVE_OK};
        uint32_t offsets[VARVE_VECTOR_ROWS + 1] = {0};
        varve_heap_init(&heap, NULL, limit);
        varve_buffer_init(&out, &heap);
        varve_buffer_init(&text, &heap);
        varve_status rc = varve_block_encode(&s->in, 0, &out, NULL, &err);
        if (rc == VARVE_OK && _i == VARVE_LANE_BYTES) {
            ck_assert_int_eq(
                varve_block_open(varve_buffer_span(&out), (uint8_t)_i, 720, &block, NULL), 0);
            rc = varve_block_decode_bytes(&block, 0, 720, offsets, &text, &err);
        }
        done = rc == VARVE_OK;
        if (!done) {
            refused++;
            ck_assert_int_eq(rc, VARVE_ENOMEM);
            ck_assert_int_eq(err.status, VARVE_ENOMEM);
            ck_assert(out.size == 0 || text.size == 0);
        }
        varve_buffer_free(&text);
        varve_buffer_free(&out);
        ck_assert_uint_eq(varve_heap_used(&heap), 0);
    }
    ck_assert_uint_gt(refused, 0);
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_roundtrip");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_lane_and_shape_comes_back, VARVE_LANE_I8,
                        VARVE_LANE_BYTES + 1);
    tcase_add_test(tcase, every_width_comes_back);
    tcase_add_test(tcase, shapes_take_the_codec_made_for_them);
    tcase_add_test(tcase, common_divisors_are_found);
    tcase_add_test(tcase, a_single_row_shrinks_the_divisor);
    tcase_add_test(tcase, divisors_at_the_edge_of_int64);
    tcase_add_test(tcase, dictionary_codes_open_for_any_lane);
    tcase_add_test(tcase, text_above_the_limit_is_refused);
    tcase_add_loop_test(tcase, no_memory_is_reported_and_leaks_nothing, VARVE_LANE_I8,
                        VARVE_LANE_BYTES + 1);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
