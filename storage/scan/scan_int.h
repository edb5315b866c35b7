/*
 * scan_int.h - what the files of storage/scan share.
 *
 *     partition_walk -> merge -> live_rows -> row_filter -> scan_rows | group_fold -> result_columns
 *
 * Everything whose size follows from the question alone lies in the cursor's arena, with the cursor
 * itself and the buffers of a first, short batch; what grows with the data (later batches, much text,
 * groups) is asked of the heap.
 */
#ifndef VARVE_SCAN_SCAN_INT_H
#define VARVE_SCAN_SCAN_INT_H

#include <stdatomic.h>
#include <string.h>

#include "storage/base/arena.h"
#include "storage/scan/merge.h"
#include "storage/scan/scan.h"

#define VARVE_SELECT_WORDS VARVE_BITMAP_WORDS(VARVE_VECTOR_ROWS)

/* ------------------------------------------------------------------------------ Partitions */

/* The partitions that a scan names, in its direction, and what each source has of one. */
struct varve_walk {
    struct varve_source **sources;
    uint32_t n_sources;
    bool reverse;
    bool begun;
    const struct varve_span *keys; /* a list: sorted, each once; NULL: a range */
    uint64_t n_keys;
    uint64_t at;
    struct varve_span start; /* of a range; empty: no bound */
    struct varve_span stop;
    struct varve_walk_place { /* of a source in its directory */
        struct varve_partition partition;
        bool has;
        bool taken; /* by the partition given last */
    } * places;
    struct varve_span key;            /* of the partition given last; borrowed */
    struct varve_merge_input *inputs; /* the sources that have it */
    uint32_t n_inputs;
};

varve_status varve_walk_init(struct varve_walk *walk, varve_cursor *cursor, varve_error *err);
/* VARVE_END after the last. */
varve_status varve_walk_next(struct varve_walk *walk, varve_error *err);

/* ----------------------------------------------------------------------------------- Filter */

struct varve_filter_term {
    uint32_t column;
    uint32_t op; /* enum varve_op */
    bool is_key; /* compares `key`: of integers the value, of floats the comparison key */
    int64_t key;
    varve_value value;
};

struct varve_filter {
    uint32_t n_rows; /* terms on time (only !=), clustering and value columns */
    uint32_t n_partition;
    struct varve_filter_term *rows;
    struct varve_filter_term *partition;
    struct varve_column_set columns; /* of `rows`, without time */
    int64_t *scratch;                /* VARVE_VECTOR_ROWS keys */
};

enum varve_zone_verdict { VARVE_ZONE_NONE, VARVE_ZONE_SOME, VARVE_ZONE_ALL };

/* Bounds that predicates set on time narrow the cursor's range. */
varve_status varve_filter_init(struct varve_filter *filter, varve_cursor *cursor, varve_error *err);
bool varve_filter_partition(const struct varve_filter *filter, const varve_value *key);
/* What zone maps say of the rows of a piece: no row matches, all do, or it must be looked at. */
varve_status varve_filter_zone(const struct varve_filter *filter, struct varve_source *source,
                               uint32_t stream, const struct varve_piece *piece,
                               enum varve_zone_verdict *ret_verdict, varve_error *err);
/* AND into `selected` (bit 0: row `first`) which rows match. States say what is null. */
void varve_filter_rows(const struct varve_filter *filter, const struct varve_rows *rows,
                       uint32_t first, uint32_t n, uint64_t *selected);

/* --------------------------------------------------------------------------------- Live rows */

/* Loaded rows as a reader at `now_s` sees them: expired cells read as deleted. */
struct varve_live_rows {
    struct varve_rows rows; /* borrows; `live` bitmaps of columns may be ours */
    uint32_t first, n;      /* what counts of them */
    struct varve_cells *cells;
    uint64_t *bitmaps;       /* one a column, when something has expired */
    size_t words;            /* of one */
    const uint64_t **before; /* the stored ones that they replace */
    uint64_t exists[VARVE_SELECT_WORDS];
};

/* Take a step of a merge: load `columns` of the rows [first, first + n) of a piece, or look at
 * merged rows; `exists` (bit 0: row `first`) says which rows there are. */
varve_status varve_live_rows_take(struct varve_live_rows *live, varve_cursor *cursor,
                                  const struct varve_merge_step *step, uint32_t first, uint32_t n,
                                  const struct varve_column_set *columns, varve_error *err);
/* Whether every row of the step exists at the cursor's read time and no cell of it has expired. */
bool varve_step_is_certain(const varve_cursor *cursor, const struct varve_merge_step *step);

/* ----------------------------------------------------------------------------------- Results */

struct varve_result_column {
    varve_column_view view;
    uint8_t phys; /* enum varve_phys; 0: hugeint */
    bool is_bit;  /* boolean */
    uint8_t *values;
    uint64_t *validity;
    uint32_t *offsets;
    int8_t *scales;
    size_t bytes_capacity; /* BYTES: of values */
    bool bytes_owned;      /* they are the heap's */
};

/* Up to 1,024 rows in Arrow's layout. Capacity grows from batch to batch. */
struct varve_result {
    struct varve_heap *heap;
    struct varve_arena *arena; /* of the first batch's buffers */
    uint32_t n_columns;
    uint32_t rows;
    uint32_t capacity;
    bool full;     /* by bytes, not by rows */
    uint8_t *slab; /* the heap's, or NULL */
    size_t slab_size;
    struct varve_result_column *columns;
    varve_column_view *views;
    varve_batch_view view;
};

