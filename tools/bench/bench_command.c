/*
 * bench_command.c - `varve bench`: what is measured, in which order, and which figures come of it.
 *
 * First both stores are loaded whole and asked questions; then every way to write is run on stores
 * of its own. A store lives in a folder below --dir that is removed when it has served.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/store_bench.h"
#include "tools/varve/command.h"

#define CHUNK_ROWS UINT64_C(12000000)
#define MIB (1024.0 * 1024.0)

static const struct bench_plan plans[] = {
    {"row-1000", false, 1000, 1},       {"row-1000-flight", false, 1000, 8},
    {"row-100-flight", false, 100, 64}, {"row-1-flight", false, 1, 1024},
    {"column-1000", true, 1000, 1},     {"column-1000-flight", true, 1000, 8},
    {"column-20000", true, 20000, 1},   {"column-20000-flight", true, 20000, 8},
};
static const struct bench_plan load_plan = {"load", true, 1000, 8};
/* What the store that is loaded whole is asked; each answers to --only as the plans do. */
static const char *const questions[] = {"load", "scan", "aggregate", "slice", "reopen"};

static const char *const policy_names[BENCH_POLICIES + 1] = {"default", "durable_each",
                                                             "durable_group", "interval", "os"};

struct bench {
    struct bench_options options;
    struct bench_rows rows;
    struct bench_feed feed;
    struct bench_report report;
    char store_path[512], sqlite_path[512];
};

/* Whether `name` is among the names separated by commas; NULL: all are. */
static bool is_listed(const char *list, const char *name)
{
    const size_t size = strlen(name);

    for (const char *at = list; at != NULL;) {
        const size_t length = strcspn(at, ",");
        if (length == size && memcmp(at, name, size) == 0)
            return true;
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return list == NULL;
}

/* ---------------------------------------------------------------------------------- Folders */

static bool make_folder(const char *path)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return true;
    char why[128];
    (void)fprintf(stderr, "varve: make the folder %s: %s\n", path,
                  strerror_r(errno, why, sizeof why));
    return false;
}

/* Remove the plain files of a folder, and it. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    (void)closedir(folder);
    (void)rmdir(path);
}

/* New rows from the seed, unless all of them are in memory. */
static bool restart_feed(struct bench *bench)
{
    struct bench_feed *feed = &bench->feed;

    if (feed->rows != NULL && bench->options.rows == feed->rows->n)
        return true;
    bench_source_free(feed->source);
    *feed = (struct bench_feed){.rows = &bench->rows,
                                .source =
                                    bench_source_new(bench->options.workload, bench->options.seed),
                                .left = bench->options.rows};
    return feed->source != NULL && bench_feed_next(feed);
}

static void remove_stores(struct bench *bench)
{
    char path[600];

    remove_folder(bench->store_path);
    (void)unlink(bench->sqlite_path);
    (void)snprintf(path, sizeof path, "%s-wal", bench->sqlite_path);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s-shm", bench->sqlite_path);
    (void)unlink(path);
}

/* What a store would be made over and removed with; NULL: nothing is in the way. */
static const char *taken_path(const struct bench *bench)
{
    struct stat status;

    if (lstat(bench->store_path, &status) == 0)
        return bench->store_path;
    return lstat(bench->sqlite_path, &status) == 0 ? bench->sqlite_path : NULL;
}

/* ------------------------------------------------------------------------------------ Figures */

static void add_rate(struct bench *bench, const char *name, double units,
                     const struct bench_meter *varve, double sqlite_units,
                     const struct bench_meter *sqlite)
{
    struct bench_figure *figure = bench_report_add(&bench->report, name, "rows/s", false);

    figure->varve = units / varve->wall_s;
    figure->varve_cpu_s = varve->cpu_s;
    if (sqlite != NULL && sqlite->wall_s > 0) {
        figure->sqlite = sqlite_units / sqlite->wall_s;
        figure->sqlite_cpu_s = sqlite->cpu_s;
    }
}

