/*
 * test_commit_flow.c - what a commit is told and when: policies against a kill and a power cut,
 * commits in flight, durable positions, segments of the log, what is refused.
 */
#include <string.h>

#include "storage/engine/background_int.h"
#include "storage/engine/commit_int.h"
#include "storage/manifest/manifest.h"
#include "tests/unit/engine/sim_store.h"

#define BATCHES 40
#define ROWS 25

static void fill(struct sim_store *s, varve_policy policy)
{
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    for (int i = 0; i < BATCHES; i++)
        ck_assert_int_eq(sim_store_put(s, "t", i % 3, (int64_t)i * ROWS, ROWS, policy), VARVE_OK);
}

/* Queue commits of a row each, a letter of `policies` each: e (durable_each), g (durable_group).
 * Whoever drives the log next finds them all. */
static void queue_commits(struct sim_store *s, int k, const char *policies)
{
    varve_log_take(s->store);
    for (int i = 0; policies[i] != '\0'; i++)
        ck_assert_int_eq(varve_commit_start(s->store, sim_store_batch(s, "t", k, i, 1),
                                            policies[i] == 'e' ? VARVE_POLICY_DURABLE_EACH
                                                               : VARVE_POLICY_DURABLE_GROUP,
                                            (uint64_t)i, &s->err),
                         VARVE_OK);
    varve_log_release(s->store);
}

static void reap_commits(struct sim_store *s, uint32_t n)
{
    varve_completion done[16];
    uint32_t reaped = 0;

    ck_assert_uint_le(n, sizeof done / sizeof done[0]);
    for (int i = 0; i < 1000 && reaped < n; i++) {
        const uint32_t first = reaped;
        reaped += varve_commit_reap(s->store, done + first, n - first);
        for (uint32_t k = first; k < reaped; k++)
            ordering_acked(s->order, done[k].lsn);
    }
    ck_assert_uint_eq(reaped, n);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_eq(done[i].tag, i);
        ck_assert_int_eq(done[i].status, VARVE_OK);
        varve_batch_free(done[i].batch);
    }
}

START_TEST(kill_loses_nothing_under_any_policy)
{
    struct sim_store s;

    sim_store_create(&s, 21);
    fill(&s, (varve_policy)_i);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), BATCHES * ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(power_cut_loses_what_the_policy_allows)
{
    struct sim_store s;
    bool more = true;

    for (uint64_t state = 0; more && state < 6; state++) {
        sim_store_create(&s, 22);
        fill(&s, (varve_policy)_i);
        more = sim_store_cut(&s, state * 7);
        if (more) {
            sim_store_open(&s);
            const int64_t rows = sim_store_count(&s, "t");
            if (_i == VARVE_POLICY_DURABLE_EACH || _i == VARVE_POLICY_DURABLE_GROUP)
                ck_assert_int_eq(rows, BATCHES * ROWS);
            ck_assert_int_eq(rows % ROWS, 0);
        }
        sim_store_destroy(&s);
    }
}
END_TEST

static int count_syncs(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    uint64_t *seen = ctx;

    (void)sim;
    *seen += event->phase == VARVE_SIM_AFTER &&
             (event->op == VARVE_SIM_SYNC || event->op == VARVE_SIM_WRITE_DSYNC);
    return 0;
}

/* Syncs of the log for commits that are queued together: as the store counts them, and as the disk. */
static uint64_t syncs_of(struct sim_store *s, int k, const char *policies)
{
    const uint64_t before = sim_store_stats(s).syncs;
    uint64_t seen = 0;

    ck_assert_int_eq(varve_sim_watch(s->sim, count_syncs, &seen), 0);
    queue_commits(s, k, policies);
    reap_commits(s, (uint32_t)strlen(policies));
    varve_sim_unwatch(s->sim, count_syncs, &seen);
    ck_assert_uint_eq(sim_store_stats(s).syncs - before, seen);
    return seen;
}

