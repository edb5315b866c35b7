/*
 * sst_source.c - a file as a source of rows (storage/rows/source.h, sst_reader.h).
 *
 * Where a partition lies says the directory (rows from, how many), which row groups those are the
 * group directory, which runs of a group its index. A piece is a run: a whole vector, or a
 * partition's part of a shared one. Nothing of a vector is read before load() asks for it.
 *
 * Reading. The first vectors of a walk come one by one through the cache. A walk that goes on from
 *          vector to vector doubles how many it reads at once, past the cache, up to what is left
 *          of the row group; so a long scan costs one read a column and group, and flushes nothing
 *          out of the cache. What is read next of all columns is announced to the disk first, so that
 *          it arrives together (docs/decisions/0008).
 * Slots.   A stream's slot holds its current block (pinned in the cache, or in its window of bytes
 *          read ahead) and what was decoded last.
 */
#include <assert.h>
#include <string.h>

#include "index/zone_map.h"
#include "storage/base/arena.h"
#include "storage/sst/exception_list.h"
#include "storage/sst/scratch_memory.h"
#include "storage/sst/sst_int.h"
#include "storage/sst/text_dictionary.h"

#define TEXT_LEAST 64u /* of memory, so that there is some for no text */
#define WINDOW_BYTES (4u << 20)
#define NOWHERE UINT32_MAX
#define RESTART_ROWS 128u /* what a block decodes rows from begins at such a row */

#define ARENA_BLOCK 24576u /* a source of some ten columns, and a slice of them */

struct slot {
    struct varve_cache_entry *entry; /* of the current block, or NULL */
    struct varve_block block;        /* opened, unless `absent` */
    struct varve_span bytes;
    uint32_t group; /* which the block belongs to; NOWHERE: none */
    uint32_t vector;
    bool absent;           /* the stream leaves this vector out */
    uint32_t window_group; /* read ahead: vectors [window_first, window_end) */
    uint32_t window_first;
    uint32_t window_end;
    uint64_t window_offset;
    size_t window_size;
    struct varve_scratch window;
    struct varve_cache_entry *dictionary;
    uint32_t dictionary_id;
    uint32_t decoded_group; /* what the buffers hold; NOWHERE: nothing */
    uint32_t decoded_vector;
    uint32_t decoded_row;
    uint32_t decoded_n;
    struct varve_scratch values;
    struct varve_scratch offsets;
    struct varve_scratch scales;
    struct varve_scratch live;
    struct varve_scratch deleted;
    struct varve_buffer text;
    struct varve_scratch zones; /* struct varve_zone of every vector of zones_group */
    uint32_t zones_group;
    bool has_zones;
};

struct sst_source {
    struct varve_source base;
    struct varve_sst *sst;
    struct varve_heap *heap;
    struct varve_arena arena; /* the source itself, slots, small scratch memory */
    bool reverse;             /* of the last seek */
    uint64_t next;            /* ordinal of the next partition; in reverse, plus one */
    uint64_t last_opened;     /* ordinal of the partition opened before */
    bool walking;             /* partitions are opened one after the other */

    /* The partition that is open. */
    uint64_t ordinal;
    uint64_t first_row;
    uint64_t rows;
    int64_t first;
    int64_t last;
    bool open_reverse;
    uint32_t group; /* current; groups still to come: [group_low, group_high) */
    uint32_t group_low;
    uint32_t group_high;
    uint32_t run_low; /* pieces still to come of the current group */
    uint32_t run_high;
    uint32_t run_begin; /* runs of the partition in the group that are in range */
    uint32_t run_end;
    struct varve_cache_entry *index_entry; /* pins `index` */
    const struct varve_group_index *index;
    uint32_t index_group;

    /* The current piece. */
    uint32_t run;
    uint32_t vector;
    uint32_t walked_group; /* where the last block was asked for, to see a walk */
    uint32_t walked_vector;
    uint32_t ahead;          /* vectors to read at once */
    uint32_t expected_group; /* the vector that has been announced, its windows if it is in any */
    uint32_t expected_vector;
    const struct varve_column_set *wanted; /* of the call at work; NULL: all */

    struct slot *slots; /* VARVE_STREAM_TIME .. ORDINAL, then one a column */
    uint32_t n_slots;
    struct varve_scratch exceptions;
    struct varve_scratch numbers; /* int64_t */
    struct varve_scratch vector_rows;

    /* Not zeroed at birth. */
    struct varve_directory_cursor cursor;
    uint8_t key[VARVE_KEY_BYTES_MAX + 1];
};

#define FIXED_SLOTS (VARVE_STREAM_ORDINAL + 1u)

static varve_status no_memory(varve_error *err)
{
    return varve_error_nomem(err, "reading a file");
}

static bool grow(struct sst_source *s, struct varve_scratch *scratch, size_t size)
{
    return varve_scratch_grow(scratch, &s->arena, size);
}

/* ---------------------------------------------------------------------------------- Partitions */

static struct sst_source *source_of(struct varve_source *source)
{
    return (struct sst_source *)(void *)source;
}

static varve_status blame(const struct sst_source *s, varve_status rc, varve_error *err)
{
    return varve_sst_blame(s->sst, s->sst->directory.root.offset, rc, err);
}

/* The cursor decodes keys into memory of its own, which may be where `key` came from. */
static struct varve_span own_key(struct sst_source *s, struct varve_span key)
{
    const size_t n = key.size < sizeof s->key ? key.size : sizeof s->key;

    if (n > 0)
        memmove(s->key, key.data, n);
    return (struct varve_span){s->key, n};
}

static void show_partition(const struct varve_directory_entry *entry,
                           struct varve_partition *ret_partition)
{
    *ret_partition = (struct varve_partition){
        .key = entry->key,
        .rows = entry->rows,
        .first_time = entry->first_time,
        .last_time = entry->last_time,
        .handle = {entry->first_row, entry->rows, entry->ordinal},
    };
}

