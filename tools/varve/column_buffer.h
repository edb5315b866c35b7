/*
 * column_buffer.h - the values of one column of rows on their way in, as varve_batch_put_columns()
 * takes them.
 *
 * Place.   import parses fields into these, row by row, and hands ranges of rows to a batch.
 *
 * Invariants
 *   B1  What column_buffer_parse() makes of a text is what varve_value_parse() makes of it; it only
 *       gets there faster for plain numbers. (Times: time_shape.h.)
 *   B2  A row that is not ended by all columns leaves no trace: each column is written at the row's
 *       number, which the caller counts.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_COLUMN_BUFFER_H
#define VARVE_TOOL_COLUMN_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/varve.h>

#include "tools/varve/time_shape.h"

struct column_buffer {
    const varve_column_info *info;
    uint32_t column; /* number in the schema */
    struct time_shape shape;
    uint32_t capacity; /* rows */
    size_t width;      /* bytes a value; 0: text or blob */
    void *values;
    int8_t *scales;    /* bare decimal */
    uint8_t *present;  /* a byte a row */
    uint8_t *validity; /* a bit a row of the range that was asked for last */
    uint32_t *offsets;
    uint8_t *bytes;
    size_t bytes_capacity;
};

/* False: no memory. */
bool column_buffer_init(struct column_buffer *buffer, const varve_column_info *info,
                        uint32_t column, uint32_t capacity);
void column_buffer_free(struct column_buffer *buffer); /* zeroed is fine */

/* Put the value of `text` at `row` if it is a plain number that means the same in this column as it
 * would to column_buffer_parse(); most fields are. False: nothing happened, ask that. */
bool column_buffer_take_number(struct column_buffer *buffer, uint32_t row, const char *text,
                               size_t size);
/* Put the value of `text` at `row`. NULL, or what is wrong (`err` is scratch). */
const char *column_buffer_parse(struct column_buffer *buffer, uint32_t row, const char *text,
                                size_t size, varve_error *err);
/* The same for a value that is known. False: no memory. */
bool column_buffer_put(struct column_buffer *buffer, uint32_t row, const varve_value *value);
void column_buffer_put_unset(struct column_buffer *buffer, uint32_t row);

/* Raw bytes of rows [0, rows). */
size_t column_buffer_bytes(const struct column_buffer *buffer, uint32_t rows);
/* Rows [first, first + n) as an array, borrowed until the next call or change. */
varve_array column_buffer_array(struct column_buffer *buffer, uint32_t first, uint32_t n);

#endif
