/*
 * model_trouble.c - a store and its model when the disk, the memory or the power fails.
 *
 * A fault may fail the operation in which it strikes, and from then on writes to a store that says
 * that it has FAILED; one that tells of a full disk may also fail what comes until the store has tried
 * again; nothing else. What such an operation did is open until the store is opened again: then the
 * marks say how many commits there are, at least those that were durable, at most those that were
 * given, without a hole; the model goes back to that many, and everything else has to agree. A power
 * cut is the same with another disk.
 */
#include "tests/model/model_rig.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES                                                                                    \
    (VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC | VARVE_SIM_SYNC | VARVE_SIM_TRUNCATE |               \
     VARVE_SIM_ALLOCATE | VARVE_SIM_RENAME | VARVE_SIM_UNLINK | VARVE_SIM_SYNC_DIR)

static const char marks_name[] = "marks";
static const char marks_text[] = "CREATE TABLE marks (p int, n bigint, PRIMARY KEY (p, n))";

/* -------------------------------------------------------------------------------------- Excuses */

static uint64_t struck(const struct model_rig *rig)
{
    return varve_sim_fault_hits(rig->sim) + (uint64_t)rig->trouble->fault.failed;
}

static bool is_failed(const struct model_rig *rig)
{
    varve_stats stats = {.struct_size = sizeof stats};

    if (rig->store == NULL)
        return false;
    varve_get_stats(rig->store, &stats);
    return stats.failed != 0;
}

bool model_excuses(const struct model_rig *rig, varve_status rc)
{
    switch ((int)rc) {
    case VARVE_ENOMEM:
    case VARVE_EIO:
    case VARVE_EIO_SYNC:
    case VARVE_ENOSPC:
    case VARVE_EAGAIN:
        break;
    default:
        return false;
    }
    return rig->trouble != NULL && (struck(rig) > rig->trouble->struck || is_failed(rig) ||
                                    (rc == VARVE_ENOSPC && rig->trouble->no_room));
}

bool model_is_cut(const struct model_rig *rig)
{
    return rig->trouble != NULL && rig->trouble->image != NULL;
}

void model_fail_io(struct model_rig *rig, const struct varve_sim_fault *fault)
{
    if (varve_sim_fault_add(rig->sim, fault) < 0)
        abort();
    rig->trouble->no_room |= fault->error == ENOSPC;
}

void model_fail_allocation(struct model_rig *rig, uint64_t nth)
{
    rig->trouble->fault.at = fault_calls(&rig->trouble->fault) + (long)nth;
}

static void clear_faults(struct model_rig *rig)
{
    varve_sim_fault_clear(rig->sim);
    rig->trouble->fault.at = FAULT_NEVER;
    rig->trouble->no_room = false;
}

/* A flush that failed is tried again after a while: then nothing is left of the trouble. */
static void recover(struct model_rig *rig)
{
    varve_error err = {0};
    varve_status rc = VARVE_OK;

    varve_sim_clock_advance(rig->sim, 10 * (int64_t)1000000);
    for (int i = 0; i < 10000 && rc == VARVE_OK; i++)
        rc = varve_work(rig->store, 1000, &err);
    model_expect(rig, rc, "work after the trouble", &err);
}

/* ------------------------------------------------------------------------------------- Power cuts */

static struct varve_sim *image_of(struct model_rig *rig, uint32_t kind, uint64_t state)
{
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;

    varve_sim_crash_options_init(&options, 1);
    options.model = crash_models[kind].model;
    options.granule = crash_models[kind].granule;
    options.hole = crash_models[kind].hole;
    options.random = 64;
    if (varve_sim_crash_open(rig->sim, &options, &crash) < 0)
        abort();
    const uint64_t n = varve_sim_crash_count(crash);
    if (n == 0 || varve_sim_crash_at(crash, state % n, &image, NULL) < 0)
        abort();
    varve_sim_crash_close(crash);
    return image;
}

static int watch_changes(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct model_rig *const rig = ctx;
    struct model_trouble *const t = rig->trouble;

    (void)sim;
    if (t->cut_in == 0 || event->phase != VARVE_SIM_BEFORE || (event->op & CHANGES) == 0 ||
        --t->cut_in > 0)
        return 0;
    t->image = image_of(rig, t->cut_model, t->cut_state);
    t->image_durable = t->durable;
    t->image_garbage = crash_models[t->cut_model].hole == VARVE_SIM_HOLE_GARBAGE;
    return 0;
}

