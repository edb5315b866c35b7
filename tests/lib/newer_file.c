/*
 * newer_file.c - see newer_file.h.
 */
#include "tests/lib/newer_file.h"

#include <string.h>

#include "storage/base/bytes.h"
#include "storage/sst/sst_format.h"
#include "storage/wal/page_format.h"

/* Where a header has its version: major number, and two sets of features. */
struct header_fields {
    uint32_t at[NEWER_KINDS];
};
static const struct header_fields wal_fields = {{8, 144, 152}};
static const struct header_fields manifest_fields = {{8, 80, 88}};
static const struct header_fields sst_fields = {{8, 32, 40}};

static void change_header(uint8_t *header, const struct header_fields *fields, enum newer_kind kind)
{
    if (kind == NEWER_MAJOR)
        varve_put_u16(header + fields->at[kind], 2);
    else
        varve_put_u64(header + fields->at[kind], UINT64_C(1) << 40);
}

/* Headers and seals: every control page whose payload begins with the magic of page 0. */
static bool change_pages(uint8_t *bytes, size_t size, enum varve_page_kind page_kind,
                         const struct header_fields *fields, enum newer_kind kind)
{
    struct varve_page_place place = {.kind = page_kind, .file_id = varve_get_u64(bytes + 48)};
    struct varve_page_trailer trailer;
    bool changed = false;
    char magic[8];

    memcpy(place.uuid, bytes + 16, sizeof place.uuid);
    memcpy(magic, bytes, sizeof magic);
    for (; place.page_no < size / VARVE_PAGE_SIZE; place.page_no++) {
        uint8_t *const page = bytes + (size_t)place.page_no * VARVE_PAGE_SIZE;
        if (varve_page_classify(page, &place, &trailer) != VARVE_PAGE_VALID ||
            (trailer.flags & VARVE_PAGE_CONTROL) == 0 || memcmp(page, magic, sizeof magic) != 0)
            continue;
        change_header(page, fields, kind);
        (void)varve_page_encode(page, &place, &trailer);
        changed = true;
    }
    return changed;
}

static bool change_sst(uint8_t *bytes, size_t size, enum newer_kind kind)
{
    const size_t checksum_at = VARVE_SST_PAGE - 8;
    const size_t at[3] = {0, size - 2 * VARVE_SST_PAGE, size - VARVE_SST_PAGE};

    for (int i = 0; i < 3; i++) {
        uint8_t *const page = bytes + at[i];
        change_header(page, &sst_fields, kind);
        varve_put_u64(page + checksum_at,
                      varve_sst_checksum(bytes + 16, i == 0 ? VARVE_SST_HEADER : VARVE_SST_FOOTER,
                                         i == 0 ? 0 : size, page, checksum_at));
    }
    return true;
}

bool newer_file_change(uint8_t *bytes, size_t size, enum newer_kind kind)
{
    if (size >= VARVE_PAGE_SIZE && memcmp(bytes, "VARVEWAL", 8) == 0)
        return change_pages(bytes, size, VARVE_PAGE_KIND_WAL, &wal_fields, kind);
    if (size >= VARVE_PAGE_SIZE && memcmp(bytes, "VARVEMAN", 8) == 0)
        return change_pages(bytes, size, VARVE_PAGE_KIND_MANIFEST, &manifest_fields, kind);
    if (size >= 3 * VARVE_SST_PAGE && memcmp(bytes, "VARVESST", 8) == 0)
        return change_sst(bytes, size, kind);
    return false;
}
