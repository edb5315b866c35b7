/*
 * background.c - tasks that do a little and return, and the threads that run them.
 *
 * Preference: what commits wait for (the log), then a log segment ahead of need, the reserve, then
 * housekeeping when it is due (idle seal, interval sync), then a flush; files are removed now and
 * then. Without threads varve_work() and waiting calls run the same tasks.
 */
#include "storage/engine/background_int.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/reserve_int.h"

#define STEP_US 2000u
#define STEP_SHORT_US 200u /* while commits wait */
#define LOG_TURNS 64       /* before other tasks get a look */
#define TICK_US 10000u
#define REMOVE_EVERY 100 /* looks */

/* Drive the log if commits wait and nobody else does. */
static bool task_log(varve_store *store)
{
    bool did = false;

    if (!varve_log_try_take(store))
        return false;
    for (int i = 0; i < LOG_TURNS && varve_log_busy(store); i++)
        did |= varve_log_turn(store, true);
    varve_log_release(store);
    return did;
}

static bool task_segment(varve_store *store)
{
    const uint64_t now = (uint64_t)varve_store_boot_us(store);

    varve_mutex_lock(&store->queue_lock);
    const bool wanted =
        store->segment_wanted && store->ready_segment == NULL && now >= store->segment_retry_us;
    if (wanted)
        store->segment_wanted = false; /* one thread makes it */
    varve_mutex_unlock(&store->queue_lock);
    return wanted && varve_segment_prepare(store, NULL) == VARVE_OK;
}

/* What the log needs when nothing happens: evidence for the last acknowledgements, and the sync that
 * `interval` promises. */
static bool task_log_timer(varve_store *store)
{
    bool did = false;

    if (!varve_log_try_take(store))
        return false;
    if (varve_log_busy(store)) {
        varve_log_release(store);
        return task_log(store);
    }
    const uint64_t now = (uint64_t)varve_store_boot_us(store);
    if (varve_log_keep_interval(store))
        did = true;
    else if (store->last_append_us != 0 && now - store->last_append_us >= VARVE_IDLE_SEAL_US) {
        did = varve_wal_idle_seal(store->wal, NULL) == VARVE_OK;
        store->last_append_us = 0;
    }
    varve_generations_check(store); /* age */
    for (int i = 0; i < LOG_TURNS && varve_store_failure(store, NULL) == VARVE_OK &&
                    (varve_log_busy(store) || varve_wal_error(store->wal, NULL) < 0);
         i++)
        (void)varve_log_turn(store, true);
    varve_log_release(store);
    return did;
}

/* Commits that wait are told. What `interval` has acknowledged is kept, if it is not the log that has
 * failed. */
static void task_failed(varve_store *store)
{
    if (!varve_log_try_take(store))
        return;
    (void)varve_log_turn(store, false);
    varve_log_sync_last(store);
    varve_log_release(store);
}

/* The sync of `interval` is asked for at half of it: some looks must come before. */
uint64_t varve_background_tick_us(uint32_t interval_ms)
{
    const uint64_t quarter = (uint64_t)interval_ms * 1000 / 4;

    return quarter < TICK_US ? quarter : TICK_US;
}

/* Housekeeping comes every tick, whatever else there is to do. */
static bool timer_is_due(varve_store *store)
{
    const uint64_t now = (uint64_t)varve_store_boot_us(store);
    const uint64_t tick = varve_background_tick_us(store->options.interval_ms);

    varve_mutex_lock(&store->queue_lock);
    const bool due = now - store->timer_us >= tick;
    if (due)
        store->timer_us = now;
    varve_mutex_unlock(&store->queue_lock);
    return due;
}

bool varve_background_step(varve_store *store)
{
    if (varve_store_failure(store, NULL) < 0) {
        task_failed(store);
        return false;
    }
    /* A busy log does not starve the others: they get a short turn after each of its own. */
    bool did = task_log(store);
    if (varve_reserve_check(store, NULL) == VARVE_OK)
        did |= task_segment(store);
    did |= varve_reserve_step(store, false);
    if (timer_is_due(store))
        did |= task_log_timer(store);
    did |= varve_flush_step(store, did ? STEP_SHORT_US : STEP_US, NULL) == VARVE_OK;
    return did;
}

static bool remove_files(varve_store *store)
{
    const bool did = varve_obsolete_remove(store) > 0;

    if (did)
        varve_reserve_hurry(store);
    return did;
}

static void *thread_main(void *argument)
{
    varve_store *store = argument;
    const uint64_t tick = varve_background_tick_us(store->options.interval_ms);
    unsigned ticks = 0;

    for (;;) {
        const bool did = varve_background_step(store);
        if (++ticks % REMOVE_EVERY == 0) {
            (void)varve_store_settle(store, NULL); /* a dropped table's files go only then */
            (void)remove_files(store);
        }
        varve_mutex_lock(&store->queue_lock);
        const bool waiting = store->queue.first != NULL && !store->log_taken;
        if (!did && !store->closing && !waiting)
            (void)varve_cond_wait_for(&store->work, &store->queue_lock, tick);
        const bool closing = store->closing;
        varve_mutex_unlock(&store->queue_lock);
        if (closing)
            return NULL;
    }
}

varve_status varve_background_start(varve_store *store, varve_error *err)
{
    store->threaded = store->options.background_threads > 0;
    for (uint32_t i = 0; i < store->options.background_threads; i++) {
        const int rc = pthread_create(&store->threads[i], NULL, thread_main, store);
        if (rc != 0) {
            if (i > 0) /* fewer than asked for will do */
                return VARVE_OK;
            store->threaded = false;
            return varve_error_os(err, -rc, NULL, VARVE_NO_OFFSET, "create a thread");
        }
        store->n_threads++;
    }
    return VARVE_OK;
}

void varve_background_stop(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    store->closing = true;
    varve_cond_broadcast(&store->work);
    varve_mutex_unlock(&store->queue_lock);
    for (uint32_t i = 0; i < store->n_threads; i++)
        (void)pthread_join(store->threads[i], NULL);
    store->n_threads = 0;
    store->threaded = false;
}

varve_status varve_work(varve_store *store, uint64_t budget_us, varve_error *err)
{
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (store->read_only)
        return VARVE_END;
    const int64_t begun = varve_store_boot_us(store);
    bool did = false;
    while (varve_background_step(store)) {
        did = true;
        if (varve_store_boot_us(store) - begun >= (int64_t)budget_us)
            break;
    }
    (void)varve_store_settle(store, NULL);
    did |= remove_files(store);
    rc = varve_store_failure(store, err);
    return rc < 0 ? rc : did ? VARVE_OK : VARVE_END;
}
