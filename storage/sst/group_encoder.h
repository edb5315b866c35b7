/*
 * group_encoder.h - one row group from rows in memory to blocks in the file: statistics, streams,
 * dictionaries, zone maps, index.
 *
 * Place.   sst_writer.c decides where vectors begin and end; this encodes them, column by column.
 * Threads. None.
 */
#ifndef VARVE_SST_GROUP_ENCODER_H
#define VARVE_SST_GROUP_ENCODER_H

#include "storage/rows/rows.h"
#include "storage/sst/group_index.h"
#include "storage/sst/sst_output.h"
#include "storage/sst/sst_properties.h"
#include "storage/sst/text_dictionary.h"

struct varve_cut_run { /* rows of one partition in one vector */
    uint32_t first_row;
    uint32_t rows;
    uint32_t vector;
    uint64_t partition;
    uint64_t key_hash;
};

struct varve_cut_vector {
    uint32_t first_row;
    uint32_t rows;
    uint32_t first_run;
    uint32_t runs;
};

/* What a vector's stored form says of its rows: the same for the writer and for verification. */
struct varve_vector_facts {
    uint32_t flags;
    uint32_t min_expiry;
    uint32_t max_expiry;
    int64_t min_wt;
    int64_t max_wt;
    uint64_t markers;
    uint64_t deleted_markers;
    uint64_t deleted_cells;
};

/* Rows [first, first + n) with everything loaded; exceptions [from, to) of `rows` are theirs. */
void varve_vector_facts_of(const struct varve_rows *rows, uint32_t first, uint32_t n, uint32_t from,
                           uint32_t to, struct varve_vector_facts *ret);

struct varve_group_encoder {
    struct varve_heap *heap;
    const struct varve_schema *schema;
    struct varve_dictionary_builder dictionary;
    uint32_t next_dictionary;  /* id */
    struct varve_buffer block; /* scratch */
    struct varve_buffer zones;
    struct varve_buffer body;
    struct varve_group_vector *vectors;
    struct varve_group_run *runs;
    struct varve_group_block *blocks;
    struct varve_group_dictionary *dictionaries;
    uint32_t *streams;
    struct varve_zone *column_zones;
    int64_t *scratch;
    size_t vectors_capacity, runs_capacity, blocks_capacity, dictionaries_capacity,
        streams_capacity, zones_capacity, scratch_capacity;
};

void varve_group_encoder_init(struct varve_group_encoder *e, struct varve_heap *heap,
                              const struct varve_schema *schema);
void varve_group_encoder_free(struct varve_group_encoder *e);

/*
 * Encode rows [0, last row of the last vector] of `rows`, cut as `vectors` and `runs` say, into
 * `out`; the index becomes ticket *ret_ticket. Fills in *group but where the index stands, and
 * adds to *sum.
 */
varve_status varve_group_encode(struct varve_group_encoder *e, struct varve_sst_output *out,
                                const struct varve_rows *rows,
                                const struct varve_cut_vector *vectors, uint32_t n_vectors,
                                const struct varve_cut_run *runs, uint32_t n_runs,
                                struct varve_sst_group *group, struct varve_sst_properties *sum,
                                uint64_t *ret_ticket, varve_error *err);

#endif
