/*
 * sst_writer.c - from sorted rows to a finished file (sst_writer.h).
 *
 * Rows wait in `rows`: first those that have been cut into vectors of the group in work, then those
 * of the shared vector in work (several small partitions), then those of the partition in work
 * that have not been cut yet:
 *
 *     0 ........ cut_rows ........ shared_end ........ rows.n
 *       vectors            shared               loose
 *
 * A partition's loose rows become a vector of their own while two full ones remain, so that what is
 * left at its end can be halved; a partition that ends with few rows joins the shared vector.
 * When the next vector does not fit, the group is encoded and the rest moves to a fresh buffer.
 */
#include "storage/sst/sst_writer.h"

#include <assert.h>
#include <string.h>

#include "index/key_filter.h"
#include "index/partition_directory.h"
#include "storage/base/vec.h"
#include "storage/schema/schema_format.h"
#include "storage/sst/group_encoder.h"

#define SHARED_BELOW 128u /* partitions with fewer rows share a vector */
#define GROUP_BYTES (32u << 20)
#define APPEND_ROWS 1024u /* taken over at once, so that cutting keeps up */
#define GROUP_VECTORS_MAX 8192u

struct varve_sst_writer {
    struct varve_heap *heap;
    struct varve_schema *schema;
    struct varve_sst_output out;
    struct varve_group_encoder encoder;
    struct varve_directory_builder *directory;
    struct varve_filter_builder *filter;
    struct varve_sst_properties sum; /* keys not in it */
    bool failed;
    uint32_t vector_rows; /* of a full vector */
    uint32_t group_rows_max;
    uint32_t group_vectors_max;
    uint64_t group_bytes_max;
    uint32_t row_width; /* raw bytes of a row without its text */

    struct varve_rows_builder buffers[2];
    uint32_t current; /* which of them is in work */
    uint32_t cut_rows;
    uint32_t shared_end;
    uint64_t cut_bytes;
    struct varve_cut_vector *vectors;
    struct varve_cut_run *runs; /* of the vectors, then of the shared vector in work */
    size_t n_vectors, vectors_capacity;
    size_t n_runs, runs_capacity, n_cut_runs;

    /* The partition in work. */
    bool has_partition;
    uint64_t partition; /* its ordinal */
    uint64_t partition_rows;
    uint32_t partition_vectors; /* it has so many of its own */
    int64_t partition_first;
    int64_t partition_last;
    uint64_t key_hash;
    struct varve_buffer key;
    struct varve_buffer first_key;
    struct varve_buffer last_key; /* of the last partition that has rows */

    struct varve_sst_group *groups;
    uint64_t *group_tickets;
    size_t n_groups, groups_capacity, tickets_capacity;
};

static varve_status no_memory(varve_error *err)
{
    return varve_error_nomem(err, "writing a file");
}

static struct varve_rows_builder *buffer_of(struct varve_sst_writer *w)
{
    return &w->buffers[w->current];
}

/* ------------------------------------------------------------------------------------- Opening */

static void writer_free(struct varve_sst_writer *w, bool remove)
{
    varve_sst_output_close(&w->out, remove);
    varve_group_encoder_free(&w->encoder);
    varve_directory_builder_free(w->directory);
    varve_filter_builder_free(w->filter);
    varve_rows_builder_free(&w->buffers[0]);
    varve_rows_builder_free(&w->buffers[1]);
    varve_free(w->heap, w->vectors, w->vectors_capacity * sizeof *w->vectors);
    varve_free(w->heap, w->runs, w->runs_capacity * sizeof *w->runs);
    varve_free(w->heap, w->groups, w->groups_capacity * sizeof *w->groups);
    varve_free(w->heap, w->group_tickets, w->tickets_capacity * sizeof *w->group_tickets);
    varve_buffer_free(&w->key);
    varve_buffer_free(&w->first_key);
    varve_buffer_free(&w->last_key);
    varve_schema_unref(w->schema);
    varve_free(w->heap, w, sizeof *w);
}

