/*
 * turn.c - WRITE 2: one turn at the log, by the holder of the log token.
 *
 * A turn takes the queue, judges commit after commit, appends the records of those it accepts to a
 * group, submits the group, and takes completions; up to four groups are in flight. Completed groups
 * come back in order; their records are applied, then published together.
 *
 * Invariants
 *   T1  Commits finish in the order of the queue.
 *   T2  A record is applied only after every record before it; none of a failed group is.
 *   T3  Between judging and applying, memory for the rows is set aside (judge.c).
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/reserve_int.h"

static bool is_durable(const struct varve_pending *pending)
{
    return pending->policy == VARVE_POLICY_DURABLE_EACH ||
           pending->policy == VARVE_POLICY_DURABLE_GROUP;
}

static void take_queue(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    if (store->queue.first != NULL) {
        if (store->intake.last != NULL)
            store->intake.last->next = store->queue.first;
        else
            store->intake.first = store->queue.first;
        store->intake.last = store->queue.last;
        store->queue = (struct varve_pending_list){0};
    }
    varve_mutex_unlock(&store->queue_lock);
}

/* Every commit of a list that has a record loses it: its error is `why`, and whether the record is on
 * the disk is unknown. */
static void fail_list(varve_store *store, struct varve_pending_list *list, const varve_error *why)
{
    for (struct varve_pending *p = list->first; p != NULL; p = p->next) {
        if (p->error.status != VARVE_OK)
            continue;
        varve_judge_undo(store, p);
        p->error = *why;
        p->error.status = VARVE_EIO_SYNC;
        p->error.row = UINT64_MAX;
    }
    varve_pending_finish_all(store, list);
}

void varve_log_fail_all(varve_store *store, const varve_error *why)
{
    varve_store_fail(store, why);
    varve_wal_drop(store->wal); /* a sync would wait for the page that it writes again */
    while (store->n_groups > 0) {
        struct varve_commit_group *group = &store->groups[store->group_first];
        fail_list(store, &group->commits, why);
        store->group_first = (store->group_first + 1) % VARVE_GROUPS_MAX;
        store->n_groups--;
    }
    fail_list(store, &store->opened, why);
    take_queue(store);
    for (struct varve_pending *p = store->intake.first; p != NULL; p = p->next)
        p->error = *why;
    varve_pending_finish_all(store, &store->intake);
}

/* ------------------------------------------------------------------------------- Appending */

static struct varve_span payload_of(const struct varve_pending *pending)
{
    if (pending->repeated)
        return (struct varve_span){NULL, 0};
    return pending->batch != NULL ? varve_batch_payload(pending->batch)
                                  : varve_buffer_span(&pending->payload);
}

static void fill_record(varve_store *store, struct varve_pending *pending)
{
    const int64_t wall = varve_store_wall_us(store);
    struct varve_span payload = payload_of(pending);

    pending->record = (struct varve_wal_record){
        .type = pending->repeated ? (uint8_t)VARVE_WAL_NOOP : pending->type,
        .term = store->term,
        .commit = store->applied.index,
        .hlc = wall > store->appended.hlc + 2 ? wall : store->appended.hlc + 2,
    };
    if (pending->batch != NULL && !pending->repeated) {
        const struct varve_origin origin = varve_batch_origin(pending->batch);
        pending->record.origin = origin.id;
        pending->record.origin_epoch = origin.epoch;
        pending->record.origin_first = origin.first;
        pending->record.origin_last = origin.last;
        pending->record.payload_hash = varve_batch_payload_hash(pending->batch);
    } else if (payload.size > 0) {
        pending->record.payload_hash = varve_wal_payload_hash(payload);
    }
}

/* Submit the group being filled. When the writer fails, completions tell. */
static void submit(varve_store *store)
{
    uint64_t ticket = 0;

    if (varve_wal_submit(store->wal, &ticket) == VARVE_END) {
        varve_pending_finish_all(store, &store->opened);
        return;
    }
    assert(store->n_groups < VARVE_GROUPS_MAX);
    struct varve_commit_group *group =
        &store->groups[(store->group_first + store->n_groups) % VARVE_GROUPS_MAX];
    group->commits = store->opened;
    group->ticket = ticket;
    store->n_groups++;
    store->opened = (struct varve_pending_list){0};
}

