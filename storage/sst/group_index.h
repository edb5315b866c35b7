/*
 * group_index.h - the index of one row group: its vectors, runs, blocks and dictionaries. Stands
 * twice in a file; parsed, it is what makes a slice quick.
 *
 *   Block
 *     u8      version         1
 *     u8      zero
 *     varint  n_rows, n_vectors, n_runs, n_streams, n_dictionaries
 *     vectors, columnwise; "packed" is packed_column.h:
 *       packed  rows          1 .. 1024
 *       packed  runs          at least 1
 *       packed  flags         enum varve_vector_flags
 *       packed  min_wt
 *       packed  max_wt - min_wt         modulo 2^64
 *       packed  min_expiry
 *       8 n     content hashes
 *     runs (rows of one partition in one vector), columnwise:
 *       packed  rows          they add up to their vector's
 *       packed  step          1: another partition than the run before; 0 for the first of all
 *       packed  first_time - last_time of the run before (0 for the first)    modulo 2^64
 *       packed  last_time - first_time  modulo 2^64
 *     zone block:
 *       varint  offset, size; 8 checksum          (all 0: there is none)
 *     dictionaries, ascending by id, each:
 *       varint  id            at least 1; unique in the file
 *       varint  offset, size; 8 checksum
 *       varint  entries       1 .. 65,535
 *     streams, ascending, each:
 *       varint  stream        enum varve_sst_stream
 *       u8      presence      1: every vector has a block; 2: a bitmap of (n_vectors + 7) / 8 bytes
 *                             follows, bits least significant first, those behind the last zero
 *       varint  offset        of its first block
 *       then columnwise over the blocks that are there:
 *       packed  gap           bytes between the end of the block before and this one
 *       packed  size
 *       packed  codec
 *       packed  dictionary    id, or 0; not 0: a block of text, as codes (DICT), and no other is of codes
 *       8 m     checksums
 *
 * Invariants
 *   G1  A vector of one run is PURE: its first and last time prune it. Others are SHARED.
 *   G2  After varve_group_index_parse() every number has been checked against the others and the
 *       limits, but for codec and dictionary, which are held against the block when it is read; what a
 *       block's bytes say has not been looked at.
 *
 * Threads. A parsed index is read-only.
 */
#ifndef VARVE_SST_GROUP_INDEX_H
#define VARVE_SST_GROUP_INDEX_H

#include "index/page_ref.h"
#include "storage/base/alloc.h"
#include "storage/sst/sst_format.h"

enum varve_vector_flags {                               /* in files */
                          VARVE_VECTOR_HAS_ABSENT = 1,  /* some cell */
                          VARVE_VECTOR_HAS_DELETED = 2, /* some cell or marker */
                          VARVE_VECTOR_HAS_EXPIRY = 4,  /* min_expiry is not 0 */
                          VARVE_VECTOR_HAS_EXCEPTIONS = 8,
                          VARVE_VECTOR_HAS_UNMARKED = 16, /* some marker is not live */
                          VARVE_VECTOR_FLAGS = 31
};

#define VARVE_GROUP_CELLS_MAX (1u << 20) /* streams x vectors of a group */

struct varve_group_vector {
    uint32_t first_row; /* in the group */
    uint32_t rows;
    uint32_t first_run;
    uint32_t runs;
    uint32_t flags;
    uint32_t min_expiry;
    int64_t min_wt;
    int64_t max_wt;
    uint64_t content_hash;
};

struct varve_group_run {
    int64_t first_time;
    int64_t last_time;
    uint32_t first_row; /* in the group */
    uint32_t rows;
    uint32_t partition; /* ordinal, less that of the group's first */
    uint32_t vector;
};

struct varve_group_block { /* of one stream and vector */
    uint64_t offset;
    uint64_t checksum;
    uint32_t size; /* 0: left out */
    uint32_t dictionary;
    uint32_t codec;
};

struct varve_group_dictionary {
    struct varve_page_ref ref;
    uint32_t id;
    uint32_t entries;
};

/* Parsed: one block of memory that may lie in the cache; the pointers point into it. */
struct varve_group_index {
    uint32_t n_rows;
    uint32_t n_vectors;
    uint32_t n_runs;
    uint32_t n_streams;
    uint32_t n_dictionaries;
    struct varve_page_ref zones; /* size 0: none */
    struct varve_group_vector *vectors;
    struct varve_group_run *runs;
    struct varve_group_dictionary *dictionaries;
    uint32_t *streams;                /* ascending */
    struct varve_group_block *blocks; /* [n_streams][n_vectors] */
};

/* Encode. `scratch`: as many values as the larger of n_vectors and n_runs. */
void varve_group_index_encode(const struct varve_group_index *index, int64_t *scratch,
                              struct varve_buffer *out);

/* Memory that the parsed form of `in` takes: ELIMIT-free bound checks happen here. OK, ECORRUPT. */
varve_status varve_group_index_measure(struct varve_span in, size_t *ret_size, varve_error *err);
/* Parse into `memory` of that size, aligned to 16; *ret_index is its begin. OK or ECORRUPT. */
varve_status varve_group_index_parse(struct varve_span in, uint64_t file_size, void *memory,
                                     size_t size, const struct varve_group_index **ret_index,
                                     varve_error *err);

/* Row of `stream` in blocks, or UINT32_MAX. */
uint32_t varve_group_stream(const struct varve_group_index *index, uint32_t stream);

static inline const struct varve_group_block *
varve_group_block_at(const struct varve_group_index *index, uint32_t row, uint32_t vector)
{
    return &index->blocks[(size_t)row * index->n_vectors + vector];
}

/* The run that holds row `row` (< n_rows) of the group. O(log runs). */
uint32_t varve_group_run_of_row(const struct varve_group_index *index, uint32_t row);
/* Of runs [from, to) of one partition: the first whose last time is >= t, or `to`. */
uint32_t varve_group_run_from(const struct varve_group_index *index, uint32_t from, uint32_t to,
                              int64_t t);
/* The first whose first time is > t, or `to`. */
uint32_t varve_group_run_after(const struct varve_group_index *index, uint32_t from, uint32_t to,
                               int64_t t);

#endif
