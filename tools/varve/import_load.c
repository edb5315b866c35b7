/*
 * import_load.c - see import_load.h.
 *
 * Rows wait in column buffers together with the line and the bytes of their record, so that a row
 * which the store refuses can still be named. A refusal halves the next batch and a success
 * doubles it: a file that is all duplicates costs a constant number of attempts a row. So does a want
 * of memory, but it refuses no row: if one by itself finds none, the import ends.
 */
#include "tools/varve/import_load.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/command.h"
#include "tools/varve/commit_lane.h"
#include "tools/varve/progress_line.h"

#ifndef IMPORT_ROWS_MAX /* a test may want several batches of a short file */
#define IMPORT_ROWS_MAX 65536u
#define IMPORT_PAYLOAD_MAX ((size_t)4 << 20)
#endif

#define PAYLOAD_SHARE 32 /* a commit takes at most so small a part of the store's memory */

/* Where each waiting row came from. */
struct origin {
    uint64_t line;
    size_t begin; /* of its bytes in `records` */
};

struct import_loader {
    varve_table *table;
    const varve_schema *schema;
    const struct import_options *options;
    struct reject_file *rejects;
    struct commit_lane lane;
    /* A commit may be refused for a row, or for want of memory as long as no flush is waited for: the
     * next waits for it. */
    bool one_by_one;
    size_t payload_max;

    const char *file;
    struct import_plan plan;
    struct column_buffer *buffers; /* by column; info NULL: not filled from the file */
    varve_array *arrays;
    varve_value *partition;
    uint32_t rows;
    uint32_t batch_rows; /* of the next commit, at most */
    struct origin *origins;
    char *records;
    size_t records_size, records_capacity;
    struct import_counts *counts;
    struct progress_line progress;

    /* Compressed data is verified by a checksum behind it: rows from here on are not, yet. */
    uint64_t suspect_line; /* 0: there are none */
    uint64_t verified;     /* bytes of the input, when it was looked at last */
    uint64_t accepted;     /* rows of the file that were put into buffers, less the refused ones */
    uint64_t trusted;      /* of them those before suspect_line */
};

static int no_memory(void)
{
    tool_say("out of memory");
    return TOOL_FAILED;
}

/* Of one commit: little enough that those in flight, the log's buffers for them and what a flush needs
 * fit into the store's memory together. */
static size_t payload_max(varve_store *store)
{
    varve_stats stats = {.struct_size = sizeof stats};

    varve_get_stats(store, &stats);
    return stats.memory_limit / PAYLOAD_SHARE < IMPORT_PAYLOAD_MAX
               ? (size_t)(stats.memory_limit / PAYLOAD_SHARE)
               : IMPORT_PAYLOAD_MAX;
}

struct import_loader *import_loader_new(varve_store *store, varve_table *table,
                                        const struct import_options *options,
                                        struct reject_file *rejects)
{
    struct import_loader *loader = calloc(1, sizeof *loader);
    varve_error err = {.status = VARVE_OK};

    if (loader == NULL) {
        (void)no_memory();
        return NULL;
    }
    loader->table = table;
    loader->options = options;
    loader->schema = varve_table_schema(table);
    loader->rejects = rejects;
    loader->payload_max = payload_max(store);
    loader->one_by_one = varve_schema_duplicates(loader->schema) == VARVE_DUPLICATES_ERROR ||
                         loader->payload_max < IMPORT_PAYLOAD_MAX;
    const uint32_t n = varve_schema_columns(loader->schema);
    loader->buffers = calloc(n, sizeof *loader->buffers);
    loader->arrays = calloc(n, sizeof *loader->arrays);
    loader->partition = calloc(n, sizeof *loader->partition);
    loader->origins = calloc((size_t)IMPORT_ROWS_MAX + 1, sizeof *loader->origins);
    loader->records_capacity = IMPORT_PAYLOAD_MAX;
    loader->records = malloc(loader->records_capacity);
    if (loader->buffers == NULL || loader->arrays == NULL || loader->partition == NULL ||
        loader->origins == NULL || loader->records == NULL) {
        (void)no_memory();
        goto fail;
    }
    if (commit_lane_init(&loader->lane, store, options->policy, &err) < 0) {
        (void)tool_failure(&err, "import");
        goto fail;
    }
    return loader;

fail:
    import_loader_free(loader);
    return NULL;
}

