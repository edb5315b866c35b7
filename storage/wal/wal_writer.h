/*
 * wal_writer.h - WRITE 2: records into pages, pages into segments, groups of them to the disk, up
 * to four at a time, acknowledged in order.
 *
 * Place.   The engine's commit leader begins a group, appends records, submits it; whoever holds
 *          the log token reaps. A background task makes segments ahead of need.
 * States.  writer: OPEN -> FAILED (for ever: the first error is kept). Group: FREE -> OPEN (one) ->
 *          IN FLIGHT -> FREE, given back in the order of submission.
 *          segment: made -> zeroed, synced, named in the directory (READY) -> its header written and
 *          synced -> listed in the manifest, with its base LSN, by the engine -> current -> sealed.
 *
 * Invariants
 *   W1  Group k is reported only after all groups before it; when one fails, it and all that
 *       have not finished fail, and nothing is written any more. A failed sync or write is never repeated.
 *   W2  A buffer in flight is not touched, and no two writes in flight overlap.
 *   W3  A durable group begins on a new page; a page is written again only if it was the partial
 *       last page of a group that was not durable, that write has completed, and no sync that
 *       covers it has been submitted.
 *   W4  durable_lsn covers a byte only after a DSYNC write of it, or a sync submitted after its
 *       write, has completed, and the same holds for every byte before it.
 *   W5  A page's durable_lsn is the writer's when the page was submitted.
 *   W6  A segment's header is durable before the segment is listed, and it is listed before anything
 *       else is written to it: a listed segment without a header has been damaged. Every segment is
 *       sealed and durable before durable_lsn passes its end.
 *
 * Threads. None: the engine serialises calls with its log token. varve_wal_segment_* on a segment
 *          that is not in use yet may run beside it.
 */
#ifndef VARVE_WAL_WAL_WRITER_H
#define VARVE_WAL_WAL_WRITER_H

#include <varve/vfs.h>

#include "storage/wal/wal_format.h"

struct varve_heap;
struct varve_wal_segment; /* one file, from its making to its seal */
struct varve_wal_writer;

#define VARVE_WAL_DEPTH_MAX 4u
#define VARVE_WAL_STEP_MAX (1u << 20) /* bytes zeroed in a step */

/* Normal outcomes of varve_wal_append() and the like, besides VARVE_OK. */
enum varve_wal_outcome {
    VARVE_WAL_FULL = 1,    /* submit the open group, then try again */
    VARVE_WAL_BUSY = 2,    /* every group is in flight: reap, then try again */
    VARVE_WAL_SEGMENT = 3, /* use a next segment (large enough for the record), then try again */
};

/* ------------------------------------------------------------------------------------- Segments */

/* Make the file of a new segment of `size` bytes (a multiple of 4096, VARVE_WAL_SEGMENT_MIN to
 * _MAX), with a random uuid. EINVAL for another size. On failure no file is left that could be. */
varve_status varve_wal_segment_create(struct varve_vfs *vfs, struct varve_heap *heap, uint64_t id,
                                      uint64_t size, bool direct,
                                      struct varve_wal_segment **ret_segment, varve_error *err);
/*
 * One step of preparing it: write up to VARVE_WAL_STEP_MAX bytes of zeros, then the sync, then the
 * directory's. VARVE_OK: call again; VARVE_END: READY. After a
 * failure discard it (ENOSPC included).
 */
varve_status varve_wal_segment_step(struct varve_wal_segment *segment, varve_error *err);
uint64_t varve_wal_segment_id(const struct varve_wal_segment *segment);
uint64_t varve_wal_segment_size(const struct varve_wal_segment *segment);
const uint8_t *varve_wal_segment_uuid(const struct varve_wal_segment *segment); /* 16 bytes */
bool varve_wal_segment_ready(const struct varve_wal_segment *segment);
/* Close it, and with `unlink` remove the file (only if no manifest names it). NULL is a no-op. */
void varve_wal_segment_close(struct varve_wal_segment *segment, bool unlink);

/* --------------------------------------------------------------------------------------- Writer */

struct varve_wal_options {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    uint8_t store_uuid[16];
    uint32_t depth;       /* groups in flight, 1 .. VARVE_WAL_DEPTH_MAX; 0: 4 */
    uint32_t group_bytes; /* payload bytes after which a group is full, at most 1 MiB; 0: that */
};

/* Where the log goes on: what varve_wal_recover() found, or all zero with base_lsn for a new store. */
struct varve_wal_start {
    uint64_t prev_id; /* the last sealed segment; 0: none */
    uint8_t prev_uuid[16];
    uint64_t prev_final_lsn; /* end of what was recovered; <= base_lsn */
    uint64_t prev_digest;
    uint64_t base_lsn; /* of the first segment used */
    uint64_t index, term, chain;
    int64_t hlc;
};

struct varve_wal_counters {
    uint64_t bytes_submitted; /* whole pages, without pre-zeroing */
    uint64_t bytes_zeroed;    /* of the segments used */
    uint64_t groups, writes, rewrites, segments, records;
    uint64_t syncs; /* syncs and DSYNC writes */
};

/* A group that has come to its end. */
struct varve_wal_group_done {
    uint64_t ticket;     /* what varve_wal_submit() gave */
    uint64_t lsn_end;    /* after its last record */
    varve_status status; /* VARVE_OK, or what made the writer fail (varve_wal_error()) */
};

/* Nothing is written before the first group. `start` is copied. */
varve_status varve_wal_writer_create(const struct varve_wal_options *options,
                                     const struct varve_wal_start *start,
                                     struct varve_wal_writer **ret_writer, varve_error *err);
/* Wait for what is in flight, then free; segments are closed, not removed. Nothing is sealed or
 * synced: see varve_wal_seal(). NULL is a no-op. */
