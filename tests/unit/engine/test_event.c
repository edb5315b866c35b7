/*
 * test_event.c - the descriptor that is readable while completions wait. The simulated disk has
 * none to offer; here one is put in, whose state the test can see.
 */
#include <poll.h>
#include <string.h>

#include "tests/lib/scratch.h"
#include "tests/unit/engine/sim_store.h"

#define EVENT_FD 1234

/* The descriptor: one a test program, since the operations are given nothing else. */
static struct {
    bool readable;
    int signals, drains, closes;
} event;

static int event_open(struct varve_vfs *vfs)
{
    (void)vfs;
    return EVENT_FD;
}

static void event_signal(struct varve_vfs *vfs, int fd)
{
    (void)vfs;
    ck_assert_int_eq(fd, EVENT_FD);
    event.readable = true;
    event.signals++;
}

static void event_drain(struct varve_vfs *vfs, int fd)
{
    (void)vfs;
    ck_assert_int_eq(fd, EVENT_FD);
    event.readable = false;
    event.drains++;
}

static void event_close(struct varve_vfs *vfs, int fd)
{
    (void)vfs;
    ck_assert_int_eq(fd, EVENT_FD);
    event.closes++;
}

/* The store's disk with an event; `ops` lives as long as the disk is used. */
static void add_event(struct sim_store *s, struct varve_vfs_ops *ops)
{
    memset(&event, 0, sizeof event);
    *ops = *s->vfs->ops;
    ops->event_open = event_open;
    ops->event_signal = event_signal;
    ops->event_drain = event_drain;
    ops->event_close = event_close;
    s->vfs->ops = ops;
}

static void start(struct sim_store *s, int k, uint64_t tag)
{
    ck_assert_int_eq(varve_commit_start(s->store, sim_store_batch(s, "t", k, 0, 5),
                                        VARVE_POLICY_DURABLE_GROUP, tag, &s->err),
                     VARVE_OK);
}

START_TEST(it_is_readable_exactly_while_completions_wait)
{
    struct sim_store s;
    struct varve_vfs_ops ops;
    varve_completion done;

    sim_store_create(&s, 81);
    add_event(&s, &ops);
    sim_store_open(&s);
    ck_assert_int_eq(varve_event_fd(s.store), EVENT_FD);
    sim_store_table(&s, "t", "upsert"); /* blocking calls signal nobody */
    ck_assert_int_eq(sim_store_put(&s, "t", 9, 0, 5, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert(!event.readable);
    for (int round = 1; round <= 3; round++) {
        for (uint64_t tag = 0; tag < 4; tag++)
            start(&s, (int)tag, tag);
        sim_store_work(&s);
        ck_assert(event.readable);
        for (uint64_t tag = 0; tag < 4; tag++) {
            ck_assert(event.readable);
            ck_assert_uint_eq(varve_commit_reap(s.store, &done, 1), 1);
            ck_assert_uint_eq(done.tag, tag);
            varve_batch_free(done.batch);
        }
        ck_assert(!event.readable);
        ck_assert_int_eq(event.drains, round);
        ck_assert_uint_eq(varve_commit_reap(s.store, &done, 1), 0);
        ck_assert_int_eq(event.drains, round); /* there was nothing in it */
    }
    start(&s, 1, 0); /* left over */
    sim_store_work(&s);
    ck_assert(event.readable);
    sim_store_destroy(&s);
    ck_assert_int_eq(event.closes, 1);
}
END_TEST

START_TEST(a_failed_store_signals_what_it_gives_up)
{
    struct sim_store s;
    struct varve_vfs_ops ops;
    varve_completion done;

    sim_store_create(&s, 82);
    add_event(&s, &ops);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    const struct varve_sim_fault fault = {.classes = VARVE_SIM_WRITE_DSYNC | VARVE_SIM_SYNC,
                                          .nth = 1,
                                          .times = UINT64_MAX,
                                          .error = 5};
    ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
    start(&s, 1, 7);
    for (int i = 0; i < 100 && !event.readable; i++)
        (void)varve_work(s.store, 1000, NULL);
    ck_assert(event.readable);
    ck_assert_uint_eq(varve_commit_reap(s.store, &done, 1), 1);
    ck_assert_uint_eq(done.tag, 7);
    ck_assert_int_lt(done.status, 0);
    ck_assert_uint_eq(varve_batch_rows(done.batch), 5);
    varve_batch_free(done.batch);
    ck_assert(!event.readable);
    sim_store_destroy(&s);
}
END_TEST

static bool poll_now(int fd, int timeout_ms)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};

    return poll(&wanted, 1, timeout_ms) == 1 && (wanted.revents & POLLIN) != 0;
}

START_TEST(the_real_descriptor_can_be_polled)
{
    struct scratch scratch;
    struct sim_store s = {.store = NULL}; /* on the real disk: no sim */
    varve_completion done[8];
    uint32_t n = 0;

    scratch_create(&scratch);
    varve_options_init(&s.options, sizeof s.options);
    s.options.flags = VARVE_OPEN_CREATE;
    s.options.io_backend = VARVE_IO_POSIX;
    ck_assert_int_eq(varve_open(scratch.path, &s.options, &s.store, &s.err), VARVE_OK);
    const int fd = varve_event_fd(s.store);
    ck_assert_int_ge(fd, 0);
    sim_store_table(&s, "t", "upsert");
    ck_assert(!poll_now(fd, 0));
    for (uint64_t tag = 0; tag < 8; tag++)
        start(&s, (int)tag, tag);
    while (n < 8) {
        ck_assert(poll_now(fd, 20000));
        const uint32_t got = varve_commit_reap(s.store, done + n, 8 - n);
        ck_assert_uint_gt(got, 0);
        n += got;
    }
    ck_assert(!poll_now(fd, 0));
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(done[i].status, VARVE_OK);
        varve_batch_free(done[i].batch);
    }
    varve_close(s.store);
    scratch_remove(&scratch);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, it_is_readable_exactly_while_completions_wait);
    tcase_add_test(cases, a_failed_store_signals_what_it_gives_up);
    tcase_add_test(cases, the_real_descriptor_can_be_polled);
}

int main(void)
{
    return sim_store_main("event", add);
}
