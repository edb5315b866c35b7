/*
 * ordering_rules.h - what must be on the disk before what, checked on every operation of a trace.
 *
 *     O1  A manifest page that names an SSTable or a log segment for the first time is submitted only
 *         when the file is durable, its entry and its content.
 *     O2  A file is unlinked only when no manifest that a crash can leave names it: the one that is
 *         durable is read.
 *     O3  When a durable commit is acknowledged, every byte of the log before its end is durable, in
 *         segments that the durable manifest names; whatever else is in flight then.
 *     O4  The simulated disk's own: nothing after a failed sync, no overlapping writes in flight, no
 *         buffer changed in flight.
 *
 * A breach is recorded by varve_sim_violate(); a rig asks varve_sim_violation() at its end.
 * Threads. None.
 */
#ifndef VARVE_TESTS_LIB_ORDERING_RULES_H
#define VARVE_TESTS_LIB_ORDERING_RULES_H

#include <stdint.h>

struct varve_sim;
struct ordering;

/* Watch O1 and O2 from now on. `before` may be NULL: the watch of the machine that this one is an image
 * of, so that it is known what was named already. Of the pages
 * of manifests, unlinks and acknowledgements one in `one_in` is looked at: each takes an image. */
struct ordering *ordering_watch(struct varve_sim *sim, const struct ordering *before,
                                uint32_t one_in);
/* Look at fewer from now on: where a manifest is large. */
void ordering_thin_out(struct ordering *o, uint32_t one_in);
/* O3: a commit that ends at `lsn` is acknowledged as durable. NULL is a no-op: nobody watches. */
void ordering_acked(struct ordering *o, uint64_t lsn);
/* Stop watching; before the simulation is destroyed. NULL is a no-op. */
void ordering_end(struct ordering *o);

#endif
