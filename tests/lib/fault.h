/*
 * fault.h - an allocator for tests: counts what lives, checks what is given back, and fails where a
 * test wants it to.
 *
 * The loop that uses it: fail call 0, then call 1, ... until the operation succeeds without reaching
 * the fault. After each failure require that nothing leaks and nothing was published.
 *
 *     for (long n = 0;; n++) {
 *         fault_init(&f, n, FAULT_ONCE);
 *         varve_heap_init(&heap, &f.allocator, UINT64_MAX);
 *         rc = operation(&heap);
 *         if (!fault_fired(&f)) { ... rc is OK; clean up; break; }
 *         ... rc is ENOMEM; fault_live(&f) is 0 ...
 *     }
 *
 * Threads. Any may allocate.
 */
#ifndef VARVE_TESTS_LIB_FAULT_H
#define VARVE_TESTS_LIB_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <varve/alloc.h>

#define FAULT_NEVER (-1L)

enum fault_mode {
    FAULT_ONCE = 0,    /* call n fails, later ones do not */
    FAULT_FOR_EVER = 1 /* call n fails, and every later one */
};

struct fault {
    varve_allocator allocator; /* give this to the code under test */
    long at;                   /* the call that fails, from 0; FAULT_NEVER */
    enum fault_mode mode;
    size_t fill_max; /* bytes at the front of a block that are filled when it comes and goes: all */
    _Atomic(long) calls;
    _Atomic(long) failed;
    _Atomic(uint64_t) live;
    _Atomic(uint64_t) peak;
    _Atomic(uint64_t) blocks;
};

void fault_init(struct fault *f, long at, enum fault_mode mode);
bool fault_fired(const struct fault *f);
long fault_calls(const struct fault *f);
/* Bytes and blocks that have not been freed, and the most bytes that ever lived at once. */
uint64_t fault_live(const struct fault *f);
uint64_t fault_blocks(const struct fault *f);
uint64_t fault_peak(const struct fault *f);

#endif
