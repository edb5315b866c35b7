/*
 * types_int.h - what the sources of this module share about types.
 */
#ifndef VARVE_SCHEMA_TYPES_INT_H
#define VARVE_SCHEMA_TYPES_INT_H

#include <stdint.h>

/* The type's name in CREATE TABLE text, static. */
const char *varve_type_name(uint8_t type);

/* 10^exponent, exponent 0 .. 19. */
uint64_t varve_pow10(unsigned exponent);

#endif
