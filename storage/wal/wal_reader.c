/*
 * wal_reader.c - records out of the stream of wal_scan.c, each verified; recovery's pass over
 * everything, its verdict, and the following of a live log.
 */
#include "storage/wal/wal_reader.h"

#include <assert.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/vec.h"
#include "storage/wal/reader_int.h"

#define PAYLOAD_STEP (64u << 10) /* the payload buffer grows with what has arrived */
/* Between looks at a page that a writer may be writing: the first, twice as long each time, the last. In
 * all a quarter of a second, because the writer may have lost its processor in the middle of the page. */
#define PAUSE_MIN_US 1000u
#define PAUSE_MAX_US 128000u

/* ------------------------------------------------------------------------------------- Records */

/* Pages are VALID, and what they hold is not a record that belongs here. */
static varve_status bad_record(struct varve_wal_reader *r, const struct varve_wal_cursor *start,
                               const char *why)
{
    r->stop = (struct varve_wal_stop){.end = VARVE_WAL_END_ROT,
                                      .bad_record = true,
                                      .segment = start->segment,
                                      .page_no = start->page_no,
                                      .why = why};
    return VARVE_END;
}

/* Whether this version can apply such a record. What it cannot is refused in the first pass, before
 * recovery changes anything. */
static bool record_is_known(const struct varve_wal_record *record)
{
    const uint8_t transformed = VARVE_WAL_COMPRESSED | VARVE_WAL_ENCRYPTED;

    return record->group == 0 && (record->flags & transformed) == 0 &&
           (record->type == VARVE_WAL_DATA || record->type == VARVE_WAL_SCHEMA ||
            record->type == VARVE_WAL_TABLE_DROP || record->type == VARVE_WAL_NOOP);
}

static varve_status record_header(struct varve_wal_reader *r, const struct varve_wal_cursor *start,
                                  struct varve_wal_record *ret_record, varve_error *err)
{
    uint8_t bytes[VARVE_WAL_RECORD_MAX];
    char name[VARVE_WAL_NAME_MAX];

    varve_status rc = varve_wal_scan_copy(r, bytes, VARVE_WAL_RECORD_SIZE, err);
    if (rc != VARVE_OK)
        return rc;
    const uint32_t size = varve_wal_record_claim(bytes);
    if (size == 0)
        return bad_record(r, start, "a record's header has no possible size");
    rc = varve_wal_scan_copy(r, bytes + VARVE_WAL_RECORD_SIZE, size - VARVE_WAL_RECORD_SIZE, err);
    if (rc != VARVE_OK)
        return rc;
    const struct varve_wal_listed *const l = &r->listed[start->segment];
    rc = varve_wal_record_decode(varve_span_of(bytes, size), l->uuid, start->lsn, ret_record);
    if (rc == VARVE_ECORRUPT)
        return bad_record(r, start, "a record's header does not hold");
    if (rc == VARVE_OK && !record_is_known(ret_record))
        rc = VARVE_EVERSION;
    if (rc < 0) {
        varve_wal_segment_name(l->id, name);
        varve_error_set(err, rc, name, (uint64_t)start->page_no * VARVE_PAGE_SIZE,
                        "a log record that needs a newer version");
        if (err != NULL)
            err->lsn = start->lsn;
    }
    return rc;
}

/* The payload behind a header: in its page if it lies in one, else copied together. */
static varve_status record_payload(struct varve_wal_reader *r, size_t size,
                                   struct varve_span *ret_payload, varve_error *err)
{
    struct varve_span bytes;
    size_t done = 0;

    *ret_payload = (struct varve_span){NULL, 0};
    if (size == 0)
        return VARVE_OK;
    varve_status rc = varve_wal_scan_bytes(r, true, &bytes, err);
    if (rc != VARVE_OK)
        return rc;
    if (bytes.size >= size) {
        varve_wal_scan_consume(r, size);
        *ret_payload = varve_span_of(bytes.data, size);
        return VARVE_OK;
    }
    while (done < size) { /* so a false size costs no more memory than there are bytes */
        const size_t n = size - done < PAYLOAD_STEP ? size - done : PAYLOAD_STEP;

        if (!varve_vec_grow(r->options.heap, (void **)&r->payload, 1, done + n,
                            &r->payload_capacity))
            return varve_error_nomem(err, "a log record");
        rc = varve_wal_scan_copy(r, r->payload + done, n, err);
        if (rc != VARVE_OK)
            return rc;
        done += n;
    }
    *ret_payload = varve_span_of(r->payload, size);
    return VARVE_OK;
}

