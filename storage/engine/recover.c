/*
 * recover.c - from what the manifest names to the state that was acknowledged.
 *
 * The log's reader reaches its verdict before any record is given (storage/wal/wal_reader.h). Records
 * from the replay LSN on are then applied (log_replay.c). Open for writing first makes durable what
 * was accepted: unsealed segments are copied, sealed and exchanged in one edit, before any record of
 * them reaches the manifest or a file. Opening twice gives the same state.
 *
 * What a crash left at the end of the log and cannot be kept is cut away, and told (finding.c). The
 * segments that held it are kept aside, named in the manifest but no longer part of the log, until an
 * open for writing finds that everything before the cut is in files.
 *
 * A reader (read-only open) follows a live log up to its commit LSN, or, when nobody holds the store's
 * lock, applies in memory what recovery would keep; it changes no byte.
 */
#include <string.h>

#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/recover_int.h"
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
    store->file_id_floor = store->file_id_limit;
    return rc;
}

/* -------------------------------------------------------------------------------- The log */

varve_status varve_recover_list(varve_store *store, const struct varve_version *version, uint32_t n,
                                struct varve_wal_listed **ret_list, varve_error *err)
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

/* What a version proves to be committed, whatever the pages of the log tell so far: what is in files,
 * and what is in segments that are sealed, which their writer lists when all in them has completed,
 * and recovery when it has found what it keeps. A reader that went less far could find one half of a
 * batch in a file and not the other, or nothing of what a crash left until the next writer commits. */
static uint64_t committed_lsn(const struct varve_version *version)
{
    uint64_t lsn = version->replay.lsn;

    for (uint32_t i = 0; i < version->n_tables; i++)
        if (version->tables[i]->flushed_lsn > lsn)
            lsn = version->tables[i]->flushed_lsn;
    for (uint32_t i = 0; i < version->n_segments; i++)
        if (version->segments[i].sealed && version->segments[i].final_lsn > lsn)
            lsn = version->segments[i].final_lsn;
    return lsn;
}

/* A reader over the first `n` segments of `version`. */
static varve_status open_reader(varve_store *store, const struct varve_version *version, uint32_t n,
                                uint32_t mode, bool salvage, struct varve_wal_reader **reader,
                                struct varve_wal_verdict *verdict, varve_error *err)
{
    const struct varve_replay_state *replay = &version->replay;
    struct varve_wal_listed *list = NULL;
    varve_status rc = varve_recover_list(store, version, n, &list, err);

