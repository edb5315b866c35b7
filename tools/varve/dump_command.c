/*
 * dump_command.c - `varve dump sst|wal|manifest FILE`.
 */
#include <string.h>

#include "tools/inspect/inspect.h"
#include "tools/varve/command.h"

enum {
    OPTION_ROWS,
};

static const struct tool_option options[] = {
    [OPTION_ROWS] = {"rows", NULL, "sst: print the stored rows too, as CSV"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "sst|wal|manifest FILE [OPTIONS]",
    .about = "Print what is inside one file of a store, without opening the store: properties,\n"
             "row groups and encodings of an SSTable; pages and records of a log segment;\n"
             "state and edits of a manifest. Damage is named on stderr with its offset, and\n"
             "what lies behind it is printed where that is possible; then the exit code is 4.",
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
};

static bool take_option(void *ctx, int option, const char *value)
{
    bool *rows = ctx;

    (void)value;
    *rows = option == OPTION_ROWS;
    return true;
}

static void report(void *ctx, const varve_error *problem)
{
    (void)ctx;
    (void)tool_failure(problem, "dump");
}

int command_dump(int argc, char **argv)
{
    struct inspect_options inspect = {.out = stdout, .report = report};
    int first;
    const int code =
        tool_options_parse(argc, argv, &usage, take_option, &inspect.rows, NULL, &first);
    varve_status rc;

    if (code >= 0)
        return code;
    const char *kind = argv[first], *file = argv[first + 1];
    if (inspect.rows && strcmp(kind, "sst") != 0)
        return tool_usage_error("dump: --rows goes with sst");
    if (strcmp(kind, "sst") == 0)
        rc = inspect_sst(file, &inspect);
    else if (strcmp(kind, "wal") == 0)
        rc = inspect_wal(file, &inspect);
    else if (strcmp(kind, "manifest") == 0)
        rc = inspect_manifest(file, &inspect);
    else
        return tool_usage_error("dump: '%s' is none of sst, wal and manifest", kind);
    return rc == VARVE_OK ? TOOL_OK : rc == VARVE_ECORRUPT ? TOOL_CORRUPT : TOOL_FAILED;
}
