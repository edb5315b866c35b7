/*
 * merge.h - READ 2: the sorted streams of one partition become one, write times deciding.
 *
 * Place.   A scan merges what its sources give for a partition; a flush merges the versions that a
 *          memtable holds; compaction is its third customer. Where streams do not overlap there is
 *          no merge, only concatenation: a whole piece is passed on unread, so that an aggregation
 *          can answer it from its zone map. Where they overlap the work is on runs of rows, not
 *          row by row, as long as one stream stays below the others.
 *
 * Invariants
 *   G1  Rows come in key order (reverse: batches in descending order, rows inside ascending), each
 *       key once in 'upsert', 'first' and 'error' tables.
 *   G2  The result does not depend on which stream a version came from, nor on their number.
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
    struct varve_source *source;  /* a piece: where it can be loaded from; NULL: merged rows */
    uint32_t             stream;
    uint32_t             first;   /* a piece: the rows [first, first + n) of it count */
    uint32_t             n;
    bool                 whole;   /* a piece: all its rows count */
    struct varve_piece   piece;
    const struct varve_rows *rows; /* merged rows, all n of them; borrowed until the next step */
};

/* `columns`: what merged rows must hold (clustering columns are added). `stamps`: the taker wants
 * wt, exp and exceptions (a flush). Columns needed to decide liveness are loaded as needed. */
varve_status varve_merge_create(struct varve_heap *heap, const struct varve_schema *schema,
                                const struct varve_column_set *columns, bool stamps,
                                struct varve_merge **ret_merge, varve_error *err);
void varve_merge_free(struct varve_merge *merge);

struct varve_merge_input {
    struct varve_source    *source;
    struct varve_partition  partition;
};

/* Begin a partition: rows with first <= time <= last of every input. */
varve_status varve_merge_begin(struct varve_merge *merge, const struct varve_merge_input *inputs,
                               uint32_t n, int64_t first, int64_t last, bool reverse,
                               varve_error *err);
/* VARVE_END after the last. Rows given are within [first, last]; rows that do not exist (R: all
 * absent or deleted) are still among them. */
varve_status varve_merge_next(struct varve_merge *merge, struct varve_merge_step *ret_step,
                              varve_error *err);

#endif
