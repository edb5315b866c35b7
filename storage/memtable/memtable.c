/*
 * memtable.c - life of a memtable, reservations, apply and publish.
 *
 * How apply chooses a row's form: a row whose key is above the partition's main run goes on with
 * it; a row that is not goes to the side chunks; both only while the partition's credit and the
 * memory beyond all promises allow a chunk (column_run.c). Otherwise the row becomes a record. So a
 * promise need only cover records, and apply cannot fail.
 *
 * A feed brings the partitions' rows mixed. They are taken a window at a time and grouped by
 * partition first, in order of arrival within each: what follows works on runs of rows.
 */
#include "storage/memtable/memtable_int.h"

#define WINDOW VARVE_CHUNK_ROWS_MAX /* rows that are grouped by partition together */
#define LOOK_UP 64u                 /* partitions that are looked up together */

/* --------------------------------------------------------------------------------------- Life */

static void memtable_free(struct varve_memtable *table)
{
    struct varve_heap *heap = table->heap;
    varve_key_orders_free(table);
    varve_partitions_free(table);
    varve_pile_cut(table, &table->commits, 0);
    varve_slabs_free(table);
    varve_memtable_give(table, table->layout.columns,
                        table->schema->n_columns * sizeof *table->layout.columns, 16);
    varve_schema_unref(table->schema);
    assert(atomic_load_explicit(&table->held, memory_order_relaxed) == sizeof *table); /* M3 */
    varve_free_aligned(heap, table, sizeof *table, 64);
}

varve_status varve_memtable_create(struct varve_heap *heap, const struct varve_schema *schema,
                                   struct varve_memtable **ret_table, varve_error *err)
{
    struct varve_memtable *table = varve_alloc_aligned(heap, sizeof *table, 64);
    if (table == NULL)
        return varve_error_nomem(err, "a memtable");
    *table = (struct varve_memtable){.heap = heap, .schema = varve_schema_ref(schema)};
    atomic_init(&table->refs, 1);
    atomic_init(&table->held, sizeof *table);
    table->partitions.item = (uint32_t)sizeof(struct varve_mem_partition);
    table->commits.item = (uint32_t)sizeof(struct varve_mem_commit);
    atomic_init(&table->first_lsn, UINT64_MAX);
    atomic_init(&table->first_time, INT64_MAX);
    atomic_init(&table->last_time, INT64_MIN);
    atomic_init(&table->min_wt, INT64_MAX);
    atomic_init(&table->max_wt, INT64_MIN);
    atomic_flag_clear(&table->order_busy);
    const varve_status rc = varve_layout_init(table, err);
    if (rc < 0) {
        memtable_free(table);
        return rc;
    }
    *ret_table = table;
    return VARVE_OK;
}

struct varve_memtable *varve_memtable_ref(struct varve_memtable *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void varve_memtable_unref(struct varve_memtable *table)
{
    if (table != NULL && atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) == 1)
        memtable_free(table);
}

void varve_memtable_freeze(struct varve_memtable *table)
{
    atomic_store_explicit(&table->frozen, true, memory_order_release);
}

/* ------------------------------------------------------------------------------- Reservations */

uint32_t varve_section_block(const struct varve_memtable *table,
                             const struct varve_section *section, uint32_t i)
{
    const uint64_t size = table->layout.record_max + varve_section_text(table, section, i);
    return size > VARVE_SLAB_NORMAL_MAX ? (uint32_t)size : 0;
}

