/*
 * alloc.c - counted memory on top of the application's allocator, or the C library's.
 */
#include "storage/base/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/error.h"

#define ALIGN_DEFAULT 16u
#define RELIEF_TRIES 4   /* what is given back may be taken by another thread */
#define RELIEF_SHARE 64u /* of the limit: the least that is asked back at a time */

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
    atomic_init(&heap->limited, false);
    atomic_init(&heap->refused_size, 0);
    atomic_init(&heap->refused_used, 0);
    heap->owner = (struct varve_heap_owner){0};
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

void varve_heap_set_owner(struct varve_heap *heap, const struct varve_heap_owner *owner)
{
    heap->owner = *owner;
}

void varve_heap_set_limit(struct varve_heap *heap, uint64_t limit)
{
    heap->limit = limit;
}

/* For the message: by then, what led to the refusal has been freed. */
static void note_refusal(struct varve_heap *heap, size_t size)
{
    atomic_store_explicit(&heap->refused_size, size, memory_order_relaxed);
    atomic_store_explicit(&heap->refused_used, varve_heap_used(heap), memory_order_relaxed);
    atomic_store_explicit(&heap->limited, true, memory_order_relaxed);
}

static void *try_alloc(struct varve_heap *heap, size_t size, size_t align)
{
    if (!take(heap, size)) {
        note_refusal(heap, size);
        return NULL;
    }
    void *memory = heap->base->alloc(heap->base->ctx, size, align);
    if (memory == NULL) {
        give(heap, size);
        atomic_store_explicit(&heap->limited, false, memory_order_relaxed);
    }
    return memory;
}

/* Ask the owner for memory and try again, as long as it gives some. */
static void *alloc_relieved(struct varve_heap *heap, size_t size, size_t align)
{
    const uint64_t share = heap->limit / RELIEF_SHARE;
    void *memory = NULL;

    if (heap->owner.relieve == NULL || size > heap->limit)
        return NULL;
    for (int i = 0; i < RELIEF_TRIES && memory == NULL; i++) {
        if (heap->owner.relieve(heap->owner.ctx, size > share ? size : share) == 0)
            return NULL;
        memory = try_alloc(heap, size, align);
    }
    return memory;
}

void *varve_alloc_aligned(struct varve_heap *heap, size_t size, size_t align)
{
    assert(size > 0);
    void *memory = try_alloc(heap, size, align);
    return memory != NULL ? memory : alloc_relieved(heap, size, align);
}

varve_status varve_heap_explain(struct varve_heap *heap, varve_status rc, varve_error *err)
{
    char holders[160] = "";
    char what[80];

    if (rc != VARVE_ENOMEM || !atomic_load_explicit(&heap->limited, memory_order_relaxed) ||
        (err != NULL && err->os_code != 0)) /* the system's, which knows no limit of ours */
        return rc;
    if (err == NULL)
        return VARVE_ELIMIT;
    (void)snprintf(what, sizeof what, "%.79s", err->message);
    if (heap->owner.describe != NULL)
        heap->owner.describe(heap->owner.ctx, holders, sizeof holders);
    const uint64_t used = atomic_load_explicit(&heap->refused_used, memory_order_relaxed);
    const uint64_t size = atomic_load_explicit(&heap->refused_size, memory_order_relaxed);
    return varve_error_set(
        err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
        "%s: memory_limit of %llu KiB reached, %llu more wanted beside %llu in use%s%s", what,
        (unsigned long long)(heap->limit / 1024), (unsigned long long)(size / 1024 + 1),
        (unsigned long long)(used / 1024), holders[0] != '\0' ? ": " : "", holders);
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