    if (rc < 0)
        return rc;
    struct varve_wal_reader_options options = {
        .vfs = store->vfs,
        .heap = &store->heap,
        .mode = mode,
        .cut_rot = store->options.wal_tail == VARVE_WAL_TAIL_CUT,
        .salvage = salvage,
        .writes = !store->read_only,
        .segments = list,
        .n_segments = n,
        .durable_lsn = version->durable_lsn,
        .commit_lsn = mode == VARVE_WAL_FOLLOW ? committed_lsn(version) : 0,
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
    return open_reader(store, &sealed, n, VARVE_WAL_RECOVERY, false, ret_reader, &verdict, err);
}

/* How far the positions may have gone of what is cut. Where a page has lost its trailer nothing tells
 * what it held: as much as it can. */
static uint64_t cut_end(const struct varve_wal_verdict *verdict)
{
    return verdict->cut_lsn_end > verdict->recovered_to
               ? verdict->cut_lsn_end
               : verdict->recovered_to + (uint64_t)verdict->lost_pages * VARVE_PAGE_PAYLOAD;
}

/* Whether segment `i` of the version's list holds something of what the verdict cuts. */
static bool is_cut(const struct varve_version *version, const struct varve_wal_verdict *verdict,
                   uint32_t i)
{
    bool reached = false;

    if (cut_end(verdict) == verdict->recovered_to) /* a seal, say: nothing of the log is lost */
        return false;
    for (uint32_t k = 0; k <= i; k++)
        reached = reached || version->segments[k].id == verdict->segment_id;
    return reached && verdict->kind == VARVE_WAL_CUT &&
           version->segments[i].base_lsn < cut_end(verdict);
}

/* Tell what is cut, segment by segment. */
static varve_status note_cut(varve_store *store, const struct varve_wal_verdict *verdict,
                             varve_error *err)
{
    const struct varve_version *version = store->version;
    const uint64_t end = cut_end(verdict);
    varve_status rc = VARVE_OK;

    if (verdict->kind != VARVE_WAL_CUT || end == verdict->recovered_to)
        return VARVE_OK;
    store->stats.cut_lsn = verdict->recovered_to;
    store->stats.cut_lsn_end = end;
    store->stats.cut_doubtful = verdict->doubtful;
    for (uint32_t i = 0; i < version->n_segments && rc == VARVE_OK; i++) {
        varve_error detail;
        char name[VARVE_FILE_NAME_MAX];
        if (!is_cut(version, verdict, i))
            continue;
        const bool first = version->segments[i].id == verdict->segment_id;
        varve_file_name_wal(version->segments[i].id, name);
        varve_error_set(&detail, VARVE_OK, name, first ? verdict->page_offset : 0,
                        "the end of the log %s cut away: %s", store->read_only ? "would be" : "was",
                        verdict->doubtful
                            ? "it is damaged, and may have been acknowledged"
                            : "it was not known to be durable; unless the disk lost what it had "
                              "confirmed, no commit of durable_each or durable_group is in it, but "
                              "of interval and os some may be");
        detail.lsn = verdict->recovered_to;
        detail.lsn_end = end;
        rc = varve_finding_add(store, VARVE_FOUND_CUT, &detail, err);
    }
    return rc;
}

/* Tell what salvage could not read. */
static varve_status note_missing(varve_store *store, const struct varve_wal_reader *reader,
                                 varve_error *err)
{
    varve_error detail;

    return varve_wal_reader_missing(reader, &detail)
               ? varve_finding_add(store, VARVE_FOUND_MISSING, &detail, err)
               : VARVE_OK;
}

static bool is_told(const varve_store *store, const char *file)
{
    bool told = false;

    for (size_t i = 0; i < store->n_findings; i++)
        told = told || strcmp(store->findings[i].detail.file, file) == 0;
    return told;
}

/* Tell what earlier opens cut and the store still keeps. */
static varve_status note_kept(varve_store *store, varve_error *err)
{
    varve_status rc = VARVE_OK;

    for (uint32_t i = 0; i < store->version->n_kept && rc == VARVE_OK; i++) {
        const struct varve_kept_segment *kept = &store->version->kept[i];
        varve_error detail;
        char name[VARVE_FILE_NAME_MAX];
        varve_file_name_wal(kept->id, name);
        if (is_told(store, name)) /* this open's */
            continue;
        varve_error_set(&detail, VARVE_OK, name, VARVE_NO_OFFSET,
                        "an earlier open cut this end of the log away");
        detail.lsn = kept->lsn;
        detail.lsn_end = kept->lsn_end;
        rc = varve_finding_add(store, VARVE_FOUND_KEPT, &detail, err);
    }
    return rc;
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

/* The segments that this open cuts, and those of earlier cuts that are not needed any more: everything
 * before the cut is in files. `kept` and `let_go` have room. */
static void plan_kept(const varve_store *store, const struct varve_wal_verdict *verdict,
                      const struct varve_wal_recovered *recovered, struct varve_kept_segment *kept,
                      uint64_t *let_go, struct varve_edit *edit)
{
    const struct varve_version *version = store->version;

    edit->keep_segments = kept;
    edit->let_go_segments = let_go;
    for (uint32_t i = 0; i < version->n_kept; i++) /* the oldest first */
        if (version->kept[i].lsn <= version->replay.lsn || version->n_kept - i > VARVE_KEPT_MAX)
            let_go[edit->n_let_go_segments++] = version->kept[i].id;
    for (uint32_t i = 0; i < version->n_segments; i++) {
        const struct varve_segment_entry *segment = &version->segments[i];
        bool leaves = false;
        for (uint32_t k = 0; k < recovered->n_dropped; k++)
            leaves = leaves || recovered->dropped[k] == segment->id;
        if (leaves && is_cut(version, verdict, i))
            kept[edit->n_keep_segments++] = (struct varve_kept_segment){
                .id = segment->id, .lsn = verdict->recovered_to, .lsn_end = cut_end(verdict)};
    }
}

/* Exchange the segments for those that recovery made, and enter the new epoch, in one edit. */
static varve_status exchange(varve_store *store, const struct varve_wal_verdict *verdict,
                             const struct varve_wal_recovered *recovered, varve_error *err)
{
    const struct varve_version *version = store->version;
    const size_t n_kept = version->n_segments + 1u, n_let_go = version->n_kept + 1u;
    const size_t n_entries = recovered->n_segments + 1u;
    struct varve_segment_entry *entries =
        varve_alloc_zero(&store->heap, n_entries, sizeof *entries);
    struct varve_kept_segment *kept = varve_alloc_zero(&store->heap, n_kept, sizeof *kept);
    uint64_t *let_go = varve_alloc_zero(&store->heap, n_let_go, sizeof *let_go);
    varve_status rc = VARVE_OK;

    if (entries == NULL || kept == NULL || let_go == NULL) {
        rc = varve_error_nomem(err, "the list of log segments");
        goto out;
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
                              .set_flags =
                                  VARVE_EDIT_DURABLE | VARVE_EDIT_REPLAY | VARVE_EDIT_NEXT_LSN,
                              .durable_lsn = verdict->recovered_to,
                              .next_lsn = recovered->start.base_lsn,
                              .replay = store->version->replay};
    edit.replay.epochs = store->epochs;
    edit.replay.n_epochs = store->n_epochs;
    plan_kept(store, verdict, recovered, kept, let_go, &edit);
    varve_mutex_lock(&store->manifest_lock);
    rc = varve_store_edit_many_locked(store, &edit, err);
    varve_mutex_unlock(&store->manifest_lock);
out:
    varve_free(&store->heap, entries, n_entries * sizeof *entries);
    varve_free(&store->heap, kept, n_kept * sizeof *kept);
    varve_free(&store->heap, let_go, n_let_go * sizeof *let_go);
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
    const uint64_t numbers[] = {
        verdict->term,         verdict->index,
        verdict->recovered_to, version->next_file_id,
        version->next_lsn,     store->n_epochs == 0 ? 0 : store->epochs[store->n_epochs - 1].term};
    bool room = verdict->hlc < VARVE_TIME_END / 2 && version->safe_now_us < VARVE_TIME_END / 2;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        room = room && numbers[i] < VARVE_COUNTER_END / 2;
    return room ? VARVE_OK
                : varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                  "the store's numbers are so large that none can follow them");
}

/* What the reader of the log got past by itself. Of one beside a writer nothing is known. */
static void count_repairs(varve_store *store, const struct varve_wal_verdict *verdict)
{
    atomic_fetch_add(&store->repairs, (uint64_t)verdict->retries + verdict->damaged_seals);
}

static varve_status recover_log(varve_store *store, struct varve_wal_reader **reader,
                                struct varve_wal_recovered *recovered, varve_error *err)
{
    struct varve_wal_verdict verdict = {0};
    uint64_t first_id = 0;
    const bool direct = store->options.policy == VARVE_POLICY_DURABLE_EACH ||
                        store->options.policy == VARVE_POLICY_DURABLE_GROUP;
    varve_status rc = open_reader(store, store->version, store->version->n_segments,
                                  VARVE_WAL_RECOVERY, false, reader, &verdict, err);

