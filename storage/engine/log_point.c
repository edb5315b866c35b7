/*
 * log_point.c - the state of the log between two records: position, index, term, chain, hybrid time
 * and origins. A memtable remembers the point before its first record; the manifest's replay state
 * is the oldest of them.
 */
#include <string.h>

#include "storage/engine/store_int.h"

varve_status varve_log_point_copy(struct varve_heap *heap, struct varve_log_point *to,
                                  const struct varve_log_point *from, varve_error *err)
{
    struct varve_log_point copy = *from;

    copy.origins = NULL;
    if (from->n_origins > 0) {
        const size_t bytes = from->n_origins * sizeof *from->origins;
        copy.origins = varve_alloc(heap, bytes);
        if (copy.origins == NULL)
            return varve_error_nomem(err, "the table of origins");
        memcpy(copy.origins, from->origins, bytes);
    }
    varve_log_point_free(heap, to);
    *to = copy;
    return VARVE_OK;
}

void varve_log_point_free(struct varve_heap *heap, struct varve_log_point *point)
{
    if (point->origins != NULL)
        varve_free(heap, point->origins, point->n_origins * sizeof *point->origins);
    point->origins = NULL;
    point->n_origins = 0;
}

const struct varve_origin_entry *varve_origin_find(const struct varve_origin_entry *origins,
                                                   size_t n, uint32_t id)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (origins[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && origins[low].id == id ? &origins[low] : NULL;
}

bool varve_origins_reserve(struct varve_heap *heap, struct varve_origins *origins)
{
    return varve_vec_grow(heap, (void **)&origins->items, sizeof *origins->items,
                          origins->count + 1, &origins->capacity);
}

void varve_origins_put(struct varve_origins *origins, const struct varve_origin *origin)
{
    size_t i = 0;

    while (i < origins->count && origins->items[i].id < origin->id)
        i++;
    if (i == origins->count || origins->items[i].id != origin->id) {
        assert(origins->count < origins->capacity);
        memmove(&origins->items[i + 1], &origins->items[i],
                (origins->count - i) * sizeof *origins->items);
        origins->items[i] = (struct varve_origin_entry){.id = origin->id};
        origins->count++;
    }
    origins->items[i].epoch = origin->epoch;
    origins->items[i].last = origin->last;
}

void varve_origins_free(struct varve_heap *heap, struct varve_origins *origins)
{
    if (origins->items != NULL)
        varve_free(heap, origins->items, origins->capacity * sizeof *origins->items);
    *origins = (struct varve_origins){0};
}
