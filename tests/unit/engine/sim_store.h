/*
 * sim_store.h - a store on a simulated disk for the engine's tests: opened, filled, killed, counted.
 *
 * Tables are `<name> (k int, ts timestamp, v bigint, PRIMARY KEY ((k), ts))`; row (k, ts) has
 * v = 3 ts. Whatever is not expected ends the test.
 * Threads. None: without background threads, which the simulation does not have.
 */
#ifndef VARVE_TESTS_ENGINE_SIM_STORE_H
#define VARVE_TESTS_ENGINE_SIM_STORE_H

#include <check.h>

#include <varve/varve.h>

#include "storage/base/alloc.h"
#include "storage/manifest/manifest.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/ordering_rules.h"

struct varve_version;

struct sim_store {
    struct varve_heap heap;
    struct varve_sim *sim;
    struct ordering *order;
    struct varve_vfs *vfs; /* the process */
    varve_options options;
    varve_store *store;
    varve_error err;
};

void sim_store_create(struct sim_store *s, uint64_t seed); /* no store in it yet */
/* No rule of the disk or of its order may have been broken. */
void sim_store_destroy(struct sim_store *s);
void sim_store_open(struct sim_store *s); /* creates it the first time */
/* The test takes a file away that a manifest names: nothing more can be said of the order of writes. */
void sim_store_remove(struct sim_store *s, const char *file);
varve_status sim_store_try_open(struct sim_store *s);
void sim_store_close(struct sim_store *s);
/* Files of a kind on the disk; the name of the newest one, which there must be. */
uint32_t sim_store_files(struct sim_store *s, enum varve_file_kind kind);
void sim_store_newest(struct sim_store *s, enum varve_file_kind kind, char *ret_name);
/* kill -9 and a new process. */
void sim_store_kill(struct sim_store *s);
/* The power goes now; what the disk is left with is drawn by `index` and becomes the new one. False:
 * there is no such state. */
bool sim_store_cut(struct sim_store *s, uint64_t index);

void sim_store_table(struct sim_store *s, const char *name, const char *duplicates);
/* The same, where it may be refused; the detail in s->err. */
varve_status sim_store_try_table(struct sim_store *s, const char *name, const char *duplicates);
bool sim_store_has_table(struct sim_store *s, const char *name);
/* The version that the manifest on the disk says now; to be unreferenced. */
struct varve_version *sim_store_listed(struct sim_store *s);
varve_table *sim_store_handle(struct sim_store *s, const char *name);
/* A batch of rows (k, first), (k, first + 1), ... of a table. */
varve_batch *sim_store_batch(struct sim_store *s, const char *table, int k, int64_t first,
                             int64_t n);
/* Commit it and free it; the status is the commit's, the detail in s->err. */
varve_status sim_store_commit(struct sim_store *s, varve_batch *batch, varve_policy policy);
varve_status sim_store_put(struct sim_store *s, const char *table, int k, int64_t first, int64_t n,
                           varve_policy policy);
/* Rows that a scan gives, each checked. `snapshot` may be NULL. */
int64_t sim_store_rows(struct sim_store *s, const varve_table *table, varve_snapshot *snapshot);
int64_t sim_store_count(struct sim_store *s, const char *table);
void sim_store_work(struct sim_store *s); /* until there is nothing to do */
varve_stats sim_store_stats(struct sim_store *s);

/* main() of a test with one case. */
int sim_store_main(const char *name, void (*add)(TCase *cases));

#endif
