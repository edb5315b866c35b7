/*
 * column_run.c - rows by columns: the large form.
 *
 * Place.   apply() appends runs of rows here, column by column, when the partition can afford a
 *          chunk; sources borrow the arrays.
 *
 * Invariants
 *   U1  Over the chunks of a main run, from number 0 on, keys strictly ascend and ordinals do not
 *       descend. In side chunks, oldest first, ordinals do not descend.
 *   U2  A chunk is linked when it has a row; `count` is stored with release after the rows below it.
 *   U3  Arrays that only some rows need (states, write times, expiries) hold the default for all
 *       other rows, and are linked with release after they do.
 *
 * Threads. One applier, any number of readers. Bitmaps share words between rows that a reader may
 *          see and rows that are being written, hence their words are atomic; everything else that
 *          is written stands above every visible count.
 */
#include "storage/memtable/memtable_int.h"

enum want { WANT_STATES = 1, WANT_WT = 2, WANT_EXP = 4 };

static struct varve_chunk *chunk_at(struct varve_memtable *table, uint32_t position)
{
    return position == 0 ? NULL
                         : (struct varve_chunk *)(void *)varve_slab_at(&table->slabs, position);
}

static uint32_t chunk_bytes(const struct varve_memtable *table, uint32_t capacity)
{
    return (uint32_t)sizeof(struct varve_chunk) + capacity * table->layout.chunk_row;
}

/* -------------------------------------------------------------------- What only some rows need */

static uint32_t states_bytes(const struct varve_memtable *table, uint32_t capacity)
{
    const uint32_t pairs = 1 + table->layout.n_columns - table->layout.first_value;
    return pairs * 2 * (uint32_t)(VARVE_BITMAP_WORDS(capacity) * sizeof(uint64_t));
}

static uint32_t extra_bytes(const struct varve_memtable *table, uint32_t capacity, uint32_t want)
{
    if (want == 0)
        return 0;
    /* The size of the pointers is rounded so that what follows is aligned. */
    return 16 + (want & WANT_STATES ? states_bytes(table, capacity) : 0) +
           (want & WANT_WT ? capacity * 8 : 0) + (want & WANT_EXP ? capacity * 4 : 0);
}

static bool any_clear(const uint64_t *bits, const uint32_t *rows, uint32_t n)
{
    for (uint32_t k = 0; bits != NULL && k < n; k++)
        if (!varve_bit_get(bits, rows[k]))
            return true;
    return false;
}

static bool is_missing(const struct varve_section *section, uint32_t column)
{
    if (column >= section->schema->n_columns)
        return true;
    const struct varve_cells *cells = &section->rows->columns[column];
    return cells->values == NULL && cells->offsets == NULL && cells->live == NULL;
}

static uint32_t want_of(const struct varve_memtable *table, const struct varve_section *section,
                        const uint32_t *picked, uint32_t n)
{
    const struct varve_rows *rows = section->rows;
    uint32_t want = any_clear(rows->marker_live, picked, n) ? WANT_STATES : 0;

    for (uint32_t c = table->layout.first_value; want == 0 && c < table->layout.n_columns; c++)
        if (is_missing(section, c) || any_clear(rows->columns[c].live, picked, n))
            want = WANT_STATES;
    if (rows->wt == NULL && rows->wt_uniform != VARVE_WT_COMMIT)
        want |= WANT_WT;
    for (uint32_t k = 0; rows->wt != NULL && k < n && !(want & WANT_WT); k++)
        if (rows->wt[picked[k]] != VARVE_WT_COMMIT)
            want |= WANT_WT;
    for (uint32_t k = 0; rows->exp != NULL && k < n && !(want & WANT_EXP); k++)
        if (rows->exp[picked[k]] != 0)
            want |= WANT_EXP;
    return want;
}

static void init_states(const struct varve_memtable *table, uint32_t position, uint32_t capacity)
{
    const uint32_t pairs = 1 + table->layout.n_columns - table->layout.first_value;
    const size_t words = VARVE_BITMAP_WORDS(capacity);
    _Atomic(uint64_t) *bits = (_Atomic(uint64_t) *)(void *)varve_slab_at(&table->slabs, position);
    for (uint32_t k = 0; k < pairs; k++) {
        for (size_t w = 0; w < words; w++) {
            atomic_init(&bits[(2 * k) * words + w], UINT64_MAX);
            atomic_init(&bits[(2 * k + 1) * words + w], 0);
        }
    }
}

