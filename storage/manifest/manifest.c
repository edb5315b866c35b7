/*
 * manifest.c - generations written, opened, extended and replaced (bytes: manifest_format.h).
 *
 * A generation's file is written with room for edits, zeroed and synced, so that an edit overwrites
 * zeros and a page of it is old, new or visibly torn after a crash. When the room is used up the
 * next edit starts a new generation, and so does the first one after an open: what stood at the end
 * of the old file may be torn, or be seen only in the page cache, and is never written upon. Each
 * edit stands twice; one damaged page is made good by the other copy, and so is one that the disk does
 * not give back. But no end is seen in such a page, and no loss: it may be sound when it is read again.
 */
#include "storage/manifest/manifest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/manifest/manifest_int.h"

#define ROOM_PAGES_MIN 64u /* for edits, in a new generation */
#define CHUNK_PAGES 64u    /* of a generation, written at a time */
#define OPEN_TRIES 16      /* of a reader, while generations are being replaced */
#define READ_TRIES 3       /* of a page, before it counts as unreadable */

static void name_of(uint64_t generation, bool temporary, char *out)
{
    varve_file_name_manifest(generation, out);
    if (temporary)
        memcpy(out + strlen(out), ".tmp", 5);
}

/* An error in the file's content says where, also when it was found among decoded bytes. */
static varve_status locate(varve_status rc, const char *name, uint32_t page_no, varve_error *err)
{
    if ((rc == VARVE_ECORRUPT || rc == VARVE_EVERSION) && err != NULL && err->file[0] == '\0') {
        (void)snprintf(err->file, sizeof err->file, "%s", name);
        err->offset = (uint64_t)page_no * VARVE_PAGE_SIZE;
    }
    return rc;
}

/* What is on the disk is unknown from now on: this error is the last word (N2). `err` is not NULL. */
static varve_status leave_in_doubt(struct varve_manifest *manifest, const varve_error *err)
{
    manifest->failure = *err;
    return err->status;
}

/* -------------------------------------------------------------------------- Writing a generation */

/* Write piece `i` of `bytes` into `page`, which is page `page_no` of the file. */
static void put_page(uint8_t *page, const uint8_t uuid[16], uint64_t generation, uint32_t page_no,
                     struct varve_span bytes, uint32_t i, uint16_t flags, uint16_t first_record)
{
    const size_t offset = (size_t)i * VARVE_PAGE_PAYLOAD;
    const size_t left = bytes.size - offset;
    const size_t used = left < VARVE_PAGE_PAYLOAD ? left : VARVE_PAGE_PAYLOAD;
    const struct varve_page_place place = varve_manifest_page_place(uuid, generation, page_no);
    const struct varve_page_trailer trailer = {
        .used = (uint16_t)used, .flags = flags, .first_record = first_record};

    memcpy(page, bytes.data + offset, used);
    (void)varve_page_encode(page, &place, &trailer);
}

struct image { /* of a generation on its way to the disk */
    struct varve_manifest_header header;
    uint8_t control[VARVE_MANIFEST_HEADER_SIZE];
    struct varve_buffer snapshot;
};

static void put_image_page(const struct image *image, uint32_t p, uint8_t *page)
{
    const struct varve_manifest_header *h = &image->header;
    const struct varve_span head = varve_span_of(image->control, sizeof image->control);
    const struct varve_span snapshot = varve_buffer_span(&image->snapshot);
    const uint32_t n = h->snapshot_pages;

    if (p == 0)
        put_page(page, h->uuid, h->generation, p, head, 0, VARVE_PAGE_HEADER, VARVE_PAGE_NO_RECORD);
    else if (p == n + 1 || p == 2 * n + 2)
        put_page(page, h->uuid, h->generation, p, head, 0, VARVE_PAGE_SEAL, VARVE_PAGE_NO_RECORD);
    else if (p < 2 * n + 2)
        put_page(page, h->uuid, h->generation, p, snapshot, p <= n ? p - 1 : p - n - 2, 0,
                 VARVE_PAGE_NO_RECORD);
    else
        memset(page, 0, VARVE_PAGE_SIZE); /* room for edits */
}

static varve_status compose(struct varve_manifest *manifest, uint64_t generation,
                            struct image *image, varve_error *err)
{
    struct varve_manifest_header *header = &image->header;

