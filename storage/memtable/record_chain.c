/*
 * record_chain.c - rows one by one: the small form, and what does not fit a chunk.
 *
 * A record, unaligned, integers in the machine's order (it never leaves this process):
 *
 *   u32 link      the partition's record before it
 *   u8  flags     enum varve_record_flags
 *   with BODY: u32 position of the rest in a block of its own
 *   i64 time
 *   u32 position in the batch            'keep' and 'first' tables
 *   states, two bits each                with STATES: marker, then value columns
 *   i64 write time                       with WT
 *   u32 expiry                           with EXP
 *   fixed-width cells that are live      a bare decimal: mantissa, then scale
 *   text cells that are live             varint length, bytes
 *
 * No ordinal of the commit: positions ascend from commit to commit, so the commit of a record is
 * found by its position. That leaves a plain record 5 bytes above its raw columns, and the
 * difference to VARVE_ROW_OVERHEAD is what pays for the first chunk of columns.
 */
#include "storage/memtable/memtable_int.h"

/* ----------------------------------------------------------------------------------- Layout */

static void layout_column(struct varve_mem_layout *layout, uint32_t c, uint8_t phys)
{
    struct varve_mem_column *column = &layout->columns[c];
    const uint32_t width = varve_phys_width((enum varve_phys)phys);

    *column = (struct varve_mem_column){.phys = phys,
                                        .width = (uint8_t)width,
                                        .chunk_offset = layout->chunk_row,
                                        .record_offset = layout->fixed_bytes,
                                        .next_text = UINT32_MAX};
    if (phys == VARVE_PHYS_BYTES) {
        if (layout->n_text++ == 0)
            layout->first_text = c;
        else
            layout->columns[layout->last_text].next_text = c;
        layout->last_text = c;
        layout->chunk_row += (uint32_t)sizeof(uint32_t);
        return;
    }
    const uint32_t scale = phys == VARVE_PHYS_DEC ? 1 : 0;
    layout->chunk_row += width + scale;
    layout->fixed_bytes += width + scale;
}

varve_status varve_layout_init(struct varve_memtable *table, varve_error *err)
{
    const struct varve_schema *schema = table->schema;
    struct varve_mem_layout *layout = &table->layout;
    const uint32_t n_states = 1 + schema->n_columns - schema->first_value;

    *layout =
        (struct varve_mem_layout){.n_columns = schema->n_columns,
                                  .first = schema->time_column + 1,
                                  .first_value = schema->first_value,
                                  .states_bytes = (n_states + 3) / 4,
                                  .chunk_row = (uint32_t)sizeof(int64_t),
                                  .is_keep = schema->duplicates == VARVE_DUPLICATES_KEEP,
                                  .has_position = schema->duplicates == VARVE_DUPLICATES_KEEP ||
                                                  schema->duplicates == VARVE_DUPLICATES_FIRST};
    layout->columns = varve_memtable_take(table, schema->n_columns * sizeof *layout->columns, 16);
    if (layout->columns == NULL)
        return varve_error_nomem(err, "a memtable");
    memset(layout->columns, 0, schema->n_columns * sizeof *layout->columns);
    for (uint32_t c = layout->first; c < schema->n_columns; c++)
        layout_column(layout, c, schema->phys[c]);
    layout->row_raw = layout->chunk_row + (layout->has_position ? 4 : 0);
    layout->ordinal_offset = layout->chunk_row;
    layout->chunk_row += 4;
    layout->position_offset = layout->chunk_row;
    layout->chunk_row += layout->has_position ? 4 : 0;
    /* Link, flags, body, time, position, write time, expiry; a text's length takes 4 bytes. */
    layout->record_max =
        4 + 1 + 4 + 8 + 4 + 8 + 4 + layout->states_bytes + layout->fixed_bytes + 4 * layout->n_text;
    const uint32_t fits =
        (VARVE_SLAB_NORMAL_MAX - (uint32_t)sizeof(struct varve_chunk)) / layout->chunk_row & ~7u;
    layout->chunk_rows = fits < VARVE_CHUNK_ROWS_MAX ? fits : VARVE_CHUNK_ROWS_MAX;
    return VARVE_OK;
}

