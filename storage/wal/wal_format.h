/*
 * wal_format.h - the bytes of a log segment: its header page, its seal, and the commit record. The
 * only code that reads or writes them.
 *
 * A segment is a file of whole pages (page_format.h), named "%016x.wal" after its id. Page 0 is the
 * header; then come pages whose payloads, put together, are the record stream. The position of a
 * record's first byte in that stream, counted over all segments, is its LSN. A record never spans
 * segments. The last page of a complete segment is a SEAL page. Integers are unsigned and
 * little-endian; reserved bytes are zero and checked.
 *
 *   Header (payload of page 0, which has the flag HEADER; its first_lsn is base_lsn), 208 bytes
 *     offset  size  field
 *          0     8  magic           the ASCII bytes "VARVEWAL"
 *          8     2  major           1: a reader refuses a higher one
 *         10     2  minor           0
 *         12     4  page_size       4096
 *         16    16  uuid            of this file; not zero
 *         32    16  store_uuid
 *         48     8  id              equals the number in the file name; at least 1
 *         56     8  size            bytes of the file: a multiple of 4096, 3 pages to 512 MiB
 *         64     8  prev_id         the segment before; 0: none
 *         72    16  prev_uuid       its uuid; zero if none
 *         88     8  prev_final_lsn  where its stream ended. Less than base_lsn: there is a gap, and
 *                                   no record was ever kept in [prev_final_lsn, base_lsn)
 *         96     8  prev_digest     running digest of its pages before the seal
 *        104     8  base_lsn        of the first payload byte: at most 2^64 - 1 - 512 MiB
 *        112     8  base_index      index of the last record before base_lsn (group 0; 0: none)
 *        120     8  base_term       its term
 *        128     8  base_chain      its chain
 *        136     8  base_hlc        its hlc, as an i64
 *        144     8  incompatible    features that a reader must know
 *        152     8  read_compatible features that a writer must know
 *        160     8  compatible      features that anyone may ignore
 *        168    40  reserved
 *
 *   Seal (payload of a page with flag SEAL or IDLE), 48 bytes
 *          0     8  lsn             end of the payload before this page; equals first_lsn
 *          8     8  digest          running digest of the pages before this one, header included
 *         16     8  index           of the last record
 *         24     8  term
 *         32     8  chain
 *         40     8  hlc
 *
 *   Commit record: 96 bytes, extensions, payload
 *          0     4  crc32c          over [4, header_size), seeded with the low half of the hash of
 *                                   (segment uuid, VARVE_WAL_KIND_RECORD, LSN)
 *          4     4  payload_size    at most 16 MiB
 *          8     1  type            enum varve_wal_type
 *          9     1  flags           enum varve_wal_record_flags
 *         10     2  header_size     96 .. 1024, a multiple of 4: where the payload begins
 *         12     4  group           0 on a single node
 *         16     8  lsn             equals the record's position
 *         24     8  index           of the group, contiguous
 *         32     8  term            of the owner that created the record
 *         40     8  commit          highest committed index known when it was written
 *         48     8  hlc             i64 us
 *         56     4  origin          0: none
 *         60     4  origin_epoch
 *         64     8  origin_first
 *         72     8  origin_last
 *         80     8  chain           XXH3-64 of (previous chain u64, index u64, term u64, type u8,
 *                                   logical payload hash u64), 33 bytes, unseeded
 *         88     4  replica         node that wrote this copy
 *         92     4  writer          node that stamped hlc
 *         96        extensions, each: tag u16, size u16, value, zeros to a multiple of 4. A tag that
 *                   is not known is skipped (but such a record is not copied by recovery); tags 1
 *                   and 2 stand at most once and have 8 bytes.
 *                   1  payload hash: unseeded XXH3-64 of the payload as stored; there if and only if
 *                      payload_size > 0
 *                   2  logical payload hash: that of the payload before COMPRESSED and ENCRYPTED;
 *                      there if and only if one of these flags is set (else the hash in 1, or that
 *                      of no bytes, is the logical one)
 *
 * The flag EXTENDED is set if and only if header_size > 96.
 *
 * Changing anything above takes a new major or minor number, a new file in tests/golden/wal, and a
 * decoder that still reads version 1.
 */
#ifndef VARVE_WAL_WAL_FORMAT_H
#define VARVE_WAL_WAL_FORMAT_H

#include "storage/base/bytes.h"
#include "storage/base/error.h"
#include "storage/wal/page_format.h"

#define VARVE_WAL_MAJOR 1u
#define VARVE_WAL_MINOR 0u
#define VARVE_WAL_HEADER_SIZE 208u
#define VARVE_WAL_SEAL_SIZE 48u
#define VARVE_WAL_RECORD_SIZE 96u      /* the fixed part */
#define VARVE_WAL_RECORD_MAX 1024u     /* fixed part and extensions */
#define VARVE_WAL_RECORD_OVERHEAD 120u /* at most, as this version writes it */
#define VARVE_WAL_PAYLOAD_MAX (16u << 20)
#define VARVE_WAL_SEGMENT_MIN (64u << 10) /* made by a writer; a recovered one may be less */
#define VARVE_WAL_SEGMENT_PAGES_MIN 3u
#define VARVE_WAL_SEGMENT_MAX (512u << 20)
#define VARVE_WAL_BASE_MAX (UINT64_MAX - VARVE_WAL_SEGMENT_MAX) /* so that no position runs over */
#define VARVE_WAL_KIND_RECORD 3u /* seed of a record header's crc32c; pages: enum varve_page_kind */
#define VARVE_WAL_NAME_MAX 32u

