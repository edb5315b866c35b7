/*
 * live_rows.c - what a reader sees of stored rows: which exist, and which cells have expired.
 *
 * Most steps are certain: every row exists and nothing has expired, which the piece's flags say.
 * Otherwise states and stamps of all value columns are read, because any of them may be what makes
 * a row exist.
 */
#include "storage/scan/scan_int.h"

#include <assert.h>

bool varve_step_is_certain(const varve_cursor *cursor, const struct varve_merge_step *step)
{
    const struct varve_piece *piece = &step->piece;

    if (step->plain || step->source == NULL)
        return step->plain;
    return (piece->flags & VARVE_PIECE_PLAIN) != 0 &&
           ((piece->flags & VARVE_PIECE_EXPIRY) == 0 || piece->min_expiry > cursor->input.now_s);
}

static varve_status prepare(struct varve_live_rows *live, varve_cursor *cursor, varve_error *err)
{
    if (live->cells == NULL)
        live->cells = varve_cursor_memory(cursor, cursor->schema->n_columns, sizeof *live->cells);
    return live->cells != NULL ? VARVE_OK : varve_error_nomem(err, "the rows of a scan");
}

static void exist_all(struct varve_live_rows *live)
{
    memset(live->exists, 0, VARVE_BITMAP_WORDS(live->n) * sizeof *live->exists);
    varve_bitmap_set_range(live->exists, 0, live->n);
}

/* A bitmap of ours with what the column's live bitmap says. */
static uint64_t *copy_live(struct varve_live_rows *live, uint32_t number, const uint64_t *from)
{
    uint64_t *bits = live->bitmaps + number * live->words;
    const uint32_t n = live->rows.n;

    live->before[number] = from;
    memset(bits, 0, live->words * sizeof *bits);
    if (from == NULL)
        varve_bitmap_set_range(bits, 0, n);
    else
        memcpy(bits, from, VARVE_BITMAP_WORDS(n) * sizeof *bits);
    return bits;
}

static bool is_loaded(const struct varve_cells *cells)
{
    return cells->values != NULL || cells->offsets != NULL;
}

static bool has_expired(uint32_t exp, uint32_t now_s)
{
    return exp != 0 && exp <= now_s;
}

/* What exceptions say of single cells overrules the row's expiry. */
static void expire_exceptions(struct varve_live_rows *live, const struct varve_rows *stored,
                              uint32_t now_s)
{
    const struct varve_schema *schema = stored->schema;

    for (uint32_t i = 0; i < stored->n_exceptions; i++) {
        const struct varve_exception *e = &stored->exceptions[i];
        const bool marker = e->column == VARVE_MARKER_COLUMN;
        if (!marker && (e->column < schema->first_value || e->column >= schema->n_columns ||
                        !is_loaded(&live->cells[e->column])))
            continue;
        const uint64_t *before = live->before[marker ? schema->n_columns : e->column];
        if (e->row >= stored->n || (before != NULL && !varve_bit_get(before, e->row)))
            continue;
        uint64_t *bits = marker ? live->rows.marker_live : live->cells[e->column].live;
        if (has_expired(e->exp, now_s))
            varve_bit_clear(bits, e->row);
        else
            varve_bit_set(bits, e->row);
    }
}

/* Replace live bitmaps by ones in which expired cells are not live. */
static varve_status expire(struct varve_live_rows *live, varve_cursor *cursor,
                           const struct varve_rows *stored, varve_error *err)
{
    const struct varve_schema *schema = stored->schema;
    const uint32_t now_s = cursor->input.now_s;
    uint64_t gone[VARVE_SELECT_WORDS] = {0};

    assert(stored->n <= VARVE_VECTOR_ROWS);
    if (live->bitmaps == NULL) {
        live->words = VARVE_SELECT_WORDS;
        live->bitmaps =
            varve_cursor_memory(cursor, schema->n_columns + 1, live->words * sizeof *live->bitmaps);
        live->before = varve_cursor_memory(cursor, schema->n_columns + 1, sizeof(const uint64_t *));
        if (live->bitmaps == NULL || live->before == NULL) {
            live->bitmaps = NULL;
            return varve_error_nomem(err, "the rows of a scan");
        }
    }
    for (uint32_t i = 0; stored->exp != NULL && i < stored->n; i++)
        if (has_expired(stored->exp[i], now_s))
            varve_bit_set(gone, i);
    live->rows.marker_live = copy_live(live, schema->n_columns, stored->marker_live);
    for (uint32_t w = 0; w < live->words; w++)
        live->rows.marker_live[w] &= ~gone[w];
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        struct varve_cells *cells = &live->cells[c];
        if (!is_loaded(cells))
            continue;
        cells->live = copy_live(live, c, cells->live);
        for (uint32_t w = 0; w < live->words; w++)
            cells->live[w] &= ~gone[w];
    }
    expire_exceptions(live, stored, now_s);
    return VARVE_OK;
}

static void or_live(struct varve_live_rows *live, const uint64_t *bits)
{
    uint64_t part[VARVE_SELECT_WORDS] = {0};

    if (bits == NULL) {
        exist_all(live);
        return;
    }
    varve_bitmap_copy(part, 0, bits, live->first, live->n);
    for (uint32_t w = 0; w < VARVE_BITMAP_WORDS(live->n); w++)
        live->exists[w] |= part[w];
}

/* A row exists if its marker or any value cell lives. */
static void find_existing(struct varve_live_rows *live)
{
    const struct varve_schema *schema = live->rows.schema;

    memset(live->exists, 0, sizeof live->exists);
    or_live(live, live->rows.marker_live);
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        or_live(live, live->cells[c].live);
}

static bool may_expire(const struct varve_rows *rows)
{
    return rows->exp != NULL || rows->n_exceptions > 0;
}

varve_status varve_live_rows_take(struct varve_live_rows *live, varve_cursor *cursor,
                                  const struct varve_merge_step *step, uint32_t first, uint32_t n,
                                  const struct varve_column_set *columns, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const bool certain = varve_step_is_certain(cursor, step);
    varve_status rc = prepare(live, cursor, err);

    if (rc < 0)
        return rc;
    if (step->source == NULL) { /* `columns` are there, and all if it matters */
        live->rows = *step->rows;
        memcpy(live->cells, step->rows->columns, schema->n_columns * sizeof *live->cells);
        live->rows.columns = live->cells;
        live->first = first;
    } else {
        struct varve_column_set all;
        if (!certain) {
            memset(&all, 0, sizeof all);
            varve_bitmap_set_range(all.bits, schema->time_column + 1,
                                   schema->n_columns - schema->time_column - 1);
            columns = &all;
        }
        live->rows.columns = live->cells;
        rc = step->source->ops->load(step->source, step->stream, first, n, columns, !certain,
                                     &live->rows, err);
        if (rc < 0)
            return rc;
        live->first = 0;
    }
    live->n = n;
    if (certain) {
        exist_all(live);
        return VARVE_OK;
    }
    if (may_expire(&live->rows)) {
        const struct varve_rows stored = live->rows;
        rc = expire(live, cursor, &stored, err);
    }
    if (rc == VARVE_OK)
        find_existing(live);
    return rc;
}