    *header = (struct varve_manifest_header){.generation = generation,
                                             .version = manifest->version->number};
    const varve_status rc = varve_manifest_snapshot_encode(
        manifest->version, VARVE_MANIFEST_SNAPSHOT_MAX, &image->snapshot, err);
    if (rc < 0)
        return rc;
    const uint64_t size = image->snapshot.size;
    const int random = manifest->vfs->ops->random(manifest->vfs, header->uuid, 16);
    if (random < 0)
        return varve_error_os(err, random, NULL, VARVE_NO_OFFSET, "get random bytes");
    const uint32_t n = varve_manifest_pages_of(size);
    memcpy(header->store_uuid, manifest->version->store_uuid, 16);
    header->snapshot_pages = n;
    header->snapshot_size = size;
    header->snapshot_hash = varve_hash64(image->snapshot.data, size, 0);
    header->file_pages = 2 * n + 3 + (2 * n > ROOM_PAGES_MIN ? 2 * n : ROOM_PAGES_MIN);
    varve_manifest_header_encode(header, image->control);
    return VARVE_OK;
}

static int64_t write_image(struct varve_file *file, const struct varve_vfs_ops *ops,
                           const struct image *image, uint8_t *chunk)
{
    for (uint32_t first = 0; first < image->header.file_pages; first += CHUNK_PAGES) {
        const uint32_t left = image->header.file_pages - first;
        const uint32_t n = left < CHUNK_PAGES ? left : CHUNK_PAGES;
        for (uint32_t i = 0; i < n; i++)
            put_image_page(image, first + i, chunk + (size_t)i * VARVE_PAGE_SIZE);
        const int64_t rc =
            ops->write(file, chunk, (size_t)n * VARVE_PAGE_SIZE, (uint64_t)first * VARVE_PAGE_SIZE);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool is_shortage(varve_status status)
{
    return status == VARVE_ENOSPC || status == VARVE_ENOMEM;
}

/* Write and sync the file under its temporary name. `err` is not NULL. */
static varve_status write_temporary(struct varve_manifest *manifest, const struct image *image,
                                    const char *name, struct varve_file **ret_file,
                                    varve_error *err)
{
    const struct varve_vfs_ops *ops = manifest->vfs->ops;
    struct varve_file *file = NULL;
    uint8_t *chunk = varve_alloc(manifest->heap, (size_t)CHUNK_PAGES * VARVE_PAGE_SIZE);
    const char *what = "create";

    if (chunk == NULL)
        return varve_error_nomem(err, "a generation of the manifest");
    (void)ops->unlink(manifest->vfs, name); /* what an earlier attempt left */
    int64_t rc = ops->open(manifest->vfs, name, VARVE_FILE_WRITE | VARVE_FILE_CREATE, &file);
    if (rc >= 0) {
        what = "write";
        rc = write_image(file, ops, image, chunk);
    }
    if (rc >= 0) {
        what = "sync";
        rc = ops->sync(file);
    }
    varve_free(manifest->heap, chunk, (size_t)CHUNK_PAGES * VARVE_PAGE_SIZE);
    if (rc < 0) {
        const varve_status status = varve_error_os(err, rc, name, VARVE_NO_OFFSET, what);
        if (file == NULL)
            return status;
        ops->close(file);
        (void)ops->unlink(manifest->vfs, name);
        /* A disk that fails otherwise is not written to again. */
        return is_shortage(status) ? status : leave_in_doubt(manifest, err);
    }
    manifest->bytes += (uint64_t)image->header.file_pages * VARVE_PAGE_SIZE;
    *ret_file = file;
    return VARVE_OK;
}

/* Give the finished file its name. ENOSPC: it still has the old one, and nothing has changed. `err` is not
 * NULL. */
static varve_status put_in_place(struct varve_manifest *manifest, const char *temporary,
                                 const char *name, varve_error *err)
{
    const struct varve_vfs_ops *ops = manifest->vfs->ops;
    int rc = ops->rename(manifest->vfs, temporary, name);

    if (rc < 0) {
        const varve_status status = varve_error_os(err, rc, name, VARVE_NO_OFFSET, "rename to");
        if (!is_shortage(status))
            return leave_in_doubt(manifest, err);
        (void)ops->unlink(manifest->vfs, temporary);
        return status;
    }
    rc = ops->sync_dir(manifest->vfs);
    if (rc >= 0)
        return VARVE_OK;
    /* Which generation the next open finds is unknown: write to neither, whatever the reason. */
    (void)varve_error_sync_dir(err, rc, name);
    return leave_in_doubt(manifest, err);
}

/* `err` is not NULL. */
static varve_status write_generation(struct varve_manifest *manifest, uint64_t generation,
                                     varve_error *err)
{
    char temporary[VARVE_FILE_NAME_MAX], name[VARVE_FILE_NAME_MAX];
    struct image image;
    struct varve_file *file = NULL;

    name_of(generation, true, temporary);
    name_of(generation, false, name);
    varve_buffer_init(&image.snapshot, manifest->heap);
    varve_status rc = compose(manifest, generation, &image, err);
    if (rc == VARVE_OK)
        rc = write_temporary(manifest, &image, temporary, &file, err);
    varve_buffer_free(&image.snapshot);
    if (rc == VARVE_OK)
        rc = put_in_place(manifest, temporary, name, err);
    if (rc < 0) {
        manifest->vfs->ops->close(file);
        return rc;
    }
    manifest->vfs->ops->close(manifest->file);
    manifest->file = file;
    manifest->generation = generation;
    memcpy(manifest->uuid, image.header.uuid, sizeof manifest->uuid);
    manifest->pages = image.header.file_pages;
    manifest->next_page = 2 * image.header.snapshot_pages + 3;
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

/* Why nothing may be written. */
static varve_status check_writable(const struct varve_manifest *manifest, varve_error *err)
{
    if (manifest->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the manifest is open read-only");
    if (manifest->failure.status < 0)
        return varve_error_copy(err, &manifest->failure, manifest->failure.status);
    return VARVE_OK;
}

varve_status varve_manifest_switch(struct varve_manifest *manifest, varve_error *err)
{
    varve_error detail = {0};
    varve_status rc = check_writable(manifest, err);

    if (rc < 0)
        return rc;
    rc = write_generation(manifest, manifest->generation + 1, &detail);
    if (rc < 0)
        return varve_error_copy(err, &detail, rc);
    collect(manifest);
    return VARVE_OK;
}

/* ---------------------------------------------------------------------------------- Reading */

varve_status varve_manifest_read_page(struct varve_manifest *manifest, const char *name,
                                      uint32_t page_no, uint8_t *out, varve_error *err)
{
    const uint64_t offset = (uint64_t)page_no * VARVE_PAGE_SIZE;
    int64_t rc = -1;

    for (int i = 0; i < READ_TRIES; i++) {
        rc = manifest->vfs->ops->read(manifest->file, out, VARVE_PAGE_SIZE, offset);
        if (!varve_os_is_unreadable(rc))
            break;
    }
    if (varve_os_is_unreadable(rc)) {
        memset(out, 0xff, VARVE_PAGE_SIZE); /* no page has that number, so this one is ROT */
        manifest->unread = (struct varve_manifest_unread){.page_no = page_no, .os = rc};
        return VARVE_OK;
    }
    if (rc < 0)
        return varve_error_os(err, rc, name, offset, "read");
    memset(out + rc, 0,
           VARVE_PAGE_SIZE - (size_t)rc); /* past the end of the file there is nothing */
    return VARVE_OK;
}

varve_status varve_manifest_unread_error(const struct varve_manifest *manifest, const char *name,
                                         varve_error *err)
{
    return varve_error_os(err, manifest->unread.os, name,
                          (uint64_t)manifest->unread.page_no * VARVE_PAGE_SIZE, "read");
}

/* What was read does not suffice from page `page_no` on. That is damage if all of it was read; if not,
 * it is not decided yet, and only what was not read can be told. */
static varve_status insufficient(const struct varve_manifest *manifest, const char *name,
                                 uint32_t page_no, const char *what, varve_error *err)
{
    if (manifest->unread.os < 0)
        return varve_manifest_unread_error(manifest, name, err);
    return varve_error_set(err, VARVE_ECORRUPT, name, (uint64_t)page_no * VARVE_PAGE_SIZE, "%s",
                           what);
}

enum varve_page_class varve_manifest_classify(const struct varve_manifest *manifest,
                                              const uint8_t *page, uint32_t page_no,
                                              struct varve_page_trailer *ret_trailer)
{
    const struct varve_page_place place =
        varve_manifest_page_place(manifest->uuid, manifest->generation, page_no);
    const enum varve_page_class class = varve_page_classify(page, &place, ret_trailer);

    if (class == VARVE_PAGE_VALID &&
        (ret_trailer->durable_lsn | ret_trailer->commit_lsn | ret_trailer->first_lsn) != 0)
        return VARVE_PAGE_ROT; /* positions are the log's */
    return class;
}

/* A control page in `page`: its header, if everything about it holds. */
static bool control_of(struct varve_manifest *manifest, const uint8_t *page, uint32_t page_no,
                       uint16_t flag, struct varve_manifest_header *ret_header,
                       varve_status *ret_status)
{
    struct varve_page_trailer trailer;

    memcpy(manifest->uuid, page + 16, 16); /* as claimed; the checksum is seeded with it */
    if (varve_manifest_classify(manifest, page, page_no, &trailer) != VARVE_PAGE_VALID ||
        trailer.flags != flag)
        return false;
    const varve_status rc =
        varve_manifest_header_decode(varve_span_of(page, trailer.used), ret_header);
    if (rc == VARVE_EVERSION)
        *ret_status = rc;
    return rc == VARVE_OK && ret_header->generation == manifest->generation;
}

#define CONTROLS_MAX 4u /* a header and two seals; what else there is, does not belong there */

struct controls { /* control pages that are sound in themselves, though perhaps another file's */
    struct varve_manifest_header items[CONTROLS_MAX];
    bool is_seal[CONTROLS_MAX];
    uint32_t n;
    varve_status status; /* EVERSION: one was of a newer version */
};

/* Note page `p` if it is a header or a seal. */
static varve_status note_control(struct varve_manifest *manifest, const char *name, uint32_t p,
                                 struct controls *controls, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_manifest_header *h = &controls->items[controls->n];

    if (p >= manifest->pages || controls->n == CONTROLS_MAX)
        return VARVE_OK;
    const varve_status rc = varve_manifest_read_page(manifest, name, p, page, err);
    if (rc < 0)
        return rc;
    const uint16_t flag = p == 0 ? VARVE_PAGE_HEADER : VARVE_PAGE_SEAL;
    if (!control_of(manifest, page, p, flag, h, &controls->status))
        return VARVE_OK;
    if (p != 0 && p != h->snapshot_pages + 1 && p != 2 * h->snapshot_pages + 2)
        return VARVE_OK;
    controls->is_seal[controls->n++] = p != 0;
    return VARVE_OK;
}

static uint32_t votes_for(const struct controls *controls, const uint8_t uuid[16])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < controls->n; i++)
        n += memcmp(controls->items[i].uuid, uuid, 16) == 0;
    return n;
}

/* Header and seals: where the header says, or if they are not all there, wherever they are. */
static varve_status find_controls(struct varve_manifest *manifest, const char *name,
                                  struct controls *controls, varve_error *err)
{
    varve_status rc = note_control(manifest, name, 0, controls, err);
    const uint32_t headed = controls->n, n = controls->items[0].snapshot_pages;

    if (rc == VARVE_OK && headed != 0)
        rc = note_control(manifest, name, n + 1, controls, err);
    if (rc == VARVE_OK && headed != 0)
        rc = note_control(manifest, name, 2 * n + 2, controls, err);
    if (rc < 0 || votes_for(controls, controls->items[0].uuid) == 3)
        return rc;
    controls->n = headed;
    for (uint32_t p = 1; rc == VARVE_OK && p < manifest->pages; p++)
        rc = note_control(manifest, name, p, controls, err);
    return rc;
}

/* Find the seal that most of the control pages agree with, so that any one of them may be damaged,
 * or another file's. ECORRUPT: it is no sealed generation, or not all of it. A seal that stands alone
 * beside pages that were not read could be the other file's: until its snapshot proves it they count. */
static varve_status find_header(struct varve_manifest *manifest, const char *name,
                                struct varve_manifest_header *ret_header, varve_error *err)
{
    struct controls controls = {.status = VARVE_ECORRUPT};
    uint32_t most = 0;
    const varve_status rc = find_controls(manifest, name, &controls, err);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < controls.n; i++) {
        const uint32_t votes = votes_for(&controls, controls.items[i].uuid);
        if (!controls.is_seal[i] || votes <= most)
            continue;
        most = votes;
        *ret_header = controls.items[i];
    }
    if (most == 0 && controls.status == VARVE_EVERSION)
        return varve_error_set(err, VARVE_EVERSION, name, 0,
                               "the manifest was written by a newer version");
    if (most == 0)
        return insufficient(manifest, name, 0, "both seals of the manifest are damaged", err);
    if (most > 1)
        varve_manifest_forget_unread(manifest);
    const uint32_t pages = ret_header->file_pages;
    if (pages != manifest->pages) {
        char what[96];
        (void)snprintf(what, sizeof what, "the manifest has %u pages instead of %u",
                       manifest->pages, pages);
        return insufficient(manifest, name, pages < manifest->pages ? pages : manifest->pages, what,
                            err);
    }
    memcpy(manifest->uuid, ret_header->uuid, 16);
    manifest->repairs += most < 3;
    manifest->header = *ret_header;
    return VARVE_OK;
}

/* Gather `size` bytes from the pages at `first`; false: some page is not as it was written.
 * `record`: what the first page says of records. */
varve_status varve_manifest_gather(struct varve_manifest *manifest, const char *name,
                                   uint32_t first, uint64_t size, uint16_t record,
                                   struct varve_buffer *out, bool *ret_valid, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];

    varve_buffer_clear(out);
    *ret_valid = false;
    for (uint32_t i = 0; i < varve_manifest_pages_of(size); i++) {
        struct varve_page_trailer trailer;
        const uint64_t left = size - (uint64_t)i * VARVE_PAGE_PAYLOAD;
        const varve_status rc = varve_manifest_read_page(manifest, name, first + i, page, err);
        if (rc < 0)
            return rc;
        if (varve_manifest_classify(manifest, page, first + i, &trailer) != VARVE_PAGE_VALID ||
            trailer.used != (left < VARVE_PAGE_PAYLOAD ? left : VARVE_PAGE_PAYLOAD) ||
            trailer.flags != 0 || trailer.first_record != (i == 0 ? record : VARVE_PAGE_NO_RECORD))
            return VARVE_OK;
        varve_write_bytes(out, page, trailer.used);
    }
    if (out->failed)
        return varve_error_nomem(err, "the manifest");
    *ret_valid = true;
    return VARVE_OK;
}

