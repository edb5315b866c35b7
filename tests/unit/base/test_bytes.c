/*
 * test_bytes.c - bytes.h and bytes.c: every number survives the trip, every cut is noticed, and a
 * number has one spelling.
 */
#include "storage/base/bytes.h"

#include <check.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/rng.h"
#include "tests/lib/fault.h"

static const uint64_t edges[] = {0,
                                 1,
                                 127,
                                 128,
                                 255,
                                 16383,
                                 16384,
                                 UINT32_MAX,
                                 (uint64_t)1 << 32,
                                 INT64_MAX,
                                 (uint64_t)1 << 63,
                                 UINT64_MAX};
#define EDGES (sizeof edges / sizeof edges[0])

static void write_all(struct varve_buffer *b)
{
    for (size_t i = 0; i < EDGES; i++) {
        varve_write_u8(b, (uint8_t)edges[i]);
        varve_write_u16(b, (uint16_t)edges[i]);
        varve_write_u32(b, (uint32_t)edges[i]);
        varve_write_u64(b, edges[i]);
        varve_write_varint(b, edges[i]);
        varve_write_zigzag(b, (int64_t)edges[i]);
    }
    varve_write_sized(b, "mud", 3);
    varve_write_zeros(b, 5);
    varve_write_bytes(b, "clay", 4);
    varve_write_bytes(b, NULL, 0);
    varve_write_sized(b, NULL, 0);
}

/* Reads what write_all wrote; comparisons are skipped once the reader has failed. */
static void read_all(struct varve_reader *r)
{
    for (size_t i = 0; i < EDGES; i++) {
        const uint8_t a = varve_read_u8(r);
        const uint16_t b = varve_read_u16(r);
        const uint32_t c = varve_read_u32(r);
        const uint64_t d = varve_read_u64(r);
        const uint64_t e = varve_read_varint(r);
        const int64_t f = varve_read_zigzag(r);
        if (r->failed)
            break;
        ck_assert_uint_eq(a, (uint8_t)edges[i]);
        ck_assert_uint_eq(b, (uint16_t)edges[i]);
        ck_assert_uint_eq(c, (uint32_t)edges[i]);
        ck_assert_uint_eq(d, edges[i]);
        ck_assert_uint_eq(e, edges[i]);
        ck_assert_int_eq(f, (int64_t)edges[i]);
    }
    const struct varve_span mud = varve_read_sized(r, 3);
    const struct varve_span zeros = varve_read_bytes(r, 5);
    const struct varve_span clay = varve_read_bytes(r, 4);
    const struct varve_span empty = varve_read_sized(r, 0);
    if (r->failed)
        return;
    ck_assert_int_eq(varve_span_compare(mud, varve_span_of("mud", 3)), 0);
    ck_assert_int_eq(varve_span_compare(zeros, varve_span_of("\0\0\0\0", 5)), 0);
    ck_assert_int_eq(varve_span_compare(clay, varve_span_of("clay", 4)), 0);
    ck_assert_uint_eq(empty.size, 0);
}

START_TEST(what_is_written_is_read_and_every_cut_fails)
{
    struct varve_heap heap;
    struct varve_buffer b;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&b, &heap);
    write_all(&b);
    ck_assert(!b.failed);

    struct varve_reader r = varve_reader_of(varve_buffer_span(&b));
    read_all(&r);
    ck_assert(!r.failed);
    ck_assert_uint_eq(varve_reader_left(&r), 0);

    for (size_t n = 0; n < b.size; n++) { /* an exact copy, so that over-reads are reports */
        uint8_t *copy = malloc(n + (n == 0));
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, b.data, n);
        r = varve_reader_of(varve_span_of(copy, n));
        read_all(&r);
        ck_assert(r.failed);
        ck_assert_uint_eq(varve_reader_left(&r), 0);
        ck_assert_uint_eq(varve_read_u64(&r), 0);
        ck_assert_uint_eq(varve_read_bytes(&r, 0).size, 0);
        ck_assert(r.failed);
        free(copy);
    }
    varve_buffer_free(&b);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
} bad_varint[] = {
    {"\x80\x00", 2},                                      /* 0 in two bytes */
    {"\xff\x80\x00", 3},                                  /* a needless last group */
    {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 10},     /* bit 64 */
    {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}, /* eleven bytes */
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10},
    {"\x80", 1}, /* cut short */
    {"", 0},
};
#define BAD_VARINTS ((int)(sizeof bad_varint / sizeof bad_varint[0]))

START_TEST(varint_refuses_other_spellings)
{
    struct varve_reader r =
        varve_reader_of(varve_span_of(bad_varint[_i].bytes, bad_varint[_i].size));
    ck_assert_uint_eq(varve_read_varint(&r), 0);
    ck_assert(r.failed);
}
END_TEST

