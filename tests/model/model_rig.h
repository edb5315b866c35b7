/*
 * model_rig.h - one store and its model side by side: every operation is done to both, and every
 * answer of the store is compared with the model's, cell by cell.
 *
 * The store runs on the simulated disk, without threads (varve_work is called at random), or on a
 * real one. Memtables, segments, row groups and windows are small, so that files and segments are
 * many. A run is a function of its seed on the simulated disk.
 *
 * With a struct model_trouble (model_trouble.c; on the simulated disk) the store may also meet
 * faults and power cuts. Every batch then has a row in a table of marks, by which the next open tells
 * how many commits are there; the model goes back to that, if it is not fewer than was promised.
 * Threads. None of its own.
 */
#ifndef VARVE_TESTS_MODEL_MODEL_RIG_H
#define VARVE_TESTS_MODEL_MODEL_RIG_H

#include "storage/base/alloc.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/crash_models.h"
#include "tests/lib/fault.h"
#include "tests/lib/ordering_rules.h"
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
    bool perhaps;                 /* whether it is there, the next open tells */
};

struct model_snapshot {
    varve_snapshot *snapshot; /* NULL: none */
    uint64_t seq;
};

struct model_rig {
    struct varve_heap heap;
    struct varve_sim *sim;  /* NULL: a real disk */
    struct ordering *order; /* what is watched of it; NULL with a model_trouble */
    struct varve_vfs *vfs;
    struct scratch scratch;
    uint32_t backend;
    uint64_t seed, step;
    bool failed, verbose;
    bool excused;                  /* failed, but for a fault: see model_trouble_settle() */
    struct model_trouble *trouble; /* NULL: none */
    varve_policy policy;           /* the store's */
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

/* `backend`: VARVE_IO_AUTO is the simulated disk, else the real one with that backend. `trouble` may
 * be NULL and need not be initialised. */
void model_rig_init(struct model_rig *rig, uint64_t seed, uint32_t backend,
                    struct model_trouble *trouble);
void model_rig_free(struct model_rig *rig);
/* One operation, drawn from the seed, and the comparison of what it gave. */
void model_rig_step(struct model_rig *rig);
void model_fail(struct model_rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A failure unless rc >= 0, or a fault excuses it. */
void model_expect(struct model_rig *rig, varve_status rc, const char *what, const varve_error *err);

/* The operations; the details of each are drawn. */
void model_create_table(struct model_rig *rig, struct model_table *table); /* where there is none */
void model_drop_table(struct model_rig *rig, struct model_table *table);
/* A batch; `columns` in 100 of its puts are whole columns. */
void model_write(struct model_rig *rig, varve_policy policy, unsigned columns);
void model_change_snapshots(struct model_rig *rig);
void model_work(struct model_rig *rig, uint64_t budget_us);
void model_flush(struct model_rig *rig);
void model_verify(struct model_rig *rig);
void model_reopen(struct model_rig *rig, bool kill);
/* Opening alone: not judged but for the tables, and nothing is scanned. */
varve_status model_open(struct model_rig *rig, uint32_t wal_tail, varve_error *err);
void model_close(struct model_rig *rig);

/* model_questions.c */
void model_scan(struct model_rig *rig);
void model_aggregate(struct model_rig *rig);
/* Everything in a table, both ways, and in SQLite. */
void model_full_scan(struct model_rig *rig, struct model_table *table);
void model_scan_all(struct model_rig *rig);

/* model_ranges.c */
void model_partitions(struct model_rig *rig);
void model_split(struct model_rig *rig);

/* model_trouble.c ------------------------------------------------------------------------------ */

#define MODEL_COMMITS_MAX 256

struct model_trouble {
    struct fault fault;   /* the store's allocator */
    varve_table *marks;   /* a row for each commit */
    uint64_t struck;      /* faults before this operation */
    uint64_t struck_open; /* and before the store was opened */
    bool no_room;         /* a fault says so: a commit may hear it until a flush is tried again */
    bool doubt;           /* the next open tells how many commits there are */
    uint64_t durable;     /* so many a power cut must leave */
    /* A power cut inside an operation: before the so manieth change of the disk; 0: none. */
    uint64_t cut_in;
    uint32_t cut_model;
    uint64_t cut_state;
    struct varve_sim *image; /* what it left; NULL: it has not happened */
    uint64_t image_durable;
    bool image_garbage;
    /* The origins after each commit. */
    struct model_past {
        struct oracle_origin origins[ORACLE_ORIGINS_MAX];
        uint32_t n;
    } past[MODEL_COMMITS_MAX + 1];
};

#define MODEL_CUTS CRASH_MODELS /* kinds of power cuts */

/* Between operations. The power goes now, or before the `changes`-th change of the disk from now;
 * `kind` and `state` choose what is left. */
void model_power_cut(struct model_rig *rig, uint32_t kind, uint64_t state);
void model_power_cut_in(struct model_rig *rig, uint64_t changes, uint32_t kind, uint64_t state);
/* The nth operation of these classes, or allocation, from now fails. */
void model_fail_io(struct model_rig *rig, const struct varve_sim_fault *fault);
void model_fail_allocation(struct model_rig *rig, uint64_t nth);
void model_wait_durable(struct model_rig *rig);
/* To be called after every operation: what failed because of a fault is settled, so that store and
 * model agree again, and the power that went inside the operation is gone now. */
void model_trouble_settle(struct model_rig *rig);

/* For the rig itself. */
void model_trouble_init(struct model_rig *rig);
void model_trouble_options(struct model_rig *rig, varve_options *options);
/* The store has been opened: hold its commits against what was promised. */
void model_trouble_opened(struct model_rig *rig);
void model_trouble_closed(struct model_rig *rig);
void model_trouble_end(struct model_rig *rig); /* the power does not go any more */
/* Add the mark of the next commit to the batch. False: it cannot be committed. */
bool model_trouble_mark(struct model_rig *rig);
/* A commit that the model has applied got the answer `rc`. */
void model_trouble_committed(struct model_rig *rig, varve_policy policy, varve_status rc);
/* Whether a fault is reason enough for this answer. False where there is no trouble. */
bool model_excuses(const struct model_rig *rig, varve_status rc);
/* Whether the power has gone in this operation already. */
bool model_is_cut(const struct model_rig *rig);

#endif
