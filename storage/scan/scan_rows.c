/*
 * scan_rows.c - READ 3: rows of a table into batches.
 *
 * A step of the merge is first judged (zone maps, predicate columns), then loaded for the rows that
 * survived, and then handed out over as many batches as it takes: `index` lists its rows in the
 * order of the scan, and `at` says how far they have been handed out.
 */
#include "storage/scan/scan_int.h"

struct varve_scan_rows {
    struct varve_column_set output; /* what is to be loaded for the result */
    uint32_t *columns;              /* of the result */
    bool in_partition;
    uint64_t left;         /* rows that may still be given */
    uint64_t left_of_each; /* the same of the current partition */
    uint32_t at;
    uint32_t n;
    uint32_t index[VARVE_VECTOR_ROWS]; /* rows of cursor->live.rows */
};

static uint64_t budget(const struct varve_scan_rows *rows)
{
    return rows->left < rows->left_of_each ? rows->left : rows->left_of_each;
}

/* List `count` rows, those that `selected` has (bit 0: row `first`), in the order of the scan. */
static void list_rows(struct varve_scan_rows *rows, const uint64_t *selected, uint32_t first,
                      uint32_t n, uint32_t count, bool reverse)
{
    uint32_t at = 0;

    for (uint32_t i = 0; count == n && i < n; i++)
        rows->index[i] = reverse ? first + n - 1 - i : first + i;
    for (uint32_t w = 0; count < n && w < VARVE_BITMAP_WORDS(n); w++)
        for (uint64_t word = selected[w]; word != 0; word &= word - 1, at++) {
            const uint32_t row = first + w * 64 + (uint32_t)__builtin_ctzll(word);
            rows->index[reverse ? count - 1 - at : at] = row;
        }
    rows->n = count;
    rows->at = 0;
}

/* Clear the first `drop` set bits, or the last. */
static void drop_rows(uint64_t *selected, uint32_t n, uint32_t drop, bool last)
{
    for (uint32_t w = 0; drop > 0 && w < VARVE_BITMAP_WORDS(n); w++) {
        uint64_t *word = &selected[last ? VARVE_BITMAP_WORDS(n) - 1 - w : w];
        for (; drop > 0 && *word != 0; drop--)
            *word &= last ? ~((uint64_t)1 << (63 - __builtin_clzll(*word))) : *word - 1;
    }
}

/* Keep as many of the selected rows as may still be given; how many that is. */
static uint32_t trim(const struct varve_scan_rows *rows, uint64_t *selected, uint32_t n,
                     bool reverse)
{
    const uint32_t count = (uint32_t)varve_bitmap_count(selected, n);

    if (count <= budget(rows))
        return count;
    drop_rows(selected, n, count - (uint32_t)budget(rows), !reverse);
    return (uint32_t)budget(rows);
}

/* A piece whose rows all exist: predicate columns first, then the rest for what survives. */
static varve_status take_certain_piece(varve_cursor *cursor, const struct varve_merge_step *step,
                                       varve_error *err)
{
    struct varve_scan_rows *rows = cursor->rows;
    struct varve_live_rows *live = &cursor->live;
    uint64_t selected[VARVE_SELECT_WORDS];
    uint32_t first, end;

    varve_status rc = varve_live_rows_take(live, cursor, step, step->first, step->n,
                                           &cursor->filter.columns, err);
    if (rc < 0)
        return rc;
    memcpy(selected, live->exists, sizeof selected);
    varve_filter_rows(&cursor->filter, &live->rows, live->first, step->n, selected);
    const uint32_t count = trim(rows, selected, step->n, cursor->reverse);
    if (count == 0)
        return VARVE_OK;
    first = (uint32_t)varve_bitmap_next(selected, 0, step->n);
    end = step->n;
    while (!varve_bit_get(selected, end - 1))
        end--;
    rc = varve_live_rows_take(live, cursor, step, step->first + first, end - first, &rows->output,
                              err);
    if (rc < 0)
        return rc;
    uint64_t shifted[VARVE_SELECT_WORDS] = {0};
    varve_bitmap_copy(shifted, 0, selected, first, end - first);
    list_rows(rows, shifted, live->first, end - first, count, cursor->reverse);
    return VARVE_OK;
}

/* Look at all rows [first, first + n) of the step at once. */
static varve_status take_at_once(varve_cursor *cursor, const struct varve_merge_step *step,
                                 uint32_t first, uint32_t n, varve_error *err)
{
    struct varve_live_rows *live = &cursor->live;
    uint64_t selected[VARVE_SELECT_WORDS];
    const varve_status rc =
        varve_live_rows_take(live, cursor, step, first, n, &cursor->rows->output, err);

    if (rc < 0)
        return rc;
    memcpy(selected, live->exists, sizeof selected);
    varve_filter_rows(&cursor->filter, &live->rows, live->first, n, selected);
    const uint32_t count = trim(cursor->rows, selected, n, cursor->reverse);
    list_rows(cursor->rows, selected, live->first, n, count, cursor->reverse);
    return VARVE_OK;
}