/* What is wrong with a record whose header and payload are there, or NULL. */
static const char *record_fault(const struct varve_wal_cursor *start,
                                const struct varve_wal_record *record, struct varve_span payload)
{
    if (record->index != start->index + 1)
        return "a record's index does not follow";
    if (record->term < start->term)
        return "a record's term goes back";
    if (record->chain != varve_wal_chain(start->chain, record->index, record->term, record->type,
                                         record->logical_hash))
        return "a record does not continue the chain";
    if (record->payload_hash != varve_wal_payload_hash(payload))
        return "a record's payload does not match its hash";
    return NULL;
}

static varve_status record_read(struct varve_wal_reader *r, const struct varve_wal_cursor *start,
                                struct varve_wal_record *ret_record, struct varve_span *ret_payload,
                                varve_error *err)
{
    const struct varve_wal_found *const found = &r->found[start->segment];

    if (!varve_wal_scan_mark(r))
        return bad_record(r, start, "a page does not know its first record");
    varve_status rc = record_header(r, start, ret_record, err);
    if (rc != VARVE_OK)
        return rc;
    const uint64_t end = found->header.base_lsn + varve_wal_segment_capacity(found->header.size);
    if (ret_record->payload_size > end - r->at.lsn)
        return bad_record(r, start, "a record is longer than its segment");
    rc = record_payload(r, ret_record->payload_size, ret_payload, err);
    if (rc != VARVE_OK)
        return rc;
    const char *const fault = record_fault(start, ret_record, *ret_payload);
    return fault == NULL ? VARVE_OK : bad_record(r, start, fault);
}

varve_status varve_wal_record_next(struct varve_wal_reader *r, struct varve_wal_record *ret_record,
                                   struct varve_span *ret_payload, varve_error *err)
{
    struct varve_span bytes;

    varve_status rc = varve_wal_scan_bytes(r, false, &bytes, err);
    if (rc != VARVE_OK)
        return rc;
    const struct varve_wal_cursor start = r->at;
    rc = record_read(r, &start, ret_record, ret_payload, err);
    if (rc != VARVE_OK) {
        r->at = start;
        return rc;
    }
    struct varve_wal_cursor *const at = &r->at;
    struct varve_wal_found *const found = &r->found[start.segment];