void varve_wal_writer_destroy(struct varve_wal_writer *writer);

/*
 * Seal the current segment and write the header of a READY one that is to come next, durably. Its
 * base LSN is fixed with that: the caller lists it in the manifest, then calls varve_wal_use_next().
 * VARVE_OK, VARVE_WAL_FULL (submit the open group first), VARVE_WAL_BUSY, or an error: the writer's
 * own, EINVAL (not READY), ELIMIT (no positions are left), or that of writing the header, after which
 * the segment has to be discarded. It stays the caller's in any case; if it cannot be listed it may
 * be prepared again.
 */
int varve_wal_prepare_next(struct varve_wal_writer *writer, struct varve_wal_segment *segment,
                           uint64_t *ret_base_lsn, varve_error *err);
/* Go on in `segment`, the last one prepared, which the manifest lists: it is the writer's now. */
void varve_wal_use_next(struct varve_wal_writer *writer, struct varve_wal_segment *segment);

/*
 * Begin a group. `durable`: its end is reported only when every log byte up to it is synced. A
 * durable group may hold records of weaker policies, not the other way round. 0, VARVE_WAL_BUSY, or
 * an error. A group is open until it is submitted.
 */
int varve_wal_begin(struct varve_wal_writer *writer, bool durable, varve_error *err);

/*
 * Copy a record into the open group. The caller fills type, flags (BULK or 0), group 0, term,
 * commit, hlc, origin*, replica, writer and payload_hash (0 without a payload); lsn, index,
 * payload_size, logical_hash and chain are filled in here (index follows the last one).
 * 0, an enum varve_wal_outcome, or an error: EINVAL, ELIMIT (payload above
 * varve_wal_payload_limit() of the segment it would go to), ENOMEM: nothing changed.
 */
int varve_wal_append(struct varve_wal_writer *writer, struct varve_wal_record *record,
                     struct varve_span payload, uint64_t *ret_lsn_end, varve_error *err);

/* Payload bytes in the open group. */
uint64_t varve_wal_group_bytes(const struct varve_wal_writer *writer);

/*
 * Submit the open group. An empty one is just closed (VARVE_END, no ticket). Always VARVE_OK
 * otherwise: when the writer fails, here or earlier, varve_wal_reap() reports the group as failed.
 */
varve_status varve_wal_submit(struct varve_wal_writer *writer, uint64_t *ret_ticket);
/* Forget the open group, if there is one. Only when nothing will be appended any more: positions and
 * chain have moved over its records. */
void varve_wal_drop(struct varve_wal_writer *writer);

/*
 * Take note of what has finished, waiting up to `timeout_us` for something if `wait` and anything is
 * in flight; give up to `max` groups in order. Returns their number, 0 if there is none yet. After a
 * failure every group comes at once, with its status.
 */
int varve_wal_reap(struct varve_wal_writer *writer, bool wait, uint64_t timeout_us,
                   struct varve_wal_group_done *out, uint32_t max);
uint32_t varve_wal_in_flight(const struct varve_wal_writer *writer); /* groups not yet given back */

/* Start making all bytes written so far durable (interval's tick, wait_durable): varve_wal_reap()
 * drives it, varve_wal_durable_lsn() tells. VARVE_END: nothing to do. */
varve_status varve_wal_sync(struct varve_wal_writer *writer, varve_error *err);
/* True while a sync is asked for or under way, so that someone should keep reaping. */
bool varve_wal_syncing(const struct varve_wal_writer *writer);
/* Or while anything else is on its way to the disk, a page that only carries evidence too. */
bool varve_wal_busy(const struct varve_wal_writer *writer);

/*
 * With nothing in flight: write an idle seal, so that what was acknowledged has evidence and readers
 * elsewhere see it. VARVE_OK: reap until nothing is in flight (no ticket is given for it). VARVE_END:
 * there is nothing new to tell. VARVE_WAL_BUSY: something is in flight or open.
 */
int varve_wal_idle_seal(struct varve_wal_writer *writer, varve_error *err);

/*
 * Clean close: seal the current segment and wait until everything is durable. EINVAL while a group
 * is open or not yet given back. VARVE_END: no segment was ever used. Afterwards ask
 * varve_wal_sealed(), then destroy.
 */
varve_status varve_wal_seal(struct varve_wal_writer *writer, varve_error *err);

/* Segments sealed and durable since the last call, oldest first, for the manifest; false: none. */
bool varve_wal_sealed(struct varve_wal_writer *writer, uint64_t *ret_id, uint64_t *ret_base_lsn,
                      struct varve_wal_seal *ret_seal);

/* Visibility for readers elsewhere, written with the next pages. Only grows. */
void varve_wal_set_commit_lsn(struct varve_wal_writer *writer, uint64_t lsn);
uint64_t varve_wal_commit_lsn(const struct varve_wal_writer *writer);
uint64_t varve_wal_durable_lsn(const struct varve_wal_writer *writer);
uint64_t
varve_wal_written_lsn(const struct varve_wal_writer *writer); /* completed writes, in order */
uint64_t
varve_wal_appended_lsn(const struct varve_wal_writer *writer); /* next record's, in this segment */
uint64_t varve_wal_last_index(const struct varve_wal_writer *writer);
/* The segment being written, or 0; its base LSN. */
uint64_t varve_wal_current_segment(const struct varve_wal_writer *writer, uint64_t *ret_base_lsn);
/* VARVE_OK, or the status of a FAILED writer, copied to `err`. */
varve_status varve_wal_error(const struct varve_wal_writer *writer, varve_error *err);
void varve_wal_counters_get(const struct varve_wal_writer *writer, struct varve_wal_counters *out);

#endif
