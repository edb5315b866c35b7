/*
 * merge.c - see merge.h.
 *
 * A merged step has two halves. The *walk* goes over the streams in the direction of the scan and
 * writes down runs: which rows of which stream come next. It ends when 1,024 rows are together or
 * when a stream has no more rows in its current piece, because the next piece would take the
 * memory of the rows that the runs name; but never between two versions of one key. The *build*
 * then appends the runs, ascending, and settles versions of one key. After it the streams may move
 * on. If one of them turns out to go on with the key that the batch ended with (a stream of a
 * memtable may), that row is held back until its other versions have come.
 *
 * Narrow and wide. Where every marker lives and nothing expires, rows exist whatever their cells
 * say, and only the asked columns are loaded: narrow. Elsewhere all value columns are: wide. A
 * narrow row never meets a wide one, because in a narrow stream keys strictly ascend: what a next
 * piece brings lies beyond all that the batch holds.
 */
#include "storage/scan/merge.h"

#include <assert.h>

#include "storage/base/vec.h"

#define BATCH_ROWS VARVE_VECTOR_ROWS

enum load_level { LOADED_NOT = 0, LOADED_NARROW, LOADED_WIDE };

struct merge_stream {
    struct varve_source *source;
    uint32_t number; /* in its source */
    uint32_t level;  /* enum load_level, of the current piece */
    bool ended;
    bool clipped; /* [at, end) are the piece's rows in the range, exactly */
    uint32_t at;  /* rows [at, end) of the current piece are still to come */
    uint32_t end;
    uint32_t base; /* the piece's row that rows' row 0 is */
    struct varve_piece piece;
    struct varve_rows rows;
    struct varve_cells *columns; /* of rows; NULL until it is first loaded */
};

struct merge_run {
    uint32_t stream;
    uint32_t first; /* of the stream's loaded rows */
    uint32_t n;
};

struct varve_merge {
    struct varve_heap *heap;
    const struct varve_schema *schema;
    struct varve_column_set narrow_set;
    struct varve_column_set wide_set;
    bool always_wide; /* the asked columns are all there are */

    int64_t first, last;
    bool reverse;
    bool wide;
    bool doubtful; /* some piece of the partition is not plain */
    uint32_t n_streams;
    uint32_t n_slots; /* streams whose memory is kept */
    size_t stream_capacity;
    struct merge_stream *streams;

    uint32_t n_runs;
    uint32_t run_rows;
    size_t run_capacity;
    struct merge_run *runs;

    struct varve_rows_builder narrow; /* empty structs until first needed */
    struct varve_rows_builder all;
    struct varve_rows_builder held; /* a row whose other versions may still come, wide */
};

/* ------------------------------------------------------------------------------- Birth, death */

varve_status varve_merge_create(struct varve_heap *heap, const struct varve_schema *schema,
                                const struct varve_column_set *columns,
                                struct varve_merge **ret_merge, varve_error *err)
{
    struct varve_merge *merge = varve_alloc_zero(heap, 1, sizeof *merge);

    if (merge == NULL)
        return varve_error_nomem(err, "a merge");
    merge->heap = heap;
    merge->schema = schema;
    merge->always_wide = true;
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        varve_bit_set(merge->wide_set.bits, c);
        if (c < schema->first_value || columns == NULL || varve_column_set_has(columns, c))
            varve_bit_set(merge->narrow_set.bits, c);
        else
            merge->always_wide = false;
    }
    *ret_merge = merge;
    return VARVE_OK;
}

void varve_merge_free(struct varve_merge *merge)
{
    if (merge == NULL)
        return;
    for (uint32_t i = 0; i < merge->n_slots; i++)
        varve_free(merge->heap, merge->streams[i].columns,
                   merge->schema->n_columns * sizeof(struct varve_cells));
    varve_free(merge->heap, merge->streams, merge->stream_capacity * sizeof *merge->streams);
    varve_free(merge->heap, merge->runs, merge->run_capacity * sizeof *merge->runs);
    varve_rows_builder_free(&merge->narrow);
    varve_rows_builder_free(&merge->all);
    varve_rows_builder_free(&merge->held);
    varve_free(merge->heap, merge, sizeof *merge);
}

