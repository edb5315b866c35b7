/*
 * test_scan_groups.c - aggregations against the model, with and without zone maps.
 *
 * Method: the model's rows are grouped and folded one by one, in the plainest way; every cell of
 * the cursor's answer must be the same, bits included (NaN counts as one value in min and max).
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>

#include "storage/scan/groups_int.h"
#include "tests/unit/rows/row_maker.h"
#include "tests/unit/scan/scan_rig.h"

/* --------------------------------------------------------------------------------------- Model */

struct model_group {
    uint32_t partition;
    varve_i128 bucket; /* number of the bucket */
    size_t n;
    const struct fake_row **rows; /* in the order of time, then partition and key */
};

static varve_i128 floor_div(varve_i128 a, varve_i128 b)
{
    const varve_i128 q = a / b;
    return a % b < 0 ? q - 1 : q;
}

static int by_time(const void *a, const void *b)
{
    const struct fake_row *x = *(const struct fake_row *const *)a;
    const struct fake_row *y = *(const struct fake_row *const *)b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x > y) - (x < y); /* the model's array is in partition and key order */
}

static size_t group_rows(const struct rig_question *q, const struct fake_row *rows, size_t n,
                         struct model_group *groups)
{
    const bool by_partition = (q->scan.flags & VARVE_SCAN_BY_PARTITION) != 0;
    size_t n_groups = 0;

    if (!by_partition && q->scan.every == 0) { /* one, also of nothing */
        memset(&groups[0], 0, sizeof *groups);
        groups[0].rows = calloc(n + 1, sizeof *groups[0].rows);
        n_groups = 1;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t partition = by_partition ? rows[i].partition : 0;
        varve_i128 bucket = 0;
        size_t g = 0;
        if (q->scan.every > 0)
            bucket = floor_div((varve_i128)rows[i].time - q->scan.origin, q->scan.every);
        while (g < n_groups && (groups[g].partition != partition || groups[g].bucket != bucket))
            g++;
        if (g == n_groups) {
            groups[n_groups++] = (struct model_group){.partition = partition, .bucket = bucket};
            groups[g].rows = calloc(n, sizeof *groups[g].rows);
        }
        must(groups[g].rows != NULL);
        groups[g].rows[groups[g].n++] = &rows[i];
    }
    for (size_t g = 0; g < n_groups; g++)
        qsort(groups[g].rows, groups[g].n, sizeof *groups[g].rows, by_time);
    for (size_t i = 1; i < n_groups; i++) { /* insertion: groups are few */
        const struct model_group moved = groups[i];
        size_t j = i;
        for (; j > 0 && (groups[j - 1].partition > moved.partition ||
                         (groups[j - 1].partition == moved.partition &&
                          groups[j - 1].bucket > moved.bucket));
             j--)
            groups[j] = groups[j - 1];
        groups[j] = moved;
    }
    return n_groups;
}

static int order_of_extremes(const varve_value *a, const varve_value *b)
{
    const int rc = varve_cell_compare(a->type, a, b);
    return rc != 0 || a->type != VARVE_DECIMAL ? rc : (a->scale > b->scale) - (a->scale < b->scale);
}

