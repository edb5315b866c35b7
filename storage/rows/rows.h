/*
 * rows.h - rows in their stored form, in memory, by columns: what a batch collects, what the log
 * carries, what a memtable and an SSTable give back, what a merge compares. One shape everywhere.
 *
 * A row has a key (partition, time, further clustering columns and, in a 'keep' table, a hidden
 * suffix), a stamp (write time and expiry), a marker, and one cell per value column. Marker and
 * cells have a state: absent, live or deleted. A cell's stamp is the row's unless the sorted
 * exception list says otherwise: by default a live cell has the row's write time and expiry, a
 * deleted one the row's write time and, as the second of its deletion, varve_deletion_second().
 *
 * Invariants of a struct varve_rows whose rows belong to one partition and are sorted
 *   R1  (time, clustering columns, hidden suffix) does not descend; in a merged result and in a
 *       file it strictly ascends.
 *   R2  live and deleted bitmaps of one column are disjoint; key columns have neither.
 *   R3  exceptions ascend by (row, column) and name only cells that are not absent.
 *   R4  bits of bitmaps at and above n are zero.
 *   R5  a text or blob cell that is not live has no bytes.
 *
 * Threads. None; a filled struct may be read by several.
 */
#ifndef VARVE_ROWS_ROWS_H
#define VARVE_ROWS_ROWS_H

#include "storage/base/bitmap.h"
#include "storage/codec/codec.h"
#include "storage/schema/key.h"
#include "storage/schema/schema.h"

#define VARVE_MARKER_COLUMN 0xFFFFu /* the marker in exception lists */
#define VARVE_WT_COMMIT INT64_MIN   /* in a batch and the log: the record's hlc */
#define VARVE_WT_MIN (INT64_MIN + 1)

enum varve_cell_state { VARVE_ABSENT = 0, VARVE_LIVE = 1, VARVE_DELETED = 2 };

/* One column of n rows. `values` has the layout of the column's enum varve_phys; key columns are
 * canonical. Not loaded: values NULL (and n > 0). */
struct varve_cells {
    void *values;      /* BYTES: the bytes */
    uint32_t *offsets; /* BYTES: n + 1, ascending; offsets[0] need not be 0 */
    int8_t *scales;    /* DEC */
    uint64_t *live;    /* NULL: all live */
    uint64_t *deleted; /* NULL: none deleted */
};

struct varve_exception {
    uint32_t row;
    uint16_t column; /* schema column number, or VARVE_MARKER_COLUMN */
    uint16_t reserved;
    uint32_t exp; /* seconds: expiry of a live cell (0: never), second of a deletion */
    uint32_t reserved2;
    int64_t wt;
};

struct varve_rows {
    const struct varve_schema *schema; /* borrowed */
    uint32_t n;
    uint32_t n_exceptions;
    int64_t *time; /* widened to int64 whatever the column's type */
    int64_t *wt;   /* NULL: all rows have wt_uniform */
    int64_t wt_uniform;
    uint32_t *exp;            /* NULL: all 0 */
    uint32_t *writer;         /* 'keep' tables: the hidden suffix is (wt, writer, ordinal); */
    uint32_t *ordinal;        /* NULL in others */
    uint64_t *marker_live;    /* NULL: all live */
    uint64_t *marker_deleted; /* NULL: none */
    struct varve_exception *exceptions;
    struct varve_cells *columns; /* [schema->n_columns]; partition key and time entries are empty */
};

static inline int64_t varve_rows_wt(const struct varve_rows *rows, uint32_t row)
{
    return rows->wt != NULL ? rows->wt[row] : rows->wt_uniform;
}

/* The second in which a deletion with write time `wt` took place unless an exception says another:
 * floor(wt / 10^6), held within what 32 bits can say. */
static inline uint32_t varve_deletion_second(int64_t wt)
{
    return wt < 0 ? 0 : wt / 1000000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(wt / 1000000);
}

/* A stamped state: what reconciliation compares. */
struct varve_stamp {
    int64_t wt;
    uint32_t exp;
    uint8_t state; /* enum varve_cell_state */
};

