/*
 * arena.h - memory that is given back all at once.
 *
 * Blocks are at least `block_size`; a larger request gets a block of its own. Threads: none.
 */
#ifndef VARVE_BASE_ARENA_H
#define VARVE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct varve_heap;
struct varve_arena_block;

struct varve_arena {
    struct varve_heap *heap;
    struct varve_arena_block *head;
    size_t block_size;
    size_t used;
    size_t total; /* bytes held from the heap */
};

void varve_arena_init(struct varve_arena *arena, struct varve_heap *heap, size_t block_size);
void *varve_arena_alloc(struct varve_arena *arena, size_t size, size_t align); /* NULL: no memory */
void varve_arena_reset(struct varve_arena *arena);                             /* keeps one block */
void varve_arena_free(struct varve_arena *arena);

#endif
