/*
 * view.c - READ 0: a fixed state of the store: a version, the memtables clipped at the last
 * published commit, a read time.
 *
 * Threads. Making and releasing a view takes the view lock for a moment; using one takes none.
 */
#include <string.h>

#include "storage/engine/view_int.h"

static void view_table_free(struct varve_view *view, struct varve_view_table *table)
{
    for (uint32_t i = 0; i < table->n_memtables; i++)
        varve_memtable_unref(table->memtables[i].table);
    if (table->memtables != NULL)
        varve_free(&view->store->heap, table->memtables,
                   table->n_memtables * sizeof *table->memtables);
}

static varve_status view_table_fill(struct varve_view *view, struct varve_view_table *ret,
                                    const struct varve_table *table, varve_error *err)
{
    uint32_t n = 0;

    *ret =
        (struct varve_view_table){.table_id = table->schema->table_id, .dropped = table->dropped};
    if (ret->dropped)
        return VARVE_OK;
    for (const struct varve_generation *g = table->oldest; g != NULL; g = g->next)
        n++;
    if (n == 0)
        return VARVE_OK;
    ret->memtables = varve_alloc_zero(&view->store->heap, n, sizeof *ret->memtables);
    if (ret->memtables == NULL)
        return varve_error_nomem(err, "a view");
    ret->n_memtables = n;
    n = 0;
    for (const struct varve_generation *g = table->oldest; g != NULL; g = g->next) {
        ret->memtables[n] = varve_memtable_view_of(g->memtable);
        ret->memtables[n].table = varve_memtable_ref(g->memtable);
        n++;
    }
    return VARVE_OK;
}

static void view_free(struct varve_view *view)
{
    for (uint32_t i = 0; i < view->n_tables; i++)
        view_table_free(view, &view->tables[i]);
    if (view->tables != NULL)
        varve_free(&view->store->heap, view->tables, view->n_tables * sizeof *view->tables);
    varve_version_unref(view->version);
    varve_free(&view->store->heap, view, sizeof *view);
}

static varve_status view_fill_locked(varve_store *store, struct varve_view *view,
                                     const struct varve_table *only, varve_error *err)
    VARVE_REQUIRES(&store->view_lock)
{
    const uint32_t n = only != NULL ? 1 : (uint32_t)store->n_tables;
    varve_status rc = VARVE_OK;

    view->version = varve_version_ref(store->version);
    view->commit_lsn = store->commit_lsn;
    view->now_us = varve_store_safe_now_locked(store);
    if (n == 0)
        return VARVE_OK;
    view->tables = varve_alloc_zero(&store->heap, n, sizeof *view->tables);
    if (view->tables == NULL)
        return varve_error_nomem(err, "a view");
    view->n_tables = n;
    for (uint32_t i = 0; i < n && rc == VARVE_OK; i++)
        rc = view_table_fill(view, &view->tables[i], only != NULL ? only : store->tables[i], err);
    return rc;
}

varve_status varve_view_take(varve_store *store, const struct varve_table *only,
                             struct varve_view **ret_view, varve_error *err)
{
    struct varve_view *view = varve_alloc_zero(&store->heap, 1, sizeof *view);
    if (view == NULL)
        return varve_error_nomem(err, "a view");
    view->store = store;
    atomic_init(&view->refs, 1);

    varve_mutex_lock(&store->view_lock);
    const varve_status rc = view_fill_locked(store, view, only, err);
    if (rc == VARVE_OK) {
        view->next = store->views;
        if (store->views != NULL)
            store->views->prev = view;
        store->views = view;
        store->n_views++;
    }
    varve_mutex_unlock(&store->view_lock);
    if (rc < 0) {
        view_free(view);
        return rc;
    }
    *ret_view = view;
    return VARVE_OK;
}

struct varve_view *varve_view_ref(struct varve_view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void varve_view_release(struct varve_view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return;
    varve_store *store = view->store;

    varve_mutex_lock(&store->view_lock);
    if (view->prev != NULL)
        view->prev->next = view->next;
    else
        store->views = view->next;
    if (view->next != NULL)
        view->next->prev = view->prev;
    assert(store->n_views > 0);
    store->n_views--;
    varve_mutex_unlock(&store->view_lock);
    view_free(view);
}

const struct varve_view_table *varve_view_table_of(const struct varve_view *view, uint32_t table_id)
{
    for (uint32_t i = 0; i < view->n_tables; i++)
        if (view->tables[i].table_id == table_id)
            return &view->tables[i];
    return NULL;
}

const struct varve_table_entry *varve_view_files_of(const struct varve_view *view,
                                                    uint32_t table_id)
{
    const struct varve_view_table *table = varve_view_table_of(view, table_id);

    return table == NULL || table->dropped ? NULL : varve_version_table(view->version, table_id);
}

uint64_t varve_views_oldest_version(varve_store *store)
{
    varve_mutex_lock(&store->view_lock);
    uint64_t oldest = store->version->number;
    for (const struct varve_view *view = store->views; view != NULL; view = view->next)
        if (view->version->number < oldest)
            oldest = view->version->number;
    varve_mutex_unlock(&store->view_lock);
    return oldest;
}

/* ------------------------------------------------------------------------------- Snapshots */

varve_status varve_snapshot_take(varve_store *store, varve_snapshot **ret_snapshot,
                                 varve_error *err)
{
    struct varve_view *view = NULL;
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (ret_snapshot == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "no place for the snapshot given");
    rc = varve_view_take(store, NULL, &view, err);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    varve_snapshot *snapshot = varve_alloc(&store->heap, sizeof *snapshot);
    if (snapshot == NULL) {
        varve_view_release(view);
        return varve_heap_explain(&store->heap, varve_error_nomem(err, "a snapshot"), err);
    }
    snapshot->view = view;
    *ret_snapshot = snapshot;
    return VARVE_OK;
}

void varve_snapshot_release(varve_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    varve_store *store = snapshot->view->store;
    varve_view_release(snapshot->view);
    varve_free(&store->heap, snapshot, sizeof *snapshot);
}
