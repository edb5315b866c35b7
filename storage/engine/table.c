/*
 * table.c - the tables of an open store and their memtables' generations.
 *
 * A table's handle lives until the store is closed, also after a drop: then it only says so.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/pressure_int.h"

struct varve_generation *varve_generation_new(struct varve_table *table, varve_error *err)
{
    struct varve_heap *heap = &table->store->heap;
    struct varve_generation *generation = varve_alloc_zero(heap, 1, sizeof *generation);

    if (generation == NULL) {
        (void)varve_error_nomem(err, "a memtable");
        return NULL;
    }
    generation->table = table;
    generation->number = table->store->next_generation++;
    generation->start.lsn = UINT64_MAX;
    if (varve_memtable_create(heap, table->schema, &generation->memtable, err) < 0) {
        varve_free(heap, generation, sizeof *generation);
        return NULL;
    }
    return generation;
}

void varve_generation_free(struct varve_generation *generation)
{
    if (generation == NULL)
        return;
    struct varve_heap *heap = &generation->table->store->heap;
    varve_memtable_unref(generation->memtable);
    varve_log_point_free(heap, &generation->start);
    varve_free(heap, generation, sizeof *generation);
}

static void table_free(struct varve_table *table)
{
    struct varve_heap *heap = &table->store->heap;

    while (table->oldest != NULL) {
        struct varve_generation *next = table->oldest->next;
        varve_generation_free(table->oldest);
        table->oldest = next;
    }
    varve_schema_unref(table->schema);
    varve_free(heap, table, sizeof *table);
}

void varve_store_tables_free(varve_store *store)
{
    for (size_t i = 0; i < store->n_tables; i++)
        table_free(store->tables[i]);
    if (store->tables != NULL)
        varve_free(&store->heap, store->tables, store->tables_capacity * sizeof *store->tables);
    if (store->by_id != NULL)
        varve_free(&store->heap, store->by_id, store->by_id_capacity * sizeof *store->by_id);
    store->tables = store->by_id = NULL;
    store->n_tables = store->tables_capacity = store->by_id_capacity = 0;
}

varve_status varve_table_new(varve_store *store, const struct varve_schema *schema,
                             struct varve_table **ret_table, varve_error *err)
{
    struct varve_table *table = varve_alloc_zero(&store->heap, 1, sizeof *table);

    if (table == NULL)
        return varve_error_nomem(err, "a table");
    table->store = store;
    table->schema = varve_schema_ref(schema);
    table->active = table->oldest = varve_generation_new(table, err);
    if (table->active == NULL) {
        table_free(table);
        return VARVE_ENOMEM;
    }
    varve_mutex_lock(&store->view_lock);
    const bool room = varve_vec_grow(&store->heap, (void **)&store->tables, sizeof *store->tables,
                                     store->n_tables + 1, &store->tables_capacity) &&
                      varve_vec_grow(&store->heap, (void **)&store->by_id, sizeof *store->by_id,
                                     store->n_tables + 1, &store->by_id_capacity);
    varve_mutex_unlock(&store->view_lock);
    if (!room) {
        table_free(table);
        return varve_error_nomem(err, "the list of tables");
    }
    *ret_table = table;
    return VARVE_OK;
}

/* The first table whose name is not below `name`, case aside. */
static size_t name_position_locked(const varve_store *store, const char *name)
    VARVE_REQUIRES(&store->view_lock)
{
    size_t low = 0, high = store->n_tables;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (varve_name_compare(store->tables[middle]->schema->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t id_position_locked(const varve_store *store, uint32_t table_id)
    VARVE_REQUIRES(&store->view_lock)
{
    size_t low = 0, high = store->n_tables;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (store->by_id[middle]->schema->table_id < table_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void varve_table_link(struct varve_table *table)
{
    varve_store *store = table->store;

    varve_mutex_lock(&store->view_lock);
    assert(store->n_tables < store->tables_capacity && store->n_tables < store->by_id_capacity);
    size_t i = name_position_locked(store, table->schema->name);
    memmove(&store->tables[i + 1], &store->tables[i], (store->n_tables - i) * sizeof table);
    store->tables[i] = table;
    i = id_position_locked(store, table->schema->table_id);
    memmove(&store->by_id[i + 1], &store->by_id[i], (store->n_tables - i) * sizeof table);
    store->by_id[i] = table;
    store->n_tables++;
    varve_mutex_unlock(&store->view_lock);
}

void varve_table_discard(struct varve_table *table)
{
    if (table != NULL)
        table_free(table);
}

struct varve_table *varve_store_table_by_id(varve_store *store, uint32_t table_id)
{
    struct varve_table *found = NULL;

    varve_mutex_lock(&store->view_lock);
    const size_t i = id_position_locked(store, table_id);
    if (i < store->n_tables && store->by_id[i]->schema->table_id == table_id)
        found = store->by_id[i];
    varve_mutex_unlock(&store->view_lock);
    return found;
}

struct varve_table *varve_store_table_by_name(varve_store *store, const char *name)
{
    struct varve_table *found = NULL;

    varve_mutex_lock(&store->view_lock);
    for (size_t i = name_position_locked(store, name);
         i < store->n_tables && varve_name_compare(store->tables[i]->schema->name, name) == 0; i++)
        if (!store->tables[i]->dropped) { /* dropped ones of that name may stand beside it */
            found = store->tables[i];
            break;
        }
    varve_mutex_unlock(&store->view_lock);
    return found;
}

varve_status varve_table_open(varve_store *store, const char *name, varve_table **ret_table,
                              varve_error *err)
{
    const varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (name == NULL || ret_table == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "no table name given");
    struct varve_table *table = varve_store_table_by_name(store, name);
    if (table == NULL)
        return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                               "there is no table '%s' in this store", name);
    *ret_table = table;
    return VARVE_OK;
}

varve_table *varve_table_at(varve_store *store, uint32_t position)
{
    struct varve_table *found = NULL;

    if (varve_store_enter(store, NULL) < 0)
        return NULL;
    varve_mutex_lock(&store->view_lock);
    for (size_t i = 0; i < store->n_tables && found == NULL; i++)
        if (!store->tables[i]->dropped && position-- == 0)
            found = store->tables[i];
    varve_mutex_unlock(&store->view_lock);
    return found;
}

const varve_schema *varve_table_schema(const varve_table *table)
{
    return table == NULL ? NULL : table->schema;
}

/* -------------------------------------------------------------------------- Creating, dropping */

static varve_status ddl_check(varve_store *store, const char *text, varve_error *err)
{
    const varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (text == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "no text given");
    if (store->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the store is open read-only");
    return varve_store_failure(store, err);
}

static varve_status ddl_run(varve_store *store, struct varve_pending *pending, varve_error *err)
{
    pending->policy = VARVE_POLICY_DURABLE_GROUP;
    varve_buffer_init(&pending->payload, &store->heap);
    struct varve_patience patience = varve_pressure_begin(store);
    varve_status rc = VARVE_OK;
    bool waits = true;
    for (bool again = true; again;) {
        pending->error = (varve_error){.status = VARVE_OK, .row = UINT64_MAX};
        rc = varve_pending_run(store, pending);
        again = waits && rc == VARVE_ENOSPC;
        if (again) /* without relief it is the last attempt */
            waits = varve_pressure_make_room(store, &patience);
    }
    if (rc < 0)
        rc = varve_error_copy(err, &pending->error, rc);
    varve_buffer_free(&pending->payload);
    varve_schema_unref(pending->schema);
    return rc;
}

varve_status varve_table_create(varve_store *store, const char *text, varve_error *err)
{
    struct varve_pending pending = {.type = VARVE_WAL_SCHEMA};
    varve_status rc = ddl_check(store, text, err);

    if (rc < 0)
        return rc;
    rc = varve_schema_from_text(&store->heap, text, &pending.schema, err);
    return rc < 0 ? varve_heap_explain(&store->heap, rc, err) : ddl_run(store, &pending, err);
}

varve_status varve_table_drop(varve_store *store, const char *name, varve_error *err)
{
    struct varve_pending pending = {.type = VARVE_WAL_TABLE_DROP};
    varve_status rc = ddl_check(store, name, err);

    if (rc < 0)
        return rc;
    rc = varve_table_open(store, name, &pending.table, err);
    return rc < 0 ? rc : ddl_run(store, &pending, err);
}
