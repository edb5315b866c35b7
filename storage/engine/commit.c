/*
 * commit.c - WRITE 2: how a commit joins the others, waits, and learns what became of it.
 *
 * A commit seals its batch in the caller's thread, joins the queue, and is driven by whoever holds
 * the log token: itself if it waits and finds the token free, another waiting caller, a background
 * thread, or varve_work(). A holder gives the token up when its own commit is done, or when somebody
 * claims it to change a table or begin a flush; the next waiter takes it.
 *
 * Threads. The queue, the completions and the token are under the queue lock.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/pressure_int.h"

void varve_pending_push(struct varve_pending_list *list, struct varve_pending *pending)
{
    pending->next = NULL;
    if (list->last != NULL)
        list->last->next = pending;
    else
        list->first = pending;
    list->last = pending;
}

struct varve_pending *varve_pending_pop(struct varve_pending_list *list)
{
    struct varve_pending *pending = list->first;

    if (pending != NULL) {
        list->first = pending->next;
        if (list->first == NULL)
            list->last = NULL;
        pending->next = NULL;
    }
    return pending;
}

/* Who must have the token (a flush, to become files) goes before who could use it: committers hand
 * it to each other without a gap. */
static bool log_is_free_locked(const varve_store *store) VARVE_REQUIRES(&store->queue_lock)
{
    return !store->log_taken && store->log_claims == 0;
}

bool varve_log_try_take(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const bool taken = log_is_free_locked(store);
    store->log_taken |= taken;
    varve_mutex_unlock(&store->queue_lock);
    return taken;
}

void varve_log_take(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    store->log_claims++;
    while (store->log_taken)
        varve_cond_wait(&store->commit_done, &store->queue_lock);
    store->log_claims--;
    store->log_taken = true;
    varve_mutex_unlock(&store->queue_lock);
}

/* Whoever waits for a commit takes over. A background thread is woken only if something is left to
 * do and nobody waits: waking one for each commit costs more than the commit. */
static void log_release_locked(varve_store *store) VARVE_REQUIRES(&store->queue_lock)
{
    assert(store->log_taken);
    const bool busy = varve_log_busy_locked(store);
    store->log_taken = false;
    varve_cond_broadcast(&store->commit_done);
    if (busy && store->waiters == 0)
        varve_cond_signal(&store->work);
}

void varve_log_release(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    log_release_locked(store);
    varve_mutex_unlock(&store->queue_lock);
}

/* A commit joins the queue. */
static void enqueue_locked(varve_store *store, struct varve_pending *pending)
    VARVE_REQUIRES(&store->queue_lock)
{
    if (store->queued > 0)
        store->company = VARVE_COMPANY;
    else if (store->company > 0)
        store->company--;
    pending->state = VARVE_COMMIT_QUEUED;
    store->queued++;
    store->waiters += !pending->asynchronous;
    varve_pending_push(&store->queue, pending);
}

void varve_pending_finish_all(varve_store *store, struct varve_pending_list *list)
{
    struct varve_pending *pending;
    bool awaited = false;

    if (list->first == NULL)
        return;
    varve_mutex_lock(&store->queue_lock);
    const bool silent = store->done.first == NULL; /* else the descriptor is readable already */
    while ((pending = varve_pending_pop(list)) != NULL) {
        assert(store->queued > 0);
        store->queued--;
        pending->state = VARVE_COMMIT_DONE;
        if (pending->asynchronous) {
            varve_pending_push(&store->done, pending);
        } else {
            store->waiters--;
            awaited = true;
        }
    }
    if (silent && store->done.first != NULL && store->event_fd >= 0)
        store->vfs->ops->event_signal(store->vfs, store->event_fd);
    if (awaited)
        varve_cond_broadcast(&store->commit_done);
    varve_mutex_unlock(&store->queue_lock);
}

void varve_pending_finish(varve_store *store, struct varve_pending *pending)
{
    struct varve_pending_list list = {0};

    varve_pending_push(&list, pending);
    varve_pending_finish_all(store, &list);
}

