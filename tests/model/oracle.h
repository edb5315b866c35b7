/*
 * oracle.h - what a store must answer, worked out the slow way: an independent model of tables.
 *
 * It shares no code with the engine, only the public types. Rows are kept in sorted arrays, every
 * write is kept as a version until no snapshot needs it, and every question is answered by looking
 * at every row. Sums are big integers.
 *
 * Values of text and blob are borrowed for the life of the oracle (the generator's pool).
 * Write times. A commit without explicit write times gets one from its number, which lies between
 * all explicit times of the past and all of the future that the generator gives.
 * Threads. None.
 */
#ifndef VARVE_TESTS_MODEL_ORACLE_H
#define VARVE_TESTS_MODEL_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/varve.h>

#define ORACLE_COLUMNS_MAX 20
#define ORACLE_ORIGINS_MAX 8
#define ORACLE_AGGREGATES_MAX 8

struct oracle_column {
    char name[16];
    uint8_t type;
    uint8_t unit;
    uint8_t precision;
    int8_t scale;
    bool descending;
};

/* Columns: partition key, time, further clustering, values. */
struct oracle_schema {
    char name[16];
    varve_duplicates duplicates;
    uint32_t n_columns;
    uint32_t n_partition; /* the time column has this number */
    uint32_t first_value;
    bool time_descending;
    struct oracle_column columns[ORACLE_COLUMNS_MAX];
};

struct oracle_cell {
    int64_t wt;
    enum { ORACLE_ABSENT = 0, ORACLE_LIVE, ORACLE_DELETED } state;
    varve_value value;
};

/* What one commit wrote to one row; cells[0] is the marker, cells[1 + i] value column i. */
struct oracle_version {
    struct oracle_version *older;
    uint64_t seq;
    bool explicit_time;
    struct oracle_cell cells[];
};

struct oracle_row {
    struct oracle_version *newest;
    uint64_t order; /* of arrival: the hidden end of the key in a 'keep' table */
    varve_value key[];
};

struct oracle_table {
    struct oracle_schema schema;
    struct oracle_row **rows; /* in key order */
    size_t n_rows, capacity;
};

struct oracle_origin {
    uint32_t id, epoch;
    uint64_t last;
};

struct oracle {
    uint64_t seq; /* of the last batch applied */
    uint64_t order;
    int64_t base_wt; /* write time of commit number 0 */
    struct oracle_origin origins[ORACLE_ORIGINS_MAX];
    uint32_t n_origins;
    uint64_t oldest_snapshot; /* versions that it cannot tell apart are merged; UINT64_MAX: none */
};

/* One row of a batch, as it was put. */
struct oracle_put {
    struct oracle_table *table;
    bool update;
    bool explicit_time;
    int64_t wt;
    varve_value values[ORACLE_COLUMNS_MAX]; /* VARVE_UNSET where nothing was given */
};

struct oracle_batch {
    struct oracle_put *puts;
    uint32_t n, capacity;
    uint32_t origin, epoch; /* origin 0: none */
    uint64_t first, last;
};

/* Rows of an answer: n_rows x n_columns values. */
struct oracle_result {
    varve_value *values;
    uint32_t n_columns;
    uint64_t n_rows;
    uint64_t capacity;
};

/* The order of two values of one column type: the order of keys, min and max. */
int oracle_compare(const struct oracle_column *column, const varve_value *a, const varve_value *b);
/* The order of two partition keys. */
int oracle_compare_partitions(const struct oracle_schema *schema, const varve_value *a,
                              const varve_value *b);
/* Whether a value read is the one that was written: bit for bit, but for a key by its order. */
bool oracle_same(const struct oracle_column *column, const varve_value *want,
                 const varve_value *got, bool key);

void oracle_init(struct oracle *oracle, int64_t base_wt);
struct oracle_table *oracle_table_new(const struct oracle_schema *schema);
void oracle_table_free(struct oracle_table *table);

/*
 * What becomes of a batch that is committed now; it is applied if that is OK and it is not a repeat.
 * *ret_rows: a bit for each row that may be named as the offending one with VARVE_EEXISTS, or NULL
 * where no row is; freed by the caller.
 */
varve_status oracle_commit(struct oracle *oracle, const struct oracle_batch *batch,
                           uint8_t **ret_rows);

/* As if no commit after `seq` had been made; only where oldest_snapshot was never above it. The caller
 * sets the oracle's seq and origins. */
void oracle_table_rewind(struct oracle_table *table, uint64_t seq);

/* Answers to a scan and an aggregation, in the state after commit `seq`. `result` is filled anew. */
void oracle_scan(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                 struct oracle_result *result);
/* The values of sums of float and double stand in type VARVE_DOUBLE, of others in VARVE_HUGEINT. */
void oracle_aggregate(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                      struct oracle_result *result);
void oracle_result_free(struct oracle_result *result);
/* How many rows a full scan would show. */
uint64_t oracle_rows(const struct oracle_table *table, uint64_t seq);

/* A partition that has, or ever had, a row. */
struct oracle_partition {
    const varve_value *key; /* borrowed from the table */
    int64_t rows;           /* after commit `seq` */
    int64_t first, last;    /* their times, if there are any */
    int64_t first_ever, last_ever;
};

/* Those that the scan asks for by key, in its order; its times and limit do not count. Freed by the
 * caller. Returns how many. */
uint64_t oracle_partitions(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                           struct oracle_partition **ret_partitions);

/* oracle_sum.c: exact sums --------------------------------------------------------------------- */

__extension__ typedef __int128 oracle_i128;

/* The sum of doubles as one number of 2,304 bits in units of 2^-1074, two's complement. */
struct oracle_sum {
    uint64_t words[36];
    uint64_t count, nan, positive_infinite, negative_infinite, negative_zero;
};

void oracle_sum_add(struct oracle_sum *sum, double value);
double oracle_sum_round(const struct oracle_sum *sum);
/* numerator / (count x 10^scale), rounded once to nearest even. */
double oracle_ratio(oracle_i128 numerator, uint64_t count, int scale);

#endif
