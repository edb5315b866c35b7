/*
 * vector_cache.c - the cache of verified blocks (vector_cache.h).
 *
 * Each shard has a hash table and a clock: a circle of its entries and a hand. The hand takes the
 * first entry that nobody holds and nobody has used since it last came by. The budget is one number
 * for all shards; room is reserved before an entry goes in, by evicting from the entry's own shard
 * first and then from the others, one lock at a time.
 */
#include "storage/sst/vector_cache.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/mutex.h"

#define SHARDS 16u
#define ALIGN 16u /* what every allocator gives: more makes malloc split and join blocks */
#define LINE 64u
#define HEAD_BYTES 128u      /* an entry's header and the head of its data */
#define PREFETCH_BYTES 1024u /* of the data: behind that the processor has seen the direction */
#define SLOTS_LEAST 64u
#define SLOTS_MOST (1u << 20)
#define SLOT_BYTES 1024u /* of budget a slot: less than a vector, so that most chains are single */

/* The head of a chain: written under its shard's lock, looked at without it to prefetch. */
typedef _Atomic(struct varve_cache_entry *) cache_slot;

struct shard {
    struct varve_mutex lock;
    bool has_lock;
    cache_slot *slots;
    struct varve_cache_entry *hand; /* NULL: no entries */
    uint64_t entries;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

struct varve_cache {
    struct varve_heap *heap;
    uint32_t n_slots; /* of a shard; a power of two */
    _Atomic(uint64_t) budget;
    _Atomic(uint64_t) bytes;
    struct shard shards[SHARDS];
};

static size_t header_size(void)
{
    return (sizeof(struct varve_cache_entry) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static uint64_t charge_of(const struct varve_cache_entry *entry)
{
    return header_size() + entry->size;
}

static uint64_t place_hash(uint64_t file, uint64_t offset)
{
    return varve_mix64(varve_mix64(file) ^ offset);
}

static struct shard *shard_of(struct varve_cache *cache, uint64_t hash)
{
    return &cache->shards[hash >> 60];
}

static cache_slot *slot_of(const struct varve_cache *cache, const struct shard *shard,
                           uint64_t hash)
{
    return &shard->slots[hash & (cache->n_slots - 1)];
}

varve_status varve_cache_create(struct varve_heap *heap, uint64_t budget,
                                struct varve_cache **ret_cache, varve_error *err)
{
    struct varve_cache *cache = varve_alloc_zero(heap, 1, sizeof *cache);
    uint32_t slots = SLOTS_LEAST;

    if (cache == NULL)
        return varve_error_nomem(err, "a cache");
    while (slots < SLOTS_MOST && (uint64_t)slots * SHARDS * SLOT_BYTES < budget)
        slots *= 2;
    cache->heap = heap;
    cache->n_slots = slots;
    atomic_init(&cache->budget, budget);
    atomic_init(&cache->bytes, 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];

        shard->slots = varve_alloc_zero(heap, slots, sizeof(cache_slot));
        if (shard->slots == NULL || varve_mutex_init(&shard->lock) < 0) {
            varve_cache_free(cache);
            return varve_error_nomem(err, "a cache");
        }
        shard->has_lock = true;
    }
    *ret_cache = cache;
    return VARVE_OK;
}

static void entry_free(struct varve_cache *cache, struct varve_cache_entry *entry)
{
    varve_free_aligned(cache->heap, entry, header_size() + entry->size, ALIGN);
}

/* Entries chained by `next`, out of the table already. */
static void victims_free(struct varve_cache *cache, struct varve_cache_entry *victims)
{
    while (victims != NULL) {
        struct varve_cache_entry *next = victims->next;

        entry_free(cache, victims);
        victims = next;
    }
}

static struct varve_cache_entry *head_of(const cache_slot *slot)
{
    return atomic_load_explicit(slot, memory_order_relaxed);
}

/* Take an entry out of its shard's table and circle. The lock is held. */
static void detach(struct varve_cache *cache, struct shard *shard, struct varve_cache_entry *entry)
{
    cache_slot *slot = slot_of(cache, shard, place_hash(entry->file, entry->offset));
    struct varve_cache_entry *before = head_of(slot);

    if (before == entry) {
        atomic_store_explicit(slot, entry->next, memory_order_relaxed);
    } else {
        while (before->next != entry)
            before = before->next;
        before->next = entry->next;
    }
    if (entry->newer == entry) {
        shard->hand = NULL;
    } else {
        entry->newer->older = entry->older;
        entry->older->newer = entry->newer;
        if (shard->hand == entry)
            shard->hand = entry->newer;
    }
    shard->entries--;
    atomic_fetch_sub(&cache->bytes, charge_of(entry));
}

/* Evict until `want` bytes are free or the hand has been round twice. */
static uint64_t shard_evict(struct varve_cache *cache, struct shard *shard, uint64_t want)
{
    struct varve_cache_entry *victims = NULL;
    uint64_t freed = 0;

    varve_mutex_lock(&shard->lock);
    for (uint64_t steps = 2 * shard->entries; steps > 0 && freed < want && shard->hand != NULL;
         steps--) {
        struct varve_cache_entry *entry = shard->hand;

        shard->hand = entry->newer;
        if (atomic_load(&entry->refs) != 0)
            continue;
        if (atomic_exchange(&entry->used, 0) != 0)
            continue;
        freed += charge_of(entry);
        detach(cache, shard, entry);
        shard->evictions++;
        entry->next = victims;
        victims = entry;
    }
    varve_mutex_unlock(&shard->lock);
    victims_free(cache, victims);
    return freed;
}

void varve_cache_free(struct varve_cache *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];

        if (shard->has_lock) {
            while (shard->hand != NULL) {
                struct varve_cache_entry *entry = shard->hand;

                assert(atomic_load(&entry->refs) == 0);
                detach(cache, shard, entry);
                entry_free(cache, entry);
            }
            varve_mutex_destroy(&shard->lock);
        }
        varve_free(cache->heap, shard->slots, cache->n_slots * sizeof(cache_slot));
    }
    varve_free(cache->heap, cache, sizeof *cache);
}