static void add_value(struct bench *bench, const char *name, const char *unit, double varve,
                      double sqlite)
{
    struct bench_figure *figure = bench_report_add(&bench->report, name, unit, true);

    figure->varve = varve;
    figure->sqlite = sqlite;
}

static void check_same(struct bench *bench, const char *what, const struct bench_sum *varve,
                       const struct bench_sum *sqlite)
{
    if (bench_sum_equal(varve, sqlite))
        return;
    bench->report.disagreement = true;
    (void)fprintf(stderr,
                  "varve: %s: the answers differ: %llu rows, sum %llx, averages %.17g; sqlite has "
                  "%llu, %llx, %.17g\n",
                  what, (unsigned long long)varve->rows, (unsigned long long)varve->cells,
                  varve->averages, (unsigned long long)sqlite->rows,
                  (unsigned long long)sqlite->cells, sqlite->averages);
}

static void add_load(struct bench *bench, const struct bench_ingest_result *varve,
                     const struct bench_ingest_result *sqlite)
{
    const varve_stats *stats = &varve->stats;
    const double given = (double)stats->bytes_given;
    const bool both = sqlite->rows > 0;

    add_rate(bench, "load by column, 1000 a batch, flushed", (double)varve->rows, &varve->flushed,
             (double)sqlite->rows, &sqlite->flushed);
    add_value(bench, "write amplification: all", "ratio", varve->written / given,
              both ? sqlite->written / given : NAN);
    add_value(bench, "write amplification: log", "ratio", (double)stats->bytes_log / given, NAN);
    add_value(bench, "write amplification: pre-zeroing", "ratio",
              (double)stats->bytes_prezero / given, NAN);
    add_value(bench, "write amplification: flush", "ratio", (double)stats->bytes_flush / given,
              NAN);
    add_value(bench, "write amplification: manifest", "ratio",
              (double)stats->bytes_manifest / given, NAN);
    add_value(bench, "raw bytes given", "B/row", given / (double)varve->rows, NAN);
    add_value(bench, "peak memory: allocator", "MiB", (double)stats->memory_peak / MIB,
              both ? (double)bench_baseline_memory() / MIB : NAN);
    add_value(bench, "peak memory: resident", "MiB", (double)varve->resident_peak / MIB,
              both ? (double)sqlite->resident_peak / MIB : NAN);
    add_value(bench, "worst commit", "ms", varve->worst_commit_s * 1e3,
              both ? sqlite->worst_commit_s * 1e3 : NAN);
    add_value(bench, "worst stall for memory", "ms", (double)stats->stall_us_worst / 1e3, NAN);
}

/* ---------------------------------------------------------------------------------- Questions */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void add_percentiles(struct bench *bench, const double *varve, const double *sqlite,
                            uint32_t n)
{
    add_value(bench, "slice, one hour of one partition: p50", "us", varve[n / 2] * 1e6,
              sqlite != NULL ? sqlite[n / 2] * 1e6 : NAN);
    add_value(bench, "slice, one hour of one partition: p99", "us", varve[n - 1 - n / 100] * 1e6,
              sqlite != NULL ? sqlite[n - 1 - n / 100] * 1e6 : NAN);
}

static bool ask_slices(struct bench *bench, varve_store *store, struct bench_baseline *base)
{
    const uint32_t n = bench->options.slices;
    uint64_t *picks = calloc(n, sizeof *picks);
    double *seconds = calloc(2 * (size_t)n, sizeof *seconds);
    struct bench_sum ours = {0}, theirs = {0};
    bool ok = picks != NULL && seconds != NULL;
    uint64_t random = bench->options.seed;

    for (uint32_t i = 0; ok && i < n; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        picks[i] = (random >> 16) % bench->rows.n;
    }
    /* Twice each: the first time brings what is asked for into the caches. */
    for (int turn = 0; ok && turn < 2; turn++)
        ok = bench_slices(store, &bench->rows, picks, n, seconds, &ours);
    for (int turn = 0; ok && turn < 2 && base != NULL; turn++)
        ok = bench_baseline_slices(base, &bench->rows, picks, n, seconds + n, &theirs);
    if (ok) {
        qsort(seconds, n, sizeof *seconds, by_value);
        qsort(seconds + n, n, sizeof *seconds, by_value);
        add_percentiles(bench, seconds, base != NULL ? seconds + n : NULL, n);
        if (base != NULL)
            check_same(bench, "slices", &ours, &theirs);
    }
    free(picks);
    free(seconds);
    return ok;
}

