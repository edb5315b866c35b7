/*
 * fake_table.h - a table of random row versions, spread over sources and streams that misbehave as
 * far as the contract of a source allows: pieces of any length, versions of a key anywhere, loaded
 * memory that is gone (freed) at the next call. Beside it a model of its own: what the versions come
 * to, computed row by row and cell by cell.
 */
#ifndef VARVE_TESTS_FAKE_TABLE_H
#define VARVE_TESTS_FAKE_TABLE_H

#include <check.h>
#include <stdlib.h>

#include "storage/base/rng.h"
#include "storage/rows/source.h"

#define FAKE_COLUMNS_MAX 24
#define FAKE_SOURCES_MAX 5

#define must(condition) ((condition) ? (void)0 : ck_abort_msg("not true: %s", #condition))

/* A row, or a version of one. */
struct fake_row {
    uint32_t partition;
    int64_t time;
    int64_t wt; /* the row stamp */
    uint32_t exp;
    uint32_t writer, ordinal;
    struct varve_stamp marker;
    struct varve_stamp stamps[FAKE_COLUMNS_MAX]; /* of value columns */
    varve_value values[FAKE_COLUMNS_MAX];        /* clustering columns and live cells */
};

struct fake_shape {
    const char *create;
    uint32_t partitions;
    uint32_t sources;
    uint32_t rows;      /* versions a partition and stream, about */
    uint32_t time_span; /* times are drawn from so many */
    int64_t time_base;
    int64_t time_step;
    uint32_t piece_rows; /* at most */
    bool plain;          /* whole rows inserted, nothing expires */
    bool disjoint;       /* sources follow each other in time */
    bool zones;
    bool lies; /* pieces say that their last time is their first */
};

struct fake_stream {
    struct varve_rows_builder rows;
    bool unique;
    uint32_t n_cuts; /* pieces are [cuts[i], cuts[i + 1]) */
    uint32_t *cuts;
};

struct fake_table {
    struct fake_shape shape;
    struct varve_heap heap; /* of the fake alone */
    struct varve_schema *schema;
    struct varve_buffer *keys; /* of the partitions, ascending */
    varve_value (*key_values)[VARVE_KEY_COLUMNS_MAX];
    struct fake_stream *streams; /* [source][partition][2] */
    struct fake_row *versions;
    size_t n_versions;
    size_t versions_capacity;
    long calls; /* of sources */
    long fail_at;
    int open_sources;
};

void fake_table_make(struct fake_table *table, const struct fake_shape *shape, uint64_t seed);
void fake_table_free(struct fake_table *table);
struct varve_source *fake_source_open(struct fake_table *table, uint32_t number);

/* What the versions come to: rows in order, those that do not exist among them (ret_exists). */
struct fake_row *fake_model(const struct fake_table *table, uint32_t now_s, size_t *ret_n,
                            bool **ret_exists);

/* < 0, 0, > 0 by partition and key. */
int fake_row_order(const struct varve_schema *schema, const struct fake_row *a,
                   const struct fake_row *b);
bool fake_values_same(const varve_value *a, const varve_value *b);
/* Whether the cell reads as a value at `now_s`. */
bool fake_cell_lives(const struct varve_stamp *stamp, uint32_t now_s);

#endif
