/*
 * test_log_failure.c - a store whose log, directory or manifest fails: it is FAILED at once and for good,
 * everybody who waits is told, and what was promised before is kept.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/flush_int.h"
#include "storage/manifest/manifest_int.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 400

static void open_with_table(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.interval_ms = 50;
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
}

static void fail_next(struct sim_store *s, uint32_t classes, uint64_t nth, int error,
                      const char *name)
{
    struct varve_sim_fault fault = {.classes = classes, .nth = nth, .times = 1, .error = error};

    (void)snprintf(fault.name, sizeof fault.name, "%s", name);
    ck_assert_int_ge(varve_sim_fault_add(s->sim, &fault), 0);
}

static varve_status status_of(struct sim_store *s)
{
    return (varve_status)(int)sim_store_stats(s).failed;
}

/* -------------------------------------------------------------------------------------- The log */

/* A sync that fails, or cannot be asked for (bit 0), although no commit waits for it: whoever asks for it
 * or looks after the log (bit 1) makes the store fail with it, at once. */
START_TEST(sync_that_no_commit_waits_for_fails_the_store)
{
    const struct varve_sim_fault fault = {.classes =
                                              (_i & 1) != 0 ? VARVE_SIM_SUBMIT : VARVE_SIM_SYNC,
                                          .nth = 1,
                                          .times = 1,
                                          .error = EIO};
    /* Work first asks for the page that tells what is committed. */
    const varve_status expected = _i == 1 ? VARVE_EIO : VARVE_EIO_SYNC;
    struct sim_store s;
    uint64_t end = 0;

    open_with_table(&s, 36);
    sim_store_work(&s); /* no sync but the log's is left to do */
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 5);
    ck_assert_int_eq(varve_commit(s.store, batch, VARVE_POLICY_INTERVAL, &end, NULL), VARVE_OK);
    varve_batch_free(batch);
    ck_assert_int_ge(varve_sim_fault_add(s.sim, &fault), 0);
    if ((_i & 2) != 0)
        ck_assert_int_eq(varve_wait_durable(s.store, end, NULL), expected);
    for (int i = 0; i < 10 && (_i & 2) == 0; i++) {
        (void)varve_work(s.store, 1000, NULL);
        varve_sim_clock_advance(s.sim, 10000);
    }
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    ck_assert_int_eq((int)sim_store_stats(&s).failed, expected);
    ck_assert_int_eq(varve_work(s.store, 1000, &s.err), expected);
    ck_assert_ptr_nonnull(strstr(s.err.message, expected == VARVE_EIO ? "write" : "sync"));
    ck_assert_int_eq(varve_wait_durable(s.store, end, NULL), expected);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 5);
    sim_store_destroy(&s);
}
END_TEST

/* The page that tells what is committed after a pause is nobody's commit. */
START_TEST(evidence_that_cannot_be_written_fails_the_store)
{
    struct sim_store s;

    open_with_table(&s, 37);
    sim_store_work(&s);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 5, VARVE_POLICY_OS), VARVE_OK);
    fail_next(&s, VARVE_SIM_WRITE, 1, EIO, "");
    for (int i = 0; i < 10 && varve_sim_fault_hits(s.sim) == 0; i++) {
        varve_sim_clock_advance(s.sim, 20000);
        (void)varve_work(s.store, 1000, NULL);
    }
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    (void)varve_work(s.store, 1000, NULL);
    ck_assert_int_eq(status_of(&s), VARVE_EIO);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 5);
    sim_store_destroy(&s);
}
END_TEST

/* Whichever write of the log fails: a commit that is told EIO is not there afterwards, one that may be is
 * told EIO_SYNC. (Soft commits before it may be gone, where the write tore the page that they share.) */
