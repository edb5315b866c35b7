/*
 * flush.c - WRITE 4: a memtable that takes no more rows becomes SSTables, one for each event-time
 * window that its rows touch, and leaves the log.
 *
 * States.  none -> POURING (rows through the merge into the writers) -> FINISHING (files written out
 *          and synced) -> INSTALLING (directory synced, one manifest edit) -> none. Any failure
 *          removes the files and keeps the memtable; it is tried again after a pause that grows.
 *
 * Invariants
 *   F1  The edit that names the files, the table's flushed LSN and the replay state is one edit.
 *   F2  A view sees the memtable or its files, never both, never neither.
 *   F3  The generations of a table are flushed oldest first.
 *   F4  What the files hold was durable in the log before the edit that names them.
 *
 * Threads. One holder of the flush token; the log token is taken for a moment at the end.
 */
#include <string.h>

#include "storage/engine/background_int.h"
#include "storage/engine/commit_int.h"
#include "storage/engine/edit_int.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/flush_int.h"
#include "storage/engine/reserve_int.h"
#include "storage/engine/window_int.h"
#include "storage/scan/merge.h"
#include "storage/sst/sst_writer.h"

#define ADVANCE_RETRY_US 1000000u /* after log could not be let go without a flush */

enum flush_state { FLUSH_POURING = 1, FLUSH_FINISHING, FLUSH_INSTALLING };

struct flush_file {
    struct varve_window window;
    bool outlier;
    struct varve_sst_writer *writer; /* NULL once finished */
    uint64_t partition;              /* the last one begun, counted from 1 */
    struct varve_file_entry entry;
};

struct varve_flush {
    enum flush_state state;
    struct varve_generation *generation;
    struct varve_source *source;
    struct varve_merge *merge;
    struct varve_window_plan plan;
    struct varve_column_set columns;
    struct varve_cells *cells; /* for pieces that are loaded whole */
    uint64_t partition;        /* counted from 1 */
    struct varve_span key;     /* of the current partition; borrowed from the source */
    bool in_partition;
    uint32_t n_files, n_finished;
    struct flush_file files[VARVE_FLUSH_WINDOWS];
};

static void flush_free(varve_store *store, struct varve_flush *flush)
{
    const struct varve_schema *schema = flush->generation->table->schema;

    for (uint32_t i = 0; i < flush->n_files; i++) {
        varve_sst_writer_abort(flush->files[i].writer);
        varve_sst_properties_free(&flush->files[i].entry.properties, &store->heap);
    }
    varve_merge_free(flush->merge);
    if (flush->source != NULL)
        flush->source->ops->close(flush->source);
    if (flush->cells != NULL)
        varve_free(&store->heap, flush->cells, schema->n_columns * sizeof *flush->cells);
    varve_free(&store->heap, flush, sizeof *flush);
}

/* The oldest memtable that waits; NULL: none. */
static struct varve_generation *next_generation(varve_store *store)
{
    struct varve_generation *found = NULL;

    varve_mutex_lock(&store->queue_lock);
    const bool none = store->n_flushable == 0; /* so that idle tables cost nothing */
    varve_mutex_unlock(&store->queue_lock);
    if (none)
        return NULL;
    varve_mutex_lock(&store->view_lock);
    varve_mutex_lock(&store->queue_lock);
    for (size_t i = 0; i < store->n_tables; i++) {
        struct varve_generation *g = store->tables[i]->oldest;
        if (store->tables[i]->dropped || g == NULL || !g->flushable)
            continue;
        if (found == NULL || g->start.lsn < found->start.lsn)
            found = g;
    }
    varve_mutex_unlock(&store->queue_lock);
    varve_mutex_unlock(&store->view_lock);
    return found;
}

