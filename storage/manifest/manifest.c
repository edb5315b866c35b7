/*
 * manifest.c - generations written, opened, extended and replaced (bytes: manifest_format.h).
 *
 * A generation's file is written with room for edits, zeroed and synced, so that an edit overwrites
 * zeros and a page of it is old, new or visibly torn after a crash. When the room is used up the
 * next edit starts a new generation. Each edit stands twice; one damaged page is made good by the
 * other copy.
 */
#include "storage/manifest/manifest.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/manifest/manifest_format.h"

#define ROOM_PAGES_MIN 64u /* for edits, in a new generation */
#define OPEN_TRIES 16      /* of a reader, while generations are being replaced */

struct varve_manifest {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    bool read_only;
    struct varve_file *file;
    struct varve_version *version; /* one reference */
    uint64_t generation;
    uint8_t uuid[16];
    uint32_t pages;     /* of the file */
    uint32_t next_page; /* where the next edit goes */
    uint64_t bytes;     /* written since open */
    uint64_t repairs;   /* pages made good by their copy */
    varve_error failure;
};

static void name_of(uint64_t generation, bool temporary, char *out)
{
    varve_file_name_manifest(generation, out);
    if (temporary)
        memcpy(out + strlen(out), ".tmp", 5);
}

static uint32_t pages_of(uint64_t size)
{
    return (uint32_t)((size + VARVE_PAGE_PAYLOAD - 1) / VARVE_PAGE_PAYLOAD);
}

/* -------------------------------------------------------------------------- Writing a generation */

struct page_run { /* pages being composed */
    uint8_t *pages;
    uint32_t n;
    uint8_t uuid[16];
    uint64_t generation;
    uint32_t first_page;
};

/* Lay `bytes` out over pages from `at` on; the first carries the flag `flags`. */
static void lay_out(const struct page_run *run, uint32_t at, struct varve_span bytes, bool record,
                    uint16_t flags)
{
    for (uint32_t i = 0; i < pages_of(bytes.size); i++) {
        uint8_t *page = run->pages + (size_t)(at + i) * VARVE_PAGE_SIZE;
        const size_t offset = (size_t)i * VARVE_PAGE_PAYLOAD;
        const size_t left = bytes.size - offset;
        const size_t used = left < VARVE_PAGE_PAYLOAD ? left : VARVE_PAGE_PAYLOAD;
        const struct varve_page_place place =
            varve_manifest_page_place(run->uuid, run->generation, run->first_page + at + i);
        const struct varve_page_trailer trailer = {.used = (uint16_t)used,
                                                   .flags = flags,
                                                   .first_record =
                                                       record && i == 0 ? 0 : VARVE_PAGE_NO_RECORD};
        memcpy(page, bytes.data + offset, used);
        (void)varve_page_encode(page, &place, &trailer);
    }
}

static varve_status compose(struct varve_manifest *manifest, uint64_t generation,
                            struct page_run *run, uint32_t *ret_next, varve_error *err)
{
    struct varve_buffer snapshot;
    struct varve_manifest_header header = {.generation = generation,
                                           .version = manifest->version->number};
    uint8_t control[VARVE_MANIFEST_HEADER_SIZE];

    varve_buffer_init(&snapshot, manifest->heap);
    varve_manifest_ops_of_version(manifest->version, &snapshot);
    const int random = manifest->vfs->ops->random(manifest->vfs, header.uuid, 16);
    if (snapshot.failed || random < 0 || snapshot.size > VARVE_MANIFEST_SNAPSHOT_MAX) {
        varve_buffer_free(&snapshot);
        return random < 0 ? varve_error_os(err, random, NULL, VARVE_NO_OFFSET, "get random bytes")
                          : varve_error_nomem(err, "a snapshot of the manifest");
    }
    const uint32_t n = pages_of(snapshot.size);
    const uint32_t room = 2 * n > ROOM_PAGES_MIN ? 2 * n : ROOM_PAGES_MIN;
    *run = (struct page_run){.n = 2 * n + 3 + room, .generation = generation};
    memcpy(run->uuid, header.uuid, 16);
    run->pages = varve_alloc_zero(manifest->heap, run->n, VARVE_PAGE_SIZE);
    if (run->pages == NULL) {
        varve_buffer_free(&snapshot);
        return varve_error_nomem(err, "a generation of the manifest");
    }
    memcpy(header.store_uuid, manifest->version->store_uuid, 16);
    header.snapshot_pages = n;
    header.snapshot_size = snapshot.size;
    header.snapshot_hash = varve_hash64(snapshot.data, snapshot.size, 0);
    varve_manifest_header_encode(&header, control);
    const struct varve_span head = varve_span_of(control, sizeof control);
    lay_out(run, 0, head, false, VARVE_PAGE_HEADER);
    lay_out(run, 1, varve_buffer_span(&snapshot), false, 0);
    lay_out(run, n + 1, head, false, VARVE_PAGE_SEAL);
    lay_out(run, n + 2, varve_buffer_span(&snapshot), false, 0);
    lay_out(run, 2 * n + 2, head, false, VARVE_PAGE_SEAL);
    varve_buffer_free(&snapshot);
    *ret_next = 2 * n + 3;
    return VARVE_OK;
}

