/*
 * store_opening.c - how commands open their stores (command.h): the options of that, what is said of a
 * store that a crash or the disk has harmed, and what to do when it does not open.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tools/varve/command.h"

#define MIB ((uint64_t)1 << 20)
#define MEMORY_MIN (8 * MIB)

#define MEMORY_OPTION(fallback)                                                                    \
    {                                                                                              \
        "memory", "SIZE",                                                                          \
            "use at most so much memory, such as 512MiB or 2GiB; default:\n" fallback              \
    }
#define WAL_TAIL_OPTION(how)                                                                       \
    {                                                                                              \
        "wal-tail", "HOW",                                                                         \
            "strict (default): refuse a log whose last batch is\n"                                 \
            "damaged; cut: " how ", though\n"                                                      \
            "it may have been acknowledged"                                                        \
    }

static const struct tool_option none[] = {{NULL, NULL, NULL}};
static const struct tool_option to_read_all[] = {
    MEMORY_OPTION("a quarter of the machine's, at least 256MiB"),
    {NULL, NULL, NULL},
};
static const struct tool_option to_make[] = {
    MEMORY_OPTION("256MiB"),
    {NULL, NULL, NULL},
};
static const struct tool_option to_read[] = {
    MEMORY_OPTION("a quarter of the machine's, at least 256MiB"),
    {"salvage", NULL,
     "where acknowledged log data is damaged or cannot be\n"
     "read: show table files and the log up to there, say what\n"
     "is missing, and exit with 4"},
    WAL_TAIL_OPTION("leave that batch out"),
    {NULL, NULL, NULL},
};
static const struct tool_option to_write[] = {
    MEMORY_OPTION("256MiB"),
    WAL_TAIL_OPTION("cut that batch away"),
    {NULL, NULL, NULL},
};

const struct tool_option *tool_opening_options(enum tool_opens opens)
{
    switch (opens) {
    case TOOL_OPENS_NEW:
        return to_make;
    case TOOL_OPENS_VERIFY:
        return to_read_all;
    case TOOL_OPENS_READ:
        return to_read;
    case TOOL_OPENS_WRITE:
        return to_write;
    case TOOL_OPENS_NONE:
        break;
    }
    return none;
}

/* A whole number of KiB, MiB, GiB or TiB. */
static bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    const size_t digits = strspn(text, "0123456789");
    char number[24];
    uint64_t n;

    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(text + digits, units[i]) != 0)
            continue;
        const unsigned shift = 10 * (i + 1);
        if (!tool_number_parse(number, UINT64_MAX >> (shift + 1), &n))
            return false;
        *ret_bytes = n << shift;
        return true;
    }
    return false;
}

bool tool_opening_take(struct tool_opening *opening, const char *name, const char *value)
{
    if (strcmp(name, "memory") == 0)
        return (parse_size(value, &opening->memory) && opening->memory >= MEMORY_MIN) ||
               tool_usage_error("--memory wants a size such as 512MiB or 2GiB, at least 8MiB, not "
                                "'%s'",
                                value) == TOOL_OK;
    if (strcmp(name, "salvage") == 0) {
        opening->salvage = true;
        return true;
    }
    opening->wal_tail = strcmp(value, "cut") == 0 ? VARVE_WAL_TAIL_CUT : VARVE_WAL_TAIL_STRICT;
    return opening->wal_tail == VARVE_WAL_TAIL_CUT || strcmp(value, "strict") == 0 ||
           tool_usage_error("--wal-tail is strict or cut, not '%s'", value) == TOOL_OK;
}

/* A reader keeps in memory what is only in the log, and that was made under the limit of a program that
 * may be as large as the machine lets it. */
static uint64_t reading_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    const uint64_t all = pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : 0;

    return all / 4 > 256 * MIB ? all / 4 : 256 * MIB;
}

static bool is_reading(const struct tool_opening *opening)
{
    return opening->opens == TOOL_OPENS_READ || opening->opens == TOOL_OPENS_VERIFY;
}

static void set_options(const struct tool_opening *opening, uint32_t flags, varve_options *options)
{
    varve_options_init(options, sizeof *options);
    options->flags = flags | (is_reading(opening) ? (uint32_t)VARVE_OPEN_READ_ONLY : 0);
    if (opening->salvage || opening->opens == TOOL_OPENS_VERIFY)
        options->flags |= VARVE_OPEN_SALVAGE;
    options->wal_tail = opening->wal_tail;
    options->memory_limit = opening->memory;
    if (!is_reading(opening))
        return;
    if (opening->memory == 0)
        options->memory_limit = reading_memory();
    if (options->memory_limit > 256 * MIB) /* what is asked for once needs no large cache */
        options->cache_bytes = 192 * MIB;
}

