/*
 * file_table.c - the SSTables that are open, and the files that wait to be removed.
 *
 * Files are opened when first read and stay open, up to a number; the least recently used that
 * nobody reads is closed then. A file that left the store is unlinked when no view in this process
 * and no reader in another needs the versions that named it. One that cannot be unlinked waits on; if
 * that lasts until the store is closed the next open collects it.
 *
 * Threads. The file table's lock; opening a file is done without it, so two threads may open one
 * file at once, and the second lets its own go.
 */
#include <errno.h>
#include <string.h>

#include "storage/engine/file_table_int.h"
#include "storage/engine/view_int.h"

#define VARVE_OPEN_FILES_MAX 256u

static struct varve_open_file **bucket_of(struct varve_file_table *files, uint64_t id)
{
    return &files->buckets[varve_mix64(id) % (sizeof files->buckets / sizeof files->buckets[0])];
}

varve_status varve_file_table_init(varve_store *store, varve_error *err)
{
    store->files.open_max = VARVE_OPEN_FILES_MAX;
    const int rc = varve_mutex_init(&store->files.lock);
    return rc < 0 ? varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "create a lock") : VARVE_OK;
}

void varve_file_table_free(varve_store *store)
{
    struct varve_file_table *files = &store->files;

    for (size_t b = 0; b < sizeof files->buckets / sizeof files->buckets[0]; b++) {
        while (files->buckets[b] != NULL) {
            struct varve_open_file *file = files->buckets[b];
            files->buckets[b] = file->next;
            varve_sst_unref(file->sst);
            varve_free(&store->heap, file, sizeof *file);
        }
    }
    if (files->obsolete != NULL)
        varve_free(&store->heap, files->obsolete,
                   files->obsolete_capacity * sizeof *files->obsolete);
    varve_mutex_destroy(&files->lock);
}

static struct varve_open_file *lookup_locked(varve_store *store, uint64_t id)
    VARVE_REQUIRES(&store->files.lock)
{
    struct varve_file_table *files = &store->files;
    struct varve_open_file *file = *bucket_of(files, id);

    while (file != NULL && file->id != id)
        file = file->next;
    if (file != NULL)
        file->used = ++files->tick;
    return file;
}

/* Close the least recently used file that only the table holds. */
static void evict_locked(varve_store *store) VARVE_REQUIRES(&store->files.lock)
{
    struct varve_file_table *files = &store->files;
    struct varve_open_file **victim = NULL;

    for (size_t b = 0; b < sizeof files->buckets / sizeof files->buckets[0]; b++)
        for (struct varve_open_file **at = &files->buckets[b]; *at != NULL; at = &(*at)->next)
            if (!varve_sst_is_shared((*at)->sst) &&
                (victim == NULL || (*at)->used < (*victim)->used))
                victim = at;
    if (victim == NULL)
        return;
    struct varve_open_file *file = *victim;
    *victim = file->next;
    files->open--;
    varve_sst_unref(file->sst);
    varve_free(&store->heap, file, sizeof *file);
}

static varve_status open_entry(varve_store *store, const struct varve_file_entry *entry,
                               struct varve_sst **ret_sst, varve_error *err)
{
    char name[VARVE_FILE_NAME_MAX];

    struct varve_sst_expect expect = {.file_size = entry->properties.file_size,
                                      .footer_checksum = entry->properties.footer_checksum};
    memcpy(expect.uuid, entry->properties.uuid, sizeof expect.uuid);
    varve_file_name_sst(entry->id, name);
    const varve_status rc = varve_sst_open(store->vfs, name, entry->id, &expect, store->cache,
                                           &store->heap, ret_sst, err);
    if (rc == VARVE_ENOTFOUND) /* to a caller that would be a table or store that is not there */
        return varve_error_set(err, VARVE_ECORRUPT, name, VARVE_NO_OFFSET,
                               "a file of the store is missing");
    if (rc == VARVE_OK)
        varve_sst_count_repairs(*ret_sst, &store->repairs);
    return rc;
}

varve_status varve_file_table_get(varve_store *store, const struct varve_file_entry *entry,
                                  struct varve_sst **ret_sst, varve_error *err)
{
    struct varve_file_table *files = &store->files;
    struct varve_sst *sst = NULL;

    varve_mutex_lock(&store->files.lock);
    const struct varve_open_file *known = lookup_locked(store, entry->id);
    if (known != NULL)
        sst = varve_sst_ref(known->sst);
    varve_mutex_unlock(&store->files.lock);
    if (sst != NULL) {
        *ret_sst = sst;
        return VARVE_OK;
    }

    const varve_status rc = open_entry(store, entry, &sst, err);
    if (rc < 0)
        return rc;
    struct varve_open_file *file = varve_alloc_zero(&store->heap, 1, sizeof *file);
    if (file == NULL) {
        varve_sst_unref(sst);
        return varve_error_nomem(err, "an open file");
    }
    file->id = entry->id;

