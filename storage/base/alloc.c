/*
 * alloc.c - counted memory on top of the application's allocator, or the C library's.
 */
#include "storage/base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_DEFAULT 16u

static void *libc_alloc(void *ctx, size_t size, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (align <= ALIGN_DEFAULT)
        return malloc(size);
    return posix_memalign(&memory, align, size) == 0 ? memory : NULL;
}

static void libc_free(void *ctx, void *memory, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(memory);
}

static const varve_allocator libc_allocator = {.alloc = libc_alloc, .free = libc_free};

void varve_heap_init(struct varve_heap *heap, const varve_allocator *base, uint64_t limit)
{
    heap->base = base != NULL ? base : &libc_allocator;
    heap->limit = limit;
    atomic_init(&heap->used, 0);
    atomic_init(&heap->peak, 0);
}

/* Count `size` bytes in, unless that exceeds the limit. */
static bool take(struct varve_heap *heap, size_t size)
{
    uint64_t used = atomic_load_explicit(&heap->used, memory_order_relaxed);

    do {
        if (size > heap->limit || used > heap->limit - size)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&heap->used, &used, used + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    used += size;
    uint64_t peak = atomic_load_explicit(&heap->peak, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(
                              &heap->peak, &peak, used, memory_order_relaxed, memory_order_relaxed))
        ;
    return true;
}

static void give(struct varve_heap *heap, size_t size)
{
    const uint64_t before = atomic_fetch_sub_explicit(&heap->used, size, memory_order_relaxed);
    assert(before >= size);
    (void)before;
}

void *varve_alloc_aligned(struct varve_heap *heap, size_t size, size_t align)
{
    assert(size > 0);
    if (!take(heap, size))
        return NULL;
    void *memory = heap->base->alloc(heap->base->ctx, size, align);
    if (memory == NULL)
        give(heap, size);
    return memory;
}

void varve_free_aligned(struct varve_heap *heap, void *memory, size_t size, size_t align)
{
    if (memory == NULL)
        return;
    heap->base->free(heap->base->ctx, memory, size, align);
    give(heap, size);
}

void *varve_alloc(struct varve_heap *heap, size_t size)
{
    return varve_alloc_aligned(heap, size, ALIGN_DEFAULT);
}

void *varve_alloc_zero(struct varve_heap *heap, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes == 0)
        return NULL;
    void *memory = varve_alloc(heap, bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void *varve_realloc(struct varve_heap *heap, void *memory, size_t old_size, size_t new_size)
{
    void *fresh = varve_alloc(heap, new_size);

    if (fresh == NULL)
        return NULL;
    if (memory != NULL) {
        memcpy(fresh, memory, old_size < new_size ? old_size : new_size);
        varve_free(heap, memory, old_size);
    }
    return fresh;
}

void varve_free(struct varve_heap *heap, void *memory, size_t size)
{
    varve_free_aligned(heap, memory, size, ALIGN_DEFAULT);
}

uint64_t varve_heap_used(const struct varve_heap *heap)
{
    return atomic_load_explicit(&heap->used, memory_order_relaxed);
}

uint64_t varve_heap_peak(const struct varve_heap *heap)
{
    return atomic_load_explicit(&heap->peak, memory_order_relaxed);
}

char *varve_strdup(struct varve_heap *heap, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = varve_alloc(heap, size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}