/* Write and sync the file under its temporary name. */
static varve_status write_temporary(struct varve_manifest *manifest, const struct page_run *run,
                                    const char *name, struct varve_file **ret_file,
                                    varve_error *err)
{
    const struct varve_vfs_ops *ops = manifest->vfs->ops;
    struct varve_file *file = NULL;

    (void)ops->unlink(manifest->vfs, name); /* what an earlier attempt left */
    int64_t rc = ops->open(manifest->vfs, name, VARVE_FILE_WRITE | VARVE_FILE_CREATE, &file);
    if (rc < 0)
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, "create");
    const size_t size = (size_t)run->n * VARVE_PAGE_SIZE;
    rc = ops->write(file, run->pages, size, 0);
    const char *what = "write";
    if (rc >= 0) {
        rc = ops->sync(file);
        what = "sync";
    }
    if (rc < 0) {
        ops->close(file);
        (void)ops->unlink(manifest->vfs, name);
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, what);
    }
    manifest->bytes += size;
    *ret_file = file;
    return VARVE_OK;
}

static varve_status fail(struct varve_manifest *manifest, const varve_error *detail,
                         varve_error *err)
{
    manifest->failure = *detail;
    return varve_error_copy(err, detail, detail->status);
}

static varve_status write_generation(struct varve_manifest *manifest, uint64_t generation,
                                     varve_error *err)
{
    const struct varve_vfs_ops *ops = manifest->vfs->ops;
    char temporary[VARVE_FILE_NAME_MAX], name[VARVE_FILE_NAME_MAX];
    struct page_run run = {0};
    struct varve_file *file = NULL;
    uint32_t next = 0;

    name_of(generation, true, temporary);
    name_of(generation, false, name);
    varve_status rc = compose(manifest, generation, &run, &next, err);
    if (rc == VARVE_OK)
        rc = write_temporary(manifest, &run, temporary, &file, err);
    if (run.pages != NULL)
        varve_free(manifest->heap, run.pages, (size_t)run.n * VARVE_PAGE_SIZE);
    if (rc < 0)
        return rc;
    int renamed = ops->rename(manifest->vfs, temporary, name);
    const char *what = "rename";
    if (renamed >= 0) {
        renamed = ops->sync_dir(manifest->vfs);
        what = "sync the directory of";
    }
    if (renamed < 0) { /* which generation the next open finds is unknown: write to neither */
        varve_error detail = {0};
        ops->close(file);
        (void)varve_error_os(&detail, renamed, name, VARVE_NO_OFFSET, what);
        return fail(manifest, &detail, err);
    }
    if (manifest->file != NULL)
        ops->close(manifest->file);
    manifest->file = file;
    manifest->generation = generation;
    memcpy(manifest->uuid, run.uuid, sizeof manifest->uuid);
    manifest->pages = run.n;
    manifest->next_page = next;
    return VARVE_OK;
}

struct generation_list { /* generations in the directory, the highest first */
    uint64_t items[64];
    uint32_t n;
    bool temporaries; /* list .tmp files instead */
};

static int note_generation(void *ctx, const char *name)
{
    struct generation_list *list = ctx;
    const enum varve_file_kind wanted =
        list->temporaries ? VARVE_FILE_MANIFEST_TMP : VARVE_FILE_MANIFEST;
    uint64_t id = 0;
    uint32_t at;

    if (varve_file_name_parse(name, &id) != wanted)
        return 0;
    for (at = list->n < 64 ? list->n : 63; at > 0 && list->items[at - 1] < id; at--)
        list->items[at] = list->items[at - 1];
    if (at < 64)
        list->items[at] = id;
    if (list->n < 64)
        list->n++;
    return 0;
}

