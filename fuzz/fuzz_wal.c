/*
 * fuzz_wal.c - arbitrary bytes as the pages of a log segment: read to the end, followed, recovered.
 *
 * Input: [1 byte flags][pages, padded with zeros to whole ones, at least 3, at most 16].
 * flags & 1: each page that is not zero gets the checksums of its place, and page_no and file_id.
 * flags & 2: each record header that first_record points to gets its crc. flags & 4: cut a rotten
 * tail. flags & 8: direct I/O. Whatever comes out: the records' positions only grow and lie in the
 * payload. Where the verdict accepts the log it is recovered, on a simulated disk: the new log has
 * every record that was accepted, as it was, when the power goes right behind it, and when it is
 * recovered once more.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/need.h"
#include "fuzz/one_file.h"
#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/vfs/vfs_sim.h"
#include "storage/wal/wal_recovery.h"

#define PAGES_MAX 16u
#define SEGMENT_NAME "0000000000000001.wal"

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

/* The records of a log, told apart by a hash. */
struct told {
    uint64_t records, hash;
};

/* Everything that the reader gives; returns how it ended. */
static varve_status records_read(struct varve_wal_reader *reader, struct told *told)
{
    struct varve_wal_record record;
    struct varve_span payload;
    varve_status rc;
    uint64_t last = 0;

    *told = (struct told){0};
    while ((rc = varve_wal_reader_next(reader, &record, &payload, NULL)) == VARVE_OK) {
        const uint64_t said[] = {record.lsn,          record.index,         record.term,
                                 record.chain,        (uint64_t)record.hlc, record.origin,
                                 record.origin_first, payload.size};
        NEED(varve_wal_reader_lsn(reader) > last && payload.size == record.payload_size);
        last = varve_wal_reader_lsn(reader);
        told->records++;
        told->hash =
            varve_hash64(said, sizeof said, varve_hash64(payload.data, payload.size, told->hash));
    }
    return rc;
}

static struct varve_wal_reader_options options_of(const uint8_t *bytes, struct varve_heap *heap)
{
    struct varve_wal_reader_options o = {.heap = heap,
                                         .start_lsn = varve_get_u64(bytes + 104),
                                         .start_index = varve_get_u64(bytes + 112),
                                         .start_term = varve_get_u64(bytes + 120),
                                         .start_chain = varve_get_u64(bytes + 128)};

    memcpy(o.store_uuid, bytes + 32, 16);
    return o;
}

static struct varve_wal_listed listed_of(const uint8_t *bytes, uint64_t size)
{
    struct varve_wal_listed listed = {
        .id = 1, .base_lsn = varve_get_u64(bytes + 104), .size = size};

    memcpy(listed.uuid, bytes + 16, 16);
    return listed;
}

/* Read to the end, with all that there is before a damage. Returns whether the log was accepted. */
static bool read_all(struct one_file *disk, struct varve_heap *heap, uint32_t mode, bool cut_rot)
{
    const struct varve_wal_listed listed = listed_of(disk->file.bytes, disk->file.size);
    struct varve_wal_reader_options o = options_of(disk->file.bytes, heap);
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_verdict verdict = {0};
    struct told told;
    bool accepted = false;

    o.vfs = &disk->vfs;
    o.mode = mode;
    o.cut_rot = cut_rot;
    o.salvage = true;
    o.segments = &listed;
    o.n_segments = 1;
    if (varve_wal_reader_open(&o, &reader, &verdict, NULL) == VARVE_OK) {
        (void)records_read(reader, &told);
        accepted = mode == VARVE_WAL_RECOVERY &&
                   (verdict.kind == VARVE_WAL_CLEAN_END || verdict.kind == VARVE_WAL_CUT);
    }
    varve_wal_reader_close(reader);
    NEED(varve_heap_used(heap) == 0);
    return accepted;
}

/* ------------------------------------------------------------------------------------ Recovery */

/* Open, recover and read. Where all goes well the caller frees *recovered. */
static varve_status recover(struct varve_sim *sim, const struct varve_wal_reader_options *options,
                            uint64_t first_id, bool direct, struct varve_wal_verdict *verdict,
                            struct varve_wal_recovered *recovered, struct told *told)
{
    struct varve_wal_reader_options o = *options;
    struct varve_wal_reader *reader = NULL;
    struct told before;

