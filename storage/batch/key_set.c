/*
 * key_set.c - the distinct partition keys of a section.
 */
#include "storage/base/vec.h"
#include "storage/batch/batch_int.h"

#include <assert.h>

#define KEY_BLOCK_BYTES 4096u
#define SLOTS_LEAST 16u

void varve_key_set_init(struct varve_key_set *set, struct varve_heap *heap)
{
    memset(set, 0, sizeof *set);
    set->heap = heap;
    varve_arena_init(&set->bytes, heap, KEY_BLOCK_BYTES);
}

void varve_key_set_free(struct varve_key_set *set)
{
    if (set == NULL || set->heap == NULL)
        return;
    varve_free(set->heap, set->spans, set->spans_capacity * sizeof *set->spans);
    varve_free(set->heap, set->hashes, set->hashes_capacity * sizeof *set->hashes);
    varve_free(set->heap, set->rows, set->rows_capacity * sizeof *set->rows);
    varve_free(set->heap, set->slots, set->n_slots * sizeof *set->slots);
    varve_arena_free(&set->bytes);
    memset(set, 0, sizeof *set);
}

void varve_key_set_clear(struct varve_key_set *set)
{
    if (set->n > 0)
        memset(set->slots, 0, set->n_slots * sizeof *set->slots);
    set->n = 0;
    varve_arena_reset(&set->bytes);
}

uint32_t varve_key_set_find(const struct varve_key_set *set, struct varve_span key, uint64_t hash)
{
    if (set->n == 0)
        return VARVE_NO_KEY;
    const size_t mask = set->n_slots - 1;
    for (size_t at = hash & mask; set->slots[at] != 0; at = (at + 1) & mask) {
        const uint32_t k = set->slots[at] - 1;
        if (set->hashes[k] == hash && varve_span_compare(set->spans[k], key) == 0)
            return k;
    }
    return VARVE_NO_KEY;
}

static void insert(struct varve_key_set *set, uint32_t k)
{
    const size_t mask = set->n_slots - 1;
    size_t at = set->hashes[k] & mask;
    while (set->slots[at] != 0)
        at = (at + 1) & mask;
    set->slots[at] = k + 1;
}

static bool grow_slots(struct varve_key_set *set)
{
    const size_t n = set->n_slots < SLOTS_LEAST ? SLOTS_LEAST : set->n_slots * 2;
    uint32_t *slots = varve_alloc_zero(set->heap, n, sizeof *slots);
    if (slots == NULL)
        return false;
    varve_free(set->heap, set->slots, set->n_slots * sizeof *set->slots);
    set->slots = slots;
    set->n_slots = n;
    for (uint32_t k = 0; k < set->n; k++)
        insert(set, k);
    return true;
}

uint32_t varve_key_set_add(struct varve_key_set *set, struct varve_span key, uint64_t hash)
{
    assert(key.size > 0 && set->n < VARVE_NO_KEY - 1);
    if (2 * ((size_t)set->n + 1) > set->n_slots && !grow_slots(set))
        return VARVE_NO_KEY;
    if (!varve_vec_grow(set->heap, (void **)&set->spans, sizeof *set->spans, (size_t)set->n + 1,
                        &set->spans_capacity) ||
        !varve_vec_grow(set->heap, (void **)&set->hashes, sizeof *set->hashes, (size_t)set->n + 1,
                        &set->hashes_capacity) ||
        !varve_vec_grow(set->heap, (void **)&set->rows, sizeof *set->rows, (size_t)set->n + 1,
                        &set->rows_capacity))
        return VARVE_NO_KEY;
    uint8_t *bytes = varve_arena_alloc(&set->bytes, key.size, 1);
    if (bytes == NULL)
        return VARVE_NO_KEY;
    memcpy(bytes, key.data, key.size);
    set->spans[set->n] = varve_span_of(bytes, key.size);
    set->hashes[set->n] = hash;
    set->rows[set->n] = 0;
    insert(set, set->n);
    return set->n++;
}

void varve_key_set_truncate(struct varve_key_set *set, uint32_t n)
{
    if (n >= set->n)
        return;
    set->n = n;
    memset(set->slots, 0, set->n_slots * sizeof *set->slots);
    for (uint32_t k = 0; k < n; k++)
        insert(set, k);
}
