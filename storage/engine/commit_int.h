/*
 * commit_int.h - the commit queue, the log token, and what its holder does. See commit.c, turn.c,
 * judge.c, apply.c.
 */
#ifndef VARVE_ENGINE_COMMIT_INT_H
#define VARVE_ENGINE_COMMIT_INT_H

#include "storage/engine/store_int.h"

/* commit.c ------------------------------------------------------------------------------------ */

void varve_pending_push(struct varve_pending_list *list, struct varve_pending *pending);
struct varve_pending *varve_pending_pop(struct varve_pending_list *list);

/* Take the log token if it is free. */
bool varve_log_try_take(varve_store *store);
/* Wait for it. Nothing below it in the lock order may be held. */
void varve_log_take(varve_store *store);
void varve_log_release(varve_store *store);
/* Queue `pending` and wait until it is done, driving the log when nobody else does. Returns its
 * status; the detail is in pending->error. */
varve_status varve_pending_run(varve_store *store, struct varve_pending *pending);
/* Hand finished commits to whoever waits for them. A blocking one is gone afterwards. */
void varve_pending_finish(varve_store *store, struct varve_pending *pending);
void varve_pending_finish_all(varve_store *store, struct varve_pending_list *list);

/* turn.c: all require the log token ------------------------------------------------------------ */

/*
 * One turn at the log: judge and log what is queued, submit, take completions, apply. `wait`: wait
 * for the disk when nothing else is left to do. Returns whether anything was done.
 */
bool varve_log_turn(varve_store *store, bool wait);
/* Whether there is anything queued, in flight, or syncing; of a store that has failed, queued alone:
 * nothing else comes of what is in flight. */
bool varve_log_busy(varve_store *store);
bool varve_log_busy_locked(const varve_store *store) VARVE_REQUIRES(&store->queue_lock);
/* Whether anything is in flight or syncing. */
bool varve_log_pending(const varve_store *store);
/* Ask for the sync that `interval` promises if it is due; reaping drives it. */
bool varve_log_keep_interval(varve_store *store);
/* Take turns until nothing is in flight (or the store has failed). */
void varve_log_drain(varve_store *store);
/* In a store that has failed, but not its log: sync what `interval` and `os` have acknowledged. */
void varve_log_sync_last(varve_store *store);
/* The wal writer failed: fail everything that waits. */
void varve_log_fail_all(varve_store *store, const varve_error *why);

/* judge.c: all require the log token ------------------------------------------------------------ */

enum varve_judgement {
    VARVE_JUDGE_LOG = 1, /* memory is set aside; log it */
    VARVE_JUDGE_REFUSE,  /* pending->error says why */
    VARVE_JUDGE_DRAIN    /* judge again when nothing is in flight */
};
enum varve_judgement varve_judge(varve_store *store, struct varve_pending *pending);
/* After the record was appended: origins, dropped tables and the like count from now on. */
void varve_judge_accept(varve_store *store, struct varve_pending *pending);
/* The record will not be applied: give back what was set aside. */
void varve_judge_undo(varve_store *store, struct varve_pending *pending);

/* apply.c: all require the log token ------------------------------------------------------------ */

/* Make the record readable (after varve_apply_publish). Cannot fail for DATA; a SCHEMA or DROP whose
 * edit fails, but for want of memory or room, makes the store FAILED and sets pending->error. */
void varve_apply(varve_store *store, struct varve_pending *pending);
/* Everything applied so far becomes visible, up to `lsn_end`. */
void varve_apply_publish(varve_store *store, uint64_t lsn_end);

/* generation.c: all require the log token ------------------------------------------------------- */

/* Put a new memtable in front of the active one; commits in flight still go to the old one. */
varve_status varve_generation_rotate(varve_store *store, struct varve_table *table,
                                     varve_error *err);
/* Rotate what is full, old, or pins too much log. */
void varve_generations_check(varve_store *store);
/* Memory is short: rotate the largest, if no other waits to be flushed. False: a flush could free
 * nothing. */
bool varve_generations_shed(varve_store *store);
/* After everything applied has been published: retired memtables to which nothing more comes may be
 * flushed. */
void varve_generations_settle(varve_store *store);
/* Count a section in: remembers the log's state before the first record. */
varve_status varve_generation_enter(varve_store *store, struct varve_generation *generation,
                                    varve_error *err);
void varve_generation_leave(varve_store *store, struct varve_generation *generation);
/* After its memory changed: keep the store's sums. */
void varve_generation_count(varve_store *store, struct varve_generation *generation);
/* It has been applied to: the next publish makes that visible. */
void varve_generation_touch(varve_store *store, struct varve_generation *generation);
void varve_generations_publish_locked(varve_store *store) VARVE_REQUIRES(&store->view_lock);
/* The table takes no more rows (it is being dropped): its memtable counts as waiting. */
void varve_generation_stop(varve_store *store, struct varve_table *table);

/*
 * Where replay would start if `without` (may be NULL) had been flushed: the oldest point that a
 * memtable remembers, or after the last record applied. *ret_point is the caller's to free.
 */
varve_status varve_replay_point(varve_store *store, const struct varve_generation *without,
                                struct varve_log_point *ret_point, varve_error *err);

/* segment.c ------------------------------------------------------------------------------------- */

/* Size of the first one after an open. */
uint64_t varve_segment_first_bytes(const varve_store *store);
/* Make one segment and keep it ready. VARVE_END: there is one, or none could be made a moment ago.
 * Takes the manifest lock. */
varve_status varve_segment_prepare(varve_store *store, varve_error *err);
/* Log token: have the writer go on in a segment that takes a record of `payload` bytes: the ready
 * one, or one made now. VARVE_END: not now; submit or reap first. */
varve_status varve_segment_provide(varve_store *store, uint64_t payload, varve_error *err);

#endif
