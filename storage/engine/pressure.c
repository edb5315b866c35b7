/*
 * pressure.c - backpressure: commits slow down by a little, early, as memtables wait to be flushed.
 *
 * Memtables may take twice memtable_bytes in all (one filling, one being flushed). From three
 * quarters of that on each commit waits in proportion, at most 2 ms; at the limit it waits until a
 * flush has made room. Waiting is counted and its worst case shown in the stats.
 *
 * The store's memory as a whole: at memory_limit the cache gives way first (varve_heap_owner). A
 * blocking commit whose rows then still find no memory waits for a flush too, and is refused only
 * when no memtable is left that a flush could free, or the flush fails. So that the flush itself finds
 * memory, such a wait begins below the limit (varve_pressure_is_high); when no flush helps, the
 * commit may have what is left too.
 *
 * The disk: a blocking commit, or a new table, that finds no room for a log segment waits for a flush
 * as well, which lets segments go. Those that no memtable keeps go without one. Once the reserve is in
 * use nothing waits (reserve.c, R1).
 */
#include "storage/engine/background_int.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/pressure_int.h"
#include "storage/engine/reserve_int.h"

#define DELAY_MAX_US VARVE_PRESSURE_DELAY_MAX_US
#define FLUSH_BYTES ((uint64_t)5 << 19) /* a row group's columns while they grow, its key filter */
#define PATIENCE_MAX_US (60 * 1000000)  /* of one call, in all */
#define REMOVE_PAUSES 5
#define NOT_TRIED UINT64_MAX /* of attempts at a flush */

static uint64_t hard_limit(const varve_store *store)
{
    return 2 * store->options.memtable_bytes;
}

static uint64_t debt(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const uint64_t bytes = store->memtable_bytes;
    varve_mutex_unlock(&store->queue_lock);
    return bytes;
}

uint64_t varve_pressure_delay_us(uint64_t bytes, uint64_t hard)
{
    const uint64_t soft = hard / 4 * 3;

    if (bytes <= soft)
        return 0;
    return bytes >= hard ? DELAY_MAX_US : DELAY_MAX_US * (bytes - soft) / (hard - soft);
}

/* Without threads of its own the store is worked for by whoever calls varve_work(). They may have let go
 * of what they kept us from, and be about to take it again: then a memtable waits for them still. */
static bool is_worked_for(varve_store *store, uint64_t us)
{
    /* Asked before who is busy: a flush unlinks its memtables first and gives back their bytes before it
     * is idle again. So nothing owed, and then nobody busy, means that no more bytes will come. */
    const bool owed = varve_flush_is_owed(store, UINT64_MAX);
    const uint64_t now = (uint64_t)varve_store_boot_us(store);

    varve_mutex_lock(&store->queue_lock);
    const bool busy = store->flush_taken || store->log_taken;
    const bool pausing = store->flush_retry_us > now; /* it has failed: nobody tries it again yet */
    if (busy)
        (void)varve_cond_wait_for(&store->commit_done, &store->queue_lock, us);
    varve_mutex_unlock(&store->queue_lock);
    if (busy || pausing || !owed)
        return busy;
    store->vfs->ops->pause(store->vfs, us);
    return true;
}

/* For as long as it is told, however many others commit meanwhile, unless memory comes free or a flush
 * fails. */
static void wait_for_relief(varve_store *store, uint64_t us)
{
    const int64_t end = varve_store_boot_us(store) + (int64_t)us;

    varve_mutex_lock(&store->queue_lock);
    const uint64_t relieved = store->n_relieved;
    const uint64_t failed = store->flush_failed;
    varve_cond_broadcast(&store->work);
    for (int64_t left = (int64_t)us;
         left > 0 && store->n_relieved == relieved && store->flush_failed == failed &&
         store->failure.status == VARVE_OK;
         left = end - varve_store_boot_us(store))
        if (!varve_cond_wait_for(&store->commit_done, &store->queue_lock, (uint64_t)left))
            break;
    varve_mutex_unlock(&store->queue_lock);
}

/* Let others work for a while, or work ourselves where nobody else does. False: there is nothing to
 * do and nobody to wait for. Who finds the log taken has missed what was done meanwhile, and asks
 * again. */
static bool pause_us(varve_store *store, uint64_t us)
{
    if (!store->threaded) {
        const bool taken = varve_log_try_take(store);
        if (taken) { /* what was applied last may have filled a memtable */
            varve_generations_check(store);
            varve_log_release(store);
        }
        return varve_background_step(store) || is_worked_for(store, us) || !taken;
    }
    wait_for_relief(store, us);
    return true;
}

