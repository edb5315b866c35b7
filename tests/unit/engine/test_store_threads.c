/*
 * test_store_threads.c - one store, many threads: committers (blocking and not), readers, flushes.
 *
 * Method: each writer owns a partition and commits batches of ascending times whose rows all carry
 * the batch's number. Readers check, without any lock of the test's own, that what they see of every
 * partition is a prefix of whole batches. At the end everything is there, before and after a reopen.
 * A scan is cancelled from outside while it runs.
 * Run under the thread sanitizer this is the test of the engine's locking.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <varve/varve.h>

#include "tests/lib/scratch.h"

#define WRITERS 3
#define READERS 2
#define BATCHES 120
#define BATCH_ROWS 20

static struct scratch scratch;

static const char table_text[] =
    "CREATE TABLE t (who int, ts timestamp, number int, twice bigint, PRIMARY KEY ((who), ts))";

struct shared {
    varve_store *store;
    varve_table *table;
    _Atomic(int) acked[WRITERS];
    _Atomic(bool) done;
};

struct worker {
    struct shared *shared;
    int number;
};

#define REQUIRE(call)                                                                              \
    do {                                                                                           \
        varve_error err_ = {.status = VARVE_OK};                                                   \
        const varve_status rc_ = (call);                                                           \
        ck_assert_msg(rc_ >= 0, "%s: %s", #call, varve_status_name(rc_));                          \
        (void)err_;                                                                                \
    } while (0)

static varve_store *open_store(uint32_t backend, uint32_t threads)
{
    varve_options options;
    varve_store *store = NULL;
    varve_error err = {.status = VARVE_OK};

    varve_options_init(&options, sizeof options);
    options.flags = VARVE_OPEN_CREATE;
    options.io_backend = backend;
    options.background_threads = threads;
    options.memory_limit = 16u << 20;
    options.memtable_bytes = 1u << 20;
    options.wal_segment_bytes = 256u << 10;
    options.row_group_rows = 1024;
    const varve_status rc = varve_open(scratch.path, &options, &store, &err);
    ck_assert_msg(rc == VARVE_OK, "open: %s (%s)", err.message, err.file);
    return store;
}

/* A new table "t" with `batches` commits of `rows` rows each of one partition, v = ts = 0, 1, ... */
static varve_table *fill_table(varve_store *store, int64_t rows, int64_t batches,
                               varve_policy policy)
{
    static int64_t numbers[2000];
    varve_table *table = NULL;
    varve_batch *batch = NULL;
    const varve_value key = {.type = VARVE_INT};
    const varve_array arrays[] = {{.column = 1, .values = numbers},
                                  {.column = 2, .values = numbers}};

    ck_assert_int_le(rows, 2000);
    REQUIRE(varve_table_create(
        store, "CREATE TABLE t (k int, ts timestamp, v bigint, PRIMARY KEY ((k), ts))", NULL));
    REQUIRE(varve_table_open(store, "t", &table, NULL));
    REQUIRE(varve_batch_new(store, &batch, NULL));
    for (int64_t n = 0; n < batches; n++) {
        for (int64_t i = 0; i < rows; i++)
            numbers[i] = n * rows + i;
        REQUIRE(varve_batch_put_columns(batch, table, &key, arrays, 2, (uint64_t)rows, NULL, NULL));
        REQUIRE(varve_commit(store, batch, policy, NULL, NULL));
    }
    varve_batch_free(batch);
    return table;
}

/* Each batch has its number as the sequence of one of many origins, whose table grows meanwhile. */
static uint32_t origin_of(int who, int number)
{
    return 1 + (uint32_t)(who + WRITERS * (number % 40));
}