/* Remove generations below the previous one, and temporary files. */
static void collect(struct varve_manifest *manifest)
{
    struct generation_list list = {0}, temporaries = {.temporaries = true};
    char name[VARVE_FILE_NAME_MAX];

    if (manifest->vfs->ops->list(manifest->vfs, note_generation, &list) < 0 ||
        manifest->vfs->ops->list(manifest->vfs, note_generation, &temporaries) < 0)
        return; /* the next switch tries again */
    for (uint32_t i = 0; i < list.n; i++) {
        if (list.items[i] + 1 >= manifest->generation)
            continue;
        name_of(list.items[i], false, name);
        (void)manifest->vfs->ops->unlink(manifest->vfs, name);
    }
    for (uint32_t i = 0; i < temporaries.n; i++) {
        name_of(temporaries.items[i], true, name);
        (void)manifest->vfs->ops->unlink(manifest->vfs, name);
    }
}

varve_status varve_manifest_switch(struct varve_manifest *manifest, varve_error *err)
{
    if (manifest->failure.status < 0)
        return varve_error_copy(err, &manifest->failure, manifest->failure.status);
    const varve_status rc = write_generation(manifest, manifest->generation + 1, err);
    if (rc == VARVE_OK)
        collect(manifest);
    return rc;
}

/* ---------------------------------------------------------------------------------- Reading */

static varve_status read_pages(const struct varve_manifest *manifest, const char *name,
                               uint32_t first, uint32_t n, uint8_t *out, varve_error *err)
{
    const size_t size = (size_t)n * VARVE_PAGE_SIZE;
    const uint64_t offset = (uint64_t)first * VARVE_PAGE_SIZE;
    const int64_t rc = manifest->vfs->ops->read(manifest->file, out, size, offset);

    if (rc < 0)
        return varve_error_os(err, rc, name, offset, "read");
    memset(out + rc, 0, size - (size_t)rc); /* past the end of the file nothing was written */
    return VARVE_OK;
}

static enum varve_page_class classify(const struct varve_manifest *manifest, const uint8_t *page,
                                      uint32_t page_no, struct varve_page_trailer *ret_trailer)
{
    const struct varve_page_place place =
        varve_manifest_page_place(manifest->uuid, manifest->generation, page_no);
    return varve_page_classify(page, &place, ret_trailer);
}

/* A control page in `page`: its header, if everything about it holds. */
static bool control_of(struct varve_manifest *manifest, const uint8_t *page, uint32_t page_no,
                       uint16_t flag, struct varve_manifest_header *ret_header,
                       varve_status *ret_status)
{
    struct varve_page_trailer trailer;

    memcpy(manifest->uuid, page + 16, 16); /* as claimed; the checksum is seeded with it */
    if (classify(manifest, page, page_no, &trailer) != VARVE_PAGE_VALID || trailer.flags != flag)
        return false;
    const varve_status rc =
        varve_manifest_header_decode(varve_span_of(page, trailer.used), ret_header);
    if (rc == VARVE_EVERSION)
        *ret_status = rc;
    return rc == VARVE_OK && ret_header->generation == manifest->generation;
}

/* Find header and seals. A damaged header is made good by a seal. ECORRUPT: it is no sealed
 * generation. */
static varve_status find_header(struct varve_manifest *manifest, const char *name,
                                struct varve_manifest_header *ret_header, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_manifest_header header = {0}, seal = {0};
    varve_status status = VARVE_ECORRUPT;
    bool sealed = false;

    varve_status rc = read_pages(manifest, name, 0, 1, page, err);
    if (rc < 0)
        return rc;
    const bool headed = control_of(manifest, page, 0, VARVE_PAGE_HEADER, &header, &status);
    for (uint32_t p = 1; p < manifest->pages && !sealed; p++) {
        if (headed && p != header.snapshot_pages + 1 && p != 2 * header.snapshot_pages + 2)
            continue;
        rc = read_pages(manifest, name, p, 1, page, err);
        if (rc < 0)
            return rc;
        sealed = control_of(manifest, page, p, VARVE_PAGE_SEAL, &seal, &status);
    }
    if (!sealed)
        return varve_error_set(err, status, name, 0,
                               status == VARVE_EVERSION
                                   ? "the manifest was written by a newer version"
                                   : "the manifest's header and both of its seals are damaged");
    memcpy(manifest->uuid, seal.uuid, 16);
    manifest->repairs += headed ? 0 : 1;
    *ret_header = seal;
    return VARVE_OK;
}