varve_status varve_result_init(struct varve_result *result, varve_cursor *cursor,
                               uint32_t n_columns, varve_error *err);
/* What column i is, before the first row. `bare`: of a bare decimal, or sums of one. */
void varve_result_define(struct varve_result *result, uint32_t i, const char *name,
                         const varve_column_info *info, uint8_t type);
void varve_result_free(struct varve_result *result);
/* Begin a batch with room for `rows` or some more, at most 1,024. */
varve_status varve_result_begin(struct varve_result *result, uint32_t rows, varve_error *err);
static inline uint32_t varve_result_room(const struct varve_result *result)
{
    return result->full ? 0 : result->capacity - result->rows;
}
/* Write one cell of the row that is being added; every column must be, then rows++. */
varve_status varve_result_put_null(struct varve_result *result, uint32_t i, varve_error *err);
varve_status varve_result_put_other(struct varve_result *result, uint32_t i,
                                    const varve_value *value, varve_error *err);
static inline varve_status varve_result_put(struct varve_result *result, uint32_t i,
                                            const varve_value *value, varve_error *err)
{
    struct varve_result_column *column = &result->columns[i];

    if (value->presence != VARVE_SET || column->view.nulls > 0 ||
        (column->phys != VARVE_PHYS_I64 && column->phys != VARVE_PHYS_F64))
        return varve_result_put_other(result, i, value, err);
    memcpy(column->values + (size_t)result->rows * 8, &value->as.i64, 8); /* or a double's bits */
    return VARVE_OK;
}
/* Write a column of `n` rows from row result->rows on: rows index[0 .. n) of `rows`. */
varve_status varve_result_copy(struct varve_result *result, uint32_t i,
                               const struct varve_rows *rows, uint32_t column,
                               const uint32_t *index, uint32_t n, varve_error *err);
/* The same with one value for all rows. */
varve_status varve_result_fill(struct varve_result *result, uint32_t i, const varve_value *value,
                               uint32_t n, varve_error *err);
/* The same with numbers: integers, or the bits of a double or (in the low half) of a float. Row k is
 * null if present[k] is 0; `present` NULL: none is. */
void varve_result_numbers(struct varve_result *result, uint32_t i, const int64_t *values,
                          const uint32_t *present, uint32_t n);
/* The same of a column of hugeints. */
void varve_result_hugeints(struct varve_result *result, uint32_t i, const varve_i128 *values,
                           const uint32_t *present, uint32_t n);
/* How many of the rows fit before the bytes of a text column outgrow a batch; at least 1 if the
 * batch is empty. */
uint32_t varve_result_fit(const struct varve_result *result, uint32_t i,
                          const struct varve_rows *rows, uint32_t column, const uint32_t *index,
                          uint32_t n);
/* The finished batch. */
const varve_batch_view *varve_result_view(struct varve_result *result);

/* ------------------------------------------------------------------------------------ Cursor */

struct varve_scan_rows;
struct varve_groups;

struct varve_cursor {
    struct varve_heap *heap;
    struct varve_arena arena; /* the cursor itself, and what is as large as the question */
    const struct varve_schema *schema;
    struct varve_scan_input input; /* `sources` is the cursor's array */
    varve_scan scan;               /* a copy with every field the library knows */
    bool keys_reverse;             /* partitions are visited last first */
    bool reverse;                  /* so are the rows of each */
    int64_t first, last;           /* time */
    atomic_bool canceled;
    bool begun;
    varve_status ended; /* VARVE_OK, VARVE_END or the failure */
    varve_error failure;

    /* Fill the result: VARVE_OK with rows in it, VARVE_END. */
    varve_status (*fill)(varve_cursor *cursor, varve_error *err);
    struct varve_walk walk;
    struct varve_filter filter;
    struct varve_merge *merge;
    struct varve_live_rows live;
    struct varve_result result;
    varve_value *key_values; /* of the current partition */
    uint8_t *key_scratch;
    struct varve_scan_rows *rows;
    struct varve_groups *groups;

    uint64_t rows_total; /* of the sources, for progress */
    uint64_t rows_returned;
    uint64_t rows_examined;
    uint64_t rows_reported;
    uint64_t zone_answers;
    uint64_t zone_pruned;
};

/* Memory of the cursor's arena, zeroed. NULL: there is none. */
static inline void *varve_cursor_memory(varve_cursor *cursor, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *memory = varve_arena_alloc(&cursor->arena, bytes == 0 ? 1 : bytes, 16);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}
/* Go to the next partition that the filter admits and that has rows in range, its key decoded. */
varve_status varve_cursor_partition(varve_cursor *cursor, varve_error *err);
/* Count rows looked at; now and then report progress. ECANCELED. */
varve_status varve_cursor_tick(varve_cursor *cursor, uint32_t rows, varve_error *err);

varve_status varve_scan_rows_init(varve_cursor *cursor, varve_error *err);
varve_status varve_groups_init(varve_cursor *cursor, varve_error *err);
void varve_groups_free(struct varve_groups *groups);
varve_status varve_partition_list_init(varve_cursor *cursor, varve_error *err);

#endif
