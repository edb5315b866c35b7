/*
 * group_encoder.c - encoding a row group (group_encoder.h).
 *
 * Streams are encoded one after the other, each over all vectors, so that a column's blocks are
 * contiguous in the file and one read fetches them. A stream that no vector needs leaves no trace.
 */
#include "storage/sst/group_encoder.h"

#include <assert.h>
#include <string.h>

#include "index/zone_map.h"
#include "storage/base/vec.h"
#include "storage/sst/exception_list.h"

#define WORDS VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)

static varve_status no_memory(varve_error *err)
{
    return varve_error_nomem(err, "encoding a row group");
}

void varve_group_encoder_init(struct varve_group_encoder *e, struct varve_heap *heap,
                              const struct varve_schema *schema)
{
    *e = (struct varve_group_encoder){.heap = heap, .schema = schema, .next_dictionary = 1};
    varve_dictionary_builder_init(&e->dictionary, heap);
    varve_buffer_init(&e->block, heap);
    varve_buffer_init(&e->zones, heap);
    varve_buffer_init(&e->body, heap);
}

void varve_group_encoder_free(struct varve_group_encoder *e)
{
    if (e->heap == NULL)
        return;
    varve_dictionary_builder_free(&e->dictionary);
    varve_buffer_free(&e->block);
    varve_buffer_free(&e->zones);
    varve_buffer_free(&e->body);
    varve_free(e->heap, e->vectors, e->vectors_capacity * sizeof *e->vectors);
    varve_free(e->heap, e->runs, e->runs_capacity * sizeof *e->runs);
    varve_free(e->heap, e->blocks, e->blocks_capacity * sizeof *e->blocks);
    varve_free(e->heap, e->dictionaries, e->dictionaries_capacity * sizeof *e->dictionaries);
    varve_free(e->heap, e->streams, e->streams_capacity * sizeof *e->streams);
    varve_free(e->heap, e->column_zones, e->zones_capacity * sizeof *e->column_zones);
    varve_free(e->heap, e->scratch, e->scratch_capacity * sizeof *e->scratch);
    *e = (struct varve_group_encoder){.heap = NULL};
}

/* -------------------------------------------------------------------------------------- Facts */

/* Bits [first, first + n) at bit 0 of `out`; how many are set. NULL bits: `otherwise` for all. */
static uint32_t slice(const uint64_t *bits, uint32_t first, uint32_t n, bool otherwise,
                      uint64_t *out)
{
    memset(out, 0, VARVE_BITMAP_WORDS(n) * sizeof *out);
    if (bits == NULL) {
        if (otherwise)
            varve_bitmap_set_range(out, 0, n);
        return otherwise ? n : 0;
    }
    varve_bitmap_copy(out, 0, bits, first, n);
    return (uint32_t)varve_bitmap_count(out, n);
}

static bool is_live(const struct varve_rows *rows, uint32_t row, uint32_t column)
{
    const uint64_t *bits =
        column == VARVE_MARKER_COLUMN ? rows->marker_live : rows->columns[column].live;
    return bits == NULL || varve_bit_get(bits, row);
}

static void facts_expiry(struct varve_vector_facts *f, uint32_t exp)
{
    if (exp == 0)
        return;
    if (f->min_expiry == 0 || exp < f->min_expiry)
        f->min_expiry = exp;
    if (exp > f->max_expiry)
        f->max_expiry = exp;
}

static void facts_wt(struct varve_vector_facts *f, int64_t wt)
{
    f->min_wt = wt < f->min_wt ? wt : f->min_wt;
    f->max_wt = wt > f->max_wt ? wt : f->max_wt;
}