static bool ask_all(struct bench *bench, varve_store *store, struct bench_baseline *base)
{
    struct bench_meter ours = {0}, theirs = {0};
    struct bench_sum our_sum, their_sum;

    if (!bench_scan_all(store, bench->options.workload, &ours, &our_sum))
        return false;
    if (base != NULL) {
        if (!bench_baseline_scan(base, bench->options.workload, &theirs, &their_sum))
            return false;
        check_same(bench, "scan", &our_sum, &their_sum);
    }
    add_rate(bench, "scan, all rows and columns", (double)our_sum.rows, &ours, (double)our_sum.rows,
             &theirs);
    return true;
}

/* The first run fills the caches; the best of the rest counts for both. */
static bool ask_hourly(struct bench *bench, varve_store *store, struct bench_baseline *base)
{
    struct bench_meter ours = {.wall_s = INFINITY}, theirs = {0};
    struct bench_sum our_sum, their_sum;
    const double rows = (double)bench->options.rows;

    for (uint32_t turn = 0; turn <= bench->options.turns; turn++) {
        struct bench_meter meter = {0};
        if (!bench_aggregate_hourly(store, bench->options.workload, &meter, &our_sum))
            return false;
        if (turn > 0 && meter.wall_s < ours.wall_s)
            ours = meter;
    }
    if (base != NULL) {
        if (!bench_baseline_aggregate(base, bench->options.workload, &theirs, &their_sum))
            return false;
        check_same(bench, "hourly aggregates", &our_sum, &their_sum);
    }
    add_rate(bench, "hourly aggregates of everything, one core", rows, &ours, rows, &theirs);
    return true;
}

static bool ask_reopen(struct bench *bench, varve_store **store, struct bench_baseline **base)
{
    struct bench_meter ours = {0}, theirs = {0};

    varve_close(*store);
    *store = NULL;
    bench_meter_start(&ours);
    if (!bench_store_open(bench->store_path, &bench->options, VARVE_POLICY_DURABLE_GROUP, store))
        return false;
    bench_meter_stop(&ours);
    if (*base != NULL && !bench_baseline_reopen(base, bench->sqlite_path, &bench->options, &theirs))
        return false;
    add_value(bench, "reopen", "ms", ours.wall_s * 1e3, *base != NULL ? theirs.wall_s * 1e3 : NAN);
    return true;
}

static bool ask(struct bench *bench, varve_store **store, struct bench_baseline **base)
{
    const char *only = bench->options.only;
    varve_stats stats = {.struct_size = sizeof stats};

    varve_get_stats(*store, &stats);
    add_value(bench, "size on disk", "B/row", (double)stats.file_bytes / (double)stats.file_rows,
              *base != NULL ? (double)bench_baseline_bytes(*base, bench->sqlite_path) /
                                  (double)bench->options.rows
                            : NAN);
    if (is_listed(only, "scan") && !ask_all(bench, *store, *base))
        return false;
    if (is_listed(only, "aggregate") && !ask_hourly(bench, *store, *base))
        return false;
    if (is_listed(only, "slice") && !ask_slices(bench, *store, *base))
        return false;
    return !is_listed(only, "reopen") || ask_reopen(bench, store, base);
}

