/*
 * test_vector_cache.c - vector_cache.c: the budget holds, what is pinned stays, a scan of new
 * entries does not push out what is used, threads do no harm.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"
#include "storage/sst/vector_cache.h"
#include "tests/unit/rows/row_maker.h"

/* Put an entry of `size` bytes that know their place. */
static struct varve_cache_entry *put(struct varve_cache *cache, uint64_t file, uint64_t offset,
                                     size_t size)
{
    struct varve_cache_entry *entry = varve_cache_make(cache, file, offset, size);

    if (entry == NULL)
        abort();
    memset(entry->data, (int)(file + offset), size);
    return varve_cache_insert(cache, entry);
}

static bool has(struct varve_cache *cache, uint64_t file, uint64_t offset)
{
    struct varve_cache_entry *entry = varve_cache_get(cache, file, offset);

    varve_cache_release(cache, entry);
    return entry != NULL;
}

START_TEST(budget_holds_and_accounting_is_exact)
{
    struct row_heap heap;
    struct varve_cache *cache;
    struct varve_cache_stats stats;
    struct varve_rng rng;

    row_heap_init(&heap, -1);
    varve_rng_seed(&rng, 4);
    ck_assert_int_eq(varve_cache_create(&heap.heap, 100000, &cache, NULL), VARVE_OK);
    for (int i = 0; i < 20000; i++) {
        const uint64_t offset = varve_rng_below(&rng, 300);
        struct varve_cache_entry *entry = varve_cache_get(cache, 1, offset);

        if (entry == NULL)
            entry = put(cache, 1, offset, 1 + (size_t)varve_rng_below(&rng, 4000));
        if (entry->data[0] != (uint8_t)(1 + offset))
            ck_abort_msg("another entry's bytes");
        varve_cache_release(cache, entry);
        if (i % 100 == 0) {
            varve_cache_get_stats(cache, &stats);
            ck_assert_uint_le(stats.bytes, 100000);
            ck_assert(varve_cache_check(cache));
        }
    }
    varve_cache_get_stats(cache, &stats);
    ck_assert_uint_gt(stats.hits, 0);
    ck_assert_uint_gt(stats.evictions, 0);
    varve_cache_set_budget(cache, 5000);
    ck_assert(varve_cache_check(cache));
    varve_cache_drop_file(cache, 1);
    varve_cache_get_stats(cache, &stats);
    ck_assert_uint_eq(stats.bytes, 0);
    ck_assert_uint_eq(stats.entries, 0);
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(what_is_pinned_stays_and_the_rest_is_given_uncached)
{
    struct row_heap heap;
    struct varve_cache *cache;
    struct varve_cache_entry *held[200];
    uint32_t cached = 0;

    row_heap_init(&heap, -1);
    ck_assert_int_eq(varve_cache_create(&heap.heap, 50000, &cache, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 200; i++) {
        held[i] = put(cache, 7, i, 1000);
        cached += held[i]->cached;
    }
    ck_assert_uint_gt(cached, 30);
    ck_assert_uint_lt(cached, 50);
    ck_assert(varve_cache_check(cache));
    varve_cache_drop_file(cache, 7); /* pinned: nothing goes */
    for (uint32_t i = 0; i < 200; i++) {
        ck_assert_int_eq(held[i]->data[999], (uint8_t)(7 + i));
        ck_assert(has(cache, 7, i) == held[i]->cached);
        varve_cache_release(cache, held[i]);
    }
    struct varve_cache_entry *big = put(cache, 8, 0, 60000); /* never fits */
    ck_assert(!big->cached);
    varve_cache_release(cache, big);
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(the_first_of_two_entries_for_one_place_wins)
{
    struct row_heap heap;
    struct varve_cache *cache;

    row_heap_init(&heap, -1);
    ck_assert_int_eq(varve_cache_create(&heap.heap, 50000, &cache, NULL), VARVE_OK);
    struct varve_cache_entry *a = put(cache, 1, 1, 100), *b = put(cache, 1, 1, 100);
    ck_assert_ptr_eq(a, b);
    varve_cache_release(cache, a);
    varve_cache_release(cache, b);
    ck_assert(varve_cache_check(cache));
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(a_stream_of_new_entries_leaves_what_is_used)
{
    struct row_heap heap;
    struct varve_cache *cache;
    uint32_t left = 0;

    row_heap_init(&heap, -1);
    ck_assert_int_eq(varve_cache_create(&heap.heap, 400000, &cache, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 100; i++)
        varve_cache_release(cache, put(cache, 1, i, 1000));
    for (uint32_t i = 0; i < 5000; i++) { /* each once; the others now and then */
        varve_cache_release(cache, put(cache, 2, i, 1000));
        (void)has(cache, 1, i % 100);
    }
    for (uint32_t i = 0; i < 100; i++)
        left += has(cache, 1, i);
    ck_assert_uint_ge(left, 95);
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(no_memory_is_answered_by_giving_entries_up)
{
    struct row_heap heap;
    struct varve_cache *cache;

    row_heap_init(&heap, -1);
    heap.heap.limit = 400000;
    ck_assert_int_eq(varve_cache_create(&heap.heap, 1u << 30, &cache, NULL) < 0 ? 0 : 1, 0);
    heap.heap.limit = 1u << 23;
    ck_assert_int_eq(varve_cache_create(&heap.heap, 1u << 24, &cache, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 3000; i++) {
        struct varve_cache_entry *entry = varve_cache_make(cache, 1, i, 10000);
        ck_assert_ptr_nonnull(entry);
        varve_cache_release(cache, varve_cache_insert(cache, entry));
    }
    ck_assert(varve_cache_check(cache));
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

struct worker {
    struct varve_cache *cache;
    uint64_t seed;
    bool ok;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct varve_rng rng;

    varve_rng_seed(&rng, w->seed);
    w->ok = true;
    for (int i = 0; i < 20000; i++) {
        const uint64_t offset = varve_rng_below(&rng, 400);

        const struct varve_cache_hint hint = {offset, 200, 50, 150};
        varve_cache_prefetch(w->cache, 3, &hint, 1); /* entries may be going away meanwhile */
        struct varve_cache_entry *entry = varve_cache_get(w->cache, 3, offset);

        if (entry == NULL)
            entry = put(w->cache, 3, offset, 200);
        w->ok =
            w->ok && entry->data[0] == (uint8_t)(3 + offset) && entry->data[199] == entry->data[0];
        varve_cache_release(w->cache, entry);
    }
    return NULL;
}

START_TEST(a_prefetch_changes_nothing)
{
    struct row_heap heap;
    struct varve_cache *cache;
    struct varve_cache_stats before;
    struct varve_cache_stats after;
    struct varve_cache_hint hints[VARVE_CACHE_PREFETCH_MAX];

    row_heap_init(&heap, -1);
    ck_assert_int_eq(varve_cache_create(&heap.heap, 1 << 20, &cache, NULL), VARVE_OK);
    for (uint32_t i = 0; i < VARVE_CACHE_PREFETCH_MAX; i++) {
        hints[i] = (struct varve_cache_hint){i, 1 + i, i, (size_t)i * 100};
        if (i % 2 == 0)
            varve_cache_release(cache, put(cache, 1, i, 1 + i)); /* shorter than what is fetched */
    }
    varve_cache_get_stats(cache, &before);
    const uint32_t absent = varve_cache_prefetch(cache, 1, hints, VARVE_CACHE_PREFETCH_MAX);
    for (uint32_t i = 0; i < VARVE_CACHE_PREFETCH_MAX; i += 2)
        ck_assert_uint_eq(absent >> i & 1, 0);
    ck_assert_uint_ne(absent, 0);
    ck_assert_uint_eq(varve_cache_prefetch(cache, 1, NULL, 0), 0);
    varve_cache_get_stats(cache, &after);
    ck_assert_mem_eq(&before, &after, sizeof before);
    for (uint32_t i = 0; i < VARVE_CACHE_PREFETCH_MAX; i++)
        ck_assert_int_eq(has(cache, 1, i), i % 2 == 0);
    ck_assert(varve_cache_check(cache));
    varve_cache_free(cache);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(threads_share_it)
{
    struct varve_heap heap; /* the counting test heap is for one thread */
    struct varve_cache *cache;
    struct worker workers[4];
    pthread_t threads[4];

    varve_heap_init(&heap, NULL, UINT64_MAX);
    ck_assert_int_eq(varve_cache_create(&heap, 60000, &cache, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){cache, i, false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(workers[i].ok);
    }
    ck_assert(varve_cache_check(cache));
    varve_cache_free(cache);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vector_cache");
    TCase *tc = tcase_create("vector_cache");

    tcase_add_test(tc, budget_holds_and_accounting_is_exact);
    tcase_add_test(tc, what_is_pinned_stays_and_the_rest_is_given_uncached);
    tcase_add_test(tc, the_first_of_two_entries_for_one_place_wins);
    tcase_add_test(tc, a_stream_of_new_entries_leaves_what_is_used);
    tcase_add_test(tc, no_memory_is_answered_by_giving_entries_up);
    tcase_add_test(tc, a_prefetch_changes_nothing);
    tcase_add_test(tc, threads_share_it);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
