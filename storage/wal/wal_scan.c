/*
 * wal_scan.c - the pages of the listed segments as one stream of payload bytes, each page verified
 * before a byte of it is believed; and where and why that stream stops.
 *
 * A page that the disk does not give back is an error, with SALVAGE a damaged page as any other. For its
 * sake no page around it is lost: those of its window are read one by one.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/wal/reader_int.h"

#define UNREADABLE "the page cannot be read"

/* The scan stops at the cursor. */
varve_status varve_wal_stopped(struct varve_wal_reader *r, enum varve_wal_end end, const char *why)
{
    r->stop = (struct varve_wal_stop){
        .end = end, .segment = r->at.segment, .page_no = r->at.page_no, .why = why};
    return VARVE_END;
}

static varve_status chain_broken(struct varve_wal_reader *r, uint32_t segment, const char *why)
{
    r->stop = (struct varve_wal_stop){
        .end = VARVE_WAL_END_ROT, .chain_broken = true, .segment = segment, .why = why};
    return VARVE_END;
}

/* --------------------------------------------------------------------------------------- Files */

/* Whether a failed call is to be got past: what it should have given counts as damaged. */
static bool is_passed(struct varve_wal_reader *r, int64_t os)
{
    if (!r->options.salvage || !varve_os_is_unreadable(os))
        return false;
    r->os_code = (int32_t)-os;
    return true;
}

/* The stop that has just been set is for the sake of what was got past last. */
static varve_status stop_unreadable(struct varve_wal_reader *r)
{
    r->stop.os_code = r->os_code;
    return VARVE_END;
}

static varve_status file_failed(struct varve_wal_reader *r, uint32_t segment, int os,
                                const char *doing, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];

    if (is_passed(r, os)) {
        (void)chain_broken(r, segment, "a listed log segment cannot be read");
        return stop_unreadable(r);
    }
    varve_wal_segment_name(r->listed[segment].id, name);
    return varve_error_os(err, os, name, VARVE_NO_OFFSET, doing);
}

void varve_wal_scan_forget(struct varve_wal_reader *r)
{
    r->window_pages = 0;
}

static void file_close(struct varve_wal_reader *r)
{
    if (r->file != NULL)
        r->options.vfs->ops->close(r->file);
    r->file = NULL;
    r->singly_until = 0;
    varve_wal_scan_forget(r);
}

void varve_wal_scan_reset(struct varve_wal_reader *r)
{
    file_close(r);
    r->at = (struct varve_wal_cursor){0};
    r->stop = (struct varve_wal_stop){0};
}

/* Recovery reads past the page cache where it can: what the disk holds, not what was meant. */
static int file_open_flagged(struct varve_wal_reader *r, const char *name, bool direct)
{
    const struct varve_vfs_ops *const ops = r->options.vfs->ops;
    const uint32_t flags = VARVE_FILE_READ | (direct ? (uint32_t)VARVE_FILE_DIRECT : 0);
    const int os = ops->open(r->options.vfs, name, flags, &r->file);

    if (os < 0 || !direct)
        return os;
    const uint32_t align = ops->direct_align(r->file);
    if (align == 0 || VARVE_PAGE_SIZE % align == 0)
        return 0;
    file_close(r);
    return file_open_flagged(r, name, false);
}

/* Have listed segment `i` open. VARVE_END: it is missing or short. */
static varve_status file_open(struct varve_wal_reader *r, uint32_t i, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];
    struct varve_file_stat st;

    if (r->file != NULL && r->file_segment == i)
        return VARVE_OK;
    file_close(r);
    varve_wal_segment_name(r->listed[i].id, name);
    int os = file_open_flagged(r, name, r->options.mode == VARVE_WAL_RECOVERY);
    if (os == -ENOENT && r->options.mode == VARVE_WAL_FOLLOW)
        return varve_error_set(err, VARVE_ESNAPSHOT, name, VARVE_NO_OFFSET,
                               "a log segment of this view has been removed");
    if (os == -ENOENT)
        return chain_broken(r, i, "a listed log segment is missing");
    if (os < 0)
        return file_failed(r, i, os, "open", err);
    r->file_segment = i;
    os = r->options.vfs->ops->stat(r->file, &st);
    if (os < 0) {
        file_close(r);
        return file_failed(r, i, os, "stat", err);
    }
    if (st.size < r->listed[i].size) {
        file_close(r);
        return chain_broken(r, i, "a listed log segment is cut short");
    }
    return VARVE_OK;
}

