/*
 * test_full_disk.c - the disk is full from some operation on, or memory is short at one: nothing that
 * was accepted is lost, the store is not FAILED, and it goes on when there is room again.
 *
 * "Full" is that of a disk: what has its place may be overwritten, nothing grows. Tables come and go
 * by records of the log; the edit of the manifest that belongs to one may find no room, and is owed.
 * There is no reserve, unless a test says so: test_reserve.c is about that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 200

/* The disk is full from the n-th operation on. Only those count that find the space in use changed:
 * between two of them it makes no difference. */
struct filling {
    uint64_t left, used;
    uint64_t slack; /* bytes that still fit: a write may get so far */
    bool full;
};

static int watch(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct filling *f = ctx;
    const uint64_t used = varve_sim_used(sim);

    if (event->phase != VARVE_SIM_BEFORE || f->full || used == f->used)
        return 0;
    f->used = used;
    if (--f->left > 0)
        return 0;
    f->full = true;
    varve_sim_set_capacity(sim, used + f->slack);
    return 0;
}

static uint64_t generation(struct sim_store *s)
{
    char name[VARVE_FILE_NAME_MAX];
    uint64_t id = 0;

    sim_store_newest(s, VARVE_FILE_MANIFEST, name);
    (void)varve_file_name_parse(name, &id);
    return id;
}

/* Whether the store on the disk names a table in its manifest. */
static bool is_listed(struct sim_store *s, const char *name)
{
    struct varve_version *version = sim_store_listed(s);
    const bool listed = varve_version_find(version, name) != NULL;

    varve_version_unref(version);
    return listed;
}

/* Tables "t" and "d", both with rows in a file, "t" also with rows in its memtable. */
static void set_up(struct sim_store *s, uint64_t seed, bool reserve)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 64u << 10;
    s->options.reserve_bytes = reserve ? 0 : UINT64_MAX;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    sim_store_table(s, "d", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 0, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "d", 0, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
}

/* `n` edits of the manifest: a table that nobody needs comes and goes. */
static void make_edits(struct sim_store *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i % 2 == 0)
            sim_store_table(s, "x", "upsert");
        else
            ck_assert_int_eq(varve_table_drop(s->store, "x", &s->err), VARVE_OK);
    }
}

/* How many edits find room after set_up() before the manifest needs a new generation. */
static uint32_t manifest_room(void)
{
    struct sim_store s;
    uint32_t n = 0;

    set_up(&s, 90, false);
    for (const uint64_t before = generation(&s); generation(&s) == before; n++) {
        if (n % 2 == 0)
            sim_store_table(&s, "x", "upsert");
        else
            ck_assert_int_eq(varve_table_drop(s.store, "x", &s.err), VARVE_OK);
    }
    sim_store_destroy(&s);
    ck_assert_uint_gt(n, 4);
    return n - 1;
}

static void fill_up(struct sim_store *s)
{
    varve_sim_set_capacity(s->sim, varve_sim_used(s->sim) + 1);
}

static void make_room(struct sim_store *s)
{
    varve_sim_set_capacity(s->sim, 0);
    varve_sim_clock_advance(s->sim, 10000000);
}

/* A process or the power ends, or nothing does; there is room again. */
enum ending { GOES_ON, FLUSHES, CLOSES, KILLED, POWER_CUT, N_ENDINGS };

static void end_with(struct sim_store *s, enum ending ending)
{
    switch (ending) {
    case GOES_ON:
        make_room(s);
        sim_store_work(s);
        return;
    case FLUSHES: /* and trims the log: what is owed has to be written first */
        make_room(s);
        ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
        sim_store_kill(s);
        break;
    case CLOSES: /* while the disk is full */
        sim_store_close(s);
        make_room(s);
        break;
    case POWER_CUT:
        make_room(s);
        ck_assert(sim_store_cut(s, 0));
        break;
    case KILLED:
    case N_ENDINGS:
        sim_store_kill(s);
        make_room(s);
        break;
    }
    sim_store_open(s);
}

