/*
 * exception_list.h - the exceptions of one vector (rows.h) as a block.
 *
 *   varint  n        at least 1
 *   packed  row - row of the one before (0 before the first)
 *   packed  column   65,535: the marker
 *   packed  exp
 *   packed  wt
 *
 * Pure. Threads: none needed.
 */
#ifndef VARVE_SST_EXCEPTION_LIST_H
#define VARVE_SST_EXCEPTION_LIST_H

#include "storage/rows/rows.h"

/* The exceptions given (all of one vector) with rows counted from `first_row`. `scratch`: n values. */
void varve_exceptions_encode(const struct varve_exception *exceptions, uint32_t n,
                             uint32_t first_row, int64_t *scratch, struct varve_buffer *out);

/*
 * How many there are: OK or ECORRUPT. At most (columns + 1) a row can be. Then decode so many, with
 * `scratch` of n values: they ascend by (row, column), rows are below `rows`, columns are value
 * columns or the marker. `out` is overwritten.
 */
varve_status varve_exceptions_count(struct varve_span in, const struct varve_schema *schema,
                                    uint32_t rows, uint32_t *ret_n, varve_error *err);
varve_status varve_exceptions_decode(struct varve_span in, const struct varve_schema *schema,
                                     uint32_t rows, int64_t *scratch, uint32_t n,
                                     struct varve_exception *out, varve_error *err);

#endif
