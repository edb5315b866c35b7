/*
 * row_writer.c - writes the rows that every peer is given, and the slices that every peer is asked
 * for, so that no two peers see different bytes.
 *
 *   row_writer bars|listens OUT ROWS PARTITIONS LATE_PERCENT SLICES
 *
 * OUT is a folder that exists. It receives one file a column, values back to back in the machine's
 * byte order, rows in the order in which they arrive: name.u32 and song.u32 (numbers of lines of
 * name.txt and song.txt), ts.i64 (milliseconds), *.i32, *.f64; slices.txt (partition, first
 * millisecond, end); meta.txt, which names the columns.
 *
 * Late rows: LATE_PERCENT of the rows are held back and arrive up to a tenth of the set later. The
 * set of rows is the same for every percentage, only the order changes.
 */
#include "tools/generate/generator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20240101u
#define START_MS INT64_C(1704067200000)
#define HOUR_MS INT64_C(3600000)
#define MINUTE_MS INT64_C(60000)
#define LISTENS_SPAN_MS (30 * 24 * HOUR_MS)
#define SONGS 5000u
#define REALS_MAX 6
#define INTS_MAX 2

struct row {
    uint64_t release; /* the position after which a late row arrives */
    uint32_t partition;
    uint32_t song;
    int64_t ts_ms;
    int32_t ints[INTS_MAX];
    double reals[REALS_MAX];
};

struct slice {
    uint32_t partition;
    int64_t hour_ms;
};

struct layout {
    const char *name;
    const char *measured; /* the column that the aggregates read */
    const char *reals[REALS_MAX];
    const char *ints[INTS_MAX];
    bool has_song;
};

static const struct layout bars_layout = {
    .name = "bars",
    .measured = "close",
    .reals = {"open", "high", "low", "close", "volume", "quote_volume"},
    .ints = {"trades"},
};
static const struct layout listens_layout = {
    .name = "listens",
    .measured = "energy",
    .reals = {"danceability", "energy"},
    .ints = {"seq", "duration"},
    .has_song = true,
};

struct writer {
    const struct layout *layout;
    const char *folder;
    uint64_t rows;
    uint32_t partitions;
    struct generate_bars bars;
    struct generate_listens listens;
    FILE *name, *ts, *song, *reals[REALS_MAX], *ints[INTS_MAX];
    struct row *late; /* a heap, the earliest release first */
    size_t n_late, late_capacity;
    struct slice *slices;
    uint64_t n_slices, slices_max;
    uint64_t random; /* decides what is late, and which slices are asked for */
    uint64_t given;  /* bytes of all values */
    int64_t first_ms, last_ms;
};

static FILE *create(const char *folder, const char *name, const char *ending)
{
    char path[4096];
    const int size = snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);

    return size > 0 && (size_t)size < sizeof path ? fopen(path, "wb") : NULL;
}

static bool open_columns(struct writer *w)
{
    const struct layout *layout = w->layout;
    bool ok = (w->name = create(w->folder, "name", "u32")) != NULL &&
              (w->ts = create(w->folder, "ts", "i64")) != NULL;

    if (ok && layout->has_song)
        ok = (w->song = create(w->folder, "song", "u32")) != NULL;
    for (int i = 0; ok && i < REALS_MAX && layout->reals[i] != NULL; i++)
        ok = (w->reals[i] = create(w->folder, layout->reals[i], "f64")) != NULL;
    for (int i = 0; ok && i < INTS_MAX && layout->ints[i] != NULL; i++)
        ok = (w->ints[i] = create(w->folder, layout->ints[i], "i32")) != NULL;
    return ok;
}

static bool close_file(FILE *file)
{
    return file == NULL || fclose(file) == 0;
}

static bool close_columns(struct writer *w)
{
    bool ok = close_file(w->name);

    ok = close_file(w->ts) && ok;
    ok = close_file(w->song) && ok;
    for (int i = 0; i < REALS_MAX; i++)
        ok = close_file(w->reals[i]) && ok;
    for (int i = 0; i < INTS_MAX; i++)
        ok = close_file(w->ints[i]) && ok;
    return ok;
}

static bool put(FILE *file, const void *value, size_t size)
{
    return file == NULL || fwrite(value, size, 1, file) == 1;
}

static bool write_row(struct writer *w, const struct row *row)
{
    bool ok = put(w->name, &row->partition, sizeof row->partition) &&
              put(w->ts, &row->ts_ms, sizeof row->ts_ms) &&
              put(w->song, &row->song, sizeof row->song);

    for (int i = 0; i < REALS_MAX; i++)
        ok = ok && put(w->reals[i], &row->reals[i], sizeof row->reals[i]);
    for (int i = 0; i < INTS_MAX; i++)
        ok = ok && put(w->ints[i], &row->ints[i], sizeof row->ints[i]);
    return ok;
}