/* ----------------------------------------------------------------------------------- Writing */

enum varve_cell_state varve_section_state(const struct varve_section *section, uint32_t column,
                                          uint32_t i)
{
    if (column != VARVE_MARKER_COLUMN) {
        if (column >= section->schema->n_columns)
            return VARVE_ABSENT;
        const struct varve_cells *cells = &section->rows->columns[column];
        if (cells->values == NULL && cells->offsets == NULL && cells->live == NULL)
            return cells->deleted != NULL && varve_bit_get(cells->deleted, i) ? VARVE_DELETED
                                                                              : VARVE_ABSENT;
    }
    return (enum varve_cell_state)varve_rows_state(section->rows, i, column);
}

uint64_t varve_section_text(const struct varve_memtable *table, const struct varve_section *section,
                            uint32_t i)
{
    const struct varve_mem_layout *layout = &table->layout;
    uint64_t size = 0;
    if (layout->n_text == 0)
        return 0;
    for (uint32_t c = layout->first; c < section->schema->n_columns; c++) {
        const uint32_t *offsets = section->rows->columns[c].offsets;
        if (layout->columns[c].phys == VARVE_PHYS_BYTES && offsets != NULL &&
            varve_section_state(section, c, i) == VARVE_LIVE)
            size += offsets[i + 1] - offsets[i];
    }
    return size;
}

static uint8_t *put(uint8_t *out, const void *data, size_t size)
{
    memcpy(out, data, size);
    return out + size;
}

static uint8_t *put_varint(uint8_t *out, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        *out++ = (uint8_t)(v | 0x80);
    *out++ = (uint8_t)v;
    return out;
}

/* Whether some cell or the marker of the row is not live. */
static bool has_states(const struct varve_memtable *table, const struct varve_section *section,
                       uint32_t i)
{
    if (varve_section_state(section, VARVE_MARKER_COLUMN, i) != VARVE_LIVE)
        return true;
    for (uint32_t c = table->layout.first_value; c < table->layout.n_columns; c++)
        if (varve_section_state(section, c, i) != VARVE_LIVE)
            return true;
    return false;
}

static uint8_t *put_states(const struct varve_memtable *table, uint8_t *out,
                           const struct varve_section *section, uint32_t i)
{
    const struct varve_mem_layout *layout = &table->layout;
    memset(out, 0, layout->states_bytes);
    out[0] = (uint8_t)varve_section_state(section, VARVE_MARKER_COLUMN, i);
    for (uint32_t c = layout->first_value; c < layout->n_columns; c++) {
        const uint32_t k = 1 + c - layout->first_value;
        out[k >> 2] |= (uint8_t)(varve_section_state(section, c, i) << (k & 3) * 2);
    }
    return out + layout->states_bytes;
}

static uint8_t *put_fixed(const struct varve_memtable *table, uint8_t *out,
                          const struct varve_section *section, uint32_t i, bool states)
{
    const struct varve_mem_layout *layout = &table->layout;
    for (uint32_t c = layout->first; c < layout->n_columns; c++) {
        const struct varve_mem_column *column = &layout->columns[c];
        if (column->width == 0 || (states && varve_section_state(section, c, i) != VARVE_LIVE))
            continue;
        const struct varve_cells *cells = &section->rows->columns[c];
        const uint8_t *value = (const uint8_t *)cells->values + (size_t)i * column->width;
        if (column->width == 8) /* the common width, as one store */
            out = put(out, value, 8);
        else
            out = put(out, value, column->width);
        if (column->phys == VARVE_PHYS_DEC)
            *out++ = (uint8_t)cells->scales[i];
    }
    return out;
}

