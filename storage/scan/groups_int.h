/*
 * groups_int.h - what aggregation gathers: groups, one for each partition and bucket that has rows,
 * and in a group a cell for each column that some aggregate names.
 */
#ifndef VARVE_SCAN_GROUPS_INT_H
#define VARVE_SCAN_GROUPS_INT_H

#include "storage/scan/scan_int.h"

/* --------------------------------------------------------------------------------- Buckets */

struct varve_buckets {
    int64_t every; /* 0: all time is one bucket */
    int64_t origin;
};

struct varve_bucket { /* times first .. last, inclusive; cut off at the ends of int64 */
    int64_t first, last;
};

struct varve_bucket varve_bucket_of(const struct varve_buckets *buckets, int64_t time);
/* The same when `near` is a bucket that is probably not far away. */
struct varve_bucket varve_bucket_after(const struct varve_buckets *buckets,
                                       struct varve_bucket near, int64_t time);
/* Of ascending times, the first at or after `from` that is above `last`; n if none is. `hint`: how
 * many rows the bucket before had. */
uint32_t varve_bucket_end(const int64_t *times, uint32_t from, uint32_t n, int64_t last,
                          uint32_t hint);
/* The first of times [from, to) that is at or above `first`, searched from the end. */
uint32_t varve_bucket_begin(const int64_t *times, uint32_t from, uint32_t to, int64_t first);

/* ----------------------------------------------------------------------------------- Cells */

enum varve_group_kind {
    VARVE_GROUP_INTEGER, /* struct varve_fold */
    VARVE_GROUP_FLOAT,   /* the same with an exact sum */
    VARVE_GROUP_VALUE    /* value by value: text, blob, uuid, bare decimal */
};

/* A column that aggregates name, and what they want of it. */
struct varve_group_column {
    uint32_t column;
    uint8_t type;
    uint8_t phys;
    uint8_t kind;  /* enum varve_group_kind */
    uint8_t wants; /* enum varve_fold_want */
};

/* A value at an end of a group, or its least or greatest; text is the cell's own copy. */
struct varve_group_value {
    bool has;
    int64_t time;
    varve_value value;
    uint8_t *bytes;
    size_t capacity;
};

/* The sum of the mantissas of one scale. */
struct varve_scale_sum {
    struct varve_scale_sum *next; /* scales descend */
    int scale;
    varve_i128 sum;
};

struct varve_group_cell {
    struct varve_fold fold; /* count, and of numbers sum, min and max */
    /* Behind the cells, as far as they are wanted; NULL if not. */
    struct varve_group_value *first, *last;
    struct varve_group_value *min, *max; /* VARVE_GROUP_VALUE */
    struct varve_scale_sum *sums;        /* bare decimals */
};

struct varve_group {
    int64_t bucket; /* its first time */
    uint64_t rows;
    struct varve_group_cell cells[]; /* one a column; what they point to is behind them */
};

struct varve_group_slot { /* of the hash table */
    int64_t bucket;
    uint32_t number; /* 1 + index of the group; 0: free */
    uint32_t reserved;
};

struct varve_group_output { /* an aggregate: what it makes of which cell */
    uint32_t function;
    uint32_t cell;
};

struct varve_groups {
    struct varve_heap *heap;
    struct varve_group_output *outputs;
    uint32_t n_columns;
    struct varve_group_column *columns;
    struct varve_column_set needed; /* clustering and value columns among them */
    size_t group_size;
    struct varve_buckets buckets;
    bool by_partition;
    bool reverse;    /* the direction in which rows are read */
    bool descending; /* the order of the groups */

    struct varve_runs *runs; /* NULL: rows are folded bucket by bucket */

    /* By partition: the open group, and how many may still be given. */
    struct varve_group *open;
    bool is_open;
    bool in_partition;
    bool has_step;
    struct varve_merge_step step;
    uint64_t left;
    uint64_t left_of_each;

    /* Otherwise: all groups, found by bucket. */
    struct varve_arena arena; /* their memory */
    bool gathered;
    struct varve_group **all;
    size_t n_all;
    size_t all_capacity;
    struct varve_group_slot *slots; /* open addressing, a power of two of them */
    size_t n_slots;
    size_t recent; /* index of the group found last */
    size_t given;
};

