/*
 * test_reader_beside.c - what a reader sees beside a writer that has not told it yet: everything that
 * the manifest proves is committed, although no page of the log says so. And that it takes no error for
 * the answer that there is no writer: it would see what the writer has not acknowledged.
 */
#include <errno.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/engine/store_int.h"
#include "storage/manifest/manifest.h"
#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 50
#define SEEDS 400

/* A reader of its own process; no other time passes for the writer, so that it writes no idle seal. */
static struct sim_store reader_open(struct sim_store *s)
{
    struct sim_store reader = *s;

    ck_assert_int_eq(varve_sim_attach(s->sim, &reader.vfs), 0);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&reader);
    return reader;
}

static int64_t count_beside(struct sim_store *s, const char *table)
{
    struct sim_store reader = reader_open(s);
    const int64_t rows = sim_store_count(&reader, table);

    sim_store_close(&reader);
    return rows;
}

/* Recovery seals what the killed writer left. Nobody commits after it. */
START_TEST(what_was_recovered_is_seen)
{
    struct sim_store s;

    sim_store_create(&s, 71);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    for (int i = 1; i <= 3; i++) {
        if (_i == 0) {
            sim_store_kill(&s);
        } else {
            ck_assert(sim_store_cut(&s, 0));
        }
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)i * ROWS);
        ck_assert_int_eq(count_beside(&s, "t"), (int64_t)i * ROWS);
        sim_store_work(&s);
        ck_assert_int_eq(count_beside(&s, "t"), (int64_t)i * ROWS);
        ck_assert_int_eq(
            sim_store_put(&s, "t", 1, (int64_t)i * ROWS, ROWS, VARVE_POLICY_DURABLE_GROUP),
            VARVE_OK);
    }
    sim_store_destroy(&s);
}
END_TEST

/* The batch fills one table's memtable, whose half is flushed; the other half is in the log alone. */
START_TEST(a_batch_of_two_tables_is_seen_whole_when_half_of_it_is_in_a_file)
{
    enum { many = 20000 };
    struct sim_store s;

    sim_store_create(&s, 72);
    s.options.memtable_bytes = 256u << 10;
    s.options.wal_segment_bytes = 4u << 20;
    sim_store_open(&s);
    sim_store_table(&s, "a", "upsert");
    sim_store_table(&s, "b", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "b", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    varve_batch *batch = sim_store_batch(&s, "a", 1, 0, many);
    varve_value row[3] = {{.type = VARVE_INT, .as.i64 = 1},
                          {.type = VARVE_TIMESTAMP, .as.i64 = ROWS},
                          {.type = VARVE_BIGINT, .as.i64 = 3 * ROWS}};
    ck_assert_int_eq(varve_batch_put_row(batch, sim_store_handle(&s, "b"), row, 3, NULL, NULL),
                     VARVE_OK);
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    ck_assert_int_eq(count_beside(&s, "a"), count_beside(&s, "b") == ROWS ? 0 : many);
    while (sim_store_stats(&s).flushes == 0)
        ck_assert_int_eq(varve_work(s.store, 1, NULL), VARVE_OK);
    varve_table_stats in_files = {.struct_size = sizeof in_files};
    varve_table_get_stats(s.store, sim_store_handle(&s, "b"), &in_files);
    ck_assert_uint_eq(in_files.files, 0); /* or this test shows nothing */
    struct sim_store reader = reader_open(&s);
    ck_assert_int_eq(sim_store_count(&reader, "a"), many);
    ck_assert_int_eq(sim_store_count(&reader, "b"), ROWS + 1);
    sim_store_close(&reader);
    sim_store_destroy(&s);
}
END_TEST

/* ----------------------------------------------------------------- Whether there is a writer at all */

/* The log as a read sees it, from the page cache or the disk. */
static uint64_t hash_log(struct sim_store *s)
{
    static uint8_t bytes[256u << 10];
    char name[VARVE_FILE_NAME_MAX];
    struct varve_version *const version = sim_store_listed(s);

    varve_file_name_wal(version->segments[version->n_segments - 1].id, name);
    varve_version_unref(version);
    const int64_t size = varve_sim_read(s->sim, name, 0, bytes, sizeof bytes);
    ck_assert_int_gt(size, 0);
    return varve_hash64(bytes, (size_t)size, 0);
}

/* A writer with a commit under way, whose pages are in the page cache and not on the disk: by themselves
 * they look like those of a commit that a kill interrupted, and recovery would keep them. Behind bytes that
 * are not synced a commit is written first and synced then, so that there is such a moment. */
static void make_commit_in_flight(struct sim_store *s)
{
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        sim_store_create(s, seed);
        sim_store_open(s);
        sim_store_table(s, "t", "upsert");
        ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_OS), VARVE_OK);
        varve_sim_clock_advance(s->sim, 30000);
        sim_store_work(s); /* tells readers of it */
        const uint64_t before = hash_log(s);
        ck_assert_int_eq(varve_commit_start(s->store, sim_store_batch(s, "t", 2, 0, ROWS),
                                            VARVE_POLICY_DURABLE_GROUP, 1, &s->err),
                         VARVE_OK);
        if (hash_log(s) != before && sim_store_count(s, "t") == ROWS)
            return;
        sim_store_close(s);
        sim_store_destroy(s);
    }
    ck_abort_msg("no seed has a commit under way");
}

