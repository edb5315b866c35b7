/*
 * split.c - dividing a table's partitions into even key ranges, from directories only.
 *
 * Candidates are keys at even positions of every file's directory (and of the memtables' key order),
 * each standing for the rows up to it; the separators are the weighted quantiles of the candidates.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/engine/file_table_int.h"
#include "storage/engine/view_int.h"

#define SPLIT_RANGES_MAX 4096u
#define CANDIDATES_PER_SOURCE 64u

struct candidate {
    uint8_t *key; /* owned */
    size_t size;
    uint64_t rows; /* that it stands for */
};

struct candidates {
    struct varve_heap *heap;
    struct candidate *items;
    size_t count, capacity;
    uint64_t rows;
};

static varve_status add(struct candidates *list, struct varve_span key, uint64_t rows,
                        varve_error *err)
{
    if (!varve_vec_grow(list->heap, (void **)&list->items, sizeof *list->items, list->count + 1,
                        &list->capacity))
        return varve_error_nomem(err, "splitting a table");
    uint8_t *copy = varve_alloc(list->heap, key.size + 1);
    if (copy == NULL)
        return varve_error_nomem(err, "splitting a table");
    memcpy(copy, key.data, key.size);
    list->items[list->count++] = (struct candidate){copy, key.size, rows};
    list->rows += rows;
    return VARVE_OK;
}

static void free_candidates(struct candidates *list)
{
    for (size_t i = 0; i < list->count; i++)
        varve_free(list->heap, list->items[i].key, list->items[i].size + 1);
    if (list->items != NULL)
        varve_free(list->heap, list->items, list->capacity * sizeof *list->items);
}

static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return varve_span_compare(varve_span_of(x->key, x->size), varve_span_of(y->key, y->size));
}

static varve_status add_file(struct candidates *list, varve_store *store,
                             const struct varve_file_entry *entry, varve_error *err)
{
    struct varve_sst *sst = NULL;
    struct varve_buffer key;
    varve_status rc = varve_file_table_get(store, entry, &sst, err);
    const uint64_t partitions = entry->properties.partitions;
    const uint64_t n = partitions < CANDIDATES_PER_SOURCE ? partitions : CANDIDATES_PER_SOURCE;

    varve_buffer_init(&key, list->heap);
    for (uint64_t i = 0; i < n && rc == VARVE_OK; i++) {
        uint64_t first = 0;
        varve_buffer_clear(&key);
        rc = varve_sst_partition_at(sst, i * partitions / n, &key, &first, err);
        if (rc == VARVE_OK)
            rc = add(list, varve_buffer_span(&key), entry->properties.rows / n + 1, err);
    }
    varve_buffer_free(&key);
    varve_sst_unref(sst);
    return rc;
}

static varve_status add_memtable(struct candidates *list,
                                 const struct varve_memtable_view *memtable, varve_error *err)
{
    struct varve_source *source = NULL;
    struct varve_partition partition;
    uint64_t partitions = varve_memtable_partitions(memtable->table), i = 0;
    const uint64_t step = partitions / CANDIDATES_PER_SOURCE + 1;
    varve_status rc = varve_memtable_source_open(memtable, list->heap, &source, err);

    if (rc < 0)
        return rc;
    rc = source->ops->seek(source, (struct varve_span){NULL, 0}, false, err);
    for (; rc == VARVE_OK; i++) {
        rc = source->ops->next(source, &partition, err);
        if (rc == VARVE_OK && i % step == 0)
            rc = add(list, partition.key, partition.rows * step, err);
    }
    source->ops->close(source);
    return rc == VARVE_END ? VARVE_OK : rc;
}

