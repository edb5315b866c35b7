/*
 * alloc.h - counted memory: every byte the engine holds goes through one struct varve_heap.
 *
 * A heap wraps the application's allocator, counts live bytes and their peak, and refuses to grow
 * past its limit. Threads: any (the counters are atomic).
 */
#ifndef VARVE_BASE_ALLOC_H
#define VARVE_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/alloc.h>

struct varve_heap {
    const varve_allocator *base;
    _Atomic(uint64_t) used;
    _Atomic(uint64_t) peak;
    uint64_t limit; /* UINT64_MAX: none */
};

/* `base` NULL: the C library's. */
void varve_heap_init(struct varve_heap *heap, const varve_allocator *base, uint64_t limit);

/* Memory aligned to 16, not cleared; NULL when there is none or the limit forbids it. size > 0. */
void *varve_alloc(struct varve_heap *heap, size_t size);
/* The same, zeroed. NULL too if count * size overflows. */
void *varve_alloc_zero(struct varve_heap *heap, size_t count, size_t size);
/* Grow or shrink: a new block with min(old, new) bytes copied; the old one is freed only on
 * success. `memory` may be NULL with old_size 0. */
void *varve_realloc(struct varve_heap *heap, void *memory, size_t old_size, size_t new_size);
/* NULL is a no-op. `size` is what was asked for. */
void varve_free(struct varve_heap *heap, void *memory, size_t size);

/* The same with an alignment (power of two, at least 16; 64 for Arrow buffers, 4096 for direct I/O). */
void *varve_alloc_aligned(struct varve_heap *heap, size_t size, size_t align);
void varve_free_aligned(struct varve_heap *heap, void *memory, size_t size, size_t align);

uint64_t varve_heap_used(const struct varve_heap *heap);
uint64_t varve_heap_peak(const struct varve_heap *heap);

/* A copy of a string; free with varve_free(heap, s, strlen(s) + 1). */
char *varve_strdup(struct varve_heap *heap, const char *text);

#endif
