/*
 * test_pressure.c - commits are slowed by a little, early, as memtables wait to be flushed, never beyond
 * their limit, and the statistics say how long; with several writers and threads, too.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/pressure_int.h"
#include "storage/manifest/manifest.h"
#include "storage/vfs/vfs.h"
#include "tests/lib/scratch.h"
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

/* ---- a store with threads, whose flushes are held up ---- */

/* A real disk; a flush that wants to make a file waits, or fails. There is room for some log segments. */
static struct {
    const struct varve_vfs_ops *real;
    struct varve_vfs_ops ops;
    _Atomic(bool) waits;
    _Atomic(int) failures; /* to come */
    _Atomic(int) segments, segments_made, segments_max;
} held;

#define FOR_EVER 1000000

static int held_open(struct varve_vfs *vfs, const char *name, uint32_t flags,
                     struct varve_file **ret_file)
{
    uint64_t id;

    if (varve_file_name_parse(name, &id) == VARVE_FILE_SST && (flags & VARVE_FILE_CREATE) != 0) {
        while (atomic_load(&held.waits))
            usleep(1000);
        if (atomic_fetch_sub(&held.failures, 1) > 0)
            return -EIO;
    }
    const int rc = held.real->open(vfs, name, flags, ret_file);
    if (rc < 0 || varve_file_name_parse(name, &id) != VARVE_FILE_WAL ||
        (flags & VARVE_FILE_CREATE) == 0)
        return rc;
    atomic_fetch_add(&held.segments, 1);
    atomic_fetch_add(&held.segments_made, 1);
    return rc;
}

static int held_allocate(struct varve_file *file, uint64_t size)
{
    return atomic_load(&held.segments) > atomic_load(&held.segments_max)
               ? -ENOSPC
               : held.real->allocate(file, size);
}

static int held_unlink(struct varve_vfs *vfs, const char *name)
{
    uint64_t id;
    const int rc = held.real->unlink(vfs, name);

    if (rc >= 0 && varve_file_name_parse(name, &id) == VARVE_FILE_WAL)
        atomic_fetch_sub(&held.segments, 1);
    return rc;
}

static void open_held(struct sim_store *s, struct scratch *scratch, uint32_t segment_bytes)
{
    static struct varve_heap heap;

    *s = (struct sim_store){.store = NULL}; /* no sim */
    varve_heap_init(&heap, NULL, UINT64_MAX);
    scratch_create(scratch);
    const struct varve_vfs_options options = {.heap = &heap};
    ck_assert_int_eq(varve_vfs_posix_create(scratch->path, &options, &s->vfs, NULL), VARVE_OK);
    held.real = s->vfs->ops;
    held.ops = *held.real;
    held.ops.open = held_open;
    held.ops.allocate = held_allocate;
    held.ops.unlink = held_unlink;
    atomic_store(&held.segments_max, FOR_EVER);
    s->vfs->ops = &held.ops;
    varve_options_init(&s->options, sizeof s->options);
    s->options.flags = VARVE_OPEN_CREATE;
    s->options.vfs = s->vfs;
    s->options.background_threads = 1;
    s->options.memtable_bytes = MEMTABLE;
    s->options.wal_segment_bytes = segment_bytes;
    const varve_status rc = varve_open(scratch->path, &s->options, &s->store, &s->err);
    ck_assert_msg(rc == VARVE_OK, "%s", s->err.message);
    sim_store_table(s, "t", "upsert");
}

static void close_held(struct sim_store *s, struct scratch *scratch)
{
    atomic_store(&held.waits, false);
    atomic_store(&held.failures, 0);
    varve_close(s->store);
    s->vfs->ops = held.real;
    s->vfs->ops->destroy(s->vfs);
    scratch_remove(scratch);
}

struct committer {
    struct sim_store store; /* for its own place for errors */
    int partition;
};

#define SMALL_COMMITS 30

static void *commit_small(void *argument)
{
    struct committer *committer = argument;

    for (int i = 0; i < SMALL_COMMITS; i++)
        ck_assert_int_eq(
            sim_store_put(&committer->store, "t", committer->partition, i, 1, VARVE_POLICY_OS),
            VARVE_OK);
    return NULL;
}

