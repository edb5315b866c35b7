/*
 * arena.c - blocks of memory, handed out from the front, given back together.
 */
#include "storage/base/arena.h"

#include <stdbool.h>

#include "storage/base/alloc.h"

struct varve_arena_block {
    struct varve_arena_block *next;
    size_t size; /* with this header */
    size_t used;
};

void varve_arena_init(struct varve_arena *arena, struct varve_heap *heap, size_t block_size)
{
    *arena = (struct varve_arena){.heap = heap, .block_size = block_size};
}

static void *carve(struct varve_arena_block *block, size_t size, size_t align)
{
    const uintptr_t base = (uintptr_t)block;
    const size_t at = (size_t)(((base + block->used + align - 1) & ~(uintptr_t)(align - 1)) - base);

    if (at > block->size || size > block->size - at)
        return NULL;
    block->used = at + size;
    return (uint8_t *)block + at;
}

void *varve_arena_alloc(struct varve_arena *arena, size_t size, size_t align)
{
    void *memory = arena->head != NULL ? carve(arena->head, size, align) : NULL;
    size_t need;

    if (memory != NULL) {
        arena->used += size;
        return memory;
    }
    if (__builtin_add_overflow(size, align + sizeof(struct varve_arena_block), &need))
        return NULL;
    const size_t bytes = need > arena->block_size ? need : arena->block_size;
    struct varve_arena_block *block = varve_alloc(arena->heap, bytes);
    if (block == NULL)
        return NULL;
    *block = (struct varve_arena_block){.size = bytes, .used = sizeof *block, .next = arena->head};
    arena->head = block;
    arena->total += bytes;
    arena->used += size;
    return carve(block, size, align);
}

static void free_blocks(struct varve_arena *arena, struct varve_arena_block *block)
{
    while (block != NULL) {
        struct varve_arena_block *next = block->next;
        arena->total -= block->size;
        varve_free(arena->heap, block, block->size);
        block = next;
    }
}

void varve_arena_reset(struct varve_arena *arena)
{
    if (arena->head != NULL) {
        free_blocks(arena, arena->head->next);
        arena->head->next = NULL;
        arena->head->used = sizeof *arena->head;
    }
    arena->used = 0;
}

void varve_arena_free(struct varve_arena *arena)
{
    free_blocks(arena, arena->head);
    arena->head = NULL;
    arena->used = 0;
}