/* Load both stores whole and ask them. */
static bool load_and_ask(struct bench *bench)
{
    struct bench_ingest_result ours = {0}, theirs = {0};
    struct bench_baseline *base = NULL;
    varve_store *store = NULL;
    struct bench_options options = bench->options;

    options.seconds = INFINITY;
    bool ok = restart_feed(bench) &&
              bench_ingest(bench->store_path, &options, &load_plan, VARVE_POLICY_DURABLE_GROUP,
                           &bench->feed, &store, &ours);
    if (ok && bench->options.sqlite)
        ok = restart_feed(bench) &&
             bench_baseline_ingest(bench->sqlite_path, &options, load_plan.batch,
                                   VARVE_POLICY_DURABLE_GROUP, &bench->feed, &base, &theirs);
    if (ok)
        add_load(bench, &ours, &theirs);
    ok = ok && ask(bench, &store, &base);
    varve_close(store);
    bench_baseline_close(base);
    remove_stores(bench);
    return ok;
}

/* ------------------------------------------------------------------------------------- Ingest */

static bool ingest(struct bench *bench, const struct bench_plan *plan, varve_policy policy)
{
    struct bench_ingest_result ours = {0}, theirs = {0};
    struct bench_baseline *base = NULL;
    varve_store *store = NULL;
    char name[64];

    bool ok = restart_feed(bench) && bench_ingest(bench->store_path, &bench->options, plan, policy,
                                                  &bench->feed, &store, &ours);
    if (ok && bench->options.sqlite)
        ok = restart_feed(bench) &&
             bench_baseline_ingest(bench->sqlite_path, &bench->options, plan->batch, policy,
                                   &bench->feed, &base, &theirs);
    if (ok) {
        (void)snprintf(name, sizeof name, "%s %s: flushed", plan->name, policy_names[policy]);
        add_rate(bench, name, (double)ours.rows, &ours.flushed, (double)theirs.rows,
                 &theirs.flushed);
        (void)snprintf(name, sizeof name, "%s %s: acknowledged", plan->name, policy_names[policy]);
        add_rate(bench, name, (double)ours.rows, &ours.acknowledged, (double)theirs.rows,
                 &theirs.acknowledged);
        (void)snprintf(name, sizeof name, "%s %s: worst commit", plan->name, policy_names[policy]);
        add_value(bench, name, "ms", ours.worst_commit_s * 1e3,
                  base != NULL ? theirs.worst_commit_s * 1e3 : NAN);
    }
    varve_close(store);
    bench_baseline_close(base);
    remove_stores(bench);
    return ok;
}

static bool ingest_all(struct bench *bench)
{
    for (uint32_t p = VARVE_POLICY_DURABLE_EACH; p <= BENCH_POLICIES; p++)
        for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
            if (bench->options.policies[p] && is_listed(bench->options.only, plans[i].name) &&
                !ingest(bench, &plans[i], (varve_policy)p))
                return false;
    return true;
}

/* All rows of a store there is into files, and what a row takes there. */
static int measure_store(const struct bench_options *options)
{
    varve_stats stats = {.struct_size = sizeof stats};
    struct bench_report report = {0};
    varve_store *store = NULL;
    varve_error err = {0};

    if (!bench_store_open(options->store, options, VARVE_POLICY_DURABLE_GROUP, &store))
        return TOOL_FAILED;
    const varve_status rc = varve_flush(store, &err);
    varve_get_stats(store, &stats);
    varve_close(store);
    if (rc < 0) {
        (void)fprintf(stderr, "varve: flush: %s\n", err.message);
        return TOOL_FAILED;
    }
    bench_report_add(&report, "rows in files", "rows", false)->varve = (double)stats.file_rows;
    bench_report_add(&report, "size on disk", "B/row", true)->varve =
        (double)stats.file_bytes / (double)stats.file_rows;
    bench_report_print(&report, options->json);
    bench_report_free(&report);
    return TOOL_OK;
}

static bool asks_questions(const char *only)
{
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        if (is_listed(only, questions[i]))
            return true;
    return false;
}

