/*
 * tool_option.c - options of the commands (command.h): one table makes parser and help.
 */
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/command.h"

#define OPTIONS_MAX 32
#define HELP_VALUE 1000
#define VERSION_VALUE 1001
#define OPENING_VALUE 2000 /* and above: tool_opening_options() */

static void print_option(const struct tool_option *option)
{
    char left[64];
    const char *line = option->help;

    (void)snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument == NULL ? "" : " ",
                   option->argument == NULL ? "" : option->argument);
    (void)printf("  %-28s", left);
    if (strlen(left) > 27)
        (void)printf("\n%30s", "");
    for (;;) {
        const size_t size = strcspn(line, "\n");
        (void)printf("%.*s\n", (int)size, line);
        if (line[size] == '\0')
            break;
        line += size + 1;
        (void)printf("%30s", "");
    }
}

static void print_help(const char *command, const struct tool_usage *usage)
{
    static const struct tool_option common[] = {
        {"help", NULL, "print this and exit"},
        {"version", NULL, "print the version and exit"},
    };

    (void)printf("Usage: varve %s %s\n\n%s\n\nOptions:\n", command, usage->synopsis, usage->about);
    for (const struct tool_option *o = usage->options; o != NULL && o->name != NULL; o++)
        print_option(o);
    for (const struct tool_option *o = tool_opening_options(usage->opens); o->name != NULL; o++)
        print_option(o);
    print_option(&common[0]);
    print_option(&common[1]);
}

static size_t add_long_options(const struct tool_option *options, int first_value,
                               struct option *out, size_t n)
{
    for (int i = 0; options != NULL && options[i].name != NULL && n < OPTIONS_MAX; i++)
        out[n++] = (struct option){options[i].name,
                                   options[i].argument == NULL ? no_argument : required_argument,
                                   NULL, first_value + i};
    return n;
}

static void build_long_options(const struct tool_usage *usage, struct option *out)
{
    size_t n = add_long_options(usage->options, 0, out, 0);

    n = add_long_options(tool_opening_options(usage->opens), OPENING_VALUE, out, n);
    out[n] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    out[n + 1] = (struct option){"version", no_argument, NULL, VERSION_VALUE};
    out[n + 2] = (struct option){NULL, 0, NULL, 0};
}

/* An option of the command's own, or of opening its store. */
static bool take_one(const struct tool_usage *usage, int value, tool_take_option take, void *ctx,
                     struct tool_opening *opening)
{
    if (value < OPENING_VALUE) {
        assert(take != NULL); /* there are options only if somebody takes them */
        return take(ctx, value, optarg);
    }
    assert(opening != NULL);
    return tool_opening_take(
        opening, tool_opening_options(usage->opens)[value - OPENING_VALUE].name, optarg);
}

/* False: it has been given before, and which one was meant? */
static bool note_given(const struct tool_usage *usage, bool given[2][OPTIONS_MAX],
                       const char *command, int value)
{
    const bool shared = value >= OPENING_VALUE;
    const int i = shared ? value - OPENING_VALUE : value;
    const struct tool_option *options =
        shared ? tool_opening_options(usage->opens) : usage->options;

    if (given[shared][i] && (shared || (usage->repeatable >> i & 1) == 0))
        return tool_usage_error("%s: --%s is given twice", command, options[i].name) == TOOL_OK;
    given[shared][i] = true;
    return true;
}

int tool_options_parse(int argc, char **argv, const struct tool_usage *usage, tool_take_option take,
                       void *ctx, struct tool_opening *opening, int *ret_first)
{
    struct option long_options[OPTIONS_MAX + 3];
    bool given[2][OPTIONS_MAX] = {{false}};
    char name[64];

    if (opening != NULL)
        opening->opens = usage->opens;
    build_long_options(usage, long_options);
    (void)snprintf(name, sizeof name, "varve: %s", argv[0]); /* what getopt puts before messages */
    argv[0] = name;
    optind = 0;
    for (;;) {
        const int value = getopt_long(argc, argv, "h", long_options, NULL);
        if (value == -1)
            break;
        if (value == HELP_VALUE || value == 'h') {
            print_help(name + strlen("varve: "), usage);
            return TOOL_OK;
        }
        if (value == VERSION_VALUE) {
            (void)printf("varve %s\n", varve_version());
            return TOOL_OK;
        }
        if (value == '?')
            return TOOL_USAGE;
        if (!note_given(usage, given, name + 7, value))
            return TOOL_USAGE;
        if (!take_one(usage, value, take, ctx, opening))
            return TOOL_USAGE;
    }
    const int operands = argc - optind;
    if (operands < usage->operands_min ||
        (usage->operands_max >= 0 && operands > usage->operands_max))
        return tool_usage_error("%s: too %s arguments; usage: varve %s %s", name + 7,
                                operands < usage->operands_min ? "few" : "many", name + 7,
                                usage->synopsis);
    *ret_first = optind;
    return -1;
}

bool tool_number_parse(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        const uint64_t digit = (uint64_t)(unsigned char)*text - '0';
        if (digit > 9 || number > (max - digit) / 10 || digit > max)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

bool tool_policy_parse(const char *text, varve_policy *ret_policy)
{
    static const struct {
        const char *name;
        varve_policy policy;
    } policies[] = {
        {"durable_each", VARVE_POLICY_DURABLE_EACH},
        {"durable_group", VARVE_POLICY_DURABLE_GROUP},
        {"interval", VARVE_POLICY_INTERVAL},
        {"os", VARVE_POLICY_OS},
    };

    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (strcmp(policies[i].name, text) == 0) {
            *ret_policy = policies[i].policy;
            return true;
        }
    return false;
}
