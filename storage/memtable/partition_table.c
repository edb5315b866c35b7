/*
 * partition_table.c - the partitions of a memtable, by number and by key hash.
 *
 * Place.   apply() finds or adds the partition of each row here; sources look keys up.
 *
 * Invariants
 *   T1  A partition's number is the order in which it appeared; its head never moves.
 *   T2  A slot is stored with release after the head and the tag that it leads to; slots of a
 *       bucket fill from the front, so a free one ends a search.
 *   T3  At most four fifths of the slots are taken, so every search ends.
 *
 * Threads. One adds, any number find.
 */
#include "storage/memtable/memtable_int.h"

#define BUCKET_BYTES sizeof(struct varve_hash_bucket)

/* ------------------------------------------------------------------------------------ Piles */

static uint32_t block_items(uint32_t block)
{
    return block == 0 ? 64 : block < 7 ? 32u << block : VARVE_PILE_BLOCK;
}

uint32_t varve_pile_blocks(uint64_t n)
{
    if (n == 0)
        return 0;
    if (n <= 64)
        return 1;
    return n <= VARVE_PILE_BLOCK ? varve_log2((uint32_t)n - 1) - 5 + 1
                                 : (uint32_t)((n - 1) / VARVE_PILE_BLOCK) + 6 + 1;
}

static varve_status pile_push(struct varve_memtable *table, struct varve_pile *pile,
                              varve_error *err)
{
    const uint32_t block = pile->n_blocks;
    const uint32_t k = varve_log2(block + 1);
    const size_t level_bytes = sizeof(uint8_t *) << k;

    assert(k < VARVE_PILE_LEVELS);
    if (pile->level[k] == NULL) {
        pile->level[k] = varve_memtable_take(table, level_bytes, 16);
        if (pile->level[k] == NULL)
            return varve_error_nomem(err, "a memtable");
    }
    uint8_t *memory = varve_memtable_take(table, (size_t)block_items(block) * pile->item, 64);
    if (memory == NULL) {
        if (block + 1 == 1u << k) { /* the level was made for it */
            varve_memtable_give(table, pile->level[k], level_bytes, 16);
            pile->level[k] = NULL;
        }
        return varve_error_nomem(err, "a memtable");
    }
    pile->level[k][block + 1 - (1u << k)] = memory;
    pile->n_blocks++;
    return VARVE_OK;
}

