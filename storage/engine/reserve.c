/*
 * reserve.c - room on the disk that is kept for what gives room back: an open for writing, the edits
 * of the manifest, flushes, and DROP TABLE (docs/decisions/0006-disk-reserve.md).
 *
 * The reserve is the file RESERVE: zeros that nobody reads, whose blocks are the store's. When one of
 * those finds no room, the file is cut to nothing and it tries again, once. The empty file stays: it
 * tells every later open that the reserve has been used. A store that has never had the room for one
 * has no such file, and works without.
 *
 * States.  NONE (no file) -> WHOLE (has bytes; it may still grow) -> SPENT (empty file) -> WHOLE ...
 *
 * Invariants
 *   R1  SPENT: rows and new tables are refused with ENOSPC, and no log segment is made ahead of need.
 *       What the reserve gave back goes to flushes, edits and drops, and to nothing else.
 *   R2  SPENT: it is not made while a flush or an edit that is owed waits for room, except by an open,
 *       once.
 *   R3  A log segment is at most half of the reserve, unless it is the first size or a record needs a
 *       larger one, whereupon the reserve is to follow: two segments and two generations of the
 *       manifest is what an open may have to write before it can remove anything.
 *
 * Threads. Any. The reserve lock covers the file and is held during its I/O; it comes after the
 *          manifest lock, so that an edit can release the reserve. What others ask for is under the
 *          queue lock.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/reserve_int.h"

#define RESERVE_FILE "RESERVE"
#define RESERVE_TMP "RESERVE.tmp"
#define ZERO_BYTES (256u << 10)
#define LOOK_US 100000u        /* between two looks at whether it should be larger */
#define PAUSE_MIN_US 1000000u  /* after there was no room for it */
#define PAUSE_MAX_US 64000000u /* the same while nothing depends on it */
#define ROUND(n) (((n) + 4095u) & ~(uint64_t)4095u)

static bool is_wanted(const varve_store *store)
{
    return store->options.reserve_bytes != UINT64_MAX;
}

static void set_state(varve_store *store, enum varve_reserve_state state, uint64_t bytes)
{
    varve_mutex_lock(&store->queue_lock);
    store->reserve_state = state;
    store->reserve_bytes = bytes;
    varve_mutex_unlock(&store->queue_lock);
}

/* --------------------------------------------------------------------------------- At an open */

bool varve_reserve_is_name(const char *name)
{
    return strcmp(name, RESERVE_FILE) == 0 || strcmp(name, RESERVE_TMP) == 0;
}

void varve_reserve_load(varve_store *store)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    struct varve_file *file = NULL;
    struct varve_file_stat stat;

    if (!store->read_only) /* of an attempt that was interrupted: its room is wanted back */
        (void)ops->unlink(store->vfs, RESERVE_TMP);
    if (!store->read_only && !is_wanted(store)) {
        (void)ops->unlink(store->vfs, RESERVE_FILE);
        return;
    }
    if (ops->open(store->vfs, RESERVE_FILE, VARVE_FILE_READ, &file) < 0)
        return;
    if (ops->stat(file, &stat) >= 0)
        set_state(store, stat.size > 0 ? VARVE_RESERVE_WHOLE : VARVE_RESERVE_SPENT, stat.size);
    ops->close(file);
}

/* ------------------------------------------------------------------------------------ Release */

static int cut_to(varve_store *store, uint64_t bytes)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    struct varve_file *file = NULL;
    int rc = ops->open(store->vfs, RESERVE_FILE, VARVE_FILE_WRITE, &file);

    if (rc >= 0)
        rc = ops->truncate(file, bytes);
    ops->close(file);
    return rc;
}

bool varve_reserve_release(varve_store *store)
{
    varve_mutex_lock(&store->reserve_lock);
    varve_mutex_lock(&store->queue_lock);
    bool released = store->reserve_bytes > 0;
    varve_mutex_unlock(&store->queue_lock);
    if (released) {
        int rc = cut_to(store, 0);
        if (rc < 0) /* no descriptor for it, say: what counts is the room */
            rc = store->vfs->ops->unlink(store->vfs, RESERVE_FILE);
        released = rc >= 0;
    }
    if (released)
        set_state(store, VARVE_RESERVE_SPENT, 0);
    varve_mutex_unlock(&store->reserve_lock);
    return released;
}

/* ------------------------------------------------------------------------------------- Making */