uint64_t varve_section_bound(const struct varve_memtable *table,
                             const struct varve_section *section, uint32_t *ret_largest,
                             bool *ret_blocks)
{
    const struct varve_mem_layout *layout = &table->layout;
    const struct varve_rows *rows = section->rows;
    uint64_t bytes = (uint64_t)rows->n * layout->record_max;
    uint64_t text = 0;
    uint32_t largest = layout->record_max;

    for (uint32_t k = 0; k < section->n_keys; k++) {
        const uint32_t size = (uint32_t)section->keys[k].size;
        bytes += size > VARVE_KEY_INLINE ? size : 0;
        largest = size > largest ? size : largest;
    }
    for (uint32_t c = layout->first; rows->n > 0 && c < section->schema->n_columns; c++)
        if (layout->columns[c].phys == VARVE_PHYS_BYTES && rows->columns[c].offsets != NULL)
            text += rows->columns[c].offsets[rows->n] - rows->columns[c].offsets[0];
    *ret_blocks = layout->record_max + text > VARVE_SLAB_NORMAL_MAX;
    if (*ret_blocks) { /* some row may need a block: its text is not the slabs' concern */
        text = 0;
        for (uint32_t i = 0; i < rows->n; i++) {
            const uint64_t row = varve_section_text(table, section, i);
            if (layout->record_max + row <= VARVE_SLAB_NORMAL_MAX)
                text += row;
        }
        largest = VARVE_SLAB_NORMAL_MAX;
    } else if (largest < layout->record_max + text) {
        largest = layout->record_max + (uint32_t)text;
    }
    *ret_largest = largest;
    return bytes + text;
}

static uint32_t drop_blocks(struct varve_memtable *table, const struct varve_section *section,
                            uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t block = varve_section_block(table, section, i);
        if (block != 0)
            varve_slabs_drop_block(table, block);
    }
    return n;
}

varve_status varve_memtable_reserve(struct varve_memtable *table,
                                    const struct varve_section *section, varve_error *err)
{
    const struct varve_slab_mark mark = varve_slabs_mark(&table->slabs);
    const uint32_t partition_blocks = table->partitions.n_blocks;
    const uint32_t commit_blocks = table->commits.n_blocks;
    const uint64_t keys = table->n_partitions + table->reserved_keys + section->n_keys;
    const uint64_t commits = table->n_commits + table->reserved_commits + 1;
    uint32_t largest;
    uint32_t blocks = 0; /* rows whose blocks have been set aside */
    bool has_blocks;

    assert(!atomic_load_explicit(&table->frozen, memory_order_relaxed));
    assert(section->schema->n_columns <= table->schema->n_columns);
    const uint64_t bytes = varve_section_bound(table, section, &largest, &has_blocks);
    varve_status rc = varve_slabs_reserve(table, bytes, largest, err);
    for (; has_blocks && rc == VARVE_OK && blocks < section->rows->n; blocks++) {
        const uint32_t block = varve_section_block(table, section, blocks);
        rc = block == 0 ? VARVE_OK : varve_slabs_reserve_block(table, block, err);
        if (rc < 0)
            break; /* this row has none */
    }
    if (rc == VARVE_OK)
        rc = varve_pile_ensure(table, &table->commits, commits, err);
    if (rc == VARVE_OK)
        rc = varve_pile_ensure(table, &table->partitions, keys, err);
    if (rc == VARVE_OK)
        rc = varve_partitions_ensure_index(table, keys, err); /* last: it undoes itself */
    if (rc < 0)
        goto fail;
    table->reserved_keys += section->n_keys;
    table->reserved_commits++;
    return VARVE_OK;

fail:
    drop_blocks(table, section, blocks);
    varve_slabs_go_back(table, &mark);
    varve_pile_cut(table, &table->commits, commit_blocks);
    varve_pile_cut(table, &table->partitions, partition_blocks);
    return rc;
}

void varve_memtable_unreserve(struct varve_memtable *table, const struct varve_section *section)
{
    uint32_t largest;
    bool has_blocks;
    const uint64_t bytes = varve_section_bound(table, section, &largest, &has_blocks);

    assert(table->slabs.reserved >= bytes && table->reserved_keys >= section->n_keys);
    assert(table->reserved_commits > 0);
    if (has_blocks)
        drop_blocks(table, section, section->rows->n);
    table->slabs.reserved -= bytes;
    table->reserved_keys -= section->n_keys;
    table->reserved_commits--;
    varve_slabs_trim(table);
    const uint64_t keys = table->n_partitions + table->reserved_keys;
    varve_partitions_cut_index(table, keys);
    varve_pile_cut(table, &table->partitions, varve_pile_blocks(keys));
    varve_pile_cut(table, &table->commits,
                   varve_pile_blocks(table->n_commits + table->reserved_commits));
}

