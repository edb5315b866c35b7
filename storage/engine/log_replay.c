/*
 * log_replay.c - the records of the log applied to memtables again, as they were the first time.
 *
 * Place.   recover.c opens the log's reader, which has reached its verdict, and calls varve_replay().
 *
 * A section is skipped if and only if its record lies below its table's flushed LSN. An open for
 * writing flushes between records, as at run time, so that a log of any length fits: what one record
 * needs is bounded (batch_format.h), and recovery may take that much whatever memory_limit says
 * (VARVE_RECOVERY_BYTES). A reader keeps all rows in memory, within memory_limit.
 *
 * Threads. The open's. Requires the log token, but for varve_recover_schema().
 */
#include "storage/batch/batch_format.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/judge_int.h"
#include "storage/engine/recover_int.h"
#include "storage/schema/schema_format.h"

varve_status varve_recover_schema(void *ctx, uint32_t table_id, uint32_t version,
                                  const struct varve_schema **ret_schema)
{
    varve_store *store = ctx;
    const struct varve_table *table = varve_store_table_by_id(store, table_id);

    *ret_schema = NULL;
    if (table == NULL || table->dropped) /* dropped later: its rows are of no interest */
        return table_id < store->next_table_id ? VARVE_OK : VARVE_ECORRUPT;
    if (version > table->schema->version)
        return VARVE_ECORRUPT; /* its definition would stand before it in the log */
    *ret_schema = table->schema;
    return VARVE_OK;
}

/* What an error says of memory, and what a reader can do about it. */
static void count_memtables(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    store->memtable_bytes = store->filling_bytes + store->waiting_bytes;
    varve_mutex_unlock(&store->queue_lock);
}

/* Memory is short during a long replay: flush what is full, as at run time. */
static varve_status replay_relief(varve_store *store, varve_error *err)
{
    if (store->read_only)
        return VARVE_OK;
    varve_generations_check(store);
    if (store->memtable_bytes < store->options.memtable_bytes)
        return VARVE_OK;
    varve_apply_publish(store, store->applied.lsn); /* a flush takes the rows that are published */
    varve_log_release(store);                       /* it takes the token itself */
    varve_status rc;
    do
        rc = varve_flush_step(store, 1000000, err);
    while (rc == VARVE_OK);
    varve_log_take(store);
    return rc == VARVE_END ? VARVE_OK : rc;
}

static varve_status apply_section(varve_store *store, const struct varve_section *section,
                                  const struct varve_wal_record *record, uint64_t lsn_end,
                                  varve_error *err)
{
    struct varve_table *table = varve_store_table_by_id(store, section->table_id);
    const struct varve_apply apply = {.lsn = record->lsn,
                                      .lsn_end = lsn_end,
                                      .hlc = record->hlc,
                                      .writer = record->writer,
                                      .floor = INT64_MIN};

    if (record->lsn < table->flushed_lsn)
        return VARVE_OK;
    struct varve_generation *generation = table->active;
    varve_status rc = varve_generation_enter(store, generation, err);
    if (rc < 0)
        return rc;
    rc = varve_memtable_reserve(generation->memtable, section, err);
    if (rc == VARVE_OK)
        (void)varve_memtable_apply(generation->memtable, section, &apply);
    if (rc == VARVE_OK)
        varve_generation_touch(store, generation);
    varve_generation_leave(store, generation);
    return rc;
}

static varve_status replay_data(varve_store *store, const struct varve_wal_record *record,
                                struct varve_span bytes, uint64_t lsn_end, varve_error *err)
{
    const struct varve_origin origin = {.id = record->origin,
                                        .epoch = record->origin_epoch,
                                        .first = record->origin_first,
                                        .last = record->origin_last};
    struct varve_payload *payload = NULL;

    if (varve_origin_judge(&store->judged, &origin) == VARVE_ORIGIN_REPEATED)
        return VARVE_OK;
    varve_status rc =
        varve_payload_decode(bytes, varve_recover_schema, store, &store->heap, &payload, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == VARVE_OK && i < varve_payload_sections(payload); i++) {
        const struct varve_section section = varve_payload_section(payload, i);
        rc = apply_section(store, &section, record, lsn_end, err);
    }
    varve_payload_free(payload);
    if (rc == VARVE_OK && origin.id != 0) {
        if (!varve_origins_reserve(&store->heap, &store->judged) ||
            !varve_origins_reserve(&store->heap, &store->origins))
            return varve_error_nomem(err, "the table of origins");
        varve_origins_put(&store->judged, &origin);
        varve_origins_put(&store->origins, &origin);
    }
    return rc;
}