void varve_vector_facts_of(const struct varve_rows *rows, uint32_t first, uint32_t n, uint32_t from,
                           uint32_t to, struct varve_vector_facts *ret)
{
    const struct varve_schema *schema = rows->schema;
    struct varve_vector_facts f = {.min_wt = INT64_MAX, .max_wt = INT64_MIN};
    uint64_t bits[WORDS];

    for (uint32_t i = 0; i < n; i++)
        facts_wt(&f, varve_rows_wt(rows, first + i));
    for (uint32_t i = 0; rows->exp != NULL && i < n; i++)
        facts_expiry(&f, rows->exp[first + i]);
    for (uint32_t i = from; i < to; i++) {
        const struct varve_exception *e = &rows->exceptions[i];

        facts_wt(&f, e->wt);
        if (is_live(rows, e->row, e->column))
            facts_expiry(&f, e->exp);
    }
    f.markers = slice(rows->marker_live, first, n, true, bits);
    f.deleted_markers = slice(rows->marker_deleted, first, n, false, bits);
    if (f.markers < n)
        f.flags |= VARVE_VECTOR_HAS_UNMARKED;
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        const uint64_t live = slice(cells->live, first, n, true, bits);
        const uint64_t deleted = slice(cells->deleted, first, n, false, bits);

        f.deleted_cells += deleted;
        if (live + deleted < n)
            f.flags |= VARVE_VECTOR_HAS_ABSENT;
    }
    if (f.deleted_cells + f.deleted_markers > 0)
        f.flags |= VARVE_VECTOR_HAS_DELETED;
    if (f.min_expiry != 0)
        f.flags |= VARVE_VECTOR_HAS_EXPIRY;
    if (from < to)
        f.flags |= VARVE_VECTOR_HAS_EXCEPTIONS;
    *ret = f;
}

/* ------------------------------------------------------------------------------------- Streams */

/* The encoding of one group. */
struct job {
    struct varve_group_encoder *e;
    struct varve_sst_output *out;
    const struct varve_rows *rows;
    const struct varve_cut_vector *cut;
    struct varve_group_index index; /* n_streams and n_dictionaries grow */
    struct varve_sst_properties *sum;
};

static struct varve_group_block *job_row(struct job *job)
{
    return &job->e->blocks[(size_t)job->index.n_streams * job->index.n_vectors];
}

/* The stream whose blocks have been put into job_row() is complete. */
static varve_status stream_done(struct job *job, uint32_t stream, varve_error *err)
{
    const struct varve_group_block *row = job_row(job);
    bool any = false;

    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        if (row[v].size == 0)
            continue;
        any = true;
        job->out->data_bytes += row[v].size;
        job->sum->codec_vectors[row[v].codec < VARVE_SST_CODECS ? row[v].codec : 0]++;
    }
    if (any)
        job->e->streams[job->index.n_streams++] = stream;
    return varve_sst_output_drain(job->out, false, err);
}

/* One vector's block into the file. */
static varve_status put_lanes(struct job *job, uint32_t v, const struct varve_lanes *lanes,
                              uint32_t flags, struct varve_zone *zone, varve_error *err)
{
    struct varve_group_block *block = &job_row(job)[v];
    struct varve_buffer *chunk = &job->out->chunk;
    const size_t begin = chunk->size;
    struct varve_block opened;
    varve_status rc = varve_block_encode(lanes, flags, chunk, zone, err);

    if (rc == VARVE_OK && chunk->failed)
        rc = no_memory(err);
    if (rc < 0)
        return rc;
    const struct varve_page_ref ref = varve_sst_output_ref(job->out, VARVE_SST_VECTOR, begin);
    if (ref.size > VARVE_SST_BLOCK_MAX)
        return varve_error_set(err, VARVE_ELIMIT, job->out->name, VARVE_NO_OFFSET,
                               "a vector would have more than 64 MiB");
    rc = varve_block_open(varve_span_of(chunk->data + begin, (size_t)ref.size), lanes->lane,
                          lanes->n, &opened, err);
    if (rc < 0)
        return rc;
    *block = (struct varve_group_block){.offset = ref.offset,
                                        .checksum = ref.checksum,
                                        .size = (uint32_t)ref.size,
                                        .codec = opened.codec};
    return VARVE_OK;
}

static varve_status encode_time(struct job *job, varve_error *err)
{
    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        const struct varve_lanes lanes = {.lane = VARVE_LANE_I64,
                                          .n = job->cut[v].rows,
                                          .values = job->rows->time + job->cut[v].first_row};
        const varve_status rc = put_lanes(job, v, &lanes, 0, NULL, err);

        if (rc < 0)
            return rc;
    }
    return stream_done(job, VARVE_STREAM_TIME, err);
}

