/*
 * scan_command.c - `varve scan STORE TABLE`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/varve/command.h"
#include "tools/varve/row_printer.h"
#include "tools/varve/scan_request.h"

enum {
    OPTION_PARTITION,
    OPTION_FROM,
    OPTION_TO,
    OPTION_COLUMNS,
    OPTION_WHERE,
    OPTION_REVERSE,
    OPTION_LIMIT,
    OPTION_LIMIT_PER_PARTITION,
    OPTION_EVERY,
    OPTION_ORIGIN,
    OPTION_AGG,
    OPTION_BY,
    OPTION_FORMAT,
    OPTION_TIME,
};

static const struct tool_option options[] = {
    [OPTION_PARTITION] = {"partition", "K",
                          "only this partition: its key's values as a CSV record\n"
                          "(repeatable)"},
    [OPTION_FROM] = {"from", "TIME",
                     "first time, inclusive: ISO 8601, or an integer in the\n"
                     "table's unit"},
    [OPTION_TO] = {"to", "TIME", "last time, exclusive"},
    [OPTION_COLUMNS] = {"columns", "LIST", "columns to print; default: all"},
    [OPTION_WHERE] = {"where", "CONDITIONS",
                      "`column op value` joined by `and`; op is one of\n"
                      "= != <> < <= > >=, text stands in single quotes, a null\n"
                      "never matches (repeatable: all must hold)"},
    [OPTION_REVERSE] = {"reverse", NULL, "the same, last first: partitions, their rows, groups"},
    [OPTION_LIMIT] = {"limit", "N", "at most so many rows or groups"},
    [OPTION_LIMIT_PER_PARTITION] = {"limit-per-partition", "N", "at most so many of a partition"},
    [OPTION_EVERY] = {"every", "INTERVAL",
                      "a group for each interval: a number and ns, us, ms, s,\n"
                      "m, h, d or w; without a unit, in that of the column"},
    [OPTION_ORIGIN] = {"origin", "TIME", "where some interval begins; default 1970-01-01"},
    [OPTION_AGG] = {"agg", "LIST",
                    "aggregates instead of rows: count, count(column), sum,\n"
                    "min, max, avg, first, last (repeatable; 1,023 at most)"},
    [OPTION_BY] = {"by", "WHAT", "partition: a group for each"},
    [OPTION_FORMAT] = {"format", "FORMAT",
                       "table (default on a terminal), csv (default elsewhere),\n"
                       "tsv, json, jsonl, line, markdown or none"},
    [OPTION_TIME] = {"time", "HOW",
                     "iso (default) or raw: times as integers in the table's\n"
                     "unit"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "STORE TABLE [OPTIONS]",
    .about = "Print rows of a table, or aggregates of them. Partitions come in the order of their\n"
             "key, rows of a partition by time: oldest first, or newest first if the table is\n"
             "CLUSTERING ORDER BY (time DESC). Aggregates come by partition and time, oldest\n"
             "first. Works on a store that another process is writing to: one consistent state\n"
             "is shown. The exit code is 1 if no row or partition was found.",
    .options = options,
    .repeatable = 1u << OPTION_PARTITION | 1u << OPTION_WHERE | 1u << OPTION_AGG,
    .opens = TOOL_OPENS_READ,
    .operands_min = 2,
    .operands_max = 2,
};

struct scan_arguments {
    struct scan_options request;
    enum row_format format;
    bool raw_time;
};

static bool take_number(const char *option, const char *value, uint64_t *ret)
{
    return (tool_number_parse(value, UINT64_MAX, ret) && *ret > 0) ||
           tool_usage_error("--%s wants a number above 0, not '%s'", option, value) == TOOL_OK;
}

static bool take_partition(struct scan_options *o, const char *value)
{
    if (o->n_partitions == REQUEST_PARTITIONS_MAX)
        return tool_usage_error("--partition may be given %u times", REQUEST_PARTITIONS_MAX) ==
               TOOL_OK;
    if ((o->n_partitions & (o->n_partitions - 1)) == 0) { /* room for twice as many */
        const char **partitions = realloc(
            o->partitions, sizeof *partitions * (o->n_partitions == 0 ? 1 : 2 * o->n_partitions));
        if (partitions == NULL) {
            tool_say("out of memory");
            return false;
        }
        o->partitions = partitions;
    }
    o->partitions[o->n_partitions++] = value;
    return true;
}

static bool take_text(const char *option, const char *value, const char **texts, uint32_t *n)
{
    if (*n == REQUEST_TEXTS_MAX)
        return tool_usage_error("--%s may be given %u times", option, REQUEST_TEXTS_MAX) == TOOL_OK;
    texts[(*n)++] = value;
    return true;
}

