/*
 * batch_settle.c - the order inside one batch: what becomes of rows whose key comes twice.
 *
 * Most batches have no such rows and bring each partition's in ascending order, which one pass
 * over the times shows. Else a hash table over (partition, time, clustering columns) finds them in
 * linear time, and only then are the rows copied, without those that went into another.
 */
#include "storage/batch/batch_int.h"

#include <assert.h>

#define NO_ROW UINT32_MAX

static uint32_t part_of(const struct varve_batch_section *section, uint32_t row)
{
    return section->keys.n > 1 ? section->part[row] : 0;
}

/* Rows with explicit write times are left to Cassandra's rule. */
static bool is_settled_here(const struct varve_batch_section *section, uint32_t row)
{
    return varve_rows_wt(&section->rows.rows, row) == VARVE_WT_COMMIT;
}

/* ------------------------------------------------------------------------------ The cheap check */

static bool one_partition_ascends(const struct varve_rows *rows)
{
    const struct varve_schema *schema = rows->schema;
    bool strict = true;
    for (uint32_t i = 1; i < rows->n; i++)
        strict &= rows->time[i - 1] < rows->time[i];
    if (strict || schema->n_clustering == 0)
        return strict;
    for (uint32_t i = 1; i < rows->n; i++) {
        if (varve_rows_compare(rows, i - 1, rows, i) >= 0)
            return false;
    }
    return true;
}

/* *ret_ascends: whether every partition's rows strictly ascend in order of arrival. */
static varve_status check_ascends(struct varve_heap *heap,
                                  const struct varve_batch_section *section, bool *ret_ascends,
                                  varve_error *err)
{
    const struct varve_rows *rows = &section->rows.rows;
    const uint32_t k = section->keys.n;
    if (k <= 1) {
        *ret_ascends = one_partition_ascends(rows);
        return VARVE_OK;
    }
    uint32_t *last = varve_alloc(heap, k * sizeof *last);
    if (last == NULL)
        return varve_error_nomem(err, "sealing a batch");
    for (uint32_t i = 0; i < k; i++)
        last[i] = NO_ROW;
    bool ascends = true;
    for (uint32_t i = 0; ascends && i < rows->n; i++) {
        const uint32_t p = section->part[i];
        if (last[p] != NO_ROW)
            ascends = varve_rows_compare(rows, last[p], rows, i) < 0;
        last[p] = i;
    }
    varve_free(heap, last, k * sizeof *last);
    *ret_ascends = ascends;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------- Finding repeats */

/* Rows with one key, linked in order of arrival. */
struct repeats {
    struct varve_heap *heap;
    uint32_t *slots;   /* the last row of a key + 1; 0: empty */
    uint32_t *next;    /* of each row the next one with its key, or NO_ROW */
    uint64_t *follows; /* a bit for each row that is not its key's first */
    size_t n_slots;
    uint32_t n;
    uint32_t n_follows;
};

static void repeats_free(struct repeats *r)
{
    varve_free(r->heap, r->slots, r->n_slots * sizeof *r->slots);
    varve_free(r->heap, r->next, r->n * sizeof *r->next);
    varve_free(r->heap, r->follows, VARVE_BITMAP_WORDS(r->n) * sizeof *r->follows);
}

static varve_status repeats_init(struct repeats *r, struct varve_heap *heap, uint32_t n,
                                 varve_error *err)
{
    *r = (struct repeats){.heap = heap, .n = n, .n_slots = 16};
    while (r->n_slots < 2 * (size_t)n)
        r->n_slots *= 2;
    r->slots = varve_alloc_zero(heap, r->n_slots, sizeof *r->slots);
    r->next = varve_alloc(heap, n * sizeof *r->next);
    r->follows = varve_alloc_zero(heap, VARVE_BITMAP_WORDS(n), sizeof *r->follows);
    if (r->slots != NULL && r->next != NULL && r->follows != NULL)
        return VARVE_OK;
    repeats_free(r);
    return varve_error_nomem(err, "sealing a batch");
}

/* Key cells are canonical, so equal keys have equal bytes. */
static uint64_t row_hash(const struct varve_batch_section *section, uint32_t row)
{
    const struct varve_schema *schema = section->schema;
    const struct varve_rows *rows = &section->rows.rows;
    uint64_t hash = varve_mix64((uint64_t)rows->time[row] ^ varve_mix64(part_of(section, row)));

    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        const size_t width = varve_phys_width(schema->phys[c]);
        if (schema->phys[c] == VARVE_PHYS_BYTES) {
            const uint32_t at = cells->offsets[row];
            hash = varve_hash64((const uint8_t *)cells->values + at, cells->offsets[row + 1] - at,
                                hash);
        } else {
            hash = varve_hash64((const uint8_t *)cells->values + row * width, width, hash);
        }
    }
    return hash;
}