const char *import_file_name(const char *file)
{
    return strcmp(file, "-") == 0 ? "stdin" : file;
}

static void free_buffers(struct import_loader *loader)
{
    const uint32_t n = varve_schema_columns(loader->schema);

    for (uint32_t i = 0; loader->buffers != NULL && i < n; i++)
        column_buffer_free(&loader->buffers[i]);
}

void import_loader_free(struct import_loader *loader)
{
    if (loader == NULL)
        return;
    commit_lane_free(&loader->lane);
    import_plan_free(&loader->plan);
    free_buffers(loader);
    free(loader->buffers);
    free(loader->arrays);
    free(loader->partition);
    free(loader->origins);
    free(loader->records);
    free(loader);
}

uint64_t import_loader_lsn(const struct import_loader *loader)
{
    return commit_lane_lsn(&loader->lane);
}

static void reject(struct import_loader *loader, uint64_t line, const char *reason,
                   const char *record, size_t size)
{
    loader->counts->rejected++;
    reject_file_add(loader->rejects, loader->file, line, reason, record, size);
}

/* ------------------------------------------------------------------------------------- Batches */

static varve_status put_rows(struct import_loader *loader, varve_batch *batch, uint32_t first,
                             uint32_t n, varve_error *err)
{
    uint32_t n_arrays = 0;

    for (uint32_t i = 0; i < loader->plan.n_columns; i++)
        if (loader->buffers[i].info != NULL)
            loader->arrays[n_arrays++] = column_buffer_array(&loader->buffers[i], first, n);
    return varve_batch_put_columns(batch, loader->table,
                                   loader->plan.constant_partition ? loader->partition : NULL,
                                   loader->arrays, n_arrays, n, NULL, err);
}

/* Whether the failure is about rows, so that fewer or other rows may succeed. */
static bool is_refusal(const varve_error *err)
{
    return err->status == VARVE_EEXISTS || err->status == VARVE_ETYPE ||
           err->status == VARVE_ELIMIT || err->status == VARVE_ESTALE;
}

/* `ret_put`: the batch took them, and what failed is the commit. */
static varve_status try_rows(struct import_loader *loader, uint32_t first, uint32_t n,
                             bool *ret_put, varve_error *err)
{
    varve_batch *batch;
    varve_status rc = commit_lane_batch(&loader->lane, &batch, err);

    if (rc >= 0)
        rc = put_rows(loader, batch, first, n, err);
    *ret_put = rc >= 0;
    if (rc < 0)
        return rc;
    return loader->one_by_one ? commit_lane_run(&loader->lane, batch, err)
                              : commit_lane_start(&loader->lane, batch, err);
}

/* `ret_refused`: it failed for the sake of these rows, or because they are many. */
static varve_status commit_rows(struct import_loader *loader, uint32_t first, uint32_t n,
                                bool *ret_refused, varve_error *err)
{
    const struct commit_lane *lane = &loader->lane;
    bool put;
    varve_status rc = try_rows(loader, first, n, &put, err);

    *ret_refused = false;
    if (rc < 0 && !commit_lane_lost(lane) &&
        tool_lacks_memory(err)) { /* the lane's may be enough */
        rc = commit_lane_relieve(&loader->lane, err);
        if (rc < 0)
            return rc;
        rc = try_rows(loader, first, n, &put, err);
    }
    /* No row is to blame. Fewer may fit into a batch, but a commit has waited for all that can be had. */
    const bool starved = rc < 0 && tool_lacks_memory(err) && (n == 1 || put);
    *ret_refused = rc < 0 && !commit_lane_lost(lane) && is_refusal(err) && !starved;
    return rc;
}

static void reject_row(struct import_loader *loader, uint32_t row, const varve_error *err)
{
    const struct origin *origin = &loader->origins[row];
    char reason[900];

    loader->accepted--;
    loader->trusted -= loader->suspect_line == 0 || origin->line < loader->suspect_line;
    tool_failure_text(err, reason, sizeof reason);
    reject(loader, origin->line, reason, loader->records + origin->begin,
           origin[1].begin - origin->begin);
}