static void watch(struct model_rig *rig)
{
    if (varve_sim_watch(rig->sim, watch_changes, rig) < 0)
        abort();
}

/* A disk that shows garbage where bytes were lost: a log that ends in it may be refused, with its place,
 * and opens when its end may be cut. */
static varve_status open_garbage(struct model_rig *rig, varve_error *err)
{
    const varve_status rc = model_open(rig, VARVE_WAL_TAIL_STRICT, err);

    if (rc != VARVE_ECORRUPT || strstr(err->file, ".wal") == NULL || err->lsn == UINT64_MAX)
        return rc;
    model_close(rig);
    return model_open(rig, VARVE_WAL_TAIL_CUT, err);
}

/* The power is gone: go on with what it left. */
static void change_machine(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;
    varve_error err = {0};

    clear_faults(rig);
    t->cut_in = 0;
    if (rig->vfs != NULL)
        varve_sim_kill(rig->vfs);
    model_close(rig);
    if (varve_sim_violation(rig->sim) != NULL)
        model_fail(rig, "an ordering rule is broken: %s", varve_sim_violation(rig->sim));
    varve_sim_destroy(rig->sim);
    rig->sim = t->image;
    t->image = NULL;
    t->durable = t->image_durable;
    t->struck = struck(rig);
    t->doubt = true;
    watch(rig);
    rig->reopens++;
    model_expect(rig,
                 t->image_garbage ? open_garbage(rig, &err)
                                  : model_open(rig, VARVE_WAL_TAIL_STRICT, &err),
                 "opening after a power cut", &err);
    if (!rig->failed)
        model_trouble_opened(rig);
    model_scan_all(rig);
}

void model_power_cut(struct model_rig *rig, uint32_t kind, uint64_t state)
{
    struct model_trouble *const t = rig->trouble;

    t->image = image_of(rig, kind % MODEL_CUTS, state);
    t->image_durable = t->durable;
    t->image_garbage = crash_models[kind % MODEL_CUTS].hole == VARVE_SIM_HOLE_GARBAGE;
}

void model_power_cut_in(struct model_rig *rig, uint64_t changes, uint32_t kind, uint64_t state)
{
    rig->trouble->cut_in = changes;
    rig->trouble->cut_model = kind % MODEL_CUTS;
    rig->trouble->cut_state = state;
}

/* ------------------------------------------------------------------------------ What was promised */

void model_trouble_init(struct model_rig *rig)
{
    *rig->trouble = (struct model_trouble){0};
    fault_init(&rig->trouble->fault, FAULT_NEVER, FAULT_ONCE);
    rig->trouble->fault.fill_max = 4096; /* stores are opened all the time */
    rig->oracle.oldest_snapshot = 0;     /* every version is kept: the model may have to go back */
    watch(rig);
}

void model_trouble_options(struct model_rig *rig, varve_options *options)
{
    options->allocator = &rig->trouble->fault.allocator;
    options->memory_limit = 16u << 20;
    options->wal_segment_bytes = 64u << 10;
    options->max_wal_bytes = 256u << 10;
}

