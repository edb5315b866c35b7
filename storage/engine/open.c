/*
 * open.c - a store's beginning and end.
 *
 * Open: directory, lock, manifest (made first if asked for), recovery, a fresh manifest generation,
 * strays, threads. Close: threads, what is in flight, a seal on the log, everything freed; nothing is
 * flushed, since the log has it. A reader opens without the lock and pins the version it reads.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/engine/background_int.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/options_int.h"
#include "storage/engine/recover_int.h"
#include "storage/engine/reserve_int.h"
#include "storage/vfs/vfs.h"

#define PIN_TRIES 100

/* ---------------------------------------------------------------------------------- The handle */

static varve_status init_locks(varve_store *store, varve_error *err)
{
    int rc = varve_mutex_init(&store->segment_lock);

    if (rc == 0)
        rc = varve_mutex_init(&store->manifest_lock);
    if (rc == 0)
        rc = varve_mutex_init(&store->reserve_lock);
    if (rc == 0)
        rc = varve_mutex_init(&store->view_lock);
    if (rc == 0)
        rc = varve_mutex_init(&store->queue_lock);
    if (rc == 0)
        rc = varve_cond_init(&store->commit_done);
    if (rc == 0)
        rc = varve_cond_init(&store->work);
    if (rc < 0)
        return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "create a lock");
    return varve_file_table_init(store, err);
}

static varve_status open_vfs(varve_store *store, const char *path, varve_error *err)
{
    const varve_options *o = &store->options;
    const struct varve_vfs_options options = {.heap = &store->heap,
                                              .create = (o->flags & VARVE_OPEN_CREATE) != 0,
                                              .file_mode = o->file_mode,
                                              .dir_mode = o->dir_mode};

    if (o->vfs != NULL) {
        store->vfs = o->vfs;
        return VARVE_OK;
    }
    if (path == NULL || path[0] == '\0')
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "no path given");
    store->owns_vfs = true;
    return varve_vfs_create(path, o->io_backend, &options, &store->vfs, err);
}

static varve_status no_store(varve_error *err)
{
    return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                           "the directory holds no store");
}

static varve_status not_empty(varve_error *err)
{
    return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                           "the directory is not a store and not empty: no store is made in it");
}

/* Free what there is of a store. */
static void store_free(varve_store *store)
{
    struct varve_heap heap_copy;

    varve_flush_abandon(store);
    varve_wal_writer_destroy(store->wal);
    varve_wal_segment_close(store->ready_segment, true); /* nothing names it */
    varve_file_table_free(store);
    varve_store_tables_free(store);
    varve_version_unref(store->version);
    varve_manifest_close(store->manifest);
    varve_cache_free(store->cache);
    varve_findings_free(store);
    varve_origins_free(&store->heap, &store->judged);
    varve_origins_free(&store->heap, &store->origins);
    if (store->epochs != NULL)
        varve_free(&store->heap, store->epochs, store->epochs_capacity * sizeof *store->epochs);
    if (store->vfs != NULL) {
        if (store->event_fd >= 0)
            store->vfs->ops->event_close(store->vfs, store->event_fd);
        if (store->readers_file != NULL)
            store->vfs->ops->close(store->readers_file);
        if (store->lock_file != NULL)
            store->vfs->ops->close(store->lock_file);
        if (store->owns_vfs)
            store->vfs->ops->destroy(store->vfs);
    }
    varve_cond_destroy(&store->work);
    varve_cond_destroy(&store->commit_done);
    varve_mutex_destroy(&store->queue_lock);
    varve_mutex_destroy(&store->view_lock);
    varve_mutex_destroy(&store->reserve_lock);
    varve_mutex_destroy(&store->manifest_lock);
    varve_mutex_destroy(&store->segment_lock);
    varve_heap_init(&heap_copy, store->heap.base, UINT64_MAX); /* the store's own memory */
    heap_copy.base->free(heap_copy.base->ctx, store, sizeof *store, 16);
}

