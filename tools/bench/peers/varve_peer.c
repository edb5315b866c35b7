/*
 * varve_peer.c - varve through its public interface, as an application would use it: columns into
 * batches, aggregations by cursors, one key range a thread where a question may use several.
 */
#include "tools/bench/peers/peer.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <varve/varve.h>

#define NAME_COLUMN 0u
#define TIME_COLUMN 1u
#define FIRST_COLUMN 2u /* peer_rows.columns[i] is column FIRST_COLUMN + i */
#define THREADS_MAX 16u

/* Texts of one commit, in the layout that varve_array has. */
struct text_array {
    char *bytes;
    uint32_t *offsets;
    size_t size, bytes_capacity, offsets_capacity;
};

struct peer {
    const struct peer_rows *rows;
    varve_store *store;
    varve_table *table;
    uint32_t threads;
    uint32_t aggregate_flags; /* of every aggregation, enum varve_scan_flags */
    bool by_rows;
};

struct peer_writer {
    struct peer *peer;
    varve_batch *batch;
    struct text_array names;
    struct text_array texts[PEER_COLUMNS_MAX];
};

struct peer_client {
    struct peer *peer;
};

static bool failed(const char *what, const varve_error *err)
{
    (void)fprintf(stderr, "varve: %s: %s (%s)\n", what, err->message,
                  varve_status_name(err->status));
    return false;
}

static void describe(FILE *out, const struct peer_settings *settings)
{
    (void)fprintf(out,
                  "policy durable_group, memory_limit %" PRIu64 " MiB, otherwise default options, "
                  "whole loads by columns, eight commits in flight, one key range a thread%s",
                  settings->memory_bytes >> 20,
                  settings->read_all_values ? ", aggregates without zone maps" : "");
}

/* -------------------------------------------------------------------------------------- Open */

static bool create_table(struct peer *peer)
{
    static const char *const types[] = {
        [PEER_REAL] = "double", [PEER_INT] = "int", [PEER_TEXT] = "text"};
    char *text = NULL;
    size_t size = 0;
    varve_error err;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL)
        return false;
    (void)fprintf(out, "CREATE TABLE %s (name text, ts timestamp", peer->rows->set);
    for (uint32_t i = 0; i < peer->rows->n_columns; i++)
        (void)fprintf(out, ", %s %s", peer->rows->columns[i].name,
                      types[peer->rows->columns[i].type]);
    (void)fprintf(out, ", PRIMARY KEY ((name), ts");
    for (uint32_t i = 0; i < peer->rows->n_columns; i++)
        if (peer->rows->columns[i].key)
            (void)fprintf(out, ", %s", peer->rows->columns[i].name);
    (void)fprintf(out, "))");
    if (fclose(out) != 0)
        return false;
    const varve_status rc = varve_table_create(peer->store, text, &err);
    free(text);
    return rc < 0 ? failed("create table", &err) : true;
}

static void peer_close(struct peer *peer)
{
    if (peer == NULL)
        return;
    varve_close(peer->store);
    free(peer);
}

static bool peer_open(const struct peer_settings *settings, const struct peer_rows *rows,
                      bool create, struct peer **ret_peer)
{
    struct peer *peer = calloc(1, sizeof *peer);
    varve_options options;
    varve_error err;

    if (peer == NULL)
        return false;
    peer->rows = rows;
    peer->by_rows = settings->by_rows;
    peer->aggregate_flags = settings->read_all_values ? VARVE_SCAN_NO_ZONE_MAPS : 0;
    peer->threads = settings->threads < THREADS_MAX ? settings->threads : THREADS_MAX;
    varve_options_init(&options, sizeof options);
    options.flags = create ? VARVE_OPEN_CREATE : 0;
    options.memory_limit = settings->memory_bytes;
    bool ok = varve_open(settings->folder, &options, &peer->store, &err) == VARVE_OK ||
              failed("open", &err);
    ok = ok && (!create || create_table(peer));
    ok = ok && (varve_table_open(peer->store, rows->set, &peer->table, &err) == VARVE_OK ||
                failed("open table", &err));
    if (!ok) {
        peer_close(peer);
        return false;
    }
    *ret_peer = peer;
    return true;
}