/* A failed allocation for groups: ELIMIT if it is the heap's limit that forbids it. */
varve_status varve_groups_nomem(const struct varve_heap *heap, size_t size, varve_error *err);
/* More groups than the times of a step, which a file's index says, leave room for: ECORRUPT. */
varve_status varve_groups_beyond_index(varve_error *err);
#define VARVE_GROUPS_BLOCK 65536u /* of the arena */
size_t varve_group_size(const struct varve_groups *groups);
varve_status varve_group_new(struct varve_groups *groups, struct varve_group **ret_group,
                             varve_error *err);
void varve_group_reset(const struct varve_groups *groups, struct varve_group *group,
                       int64_t bucket);
void varve_group_cell_reset(const struct varve_groups *groups, struct varve_group_cell *cell);
/* Give back what a group holds besides its place. */
void varve_group_clear(const struct varve_groups *groups, struct varve_group *group);
/* The group of a bucket, made if it is not there. */
varve_status varve_groups_find(struct varve_groups *groups, int64_t bucket,
                               struct varve_group **ret_group, varve_error *err);
/* In the order of buckets. */
void varve_groups_sort(struct varve_groups *groups, bool reverse);

/* Rows [first, first + n) of `rows` whose bit in `mask` is set (NULL: all) into the cell of a
 * column that rows have. */
varve_status varve_group_fold(const struct varve_groups *groups, struct varve_group_cell *cell,
                              const struct varve_group_column *column,
                              const struct varve_rows *rows, uint32_t first, uint32_t n,
                              const uint64_t *mask, varve_error *err);
/* The same for `count` rows with one value, from time `first` to `last`. */
varve_status varve_group_fold_constant(const struct varve_groups *groups,
                                       struct varve_group_cell *cell,
                                       const struct varve_group_column *column,
                                       const varve_value *value, uint64_t count, int64_t first,
                                       int64_t last, varve_error *err);
/* The first or last value of the cell's rows so far may be `value`, at `time`. */
varve_status varve_group_end(const struct varve_groups *groups, struct varve_group_value *end,
                             bool is_first, int64_t time, const varve_value *value,
                             varve_error *err);
/* total / (count x 10^scale), rounded once; scale -128 .. 127, count > 0. */
double varve_decimal_mean(varve_i128 total, uint64_t count, int scale);
/* What a function makes of the cell. ELIMIT: the sum of bare decimals does not fit. */
varve_status varve_group_result(const struct varve_group_cell *cell,
                                const struct varve_group_column *column, uint32_t function,
                                const varve_column_info *info, varve_value *ret_value,
                                varve_error *err);

/* ----------------------------------------------------------------------------------- Runs */

/* Rows [first, first + ends[n - 1]) of a step, cut where buckets end. */
struct varve_runs {
    const struct varve_rows *rows;
    const uint64_t *mask; /* by row; NULL: all rows count */
    uint32_t first;
    uint32_t n;
    uint32_t ends[VARVE_RUNS_MAX];   /* run k is [ends[k - 1], ends[k]), from `first` */
    uint64_t counts[VARVE_RUNS_MAX]; /* rows that count, at least 1 */
    int64_t buckets[VARVE_RUNS_MAX];
    struct varve_group *groups[VARVE_RUNS_MAX]; /* not by partition: where they belong */
    struct varve_run_folds folds;
};

/* Whether the functions asked for can be gathered in runs. */
bool varve_runs_suffice(const varve_cursor *cursor);
/* Cut ascending rows [first, end), as many runs as there is room for. *ret_next: the row behind
 * the last; no runs if none of the rows before it counts. */
void varve_runs_cut(const struct varve_buckets *buckets, const struct varve_rows *rows,
                    const uint64_t *mask, uint32_t first, uint32_t end, struct varve_runs *runs,
                    uint32_t *ret_next);
/* Fold each run into its group. */
void varve_runs_gather(varve_cursor *cursor, struct varve_runs *runs);
/* By partition: `open` goes on with the first run if its bucket is the same, all runs but the last
 * become rows of the result, and the last is in `open` afterwards. */
varve_status varve_runs_give(varve_cursor *cursor, struct varve_runs *runs, varve_error *err);

/* sum / (count x 10^scale), rounded once; scale as of a column. */
double varve_group_mean(varve_i128 sum, uint64_t count, int scale);
/* The start of a bucket as a value of the time column. */
int64_t varve_bucket_start(const varve_cursor *cursor, int64_t bucket);

/* Answer a step from zone maps alone, if they can: *ret_done. Nothing is folded otherwise. */
varve_status varve_zone_answer(varve_cursor *cursor, const struct varve_merge_step *step,
                               struct varve_group *group, bool *ret_done, varve_error *err);

#endif