/* The sum of the values, as it must come out. False: it does not fit. */
static bool model_sum(const varve_value *values, size_t n, bool avg, varve_value *ret)
{
    struct varve_exact_sum sum = {.pending = 0};
    int scale = 0;
    varve_i128 total = 0;

    if (values[0].type == VARVE_FLOAT || values[0].type == VARVE_DOUBLE) {
        for (size_t i = 0; i < n; i++) {
            const double v =
                values[i].type == VARVE_FLOAT ? (double)values[i].as.f32 : values[i].as.f64;
            varve_exact_add(&sum, &v, 1);
        }
        *ret = (varve_value){.type = VARVE_DOUBLE};
        ret->as.f64 = avg ? varve_exact_mean(&sum, n) : varve_exact_round(&sum);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        scale = i == 0 || values[i].scale > scale ? values[i].scale : scale;
    for (size_t i = 0; i < n; i++) {
        varve_i128 v = values[i].as.i64;
        for (int s = values[i].scale; s < scale; s++)
            v *= 10;
        total += v;
    }
    if (avg) {
        *ret = (varve_value){.type = VARVE_DOUBLE};
        if (scale < 0)
            total *= 10; /* scales are at least -1 here */
        ret->as.f64 = varve_exact_ratio(total, n, scale < 0 ? 0 : scale);
        return true;
    }
    *ret = (varve_value){.type = VARVE_HUGEINT, .scale = (int8_t)scale};
    ret->as.i128.low = (uint64_t)total;
    ret->as.i128.high = (int64_t)(total >> 64);
    return true;
}

static varve_value model_result(const struct fake_table *table, const struct rig_question *q,
                                const struct model_group *group, const varve_aggregate *a)
{
    varve_value result = {.type = VARVE_BIGINT};
    varve_value *values = calloc(group->n + 1, sizeof *values);
    size_t n = 0;

    must(values != NULL);
    for (size_t i = 0; a->function != VARVE_COUNT_ROWS && i < group->n; i++) {
        values[n] = rig_cell(table, q, group->rows[i], a->column);
        n += values[n].presence == VARVE_SET;
    }
    if (a->function == VARVE_COUNT_ROWS) {
        result.as.i64 = (int64_t)group->n;
    } else if (a->function == VARVE_COUNT) {
        result.as.i64 = (int64_t)n;
    } else if (n == 0) {
        result.presence = VARVE_NULL;
    } else if (a->function == VARVE_SUM || a->function == VARVE_AVG) {
        must(model_sum(values, n, a->function == VARVE_AVG, &result));
    } else if (a->function == VARVE_FIRST) {
        result = values[0];
    } else if (a->function == VARVE_LAST) {
        result = values[n - 1];
    } else {
        result = values[0];
        for (size_t i = 1; i < n; i++) {
            const int order = order_of_extremes(&values[i], &result);
            if (a->function == VARVE_MIN ? order < 0 : order > 0)
                result = values[i];
        }
    }
    free(values);
    return result;
}

/* --------------------------------------------------------------------------------------- Check */

static bool is_nan(const varve_value *v)
{
    return (v->type == VARVE_DOUBLE && isnan(v->as.f64)) ||
           (v->type == VARVE_FLOAT && isnan(v->as.f32));
}

static void check_cell(const varve_value *got, const varve_value *want)
{
    must(got->presence == want->presence);
    if (want->presence == VARVE_NULL)
        return;
    if (is_nan(want) && is_nan(got))
        return;
    must(fake_values_same(got, want));
}

static int64_t shown_bucket(const struct fake_table *table, const struct rig_question *q,
                            varve_i128 bucket)
{
    const uint8_t phys = table->schema->phys[table->schema->time_column];
    const int64_t least = phys == VARVE_PHYS_I32 ? INT32_MIN : INT64_MIN;
    const varve_i128 start = bucket * q->scan.every + q->scan.origin;
    return start < least ? least : (int64_t)start;
}

static void check_group(const struct fake_table *table, const struct rig_question *q,
                        const varve_batch_view *view, uint32_t r, const struct model_group *group)
{
    const struct varve_schema *schema = table->schema;
    uint32_t at = 0;

    if ((q->scan.flags & VARVE_SCAN_BY_PARTITION) != 0)
        for (; at < schema->n_partition; at++) {
            const varve_value got = varve_view_value(view, r, at);
            must(fake_values_same(&got, &table->key_values[group->partition][at]));
        }
    if (q->scan.every > 0) {
        const varve_value got = varve_view_value(view, r, at++);
        must(got.type == schema->columns[schema->time_column].type);
        must(got.as.i64 == shown_bucket(table, q, group->bucket));
    }
    must(view->n_columns == at + q->scan.n_aggregates);
    for (uint32_t i = 0; i < q->scan.n_aggregates; i++) {
        const varve_value got = varve_view_value(view, r, at + i);
        const varve_value want = model_result(table, q, group, &q->scan.aggregates[i]);
        check_cell(&got, &want);
    }
}

/* Order and limits on the model's groups. */
static size_t limit_groups(const struct rig_question *q, struct model_group *groups, size_t n)
{
    size_t out = 0;
    uint64_t of_partition = 0;
    uint32_t partition = UINT32_MAX;

    for (size_t i = 0; rig_reverse(q) && i < n / 2; i++) {
        const struct model_group group = groups[i];
        groups[i] = groups[n - 1 - i];
        groups[n - 1 - i] = group;
    }
    for (size_t i = 0; i < n; i++) {
        if (groups[i].partition != partition)
            of_partition = 0;
        partition = groups[i].partition;
        if ((q->scan.limit_per_partition > 0 && of_partition++ >= q->scan.limit_per_partition) ||
            (q->scan.limit > 0 && out == q->scan.limit)) {
            free(groups[i].rows);
            continue;
        }
        groups[out++] = groups[i];
    }
    return out;
}

static varve_status run_question(struct fake_table *table, struct varve_heap *heap,
                                 const struct rig_question *q, uint64_t *zone_answers,
                                 varve_error *err)
{
    varve_cursor *cursor = NULL;
    const varve_batch_view *view;
    size_t n, at = 0;
    struct fake_row *rows = rig_rows(table, q, &n);
    struct model_group *groups = calloc(n + 1, sizeof *groups);

    must(groups != NULL);
    n = limit_groups(q, groups, group_rows(q, rows, n, groups));
    varve_status rc = rig_open(table, heap, q, RIG_GROUPS, &cursor, err);
    while (rc == VARVE_OK) {
        rc = varve_cursor_next(cursor, &view, err);
        if (rc != VARVE_OK)
            break;
        rig_check_layout(view);
        for (uint32_t r = 0; r < view->rows; r++) {
            must(at < n);
            check_group(table, q, view, r, &groups[at++]);
        }
    }
    if (rc == VARVE_END) {
        varve_cursor_stats stats;
        must(at == n);
        varve_cursor_get_stats(cursor, &stats);
        *zone_answers += stats.vectors_zone_map;
        must((q->scan.flags & VARVE_SCAN_NO_ZONE_MAPS) == 0 || stats.vectors_zone_map == 0);
    }
    varve_cursor_close(cursor);
    for (size_t g = 0; g < n; g++)
        free(groups[g].rows);
    free(groups);
    free(rows);
    return rc;
}

/* --------------------------------------------------------------------------------------- Tests */

START_TEST(groups_are_those_of_the_model)
{
    struct varve_rng rng;
    struct rig_question q;
    uint64_t zone_answers = 0;
    const bool large = rig_shapes[_i].rows >= 1000;

    varve_rng_seed(&rng, (uint64_t)_i + 1);
    for (uint64_t t = 0; t < (large ? 1 : 25); t++) {
        struct fake_table table;
        fake_table_make(&table, &rig_shapes[_i], t * 1000 + (uint64_t)_i);
        for (int k = 0; k < (large ? 30 : 25); k++) {
            rig_ask(&q, &table, RIG_GROUPS, &rng);
            if (large && q.scan.every > 0 && q.scan.every < 1 << 20)
                q.scan.every = 1 + q.scan.every * 40;
            varve_error err;
            if (run_question(&table, &table.heap, &q, &zone_answers, &err) != VARVE_END)
                ck_abort_msg("%s", err.message);
        }
        fake_table_free(&table);
    }
    ck_assert(!rig_shapes[_i].disjoint || large || zone_answers > 0);
}
END_TEST

/* The answer, and how much was looked at for it. */
static uint64_t examined(struct fake_table *table, const struct rig_question *q,
                         uint64_t *ret_zone_answers)
{
    varve_cursor_stats stats;
    const varve_batch_view *view;
    varve_cursor *cursor;
    uint64_t zones = 0;

    must(run_question(table, &table->heap, q, &zones, NULL) == VARVE_END);
    must(rig_open(table, &table->heap, q, RIG_GROUPS, &cursor, NULL) == VARVE_OK);
    while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK)
        ;
    varve_cursor_get_stats(cursor, &stats);
    varve_cursor_close(cursor);
    must(stats.vectors_zone_map == zones);
    *ret_zone_answers = zones;
    return stats.rows_examined;
}