/* ---------------------------------------------------------------------------------- Comparing */

struct suffix { /* hidden, of a row in a 'keep' table */
    int64_t hlc;
    uint32_t writer;
    uint32_t position;
};

static struct suffix suffix_of(const struct varve_memtable *table, const struct varve_mem_row *row)
{
    const struct varve_mem_commit *commit = varve_mem_commit_at(table, row->ordinal);
    uint32_t position = row->i;
    if (row->record != NULL)
        position = varve_record_parse(table, row->record).position;
    else if (row->chunk != NULL)
        position = varve_chunk_positions(table, row->chunk)[row->i];
    return (struct suffix){commit->hlc, commit->writer, position};
}

static varve_value cell_of(const struct varve_memtable *table, const struct varve_mem_row *row,
                           uint32_t column)
{
    if (row->section != NULL)
        return varve_rows_value(row->section->rows, row->i, column);
    if (row->chunk != NULL)
        return varve_chunk_value(table, row->chunk, column, row->i);
    const struct varve_mem_record record = varve_record_parse(table, row->record);
    return varve_record_value(table, &record, column);
}

static int compare_declared(const struct varve_memtable *table, const struct varve_mem_row *a,
                            const struct varve_mem_row *b)
{
    const struct varve_schema *schema = table->schema;
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const varve_value va = cell_of(table, a, c);
        const varve_value vb = cell_of(table, b, c);
        const int order = varve_cell_compare(schema->columns[c].type, &va, &vb);
        if (order != 0)
            return varve_schema_is_reversed(schema, c) ? -order : order;
    }
    return 0;
}

int varve_mem_row_compare(const struct varve_memtable *table, int64_t time_a,
                          const struct varve_mem_row *a, int64_t time_b,
                          const struct varve_mem_row *b)
{
    if (time_a != time_b)
        return time_a < time_b ? -1 : 1;
    const int order = compare_declared(table, a, b);
    if (order != 0 || !table->layout.is_keep)
        return order;
    const struct suffix sa = suffix_of(table, a);
    const struct suffix sb = suffix_of(table, b);
    if (sa.hlc != sb.hlc)
        return sa.hlc < sb.hlc ? -1 : 1;
    if (sa.writer != sb.writer)
        return sa.writer < sb.writer ? -1 : 1;
    return (sa.position > sb.position) - (sa.position < sb.position);
}

/* -------------------------------------------------------------------------------------- Apply */

struct apply { /* one call */
    struct varve_memtable *table;
    const struct varve_section *section;
    const struct varve_apply *what;
    uint32_t ordinal;
    bool has_blocks;
    uint64_t promised; /* what is left of the section's reservation */
    int64_t min_wt, max_wt;
};

static struct varve_mem_row row_of(const struct apply *a, uint32_t i)
{
    return (struct varve_mem_row){.section = a->section, .i = i, .ordinal = a->ordinal};
}

/* Whether section row `i` comes strictly behind the main run's last row. */
static bool is_behind(const struct apply *a, const struct varve_chunk *last, uint32_t i)
{
    if (last == NULL)
        return true;
    const uint32_t k = atomic_load_explicit(&last->count, memory_order_relaxed) - 1;
    const int64_t time = a->section->rows->time[i];
    const int64_t end = varve_chunk_times(last)[k];
    if (time != end)
        return time > end;
    const struct varve_mem_row x = row_of(a, i);
    const struct varve_mem_row y = {
        .chunk = last, .i = k, .ordinal = varve_chunk_ordinals(a->table, last)[k]};
    return varve_mem_row_compare(a->table, time, &x, end, &y) > 0;
}

