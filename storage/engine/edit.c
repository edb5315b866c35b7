/*
 * edit.c - changes of the manifest: one at a time, durable first, then seen by everyone.
 *
 * Invariants
 *   E1  At most one edit of a table's creation or drop is owed: its record is durable in the log and
 *       applied, but the edit failed, for want of memory or room say, and left nothing in doubt.
 *   E2  Any other edit writes what is owed first, and fails if that does. So the replay position,
 *       which is part of an edit, never passes the record of an owed one: neither a crash nor the
 *       trimming of the log loses it.
 *   E3  An edit that finds no room releases the reserve (reserve.c) before it is given up or owed.
 *   E4  A file that gets its id after a switch to a new generation of the manifest has one that the
 *       generation before has not given away (stray.c says what for).
 */
#include <errno.h>
#include <string.h>

#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/reserve_int.h"

#define TRIM_MAX 64 /* log segments that one edit drops */

/* Segments that have been sealed since the last edit go along with this one. */
static uint32_t take_sealed(varve_store *store, struct varve_segment_entry *out, uint32_t max)
{
    varve_mutex_lock(&store->queue_lock);
    const uint32_t n = store->n_sealed < max ? store->n_sealed : max;
    memcpy(out, store->sealed, n * sizeof *out);
    memmove(store->sealed, store->sealed + n, (store->n_sealed - n) * sizeof *out);
    store->n_sealed -= n;
    varve_mutex_unlock(&store->queue_lock);
    return n;
}

/* Make the manifest's newest version the one that views see; in the same moment unlink the memtable
 * that its files replace, and end the table that it no longer has. */
static void publish(varve_store *store, struct varve_generation *flushed,
                    struct varve_table *dropped)
{
    struct varve_version *version = varve_manifest_version(store->manifest);

    varve_mutex_lock(&store->view_lock);
    struct varve_version *old = store->version;
    store->version = version;
    if (flushed != NULL) {
        struct varve_table *table = flushed->table;
        assert(table->oldest == flushed && flushed->next != NULL);
        table->oldest = flushed->next;
    }
    if (dropped != NULL)
        dropped->dropped = true;
    varve_mutex_unlock(&store->view_lock);
    varve_version_unref(old);
}

/* A new generation has begun: the ids that the one before has persisted are left to it (E4). */
static void leave_ids(varve_store *store) VARVE_REQUIRES(&store->manifest_lock)
{
    store->next_file_id = store->file_id_floor = store->file_id_limit;
}

static varve_status apply_edit(varve_store *store, const struct varve_edit *edit, varve_error *err)
    VARVE_REQUIRES(&store->manifest_lock)
{
    const uint64_t generation = varve_manifest_generation(store->manifest);
    const varve_status rc = varve_manifest_apply(store->manifest, edit, err);

    if (varve_manifest_generation(store->manifest) != generation)
        leave_ids(store);
    return rc;
}

static varve_status write_edit(varve_store *store, struct varve_edit *edit,
                               struct varve_generation *flushed, struct varve_table *dropped,
                               varve_error *err) VARVE_REQUIRES(&store->manifest_lock)
{
    struct varve_segment_entry segments[16];
    varve_error detail = {0};

    assert(edit->n_put_segments <= 8);
    if (edit->n_put_segments > 0)
        memcpy(segments, edit->put_segments, edit->n_put_segments * sizeof segments[0]);
    const uint32_t own = edit->n_put_segments;
    edit->n_put_segments += take_sealed(store, segments + own, 8);
    edit->put_segments = segments;
    varve_status rc = apply_edit(store, edit, &detail);
    if (rc == VARVE_ENOSPC && varve_reserve_release(store))
        rc = apply_edit(store, edit, &detail);
    edit->put_segments = NULL;
    if (rc < 0) {
        for (uint32_t i = own; i < edit->n_put_segments; i++)
            varve_store_note_sealed(store, &segments[i]);
        if (varve_manifest_is_failed(store->manifest))
            varve_store_fail(store, &detail);
        return varve_error_copy(err, &detail, rc);
    }
    publish(store, flushed, dropped);
    return VARVE_OK;
}

