/*
 * store_rig.h - a store on a simulated disk and the truth about it: which batches were committed,
 * acknowledged or refused, so that whatever a scan shows can be judged.
 *
 * A batch is RIG_ROWS rows whose values follow from its number and table alone. A batch is there as
 * a whole or not at all; one that was acknowledged is there; one that was never given is not.
 *
 * Every judgement that fails prints a line with rig->label and aborts.
 * Threads. None.
 */
#ifndef VARVE_TESTS_LIB_STORE_RIG_H
#define VARVE_TESTS_LIB_STORE_RIG_H

#include <varve/varve.h>

#include "storage/base/alloc.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/fault.h"
#include "tests/lib/ordering_rules.h"

#define RIG_BATCHES 256u
#define RIG_KEYS 3u
#define RIG_TIMES 4u
#define RIG_ROWS (RIG_KEYS * RIG_TIMES)
#define RIG_TABLES 2u

enum rig_truth {
    RIG_NEVER = 0, /* was not given to the store */
    RIG_MAYBE = 1, /* given, but the answer was an error */
    RIG_ACKED = 2,
    RIG_GONE = 3 /* its table was dropped */
};

struct rig_table_truth {
    uint8_t exists; /* enum rig_truth; GONE: dropped; MAYBE: created or dropped without success */
    uint8_t batches[RIG_BATCHES];
    bool is_soft[RIG_BATCHES]; /* acknowledged when it was written, and not synced since */
};

struct store_rig {
    char label[160]; /* what is being tried, for messages */
    struct varve_heap sim_heap;
    struct varve_sim *sim;
    struct ordering *order; /* NULL: of an image, which nobody watches */
    struct varve_vfs *vfs;  /* the process that has the store open */
    struct fault fault;
    varve_store *store;
    varve_snapshot *snapshot;
    struct rig_table_truth at_snapshot;
    struct rig_table_truth tables[RIG_TABLES];
    uint32_t wal_segment_bytes; /* 0: 64 KiB */
    varve_error err;
};

void rig_setup(struct store_rig *rig, uint64_t seed);
/* Close what is open, require that nothing leaked and that no rule of the disk or of its order was
 * broken. */
void rig_teardown(struct store_rig *rig);
void rig_die(const struct store_rig *rig, const char *what);

/* Each does one thing with the store and keeps the truth. A status below 0 is what the store said;
 * calls without an open store give EINVAL. */
varve_status rig_open(struct store_rig *rig, uint32_t flags); /* enum varve_open_flags */
void rig_close(struct store_rig *rig);
void rig_kill(struct store_rig *rig); /* kill -9, and a new process */
varve_status rig_create_table(struct store_rig *rig, uint32_t table);
varve_status rig_drop_table(struct store_rig *rig, uint32_t table);
varve_status rig_commit(struct store_rig *rig, uint32_t table, uint32_t batch, varve_policy policy,
                        bool by_columns);
varve_status rig_flush(struct store_rig *rig);
/* Background work until there is none; a store that never ends is a failure. */
varve_status rig_work(struct store_rig *rig);
varve_status rig_snapshot(struct store_rig *rig);
/* Whether the store says that it has failed. */
bool rig_is_failed(const struct store_rig *rig);

/* The page cache has been lost: what only it held may be gone. */
void rig_lose_soft(struct store_rig *rig);

/* Read and judge. OK: everything was as it must be. Below 0: the store said why not. */
varve_status rig_scan(struct store_rig *rig, uint32_t table);
varve_status rig_scan_snapshot(struct store_rig *rig);
varve_status rig_aggregate(struct store_rig *rig, uint32_t table);
varve_status rig_verify(struct store_rig *rig);
/* A second process opens the disk to read, judges all tables, and closes. */
varve_status rig_read_only(struct store_rig *rig);

/* Open, judge every table, settle what was doubtful, commit one more batch, close, do it again:
 * whatever has happened before must be over now. */
void rig_must_be_sound(struct store_rig *rig);
/* The same of an image of the disk (a crash state), which keeps its own truth. Destroys it. */
void rig_image_must_be_sound(const struct store_rig *rig, struct varve_sim *image);

#endif
