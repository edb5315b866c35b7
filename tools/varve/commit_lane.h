/*
 * commit_lane.h - several commits in flight, in order: while the store logs and syncs one batch, the
 * next is filled.
 *
 * Place.   import_load.c fills batches; this hands them to the store and counts what was committed.
 *
 * Invariants
 *   P1  Batches are committed in the order in which they were started.
 *   P2  commit_lane_rows() counts acknowledged rows only.
 *   P3  A commit that fails is tried once more after all others, if none behind it succeeded; a
 *       failure that is reported is final, and nothing behind it was started after it was known.
 *   P4  A call may report the failure of a batch that was started before the one it is about: then
 *       commit_lane_lost() is true, and it is no refusal of that one.
 *
 * Threads. None; the store's own work meanwhile.
 */
#ifndef VARVE_TOOL_COMMIT_LANE_H
#define VARVE_TOOL_COMMIT_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include <varve/varve.h>

#define COMMIT_LANE_BATCHES 4u

struct commit_lane {
    varve_store *store;
    varve_policy policy;
    varve_batch *idle[COMMIT_LANE_BATCHES];
    varve_completion failed[COMMIT_LANE_BATCHES]; /* in their order */
    uint32_t n_idle, n_flying, n_failed;
    bool overtaken; /* a commit behind a failed one succeeded */
    bool lost;
    uint64_t rows;
    uint64_t lsn;
};

/* A failure leaves what commit_lane_free() takes. */
varve_status commit_lane_init(struct commit_lane *lane, varve_store *store, varve_policy policy,
                              varve_error *err);
/* Waits for what is in flight. Zeroed is fine. */
void commit_lane_free(struct commit_lane *lane);

/* An empty batch; waits until there is one. The lane's again at the next start or run. */
varve_status commit_lane_batch(struct commit_lane *lane, varve_batch **ret_batch, varve_error *err);
/* Start to commit that batch. */
varve_status commit_lane_start(struct commit_lane *lane, varve_batch *batch, varve_error *err);
/* Commit it and wait, after everything that was started. err->row is told. */
varve_status commit_lane_run(struct commit_lane *lane, varve_batch *batch, varve_error *err);
/* Wait for everything that was started. */
varve_status commit_lane_drain(struct commit_lane *lane, varve_error *err);
/* Memory is short: the same, and give back what batches keep for the next time. No batch that was handed
 * out is valid any more. After a failure there may be none to hand out: only rows(), lost(), drain() and
 * free() may follow. */
varve_status commit_lane_relieve(struct commit_lane *lane, varve_error *err);

static inline uint64_t commit_lane_rows(const struct commit_lane *lane)
{
    return lane->rows;
}

/* Where the last of what was committed ends in the log, 0 if nothing was. */
static inline uint64_t commit_lane_lsn(const struct commit_lane *lane)
{
    return lane->lsn;
}

/* Whether a batch that was started is not committed and will not be. */
static inline bool commit_lane_lost(const struct commit_lane *lane)
{
    return lane->lost;
}

#endif
