/*
 * demo_command.c - `varve demo [DIR]`: sample bars and listens, loaded and shown. It is also the
 * shortest complete program against the library: tables, rows, aggregates.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/generate/generator.h"
#include "tools/varve/bar_chart.h"
#include "tools/varve/command.h"
#include "tools/varve/progress_line.h"

enum {
    OPTION_SEED,
    OPTION_ASCII,
};

static const struct tool_option options[] = {
    [OPTION_SEED] = {"seed", "N", "of the sample data; default 1"},
    [OPTION_ASCII] = {"ascii", NULL, "draw with ASCII characters only"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "[DIR] [OPTIONS]",
    .about = "Make sample data (minute bars of three symbols, listens of 200 users), load it into\n"
             "a new store in DIR (default: a new temporary directory), and print hourly\n"
             "aggregates with a small chart.",
    .options = options,
    .opens = TOOL_OPENS_NEW,
    .operands_min = 0,
    .operands_max = 1,
};

#define SYMBOLS 3u
#define MINUTES (3u * 24 * 60)
#define USERS 200u
#define SONGS 1000u
#define LISTENS 20000u
#define LISTENS_STEP_MS 12000
#define BATCH_ROWS 1000u
#define START_MS INT64_C(1704067200000) /* 2024-01-01 */
#define HOUR_MS INT64_C(3600000)
#define CHART_WIDTH 40

struct demo {
    uint64_t seed;
    bool ascii;
    varve_store *store;
    varve_batch *batch;
};

static bool take_option(void *ctx, int option, const char *value)
{
    struct demo *demo = ctx;

    if (option == OPTION_SEED)
        return tool_number_parse(value, UINT64_MAX, &demo->seed) ||
               tool_usage_error("--seed wants a number, not '%s'", value) == TOOL_OK;
    demo->ascii = true;
    return true;
}

/* --------------------------------------------------------------------------------------- Loading */

static varve_value integer(uint8_t type, int64_t number)
{
    return (varve_value){.type = type, .as.i64 = number};
}

static varve_value decimal(int64_t mantissa, int8_t scale)
{
    return (varve_value){.type = VARVE_DECIMAL, .scale = scale, .as.i64 = mantissa};
}

static varve_value text(const char *bytes, uint32_t size)
{
    return (varve_value){.type = VARVE_TEXT, .as.bytes = {bytes, size}};
}

/* Add a row, and commit when there are enough or `last`. */
static varve_status put(struct demo *demo, const varve_table *table, const varve_value *values,
                        uint32_t n, bool last, varve_error *err)
{
    varve_status rc = varve_batch_put_row(demo->batch, table, values, n, NULL, err);

    if (rc >= 0 && (last || varve_batch_rows(demo->batch) >= BATCH_ROWS))
        rc = varve_commit(demo->store, demo->batch, VARVE_POLICY_DEFAULT, NULL, err);
    return rc;
}

static varve_status load_bars(struct demo *demo, const varve_table *table, varve_error *err)
{
    struct generate_bars bars;
    varve_status rc = VARVE_OK;

    if (!generate_bars_init(&bars, demo->seed, SYMBOLS, START_MS, 60000)) {
        tool_say("out of memory");
        return VARVE_ENOMEM;
    }
    for (uint32_t i = 0; rc >= 0 && i < SYMBOLS * MINUTES; i++) {
        struct generate_bar bar;
        char name[GENERATE_NAME_MAX];
        generate_bars_next(&bars, &bar);
        const uint32_t size = generate_symbol_name(bar.symbol, name);
        const varve_value values[] = {text(name, size),
                                      integer(VARVE_TIMESTAMP, bar.ts_ms),
                                      decimal(bar.open, 2),
                                      decimal(bar.high, 2),
                                      decimal(bar.low, 2),
                                      decimal(bar.close, 2),
                                      decimal(bar.volume, 6),
                                      decimal(bar.quote_volume, 8),
                                      integer(VARVE_BIGINT, bar.trades)};
        rc = put(demo, table, values, 9, i + 1 == SYMBOLS * MINUTES, err);
    }
    generate_bars_free(&bars);
    return rc;
}

