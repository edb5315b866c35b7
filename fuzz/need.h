/*
 * need.h - what has to hold, or the target has found a fault: says which and where, and aborts.
 */
#ifndef VARVE_FUZZ_NEED_H
#define VARVE_FUZZ_NEED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define NEED(holds) need_check(holds, #holds, __FILE__, __LINE__)

static inline void need_check(bool holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    (void)fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, what);
    abort();
}

#endif
