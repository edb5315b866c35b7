/*
 * memtable.h - WRITE 3: the rows of one table that are not in files yet, readable at once.
 *
 * Place.   The engine applies a committed record's section here, in log order. Past a size or an
 *          age the engine freezes the memtable and flushes it to files through the same source as
 *          a reader's; it is freed when the manifest names those files and no view needs it.
 * States.  MUTABLE --freeze--> FROZEN --last unref--> gone.
 *
 * Form.    Append-only memory in slabs, addressed by 32-bit positions. A row that arrives alone is a
 *          compact record in its partition's chain. Once a partition can afford chunks of columns
 *          (a batch brings many rows at once, or enough came one by one) rows in key order go to
 *          its main run and others to its side chunks, in order of arrival. A view is clipped by
 *          comparing ordinals of commits (chunks) and positions (records), so it never sees half a
 *          commit.
 * Size.    At most VARVE_MEMTABLE_PARTITION_BYTES a partition and VARVE_MEMTABLE_ROW_BYTES a row
 *          beyond the raw columns, for rows whose cells are live and have the commit's stamps; 16
 *          bytes a commit; a slab and a pile block of slack. Raw: 8 bytes of time, fixed widths
 *          (a bare decimal has 9), text and 4 bytes for each, the key once a partition, and in
 *          'keep' and 'first' tables 4 bytes of position.
 *
 * Invariants
 *   M1  In the main run of a partition keys strictly ascend ('keep': hidden suffix included).
 *   M2  Nothing that a reader can reach is changed or moved; counts and links are published with
 *       release stores after what they cover. Bounds of times only widen.
 *   M3  varve_memtable_bytes() is what the memtable holds from the heap, exactly.
 *   M4  Each row stands once: in the main run, a side chunk or the chain of its partition; each
 *       partition has a row and one slot of the hash index.
 *   M5  What reservations promise is there at any moment (slab_space.c, L1 and L3).
 *   varve_memtable_check() verifies M1, M3, M4 and the bounds; tests call it after operations.
 *
 * Threads. One applier at a time (the engine's apply token) beside any number of readers, who take
 *          no lock. Reference counts are atomic.
 */
#ifndef VARVE_MEMTABLE_MEMTABLE_H
#define VARVE_MEMTABLE_MEMTABLE_H

#include "storage/batch/batch.h"
#include "storage/rows/source.h"

#define VARVE_MEMTABLE_PARTITION_BYTES 96u
#define VARVE_MEMTABLE_ROW_BYTES 8u

struct varve_memtable;

/* What apply takes from the record; replay and replicas give the same. */
struct varve_apply {
    uint64_t lsn; /* of the record */
    uint64_t lsn_end;
    int64_t hlc; /* write time of rows that have VARVE_WT_COMMIT */
    uint32_t writer;
    uint32_t reserved;
    int64_t floor; /* rows with an event time below it are dropped and counted; INT64_MIN: none */
};

varve_status varve_memtable_create(struct varve_heap *heap, const struct varve_schema *schema,
                                   struct varve_memtable **ret_table, varve_error *err);
struct varve_memtable *varve_memtable_ref(struct varve_memtable *table);
void varve_memtable_unref(struct varve_memtable *table); /* NULL is a no-op */

/*
 * Set memory aside so that applying `section` later cannot fail; reservations add up, each apply
 * consumes its own. ENOMEM or ELIMIT (4 GiB): nothing is changed. Like apply and unreserve, this
 * needs the apply token. The section's schema may be an older version, with fewer columns.
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
/* Make everything applied so far visible to views taken from now on. One record may touch several
 * tables: the engine publishes them together, and takes views, under its view lock. */
void varve_memtable_publish(struct varve_memtable *table);
void varve_memtable_freeze(struct varve_memtable *table);

/* Whether any visible-or-not row has this key ('error' tables): time, clustering values of row `i`
 * of the section. */
bool varve_memtable_has_key(const struct varve_memtable *table, const struct varve_section *section,
                            uint32_t i);

size_t varve_memtable_bytes(const struct varve_memtable *table);
uint64_t varve_memtable_rows(const struct varve_memtable *table);
uint64_t varve_memtable_partitions(const struct varve_memtable *table);
/* LSN of the first record applied (UINT64_MAX: none) and the end of the last. */
uint64_t varve_memtable_first_lsn(const struct varve_memtable *table);
uint64_t varve_memtable_end_lsn(const struct varve_memtable *table);
/* Times and write times of all rows; first > last: no rows. */
void varve_memtable_time_range(const struct varve_memtable *table, int64_t *ret_first,
                               int64_t *ret_last);

/* A fixed state of a memtable: everything published when it was taken. A plain value. Take it under
 * the lock that excludes publish. */
struct varve_memtable_view {
    struct varve_memtable *table; /* borrowed; the holder has a reference */
    uint64_t ordinal;             /* commits below it are visible */
    uint64_t position;            /* records below it are visible */
    uint32_t partitions;          /* the first so many */
};
struct varve_memtable_view varve_memtable_view_of(struct varve_memtable *table);

/*
 * A source over a view. Rows of a piece may repeat a key (versions, in order of apply, older first:
 * merge them in order) only within a stream whose pieces lack VARVE_PIECE_UNIQUE; two streams may
 * hold versions of one key too. Stream 0 is the main run if the partition has one in range: its
 * pieces are UNIQUE and borrow fixed-width columns from the memtable. `heap` pays for scratch
 * memory; the source has a reference to the table.
 */
varve_status varve_memtable_source_open(const struct varve_memtable_view *view,
                                        struct varve_heap *heap, struct varve_source **ret_source,
                                        varve_error *err);

/* Verify the invariants, O(rows); for tests. */
bool varve_memtable_check(const struct varve_memtable *table);

#endif