static varve_status sink_emit(void *ctx, struct varve_span bytes, uint64_t *ret_ticket,
                              varve_error *err)
{
    struct varve_sst_writer *w = ctx;
    const varve_status rc =
        varve_sst_output_put_meta(&w->out, VARVE_SST_DIRECTORY, bytes, ret_ticket, err);

    /* Not only where a group ends: it may have as many partitions as rows. */
    return rc < 0 ? rc : varve_sst_output_roll(&w->out, err);
}

static varve_status sink_locate(void *ctx, uint64_t ticket, struct varve_page_ref *ret_ref,
                                varve_error *err)
{
    struct varve_sst_writer *w = ctx;

    return varve_sst_output_locate(&w->out, ticket, ret_ref, err);
}

static uint32_t row_width_of(const struct varve_schema *schema)
{
    uint32_t width = 8;

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        width += varve_phys_width(schema->phys[c]) + (schema->phys[c] == VARVE_PHYS_DEC);
    return width;
}

static void writer_set_limits(struct varve_sst_writer *w,
                              const struct varve_sst_writer_options *options)
{
    const uint32_t streams = VARVE_STREAM_ORDINAL + 1 + w->schema->n_columns;

    w->group_rows_max = options->row_group_rows != 0 && options->row_group_rows < VARVE_SST_ROWS_MAX
                            ? options->row_group_rows
                            : VARVE_SST_ROWS_MAX;
    w->group_bytes_max = options->row_group_bytes != 0 ? options->row_group_bytes : GROUP_BYTES;
    w->group_vectors_max = VARVE_GROUP_CELLS_MAX / streams;
    if (w->group_vectors_max > GROUP_VECTORS_MAX)
        w->group_vectors_max = GROUP_VECTORS_MAX;
    w->vector_rows = w->group_rows_max < VARVE_VECTOR_ROWS ? w->group_rows_max : VARVE_VECTOR_ROWS;
    w->row_width = row_width_of(w->schema);
}

static void writer_set_sum(struct varve_sst_writer *w, const struct varve_sst_properties *given)
{
    w->sum = (struct varve_sst_properties){
        .table_id = given->table_id != 0 ? given->table_id : w->schema->table_id,
        .group = given->group,
        .kind = given->kind != 0 ? given->kind : VARVE_SST_DATA,
        .schema_version = given->schema_version != 0 ? given->schema_version : w->schema->version,
        .stripe = given->stripe,
        .preset = given->preset,
        .key_id = given->key_id,
        .window_start = given->window_start,
        .window_end = given->window_end,
        .lsn_first = given->lsn_first,
        .lsn_end = given->lsn_end,
        .deletions_applied_lsn = given->deletions_applied_lsn,
        .first_time = INT64_MAX,
        .last_time = INT64_MIN,
        .min_wt = INT64_MAX,
        .max_wt = INT64_MIN,
    };
    memcpy(w->sum.uuid, given->uuid, 16);
}

static varve_status put_header(struct varve_sst_writer *w, varve_error *err)
{
    struct varve_sst_footer head = {.incompatible = 0};
    uint8_t *page = varve_buffer_reserve(&w->out.chunk, VARVE_SST_PAGE);

    if (page == NULL)
        return no_memory(err);
    memcpy(head.uuid, w->sum.uuid, 16);
    varve_sst_header_encode(&head, page);
    w->out.chunk.size += VARVE_SST_PAGE;
    return VARVE_OK;
}