static varve_status flush_begin(varve_store *store, struct varve_generation *generation,
                                varve_error *err)
{
    const struct varve_schema *schema = generation->table->schema;
    struct varve_memtable_view view = varve_memtable_view_of(generation->memtable);
    struct varve_flush *flush = varve_alloc_zero(&store->heap, 1, sizeof *flush);
    int64_t first, last;
    varve_status rc;

    if (flush == NULL)
        return varve_error_nomem(err, "a flush");
    flush->state = FLUSH_POURING;
    flush->generation = generation;
    varve_bitmap_set_range(flush->columns.bits, 0, schema->n_columns);
    varve_memtable_time_range(generation->memtable, &first, &last);
    flush->plan =
        varve_window_plan_of(schema, first, last, varve_memtable_bytes(generation->memtable),
                             store->options.window_seconds, varve_store_wall_us(store) / 1000000);
    flush->cells = varve_alloc_zero(&store->heap, schema->n_columns, sizeof *flush->cells);
    if (flush->cells == NULL) {
        flush_free(store, flush);
        return varve_error_nomem(err, "a flush");
    }
    rc = varve_memtable_source_open(&view, &store->heap, &flush->source, err);
    if (rc == VARVE_OK)
        rc = varve_merge_create(&store->heap, schema, NULL, &flush->merge, err);
    if (rc == VARVE_OK)
        rc = flush->source->ops->seek(flush->source, (struct varve_span){NULL, 0}, false, err);
    if (rc < 0) {
        flush_free(store, flush);
        return rc;
    }
    store->flush = flush;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Pouring */

static varve_status writer_open(varve_store *store, const struct varve_flush *flush,
                                struct flush_file *file, varve_error *err)
{
    char name[VARVE_FILE_NAME_MAX];
    struct varve_sst_writer_options options = {.schema = flush->generation->table->schema,
                                               .row_group_rows = store->options.row_group_rows};
    const int random = store->vfs->ops->random(store->vfs, options.given.uuid, 16);
    if (random < 0)
        return varve_error_os(err, random, NULL, VARVE_NO_OFFSET, "get random bytes for a file");
    /* Of which every window of the flush has one open. */
    options.row_group_bytes = store->options.memory_limit / 64;
    if (options.row_group_bytes > ((uint64_t)32 << 20))
        options.row_group_bytes = (uint64_t)32 << 20;
    options.given.window_start = file->outlier ? INT64_MIN : file->window.start;
    options.given.window_end = file->outlier ? INT64_MAX : file->window.end;
    options.given.lsn_first = varve_memtable_first_lsn(flush->generation->memtable);
    options.given.lsn_end = varve_memtable_end_lsn(flush->generation->memtable);
    varve_file_name_sst(file->entry.id, name);
    return varve_sst_writer_open(store->vfs, name, &options, &store->heap, &file->writer, err);
}

static varve_status file_open(varve_store *store, struct varve_flush *flush, bool outlier,
                              struct varve_window window, varve_error *err)
{
    struct flush_file *file = &flush->files[flush->n_files];

    assert(flush->n_files < VARVE_FLUSH_WINDOWS);
    *file = (struct flush_file){.window = window, .outlier = outlier};
    varve_status rc = varve_store_file_id(store, &file->entry.id, err);
    if (rc < 0)
        return rc;
    rc = writer_open(store, flush, file, err);
    if (rc < 0)
        varve_store_file_discard(store, VARVE_FILE_SST, file->entry.id);
    else
        flush->n_files++;
    return rc;
}

static varve_status file_for(varve_store *store, struct varve_flush *flush, int64_t time,
                             struct flush_file **ret_file, varve_error *err)
{
    const bool outlier = time < flush->plan.low || time > flush->plan.high;
    struct varve_window window = {INT64_MIN, INT64_MAX};

    if (!outlier && flush->plan.length < INT64_MAX)
        window = varve_window_of(time, flush->plan.length);
    for (uint32_t i = 0; i < flush->n_files; i++) {
        struct flush_file *file = &flush->files[i];
        if (file->outlier == outlier && (outlier || file->window.start == window.start)) {
            *ret_file = file;
            return VARVE_OK;
        }
    }
    const varve_status rc = file_open(store, flush, outlier, window, err);
    *ret_file = rc < 0 ? NULL : &flush->files[flush->n_files - 1];
    return rc;
}

/* The first row at or after `from` that does not go to the file of row `from`. */
static uint32_t same_file_end(const struct varve_flush *flush, const struct flush_file *file,
                              const struct varve_rows *rows, uint32_t from)
{
    const bool below = rows->time[from] < flush->plan.low;
    int64_t bound = file->outlier
                        ? (below ? flush->plan.low - 1 : INT64_MAX)
                        : (file->window.end == INT64_MAX ? INT64_MAX : file->window.end - 1);
    uint32_t low = from, high = rows->n;

    if (!file->outlier && bound > flush->plan.high)
        bound = flush->plan.high;
    while (low < high) { /* the first time above the bound */
        const uint32_t middle = low + (high - low) / 2;
        if (rows->time[middle] <= bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static varve_status pour_rows(varve_store *store, struct varve_flush *flush,
                              const struct varve_rows *rows, varve_error *err)
{
    for (uint32_t from = 0; from < rows->n;) {
        struct flush_file *file = NULL;
        varve_status rc = file_for(store, flush, rows->time[from], &file, err);
        if (rc < 0)
            return rc;
        if (file->partition != flush->partition) {
            rc = varve_sst_writer_begin_partition(file->writer, flush->key, err);
            if (rc < 0)
                return rc;
            file->partition = flush->partition;
        }
        const uint32_t end = same_file_end(flush, file, rows, from);
        rc = varve_sst_writer_append(file->writer, rows, from, end - from, err);
        if (rc < 0)
            return rc;
        from = end;
    }
    return VARVE_OK;
}

static varve_status begin_partition(struct varve_flush *flush, varve_error *err)
{
    struct varve_merge_input input = {.source = flush->source};
    varve_status rc = flush->source->ops->next(flush->source, &input.partition, err);

    if (rc != VARVE_OK)
        return rc;
    flush->key = input.partition.key;
    flush->partition++;
    flush->in_partition = true;
    return varve_merge_begin(flush->merge, &input, 1, INT64_MIN, INT64_MAX, false, err);
}

/* One step of the merge. VARVE_END: all partitions have been poured. */
static varve_status pour(varve_store *store, struct varve_flush *flush, varve_error *err)
{
    struct varve_merge_step step;
    varve_status rc;

    if (!flush->in_partition) {
        rc = begin_partition(flush, err);
        if (rc != VARVE_OK)
            return rc;
    }
    rc = varve_merge_next(flush->merge, &step, err);
    if (rc == VARVE_END) {
        flush->in_partition = false;
        return VARVE_OK;
    }
    if (rc < 0)
        return rc;
    if (step.source == NULL)
        return pour_rows(store, flush, step.rows, err);
    struct varve_rows rows = {.schema = flush->generation->table->schema, .columns = flush->cells};
    rc = step.source->ops->load(step.source, step.stream, step.first, step.n, &flush->columns, true,
                                &rows, err);
    return rc < 0 ? rc : pour_rows(store, flush, &rows, err);
}

/* --------------------------------------------------------------------------------- Installing */

static varve_status finish_one(struct varve_flush *flush, varve_error *err)
{
    struct flush_file *file = &flush->files[flush->n_finished];
    const varve_status rc = varve_sst_writer_finish(file->writer, &file->entry.properties, err);

    file->writer = NULL;
    flush->n_finished++;
    return rc;
}

/* The log's state at the place where replay is to start from now on. */
static void fill_replay(varve_store *store, const struct varve_log_point *point,
                        struct varve_edit *edit)
{
    *edit = (struct varve_edit){
        .set_flags = VARVE_EDIT_REPLAY | VARVE_EDIT_DURABLE | VARVE_EDIT_CLOCK,
        .replay = {.lsn = point->lsn,
                   .index = point->index,
                   .term = point->term,
                   .chain = point->chain,
                   .hlc = point->hlc,
                   .n_origins = point->n_origins,
                   .origins = point->origins,
                   .n_epochs = store->n_epochs,
                   .epochs = store->epochs},
        .durable_lsn = store->wal != NULL ? varve_wal_durable_lsn(store->wal)
                                          : store->version->durable_lsn, /* during replay */
    };
    memcpy(edit->boot_id, store->boot_id, sizeof edit->boot_id);
    varve_mutex_lock(&store->view_lock);
    edit->safe_now_us = varve_store_safe_now_locked(store);
    edit->boot_us = store->safe_boot_us;
    varve_mutex_unlock(&store->view_lock);
}

/* Up to where all records of the table are in files: its own next one, or the end of what is applied.
 * A power cut may take away again what is not durable, and with it the positions: nothing may be said
 * of those. */
static uint64_t flushed_lsn(varve_store *store, const struct varve_flush *flush, uint64_t durable)
{
    const uint64_t newer = flush->generation->next->start.lsn;
    const uint64_t end = newer < store->applied.lsn ? newer : store->applied.lsn;

    return store->wal != NULL && durable < end ? durable : end; /* replay: of a durable log */
}

static void fill_edit(varve_store *store, struct varve_flush *flush,
                      const struct varve_log_point *point, struct varve_table_marks *marks,
                      struct varve_file_entry *entries, struct varve_edit *edit)
{
    fill_replay(store, point, edit);
    *marks = (struct varve_table_marks){.table_id = flush->generation->table->schema->table_id,
                                        .retention_floor = INT64_MIN,
                                        .write_floor = INT64_MIN};
    marks->flushed_lsn = flushed_lsn(store, flush, edit->durable_lsn);
    for (uint32_t i = 0; i < flush->n_files; i++)
        entries[i] = flush->files[i].entry;
    edit->add_files = entries;
    edit->n_add_files = flush->n_files;
    edit->marks = marks;
    edit->n_marks = 1;
}

static varve_status install_edit(varve_store *store, struct varve_flush *flush,
                                 struct varve_edit *edit, varve_error *err)
{
    varve_mutex_lock(&store->manifest_lock);
    varve_status rc = VARVE_END; /* dropped meanwhile. The version does not tell: see edit.c, E1 */
    if (!flush->generation->table->dropped)
        rc = varve_store_edit_locked(store, edit, flush->generation, err);
    varve_mutex_unlock(&store->manifest_lock);
    return rc;
}

/*
 * Nothing may be in files before it is durable in the log: of a batch over several tables one part
 * would outlive a power cut and the other not. (Replay begins with a log that is durable.)
 */
static varve_status wait_for_log(varve_store *store, varve_error *err)
{
    if (store->wal == NULL)
        return VARVE_OK;
    varve_log_take(store);
    const uint64_t lsn = store->applied.lsn;
    varve_log_release(store);
    return varve_wait_durable(store, lsn, err);
}

static varve_status install(varve_store *store, struct varve_flush *flush, varve_error *err)
{
    struct varve_log_point point = {0};
    struct varve_edit edit;
    struct varve_table_marks marks;
    struct varve_file_entry entries[VARVE_FLUSH_WINDOWS];
    const int synced = store->vfs->ops->sync_dir(store->vfs);

    if (synced < 0) {
        (void)varve_error_sync_dir(err, synced, NULL);
        varve_store_fail(store, err);
        return VARVE_EIO_SYNC;
    }
    varve_status rc = wait_for_log(store, err);
    if (rc < 0)
        return rc;
    varve_log_take(store);
    rc = varve_replay_point(store, flush->generation, &point, err);
    if (rc == VARVE_OK)
        fill_edit(store, flush, &point, &marks, entries, &edit);
    varve_log_release(store);
    if (rc == VARVE_OK)
        rc = install_edit(store, flush, &edit, err);
    varve_log_point_free(&store->heap, &point);
    return rc;
}

/* Nothing that has failed is owed any more. */
static void forget_failures_locked(varve_store *store) VARVE_REQUIRES(&store->queue_lock)
{
    store->flush_error.status = VARVE_OK;
    store->flush_retry_us = 0;
    store->stats.flush_failures = 0;
    store->stats.flush_status = VARVE_OK;
}

static void installed(varve_store *store, struct varve_flush *flush)
{
    struct varve_generation *generation = flush->generation;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < flush->n_files; i++)
        bytes += flush->files[i].entry.properties.file_size;
    const uint64_t freed = generation->counted;
    flush_free(store, flush);
    store->flush = NULL;
    varve_generation_free(generation);
    varve_mutex_lock(&store->queue_lock);
    forget_failures_locked(store);
    store->stats.flushes++;
    store->n_relieved++;
    store->stats.bytes_flush += bytes;
    assert(store->n_flushable > 0 && store->waiting_bytes >= freed);
    store->n_flushable--;
    store->waiting_bytes -= freed;
    store->memtable_bytes -= freed < store->memtable_bytes ? freed : store->memtable_bytes;
    varve_cond_broadcast(&store->commit_done);
    varve_mutex_unlock(&store->queue_lock);
}

/* ---------------------------------------------------------------------------------------- Steps */

/* A table that has been dropped and still has memtables, or NULL. */
static struct varve_table *dropped_table(varve_store *store)
{
    struct varve_table *found = NULL;

    varve_mutex_lock(&store->queue_lock);
    const bool none = store->n_dropped == 0;
    varve_mutex_unlock(&store->queue_lock);
    if (none)
        return NULL;
    varve_mutex_lock(&store->view_lock);
    for (size_t i = 0; i < store->n_tables && found == NULL; i++)
        if (store->tables[i]->dropped && store->tables[i]->oldest != NULL)
            found = store->tables[i];
    varve_mutex_unlock(&store->view_lock);
    return found;
}

/* Whether a segment would go with an edit that has replay begin at `lsn` and says what has been sealed
 * since the last one; with 0, as things are. */
static bool would_trim(varve_store *store, uint64_t lsn)
{
    bool would = false;

    varve_mutex_lock(&store->view_lock);
    const struct varve_version *version = store->version;
    const uint64_t from = lsn > version->replay.lsn ? lsn : version->replay.lsn;
    if (version->n_segments > 0) {
        const struct varve_segment_entry *first = &version->segments[0];
        would = first->sealed && first->final_lsn <= from;
        varve_mutex_lock(&store->queue_lock);
        for (uint32_t i = 0; i < store->n_sealed; i++)
            would |= store->sealed[i].id == first->id && store->sealed[i].final_lsn <= lsn;
        varve_mutex_unlock(&store->queue_lock);
    }
    varve_mutex_unlock(&store->view_lock);
    return would;
}

/* Have replay begin where the first memtable does, if segments go then. VARVE_END: none would. */
static varve_status move_replay(varve_store *store)
{
    struct varve_log_point point = {0};
    struct varve_edit edit;
    varve_status rc = wait_for_log(store, NULL);

    if (rc < 0)
        return rc;
    varve_log_take(store);
    rc = varve_replay_point(store, NULL, &point, NULL);
    if (rc == VARVE_OK)
        fill_replay(store, &point, &edit);
    varve_log_release(store);
    if (rc == VARVE_OK)
        rc = would_trim(store, point.lsn) ? varve_store_edit(store, &edit, NULL) : VARVE_END;
    varve_log_point_free(&store->heap, &point);
    return rc;
}

/* Let go of the log that no memtable keeps any more, without a flush: whether some went. If that fails,
 * the next flush does it, too. */
static bool advance_replay(varve_store *store)
{
    if (store->wal == NULL)
        return false;
    varve_status rc = would_trim(store, 0) ? VARVE_OK : move_replay(store);
    if (rc == VARVE_OK)
        rc = varve_store_trim(store, NULL);
    varve_mutex_lock(&store->queue_lock);
    if (rc < 0)
        store->replay_retry_us = (uint64_t)varve_store_boot_us(store) + ADVANCE_RETRY_US;
    if (rc == VARVE_OK) {
        store->n_relieved++;
        varve_cond_broadcast(&store->commit_done);
    }
    varve_mutex_unlock(&store->queue_lock);
    return rc == VARVE_OK;
}

static bool advance_if_due(varve_store *store)
{
    const uint64_t now = (uint64_t)varve_store_boot_us(store);

    varve_mutex_lock(&store->queue_lock);
    const bool due = now >= store->replay_retry_us;
    varve_mutex_unlock(&store->queue_lock);
    return due && advance_replay(store);
}

/* Where there is nothing to flush. */
static bool advance_if_wanted(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const bool wanted = store->replay_wanted;
    store->replay_wanted = false;
    varve_mutex_unlock(&store->queue_lock);
    return wanted && advance_if_due(store);
}

/* Room for a flush that has found none. It costs no reserve, unless the manifest needs some for the edit. */
static bool find_room(varve_store *store)
{
    if (!advance_if_due(store))
        return false;
    (void)varve_obsolete_remove(store);
    return true;
}

/* Free the memtables of a table that has been dropped; views have references of their own. */
static void release_dropped(varve_store *store, struct varve_table *table)
{
    varve_log_take(store);
    varve_mutex_lock(&store->view_lock);
    struct varve_generation *garbage = table->oldest;
    table->oldest = table->active = NULL;
    varve_mutex_unlock(&store->view_lock);
    varve_log_release(store);
    varve_mutex_lock(&store->queue_lock);
    assert(store->n_dropped > 0);
    store->n_dropped--;
    for (const struct varve_generation *g = garbage; g != NULL; g = g->next) {
        assert(!g->touched && store->waiting_bytes >= g->counted);
        store->waiting_bytes -= g->counted;
        store->n_flushable -= g->flushable;
    }
    if (store->n_flushable == 0)
        forget_failures_locked(store);
    varve_mutex_unlock(&store->queue_lock);
    while (garbage != NULL) {
        struct varve_generation *next = garbage->next;
        varve_generation_free(garbage);
        garbage = next;
    }
    varve_mutex_lock(&store->queue_lock);
    store->n_relieved++; /* whoever waits for memory has some now */
    varve_cond_broadcast(&store->commit_done);
    varve_mutex_unlock(&store->queue_lock);
    (void)advance_replay(store);
}

static varve_status step_once(varve_store *store, varve_error *err)
{
    struct varve_flush *flush = store->flush;
    varve_status rc = VARVE_OK;

    switch (flush->state) {
    case FLUSH_POURING:
        rc = flush->generation->table->dropped ? VARVE_END : pour(store, flush, err);
        if (rc == VARVE_END) {
            flush->state = FLUSH_FINISHING;
            rc = VARVE_OK;
        }
        break;
    case FLUSH_FINISHING:
        if (flush->n_finished < flush->n_files)
            rc = finish_one(flush, err);
        else
            flush->state = FLUSH_INSTALLING;
        break;
    case FLUSH_INSTALLING:
        rc = install(store, flush, err);
        if (rc == VARVE_OK)
            installed(store, flush);
        break;
    }
    return rc;
}

/* Remove what a flush has written that nobody names. */
static void give_up(varve_store *store)
{
    struct varve_flush *flush = store->flush;
    uint64_t ids[VARVE_FLUSH_WINDOWS];
    const uint32_t n = flush->n_files;

    for (uint32_t i = 0; i < n; i++)
        ids[i] = flush->files[i].entry.id;
    flush_free(store, flush);
    store->flush = NULL;
    for (uint32_t i = n; i-- > 0;)
        varve_store_file_discard(store, VARVE_FILE_SST, ids[i]);
}

/* OK: there is more room now, and it is worth trying again. */
static varve_status failed(varve_store *store, varve_status rc, varve_error *err)
{
    rc = varve_heap_explain(&store->heap, rc, err);
    const bool named = varve_store_failure(store, NULL) < 0; /* the manifest may name the files */

    if (store->flush != NULL && named) {
        flush_free(store, store->flush);
        store->flush = NULL;
    } else if (store->flush != NULL) {
        give_up(store);
    }
    if (rc == VARVE_ENOSPC && !named && (find_room(store) || varve_reserve_release(store)))
        return VARVE_OK; /* the next step begins anew, with more room */
    varve_mutex_lock(&store->queue_lock);
    store->flush_failed = store->flush_attempts;
    const uint64_t failures = ++store->stats.flush_failures;
    const uint64_t pause = failures < 10 ? (uint64_t)10000 << failures : 5000000;
    const bool hurried = store->flush_hurried >= store->flush_attempts;
    store->stats.flush_status = rc;
    store->flush_retry_us = hurried ? 0 : (uint64_t)varve_store_boot_us(store) + pause;
    (void)varve_error_copy(&store->flush_error, err, rc);
    varve_cond_broadcast(&store->commit_done);
    varve_mutex_unlock(&store->queue_lock);
    return rc;
}

static varve_status run(varve_store *store, uint64_t budget_us, varve_error *err)
{
    const int64_t begun = varve_store_boot_us(store);

    if (store->flush == NULL) {
        /* First, since it needs no room, and gives back what a flush that has none may wait for. */
        struct varve_table *dropped = dropped_table(store);
        if (dropped != NULL) {
            release_dropped(store, dropped);
            return VARVE_OK;
        }
        struct varve_generation *generation = next_generation(store);
        if (generation == NULL)
            return advance_if_wanted(store) ? VARVE_OK : VARVE_END;
        varve_error detail = {0};
        varve_mutex_lock(&store->queue_lock);
        store->flush_attempts++;
        varve_mutex_unlock(&store->queue_lock);
        varve_status rc = flush_begin(store, generation, &detail);
        if (rc < 0) {
            rc = failed(store, rc, &detail);
            return rc < 0 ? varve_error_copy(err, &detail, rc) : VARVE_OK;
        }
    }
    do {
        varve_error detail = {0};
        varve_status rc = step_once(store, &detail);
        if (rc == VARVE_END) { /* the table is gone */
            give_up(store);    /* its memtables go with the next step */
            return VARVE_OK;
        }
        if (rc < 0) {
            rc = failed(store, rc, &detail);
            return rc < 0 ? varve_error_copy(err, &detail, rc) : VARVE_OK;
        }
    } while (store->flush != NULL && varve_store_boot_us(store) - begun < (int64_t)budget_us);
    if (store->flush == NULL)
        (void)varve_store_trim(store, NULL); /* no memory or no room: the next flush trims */
    return VARVE_OK;
}

/* The flush token, if it is free and nothing has failed that is not to be tried again before `now`. */
static bool try_take(varve_store *store, uint64_t now)
{
    varve_mutex_lock(&store->queue_lock);
    const bool taken = !store->flush_taken && store->flush_retry_us <= now;
    store->flush_taken |= taken;
    varve_mutex_unlock(&store->queue_lock);
    return taken;
}

static void release(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    store->flush_taken = false;
    varve_mutex_unlock(&store->queue_lock);
}

varve_status varve_flush_step(varve_store *store, uint64_t budget_us, varve_error *err)
{
    if (!try_take(store, (uint64_t)varve_store_boot_us(store)))
        return VARVE_END;
    const varve_status rc = run(store, budget_us, err);
    release(store);
    return rc;
}

varve_status varve_flush_advance(varve_store *store)
{
    if (varve_store_failure(store, NULL) < 0)
        return VARVE_END;
    if (!try_take(store, UINT64_MAX))
        return VARVE_EAGAIN;
    const bool did = advance_replay(store);
    release(store);
    return did ? VARVE_OK : VARVE_END;
}

uint64_t varve_flush_hurry(varve_store *store)
{
    varve_mutex_lock(&store->queue_lock);
    const uint64_t attempts = store->flush_attempts;
    store->flush_hurried = attempts;
    store->flush_retry_us = 0;
    varve_mutex_unlock(&store->queue_lock);
    return attempts;
}

void varve_flush_abandon(varve_store *store)
{
    if (store->flush != NULL)
        give_up(store);
}

/* ------------------------------------------------------------------------- varve_flush() */

/* Retire every memtable that holds rows. What has been applied has its place in memtables numbered
 * below *ret_end. */
static varve_status retire_all(varve_store *store, uint64_t *ret_end, varve_error *err)
{
    varve_status rc = VARVE_OK;

    varve_log_take(store);
    *ret_end = store->next_generation;
    for (size_t i = 0; i < store->n_tables && rc == VARVE_OK; i++) {
        struct varve_table *table = store->tables[i];
        if (!table->dropped && varve_memtable_rows(table->active->memtable) > 0)
            rc = varve_generation_rotate(store, table, err);
    }
    varve_log_release(store);
    return varve_heap_explain(&store->heap, rc, err);
}

bool varve_flush_is_owed(varve_store *store, uint64_t end)
{
    bool found = false;

    varve_mutex_lock(&store->view_lock);
    for (size_t i = 0; i < store->n_tables && !found; i++)
        for (const struct varve_generation *g = store->tables[i]->oldest;
             !store->tables[i]->dropped && g != NULL && g->next != NULL && !found; g = g->next)
            found = g->number < end;
    varve_mutex_unlock(&store->view_lock);
    return found;
}

/* Commits that go on meanwhile are not waited for. */
varve_status varve_flush(varve_store *store, varve_error *err)
{
    uint64_t end = 0;
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (store->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the store is open read-only");
    rc = varve_store_failure(store, err);
    if (rc == VARVE_OK)
        rc = retire_all(store, &end, err);
    const uint64_t before = varve_flush_hurry(store);
    while (rc == VARVE_OK && varve_flush_is_owed(store, end)) {
        const bool did = varve_background_step(store); /* commits on their way to it, too */
        varve_mutex_lock(&store->queue_lock);
        if (store->flush_failed > before && store->flush_error.status < 0)
            rc = varve_error_copy(err, &store->flush_error, VARVE_EIO);
        else if (!did) /* another thread is at it */
            (void)varve_cond_wait_for(&store->commit_done, &store->queue_lock, 1000);
        varve_mutex_unlock(&store->queue_lock);
        if (rc == VARVE_OK)
            rc = varve_store_failure(store, err);
    }
    return rc;
}