static int run(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    const uint64_t chunk = options->rows < options->chunk ? options->rows : options->chunk;

    if (!make_folder(options->dir))
        return TOOL_FAILED;
    (void)snprintf(bench->store_path, sizeof bench->store_path, "%s/bench-store", options->dir);
    (void)snprintf(bench->sqlite_path, sizeof bench->sqlite_path, "%s/bench.sqlite", options->dir);
    const char *taken = taken_path(bench);
    if (taken != NULL) {
        return tool_usage_error("bench: %s exists: remove it, or name another folder with --dir",
                                taken);
    }
    if (!bench_rows_init(&bench->rows, options->workload, chunk)) {
        (void)fprintf(stderr, "varve: no memory for %llu rows\n", (unsigned long long)chunk);
        return TOOL_FAILED;
    }
    if (!options->json) {
        (void)printf("%s, %llu rows, seed %llu; varve %s; SQLite: %s\n", options->workload->name,
                     (unsigned long long)options->rows, (unsigned long long)options->seed,
                     varve_version(),
                     options->sqlite              ? "WAL, prepared statements, WITHOUT ROWID"
                     : bench_baseline_available() ? "not asked for"
                                                  : "not run (built without it)");
        (void)fflush(stdout);
    }
    const bool ok = (!asks_questions(options->only) || load_and_ask(bench)) && ingest_all(bench);
    remove_stores(bench);
    bench_report_print(&bench->report, options->json);
    return !ok || bench->report.disagreement ? TOOL_FAILED : TOOL_OK;
}

/* ------------------------------------------------------------------------------------ Options */

enum {
    OPTION_ROWS,
    OPTION_WORKLOAD,
    OPTION_SEED,
    OPTION_DIR,
    OPTION_ONLY,
    OPTION_POLICY,
    OPTION_SECONDS,
    OPTION_SLICES,
    OPTION_TURNS,
    OPTION_CHUNK,
    OPTION_MEMORY,
    OPTION_STORE,
    OPTION_NO_SQLITE,
    OPTION_JSON,
    OPTION_QUICK
};

static const struct tool_option options_known[] = {
    [OPTION_ROWS] = {"rows", "N", "how many rows; default 1000000"},
    [OPTION_WORKLOAD] = {"workload", "NAME", "bars (default) or listens"},
    [OPTION_SEED] = {"seed", "N", "of the rows; default 1"},
    [OPTION_DIR] = {"dir", "DIR",
                    "where the stores are made, and removed; default\n"
                    "bench-data"},
    [OPTION_ONLY] = {"only", "LIST",
                     "of: load, scan, aggregate, slice, reopen, and ways to\n"
                     "write: row-1000, row-1000-flight, row-100-flight,\n"
                     "row-1-flight, column-1000, column-1000-flight,\n"
                     "column-20000, column-20000-flight"},
    [OPTION_POLICY] = {"policy", "LIST",
                       "of: durable_each, durable_group, interval, os;\n"
                       "default: all"},
    [OPTION_SECONDS] = {"seconds", "S", "at most for each way to write; default 20"},
    [OPTION_SLICES] = {"slices", "N", "slices to time; default 10000"},
    [OPTION_TURNS] = {"turns", "N",
                      "runs of the hourly aggregates, of which the best\n"
                      "counts; default 5"},
    [OPTION_CHUNK] = {"chunk", "N", "rows in memory at a time; default 12000000"},
    [OPTION_MEMORY] = {"memory", "MIB", "the store's memory limit; default: the library's"},
    [OPTION_STORE] = {"store", "STORE",
                      "nothing but this: write all rows of a store to files,\n"
                      "and print how many bytes a row takes there"},
    [OPTION_NO_SQLITE] = {"no-sqlite", NULL, "varve alone"},
    [OPTION_JSON] = {"json", NULL, "one JSON document instead of a table"},
    [OPTION_QUICK] = {"quick", NULL, "100000 rows and short runs: whether everything works"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "[OPTIONS]",
    .about = "Measure a store with generated rows, beside SQLite where it is there: loads, scans,\n"
             "aggregates, slices, and every way to write under each policy.",
    .options = options_known,
    .operands_min = 0,
    .operands_max = 0,
};

/* False: not a number from 1 to `most`. */
static bool parse_number(const char *text, uint64_t most, uint64_t *ret_number)
{
    char *end = NULL;

    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number == 0 || number > most)
        return false;
    *ret_number = number;
    return true;
}

