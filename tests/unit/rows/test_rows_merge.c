/*
 * test_rows_merge.c - rows_merge.c against a model of its own.
 *
 * Method: some versions of one row are merged in random order, in random groups, some of them more
 * than once. Whatever the way, every cell must be what the model says: the model knows nothing of
 * rows, columns or exceptions, only a list of stamped cells and the rule.
 */
#include "tests/unit/rows/row_maker.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSIONS_MAX 6
#define MERGES_MAX 24

/* -------------------------------------------------------------------------------------- Model */

struct model_cell {
    bool present;
    bool deletion;
    int64_t wt;
    int64_t exp;
    uint8_t bytes[64]; /* Cassandra's serialisation of a live value */
    size_t size;
};

static size_t big_endian(uint8_t *out, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(v >> 8 * (size - 1 - i));
    return size;
}

static size_t model_bytes(const varve_column_info *info, const varve_value *v, uint8_t *out)
{
    static const size_t width[] = {
        [VARVE_BOOLEAN] = 1, [VARVE_TINYINT] = 1,   [VARVE_SMALLINT] = 2, [VARVE_INT] = 4,
        [VARVE_BIGINT] = 8,  [VARVE_TIMESTAMP] = 8, [VARVE_TIME] = 8};
    uint32_t single;
    size_t least = 8;
    switch (info->type) {
    case VARVE_FLOAT:
        memcpy(&single, &v->as.f32, 4);
        return big_endian(out, single, 4);
    case VARVE_DOUBLE:
        return big_endian(out, (uint64_t)v->as.i64, 8);
    case VARVE_TEXT:
    case VARVE_BLOB:
        memcpy(out, v->as.bytes.data, v->as.bytes.size);
        return v->as.bytes.size;
    case VARVE_DATE: /* counted from -2^31 */
        return big_endian(out, (uint64_t)(v->as.i64 + (INT64_C(1) << 31)), 4);
    case VARVE_UUID:
        memcpy(out, v->as.uuid, 16);
        return 16;
    case VARVE_DECIMAL:
        if (info->precision != 0)
            return big_endian(out, (uint64_t)v->as.i64, 8);
        /* The shortest two's complement that keeps the sign. */
        while (least > 1 && v->as.i64 >= -(INT64_C(1) << (8 * least - 9)) &&
               v->as.i64 < INT64_C(1) << (8 * least - 9))
            least--;
        big_endian(out, (uint64_t)(int64_t)v->scale, 4);
        return 4 + big_endian(out + 4, (uint64_t)v->as.i64, least);
    default:
        return big_endian(out, (uint64_t)v->as.i64, width[info->type]);
    }
}

static struct model_cell model_cell_of(const struct varve_rows *rows, uint32_t row, uint32_t column)
{
    const struct varve_stamp s = varve_rows_stamp(rows, row, column);
    struct model_cell cell = {.present = s.state != VARVE_ABSENT,
                              .deletion = s.state == VARVE_DELETED,
                              .wt = s.wt,
                              .exp = s.exp};
    if (s.state == VARVE_LIVE && column != VARVE_MARKER_COLUMN) {
        const varve_value v = varve_rows_value(rows, row, column);
        cell.size = model_bytes(&rows->schema->columns[column], &v, cell.bytes);
    }
    return cell;
}

static bool model_beats(const struct model_cell *a, const struct model_cell *b)
{
    if (!a->present || !b->present)
        return a->present && !b->present;
    if (a->wt != b->wt)
        return a->wt > b->wt;
    if (a->deletion != b->deletion)
        return a->deletion;
    if (a->exp != b->exp) /* an expiring value beats one that does not expire, later beats sooner */
        return a->exp > b->exp;
    return varve_span_compare(varve_span_of(a->bytes, a->size), varve_span_of(b->bytes, b->size)) >
           0;
}

static void check_against_model(const struct varve_rows *merged, uint32_t row,
                                const struct varve_rows *versions, const uint32_t *used, uint32_t n)
{
    const struct varve_schema *schema = merged->schema;
    for (uint32_t c = schema->first_value;;
         c = c + 1 < schema->n_columns ? c + 1 : VARVE_MARKER_COLUMN) {
        struct model_cell best = {0};
        for (uint32_t i = 0; i < n; i++) {
            const struct model_cell cell = model_cell_of(versions, used[i], c);
            if (model_beats(&cell, &best))
                best = cell;
        }
        const struct model_cell got = model_cell_of(merged, row, c);
        ck_assert_int_eq(got.present, best.present);
        if (best.present) {
            ck_assert_int_eq(got.deletion, best.deletion);
            ck_assert_int_eq(got.wt, best.wt);
            ck_assert_int_eq(got.exp, best.exp);
            ck_assert_uint_eq(got.size, best.size);
            ck_assert_msg(memcmp(got.bytes, best.bytes, best.size) == 0, "column %s",
                          schema->columns[c].name);
        }
        if (c == VARVE_MARKER_COLUMN)
            break;
    }
}