/* Start to commit the rows that wait. */
static int flush_rows(struct import_loader *loader)
{
    uint32_t at = 0;

    while (at < loader->rows) {
        varve_error err = {.status = VARVE_OK};
        const uint32_t left = loader->rows - at;
        const uint32_t n = left < loader->batch_rows ? left : loader->batch_rows;
        bool refused;
        const varve_status rc = commit_rows(loader, at, n, &refused, &err);
        if (rc >= 0) {
            at += n;
            loader->batch_rows = n < IMPORT_ROWS_MAX / 2 ? loader->batch_rows * 2 : IMPORT_ROWS_MAX;
            if (loader->batch_rows > IMPORT_ROWS_MAX)
                loader->batch_rows = IMPORT_ROWS_MAX;
            continue;
        }
        if (!refused)
            return tool_failure(&err, loader->file);
        if (n == 1) { /* this row and no other */
            reject_row(loader, at, &err);
            at++;
        } else if (err.row > 0 && err.row < n) { /* those before it first */
            loader->batch_rows = (uint32_t)err.row;
        } else { /* the first, or nobody knows which */
            loader->batch_rows = err.row == 0 ? 1 : n / 2;
        }
    }
    loader->rows = 0;
    loader->records_size = 0;
    loader->origins[0].begin = 0;
    return TOOL_OK;
}

/* ---------------------------------------------------------------------------------------- Rows */

static bool keep_record(struct import_loader *loader, const struct csv_record *record)
{
    const size_t size = loader->records_size + record->size;

    if (size > loader->records_capacity) {
        size_t capacity = loader->records_capacity;
        while (capacity < size)
            capacity *= 2;
        char *records = realloc(loader->records, capacity);
        if (records == NULL)
            return false;
        loader->records = records;
        loader->records_capacity = capacity;
    }
    memcpy(loader->records + loader->records_size, record->bytes, record->size);
    loader->origins[loader->rows] = (struct origin){record->line, loader->records_size};
    loader->origins[loader->rows + 1].begin = size;
    loader->records_size = size;
    return true;
}

/* NULL, or why the record is refused. */
static const char *take_column(struct import_loader *loader, const struct csv_record *record,
                               uint32_t column, varve_error *err)
{
    const struct plan_column *plan = &loader->plan.columns[column];
    struct column_buffer *buffer = &loader->buffers[column];

    if (plan->source == PLAN_CONSTANT)
        return column_buffer_put(buffer, loader->rows, &plan->constant) ? NULL : "out of memory";
    if (plan->source == PLAN_PARTS) {
        char text[PLAN_TIME_TEXT_MAX];
        size_t size;
        const char *fault = import_time_text(&loader->plan, record, text, &size);
        return fault != NULL ? fault : column_buffer_parse(buffer, loader->rows, text, size, err);
    }
    assert(plan->field < record->n_fields);
    const struct csv_field *field = &record->fields[plan->field];
    if (!loader->options->nulls_given && /* or a number may stand for no value */
        column_buffer_take_number(buffer, loader->rows, field->text, field->size))
        return NULL;
    if (!import_field_is_null(loader->options, field, plan->info->type)) {
        const char *text = field->text;
        size_t size = field->size;
        if (plan->info->type != VARVE_TEXT)
            import_trim(&text, &size);
        return column_buffer_parse(buffer, loader->rows, text, size, err);
    }
    if (plan->info->kind != VARVE_VALUE_COLUMN)
        return field->size == 0 ? "a key column has no value"
                                : "a key column has no value (--null says what stands for none)";
    loader->counts->nulls += field->size > 0;
    column_buffer_put_unset(buffer, loader->rows);
    return NULL;
}

/* "column open: this is not a decimal number: 'abc'". The library's messages name the column. */
static void describe_fault(char *out, size_t size, const char *name, const char *fault,
                           const struct csv_field *field)
{
    const bool named = strncmp(fault, "column ", 7) == 0;
    const int shown = field == NULL ? 0 : (int)(field->size < 32 ? field->size : 32);
    char value[48] = "";

    if (shown > 0)
        (void)snprintf(value, sizeof value, ": '%.*s%s'", shown, field->text,
                       field->size > 32 ? "..." : "");
    (void)snprintf(out, size, "%s%.64s%s%.300s%s", named ? "" : "column ", named ? "" : name,
                   named ? "" : ": ", fault, value);
}

/* The field that fills a column, if there is one and it is not text, which may be anything. */
static const struct csv_field *field_of(const struct plan_column *column,
                                        const struct csv_record *record)
{
    if (column->source != PLAN_FIELD || column->info->type == VARVE_TEXT)
        return NULL;
    return &record->fields[column->field];
}