/* How many commits there are. Their marks are 1, 2, 3, ... */
static uint64_t count_marks(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_error err = {0};
    varve_scan scan;
    uint64_t n = 0;

    varve_status rc = varve_table_open(rig->store, marks_name, &t->marks, &err);
    if (rc == VARVE_ENOTFOUND && rig->reopens == 0) {
        rc = varve_table_create(rig->store, marks_text, &err);
        if (rc == VARVE_OK)
            rc = varve_table_open(rig->store, marks_name, &t->marks, &err);
    }
    varve_scan_init(&scan, sizeof scan);
    if (rc == VARVE_OK)
        rc = varve_scan_open(rig->store, t->marks, &scan, &cursor, &err);
    while (rc == VARVE_OK && (rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK)
        for (uint32_t i = 0; i < view->rows; i++)
            if (varve_view_value(view, i, 1).as.i64 != (int64_t)++n)
                model_fail(rig, "commit %" PRIu64 " is not there, but a later one is", n);
    model_expect(rig, rc, "counting the commits", &err);
    varve_cursor_close(cursor);
    return n;
}

static void go_back(struct model_rig *rig, uint64_t seq)
{
    const struct model_past *past = &rig->trouble->past[seq];

    for (int i = 0; i < MODEL_TABLES; i++)
        if (rig->tables[i].oracle != NULL)
            oracle_table_rewind(rig->tables[i].oracle, seq);
    memcpy(rig->oracle.origins, past->origins, sizeof past->origins);
    rig->oracle.n_origins = past->n;
    rig->oracle.seq = seq;
}

void model_trouble_opened(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;
    const uint64_t most = rig->oracle.seq, least = t->doubt ? t->durable : most;
    const uint64_t n = count_marks(rig);

    if (rig->failed)
        return;
    if (n < least || n > most)
        model_fail(rig,
                   "%" PRIu64 " commits are there, of %" PRIu64 " promised and %" PRIu64 " given",
                   n, least, most);
    else if (t->doubt && model_is_cut(rig))
        return; /* the power went meanwhile, and its disk may have kept more than this one shows */
    else
        go_back(rig, n);
    t->durable = n; /* what was recovered is on the disk */
    t->struck_open = struck(rig);
    t->doubt = false;
}

void model_trouble_closed(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;

    t->doubt = t->doubt || struck(rig) > t->struck_open;
    t->marks = NULL;
    if (fault_blocks(&t->fault) != 0)
        model_fail(rig, "the store has leaked %" PRIu64 " bytes", fault_live(&t->fault));
}

void model_trouble_end(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;

    t->cut_in = 0;
    varve_sim_destroy(t->image); /* of an operation that failed */
    t->image = NULL;
}

bool model_trouble_mark(struct model_rig *rig)
{
    const varve_value mark[2] = {{.type = VARVE_INT},
                                 {.type = VARVE_BIGINT, .as.i64 = (int64_t)rig->oracle.seq + 1}};
    varve_error err = {0};

    if (rig->oracle.seq >= MODEL_COMMITS_MAX)
        return false;
    const varve_status rc =
        varve_batch_put_row(rig->batch, rig->trouble->marks, mark, 2, NULL, &err);
    if (rc != VARVE_ELIMIT) /* the batch is full */
        model_expect(rig, rc, "a mark", &err);
    return rc == VARVE_OK;
}

void model_trouble_committed(struct model_rig *rig, varve_policy policy, varve_status rc)
{
    struct model_trouble *const t = rig->trouble;
    const varve_policy asked = policy == VARVE_POLICY_DEFAULT ? rig->policy : policy;
    struct model_past *past = &t->past[rig->oracle.seq];

    memcpy(past->origins, rig->oracle.origins, sizeof past->origins);
    past->n = rig->oracle.n_origins;
    if (rc < 0)
        t->doubt = true;
    else if (asked == VARVE_POLICY_DURABLE_EACH || asked == VARVE_POLICY_DURABLE_GROUP)
        t->durable = rig->oracle.seq;
}

void model_wait_durable(struct model_rig *rig)
{
    varve_stats stats = {.struct_size = sizeof stats};
    varve_error err = {0};

    varve_get_stats(rig->store, &stats);
    model_expect(rig, varve_wait_durable(rig->store, stats.lsn_committed, &err),
                 "waiting for the disk", &err);
    if (!rig->failed)
        rig->trouble->durable = rig->oracle.seq;
}

void model_trouble_settle(struct model_rig *rig)
{
    struct model_trouble *const t = rig->trouble;
    const bool excused = rig->excused;
    bool doubt = t->doubt || rig->store == NULL;

    if (rig->failed && !excused)
        return;
    rig->failed = rig->excused = false;
    if (excused && t->image == NULL) {
        clear_faults(rig);
        for (int i = 0; i < MODEL_TABLES; i++)
            doubt = doubt || rig->tables[i].perhaps;
        if (doubt || is_failed(rig))
            model_reopen(rig, struck(rig) % 2 != 0);
        else
            recover(rig);
    }
    if (t->image != NULL) /* the power may also have gone while this was settled */
        change_machine(rig);
    t->struck = struck(rig);
}