/* -------------------------------------------------------------------------------------- Tests */

/* Merge the rows of `b` whose numbers are in `order` into one, in random groups. The result stands
 * behind two other rows that must not change. */
static void merge_in_groups(struct varve_rows_builder *out, struct varve_rng *rng,
                            const struct varve_rows *versions, const uint32_t *order, uint32_t n)
{
    struct varve_rows_builder group[MERGES_MAX];
    uint32_t left = n;
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(
            varve_rows_builder_init(&group[i], out->heap, versions->schema, NULL, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_append(&group[i], versions, 0, 2, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_append(&group[i], versions, order[i], 1, NULL), VARVE_OK);
    }
    while (left > 1) {
        const uint32_t a = (uint32_t)varve_rng_below(rng, left);
        uint32_t b = (uint32_t)varve_rng_below(rng, left - 1);
        b += b >= a;
        ck_assert_int_eq(varve_rows_merge_last(&group[a], &group[b].rows, 2, NULL), VARVE_OK);
        row_check_same(&group[a].rows, 0, versions, 0);
        row_check_same(&group[a].rows, 1, versions, 1);
        ck_assert_uint_eq(group[a].rows.n, 3);
        varve_rows_builder_free(&group[b]);
        group[b] = group[--left];
        memset(&group[left], 0, sizeof group[left]);
    }
    ck_assert_int_eq(varve_rows_append(out, &group[0].rows, 2, 1, NULL), VARVE_OK);
    varve_rows_builder_free(&group[0]);
}

START_TEST(any_order_and_grouping_with_repeats_gives_the_models_row)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder versions, out;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, (uint64_t)_i * 31 + 3);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&versions, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&out, &h.heap, schema, NULL, NULL), VARVE_OK);

    for (int round = 0; round < 60; round++) {
        uint32_t used[VERSIONS_MAX], order[MERGES_MAX];
        const uint32_t k = 1 + (uint32_t)varve_rng_below(&rng, VERSIONS_MAX);
        varve_rows_builder_clear(&versions);
        varve_rows_builder_clear(&out);
        for (uint32_t i = 0; i < k + 2; i++)
            row_append_random(&versions, &rng, 5);
        for (uint32_t i = 0; i < k; i++)
            used[i] = order[i] = i + 2;
        for (int way = 0; way < 3; way++) {
            uint32_t n = k;
            while (n < MERGES_MAX && varve_rng_below(&rng, 3) != 0)
                order[n++] = used[varve_rng_below(&rng, k)];
            for (uint32_t i = n; i > 1; i--) {
                const uint32_t j = (uint32_t)varve_rng_below(&rng, i);
                const uint32_t kept = order[i - 1];
                order[i - 1] = order[j];
                order[j] = kept;
            }
            merge_in_groups(&out, &rng, &versions.rows, order, n);
            check_against_model(&out.rows, (uint32_t)way, &versions.rows, used, k);
            memcpy(order, used, k * sizeof *order);
        }
        /* The clustering columns are those of whichever version began: hash the rest alike. */
        for (uint32_t way = 1; way < 3; way++) {
            for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
                const struct varve_stamp a = varve_rows_stamp(&out.rows, 0, c);
                const struct varve_stamp b = varve_rows_stamp(&out.rows, way, c);
                ck_assert(a.wt == b.wt || a.state == VARVE_ABSENT);
                ck_assert_uint_eq(a.state, b.state);
            }
        }
    }
    varve_rows_builder_free(&versions);
    varve_rows_builder_free(&out);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

/* One version live everywhere at write time 10, a later one with one cell: the row stamp moves to
 * the greatest write time, and what stays behind becomes exceptions. */
