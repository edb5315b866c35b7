/*
 * segment.c - log segments ahead of need: made, zeroed, synced, named in the directory, listed in
 * the manifest, then kept ready for the log.
 *
 * Invariant. Segments are used in the order in which the manifest lists them: recovery relies on it.
 *
 * Threads. varve_segment_prepare() runs beside the log token and keeps one segment ready under the
 * queue lock; the token's holder offers it. Without a ready one the holder makes its own. Only one
 * thread at a time makes a segment (segment lock).
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"

#define FIRST_SEGMENT_BYTES (4u << 20)

static bool wants_direct(const varve_store *store)
{
    return store->options.policy == VARVE_POLICY_DURABLE_EACH ||
           store->options.policy == VARVE_POLICY_DURABLE_GROUP;
}

static varve_status list_segment(varve_store *store, const struct varve_wal_segment *segment,
                                 varve_error *err)
{
    struct varve_segment_entry entry = {.id = varve_wal_segment_id(segment),
                                        .base_lsn = UINT64_MAX,
                                        .size = varve_wal_segment_size(segment)};
    struct varve_edit edit = {.put_segments = &entry, .n_put_segments = 1};

    memcpy(entry.uuid, varve_wal_segment_uuid(segment), sizeof entry.uuid);
    return varve_store_edit(store, &edit, err);
}

/* Segments begin small, so that the first commit after an open does not wait for many megabytes of
 * zeros, and double up to wal_segment_bytes. A record needs one of four times its size. */
static uint64_t next_size(varve_store *store, uint64_t payload)
{
    const uint64_t most = store->options.wal_segment_bytes;

    varve_mutex_lock(&store->queue_lock);
    if (store->segment_bytes == 0)
        store->segment_bytes = most < FIRST_SEGMENT_BYTES ? most : FIRST_SEGMENT_BYTES;
    uint64_t size = store->segment_bytes;
    varve_mutex_unlock(&store->queue_lock);
    while (size < most && varve_wal_payload_limit(size) < payload)
        size = size * 2 < most ? size * 2 : most;
    return size;
}

static varve_status make_segment(varve_store *store, uint64_t payload,
                                 struct varve_wal_segment **ret_segment, varve_error *err)
{
    struct varve_wal_segment *segment = NULL;
    uint64_t id = 0;
    varve_status rc = varve_store_file_id(store, &id, err);

    if (rc < 0)
        return rc;
    rc = varve_wal_segment_create(store->vfs, &store->heap, id, next_size(store, payload),
                                  wants_direct(store), &segment, err);
    if (rc < 0)
        return rc;
    do
        rc = varve_wal_segment_step(segment, err);
    while (rc == VARVE_OK);
    if (rc == VARVE_END)
        rc = list_segment(store, segment, err);
    if (rc < 0) {
        /* After these the manifest does not name it. After others nobody knows: the file stays. */
        const bool unnamed = rc == VARVE_ENOSPC || rc == VARVE_ENOMEM || rc == VARVE_EINVAL;
        varve_wal_segment_close(segment, unnamed || !varve_wal_segment_ready(segment));
        return rc;
    }
    varve_mutex_lock(&store->queue_lock);
    const uint64_t most = store->options.wal_segment_bytes;
    store->segment_bytes = store->segment_bytes * 2 < most ? store->segment_bytes * 2 : most;
    store->stats.bytes_prezero += varve_wal_segment_size(segment);
    varve_mutex_unlock(&store->queue_lock);
    *ret_segment = segment;
    return VARVE_OK;
}

static bool has_ready(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const bool ready = store->ready_segment != NULL;
    varve_mutex_unlock(&store->queue_lock);
    return ready;
}

/* A segment that is too small for the next record leaves the manifest before another one is listed,
 * because recovery takes segments to have been used in the order in which they were listed. */
static varve_status give_up_segment(varve_store *store, struct varve_wal_segment *segment,
                                    varve_error *err)
{
    const uint64_t id = varve_wal_segment_id(segment);
    const uint64_t bytes = varve_wal_segment_size(segment);
    struct varve_edit edit = {.drop_segments = &id, .n_drop_segments = 1};

    varve_wal_segment_close(segment, false);
    if (!varve_obsolete_reserve(store, 1))
        return varve_error_nomem(err, "a list of files to remove");
    varve_mutex_lock(&store->manifest_lock);
    const varve_status rc = varve_store_edit_locked(store, &edit, NULL, err);
    const uint64_t number = store->version->number;
    varve_mutex_unlock(&store->manifest_lock);
    if (rc == VARVE_OK)
        varve_obsolete_add(
            store, &(struct varve_obsolete){
                       .id = id, .version = number, .bytes = bytes, .kind = VARVE_FILE_WAL});
    return rc;
}

varve_status varve_segment_prepare(varve_store *store, varve_error *err)
{
    struct varve_wal_segment *segment = NULL;
    varve_status rc = VARVE_OK;

    varve_mutex_lock(&store->segment_lock);
    if (!has_ready(store))
        rc = make_segment(store, 0, &segment, err);
    varve_mutex_lock(&store->queue_lock);
    store->segment_wanted = false;
    if (segment != NULL)
        store->ready_segment = segment;
    varve_mutex_unlock(&store->queue_lock);
    varve_mutex_unlock(&store->segment_lock);
    return rc;
}

varve_status varve_segment_provide(varve_store *store, uint64_t payload, varve_error *err)
{
    varve_status rc = VARVE_OK;

    /* One that is being made is waited for: it is listed first, so it must be used first. */
    varve_mutex_lock(&store->segment_lock);
    varve_mutex_lock(&store->queue_lock);
    struct varve_wal_segment *segment = store->ready_segment;
    store->ready_segment = NULL;
    varve_mutex_unlock(&store->queue_lock);
    if (segment != NULL && varve_wal_payload_limit(varve_wal_segment_size(segment)) < payload) {
        rc = give_up_segment(store, segment, err);
        segment = NULL;
    }
    if (rc == VARVE_OK && segment == NULL)
        rc = make_segment(store, payload, &segment, err);
    varve_mutex_unlock(&store->segment_lock);
    if (rc == VARVE_OK)
        rc = varve_wal_offer(store->wal, segment, err);
    if (rc < 0)
        varve_wal_segment_close(segment, false);
    return rc;
}
