/*
 * cursor.c - the public cursor: opening, the next batch, cancelling, statistics.
 *
 * A failure is final: every further call returns it. Floating point runs in the default mode (round
 * to nearest, no flushing of subnormals) whatever the application has set, because decoders and
 * folds promise the same bits everywhere.
 */
#include "storage/scan/scan_int.h"

#include <assert.h>

#include "storage/base/float_mode.h"

#define ARENA_BLOCK 28672u /* a cursor of some ten columns, and a short batch of them */
#define TICK_ROWS 65536u

/* --------------------------------------------------------------------------------------- Shared */

static uint64_t bytes_read(const varve_cursor *cursor)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < cursor->input.n_sources; i++)
        bytes += cursor->input.sources[i]->bytes_read;
    return bytes;
}

static varve_status canceled(varve_error *err)
{
    return varve_error_set(err, VARVE_ECANCELED, NULL, VARVE_NO_OFFSET, "the scan was canceled");
}

varve_status varve_cursor_tick(varve_cursor *cursor, uint32_t rows, varve_error *err)
{
    cursor->rows_examined += rows;
    if (atomic_load_explicit(&cursor->canceled, memory_order_relaxed))
        return canceled(err);
    if (cursor->scan.progress == NULL || cursor->rows_examined - cursor->rows_reported < TICK_ROWS)
        return VARVE_OK;
    cursor->rows_reported = cursor->rows_examined;
    const double total = (double)cursor->rows_total;
    double fraction = total > 0 ? (double)cursor->rows_examined / total : 1.0;
    if (fraction > 1.0)
        fraction = 1.0;
    if (cursor->scan.progress(cursor->scan.progress_ctx, cursor->rows_examined, bytes_read(cursor),
                              fraction) != 0)
        return canceled(err);
    return VARVE_OK;
}

/* Whether some source may have rows of the partition in the range; the others are left out. */
static bool prune_inputs(varve_cursor *cursor)
{
    struct varve_walk *walk = &cursor->walk;
    uint32_t n = 0;

    for (uint32_t i = 0; i < walk->n_inputs; i++) {
        const struct varve_merge_input *input = &walk->inputs[i];
        if (input->partition.last_time < cursor->first ||
            input->partition.first_time > cursor->last)
            continue;
        walk->inputs[n++] = *input;
    }
    walk->n_inputs = n;
    return n > 0;
}

varve_status varve_cursor_partition(varve_cursor *cursor, varve_error *err)
{
    for (;;) {
        varve_status rc = varve_cursor_tick(cursor, 0, err);
        if (rc == VARVE_OK)
            rc = varve_walk_next(&cursor->walk, err);
        if (rc != VARVE_OK)
            return rc;
        if (!prune_inputs(cursor))
            continue;
        rc = varve_key_decode(cursor->schema, cursor->walk.key, cursor->key_scratch,
                              cursor->key_values, err);
        if (rc < 0)
            return rc;
        if (varve_filter_partition(&cursor->filter, cursor->key_values))
            return VARVE_OK;
    }
}

/* --------------------------------------------------------------------------------- Open, close */

static void cursor_free(varve_cursor *cursor)
{
    if (cursor == NULL)
        return;
    varve_merge_free(cursor->merge);
    varve_groups_free(cursor->groups);
    varve_result_free(&cursor->result);
    struct varve_arena arena = cursor->arena; /* not from what it frees */
    varve_arena_free(&arena);
}

/* Sources whose rows all lie outside the range need not be asked. Their close is still ours. */
static varve_status take_sources(varve_cursor *cursor, const struct varve_scan_input *input,
                                 varve_error *err)
{
    struct varve_source **sources =
        varve_cursor_memory(cursor, input->n_sources, sizeof(struct varve_source *));

    if (sources == NULL)
        return varve_error_nomem(err, "a scan");
    for (uint32_t i = 0; i < input->n_sources; i++) {
        sources[i] = input->sources[i];
        cursor->rows_total += input->sources[i]->rows;
    }
    cursor->input = *input;
    cursor->input.sources = sources;
    return VARVE_OK;
}

