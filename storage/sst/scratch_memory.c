/*
 * scratch_memory.c - see scratch_memory.h.
 */
#include "storage/sst/scratch_memory.h"

#define ALIGN 64u
#define SMALL 2048u

void varve_scratch_free(struct varve_scratch *scratch, struct varve_heap *heap)
{
    if (scratch->size > SMALL)
        varve_free_aligned(heap, scratch->data, scratch->size, ALIGN);
    *scratch = (struct varve_scratch){.size = 0};
}

bool varve_scratch_grow(struct varve_scratch *scratch, struct varve_arena *arena, size_t size)
{
    const size_t need = (size + 2 * ALIGN - 1) & ~(size_t)(ALIGN - 1);

    if (scratch->size >= need)
        return true;
    /* What the arena gives does not come back before the end: a second, larger piece is not small. */
    const bool small = scratch->size == 0 && need <= SMALL;
    const size_t bytes = small || need > SMALL ? need : SMALL + ALIGN;
    void *data = small ? varve_arena_alloc(arena, bytes, ALIGN)
                       : varve_alloc_aligned(arena->heap, bytes, ALIGN);
    if (data == NULL)
        return false;
    varve_scratch_free(scratch, arena->heap);
    *scratch = (struct varve_scratch){data, bytes};
    return true;
}
