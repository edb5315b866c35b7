/*
 * test_commit_lane.c - commits in flight whose outcome is known late: what is tried again, what is
 * reported, and of which batch. The store is a script (the linker puts it in the library's place).
 */
#include <check.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tools/varve/commit_lane.h"

#define BATCHES 8
#define ROWS 10

#define AT_ONCE(failure) ((varve_status)((int)(failure)-100))

struct varve_batch {
    uint64_t rows;
};

static struct {
    varve_batch batches[BATCHES];
    int n_batches;
    int n_made, made_max; /* since the test began */
    int event;
    const varve_status *started; /* of each start: AT_ONCE(failure), or how it will complete */
    const varve_status *waited;  /* of each commit that waits */
    varve_completion flying[BATCHES];
    uint32_t n_flying;
} store;

varve_status __wrap_varve_batch_new(varve_store *, varve_batch **, varve_error *);
void __wrap_varve_batch_free(varve_batch *);
void __wrap_varve_batch_clear(varve_batch *);
uint64_t __wrap_varve_batch_rows(const varve_batch *);
int __wrap_varve_event_fd(varve_store *);
varve_status __wrap_varve_commit(varve_store *, varve_batch *, varve_policy, uint64_t *,
                                 varve_error *);
varve_status __wrap_varve_commit_start(varve_store *, varve_batch *, varve_policy, uint64_t,
                                       varve_error *);
uint32_t __wrap_varve_commit_reap(varve_store *, varve_completion *, uint32_t);

static varve_status failed(varve_status status, varve_error *err)
{
    *err = (varve_error){.status = status};
    return status;
}

varve_status __wrap_varve_batch_new(varve_store *s, varve_batch **ret_batch, varve_error *err)
{
    (void)s;
    if (store.n_made == store.made_max)
        return failed(VARVE_ELIMIT, err);
    store.n_made++;
    *ret_batch = &store.batches[store.n_batches++];
    return VARVE_OK;
}

void __wrap_varve_batch_free(varve_batch *batch)
{
    (void)batch;
    store.n_batches--;
}

void __wrap_varve_batch_clear(varve_batch *batch)
{
    batch->rows = 0;
}

uint64_t __wrap_varve_batch_rows(const varve_batch *batch)
{
    return batch->rows;
}

int __wrap_varve_event_fd(varve_store *s)
{
    (void)s;
    return store.event;
}

varve_status __wrap_varve_commit(varve_store *s, varve_batch *batch, varve_policy policy,
                                 uint64_t *ret_lsn, varve_error *err)
{
    const varve_status status = *store.waited++;

    (void)s;
    (void)policy;
    (void)ret_lsn;
    ck_assert_uint_eq(store.n_flying, 0); /* it is behind everything that was started */
    ck_assert_uint_gt(batch->rows, 0);
    if (status < 0)
        return failed(status, err);
    batch->rows = 0;
    return VARVE_OK;
}

varve_status __wrap_varve_commit_start(varve_store *s, varve_batch *batch, varve_policy policy,
                                       uint64_t tag, varve_error *err)
{
    const varve_status status = *store.started++;

    (void)s;
    (void)policy;
    if (status < AT_ONCE(0))
        return failed((varve_status)((int)status - (int)AT_ONCE(0)), err);
    store.flying[store.n_flying++] =
        (varve_completion){.tag = tag, .status = status, .row = UINT64_MAX, .batch = batch};
    return VARVE_OK;
}

uint32_t __wrap_varve_commit_reap(varve_store *s, varve_completion *out, uint32_t max)
{
    const uint32_t n = store.n_flying;

    (void)s;
    ck_assert_uint_le(n, max);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = store.flying[i];
        if (out[i].status == VARVE_OK)
            out[i].batch->rows = 0;
    }
    store.n_flying = 0;
    return n;
}

static struct commit_lane lane;
static varve_error err;

static void set_up(void)
{
    store.event = eventfd(1, 0); /* always readable */
    store.made_max = INT_MAX;
    ck_assert_int_ge(store.event, 0);
    ck_assert_int_eq(commit_lane_init(&lane, NULL, VARVE_POLICY_DEFAULT, &err), VARVE_OK);
}

static void tear_down(void)
{
    commit_lane_free(&lane);
    ck_assert_int_eq(store.n_batches, 0);
    close(store.event);
}

static varve_batch *next_batch(void)
{
    varve_batch *batch = NULL;

    ck_assert_int_eq(commit_lane_batch(&lane, &batch, &err), VARVE_OK);
    ck_assert_uint_eq(batch->rows, 0);
    batch->rows = ROWS;
    return batch;
}

static varve_status start(void)
{
    return commit_lane_start(&lane, next_batch(), &err);
}

