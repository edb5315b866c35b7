/*
 * quiet_tool.h - what import_load.c and what it calls stand on, for a fuzz target: texts in memory in
 * the place of files, rejected records remembered as a hash, and messages that are made and dropped.
 *
 * There is nowhere to keep state between calls that only share a name, so the name of a text, and
 * that of a rejects file, is the address of its struct as quiet_name() writes it.
 * Threads. None.
 */
#ifndef VARVE_FUZZ_QUIET_TOOL_H
#define VARVE_FUZZ_QUIET_TOOL_H

#include <stddef.h>
#include <stdint.h>

#include "tools/varve/text_input.h"

/* A text that is read in pieces of `piece` bytes (0: as much as there is room for). Borrowed. */
struct text_input {
    const char *text;
    size_t size, at;
    size_t piece;
};

/* What was rejected: how many, and a hash over lines, reasons and records. */
struct quiet_rejects {
    uint64_t records, hash;
};

#define QUIET_NAME_MAX 32u

void quiet_name(const void *address, char out[QUIET_NAME_MAX]);

#endif