/* Gather `size` bytes from the pages at `first`; false: some page is not VALID. */
static varve_status gather(struct varve_manifest *manifest, const char *name, uint32_t first,
                           uint64_t size, struct varve_buffer *out, bool *ret_valid,
                           varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];

    varve_buffer_clear(out);
    *ret_valid = false;
    for (uint32_t i = 0; i < pages_of(size); i++) {
        struct varve_page_trailer trailer;
        const uint64_t left = size - (uint64_t)i * VARVE_PAGE_PAYLOAD;
        const varve_status rc = read_pages(manifest, name, first + i, 1, page, err);
        if (rc < 0)
            return rc;
        if (classify(manifest, page, first + i, &trailer) != VARVE_PAGE_VALID ||
            trailer.used != (left < VARVE_PAGE_PAYLOAD ? left : VARVE_PAGE_PAYLOAD))
            return VARVE_OK;
        varve_write_bytes(out, page, trailer.used);
    }
    if (out->failed)
        return varve_error_nomem(err, "the manifest");
    *ret_valid = true;
    return VARVE_OK;
}

static varve_status read_snapshot(struct varve_manifest *manifest, const char *name,
                                  const struct varve_manifest_header *header, varve_error *err)
{
    struct varve_buffer bytes;
    bool valid = false;
    varve_status rc = VARVE_OK;

    varve_buffer_init(&bytes, manifest->heap);
    for (uint32_t copy = 0; copy < 2 && !valid && rc == VARVE_OK; copy++) {
        const uint32_t first = copy == 0 ? 1 : header->snapshot_pages + 2;
        rc = gather(manifest, name, first, header->snapshot_size, &bytes, &valid, err);
        valid = valid && varve_hash64(bytes.data, bytes.size, 0) == header->snapshot_hash;
        manifest->repairs += rc == VARVE_OK && !valid;
    }
    if (rc == VARVE_OK && !valid)
        rc = varve_error_set(err, VARVE_ECORRUPT, name, VARVE_PAGE_SIZE,
                             "both copies of the manifest's snapshot are damaged");
    struct varve_version *version = NULL;
    if (rc == VARVE_OK) {
        version = varve_version_new(manifest->heap);
        rc = version == NULL ? varve_error_nomem(err, "the manifest")
                             : varve_manifest_ops_apply(varve_buffer_span(&bytes), version, err);
    }
    varve_buffer_free(&bytes);
    if (rc < 0) {
        varve_version_unref(version);
        return rc;
    }
    version->number = header->version;
    manifest->version = version;
    manifest->next_page = 2 * header->snapshot_pages + 3;
    return VARVE_OK;
}

/* An edit whose first page is at `page_no`, if it is whole and is copy `copy` of the next one. */
static varve_status read_edit(struct varve_manifest *manifest, const char *name, uint32_t page_no,
                              uint32_t copy, struct varve_buffer *out, uint32_t *ret_pages,
                              bool *ret_valid, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer trailer;
    struct varve_manifest_edit edit;
    varve_status rc = read_pages(manifest, name, page_no, 1, page, err);

    *ret_valid = false;
    if (rc < 0)
        return rc;
    if (classify(manifest, page, page_no, &trailer) != VARVE_PAGE_VALID ||
        trailer.first_record != 0 ||
        varve_manifest_edit_decode(varve_span_of(page, trailer.used), &edit) < 0 ||
        edit.copy != copy || edit.version != manifest->version->number + 1)
        return VARVE_OK;
    const uint64_t size = (uint64_t)VARVE_MANIFEST_EDIT_SIZE + edit.size;
    if (pages_of(size) > manifest->pages - page_no)
        return VARVE_OK;
    rc = gather(manifest, name, page_no, size, out, ret_valid, err);
    if (rc == VARVE_OK && *ret_valid) {
        *ret_valid = varve_hash64(out->data + VARVE_MANIFEST_EDIT_SIZE, edit.size, 0) == edit.hash;
        *ret_pages = pages_of(size);
    }
    return rc;
}