/* ------------------------------------------------------------------------- Tables come and go */

/* The files of a table that leave the store with it. */
static void retire_files(varve_store *store, const struct varve_table_entry *entry,
                         uint64_t version)
{
    if (entry == NULL || !varve_obsolete_reserve(store, entry->n_files))
        return; /* no memory: the next open collects them */
    for (uint64_t i = 0; i < entry->n_files; i++)
        varve_obsolete_add(store,
                           &(struct varve_obsolete){.id = entry->files[i]->id,
                                                    .version = version,
                                                    .bytes = entry->files[i]->properties.file_size,
                                                    .kind = VARVE_FILE_SST});
}

static varve_status write_table(varve_store *store, struct varve_table *table, bool drop,
                                varve_error *err) VARVE_REQUIRES(&store->manifest_lock)
{
    const struct varve_schema *schema = table->schema;
    struct varve_edit edit = {0};

    if (drop) {
        edit.drop_tables = &schema->table_id;
        edit.n_drop_tables = 1;
    } else {
        edit.put_schemas = &schema;
        edit.n_put_schemas = 1;
        edit.set_flags = VARVE_EDIT_NEXT_TABLE;
        edit.next_table_id = schema->table_id + 1;
    }
    struct varve_version *before = varve_version_ref(store->version);
    const varve_status rc = write_edit(store, &edit, NULL, drop ? table : NULL, err);
    if (rc == VARVE_OK && drop)
        retire_files(store, varve_version_table(before, schema->table_id), store->version->number);
    varve_version_unref(before);
    return rc;
}