varve_status varve_sst_writer_open(struct varve_vfs *vfs, const char *name,
                                   const struct varve_sst_writer_options *options,
                                   struct varve_heap *heap, struct varve_sst_writer **ret_writer,
                                   varve_error *err)
{
    struct varve_sst_writer *w = varve_alloc_zero(heap, 1, sizeof *w);
    varve_status rc;

    if (w == NULL)
        return no_memory(err);
    w->heap = heap;
    w->schema = varve_schema_ref(options->schema);
    varve_buffer_init(&w->key, heap);
    varve_buffer_init(&w->first_key, heap);
    varve_buffer_init(&w->last_key, heap);
    varve_group_encoder_init(&w->encoder, heap, w->schema);
    writer_set_limits(w, options);
    writer_set_sum(w, &options->given);
    rc = varve_sst_output_open(&w->out, vfs, name, options->given.uuid, heap, err);
    if (rc < 0)
        goto fail;
    rc = varve_rows_builder_init(&w->buffers[0], heap, w->schema, NULL, err);
    if (rc < 0)
        goto fail;
    rc = varve_rows_builder_init(&w->buffers[1], heap, w->schema, NULL, err);
    if (rc < 0)
        goto fail;
    const struct varve_page_sink sink = {w, sink_emit, sink_locate};
    rc = varve_directory_builder_create(heap, &sink, &w->directory, err);
    if (rc < 0)
        goto fail;
    rc = varve_filter_builder_create(heap, options->expected_partitions, &w->filter, err);
    if (rc < 0)
        goto fail;
    rc = put_header(w, err);
    if (rc < 0)
        goto fail;
    *ret_writer = w;
    return VARVE_OK;

fail:
    writer_free(w, true);
    return rc;
}

void varve_sst_writer_abort(struct varve_sst_writer *writer)
{
    if (writer != NULL)
        writer_free(writer, true);
}

uint64_t varve_sst_writer_rows(const struct varve_sst_writer *w)
{
    return w->sum.rows;
}

uint64_t varve_sst_writer_bytes(const struct varve_sst_writer *w)
{
    return varve_sst_output_position(&w->out) + w->out.extent.size + w->out.unmirrored.size;
}

/* -------------------------------------------------------------------------------------- Groups */

/* Encode the vectors that have been cut, and move the rest of the rows to a fresh buffer. */
static varve_status group_close(struct varve_sst_writer *w, varve_error *err)
{
    struct varve_rows_builder *from = buffer_of(w);
    struct varve_rows_builder *to = &w->buffers[1 - w->current];
    varve_status rc;

    if (w->n_vectors == 0)
        return VARVE_OK;
    if (!varve_vec_grow(w->heap, (void **)&w->groups, sizeof *w->groups, w->n_groups + 1,
                        &w->groups_capacity) ||
        !varve_vec_grow(w->heap, (void **)&w->group_tickets, sizeof *w->group_tickets,
                        w->n_groups + 1, &w->tickets_capacity))
        return no_memory(err);
    struct varve_sst_group *group = &w->groups[w->n_groups];
    rc = varve_group_encode(&w->encoder, &w->out, &from->rows, w->vectors, (uint32_t)w->n_vectors,
                            w->runs, (uint32_t)w->n_cut_runs, group, &w->sum,
                            &w->group_tickets[w->n_groups], err);
    if (rc < 0)
        return rc;
    group->first_row = w->n_groups == 0
                           ? 0
                           : w->groups[w->n_groups - 1].first_row + w->groups[w->n_groups - 1].rows;
    w->sum.vectors += w->n_vectors;
    w->n_groups++;

    varve_rows_builder_clear(to);
    rc = varve_rows_append(to, &from->rows, w->cut_rows, from->rows.n - w->cut_rows, err);
    if (rc < 0)
        return rc;
    varve_rows_builder_clear(from);
    memmove(w->runs, w->runs + w->n_cut_runs, (w->n_runs - w->n_cut_runs) * sizeof *w->runs);
    w->n_runs -= w->n_cut_runs;
    for (size_t i = 0; i < w->n_runs; i++)
        w->runs[i].first_row -= w->cut_rows;
    w->current = 1 - w->current;
    w->shared_end -= w->cut_rows;
    w->cut_rows = 0;
    w->cut_bytes = 0;
    w->n_cut_runs = 0;
    w->n_vectors = 0;
    return varve_sst_output_roll(&w->out, err);
}