/* Each waits as long as the bytes that are owed say, whatever the other one commits meanwhile. */
START_TEST(one_writer_does_not_end_the_wait_of_another)
{
    struct committer committers[2];
    struct scratch scratch;
    struct sim_store s;
    pthread_t threads[2];

    open_held(&s, &scratch, 0);
    atomic_store(&held.waits, true);
    for (int i = 0; sim_store_stats(&s).memtable_bytes < (SOFT + HARD) / 2; i++) {
        ck_assert_int_lt(i, 5000);
        ck_assert_int_eq(sim_store_put(&s, "t", i % 7, (int64_t)i * 50, 50, VARVE_POLICY_OS),
                         VARVE_OK);
    }
    const uint64_t before = sim_store_stats(&s).stall_us_total;
    for (int i = 0; i < 2; i++) {
        committers[i] = (struct committer){.store = s, .partition = 100 + i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_small, &committers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_eq(stats.flushes, 0);
    /* 1 ms each in the middle of the slope; not less, however busy the machine is. */
    ck_assert_uint_ge(stats.stall_us_total - before, 2 * SMALL_COMMITS * UINT64_C(900));
    close_held(&s, &scratch);
}
END_TEST

/* Who waits for a flush is told soon that it fails, not when patience ends. */
START_TEST(flush_that_fails_is_told_to_those_who_wait_for_it)
{
    struct scratch scratch;
    struct sim_store s;
    varve_status rc = VARVE_OK;
    uint64_t before = 0;
    int n = 0;

    open_held(&s, &scratch, 0);
    atomic_store(&held.failures, FOR_EVER);
    while (n < 1000) {
        before = sim_store_stats(&s).stall_us_total;
        rc = sim_store_put(&s, "t", n % 7, (int64_t)n * ROWS, ROWS, VARVE_POLICY_OS);
        if (rc < 0)
            break;
        n++;
    }
    ck_assert_msg(rc == VARVE_EIO, "%s: %s", varve_status_name(rc), s.err.message);
    ck_assert_uint_ge(sim_store_stats(&s).memtable_bytes, HARD);
    ck_assert_uint_gt(sim_store_stats(&s).stall_us_total, before); /* it has waited, too */
    ck_assert_uint_lt(sim_store_stats(&s).stall_us_worst, 30000000);
    atomic_store(&held.failures, 0); /* the next one gets its flush without having to wait for it */
    ck_assert_int_eq(sim_store_put(&s, "t", n % 7, (int64_t)n * ROWS, ROWS, VARVE_POLICY_OS),
                     VARVE_OK);
    ck_assert_uint_ge(sim_store_stats(&s).flushes, 1);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(n + 1) * ROWS);
    close_held(&s, &scratch);
}
END_TEST

static void *let_go_at_the_limit(void *argument)
{
    struct sim_store *s = argument;

    while (sim_store_stats(s).memtable_bytes < HARD)
        usleep(1000);
    usleep(100000); /* a writer waits by now */
    atomic_store(&held.waits, false);
    return NULL;
}

/* A flush that is under way fails, for the first time, while a commit waits for it: it is tried again
 * before the commit is refused. */
START_TEST(flush_that_fails_once_refuses_nothing)
{
    struct scratch scratch;
    struct sim_store s;
    pthread_t thread;

    open_held(&s, &scratch, 0);
    atomic_store(&held.waits, true);
    atomic_store(&held.failures, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go_at_the_limit, &s), 0);
    for (int n = 0; sim_store_stats(&s).flushes == 0; n++) {
        ck_assert_int_lt(n, 1000);
        const varve_status rc =
            sim_store_put(&s, "t", n % 7, (int64_t)n * ROWS, ROWS, VARVE_POLICY_OS);
        ck_assert_msg(rc == VARVE_OK, "%s: %s", varve_status_name(rc), s.err.message);
    }
    (void)pthread_join(thread, NULL);
    ck_assert_int_lt(atomic_load(&held.failures), 1); /* it has failed */
    close_held(&s, &scratch);
}
END_TEST