static bool ascends(const struct apply *a, uint32_t i, uint32_t j)
{
    const int64_t *time = a->section->rows->time;
    if (time[i] != time[j])
        return time[i] < time[j];
    const struct varve_mem_row x = row_of(a, i);
    const struct varve_mem_row y = row_of(a, j);
    return varve_mem_row_compare(a->table, time[i], &x, time[j], &y) < 0;
}

/* How many of the rows, from the first on, can be appended to the main run (or to side chunks)
 * together: none may be too large for a slab. */
static uint32_t run_length(const struct apply *a, const struct varve_chunk *last,
                           const uint32_t *rows, uint32_t n, bool side)
{
    uint32_t k = 1;

    while (k < n && (!a->has_blocks || varve_section_block(a->table, a->section, rows[k]) == 0) &&
           (side ? !is_behind(a, last, rows[k]) : ascends(a, rows[k - 1], rows[k])))
        k++;
    return k;
}

static void spend(struct apply *a, const uint32_t *rows, uint32_t n, bool block)
{
    uint64_t bytes = (uint64_t)n * a->table->layout.record_max;
    for (uint32_t r = 0; a->table->layout.n_text > 0 && !block && r < n; r++)
        bytes += varve_section_text(a->table, a->section, rows[r]);
    assert(a->promised >= bytes);
    a->promised -= bytes;
    a->table->slabs.reserved -= bytes;
}

static void widen(_Atomic(int64_t) *first, _Atomic(int64_t) *last, int64_t low, int64_t high)
{
    if (low < atomic_load_explicit(first, memory_order_relaxed))
        atomic_store_explicit(first, low, memory_order_relaxed);
    if (high > atomic_load_explicit(last, memory_order_relaxed))
        atomic_store_explicit(last, high, memory_order_relaxed);
}

/* Account for rows that are now in the partition: bounds only ever widen, so that a reader of an
 * older state sees bounds that hold for it too. */
