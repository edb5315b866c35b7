/*
 * judge.c - what becomes of a commit, decided in log order before it is logged.
 *
 * Origins first: a batch whose last sequence number has been applied already changes nothing (a
 * NOOP record keeps its place, so that its policy is kept too). Then the rules of its tables: a
 * dropped table refuses; an 'error' table refuses a key that it has. Then memory for the rows is
 * set aside, so that apply cannot fail. Replay judges again with the same functions.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/judge_int.h"
#include "storage/engine/pressure_int.h"
#include "storage/engine/reserve_int.h"
#include "storage/schema/schema_format.h"

#define FLUSH_SHARE                                                                                \
    32u /* of memory_limit: memtables below it are not flushed to keep memory free */

/* ---------------------------------------------------------------------------------- Origins */

enum varve_origin_verdict varve_origin_judge(const struct varve_origins *known,
                                             const struct varve_origin *origin)
{
    if (origin->id == 0)
        return VARVE_ORIGIN_NEW;
    const struct varve_origin_entry *entry =
        varve_origin_find(known->items, known->count, origin->id);
    if (entry == NULL)
        return VARVE_ORIGIN_NEW;
    if (origin->epoch < entry->epoch)
        return origin->last <= entry->last ? VARVE_ORIGIN_REPEATED : VARVE_ORIGIN_STALE;
    if (origin->last <= entry->last)
        return VARVE_ORIGIN_REPEATED;
    return origin->first <= entry->last ? VARVE_ORIGIN_OVERLAPS : VARVE_ORIGIN_NEW;
}

static bool upsert_only(const varve_batch *batch)
{
    for (uint32_t i = 0; i < varve_batch_sections(batch); i++)
        if (varve_batch_section(batch, i).schema->duplicates != VARVE_DUPLICATES_UPSERT)
            return false;
    return true;
}

/* Apply must not fail for want of room in its table; it adds at most what was judged. A new array
 * takes the old one's place under the lock of those who ask, and is allocated outside of it. */
static bool reserve_applied(varve_store *store)
{
    struct varve_origins *origins = &store->origins;
    struct varve_origins larger = {.count = origins->count};

    if (store->judged.count < origins->capacity)
        return true;
    if (!varve_vec_grow(&store->heap, (void **)&larger.items, sizeof *larger.items,
                        store->judged.count + 1, &larger.capacity))
        return false;
    if (origins->count > 0)
        memcpy(larger.items, origins->items, origins->count * sizeof *larger.items);
    struct varve_origins old = *origins;
    varve_mutex_lock(&store->queue_lock);
    *origins = larger;
    varve_mutex_unlock(&store->queue_lock);
    varve_origins_free(&store->heap, &old);
    return true;
}

static enum varve_judgement judge_origin(varve_store *store, struct varve_pending *pending)
{
    const struct varve_origin origin = varve_batch_origin(pending->batch);

    switch (varve_origin_judge(&store->judged, &origin)) {
    case VARVE_ORIGIN_NEW:
        break;
    case VARVE_ORIGIN_REPEATED:
        pending->repeated = true;
        return VARVE_JUDGE_LOG;
    case VARVE_ORIGIN_STALE:
        varve_error_set(&pending->error, VARVE_ESTALE, NULL, VARVE_NO_OFFSET,
                        "origin %u has moved on to a later epoch than %u", origin.id, origin.epoch);
        return VARVE_JUDGE_REFUSE;
    case VARVE_ORIGIN_OVERLAPS:
        if (!upsert_only(pending->batch)) {
            varve_error_set(&pending->error, VARVE_EEXISTS, NULL, VARVE_NO_OFFSET,
                            "the batch begins with sequence numbers of origin %u that were "
                            "applied already",
                            origin.id);
            return VARVE_JUDGE_REFUSE;
        }
        break;
    }
    if (origin.id != 0 && !varve_origins_reserve(&store->heap, &store->judged)) {
        (void)varve_error_nomem(&pending->error, "the table of origins");
        return VARVE_JUDGE_REFUSE;
    }
    if (origin.id != 0 && !reserve_applied(store)) {
        (void)varve_error_nomem(&pending->error, "the table of origins");
        return VARVE_JUDGE_REFUSE;
    }
    return VARVE_JUDGE_LOG;
}

/* ------------------------------------------------------------------------------- Reservations */

