/*
 * stray.c - files in the store's folder that its manifest does not name, looked for at an open.
 *
 * Ids are persisted before a file gets one. So a file that the manifest does not name, and whose id it
 * has given away, is a stray: an earlier process did not come to naming or removing it. And a file
 * whose id it has not given away yet was made under a newer manifest, which is missing here (a copy
 * or a restore that is not whole): the store has commits that this manifest knows nothing of, and going
 * on would give their files' ids and positions a second time. Every generation of the manifest gives its
 * files ids of its own (edit.c), so that this is seen whichever generation is missing, once a file was made
 * under it.
 *
 * Threads. None: the store is being opened.
 */
#include <string.h>

#include "storage/engine/recover_int.h"

struct stray_scan {
    varve_store *store;
    char names[64][VARVE_FILE_NAME_MAX];
    uint32_t n;
};

static bool is_named(const struct varve_version *version, enum varve_file_kind kind, uint64_t id)
{
    if (kind == VARVE_FILE_WAL) {
        for (uint32_t i = 0; i < version->n_segments; i++)
            if (version->segments[i].id == id)
                return true;
        for (uint32_t i = 0; i < version->n_kept; i++)
            if (version->kept[i].id == id)
                return true;
        return false;
    }
    for (uint32_t t = 0; t < version->n_tables; t++)
        for (uint64_t f = 0; f < version->tables[t]->n_files; f++)
            if (version->tables[t]->files[f]->id == id)
                return true;
    return false;
}

static int note_stray(void *ctx, const char *name)
{
    struct stray_scan *scan = ctx;
    uint64_t id = 0;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);

    if (kind != VARVE_FILE_SST && kind != VARVE_FILE_WAL)
        return 0;
    if (id >= scan->store->next_file_id || is_named(scan->store->version, kind, id))
        return 0;
    memcpy(scan->names[scan->n++], name, strlen(name) + 1);
    return scan->n == 64;
}

varve_status varve_recover_strays(varve_store *store, varve_error *err)
{
    int64_t pid;
    uint32_t gone;
    struct stray_scan *scan;

    /* A reader from before may still hold files that have left the store: leave them to a later
     * open. */
    if (store->vfs->ops->lock_test(store->readers_file, VARVE_PIN_BASE, VARVE_PIN_BASE, true,
                                   &pid) != 0)
        return VARVE_OK;
    scan = varve_alloc(&store->heap, sizeof *scan);
    if (scan == NULL)
        return varve_error_nomem(err, "a list of files");
    do {
        scan->store = store;
        scan->n = 0;
        const int rc = store->vfs->ops->list(store->vfs, note_stray, scan);
        if (rc < 0) {
            varve_free(&store->heap, scan, sizeof *scan);
            return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "list the directory");
        }
        gone = 0;
        for (uint32_t i = 0; i < scan->n; i++)
            gone += store->vfs->ops->unlink(store->vfs, scan->names[i]) == 0;
    } while (scan->n == 64 && gone > 0); /* what cannot be removed is left to a later open */
    varve_free(&store->heap, scan, sizeof *scan);
    return VARVE_OK;
}

/* ------------------------------------------------------------------------- A newer manifest's */

struct newer_file {
    uint64_t next_file_id;
    char name[VARVE_FILE_NAME_MAX];
};

static int find_newer(void *ctx, const char *name)
{
    struct newer_file *newer = ctx;
    uint64_t id = 0;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);

    if ((kind != VARVE_FILE_SST && kind != VARVE_FILE_WAL) || id < newer->next_file_id)
        return 0;
    memcpy(newer->name, name, strlen(name) + 1);
    return 1;
}

varve_status varve_recover_check_files(varve_store *store, varve_error *err)
{
    struct newer_file newer = {.next_file_id = store->version->next_file_id};
    const int rc = store->vfs->ops->list(store->vfs, find_newer, &newer);

    if (rc < 0)
        return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "list the directory");
    if (rc == 0)
        return VARVE_OK;
    return varve_error_set(
        err, VARVE_ECORRUPT, newer.name, VARVE_NO_OFFSET,
        "the file is newer than the newest manifest in the folder: a manifest is "
        "missing, and commits with it; put it back, or restore the store whole");
}
