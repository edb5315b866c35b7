/*
 * oracle_int.h - what oracle.c and oracle_answers.c share.
 */
#ifndef VARVE_TESTS_MODEL_ORACLE_INT_H
#define VARVE_TESTS_MODEL_ORACLE_INT_H

#include "tests/model/oracle.h"

/* realloc() that aborts the test instead of failing. */
void *oracle_grown(void *memory, size_t bytes);
int oracle_sign(int64_t a, int64_t b);
/* The row as it was after commit `seq`, marker first; false: there was none. */
bool oracle_row_at(const struct oracle_schema *schema, const struct oracle_row *row, uint64_t seq,
                   struct oracle_cell *cells);

#endif