static int take_record(struct import_loader *loader, const struct csv_record *record)
{
    const struct import_plan *plan = &loader->plan;
    varve_error err;
    char reason[480];
    const char *fault = record->fault;
    const struct plan_column *at = NULL;
    size_t bytes = 0;

    if (fault == NULL && record->n_fields != plan->n_fields) {
        (void)snprintf(reason, sizeof reason, "%s fields: %" PRIu32 " instead of %" PRIu32,
                       record->n_fields < plan->n_fields ? "too few" : "too many", record->n_fields,
                       plan->n_fields);
        fault = reason;
    }
    for (uint32_t i = 0; fault == NULL && i < plan->n_columns; i++) {
        if (loader->buffers[i].info == NULL)
            continue;
        fault = take_column(loader, record, i, &err);
        at = &plan->columns[i];
    }
    if (fault != NULL) {
        if (at != NULL) {
            describe_fault(reason, sizeof reason, at->info->name, fault, field_of(at, record));
            fault = reason;
        }
        reject(loader, record->line, fault, record->bytes, record->size);
        return TOOL_OK;
    }
    if (!keep_record(loader, record))
        return no_memory();
    loader->rows++;
    loader->accepted++;
    loader->trusted += loader->suspect_line == 0;
    if (loader->rows < IMPORT_ROWS_MAX && loader->rows % 256 != 0 && record->size < 4096)
        return TOOL_OK;
    for (uint32_t i = 0; i < plan->n_columns; i++)
        if (loader->buffers[i].info != NULL)
            bytes += column_buffer_bytes(&loader->buffers[i], loader->rows);
    return loader->rows == IMPORT_ROWS_MAX || bytes >= loader->payload_max ? flush_rows(loader)
                                                                           : TOOL_OK;
}

/* --------------------------------------------------------------------------------------- Files */

static int make_buffers(struct import_loader *loader)
{
    struct import_plan *plan = &loader->plan;

    free_buffers(loader);
    for (uint32_t i = 0; i < plan->n_columns; i++) {
        const struct plan_column *column = &plan->columns[i];
        if (column->info->kind == VARVE_PARTITION_KEY)
            loader->partition[i] = column->constant;
        if (column->source == PLAN_ABSENT ||
            (plan->constant_partition && column->info->kind == VARVE_PARTITION_KEY))
            continue;
        if (!column_buffer_init(&loader->buffers[i], column->info, i, IMPORT_ROWS_MAX))
            return no_memory();
        loader->buffers[i].shape = column->shape;
    }
    loader->rows = 0;
    loader->records_size = 0;
    loader->batch_rows = IMPORT_ROWS_MAX;
    loader->suspect_line = 0;
    loader->verified = 0;
    loader->accepted = 0;
    loader->trusted = 0;
    return TOOL_OK;
}

/* Wait for the commits of this file, also if something went wrong that has been said. */
static int drain(struct import_loader *loader, int code)
{
    varve_error err = {.status = VARVE_OK};

    if (commit_lane_drain(&loader->lane, &err) >= 0 || code != TOOL_OK)
        return code;
    return tool_failure(&err, loader->file);
}

/* A record that ends behind what is verified begins what is not. When more is verified, everything is
 * that was given before: no checksum stands before what it covers. */
static void judge_trust(struct import_loader *loader, const struct csv_reader *reader,
                        const struct text_input *input, uint64_t line)
{
    const uint64_t verified = text_input_verified(input);

    if (verified != loader->verified) {
        loader->verified = verified;
        loader->suspect_line = 0;
        loader->trusted = loader->accepted;
    }
    if (loader->suspect_line == 0 && csv_reader_position(reader) > verified)
        loader->suspect_line = line;
}

/* At the end: whether the last record that was given is not verified. */
static bool is_suspect(struct import_loader *loader, const struct csv_reader *reader,
                       const struct text_input *input)
{
    if (csv_reader_position(reader) <= text_input_verified(input))
        loader->suspect_line = 0;
    return loader->suspect_line > 0;
}

/* Rows that wait and are not verified are not committed. */
static void hold_back(struct import_loader *loader)
{
    while (loader->rows > 0 && loader->origins[loader->rows - 1].line >= loader->suspect_line) {
        loader->rows--;
        loader->accepted--;
    }
}

