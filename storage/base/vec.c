/*
 * vec.c - growing an array.
 */
#include "storage/base/vec.h"

#include <stdint.h>

#include "storage/base/alloc.h"

#define CAPACITY_MIN 8u

bool varve_vec_grow(struct varve_heap *heap, void **items, size_t size, size_t need,
                    size_t *capacity)
{
    size_t fresh = *capacity < CAPACITY_MIN ? CAPACITY_MIN : *capacity, bytes;

    if (need <= *capacity)
        return true;
    while (fresh < need)
        fresh = fresh > SIZE_MAX / 2 ? need : fresh * 2;
    if (__builtin_mul_overflow(fresh, size, &bytes))
        return false;
    void *memory = varve_realloc(heap, *items, *capacity * size, bytes);
    if (memory == NULL)
        return false;
    *items = memory;
    *capacity = fresh;
    return true;
}
