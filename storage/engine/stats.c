/*
 * stats.c - what the store tells about itself.
 */
#include <string.h>

#include "storage/engine/file_table_int.h"
#include "storage/engine/reserve_int.h"
#include "storage/engine/store_int.h"

static void add_memtables(const struct varve_table *table, varve_table_stats *stats)
{
    for (const struct varve_generation *g = table->oldest; g != NULL; g = g->next) {
        int64_t first, last;
        stats->memtable_rows += varve_memtable_rows(g->memtable);
        stats->memtable_bytes += varve_memtable_bytes(g->memtable);
        stats->memtable_partitions += varve_memtable_partitions(g->memtable);
        varve_memtable_time_range(g->memtable, &first, &last);
        if (first > last)
            continue;
        stats->first_time = first < stats->first_time ? first : stats->first_time;
        stats->last_time = last > stats->last_time ? last : stats->last_time;
    }
}

static void add_files(const struct varve_table_entry *entry, varve_table_stats *stats)
{
    if (entry == NULL)
        return;
    stats->flushed_lsn = entry->flushed_lsn;
    stats->files = entry->n_files;
    for (uint64_t i = 0; i < entry->n_files; i++) {
        const struct varve_sst_properties *p = &entry->files[i]->properties;
        stats->partitions += p->partitions;
        stats->file_rows += p->rows;
        stats->file_bytes += p->file_size;
        if (p->first_time > p->last_time)
            continue;
        stats->first_time = p->first_time < stats->first_time ? p->first_time : stats->first_time;
        stats->last_time = p->last_time > stats->last_time ? p->last_time : stats->last_time;
    }
}

static void table_stats_locked(const varve_store *store, const struct varve_table *table,
                               varve_table_stats *stats) VARVE_REQUIRES(&store->view_lock)
{
    memset(stats, 0, sizeof *stats);
    stats->struct_size = sizeof *stats;
    stats->first_time = INT64_MAX;
    stats->last_time = INT64_MIN;
    add_memtables(table, stats);
    if (!table->dropped) /* its end may be owed to the manifest */
        add_files(varve_version_table(store->version, table->schema->table_id), stats);
    stats->partitions += stats->memtable_partitions;
}

void varve_table_get_stats(varve_store *store, const varve_table *table,
                           varve_table_stats *ret_stats)
{
    varve_table_stats stats;

    if (varve_store_enter(store, NULL) < 0 || table == NULL || table->store != store ||
        ret_stats == NULL)
        return;
    varve_mutex_lock(&store->view_lock);
    table_stats_locked(store, table, &stats);
    varve_mutex_unlock(&store->view_lock);
    const size_t size =
        ret_stats->struct_size < sizeof stats ? ret_stats->struct_size : sizeof stats;
    stats.struct_size = ret_stats->struct_size;
    memcpy(ret_stats, &stats, size);
}

uint64_t varve_origin_last(varve_store *store, uint32_t origin)
{
    if (varve_store_enter(store, NULL) < 0)
        return 0;
    varve_mutex_lock(&store->queue_lock);
    const struct varve_origin_entry *entry =
        varve_origin_find(store->origins.items, store->origins.count, origin);
    const uint64_t last = entry == NULL ? 0 : entry->last;
    varve_mutex_unlock(&store->queue_lock);
    return last;
}

static void gather_tables(varve_store *store, varve_stats *stats)
{
    varve_mutex_lock(&store->view_lock);
    for (size_t i = 0; i < store->n_tables; i++) {
        varve_table_stats table;
        if (store->tables[i]->dropped)
            continue;
        table_stats_locked(store, store->tables[i], &table);
        stats->tables++;
        stats->files += (uint32_t)table.files;
        stats->file_rows += table.file_rows;
        stats->file_bytes += table.file_bytes;
        stats->memtable_rows += table.memtable_rows;
        stats->memtable_bytes += table.memtable_bytes;
    }
    for (uint32_t i = 0; i < store->version->n_segments; i++) {
        stats->wal_segments++;
        stats->wal_bytes += store->version->segments[i].size;
    }
    stats->lsn_committed = store->commit_lsn;
    stats->lsn_replay = store->version->replay.lsn;
    stats->views = store->n_views;
    varve_mutex_unlock(&store->view_lock);
}

void varve_get_stats(varve_store *store, varve_stats *ret_stats)
{
    struct varve_cache_stats cache;
    varve_stats stats;

    if (varve_store_enter(store, NULL) < 0 || ret_stats == NULL)
        return;
    varve_mutex_lock(&store->queue_lock);
    stats = store->stats;
    varve_mutex_unlock(&store->queue_lock);
    gather_tables(store, &stats);
    varve_cache_get_stats(store->cache, &cache);
    stats.cache_bytes = cache.bytes;
    stats.cache_hits = cache.hits;
    stats.cache_misses = cache.misses;
    stats.memory_used = varve_heap_used(&store->heap);
    stats.memory_peak = varve_heap_peak(&store->heap);
    stats.memory_limit = store->options.memory_limit;
    stats.pinned_bytes = varve_obsolete_bytes(store);
    varve_reserve_get_stats(store, &stats);
    varve_mutex_lock(&store->manifest_lock);
    stats.bytes_manifest = varve_manifest_bytes(store->manifest);
    stats.repairs = store->repairs + varve_manifest_repairs(store->manifest);
    varve_mutex_unlock(&store->manifest_lock);
    const size_t size =
        ret_stats->struct_size < sizeof stats ? ret_stats->struct_size : sizeof stats;
    stats.struct_size = ret_stats->struct_size;
    memcpy(ret_stats, &stats, size);
}
