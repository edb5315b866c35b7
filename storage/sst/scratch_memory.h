/*
 * scratch_memory.h - arrays that decoders write to: 64-byte aligned, padded to 64 bytes and 64 more.
 *
 * Small ones lie in an arena, so that a short question costs one allocation and not one an array.
 * What they hold is undefined until it is written. Threads: none.
 */
#ifndef VARVE_SST_SCRATCH_MEMORY_H
#define VARVE_SST_SCRATCH_MEMORY_H

#include "storage/base/alloc.h"
#include "storage/base/arena.h"

struct varve_scratch { /* zeroed: empty */
    void *data;
    size_t size;
};

/* Room for `size` bytes; what was there is gone if it had less. False: no memory, nothing changed. */
bool varve_scratch_grow(struct varve_scratch *scratch, struct varve_arena *arena, size_t size);
/* Empty again. `heap` is the arena's. */
void varve_scratch_free(struct varve_scratch *scratch, struct varve_heap *heap);

#endif
