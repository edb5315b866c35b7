/*
 * import_command.c - `varve import STORE TABLE FILE...`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/command.h"
#include "tools/varve/import_load.h"
#include "tools/varve/progress_line.h"

enum {
    OPTION_COLUMNS,
    OPTION_SET,
    OPTION_TIME_UNIT,
    OPTION_TIME_PARTS,
    OPTION_DATE_ORDER,
    OPTION_NULL,
    OPTION_HEADER,
    OPTION_DELIMITER,
    OPTION_REJECTS,
    OPTION_POLICY,
    OPTION_FLUSH,
};

/* From here on, writing files at the end is worth more than it costs. */
#define FLUSH_ROWS_MIN UINT64_C(100000)

static const struct tool_option options[] = {
    [OPTION_COLUMNS] = {"columns", "LIST",
                        "columns of the fields in order, `_` skips one;\n"
                        "without it the header line names them"},
    [OPTION_SET] = {"set", "COLUMN=VALUE", "the same value for every row (repeatable)"},
    [OPTION_TIME_UNIT] = {"time-unit", "UNIT",
                          "of integer times: auto (default: column by column the\n"
                          "table's unit or, if all look like another, that), s,\n"
                          "ms, us or ns"},
    [OPTION_TIME_PARTS] = {"time-parts", "LIST",
                           "fields (names, or numbers from 1) that make up the\n"
                           "time column: year,month,day[,hour[,minute[,second]]];\n"
                           "with --columns they are among its fields (`_`)"},
    [OPTION_DATE_ORDER] = {"date-order", "ORDER",
                           "dmy or mdy, for dates like 1/2/2003 and 1-2-2003;\n"
                           "default: seen from the dates"},
    [OPTION_NULL] = {"null", "TEXT",
                     "a field that has no value, besides the empty one; in a\n"
                     "text or blob column only without quotes (repeatable;\n"
                     "default NA)"},
    [OPTION_HEADER] = {"header", "WHETHER",
                       "yes, no or auto: whether the first line is one\n"
                       "(auto with --columns: if no number in it is one)"},
    [OPTION_DELIMITER] = {"delimiter", "CHAR",
                          "between fields; default: comma, semicolon, tab or\n"
                          "bar, whichever the first line has most of"},
    [OPTION_REJECTS] = {"rejects", "FILE",
                        "for records that cannot be taken: a new file; default\n"
                        "TABLE.rejects.csv in the current directory, or the next\n"
                        "free name"},
    [OPTION_POLICY] = {"policy", "POLICY", "durable_each, durable_group (default), interval or os"},
    [OPTION_FLUSH] = {"flush", "WHEN",
                      "yes, no or auto: whether all rows are written to\n"
                      "table files at the end (auto, the default: if 100,000\n"
                      "or more were loaded)"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "STORE TABLE FILE... [OPTIONS]",
    .about = "Load CSV files into a table. `-` is stdin; .gz and .zst are told by content.\n"
             "\n"
             "Every name in a header line must be a column of the table, or a part of its time\n"
             "(--time-parts); --columns a,b,_,c skips fields. All headers are looked at before\n"
             "the first row is loaded.\n"
             "\n"
             "A field without a value leaves its cell as it is; a quoted empty field is an\n"
             "empty text. Times are integers since 1970, ISO 8601, or dates with day and month\n"
             "in either order and a time of day; all are UTC unless they say otherwise.\n"
             "\n"
             "A record that cannot be taken goes to the rejects file with its line number and\n"
             "the reason; all others are loaded. Then the exit code is 3. A record may have 16\n"
             "MiB. Rows that come slowly, by a pipe, are committed about once a second.",
    .options = options,
    .repeatable = 1u << OPTION_SET | 1u << OPTION_NULL,
    .opens = TOOL_OPENS_WRITE,
    .operands_min = 3,
    .operands_max = -1,
};

static bool take_time_unit(struct import_options *o, const char *value)
{
    static const char *const names[] = {"auto", "s", "ms", "us", "ns"};

    for (uint8_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], value) == 0) {
            o->time_unit = i;
            return true;
        }
    (void)tool_usage_error("--time-unit is auto, s, ms, us or ns, not '%s'", value);
    return false;
}