/* -------------------------------------------------------------------------------------- Load */

static void free_text_array(struct text_array *array)
{
    free(array->bytes);
    free(array->offsets);
}

static void writer_close(struct peer_writer *writer)
{
    if (writer == NULL)
        return;
    varve_batch_free(writer->batch);
    free_text_array(&writer->names);
    for (uint32_t i = 0; i < PEER_COLUMNS_MAX; i++)
        free_text_array(&writer->texts[i]);
    free(writer);
}

static bool writer_open(struct peer *peer, struct peer_writer **ret_writer)
{
    struct peer_writer *writer = calloc(1, sizeof *writer);
    varve_error err;

    if (writer == NULL)
        return false;
    writer->peer = peer;
    if (varve_batch_new(peer->store, &writer->batch, &err) < 0) {
        writer_close(writer);
        return failed("new batch", &err);
    }
    *ret_writer = writer;
    return true;
}

static bool add_text(struct text_array *array, const struct peer_names *names, uint32_t code)
{
    const uint32_t size = peer_name_size(names, code);

    if (array->size + size > array->bytes_capacity) {
        const size_t capacity = 2 * array->bytes_capacity + size + 4096;
        char *bytes = realloc(array->bytes, capacity);
        if (bytes == NULL)
            return false;
        array->bytes = bytes;
        array->bytes_capacity = capacity;
    }
    memcpy(array->bytes + array->size, peer_name(names, code), size);
    array->size += size;
    return true;
}

static bool fill_texts(struct text_array *array, const struct peer_names *names,
                       const uint32_t *codes, uint64_t n)
{
    if (n + 1 > array->offsets_capacity) {
        uint32_t *offsets = realloc(array->offsets, (n + 1) * sizeof *offsets);
        if (offsets == NULL)
            return false;
        array->offsets = offsets;
        array->offsets_capacity = n + 1;
    }
    array->size = 0;
    array->offsets[0] = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (!add_text(array, names, codes[i]))
            return false;
        array->offsets[i + 1] = (uint32_t)array->size;
    }
    return true;
}

static bool fill_columns(struct peer_writer *writer, uint64_t first, uint64_t n)
{
    const struct peer *peer = writer->peer;
    const struct peer_rows *rows = peer->rows;
    varve_array arrays[FIRST_COLUMN + PEER_COLUMNS_MAX] = {
        {.column = NAME_COLUMN},
        {.column = TIME_COLUMN, .values = rows->ts_ms + first},
    };
    varve_error err;

    if (!fill_texts(&writer->names, &rows->names, rows->partitions + first, n))
        return false;
    arrays[NAME_COLUMN].values = writer->names.bytes;
    arrays[NAME_COLUMN].offsets = writer->names.offsets;
    for (uint32_t i = 0; i < rows->n_columns; i++) {
        const struct peer_column *column = &rows->columns[i];
        varve_array *array = &arrays[FIRST_COLUMN + i];
        array->column = FIRST_COLUMN + i;
        if (column->type == PEER_REAL) {
            array->values = column->values.reals + first;
        } else if (column->type == PEER_INT) {
            array->values = column->values.ints + first;
        } else {
            if (!fill_texts(&writer->texts[i], &column->names, column->values.codes + first, n))
                return false;
            array->values = writer->texts[i].bytes;
            array->offsets = writer->texts[i].offsets;
        }
    }
    if (varve_batch_put_columns(writer->batch, peer->table, NULL, arrays,
                                FIRST_COLUMN + rows->n_columns, n, NULL, &err) < 0)
        return failed("put", &err);
    return true;
}

static void value_of(const struct peer_column *column, uint64_t row, varve_value *ret_value)
{
    if (column->type == PEER_REAL) {
        *ret_value = (varve_value){.type = VARVE_DOUBLE};
        ret_value->as.f64 = column->values.reals[row];
    } else if (column->type == PEER_INT) {
        *ret_value = (varve_value){.type = VARVE_INT};
        ret_value->as.i64 = column->values.ints[row];
    } else {
        *ret_value = (varve_value){.type = VARVE_TEXT};
        ret_value->as.bytes.data = peer_name(&column->names, column->values.codes[row]);
        ret_value->as.bytes.size = peer_name_size(&column->names, column->values.codes[row]);
    }
}