static void fill(varve_batch *batch, const varve_table *table, int who, int number)
{
    int64_t times[BATCH_ROWS], twice[BATCH_ROWS];
    int32_t numbers[BATCH_ROWS];
    varve_value key = {.type = VARVE_INT};

    for (int i = 0; i < BATCH_ROWS; i++) {
        times[i] = ((int64_t)number * BATCH_ROWS + i) * 1000;
        numbers[i] = number;
        twice[i] = 2 * (int64_t)number;
    }
    key.as.i64 = who;
    const varve_array arrays[] = {{.column = 1, .values = times},
                                  {.column = 2, .values = numbers},
                                  {.column = 3, .values = twice}};
    REQUIRE(varve_batch_put_columns(batch, table, &key, arrays, 3, BATCH_ROWS, NULL, NULL));
    const uint64_t sequence = (uint64_t)number + 1;
    REQUIRE(varve_batch_set_origin(batch, origin_of(who, number), 1, sequence, sequence, NULL));
}

static void *work_until_done(void *argument)
{
    struct shared *shared = argument;

    while (!atomic_load(&shared->done))
        if (varve_work(shared->store, 1000, NULL) == VARVE_END)
            usleep(100);
    return NULL;
}

/* The store has no threads of its own: one of the application's does its work, while others commit. */
START_TEST(commits_wait_for_the_thread_that_does_the_work)
{
    struct shared shared = {.store = open_store(VARVE_IO_POSIX, UINT32_MAX)};
    varve_stats stats = {.struct_size = sizeof stats};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, work_until_done, &shared), 0);
    (void)fill_table(shared.store, 2000, 300, VARVE_POLICY_OS); /* many times what memtables take */
    atomic_store(&shared.done, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    varve_get_stats(shared.store, &stats);
    ck_assert_uint_gt(stats.flushes, 2);
    varve_close(shared.store);
}
END_TEST

static void *write_blocking(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    varve_batch *batch = NULL;

    REQUIRE(varve_batch_new(shared->store, &batch, NULL));
    for (int number = 0; number < BATCHES; number++) {
        fill(batch, shared->table, worker->number, number);
        REQUIRE(varve_commit(shared->store, batch, (varve_policy)(number % 5), NULL, NULL));
        atomic_store(&shared->acked[worker->number], number + 1);
    }
    varve_batch_free(batch);
    return NULL;
}

static uint32_t reap_some(struct worker *worker, varve_batch **free_batches, uint32_t n_free)
{
    struct shared *shared = worker->shared;
    varve_completion done[8];
    const uint32_t n = varve_commit_reap(shared->store, done, 8);

    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(done[i].status, VARVE_OK);
        ck_assert_int_eq((int)done[i].tag, atomic_load(&shared->acked[worker->number]));
        atomic_store(&shared->acked[worker->number], (int)done[i].tag + 1);
        free_batches[n_free++] = done[i].batch;
    }
    return n_free;
}

static void *write_in_flight(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    varve_batch *free_batches[8];
    uint32_t n_free = 0;

    for (; n_free < 8; n_free++)
        REQUIRE(varve_batch_new(shared->store, &free_batches[n_free], NULL));
    for (int number = 0; number < BATCHES;) {
        if (n_free == 0) {
            n_free = reap_some(worker, free_batches, n_free);
            continue;
        }
        varve_batch *batch = free_batches[n_free - 1];
        fill(batch, shared->table, worker->number, number);
        const varve_status rc =
            varve_commit_start(shared->store, batch, VARVE_POLICY_DEFAULT, (uint64_t)number, NULL);
        if (rc == VARVE_EAGAIN) {
            varve_batch_clear(batch);
            n_free = reap_some(worker, free_batches, n_free);
            continue;
        }
        ck_assert_int_eq(rc, VARVE_OK);
        n_free--;
        number++;
    }
    while (n_free < 8)
        n_free = reap_some(worker, free_batches, n_free);
    while (n_free > 0)
        varve_batch_free(free_batches[--n_free]);
    return NULL;
}

