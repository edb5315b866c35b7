/*
 * fuzz_filter.c - any bytes as the table of a key filter, then as its fingerprints.
 *
 * Input: [8 bytes key hash] [table]. What passes the check is asked in memory of exactly the size
 * that it claims.
 */
#include <assert.h>
#include <stdlib.h>

#include "index/key_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    const uint64_t hash = varve_get_u64(data);
    const struct varve_span table = {data + 8, size - 8};
    struct varve_filter_shard shard;
    uint32_t shards;

    if (varve_filter_check(table, &shards, NULL) != VARVE_OK)
        return 0;
    for (uint32_t i = 0; i < shards; i++)
        varve_filter_shard_at(table, i, &shard);
    varve_filter_locate(table, hash, &shard);
    if (shard.ref.size > 1u << 20)
        return 0;
    uint8_t *prints = calloc(1, (size_t)shard.ref.size + 1);
    assert(prints != NULL);
    for (uint64_t i = 0; i < 200; i++)
        (void)varve_filter_probe(&shard, varve_span_of(prints, (size_t)shard.ref.size),
                                 hash + i * 0x9e3779b97f4a7c15u);
    free(prints);
    return 0;
}
