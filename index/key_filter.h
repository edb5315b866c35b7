/*
 * key_filter.h - whether a partition key may be in a file: a static filter over 64-bit key hashes
 * with no false negatives and 1 false positive in 256, in 9 to 10 bits a key for large sets.
 *
 * Form.    Keys are spread by the top bits of their hash over shards of some 100,000 keys, each a
 *          binary fuse filter by itself (after T. M. Graf and D. Lemire, "Binary Fuse Filters: Fast
 *          and Smaller Than Xor Filters", 2022): a table of 8-bit fingerprints in which three
 *          places, in three adjacent segments, exclusive-or to the key's fingerprint. So building
 *          takes memory for one shard beside the list of hashes, and a look-up one small block.
 *
 *   Table
 *     offset  size  field
 *          0     4  shard_bits   0 .. 16; there are 2^shard_bits shards
 *          4     4  zero
 *          8     8  n_keys       distinct hashes
 *         16  40 n  shards, by the top bits of the hash
 *                     0  8  offset    of its fingerprints in the file; 0 when it has no keys
 *                     8  8  checksum
 *                    16  8  seed
 *                    24  4  size      segment size * (n_segments + 2)
 *                    28  4  n_segments
 *                    32  1  segment_bits
 *                    33  7  zero
 *   Places of a key: m = mix(hash + seed); with s = segment size and c = n_segments * s,
 *   h0 = floor(m * c / 2^64), h1 = (h0 + s) ^ (m >> 18 & s - 1), h2 = (h0 + 2 s) ^ (m & s - 1);
 *   its fingerprint is the low byte of m ^ m >> 32. mix is varve_mix64().
 *
 * Threads. A builder belongs to one thread; probing is pure.
 */
#ifndef VARVE_INDEX_KEY_FILTER_H
#define VARVE_INDEX_KEY_FILTER_H

#include "index/page_ref.h"
#include "storage/base/alloc.h"

#define VARVE_FILTER_SHARD_BITS_MAX 16u
#define VARVE_FILTER_SHARD_MAX (64u << 20) /* bytes that a reader accepts */

struct varve_filter_builder;

/* `expected` keys (a guess; 0: unknown) are made room for at once. */
varve_status varve_filter_builder_create(struct varve_heap *heap, uint64_t expected,
                                         struct varve_filter_builder **ret_builder,
                                         varve_error *err);
varve_status varve_filter_add(struct varve_filter_builder *builder, uint64_t key_hash,
                              varve_error *err);
/* Give the shards to the sink and append the table to `table`. */
varve_status varve_filter_finish(struct varve_filter_builder *builder,
                                 const struct varve_page_sink *sink, struct varve_buffer *table,
                                 varve_error *err);
void varve_filter_builder_free(struct varve_filter_builder *builder); /* NULL: no-op */

struct varve_filter_shard {
    struct varve_page_ref ref; /* size 0: no key is in it */
    uint64_t seed;
    uint32_t n_segments;
    uint32_t segment_bits;
};

/* Check a whole table: OK or ECORRUPT. Afterwards varve_filter_locate() cannot fail. */
varve_status varve_filter_check(struct varve_span table, uint32_t *ret_shards, varve_error *err);
void varve_filter_shard_at(struct varve_span table, uint32_t i, struct varve_filter_shard *ret);
/* The shard of a key, of a checked table. */
void varve_filter_locate(struct varve_span table, uint64_t key_hash,
                         struct varve_filter_shard *ret_shard);
/* `bytes` are the shard's, of its size. False: the key is not there. */
bool varve_filter_probe(const struct varve_filter_shard *shard, struct varve_span bytes,
                        uint64_t key_hash);

#endif
