/*
 * test_key_filter.c - key_filter.c: no key is denied, few others are admitted, in as few bits as
 * promised; every clause of the table's form is checked.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "index/key_filter.h"
#include "storage/base/rng.h"
#include "tests/unit/index/page_box.h"
#include "tests/unit/rows/row_maker.h"

static varve_status build(struct varve_heap *heap, struct page_box *box, const uint64_t *hashes,
                          size_t n, struct varve_buffer *table)
{
    const struct varve_page_sink sink = page_box_sink(box);
    struct varve_filter_builder *b;
    varve_status rc = varve_filter_builder_create(heap, n / 2, &b, NULL);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n && rc == VARVE_OK; i++)
        rc = varve_filter_add(b, hashes[i], NULL);
    if (rc == VARVE_OK)
        rc = varve_filter_finish(b, &sink, table, NULL);
    varve_filter_builder_free(b);
    return rc;
}

static bool may_hold(struct page_box *box, struct varve_span table, uint64_t hash)
{
    struct varve_filter_shard shard;

    varve_filter_locate(table, hash, &shard);
    if (shard.ref.size == 0)
        return false;
    return varve_filter_probe(
        &shard, varve_span_of(box->pages[shard.ref.offset - 1], box->sizes[shard.ref.offset - 1]),
        hash);
}

START_TEST(no_key_is_denied_and_few_others_admitted)
{
    static const size_t counts[] = {0, 1, 2, 3, 10, 100, 1000, 10000, 65536, 300000};
    const size_t n = counts[_i];
    uint64_t *hashes = malloc((n + 1) * sizeof *hashes);
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_buffer table;
    struct varve_rng rng;
    uint32_t shards, admitted = 0;
    size_t bytes = 0;

    row_heap_init(&heap, -1);
    varve_rng_seed(&rng, n);
    for (size_t i = 0; i < n; i++)
        hashes[i] = varve_rng_next(&rng);
    varve_buffer_init(&table, &heap.heap);
    ck_assert_int_eq(build(&heap.heap, &box, hashes, n, &table), VARVE_OK);
    varve_rng_seed(&rng, n); /* building has reordered them */
    ck_assert_int_eq(varve_filter_check(varve_buffer_span(&table), &shards, NULL), VARVE_OK);
    ck_assert_uint_eq(varve_get_u64(table.data + 8), n);
    for (size_t i = 0; i < n; i++)
        if (!may_hold(&box, varve_buffer_span(&table), varve_rng_next(&rng)))
            ck_abort_msg("key %zu is denied", i);
    for (uint32_t i = 0; i < 100000; i++)
        admitted += may_hold(&box, varve_buffer_span(&table), varve_rng_next(&rng));
    ck_assert_uint_le(admitted, 500); /* 0.5 %; expected are 390 */
    for (size_t i = 0; i < box.n; i++)
        bytes += box.sizes[i];
    if (n >= 10000)
        ck_assert_uint_le((bytes + table.size) * 8, n * 105 / 10);
    if (n >= 300000)
        ck_assert_uint_le((bytes + table.size) * 8, n * 10);
    varve_buffer_free(&table);
    ck_assert_int_eq(heap.live, 0);
    page_box_free(&box);
    free(hashes);
}
END_TEST

START_TEST(equal_hashes_do_no_harm)
{
    uint64_t hashes[500];
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_buffer table;

    row_heap_init(&heap, -1);
    for (size_t i = 0; i < 500; i++)
        hashes[i] = i % 50;
    varve_buffer_init(&table, &heap.heap);
    ck_assert_int_eq(build(&heap.heap, &box, hashes, 500, &table), VARVE_OK);
    ck_assert_uint_eq(varve_get_u64(table.data + 8), 50);
    for (uint64_t i = 0; i < 50; i++)
        ck_assert(may_hold(&box, varve_buffer_span(&table), i));
    varve_buffer_free(&table);
    page_box_free(&box);
}
END_TEST

