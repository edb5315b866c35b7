/*
 * run_share.c - see run_share.h.
 */
#include "tests/lib/run_share.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool run_is_full(void)
{
    const char *full = getenv("VARVE_FULL");

    return full != NULL && strcmp(full, "1") == 0;
}

uint64_t run_seed(void)
{
    const char *seed = getenv("VARVE_SEED");

    return seed != NULL ? strtoull(seed, NULL, 0) : 1;
}

void run_share(const char *format, ...)
{
    va_list arguments;

    (void)fputs("share: ", stdout);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)fputc('\n', stdout);
    (void)fflush(stdout); /* or a fork would print it again */
}
