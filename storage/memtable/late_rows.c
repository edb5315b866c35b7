/*
 * late_rows.c - the rows of one partition that are not in its main run, in order.
 *
 * Place.   A source collects here what of a partition's chain and side chunks its view and time
 *          range take in, as references of 16 bytes, and sorts those; cells are copied piece by
 *          piece as they are loaded. Memory is reused from partition to partition.
 */
#include "storage/memtable/memtable_int.h"

#define RECORD UINT32_MAX

void varve_late_rows_free(struct varve_late_rows *late)
{
    if (late->rows != NULL)
        varve_free(late->heap, late->rows, 2 * (size_t)late->capacity * sizeof *late->rows);
    late->rows = NULL;
    late->capacity = 0;
}

static varve_status push(struct varve_late_rows *late, struct varve_late_row row, varve_error *err)
{
    if (late->n == late->capacity) {
        const uint32_t capacity = late->capacity == 0 ? 256 : 2 * late->capacity;
        const size_t size = sizeof *late->rows;
        struct varve_late_row *rows = varve_realloc(
            late->heap, late->rows, 2 * (size_t)late->capacity * size, 2 * (size_t)capacity * size);
        if (rows == NULL)
            return varve_error_nomem(err, "late rows");
        late->rows = rows;
        late->capacity = capacity;
    }
    late->rows[late->n++] = row;
    return VARVE_OK;
}

struct varve_mem_row varve_late_row_of(const struct varve_memtable_view *view,
                                       const struct varve_late_row *late)
{
    const struct varve_memtable *table = view->table;
    if (late->row == RECORD)
        return (struct varve_mem_row){
            .record = varve_slab_at(&table->slabs, late->position),
            .ordinal = varve_record_ordinal(table, (uint32_t)view->ordinal, late->position)};
    const struct varve_chunk *chunk = varve_chunk_at(table, late->position);
    return (struct varve_mem_row){
        .chunk = chunk, .i = late->row, .ordinal = varve_chunk_ordinals(table, chunk)[late->row]};
}

/* Equal keys keep the order of apply. */
static int compare(const struct varve_memtable_view *view, const struct varve_late_row *a,
                   const struct varve_late_row *b)
{
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    const struct varve_schema *schema = view->table->schema;
    const bool mixed = (a->row == RECORD) != (b->row == RECORD);
    if (schema->n_clustering == 0 && !view->table->layout.is_keep && !mixed)
        return 0;
    const struct varve_mem_row x = varve_late_row_of(view, a);
    const struct varve_mem_row y = varve_late_row_of(view, b);
    const int order = varve_mem_row_compare(view->table, a->time, &x, b->time, &y);
    return order != 0 || !mixed ? order : (x.ordinal > y.ordinal) - (x.ordinal < y.ordinal);
}

static void insertion_sort(const struct varve_memtable_view *view, struct varve_late_row *rows,
                           uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const struct varve_late_row moved = rows[i];
        uint32_t k = i;
        for (; k > 0 && compare(view, &rows[k - 1], &moved) > 0; k--)
            rows[k] = rows[k - 1];
        rows[k] = moved;
    }
}

static void merge(const struct varve_memtable_view *view, const struct varve_late_row *in,
                  uint32_t middle, uint32_t n, struct varve_late_row *out)
{
    uint32_t i = 0;
    uint32_t j = middle;
    if (middle == n || compare(view, &in[middle - 1], &in[middle]) <= 0) {
        memcpy(out, in, n * sizeof *in);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (j == n || (i < middle && compare(view, &in[i], &in[j]) <= 0))
            out[k] = in[i++];
        else
            out[k] = in[j++];
    }
}

static void sort(struct varve_late_rows *late, const struct varve_memtable_view *view)
{
    struct varve_late_row *rows = late->rows;
    const uint32_t n = late->n;
    const uint32_t base = 16;
    uint32_t i = 1;

    while (i < n && compare(view, &rows[i - 1], &rows[i]) <= 0)
        i++;
    if (i >= n)
        return; /* the common case */
    struct varve_late_row *scratch = late->rows + late->capacity;
    for (i = 0; i < n; i += base)
        insertion_sort(view, rows + i, n - i < base ? n - i : base);
    for (uint64_t width = base; width < n; width *= 2) {
        for (uint64_t at = 0; at < n; at += 2 * width) {
            const uint64_t left = n - at;
            merge(view, rows + at, (uint32_t)(left < width ? left : width),
                  (uint32_t)(left < 2 * width ? left : 2 * width), scratch + at);
        }
        memcpy(rows, scratch, n * sizeof *rows);
    }
}

static varve_status collect_side(struct varve_late_rows *late,
                                 const struct varve_memtable_view *view,
                                 const struct varve_chunk *chunk, int64_t first, int64_t last,
                                 varve_error *err)
{
    const struct varve_memtable *table = view->table;
    const int64_t *times = varve_chunk_times(chunk);
    const uint32_t position = late->at;
    const uint32_t extra = atomic_load_explicit(&chunk->extra, memory_order_acquire);

    late->has_extra |= extra != 0;
    for (uint32_t i = varve_chunk_visible(table, chunk, view->ordinal); i-- > 0;) {
        if (times[i] < first || times[i] > last)
            continue;
        const varve_status rc = push(late, (struct varve_late_row){times[i], position, i}, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status collect_chain(struct varve_late_rows *late,
                                  const struct varve_memtable_view *view, uint32_t at,
                                  int64_t first, int64_t last, varve_error *err)
{
    const struct varve_memtable *table = view->table;
    while (at != 0) {
        const uint8_t *record = varve_slab_at(&table->slabs, at);
        const uint32_t link = varve_record_link(record);
        if (at < view->position) {
            const int64_t time = varve_record_time(table, record);
            if (time >= first && time <= last) {
                late->has_extra |= (record[4] & ~VARVE_RECORD_BODY) != 0;
                const varve_status rc = push(late, (struct varve_late_row){time, at, RECORD}, err);
                if (rc < 0)
                    return rc;
            }
        }
        at = link;
    }
    return VARVE_OK;
}

varve_status varve_late_rows_collect(struct varve_late_rows *late,
                                     const struct varve_memtable_view *view,
                                     const struct varve_mem_partition *partition, int64_t first,
                                     int64_t last, varve_error *err)
{
    const struct varve_memtable *table = view->table;
    varve_status rc = VARVE_OK;

    late->n = 0;
    late->has_extra = false;
    late->at = atomic_load_explicit(&partition->side, memory_order_acquire);
    while (late->at != 0 && rc == VARVE_OK) {
        const struct varve_chunk *chunk = varve_chunk_at(table, late->at);
        if (atomic_load_explicit(&chunk->first_time, memory_order_relaxed) <= last &&
            atomic_load_explicit(&chunk->last_time, memory_order_relaxed) >= first)
            rc = collect_side(late, view, chunk, first, last, err);
        late->at = chunk->prev;
    }
    if (rc == VARVE_OK)
        rc =
            collect_chain(late, view, atomic_load_explicit(&partition->chain, memory_order_acquire),
                          first, last, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0, j = late->n; i + 1 < j; i++) { /* newest first: turn round */
        const struct varve_late_row swap = late->rows[i];
        late->rows[i] = late->rows[--j];
        late->rows[j] = swap;
    }
    sort(late, view);
    return VARVE_OK;
}
