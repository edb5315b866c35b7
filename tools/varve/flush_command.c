/*
 * flush_command.c - `varve flush STORE`.
 */
#include <inttypes.h>

#include "tools/varve/command.h"
#include "tools/varve/progress_line.h"

static const struct tool_usage usage = {
    .synopsis = "STORE",
    .about = "Write the rows that a store holds in memory and in its log to table files.\n"
             "\n"
             "Nothing needs it: rows are durable once they are committed, and the store writes\n"
             "files by itself as its memory fills. But files are smaller than the log, opening\n"
             "the store has less to replay, and readers have less to keep in memory.",
    .options = NULL,
    .opens = TOOL_OPENS_WRITE,
    .operands_min = 1,
    .operands_max = 1,
};

int tool_flush(varve_store *store, const char *name)
{
    const double started = progress_now_s();
    varve_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    varve_error err = {.status = VARVE_OK};

    varve_get_stats(store, &before);
    if (varve_flush(store, &err) < 0)
        return tool_failure(&err, name);
    varve_get_stats(store, &after);
    if (before.memtable_rows == 0) {
        tool_say("%s: all rows were in files already", name);
        return TOOL_OK;
    }
    tool_say("%s: %" PRIu64 " rows written to files, %.1f MiB in %.2f s", name,
             before.memtable_rows, (double)(after.file_bytes - before.file_bytes) / (1 << 20),
             progress_now_s() - started);
    return TOOL_OK;
}

int command_flush(int argc, char **argv)
{
    struct tool_opening opening = {.memory = 0};
    varve_store *store;
    int first;
    int code = tool_options_parse(argc, argv, &usage, NULL, NULL, &opening, &first);

    if (code >= 0)
        return code;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        return code;
    code = tool_flush(store, argv[first]);
    varve_close(store);
    return code;
}