static varve_value partition_value(const struct peer_rows *rows, uint32_t partition)
{
    varve_value value = {.type = VARVE_TEXT};

    value.as.bytes.data = peer_name(&rows->names, partition);
    value.as.bytes.size = peer_name_size(&rows->names, partition);
    return value;
}

static bool put_row(struct peer *peer, varve_batch *batch, uint64_t row)
{
    const struct peer_rows *rows = peer->rows;
    varve_value values[FIRST_COLUMN + PEER_COLUMNS_MAX];
    varve_error err;

    values[NAME_COLUMN] = partition_value(rows, rows->partitions[row]);
    values[TIME_COLUMN] = (varve_value){.type = VARVE_TIMESTAMP};
    values[TIME_COLUMN].as.i64 = rows->ts_ms[row];
    for (uint32_t i = 0; i < rows->n_columns; i++)
        value_of(&rows->columns[i], row, &values[FIRST_COLUMN + i]);
    if (varve_batch_put_row(batch, peer->table, values, FIRST_COLUMN + rows->n_columns, NULL,
                            &err) < 0)
        return failed("put", &err);
    return true;
}

/* One row has no columns to speak of. */
static bool fill(struct peer_writer *writer, uint64_t first, uint64_t n)
{
    bool ok = true;

    if (!writer->peer->by_rows && n > 1)
        return fill_columns(writer, first, n);
    for (uint64_t row = first; ok && row < first + n; row++)
        ok = put_row(writer->peer, writer->batch, row);
    return ok;
}

static bool commit(struct peer_writer *writer, uint64_t first, uint64_t n)
{
    struct peer *peer = writer->peer;
    varve_error err;

    if (!fill(writer, first, n))
        return false;
    if (varve_commit(peer->store, writer->batch, VARVE_POLICY_DURABLE_GROUP, NULL, &err) < 0)
        return failed("commit", &err);
    return true;
}

/* Writers of one thread; what is in flight is not idle. */
struct pool {
    struct peer *peer;
    struct peer_writer **idle;
    uint32_t n_idle;
    bool failed;
};

/* Take back the writers whose commits are done; waits for one at most `timeout_ms`, or if -1 as long
 * as it takes. */
static void reap(struct pool *pool, int timeout_ms)
{
    varve_completion done[256];
    struct pollfd event = {.fd = varve_event_fd(pool->peer->store), .events = POLLIN};
    uint32_t n = varve_commit_reap(pool->peer->store, done, 256);

    if (n == 0) {
        (void)poll(&event, 1, timeout_ms);
        n = varve_commit_reap(pool->peer->store, done, 256);
    }
    for (uint32_t i = 0; i < n; i++) {
        pool->idle[pool->n_idle++] = (struct peer_writer *)(uintptr_t)done[i].tag;
        if (done[i].status < 0 && !pool->failed) {
            (void)fprintf(stderr, "varve: commit: %s\n", varve_status_name(done[i].status));
            pool->failed = true;
        }
    }
}

/* Queue a commit by an idle writer. While memtables are full there is only waiting. */
static bool start(struct pool *pool, uint64_t first, uint64_t n)
{
    struct peer_writer *writer = pool->idle[pool->n_idle - 1];
    varve_store *store = pool->peer->store;
    varve_error err;
    varve_status rc;

    if (!fill(writer, first, n))
        return false;
    pool->n_idle--;
    while ((rc = varve_commit_start(store, writer->batch, VARVE_POLICY_DURABLE_GROUP,
                                    (uintptr_t)writer, &err)) == VARVE_EAGAIN)
        reap(pool, 1);
    if (rc == VARVE_OK)
        return true;
    pool->idle[pool->n_idle++] = writer;
    return failed("start commit", &err);
}