static varve_status encode_wt(struct job *job, varve_error *err)
{
    const struct varve_rows *rows = job->rows;
    int64_t uniform[VARVE_VECTOR_ROWS];

    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        const int64_t least = job->index.vectors[v].min_wt;
        struct varve_lanes lanes = {.lane = VARVE_LANE_I64, .n = cut->rows, .values = uniform};
        bool needed = false;

        for (uint32_t i = 0; i < cut->rows; i++) {
            uniform[i] = varve_rows_wt(rows, cut->first_row + i);
            needed = needed || uniform[i] != least;
        }
        if (!needed)
            continue;
        const varve_status rc = put_lanes(job, v, &lanes, 0, NULL, err);
        if (rc < 0)
            return rc;
    }
    return stream_done(job, VARVE_STREAM_WT, err);
}

/* Streams of uint32_t that are left out where all are 0. */
static varve_status encode_u32(struct job *job, uint32_t stream, const uint32_t *values,
                               varve_error *err)
{
    for (uint32_t v = 0; v < job->index.n_vectors && values != NULL; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        const struct varve_lanes lanes = {
            .lane = VARVE_LANE_I32, .n = cut->rows, .values = values + cut->first_row};
        uint32_t any = 0;

        for (uint32_t i = 0; i < cut->rows; i++)
            any |= values[cut->first_row + i];
        if (any == 0)
            continue;
        const varve_status rc = put_lanes(job, v, &lanes, 0, NULL, err);
        if (rc < 0)
            return rc;
    }
    return stream_done(job, stream, err);
}

static varve_status encode_marker(struct job *job, varve_error *err)
{
    static const int8_t nothing[VARVE_VECTOR_ROWS];
    const struct varve_rows *rows = job->rows;
    uint64_t live[WORDS];
    uint64_t deleted[WORDS];

    for (uint32_t v = 0; v < job->index.n_vectors && rows->marker_live != NULL; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        struct varve_lanes lanes = {
            .lane = VARVE_LANE_I8, .n = cut->rows, .values = nothing, .live = live};

        if (slice(rows->marker_live, cut->first_row, cut->rows, true, live) == cut->rows)
            continue;
        if (slice(rows->marker_deleted, cut->first_row, cut->rows, false, deleted) > 0)
            lanes.deleted = deleted;
        const varve_status rc = put_lanes(job, v, &lanes, 0, NULL, err);
        if (rc < 0)
            return rc;
    }
    return stream_done(job, VARVE_STREAM_MARKER, err);
}

static bool reserve_scratch(struct varve_group_encoder *e, size_t n)
{
    return varve_vec_grow(e->heap, (void **)&e->scratch, sizeof *e->scratch, n,
                          &e->scratch_capacity);
}

static varve_status encode_exceptions(struct job *job, varve_error *err)
{
    const struct varve_rows *rows = job->rows;
    struct varve_group_block *row = job_row(job);
    uint32_t from = 0;

    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        const size_t begin = job->out->chunk.size;
        uint32_t to = from;

        while (to < rows->n_exceptions && rows->exceptions[to].row < cut->first_row + cut->rows)
            to++;
        if (from == to)
            continue;
        if (!reserve_scratch(job->e, to - from))
            return no_memory(err);
        varve_exceptions_encode(rows->exceptions + from, to - from, cut->first_row, job->e->scratch,
                                &job->out->chunk);
        if (job->out->chunk.failed)
            return no_memory(err);
        const struct varve_page_ref ref = varve_sst_output_ref(job->out, VARVE_SST_VECTOR, begin);
        row[v].offset = ref.offset;
        row[v].size = (uint32_t)ref.size;
        row[v].checksum = ref.checksum;
        from = to;
    }
    return stream_done(job, VARVE_STREAM_EXCEPTIONS, err);
}

/* ------------------------------------------------------------------------------------- Columns */