/* One source of 5,000 rows in vectors of 1,024, integers and decimals only. */
static void ask_zones(struct fake_table *table, struct rig_question *q, bool plain)
{
    const struct fake_shape shape = {.create = rig_shapes[1].create,
                                     .partitions = 1,
                                     .sources = 1,
                                     .rows = 5000,
                                     .time_span = 1u << 30,
                                     .time_step = 1,
                                     .piece_rows = 1024,
                                     .plain = plain,
                                     .zones = true};

    fake_table_make(table, &shape, 8);
    memset(q, 0, sizeof *q);
    varve_scan_init(&q->scan, sizeof q->scan);
    q->floor = INT64_MIN;
    q->from_partition = q->to_partition = UINT32_MAX;
    q->listed[0] = true;
    q->now_s = 10;
    q->aggregates[0] = (varve_aggregate){.function = VARVE_COUNT_ROWS};
    q->aggregates[1] = (varve_aggregate){.function = VARVE_SUM, .column = 3};
    q->aggregates[2] = (varve_aggregate){.function = VARVE_MIN, .column = 4};
    q->aggregates[3] = (varve_aggregate){.function = VARVE_MAX, .column = 4};
    q->aggregates[4] = (varve_aggregate){.function = VARVE_COUNT, .column = 5};
    q->scan.aggregates = q->aggregates;
    q->scan.n_aggregates = 5;
}