static varve_status add_stream(struct varve_merge *merge, struct varve_source *source,
                               uint32_t number, varve_error *err)
{
    const uint32_t i = merge->n_streams;

    if (i == merge->n_slots) {
        if (!varve_vec_grow(merge->heap, (void **)&merge->streams, sizeof *merge->streams, i + 1,
                            &merge->stream_capacity))
            return varve_error_nomem(err, "the streams of a merge");
        merge->streams[i].columns = NULL;
        merge->n_slots++;
    }
    struct merge_stream *s = &merge->streams[i];
    s->source = source;
    s->number = number;
    s->level = LOADED_NOT;
    s->ended = false;
    s->at = s->end = 0;
    merge->n_streams++;
    return VARVE_OK;
}

varve_status varve_merge_begin(struct varve_merge *merge, const struct varve_merge_input *inputs,
                               uint32_t n, int64_t first, int64_t last, bool reverse,
                               varve_error *err)
{
    merge->first = first;
    merge->last = last;
    merge->reverse = reverse;
    merge->wide = merge->always_wide;
    merge->doubtful = false;
    merge->n_streams = 0;
    if (merge->held.rows.n > 0)
        varve_rows_builder_clear(&merge->held);
    if (first > last)
        return VARVE_OK;
    for (uint32_t i = 0; i < n; i++) {
        struct varve_source *source = inputs[i].source;
        uint32_t streams = 0;
        varve_status rc =
            source->ops->open(source, &inputs[i].partition, first, last, reverse, &streams, err);
        assert(streams <= VARVE_STREAMS_MAX);
        for (uint32_t k = 0; rc == VARVE_OK && k < streams; k++)
            rc = add_stream(merge, source, k, err);
        if (rc < 0) {
            merge->n_streams = 0;
            return rc;
        }
    }
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Streams */

/* The first of the n ascending times that is >= `time`. */
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

static varve_status load(struct varve_merge *merge, struct merge_stream *s, uint32_t first,
                         uint32_t n, const struct varve_column_set *columns, bool stamps,
                         varve_error *err)
{
    if (s->columns == NULL) {
        s->columns = varve_alloc_zero(merge->heap, merge->schema->n_columns, sizeof *s->columns);
        if (s->columns == NULL)
            return varve_error_nomem(err, "the rows of a merge");
    }
    s->rows.columns = s->columns;
    s->base = first;
    return s->source->ops->load(s->source, s->number, first, n, columns, stamps, &s->rows, err);
}

/* Which rows of the current piece lie in the range, by its times. */
static varve_status search_times(struct varve_merge *merge, struct merge_stream *s,
                                 varve_error *err)
{
    static const struct varve_column_set none;
    const uint32_t n = s->piece.rows;
    const varve_status rc = load(merge, s, 0, n, &none, false, err);

    if (rc < 0)
        return rc;
    s->at = time_bound(s->rows.time, n, merge->first);
    s->end = merge->last == INT64_MAX ? n : time_bound(s->rows.time, n, merge->last + 1);
    return VARVE_OK;
}

/* Find which rows of the current piece lie in the range. */
static varve_status clip(struct varve_merge *merge, struct merge_stream *s, varve_error *err)
{
    const struct varve_source_ops *ops = s->source->ops;

    if (s->clipped)
        return VARVE_OK;
    const struct varve_column_set *columns = merge->wide ? &merge->wide_set : &merge->narrow_set;
    const varve_status rc = ops->bounds == NULL
                                ? search_times(merge, s, err)
                                : ops->bounds(s->source, s->number, merge->first, merge->last,
                                              columns, &s->at, &s->end, err);
    if (rc < 0)
        return rc;
    if (s->end < s->at) /* times that do not ascend: a file's checks tell, not we */
        s->end = s->at;
    s->clipped = true;
    return VARVE_OK;
}

/* Whether each row of the piece exists, now and later. */
static bool is_plain(const struct varve_piece *piece)
{
    return (piece->flags & (VARVE_PIECE_PLAIN | VARVE_PIECE_EXPIRY)) == VARVE_PIECE_PLAIN;
}

/* Whether no row of the stream has the key of the row before it. */
static bool is_unique(const struct varve_merge *merge, const struct varve_piece *piece)
{
    return (piece->flags & VARVE_PIECE_UNIQUE) != 0 ||
           merge->schema->duplicates == VARVE_DUPLICATES_KEEP;
}

/* Give every stream that has come to the end of its piece the next one. */
static varve_status refill(struct varve_merge *merge, varve_error *err)
{
    for (uint32_t i = 0; i < merge->n_streams; i++) {
        struct merge_stream *s = &merge->streams[i];
        while (s->at == s->end && !s->ended) {
            const varve_status rc = s->source->ops->piece(s->source, s->number, &s->piece, err);
            if (rc < 0)
                return rc;
            s->ended = rc == VARVE_END;
            s->at = 0;
            s->end = s->ended ? 0 : s->piece.rows;
            s->level = LOADED_NOT;
            s->clipped = s->piece.first_time >= merge->first && s->piece.last_time <= merge->last;
            if (s->ended)
                break;
            if (s->piece.last_time < merge->first || s->piece.first_time > merge->last)
                s->end = 0;
            else if (!is_plain(&s->piece))
                merge->wide = merge->doubtful = true;
            else if (!is_unique(merge, &s->piece))
                merge->wide = true;
        }
    }
    return VARVE_OK;
}

static varve_status load_stream(struct varve_merge *merge, struct merge_stream *s, varve_error *err)
{
    varve_status rc = clip(merge, s, err);

    if (rc < 0 || s->at == s->end)
        return rc;
    rc = load(merge, s, s->at, s->end - s->at, merge->wide ? &merge->wide_set : &merge->narrow_set,
              true, err);
    if (rc == VARVE_OK)
        s->level = merge->wide ? LOADED_WIDE : LOADED_NARROW;
    return rc;
}

static bool is_loaded(const struct varve_merge *merge, const struct merge_stream *s)
{
    return s->level >= (merge->wide ? LOADED_WIDE : LOADED_NARROW);
}

/* The loaded row that comes next. */
static uint32_t next_row(const struct varve_merge *merge, const struct merge_stream *s)
{
    return (merge->reverse ? s->end - 1 : s->at) - s->base;
}

/* A time that the stream's next row does not come before. Exact for loaded streams. */
static int64_t next_time(const struct varve_merge *merge, const struct merge_stream *s)
{
    if (s->level != LOADED_NOT)
        return s->rows.time[next_row(merge, s)];
    if (merge->reverse)
        return s->piece.last_time < merge->last ? s->piece.last_time : merge->last;
    return s->piece.first_time > merge->first ? s->piece.first_time : merge->first;
}

static bool time_before(const struct varve_merge *merge, int64_t a, int64_t b)
{
    return merge->reverse ? a > b : a < b;
}

/* Row i of `a` against row j of `b` in the direction of the scan: < 0 comes first. */
static int row_order(const struct varve_merge *merge, const struct varve_rows *a, uint32_t i,
                     const struct varve_rows *b, uint32_t j)
{
    const int rc = varve_rows_compare(a, i, b, j);
    return merge->reverse ? -rc : rc;
}

/* In 'keep' tables the hidden suffix tells rows apart; without one on both sides all differ. */
static bool same_key(const struct varve_rows *a, uint32_t i, const struct varve_rows *b, uint32_t j)
{
    if (a->schema->duplicates == VARVE_DUPLICATES_KEEP && (a->writer == NULL || b->writer == NULL))
        return false;
    return a->time[i] == b->time[j] && varve_rows_compare(a, i, b, j) == 0;
}

/* The stream with the earliest next_time, or NULL. */
static struct merge_stream *earliest(const struct varve_merge *merge)
{
    struct merge_stream *best = NULL;

    for (uint32_t i = 0; i < merge->n_streams; i++) {
        struct merge_stream *s = &merge->streams[i];
        if (s->at < s->end &&
            (best == NULL || time_before(merge, next_time(merge, s), next_time(merge, best))))
            best = s;
    }
    return best;
}

/* ------------------------------------------------------------------------------------- Passing */

/* Whether all that remains of the stream's piece comes strictly before every other stream. */
static bool is_alone(const struct varve_merge *merge, const struct merge_stream *s)
{
    const int64_t low = s->piece.first_time > merge->first ? s->piece.first_time : merge->first;
    const int64_t high = s->piece.last_time < merge->last ? s->piece.last_time : merge->last;
    const int64_t end = merge->reverse ? low : high;

    if (!is_unique(merge, &s->piece))
        return false;
    for (uint32_t i = 0; i < merge->n_streams; i++) {
        const struct merge_stream *other = &merge->streams[i];
        if (other != s && other->at < other->end &&
            !time_before(merge, end, next_time(merge, other)))
            return false;
    }
    return true;
}

static void pass_on(struct merge_stream *s, struct varve_merge_step *ret_step)
{
    *ret_step = (struct varve_merge_step){.source = s->source,
                                          .stream = s->number,
                                          .first = s->at,
                                          .n = s->end - s->at,
                                          .whole = s->end - s->at == s->piece.rows,
                                          .plain = is_plain(&s->piece),
                                          .piece = s->piece};
    s->at = s->end;
    s->level = LOADED_NOT; /* the taker's load() takes the memory */
}

/* ---------------------------------------------------------------------------------------- Walk */

/* Load every stream that may have the next row. *ret_any: there was one to load. */
static varve_status load_candidates(struct varve_merge *merge, int64_t time, bool *ret_any,
                                    varve_error *err)
{
    *ret_any = false;
    for (uint32_t i = 0; i < merge->n_streams; i++) {
        struct merge_stream *s = &merge->streams[i];
        if (s->at == s->end || is_loaded(merge, s) || next_time(merge, s) != time)
            continue;
        const varve_status rc = load_stream(merge, s, err);
        if (rc < 0)
            return rc;
        *ret_any = true;
    }
    return VARVE_OK;
}

static bool any_empty(const struct varve_merge *merge)
{
    for (uint32_t i = 0; i < merge->n_streams; i++)
        if (!merge->streams[i].ended && merge->streams[i].at == merge->streams[i].end)
            return true;
    return false;
}

/*
 * The stream whose next row comes first. Streams that could be it are loaded, so that whole keys
 * decide between equal times. NULL: none is left, or a load has shown that a stream has no row of
 * its current piece in the range.
 */
static varve_status pick(struct varve_merge *merge, struct merge_stream **ret_stream,
                         varve_error *err)
{
    struct merge_stream *best;
    bool loaded;

    *ret_stream = NULL;
    do { /* a loaded stream may begin later than its piece promised */
        best = earliest(merge);
        if (best == NULL)
            return VARVE_OK;
        const varve_status rc = load_candidates(merge, next_time(merge, best), &loaded, err);
        if (rc < 0 || any_empty(merge))
            return rc;
    } while (loaded);
    for (uint32_t i = 0; i < merge->n_streams; i++) {
        struct merge_stream *s = &merge->streams[i];
        if (s != best && s->at < s->end && is_loaded(merge, s) &&
            row_order(merge, &s->rows, next_row(merge, s), &best->rows, next_row(merge, best)) < 0)
            best = s;
    }
    *ret_stream = best;
    return VARVE_OK;
}

/* Whether the k-th row from the front of `s` comes strictly before the next row of `other`. */
static bool row_before(const struct varve_merge *merge, const struct merge_stream *s, uint32_t k,
                       const struct merge_stream *other)
{
    const uint32_t i = merge->reverse ? s->end - 1 - k - s->base : s->at + k - s->base;

    if (!is_loaded(merge, other))
        return time_before(merge, s->rows.time[i], next_time(merge, other));
    return row_order(merge, &s->rows, i, &other->rows, next_row(merge, other)) < 0;
}

/* How many of the next `most` rows of `s` come strictly before `other`: galloping, then halving. */
static uint32_t run_before(const struct varve_merge *merge, const struct merge_stream *s,
                           uint32_t most, const struct merge_stream *other)
{
    uint32_t low = 0; /* rows known to come before */
    uint32_t high = 1;

    if (row_before(merge, s, most - 1, other))
        return most;
    while (high < most && row_before(merge, s, high - 1, other)) {
        low = high;
        high *= 2;
    }
    if (high > most)
        high = most;
    while (low + 1 < high) { /* row high - 1 does not come before, row low - 1 does */
        const uint32_t middle = low + (high - low) / 2;
        if (row_before(merge, s, middle - 1, other))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The next rows of `s` up to where another stream comes between; at least one. */
static uint32_t run_length(const struct varve_merge *merge, const struct merge_stream *s,
                           uint32_t most)
{
    uint32_t n = s->end - s->at < most ? s->end - s->at : most;

    for (uint32_t i = 0; i < merge->n_streams && n > 1; i++) {
        const struct merge_stream *other = &merge->streams[i];
        if (other != s && other->at < other->end)
            n = run_before(merge, s, n, other);
    }
    return n > 0 ? n : 1;
}

static varve_status take_run(struct varve_merge *merge, struct merge_stream *s, uint32_t n,
                             varve_error *err)
{
    if (!varve_vec_grow(merge->heap, (void **)&merge->runs, sizeof *merge->runs, merge->n_runs + 1,
                        &merge->run_capacity))
        return varve_error_nomem(err, "the runs of a merge");
    if (merge->reverse)
        s->end -= n;
    merge->runs[merge->n_runs++] =
        (struct merge_run){.stream = (uint32_t)(s - merge->streams),
                           .first = (merge->reverse ? s->end : s->at) - s->base,
                           .n = n};
    if (!merge->reverse)
        s->at += n;
    merge->run_rows += n;
    return VARVE_OK;
}

/* Take the rows of all current pieces that have the key of the row taken last. */
static varve_status complete_key(struct varve_merge *merge, varve_error *err)
{
    const struct merge_run run = merge->runs[merge->n_runs - 1];
    const struct varve_rows *rows = &merge->streams[run.stream].rows;
    const uint32_t row = merge->reverse ? run.first : run.first + run.n - 1;

    for (uint32_t i = 0; i < merge->n_streams; i++) {
        struct merge_stream *s = &merge->streams[i];
        if (s->at < s->end && !is_loaded(merge, s) && next_time(merge, s) == rows->time[row]) {
            const varve_status rc = load_stream(merge, s, err);
            if (rc < 0)
                return rc;
        }
        while (s->at < s->end && is_loaded(merge, s) &&
               same_key(&s->rows, next_row(merge, s), rows, row)) {
            const varve_status rc = take_run(merge, s, 1, err);
            if (rc < 0)
                return rc;
        }
    }
    return VARVE_OK;
}

/* Write down the runs of the next batch. */
static varve_status walk(struct varve_merge *merge, uint32_t most, varve_error *err)
{
    merge->n_runs = 0;
    merge->run_rows = 0;
    while (merge->run_rows < most) {
        struct merge_stream *s;
        varve_status rc = pick(merge, &s, err);
        if (rc < 0)
            return rc;
        if (s == NULL) {
            if (merge->n_runs > 0 || earliest(merge) == NULL) /* a piece has come to its end */
                break;
            rc = refill(merge, err); /* clipping left nothing of a piece */
            if (rc < 0)
                return rc;
            continue;
        }
        rc = take_run(merge, s, run_length(merge, s, most - merge->run_rows), err);
        if (rc < 0)
            return rc;
    }
    return merge->n_runs > 0 ? complete_key(merge, err) : VARVE_OK;
}

/* --------------------------------------------------------------------------------------- Build */

static varve_status builder_begin(struct varve_merge *merge, struct varve_rows_builder *b,
                                  const struct varve_column_set *columns, varve_error *err)
{
    if (b->heap == NULL)
        return varve_rows_builder_init(b, merge->heap, merge->schema, columns, err);
    varve_rows_builder_clear(b);
    return VARVE_OK;
}

/* Append rows [first, first + n), each key once. */
static varve_status append_run(struct varve_rows_builder *b, const struct varve_rows *from,
                               uint32_t first, uint32_t n, bool unique, varve_error *err)
{
    const uint32_t end = first + n;

    while (first < end) {
        varve_status rc;
        if (b->rows.n > 0 && same_key(&b->rows, b->rows.n - 1, from, first)) {
            rc = varve_rows_merge_last(b, from, first++, err);
            if (rc < 0)
                return rc;
            continue;
        }
        uint32_t k = unique ? end : first + 1;
        while (k < end && !same_key(from, k - 1, from, k))
            k++;
        rc = varve_rows_append(b, from, first, k - first, err);
        if (rc < 0)
            return rc;
        first = k;
    }
    return VARVE_OK;
}

static varve_status build(struct varve_merge *merge, struct varve_rows_builder *b, varve_error *err)
{
    varve_status rc = VARVE_OK;

    if (!merge->reverse && merge->held.rows.n > 0)
        rc = append_run(b, &merge->held.rows, 0, 1, true, err);
    for (uint32_t i = 0; rc == VARVE_OK && i < merge->n_runs; i++) {
        const struct merge_run *run = &merge->runs[merge->reverse ? merge->n_runs - 1 - i : i];
        const struct merge_stream *s = &merge->streams[run->stream];
        rc = append_run(b, &s->rows, run->first, run->n, is_unique(merge, &s->piece), err);
    }
    if (rc == VARVE_OK && merge->reverse && merge->held.rows.n > 0)
        rc = append_run(b, &merge->held.rows, 0, 1, true, err);
    if (rc == VARVE_OK && merge->held.rows.n > 0)
        varve_rows_builder_clear(&merge->held);
    return rc;
}

/* Whether some stream may go on with the key of row `row`. */
static bool may_go_on(const struct varve_merge *merge, const struct varve_rows *rows, uint32_t row)
{
    const struct merge_stream *s = earliest(merge);
    return s != NULL && next_time(merge, s) == rows->time[row];
}

/* Hold back the last row in the direction of the scan if it may not be complete. */
static varve_status hold_back(struct varve_merge *merge, struct varve_rows_builder *b,
                              struct varve_merge_step *step, varve_error *err)
{
    const uint32_t row = merge->reverse ? 0 : b->rows.n - 1;

    if (b != &merge->all || !may_go_on(merge, &b->rows, row))
        return VARVE_OK;
    varve_status rc = builder_begin(merge, &merge->held, &merge->wide_set, err);
    if (rc == VARVE_OK)
        rc = varve_rows_append(&merge->held, &b->rows, row, 1, err);
    if (rc < 0)
        return rc;
    step->n--;
    if (merge->reverse)
        step->first = 1;
    else
        varve_rows_builder_truncate(b, row);
    return VARVE_OK;
}

/* Merged rows; n is 0 if all that came is held back, or nothing came. */
static varve_status merge_rows(struct varve_merge *merge, struct varve_merge_step *ret_step,
                               varve_error *err)
{
    struct varve_rows_builder *b = merge->wide ? &merge->all : &merge->narrow;
    varve_status rc =
        builder_begin(merge, b, merge->wide ? &merge->wide_set : &merge->narrow_set, err);

    if (rc == VARVE_OK)
        rc = walk(merge, BATCH_ROWS - merge->held.rows.n, err);
    if (rc < 0)
        return rc;
    /* A piece that the walk itself met can have made the merge wide: then nothing is taken yet. */
    if (merge->wide && b != &merge->all) {
        b = &merge->all;
        rc = builder_begin(merge, b, &merge->wide_set, err);
    }
    if (rc == VARVE_OK)
        rc = build(merge, b, err);
    *ret_step =
        (struct varve_merge_step){.n = b->rows.n, .rows = &b->rows, .plain = !merge->doubtful};
    if (rc == VARVE_OK)
        rc = refill(merge, err);
    if (rc == VARVE_OK && b->rows.n > 0)
        rc = hold_back(merge, b, ret_step, err);
    return rc;
}

varve_status varve_merge_next(struct varve_merge *merge, struct varve_merge_step *ret_step,
                              varve_error *err)
{
    struct varve_merge_step step = {.n = 0};

    while (step.n == 0) {
        varve_status rc = refill(merge, err);
        if (rc < 0)
            return rc;
        struct merge_stream *s = earliest(merge);
        if (s == NULL && merge->held.rows.n == 0)
            return VARVE_END;
        if (s != NULL && s->level == LOADED_NOT && merge->held.rows.n == 0 && is_alone(merge, s)) {
            rc = clip(merge, s, err);
            if (rc < 0)
                return rc;
            if (s->at < s->end)
                pass_on(s, &step);
            continue;
        }
        rc = merge_rows(merge, &step, err);
        if (rc < 0)
            return rc;
    }
    *ret_step = step;
    return VARVE_OK;
}
