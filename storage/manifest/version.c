/*
 * version.c - states of the store on disk: shared, compared, and built one change at a time.
 */
#include "storage/manifest/version.h"

#include <assert.h>
#include <string.h>

#include "storage/base/vec.h"
#include "storage/manifest/manifest_format.h"

static void file_unref(struct varve_file_entry *file, struct varve_heap *heap)
{
    if (file == NULL || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1)
        return;
    varve_sst_properties_free(&file->properties, heap);
    varve_free(heap, file, sizeof *file);
}

static void table_unref(struct varve_table_entry *table, struct varve_heap *heap)
{
    if (table == NULL || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint64_t i = 0; i < table->n_files; i++)
        file_unref(table->files[i], heap);
    if (table->files != NULL)
        varve_free(heap, table->files, table->files_capacity * sizeof(struct varve_file_entry *));
    varve_schema_unref(table->schema);
    varve_free(heap, table, sizeof *table);
}

static void replay_free(struct varve_replay_state *replay, struct varve_heap *heap)
{
    if (replay->epochs != NULL)
        varve_free(heap, replay->epochs, replay->n_epochs * sizeof *replay->epochs);
    if (replay->origins != NULL)
        varve_free(heap, replay->origins, replay->n_origins * sizeof *replay->origins);
    replay->epochs = NULL;
    replay->origins = NULL;
}