/* The state that a snapshot's bytes describe. */
static varve_status load_snapshot(struct varve_manifest *manifest, const char *name,
                                  const struct varve_manifest_header *header,
                                  struct varve_span bytes, varve_error *err)
{
    struct varve_version *version = varve_version_new(manifest->heap);

    if (version == NULL)
        return varve_error_nomem(err, "the manifest");
    varve_status rc = varve_manifest_ops_apply(bytes, version, err);
    if (rc == VARVE_OK && memcmp(version->store_uuid, header->store_uuid, 16) != 0)
        rc = varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                             "the manifest's snapshot is another store's");
    if (rc < 0) {
        varve_version_unref(version);
        return locate(rc, name, 1, err);
    }
    version->number = header->version;
    manifest->version = version;
    manifest->next_page = 2 * header->snapshot_pages + 3;
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
        rc = varve_manifest_gather(manifest, name, first, header->snapshot_size,
                                   VARVE_PAGE_NO_RECORD, &bytes, &valid, err);
        valid = valid && varve_hash64(bytes.data, bytes.size, 0) == header->snapshot_hash;
        manifest->repairs += rc == VARVE_OK && !valid;
    }
    if (rc == VARVE_OK && !valid)
        rc = insufficient(manifest, name, 1, "both copies of the manifest's snapshot are damaged",
                          err);
    if (rc == VARVE_OK)
        rc = load_snapshot(manifest, name, header, varve_buffer_span(&bytes), err);
    varve_buffer_free(&bytes);
    return rc;
}