static varve_status load_listens(struct demo *demo, const varve_table *table, varve_error *err)
{
    struct generate_listens listens;
    varve_status rc = VARVE_OK;

    if (!generate_listens_init(&listens, demo->seed, USERS, SONGS, START_MS, LISTENS_STEP_MS)) {
        tool_say("out of memory");
        return VARVE_ENOMEM;
    }
    for (uint32_t i = 0; rc >= 0 && i < LISTENS; i++) {
        struct generate_listen listen;
        char user[GENERATE_NAME_MAX], song[GENERATE_NAME_MAX];
        generate_listens_next(&listens, &listen);
        const uint32_t user_size = generate_user_name(listen.user, user);
        const uint32_t song_size = generate_song_name(listen.song, song);
        const varve_value values[] = {text(user, user_size),
                                      integer(VARVE_TIMESTAMP, listen.ts_ms),
                                      integer(VARVE_INT, listen.seq),
                                      text(song, song_size),
                                      {.type = VARVE_DOUBLE, .as.f64 = listen.danceability},
                                      {.type = VARVE_DOUBLE, .as.f64 = listen.energy},
                                      integer(VARVE_INT, listen.duration_ms)};
        rc = put(demo, table, values, 7, i + 1 == LISTENS, err);
    }
    generate_listens_free(&listens);
    return rc;
}

/* --------------------------------------------------------------------------------------- Showing */

static void print_value(const varve_value *value, int width)
{
    char out[64];
    const size_t size = varve_value_format(value, 0, out, sizeof out);

    (void)printf("%*.*s", width, (int)(size < sizeof out ? size : sizeof out), out);
}

/* A row: partition, hour, count, an average; a bar as long as the average is large in `range`. */
static void print_group(const struct demo *demo, const varve_batch_view *view, uint32_t row,
                        double low, double high)
{
    const varve_value key = varve_view_value(view, row, 0);
    const varve_value bucket = varve_view_value(view, row, 1);
    const varve_value count = varve_view_value(view, row, 2);
    const varve_value average = varve_view_value(view, row, 3);

    (void)printf("  %-12.*s ", (int)key.as.bytes.size, (const char *)key.as.bytes.data);
    print_value(&bucket, 0);
    print_value(&count, 6);
    (void)printf(" %12.3f  ", average.as.f64);
    bar_chart_put(stdout, high > low ? (average.as.f64 - low) / (high - low) : 1, CHART_WIDTH,
                  demo->ascii);
    (void)putchar('\n');
}

/* Aggregates of `column` per partition and hour, for the partition `key`, since `from`. */
static varve_status show(const struct demo *demo, const varve_table *table, const char *key,
                         const char *column, int64_t from, int64_t to, varve_error *err)
{
    const varve_value partition = text(key, (uint32_t)strlen(key));
    varve_aggregate aggregates[] = {{.function = VARVE_COUNT_ROWS}, {.function = VARVE_AVG}};
    varve_scan scan;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view;
    varve_status rc =
        varve_schema_find(varve_table_schema(table), column, &aggregates[1].column, err);

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO | VARVE_SCAN_BY_PARTITION;
    scan.partitions = &partition;
    scan.n_partitions = 1;
    scan.from = from;
    scan.to = to;
    scan.every = HOUR_MS;
    scan.aggregates = aggregates;
    scan.n_aggregates = 2;
    if (rc >= 0)
        rc = varve_aggregate_open(demo->store, table, &scan, &cursor, err);
    while (rc >= 0 && (rc = varve_cursor_next(cursor, &view, err)) == VARVE_OK) {
        double low = 0, high = 0;
        bool first = true;
        for (uint32_t i = 0; i < view->rows; i++) {
            const double average = varve_view_value(view, i, 3).as.f64;
            low = first || average < low ? average : low;
            high = first || average > high ? average : high;
            first = false;
        }
        low -= (high - low) / 10; /* so that the least bar is seen too */
        for (uint32_t i = 0; i < view->rows; i++)
            print_group(demo, view, i, low, high);
    }
    varve_cursor_close(cursor);
    return rc < 0 ? rc : VARVE_OK;
}

