/*
 * key.h - the one memcomparable encoding of keys (docs/FORMAT.md, Keys).
 *
 * A partition key is the concatenation of its columns' encodings behind one row-kind byte
 * (1: ordinary row). Bytes compare (varve_span_compare) as the values do: integers and times
 * big-endian with the sign flipped; floats in the order -Inf < ... < -0.0 < 0.0 < ... < Inf < NaN,
 * every NaN as one; decimal(p, s) its mantissa; bare decimal by value; text and blob with 00
 * escaped and a terminator; uuid reordered so that version and, for version 1, time come first; a
 * descending column's bytes are complemented.
 *
 * Clustering columns are kept as typed columns everywhere and compared with varve_cell_compare();
 * its order is the order of the encodings. For that, key cells are made canonical when they enter
 * (varve_key_canonical): NaN becomes one NaN, a bare decimal loses trailing zeros.
 */
#ifndef VARVE_SCHEMA_KEY_H
#define VARVE_SCHEMA_KEY_H

#include "storage/base/checksum.h"
#include "storage/schema/schema.h"

#define VARVE_ROW_KIND_ORDINARY 1u
#define VARVE_ROW_KIND_STATIC 0u /* sorts first; not written yet */

/* Append the encoding of one value. `descending` complements. The value has been checked. */
void varve_key_append(struct varve_buffer *out, const varve_column_info *column, bool descending,
                      const varve_value *value);

/* The partition key of `values` (schema->n_partition of them), checked: ETYPE, ELIMIT (4 KiB).
 * Empty text is refused as the only partition key column. Appends to `out`. */
varve_status varve_key_encode(const struct varve_schema *schema, const varve_value *values,
                              struct varve_buffer *out, varve_error *err);

/* True only if varve_key_encode() would make `key`, which it has made before, of `values`; false also
 * where that would take a closer look (text with a zero byte). Appends and allocates nothing. */
bool varve_key_is(const struct varve_schema *schema, const varve_value *values,
                  struct varve_span key);

/*
 * The values of a partition key. Text and blobs point into `scratch` (at least key.size bytes).
 * Total: ECORRUPT on bytes that varve_key_encode() cannot have made.
 */
varve_status varve_key_decode(const struct varve_schema *schema, struct varve_span key,
                              uint8_t *scratch, varve_value *ret_values, varve_error *err);

/* Bring a key cell to its canonical spelling. */
void varve_key_canonical(uint8_t type, uint8_t precision, varve_value *value);

/* Order of two non-null cells of one type: < 0, 0, > 0; the order of their encodings. */
int varve_cell_compare(uint8_t type, const varve_value *a, const varve_value *b);

/* Order of value bytes in Cassandra's serialisation, unsigned, for ties of write times:
 * big-endian two's complement, IEEE bits, bare decimal 4 bytes of scale and the minimal
 * mantissa, plain bytes for the rest. */
int varve_cell_compare_serialised(uint8_t type, uint8_t precision, const varve_value *a,
                                  const varve_value *b);

/* The hash of a partition key: of filters, of the memtable, of content hashes. */
static inline uint64_t varve_key_hash(struct varve_span key)
{
    return varve_hash64(key.data, key.size, 0);
}

#endif