/*
 * An edit of which copy `copy` begins at `page_no`, behind the `m` pages of the first copy. *ret_pages
 * is its size if such a copy begins there, else 0; *ret_valid says whether it is whole.
 */
static varve_status read_edit(struct varve_manifest *manifest, const char *name, uint32_t page_no,
                              uint32_t m, struct varve_buffer *out, uint32_t *ret_pages,
                              bool *ret_valid, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer trailer;
    struct varve_manifest_edit edit;
    varve_status rc = varve_manifest_read_page(manifest, name, page_no, page, err);

    *ret_valid = false;
    *ret_pages = 0;
    if (rc < 0)
        return rc;
    if (varve_manifest_classify(manifest, page, page_no, &trailer) != VARVE_PAGE_VALID ||
        trailer.first_record != 0 ||
        varve_manifest_edit_decode(varve_span_of(page, trailer.used), &edit) < 0 ||
        edit.copy != (m == 0 ? 1 : 2) || edit.version != manifest->version->number + 1)
        return VARVE_OK;
    const uint64_t size = (uint64_t)VARVE_MANIFEST_EDIT_SIZE + edit.size;
    const uint32_t n = varve_manifest_pages_of(size);
    if ((m != 0 && n != m) || (uint64_t)manifest->next_page + 2 * n > manifest->pages)
        return VARVE_OK;
    *ret_pages = n;
    rc = varve_manifest_gather(manifest, name, page_no, size, 0, out, ret_valid, err);
    if (rc == VARVE_OK && *ret_valid)
        *ret_valid = varve_hash64(out->data + VARVE_MANIFEST_EDIT_SIZE, edit.size, 0) == edit.hash;
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

/* One edit at next_page, from either copy. VARVE_END: there is none, among the pages that were read. */
static varve_status next_edit(struct varve_manifest *manifest, const char *name,
                              struct varve_buffer *bytes, varve_error *err)
{
    const uint32_t at = manifest->next_page;
    uint32_t pages = 0;
    bool valid = false;

    varve_manifest_forget_unread(manifest);
    if (at >= manifest->pages)
        return VARVE_END;
    varve_status rc = read_edit(manifest, name, at, 0, bytes, &pages, &valid, err);
    /* The second copy stands just behind the first; how far that is, it says itself. */
    uint32_t m = valid || pages == 0 ? 1 : pages;
    pages = valid ? pages : 0;
    for (; rc == VARVE_OK && !valid && pages == 0 && m < manifest->pages - at; m++) {
        rc = read_edit(manifest, name, at + m, m, bytes, &pages, &valid, err);
        manifest->repairs += rc == VARVE_OK && valid;
    }
    if (rc < 0)
        return rc;
    if (!valid)
        return VARVE_END;
    rc = apply_bytes(manifest, bytes, err);
    if (rc == VARVE_OK)
        manifest->next_page += 2 * pages;
    return locate(rc, name, at, err);
}

/* Whether page `p` behind the last whole edit is what a write of the next edit may have left: torn
 * or not there yet, or a part of it. A reader beside a live writer may see any bytes in between. */
static bool is_unfinished(struct varve_manifest *manifest, const uint8_t *page, uint32_t p)
{
    struct varve_page_trailer trailer;
    struct varve_manifest_edit edit;
    const enum varve_page_class class = varve_manifest_classify(manifest, page, p, &trailer);

    if (class != VARVE_PAGE_VALID)
        return class != VARVE_PAGE_ROT || manifest->read_only;
    if (trailer.flags != 0)
        return false;
    return trailer.first_record == VARVE_PAGE_NO_RECORD ||
           (varve_manifest_edit_decode(varve_span_of(page, trailer.used), &edit) == VARVE_OK &&
            edit.version == manifest->version->number + 1);
}

/*
 * What stands behind the last whole edit: nothing, an edit that was never acted upon, or damage. A page
 * there that was not read may hold the next edit, or a part of its only whole copy, wherever it stands: so
 * nothing ends here, for a reader neither. The same holds of a page that next_edit() could not read, though
 * it can be read now: there may be an edit in it.
 */
static varve_status check_tail(struct varve_manifest *manifest, const char *name, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];

    for (uint32_t p = manifest->next_page; p < manifest->pages; p++) {
        const varve_status rc = varve_manifest_read_page(manifest, name, p, page, err);
        if (rc < 0)
            return rc;
        if (manifest->unread.os < 0)
            return varve_manifest_unread_error(manifest, name, err);
        if (!is_unfinished(manifest, page, p))
            return varve_error_set(err, VARVE_ECORRUPT, name, (uint64_t)p * VARVE_PAGE_SIZE,
                                   "an edit of the manifest is damaged in both copies");
    }
    return VARVE_OK;
}

