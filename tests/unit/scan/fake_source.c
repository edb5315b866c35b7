/*
 * fake_source.c - a source over a part of a fake table (fake_table.h).
 */
#include "tests/unit/scan/fake_table.h"

struct loaded {
    uint32_t piece; /* current; n_cuts and above, or UINT32_MAX: none */
    bool begun;
    struct varve_rows_builder rows;            /* what was loaded */
    struct varve_zone zones[FAKE_COLUMNS_MAX]; /* borrowed until the next piece */
};

struct fake_source {
    struct varve_source base;
    struct fake_table *table;
    uint32_t number;
    uint32_t at; /* partition: the next, in reverse one above the next */
    bool seek_reverse;
    const struct fake_stream *streams[VARVE_STREAMS_MAX];
    struct loaded state[VARVE_STREAMS_MAX];
    uint32_t n_streams;
    bool reverse;
    int64_t first, last;
};

static struct fake_source *self(struct varve_source *source)
{
    return (struct fake_source *)(void *)source;
}

static varve_status called(struct fake_source *s, varve_error *err)
{
    if (s->table->calls++ == s->table->fail_at)
        return varve_error_set(err, VARVE_EIO, "fake", 0, "a failing read");
    return VARVE_OK;
}

static struct fake_stream *streams_of(const struct fake_source *s, uint32_t partition)
{
    return s->table->streams + ((size_t)s->number * s->table->shape.partitions + partition) * 2;
}

static struct varve_span key_of(const struct fake_source *s, uint32_t partition)
{
    return varve_buffer_span(&s->table->keys[partition]);
}

static bool has_partition(const struct fake_source *s, uint32_t partition)
{
    const struct fake_stream *pair = streams_of(s, partition);
    return pair[0].rows.rows.n + pair[1].rows.rows.n > 0;
}

static void describe(const struct fake_source *s, uint32_t partition, struct varve_partition *ret)
{
    const struct fake_stream *pair = streams_of(s, partition);

    *ret = (struct varve_partition){.key = key_of(s, partition),
                                    .first_time = INT64_MAX,
                                    .last_time = INT64_MIN,
                                    .handle = {partition}};
    for (int k = 0; k < 2; k++) {
        const struct varve_rows *rows = &pair[k].rows.rows;
        if (rows->n == 0)
            continue;
        ret->rows += rows->n;
        if (rows->time[0] < ret->first_time)
            ret->first_time = rows->time[0];
        if (rows->time[rows->n - 1] > ret->last_time)
            ret->last_time = rows->time[rows->n - 1];
    }
}

static varve_status fake_seek(struct varve_source *source, struct varve_span key, bool reverse,
                              varve_error *err)
{
    struct fake_source *s = self(source);
    const uint32_t n = s->table->shape.partitions;

    s->seek_reverse = reverse;
    s->at = reverse ? n : 0;
    if (key.size > 0) {
        s->at = 0;
        while (s->at < n && varve_span_compare(key_of(s, s->at), key) < 0)
            s->at++;
    }
    return called(s, err);
}

static varve_status fake_next(struct varve_source *source, struct varve_partition *ret_partition,
                              varve_error *err)
{
    struct fake_source *s = self(source);

    while (s->seek_reverse ? s->at > 0 : s->at < s->table->shape.partitions) {
        const uint32_t partition = s->seek_reverse ? --s->at : s->at++;
        if (has_partition(s, partition)) {
            describe(s, partition, ret_partition);
            return called(s, err);
        }
    }
    return VARVE_END;
}

static varve_status fake_find(struct varve_source *source, struct varve_span key,
                              struct varve_partition *ret_partition, varve_error *err)
{
    struct fake_source *s = self(source);

    for (uint32_t p = 0; p < s->table->shape.partitions; p++)
        if (varve_span_compare(key_of(s, p), key) == 0 && has_partition(s, p)) {
            describe(s, p, ret_partition);
            return called(s, err);
        }
    return VARVE_END;
}

static varve_status fake_open(struct varve_source *source, const struct varve_partition *partition,
                              int64_t first, int64_t last, bool reverse, uint32_t *ret_streams,
                              varve_error *err)
{
    struct fake_source *s = self(source);
    struct fake_stream *pair = streams_of(s, (uint32_t)partition->handle[0]);

    s->first = first;
    s->last = last;
    s->reverse = reverse;
    s->n_streams = 0;
    for (int k = 0; k < 2; k++) {
        if (pair[k].rows.rows.n == 0)
            continue;
        varve_rows_builder_free(&s->state[s->n_streams].rows);
        s->state[s->n_streams].begun = false;
        s->streams[s->n_streams++] = &pair[k];
    }
    *ret_streams = s->n_streams;
    return called(s, err);
}

static uint32_t piece_flags(const struct fake_table *table, const struct fake_stream *stream,
                            uint32_t from, uint32_t to, uint32_t *min_expiry)
{
    const struct varve_rows *rows = &stream->rows.rows;
    uint32_t flags = VARVE_PIECE_PLAIN;

    *min_expiry = 0;
    if (stream->unique)
        flags |= VARVE_PIECE_UNIQUE;
    if (table->shape.zones && stream->unique)
        flags |= VARVE_PIECE_ZONED;
    for (uint32_t i = from; i < to; i++) {
        if (varve_rows_state(rows, i, VARVE_MARKER_COLUMN) != VARVE_LIVE)
            flags &= ~(uint32_t)VARVE_PIECE_PLAIN;
        for (uint32_t c = rows->schema->first_value; c <= rows->schema->n_columns; c++) {
            const struct varve_stamp stamp =
                varve_rows_stamp(rows, i, c == rows->schema->n_columns ? VARVE_MARKER_COLUMN : c);
            if (stamp.state == VARVE_LIVE && stamp.exp != 0 &&
                (*min_expiry == 0 || stamp.exp < *min_expiry))
                *min_expiry = stamp.exp;
        }
    }
    return *min_expiry != 0 ? flags | VARVE_PIECE_EXPIRY : flags;
}