START_TEST(row_stamp_is_the_greatest_write_time_among_winners)
{
    struct row_heap h;
    struct varve_rows_builder a, b;
    row_heap_init(&h, -1);
    struct varve_schema *schema = row_schema(
        &h.heap, "CREATE TABLE e (k int, ts timestamp, v bigint, w bigint, PRIMARY KEY (k, ts))");
    struct varve_rows_builder *both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_rows_builder_init(both[i], &h.heap, schema, NULL, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_builder_reserve(both[i], 1, 0, NULL), VARVE_OK);
        both[i]->rows.time[0] = 1;
        for (uint32_t c = 2; c < 4; c++)
            ((int64_t *)both[i]->rows.columns[c].values)[0] = 100 * i + (int64_t)c;
        both[i]->rows.wt_uniform = 10 + 10 * i;
    }
    (void)varve_rows_builder_live(&b, 3);
    (void)varve_rows_builder_live(&b, VARVE_MARKER_COLUMN);
    a.rows.n = b.rows.n = 1; /* b: an update of column 2 only */

    ck_assert_int_eq(varve_rows_merge_last(&a, &b.rows, 0, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_wt(&a.rows, 0), 20);
    ck_assert_uint_eq(a.rows.n_exceptions, 2);
    ck_assert_uint_eq(a.rows.exceptions[0].column, 3);
    ck_assert_int_eq(a.rows.exceptions[0].wt, 10);
    ck_assert_uint_eq(a.rows.exceptions[1].column, VARVE_MARKER_COLUMN);
    ck_assert_int_eq(varve_rows_value(&a.rows, 0, 2).as.i64, 102);
    ck_assert_int_eq(varve_rows_value(&a.rows, 0, 3).as.i64, 3);
    varve_rows_builder_free(&a);
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(implied_second_of_a_deletion_needs_no_exception)
{
    struct row_heap h;
    struct varve_rows_builder a, b;
    row_heap_init(&h, -1);
    struct varve_schema *schema =
        row_schema(&h.heap, "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts))");
    struct varve_rows_builder *both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_rows_builder_init(both[i], &h.heap, schema, NULL, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_builder_reserve(both[i], 1, 0, NULL), VARVE_OK);
        both[i]->rows.time[0] = 1;
        ((int64_t *)both[i]->rows.columns[2].values)[0] = 0;
        both[i]->rows.wt_uniform = 3999999 + i;
    }
    (void)varve_rows_builder_live(&b, 2);
    varve_bit_set(varve_rows_builder_deleted(&b, 2), 0);
    a.rows.n = b.rows.n = 1;
    ck_assert_uint_eq(varve_rows_stamp(&b.rows, 0, 2).exp, 4);
    ck_assert_int_eq(varve_rows_merge_last(&a, &b.rows, 0, NULL), VARVE_OK);
    ck_assert_uint_eq(a.rows.n_exceptions, 0);
    ck_assert_uint_eq(varve_rows_stamp(&a.rows, 0, 2).state, VARVE_DELETED);
    ck_assert_uint_eq(varve_rows_stamp(&a.rows, 0, 2).exp, 4);
    ck_assert_uint_eq(varve_deletion_second(-1), 0);
    ck_assert_uint_eq(varve_deletion_second(INT64_MAX), UINT32_MAX);
    varve_rows_builder_free(&a);
    varve_rows_builder_free(&b);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

/* In 'first' and 'error' tables whole rows: the lowest (write time, writer, ordinal) stays. */
START_TEST(first_of_whole_rows_stays_in_any_order)
{
    static const char *const tables[] = {"first", "error"};
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder from, out;
    char text[160];
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 8);
    (void)snprintf(text, sizeof text,
                   "CREATE TABLE e (k int, ts timestamp, v bigint, x text, PRIMARY KEY (k, ts)) "
                   "WITH duplicates = '%s'",
                   tables[_i]);
    struct varve_schema *schema = row_schema(&h.heap, text);
    ck_assert_int_eq(varve_rows_builder_init(&from, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&out, &h.heap, schema, NULL, NULL), VARVE_OK);
    for (uint32_t i = 0; i < 40; i++)
        row_append_random(&from, &rng, 3);
    int64_t *wt = varve_rows_builder_wt(&from);
    for (uint32_t i = 0; i < 40; i++)
        wt[i] = 1000 + (i * 17) % 40;
    for (int round = 0; round < 20; round++) {
        uint32_t best = (uint32_t)varve_rng_below(&rng, 40);
        varve_rows_builder_clear(&out);
        ck_assert_int_eq(varve_rows_append(&out, &from.rows, 5, 1, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_append(&out, &from.rows, best, 1, NULL), VARVE_OK);
        for (int k = 0; k < 10; k++) {
            const uint32_t i = (uint32_t)varve_rng_below(&rng, 40);
            best = wt[i] < wt[best] ? i : best;
            ck_assert_int_eq(varve_rows_merge_last(&out, &from.rows, i, NULL), VARVE_OK);
        }
        ck_assert_uint_eq(out.rows.n, 2);
        row_check_same(&out.rows, 0, &from.rows, 5);
        row_check_same(&out.rows, 1, &from.rows, best);
    }
    varve_rows_builder_free(&from);
    varve_rows_builder_free(&out);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(overlay_replaces_whatever_is_not_absent)
{
    struct row_heap h;
    struct varve_rng rng;
    struct varve_rows_builder from, out;
    row_heap_init(&h, -1);
    varve_rng_seed(&rng, 21);
    struct varve_schema *schema = row_schema(&h.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&from, &h.heap, schema, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_rows_builder_init(&out, &h.heap, schema, NULL, NULL), VARVE_OK);
    for (int i = 0; i < 100; i++)
        row_append_random(&from, &rng, 3);
    from.rows.wt = NULL; /* as in a batch: one write time, no exceptions */
    from.rows.exp = NULL;
    from.rows.wt_uniform = VARVE_WT_COMMIT;
    from.rows.n_exceptions = 0;
    for (uint32_t i = 0; i + 2 < 100; i++) {
        ck_assert_int_eq(varve_rows_append(&out, &from.rows, i, 1, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_overlay_last(&out, &from.rows, i + 1, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_overlay_last(&out, &from.rows, i + 2, NULL), VARVE_OK);
        for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
            uint32_t k = i + 2;
            while (k > i && varve_rows_state(&from.rows, k, c) == VARVE_ABSENT)
                k--;
            ck_assert_uint_eq(varve_rows_state(&out.rows, i, c),
                              varve_rows_state(&from.rows, k, c));
            const varve_value got = varve_rows_value(&out.rows, i, c);
            const varve_value want = varve_rows_value(&from.rows, k, c);
            ck_assert(varve_rows_state(&out.rows, i, c) != VARVE_LIVE ||
                      row_values_same(&got, &want));
        }
    }
    varve_rows_builder_free(&from);
    varve_rows_builder_free(&out);
    varve_schema_unref(schema);
    ck_assert_int_eq(h.live, 0);
}
END_TEST

START_TEST(merge_survives_every_failed_allocation)
{
    struct row_heap good, h;
    struct varve_rng rng;
    struct varve_rows_builder from, out;
    row_heap_init(&good, -1);
    varve_rng_seed(&rng, 33);
    struct varve_schema *schema = row_schema(&good.heap, row_table_all_types);
    ck_assert_int_eq(varve_rows_builder_init(&from, &good.heap, schema, NULL, NULL), VARVE_OK);
    for (int i = 0; i < 40; i++)
        row_append_random(&from, &rng, 3);
    for (long n = 0;; n++) {
        row_heap_init(&h, -1);
        ck_assert_int_eq(varve_rows_builder_init(&out, &h.heap, schema, NULL, NULL), VARVE_OK);
        ck_assert_int_eq(varve_rows_append(&out, &from.rows, 0, 1, NULL), VARVE_OK);
        h.calls = 0;
        h.fail_at = n;
        varve_status rc = VARVE_OK;
        for (uint32_t i = 1; rc == VARVE_OK && i < 40; i++) {
            const uint64_t before = varve_rows_content_hash(&out.rows, 0, 1, 1);
            rc = varve_rows_merge_last(&out, &from.rows, i, NULL);
            if (rc < 0)
                ck_assert_uint_eq(before, varve_rows_content_hash(&out.rows, 0, 1, 1));
        }
        ck_assert_int_eq(rc, h.fired ? VARVE_ENOMEM : VARVE_OK);
        varve_rows_builder_free(&out);
        ck_assert_int_eq(h.live, 0);
        if (!h.fired) {
            ck_assert_int_ge(n, 1);
            break;
        }
    }
    varve_rows_builder_free(&from);
    varve_schema_unref(schema);
    ck_assert_int_eq(good.live, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows_merge");
    TCase *tc = tcase_create("rows_merge");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, any_order_and_grouping_with_repeats_gives_the_models_row, 0, 10);
    tcase_add_test(tc, row_stamp_is_the_greatest_write_time_among_winners);
    tcase_add_test(tc, implied_second_of_a_deletion_needs_no_exception);
    tcase_add_loop_test(tc, first_of_whole_rows_stays_in_any_order, 0, 2);
    tcase_add_test(tc, overlay_replaces_whatever_is_not_absent);
    tcase_add_test(tc, merge_survives_every_failed_allocation);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