/* Carve the wanted arrays out of memory at `position`, and link them. */
static void extra_fill(struct varve_memtable *table, struct varve_chunk *chunk,
                       struct varve_chunk_extra *extra, uint32_t position, uint32_t want)
{
    const uint32_t capacity = chunk->capacity;

    if (want & WANT_STATES) {
        init_states(table, position, capacity);
        atomic_store_explicit(&extra->states, position, memory_order_release);
        position += states_bytes(table, capacity);
    }
    if (want & WANT_WT) {
        int64_t *wt = (int64_t *)(void *)varve_slab_at(&table->slabs, position);
        for (uint32_t i = 0; i < capacity; i++)
            wt[i] = VARVE_WT_COMMIT;
        atomic_store_explicit(&extra->wt, position, memory_order_release);
        position += capacity * 8;
    }
    if (want & WANT_EXP) {
        memset(varve_slab_at(&table->slabs, position), 0, (size_t)capacity * 4);
        atomic_store_explicit(&extra->exp, position, memory_order_release);
    }
}

static void extra_link(struct varve_memtable *table, struct varve_chunk *chunk, uint32_t position,
                       uint32_t want)
{
    struct varve_chunk_extra *extra =
        (struct varve_chunk_extra *)(void *)varve_slab_at(&table->slabs, position);
    atomic_init(&extra->states, 0);
    atomic_init(&extra->wt, 0);
    atomic_init(&extra->exp, 0);
    extra_fill(table, chunk, extra, position + 16, want);
    atomic_store_explicit(&chunk->extra, position, memory_order_release);
}

/* Give a chunk in use the arrays it lacks. False: there is no memory beyond the promises. */
static bool extra_ensure(struct varve_memtable *table, struct varve_chunk *chunk, uint32_t want)
{
    const uint32_t at = atomic_load_explicit(&chunk->extra, memory_order_relaxed);
    if (want == 0)
        return true;
    if (at == 0) {
        const uint32_t bytes = extra_bytes(table, chunk->capacity, want);
        if (!varve_slabs_can_take(&table->slabs, bytes, 0))
            return false;
        extra_link(table, chunk, varve_slabs_take(&table->slabs, bytes, 8), want);
        return true;
    }
    struct varve_chunk_extra *extra =
        (struct varve_chunk_extra *)(void *)varve_slab_at(&table->slabs, at);
    if (atomic_load_explicit(&extra->states, memory_order_relaxed) != 0)
        want &= ~(uint32_t)WANT_STATES;
    if (atomic_load_explicit(&extra->wt, memory_order_relaxed) != 0)
        want &= ~(uint32_t)WANT_WT;
    if (atomic_load_explicit(&extra->exp, memory_order_relaxed) != 0)
        want &= ~(uint32_t)WANT_EXP;
    if (want == 0)
        return true;
    const uint32_t bytes = extra_bytes(table, chunk->capacity, want);
    if (!varve_slabs_can_take(&table->slabs, bytes, 0))
        return false;
    extra_fill(table, chunk, extra, varve_slabs_take(&table->slabs, bytes, 8), want);
    return true;
}

/* ------------------------------------------------------------------------------------- Chunks */

/* What a row in a chunk leaves of its allowance, its cells and ordinal not counted. */
static int64_t row_gain(const struct varve_memtable *table)
{
    const int64_t text = table->layout.n_text > 0 ? 3 : 0; /* the length before a row's texts */
    return (int64_t)table->layout.row_raw + VARVE_ROW_OVERHEAD - text;
}

static bool affordable(const struct varve_memtable *table,
                       const struct varve_mem_partition *partition, uint32_t capacity, uint32_t n)
{
    const int64_t rows = n < capacity ? n : capacity;
    return (int64_t)chunk_bytes(table, capacity) - rows * row_gain(table) <= partition->credit;
}

