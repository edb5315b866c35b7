/*
 * format_clause.c - see format_clause.h.
 */
#include "tests/lib/format_clause.h"

void format_clause_write(const struct format_clause *clause, uint8_t *bytes)
{
    for (uint32_t i = 0; i < clause->width; i++)
        bytes[clause->offset + i] = (uint8_t)(clause->value >> 8 * i);
}