/* Read pages [first, first + n) of the open file into the window: how many bytes came, or an errno. */
static int64_t window_load(struct varve_wal_reader *r, uint32_t first, uint32_t n)
{
    const uint64_t offset = (uint64_t)first * VARVE_PAGE_SIZE;
    const size_t size = (size_t)n * VARVE_PAGE_SIZE;
    int64_t got = 0;

    r->window_pages = 0;
    for (uint32_t tries = 0; tries < VARVE_WAL_READ_TRIES; tries++) {
        got = r->options.vfs->ops->read(r->file, r->window, size, offset);
        if (!varve_os_is_unreadable(got))
            break;
        r->retries++;
    }
    if (got == (int64_t)size) {
        r->window_page = first;
        r->window_pages = n;
    }
    return got;
}

/* Have page `page_no` of listed segment `i`, which is open, in the window. VARVE_END: the file is short. */
static varve_status window_move(struct varve_wal_reader *r, uint32_t i, uint32_t page_no,
                                varve_error *err)
{
    const uint64_t left = r->listed[i].size / VARVE_PAGE_SIZE - page_no;
    const uint32_t most = page_no < r->singly_until ? 1 : VARVE_WAL_WINDOW_PAGES;
    const uint32_t n = left < most ? (uint32_t)left : most;
    char name[VARVE_WAL_NAME_MAX];
    int64_t got = window_load(r, page_no, n);

    if (varve_os_is_unreadable(got) && n > 1) {
        r->singly_until = page_no + n;
        got = window_load(r, page_no, 1);
    }
    if (got < 0) {
        varve_wal_segment_name(r->listed[i].id, name);
        return varve_error_os(err, got, name, (uint64_t)page_no * VARVE_PAGE_SIZE, "read");
    }
    return r->window_pages > 0 ? VARVE_OK : chain_broken(r, i, "a listed log segment is cut short");
}

/* One page of listed segment `i`, borrowed until the next read. NULL: it cannot be read (SALVAGE). */
static varve_status page_get(struct varve_wal_reader *r, uint32_t i, uint32_t page_no,
                             const uint8_t **ret_page, varve_error *err)
{
    varve_error detail = {0};
    varve_status rc = file_open(r, i, err);

    if (rc != VARVE_OK)
        return rc;
    if (page_no < r->window_page || page_no - r->window_page >= r->window_pages)
        rc = window_move(r, i, page_no, &detail);
    if (rc < 0 && is_passed(r, -(int64_t)detail.os_code)) {
        *ret_page = NULL;
        return VARVE_OK;
    }
    if (rc < 0)
        return varve_error_copy(err, &detail, rc);
    if (rc == VARVE_OK)
        *ret_page = r->window + (size_t)(page_no - r->window_page) * VARVE_PAGE_SIZE;
    return rc;
}

/* A trailer of listed segment `i` was read: what it proves. A position that the segment has no room
 * for was never given to a byte: it must not move the positions of what comes next. */
static void evidence_note(struct varve_wal_reader *r, uint32_t i,
                          const struct varve_page_trailer *t)
{
    const struct varve_wal_listed *const l = &r->listed[i];
    const uint64_t room = varve_wal_segment_capacity(l->size);
    const uint64_t used = (t->flags & VARVE_PAGE_CONTROL) != 0 ? 0 : t->used;

    if (t->durable_lsn > r->durable_lsn)
        r->durable_lsn = t->durable_lsn;
    if (t->commit_lsn > r->commit_lsn)
        r->commit_lsn = t->commit_lsn;
    /* A position before the segment is, as a distance from its beginning, too far as well. */
    if (t->first_lsn - l->base_lsn <= room - used && t->first_lsn + used > r->seen_lsn)
        r->seen_lsn = t->first_lsn + used;
}

/* What a page is, with what it proves taken note of: the trailer of a damaged one too if its own
 * sector is sound, since a sector is written whole. One that cannot be read (NULL) is ROT. `ret_trailer`
 * is written only for VALID. */
