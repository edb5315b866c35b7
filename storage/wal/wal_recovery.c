/*
 * wal_recovery.c - see wal_recovery.h.
 */
#include "storage/wal/wal_recovery.h"

#include <assert.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/wal/reader_int.h"

/* The end of the segment is known to be durable, and a seal says so. */
static bool is_vouched(const struct varve_wal_reader *r, uint32_t i)
{
    const struct varve_wal_found *const f = &r->found[i];

    if (!f->used || !f->complete || !f->seal_read)
        return false;
    return r->listed[i].sealed || r->durable_lsn >= f->end_lsn;
}

/* Past every position that the listed segments have room for. */
static uint64_t base_beyond(const struct varve_wal_reader *r, uint64_t recovered_to)
{
    uint64_t end = recovered_to;

    for (uint32_t i = 0; i < r->n_segments; i++) {
        const struct varve_wal_listed *const l = &r->listed[i];
        const uint64_t room_end = l->base_lsn + varve_wal_segment_capacity(l->size);

        if (!l->sealed && !is_vouched(r, i) && room_end > end)
            end = room_end;
    }
    return end > r->seen_lsn ? end : r->seen_lsn;
}

/* Size of a segment that takes what is copied. */
static uint64_t copy_size(const struct varve_wal_found *f)
{
    const uint64_t bytes = f->end_lsn - f->header.base_lsn;
    /* Header, seal, and a page for each time that a group cannot go on in the last page. */
    const uint64_t pages = bytes / VARVE_PAGE_PAYLOAD + 4;
    uint64_t size = pages * VARVE_PAGE_SIZE;
    const uint64_t quarter =
        ((uint64_t)f->payload_max * 4 + VARVE_PAGE_SIZE - 1) / VARVE_PAGE_SIZE * VARVE_PAGE_SIZE;

    if (size < quarter)
        size = quarter;
    if (size < VARVE_WAL_SEGMENT_MIN)
        size = VARVE_WAL_SEGMENT_MIN;
    return size < VARVE_WAL_SEGMENT_MAX ? size : VARVE_WAL_SEGMENT_MAX;
}

static void group_open(struct varve_wal_writer *w)
{
    const int rc = varve_wal_begin(w, false, NULL);

    assert(rc == VARVE_OK); /* nothing is open, in flight, or has failed */
}

static varve_status group_flush(struct varve_wal_writer *w, varve_error *err)
{
    struct varve_wal_group_done done;
    uint64_t ticket;

    const varve_status sent = varve_wal_submit(w, &ticket);
    assert(sent == VARVE_OK); /* it holds a record */
    while (varve_wal_reap(w, true, UINT64_MAX, &done, 1) == 0)
        continue;
    return varve_wal_error(w, err);
}

static varve_status segment_refuse(const struct varve_wal_reader *r, uint32_t i, varve_status rc,
                                   const char *what, const char *why, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];

    varve_wal_segment_name(r->listed[i].id, name);
    varve_error_set(err, rc, name, VARVE_NO_OFFSET, "%s: %s", what, why);
    if (err != NULL)
        err->lsn = r->at.lsn;
    return rc;
}

/* The second reading of a segment is not the one that was accepted. */
static varve_status changed(const struct varve_wal_reader *r, uint32_t i, const char *why,
                            varve_error *err)
{
    return segment_refuse(r, i, VARVE_ECORRUPT, "the log changed while it was recovered", why, err);
}

/* Append one record with the place and history that it had. The copy was made large enough for all
 * that was accepted: VARVE_WAL_SEGMENT says that this is something else. */
static int record_copy(struct varve_wal_writer *w, const struct varve_wal_record *record,
                       struct varve_span payload, varve_error *err)
{
    struct varve_wal_record copy = *record;
    uint64_t end;

    copy.flags &= VARVE_WAL_BULK;
    int rc = varve_wal_append(w, &copy, payload, &end, err);
    if (rc == VARVE_WAL_FULL) {
        rc = group_flush(w, err);
        if (rc < 0)
            return rc;
        group_open(w);
        rc = varve_wal_append(w, &copy, payload, &end, err);
    }
    assert(rc != VARVE_OK ||
           (copy.lsn == record->lsn && copy.index == record->index && copy.chain == record->chain));
    return rc;
}

/* The records of a segment go on from the history that the copy's writer was given. */
static bool history_is_same(const struct varve_wal_header *a, const struct varve_wal_header *b)
{
    return a->base_index == b->base_index && a->base_term == b->base_term &&
           a->base_chain == b->base_chain && a->base_hlc == b->base_hlc;
}

/* The records of found segment `i`, through a writer that has one segment, and its seal. They are read
 * a second time, and what is read now need not be what was accepted then. */