typedef varve_status (*body_init_fn)(varve_cursor *cursor, varve_error *err);

static varve_status cursor_init(varve_cursor *cursor, const struct varve_scan_input *input,
                                const varve_scan *scan, body_init_fn body, varve_error *err)
{
    const struct varve_schema *schema = input->schema;

    cursor->schema = schema;
    cursor->scan = *scan;
    cursor->reverse = (scan->flags & VARVE_SCAN_REVERSE) != 0;
    cursor->keys_reverse = cursor->reverse;
    varve_scan_time_range(scan, input->floor, &cursor->first, &cursor->last);
    atomic_init(&cursor->canceled, false);
    cursor->key_values =
        varve_cursor_memory(cursor, schema->n_partition, sizeof *cursor->key_values);
    cursor->key_scratch = varve_arena_alloc(&cursor->arena, VARVE_KEY_BYTES_MAX, 16);
    if (cursor->key_values == NULL || cursor->key_scratch == NULL)
        return varve_error_nomem(err, "a scan");
    varve_status rc = take_sources(cursor, input, err);
    if (rc == VARVE_OK)
        rc = varve_filter_init(&cursor->filter, cursor, err);
    if (rc == VARVE_OK)
        rc = body(cursor, err);
    if (rc == VARVE_OK)
        rc = varve_walk_init(&cursor->walk, cursor, err);
    return rc;
}

static varve_status cursor_open(struct varve_heap *heap, const struct varve_scan_input *input,
                                const varve_scan *scan, body_init_fn body,
                                varve_cursor **ret_cursor, varve_error *err)
{
    struct varve_arena arena;

    varve_arena_init(&arena, heap, ARENA_BLOCK);
    varve_cursor *cursor = varve_arena_alloc(&arena, sizeof *cursor, _Alignof(varve_cursor));
    if (cursor == NULL)
        return varve_error_nomem(err, "a cursor");
    memset(cursor, 0, sizeof *cursor);
    cursor->heap = heap;
    cursor->arena = arena;
    const varve_float_mode mode = varve_float_mode_enter();
    const varve_status rc = cursor_init(cursor, input, scan, body, err);
    varve_float_mode_leave(&mode);
    if (rc < 0) {
        cursor_free(cursor);
        return rc;
    }
    *ret_cursor = cursor;
    return VARVE_OK;
}

varve_status varve_scan_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                               const varve_scan *scan, varve_cursor **ret_cursor, varve_error *err)
{
    const varve_status rc = varve_scan_check(input->schema, scan, false, err);
    return rc < 0 ? rc : cursor_open(heap, input, scan, varve_scan_rows_init, ret_cursor, err);
}

varve_status varve_aggregate_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                                    const varve_scan *scan, varve_cursor **ret_cursor,
                                    varve_error *err)
{
    const varve_status rc = varve_scan_check(input->schema, scan, true, err);
    return rc < 0 ? rc : cursor_open(heap, input, scan, varve_groups_init, ret_cursor, err);
}

varve_status varve_partitions_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                                     const varve_scan *scan, varve_cursor **ret_cursor,
                                     varve_error *err)
{
    const varve_status rc = varve_scan_check(input->schema, scan, false, err);
    return rc < 0 ? rc : cursor_open(heap, input, scan, varve_partition_list_init, ret_cursor, err);
}

VARVE_API void varve_cursor_close(varve_cursor *cursor)
{
    if (cursor == NULL)
        return;
    const struct varve_scan_input input = cursor->input;
    for (uint32_t i = 0; i < input.n_sources; i++)
        input.sources[i]->ops->close(input.sources[i]);
    cursor_free(cursor);
    if (input.release != NULL)
        input.release(input.ctx);
}

/* ---------------------------------------------------------------------------------------- Next */

