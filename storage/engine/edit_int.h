/*
 * edit_int.h - changes of the manifest. See edit.c.
 */
#ifndef VARVE_ENGINE_EDIT_INT_H
#define VARVE_ENGINE_EDIT_INT_H

#include "storage/engine/store_int.h"

/*
 * Apply `edit` (at most 8 segments) and make the new version current. `flushed` (may be NULL) is its
 * table's oldest memtable, which the edit's files replace: it leaves the table in the same moment
 * and is the caller's to free. A failure changes nothing, unless it makes the store FAILED.
 * `edit->put_segments` is NULL afterwards.
 */
varve_status varve_store_edit_locked(varve_store *store, struct varve_edit *edit,
                                     struct varve_generation *flushed, varve_error *err)
    VARVE_REQUIRES(&store->manifest_lock);
varve_status varve_store_edit(varve_store *store, struct varve_edit *edit, varve_error *err);

/*
 * Put a new table (or, `drop`, its end) into the manifest, after its record is durable in the log.
 * When the edit fails and leaves nothing in doubt it is owed, and that is OK: every edit writes what is
 * owed first. Nothing may be owed before. A drop sets table->dropped. Log token.
 */
varve_status varve_store_edit_table(varve_store *store, struct varve_table *table, bool drop,
                                    varve_error *err);
/* Write what is owed. An error: it still is. */
varve_status varve_store_settle(varve_store *store, varve_error *err);

/* The same for any number of segments, while the store is being opened: a failure fails the open. */
varve_status varve_store_edit_many_locked(varve_store *store, struct varve_edit *edit,
                                          varve_error *err) VARVE_REQUIRES(&store->manifest_lock);

/* Start a new generation of the manifest, at an open: a doubtful tail is met only once. */
varve_status varve_store_begin_generation(varve_store *store, varve_error *err);

/* File numbers that no file of the store has had, in this life of it or another. */
varve_status varve_store_file_id(varve_store *store, uint64_t *ret_id, varve_error *err);
varve_status varve_store_file_ids(varve_store *store, uint64_t n, uint64_t *ret_first,
                                  varve_error *err);
/* Remove the file that was to have the id, and that no manifest names, if it is there. Its id is given
 * again, unless a later one is in use: else each attempt on a full disk would take some, and the manifest,
 * which persists them, room that there is not. Of several files the newest first. */
void varve_store_file_discard(varve_store *store, enum varve_file_kind kind, uint64_t id);

/* Remember that a segment has been sealed, for the next edit. */
void varve_store_note_sealed(varve_store *store, const struct varve_segment_entry *entry);

/* Drop the segments that end at or below the replay LSN. */
varve_status varve_store_trim(varve_store *store, varve_error *err);

#endif
