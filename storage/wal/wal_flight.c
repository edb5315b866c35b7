/*
 * wal_flight.c - groups on their way to the disk: trailers, submission, completion in order, syncs,
 * seals. Invariants W1 to W6 of wal_writer.h are kept here.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/wal/writer_int.h"

#define REAP_BATCH 32u

void varve_wal_fail(struct varve_wal_writer *w, varve_status status, int64_t os,
                    struct varve_wal_segment *segment, uint64_t offset, const char *what)
{
    char name[VARVE_WAL_NAME_MAX] = "";

    if (w->error.status < 0) /* the first error is the one that is kept */
        return;
    if (segment != NULL)
        varve_wal_segment_name(segment->id, name);
    varve_error_os(&w->error, os, name, offset, what);
    w->error.status = status;
    w->error.lsn = w->written_lsn;
    w->error.lsn_end = w->lsn;
}

/* -------------------------------------------------------------------------------- Submission */

void varve_wal_tail_close(struct varve_wal_writer *w)
{
    if (w->tail_open)
        w->digest = varve_page_digest_add(w->digest, w->tail_checksum);
    w->tail_open = false;
}

/* Write the trailers of a group's pages. Control pages bring their own flag. */
static void pages_encode(struct varve_wal_writer *w, struct varve_wal_group *g, uint16_t control)
{
    uint32_t page_no = g->first_page;
    uint64_t lsn = g->first_lsn;

    for (struct varve_wal_chunk *c = &g->first; c != NULL && c->pages > 0; c = c->next) {
        for (uint32_t i = 0; i < c->pages; i++) {
            uint8_t *const page = c->data + (size_t)i * VARVE_PAGE_SIZE;
            const bool last = c == g->last && i + 1 == c->pages;
            const bool partial =
                last && control == 0 && !g->durable && g->page_used < VARVE_PAGE_PAYLOAD;
            const struct varve_page_place place =
                varve_wal_page_place(g->segment->uuid, g->segment->id, page_no);
            struct varve_page_trailer t = {
                .durable_lsn = w->durable_lsn,
                .commit_lsn = w->commit_lsn,
                .first_lsn = lsn,
                .used = (uint16_t)(last ? g->page_used : VARVE_PAGE_PAYLOAD),
                .flags = control,
                .first_record = varve_get_u16(page + VARVE_PAGE_PAYLOAD)};

            if (partial)
                t.flags |= VARVE_PAGE_PARTIAL;
            if (g->rewriting && page_no == g->first_page)
                t.flags |= VARVE_PAGE_REWRITTEN;
            const uint64_t checksum = varve_page_encode(page, &place, &t);
            if (partial) {
                w->tail_open = true;
                w->tail_seq = w->last_seq + 1; /* the group's, in a moment */
                w->tail_checksum = checksum;
                w->tail_lsn = lsn;
                w->tail_used = t.used;
                w->tail_first_record = t.first_record;
                memcpy(w->tail, page, t.used);
            } else if ((control & VARVE_PAGE_SEAL) == 0) {
                w->digest = varve_page_digest_add(w->digest, checksum);
            }
            lsn += t.used;
            page_no++;
        }
    }
    w->told_durable = w->durable_lsn;
    w->told_commit = w->commit_lsn;
}

static struct varve_io *io_prepare(struct varve_wal_group *g, struct varve_io *io, uint8_t *data,
                                   uint32_t first_page, uint32_t pages)
{
    *io = (struct varve_io){.op = g->plain ? VARVE_IO_WRITE : VARVE_IO_WRITE_DSYNC,
                            .file = g->segment->file,
                            .buffer = data,
                            .size = (size_t)pages * VARVE_PAGE_SIZE,
                            .offset = (uint64_t)first_page * VARVE_PAGE_SIZE,
                            .tag = g};
    return io;
}