    assert(at->segment == start.segment);
    at->index = found->index = ret_record->index;
    at->term = found->term = ret_record->term;
    at->chain = found->chain = ret_record->chain;
    at->hlc = found->hlc = ret_record->hlc > at->hlc ? ret_record->hlc : at->hlc;
    found->end_lsn = at->lsn;
    if (ret_record->payload_size > found->payload_max)
        found->payload_max = ret_record->payload_size;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Verdict */

/* The history at start_lsn is the one that the manifest knows. */
static bool start_holds(const struct varve_wal_reader *r)
{
    const struct varve_wal_reader_options *const o = &r->options;

    return r->at.index == o->start_index && r->at.term == o->start_term &&
           r->at.chain == o->start_chain;
}

/* Read every record up to the stop; count those wanted. */
static varve_status records_scan(struct varve_wal_reader *r, struct varve_wal_verdict *v,
                                 varve_error *err)
{
    struct varve_wal_record record;
    struct varve_span payload;
    struct varve_span bytes;
    bool checked = false;
    varve_status rc;

    for (;;) {
        rc = varve_wal_scan_bytes(r, false, &bytes, err);
        const bool reached = rc == VARVE_OK && r->at.lsn >= r->options.start_lsn;
        if (reached && !checked && !start_holds(r)) {
            const struct varve_wal_cursor here = r->at;
            rc = bad_record(r, &here, "the log has another history than the manifest");
            r->stop.chain_broken = true;
        }
        checked = checked || reached;
        if (rc != VARVE_OK)
            break;
        rc = varve_wal_record_next(r, &record, &payload, err);
        if (rc != VARVE_OK)
            break;
        v->records += record.lsn >= r->options.start_lsn;
    }
    if (rc == VARVE_END && !checked && !r->stop.chain_broken && r->found[0].used &&
        r->at.lsn >= r->options.start_lsn && !start_holds(r)) {
        r->stop.chain_broken = true;
        r->stop.why = "the log has another history than the manifest";
    }
    return rc;
}

static enum varve_page_class class_of(enum varve_wal_end end)
{
    return end == VARVE_WAL_END_ZERO   ? VARVE_PAGE_ZERO
           : end == VARVE_WAL_END_TORN ? VARVE_PAGE_TORN
                                       : VARVE_PAGE_ROT;
}

/* End of the last record that was read: not the base of an empty segment behind a gap, which would
 * call the gap recovered although no segment that is kept reaches so far. */
static uint64_t records_end(const struct varve_wal_reader *r)
{
    uint64_t end = r->found[0].used ? r->found[0].header.prev_final_lsn : 0;

    for (uint32_t i = 0; i < r->n_segments && r->found[i].used; i++)
        if (r->found[i].end_lsn > r->found[i].header.base_lsn)
            end = r->found[i].end_lsn;
    return end;
}

/* The segment in which the scan stopped; if it came to the end of the list: the last one, or 0. */
static uint64_t stop_id(const struct varve_wal_reader *r)
{
    const uint32_t n = r->stop.segment < r->n_segments ? r->stop.segment + 1 : r->n_segments;

    return n > 0 ? r->listed[n - 1].id : 0;
}

/* The log may not reach as far as the manifest's state: then that is where it ends. */
static void verdict_fill(const struct varve_wal_reader *r, struct varve_wal_verdict *v)
{
    const struct varve_wal_reader_options *const o = &r->options;
    const struct varve_wal_stop *const s = &r->stop;
    const uint64_t end = records_end(r);
    const bool behind = end < o->start_lsn || !r->found[0].used;

    v->recovered_to = behind ? o->start_lsn : end;
    v->index = behind ? o->start_index : r->at.index;
    v->term = behind ? o->start_term : r->at.term;
    v->chain = behind ? o->start_chain : r->at.chain;
    v->hlc = behind || o->start_hlc > r->at.hlc ? o->start_hlc : r->at.hlc;
    v->page_class = s->end == VARVE_WAL_END_NONE ? 0 : class_of(s->end);
    v->segment_id = stop_id(r);
    v->page_offset = s->segment < r->n_segments ? (uint64_t)s->page_no * VARVE_PAGE_SIZE : 0;
    v->durable_lsn = r->durable_lsn;
    v->commit_lsn = r->commit_lsn;
    v->cut_lsn_end = r->seen_lsn > v->recovered_to ? r->seen_lsn : v->recovered_to;
    v->damaged_seals = r->damaged_seals;
    v->retries = r->retries;
    v->lost_pages = r->lost_pages;
}

/* A refusal, as an error: EIO if it is for the sake of what the disk does not give back. */
static varve_status verdict_refuse(const struct varve_wal_reader *r,
                                   const struct varve_wal_verdict *v, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX] = "";
    const varve_status status = r->stop.os_code == 0 ? VARVE_ECORRUPT : VARVE_EIO;
    const char *const kind = v->kind == VARVE_WAL_REFUSE_DAMAGED
                                 ? "acknowledged log data is damaged"
                             : v->kind == VARVE_WAL_REFUSE_AMBIGUOUS
                                 ? "the last batch in the log is damaged, acknowledged or not"
                                 : "the log is not whole";

    if (v->segment_id != 0)
        varve_wal_segment_name(v->segment_id, name);
    varve_error_set(err, status, name, v->page_offset, "%s: %s", kind, r->stop.why);
    if (err != NULL) {
        err->os_code = r->stop.os_code;
        err->lsn = v->recovered_to;
        err->lsn_end = v->durable_lsn > v->cut_lsn_end ? v->durable_lsn : v->cut_lsn_end;
    }
    return status;
}

