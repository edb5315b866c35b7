/*
 * test_read_only.c - a store read by another handle or process: while a writer is there, after it is
 * gone, without write permission, and what a reader pins.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <varve/varve.h>

#include "tests/lib/run_share.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;

static varve_store *open_with(uint32_t flags, varve_status expected)
{
    varve_options options;
    varve_store *store = NULL;
    varve_error err = {.status = VARVE_OK};

    varve_options_init(&options, sizeof options);
    options.flags = flags;
    options.wal_segment_bytes = 256u << 10;
    options.memory_limit = 16u << 20;
    options.memtable_bytes = 1u << 20;
    const varve_status rc = varve_open(scratch.path, &options, &store, &err);
    ck_assert_msg(rc == expected, "open: %s: %s (%s)", varve_status_name(rc), err.message,
                  err.file);
    return store;
}

static void put(varve_store *store, int64_t first, int64_t n)
{
    varve_table *table = NULL;
    varve_batch *batch = NULL;

    ck_assert_int_eq(varve_table_open(store, "t", &table, NULL), VARVE_OK);
    ck_assert_int_eq(varve_batch_new(store, &batch, NULL), VARVE_OK);
    for (int64_t i = first; i < first + n; i++) {
        varve_value values[3] = {
            {.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
        values[1].as.i64 = i;
        values[2].as.i64 = i * 3;
        ck_assert_int_eq(varve_batch_put_row(batch, table, values, 3, NULL, NULL), VARVE_OK);
    }
    ck_assert_int_eq(varve_commit(store, batch, VARVE_POLICY_DEFAULT, NULL, NULL), VARVE_OK);
    varve_batch_free(batch);
}

static int64_t count(varve_store *store)
{
    const varve_aggregate aggregates[] = {{.function = VARVE_COUNT_ROWS},
                                          {.function = VARVE_SUM, .column = 2}};
    varve_table *table = NULL;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;

    ck_assert_int_eq(varve_table_open(store, "t", &table, NULL), VARVE_OK);
    varve_scan_init(&scan, sizeof scan);
    scan.aggregates = aggregates;
    scan.n_aggregates = 2;
    ck_assert_int_eq(varve_aggregate_open(store, table, &scan, &cursor, NULL), VARVE_OK);
    ck_assert_int_eq(varve_cursor_next(cursor, &view, NULL), VARVE_OK);
    const int64_t rows = varve_view_value(view, 0, 0).as.i64;
    const varve_value sum = varve_view_value(view, 0, 1);
    if (rows > 0)
        ck_assert_int_eq((int64_t)sum.as.i128.low, 3 * rows * (rows - 1) / 2);
    varve_cursor_close(cursor);
    return rows;
}

static varve_store *make_store(void)
{
    varve_store *store = open_with(VARVE_OPEN_CREATE, VARVE_OK);

    ck_assert_int_eq(
        varve_table_create(store,
                           "CREATE TABLE t (k int, ts timestamp, v bigint, PRIMARY KEY "
                           "((k), ts))",
                           NULL),
        VARVE_OK);
    return store;
}

/* The count as another process sees it. */
static int64_t count_elsewhere(void)
{
    int pipes[2];
    int64_t rows = -1;

    ck_assert_int_eq(pipe(pipes), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        varve_store *store = open_with(VARVE_OPEN_READ_ONLY, VARVE_OK);
        rows = count(store);
        varve_close(store);
        _exit(write(pipes[1], &rows, sizeof rows) == sizeof rows ? 0 : 1);
    }
    close(pipes[1]);
    ck_assert_int_eq(read(pipes[0], &rows, sizeof rows), sizeof rows);
    close(pipes[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    return rows;
}

/* A reader is at most one idle seal behind; how soon a busy machine gets to that is not tested. */
static int64_t count_elsewhere_reaches(int64_t expected)
{
    int64_t rows = -1;

    for (int i = 0; i < 200 && rows != expected; i++) {
        usleep(50000);
        rows = count_elsewhere();
    }
    return rows;
}

START_TEST(reader_sees_a_live_store)
{
    varve_store *store = make_store();

    put(store, 0, 100);
    ck_assert_int_eq(count_elsewhere_reaches(100), 100);
    put(store, 100, 1000);
    ck_assert_int_eq(varve_flush(store, NULL), VARVE_OK);
    put(store, 1100, 10);
    ck_assert_int_eq(count_elsewhere_reaches(1110), 1110);
    ck_assert_int_eq(count(store), 1110);
    varve_close(store);
    ck_assert_int_eq(count_elsewhere(), 1110);
}
END_TEST

static varve_stats stats_of(varve_store *store)
{
    varve_stats stats = {.struct_size = sizeof stats};

    varve_get_stats(store, &stats);
    return stats;
}

START_TEST(reader_says_what_is_durable)
{
    varve_store *store = make_store();

    put(store, 0, 100);
    const uint64_t written = stats_of(store).lsn_durable;
    ck_assert_uint_gt(written, 0);
    varve_store *reader = open_with(VARVE_OPEN_READ_ONLY, VARVE_OK);
    ck_assert_uint_le(stats_of(reader).lsn_durable, written); /* what it can prove */
    ck_assert_uint_ge(stats_of(reader).lsn_durable, stats_of(reader).lsn_committed);
    varve_close(reader);
    varve_close(store);
    reader = open_with(VARVE_OPEN_READ_ONLY, VARVE_OK);
    ck_assert_uint_eq(stats_of(reader).lsn_durable, written);
    ck_assert_uint_eq(stats_of(reader).lsn_committed, written);
    ck_assert_uint_eq(varve_durable_lsn(reader), written);
    varve_close(reader);
}
END_TEST

/* Any account but root, to which permissions mean nothing. False: that is not possible here. */
static bool give_up_root(void)
{
    enum { nobody = 65534 };

    return geteuid() != 0 || (setgroups(0, NULL) == 0 && setresgid(nobody, nobody, nobody) == 0 &&
                              setresuid(nobody, nobody, nobody) == 0);
}

/* In a process that may read the store and no more: 0 if all is as it should be. */
static int read_unprivileged(void)
{
    char name[300];

    (void)snprintf(name, sizeof name, "%s/new", scratch.path);
    if (creat(name, 0644) >= 0 || errno != EACCES)
        return 1;
    varve_store *store = open_with(VARVE_OPEN_READ_ONLY, VARVE_OK);
    if (count(store) != 520)
        return 2;
    varve_batch *batch = NULL;
    if (varve_batch_new(store, &batch, NULL) != VARVE_EREADONLY ||
        varve_table_create(store, "CREATE TABLE u (k int, ts timestamp, PRIMARY KEY ((k), ts))",
                           NULL) != VARVE_EREADONLY ||
        varve_flush(store, NULL) != VARVE_EREADONLY)
        return 3;
    if (varve_verify(store, NULL, NULL, NULL, NULL, NULL) != VARVE_OK)
        return 4;
    varve_close(store);
    varve_options options;
    varve_options_init(&options, sizeof options);
    return varve_open(scratch.path, &options, &store, NULL) < 0 ? 0 : 5; /* to write */
}

static int change_mode(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)kind;
    (void)ftw;
    return chmod(path, S_ISDIR(info->st_mode) ? 0555 : 0444);
}

START_TEST(reader_needs_no_write_permission)
{
    enum { impossible = 77 };
    varve_store *store = make_store();
    int status = 0;

    put(store, 0, 500);
    ck_assert_int_eq(varve_flush(store, NULL), VARVE_OK);
    put(store, 500, 20);
    varve_close(store);
    ck_assert_int_eq(nftw(scratch.path, change_mode, 8, FTW_PHYS), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(give_up_root() ? read_unprivileged() : impossible);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(chmod(scratch.path, 0755), 0);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == impossible)
        run_share("SKIPPED: reading without write permission: root cannot be given up here");
    else
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(reader_keeps_its_view_while_the_writer_drops_the_table)
{
    varve_store *store = make_store();

    for (int64_t i = 0; i < 3000; i += 500)
        put(store, i, 500);
    ck_assert_int_eq(varve_flush(store, NULL), VARVE_OK);
    varve_store *reader = open_with(VARVE_OPEN_READ_ONLY, VARVE_OK);
    ck_assert_int_eq(varve_table_drop(store, "t", NULL), VARVE_OK);
    while (varve_work(store, 1000, NULL) == VARVE_OK)
        ;
    ck_assert_int_eq(count(reader), 3000);
    varve_close(reader);
    varve_table *table = NULL;
    ck_assert_int_eq(varve_table_open(store, "t", &table, NULL), VARVE_ENOTFOUND);
    varve_close(store);
    store = open_with(0, VARVE_OK);
    ck_assert_int_eq(varve_table_open(store, "t", &table, NULL), VARVE_ENOTFOUND);
    varve_close(store);
}
END_TEST

START_TEST(second_writer_is_refused)
{
    varve_store *store = make_store();

    (void)open_with(0, VARVE_EBUSY);
    varve_close(store);
    store = open_with(0, VARVE_OK);
    varve_close(store);
}
END_TEST

START_TEST(child_after_fork_is_refused)
{
    varve_store *store = make_store();

    put(store, 0, 10);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        varve_batch *batch = NULL;
        if (varve_batch_new(store, &batch, NULL) != VARVE_EFORKED ||
            varve_flush(store, NULL) != VARVE_EFORKED)
            _exit(1);
        varve_abandon(store);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    put(store, 10, 10);
    ck_assert_int_eq(count(store), 20);
    varve_close(store);
}
END_TEST

START_TEST(no_store_is_said_so)
{
    varve_error err = {.status = VARVE_OK};
    varve_store *store = NULL;
    char path[300], name[300];

    (void)open_with(VARVE_OPEN_READ_ONLY, VARVE_ENOTFOUND);
    (void)open_with(0, VARVE_ENOTFOUND);
    (void)snprintf(path, sizeof path, "%s/absent", scratch.path);
    ck_assert_int_eq(varve_open(path, NULL, &store, &err), VARVE_ENOTFOUND);
    (void)snprintf(name, sizeof name, "%s/letters.txt", scratch.path);
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    (void)fclose(file);
    (void)open_with(VARVE_OPEN_CREATE, VARVE_ENOTFOUND);
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
    Suite *suite = suite_create("read_only");
    TCase *cases = tcase_create("processes");
    SRunner *runner;

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, reader_sees_a_live_store);
    tcase_add_test(cases, reader_says_what_is_durable);
    tcase_add_test(cases, reader_needs_no_write_permission);
    tcase_add_test(cases, reader_keeps_its_view_while_the_writer_drops_the_table);
    tcase_add_test(cases, second_writer_is_refused);
    tcase_add_test(cases, child_after_fork_is_refused);
    tcase_add_test(cases, no_store_is_said_so);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