static enum varve_page_class page_read(struct varve_wal_reader *r, uint32_t i, uint32_t page_no,
                                       const uint8_t *page, struct varve_page_trailer *ret_trailer)
{
    const struct varve_page_place place =
        varve_wal_page_place(r->listed[i].uuid, r->listed[i].id, page_no);
    const enum varve_page_class c =
        page == NULL ? VARVE_PAGE_ROT : varve_page_classify(page, &place, ret_trailer);
    struct varve_page_trailer t;

    if (c == VARVE_PAGE_VALID)
        evidence_note(r, i, ret_trailer);
    else if (c != VARVE_PAGE_ZERO && page != NULL && varve_page_trailer_sound(page, &place, &t))
        evidence_note(r, i, &t);
    else if (c != VARVE_PAGE_ZERO)
        r->lost_pages++;
    return c;
}

static enum varve_wal_end end_of(enum varve_page_class page_class)
{
    return page_class == VARVE_PAGE_ZERO   ? VARVE_WAL_END_ZERO
           : page_class == VARVE_PAGE_TORN ? VARVE_WAL_END_TORN
                                           : VARVE_WAL_END_ROT;
}

/* The scan stops at the cursor, whose page is not VALID. */
static varve_status page_stop(struct varve_wal_reader *r, enum varve_page_class c,
                              const uint8_t *page)
{
    if (page != NULL)
        return varve_wal_stopped(r, end_of(c), varve_page_class_name(c));
    (void)varve_wal_stopped(r, VARVE_WAL_END_ROT, UNREADABLE);
    return stop_unreadable(r);
}

/* ------------------------------------------------------------------------------------ Segments */

/* What is wrong with a decoded header as that of listed segment `i`, or NULL. */
static const char *identity_fault(const struct varve_wal_reader *r, uint32_t i,
                                  const struct varve_wal_header *h,
                                  const struct varve_page_trailer *t)
{
    const struct varve_wal_listed *const l = &r->listed[i];

    if (memcmp(h->uuid, l->uuid, 16) != 0 || h->id != l->id || h->size != l->size)
        return "a log segment is not the one that is listed";
    if (memcmp(h->store_uuid, r->options.store_uuid, 16) != 0)
        return "a log segment belongs to another store";
    if (t->first_lsn != h->base_lsn || l->base_lsn != h->base_lsn)
        return "a log segment begins at another position than is listed";
    return NULL;
}

/* What is wrong with the header of the segment at the cursor after what was read before, or NULL. */
static const char *history_fault(const struct varve_wal_reader *r, const struct varve_wal_header *h)
{
    const struct varve_wal_cursor *const at = &r->at;

    if (at->segment == 0) {
        /* What the first segment follows is not needed, if it ended at or before the start. */
        return h->base_lsn > r->options.start_lsn && h->prev_final_lsn > r->options.start_lsn
                   ? "the log begins after the position where it is needed"
                   : NULL;
    }
    if (h->prev_id != at->prev_id || memcmp(h->prev_uuid, at->prev_uuid, 16) != 0 ||
        h->prev_final_lsn != at->prev_final_lsn || h->prev_digest != at->prev_digest)
        return "a log segment does not follow the one before it";
    if (h->base_index != at->index || h->base_term != at->term || h->base_chain != at->chain ||
        h->base_hlc != at->hlc)
        return "a log segment does not continue the history before it";
    return NULL;
}

/* Read the header of listed segment `i`. VARVE_END: it is not there, or is not the one of the segment
 * that is listed; no crash does that, since it was durable before the segment was listed. */
