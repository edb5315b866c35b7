/*
 * create_command.c - `varve create STORE "CREATE TABLE ..."`.
 */
#include "tools/varve/command.h"

static const struct tool_usage usage = {
    .synopsis = "STORE \"CREATE TABLE ...\"",
    .about = "Create a table; make the store, a directory, if there is none. For example:\n\n"
             "  varve create ticks \"CREATE TABLE bars (symbol text, ts timestamp,\n"
             "      close decimal(18,8), volume double, PRIMARY KEY ((symbol), ts))\n"
             "      WITH clustering_unit = 'ms' AND duplicates = 'upsert'\"",
    .opens = TOOL_OPENS_WRITE,
    .operands_min = 2,
    .operands_max = 2,
};

int command_create(int argc, char **argv)
{
    struct tool_opening opening = {.memory = 0};
    int first;
    varve_store *store;
    varve_schema *schema;
    varve_error err = {.status = VARVE_OK};

    int code = tool_options_parse(argc, argv, &usage, NULL, NULL, &opening, &first);
    if (code >= 0)
        return code;

    /* Before anything is made: a mistake in the text leaves no empty store behind. */
    if (varve_schema_parse(argv[first + 1], &schema, &err) < 0)
        return tool_request_failure(&err, "CREATE TABLE");
    varve_schema_free(schema);

    code = tool_open_store(argv[first], VARVE_OPEN_CREATE, &opening, &store);
    if (code != TOOL_OK)
        return code;
    if (varve_table_create(store, argv[first + 1], &err) < 0)
        code = tool_request_failure(&err, "CREATE TABLE");
    varve_close(store);
    return code;
}