static struct varve_cache_entry *lookup(struct varve_cache *cache, struct shard *shard,
                                        uint64_t hash, uint64_t file, uint64_t offset)
{
    struct varve_cache_entry *entry = head_of(slot_of(cache, shard, hash));

    while (entry != NULL && (entry->offset != offset || entry->file != file))
        entry = entry->next;
    return entry;
}

static void prefetch_bytes(uintptr_t from, uintptr_t to)
{
    for (uintptr_t line = from & ~(uintptr_t)(LINE - 1); line < to; line += LINE)
        __builtin_prefetch((const void *)line);
}

/* An address that is stale by now does no harm: a prefetch never faults and nothing is read. */
uint32_t varve_cache_prefetch(const struct varve_cache *cache, uint64_t file,
                              const struct varve_cache_hint *hints, uint32_t n)
{
    const cache_slot *slots[VARVE_CACHE_PREFETCH_MAX];
    uint32_t absent = 0;

    assert(n <= VARVE_CACHE_PREFETCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t hash = place_hash(file, hints[i].offset);

        slots[i] = slot_of(cache, &cache->shards[hash >> 60], hash);
        __builtin_prefetch(slots[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uintptr_t entry = (uintptr_t)head_of(slots[i]);
        const uintptr_t data = entry + header_size();
        const size_t most = hints[i].from + PREFETCH_BYTES;

        if (entry == 0) {
            absent |= UINT32_C(1) << i;
            continue;
        }
        prefetch_bytes(entry, entry + HEAD_BYTES);
        prefetch_bytes(data + hints[i].from, data + (hints[i].to < most ? hints[i].to : most));
    }
    return absent;
}

struct varve_cache_entry *varve_cache_get(struct varve_cache *cache, uint64_t file, uint64_t offset)
{
    const uint64_t hash = place_hash(file, offset);
    struct shard *shard = shard_of(cache, hash);

    varve_mutex_lock(&shard->lock);
    struct varve_cache_entry *entry = lookup(cache, shard, hash, file, offset);
    if (entry != NULL) {
        atomic_fetch_add(&entry->refs, 1);
        atomic_store_explicit(&entry->used, 1, memory_order_relaxed);
        shard->hits++;
    } else {
        shard->misses++;
    }
    varve_mutex_unlock(&shard->lock);
    return entry;
}

struct varve_cache_entry *varve_cache_make(struct varve_cache *cache, uint64_t file,
                                           uint64_t offset, size_t size)
{
    const size_t whole = header_size() + size;
    struct varve_cache_entry *entry = varve_alloc_aligned(cache->heap, whole, ALIGN);

    if (entry == NULL && varve_cache_shrink(cache, whole) > 0)
        entry = varve_alloc_aligned(cache->heap, whole, ALIGN);
    if (entry == NULL)
        return NULL;
    memset(entry, 0, sizeof *entry);
    entry->data = (uint8_t *)entry + header_size();
    entry->size = size;
    entry->file = file;
    entry->offset = offset;
    atomic_init(&entry->refs, 1);
    atomic_init(&entry->used, 0);
    return entry;
}

/* Make room for `charge` and take it. False: it cannot be had. */
static bool reserve(struct varve_cache *cache, uint64_t hash, uint64_t charge)
{
    for (uint32_t round = 0; round <= SHARDS; round++) {
        uint64_t bytes = atomic_load(&cache->bytes);
        const uint64_t budget = atomic_load(&cache->budget);

        if (charge > budget)
            return false;
        while (bytes + charge <= budget)
            if (atomic_compare_exchange_weak(&cache->bytes, &bytes, bytes + charge))
                return true;
        if (round < SHARDS)
            (void)shard_evict(cache, &cache->shards[((hash >> 60) + round) % SHARDS],
                              bytes + charge - budget);
    }
    return false;
}

struct varve_cache_entry *varve_cache_insert(struct varve_cache *cache,
                                             struct varve_cache_entry *entry)
{
    const uint64_t hash = place_hash(entry->file, entry->offset);
    struct shard *shard = shard_of(cache, hash);

    if (!reserve(cache, hash, charge_of(entry)))
        return entry;

    varve_mutex_lock(&shard->lock);
    struct varve_cache_entry *there = lookup(cache, shard, hash, entry->file, entry->offset);
    if (there != NULL) {
        atomic_fetch_add(&there->refs, 1);
        atomic_store_explicit(&there->used, 1, memory_order_relaxed);
    } else {
        cache_slot *slot = slot_of(cache, shard, hash);

        entry->cached = true;
        entry->next = head_of(slot);
        atomic_store_explicit(slot, entry, memory_order_relaxed);
        if (shard->hand == NULL) {
            entry->newer = entry->older = entry;
            shard->hand = entry;
        } else { /* behind the hand: it comes by last */
            entry->newer = shard->hand;
            entry->older = shard->hand->older;
            entry->older->newer = entry;
            shard->hand->older = entry;
        }
        shard->entries++;
    }
    varve_mutex_unlock(&shard->lock);
    if (there == NULL)
        return entry;
    atomic_fetch_sub(&cache->bytes, charge_of(entry));
    entry_free(cache, entry);
    return there;
}

void varve_cache_release(struct varve_cache *cache, struct varve_cache_entry *entry)
{
    if (entry == NULL)
        return;
    const bool cached = entry->cached; /* after the decrement a cached entry may be gone */
    const uint32_t before = atomic_fetch_sub(&entry->refs, 1);
    assert(before > 0);
    if (!cached && before == 1)
        entry_free(cache, entry);
}

void varve_cache_drop_file(struct varve_cache *cache, uint64_t file)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        struct varve_cache_entry *victims = NULL;

        varve_mutex_lock(&shard->lock);
        struct varve_cache_entry *entry = shard->hand;
        for (uint64_t n = shard->entries; n > 0; n--) {
            struct varve_cache_entry *next = entry->newer;

            if (entry->file == file && atomic_load(&entry->refs) == 0) {
                detach(cache, shard, entry);
                entry->next = victims;
                victims = entry;
            }
            entry = next;
        }
        varve_mutex_unlock(&shard->lock);
        victims_free(cache, victims);
    }
}