static uint8_t *put_text(const struct varve_memtable *table, uint8_t *out,
                         const struct varve_section *section, uint32_t i, bool states)
{
    const struct varve_mem_layout *layout = &table->layout;
    for (uint32_t c = layout->first; c < layout->n_columns; c++) {
        if (layout->columns[c].phys != VARVE_PHYS_BYTES ||
            (states && varve_section_state(section, c, i) != VARVE_LIVE))
            continue;
        const struct varve_cells *cells = &section->rows->columns[c];
        const uint32_t size = cells->offsets[i + 1] - cells->offsets[i];
        out = put_varint(out, size);
        if (size > 0)
            out = put(out, (const uint8_t *)cells->values + cells->offsets[i], size);
    }
    return out;
}

static uint8_t flags_of(const struct varve_memtable *table, const struct varve_section *section,
                        uint32_t i)
{
    const struct varve_rows *rows = section->rows;
    uint8_t flags = has_states(table, section, i) ? VARVE_RECORD_STATES : 0;
    if (varve_rows_wt(rows, i) != VARVE_WT_COMMIT)
        flags |= VARVE_RECORD_WT;
    if (rows->exp != NULL && rows->exp[i] != 0)
        flags |= VARVE_RECORD_EXP;
    return flags;
}

/* Exact size of the body, so that nothing behind it is lost. */
static uint32_t body_bytes(const struct varve_memtable *table, const struct varve_section *section,
                           uint32_t i, uint8_t flags)
{
    const struct varve_mem_layout *layout = &table->layout;
    const bool states = (flags & VARVE_RECORD_STATES) != 0;
    uint32_t size = 8u + (layout->has_position ? 4u : 0u) + (states ? layout->states_bytes : 0u) +
                    (flags & VARVE_RECORD_WT ? 8u : 0u) + (flags & VARVE_RECORD_EXP ? 4u : 0u);
    if (!states)
        size += layout->fixed_bytes;
    if (!states && layout->n_text == 0)
        return size;
    for (uint32_t c = layout->first; c < layout->n_columns; c++) {
        const struct varve_mem_column *column = &layout->columns[c];
        if (states && varve_section_state(section, c, i) != VARVE_LIVE)
            continue;
        if (column->phys == VARVE_PHYS_BYTES) {
            const uint32_t *offsets = section->rows->columns[c].offsets;
            const uint32_t text = offsets[i + 1] - offsets[i];
            size += text + 1 + (text >= 1u << 7) + (text >= 1u << 14) + (text >= 1u << 21);
        } else if (states) {
            size += column->width + (column->phys == VARVE_PHYS_DEC ? 1u : 0u);
        }
    }
    return size;
}

static uint8_t *put_body(const struct varve_memtable *table, uint8_t *out,
                         const struct varve_section *section, uint32_t i, uint8_t flags)
{
    const struct varve_rows *rows = section->rows;
    const bool states = (flags & VARVE_RECORD_STATES) != 0;
    const int64_t wt = varve_rows_wt(rows, i);

    out = put(out, &rows->time[i], sizeof rows->time[i]);
    if (table->layout.has_position)
        out = put(out, &i, sizeof i);
    if (states)
        out = put_states(table, out, section, i);
    if (flags & VARVE_RECORD_WT)
        out = put(out, &wt, sizeof wt);
    if (flags & VARVE_RECORD_EXP)
        out = put(out, &rows->exp[i], sizeof rows->exp[i]);
    out = put_fixed(table, out, section, i, states);
    if (table->layout.n_text > 0)
        out = put_text(table, out, section, i, states);
    return out;
}