/* Every edit from next_page on. Beside a live writer, edits may have come between the last look for
 * one and the look at what is behind it: then there is another to be had. */
static varve_status read_edits(struct varve_manifest *manifest, const char *name, varve_error *err)
{
    struct varve_buffer bytes;
    varve_status rc;
    int idle = 0; /* looks that found damage and no edit */

    varve_buffer_init(&bytes, manifest->heap);
    do {
        const uint64_t before = manifest->version->number;
        do
            rc = next_edit(manifest, name, &bytes, err);
        while (rc == VARVE_OK);
        if (rc == VARVE_END)
            rc = check_tail(manifest, name, err);
        idle = manifest->version->number == before ? idle + 1 : 0;
    } while (rc == VARVE_ECORRUPT && manifest->read_only && idle < 2);
    varve_buffer_free(&bytes);
    return rc;
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
    if (stat.size > (uint64_t)VARVE_MANIFEST_PAGES_MAX * VARVE_PAGE_SIZE ||
        stat.size % VARVE_PAGE_SIZE != 0)
        return varve_error_set(err, VARVE_ECORRUPT, name, stat.size,
                               "the size of the manifest is not one that it can have");
    manifest->generation = generation;
    manifest->pages = (uint32_t)(stat.size / VARVE_PAGE_SIZE);
    varve_manifest_forget_unread(manifest);
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
    varve_error detail = {0};
    rc = random < 0 ? varve_error_os(&detail, random, NULL, VARVE_NO_OFFSET, "get random bytes")
                    : write_generation(manifest, 1, &detail);
    if (rc < 0) {
        varve_manifest_close(manifest);
        return varve_error_copy(err, &detail, rc);
    }
    *ret_manifest = manifest;
    return VARVE_OK;
}