    count_repairs(store, &verdict);
    if (rc == VARVE_OK)
        rc = check_room(store, &verdict, err);
    if (rc == VARVE_OK)
        rc = note_cut(store, &verdict, err);
    /* The log is durable before anything is made of it: replay may change the manifest. */
    if (rc == VARVE_OK)
        rc = varve_store_file_ids(store, store->version->n_segments + 1u, &first_id, err);
    if (rc == VARVE_OK)
        rc = varve_wal_recover(*reader, &verdict, first_id, direct, recovered, err);
    /* An earlier open may have cut and never have written: it has told where its log would begin. */
    if (rc == VARVE_OK && recovered->start.base_lsn < store->version->next_lsn)
        recovered->start.base_lsn = store->version->next_lsn;
    return rc == VARVE_OK ? exchange(store, &verdict, recovered, err) : rc;
}

varve_status varve_recover_writable(varve_store *store, varve_error *err)
{
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_recovered recovered = {0};
    const uint64_t limit = store->options.memory_limit;

    varve_log_take(store);
    /* A writer with more memory may have made records that this one would not. */
    varve_heap_set_limit(&store->heap, limit > VARVE_RECOVERY_BYTES ? limit : VARVE_RECOVERY_BYTES);
    varve_status rc = recover_log(store, &reader, &recovered, err);
    if (rc == VARVE_OK)
        rc = note_kept(store, err);
    if (rc == VARVE_OK)
        rc = varve_replay(store, reader, err);
    if (rc == VARVE_OK)
        rc = start_writer(store, &recovered.start, err);
    if (rc == VARVE_OK) {
        varve_apply_publish(store, store->applied.lsn);
        store->stats.lsn_durable = varve_wal_durable_lsn(store->wal);
    }
    varve_log_release(store);
    varve_wal_recovered_free(&recovered);
    varve_wal_reader_close(reader);
    if (rc == VARVE_OK) /* after a failure the message says which limit it was */
        varve_heap_set_limit(&store->heap, limit);
    return rc;
}

varve_status varve_recover_read_only(varve_store *store, bool live, varve_error *err)
{
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_verdict verdict = {0};
    uint64_t commit_lsn = 0;
    const bool salvage = (store->options.flags & VARVE_OPEN_SALVAGE) != 0;

    store->beside_writer = live;
    varve_log_take(store);
    varve_status rc = note_kept(store, err);
    if (rc == VARVE_OK)
        rc = open_reader(store, store->version, store->version->n_segments,
                         live ? VARVE_WAL_FOLLOW : VARVE_WAL_RECOVERY, salvage, &reader, &verdict,
                         err);
    count_repairs(store, &verdict);
    if (rc == VARVE_OK && live)
        rc = varve_wal_reader_refresh(reader, NULL, 0, &commit_lsn, err);
    if (rc == VARVE_OK && !live)
        rc = note_cut(store, &verdict, err);
    if (rc == VARVE_OK)
        rc = note_missing(store, reader, err);
    if (rc == VARVE_OK)
        rc = varve_replay(store, reader, err);
    if (rc == VARVE_OK) {
        varve_apply_publish(store, store->applied.lsn);
        /* Beside a writer, what it has proven durable; without one, what the next open keeps. */
        store->stats.lsn_durable = live ? varve_wal_reader_durable_lsn(reader) : store->applied.lsn;
    }
    varve_log_release(store);
    varve_wal_reader_close(reader);
    return rc;
}