void varve_chain_append(struct varve_memtable *table, struct varve_mem_partition *partition,
                        const struct varve_section *section, uint32_t i, uint32_t block)
{
    uint8_t flags = flags_of(table, section, i);
    const uint32_t body = body_bytes(table, section, i, flags);
    const uint32_t link = atomic_load_explicit(&partition->chain, memory_order_relaxed);
    uint32_t position;
    uint8_t *end;

    if (block != 0) {
        assert(body <= block);
        flags |= VARVE_RECORD_BODY;
        const uint32_t elsewhere = varve_slabs_take_block(&table->slabs, block);
        position = varve_slabs_take(&table->slabs, 9, 1);
        memcpy(varve_slab_at(&table->slabs, position) + 5, &elsewhere, sizeof elsewhere);
        end = put_body(table, varve_slab_at(&table->slabs, elsewhere), section, i, flags);
        assert(end == varve_slab_at(&table->slabs, elsewhere) + body);
    } else {
        position = varve_slabs_take(&table->slabs, 5 + body, 1);
        end = put_body(table, varve_slab_at(&table->slabs, position) + 5, section, i, flags);
        assert(end == varve_slab_at(&table->slabs, position) + 5 + body);
    }
    uint8_t *record = varve_slab_at(&table->slabs, position);
    memcpy(record, &link, sizeof link);
    record[4] = flags;
    if (partition->credit < VARVE_CREDIT_MAX)
        partition->credit += VARVE_ROW_OVERHEAD - 5;
    atomic_store_explicit(&partition->chain, position, memory_order_release);
}

/* ----------------------------------------------------------------------------------- Reading */

static const uint8_t *body_of(const struct varve_memtable *table, const uint8_t *record)
{
    if (!(record[4] & VARVE_RECORD_BODY))
        return record + 5;
    uint32_t position;
    memcpy(&position, record + 5, sizeof position);
    return varve_slab_at(&table->slabs, position);
}

int64_t varve_record_time(const struct varve_memtable *table, const uint8_t *record)
{
    int64_t time;
    memcpy(&time, body_of(table, record), sizeof time);
    return time;
}

struct varve_mem_record varve_record_parse(const struct varve_memtable *table,
                                           const uint8_t *record)
{
    struct varve_mem_record r = {
        .link = varve_record_link(record), .flags = record[4], .wt = VARVE_WT_COMMIT};
    const uint8_t *at = body_of(table, record);

    memcpy(&r.time, at, sizeof r.time);
    at += sizeof r.time;
    if (table->layout.has_position) {
        memcpy(&r.position, at, sizeof r.position);
        at += sizeof r.position;
    }
    if (r.flags & VARVE_RECORD_STATES) {
        r.states = at;
        at += table->layout.states_bytes;
    }
    if (r.flags & VARVE_RECORD_WT) {
        memcpy(&r.wt, at, sizeof r.wt);
        at += sizeof r.wt;
    }
    if (r.flags & VARVE_RECORD_EXP) {
        memcpy(&r.exp, at, sizeof r.exp);
        at += sizeof r.exp;
    }
    r.fixed = at;
    return r;
}

const uint8_t *varve_record_cell(const struct varve_memtable *table,
                                 const struct varve_mem_record *record, uint32_t column)
{
    const struct varve_mem_layout *layout = &table->layout;
    const uint8_t *at = record->fixed;

    assert(layout->columns[column].width > 0);
    if (record->states == NULL || column < layout->first_value)
        return at + layout->columns[column].record_offset;
    at += layout->columns[layout->first_value].record_offset;
    for (uint32_t c = layout->first_value; c < column; c++) {
        if (varve_record_state(record, 1 + c - layout->first_value) == VARVE_LIVE)
            at += layout->columns[c].width + (layout->columns[c].phys == VARVE_PHYS_DEC ? 1 : 0);
    }
    return at;
}

const uint8_t *varve_record_texts(const struct varve_memtable *table,
                                  const struct varve_mem_record *record)
{
    const struct varve_mem_layout *layout = &table->layout;
    if (record->states == NULL)
        return record->fixed + layout->fixed_bytes;
    const uint8_t *at = record->fixed;
    for (uint32_t c = layout->first; c < layout->n_columns; c++) {
        if (c < layout->first_value ||
            varve_record_state(record, 1 + c - layout->first_value) == VARVE_LIVE)
            at += layout->columns[c].width + (layout->columns[c].phys == VARVE_PHYS_DEC ? 1 : 0);
    }
    return at;
}

const uint8_t *varve_text_next(const uint8_t *at, struct varve_span *ret_text)
{
    uint32_t size = 0, shift = 0;
    for (; *at >= 0x80; at++, shift += 7)
        size |= (uint32_t)(*at & 0x7f) << shift;
    size |= (uint32_t)*at++ << shift;
    *ret_text = varve_span_of(at, size);
    return at + size;
}

