/*
 * newer_file.h - a file of a store as a newer version of the library would have written it: one field
 * of its headers says so, and every checksum over that is right.
 * Threads. Any.
 */
#ifndef VARVE_TESTS_LIB_NEWER_FILE_H
#define VARVE_TESTS_LIB_NEWER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum newer_kind {
    NEWER_MAJOR = 0,   /* the format's major number */
    NEWER_FEATURE = 1, /* a feature that whoever reads must know */
    NEWER_WRITERS = 2, /* a feature that whoever writes must know */
    NEWER_KINDS = 3
};

/*
 * Change a log segment, a manifest or an SSTable, of `size` bytes: every copy of its header. False:
 * it is none of them.
 */
bool newer_file_change(uint8_t *bytes, size_t size, enum newer_kind kind);

#endif