static void find_repeats(const struct varve_batch_section *section, struct repeats *r)
{
    const struct varve_rows *rows = &section->rows.rows;
    const size_t mask = r->n_slots - 1;

    for (uint32_t i = 0; i < r->n; i++) {
        r->next[i] = NO_ROW;
        if (!is_settled_here(section, i))
            continue;
        size_t at = row_hash(section, i) & mask;
        for (; r->slots[at] != 0; at = (at + 1) & mask) {
            const uint32_t last = r->slots[at] - 1;
            if (part_of(section, last) != part_of(section, i) ||
                varve_rows_compare(rows, last, rows, i) != 0)
                continue;
            r->next[last] = i;
            varve_bit_set(r->follows, i);
            r->n_follows++;
            break;
        }
        r->slots[at] = i + 1;
    }
}

/* ------------------------------------------------------------------------------------- Rewriting */

/* Append the first row of a key and, in an 'upsert' table, lay the later ones over it. */
static varve_status append_folded(struct varve_rows_builder *out, const struct varve_rows *rows,
                                  const struct repeats *r, uint32_t row, varve_error *err)
{
    varve_status rc = varve_rows_append(out, rows, row, 1, err);
    if (rows->schema->duplicates != VARVE_DUPLICATES_UPSERT)
        return rc; /* 'first': later ones are dropped */
    for (uint32_t i = r->next[row]; rc == VARVE_OK && i != NO_ROW; i = r->next[i])
        rc = varve_rows_overlay_last(out, rows, i, err);
    return rc;
}

static varve_status rewrite(struct varve_batch_section *section, const struct repeats *r,
                            struct varve_rows_builder *out, varve_error *err)
{
    const struct varve_rows *rows = &section->rows.rows;
    varve_status rc = varve_rows_builder_reserve(out, rows->n - r->n_follows, 0, err);

    for (uint32_t i = 0; rc == VARVE_OK && i < rows->n;) {
        uint32_t end = i;
        while (end < rows->n && !varve_bit_get(r->follows, end) && r->next[end] == NO_ROW)
            end++;
        if (end > i)
            rc = varve_rows_append(out, rows, i, end - i, err);
        else if (!varve_bit_get(r->follows, i))
            rc = append_folded(out, rows, r, i, err);
        i = end > i ? end : i + 1;
    }
    return rc;
}

static varve_status fold(struct varve_heap *heap, struct varve_batch_section *section,
                         const struct repeats *r, varve_error *err)
{
    struct varve_rows_builder out;
    varve_status rc = varve_rows_builder_init(&out, heap, section->schema, NULL, err);
    if (rc < 0)
        return rc;
    rc = rewrite(section, r, &out, err);
    if (rc < 0) {
        varve_rows_builder_free(&out);
        return rc;
    }
    const struct varve_rows *rows = &section->rows.rows;
    section->raw_folded +=
        varve_rows_raw_bytes(rows, 0, rows->n) - varve_rows_raw_bytes(&out.rows, 0, out.rows.n);
    uint32_t n = 0;
    for (uint32_t i = 0; i < rows->n; i++) {
        if (!varve_bit_get(r->follows, i))
            section->part[n++] = section->part[i];
        else
            section->raw_folded += section->keys.spans[section->part[i]].size - 1;
    }
    assert(n == out.rows.n);
    varve_rows_builder_free(&section->rows);
    section->rows = out;
    return VARVE_OK;
}

static varve_status refuse(const struct varve_batch_section *section, const struct repeats *r,
                           varve_error *err)
{
    const size_t row = varve_bitmap_next(r->follows, 0, r->n);
    varve_error_set(err, VARVE_EEXISTS, NULL, VARVE_NO_OFFSET,
                    "table %.64s refuses duplicates: the batch has a key twice",
                    section->schema->name);
    if (err != NULL)
        err->row = varve_batch_section_row(section, (uint32_t)row);
    return VARVE_EEXISTS;
}

varve_status varve_batch_section_settle(varve_batch *batch, struct varve_batch_section *section,
                                        varve_error *err)
{
    const struct varve_rows *rows = &section->rows.rows;
    struct repeats r;
    bool ascends = false;

    if (section->schema->duplicates == VARVE_DUPLICATES_KEEP || rows->n < 2 ||
        (rows->wt == NULL && rows->wt_uniform != VARVE_WT_COMMIT))
        return VARVE_OK;
    varve_status rc = check_ascends(batch->heap, section, &ascends, err);
    if (rc < 0 || ascends)
        return rc;
    rc = repeats_init(&r, batch->heap, rows->n, err);
    if (rc < 0)
        return rc;
    find_repeats(section, &r);
    if (r.n_follows > 0)
        rc = section->schema->duplicates == VARVE_DUPLICATES_ERROR
                 ? refuse(section, &r, err)
                 : fold(batch->heap, section, &r, err);
    repeats_free(&r);
    return rc;
}
