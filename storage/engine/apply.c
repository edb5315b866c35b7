/*
 * apply.c - WRITE 3: records become readable, strictly in log order, after their policy is met.
 *
 * DATA goes to the memtables that were chosen, and had memory set aside, when it was judged. A new or
 * dropped table becomes part of the manifest here, before anything later is applied: so the replay
 * LSN never passes the record of a table that the manifest does not know.
 *
 * All functions require the log token.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"

static void apply_data(varve_store *store, struct varve_pending *pending)
{
    const struct varve_origin origin = varve_batch_origin(pending->batch);
    struct varve_apply apply = {.lsn = pending->record.lsn,
                                .lsn_end = pending->lsn_end,
                                .hlc = pending->record.hlc,
                                .writer = pending->record.writer,
                                .floor = INT64_MIN};
    uint64_t rows = 0, dropped = 0;

    for (uint32_t i = 0; i < pending->n_targets; i++) {
        const struct varve_section section = varve_batch_section(pending->batch, i);
        dropped += varve_memtable_apply(pending->targets[i]->memtable, &section, &apply);
        rows += section.rows->n;
        varve_generation_touch(store, pending->targets[i]);
        varve_generation_leave(store, pending->targets[i]);
    }
    if (pending->targets != pending->inline_targets)
        varve_free(&store->heap, pending->targets, pending->n_targets * sizeof *pending->targets);
    pending->targets = NULL;
    if (origin.id != 0)
        varve_origins_put(&store->origins, &origin);
    varve_mutex_lock(&store->queue_lock);
    store->stats.batches++;
    store->stats.rows_written += rows;
    store->stats.rows_dropped += dropped;
    store->stats.bytes_given += varve_batch_raw_bytes(pending->batch);
    varve_mutex_unlock(&store->queue_lock);
}

static void apply_schema(varve_store *store, struct varve_pending *pending)
{
    const struct varve_schema *schema = pending->schema;
    struct varve_edit edit = {.put_schemas = &schema,
                              .n_put_schemas = 1,
                              .set_flags = VARVE_EDIT_NEXT_TABLE,
                              .next_table_id = schema->table_id + 1};
    varve_error detail = {0};

    if (varve_store_edit(store, &edit, &detail) < 0) {
        varve_store_fail(store,
                         &detail); /* logged but not in the manifest: replay will see to it */
        pending->error = detail;
        varve_table_discard(pending->table);
        return;
    }
    varve_table_link(pending->table);
}

/* The files of a table that leave the store with it. */
static void retire_files(varve_store *store, const struct varve_table_entry *entry,
                         uint64_t version)
{
    if (entry == NULL || !varve_obsolete_reserve(store, entry->n_files))
        return; /* no memory: the next open collects them */
    for (uint64_t i = 0; i < entry->n_files; i++)
        varve_obsolete_add(store,
                           &(struct varve_obsolete){.id = entry->files[i]->id,
                                                    .version = version,
                                                    .bytes = entry->files[i]->properties.file_size,
                                                    .kind = VARVE_FILE_SST});
}

static void apply_drop(varve_store *store, struct varve_pending *pending)
{
    struct varve_table *table = pending->table;
    const uint32_t id = table->schema->table_id;
    struct varve_edit edit = {.drop_tables = &id, .n_drop_tables = 1};
    varve_error detail = {0};

    varve_mutex_lock(&store->manifest_lock); /* a flush may add files until then */
    struct varve_version *before = varve_version_ref(store->version);
    const varve_status rc = varve_store_edit_locked(store, &edit, NULL, &detail);
    const uint64_t number = store->version->number;
    varve_mutex_unlock(&store->manifest_lock);
    if (rc < 0) {
        varve_store_fail(store, &detail);
        pending->error = detail;
    } else {
        varve_mutex_lock(&store->view_lock);
        table->dropped = true;
        varve_mutex_unlock(&store->view_lock);
        varve_generation_stop(store, table);
        retire_files(store, varve_version_table(before, id), number);
    }
    varve_version_unref(before);
}

void varve_apply(varve_store *store, struct varve_pending *pending)
{
    if (pending->repeated) {
        varve_mutex_lock(&store->queue_lock);
        store->stats.batches_repeated += varve_batch_rows(pending->batch) > 0;
        varve_mutex_unlock(&store->queue_lock);
    } else if (pending->type == VARVE_WAL_DATA) {
        apply_data(store, pending);
    } else if (pending->type == VARVE_WAL_SCHEMA) {
        apply_schema(store, pending);
    } else {
        apply_drop(store, pending);
    }
    store->applied.lsn = pending->lsn_end;
    store->applied.index = pending->record.index;
    store->applied.term = pending->record.term;
    store->applied.chain = pending->record.chain;
    store->applied.hlc = pending->record.hlc;
}

void varve_apply_publish(varve_store *store, uint64_t lsn_end)
{
    varve_mutex_lock(&store->view_lock);
    varve_generations_publish_locked(store);
    store->commit_lsn = lsn_end;
    varve_mutex_unlock(&store->view_lock);
    varve_generations_settle(store);
}