static void note_stall(varve_store *store, uint64_t us)
{
    varve_mutex_lock(&store->queue_lock);
    store->stats.stall_us_total += us;
    if (us > store->stats.stall_us_worst)
        store->stats.stall_us_worst = us;
    varve_mutex_unlock(&store->queue_lock);
}

/* What the last flush failed with; OK: it did not fail. */
static varve_status flush_failure(varve_store *store, varve_error *err)
{
    varve_mutex_lock(&store->queue_lock);
    const varve_status why = store->flush_error.status;
    if (why < 0)
        (void)varve_error_copy(err, &store->flush_error, why);
    varve_mutex_unlock(&store->queue_lock);
    return why < 0 ? why : VARVE_OK;
}

/* Whether waiting cannot help: the store has failed, or only a flush could make room, and there is none
 * for its files, or it has failed again, in an attempt after `tried`. Memory that it lacks may yet
 * come free. */
static varve_status hopeless(varve_store *store, uint64_t bytes, uint64_t tried, varve_error *err)
{
    varve_status rc = varve_store_failure(store, err);

    if (rc < 0 || bytes < hard_limit(store))
        return rc;
    varve_mutex_lock(&store->queue_lock);
    const varve_status why = store->flush_error.status;
    const bool lasts = store->stats.flush_failures > 1 && store->flush_failed > tried &&
                       why != VARVE_ENOMEM && why != VARVE_ELIMIT;
    if (why == VARVE_ENOSPC || lasts)
        rc = varve_error_copy(err, &store->flush_error, why);
    varve_mutex_unlock(&store->queue_lock);
    return rc;
}

/* Once for each commit that waits: a flush that has failed is tried again at once. After many failures
 * the next try by itself may be seconds away. */
static bool try_again(varve_store *store, uint64_t *tried)
{
    if (*tried != NOT_TRIED || flush_failure(store, NULL) == VARVE_OK)
        return false;
    *tried = varve_flush_hurry(store);
    return true;
}

varve_status varve_pressure_check(varve_store *store, varve_error *err)
{
    const uint64_t bytes = debt(store);

    if (bytes < hard_limit(store))
        return VARVE_OK;
    const varve_status rc = hopeless(store, bytes, 0, err);
    return rc < 0 ? rc
                  : varve_error_set(err, VARVE_EAGAIN, NULL, VARVE_NO_OFFSET,
                                    "the memtables are full; wait for a flush");
}

/* Flushing has made no room: say why, if the last flush failed. */
static varve_status no_room(varve_store *store, uint64_t bytes, varve_error *err)
{
    const varve_status why = flush_failure(store, err);

    if (why < 0)
        return why;
    return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                           "the memtables hold %llu bytes, the most that memory_limit and "
                           "memtable_bytes allow, and flushing has made no room",
                           (unsigned long long)bytes);
}

/* Whether a flush has succeeded, or a dropped table has been freed, since that had happened `mark`
 * times (END), or an attempt after `tried` has failed; OK: neither yet. */
static varve_status relief_outcome(varve_store *store, uint64_t mark, uint64_t tried)
{
    varve_mutex_lock(&store->queue_lock);
    const bool relieved = store->n_relieved > mark;
    const bool failed = store->flush_failed > tried || store->failure.status < 0;
    varve_mutex_unlock(&store->queue_lock);
    return relieved ? VARVE_END : failed ? VARVE_ELIMIT : VARVE_OK;
}

static uint64_t times_relieved(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const uint64_t n = store->n_relieved;
    varve_mutex_unlock(&store->queue_lock);
    return n;
}

struct varve_patience varve_pressure_begin(varve_store *store)
{
    return (struct varve_patience){.mark = times_relieved(store),
                                   .end_us = varve_store_boot_us(store) + PATIENCE_MAX_US};
}

static bool is_over(varve_store *store, const struct varve_patience *patience)
{
    return varve_store_boot_us(store) >= patience->end_us;
}