START_TEST(creation_that_the_manifest_has_no_room_for_is_owed)
{
    struct sim_store s;
    const uint32_t room = manifest_room();

    set_up(&s, 90, false);
    make_edits(&s, room & ~1u);
    if (room % 2 != 0)
        sim_store_table(&s, "x", "upsert");
    fill_up(&s);
    ck_assert_int_eq(sim_store_try_table(&s, "c", "upsert"), VARVE_OK);
    ck_assert(!is_listed(&s, "c"));
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    ck_assert_int_eq(sim_store_put(&s, "c", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "c"), ROWS);
    ck_assert_int_eq(sim_store_try_table(&s, "c", "upsert"), VARVE_EEXISTS);
    ck_assert_int_eq(sim_store_try_table(&s, "e", "upsert"),
                     VARVE_ENOSPC); /* one at most is owed */
    ck_assert_ptr_nonnull(strstr(s.err.message, "created or dropped last"));
    ck_assert_int_eq(varve_table_drop(s.store, "c", &s.err), VARVE_ENOSPC);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_ENOSPC);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    end_with(&s, (enum ending)_i);
    ck_assert(is_listed(&s, "c"));
    ck_assert_int_eq(sim_store_count(&s, "c"), ROWS);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    ck_assert_int_eq(sim_store_count(&s, "d"), ROWS);
    ck_assert_int_eq(sim_store_try_table(&s, "e", "upsert"), VARVE_OK);
    ck_assert_int_eq(varve_table_drop(s.store, "c", &s.err), VARVE_OK);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert(sim_store_has_table(&s, "e") && !sim_store_has_table(&s, "c"));
    sim_store_destroy(&s);
}
END_TEST

START_TEST(drop_that_the_manifest_has_no_room_for_is_owed)
{
    struct sim_store s;
    varve_snapshot *snapshot = NULL;
    const uint32_t room = manifest_room();

    set_up(&s, 90, false);
    ck_assert_int_eq(sim_store_put(&s, "d", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    make_edits(&s, room & ~1u);
    if (room % 2 != 0)
        sim_store_table(&s, "x", "upsert");
    const varve_table *table = sim_store_handle(&s, "d");
    ck_assert_int_eq(varve_snapshot_take(s.store, &snapshot, NULL), VARVE_OK);
    fill_up(&s);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    ck_assert(is_listed(&s, "d") && !sim_store_has_table(&s, "d"));
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    ck_assert_int_eq(sim_store_rows(&s, table, NULL), 0);
    ck_assert_int_eq(sim_store_rows(&s, table, snapshot), 2 * ROWS);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_ENOTFOUND);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_ENOSPC);
    ck_assert_int_eq(sim_store_try_table(&s, "d", "upsert"),
                     VARVE_ENOSPC); /* its name is free when that is written */
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    varve_snapshot_release(snapshot);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), 2); /* the manifest names them */
    end_with(&s, (enum ending)_i);
    ck_assert(!is_listed(&s, "d") && !sim_store_has_table(&s, "d"));
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), _i == FLUSHES ? 2 : 1);
    ck_assert_int_eq(sim_store_count(&s, "t"), 3 * ROWS);
    sim_store_table(&s, "d", "upsert");
    ck_assert_int_eq(sim_store_count(&s, "d"), 0);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "d"), 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 3 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* --------------------------------------------------------------- Full at every operation */

enum { PUTS = 24 }; /* several log segments */

struct outcome { /* what was accepted */
    bool created, filled, dropped, second;
    bool put[PUTS];
};

static bool is_refusal(struct sim_store *s, varve_status rc)
{
    ck_assert_msg(rc == VARVE_OK || rc == VARVE_ENOSPC, "%s: %s", varve_status_name(rc),
                  s->err.message);
    return rc != VARVE_OK;
}

