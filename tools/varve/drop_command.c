/*
 * drop_command.c - `varve drop STORE TABLE`.
 */
#include "tools/varve/command.h"

static const struct tool_usage usage = {
    .synopsis = "STORE TABLE",
    .about = "Remove a table with all its rows. It does not ask.\n"
             "\n"
             "Works on a full disk: the store keeps room for it. The table's files are removed at\n"
             "once, or when the last process that reads them has closed the store and it is\n"
             "opened for writing again.",
    .opens = TOOL_OPENS_WRITE,
    .operands_min = 2,
    .operands_max = 2,
};

int command_drop(int argc, char **argv)
{
    struct tool_opening opening = {.memory = 0};
    int first;
    varve_store *store;
    varve_table *table;
    varve_error err = {.status = VARVE_OK};

    int code = tool_options_parse(argc, argv, &usage, NULL, NULL, &opening, &first);
    if (code >= 0)
        return code;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        return code;
    code = tool_open_table(store, argv[first + 1], &table);
    if (code == TOOL_OK && varve_table_drop(store, argv[first + 1], &err) < 0)
        code = tool_request_failure(&err, argv[first + 1]);
    if (code == TOOL_OK)
        (void)varve_work(store, 0, NULL); /* a little, so that its log may go, too */
    varve_close(store);
    return code;
}
