/*
 * test_vec.c - vec.c: growing keeps the items, doubles at least, and fails whole.
 */
#include "storage/base/vec.h"

#include <check.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "tests/lib/fault.h"

START_TEST(growing_keeps_items_in_few_steps)
{
    struct fault f;
    struct varve_heap heap;
    uint32_t *items = NULL;
    size_t capacity = 0;
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    for (uint32_t i = 0; i < 5000; i++) {
        ck_assert(varve_vec_grow(&heap, (void **)&items, sizeof *items, i + 1, &capacity));
        ck_assert_uint_gt(capacity, i);
        items[i] = i;
    }
    for (uint32_t i = 0; i < 5000; i++)
        ck_assert_uint_eq(items[i], i);
    ck_assert_int_le(fault_calls(&f), 14); /* doubling */
    ck_assert_uint_eq(varve_heap_used(&heap), capacity * sizeof *items);
    varve_free(&heap, items, capacity * sizeof *items);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

START_TEST(failure_changes_nothing)
{
    struct fault f;
    struct varve_heap heap;
    uint64_t *items = NULL;
    size_t capacity = 0;
    fault_init(&f, 1, FAULT_FOR_EVER);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    ck_assert(varve_vec_grow(&heap, (void **)&items, sizeof *items, 5, &capacity));
    uint64_t *const before = items;
    const size_t capacity_before = capacity;
    before[0] = 7;
    ck_assert(varve_vec_grow(&heap, (void **)&items, sizeof *items, capacity, &capacity));
    ck_assert(!varve_vec_grow(&heap, (void **)&items, sizeof *items, capacity + 1, &capacity));
    ck_assert_ptr_eq(items, before);
    ck_assert_uint_eq(capacity, capacity_before);
    ck_assert_uint_eq(items[0], 7);
    varve_free(&heap, items, capacity * sizeof *items);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

START_TEST(overflow_is_refused)
{
    struct varve_heap heap;
    void *items = NULL;
    size_t capacity = 0;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    ck_assert(!varve_vec_grow(&heap, &items, 16, SIZE_MAX / 8, &capacity));
    ck_assert(!varve_vec_grow(&heap, &items, 16, SIZE_MAX, &capacity));
    ck_assert_ptr_null(items);
    ck_assert_uint_eq(capacity, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vec");
    TCase *tc = tcase_create("vec");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, growing_keeps_items_in_few_steps);
    tcase_add_test(tc, failure_changes_nothing);
    tcase_add_test(tc, overflow_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