static varve_status take_step(varve_cursor *cursor, const struct varve_merge_step *step,
                              varve_error *err)
{
    const bool certain = varve_step_is_certain(cursor, step);
    const bool filtered = cursor->filter.n_rows > 0;
    uint32_t first = step->first, n = step->n;
    enum varve_zone_verdict verdict = VARVE_ZONE_SOME;

    if (filtered && step->source != NULL && (step->piece.flags & VARVE_PIECE_ZONED) != 0) {
        const varve_status rc = varve_filter_zone(&cursor->filter, step->source, step->stream,
                                                  &step->piece, &verdict, err);
        if (rc < 0)
            return rc;
    }
    if (verdict == VARVE_ZONE_NONE) {
        cursor->zone_pruned++;
        return VARVE_OK;
    }
    varve_status rc = varve_cursor_tick(cursor, n, err);
    if (rc < 0)
        return rc;
    if (certain && filtered && step->source != NULL)
        return take_certain_piece(cursor, step, err);
    if (certain && !filtered && n > budget(cursor->rows)) { /* no more than may be given */
        const uint32_t most = (uint32_t)budget(cursor->rows);
        if (cursor->reverse)
            first += n - most;
        n = most;
    }
    return take_at_once(cursor, step, first, n, err);
}

/* Hand out what is left of the current step, as far as the batch has room. */
static varve_status give(varve_cursor *cursor, varve_error *err)
{
    struct varve_scan_rows *rows = cursor->rows;
    struct varve_result *result = &cursor->result;
    const struct varve_schema *schema = cursor->schema;
    const uint32_t *index = rows->index + rows->at;
    uint32_t n = rows->n - rows->at;

    if (n > varve_result_room(result))
        n = varve_result_room(result);
    for (uint32_t i = 0; i < result->n_columns; i++)
        n = varve_result_fit(result, i, &cursor->live.rows, rows->columns[i], index, n);
    if (n == 0) { /* the bytes of a text column are enough for a batch */
        result->full = true;
        return VARVE_OK;
    }
    for (uint32_t i = 0; i < result->n_columns; i++) {
        const uint32_t column = rows->columns[i];
        const varve_status rc =
            column < schema->n_partition
                ? varve_result_fill(result, i, &cursor->key_values[column], n, err)
                : varve_result_copy(result, i, &cursor->live.rows, column, index, n, err);
        if (rc < 0)
            return rc;
    }
    rows->at += n;
    result->rows += n;
    rows->left -= n;
    rows->left_of_each -= n;
    return VARVE_OK;
}

/* Come to the next step that has rows to hand out. VARVE_END: there is none. */
static varve_status next_step(varve_cursor *cursor, varve_error *err)
{
    struct varve_scan_rows *rows = cursor->rows;
    struct varve_merge_step step;
    varve_status rc;

    while (rows->at == rows->n) {
        if (rows->left == 0)
            return VARVE_END;
        if (!rows->in_partition) {
            rc = varve_cursor_partition(cursor, err);
            if (rc == VARVE_OK)
                rc = varve_merge_begin(cursor->merge, cursor->walk.inputs, cursor->walk.n_inputs,
                                       cursor->first, cursor->last, cursor->reverse, err);
            if (rc != VARVE_OK)
                return rc;
            rows->in_partition = true;
            rows->left_of_each = cursor->scan.limit_per_partition;
            if (rows->left_of_each == 0)
                rows->left_of_each = UINT64_MAX;
        }
        rows->n = rows->at = 0;
        rc = rows->left_of_each == 0 ? VARVE_END : varve_merge_next(cursor->merge, &step, err);
        if (rc == VARVE_END) {
            rows->in_partition = false;
            continue;
        }
        if (rc == VARVE_OK)
            rc = take_step(cursor, &step, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status fill_rows(varve_cursor *cursor, varve_error *err)
{
    struct varve_result *result = &cursor->result;
    varve_status rc = next_step(cursor, err);

    if (rc != VARVE_OK)
        return rc;
    rc = varve_result_begin(result, cursor->rows->n - cursor->rows->at, err);
    while (rc == VARVE_OK) {
        rc = give(cursor, err);
        if (rc < 0 || varve_result_room(result) == 0)
            break;
        rc = next_step(cursor, err);
    }
    return rc < 0 ? rc : VARVE_OK;
}

varve_status varve_scan_rows_init(varve_cursor *cursor, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const uint32_t n = cursor->scan.n_columns > 0 ? cursor->scan.n_columns : schema->n_columns;
    struct varve_column_set needed = cursor->filter.columns;
    struct varve_scan_rows *rows =
        varve_arena_alloc(&cursor->arena, sizeof *rows, _Alignof(struct varve_scan_rows));
    varve_status rc = varve_result_init(&cursor->result, cursor, n, err);

    if (rc < 0 || rows == NULL)
        return rc < 0 ? rc : varve_error_nomem(err, "a scan");
    memset(rows, 0, offsetof(struct varve_scan_rows, index));
    rows->left = cursor->scan.limit > 0 ? cursor->scan.limit : UINT64_MAX;
    if ((cursor->scan.flags & VARVE_SCAN_DECLARED_ORDER) != 0 &&
        schema->columns[schema->time_column].descending)
        cursor->reverse = !cursor->reverse; /* of the partitions only the rows turn */
    rows->columns = varve_cursor_memory(cursor, n, sizeof *rows->columns);
    if (rows->columns == NULL)
        return varve_error_nomem(err, "a scan");
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t column = cursor->scan.n_columns > 0 ? cursor->scan.columns[i] : i;
        const varve_column_info *info = &schema->columns[column];
        rows->columns[i] = column;
        varve_result_define(&cursor->result, i, info->name, info, info->type);
        if (column <= schema->time_column)
            continue;
        varve_bit_set(rows->output.bits, column);
        varve_bit_set(needed.bits, column);
    }
    cursor->rows = rows;
    cursor->fill = fill_rows;
    return varve_merge_create(cursor->heap, schema, &needed, &cursor->merge, err);
}