static varve_status records_copy(struct varve_wal_reader *r, uint32_t i, struct varve_wal_writer *w,
                                 varve_error *err)
{
    const struct varve_wal_found accepted = r->found[i];
    struct varve_wal_record record;
    struct varve_span payload;

    group_open(w);
    while (r->at.lsn < accepted.end_lsn) {
        const varve_status rc = varve_wal_record_next(r, &record, &payload, err);
        if (rc == VARVE_END)
            return changed(r, i, r->stop.why, err);
        if (rc < 0)
            return rc;
        if (r->at.segment < i)
            continue;
        if (r->at.segment > i || !history_is_same(&accepted.header, &r->found[i].header))
            return changed(r, i, "a segment has another beginning or end", err);
        /* Parts that this version skips would be lost, and every position behind them with them. */
        if (record.header_size != varve_wal_record_header_size(&record))
            return segment_refuse(r, i, VARVE_EVERSION, "a log segment cannot be copied",
                                  "a record has parts that need a newer version", err);
        const int put = record_copy(w, &record, payload, err);
        if (put < 0)
            return (varve_status)put;
        if (put > 0)
            return changed(r, i, "a segment holds more", err);
    }
    if (varve_wal_appended_lsn(w) != accepted.end_lsn || r->at.chain != accepted.chain)
        return changed(r, i, "a segment holds other records", err);
    const varve_status rc = group_flush(w, err);
    return rc < 0 ? rc : varve_wal_seal(w, err);
}

/* A new segment in the place of found segment `i`; prev_* of `start` say what is before it. */
static varve_status segment_copy(struct varve_wal_reader *r, uint32_t i, uint64_t id, bool direct,
                                 const struct varve_wal_start *start,
                                 struct varve_wal_listed *ret_listed, varve_error *err)
{
    const struct varve_wal_options options = {.vfs = r->options.vfs, .heap = r->options.heap};
    struct varve_wal_options with_store = options;
    struct varve_wal_segment *segment = NULL;
    struct varve_wal_writer *w = NULL;
    struct varve_wal_seal seal;
    struct varve_wal_listed listed = {.id = id, .size = copy_size(&r->found[i]), .sealed = true};
    uint64_t sealed_id;

    memcpy(with_store.store_uuid, r->options.store_uuid, 16);
    varve_status rc = varve_wal_segment_create(r->options.vfs, r->options.heap, id, listed.size,
                                               direct, &segment, err);
    if (rc < 0)
        return rc;
    do {
        rc = varve_wal_segment_step(segment, err);
    } while (rc == VARVE_OK);
    if (rc < 0)
        goto fail;
    memcpy(listed.uuid, varve_wal_segment_uuid(segment), 16);
    rc = varve_wal_writer_create(&with_store, start, &w, err);
    if (rc < 0)
        goto fail;
    rc = (varve_status)varve_wal_prepare_next(w, segment, &listed.base_lsn, err);
    if (rc < 0)
        goto fail;
    assert(rc == VARVE_OK && listed.base_lsn == start->base_lsn); /* nothing is open or in flight */
    varve_wal_use_next(w, segment);
    segment = NULL; /* the writer's now */
    rc = records_copy(r, i, w, err);
    if (rc < 0)
        goto fail;
    const bool told = varve_wal_sealed(w, &sealed_id, &listed.base_lsn, &seal);
    assert(told && sealed_id == id);
    listed.final_lsn = seal.lsn;
    listed.digest = seal.digest;
    varve_wal_writer_destroy(w);
    *ret_listed = listed;
    return VARVE_OK;

fail:
    varve_wal_segment_close(segment, false);
    varve_wal_writer_destroy(w);
    char name[VARVE_WAL_NAME_MAX];
    varve_wal_segment_name(id, name);
    (void)r->options.vfs->ops->unlink(r->options.vfs, name);
    return rc;
}

/* Found segment `i` stays as it is. */
static void segment_keep(const struct varve_wal_reader *r, uint32_t i,
                         struct varve_wal_recovered *ret)
{
    struct varve_wal_listed *const out = &ret->segments[ret->n_segments++];

    *out = r->listed[i];
    out->base_lsn = r->found[i].header.base_lsn;
    out->sealed = true;
    out->final_lsn = r->found[i].end_lsn;
    out->digest = r->found[i].digest;
}

/* What follows the last segment of the new list. */
static void start_follow(struct varve_wal_start *start, const struct varve_wal_listed *last,
                         const struct varve_wal_found *f)
{
    start->prev_id = last->id;
    memcpy(start->prev_uuid, last->uuid, 16);
    start->prev_final_lsn = last->final_lsn;
    start->prev_digest = last->digest;
    start->index = f->index;
    start->term = f->term;
    start->chain = f->chain;
    start->hlc = f->hlc;
}

