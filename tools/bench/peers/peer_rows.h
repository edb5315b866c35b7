/*
 * peer_rows.h - the rows that row_writer.c wrote, mapped into memory for a peer written in C.
 *
 * Threads. Read-only after peer_rows_open().
 */
#ifndef VARVE_BENCH_PEER_ROWS_H
#define VARVE_BENCH_PEER_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#define PEER_COLUMNS_MAX 12u

enum peer_column_type { PEER_REAL, PEER_INT, PEER_TEXT };

struct peer_names {
    char *bytes;
    uint32_t *offsets; /* n + 1; a name's end is its terminator */
    uint32_t n;
};

/* A value column, or the further clustering column if `key`. */
struct peer_column {
    char name[32];
    enum peer_column_type type;
    bool key;
    union {
        const double *reals;
        const int32_t *ints;
        const uint32_t *codes; /* of `names` */
    } values;
    struct peer_names names; /* PEER_TEXT */
};

struct peer_slice {
    uint32_t partition;
    int64_t from, to; /* milliseconds, `to` exclusive */
};

struct peer_rows {
    char set[32]; /* also the table's name */
    uint64_t rows;
    uint64_t given; /* bytes of all values */
    int64_t first_ms, last_ms;
    struct peer_names names; /* of the partitions */
    const uint32_t *partitions;
    const int64_t *ts_ms;
    struct peer_column columns[PEER_COLUMNS_MAX];
    uint32_t n_columns;
    uint32_t measured; /* the column that aggregates read; a PEER_REAL */
    struct peer_slice *slices;
    uint32_t n_slices;
};

/* The order in which the rows of a commit are handed over, for engines that are faster if rows of a
 * partition follow each other. Zeroed is empty. */
struct peer_order {
    uint64_t *rows;
    uint64_t capacity;
};

/* False: what is wrong has been written to stderr; peer_rows_close() is due either way. Mappings
 * live until the process ends. */
bool peer_rows_open(struct peer_rows *rows, const char *folder);
void peer_rows_close(struct peer_rows *rows); /* zeroed is fine */

/* Order `n` rows from `first` on by partition, and in it as they arrive; false without memory. */
bool peer_order_by_partition(struct peer_order *order, const struct peer_rows *rows, uint64_t first,
                             uint64_t n);
void peer_order_free(struct peer_order *order);

/* The name numbered `i`, terminated. */
static inline const char *peer_name(const struct peer_names *names, uint32_t i)
{
    return names->bytes + names->offsets[i];
}

static inline uint32_t peer_name_size(const struct peer_names *names, uint32_t i)
{
    return names->offsets[i + 1] - names->offsets[i] - 1;
}

#endif