static bool take_header(struct import_options *o, const char *value)
{
    if (strcmp(value, "auto") == 0)
        o->header = PLAN_HEADER_AUTO;
    else if (strcmp(value, "yes") == 0)
        o->header = PLAN_HEADER_YES;
    else if (strcmp(value, "no") == 0)
        o->header = PLAN_HEADER_NO;
    else
        return tool_usage_error("--header is auto, yes or no, not '%s'", value) == TOOL_OK;
    return true;
}

static bool take_flush(struct import_options *o, const char *value)
{
    if (strcmp(value, "auto") == 0)
        o->flush = PLAN_FLUSH_AUTO;
    else if (strcmp(value, "yes") == 0)
        o->flush = PLAN_FLUSH_YES;
    else if (strcmp(value, "no") == 0)
        o->flush = PLAN_FLUSH_NO;
    else
        return tool_usage_error("--flush is auto, yes or no, not '%s'", value) == TOOL_OK;
    return true;
}

static bool take_date_order(struct import_options *o, const char *value)
{
    if (strcmp(value, "dmy") == 0)
        o->date_order = TIME_ORDER_DMY;
    else if (strcmp(value, "mdy") == 0)
        o->date_order = TIME_ORDER_MDY;
    else
        return tool_usage_error("--date-order is dmy or mdy, not '%s'", value) == TOOL_OK;
    return true;
}

static bool take_delimiter(struct import_options *o, const char *value)
{
    if (strcmp(value, "\\t") == 0 || strcmp(value, "tab") == 0)
        value = "\t";
    if (strlen(value) != 1 || strchr("\"\r\n", *value) != NULL || (unsigned char)*value >= 0x80)
        return tool_usage_error("--delimiter is one ASCII character, not '%s'", value) == TOOL_OK;
    o->delimiter = *value;
    return true;
}

static bool take_null(struct import_options *o, const char *value)
{
    if (o->n_nulls == PLAN_NULLS_MAX)
        return tool_usage_error("--null may be given %u times", PLAN_NULLS_MAX) == TOOL_OK;
    o->nulls_given = true;
    o->nulls[o->n_nulls++] = value;
    return true;
}

static bool take_set(struct import_options *o, const char *value)
{
    if (o->n_sets == PLAN_COLUMNS_MAX)
        return tool_usage_error("--set may be given %u times", PLAN_COLUMNS_MAX) == TOOL_OK;
    o->sets[o->n_sets++] = value;
    return true;
}

static bool take_option(void *ctx, int option, const char *value)
{
    struct import_options *o = ctx;

    switch (option) {
    case OPTION_COLUMNS:
        o->columns = value;
        return true;
    case OPTION_SET:
        return take_set(o, value);
    case OPTION_TIME_UNIT:
        return take_time_unit(o, value);
    case OPTION_TIME_PARTS:
        o->time_parts = value;
        return true;
    case OPTION_DATE_ORDER:
        return take_date_order(o, value);
    case OPTION_NULL:
        return take_null(o, value);
    case OPTION_HEADER:
        return take_header(o, value);
    case OPTION_DELIMITER:
        return take_delimiter(o, value);
    case OPTION_REJECTS:
        o->rejects = value;
        return true;
    case OPTION_FLUSH:
        return take_flush(o, value);
    default:
        return tool_policy_parse(value, &o->policy) ||
               tool_usage_error("--policy is durable_each, durable_group, interval or os, not '%s'",
                                value) == TOOL_OK;
    }
}