/* Whatever is not done yet; each may be refused. */
static void attempt(struct sim_store *s, struct outcome *done)
{
    if (!done->created)
        done->created = !is_refusal(s, sim_store_try_table(s, "c", "upsert"));
    if (done->created && !done->filled)
        done->filled = !is_refusal(s, sim_store_put(s, "c", 0, 0, ROWS, VARVE_POLICY_DEFAULT));
    if (!done->dropped)
        done->dropped = !is_refusal(s, varve_table_drop(s->store, "d", &s->err));
    for (int i = 0; i < PUTS; i++) {
        if (!done->put[i])
            done->put[i] =
                !is_refusal(s, sim_store_put(s, "t", 2 + i, 0, ROWS, VARVE_POLICY_DEFAULT));
        if (i == PUTS / 2) {
            (void)is_refusal(s, varve_flush(s->store, &s->err));
            (void)varve_work(s->store, 1000, NULL);
        }
    }
    if (!done->second)
        done->second = !is_refusal(s, sim_store_try_table(s, "e", "upsert"));
}

static void compare(struct sim_store *s, const struct outcome *done, uint64_t n)
{
    int64_t expected = 2 * ROWS;

    for (int i = 0; i < PUTS; i++)
        expected += done->put[i] ? ROWS : 0;
    const bool same = sim_store_stats(s).failed == 0 && sim_store_count(s, "t") == expected &&
                      sim_store_has_table(s, "c") == done->created &&
                      sim_store_has_table(s, "d") == !done->dropped &&
                      sim_store_has_table(s, "e") == done->second &&
                      (!done->created || sim_store_count(s, "c") == (done->filled ? ROWS : 0)) &&
                      (done->dropped || sim_store_count(s, "d") == ROWS);
    ck_assert_msg(same, "full from operation %llu on", (unsigned long long)n);
}

/* False: the disk was full only after everything had been done. */
static bool run_full_from(uint64_t n, uint64_t slack, uint32_t edits, bool reserve)
{
    struct sim_store s;
    struct filling filling = {.left = n, .slack = slack};
    struct outcome done = {0};

    set_up(&s, 90, reserve);
    make_edits(&s, edits);
    ck_assert_int_eq(varve_sim_watch(s.sim, watch, &filling), 0);
    attempt(&s, &done);
    compare(&s, &done, n);
    if (n % 2 == 0)
        sim_store_kill(&s);
    else
        sim_store_close(&s);
    if (!is_refusal(&s, sim_store_try_open(&s))) { /* what was accepted is there on the full disk */
        compare(&s, &done, n);
        attempt(&s, &done);
        compare(&s, &done, n);
        make_room(&s);
    } else {
        make_room(&s);
        sim_store_open(&s);
        compare(&s, &done, n);
    }
    varve_sim_unwatch(s.sim, watch, &filling);
    make_room(&s);
    sim_store_work(&s); /* makes the reserve again */
    attempt(&s, &done);
    ck_assert(done.created && done.filled && done.dropped && done.second);
    compare(&s, &done, n);
    ck_assert_int_eq(varve_verify(s.store, NULL, NULL, NULL, NULL, &s.err), VARVE_OK);
    sim_store_kill(&s);
    sim_store_open(&s);
    compare(&s, &done, n);
    sim_store_destroy(&s);
    return filling.full;
}

START_TEST(disk_that_is_full_from_any_operation_on_loses_and_fails_nothing)
{
    const uint32_t room = manifest_room();
    const uint32_t edits = _i % 4 == 0 ? 0 : room + 1 - (uint32_t)_i % 4;
    static const uint64_t slack[] = {1, 70000};

    for (uint64_t n = 1; run_full_from(n, slack[0], edits, _i >= 4); n++)
        (void)run_full_from(n, slack[1], edits, _i >= 4);
}
END_TEST

/* ------------------------------------------------------------------ A log of repeated batches */

static varve_batch *rows_from(struct sim_store *s, uint64_t first)
{
    varve_batch *batch = sim_store_batch(s, "t", 1, (int64_t)first, 10);

    ck_assert_int_eq(varve_batch_set_origin(batch, 7, 1, first, first + 9, NULL), VARVE_OK);
    return batch;
}

static varve_status put_from(struct sim_store *s, uint64_t first)
{
    return sim_store_commit(s, rows_from(s, first), VARVE_POLICY_DEFAULT);
}

