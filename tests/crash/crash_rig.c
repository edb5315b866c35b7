/*
 * crash_rig.c - scenarios' calls, what they promise, and the crash points between operations.
 */
#include "tests/crash/crash_rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANGES                                                                                    \
    (VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC | VARVE_SIM_SYNC | VARVE_SIM_TRUNCATE |               \
     VARVE_SIM_ALLOCATE | VARVE_SIM_RENAME | VARVE_SIM_UNLINK | VARVE_SIM_SYNC_DIR)

void rig_fail(struct rig *rig, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)fprintf(stderr, "FAILED in scenario %s, seed %" PRIu64 "%s: ", rig->scenario, rig->seed,
                  rig->depth > 0 ? ", in recovery" : "");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    rig->failed = true;
}

/* --------------------------------------------------------------------------------- Crash points */

static void replay_line(const struct rig *rig, unsigned model, uint64_t state, char *out,
                        size_t size)
{
    (void)snprintf(out, size,
                   "test_crash --scenario %s --seed %" PRIu64 " --op %" PRIu64
                   " --model %u --state %" PRIu64,
                   rig->scenario, rig->seed, varve_sim_ops(rig->sim), model, state);
}

/* A process death: the page cache stays, and with it every acknowledgement. */
static void death(struct rig *rig)
{
    struct rig_promise promise = rig->promise;
    struct varve_sim *image = NULL;
    char replay[200];

    if (varve_sim_clone(rig->sim, &image) < 0)
        abort();
    promise.durable = promise.acked;
    replay_line(rig, RIG_MODELS - 1, 0, replay, sizeof replay);
    /* What was in flight ends as the seed says: such images are named by op, not only by hash. */
    (void)rig_check_image(rig, image, &promise, varve_sim_hash(image) ^ 0xdead, false, replay);
    varve_sim_destroy(image);
}

static void power_cut(struct rig *rig, unsigned number)
{
    const struct crash_model *model = &crash_models[number];
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;
    struct varve_sim_crash_state state;
    char replay[200];
    int rc;

    varve_sim_crash_options_init(&options, rig->seed + varve_sim_ops(rig->sim));
    options.model = model->model;
    options.granule = model->granule;
    options.hole = model->hole;
    options.random = rig->random;
    options.exhaustive = rig->depth > 0 ? 3 : 6;
    if (varve_sim_crash_open(rig->sim, &options, &crash) < 0)
        abort();
    const uint64_t n = varve_sim_crash_count(crash);
    const uint64_t most = rig->depth > 0 ? 6 : 3 * (uint64_t)rig->random;
    if (rig->only_state != UINT64_MAX) {
        rc = varve_sim_crash_at(crash, rig->only_state, &image, &state);
        if (rc >= 0) {
            replay_line(rig, number, rig->only_state, replay, sizeof replay);
            (void)rig_check_image(rig, image, &rig->promise, state.hash,
                                  model->hole == VARVE_SIM_HOLE_GARBAGE, replay);
            varve_sim_destroy(image);
        }
    }
    for (uint64_t i = 0; rig->only_state == UINT64_MAX && i < n && !rig->failed; i++) {
        /* Many states: the first (the least that can be left) and a sample of the others. */
        if (n > most && i > 0 && varve_rng_below(&rig->choice, n) >= most)
            continue;
        if (varve_sim_crash_at(crash, i, &image, &state) < 0)
            continue;
        replay_line(rig, number, i, replay, sizeof replay);
        (void)rig_check_image(rig, image, &rig->promise, state.hash,
                              model->hole == VARVE_SIM_HOLE_GARBAGE, replay);
        varve_sim_destroy(image);
    }
    varve_sim_crash_close(crash);
}

static bool late(const struct rig *rig)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec > rig->deadline;
}

void rig_point(struct rig *rig)
{
    const uint64_t op = varve_sim_ops(rig->sim);
    const bool chosen = rig->only_op == UINT64_MAX
                            ? varve_rng_below(&rig->choice, 65536) < rig->chance
                            : op == rig->only_op;

    if (rig->failed || rig->busy || !chosen || late(rig))
        return;
    rig->busy = true;
    rig->points++;
    for (unsigned m = 0; m < RIG_MODELS && !rig->failed; m++) {
        if (rig->only_model >= 0 ? m != (unsigned)rig->only_model
                                 : rig->depth > 0 && varve_rng_below(&rig->choice, 4) != 0)
            continue;
        if (m == RIG_MODELS - 1)
            death(rig);
        else
            power_cut(rig, m);
    }
    rig->busy = false;
}

static int watch_points(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct rig *rig = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_BEFORE && (event->op & CHANGES) != 0)
        rig_point(rig);
    return 0;
}