/* Zeros where the file system has reserved no blocks. */
static int64_t write_zeros(varve_store *store, struct varve_file *file, uint64_t from, uint64_t to)
{
    uint8_t *zeros = varve_alloc_zero(&store->heap, 1, ZERO_BYTES);
    int64_t rc = 0;

    if (zeros == NULL)
        return -12; /* ENOMEM */
    for (uint64_t at = from; at < to && rc >= 0; at += ZERO_BYTES) {
        const size_t n = to - at < ZERO_BYTES ? (size_t)(to - at) : ZERO_BYTES;
        rc = store->vfs->ops->write(file, zeros, n, at);
    }
    varve_free(&store->heap, zeros, ZERO_BYTES);
    return rc;
}

/* Make the file, which has `from` bytes, `to` bytes long, every one with its place on the disk. */
static int64_t extend(varve_store *store, struct varve_file *file, uint64_t from, uint64_t to)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    struct varve_file_stat stat = {0};
    int64_t rc = ops->allocate(file, to);

    if (rc >= 0)
        rc = ops->stat(file, &stat);
    if (rc >= 0 && stat.allocated < to)
        rc = write_zeros(store, file, from, to);
    return rc;
}

/* Nobody knows what became of the file. A reserve that has been used goes on counting as used. */
static void discard(varve_store *store, const char *name)
{
    (void)store->vfs->ops->unlink(store->vfs, name);
    varve_mutex_lock(&store->queue_lock);
    if (store->reserve_state == VARVE_RESERVE_WHOLE)
        store->reserve_state = VARVE_RESERVE_NONE;
    store->reserve_bytes = 0;
    varve_mutex_unlock(&store->queue_lock);
}

/*
 * The first one is made under another name: an empty RESERVE means that there was one. One that is
 * there grows where it is. `err` is not NULL.
 */
static varve_status make(varve_store *store, bool is_new, uint64_t from, uint64_t to,
                         varve_error *err)
{
    const struct varve_vfs_ops *ops = store->vfs->ops;
    const char *name = is_new ? RESERVE_TMP : RESERVE_FILE;
    const uint32_t flags =
        VARVE_FILE_WRITE | (uint32_t)(is_new ? VARVE_FILE_CREATE : VARVE_FILE_OPEN_OR_CREATE);
    struct varve_file *file = NULL;

    if (is_new)
        (void)ops->unlink(store->vfs, RESERVE_TMP); /* what an earlier attempt left */
    int64_t rc = ops->open(store->vfs, name, flags, &file);
    if (rc < 0)
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, "open");
    const char *what = "extend";
    rc = extend(store, file, from, to);
    bool keep = rc >= 0 || (!is_new && ops->truncate(file, from) >= 0);
    if (rc >= 0) {
        what = "sync";
        rc = ops->sync(file);
        keep = rc >= 0; /* else nothing may be done to this file again */
    }
    ops->close(file);
    if (rc >= 0 && is_new) {
        what = "rename";
        rc = ops->rename(store->vfs, RESERVE_TMP, RESERVE_FILE);
        keep = rc >= 0;
    }
    if (rc >= 0) /* the next sync of the directory, for a segment or a file, covers its name */
        return VARVE_OK;
    if (!keep)
        discard(store, name);
    return varve_error_os(err, rc, name, VARVE_NO_OFFSET, what);
}

uint64_t varve_reserve_plan(varve_store *store)
{
    const uint64_t first = varve_segment_first_bytes(store);
    uint64_t wanted = ROUND(store->options.reserve_bytes);

    if (!is_wanted(store))
        return 0;
    varve_mutex_lock(&store->manifest_lock);
    const uint64_t manifest = varve_manifest_file_bytes(store->manifest);
    varve_mutex_unlock(&store->manifest_lock);
    varve_mutex_lock(&store->queue_lock);
    if (wanted == 0)
        wanted = 2 * (store->segment_bytes > first ? store->segment_bytes : first) + 2 * manifest;
    store->reserve_wanted = wanted;
    varve_mutex_unlock(&store->queue_lock);
    return wanted;
}

/* Whether it is time to look; then nobody else does until `reserve_look_us`. Nothing that frees room
 * may wait for it (R2). */
static bool is_due(varve_store *store, bool opening)
{
    const uint64_t now = (uint64_t)varve_store_boot_us(store);

    varve_mutex_lock(&store->queue_lock);
    const bool yields =
        !opening && store->reserve_state == VARVE_RESERVE_SPENT && store->n_flushable > 0;
    const bool due = now >= store->reserve_look_us && !yields;
    if (due)
        store->reserve_look_us = now + LOOK_US;
    varve_mutex_unlock(&store->queue_lock);
    if (!due)
        return false;
    varve_mutex_lock(&store->manifest_lock);
    const bool owed = store->owed != NULL;
    varve_mutex_unlock(&store->manifest_lock);
    return !owed;
}

