/*
 * test_store_ground.c - what a store stands on after a death: nothing is in files that is not
 * durable in the log, the log goes on from what the manifest says, rows that are replayed stay, and
 * what the manifest names is neither older nor less than it says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/manifest/manifest.h"
#include "tests/unit/engine/sim_store.h"

#define PER_BATCH 2000

/* Each batch has many rows in one table and a single one in another, which is never flushed with it:
 * a power cut must take both or neither. */
static void fill_until_flushed(struct sim_store *s, varve_policy policy)
{
    for (int i = 0; i < 400 && sim_store_stats(s).flushes == 0; i++) {
        varve_batch *batch = sim_store_batch(s, "many", i, 0, PER_BATCH);
        const varve_value values[3] = {{.type = VARVE_INT, .as.i64 = i},
                                       {.type = VARVE_TIMESTAMP, .as.i64 = 1},
                                       {.type = VARVE_BIGINT, .as.i64 = 3}};
        ck_assert_int_eq(
            varve_batch_put_row(batch, sim_store_handle(s, "one"), values, 3, NULL, NULL),
            VARVE_OK);
        ck_assert_int_eq(sim_store_commit(s, batch, policy), VARVE_OK);
        (void)varve_work(s->store, 10000, NULL);
    }
    ck_assert_uint_gt(sim_store_stats(s).flushes, 0);
}

START_TEST(a_flushed_part_of_a_batch_never_outlives_the_others)
{
    bool more = true;

    for (uint64_t state = 0; more && state < 8; state++) {
        struct sim_store s;
        sim_store_create(&s, 71);
        s.options.memtable_bytes = 256u << 10;
        s.options.interval_ms = 10000;
        sim_store_open(&s);
        sim_store_table(&s, "many", "upsert");
        sim_store_table(&s, "one", "upsert");
        fill_until_flushed(&s, (varve_policy)_i);
        more = sim_store_cut(&s, state * 5);
        if (more) {
            sim_store_open(&s);
            ck_assert_int_eq(sim_store_count(&s, "many"), PER_BATCH * sim_store_count(&s, "one"));
            ck_assert_int_gt(sim_store_count(&s, "many"), 0);
        }
        sim_store_destroy(&s);
    }
}
END_TEST

START_TEST(a_flush_right_after_an_open_leaves_a_log_that_goes_on)
{
    struct sim_store s;

    sim_store_create(&s, 72);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
        sim_store_kill(&s);
        sim_store_open(&s);
        ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
        if (i % 2 == 0) { /* once with records behind the replay point, once without */
            ck_assert_int_eq(sim_store_put(&s, "t", 100 + i, 0, 10, VARVE_POLICY_DEFAULT),
                             VARVE_OK);
        }
        sim_store_kill(&s);
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), 10 * (i + 1 + i / 2 + 1));
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(rows_that_a_replay_has_no_memory_for_go_to_files)
{
    struct sim_store s;
    const int batches = 60;

    sim_store_create(&s, 73);
    s.options.memory_limit = 128u << 20;
    s.options.memtable_bytes = 64u << 20; /* nothing is flushed the first time */
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < batches; i++)
        ck_assert_int_eq(
            sim_store_put(&s, "t", i % 3, (int64_t)i * PER_BATCH, PER_BATCH, VARVE_POLICY_OS),
            VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    sim_store_kill(&s);
    s.options.memory_limit = 16u << 20;
    s.options.memtable_bytes = 256u << 10;
    for (int life = 0; life < 3; life++) { /* the second open finds files, and no log for them */
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), batches * PER_BATCH);
        ck_assert_uint_gt(sim_store_stats(&s).file_rows, 0);
        sim_store_kill(&s);
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_close_notes_the_seal_of_an_idle_log)
{
    struct sim_store s;
    struct varve_manifest *manifest = NULL;
    uint64_t sealed = 0;

    sim_store_create(&s, 74);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    for (int i = 0; i < 50; i++) { /* nothing happens for so long that the log says so itself */
        varve_sim_clock_advance(s.sim, 1000000);
        sim_store_work(&s);
    }
    const uint64_t end = sim_store_stats(&s).lsn_committed;
    sim_store_close(&s);
    ck_assert_int_eq(varve_manifest_open(s.vfs, &s.heap, true, &manifest, NULL), VARVE_OK);
    struct varve_version *version = varve_manifest_version(manifest);
    ck_assert_uint_ge(version->durable_lsn, end);
    for (uint32_t i = 0; i < version->n_segments; i++)
        sealed += version->segments[i].sealed && version->segments[i].final_lsn >= end;
    ck_assert_uint_gt(sealed, 0);
    varve_version_unref(version);
    varve_manifest_close(manifest);
    sim_store_open(&s);
    ck_assert_uint_eq(sim_store_stats(&s).cut_lsn_end, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 10);
    sim_store_destroy(&s);
}
END_TEST

struct found {
    const char *part;
    char name[VARVE_SIM_NAME_MAX]; /* the last one in order */
};

static int find_name(void *ctx, const char *name)
{
    struct found *found = ctx;

    if (strstr(name, found->part) != NULL)
        memcpy(found->name, name, strlen(name) + 1);
    return 0;
}

static struct found last_file(struct sim_store *s, const char *part)
{
    struct found found = {.part = part};

    ck_assert_int_eq(varve_sim_list(s->sim, find_name, &found), 0);
    ck_assert_int_ne(found.name[0], 0);
    return found;
}

