/*
 * source.h - a place where rows live, as a reader sees it: a memtable clipped at a commit, or a
 * file. The currency between the write path's layers and the scan; a flush reads through it too.
 *
 * A source iterates over its partitions in key byte order, forward or in reverse. For a current
 * partition it gives *pieces* in key order: up to 1,024 consecutive sorted rows each. A source may
 * offer several streams for one partition (a memtable: in-order rows and late rows), each sorted
 * by itself; the scan merges streams as it merges sources.
 *
 * A piece is only a description (rows, first and last time, flags) until `load` is called: times
 * first, then what predicates need, then the rest. Rows inside a piece always ascend, whatever the
 * direction; only the order of pieces is reversed.
 *
 * Threads. A source belongs to one thread; several sources may read one memtable or file at once.
 */
#ifndef VARVE_ROWS_SOURCE_H
#define VARVE_ROWS_SOURCE_H

#include "storage/rows/rows.h"

#define VARVE_STREAMS_MAX 2u /* a source's streams for one partition */

enum varve_piece_flags {
    VARVE_PIECE_PLAIN = 1, /* every marker is live: each row exists */
    VARVE_PIECE_ZONED = 2, /* zone maps describe exactly these rows (whole vector, one partition) */
    VARVE_PIECE_EXPIRY = 4, /* some cell or marker may expire */
    VARVE_PIECE_UNIQUE = 8  /* keys strictly ascend inside and on to the stream's next piece (late
                               rows of a memtable may be versions of a key, the older first) */
};

struct varve_piece {
    uint32_t rows;
    uint32_t flags; /* enum varve_piece_flags */
    int64_t first_time;
    int64_t last_time;
    int64_t min_wt, max_wt; /* bounds, not necessarily tight */
    uint32_t min_expiry;    /* 0: nothing expires */
    uint32_t reserved;
    uint64_t handle[4]; /* the source's */
};

/* One partition as a source knows it. */
struct varve_partition {
    struct varve_span key; /* borrowed until the source moves on */
    uint64_t rows;         /* upper bound */
    int64_t first_time;    /* bounds of its rows' times; exact in a file */
    int64_t last_time;
    uint64_t handle[4];
};

struct varve_source;

struct varve_source_ops {
    /*
     * Position before the first partition whose key is >= `key` (empty: the first of all); in
     * reverse before the last whose key is < `key` (empty: the last of all).
     */
    varve_status (*seek)(struct varve_source *source, struct varve_span key, bool reverse,
                         varve_error *err);
    /* The next partition in the direction of the last seek; VARVE_END after the last. */
    varve_status (*next)(struct varve_source *source, struct varve_partition *ret_partition,
                         varve_error *err);
    /* Look one key up (through the filter where there is one). VARVE_END: it is not there. */
    varve_status (*find)(struct varve_source *source, struct varve_span key,
                         struct varve_partition *ret_partition, varve_error *err);

    /*
     * Begin reading rows of `partition` with first <= time <= last: how many streams there are
     * (0 .. VARVE_STREAMS_MAX). Pieces may hold rows outside the range at either end; pieces that
     * lie wholly outside are skipped.
     */
    varve_status (*open)(struct varve_source *source, const struct varve_partition *partition,
                         int64_t first, int64_t last, bool reverse, uint32_t *ret_streams,
                         varve_error *err);
    /* The next piece of stream `stream`; VARVE_END after the last. It becomes the stream's current
     * piece; what was loaded from the previous one is gone. */
    varve_status (*piece)(struct varve_source *source, uint32_t stream,
                          struct varve_piece *ret_piece, varve_error *err);
    /*
     * Load columns of rows [first, first + n) of the stream's current piece into `rows`, whose
     * pointers then borrow the source's memory until the stream's next piece() or load(). Loaded
     * are: time, stamps (if `stamps`: wt, exp, exceptions), markers, hidden suffix, and of
     * `columns` the clustering and value columns (values and states). rows->columns is memory of
     * the caller: an array of schema->n_columns entries, overwritten for the columns asked for
     * and zeroed for others.
     */
    varve_status (*load)(struct varve_source *source, uint32_t stream, uint32_t first, uint32_t n,
                         const struct varve_column_set *columns, bool stamps,
                         struct varve_rows *rows, varve_error *err);
    /* Which rows [*ret_begin, *ret_end) of the stream's current piece have first <= time <= last, as
     * loading all times and searching them would say, but without that. What was loaded stays.
     * `columns` is what these rows will be loaded with, as for load(): a hint. NULL: the source cannot
     * do better. */
    varve_status (*bounds)(struct varve_source *source, uint32_t stream, int64_t first,
                           int64_t last, const struct varve_column_set *columns,
                           uint32_t *ret_begin, uint32_t *ret_end, varve_error *err);
    /* The zone map of a column of the current piece, if VARVE_PIECE_ZONED and the source has one:
     * *ret_zone is NULL otherwise. Borrowed until the next piece(). */
    varve_status (*zone)(struct varve_source *source, uint32_t stream, uint32_t column,
                         const struct varve_zone **ret_zone, varve_error *err);
    void (*close)(struct varve_source *source); /* frees the source */
};

struct varve_source { /* implementations put this first in their own structs */
    const struct varve_source_ops *ops;
    int64_t first_time, last_time; /* bounds of all its rows, for pruning */
    uint64_t rows;                 /* upper bound */
    uint64_t bytes_read;           /* counters for varve_cursor_stats */
    uint64_t vectors_read;
    uint64_t vectors_pruned;
};

#endif