START_TEST(whole_vectors_are_answered_unread_unless_a_clause_forbids_it)
{
    struct fake_table table;
    struct rig_question q, good;
    uint64_t zones;

    ask_zones(&table, &good, true);
    const struct varve_rows *rows = &table.streams[0].rows.rows;
    const uint64_t n = rows->n;
    ck_assert_uint_eq(examined(&table, &good, &zones), 0);
    ck_assert_uint_eq(zones, 5 * 3); /* vectors, columns */

    q = good; /* switched off */
    q.scan.flags = VARVE_SCAN_NO_ZONE_MAPS;
    ck_assert_uint_eq(examined(&table, &q, &zones), n);
    q = good; /* the range cuts one vector at each end */
    q.scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    q.scan.from = rows->time[1];
    q.scan.to = rows->time[n - 1];
    ck_assert_uint_eq(examined(&table, &q, &zones), 1023 + (n - 1) % 1024);
    ck_assert_uint_eq(zones, 3 * 3);
    q = good; /* so does the floor */
    q.floor = rows->time[5];
    ck_assert_uint_eq(examined(&table, &q, &zones), 1024 - 5);
    q = good; /* a boundary of buckets inside a vector */
    q.scan.every = INT64_MAX;
    q.scan.origin = rows->time[100];
    ck_assert_uint_eq(examined(&table, &q, &zones), 1024);
    q = good; /* a predicate that nulls fail, and one that is proven */
    q.predicates[0] = (varve_predicate){.column = 4, .op = VARVE_LE};
    q.predicates[0].value = (varve_value){.type = VARVE_BIGINT, .as.i64 = INT64_MAX};
    q.scan.predicates = q.predicates;
    q.scan.n_predicates = 1;
    ck_assert_uint_eq(examined(&table, &q, &zones), n);
    q.predicates[0] = (varve_predicate){.column = 1, .op = VARVE_NE};
    q.predicates[0].value = (varve_value){.type = VARVE_INT, .as.i64 = -7};
    ck_assert_uint_eq(examined(&table, &q, &zones), 0);
    q = good; /* a function that the zone map of text does not know */
    q.aggregates[4].function = VARVE_MIN;
    q.scan.aggregates = q.aggregates;
    ck_assert_uint_eq(examined(&table, &q, &zones), n);
    fake_table_free(&table);

    ask_zones(&table, &q, false); /* rows that may not exist, cells that may have expired */
    ck_assert_uint_eq(examined(&table, &q, &zones), table.streams[0].rows.rows.n);
    fake_table_free(&table);
}
END_TEST

