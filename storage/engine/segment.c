/*
 * segment.c - log segments: made ahead of need (zeroed, synced, named in the directory), and put to
 * use: sealed behind the last record before, header written, listed in the manifest.
 *
 * Invariants
 *   G1  The manifest lists a segment when it is put to use, not before, with its base LSN: one edit a
 *       segment. Base LSNs are the order of the log.
 *   G2  Its header is durable before that edit, and nothing else is written to it before the edit is.
 *
 * Threads. varve_segment_prepare() runs beside the log token and keeps one segment ready under the
 * queue lock. The token's holder puts it to use, which costs it a page, its sync, and an edit, while
 * groups in flight go on; without a ready one it makes its own. Only one thread at a time makes a
 * segment (segment lock): one that is being made will be ready before one that is begun now.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/reserve_int.h"

#define FIRST_SEGMENT_BYTES (4u << 20)
#define RETRY_US 1000000u /* after none could be made ahead of need */

static bool wants_direct(const varve_store *store)
{
    return store->options.policy == VARVE_POLICY_DURABLE_EACH ||
           store->options.policy == VARVE_POLICY_DURABLE_GROUP;
}

uint64_t varve_segment_first_bytes(const varve_store *store)
{
    const uint64_t most = store->options.wal_segment_bytes;

    return most < FIRST_SEGMENT_BYTES ? most : FIRST_SEGMENT_BYTES;
}

/* Segments begin small, so that the first commit after an open does not wait for many megabytes of
 * zeros, and double up to wal_segment_bytes, as far as the reserve follows. A record needs one of
 * four times its size. */
static uint64_t next_size(varve_store *store, uint64_t payload)
{
    const uint64_t most = store->options.wal_segment_bytes;
    const uint64_t first = varve_segment_first_bytes(store);
    const uint64_t backed = varve_reserve_segment_max(store, first);

    varve_mutex_lock(&store->queue_lock);
    if (store->segment_bytes == 0)
        store->segment_bytes = first;
    uint64_t size = store->segment_bytes < backed ? store->segment_bytes : backed;
    varve_mutex_unlock(&store->queue_lock);
    while (size < most && varve_wal_payload_limit(size) < payload)
        size = size * 2 < most ? size * 2 : most;
    return size;
}

/* One that nothing names, or NULL. */
static void discard(varve_store *store, struct varve_wal_segment *segment)
{
    if (segment == NULL)
        return;
    const uint64_t id = varve_wal_segment_id(segment);

    varve_wal_segment_close(segment, false);
    varve_store_file_discard(store, VARVE_FILE_WAL, id);
}

static varve_status make_segment(varve_store *store, uint64_t payload,
                                 struct varve_wal_segment **ret_segment, varve_error *err)
{
    struct varve_wal_segment *segment = NULL;
    varve_error detail = {0};
    uint64_t id = 0;
    varve_status rc = varve_store_file_id(store, &id, err);

    if (rc < 0)
        return rc;
    rc = varve_wal_segment_create(store->vfs, &store->heap, id, next_size(store, payload),
                                  wants_direct(store), &segment, &detail);
    while (rc == VARVE_OK)
        rc = varve_wal_segment_step(segment, &detail);
    if (rc < 0) {
        if (rc == VARVE_EIO_SYNC) /* of the directory: no file's name is durable from now on */
            varve_store_fail(store, &detail);
        varve_wal_segment_close(segment, false);
        varve_store_file_discard(store, VARVE_FILE_WAL, id);
        return varve_error_copy(err, &detail, rc);
    }
    varve_mutex_lock(&store->queue_lock);
    const uint64_t most = store->options.wal_segment_bytes;
    const uint64_t size = varve_wal_segment_size(segment);
    if (size >= store->segment_bytes)
        store->segment_bytes = size * 2 < most ? size * 2 : most;
    if (store->reserve_pause_us == 0) /* it is to grow as well */
        store->reserve_look_us = 0;
    store->stats.bytes_prezero += size;
    varve_mutex_unlock(&store->queue_lock);
    *ret_segment = segment;
    return VARVE_OK;
}