static varve_status recover(struct varve_wal_reader *r, struct varve_wal_verdict *v,
                            varve_error *err)
{
    enum varve_wal_after after = VARVE_WAL_AFTER_NOTHING;

    varve_status rc = records_scan(r, v, err);
    if (rc != VARVE_END)
        return rc;
    const struct varve_wal_stop stop = r->stop;
    if (!stop.chain_broken) {
        rc = varve_wal_scan_after(r, UINT64_MAX, &after, err);
        if (rc < 0)
            return rc;
        if (rc == VARVE_OK)
            r->stop = stop; /* else a later segment is missing or short: that stop stays */
    }
    verdict_fill(r, v);
    /* What cannot be read is never cut: an open for writing fails for its sake. */
    const struct varve_wal_facts facts = {.chain_broken = r->stop.chain_broken,
                                          .covered =
                                              stop.bad_record || v->durable_lsn > v->recovered_to,
                                          .end = r->stop.end,
                                          .after = after,
                                          .cut_rot = r->options.cut_rot && r->os_code == 0};
    struct varve_wal_facts strict = facts;
    strict.cut_rot = false;
    v->kind = varve_wal_judge(&facts);
    v->doubtful = v->kind == VARVE_WAL_CUT && varve_wal_judge(&strict) != VARVE_WAL_CUT;
    r->limit_lsn = v->recovered_to;
    if (v->kind == VARVE_WAL_CLEAN_END || v->kind == VARVE_WAL_CUT)
        return VARVE_OK;
    if (v->kind == VARVE_WAL_REFUSE_AMBIGUOUS && stop.end != VARVE_WAL_END_ROT &&
        r->unread.os_code != 0) {
        r->stop = r->unread; /* that is what makes a sound end doubtful */
        verdict_fill(r, v);
    }
    if (!r->options.salvage)
        return verdict_refuse(r, v, err);
    (void)verdict_refuse(r, v, &r->missing);
    return VARVE_OK;
}

/* ---------------------------------------------------------------------------- Open and close */

static bool listed_holds(const struct varve_wal_listed *l)
{
    return l->id != 0 && l->size % VARVE_PAGE_SIZE == 0 && l->size <= VARVE_WAL_SEGMENT_MAX &&
           l->size >= VARVE_WAL_SEGMENT_PAGES_MIN * VARVE_PAGE_SIZE;
}

/* Take a copy of the list, which begins with the one before; what was found of that is kept. */
static varve_status listed_set(struct varve_wal_reader *r, const struct varve_wal_listed *segments,
                               uint32_t n, varve_error *err)
{
    struct varve_heap *const heap = r->options.heap;

    bool holds = n >= r->n_segments;
    for (uint32_t i = 0; holds && i < n; i++)
        holds = listed_holds(&segments[i]) &&
                (i >= r->n_segments || segments[i].id == r->listed[i].id) &&
                (i == 0 || segments[i].base_lsn >= segments[i - 1].base_lsn);
    if (!holds)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "bad list of log segments");
    struct varve_wal_listed *const listed = varve_alloc_zero(heap, (size_t)n + 1, sizeof *listed);
    struct varve_wal_found *const found = varve_alloc_zero(heap, (size_t)n + 1, sizeof *found);
    if (listed == NULL || found == NULL) {
        varve_free(heap, listed, ((size_t)n + 1) * sizeof *listed);
        varve_free(heap, found, ((size_t)n + 1) * sizeof *found);
        return varve_error_nomem(err, "the list of log segments");
    }
    for (uint32_t i = 0; i < n; i++) {
        listed[i] = segments[i];
        if (segments[i].sealed && segments[i].final_lsn > r->durable_lsn)
            r->durable_lsn = segments[i].final_lsn;
    }
    if (r->n_segments > 0)
        memcpy(found, r->found, r->n_segments * sizeof *found);
    const size_t old = (size_t)r->n_segments + 1;
    varve_free(heap, r->listed, old * sizeof *listed);
    varve_free(heap, r->found, old * sizeof *found);
    r->listed = listed;
    r->found = found;
    r->n_segments = n;
    return VARVE_OK;
}