static varve_status header_get(struct varve_wal_reader *r, uint32_t i, struct varve_wal_header *h,
                               uint64_t *ret_checksum, varve_error *err)
{
    struct varve_page_trailer t;
    const uint8_t *page;
    char name[VARVE_WAL_NAME_MAX];

    varve_status rc = page_get(r, i, 0, &page, err);
    if (rc != VARVE_OK)
        return rc;
    if (page_read(r, i, 0, page, &t) != VARVE_PAGE_VALID) {
        rc = chain_broken(r, i,
                          page == NULL ? "the header of a log segment cannot be read"
                                       : "the header of a log segment is lost or damaged");
        return page == NULL ? stop_unreadable(r) : rc;
    }
    if (t.flags != VARVE_PAGE_HEADER)
        return chain_broken(r, i, "a log segment's header is not a header page");
    rc = varve_wal_header_decode(varve_span_of(page, t.used), h);
    const bool unknown = rc == VARVE_OK && r->options.writes && h->read_compatible != 0;
    if (rc == VARVE_EVERSION || unknown) {
        varve_wal_segment_name(r->listed[i].id, name);
        return varve_error_set(err, VARVE_EVERSION, name, 0,
                               unknown ? "a log segment of a newer version, which can only be read"
                                       : "a log segment of a newer format");
    }
    if (rc < 0)
        return chain_broken(r, i, "a log segment's header does not hold");
    const char *const fault = identity_fault(r, i, h, &t);
    if (fault != NULL)
        return chain_broken(r, i, fault);
    *ret_checksum = varve_page_checksum(page);
    return VARVE_OK;
}

/* Read the header of the segment at the cursor. */
static varve_status segment_enter(struct varve_wal_reader *r, varve_error *err)
{
    struct varve_wal_cursor *const at = &r->at;
    struct varve_wal_found *const found = &r->found[at->segment];
    struct varve_wal_header h;
    uint64_t checksum = 0;

    at->page_no = 0;
    const varve_status rc = header_get(r, at->segment, &h, &checksum, err);
    if (rc != VARVE_OK)
        return rc;
    const char *const fault = history_fault(r, &h);
    if (fault != NULL)
        return chain_broken(r, at->segment, fault);

    if (at->segment == 0) {
        at->index = h.base_index;
        at->term = h.base_term;
        at->chain = h.base_chain;
        at->hlc = h.base_hlc;
    }
    at->opened = true;
    at->after_partial = false;
    at->page_no = 1;
    at->lsn = h.base_lsn;
    at->digest = varve_page_digest_add(0, checksum);
    found->used = true;
    found->header = h;
    found->end_lsn = h.base_lsn;
    found->index = at->index;
    found->term = at->term;
    found->chain = at->chain;
    found->hlc = at->hlc;
    return VARVE_OK;
}

/* The segment at the cursor is complete: go to the next one in the list. */
static void segment_leave(struct varve_wal_reader *r)
{
    struct varve_wal_cursor *const at = &r->at;
    struct varve_wal_found *const found = &r->found[at->segment];

    found->complete = true;
    found->digest = at->digest;
    at->prev_id = found->header.id;
    memcpy(at->prev_uuid, found->header.uuid, 16);
    at->prev_final_lsn = at->lsn;
    at->prev_digest = at->digest;
    at->segment++;
    at->opened = false;
    at->page_no = 0;
}

/* A SEAL or IDLE page: does it say what was read so far? */
static bool control_holds(const struct varve_wal_reader *r, const uint8_t *page,
                          const struct varve_page_trailer *t)
{
    const struct varve_wal_cursor *const at = &r->at;
    struct varve_wal_seal seal;

    return varve_wal_seal_decode(varve_span_of(page, t->used), &seal) == VARVE_OK &&
           seal.lsn == at->lsn && seal.digest == at->digest && seal.index == at->index &&
           seal.term == at->term && seal.chain == at->chain && seal.hlc == at->hlc;
}

static varve_status seal_enter(struct varve_wal_reader *r)
{
    const struct varve_wal_listed *const l = &r->listed[r->at.segment];

    if (l->sealed && (l->final_lsn != r->at.lsn || l->digest != r->at.digest))
        return chain_broken(r, r->at.segment, "a log segment is not as it was sealed");
    r->found[r->at.segment].seal_read = true;
    segment_leave(r);
    return VARVE_OK;
}

/*
 * The segment ends without its seal. If the next one's header says that this is where it ended, it
 * vouches in the seal's place. VARVE_END: it does not, and the scan stops as it had.
 */
static varve_status segment_end_from_next(struct varve_wal_reader *r, varve_error *err)
{
    const struct varve_wal_cursor saved = r->at;
    const struct varve_wal_stop stop = r->stop;
    struct varve_wal_found *const found = &r->found[saved.segment];

    if (saved.segment + 1 >= r->n_segments)
        return VARVE_END;
    segment_leave(r);
    const varve_status rc = segment_enter(r, err);
    if (rc == VARVE_OK) {
        r->damaged_seals++;
        return VARVE_OK;
    }
    r->at = saved;
    r->stop = stop;
    found->complete = false;
    return rc;
}