/* Append the record of an accepted commit. VARVE_END: no room now, submit or reap first. */
static varve_status append(varve_store *store, struct varve_pending *pending, varve_error *err)
{
    for (;;) {
        const int rc = varve_wal_append(store->wal, &pending->record, payload_of(pending),
                                        &pending->lsn_end, err);
        if (rc == VARVE_WAL_FULL || rc == VARVE_WAL_BUSY)
            return VARVE_END;
        if (rc == VARVE_WAL_SEGMENT) {
            const uint64_t size = payload_of(pending).size;
            varve_status made = varve_segment_provide(store, size, err);
            if (made == VARVE_ENOSPC && pending->type == VARVE_WAL_TABLE_DROP &&
                varve_reserve_release(store)) /* it gives room back */
                made = varve_segment_provide(store, size, err);
            store->log_full = made == VARVE_ENOSPC;
            if (made != VARVE_OK)
                return made;
            continue;
        }
        return (varve_status)rc;
    }
}

static void accepted(varve_store *store, struct varve_pending *pending)
{
    store->appended.lsn = pending->lsn_end;
    store->appended.index = pending->record.index;
    store->appended.term = pending->record.term;
    store->appended.chain = pending->record.chain;
    store->appended.hlc = pending->record.hlc;
    store->last_append_us = (uint64_t)varve_store_boot_us(store);
    store->interval_used |= pending->policy == VARVE_POLICY_INTERVAL;
    varve_judge_accept(store, pending);
}

/* What a commit that was refused, or could not be logged, has to wait for: everything before it. */
static void refuse(varve_store *store, struct varve_pending *pending, const varve_error *why)
{
    if (why != NULL)
        pending->error = *why;
    assert(pending->error.status < 0);
    (void)varve_heap_explain(&store->heap, pending->error.status, &pending->error);
    if (store->opened.first != NULL)
        varve_pending_push(&store->opened, pending);
    else if (store->n_groups > 0)
        varve_pending_push(
            &store->groups[(store->group_first + store->n_groups - 1) % VARVE_GROUPS_MAX].commits,
            pending);
    else
        varve_pending_finish(store, pending);
}

enum fill_result { FILL_EMPTY, FILL_GROUP, FILL_BLOCKED, FILL_FAILED };

/* Whether the group may take another commit: durable_each has one to itself. */
static bool joins(const struct varve_pending_list *opened, const struct varve_pending *next)
{
    return opened->first == NULL || (opened->last->policy != VARVE_POLICY_DURABLE_EACH &&
                                     next->policy != VARVE_POLICY_DURABLE_EACH);
}

/* Whether the group that begins with the intake's first commit is to be a durable one. */
static bool intake_is_durable(const varve_store *store)
{
    unsigned looked = 0;

    for (const struct varve_pending *p = store->intake.first; p != NULL && looked < 64;
         p = p->next, looked++) {
        if (p->policy == VARVE_POLICY_DURABLE_EACH) /* it has a group to itself */
            return looked == 0;
        if (is_durable(p))
            return true;
    }
    return false;
}

