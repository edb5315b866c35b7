/*
 * command.h - what the subcommands of `varve` share: the table of them, exit codes, messages,
 * options.
 *
 * Rules that hold for every command: data goes to stdout and everything else to stderr; a command
 * is given its own name as argv[0] and returns an exit code; what can fail is reported by whoever
 * called it, once.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_COMMAND_H
#define VARVE_TOOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <varve/varve.h>

#if defined(__GNUC__)
#define TOOL_PRINTF(text, rest) __attribute__((format(printf, text, rest)))
#else
#define TOOL_PRINTF(text, rest)
#endif

enum tool_exit {
    TOOL_OK = 0,
    TOOL_NOTHING = 1, /* no row or partition found */
    TOOL_USAGE = 2,   /* also: no such table, column or unit */
    TOOL_FAILED = 3,
    TOOL_CORRUPT = 4,
};

/* ---------------------------------------------------------------------------------- Commands */

struct tool_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* one line */
};

int command_create(int argc, char **argv);
int command_import(int argc, char **argv);
int command_drop(int argc, char **argv);
int command_flush(int argc, char **argv);
int command_scan(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_dump(int argc, char **argv);
int command_demo(int argc, char **argv);
int command_bench(int argc, char **argv); /* tools/bench */

/* ----------------------------------------------------------------------------------- Options */

struct tool_option {
    const char *name;     /* of the long option */
    const char *argument; /* what it is called in the help; NULL: it takes none */
    const char *help;     /* lines separated by \n */
};

/* How a command opens its store, which decides what options of that it has. */
enum tool_opens {
    TOOL_OPENS_NONE = 0,
    TOOL_OPENS_NEW,    /* a store that it makes: --memory */
    TOOL_OPENS_VERIFY, /* to read all that can be read: --memory */
    TOOL_OPENS_READ,   /* --memory, --salvage, --wal-tail */
    TOOL_OPENS_WRITE,  /* --memory, --wal-tail */
};

/* What those options said, and what came of it. Zero it. */
struct tool_opening {
    enum tool_opens opens; /* set by the parser */
    uint64_t memory;       /* bytes; 0: as the command's kind has it */
    bool salvage;
    varve_wal_tail wal_tail;
    bool missing; /* set by tool_open_store(): something is damaged and not shown */
};

/* How a command is used: its help and its parser come from here. --help and --version are added. */
struct tool_usage {
    const char *synopsis; /* behind the command's name */
    const char *about;
    const struct tool_option *options; /* ends with a NULL name; may be NULL */
    uint32_t repeatable; /* bits of the options that may be given again; others may not */
    enum tool_opens opens;
    int operands_min, operands_max; /* operands_max < 0: any number */
};

/* Called for each option in order, `option` being its place in the table. False: the value is bad,
 * and has been reported. */
typedef bool (*tool_take_option)(void *ctx, int option, const char *value);

/*
 * Parse the arguments: options anywhere before `--`, operands moved to argv[*ret_first ..]. `take` may
 * be NULL for a command without options of its own, `opening` for one that opens no store. Returns
 * -1 to go on, else the exit code: --help, --version, or a mistake that has been reported.
 */
int tool_options_parse(int argc, char **argv, const struct tool_usage *usage, tool_take_option take,
                       void *ctx, struct tool_opening *opening, int *ret_first);

/* ---------------------------------------------------------------------------------- Messages */

/* "varve: ..." and a line feed on stderr. */
void tool_say(const char *format, ...) TOOL_PRINTF(1, 2);
/* The same, and TOOL_USAGE is returned. */
int tool_usage_error(const char *format, ...) TOOL_PRINTF(1, 2);
/* Report a failure of the library with file, offset and log range; returns the exit code. */
int tool_failure(const varve_error *err, const char *doing);
/* Whether it was memory_limit that was reached: no fault of what was asked for. */
bool tool_lacks_memory(const varve_error *err);
/* Only the text of it, for a line of one's own. */
void tool_failure_text(const varve_error *err, char *out, size_t size);
/* As tool_failure(), but what is not found or cannot be understood is a mistake in the command. */
int tool_request_failure(const varve_error *err, const char *doing);

/* Lists of names in messages. */
#define TOOL_NAMES_MAX 700u
/* Append a name, as far as there is room. */
void tool_name_append(char list[TOOL_NAMES_MAX], const char *separator, const char *quote,
                      const char *name, size_t size);
/* "symbol, ts, close" */
void tool_column_names(const varve_schema *schema, char list[TOOL_NAMES_MAX]);
/* A failure of varve_schema_find(): a mistake in the command, answered with the columns there are. */
int tool_column_failure(const varve_error *err, const varve_schema *schema, const char *doing);

/* What an errno means, static. */
const char *tool_os_text(int code);
/* Flush stdout; TOOL_FAILED with a message if something could not be written, else `code`. A reader
 * that went away (EPIPE) is not worth a message. */
int tool_finish_output(int code);

/* ------------------------------------------------------------------------------------ Opening */

/* The options of `opens`, ending with a NULL name; what one of them says. */
const struct tool_option *tool_opening_options(enum tool_opens opens);
bool tool_opening_take(struct tool_opening *opening, const char *name, const char *value);
/* Open, and say on stderr, a line each, what the open got past; a failure with what would help. READ_ONLY
 * and SALVAGE follow from `opening`, `flags` has the rest. */
int tool_open_store(const char *path, uint32_t flags, struct tool_opening *opening,
                    varve_store **ret_store);
/* The exit code: what is complete as far as it goes, with something missing, is TOOL_CORRUPT. */
int tool_opening_code(const struct tool_opening *opening, int code);
/* TOOL_OK, or TOOL_USAGE with the tables that there are. */
int tool_open_table(varve_store *store, const char *name, varve_table **ret_table);

/* Write what is in memory to files, and say what that was. `name` is the store's for messages. */
int tool_flush(varve_store *store, const char *name);

/* A whole number, at most `max`; false: it is none. */
bool tool_number_parse(const char *text, uint64_t max, uint64_t *ret_number);
/* Durability by its name; false: there is no such policy. */
bool tool_policy_parse(const char *text, varve_policy *ret_policy);

#endif
