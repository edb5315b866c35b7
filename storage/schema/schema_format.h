/*
 * schema_format.h - the bytes of a schema: the same in the log's SCHEMA record, in the manifest and
 * in every SSTable. The only code that reads or writes them.
 *
 * SCHEMA, FORMAT 1. A header, the table's name, then the columns in their order without padding,
 * and nothing behind them. Integers are little-endian. There is no checksum: what contains a schema
 * has one.
 *
 *   Header, 44 bytes + name
 *     offset  size  field
 *          0     2  format             1; a larger one is a newer version's
 *          2     1  duplicates         1 .. 4, enum varve_duplicates
 *          3     1  reserved           0
 *          4     4  version            of the table's definition, at least 1
 *          8     4  table_id
 *         12     4  next_column_id     above every column's
 *         16     2  n_columns          1 .. 1024
 *         18     1  n_partition        1 .. 8
 *         19     1  n_clustering       0 .. 8, behind the time column
 *         20     8  default_ttl_s      0; a larger one is a newer version's
 *         28     8  max_clock_skew_us  0 or more, signed
 *         36     7  reserved           0
 *         43     1  name_size          1 .. 255
 *         44     n  name               UTF-8 without a zero byte
 *
 *   Column, 12 bytes + name
 *          0     4  id                 at least 1, above the previous column's
 *          4     1  type               enum varve_type, not HUGEINT
 *          5     1  unit               timestamp: enum varve_unit, the same in all columns; else 0
 *          6     1  precision          decimal(p, s): 1 .. 18; else 0
 *          7     1  scale              decimal(p, s): 0 .. p; else 0
 *          8     1  flags              bit 0: descending (clustering columns only); the rest 0
 *          9     2  reserved           0
 *         11     1  name_size          1 .. 255
 *         12     n  name               UTF-8 without a zero byte, unlike every other column's
 *
 * Column n_partition is the time column and has a time or integer type. Changing anything above
 * takes a new format number, new files in tests/golden/schema/ and a decoder that still reads
 * format 1.
 */
#ifndef VARVE_SCHEMA_SCHEMA_FORMAT_H
#define VARVE_SCHEMA_SCHEMA_FORMAT_H

#include "storage/schema/schema.h"

#define VARVE_SCHEMA_FORMAT 1u

/* A failed growth shows in out->failed. */
void varve_schema_encode(const struct varve_schema *schema, struct varve_buffer *out);

/* Total: any bytes give OK, ECORRUPT, EVERSION or ENOMEM, in memory bounded by the input's size. */
varve_status varve_schema_decode(struct varve_span in, struct varve_heap *heap,
                                 struct varve_schema **ret_schema, varve_error *err);

#endif