static void note(struct apply *a, struct varve_mem_partition *partition, const uint32_t *picked,
                 uint32_t n)
{
    struct varve_memtable *table = a->table;
    const struct varve_rows *rows = a->section->rows;
    int64_t low = INT64_MAX;
    int64_t high = INT64_MIN;

    for (uint32_t k = 0; k < n; k++) {
        const int64_t time = rows->time[picked[k]];
        low = time < low ? time : low;
        high = time > high ? time : high;
    }
    widen(&partition->first_time, &partition->last_time, low, high);
    widen(&table->first_time, &table->last_time, low, high);
    for (uint32_t k = 0; k < n && (rows->wt != NULL || k == 0); k++) {
        int64_t wt = varve_rows_wt(rows, picked[k]);
        wt = wt == VARVE_WT_COMMIT ? a->what->hlc : wt;
        a->min_wt = wt < a->min_wt ? wt : a->min_wt;
        a->max_wt = wt > a->max_wt ? wt : a->max_wt;
    }
    for (uint32_t k = 0; rows->exp != NULL && k < n; k++) {
        const uint32_t exp = rows->exp[picked[k]];
        const uint32_t least = atomic_load_explicit(&table->min_expiry, memory_order_relaxed);
        if (exp != 0 && (least == 0 || exp < least))
            atomic_store_explicit(&table->min_expiry, exp, memory_order_relaxed);
    }
    atomic_store_explicit(&partition->rows,
                          atomic_load_explicit(&partition->rows, memory_order_relaxed) + n,
                          memory_order_relaxed);
    atomic_store_explicit(&table->rows,
                          atomic_load_explicit(&table->rows, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Put the first of the partition's rows and as many of the others as go the same way. Returns how
 * many. */
static uint32_t place(struct apply *a, struct varve_mem_partition *partition, const uint32_t *rows,
                      uint32_t left)
{
    struct varve_memtable *table = a->table;
    const uint32_t block = a->has_blocks ? varve_section_block(table, a->section, rows[0]) : 0;
    uint32_t n = 0;

    if (block == 0) {
        const struct varve_chunk *last =
            varve_chunk_at(table, atomic_load_explicit(&partition->main, memory_order_relaxed));
        const bool side = !is_behind(a, last, rows[0]);
        const uint32_t length = run_length(a, last, rows, left, side);
        n = varve_run_append(table, partition, a->section, rows, length, a->ordinal, side);
    }
    if (n == 0) {
        varve_chain_append(table, partition, a->section, rows[0], block);
        n = 1;
    }
    spend(a, rows, n, block != 0);
    note(a, partition, rows, n);
    return n;
}

/* ------------------------------------------------------------------------------------ Grouping */

/* The rows of a window by partition, in order of arrival within each. */
struct row_groups {
    uint32_t n; /* groups; at least one row each */
    uint32_t n_rows;
    uint32_t key[WINDOW];       /* of a group, in the section */
    uint32_t end[WINDOW];       /* of a group, in rows[] */
    uint32_t rows[WINDOW];      /* of the section */
    uint16_t group[WINDOW];     /* of a row, in order of arrival */
    uint16_t slots[2 * WINDOW]; /* group + 1 by key; 0: empty */
};

static uint32_t group_of(struct row_groups *groups, uint32_t key, uint32_t mask)
{
    uint32_t at = key & mask;

    while (groups->slots[at] != 0 && groups->key[groups->slots[at] - 1u] != key)
        at = (at + 1) & mask;
    if (groups->slots[at] == 0) {
        groups->key[groups->n] = key;
        groups->end[groups->n] = 0;
        groups->slots[at] = (uint16_t)++groups->n;
    }
    return groups->slots[at] - 1u;
}

static void drop_row(struct apply *a, uint32_t i)
{
    const uint32_t block = a->has_blocks ? varve_section_block(a->table, a->section, i) : 0;
    if (block != 0)
        varve_slabs_drop_block(a->table, block);
}

/* Group rows [first, first + n). Those below the floor are dropped: returns how many. */
static uint32_t group_rows(struct apply *a, struct row_groups *groups, uint32_t first, uint32_t n)
{
    const struct varve_section *section = a->section;
    const uint32_t mask = n < 2 ? 3 : (4u << varve_log2(n - 1)) - 1; /* at most half full */
    uint32_t arrived[WINDOW];

    assert(n <= WINDOW && mask >= n && mask < 2 * WINDOW);
    groups->n = 0;
    groups->n_rows = 0;
    memset(groups->slots, 0, (mask + 1) * sizeof groups->slots[0]);
    for (uint32_t i = first; i < first + n; i++) {
        if (section->rows->time[i] < a->what->floor) {
            drop_row(a, i);
            continue;
        }
        const uint32_t g = group_of(groups, section->part == NULL ? 0 : section->part[i], mask);
        groups->end[g]++;
        groups->group[groups->n_rows] = (uint16_t)g;
        arrived[groups->n_rows++] = i;
    }
    for (uint32_t g = 0, at = 0; g < groups->n; g++) { /* counts become starts */
        const uint32_t count = groups->end[g];
        groups->end[g] = at;
        at += count;
    }
    for (uint32_t r = 0; r < groups->n_rows; r++) /* and starts become ends */
        groups->rows[groups->end[groups->group[r]]++] = arrived[r];
    return n - groups->n_rows;
}

/* -------------------------------------------------------------------------- Partitions and rows */

static uint32_t partition_of(struct apply *a, uint32_t key)
{
    const struct varve_section *section = a->section;
    const uint64_t hash = section->key_hashes[key];
    const uint32_t number = varve_partitions_find(a->table, section->keys[key], hash);
    return number != UINT32_MAX ? number : varve_partitions_add(a->table, section->keys[key], hash);
}

/* Look up the partitions of `n` keys in three passes, so that their cache misses overlap. */
static void look_up(struct apply *a, const uint32_t *keys, uint32_t n,
                    struct varve_mem_partition **out)
{
    const uint64_t *hashes = a->section->key_hashes;

    for (uint32_t k = 0; k < n; k++)
        varve_partitions_prefetch(a->table, hashes[keys[k]]);
    for (uint32_t k = 0; k < n; k++)
        varve_partitions_prefetch_head(a->table, hashes[keys[k]]);
    for (uint32_t k = 0; k < n; k++) {
        out[k] = varve_mem_partition_at(a->table, partition_of(a, keys[k]));
        varve_run_prefetch(a->table, out[k]);
    }
}

/* Apply rows [first, first + n) of the section. Returns how many were below the floor. */
static uint32_t apply_window(struct apply *a, uint32_t first, uint32_t n)
{
    struct varve_mem_partition *partitions[LOOK_UP];
    struct row_groups groups;
    const uint32_t dropped = group_rows(a, &groups, first, n);
    uint32_t at = 0;

    for (uint32_t g = 0; g < groups.n; g++) {
        if (g % LOOK_UP == 0)
            look_up(a, groups.key + g, groups.n - g < LOOK_UP ? groups.n - g : LOOK_UP, partitions);
        while (at < groups.end[g])
            at += place(a, partitions[g % LOOK_UP], groups.rows + at, groups.end[g] - at);
    }
    return dropped;
}

uint64_t varve_memtable_apply(struct varve_memtable *table, const struct varve_section *section,
                              const struct varve_apply *apply)
{
    struct varve_slab_space *slabs = &table->slabs;
    struct apply a = {.table = table,
                      .section = section,
                      .what = apply,
                      .ordinal = table->n_commits,
                      .min_wt = INT64_MAX,
                      .max_wt = INT64_MIN};
    uint32_t largest;

    assert(!atomic_load_explicit(&table->frozen, memory_order_relaxed));
    a.promised = varve_section_bound(table, section, &largest, &a.has_blocks);
    assert(slabs->reserved >= a.promised && slabs->largest >= largest);
    assert(table->reserved_keys >= section->n_keys && table->reserved_commits > 0);

    struct varve_mem_commit *commit = varve_pile_at(&table->commits, table->n_commits++);
    *commit = (struct varve_mem_commit){.hlc = apply->hlc, .writer = apply->writer};
    commit->position =
        slabs->opened == 0 ? 0 : ((slabs->opened - 1) << VARVE_SLAB_BITS) + slabs->used;

    uint64_t dropped = 0;
    for (uint32_t i = 0; i < section->rows->n; i += WINDOW) {
        const uint32_t left = section->rows->n - i;
        dropped += apply_window(&a, i, left < WINDOW ? left : WINDOW);
    }

    slabs->reserved -= a.promised; /* keys, rows dropped, and what the bound was too high */
    table->reserved_keys -= section->n_keys;
    table->reserved_commits--;
    widen(&table->min_wt, &table->max_wt, a.min_wt, a.max_wt);
    if (apply->lsn < atomic_load_explicit(&table->first_lsn, memory_order_relaxed))
        atomic_store_explicit(&table->first_lsn, apply->lsn, memory_order_relaxed);
    atomic_store_explicit(&table->end_lsn, apply->lsn_end, memory_order_relaxed);
    return dropped;
}

void varve_memtable_publish(struct varve_memtable *table)
{
    const struct varve_slab_space *slabs = &table->slabs;
    const uint64_t position =
        slabs->opened == 0 ? 0 : ((uint64_t)(slabs->opened - 1) << VARVE_SLAB_BITS) + slabs->used;
    atomic_store_explicit(&table->published_partitions, table->n_partitions, memory_order_release);
    atomic_store_explicit(&table->published_position, position, memory_order_release);
    atomic_store_explicit(&table->published_ordinal, table->n_commits, memory_order_release);
}

struct varve_memtable_view varve_memtable_view_of(struct varve_memtable *table)
{
    struct varve_memtable_view view = {.table = table};
    view.ordinal = atomic_load_explicit(&table->published_ordinal, memory_order_acquire);
    view.position = atomic_load_explicit(&table->published_position, memory_order_acquire);
    view.partitions = atomic_load_explicit(&table->published_partitions, memory_order_acquire);
    return view;
}

/* ------------------------------------------------------------------------------------ Looking */

static bool has_in_chunk(const struct varve_memtable *table, const struct varve_chunk *chunk,
                         int64_t time, const struct varve_mem_row *key, bool sorted)
{
    const int64_t *times = varve_chunk_times(chunk);
    const uint32_t n = atomic_load_explicit(&chunk->count, memory_order_acquire);
    uint32_t low = 0;
    uint32_t high = sorted ? n : 0;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (times[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint32_t i = low; i < n && (!sorted || times[i] == time); i++) {
        const struct varve_mem_row row = {.chunk = chunk, .i = i};
        if (times[i] == time && compare_declared(table, &row, key) == 0)
            return true;
    }
    return false;
}

bool varve_memtable_has_key(const struct varve_memtable *table, const struct varve_section *section,
                            uint32_t i)
{
    const uint32_t k = section->part == NULL ? 0 : section->part[i];
    const int64_t time = section->rows->time[i];
    const struct varve_mem_row key = {.section = section, .i = i};
    const uint32_t number = varve_partitions_find(table, section->keys[k], section->key_hashes[k]);

    if (number == UINT32_MAX)
        return false;
    const struct varve_mem_partition *p = varve_mem_partition_at(table, number);
    if (time > atomic_load_explicit(&p->last_time, memory_order_relaxed) ||
        time < atomic_load_explicit(&p->first_time, memory_order_relaxed))
        return false;
    const uint32_t main = atomic_load_explicit(&p->main, memory_order_acquire);
    const struct varve_chunk *chunk = varve_run_find(table, main, time, UINT64_MAX);
    for (; chunk != NULL; chunk = varve_chunk_at(table, chunk->prev)) {
        if (atomic_load_explicit(&chunk->last_time, memory_order_relaxed) < time)
            break;
        if (has_in_chunk(table, chunk, time, &key, true))
            return true;
    }
    chunk = varve_chunk_at(table, atomic_load_explicit(&p->side, memory_order_acquire));
    for (; chunk != NULL; chunk = varve_chunk_at(table, chunk->prev)) {
        if (atomic_load_explicit(&chunk->first_time, memory_order_relaxed) <= time &&
            atomic_load_explicit(&chunk->last_time, memory_order_relaxed) >= time &&
            has_in_chunk(table, chunk, time, &key, false))
            return true;
    }
    uint32_t at = atomic_load_explicit(&p->chain, memory_order_acquire);
    while (at != 0) {
        const uint8_t *record = varve_slab_at(&table->slabs, at);
        const struct varve_mem_row row = {.record = record};
        if (varve_record_time(table, record) == time && compare_declared(table, &row, &key) == 0)
            return true;
        at = varve_record_link(record);
    }
    return false;
}

size_t varve_memtable_bytes(const struct varve_memtable *table)
{
    return atomic_load_explicit(&table->held, memory_order_relaxed);
}

uint64_t varve_memtable_rows(const struct varve_memtable *table)
{
    return atomic_load_explicit(&table->rows, memory_order_relaxed);
}

uint64_t varve_memtable_partitions(const struct varve_memtable *table)
{
    return atomic_load_explicit(&table->published_partitions, memory_order_relaxed);
}

uint64_t varve_memtable_first_lsn(const struct varve_memtable *table)
{
    return atomic_load_explicit(&table->first_lsn, memory_order_relaxed);
}

uint64_t varve_memtable_end_lsn(const struct varve_memtable *table)
{
    return atomic_load_explicit(&table->end_lsn, memory_order_relaxed);
}

void varve_memtable_time_range(const struct varve_memtable *table, int64_t *ret_first,
                               int64_t *ret_last)
{
    *ret_first = atomic_load_explicit(&table->first_time, memory_order_relaxed);
    *ret_last = atomic_load_explicit(&table->last_time, memory_order_relaxed);
}