static void summarise(const char *what, const struct import_counts *counts, double seconds)
{
    char more[200] = "";

    if (counts->nulls > 0)
        (void)snprintf(more, sizeof more, ", %" PRIu64 " fields NA or the like taken as no value",
                       counts->nulls);
    if (counts->blank_lines > 0)
        (void)snprintf(more + strlen(more), sizeof more - strlen(more), ", %" PRIu64 " blank lines",
                       counts->blank_lines);
    if (counts->rows > 0 && seconds > 0)
        (void)snprintf(more + strlen(more), sizeof more - strlen(more), "; %.2f s, %.0f rows/s",
                       seconds, (double)counts->rows / seconds);
    tool_say("%s: %" PRIu64 " rows loaded, %" PRIu64 " rejected%s", what, counts->rows,
             counts->rejected, more);
}

static int load_files(struct import_loader *loader, char **files, int n, uint64_t *ret_rows)
{
    struct import_counts all = {.rows = 0};
    const double started = progress_now_s();
    int code = TOOL_OK;

    for (int i = 0; code == TOOL_OK && n > 1 && i < n; i++)
        code = import_loader_check(loader, files[i]);
    if (code != TOOL_OK)
        return code;
    for (int i = 0; code == TOOL_OK && i < n; i++) {
        struct import_counts counts = {.rows = 0};
        const double file_started = progress_now_s();
        code = import_loader_file(loader, files[i], &counts);
        if (code == TOOL_OK || counts.rows + counts.rejected > 0)
            summarise(import_file_name(files[i]), &counts, progress_now_s() - file_started);
        all.rows += counts.rows;
        all.rejected += counts.rejected;
        all.nulls += counts.nulls;
        all.blank_lines += counts.blank_lines;
    }
    *ret_rows = all.rows;
    if (n > 1)
        summarise("all files", &all, progress_now_s() - started);
    return code == TOOL_OK && all.rejected > 0 ? TOOL_FAILED : code;
}

/* With the policies interval and os rows are committed before the disk has them. Closing the store would
 * see to that, but cannot say that it failed. */
static int make_durable(varve_store *store, const struct import_loader *loader, int code)
{
    varve_error err = {.status = VARVE_OK};

    if (varve_wait_durable(store, import_loader_lsn(loader), &err) >= 0)
        return code;
    return tool_failure(&err, "what was loaded may not all be on the disk");
}

/* Whatever was rejected; not after a failure of the store. */
static int flush_after(varve_store *store, const char *name, const struct import_options *o,
                       uint64_t rows, int code)
{
    varve_stats stats = {.struct_size = sizeof stats};

    varve_get_stats(store, &stats);
    if (code == TOOL_USAGE || o->flush == PLAN_FLUSH_NO ||
        (o->flush == PLAN_FLUSH_AUTO && rows < FLUSH_ROWS_MIN) || stats.failed != 0)
        return code;
    const int flushed = tool_flush(store, name);
    return flushed != TOOL_OK ? flushed : code;
}

int command_import(int argc, char **argv)
{
    struct import_options *o = calloc(1, sizeof *o);
    struct tool_opening opening = {.memory = 0};
    varve_store *store = NULL;
    varve_table *table;
    struct import_loader *loader = NULL;
    struct reject_file rejects;
    uint64_t rows = 0;
    int first, code;

    if (o == NULL) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    code = tool_options_parse(argc, argv, &usage, take_option, o, &opening, &first);
    if (code >= 0)
        goto done;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        goto done;
    code = tool_open_table(store, argv[first + 1], &table);
    if (code != TOOL_OK)
        goto done;
    code = reject_file_prepare(&rejects, o->rejects,
                               varve_schema_table_name(varve_table_schema(table)), argv + first + 2,
                               argc - first - 2);
    if (code != TOOL_OK)
        goto done;
    loader = import_loader_new(store, table, o, &rejects);
    code = loader == NULL ? TOOL_FAILED
                          : load_files(loader, argv + first + 2, argc - first - 2, &rows);
    reject_file_close(&rejects);
    if (loader != NULL)
        code = make_durable(store, loader, code);
    code = flush_after(store, argv[first], o, rows, code);

done:
    import_loader_free(loader);
    varve_close(store);
    free(o);
    return code;
}