static void unreserve(varve_store *store, struct varve_pending *pending, uint32_t sections)
{
    for (uint32_t i = 0; i < sections; i++) {
        const struct varve_section section = varve_batch_section(pending->batch, i);
        varve_memtable_unreserve(pending->targets[i]->memtable, &section);
        varve_generation_leave(store, pending->targets[i]);
    }
    if (pending->targets != NULL && pending->targets != pending->inline_targets)
        varve_free(&store->heap, pending->targets, pending->n_targets * sizeof *pending->targets);
    pending->targets = NULL;
    pending->n_targets = 0;
}

static varve_status reserve_section(varve_store *store, struct varve_pending *pending, uint32_t i)
{
    const struct varve_section section = varve_batch_section(pending->batch, i);
    struct varve_table *table = varve_store_table_by_id(store, section.table_id);

    if (table != NULL && table->schema != section.schema)
        return varve_error_set(&pending->error, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "the batch holds rows of another store's table '%s'",
                               section.schema->name);
    if (table == NULL || table->dropping)
        return varve_error_set(&pending->error, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                               "table '%s' has been dropped", section.schema->name);
    varve_status rc = varve_generation_enter(store, table->active, &pending->error);
    if (rc < 0)
        return rc;
    /* A flush could free something, and enough to be worth its file. */
    const bool others = store->filling_bytes > store->heap.limit / FLUSH_SHARE;
    rc = varve_memtable_reserve(table->active->memtable, &section, &pending->error);
    if (rc == VARVE_OK && others && pending->waits && varve_pressure_is_high(store)) {
        varve_memtable_unreserve(table->active->memtable, &section);
        rc = varve_error_set(&pending->error, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                             "memory is near memory_limit and no flush gave any back");
    }
    if (rc < 0) {
        varve_generation_leave(store, table->active);
        return rc;
    }
    varve_generation_count(store, table->active);
    pending->targets[i] = table->active;
    return VARVE_OK;
}

static enum varve_judgement reserve(varve_store *store, struct varve_pending *pending)
{
    const uint32_t n = varve_batch_sections(pending->batch);
    const uint32_t inline_max = sizeof pending->inline_targets / sizeof pending->inline_targets[0];

    pending->targets = pending->inline_targets;
    if (n > inline_max) {
        pending->targets = varve_alloc(&store->heap, n * sizeof *pending->targets);
        if (pending->targets == NULL) {
            (void)varve_error_nomem(&pending->error, "a commit");
            return VARVE_JUDGE_REFUSE;
        }
    }
    pending->n_targets = n;
    for (uint32_t i = 0; i < n; i++) {
        if (reserve_section(store, pending, i) < 0) {
            unreserve(store, pending, i);
            return VARVE_JUDGE_REFUSE;
        }
    }
    pending->logged = true;
    return VARVE_JUDGE_LOG;
}

/* ------------------------------------------------------------------------------------ Verdict */

static enum varve_judgement judge_data(varve_store *store, struct varve_pending *pending)
{
    if (varve_batch_rows(pending->batch) == 0) { /* nothing to apply; it keeps its place */
        pending->repeated = true;
        return VARVE_JUDGE_LOG;
    }
    enum varve_judgement judgement = judge_origin(store, pending);

    if (judgement != VARVE_JUDGE_LOG || pending->repeated)
        return judgement;
    for (uint32_t i = 0; i < varve_batch_sections(pending->batch); i++) {
        const struct varve_section section = varve_batch_section(pending->batch, i);
        if (section.schema->duplicates != VARVE_DUPLICATES_ERROR)
            continue;
        if (store->n_groups > 0 || store->opened.first != NULL)
            return VARVE_JUDGE_DRAIN; /* keys in flight are not in a memtable yet */
        const varve_status rc = varve_section_check_new(store, &section, &pending->error);
        if (rc == VARVE_EEXISTS) /* the row's number as the caller put it */
            pending->error.row =
                varve_batch_row_of(pending->batch, i, (uint32_t)pending->error.row);
        if (rc < 0)
            return VARVE_JUDGE_REFUSE;
    }
    return reserve(store, pending);
}

/*
 * At most one creation or drop may be owed to the manifest, so what is owed has to be written before
 * another is logged.
 */
static varve_status settle_tables(varve_store *store, struct varve_pending *pending)
{
    varve_error detail = {0};
    const varve_status rc = varve_store_settle(store, &detail);

    if (rc != VARVE_ENOSPC && rc != VARVE_ENOMEM)
        return rc < 0 ? varve_error_copy(&pending->error, &detail, rc) : VARVE_OK;
    varve_error_set(&pending->error, rc, detail.file[0] != '\0' ? detail.file : NULL, detail.offset,
                    "the manifest has no %s for the table that was created or dropped last, so "
                    "no other can be",
                    rc == VARVE_ENOSPC ? "room" : "memory");
    pending->error.os_code = detail.os_code;
    return rc;
}

