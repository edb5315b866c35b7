/*
 * test_open_fault.c - opening a store, and the calls that change it, with the n-th allocation or the
 * n-th operation of the disk failing, for every n until the call no longer reaches it.
 *
 * Each disk holds files, a log with rows behind them, origins, and the record of a table that was
 * created or dropped but not yet entered in the manifest. A call that fails says why and leaks
 * nothing; without the fault the store has all that was committed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/manifest/manifest.h"
#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 20
#define OPEN_TABLES 6
#define ORIGINS 16
#define STEPS_MAX 4000

enum left { /* what the log has and the manifest has not */
            LEFT_CREATED = 0,
            LEFT_DROPPED = 1,
            LEFT_KINDS = 2
};

struct found {
    char name[VARVE_SIM_NAME_MAX];
};

static int find_manifest(void *ctx, const char *name)
{
    struct found *found = ctx;

    if (strncmp(name, "MANIFEST-", 9) == 0)
        memcpy(found->name, name, strlen(name) + 1);
    return 0;
}

static varve_status put_from(struct sim_store *s, const char *table, uint32_t origin, int k)
{
    varve_batch *batch = sim_store_batch(s, table, k, 0, ROWS);

    ck_assert_int_eq(varve_batch_set_origin(batch, origin, 1, 1, 1, NULL), VARVE_OK);
    return sim_store_commit(s, batch, VARVE_POLICY_DEFAULT);
}

/* The manifest knows nothing of what the log's last record says. */
static void must_be_left(struct sim_store *s, enum left left)
{
    struct varve_manifest *manifest = NULL;

    ck_assert_int_eq(varve_manifest_open(s->vfs, &s->heap, true, &manifest, NULL), VARVE_OK);
    struct varve_version *const version = varve_manifest_version(manifest);
    ck_assert_ptr_null(varve_version_find(version, "late"));
    ck_assert(left == LEFT_CREATED || varve_version_find(version, "t5") != NULL);
    varve_version_unref(version);
    varve_manifest_close(manifest);
}

