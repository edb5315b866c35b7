/*
 * manifest_format.h - the bytes of a manifest generation. The only code that reads or writes them.
 *
 * MANIFEST-%016x, named after its generation, is a file of pages (page_format.h, kind MANIFEST).
 * With n pages of snapshot:
 *     page 0                    header (flag HEADER)
 *     pages 1 .. n              the snapshot
 *     page n + 1                seal (flag SEAL)
 *     pages n + 2 .. 2n + 1     the snapshot again
 *     page 2n + 2               the seal again
 *     then edits: each m pages, and the same m pages again
 * A generation is sealed if one of its seals is VALID. Any one damaged page is made good by the copy, and
 * so is one that cannot be read; but in such a page the edits do not end, nor anywhere before it.
 * In the trailers the three positions are zero, first_record is 0 in the first page of an edit and
 * none elsewhere, and no flags are set but those above.
 *
 *   Header and seal (payload of a control page), 128 bytes; integers little-endian
 *     offset  size  field
 *          0     8  magic            "VARVEMAN"
 *          8     2  major            1
 *         10     2  minor            0
 *         12     4  snapshot_pages   n, at least 1
 *         16    16  uuid             of this file; not zero
 *         32    16  store_uuid
 *         48     8  generation       equals the number in the name; at least 1
 *         56     8  snapshot_size    bytes: more than (n - 1) x 4032, at most n x 4032
 *         64     8  snapshot_hash    unseeded XXH3-64 of the snapshot's bytes
 *         72     8  version          number of the state that the snapshot holds
 *         80     8  incompatible     features that a reader must know
 *         88     8  read_compatible  features that a writer must know
 *         96     8  compatible       features that anyone may ignore
 *        104     4  file_pages       of the whole file, room for edits included: at least 2n + 3.
 *                                  A file of any other size has been damaged.
 *        108    20  reserved         zero
 *
 *   Edit: 32 bytes, then the operations
 *          0     4  size             of the operations, 1 .. 64 MiB
 *          4     4  copy             1 or 2
 *          8     8  version          one more than the edit's or snapshot's before
 *         16     8  hash             unseeded XXH3-64 of the operations
 *         24     8  reserved         zero
 *
 *   Operations (a snapshot is the operations that make its state out of nothing): each
 *     varint  tag x 2 + must_understand; a reader skips a tag it does not know unless the bit is set
 *     varint  size of the body, then the body:
 *       1 IDENTITY      store_uuid 16, not zero; once, in a snapshot
 *       2 SCHEMA        schema_format.h: a new table, or a new version of one
 *       3 DROP_TABLE    varint id
 *       4 MARKS         varint id, varint flushed LSN, zigzag retention floor, zigzag write floor
 *       5 ADD_FILE      varint id, varint quarantined, then sst_properties.h
 *       6 DROP_FILE     varint id
 *       7 SEGMENT       varint id, uuid 16, u64 base LSN, varint size, u8 sealed, varint final LSN,
 *                       u64 digest: a segment that is put to use, or a new state of one (uuid zero: uuid and size stay)
 *       8 DROP_SEGMENT  varint id
 *       9 REPLAY        varint lsn, index, term; u64 chain; zigzag hlc; varint count, (varint term,
 *                       varint first index) each; varint count, (varint id, epoch, last, u64
 *                       source crc) each
 *      10 DURABLE       varint lsn
 *      11 CLOCK         zigzag safe_now us, zigzag boot us, boot id 16
 *      12 INCARNATION   16 bytes
 *      13 NEXT_FILE     varint
 *      14 NEXT_TABLE    varint
 *      15 KEEP_SEGMENT  varint id, varint first LSN, varint end LSN (greater) of what was cut: a file that
 *                       is no segment of the log any more and stays all the same
 *      16 LET_GO        varint id of such a file
 *      17 NEXT_LSN      varint: positions below it may have been given, whatever the log holds
 *     LSNs, indexes and terms, of epochs too, and NEXT_FILE are below 2^62; times, hlc among them, lie
 *     between -2^61 and 2^61 (neither holds of ADD_FILE and MARKS). Origins ascend by id from 1 on.
 *
 * After each edit, and after the snapshot: ids of files and segments are below NEXT_FILE and none
 * is used twice, ids of tables are below NEXT_TABLE, the snapshot's IDENTITY is the header's.
 *
 * Changing anything above takes a new major or minor number, a new file in tests/golden/manifest,
 * and a decoder that still reads version 1.
 */