START_TEST(aggregation_survives_every_failing_allocation_and_call)
{
    struct varve_rng rng;
    uint64_t zones = 0;

    varve_rng_seed(&rng, 5);
    for (int k = 0; k < 8; k++) {
        struct fake_table table;
        struct rig_question q;
        bool fired = true;
        fake_table_make(&table, &rig_shapes[k % 3], 4);
        rig_ask(&q, &table, RIG_GROUPS, &rng);
        for (long n = 0; fired; n++) {
            struct row_heap h;
            varve_error err = {.status = VARVE_OK};
            row_heap_init(&h, n);
            const varve_status rc = run_question(&table, &h.heap, &q, &zones, &err);
            fired = h.fired;
            must(rc == (fired ? VARVE_ENOMEM : VARVE_END));
            must(h.live == 0 && varve_heap_used(&h.heap) == 0 && table.open_sources == 0);
        }
        varve_status rc = VARVE_EIO;
        for (long n = 0; rc != VARVE_END; n++) {
            table.calls = 0;
            table.fail_at = n;
            rc = run_question(&table, &table.heap, &q, &zones, NULL);
            must(rc == VARVE_END || rc == VARVE_EIO);
            must(table.open_sources == 0);
        }
        table.fail_at = -1;
        fake_table_free(&table);
    }
}
END_TEST

/* The bits of every aggregate of a question, one after the other. */
static size_t answer_bits(struct fake_table *table, const struct rig_question *q, int rounding,
                          uint8_t *out, size_t size)
{
    const varve_batch_view *view;
    varve_cursor *cursor;
    size_t used = 0;

    must(fesetround(rounding) == 0);
    must(rig_open(table, &table->heap, q, RIG_GROUPS, &cursor, NULL) == VARVE_OK);
    while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK)
        for (uint32_t c = 1; c < view->n_columns;
             c++) { /* behind the bucket all are 8 bytes wide */
            const size_t bytes = (size_t)view->rows * 8;
            must(used + bytes <= size);
            memcpy(out + used, view->columns[c].values, bytes);
            used += bytes;
        }
    must(fegetround() == rounding);
    must(fesetround(FE_TONEAREST) == 0);
    varve_cursor_close(cursor);
    return used;
}

START_TEST(answers_do_not_depend_on_the_rounding_mode_and_leave_it_alone)
{
    static uint8_t usual[1 << 18], upward[1 << 18];
    struct fake_table table;
    struct rig_question q = {.floor = INT64_MIN};

    fake_table_make(&table, &rig_shapes[1], 12);
    varve_scan_init(&q.scan, sizeof q.scan);
    q.aggregates[0] = (varve_aggregate){.function = VARVE_SUM, .column = 2};
    q.aggregates[1] = (varve_aggregate){.function = VARVE_AVG, .column = 2};
    q.aggregates[2] = (varve_aggregate){.function = VARVE_AVG, .column = 3};
    q.scan.aggregates = q.aggregates;
    q.scan.n_aggregates = 3;
    q.scan.every = 7;
    const size_t n = answer_bits(&table, &q, FE_TONEAREST, usual, sizeof usual);
    must(n > 50 * 8 && answer_bits(&table, &q, FE_UPWARD, upward, sizeof upward) == n);
    must(memcmp(usual, upward, n) == 0);
    fake_table_free(&table);
}
END_TEST