/* The disk of a process that died. */
static void make_disk(struct sim_store *s, enum left left)
{
    char name[16];
    struct found manifest = {{0}};

    sim_store_create(s, 91);
    s->options.wal_segment_bytes = 64u << 10;
    s->options.memory_limit = 8u << 20;
    s->options.memtable_bytes = 256u << 10;
    sim_store_open(s);
    for (int t = 0; t < OPEN_TABLES; t++) {
        (void)snprintf(name, sizeof name, "t%d", t);
        sim_store_table(s, name, t == 1 ? "error" : "upsert");
    }
    ck_assert_int_eq(put_from(s, "t0", 1, 0), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    for (uint32_t i = 0; i < ORIGINS - 1; i++) /* all that a table has room for until it grows */
        ck_assert_int_eq(put_from(s, "t0", 2 + i, 1 + (int)i), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "t1", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_sim_list(s->sim, find_manifest, &manifest), 0);
    struct varve_sim_fault fault = {.classes = VARVE_SIM_SYNC,
                                    .sync_mode = VARVE_SIM_SYNC_REVERT, /* nothing stays of it */
                                    .nth = 1,
                                    .times = UINT64_MAX,
                                    .error = EIO};
    memcpy(fault.name, manifest.name, sizeof fault.name);
    ck_assert_int_eq(varve_sim_fault_add(s->sim, &fault), 0);
    if (left == LEFT_CREATED)
        ck_assert_int_lt(
            varve_table_create(
                s->store,
                "CREATE TABLE late (k int, ts timestamp, v bigint, PRIMARY KEY ((k), ts))", NULL),
            0);
    else
        ck_assert_int_lt(varve_table_drop(s->store, "t5", NULL), 0);
    ck_assert_uint_gt(varve_sim_fault_hits(s->sim), 0);
    varve_sim_fault_clear(s->sim);
    sim_store_kill(s);
    must_be_left(s, left);
}

/* The same disk again, for another process with an allocator of its own. */
static void copy_disk(struct sim_store *to, const struct sim_store *from, struct fault *fault)
{
    memset(to, 0, sizeof *to);
    varve_heap_init(&to->heap, NULL, UINT64_MAX);
    to->options = from->options;
    to->options.allocator = &fault->allocator;
    ck_assert_int_eq(varve_sim_clone(from->sim, &to->sim), 0);
    ck_assert_int_eq(varve_sim_attach(to->sim, &to->vfs), 0);
}

static void must_be_whole(struct sim_store *s, enum left left)
{
    varve_table *table = NULL;
    const char *const name = left == LEFT_CREATED ? "late" : "t5";

    ck_assert_int_eq(sim_store_count(s, "t0"), ORIGINS * ROWS);
    ck_assert_int_eq(sim_store_count(s, "t1"), ROWS);
    ck_assert_int_eq(varve_table_open(s->store, name, &table, NULL),
                     left == LEFT_CREATED ? VARVE_OK : VARVE_ENOTFOUND);
    if (left == LEFT_CREATED)
        ck_assert_int_eq(sim_store_count(s, name), 0);
}

static void end_copy(struct sim_store *s, struct fault *fault)
{
    sim_store_close(s);
    ck_assert_uint_eq(fault_live(fault), 0);
    ck_assert_msg(varve_sim_violation(s->sim) == NULL, "%s", varve_sim_violation(s->sim));
    varve_sim_destroy(s->sim);
}

/* `error` 0: the n-th allocation; else that errno of the n-th operation. True: it struck. */
static bool open_at(const struct sim_store *disk, enum left left, uint32_t flags, int error, long n)
{
    struct fault f;
    struct sim_store s;

    fault_init(&f, error == 0 ? n : FAULT_NEVER, FAULT_ONCE);
    copy_disk(&s, disk, &f);
    s.options.flags = flags;
    if (error != 0)
        ck_assert_int_eq(varve_sim_fault_nth(s.sim, (uint64_t)n + 1, false, error), 0);
    const varve_status rc = sim_store_try_open(&s);
    const bool struck = error == 0 ? fault_fired(&f) : varve_sim_fault_hits(s.sim) > 0;
    varve_sim_fault_clear(s.sim);
    f.at = FAULT_NEVER;
    if (rc < 0) {
        ck_assert(struck);
        ck_assert_int_eq(rc, error == 0 ? VARVE_ENOMEM : s.err.status);
        ck_assert_int_eq(s.err.status, rc);
        ck_assert_ptr_null(s.store);
        ck_assert_uint_eq(fault_live(&f), 0);
        ck_assert_int_eq(varve_sim_attach(s.sim, &s.vfs), 0);
        fault_init(&f, FAULT_NEVER, FAULT_ONCE);
        sim_store_open(&s);
    }
    must_be_whole(&s, left);
    end_copy(&s, &f);
    return struck;
}

START_TEST(an_open_survives_every_fault)
{
    const uint32_t flags = _i % 2 == 0 ? VARVE_OPEN_CREATE : VARVE_OPEN_READ_ONLY;
    const int error = _i / 2 % 2 == 0 ? 0 : EIO;
    const enum left left = (enum left)(_i / 4);
    struct sim_store disk;
    long n = 0;

    make_disk(&disk, left);
    while (open_at(&disk, left, flags, error, n)) {
        n += error == 0 ? 1 : 1 + n / 16; /* the later operations of the disk are much alike */
        ck_assert_int_lt(n, STEPS_MAX);
    }
    ck_assert_int_gt(n, 20);
    sim_store_destroy(&disk);
}
END_TEST

/* ------------------------------------------------------------------------- Calls of an open store */

static varve_status create_one(struct sim_store *s)
{
    return varve_table_create(
        s->store, "CREATE TABLE extra (k int, ts timestamp, v bigint, PRIMARY KEY ((k), ts))",
        &s->err);
}

static varve_status drop_one(struct sim_store *s)
{
    return varve_table_drop(s->store, "t4", &s->err);
}

/* Rows of more tables than a commit has room for in itself, from an origin not seen before. */
static varve_status commit_wide(struct sim_store *s)
{
    char name[16];
    varve_batch *batch = NULL;
    varve_status rc = varve_batch_new(s->store, &batch, &s->err);

    for (int t = 0; rc == VARVE_OK && t < 5; t++) {
        const varve_value values[3] = {{.type = VARVE_INT, .as.i64 = 99},
                                       {.type = VARVE_TIMESTAMP, .as.i64 = 1},
                                       {.type = VARVE_BIGINT, .as.i64 = 3}};
        (void)snprintf(name, sizeof name, "t%d", t);
        varve_table *table = NULL;
        rc = varve_table_open(s->store, name, &table, &s->err);
        if (rc == VARVE_OK)
            rc = varve_batch_put_row(batch, table, values, 3, NULL, &s->err);
    }
    if (rc == VARVE_OK)
        rc = varve_batch_set_origin(batch, 500, 1, 1, 1, &s->err);
    if (rc == VARVE_OK)
        rc = varve_commit(s->store, batch, VARVE_POLICY_DEFAULT, NULL, &s->err);
    varve_batch_free(batch);
    return rc;
}

static varve_status flush_all(struct sim_store *s)
{
    return varve_flush(s->store, &s->err);
}

static const struct {
    varve_status (*call)(struct sim_store *s);
    const char *table;     /* that shows whether it was done; NULL: nothing to see */
    int64_t before, after; /* rows in it; -1: no such table */
} calls[] = {
    {create_one, "extra", -1, 0},
    {drop_one, "t4", 0, -1},
    {commit_wide, "t3", 0, 1},
    {flush_all, "t1", ROWS, ROWS},
};

static int64_t rows_of(struct sim_store *s, const char *name)
{
    varve_table *table = NULL;

    if (varve_table_open(s->store, name, &table, NULL) == VARVE_ENOTFOUND)
        return -1;
    return sim_store_count(s, name);
}

static bool call_at(const struct sim_store *disk, int i, long n)
{
    struct fault f;
    struct sim_store s;

    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    copy_disk(&s, disk, &f);
    sim_store_open(&s);
    f.at = fault_calls(&f) + n;
    varve_status rc = calls[i].call(&s);
    const bool struck = fault_fired(&f);
    f.at = FAULT_NEVER;
    if (rc < 0) {
        ck_assert(struck);
        ck_assert_int_eq(rc, VARVE_ENOMEM);
        ck_assert_int_eq(s.err.status, rc);
        if (sim_store_stats(&s).failed != 0) { /* only then may it have been done in part */
            sim_store_kill(&s);
            sim_store_open(&s);
        } else {
            ck_assert_int_eq(rows_of(&s, calls[i].table), calls[i].before);
        }
        if (rows_of(&s, calls[i].table) == calls[i].before)
            ck_assert_int_eq(calls[i].call(&s), VARVE_OK);
    }
    ck_assert_int_eq(rows_of(&s, calls[i].table), calls[i].after);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(rows_of(&s, calls[i].table), calls[i].after);
    end_copy(&s, &f);
    return struck;
}

START_TEST(a_call_without_memory_changes_nothing_and_works_the_next_time)
{
    struct sim_store disk;
    long n = 0;

    make_disk(&disk, LEFT_CREATED);
    while (call_at(&disk, _i, n))
        ck_assert_int_lt(++n, STEPS_MAX);
    ck_assert_int_gt(n, 2);
    sim_store_destroy(&disk);
}
END_TEST

static void add(TCase *cases)
{
    /* A dropped table is another record of the same log: failing allocations reach all of it. */
    tcase_add_loop_test(cases, an_open_survives_every_fault, 0, 5);
    tcase_add_loop_test(cases, a_call_without_memory_changes_nothing_and_works_the_next_time, 0,
                        (int)(sizeof calls / sizeof calls[0]));
}

int main(void)
{
    return sim_store_main("open_fault", add);
}
