/*
 * memtable_fixture.h - random sections, a model of what a memtable holds, and a reader that brings a
 * source into the model's shape.
 *
 * The model is a flat list of rows, each with its partition, time, commit and a hash of everything
 * else about it (cells, states, stamps, hidden suffix). It knows nothing of chains or chunks.
 */
#ifndef VARVE_TESTS_MEMTABLE_FIXTURE_H
#define VARVE_TESTS_MEMTABLE_FIXTURE_H

#include <check.h>
#include <stdlib.h>

#include "storage/base/rng.h"
#include "storage/memtable/memtable.h"

struct shape {            /* how random sections look */
    uint32_t n_keys;      /* partitions to choose from */
    uint32_t key_bytes;   /* of a key */
    uint32_t rows;        /* at most, a section */
    uint32_t late;        /* percent of rows with an earlier time */
    uint32_t same;        /* percent of rows with the time of the row before */
    uint32_t states;      /* percent of cells that are not live */
    uint32_t explicit_wt; /* percent of rows */
    uint32_t expiring;    /* percent of rows */
    uint32_t text;        /* longest text */
    uint32_t big_text;    /* permille of rows with a text of 300,000 bytes */
    bool one_partition;   /* sections of a single partition */
};

struct test_section { /* owns its memory */
    struct varve_section section;
    struct varve_rows rows;
    struct varve_span *keys;
    uint64_t *hashes;
    uint32_t *part;
    uint8_t *key_bytes;
};

struct model_row {
    uint64_t key; /* number in the pool */
    int64_t time;
    uint64_t hash;
    uint32_t ordinal;
};

struct model {
    struct model_row *rows;
    size_t n, capacity;
};

struct varve_schema *fixture_schema(struct varve_heap *heap, const char *text);
/* A section of random rows; *clock is the time that new rows go on from. */
struct test_section *fixture_section(struct varve_rng *rng, const struct varve_schema *schema,
                                     const struct shape *shape, int64_t *clock);
void fixture_section_free(struct test_section *t);
/* Reserve, apply and publish; the model takes the rows that are not below the floor. */
void fixture_apply(struct varve_memtable *table, const struct test_section *t,
                   const struct varve_apply *apply, uint32_t ordinal, struct model *model);
void fixture_model_add(struct model *model, struct model_row row);

/* The key of number `k`, for a pool of keys of `size` bytes. Order of numbers is order of keys. */
struct varve_span fixture_key(uint64_t k, uint32_t size, uint8_t *out);
uint64_t fixture_key_number(struct varve_span key);

/* Everything that the source shows in [first, last] of all partitions, checked on the way: order of
 * partitions, of pieces and of rows, flags and bounds. */
void fixture_read(struct varve_source *source, const struct varve_schema *schema, bool reverse,
                  int64_t first, int64_t last, struct model *out);
/* The same rows? Both are sorted. `model` is restricted to commits below `ordinal` and the range. */
void fixture_same(struct model *read, const struct model *model, uint32_t ordinal, int64_t first,
                  int64_t last);

#endif