static varve_status apply_bytes(struct varve_manifest *manifest, const struct varve_buffer *bytes,
                                varve_error *err)
{
    struct varve_version *version = varve_version_clone(manifest->version);

    if (version == NULL)
        return varve_error_nomem(err, "the manifest");
    const struct varve_span ops = varve_span_of(bytes->data + VARVE_MANIFEST_EDIT_SIZE,
                                                bytes->size - VARVE_MANIFEST_EDIT_SIZE);
    const varve_status rc = varve_manifest_ops_apply(ops, version, err);
    if (rc < 0) {
        varve_version_unref(version);
        return rc;
    }
    version->number++;
    varve_version_unref(manifest->version);
    manifest->version = version;
    return VARVE_OK;
}

/* One edit at next_page, from either copy. VARVE_END: there is none. */
static varve_status next_edit(struct varve_manifest *manifest, const char *name,
                              struct varve_buffer *bytes, varve_error *err)
{
    uint32_t pages = 0;
    bool valid = false;
    varve_status rc = read_edit(manifest, name, manifest->next_page, 1, bytes, &pages, &valid, err);

    for (uint32_t m = 1; rc == VARVE_OK && !valid && m <= manifest->pages - manifest->next_page &&
                         manifest->next_page + m < manifest->pages;
         m++) {
        rc = read_edit(manifest, name, manifest->next_page + m, 2, bytes, &pages, &valid, err);
        valid = valid && pages == m; /* it stands just behind the first copy */
        manifest->repairs += valid;
    }
    if (rc < 0)
        return rc;
    if (!valid)
        return VARVE_END;
    rc = apply_bytes(manifest, bytes, err);
    if (rc == VARVE_OK)
        manifest->next_page += 2 * pages;
    return rc;
}

/* What stands behind the last whole edit: nothing, an edit that was never acted upon, or damage. */
static varve_status check_tail(struct varve_manifest *manifest, const char *name, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];

    for (uint32_t p = manifest->next_page; p < manifest->pages; p++) {
        struct varve_page_trailer trailer;
        const varve_status rc = read_pages(manifest, name, p, 1, page, err);
        if (rc < 0)
            return rc;
        const enum varve_page_class class = classify(manifest, page, p, &trailer);
        struct varve_manifest_edit edit;
        const bool later =
            class == VARVE_PAGE_VALID && trailer.first_record == 0 &&
            varve_manifest_edit_decode(varve_span_of(page, trailer.used), &edit) == VARVE_OK &&
            edit.version > manifest->version->number + 1;
        if (class == VARVE_PAGE_ROT || later)
            return varve_error_set(err, VARVE_ECORRUPT, name, (uint64_t)p * VARVE_PAGE_SIZE,
                                   "an edit of the manifest is damaged in both copies");
    }
    return VARVE_OK;
}

static varve_status read_edits(struct varve_manifest *manifest, const char *name, varve_error *err)
{
    struct varve_buffer bytes;
    varve_status rc;

    varve_buffer_init(&bytes, manifest->heap);
    do
        rc = next_edit(manifest, name, &bytes, err);
    while (rc == VARVE_OK);
    varve_buffer_free(&bytes);
    if (rc != VARVE_END)
        return rc;
    /* A live writer's page may be half there: for a reader that is "not yet". */
    return manifest->read_only ? VARVE_OK : check_tail(manifest, name, err);
}

static varve_status read_generation(struct varve_manifest *manifest, uint64_t generation,
                                    varve_error *err)
{
    struct varve_manifest_header header = {0};
    struct varve_file_stat stat;
    char name[VARVE_FILE_NAME_MAX];
    const uint32_t flags = manifest->read_only ? VARVE_FILE_READ : VARVE_FILE_WRITE;

    name_of(generation, false, name);
    int rc = manifest->vfs->ops->open(manifest->vfs, name, flags, &manifest->file);
    if (rc < 0)
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, "open");
    rc = manifest->vfs->ops->stat(manifest->file, &stat);
    if (rc < 0)
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, "stat");
    if (stat.size > (uint64_t)UINT32_MAX * VARVE_PAGE_SIZE)
        return varve_error_set(err, VARVE_ECORRUPT, name, stat.size, "the manifest is too large");
    manifest->generation = generation;
    manifest->pages = (uint32_t)(stat.size / VARVE_PAGE_SIZE);
    varve_status status = find_header(manifest, name, &header, err);
    if (status == VARVE_OK && header.read_compatible != 0 && !manifest->read_only)
        status = varve_error_set(err, VARVE_EVERSION, name, 0,
                                 "the store was written by a newer version and can only be read");
    if (status == VARVE_OK)
        status = read_snapshot(manifest, name, &header, err);
    return status < 0 ? status : read_edits(manifest, name, err);
}

