/*
 * store_bench.h - `varve bench`: how fast a store takes rows and answers questions, beside SQLite.
 *
 *     workload (rows in memory) -> ingest, query (varve) and baseline (SQLite) -> report
 *
 * Rules. Rows are generated before a clock starts. Both stores get the same rows in the same
 *   batches with the same durability, in the same run. A time is wall time; the process's CPU time
 *   stands beside it. An ingest run ends when all rows are in files, or all are acknowledged and
 *   its time is up.
 *
 * Threads. One; the store has its own.
 */
#ifndef VARVE_BENCH_STORE_BENCH_H
#define VARVE_BENCH_STORE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/varve.h>

#define BENCH_COLUMNS_MAX 10u
#define BENCH_HOUR_MS INT64_C(3600000)
#define BENCH_POLICIES 4u /* VARVE_POLICY_DURABLE_EACH and those that follow */

/* ---------------------------------------------------------------------------------- Workloads */

struct bench_column {
    const char *name;
    varve_type type; /* TEXT, INT, BIGINT, DECIMAL, TIMESTAMP or DOUBLE */
    uint32_t width;  /* bytes a value; 0: text */
    int8_t scale;    /* DECIMAL */
};

struct bench_workload {
    const char *name;
    const char *table;
    const char *create;        /* CREATE TABLE for varve */
    const char *create_sqlite; /* and for SQLite: decimals as integers */
    uint32_t n_columns;
    uint32_t measured; /* the column that is aggregated; an integer or a decimal */
    struct bench_column columns[BENCH_COLUMNS_MAX]; /* 0: the partition key; 1: the time */
};

/* Rows in memory, by columns, in the order in which they arrive. */
struct bench_rows {
    const struct bench_workload *workload;
    uint64_t n;
    uint64_t capacity;
    void *values[BENCH_COLUMNS_MAX];
    uint32_t *offsets[BENCH_COLUMNS_MAX]; /* text: n + 1 */
    uint64_t bytes;                       /* of memory */
};

struct bench_source; /* the generator of a workload */

const struct bench_workload *bench_workload_find(const char *name); /* NULL: there is none */
struct bench_source *bench_source_new(const struct bench_workload *workload, uint64_t seed);
void bench_source_free(struct bench_source *source);
/* Room for `capacity` rows; false: no memory. */
bool bench_rows_init(struct bench_rows *rows, const struct bench_workload *workload,
                     uint64_t capacity);
void bench_rows_free(struct bench_rows *rows);
/* Replace the rows by the next `n` <= capacity ones of the source. */
void bench_rows_fill(struct bench_rows *rows, struct bench_source *source, uint64_t n);
int64_t bench_rows_i64(const struct bench_rows *rows, uint32_t column, uint64_t row);

/* ------------------------------------------------------------------------------------- Meters */

/* Sums over what lies between start and stop. Zero it. */
struct bench_meter {
    double wall_s, cpu_s;
    double wall_begun, cpu_begun;
};

void bench_meter_start(struct bench_meter *meter);
void bench_meter_stop(struct bench_meter *meter);
double bench_wall_s(void);
/* The process's resident memory at its highest since bench_memory_reset(), above what it was then;
 * 0 where the system does not tell. */
struct bench_memory {
    uint64_t begun_kib;
};
void bench_memory_reset(struct bench_memory *memory);
uint64_t bench_memory_peak(const struct bench_memory *memory);
/* Bytes that the process has written to disks; NAN where the system does not tell. */
double bench_written(void);

/* What a part of the answer comes to, to compare two stores: order does not count. */
struct bench_sum {
    uint64_t rows;
    uint64_t cells; /* wrapping sum of integers, bits of doubles and lengths of texts */
    double averages;
};
bool bench_sum_equal(const struct bench_sum *a, const struct bench_sum *b);

/* ------------------------------------------------------------------------------------- Report */

/* One line of the result. NAN: not run, or it means nothing there. */
struct bench_figure {
    char name[64];
    const char *unit;
    bool less_is_better;
    double varve, sqlite;
    double varve_cpu_s, sqlite_cpu_s;
};

struct bench_report {
    struct bench_figure *items;
    size_t n, capacity;
    bool disagreement; /* some answer of the two stores differs */
    bool missing;      /* some figure could not be produced */
};