/* ------------------------------------------------------------------------------- Pages, bytes */

/* What a VALID page at the cursor is: stream page entered, control page passed, or a stop. */
static varve_status page_enter(struct varve_wal_reader *r, const uint8_t *page,
                               const struct varve_page_trailer *t, bool mid_record)
{
    struct varve_wal_cursor *const at = &r->at;
    const uint32_t last = (uint32_t)(r->listed[at->segment].size / VARVE_PAGE_SIZE) - 1;
    const bool control = (t->flags & VARVE_PAGE_CONTROL) != 0;

    if (t->first_lsn != at->lsn)
        return t->first_lsn > at->lsn && at->after_partial
                   ? varve_wal_stopped(r, VARVE_WAL_END_TORN, "a longer version of a page is lost")
                   : varve_wal_stopped(r, VARVE_WAL_END_ROT, "a page of another position");
    if ((t->flags & VARVE_PAGE_HEADER) != 0 ||
        (at->page_no == last && t->flags != VARVE_PAGE_SEAL) || (control && mid_record) ||
        (control && !control_holds(r, page, t)) || (!control && t->used == 0))
        return varve_wal_stopped(r, VARVE_WAL_END_ROT, "a page that does not belong here");
    if (t->flags == VARVE_PAGE_SEAL)
        return seal_enter(r);
    if (control) {
        at->digest = varve_page_digest_add(at->digest, varve_page_checksum(page));
        at->after_partial = false;
        at->page_no++;
        return VARVE_OK;
    }
    at->in_page = true;
    at->record_seen = false;
    at->offset = 0;
    at->trailer = *t;
    at->checksum = varve_page_checksum(page);
    return VARVE_OK;
}

/* The page at the cursor is used up. False: it spoke of a record that did not start in it. */
static bool page_leave(struct varve_wal_reader *r)
{
    struct varve_wal_cursor *const at = &r->at;

    if (!at->record_seen && at->trailer.first_record != VARVE_PAGE_NO_RECORD)
        return false;
    at->digest = varve_page_digest_add(at->digest, at->checksum);
    at->after_partial = (at->trailer.flags & VARVE_PAGE_PARTIAL) != 0;
    at->in_page = false;
    at->page_no++;
    return true;
}

varve_status varve_wal_scan_bytes(struct varve_wal_reader *r, bool mid_record,
                                  struct varve_span *ret_bytes, varve_error *err)
{
    struct varve_wal_cursor *const at = &r->at;
    struct varve_page_trailer t;
    const uint8_t *page;
    varve_status rc;

    for (;;) {
        if (at->in_page && at->offset < at->trailer.used)
            break;
        if (at->in_page && !page_leave(r)) {
            (void)varve_wal_stopped(r, VARVE_WAL_END_ROT,
                                    "a page names a record that is not there");
            r->stop.bad_record = true;
            return VARVE_END;
        }
        if (at->segment == r->n_segments)
            return varve_wal_stopped(r, VARVE_WAL_END_NONE, "the last log segment is sealed");
        if (!at->opened) {
            rc = segment_enter(r, err);
            if (rc != VARVE_OK)
                return rc;
        }
        assert(at->page_no < r->listed[at->segment].size / VARVE_PAGE_SIZE);
        rc = page_get(r, at->segment, at->page_no, &page, err);
        if (rc != VARVE_OK)
            return rc;
        const enum varve_page_class c = page_read(r, at->segment, at->page_no, page, &t);
        rc = c == VARVE_PAGE_VALID ? page_enter(r, page, &t, mid_record) : page_stop(r, c, page);
        if (rc == VARVE_END && !mid_record && !r->stop.chain_broken)
            rc = segment_end_from_next(r, err);
        if (rc != VARVE_OK)
            return rc;
    }
    rc = page_get(r, at->segment, at->page_no, &page, err);
    if (rc != VARVE_OK)
        return rc;
    if (page == NULL)
        return page_stop(r, VARVE_PAGE_ROT, page);
    *ret_bytes = varve_span_of(page + at->offset, at->trailer.used - at->offset);
    return VARVE_OK;
}

