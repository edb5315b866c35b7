/*
 * test_alloc.c - alloc.c: what is counted is what was asked for, the limit holds, and threads lose
 * no byte.
 */
#include "storage/base/alloc.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"
#include "tests/lib/fault.h"

START_TEST(counts_used_and_peak)
{
    struct fault f;
    struct varve_heap heap;
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);

    void *a = varve_alloc(&heap, 100);
    void *b = varve_alloc_aligned(&heap, 1000, 4096);
    ck_assert_uint_eq(varve_heap_used(&heap), 1100);
    ck_assert_uint_eq((uintptr_t)a % 16, 0);
    ck_assert_uint_eq((uintptr_t)b % 4096, 0);
    varve_free(&heap, a, 100);
    ck_assert_uint_eq(varve_heap_used(&heap), 1000);
    ck_assert_uint_eq(varve_heap_peak(&heap), 1100);
    varve_free_aligned(&heap, b, 1000, 4096);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    ck_assert_uint_eq(varve_heap_peak(&heap), 1100);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

START_TEST(limit_refuses_and_changes_nothing)
{
    struct fault f;
    struct varve_heap heap;
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, 1000);

    void *a = varve_alloc(&heap, 1000);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_null(varve_alloc(&heap, 1));
    ck_assert_int_eq(fault_calls(&f), 1); /* the application's allocator was not even asked */
    ck_assert_uint_eq(varve_heap_used(&heap), 1000);
    varve_free(&heap, a, 1000);
    ck_assert_ptr_null(varve_alloc(&heap, 1001));
    ck_assert_ptr_null(varve_alloc(&heap, SIZE_MAX));
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    ck_assert_uint_eq(varve_heap_peak(&heap), 1000);
}
END_TEST

START_TEST(failed_allocation_is_not_counted)
{
    struct fault f;
    struct varve_heap heap;
    fault_init(&f, 0, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    ck_assert_ptr_null(varve_alloc(&heap, 64));
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    char *copy = varve_strdup(&heap, "layer");
    ck_assert_str_eq(copy, "layer");
    ck_assert_uint_eq(varve_heap_used(&heap), 6);
    varve_free(&heap, copy, 6);
    varve_free(&heap, NULL, 0);
    ck_assert_uint_eq(fault_live(&f), 0);

    fault_init(&f, 0, FAULT_FOR_EVER);
    ck_assert_ptr_null(varve_strdup(&heap, "layer"));
    ck_assert_ptr_null(varve_alloc_zero(&heap, 4, 4));
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(zeroed_memory_is_zero_and_checks_overflow)
{
    struct fault f;
    struct varve_heap heap;
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    uint8_t *a = varve_alloc_zero(&heap, 7, 9);
    for (int i = 0; i < 63; i++)
        ck_assert_uint_eq(a[i], 0);
    varve_free(&heap, a, 63);
    ck_assert_ptr_null(varve_alloc_zero(&heap, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(varve_alloc_zero(&heap, (size_t)1 << 33, (size_t)1 << 33));
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(realloc_keeps_bytes_and_on_failure_the_old_block)
{
    struct fault f;
    struct varve_heap heap;
    fault_init(&f, 2, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    char *a = varve_realloc(&heap, NULL, 0, 8);
    memcpy(a, "sediment", 8);
    a = varve_realloc(&heap, a, 8, 100);
    ck_assert_mem_eq(a, "sediment", 8);
    ck_assert_ptr_null(varve_realloc(&heap, a, 100, 200));
    ck_assert_mem_eq(a, "sediment", 8);
    ck_assert_uint_eq(varve_heap_used(&heap), 100);
    a = varve_realloc(&heap, a, 100, 3);
    ck_assert_mem_eq(a, "sed", 3);
    ck_assert_uint_eq(varve_heap_used(&heap), 3);
    varve_free(&heap, a, 3);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

START_TEST(default_allocator_aligns)
{
    struct varve_heap heap;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (size_t align = 16; align <= 4096; align *= 2) {
        void *memory = varve_alloc_aligned(&heap, align + 1, align);
        ck_assert_uint_eq((uintptr_t)memory % align, 0);
        memset(memory, 1, align + 1);
        varve_free_aligned(&heap, memory, align + 1, align);
    }
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

#define THREADS 4
#define BLOCKS 16
#define LIMIT 40000u

static void *churn(void *ctx)
{
    struct varve_heap *heap = ctx;
    void *memory[BLOCKS] = {NULL};
    size_t size[BLOCKS] = {0};
    struct varve_rng rng;

    varve_rng_seed(&rng, (uint64_t)(uintptr_t)&rng);
    for (int i = 0; i < 20000; i++) {
        const size_t at = (size_t)varve_rng_below(&rng, BLOCKS);
        varve_free(heap, memory[at], size[at]);
        size[at] = 1 + (size_t)varve_rng_below(&rng, 2000);
        memory[at] = varve_alloc(heap, size[at]);
        if (varve_heap_used(heap) > LIMIT)
            abort();
    }
    for (int i = 0; i < BLOCKS; i++)
        varve_free(heap, memory[i], size[i]);
    return NULL;
}

START_TEST(threads_count_exactly_and_never_pass_the_limit)
{
    struct fault f;
    struct varve_heap heap;
    pthread_t thread[THREADS];
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, LIMIT);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, churn, &heap), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    ck_assert_uint_le(varve_heap_peak(&heap), LIMIT);
    ck_assert_uint_le(fault_peak(&f), LIMIT);
    ck_assert_uint_eq(fault_live(&f), 0);
    ck_assert_uint_eq(fault_blocks(&f), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alloc");
    TCase *tc = tcase_create("alloc");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, counts_used_and_peak);
    tcase_add_test(tc, limit_refuses_and_changes_nothing);
    tcase_add_test(tc, failed_allocation_is_not_counted);
    tcase_add_test(tc, zeroed_memory_is_zero_and_checks_overflow);
    tcase_add_test(tc, realloc_keeps_bytes_and_on_failure_the_old_block);
    tcase_add_test(tc, default_allocator_aligns);
    tcase_add_test(tc, threads_count_exactly_and_never_pass_the_limit);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