/* Raw bytes of rows [first, first + n) of the buffer; *ret_widest: of the column with most text. */
static uint64_t bytes_of(const struct varve_sst_writer *w, const struct varve_rows *rows,
                         uint32_t first, uint32_t n, uint64_t *ret_widest)
{
    uint64_t bytes = (uint64_t)w->row_width * n;

    *ret_widest = 0;
    for (uint32_t c = w->schema->time_column + 1; c < w->schema->n_columns; c++) {
        if (w->schema->phys[c] != VARVE_PHYS_BYTES)
            continue;
        const uint32_t *offsets = rows->columns[c].offsets;
        const uint64_t text = offsets[first + n] - offsets[first];

        bytes += text;
        *ret_widest = text > *ret_widest ? text : *ret_widest;
    }
    return bytes;
}

/* The rows [cut_rows, cut_rows + n) become a vector; its runs are the next `runs`. */
static varve_status vector_close(struct varve_sst_writer *w, uint32_t n, uint32_t runs,
                                 varve_error *err)
{
    uint64_t widest;
    const uint64_t bytes = bytes_of(w, &buffer_of(w)->rows, w->cut_rows, n, &widest);

    if (w->n_vectors > 0 &&
        (w->cut_rows + n > w->group_rows_max || w->cut_bytes + bytes > w->group_bytes_max ||
         w->n_vectors == w->group_vectors_max)) {
        const varve_status rc = group_close(w, err);

        if (rc < 0)
            return rc;
    }
    if (!varve_vec_grow(w->heap, (void **)&w->vectors, sizeof *w->vectors, w->n_vectors + 1,
                        &w->vectors_capacity))
        return no_memory(err);
    for (size_t i = w->n_cut_runs; i < w->n_cut_runs + runs; i++)
        w->runs[i].vector = (uint32_t)w->n_vectors;
    w->vectors[w->n_vectors++] = (struct varve_cut_vector){
        .first_row = w->cut_rows, .rows = n, .first_run = (uint32_t)w->n_cut_runs, .runs = runs};
    w->n_cut_runs += runs;
    w->cut_rows += n;
    w->cut_bytes += bytes;
    if (w->shared_end < w->cut_rows)
        w->shared_end = w->cut_rows;
    return VARVE_OK;
}

static varve_status add_run(struct varve_sst_writer *w, uint32_t first_row, uint32_t rows,
                            varve_error *err)
{
    if (!varve_vec_grow(w->heap, (void **)&w->runs, sizeof *w->runs, w->n_runs + 1,
                        &w->runs_capacity))
        return no_memory(err);
    w->runs[w->n_runs++] = (struct varve_cut_run){
        .first_row = first_row, .rows = rows, .partition = w->partition, .key_hash = w->key_hash};
    return VARVE_OK;
}

static varve_status shared_close(struct varve_sst_writer *w, varve_error *err)
{
    if (w->shared_end == w->cut_rows)
        return VARVE_OK;
    return vector_close(w, w->shared_end - w->cut_rows, (uint32_t)(w->n_runs - w->n_cut_runs), err);
}

/* How many of the n rows from `first` on a vector may take: no column above 1 MiB of text. */
static uint32_t rows_that_fit(const struct varve_sst_writer *w, const struct varve_rows *rows,
                              uint32_t first, uint32_t n)
{
    for (uint32_t c = w->schema->time_column + 1; c < w->schema->n_columns; c++) {
        if (w->schema->phys[c] != VARVE_PHYS_BYTES)
            continue;
        const uint32_t *offsets = rows->columns[c].offsets;
        uint32_t low = 1; /* a single row always fits */
        uint32_t high = n;

        while (low < high) { /* the most rows with offsets[first + rows] in reach */
            const uint32_t middle = low + (high - low + 1) / 2;

            if (offsets[first + middle] - offsets[first] <= VARVE_VECTOR_BYTES_MAX)
                low = middle;
            else
                high = middle - 1;
        }
        n = low;
    }
    return n;
}

/* Cut one vector of up to `n` loose rows of the partition in work. */
static varve_status loose_cut(struct varve_sst_writer *w, uint32_t n, varve_error *err)
{
    const struct varve_rows *rows = &buffer_of(w)->rows;

    assert(w->shared_end == w->cut_rows && w->n_runs == w->n_cut_runs);
    n = rows_that_fit(w, rows, w->cut_rows, n);
    const varve_status rc = add_run(w, w->cut_rows, n, err);
    if (rc < 0)
        return rc;
    w->partition_vectors++;
    return vector_close(w, n, 1, err);
}

