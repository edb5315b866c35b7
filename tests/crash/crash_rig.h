/*
 * crash_rig.h - a store on the simulated disk, what was promised to its application so far, and the
 * test of everything that a crash may leave.
 *
 * A scenario drives the store through the rig's calls. The rig watches the disk: before an
 * operation that changes it, and after every acknowledgement, the power may go. For the crash
 * points that are chosen it goes through crash states of all models, opens the store on each image
 * and requires
 *     - it opens; or, where a file shows garbage in place of bytes that were lost, refuses and says
 *       where, and opens with VARVE_WAL_TAIL_CUT if the damage is the log's;
 *     - every batch whose durability was acknowledged is there; the batches that are there are the
 *       first ones that were started, each whole (tests/lib/numbered.h);
 *     - opening again gives the same; it takes a further batch; and has it after another open.
 * One state in twenty crashes again while it recovers. A process death (all that was written stays)
 * must keep every acknowledgement, whatever its policy.
 *
 * An image seen before is not opened again: what was found in it then is held against what is
 * promised now.
 * Threads. None.
 */
#ifndef VARVE_TESTS_CRASH_CRASH_RIG_H
#define VARVE_TESTS_CRASH_CRASH_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <varve/varve.h>

#include "storage/base/alloc.h"
#include "storage/base/rng.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/crash_models.h"
#include "tests/lib/numbered.h"
#include "tests/lib/ordering_rules.h"

#define RIG_MODELS (CRASH_MODELS + 1) /* numbers of crash_models[]; the last is a process death */

/* What is known of something that an application asked for. */
enum rig_state { RIG_NO = 0, RIG_PERHAPS, RIG_YES };

/* What a recovered store must hold. */
struct rig_promise {
    uint64_t started; /* batches */
    uint64_t acked;   /* all below are acknowledged */
    uint64_t durable; /* all below are acknowledged as durable */
    uint8_t store;    /* enum rig_state: it exists */
    uint8_t tables;   /* a and b exist */
    uint8_t extra;    /* table c exists */
};

/* Images seen, and what was in them. */
struct rig_seen {
    struct rig_found {
        uint64_t hash;
        uint64_t count;
        uint8_t store, tables, extra; /* RIG_NO or RIG_YES */
        bool refused;                 /* as the rules call for */
    } * slots;
    uint64_t n_slots, n;
};

struct rig {
    struct varve_heap *heap;
    struct varve_sim *sim;
    struct varve_vfs *vfs;
    struct rig_seen *seen;
    struct varve_rng rng;    /* of the scenario: the same whatever is looked at */
    struct varve_rng choice; /* of what is looked at */
    const char *scenario;
    uint64_t seed;
    uint32_t pad;
    uint32_t chance;     /* in 65536: that a crash point is looked at */
    uint32_t random;     /* crash states drawn at random, a model */
    uint64_t only_op;    /* look at this operation only; UINT64_MAX: all */
    int only_model;      /* -1: all */
    uint64_t only_state; /* UINT64_MAX: all */
    double deadline;     /* CLOCK_MONOTONIC seconds after which no more points are looked at */
    varve_policy policy; /* the store's */
    uint32_t depth;      /* 1: a crash inside the recovery of an image */

    varve_store *store;
    varve_batch *batch;
    struct numbered numbered;
    struct rig_promise promise;
    bool failed;
    bool busy; /* looking at states: the watcher keeps quiet */
    uint64_t points, states, distinct, refusals, nested;
    struct ordering *order;
};

void rig_init(struct rig *rig, struct varve_heap *heap, struct rig_seen *seen, uint64_t seed,
              const char *scenario);
/* End the simulation; a breach of the ordering rules is a failure. */
void rig_finish(struct rig *rig);
void rig_fail(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What scenarios do. All of them stop doing anything once the rig has failed. */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
void rig_die(struct rig *rig); /* kill -9, without closing */
void rig_tables(struct rig *rig);
void rig_commit(struct rig *rig, varve_policy policy, uint32_t batches);
/* Start `batches` commits, then reap them all. */
void rig_commit_group(struct rig *rig, varve_policy policy, uint32_t batches);
void rig_wait_durable(struct rig *rig);
void rig_flush(struct rig *rig);
void rig_work(struct rig *rig, uint64_t budget_us);
void rig_extra(struct rig *rig, bool create);
void rig_options(const struct rig *rig, struct varve_vfs *vfs, varve_options *options);
/* A crash point: the power may go now. */
void rig_point(struct rig *rig);
/* Make every operation of rig->sim that changes the disk a crash point. */
void rig_watch_points(struct rig *rig);

/* rig_check.c: require that the image holds what was promised. `image` stays the caller's. */
bool rig_check_image(struct rig *rig, struct varve_sim *image, const struct rig_promise *promise,
                     uint64_t hash, bool garbage, const char *replay);

#endif