#ifndef VARVE_MANIFEST_MANIFEST_FORMAT_H
#define VARVE_MANIFEST_MANIFEST_FORMAT_H

#include "storage/manifest/manifest.h"
#include "storage/wal/page_format.h"

#define VARVE_MANIFEST_MAJOR 1u
#define VARVE_MANIFEST_MINOR 0u
#define VARVE_MANIFEST_HEADER_SIZE 128u
#define VARVE_MANIFEST_EDIT_SIZE 32u
#define VARVE_MANIFEST_EDIT_MAX (64u << 20)
#define VARVE_MANIFEST_SNAPSHOT_MAX (1u << 30)
#define VARVE_MANIFEST_PAGES_MAX (1u << 21) /* of a file: 8 GiB */

struct varve_manifest_header {
    uint8_t uuid[16];
    uint8_t store_uuid[16];
    uint64_t generation;
    uint32_t snapshot_pages;
    uint64_t snapshot_size;
    uint64_t snapshot_hash;
    uint64_t version;
    uint64_t incompatible, read_compatible, compatible;
    uint32_t file_pages;
};

struct varve_manifest_edit {
    uint32_t size;
    uint32_t copy;
    uint64_t version;
    uint64_t hash;
};

void varve_manifest_header_encode(const struct varve_manifest_header *header, uint8_t *out);
/* `in`: payload of a control page. ECORRUPT or EVERSION if a clause does not hold. */
varve_status varve_manifest_header_decode(struct varve_span in,
                                          struct varve_manifest_header *ret_header);
void varve_manifest_edit_encode(const struct varve_manifest_edit *edit, uint8_t *out);
varve_status varve_manifest_edit_decode(struct varve_span in, struct varve_manifest_edit *ret_edit);

/* The place of a page. */
struct varve_page_place varve_manifest_page_place(const uint8_t uuid[16], uint64_t generation,
                                                  uint32_t page_no);

/* Append the operations of an edit; of a whole state. */
void varve_manifest_ops_of_edit(const struct varve_edit *edit, struct varve_buffer *out);
void varve_manifest_ops_of_version(const struct varve_version *version, struct varve_buffer *out);
/* Those of a whole state, in at most `max` bytes: ENOMEM, or EINVAL when they are more. */
varve_status varve_manifest_snapshot_encode(const struct varve_version *version, uint64_t max,
                                            struct varve_buffer *out, varve_error *err);

/*
 * Carry out operations on a version that is not published yet. Total: ECORRUPT (malformed bytes, or
 * an operation or a state that contradicts itself), EVERSION, ENOMEM; the version is then to be
 * dropped.
 */
varve_status varve_manifest_ops_apply(struct varve_span ops, struct varve_version *version,
                                      varve_error *err);

/* version.c: building states. An empty one; a copy that shares file entries. */
struct varve_version *varve_version_new(struct varve_heap *heap);
struct varve_version *varve_version_clone(const struct varve_version *version);
/* Each: OK, ENOMEM, or EINVAL when it contradicts the state. Ownership is taken only on OK. */
varve_status varve_version_put_schema(struct varve_version *version, struct varve_schema *schema);
varve_status varve_version_drop_table(struct varve_version *version, uint32_t table_id);
varve_status varve_version_put_marks(struct varve_version *version,
                                     const struct varve_table_marks *marks);
varve_status varve_version_add_file(struct varve_version *version, struct varve_file_entry *file);
varve_status varve_version_drop_file(struct varve_version *version, uint64_t id);
varve_status varve_version_put_segment(struct varve_version *version,
                                       const struct varve_segment_entry *segment);
varve_status varve_version_drop_segment(struct varve_version *version, uint64_t id);
varve_status varve_version_keep_segment(struct varve_version *version,
                                        const struct varve_kept_segment *kept);
varve_status varve_version_let_go_segment(struct varve_version *version, uint64_t id);
varve_status varve_version_put_replay(struct varve_version *version,
                                      const struct varve_replay_state *replay);
/* Whether all ids are below those that come next. */
bool varve_version_holds(const struct varve_version *version);

#endif