/* A piece from one end of time to the other, with more times than a batch has room for at first. */
START_TEST(a_bucket_for_each_moment_holds_all_times_there_are)
{
    const struct fake_shape shape = {.create = "CREATE TABLE moments (k text, ts bigint, v double, "
                                               "PRIMARY KEY (k, ts))",
                                     .partitions = 1,
                                     .sources = 1,
                                     .rows = 5000,
                                     .time_span = 256,
                                     .time_base = INT64_MIN,
                                     .time_step = INT64_C(0x0101010101010101), /* / 255 of all */
                                     .piece_rows = 1024,
                                     .plain = true};
    struct fake_table table;
    struct rig_question q = {.floor = INT64_MIN};
    const varve_batch_view *view;
    varve_cursor *cursor;
    int64_t groups = 0, rows = 0, first = 0, last = 0;
    varve_status rc;

    fake_table_make(&table, &shape, 9);
    varve_scan_init(&q.scan, sizeof q.scan);
    q.aggregates[0] = (varve_aggregate){.function = VARVE_COUNT_ROWS};
    q.scan.aggregates = q.aggregates;
    q.scan.n_aggregates = 1;
    q.scan.flags = VARVE_SCAN_BY_PARTITION;
    q.scan.every = 1;
    must(rig_open(&table, &table.heap, &q, RIG_GROUPS, &cursor, NULL) == VARVE_OK);
    while ((rc = varve_cursor_next(cursor, &view, NULL)) == VARVE_OK)
        for (uint32_t i = 0; i < view->rows; i++) {
            const uint32_t column = view->n_columns - 1;
            last = varve_view_value(view, i, column - 1).as.i64;
            first = groups == 0 ? last : first;
            rows += varve_view_value(view, i, column).as.i64;
            groups++;
        }
    must(rc == VARVE_END && groups == 256);
    must(first == INT64_MIN && last == INT64_MAX);
    must(rows == (int64_t)table.streams[0].rows.rows.n);
    varve_cursor_close(cursor);
    fake_table_free(&table);
}
END_TEST

START_TEST(groups_beyond_the_memory_limit_are_refused_clearly)
{
    const struct fake_shape shape = {.create = rig_shapes[1].create,
                                     .partitions = 1,
                                     .sources = 1,
                                     .rows = 20000,
                                     .time_span = 1u << 30,
                                     .time_step = 1,
                                     .piece_rows = 1024,
                                     .plain = true};
    struct fake_table table;
    struct varve_heap heap;
    struct rig_question q = {.floor = INT64_MIN};
    const varve_batch_view *view;
    varve_cursor *cursor;
    varve_error err;

    fake_table_make(&table, &shape, 1);
    varve_scan_init(&q.scan, sizeof q.scan);
    q.aggregates[0] = (varve_aggregate){.function = VARVE_SUM, .column = 2};
    q.scan.aggregates = q.aggregates;
    q.scan.n_aggregates = 1;
    q.scan.every = 1;
    varve_heap_init(&heap, NULL, 4u << 20);
    must(rig_open(&table, &heap, &q, RIG_GROUPS, &cursor, NULL) == VARVE_OK);
    must(varve_cursor_next(cursor, &view, &err) == VARVE_ELIMIT);
    must(strstr(err.message, "memory_limit") != NULL);
    must(varve_cursor_next(cursor, &view, NULL) == VARVE_ELIMIT);
    varve_cursor_close(cursor);
    must(varve_heap_used(&heap) == 0);
    fake_table_free(&table);
}
END_TEST

/* ------------------------------------------------------------------------------------- Buckets */