static varve_status source_seek(struct varve_source *source, struct varve_span key, bool reverse,
                                varve_error *err)
{
    struct sst_source *s = source_of(source);
    const uint64_t partitions = s->sst->directory.partitions;
    struct varve_directory_entry entry;

    s->reverse = reverse;
    if (key.size == 0) {
        s->next = reverse ? partitions : 0;
        return VARVE_OK;
    }
    const varve_status rc = varve_directory_seek(&s->cursor, own_key(s, key), &entry, err);
    if (rc < 0)
        return blame(s, rc, err);
    s->next = rc == VARVE_END ? partitions : entry.ordinal;
    return VARVE_OK;
}

static varve_status source_next(struct varve_source *source, struct varve_partition *ret_partition,
                                varve_error *err)
{
    struct sst_source *s = source_of(source);
    struct varve_directory_entry entry;

    if (s->next == (s->reverse ? 0 : s->sst->directory.partitions))
        return VARVE_END;
    const varve_status rc =
        varve_directory_at(&s->cursor, s->reverse ? s->next - 1 : s->next, &entry, err);
    if (rc != VARVE_OK)
        return blame(s, rc, err);
    s->next = s->reverse ? s->next - 1 : s->next + 1;
    show_partition(&entry, ret_partition);
    return VARVE_OK;
}

static varve_status source_find(struct varve_source *source, struct varve_span key,
                                struct varve_partition *ret_partition, varve_error *err)
{
    struct sst_source *s = source_of(source);
    struct varve_directory_entry entry;
    const int may = varve_sst_may_hold(s->sst, key, err);

    if (may <= 0)
        return may == 0 ? VARVE_END : may;
    const struct varve_span own = own_key(s, key);
    const varve_status rc = varve_directory_seek(&s->cursor, own, &entry, err);
    if (rc != VARVE_OK)
        return blame(s, rc, err);
    if (varve_span_compare(entry.key, own) != 0)
        return VARVE_END;
    show_partition(&entry, ret_partition);
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Pieces */

/* Of the groups that hold the partition, leave out those at either end that are out of time. Those
 * in the middle hold nothing else, so that their times ascend. */
static void prune_groups(struct sst_source *s)
{
    const struct varve_sst_group *groups = s->sst->groups;
    const uint32_t middle_low = s->group_low + 1;
    const uint32_t middle_high = s->group_high - 1;
    uint32_t low = middle_low;
    uint32_t high = middle_high;

    if (s->group_high - s->group_low < 3)
        return;
    while (low < high) { /* the first whose last time is not before the range */
        const uint32_t middle = low + (high - low) / 2;

        if (groups[middle].last_time < s->first)
            low = middle + 1;
        else
            high = middle;
    }
    const uint32_t begin = low > middle_low ? low : s->group_low;
    high = middle_high;
    while (low < high) { /* the first whose first time is behind the range */
        const uint32_t middle = low + (high - low) / 2;

        if (groups[middle].first_time <= s->last)
            low = middle + 1;
        else
            high = middle;
    }
    const uint32_t end = low < middle_high ? low : s->group_high;
    for (uint32_t g = s->group_low; g < s->group_high; g++)
        if (g < begin || g >= end)
            s->base.vectors_pruned += groups[g].vectors;
    s->group_low = begin;
    s->group_high = end;
}

static varve_status source_open(struct varve_source *source,
                                const struct varve_partition *partition, int64_t first,
                                int64_t last, bool reverse, uint32_t *ret_streams, varve_error *err)
{
    struct sst_source *s = source_of(source);
    const struct varve_sst *sst = s->sst;
    const uint64_t total = sst->properties.rows;

    s->first_row = partition->handle[0];
    s->rows = partition->handle[1];
    s->ordinal = partition->handle[2];
    if (s->first_row > total || s->rows > total - s->first_row || s->rows == 0)
        return blame(s,
                     varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                     "a partition lies outside the file"),
                     err);
    s->walking = s->ordinal == s->last_opened + 1 || s->ordinal + 1 == s->last_opened;
    s->last_opened = s->ordinal;
    s->first = first;
    s->last = last;
    s->open_reverse = reverse;
    s->run_low = s->run_high = 0;
    s->run = NOWHERE;
    *ret_streams = 0;
    s->group_low = s->group_high = 0;
    if (partition->first_time > last || partition->last_time < first)
        return VARVE_OK;
    s->group_low = varve_sst_group_of_row(sst, s->first_row);
    s->group_high = varve_sst_group_of_row(sst, s->first_row + s->rows - 1) + 1;
    prune_groups(s);
    *ret_streams = 1;
    return VARVE_OK;
}

static void index_drop(struct sst_source *s)
{
    varve_cache_release(s->sst->cache, s->index_entry);
    s->index_entry = NULL;
    s->index = NULL;
    s->index_group = NOWHERE;
}

/* Make `group` current, and find the runs that the open partition has in it. */
static varve_status enter_group(struct sst_source *s, uint32_t group, varve_error *err)
{
    const struct varve_sst_group *g = &s->sst->groups[group];
    varve_status rc = VARVE_OK;

    if (s->index_group != group) {
        index_drop(s);
        rc = varve_sst_fetch_group(s->sst, group, &s->index_entry, &s->index, err);
        if (rc < 0)
            return rc;
        s->index_group = group;
    }
    const struct varve_group_run *runs = s->index->runs;
    const uint64_t end = s->first_row + s->rows;
    const uint32_t low = s->first_row <= g->first_row ? 0 : (uint32_t)(s->first_row - g->first_row);
    const uint32_t high = end - g->first_row < g->rows ? (uint32_t)(end - g->first_row) : g->rows;
    const uint32_t a = varve_group_run_of_row(s->index, low);
    const uint32_t b = varve_group_run_of_row(s->index, high - 1) + 1;

    if (runs[a].first_row != low || runs[b - 1].first_row + runs[b - 1].rows != high ||
        runs[a].partition != runs[b - 1].partition ||
        runs[a].partition != s->ordinal - g->first_partition)
        return varve_error_set(err, VARVE_ECORRUPT, s->sst->name, g->index_offset,
                               "a row group contradicts the partition directory");
    s->group = group;
    s->run_low = s->run_begin = varve_group_run_from(s->index, a, b, s->first);
    s->run_high = s->run_end = varve_group_run_after(s->index, s->run_low, b, s->last);
    s->base.vectors_pruned += b - a - (s->run_high - s->run_low);
    return VARVE_OK;
}

