/*
 * test_window.c - event-time windows: aligned, nested, without gap or overlap up to the ends of
 * int64, and never more of them than a flush has files.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/rng.h"
#include "storage/engine/window_int.h"

#define TRIALS 20000

static const char *const units[] = {"timestamp(s", "timestamp(ms", "timestamp(us", "timestamp(ns",
                                    "date",        "time",         "bigint",       "int"};
static const int64_t ticks[] = {1, 1000, 1000000, 1000000000, 1, 1000000000, 1, 1};

static struct varve_schema *schema_of(const char *type)
{
    varve_schema *schema = NULL;
    varve_error err = {.status = VARVE_OK};
    const char *unit = strchr(type, '(');
    char text[128];

    (void)snprintf(text, sizeof text, "CREATE TABLE t (k int, x %.*s, PRIMARY KEY ((k), x))%s%s%s",
                   (int)strcspn(type, "("), type, unit != NULL ? " WITH clustering_unit = '" : "",
                   unit != NULL ? unit + 1 : "", unit != NULL ? "'" : "");
    ck_assert_msg(varve_schema_parse(text, &schema, &err) == VARVE_OK, "%s: %s", type, err.message);
    return schema;
}

/* Numbers of every magnitude and both signs, the extremes among them. */
static int64_t any_time(struct varve_rng *rng)
{
    const uint64_t bits = varve_rng_next(rng);
    const uint32_t kind = (uint32_t)(varve_rng_next(rng) % 70);

    if (kind == 64)
        return INT64_MIN + (int64_t)(bits % 3);
    if (kind == 65)
        return INT64_MAX - (int64_t)(bits % 3);
    if (kind > 65)
        return (int64_t)(bits % 5) - 2;
    return (int64_t)bits >> (kind % 64);
}

static int64_t any_length(struct varve_rng *rng)
{
    const uint32_t shift = (uint32_t)(varve_rng_next(rng) % 63);
    const int64_t length = (int64_t)((varve_rng_next(rng) >> 1) >> shift);

    return length > 0 ? length : 1;
}

static void check_window(int64_t time, int64_t length)
{
    const struct varve_window w = varve_window_of(time, length);

    ck_assert_int_le(w.start, time);
    ck_assert(time < w.end || (w.end == INT64_MAX && time == INT64_MAX));
    ck_assert_uint_le((uint64_t)w.end - (uint64_t)w.start, (uint64_t)length);
    if (w.start != INT64_MIN)
        ck_assert_int_eq(w.start % length, 0);
    if (w.end != INT64_MAX) {
        ck_assert_int_eq(w.end % length, 0);
        ck_assert_int_eq(varve_window_of(w.end, length).start, w.end);
        ck_assert_int_eq(varve_window_of(w.end - 1, length).start, w.start);
    }
    if (w.start != INT64_MIN)
        ck_assert_int_eq(varve_window_of(w.start - 1, length).end, w.start);
    if (length < INT64_MAX / 8) { /* nested */
        const struct varve_window outer = varve_window_of(time, length * 8);
        ck_assert_int_le(outer.start, w.start);
        ck_assert_int_ge(outer.end, w.end);
    }
}

START_TEST(windows_are_aligned_nested_and_leave_no_gap)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, 1);
    for (int i = 0; i < TRIALS; i++)
        check_window(any_time(&rng), any_length(&rng));
    const int64_t lengths[] = {1, 2, 3, 3600, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};
    const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t j = 0; j < sizeof times / sizeof times[0]; j++)
            check_window(times[j], lengths[i]);
}
END_TEST

START_TEST(unit_of_the_column_counts)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct varve_schema *schema = schema_of(units[i]);
        ck_assert_int_eq(varve_ticks_per_second(schema), ticks[i]);
        varve_schema_free(schema);
    }
}
END_TEST

/* Windows of [from, to] under a plan, counted. */
static uint64_t windows(const struct varve_window_plan *plan, int64_t from, int64_t to)
{
    if (plan->length == INT64_MAX)
        return 1;
    const int64_t a = varve_window_of(from, plan->length).start;
    const int64_t b = varve_window_of(to, plan->length).start;
    return ((uint64_t)b - (uint64_t)a + (uint64_t)plan->length - 1) / (uint64_t)plan->length + 1;
}

START_TEST(flush_has_at_most_fifteen_windows)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, 2);
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        struct varve_schema *schema = schema_of(units[u]);
        for (int i = 0; i < TRIALS / 8; i++) {
            const int64_t a = any_time(&rng), b = any_time(&rng);
            const int64_t first = a < b ? a : b, last = a < b ? b : a;
            const uint64_t seconds =
                i % 3 == 0 ? 0 : varve_rng_next(&rng) % ((uint64_t)INT64_MAX / 1000000000u);
            const int64_t now = i % 5 == 0 ? any_time(&rng) / 1000000 : 1700000000;
            const struct varve_window_plan plan = varve_window_plan_of(
                schema, first, last, varve_rng_next(&rng) >> (i % 60), seconds, now);
            ck_assert_int_gt(plan.length, 0);
            ck_assert_int_le(plan.low, plan.high);
            const int64_t from = first > plan.low ? first : plan.low;
            const int64_t to = last < plan.high ? last : plan.high;
            if (from <= to)
                ck_assert_uint_le(windows(&plan, from, to), VARVE_FLUSH_WINDOWS - 1);
        }
        varve_schema_free(schema);
    }
}
END_TEST