/* The state and stamp of a cell (or of VARVE_MARKER_COLUMN). O(log exceptions). */
struct varve_stamp varve_rows_stamp(const struct varve_rows *rows, uint32_t row, uint32_t column);

/* The state of a cell, or of VARVE_MARKER_COLUMN. */
static inline uint8_t varve_rows_state(const struct varve_rows *rows, uint32_t row, uint32_t column)
{
    const bool marker = column == VARVE_MARKER_COLUMN;
    const uint64_t *live = marker ? rows->marker_live : rows->columns[column].live;
    const uint64_t *deleted = marker ? rows->marker_deleted : rows->columns[column].deleted;
    if (deleted != NULL && varve_bit_get(deleted, row))
        return VARVE_DELETED;
    return live == NULL || varve_bit_get(live, row) ? VARVE_LIVE : VARVE_ABSENT;
}

/* The value of a live cell of a loaded column (time, clustering or value); borrows text. */
varve_value varve_rows_value(const struct varve_rows *rows, uint32_t row, uint32_t column);

/* A lanes view of a loaded column, rows [0, n), for the codec. The time column's lane is I64. */
struct varve_lanes varve_rows_lanes(const struct varve_rows *rows, uint32_t column);

/* Order of two rows of one partition by key: time, clustering columns with their direction, and,
 * where both sides have one, the hidden suffix (write time, writer, ordinal). */
int varve_rows_compare(const struct varve_rows *a, uint32_t i, const struct varve_rows *b,
                       uint32_t j);

/*
 * Which of two versions of one cell wins: > 0 if `a`, < 0 if `b`, 0 if they are the same. Higher
 * write time; then deletion before expiring before live; then the later expiry; then the larger
 * value bytes in Cassandra's serialisation. `va`, `vb` are looked at only for live cells.
 */
int varve_stamp_compare(const struct varve_stamp *a, const varve_value *va,
                        const struct varve_stamp *b, const varve_value *vb, uint8_t type,
                        uint8_t precision);

/* --------------------------------------------------------------------------------- Building */

/* A set of columns by schema number. */
struct varve_column_set {
    uint64_t bits[VARVE_BITMAP_WORDS(1024)];
};

static inline bool varve_column_set_has(const struct varve_column_set *set, uint32_t column)
{
    return varve_bit_get(set->bits, column);
}

/*
 * Rows with memory of their own, growing as they are appended to. Buffers are 64-byte aligned and
 * padded. Only the columns of `columns` (NULL: all; clustering columns always) have memory.
 *
 * A buffer that holds nothing but the default (one write time, no expiry, every marker live, ...)
 * is not shown: its pointer in `rows` is NULL although `memory` has it, and readers take their
 * fast path. The functions varve_rows_builder_live() and following show one. Invariant: bitmaps
 * that are not shown, and the bits of shown ones at and above n, are zero.
 */
struct varve_rows_builder {
    struct varve_rows rows; /* valid at any time; pointers move when it grows */
    struct varve_heap *heap;
    struct varve_column_set columns;
    uint32_t capacity; /* rows */
    uint32_t exceptions_capacity;
    bool all_columns;
    size_t *bytes_capacity;   /* [n_columns], BYTES columns */
    size_t held;              /* bytes held from the heap */
    struct varve_rows memory; /* every buffer, shown or not */
    uint8_t *slab;            /* all buffers of a fixed size per row */
    size_t slab_size;
};

varve_status varve_rows_builder_init(struct varve_rows_builder *b, struct varve_heap *heap,
                                     const struct varve_schema *schema,
                                     const struct varve_column_set *columns, varve_error *err);
/* Also of a builder that is all zero or whose init failed. */
void varve_rows_builder_free(struct varve_rows_builder *b);
void varve_rows_builder_clear(struct varve_rows_builder *b); /* keeps the memory */

/* Room for `n` more rows and `bytes` more bytes of each BYTES column. ENOMEM changes nothing. */
varve_status varve_rows_builder_reserve(struct varve_rows_builder *b, uint32_t n, size_t bytes,
                                        varve_error *err);
