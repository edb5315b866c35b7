/*
 * sst_reader.h - READ 2: an immutable file as a source of rows (bytes: sst_format.h).
 *
 * Place.   The engine opens a file once, shares it by reference count, and gives every scan a
 *          source of its own (storage/rows/source.h).
 *
 * What is held. Properties, schema, group directory and section directory: read at open. Everything
 *          else comes through the cache (slices) or straight from the file (long scans).
 * Damage.  What stands twice (header, footer, sections, directories, group indexes) is read from
 *          the other copy and counted; a damaged key filter or zone map is done without and counted
 *          too. A damaged vector or dictionary, and anything damaged twice, is ECORRUPT with file
 *          and offset.
 *
 * Invariants
 *   R1  Every byte that a result depends on has been checked against a checksum held elsewhere.
 *   R2  Nothing inside the file depends on its name, number or store.
 *
 * Threads. A varve_sst may be used from any thread and takes no lock of its own (the cache's shard
 *          locks are leaf locks); a source belongs to one thread.
 */
#ifndef VARVE_SST_SST_READER_H
#define VARVE_SST_SST_READER_H

#include <varve/vfs.h>

#include "storage/rows/source.h"
#include "storage/sst/sst_properties.h"
#include "storage/sst/vector_cache.h"

struct varve_sst;

/* What the manifest says that the file must be. */
struct varve_sst_expect {
    uint8_t uuid[16];
    uint64_t file_size;
    uint64_t footer_checksum;
};

/*
 * Open `name`. `number` is the file's number in the cache (never reused). `expect` NULL: whatever
 * it is (tools). ENOTFOUND, ECORRUPT, EVERSION, EIO, ENOMEM. `heap`, `cache` and `vfs` outlive the
 * file's last reference.
 */
varve_status varve_sst_open(struct varve_vfs *vfs, const char *name, uint64_t number,
                            const struct varve_sst_expect *expect, struct varve_cache *cache,
                            struct varve_heap *heap, struct varve_sst **ret_sst, varve_error *err);
struct varve_sst *varve_sst_ref(struct varve_sst *sst);
void varve_sst_unref(struct varve_sst *sst); /* NULL is a no-op */
/* Whether anyone but the caller holds a reference. */
bool varve_sst_is_shared(const struct varve_sst *sst);

const struct varve_schema *varve_sst_schema(const struct varve_sst *sst);
const struct varve_sst_properties *varve_sst_get_properties(const struct varve_sst *sst);
const char *varve_sst_name(const struct varve_sst *sst);
/* Blocks that were read from their second copy, or filters done without, since open. */
uint64_t varve_sst_repairs(const struct varve_sst *sst);
/* Add those that there have been to `total`, and each one to come when it happens. `total` outlives the
 * file. Once, before the file is shared. */
void varve_sst_count_repairs(struct varve_sst *sst, _Atomic(uint64_t) *total);
/* Bytes held from the heap outside the cache, without sources. */
size_t varve_sst_memory(const struct varve_sst *sst);

/*
 * A source over the whole file; it holds a reference. Its pieces are vectors, or a partition's run
 * within a vector that several share. One stream a partition; pieces are VARVE_PIECE_UNIQUE.
 * Beyond what source.h promises, memory of a loaded column stays valid until that column is loaded
 * again with other rows or piece() moves on. `heap` pays for scratch memory.
 */
varve_status varve_sst_source_open(struct varve_sst *sst, struct varve_heap *heap,
                                   struct varve_source **ret_source, varve_error *err);

/* Whether the key may be in the file: key range and filter. > 0 maybe, 0 no. Reads at most one
 * block; a damaged filter says maybe. < 0: EIO, ENOMEM. */
int varve_sst_may_hold(struct varve_sst *sst, struct varve_span key, varve_error *err);

/* The key and rows of the partition with number `ordinal` (for splitting into even ranges). The key
 * is appended to `key`. */
varve_status varve_sst_partition_at(struct varve_sst *sst, uint64_t ordinal,
                                    struct varve_buffer *key, uint64_t *ret_first_row,
                                    varve_error *err);

/*
 * Check every byte of the file: all checksums of both copies, padding, and that every vector decodes;
 * order, counts, statistics, zone maps, content hashes, filter and directory against the rows.
 * `report` (may be NULL) is called for each problem. ECORRUPT if there was any.
 */
varve_status varve_sst_verify(struct varve_sst *sst, struct varve_heap *heap,
                              varve_verify_report report, void *ctx, varve_error *err);

/* How the file is made up, for `dump` and statistics; one call a block, in order of the file's
 * index. A non-zero result ends the walk. */
struct varve_sst_block_info {
    uint64_t offset;
    uint64_t size;
    const char *what; /* "vector", "dictionary", "zone map", "group index", ... */
    uint64_t group;   /* vectors and dictionaries */
    uint32_t vector;
    uint32_t stream; /* enum varve_sst_stream (sst_format.h) */
    uint32_t rows;
    uint32_t codec;
};
typedef int (*varve_sst_walk_fn)(void *ctx, const struct varve_sst_block_info *info);
varve_status varve_sst_walk(struct varve_sst *sst, varve_sst_walk_fn fn, void *ctx,
                            varve_error *err);

#endif