START_TEST(given_window_is_kept_where_it_fits)
{
    struct varve_schema *schema = schema_of("timestamp(ms");
    struct varve_schema *dates = schema_of("date");
    const int64_t now = 1700000000;
    const int64_t day = 86400;

    struct varve_window_plan plan =
        varve_window_plan_of(schema, now * 1000, (now + 5 * day) * 1000, 100, (uint64_t)day, now);
    ck_assert_int_eq(plan.length, day * 1000);
    plan =
        varve_window_plan_of(schema, now * 1000, (now + 100 * day) * 1000, 100, (uint64_t)day, now);
    ck_assert_int_eq(plan.length, 8 * day * 1000);
    plan = varve_window_plan_of(dates, 19000, 19005, 100, (uint64_t)day, now);
    ck_assert_int_eq(plan.length, 1);
    plan = varve_window_plan_of(dates, 19000, 19005, 100, 60, now); /* not below a day */
    ck_assert_int_eq(plan.length, 1);
    varve_schema_free(schema);
    varve_schema_free(dates);
}
END_TEST

#define MIB ((uint64_t)1 << 20)
#define MANY ((uint64_t)1 << 40) /* bytes: enough for windows of any length */
#define HOUR ((int64_t)3600 * 1000)

/* An hour, or a power of eight times that: the first in which at least 64 MiB are in a window, where
 * files take a third of what the rows do, and which cuts the rows, wherever they begin, into at most
 * fifteen. */
START_TEST(window_is_chosen_by_bytes_and_number)
{
    static const struct {
        const char *type;
        int64_t last; /* the first is 0 */
        uint64_t bytes;
        int64_t length;
    } cases[] = {
        {"timestamp(ms", HOUR - 1, 192 * MIB, HOUR},
        {"timestamp(ms", HOUR - 1, 191 * MIB, 8 * HOUR},
        {"timestamp(ms", 12 * HOUR - 1, 12 * 192 * MIB, HOUR},
        {"timestamp(ms", 12 * HOUR - 1, 12 * 191 * MIB, 8 * HOUR},
        {"timestamp(ms", 12 * HOUR - 1, 12 * 24 * MIB, 8 * HOUR},
        {"timestamp(ms", 12 * HOUR - 1, 12 * 23 * MIB, 64 * HOUR},
        {"timestamp(ms", 999, 100, 4096 * HOUR}, /* a second: 34 bytes, 1.8 million times */
        {"timestamp(ms", 14 * HOUR - 1, MANY, HOUR},
        {"timestamp(ms", 14 * HOUR, MANY, 8 * HOUR},
        {"timestamp(ms", 14 * 8 * HOUR - 1, MANY, 8 * HOUR},
        {"timestamp(ms", 14 * 8 * HOUR, MANY, 64 * HOUR},
        {"timestamp(s", 3599, 192 * MIB, 3600},
        {"timestamp(ns", HOUR * 1000000 - 1, 192 * MIB, HOUR * 1000000},
        {"bigint", 3599, 191 * MIB, 8 * 3600}, /* counts as seconds */
        {"date", 13, MANY, 1},                 /* days, not hours */
        {"date", 14, MANY, 8},
        {"date", 0, 24 * MIB, 8},
        {"date", 0, 23 * MIB, 64},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct varve_schema *schema = schema_of(cases[i].type);
        const struct varve_window_plan plan =
            varve_window_plan_of(schema, 0, cases[i].last, cases[i].bytes, 0, 1700000000);
        ck_assert_msg(plan.length == cases[i].length, "case %zu: %lld", i, (long long)plan.length);
        varve_schema_free(schema);
    }
}
END_TEST

START_TEST(times_a_century_away_are_outliers)
{
    const int64_t now = 1700000000, century = (int64_t)36500 * 86400;

    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        struct varve_schema *schema = schema_of(units[u]);
        const struct varve_window_plan plan =
            varve_window_plan_of(schema, INT64_MIN, INT64_MAX, 1, 0, now);
        if (u < 4) {
            ck_assert_int_eq(plan.low, (now - century) * ticks[u]);
            ck_assert_int_eq(plan.high, (now + century) * ticks[u]);
        } else if (u == 4) {
            ck_assert_int_eq(plan.low, (now - century) / 86400);
            ck_assert_int_eq(plan.high, (now + century) / 86400);
        } else {
            ck_assert_int_eq(plan.low, INT64_MIN);
            ck_assert_int_eq(plan.high, INT64_MAX);
        }
        varve_schema_free(schema);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("window");
    TCase *cases = tcase_create("window");

    tcase_add_test(cases, windows_are_aligned_nested_and_leave_no_gap);
    tcase_add_test(cases, unit_of_the_column_counts);
    tcase_add_test(cases, flush_has_at_most_fifteen_windows);
    tcase_add_test(cases, given_window_is_kept_where_it_fits);
    tcase_add_test(cases, window_is_chosen_by_bytes_and_number);
    tcase_add_test(cases, times_a_century_away_are_outliers);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
