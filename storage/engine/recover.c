/*
 * recover.c - from what the manifest names to the state that was acknowledged.
 *
 * The log's reader reaches its verdict before any record is given (storage/wal/wal_reader.h). Records
 * from the replay LSN on are then applied as they were the first time; a section is skipped if and
 * only if the record lies below its table's flushed LSN. Open for writing first makes durable what
 * was accepted: unsealed segments are copied, sealed and exchanged in one edit, before any record of
 * them reaches the manifest or a file. Opening twice gives the same state.
 *
 * A reader (read-only open) follows a live log up to its commit LSN, or, when nobody holds the store's
 * lock, applies in memory what recovery would keep; it changes no byte.
 */
#include <string.h>

#include "storage/batch/batch_format.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/judge_int.h"
#include "storage/engine/recover_int.h"
#include "storage/schema/schema_format.h"
#include "storage/wal/wal_recovery.h"

/* ------------------------------------------------------------------------- From the manifest */

static varve_status load_tables(varve_store *store, varve_error *err)
{
    for (uint32_t i = 0; i < store->version->n_tables; i++) {
        const struct varve_table_entry *entry = store->version->tables[i];
        struct varve_table *table = NULL;
        const varve_status rc = varve_table_new(store, entry->schema, &table, err);
        if (rc < 0)
            return rc;
        table->flushed_lsn = entry->flushed_lsn;
        varve_table_link(table);
    }
    return VARVE_OK;
}

static varve_status load_origins(varve_store *store, struct varve_origins *to, varve_error *err)
{
    const struct varve_replay_state *replay = &store->version->replay;

    if (!varve_vec_grow(&store->heap, (void **)&to->items, sizeof *to->items, replay->n_origins,
                        &to->capacity))
        return varve_error_nomem(err, "the table of origins");
    if (replay->n_origins > 0)
        memcpy(to->items, replay->origins, replay->n_origins * sizeof *to->items);
    to->count = replay->n_origins;
    return VARVE_OK;
}

static varve_status load_epochs(varve_store *store, varve_error *err)
{
    const struct varve_replay_state *replay = &store->version->replay;

    /* Room for the one that this open may add. */
    store->epochs = varve_alloc_zero(&store->heap, replay->n_epochs + 1u, sizeof *store->epochs);
    if (store->epochs == NULL)
        return varve_error_nomem(err, "the history of epochs");
    store->epochs_capacity = replay->n_epochs + 1;
    if (replay->n_epochs > 0)
        memcpy(store->epochs, replay->epochs, replay->n_epochs * sizeof *store->epochs);
    store->n_epochs = replay->n_epochs;
    return VARVE_OK;
}

varve_status varve_recover_load(varve_store *store, varve_error *err)
{
    const struct varve_replay_state *replay = &store->version->replay;
    varve_status rc = load_tables(store, err);

    if (rc == VARVE_OK)
        rc = load_origins(store, &store->judged, err);
    if (rc == VARVE_OK)
        rc = load_origins(store, &store->origins, err);
    if (rc == VARVE_OK)
        rc = load_epochs(store, err);
    store->applied = (struct varve_log_point){.lsn = replay->lsn,
                                              .index = replay->index,
                                              .term = replay->term,
                                              .chain = replay->chain,
                                              .hlc = replay->hlc};
    store->appended = store->applied;
    store->commit_lsn = replay->lsn;
    store->next_table_id = store->version->next_table_id;
    store->next_file_id = store->file_id_limit = store->version->next_file_id;
    return rc;
}

/* ------------------------------------------------------------------------------ One record */

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

/* Apply every record that the reader gives. Requires the log token. */
static varve_status replay(varve_store *store, struct varve_wal_reader *reader, varve_error *err)
{
    struct varve_wal_record record;
    struct varve_span payload;
    varve_status rc;

    while ((rc = varve_wal_reader_next(reader, &record, &payload, err)) == VARVE_OK) {
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
        rc = replay_relief(store, err);
        if (rc < 0)
            return rc;
    }
    return rc == VARVE_END ? VARVE_OK : rc;
}

/* -------------------------------------------------------------------------------- The log */

static varve_status list_segments(varve_store *store, const struct varve_version *version,
                                  uint32_t n, struct varve_wal_listed **ret_list, varve_error *err)
{
    struct varve_wal_listed *list = NULL;

    if (n > 0) {
        list = varve_alloc_zero(&store->heap, n, sizeof *list);
        if (list == NULL)
            return varve_error_nomem(err, "the list of log segments");
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct varve_segment_entry *entry = &version->segments[i];
        list[i] = (struct varve_wal_listed){.id = entry->id,
                                            .base_lsn = entry->base_lsn,
                                            .size = entry->size,
                                            .sealed = entry->sealed,
                                            .final_lsn = entry->final_lsn,
                                            .digest = entry->digest};
        memcpy(list[i].uuid, entry->uuid, sizeof list[i].uuid);
    }
    *ret_list = list;
    return VARVE_OK;
}