static varve_status store_new(const varve_options *options, varve_store **ret_store,
                              varve_error *err)
{
    struct varve_heap heap;

    varve_heap_init(&heap, options->allocator, UINT64_MAX);
    varve_store *store = heap.base->alloc(heap.base->ctx, sizeof *store, 16);
    if (store == NULL)
        return varve_error_nomem(err, "a store");
    memset(store, 0, sizeof *store);
    varve_heap_init(&store->heap, options->allocator, options->memory_limit);
    store->options = *options;
    store->read_only = (options->flags & VARVE_OPEN_READ_ONLY) != 0;
    store->event_fd = -1;
    store->failure.status = VARVE_OK;
    const varve_status rc = init_locks(store, err);
    if (rc < 0) {
        heap.base->free(heap.base->ctx, store, sizeof *store, 16);
        return rc;
    }
    *ret_store = store;
    return VARVE_OK;
}

/* At the limit the cache gives way. */
static uint64_t relieve(void *ctx, uint64_t bytes)
{
    varve_store *store = ctx;
    return varve_cache_shrink(store->cache, bytes);
}

static void describe(void *ctx, char *out, size_t size)
{
    varve_store *store = ctx;
    struct varve_cache_stats cache;
    const uint64_t used = varve_heap_used(&store->heap);

    varve_cache_get_stats(store->cache, &cache);
    varve_mutex_lock(&store->view_lock);
    const uint64_t views = store->n_views;
    varve_mutex_unlock(&store->view_lock);
    varve_mutex_lock(&store->queue_lock);
    const uint64_t memtables = store->memtable_bytes;
    varve_mutex_unlock(&store->queue_lock);
    const uint64_t known = memtables + cache.bytes;
    (void)snprintf(
        out, size, "memtables %llu KiB, cache %llu, batches, %llu views and the rest %llu; %s",
        (unsigned long long)(memtables / 1024), (unsigned long long)(cache.bytes / 1024),
        (unsigned long long)views, (unsigned long long)((used > known ? used - known : 0) / 1024),
        store->read_only ? "close views, raise it, or flush the store"
                         : "close views, use smaller batches or raise it");
}

static void own_heap(varve_store *store)
{
    varve_heap_set_owner(&store->heap, &(struct varve_heap_owner){
                                           .ctx = store, .relieve = relieve, .describe = describe});
}

/* ------------------------------------------------------------------------------------- Writing */

struct names {
    bool manifest;
    bool foreign;
};

static int take_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    uint64_t id;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);

    names->manifest |= kind == VARVE_FILE_MANIFEST;
    names->foreign |= kind == VARVE_FILE_OTHER && !varve_reserve_is_name(name);
    return names->manifest ? 1 : 0;
}

/*
 * Before the lock, which is a file that is made: a folder that holds something else is left as it is.
 * A store that another process is just making there is none: what it has made so far has a name of
 * a store's, and a foreign name is older, so that process refuses it as well.
 */
static varve_status check_place(varve_store *store, varve_error *err)
{
    struct names names = {.manifest = false};
    const int rc = store->vfs->ops->list(store->vfs, take_name, &names);

    if (rc < 0)
        return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "list the directory");
    if (names.manifest)
        return VARVE_OK;
    if ((store->options.flags & VARVE_OPEN_CREATE) == 0)
        return no_store(err);
    return names.foreign ? not_empty(err) : VARVE_OK;
}

static varve_status take_lock(varve_store *store, varve_error *err)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    const uint32_t flags = VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE;
    int64_t pid = 0;

    int rc = ops->open(store->vfs, VARVE_LOCK_FILE, flags, &store->lock_file);
    if (rc < 0)
        return varve_error_os(err, rc, VARVE_LOCK_FILE, VARVE_NO_OFFSET, "open");
    rc = ops->lock(store->lock_file, 0, 1, true);
    if (rc == -EAGAIN || rc == -EACCES) {
        (void)ops->lock_test(store->lock_file, 0, 1, true, &pid);
        if (pid > 0)
            return varve_error_set(err, VARVE_EBUSY, VARVE_LOCK_FILE, VARVE_NO_OFFSET,
                                   "the store is open for writing in process %lld", (long long)pid);
        return varve_error_set(err, VARVE_EBUSY, VARVE_LOCK_FILE, VARVE_NO_OFFSET,
                               "the store is open for writing in this or another process (a "
                               "forked child keeps the lock too)");
    }
    if (rc < 0)
        return varve_error_os(err, rc, VARVE_LOCK_FILE, VARVE_NO_OFFSET, "lock");
    rc = ops->open(store->vfs, VARVE_READERS_FILE, flags, &store->readers_file);
    return rc < 0 ? varve_error_os(err, rc, VARVE_READERS_FILE, VARVE_NO_OFFSET, "open") : VARVE_OK;
}

