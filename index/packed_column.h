/*
 * packed_column.h - a column of small integers inside an index: chunks of up to 1,024 values, each
 *
 *     zigzag  least value
 *     u8      width, 0 .. 64
 *     bytes   varve_pack_size(n, width) of value - least, packed
 *
 * Pure. Threads: none needed.
 */
#ifndef VARVE_INDEX_PACKED_COLUMN_H
#define VARVE_INDEX_PACKED_COLUMN_H

#include "storage/base/bytes.h"

#define VARVE_PACKED_CHUNK 1024u

void varve_packed_write(struct varve_buffer *out, const int64_t *values, uint32_t n);

/* False (and r->failed) on malformed bytes; every value may come out of any bytes. */
bool varve_packed_read(struct varve_reader *r, uint32_t n, int64_t *values);

/* Step over a column without decoding it. */
bool varve_packed_skip(struct varve_reader *r, uint32_t n);

#endif