static varve_status fake_piece(struct varve_source *source, uint32_t k,
                               struct varve_piece *ret_piece, varve_error *err)
{
    struct fake_source *s = self(source);
    const struct fake_stream *stream = s->streams[k];
    const struct varve_rows *rows = &stream->rows.rows;
    struct loaded *state = &s->state[k];

    must(k < s->n_streams);
    varve_rows_builder_free(&state->rows);
    for (;;) {
        if (!state->begun)
            state->piece = s->reverse ? stream->n_cuts - 1 : 0;
        else if (state->piece < stream->n_cuts)
            state->piece += s->reverse ? UINT32_MAX : 1;
        state->begun = true;
        if (state->piece >= stream->n_cuts)
            return VARVE_END;
        const uint32_t from = stream->cuts[state->piece], to = stream->cuts[state->piece + 1];
        if (rows->time[from] > s->last || rows->time[to - 1] < s->first)
            continue;
        *ret_piece =
            (struct varve_piece){.rows = to - from,
                                 .first_time = rows->time[from],
                                 .last_time = rows->time[s->table->shape.lies ? from : to - 1],
                                 .handle = {from}};
        ret_piece->flags = piece_flags(s->table, stream, from, to, &ret_piece->min_expiry);
        return called(s, err);
    }
}

static varve_status fake_load(struct varve_source *source, uint32_t k, uint32_t first, uint32_t n,
                              const struct varve_column_set *columns, bool stamps,
                              struct varve_rows *rows, varve_error *err)
{
    struct fake_source *s = self(source);
    struct loaded *state = &s->state[k];
    const struct fake_stream *stream = s->streams[k];
    const struct varve_schema *schema = s->table->schema;
    struct varve_cells *cells = rows->columns;

    must(k < s->n_streams && state->piece < stream->n_cuts && n > 0);
    const uint32_t from = stream->cuts[state->piece];
    must(first + n <= stream->cuts[state->piece + 1] - from);
    varve_rows_builder_free(&state->rows);
    must(varve_rows_builder_init(&state->rows, &s->table->heap, schema, NULL, NULL) == VARVE_OK);
    must(varve_rows_append(&state->rows, &stream->rows.rows, from + first, n, NULL) == VARVE_OK);
    *rows = state->rows.rows;
    rows->columns = cells;
    memset(cells, 0, schema->n_columns * sizeof *cells);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        if (varve_column_set_has(columns, c))
            cells[c] = state->rows.rows.columns[c];
    if (!stamps) {
        rows->exp = NULL;
        rows->exceptions = NULL;
        rows->n_exceptions = 0;
        if (rows->writer == NULL)
            rows->wt = NULL;
    }
    source->vectors_read++;
    return called(s, err);
}

/* The zone map of a column that codecs have one for. */
static varve_status fake_zone(struct varve_source *source, uint32_t k, uint32_t column,
                              const struct varve_zone **ret_zone, varve_error *err)
{
    struct fake_source *s = self(source);
    struct loaded *state = &s->state[k];
    const struct fake_stream *stream = s->streams[k];
    const struct varve_schema *schema = s->table->schema;
    struct varve_rows_builder part;
    struct varve_buffer block;

    *ret_zone = NULL;
    must(k < s->n_streams && state->piece < stream->n_cuts);
    if (!s->table->shape.zones || column <= schema->time_column)
        return VARVE_OK;
    const uint32_t from = stream->cuts[state->piece];
    must(varve_rows_builder_init(&part, &s->table->heap, schema, NULL, NULL) == VARVE_OK);
    must(varve_rows_append(&part, &stream->rows.rows, from, stream->cuts[state->piece + 1] - from,
                           NULL) == VARVE_OK);
    const struct varve_lanes lanes = varve_rows_lanes(&part.rows, column);
    varve_buffer_init(&block, &s->table->heap);
    must(varve_block_encode(&lanes, VARVE_ENCODE_ZONE, &block, &state->zones[column], NULL) ==
         VARVE_OK);
    varve_buffer_free(&block);
    varve_rows_builder_free(&part);
    *ret_zone = &state->zones[column];
    return called(s, err);
}

static void fake_close(struct varve_source *source)
{
    struct fake_source *s = self(source);

    if (source == NULL)
        return;
    for (uint32_t k = 0; k < VARVE_STREAMS_MAX; k++)
        varve_rows_builder_free(&s->state[k].rows);
    s->table->open_sources--;
    free(s);
}

static const struct varve_source_ops fake_ops = {.seek = fake_seek,
                                                 .next = fake_next,
                                                 .find = fake_find,
                                                 .open = fake_open,
                                                 .piece = fake_piece,
                                                 .load = fake_load,
                                                 .zone = fake_zone,
                                                 .close = fake_close};

struct varve_source *fake_source_open(struct fake_table *table, uint32_t number)
{
    struct fake_source *s = calloc(1, sizeof *s);

    must(s != NULL);
    s->base.ops = &fake_ops;
    s->base.first_time = INT64_MAX;
    s->base.last_time = INT64_MIN;
    s->table = table;
    s->number = number;
    table->open_sources++;
    for (uint32_t p = 0; p < table->shape.partitions; p++) {
        struct varve_partition partition;
        describe(s, p, &partition);
        s->base.rows += partition.rows;
        if (partition.first_time < s->base.first_time)
            s->base.first_time = partition.first_time;
        if (partition.last_time > s->base.last_time)
            s->base.last_time = partition.last_time;
    }
    return &s->base;
}