varve_status varve_store_edit_table(varve_store *store, struct varve_table *table, bool drop,
                                    varve_error *err)
{
    varve_mutex_lock(&store->manifest_lock); /* until then a flush may add files to it */
    assert(store->owed == NULL);
    varve_status rc = write_table(store, table, drop, err);
    if (rc < 0 && rc != VARVE_EINVAL && !varve_manifest_is_failed(store->manifest)) {
        store->owed = table;
        varve_mutex_lock(&store->view_lock);
        table->dropped = drop;
        varve_mutex_unlock(&store->view_lock);
        rc = VARVE_OK;
    }
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

static varve_status settle_locked(varve_store *store, varve_error *err)
    VARVE_REQUIRES(&store->manifest_lock)
{
    if (store->owed == NULL)
        return VARVE_OK;
    const varve_status rc = write_table(store, store->owed, store->owed->dropped, err);
    if (rc == VARVE_OK)
        store->owed = NULL;
    return rc;
}

varve_status varve_store_settle(varve_store *store, varve_error *err)
{
    varve_mutex_lock(&store->manifest_lock);
    const varve_status rc = settle_locked(store, err);
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

/* ----------------------------------------------------------------------------------- Any edit */

varve_status varve_store_edit_locked(varve_store *store, struct varve_edit *edit,
                                     struct varve_generation *flushed, varve_error *err)
{
    const varve_status rc = settle_locked(store, err);

    return rc < 0 ? rc : write_edit(store, edit, flushed, NULL, err);
}

varve_status varve_store_edit(varve_store *store, struct varve_edit *edit, varve_error *err)
{
    varve_mutex_lock(&store->manifest_lock);
    const varve_status rc = varve_store_edit_locked(store, edit, NULL, err);
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

varve_status varve_store_edit_many_locked(varve_store *store, struct varve_edit *edit,
                                          varve_error *err)
{
    varve_error detail = {0};
    const varve_status rc = apply_edit(store, edit, &detail);

    if (rc < 0)
        return varve_error_copy(err, &detail, rc);
    publish(store, NULL, NULL);
    return VARVE_OK;
}

varve_status varve_store_begin_generation(varve_store *store, varve_error *err)
{
    varve_mutex_lock(&store->manifest_lock);
    const varve_status rc = varve_manifest_switch(store->manifest, err);
    if (rc == VARVE_OK)
        leave_ids(store);
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

varve_status varve_store_file_ids(varve_store *store, uint64_t n, uint64_t *ret_first,
                                  varve_error *err)
{
    varve_status rc = VARVE_OK;

    varve_mutex_lock(&store->manifest_lock);
    if (store->file_id_limit - store->next_file_id < n) {
        const uint64_t chunk = n > VARVE_FILE_ID_CHUNK ? n : VARVE_FILE_ID_CHUNK;
        struct varve_edit edit = {.set_flags = VARVE_EDIT_NEXT_FILE,
                                  .next_file_id = store->file_id_limit + chunk};
        rc = varve_store_edit_locked(store, &edit, NULL, err);
        if (rc == VARVE_OK)
            store->file_id_limit = edit.next_file_id;
    }
    if (rc == VARVE_OK) {
        *ret_first = store->next_file_id;
        store->next_file_id += n;
    }
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

varve_status varve_store_file_id(varve_store *store, uint64_t *ret_id, varve_error *err)
{
    return varve_store_file_ids(store, 1, ret_id, err);
}

void varve_store_file_discard(varve_store *store, enum varve_file_kind kind, uint64_t id)
{
    char name[VARVE_FILE_NAME_MAX];

    varve_file_name_of(kind, id, name);
    const int rc = store->vfs->ops->unlink(store->vfs, name);
    if (rc < 0 && rc != -ENOENT)
        return; /* it keeps its id; the next open collects it */
    varve_mutex_lock(&store->manifest_lock);
    if (store->next_file_id == id + 1 && id >= store->file_id_floor)
        store->next_file_id = id;
    varve_mutex_unlock(&store->manifest_lock);
}

void varve_store_note_sealed(varve_store *store, const struct varve_segment_entry *entry)
{
    varve_mutex_lock(&store->queue_lock);
    if (store->n_sealed == sizeof store->sealed / sizeof store->sealed[0]) {
        /* Too many to remember: the next segment's header vouches for the one forgotten, and its
         * end is found again by the next open. */
        memmove(store->sealed, store->sealed + 1, (store->n_sealed - 1) * sizeof *store->sealed);
        store->n_sealed--;
    }
    store->sealed[store->n_sealed++] = *entry;
    varve_mutex_unlock(&store->queue_lock);
}

/* One edit's worth: `*ret_n` segments are gone. */
static varve_status trim_some(varve_store *store, uint32_t *ret_n, varve_error *err)
    VARVE_REQUIRES(&store->manifest_lock)
{
    uint64_t ids[TRIM_MAX];
    uint64_t bytes[TRIM_MAX];
    uint32_t n = 0;
    varve_status rc = VARVE_OK;

    const struct varve_version *version = store->version; /* edits need the lock that we hold */
    for (uint32_t i = 0; i < version->n_segments && n < TRIM_MAX; i++) {
        const struct varve_segment_entry *segment = &version->segments[i];
        if (!segment->sealed || segment->final_lsn > version->replay.lsn)
            break;
        bytes[n] = segment->size;
        ids[n++] = segment->id;
    }
    if (n > 0 && !varve_obsolete_reserve(store, n))
        rc = varve_error_nomem(err, "a list of files to remove");
    if (n > 0 && rc == VARVE_OK) {
        struct varve_edit edit = {.drop_segments = ids, .n_drop_segments = n};
        rc = varve_store_edit_locked(store, &edit, NULL, err);
    }
    for (uint32_t i = 0; rc == VARVE_OK && i < n; i++)
        varve_obsolete_add(store, &(struct varve_obsolete){.id = ids[i],
                                                           .version = store->version->number,
                                                           .bytes = bytes[i],
                                                           .kind = VARVE_FILE_WAL});
    *ret_n = n;
    return rc;
}

varve_status varve_store_trim(varve_store *store, varve_error *err)
{
    uint32_t n = 0;
    varve_status rc;

    do {
        varve_mutex_lock(&store->manifest_lock);
        rc = trim_some(store, &n, err);
        varve_mutex_unlock(&store->manifest_lock);
    } while (rc == VARVE_OK && n == TRIM_MAX);
    return rc;
}
