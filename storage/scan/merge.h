/*
 * merge.h - READ 2: the sorted streams of one partition become one, write times deciding.
 *
 * Place.   A scan merges what its sources give for a partition; a flush merges the versions that a
 *          memtable holds; compaction is its third customer. Where streams do not overlap there is
 *          no merge, only concatenation: a piece is passed on unread, so that an aggregation can
 *          answer it from its zone map. Where they overlap the work is on runs of rows, not row by
 *          row, as long as one stream stays below the others.
 *
 * Invariants
 *   G1  Rows come in key order (reverse: steps in descending order, rows inside ascending), each
 *       key once in 'upsert', 'first' and 'error' tables.
 *   G2  The result does not depend on which stream a version came from, nor on their number.
 *   G3  A piece is passed on only if no other stream has a row between its first and last row, and
 *       none at their times.
 *
 * Threads. None.
 */
#ifndef VARVE_SCAN_MERGE_H
#define VARVE_SCAN_MERGE_H

#include "storage/rows/source.h"

struct varve_merge;

/* One step's result: either a piece that no other stream overlaps, to be loaded (or not) by the
 * taker, or merged rows. */
struct varve_merge_step {
    struct varve_source *source; /* a piece: where it can be loaded from; NULL: merged rows */
    uint32_t stream;
    uint32_t first; /* the rows [first, first + n) of the piece or of `rows` count; forward, */
    uint32_t n;     /* merged rows count all: first is 0 and n is rows->n */
    bool whole;     /* a piece: all its rows count */
    bool plain;     /* every row exists, now and later */
    struct varve_piece piece;
    const struct varve_rows *rows; /* merged; borrowed until the next step */
};

/*
 * `columns`: what merged rows must hold (clustering columns are added; NULL: all). Merged rows that
 * are not plain hold all value columns, because they decide whether a row exists. Stamps (wt, exp,
 * exceptions) are always there.
 */
varve_status varve_merge_create(struct varve_heap *heap, const struct varve_schema *schema,
                                const struct varve_column_set *columns,
                                struct varve_merge **ret_merge, varve_error *err);
void varve_merge_free(struct varve_merge *merge);

struct varve_merge_input {
    struct varve_source *source;
    struct varve_partition partition;
};

/* Begin a partition: rows with first <= time <= last of every input. May be called before the
 * partition begun last has come to its end. */
varve_status varve_merge_begin(struct varve_merge *merge, const struct varve_merge_input *inputs,
                               uint32_t n, int64_t first, int64_t last, bool reverse,
                               varve_error *err);
/* VARVE_END after the last. Rows given are within [first, last]; rows that do not exist (everything
 * absent or deleted) are still among them. After a failure begin anew or free. */
varve_status varve_merge_next(struct varve_merge *merge, struct varve_merge_step *ret_step,
                              varve_error *err);

#endif
