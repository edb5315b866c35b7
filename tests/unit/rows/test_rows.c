/*
 * test_rows.c - rows.c, rows_builder.c and rows_hash.c: appending copies what was there, growing
 * fails whole, order, existence, size and hash follow the rules of rows.h.
 */
#include "tests/unit/rows/row_maker.h"

#include <check.h>
#include <stdlib.h>

static const char keep_table[] = "CREATE TABLE e (k int, ts timestamp, v bigint, "
                                 "PRIMARY KEY (k, ts)) WITH duplicates = 'keep'";

static void fill(struct varve_rows_builder *b, struct varve_rng *rng, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        row_append_random(b, rng, i);
}

/* R4, and that what is not shown is zero. */
static void check_bits(const uint64_t *bits, uint32_t n, uint32_t capacity)
{
    if (bits != NULL)
        ck_assert_uint_eq(varve_bitmap_next(bits, n, VARVE_BITMAP_WORDS(capacity) * 64),
                          VARVE_BITMAP_WORDS(capacity) * 64);
}

static void check_invariants(const struct varve_rows_builder *b)
{
    const struct varve_rows *rows = &b->rows;
    uint32_t contradictions = 0;
    for (uint32_t c = rows->schema->time_column + 1; c < rows->schema->n_columns; c++) {
        const struct varve_cells *s = &rows->columns[c], *m = &b->memory.columns[c];
        check_bits(m->live, s->live == NULL ? 0 : rows->n, b->capacity);
        check_bits(m->deleted, s->deleted == NULL ? 0 : rows->n, b->capacity);
        for (uint32_t i = 0; s->deleted != NULL && i < rows->n; i++)
            contradictions += varve_bit_get(s->deleted, i) && varve_bit_get(s->live, i);
    }
    for (uint32_t i = 1; i < rows->n_exceptions; i++) {
        const struct varve_exception *e = &rows->exceptions[i];
        contradictions +=
            !(e[-1].row < e->row || (e[-1].row == e->row && e[-1].column < e->column));
    }
    ck_assert_uint_eq(contradictions, 0);
}

