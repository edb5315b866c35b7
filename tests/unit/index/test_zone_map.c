/*
 * test_zone_map.c - zone_map.c and packed_column.c: what is written is read, unknown statistics are
 * skipped, numbers that cannot be are refused.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "index/packed_column.h"
#include "index/zone_map.h"
#include "storage/base/rng.h"
#include "tests/unit/rows/row_maker.h"

START_TEST(packed_columns_come_back)
{
    static const uint32_t counts[] = {0, 1, 7, 1023, 1024, 1025, 5000};
    const uint32_t n = counts[_i % 7];
    const uint32_t bits = (uint32_t)(_i / 7) * 8;
    int64_t *values = calloc(n + 1, sizeof *values), *back = calloc(n + 1, sizeof *back);
    struct row_heap heap;
    struct varve_buffer out;
    struct varve_rng rng;

    row_heap_init(&heap, -1);
    varve_rng_seed(&rng, (uint64_t)_i);
    for (uint32_t i = 0; i < n; i++)
        values[i] = bits == 0 ? -5 : (int64_t)(varve_rng_next(&rng) >> (64 - bits)) - 100;
    varve_buffer_init(&out, &heap.heap);
    varve_packed_write(&out, values, n);
    struct varve_reader r = varve_reader_of(varve_buffer_span(&out));
    struct varve_reader skip = r;
    ck_assert(varve_packed_read(&r, n, back));
    ck_assert_uint_eq(varve_reader_left(&r), 0);
    ck_assert_mem_eq(values, back, n * sizeof *values);
    ck_assert(varve_packed_skip(&skip, n));
    ck_assert_uint_eq(varve_reader_left(&skip), 0);
    for (size_t size = 0; size < out.size; size += 1 + out.size / 50) {
        struct varve_reader cut = varve_reader_of(varve_span_of(out.data, size));
        ck_assert(!varve_packed_read(&cut, n, back));
    }
    varve_buffer_free(&out);
    free(values);
    free(back);
}
END_TEST

#define VECTORS 70u

static void make_zones(struct varve_zone *zones, struct varve_rng *rng, bool floating)
{
    memset(zones, 0, VECTORS * sizeof *zones);
    for (uint32_t i = 0; i < VECTORS; i++) {
        struct varve_zone *z = &zones[i];

        z->live = (uint32_t)varve_rng_below(rng, 1025);
        z->nan = z->live > 3 && floating ? (uint32_t)varve_rng_below(rng, 3) : 0;
        z->has_range = z->live > z->nan && varve_rng_below(rng, 3) > 0;
        z->has_ends = z->live > 0;
        z->has_sum = varve_rng_below(rng, 2) == 0;
        if (z->has_range) {
            z->min.i64 = (int64_t)varve_rng_next(rng);
            z->max.i64 = (int64_t)varve_rng_next(rng);
        }
        if (z->has_ends) {
            z->first.i64 = (int64_t)varve_rng_next(rng);
            z->last.i64 = (int64_t)varve_rng_next(rng) >> 40;
            z->first_row = 2;
            z->last_row = 900;
        }
        if (z->has_sum && floating) {
            z->partial.mantissa = (varve_i128)(int64_t)varve_rng_next(rng) * 1000003;
            z->partial.exponent = (int16_t)((int)varve_rng_below(rng, 1900) - 1000);
        } else if (z->has_sum) {
            z->sum = (varve_i128)(int64_t)varve_rng_next(rng) * 9 - 1;
        }
    }
}

static bool same(const struct varve_zone *a, const struct varve_zone *b)
{
    return a->live == b->live && a->nan == b->nan && a->has_range == b->has_range &&
           a->has_sum == b->has_sum && a->has_ends == b->has_ends && a->first_row == b->first_row &&
           a->last_row == b->last_row && a->min.i64 == b->min.i64 && a->max.i64 == b->max.i64 &&
           a->first.i64 == b->first.i64 && a->last.i64 == b->last.i64 && a->sum == b->sum &&
           a->partial.mantissa == b->partial.mantissa && a->partial.exponent == b->partial.exponent;
}

START_TEST(zones_come_back_and_damage_is_bounded)
{
    struct varve_zone ints[VECTORS], reals[VECTORS], back[VECTORS];
    uint32_t rows[VECTORS];
    int64_t scratch[VECTORS];
    struct row_heap heap;
    struct varve_buffer out, body;
    struct varve_rng rng;

    row_heap_init(&heap, -1);
    varve_rng_seed(&rng, (uint64_t)_i);
    make_zones(ints, &rng, false);
    make_zones(reals, &rng, true);
    for (uint32_t i = 0; i < VECTORS; i++)
        rows[i] = 1024;
    varve_buffer_init(&out, &heap.heap);
    varve_buffer_init(&body, &heap.heap);
    varve_zone_map_begin(&out, VECTORS, 2);
    varve_zone_map_column(&out, 3, VARVE_LANE_I64, ints, VECTORS, scratch, &body);
    varve_zone_map_column(&out, 7, VARVE_LANE_F64, reals, VECTORS, scratch, &body);
    const struct varve_span block = varve_buffer_span(&out);
    ck_assert_int_eq(
        varve_zone_map_read(block, 3, VARVE_LANE_I64, VECTORS, rows, scratch, back, NULL),
        VARVE_OK);
    for (uint32_t i = 0; i < VECTORS; i++)
        ck_assert(same(&ints[i], &back[i]));
    ck_assert_int_eq(
        varve_zone_map_read(block, 7, VARVE_LANE_F64, VECTORS, rows, scratch, back, NULL),
        VARVE_OK);
    for (uint32_t i = 0; i < VECTORS; i++)
        ck_assert(same(&reals[i], &back[i]));
    ck_assert_int_eq(
        varve_zone_map_read(block, 5, VARVE_LANE_I64, VECTORS, rows, scratch, back, NULL),
        VARVE_END);
    ck_assert_int_eq(
        varve_zone_map_read(block, 9, VARVE_LANE_I64, VECTORS, rows, scratch, back, NULL),
        VARVE_END);
    ck_assert_int_eq(
        varve_zone_map_read(block, 3, VARVE_LANE_F64, VECTORS, rows, scratch, back, NULL),
        VARVE_ECORRUPT);
    ck_assert_int_eq(
        varve_zone_map_read(block, 3, VARVE_LANE_I64, VECTORS - 1, rows, scratch, back, NULL),
        VARVE_ECORRUPT);
    rows[3] = ints[3].live == 0 ? 1024 : ints[3].live - 1;
    if (ints[3].live > 0)
        ck_assert_int_eq(
            varve_zone_map_read(block, 3, VARVE_LANE_I64, VECTORS, rows, scratch, back, NULL),
            VARVE_ECORRUPT);
    rows[3] = 1024;
    for (uint32_t k = 0; k < 20000; k++) { /* any byte: an answer or ECORRUPT */
        const size_t at = (size_t)varve_rng_below(&rng, out.size);
        const uint8_t before = out.data[at];

        out.data[at] = (uint8_t)varve_rng_next(&rng);
        const varve_status rc = varve_zone_map_read(block, k % 2 == 0 ? 3 : 7,
                                                    k % 2 == 0 ? VARVE_LANE_I64 : VARVE_LANE_F64,
                                                    VECTORS, rows, scratch, back, NULL);
        if (rc != VARVE_OK && rc != VARVE_ECORRUPT && rc != VARVE_END)
            ck_abort_msg("%d", rc);
        out.data[at] = before;
    }
    varve_buffer_free(&out);
    varve_buffer_free(&body);
}
END_TEST

