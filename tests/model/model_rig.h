/*
 * model_rig.h - one store and its model side by side: every operation is done to both, and every
 * answer of the store is compared with the model's, cell by cell.
 *
 * The store runs on the simulated disk, without threads (varve_work is called at random), or on a
 * real one. Memtables, segments, row groups and windows are small, so that files and segments are
 * many. A run is a function of its seed on the simulated disk.
 * Threads. None of its own.
 */
#ifndef VARVE_TESTS_MODEL_MODEL_RIG_H
#define VARVE_TESTS_MODEL_MODEL_RIG_H

#include "storage/base/alloc.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/scratch.h"
#include "tests/model/random_rows.h"
#include "tests/model/sqlite_mirror.h"

#define MODEL_TABLES 4
#define MODEL_SNAPSHOTS 3

struct model_table {
    struct oracle_table *oracle; /* NULL: there is none now */
    varve_table *table;
    struct sqlite_mirror *mirror; /* NULL: the table has writes that SQL cannot say */
    uint64_t number;              /* tables made before it: part of its name */
    int64_t near;                 /* where its writes are */
};

struct model_snapshot {
    varve_snapshot *snapshot; /* NULL: none */
    uint64_t seq;
};

struct model_rig {
    struct varve_heap heap;
    struct varve_sim *sim; /* NULL: a real disk */
    struct varve_vfs *vfs;
    struct scratch scratch;
    uint32_t backend;
    uint64_t seed, step;
    bool failed, verbose;
    varve_store *store;
    varve_batch *batch;
    struct random_rows random;
    struct oracle oracle;
    struct oracle_batch puts;
    struct model_table tables[MODEL_TABLES];
    struct model_snapshot snapshots[MODEL_SNAPSHOTS];
    struct oracle_result want;
    uint64_t tables_made;
    uint64_t ops, rows, batches, refused, repeated, scans, aggregates, compared, reopens, kills,
        mirrored;
};

/* `backend`: VARVE_IO_AUTO is the simulated disk, else the real one with that backend. */
void model_rig_init(struct model_rig *rig, uint64_t seed, uint32_t backend);
void model_rig_free(struct model_rig *rig);
/* One operation, drawn from the seed, and the comparison of what it gave. */
void model_rig_step(struct model_rig *rig);
void model_fail(struct model_rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* model_questions.c */
void model_scan(struct model_rig *rig);
void model_aggregate(struct model_rig *rig);
/* Everything in a table, both ways, and in SQLite. */
void model_full_scan(struct model_rig *rig, struct model_table *table);

/* model_ranges.c */
void model_partitions(struct model_rig *rig);
void model_split(struct model_rig *rig);

#endif