/* How many rows the next chunk should have, when `n` are at hand. 0: none is affordable. */
static uint32_t capacity_for(const struct varve_memtable *table,
                             const struct varve_mem_partition *partition, uint32_t n,
                             uint32_t extra_row)
{
    const struct varve_slab_space *slabs = &table->slabs;
    const struct varve_mem_layout *layout = &table->layout;
    const uint32_t rows = atomic_load_explicit(&partition->rows, memory_order_relaxed);
    const uint32_t most = layout->chunk_rows;
    uint32_t want = rows / 8 < VARVE_CHUNK_ROWS_MIN ? VARVE_CHUNK_ROWS_MIN : (rows / 8 + 7) & ~7u;

    if (want < ((n + 7) & ~7u))
        want = (n + 7) & ~7u;
    if (want > most)
        want = most;
    const int64_t room = (int64_t)partition->credit - (int64_t)sizeof(struct varve_chunk) +
                         (int64_t)(n < want ? n : want) * row_gain(table);
    if (room <= 0)
        return 0;
    if ((uint64_t)room / layout->chunk_row < want)
        want = (uint32_t)((uint64_t)room / layout->chunk_row) & ~7u;
    /* Fit what is left of the slab, unless hardly anything is. */
    const uint32_t left = slabs->bytes - ((slabs->used + 7) & ~7u);
    const uint32_t fixed = (uint32_t)sizeof(struct varve_chunk) + (extra_row > 0 ? 1024u : 0u);
    if (slabs->used < slabs->bytes && left > slabs->bytes >> 7 &&
        fixed + want * (layout->chunk_row + extra_row) > left) {
        if (left < fixed)
            return 0;
        want = (left - fixed) / (layout->chunk_row + extra_row) & ~7u;
    }
    return want >= VARVE_CHUNK_ROWS_MIN && affordable(table, partition, want, n) ? want : 0;
}

/* A jump leads so far back that a search by halving takes logarithmic time. */
static uint32_t jump_from(const struct varve_memtable *table, uint32_t prev)
{
    const struct varve_chunk *p = varve_chunk_at(table, prev);
    const struct varve_chunk *j = varve_chunk_at(table, p->jump);
    const struct varve_chunk *jj = varve_chunk_at(table, j->jump);
    return p->number - j->number == j->number - jj->number ? j->jump : prev;
}

/* Make a chunk that is not linked yet. 0: none. */
static uint32_t chunk_open(struct varve_memtable *table, struct varve_mem_partition *partition,
                           uint32_t n, uint32_t want, bool side)
{
    const struct varve_mem_layout *layout = &table->layout;
    const uint32_t states = 1 + layout->n_columns - layout->first_value;
    const uint32_t extra_row = (want & WANT_STATES ? states / 4 + 1 : 0) +
                               (want & WANT_WT ? 8 : 0) + (want & WANT_EXP ? 4 : 0);
    const uint32_t capacity = capacity_for(table, partition, n, extra_row);

    if (capacity == 0)
        return 0;
    const uint32_t bytes = chunk_bytes(table, capacity);
    const uint32_t more = extra_bytes(table, capacity, want);
    /* Rows at hand need no record once the chunk is there; of their promise only the length before
     * their text is still used. */
    const uint32_t rows = n < capacity ? n : capacity;
    if (!varve_slabs_can_take(&table->slabs, bytes + more, rows * (layout->record_max - 8)))
        return 0;
    const uint32_t position = varve_slabs_take(&table->slabs, bytes + more, 8);
    struct varve_chunk *chunk = chunk_at(table, position);
    *chunk = (struct varve_chunk){.capacity = (uint16_t)capacity};
    atomic_init(&chunk->first_time, INT64_MAX);
    atomic_init(&chunk->last_time, INT64_MIN);
    if (more > 0)
        extra_link(table, chunk, position + bytes, want);
    chunk->prev =
        atomic_load_explicit(side ? &partition->side : &partition->main, memory_order_relaxed);
    if (!side && chunk->prev == 0) {
        chunk->jump = position;
    } else if (!side) {
        chunk->number = chunk_at(table, chunk->prev)->number + 1;
        chunk->jump = jump_from(table, chunk->prev);
    }
    partition->credit -= (int32_t)bytes;
    return position;
}

static void chunk_link(struct varve_memtable *table, struct varve_mem_partition *partition,
                       uint32_t position, bool side)
{
    struct varve_chunk *prev = side ? NULL : chunk_at(table, chunk_at(table, position)->prev);
    if (prev != NULL)
        atomic_store_explicit(&prev->next, position, memory_order_release);
    atomic_store_explicit(side ? &partition->side : &partition->main, position,
                          memory_order_release);
}

/* ------------------------------------------------------------------------------------ Copying */

