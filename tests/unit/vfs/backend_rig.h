/*
 * backend_rig.h - the same directory behind each backend, for the tests of storage/vfs.
 */
#ifndef TESTS_BACKEND_RIG_H
#define TESTS_BACKEND_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/base/alloc.h"
#include "storage/vfs/vfs.h"
#include "storage/vfs/vfs_sim.h"

enum rig_kind { RIG_POSIX, RIG_URING, RIG_SIM, RIG_KINDS };

/* Counted memory that can be told to fail. */
struct rig_memory {
    varve_allocator allocator;
    struct varve_heap heap;
    uint64_t calls;
    uint64_t fail_at; /* this call and all after it return NULL; 0: none does */
};

struct rig {
    enum rig_kind kind;
    struct rig_memory memory;
    char path[128];        /* of the directory; not for the simulated disk */
    struct varve_sim *sim; /* only for it */
    struct varve_vfs *vfs;
};

void rig_memory_init(struct rig_memory *memory);

/* False: this kernel does not allow the backend, and there is nothing to test. */
bool rig_open(struct rig *rig, enum rig_kind kind);
/* Checks that nothing leaked, and removes the directory. */
void rig_close(struct rig *rig);
/* Another process, or what is as good as one, in the same directory. */
struct varve_vfs *rig_second(struct rig *rig);

struct varve_file *rig_file(struct varve_vfs *vfs, const char *name, uint32_t flags);
/* Fill a buffer with bytes that depend on the seed. */
void rig_fill(uint8_t *bytes, size_t size, uint64_t seed);
/* Submit one request and wait for it. */
int64_t rig_perform(struct varve_vfs *vfs, struct varve_io_queue *queue, uint32_t op,
                    struct varve_file *file, void *buffer, size_t size, uint64_t offset);

#endif