static int has_foreign_name(void *ctx, const char *name)
{
    uint64_t id;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);

    (void)ctx;
    return kind != VARVE_FILE_LOCK && kind != VARVE_FILE_READERS && kind != VARVE_FILE_MANIFEST_TMP;
}

/* Whether a store may be made here: nothing but what an earlier, unfinished attempt left. */
static varve_status check_empty(varve_store *store, varve_error *err)
{
    const int rc = store->vfs->ops->list(store->vfs, has_foreign_name, NULL);

    if (rc < 0)
        return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "list the directory");
    return rc > 0 ? not_empty(err) : VARVE_OK;
}

static varve_status open_manifest(varve_store *store, varve_error *err)
{
    varve_error detail = {0};
    varve_status rc =
        varve_manifest_open(store->vfs, &store->heap, store->read_only, &store->manifest, &detail);

    if (rc == VARVE_ENOTFOUND && (store->options.flags & VARVE_OPEN_CREATE) != 0) {
        rc = check_empty(store, err);
        if (rc == VARVE_OK)
            rc = varve_manifest_create(store->vfs, &store->heap, &store->manifest, err);
    } else if (rc == VARVE_ENOTFOUND) {
        return no_store(err);
    } else if (rc < 0) {
        return varve_error_copy(err, &detail, rc);
    }
    if (rc == VARVE_OK)
        store->version = varve_manifest_version(store->manifest);
    return rc;
}

/* `scarce`: there was too little room at the first attempt. So the reserve is released, and whatever
 * an attempt that was interrupted has left goes before anything is written. */
static varve_status open_writable(varve_store *store, bool scarce, varve_error *err)
{
    varve_status rc = check_place(store, err);

    if (rc == VARVE_OK)
        rc = take_lock(store, err);
    if (rc < 0)
        return rc;
    varve_reserve_load(store);
    if (scarce)
        (void)varve_reserve_release(store);
    rc = open_manifest(store, err);
    if (rc < 0)
        return rc;
    rc = varve_recover_check_files(store, err);
    if (rc < 0)
        return rc;
    varve_store_start_clock(store);
    rc = varve_recover_load(store, err);
    if (rc == VARVE_OK && scarce)
        rc = varve_recover_strays(store, err);
    if (rc == VARVE_OK)
        rc = varve_recover_writable(store, err);
    if (rc == VARVE_OK)
        rc = varve_store_begin_generation(store, err);
    if (rc == VARVE_OK)
        rc = varve_recover_strays(store, err);
    if (rc < 0)
        return rc;
    store->event_fd = store->vfs->ops->event_open(store->vfs);
    store->segment_wanted = store->options.background_threads > 0;
    (void)varve_reserve_plan(store);
    if (varve_reserve_check(store, NULL) < 0) /* used before: commits need not wait for it twice */
        (void)varve_reserve_step(store, true);
    return varve_background_start(store, err);
}

/* ------------------------------------------------------------------------------------- Reading */

/* Whether some process has the store open for writing. Beside one the log's last bytes are not to be
 * judged as after a crash, so an error is no answer: there is no writer only where none has a lock, or
 * there is no file that it could lock. */
