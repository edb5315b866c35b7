/*
 * bench_workload.c - rows of bars and listens in memory, by columns.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/store_bench.h"
#include "tools/generate/generator.h"

#define START_MS INT64_C(1672531200000) /* 2023-01-01 */
#define BAR_SYMBOLS 10u
#define BAR_STEP_MS 60000
#define LISTEN_USERS 10000u
#define LISTEN_SONGS 50000u
#define LISTEN_STEP_MS 200
#define TEXT_MAX GENERATE_NAME_MAX

static const struct bench_workload workloads[] = {
    {.name = "bars",
     .table = "bars",
     .create = GENERATE_BARS_TABLE,
     .create_sqlite = "CREATE TABLE bars (symbol TEXT, ts INTEGER, open INTEGER, high INTEGER, "
                      "low INTEGER, close INTEGER, volume INTEGER, quote_volume INTEGER, "
                      "trades INTEGER, PRIMARY KEY (symbol, ts)) WITHOUT ROWID",
     .n_columns = 9,
     .measured = 5,
     .columns = {{"symbol", VARVE_TEXT, 0, 0},
                 {"ts", VARVE_TIMESTAMP, 8, 0},
                 {"open", VARVE_DECIMAL, 8, 2},
                 {"high", VARVE_DECIMAL, 8, 2},
                 {"low", VARVE_DECIMAL, 8, 2},
                 {"close", VARVE_DECIMAL, 8, 2},
                 {"volume", VARVE_DECIMAL, 8, 6},
                 {"quote_volume", VARVE_DECIMAL, 8, 8},
                 {"trades", VARVE_BIGINT, 8, 0}}},
    {.name = "listens",
     .table = "listens",
     .create = GENERATE_LISTENS_TABLE,
     .create_sqlite = "CREATE TABLE listens (user TEXT, ts INTEGER, seq INTEGER, song TEXT, "
                      "danceability REAL, energy REAL, duration INTEGER, "
                      "PRIMARY KEY (user, ts, seq)) WITHOUT ROWID",
     .n_columns = 7,
     .measured = 6,
     .columns = {{"user", VARVE_TEXT, 0, 0},
                 {"ts", VARVE_TIMESTAMP, 8, 0},
                 {"seq", VARVE_INT, 4, 0},
                 {"song", VARVE_TEXT, 0, 0},
                 {"danceability", VARVE_DOUBLE, 8, 0},
                 {"energy", VARVE_DOUBLE, 8, 0},
                 {"duration", VARVE_INT, 4, 0}}},
};

struct bench_source {
    const struct bench_workload *workload;
    struct generate_bars bars;
    struct generate_listens listens;
};

const struct bench_workload *bench_workload_find(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

struct bench_source *bench_source_new(const struct bench_workload *workload, uint64_t seed)
{
    struct bench_source *source = calloc(1, sizeof *source);

    if (source == NULL)
        return NULL;
    source->workload = workload;
    const bool made =
        workload == &workloads[0]
            ? generate_bars_init(&source->bars, seed, BAR_SYMBOLS, START_MS, BAR_STEP_MS)
            : generate_listens_init(&source->listens, seed, LISTEN_USERS, LISTEN_SONGS, START_MS,
                                    LISTEN_STEP_MS);
    if (made)
        return source;
    free(source);
    return NULL;
}

void bench_source_free(struct bench_source *source)
{
    if (source == NULL)
        return;
    generate_bars_free(&source->bars);
    generate_listens_free(&source->listens);
    free(source);
}

bool bench_rows_init(struct bench_rows *rows, const struct bench_workload *workload,
                     uint64_t capacity)
{
    *rows = (struct bench_rows){.workload = workload, .capacity = capacity};
    for (uint32_t c = 0; c < workload->n_columns; c++) {
        const uint32_t width = workload->columns[c].width;
        const uint64_t size = capacity * (width == 0 ? TEXT_MAX : width);
        rows->values[c] = malloc(size);
        rows->bytes += size;
        if (width == 0) {
            rows->offsets[c] = malloc((capacity + 1) * sizeof *rows->offsets[c]);
            rows->bytes += (capacity + 1) * sizeof *rows->offsets[c];
        }
        if (rows->values[c] == NULL || (width == 0 && rows->offsets[c] == NULL)) {
            bench_rows_free(rows);
            return false;
        }
    }
    return true;
}

void bench_rows_free(struct bench_rows *rows)
{
    for (uint32_t c = 0; c < BENCH_COLUMNS_MAX; c++) {
        free(rows->values[c]);
        free(rows->offsets[c]);
    }
    *rows = (struct bench_rows){0};
}

static void put_i64(struct bench_rows *rows, uint32_t column, uint64_t row, int64_t value)
{
    if (rows->workload->columns[column].width == 4)
        ((int32_t *)rows->values[column])[row] = (int32_t)value;
    else
        ((int64_t *)rows->values[column])[row] = value;
}

static void put_text(struct bench_rows *rows, uint32_t column, uint64_t row, const char *text,
                     uint32_t size)
{
    uint32_t *offsets = rows->offsets[column];

    memcpy((char *)rows->values[column] + offsets[row], text, size);
    offsets[row + 1] = offsets[row] + size;
}

static void fill_bar(struct bench_rows *rows, struct bench_source *source, uint64_t row)
{
    struct generate_bar bar;
    char name[GENERATE_NAME_MAX];

    generate_bars_next(&source->bars, &bar);
    put_text(rows, 0, row, name, generate_symbol_name(bar.symbol, name));
    put_i64(rows, 1, row, bar.ts_ms);
    put_i64(rows, 2, row, bar.open);
    put_i64(rows, 3, row, bar.high);
    put_i64(rows, 4, row, bar.low);
    put_i64(rows, 5, row, bar.close);
    put_i64(rows, 6, row, bar.volume);
    put_i64(rows, 7, row, bar.quote_volume);
    put_i64(rows, 8, row, bar.trades);
}

static void fill_listen(struct bench_rows *rows, struct bench_source *source, uint64_t row)
{
    struct generate_listen listen;
    char name[GENERATE_NAME_MAX];

    generate_listens_next(&source->listens, &listen);
    put_text(rows, 0, row, name, generate_user_name(listen.user, name));
    put_i64(rows, 1, row, listen.ts_ms);
    put_i64(rows, 2, row, listen.seq);
    put_text(rows, 3, row, name, generate_song_name(listen.song, name));
    ((double *)rows->values[4])[row] = listen.danceability;
    ((double *)rows->values[5])[row] = listen.energy;
    put_i64(rows, 6, row, listen.duration_ms);
}

void bench_rows_fill(struct bench_rows *rows, struct bench_source *source, uint64_t n)
{
    assert(n <= rows->capacity);
    rows->n = n;
    for (uint32_t c = 0; c < rows->workload->n_columns; c++)
        if (rows->offsets[c] != NULL)
            rows->offsets[c][0] = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (rows->workload == &workloads[0])
            fill_bar(rows, source, i);
        else
            fill_listen(rows, source, i);
    }
}

int64_t bench_rows_i64(const struct bench_rows *rows, uint32_t column, uint64_t row)
{
    return rows->workload->columns[column].width == 4
               ? ((const int32_t *)rows->values[column])[row]
               : ((const int64_t *)rows->values[column])[row];
}

bool bench_feed_next(struct bench_feed *feed)
{
    const uint64_t n = feed->left < feed->rows->capacity ? feed->left : feed->rows->capacity;

    if (n == 0)
        return false;
    bench_rows_fill(feed->rows, feed->source, n);
    feed->left -= n;
    return true;
}