static varve_status show_bars(const struct demo *demo, const varve_table *bars, varve_error *err)
{
    const int64_t end = START_MS + (int64_t)MINUTES * 60000;
    varve_status rc = VARVE_OK;

    (void)printf("Average close of the last 8 hours:\n");
    for (uint32_t symbol = 0; rc >= 0 && symbol < SYMBOLS; symbol++) {
        char name[GENERATE_NAME_MAX];
        (void)generate_symbol_name(symbol, name);
        (void)printf("\n");
        rc = show(demo, bars, name, "close", end - 8 * HOUR_MS, end, err);
    }
    return rc;
}

static varve_status show_listens(const struct demo *demo, const varve_table *listens,
                                 varve_error *err)
{
    char name[GENERATE_NAME_MAX];

    (void)generate_user_name(0, name);
    (void)printf("\nAverage danceability of what one user heard, hour by hour:\n\n");
    return show(demo, listens, name, "danceability", START_MS, START_MS + 8 * HOUR_MS, err);
}

static void say_next(const char *folder)
{
    (void)printf("\nThe store is in %s. Try:\n\n"
                 "  varve scan %s bars --partition BTCUSDT --limit 5\n"
                 "  varve scan %s bars --every 1h --by partition --agg \"count,avg(close),"
                 "sum(volume)\"\n"
                 "  varve scan %s listens --where \"energy > 0.9\" --agg count --by partition\n"
                 "  varve stats %s\n",
                 folder, folder, folder, folder, folder);
}

static varve_status run_demo(struct demo *demo, const char *folder, varve_error *err)
{
    varve_table *bars = NULL, *listens = NULL;
    const double started = progress_now_s();
    varve_status rc;

    if (varve_table_at(demo->store, 0) != NULL) {
        tool_say("%s: this is a store with tables in it: the demonstration wants a new one",
                 folder);
        return VARVE_EEXISTS;
    }
    rc = varve_table_create(demo->store, GENERATE_BARS_TABLE, err);
    if (rc >= 0)
        rc = varve_table_create(demo->store, GENERATE_LISTENS_TABLE, err);
    if (rc >= 0)
        rc = varve_table_open(demo->store, "bars", &bars, err);
    if (rc >= 0)
        rc = varve_table_open(demo->store, "listens", &listens, err);
    if (rc >= 0)
        rc = varve_batch_new(demo->store, &demo->batch, err);
    if (rc >= 0)
        rc = load_bars(demo, bars, err);
    if (rc >= 0)
        rc = load_listens(demo, listens, err);
    if (rc < 0)
        return rc;
    tool_say("%u rows in %.2f s, durable in batches of %u", SYMBOLS * MINUTES + LISTENS,
             progress_now_s() - started, BATCH_ROWS);
    rc = show_bars(demo, bars, err);
    if (rc >= 0)
        rc = show_listens(demo, listens, err);
    if (rc >= 0)
        say_next(folder);
    return rc;
}

int command_demo(int argc, char **argv)
{
    struct demo demo = {.seed = 1};
    struct tool_opening opening = {.memory = 0};
    char temporary[] = "/tmp/varve-demo-XXXXXX";
    int first;
    varve_error err = {.status = VARVE_OK};
    int code = tool_options_parse(argc, argv, &usage, take_option, &demo, &opening, &first);

    if (code >= 0)
        return code;
    const char *folder = first < argc ? argv[first] : mkdtemp(temporary);
    if (folder == NULL) {
        tool_say("a temporary directory: %s", tool_os_text(errno));
        return TOOL_FAILED;
    }
    code = tool_open_store(folder, VARVE_OPEN_CREATE, &opening, &demo.store);
    if (code != TOOL_OK)
        return code;
    if (run_demo(&demo, folder, &err) < 0)
        code = err.status == VARVE_OK ? TOOL_FAILED : tool_failure(&err, "demo");
    varve_batch_free(demo.batch);
    varve_close(demo.store);
    return code;
}