/* The log is full of batches that were repeated: no flush would let any of it go. */
START_TEST(full_log_that_no_memtable_keeps_refuses_nothing)
{
    struct scratch scratch;
    struct sim_store s;

    open_held(&s, &scratch, 64u << 10);
    atomic_store(&held.segments_max, 4);
    for (int n = 0; atomic_load(&held.segments_made) < 30; n++) {
        varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 10);
        ck_assert_int_eq(varve_batch_set_origin(batch, 7, 1, 1, 10, NULL), VARVE_OK);
        const varve_status rc = sim_store_commit(&s, batch, VARVE_POLICY_DEFAULT);
        ck_assert_msg(rc == VARVE_OK, "%d: %s", n, s.err.message);
        if (n == 0)
            ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    }
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 1);
    ck_assert_uint_lt(sim_store_stats(&s).stall_us_worst, 30000000);
    close_held(&s, &scratch);
}
END_TEST

/* ---- commits that do not wait ---- */

static varve_status start(struct sim_store *s, int n)
{
    varve_batch *batch = sim_store_batch(s, "t", n % 7, (int64_t)n * ROWS, ROWS);
    varve_completion done = {.status = VARVE_OK};
    const varve_status rc = varve_commit_start(s->store, batch, VARVE_POLICY_OS, 0, &s->err);

    while (rc == VARVE_OK && varve_commit_reap(s->store, &done, 1) == 0)
        ;
    varve_batch_free(batch);
    return rc;
}

static int fail_files(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    uint64_t id;

    (void)ctx;
    (void)sim;
    return event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_OPEN &&
                   varve_file_name_parse(event->name, &id) == VARVE_FILE_SST
               ? -EIO
               : 0;
}

/* It is worth waiting for a flush that has failed once. One that goes on failing is told, whoever has
 * asked for one more attempt, until it succeeds (0) or is not needed any more (1). */
START_TEST(flush_that_goes_on_failing_is_told_to_those_who_cannot_wait)
{
    struct sim_store s;
    varve_status rc = VARVE_OK;
    int n = 0;

    sim_store_create(&s, 93);
    s.options.memtable_bytes = MEMTABLE;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(varve_sim_watch(s.sim, fail_files, NULL), 0);
    while (n < 1000 && (rc = start(&s, n)) == VARVE_OK)
        n++;
    ck_assert_int_eq(rc, VARVE_EAGAIN);
    (void)varve_work(s.store, 1000, NULL);
    ck_assert_int_eq(start(&s, n), VARVE_EAGAIN);
    for (int i = 0; i < 3; i++) {
        varve_sim_clock_advance(s.sim, 10000000);
        (void)varve_work(s.store, 1000, NULL);
        ck_assert_int_eq(start(&s, n), VARVE_EIO);
        varve_flush_hurry(s.store);
        ck_assert_int_eq(start(&s, n), VARVE_EIO);
    }
    if (_i == 0) {
        varve_sim_unwatch(s.sim, fail_files, NULL);
    } else {
        ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
        sim_store_table(&s, "t", "upsert");
        sim_store_work(&s);
        varve_sim_clock_advance(s.sim, 10000); /* what memtables hold is looked at now and then */
    }
    sim_store_work(&s);
    ck_assert_int_eq(s.store->flush_error.status, VARVE_OK);
    ck_assert_int_eq(start(&s, n++), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), (_i == 0 ? (int64_t)n : 1) * ROWS);
    sim_store_destroy(&s);
}
END_TEST

static int fail_writes(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    int *const left = ctx;
    uint64_t id;

    (void)sim;
    if (*left == 0 || event->phase != VARVE_SIM_BEFORE || event->op != VARVE_SIM_WRITE ||
        varve_file_name_parse(event->name, &id) != VARVE_FILE_SST)
        return 0;
    (*left)--;
    return -EIO;
}

/* A flush has begun when somebody asks for one, varve_flush() (bit 0) or a commit without memory. It is the
 * next one's failure (bit 1) that they are told. */
