/*
 * read.c - READ 0: from a question to the sources that can answer it.
 *
 * A scan takes a view (or shares a snapshot's), opens a source for each memtable and each file of
 * the table whose time range meets the question's, and hands them to storage/scan. The cursor gives
 * the view back when it is closed.
 */
#include <string.h>

#include "storage/engine/file_table_int.h"
#include "storage/engine/view_int.h"
#include "storage/scan/scan.h"

/* What a cursor holds besides its sources. */
struct read_context {
    struct varve_view *view;
    struct varve_sst **files; /* references */
    uint32_t n_files;
    uint32_t capacity;
    struct varve_heap *heap;
};

static void context_release(void *ctx)
{
    struct read_context *context = ctx;

    if (context == NULL)
        return;
    for (uint32_t i = 0; i < context->n_files; i++)
        varve_sst_unref(context->files[i]);
    if (context->files != NULL)
        varve_free(context->heap, context->files, context->capacity * sizeof *context->files);
    varve_view_release(context->view);
    varve_free(context->heap, context, sizeof *context);
}

static void sources_close(struct varve_source **sources, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sources[i]->ops->close(sources[i]);
}

static bool entry_meets(const struct varve_file_entry *entry, int64_t first, int64_t last)
{
    return entry->properties.first_time <= last && entry->properties.last_time >= first;
}

/* Open the sources of the view's table that may hold rows in [first, last]. */
static varve_status sources_open(struct read_context *context,
                                 const struct varve_table_entry *entry,
                                 const struct varve_view_table *memtables, int64_t first,
                                 int64_t last, struct varve_scan_input *input, varve_error *err)
{
    varve_store *store = context->view->store;
    varve_status rc;

    for (uint32_t i = 0; memtables != NULL && i < memtables->n_memtables; i++) {
        if (varve_memtable_rows(memtables->memtables[i].table) == 0)
            continue;
        rc = varve_memtable_source_open(&memtables->memtables[i], &store->heap,
                                        &input->sources[input->n_sources], err);
        if (rc < 0)
            return rc;
        input->n_sources++;
    }
    for (uint64_t i = 0; entry != NULL && i < entry->n_files; i++) {
        if (!entry_meets(entry->files[i], first, last)) {
            input->files_pruned++;
            continue;
        }
        rc = varve_file_table_get(store, entry->files[i], &context->files[context->n_files], err);
        if (rc < 0)
            return rc;
        rc = varve_sst_source_open(context->files[context->n_files++], &store->heap,
                                   &input->sources[input->n_sources], err);
        if (rc < 0)
            return rc;
        input->n_sources++;
        input->files++;
    }
    return VARVE_OK;
}

static varve_status context_open(varve_store *store, const varve_table *table,
                                 const varve_scan *scan, struct read_context **ret_context,
                                 varve_error *err)
{
    struct read_context *context = varve_alloc_zero(&store->heap, 1, sizeof *context);
    varve_status rc = VARVE_OK;

    if (context == NULL)
        return varve_error_nomem(err, "a scan");
    context->heap = &store->heap;
    if (scan->snapshot != NULL)
        context->view = varve_view_ref(scan->snapshot->view);
    else
        rc = varve_view_take(store, table, &context->view, err);
    if (rc < 0) {
        context_release(context);
        return rc;
    }
    *ret_context = context;
    return VARVE_OK;
}

typedef varve_status (*cursor_open_fn)(struct varve_heap *heap,
                                       const struct varve_scan_input *input, const varve_scan *scan,
                                       varve_cursor **ret_cursor, varve_error *err);

static varve_status read_open(varve_store *store, const varve_table *table, const varve_scan *scan,
                              cursor_open_fn open, varve_cursor **ret_cursor, varve_error *err)
{
    struct read_context *context = NULL;
    struct varve_scan_input input = {.schema = table->schema, .release = context_release};
    int64_t first, last;

    varve_status rc = context_open(store, table, scan, &context, err);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    const uint32_t id = table->schema->table_id;
    const struct varve_table_entry *entry = varve_view_files_of(context->view, id);
    const struct varve_view_table *memtables = varve_view_table_of(context->view, id);
    const uint32_t n_files = entry != NULL ? (uint32_t)entry->n_files : 0;
    const uint32_t n_max = n_files + (memtables != NULL ? memtables->n_memtables : 0);

    input.ctx = context;
    input.floor = entry != NULL ? entry->retention_floor : INT64_MIN;
    input.now_s = (uint32_t)(context->view->now_us / 1000000);
    varve_scan_time_range(scan, input.floor, &first, &last);
    context->capacity = n_files;
    if (n_max > 0)
        input.sources = varve_alloc_zero(&store->heap, n_max, sizeof(struct varve_source *));
    if (n_files > 0)
        context->files = varve_alloc_zero(&store->heap, n_files, sizeof *context->files);
    if ((n_max > 0 && input.sources == NULL) || (n_files > 0 && context->files == NULL))
        rc = varve_error_nomem(err, "a scan's sources");
    else
        rc = sources_open(context, entry, memtables, first, last, &input, err);
    if (rc == VARVE_OK)
        rc = open(&store->heap, &input, scan, ret_cursor, err);
    if (rc < 0) {
        sources_close(input.sources, input.n_sources);
        context_release(context);
    }
    if (input.sources != NULL)
        varve_free(&store->heap, input.sources, n_max * sizeof(struct varve_source *));
    return varve_heap_explain(&store->heap, rc, err);
}

static varve_status read_check(varve_store *store, const varve_table *table, const varve_scan *scan,
                               bool aggregate, varve_cursor **ret_cursor, varve_error *err)
{
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (table == NULL || table->store != store || ret_cursor == NULL || scan == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a scan needs a table of this store, a question and a place for "
                               "the cursor");
    if (scan->snapshot != NULL && scan->snapshot->view->store != store)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "the snapshot belongs to another store");
    return varve_scan_check(table->schema, scan, aggregate, err);
}

varve_status varve_scan_open(varve_store *store, const varve_table *table, const varve_scan *scan,
                             varve_cursor **ret_cursor, varve_error *err)
{
    const varve_status rc = read_check(store, table, scan, false, ret_cursor, err);
    return rc < 0 ? rc : read_open(store, table, scan, varve_scan_cursor, ret_cursor, err);
}

varve_status varve_aggregate_open(varve_store *store, const varve_table *table,
                                  const varve_scan *scan, varve_cursor **ret_cursor,
                                  varve_error *err)
{
    const varve_status rc = read_check(store, table, scan, true, ret_cursor, err);
    return rc < 0 ? rc : read_open(store, table, scan, varve_aggregate_cursor, ret_cursor, err);
}

varve_status varve_partitions_open(varve_store *store, const varve_table *table,
                                   const varve_scan *scan, varve_cursor **ret_cursor,
                                   varve_error *err)
{
    const varve_status rc = read_check(store, table, scan, false, ret_cursor, err);

    if (rc < 0)
        return rc;
    varve_scan whole = *scan; /* no file is left out for its times: partitions are counted whole */
    whole.flags &= ~(uint32_t)(VARVE_SCAN_FROM | VARVE_SCAN_TO);
    return read_open(store, table, &whole, varve_partitions_cursor, ret_cursor, err);
}