START_TEST(every_clause_of_the_table_is_checked)
{
    static const struct {
        size_t at;
        uint8_t value;
    } clause[] = {
        {0, 17},                     /* shard_bits above the limit */
        {0, 1},                      /* more shards than the table has room for */
        {4, 1},                      /* reserved */
        {16 + 24, 1},                /* size does not follow from the segments */
        {16 + 28, 9},                /* n_segments */
        {16 + 32, 1},                /* segment_bits too small */
        {16 + 32, 19}, {16 + 33, 1}, /* reserved */
        {16 + 39, 1},
    };
    uint64_t hashes[40];
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_buffer table;
    uint32_t shards;

    row_heap_init(&heap, -1);
    for (size_t i = 0; i < 40; i++)
        hashes[i] = i * 0x9e3779b97f4a7c15u;
    varve_buffer_init(&table, &heap.heap);
    ck_assert_int_eq(build(&heap.heap, &box, hashes, 40, &table), VARVE_OK);
    for (size_t i = 0; i < sizeof clause / sizeof clause[0]; i++) {
        const uint8_t before = table.data[clause[i].at];

        table.data[clause[i].at] = clause[i].value;
        ck_assert_msg(before == clause[i].value ||
                          varve_filter_check(varve_buffer_span(&table), &shards, NULL) ==
                              VARVE_ECORRUPT,
                      "clause %zu", i);
        table.data[clause[i].at] = before;
    }
    for (size_t size = 0; size < table.size; size++)
        ck_assert_int_eq(varve_filter_check(varve_span_of(table.data, size), &shards, NULL),
                         VARVE_ECORRUPT);
    varve_buffer_free(&table);
    page_box_free(&box);
}
END_TEST

/* A shard without keys is all zeros; any other field beside size 0 is one of a shard that is not there.
 * The rest of the table says how large a shard with keys may be. */
START_TEST(a_shard_is_whole_or_all_zero)
{
    static const struct {
        size_t at, width;
        uint64_t value;
    } clause[] = {
        {0, 8, 4096},                         /* offset */
        {8, 8, 1},                            /* checksum */
        {16, 8, 1},                           /* seed */
        {24, 4, 1},                           /* size */
        {24, 4, VARVE_FILTER_SHARD_MAX + 1u}, /* */
        {28, 4, 1},                           /* n_segments */
        {32, 1, 2},                           /* segment_bits */
    };
    uint64_t hash = 7;
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_buffer table;
    uint8_t whole[40];
    uint32_t shards = 0;

    row_heap_init(&heap, -1);
    varve_buffer_init(&table, &heap.heap);
    ck_assert_int_eq(build(&heap.heap, &box, &hash, 1, &table), VARVE_OK);
    uint8_t *entry = table.data + 16;
    memcpy(whole, entry, sizeof whole);
    for (size_t i = 0; i < sizeof clause / sizeof clause[0]; i++) {
        memset(entry, 0, sizeof whole);
        ck_assert_int_eq(varve_filter_check(varve_buffer_span(&table), &shards, NULL), VARVE_OK);
        for (size_t b = 0; b < clause[i].width; b++)
            entry[clause[i].at + b] = (uint8_t)(clause[i].value >> 8 * b);
        ck_assert_msg(varve_filter_check(varve_buffer_span(&table), &shards, NULL) ==
                          VARVE_ECORRUPT,
                      "clause %zu", i);
    }
    memcpy(entry, whole, sizeof whole);
    ck_assert_int_eq(varve_filter_check(varve_buffer_span(&table), &shards, NULL), VARVE_OK);
    memset(entry + 28, 0, 4); /* no segment */
    ck_assert_int_eq(varve_filter_check(varve_buffer_span(&table), &shards, NULL), VARVE_ECORRUPT);
    memset(entry, 0, sizeof whole); /* and an empty shard admits nothing */
    ck_assert(!may_hold(&box, varve_buffer_span(&table), hash));
    varve_buffer_free(&table);
    page_box_free(&box);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    uint64_t hashes[3000];
    bool fired = true;

    for (long i = 0; fired; i++) {
        struct row_heap heap;
        struct page_box box = {.n = 0};
        struct varve_buffer table;

        for (size_t k = 0; k < 3000; k++)
            hashes[k] = k * 0x9e3779b97f4a7c15u;
        row_heap_init(&heap, i);
        varve_buffer_init(&table, &heap.heap);
        const varve_status rc = build(&heap.heap, &box, hashes, 3000, &table);
        fired = heap.fired;
        ck_assert_int_eq(rc, fired ? VARVE_ENOMEM : VARVE_OK);
        varve_buffer_free(&table);
        ck_assert_int_eq(heap.live, 0);
        page_box_free(&box);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_filter");
    TCase *tc = tcase_create("key_filter");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, no_key_is_denied_and_few_others_admitted, 0, 10);
    tcase_add_test(tc, equal_hashes_do_no_harm);
    tcase_add_test(tc, every_clause_of_the_table_is_checked);
    tcase_add_test(tc, a_shard_is_whole_or_all_zero);
    tcase_add_test(tc, every_failed_allocation_is_survived);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