START_TEST(append_copies_any_run)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder from, to;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, (uint64_t)_i + 1);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&from, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&to, &h.heap, schema, NULL, NULL), VARVE_OK);
    fill(&from, &rng, 300);

    for (int round = 0; round < 3; round++) {
        uint32_t origin[2000], n = 0;
        while (n < 900) {
            const uint32_t first = (uint32_t)varve_rng_below(&rng, 300);
            const uint32_t k = (uint32_t)varve_rng_below(&rng, 300 - first + 1);
            ck_assert_int_eq(varve_rows_append(&to, &from.rows, first, k, NULL), VARVE_OK);
            for (uint32_t i = 0; i < k; i++)
                origin[n++] = first + i;
        }
        ck_assert_uint_eq(to.rows.n, n);
        check_invariants(&to);
        for (uint32_t i = 0; i < n; i++)
            row_check_same(&to.rows, i, &from.rows, origin[i]);
        const uint32_t cut = (uint32_t)varve_rng_below(&rng, n);
        varve_rows_builder_truncate(&to, cut);
        check_invariants(&to);
        ck_assert_int_eq(varve_rows_append(&to, &from.rows, 7, 100, NULL), VARVE_OK);
        for (uint32_t i = 0; i < cut; i++)
            row_check_same(&to.rows, i, &from.rows, origin[i]);
        for (uint32_t i = 0; i < 100; i++)
            row_check_same(&to.rows, cut + i, &from.rows, 7 + i);
        varve_rows_builder_clear(&to);
        check_invariants(&to);
        ck_assert_ptr_null(to.rows.wt);
    }
    ck_assert_uint_gt(to.held, 0);
    varve_rows_builder_free(&from);
    varve_rows_builder_free(&to);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(uniform_rows_show_no_buffers_and_expand_when_they_meet_others)
{
    struct row_heap h;
    struct varve_rows_builder a, b, to;
    const int64_t times[2] = {1, 2};
    row_heap_init(&h, -1);
    struct varve_schema *schema =
        row_schema(&h.heap, "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts))");
    struct varve_rows_builder *all[] = {&a, &b, &to};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(varve_rows_builder_init(all[i], &h.heap, schema, NULL, NULL), VARVE_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_rows_builder_reserve(all[i], 2, 0, NULL), VARVE_OK);
        memcpy(all[i]->rows.time, times, sizeof times);
        memset(all[i]->rows.columns[2].values, 0, 16);
        all[i]->rows.wt_uniform = 100 + i;
        all[i]->rows.n = 2;
    }
    ck_assert_int_eq(varve_rows_append(&to, &a.rows, 0, 2, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_append(&to, &a.rows, 0, 1, NULL), VARVE_OK);
    ck_assert_ptr_null(to.rows.wt);
    ck_assert_ptr_null(to.rows.exp);
    ck_assert_ptr_null(to.rows.marker_live);
    ck_assert_ptr_null(to.rows.columns[2].live);
    ck_assert_int_eq(to.rows.wt_uniform, 100);
    ck_assert_int_eq(varve_rows_append(&to, &b.rows, 0, 2, NULL), VARVE_OK);
    ck_assert_ptr_nonnull(to.rows.wt);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_int_eq(to.rows.wt[i], i < 3 ? 100 : 101);
    for (int i = 0; i < 3; i++)
        varve_rows_builder_free(all[i]);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(builder_of_some_columns_leaves_the_others_and_their_exceptions)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder from, to;
    struct varve_column_set set = {{0}};
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 5);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    const uint32_t want = schema->first_value + 4;
    varve_bit_set(set.bits, want);
    ck_assert_int_eq(varve_rows_builder_init(&from, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&to, &h.heap, schema, &set, NULL), VARVE_OK);
    fill(&from, &rng, 100);
    ck_assert_int_eq(varve_rows_append(&to, &from.rows, 0, 100, NULL), VARVE_OK);
    ck_assert_ptr_null(to.rows.columns[want + 1].values);
    ck_assert_ptr_nonnull(to.rows.columns[schema->time_column + 1].values);
    for (uint32_t i = 0; i < 100; i++) {
        const struct varve_stamp a = varve_rows_stamp(&to.rows, i, want);
        const struct varve_stamp b = varve_rows_stamp(&from.rows, i, want);
        ck_assert(a.wt == b.wt && a.exp == b.exp && a.state == b.state);
    }
    for (uint32_t i = 0; i < to.rows.n_exceptions; i++)
        ck_assert(to.rows.exceptions[i].column == want ||
                  to.rows.exceptions[i].column == VARVE_MARKER_COLUMN);
    varve_rows_builder_free(&from);
    varve_rows_builder_free(&to);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(hash_depends_on_meaning_and_not_on_layout)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder a, b;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, (uint64_t)_i + 77);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&a, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&b, &h.heap, schema, NULL, NULL), VARVE_OK);
    fill(&a, &rng, 500);
    for (uint32_t i = 0; i < 500; i++) /* one write time for all: everything else is exceptions */
        row_append_restamped(&b, &a.rows, i, 123456789, i % 3 == 0 ? 99 : 0);
    const uint64_t whole = varve_rows_content_hash(&a.rows, 0, 500, 42);
    ck_assert_uint_eq(whole, varve_rows_content_hash(&b.rows, 0, 500, 42));
    /* A sum: the parts add up, at any cut. */
    const uint32_t cut = (uint32_t)varve_rng_below(&rng, 500);
    ck_assert_uint_eq(whole, varve_rows_content_hash(&a.rows, 0, cut, 42) +
                                 varve_rows_content_hash(&b.rows, cut, 500 - cut, 42));
    /* Whatever is said otherwise changes it. */
    ck_assert_uint_ne(whole, varve_rows_content_hash(&a.rows, 0, 500, 43));
    for (uint32_t i = 0; i < 500; i++) {
        const uint64_t before = varve_rows_content_hash(&b.rows, i, 1, 42);
        bool says = false;
        for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
            says = says || varve_rows_state(&b.rows, i, c) != VARVE_ABSENT;
        if (!says && varve_rows_state(&b.rows, i, VARVE_MARKER_COLUMN) == VARVE_ABSENT)
            continue;
        b.rows.time[i]++;
        ck_assert_uint_ne(before, varve_rows_content_hash(&b.rows, i, 1, 42));
        b.rows.time[i]--;
    }
    for (uint32_t i = 0; i < b.rows.n_exceptions; i += 7) {
        const uint32_t row = b.rows.exceptions[i].row;
        const uint64_t before = varve_rows_content_hash(&b.rows, row, 1, 42);
        b.rows.exceptions[i].exp ^= 1;
        ck_assert_uint_ne(before, varve_rows_content_hash(&b.rows, row, 1, 42));
        b.rows.exceptions[i].exp ^= 1;
    }
    varve_rows_builder_free(&a);
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(compare_orders_time_then_clustering_then_suffix)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder b;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 9);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&b, &h.heap, schema, NULL, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 200; i++)
        row_append_random(&b, &rng, (int64_t)varve_rng_below(&rng, 3));
    const uint32_t seq = schema->time_column + 1, tag = seq + 1;
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t j = (uint32_t)varve_rng_below(&rng, 200);
        const varve_value a = varve_rows_value(&b.rows, i, seq),
                          c = varve_rows_value(&b.rows, j, seq);
        const varve_value x = varve_rows_value(&b.rows, i, tag),
                          y = varve_rows_value(&b.rows, j, tag);
        int want = (b.rows.time[i] > b.rows.time[j]) - (b.rows.time[i] < b.rows.time[j]);
        if (want == 0) /* declared DESC */
            want = (a.as.i64 < c.as.i64) - (a.as.i64 > c.as.i64);
        if (want == 0)
            want = varve_span_compare(varve_span_of(x.as.bytes.data, x.as.bytes.size),
                                      varve_span_of(y.as.bytes.data, y.as.bytes.size));
        const int got = varve_rows_compare(&b.rows, i, &b.rows, j);
        ck_assert_int_eq((got > 0) - (got < 0), (want > 0) - (want < 0));
    }
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);

    schema = row_schema(&h.heap, keep_table);
    int64_t time[4] = {1, 1, 1, 1}, wt[4] = {5, 5, 5, 6};
    uint32_t writer[4] = {1, 1, 2, 0}, ordinal[4] = {0, 1, 0, 0};
    struct varve_cells columns[3] = {{0}};
    struct varve_rows rows = {.schema = schema,
                              .n = 4,
                              .time = time,
                              .wt = wt,
                              .writer = writer,
                              .ordinal = ordinal,
                              .columns = columns};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++)
            ck_assert_int_eq(varve_rows_compare(&rows, i, &rows, j), (i > j) - (i < j));
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(row_exists_while_its_marker_or_a_cell_is_live)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder b;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 10);
    struct varve_schema *schema = row_schema(
        &h.heap, "CREATE TABLE e (k int, ts timestamp, v bigint, w int, PRIMARY KEY (k, ts))");
    ck_assert_int_eq(varve_rows_builder_init(&b, &h.heap, schema, NULL, NULL), VARVE_OK);
    fill(&b, &rng, 400);
    for (uint32_t now = 0; now <= 60; now += 10) {
        for (uint32_t i = 0; i < 400; i++) {
            const uint32_t parts[] = {2, 3, VARVE_MARKER_COLUMN};
            bool want = false;
            for (int k = 0; k < 3; k++) {
                const struct varve_stamp s = varve_rows_stamp(&b.rows, i, parts[k]);
                want = want || (s.state == VARVE_LIVE && (s.exp == 0 || s.exp > now));
            }
            ck_assert_int_eq(varve_rows_exists(&b.rows, i, now), want);
        }
    }
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(raw_bytes_count_live_values_at_their_width)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder b;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 11);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&b, &h.heap, schema, NULL, NULL), VARVE_OK);
    fill(&b, &rng, 200);
    uint64_t want = 0;
    for (uint32_t i = 50; i < 150; i++) {
        want += 8;
        for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
            if (varve_rows_state(&b.rows, i, c) != VARVE_LIVE)
                continue;
            const varve_value v = varve_rows_value(&b.rows, i, c);
            const uint8_t phys = schema->phys[c];
            want += phys == VARVE_PHYS_BYTES ? v.as.bytes.size
                    : phys == VARVE_PHYS_DEC ? 9
                                             : varve_phys_width(phys);
        }
    }
    ck_assert_uint_eq(varve_rows_raw_bytes(&b.rows, 50, 100), want);
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(append_survives_every_failed_allocation)
{
    struct row_heap good, h;
    struct varve_rng rng;
    struct varve_rows_builder from, to;
    row_heap_init(&good, -1);
    varve_rng_seed(&rng, 12);
    struct varve_schema *schema = row_schema(&good.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&from, &good.heap, schema, NULL, NULL), VARVE_OK);
    fill(&from, &rng, 120);
    for (long n = 0;; n++) {
        varve_error err;
        row_heap_init(&h, n);
        varve_status rc = varve_rows_builder_init(&to, &h.heap, schema, NULL, &err);
        if (rc == VARVE_OK)
            rc = varve_rows_append(&to, &from.rows, 0, 10, &err);
        const uint64_t before =
            rc == VARVE_OK ? varve_rows_content_hash(&to.rows, 0, to.rows.n, 1) : 0;
        if (rc == VARVE_OK) {
            rc = varve_rows_append(&to, &from.rows, 0, 120, &err);
            if (rc < 0) {
                ck_assert_uint_eq(to.rows.n, 10);
                ck_assert_uint_eq(before, varve_rows_content_hash(&to.rows, 0, to.rows.n, 1));
                check_invariants(&to);
                h.fail_at = -1; /* and then it works */
                ck_assert_int_eq(varve_rows_append(&to, &from.rows, 0, 120, &err), VARVE_OK);
                for (uint32_t i = 0; i < 120; i++)
                    row_check_same(&to.rows, 10 + i, &from.rows, i);
                rc = VARVE_ENOMEM;
            }
        }
        ck_assert_int_eq(rc, h.fired ? VARVE_ENOMEM : VARVE_OK);
        varve_rows_builder_free(&to);
        ck_assert_int_eq(h.live, 0);
        if (!h.fired) {
            ck_assert_int_ge(n, 5);
            break;
        }
    }
    varve_rows_builder_free(&from);
    varve_schema_unref(schema);
    ck_assert_int_eq(good.live, 0);
}
END_TEST