static void check_bucket(int64_t every, int64_t origin, int64_t time)
{
    const struct varve_buckets buckets = {every, origin};
    const struct varve_bucket bucket = varve_bucket_of(&buckets, time);
    const varve_i128 start =
        floor_div((varve_i128)time - origin, every) * every + (varve_i128)origin;
    const varve_i128 last = start + every - 1;

    must(bucket.first <= time && time <= bucket.last);
    must(start < INT64_MIN ? bucket.first == INT64_MIN : bucket.first == (int64_t)start);
    must(last > INT64_MAX ? bucket.last == INT64_MAX : bucket.last == (int64_t)last);
}

START_TEST(buckets_floor_toward_minus_infinity_up_to_the_ends_of_int64)
{
    static const int64_t edges[] = {
        INT64_MIN, INT64_MIN + 1, -3600001, -3600000,      -3599999, -1, 0,
        1,         3599999,       3600000,  INT64_MAX - 1, INT64_MAX};
    static const int64_t widths[] = {1, 2, 7, 3600000, INT64_MAX - 1, INT64_MAX};
    struct varve_rng rng;

    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++)
            for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
                check_bucket(widths[k], edges[i], edges[j]);
    varve_rng_seed(&rng, 1);
    for (int i = 0; i < 100000; i++)
        check_bucket((int64_t)(varve_rng_next(&rng) >> (1 + varve_rng_below(&rng, 62))) | 1,
                     (int64_t)varve_rng_next(&rng), (int64_t)varve_rng_next(&rng));
}
END_TEST

START_TEST(bucket_ends_are_where_a_linear_search_finds_them)
{
    struct varve_rng rng;
    int64_t times[200];

    varve_rng_seed(&rng, 2);
    for (int k = 0; k < 20000; k++) {
        const uint32_t n = 1 + (uint32_t)varve_rng_below(&rng, 200);
        int64_t t = -50;
        for (uint32_t i = 0; i < n; i++)
            times[i] = t += (int64_t)varve_rng_below(&rng, 3);
        const uint32_t from = (uint32_t)varve_rng_below(&rng, n);
        const int64_t bound = times[from] + (int64_t)varve_rng_below(&rng, 100);
        uint32_t want = from;
        while (want < n && times[want] <= bound)
            want++;
        must(varve_bucket_end(times, from, n, bound, (uint32_t)varve_rng_below(&rng, 9)) == want);
        const uint32_t to = from + 1;
        const int64_t low = times[to - 1] - (int64_t)varve_rng_below(&rng, 100);
        want = to;
        while (want > 0 && times[want - 1] >= low)
            want--;
        must(varve_bucket_begin(times, 0, to, low) == want);
    }
}
END_TEST

/* --------------------------------------------------------------------------------------- Means */

static bool one_of_two(struct varve_rng *rng)
{
    return varve_rng_below(rng, 2) == 0;
}

START_TEST(mean_of_bare_decimals_is_the_exact_quotient_rounded_once)
{
    struct varve_rng rng;
    char text[256];

    varve_rng_seed(&rng, 6);
    for (int i = 0; i < 20000; i++) { /* where the other way works, they agree */
        const int64_t high = (int64_t)(varve_rng_next(&rng) >> 1 >> varve_rng_below(&rng, 63));
        const varve_i128 total = (varve_i128)(one_of_two(&rng) ? high : -high) *
                                 (varve_i128)(1 + varve_rng_below(&rng, 1u << 30));
        const uint64_t count = 1 + (varve_rng_next(&rng) >> (1 + varve_rng_below(&rng, 63)));
        const int scale = (int)varve_rng_below(&rng, 19);
        must(varve_decimal_mean(total, count, scale) == varve_exact_ratio(total, count, scale));
    }
    for (int i = 0; i < 5000; i++) { /* one value: its text read by the C library */
        const int64_t mantissa = (int64_t)varve_rng_next(&rng);
        const int scale = (int)varve_rng_below(&rng, 256) - 128;
        (void)snprintf(text, sizeof text, "%llde%d", (long long)mantissa, -scale);
        must(varve_decimal_mean(mantissa, 1, scale) == strtod(text, NULL));
    }
    must(varve_decimal_mean(((varve_i128)1 << 53) + 1, 1, 0) == 9007199254740992.0); /* to even */
    must(varve_decimal_mean(((varve_i128)1 << 53) + 3, 1, 0) == 9007199254740996.0);
    must(varve_decimal_mean(((varve_i128)1 << 54) + 6, 2, 0) == 9007199254740996.0);
    must(varve_decimal_mean((varve_i128)1 << 126, UINT64_MAX, 127) > 0.0);
    must(varve_decimal_mean((varve_i128)1 << 126, 1, -128) < HUGE_VAL);
}
END_TEST