static void end_commit(struct sim_store *s)
{
    varve_completion done;
    uint32_t n;

    while ((n = varve_commit_reap(s->store, &done, 1)) == 0)
        ;
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(done.status, VARVE_OK);
    varve_batch_free(done.batch);
    sim_store_destroy(s);
}

/* A reader that meets the fault, if it gets so far: it sees what any other does, or it says why not. True:
 * the fault struck. `classes` 0: the n-th allocation fails. */
static bool read_at(struct sim_store *s, uint32_t classes, int error, long n)
{
    const struct varve_sim_fault on_disk = {
        .classes = classes, .nth = (uint64_t)n + 1, .times = 1, .error = error};
    struct fault f;
    struct sim_store reader = *s;
    const uint64_t hits = varve_sim_fault_hits(s->sim);

    fault_init(&f, classes == 0 ? n : FAULT_NEVER, FAULT_ONCE);
    ck_assert_int_eq(varve_sim_attach(s->sim, &reader.vfs), 0);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    reader.options.allocator = &f.allocator;
    reader.store = NULL;
    if (classes != 0)
        ck_assert_int_eq(varve_sim_fault_add(s->sim, &on_disk), 0);
    const varve_status rc = sim_store_try_open(&reader);
    const bool struck = classes == 0 ? fault_fired(&f) : varve_sim_fault_hits(s->sim) != hits;
    varve_sim_fault_clear(s->sim);
    f.at = FAULT_NEVER;
    if (rc == VARVE_OK) {
        ck_assert_int_eq(sim_store_count(&reader, "t"), ROWS);
        ck_assert_uint_eq(reader.store->n_findings, 0);
    } else {
        ck_assert(struck);
        ck_assert_int_eq(reader.err.status, rc);
        ck_assert_int_eq(rc, error == ENOMEM ? VARVE_ENOMEM : VARVE_EIO);
        if (classes != 0)
            ck_assert_int_eq(reader.err.os_code, error);
    }
    sim_store_close(&reader);
    ck_assert_uint_eq(fault_live(&f), 0);
    return struck;
}

