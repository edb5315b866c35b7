/*
 * bench_memtable.c - how fast a memtable takes rows and gives them back, and what a row costs.
 *
 * Run by hand. Each line: rows a second through reserve, apply and publish; rows a second back
 * through a source; bytes held a row. Seconds are of this thread's CPU time, page faults included.
 * Best of three.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "storage/base/rng.h"
#include "storage/memtable/memtable.h"

#define COLUMNS_MAX 10u

struct input { /* one section, refilled for each commit */
    struct varve_section section;
    struct varve_rows rows;
    struct varve_cells columns[COLUMNS_MAX];
    struct varve_span *keys;
    uint64_t *hashes;
    uint8_t *key_bytes;
    uint32_t *part;
};

struct plan {
    const char *name;
    uint32_t doubles;    /* value columns */
    uint32_t batch;      /* rows a commit */
    uint32_t partitions; /* in all */
    uint64_t rows;       /* in all */
    uint32_t late;       /* percent */
    bool spread;         /* each row of a commit in another partition, at random */
};

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *take(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (memory == NULL)
        abort();
    return memory;
}

static struct varve_schema *schema_of(struct varve_heap *heap, uint32_t doubles)
{
    char text[512];
    int at = snprintf(text, sizeof text, "CREATE TABLE t (k bigint, ts timestamp");
    struct varve_schema *schema = NULL;
    for (uint32_t c = 0; c < doubles; c++)
        at += snprintf(text + at, sizeof text - (size_t)at, ", c%u double", c);
    (void)snprintf(text + at, sizeof text - (size_t)at, ", PRIMARY KEY (k, ts))");
    if (varve_schema_from_text(heap, text, &schema, NULL) != VARVE_OK)
        abort();
    return schema;
}

static void input_init(struct input *in, const struct plan *plan, struct varve_schema *schema)
{
    const uint32_t n = plan->batch;
    *in = (struct input){0};
    in->rows = (struct varve_rows){.schema = schema, .n = n, .wt_uniform = VARVE_WT_COMMIT};
    in->rows.time = take(n, sizeof *in->rows.time);
    in->rows.columns = in->columns;
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        in->columns[c].values = take(n, sizeof(double));
    in->keys = take(n, sizeof *in->keys);
    in->hashes = take(n, sizeof *in->hashes);
    in->key_bytes = take(n, 9);
    in->part = take(n, sizeof *in->part);
    for (uint32_t i = 0; i < n; i++)
        in->part[i] = i;
    in->section = (struct varve_section){.schema = schema,
                                         .keys = in->keys,
                                         .key_hashes = in->hashes,
                                         .n_keys = plan->spread ? n : 1,
                                         .part = plan->spread ? in->part : NULL,
                                         .rows = &in->rows};
}

static void input_free(struct input *in)
{
    for (uint32_t c = 0; c < COLUMNS_MAX; c++)
        free(in->columns[c].values);
    free(in->rows.time);
    free(in->keys);
    free(in->hashes);
    free(in->key_bytes);
    free(in->part);
}

static void set_key(struct input *in, uint32_t i, uint64_t k)
{
    uint8_t *key = in->key_bytes + (size_t)i * 9;
    key[0] = VARVE_ROW_KIND_ORDINARY;
    for (uint32_t b = 0; b < 8; b++)
        key[8 - b] = (uint8_t)(k >> 8 * b);
    in->keys[i] = varve_span_of(key, 9);
    in->hashes[i] = varve_key_hash(in->keys[i]);
}

