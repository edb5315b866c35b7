/*
 * sst_maker.h - a table in memory, written to a file on a simulated disk, and what must come back.
 */
#ifndef VARVE_TESTS_SST_MAKER_H
#define VARVE_TESTS_SST_MAKER_H

#include "storage/sst/sst_reader.h"
#include "storage/sst/sst_writer.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/unit/rows/row_maker.h"

#define SST_NAME "a.sst"

enum sst_rows_kind {
    SST_PLAIN, /* one write time, all live: bars */
    SST_WILD   /* all states, stamps, exceptions */
};

struct sst_part {
    uint8_t key[64];
    uint32_t key_size;
    struct varve_rows_builder rows;
};

struct sst_model {
    struct row_heap heap; /* of the model itself */
    struct varve_schema *schema;
    struct sst_part *parts;
    uint32_t n_parts;
    uint64_t n_rows;
    struct varve_rng rng;
};

struct sst_disk {
    struct row_heap heap; /* of the code under test */
    struct row_heap sim_heap;
    struct varve_sim *sim;
    struct varve_vfs *vfs;
    struct varve_cache *cache;
};

extern const char sst_table_bars[]; /* eight decimals and integers */
extern const char sst_table_keep[];

void sst_model_init(struct sst_model *m, const char *table, uint64_t seed);
/* Add a partition after all others with `n` rows, `step` apart on average. */
void sst_model_add(struct sst_model *m, uint32_t n, enum sst_rows_kind kind);
void sst_model_free(struct sst_model *m);

void sst_disk_init(struct sst_disk *d, uint64_t cache_bytes);
void sst_disk_free(struct sst_disk *d); /* requires that nothing is left */

/* Write the model; pieces of random size. */
varve_status sst_model_write(struct sst_model *m, struct sst_disk *d, const char *name,
                             uint32_t group_rows, struct varve_sst_properties *ret_properties,
                             varve_error *err);

/* Write and open; aborts on failure. */
struct varve_sst *sst_model_open(struct sst_model *m, struct sst_disk *d, uint32_t group_rows);

/* Read everything and compare with the model: VARVE_OK, or the error that reading gave. A wrong
 * row fails the test. */
varve_status sst_model_read(struct sst_model *m, struct sst_disk *d, struct varve_sst *sst,
                            bool reverse, varve_error *err);
/* Everything once: write, open, read, verify. What the first of them that fails gave. A file that
 * stays behind when writing fails, though every I/O operation worked, fails the test. */
varve_status sst_model_whole_story(struct sst_model *m, struct sst_disk *d, uint32_t group_rows,
                                   bool reverse);
/* Find one partition and read [first, last] of it. */
void sst_model_slice(struct sst_model *m, struct varve_source *source, uint32_t part, int64_t first,
                     int64_t last, bool reverse);

#endif
