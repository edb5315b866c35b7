/*
 * one_file.h - a disk of a single file in memory that cannot be written: what a fuzz target gives
 * to code that reads files.
 *
 * There is nothing but the file, under its one name, and it can be opened (to write as well, unless
 * it is to be created), read, listed and measured. Every other operation is missing, so that code
 * which changes the disk while it reads ends the target.
 * Threads. One.
 */
#ifndef VARVE_FUZZ_ONE_FILE_H
#define VARVE_FUZZ_ONE_FILE_H

#include <stdint.h>

#include "storage/vfs/vfs.h"

struct varve_file {
    const uint8_t *bytes;
    uint64_t size;
};

struct one_file {
    struct varve_vfs vfs;   /* first */
    struct varve_file file; /* borrowed bytes */
    const char *name;
};

/* `name` and `bytes` are borrowed. Nothing has to be freed. */
void one_file_init(struct one_file *disk, const char *name, const uint8_t *bytes, uint64_t size);

#endif
