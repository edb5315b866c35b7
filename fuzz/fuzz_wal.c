/*
 * fuzz_wal.c - arbitrary bytes as the pages of a log segment: recovered, followed, read to the end.
 *
 * Input: [1 byte flags][pages, padded with zeros to whole ones, at least 3, at most 16].
 * flags & 1: each page that is not zero gets the checksums of its place, and page_no and file_id.
 * flags & 2: each record header that first_record points to gets its crc. flags & 4: cut a rotten
 * tail. Whatever comes out: the records' positions only grow and lie in the payload.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/one_file.h"
#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/wal/wal_reader.h"

#define PAGES_MAX 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void record_repair(uint8_t *page, const uint8_t uuid[16])
{
    uint8_t *const t = page + VARVE_PAGE_PAYLOAD;
    const uint32_t at = varve_get_u16(t + 48);

    if (at > VARVE_PAGE_PAYLOAD - VARVE_WAL_RECORD_SIZE)
        return;
    const uint32_t header = varve_wal_record_claim(page + at);
    if (header == 0 || at + header > VARVE_PAGE_PAYLOAD)
        return;
    const uint64_t seed =
        varve_place_seed(uuid, VARVE_WAL_KIND_RECORD, varve_get_u64(page + at + 16));
    varve_put_u32(page + at, varve_crc32c(page + at + 4, header - 4, (uint32_t)seed));
}

static void pages_repair(uint8_t *bytes, uint32_t pages, const uint8_t uuid[16], uint8_t flags)
{
    for (uint32_t i = 0; i < pages; i++) {
        uint8_t *const page = bytes + (size_t)i * VARVE_PAGE_SIZE;
        uint8_t *const t = page + VARVE_PAGE_PAYLOAD;
        const uint64_t seed = varve_place_seed(uuid, VARVE_PAGE_KIND_WAL, i * VARVE_PAGE_SIZE);
        uint8_t any = 0;

        for (uint32_t k = 0; k < VARVE_PAGE_SIZE; k++)
            any |= page[k];
        if (any == 0)
            continue;
        varve_put_u32(t + 32, 1);
        varve_put_u32(t + 36, i);
        if ((flags & 2) != 0 && i > 0)
            record_repair(page, uuid);
        varve_put_u64(t, varve_hash64(t + 8, 56, varve_hash64(page, VARVE_PAGE_PAYLOAD, seed)));
    }
}

static void read_all(struct one_file *disk, struct varve_heap *heap, uint32_t mode, bool cut_rot)
{
    struct varve_wal_listed listed = {
        .id = 1, .base_lsn = varve_get_u64(disk->file.bytes + 104), .size = disk->file.size};
    struct varve_wal_reader_options o = {.vfs = &disk->vfs,
                                         .heap = heap,
                                         .mode = mode,
                                         .cut_rot = cut_rot,
                                         .salvage = true,
                                         .segments = &listed,
                                         .n_segments = 1};
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_record record;
    struct varve_span payload;
    uint64_t last = 0;

    memcpy(listed.uuid, disk->file.bytes + 16, 16);
    memcpy(o.store_uuid, disk->file.bytes + 32, 16);
    o.start_lsn = varve_get_u64(disk->file.bytes + 104);
    o.start_index = varve_get_u64(disk->file.bytes + 112);
    o.start_term = varve_get_u64(disk->file.bytes + 120);
    o.start_chain = varve_get_u64(disk->file.bytes + 128);
    if (varve_wal_reader_open(&o, &reader, NULL, NULL) == VARVE_OK) {
        while (varve_wal_reader_next(reader, &record, &payload, NULL) == VARVE_OK) {
            if (varve_wal_reader_lsn(reader) <= last || payload.size != record.payload_size)
                abort();
            last = varve_wal_reader_lsn(reader);
        }
    }
    varve_wal_reader_close(reader);
    if (varve_heap_used(heap) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct one_file disk;
    struct varve_heap heap;
    uint8_t uuid[16];

    if (size < 2 || size > 1 + PAGES_MAX * VARVE_PAGE_SIZE)
        return 0;
    uint32_t pages = (uint32_t)((size - 1 + VARVE_PAGE_SIZE - 1) / VARVE_PAGE_SIZE);
    if (pages < VARVE_WAL_SEGMENT_PAGES_MIN)
        pages = VARVE_WAL_SEGMENT_PAGES_MIN;
    uint8_t *const bytes = calloc(pages, VARVE_PAGE_SIZE);
    if (bytes == NULL)
        abort();
    memcpy(bytes, data + 1, size - 1);
    memcpy(uuid, bytes + 16, 16);
    if ((data[0] & 3) != 0) {
        varve_put_u64(bytes + 56, (uint64_t)pages * VARVE_PAGE_SIZE); /* the header's size */
        varve_put_u64(bytes + 48, 1);                                 /* and id */
        pages_repair(bytes, pages, uuid, data[0]);
    }
    one_file_init(&disk, "0000000000000001.wal", bytes, (uint64_t)pages * VARVE_PAGE_SIZE);
    varve_heap_init(&heap, NULL, 64u << 20);
    read_all(&disk, &heap, VARVE_WAL_RECOVERY, (data[0] & 4) != 0);
    read_all(&disk, &heap, VARVE_WAL_FOLLOW, false);
    free(bytes);
    return 0;
}