VARVE_API varve_status varve_cursor_next(varve_cursor *cursor, const varve_batch_view **ret_view,
                                         varve_error *err)
{
    varve_error local;

    if (cursor == NULL || ret_view == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "varve_cursor_next needs a cursor and a place for the batch");
    if (cursor->ended == VARVE_END)
        return VARVE_END;
    if (cursor->ended < 0)
        return varve_error_copy(err, &cursor->failure, cursor->ended);
    varve_error_clear(&local);
    const varve_float_mode mode = varve_float_mode_enter();
    varve_status rc = varve_cursor_tick(cursor, 0, &local);
    if (rc == VARVE_OK && cursor->first > cursor->last && cursor->groups == NULL &&
        cursor->rows != NULL)
        rc = VARVE_END;
    if (rc == VARVE_OK)
        rc = cursor->fill(cursor, &local);
    varve_float_mode_leave(&mode);
    if (rc != VARVE_OK) {
        rc = varve_heap_explain(cursor->heap, rc, &local);
        cursor->ended = rc;
        cursor->failure = local;
        return rc == VARVE_END ? rc : varve_error_copy(err, &local, rc);
    }
    assert(cursor->result.rows > 0);
    cursor->rows_returned += cursor->result.rows;
    *ret_view = varve_result_view(&cursor->result);
    return VARVE_OK;
}

VARVE_API void varve_cursor_cancel(varve_cursor *cursor)
{
    if (cursor != NULL)
        atomic_store_explicit(&cursor->canceled, true, memory_order_relaxed);
}

VARVE_API void varve_cursor_get_stats(const varve_cursor *cursor, varve_cursor_stats *ret_stats)
{
    *ret_stats = (varve_cursor_stats){.rows = cursor->rows_returned,
                                      .rows_examined = cursor->rows_examined,
                                      .vectors_zone_map = cursor->zone_answers,
                                      .vectors_pruned = cursor->zone_pruned,
                                      .files = cursor->input.files,
                                      .files_pruned = cursor->input.files_pruned,
                                      .bytes_read = bytes_read(cursor)};
    for (uint32_t i = 0; i < cursor->input.n_sources; i++) {
        ret_stats->vectors_read += cursor->input.sources[i]->vectors_read;
        ret_stats->vectors_pruned += cursor->input.sources[i]->vectors_pruned;
    }
}

/* ------------------------------------------------------------------------------------- Accessor */

static int64_t integer_at(const varve_column_view *column, uint32_t row)
{
    switch (varve_phys_width(varve_phys_of(column->type, 1))) {
    case 1:
        return ((const int8_t *)column->values)[row];
    case 2:
        return ((const int16_t *)column->values)[row];
    case 4:
        return ((const int32_t *)column->values)[row];
    default:
        return ((const int64_t *)column->values)[row];
    }
}

VARVE_API varve_value varve_view_value(const varve_batch_view *view, uint32_t row, uint32_t column)
{
    assert(row < view->rows && column < view->n_columns);
    const varve_column_view *c = &view->columns[column];
    const uint8_t *bytes = c->values;
    varve_value value = {.type = c->type, .unit = c->unit, .scale = c->scale};

    if (c->validity != NULL && (c->validity[row / 8] >> (row % 8) & 1) == 0) {
        value.presence = VARVE_NULL;
        return value;
    }
    if (c->bare != 0 && c->scales != NULL)
        value.scale = c->scales[row];
    switch (c->type) {
    case VARVE_BOOLEAN:
        value.as.i64 = bytes[row / 8] >> (row % 8) & 1;
        break;
    case VARVE_FLOAT:
        memcpy(&value.as.f32, bytes + (size_t)row * 4, 4);
        break;
    case VARVE_DOUBLE:
        memcpy(&value.as.f64, bytes + (size_t)row * 8, 8);
        break;
    case VARVE_UUID:
        memcpy(value.as.uuid, bytes + (size_t)row * 16, 16);
        break;
    case VARVE_HUGEINT:
        memcpy(&value.as.i128, bytes + (size_t)row * 16, 16);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        value.as.bytes.data = bytes + c->offsets[row];
        value.as.bytes.size = c->offsets[row + 1] - c->offsets[row];
        break;
    default:
        value.as.i64 = integer_at(c, row);
        break;
    }
    return value;
}
