/*
 * test_arena.c - arena.c: pieces are aligned, disjoint and writable; everything is given back.
 */
#include "storage/base/arena.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/rng.h"
#include "tests/lib/fault.h"

#define PIECES 3000

START_TEST(pieces_are_aligned_and_do_not_overlap)
{
    static uint8_t *piece[PIECES];
    static size_t size[PIECES];
    struct fault f;
    struct varve_heap heap;
    struct varve_arena arena;
    struct varve_rng rng;

    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    varve_rng_seed(&rng, 1);
    varve_arena_init(&arena, &heap, 4096);
    for (int i = 0; i < PIECES; i++) {
        const size_t align = (size_t)1 << varve_rng_below(&rng, 7);
        size[i] = (size_t)varve_rng_below(&rng, i % 100 == 0 ? 20000 : 200);
        piece[i] = varve_arena_alloc(&arena, size[i], align);
        ck_assert_ptr_nonnull(piece[i]);
        ck_assert_uint_eq((uintptr_t)piece[i] % align, 0);
        memset(piece[i], i & 0xff, size[i]);
    }
    for (int i = 0; i < PIECES; i++) {
        bool same = true;
        for (size_t j = 0; j < size[i]; j++)
            same = same && piece[i][j] == (i & 0xff);
        ck_assert(same);
    }
    ck_assert_uint_eq(arena.total, varve_heap_used(&heap));
    varve_arena_reset(&arena);
    ck_assert_uint_eq(arena.total, varve_heap_used(&heap));
    ck_assert_uint_le(fault_blocks(&f), 1);
    ck_assert_ptr_nonnull(varve_arena_alloc(&arena, 10, 8));
    varve_arena_free(&arena);
    ck_assert_uint_eq(fault_live(&f), 0);
    varve_arena_free(&arena); /* half-built or empty is fine */
}
END_TEST

START_TEST(large_requests_get_their_own_block)
{
    struct fault f;
    struct varve_heap heap;
    struct varve_arena arena;
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    varve_arena_init(&arena, &heap, 1024);
    uint8_t *large = varve_arena_alloc(&arena, 100000, 64);
    memset(large, 1, 100000);
    ck_assert_uint_ge(arena.total, 100000);
    ck_assert_ptr_null(varve_arena_alloc(&arena, SIZE_MAX - 100, 64));
    ck_assert_ptr_null(varve_arena_alloc(&arena, SIZE_MAX, 64));
    varve_arena_free(&arena);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

START_TEST(no_memory_leaves_the_arena_usable)
{
    struct fault f;
    struct varve_heap heap;
    struct varve_arena arena;
    fault_init(&f, 1, FAULT_ONCE);
    varve_heap_init(&heap, &f.allocator, UINT64_MAX);
    varve_arena_init(&arena, &heap, 1024);
    uint8_t *first = varve_arena_alloc(&arena, 900, 8);
    memset(first, 3, 900);
    ck_assert_ptr_null(varve_arena_alloc(&arena, 900, 8));
    ck_assert_ptr_nonnull(varve_arena_alloc(&arena, 900, 8));
    ck_assert_uint_eq(first[899], 3);
    varve_arena_free(&arena);
    ck_assert_uint_eq(fault_live(&f), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tc = tcase_create("arena");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, pieces_are_aligned_and_do_not_overlap);
    tcase_add_test(tc, large_requests_get_their_own_block);
    tcase_add_test(tc, no_memory_leaves_the_arena_usable);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