/* What a scan shows of one partition: whole batches from the first on, at least `least`. */
static void check_partition(struct shared *shared, int who, int least)
{
    varve_value key = {.type = VARVE_INT};
    varve_cursor *cursor = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;
    varve_status rc;
    int rows = 0;

    key.as.i64 = who;
    varve_scan_init(&scan, sizeof scan);
    scan.partitions = &key;
    scan.n_partitions = 1;
    REQUIRE(varve_scan_open(shared->store, shared->table, &scan, &cursor, NULL));
    while ((rc = varve_cursor_next(cursor, &view, NULL)) == VARVE_OK) {
        for (uint32_t i = 0; i < view->rows; i++, rows++) {
            ck_assert_int_eq(varve_view_value(view, i, 1).as.i64, (int64_t)rows * 1000);
            ck_assert_int_eq(varve_view_value(view, i, 2).as.i64, rows / BATCH_ROWS);
            ck_assert_int_eq(varve_view_value(view, i, 3).as.i64, 2 * (rows / BATCH_ROWS));
        }
    }
    ck_assert_int_eq(rc, VARVE_END);
    varve_cursor_close(cursor);
    ck_assert_int_eq(rows % BATCH_ROWS, 0);
    const int batches = rows / BATCH_ROWS;
    ck_assert_int_ge(batches, least);
    if (batches > 0) /* what can be read is known of its origin */
        ck_assert_uint_ge(varve_origin_last(shared->store, origin_of(who, batches - 1)),
                          (uint64_t)batches);
}

static void *read_all(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;

    while (!atomic_load(&shared->done))
        for (int who = 0; who < WRITERS; who++)
            check_partition(shared, who, atomic_load(&shared->acked[who]));
    return NULL;
}

static void *flush_often(void *argument)
{
    struct worker *worker = argument;

    while (!atomic_load(&worker->shared->done))
        REQUIRE(varve_flush(worker->shared->store, NULL));
    return NULL;
}