uint64_t varve_cache_shrink(struct varve_cache *cache, uint64_t bytes)
{
    uint64_t freed = 0;

    for (uint32_t i = 0; i < SHARDS && freed < bytes; i++)
        freed += shard_evict(cache, &cache->shards[i], bytes - freed);
    return freed;
}

void varve_cache_set_budget(struct varve_cache *cache, uint64_t budget)
{
    atomic_store(&cache->budget, budget);
    const uint64_t bytes = atomic_load(&cache->bytes);
    if (bytes > budget)
        (void)varve_cache_shrink(cache, bytes - budget);
}

void varve_cache_get_stats(struct varve_cache *cache, struct varve_cache_stats *ret_stats)
{
    struct varve_cache_stats stats = {.bytes = atomic_load(&cache->bytes),
                                      .budget = atomic_load(&cache->budget)};

    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];

        varve_mutex_lock(&shard->lock);
        stats.entries += shard->entries;
        stats.hits += shard->hits;
        stats.misses += shard->misses;
        stats.evictions += shard->evictions;
        varve_mutex_unlock(&shard->lock);
    }
    *ret_stats = stats;
}

bool varve_cache_check(struct varve_cache *cache)
{
    uint64_t bytes = 0;
    bool ok = true;

    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        uint64_t in_table = 0;
        uint64_t in_circle = 0;

        varve_mutex_lock(&shard->lock);
        for (uint32_t s = 0; s < cache->n_slots; s++) {
            for (const struct varve_cache_entry *e = head_of(&shard->slots[s]); e != NULL;
                 e = e->next) {
                const uint64_t hash = place_hash(e->file, e->offset);

                ok = ok && e->cached && shard_of(cache, hash) == shard &&
                     slot_of(cache, shard, hash) == &shard->slots[s];
                bytes += charge_of(e);
                in_table++;
            }
        }
        const struct varve_cache_entry *e = shard->hand;
        while (e != NULL && in_circle <= in_table) {
            ok = ok && e->newer->older == e;
            in_circle++;
            e = e->newer == shard->hand ? NULL : e->newer;
        }
        ok = ok && in_table == in_circle && in_table == shard->entries;
        varve_mutex_unlock(&shard->lock);
    }
    return ok && bytes == atomic_load(&cache->bytes) && bytes <= atomic_load(&cache->budget);
}