static double fill(struct varve_memtable *table, const struct plan *plan, struct input *in)
{
    struct varve_rng rng;
    int64_t clock = 1000000;
    double spent = 0;

    varve_rng_seed(&rng, 1);
    const double whole = now_s();
    for (uint64_t done = 0, c = 0; done < plan->rows; done += plan->batch, c++) {
        const uint64_t base = plan->spread ? varve_rng_next(&rng) : c;
        for (uint32_t i = 0; i < in->section.n_keys; i++) /* a stride visits all, without repeats */
            set_key(in, i, (base + (uint64_t)i * 7919) % plan->partitions);
        for (uint32_t i = 0; i < plan->batch; i++)
            in->rows.time[i] = varve_rng_below(&rng, 100) < plan->late
                                   ? clock - 1 - (int64_t)varve_rng_below(&rng, 100000)
                                   : ++clock;
        const struct varve_apply apply = {
            .lsn = c, .lsn_end = c + 1, .hlc = (int64_t)c + 1, .floor = INT64_MIN};
        const double start = plan->batch == 1 ? 0 : now_s();
        if (varve_memtable_reserve(table, &in->section, NULL) != VARVE_OK)
            abort();
        (void)varve_memtable_apply(table, &in->section, &apply);
        varve_memtable_publish(table);
        spent += plan->batch == 1 ? 0 : now_s() - start;
    }
    if (plan->batch == 1) /* reading the clock costs more than a row: count everything instead */
        spent = now_s() - whole;
    return spent;
}

static double drain(struct varve_memtable *table, struct varve_heap *heap, uint64_t expected)
{
    const struct varve_memtable_view view = varve_memtable_view_of(table);
    struct varve_source *source = NULL;
    struct varve_partition partition;
    struct varve_piece piece;
    struct varve_cells columns[COLUMNS_MAX];
    struct varve_rows rows = {.columns = columns};
    uint64_t n = 0;
    uint32_t streams;
    const double start = now_s();

    if (varve_memtable_source_open(&view, heap, &source, NULL) != VARVE_OK ||
        source->ops->seek(source, varve_span_of(NULL, 0), false, NULL) != VARVE_OK)
        abort();
    while (source->ops->next(source, &partition, NULL) == VARVE_OK) {
        if (source->ops->open(source, &partition, INT64_MIN, INT64_MAX, false, &streams, NULL) < 0)
            abort();
        for (uint32_t k = 0; k < streams; k++)
            while (source->ops->piece(source, k, &piece, NULL) == VARVE_OK) {
                if (source->ops->load(source, k, 0, piece.rows, NULL, true, &rows, NULL) < 0)
                    abort();
                n += rows.n;
            }
    }
    source->ops->close(source);
    if (n != expected)
        abort();
    return now_s() - start;
}

static void run(const struct plan *plan)
{
    struct varve_heap heap;
    double in_s = 1e9;
    double out_s = 1e9;
    double bytes = 0;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = schema_of(&heap, plan->doubles);
    for (int round = 0; round < 3; round++) {
        struct varve_memtable *table = NULL;
        struct input in;
        input_init(&in, plan, schema);
        if (varve_memtable_create(&heap, schema, &table, NULL) != VARVE_OK)
            abort();
        const double t = fill(table, plan, &in);
        bytes = (double)varve_memtable_bytes(table);
        const double u = drain(table, &heap, varve_memtable_rows(table));
        in_s = t < in_s ? t : in_s;
        out_s = u < out_s ? u : out_s;
        varve_memtable_unref(table);
        input_free(&in);
    }
    (void)printf("%-44s in %6.2f M rows/s  out %6.2f M rows/s  %7.1f MiB  %6.1f bytes a row\n",
                 plan->name, (double)plan->rows / in_s / 1e6, (double)plan->rows / out_s / 1e6,
                 bytes / 1048576, bytes / (double)plan->rows);
    varve_schema_unref(schema);
}

int main(void)
{
    static const struct plan plans[] = {
        {"1 partition, 8 doubles, by 1,000, in order", 8, 1000, 1, 2000000, 0, false},
        {"1 partition, 8 doubles, by 1,000, 1 % late", 8, 1000, 1, 2000000, 1, false},
        {"1 partition, 8 doubles, by 1,000, 10 % late", 8, 1000, 1, 2000000, 10, false},
        {"1 partition, 8 doubles, by 1,000, 50 % late", 8, 1000, 1, 2000000, 50, false},
        {"1 partition, 2 doubles, one by one", 2, 1, 1, 2000000, 0, false},
        {"1,000 partitions, 2 doubles, 1,000 rows each", 2, 1000, 1000, 2000000, 0, true},
        {"10^5 partitions, 2 doubles, spread", 2, 1000, 100000, 2000000, 0, true},
        {"10^6 partitions x 10 rows, 2 doubles, spread", 2, 1000, 1000000, 10000000, 0, true}};
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
        run(&plans[i]);
    return 0;
}