static void show_piece(const struct sst_source *s, struct varve_piece *ret_piece)
{
    const struct varve_group_run *run = &s->index->runs[s->run];
    const struct varve_group_vector *vector = &s->index->vectors[run->vector];
    uint32_t flags = VARVE_PIECE_UNIQUE;

    if ((vector->flags & VARVE_VECTOR_HAS_UNMARKED) == 0)
        flags |= VARVE_PIECE_PLAIN;
    if (vector->runs == 1 && s->index->zones.size != 0)
        flags |= VARVE_PIECE_ZONED;
    if ((vector->flags & VARVE_VECTOR_HAS_EXPIRY) != 0)
        flags |= VARVE_PIECE_EXPIRY;
    *ret_piece = (struct varve_piece){.rows = run->rows,
                                      .flags = flags,
                                      .first_time = run->first_time,
                                      .last_time = run->last_time,
                                      .min_wt = vector->min_wt,
                                      .max_wt = vector->max_wt,
                                      .min_expiry = vector->min_expiry,
                                      .handle = {s->group, run->vector, s->run}};
}

static varve_status source_piece(struct varve_source *source, uint32_t stream,
                                 struct varve_piece *ret_piece, varve_error *err)
{
    struct sst_source *s = source_of(source);

    assert(stream == 0);
    while (s->run_low == s->run_high) {
        if (s->group_low == s->group_high)
            return VARVE_END;
        const uint32_t group = s->open_reverse ? s->group_high - 1 : s->group_low;
        const varve_status rc = enter_group(s, group, err);
        if (rc < 0)
            return rc;
        if (s->open_reverse)
            s->group_high--;
        else
            s->group_low++;
    }
    s->run = s->open_reverse ? --s->run_high : s->run_low++;
    s->vector = s->index->runs[s->run].vector;
    show_piece(s, ret_piece);
    return VARVE_OK;
}

/* -------------------------------------------------------------------------------------- Blocks */

static uint8_t lane_of(const struct sst_source *s, uint32_t slot)
{
    switch (slot) {
    case VARVE_STREAM_TIME:
    case VARVE_STREAM_WT:
        return VARVE_LANE_I64;
    case VARVE_STREAM_EXP:
    case VARVE_STREAM_WRITER:
    case VARVE_STREAM_ORDINAL:
        return VARVE_LANE_I32;
    case VARVE_STREAM_MARKER:
        return VARVE_LANE_I8;
    default:
        return s->sst->schema->phys[slot - FIXED_SLOTS];
    }
}

static void slot_drop(struct sst_source *s, struct slot *slot)
{
    varve_cache_release(s->sst->cache, slot->entry);
    slot->entry = NULL;
    slot->group = NOWHERE;
}

/* How far the walk goes from here: update s->ahead for the current vector. */
static void watch_walk(struct sst_source *s)
{
    const uint32_t before = s->walked_vector;

    if (s->walked_group == s->group && before == s->vector)
        return;
    const bool steps = s->walked_group == s->group
                           ? s->vector == before + 1 || s->vector + 1 == before
                           : s->walked_group != NOWHERE && (s->group == s->walked_group + 1 ||
                                                            s->group + 1 == s->walked_group);
    s->ahead = steps ? (s->ahead < VARVE_SST_ROWS_MAX ? 2 * s->ahead : s->ahead) : 1;
    s->walked_group = s->group;
    s->walked_vector = s->vector;
}

/* The vectors [*first, *end) to read at once, the current one among them. */
static void window_bounds(const struct sst_source *s, const struct varve_group_block *blocks,
                          uint32_t *first, uint32_t *end)
{
    const struct varve_group_run *runs = s->index->runs;
    uint32_t low = s->walking ? 0 : runs[s->run_begin].vector;
    uint32_t high = s->walking ? s->index->n_vectors : runs[s->run_end - 1].vector + 1;

    if (s->open_reverse) {
        high = s->vector + 1;
        if (high - low > s->ahead)
            low = high - s->ahead;
        while (blocks[low].size == 0)
            low++;
        while (low < s->vector &&
               blocks[s->vector].offset + blocks[s->vector].size - blocks[low].offset >
                   WINDOW_BYTES)
            for (low++; blocks[low].size == 0;)
                low++;
    } else {
        low = s->vector;
        if (high - low > s->ahead)
            high = low + s->ahead;
        while (blocks[high - 1].size == 0)
            high--;
        while (high - 1 > s->vector &&
               blocks[high - 1].offset + blocks[high - 1].size - blocks[low].offset > WINDOW_BYTES)
            for (high--; blocks[high - 1].size == 0;)
                high--;
    }
    *first = low;
    *end = high;
}

static bool is_wanted(const struct sst_source *s, uint32_t stream)
{
    const uint32_t column = stream - VARVE_STREAM_COLUMN;

    if (stream < VARVE_STREAM_COLUMN)
        return stream == VARVE_STREAM_TIME;
    return column < s->sst->schema->n_columns &&
           (s->wanted == NULL || varve_column_set_has(s->wanted, column));
}

/* Announce the windows around the current vector of all streams that will be read, so that the disk
 * has them all to do at once. */
static void expect_windows(struct sst_source *s)
{
    if (s->expected_group == s->group && s->expected_vector == s->vector)
        return;
    s->expected_group = s->group;
    s->expected_vector = s->vector;
    for (uint32_t row = 0; row < s->index->n_streams; row++) {
        const struct varve_group_block *blocks = varve_group_block_at(s->index, row, 0);
        uint32_t first;
        uint32_t end;

        if (blocks[s->vector].size == 0 || !is_wanted(s, s->index->streams[row]))
            continue;
        window_bounds(s, blocks, &first, &end);
        varve_sst_expect(s->sst, blocks[first].offset,
                         blocks[end - 1].offset + blocks[end - 1].size - blocks[first].offset);
    }
}

