/*
 * test_result_batch.c - what aggregates hand out: no batch holds much more than 8 MiB of text, and the
 * start of a bucket is a value of the time column's type.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/engine/sim_store.h"

#define TEXT_BYTES (32u << 10)
#define TEXT_MAX (8u << 20)
#define PARTITIONS 600

static void put_text(struct sim_store *s, const varve_table *table, int k, const char *text)
{
    varve_batch *batch = NULL;
    varve_value row[3] = {{.type = VARVE_INT, .as.i64 = k},
                          {.type = VARVE_TIMESTAMP, .as.i64 = k},
                          {.type = VARVE_TEXT}};

    row[2].as.bytes.data = text;
    row[2].as.bytes.size = TEXT_BYTES;
    ck_assert_int_eq(varve_batch_new(s->store, &batch, NULL), VARVE_OK);
    ck_assert_int_eq(varve_batch_put_row(batch, table, row, 3, NULL, &s->err), VARVE_OK);
    ck_assert_int_eq(sim_store_commit(s, batch, VARVE_POLICY_OS), VARVE_OK);
}

/* Loop test: each partition's last text, in memtables, then in files; each bucket's of all. */
START_TEST(texts_of_a_batch_are_limited)
{
    static const char create[] =
        "CREATE TABLE x (k int, ts timestamp, v text, PRIMARY KEY ((k), ts))";
    const varve_aggregate last = {.function = VARVE_LAST, .column = 2};
    char *text = malloc(TEXT_BYTES);
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    struct sim_store s;
    varve_scan scan;
    uint64_t rows = 0;

    ck_assert_ptr_nonnull(text);
    sim_store_create(&s, 31);
    s.options.memory_limit = 256u << 20;
    sim_store_open(&s);
    ck_assert_int_eq(varve_table_create(s.store, create, &s.err), VARVE_OK);
    const varve_table *table = sim_store_handle(&s, "x");
    for (int k = 0; k < PARTITIONS; k++) {
        memset(text, 'a' + k % 26, TEXT_BYTES);
        put_text(&s, table, k, text);
    }
    if (_i == 1)
        ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    varve_scan_init(&scan, sizeof scan);
    scan.aggregates = &last;
    scan.n_aggregates = 1;
    if (_i == 2)
        scan.every = 1;
    else
        scan.flags = VARVE_SCAN_BY_PARTITION;
    ck_assert_int_eq(varve_aggregate_open(s.store, table, &scan, &cursor, &s.err), VARVE_OK);
    while (varve_cursor_next(cursor, &view, &s.err) == VARVE_OK) {
        uint64_t bytes = 0;
        for (uint32_t r = 0; r < view->rows; r++, rows++) {
            const varve_value value = varve_view_value(view, r, 1);
            bytes += value.as.bytes.size;
            ck_assert_uint_eq(value.as.bytes.size, TEXT_BYTES);
            const char *const got = value.as.bytes.data;
            if (_i == 2)
                ck_assert_int_eq(got[TEXT_BYTES - 1], 'a' + (int)(rows % 26));
        }
        ck_assert_uint_le(bytes, TEXT_MAX + TEXT_BYTES);
    }
    ck_assert_uint_eq(rows, PARTITIONS);
    varve_cursor_close(cursor);
    free(text);
    sim_store_destroy(&s);
}
END_TEST

/* An origin within the day lets the first bucket begin before the day does. Loop test: all, by
 * partition. */
START_TEST(bucket_of_a_time_of_day_begins_within_the_day)
{
    static const char create[] = "CREATE TABLE x (k int, t time, v int, PRIMARY KEY ((k), t))";
    const int64_t minute = INT64_C(60000000000);
    const varve_aggregate count = {.function = VARVE_COUNT_ROWS};
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_batch *batch = NULL;
    struct sim_store s;
    varve_scan scan;
    const uint32_t at = _i == 1; /* behind the key */

    sim_store_create(&s, 32);
    sim_store_open(&s);
    ck_assert_int_eq(varve_table_create(s.store, create, &s.err), VARVE_OK);
    const varve_table *table = sim_store_handle(&s, "x");
    ck_assert_int_eq(varve_batch_new(s.store, &batch, NULL), VARVE_OK);
    for (int i = 1; i <= 7; i += 3) {
        const varve_value row[3] = {{.type = VARVE_INT},
                                    {.type = VARVE_TIME, .as.i64 = i * 10 * minute},
                                    {.type = VARVE_INT, .as.i64 = i}};
        ck_assert_int_eq(varve_batch_put_row(batch, table, row, 3, NULL, &s.err), VARVE_OK);
    }
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_OS), VARVE_OK);
    varve_scan_init(&scan, sizeof scan);
    scan.aggregates = &count;
    scan.n_aggregates = 1;
    scan.every = 60 * minute;
    scan.origin = 30 * minute;
    scan.flags = _i == 1 ? VARVE_SCAN_BY_PARTITION : 0;
    ck_assert_int_eq(varve_aggregate_open(s.store, table, &scan, &cursor, &s.err), VARVE_OK);
    ck_assert_int_eq(varve_cursor_next(cursor, &view, &s.err), VARVE_OK);
    ck_assert_uint_eq(view->rows, 2); /* 00:10, then 00:40 and 01:10 */
    ck_assert_int_eq(varve_view_value(view, 0, at).as.i64, 0);
    ck_assert_int_eq(varve_view_value(view, 0, at + 1).as.i64, 1);
    ck_assert_int_eq(varve_view_value(view, 1, at).as.i64, 30 * minute);
    ck_assert_int_eq(varve_view_value(view, 1, at + 1).as.i64, 2);
    varve_cursor_close(cursor);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, texts_of_a_batch_are_limited, 0, 3);
    tcase_add_loop_test(cases, bucket_of_a_time_of_day_begins_within_the_day, 0, 2);
}

int main(void)
{
    return sim_store_main("result_batch", add);
}
