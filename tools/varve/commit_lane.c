/*
 * commit_lane.c - see commit_lane.h.
 *
 * What the store refuses when a commit is started (no memory for it now, a full queue) is committed
 * by the call that waits. A store without an event descriptor gets every commit that way.
 */
#include "tools/varve/commit_lane.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>

static varve_status make_batches(struct commit_lane *lane, varve_error *err)
{
    while (lane->n_idle < COMMIT_LANE_BATCHES) {
        const varve_status rc = varve_batch_new(lane->store, &lane->idle[lane->n_idle], err);
        if (rc < 0)
            return rc;
        lane->n_idle++;
    }
    return VARVE_OK;
}

static void free_batches(struct commit_lane *lane)
{
    while (lane->n_idle > 0)
        varve_batch_free(lane->idle[--lane->n_idle]);
}

varve_status commit_lane_init(struct commit_lane *lane, varve_store *store, varve_policy policy,
                              varve_error *err)
{
    *lane = (struct commit_lane){.store = store, .policy = policy};
    return make_batches(lane, err);
}

static void count(struct commit_lane *lane, uint64_t rows, uint64_t lsn)
{
    lane->rows += rows;
    lane->lsn = lsn > lane->lsn ? lsn : lane->lsn;
}

/* Take back what is done; waits for the first. */
static void reap(struct commit_lane *lane)
{
    varve_completion done[COMMIT_LANE_BATCHES];
    struct pollfd event = {.fd = varve_event_fd(lane->store), .events = POLLIN};
    uint32_t n = varve_commit_reap(lane->store, done, COMMIT_LANE_BATCHES);

    assert(lane->n_flying > 0);
    while (n == 0) {
        (void)poll(&event, 1, -1);
        n = varve_commit_reap(lane->store, done, COMMIT_LANE_BATCHES);
    }
    for (uint32_t i = 0; i < n; i++) {
        lane->n_flying--;
        if (done[i].status != VARVE_OK) {
            lane->failed[lane->n_failed++] = done[i];
            continue;
        }
        count(lane, done[i].tag, done[i].lsn);
        lane->overtaken |= lane->n_failed > 0;
        lane->idle[lane->n_idle++] = done[i].batch;
    }
}

/* Without a later commit that succeeded the order is still open: the call that waits tries again,
 * and says in full what is wrong. */
static varve_status commit_again(struct commit_lane *lane, const varve_completion *failed,
                                 varve_error *err)
{
    uint64_t lsn = 0;
    const varve_status rc = lane->overtaken
                                ? VARVE_END
                                : varve_commit(lane->store, failed->batch, lane->policy, &lsn, err);

    if (rc == VARVE_OK)
        count(lane, failed->tag, lsn);
    if (rc != VARVE_END)
        return rc;
    *err = (varve_error){.status = failed->status,
                         .offset = UINT64_MAX,
                         .lsn = UINT64_MAX,
                         .lsn_end = UINT64_MAX,
                         .row = failed->row};
    (void)snprintf(err->message, sizeof err->message, "%s", varve_status_text(failed->status));
    return failed->status;
}

varve_status commit_lane_drain(struct commit_lane *lane, varve_error *err)
{
    varve_status rc = VARVE_OK;

    while (lane->n_flying > 0)
        reap(lane);
    for (uint32_t i = 0; i < lane->n_failed; i++) {
        if (rc >= 0)
            rc = commit_again(lane, &lane->failed[i], err);
        varve_batch_clear(lane->failed[i].batch);
        lane->idle[lane->n_idle++] = lane->failed[i].batch;
    }
    lane->n_failed = 0;
    lane->overtaken = false;
    lane->lost = lane->lost || rc < 0;
    return rc;
}

void commit_lane_free(struct commit_lane *lane)
{
    varve_error err;

    if (lane->n_flying > 0)
        (void)commit_lane_drain(lane, &err);
    free_batches(lane);
}

varve_status commit_lane_relieve(struct commit_lane *lane, varve_error *err)
{
    const varve_status rc = commit_lane_drain(lane, err);

    if (rc < 0)
        return rc;
    free_batches(lane);
    return make_batches(lane, err);
}

varve_status commit_lane_batch(struct commit_lane *lane, varve_batch **ret_batch, varve_error *err)
{
    if (lane->n_idle == 0)
        reap(lane);
    if (lane->n_failed > 0) {
        const varve_status rc = commit_lane_drain(lane, err);
        if (rc < 0)
            return rc;
    }
    *ret_batch = lane->idle[lane->n_idle - 1];
    varve_batch_clear(*ret_batch);
    return VARVE_OK;
}

varve_status commit_lane_run(struct commit_lane *lane, varve_batch *batch, varve_error *err)
{
    const uint64_t rows = varve_batch_rows(batch);
    uint64_t lsn = 0;
    varve_status rc = commit_lane_drain(lane, err);

    if (rc >= 0)
        rc = varve_commit(lane->store, batch, lane->policy, &lsn, err);
    if (rc >= 0)
        count(lane, rows, lsn);
    return rc;
}

varve_status commit_lane_start(struct commit_lane *lane, varve_batch *batch, varve_error *err)
{
    assert(lane->n_idle > 0 && batch == lane->idle[lane->n_idle - 1]);
    if (varve_event_fd(lane->store) < 0)
        return commit_lane_run(lane, batch, err);
    const varve_status rc =
        varve_commit_start(lane->store, batch, lane->policy, varve_batch_rows(batch), err);
    if (rc == VARVE_EAGAIN || rc == VARVE_ELIMIT)
        return commit_lane_run(lane, batch, err);
    if (rc < 0)
        return rc;
    lane->n_idle--;
    lane->n_flying++;
    return VARVE_OK;
}