static bool is_zoned(uint8_t phys)
{
    return phys != VARVE_PHYS_BYTES && phys != VARVE_PHYS_B16 && phys != VARVE_PHYS_DEC;
}

/* The rows of vector `cut` of a column as lanes; false: the stream leaves the vector out. */
static bool column_lanes(const struct varve_rows *rows, uint32_t column,
                         const struct varve_cut_vector *cut, uint64_t *live, uint64_t *deleted,
                         struct varve_lanes *ret)
{
    const struct varve_cells *cells = &rows->columns[column];
    const uint8_t phys = rows->schema->phys[column];
    const uint32_t n_live = slice(cells->live, cut->first_row, cut->rows, true, live);
    const uint32_t n_deleted = slice(cells->deleted, cut->first_row, cut->rows, false, deleted);

    *ret = (struct varve_lanes){.lane = phys,
                                .n = cut->rows,
                                .values = (const uint8_t *)cells->values +
                                          (size_t)cut->first_row * varve_phys_width(phys),
                                .live = n_live == cut->rows ? NULL : live,
                                .deleted = n_deleted == 0 ? NULL : deleted};
    if (phys == VARVE_PHYS_BYTES)
        ret->offsets = cells->offsets + cut->first_row;
    if (phys == VARVE_PHYS_DEC)
        ret->scales = cells->scales + cut->first_row;
    return n_live + n_deleted > 0;
}

/* Write the column's dictionary behind its vectors, and its id into their entries. */
static varve_status put_dictionary(struct job *job, varve_error *err)
{
    struct varve_group_encoder *e = job->e;
    struct varve_group_block *row = job_row(job);
    struct varve_group_dictionary *d = &e->dictionaries[job->index.n_dictionaries];

    varve_buffer_clear(&e->block);
    varve_status rc = varve_dictionary_encode(&e->dictionary, &e->block, err);
    if (rc == VARVE_OK && e->block.failed)
        rc = no_memory(err);
    if (rc < 0)
        return rc;
    d->id = e->next_dictionary++;
    d->entries = e->dictionary.n;
    rc = varve_sst_output_put(job->out, VARVE_SST_DICTIONARY, varve_buffer_span(&e->block), &d->ref,
                              err);
    if (rc < 0)
        return rc;
    for (uint32_t v = 0; v < job->index.n_vectors; v++)
        if (row[v].size != 0)
            row[v].dictionary = d->id;
    job->out->data_bytes += d->ref.size;
    job->index.n_dictionaries++;
    return VARVE_OK;
}

static varve_status encode_column(struct job *job, uint32_t column, varve_error *err)
{
    struct varve_group_encoder *e = job->e;
    const uint8_t phys = e->schema->phys[column];
    const bool zoned = is_zoned(phys);
    uint64_t live[WORDS];
    uint64_t deleted[WORDS];
    bool coded = false;
    varve_status rc = VARVE_OK;

    if (phys == VARVE_PHYS_BYTES) {
        rc = varve_dictionary_build(&e->dictionary, &job->rows->columns[column], job->index.n_rows,
                                    err);
        if (rc < 0)
            return rc;
        coded = rc == VARVE_OK;
    }
    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        struct varve_zone *zone = zoned ? &e->column_zones[v] : NULL;
        struct varve_lanes lanes;

        if (zone != NULL)
            memset(zone, 0, sizeof *zone);
        if (!column_lanes(job->rows, column, cut, live, deleted, &lanes))
            continue;
        if (coded) {
            lanes.lane = VARVE_LANE_I32;
            lanes.values = e->dictionary.codes + cut->first_row;
            lanes.offsets = NULL;
        }
        rc = put_lanes(job, v, &lanes,
                       (zoned ? (uint32_t)VARVE_ENCODE_ZONE : 0) |
                           (coded ? (uint32_t)VARVE_ENCODE_CODES : 0),
                       zone, err);
        if (rc < 0)
            return rc;
    }
    if (coded) {
        rc = put_dictionary(job, err);
        if (rc < 0)
            return rc;
    }
    if (zoned)
        varve_zone_map_column(&e->zones, column, phys, e->column_zones, job->index.n_vectors,
                              e->scratch, &e->body);
    return stream_done(job, VARVE_STREAM_COLUMN + column, err);
}

