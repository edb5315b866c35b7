/*
 * batch_int.h - the inside of a batch: what its files share.
 */
#ifndef VARVE_BATCH_BATCH_INT_H
#define VARVE_BATCH_BATCH_INT_H

#include "storage/base/arena.h"
#include "storage/batch/batch_format.h"

/* ------------------------------------------------------------------------------ Key dictionary */

/* Distinct partition keys, numbered as they come, with a hash table over them. */
struct varve_key_set {
    struct varve_heap *heap;
    struct varve_arena bytes;
    struct varve_span *spans;
    uint64_t *hashes;
    uint32_t *rows;  /* scratch of whoever adds: where the key was seen last */
    uint32_t *slots; /* number + 1; 0: empty; a power of two, at most half full */
    size_t spans_capacity;
    size_t hashes_capacity;
    size_t rows_capacity;
    size_t n_slots;
    uint32_t n;
};

#define VARVE_NO_KEY UINT32_MAX

void varve_key_set_init(struct varve_key_set *set, struct varve_heap *heap);
void varve_key_set_free(struct varve_key_set *set);
void varve_key_set_clear(struct varve_key_set *set); /* keeps memory */
/* The number of a key, or VARVE_NO_KEY. */
uint32_t varve_key_set_find(const struct varve_key_set *set, struct varve_span key, uint64_t hash);
/* Add a key that is not there. VARVE_NO_KEY: no memory, nothing changed. */
uint32_t varve_key_set_add(struct varve_key_set *set, struct varve_span key, uint64_t hash);
/* Forget the keys from number `n` on. */
void varve_key_set_truncate(struct varve_key_set *set, uint32_t n);

/* -------------------------------------------------------------------------------- Value checks */

/*
 * The first row of [first, first + n) whose live cell of `column` is not one that the type allows
 * (range, UTF-8, size), or first + n. Offsets of text must ascend.
 */
uint32_t varve_cells_check(const struct varve_schema *schema, uint32_t column,
                           const struct varve_cells *cells, uint32_t first, uint32_t n);

/* ----------------------------------------------------------------------------------- The batch */

/* What a value of a column is that can be compared and stored as it stands (plain_row.c). */
struct varve_plain_cell {
    uint32_t mask; /* what counts of a value's type, presence, scale and unit, as they stand */
    uint32_t head; /* and what it is */
    uint32_t head_with_unit; /* or this, for a timestamp that says its unit */
    bool narrow;             /* stored in four bytes */
    int64_t least;
    uint64_t span; /* the greatest less the least */
};

/* One for each column of the schema; NULL if some column has values that are not plain. */
varve_status varve_plain_cells_create(struct varve_heap *heap, const struct varve_schema *schema,
                                      struct varve_plain_cell **ret_cells, varve_error *err);
void varve_plain_cells_free(struct varve_heap *heap, const struct varve_schema *schema,
                            struct varve_plain_cell *cells);

struct varve_row_run { /* section rows from `first` on are batch rows from `batch_row` on */
    uint32_t first;
    uint64_t batch_row;
};

struct varve_batch_section {
    struct varve_schema *schema; /* a reference */
    struct varve_rows_builder rows;
    struct varve_key_set keys;
    struct varve_plain_cell *plain; /* or NULL */
    uint32_t *part;                 /* meaningful once there is more than one key */
    size_t part_capacity;
    struct varve_row_run *runs;
    size_t runs_capacity;
    uint32_t n_runs;
    uint32_t last_key;   /* of the last row put: rows come in runs */
    uint64_t row_bytes;  /* varve_payload_row_bytes() of the schema */
    uint64_t raw_folded; /* raw bytes of rows that went into others */
};

struct varve_batch {
    struct varve_heap *heap;
    uint64_t bytes_max;
    uint64_t bytes;                        /* upper bound of the payload */
    uint64_t rows;                         /* put since the last clear */
    struct varve_batch_section **sections; /* the first n_sections are in use, others kept */
    size_t sections_capacity;
    uint32_t n_sections;
    uint32_t n_allocated;
    bool sealed;
    struct varve_origin origin;
    uint64_t raw_bytes; /* known once sealed */
    uint64_t payload_hash;
    struct varve_buffer payload;
    struct varve_buffer key; /* scratch: the key being looked up */
};

/* What one put is about to add to a section. */
struct varve_put_plan {
    struct varve_batch_section *section;
    int64_t wt;
    bool update;    /* writes no marker */
    uint64_t bytes; /* that the batch's bound grows by */
};

/* Find or begin the section of `schema` and judge `put`. On failure nothing is changed; after a
 * later failure call varve_batch_put_abandon(). */
varve_status varve_batch_put_begin(varve_batch *batch, const struct varve_schema *schema,
                                   const varve_put *put, int64_t max_wt,
                                   struct varve_put_plan *ret_plan, varve_error *err);
void varve_batch_put_abandon(varve_batch *batch);
/* Whether `n` rows with `text` bytes and `key_bytes` bytes of new keys still fit; ELIMIT. */
varve_status varve_batch_put_measure(varve_batch *batch, struct varve_put_plan *plan, uint64_t n,
                                     uint64_t text, uint64_t key_bytes, varve_error *err);
/* Room for `n` rows in everything but text. */
varve_status varve_batch_put_reserve(varve_batch *batch, struct varve_put_plan *plan, uint32_t n,
                                     varve_error *err);
/* Put a row that is like others before it. False: it is not, and nothing is changed. */
bool varve_batch_put_plain_row(varve_batch *batch, struct varve_put_plan *plan,
                               const varve_value *values, uint32_t n);
/* Fill in stamps and markers of `n` rows whose cells are written, and count them. */
void varve_batch_put_end(varve_batch *batch, const struct varve_put_plan *plan, uint32_t n);

/* Settle B4 in one section. */
varve_status varve_batch_section_settle(varve_batch *batch, struct varve_batch_section *section,
                                        varve_error *err);

/* The batch row of a row of a section, both 0-based, in the order of the puts. */
uint64_t varve_batch_section_row(const struct varve_batch_section *section, uint32_t row);

#endif
