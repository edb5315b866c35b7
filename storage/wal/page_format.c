/*
 * page_format.c - see page_format.h for the layout.
 */
#include "storage/wal/page_format.h"

#include <assert.h>
#include <string.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"

#define TRAILER VARVE_PAGE_PAYLOAD
#define TRAILER_SIZE (VARVE_PAGE_SIZE - VARVE_PAGE_PAYLOAD)
#define LAST_SECTOR (VARVE_PAGE_SIZE - VARVE_PAGE_SECTOR)
#define DIGESTS 7u /* sectors before the one that holds the trailer */
/* Two checksums that have nothing to do with each other differ in so many bits. */
#define CHANCE_BITS_MIN 16

enum trailer_offset {
    AT_CHECKSUM = 0,
    AT_DURABLE_LSN = 8,
    AT_COMMIT_LSN = 16,
    AT_FIRST_LSN = 24,
    AT_FILE_ID = 32,
    AT_PAGE_NO = 36,
    AT_CRC32C = 40,
    AT_USED = 44,
    AT_FLAGS = 46,
    AT_FIRST_RECORD = 48,
    AT_DIGESTS = 50,
};

_Static_assert(AT_DIGESTS + 2 * DIGESTS == TRAILER_SIZE, "the trailer is full");

static uint64_t place_seed(const struct varve_page_place *place)
{
    return varve_place_seed(place->uuid, place->kind, (uint64_t)place->page_no * VARVE_PAGE_SIZE);
}

static uint64_t page_checksum(const uint8_t *page, uint64_t seed)
{
    const uint64_t payload = varve_hash64(page, VARVE_PAGE_PAYLOAD, seed);
    return varve_hash64(page + TRAILER + AT_DURABLE_LSN, TRAILER_SIZE - AT_DURABLE_LSN, payload);
}

/* The crc of the sector that holds the trailer, with both checksums taken as zero. */
static uint32_t last_sector_crc(const uint8_t *page, uint64_t seed)
{
    uint8_t sector[VARVE_PAGE_SECTOR];
    const size_t trailer = TRAILER - LAST_SECTOR;

    memcpy(sector, page + LAST_SECTOR, sizeof sector);
    memset(sector + trailer + AT_CHECKSUM, 0, 8);
    memset(sector + trailer + AT_CRC32C, 0, 4);
    return varve_crc32c(sector, sizeof sector, (uint32_t)seed);
}

