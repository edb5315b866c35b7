/*
 * alloc.h - counted memory: every byte the engine holds goes through one struct varve_heap.
 *
 * A heap wraps the application's allocator, counts live bytes and their peak, and refuses to grow
 * past its limit. Before it refuses it asks its owner to give something back; afterwards the owner
 * says what holds the memory. Threads: any (the counters are atomic).
 */
#ifndef VARVE_BASE_ALLOC_H
#define VARVE_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/alloc.h>
#include <varve/varve.h>

/* Who fills a heap. `relieve` is called where memory is asked for: it may take leaf locks only, and
 * asks for no memory itself. `describe` is called with no lock held. */
struct varve_heap_owner {
    void *ctx;
    uint64_t (*relieve)(void *ctx, uint64_t bytes); /* give about so much back; how much it was */
    void (*describe)(void *ctx, char *out, size_t size); /* what holds memory, what to do */
};

struct varve_heap {
    const varve_allocator *base;
    _Atomic(uint64_t) used;
    _Atomic(uint64_t) peak;
    uint64_t limit; /* UINT64_MAX: none */
    struct varve_heap_owner owner;
    _Atomic(bool) limited; /* the last refusal was the limit's, not the allocator's */
    _Atomic(uint64_t) refused_size, refused_used; /* what it wanted, and how much there was */
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

/* Before the heap is shared. */
void varve_heap_set_owner(struct varve_heap *heap, const struct varve_heap_owner *owner);
/* Another limit, which may be below what is in use. While one thread uses the heap. */
void varve_heap_set_limit(struct varve_heap *heap, uint64_t limit);
/*
 * What a public call makes of its result: an ENOMEM that was the limit's becomes ELIMIT, with a message
 * that says the limit, what holds memory and what to do. Everything else stays. `err` may be NULL.
 */
varve_status varve_heap_explain(struct varve_heap *heap, varve_status rc, varve_error *err);

uint64_t varve_heap_used(const struct varve_heap *heap);
uint64_t varve_heap_peak(const struct varve_heap *heap);

/* A copy of a string; free with varve_free(heap, s, strlen(s) + 1). */
char *varve_strdup(struct varve_heap *heap, const char *text);

#endif
