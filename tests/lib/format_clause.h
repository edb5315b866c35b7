/*
 * format_clause.h - one rule of a format, as the field that breaks it (or only just keeps it) and
 * what a decoder has to say. A test encodes something good, writes the field, repairs whatever
 * checksum would object first, and decodes.
 * Threads. Any.
 */
#ifndef VARVE_TESTS_LIB_FORMAT_CLAUSE_H
#define VARVE_TESTS_LIB_FORMAT_CLAUSE_H

#include <stdint.h>

struct format_clause {
    uint32_t offset, width; /* of the field, in bytes */
    uint64_t value;         /* little endian */
    int expect;             /* what the decoder returns */
};

/* Write the clause's value into `bytes`. */
void format_clause_write(const struct format_clause *clause, uint8_t *bytes);

#endif