/* Copy the cells of `n` rows of `width` bytes each: in one piece if the rows follow each other. */
static void copy(uint8_t *to, const void *cells, uint32_t width, const uint32_t *rows, uint32_t n)
{
    const uint8_t *from = cells;

    if (width == 8 && n < 4)
        for (uint32_t k = 0; k < n; k++)
            memcpy(to + (size_t)k * 8, from + (size_t)rows[k] * 8, 8);
    else if (rows[n - 1] - rows[0] == n - 1)
        memcpy(to, from + (size_t)rows[0] * width, (size_t)n * width);
    else if (width == 8)
        for (uint32_t k = 0; k < n; k++)
            memcpy(to + (size_t)k * 8, from + (size_t)rows[k] * 8, 8);
    else if (width == 4)
        for (uint32_t k = 0; k < n; k++)
            memcpy(to + (size_t)k * 4, from + (size_t)rows[k] * 4, 4);
    else if (width == 1)
        for (uint32_t k = 0; k < n; k++)
            to[k] = from[rows[k]];
    else
        for (uint32_t k = 0; k < n; k++)
            memcpy(to + (size_t)k * width, from + (size_t)rows[k] * width, width);
}

static void copy_fixed(const struct varve_memtable *table, const struct varve_chunk *chunk,
                       uint32_t row, const struct varve_section *section, const uint32_t *rows,
                       uint32_t n)
{
    const struct varve_mem_layout *layout = &table->layout;
    for (uint32_t c = layout->first; c < layout->n_columns; c++) {
        const struct varve_mem_column *column = &layout->columns[c];
        const uint32_t width = column->width;
        if (width == 0)
            continue;
        uint8_t *to = varve_chunk_array(chunk, column->chunk_offset) + (size_t)row * width;
        uint8_t *scales = varve_chunk_array(chunk, column->chunk_offset + width) + row;
        if (c >= section->schema->n_columns || section->rows->columns[c].values == NULL) {
            memset(to, 0, (size_t)n * width);
            if (column->phys == VARVE_PHYS_DEC)
                memset(scales, 0, n);
            continue;
        }
        const struct varve_cells *cells = &section->rows->columns[c];
        copy(to, cells->values, width, rows, n);
        if (column->phys == VARVE_PHYS_DEC)
            copy(scales, cells->scales, 1, rows, n);
    }
}

/* One row's texts: their total length, then their bytes one behind the other. */
static void copy_text(struct varve_memtable *table, const struct varve_chunk *chunk, uint32_t row,
                      const struct varve_section *section, uint32_t i)
{
    const struct varve_mem_layout *layout = &table->layout;
    const uint32_t total = (uint32_t)varve_section_text(table, section, i);
    const uint32_t head = 1u + (total >= 1u << 7) + (total >= 1u << 14) + (total >= 1u << 21);
    const uint32_t start = varve_slabs_take(&table->slabs, head + total, 1);
    uint8_t *out = varve_slab_at(&table->slabs, start);
    uint32_t position = start + head;

    for (uint32_t v = total, k = 0; k < head; k++, v >>= 7)
        out[k] = (uint8_t)(k + 1 < head ? v | 0x80 : v);
    out += head;
    for (uint32_t c = layout->first_text; c != UINT32_MAX; c = layout->columns[c].next_text) {
        uint8_t *to = varve_chunk_array(chunk, layout->columns[c].chunk_offset) + (size_t)row * 4;
        memcpy(to, c == layout->first_text ? &start : &position, 4);
        if (varve_section_state(section, c, i) != VARVE_LIVE)
            continue;
        const struct varve_cells *cells = &section->rows->columns[c];
        const uint32_t size = cells->offsets[i + 1] - cells->offsets[i];
        if (size > 0)
            memcpy(out, (const uint8_t *)cells->values + cells->offsets[i], size);
        out += size;
        position += size;
    }
}

static void set_state(const struct varve_memtable *table, const struct varve_chunk *chunk,
                      uint32_t states, uint32_t k, uint32_t row, enum varve_cell_state state)
{
    const size_t words = VARVE_BITMAP_WORDS(chunk->capacity);
    _Atomic(uint64_t) *live =
        (_Atomic(uint64_t) *)(void *)varve_slab_at(&table->slabs, states) + 2 * k * words;
    const uint64_t bit = (uint64_t)1 << (row & 63);

    if (state == VARVE_LIVE)
        return;
    live += row >> 6;
    atomic_store_explicit(live, atomic_load_explicit(live, memory_order_relaxed) & ~bit,
                          memory_order_relaxed);
    if (state != VARVE_DELETED)
        return;
    live += words; /* the deleted bits follow */
    atomic_store_explicit(live, atomic_load_explicit(live, memory_order_relaxed) | bit,
                          memory_order_relaxed);
}