/* What stood before found segment `i` in its own header, for the first of the new list. */
static void start_from_header(struct varve_wal_start *start, const struct varve_wal_found *f)
{
    const struct varve_wal_header *const h = &f->header;

    *start = (struct varve_wal_start){.prev_id = h->prev_id,
                                      .prev_final_lsn = h->prev_final_lsn,
                                      .prev_digest = h->prev_digest,
                                      .index = h->base_index,
                                      .term = h->base_term,
                                      .chain = h->base_chain,
                                      .hlc = h->base_hlc};
    memcpy(start->prev_uuid, h->prev_uuid, 16);
}

/* The manifest's state may be ahead of a log whose last bytes nobody had asked to be synced: then
 * everything the log holds is in files, and the new log begins with nothing before it. */
static bool is_behind(const struct varve_wal_reader *r, uint64_t recovered_to)
{
    for (uint32_t i = 0; i < r->n_segments; i++)
        if (r->found[i].used && r->found[i].end_lsn >= recovered_to)
            return false;
    return true;
}

static varve_status segments_recover(struct varve_wal_reader *r, bool direct,
                                     struct varve_wal_recovered *ret, varve_error *err)
{
    struct varve_wal_start *const start = &ret->start;
    const bool behind = is_behind(r, start->prev_final_lsn);
    bool copying = behind;

    for (uint32_t i = 0; i < r->n_segments; i++) {
        const struct varve_wal_found *const f = &r->found[i];

        if (i == 0 && !behind) {
            /* Numbers only grow: the copies' are above that of every segment that there ever was. */
            if (f->header.prev_id >= ret->next_id)
                return segment_refuse(r, i, VARVE_ECORRUPT, "the log is not whole",
                                      "a segment follows one that was never made", err);
            start_from_header(start, f);
        }
        copying = copying || !is_vouched(r, i);
        if (!copying) {
            segment_keep(r, i, ret);
        } else {
            ret->dropped[ret->n_dropped++] = r->listed[i].id;
            if (behind || f->end_lsn == f->header.base_lsn) /* so is one that was never reached */
                continue;
            start->base_lsn = f->header.base_lsn;
            const varve_status rc = segment_copy(r, i, ret->next_id, direct, start,
                                                 &ret->segments[ret->n_segments], err);
            if (rc < 0)
                return rc;
            ret->n_segments++;
            ret->next_id++;
        }
        start_follow(start, &ret->segments[ret->n_segments - 1], f);
    }
    return VARVE_OK;
}

varve_status varve_wal_recover(struct varve_wal_reader *r, const struct varve_wal_verdict *verdict,
                               uint64_t first_id, bool direct, struct varve_wal_recovered *ret,
                               varve_error *err)
{
    struct varve_heap *const heap = r->options.heap;
    struct varve_wal_recovered out = {
        .heap = heap, .capacity = r->n_segments + 1, .next_id = first_id};

    if (r->options.mode != VARVE_WAL_RECOVERY ||
        (verdict->kind != VARVE_WAL_CLEAN_END && verdict->kind != VARVE_WAL_CUT))
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a refused log is not recovered");
    out.segments = varve_alloc_zero(heap, out.capacity, sizeof *out.segments);
    out.dropped = varve_alloc_zero(heap, out.capacity, sizeof *out.dropped);
    if (out.segments == NULL || out.dropped == NULL) {
        varve_wal_recovered_free(&out);
        return varve_error_nomem(err, "recovering the log");
    }
    varve_wal_scan_reset(r);
    out.start = (struct varve_wal_start){.prev_final_lsn = verdict->recovered_to,
                                         .index = verdict->index,
                                         .term = verdict->term,
                                         .chain = verdict->chain,
                                         .hlc = verdict->hlc};
    const uint64_t base = base_beyond(r, verdict->recovered_to);
    const varve_status rc = segments_recover(r, direct, &out, err);
    if (rc < 0) {
        char name[VARVE_WAL_NAME_MAX];
        for (uint64_t id = first_id; id < out.next_id; id++) {
            varve_wal_segment_name(id, name);
            (void)r->options.vfs->ops->unlink(r->options.vfs, name);
        }
        varve_wal_recovered_free(&out);
        return rc;
    }
    out.start.base_lsn = base;
    varve_wal_scan_reset(r);
    *ret = out;
    return VARVE_OK;
}

void varve_wal_recovered_free(struct varve_wal_recovered *recovered)
{
    if (recovered->heap == NULL)
        return;
    varve_free(recovered->heap, recovered->segments,
               recovered->capacity * sizeof *recovered->segments);
    varve_free(recovered->heap, recovered->dropped,
               recovered->capacity * sizeof *recovered->dropped);
    *recovered = (struct varve_wal_recovered){0};
}