    NEED(varve_sim_attach(sim, &o.vfs) == 0);
    varve_status rc = varve_wal_reader_open(&o, &reader, verdict, NULL);
    if (rc == VARVE_OK)
        rc = varve_wal_recover(reader, verdict, first_id, direct, recovered, NULL);
    if (rc == VARVE_OK) { /* the old segments are still there */
        NEED(records_read(reader, &before) == VARVE_END && before.records == verdict->records);
        *told = before;
    }
    varve_wal_reader_close(reader);
    varve_sim_kill(o.vfs);
    o.vfs->ops->destroy(o.vfs);
    return rc;
}

/* The power goes, and of what was not synced nothing stays. */
static struct varve_sim *power_cut(struct varve_sim *sim)
{
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;

    varve_sim_crash_options_init(&options, 1);
    options.model = VARVE_SIM_CRASH_PREFIX;
    NEED(varve_sim_crash_open(sim, &options, &crash) == 0);
    NEED(varve_sim_crash_at(crash, 0, &image, NULL) == 0);
    varve_sim_crash_close(crash);
    return image;
}

static void check_recovery(struct varve_sim *sim, const struct varve_wal_reader_options *options,
                           bool direct)
{
    struct varve_wal_reader_options o = *options;
    struct varve_wal_verdict verdict, again;
    struct varve_wal_recovered first = {0}, second = {0};
    struct told told, later;

    const varve_status rc = recover(sim, &o, 2, direct, &verdict, &first, &told);
    if (rc != VARVE_OK) { /* a header or a record that no writer could go on from */
        NEED(rc == VARVE_ECORRUPT || rc == VARVE_EVERSION || rc == VARVE_ELIMIT);
        return;
    }
    NEED(first.start.prev_final_lsn == verdict.recovered_to || first.n_segments == 0);
    NEED(first.start.base_lsn >= verdict.recovered_to);
    struct varve_sim *const image = power_cut(sim);
    o.segments = first.segments;
    o.n_segments = first.n_segments;
    o.durable_lsn = verdict.recovered_to;
    o.cut_rot = false;
    NEED(recover(image, &o, first.next_id, direct, &again, &second, &later) == VARVE_OK);
    NEED(told.records == later.records && told.hash == later.hash);
    NEED(again.kind == VARVE_WAL_CLEAN_END && again.recovered_to == verdict.recovered_to);
    NEED(again.chain == verdict.chain && again.index == verdict.index);
    NEED(second.n_dropped == 0 && second.next_id == first.next_id);
    NEED(second.n_segments == first.n_segments &&
         second.start.prev_final_lsn == first.start.prev_final_lsn);
    varve_wal_recovered_free(&first);
    varve_wal_recovered_free(&second);
    varve_sim_destroy(image);
}

static void recover_all(const uint8_t *bytes, uint64_t size, struct varve_heap *heap, bool cut_rot,
                        bool direct)
{
    const struct varve_wal_listed listed = listed_of(bytes, size);
    struct varve_wal_reader_options o = options_of(bytes, heap);
    struct varve_sim_options options;
    struct varve_heap sim_heap;
    struct varve_sim *sim = NULL;

    varve_heap_init(&sim_heap, NULL, UINT64_MAX);
    varve_sim_options_init(&options, &sim_heap, 1);
    NEED(varve_sim_create(&options, &sim) == 0);
    NEED(varve_sim_put(sim, SEGMENT_NAME, bytes, (size_t)size) == 0);
    o.mode = VARVE_WAL_RECOVERY;
    o.cut_rot = cut_rot;
    o.segments = &listed;
    o.n_segments = 1;
    check_recovery(sim, &o, direct);
    NEED(varve_sim_violation(sim) == NULL);
    varve_sim_destroy(sim);
    NEED(varve_heap_used(heap) == 0 && varve_heap_used(&sim_heap) == 0);
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
    one_file_init(&disk, SEGMENT_NAME, bytes, (uint64_t)pages * VARVE_PAGE_SIZE);
    varve_heap_init(&heap, NULL, 64u << 20);
    if (read_all(&disk, &heap, VARVE_WAL_RECOVERY, (data[0] & 4) != 0))
        recover_all(bytes, disk.file.size, &heap, (data[0] & 4) != 0, (data[0] & 8) != 0);
    (void)read_all(&disk, &heap, VARVE_WAL_FOLLOW, false);
    free(bytes);
    return 0;
}