/* A table that the manifest does not have yet. */
static varve_status replay_create(varve_store *store, const struct varve_schema *schema,
                                  varve_error *err)
{
    struct varve_table *table = NULL;
    struct varve_edit edit = {.put_schemas = &schema,
                              .n_put_schemas = 1,
                              .set_flags = VARVE_EDIT_NEXT_TABLE,
                              .next_table_id = schema->table_id + 1};

    if (edit.next_table_id == 0 || varve_store_table_by_name(store, schema->name) != NULL)
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "a SCHEMA record creates table '%s' as number %u, which cannot be",
                               schema->name, schema->table_id);
    varve_status rc = varve_table_new(store, schema, &table, err);
    if (rc == VARVE_OK && !store->read_only)
        rc = varve_store_edit(store, &edit, err);
    if (rc < 0) {
        varve_table_discard(table);
        return rc;
    }
    varve_table_link(table);
    store->next_table_id = edit.next_table_id;
    return VARVE_OK;
}

static varve_status replay_schema(varve_store *store, struct varve_span bytes, varve_error *err)
{
    struct varve_schema *schema = NULL;
    varve_status rc = varve_schema_decode(bytes, &store->heap, &schema, err);

    if (rc < 0)
        return rc;
    if (schema->table_id >= store->next_table_id) /* else it is known, or was dropped */
        rc = replay_create(store, schema, err);
    varve_schema_unref(schema);
    return rc;
}

static varve_status replay_drop(varve_store *store, struct varve_span bytes, varve_error *err)
{
    if (bytes.size != 4)
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "a TABLE_DROP record has %zu bytes instead of 4", bytes.size);
    const uint32_t id = varve_get_u32(bytes.data);
    struct varve_table *table = varve_store_table_by_id(store, id);
    struct varve_edit edit = {.drop_tables = &id, .n_drop_tables = 1};

    if (table == NULL || table->dropped)
        return VARVE_OK;
    if (!store->read_only && varve_version_table(store->version, id) != NULL) {
        const varve_status rc =
            varve_store_edit(store, &edit, err); /* strays are collected below */
        if (rc < 0)
            return rc;
    }
    table->dropped = table->dropping = true;
    varve_generation_stop(store, table);
    return VARVE_OK;
}

static varve_status replay_record(varve_store *store, const struct varve_wal_record *record,
                                  struct varve_span payload, uint64_t lsn_end, varve_error *err)
{
    switch (record->type) {
    case VARVE_WAL_DATA:
        return replay_data(store, record, payload, lsn_end, err);
    case VARVE_WAL_SCHEMA:
        return replay_schema(store, payload, err);
    case VARVE_WAL_TABLE_DROP:
        return replay_drop(store, payload, err);
    default: /* NOOP: the reader refuses a log that holds a type of any other kind */
        return VARVE_OK;
    }
}

/* What is wrong with a record whose checksums hold is no torn write: say where it stands. */
static varve_status locate(varve_status rc, const struct varve_wal_record *record, uint64_t lsn_end,
                           varve_error *err)
{
    if ((rc == VARVE_ECORRUPT || rc == VARVE_EVERSION) && err != NULL) {
        err->lsn = record->lsn;
        err->lsn_end = lsn_end;
    }
    return rc;
}

static varve_status replay_next(varve_store *store, struct varve_wal_reader *reader,
                                varve_error *err)
{
    struct varve_wal_record record;
    struct varve_span payload;
    varve_status rc = varve_wal_reader_next(reader, &record, &payload, err);

    if (rc != VARVE_OK)
        return rc;
    const uint64_t lsn_end = varve_wal_reader_lsn(reader);
    rc = replay_record(store, &record, payload, lsn_end, err);
    if (rc < 0)
        return locate(rc, &record, lsn_end, err);
    store->applied.lsn = lsn_end;
    store->applied.index = record.index;
    store->applied.term = record.term;
    store->applied.chain = record.chain;
    if (record.hlc > store->applied.hlc)
        store->applied.hlc = record.hlc;
    store->appended = store->applied;
    store->stats.recovered_records++;
    return replay_relief(store, err);
}

varve_status varve_replay(varve_store *store, struct varve_wal_reader *reader, varve_error *err)
{
    varve_error detail = {0};
    varve_status rc;

    do
        rc = replay_next(store, reader, &detail);
    while (rc == VARVE_OK);
    count_memtables(store);
    if (rc == VARVE_END)
        return VARVE_OK;
    const bool lost = rc == VARVE_ECORRUPT || (rc < 0 && varve_error_is_unreadable(&detail));
    if (lost && (store->options.flags & VARVE_OPEN_SALVAGE) != 0)
        return varve_finding_add(store, VARVE_FOUND_MISSING, &detail, err);
    return varve_error_copy(err, &detail, rc);
}