/* One thread, that fills a batch while those of other writers go to the disk. */
static bool commit_many(struct peer *peer, struct peer_feed *feed, uint32_t writers)
{
    struct pool pool = {.peer = peer, .idle = calloc(writers, sizeof *pool.idle)};
    uint64_t first, n;
    bool ok = pool.idle != NULL;

    while (ok && pool.n_idle < writers)
        ok = writer_open(peer, &pool.idle[pool.n_idle]) && ++pool.n_idle > 0;
    const uint32_t all = pool.n_idle;
    while (ok && !pool.failed && peer_feed_take(feed, &first, &n)) {
        while (pool.n_idle == 0)
            reap(&pool, -1);
        ok = start(&pool, first, n);
    }
    while (pool.n_idle < all) /* also after a failure: the batches are the store's until then */
        reap(&pool, -1);
    for (uint32_t i = 0; i < all; i++)
        writer_close(pool.idle[i]);
    free(pool.idle);
    return ok && !pool.failed;
}

static bool flush(struct peer *peer)
{
    varve_error err;

    return varve_flush(peer->store, &err) < 0 ? failed("flush", &err) : true;
}

/* ----------------------------------------------------------------------------------- Clients */

static bool client_open(struct peer *peer, struct peer_client **ret_client)
{
    struct peer_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return false;
    client->peer = peer;
    *ret_client = client;
    return true;
}

static void client_close(struct peer_client *client)
{
    free(client);
}

/* --------------------------------------------------------------------------------- Questions */

/* Adds the rows of one batch of a result to an answer. */
typedef void (*view_reader)(const struct peer *peer, const varve_batch_view *view,
                            struct peer_answer *answer);

typedef varve_status (*cursor_opener)(varve_store *, const varve_table *, const varve_scan *,
                                      varve_cursor **, varve_error *);