    varve_mutex_lock(&store->files.lock);
    known = lookup_locked(store, entry->id);
    if (known != NULL) { /* another thread was faster: share its handle */
        varve_sst_unref(sst);
        sst = varve_sst_ref(known->sst);
        varve_free(&store->heap, file, sizeof *file);
    } else {
        if (files->open >= files->open_max)
            evict_locked(store);
        struct varve_open_file **bucket = bucket_of(files, entry->id);
        file->sst = varve_sst_ref(sst);
        file->used = ++files->tick;
        file->next = *bucket;
        *bucket = file;
        files->open++;
    }
    varve_mutex_unlock(&store->files.lock);
    *ret_sst = sst;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------- Obsolete */

bool varve_obsolete_reserve(varve_store *store, size_t n)
{
    struct varve_file_table *files = &store->files;

    varve_mutex_lock(&store->files.lock);
    const bool room =
        varve_vec_grow(&store->heap, (void **)&files->obsolete, sizeof *files->obsolete,
                       files->n_obsolete + n, &files->obsolete_capacity);
    varve_mutex_unlock(&store->files.lock);
    return room;
}

void varve_obsolete_add(varve_store *store, const struct varve_obsolete *obsolete)
{
    struct varve_file_table *files = &store->files;

    varve_mutex_lock(&store->files.lock);
    if (files->n_obsolete < files->obsolete_capacity)
        files->obsolete[files->n_obsolete++] = *obsolete; /* else the next open collects it */
    varve_mutex_unlock(&store->files.lock);
}

static void forget_open_locked(varve_store *store, uint64_t id) VARVE_REQUIRES(&store->files.lock)
{
    struct varve_file_table *files = &store->files;

    for (struct varve_open_file **at = bucket_of(files, id); *at != NULL; at = &(*at)->next) {
        if ((*at)->id != id)
            continue;
        struct varve_open_file *file = *at;
        *at = file->next;
        files->open--;
        varve_sst_unref(file->sst);
        varve_free(&store->heap, file, sizeof *file);
        return;
    }
}

/* Whether a reader in another process pins a version below `version`. */
static bool readers_pin_below(varve_store *store, uint64_t version)
{
    int64_t pid = 0;

    if (version == 0)
        return false;
    const int rc =
        store->vfs->ops->lock_test(store->readers_file, VARVE_PIN_BASE, version, true, &pid);
    return rc != 0; /* an error counts as "pinned": a file too long is better than one too short */
}

static uint64_t remove_obsolete(varve_store *store)
{
    struct varve_file_table *files = &store->files;
    const uint64_t oldest = varve_views_oldest_version(store);
    uint64_t removed = 0;
    size_t i = 0;

    for (;;) {
        struct varve_obsolete item = {0};
        varve_mutex_lock(&store->files.lock);
        while (i < files->n_obsolete && files->obsolete[i].version > oldest)
            i++;
        const bool found = i < files->n_obsolete;
        if (found)
            item = files->obsolete[i];
        varve_mutex_unlock(&store->files.lock);
        if (!found)
            return removed;
        if (readers_pin_below(store, item.version)) {
            i++;
            continue;
        }
        char name[VARVE_FILE_NAME_MAX];
        varve_file_name_of(item.kind, item.id, name);
        const int gone = store->vfs->ops->unlink(store->vfs, name);
        if (gone < 0 && gone != -ENOENT) { /* it is tried again with the next look */
            i++;
            continue;
        }
        varve_mutex_lock(&store->files.lock);
        if (item.kind == VARVE_FILE_SST) {
            forget_open_locked(store, item.id);
            varve_cache_drop_file(store->cache, item.id);
        }
        files->obsolete[i] = files->obsolete[--files->n_obsolete];
        varve_mutex_unlock(&store->files.lock);
        removed++;
    }
}

/* One thread at a time: an item keeps its place while its readers are looked for. */
uint64_t varve_obsolete_remove(varve_store *store)
{
    varve_mutex_lock(&store->files.lock);
    const bool busy = store->files.removing || store->files.n_obsolete == 0;
    if (!busy)
        store->files.removing = true;
    varve_mutex_unlock(&store->files.lock);
    if (busy)
        return 0;
    const uint64_t removed = remove_obsolete(store);
    varve_mutex_lock(&store->files.lock);
    store->files.removing = false;
    varve_mutex_unlock(&store->files.lock);
    return removed;
}

uint64_t varve_obsolete_bytes(varve_store *store)
{
    uint64_t bytes = 0;

    varve_mutex_lock(&store->files.lock);
    for (size_t i = 0; i < store->files.n_obsolete; i++)
        bytes += store->files.obsolete[i].bytes;
    varve_mutex_unlock(&store->files.lock);
    return bytes;
}