/* Number the group, put it in flight, and submit its writes. */
static void group_submit(struct varve_wal_writer *w, struct varve_wal_group *g)
{
    struct varve_io *ios[VARVE_WAL_QUEUE_DEPTH / VARVE_WAL_SLOTS];
    uint32_t n = 0;
    uint32_t page_no = g->first_page;

    g->seq = ++w->last_seq;
    g->plain = !g->durable || w->plain_seq > w->durable_seq;
    w->flight[w->n_flight++] = g;
    if (w->error.status < 0) {
        g->failed = true;
        return;
    }
    g->segment->last_seq = g->seq;
    if (g->plain)
        w->plain_seq = g->segment->plain_seq = g->seq;
    if (g->durable)
        w->sync_wanted = g->seq;

    for (struct varve_wal_chunk *c = &g->first; c != NULL && c->pages > 0; c = c->next) {
        assert(n < sizeof ios / sizeof ios[0]);
        ios[n++] = io_prepare(g, &c->io, c->data, page_no, c->pages);
        page_no += c->pages;
    }
    for (uint32_t i = 0; i < n; i++)
        w->counters.bytes_submitted += ios[i]->size;
    w->counters.groups++;
    w->counters.writes += n;
    w->counters.syncs += g->plain ? 0 : n;
    w->counters.rewrites += g->rewriting;
    const int os = w->options.vfs->ops->submit(w->queue, ios, n);
    if (os < 0) {
        g->failed = true;
        varve_wal_fail(w, VARVE_EIO, os, g->segment, ios[0]->offset, "write");
    } else {
        g->pending = n;
    }
}

void varve_wal_group_send(struct varve_wal_writer *w, struct varve_wal_group *g)
{
    if (w->error.status == 0)
        pages_encode(w, g, 0);
    group_submit(w, g);
}

varve_status varve_wal_submit(struct varve_wal_writer *w, uint64_t *ret_ticket)
{
    struct varve_wal_group *const g = w->open;

    assert(g != NULL);
    w->open = NULL;
    if (g->bytes == 0) {
        varve_wal_group_release(w, g);
        return VARVE_END;
    }
    varve_wal_group_send(w, g);
    *ret_ticket = g->seq;
    return VARVE_OK;
}

void varve_wal_drop(struct varve_wal_writer *w)
{
    if (w->open != NULL)
        varve_wal_group_release(w, w->open);
    w->open = NULL;
}

/* ------------------------------------------------------------------------------------- Syncs */

/* The oldest segment that is not durable to its end as written: there is one. */
static struct varve_wal_segment *oldest_undurable(struct varve_wal_writer *w)
{
    for (struct varve_wal_segment *s = w->retired; s != NULL; s = s->next)
        if (s->last_seq > w->durable_seq)
            return s;
    assert(w->current != NULL && w->current->last_seq > w->durable_seq);
    return w->current;
}

/* Whether a page of the segment that a sync now would cover is being written again, or about to be:
 * what it holds already could be torn with it after it was called durable. */
static bool is_rewriting(const struct varve_wal_writer *w, const struct varve_wal_segment *s)
{
    bool rewriting = w->open != NULL && w->open->rewriting && s == w->current;

    for (uint32_t i = 0; i < w->n_flight; i++) {
        const struct varve_wal_group *const g = w->flight[i];
        rewriting = rewriting || (g->rewriting && !g->written && g->segment == s);
    }
    return rewriting;
}

/* Submit the next sync if one is asked for and has something to cover. True if it did. */
static bool sync_start(struct varve_wal_writer *w)
{
    if (w->error.status < 0 || w->syncing || w->sync_wanted <= w->durable_seq)
        return false;
    struct varve_wal_segment *const s = oldest_undurable(w);
    const uint64_t covers = w->written_seq < s->last_seq ? w->written_seq : s->last_seq;
    const uint64_t needed = w->sync_wanted < s->last_seq ? w->sync_wanted : s->last_seq;
    if (covers < needed) /* they are on their way, with DSYNC or without */
        return false;
    assert(s->plain_seq > w->durable_seq); /* what is written with DSYNC is durable */
    if (is_rewriting(w, s))                /* a sync is tried again when that is written */
        return false;
    if (s == w->current)
        varve_wal_tail_close(w);

    w->syncing = true;
    w->sync_seq = covers;
    w->sync_lsn = covers == w->written_seq ? w->written_lsn : s->seal.lsn;
    w->sync_io = (struct varve_io){.op = VARVE_IO_SYNC, .file = s->file, .tag = s};
    w->counters.syncs++;
    struct varve_io *io = &w->sync_io;
    const int os = w->options.vfs->ops->submit(w->queue, &io, 1);
    if (os < 0) {
        w->syncing = false;
        varve_wal_fail(w, VARVE_EIO_SYNC, os, s, VARVE_NO_OFFSET, "sync");
        return false;
    }
    return true;
}

varve_status varve_wal_sync(struct varve_wal_writer *w, varve_error *err)
{
    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (w->last_seq <= w->durable_seq)
        return VARVE_END;
    w->sync_wanted = w->last_seq;
    (void)sync_start(w);
    return varve_wal_error(w, err);
}