START_TEST(varint_has_one_spelling)
{
    struct varve_heap heap;
    struct varve_buffer b;
    struct varve_rng rng;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&b, &heap);
    varve_rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) { /* whatever decodes encodes to the same bytes */
        uint8_t bytes[12];
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)(varve_rng_next(&rng) | (varve_rng_below(&rng, 4) != 0 ? 0x80 : 0));
        struct varve_reader r = varve_reader_of(varve_span_of(bytes, sizeof bytes));
        const uint64_t v = varve_read_varint(&r);
        if (r.failed)
            continue;
        varve_buffer_clear(&b);
        varve_write_varint(&b, v);
        ck_assert_uint_eq(b.size, sizeof bytes - varve_reader_left(&r));
        ck_assert_mem_eq(b.data, bytes, b.size);
    }
    varve_buffer_free(&b);
}
END_TEST

START_TEST(sized_refuses_more_than_the_limit_or_the_rest)
{
    struct varve_reader r = varve_reader_of(varve_span_of("\x04"
                                                          "clay",
                                                          5));
    ck_assert_uint_eq(varve_read_sized(&r, 3).size, 0);
    ck_assert(r.failed);
    r = varve_reader_of(varve_span_of("\x05"
                                      "clay",
                                      5));
    ck_assert_uint_eq(varve_read_sized(&r, 100).size, 0);
    ck_assert(r.failed);
    r = varve_reader_of(varve_span_of(NULL, 0));
    ck_assert_uint_eq(varve_reader_left(&r), 0);
    ck_assert_uint_eq(varve_read_bytes(&r, 0).size, 0);
    ck_assert(!r.failed);
    ck_assert_uint_eq(varve_read_u8(&r), 0);
    ck_assert(r.failed);
}
END_TEST

START_TEST(spans_compare_by_unsigned_bytes_then_length)
{
    ck_assert_int_lt(varve_span_compare(varve_span_of("a", 1), varve_span_of("ab", 2)), 0);
    ck_assert_int_gt(varve_span_compare(varve_span_of("\xff", 1), varve_span_of("a", 1)), 0);
    ck_assert_int_lt(varve_span_compare(varve_span_of(NULL, 0), varve_span_of("", 1)), 0);
    ck_assert_int_eq(varve_span_compare(varve_span_of(NULL, 0), varve_span_of("x", 0)), 0);
}
END_TEST

START_TEST(zigzag_keeps_small_numbers_small)
{
    ck_assert_uint_eq(varve_zigzag(0), 0);
    ck_assert_uint_eq(varve_zigzag(-1), 1);
    ck_assert_uint_eq(varve_zigzag(1), 2);
    ck_assert_uint_eq(varve_zigzag(INT64_MIN), UINT64_MAX);
    ck_assert_int_eq(varve_unzigzag(UINT64_MAX), INT64_MIN);
    ck_assert_int_eq(varve_unzigzag(varve_zigzag(INT64_MAX)), INT64_MAX);
}
END_TEST

START_TEST(buffer_survives_every_failed_allocation)
{
    for (long n = 0;; n++) {
        struct fault f;
        struct varve_heap heap;
        struct varve_buffer b;
        fault_init(&f, n, FAULT_ONCE);
        varve_heap_init(&heap, &f.allocator, UINT64_MAX);
        varve_buffer_init(&b, &heap);
        for (int i = 0; i < 10; i++)
            write_all(&b);
        ck_assert_int_eq(b.failed, fault_fired(&f));
        if (b.failed) { /* it stays failed, and keeps what it had */
            const size_t size = b.size;
            varve_write_u8(&b, 1);
            ck_assert_uint_eq(b.size, size);
            ck_assert_ptr_null(varve_buffer_reserve(&b, 1));
            varve_buffer_clear(&b);
            varve_write_u8(&b, 1);
            ck_assert(!b.failed && b.size == 1);
        }
        varve_buffer_free(&b);
        ck_assert_uint_eq(fault_live(&f), 0);
        if (!fault_fired(&f)) {
            ck_assert_int_ge(n, 3);
            break;
        }
    }
}
END_TEST

START_TEST(buffer_refuses_sizes_that_overflow)
{
    struct varve_heap heap;
    struct varve_buffer b;
    varve_heap_init(&heap, NULL, 1 << 20);
    varve_buffer_init(&b, &heap);
    varve_write_u8(&b, 1);
    ck_assert_ptr_null(varve_buffer_reserve(&b, SIZE_MAX));
    ck_assert(b.failed);
    varve_buffer_clear(&b);
    ck_assert_ptr_null(varve_buffer_reserve(&b, 2 << 20));
    varve_buffer_free(&b);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tc = tcase_create("bytes");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, what_is_written_is_read_and_every_cut_fails);
    tcase_add_loop_test(tc, varint_refuses_other_spellings, 0, BAD_VARINTS);
    tcase_add_test(tc, varint_has_one_spelling);
    tcase_add_test(tc, sized_refuses_more_than_the_limit_or_the_rest);
    tcase_add_test(tc, spans_compare_by_unsigned_bytes_then_length);
    tcase_add_test(tc, zigzag_keeps_small_numbers_small);
    tcase_add_test(tc, buffer_survives_every_failed_allocation);
    tcase_add_test(tc, buffer_refuses_sizes_that_overflow);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