START_TEST(commit_in_doubt_is_told_so)
{
    uint32_t doubtful = 0, there_after_all = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        varve_completion done[3];
        struct sim_store s;
        uint32_t started = 0, n = 0;
        int64_t sure = 0, perhaps = 0;

        open_with_table(&s, seed);
        sim_store_work(&s);
        fail_next(&s, VARVE_SIM_WRITE, 1 + seed % 3, EIO, "");
        while (started < 3) {
            varve_batch *batch = sim_store_batch(&s, "t", (int)started, 0, ROWS);
            if (varve_commit_start(s.store, batch, VARVE_POLICY_OS, started, &s.err) < 0) {
                varve_batch_free(batch); /* the store has failed already */
                break;
            }
            started++;
        }
        for (int i = 0; i < 1000 && n < started; i++)
            n += varve_commit_reap(s.store, done + n, started - n);
        ck_assert_uint_eq(n, started);
        for (uint32_t i = 0; i < n; i++) {
            sure += done[i].status == VARVE_OK ? ROWS : 0;
            perhaps += done[i].status == VARVE_EIO_SYNC ? ROWS : 0;
            ck_assert(done[i].status == VARVE_OK || done[i].status == VARVE_EIO_SYNC ||
                      done[i].status == VARVE_EIO);
            varve_batch_free(done[i].batch);
        }
        varve_sim_fault_clear(s.sim);
        sim_store_close(&s);
        sim_store_open(&s);
        const int64_t there = sim_store_count(&s, "t");
        ck_assert_int_le(there, sure + perhaps);
        doubtful += perhaps > 0;
        there_after_all += there > sure;
        sim_store_destroy(&s);
    }
    ck_assert_uint_gt(doubtful, 0);
    ck_assert_uint_gt(there_after_all, 0);
}
END_TEST

/* What is in flight when another part of the store fails keeps nobody busy. */
START_TEST(failed_store_has_no_work_left_at_its_log)
{
    const varve_error why = {.status = VARVE_EIO, .message = "the manifest has failed"};
    varve_completion done;
    struct sim_store s;

    open_with_table(&s, 38);
    varve_log_take(s.store);
    ck_assert_int_eq(varve_commit_start(s.store, sim_store_batch(&s, "t", 1, 0, 5),
                                        VARVE_POLICY_DURABLE_GROUP, 7, &s.err),
                     VARVE_OK);
    (void)varve_log_turn(s.store, false); /* submitted, and not waited for */
    ck_assert(varve_log_busy(s.store));
    varve_store_fail(s.store, &why);
    (void)varve_log_turn(s.store, true);
    ck_assert(!varve_log_busy(s.store));
    varve_log_release(s.store);
    ck_assert_uint_eq(varve_commit_reap(s.store, &done, 1), 1);
    ck_assert_int_eq(done.status, VARVE_EIO_SYNC);
    varve_batch_free(done.batch);
    ck_assert_int_eq(varve_work(s.store, 1000, NULL), VARVE_EIO);
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 5); /* the log itself was sound */
    sim_store_destroy(&s);
}
END_TEST

/* Fails the store, as another thread may, when a group of the log grows beyond the pages that it has, for
 * which there is no memory then. */
struct short_of_memory {
    struct varve_allocator allocator;
    varve_store *store;
    bool armed;
};

static void *allocate_short(void *ctx, size_t size, size_t align)
{
    const varve_error why = {.status = VARVE_EIO_SYNC, .message = "the manifest has failed"};
    struct short_of_memory *const memory = ctx;

    if (memory->armed && align == 4096 && size > (256u << 10)) {
        memory->armed = false;
        varve_store_fail(memory->store, &why);
        return NULL;
    }
    return aligned_alloc(align < 16 ? 16 : align, (size + 4095) / 4096 * 4096);
}

static void release_short(void *ctx, void *memory, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(memory);
}

