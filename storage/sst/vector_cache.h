/*
 * vector_cache.h - READ: verified pieces of files that stay in memory within a byte budget: encoded
 * vectors, parsed row group indexes, directory pages, dictionaries, shards of filters.
 *
 * An entry is a block of memory under a key (file number, offset in the file). It enters only after
 * its checksum has been verified, so that a hit needs no second look. Who holds an entry has it
 * pinned by a reference; pinned entries stay, and stay charged.
 *
 * Scans.   A new entry is on probation: the hand of its shard's clock takes it at the first pass
 *          unless it has been used again. Long scans do not come here at all (sst_source.c).
 *
 * Invariants
 *   K1  varve_cache_stats.bytes <= budget at all times, header of every entry included. What does
 *       not fit is given to the caller as an entry of its own (UNCACHED), charged to nobody but
 *       the heap, freed at release.
 *   K2  bytes is exactly the sum over the entries in the table.
 *   K3  An entry's memory is not written to after varve_cache_insert().
 *
 * Threads. Any. Each of 16 shards has a lock; they are leaf locks: nothing else is locked, no I/O
 *          is done and no heap limit is waited for while one is held, and never two at once.
 */
#ifndef VARVE_SST_VECTOR_CACHE_H
#define VARVE_SST_VECTOR_CACHE_H

#include "storage/base/alloc.h"
#include "storage/base/error.h"

struct varve_cache;

struct varve_cache_entry {
    uint8_t *data; /* 16-byte aligned; written by the maker before insert, read-only after */
    size_t size;
    uint64_t file;
    uint64_t offset;
    /* The cache's own: */
    struct varve_cache_entry *next;  /* in its hash chain */
    struct varve_cache_entry *older; /* in its shard's clock */
    struct varve_cache_entry *newer;
    _Atomic(uint32_t) refs;
    _Atomic(uint8_t) used;
    bool cached;
};

struct varve_cache_stats {
    uint64_t bytes;
    uint64_t budget;
    uint64_t entries;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

/* Budget 0: everything is UNCACHED. */
varve_status varve_cache_create(struct varve_heap *heap, uint64_t budget,
                                struct varve_cache **ret_cache, varve_error *err);
void varve_cache_free(struct varve_cache *cache); /* no entry is held; NULL is a no-op */

/* The entry of (file, offset) with a reference for the caller, or NULL. */
struct varve_cache_entry *varve_cache_get(struct varve_cache *cache, uint64_t file,
                                          uint64_t offset);

/* What will be read soon: the entry at `offset`, the head of its data, and of them [from, to). */
struct varve_cache_hint {
    uint64_t offset;
    size_t size; /* of all its data */
    size_t from, to;
};

/* Begin to bring what hints name into the processor's caches, all at once, so that their misses
 * overlap. It takes no lock and changes nothing, and what a hint says need not be so. Returns a bit for
 * each hint, set if no entry is there; one that is not set promises nothing. */
#define VARVE_CACHE_PREFETCH_MAX 32u
uint32_t varve_cache_prefetch(const struct varve_cache *cache, uint64_t file,
                              const struct varve_cache_hint *hints, uint32_t n);

/* A new entry of `size` bytes for the caller to fill, not in the table yet. NULL: no memory, even
 * after unpinned entries have been given up for it. */
struct varve_cache_entry *varve_cache_make(struct varve_cache *cache, uint64_t file,
                                           uint64_t offset, size_t size);

/*
 * Publish a made and filled entry; cannot fail. Returns the entry to use, with the caller's
 * reference: another one if someone was quicker, in which case `entry` is gone.
 */
struct varve_cache_entry *varve_cache_insert(struct varve_cache *cache,
                                             struct varve_cache_entry *entry);

/* Give a reference back (also of an entry that was made and never inserted). NULL is a no-op. */
void varve_cache_release(struct varve_cache *cache, struct varve_cache_entry *entry);

/* Forget what is not pinned of `file` (it has been removed). O(entries). */
void varve_cache_drop_file(struct varve_cache *cache, uint64_t file);

/* Change the budget; shrinking evicts at once what is not pinned. */
void varve_cache_set_budget(struct varve_cache *cache, uint64_t budget);
/* Give up to `bytes` back to the heap. Returns how many. */
uint64_t varve_cache_shrink(struct varve_cache *cache, uint64_t bytes);
void varve_cache_get_stats(struct varve_cache *cache, struct varve_cache_stats *ret_stats);
/* Verify K2 and the links; O(entries), for tests. */
bool varve_cache_check(struct varve_cache *cache);

#endif
