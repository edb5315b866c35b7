/*
 * manifest_verify.c - both copies of everything in the newest generation of the manifest, page by page.
 *
 * An open is content with one sound copy. Here each is held against the rule of manifest_format.h by
 * itself, so that damage is told while there still is a copy to make it good. A page that the disk does
 * not give back is told as what it is, with the errno: it is not known to be damaged.
 *
 * Threads. None.
 */
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/manifest/manifest_int.h"

struct check {
    struct varve_manifest *manifest;
    varve_verify_report report;
    void *ctx;
    char name[VARVE_FILE_NAME_MAX];
    struct varve_buffer bytes;
};

static void tell(const struct check *c, uint32_t page_no, const char *what)
{
    varve_error problem;

    varve_error_set(&problem, VARVE_ECORRUPT, c->name, (uint64_t)page_no * VARVE_PAGE_SIZE,
                    "a page of the manifest is damaged: %s", what);
    c->report(c->ctx, &problem);
}

static void tell_unread(const struct check *c)
{
    varve_error problem;

    (void)varve_manifest_unread_error(c->manifest, c->name, &problem);
    c->report(c->ctx, &problem);
}

/* One page. False in *ret_read: it cannot be read, and that has been told. */
static varve_status take_page(struct check *c, uint32_t page_no, uint8_t *page, bool *ret_read,
                              varve_error *err)
{
    varve_manifest_forget_unread(c->manifest);
    const varve_status rc = varve_manifest_read_page(c->manifest, c->name, page_no, page, err);
    *ret_read = c->manifest->unread.os == 0;
    if (!*ret_read)
        tell_unread(c);
    return rc;
}

/* Header or seal. */
static varve_status check_control(struct check *c, uint32_t page_no, uint16_t flag,
                                  varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE], wanted[VARVE_MANIFEST_HEADER_SIZE];
    struct varve_page_trailer t;
    bool read;
    const varve_status rc = take_page(c, page_no, page, &read, err);

    if (rc < 0 || !read)
        return rc;
    varve_manifest_header_encode(&c->manifest->header, wanted);
    if (varve_manifest_classify(c->manifest, page, page_no, &t) != VARVE_PAGE_VALID ||
        t.flags != flag || t.used != sizeof wanted || memcmp(page, wanted, sizeof wanted) != 0)
        tell(c, page_no,
             flag == VARVE_PAGE_HEADER ? "the header; its seals are read instead"
                                       : "a seal; the header and the other one agree without it");
    return VARVE_OK;
}

/* The pages of one copy of `size` bytes from `first` on. `record` as in varve_manifest_gather(). */
static varve_status check_copy(struct check *c, uint32_t first, uint64_t size, uint16_t record,
                               uint64_t hash, size_t hash_from, const char *what, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    bool sound = true;

    for (uint32_t i = 0; i < varve_manifest_pages_of(size); i++) {
        const uint64_t left = size - (uint64_t)i * VARVE_PAGE_PAYLOAD;
        struct varve_page_trailer t;
        bool read;
        const varve_status rc = take_page(c, first + i, page, &read, err);
        if (rc < 0)
            return rc;
        if (varve_manifest_classify(c->manifest, page, first + i, &t) == VARVE_PAGE_VALID &&
            t.used == (left < VARVE_PAGE_PAYLOAD ? left : VARVE_PAGE_PAYLOAD) && t.flags == 0 &&
            t.first_record == (i == 0 ? record : VARVE_PAGE_NO_RECORD))
            continue;
        if (read)
            tell(c, first + i, what);
        sound = false;
    }
    if (!sound)
        return VARVE_OK;
    const varve_status rc =
        varve_manifest_gather(c->manifest, c->name, first, size, record, &c->bytes, &sound, err);
    if (rc < 0)
        return rc;
    if (c->manifest->unread.os < 0)
        tell_unread(c);
    else if (!sound || varve_hash64(c->bytes.data + hash_from, size - hash_from, 0) != hash)
        tell(c, first, what);
    return VARVE_OK;
}

static varve_status check_snapshot(struct check *c, varve_error *err)
{
    const struct varve_manifest_header *h = &c->manifest->header;
    const uint32_t n = h->snapshot_pages;
    varve_status rc = check_control(c, 0, VARVE_PAGE_HEADER, err);

    if (rc == VARVE_OK)
        rc = check_copy(c, 1, h->snapshot_size, VARVE_PAGE_NO_RECORD, h->snapshot_hash, 0,
                        "the first copy of the snapshot", err);
    if (rc == VARVE_OK)
        rc = check_control(c, n + 1, VARVE_PAGE_SEAL, err);
    if (rc == VARVE_OK)
        rc = check_copy(c, n + 2, h->snapshot_size, VARVE_PAGE_NO_RECORD, h->snapshot_hash, 0,
                        "the second copy of the snapshot", err);
    return rc == VARVE_OK ? check_control(c, 2 * n + 2, VARVE_PAGE_SEAL, err) : rc;
}