static varve_status open_newest(struct varve_manifest *manifest, varve_error *err)
{
    varve_error detail = {0};
    varve_status rc = VARVE_OK;
    uint64_t tried = 0;

    for (int i = 0; i < OPEN_TRIES; i++) {
        struct generation_list list = {0};
        const int listed = manifest->vfs->ops->list(manifest->vfs, note_generation, &list);
        if (listed < 0)
            return varve_error_os(err, listed, NULL, VARVE_NO_OFFSET, "list the directory");
        if (list.n == 0)
            return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                                   "there is no manifest in the directory");
        if (rc < 0 && list.items[0] == tried)
            break;
        /* Beside a live writer, the generation may have been replaced while we looked. */
        forget(manifest);
        tried = list.items[0];
        rc = read_generation(manifest, tried, &detail);
        if (rc == VARVE_OK || !manifest->read_only)
            break;
    }
    return rc < 0 ? varve_error_copy(err, &detail, rc) : VARVE_OK;
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
    if (!read_only) /* what the end of the file looks like may be the page cache's word only */
        manifest->next_page = manifest->pages;
    manifest->seen_generation = manifest->generation;
    manifest->seen_number = manifest->version->number;
    *ret_manifest = manifest;
    return VARVE_OK;
}

/* Take over what `newer` has read, and end it. */
static void adopt(struct varve_manifest *manifest, struct varve_manifest *newer)
{
    const struct varve_manifest old = *manifest;

    *manifest = *newer;
    manifest->bytes = old.bytes;
    manifest->repairs += old.repairs;
    manifest->seen_generation = old.seen_generation;
    manifest->seen_number = old.seen_number;
    *newer = old;
    varve_manifest_close(newer);
}

