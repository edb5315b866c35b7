/*
 * apply.c - WRITE 3: records become readable, strictly in log order, after their policy is met.
 *
 * DATA goes to the memtables that were chosen, and had memory set aside, when it was judged. A new or
 * dropped table becomes part of the manifest here, before anything later is applied, or is owed to it
 * (edit.c): so the replay LSN never passes the record of a table that the manifest does not know.
 *
 * All functions require the log token.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"

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
    varve_mutex_lock(&store->queue_lock);
    if (origin.id != 0)
        varve_origins_put(&store->origins, &origin);
    store->stats.batches++;
    store->stats.rows_written += rows;
    store->stats.rows_dropped += dropped;
    store->stats.bytes_given += varve_batch_raw_bytes(pending->batch);
    varve_mutex_unlock(&store->queue_lock);
}

/* The statement is in the log: the next open sees to it, if the log is there. */
static void fail_in_doubt(varve_store *store, struct varve_pending *pending, const varve_error *why)
{
    varve_store_fail(store, why);
    pending->error = *why;
    pending->error.status = VARVE_EIO_SYNC;
}

static void apply_schema(varve_store *store, struct varve_pending *pending)
{
    varve_error detail = {0};

    if (varve_store_edit_table(store, pending->table, false, &detail) < 0) {
        fail_in_doubt(store, pending, &detail);
        varve_table_discard(pending->table);
        return;
    }
    varve_table_link(pending->table);
}

static void apply_drop(varve_store *store, struct varve_pending *pending)
{
    varve_error detail = {0};

    if (varve_store_edit_table(store, pending->table, true, &detail) < 0) {
        fail_in_doubt(store, pending, &detail);
        return;
    }
    varve_generation_stop(store, pending->table);
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
