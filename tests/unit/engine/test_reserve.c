/*
 * test_reserve.c - the room that is kept on the disk: made, used on a disk without any other, and made
 * again; what is acknowledged stays, whatever fails and whenever the power goes meanwhile.
 *
 * "Full" is a disk on which no page can be added. Each disk holds tables "t" and "d" with rows in
 * files, and rows of both in the log.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/vfs/sim_int.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 200
#define BIG 2400
#define SECOND 1000000

static int64_t reserve_size(struct sim_store *s)
{
    return varve_sim_size(s->sim, "RESERVE");
}

static void set_up(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 64u << 10;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    sim_store_table(s, "d", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 0, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    for (int k = 0; k < 12; k++)
        ck_assert_int_eq(sim_store_put(s, "d", k, 0, BIG / 12, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "d", 12, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_work(s);
}

static void fill_up(struct sim_store *s)
{
    varve_sim_set_capacity(s->sim, varve_sim_used(s->sim) + 1);
}

static void pass_time(struct sim_store *s)
{
    varve_sim_clock_advance(s->sim, 10 * SECOND);
    sim_store_work(s);
}

static void make_room(struct sim_store *s)
{
    varve_sim_set_capacity(s->sim, 0);
    pass_time(s);
}

static varve_status put(struct sim_store *s, int k)
{
    return sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_DEFAULT);
}

static void must_be_whole(struct sim_store *s)
{
    const varve_stats stats = sim_store_stats(s);

    ck_assert_uint_gt(stats.reserve_wanted, 0);
    ck_assert_uint_ge(stats.reserve_bytes, stats.reserve_wanted);
    ck_assert_int_eq(reserve_size(s), (int64_t)stats.reserve_bytes);
    ck_assert_uint_eq(stats.reserve_spent, 0);
    ck_assert_int_lt(varve_sim_size(s->sim, "RESERVE.tmp"), 0);
}

/* ------------------------------------------------------------------------------------- Making */

START_TEST(reserve_is_made_after_the_open_with_all_its_blocks)
{
    struct sim_store s;

    sim_store_create(&s, 1);
    sim_store_open(&s);
    ck_assert_int_lt(reserve_size(&s), 0); /* the open did not wait for it */
    const uint64_t before = varve_sim_used(s.sim);
    sim_store_work(&s);
    must_be_whole(&s);
    const uint64_t bytes = sim_store_stats(&s).reserve_bytes;
    ck_assert_uint_ge(bytes, 2 * s.options.wal_segment_bytes);
    ck_assert_uint_ge(varve_sim_used(s.sim), before + bytes);
    ck_assert(varve_sim_is_content_durable(s.sim, "RESERVE"));
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_uint_eq(sim_store_stats(&s).reserve_bytes, bytes);
    must_be_whole(&s);
    sim_store_destroy(&s);
}
END_TEST

/* What a file system does that cannot reserve blocks. */
static int grow_sparse(struct varve_file *file, uint64_t size)
{
    struct varve_file_stat stat;
    const struct varve_vfs_ops *ops = varve_sim_file_of(file)->process->base.ops;
    const int rc = ops->stat(file, &stat);

    return rc < 0 || stat.size >= size ? rc : ops->truncate(file, size);
}

START_TEST(reserve_is_written_where_blocks_cannot_be_reserved)
{
    struct sim_store s;

    sim_store_create(&s, 15);
    struct varve_vfs_ops ops = *s.vfs->ops;
    const struct varve_vfs_ops *before_ops = s.vfs->ops;
    ops.allocate = grow_sparse;
    s.vfs->ops = &ops;
    sim_store_open(&s);
    const uint64_t before = varve_sim_used(s.sim);
    sim_store_work(&s);
    must_be_whole(&s);
    ck_assert_uint_ge(varve_sim_used(s.sim), before + sim_store_stats(&s).reserve_bytes);
    sim_store_close(&s);
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + 100000);
    s.options.reserve_bytes = 3u << 20; /* larger: no room for that */
    sim_store_open(&s);
    const uint64_t bytes = sim_store_stats(&s).reserve_bytes;
    pass_time(&s);
    ck_assert_uint_eq(sim_store_stats(&s).reserve_bytes, bytes);
    ck_assert_int_eq(reserve_size(&s), (int64_t)bytes);
    varve_sim_set_capacity(s.sim, 0);
    varve_sim_clock_advance(s.sim, 100 * SECOND);
    sim_store_work(&s);
    must_be_whole(&s);
    sim_store_close(&s);
    s.vfs->ops = before_ops;
    sim_store_destroy(&s);
}
END_TEST

