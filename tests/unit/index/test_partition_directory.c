/*
 * test_partition_directory.c - directory_builder.c and partition_directory.c: every partition is
 * found by key and by ordinal, whatever the keys; damaged pages are refused and read in bounds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/partition_directory.h"
#include "storage/base/rng.h"
#include "tests/unit/index/page_box.h"
#include "tests/unit/rows/row_maker.h"

struct item {
    uint8_t *key;
    uint32_t size;
    uint64_t first_row;
    uint64_t rows;
    int64_t first, last;
};

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return varve_span_compare(varve_span_of(x->key, x->size), varve_span_of(y->key, y->size));
}

/* Keys of a kind: 0 counters, 1 long with common prefixes, 2 up to the limit, 3 random short. */
static struct item *make_items(int kind, uint32_t *n)
{
    struct item *items = calloc(*n + 1, sizeof *items);
    struct varve_rng rng;
    uint32_t kept = 0;
    uint64_t row = 0;

    varve_rng_seed(&rng, 1 + (uint64_t)kind);
    for (uint32_t i = 0; i < *n; i++) {
        char text[5000];
        int size = snprintf(text, sizeof text, "\001%08u", i * 3);

        if (kind == 1)
            size =
                snprintf(text, sizeof text, "\001some/long/common/prefix/%07u/and/more", i / 2 * 5);
        if (kind == 1 && i % 2 == 1)
            size -= 4;
        if (kind >= 2) {
            size = 1 + (int)varve_rng_below(&rng, kind == 2 ? 4096 : 6);
            for (int k = 0; k < size; k++)
                text[k] = (char)varve_rng_below(&rng, kind == 2 ? 2 : 256);
        }
        items[i].key = malloc((size_t)size);
        memcpy(items[i].key, text, (size_t)size);
        items[i].size = (uint32_t)size;
    }
    qsort(items, *n, sizeof *items, compare_items);
    for (uint32_t i = 0; i < *n; i++) {
        if (kept > 0 && compare_items(&items[kept - 1], &items[i]) == 0) {
            free(items[i].key);
            continue;
        }
        items[kept] = items[i];
        items[kept].first_row = row;
        items[kept].rows = 1 + varve_rng_below(&rng, 100000);
        items[kept].first = i % 17 == 0 ? INT64_MIN : (int64_t)varve_rng_next(&rng) / 4;
        items[kept].last = i % 17 == 0 ? INT64_MAX : items[kept].first + (int64_t)i;
        row += items[kept].rows;
        kept++;
    }
    *n = kept;
    return items;
}

static void free_items(struct item *items, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(items[i].key);
    free(items);
}

static varve_status build(struct varve_heap *heap, struct page_box *box, const struct item *items,
                          uint32_t n, struct varve_directory *ret)
{
    const struct varve_page_sink sink = page_box_sink(box);
    struct varve_directory_builder *b;
    uint64_t root;
    varve_status rc = varve_directory_builder_create(heap, &sink, &b, NULL);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n && rc == VARVE_OK; i++)
        rc = varve_directory_add(b, varve_span_of(items[i].key, items[i].size), items[i].rows,
                                 items[i].first, items[i].last, NULL);
    if (rc == VARVE_OK)
        rc = varve_directory_finish(b, &root, NULL);
    varve_directory_builder_free(b);
    if (rc == VARVE_OK) {
        *ret = (struct varve_directory){.store = page_box_store(box), .partitions = n};
        (void)sink.locate(box, root, &ret->root, NULL);
    }
    return rc;
}

static bool is_item(const struct varve_directory_entry *e, const struct item *items, uint32_t i)
{
    return e->ordinal == i && e->first_row == items[i].first_row && e->rows == items[i].rows &&
           e->first_time == items[i].first && e->last_time == items[i].last &&
           varve_span_compare(e->key, varve_span_of(items[i].key, items[i].size)) == 0;
}

static void require(bool condition, const char *what, uint32_t i)
{
    if (!condition)
        ck_abort_msg("%s %u", what, i);
}