/* Judge and append commits of the intake until the group is full or the intake empty. */
static enum fill_result fill(varve_store *store, bool durable, varve_error *err)
{
    while (store->intake.first != NULL) {
        struct varve_pending *pending = store->intake.first;
        if (!joins(&store->opened, pending) || (is_durable(pending) && !durable) ||
            varve_wal_group_bytes(store->wal) >= VARVE_GROUP_BYTES)
            break;
        const enum varve_judgement judgement = varve_judge(store, pending);
        if (judgement == VARVE_JUDGE_DRAIN)
            return store->opened.first != NULL ? FILL_GROUP : FILL_BLOCKED;
        if (judgement == VARVE_JUDGE_REFUSE) {
            (void)varve_pending_pop(&store->intake);
            refuse(store, pending, NULL);
            continue;
        }
        varve_error detail = {0};
        fill_record(store, pending);
        const varve_status rc = append(store, pending, &detail);
        if (rc == VARVE_OK) {
            (void)varve_pending_pop(&store->intake);
            accepted(store, pending);
            varve_pending_push(&store->opened, pending);
            continue;
        }
        varve_judge_undo(store, pending);
        if (rc == VARVE_END)
            return store->opened.first != NULL ? FILL_GROUP : FILL_BLOCKED;
        if (varve_wal_error(store->wal, err) < 0 || varve_store_failure(store, err) < 0)
            return FILL_FAILED;
        (void)varve_pending_pop(&store->intake);
        refuse(store, pending, &detail);
    }
    return store->opened.first != NULL ? FILL_GROUP : FILL_EMPTY;
}

/* Fill and submit groups while there is room for more in flight. An error here is the writer's. */
static varve_status submit_groups(varve_store *store, bool *did, varve_error *err)
{
    take_queue(store);
    while (store->intake.first != NULL && store->n_groups < VARVE_GROUPS_MAX) {
        const bool durable = intake_is_durable(store);
        varve_error detail = {0};
        const int rc = varve_wal_begin(store->wal, durable, &detail);
        if (rc == VARVE_WAL_BUSY)
            break;
        if (rc < 0) { /* no memory for a group's pages, say: nothing was logged */
            if (varve_wal_error(store->wal, err) < 0)
                return VARVE_EIO;
            refuse(store, varve_pending_pop(&store->intake), &detail);
            continue;
        }
        const enum fill_result filled = fill(store, durable, err);
        if (filled == FILL_FAILED)
            return VARVE_EIO;
        submit(store);
        if (filled == FILL_BLOCKED)
            break;
        *did = true;
        take_queue(store);
    }
    return VARVE_OK;
}

/* -------------------------------------------------------------------------------- Completions */

static void note_progress(varve_store *store)
{
    struct varve_wal_counters counters;
    uint64_t id, base;
    struct varve_wal_seal seal;

    while (varve_wal_sealed(store->wal, &id, &base, &seal)) {
        struct varve_segment_entry entry = {.id = id,
                                            .base_lsn = base,
                                            .sealed = true,
                                            .final_lsn = seal.lsn,
                                            .digest = seal.digest};
        varve_store_note_sealed(store, &entry);
    }
    varve_wal_counters_get(store->wal, &counters);
    varve_mutex_lock(&store->queue_lock);
    const uint64_t durable = varve_wal_durable_lsn(store->wal);
    const bool moved = durable != store->stats.lsn_durable;
    store->stats.lsn_durable = durable;
    store->stats.bytes_log = counters.bytes_submitted;
    store->stats.syncs = counters.syncs;
    if (moved)
        varve_cond_broadcast(&store->commit_done);
    if (store->ready_segment == NULL) {
        store->segment_wanted = true;
        varve_cond_signal(&store->work);
    }
    varve_mutex_unlock(&store->queue_lock);
}

static void complete_group(varve_store *store, const struct varve_wal_group_done *done)
{
    struct varve_commit_group *group = &store->groups[store->group_first];

    assert(store->n_groups > 0 && group->ticket == done->ticket);
    for (struct varve_pending *p = group->commits.first; p != NULL; p = p->next)
        if (p->error.status == VARVE_OK)
            varve_apply(store, p);
    varve_wal_set_commit_lsn(store->wal, done->lsn_end);
    varve_apply_publish(store, done->lsn_end);
    struct varve_pending_list commits = group->commits;
    store->group_first = (store->group_first + 1) % VARVE_GROUPS_MAX;
    store->n_groups--;
    varve_pending_finish_all(store, &commits);
}