/* ---------------------------------------------------------------------------------- Late rows */

static void swap_rows(struct row *a, struct row *b)
{
    const struct row c = *a;

    *a = *b;
    *b = c;
}

static bool hold_back(struct writer *w, const struct row *row)
{
    if (w->n_late == w->late_capacity) {
        const size_t capacity = w->late_capacity == 0 ? 1024 : 2 * w->late_capacity;
        struct row *late = realloc(w->late, capacity * sizeof *late);
        if (late == NULL)
            return false;
        w->late = late;
        w->late_capacity = capacity;
    }
    size_t at = w->n_late++;
    w->late[at] = *row;
    while (at > 0 && w->late[(at - 1) / 2].release > w->late[at].release) {
        swap_rows(&w->late[(at - 1) / 2], &w->late[at]);
        at = (at - 1) / 2;
    }
    return true;
}

static struct row take_late(struct writer *w)
{
    const struct row first = w->late[0];
    size_t at = 0;

    w->late[0] = w->late[--w->n_late];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < w->n_late; child++)
            if (w->late[child].release < w->late[least].release)
                least = child;
        if (least == at)
            return first;
        swap_rows(&w->late[at], &w->late[least]);
        at = least;
    }
}

/* -------------------------------------------------------------------------------------- Rows */

static struct row next_bar(struct writer *w)
{
    char name[GENERATE_NAME_MAX];
    struct generate_bar bar;

    generate_bars_next(&w->bars, &bar);
    w->given += generate_symbol_name(bar.symbol, name);
    return (struct row){
        .partition = bar.symbol,
        .ts_ms = bar.ts_ms,
        .reals = {(double)bar.open / 1e2, (double)bar.high / 1e2, (double)bar.low / 1e2,
                  (double)bar.close / 1e2, (double)bar.volume / 1e6,
                  (double)bar.quote_volume / 1e8},
        .ints = {(int32_t)bar.trades},
    };
}

static struct row next_listen(struct writer *w)
{
    char name[GENERATE_NAME_MAX];
    struct generate_listen listen;

    generate_listens_next(&w->listens, &listen);
    w->given += generate_user_name(listen.user, name);
    w->given += generate_song_name(listen.song, name);
    return (struct row){
        .partition = listen.user,
        .song = listen.song,
        .ts_ms = listen.ts_ms,
        .reals = {listen.danceability, listen.energy},
        .ints = {listen.seq, listen.duration_ms},
    };
}

static struct row next_row(struct writer *w)
{
    const struct row row = w->layout->has_song ? next_listen(w) : next_bar(w);

    w->given += sizeof row.ts_ms;
    for (int i = 0; i < REALS_MAX && w->layout->reals[i] != NULL; i++)
        w->given += sizeof row.reals[i];
    for (int i = 0; i < INTS_MAX && w->layout->ints[i] != NULL; i++)
        w->given += sizeof row.ints[i];
    return row;
}

/* One row of every stretch gives a slice, so that none is empty. */
static void choose_slice(struct writer *w, uint64_t i, const struct row *row, uint64_t *chosen)
{
    const uint64_t every = w->rows > w->slices_max ? w->rows / w->slices_max : 1;

    if (i % every == 0)
        *chosen = i + generate_below(&w->random, every);
    if (i == *chosen && w->n_slices < w->slices_max)
        w->slices[w->n_slices++] =
            (struct slice){row->partition, row->ts_ms - row->ts_ms % HOUR_MS};
}

static bool write_rows(struct writer *w, uint64_t late_percent)
{
    const uint64_t span = w->rows / 10 + 1;
    uint64_t chosen = 0;
    bool ok = true;

    for (uint64_t i = 0; ok && i < w->rows; i++) {
        struct row row = next_row(w);
        w->last_ms = row.ts_ms;
        if (i == 0)
            w->first_ms = row.ts_ms;
        choose_slice(w, i, &row, &chosen);
        const bool late = generate_below(&w->random, 100) < late_percent;
        row.release = i + 1 + generate_below(&w->random, span);
        ok = late ? hold_back(w, &row) : write_row(w, &row);
        while (ok && w->n_late > 0 && w->late[0].release <= i) {
            const struct row arrived = take_late(w);
            ok = write_row(w, &arrived);
        }
    }
    while (ok && w->n_late > 0) {
        const struct row arrived = take_late(w);
        ok = write_row(w, &arrived);
    }
    return ok;
}