static void copy_extra(struct varve_memtable *table, const struct varve_chunk *chunk, uint32_t row,
                       const struct varve_section *section, const uint32_t *picked, uint32_t n,
                       uint32_t want)
{
    const struct varve_mem_layout *layout = &table->layout;
    const struct varve_rows *rows = section->rows;
    const struct varve_chunk_extra *extra =
        (const struct varve_chunk_extra *)(const void *)varve_slab_at(
            &table->slabs, atomic_load_explicit(&chunk->extra, memory_order_relaxed));

    if (want & WANT_STATES) {
        const uint32_t states = atomic_load_explicit(&extra->states, memory_order_relaxed);
        for (uint32_t r = 0; rows->marker_live != NULL && r < n; r++)
            set_state(table, chunk, states, 0, row + r,
                      varve_section_state(section, VARVE_MARKER_COLUMN, picked[r]));
        for (uint32_t c = layout->first_value; c < layout->n_columns; c++) {
            if (!is_missing(section, c) && rows->columns[c].live == NULL)
                continue;
            for (uint32_t r = 0; r < n; r++)
                set_state(table, chunk, states, 1 + c - layout->first_value, row + r,
                          varve_section_state(section, c, picked[r]));
        }
    }
    if (want & WANT_WT) {
        const uint32_t at = atomic_load_explicit(&extra->wt, memory_order_relaxed);
        int64_t *wt = (int64_t *)(void *)varve_slab_at(&table->slabs, at);
        for (uint32_t r = 0; r < n; r++)
            wt[row + r] = varve_rows_wt(rows, picked[r]);
    }
    if (want & WANT_EXP) {
        const uint32_t at = atomic_load_explicit(&extra->exp, memory_order_relaxed);
        copy(varve_slab_at(&table->slabs, at) + (size_t)row * 4, rows->exp, 4, picked, n);
    }
}

static void widen_times(struct varve_chunk *chunk, const int64_t *times, uint32_t n, bool side)
{
    int64_t first = atomic_load_explicit(&chunk->first_time, memory_order_relaxed);
    int64_t last = atomic_load_explicit(&chunk->last_time, memory_order_relaxed);
    if (!side) { /* in order */
        if (times[0] < first)
            first = times[0];
        last = times[n - 1];
    }
    for (uint32_t r = 0; side && r < n; r++) {
        first = times[r] < first ? times[r] : first;
        last = times[r] > last ? times[r] : last;
    }
    atomic_store_explicit(&chunk->first_time, first, memory_order_relaxed);
    atomic_store_explicit(&chunk->last_time, last, memory_order_relaxed);
}

uint32_t varve_run_append(struct varve_memtable *table, struct varve_mem_partition *partition,
                          const struct varve_section *section, const uint32_t *rows, uint32_t n,
                          uint32_t ordinal, bool side)
{
    const struct varve_mem_layout *layout = &table->layout;
    uint32_t position =
        atomic_load_explicit(side ? &partition->side : &partition->main, memory_order_relaxed);
    struct varve_chunk *chunk = chunk_at(table, position);
    uint32_t row = chunk == NULL ? 0 : atomic_load_explicit(&chunk->count, memory_order_relaxed);
    const bool opens = chunk == NULL || row == chunk->capacity;

    if (n > VARVE_CHUNK_ROWS_MAX)
        n = VARVE_CHUNK_ROWS_MAX;
    if (!opens && n > chunk->capacity - row)
        n = chunk->capacity - row;
    const uint32_t want = want_of(table, section, rows, n);
    if (opens) {
        position = chunk_open(table, partition, n, want, side);
        if (position == 0)
            return 0;
        chunk = chunk_at(table, position);
        row = 0;
        if (n > chunk->capacity)
            n = chunk->capacity;
    } else if (!extra_ensure(table, chunk, want)) {
        return 0;
    }
    uint8_t *times = varve_chunk_array(chunk, 0) + (size_t)row * 8;
    copy(times, section->rows->time, 8, rows, n);
    copy_fixed(table, chunk, row, section, rows, n);
    for (uint32_t r = 0; layout->n_text > 0 && r < n; r++)
        copy_text(table, chunk, row + r, section, rows[r]);
    if (want != 0)
        copy_extra(table, chunk, row, section, rows, n, want);
    uint32_t *ordinals = (uint32_t *)(void *)varve_chunk_array(chunk, layout->ordinal_offset) + row;
    for (uint32_t r = 0; r < n; r++)
        ordinals[r] = ordinal;
    uint32_t *positions =
        (uint32_t *)(void *)varve_chunk_array(chunk, layout->position_offset) + row;
    for (uint32_t r = 0; layout->has_position && r < n; r++)
        positions[r] = rows[r];
    widen_times(chunk, (const int64_t *)(void *)times, n, side);
    atomic_store_explicit(&chunk->count, (uint16_t)(row + n), memory_order_release);
    if (opens)
        chunk_link(table, partition, position, side);
    const int64_t credit = partition->credit + (int64_t)n * row_gain(table);
    partition->credit = (int32_t)(credit < VARVE_CREDIT_MAX ? credit : VARVE_CREDIT_MAX);
    return n;
}