/* Read a window of the stream around the current vector, past the cache. */
static varve_status window_read(struct sst_source *s, struct slot *slot,
                                const struct varve_group_block *blocks, varve_error *err)
{
    uint32_t first;
    uint32_t end;

    expect_windows(s);
    window_bounds(s, blocks, &first, &end);
    const uint64_t offset = blocks[first].offset;
    const size_t size = (size_t)(blocks[end - 1].offset + blocks[end - 1].size - offset);

    slot->window_group = NOWHERE;
    if (!grow(s, &slot->window, size))
        return no_memory(err);
    const varve_status rc = varve_sst_read(s->sst, slot->window.data, size, offset, err);
    if (rc < 0)
        return rc;
    s->base.bytes_read += size;
    slot->window_group = s->group;
    slot->window_first = first;
    slot->window_end = end;
    slot->window_offset = offset;
    slot->window_size = size;
    return VARVE_OK;
}

/* The bytes of the current vector's block into slot->bytes, checked. */
static varve_status slot_bytes(struct sst_source *s, struct slot *slot,
                               const struct varve_group_block *blocks, varve_error *err)
{
    const struct varve_group_block *b = &blocks[s->vector];
    const struct varve_page_ref ref = {b->offset, b->size, b->checksum};
    const bool in_window = slot->window_group == s->group && s->vector >= slot->window_first &&
                           s->vector < slot->window_end;
    varve_status rc = VARVE_OK;

    if (!in_window && s->ahead < 4) {
        rc = varve_sst_fetch(s->sst, VARVE_SST_VECTOR, &ref, &slot->entry, err);
        if (rc < 0)
            return rc;
        slot->bytes = varve_span_of(slot->entry->data, slot->entry->size);
        s->base.bytes_read += ref.size;
        return VARVE_OK;
    }
    if (!in_window)
        rc = window_read(s, slot, blocks, err);
    if (rc < 0)
        return rc;
    slot->bytes = varve_span_of((uint8_t *)slot->window.data + (ref.offset - slot->window_offset),
                                (size_t)ref.size);
    if (!varve_sst_is_sound(s->sst, VARVE_SST_VECTOR, &ref, slot->bytes.data))
        return varve_error_set(err, VARVE_ECORRUPT, s->sst->name, ref.offset,
                               "the checksum of a vector is wrong");
    return VARVE_OK;
}

/* Open the block in slot->bytes. Codes stand where a dictionary does, and only text has one. */
static varve_status slot_open(struct sst_source *s, struct slot *slot, uint32_t number, bool coded,
                              varve_error *err)
{
    const uint8_t lane = lane_of(s, number);
    const varve_status rc =
        varve_block_open(slot->bytes, lane, s->index->vectors[s->vector].rows, &slot->block, err);

    if (rc < 0)
        return rc;
    if ((slot->block.codec == VARVE_CODEC_DICT) != coded || (coded && lane != VARVE_LANE_BYTES))
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "codes without a dictionary, or a dictionary without codes");
    return VARVE_OK;
}

/* Make the slot hold the block of the current vector. */
static varve_status slot_load(struct sst_source *s, uint32_t number, varve_error *err)
{
    struct slot *slot = &s->slots[number];

    if (slot->group == s->group && slot->vector == s->vector)
        return VARVE_OK;
    slot_drop(s, slot);
    const uint32_t stream =
        number < FIXED_SLOTS ? number : VARVE_STREAM_COLUMN + (number - FIXED_SLOTS);
    const uint32_t row = varve_group_stream(s->index, stream);
    const struct varve_group_block *blocks =
        row == UINT32_MAX ? NULL : varve_group_block_at(s->index, row, 0);

    slot->absent = blocks == NULL || blocks[s->vector].size == 0;
    if (!slot->absent) {
        const struct varve_group_block *b = &blocks[s->vector];
        varve_status rc = slot_bytes(s, slot, blocks, err);

        if (rc == VARVE_OK && number != VARVE_STREAM_EXCEPTIONS)
            rc = slot_open(s, slot, number, b->dictionary != 0, err);
        if (rc < 0) {
            slot_drop(s, slot);
            return varve_sst_blame(s->sst, b->offset, rc, err);
        }
    }
    slot->group = s->group;
    slot->vector = s->vector;
    slot->decoded_group = NOWHERE;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Decoding */

/* Rows [row, row + n) of the current vector. */
struct range {
    uint32_t row;
    uint32_t n;
};

static bool is_decoded(const struct sst_source *s, const struct slot *slot, struct range range)
{
    return slot->decoded_group == s->group && slot->decoded_vector == s->vector &&
           slot->decoded_row == range.row && slot->decoded_n == range.n;
}

static void set_decoded(const struct sst_source *s, struct slot *slot, struct range range)
{
    slot->decoded_group = s->group;
    slot->decoded_vector = s->vector;
    slot->decoded_row = range.row;
    slot->decoded_n = range.n;
}

/* Make the slot of a stream of numbers hold its block, which has no states. */
static varve_status load_numbers_block(struct sst_source *s, uint32_t number, varve_error *err)
{
    const struct slot *slot = &s->slots[number];
    varve_status rc = slot_load(s, number, err);

    if (rc == VARVE_OK && !slot->absent && (slot->block.flags & VARVE_BLOCK_HAS_ABSENT) != 0)
        rc = varve_sst_blame(s->sst, s->sst->groups[s->group].data_offset,
                             varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                             "a stamp or a time is missing"),
                             err);
    return rc;
}