void rig_watch_points(struct rig *rig)
{
    if (varve_sim_watch(rig->sim, watch_points, rig) < 0)
        abort();
}

/* ---------------------------------------------------------------------------------------- Life */

void rig_init(struct rig *rig, struct varve_heap *heap, struct rig_seen *seen, uint64_t seed,
              const char *scenario)
{
    struct varve_sim_options options;

    *rig = (struct rig){.heap = heap,
                        .seen = seen,
                        .scenario = scenario,
                        .seed = seed,
                        .pad = 40,
                        .chance = 65536,
                        .random = 12,
                        .only_op = UINT64_MAX,
                        .only_model = -1,
                        .only_state = UINT64_MAX,
                        .policy = VARVE_POLICY_DURABLE_GROUP};
    varve_rng_seed(&rig->rng, seed);
    varve_rng_seed(&rig->choice, ~seed);
    varve_sim_options_init(&options, heap, seed);
    options.split_chance = 32;
    if (varve_sim_create(&options, &rig->sim) < 0)
        abort();
    rig->order = ordering_watch(rig->sim, NULL, 1);
    rig_watch_points(rig);
}

void rig_finish(struct rig *rig)
{
    rig->busy = true;
    varve_batch_free(rig->batch);
    varve_close(rig->store);
    if (!rig->failed && varve_sim_violation(rig->sim) != NULL)
        rig_fail(
            rig,
            "an ordering rule is broken: %s\n  replay: test_crash --scenario %s --seed %" PRIu64,
            varve_sim_violation(rig->sim), rig->scenario, rig->seed);
    ordering_end(rig->order);
    varve_sim_destroy(rig->sim);
}

void rig_options(const struct rig *rig, struct varve_vfs *vfs, varve_options *options)
{
    varve_options_init(options, sizeof *options);
    options->vfs = vfs;
    options->policy = rig->policy;
    options->background_threads = UINT32_MAX;
    options->memory_limit = 8u << 20;
    options->memtable_bytes = 256u << 10;
    options->cache_bytes = 64u << 10;
    options->max_wal_bytes = 1u << 20;
    options->wal_segment_bytes = 64u << 10;
    options->row_group_rows = 1024;
    options->window_seconds = 3600;
}

static void expect(struct rig *rig, varve_status rc, const char *what, const varve_error *err)
{
    if (rc < 0)
        rig_fail(rig, "%s fails: %s (%s)", what, err->message, varve_status_name(rc));
}

void rig_open(struct rig *rig)
{
    varve_error err = {0};
    varve_options options;

    if (rig->failed)
        return;
    if (varve_sim_attach(rig->sim, &rig->vfs) < 0)
        abort();
    rig_options(rig, rig->vfs, &options);
    options.flags = VARVE_OPEN_CREATE;
    rig->promise.store = rig->promise.store == RIG_NO ? RIG_PERHAPS : rig->promise.store;
    expect(rig, varve_open("sim", &options, &rig->store, &err), "opening", &err);
    if (rig->failed)
        return;
    rig->promise.store = RIG_YES;
    rig_point(rig);
    if (rig->promise.tables == RIG_YES)
        expect(rig, numbered_open(rig->store, rig->pad, &rig->numbered, &err), "finding the tables",
               &err);
}

/* The batch goes with the store that made it. */
static void drop_batch(struct rig *rig)
{
    varve_batch_free(rig->batch);
    rig->batch = NULL;
}

void rig_close(struct rig *rig)
{
    if (rig->failed)
        return;
    drop_batch(rig);
    varve_close(rig->store);
    rig->store = NULL;
    rig->vfs->ops->destroy(rig->vfs);
    rig->promise.durable = rig->promise.acked; /* a close makes the log durable */
    rig_point(rig);
}

void rig_die(struct rig *rig)
{
    if (rig->failed)
        return;
    varve_sim_kill(rig->vfs);
    drop_batch(rig);
    varve_close(rig->store); /* its handles are dead: frees memory only */
    rig->store = NULL;
    rig->vfs->ops->destroy(rig->vfs);
}

/* --------------------------------------------------------------------------------- What it does */

void rig_tables(struct rig *rig)
{
    varve_error err = {0};

    if (rig->failed)
        return;
    rig->promise.tables = RIG_PERHAPS;
    expect(rig, numbered_create(rig->store, &err), "creating tables", &err);
    if (rig->failed)
        return;
    rig->promise.tables = RIG_YES;
    rig_point(rig);
    expect(rig, numbered_open(rig->store, rig->pad, &rig->numbered, &err), "finding the tables",
           &err);
}

static bool is_durable(const struct rig *rig, varve_policy policy)
{
    policy = policy == VARVE_POLICY_DEFAULT ? rig->policy : policy;
    return policy == VARVE_POLICY_DURABLE_EACH || policy == VARVE_POLICY_DURABLE_GROUP;
}