static varve_status find_writer(varve_store *store, bool *ret_live, varve_error *err)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    struct varve_file *file = NULL;
    int64_t pid;

    int rc = ops->open(store->vfs, VARVE_LOCK_FILE, VARVE_FILE_READ, &file);
    if (rc == -ENOENT) {
        *ret_live = false;
        return VARVE_OK;
    }
    if (rc < 0)
        return varve_error_os(err, rc, VARVE_LOCK_FILE, VARVE_NO_OFFSET, "open");
    rc = ops->lock_test(file, 0, 1, false, &pid);
    ops->close(file);
    if (rc < 0)
        return varve_error_os(err, rc, VARVE_LOCK_FILE, VARVE_NO_OFFSET, "ask for the lock of");
    *ret_live = rc == 1;
    return VARVE_OK;
}

/* Pin the manifest's newest version: lock its byte, look again, and begin anew if it moved. */
static varve_status pin_version(varve_store *store, varve_error *err)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;

    const int rc = ops->open(store->vfs, VARVE_READERS_FILE, VARVE_FILE_READ, &store->readers_file);
    if (rc < 0) /* made with the store; without it nothing can be pinned */
        return varve_error_os(err, rc, VARVE_READERS_FILE, VARVE_NO_OFFSET, "open");
    for (int i = 0; i < PIN_TRIES; i++) {
        const uint64_t number = store->version->number;
        bool changed = false;
        const int locked = ops->lock(store->readers_file, VARVE_PIN_BASE + number, 1, false);
        if (locked < 0)
            return varve_error_os(err, locked, VARVE_READERS_FILE, VARVE_NO_OFFSET, "lock");
        const varve_status refreshed = varve_manifest_refresh(store->manifest, &changed, err);
        if (refreshed < 0)
            return refreshed;
        if (!changed) {
            store->pinned_version = number;
            return VARVE_OK;
        }
        (void)ops->unlock(store->readers_file, VARVE_PIN_BASE + number, 1);
        varve_version_unref(store->version);
        store->version = varve_manifest_version(store->manifest);
    }
    return varve_error_set(err, VARVE_EAGAIN, NULL, VARVE_NO_OFFSET,
                           "the store changes faster than a view of it can be pinned");
}

/* Beside a writer, or if one was here since the manifest was read, a newer file is no contradiction. */
static varve_status check_files(varve_store *store, bool live, varve_error *err)
{
    varve_error detail = {0};
    bool changed = false, came = false;

    if (live || (store->options.flags & VARVE_OPEN_SALVAGE) != 0)
        return VARVE_OK;
    const varve_status found = varve_recover_check_files(store, &detail);
    if (found < 0) {
        varve_status rc = varve_manifest_refresh(store->manifest, &changed, err);
        if (rc == VARVE_OK && !changed)
            rc = find_writer(store, &came, err);
        if (rc < 0)
            return rc;
        if (!changed && !came)
            return varve_error_copy(err, &detail, found);
    }
    return VARVE_OK;
}

static varve_status open_read_only(varve_store *store, varve_error *err)
{
    bool live = false;
    varve_status rc = open_manifest(store, err);

    if (rc == VARVE_OK)
        rc = pin_version(store, err);
    if (rc == VARVE_OK)
        rc = find_writer(store, &live, err);
    if (rc == VARVE_OK)
        rc = check_files(store, live, err);
    if (rc < 0)
        return rc;
    varve_reserve_load(store);
    varve_store_start_clock(store);
    rc = varve_recover_load(store, err);
    return rc < 0 ? rc : varve_recover_read_only(store, live, err);
}

/* ---------------------------------------------------------------------------------------- Open */

/* `err` is not NULL. */
static varve_status open_once(const char *path, const varve_options *options, bool scarce,
                              varve_store **ret_store, varve_error *err)
{
    varve_store *store = NULL;
    varve_status rc = store_new(options, &store, err);

    if (rc < 0)
        return rc;
    rc = open_vfs(store, path, err);
    if (rc == VARVE_OK) {
        store->pid = store->vfs->ops->pid(store->vfs);
        store->stats.io_backend = store->vfs->backend;
        if (store->vfs->ops->boot_id(store->vfs, store->boot_id) < 0) /* see is_same_boot() */
            memset(store->boot_id, 0, sizeof store->boot_id);
        rc = varve_cache_create(&store->heap, options->cache_bytes, &store->cache, err);
    }
    if (rc == VARVE_OK)
        own_heap(store);
    if (rc == VARVE_OK)
        rc = store->read_only ? open_read_only(store, err) : open_writable(store, scarce, err);
    if (rc < 0) {
        rc = varve_heap_explain(&store->heap, rc, err);
        varve_background_stop(store);
        store_free(store);
        return rc;
    }
    *ret_store = store;
    return VARVE_OK;
}

