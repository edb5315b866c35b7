/*
 * memtable_source.c - a view of a memtable as a source (storage/rows/source.h).
 *
 * Streams of a partition. The main run, chunk by chunk: fixed-width columns are borrowed from the
 *          chunk, keys strictly ascend (UNIQUE). The late rows (chain and side chunks), sorted and
 *          copied; keys may repeat. A partition has whichever of the two is not empty, the main
 *          run first.
 * Clipping. A row of a chunk is visible if its commit's ordinal is below the view's, a record if
 *          its position is. Pieces are clipped to the time range exactly.
 */
#include "storage/base/arena.h"
#include "storage/memtable/memtable_int.h"

#define SCRATCH_BLOCK (64u << 10)
#define WALKERS 16u

struct stream {
    bool late;
    const struct varve_chunk *chunk; /* main: of the current piece; NULL before the first */
    bool ended;
    uint32_t first; /* of the current piece: row of the chunk or of the late rows */
    uint32_t n;
    struct varve_arena scratch; /* of the current load */
};

struct memtable_source {
    struct varve_source base;
    struct varve_heap *heap;
    struct varve_memtable_view view;

    bool sorted;
    struct varve_key_order *order; /* shared; may be NULL */
    struct varve_key_entry *rest;  /* partitions that it does not know, sorted */
    uint32_t n_rest;
    uint32_t at_order; /* forward: the next of each; reverse: one above the next */
    uint32_t at_rest;
    bool reverse;
    uint32_t walkers[WALKERS]; /* records of coming partitions: walk_ahead() */

    const struct varve_mem_partition *partition; /* opened */
    int64_t first, last;
    bool rows_reverse;
    struct varve_late_rows late;
    uint32_t n_streams;
    struct stream streams[VARVE_STREAMS_MAX];
};

static struct memtable_source *source_of(struct varve_source *source)
{
    return (struct memtable_source *)(void *)source;
}

/* ---------------------------------------------------------------------------------- Partitions */

static uint32_t order_count(const struct memtable_source *s)
{
    return s->order == NULL ? 0 : s->order->n;
}

/* Go over to the shared order if it now knows all partitions of the view. */
static void take_shared(struct memtable_source *s)
{
    struct varve_key_order *order = varve_key_order_acquire(s->view.table);
    if (order == NULL || order->n < s->view.partitions) {
        varve_key_order_release(order);
        return;
    }
    varve_key_order_release(s->order);
    s->order = order;
    varve_free(s->heap, s->rest, s->n_rest * sizeof *s->rest);
    s->rest = NULL;
    s->n_rest = 0;
}

/* Sort what the shared order lacks, once; offer the whole when that was much. */
static varve_status ensure_sorted(struct memtable_source *s, varve_error *err)
{
    struct varve_memtable *table = s->view.table;
    const uint32_t n = s->view.partitions;

    if (s->sorted)
        return VARVE_OK;
    if (s->order == NULL)
        s->order = varve_key_order_acquire(table);
    const uint32_t known = order_count(s);
    if (known < n) {
        const size_t bytes = (size_t)(n - known) * sizeof *s->rest;
        struct varve_key_entry *rest = varve_alloc(s->heap, bytes);
        struct varve_key_entry *scratch = varve_alloc(s->heap, bytes);
        if (rest == NULL || scratch == NULL) {
            varve_free(s->heap, rest, rest == NULL ? 0 : bytes);
            varve_free(s->heap, scratch, scratch == NULL ? 0 : bytes);
            return varve_error_nomem(err, "the order of partitions");
        }
        varve_key_order_sort(table, known, n, rest, scratch);
        varve_free(s->heap, scratch, bytes);
        s->rest = rest;
        s->n_rest = n - known;
        if (n - known > known / 8) {
            varve_key_order_offer(table, s->order, rest, n);
            take_shared(s);
        }
    }
    s->sorted = true;
    return VARVE_OK;
}

static struct varve_span key_at(const struct memtable_source *s, uint32_t number)
{
    return varve_mem_key(s->view.table, varve_mem_partition_at(s->view.table, number));
}