static void acknowledged(struct rig *rig, uint64_t count, bool durable)
{
    rig->promise.acked = count > rig->promise.acked ? count : rig->promise.acked;
    if (durable && count > rig->promise.durable)
        rig->promise.durable = count;
}

void rig_commit(struct rig *rig, varve_policy policy, uint32_t batches)
{
    varve_error err = {0};
    uint64_t lsn = 0;

    for (uint32_t i = 0; i < batches && !rig->failed; i++) {
        if (rig->batch == NULL)
            expect(rig, varve_batch_new(rig->store, &rig->batch, &err), "making a batch", &err);
        if (!rig->failed)
            expect(rig, numbered_put(&rig->numbered, rig->batch, rig->promise.started, &err),
                   "putting rows", &err);
        if (rig->failed)
            return;
        rig->promise.started++;
        expect(rig, varve_commit(rig->store, rig->batch, policy, &lsn, &err), "a commit", &err);
        if (rig->failed)
            return;
        acknowledged(rig, rig->promise.started, is_durable(rig, policy));
        if (is_durable(rig, policy))
            ordering_acked(rig->order, lsn);
        rig_point(rig);
    }
}

static void reap(struct rig *rig, varve_policy policy, uint64_t *reaped, uint64_t first)
{
    varve_completion done[16];
    const uint32_t n = varve_commit_reap(rig->store, done, 16);

    for (uint32_t i = 0; i < n; i++) {
        if (done[i].status != VARVE_OK || done[i].tag != first + *reaped)
            rig_fail(rig, "commit %" PRIu64 " comes back as %s in place of %" PRIu64, done[i].tag,
                     varve_status_name(done[i].status), first + *reaped);
        if (is_durable(rig, policy) && done[i].status == VARVE_OK)
            ordering_acked(rig->order, done[i].lsn); /* while others are in flight */
        varve_batch_free(done[i].batch);
        ++*reaped;
    }
    if (n > 0 && !rig->failed) {
        acknowledged(rig, first + *reaped, is_durable(rig, policy));
        rig_point(rig);
    }
}

void rig_commit_group(struct rig *rig, varve_policy policy, uint32_t batches)
{
    varve_error err = {0};
    const uint64_t first = rig->promise.started;
    uint64_t reaped = 0;

    for (uint32_t i = 0; i < batches && !rig->failed; i++) {
        varve_batch *batch = NULL;
        expect(rig, varve_batch_new(rig->store, &batch, &err), "making a batch", &err);
        if (!rig->failed)
            expect(rig, numbered_put(&rig->numbered, batch, first + i, &err), "putting rows", &err);
        if (rig->failed)
            return;
        rig->promise.started++;
        expect(rig, varve_commit_start(rig->store, batch, policy, first + i, &err),
               "starting a commit", &err);
        if (varve_rng_below(&rig->rng, 3) == 0)
            reap(rig, policy, &reaped, first);
    }
    for (unsigned turns = 0; reaped < batches && !rig->failed; turns++) {
        reap(rig, policy, &reaped, first);
        if (varve_rng_below(&rig->rng, 2) == 0)
            (void)varve_work(rig->store, 100, NULL);
        if (turns > 100000)
            rig_fail(rig, "commits in flight do not end");
    }
}

void rig_wait_durable(struct rig *rig)
{
    varve_error err = {0};
    varve_stats stats = {.struct_size = sizeof stats};

    if (rig->failed)
        return;
    varve_get_stats(rig->store, &stats);
    expect(rig, varve_wait_durable(rig->store, stats.lsn_committed, &err), "waiting for the disk",
           &err);
    rig->promise.durable = rig->promise.acked;
    ordering_acked(rig->order, stats.lsn_committed);
    rig_point(rig);
}

void rig_flush(struct rig *rig)
{
    varve_error err = {0};

    if (!rig->failed)
        expect(rig, varve_flush(rig->store, &err), "a flush", &err);
}

void rig_work(struct rig *rig, uint64_t budget_us)
{
    varve_error err = {0};

    if (!rig->failed)
        expect(rig, varve_work(rig->store, budget_us, &err), "work", &err);
}

void rig_extra(struct rig *rig, bool create)
{
    varve_error err = {0};

    if (rig->failed)
        return;
    rig->promise.extra = RIG_PERHAPS;
    if (create)
        expect(rig,
               varve_table_create(rig->store,
                                  "CREATE TABLE c (k text, t bigint, v double, PRIMARY KEY (k, t))",
                                  &err),
               "creating a table", &err);
    else
        expect(rig, varve_table_drop(rig->store, "c", &err), "dropping a table", &err);
    rig->promise.extra = create ? RIG_YES : RIG_NO;
    rig_point(rig);
}
