/*
 * manifest_fixture.h - a manifest on a simulated disk, and edits of every kind to put into it.
 */
#ifndef VARVE_TESTS_MANIFEST_FIXTURE_H
#define VARVE_TESTS_MANIFEST_FIXTURE_H

#include <check.h>

#include "storage/base/alloc.h"
#include "storage/manifest/manifest.h"
#include "storage/manifest/manifest_format.h"
#include "storage/vfs/vfs_sim.h"
#include "tests/lib/fault.h"

/* An assertion for long loops: Check's own writes to a file each time, also when it holds. */
#define must(condition) ((condition) ? (void)0 : ck_abort_msg("not true: %s", #condition))

struct rig {
    struct varve_heap sim_heap; /* the machine's memory */
    struct varve_sim *sim;
    struct varve_vfs *vfs;
    struct fault fault;
    struct varve_heap heap; /* the manifest's, with faults */
    varve_error err;
};

void rig_init(struct rig *rig, uint64_t seed);
/* Requires that nothing leaked and no rule of the disk was broken. */
void rig_free(struct rig *rig);
/* Arm the allocator anew: call `at` fails. Everything must have been freed. */
void rig_fault(struct rig *rig, long at, enum fault_mode mode);

#define SAMPLE_EDITS 12u /* of every kind; number 5 takes more than a page */

/* Apply edit `i`: one of the samples, then small ones for ever. They work in this order only. */
varve_status sample_apply(struct varve_manifest *manifest, struct rig *rig, uint32_t i);

/* What a state is: a hash over all of it and its number. */
uint64_t state_hash(const struct varve_version *version);
/* The same of a manifest's newest version. */
uint64_t manifest_state(const struct varve_manifest *manifest);
/* The state in words, for the golden file. The caller frees it. */
char *state_text(const struct varve_version *version);

/* The newest state that an open of the disk shows; fails the test if it cannot be opened. */
uint64_t opened_state(struct rig *rig, bool read_only);

#endif