static bool take_choice(struct scan_arguments *a, int option, const char *value)
{
    if (option == OPTION_FORMAT)
        return row_format_parse(value, &a->format) ||
               tool_usage_error("--format is table, csv, tsv, json, jsonl, line, markdown or none, "
                                "not '%s'",
                                value) == TOOL_OK;
    if (option == OPTION_BY) {
        a->request.by_partition = true;
        return strcmp(value, "partition") == 0 ||
               tool_usage_error("--by is partition, not '%s'", value) == TOOL_OK;
    }
    a->raw_time = strcmp(value, "raw") == 0;
    return a->raw_time || strcmp(value, "iso") == 0 ||
           tool_usage_error("--time is iso or raw, not '%s'", value) == TOOL_OK;
}

static bool take_option(void *ctx, int option, const char *value)
{
    struct scan_arguments *a = ctx;
    struct scan_options *o = &a->request;

    switch (option) {
    case OPTION_PARTITION:
        return take_partition(o, value);
    case OPTION_LIMIT:
        return take_number("limit", value, &o->limit);
    case OPTION_LIMIT_PER_PARTITION:
        return take_number("limit-per-partition", value, &o->limit_per_partition);
    case OPTION_REVERSE:
        o->reverse = true;
        return true;
    case OPTION_FROM:
        o->from = value;
        return true;
    case OPTION_TO:
        o->to = value;
        return true;
    case OPTION_COLUMNS:
        o->columns = value;
        return true;
    case OPTION_WHERE:
        return take_text("where", value, o->wheres, &o->n_wheres);
    case OPTION_EVERY:
        o->every = value;
        return true;
    case OPTION_ORIGIN:
        o->origin = value;
        return true;
    case OPTION_AGG:
        return take_text("agg", value, o->aggs, &o->n_aggs);
    default:
        return take_choice(a, option, value);
    }
}

/* Whether anything was counted: the last column of an aggregation's first row. */
static bool counted_any(const varve_batch_view *view)
{
    return varve_view_value(view, 0, view->n_columns - 1).as.i64 > 0;
}

static int print_rows(varve_cursor *cursor, struct row_printer *writer, bool aggregates)
{
    const varve_batch_view *view;
    varve_error err = {.status = VARVE_OK};
    uint64_t rows = 0;
    bool found = false;
    varve_status rc;

    while ((rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK) {
        found |= !aggregates || counted_any(view);
        rows += view->rows;
        if (!row_printer_add(writer, view)) {
            tool_say("out of memory");
            return TOOL_FAILED;
        }
        if (ferror(stdout) != 0)
            return TOOL_FAILED; /* main() says so */
    }
    if (!row_printer_end(writer, rc >= 0)) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    if (rc < 0)
        return tool_failure(&err, "scan");
    if (isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1)
        tool_say("%" PRIu64 " %s", rows, rows == 1 ? "row" : "rows");
    return found ? TOOL_OK : TOOL_NOTHING;
}

static int run_scan(varve_store *store, const varve_table *table, const struct scan_arguments *a)
{
    struct scan_request request;
    varve_cursor *cursor = NULL;
    struct row_printer *writer = NULL;
    varve_error err = {.status = VARVE_OK};
    int code = scan_request_make(&request, varve_table_schema(table), &a->request);

    if (code != TOOL_OK)
        goto done;
    const varve_status rc = request.aggregates
                                ? varve_aggregate_open(store, table, &request.scan, &cursor, &err)
                                : varve_scan_open(store, table, &request.scan, &cursor, &err);
    if (rc < 0) {
        code = tool_request_failure(&err, "scan");
        goto done;
    }
    writer = row_printer_new(stdout, a->format, a->raw_time ? VARVE_FORMAT_RAW_TIME : 0,
                             request.names, request.n_names);
    if (writer == NULL) {
        tool_say("out of memory");
        code = TOOL_FAILED;
        goto done;
    }
    code = print_rows(cursor, writer, request.aggregates);

done:
    row_printer_free(writer);
    varve_cursor_close(cursor);
    scan_request_free(&request);
    return code;
}

int command_scan(int argc, char **argv)
{
    struct scan_arguments a = {.format = ROW_FORMAT_AUTO};
    struct tool_opening opening = {.memory = 0};
    varve_store *store = NULL;
    varve_table *table;
    int first;
    int code = tool_options_parse(argc, argv, &usage, take_option, &a, &opening, &first);

    if (code >= 0)
        goto done;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        goto done;
    code = tool_open_table(store, argv[first + 1], &table);
    if (code == TOOL_OK)
        code = run_scan(store, table, &a);

done:
    varve_close(store);
    free(a.request.partitions);
    return tool_opening_code(&opening, code);
}