/* A group that writes a page again, of a soft commit, and is left open: nothing waits for it. */
START_TEST(group_that_is_not_finished_holds_up_no_sync)
{
    struct short_of_memory memory = {
        .allocator = {.alloc = allocate_short, .free = release_short, .ctx = &memory}};
    static char noise[40000];
    varve_completion done[2];
    varve_value row[3] = {
        {.type = VARVE_INT, .as.i64 = 1}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BLOB}};
    varve_table *table = NULL;
    varve_batch *large = NULL;
    struct sim_store s;
    struct varve_rng rng;

    sim_store_create(&s, 42);
    s.options.allocator = &memory.allocator;
    s.options.wal_segment_bytes = 4u << 20; /* the large batch fits behind the others */
    sim_store_open(&s);
    memory.store = s.store;
    sim_store_table(&s, "t", "keep");
    ck_assert_int_eq(
        varve_table_create(
            s.store, "CREATE TABLE b (k int, ts timestamp, v blob, PRIMARY KEY ((k), ts))", &s.err),
        VARVE_OK);
    ck_assert_int_eq(varve_table_open(s.store, "b", &table, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 1, VARVE_POLICY_OS), VARVE_OK);
    varve_rng_seed(&rng, 42);
    ck_assert_int_eq(varve_batch_new(s.store, &large, NULL), VARVE_OK);
    for (int i = 0; i < 10; i++) {
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)varve_rng_next(&rng);
        row[1].as.i64 = i;
        row[1].unit = varve_schema_column(varve_table_schema(table), 1)->unit;
        row[2].as.bytes.data = noise;
        row[2].as.bytes.size = sizeof noise;
        ck_assert_int_eq(varve_batch_put_row(large, table, row, 3, NULL, NULL), VARVE_OK);
    }
    varve_log_take(s.store);
    ck_assert_int_eq(
        varve_commit_start(s.store, sim_store_batch(&s, "t", 1, 1, 1), VARVE_POLICY_OS, 0, NULL),
        VARVE_OK);
    ck_assert_int_eq(varve_commit_start(s.store, large, VARVE_POLICY_OS, 1, NULL), VARVE_OK);
    memory.armed = true;
    (void)varve_log_turn(s.store, false);
    varve_log_release(s.store);
    ck_assert(!memory.armed);
    ck_assert_int_eq(varve_work(s.store, 1000, NULL), VARVE_EIO_SYNC); /* and comes back */
    ck_assert_uint_eq(varve_commit_reap(s.store, done, 2), 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(done[i].status, VARVE_EIO_SYNC);
        varve_batch_free(done[i].batch);
    }
    ck_assert(sim_store_cut(&s, 0));
    s.options.allocator = NULL;
    sim_store_open(&s);
    ck_assert_int_ge(sim_store_count(&s, "t"), 1); /* it was synced */
    sim_store_destroy(&s);
}
END_TEST

/* --------------------------------------------------------------------- The directory, the manifest */

/* A sync of the directory that fails takes with it the names of all files that were new, whoever asked for
 * it: by a flush (bit 0) or for a segment of the log while a flush writes; EIO or ENOSPC (bit 1). */
START_TEST(directory_that_cannot_be_synced_fails_the_store)
{
    const int error = (_i & 2) != 0 ? ENOSPC : EIO;
    struct sim_store s;

    for (uint64_t state = 0; state < 12; state++) {
        open_with_table(&s, 39);
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(sim_store_put(&s, "t", i, 0, ROWS, VARVE_POLICY_DURABLE_GROUP),
                             VARVE_OK);
        struct varve_table *table = sim_store_handle(&s, "t");
        varve_log_take(s.store);
        ck_assert_int_eq(varve_generation_rotate(s.store, table, NULL), VARVE_OK);
        varve_log_release(s.store);
        for (int i = 0; i < 1000 && sim_store_files(&s, VARVE_FILE_SST) == 0; i++)
            ck_assert_int_eq(varve_flush_step(s.store, 0, &s.err), VARVE_OK);
        ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), 1);
        fail_next(&s, VARVE_SIM_SYNC_DIR, 1, error, "");
        if ((_i & 1) == 0)
            ck_assert_int_eq(varve_segment_prepare(s.store, NULL), VARVE_EIO_SYNC);
        ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_EIO_SYNC);
        ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
        ck_assert_int_eq(s.err.os_code, error);
        ck_assert_int_eq(status_of(&s), VARVE_EIO_SYNC);
        ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
        ck_assert_int_eq(sim_store_put(&s, "t", 9, 0, 1, VARVE_POLICY_DURABLE_GROUP),
                         VARVE_EIO_SYNC);
        if (sim_store_cut(&s, state)) {
            sim_store_open(&s);
            ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)5 * ROWS);
        }
        sim_store_destroy(&s);
    }
}
END_TEST

