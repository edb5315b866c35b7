/*
 * test_mutex.c - mutex.c: exclusion, wake-ups, timeouts.
 */
#include "storage/base/mutex.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

#define THREADS 4
#define ROUNDS 20000

struct shared {
    struct varve_mutex mutex;
    struct varve_cond cond;
    uint64_t counter;
    int turn;
    bool go;
};

static void shared_init(struct shared *s)
{
    *s = (struct shared){.counter = 0};
    ck_assert_int_eq(varve_mutex_init(&s->mutex), 0);
    ck_assert_int_eq(varve_cond_init(&s->cond), 0);
}

static void shared_destroy(struct shared *s)
{
    varve_cond_destroy(&s->cond);
    varve_mutex_destroy(&s->mutex);
}

static void *count_up(void *ctx)
{
    struct shared *s = ctx;
    varve_mutex_lock(&s->mutex);
    while (!s->go)
        varve_cond_wait(&s->cond, &s->mutex);
    varve_mutex_unlock(&s->mutex);
    for (int i = 0; i < ROUNDS; i++) {
        varve_mutex_lock(&s->mutex);
        s->counter++;
        varve_mutex_unlock(&s->mutex);
    }
    return NULL;
}

START_TEST(broadcast_wakes_all_and_the_lock_excludes)
{
    struct shared s;
    pthread_t thread[THREADS];
    shared_init(&s);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_up, &s), 0);
    varve_mutex_lock(&s.mutex);
    s.go = true;
    varve_cond_broadcast(&s.cond);
    varve_mutex_unlock(&s.mutex);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_eq(s.counter, (uint64_t)THREADS * ROUNDS);
    shared_destroy(&s);
}
END_TEST

static void *answer(void *ctx)
{
    struct shared *s = ctx;
    varve_mutex_lock(&s->mutex);
    for (int i = 0; i < 1000; i++) {
        while (s->turn != 1)
            varve_cond_wait(&s->cond, &s->mutex);
        s->turn = 0;
        varve_cond_signal(&s->cond);
    }
    varve_mutex_unlock(&s->mutex);
    return NULL;
}

START_TEST(signals_pass_the_turn_to_and_fro)
{
    struct shared s;
    pthread_t thread;
    shared_init(&s);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer, &s), 0);
    varve_mutex_lock(&s.mutex);
    for (int i = 0; i < 1000; i++) {
        s.turn = 1;
        varve_cond_signal(&s.cond);
        while (s.turn != 0) /* a lost signal would show as a timeout here */
            ck_assert(varve_cond_wait_for(&s.cond, &s.mutex, 20000000));
    }
    varve_mutex_unlock(&s.mutex);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    shared_destroy(&s);
}
END_TEST

START_TEST(waiting_times_out_not_before_its_time)
{
    struct shared s;
    struct timespec a, b;
    shared_init(&s);
    varve_mutex_lock(&s.mutex);
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &a), 0);
    while (varve_cond_wait_for(&s.cond, &s.mutex, 30000)) {
    }
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &b), 0);
    const int64_t us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    ck_assert_int_ge(us, 29999);
    while (varve_cond_wait_for(&s.cond, &s.mutex, 0)) {
    }
    varve_mutex_unlock(&s.mutex);
    shared_destroy(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mutex");
    TCase *tc = tcase_create("mutex");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, broadcast_wakes_all_and_the_lock_excludes);
    tcase_add_test(tc, signals_pass_the_turn_to_and_fro);
    tcase_add_test(tc, waiting_times_out_not_before_its_time);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