/* The times that an index says bound how many groups a vector can close: a file that lies about them
 * must not write past the result. With functions that are gathered in runs, and without. */
START_TEST(vector_with_times_outside_its_index_is_corrupt)
{
    static const struct fake_shape shape = {
        .create =
            "CREATE TABLE t (k bigint, ts timestamp, v bigint, d double, PRIMARY KEY (k, ts))",
        .partitions = 1,
        .sources = 1,
        .rows = 3000,
        .time_span = 3000,
        .time_step = 1,
        .piece_rows = 1024,
        .plain = true,
        .lies = true};
    struct fake_table table;
    struct rig_question q;
    const varve_batch_view *view;

    for (int reverse = 0; reverse < 2; reverse++) {
        varve_error err = {0};
        struct varve_heap heap;
        varve_cursor *cursor = NULL;
        varve_status rc = VARVE_OK;

        fake_table_make(&table, &shape, 5);
        memset(&q, 0, sizeof q);
        varve_scan_init(&q.scan, sizeof q.scan);
        q.floor = INT64_MIN;
        q.from_partition = q.to_partition = UINT32_MAX;
        q.listed[0] = true;
        q.scan.flags = VARVE_SCAN_BY_PARTITION | (reverse == 1 ? VARVE_SCAN_REVERSE : 0);
        q.scan.every = 1;
        q.aggregates[0] = (varve_aggregate){.function = VARVE_SUM, .column = 3};
        q.scan.aggregates = q.aggregates;
        q.scan.n_aggregates = 1;
        varve_heap_init(&heap, NULL, UINT64_MAX);
        must(rig_open(&table, &heap, &q, RIG_GROUPS, &cursor, &err) == VARVE_OK);
        while (rc == VARVE_OK)
            rc = varve_cursor_next(cursor, &view, &err);
        ck_assert_int_eq(rc, VARVE_ECORRUPT);
        varve_cursor_close(cursor);
        must(varve_heap_used(&heap) == 0);
        fake_table_free(&table);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan_groups");
    TCase *tcase = tcase_create("scan_groups");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, groups_are_those_of_the_model, 0, (int)rig_n_shapes);
    tcase_add_test(tcase, whole_vectors_are_answered_unread_unless_a_clause_forbids_it);
    tcase_add_test(tcase, aggregation_survives_every_failing_allocation_and_call);
    tcase_add_test(tcase, answers_do_not_depend_on_the_rounding_mode_and_leave_it_alone);
    tcase_add_test(tcase, groups_beyond_the_memory_limit_are_refused_clearly);
    tcase_add_test(tcase, a_bucket_for_each_moment_holds_all_times_there_are);
    tcase_add_test(tcase, buckets_floor_toward_minus_infinity_up_to_the_ends_of_int64);
    tcase_add_test(tcase, vector_with_times_outside_its_index_is_corrupt);
    tcase_add_test(tcase, mean_of_bare_decimals_is_the_exact_quotient_rounded_once);
    tcase_add_test(tcase, bucket_ends_are_where_a_linear_search_finds_them);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