START_TEST(flush_that_began_before_is_not_whom_others_wait_for)
{
    struct sim_store s;
    const bool fails = (_i & 2) != 0;
    int failures = 0;

    sim_store_create(&s, 94);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_OS), VARVE_OK);
    varve_log_take(s.store);
    ck_assert_int_eq(varve_generation_rotate(s.store, sim_store_handle(&s, "t"), NULL), VARVE_OK);
    varve_log_release(s.store);
    for (int i = 0; i < 3; i++) { /* so that the pause before the next attempt is long */
        failures = 1;
        ck_assert_int_eq(varve_sim_watch(s.sim, fail_writes, &failures), 0);
        varve_sim_clock_advance(s.sim, 10000000);
        while (failures > 0)
            (void)varve_flush_step(s.store, 0, NULL);
        varve_sim_unwatch(s.sim, fail_writes, &failures);
    }
    varve_sim_clock_advance(s.sim, 10000000);
    ck_assert_int_eq(varve_flush_step(s.store, 0, NULL), VARVE_OK);
    ck_assert_ptr_nonnull(s.store->flush);
    failures = fails ? 100 : 1;
    ck_assert_int_eq(varve_sim_watch(s.sim, fail_writes, &failures), 0);
    if ((_i & 1) != 0) {
        ck_assert_int_eq(varve_flush(s.store, &s.err), fails ? VARVE_EIO : VARVE_OK);
    } else {
        struct varve_patience patience = varve_pressure_begin(s.store);
        ck_assert_int_eq(varve_pressure_relieve(s.store, &patience), !fails);
    }
    ck_assert_int_eq(failures, fails ? 98 : 0);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, !fails);
    ck_assert_uint_eq(sim_store_stats(&s).flush_failures, fails ? 5 : 0);
    varve_sim_unwatch(s.sim, fail_writes, &failures);
    sim_store_destroy(&s);
}
END_TEST

/* The minute of a call is over: memory that others have given back, or a flush might, is not waited for. */
START_TEST(patience_that_has_ended_waits_for_nothing)
{
    struct sim_store s;
    int n = 0;

    sim_store_create(&s, 95);
    s.options.memtable_bytes = MEMTABLE;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    struct varve_patience patience = varve_pressure_begin(s.store);
    s.store->n_relieved++;
    varve_sim_clock_advance(s.sim, 59000000);
    ck_assert(varve_pressure_relieve(s.store, &patience));
    s.store->n_relieved++;
    varve_sim_clock_advance(s.sim, 1000000);
    ck_assert(!varve_pressure_relieve(s.store, &patience));
    ck_assert(!varve_pressure_make_room(s.store, &patience));
    ck_assert_int_eq(varve_sim_watch(s.sim, fail_files, NULL), 0);
    while (n < 1000 && start(&s, n) == VARVE_OK)
        n++;
    const uint64_t before = s.store->flush_attempts;
    ck_assert_int_lt(varve_pressure_wait(s.store, &patience, &s.err), 0);
    ck_assert_uint_le(s.store->flush_attempts,
                      before + 1); /* it looks once, and tries nothing again */
    patience = varve_pressure_begin(s.store);
    ck_assert_int_lt(varve_pressure_wait(s.store, &patience, &s.err), 0);
    ck_assert_uint_ge(s.store->flush_attempts, before + 2);
    varve_sim_unwatch(s.sim, fail_files, NULL);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, the_delay_grows_from_nothing_to_two_milliseconds);
    tcase_add_test(cases, writers_are_held_back_before_the_limit_and_the_worst_stall_is_told);
    tcase_add_test(cases, writers_that_leave_time_for_flushes_never_wait);
    tcase_add_test(cases, one_writer_does_not_end_the_wait_of_another);
    tcase_add_test(cases, flush_that_fails_is_told_to_those_who_wait_for_it);
    tcase_add_test(cases, flush_that_fails_once_refuses_nothing);
    tcase_add_test(cases, full_log_that_no_memtable_keeps_refuses_nothing);
    tcase_add_loop_test(cases, flush_that_goes_on_failing_is_told_to_those_who_cannot_wait, 0, 2);
    tcase_add_test(cases, patience_that_has_ended_waits_for_nothing);
    tcase_add_loop_test(cases, flush_that_began_before_is_not_whom_others_wait_for, 0, 4);
}

int main(void)
{
    return sim_store_main("pressure", add);
}
