/*
 * scratch.h - a temporary directory of a test's own, gone when the test is.
 *
 * Every failure aborts the test with a message: a test that cannot have a directory cannot run.
 * Threads. None.
 */
#ifndef VARVE_TESTS_LIB_SCRATCH_H
#define VARVE_TESTS_LIB_SCRATCH_H

#include <stddef.h>

struct scratch {
    char path[256];
};

/* Create an empty directory below $TMPDIR (or /tmp). */
void scratch_create(struct scratch *s);
/* Remove it and everything in it; symbolic links are removed, not followed. NULL is a no-op. */
void scratch_remove(struct scratch *s);
/* Empty it, keep it. */
void scratch_clear(struct scratch *s);
/* "PATH/NAME" into `out`. */
void scratch_path(const struct scratch *s, const char *name, char *out, size_t size);

#endif