void varve_wal_scan_consume(struct varve_wal_reader *r, size_t size)
{
    assert(r->at.in_page && size <= (size_t)r->at.trailer.used - r->at.offset);
    r->at.offset += (uint32_t)size;
    r->at.lsn += size;
}

varve_status varve_wal_scan_copy(struct varve_wal_reader *r, uint8_t *out, size_t size,
                                 varve_error *err)
{
    struct varve_span bytes;

    while (size > 0) {
        const varve_status rc = varve_wal_scan_bytes(r, true, &bytes, err);
        if (rc != VARVE_OK)
            return rc;
        const size_t n = bytes.size < size ? bytes.size : size;

        memcpy(out, bytes.data, n);
        varve_wal_scan_consume(r, n);
        out += n;
        size -= n;
    }
    return VARVE_OK;
}

bool varve_wal_scan_mark(struct varve_wal_reader *r)
{
    struct varve_wal_cursor *const at = &r->at;

    if (!at->record_seen && at->trailer.first_record != at->offset)
        return false;
    at->record_seen = true;
    return true;
}

varve_status varve_wal_scan_reenter(struct varve_wal_reader *r, varve_error *err)
{
    struct varve_wal_cursor *const at = &r->at;
    struct varve_page_trailer t;
    const uint8_t *page;

    varve_wal_scan_forget(r);
    if (!at->in_page)
        return VARVE_OK;
    const varve_status rc = page_get(r, at->segment, at->page_no, &page, err);
    if (rc != VARVE_OK)
        return rc;
    const enum varve_page_class c = page_read(r, at->segment, at->page_no, page, &t);
    if (page == NULL)
        return page_stop(r, c, page);
    if (c != VARVE_PAGE_VALID || t.first_lsn != at->trailer.first_lsn || t.used < at->offset ||
        (t.flags & VARVE_PAGE_CONTROL) != 0)
        return varve_wal_stopped(r, VARVE_WAL_END_TORN, "a page is being written again");
    at->trailer = t;
    at->checksum = varve_page_checksum(page);
    return VARVE_OK;
}

static void note_unread(struct varve_wal_reader *r, uint32_t segment, uint32_t page_no)
{
    if (r->unread.os_code == 0)
        r->unread = (struct varve_wal_stop){.end = VARVE_WAL_END_ROT,
                                            .os_code = r->os_code,
                                            .segment = segment,
                                            .page_no = page_no,
                                            .why = UNREADABLE};
}

/* What a page behind the stop adds to what was found there before. */
static enum varve_wal_after after_with(enum varve_wal_after after, enum varve_page_class c)
{
    const enum varve_wal_after found = c == VARVE_PAGE_ZERO    ? VARVE_WAL_AFTER_NOTHING
                                       : c == VARVE_PAGE_TORN  ? VARVE_WAL_AFTER_DEBRIS
                                       : c == VARVE_PAGE_VALID ? VARVE_WAL_AFTER_VALID
                                                               : VARVE_WAL_AFTER_ROT;
    return found > after ? found : after;
}

varve_status varve_wal_scan_after(struct varve_wal_reader *r, uint64_t pages_max,
                                  enum varve_wal_after *ret_after, varve_error *err)
{
    enum varve_wal_after after = VARVE_WAL_AFTER_NOTHING;
    uint32_t page_no = r->stop.page_no + 1;
    struct varve_page_trailer t;
    struct varve_wal_header h;
    uint64_t checksum;
    const uint8_t *page = NULL;
    varve_status rc;

    for (uint32_t i = r->stop.segment; i < r->n_segments; i++, page_no = 0) {
        const uint64_t pages = r->listed[i].size / VARVE_PAGE_SIZE;

        for (; page_no < pages && pages_max > 0; page_no++, pages_max--) {
            rc = page_no == 0 ? header_get(r, i, &h, &checksum, err)
                              : page_get(r, i, page_no, &page, err);
            if (rc != VARVE_OK)
                return rc;
            if (page_no > 0 && page == NULL)
                note_unread(r, i, page_no);
            after = after_with(after, page_no == 0 ? VARVE_PAGE_VALID
                                                   : page_read(r, i, page_no, page, &t));
        }
    }
    *ret_after = after;
    return VARVE_OK;
}
