/*
 * batch.h - WRITE 1: the rows an application collects before a commit, by columns, per table.
 *
 * Place.   varve_batch_put_row() and varve_batch_put_columns() fill a batch; sealing settles the
 *          order inside it and encodes the payload of its log record (batch_format.h); after the
 *          log has it, the memtable takes the sections. Replay decodes a payload into the same
 *          sections, so that apply cannot tell the two apart.
 * States.  FILLING --seal--> SEALED --clear or put--> FILLING. A failed put changes nothing. (A put
 *          into a sealed batch is for one whose commit failed; one that is queued is the store's.)
 *
 * Invariants
 *   B1  One section a table, in the order in which tables first appear.
 *   B2  In a section rows[i] belongs to keys[part[i]] (to keys[0] without `part`).
 *   B3  Rows with the commit's write time: wt is VARVE_WT_COMMIT.
 *   B4  After seal, in an upsert table, no two rows with VARVE_WT_COMMIT share a key: a later one
 *       has replaced the earlier one's cells. Rows with explicit write times stay as they are.
 *   B5  'keep' and 'first': row i's ordinal is its position in the batch's section.
 *
 * Threads. One at a time; a sealed batch is read-only.
 */
#ifndef VARVE_BATCH_BATCH_H
#define VARVE_BATCH_BATCH_H

#include "storage/rows/rows.h"

#define VARVE_RECORD_BYTES_MAX (16u << 20) /* payload of one log record */

/* Rows of one table, as a batch holds them and as a record carries them. Borrowed view. */
struct varve_section {
    const struct varve_schema *schema;
    uint32_t table_id;
    uint32_t schema_version;
    uint32_t n_keys;
    const struct varve_span *keys; /* encoded partition keys, distinct */
    const uint64_t *key_hashes;    /* varve_key_hash() of each */
    const uint32_t *part;          /* key of each row; NULL: all rows have key 0 */
    const struct varve_rows *rows; /* in order of arrival; no exceptions; hidden suffix not
                                              filled in: its parts are the record's */
};

struct varve_origin {
    uint32_t id; /* 0: none */
    uint32_t epoch;
    uint64_t first;
    uint64_t last;
};

struct varve_batch; /* private to batch.c */

varve_status varve_batch_create(struct varve_heap *heap, uint64_t record_bytes_max,
                                varve_batch **ret_batch, varve_error *err);

/*
 * The public put functions after the table handle has been resolved (`schema` is the table's, with
 * id and version; the batch takes a reference). `max_wt`: explicit write times above it are refused
 * (clock skew). All or nothing; add_columns sets err->row to the row of the arrays that is at fault.
 * The public varve_batch_free, _clear, _rows, _bytes and _set_origin are in batch.c.
 */
varve_status varve_batch_add_row(varve_batch *batch, const struct varve_schema *schema,
                                 const varve_value *values, uint32_t n, const varve_put *put,
                                 int64_t max_wt, varve_error *err);
varve_status varve_batch_add_columns(varve_batch *batch, const struct varve_schema *schema,
                                     const varve_value *partition, const varve_array *arrays,
                                     uint32_t n_arrays, uint64_t n, const varve_put *put,
                                     int64_t max_wt, varve_error *err);

/*
 * Settle the order inside the batch (B4; 'error': a key twice is EEXISTS with err->row) and encode
 * the payload. Idempotent. After a failure the batch is FILLING and unchanged in meaning.
 * The public varve_batch_rows() counts rows as put, also after seal made fewer of them.
 */
varve_status varve_batch_seal(varve_batch *batch, varve_error *err);
/* Of a sealed batch; borrowed until clear or free. */
struct varve_span varve_batch_payload(const varve_batch *batch);
uint64_t varve_batch_payload_hash(const varve_batch *batch); /* XXH3-64, seed 0 */
uint32_t varve_batch_sections(const varve_batch *batch);
struct varve_section varve_batch_section(const varve_batch *batch, uint32_t i);
struct varve_origin varve_batch_origin(const varve_batch *batch);
/* The number among the batch's rows, as put, of a row of section `i` of an 'error' table. */
uint64_t varve_batch_row_of(const varve_batch *batch, uint32_t i, uint32_t row);
/* What the application gave, repeats included: the base of write amplification. */
uint64_t varve_batch_raw_bytes(const varve_batch *batch);
bool varve_batch_is_sealed(const varve_batch *batch);

#endif