/* What the operator of a full disk needs to know. File and code stay. */
static void explain_full(varve_error *err)
{
    static const char hint[] = "; the disk has no room to open the store for writing, nor has its "
                               "reserve, if there is one: make room on the disk";
    const size_t used = strlen(err->message);

    if (used + sizeof hint <= sizeof err->message)
        memcpy(err->message + used, hint, sizeof hint);
}

varve_status varve_open(const char *path, const varve_options *options, varve_store **ret_store,
                        varve_error *err)
{
    varve_options complete;
    varve_error detail = {0};

    if (ret_store == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "no place for the store's handle given");
    varve_status rc = varve_options_complete(options, &complete, err);
    if (rc < 0)
        return rc;
    rc = open_once(path, &complete, false, ret_store, &detail);
    if (rc == VARVE_ENOSPC && (complete.flags & VARVE_OPEN_READ_ONLY) == 0)
        rc = open_once(path, &complete, true, ret_store, &detail);
    if (rc == VARVE_ENOSPC)
        explain_full(&detail);
    return rc < 0 ? varve_error_copy(err, &detail, rc) : VARVE_OK;
}

/* Note the clean end in the manifest, so that the next open finds a sealed log. */
static void seal_log(varve_store *store)
{
    struct varve_wal_seal seal = {0};
    uint64_t id = 0, base = 0;

    varve_log_take(store);
    varve_log_drain(store);
    (void)varve_log_turn(store, false); /* a failed store tells those that still wait */
    if (varve_store_failure(store, NULL) < 0)
        varve_log_sync_last(store);
    else if (varve_wal_seal(store->wal, NULL) >= 0) {
        while (varve_wal_sealed(store->wal, &id, &base, &seal)) {
            const struct varve_segment_entry entry = {.id = id,
                                                      .base_lsn = base,
                                                      .sealed = true,
                                                      .final_lsn = seal.lsn,
                                                      .digest = seal.digest};
            varve_store_note_sealed(store, &entry);
        }
        struct varve_edit edit = {.set_flags = VARVE_EDIT_DURABLE | VARVE_EDIT_CLOCK,
                                  .durable_lsn = varve_wal_durable_lsn(store->wal)};
        memcpy(edit.boot_id, store->boot_id, sizeof edit.boot_id);
        varve_mutex_lock(&store->view_lock);
        edit.safe_now_us = varve_store_safe_now_locked(store);
        edit.boot_us = store->safe_boot_us;
        varve_mutex_unlock(&store->view_lock);
        (void)varve_store_edit(store, &edit, NULL); /* a convenience: recovery does without */
    }
    varve_log_release(store);
}

void varve_close(varve_store *store)
{
    if (store == NULL)
        return;
    if (varve_store_enter(store, NULL) < 0) {
        varve_abandon(store);
        return;
    }
    varve_background_stop(store);
    if (!store->read_only && store->wal != NULL) {
        seal_log(store);
        (void)varve_obsolete_remove(store);
    }
    struct varve_pending *pending;
    while ((pending = varve_pending_pop(&store->done)) != NULL) { /* completions never reaped */
        varve_batch_free(pending->batch);
        varve_free(&store->heap, pending, sizeof *pending);
    }
    store_free(store);
}

void varve_abandon(varve_store *store)
{
    if (store == NULL)
        return;
    /* Other threads of the parent may have held any lock at the fork: nothing here takes one, and
     * the handle's memory stays. It is gone when the child ends or executes another program. */
    if (store->owns_vfs)
        store->vfs->ops->abandon(store->vfs);
}