struct varve_version *varve_version_ref(const struct varve_version *version)
{
    struct varve_version *shared = (struct varve_version *)(uintptr_t)version;

    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void varve_version_unref(struct varve_version *version)
{
    if (version == NULL || atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct varve_heap *heap = version->heap;
    for (uint32_t i = 0; i < version->n_tables; i++)
        table_unref(version->tables[i], heap);
    if (version->tables != NULL)
        varve_free(heap, version->tables,
                   version->tables_capacity * sizeof(struct varve_table_entry *));
    if (version->names != NULL)
        varve_free(heap, version->names, version->names_capacity * sizeof *version->names);
    if (version->segments != NULL)
        varve_free(heap, version->segments, version->segments_capacity * sizeof *version->segments);
    if (version->kept != NULL)
        varve_free(heap, version->kept, version->kept_capacity * sizeof *version->kept);
    replay_free(&version->replay, heap);
    varve_free(heap, version, sizeof *version);
}

static uint32_t table_position(const struct varve_version *version, uint32_t table_id)
{
    uint32_t low = 0, high = version->n_tables;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (version->tables[middle]->schema->table_id < table_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_table(const struct varve_version *version, uint32_t position, uint32_t table_id)
{
    return position < version->n_tables && version->tables[position]->schema->table_id == table_id;
}

const struct varve_table_entry *varve_version_table(const struct varve_version *version,
                                                    uint32_t table_id)
{
    const uint32_t at = table_position(version, table_id);

    return is_table(version, at, table_id) ? version->tables[at] : NULL;
}

/* Where in the first `n` of `names` stands the first that is not below `name`. */
static uint32_t name_position(const struct varve_version *version, uint32_t n, const char *name)
{
    uint32_t low = 0, high = n;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint32_t at = table_position(version, version->names[middle]);
        if (varve_name_compare(version->tables[at]->schema->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct varve_table_entry *varve_version_find(const struct varve_version *version,
                                                   const char *name)
{
    const uint32_t at = name_position(version, version->n_tables, name);

    if (at == version->n_tables)
        return NULL;
    const struct varve_table_entry *table = varve_version_table(version, version->names[at]);
    return varve_name_compare(table->schema->name, name) == 0 ? table : NULL;
}

/* ------------------------------------------------------------------------------------ Building */

struct varve_version *varve_version_new(struct varve_heap *heap)
{
    struct varve_version *version = varve_alloc_zero(heap, 1, sizeof *version);

    if (version == NULL)
        return NULL;
    version->heap = heap;
    version->next_file_id = 1;
    version->next_table_id = 1;
    atomic_init(&version->refs, 1);
    return version;
}

static struct varve_table_entry *table_clone(const struct varve_table_entry *from,
                                             struct varve_heap *heap)
{
    struct varve_table_entry *table = varve_alloc_zero(heap, 1, sizeof *table);

    if (table == NULL)
        return NULL;
    atomic_init(&table->refs, 1);
    table->schema = varve_schema_ref(from->schema);
    table->flushed_lsn = from->flushed_lsn;
    table->retention_floor = from->retention_floor;
    table->write_floor = from->write_floor;
    if (from->n_files == 0)
        return table;
    if (!varve_vec_grow(heap, (void **)&table->files, sizeof(struct varve_file_entry *),
                        from->n_files + 1, &table->files_capacity)) {
        table_unref(table, heap);
        return NULL;
    }
    for (uint64_t i = 0; i < from->n_files; i++) {
        table->files[i] = from->files[i];
        atomic_fetch_add_explicit(&table->files[i]->refs, 1, memory_order_relaxed);
    }
    table->n_files = from->n_files;
    return table;
}

static bool clone_tables(struct varve_version *to, const struct varve_version *from)
{
    if (!varve_vec_grow(to->heap, (void **)&to->tables, sizeof(struct varve_table_entry *),
                        from->n_tables, &to->tables_capacity) ||
        !varve_vec_grow(to->heap, (void **)&to->names, sizeof *to->names, from->n_tables,
                        &to->names_capacity))
        return false;
    for (uint32_t i = 0; i < from->n_tables; i++) {
        to->tables[i] = from->tables[i];
        atomic_fetch_add_explicit(&to->tables[i]->refs, 1, memory_order_relaxed);
    }
    if (from->n_tables > 0)
        memcpy(to->names, from->names, from->n_tables * sizeof *to->names);
    to->n_tables = from->n_tables;
    return true;
}

/* The entry at `at`, not shared with any other version: it may be changed. NULL: no memory. */
static struct varve_table_entry *table_own(struct varve_version *version, uint32_t at)
{
    struct varve_table_entry *shared = version->tables[at];

    if (atomic_load_explicit(&shared->refs, memory_order_acquire) == 1)
        return shared;
    struct varve_table_entry *own = table_clone(shared, version->heap);
    if (own == NULL)
        return NULL;
    version->tables[at] = own;
    table_unref(shared, version->heap);
    return own;
}

/* Take the id of tables[at] out of `names`. */
static void name_remove(struct varve_version *version, uint32_t at)
{
    const struct varve_schema *schema = version->tables[at]->schema;
    const uint32_t i = name_position(version, version->n_tables, schema->name);

    assert(i < version->n_tables && version->names[i] == schema->table_id);
    memmove(&version->names[i], &version->names[i + 1],
            (version->n_tables - i - 1) * sizeof *version->names);
}

struct varve_version *varve_version_clone(const struct varve_version *from)
{
    struct varve_version *to = varve_version_new(from->heap);

    if (to == NULL)
        return NULL;
    to->number = from->number;
    memcpy(to->store_uuid, from->store_uuid, sizeof to->store_uuid);
    memcpy(to->incarnation, from->incarnation, sizeof to->incarnation);
    memcpy(to->boot_id, from->boot_id, sizeof to->boot_id);
    to->next_file_id = from->next_file_id;
    to->next_table_id = from->next_table_id;
    to->next_lsn = from->next_lsn;
    to->durable_lsn = from->durable_lsn;
    to->safe_now_us = from->safe_now_us;
    to->boot_us = from->boot_us;
    bool ok = clone_tables(to, from);
    ok = ok && varve_vec_grow(to->heap, (void **)&to->segments, sizeof *to->segments,
                              from->n_segments, &to->segments_capacity);
    if (ok && from->n_segments > 0)
        memcpy(to->segments, from->segments, from->n_segments * sizeof *to->segments);
    to->n_segments = ok ? from->n_segments : 0;
    ok = ok && varve_vec_grow(to->heap, (void **)&to->kept, sizeof *to->kept, from->n_kept,
                              &to->kept_capacity);
    if (ok && from->n_kept > 0)
        memcpy(to->kept, from->kept, from->n_kept * sizeof *to->kept);
    to->n_kept = ok ? from->n_kept : 0;
    if (!ok || varve_version_put_replay(to, &from->replay) < 0) {
        varve_version_unref(to);
        return NULL;
    }
    return to;
}

/* A newer definition of tables[at], which may have another name. */
static varve_status replace_schema(struct varve_version *version, uint32_t at,
                                   struct varve_schema *schema)
{
    if (schema->version < version->tables[at]->schema->version)
        return VARVE_EINVAL;
    struct varve_table_entry *table = table_own(version, at);
    if (table == NULL)
        return VARVE_ENOMEM;
    name_remove(version, at);
    const uint32_t i = name_position(version, version->n_tables - 1, schema->name);
    memmove(&version->names[i + 1], &version->names[i],
            (version->n_tables - i - 1) * sizeof *version->names);
    version->names[i] = schema->table_id;
    varve_schema_unref(table->schema);
    table->schema = schema;
    return VARVE_OK;
}

varve_status varve_version_put_schema(struct varve_version *version, struct varve_schema *schema)
{
    const uint32_t at = table_position(version, schema->table_id);
    const struct varve_table_entry *same_name = varve_version_find(version, schema->name);
    const uint32_t name_at = name_position(version, version->n_tables, schema->name);

    if (schema->table_id == 0 ||
        (same_name != NULL && same_name->schema->table_id != schema->table_id))
        return VARVE_EINVAL;
    if (is_table(version, at, schema->table_id))
        return replace_schema(version, at, schema);
    if (!varve_vec_grow(version->heap, (void **)&version->tables,
                        sizeof(struct varve_table_entry *), version->n_tables + 1u,
                        &version->tables_capacity) ||
        !varve_vec_grow(version->heap, (void **)&version->names, sizeof *version->names,
                        version->n_tables + 1u, &version->names_capacity))
        return VARVE_ENOMEM;
    struct varve_table_entry *table = varve_alloc_zero(version->heap, 1, sizeof *table);
    if (table == NULL)
        return VARVE_ENOMEM;
    atomic_init(&table->refs, 1);
    memmove(&version->names[name_at + 1], &version->names[name_at],
            (version->n_tables - name_at) * sizeof *version->names);
    version->names[name_at] = schema->table_id;
    table->schema = schema;
    table->retention_floor = table->write_floor = INT64_MIN;
    memmove(&version->tables[at + 1], &version->tables[at],
            (version->n_tables - at) * sizeof(struct varve_table_entry *));
    version->tables[at] = table;
    version->n_tables++;
    return VARVE_OK;
}

varve_status varve_version_drop_table(struct varve_version *version, uint32_t table_id)
{
    const uint32_t at = table_position(version, table_id);

    if (!is_table(version, at, table_id))
        return VARVE_EINVAL;
    name_remove(version, at);
    table_unref(version->tables[at], version->heap);
    memmove(&version->tables[at], &version->tables[at + 1],
            (version->n_tables - at - 1) * sizeof(struct varve_table_entry *));
    version->n_tables--;
    return VARVE_OK;
}

varve_status varve_version_put_marks(struct varve_version *version,
                                     const struct varve_table_marks *marks)
{
    const uint32_t at = table_position(version, marks->table_id);

    if (!is_table(version, at, marks->table_id))
        return VARVE_EINVAL;
    struct varve_table_entry *table = table_own(version, at);
    if (table == NULL)
        return VARVE_ENOMEM;
    if (marks->flushed_lsn > table->flushed_lsn)
        table->flushed_lsn = marks->flushed_lsn;
    if (marks->retention_floor > table->retention_floor)
        table->retention_floor = marks->retention_floor;
    if (marks->write_floor > table->write_floor)
        table->write_floor = marks->write_floor;
    return VARVE_OK;
}

/* The first of the table's files whose id is at least `id`. */
static uint64_t file_position(const struct varve_table_entry *table, uint64_t id)
{
    uint64_t low = 0, high = table->n_files;

    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (table->files[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_file(const struct varve_table_entry *table, uint64_t position, uint64_t id)
{
    return position < table->n_files && table->files[position]->id == id;
}

/* Files and segments take their ids from one sequence. */
static bool is_id_taken(const struct varve_version *version, uint64_t id, bool by_file)
{
    for (uint32_t t = 0; by_file && t < version->n_tables; t++)
        if (is_file(version->tables[t], file_position(version->tables[t], id), id))
            return true;
    for (uint32_t i = 0; !by_file && i < version->n_segments; i++)
        if (version->segments[i].id == id)
            return true;
    for (uint32_t i = 0; !by_file && i < version->n_kept; i++)
        if (version->kept[i].id == id)
            return true;
    return false;
}

varve_status varve_version_add_file(struct varve_version *version, struct varve_file_entry *file)
{
    const uint32_t at = table_position(version, file->properties.table_id);

    if (file->id == 0 || !is_table(version, at, file->properties.table_id) ||
        is_id_taken(version, file->id, true) || is_id_taken(version, file->id, false))
        return VARVE_EINVAL;
    struct varve_table_entry *table = table_own(version, at);
    if (table == NULL)
        return VARVE_ENOMEM;
    const uint64_t i = file_position(table, file->id);
    if (!varve_vec_grow(version->heap, (void **)&table->files, sizeof(struct varve_file_entry *),
                        table->n_files + 1, &table->files_capacity))
        return VARVE_ENOMEM;
    memmove(&table->files[i + 1], &table->files[i],
            (table->n_files - i) * sizeof(struct varve_file_entry *));
    atomic_init(&file->refs, 1);
    table->files[i] = file;
    table->n_files++;
    return VARVE_OK;
}

varve_status varve_version_drop_file(struct varve_version *version, uint64_t id)
{
    for (uint32_t t = 0; t < version->n_tables; t++) {
        const uint64_t i = file_position(version->tables[t], id);
        if (!is_file(version->tables[t], i, id))
            continue;
        struct varve_table_entry *table = table_own(version, t);
        if (table == NULL)
            return VARVE_ENOMEM;
        file_unref(table->files[i], version->heap);
        memmove(&table->files[i], &table->files[i + 1],
                (table->n_files - i - 1) * sizeof(struct varve_file_entry *));
        table->n_files--;
        return VARVE_OK;
    }
    return VARVE_EINVAL;
}

/* Segments stand in order of their base LSN, which is that of the log. Only an empty one shares it with
 * the next, which was made later. */
static bool segment_before(const struct varve_segment_entry *a, const struct varve_segment_entry *b)
{
    return a->base_lsn != b->base_lsn ? a->base_lsn < b->base_lsn : a->id < b->id;
}

static void segment_remove(struct varve_version *version, uint32_t i)
{
    memmove(&version->segments[i], &version->segments[i + 1],
            (version->n_segments - i - 1) * sizeof *version->segments);
    version->n_segments--;
}

varve_status varve_version_put_segment(struct varve_version *version,
                                       const struct varve_segment_entry *segment)
{
    static const uint8_t no_uuid[16];
    struct varve_segment_entry entry = *segment;

    if (segment->id == 0 || segment->base_lsn >= VARVE_COUNTER_END ||
        is_id_taken(version, segment->id, true))
        return VARVE_EINVAL;
    if (segment->sealed && segment->final_lsn < segment->base_lsn)
        return VARVE_EINVAL;
    for (uint32_t i = 0; i < version->n_kept; i++)
        if (version->kept[i].id == segment->id) /* what was cut does not come back */
            return VARVE_EINVAL;
    if (!varve_vec_grow(version->heap, (void **)&version->segments, sizeof *version->segments,
                        version->n_segments + 1u, &version->segments_capacity))
        return VARVE_ENOMEM;
    for (uint32_t i = 0; i < version->n_segments; i++) {
        if (version->segments[i].id != segment->id)
            continue;
        if (memcmp(entry.uuid, no_uuid, sizeof no_uuid) == 0) { /* a seal: the rest stays */
            memcpy(entry.uuid, version->segments[i].uuid, sizeof entry.uuid);
            entry.size = version->segments[i].size;
        }
        segment_remove(version, i);
        break;
    }
    if (entry.size == 0 || memcmp(entry.uuid, no_uuid, sizeof no_uuid) == 0)
        return VARVE_EINVAL;
    uint32_t at = version->n_segments;
    for (; at > 0 && segment_before(&entry, &version->segments[at - 1]); at--)
        version->segments[at] = version->segments[at - 1];
    version->segments[at] = entry;
    version->n_segments++;
    return VARVE_OK;
}

varve_status varve_version_drop_segment(struct varve_version *version, uint64_t id)
{
    for (uint32_t i = 0; i < version->n_segments; i++) {
        if (version->segments[i].id == id) {
            segment_remove(version, i);
            return VARVE_OK;
        }
    }
    return VARVE_EINVAL;
}

varve_status varve_version_keep_segment(struct varve_version *version,
                                        const struct varve_kept_segment *kept)
{
    if (kept->id == 0 || kept->lsn >= kept->lsn_end || is_id_taken(version, kept->id, true) ||
        is_id_taken(version, kept->id, false))
        return VARVE_EINVAL;
    if (!varve_vec_grow(version->heap, (void **)&version->kept, sizeof *version->kept,
                        version->n_kept + 1u, &version->kept_capacity))
        return VARVE_ENOMEM;
    version->kept[version->n_kept++] = *kept;
    return VARVE_OK;
}

varve_status varve_version_let_go_segment(struct varve_version *version, uint64_t id)
{
    for (uint32_t i = 0; i < version->n_kept; i++) {
        if (version->kept[i].id != id)
            continue;
        memmove(&version->kept[i], &version->kept[i + 1],
                (version->n_kept - i - 1) * sizeof *version->kept);
        version->n_kept--;
        return VARVE_OK;
    }
    return VARVE_EINVAL;
}

varve_status varve_version_put_replay(struct varve_version *version,
                                      const struct varve_replay_state *replay)
{
    struct varve_replay_state copy = *replay;

    copy.epochs = NULL;
    copy.origins = NULL;
    if (replay->n_epochs > 0) {
        copy.epochs = varve_alloc(version->heap, replay->n_epochs * sizeof *copy.epochs);
        if (copy.epochs == NULL)
            return VARVE_ENOMEM;
        memcpy(copy.epochs, replay->epochs, replay->n_epochs * sizeof *copy.epochs);
    }
    if (replay->n_origins > 0) {
        copy.origins = varve_alloc(version->heap, replay->n_origins * sizeof *copy.origins);
        if (copy.origins == NULL) {
            replay_free(&copy, version->heap);
            return VARVE_ENOMEM;
        }
        memcpy(copy.origins, replay->origins, replay->n_origins * sizeof *copy.origins);
    }
    replay_free(&version->replay, version->heap);
    version->replay = copy;
    return VARVE_OK;
}

bool varve_version_holds(const struct varve_version *version)
{
    for (uint32_t t = 0; t < version->n_tables; t++) {
        const struct varve_table_entry *table = version->tables[t];
        if (table->n_files > 0 && table->files[table->n_files - 1]->id >= version->next_file_id)
            return false;
    }
    for (uint32_t i = 0; i < version->n_segments; i++)
        if (version->segments[i].id >= version->next_file_id)
            return false;
    for (uint32_t i = 0; i < version->n_kept; i++)
        if (version->kept[i].id >= version->next_file_id)
            return false;
    return version->n_tables == 0 ||
           version->tables[version->n_tables - 1]->schema->table_id < version->next_table_id;
}