varve_status varve_manifest_refresh(struct varve_manifest *manifest, bool *ret_changed,
                                    varve_error *err)
{
    struct generation_list list = {0};
    struct varve_manifest *newer = NULL;
    char name[VARVE_FILE_NAME_MAX];

    assert(manifest->read_only);
    name_of(manifest->generation, false, name);
    varve_status rc = read_edits(manifest, name, err);
    if (rc < 0)
        return rc;
    const int listed = manifest->vfs->ops->list(manifest->vfs, note_generation, &list);
    if (listed < 0)
        return varve_error_os(err, listed, NULL, VARVE_NO_OFFSET, "list the directory");
    if (list.n > 0 && list.items[0] > manifest->generation) {
        rc = varve_manifest_open(manifest->vfs, manifest->heap, true, &newer, err);
        if (rc < 0)
            return rc;
        adopt(manifest, newer);
    }
    *ret_changed = manifest->generation != manifest->seen_generation ||
                   manifest->version->number != manifest->seen_number;
    manifest->seen_generation = manifest->generation;
    manifest->seen_number = manifest->version->number;
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

/* Write the edit's pages twice and sync them. `err` is not NULL. */
static varve_status write_edit(struct varve_manifest *manifest, struct varve_buffer *bytes,
                               varve_error *err)
{
    const uint32_t m = varve_manifest_pages_of(bytes->size);
    const size_t size = (size_t)2 * m * VARVE_PAGE_SIZE;
    const uint64_t offset = (uint64_t)manifest->next_page * VARVE_PAGE_SIZE;
    char name[VARVE_FILE_NAME_MAX];
    uint8_t *pages = varve_alloc(manifest->heap, size);

    if (pages == NULL)
        return varve_error_nomem(err, "an edit of the manifest");
    for (uint32_t i = 0; i < 2 * m; i++) {
        if (i % m == 0)
            varve_put_u32(bytes->data + 4, i / m + 1);
        put_page(pages + (size_t)i * VARVE_PAGE_SIZE, manifest->uuid, manifest->generation,
                 manifest->next_page + i, varve_buffer_span(bytes), i % m, 0,
                 i % m == 0 ? 0 : VARVE_PAGE_NO_RECORD);
    }
    int64_t rc = manifest->vfs->ops->write(manifest->file, pages, size, offset);
    const char *what = "write";
    if (rc >= 0) {
        rc = manifest->vfs->ops->sync(manifest->file);
        what = "sync";
    }
    varve_free(manifest->heap, pages, size);
    if (rc < 0) { /* what of it is on the disk is unknown, whatever the reason */
        name_of(manifest->generation, false, name);
        (void)varve_error_os(err, rc, name, offset, what);
        err->status = VARVE_EIO_SYNC;
        return leave_in_doubt(manifest, err);
    }
    manifest->bytes += size;
    manifest->next_page += 2 * m;
    return VARVE_OK;
}

/* Make `after` durable: as an edit, or if there is no room for it, as a new generation. */
static varve_status write_version(struct varve_manifest *manifest, struct varve_version *after,
                                  struct varve_buffer *bytes, varve_error *err)
{
    if (2 * varve_manifest_pages_of(bytes->size) <= manifest->pages - manifest->next_page) {
        const uint32_t size = (uint32_t)(bytes->size - VARVE_MANIFEST_EDIT_SIZE);
        const struct varve_manifest_edit head = {
            .size = size,
            .copy = 1,
            .version = after->number,
            .hash = varve_hash64(bytes->data + VARVE_MANIFEST_EDIT_SIZE, size, 0)};
        varve_manifest_edit_encode(&head, bytes->data);
        return write_edit(manifest, bytes, err);
    }
    struct varve_version *before = manifest->version;
    manifest->version = after;
    const varve_status rc = write_generation(manifest, manifest->generation + 1, err);
    manifest->version = before;
    if (rc == VARVE_OK)
        collect(manifest);
    return rc;
}

/* `err` is not NULL. */
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
    if (rc < 0) {
        varve_version_unref(before);
        if (rc == VARVE_ENOMEM)
            return rc;
        err->status = VARVE_EINVAL; /* the edit contradicts the state: the caller's doing */
        return VARVE_EINVAL;
    }
    struct varve_version *after = manifest->version;
    manifest->version = before; /* until it is durable */
    rc = write_version(manifest, after, bytes, err);
    if (rc == VARVE_OK)
        manifest->version = after;
    varve_version_unref(rc == VARVE_OK ? before : after);
    return rc;
}

varve_status varve_manifest_apply(struct varve_manifest *manifest, const struct varve_edit *edit,
                                  varve_error *err)
{
    struct varve_buffer bytes;
    varve_error detail = {0};
    varve_status rc = check_writable(manifest, err);

    if (rc < 0)
        return rc;
    varve_buffer_init(&bytes, manifest->heap);
    rc = apply(manifest, edit, &bytes, &detail);
    varve_buffer_free(&bytes);
    return rc < 0 ? varve_error_copy(err, &detail, rc) : VARVE_OK;
}

bool varve_manifest_is_failed(const struct varve_manifest *manifest)
{
    return manifest->failure.status < 0;
}

uint64_t varve_manifest_bytes(const struct varve_manifest *manifest)
{
    return manifest->bytes;
}

uint64_t varve_manifest_repairs(const struct varve_manifest *manifest)
{
    return manifest->repairs;
}

uint64_t varve_manifest_file_bytes(const struct varve_manifest *manifest)
{
    return (uint64_t)manifest->pages * VARVE_PAGE_SIZE;
}

uint64_t varve_manifest_generation(const struct varve_manifest *manifest)
{
    return manifest->generation;
}
