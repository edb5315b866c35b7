/*
 * test_pressure.c - commits are slowed by a little, early, as memtables wait to be flushed, never beyond
 * their limit, and the statistics say how long.
 */
#include "storage/engine/pressure_int.h"
#include "tests/unit/engine/sim_store.h"

#define MEMTABLE ((uint64_t)1 << 20)
#define HARD (2 * MEMTABLE)
#define SOFT (HARD / 4 * 3)
#define ROWS 200
#define ROW_BYTES 64 /* more than a row takes in memory */

START_TEST(the_delay_grows_from_nothing_to_two_milliseconds)
{
    uint64_t before = 0;

    ck_assert_uint_eq(varve_pressure_delay_us(0, HARD), 0);
    ck_assert_uint_eq(varve_pressure_delay_us(SOFT, HARD), 0);
    for (uint64_t bytes = SOFT; bytes <= HARD; bytes += 512) {
        const uint64_t us = varve_pressure_delay_us(bytes, HARD);
        ck_assert_uint_ge(us, before);
        ck_assert_uint_le(us - before, 3); /* no step: 2,000 us over 512 KiB */
        before = us;
    }
    ck_assert_uint_eq(varve_pressure_delay_us((SOFT + HARD) / 2, HARD), 1000);
    ck_assert_uint_eq(varve_pressure_delay_us(HARD, HARD), VARVE_PRESSURE_DELAY_MAX_US);
    ck_assert_uint_eq(varve_pressure_delay_us(UINT64_MAX, HARD), VARVE_PRESSURE_DELAY_MAX_US);
}
END_TEST

struct stalls {
    uint64_t n, total, worst;
    uint64_t first_debt; /* bytes waiting when a commit was first held back */
    uint64_t most_debt;
};

/* Commit, `commits` times, while nobody calls varve_work(): only commits make room. */
static struct stalls load(struct sim_store *s, int commits, varve_policy policy)
{
    struct stalls seen = {0};
    varve_stats before = sim_store_stats(s);

    for (int i = 0; i < commits; i++) {
        ck_assert_int_eq(sim_store_put(s, "t", i % 7, (int64_t)i * ROWS, ROWS, policy), VARVE_OK);
        const varve_stats after = sim_store_stats(s);
        const uint64_t us = after.stall_us_total - before.stall_us_total;
        if (us > 0 && seen.n++ == 0)
            seen.first_debt = before.memtable_bytes;
        if (before.memtable_bytes <= SOFT - ROWS * ROW_BYTES)
            ck_assert_uint_eq(us, 0);
        seen.total += us;
        seen.worst = us > seen.worst ? us : seen.worst;
        seen.most_debt =
            after.memtable_bytes > seen.most_debt ? after.memtable_bytes : seen.most_debt;
        before = after;
    }
    return seen;
}

START_TEST(writers_are_held_back_before_the_limit_and_the_worst_stall_is_told)
{
    struct sim_store s;

    sim_store_create(&s, 91);
    s.options.memtable_bytes = MEMTABLE;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    const struct stalls seen = load(&s, 1500, VARVE_POLICY_OS);
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_gt(stats.flushes, 3);
    ck_assert_uint_gt(seen.n, 3);
    ck_assert_uint_gt(seen.first_debt, SOFT - ROWS * ROW_BYTES); /* not at once, */
    ck_assert_uint_lt(seen.first_debt, HARD);                    /* and not only at the limit */
    ck_assert_uint_le(seen.most_debt, HARD);
    ck_assert_uint_eq(stats.stall_us_total, seen.total);
    ck_assert_uint_eq(stats.stall_us_worst, seen.worst);
    /* An operation of this disk takes 1 us: the worst is one flush of one memtable, not of several. */
    ck_assert_uint_lt(stats.stall_us_worst, 2000);
    ck_assert_int_eq(sim_store_count(&s, "t"), 1500 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* Who flushes in time is never held back. */
START_TEST(writers_that_leave_time_for_flushes_never_wait)
{
    struct sim_store s;

    sim_store_create(&s, 92);
    s.options.memtable_bytes = MEMTABLE;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int round = 0; round < 60; round++) {
        (void)load(&s, 20, VARVE_POLICY_OS);
        sim_store_work(&s);
    }
    ck_assert_uint_gt(sim_store_stats(&s).flushes, 2);
    ck_assert_uint_eq(sim_store_stats(&s).stall_us_total, 0);
    ck_assert_uint_eq(sim_store_stats(&s).stall_us_worst, 0);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, the_delay_grows_from_nothing_to_two_milliseconds);
    tcase_add_test(cases, writers_are_held_back_before_the_limit_and_the_worst_stall_is_told);
    tcase_add_test(cases, writers_that_leave_time_for_flushes_never_wait);
}

int main(void)
{
    return sim_store_main("pressure", add);
}
