/*
 * memtable_check.c - the invariants of a memtable, verified by walking all of it. For tests.
 *
 * Threads. No applier and no source may be at work.
 */
#include "storage/memtable/memtable_int.h"

static size_t pile_held(const struct varve_pile *pile)
{
    size_t held = 0;
    for (uint32_t b = 0; b < pile->n_blocks; b++)
        held += (size_t)(b == 0 ? 64 : b < 7 ? 32u << b : VARVE_PILE_BLOCK) * pile->item;
    for (uint32_t k = 0; k < VARVE_PILE_LEVELS; k++)
        held += pile->level[k] == NULL ? 0 : sizeof(uint8_t *) << k;
    return held;
}

static size_t index_held(const struct varve_hash_index *index)
{
    size_t held = 0;
    for (; index != NULL; index = index->older)
        held += sizeof *index + index->n_buckets * sizeof *index->buckets;
    return held;
}

static size_t slabs_held(const struct varve_slab_space *space)
{
    size_t held = 0;
    for (uint32_t g = 0; g < 64; g++)
        held += space->groups[g] == NULL ? 0 : sizeof *space->groups[g];
    for (uint32_t slab = 0; slab < space->n_slabs; slab++)
        held += space->groups[slab >> 6]->bytes[slab & 63];
    for (const struct varve_spare_block *b = space->spare_blocks; b != NULL; b = b->next)
        held += 64 + b->bytes;
    for (const struct varve_spare_block *b = space->used_blocks; b != NULL; b = b->next)
        held += 64 + b->bytes;
    return held;
}

static size_t order_held(const struct varve_key_order *order)
{
    size_t held = 0;
    for (; order != NULL; order = order->next)
        held += sizeof *order + order->n * sizeof *order->numbers;
    return held;
}

static bool accounts(const struct varve_memtable *table)
{
    const size_t held = sizeof *table + table->schema->n_columns * sizeof *table->layout.columns +
                        pile_held(&table->partitions) + pile_held(&table->commits) +
                        index_held(atomic_load(&table->index)) + index_held(table->spare_index) +
                        slabs_held(&table->slabs) + order_held(table->order_retired) +
                        order_held(atomic_load(&table->order));
    return held == atomic_load(&table->held);
}

struct walk { /* of one partition */
    const struct varve_memtable *table;
    const struct varve_mem_partition *partition;
    uint64_t rows;
    bool ok;
};

static void see(struct walk *w, int64_t time, uint32_t ordinal)
{
    w->rows++;
    w->ok &= time >= atomic_load(&w->partition->first_time) &&
             time <= atomic_load(&w->partition->last_time) && ordinal < w->table->n_commits;
}

static void walk_chunk(struct walk *w, const struct varve_chunk *chunk)
{
    const uint32_t n = atomic_load(&chunk->count);
    const uint32_t *ordinals = varve_chunk_ordinals(w->table, chunk);
    const int64_t *times = varve_chunk_times(chunk);

    w->ok &= n > 0 && n <= chunk->capacity && chunk->capacity % 8 == 0;
    for (uint32_t i = 0; w->ok && i < n; i++) {
        see(w, times[i], ordinals[i]);
        w->ok &= i == 0 || ordinals[i - 1] <= ordinals[i];
        w->ok &= times[i] >= atomic_load(&chunk->first_time) &&
                 times[i] <= atomic_load(&chunk->last_time);
    }
}

static bool main_ascends(const struct walk *w, const struct varve_chunk *a, uint32_t i,
                         const struct varve_chunk *b, uint32_t j)
{
    const struct varve_mem_row x = {
        .chunk = a, .i = i, .ordinal = varve_chunk_ordinals(w->table, a)[i]};
    const struct varve_mem_row y = {
        .chunk = b, .i = j, .ordinal = varve_chunk_ordinals(w->table, b)[j]};
    return x.ordinal <= y.ordinal && varve_mem_row_compare(w->table, varve_chunk_times(a)[i], &x,
                                                           varve_chunk_times(b)[j], &y) < 0;
}

static void walk_main(struct walk *w)
{
    const struct varve_chunk *chunk = varve_chunk_at(w->table, atomic_load(&w->partition->main));
    const struct varve_chunk *after = NULL;

    for (; w->ok && chunk != NULL; after = chunk, chunk = varve_chunk_at(w->table, chunk->prev)) {
        const uint32_t n = atomic_load(&chunk->count);
        walk_chunk(w, chunk);
        for (uint32_t i = 1; w->ok && i < n; i++)
            w->ok &= main_ascends(w, chunk, i - 1, chunk, i);
        w->ok &= varve_chunk_at(w->table, atomic_load(&chunk->next)) == after;
        w->ok &= (chunk->prev == 0) == (chunk->number == 0);
        w->ok &= atomic_load(&chunk->first_time) == varve_chunk_times(chunk)[0] &&
                 atomic_load(&chunk->last_time) == varve_chunk_times(chunk)[n - 1];
        if (w->ok && after != NULL)
            w->ok &= after->number == chunk->number + 1 && main_ascends(w, chunk, n - 1, after, 0);
        const struct varve_chunk *jump = varve_chunk_at(w->table, chunk->jump);
        w->ok &= jump != NULL && (jump->number < chunk->number || chunk->number == 0);
    }
}

static bool partition_check(const struct varve_memtable *table, uint32_t number)
{
    const struct varve_mem_partition *p = varve_mem_partition_at(table, number);
    const struct varve_span key = varve_mem_key(table, p);
    struct walk w = {.table = table, .partition = p, .ok = true};

    if (varve_partitions_find(table, key, varve_key_hash(key)) != number)
        return false;
    walk_main(&w);
    const struct varve_chunk *side = varve_chunk_at(table, atomic_load(&p->side));
    for (; w.ok && side != NULL; side = varve_chunk_at(table, side->prev))
        walk_chunk(&w, side);
    uint32_t ordinal = UINT32_MAX;
    uint32_t at = atomic_load(&p->chain);
    while (w.ok && at != 0) {
        const uint8_t *record = varve_slab_at(&table->slabs, at);
        const uint32_t o = varve_record_ordinal(table, table->n_commits, at);
        see(&w, varve_record_time(table, record), o);
        w.ok &= o <= ordinal && varve_mem_commit_at(table, o)->position <= at;
        ordinal = o;
        at = varve_record_link(record);
    }
    return w.ok && w.rows > 0 && w.rows == atomic_load(&p->rows);
}

bool varve_memtable_check(const struct varve_memtable *table)
{
    uint64_t rows = 0;

    if (!accounts(table))
        return false;
    for (uint32_t c = 1; c < table->n_commits; c++)
        if (varve_mem_commit_at(table, c)->position < varve_mem_commit_at(table, c - 1)->position)
            return false;
    for (uint32_t i = 0; i < table->n_partitions; i++) {
        if (!partition_check(table, i))
            return false;
        rows += atomic_load(&varve_mem_partition_at(table, i)->rows);
    }
    return rows == atomic_load(&table->rows) &&
           atomic_load(&table->published_ordinal) <= table->n_commits &&
           atomic_load(&table->published_partitions) <= table->n_partitions;
}