/* After an attempt. While commits depend on it, it is tried about once a second; else less and less
 * often, since each attempt takes the room there is for a moment. */
static void note_attempt(varve_store *store, varve_status rc, const varve_error *detail)
{
    varve_mutex_lock(&store->queue_lock);
    store->reserve_error.status = VARVE_OK;
    if (rc == VARVE_OK) {
        store->reserve_pause_us = 0;
    } else {
        const uint64_t twice = 2 * store->reserve_pause_us;
        const bool spent = store->reserve_state == VARVE_RESERVE_SPENT;
        store->reserve_pause_us = spent || twice == 0    ? PAUSE_MIN_US
                                  : twice > PAUSE_MAX_US ? PAUSE_MAX_US
                                                         : twice;
        store->reserve_look_us += store->reserve_pause_us;
        (void)varve_error_copy(&store->reserve_error, detail, rc);
    }
    varve_mutex_unlock(&store->queue_lock);
}

bool varve_reserve_step(varve_store *store, bool opening)
{
    varve_error detail = {0};
    varve_status rc = VARVE_OK;

    if (store->read_only || !is_wanted(store) || !is_due(store, opening))
        return false;
    const uint64_t wanted = varve_reserve_plan(store);
    varve_mutex_lock(&store->reserve_lock);
    varve_mutex_lock(&store->queue_lock);
    const bool is_new = store->reserve_state == VARVE_RESERVE_NONE;
    const uint64_t bytes = store->reserve_bytes;
    varve_mutex_unlock(&store->queue_lock);
    const bool shrink = bytes > wanted && store->options.reserve_bytes != 0;
    if (bytes < wanted)
        rc = make(store, is_new, bytes, wanted, &detail);
    else if (shrink && cut_to(store, wanted) < 0)
        rc = VARVE_EIO; /* it stays too large */
    if (rc == VARVE_OK && (bytes < wanted || shrink))
        set_state(store, VARVE_RESERVE_WHOLE, wanted);
    varve_mutex_unlock(&store->reserve_lock);
    note_attempt(store, rc, &detail);
    return rc == VARVE_OK && (bytes < wanted || shrink);
}

void varve_reserve_hurry(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    if (store->reserve_state == VARVE_RESERVE_SPENT)
        store->reserve_look_us = 0;
    varve_mutex_unlock(&store->queue_lock);
}

/* ------------------------------------------------------------------------------------ Questions */

varve_status varve_reserve_check(varve_store *store, varve_error *err)
{
    if (store->reserve_state != VARVE_RESERVE_SPENT)
        return VARVE_OK;
    varve_mutex_lock(&store->queue_lock);
    const uint64_t wanted = store->reserve_wanted;
    const int64_t code = store->reserve_error.status < 0 ? store->reserve_error.os_code : 0;
    char flush_error[sizeof store->flush_error.message] = "";
    if (store->flush_error.status < 0) /* the reserve waits for it (R2), whatever room there is */
        memcpy(flush_error, store->flush_error.message, sizeof flush_error);
    varve_mutex_unlock(&store->queue_lock);
    if (flush_error[0] != '\0')
        (void)varve_error_set(err, VARVE_ENOSPC, RESERVE_FILE, VARVE_NO_OFFSET,
                              "the disk is full and the store's reserve has been used; rows and "
                              "tables are taken again after a flush, which failed: %s",
                              flush_error);
    else
        (void)varve_error_set(
            err, VARVE_ENOSPC, RESERVE_FILE, VARVE_NO_OFFSET,
            "the disk is full and the store's reserve has been used; rows and tables "
            "are taken again when there is room for it (%llu KiB). Drop tables or make "
            "room on the disk",
            (unsigned long long)(wanted / 1024));
    if (err != NULL)
        err->os_code = (int32_t)code;
    return VARVE_ENOSPC;
}

uint64_t varve_reserve_segment_max(varve_store *store, uint64_t smallest)
{
    varve_mutex_lock(&store->queue_lock);
    const uint64_t half = store->reserve_bytes / 2 & ~(uint64_t)4095u;
    varve_mutex_unlock(&store->queue_lock);
    if (!is_wanted(store))
        return UINT64_MAX;
    return half > smallest ? half : smallest;
}

void varve_reserve_get_stats(varve_store *store, varve_stats *stats)
{
    varve_mutex_lock(&store->queue_lock);
    stats->reserve_bytes = store->reserve_bytes;
    stats->reserve_wanted = store->reserve_wanted;
    stats->reserve_spent = store->reserve_state == VARVE_RESERVE_SPENT;
    varve_mutex_unlock(&store->queue_lock);
}