/* Whether a copy of an edit begins at `page_no`, and what it says of itself. What cannot be read is told
 * by check_copy(). */
static varve_status find_copy(struct check *c, uint32_t page_no, uint32_t copy, uint64_t version,
                              struct varve_manifest_edit *edit, bool *ret_found, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer t;
    const varve_status rc = varve_manifest_read_page(c->manifest, c->name, page_no, page, err);

    *ret_found = rc == VARVE_OK &&
                 varve_manifest_classify(c->manifest, page, page_no, &t) == VARVE_PAGE_VALID &&
                 t.first_record == 0 &&
                 varve_manifest_edit_decode(varve_span_of(page, t.used), edit) == VARVE_OK &&
                 edit->copy == copy && edit->version == version;
    return rc;
}

/* The edit at `page_no`; *ret_pages is the size of one copy, 0 if neither says what that is. */
static varve_status check_edit(struct check *c, uint32_t page_no, uint64_t version, bool live,
                               uint32_t *ret_pages, varve_error *err)
{
    const uint32_t end = c->manifest->next_page;
    struct varve_manifest_edit edit = {0};
    bool found = false;

    varve_manifest_forget_unread(c->manifest);
    varve_status rc = find_copy(c, page_no, 1, version, &edit, &found, err);

    for (uint32_t m = 1; rc == VARVE_OK && !found && m < end - page_no; m++) {
        rc = find_copy(c, page_no + m, 2, version, &edit, &found, err);
        found =
            found && varve_manifest_pages_of((uint64_t)VARVE_MANIFEST_EDIT_SIZE + edit.size) == m;
    }
    *ret_pages = 0;
    if (rc < 0 || !found)
        return rc;
    const uint64_t size = (uint64_t)VARVE_MANIFEST_EDIT_SIZE + edit.size;
    const uint32_t m = varve_manifest_pages_of(size);
    if (2 * (uint64_t)m > end - page_no)
        return VARVE_OK;
    *ret_pages = m;
    rc = check_copy(c, page_no, size, 0, edit.hash, VARVE_MANIFEST_EDIT_SIZE,
                    "the first copy of an edit", err);
    if (rc < 0 || (live && page_no + 2 * m == end)) /* the second may be on its way to the disk */
        return rc;
    return check_copy(c, page_no + m, size, 0, edit.hash, VARVE_MANIFEST_EDIT_SIZE,
                      "the second copy of an edit", err);
}

static varve_status check_edits(struct check *c, bool live, varve_error *err)
{
    uint32_t page_no = 2 * c->manifest->header.snapshot_pages + 3, pages = 0;
    uint64_t version = c->manifest->header.version + 1;

    for (; page_no < c->manifest->next_page; page_no += 2 * pages, version++) {
        const varve_status rc = check_edit(c, page_no, version, live, &pages, err);
        if (rc < 0)
            return rc;
        if (pages == 0) { /* it was there when the manifest was opened */
            if (c->manifest->unread.os < 0)
                tell_unread(c);
            else
                tell(c, page_no, "both copies of an edit");
            return VARVE_OK;
        }
    }
    return VARVE_OK;
}

/* The room behind the edits. Beside a writer any bytes may be on their way there. */
static varve_status check_room(struct check *c, varve_error *err)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer t;

    for (uint32_t p = c->manifest->next_page; p < c->manifest->pages; p++) {
        bool read;
        const varve_status rc = take_page(c, p, page, &read, err);
        if (rc < 0)
            return rc;
        if (read && varve_manifest_classify(c->manifest, page, p, &t) == VARVE_PAGE_ROT)
            tell(c, p, "nothing was written here, or not this");
    }
    return VARVE_OK;
}

varve_status varve_manifest_verify(struct varve_vfs *vfs, struct varve_heap *heap, bool live,
                                   varve_verify_report report, void *ctx, varve_error *err)
{
    struct check c = {.report = report, .ctx = ctx};
    varve_status rc = varve_manifest_open(vfs, heap, true, &c.manifest, err);

    if (rc < 0)
        return rc;
    varve_file_name_manifest(c.manifest->generation, c.name);
    varve_buffer_init(&c.bytes, heap);
    rc = check_snapshot(&c, err);
    if (rc == VARVE_OK)
        rc = check_edits(&c, live, err);
    if (rc == VARVE_OK && !live)
        rc = check_room(&c, err);
    varve_buffer_free(&c.bytes);
    varve_manifest_close(c.manifest);
    return rc;
}
