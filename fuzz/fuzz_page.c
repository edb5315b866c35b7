/*
 * fuzz_page.c - classify arbitrary bytes as a page; what is VALID encodes to the same bytes, but for
 * the digests, which only classify damage.
 *
 * Input: [1 byte flags][page, padded with zeros]. flags & 1 makes both checksums right first, so that
 * the fuzzer reaches the code behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/wal/page_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void page_repair(uint8_t *page, const struct varve_page_place *place)
{
    const uint64_t seed = varve_place_seed(place->uuid, place->kind, place->page_no * 4096u);
    uint8_t *const t = page + VARVE_PAGE_PAYLOAD;
    uint8_t sector[512];

    memcpy(sector, page + 3584, sizeof sector);
    memset(sector + 448, 0, 8);
    memset(sector + 488, 0, 4);
    varve_put_u32(t + 40, varve_crc32c(sector, sizeof sector, (uint32_t)seed));
    varve_put_u64(t, varve_hash64(t + 8, 56, varve_hash64(page, VARVE_PAGE_PAYLOAD, seed)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct varve_page_place place = {
        .uuid = {1}, .kind = VARVE_PAGE_KIND_WAL, .page_no = 1, .file_id = 1};
    struct varve_page_trailer t;

    if (size < 1 || size > 1 + VARVE_PAGE_SIZE)
        return 0;
    uint8_t *const page = calloc(1, VARVE_PAGE_SIZE); /* on the heap: an over-read is a report */
    uint8_t *const again = calloc(1, VARVE_PAGE_SIZE);
    if (page == NULL || again == NULL)
        abort();
    memcpy(page, data + 1, size - 1);
    if ((data[0] & 1) != 0)
        page_repair(page, &place);
    if (varve_page_classify(page, &place, &t) == VARVE_PAGE_VALID) {
        memcpy(again, page, VARVE_PAGE_PAYLOAD);
        (void)varve_page_encode(again, &place, &t);
        /* All but checksum, crc and digests. */
        if (memcmp(again, page, VARVE_PAGE_PAYLOAD) != 0 ||
            memcmp(again + 4032 + 8, page + 4032 + 8, 32) != 0 ||
            memcmp(again + 4032 + 44, page + 4032 + 44, 6) != 0)
            abort();
    }
    free(again);
    free(page);
    return 0;
}