START_TEST(a_fault_shows_no_reader_what_is_not_acknowledged)
{
    static const struct {
        uint32_t classes;
        int error;
        long least; /* places where it strikes */
    } faults[] = {{0, ENOMEM, 20},
                  {VARVE_SIM_OPEN | VARVE_SIM_LOCK, EMFILE, 5},
                  {VARVE_SIM_OPEN | VARVE_SIM_LOCK, EIO, 5},
                  {VARVE_SIM_OPEN | VARVE_SIM_LOCK, ENOMEM, 5},
                  {VARVE_SIM_OPEN | VARVE_SIM_LOCK, EACCES, 5},
                  {VARVE_SIM_ANY, EIO, 50}};
    struct sim_store s;
    long n = 0;

    make_commit_in_flight(&s);
    ck_assert_int_eq(count_beside(&s, "t"), ROWS);
    while (read_at(&s, faults[_i].classes, faults[_i].error, n))
        n++;
    ck_assert_int_ge(n, faults[_i].least);
    end_commit(&s);
}
END_TEST

/* The error says which file, what was asked of it, and why there is no answer. */
static void must_fail_at_lock(struct sim_store *s, uint32_t class, uint64_t nth, int error,
                              const char *what)
{
    struct varve_sim_fault fault = {
        .classes = class, .nth = nth, .times = 1, .error = error, .name = "LOCK"};
    struct sim_store reader = *s;

    ck_assert_int_eq(varve_sim_attach(s->sim, &reader.vfs), 0);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    reader.store = NULL;
    ck_assert_int_eq(varve_sim_fault_add(s->sim, &fault), 0);
    ck_assert_int_eq(sim_store_try_open(&reader), VARVE_EIO);
    ck_assert_int_eq(reader.err.os_code, error);
    ck_assert_str_eq(reader.err.file, "LOCK");
    ck_assert_msg(strstr(reader.err.message, what) != NULL, "%s", reader.err.message);
    varve_sim_fault_clear(s->sim);
}

START_TEST(a_lock_that_cannot_be_asked_is_named)
{
    struct sim_store s;

    make_commit_in_flight(&s);
    must_fail_at_lock(&s, VARVE_SIM_OPEN, 1, EMFILE, "cannot open");
    must_fail_at_lock(&s, VARVE_SIM_LOCK, 1, EIO, "cannot ask for the lock of");
    end_commit(&s);
}
END_TEST

/* A file that the manifest has not reached shows that a manifest is missing, unless a writer has just
 * come: so it is asked for once more, and that may fail as well. */
START_TEST(a_lock_that_cannot_be_asked_again_is_named)
{
    struct sim_store s, reader;
    char name[VARVE_FILE_NAME_MAX];

    sim_store_create(&s, 73);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    sim_store_close(&s);
    varve_file_name_sst(1 << 20, name);
    ck_assert_int_eq(varve_sim_put(s.sim, name, "x", 1), 0);
    reader = s;
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&reader), VARVE_ECORRUPT);
    ck_assert_str_eq(reader.err.file, name);
    must_fail_at_lock(&s, VARVE_SIM_OPEN, 2, EMFILE, "cannot open");
    must_fail_at_lock(&s, VARVE_SIM_LOCK, 2, EIO, "cannot ask for the lock of");
    sim_store_destroy(&s);
}
END_TEST

/* Without the file no writer can have it locked: a copy of a store need not have it. */
START_TEST(without_a_lock_file_there_is_no_writer)
{
    struct sim_store s;

    sim_store_create(&s, 74);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    sim_store_kill(&s);
    sim_store_remove(&s, "LOCK");
    ck_assert_int_eq(count_beside(&s, "t"), ROWS);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_fault_shows_no_reader_what_is_not_acknowledged, 0, 6);
    tcase_add_test(cases, a_lock_that_cannot_be_asked_is_named);
    tcase_add_test(cases, a_lock_that_cannot_be_asked_again_is_named);
    tcase_add_test(cases, without_a_lock_file_there_is_no_writer);
    tcase_add_loop_test(cases, what_was_recovered_is_seen, 0, 2);
    tcase_add_test(cases, a_batch_of_two_tables_is_seen_whole_when_half_of_it_is_in_a_file);
}

int main(void)
{
    return sim_store_main("reader_beside", add);
}