static varve_status gather(struct candidates *list, varve_store *store, const varve_table *table,
                           varve_error *err)
{
    struct varve_view *view = NULL;
    varve_status rc = varve_view_take(store, table, &view, err);

    if (rc < 0)
        return rc;
    const uint32_t id = table->schema->table_id;
    const struct varve_table_entry *entry = varve_view_files_of(view, id);
    const struct varve_view_table *memtables = varve_view_table_of(view, id);
    for (uint64_t i = 0; entry != NULL && i < entry->n_files && rc == VARVE_OK; i++)
        rc = add_file(list, store, entry->files[i], err);
    for (uint32_t i = 0; memtables != NULL && i < memtables->n_memtables && rc == VARVE_OK; i++)
        rc = add_memtable(list, &memtables->memtables[i], err);
    varve_view_release(view);
    return rc;
}

/* The separators: keys at which the running count of rows passes a quantile, each key once. */
static uint32_t pick(const struct candidates *list, uint32_t n, const struct candidate **out)
{
    uint64_t seen = 0;
    uint32_t picked = 0;

    for (size_t i = 1; i < list->count && picked + 1 < n; i++) {
        const struct candidate *item = &list->items[i];
        seen += list->items[i - 1].rows;
        const bool due = seen >= list->rows / n * (picked + 1);
        const struct candidate *before = picked > 0 ? out[picked - 1] : &list->items[0];
        if (due && compare(item, before) != 0)
            out[picked++] = item;
    }
    return picked;
}

/* What varve_keys_free() has to know stands in front of the values. */
struct key_block {
    size_t size;
    size_t reserved;
};

static varve_status make_values(const struct candidate **picked, uint32_t n,
                                const struct varve_schema *schema, struct varve_heap *heap,
                                varve_value **ret_keys, varve_error *err)
{
    const uint32_t width = schema->n_partition;
    size_t bytes = sizeof(struct key_block) + (size_t)n * width * sizeof(varve_value);
    const size_t text_at = bytes;

    for (uint32_t i = 0; i < n; i++)
        bytes += picked[i]->size;
    uint8_t *memory = varve_alloc(heap, bytes);
    if (memory == NULL)
        return varve_error_nomem(err, "splitting a table");
    *(struct key_block *)(void *)memory = (struct key_block){.size = bytes};
    varve_value *values = (varve_value *)(void *)(memory + sizeof(struct key_block));
    uint8_t *text = memory + text_at;
    for (uint32_t i = 0; i < n; i++) {
        const struct varve_span key = varve_span_of(picked[i]->key, picked[i]->size);
        const varve_status rc = varve_key_decode(schema, key, text, values + i * width, err);
        if (rc < 0) {
            varve_free(heap, memory, bytes);
            return rc;
        }
        text += picked[i]->size;
    }
    *ret_keys = values;
    return VARVE_OK;
}

varve_status varve_table_split(varve_store *store, const varve_table *table, uint32_t n,
                               varve_value **ret_keys, uint32_t *ret_n, varve_error *err)
{
    const struct candidate *picked[SPLIT_RANGES_MAX];
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (table == NULL || table->store != store || n == 0 || n > SPLIT_RANGES_MAX ||
        ret_keys == NULL || ret_n == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a table is split into 1 to %u ranges", SPLIT_RANGES_MAX);
    struct candidates list = {.heap = &store->heap};
    rc = gather(&list, store, table, err);
    uint32_t count = 0;
    if (rc == VARVE_OK && list.count > 0) {
        qsort(list.items, list.count, sizeof *list.items, compare);
        count = pick(&list, n, picked);
    }
    varve_value *keys = NULL;
    if (rc == VARVE_OK && count > 0)
        rc = make_values(picked, count, table->schema, &store->heap, &keys, err);
    free_candidates(&list);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    *ret_keys = keys;
    *ret_n = count;
    return VARVE_OK;
}

void varve_keys_free(varve_store *store, varve_value *keys)
{
    if (keys == NULL)
        return;
    struct key_block *block = (struct key_block *)(void *)((uint8_t *)keys - sizeof *block);
    varve_free(&store->heap, block, block->size);
}