static varve_status encode_columns(struct job *job, varve_error *err)
{
    const struct varve_schema *schema = job->e->schema;
    const uint32_t first = schema->time_column + 1;
    uint32_t zoned = 0;

    for (uint32_t c = first; c < schema->n_columns; c++)
        zoned += is_zoned(schema->phys[c]);
    varve_buffer_clear(&job->e->zones);
    varve_zone_map_begin(&job->e->zones, job->index.n_vectors, zoned);
    for (uint32_t c = first; c < schema->n_columns; c++) {
        const varve_status rc = encode_column(job, c, err);

        if (rc < 0)
            return rc;
    }
    if (job->e->zones.failed || job->e->body.failed)
        return no_memory(err);
    if (zoned == 0)
        return VARVE_OK;
    return varve_sst_output_put(job->out, VARVE_SST_ZONES, varve_buffer_span(&job->e->zones),
                                &job->index.zones, err);
}

/* --------------------------------------------------------------------------------------- Group */

static bool job_reserve(struct varve_group_encoder *e, uint32_t n_vectors, uint32_t n_runs)
{
    const size_t streams = VARVE_STREAM_ORDINAL + 1 + (size_t)e->schema->n_columns;
    const size_t longest = n_runs > n_vectors ? n_runs : n_vectors;

    return varve_vec_grow(e->heap, (void **)&e->vectors, sizeof *e->vectors, n_vectors,
                          &e->vectors_capacity) &&
           varve_vec_grow(e->heap, (void **)&e->runs, sizeof *e->runs, n_runs, &e->runs_capacity) &&
           varve_vec_grow(e->heap, (void **)&e->blocks, sizeof *e->blocks, streams * n_vectors,
                          &e->blocks_capacity) &&
           varve_vec_grow(e->heap, (void **)&e->dictionaries, sizeof *e->dictionaries,
                          e->schema->n_columns, &e->dictionaries_capacity) &&
           varve_vec_grow(e->heap, (void **)&e->streams, sizeof *e->streams, streams,
                          &e->streams_capacity) &&
           varve_vec_grow(e->heap, (void **)&e->column_zones, sizeof *e->column_zones, n_vectors,
                          &e->zones_capacity) &&
           reserve_scratch(e, longest);
}

static void sum_vector(struct varve_sst_properties *sum, const struct varve_vector_facts *f,
                       const struct varve_group_vector *vector)
{
    sum->markers += f->markers;
    sum->deleted_markers += f->deleted_markers;
    sum->deleted_cells += f->deleted_cells;
    sum->min_wt = f->min_wt < sum->min_wt ? f->min_wt : sum->min_wt;
    sum->max_wt = f->max_wt > sum->max_wt ? f->max_wt : sum->max_wt;
    if (f->min_expiry != 0 && (sum->min_expiry == 0 || f->min_expiry < sum->min_expiry))
        sum->min_expiry = f->min_expiry;
    sum->max_expiry = f->max_expiry > sum->max_expiry ? f->max_expiry : sum->max_expiry;
    sum->content_hash += vector->content_hash;
}

/* Vectors and runs of the index, from the rows. */
static void describe(struct job *job, const struct varve_cut_run *runs, uint64_t first_partition)
{
    const struct varve_rows *rows = job->rows;
    uint32_t from = 0;

    for (uint32_t v = 0; v < job->index.n_vectors; v++) {
        const struct varve_cut_vector *cut = &job->cut[v];
        struct varve_group_vector *vector = &job->index.vectors[v];
        struct varve_vector_facts facts;
        uint32_t to = from;

        while (to < rows->n_exceptions && rows->exceptions[to].row < cut->first_row + cut->rows)
            to++;
        varve_vector_facts_of(rows, cut->first_row, cut->rows, from, to, &facts);
        *vector = (struct varve_group_vector){.first_row = cut->first_row,
                                              .rows = cut->rows,
                                              .first_run = cut->first_run,
                                              .runs = cut->runs,
                                              .flags = facts.flags,
                                              .min_expiry = facts.min_expiry,
                                              .min_wt = facts.min_wt,
                                              .max_wt = facts.max_wt};
        for (uint32_t i = cut->first_run; i < cut->first_run + cut->runs; i++) {
            job->index.runs[i] = (struct varve_group_run){
                .first_time = rows->time[runs[i].first_row],
                .last_time = rows->time[runs[i].first_row + runs[i].rows - 1],
                .first_row = runs[i].first_row,
                .rows = runs[i].rows,
                .partition = (uint32_t)(runs[i].partition - first_partition),
                .vector = v};
            vector->content_hash +=
                varve_rows_content_hash(rows, runs[i].first_row, runs[i].rows, runs[i].key_hash);
        }
        sum_vector(job->sum, &facts, vector);
        from = to;
    }
}