/* Whether the loose rows must be cut before more of the partition comes. */
static bool loose_is_long(const struct varve_sst_writer *w)
{
    const struct varve_rows *rows = &w->buffers[w->current].rows;
    const uint32_t n = rows->n - w->shared_end;
    uint64_t widest;

    (void)bytes_of(w, rows, w->shared_end, n, &widest);
    return n >= 2 * w->vector_rows || widest >= 2 * (uint64_t)VARVE_VECTOR_BYTES_MAX;
}

/* ---------------------------------------------------------------------------------- Partitions */

/* The partition in work has all its rows: cut what is loose, or let it join the shared vector. */
static varve_status loose_close(struct varve_sst_writer *w, varve_error *err)
{
    uint32_t n = buffer_of(w)->rows.n - w->shared_end;
    varve_status rc = VARVE_OK;
    uint64_t widest;

    if (n == 0)
        return VARVE_OK;
    (void)bytes_of(w, &buffer_of(w)->rows, w->cut_rows, w->shared_end - w->cut_rows + n, &widest);
    if (w->partition_vectors == 0 && n < SHARED_BELOW) {
        const uint32_t together = w->shared_end - w->cut_rows + n;

        if (together > w->vector_rows || widest > VARVE_VECTOR_BYTES_MAX) {
            rc = shared_close(w, err);
            if (rc < 0)
                return rc;
            (void)bytes_of(w, &buffer_of(w)->rows, w->cut_rows, n, &widest);
        }
        if (n <= w->vector_rows && widest <= VARVE_VECTOR_BYTES_MAX) {
            rc = add_run(w, w->shared_end, n, err);
            w->shared_end += n;
            return rc;
        }
    }
    rc = shared_close(w, err);
    while (rc == VARVE_OK) {
        n = buffer_of(w)->rows.n - w->cut_rows;
        if (n == 0)
            break;
        rc = loose_cut(w, n > w->vector_rows ? (n + 1) / 2 : n, err);
    }
    return rc;
}

/* The partition in work is complete: directory and filter learn of it. */
static varve_status partition_close(struct varve_sst_writer *w, varve_error *err)
{
    const struct varve_span key = varve_buffer_span(&w->key);
    varve_status rc;

    if (!w->has_partition || w->partition_rows == 0)
        return VARVE_OK;
    rc = loose_close(w, err);
    if (rc < 0)
        return rc;
    rc = varve_directory_add(w->directory, key, w->partition_rows, w->partition_first,
                             w->partition_last, err);
    if (rc < 0)
        return rc;
    rc = varve_filter_add(w->filter, w->key_hash, err);
    if (rc < 0)
        return rc;
    if (w->partition == 0)
        varve_write_bytes(&w->first_key, key.data, key.size);
    varve_buffer_clear(&w->last_key);
    varve_write_bytes(&w->last_key, key.data, key.size);
    if (w->first_key.failed || w->last_key.failed)
        return no_memory(err);
    if (w->partition_first < w->sum.first_time)
        w->sum.first_time = w->partition_first;
    if (w->partition_last > w->sum.last_time)
        w->sum.last_time = w->partition_last;
    w->sum.partitions++;
    w->has_partition = false;
    return VARVE_OK;
}

static varve_status fail(struct varve_sst_writer *w, varve_status rc)
{
    if (rc < 0)
        w->failed = true;
    return rc;
}

varve_status varve_sst_writer_begin_partition(struct varve_sst_writer *w, struct varve_span key,
                                              varve_error *err)
{
    assert(!w->failed);
    varve_status rc = partition_close(w, err);
    if (rc < 0)
        return fail(w, rc);
    if (key.size > VARVE_KEY_BYTES_MAX || key.size == 0 ||
        (w->sum.partitions > 0 && varve_span_compare(varve_buffer_span(&w->last_key), key) >= 0))
        return fail(w, varve_error_set(err, VARVE_EINVAL, w->out.name, VARVE_NO_OFFSET,
                                       "partition keys must ascend"));
    varve_buffer_clear(&w->key);
    varve_write_bytes(&w->key, key.data, key.size);
    if (w->key.failed)
        return fail(w, no_memory(err));
    w->has_partition = true;
    w->partition = w->sum.partitions;
    w->partition_rows = 0;
    w->partition_vectors = 0;
    w->key_hash = varve_key_hash(key);
    return VARVE_OK;
}