START_TEST(lanes_describe_columns_as_they_lie)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder b;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 13);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&b, &h.heap, schema, NULL, NULL), VARVE_OK);
    fill(&b, &rng, 10);
    const struct varve_lanes time = varve_rows_lanes(&b.rows, schema->time_column);
    ck_assert_uint_eq(time.lane, VARVE_LANE_I64);
    ck_assert_ptr_eq(time.values, b.rows.time);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const struct varve_lanes lanes = varve_rows_lanes(&b.rows, c);
        ck_assert_uint_eq(lanes.lane, schema->phys[c]);
        ck_assert_uint_eq(lanes.n, 10);
        ck_assert_ptr_eq(lanes.values, b.rows.columns[c].values);
        ck_assert_ptr_eq(lanes.live, b.rows.columns[c].live);
    }
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows");
    TCase *tc = tcase_create("rows");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, append_copies_any_run, 0, 10);
    tcase_add_test(tc, uniform_rows_show_no_buffers_and_expand_when_they_meet_others);
    tcase_add_test(tc, builder_of_some_columns_leaves_the_others_and_their_exceptions);
    tcase_add_loop_test(tc, hash_depends_on_meaning_and_not_on_layout, 0, 5);
    tcase_add_test(tc, compare_orders_time_then_clustering_then_suffix);
    tcase_add_test(tc, row_exists_while_its_marker_or_a_cell_is_live);
    tcase_add_test(tc, raw_bytes_count_live_values_at_their_width);
    tcase_add_test(tc, append_survives_every_failed_allocation);
    tcase_add_test(tc, lanes_describe_columns_as_they_lie);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
