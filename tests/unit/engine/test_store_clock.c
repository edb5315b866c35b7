/*
 * test_store_clock.c - which clock a store believes when it is opened again: elapsed time within one
 * boot, else the wall clock if it has not moved too far.
 */
#include <errno.h>

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

static void add(TCase *cases)
{
    tcase_add_test(cases, within_one_boot_the_wall_clock_is_not_asked);
    tcase_add_test(cases, boots_that_are_unknown_are_different_boots);
}

int main(void)
{
    return sim_store_main("store_clock", add);
}
