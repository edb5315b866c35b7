/*
 * store_state.c - what every part of the engine asks of a store first: whether it may be used, and
 * what time it is. Nothing here calls anything else of the engine.
 */
#include <string.h>

#include "storage/engine/store_int.h"

/* ------------------------------------------------------------------------ Whether it may be used */

varve_status varve_store_enter(const varve_store *store, varve_error *err)
{
    if (store == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "no store given");
    if (store->vfs->ops->pid(store->vfs) != store->pid)
        return varve_error_set(err, VARVE_EFORKED, NULL, VARVE_NO_OFFSET,
                               "the store was opened by process %lld; a forked child calls "
                               "varve_abandon() and opens it anew",
                               (long long)store->pid);
    return VARVE_OK;
}

varve_status varve_store_failure(varve_store *store, varve_error *err)
{
    varve_mutex_lock(&store->queue_lock);
    const varve_status status = store->failure.status;
    if (status < 0)
        (void)varve_error_copy(err, &store->failure, status);
    varve_mutex_unlock(&store->queue_lock);
    return status;
}

void varve_store_fail(varve_store *store, const varve_error *err)
{
    varve_mutex_lock(&store->queue_lock);
    if (store->failure.status == VARVE_OK) {
        store->failure = *err;
        if (store->failure.status >= 0)
            store->failure.status = VARVE_EIO;
        store->stats.failed = (uint32_t)store->failure.status;
        varve_cond_broadcast(&store->commit_done);
    }
    varve_mutex_unlock(&store->queue_lock);
}

/* ------------------------------------------------------------------------------------- Clocks */

int64_t varve_store_wall_us(const varve_store *store)
{
    struct varve_clock_reading now;
    store->vfs->ops->clock(store->vfs, &now);
    return now.wall_us;
}

int64_t varve_store_boot_us(const varve_store *store)
{
    struct varve_clock_reading now;
    store->vfs->ops->clock(store->vfs, &now);
    return now.boot_us;
}

int64_t varve_store_safe_now_locked(varve_store *store)
{
    struct varve_clock_reading now;

    store->vfs->ops->clock(store->vfs, &now);
    if (store->clock_suspect)
        return store->safe_now_us;
    const int64_t passed = now.boot_us - store->safe_boot_us;
    const int64_t most = passed > 0 ? store->safe_now_us + passed : store->safe_now_us;
    const int64_t next = now.wall_us < most ? now.wall_us : most;
    if (next > store->safe_now_us) {
        store->safe_now_us = next;
        store->safe_boot_us = now.boot_us;
    }
    return store->safe_now_us;
}

/* A boot that could not be identified (zeros) is no other's, not even that of the last open: then
 * the wall clock decides, as after a reboot. */
static bool is_same_boot(const varve_store *store)
{
    static const uint8_t unknown[sizeof store->boot_id];

    return memcmp(store->boot_id, unknown, sizeof unknown) != 0 &&
           memcmp(store->boot_id, store->version->boot_id, sizeof unknown) == 0;
}

void varve_store_start_clock(varve_store *store)
{
    const struct varve_version *version = store->version;
    const int64_t month_us = (int64_t)30 * 86400 * 1000000;
    struct varve_clock_reading now;

    store->vfs->ops->clock(store->vfs, &now);
    store->safe_boot_us = now.boot_us;
    if (version->safe_now_us == 0) { /* a new store */
        store->safe_now_us = now.wall_us;
    } else if (is_same_boot(store) && now.boot_us >= version->boot_us) {
        store->safe_now_us = version->safe_now_us + (now.boot_us - version->boot_us);
    } else if (now.wall_us >= version->safe_now_us - month_us &&
               now.wall_us <= version->safe_now_us + month_us) {
        store->safe_now_us =
            now.wall_us > version->safe_now_us ? now.wall_us : version->safe_now_us;
    } else {
        store->safe_now_us = version->safe_now_us;
        store->clock_suspect = true;
        store->stats.clock_suspect = 1;
    }
}
