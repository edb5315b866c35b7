/*
 * verify_command.c - `varve verify STORE`.
 */
#include <inttypes.h>
#include <unistd.h>

#include "tools/varve/command.h"
#include "tools/varve/progress_line.h"

static const struct tool_usage usage = {
    .synopsis = "STORE",
    .about = "Check every byte of a store's files: checksums, that everything can be decoded, and\n"
             "that counts, order and statistics agree; also what a second copy makes good. Each\n"
             "problem is a line on stderr with file and offset; then the exit code is 4. A store\n"
             "whose log is damaged is checked as far as it goes. Works on a store that another\n"
             "process is writing to.",
    .opens = TOOL_OPENS_VERIFY,
    .operands_min = 1,
    .operands_max = 1,
};

struct verify {
    struct progress_line line;
    uint64_t problems;
    uint64_t rows, bytes;
};

static void report(void *ctx, const varve_error *problem)
{
    struct verify *verify = ctx;

    progress_line_end(&verify->line);
    verify->problems++;
    (void)tool_failure(problem, "damaged");
}

static int progress(void *ctx, uint64_t rows, uint64_t bytes, double fraction)
{
    struct verify *verify = ctx;

    verify->rows = rows;
    verify->bytes = bytes;
    verify->line.size = 1000;
    progress_line_show(&verify->line, rows, (uint64_t)(fraction * 1000));
    return 0;
}

int command_verify(int argc, char **argv)
{
    struct verify verify = {.problems = 0};
    struct tool_opening opening = {.memory = 0};
    int first;
    varve_store *store;
    varve_error err = {.status = VARVE_OK};
    int code = tool_options_parse(argc, argv, &usage, NULL, NULL, &opening, &first);

    if (code >= 0)
        return code;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        return code;
    progress_line_start(&verify.line, 0);
    const varve_status rc = varve_verify(store, report, &verify, progress, &verify, &err);
    progress_line_end(&verify.line);
    if (rc == VARVE_ECORRUPT && verify.problems > 0) {
        tool_say("%" PRIu64 " %s found", verify.problems,
                 verify.problems == 1 ? "problem" : "problems");
        code = TOOL_CORRUPT;
    } else if (rc < 0) {
        code = tool_failure(&err, "verify");
    } else {
        tool_say("no problem found");
    }
    varve_close(store);
    return code;
}
