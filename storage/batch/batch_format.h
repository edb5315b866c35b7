/*
 * batch_format.h - the payload of a DATA record. The only code that reads or writes it.
 *
 * PAYLOAD VERSION 1. Little-endian; "varint" is LEB128 in its shortest form, "zigzag" a signed
 * varint. The record's header covers it with a checksum; nothing here repeats that.
 *
 *   Payload
 *     u8      version     1
 *     varint  sections    0 .. 65,535
 *     then the sections, back to back, and nothing behind them
 *
 *   Section
 *     u8      kind        1: rows. Others are not known: deletions will be one
 *     u32     size        of the body
 *     body
 *
 *   Body of kind 1
 *     u8      flags       enum varve_section_flags; unknown bits are EVERSION
 *     varint  table       id, at least 1
 *     varint  version     of the table's schema, at least 1
 *     varint  rows        at least 1
 *     keys                without KEYS: varint size, then an encoded partition key: of all rows
 *                         with KEYS: varint count (1 .. rows), then as many distinct keys; then a
 *                         column I32 (the key's number, for each row)
 *     time                a column I64
 *     varint  columns     that follow: every clustering column; the value columns in which some
 *                         cell is not absent. Ascending in the order of the schema
 *       varint  id        the column's
 *       column            of the lane of its type
 *     if WRITE_TIMES      a column I64; INT64_MIN is the commit's. Without: all are the commit's
 *     if EXPIRY           a column I32, the bits of unsigned seconds; 0 is never
 *     if MARKERS          (rows + 7) / 8 bytes: bit i of the whole (least significant first) is set
 *                         if the marker of row i is live. Without: all are live
 *     if MARKERS_DELETED  as many bytes: deleted markers; none of them is live
 *
 *   Column: u8 form, then
 *     form 1  blocks of docs/FORMAT.md, Column vectors, that together have all rows: each u32 size,
 *             u16 rows (1 .. 1,024), block. What is not a value column has live cells only
 *     form 2  (at most 8 rows) the values one by one, all live: I8, F32, F64, B16 as they are; I16,
 *             I32, I64 as zigzag; DEC as zigzag and i8 scale; BYTES as varint size and bytes
 *     form 3  (at most 8 rows, value columns) 2 bits a row, least significant first, in
 *             (rows + 3) / 4 bytes: 0 absent, 1 live, 2 deleted; then the live values as in form 2
 *
 * A payload is valid if and only if it reads as above to its last byte, every key is one that
 * varve_key_encode() makes, every live cell one that its type allows, cells that are not live have
 * no text, clustering cells are canonical, and rows x varve_payload_row_bytes() plus text, over all
 * sections, is at most VARVE_RECORD_BYTES_MAX. (The last bounds memory before any is taken; a batch
 * obeys it because its own limit counts the same.)
 *
 * Changing anything above takes a new version number, a new file in tests/golden/batch/, and a
 * decoder that still reads version 1.
 */
#ifndef VARVE_BATCH_BATCH_FORMAT_H
#define VARVE_BATCH_BATCH_FORMAT_H

#include "storage/batch/batch.h"

#define VARVE_PAYLOAD_VERSION 1u
#define VARVE_PAYLOAD_SECTIONS_MAX 65535u
#define VARVE_PAYLOAD_PLAIN_ROWS_MAX 8u /* columns of so few rows are written one by one */
#define VARVE_PAYLOAD_HEADER_BYTES_MAX 4u
#define VARVE_PAYLOAD_KEY_BYTES_MAX 3u /* beside the key itself */

enum varve_section_kind { VARVE_SECTION_ROWS = 1 };

enum varve_column_form {
    VARVE_COLUMN_BLOCKS = 1,
    VARVE_COLUMN_PLAIN = 2,
    VARVE_COLUMN_PLAIN_STATES = 3
};

enum varve_section_flags {
    VARVE_SECTION_KEYS = 1,
    VARVE_SECTION_WRITE_TIMES = 2,
    VARVE_SECTION_EXPIRY = 4,
    VARVE_SECTION_MARKERS = 8,
    VARVE_SECTION_MARKERS_DELETED = 16
};

/* What a row takes at most in a payload, text and keys aside; it bounds memory too. */
uint64_t varve_payload_row_bytes(const struct varve_schema *schema);
/* What a section of n rows takes at most, text and keys aside. n <= VARVE_RECORD_BYTES_MAX. */
uint64_t varve_payload_section_bytes(const struct varve_schema *schema, uint64_t n);
/* By how much that grows when `n` rows follow `before`, at least one; `row_bytes` is
 * varve_payload_row_bytes() of the schema. */
uint64_t varve_payload_more_bytes(const struct varve_schema *schema, uint64_t row_bytes,
                                  uint64_t before, uint64_t n);

/*
 * How a decoder finds the schema of a section; *ret_schema is borrowed until the next record is
 * applied. NULL with VARVE_OK: the table has been dropped since, skip its section. Otherwise why there
 * is none, such as VARVE_ECORRUPT: there was never such a table or version.
 */
typedef varve_status (*varve_schema_lookup)(void *ctx, uint32_t table_id, uint32_t schema_version,
                                            const struct varve_schema **ret_schema);

/* Append the payload of `sections`. ENOMEM: `out` is as it was. */
varve_status varve_payload_encode(const struct varve_section *sections, uint32_t n,
                                  struct varve_buffer *out, varve_error *err);

/* A decoded payload: owns the memory of its sections, and borrows their schemas. */
struct varve_payload;

/*
 * Total: any bytes give OK, ECORRUPT, EVERSION (an unknown section kind or payload version stops
 * apply and is never skipped), what `lookup` says or ENOMEM, in memory bounded by a small multiple
 * of VARVE_RECORD_BYTES_MAX. err->offset is the position in `in` at which reading stopped.
 */
varve_status varve_payload_decode(struct varve_span in, varve_schema_lookup lookup, void *ctx,
                                  struct varve_heap *heap, struct varve_payload **ret_payload,
                                  varve_error *err);
uint32_t varve_payload_sections(const struct varve_payload *payload);
struct varve_section varve_payload_section(const struct varve_payload *payload, uint32_t i);
void varve_payload_free(struct varve_payload *payload); /* NULL is a no-op */

#endif