START_TEST(every_partition_is_found)
{
    static const uint32_t counts[] = {0, 1, 2, 15, 16, 17, 33, 700, 20000};
    uint32_t n = counts[_i % 9];
    struct item *items = make_items(_i / 9, &n);
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_directory directory;
    struct varve_directory_cursor cursor;
    struct varve_directory_entry e;

    row_heap_init(&heap, -1);
    ck_assert_int_eq(build(&heap.heap, &box, items, n, &directory), VARVE_OK);
    ck_assert_int_eq(heap.live, 0);
    for (size_t i = 0; i < box.n; i++)
        require(box.sizes[i] <= VARVE_DIRECTORY_PAGE_MAX, "size of page", (uint32_t)i);
    varve_directory_cursor_init(&cursor, &directory);
    for (uint32_t i = 0; i < n; i++)
        require(varve_directory_at(&cursor, i, &e, NULL) == VARVE_OK && is_item(&e, items, i),
                "forward", i);
    ck_assert_int_eq(varve_directory_at(&cursor, n, &e, NULL), VARVE_END);
    for (uint32_t i = n; i-- > 0;)
        require(varve_directory_at(&cursor, i, &e, NULL) == VARVE_OK && is_item(&e, items, i),
                "backward", i);
    for (uint32_t i = 0; i < n; i += 1 + n / 500) {
        uint8_t other[VARVE_KEY_BYTES_MAX + 8];
        const struct varve_span key = {items[i].key, items[i].size};

        require(varve_directory_seek(&cursor, key, &e, NULL) == VARVE_OK && is_item(&e, items, i),
                "seek", i);
        memcpy(other, key.data, key.size);
        other[key.size] = 0; /* the least key behind this one */
        const varve_status rc =
            varve_directory_seek(&cursor, varve_span_of(other, key.size + 1), &e, NULL);
        if (i + 1 == n)
            require(rc == VARVE_END, "seek behind the last", i);
        else
            require(rc == VARVE_OK && is_item(&e, items, i + 1), "seek behind", i);
    }
    const varve_status rc = varve_directory_seek(&cursor, varve_span_of("", 0), &e, NULL);
    ck_assert_int_eq(rc, n == 0 ? VARVE_END : VARVE_OK);
    if (n > 0)
        ck_assert_uint_eq(e.ordinal, 0);
    varve_directory_cursor_close(&cursor);
    ck_assert_int_eq(box.held, 0);
    page_box_free(&box);
    free_items(items, n);
}
END_TEST

/* Keys that differ in their last bytes alone: a leaf has one, an inner page two. */
START_TEST(a_deep_directory_is_searched)
{
    enum { n = 33000, common = 4060, size = common + 6 };
    static char key[size + 1];
    struct row_heap heap;
    struct page_box box = {.n = 0};
    const struct varve_page_sink sink = page_box_sink(&box);
    struct varve_directory_builder *b;
    struct varve_directory_cursor cursor;
    struct varve_directory_entry e;
    uint64_t root;

    row_heap_init(&heap, -1);
    memset(key, 'k', sizeof key);
    ck_assert_int_eq(varve_directory_builder_create(&heap.heap, &sink, &b, NULL), VARVE_OK);
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(key + common, sizeof key - common, "%06u", i);
        require(varve_directory_add(b, varve_span_of(key, size), 1, 0, 0, NULL) == VARVE_OK, "add",
                i);
    }
    ck_assert_int_eq(varve_directory_finish(b, &root, NULL), VARVE_OK);
    varve_directory_builder_free(b);
    ck_assert_uint_gt(box.n,
                      2 * n - 2); /* no page has more than two: more than 15 levels of them */
    struct varve_directory directory = {.store = page_box_store(&box), .partitions = n};
    ck_assert_int_eq(sink.locate(&box, root, &directory.root, NULL), VARVE_OK);
    varve_directory_cursor_init(&cursor, &directory);
    for (uint32_t i = 0; i < n; i += 1000) {
        (void)snprintf(key + common, sizeof key - common, "%06u", i);
        require(varve_directory_seek(&cursor, varve_span_of(key, size), &e, NULL) == VARVE_OK &&
                    e.ordinal == i,
                "seek", i);
        require(varve_directory_at(&cursor, n - 1 - i, &e, NULL) == VARVE_OK &&
                    e.ordinal == n - 1 - i,
                "at", i);
    }
    varve_directory_cursor_close(&cursor);
    page_box_free(&box);
}
END_TEST