/* A reader over the first `n` segments of `version`. */
static varve_status open_reader(varve_store *store, const struct varve_version *version, uint32_t n,
                                uint32_t mode, struct varve_wal_reader **reader,
                                struct varve_wal_verdict *verdict, varve_error *err)
{
    const struct varve_replay_state *replay = &version->replay;
    struct varve_wal_listed *list = NULL;
    varve_status rc = list_segments(store, version, n, &list, err);

    if (rc < 0)
        return rc;
    struct varve_wal_reader_options options = {
        .vfs = store->vfs,
        .heap = &store->heap,
        .mode = mode,
        .cut_rot = store->options.wal_tail == VARVE_WAL_TAIL_CUT,
        .salvage = (store->options.flags & VARVE_OPEN_SALVAGE) != 0,
        .writes = !store->read_only,
        .segments = list,
        .n_segments = n,
        .durable_lsn = version->durable_lsn,
        .start_lsn = replay->lsn,
        .start_index = replay->index,
        .start_term = replay->term,
        .start_chain = replay->chain,
        .start_hlc = replay->hlc,
    };
    memcpy(options.store_uuid, version->store_uuid, sizeof options.store_uuid);
    rc = varve_wal_reader_open(&options, reader, verdict, err);
    if (list != NULL)
        varve_free(&store->heap, list, n * sizeof *list);
    return rc;
}

varve_status varve_recover_reader(varve_store *store, const struct varve_version *version,
                                  uint32_t n, struct varve_wal_reader **ret_reader,
                                  varve_error *err)
{
    struct varve_version sealed = *version;
    struct varve_wal_verdict verdict = {0};

    assert(n > 0);
    const uint64_t end = version->segments[n - 1].final_lsn;
    /* Evidence and replay state may lie beyond the segments asked for. */
    sealed.durable_lsn = version->durable_lsn < end ? version->durable_lsn : end;
    if (version->replay.lsn > end)
        return VARVE_END;
    return open_reader(store, &sealed, n, VARVE_WAL_RECOVERY, ret_reader, &verdict, err);
}

static void note_verdict(varve_store *store, const struct varve_wal_verdict *verdict)
{
    if (verdict->kind == VARVE_WAL_CUT && verdict->cut_lsn_end > verdict->recovered_to) {
        store->stats.cut_lsn = verdict->recovered_to;
        store->stats.cut_lsn_end = verdict->cut_lsn_end;
    }
}

/* Every open for writing is an epoch of its own, so that a reader of a lost tail can tell; one in
 * which nothing was written gives its place to the next. `index` is of the last record accepted. */
static void begin_epoch(varve_store *store, uint64_t term, uint64_t index)
{
    if (store->n_epochs > 0 && store->epochs[store->n_epochs - 1].term > term)
        term = store->epochs[store->n_epochs - 1].term;
    while (store->n_epochs > 0 && store->epochs[store->n_epochs - 1].first_index > index)
        store->n_epochs--; /* nothing is left of it */
    if (store->n_epochs >= VARVE_EPOCHS_MAX) {
        store->n_epochs--;
        memmove(store->epochs, store->epochs + 1, store->n_epochs * sizeof *store->epochs);
    }
    assert(store->n_epochs < store->epochs_capacity);
    store->epochs[store->n_epochs++] =
        (struct varve_epoch){.term = term + 1, .first_index = index + 1};
}

/* Exchange the segments for those that recovery made, and enter the new epoch, in one edit. */
static varve_status exchange(varve_store *store, const struct varve_wal_verdict *verdict,
                             const struct varve_wal_recovered *recovered, varve_error *err)
{
    struct varve_segment_entry *entries = NULL;
    varve_status rc = VARVE_OK;

    if (recovered->n_segments > 0) {
        entries = varve_alloc_zero(&store->heap, recovered->n_segments, sizeof *entries);
        if (entries == NULL)
            return varve_error_nomem(err, "the list of log segments");
    }
    for (uint32_t i = 0; i < recovered->n_segments; i++) {
        const struct varve_wal_listed *listed = &recovered->segments[i];
        entries[i] = (struct varve_segment_entry){.id = listed->id,
                                                  .base_lsn = listed->base_lsn,
                                                  .size = listed->size,
                                                  .sealed = listed->sealed,
                                                  .final_lsn = listed->final_lsn,
                                                  .digest = listed->digest};
        memcpy(entries[i].uuid, listed->uuid, sizeof entries[i].uuid);
    }
    begin_epoch(store, verdict->term, verdict->index);
    struct varve_edit edit = {.put_segments = entries,
                              .n_put_segments = recovered->n_segments,
                              .drop_segments = recovered->dropped,
                              .n_drop_segments = recovered->n_dropped,
                              .set_flags = VARVE_EDIT_DURABLE | VARVE_EDIT_REPLAY,
                              .durable_lsn = verdict->recovered_to,
                              .replay = store->version->replay};
    edit.replay.epochs = store->epochs;
    edit.replay.n_epochs = store->n_epochs;
    varve_mutex_lock(&store->manifest_lock);
    rc = varve_store_edit_many_locked(store, &edit, err);
    varve_mutex_unlock(&store->manifest_lock);
    if (entries != NULL)
        varve_free(&store->heap, entries, recovered->n_segments * sizeof *entries);
    return rc;
}