enum varve_wal_type {
    VARVE_WAL_DATA = 1,
    VARVE_WAL_SCHEMA = 2,
    VARVE_WAL_TABLE_DROP = 3,
    VARVE_WAL_TABLE_TRUNCATE = 4,
    VARVE_WAL_FLOOR = 5,
    VARVE_WAL_INGEST = 6,
    VARVE_WAL_NOOP = 7,
    VARVE_WAL_CONFIG = 8,
    VARVE_WAL_HARDSTATE = 9,
    VARVE_WAL_SUFFIX_CUT = 10,
    VARVE_WAL_CHECKPOINT = 11,
    VARVE_WAL_EPOCH = 12,
    VARVE_WAL_CLOSED_TS = 13,
    VARVE_WAL_SLOT = 14,
    VARVE_WAL_SEAL = 15,
    VARVE_WAL_PAD = 16, /* reserved, never written */
    VARVE_WAL_TYPE_LAST = 16,
};

enum varve_wal_record_flags {
    VARVE_WAL_COMPRESSED = 1, /* reserved: this version writes none of the first two */
    VARVE_WAL_ENCRYPTED = 2,
    VARVE_WAL_EXTENDED = 4, /* set by the encoder */
    VARVE_WAL_BULK = 8,
    VARVE_WAL_COMPACT = 16, /* reserved for a short header: refused */
};

/* What stands in a segment's header page. */
struct varve_wal_header {
    uint8_t uuid[16];
    uint8_t store_uuid[16];
    uint64_t id;
    uint64_t size;
    uint64_t prev_id;
    uint8_t prev_uuid[16];
    uint64_t prev_final_lsn;
    uint64_t prev_digest;
    uint64_t base_lsn;
    uint64_t base_index, base_term, base_chain;
    int64_t base_hlc;
    uint64_t incompatible, read_compatible, compatible;
    uint16_t major, minor; /* out; the encoder writes this version's */
};

struct varve_wal_seal {
    uint64_t lsn;
    uint64_t digest;
    uint64_t index, term, chain;
    int64_t hlc;
};

/* The fields of a commit record. */
struct varve_wal_record {
    uint8_t type;         /* enum varve_wal_type */
    uint8_t flags;        /* enum varve_wal_record_flags */
    uint16_t header_size; /* out */
    uint32_t payload_size;
    uint32_t group;
    uint64_t lsn;
    uint64_t index, term, commit;
    int64_t hlc;
    uint32_t origin, origin_epoch;
    uint64_t origin_first, origin_last;
    uint64_t chain;
    uint32_t replica, writer;
    uint64_t payload_hash; /* of the stored payload; varve_wal_payload_hash() */
    uint64_t logical_hash; /* equal to payload_hash unless COMPRESSED or ENCRYPTED */
};

/* Write "%016x.wal" to `out`, which has room for VARVE_WAL_NAME_MAX. */
void varve_wal_segment_name(uint64_t id, char *out);

/* Payload positions in a segment of `size` bytes: without header and seal. */
uint64_t varve_wal_segment_capacity(uint64_t size);

/* The largest payload that a writer takes with segments of `size` bytes. */
uint32_t varve_wal_payload_limit(uint64_t size);

/* The place of a page of a segment. */
struct varve_page_place varve_wal_page_place(const uint8_t uuid[16], uint64_t id, uint32_t page_no);

/* Write VARVE_WAL_HEADER_SIZE bytes. */
void varve_wal_header_encode(const struct varve_wal_header *header, uint8_t *out);
/*
 * VARVE_OK; VARVE_ECORRUPT if a clause of the layout does not hold; VARVE_EVERSION if the major
 * number or an incompatible feature is not known. `in` is the payload of page 0.
 */
varve_status varve_wal_header_decode(struct varve_span in, struct varve_wal_header *ret_header);
/* The uuid that the bytes of page 0 claim, unchecked: for readers that have no manifest. */
void varve_wal_header_peek(const uint8_t *page, uint8_t ret_uuid[16], uint64_t *ret_id,
                           uint64_t *ret_size);

void varve_wal_seal_encode(const struct varve_wal_seal *seal, uint8_t *out);
varve_status varve_wal_seal_decode(struct varve_span in, struct varve_wal_seal *ret_seal);

/* Unseeded XXH3-64: TLV 1, and what `chain` is made of. */
uint64_t varve_wal_payload_hash(struct varve_span payload);
uint64_t varve_wal_chain(uint64_t prev_chain, uint64_t index, uint64_t term, uint8_t type,
                         uint64_t logical_hash);

/* Bytes of the header of such a record: 96 and its extensions. */
uint32_t varve_wal_record_header_size(const struct varve_wal_record *record);
/* Write the header of a record (header_size is computed) for the segment `uuid`. Its size is
 * returned; `out` has room for VARVE_WAL_RECORD_OVERHEAD. */
uint32_t varve_wal_record_encode(const struct varve_wal_record *record, const uint8_t uuid[16],
                                 uint8_t *out);
/*
 * The header size that the first VARVE_WAL_RECORD_SIZE bytes of a record claim, or 0 if none of
 * 96 .. 1024 in steps of 4. Nothing is verified yet.
 */
uint32_t varve_wal_record_claim(const uint8_t *fixed);
/*
 * Decode and verify a whole header (`in` has exactly its size) that stands at `lsn` of the segment
 * `uuid`. VARVE_ECORRUPT: a clause does not hold; VARVE_EVERSION: type or flag not known.
 */
varve_status varve_wal_record_decode(struct varve_span in, const uint8_t uuid[16], uint64_t lsn,
                                     struct varve_wal_record *ret_record);

#endif
