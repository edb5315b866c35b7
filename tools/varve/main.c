/*
 * main.c - `varve COMMAND ...`: finds the command and runs it.
 */
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "tools/varve/command.h"

static const struct tool_command commands[] = {
    {"create", command_create, "create a table, and the store if there is none"},
    {"import", command_import, "load rows from CSV files"},
    {"drop", command_drop, "remove a table and its rows"},
    {"flush", command_flush, "write rows that are only in memory and log to files"},
    {"scan", command_scan, "print rows or aggregates"},
    {"stats", command_stats, "print what a store holds and what it has done"},
    {"verify", command_verify, "check every byte of a store"},
    {"dump", command_dump, "print what is inside one file of a store"},
    {"demo", command_demo, "make sample data, load it and show it"},
    {"bench", command_bench, "measure a store with generated rows, beside SQLite"},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    (void)fprintf(out, "Usage: varve COMMAND [ARGUMENTS]\n\n"
                       "A storage engine for time series. Commands:\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].help);
    (void)fprintf(
        out,
        "  %-8s  %s\n\n"
        "`varve COMMAND --help` explains a command; `varve --version` names the version.\n"
        "Exit codes: 0 done, 1 no row or partition found, 2 wrong usage, 3 failure,\n"
        "4 damaged data.\n",
        "help", "print this, or the help of a command");
}

static const struct tool_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_help(const char *name)
{
    static char option[] = "--help";

    if (name == NULL || strcmp(name, "help") == 0) {
        print_help(stdout);
        return TOOL_OK;
    }
    const struct tool_command *command = find_command(name);
    if (command == NULL)
        return tool_usage_error("there is no command '%s' (see varve help)", name);
    char command_name[16];
    (void)snprintf(command_name, sizeof command_name, "%s", command->name);
    char *arguments[] = {command_name, option, NULL};
    return command->run(2, arguments);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("varve %s\n", varve_version());
        return TOOL_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return run_help(argc > 2 ? argv[2] : NULL);

    const struct tool_command *command = find_command(argv[1]);
    if (command == NULL)
        return tool_usage_error("there is no command '%s' (see varve help)", argv[1]);
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    /* Only how wide characters are: numbers and messages never depend on the locale. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "");
    /* A reader of stdout that goes away, and a limit on the size of files, show as failed writes, so
     * that stores are closed. */
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    const int code = dispatch(argc, argv);
    if (code == TOOL_CORRUPT)
        tool_say(
            "`varve verify STORE` lists what is damaged; the manual, varve(1), says under DAMAGED "
            "DATA what that means, what can still be read, and what to do");
    return tool_finish_output(code);
}
