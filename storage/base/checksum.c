/*
 * checksum.c - XXH3-64 from libxxhash, and CRC32C by instruction where the processor has one.
 */
#define XXH_INLINE_ALL
#include "storage/base/checksum.h"

#include <xxhash.h>

#include "storage/base/bytes.h"

uint64_t varve_hash64(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t varve_place_seed(const uint8_t uuid[16], uint32_t kind, uint64_t offset)
{
    uint8_t place[28];

    memcpy(place, uuid, 16);
    varve_put_u32(place + 16, kind);
    varve_put_u64(place + 20, offset);
    return XXH3_64bits(place, sizeof place);
}

/* The reflected Castagnoli polynomial, four bits at a time: small, and fast enough for headers. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t varve_crc32c_portable(const void *data, size_t size, uint32_t seed)
{
    const uint8_t *p = data;
    uint32_t crc = ~seed;

    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *p, size_t size,
                                                               uint32_t seed)
{
    uint64_t crc = (uint32_t)~seed;

    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; size > 0; p++, size--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

uint32_t varve_crc32c(const void *data, size_t size, uint32_t seed)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(data, size, seed)
                                            : varve_crc32c_portable(data, size, seed);
}
#else
uint32_t varve_crc32c(const void *data, size_t size, uint32_t seed)
{
    return varve_crc32c_portable(data, size, seed);
}
#endif
