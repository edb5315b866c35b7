/*
 * sst_format.h - the bytes of an SSTable. The only code that reads or writes them, together with
 * what it contains: codec.h (vectors), schema_format.h, sst_properties.h, partition_directory.h,
 * key_filter.h and group_index.h (a row group's index and zone maps).
 *
 * SSTABLE, FORMAT VERSION 1.0. Integers are unsigned and little-endian unless said otherwise;
 * "varint" is LEB128, at most 10 bytes, canonical; "zigzag" a varint of a zigzagged int64.
 *
 *   header page        4096 bytes
 *   row groups and metadata extents, in any order, back to back, no padding
 *   key filter         its shards, then their table
 *   section block, copy A
 *   last mirrors       (copies B of the last metadata extents)
 *   section block, copy B
 *   padding            zeros up to a multiple of 4096
 *   footer, copy A     4096 bytes
 *   footer, copy B     4096 bytes, the same
 *
 * A row group is: for each stream its blocks, one a vector, contiguous, and its dictionary; its zone
 * block. A metadata extent holds what stands twice: group indexes, pages of the partition directory,
 * schema, properties, group directory. When an extent is complete its copy A is written; its copy B
 * (the mirror, the same bytes) follows just before the next extent, so that data stands between the
 * two, and memory for it is bounded. (Where a row group has so many partitions that its metadata alone
 * fills extents, each block is an extent's length from its copy: 256 KiB at least.) Everything that
 * points to a block gives copy A's offset; the mirror table in the section block gives copy B's.
 *
 *   Checksum of a block at offset o of kind k: XXH3-64 of its bytes, seeded with
 *   varve_place_seed(file uuid, k, o of copy A). It is held by whatever points to the block.
 *
 *   Header page
 *     offset  size  field
 *          0     8  magic          the ASCII bytes "VARVESST"
 *          8     2  major          1; another one is EVERSION
 *         10     2  minor          0
 *         12     4  page_size      4096
 *         16    16  uuid           of the file
 *         32     8  incompatible   feature set: an unknown bit is EVERSION
 *         40     8  read_compatible   ignored by readers
 *         48     8  compatible     ignored
 *         56  4032  zero
 *       4088     8  checksum       of bytes [0, 4088), kind HEADER, offset 0
 *   The header repeats what the footer says; when it is damaged the footer stands in.
 *
 *   Footer
 *          0     8  magic          the ASCII bytes "VARVEFTR"
 *          8     2  major
 *         10     2  minor
 *         12     4  page_size      4096
 *         16    16  uuid
 *         32     8  incompatible
 *         40     8  read_compatible
 *         48     8  compatible
 *         56     8  file_size      multiple of 4096
 *         64     8  section_a      offset of the section block, copy A
 *         72     8  section_b      of copy B
 *         80     8  section_size
 *         88     8  section_checksum
 *         96  3992  zero
 *       4088     8  checksum       of bytes [0, 4088), kind FOOTER, offset file_size
 *
 *   Section block
 *          0     4  n_sections
 *          4     4  n_mirrors
 *          8  32 n  sections, ascending by id
 *                     0  4  id     enum varve_sst_section; an unknown id is skipped
 *                     4  4  flags  bit 0: must be understood (else EVERSION); others zero
 *                     8  8  offset
 *                    16  8  size
 *                    24  8  checksum
 *          .  24 m  mirrors, ascending and disjoint in both offsets
 *                     0  8  offset of copy A
 *                     8  8  offset of copy B
 *                    16  8  size
 *   The section DIRECTORY's block is the root page of the partition directory, FILTER's the table of
 *   the key filter.
 *
 *   Group directory
 *          0     4  n_groups
 *          4  80 n  groups; indexes and data of later ones lie behind those of earlier ones
 *                     0  8  first_row            the sum of the rows before
 *                     8  8  first_partition      ordinal of the partition of its first row
 *                    16  4  rows
 *                    20  4  vectors
 *                    24  8  first_time           least and greatest of its rows' times
 *                    32  8  last_time
 *                    40  8  index_offset
 *                    48  4  index_size
 *                    52  4  zero
 *                    56  8  index_checksum
 *                    64  8  data_offset          of the group's first block
 *                    72  8  data_size            up to the end of its zone block
 *
 * Changing anything above takes a new version number or feature bit, a new file in
 * tests/golden/sst/, and a decoder that still reads this version.
 */
#ifndef VARVE_SST_SST_FORMAT_H
#define VARVE_SST_SST_FORMAT_H

#include "storage/base/alloc.h"
#include "storage/base/bytes.h"
#include "storage/base/error.h"

#define VARVE_SST_PAGE 4096u
#define VARVE_SST_MAJOR 1u
#define VARVE_SST_MINOR 0u
#define VARVE_SST_ROWS_MAX 65536u         /* of a row group */
#define VARVE_SST_BLOCK_MAX (64u << 20)   /* of any block */
#define VARVE_SST_META_BYTES (256u << 10) /* an extent is complete from here on */