static void forget(struct varve_manifest *manifest)
{
    if (manifest->file != NULL)
        manifest->vfs->ops->close(manifest->file);
    manifest->file = NULL;
    varve_version_unref(manifest->version);
    manifest->version = NULL;
}

/* ------------------------------------------------------------------------------------ Interface */

static varve_status manifest_new(struct varve_vfs *vfs, struct varve_heap *heap, bool read_only,
                                 struct varve_manifest **ret, varve_error *err)
{
    struct varve_manifest *manifest = varve_alloc_zero(heap, 1, sizeof *manifest);

    if (manifest == NULL)
        return varve_error_nomem(err, "the manifest");
    manifest->vfs = vfs;
    manifest->heap = heap;
    manifest->read_only = read_only;
    *ret = manifest;
    return VARVE_OK;
}

varve_status varve_manifest_create(struct varve_vfs *vfs, struct varve_heap *heap,
                                   struct varve_manifest **ret_manifest, varve_error *err)
{
    struct varve_manifest *manifest = NULL;
    varve_status rc = manifest_new(vfs, heap, false, &manifest, err);

    if (rc < 0)
        return rc;
    manifest->version = varve_version_new(heap);
    if (manifest->version == NULL) {
        varve_manifest_close(manifest);
        return varve_error_nomem(err, "the manifest");
    }
    int random = vfs->ops->random(vfs, manifest->version->store_uuid, 16);
    if (random >= 0)
        random = vfs->ops->random(vfs, manifest->version->incarnation, 16);
    rc = random < 0 ? varve_error_os(err, random, NULL, VARVE_NO_OFFSET, "get random bytes")
                    : write_generation(manifest, 1, err);
    if (rc < 0) {
        varve_manifest_close(manifest);
        return rc;
    }
    *ret_manifest = manifest;
    return VARVE_OK;
}

static varve_status open_newest(struct varve_manifest *manifest, varve_error *err)
{
    for (int i = 0;; i++) {
        struct generation_list list = {0};
        const int listed = manifest->vfs->ops->list(manifest->vfs, note_generation, &list);
        if (listed < 0)
            return varve_error_os(err, listed, NULL, VARVE_NO_OFFSET, "list the directory");
        if (list.n == 0)
            return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                                   "there is no manifest in the directory");
        const varve_status rc = read_generation(manifest, list.items[0], err);
        if (rc == VARVE_OK || !manifest->read_only || i == OPEN_TRIES)
            return rc;
        forget(manifest); /* it may have been replaced while we looked */
    }
}

varve_status varve_manifest_open(struct varve_vfs *vfs, struct varve_heap *heap, bool read_only,
                                 struct varve_manifest **ret_manifest, varve_error *err)
{
    struct varve_manifest *manifest = NULL;
    varve_status rc = manifest_new(vfs, heap, read_only, &manifest, err);

    if (rc < 0)
        return rc;
    rc = open_newest(manifest, err);
    if (rc < 0) {
        varve_manifest_close(manifest);
        return rc;
    }
    *ret_manifest = manifest;
    return VARVE_OK;
}

varve_status varve_manifest_refresh(struct varve_manifest *manifest, bool *ret_changed,
                                    varve_error *err)
{
    struct generation_list list = {0};
    const uint64_t before = manifest->version->number;
    char name[VARVE_FILE_NAME_MAX];

    name_of(manifest->generation, false, name);
    varve_status rc = read_edits(manifest, name, err);
    if (rc < 0)
        return rc;
    const int listed = manifest->vfs->ops->list(manifest->vfs, note_generation, &list);
    if (listed < 0)
        return varve_error_os(err, listed, NULL, VARVE_NO_OFFSET, "list the directory");
    if (list.n > 0 && list.items[0] > manifest->generation) {
        forget(manifest);
        rc = open_newest(manifest, err);
        if (rc < 0)
            return rc;
    }
    *ret_changed = manifest->version->number != before;
    return VARVE_OK;
}

void varve_manifest_close(struct varve_manifest *manifest)
{
    if (manifest == NULL)
        return;
    forget(manifest);
    varve_free(manifest->heap, manifest, sizeof *manifest);
}

struct varve_version *varve_manifest_version(const struct varve_manifest *manifest)
{
    return varve_version_ref(manifest->version);
}

