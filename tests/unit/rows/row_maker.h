/*
 * row_maker.h - schemas, random rows and a failing allocator for the tests of rows and batches.
 */
#ifndef VARVE_TESTS_ROW_MAKER_H
#define VARVE_TESTS_ROW_MAKER_H

#include "storage/base/rng.h"
#include "storage/rows/rows.h"

/* An allocator that counts what is alive and fails its n-th allocation (-1: none). */
struct row_heap {
    varve_allocator allocator;
    struct varve_heap heap;
    long fail_at;
    long calls;
    long live;
    bool fired;
};

void row_heap_init(struct row_heap *h, long fail_at);

/* The schema of `text` as table 7, version 1. Aborts if it does not parse. */
struct varve_schema *row_schema(struct varve_heap *heap, const char *text);

/* A table with a value column of every type. */
extern const char row_table_all_types[];

/* A value of a column out of few, so that ties are common. Text points to static memory. */
varve_value row_value(struct varve_rng *rng, const varve_column_info *info);

/* Whether two values of one type are the same, bit for bit. */
bool row_values_same(const varve_value *a, const varve_value *b);

/*
 * Append a row with time `time` and random clustering columns from few, states, values and stamps.
 * Stamps of cells differ from the row's now and then; sometimes an exception says what is implied.
 */
void row_append_random(struct varve_rows_builder *b, struct varve_rng *rng, int64_t time);

/* The same row with other clutter: another row stamp, and exceptions for whatever it does not imply. */
void row_append_restamped(struct varve_rows_builder *b, const struct varve_rows *from, uint32_t row,
                          int64_t wt, uint32_t exp);

/* Require that two rows say the same: key, states, values, stamps. */
void row_check_same(const struct varve_rows *a, uint32_t i, const struct varve_rows *b, uint32_t j);

#endif
