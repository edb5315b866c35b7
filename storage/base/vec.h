/*
 * vec.h - growing an array in counted memory.
 *
 * The array is a typed pointer plus two size_t; this only grows it:
 *     if (!varve_vec_grow(heap, (void **)&v->items, sizeof *v->items, v->count + 1, &v->capacity))
 */
#ifndef VARVE_BASE_VEC_H
#define VARVE_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

struct varve_heap;

/* Make `*items` hold at least `need` items of `size` bytes (at least doubling). False: no memory,
 * nothing changed. */
bool varve_vec_grow(struct varve_heap *heap, void **items, size_t size, size_t need,
                    size_t *capacity);

#endif