static varve_status encode_streams(struct job *job, varve_error *err)
{
    varve_status rc = encode_time(job, err);

    if (rc == VARVE_OK)
        rc = encode_wt(job, err);
    if (rc == VARVE_OK)
        rc = encode_u32(job, VARVE_STREAM_EXP, job->rows->exp, err);
    if (rc == VARVE_OK)
        rc = encode_marker(job, err);
    if (rc == VARVE_OK)
        rc = encode_exceptions(job, err);
    if (rc == VARVE_OK)
        rc = encode_u32(job, VARVE_STREAM_WRITER, job->rows->writer, err);
    if (rc == VARVE_OK)
        rc = encode_u32(job, VARVE_STREAM_ORDINAL, job->rows->ordinal, err);
    if (rc == VARVE_OK)
        rc = encode_columns(job, err);
    return rc;
}

varve_status varve_group_encode(struct varve_group_encoder *e, struct varve_sst_output *out,
                                const struct varve_rows *rows,
                                const struct varve_cut_vector *vectors, uint32_t n_vectors,
                                const struct varve_cut_run *runs, uint32_t n_runs,
                                struct varve_sst_group *group, struct varve_sst_properties *sum,
                                uint64_t *ret_ticket, varve_error *err)
{
    const uint32_t n_rows = vectors[n_vectors - 1].first_row + vectors[n_vectors - 1].rows;
    struct job job = {.e = e, .out = out, .rows = rows, .cut = vectors, .sum = sum};

    assert(n_vectors > 0 && n_rows <= VARVE_SST_ROWS_MAX);
    if (!job_reserve(e, n_vectors, n_runs))
        return no_memory(err);
    memset(e->blocks, 0, e->blocks_capacity * sizeof *e->blocks);
    job.index = (struct varve_group_index){.n_rows = n_rows,
                                           .n_vectors = n_vectors,
                                           .n_runs = n_runs,
                                           .vectors = e->vectors,
                                           .runs = e->runs,
                                           .dictionaries = e->dictionaries,
                                           .streams = e->streams,
                                           .blocks = e->blocks};
    *group = (struct varve_sst_group){.first_partition = runs[0].partition,
                                      .rows = n_rows,
                                      .vectors = n_vectors,
                                      .first_time = INT64_MAX,
                                      .last_time = INT64_MIN,
                                      .data_offset = varve_sst_output_position(out)};
    describe(&job, runs, group->first_partition);
    for (uint32_t i = 0; i < n_runs; i++) {
        const struct varve_group_run *run = &e->runs[i];

        group->first_time =
            run->first_time < group->first_time ? run->first_time : group->first_time;
        group->last_time = run->last_time > group->last_time ? run->last_time : group->last_time;
    }
    varve_status rc = encode_streams(&job, err);
    if (rc < 0)
        return rc;
    group->data_size = varve_sst_output_position(out) - group->data_offset;
    if (!reserve_scratch(e, n_runs > n_vectors ? n_runs : n_vectors))
        return no_memory(err);
    varve_buffer_clear(&e->block);
    varve_group_index_encode(&job.index, e->scratch, &e->block);
    if (e->block.failed)
        return no_memory(err);
    return varve_sst_output_put_meta(out, VARVE_SST_INDEX, varve_buffer_span(&e->block), ret_ticket,
                                     err);
}
