/*
 * duplicate_key.c - whether an 'error' table has a key already: memtables by hash, files through
 * time range, filter and directory; a row later than its partition's last needs no look.
 */
#include <string.h>

#include "storage/engine/file_table_int.h"
#include "storage/engine/judge_int.h"
#include "storage/engine/view_int.h"

struct key_search {
    varve_store *store;
    const struct varve_section *section;
    struct varve_cells *cells;       /* of a loaded piece */
    struct varve_column_set columns; /* clustering columns */
};

/* Whether the piece's rows hold the key of row `row`. */
static varve_status piece_has(struct key_search *search, struct varve_source *source,
                              uint32_t stream, const struct varve_piece *piece, uint32_t row,
                              bool *ret_found, varve_error *err)
{
    const int64_t time = search->section->rows->time[row];
    struct varve_rows rows = {.schema = search->section->schema, .columns = search->cells};

    if (piece->first_time > time || piece->last_time < time)
        return VARVE_OK;
    const varve_status rc =
        source->ops->load(source, stream, 0, piece->rows, &search->columns, false, &rows, err);
    if (rc < 0)
        return rc;
    uint32_t low = 0, high = rows.n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (rows.time[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rows.n && rows.time[low] == time && !*ret_found; low++)
        *ret_found = varve_rows_compare(&rows, low, search->section->rows, row) == 0;
    return VARVE_OK;
}

static varve_status source_has(struct key_search *search, struct varve_source *source, uint32_t row,
                               bool *ret_found, varve_error *err)
{
    const uint32_t key = search->section->part != NULL ? search->section->part[row] : 0;
    const int64_t time = search->section->rows->time[row];
    struct varve_partition partition;
    uint32_t streams = 0;

    varve_status rc = source->ops->find(source, search->section->keys[key], &partition, err);
    if (rc != VARVE_OK || partition.last_time < time || partition.first_time > time)
        return rc == VARVE_END ? VARVE_OK : rc;
    rc = source->ops->open(source, &partition, time, time, false, &streams, err);
    for (uint32_t s = 0; rc == VARVE_OK && s < streams; s++) {
        struct varve_piece piece;
        while (!*ret_found && (rc = source->ops->piece(source, s, &piece, err)) == VARVE_OK) {
            rc = piece_has(search, source, s, &piece, row, ret_found, err);
            if (rc < 0)
                return rc;
        }
        if (rc == VARVE_END)
            rc = VARVE_OK;
    }
    return rc;
}

static varve_status exists(varve_error *err, uint32_t row)
{
    varve_error_set(err, VARVE_EEXISTS, NULL, VARVE_NO_OFFSET,
                    "a row of the batch has a key that is in the table already");
    if (err != NULL)
        err->row = row;
    return VARVE_EEXISTS;
}

static varve_status check_file(struct key_search *search, const struct varve_file_entry *entry,
                               varve_error *err)
{
    struct varve_sst *sst = NULL;
    struct varve_source *source = NULL;
    const struct varve_rows *rows = search->section->rows;
    varve_status rc = varve_file_table_get(search->store, entry, &sst, err);

    if (rc == VARVE_OK)
        rc = varve_sst_source_open(sst, &search->store->heap, &source, err);
    for (uint32_t row = 0; rc == VARVE_OK && row < rows->n; row++) {
        bool found = false;
        if (rows->time[row] < entry->properties.first_time ||
            rows->time[row] > entry->properties.last_time)
            continue;
        rc = source_has(search, source, row, &found, err);
        if (rc == VARVE_OK && found)
            rc = exists(err, row);
    }
    if (source != NULL)
        source->ops->close(source);
    varve_sst_unref(sst);
    return rc;
}

static varve_status check_memtables(const struct varve_view_table *memtables,
                                    const struct varve_section *section, varve_error *err)
{
    for (uint32_t i = 0; memtables != NULL && i < memtables->n_memtables; i++)
        for (uint32_t row = 0; row < section->rows->n; row++)
            if (varve_memtable_has_key(memtables->memtables[i].table, section, row))
                return exists(err, row);
    return VARVE_OK;
}

static bool meets(const struct varve_file_entry *entry, int64_t first, int64_t last)
{
    return entry->properties.first_time <= last && entry->properties.last_time >= first;
}

varve_status varve_section_check_new(varve_store *store, const struct varve_section *section,
                                     varve_error *err)
{
    struct varve_table *table = varve_store_table_by_id(store, section->table_id);
    struct key_search search = {.store = store, .section = section};
    struct varve_view *view = NULL;
    int64_t first = INT64_MAX, last = INT64_MIN;

    if (table == NULL || table->dropping || table->schema != section->schema)
        return VARVE_OK; /* refused for that reason when its memory is set aside */
    for (uint32_t row = 0; row < section->rows->n; row++) {
        first = section->rows->time[row] < first ? section->rows->time[row] : first;
        last = section->rows->time[row] > last ? section->rows->time[row] : last;
    }
    varve_bitmap_set_range(search.columns.bits, section->schema->time_column + 1,
                           section->schema->n_clustering);
    search.cells = varve_alloc_zero(&store->heap, section->schema->n_columns, sizeof *search.cells);
    if (search.cells == NULL)
        return varve_error_nomem(err, "a look-up of keys");
    varve_status rc = varve_view_take(store, table, &view, err);
    const struct varve_table_entry *entry =
        rc < 0 ? NULL : varve_version_table(view->version, section->table_id);
    if (rc == VARVE_OK)
        rc = check_memtables(varve_view_table_of(view, section->table_id), section, err);
    for (uint64_t i = 0; rc == VARVE_OK && entry != NULL && i < entry->n_files; i++)
        if (meets(entry->files[i], first, last))
            rc = check_file(&search, entry->files[i], err);
    varve_view_release(view);
    varve_free(&store->heap, search.cells, section->schema->n_columns * sizeof *search.cells);
    return rc;
}