/* The edit that lists a new segment of the log fails: the commits behind are told of that failure, and no
 * segment is made for them. */
START_TEST(commits_behind_a_failed_manifest_make_no_segments)
{
    enum { COMMITS = 40 };
    varve_completion done[COMMITS];
    char name[VARVE_FILE_NAME_MAX];
    struct sim_store s;
    uint32_t n = 0;

    open_with_table(&s, 40);
    sim_store_close(&s);
    sim_store_open(&s);
    const uint32_t before = sim_store_files(&s, VARVE_FILE_WAL);
    varve_log_take(s.store); /* so that all come at once */
    for (int i = 0; i < COMMITS; i++)
        ck_assert_int_eq(varve_commit_start(s.store, sim_store_batch(&s, "t", i, 0, 5),
                                            VARVE_POLICY_DURABLE_GROUP, (uint64_t)i, &s.err),
                         VARVE_OK);
    varve_log_release(s.store);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, name);
    fail_next(&s, VARVE_SIM_SYNC, 2, EIO, name); /* the first is for ids of files */
    for (int i = 0; i < 1000 && n < COMMITS; i++) {
        (void)varve_work(s.store, 1000, NULL);
        n += varve_commit_reap(s.store, done + n, COMMITS - n);
    }
    ck_assert_uint_eq(n, COMMITS);
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    ck_assert_int_eq(status_of(&s), VARVE_EIO_SYNC);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(done[i].status, VARVE_EIO_SYNC);
        varve_batch_free(done[i].batch);
    }
    ck_assert_uint_le(sim_store_files(&s, VARVE_FILE_WAL),
                      before + 2); /* one of them ahead of need */
    sim_store_destroy(&s);
}
END_TEST

/* A table is made (0) or dropped: its record is durable, and the manifest's next generation fails. */
START_TEST(statement_in_doubt_is_told_so)
{
    char name[VARVE_FILE_NAME_MAX];
    struct sim_store s;

    open_with_table(&s, 43);
    struct varve_manifest *const manifest = s.store->manifest;
    manifest->next_page = manifest->pages; /* as after many edits */
    varve_file_name_manifest(varve_manifest_generation(manifest) + 1, name);
    strcat(name, ".tmp");
    fail_next(&s, VARVE_SIM_SYNC, 1, EIO, name);
    const varve_status rc =
        _i == 0 ? sim_store_try_table(&s, "u", "keep") : varve_table_drop(s.store, "t", &s.err);
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    ck_assert_int_eq(rc, VARVE_EIO_SYNC);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_has_table(&s, _i == 0 ? "u" : "t"), _i == 0);
    sim_store_destroy(&s);
}
END_TEST

/* The next generation of the manifest cannot even be made, for want of a file descriptor: nothing has
 * happened to the one that there is. A table (0), a drop, a flush, a segment of the log. */