/* A figure with every value NAN, borrowed until the next is added; ends the program without memory. */
struct bench_figure *bench_report_add(struct bench_report *report, const char *name,
                                      const char *unit, bool less_is_better);
void bench_report_print(const struct bench_report *report, bool json);
void bench_report_free(struct bench_report *report);

/* ------------------------------------------------------------------------------------- Plans */

struct bench_plan {
    const char *name;
    bool by_column;
    uint32_t batch;
    uint32_t in_flight; /* 1: each commit blocks */
};

struct bench_options {
    const struct bench_workload *workload;
    uint64_t rows;
    uint64_t chunk; /* rows in memory at a time */
    uint64_t seed;
    uint64_t memory_limit; /* 0: the store's default */
    double seconds;        /* at most, for one ingest run */
    uint32_t slices;
    uint32_t turns; /* of the hourly aggregates, after one that fills the caches */
    const char *dir;
    const char *store;                 /* one to be measured as it is; NULL: generated rows */
    const char *only;                  /* names separated by commas; NULL: all */
    bool policies[BENCH_POLICIES + 1]; /* by enum varve_policy */
    bool json, sqlite;
};

struct bench_ingest_result {
    uint64_t rows;
    struct bench_meter acknowledged; /* until the last commit was acknowledged */
    struct bench_meter flushed;      /* until everything was in files, too */
    uint64_t resident_peak;          /* bytes above the rows and whatever else was there */
    double written;                  /* bytes, to the disk, until flushed; NAN: not known */
    double worst_commit_s;           /* from the call to the acknowledgement, one batch */
    varve_stats stats;
};

/* Where rows come from: the chunk in memory and, when it is used up, the source. */
struct bench_feed {
    struct bench_rows *rows;
    struct bench_source *source;
    uint64_t left; /* not yet generated */
};
/* Generate the next chunk; false: no more. */
bool bench_feed_next(struct bench_feed *feed);

/* ---------------------------------------------------------------------------------- The stores */

/* Everything of varve. A failure is reported on stderr and gives false. `path` is a directory. */
bool bench_store_open(const char *path, const struct bench_options *options, varve_policy policy,
                      varve_store **ret_store);
bool bench_ingest(const char *path, const struct bench_options *options,
                  const struct bench_plan *plan, varve_policy policy, struct bench_feed *feed,
                  varve_store **ret_store, struct bench_ingest_result *ret_result);
bool bench_scan_all(varve_store *store, const struct bench_workload *workload,
                    struct bench_meter *meter, struct bench_sum *ret_sum);
bool bench_aggregate_hourly(varve_store *store, const struct bench_workload *workload,
                            struct bench_meter *meter, struct bench_sum *ret_sum);
/* One slice each for the given rows: that row's partition and hour, every column. Seconds of each
 * go to `seconds`. */
bool bench_slices(varve_store *store, const struct bench_rows *rows, const uint64_t *picks,
                  uint32_t n, double *seconds, struct bench_sum *ret_sum);

/* The same of SQLite; false from bench_baseline_available(): built without it. */
struct bench_baseline;
bool bench_baseline_available(void);
bool bench_baseline_ingest(const char *path, const struct bench_options *options, uint32_t batch,
                           varve_policy policy, struct bench_feed *feed,
                           struct bench_baseline **ret_baseline,
                           struct bench_ingest_result *ret_result);
bool bench_baseline_reopen(struct bench_baseline **baseline, const char *path,
                           const struct bench_options *options, struct bench_meter *meter);
void bench_baseline_close(struct bench_baseline *baseline); /* NULL is a no-op */
/* Bytes of the file, all rows in it; and of heap memory at the highest. */
uint64_t bench_baseline_bytes(struct bench_baseline *baseline, const char *path);
uint64_t bench_baseline_memory(void);
bool bench_baseline_scan(struct bench_baseline *baseline, const struct bench_workload *workload,
                         struct bench_meter *meter, struct bench_sum *ret_sum);
bool bench_baseline_aggregate(struct bench_baseline *baseline,
                              const struct bench_workload *workload, struct bench_meter *meter,
                              struct bench_sum *ret_sum);
bool bench_baseline_slices(struct bench_baseline *baseline, const struct bench_rows *rows,
                           const uint64_t *picks, uint32_t n, double *seconds,
                           struct bench_sum *ret_sum);

#endif