varve_status varve_wal_reader_open(const struct varve_wal_reader_options *options,
                                   struct varve_wal_reader **ret_reader,
                                   struct varve_wal_verdict *ret_verdict, varve_error *err)
{
    struct varve_wal_verdict verdict = {0};
    uint64_t commit;
    varve_status rc;

    struct varve_wal_reader *r = varve_alloc_zero(options->heap, 1, sizeof *r);
    if (r == NULL)
        return varve_error_nomem(err, "a log reader");
    r->options = *options;
    r->options.segments = NULL;
    r->durable_lsn = options->durable_lsn;
    r->commit_lsn = options->commit_lsn;
    rc = listed_set(r, options->segments, options->n_segments, err);
    if (rc < 0)
        goto fail;
    r->window = varve_alloc_aligned(options->heap, (size_t)VARVE_WAL_WINDOW_PAGES * VARVE_PAGE_SIZE,
                                    VARVE_PAGE_SIZE);
    if (r->window == NULL) {
        rc = varve_error_nomem(err, "a log reader");
        goto fail;
    }
    if (options->mode == VARVE_WAL_FOLLOW) {
        rc = varve_wal_reader_refresh(r, NULL, 0, &commit, err);
    } else {
        rc = recover(r, &verdict, err);
        if (ret_verdict != NULL && verdict.kind != 0)
            *ret_verdict = verdict;
        varve_wal_scan_reset(r); /* the second pass gives the records */
    }
    if (rc < 0)
        goto fail;
    *ret_reader = r;
    return VARVE_OK;

fail:
    varve_wal_reader_close(r);
    return rc;
}

void varve_wal_reader_close(struct varve_wal_reader *r)
{
    if (r == NULL)
        return;
    struct varve_heap *const heap = r->options.heap;
    const size_t n = (size_t)r->n_segments + 1;

    if (r->file != NULL)
        r->options.vfs->ops->close(r->file);
    varve_free(heap, r->listed, n * sizeof *r->listed);
    varve_free(heap, r->found, n * sizeof *r->found);
    varve_free_aligned(heap, r->window, (size_t)VARVE_WAL_WINDOW_PAGES * VARVE_PAGE_SIZE,
                       VARVE_PAGE_SIZE);
    varve_free(heap, r->payload, r->payload_capacity);
    varve_free(heap, r, sizeof *r);
}

/* --------------------------------------------------------------------------------- Following */

/* The stop's damage as an error. */
static varve_status follow_refuse(const struct varve_wal_reader *r, varve_error *err)
{
    struct varve_wal_verdict v = {.kind = VARVE_WAL_REFUSE_DAMAGED};

    if (r->stop.chain_broken)
        v.kind = VARVE_WAL_REFUSE_CHAIN;
    verdict_fill(r, &v);
    return verdict_refuse(r, &v, err);
}

/* Whether a place that is not as it must be may be better yet, after a pause. What the disk does not
 * give back is no half-written page: it is asked for once more, not for as long. */
static bool look_again(const struct varve_wal_reader *r, uint64_t *pause_us)
{
    const uint64_t longest = r->stop.os_code != 0 ? PAUSE_MIN_US : PAUSE_MAX_US;

    *pause_us = *pause_us == 0 ? PAUSE_MIN_US : 2 * *pause_us;
    if (*pause_us > longest)
        return false;
    r->options.vfs->ops->pause(r->options.vfs, *pause_us);
    return true;
}

/* Go from *reached as far as records can be read, and say where that is; *ret_damaged: evidence covers
 * more than that. */
static varve_status follow_scan(struct varve_wal_reader *r, struct varve_wal_cursor *reached,
                                bool *ret_damaged, varve_error *err)
{
    struct varve_wal_record record;
    struct varve_span payload;
    enum varve_wal_after after;

    r->at = *reached;
    varve_status rc = varve_wal_scan_reenter(r, err);
    for (; rc == VARVE_OK; rc = varve_wal_record_next(r, &record, &payload, err))
        *reached = r->at;
    if (rc != VARVE_END)
        return rc;
    const struct varve_wal_stop stop = r->stop;
    if (!stop.chain_broken) {
        rc = varve_wal_scan_after(r, VARVE_WAL_WINDOW_PAGES, &after, err);
        if (rc < 0)
            return rc;
    }
    r->stop = stop;
    const uint64_t needed = r->at.lsn > r->options.start_lsn ? r->at.lsn : r->options.start_lsn;
    *ret_damaged =
        stop.chain_broken || stop.bad_record || stop.os_code != 0 || r->durable_lsn > needed;
    return VARVE_OK;
}