/* Room for `bytes` more bytes of one BYTES column behind those of its first `row` rows, whose
 * offsets have been written; row <= capacity. */
varve_status varve_rows_builder_reserve_text(struct varve_rows_builder *b, uint32_t column,
                                             uint32_t row, size_t bytes, varve_error *err);
/* The same behind the rows that have been counted. */
static inline varve_status varve_rows_builder_reserve_bytes(struct varve_rows_builder *b,
                                                            uint32_t column, size_t bytes,
                                                            varve_error *err)
{
    return varve_rows_builder_reserve_text(b, column, b->rows.n, bytes, err);
}

/*
 * For code that fills reserved rows in place: write rows [n, n + k) of the buffers, then add k to
 * rows.n. Each of these shows a buffer, filled with what it stood for until now for rows [0, n),
 * and returns it; `column` may be VARVE_MARKER_COLUMN. The builder must have capacity. Writers set
 * bits of rows at and above n only for those that they then count.
 */
uint64_t *varve_rows_builder_live(struct varve_rows_builder *b, uint32_t column);
uint64_t *varve_rows_builder_deleted(struct varve_rows_builder *b, uint32_t column);
int64_t *varve_rows_builder_wt(struct varve_rows_builder *b);
uint32_t *varve_rows_builder_exp(struct varve_rows_builder *b);
/* Drop all rows from row `n` on, exceptions included. */
void varve_rows_builder_truncate(struct varve_rows_builder *b, uint32_t n);

/* Append rows [first, first + n) of `from` (same schema). Every column of the builder must be
 * loaded in `from`. States, stamps and exceptions come along. ENOMEM, ELIMIT: nothing changed. */
varve_status varve_rows_append(struct varve_rows_builder *b, const struct varve_rows *from,
                               uint32_t first, uint32_t n, varve_error *err);

/*
 * Merge row `i` of `from` into the last row of `b`, which has the same key. ENOMEM: nothing
 * changed.
 *
 * In an 'upsert' table per cell and for the marker, varve_stamp_compare() decides. Commutative,
 * associative, idempotent up to the row stamp, which is chosen so that few exceptions remain: the
 * greatest write time among the winners, and the expiry of the first live winner that has it
 * (the marker before cells).
 *
 * In other tables whole rows: the lower (write time, writer, ordinal) stays. In 'keep' tables that
 * is part of the key, so the two are one row met twice.
 */
varve_status varve_rows_merge_last(struct varve_rows_builder *b, const struct varve_rows *from,
                                   uint32_t i, varve_error *err);

/* The rule inside one batch: the cells of row `i` of `from` that are not absent replace those of
 * the last row of `b`, whatever their stamps; the marker too. Both rows have one write time and no
 * exceptions. */
varve_status varve_rows_overlay_last(struct varve_rows_builder *b, const struct varve_rows *from,
                                     uint32_t i, varve_error *err);

/* Whether the row shows to a reader: its marker is live or some value cell is. All value columns
 * must be loaded. Expiry is judged at `now_s` (seconds since 1970). */
bool varve_rows_exists(const struct varve_rows *rows, uint32_t row, uint32_t now_s);

/*
 * The order-free hash of rows [first, first + n): the sum mod 2^64 over cells and markers that are
 * not absent of a mix of (partition, row key, column id, state, value, write time, expiry). It
 * depends on what the rows say and not on how they lie: shown or implied buffers, exceptions or
 * none. All columns loaded. `key_hash`: varve_key_hash() of the partition. Part of file formats.
 */
uint64_t varve_rows_content_hash(const struct varve_rows *rows, uint32_t first, uint32_t n,
                                 uint64_t key_hash);

/* Bytes of the rows as the application gave them: times, clustering columns and live values at
 * their type's width, loaded columns only. The partition key is the caller's to add, once a row. */
uint64_t varve_rows_raw_bytes(const struct varve_rows *rows, uint32_t first, uint32_t n);

#endif
