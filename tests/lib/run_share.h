/*
 * run_share.h - how much of its work a test does in this run, from which seed, and the line that says
 * what it did.
 *
 * What a run covers is part of its result: a program that counts states, faults, operations or cases
 * says so with run_share(), in one line that begins with `share: `. tests/run.sh shows these lines.
 * Threads. Any.
 */
#ifndef VARVE_TESTS_LIB_RUN_SHARE_H
#define VARVE_TESTS_LIB_RUN_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether all is to be tried and not a choice: VARVE_FULL is 1. */
bool run_is_full(void);
/* VARVE_SEED, or 1. */
uint64_t run_seed(void);
/* Print `share: `, the text and the end of the line. Forked children of a test may call it. */
void run_share(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