bool varve_wal_syncing(const struct varve_wal_writer *w)
{
    return w->error.status == 0 && w->sync_wanted > w->durable_seq;
}

/* -------------------------------------------------------------------------------- Completion */

static void sync_finish(struct varve_wal_writer *w, const struct varve_io *io)
{
    w->syncing = false;
    if (io->result < 0) {
        varve_wal_fail(w, VARVE_EIO_SYNC, io->result, io->tag, VARVE_NO_OFFSET, "sync");
        return;
    }
    if (w->error.status == 0) {
        /* Meanwhile no group went past it with DSYNC: none is, behind one that waits for a sync. */
        assert(w->sync_seq > w->durable_seq);
        w->durable_seq = w->sync_seq;
        w->durable_lsn = w->sync_lsn;
    }
}

static void write_finish(struct varve_wal_writer *w, const struct varve_io *io)
{
    struct varve_wal_group *const g = io->tag;
    int64_t os = io->result;

    assert(g->pending > 0);
    g->pending--;
    if (os >= 0 && (uint64_t)os == io->size)
        return;
    if (os >= 0)
        os = -EIO; /* a transfer that ended early */
    g->failed = true;
    const varve_status status = io->op == VARVE_IO_WRITE_DSYNC ? VARVE_EIO_SYNC : VARVE_EIO;
    varve_wal_fail(w, status, os, g->segment, io->offset, "write");
}

/* Move the frontiers over what has completed, in order. */
static void frontiers_move(struct varve_wal_writer *w)
{
    for (uint32_t i = 0; i < w->n_flight; i++) {
        struct varve_wal_group *const g = w->flight[i];

        if (g->written)
            continue;
        if (g->pending > 0 || g->failed)
            return;
        assert(g->seq == w->written_seq + 1);
        g->written = true;
        w->written_seq = g->seq;
        w->written_lsn = g->lsn_end;
        if (!g->plain) {
            assert(w->durable_seq == g->seq - 1);
            w->durable_seq = g->seq;
            w->durable_lsn = g->lsn_end;
        }
    }
}

static bool group_succeeded(const struct varve_wal_writer *w, const struct varve_wal_group *g)
{
    return g->written && (!g->durable || g->internal || w->durable_seq >= g->seq);
}

/* Take finished groups from the front; buffers that a failed disk may still read stay in use. */
static uint32_t groups_collect(struct varve_wal_writer *w, struct varve_wal_group_done *out,
                               uint32_t max)
{
    uint32_t n = 0, taken = 0;

    while (taken < w->n_flight && (w->error.status < 0 || group_succeeded(w, w->flight[taken]))) {
        struct varve_wal_group *const g = w->flight[taken];

        if (!g->internal) {
            if (n == max)
                break;
            out[n++] = (struct varve_wal_group_done){
                .ticket = g->seq,
                .lsn_end = g->lsn_end,
                .status = group_succeeded(w, g) ? VARVE_OK : w->error.status};
        }
        if (g->pending == 0)
            varve_wal_group_release(w, g);
        taken++;
    }
    w->n_flight -= taken;
    memmove(w->flight, w->flight + taken, w->n_flight * sizeof w->flight[0]);
    return n;
}

static bool anything_in_flight(const struct varve_wal_writer *w)
{
    if (w->syncing)
        return true;
    for (uint32_t i = 0; i < w->n_flight; i++)
        if (w->flight[i]->pending > 0)
            return true;
    return false;
}

/* One look at the queue. False: nothing had finished. */
static bool queue_reap(struct varve_wal_writer *w, bool wait, uint64_t timeout_us)
{
    struct varve_io *done[REAP_BATCH];

    if (!anything_in_flight(w))
        return false;
    const int n = w->options.vfs->ops->reap(w->queue, done, REAP_BATCH, wait ? 1 : 0, timeout_us);
    if (n < 0)
        varve_wal_fail(w, VARVE_EIO, n, NULL, VARVE_NO_OFFSET, "wait for the log");
    for (int i = 0; i < n; i++) {
        if (done[i] == &w->sync_io)
            sync_finish(w, done[i]);
        else
            write_finish(w, done[i]);
    }
    return n > 0;
}

int varve_wal_reap(struct varve_wal_writer *w, bool wait, uint64_t timeout_us,
                   struct varve_wal_group_done *out, uint32_t max)
{
    bool more = true;

    while (more && w->error.status == 0) {
        more = queue_reap(w, wait, timeout_us);
        frontiers_move(w);
        more = sync_start(w) || more;
        wait = false;
    }
    return (int)groups_collect(w, out, max);
}

