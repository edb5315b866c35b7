/*
 * page_format.h - the 4 KiB page of the log and of the manifest. The only code that reads or writes
 * its trailer.
 *
 * A page carries up to 4,032 bytes of payload and a trailer of 64. Integers are unsigned and
 * little-endian. Bytes between `used` and the trailer are zero.
 *
 *   Trailer, at byte 4,032 of the page
 *     offset  size  field
 *          0     8  checksum      XXH3-64 over trailer [8,64), seeded with the XXH3-64 of the payload
 *                                 [0,4032), which is seeded with the place: hash of (file uuid, kind,
 *                                 byte offset of the page)
 *          8     8  durable_lsn   every payload byte below it was synced before this page was
 *                                 submitted: evidence for recovery
 *         16     8  commit_lsn    every record that ends at or below it is committed: visibility for
 *                                 readers in other processes
 *         24     8  first_lsn     position of the page's first payload byte
 *         32     4  file_id       low half of the segment id or generation; for people
 *         36     4  page_no       byte offset of the page / 4096
 *         40     4  crc32c        of sector 8 (bytes [3584,4096) of the page) with both checksums
 *                                 taken as zero, seeded with the low half of the place
 *         44     2  used          payload bytes
 *         46     2  flags         enum varve_page_flags
 *         48     2  first_record  offset of the first record that starts in this page; 0xFFFF: none
 *         50    14  digests       of sectors 1 to 7, u16 each: low bits of XXH3-64, seeded with the
 *                                 place. They only classify damage; the checksum detects it.
 *
 * A page with flag HEADER, SEAL or IDLE is a control page: its payload is not part of the payload
 * stream and takes no positions.
 *
 * Changing anything above takes a new format version and a new file in tests/golden/page.
 */
#ifndef VARVE_WAL_PAGE_FORMAT_H
#define VARVE_WAL_PAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARVE_PAGE_SIZE 4096u
#define VARVE_PAGE_PAYLOAD 4032u
#define VARVE_PAGE_SECTOR 512u
#define VARVE_PAGE_NO_RECORD 0xFFFFu

/* What file a page belongs to. Part of its checksums' seed. */
enum varve_page_kind {
    VARVE_PAGE_KIND_WAL = 1,
    VARVE_PAGE_KIND_MANIFEST = 2,
};

enum varve_page_flags {
    VARVE_PAGE_PARTIAL = 1,   /* another, longer version of this page may follow */
    VARVE_PAGE_REWRITTEN = 2, /* this version followed another */
    VARVE_PAGE_SEAL = 4,      /* control: the file's payload ends here, and this is its digest */
    VARVE_PAGE_IDLE = 8,      /* control: nothing new, only evidence */
    VARVE_PAGE_HEADER = 16,   /* control: page 0 of a file */
    VARVE_PAGE_FLAGS_ALL = 31,
    VARVE_PAGE_CONTROL = VARVE_PAGE_SEAL | VARVE_PAGE_IDLE | VARVE_PAGE_HEADER,
};

enum varve_page_class {
    VARVE_PAGE_VALID = 1,
    VARVE_PAGE_ZERO = 2, /* every byte is zero: never written */
    VARVE_PAGE_TORN = 3, /* a write that was cut short explains it */
    VARVE_PAGE_ROT = 4,  /* nothing but damage (or another page in this place) explains it */
};

/* Where a page belongs. */
struct varve_page_place {
    uint8_t uuid[16]; /* of the file */
    uint32_t kind;    /* enum varve_page_kind */
    uint32_t page_no;
    uint64_t file_id; /* segment id or generation */
};

/* The trailer but for its checksums and digests. */
struct varve_page_trailer {
    uint64_t durable_lsn, commit_lsn, first_lsn;
    uint16_t used;
    uint16_t flags;
    uint16_t first_record;
};

/*
 * Finish a page whose payload [0, used) is in place: zero the rest, write the trailer. Returns the
 * page's checksum, which feeds the running digest of the file.
 */
uint64_t varve_page_encode(uint8_t *page, const struct varve_page_place *place,
                           const struct varve_page_trailer *trailer);

/*
 * What `page` (VARVE_PAGE_SIZE bytes of anything) is. `ret_trailer` is written only for VALID.
 * VALID: the checksum matches, file_id and page_no are the place's, used <= 4032, the rest of the
 * payload is zero, no unknown flag, at most one control flag and none together with PARTIAL or
 * REWRITTEN, first_record is below `used` or none (none on a control page).
 * TORN: the trailer sector is zero; or it is sound, at least one other sector does not have its
 * digest, and each of these can be what another write left: all zero; or, with PARTIAL, reaching
 * beyond `used` (a later version); or, with REWRITTEN, ending in a zero byte (an earlier version,
 * which was shorter). So, too, where every sector has its digest, one by chance (they have 16 bits),
 * one that is not known to be this version's can be what another write left, and the checksum is no
 * damaged one: it differs from the right one in 16 bits or more. ROT: anything else.
 * So one flipped bit in a page that is written once, or one byte of any page's checksum, is never taken
 * for a torn write.
 */
enum varve_page_class varve_page_classify(const uint8_t *page, const struct varve_page_place *place,
                                          struct varve_page_trailer *ret_trailer);

/*
 * Whether the sector that holds the trailer is as it was written, by its crc32c, for this place,
 * whatever became of the others; then *ret_trailer. Sectors are written whole, so what the trailer
 * says of other pages (durable_lsn) was true; of this page it proves nothing.
 */
bool varve_page_trailer_sound(const uint8_t *page, const struct varve_page_place *place,
                              struct varve_page_trailer *ret_trailer);

/* The checksum that stands in a VALID page. */
uint64_t varve_page_checksum(const uint8_t *page);

/* The running digest of a file's pages: start with 0, fold in every page's checksum in order. */
uint64_t varve_page_digest_add(uint64_t digest, uint64_t checksum);

/* "valid", "zero", "torn", "rotten" */
const char *varve_page_class_name(enum varve_page_class page_class);

#endif