static void run(uint32_t backend, uint32_t background_threads)
{
    struct shared shared = {.store = open_store(backend, background_threads)};
    struct worker workers[WRITERS + READERS + 1];
    pthread_t threads[WRITERS + READERS + 1];
    void *(*bodies[WRITERS + READERS + 1])(void *) = {
        write_blocking, write_blocking, write_in_flight, read_all, read_all, flush_often};

    REQUIRE(varve_table_create(shared.store, table_text, NULL));
    REQUIRE(varve_table_open(shared.store, "t", &shared.table, NULL));
    for (int i = 0; i < WRITERS + READERS + 1; i++) {
        workers[i] = (struct worker){&shared, i < WRITERS ? i : i - WRITERS};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, bodies[i], &workers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
    atomic_store(&shared.done, true);
    for (int i = WRITERS; i < WRITERS + READERS + 1; i++)
        (void)pthread_join(threads[i], NULL);
    for (int who = 0; who < WRITERS; who++)
        check_partition(&shared, who, BATCHES);
    varve_close(shared.store);

    shared.store = open_store(backend, background_threads);
    REQUIRE(varve_table_open(shared.store, "t", &shared.table, NULL));
    for (int who = 0; who < WRITERS; who++)
        check_partition(&shared, who, BATCHES);
    ck_assert_int_eq(varve_verify(shared.store, NULL, NULL, NULL, NULL, NULL), VARVE_OK);
    varve_close(shared.store);
}

static const struct {
    uint32_t backend, threads;
} setting[] = {{VARVE_IO_POSIX, 1}, {VARVE_IO_POSIX, 2}, {VARVE_IO_AUTO, 2}, {VARVE_IO_AUTO, 1}};

START_TEST(readers_see_whole_batches_while_others_write_and_flush)
{
    run(setting[_i].backend, setting[_i].threads);
}
END_TEST

/* Memtables are rotated while commits to them are in flight; a flush must see those too. */
START_TEST(rotation_loses_no_commit_in_flight)
{
    enum { rows = 500, batches = 400 };
    varve_store *store = open_store(setting[_i].backend, setting[_i].threads);
    varve_table_stats stats = {.struct_size = sizeof stats};
    varve_table *table = fill_table(store, rows, batches, VARVE_POLICY_DEFAULT);
    REQUIRE(varve_flush(store, NULL));
    varve_table_get_stats(store, table, &stats);
    ck_assert_uint_gt(stats.files, 1);
    ck_assert_uint_eq(stats.file_rows, (uint64_t)rows * batches);
    varve_close(store);
}
END_TEST

/* ---- a scan that another thread cancels ---- */

struct canceled_scan {
    varve_cursor *cursor;
    _Atomic(bool) begun, canceled;
    bool waits; /* so that the cancel certainly comes while the scan is under way */
    int calls;  /* of progress since the cancel */
};

static int wait_for_cancel(void *ctx, uint64_t rows, uint64_t bytes, double fraction)
{
    struct canceled_scan *c = ctx;

    (void)rows;
    (void)bytes;
    (void)fraction;
    c->calls += atomic_load(&c->canceled);
    atomic_store(&c->begun, true);
    while (c->waits && !atomic_load(&c->canceled))
        usleep(100);
    return 0;
}

static void *cancel_scan(void *argument)
{
    struct canceled_scan *c = argument;

    while (!atomic_load(&c->begun))
        usleep(100);
    varve_cursor_cancel(c->cursor);
    atomic_store(&c->canceled, true);
    return NULL;
}

static varve_status scan_until_canceled(varve_store *store, varve_table *table, bool aggregate,
                                        struct canceled_scan *c)
{
    const varve_aggregate sum = {.function = VARVE_SUM, .column = 2};
    const varve_batch_view *view = NULL;
    pthread_t canceler;
    varve_scan scan;
    varve_status rc;

    varve_scan_init(&scan, sizeof scan);
    scan.progress = wait_for_cancel;
    scan.progress_ctx = c;
    scan.flags = VARVE_SCAN_NO_ZONE_MAPS;
    if (aggregate) {
        scan.aggregates = &sum;
        scan.n_aggregates = 1;
        REQUIRE(varve_aggregate_open(store, table, &scan, &c->cursor, NULL));
    } else {
        REQUIRE(varve_scan_open(store, table, &scan, &c->cursor, NULL));
    }
    ck_assert_int_eq(pthread_create(&canceler, NULL, cancel_scan, c), 0);
    while ((rc = varve_cursor_next(c->cursor, &view, NULL)) == VARVE_OK)
        ;
    (void)pthread_join(canceler, NULL);
    if (rc == VARVE_ECANCELED)
        ck_assert_int_eq(varve_cursor_next(c->cursor, &view, NULL), VARVE_ECANCELED);
    varve_cursor_close(c->cursor);
    return rc;
}

START_TEST(another_thread_cancels_a_scan) /* loop test: over memory, over files */
{
    enum { rows = 2000, batches = 150 };
    varve_store *store = open_store(VARVE_IO_POSIX, 1);
    varve_table *table = fill_table(store, rows, batches, VARVE_POLICY_OS);
    if (_i == 1)
        REQUIRE(varve_flush(store, NULL));
    for (int kind = 0; kind < 2; kind++) {
        struct canceled_scan c = {.waits = true};
        ck_assert_int_eq(scan_until_canceled(store, table, kind == 1, &c), VARVE_ECANCELED);
        ck_assert_int_eq(c.calls, 0);  /* it ends at once, not at the next report */
        for (int i = 0; i < 20; i++) { /* and at any moment, perhaps when it is over */
            struct canceled_scan free_running = {.waits = false};
            const varve_status rc = scan_until_canceled(store, table, kind == 1, &free_running);
            ck_assert(rc == VARVE_ECANCELED || rc == VARVE_END);
        }
    }
    ck_assert_int_eq(varve_verify(store, NULL, NULL, NULL, NULL, NULL), VARVE_OK);
    varve_close(store);
}
END_TEST

static void set_up(void)
{
    scratch_create(&scratch);
}

static void tear_down(void)
{
    scratch_remove(&scratch);
}

int main(void)
{
    Suite *suite = suite_create("store_threads");
    TCase *cases = tcase_create("threads");
    SRunner *runner;

    tcase_set_timeout(cases, 100);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, readers_see_whole_batches_while_others_write_and_flush, 0, 4);
    tcase_add_loop_test(cases, rotation_loses_no_commit_in_flight, 0, 4);
    tcase_add_loop_test(cases, another_thread_cancels_a_scan, 0, 2);
    tcase_add_test(cases, commits_wait_for_the_thread_that_does_the_work);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