static uint16_t sector_digest(const uint8_t *sector, uint64_t seed)
{
    return (uint16_t)varve_hash64(sector, VARVE_PAGE_SECTOR, seed);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint64_t any = 0;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        any |= word;
    }
    for (; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* The clauses that a trailer must satisfy besides its checksum. */
static bool trailer_holds(const struct varve_page_trailer *t)
{
    const uint16_t control = t->flags & VARVE_PAGE_CONTROL;

    if (t->used > VARVE_PAGE_PAYLOAD || (t->flags & ~VARVE_PAGE_FLAGS_ALL) != 0)
        return false;
    if (t->first_record != VARVE_PAGE_NO_RECORD && t->first_record >= t->used)
        return false;
    if (control == 0)
        return true;
    return (control & (control - 1)) == 0 && t->flags == control &&
           t->first_record == VARVE_PAGE_NO_RECORD;
}

uint64_t varve_page_encode(uint8_t *page, const struct varve_page_place *place,
                           const struct varve_page_trailer *trailer)
{
    const uint64_t seed = place_seed(place);
    uint8_t *const t = page + TRAILER;

    assert(trailer_holds(trailer));
    memset(page + trailer->used, 0, VARVE_PAGE_SIZE - (size_t)trailer->used);
    varve_put_u64(t + AT_DURABLE_LSN, trailer->durable_lsn);
    varve_put_u64(t + AT_COMMIT_LSN, trailer->commit_lsn);
    varve_put_u64(t + AT_FIRST_LSN, trailer->first_lsn);
    varve_put_u32(t + AT_FILE_ID, (uint32_t)place->file_id);
    varve_put_u32(t + AT_PAGE_NO, place->page_no);
    varve_put_u16(t + AT_USED, trailer->used);
    varve_put_u16(t + AT_FLAGS, trailer->flags);
    varve_put_u16(t + AT_FIRST_RECORD, trailer->first_record);
    for (size_t i = 0; i < DIGESTS; i++)
        varve_put_u16(t + AT_DIGESTS + 2 * i, sector_digest(page + i * VARVE_PAGE_SECTOR, seed));
    varve_put_u32(t + AT_CRC32C, last_sector_crc(page, seed));

    const uint64_t checksum = page_checksum(page, seed);
    varve_put_u64(t + AT_CHECKSUM, checksum);
    return checksum;
}

static void trailer_get(const uint8_t *t, struct varve_page_trailer *out)
{
    out->durable_lsn = varve_get_u64(t + AT_DURABLE_LSN);
    out->commit_lsn = varve_get_u64(t + AT_COMMIT_LSN);
    out->first_lsn = varve_get_u64(t + AT_FIRST_LSN);
    out->used = varve_get_u16(t + AT_USED);
    out->flags = varve_get_u16(t + AT_FLAGS);
    out->first_record = varve_get_u16(t + AT_FIRST_RECORD);
}

static bool trailer_is_here(const uint8_t *t, const struct varve_page_place *place)
{
    return varve_get_u32(t + AT_FILE_ID) == (uint32_t)place->file_id &&
           varve_get_u32(t + AT_PAGE_NO) == place->page_no;
}

bool varve_page_trailer_sound(const uint8_t *page, const struct varve_page_place *place,
                              struct varve_page_trailer *ret_trailer)
{
    const uint8_t *const t = page + TRAILER;
    struct varve_page_trailer trailer;

    trailer_get(t, &trailer);
    if (varve_get_u32(t + AT_CRC32C) != last_sector_crc(page, place_seed(place)) ||
        !trailer_is_here(t, place) || !trailer_holds(&trailer))
        return false;
    *ret_trailer = trailer;
    return true;
}

/*
 * Sector `i` does not have the digest that the trailer gives it. Could it be of another version of
 * the page? Versions only grow: an earlier one agrees with this one up to its own end and is zero
 * from there on, and a later one agrees with this one up to `used`.
 */
static bool may_be_other_version(const uint8_t *sector, size_t i,
                                 const struct varve_page_trailer *t)
{
    const bool full = (i + 1) * VARVE_PAGE_SECTOR <= t->used;

    if (all_zero(sector, VARVE_PAGE_SECTOR)) /* what was there before the first version */
        return true;
    if ((t->flags & VARVE_PAGE_PARTIAL) != 0 && !full)
        return true;
    return (t->flags & VARVE_PAGE_REWRITTEN) != 0 && sector[VARVE_PAGE_SECTOR - 1] == 0;
}

/*
 * No sector's digest differs although the checksum does: one has the right 16 bits by chance, as one in
 * 65,536 of those that a torn write leaves. Is there any that could be of another version, and does not
 * show by itself that it is this one's, as zeros beyond `used` do?
 *
 * Or the checksum itself is damaged, which no digest covers. Then it is the right one but for some bits;
 * behind a torn write the two have nothing to do with each other, and 16 bits differ at least in all but
 * one case of 50,000.
 */
static bool chance_hides_a_torn_write(const uint8_t *page, const struct varve_page_trailer *t,
                                      uint64_t seed)
{
    const uint64_t damage = varve_page_checksum(page) ^ page_checksum(page, seed);

    if (__builtin_popcountll(damage) < CHANCE_BITS_MIN)
        return false;
    for (size_t i = 0; i < DIGESTS; i++) {
        const uint8_t *const sector = page + i * VARVE_PAGE_SECTOR;
        const bool unused = i * VARVE_PAGE_SECTOR >= t->used && all_zero(sector, VARVE_PAGE_SECTOR);

        if (!unused && may_be_other_version(sector, i, t))
            return true;
    }
    return false;
}

/* A page that is neither zero nor VALID: could a write that was cut short have left it? */
static enum varve_page_class classify_damage(const uint8_t *page,
                                             const struct varve_page_place *place, uint64_t seed)
{
    struct varve_page_trailer t;
    bool missing = false;

    if (all_zero(page + LAST_SECTOR, VARVE_PAGE_SECTOR))
        return VARVE_PAGE_TORN;
    if (!varve_page_trailer_sound(page, place, &t))
        return VARVE_PAGE_ROT;
    for (size_t i = 0; i < DIGESTS; i++) {
        const uint8_t *const sector = page + i * VARVE_PAGE_SECTOR;

        if (varve_get_u16(page + TRAILER + AT_DIGESTS + 2 * i) == sector_digest(sector, seed))
            continue;
        if (!may_be_other_version(sector, i, &t))
            return VARVE_PAGE_ROT;
        missing = true;
    }
    return missing || chance_hides_a_torn_write(page, &t, seed) ? VARVE_PAGE_TORN : VARVE_PAGE_ROT;
}

enum varve_page_class varve_page_classify(const uint8_t *page, const struct varve_page_place *place,
                                          struct varve_page_trailer *ret_trailer)
{
    const uint8_t *const t = page + TRAILER;
    struct varve_page_trailer trailer;

    if (all_zero(page, VARVE_PAGE_SIZE))
        return VARVE_PAGE_ZERO;
    const uint64_t seed = place_seed(place);
    if (varve_get_u64(t + AT_CHECKSUM) != page_checksum(page, seed))
        return classify_damage(page, place, seed);

    trailer_get(t, &trailer);
    if (!trailer_is_here(t, place) || !trailer_holds(&trailer))
        return VARVE_PAGE_ROT;
    if (!all_zero(page + trailer.used, VARVE_PAGE_PAYLOAD - (size_t)trailer.used))
        return VARVE_PAGE_ROT;
    *ret_trailer = trailer;
    return VARVE_PAGE_VALID;
}

uint64_t varve_page_checksum(const uint8_t *page)
{
    return varve_get_u64(page + TRAILER + AT_CHECKSUM);
}

uint64_t varve_page_digest_add(uint64_t digest, uint64_t checksum)
{
    uint8_t bytes[16];

    varve_put_u64(bytes, digest);
    varve_put_u64(bytes + 8, checksum);
    return varve_hash64(bytes, sizeof bytes, 0);
}

const char *varve_page_class_name(enum varve_page_class page_class)
{
    switch (page_class) {
    case VARVE_PAGE_VALID:
        return "valid";
    case VARVE_PAGE_ZERO:
        return "zero";
    case VARVE_PAGE_TORN:
        return "torn";
    case VARVE_PAGE_ROT:
        return "rotten";
    }
    return "unknown";
}