static bool read_cursor(const struct peer *peer, cursor_opener open, const varve_scan *scan,
                        view_reader read, struct peer_answer *answer)
{
    const varve_batch_view *view;
    varve_cursor *cursor = NULL;
    varve_error err;
    varve_status rc = open(peer->store, peer->table, scan, &cursor, &err);

    if (rc < 0)
        return failed("open cursor", &err);
    while ((rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK)
        read(peer, view, answer);
    varve_cursor_close(cursor);
    return rc < 0 ? failed("read", &err) : true;
}

/* One key range of a question that several threads share. */
struct share {
    const struct peer *peer;
    cursor_opener open;
    varve_scan scan;
    view_reader read;
    struct peer_answer answer;
    bool ok;
};

static void *read_share(void *argument)
{
    struct share *share = argument;

    share->ok = read_cursor(share->peer, share->open, &share->scan, share->read, &share->answer);
    return NULL;
}

/* Shares run in threads, the first in this one. */
static bool read_shares(struct share *shares, uint32_t n, struct peer_answer *answer)
{
    pthread_t threads[THREADS_MAX];
    uint32_t started = 1;
    bool ok = true;

    while (started < n &&
           pthread_create(&threads[started], NULL, read_share, &shares[started]) == 0)
        started++;
    (void)read_share(&shares[0]);
    for (uint32_t i = 1; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < n; i++) {
        ok = ok && i < started && shares[i].ok;
        for (uint32_t j = 0; j < shares[i].answer.n; j++)
            peer_answer_add(answer, j, shares[i].answer.values[j]);
    }
    return ok;
}

/* A question to all partitions, divided among the threads. */
static bool read_all(const struct peer *peer, cursor_opener open, const varve_scan *scan,
                     view_reader read, struct peer_answer *answer)
{
    struct share shares[THREADS_MAX];
    varve_value *keys = NULL;
    uint32_t n_keys = 0;
    varve_error err;

    if (peer->threads == 1)
        return read_cursor(peer, open, scan, read, answer);
    if (varve_table_split(peer->store, peer->table, peer->threads, &keys, &n_keys, &err) < 0)
        return failed("split", &err);
    for (uint32_t i = 0; i <= n_keys; i++) {
        shares[i] = (struct share){.peer = peer, .open = open, .scan = *scan, .read = read};
        shares[i].scan.key_from = i == 0 ? NULL : &keys[i - 1];
        shares[i].scan.key_to = i == n_keys ? NULL : &keys[i];
    }
    const bool ok = read_shares(shares, n_keys + 1, answer);
    varve_keys_free(peer->store, keys);
    return ok;
}

static double real_at(const varve_batch_view *view, uint32_t column, uint32_t row)
{
    return ((const double *)view->columns[column].values)[row];
}

static double integer_at(const varve_batch_view *view, uint32_t column, uint32_t row)
{
    return (double)((const int64_t *)view->columns[column].values)[row];
}

static double sum_of(const struct peer_column *column, const varve_column_view *view, uint32_t rows)
{
    double sum = 0;

    if (column->type == PEER_REAL) {
        const double *values = view->values;
        for (uint32_t i = 0; i < rows; i++)
            sum += values[i];
    } else {
        const int32_t *values = view->values;
        int64_t whole = 0;
        for (uint32_t i = 0; i < rows; i++)
            whole += values[i];
        sum = (double)whole;
    }
    return sum;
}

/* Every value of every column is added up, but those of texts: their bytes are counted. */
static void read_rows(const struct peer *peer, const varve_batch_view *view,
                      struct peer_answer *answer)
{
    const uint32_t measured = peer->rows->measured;
    double sums = 0, texts = 0;

    for (uint32_t i = 0; i < peer->rows->n_columns; i++) {
        const struct peer_column *column = &peer->rows->columns[i];
        const varve_column_view *values = &view->columns[FIRST_COLUMN + i];
        if (column->type == PEER_TEXT) {
            texts += values->offsets[view->rows] - values->offsets[0];
        } else if (!column->key) {
            const double sum = sum_of(column, values, view->rows);
            sums += sum;
            if (i == measured)
                peer_answer_add(answer, 1, sum);
        }
    }
    peer_answer_add(answer, 0, view->rows);
    peer_answer_add(answer, 2, sums);
    peer_answer_add(answer, 3, texts);
}

static bool slice(struct peer_client *client, const struct peer_slice *asked,
                  struct peer_answer *answer)
{
    const struct peer *peer = client->peer;
    const varve_value key = partition_value(peer->rows, asked->partition);
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    scan.partitions = &key;
    scan.n_partitions = 1;
    scan.from = asked->from;
    scan.to = asked->to;
    return read_cursor(peer, varve_scan_open, &scan, read_rows, answer);
}

static void read_hour(const struct peer *peer, const varve_batch_view *view,
                      struct peer_answer *answer)
{
    (void)peer;
    peer_answer_add(answer, 0, integer_at(view, 0, 0));
    peer_answer_add(answer, 1, real_at(view, 1, 0));
}

static bool hour(struct peer_client *client, const struct peer_slice *asked,
                 struct peer_answer *answer)
{
    const struct peer *peer = client->peer;
    const varve_value key = partition_value(peer->rows, asked->partition);
    const varve_aggregate aggregates[] = {{VARVE_COUNT_ROWS, 0},
                                          {VARVE_AVG, FIRST_COLUMN + peer->rows->measured}};
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    scan.partitions = &key;
    scan.n_partitions = 1;
    scan.from = asked->from;
    scan.to = asked->to;
    scan.aggregates = aggregates;
    scan.n_aggregates = 2;
    return read_cursor(peer, varve_aggregate_open, &scan, read_hour, answer);
}

/* Columns: name, bucket, count, min, max, sum. */
static void read_hourly(const struct peer *peer, const varve_batch_view *view,
                        struct peer_answer *answer)
{
    (void)peer;
    peer_answer_add(answer, 0, view->rows);
    for (uint32_t i = 0; i < view->rows; i++) {
        peer_answer_add(answer, 1, integer_at(view, 2, i));
        for (uint32_t j = 2; j < 5; j++)
            peer_answer_add(answer, j, real_at(view, j + 1, i));
    }
}

static bool hourly(struct peer_client *client, uint32_t partition, struct peer_answer *answer)
{
    const struct peer *peer = client->peer;
    const uint32_t measured = FIRST_COLUMN + peer->rows->measured;
    const varve_aggregate aggregates[] = {
        {VARVE_COUNT_ROWS, 0}, {VARVE_MIN, measured}, {VARVE_MAX, measured}, {VARVE_SUM, measured}};
    varve_value key;
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_BY_PARTITION | peer->aggregate_flags;
    scan.every = PEER_HOUR_MS;
    scan.aggregates = aggregates;
    scan.n_aggregates = 4;
    if (partition == UINT32_MAX)
        return read_all(peer, varve_aggregate_open, &scan, read_hourly, answer);
    key = partition_value(peer->rows, partition);
    scan.partitions = &key;
    scan.n_partitions = 1;
    return read_cursor(peer, varve_aggregate_open, &scan, read_hourly, answer);
}

/* Columns: name, count, average. */
static void read_by_partition(const struct peer *peer, const varve_batch_view *view,
                              struct peer_answer *answer)
{
    (void)peer;
    peer_answer_add(answer, 0, view->rows);
    for (uint32_t i = 0; i < view->rows; i++) {
        peer_answer_add(answer, 1, integer_at(view, 1, i));
        peer_answer_add(answer, 2, real_at(view, 2, i));
    }
}

static bool by_partition(struct peer_client *client, struct peer_answer *answer)
{
    const struct peer *peer = client->peer;
    const varve_aggregate aggregates[] = {{VARVE_COUNT_ROWS, 0},
                                          {VARVE_AVG, FIRST_COLUMN + peer->rows->measured}};
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_BY_PARTITION | peer->aggregate_flags;
    scan.aggregates = aggregates;
    scan.n_aggregates = 2;
    return read_all(peer, varve_aggregate_open, &scan, read_by_partition, answer);
}

static void read_total(const struct peer *peer, const varve_batch_view *view,
                       struct peer_answer *answer)
{
    (void)peer;
    peer_answer_add(answer, 0, real_at(view, 0, 0));
}

static bool total(struct peer_client *client, struct peer_answer *answer)
{
    const struct peer *peer = client->peer;
    const varve_aggregate sum = {VARVE_SUM, FIRST_COLUMN + peer->rows->measured};
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = peer->aggregate_flags;
    scan.aggregates = &sum;
    scan.n_aggregates = 1;
    return read_all(peer, varve_aggregate_open, &scan, read_total, answer);
}

static void read_latest(const struct peer *peer, const varve_batch_view *view,
                        struct peer_answer *answer)
{
    read_rows(peer, view, answer);
    for (uint32_t i = 0; i < view->rows; i++)
        peer_answer_add(answer, 4, integer_at(view, TIME_COLUMN, i));
}

static bool latest(struct peer_client *client, struct peer_answer *answer)
{
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    scan.flags = VARVE_SCAN_REVERSE;
    scan.limit_per_partition = 1;
    return read_all(client->peer, varve_scan_open, &scan, read_latest, answer);
}

static bool scan_rows(struct peer_client *client, struct peer_answer *answer)
{
    varve_scan scan;

    varve_scan_init(&scan, sizeof scan);
    return read_all(client->peer, varve_scan_open, &scan, read_rows, answer);
}

const struct peer_definition peer_definition = {
    .name = "varve",
    .version = VARVE_VERSION,
    .data_suffix = ".sst",
    .parallel = true,
    .columns = true,
    .zone_maps = true,
    .bulk_commit = 10000,
    .bulk_writers = 8,
    .load_threads = 1,
    .describe = describe,
    .open = peer_open,
    .close = peer_close,
    .writer_open = writer_open,
    .writer_close = writer_close,
    .commit = commit,
    .commit_many = commit_many,
    .flush = flush,
    .client_open = client_open,
    .client_close = client_close,
    .slice = slice,
    .hour = hour,
    .hourly = hourly,
    .by_partition = by_partition,
    .total = total,
    .latest = latest,
    .scan = scan_rows,
};
