/*
 * wal_recovery.h - the end of recovery: what was accepted is made durable, before anything is served
 * for writing.
 *
 * Place.   The engine opens a reader (RECOVERY), calls this, and exchanges the segments in one
 *          manifest edit, together with durable_lsn = recovered_to. Only then it applies the reader's
 *          records, which may reach the manifest and files, and makes a writer from `start`.
 *
 * A segment is kept as it is if the manifest lists it as sealed, or its seal page is VALID and the
 * evidence says that its whole payload was synced. Every later one that holds records is copied up
 * to the cut into a new segment (new id and uuid, same base LSN and history), sealed and synced.
 * Segments without records and those behind the cut are dropped: no file that an earlier process
 * may still have had writes in flight to is ever written again.
 *
 * base_lsn of what comes next lies beyond every position that the listed segments had room for, so
 * that no LSN is given twice, whatever was lost with the cut.
 *
 * What is copied is read a second time: if that is not what was accepted, nothing is copied (ECORRUPT).
 * A record with extensions that this version skips cannot be copied (EVERSION): a copy without them
 * would move every position behind it.
 *
 * Threads. None.
 */
#ifndef VARVE_WAL_WAL_RECOVERY_H
#define VARVE_WAL_WAL_RECOVERY_H

#include "storage/wal/wal_reader.h"
#include "storage/wal/wal_writer.h"

struct varve_wal_recovered {
    struct varve_wal_listed *segments; /* the new list, all sealed, in order */
    uint32_t n_segments;
    uint32_t n_dropped;
    uint64_t *dropped; /* ids that leave the list (their files stay until the next checkpoint) */
    uint64_t next_id;  /* the first id not used for a copy */
    struct varve_wal_start start;
    struct varve_heap *heap;
    uint32_t capacity; /* of both arrays */
};

/*
 * Carry it out for a reader opened with VARVE_WAL_RECOVERY whose verdict did not refuse (EINVAL
 * otherwise: not a byte is written after a refusal). Copies get the ids first_id, first_id + 1, ...,
 * at most one for each listed segment. On failure the copies are removed again, as far as the disk
 * allows; they are not listed. ECORRUPT also: the first segment follows one with an id that has not
 * been given yet. The reader then gives its records from the first one on, out of the old
 * segments. Running it again after a crash gives the same log.
 */
varve_status varve_wal_recover(struct varve_wal_reader *reader,
                               const struct varve_wal_verdict *verdict, uint64_t first_id,
                               bool direct, struct varve_wal_recovered *ret, varve_error *err);
void varve_wal_recovered_free(struct varve_wal_recovered *recovered); /* all zero is a no-op */

#endif