/* ------------------------------------------------------------------------------------ Reading */

void varve_run_prefetch(const struct varve_memtable *table,
                        const struct varve_mem_partition *partition)
{
#if defined(__GNUC__)
    const uint32_t main = atomic_load_explicit(&partition->main, memory_order_relaxed);
    if (main != 0)
        __builtin_prefetch(varve_slab_at(&table->slabs, main), 1);
#else
    (void)table;
    (void)partition;
#endif
}

uint32_t varve_chunk_visible(const struct varve_memtable *table, const struct varve_chunk *chunk,
                             uint64_t ordinal)
{
    const uint32_t *ordinals = varve_chunk_ordinals(table, chunk);
    uint32_t low = 0; /* rows below it are visible, rows at and above `high` are not */
    uint32_t high = atomic_load_explicit(&chunk->count, memory_order_acquire);

    if (high == 0 || ordinals[high - 1] < ordinal)
        return high;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ordinals[middle] < ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct varve_chunk *varve_run_find(const struct varve_memtable *table, uint32_t last,
                                         int64_t time, uint64_t ordinal)
{
    const struct varve_chunk *chunk = varve_chunk_at(table, last);
    while (chunk != NULL) {
        if (varve_chunk_times(chunk)[0] <= time && varve_chunk_ordinals(table, chunk)[0] < ordinal)
            return chunk;
        if (chunk->number == 0)
            return NULL;
        const struct varve_chunk *jump = varve_chunk_at(table, chunk->jump);
        const bool near =
            varve_chunk_times(jump)[0] <= time && varve_chunk_ordinals(table, jump)[0] < ordinal;
        chunk = near ? varve_chunk_at(table, chunk->prev) : jump;
    }
    return NULL;
}

static uint32_t text_position(const struct varve_memtable *table, const struct varve_chunk *chunk,
                              uint32_t column, uint32_t i)
{
    uint32_t position;
    const uint32_t offset = table->layout.columns[column].chunk_offset;
    memcpy(&position, varve_chunk_array(chunk, offset) + (size_t)i * 4, sizeof position);
    return position;
}

struct varve_span varve_chunk_text(const struct varve_memtable *table,
                                   const struct varve_chunk *chunk, uint32_t column, uint32_t i)
{
    const struct varve_mem_layout *layout = &table->layout;
    const uint32_t start = text_position(table, chunk, layout->first_text, i);
    const uint32_t next = layout->columns[column].next_text;
    const uint8_t *head = varve_slab_at(&table->slabs, start);
    struct varve_span all;

    const uint8_t *end = varve_text_next(head, &all);
    const uint8_t *from = column == layout->first_text
                              ? all.data
                              : head + (text_position(table, chunk, column, i) - start);
    const uint8_t *to =
        next == UINT32_MAX ? end : head + (text_position(table, chunk, next, i) - start);
    return varve_span_of(from, (size_t)(to - from));
}

varve_value varve_chunk_value(const struct varve_memtable *table, const struct varve_chunk *chunk,
                              uint32_t column, uint32_t i)
{
    const struct varve_mem_column *c = &table->layout.columns[column];
    if (c->width == 0) {
        const struct varve_span text = varve_chunk_text(table, chunk, column, i);
        varve_value v = {.type = table->schema->columns[column].type, .presence = VARVE_SET};
        v.as.bytes.data = text.data;
        v.as.bytes.size = text.size;
        return v;
    }
    int8_t scale = 0;
    if (c->phys == VARVE_PHYS_DEC)
        scale = (int8_t)varve_chunk_array(chunk, c->chunk_offset + 8)[i];
    return varve_mem_value(table, column,
                           varve_chunk_array(chunk, c->chunk_offset) + (size_t)i * c->width, scale);
}
