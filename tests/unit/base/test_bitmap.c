/*
 * test_bitmap.c - bitmap.c against one bit at a time, with guard words that must not change.
 */
#include "storage/base/bitmap.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"

#define WORDS 8
#define BITS (WORDS * 64)

static void fill(struct varve_rng *rng, uint64_t words[WORDS])
{
    for (int i = 0; i < WORDS; i++)
        words[i] = varve_rng_next(rng) & (varve_rng_below(rng, 3) == 0 ? 0 : UINT64_MAX);
}

START_TEST(count_and_next_agree_with_single_bits)
{
    struct varve_rng rng;
    uint64_t words[WORDS];
    varve_rng_seed(&rng, 1);
    for (int round = 0; round < 50; round++) {
        fill(&rng, words);
        for (size_t n = 0; n <= BITS; n += 1 + (size_t)varve_rng_below(&rng, 5)) {
            const size_t from = (size_t)varve_rng_below(&rng, BITS + 10);
            size_t count = 0, next = n;
            for (size_t i = n; i-- > 0;) {
                count += varve_bit_get(words, i);
                if (i >= from && varve_bit_get(words, i))
                    next = i;
            }
            ck_assert_uint_eq(varve_bitmap_count(words, n), count);
            ck_assert_uint_eq(varve_bitmap_next(words, from, n), next);
        }
    }
}
END_TEST

START_TEST(set_range_sets_just_the_range)
{
    struct varve_rng rng;
    uint64_t words[WORDS], expect[WORDS];
    varve_rng_seed(&rng, 2);
    for (int round = 0; round < 5000; round++) {
        fill(&rng, words);
        memcpy(expect, words, sizeof words);
        const size_t first = (size_t)varve_rng_below(&rng, BITS + 1);
        const size_t n = (size_t)varve_rng_below(&rng, BITS - first + 1);
        for (size_t i = first; i < first + n; i++)
            varve_bit_set(expect, i);
        varve_bitmap_set_range(words, first, n);
        ck_assert_mem_eq(words, expect, sizeof words);
    }
}
END_TEST

START_TEST(copy_moves_just_the_bits_asked_for)
{
    struct varve_rng rng;
    uint64_t to[WORDS], from[WORDS], expect[WORDS];
    varve_rng_seed(&rng, 3);
    for (int round = 0; round < 5000; round++) {
        fill(&rng, to);
        fill(&rng, from);
        memcpy(expect, to, sizeof to);
        const size_t n = (size_t)varve_rng_below(&rng, BITS + 1);
        const size_t a = (size_t)varve_rng_below(&rng, BITS - n + 1);
        const size_t b = (size_t)varve_rng_below(&rng, BITS - n + 1);
        for (size_t i = 0; i < n; i++) {
            if (varve_bit_get(from, b + i))
                varve_bit_set(expect, a + i);
            else
                varve_bit_clear(expect, a + i);
        }
        varve_bitmap_copy(to, a, from, b, n);
        ck_assert_mem_eq(to, expect, sizeof to);
    }
}
END_TEST

START_TEST(no_word_beyond_the_bits_is_touched)
{
    /* Exact heap blocks: an access beyond them is a sanitizer report. */
    for (size_t n = 1; n <= 200; n++) {
        const size_t size = VARVE_BITMAP_WORDS(n) * sizeof(uint64_t);
        uint64_t *a = calloc(1, size), *b = calloc(1, size);
        ck_assert(a != NULL && b != NULL);
        varve_bitmap_set_range(a, 0, n);
        ck_assert_uint_eq(varve_bitmap_count(a, n), n);
        for (size_t first = 0; first < n; first += 7) {
            varve_bitmap_copy(b, 0, a, first, n - first);
            varve_bitmap_copy(b, first, a, 0, n - first);
        }
        ck_assert_uint_eq(varve_bitmap_next(b, 0, n), 0);
        free(a);
        free(b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bitmap");
    TCase *tc = tcase_create("bitmap");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, count_and_next_agree_with_single_bits);
    tcase_add_test(tc, set_range_sets_just_the_range);
    tcase_add_test(tc, copy_moves_just_the_bits_asked_for);
    tcase_add_test(tc, no_word_beyond_the_bits_is_touched);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