static varve_status start_writer(varve_store *store, const struct varve_wal_start *start,
                                 varve_error *err)
{
    struct varve_wal_options options = {.vfs = store->vfs,
                                        .heap = &store->heap,
                                        .depth = VARVE_GROUPS_MAX,
                                        .group_bytes = VARVE_GROUP_BYTES};

    memcpy(options.store_uuid, store->version->store_uuid, sizeof options.store_uuid);
    const varve_status rc = varve_wal_writer_create(&options, start, &store->wal, err);
    if (rc < 0)
        return rc;
    store->appended.lsn = start->base_lsn;
    assert(store->n_epochs > 0 && store->epochs[store->n_epochs - 1].term > store->applied.term);
    store->term = store->epochs[store->n_epochs - 1].term;
    return VARVE_OK;
}

/* What follows is counted on from these numbers, so they must leave room: half of all there is. No
 * store that was written comes near. */
static varve_status check_room(const varve_store *store, const struct varve_wal_verdict *verdict,
                               varve_error *err)
{
    const struct varve_version *version = store->version;
    const uint64_t numbers[] = {verdict->term, verdict->index, verdict->recovered_to,
                                version->next_file_id,
                                store->n_epochs == 0 ? 0 : store->epochs[store->n_epochs - 1].term};
    bool room = verdict->hlc < VARVE_TIME_END / 2 && version->safe_now_us < VARVE_TIME_END / 2;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        room = room && numbers[i] < VARVE_COUNTER_END / 2;
    return room ? VARVE_OK
                : varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                  "the store's numbers are so large that none can follow them");
}

varve_status varve_recover_writable(varve_store *store, varve_error *err)
{
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_verdict verdict = {0};
    struct varve_wal_recovered recovered = {0};
    uint64_t first_id = 0;
    const bool direct = store->options.policy == VARVE_POLICY_DURABLE_EACH ||
                        store->options.policy == VARVE_POLICY_DURABLE_GROUP;

    varve_log_take(store);
    varve_status rc = open_reader(store, store->version, store->version->n_segments,
                                  VARVE_WAL_RECOVERY, &reader, &verdict, err);
    if (rc == VARVE_OK)
        rc = check_room(store, &verdict, err);
    if (rc == VARVE_OK)
        note_verdict(store, &verdict);
    /* The log is durable before anything is made of it: replay may change the manifest. */
    if (rc == VARVE_OK)
        rc = varve_store_file_ids(store, store->version->n_segments + 1u, &first_id, err);
    if (rc == VARVE_OK)
        rc = varve_wal_recover(reader, &verdict, first_id, direct, &recovered, err);
    if (rc == VARVE_OK)
        rc = exchange(store, &verdict, &recovered, err);
    if (rc == VARVE_OK)
        rc = replay(store, reader, err);
    if (rc == VARVE_OK)
        rc = start_writer(store, &recovered.start, err);
    if (rc == VARVE_OK) {
        varve_apply_publish(store, store->applied.lsn);
        store->stats.lsn_durable = varve_wal_durable_lsn(store->wal);
    }
    varve_log_release(store);
    varve_wal_recovered_free(&recovered);
    varve_wal_reader_close(reader);
    return rc;
}

varve_status varve_recover_read_only(varve_store *store, bool live, varve_error *err)
{
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_verdict verdict = {0};
    uint64_t commit_lsn = 0;

    varve_log_take(store);
    varve_status rc =
        open_reader(store, store->version, store->version->n_segments,
                    live ? VARVE_WAL_FOLLOW : VARVE_WAL_RECOVERY, &reader, &verdict, err);
    if (rc == VARVE_OK && live)
        rc = varve_wal_reader_refresh(reader, NULL, 0, &commit_lsn, err);
    if (rc == VARVE_OK && !live)
        note_verdict(store, &verdict);
    if (rc == VARVE_OK)
        rc = replay(store, reader, err);
    if (rc == VARVE_OK) {
        varve_apply_publish(store, store->applied.lsn);
        /* Beside a writer, what it has proven durable; without one, what the next open keeps. */
        store->stats.lsn_durable = live ? varve_wal_reader_durable_lsn(reader) : store->applied.lsn;
    }
    varve_log_release(store);
    varve_wal_reader_close(reader);
    return rc;
}