/* ------------------------------------------------------------------------------- Other files */

static bool write_names(const char *folder, const char *column, uint32_t n,
                        uint32_t (*name_of)(uint32_t, char[GENERATE_NAME_MAX]))
{
    FILE *file = create(folder, column, "txt");
    bool ok = file != NULL;

    for (uint32_t i = 0; ok && i < n; i++) {
        char name[GENERATE_NAME_MAX];
        (void)name_of(i, name);
        ok = fprintf(file, "%s\n", name) > 0;
    }
    return close_file(file) && ok;
}

/* In no order, as questions come. */
static bool write_slices(struct writer *w)
{
    FILE *file = create(w->folder, "slices", "txt");
    bool ok = file != NULL;

    for (uint64_t left = w->n_slices; ok && left > 0; left--) {
        struct slice *picked = &w->slices[generate_below(&w->random, left)];
        ok = fprintf(file, "%u %" PRId64 " %" PRId64 "\n", picked->partition, picked->hour_ms,
                     picked->hour_ms + HOUR_MS) > 0;
        *picked = w->slices[left - 1];
    }
    return close_file(file) && ok;
}

static bool write_meta(const struct writer *w)
{
    const struct layout *layout = w->layout;
    FILE *file = create(w->folder, "meta", "txt");

    if (file == NULL)
        return false;
    bool ok = fprintf(file,
                      "set %s\nrows %" PRIu64 "\npartitions %u\nfirst %" PRId64 "\nlast %" PRId64
                      "\ngiven %" PRIu64 "\nmeasured %s\n",
                      layout->name, w->rows, w->partitions, w->first_ms, w->last_ms, w->given,
                      layout->measured) > 0;
    if (ok && layout->has_song)
        ok = fprintf(file, "column seq i32 key\ncolumn song text\n") > 0;
    for (int i = 0; ok && i < REALS_MAX && layout->reals[i] != NULL; i++)
        ok = fprintf(file, "column %s f64\n", layout->reals[i]) > 0;
    for (int i = layout->has_song ? 1 : 0; ok && i < INTS_MAX && layout->ints[i] != NULL; i++)
        ok = fprintf(file, "column %s i32\n", layout->ints[i]) > 0;
    return close_file(file) && ok;
}

static bool write_set(struct writer *w, uint64_t late_percent)
{
    const bool listens = w->layout->has_song;
    bool ok = open_columns(w);

    w->slices = calloc(w->slices_max, sizeof *w->slices);
    ok = ok && w->slices != NULL;

    if (ok && listens)
        ok = generate_listens_init(&w->listens, SEED, w->partitions, SONGS, START_MS,
                                   LISTENS_SPAN_MS / (int64_t)w->rows);
    else if (ok)
        ok = generate_bars_init(&w->bars, SEED, w->partitions, START_MS, MINUTE_MS);
    ok = ok && write_rows(w, late_percent);
    ok = close_columns(w) && ok;
    ok = ok && write_slices(w) &&
         write_names(w->folder, "name", w->partitions,
                     listens ? generate_user_name : generate_symbol_name);
    if (listens)
        ok = ok && write_names(w->folder, "song", SONGS, generate_song_name);
    ok = ok && write_meta(w);
    generate_bars_free(&w->bars);
    generate_listens_free(&w->listens);
    free(w->late);
    free(w->slices);
    return ok;
}

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_value)
{
    char *end;
    const unsigned long long value = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || value < least || value > most)
        return false;
    *ret_value = value;
    return true;
}

int main(int argc, char **argv)
{
    struct writer w = {.random = SEED};
    uint64_t partitions, late;

    if (argc != 7 || !number(argv[3], 1, UINT64_C(10000000000), &w.rows) ||
        !number(argv[4], 1, 10000000, &partitions) || !number(argv[5], 0, 100, &late) ||
        !number(argv[6], 1, 10000000, &w.slices_max) ||
        (strcmp(argv[1], "bars") != 0 && strcmp(argv[1], "listens") != 0)) {
        (void)fprintf(stderr,
                      "usage: row_writer bars|listens OUT ROWS PARTITIONS LATE_PERCENT SLICES\n");
        return 2;
    }
    w.layout = strcmp(argv[1], "bars") == 0 ? &bars_layout : &listens_layout;
    w.folder = argv[2];
    w.partitions = (uint32_t)partitions;
    if (!write_set(&w, late)) {
        perror(w.folder);
        return 1;
    }
    return 0;
}