static size_t names_in(const char *list)
{
    size_t n = 1;

    for (const char *at = list; (at = strchr(at, ',')) != NULL; at++)
        n++;
    return n;
}

/* False: a name of the list is none of the policies', or stands there twice. */
static bool take_policies(struct bench_options *options, const char *value)
{
    size_t listed = 0;

    for (uint32_t p = VARVE_POLICY_DURABLE_EACH; p <= BENCH_POLICIES; p++) {
        options->policies[p] = is_listed(value, policy_names[p]);
        listed += options->policies[p];
    }
    return listed == names_in(value);
}

/* False: a name of the list is neither a question nor a way to write, or stands there twice. */
static bool take_only(struct bench_options *options, const char *value)
{
    size_t listed = 0;

    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        listed += is_listed(value, questions[i]);
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
        listed += is_listed(value, plans[i].name);
    options->only = value;
    return listed == names_in(value);
}

static bool take_value(struct bench_options *options, int option, const char *value)
{
    uint64_t number = 0;

    switch (option) {
    case OPTION_ROWS:
        return parse_number(value, UINT64_C(1) << 40, &options->rows);
    case OPTION_WORKLOAD:
        options->workload = bench_workload_find(value);
        return options->workload != NULL;
    case OPTION_SEED:
        return parse_number(value, UINT64_MAX, &options->seed);
    case OPTION_DIR:
        options->dir = value;
        return strlen(value) < 400;
    case OPTION_ONLY:
        return take_only(options, value);
    case OPTION_POLICY:
        return take_policies(options, value);
    case OPTION_SECONDS:
        options->seconds = parse_number(value, 86400, &number) ? (double)number : 0;
        return number > 0;
    case OPTION_SLICES:
        options->slices = parse_number(value, 10000000, &number) ? (uint32_t)number : 0;
        return number > 0;
    case OPTION_TURNS:
        options->turns = parse_number(value, 1000000, &number) ? (uint32_t)number : 0;
        return number > 0;
    case OPTION_CHUNK: /* texts in memory are found by 32-bit offsets */
        return parse_number(value, UINT64_C(100000000), &options->chunk);
    case OPTION_MEMORY:
        options->memory_limit = parse_number(value, UINT64_C(1) << 30, &number) ? number << 20 : 0;
        return number > 0;
    case OPTION_STORE:
        options->store = value;
        return true;
    case OPTION_NO_SQLITE:
        options->sqlite = false;
        return true;
    case OPTION_JSON:
        options->json = true;
        return true;
    default: /* quick */
        options->rows = 100000;
        options->seconds = 1;
        options->slices = 500;
        return true;
    }
}

static bool take_option(void *ctx, int option, const char *value)
{
    return take_value(ctx, option, value) ||
           tool_usage_error("bench: --%s cannot be '%s'", options_known[option].name, value) ==
               TOOL_OK;
}

int command_bench(int argc, char **argv)
{
    struct bench bench = {
        .options = {.workload = bench_workload_find("bars"),
                    .rows = 1000000,
                    .chunk = CHUNK_ROWS,
                    .seed = 1,
                    .seconds = 20,
                    .slices = 10000,
                    .turns = 5,
                    .dir = "bench-data",
                    .policies = {false, true, true, true, true},
                    .sqlite = bench_baseline_available()},
    };
    int first;
    int code = tool_options_parse(argc, argv, &usage, take_option, &bench.options, NULL, &first);

    if (code >= 0)
        return code;
    code = bench.options.store != NULL ? measure_store(&bench.options) : run(&bench);
    bench_source_free(bench.feed.source);
    bench_rows_free(&bench.rows);
    bench_report_free(&bench.report);
    return code;
}