/* ENOTFOUND would say that there is no such table. */
START_TEST(a_named_file_that_is_missing_is_corruption)
{
    struct sim_store s;
    varve_cursor *cursor = NULL;
    varve_scan scan;

    sim_store_create(&s, 75);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    sim_store_close(&s);
    const struct found sst = last_file(&s, ".sst");
    sim_store_remove(&s, sst.name);
    varve_status rc = sim_store_try_open(&s);
    if (rc == VARVE_OK) {
        varve_scan_init(&scan, sizeof scan);
        rc = varve_scan_open(s.store, sim_store_handle(&s, "t"), &scan, &cursor, &s.err);
    }
    ck_assert_int_eq(rc, VARVE_ECORRUPT);
    ck_assert_str_eq(s.err.file, sst.name);
    sim_store_destroy(&s);
}
END_TEST

/* The bytes are sound and of this store; only the generation that they carry is not the name's. */
START_TEST(an_old_generation_under_the_newest_name_is_refused)
{
    struct sim_store s;

    sim_store_create(&s, 76);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_close(&s);
    const struct found old = last_file(&s, "MANIFEST-");
    const int64_t size = varve_sim_size(s.sim, old.name);
    void *const bytes = malloc((size_t)size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(varve_sim_read(s.sim, old.name, 0, bytes, (size_t)size), size);
    sim_store_open(&s); /* begins another generation */
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_close(&s);
    const struct found newest = last_file(&s, "MANIFEST-");
    ck_assert_str_ne(newest.name, old.name);
    ck_assert_int_eq(varve_sim_remove(s.sim, newest.name), 0);
    ck_assert_int_eq(varve_sim_put(s.sim, newest.name, bytes, (size_t)size), 0);
    free(bytes);
    const uint64_t before = varve_sim_hash(s.sim);
    for (int reader = 0; reader < 2; reader++) {
        s.options.flags = reader ? VARVE_OPEN_READ_ONLY : VARVE_OPEN_CREATE;
        ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
        ck_assert_str_eq(s.err.file, newest.name);
    }
    ck_assert_uint_eq(varve_sim_hash(s.sim), before);
    sim_store_destroy(&s);
}
END_TEST

/* --------------------------------------------------------------------------------- Strays */

/* A file of the store that its manifest does not name: its number was given to a log segment. */
static const char stray[] = "0000000000000001.sst";

static void begin_with_stray(struct sim_store *s, uint64_t seed)
{
    char name[VARVE_FILE_NAME_MAX];

    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "one", "upsert");
    ck_assert_int_eq(sim_store_put(s, "one", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_kill(s);
    varve_file_name_manifest(1, name);
    ck_assert_int_eq(varve_sim_copy_file(s->sim, stray, s->sim, name), 0);
}

static bool is_stray_left(struct sim_store *s)
{
    return varve_sim_size(s->sim, stray) >= 0;
}

/* It may be a file of theirs that has left the store since. */
START_TEST(strays_stay_while_there_are_readers)
{
    struct sim_store s;
    struct varve_vfs *vfs = NULL;
    varve_options options;
    varve_store *reader = NULL;

    begin_with_stray(&s, 61);
    ck_assert_int_eq(varve_sim_attach(s.sim, &vfs), 0);
    options = s.options;
    options.vfs = vfs;
    options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(varve_open("", &options, &reader, &s.err), VARVE_OK);
    sim_store_open(&s);
    ck_assert(is_stray_left(&s));
    varve_close(reader);
    ck_assert(is_stray_left(&s)); /* for the next open */
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert(!is_stray_left(&s));
    ck_assert_int_eq(sim_store_count(&s, "one"), 10);
    sim_store_destroy(&s);
}
END_TEST

/* Every time that the directory is looked through it may not be possible. */
START_TEST(an_open_that_cannot_list_the_directory_says_so)
{
    struct sim_store s;
    uint64_t n = 0;

    for (bool hit = true; hit; sim_store_destroy(&s)) {
        const struct varve_sim_fault fault = {
            .classes = VARVE_SIM_LIST, .nth = ++n, .times = 1, .error = EIO};

        begin_with_stray(&s, 62);
        ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
        const varve_status rc = sim_store_try_open(&s);
        hit = varve_sim_fault_hits(s.sim) > 0;
        varve_sim_fault_clear(s.sim);
        ck_assert(rc == VARVE_OK || (hit && rc == VARVE_EIO));
        if (rc < 0) {
            ck_assert_int_eq(s.err.os_code, EIO);
            ck_assert(is_stray_left(&s));
            sim_store_open(&s);
        }
        ck_assert(!is_stray_left(&s));
        ck_assert_int_eq(sim_store_count(&s, "one"), 10);
    }
    ck_assert_uint_ge(n, 3); /* the manifest's and the strays' at least */
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_flushed_part_of_a_batch_never_outlives_the_others,
                        VARVE_POLICY_INTERVAL, VARVE_POLICY_OS + 1);
    tcase_add_test(cases, a_flush_right_after_an_open_leaves_a_log_that_goes_on);
    tcase_add_test(cases, rows_that_a_replay_has_no_memory_for_go_to_files);
    tcase_add_test(cases, a_close_notes_the_seal_of_an_idle_log);
    tcase_add_test(cases, a_named_file_that_is_missing_is_corruption);
    tcase_add_test(cases, an_old_generation_under_the_newest_name_is_refused);
    tcase_add_test(cases, strays_stay_while_there_are_readers);
    tcase_add_test(cases, an_open_that_cannot_list_the_directory_says_so);
}

int main(void)
{
    return sim_store_main("store_ground", add);
}
