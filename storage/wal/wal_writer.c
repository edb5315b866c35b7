/*
 * wal_writer.c - records into the pages of the open group. What happens to a group once it is
 * submitted is in wal_flight.c.
 */
#include "storage/wal/wal_writer.h"

#include <assert.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/wal/writer_int.h"

#define GROUP_BYTES_MAX (1u << 20) /* with one record of 16 MiB more: 20 writes in flight a group */

/* While a page is being filled, its first_record stands where its trailer will. */
#define FIRST_RECORD_AT VARVE_PAGE_PAYLOAD

/* ----------------------------------------------------------------------------- Life of a writer */

static varve_status slots_create(struct varve_wal_writer *w)
{
    struct varve_heap *const heap = w->options.heap;

    for (uint32_t i = 0; i < VARVE_WAL_SLOTS; i++) {
        struct varve_wal_group *const g = &w->slots[i];

        g->first.capacity = VARVE_WAL_CHUNK_FIRST;
        g->first.data = varve_alloc_aligned(heap, (size_t)VARVE_WAL_CHUNK_FIRST * VARVE_PAGE_SIZE,
                                            VARVE_PAGE_SIZE);
        if (g->first.data == NULL)
            return VARVE_ENOMEM;
    }
    w->header = varve_alloc_aligned(heap, VARVE_PAGE_SIZE, VARVE_PAGE_SIZE);
    w->tail = varve_alloc(heap, VARVE_PAGE_SIZE);
    return w->header == NULL || w->tail == NULL ? VARVE_ENOMEM : VARVE_OK;
}

varve_status varve_wal_writer_create(const struct varve_wal_options *options,
                                     const struct varve_wal_start *start,
                                     struct varve_wal_writer **ret_writer, varve_error *err)
{
    varve_status rc;

    if (options->depth > VARVE_WAL_DEPTH_MAX || options->group_bytes > GROUP_BYTES_MAX ||
        start->prev_final_lsn > start->base_lsn)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "bad log writer options");
    struct varve_wal_writer *w = varve_alloc_zero(options->heap, 1, sizeof *w);
    if (w == NULL)
        return varve_error_nomem(err, "a log writer");
    w->options = *options;
    if (w->options.depth == 0)
        w->options.depth = VARVE_WAL_DEPTH_MAX;
    if (w->options.group_bytes == 0)
        w->options.group_bytes = GROUP_BYTES_MAX;
    w->start = *start;
    w->lsn = start->base_lsn;
    /* Not base_lsn: until something of this run is durable, a page must not claim that the gap is,
     * or a lost first group would look like lost acknowledged data. */
    w->written_lsn = w->durable_lsn = w->commit_lsn = start->prev_final_lsn;
    w->told_durable = w->told_commit = start->prev_final_lsn;
    w->index = start->index;
    w->term = start->term;
    w->chain = start->chain;
    w->hlc = start->hlc;

    rc = slots_create(w);
    if (rc < 0) {
        varve_error_nomem(err, "a log writer");
        goto fail;
    }
    const int os = options->vfs->ops->queue_open(options->vfs, VARVE_WAL_QUEUE_DEPTH, &w->queue);
    if (os < 0) {
        rc = varve_error_os(err, os, NULL, VARVE_NO_OFFSET, "open an I/O queue for the log");
        goto fail;
    }
    *ret_writer = w;
    return VARVE_OK;

fail:
    varve_wal_writer_destroy(w);
    return rc;
}

static void segments_close(struct varve_wal_segment *list)
{
    while (list != NULL) {
        struct varve_wal_segment *const next = list->next;
        varve_wal_segment_close(list, false);
        list = next;
    }
}

void varve_wal_writer_destroy(struct varve_wal_writer *w)
{
    if (w == NULL)
        return;
    struct varve_heap *const heap = w->options.heap;

    if (w->queue != NULL)
        w->options.vfs->ops->queue_close(w->queue); /* drains: the buffers are free from here */
    for (uint32_t i = 0; i < VARVE_WAL_SLOTS; i++) {
        struct varve_wal_group *const g = &w->slots[i];

        varve_wal_group_release(w, g);
        varve_free_aligned(heap, g->first.data, (size_t)VARVE_WAL_CHUNK_FIRST * VARVE_PAGE_SIZE,
                           VARVE_PAGE_SIZE);
    }
    segments_close(w->retired);
    varve_wal_segment_close(w->current, false);
    varve_free_aligned(heap, w->header, VARVE_PAGE_SIZE, VARVE_PAGE_SIZE);
    varve_free(heap, w->tail, VARVE_PAGE_SIZE);
    varve_free(heap, w, sizeof *w);
}

/* --------------------------------------------------------------------------- Groups and slots */

