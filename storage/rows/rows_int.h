/*
 * rows_int.h - what the files of storage/rows share and nobody else needs.
 */
#ifndef VARVE_ROWS_ROWS_INT_H
#define VARVE_ROWS_ROWS_INT_H

#include "storage/rows/rows.h"

/* The first exception of row `row` or a later one. */
uint32_t varve_rows_exceptions_from(const struct varve_rows *rows, uint32_t row);

/* The stamp that a state implies in row `row`, exceptions aside. */
static inline struct varve_stamp varve_rows_implied(const struct varve_rows *rows, uint32_t row,
                                                    uint8_t state)
{
    struct varve_stamp stamp = {.wt = varve_rows_wt(rows, row), .state = state};
    if (state == VARVE_DELETED)
        stamp.exp = varve_deletion_second(stamp.wt);
    else if (state == VARVE_LIVE && rows->exp != NULL)
        stamp.exp = rows->exp[row];
    return stamp;
}

/* The order of two stamps by themselves: 0 leaves it to the values (if both are live). */
int varve_stamp_order(const struct varve_stamp *a, const struct varve_stamp *b);

/* The part of varve_rows_append() that can fail, and the part that cannot. */
varve_status varve_rows_append_prepare(struct varve_rows_builder *b, const struct varve_rows *from,
                                       uint32_t first, uint32_t n, varve_error *err);
void varve_rows_append_prepared(struct varve_rows_builder *b, const struct varve_rows *from,
                                uint32_t first, uint32_t n);

/* Room for `n` exceptions in all. False: no memory, nothing changed. */
bool varve_rows_builder_reserve_exceptions(struct varve_rows_builder *b, size_t n);

#endif
