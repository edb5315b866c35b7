/*
 * checksum.h - the two checksums of the formats, and how a checksum is tied to its place.
 *
 * XXH3-64 covers blocks, pages and payloads; CRC32C (RFC 3720) covers the headers of records and
 * the sector of a page that holds its trailer. A block's seed is a hash of (file uuid, section
 * kind, offset), so that a sound block in the wrong place, or of another file, fails.
 */
#ifndef VARVE_BASE_CHECKSUM_H
#define VARVE_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t varve_hash64(const void *data, size_t size, uint64_t seed); /* XXH3-64 */
uint32_t varve_crc32c(const void *data, size_t size, uint32_t seed);
/* The same without the processor's instruction; for tests that hold one against the other. */
uint32_t varve_crc32c_portable(const void *data, size_t size, uint32_t seed);
uint64_t varve_place_seed(const uint8_t uuid[16], uint32_t kind, uint64_t offset);

/* A cheap 64-bit mixer (bijective; good avalanche). Constants are the project's own format. */
static inline uint64_t varve_mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

#endif