/* Flush the largest memtable, if no other waits to be flushed, and wait for the outcome. */
static varve_status flush_for_relief(varve_store *store, const struct varve_patience *patience)
{
    const int64_t begun = varve_store_boot_us(store);
    varve_status rc;

    varve_log_take(store);
    const uint64_t tried = varve_flush_hurry(store);
    bool more = varve_generations_shed(store);
    varve_log_release(store);
    while ((rc = relief_outcome(store, patience->mark, tried)) == VARVE_OK && more &&
           !is_over(store, patience))
        more = pause_us(store, DELAY_MAX_US);
    note_stall(store, (uint64_t)(varve_store_boot_us(store) - begun));
    return rc;
}

bool varve_pressure_relieve(varve_store *store, struct varve_patience *patience)
{
    if (is_over(store, patience))
        return false;
    const bool relieved =
        times_relieved(store) > patience->mark || flush_for_relief(store, patience) == VARVE_END;

    patience->mark = times_relieved(store);
    return relieved;
}

/* Whether log that no memtable keeps any more has gone without a flush. */
static bool let_log_go(varve_store *store, struct varve_patience *patience)
{
    const int64_t begun = varve_store_boot_us(store);
    const uint64_t before = patience->mark;

    while (varve_flush_advance(store) == VARVE_EAGAIN && times_relieved(store) == before &&
           !is_over(store, patience))
        wait_for_relief(store, DELAY_MAX_US);
    note_stall(store, (uint64_t)(varve_store_boot_us(store) - begun));
    patience->mark = times_relieved(store);
    return patience->mark > before;
}

/* Whether files that have left the store are gone. Another thread may be removing them, or a reader hold
 * them. */
static bool let_files_go(varve_store *store)
{
    const uint64_t before = varve_obsolete_bytes(store);
    uint64_t removed = varve_obsolete_remove(store);

    for (int i = 0; i < REMOVE_PAUSES && store->threaded && varve_obsolete_bytes(store) > 0; i++) {
        (void)pause_us(store, DELAY_MAX_US);
        removed += varve_obsolete_remove(store);
    }
    return removed > 0 || varve_obsolete_bytes(store) < before;
}

bool varve_pressure_make_room(varve_store *store, struct varve_patience *patience)
{
    if (is_over(store, patience))
        return false;
    varve_log_take(store);
    const bool full = store->log_full; /* else it is the manifest that lacks room */
    varve_log_release(store);
    if (!full || varve_reserve_check(store, NULL) < 0)
        return false;
    if (let_files_go(store)) /* of what others have let go */
        return true;
    if (!varve_pressure_relieve(store, patience) && !let_log_go(store, patience))
        return false;
    (void)varve_store_trim(store, NULL); /* the flush itself may not have come to it yet */
    (void)let_files_go(store);
    return true;
}

bool varve_pressure_is_high(varve_store *store)
{
    const uint64_t limit = store->heap.limit;
    const uint64_t wanted = limit / 8 + FLUSH_BYTES;
    const uint64_t mark = limit - (wanted < limit / 2 ? wanted : limit / 2);
    const uint64_t used = varve_heap_used(&store->heap);

    return used > mark && varve_cache_shrink(store->cache, used - mark) < used - mark;
}

varve_status varve_pressure_wait(varve_store *store, const struct varve_patience *patience,
                                 varve_error *err)
{
    uint64_t bytes = debt(store);
    uint64_t us = varve_pressure_delay_us(bytes, hard_limit(store));

    for (bool did = true; did && !store->threaded && varve_reserve_check(store, NULL) < 0 &&
                          !is_over(store, patience);) {
        varve_reserve_hurry(store); /* there may be room for it by now, or after a flush */
        did = varve_background_step(store);
    }
    if (us == 0)
        return VARVE_OK;
    const int64_t begun = varve_store_boot_us(store);
    uint64_t tried = NOT_TRIED;
    if (!store->threaded) /* so that what has failed is noticed to be over */
        (void)varve_background_step(store);
    bytes = debt(store);
    varve_status rc = hopeless(store, bytes, tried, err);
    for (bool more = true; rc == VARVE_OK && more && !is_over(store, patience);) {
        /* Below the limit: it is what is applied meanwhile that would fill the memtables. */
        more = pause_us(store, us) || bytes < hard_limit(store);
        bytes = debt(store);
        us = DELAY_MAX_US;
        if (bytes < hard_limit(store))
            break;
        rc = hopeless(store, bytes, tried, err);
        more |= rc == VARVE_OK && try_again(store, &tried);
    }
    note_stall(store, (uint64_t)(varve_store_boot_us(store) - begun));
    return rc == VARVE_OK && bytes >= hard_limit(store) ? no_room(store, bytes, err) : rc;
}