uint32_t varve_wal_in_flight(const struct varve_wal_writer *w)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_flight; i++)
        n += !w->flight[i]->internal;
    return n;
}

bool varve_wal_busy(const struct varve_wal_writer *w)
{
    return w->n_flight > 0 || varve_wal_syncing(w);
}

/* ------------------------------------------------------------------------------------- Seals */

bool varve_wal_control_send(struct varve_wal_writer *w, uint16_t flag, bool durable)
{
    struct varve_wal_group *const g = varve_wal_group_take(w);

    if (g == NULL)
        return false;
    varve_wal_tail_close(w);
    g->internal = true;
    g->durable = durable;
    g->segment = w->current;
    g->first_page = w->next_page++;
    g->first_lsn = g->lsn_end = w->lsn;
    g->first.pages = 1;
    g->page_used = VARVE_WAL_SEAL_SIZE;
    const struct varve_wal_seal seal = {.lsn = w->lsn,
                                        .digest = w->digest,
                                        .index = w->index,
                                        .term = w->term,
                                        .chain = w->chain,
                                        .hlc = w->hlc};
    varve_wal_seal_encode(&seal, g->first.data);
    varve_put_u16(g->first.data + VARVE_PAGE_PAYLOAD, VARVE_PAGE_NO_RECORD);
    if (flag == VARVE_PAGE_SEAL) {
        w->current->sealed = true;
        w->current->seal = seal;
    }
    pages_encode(w, g, flag);
    group_submit(w, g);
    return true;
}

bool varve_wal_current_seal(struct varve_wal_writer *w)
{
    struct varve_wal_segment *const s = w->current;

    if (!varve_wal_control_send(w, VARVE_PAGE_SEAL, true))
        return false;
    w->start.prev_id = s->id;
    memcpy(w->start.prev_uuid, s->uuid, 16);
    w->start.prev_final_lsn = s->seal.lsn;
    w->start.prev_digest = s->seal.digest;
    w->start.index = w->index;
    w->start.term = w->term;
    w->start.chain = w->chain;
    w->start.hlc = w->hlc;
    return true;
}

/* ------------------------------------------------------------------------- The next segment */

static void header_encode(const struct varve_wal_writer *w, const struct varve_wal_segment *s)
{
    struct varve_wal_header h = {
        .id = s->id,
        .size = s->size,
        .prev_id = w->start.prev_id,
        .prev_final_lsn = w->start.prev_final_lsn,
        .prev_digest = w->start.prev_digest,
        .base_lsn = w->lsn,
        .base_index = w->start.index,
        .base_term = w->start.term,
        .base_chain = w->start.chain,
        .base_hlc = w->start.hlc,
    };
    const struct varve_page_place place = varve_wal_page_place(s->uuid, s->id, 0);
    const struct varve_page_trailer trailer = {.durable_lsn = w->durable_lsn,
                                               .commit_lsn = w->commit_lsn,
                                               .first_lsn = w->lsn,
                                               .used = VARVE_WAL_HEADER_SIZE,
                                               .flags = VARVE_PAGE_HEADER,
                                               .first_record = VARVE_PAGE_NO_RECORD};

    memcpy(h.uuid, s->uuid, 16);
    memcpy(h.store_uuid, w->options.store_uuid, 16);
    memcpy(h.prev_uuid, w->start.prev_uuid, 16);
    varve_wal_header_encode(&h, w->header);
    (void)varve_page_encode(w->header, &place, &trailer);
}

/* Write the header page and sync it. Nothing names the file yet, so that a failure here costs the
 * segment and no more. */
static varve_status header_write(struct varve_wal_writer *w, struct varve_wal_segment *s,
                                 varve_error *err)
{
    const struct varve_vfs_ops *const ops = s->vfs->ops;
    char name[VARVE_WAL_NAME_MAX];

    varve_wal_segment_name(s->id, name);
    if (w->lsn > VARVE_WAL_BASE_MAX)
        return varve_error_set(err, VARVE_ELIMIT, name, VARVE_NO_OFFSET,
                               "no positions are left in the log");
    header_encode(w, s);
    const int64_t wrote = ops->write(s->file, w->header, VARVE_PAGE_SIZE, 0);
    if (wrote < 0)
        return varve_error_os(err, wrote, name, 0, "write");
    const int os = ops->sync(s->file);
    if (os < 0)
        return varve_error_os(err, os, name, VARVE_NO_OFFSET, "sync");
    w->counters.bytes_submitted += VARVE_PAGE_SIZE;
    w->counters.writes++;
    w->counters.syncs++;
    s->begun = true;
    s->base_lsn = w->lsn;
    s->header_digest = varve_page_digest_add(0, varve_page_checksum(w->header));
    return VARVE_OK;
}