/* Write the edit's pages twice and sync them. */
static varve_status write_edit(struct varve_manifest *manifest, struct varve_buffer *bytes,
                               uint32_t m, varve_error *err)
{
    struct page_run run = {
        .n = 2 * m, .generation = manifest->generation, .first_page = manifest->next_page};
    const size_t size = (size_t)run.n * VARVE_PAGE_SIZE;
    const uint64_t offset = (uint64_t)manifest->next_page * VARVE_PAGE_SIZE;
    varve_error detail = {0};
    char name[VARVE_FILE_NAME_MAX];

    memcpy(run.uuid, manifest->uuid, sizeof run.uuid);
    run.pages = varve_alloc_zero(manifest->heap, run.n, VARVE_PAGE_SIZE);
    if (run.pages == NULL)
        return varve_error_nomem(err, "an edit of the manifest");
    for (uint32_t copy = 1; copy <= 2; copy++) {
        varve_put_u32(bytes->data + 4, copy);
        lay_out(&run, (copy - 1) * m, varve_buffer_span(bytes), true, 0);
    }
    int64_t rc = manifest->vfs->ops->write(manifest->file, run.pages, size, offset);
    const char *what = "write";
    if (rc >= 0) {
        rc = manifest->vfs->ops->sync(manifest->file);
        what = "sync";
    }
    varve_free(manifest->heap, run.pages, size);
    if (rc < 0) { /* what of it is on the disk is unknown */
        name_of(manifest->generation, false, name);
        (void)varve_error_os(&detail, rc, name, offset, what);
        detail.status = VARVE_EIO_SYNC;
        return fail(manifest, &detail, err);
    }
    manifest->bytes += size;
    manifest->next_page += run.n;
    return VARVE_OK;
}

static varve_status apply(struct varve_manifest *manifest, const struct varve_edit *edit,
                          struct varve_buffer *bytes, varve_error *err)
{
    varve_write_zeros(bytes, VARVE_MANIFEST_EDIT_SIZE);
    varve_manifest_ops_of_edit(edit, bytes);
    if (bytes->failed)
        return varve_error_nomem(err, "an edit of the manifest");
    const size_t size = bytes->size - VARVE_MANIFEST_EDIT_SIZE;
    if (size == 0 || size > VARVE_MANIFEST_EDIT_MAX)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "an edit of the manifest is empty or too large");
    struct varve_version *before = varve_version_ref(manifest->version);
    varve_status rc = apply_bytes(manifest, bytes, err);
    if (rc == VARVE_ECORRUPT)
        rc = VARVE_EINVAL; /* the edit contradicts the state: the caller's doing */
    struct varve_version *after = rc < 0 ? NULL : manifest->version;
    if (after != NULL)
        manifest->version = before; /* until it is durable */
    else
        varve_version_unref(before);
    if (rc < 0)
        return rc;
    const uint32_t m = pages_of(bytes->size);
    if (2 * m > manifest->pages - manifest->next_page) {
        /* No room: the new state goes into a new generation as it is. */
        manifest->version = after;
        rc = write_generation(manifest, manifest->generation + 1, err);
        manifest->version = before;
        if (rc == VARVE_OK)
            collect(manifest);
    } else {
        const struct varve_manifest_edit head = {
            .size = (uint32_t)size,
            .copy = 1,
            .version = after->number,
            .hash = varve_hash64(bytes->data + VARVE_MANIFEST_EDIT_SIZE, size, 0)};
        varve_manifest_edit_encode(&head, bytes->data);
        rc = write_edit(manifest, bytes, m, err);
    }
    if (rc == VARVE_OK)
        manifest->version = after;
    varve_version_unref(rc == VARVE_OK ? before : after);
    return rc;
}

varve_status varve_manifest_apply(struct varve_manifest *manifest, const struct varve_edit *edit,
                                  varve_error *err)
{
    struct varve_buffer bytes;

    if (manifest->failure.status < 0)
        return varve_error_copy(err, &manifest->failure, manifest->failure.status);
    if (manifest->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the manifest is open read-only");
    varve_buffer_init(&bytes, manifest->heap);
    const varve_status rc = apply(manifest, edit, &bytes, err);
    varve_buffer_free(&bytes);
    return rc;
}

uint64_t varve_manifest_bytes(const struct varve_manifest *manifest)
{
    return manifest->bytes;
}

uint64_t varve_manifest_generation(const struct varve_manifest *manifest)
{
    return manifest->generation;
}
