/*
 * zone_map.h - the zone maps of a row group: for each numeric column the statistics of each vector
 * (struct varve_zone), columnwise.
 *
 *   Block
 *     u8      version        1
 *     varint  n_vectors
 *     varint  n_columns
 *     then for each column, ascending:
 *       varint  column       number in the file's schema
 *       u8      lane         enum varve_lane
 *       varint  size, then so many bytes of statistics, ascending by id, each
 *                 varint  id   enum varve_zone_statistic; an unknown one is skipped
 *                 varint  size, then a packed column (packed_column.h) of n_vectors values
 *   A statistic that is left out is 0 for every vector. Where a vector has no range, ends or sum, the
 *   value that stands there means nothing.
 *
 * Pure. Threads: none needed.
 */
#ifndef VARVE_INDEX_ZONE_MAP_H
#define VARVE_INDEX_ZONE_MAP_H

#include "storage/codec/codec.h"

enum varve_zone_statistic { /* in files: append only */
                            VARVE_ZONE_LIVE = 1,
                            VARVE_ZONE_NAN = 2,
                            VARVE_ZONE_HOLDS = 3, /* bit 0: range, 1: sum, 2: ends */
                            VARVE_ZONE_FIRST_ROW = 4,
                            VARVE_ZONE_LAST_ROW = 5,
                            VARVE_ZONE_MIN = 6, /* integers, or the bits of a double */
                            VARVE_ZONE_MAX = 7,
                            VARVE_ZONE_FIRST = 8,
                            VARVE_ZONE_LAST = 9,
                            VARVE_ZONE_SUM_LOW =
                                10, /* of 128 bits: sum of integers, mantissa of a partial of doubles */
                            VARVE_ZONE_SUM_HIGH = 11,
                            VARVE_ZONE_EXPONENT = 12
};
#define VARVE_ZONE_STATISTICS 13u

/* A block: begin, then every column in ascending order. n_vectors <= 65,536. */
void varve_zone_map_begin(struct varve_buffer *out, uint32_t n_vectors, uint32_t n_columns);
/* `scratch`: n_vectors values of the caller's. `body`: a buffer of the caller's. */
void varve_zone_map_column(struct varve_buffer *out, uint32_t column, uint8_t lane,
                           const struct varve_zone *zones, uint32_t n_vectors, int64_t *scratch,
                           struct varve_buffer *body);

/*
 * The zones of `column` into ret_zones[n_vectors]: OK; VARVE_END: the block has none of it;
 * ECORRUPT. The lane must be the column's, the counts must fit `rows` (of each vector).
 */
varve_status varve_zone_map_read(struct varve_span block, uint32_t column, uint8_t lane,
                                 uint32_t n_vectors, const uint32_t *rows, int64_t *scratch,
                                 struct varve_zone *ret_zones, varve_error *err);

#endif