int varve_wal_prepare_next(struct varve_wal_writer *w, struct varve_wal_segment *segment,
                           uint64_t *ret_base_lsn, varve_error *err)
{
    uint32_t waiting = 0;

    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (!segment->ready)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a log segment is not ready");
    if (w->open != NULL && w->open->bytes > 0)
        return VARVE_WAL_FULL;
    for (const struct varve_wal_segment *s = w->retired; s != NULL; s = s->next)
        waiting += s->last_seq > w->durable_seq;
    if (waiting >= VARVE_WAL_RETIRED_MAX)
        return VARVE_WAL_BUSY;
    /* From the seal on no position is given before the next segment is in use: its base is known. */
    if (w->current != NULL && !w->current->sealed && !varve_wal_current_seal(w))
        return VARVE_WAL_BUSY;
    if (w->error.status < 0)
        return varve_wal_error(w, err);
    const varve_status rc = header_write(w, segment, err);
    if (rc == VARVE_OK)
        *ret_base_lsn = segment->base_lsn;
    return rc;
}

void varve_wal_use_next(struct varve_wal_writer *w, struct varve_wal_segment *segment)
{
    assert(segment->begun && segment->base_lsn == w->lsn);
    assert(w->open == NULL || w->open->bytes == 0);
    if (w->current != NULL) { /* it waits for its sync, and to be told of */
        struct varve_wal_segment **at = &w->retired;

        assert(w->current->sealed);
        while (*at != NULL)
            at = &(*at)->next;
        w->current->next = NULL;
        *at = w->current;
    }
    w->current = segment;
    w->next_page = 1;
    w->digest = segment->header_digest;
    w->counters.segments++;
    w->counters.bytes_zeroed += segment->size;
}

/* ------------------------------------------------------------------------------ Idle, closed */

int varve_wal_idle_seal(struct varve_wal_writer *w, varve_error *err)
{
    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (w->open != NULL || w->n_flight > 0 || w->syncing)
        return VARVE_WAL_BUSY;
    if (w->current == NULL || w->current->sealed ||
        (w->durable_lsn <= w->told_durable && w->commit_lsn <= w->told_commit))
        return VARVE_END;
    /* The last page is the seal's. With bytes that wait for a sync, evidence can wait too: the page
     * then only tells readers what is committed. */
    const bool clean = w->plain_seq <= w->durable_seq;
    const bool room = w->next_page < w->current->size / VARVE_PAGE_SIZE - 1;
    const bool sent =
        room ? varve_wal_control_send(w, VARVE_PAGE_IDLE, clean) : varve_wal_current_seal(w);
    assert(sent); /* nothing is in flight, so every slot is free */
    return varve_wal_error(w, err);
}

varve_status varve_wal_seal(struct varve_wal_writer *w, varve_error *err)
{
    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (w->open != NULL || varve_wal_in_flight(w) > 0)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "log groups are still in flight");
    if (w->current == NULL)
        return VARVE_END;
    while (w->n_flight > 0) /* an idle seal */
        (void)varve_wal_reap(w, true, UINT64_MAX, NULL, 0);
    if (w->error.status == 0 && !w->current->sealed) {
        const bool sent = varve_wal_current_seal(w);
        assert(sent);
    }
    w->sync_wanted = w->last_seq;
    while (w->error.status == 0 && w->durable_seq < w->last_seq)
        (void)varve_wal_reap(w, true, UINT64_MAX, NULL, 0);
    return varve_wal_error(w, err);
}

bool varve_wal_sealed(struct varve_wal_writer *w, uint64_t *ret_id, uint64_t *ret_base_lsn,
                      struct varve_wal_seal *ret_seal)
{
    struct varve_wal_segment *s = w->retired;

    if (w->error.status < 0)
        return false;
    if (s == NULL && w->current != NULL && w->current->sealed && w->n_flight == 0) {
        s = w->current; /* closed, or out of room */
        if (s->last_seq <= w->durable_seq)
            w->current = NULL;
    } else if (s != NULL && s->last_seq <= w->durable_seq) {
        w->retired = s->next;
    }
    if (s == NULL || s->last_seq > w->durable_seq)
        return false;
    *ret_id = s->id;
    *ret_base_lsn = s->base_lsn;
    *ret_seal = s->seal;
    varve_wal_segment_close(s, false);
    return true;
}
