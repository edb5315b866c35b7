/*
 * alloc.h - the memory allocator that an application may replace.
 */
#ifndef VARVE_ALLOC_H
#define VARVE_ALLOC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All three may be called from any thread at once. `alloc` returns memory aligned to `align` (a
 * power of two, at least 8) or NULL, never for size 0. `free` is told the size and alignment that
 * were asked for; it accepts NULL with size 0.
 */
typedef struct varve_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size, size_t align);
    void (*free)(void *ctx, void *memory, size_t size, size_t align);
    const void *reserved[4]; /* NULL */
} varve_allocator;

#ifdef __cplusplus
}
#endif

#endif /* VARVE_ALLOC_H */