/* The third has nothing to do with it, although its call tells. */
START_TEST(a_failure_that_another_overtook_is_told_as_that_of_an_earlier_batch)
{
    static const varve_status started[] = {VARVE_ELIMIT, VARVE_OK, AT_ONCE(VARVE_EAGAIN)};

    store.started = started;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_ELIMIT);
    ck_assert(commit_lane_lost(&lane));
    ck_assert_uint_eq(commit_lane_rows(&lane), ROWS);
}
END_TEST

START_TEST(a_failure_that_comes_again_is_told_as_that_of_an_earlier_batch)
{
    static const varve_status started[] = {VARVE_ELIMIT, AT_ONCE(VARVE_EAGAIN)};
    static const varve_status waited[] = {VARVE_ELIMIT};

    store.started = started;
    store.waited = waited;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_ELIMIT);
    ck_assert(commit_lane_lost(&lane));
    ck_assert_uint_eq(commit_lane_rows(&lane), 0);
}
END_TEST

START_TEST(a_failure_that_does_not_come_again_is_none)
{
    static const varve_status started[] = {VARVE_ELIMIT, AT_ONCE(VARVE_EAGAIN)};
    static const varve_status waited[] = {VARVE_OK, VARVE_OK};

    store.started = started;
    store.waited = waited;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert(!commit_lane_lost(&lane));
    ck_assert_uint_eq(commit_lane_rows(&lane), 2 * ROWS);
}
END_TEST

START_TEST(a_refusal_of_the_batch_itself_loses_nothing)
{
    static const varve_status started[] = {VARVE_OK, AT_ONCE(VARVE_EAGAIN)};
    static const varve_status waited[] = {VARVE_EEXISTS, VARVE_EEXISTS, VARVE_OK};

    store.started = started;
    store.waited = waited;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_EEXISTS);
    ck_assert_int_eq(commit_lane_run(&lane, next_batch(), &err), VARVE_EEXISTS);
    ck_assert(!commit_lane_lost(&lane));
    ck_assert_uint_eq(commit_lane_rows(&lane), ROWS);
    ck_assert_int_eq(commit_lane_run(&lane, next_batch(), &err), VARVE_OK);
    ck_assert_uint_eq(commit_lane_rows(&lane), 2 * ROWS);
}
END_TEST

/* The call that waits lets a flush give memory back. */
START_TEST(a_start_that_finds_no_memory_becomes_a_commit_that_waits)
{
    static const varve_status started[] = {VARVE_OK, AT_ONCE(VARVE_ELIMIT), AT_ONCE(VARVE_ELIMIT)};
    static const varve_status waited[] = {VARVE_OK, VARVE_ELIMIT};

    store.started = started;
    store.waited = waited;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_uint_eq(commit_lane_rows(&lane), 2 * ROWS);
    ck_assert_int_eq(start(), VARVE_ELIMIT); /* and if there is none even then: of that batch */
    ck_assert(!commit_lane_lost(&lane));
    ck_assert_uint_eq(commit_lane_rows(&lane), 2 * ROWS);
}
END_TEST

START_TEST(relief_commits_what_was_started_and_makes_new_batches)
{
    static const varve_status started[] = {VARVE_OK, VARVE_ELIMIT, VARVE_OK};
    static const varve_status waited[] = {VARVE_OK};

    store.started = started;
    store.waited = waited;
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(start(), VARVE_OK);
    ck_assert_int_eq(commit_lane_relieve(&lane, &err), VARVE_OK);
    ck_assert_uint_eq(commit_lane_rows(&lane), 2 * ROWS);
    ck_assert_int_eq(store.n_made, 2 * (int)COMMIT_LANE_BATCHES);
    ck_assert_int_eq(store.n_batches, (int)COMMIT_LANE_BATCHES);
    ck_assert_int_eq(start(), VARVE_OK);
}
END_TEST

START_TEST(relief_that_finds_no_memory_leaves_a_lane_to_be_freed)
{
    static const varve_status started[] = {VARVE_OK};

    store.started = started;
    ck_assert_int_eq(start(), VARVE_OK);
    store.made_max = (int)COMMIT_LANE_BATCHES + _i;
    ck_assert_int_eq(commit_lane_relieve(&lane, &err), VARVE_ELIMIT);
    ck_assert_int_eq(commit_lane_drain(&lane, &err), VARVE_OK);
    ck_assert_uint_eq(commit_lane_rows(&lane), ROWS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("commit_lane");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_failure_that_another_overtook_is_told_as_that_of_an_earlier_batch);
    tcase_add_test(cases, a_failure_that_comes_again_is_told_as_that_of_an_earlier_batch);
    tcase_add_test(cases, a_failure_that_does_not_come_again_is_none);
    tcase_add_test(cases, a_refusal_of_the_batch_itself_loses_nothing);
    tcase_add_test(cases, a_start_that_finds_no_memory_becomes_a_commit_that_waits);
    tcase_add_test(cases, relief_commits_what_was_started_and_makes_new_batches);
    tcase_add_loop_test(cases, relief_that_finds_no_memory_leaves_a_lane_to_be_freed, 0,
                        (int)COMMIT_LANE_BATCHES);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