struct varve_wal_group *varve_wal_group_take(struct varve_wal_writer *w)
{
    for (uint32_t i = 0; i < VARVE_WAL_SLOTS; i++) {
        struct varve_wal_group *const g = &w->slots[i];

        if (g->in_use)
            continue;
        const struct varve_wal_chunk first = {.data = g->first.data, .capacity = g->first.capacity};
        *g = (struct varve_wal_group){.in_use = true, .first = first};
        g->last = &g->first;
        return g;
    }
    return NULL;
}

void varve_wal_group_release(struct varve_wal_writer *w, struct varve_wal_group *g)
{
    struct varve_wal_chunk *chunk = g->first.next;

    while (chunk != NULL) {
        struct varve_wal_chunk *const next = chunk->next;

        varve_free_aligned(w->options.heap, chunk->data, (size_t)chunk->capacity * VARVE_PAGE_SIZE,
                           VARVE_PAGE_SIZE);
        varve_free(w->options.heap, chunk, sizeof *chunk);
        chunk = next;
    }
    g->first.next = NULL;
    g->in_use = false;
}

int varve_wal_begin(struct varve_wal_writer *w, bool durable, varve_error *err)
{
    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (w->open != NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a log group is open already");
    if (varve_wal_in_flight(w) >= w->options.depth)
        return VARVE_WAL_BUSY;
    w->open = varve_wal_group_take(w);
    if (w->open == NULL)
        return VARVE_WAL_BUSY;
    w->open->durable = durable;
    return VARVE_OK;
}

uint64_t varve_wal_group_bytes(const struct varve_wal_writer *w)
{
    return w->open == NULL ? 0 : w->open->bytes;
}

/* ------------------------------------------------------------------------------------ Appending */

/* The partial last page may be written again, longer (invariant W3). */
static bool tail_reusable(const struct varve_wal_writer *w)
{
    return w->tail_open && w->tail_seq <= w->written_seq && !w->open->durable;
}

/* Payload bytes that the current segment still takes: its last page is kept for the seal. */
static uint64_t segment_room(const struct varve_wal_writer *w)
{
    const struct varve_wal_group *const g = w->open;
    uint64_t room;

    if (w->current == NULL || w->current->sealed)
        return 0;
    const uint64_t pages = w->current->size / VARVE_PAGE_SIZE - 1;
    room = w->next_page < pages ? (pages - w->next_page) * VARVE_PAGE_PAYLOAD : 0;
    if (g->segment != NULL)
        room += VARVE_PAGE_PAYLOAD - g->page_used;
    else if (tail_reusable(w))
        room += VARVE_PAGE_PAYLOAD - (uint64_t)w->tail_used;
    return room;
}

/* Make the group's buffers large enough for `bytes` more. False: no memory. */
static bool group_reserve(struct varve_wal_writer *w, struct varve_wal_group *g, uint64_t bytes)
{
    /* One page more than the bytes fill: the first may be a partial one. */
    uint64_t pages = bytes / VARVE_PAGE_PAYLOAD + 2;
    struct varve_wal_chunk *at = g->last;

    for (uint64_t left = at->capacity - at->pages; left < pages; left = at->capacity) {
        pages -= left;
        if (at->next == NULL) {
            struct varve_wal_chunk *const chunk =
                varve_alloc_zero(w->options.heap, 1, sizeof *chunk);
            if (chunk == NULL)
                return false;
            chunk->capacity = VARVE_WAL_CHUNK_MORE;
            chunk->data = varve_alloc_aligned(
                w->options.heap, (size_t)chunk->capacity * VARVE_PAGE_SIZE, VARVE_PAGE_SIZE);
            if (chunk->data == NULL) {
                varve_free(w->options.heap, chunk, sizeof *chunk);
                return false;
            }
            at->next = chunk;
        }
        at = at->next;
    }
    return true;
}

static uint8_t *group_page(struct varve_wal_group *g)
{
    return g->last->data + (size_t)(g->last->pages - 1) * VARVE_PAGE_SIZE;
}

/* Go to a new, empty page of the buffers. */
static void group_next_page(struct varve_wal_group *g)
{
    if (g->last->pages == g->last->capacity)
        g->last = g->last->next;
    assert(g->last != NULL && g->last->pages < g->last->capacity);
    g->last->pages++;
    g->page_used = 0;
    varve_put_u16(group_page(g) + FIRST_RECORD_AT, VARVE_PAGE_NO_RECORD);
}

/* The group's first page: a new one, or the last partial one again. */
static void group_start(struct varve_wal_writer *w, struct varve_wal_group *g)
{
    g->segment = w->current;
    group_next_page(g);
    if (tail_reusable(w)) {
        g->rewriting = true;
        g->first_page = w->next_page - 1;
        g->first_lsn = w->tail_lsn;
        g->page_used = w->tail_used;
        memcpy(group_page(g), w->tail, w->tail_used);
        varve_put_u16(group_page(g) + FIRST_RECORD_AT, w->tail_first_record);
        w->tail_open = false; /* this version's checksum never enters the digest */
        return;
    }
    varve_wal_tail_close(w);
    g->first_page = w->next_page++;
    g->first_lsn = w->lsn;
}

static void group_put(struct varve_wal_writer *w, struct varve_wal_group *g, const uint8_t *data,
                      size_t size)
{
    while (size > 0) {
        if (g->page_used == VARVE_PAGE_PAYLOAD) {
            group_next_page(g);
            w->next_page++;
        }
        const size_t room = VARVE_PAGE_PAYLOAD - g->page_used;
        const size_t n = size < room ? size : room;

        memcpy(group_page(g) + g->page_used, data, n);
        g->page_used += (uint32_t)n;
        data += n;
        size -= n;
    }
}

/* Note that a record starts at the position that is filled next. */
static void group_mark_record(struct varve_wal_writer *w, struct varve_wal_group *g)
{
    if (g->page_used == VARVE_PAGE_PAYLOAD) {
        group_next_page(g);
        w->next_page++;
    }
    uint8_t *const mark = group_page(g) + FIRST_RECORD_AT;
    if (varve_get_u16(mark) == VARVE_PAGE_NO_RECORD)
        varve_put_u16(mark, (uint16_t)g->page_used);
}

/* The caller's part of a record, checked; then the writer's part. */
static bool record_holds(const struct varve_wal_writer *w, const struct varve_wal_record *r)
{
    return r->type > 0 && r->type < VARVE_WAL_PAD && (r->flags & ~VARVE_WAL_BULK) == 0 &&
           r->group == 0 && r->term >= w->term;
}

int varve_wal_append(struct varve_wal_writer *w, struct varve_wal_record *record,
                     struct varve_span payload, uint64_t *ret_lsn_end, varve_error *err)
{
    uint8_t header[VARVE_WAL_RECORD_OVERHEAD];
    struct varve_wal_group *const g = w->open;

    if (w->error.status < 0)
        return varve_wal_error(w, err);
    if (g == NULL || !record_holds(w, record))
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "bad log record");
    if (payload.size > VARVE_WAL_PAYLOAD_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a record is too large for the log");
    if (g->bytes >= w->options.group_bytes)
        return VARVE_WAL_FULL;
    record->payload_size = (uint32_t)payload.size;
    if (payload.size == 0)
        record->payload_hash = varve_wal_payload_hash(payload);
    const uint64_t bytes = varve_wal_record_header_size(record) + payload.size;

    if (!group_reserve(w, g, bytes))
        return varve_error_nomem(err, "a log group");
    if (segment_room(w) < bytes || payload.size > varve_wal_payload_limit(w->current->size))
        return g->bytes > 0 ? VARVE_WAL_FULL : VARVE_WAL_SEGMENT;
    if (g->segment == NULL)
        group_start(w, g);

    record->lsn = w->lsn;
    record->index = w->index + 1;
    record->logical_hash = record->payload_hash;
    record->chain =
        varve_wal_chain(w->chain, record->index, record->term, record->type, record->logical_hash);
    record->header_size = (uint16_t)varve_wal_record_encode(record, g->segment->uuid, header);
    group_mark_record(w, g);
    group_put(w, g, header, record->header_size);
    group_put(w, g, payload.data, payload.size);

    w->lsn += bytes;
    w->index = record->index;
    w->term = record->term;
    w->chain = record->chain;
    w->hlc = record->hlc > w->hlc ? record->hlc : w->hlc;
    g->bytes += bytes;
    g->lsn_end = w->lsn;
    w->counters.records++;
    *ret_lsn_end = w->lsn;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Answers */

void varve_wal_set_commit_lsn(struct varve_wal_writer *w, uint64_t lsn)
{
    if (lsn > w->commit_lsn)
        w->commit_lsn = lsn;
}

uint64_t varve_wal_commit_lsn(const struct varve_wal_writer *w)
{
    return w->commit_lsn;
}

uint64_t varve_wal_durable_lsn(const struct varve_wal_writer *w)
{
    return w->durable_lsn;
}

uint64_t varve_wal_written_lsn(const struct varve_wal_writer *w)
{
    return w->written_lsn;
}

uint64_t varve_wal_appended_lsn(const struct varve_wal_writer *w)
{
    return w->lsn;
}

uint64_t varve_wal_last_index(const struct varve_wal_writer *w)
{
    return w->index;
}

uint64_t varve_wal_current_segment(const struct varve_wal_writer *w, uint64_t *ret_base_lsn)
{
    if (w->current == NULL)
        return 0;
    *ret_base_lsn = w->current->base_lsn;
    return w->current->id;
}

varve_status varve_wal_error(const struct varve_wal_writer *w, varve_error *err)
{
    return w->error.status < 0 ? varve_error_copy(err, &w->error, VARVE_EIO) : VARVE_OK;
}

void varve_wal_counters_get(const struct varve_wal_writer *w, struct varve_wal_counters *out)
{
    *out = w->counters;
}
