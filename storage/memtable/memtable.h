/*
 * memtable.h - WRITE 3: the rows of one table that are not in files yet, readable at once.
 *
 * Place.   The engine applies a committed record's section here, in log order. Past a size or an
 *          age the engine freezes the memtable and flushes it to files through the same source as
 *          a reader's; it is freed when the manifest names those files and no view needs it.
 * States.  MUTABLE --freeze--> FROZEN --last unref--> gone.
 *
 * Form.    Append-only memory in slabs, addressed by 32-bit positions. A partition begins small:
 *          rows are compact records in a chain. From some 16 rows on it is large: chunks of columns
 *          in key order (the main run), and side chunks for rows that came late. Every row carries
 *          the ordinal of its commit; ordinals ascend in the order of apply, so a view is clipped
 *          by comparing ordinals and never sees half a commit.
 *
 * Invariants
 *   M1  In the main run of a partition keys strictly ascend... (the module's file says them all)
 *   M2  Nothing that a reader can reach is changed or moved; counts and links are published with
 *       release stores after what they cover.
 *   M3  varve_memtable_bytes() is what the memtable holds from the heap, exactly.
 *
 * Threads. One applier at a time (the engine's apply token) beside any number of readers, who take
 *          no lock. Reference counts are atomic.
 */
#ifndef VARVE_MEMTABLE_MEMTABLE_H
#define VARVE_MEMTABLE_MEMTABLE_H

#include "storage/batch/batch.h"
#include "storage/rows/source.h"

struct varve_memtable;

/* What apply takes from the record; replay and replicas give the same. */
struct varve_apply {
    uint64_t lsn;     /* of the record */
    uint64_t lsn_end;
    int64_t  hlc;     /* write time of rows that have VARVE_WT_COMMIT */
    uint32_t writer;
    uint32_t reserved;
    int64_t  floor;   /* rows with an event time below it are dropped and counted; INT64_MIN: none */
};

varve_status varve_memtable_create(struct varve_heap *heap, const struct varve_schema *schema,
                                   struct varve_memtable **ret_table, varve_error *err);
struct varve_memtable *varve_memtable_ref(struct varve_memtable *table);
void varve_memtable_unref(struct varve_memtable *table); /* NULL is a no-op */

/*
 * Set memory aside so that applying `section` later cannot fail; reservations add up, each apply
 * consumes its own. ENOMEM or ELIMIT: nothing is changed. May be called while another thread
 * applies? No: both need the apply token.
 */
varve_status varve_memtable_reserve(struct varve_memtable *table,
                                    const struct varve_section *section, varve_error *err);
/* Give back the reservation of a section that will not be applied (its commit failed). */
void varve_memtable_unreserve(struct varve_memtable *table, const struct varve_section *section);

/* Add all rows under the next commit ordinal. Cannot fail after a reservation. Returns rows
 * dropped below the floor. The commit becomes visible to views taken after
 * varve_memtable_publish(). */
uint64_t varve_memtable_apply(struct varve_memtable *table, const struct varve_section *section,
                              const struct varve_apply *apply);
/* Make everything applied so far visible to views taken from now on (one record may touch several
 * tables; the engine publishes them together under its view lock). */
void varve_memtable_publish(struct varve_memtable *table);
void varve_memtable_freeze(struct varve_memtable *table);

/* Whether any visible-or-not row has this key ('error' tables): time, clustering values of row `i`
 * of the section. */
bool varve_memtable_has_key(const struct varve_memtable *table, const struct varve_section *section,
                            uint32_t i);

size_t   varve_memtable_bytes(const struct varve_memtable *table);
uint64_t varve_memtable_rows(const struct varve_memtable *table);
uint64_t varve_memtable_partitions(const struct varve_memtable *table);
/* LSN of the first record applied (UINT64_MAX: none) and the end of the last. */
uint64_t varve_memtable_first_lsn(const struct varve_memtable *table);
uint64_t varve_memtable_end_lsn(const struct varve_memtable *table);
/* Times and write times of all rows; first > last: no rows. */
void varve_memtable_time_range(const struct varve_memtable *table, int64_t *ret_first,
                               int64_t *ret_last);

/* A fixed state of a memtable: everything published when it was taken. A plain value. */
struct varve_memtable_view {
    struct varve_memtable *table; /* borrowed; the holder has a reference */
    uint64_t               ordinal; /* commits below it are visible */
    uint32_t               partitions;
};
struct varve_memtable_view varve_memtable_view_of(struct varve_memtable *table);

/*
 * A source over a view. Rows of a piece may repeat a key (versions, in order of apply, older first:
 * merge them in order) only within a stream whose pieces lack VARVE_PIECE_UNIQUE; two streams may
 * hold versions of one key too. `heap` pays for scratch memory.
 */
varve_status varve_memtable_source_open(const struct varve_memtable_view *view,
                                        struct varve_heap *heap, struct varve_source **ret_source,
                                        varve_error *err);

/* Verify the invariants, O(rows); for tests. */
bool varve_memtable_check(const struct varve_memtable *table);

#endif