START_TEST(durable_each_shares_its_sync_with_no_other)
{
    struct sim_store s;

    sim_store_create(&s, 37);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_uint_eq(syncs_of(&s, 1, "gggggg"), 1);
    ck_assert_uint_eq(syncs_of(&s, 2, "eeeeee"), 6);
    ck_assert_uint_eq(syncs_of(&s, 3, "eggegge"), 5);
    ck_assert_uint_eq(syncs_of(&s, 4, "gge"), 2);
    ck_assert_uint_eq(syncs_of(&s, 5, "egg"), 2);
    ck_assert_int_eq(sim_store_count(&s, "t"), 6 + 6 + 7 + 3 + 3);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(interval_is_kept_while_commits_never_pause)
{
    struct sim_store s;
    uint64_t ends[400];

    sim_store_create(&s, 23);
    s.options.interval_ms = 100;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 400; i++) { /* each takes 2 ms, and nobody calls varve_work() */
        varve_batch *batch = sim_store_batch(&s, "t", 1, i, 1);
        ck_assert_int_eq(varve_commit(s.store, batch, VARVE_POLICY_INTERVAL, &ends[i], NULL),
                         VARVE_OK);
        varve_batch_free(batch);
        varve_sim_clock_advance(s.sim, 2000);
        if (i >= 60)
            ck_assert_uint_ge(varve_durable_lsn(s.store), ends[i - 60]);
    }
    ck_assert_uint_lt(sim_store_stats(&s).syncs, 60);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(interval_is_kept_by_work_alone)
{
    struct sim_store s;
    uint64_t end = 0;

    sim_store_create(&s, 24);
    s.options.interval_ms = 50;
    s.options.policy = VARVE_POLICY_INTERVAL;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 5);
    ck_assert_int_eq(varve_commit(s.store, batch, VARVE_POLICY_DEFAULT, &end, NULL), VARVE_OK);
    varve_batch_free(batch);
    for (int i = 0; i < 5; i++) {
        sim_store_work(&s);
        varve_sim_clock_advance(s.sim, 10000);
    }
    sim_store_work(&s);
    ck_assert_uint_ge(varve_durable_lsn(s.store), end);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(threads_look_often_enough_for_the_interval)
{
    ck_assert_uint_eq(varve_background_tick_us(1), 250);
    ck_assert_uint_eq(varve_background_tick_us(20), 5000);
    ck_assert_uint_eq(varve_background_tick_us(100), 10000);
    ck_assert_uint_eq(varve_background_tick_us(10000), 10000);
}
END_TEST

START_TEST(waiting_for_a_position_ends)
{
    struct sim_store s;
    uint64_t end = 0;

    sim_store_create(&s, 25);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 5);
    ck_assert_int_eq(varve_commit(s.store, batch, VARVE_POLICY_OS, &end, NULL), VARVE_OK);
    ck_assert_uint_lt(varve_durable_lsn(s.store), end);
    ck_assert_int_eq(varve_wait_durable(s.store, end, NULL), VARVE_OK);
    ck_assert_uint_ge(varve_durable_lsn(s.store), end);
    ck_assert_int_eq(varve_wait_durable(s.store, 0, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wait_durable(s.store, end + 1, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wait_durable(s.store, UINT64_MAX, NULL), VARVE_EINVAL);
    varve_batch_free(batch);
    sim_store_kill(&s);
    sim_store_open(&s); /* the log goes on behind a gap: no commit ends in it */
    ck_assert_int_eq(varve_wait_durable(s.store, end, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wait_durable(s.store, end + 1, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_wait_durable(s.store, UINT64_MAX, NULL), VARVE_EINVAL);
    sim_store_destroy(&s);
}
END_TEST

/* Mixed policies, done in the order of the queue; what is done is readable. */
START_TEST(completions_come_in_order_and_are_readable)
{
    struct sim_store s;
    varve_completion done[64];
    uint32_t n = 0;

    sim_store_create(&s, 26);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (uint64_t tag = 0; tag < 64; tag++)
        ck_assert_int_eq(varve_commit_start(s.store, sim_store_batch(&s, "t", 1, (int64_t)tag, 1),
                                            (varve_policy)(tag * 7 % 5), tag, &s.err),
                         VARVE_OK);
    for (int i = 0; i < 1000 && n < 64; i++) {
        n += varve_commit_reap(s.store, done + n, n < 60 ? 3 : 64 - n);
        ck_assert_int_ge(sim_store_count(&s, "t"), n);
        (void)varve_work(s.store, 100, NULL);
    }
    ck_assert_uint_eq(n, 64);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_eq(done[i].tag, i);
        ck_assert_int_eq(done[i].status, VARVE_OK);
        ck_assert(i == 0 || done[i].lsn > done[i - 1].lsn);
        ck_assert_uint_eq(varve_batch_rows(done[i].batch), 0);
        varve_batch_free(done[i].batch);
    }
    ck_assert_uint_eq(varve_commit_reap(s.store, done, 64), 0);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(refused_commit_stays_the_callers)
{
    struct sim_store s;
    varve_completion done[8];

    sim_store_create(&s, 27);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(varve_commit_start(s.store, NULL, VARVE_POLICY_DEFAULT, 0, NULL),
                     VARVE_EINVAL);
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 1);
    ck_assert_int_eq(varve_commit_start(s.store, batch, (varve_policy)9, 0, NULL), VARVE_EINVAL);
    ck_assert_uint_eq(varve_batch_rows(batch), 1);
    varve_batch_free(batch);
    queue_commits(&s, 1, "gggg");
    sim_store_work(&s);
    ck_assert_uint_eq(varve_commit_reap(s.store, done, 0), 0);
    /* Those not reaped are freed with the store. */
    sim_store_destroy(&s);
}
END_TEST

START_TEST(full_queue_refuses_commits_until_some_are_done)
{
    struct sim_store s;

    sim_store_create(&s, 36);
    s.options.commit_queue = 4;
    sim_store_open(&s);
    sim_store_table(&s, "t", "keep"); /* a row that came twice would show */
    queue_commits(&s, 1, "gggg");     /* and nobody has worked since */
    varve_batch *batch = sim_store_batch(&s, "t", 1, 4, 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_commit_start(s.store, batch, VARVE_POLICY_DEFAULT, 0, &s.err),
                         VARVE_EAGAIN);
        ck_assert_int_eq(s.err.status, VARVE_EAGAIN);
        ck_assert_uint_eq(varve_batch_rows(batch), 1);
    }
    reap_commits(&s, 4);
    ck_assert_int_eq(sim_store_count(&s, "t"), 4);
    ck_assert_int_eq(varve_commit_start(s.store, batch, VARVE_POLICY_DEFAULT, 0, &s.err), VARVE_OK);
    reap_commits(&s, 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sim_store_count(&s, "t"), 5);
        sim_store_kill(&s);
        sim_store_open(&s);
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(empty_batch_succeeds_and_keeps_its_place)
{
    struct sim_store s;
    varve_completion done[3];
    varve_batch *empty = NULL;
    uint32_t n = 0;

    sim_store_create(&s, 28);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(varve_batch_new(s.store, &empty, NULL), VARVE_OK);
    ck_assert_int_eq(varve_commit(s.store, empty, VARVE_POLICY_DEFAULT, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(varve_commit_start(s.store, sim_store_batch(&s, "t", 1, 0, 1),
                                        VARVE_POLICY_DEFAULT, 0, NULL),
                     VARVE_OK);
    ck_assert_int_eq(varve_commit_start(s.store, empty, VARVE_POLICY_DEFAULT, 1, NULL), VARVE_OK);
    for (int i = 0; i < 100 && n < 2; i++) {
        (void)varve_work(s.store, 100, NULL);
        n += varve_commit_reap(s.store, done + n, 3 - n);
    }
    ck_assert_uint_eq(n, 2);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert(done[i].tag == i && done[i].status == VARVE_OK);
        varve_batch_free(done[i].batch);
    }
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 1);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(batch_of_another_store_is_refused)
{
    struct sim_store s, other;

    sim_store_create(&s, 29);
    sim_store_create(&other, 30);
    sim_store_open(&s);
    sim_store_open(&other);
    sim_store_table(&s, "t", "upsert");
    sim_store_table(&other, "t", "error");
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 1);
    ck_assert_int_eq(varve_commit(other.store, batch, VARVE_POLICY_DEFAULT, NULL, NULL),
                     VARVE_EINVAL);
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_destroy(&s);
    sim_store_destroy(&other);
}
END_TEST

START_TEST(reader_has_no_completions)
{
    struct sim_store s;
    varve_completion done;

    sim_store_create(&s, 31);
    fill(&s, VARVE_POLICY_DEFAULT);
    sim_store_close(&s);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&s);
    ck_assert_uint_eq(varve_commit_reap(s.store, &done, 1), 0);
    ck_assert_int_eq(varve_work(s.store, 100, NULL), VARVE_END);
    ck_assert_int_eq(varve_wait_durable(s.store, 0, NULL), VARVE_EREADONLY);
    ck_assert_int_eq(varve_event_fd(s.store), -1);
    ck_assert_int_eq(sim_store_count(&s, "t"), BATCHES * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* A record too large for the segment that waits: the next one is larger, and nothing is between. */
START_TEST(segment_too_small_for_a_record_leaves_no_hole)
{
    struct sim_store s;
    const int64_t many[] = {10, 60000, 10, 60000};
    int64_t rows = 0;

    sim_store_create(&s, 32);
    s.options.wal_segment_bytes = 16u << 20;
    s.options.memtable_bytes = 8u << 20;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t", (int)i, 0, many[i], VARVE_POLICY_DEFAULT),
                         VARVE_OK);
        rows += many[i];
        sim_store_work(&s);            /* makes a segment ahead of need */
        struct varve_sim *left = NULL; /* what a process death leaves behind opens */
        ck_assert_int_eq(varve_sim_clone(s.sim, &left), 0);
        struct sim_store copy = s;
        copy.sim = left;
        copy.order = NULL;
        copy.store = NULL;
        ck_assert_int_eq(varve_sim_attach(left, &copy.vfs), 0);
        sim_store_open(&copy);
        ck_assert_int_eq(sim_store_count(&copy, "t"), rows);
        sim_store_close(&copy);
        varve_sim_destroy(left);
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(every_open_is_an_epoch_of_its_own)
{
    struct sim_store s;
    struct varve_manifest *manifest = NULL;

    sim_store_create(&s, 33);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 6; i++) {
        if (i % 2 == 0) /* in every other life nothing is written */
            ck_assert_int_eq(sim_store_put(&s, "t", 1, i, 1, VARVE_POLICY_DEFAULT), VARVE_OK);
        if (i == 3)
            ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
        if (i % 3 == 0)
            sim_store_kill(&s);
        else
            sim_store_close(&s);
        sim_store_open(&s);
    }
    sim_store_close(&s);
    ck_assert_int_eq(varve_manifest_open(s.vfs, &s.heap, true, &manifest, NULL), VARVE_OK);
    struct varve_version *version = varve_manifest_version(manifest);
    const struct varve_replay_state *replay = &version->replay;
    ck_assert_uint_eq(replay->n_epochs, 4); /* three with records, and the last */
    for (uint32_t i = 1; i < replay->n_epochs; i++) {
        ck_assert_uint_gt(replay->epochs[i].term, replay->epochs[i - 1].term);
        ck_assert_uint_gt(replay->epochs[i].first_index, replay->epochs[i - 1].first_index);
    }
    ck_assert_uint_eq(replay->epochs[replay->n_epochs - 1].term, 7);
    varve_version_unref(version);
    varve_manifest_close(manifest);
    sim_store_destroy(&s);
}
END_TEST

/* Tables come and go in the order of the log: after what was given before, before what comes after. */
START_TEST(tables_come_and_go_behind_commits_in_flight)
{
    struct sim_store s;

    sim_store_create(&s, 33);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    queue_commits(&s, 1, "eeeeeeeee");
    sim_store_table(&s, "u", "upsert"); /* returns when the commits before it are done */
    ck_assert_int_eq(sim_store_count(&s, "t"), 9);
    reap_commits(&s, 9);
    queue_commits(&s, 2, "eeeeeeeee");
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    reap_commits(&s, 9); /* none of them has found the table gone */
    sim_store_kill(&s);
    sim_store_open(&s);
    varve_table *table = NULL;
    ck_assert_int_eq(varve_table_open(s.store, "t", &table, NULL), VARVE_ENOTFOUND);
    ck_assert_int_eq(sim_store_count(&s, "u"), 0);
    sim_store_destroy(&s);
}
END_TEST

/* Two drops of a table may be under way; the one that comes second in the log is told. */
START_TEST(a_second_drop_of_a_table_finds_none)
{
    struct sim_store s;

    sim_store_create(&s, 34);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    struct varve_pending second = {.type = VARVE_WAL_TABLE_DROP,
                                   .table = sim_store_handle(&s, "t"),
                                   .policy = VARVE_POLICY_DURABLE_GROUP};
    varve_buffer_init(&second.payload, &s.heap);
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    const uint64_t end = sim_store_stats(&s).lsn_committed;
    ck_assert_int_eq(varve_pending_run(s.store, &second), VARVE_ENOTFOUND);
    ck_assert_int_eq(second.error.status, VARVE_ENOTFOUND);
    ck_assert_uint_eq(sim_store_stats(&s).lsn_committed, end);
    varve_buffer_free(&second.payload);
    sim_store_destroy(&s);
}
END_TEST

/* However a repeat meets the end of a segment, it succeeds once and changes nothing. */
START_TEST(repeats_that_fill_segments_succeed_and_change_nothing)
{
    enum { REPEATS = 1500 };
    struct sim_store s;
    varve_completion done[16];
    uint32_t reaped = 0;

    sim_store_create(&s, 35);
    s.options.wal_segment_bytes = 64u << 10;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    varve_log_take(s.store); /* so that they all come at once */
    for (uint32_t i = 0; i < REPEATS; i++) {
        varve_batch *batch = sim_store_batch(&s, "t", i == 0 ? 1 : 2, 0, 1);
        ck_assert_int_eq(varve_batch_set_origin(batch, 7, 1, 1, 1, NULL), VARVE_OK);
        ck_assert_int_eq(varve_commit_start(s.store, batch, VARVE_POLICY_OS, i, &s.err), VARVE_OK);
    }
    varve_log_release(s.store);
    for (int i = 0; i < 10000 && reaped < REPEATS; i++) {
        const uint32_t n = varve_commit_reap(s.store, done, 16);
        for (uint32_t k = 0; k < n; k++) {
            ck_assert_uint_eq(done[k].tag, reaped + k);
            ck_assert_int_eq(done[k].status, VARVE_OK);
            varve_batch_free(done[k].batch);
        }
        reaped += n;
    }
    ck_assert_uint_eq(reaped, REPEATS);
    ck_assert_uint_eq(sim_store_stats(&s).batches_repeated, REPEATS - 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sim_store_count(&s, "t"), 1);
        sim_store_kill(&s);
        sim_store_open(&s);
    }
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, kill_loses_nothing_under_any_policy, VARVE_POLICY_DURABLE_EACH,
                        VARVE_POLICY_OS + 1);
    tcase_add_loop_test(cases, power_cut_loses_what_the_policy_allows, VARVE_POLICY_DURABLE_EACH,
                        VARVE_POLICY_OS + 1);
    tcase_add_test(cases, durable_each_shares_its_sync_with_no_other);
    tcase_add_test(cases, interval_is_kept_while_commits_never_pause);
    tcase_add_test(cases, interval_is_kept_by_work_alone);
    tcase_add_test(cases, threads_look_often_enough_for_the_interval);
    tcase_add_test(cases, waiting_for_a_position_ends);
    tcase_add_test(cases, completions_come_in_order_and_are_readable);
    tcase_add_test(cases, refused_commit_stays_the_callers);
    tcase_add_test(cases, full_queue_refuses_commits_until_some_are_done);
    tcase_add_test(cases, empty_batch_succeeds_and_keeps_its_place);
    tcase_add_test(cases, batch_of_another_store_is_refused);
    tcase_add_test(cases, reader_has_no_completions);
    tcase_add_test(cases, segment_too_small_for_a_record_leaves_no_hole);
    tcase_add_test(cases, every_open_is_an_epoch_of_its_own);
    tcase_add_test(cases, tables_come_and_go_behind_commits_in_flight);
    tcase_add_test(cases, a_second_drop_of_a_table_finds_none);
    tcase_add_test(cases, repeats_that_fill_segments_succeed_and_change_nothing);
}

int main(void)
{
    return sim_store_main("commit_flow", add);
}