/* The input stopped short: what of it is in the table. */
static int say_damage(struct import_loader *loader, const char *fault, uint64_t line)
{
    tool_say("%s: %s; nothing behind line %" PRIu64 " was read", loader->file, fault, line);
    if (loader->suspect_line > 0)
        tool_say("%s: what was read from about line %" PRIu64 " on is not verified, because its "
                 "checksum stands behind it: %" PRIu64 " rows of it were loaded and may be wrong; "
                 "no others were",
                 loader->file, loader->suspect_line, loader->accepted - loader->trusted);
    return TOOL_FAILED;
}

/* What waits, because the input does not go on for now. */
static int commit_waiting(struct import_loader *loader)
{
    reject_file_flush(loader->rejects);
    return loader->rows == 0 ? TOOL_OK : drain(loader, flush_rows(loader));
}

static int load_records(struct import_loader *loader, struct csv_reader *reader,
                        struct text_input *input)
{
    struct csv_record record;
    enum csv_result result = CSV_END;
    uint64_t records = 0;
    int code = TOOL_OK;

    progress_line_start(&loader->progress, text_input_size(input));
    while (code == TOOL_OK &&
           ((result = csv_reader_next(reader, &record)) == CSV_RECORD || result == CSV_QUIET)) {
        if (result == CSV_QUIET) {
            code = commit_waiting(loader);
            progress_line_show(&loader->progress, records, text_input_position(input));
            continue;
        }
        judge_trust(loader, reader, input, record.line);
        code = take_record(loader, &record);
        if (++records % 4096 == 0)
            progress_line_show(&loader->progress, records, text_input_position(input));
    }
    /* What was read before a failure is good, if it is verified: it is committed. */
    if (code == TOOL_OK && result == CSV_FAILED && is_suspect(loader, reader, input))
        hold_back(loader);
    const int flushed = drain(loader, code == TOOL_OK ? flush_rows(loader) : code);
    progress_line_end(&loader->progress);
    loader->counts->blank_lines += csv_reader_blank_lines(reader);
    if (flushed == TOOL_OK && result == CSV_FAILED)
        return say_damage(loader, csv_reader_fault(reader), csv_reader_line(reader) - 1);
    if (flushed == TOOL_OK && records == 0 && text_input_position(input) > 0)
        tool_say("%s: there is no row in it%s", loader->file,
                 loader->plan.has_header ? " behind the header line" : "");
    return flushed;
}

/* Open a file and make its plan. Input and reader are to be closed whatever comes of it. */
static int open_file(struct import_loader *loader, const char *file, bool quiet,
                     struct text_input **ret_input, struct csv_reader **ret_reader)
{
    *ret_reader = NULL;
    *ret_input = text_input_open(file);
    if (*ret_input == NULL) {
        tool_say("%s: %s", import_file_name(file), tool_os_text(errno));
        return TOOL_FAILED;
    }
    *ret_reader = csv_reader_new(*ret_input, loader->options->delimiter);
    if (*ret_reader == NULL)
        return no_memory();
    loader->file = import_file_name(file);
    if (text_input_size(*ret_input) == 0) /* a pipe: rows are not to wait for those that follow */
        csv_reader_watch(*ret_reader);
    import_plan_free(&loader->plan);
    return import_plan_make(&loader->plan, loader->schema, loader->options, *ret_reader,
                            loader->file, quiet);
}

int import_loader_check(struct import_loader *loader, const char *file)
{
    struct text_input *input;
    struct csv_reader *reader;

    if (!text_input_repeats(file))
        return TOOL_OK;
    const int code = open_file(loader, file, true, &input, &reader);
    csv_reader_free(reader);
    text_input_close(input);
    return code;
}

int import_loader_file(struct import_loader *loader, const char *file, struct import_counts *counts)
{
    struct text_input *input;
    struct csv_reader *reader;
    int code = open_file(loader, file, false, &input, &reader);

    loader->counts = counts;
    if (code == TOOL_OK)
        code = make_buffers(loader);
    const uint64_t before = commit_lane_rows(&loader->lane);
    if (code == TOOL_OK)
        code = load_records(loader, reader, input);
    const uint64_t rows = commit_lane_rows(&loader->lane) - before;
    assert(code != TOOL_OK || rows == loader->accepted);
    counts->rows += rows;
    csv_reader_free(reader);
    text_input_close(input);
    return code;
}
