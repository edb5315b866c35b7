/*
 * types_int.h - what the sources of this module share about types.
 */
#ifndef VARVE_SCHEMA_TYPES_INT_H
#define VARVE_SCHEMA_TYPES_INT_H

#include <stdbool.h>
#include <stdint.h>

struct varve_int_range {
    int64_t min;
    int64_t max; /* inclusive */
};

/* The type's name in CREATE TABLE text, static. */
const char *varve_type_name(uint8_t type);

/* The values that as.i64 may have; false for types that do not live there. */
bool varve_type_range(uint8_t type, uint8_t precision, struct varve_int_range *ret_range);

/* 10^exponent, exponent 0 .. 19. */
uint64_t varve_pow10(unsigned exponent);

#endif