/* The first rows once more, by a commit that waits for nothing. */
static varve_status repeat(struct sim_store *s)
{
    varve_batch *batch = rows_from(s, 1);
    varve_completion done = {.status = VARVE_OK};

    ck_assert_int_eq(varve_commit_start(s->store, batch, VARVE_POLICY_DEFAULT, 0, &s->err),
                     VARVE_OK);
    while (varve_commit_reap(s->store, &done, 1) == 0)
        (void)varve_commit_reap(s->store, NULL, 0);
    varve_batch_free(batch);
    return done.status;
}

static const struct repeats {
    uint64_t room;
    int refused;
    bool reserve;
} repeats[] = {
    {300u << 10, 0, false}, {300u << 10, 3, false}, {300u << 10, 2000, false},
    {70u << 10, 1, false},  {1, 1, false},          {300u << 10, 2000, true},
    {1, 1, true},
};

/* Nothing is in memtables that a flush would let go with its log. A commit that can wait gets the room
 * all the same, however often others have been refused. */
START_TEST(full_log_of_repeated_batches_is_let_go)
{
    const struct repeats *const c = &repeats[_i];
    struct sim_store s;
    varve_status rc = VARVE_OK;

    sim_store_create(&s, 94);
    s.options.wal_segment_bytes = 64u << 10;
    s.options.reserve_bytes = c->reserve ? 0 : UINT64_MAX;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(put_from(&s, 1), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    sim_store_work(&s);
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + c->room);
    for (int i = 0; i < c->refused; i++) {
        while (i == 0 && (rc = repeat(&s)) == VARVE_OK)
            ;
        ck_assert_int_eq(i == 0 ? rc : repeat(&s), VARVE_ENOSPC);
    }
    for (int i = 0; i < 100; i++)
        ck_assert_msg(put_from(&s, 1) == VARVE_OK, "%d: %s", i, s.err.message);
    ck_assert_int_eq(put_from(&s, 11), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 1);
    ck_assert_uint_eq(sim_store_stats(&s).reserve_spent, 0);
    make_room(&s);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 20);
    sim_store_destroy(&s);
}
END_TEST

static int watch_reserve(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    (void)sim;
    *(int *)ctx += event->op == VARVE_SIM_TRUNCATE && strcmp(event->name, "RESERVE") == 0;
    return 0;
}

/* There is a flush to do, too, and no room for its files but that log. */
START_TEST(flush_without_room_lets_go_of_the_log_that_nobody_keeps)
{
    struct sim_store s;
    int cuts = 0;

    sim_store_create(&s, 98);
    s.options.wal_segment_bytes = 64u << 10;
    s.options.reserve_bytes = _i == 1 ? 0 : UINT64_MAX;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(put_from(&s, 1), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    sim_store_work(&s);
    while (sim_store_stats(&s).wal_segments < 10)
        ck_assert_int_eq(repeat(&s), VARVE_OK);
    ck_assert_int_eq(put_from(&s, 11), VARVE_OK);
    fill_up(&s);
    ck_assert_int_eq(varve_sim_watch(s.sim, watch_reserve, &cuts), 0);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).wal_segments, 1);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 2);
    ck_assert_int_eq(cuts, 0);
    varve_sim_unwatch(s.sim, watch_reserve, &cuts);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 20);
    sim_store_destroy(&s);
}
END_TEST

static int count_generations(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    (void)sim;
    *(int *)ctx += event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_OPEN &&
                   strncmp(event->name, "MANIFEST", 8) == 0;
    return 0;
}