/* Whether one is to be made ahead of need now. */
static bool is_wanted(varve_store *store)
{
    const uint64_t now = (uint64_t)varve_store_boot_us(store);

    varve_mutex_lock(&store->queue_lock);
    const bool wanted = store->ready_segment == NULL && now >= store->segment_retry_us;
    varve_mutex_unlock(&store->queue_lock);
    return wanted;
}

/* Keep it for the next record that needs one. One that is kept already stays: what was made later can give
 * back its id. */
static void keep(varve_store *store, struct varve_wal_segment *segment)
{
    varve_mutex_lock(&store->queue_lock);
    if (store->ready_segment == NULL) {
        store->ready_segment = segment;
        segment = NULL;
    }
    varve_mutex_unlock(&store->queue_lock);
    discard(store, segment);
}

varve_status varve_segment_prepare(varve_store *store, varve_error *err)
{
    struct varve_wal_segment *segment = NULL;
    varve_status rc = VARVE_END;

    varve_mutex_lock(&store->segment_lock);
    if (is_wanted(store)) /* still: another thread may just have made one, or failed to */
        rc = make_segment(store, 0, &segment, err);
    varve_mutex_lock(&store->queue_lock);
    store->segment_wanted = false;
    if (rc < 0)
        store->segment_retry_us = (uint64_t)varve_store_boot_us(store) + RETRY_US;
    varve_mutex_unlock(&store->queue_lock);
    keep(store, segment);
    varve_mutex_unlock(&store->segment_lock);
    return rc;
}

/* A ready segment that takes a record of `payload` bytes: one that is kept, or is being made, or a
 * new one. One that is too small is no use for what is written now: the next one is larger. */
static varve_status take_segment(varve_store *store, uint64_t payload,
                                 struct varve_wal_segment **ret_segment, varve_error *err)
{
    varve_status rc = VARVE_OK;

    varve_mutex_lock(&store->segment_lock);
    varve_mutex_lock(&store->queue_lock);
    struct varve_wal_segment *segment = store->ready_segment;
    store->ready_segment = NULL;
    varve_mutex_unlock(&store->queue_lock);
    if (segment != NULL && varve_wal_payload_limit(varve_wal_segment_size(segment)) < payload) {
        discard(store, segment);
        segment = NULL;
    }
    if (segment == NULL)
        rc = make_segment(store, payload, &segment, err);
    varve_mutex_unlock(&store->segment_lock);
    *ret_segment = segment;
    return rc;
}

/* With the evidence of what is durable now, since what is being written there says it only later. */
static varve_status list_segment(varve_store *store, const struct varve_wal_segment *segment,
                                 uint64_t base_lsn, varve_error *err)
{
    struct varve_segment_entry entry = {.id = varve_wal_segment_id(segment),
                                        .base_lsn = base_lsn,
                                        .size = varve_wal_segment_size(segment)};
    struct varve_edit edit = {.put_segments = &entry,
                              .n_put_segments = 1,
                              .set_flags = VARVE_EDIT_DURABLE,
                              .durable_lsn = varve_wal_durable_lsn(store->wal)};

    memcpy(entry.uuid, varve_wal_segment_uuid(segment), sizeof entry.uuid);
    return varve_store_edit(store, &edit, err);
}

varve_status varve_segment_provide(varve_store *store, uint64_t payload, varve_error *err)
{
    struct varve_wal_segment *segment = NULL;
    uint64_t base_lsn = 0;

    varve_status rc = take_segment(store, payload, &segment, err);
    if (rc < 0)
        return rc;
    const int prepared = varve_wal_prepare_next(store->wal, segment, &base_lsn, err);
    if (prepared < 0) {
        discard(store, segment);
        return (varve_status)prepared;
    }
    if (prepared > 0) {
        keep(store, segment);
        return VARVE_END;
    }
    rc = list_segment(store, segment, base_lsn, err);
    if (rc == VARVE_OK)
        varve_wal_use_next(store->wal, segment);
    else if (varve_store_failure(store, NULL) == VARVE_OK)
        keep(store, segment); /* the manifest does not name it */
    else
        varve_wal_segment_close(segment, false); /* nobody knows: the file stays */
    return rc;
}