static enum varve_judgement judge_schema(varve_store *store, struct varve_pending *pending)
{
    if (store->n_groups > 0 || store->opened.first != NULL)
        return VARVE_JUDGE_DRAIN; /* definitions of tables are judged with nothing under way */
    if (varve_store_table_by_name(store, pending->schema->name) != NULL) {
        varve_error_set(&pending->error, VARVE_EEXISTS, NULL, VARVE_NO_OFFSET,
                        "there is a table '%s' already", pending->schema->name);
        return VARVE_JUDGE_REFUSE;
    }
    if (store->next_table_id == UINT32_MAX) { /* the count stops here: no table has this number */
        varve_error_set(&pending->error, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                        "every number that a table can have has been given out");
        return VARVE_JUDGE_REFUSE;
    }
    if (settle_tables(store, pending) < 0)
        return VARVE_JUDGE_REFUSE;
    struct varve_schema *named = NULL;
    varve_status rc = varve_schema_with_id(pending->schema, &store->heap, store->next_table_id, 1,
                                           &named, &pending->error);
    if (rc < 0)
        return VARVE_JUDGE_REFUSE;
    varve_schema_unref(pending->schema);
    pending->schema = named;
    varve_buffer_clear(&pending->payload);
    varve_schema_encode(named, &pending->payload);
    if (pending->payload.failed) {
        (void)varve_error_nomem(&pending->error, "a schema");
        return VARVE_JUDGE_REFUSE;
    }
    const uint32_t most = varve_wal_payload_limit(store->options.wal_segment_bytes);
    if (pending->payload.size > most) { /* no segment would take it */
        varve_error_set(&pending->error, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                        "the table's definition takes %zu bytes in the log, above the limit of %u "
                        "for this segment size",
                        pending->payload.size, most);
        return VARVE_JUDGE_REFUSE;
    }
    rc = varve_table_new(store, named, &pending->table, &pending->error);
    if (rc < 0)
        return VARVE_JUDGE_REFUSE;
    pending->logged = true;
    return VARVE_JUDGE_LOG;
}

static enum varve_judgement judge_drop(varve_store *store, struct varve_pending *pending)
{
    if (store->n_groups > 0 || store->opened.first != NULL)
        return VARVE_JUDGE_DRAIN;
    if (pending->table->dropped) {
        varve_error_set(&pending->error, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                        "table '%s' has been dropped already", pending->table->schema->name);
        return VARVE_JUDGE_REFUSE;
    }
    if (settle_tables(store, pending) < 0)
        return VARVE_JUDGE_REFUSE;
    varve_buffer_clear(&pending->payload);
    varve_write_u32(&pending->payload, pending->table->schema->table_id);
    if (pending->payload.failed) {
        (void)varve_error_nomem(&pending->error, "a log record");
        return VARVE_JUDGE_REFUSE;
    }
    pending->logged = true;
    return VARVE_JUDGE_LOG;
}

enum varve_judgement varve_judge(varve_store *store, struct varve_pending *pending)
{
    pending->repeated = false;
    pending->logged = false;
    if (pending->type == VARVE_WAL_TABLE_DROP)
        return judge_drop(store, pending);
    if (varve_reserve_check(store, &pending->error) < 0)
        return VARVE_JUDGE_REFUSE;
    if (pending->type == VARVE_WAL_SCHEMA)
        return judge_schema(store, pending);
    return judge_data(store, pending);
}

void varve_judge_accept(varve_store *store, struct varve_pending *pending)
{
    if (pending->type == VARVE_WAL_SCHEMA) {
        store->next_table_id++;
    } else if (pending->type == VARVE_WAL_TABLE_DROP) {
        pending->table->dropping = true;
    } else if (!pending->repeated) {
        const struct varve_origin origin = varve_batch_origin(pending->batch);
        if (origin.id != 0)
            varve_origins_put(&store->judged, &origin);
    }
}

void varve_judge_undo(varve_store *store, struct varve_pending *pending)
{
    if (!pending->logged)
        return;
    if (pending->type == VARVE_WAL_DATA)
        unreserve(store, pending, pending->n_targets);
    else if (pending->type == VARVE_WAL_SCHEMA) {
        varve_table_discard(pending->table);
        pending->table = NULL;
    }
    pending->logged = false;
}