/* Nor is there room for the edit that would let the log go: it is tried about once a second. */
START_TEST(log_that_cannot_be_let_go_keeps_nobody_busy)
{
    struct sim_store s;
    uint64_t id = 0;
    int attempts = 0;

    sim_store_create(&s, 95);
    s.options.wal_segment_bytes = 64u << 10;
    s.options.reserve_bytes = UINT64_MAX;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(put_from(&s, 1), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    sim_store_work(&s);
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + (300u << 10));
    while (repeat(&s) == VARVE_OK)
        ;
    while (varve_store_file_ids(s.store, VARVE_FILE_ID_CHUNK, &id, &s.err) == VARVE_OK)
        ;
    ck_assert_int_eq(s.err.status, VARVE_ENOSPC);
    ck_assert_int_eq(put_from(&s, 1), VARVE_ENOSPC);
    ck_assert_int_eq(varve_sim_watch(s.sim, count_generations, &attempts), 0);
    for (int i = 0; i < 200; i++) {
        (void)varve_work(s.store, 1000, NULL);
        varve_sim_clock_advance(s.sim, 10000);
    }
    ck_assert_int_ge(attempts, 1);
    ck_assert_int_le(attempts, 3);
    varve_sim_unwatch(s.sim, count_generations, &attempts);
    make_room(&s);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 1);
    ck_assert_int_eq(put_from(&s, 11), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

/* Two threads may have come to it; one attempt is enough. */
START_TEST(segment_ahead_of_need_is_not_tried_twice_in_a_second)
{
    struct sim_store s;

    sim_store_create(&s, 96);
    sim_store_open(&s);
    fill_up(&s);
    ck_assert_int_eq(varve_segment_prepare(s.store, &s.err), VARVE_ENOSPC);
    const uint64_t before = varve_sim_ops(s.sim);
    ck_assert_int_eq(varve_segment_prepare(s.store, &s.err), VARVE_END);
    ck_assert_uint_eq(varve_sim_ops(s.sim), before);
    varve_sim_clock_advance(s.sim, 1000000);
    ck_assert_int_eq(varve_segment_prepare(s.store, &s.err), VARVE_ENOSPC);
    make_room(&s);
    ck_assert_int_eq(varve_segment_prepare(s.store, &s.err), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------ Memory */

/* Create or drop a table with the n-th allocation failing. False: there are fewer. */
static bool run_without_memory(long n, bool drop, enum fault_mode mode)
{
    struct sim_store s;
    struct fault fault;

    fault_init(&fault, FAULT_NEVER, mode);
    sim_store_create(&s, 91);
    s.options.allocator = &fault.allocator;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    fault.at = atomic_load(&fault.calls) + n;
    varve_status rc =
        drop ? varve_table_drop(s.store, "t", &s.err) : sim_store_try_table(&s, "c", "upsert");
    const bool fired = fault_fired(&fault);
    fault.at = FAULT_NEVER;
    ck_assert_msg(rc == VARVE_OK || rc == VARVE_ENOMEM, "%s", s.err.message);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    ck_assert(drop ? sim_store_has_table(&s, "t") == (rc < 0)
                   : sim_store_has_table(&s, "c") == (rc == VARVE_OK));
    if (n % 2 == 0) {
        sim_store_kill(&s);
        sim_store_open(&s);
        ck_assert(drop ? sim_store_has_table(&s, "t") == (rc < 0)
                       : sim_store_has_table(&s, "c") == (rc == VARVE_OK));
    }
    if (rc < 0)
        rc = drop ? varve_table_drop(s.store, "t", &s.err) : sim_store_try_table(&s, "c", "upsert");
    ck_assert_int_eq(rc, VARVE_OK);
    if (!drop)
        ck_assert_int_eq(sim_store_put(&s, "c", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    const uint64_t before = varve_sim_ops(s.sim);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_uint_lt(varve_sim_ops(s.sim) - before, 30); /* at the first attempt */
    sim_store_work(&s);
    ck_assert(is_listed(&s, drop ? "t" : "c") == !drop);
    sim_store_kill(&s);
    sim_store_open(&s); /* collects files that there was no memory to note */
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), drop ? 0 : 2);
    ck_assert(sim_store_has_table(&s, "t") == !drop);
    ck_assert(drop || sim_store_count(&s, "c") == ROWS);
    sim_store_destroy(&s);
    return fired;
}

START_TEST(memory_that_is_short_at_a_creation_or_a_drop_fails_nothing)
{
    const enum fault_mode mode = _i / 2 == 0 ? FAULT_ONCE : FAULT_FOR_EVER;

    for (long n = 0; run_without_memory(n, _i % 2 != 0, mode); n++)
        ;
}
END_TEST

/* ----------------------------------------------------------------------- Room that others make */

/* Another thread: it makes room when a flush has found none, too; or it lets memory or log go whose room is
 * taken again at once, and five seconds pass with each attempt. */
struct other_thread {
    struct sim_store *s;
    int attempts, flushes; /* that found no room */
    bool makes_room;
};

static int act_for_another(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct other_thread *const other = ctx;
    uint64_t id;

    if (event->phase != VARVE_SIM_AFTER || event->result != -ENOSPC)
        return 0;
    const bool is_log = varve_file_name_parse(event->name, &id) == VARVE_FILE_WAL;
    other->attempts += is_log;
    other->flushes += !is_log;
    if (other->makes_room && !is_log)
        varve_sim_set_capacity(sim, 0);
    if (!other->makes_room && is_log && other->attempts < 100) {
        varve_sim_clock_advance(sim, 5000000);
        other->s->store->n_relieved++;
    }
    return 0;
}

static void fill_log(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 64u << 10;
    s->options.reserve_bytes = UINT64_MAX;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    fill_up(s);
    while (sim_store_put(s, "t", 1, 0, 1, VARVE_POLICY_OS) == VARVE_OK)
        ;
}

/* A commit (0), a table (1). */
static varve_status demand(struct sim_store *s, int kind)
{
    return kind == 0 ? sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT)
                     : sim_store_try_table(s, "u", "upsert");
}

START_TEST(room_that_another_thread_makes_is_used)
{
    struct sim_store s;
    struct other_thread other = {.s = &s, .makes_room = true};

    fill_log(&s, 99);
    ck_assert_int_eq(varve_sim_watch(s.sim, act_for_another, &other), 0);
    ck_assert_int_eq(demand(&s, _i), VARVE_OK);
    ck_assert_int_eq(other.attempts, 1);
    ck_assert_int_eq(other.flushes, 1);
    varve_sim_unwatch(s.sim, act_for_another, &other);
    sim_store_destroy(&s);
}
END_TEST

/* A minute is what one call waits in all. */
START_TEST(room_that_others_take_is_not_waited_for_without_end)
{
    struct sim_store s;
    struct other_thread other = {.s = &s};

    fill_log(&s, 100);
    ck_assert_int_eq(varve_sim_watch(s.sim, act_for_another, &other), 0);
    ck_assert_int_eq(demand(&s, _i), VARVE_ENOSPC);
    ck_assert_int_ge(other.attempts, 10);
    ck_assert_int_le(other.attempts, 14);
    varve_sim_unwatch(s.sim, act_for_another, &other);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------------- Ids of files */

/* However often a flush finds no room for its files, it takes no ids: else the manifest would need more
 * and more, and room for that. */
START_TEST(flush_that_is_refused_takes_no_ids)
{
    struct sim_store s;
    uint64_t next = 0;

    sim_store_create(&s, 96);
    s.options.reserve_bytes = UINT64_MAX;
    s.options.window_seconds = 3600;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int64_t i = 0; i < 5; i++) /* each a file of its own */
        ck_assert_int_eq(sim_store_put(&s, "t", 1, i * 7200000, ROWS, VARVE_POLICY_DEFAULT),
                         VARVE_OK);
    for (uint64_t slack = 1; slack < (40u << 10); slack += 5000) { /* it gets so far */
        const uint64_t used = varve_sim_used(s.sim);
        varve_sim_set_capacity(s.sim, used + slack);
        for (int i = 0; i < 10; i++) {
            ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_ENOSPC);
            if (next == 0)
                next = s.store->next_file_id;
            ck_assert_uint_eq(s.store->next_file_id, next);
            ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), 0);
            ck_assert_uint_eq(varve_sim_used(s.sim), used);
        }
    }
    make_room(&s);
    ck_assert_int_eq(varve_segment_prepare(s.store, NULL), VARVE_OK);
    next = s.store->next_file_id;
    for (uint64_t n = 1; n <= 5; n++) { /* nor does one that cannot make its n-th file */
        struct varve_sim_fault fault = {
            .classes = VARVE_SIM_OPEN, .nth = n, .times = 1, .error = EMFILE};
        ck_assert_int_ge(varve_sim_fault_add(s.sim, &fault), 0);
        ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_EIO);
        varve_sim_fault_clear(s.sim);
        ck_assert_uint_eq(s.store->next_file_id, next);
    }
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_SST), 5);
    ck_assert_uint_eq(s.store->next_file_id, next + 5);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 5 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