/* Take over up to APPEND_ROWS rows, and cut. */
static varve_status append_some(struct varve_sst_writer *w, const struct varve_rows *rows,
                                uint32_t first, uint32_t n, varve_error *err)
{
    struct varve_rows_builder *to = buffer_of(w);
    varve_status rc;

    /* The order inside a call is the caller's promise; at the seams it is cheap to look. */
    if (w->partition_rows > 0 && to->rows.n > 0 &&
        varve_rows_compare(&to->rows, to->rows.n - 1, rows, first) >= 0)
        return varve_error_set(err, VARVE_EINVAL, w->out.name, VARVE_NO_OFFSET,
                               "rows of a partition must ascend");
    rc = varve_rows_append(to, rows, first, n, err);
    if (rc < 0)
        return rc;
    if (w->partition_rows == 0)
        w->partition_first = rows->time[first];
    w->partition_last = rows->time[first + n - 1];
    w->partition_rows += n;
    w->sum.rows += n;
    w->sum.raw_bytes += varve_rows_raw_bytes(rows, first, n);
    while (loose_is_long(w)) {
        const uint32_t loose = buffer_of(w)->rows.n - w->shared_end;

        rc = shared_close(w, err);
        if (rc < 0)
            return rc;
        rc = loose_cut(w, loose < w->vector_rows ? loose : w->vector_rows, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

varve_status varve_sst_writer_append(struct varve_sst_writer *w, const struct varve_rows *rows,
                                     uint32_t first, uint32_t n, varve_error *err)
{
    assert(!w->failed && w->has_partition && first <= rows->n && n <= rows->n - first);
    assert(w->schema->duplicates != VARVE_DUPLICATES_KEEP || rows->writer != NULL);
    while (n > 0) {
        uint32_t take = n < APPEND_ROWS ? n : APPEND_ROWS;

        take = rows_that_fit(w, rows, first, take);
        const varve_status rc = append_some(w, rows, first, take, err);
        if (rc < 0)
            return fail(w, rc);
        first += take;
        n -= take;
    }
    return VARVE_OK;
}

/* ----------------------------------------------------------------------------------- Finishing */

static varve_status shard_emit(void *ctx, struct varve_span bytes, uint64_t *ret_ticket,
                               varve_error *err)
{
    struct varve_sst_writer *w = ctx;
    struct varve_page_ref ref;
    const varve_status rc = varve_sst_output_put(&w->out, VARVE_SST_FILTER, bytes, &ref, err);

    if (rc < 0)
        return rc;
    if (!varve_vec_grow(w->heap, (void **)&w->out.tickets, sizeof *w->out.tickets,
                        w->out.n_tickets + 1, &w->out.tickets_capacity))
        return no_memory(err);
    *ret_ticket = w->out.n_tickets;
    w->out.tickets[w->out.n_tickets++] =
        (struct varve_sst_ticket){.ref = ref, .kind = VARVE_SST_FILTER, .placed = true};
    w->out.first_unplaced = w->out.n_tickets;
    return VARVE_OK;
}

static struct varve_sst_section_ref section_of(const struct varve_page_ref *ref)
{
    return (struct varve_sst_section_ref){ref->offset, ref->size, ref->checksum};
}

static varve_status put_filter(struct varve_sst_writer *w, struct varve_sst_sections *sections,
                               varve_error *err)
{
    const struct varve_page_sink sink = {w, shard_emit, sink_locate};
    struct varve_buffer table;
    struct varve_page_ref ref;

    varve_buffer_init(&table, w->heap);
    varve_status rc = varve_filter_finish(w->filter, &sink, &table, err);
    if (rc == VARVE_OK)
        rc = varve_sst_output_put(&w->out, VARVE_SST_FILTER, varve_buffer_span(&table), &ref, err);
    if (rc == VARVE_OK) {
        sections->at[VARVE_SECTION_FILTER] = section_of(&ref);
    }
    varve_buffer_free(&table);
    return rc;
}

/* Put a block that stands twice and has a section of its own. */
static varve_status put_section(struct varve_sst_writer *w, struct varve_buffer *bytes,
                                uint32_t kind, uint64_t *ret_ticket, varve_error *err)
{
    if (bytes->failed)
        return no_memory(err);
    return varve_sst_output_put_meta(&w->out, kind, varve_buffer_span(bytes), ret_ticket, err);
}

static varve_status locate_section(struct varve_sst_writer *w, uint64_t ticket, uint32_t id,
                                   struct varve_sst_sections *sections, varve_error *err)
{
    struct varve_page_ref ref;
    const varve_status rc = varve_sst_output_locate(&w->out, ticket, &ref, err);

    if (rc == VARVE_OK)
        sections->at[id] = section_of(&ref);
    return rc;
}

/* Directory, schema, properties, group directory: the last metadata. */
static varve_status put_roots(struct varve_sst_writer *w, struct varve_buffer *scratch,
                              struct varve_sst_sections *sections, varve_error *err)
{
    uint64_t directory;
    uint64_t schema;
    uint64_t properties;
    uint64_t groups;
    varve_status rc = varve_directory_finish(w->directory, &directory, err);

    if (rc < 0)
        return rc;
    varve_buffer_clear(scratch);
    varve_schema_encode(w->schema, scratch);
    rc = put_section(w, scratch, VARVE_SST_SCHEMA, &schema, err);
    if (rc < 0)
        return rc;
    varve_buffer_clear(scratch);
    varve_sst_properties_encode(&w->sum, true, scratch);
    rc = put_section(w, scratch, VARVE_SST_PROPERTIES, &properties, err);
    if (rc < 0)
        return rc;
    rc = varve_sst_output_place(&w->out, err);
    for (size_t i = 0; i < w->n_groups && rc == VARVE_OK; i++) {
        struct varve_page_ref ref;

        rc = varve_sst_output_locate(&w->out, w->group_tickets[i], &ref, err);
        if (rc < 0)
            return rc;
        w->groups[i].index_offset = ref.offset;
        w->groups[i].index_size = (uint32_t)ref.size;
        w->groups[i].index_checksum = ref.checksum;
    }
    if (rc < 0)
        return rc;
    varve_buffer_clear(scratch);
    varve_sst_groups_encode(w->groups, (uint32_t)w->n_groups, scratch);
    rc = put_section(w, scratch, VARVE_SST_GROUPS, &groups, err);
    if (rc == VARVE_OK)
        rc = locate_section(w, directory, VARVE_SECTION_DIRECTORY, sections, err);
    if (rc == VARVE_OK)
        rc = locate_section(w, schema, VARVE_SECTION_SCHEMA, sections, err);
    if (rc == VARVE_OK)
        rc = locate_section(w, properties, VARVE_SECTION_PROPERTIES, sections, err);
    if (rc == VARVE_OK)
        rc = locate_section(w, groups, VARVE_SECTION_GROUPS, sections, err);
    return rc;
}

/* Section block, the mirrors that are due, section block again. */
static varve_status put_sections(struct varve_sst_writer *w, struct varve_buffer *scratch,
                                 struct varve_sst_sections *sections,
                                 struct varve_sst_footer *footer, varve_error *err)
{
    struct varve_sst_output *out = &w->out;
    uint32_t n = 0;

    for (uint32_t id = 1; id < VARVE_SECTION_KINDS; id++)
        n += sections->at[id].offset != 0;

    /* Where the mirrors will stand is known now: right behind the section block. */
    uint64_t at =
        varve_sst_output_position(out) + varve_sst_sections_size(n, (uint32_t)out->n_mirrors);
    for (size_t i = out->first_unmirrored; i < out->n_mirrors; i++) {
        out->mirrors[i].b = at;
        at += out->mirrors[i].size;
    }
    sections->mirrors = out->mirrors;
    sections->n_mirrors = (uint32_t)out->n_mirrors;
    varve_buffer_clear(scratch);
    varve_sst_sections_encode(sections, scratch);
    if (scratch->failed)
        return no_memory(err);

    struct varve_page_ref ref;
    varve_status rc =
        varve_sst_output_put(out, VARVE_SST_SECTIONS, varve_buffer_span(scratch), &ref, err);
    if (rc < 0)
        return rc;
    assert(out->first_unmirrored == out->n_mirrors ||
           out->mirrors[out->first_unmirrored].b == varve_sst_output_position(out));
    rc = varve_sst_output_mirror(out, err);
    if (rc < 0)
        return rc;
    footer->section_a = ref.offset;
    footer->section_b = varve_sst_output_position(out);
    footer->section_size = ref.size;
    footer->section_checksum = ref.checksum;
    return varve_sst_output_put(out, VARVE_SST_SECTIONS, varve_buffer_span(scratch), &ref, err);
}

static varve_status put_footers(struct varve_sst_writer *w, struct varve_sst_footer *footer,
                                varve_error *err)
{
    struct varve_sst_output *out = &w->out;
    const uint64_t position = varve_sst_output_position(out);
    const size_t padding = (size_t)((VARVE_SST_PAGE - position % VARVE_SST_PAGE) % VARVE_SST_PAGE);

    varve_write_zeros(&out->chunk, padding);
    footer->file_size = position + padding + 2 * VARVE_SST_PAGE;
    uint8_t *pages = varve_buffer_reserve(&out->chunk, 2 * VARVE_SST_PAGE);
    if (pages == NULL)
        return no_memory(err);
    varve_sst_footer_encode(footer, pages, &w->sum.footer_checksum);
    memcpy(pages + VARVE_SST_PAGE, pages, VARVE_SST_PAGE);
    out->chunk.size += 2 * VARVE_SST_PAGE;
    w->sum.file_size = footer->file_size;
    w->sum.index_bytes = footer->file_size - out->data_bytes;
    return varve_sst_output_drain(out, true, err);
}

static varve_status finish(struct varve_sst_writer *w, struct varve_buffer *scratch,
                           varve_error *err)
{
    struct varve_sst_sections sections = {.n_mirrors = 0};
    struct varve_sst_footer footer = {.incompatible = 0};
    varve_status rc = partition_close(w, err);

    if (rc == VARVE_OK)
        rc = shared_close(w, err);
    if (rc == VARVE_OK)
        rc = group_close(w, err);
    if (rc < 0)
        return rc;
    w->sum.row_groups = w->n_groups;
    w->sum.first_key = varve_buffer_span(&w->first_key);
    w->sum.last_key = varve_buffer_span(&w->last_key);
    rc = put_roots(w, scratch, &sections, err);
    if (rc == VARVE_OK)
        rc = put_filter(w, &sections, err);
    memcpy(footer.uuid, w->sum.uuid, 16);
    if (rc == VARVE_OK)
        rc = put_sections(w, scratch, &sections, &footer, err);
    if (rc == VARVE_OK)
        rc = put_footers(w, &footer, err);
    if (rc < 0)
        return rc;
    const int sync = w->out.vfs->ops->sync(w->out.file);
    return sync < 0 ? varve_error_os(err, sync, w->out.name, VARVE_NO_OFFSET, "sync") : VARVE_OK;
}

varve_status varve_sst_writer_finish(struct varve_sst_writer *w,
                                     struct varve_sst_properties *ret_properties, varve_error *err)
{
    struct varve_sst_properties properties;
    struct varve_buffer scratch;

    assert(!w->failed);
    varve_buffer_init(&scratch, w->heap);
    varve_status rc = finish(w, &scratch, err);
    varve_buffer_free(&scratch);
    if (rc == VARVE_OK)
        rc = varve_sst_properties_copy(&w->sum, w->heap, &properties, err);
    writer_free(w, rc < 0);
    if (rc == VARVE_OK)
        *ret_properties = properties;
    return rc;
}