varve_status varve_pending_run(varve_store *store, struct varve_pending *pending)
{
    varve_mutex_lock(&store->queue_lock);
    enqueue_locked(store, pending);
    while (pending->state != VARVE_COMMIT_DONE) {
        if (!log_is_free_locked(store)) {
            varve_cond_wait(&store->commit_done, &store->queue_lock);
            continue;
        }
        store->log_taken = true;
        do {
            varve_mutex_unlock(&store->queue_lock);
            (void)varve_log_turn(store, true);
            varve_mutex_lock(&store->queue_lock);
        } while (pending->state != VARVE_COMMIT_DONE && store->log_claims == 0);
        log_release_locked(store);
    }
    varve_mutex_unlock(&store->queue_lock);
    return pending->error.status;
}

/* The checks that a commit and a commit_start share; seals the batch. */
static varve_status commit_prepare(varve_store *store, varve_batch *batch, varve_policy policy,
                                   struct varve_pending *pending, varve_error *err)
{
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (batch == NULL || policy > VARVE_POLICY_OS)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a commit needs a batch and a policy of enum varve_policy");
    if (store->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the store is open read-only");
    rc = varve_store_failure(store, err);
    if (rc < 0)
        return rc;
    rc = varve_batch_seal(batch, err);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    if (varve_batch_payload(batch).size > varve_wal_payload_limit(store->options.wal_segment_bytes))
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the batch takes %zu bytes in the log, above the limit of %u for "
                               "this segment size",
                               varve_batch_payload(batch).size,
                               varve_wal_payload_limit(store->options.wal_segment_bytes));
    *pending = (struct varve_pending){.batch = batch, .type = VARVE_WAL_DATA};
    pending->policy =
        (uint8_t)(policy == VARVE_POLICY_DEFAULT ? (varve_policy)store->options.policy : policy);
    pending->error.status = VARVE_OK;
    pending->error.row = UINT64_MAX;
    return VARVE_OK;
}

varve_status varve_commit(varve_store *store, varve_batch *batch, varve_policy policy,
                          uint64_t *ret_lsn, varve_error *err)
{
    struct varve_pending pending;
    varve_status rc = commit_prepare(store, batch, policy, &pending, err);

    if (rc < 0)
        return rc;
    if (varve_batch_rows(batch) == 0) {
        varve_batch_clear(batch);
        if (ret_lsn != NULL)
            *ret_lsn = varve_durable_lsn(store);
        return VARVE_OK;
    }
    struct varve_patience patience = varve_pressure_begin(store);
    pending.waits = true;
    for (bool again = true; again;) {
        rc = varve_pressure_wait(store, &patience, err);
        if (rc < 0)
            return rc;
        rc = varve_pending_run(store, &pending);
        again = pending.waits && (rc == VARVE_ELIMIT || rc == VARVE_ENOSPC);
        if (again) { /* without relief it is the last attempt */
            pending.waits = rc == VARVE_ELIMIT ? varve_pressure_relieve(store, &patience)
                                               : varve_pressure_make_room(store, &patience);
            pending.error = (varve_error){.status = VARVE_OK, .row = UINT64_MAX};
        }
    }
    if (rc < 0)
        return varve_error_copy(err, &pending.error, rc);
    varve_batch_clear(batch);
    if (ret_lsn != NULL)
        *ret_lsn = pending.lsn_end;
    return VARVE_OK;
}

