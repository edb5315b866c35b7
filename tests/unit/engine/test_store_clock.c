/*
 * test_store_clock.c - which clock a store believes when it is opened again: elapsed time within one
 * boot, else the wall clock if it has not moved too far; and how far ahead of it a write may be.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/engine/sim_store.h"

#define DAY_US ((int64_t)86400 * 1000000)

/* Close, let the wall clock move by `wall_us` while a second passes, open again. */
static void reopen(struct sim_store *s, int64_t wall_us, bool boot_is_known)
{
    struct varve_clock_reading now;
    const struct varve_sim_fault unknown = {
        .classes = VARVE_SIM_RANDOM, .nth = 1, .times = 1, .error = EACCES};

    sim_store_close(s);
    s->vfs->ops->clock(s->vfs, &now);
    varve_sim_clock_set(s->sim, now.wall_us + wall_us, now.boot_us + 1000000);
    if (!boot_is_known) /* the boot's id is the first that an open asks for */
        ck_assert_int_eq(varve_sim_fault_add(s->sim, &unknown), 0);
    sim_store_open(s);
    varve_sim_fault_clear(s->sim);
}

START_TEST(within_one_boot_the_wall_clock_is_not_asked)
{
    struct sim_store s;

    sim_store_create(&s, 61);
    sim_store_open(&s);
    reopen(&s, 100 * DAY_US, true);
    ck_assert_uint_eq(sim_store_stats(&s).clock_suspect, 0);
    sim_store_destroy(&s);
}
END_TEST

/* Boots that cannot be told apart are not taken for one: their boot clocks say nothing together. */
START_TEST(boots_that_are_unknown_are_different_boots)
{
    struct sim_store s;

    sim_store_create(&s, 62);
    sim_store_open(&s);
    reopen(&s, 1000000, false); /* this open's id is not known, and is noted so at its end */
    ck_assert_uint_eq(sim_store_stats(&s).clock_suspect, 0);
    reopen(&s, 100 * DAY_US, false);
    ck_assert_uint_eq(sim_store_stats(&s).clock_suspect, 1);
    reopen(&s, -100 * DAY_US, false);
    ck_assert_uint_eq(sim_store_stats(&s).clock_suspect, 0);
    reopen(&s, 20 * DAY_US, true); /* known now, but not the boot of the last open */
    ck_assert_uint_eq(sim_store_stats(&s).clock_suspect, 0);
    sim_store_destroy(&s);
}
END_TEST

static varve_status put_at(struct sim_store *s, int64_t write_time, bool by_columns)
{
    const varve_put put = {.flags = VARVE_PUT_WRITE_TIME, .write_time = write_time};
    const varve_table *table = sim_store_handle(s, "t");
    const int64_t times[1] = {7}, numbers[1] = {21};
    const varve_array arrays[] = {{.column = 1, .values = times}, {.column = 2, .values = numbers}};
    varve_value row[3] = {{.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
    varve_batch *batch = NULL;

    row[1].as.i64 = times[0];
    row[2].as.i64 = numbers[0];
    ck_assert_int_eq(varve_batch_new(s->store, &batch, NULL), VARVE_OK);
    const varve_status rc =
        by_columns ? varve_batch_put_columns(batch, table, row, arrays, 2, 1, &put, &s->err)
                   : varve_batch_put_row(batch, table, row, 3, &put, &s->err);
    ck_assert_uint_eq(varve_batch_rows(batch), rc == VARVE_OK ? 1 : 0);
    if (rc == VARVE_OK)
        ck_assert_int_eq(varve_commit(s->store, batch, VARVE_POLICY_DEFAULT, NULL, NULL), VARVE_OK);
    varve_batch_free(batch);
    return rc;
}

/* A table allows an hour. What lies further ahead would win over every write until then. */
START_TEST(a_write_time_too_far_ahead_is_refused) /* loop test: by rows, by columns */
{
    const int64_t hour_us = INT64_C(3600) * 1000000;
    struct sim_store s;
    struct varve_clock_reading now;

    sim_store_create(&s, 63);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    s.vfs->ops->clock(s.vfs, &now);
    varve_sim_clock_set(s.sim, now.wall_us, now.boot_us); /* it stands still between operations */
    const int64_t last = now.wall_us + hour_us;
    ck_assert_int_eq(put_at(&s, INT64_MAX, _i == 1), VARVE_EINVAL);
    ck_assert_ptr_nonnull(strstr(s.err.message, "max_clock_skew"));
    ck_assert_int_eq(put_at(&s, last + 1, _i == 1), VARVE_EINVAL);
    ck_assert_int_eq(sim_store_count(&s, "t"), 0);
    s.vfs->ops->clock(s.vfs, &now);
    ck_assert_int_eq(put_at(&s, now.wall_us + hour_us, _i == 1), VARVE_OK);
    s.vfs->ops->clock(s.vfs, &now);
    const int64_t ahead = now.wall_us + hour_us + 500000;
    ck_assert_int_eq(put_at(&s, ahead, _i == 1), VARVE_EINVAL);
    varve_sim_clock_advance(s.sim, 500000);
    ck_assert_int_eq(put_at(&s, ahead, _i == 1), VARVE_OK);
    varve_sim_clock_advance(s.sim, -DAY_US); /* the clock is set back: yesterday's now is too far */
    ck_assert_int_eq(put_at(&s, ahead - hour_us, _i == 1), VARVE_EINVAL);
    ck_assert_int_eq(put_at(&s, 1, _i == 1), VARVE_OK); /* the past is always taken */
    ck_assert_int_eq(sim_store_count(&s, "t"), 1);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_write_time_too_far_ahead_is_refused, 0, 2);
    tcase_add_test(cases, within_one_boot_the_wall_clock_is_not_asked);
    tcase_add_test(cases, boots_that_are_unknown_are_different_boots);
}

int main(void)
{
    return sim_store_main("store_clock", add);
}