varve_status varve_pile_ensure(struct varve_memtable *table, struct varve_pile *pile, uint64_t n,
                               varve_error *err)
{
    if (n >= UINT32_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a memtable cannot hold 2^32 commits or partitions");
    const uint32_t blocks = varve_pile_blocks(n);
    while (pile->n_blocks < blocks) {
        const varve_status rc = pile_push(table, pile, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

void varve_pile_cut(struct varve_memtable *table, struct varve_pile *pile, uint32_t n_blocks)
{
    while (pile->n_blocks > n_blocks) {
        const uint32_t block = --pile->n_blocks;
        const uint32_t k = varve_log2(block + 1);
        varve_memtable_give(table, pile->level[k][block + 1 - (1u << k)],
                            (size_t)block_items(block) * pile->item, 64);
        if (block + 1 == 1u << k) {
            varve_memtable_give(table, pile->level[k], sizeof(uint8_t *) << k, 16);
            pile->level[k] = NULL;
        }
    }
}

/* ------------------------------------------------------------------------------------ Index */

static uint64_t index_limit(const struct varve_hash_index *index)
{
    return index == NULL ? 0 : (uint64_t)index->n_buckets * VARVE_BUCKET_SLOTS * 4 / 5;
}

static void index_free(struct varve_memtable *table, struct varve_hash_index *index)
{
    if (index == NULL)
        return;
    varve_memtable_give(table, index->buckets, index->n_buckets * BUCKET_BYTES, 64);
    varve_memtable_give(table, index, sizeof *index, 16);
}

static struct varve_hash_index *index_create(struct varve_memtable *table, uint64_t n)
{
    struct varve_hash_index *index = varve_memtable_take(table, sizeof *index, 16);
    if (index == NULL)
        return NULL;
    *index = (struct varve_hash_index){.n_buckets = 1};
    while (index_limit(index) < n)
        index->n_buckets *= 2;
    index->buckets = varve_memtable_take(table, index->n_buckets * BUCKET_BYTES, 64);
    if (index->buckets == NULL) {
        varve_memtable_give(table, index, sizeof *index, 16);
        return NULL;
    }
    memset(index->buckets, 0, index->n_buckets * BUCKET_BYTES);
    return index;
}

varve_status varve_partitions_ensure_index(struct varve_memtable *table, uint64_t n,
                                           varve_error *err)
{
    const struct varve_hash_index *index =
        atomic_load_explicit(&table->index, memory_order_relaxed);
    if (index_limit(index) >= n || index_limit(table->spare_index) >= n)
        return VARVE_OK;
    struct varve_hash_index *spare = index_create(table, n);
    if (spare == NULL)
        return varve_error_nomem(err, "a memtable's index");
    index_free(table, table->spare_index);
    table->spare_index = spare;
    return VARVE_OK;
}

void varve_partitions_cut_index(struct varve_memtable *table, uint64_t n)
{
    const struct varve_hash_index *index =
        atomic_load_explicit(&table->index, memory_order_relaxed);
    if (index_limit(index) < n)
        return;
    index_free(table, table->spare_index);
    table->spare_index = NULL;
}

/* The place of a hash: the bucket from its low bits, the tag from its high ones. */
static void index_put(struct varve_hash_index *index, uint32_t hash, uint32_t number)
{
    const uint32_t mask = index->n_buckets - 1;
    for (uint32_t b = hash & mask;; b = (b + 1) & mask) { /* ends by T3 */
        struct varve_hash_bucket *bucket = &index->buckets[b];
        for (uint32_t i = 0; i < VARVE_BUCKET_SLOTS; i++) {
            if (atomic_load_explicit(&bucket->slot[i], memory_order_relaxed) != 0)
                continue;
            atomic_store_explicit(&bucket->tag[i], (uint8_t)(hash >> 24), memory_order_relaxed);
            atomic_store_explicit(&bucket->slot[i], number + 1, memory_order_release);
            return;
        }
    }
}

static void index_grow(struct varve_memtable *table)
{
    struct varve_hash_index *index = table->spare_index;
    assert(index != NULL);
    for (uint32_t i = 0; i < table->n_partitions; i++)
        index_put(index, varve_mem_partition_at(table, i)->hash, i);
    index->older = atomic_load_explicit(&table->index, memory_order_relaxed);
    table->spare_index = NULL;
    atomic_store_explicit(&table->index, index, memory_order_release);
}

/* --------------------------------------------------------------------------------- Partitions */

struct varve_span varve_mem_key(const struct varve_memtable *table,
                                const struct varve_mem_partition *partition)
{
    if (partition->key_size <= VARVE_KEY_INLINE)
        return varve_span_of(partition->key, partition->key_size);
    uint32_t position;
    memcpy(&position, partition->key, sizeof position);
    return varve_span_of(varve_slab_at(&table->slabs, position), partition->key_size);
}

static bool has_key(const struct varve_memtable *table, const struct varve_mem_partition *partition,
                    struct varve_span key, uint32_t hash)
{
    if (partition->hash != hash || partition->key_size != key.size)
        return false;
    const struct varve_span mine = varve_mem_key(table, partition);
    return key.size == 0 || memcmp(mine.data, key.data, key.size) == 0;
}

/* Half of the hash is kept; the other half would only tell apart keys that are compared anyway. */
static uint32_t fold_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

void varve_partitions_prefetch(const struct varve_memtable *table, uint64_t hash)
{
    const struct varve_hash_index *index =
        atomic_load_explicit(&table->index, memory_order_acquire);
#if defined(__GNUC__)
    if (index != NULL)
        __builtin_prefetch(&index->buckets[fold_hash(hash) & (index->n_buckets - 1)]);
#else
    (void)index;
    (void)hash;
#endif
}

void varve_partitions_prefetch_head(const struct varve_memtable *table, uint64_t hash64)
{
#if defined(__GNUC__)
    const struct varve_hash_index *index =
        atomic_load_explicit(&table->index, memory_order_acquire);
    const uint32_t hash = fold_hash(hash64);
    if (index == NULL)
        return;
    const struct varve_hash_bucket *bucket = &index->buckets[hash & (index->n_buckets - 1)];
    for (uint32_t i = 0; i < VARVE_BUCKET_SLOTS; i++) {
        const uint32_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
        if (slot != 0 &&
            atomic_load_explicit(&bucket->tag[i], memory_order_relaxed) == (uint8_t)(hash >> 24))
            __builtin_prefetch(varve_mem_partition_at(table, slot - 1), 1);
    }
#else
    (void)table;
    (void)hash64;
#endif
}

uint32_t varve_partitions_find(const struct varve_memtable *table, struct varve_span key,
                               uint64_t hash64)
{
    const struct varve_hash_index *index =
        atomic_load_explicit(&table->index, memory_order_acquire);
    const uint32_t hash = fold_hash(hash64);
    const uint8_t tag = (uint8_t)(hash >> 24);

    if (index == NULL)
        return UINT32_MAX;
    const uint32_t mask = index->n_buckets - 1;
    for (uint32_t b = hash & mask;; b = (b + 1) & mask) { /* ends by T3 */
        const struct varve_hash_bucket *bucket = &index->buckets[b];
        for (uint32_t i = 0; i < VARVE_BUCKET_SLOTS; i++) {
            const uint32_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
            if (slot == 0)
                return UINT32_MAX;
            if (atomic_load_explicit(&bucket->tag[i], memory_order_relaxed) == tag &&
                has_key(table, varve_mem_partition_at(table, slot - 1), key, hash))
                return slot - 1;
        }
    }
}

uint32_t varve_partitions_add(struct varve_memtable *table, struct varve_span key, uint64_t hash)
{
    const uint32_t number = table->n_partitions;
    struct varve_hash_index *index = atomic_load_explicit(&table->index, memory_order_relaxed);

    assert(varve_pile_blocks((uint64_t)number + 1) <= table->partitions.n_blocks);
    assert(key.size <= UINT16_MAX);
    if (index_limit(index) <= number) {
        index_grow(table);
        index = atomic_load_explicit(&table->index, memory_order_relaxed);
    }
    struct varve_mem_partition *partition = varve_mem_partition_at(table, number);
    *partition =
        (struct varve_mem_partition){.hash = fold_hash(hash), .key_size = (uint16_t)key.size};
    atomic_init(&partition->first_time, INT64_MAX);
    atomic_init(&partition->last_time, INT64_MIN);
    if (key.size > VARVE_KEY_INLINE) {
        const uint32_t position = varve_slabs_take(&table->slabs, (uint32_t)key.size, 1);
        memcpy(varve_slab_at(&table->slabs, position), key.data, key.size);
        memcpy(partition->key, &position, sizeof position);
    } else if (key.size > 0) {
        memcpy(partition->key, key.data, key.size);
    }
    table->n_partitions = number + 1;
    index_put(index, partition->hash, number);
    return number;
}

void varve_partitions_free(struct varve_memtable *table)
{
    struct varve_hash_index *index = atomic_load_explicit(&table->index, memory_order_relaxed);
    while (index != NULL) {
        struct varve_hash_index *older = index->older;
        index_free(table, index);
        index = older;
    }
    index_free(table, table->spare_index);
    varve_pile_cut(table, &table->partitions, 0);
}
