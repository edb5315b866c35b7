/*
 * fuzz_manifest.c - arbitrary bytes as a generation of the manifest, or as operations alone.
 *
 * Input: [1 byte flags][bytes]. flags & 1: the bytes are operations, carried out on an empty state;
 * else they are pages, padded with zeros to the size that the header claims (at most 80 pages).
 * flags & 2: each page that is not zero gets the checksums of its place. flags & 4: header and
 * seals get generation and the snapshot's hash, edits the hash of what they carry in one page.
 * flags & 8: open to write. Whatever state comes out: its own operations make it again.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/one_file.h"
#include "storage/base/checksum.h"
#include "storage/manifest/manifest_format.h"

#define PAGES_MAX 80u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The state's own operations must make the same state. */
static void check_version(const struct varve_version *version, struct varve_heap *heap)
{
    struct varve_buffer once, twice;
    struct varve_version *again = varve_version_new(heap);

    varve_buffer_init(&once, heap);
    varve_buffer_init(&twice, heap);
    varve_manifest_ops_of_version(version, &once);
    if (again != NULL && !once.failed) {
        uint8_t any = 0;
        for (int i = 0; i < 16; i++)
            any |= version->store_uuid[i];
        const varve_status rc = varve_manifest_ops_apply(varve_buffer_span(&once), again, NULL);
        if (rc != VARVE_ENOMEM && (rc == VARVE_OK) != (any != 0))
            abort(); /* a state without identity is not written */
        if (rc == VARVE_OK) {
            varve_manifest_ops_of_version(again, &twice);
            if (!twice.failed &&
                varve_span_compare(varve_buffer_span(&once), varve_buffer_span(&twice)) != 0)
                abort();
        }
    }
    varve_version_unref(again);
    varve_buffer_free(&once);
    varve_buffer_free(&twice);
}

static void run_operations(struct varve_span ops, struct varve_heap *heap)
{
    struct varve_version *version = varve_version_new(heap);

    if (version == NULL)
        abort();
    if (varve_manifest_ops_apply(ops, version, NULL) == VARVE_OK) {
        check_version(version, heap);
        struct varve_version *clone = varve_version_clone(version);
        varve_version_unref(version);
        version = clone;
    }
    varve_version_unref(version);
}

/* Gather the snapshot of the header in page 0 and put its hash into a control page. */
static void repair_control(uint8_t *bytes, uint32_t pages, uint32_t p)
{
    uint8_t *const page = bytes + (size_t)p * VARVE_PAGE_SIZE;
    static uint8_t snapshot[PAGES_MAX * VARVE_PAGE_PAYLOAD];
    const uint64_t size = varve_get_u64(page + 56);

    varve_put_u64(page + 48, 2);
    varve_put_u32(page + 104, pages);
    if (size > (uint64_t)(pages - 1) * VARVE_PAGE_PAYLOAD)
        return;
    for (uint32_t i = 1; i < pages; i++)
        memcpy(snapshot + (size_t)(i - 1) * VARVE_PAGE_PAYLOAD, bytes + (size_t)i * VARVE_PAGE_SIZE,
               VARVE_PAGE_PAYLOAD);
    varve_put_u64(page + 64, varve_hash64(snapshot, (size_t)size, 0));
}

static void repair(uint8_t *bytes, uint32_t pages, uint8_t flags)
{
    uint8_t uuid[16];

    memcpy(uuid, bytes + 16, 16);
    for (uint32_t i = 0; i < pages; i++) {
        uint8_t *const page = bytes + (size_t)i * VARVE_PAGE_SIZE;
        uint8_t *const t = page + VARVE_PAGE_PAYLOAD;
        const uint64_t seed =
            varve_place_seed(uuid, VARVE_PAGE_KIND_MANIFEST, (uint64_t)i * VARVE_PAGE_SIZE);
        const uint16_t used = varve_get_u16(t + 44);
        uint8_t any = 0;

        for (uint32_t k = 0; k < VARVE_PAGE_SIZE; k++)
            any |= page[k];
        if (any == 0)
            continue;
        if ((flags & 4) != 0 && (varve_get_u16(t + 46) & VARVE_PAGE_CONTROL) != 0) {
            memcpy(page + 16, uuid, 16);
            repair_control(bytes, pages, i);
        } else if ((flags & 4) != 0 && varve_get_u16(t + 48) == 0 && used > 32 &&
                   used <= VARVE_PAGE_PAYLOAD) {
            varve_put_u32(page, used - 32u);
            varve_put_u64(page + 16, varve_hash64(page + 32, used - 32u, 0));
        }
        varve_put_u32(t + 32, 2);
        varve_put_u32(t + 36, i);
        varve_put_u64(t, varve_hash64(t + 8, 56, varve_hash64(page, VARVE_PAGE_PAYLOAD, seed)));
    }
}

static void run_pages(const uint8_t *data, size_t size, uint8_t flags, struct varve_heap *heap)
{
    struct one_file disk;
    struct varve_manifest *manifest = NULL;
    uint32_t pages = (uint32_t)((size + VARVE_PAGE_SIZE - 1) / VARVE_PAGE_SIZE);

    if (size >= 108 && varve_get_u32(data + 104) > pages)
        pages = varve_get_u32(data + 104);
    if (pages > PAGES_MAX)
        pages = PAGES_MAX;
    if (pages == 0 || size > (size_t)pages * VARVE_PAGE_SIZE)
        return;
    uint8_t *const bytes = calloc(pages, VARVE_PAGE_SIZE);
    if (bytes == NULL)
        abort();
    memcpy(bytes, data, size);
    if ((flags & 2) != 0)
        repair(bytes, pages, flags);
    one_file_init(&disk, "MANIFEST-0000000000000002", bytes, (uint64_t)pages * VARVE_PAGE_SIZE);
    if (varve_manifest_open(&disk.vfs, heap, (flags & 8) == 0, &manifest, NULL) == VARVE_OK) {
        struct varve_version *version = varve_manifest_version(manifest);
        check_version(version, heap);
        varve_version_unref(version);
    }
    varve_manifest_close(manifest);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;

    if (size < 1)
        return 0;
    varve_heap_init(&heap, NULL, 64u << 20);
    if ((data[0] & 1) != 0)
        run_operations(varve_span_of(data + 1, size - 1), &heap);
    else
        run_pages(data + 1, size - 1, data[0], &heap);
    if (varve_heap_used(&heap) != 0)
        abort();
    return 0;
}