varve_status varve_wal_reader_refresh(struct varve_wal_reader *r,
                                      const struct varve_wal_listed *segments, uint32_t n_segments,
                                      uint64_t *ret_commit_lsn, varve_error *err)
{
    const struct varve_wal_cursor saved = r->at;
    struct varve_wal_cursor reached_at = saved;
    uint64_t pause_us = 0;
    bool damaged = false;
    varve_status rc = VARVE_OK;

    if (r->options.mode != VARVE_WAL_FOLLOW)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "this log reader does not follow");
    if (segments != NULL)
        rc = listed_set(r, segments, n_segments, err);
    if (rc < 0)
        return rc;
    /* What was read may have been half written then. What the evidence covers was on the disk before
     * the evidence was written, so another look must show it. */
    do {
        rc = follow_scan(r, &reached_at, &damaged, err);
    } while (rc == VARVE_OK && damaged && look_again(r, &pause_us));
    const uint64_t reached = r->at.lsn;
    if (rc == VARVE_OK && damaged && r->options.salvage)
        (void)follow_refuse(r, &r->missing);
    else if (rc == VARVE_OK && damaged)
        rc = follow_refuse(r, err);
    r->at = saved;
    if (rc < 0)
        return rc;
    rc = varve_wal_scan_reenter(r, err); /* the page may have grown since it was entered */
    if (rc < 0)
        return rc;
    r->limit_lsn = r->commit_lsn < reached ? r->commit_lsn : reached;
    *ret_commit_lsn = r->limit_lsn;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Iteration */

/* A record that the first pass read is not there any more, or the disk gives it back no more. */
static varve_status changed_underneath(const struct varve_wal_reader *r, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];
    const bool unreadable = r->stop.os_code != 0;
    const varve_status status = unreadable ? VARVE_EIO : VARVE_ECORRUPT;

    varve_wal_segment_name(stop_id(r), name);
    varve_error_set(err, status, name, (uint64_t)r->stop.page_no * VARVE_PAGE_SIZE,
                    unreadable ? "the log could be read until now: %s"
                               : "the log changed while it was read: %s",
                    r->stop.why);
    if (err != NULL) {
        err->os_code = r->stop.os_code;
        err->lsn = r->at.lsn;
        err->lsn_end = r->limit_lsn;
    }
    return status;
}

varve_status varve_wal_reader_next(struct varve_wal_reader *r, struct varve_wal_record *ret_record,
                                   struct varve_span *ret_payload, varve_error *err)
{
    uint64_t pause_us = 0;

    for (;;) {
        if (r->at.lsn >= r->limit_lsn)
            return VARVE_END;
        varve_status rc = varve_wal_record_next(r, ret_record, ret_payload, err);
        if (rc == VARVE_END && r->at.lsn < r->limit_lsn && r->limit_lsn > r->options.start_lsn) {
            /* The page may be half written again, longer: the writer gives it back. */
            if (r->options.mode != VARVE_WAL_FOLLOW || !look_again(r, &pause_us))
                return changed_underneath(r, err);
            rc = varve_wal_scan_reenter(r, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (rc != VARVE_OK)
            return rc;
        if (ret_record->lsn >= r->options.start_lsn)
            return VARVE_OK;
        pause_us = 0;
    }
}

uint64_t varve_wal_reader_lsn(const struct varve_wal_reader *r)
{
    return r->at.lsn > r->options.start_lsn ? r->at.lsn : r->options.start_lsn;
}

uint64_t varve_wal_reader_durable_lsn(const struct varve_wal_reader *r)
{
    return r->durable_lsn; /* began as the manifest's, and only grew */
}

bool varve_wal_reader_missing(const struct varve_wal_reader *r, varve_error *ret_error)
{
    if (r->missing.status == VARVE_OK)
        return false;
    *ret_error = r->missing;
    return true;
}