/* ----------------------------------------------------------------------------------- What was found */

struct found {
    const char *path;
    struct tool_opening *opening;
    varve_error cut; /* status VARVE_OK; message "": nothing was cut */
    char files[256]; /* that hold it */
};

static void note_finding(void *ctx, varve_finding kind, const varve_error *detail)
{
    struct found *found = ctx;
    char text[900];

    if (kind == VARVE_FOUND_CUT) {
        const size_t used = strlen(found->files);
        (void)snprintf(found->files + used, sizeof found->files - used, "%s%s",
                       used == 0 ? "" : ", ", detail->file);
        if (used == 0)
            found->cut = *detail;
    }
    if (kind != VARVE_FOUND_MISSING)
        return;
    found->opening->missing = true;
    if (found->opening->opens == TOOL_OPENS_VERIFY) /* it is a problem among others there */
        return;
    tool_failure_text(detail, text, sizeof text);
    if (detail->offset != UINT64_MAX)
        tool_say("warning: %s: missing: %s, page %" PRIu64, found->path, text,
                 detail->offset / 4096);
    else
        tool_say("warning: %s: missing: %s", found->path, text);
}

static void say_findings(const char *path, struct tool_opening *opening, varve_store *store)
{
    struct found found = {.path = path, .opening = opening};

    varve_open_findings(store, note_finding, &found);
    if (found.files[0] != '\0')
        tool_say("warning: %s: %s; log range %" PRIu64 " to %" PRIu64 ", %s %s", path,
                 found.cut.message, found.cut.lsn, found.cut.lsn_end,
                 is_reading(opening) ? "in" : "kept aside in", found.files);
}

/* ------------------------------------------------------------------------------ When it does not open */

struct missing {
    bool any;
    uint64_t from; /* of the log */
};

static void find_missing(void *ctx, varve_finding kind, const varve_error *detail)
{
    if (kind == VARVE_FOUND_MISSING)
        *(struct missing *)ctx = (struct missing){.any = true, .from = detail->lsn};
}

/* Which option would open a damaged store, or one that the disk does not give back whole, and at what
 * price: found out by trying. */
static void advise(const char *path, const struct tool_opening *opening, varve_status failure)
{
    struct tool_opening reading = *opening;
    varve_options options;
    varve_store *store;
    varve_stats stats = {.struct_size = sizeof stats};
    struct missing missing = {.any = false};

    reading.opens = TOOL_OPENS_READ;
    reading.wal_tail = VARVE_WAL_TAIL_CUT;
    set_options(&reading, 0, &options);
    if (varve_open(path, &options, &store, NULL) == VARVE_OK) {
        varve_get_stats(store, &stats);
        varve_close(store);
        if (failure == VARVE_EIO) /* it can be read: something else failed */
            return;
        tool_say("%s: --wal-tail cut opens it without log range %" PRIu64 " to %" PRIu64
                 ", which may have been acknowledged",
                 path, stats.cut_lsn, stats.cut_lsn_end);
    }
    reading.salvage = true;
    reading.wal_tail = VARVE_WAL_TAIL_STRICT;
    set_options(&reading, 0, &options);
    if (varve_open(path, &options, &store, NULL) != VARVE_OK)
        return;
    varve_open_findings(store, find_missing, &missing);
    if (missing.any)
        tool_say("%s: scan and stats with --salvage show its table files and its log up to %" PRIu64
                 ", but nothing of the log behind it",
                 path, missing.from);
    else
        tool_say("%s: scan and stats with --salvage show all of it", path);
    varve_close(store);
}

static int say_failure(const char *path, const struct tool_opening *opening, const varve_error *err)
{
    const int code = tool_failure(err, path);
    if ((err->status == VARVE_ECORRUPT || err->status == VARVE_EIO) && !opening->salvage)
        advise(path, opening, err->status);
    return code;
}

int tool_open_store(const char *path, uint32_t flags, struct tool_opening *opening,
                    varve_store **ret_store)
{
    varve_options options;
    varve_error err = {.status = VARVE_OK};

    set_options(opening, flags, &options);
    if (varve_open(path, &options, ret_store, &err) < 0)
        return say_failure(path, opening, &err);
    say_findings(path, opening, *ret_store);
    return TOOL_OK;
}

int tool_opening_code(const struct tool_opening *opening, int code)
{
    return opening->missing && (code == TOOL_OK || code == TOOL_NOTHING) ? TOOL_CORRUPT : code;
}