/* How many of the first list (of the rest, if `rest`) are below `key`. */
static uint32_t lower_bound(const struct memtable_source *s, bool rest, struct varve_span key)
{
    uint32_t low = 0;
    uint32_t high = rest ? s->n_rest : order_count(s);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint32_t number = rest ? s->rest[middle].number : s->order->numbers[middle];
        if (varve_span_compare(key_at(s, number), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static varve_status source_seek(struct varve_source *source, struct varve_span key, bool reverse,
                                varve_error *err)
{
    struct memtable_source *s = source_of(source);
    const varve_status rc = ensure_sorted(s, err);
    if (rc < 0)
        return rc;
    s->reverse = reverse;
    memset(s->walkers, 0, sizeof s->walkers);
    if (key.size == 0) {
        s->at_order = reverse ? order_count(s) : 0;
        s->at_rest = reverse ? s->n_rest : 0;
        return VARVE_OK;
    }
    s->at_order = lower_bound(s, false, key);
    s->at_rest = lower_bound(s, true, key);
    return VARVE_OK;
}

static void describe(const struct memtable_source *s, uint32_t number,
                     struct varve_partition *ret_partition)
{
    const struct varve_mem_partition *p = varve_mem_partition_at(s->view.table, number);
    *ret_partition = (struct varve_partition){
        .key = varve_mem_key(s->view.table, p),
        .rows = atomic_load_explicit(&p->rows, memory_order_relaxed),
        .first_time = atomic_load_explicit(&p->first_time, memory_order_relaxed),
        .last_time = atomic_load_explicit(&p->last_time, memory_order_relaxed),
        .handle = {number}};
}

/* The next of the shared order that the view has; UINT32_MAX: none. A shared order may be newer
 * than the view. */
static uint32_t peek_order(struct memtable_source *s)
{
    while (s->reverse ? s->at_order > 0 : s->at_order < order_count(s)) {
        const uint32_t number = s->order->numbers[s->reverse ? s->at_order - 1 : s->at_order];
        if (number < s->view.partitions)
            return number;
        s->at_order += s->reverse ? UINT32_MAX : 1; /* one back, or one on */
    }
    return UINT32_MAX;
}

static uint32_t peek_rest(const struct memtable_source *s)
{
    if (s->reverse ? s->at_rest == 0 : s->at_rest == s->n_rest)
        return UINT32_MAX;
    return s->rest[s->reverse ? s->at_rest - 1 : s->at_rest].number;
}

/*
 * Heads and records lie in order of arrival, so in key order each is a cache miss, and the records
 * of a chain are found one by the other. So walk the chains of the next WALKERS partitions together,
 * a record of each at every step: by the time that one is opened, its chain has been fetched.
 */
static void walk_ahead(struct memtable_source *s)
{
#if defined(__GNUC__)
    const struct varve_memtable *table = s->view.table;
    const uint32_t n = order_count(s);
    const uint32_t head = s->reverse ? s->at_order - 1 - 2 * WALKERS : s->at_order + 2 * WALKERS;
    const uint32_t chain = s->reverse ? s->at_order - 1 - WALKERS : s->at_order + WALKERS;

    if (head < n)
        __builtin_prefetch(varve_mem_partition_at(table, s->order->numbers[head]));
    for (uint32_t i = 0; i < WALKERS; i++) {
        if (s->walkers[i] == 0)
            continue;
        s->walkers[i] = varve_record_link(varve_slab_at(&table->slabs, s->walkers[i]));
        if (s->walkers[i] != 0)
            __builtin_prefetch(varve_slab_at(&table->slabs, s->walkers[i]));
    }
    s->walkers[chain % WALKERS] = 0;
    if (chain < n && s->order->numbers[chain] < s->view.partitions) {
        const struct varve_mem_partition *p =
            varve_mem_partition_at(table, s->order->numbers[chain]);
        const uint32_t at = atomic_load_explicit(&p->chain, memory_order_acquire);
        s->walkers[chain % WALKERS] = at;
        if (at != 0)
            __builtin_prefetch(varve_slab_at(&table->slabs, at));
    }
#else
    (void)s;
#endif
}

static varve_status source_next(struct varve_source *source, struct varve_partition *ret_partition,
                                varve_error *err)
{
    struct memtable_source *s = source_of(source);
    const uint32_t step = s->reverse ? UINT32_MAX : 1;
    (void)err;

    assert(s->sorted); /* a seek comes first */
    const uint32_t a = peek_order(s);
    const uint32_t b = peek_rest(s);
    bool take_rest = a == UINT32_MAX;
    if (a == UINT32_MAX && b == UINT32_MAX)
        return VARVE_END;
    walk_ahead(s);
    if (a != UINT32_MAX && b != UINT32_MAX)
        take_rest = (varve_span_compare(key_at(s, b), key_at(s, a)) < 0) != s->reverse;
    describe(s, take_rest ? b : a, ret_partition);
    if (take_rest)
        s->at_rest += step;
    else
        s->at_order += step;
    return VARVE_OK;
}

static varve_status source_find(struct varve_source *source, struct varve_span key,
                                struct varve_partition *ret_partition, varve_error *err)
{
    struct memtable_source *s = source_of(source);
    const uint32_t number = varve_partitions_find(s->view.table, key, varve_key_hash(key));
    (void)err;
    if (number == UINT32_MAX || number >= s->view.partitions)
        return VARVE_END;
    describe(s, number, ret_partition);
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Streams */

static const struct varve_chunk *run_first(const struct varve_memtable *table,
                                           const struct varve_chunk *chunk)
{
    while (chunk->number != 0)
        chunk = varve_chunk_at(table, chunk->jump);
    return chunk;
}

/* The chunk where the rows of the range begin (in reverse: end); NULL: there is none. */
static const struct varve_chunk *run_begin(const struct memtable_source *s, uint32_t main)
{
    const struct varve_memtable *table = s->view.table;
    const struct varve_chunk *chunk;

    if (main == 0)
        return NULL;
    if (s->rows_reverse)
        return varve_run_find(table, main, s->last, s->view.ordinal);
    if (s->first > INT64_MIN) { /* rows at `first` may begin in a chunk that starts earlier */
        chunk = varve_run_find(table, main, s->first - 1, s->view.ordinal);
        if (chunk != NULL)
            return chunk;
    }
    chunk = run_first(table, varve_chunk_at(table, main));
    return varve_chunk_visible(table, chunk, s->view.ordinal) > 0 ? chunk : NULL;
}

/* The first of n ascending times that is >= `time`. */
static uint32_t time_bound(const int64_t *times, uint32_t n, int64_t time)
{
    uint32_t low = 0;
    while (low < n) {
        const uint32_t middle = low + (n - low) / 2;
        if (times[middle] < time)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

/* Rows of the chunk inside view and range: false if there are none. */
static bool clip(const struct memtable_source *s, const struct varve_chunk *chunk,
                 uint32_t *ret_first, uint32_t *ret_n)
{
    const int64_t *times = varve_chunk_times(chunk);
    const uint32_t n = varve_chunk_visible(s->view.table, chunk, s->view.ordinal);
    uint32_t from = 0;
    uint32_t to = n;

    if (n > 0 && times[0] < s->first)
        from = time_bound(times, n, s->first);
    if (n > 0 && times[n - 1] > s->last) /* so last < INT64_MAX */
        to = time_bound(times, n, s->last + 1);
    *ret_first = from;
    *ret_n = to - from;
    return from < to;
}

static const struct varve_chunk *run_step(const struct memtable_source *s,
                                          const struct varve_chunk *chunk)
{
    if (s->rows_reverse)
        return varve_chunk_at(s->view.table, chunk->prev);
    return varve_chunk_at(s->view.table, atomic_load_explicit(&chunk->next, memory_order_acquire));
}

static bool is_outside(const struct memtable_source *s, const struct varve_chunk *chunk)
{
    const int64_t *times = varve_chunk_times(chunk);
    if (!s->rows_reverse)
        return varve_chunk_ordinals(s->view.table, chunk)[0] >= s->view.ordinal ||
               times[0] > s->last;
    const uint32_t n = varve_chunk_visible(s->view.table, chunk, s->view.ordinal);
    return n > 0 && times[n - 1] < s->first;
}

static varve_status source_open(struct varve_source *source,
                                const struct varve_partition *partition, int64_t first,
                                int64_t last, bool reverse, uint32_t *ret_streams, varve_error *err)
{
    struct memtable_source *s = source_of(source);

    s->partition = varve_mem_partition_at(s->view.table, (uint32_t)partition->handle[0]);
    s->first = first;
    s->last = last;
    s->rows_reverse = reverse;
    s->n_streams = 0;
    for (uint32_t k = 0; k < VARVE_STREAMS_MAX; k++)
        varve_arena_reset(&s->streams[k].scratch);
    const uint32_t main = atomic_load_explicit(&s->partition->main, memory_order_acquire);
    const struct varve_chunk *chunk = first <= last ? run_begin(s, main) : NULL;
    uint32_t from;
    uint32_t n;
    while (chunk != NULL && !is_outside(s, chunk) && !clip(s, chunk, &from, &n))
        chunk = run_step(s, chunk);
    if (chunk != NULL && !is_outside(s, chunk)) {
        struct stream *stream = &s->streams[s->n_streams++];
        stream->late = false;
        stream->ended = false;
        stream->n = 0;
        stream->chunk = chunk;
    }
    const varve_status rc =
        varve_late_rows_collect(&s->late, &s->view, s->partition, first, last, err);
    if (rc < 0)
        return rc;
    if (s->late.n > 0) {
        struct stream *stream = &s->streams[s->n_streams++];
        stream->late = true;
        stream->first = reverse ? s->late.n : 0;
        stream->n = 0;
    }
    *ret_streams = s->n_streams;
    return VARVE_OK;
}

/* -------------------------------------------------------------------------------------- Pieces */

static const struct varve_chunk_extra *extra_of(const struct varve_memtable *table,
                                                const struct varve_chunk *chunk)
{
    const uint32_t at = atomic_load_explicit(&chunk->extra, memory_order_acquire);
    return at == 0
               ? NULL
               : (const struct varve_chunk_extra *)(const void *)varve_slab_at(&table->slabs, at);
}

static uint32_t states_of(const struct varve_memtable *table, const struct varve_chunk *chunk)
{
    const struct varve_chunk_extra *extra = extra_of(table, chunk);
    return extra == NULL ? 0 : atomic_load_explicit(&extra->states, memory_order_acquire);
}

static const int64_t *wts_of(const struct varve_memtable *table, const struct varve_chunk *chunk)
{
    const struct varve_chunk_extra *extra = extra_of(table, chunk);
    const uint32_t at = extra == NULL ? 0 : atomic_load_explicit(&extra->wt, memory_order_acquire);
    return at == 0 ? NULL : (const int64_t *)(const void *)varve_slab_at(&table->slabs, at);
}

static const uint32_t *exps_of(const struct varve_memtable *table, const struct varve_chunk *chunk)
{
    const struct varve_chunk_extra *extra = extra_of(table, chunk);
    const uint32_t at = extra == NULL ? 0 : atomic_load_explicit(&extra->exp, memory_order_acquire);
    return at == 0 ? NULL : (const uint32_t *)(const void *)varve_slab_at(&table->slabs, at);
}

static enum varve_cell_state chunk_state(const struct varve_memtable *table,
                                         const struct varve_chunk *chunk, uint32_t states,
                                         uint32_t k, uint32_t row)
{
    if (states == 0)
        return VARVE_LIVE;
    const uint64_t bit = (uint64_t)1 << (row & 63);
    if (atomic_load_explicit(varve_chunk_bits(table, chunk, states, k, false) + (row >> 6),
                             memory_order_relaxed) &
        bit)
        return VARVE_LIVE;
    return atomic_load_explicit(varve_chunk_bits(table, chunk, states, k, true) + (row >> 6),
                                memory_order_relaxed) &
                   bit
               ? VARVE_DELETED
               : VARVE_ABSENT;
}

static void describe_main(const struct memtable_source *s, const struct stream *stream,
                          struct varve_piece *ret)
{
    const struct varve_memtable *table = s->view.table;
    const struct varve_chunk *chunk = stream->chunk;
    const uint32_t end = stream->first + stream->n;
    const uint32_t *ordinals = varve_chunk_ordinals(table, chunk);
    const uint32_t states = states_of(table, chunk);
    const int64_t *wts = wts_of(table, chunk);
    const uint32_t *exps = exps_of(table, chunk);

    *ret = (struct varve_piece){.rows = stream->n,
                                .flags = VARVE_PIECE_UNIQUE | VARVE_PIECE_PLAIN,
                                .first_time = varve_chunk_times(chunk)[stream->first],
                                .last_time = varve_chunk_times(chunk)[end - 1],
                                .min_wt = INT64_MAX,
                                .max_wt = INT64_MIN};
    for (uint32_t i = stream->first; i < end; i++) {
        int64_t wt = wts == NULL ? VARVE_WT_COMMIT : wts[i];
        if (wt == VARVE_WT_COMMIT) {
            if (i > stream->first && ordinals[i] == ordinals[i - 1] && wts == NULL)
                continue;
            wt = varve_mem_commit_at(table, ordinals[i])->hlc;
        }
        ret->min_wt = wt < ret->min_wt ? wt : ret->min_wt;
        ret->max_wt = wt > ret->max_wt ? wt : ret->max_wt;
    }
    for (uint32_t i = stream->first; states != 0 && i < end; i++)
        if (chunk_state(table, chunk, states, 0, i) != VARVE_LIVE) {
            ret->flags &= ~(uint32_t)VARVE_PIECE_PLAIN;
            break;
        }
    for (uint32_t i = stream->first; exps != NULL && i < end; i++)
        if (exps[i] != 0 && (ret->min_expiry == 0 || exps[i] < ret->min_expiry))
            ret->min_expiry = exps[i];
    if (ret->min_expiry != 0)
        ret->flags |= VARVE_PIECE_EXPIRY;
}

static void describe_late(const struct memtable_source *s, const struct stream *stream,
                          struct varve_piece *ret)
{
    const struct varve_memtable *table = s->view.table;
    const struct varve_late_row *rows = s->late.rows + stream->first;
    *ret =
        (struct varve_piece){.rows = stream->n,
                             .flags = s->late.has_extra ? 0 : VARVE_PIECE_PLAIN,
                             .first_time = rows[0].time,
                             .last_time = rows[stream->n - 1].time,
                             .min_wt = atomic_load_explicit(&table->min_wt, memory_order_relaxed),
                             .max_wt = atomic_load_explicit(&table->max_wt, memory_order_relaxed)};
    if (s->late.has_extra)
        ret->min_expiry = atomic_load_explicit(&table->min_expiry, memory_order_relaxed);
    if (ret->min_expiry != 0)
        ret->flags |= VARVE_PIECE_EXPIRY;
}

static varve_status source_piece(struct varve_source *source, uint32_t k,
                                 struct varve_piece *ret_piece, varve_error *err)
{
    struct memtable_source *s = source_of(source);
    struct stream *stream = &s->streams[k];
    (void)err;

    assert(k < s->n_streams);
    varve_arena_reset(&stream->scratch);
    if (stream->late) {
        const uint32_t most = VARVE_VECTOR_ROWS;
        if (s->rows_reverse) {
            stream->n = stream->first < most ? stream->first : most;
            stream->first -= stream->n;
        } else {
            stream->first += stream->n;
            stream->n = s->late.n - stream->first < most ? s->late.n - stream->first : most;
        }
        if (stream->n == 0)
            return VARVE_END;
        describe_late(s, stream, ret_piece);
        return VARVE_OK;
    }
    if (stream->ended)
        return VARVE_END;
    if (stream->n > 0)
        stream->chunk = run_step(s, stream->chunk);
    while (stream->chunk != NULL && !is_outside(s, stream->chunk)) {
        if (clip(s, stream->chunk, &stream->first, &stream->n)) {
            describe_main(s, stream, ret_piece);
            return VARVE_OK;
        }
        stream->chunk = run_step(s, stream->chunk);
    }
    stream->ended = true;
    return VARVE_END;
}

/* ------------------------------------------------------------------------------------- Loading */

struct load { /* one call */
    const struct memtable_source *s;
    const struct varve_memtable *table;
    struct varve_arena *scratch;
    uint32_t first, n;
    struct varve_rows *rows;
};

static void *scratch_of(const struct load *l, size_t count, size_t size)
{
    return varve_arena_alloc(l->scratch, count == 0 ? size : count * size, 64);
}

/* What is borrowed is handed out through pointers that are not const; nobody writes to it. */
static void *borrow(const void *memory)
{
    return (void *)(uintptr_t)memory;
}

/* Rows of chunk `chunk` at `i`: bitmaps of column pair `k`, or NULL when all are live. */
static varve_status load_chunk_states(const struct load *l, const struct varve_chunk *chunk,
                                      uint32_t states, uint32_t k, uint64_t **ret_live,
                                      uint64_t **ret_deleted, varve_error *err)
{
    const size_t words = VARVE_BITMAP_WORDS(l->n);
    bool all = true;

    *ret_live = NULL;
    *ret_deleted = NULL;
    for (uint32_t r = 0; states != 0 && all && r < l->n; r++)
        all = chunk_state(l->table, chunk, states, k, l->first + r) == VARVE_LIVE;
    if (states == 0 || all)
        return VARVE_OK;
    uint64_t *bits = scratch_of(l, 2 * words, sizeof *bits);
    if (bits == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    memset(bits, 0, 2 * words * sizeof *bits);
    for (uint32_t r = 0; r < l->n; r++) {
        const enum varve_cell_state state = chunk_state(l->table, chunk, states, k, l->first + r);
        if (state == VARVE_LIVE)
            varve_bit_set(bits, r);
        else if (state == VARVE_DELETED)
            varve_bit_set(bits + words, r);
    }
    *ret_live = bits;
    *ret_deleted = bits + words;
    return VARVE_OK;
}

/* Copy the texts that `texts` borrow into one buffer with offsets. */
static varve_status load_texts(const struct load *l, const struct varve_span *texts,
                               struct varve_cells *cells, varve_error *err)
{
    size_t total = 0;
    for (uint32_t r = 0; r < l->n; r++)
        total += texts[r].size;
    if (total > UINT32_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a piece holds more than 4 GiB of text");
    cells->offsets = scratch_of(l, (size_t)l->n + 1, sizeof *cells->offsets);
    uint8_t *bytes = scratch_of(l, total + 64, 1);
    if (cells->offsets == NULL || bytes == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    uint32_t at = 0;
    for (uint32_t r = 0; r < l->n; r++) {
        cells->offsets[r] = at;
        if (texts[r].size > 0)
            memcpy(bytes + at, texts[r].data, texts[r].size);
        at += (uint32_t)texts[r].size;
    }
    cells->offsets[l->n] = at;
    cells->values = bytes;
    return VARVE_OK;
}

static varve_status load_chunk_column(const struct load *l, const struct varve_chunk *chunk,
                                      uint32_t states, uint32_t c, varve_error *err)
{
    const struct varve_mem_layout *layout = &l->table->layout;
    const struct varve_mem_column *column = &layout->columns[c];
    struct varve_cells *cells = &l->rows->columns[c];
    varve_status rc;

    if (c >= layout->first_value) {
        rc = load_chunk_states(l, chunk, states, 1 + c - layout->first_value, &cells->live,
                               &cells->deleted, err);
        if (rc < 0)
            return rc;
    }
    if (column->width > 0) {
        cells->values =
            varve_chunk_array(chunk, column->chunk_offset) + (size_t)l->first * column->width;
        if (column->phys == VARVE_PHYS_DEC)
            cells->scales = (int8_t *)varve_chunk_array(chunk, column->chunk_offset + 8) + l->first;
        return VARVE_OK;
    }
    struct varve_span *texts = scratch_of(l, l->n, sizeof *texts);
    if (texts == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++)
        texts[r] = varve_chunk_text(l->table, chunk, c, l->first + r);
    return load_texts(l, texts, cells, err);
}

/* Write times of rows whose ordinals are known; `wts` (may be NULL) says which are explicit. */
static varve_status load_wts(const struct load *l, const uint32_t *ordinals, const int64_t *wts,
                             varve_error *err)
{
    bool uniform = wts == NULL;
    for (uint32_t r = 1; uniform && r < l->n; r++)
        uniform = ordinals[r] == ordinals[0];
    if (uniform) {
        l->rows->wt_uniform = varve_mem_commit_at(l->table, ordinals[0])->hlc;
        return VARVE_OK;
    }
    l->rows->wt = scratch_of(l, l->n, sizeof *l->rows->wt);
    if (l->rows->wt == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++) {
        const bool given = wts != NULL && wts[r] != VARVE_WT_COMMIT;
        l->rows->wt[r] = given ? wts[r] : varve_mem_commit_at(l->table, ordinals[r])->hlc;
    }
    return VARVE_OK;
}

/* The hidden suffix's writers; its ordinals are the rows' positions in their batches. */
static varve_status load_writers(const struct load *l, const uint32_t *ordinals,
                                 const uint32_t *positions, varve_error *err)
{
    l->rows->writer = scratch_of(l, l->n, sizeof *l->rows->writer);
    if (l->rows->writer == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++)
        l->rows->writer[r] = varve_mem_commit_at(l->table, ordinals[r])->writer;
    l->rows->ordinal = borrow(positions);
    return VARVE_OK;
}

static bool is_asked(const struct varve_column_set *columns, uint32_t c)
{
    return columns == NULL || varve_column_set_has(columns, c);
}

static varve_status load_main(const struct load *l, const struct varve_chunk *chunk,
                              const struct varve_column_set *columns, bool stamps, varve_error *err)
{
    const struct varve_memtable *table = l->table;
    const struct varve_mem_layout *layout = &table->layout;
    const uint32_t states = states_of(table, chunk);
    const uint32_t *ordinals = varve_chunk_ordinals(table, chunk) + l->first;
    const int64_t *wts = wts_of(table, chunk);
    const uint32_t *exps = exps_of(table, chunk);
    varve_status rc = VARVE_OK;

    l->rows->time = borrow(varve_chunk_times(chunk) + l->first);
    if (stamps || layout->has_position)
        rc = load_wts(l, ordinals, wts == NULL ? NULL : wts + l->first, err);
    if (stamps && exps != NULL)
        l->rows->exp = borrow(exps + l->first);
    if (rc == VARVE_OK && layout->has_position)
        rc = load_writers(l, ordinals, varve_chunk_positions(table, chunk) + l->first, err);
    if (rc == VARVE_OK)
        rc = load_chunk_states(l, chunk, states, 0, &l->rows->marker_live, &l->rows->marker_deleted,
                               err);
    for (uint32_t c = layout->first; rc == VARVE_OK && c < layout->n_columns; c++)
        if (is_asked(columns, c))
            rc = load_chunk_column(l, chunk, states, c, err);
    return rc;
}

/* A late row, found: its record taken apart, or its chunk. */
struct late_row {
    const struct varve_chunk *chunk; /* NULL: a record */
    uint32_t i;
    uint32_t states; /* of the chunk */
    uint32_t ordinal;
    struct varve_mem_record record;
};

static enum varve_cell_state late_state(const struct load *l, const struct late_row *row,
                                        uint32_t k)
{
    return row->chunk == NULL ? varve_record_state(&row->record, k)
                              : chunk_state(l->table, row->chunk, row->states, k, row->i);
}

static varve_status load_late_states(const struct load *l, const struct late_row *late, uint32_t k,
                                     uint64_t **ret_live, uint64_t **ret_deleted, varve_error *err)
{
    const size_t words = VARVE_BITMAP_WORDS(l->n);
    bool all = true;

    *ret_live = NULL;
    *ret_deleted = NULL;
    if (!l->s->late.has_extra)
        return VARVE_OK;
    for (uint32_t r = 0; all && r < l->n; r++)
        all = late_state(l, &late[r], k) == VARVE_LIVE;
    if (all)
        return VARVE_OK;
    uint64_t *bits = scratch_of(l, 2 * words, sizeof *bits);
    if (bits == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    memset(bits, 0, 2 * words * sizeof *bits);
    for (uint32_t r = 0; r < l->n; r++) {
        const enum varve_cell_state state = late_state(l, &late[r], k);
        if (state != VARVE_ABSENT)
            varve_bit_set(state == VARVE_LIVE ? bits : bits + words, r);
    }
    *ret_live = bits;
    *ret_deleted = bits + words;
    return VARVE_OK;
}

static void load_late_fixed(const struct load *l, const struct late_row *late, uint32_t c)
{
    const struct varve_mem_layout *layout = &l->table->layout;
    const struct varve_mem_column *column = &layout->columns[c];
    struct varve_cells *cells = &l->rows->columns[c];
    uint8_t *out = cells->values;
    const uint32_t width = column->width;

    for (uint32_t r = 0; r < l->n; r++, out += width) {
        const struct late_row *row = &late[r];
        const uint8_t *cell;
        int8_t scale = 0;
        if (cells->live != NULL && !varve_bit_get(cells->live, r)) {
            memset(out, 0, width);
            if (cells->scales != NULL)
                cells->scales[r] = 0;
            continue;
        }
        if (row->chunk != NULL) {
            cell = varve_chunk_array(row->chunk, column->chunk_offset) + (size_t)row->i * width;
            if (cells->scales != NULL)
                scale = (int8_t)varve_chunk_array(row->chunk, column->chunk_offset + 8)[row->i];
        } else {
            cell = varve_record_cell(l->table, &row->record, c);
            if (cells->scales != NULL)
                scale = (int8_t)cell[8];
        }
        if (width == 8)
            memcpy(out, cell, 8);
        else
            memcpy(out, cell, width);
        if (cells->scales != NULL)
            cells->scales[r] = scale;
    }
}

static varve_status load_late_column(const struct load *l, const struct late_row *late, uint32_t c,
                                     varve_error *err)
{
    const struct varve_mem_layout *layout = &l->table->layout;
    const struct varve_mem_column *column = &layout->columns[c];
    struct varve_cells *cells = &l->rows->columns[c];
    varve_status rc;

    if (c >= layout->first_value) {
        rc = load_late_states(l, late, 1 + c - layout->first_value, &cells->live, &cells->deleted,
                              err);
        if (rc < 0)
            return rc;
    }
    if (column->width > 0) {
        cells->values = scratch_of(l, l->n, column->width);
        if (column->phys == VARVE_PHYS_DEC)
            cells->scales = scratch_of(l, l->n, 1);
        if (cells->values == NULL || (column->phys == VARVE_PHYS_DEC && cells->scales == NULL))
            return varve_error_nomem(err, "rows of a memtable");
        load_late_fixed(l, late, c);
        return VARVE_OK;
    }
    struct varve_span *texts = scratch_of(l, l->n, sizeof *texts);
    if (texts == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++) {
        const struct late_row *row = &late[r];
        texts[r] = (struct varve_span){NULL, 0};
        if (cells->live != NULL && !varve_bit_get(cells->live, r))
            continue;
        if (row->chunk != NULL) {
            texts[r] = varve_chunk_text(l->table, row->chunk, c, row->i);
            continue;
        }
        const varve_value v = varve_record_value(l->table, &row->record, c);
        texts[r] = varve_span_of(v.as.bytes.data, v.as.bytes.size);
    }
    return load_texts(l, texts, cells, err);
}

static void find_late(const struct load *l, const struct varve_late_row *rows, bool ordinals,
                      struct late_row *late)
{
    const struct memtable_source *s = l->s;
    for (uint32_t r = 0; r < l->n; r++) {
        const struct varve_late_row *row = &rows[r];
        late[r] = (struct late_row){0};
        if (row->row != UINT32_MAX) {
            late[r].chunk = varve_chunk_at(l->table, row->position);
            late[r].i = row->row;
            late[r].states = states_of(l->table, late[r].chunk);
            late[r].ordinal = varve_chunk_ordinals(l->table, late[r].chunk)[row->row];
            continue;
        }
        late[r].record =
            varve_record_parse(l->table, varve_slab_at(&l->table->slabs, row->position));
        if (ordinals)
            late[r].ordinal =
                varve_record_ordinal(l->table, (uint32_t)s->view.ordinal, row->position);
    }
}

/* Write times, expiries and hidden suffix of late rows. */
static varve_status load_late_stamps(const struct load *l, const struct late_row *late, bool stamps,
                                     varve_error *err)
{
    const bool hidden = l->table->layout.has_position;
    uint32_t *ordinals = scratch_of(l, l->n, sizeof *ordinals);
    uint32_t *positions = hidden ? scratch_of(l, l->n, sizeof *positions) : NULL;
    int64_t *wts = l->s->late.has_extra ? scratch_of(l, l->n, sizeof *wts) : NULL;
    uint32_t *exps = l->s->late.has_extra && stamps ? scratch_of(l, l->n, sizeof *exps) : NULL;
    bool has_wt = false;
    bool has_exp = false;

    if (ordinals == NULL || (hidden && positions == NULL) ||
        (l->s->late.has_extra && (wts == NULL || (stamps && exps == NULL))))
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++) {
        const struct late_row *row = &late[r];
        ordinals[r] = row->ordinal;
        if (hidden)
            positions[r] = row->chunk == NULL ? row->record.position
                                              : varve_chunk_positions(l->table, row->chunk)[row->i];
        if (wts == NULL)
            continue;
        const int64_t *chunk_wts = row->chunk == NULL ? NULL : wts_of(l->table, row->chunk);
        const uint32_t *chunk_exps = row->chunk == NULL ? NULL : exps_of(l->table, row->chunk);
        wts[r] = row->chunk == NULL ? row->record.wt
                                    : (chunk_wts == NULL ? VARVE_WT_COMMIT : chunk_wts[row->i]);
        has_wt |= wts[r] != VARVE_WT_COMMIT;
        if (exps == NULL)
            continue;
        exps[r] =
            row->chunk == NULL ? row->record.exp : (chunk_exps == NULL ? 0 : chunk_exps[row->i]);
        has_exp |= exps[r] != 0;
    }
    if (has_exp)
        l->rows->exp = exps;
    varve_status rc = load_wts(l, ordinals, has_wt ? wts : NULL, err);
    if (rc == VARVE_OK && hidden)
        rc = load_writers(l, ordinals, positions, err);
    return rc;
}

static varve_status load_late(const struct load *l, const struct varve_column_set *columns,
                              bool stamps, varve_error *err)
{
    const struct varve_mem_layout *layout = &l->table->layout;
    const struct varve_late_row *rows = l->s->late.rows + l->first;
    struct late_row *late = scratch_of(l, l->n, sizeof *late);
    varve_status rc = VARVE_OK;

    l->rows->time = scratch_of(l, l->n, sizeof *l->rows->time);
    if (late == NULL || l->rows->time == NULL)
        return varve_error_nomem(err, "rows of a memtable");
    for (uint32_t r = 0; r < l->n; r++)
        l->rows->time[r] = rows[r].time;
    find_late(l, rows, stamps || layout->has_position, late);
    if (stamps || layout->has_position)
        rc = load_late_stamps(l, late, stamps, err);
    if (rc == VARVE_OK)
        rc = load_late_states(l, late, 0, &l->rows->marker_live, &l->rows->marker_deleted, err);
    for (uint32_t c = layout->first; rc == VARVE_OK && c < layout->n_columns; c++)
        if (is_asked(columns, c))
            rc = load_late_column(l, late, c, err);
    return rc;
}

static varve_status source_load(struct varve_source *source, uint32_t k, uint32_t first, uint32_t n,
                                const struct varve_column_set *columns, bool stamps,
                                struct varve_rows *rows, varve_error *err)
{
    struct memtable_source *s = source_of(source);
    struct stream *stream = &s->streams[k];
    struct varve_cells *cells = rows->columns;
    const struct load l = {.s = s,
                           .table = s->view.table,
                           .scratch = &stream->scratch,
                           .first = stream->first + first,
                           .n = n,
                           .rows = rows};

    assert(k < s->n_streams && n > 0 && first + n <= stream->n);
    varve_arena_reset(&stream->scratch);
    *rows = (struct varve_rows){.schema = s->view.table->schema, .n = n, .columns = cells};
    memset(cells, 0, s->view.table->schema->n_columns * sizeof *cells);
    source->vectors_read++;
    return stream->late ? load_late(&l, columns, stamps, err)
                        : load_main(&l, stream->chunk, columns, stamps, err);
}

static varve_status source_zone(struct varve_source *source, uint32_t stream, uint32_t column,
                                const struct varve_zone **ret_zone, varve_error *err)
{
    (void)source;
    (void)stream;
    (void)column;
    (void)err;
    *ret_zone = NULL; /* no piece of a memtable is ZONED */
    return VARVE_OK;
}

static void source_close(struct varve_source *source)
{
    if (source == NULL)
        return;
    struct memtable_source *s = source_of(source);
    for (uint32_t k = 0; k < VARVE_STREAMS_MAX; k++)
        varve_arena_free(&s->streams[k].scratch);
    varve_late_rows_free(&s->late);
    varve_free(s->heap, s->rest, s->n_rest * sizeof *s->rest);
    varve_key_order_release(s->order);
    varve_memtable_unref(s->view.table);
    varve_free(s->heap, s, sizeof *s);
}

static const struct varve_source_ops source_ops = {.seek = source_seek,
                                                   .next = source_next,
                                                   .find = source_find,
                                                   .open = source_open,
                                                   .piece = source_piece,
                                                   .load = source_load,
                                                   .zone = source_zone,
                                                   .close = source_close};

varve_status varve_memtable_source_open(const struct varve_memtable_view *view,
                                        struct varve_heap *heap, struct varve_source **ret_source,
                                        varve_error *err)
{
    struct memtable_source *s = varve_alloc_zero(heap, 1, sizeof *s);
    if (s == NULL)
        return varve_error_nomem(err, "a source over a memtable");
    s->base.ops = &source_ops;
    s->heap = heap;
    s->view = *view;
    varve_memtable_ref(view->table);
    s->late.heap = heap;
    for (uint32_t k = 0; k < VARVE_STREAMS_MAX; k++)
        varve_arena_init(&s->streams[k].scratch, heap, SCRATCH_BLOCK);
    varve_memtable_time_range(view->table, &s->base.first_time, &s->base.last_time);
    s->base.rows = varve_memtable_rows(view->table);
    *ret_source = &s->base;
    return VARVE_OK;
}