START_TEST(an_unknown_statistic_is_skipped)
{
    struct varve_zone zone = {.live = 5, .has_range = true, .min.i64 = 1, .max.i64 = 9}, back;
    const uint32_t rows = 10;
    int64_t scratch[1];
    struct row_heap heap;
    struct varve_buffer out, body, more;

    row_heap_init(&heap, -1);
    varve_buffer_init(&out, &heap.heap);
    varve_buffer_init(&body, &heap.heap);
    varve_buffer_init(&more, &heap.heap);
    varve_zone_map_begin(&out, 1, 1);
    varve_zone_map_column(&out, 2, VARVE_LANE_I32, &zone, 1, scratch, &body);
    /* The same column with one statistic more behind its others. */
    varve_zone_map_begin(&more, 1, 1);
    varve_write_varint(&more, 2);
    varve_write_u8(&more, VARVE_LANE_I32);
    varve_write_varint(&body, 40);
    varve_write_sized(&body, "whatever", 8);
    varve_write_sized(&more, body.data, body.size);
    ck_assert_int_eq(varve_zone_map_read(varve_buffer_span(&more), 2, VARVE_LANE_I32, 1, &rows,
                                         scratch, &back, NULL),
                     VARVE_OK);
    ck_assert(same(&zone, &back));
    varve_buffer_free(&out);
    varve_buffer_free(&body);
    varve_buffer_free(&more);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zone_map");
    TCase *tc = tcase_create("zone_map");

    tcase_add_loop_test(tc, packed_columns_come_back, 0, 63);
    tcase_add_loop_test(tc, zones_come_back_and_damage_is_bounded, 0, 5);
    tcase_add_test(tc, an_unknown_statistic_is_skipped);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