START_TEST(keys_that_do_not_ascend_or_are_too_long_are_refused)
{
    static uint8_t key[VARVE_KEY_BYTES_MAX + 1];
    struct row_heap heap;
    struct page_box box = {.n = 0};
    const struct varve_page_sink sink = page_box_sink(&box);
    struct varve_directory_builder *b;

    row_heap_init(&heap, -1);
    ck_assert_int_eq(varve_directory_builder_create(&heap.heap, &sink, &b, NULL), VARVE_OK);
    ck_assert_int_eq(varve_directory_add(b, varve_span_of(key, sizeof key), 1, 0, 0, NULL),
                     VARVE_ELIMIT);
    ck_assert_int_eq(varve_directory_add(b, varve_span_of("b", 1), 1, 0, 0, NULL), VARVE_OK);
    ck_assert_int_eq(varve_directory_add(b, varve_span_of("b", 1), 1, 0, 0, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_directory_add(b, varve_span_of("a", 1), 1, 0, 0, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_directory_add(b, varve_span_of("ba", 2), 1, 0, 0, NULL), VARVE_OK);
    varve_directory_builder_free(b);
    page_box_free(&box);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    uint32_t n = 300;
    struct item *items = make_items(1, &n);
    bool fired = true;

    for (long i = 0; fired; i++) {
        struct row_heap heap;
        struct page_box box = {.n = 0};
        struct varve_directory directory;

        row_heap_init(&heap, i);
        const varve_status rc = build(&heap.heap, &box, items, n, &directory);
        fired = heap.fired;
        require(rc == (fired ? VARVE_ENOMEM : VARVE_OK), "status", (uint32_t)i);
        require(heap.live == 0, "leak", (uint32_t)i);
        page_box_free(&box);
    }
    free_items(items, n);
}
END_TEST

/* Any damage of a page gives an answer or ECORRUPT, and every page that was fetched is released. */
START_TEST(damaged_pages_are_read_in_bounds)
{
    uint32_t n = 1200;
    struct item *items = make_items(_i, &n);
    struct row_heap heap;
    struct page_box box = {.n = 0};
    struct varve_directory directory;
    struct varve_rng rng;

    row_heap_init(&heap, -1);
    varve_rng_seed(&rng, 99);
    ck_assert_int_eq(build(&heap.heap, &box, items, n, &directory), VARVE_OK);
    for (uint32_t round = 0; round < 20000; round++) {
        const size_t page = (size_t)varve_rng_below(&rng, box.n);
        const size_t size = box.sizes[page];
        /* Heads and counts more often than the rest. */
        const size_t at = (size_t)varve_rng_below(&rng, round % 2 == 0 ? 40 : size);
        struct varve_directory_cursor cursor;
        struct varve_directory_entry e;
        const uint8_t before = box.pages[page][at];

        box.pages[page][at] = (uint8_t)varve_rng_next(&rng);
        varve_directory_cursor_init(&cursor, &directory);
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t i = (uint32_t)varve_rng_below(&rng, n);
            varve_status rc = varve_directory_at(&cursor, i, &e, NULL);

            require(rc == VARVE_OK || rc == VARVE_ECORRUPT, "at", round);
            rc =
                varve_directory_seek(&cursor, varve_span_of(items[i].key, items[i].size), &e, NULL);
            require(rc == VARVE_OK || rc == VARVE_END || rc == VARVE_ECORRUPT, "seek", round);
        }
        varve_directory_cursor_close(&cursor);
        require(box.held == 0, "held", round);
        box.pages[page][at] = before;
    }
    page_box_free(&box);
    free_items(items, n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition_directory");
    TCase *tc = tcase_create("partition_directory");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_partition_is_found, 0, 36);
    tcase_add_test(tc, a_deep_directory_is_searched);
    tcase_add_test(tc, keys_that_do_not_ascend_or_are_too_long_are_refused);
    tcase_add_test(tc, every_failed_allocation_is_survived);
    tcase_add_loop_test(tc, damaged_pages_are_read_in_bounds, 0, 4);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