varve_status varve_commit_start(varve_store *store, varve_batch *batch, varve_policy policy,
                                uint64_t tag, varve_error *err)
{
    struct varve_pending prepared;
    varve_status rc = commit_prepare(store, batch, policy, &prepared, err);

    if (rc < 0)
        return rc;
    rc = varve_pressure_check(store, err);
    if (rc < 0)
        return rc;
    struct varve_pending *pending = varve_alloc(&store->heap, sizeof *pending);
    if (pending == NULL)
        return varve_heap_explain(&store->heap, varve_error_nomem(err, "a commit"), err);
    *pending = prepared;
    pending->asynchronous = true;
    pending->tag = tag;

    varve_mutex_lock(&store->queue_lock);
    const bool full = store->queued >= store->options.commit_queue;
    bool drive = false;
    if (!full) {
        enqueue_locked(store, pending);
        drive = log_is_free_locked(store) && !store->threaded;
        if (drive)
            store->log_taken = true;
        else if (!store->log_taken)
            varve_cond_signal(&store->work);
    }
    varve_mutex_unlock(&store->queue_lock);
    if (full) {
        varve_free(&store->heap, pending, sizeof *pending);
        return varve_error_set(err, VARVE_EAGAIN, NULL, VARVE_NO_OFFSET,
                               "%u commits are in flight; reap some first",
                               store->options.commit_queue);
    }
    if (drive) { /* without threads of its own the store does here what does not block */
        (void)varve_log_turn(store, false);
        varve_log_release(store);
    }
    return VARVE_OK;
}

uint32_t varve_commit_reap(varve_store *store, varve_completion *out, uint32_t max)
{
    uint32_t n = 0;

    if (varve_store_enter(store, NULL) < 0 || out == NULL || store->read_only)
        return 0;
    if (!store->threaded && varve_log_try_take(store)) {
        (void)varve_log_turn(store, false);
        varve_log_release(store);
    }
    varve_mutex_lock(&store->queue_lock);
    while (n < max && store->done.first != NULL) {
        struct varve_pending *pending = varve_pending_pop(&store->done);
        out[n++] = (varve_completion){.tag = pending->tag,
                                      .status = pending->error.status,
                                      .lsn = pending->lsn_end,
                                      .row = pending->error.row,
                                      .batch = pending->batch};
        if (pending->error.status == VARVE_OK)
            varve_batch_clear(pending->batch);
        varve_free(&store->heap, pending, sizeof *pending);
    }
    if (store->done.first == NULL && store->event_fd >= 0 && n > 0)
        store->vfs->ops->event_drain(store->vfs, store->event_fd);
    varve_mutex_unlock(&store->queue_lock);
    return n;
}

int varve_event_fd(varve_store *store)
{
    return varve_store_enter(store, NULL) < 0 ? -1 : store->event_fd;
}

uint64_t varve_durable_lsn(varve_store *store)
{
    if (varve_store_enter(store, NULL) < 0)
        return 0;
    varve_mutex_lock(&store->queue_lock);
    const uint64_t lsn = store->stats.lsn_durable;
    varve_mutex_unlock(&store->queue_lock);
    return lsn;
}

varve_status varve_wait_durable(varve_store *store, uint64_t lsn, varve_error *err)
{
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (store->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the store is open read-only");
    varve_mutex_lock(&store->queue_lock);
    while (store->stats.lsn_durable < lsn && store->failure.status == VARVE_OK) {
        if (!log_is_free_locked(store)) {
            varve_cond_wait(&store->commit_done, &store->queue_lock);
            continue;
        }
        store->log_taken = true;
        varve_mutex_unlock(&store->queue_lock);
        const bool given = lsn <= varve_wal_appended_lsn(store->wal);
        rc = given ? varve_wal_sync(store->wal, err) : VARVE_END;
        /* Ahead of the log, or in a gap between two lives of the store: no commit ends there. */
        if (!given || (rc == VARVE_END && !varve_log_pending(store) &&
                       lsn > varve_wal_durable_lsn(store->wal)))
            rc = varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                 "log position %llu has not been written", (unsigned long long)lsn);
        if (rc >= 0 || varve_wal_error(store->wal, NULL) < 0) /* the store fails with its log */
            (void)varve_log_turn(store, true);
        varve_mutex_lock(&store->queue_lock);
        log_release_locked(store);
        if (rc < 0)
            break;
    }
    if (rc >= 0 && store->stats.lsn_durable < lsn)
        rc = varve_error_copy(err, &store->failure, VARVE_EIO_SYNC);
    varve_mutex_unlock(&store->queue_lock);
    return rc < 0 ? rc : VARVE_OK;
}