START_TEST(store_without_room_for_a_reserve_works_and_says_so)
{
    struct sim_store s;

    sim_store_create(&s, 2);
    s.options.reserve_bytes = 8u << 20;
    varve_sim_set_capacity(s.sim, 6u << 20);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int k = 0; k < 5; k++) {
        ck_assert_int_eq(put(&s, k), VARVE_OK);
        pass_time(&s);
    }
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_eq(stats.reserve_bytes, 0);
    ck_assert_uint_eq(stats.reserve_wanted, 8u << 20);
    ck_assert_uint_eq(stats.reserve_spent, 0);
    ck_assert_int_lt(reserve_size(&s), 0);
    ck_assert_int_lt(varve_sim_size(s.sim, "RESERVE.tmp"), 0);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(put(&s, 5), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 6 * ROWS);
    varve_sim_set_capacity(s.sim, 0);
    varve_sim_clock_advance(s.sim, 100 * SECOND);
    sim_store_work(&s);
    must_be_whole(&s);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(reserve_follows_the_option)
{
    static const uint64_t sizes[] = {100000, 1u << 20, 300000, UINT64_MAX, 100000};
    struct sim_store s;

    set_up(&s, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sim_store_close(&s);
        s.options.reserve_bytes = sizes[i];
        sim_store_open(&s);
        pass_time(&s);
        if (sizes[i] == UINT64_MAX) {
            ck_assert_int_lt(reserve_size(&s), 0);
            ck_assert_uint_eq(sim_store_stats(&s).reserve_bytes, 0);
            ck_assert_uint_eq(sim_store_stats(&s).reserve_wanted, 0);
            continue;
        }
        must_be_whole(&s);
        ck_assert_uint_eq(sim_store_stats(&s).reserve_bytes, (sizes[i] + 4095) / 4096 * 4096);
    }
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(segments_grow_only_as_the_reserve_does)
{
    struct sim_store s;

    sim_store_create(&s, 4);
    s.options.wal_segment_bytes = 64u << 20;
    s.options.max_wal_bytes = 64u << 20;
    varve_sim_set_capacity(s.sim, 64u << 20);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int k = 0; k < 40; k++) {
        ck_assert_int_eq(sim_store_put(&s, "t", k, 0, 50000, VARVE_POLICY_DEFAULT), VARVE_OK);
        varve_sim_clock_advance(s.sim, SECOND);
        sim_store_work(&s);
    }
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_eq(stats.reserve_spent, 0);
    ck_assert_uint_ge(stats.reserve_bytes, 16u << 20);
    ck_assert_uint_le(stats.wal_bytes / stats.wal_segments, stats.reserve_bytes / 2);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(reader_leaves_the_reserve_alone)
{
    struct sim_store s;

    set_up(&s, 5);
    sim_store_kill(&s);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    s.options.reserve_bytes = _i == 0 ? 0 : UINT64_MAX;
    const uint64_t hash = varve_sim_hash(s.sim);
    sim_store_open(&s);
    ck_assert_uint_eq(sim_store_stats(&s).reserve_bytes, (uint64_t)reserve_size(&s));
    ck_assert_uint_gt(sim_store_stats(&s).reserve_bytes, 0);
    (void)varve_work(s.store, 1000, NULL);
    sim_store_close(&s);
    ck_assert_uint_eq(varve_sim_hash(s.sim), hash);
    sim_store_destroy(&s);
}
END_TEST

/* -------------------------------------------------------------------------------------- Using */

START_TEST(store_on_a_full_disk_opens_and_a_dropped_table_makes_room)
{
    struct sim_store s;

    set_up(&s, 6);
    sim_store_kill(&s); /* the log is not sealed: it has to be copied */
    fill_up(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    ck_assert_int_eq(sim_store_count(&s, "d"), BIG + ROWS);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    pass_time(&s);
    must_be_whole(&s);
    ck_assert_int_eq(put(&s, 2), VARVE_OK);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert(!sim_store_has_table(&s, "d"));
    ck_assert_int_eq(sim_store_count(&s, "t"), 3 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* Again and again, with nothing else making room: each open copies what the one before left. */
START_TEST(store_on_a_full_disk_opens_as_often_as_it_dies)
{
    struct sim_store s;

    set_up(&s, 7);
    sim_store_kill(&s);
    fill_up(&s);
    for (int i = 0; i < 6; i++) {
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
        if (i % 2 != 0)
            pass_time(&s);
        sim_store_kill(&s);
    }
    sim_store_open(&s);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    pass_time(&s);
    ck_assert_int_eq(put(&s, 2), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(flush_on_a_full_disk_trims_the_log_and_commits_resume)
{
    struct sim_store s;
    int k = 2;

    set_up(&s, 8);
    for (; k < 60; k++)
        ck_assert_int_eq(put(&s, k), VARVE_OK);
    sim_store_work(&s);
    fill_up(&s);
    while (put(&s, k) == VARVE_OK) /* as long as segments last that are there */
        k++;
    ck_assert_int_eq(s.err.status, VARVE_ENOSPC);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    pass_time(&s);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    must_be_whole(&s);
    ck_assert_int_eq(put(&s, k), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(k + 1) * ROWS);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(k + 1) * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* Nobody asks for a flush: that the log finds no room for a segment is reason enough. */
START_TEST(full_log_is_flushed_by_itself)
{
    struct sim_store s;
    int k = 2;

    set_up(&s, 9);
    for (; k < 60; k++)
        ck_assert_int_eq(put(&s, k), VARVE_OK);
    sim_store_work(&s);
    fill_up(&s);
    const uint64_t flushes = sim_store_stats(&s).flushes;
    while (put(&s, k) == VARVE_OK)
        k++;
    pass_time(&s);
    ck_assert_uint_gt(sim_store_stats(&s).flushes, flushes);
    must_be_whole(&s);
    ck_assert_int_eq(put(&s, k), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)(k + 1) * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* A commit that waits for nothing. */
static varve_status start(struct sim_store *s, int k)
{
    varve_batch *batch = sim_store_batch(s, "t", k, 0, ROWS);
    varve_completion done = {.status = VARVE_OK};

    ck_assert_int_eq(varve_commit_start(s->store, batch, VARVE_POLICY_DEFAULT, 0, &s->err),
                     VARVE_OK);
    while (varve_commit_reap(s->store, &done, 1) == 0)
        (void)varve_work(s->store, 1, NULL);
    varve_batch_free(batch);
    return done.status;
}

/* There is room for a flush, but not for a segment of the log: what waits gets the flush that makes
 * room for the segment. 0: a commit; 1: one of the next process; 2: a new table, when a commit that
 * cannot wait has been refused. */
START_TEST(who_waits_gets_the_flush_that_makes_room)
{
    struct sim_store s;
    int k = 2;

    set_up(&s, 10);
    for (; k < 60; k++)
        ck_assert_int_eq(put(&s, k), VARVE_OK);
    sim_store_work(&s);
    if (_i == 1) {
        sim_store_close(&s);
        sim_store_open(&s);
    }
    const uint64_t flushes = sim_store_stats(&s).flushes;
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + (60u << 10));
    if (_i == 2) {
        while (start(&s, k) == VARVE_OK)
            k++;
        ck_assert_uint_eq(sim_store_stats(&s).flushes, flushes);
        sim_store_table(&s, "w", "upsert");
    }
    for (int i = 0; i < 60 && sim_store_stats(&s).flushes == flushes; i++)
        ck_assert_int_eq(put(&s, k++), VARVE_OK);
    ck_assert_uint_gt(sim_store_stats(&s).flushes, flushes);
    ck_assert_uint_eq(sim_store_stats(&s).reserve_spent, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)k * ROWS);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), (int64_t)k * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* A disk on which the reserve has been used and cannot be made again. */
static void spend(struct sim_store *s, uint64_t seed)
{
    set_up(s, seed);
    sim_store_close(s);
    const int64_t bytes = reserve_size(s);
    fill_up(s);
    sim_store_open(s); /* needs a generation of the manifest only */
    while (sim_store_stats(s).reserve_spent == 0) {
        fill_up(s);
        ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
        if (sim_store_stats(s).reserve_spent == 0) {
            make_room(s);
            ck_assert_int_eq(put(s, 1), VARVE_OK);
        }
    }
    ck_assert_int_eq(reserve_size(s), 0);
    varve_sim_set_capacity(s->sim, varve_sim_used(s->sim) + (uint64_t)bytes / 2);
}

START_TEST(nothing_is_taken_in_until_the_reserve_is_back)
{
    struct sim_store s;

    spend(&s, 10);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(put(&s, 2), VARVE_ENOSPC);
        ck_assert_ptr_nonnull(strstr(s.err.message, "reserve has been used"));
        ck_assert_str_eq(s.err.file, "RESERVE");
        ck_assert_int_eq(sim_store_try_table(&s, "c", "upsert"), VARVE_ENOSPC);
        varve_sim_clock_advance(s.sim, 10 * SECOND);
        ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    }
    if (_i > 0) { /* the empty file tells the next open */
        sim_store_kill(&s);
        sim_store_open(&s);
        ck_assert_uint_eq(sim_store_stats(&s).reserve_spent, 1);
        ck_assert_int_eq(put(&s, 2), VARVE_ENOSPC);
    }
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    varve_sim_set_capacity(s.sim, 0);
    if (_i == 2) { /* an open finds room at once */
        sim_store_kill(&s);
        sim_store_open(&s);
        must_be_whole(&s);
    }
    varve_sim_clock_advance(s.sim, 2 * SECOND);
    ck_assert_int_eq(put(&s, 2), VARVE_OK); /* without being asked to work */
    must_be_whole(&s);
    ck_assert_int_eq(sim_store_try_table(&s, "c", "upsert"), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 3 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(tables_are_dropped_while_the_reserve_is_spent)
{
    struct sim_store s;

    spend(&s, 11);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    ck_assert(!sim_store_has_table(&s, "d") && !sim_store_has_table(&s, "t"));
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    make_room(&s);
    must_be_whole(&s);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert(!sim_store_has_table(&s, "d") && !sim_store_has_table(&s, "t"));
    ck_assert_int_eq(sim_store_try_table(&s, "t", "upsert"), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

/* What an open that died half-way has written is removed before the next one writes. */
START_TEST(open_that_was_interrupted_does_not_eat_the_reserve)
{
    struct sim_store s;

    set_up(&s, 12);
    sim_store_kill(&s);
    fill_up(&s);
    for (uint64_t n = 5; n < 60; n += 3) {
        ck_assert_int_eq(varve_sim_fault_nth(s.sim, n, true, EIO), 0);
        const varve_status rc = sim_store_try_open(&s);
        varve_sim_fault_clear(s.sim);
        sim_store_kill(&s);
        if (rc == VARVE_OK)
            break;
    }
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

/* The power went before the name was durable. */
START_TEST(unfinished_reserve_gives_its_room_back)
{
    struct sim_store s;

    set_up(&s, 17);
    ck_assert_int_eq(s.vfs->ops->rename(s.vfs, "RESERVE", "RESERVE.tmp"), 0);
    sim_store_kill(&s);
    fill_up(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    ck_assert_int_lt(varve_sim_size(s.sim, "RESERVE.tmp"), 0);
    sim_store_destroy(&s);
}
END_TEST

/* A disk on which no table file finds room. */
struct crowded {
    struct varve_vfs_ops ops; /* the process's while the test wants it so: first */
    const struct varve_vfs_ops *before;
};

static int open_but_sst(struct varve_vfs *vfs, const char *name, uint32_t flags,
                        struct varve_file **ret_file)
{
    const struct crowded *crowded = (const struct crowded *)(const void *)vfs->ops;
    const size_t length = strlen(name);

    if ((flags & VARVE_FILE_CREATE) != 0 && length > 4 && strcmp(name + length - 4, ".sst") == 0)
        return -ENOSPC;
    return crowded->before->open(vfs, name, flags, ret_file);
}

START_TEST(dropped_table_lets_go_of_the_log_while_a_flush_finds_no_room)
{
    struct sim_store s;

    set_up(&s, 18);
    for (int k = 13; k < 60; k++)
        ck_assert_int_eq(sim_store_put(&s, "d", k, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    for (int k = 60; k < 100; k++)
        ck_assert_int_eq(sim_store_put(&s, "d", k, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(put(&s, 2), VARVE_OK);
    struct crowded crowded = {.ops = *s.vfs->ops, .before = s.vfs->ops};
    crowded.ops.open = open_but_sst;
    s.vfs->ops = &crowded.ops;
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_ENOSPC);
    pass_time(&s);
    const uint64_t log = sim_store_stats(&s).wal_bytes;
    ck_assert_int_eq(varve_table_drop(s.store, "d", &s.err), VARVE_OK);
    pass_time(&s);
    ck_assert_uint_lt(sim_store_stats(&s).wal_bytes, log / 2);
    s.vfs->ops = crowded.before;
    pass_time(&s);
    must_be_whole(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 3 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* --------------------------------------------------------- Every operation, every crash */

/* What was accepted, and what was asked for last. */
struct story {
    uint64_t fail_at; /* operations of it before the one that fails; UINT64_MAX: none */
    int error;
    int puts, tried; /* batches of ROWS in "t" */
    bool dropped, dropping;
    bool failed;
};

static bool accepted(struct sim_store *s, struct story *story, varve_status rc)
{
    const bool may = rc == VARVE_ENOSPC || story->fail_at != UINT64_MAX;

    ck_assert_msg(rc == VARVE_OK || may, "%s: %s", varve_status_name(rc), s->err.message);
    return rc == VARVE_OK;
}

static void try_put(struct sim_store *s, struct story *story)
{
    story->tried = story->puts + 1;
    story->puts += accepted(s, story, put(s, story->puts));
}

static bool try_open(struct sim_store *s, struct story *story)
{
    if (sim_store_try_open(s) == VARVE_OK)
        return true;
    ck_assert(story->fail_at != UINT64_MAX);
    ck_assert_int_eq(varve_sim_attach(s->sim, &s->vfs), 0);
    return false;
}

/* An open on a full disk, rows, a flush, a drop; room, and everything again. */
static void tell(struct sim_store *s, struct story *story)
{
    if (!try_open(s, story))
        return;
    try_put(s, story);
    (void)accepted(s, story, varve_flush(s->store, &s->err));
    try_put(s, story);
    story->dropping = true;
    story->dropped = accepted(s, story, varve_table_drop(s->store, "d", &s->err));
    varve_sim_clock_advance(s->sim, 10 * SECOND);
    (void)varve_work(s->store, 10000, NULL);
    try_put(s, story);
    varve_sim_set_capacity(s->sim, 0);
    varve_sim_clock_advance(s->sim, 10 * SECOND);
    (void)varve_work(s->store, 10000, NULL);
    (void)varve_work(s->store, 10000, NULL);
    try_put(s, story);
}

static bool is_as_told(struct sim_store *s, const struct story *story)
{
    const int64_t rows = sim_store_count(s, "t");
    const bool there = sim_store_has_table(s, "d");
    const bool drop_fits = story->dropped ? !there : there || story->dropping;

    return drop_fits && rows >= (int64_t)story->puts * ROWS &&
           rows <= (int64_t)story->tried * ROWS && rows % ROWS == 0 &&
           (!there || sim_store_count(s, "d") == BIG + ROWS);
}

static void begin_story(struct sim_store *s, struct story *story, uint64_t seed)
{
    set_up(s, seed);
    sim_store_kill(s);
    fill_up(s);
    *story = (struct story){.fail_at = UINT64_MAX, .puts = 2, .tried = 2};
}

/* The same disk again, for another process. */
static void copy_disk(struct sim_store *to, struct sim_store *from)
{
    memset(to, 0, sizeof *to);
    varve_heap_init(&to->heap, NULL, UINT64_MAX);
    to->options = from->options;
    ck_assert_int_eq(varve_sim_clone(from->sim, &to->sim), 0);
    ck_assert_int_eq(varve_sim_attach(to->sim, &to->vfs), 0);
}

START_TEST(any_operation_that_fails_once_loses_nothing)
{
    static const int errors[] = {EIO, ENOSPC};
    struct sim_store disk;
    struct story begun;
    bool struck = true;

    begin_story(&disk, &begun, 13);
    for (uint64_t n = 1; struck; n++) {
        struct sim_store s;
        struct story story = begun;
        copy_disk(&s, &disk);
        story.fail_at = n;
        ck_assert_int_eq(varve_sim_fault_nth(s.sim, n, false, errors[_i]), 0);
        tell(&s, &story);
        struck = varve_sim_fault_hits(s.sim) > 0;
        varve_sim_fault_clear(s.sim);
        sim_store_kill(&s);
        varve_sim_set_capacity(s.sim, 0);
        sim_store_open(&s);
        ck_assert_msg(is_as_told(&s, &story), "operation %llu fails", (unsigned long long)n);
        pass_time(&s);
        must_be_whole(&s);
        const int64_t before = sim_store_count(&s, "t");
        ck_assert_int_eq(put(&s, 50), VARVE_OK);
        ck_assert_int_eq(sim_store_count(&s, "t"), before + ROWS);
        sim_store_destroy(&s);
    }
    sim_store_destroy(&disk);
}
END_TEST

struct watcher {
    struct sim_store *s;
    const struct story *story;
    uint64_t states;
    uint64_t opened; /* of the states, while the disk was full */
};

/* A state that the power left: on the disk as full as it was, then with room. */
static void check_image(struct watcher *w, struct varve_sim *image)
{
    struct sim_store s = {.options = w->s->options, .sim = image};

    varve_heap_init(&s.heap, NULL, UINT64_MAX);
    ck_assert_int_eq(varve_sim_attach(s.sim, &s.vfs), 0);
    const varve_status rc = sim_store_try_open(&s);
    ck_assert_msg(rc == VARVE_OK || rc == VARVE_ENOSPC, "%s", s.err.message);
    if (rc == VARVE_OK) {
        ck_assert(is_as_told(&s, w->story));
        sim_store_kill(&s);
        w->opened++;
    }
    varve_sim_set_capacity(s.sim, 0);
    sim_store_open(&s);
    ck_assert(is_as_told(&s, w->story));
    pass_time(&s);
    must_be_whole(&s);
    sim_store_destroy(&s);
}

static int crash_before(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    const uint32_t changes = VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC | VARVE_SIM_SYNC |
                             VARVE_SIM_TRUNCATE | VARVE_SIM_ALLOCATE | VARVE_SIM_RENAME |
                             VARVE_SIM_UNLINK | VARVE_SIM_SYNC_DIR;
    struct watcher *w = ctx;
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;

    if (event->phase != VARVE_SIM_BEFORE || (event->op & changes) == 0)
        return 0;
    varve_sim_crash_options_init(&options, event->index);
    options.model = event->index % 2 == 0 ? VARVE_SIM_CRASH_SUBSET : VARVE_SIM_CRASH_REORDER;
    options.granule = event->index % 2 == 0 ? 512 : 0;
    options.random = 2;
    options.exhaustive = 2;
    ck_assert_int_eq(varve_sim_crash_open(sim, &options, &crash), 0);
    for (int i = 0; i < 3 && varve_sim_crash_next(crash, &image, NULL) > 0; i++) {
        check_image(w, image);
        w->states++;
    }
    varve_sim_crash_close(crash);
    return 0;
}

START_TEST(power_that_goes_at_any_moment_loses_nothing)
{
    struct sim_store s;
    struct story story;
    struct watcher watcher = {.s = &s, .story = &story};

    begin_story(&s, &story, 14);
    ck_assert_int_eq(varve_sim_watch(s.sim, crash_before, &watcher), 0);
    tell(&s, &story);
    varve_sim_unwatch(s.sim, crash_before, &watcher);
    ck_assert_uint_gt(watcher.states, 100);
    ck_assert_uint_gt(watcher.opened, watcher.states / 10 * 9); /* ENOSPC is the exception */
    ck_assert(is_as_told(&s, &story));
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, reserve_is_made_after_the_open_with_all_its_blocks);
    tcase_add_test(cases, reserve_is_written_where_blocks_cannot_be_reserved);
    tcase_add_test(cases, store_without_room_for_a_reserve_works_and_says_so);
    tcase_add_test(cases, reserve_follows_the_option);
    tcase_add_test(cases, segments_grow_only_as_the_reserve_does);
    tcase_add_loop_test(cases, reader_leaves_the_reserve_alone, 0, 2);
    tcase_add_test(cases, store_on_a_full_disk_opens_and_a_dropped_table_makes_room);
    tcase_add_test(cases, store_on_a_full_disk_opens_as_often_as_it_dies);
    tcase_add_test(cases, flush_on_a_full_disk_trims_the_log_and_commits_resume);
    tcase_add_test(cases, full_log_is_flushed_by_itself);
    tcase_add_loop_test(cases, who_waits_gets_the_flush_that_makes_room, 0, 3);
    tcase_add_loop_test(cases, nothing_is_taken_in_until_the_reserve_is_back, 0, 3);
    tcase_add_test(cases, tables_are_dropped_while_the_reserve_is_spent);
    tcase_add_test(cases, open_that_was_interrupted_does_not_eat_the_reserve);
    tcase_add_test(cases, unfinished_reserve_gives_its_room_back);
    tcase_add_test(cases, dropped_table_lets_go_of_the_log_while_a_flush_finds_no_room);
    tcase_add_loop_test(cases, any_operation_that_fails_once_loses_nothing, 0, 2);
    tcase_add_test(cases, power_that_goes_at_any_moment_loses_nothing);
}

int main(void)
{
    return sim_store_main("reserve", add);
}