static uint64_t take_id(struct sim_store *s)
{
    uint64_t id = 0;

    ck_assert_int_eq(varve_store_file_id(s->store, &id, &s->err), VARVE_OK);
    return id;
}

/* Two who take ids and give them back, in whatever order; and a generation of the manifest that begins
 * meanwhile: no id is given twice, nor one that the generation before has given away. */
START_TEST(ids_are_given_back_to_their_generation)
{
    struct sim_store s;

    sim_store_create(&s, 97);
    sim_store_open(&s);
    uint64_t a = take_id(&s), b = take_id(&s);
    ck_assert_uint_eq(b, a + 1);
    varve_store_file_discard(s.store, VARVE_FILE_SST, b);
    varve_store_file_discard(s.store, VARVE_FILE_WAL, a);
    ck_assert_uint_eq(take_id(&s), a);
    b = take_id(&s);
    varve_store_file_discard(s.store, VARVE_FILE_SST, a); /* b is in use */
    ck_assert_uint_eq(take_id(&s), b + 1);
    struct varve_sim_fault fault = {
        .classes = VARVE_SIM_UNLINK, .nth = 1, .times = 1, .error = EIO};
    ck_assert_int_ge(varve_sim_fault_add(s.sim, &fault), 0);
    varve_store_file_discard(s.store, VARVE_FILE_SST, b + 1); /* it may be there still */
    ck_assert_uint_eq(take_id(&s), b + 2);
    do
        b = take_id(&s);
    while (b + 1 < s.store->file_id_limit);
    ck_assert_int_eq(varve_store_begin_generation(s.store, &s.err), VARVE_OK);
    const uint64_t c = take_id(&s);
    ck_assert_uint_eq(c, b + 1);
    varve_store_file_discard(s.store, VARVE_FILE_WAL, c);
    varve_store_file_discard(s.store, VARVE_FILE_SST, b);
    ck_assert_uint_eq(take_id(&s), c);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, flush_without_room_lets_go_of_the_log_that_nobody_keeps, 0, 2);
    tcase_add_loop_test(cases, room_that_another_thread_makes_is_used, 0, 2);
    tcase_add_loop_test(cases, room_that_others_take_is_not_waited_for_without_end, 0, 2);
    tcase_add_test(cases, flush_that_is_refused_takes_no_ids);
    tcase_add_test(cases, ids_are_given_back_to_their_generation);
    tcase_add_loop_test(cases, creation_that_the_manifest_has_no_room_for_is_owed, 0, N_ENDINGS);
    tcase_add_loop_test(cases, drop_that_the_manifest_has_no_room_for_is_owed, 0, N_ENDINGS);
    tcase_add_loop_test(cases, disk_that_is_full_from_any_operation_on_loses_and_fails_nothing, 0,
                        8);
    tcase_add_loop_test(cases, full_log_of_repeated_batches_is_let_go, 0,
                        sizeof repeats / sizeof repeats[0]);
    tcase_add_test(cases, log_that_cannot_be_let_go_keeps_nobody_busy);
    tcase_add_test(cases, segment_ahead_of_need_is_not_tried_twice_in_a_second);
    tcase_add_loop_test(cases, memory_that_is_short_at_a_creation_or_a_drop_fails_nothing, 0, 4);
}

int main(void)
{
    return sim_store_main("full_disk", add);
}