/* A stream of numbers without states: its values, or NULL when the vector leaves it out. */
static varve_status load_numbers(struct sst_source *s, uint32_t number, struct range range,
                                 size_t width, void **ret_values, varve_error *err)
{
    struct slot *slot = &s->slots[number];
    varve_status rc = load_numbers_block(s, number, err);

    *ret_values = NULL;
    if (rc < 0 || slot->absent)
        return rc;
    if (!is_decoded(s, slot, range)) {
        if (!grow(s, &slot->values, range.n * width))
            return no_memory(err);
        rc = varve_block_decode(&slot->block, range.row, range.n, slot->values.data, NULL, err);
        if (rc < 0)
            return varve_sst_blame(s->sst, s->sst->groups[s->group].data_offset, rc, err);
        set_decoded(s, slot, range);
    }
    *ret_values = slot->values.data;
    return VARVE_OK;
}

/* The states of a block's rows: NULL where all are live, where none is deleted. */
static varve_status load_states(struct sst_source *s, struct slot *slot, struct range range,
                                uint64_t **ret_live, uint64_t **ret_deleted, varve_error *err)
{
    const size_t size = VARVE_BITMAP_WORDS(range.n) * sizeof(uint64_t);

    *ret_live = NULL;
    *ret_deleted = NULL;
    if (!slot->absent && (slot->block.flags & VARVE_BLOCK_HAS_ABSENT) == 0)
        return VARVE_OK;
    if (!grow(s, &slot->live, size) || !grow(s, &slot->deleted, size))
        return no_memory(err);
    uint64_t *live = slot->live.data;
    uint64_t *deleted = slot->deleted.data;
    memset(live, 0, size);
    memset(deleted, 0, size);
    if (!slot->absent)
        varve_block_states(&slot->block, range.row, range.n, live, deleted);
    if (varve_bitmap_count(live, range.n) < range.n)
        *ret_live = live;
    if (varve_bitmap_count(deleted, range.n) > 0)
        *ret_deleted = deleted;
    return VARVE_OK;
}

static varve_status load_marker(struct sst_source *s, struct range range, struct varve_rows *rows,
                                varve_error *err)
{
    struct slot *slot = &s->slots[VARVE_STREAM_MARKER];
    const varve_status rc = slot_load(s, VARVE_STREAM_MARKER, err);

    rows->marker_live = NULL;
    rows->marker_deleted = NULL;
    if (rc < 0 || slot->absent)
        return rc;
    return load_states(s, slot, range, &rows->marker_live, &rows->marker_deleted, err);
}

static varve_status load_exceptions(struct sst_source *s, struct range range,
                                    struct varve_rows *rows, varve_error *err)
{
    struct slot *slot = &s->slots[VARVE_STREAM_EXCEPTIONS];
    const uint32_t vector_rows = s->index->vectors[s->vector].rows;
    const struct varve_schema *schema = s->sst->schema;
    uint32_t n = 0;
    varve_status rc = slot_load(s, VARVE_STREAM_EXCEPTIONS, err);

    rows->exceptions = NULL;
    rows->n_exceptions = 0;
    if (rc < 0 || slot->absent)
        return rc;
    rc = varve_exceptions_count(slot->bytes, schema, vector_rows, &n, err);
    if (rc == VARVE_OK && (!grow(s, &s->exceptions, n * sizeof(struct varve_exception)) ||
                           !grow(s, &s->numbers, n * sizeof(int64_t))))
        return no_memory(err);
    struct varve_exception *all = s->exceptions.data;
    if (rc == VARVE_OK)
        rc =
            varve_exceptions_decode(slot->bytes, schema, vector_rows, s->numbers.data, n, all, err);
    if (rc < 0)
        return varve_sst_blame(s->sst, s->sst->groups[s->group].data_offset, rc, err);
    uint32_t from = 0;
    while (from < n && all[from].row < range.row)
        from++;
    uint32_t to = from;
    for (; to < n && all[to].row < range.row + range.n; to++)
        all[to].row -= range.row;
    if (to > from) {
        rows->exceptions = all + from;
        rows->n_exceptions = to - from;
    }
    return VARVE_OK;
}

static varve_status hold_dictionary(struct sst_source *s, struct slot *slot, uint32_t id,
                                    varve_error *err)
{
    if (slot->dictionary != NULL && slot->dictionary_id == id)
        return VARVE_OK;
    varve_cache_release(s->sst->cache, slot->dictionary);
    slot->dictionary = NULL;
    struct varve_cache_entry *entry = NULL;
    const varve_status rc = varve_sst_fetch_dictionary(s->sst, s->index, id, &entry, err);
    if (rc < 0)
        return rc;
    slot->dictionary = entry;
    slot->dictionary_id = id;
    return VARVE_OK;
}

static varve_status load_text(struct sst_source *s, uint32_t column, struct range range,
                              const uint64_t *live, struct varve_cells *cells, varve_error *err)
{
    struct slot *slot = &s->slots[FIXED_SLOTS + column];
    varve_status rc = VARVE_OK;

    if (!grow(s, &slot->offsets, ((size_t)range.n + 1) * sizeof(uint32_t)) ||
        !grow(s, &slot->values, range.n * sizeof(int32_t)))
        return no_memory(err);
    varve_buffer_clear(&slot->text);
    if (varve_buffer_reserve(&slot->text, TEXT_LEAST) == NULL)
        return no_memory(err);
    uint32_t *offsets = slot->offsets.data;
    offsets[0] = 0;
    if (slot->absent) {
        memset(offsets, 0, ((size_t)range.n + 1) * sizeof *offsets);
    } else {
        const uint32_t row = varve_group_stream(s->index, VARVE_STREAM_COLUMN + column);
        const uint32_t id = varve_group_block_at(s->index, row, s->vector)->dictionary;

        if (id != 0) {
            rc = hold_dictionary(s, slot, id, err);
            if (rc == VARVE_OK)
                rc = varve_block_decode(&slot->block, range.row, range.n, slot->values.data, NULL,
                                        err);
            if (rc == VARVE_OK)
                rc = varve_dictionary_spell(slot->dictionary->data, slot->values.data, range.n,
                                            live, offsets, &slot->text, err);
        } else {
            rc = varve_block_decode_bytes(&slot->block, range.row, range.n, offsets, &slot->text,
                                          err);
        }
    }
    if (rc == VARVE_OK && slot->text.failed)
        rc = no_memory(err);
    cells->values = slot->text.data;
    cells->offsets = offsets;
    return rc;
}