uint32_t varve_record_ordinal(const struct varve_memtable *table, uint32_t n, uint32_t position)
{
    uint32_t low = 0; /* the answer is in [low, high) */
    uint32_t high = n;

    assert(n > 0);
    /* Positions are nearly proportional to ordinals, so guess first and gallop from there. */
    const uint32_t end = varve_mem_commit_at(table, n - 1)->position;
    if (end > position) {
        uint32_t guess = (uint32_t)((uint64_t)position * n / ((uint64_t)end + 1));
        uint32_t step = 8;
        if (varve_mem_commit_at(table, guess)->position <= position) {
            for (low = guess; high - low > step; step *= 4) {
                if (varve_mem_commit_at(table, low + step)->position > position) {
                    high = low + step;
                    break;
                }
                low += step;
            }
        } else {
            for (high = guess; high > step; step *= 4) {
                if (varve_mem_commit_at(table, high - step)->position <= position) {
                    low = high - step;
                    break;
                }
                high -= step;
            }
        }
    } else {
        return n - 1;
    }
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (varve_mem_commit_at(table, middle)->position <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* A cell of fixed width as a value; `scale` matters to bare decimals. */
varve_value varve_mem_value(const struct varve_memtable *table, uint32_t column,
                            const uint8_t *cell, int8_t scale)
{
    const varve_column_info *info = &table->schema->columns[column];
    varve_value v = {.type = info->type, .presence = VARVE_SET, .scale = info->scale};
    int8_t i8;
    int16_t i16;
    int32_t i32;

    v.unit = info->type == VARVE_TIMESTAMP ? info->unit : 0;
    switch ((enum varve_phys)table->layout.columns[column].phys) {
    case VARVE_PHYS_I8:
        memcpy(&i8, cell, sizeof i8);
        v.as.i64 = i8;
        break;
    case VARVE_PHYS_I16:
        memcpy(&i16, cell, sizeof i16);
        v.as.i64 = i16;
        break;
    case VARVE_PHYS_I32:
        memcpy(&i32, cell, sizeof i32);
        v.as.i64 = i32;
        break;
    case VARVE_PHYS_DEC:
        v.scale = scale;
        memcpy(&v.as.i64, cell, sizeof v.as.i64);
        break;
    case VARVE_PHYS_I64:
        memcpy(&v.as.i64, cell, sizeof v.as.i64);
        break;
    case VARVE_PHYS_F32:
        memcpy(&v.as.f32, cell, sizeof v.as.f32);
        break;
    case VARVE_PHYS_F64:
        memcpy(&v.as.f64, cell, sizeof v.as.f64);
        break;
    case VARVE_PHYS_B16:
        memcpy(v.as.uuid, cell, sizeof v.as.uuid);
        break;
    case VARVE_PHYS_BYTES:
        assert(false); /* text has no fixed width */
        break;
    }
    return v;
}

varve_value varve_record_value(const struct varve_memtable *table,
                               const struct varve_mem_record *record, uint32_t column)
{
    const struct varve_mem_layout *layout = &table->layout;

    if (layout->columns[column].width > 0) {
        const uint8_t *cell = varve_record_cell(table, record, column);
        return varve_mem_value(table, column, cell,
                               layout->columns[column].phys == VARVE_PHYS_DEC ? (int8_t)cell[8]
                                                                              : 0);
    }
    struct varve_span text = {NULL, 0};
    const uint8_t *at = varve_record_texts(table, record);
    for (uint32_t c = layout->first_text; c <= column; c = layout->columns[c].next_text) {
        if (c < layout->first_value ||
            varve_record_state(record, 1 + c - layout->first_value) == VARVE_LIVE)
            at = varve_text_next(at, &text);
    }
    varve_value v = {.type = table->schema->columns[column].type, .presence = VARVE_SET};
    v.as.bytes.data = text.data;
    v.as.bytes.size = text.size;
    return v;
}
