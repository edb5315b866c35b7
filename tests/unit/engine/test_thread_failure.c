/*
 * test_thread_failure.c - threads that cannot be made when a store is opened: without any, the open
 * fails and leaves nothing behind; with fewer than asked for it works.
 *
 * pthread_create() is wrapped by the linker (see meson.build).
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/lib/fault.h"
#include "tests/lib/scratch.h"
#include "tests/unit/engine/sim_store.h"

#define THREADS 4

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

static int may_make; /* threads, before they fail */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return may_make-- > 0 ? __real_pthread_create(thread, attributes, run, argument) : EAGAIN;
}

START_TEST(a_store_opens_with_at_least_one_of_its_threads) /* _i can be made */
{
    struct scratch scratch;
    struct fault fault;
    struct sim_store s = {.store = NULL}; /* on the real disk: no sim */

    scratch_create(&scratch);
    fault_init(&fault, FAULT_NEVER, FAULT_ONCE);
    varve_options_init(&s.options, sizeof s.options);
    s.options.allocator = &fault.allocator;
    s.options.flags = VARVE_OPEN_CREATE;
    s.options.io_backend = VARVE_IO_POSIX;
    s.options.background_threads = THREADS;
    may_make = _i;
    const varve_status rc = varve_open(scratch.path, &s.options, &s.store, &s.err);
    if (_i == 0) {
        ck_assert_int_lt(rc, 0);
        ck_assert_int_eq(s.err.os_code, EAGAIN);
        ck_assert_ptr_nonnull(strstr(s.err.message, "thread"));
        ck_assert_uint_eq(fault_live(&fault), 0);
        may_make = THREADS; /* and nothing keeps the store from being opened later */
        ck_assert_int_eq(varve_open(scratch.path, &s.options, &s.store, &s.err), VARVE_OK);
    }
    ck_assert_ptr_nonnull(s.store);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, 50, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 1000);
    varve_close(s.store);
    ck_assert_uint_eq(fault_live(&fault), 0);
    scratch_remove(&scratch);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_store_opens_with_at_least_one_of_its_threads, 0, THREADS + 1);
}

int main(void)
{
    return sim_store_main("thread_failure", add);
}