static varve_status load_column(struct sst_source *s, uint32_t column, struct range range,
                                struct varve_cells *cells, varve_error *err)
{
    const uint32_t number = FIXED_SLOTS + column;
    const uint8_t phys = s->sst->schema->phys[column];
    const size_t width = varve_phys_width(phys);
    struct slot *slot = &s->slots[number];
    varve_status rc = slot_load(s, number, err);

    if (rc == VARVE_OK)
        rc = load_states(s, slot, range, &cells->live, &cells->deleted, err);
    if (rc < 0)
        return rc;
    if (column < s->sst->schema->first_value && cells->live != NULL)
        return varve_error_set(err, VARVE_ECORRUPT, s->sst->name,
                               s->sst->groups[s->group].data_offset,
                               "a clustering column has no value");
    if (phys == VARVE_PHYS_BYTES) {
        rc = load_text(s, column, range, cells->live, cells, err);
    } else {
        if (!grow(s, &slot->values, range.n * width) ||
            (phys == VARVE_PHYS_DEC && !grow(s, &slot->scales, range.n)))
            return no_memory(err);
        cells->values = slot->values.data;
        cells->scales = phys == VARVE_PHYS_DEC ? slot->scales.data : NULL;
        if (slot->absent) {
            memset(cells->values, 0, range.n * width);
            if (phys == VARVE_PHYS_DEC)
                memset(cells->scales, 0, range.n);
        } else if (!is_decoded(s, slot, range)) {
            rc = varve_block_decode(&slot->block, range.row, range.n, cells->values, cells->scales,
                                    err);
            if (rc == VARVE_OK)
                set_decoded(s, slot, range);
        }
    }
    return varve_sst_blame(s->sst, s->sst->groups[s->group].data_offset, rc, err);
}

static varve_status load_stamps(struct sst_source *s, struct range range, struct varve_rows *rows,
                                varve_error *err)
{
    void *values;
    varve_status rc = load_numbers(s, VARVE_STREAM_WT, range, sizeof(int64_t), &values, err);

    if (rc < 0)
        return rc;
    rows->wt = values;
    rows->wt_uniform = s->index->vectors[s->vector].min_wt;
    rc = load_numbers(s, VARVE_STREAM_EXP, range, sizeof(uint32_t), &values, err);
    if (rc < 0)
        return rc;
    rows->exp = values;
    return load_exceptions(s, range, rows, err);
}

/* One half of the hidden suffix; zeros where the vector leaves it out. */
static varve_status load_suffix(struct sst_source *s, uint32_t number, struct range range,
                                uint32_t **ret_values, varve_error *err)
{
    struct slot *slot = &s->slots[number];
    void *values;
    const varve_status rc = load_numbers(s, number, range, sizeof(uint32_t), &values, err);

    if (rc < 0)
        return rc;
    if (values == NULL) {
        if (!grow(s, &slot->values, range.n * sizeof(uint32_t)))
            return no_memory(err);
        values = slot->values.data;
        memset(values, 0, range.n * sizeof(uint32_t));
    }
    *ret_values = values;
    return VARVE_OK;
}

/* Make the slot of the times hold their block. */
static varve_status load_times(struct sst_source *s, varve_error *err)
{
    const varve_status rc = load_numbers_block(s, VARVE_STREAM_TIME, err);

    if (rc == VARVE_OK && s->slots[VARVE_STREAM_TIME].absent)
        return varve_error_set(err, VARVE_ECORRUPT, s->sst->name,
                               s->sst->groups[s->group].data_offset, "a vector has no times");
    return rc;
}

static varve_status load_fixed(struct sst_source *s, struct range range, bool stamps,
                               struct varve_rows *rows, varve_error *err)
{
    const uint8_t duplicates = s->sst->schema->duplicates;
    void *values;
    varve_status rc = load_times(s, err);

    if (rc == VARVE_OK)
        rc = load_numbers(s, VARVE_STREAM_TIME, range, sizeof(int64_t), &values, err);
    if (rc < 0)
        return rc;
    rows->time = values;
    rc = load_marker(s, range, rows, err);
    if (rc == VARVE_OK && (stamps || duplicates == VARVE_DUPLICATES_KEEP))
        rc = load_stamps(s, range, rows, err);
    if (rc == VARVE_OK &&
        (duplicates == VARVE_DUPLICATES_KEEP || duplicates == VARVE_DUPLICATES_FIRST)) {
        rc = load_suffix(s, VARVE_STREAM_WRITER, range, &rows->writer, err);
        if (rc == VARVE_OK)
            rc = load_suffix(s, VARVE_STREAM_ORDINAL, range, &rows->ordinal, err);
    }
    return rc;
}

/* Tell which blocks of the current vector come next, so that they arrive together. Where
 * in a block the rows stand is estimated, as if all took the same space and decoding began at the
 * restart before them. */
static void expect_blocks(struct sst_source *s, struct range range)
{
    const double rows = s->index->vectors[s->vector].rows;
    const double from = (range.row - range.row % RESTART_ROWS) / rows;
    const double to = (range.row + range.n) / rows;
    struct varve_cache_hint hints[VARVE_CACHE_PREFETCH_MAX];
    uint32_t n = 0;

    if (s->ahead > 1 || (s->expected_group == s->group && s->expected_vector == s->vector))
        return;
    s->expected_group = s->group;
    s->expected_vector = s->vector;
    for (uint32_t row = 0; row < s->index->n_streams && n < VARVE_CACHE_PREFETCH_MAX; row++) {
        const uint32_t stream = s->index->streams[row];
        const struct varve_group_block *b = varve_group_block_at(s->index, row, s->vector);

        if (b->size > 0 && is_wanted(s, stream))
            hints[n++] = (struct varve_cache_hint){
                b->offset, (size_t)b->size, (size_t)(b->size * from), (size_t)(b->size * to)};
    }
    varve_sst_expect_vectors(s->sst, hints, n);
}