START_TEST(manifest_that_finds_no_descriptor_fails_nothing)
{
    char name[VARVE_FILE_NAME_MAX];
    struct sim_store s;
    int n = 1;

    open_with_table(&s, 44);
    sim_store_table(&s, "d", "keep");
    ck_assert_int_eq(sim_store_put(&s, "t", 0, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    struct varve_manifest *const manifest = s.store->manifest;
    manifest->next_page = manifest->pages; /* as after many edits */
    varve_file_name_manifest(varve_manifest_generation(manifest) + 1, name);
    strcat(name, ".tmp");
    fail_next(&s, VARVE_SIM_OPEN, 1, EMFILE, name);
    if (_i == 0)
        ck_assert_int_eq(sim_store_try_table(&s, "u", "keep"), VARVE_OK); /* owed */
    else if (_i == 1)
        ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    else if (_i == 2)
        ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_EIO);
    for (; _i == 3 && varve_sim_fault_hits(s.sim) == 0; n++) {
        const varve_status rc = sim_store_put(&s, "t", n, 0, ROWS, VARVE_POLICY_DURABLE_GROUP);
        ck_assert_int_eq(rc, varve_sim_fault_hits(s.sim) == 0 ? VARVE_OK : VARVE_EIO);
        n -= rc < 0;
    }
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 1);
    if (_i > 1)
        ck_assert_int_eq(s.err.os_code, EMFILE);
    if (_i == 3) /* kept for the next attempt */
        ck_assert_ptr_nonnull(s.store->ready_segment);
    ck_assert_int_eq(status_of(&s), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", n++, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)n * ROWS);
    ck_assert_int_eq(sim_store_has_table(&s, "u"), _i == 0);
    ck_assert_int_eq(sim_store_has_table(&s, "d"), _i != 1);
    sim_store_destroy(&s);
}
END_TEST

/* The manifest has failed, the log has not: `interval` is kept, by work (0) and by the end (1). */
START_TEST(failed_store_keeps_what_interval_promised)
{
    char name[VARVE_FILE_NAME_MAX];
    struct sim_store s;
    uint64_t id = 0;

    for (uint64_t state = 0; state < 12; state++) {
        open_with_table(&s, 41);
        sim_store_work(&s);
        ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 5, VARVE_POLICY_INTERVAL), VARVE_OK);
        sim_store_newest(&s, VARVE_FILE_MANIFEST, name);
        fail_next(&s, VARVE_SIM_SYNC, 1, EIO, name);
        s.store->next_file_id = s.store->file_id_limit; /* as after 64 files */
        ck_assert_int_eq(varve_store_file_id(s.store, &id, NULL), VARVE_EIO_SYNC);
        ck_assert_int_eq(status_of(&s), VARVE_EIO_SYNC);
        for (int i = 0; i < 10 && _i == 0; i++) {
            varve_sim_clock_advance(s.sim, 20000);
            (void)varve_work(s.store, 1000, NULL);
        }
        if (_i == 1)
            sim_store_close(&s);
        if (sim_store_cut(&s, state)) {
            sim_store_open(&s);
            ck_assert_int_eq(sim_store_count(&s, "t"), 5);
        }
        sim_store_destroy(&s);
    }
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, sync_that_no_commit_waits_for_fails_the_store, 0, 4);
    tcase_add_test(cases, evidence_that_cannot_be_written_fails_the_store);
    tcase_add_test(cases, commit_in_doubt_is_told_so);
    tcase_add_test(cases, failed_store_has_no_work_left_at_its_log);
    tcase_add_loop_test(cases, directory_that_cannot_be_synced_fails_the_store, 0, 4);
    tcase_add_test(cases, commits_behind_a_failed_manifest_make_no_segments);
    tcase_add_test(cases, group_that_is_not_finished_holds_up_no_sync);
    tcase_add_loop_test(cases, statement_in_doubt_is_told_so, 0, 2);
    tcase_add_loop_test(cases, manifest_that_finds_no_descriptor_fails_nothing, 0, 4);
    tcase_add_loop_test(cases, failed_store_keeps_what_interval_promised, 0, 2);
}

int main(void)
{
    return sim_store_main("log_failure", add);
}