/* Kinds in the seeds of checksums. In files: append only. */
enum varve_sst_kind_of_block {
    VARVE_SST_HEADER = 0x5301,
    VARVE_SST_FOOTER = 0x5302,
    VARVE_SST_SECTIONS = 0x5303,
    VARVE_SST_GROUPS = 0x5304,
    VARVE_SST_INDEX = 0x5305,
    VARVE_SST_ZONES = 0x5306,
    VARVE_SST_VECTOR = 0x5307,
    VARVE_SST_DICTIONARY = 0x5308,
    VARVE_SST_DIRECTORY = 0x5309,
    VARVE_SST_FILTER = 0x530A,
    VARVE_SST_SCHEMA = 0x530B,
    VARVE_SST_PROPERTIES = 0x530C
};

/* In files: append only. */
enum varve_sst_section {
    VARVE_SECTION_SCHEMA = 1,
    VARVE_SECTION_PROPERTIES = 2,
    VARVE_SECTION_GROUPS = 3,
    VARVE_SECTION_DIRECTORY = 4,
    VARVE_SECTION_FILTER = 5 /* may be missing */
};
#define VARVE_SECTION_KINDS 6u
#define VARVE_SECTION_IMPORTANT 1u /* flags bit 0 */

/* The streams of a row group. In files: append only below COLUMN. */
enum varve_sst_stream {
    VARVE_STREAM_TIME = 0,
    VARVE_STREAM_WT = 1,         /* left out where all rows of the vector have its min_wt */
    VARVE_STREAM_EXP = 2,        /* left out where all are 0 */
    VARVE_STREAM_MARKER = 3,     /* left out where all are live */
    VARVE_STREAM_EXCEPTIONS = 4, /* left out where there are none */
    VARVE_STREAM_WRITER = 5,     /* left out where all are 0 */
    VARVE_STREAM_ORDINAL = 6,    /* left out where all are 0 */
    VARVE_STREAM_COLUMN = 16     /* + number in the file's schema; left out where all are absent */
};

struct varve_sst_footer {
    uint8_t uuid[16];
    uint64_t incompatible;
    uint64_t read_compatible;
    uint64_t compatible;
    uint64_t file_size; /* footer only */
    uint64_t section_a;
    uint64_t section_b;
    uint64_t section_size;
    uint64_t section_checksum;
};

struct varve_sst_section_ref {
    uint64_t offset; /* 0: the file has no such section */
    uint64_t size;
    uint64_t checksum;
};

struct varve_sst_mirror {
    uint64_t a;
    uint64_t b;
    uint64_t size;
};

struct varve_sst_sections {
    struct varve_sst_section_ref at[VARVE_SECTION_KINDS]; /* by id; [0] unused */
    struct varve_sst_mirror *mirrors;                     /* owned */
    uint32_t n_mirrors;
};

struct varve_sst_group { /* one entry of the group directory */
    uint64_t first_row;
    uint64_t first_partition;
    uint32_t rows;
    uint32_t vectors;
    int64_t first_time;
    int64_t last_time;
    uint64_t index_offset;
    uint32_t index_size;
    uint64_t index_checksum;
    uint64_t data_offset;
    uint64_t data_size;
};

/* The checksum of a block of this file. */
uint64_t varve_sst_checksum(const uint8_t uuid[16], uint32_t kind, uint64_t offset,
                            const void *data, size_t size);

/* `page` is VARVE_SST_PAGE bytes. The decoders are total: OK, ECORRUPT or EVERSION. */
void varve_sst_header_encode(const struct varve_sst_footer *footer, uint8_t *page);
varve_status varve_sst_header_decode(const uint8_t *page, struct varve_sst_footer *ret_footer,
                                     varve_error *err);
void varve_sst_footer_encode(const struct varve_sst_footer *footer, uint8_t *page,
                             uint64_t *ret_checksum);
/* `file_size` is what the file has. */
varve_status varve_sst_footer_decode(const uint8_t *page, uint64_t file_size,
                                     struct varve_sst_footer *ret_footer, uint64_t *ret_checksum,
                                     varve_error *err);

size_t varve_sst_sections_size(uint32_t n_sections, uint32_t n_mirrors);
void varve_sst_sections_encode(const struct varve_sst_sections *sections, struct varve_buffer *out);
/* Every extent is checked to lie within [VARVE_SST_PAGE, file_size - 2 pages). */
varve_status varve_sst_sections_decode(struct varve_span in, uint64_t file_size,
                                       struct varve_heap *heap,
                                       struct varve_sst_sections *ret_sections, varve_error *err);
void varve_sst_sections_free(struct varve_sst_sections *sections, struct varve_heap *heap);
/* Copy B of [offset, offset + size), or 0 when it stands once. */
uint64_t varve_sst_mirror_of(const struct varve_sst_sections *sections, uint64_t offset,
                             uint64_t size);

void varve_sst_groups_encode(const struct varve_sst_group *groups, uint32_t n,
                             struct varve_buffer *out);
varve_status varve_sst_groups_decode(struct varve_span in, uint64_t file_size,
                                     struct varve_heap *heap, struct varve_sst_group **ret_groups,
                                     uint32_t *ret_n, varve_error *err);
void varve_sst_groups_free(struct varve_sst_group *groups, uint32_t n, struct varve_heap *heap);

#endif