/* Load rows of the current vector. `columns` NULL: all. */
static varve_status load_range(struct sst_source *s, struct range range,
                               const struct varve_column_set *columns, bool stamps,
                               struct varve_rows *rows, varve_error *err)
{
    const struct varve_schema *schema = s->sst->schema;
    struct varve_cells *cells = rows->columns;

    *rows = (struct varve_rows){
        .schema = schema, .n = range.n, .columns = cells, .wt_uniform = VARVE_WT_MIN};
    varve_status rc = load_fixed(s, range, stamps, rows, err);
    if (rc < 0)
        return rc;
    memset(cells, 0, schema->n_columns * sizeof *cells);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        if (columns != NULL && !varve_column_set_has(columns, c))
            continue;
        rc = load_column(s, c, range, &cells[c], err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

/* Something of the current vector is read. */
static void enter_vector(struct sst_source *s)
{
    if (s->walked_group != s->group || s->walked_vector != s->vector)
        s->base.vectors_read++;
    watch_walk(s);
}

static varve_status source_load(struct varve_source *source, uint32_t stream, uint32_t first,
                                uint32_t n, const struct varve_column_set *columns, bool stamps,
                                struct varve_rows *rows, varve_error *err)
{
    struct sst_source *s = source_of(source);

    assert(stream == 0 && s->run != NOWHERE);
    const struct varve_group_run *run = &s->index->runs[s->run];
    assert(n > 0 && first <= run->rows && n <= run->rows - first);
    const struct range range = {run->first_row - s->index->vectors[run->vector].first_row + first,
                                n};

    s->wanted = columns;
    enter_vector(s);
    expect_blocks(s, range);
    return load_range(s, range, columns, stamps, rows, err);
}

/* Where in the vector the run's rows with first <= time <= last may be, as if times came evenly. */
static struct range guess_range(const struct varve_group_run *run, uint32_t row, int64_t first,
                                int64_t last)
{
    const double begin = (double)run->first_time;
    const double rate = run->rows / ((double)run->last_time - begin + 1.0);
    uint32_t low = 0, high = run->rows;

    if (first > run->first_time && first <= run->last_time)
        low = (uint32_t)(((double)first - begin) * rate);
    if (last >= run->first_time && last < run->last_time)
        high = (uint32_t)(((double)last - begin) * rate) + 1;
    if (high > run->rows || low >= high)
        return (struct range){row, run->rows};
    return (struct range){row + low, high - low};
}

static varve_status source_bounds(struct varve_source *source, uint32_t stream, int64_t first,
                                  int64_t last, const struct varve_column_set *columns,
                                  uint32_t *ret_begin, uint32_t *ret_end, varve_error *err)
{
    struct sst_source *s = source_of(source);

    assert(stream == 0 && s->run != NOWHERE);
    const struct varve_group_run *run = &s->index->runs[s->run];
    const uint32_t row = run->first_row - s->index->vectors[run->vector].first_row;
    uint32_t begin = 0;
    uint32_t end = run->rows;
    s->wanted = columns;
    enter_vector(s);
    expect_blocks(s, guess_range(run, row, first, last));
    varve_status rc = load_times(s, err);
    if (rc < 0)
        return rc;
    const struct varve_block *times = &s->slots[VARVE_STREAM_TIME].block;
    if (run->first_time < first)
        rc = varve_block_rank(times, row, run->rows, first, &begin, err);
    if (rc == VARVE_OK && run->last_time > last) /* so last < INT64_MAX */
        rc = varve_block_rank(times, row, run->rows, last + 1, &end, err);
    if (rc < 0)
        return varve_sst_blame(s->sst, s->sst->groups[s->group].data_offset, rc, err);
    *ret_begin = begin;
    *ret_end = end;
    return VARVE_OK;
}

varve_status varve_sst_source_vector(struct varve_source *source, uint32_t group, uint32_t vector,
                                     struct varve_rows *rows,
                                     const struct varve_group_index **ret_index, varve_error *err)
{
    struct sst_source *s = source_of(source);
    varve_status rc = VARVE_OK;

    if (s->index_group != group) {
        index_drop(s);
        rc = varve_sst_fetch_group(s->sst, group, &s->index_entry, &s->index, err);
        if (rc < 0)
            return rc;
        s->index_group = group;
    }
    assert(vector < s->index->n_vectors);
    *ret_index = s->index;
    s->group = group;
    s->vector = vector;
    s->run = s->index->vectors[vector].first_run;
    s->walking = true; /* read to the group's end at once, and not through the cache */
    s->ahead = VARVE_SST_ROWS_MAX;
    s->wanted = NULL;
    s->open_reverse = false;
    return load_range(s, (struct range){0, s->index->vectors[vector].rows}, NULL, true, rows, err);
}

/* --------------------------------------------------------------------------------------- Zones */

static bool is_zoned(uint8_t phys)
{
    return phys != VARVE_PHYS_BYTES && phys != VARVE_PHYS_B16 && phys != VARVE_PHYS_DEC;
}

/* The zones of a column for all vectors of the current group. VARVE_END: there are none. */
static varve_status read_zones(struct sst_source *s, struct slot *slot, uint32_t column,
                               varve_error *err)
{
    const uint32_t n = s->index->n_vectors;
    struct varve_cache_entry *entry = NULL;

    if (!grow(s, &slot->zones, n * sizeof(struct varve_zone)) ||
        !grow(s, &s->numbers, n * sizeof(int64_t)) ||
        !grow(s, &s->vector_rows, n * sizeof(uint32_t)))
        return no_memory(err);
    uint32_t *rows = s->vector_rows.data;
    for (uint32_t v = 0; v < n; v++)
        rows[v] = s->index->vectors[v].rows;
    varve_status rc = varve_sst_fetch(s->sst, VARVE_SST_ZONES, &s->index->zones, &entry, err);
    if (rc < 0)
        return rc;
    rc = varve_zone_map_read(varve_span_of(entry->data, entry->size), column,
                             s->sst->schema->phys[column], n, rows, s->numbers.data,
                             slot->zones.data, err);
    varve_cache_release(s->sst->cache, entry);
    return rc;
}

static varve_status source_zone(struct varve_source *source, uint32_t stream, uint32_t column,
                                const struct varve_zone **ret_zone, varve_error *err)
{
    struct sst_source *s = source_of(source);
    const struct varve_schema *schema = s->sst->schema;
    struct slot *slot = &s->slots[FIXED_SLOTS + column];

    assert(stream == 0 && s->run != NOWHERE && column < schema->n_columns);
    *ret_zone = NULL;
    if (column <= schema->time_column || !is_zoned(schema->phys[column]) ||
        s->index->zones.size == 0 || s->index->vectors[s->vector].runs != 1)
        return VARVE_OK;
    if (slot->zones_group != s->group) {
        const varve_status rc = read_zones(s, slot, column, err);

        if (rc == VARVE_ECORRUPT) { /* the vectors say it too: do without */
            varve_sst_note_repair(s->sst);
            varve_error_clear(err);
        } else if (rc < 0) {
            return rc;
        }
        slot->has_zones = rc == VARVE_OK;
        slot->zones_group = s->group;
    }
    if (slot->has_zones)
        *ret_zone = (const struct varve_zone *)slot->zones.data + s->vector;
    return VARVE_OK;
}

varve_status varve_sst_source_zone(struct varve_source *source, uint32_t column,
                                   const struct varve_zone **ret_zone, varve_error *err)
{
    struct sst_source *s = source_of(source);
    struct slot *slot = &s->slots[FIXED_SLOTS + column];

    *ret_zone = NULL;
    if (!is_zoned(s->sst->schema->phys[column]))
        return VARVE_OK;
    if (slot->zones_group != s->group) {
        const varve_status rc =
            s->index->zones.size == 0 ? (varve_status)VARVE_END : read_zones(s, slot, column, err);
        if (rc < 0)
            return varve_sst_blame(s->sst, s->index->zones.offset, rc, err);
        slot->has_zones = rc == VARVE_OK;
        slot->zones_group = s->group;
    }
    if (!slot->has_zones)
        return varve_error_set(err, VARVE_ECORRUPT, s->sst->name, s->index->zones.offset,
                               "a column has no zone map");
    *ret_zone = (const struct varve_zone *)slot->zones.data + s->vector;
    return VARVE_OK;
}

/* -------------------------------------------------------------------------------- Birth, death */

static void source_close(struct varve_source *source)
{
    struct sst_source *s = source_of(source);
    struct varve_arena arena = s->arena; /* not from what it frees */

    for (uint32_t i = 0; i < s->n_slots; i++) {
        struct slot *slot = &s->slots[i];

        slot_drop(s, slot);
        varve_cache_release(s->sst->cache, slot->dictionary);
        varve_scratch_free(&slot->window, s->heap);
        varve_scratch_free(&slot->values, s->heap);
        varve_scratch_free(&slot->offsets, s->heap);
        varve_scratch_free(&slot->scales, s->heap);
        varve_scratch_free(&slot->live, s->heap);
        varve_scratch_free(&slot->deleted, s->heap);
        varve_scratch_free(&slot->zones, s->heap);
        varve_buffer_free(&slot->text);
    }
    varve_scratch_free(&s->exceptions, s->heap);
    varve_scratch_free(&s->numbers, s->heap);
    varve_scratch_free(&s->vector_rows, s->heap);
    index_drop(s);
    varve_directory_cursor_close(&s->cursor);
    varve_sst_unref(s->sst);
    varve_arena_free(&arena);
}

static const struct varve_source_ops source_ops = {
    .seek = source_seek,
    .next = source_next,
    .find = source_find,
    .open = source_open,
    .piece = source_piece,
    .load = source_load,
    .bounds = source_bounds,
    .zone = source_zone,
    .close = source_close,
};

varve_status varve_sst_source_open(struct varve_sst *sst, struct varve_heap *heap,
                                   struct varve_source **ret_source, varve_error *err)
{
    const uint32_t n_slots = FIXED_SLOTS + sst->schema->n_columns;
    struct varve_arena arena;

    varve_arena_init(&arena, heap, ARENA_BLOCK);
    struct sst_source *s = varve_arena_alloc(&arena, sizeof *s, _Alignof(struct sst_source));
    struct slot *slots = varve_arena_alloc(&arena, n_slots * sizeof *slots, _Alignof(struct slot));
    if (s == NULL || slots == NULL) {
        varve_arena_free(&arena);
        return no_memory(err);
    }
    memset(s, 0, offsetof(struct sst_source, cursor));
    memset(slots, 0, n_slots * sizeof *slots);
    s->heap = heap;
    s->arena = arena;
    s->slots = slots;
    s->n_slots = n_slots;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        s->slots[i].group = s->slots[i].window_group = NOWHERE;
        s->slots[i].decoded_group = s->slots[i].zones_group = NOWHERE;
        varve_buffer_init(&s->slots[i].text, heap);
    }
    s->base = (struct varve_source){.ops = &source_ops,
                                    .first_time = sst->properties.first_time,
                                    .last_time = sst->properties.last_time,
                                    .rows = sst->properties.rows};
    s->sst = varve_sst_ref(sst);
    varve_directory_cursor_init(&s->cursor, &sst->directory);
    s->index_group = s->walked_group = s->expected_group = s->run = NOWHERE;
    s->last_opened = UINT64_MAX - 1;
    s->ahead = 1;
    *ret_source = &s->base;
    return VARVE_OK;
}