/* Take completed groups. Returns how many, or an error that fails the store. */
static int take_completions(varve_store *store, bool wait, uint64_t timeout_us, varve_error *err)
{
    struct varve_wal_group_done done[VARVE_GROUPS_MAX];
    const int n = varve_wal_reap(store->wal, wait, timeout_us, done, VARVE_GROUPS_MAX);

    for (int i = 0; i < n; i++) {
        if (done[i].status < 0) {
            (void)varve_wal_error(store->wal, err);
            return done[i].status;
        }
        if (store->n_groups > 0 && store->groups[store->group_first].ticket == done[i].ticket)
            complete_group(store, &done[i]);
    }
    return n;
}

/* How long to wait for the disk: until it is done if no commit is likely to join meanwhile, or
 * enough groups are in flight to keep it busy and what comes may join the next; else a moment. */
static uint64_t patience(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const bool alone = store->company == 0 || (store->waiters <= 1 && !store->threaded);
    varve_mutex_unlock(&store->queue_lock);
    return store->n_groups >= VARVE_GROUPS_BUSY || alone ? UINT64_MAX : VARVE_REAP_SPIN_US;
}

/* What `interval` promises: bytes acknowledged are synced at the latest interval_ms later, however
 * busy the log is. Half of it, since a sync takes its time. It covers all that was written. */
bool varve_log_keep_interval(varve_store *store)
{
    if (varve_wal_durable_lsn(store->wal) >= varve_wal_written_lsn(store->wal)) {
        store->unsynced_since_us = 0;
        return false;
    }
    const uint64_t now = (uint64_t)varve_store_boot_us(store);
    if (store->unsynced_since_us == 0)
        store->unsynced_since_us = now;
    if (!store->interval_used && store->options.policy != VARVE_POLICY_INTERVAL)
        return false;
    if (now - store->unsynced_since_us < (uint64_t)store->options.interval_ms * 1000 / 2)
        return false;
    if (varve_wal_sync(store->wal, NULL) != VARVE_OK) /* who drives the log tells why */
        return false;
    store->unsynced_since_us = now;
    return true;
}

bool varve_log_turn(varve_store *store, bool wait)
{
    varve_error err = {0};
    bool did = false;
    int n = 0;

    if (varve_store_failure(store, &err) < 0) {
        varve_log_fail_all(store, &err);
        return false;
    }
    varve_generations_check(store);
    varve_status rc = submit_groups(store, &did, &err);
    if (rc == VARVE_OK && varve_wal_busy(store->wal)) {
        n = take_completions(store, wait && !did, patience(store), &err);
        rc = n < 0 ? (varve_status)n : VARVE_OK;
    }
    if (rc == VARVE_OK) {
        (void)varve_log_keep_interval(store);
        rc = varve_wal_error(store->wal, &err); /* of a sync that no commit waits for */
    }
    note_progress(store);
    varve_generations_settle(store); /* commits that were refused do not come either */
    if (rc < 0) {
        varve_log_fail_all(store, &err);
        return false;
    }
    return did || n > 0;
}

bool varve_log_pending(const varve_store *store)
{
    if (store->wal == NULL) /* read-only, or being opened */
        return false;
    return store->intake.first != NULL || store->n_groups > 0 || varve_wal_busy(store->wal);
}

bool varve_log_busy_locked(const varve_store *store)
{
    return store->queue.first != NULL ||
           (store->failure.status == VARVE_OK && varve_log_pending(store));
}

bool varve_log_busy(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const bool busy = varve_log_busy_locked(store);
    varve_mutex_unlock(&store->queue_lock);
    return busy;
}

void varve_log_sync_last(varve_store *store)
{
    if (varve_wal_sync(store->wal, NULL) != VARVE_OK)
        return;
    while (varve_wal_syncing(store->wal))
        (void)take_completions(store, true, UINT64_MAX, NULL);
    note_progress(store);
}

void varve_log_drain(varve_store *store)
{
    while (varve_log_busy(store) && varve_store_failure(store, NULL) == VARVE_OK)
        (void)varve_log_turn(store, true);
}
