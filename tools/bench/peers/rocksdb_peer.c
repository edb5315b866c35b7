/*
 * rocksdb_peer.c - RocksDB through its C interface. Keys sort as the table does: name, 0, time and
 * the further clustering column big-endian; values are the remaining columns back to back.
 *
 * Threads. Many writers at once are threads, which RocksDB groups into one sync. The thread that
 *          syncs also fills the memtable for the others: were each woken to do its own part, as is the
 *          default, single rows would take twice the processor time.
 */
#include "tools/bench/peers/peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (16u << 10)
#define MEMTABLES 2u
#define ROW_MAX 1024u
#define NAME_MAX_BYTES 256u
#define WRITERS_MAX 256u /* threads beyond these cost more than their share of a sync saves */

struct peer {
    const struct peer_rows *rows;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
};

struct peer_writer {
    struct peer *peer;
    rocksdb_writebatch_t *batch;
    struct peer_order order;
};

struct peer_client {
    struct peer *peer;
};

struct bytes {
    char data[ROW_MAX];
    size_t size;
};

/* Takes `message`, which RocksDB allocated. */
static bool failed(const char *what, char *message)
{
    (void)fprintf(stderr, "rocksdb: %s: %s\n", what, message);
    rocksdb_free(message);
    return false;
}

/* As large as varve's. */
static size_t memtable_bytes(const struct peer_settings *settings)
{
    return (size_t)(settings->memory_bytes / 4);
}

/* Where nothing is written, memtables take nothing. */
static size_t cache_bytes(const struct peer_settings *settings, bool writes)
{
    return (size_t)settings->memory_bytes - (writes ? MEMTABLES * memtable_bytes(settings) : 0);
}

static void describe(FILE *out, const struct peer_settings *settings)
{
    (void)fprintf(
        out,
        "%s, %u KiB blocks, big-endian keys, write-ahead log with sync, at most %u "
        "memtables of %zu MiB, %zu MiB block cache (%zu MiB for questions to a "
        "store that is not written to), index blocks of open files in memory beside it "
        "(cache_index_and_filter_blocks=0, the default), dynamic levels, no "
        "bloom filter (no question is for one key), performance counters off, one thread a "
        "question; writing: rows of a commit ordered by partition, "
        "allow_concurrent_memtable_write=0, enable_write_thread_adaptive_yield=0, %u threads "
        "for commits by many (1,024 are no faster)",
        settings->compression, BLOCK_BYTES >> 10, MEMTABLES, memtable_bytes(settings) >> 20,
        cache_bytes(settings, true) >> 20, cache_bytes(settings, false) >> 20, WRITERS_MAX);
}

/* ----------------------------------------------------------------------------- Keys and values */

static void add_bytes(struct bytes *out, const void *data, size_t size)
{
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void add_big_endian(struct bytes *out, uint64_t value, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++)
        out->data[out->size++] = (char)(value >> 8 * (width - 1 - i));
}

static int64_t get_big_endian(const char *data)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)data[i];
    return (int64_t)value;
}

/* Times are not negative, so their bytes sort as they do. */
static void make_key(const struct peer_rows *rows, uint32_t partition, int64_t ts_ms,
                     struct bytes *out)
{
    out->size = 0;
    add_bytes(out, peer_name(&rows->names, partition),
              (size_t)peer_name_size(&rows->names, partition) + 1);
    add_big_endian(out, (uint64_t)ts_ms, 8);
}

static void make_row(const struct peer_rows *rows, uint64_t row, struct bytes *key,
                     struct bytes *value)
{
    make_key(rows, rows->partitions[row], rows->ts_ms[row], key);
    value->size = 0;
    for (uint32_t i = 0; i < rows->n_columns; i++) { /* fixed widths first */
        const struct peer_column *column = &rows->columns[i];
        if (column->key)
            add_big_endian(key, (uint32_t)column->values.ints[row], 4);
        else if (column->type == PEER_REAL)
            add_bytes(value, &column->values.reals[row], sizeof(double));
        else if (column->type == PEER_INT)
            add_bytes(value, &column->values.ints[row], sizeof(int32_t));
    }
    for (uint32_t i = 0; i < rows->n_columns; i++) {
        const struct peer_column *column = &rows->columns[i];
        if (column->type == PEER_TEXT)
            add_bytes(value, peer_name(&column->names, column->values.codes[row]),
                      peer_name_size(&column->names, column->values.codes[row]));
    }
}

/* Where the measured column stands in a value. */
static size_t measured_offset(const struct peer_rows *rows)
{
    size_t offset = 0;

    for (uint32_t i = 0; i < rows->measured; i++)
        if (rows->columns[i].type == PEER_REAL)
            offset += sizeof(double);
        else if (rows->columns[i].type == PEER_INT && !rows->columns[i].key)
            offset += sizeof(int32_t);
    return offset;
}

/* -------------------------------------------------------------------------------------- Open */

static void peer_close(struct peer *peer)
{
    if (peer == NULL)
        return;
    if (peer->db != NULL)
        rocksdb_close(peer->db);
    if (peer->read != NULL)
        rocksdb_readoptions_destroy(peer->read);
    if (peer->write != NULL)
        rocksdb_writeoptions_destroy(peer->write);
    if (peer->options != NULL)
        rocksdb_options_destroy(peer->options);
    if (peer->table != NULL)
        rocksdb_block_based_options_destroy(peer->table);
    if (peer->cache != NULL)
        rocksdb_cache_destroy(peer->cache);
    free(peer);
}

static void set_options(struct peer *peer, const struct peer_settings *settings, bool create)
{
    peer->cache = rocksdb_cache_create_lru(cache_bytes(settings, create));
    peer->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_size(peer->table, BLOCK_BYTES);
    rocksdb_block_based_options_set_block_cache(peer->table, peer->cache);
    rocksdb_block_based_options_set_format_version(peer->table, 5);
    peer->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(peer->options, create);
    rocksdb_options_set_block_based_table_factory(peer->options, peer->table);
    rocksdb_options_set_compression(peer->options, strcmp(settings->compression, "zstd") == 0
                                                       ? rocksdb_zstd_compression
                                                       : rocksdb_lz4_compression);
    rocksdb_options_set_write_buffer_size(peer->options, memtable_bytes(settings));
    rocksdb_options_set_max_write_buffer_number(peer->options, MEMTABLES);
    rocksdb_options_set_allow_concurrent_memtable_write(peer->options, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(peer->options, 0);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(peer->options, 1);
    rocksdb_options_set_bytes_per_sync(peer->options, 1 << 20);
    rocksdb_options_increase_parallelism(peer->options, 2);
    peer->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(peer->write, 1);
    peer->read = rocksdb_readoptions_create();
}

/* RocksDB counts its comparisons in each thread unless it is told not to: a sixth of a load's time. */
static void count_nothing(void)
{
    rocksdb_set_perf_level(rocksdb_disable);
}

static bool peer_open(const struct peer_settings *settings, const struct peer_rows *rows,
                      bool create, struct peer **ret_peer)
{
    struct peer *peer = calloc(1, sizeof *peer);
    char *message = NULL;

    if (peer == NULL)
        return false;
    peer->rows = rows;
    count_nothing();
    set_options(peer, settings, create);
    peer->db = rocksdb_open(peer->options, settings->folder, &message);
    if (message != NULL) {
        peer_close(peer);
        return failed("open", message);
    }
    *ret_peer = peer;
    return true;
}

/* -------------------------------------------------------------------------------------- Load */

static void writer_close(struct peer_writer *writer)
{
    if (writer == NULL)
        return;
    rocksdb_writebatch_destroy(writer->batch);
    peer_order_free(&writer->order);
    free(writer);
}

static bool writer_open(struct peer *peer, struct peer_writer **ret_writer)
{
    struct peer_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return false;
    count_nothing();
    writer->peer = peer;
    writer->batch = rocksdb_writebatch_create();
    *ret_writer = writer;
    return true;
}

/* By partition, since a memtable finds the place of a key soonest next to the one before. */
static bool commit(struct peer_writer *writer, uint64_t first, uint64_t n)
{
    struct peer *peer = writer->peer;
    struct bytes key, value;
    char *message = NULL;

    if (!peer_order_by_partition(&writer->order, peer->rows, first, n))
        return false;
    rocksdb_writebatch_clear(writer->batch);
    for (uint64_t i = 0; i < n; i++) {
        make_row(peer->rows, writer->order.rows[i], &key, &value);
        rocksdb_writebatch_put(writer->batch, key.data, key.size, value.data, value.size);
    }
    rocksdb_write(peer->db, peer->write, writer->batch, &message);
    return message == NULL ? true : failed("write", message);
}

struct feeding {
    struct peer *peer;
    struct peer_feed *feed;
    bool ok;
};

static void *write_some(void *argument)
{
    struct feeding *feeding = argument;
    struct peer_writer *writer = NULL;
    uint64_t first, n;
    bool ok = writer_open(feeding->peer, &writer);

    while (ok && peer_feed_take(feeding->feed, &first, &n))
        ok = commit(writer, first, n);
    writer_close(writer);
    feeding->ok = ok;
    return NULL;
}

static bool commit_many(struct peer *peer, struct peer_feed *feed, uint32_t writers)
{
    pthread_t threads[WRITERS_MAX];
    struct feeding each[WRITERS_MAX];
    const uint32_t n = writers < WRITERS_MAX ? writers : WRITERS_MAX;
    uint32_t started = 0;
    bool ok = true;

    for (; started < n; started++) {
        each[started] = (struct feeding){.peer = peer, .feed = feed};
        if (pthread_create(&threads[started], NULL, write_some, &each[started]) != 0)
            break;
    }
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
        ok = ok && each[i].ok;
    }
    return ok && started == n;
}

static bool flush(struct peer *peer)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *message = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(peer->db, options, &message);
    rocksdb_flushoptions_destroy(options);
    return message == NULL ? true : failed("flush", message);
}

static bool merge(struct peer *peer)
{
    rocksdb_compact_range(peer->db, NULL, 0, NULL, 0);
    return true;
}

/* --------------------------------------------------------------------------------- Questions */

static bool client_open(struct peer *peer, struct peer_client **ret_client)
{
    struct peer_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return false;
    count_nothing();
    client->peer = peer;
    *ret_client = client;
    return true;
}

static void client_close(struct peer_client *client)
{
    free(client);
}

/* What a pass over rows is reduced to. */
struct row_view {
    const char *name; /* not terminated */
    size_t name_size;
    int64_t ts_ms;
    const char *value;
    size_t value_size;
    double measured;
};

typedef void (*row_reader)(void *ctx, const struct row_view *row);

/* The row on which an iterator stands, of which the measured column has this offset. */
static struct row_view view_of(const rocksdb_iterator_t *at, size_t measured)
{
    size_t key_size;
    struct row_view row = {.name = rocksdb_iter_key(at, &key_size)};

    row.name_size = strnlen(row.name, key_size);
    row.ts_ms = get_big_endian(row.name + row.name_size + 1);
    row.value = rocksdb_iter_value(at, &row.value_size);
    memcpy(&row.measured, row.value + measured, sizeof row.measured);
    return row;
}

/* Read the rows from `from` on while their key is below `to` (NULL: to the end). */
static bool read_range(const struct peer *peer, const struct bytes *from, const struct bytes *to,
                       row_reader read, void *ctx)
{
    const size_t offset = measured_offset(peer->rows);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    char *message = NULL;

    if (to != NULL)
        rocksdb_readoptions_set_iterate_upper_bound(options, to->data, to->size);
    rocksdb_iterator_t *at = rocksdb_create_iterator(peer->db, options);
    if (from != NULL)
        rocksdb_iter_seek(at, from->data, from->size);
    else
        rocksdb_iter_seek_to_first(at);
    for (; rocksdb_iter_valid(at); rocksdb_iter_next(at)) {
        const struct row_view row = view_of(at, offset);
        read(ctx, &row);
    }
    rocksdb_iter_get_error(at, &message);
    rocksdb_iter_destroy(at);
    rocksdb_readoptions_destroy(options);
    return message == NULL ? true : failed("iterate", message);
}

struct sum {
    uint64_t rows;
    double sum;
};

static void add_to_sum(void *ctx, const struct row_view *row)
{
    struct sum *sum = ctx;

    sum->rows++;
    sum->sum += row->measured;
}

/* A pass that reads every value of a row. */
struct whole_rows {
    const struct peer_rows *rows;
    uint64_t n;
    double measured, numbers;
    uint64_t text_bytes;
};

static void add_whole(void *ctx, const struct row_view *row)
{
    struct whole_rows *whole = ctx;
    const struct peer_rows *rows = whole->rows;
    const char *at = row->value;

    for (uint32_t i = 0; i < rows->n_columns; i++) {
        const struct peer_column *column = &rows->columns[i];
        if (column->type == PEER_REAL) {
            double value;
            memcpy(&value, at, sizeof value);
            whole->numbers += value;
            at += sizeof value;
        } else if (column->type == PEER_INT && !column->key) {
            int32_t value;
            memcpy(&value, at, sizeof value);
            whole->numbers += value;
            at += sizeof value;
        }
    }
    whole->text_bytes += row->value_size - (size_t)(at - row->value);
    whole->measured += row->measured;
    whole->n++;
}

static void answer_whole(const struct whole_rows *whole, struct peer_answer *answer)
{
    peer_answer_add(answer, 0, (double)whole->n);
    peer_answer_add(answer, 1, whole->measured);
    peer_answer_add(answer, 2, whole->numbers);
    peer_answer_add(answer, 3, (double)whole->text_bytes);
}

static bool read_whole(struct peer_client *client, const struct bytes *from, const struct bytes *to,
                       struct peer_answer *answer)
{
    struct whole_rows whole = {.rows = client->peer->rows};

    if (!read_range(client->peer, from, to, add_whole, &whole))
        return false;
    answer_whole(&whole, answer);
    return true;
}

static bool slice(struct peer_client *client, const struct peer_slice *asked,
                  struct peer_answer *answer)
{
    struct bytes from, to;

    make_key(client->peer->rows, asked->partition, asked->from, &from);
    make_key(client->peer->rows, asked->partition, asked->to, &to);
    return read_whole(client, &from, &to, answer);
}

static bool hour(struct peer_client *client, const struct peer_slice *asked,
                 struct peer_answer *answer)
{
    struct sum sum = {.rows = 0};
    struct bytes from, to;

    make_key(client->peer->rows, asked->partition, asked->from, &from);
    make_key(client->peer->rows, asked->partition, asked->to, &to);
    if (!read_range(client->peer, &from, &to, add_to_sum, &sum))
        return false;
    peer_answer_add(answer, 0, (double)sum.rows);
    peer_answer_add(answer, 1, sum.sum / (double)sum.rows);
    return true;
}

/* Rows come sorted, so a group ends where the next begins. */
struct grouping {
    struct peer_answer *answer;
    void (*finish)(struct grouping *grouping);
    int64_t width_ms; /* of a bucket; 0: one for all times */
    char name[NAME_MAX_BYTES];
    size_t name_size;
    int64_t bucket;
    uint64_t rows; /* of the open group; 0: none is open */
    double sum, least, greatest, last;
    int64_t last_ms;
};

static void add_to_group(void *ctx, const struct row_view *row)
{
    struct grouping *g = ctx;
    const int64_t bucket = g->width_ms > 0 ? row->ts_ms / g->width_ms : 0;

    if (g->rows > 0 && (bucket != g->bucket || row->name_size != g->name_size ||
                        memcmp(row->name, g->name, g->name_size) != 0)) {
        g->finish(g);
        g->rows = 0;
    }
    if (g->rows++ == 0) {
        g->name_size = row->name_size < sizeof g->name ? row->name_size : sizeof g->name;
        memcpy(g->name, row->name, g->name_size);
        g->bucket = bucket;
        g->sum = 0;
        g->least = g->greatest = row->measured;
    }
    g->sum += row->measured;
    g->least = row->measured < g->least ? row->measured : g->least;
    g->greatest = row->measured > g->greatest ? row->measured : g->greatest;
    g->last = row->measured;
    g->last_ms = row->ts_ms;
}

static bool read_groups(const struct peer *peer, const struct bytes *from, const struct bytes *to,
                        struct grouping *grouping)
{
    if (!read_range(peer, from, to, add_to_group, grouping))
        return false;
    if (grouping->rows > 0)
        grouping->finish(grouping);
    return true;
}

static void finish_hour(struct grouping *g)
{
    peer_answer_add(g->answer, 0, 1);
    peer_answer_add(g->answer, 1, (double)g->rows);
    peer_answer_add(g->answer, 2, g->least);
    peer_answer_add(g->answer, 3, g->greatest);
    peer_answer_add(g->answer, 4, g->sum);
}

static bool hourly(struct peer_client *client, uint32_t partition, struct peer_answer *answer)
{
    struct grouping grouping = {.answer = answer, .finish = finish_hour, .width_ms = PEER_HOUR_MS};
    struct bytes from, to;

    if (partition == UINT32_MAX)
        return read_groups(client->peer, NULL, NULL, &grouping);
    make_key(client->peer->rows, partition, 0, &from);
    make_key(client->peer->rows, partition, INT64_MAX, &to);
    return read_groups(client->peer, &from, &to, &grouping);
}

static void finish_partition(struct grouping *g)
{
    peer_answer_add(g->answer, 0, 1);
    peer_answer_add(g->answer, 1, (double)g->rows);
    peer_answer_add(g->answer, 2, g->sum / (double)g->rows);
}

static bool by_partition(struct peer_client *client, struct peer_answer *answer)
{
    struct grouping grouping = {.answer = answer, .finish = finish_partition};

    return read_groups(client->peer, NULL, NULL, &grouping);
}

static bool total(struct peer_client *client, struct peer_answer *answer)
{
    struct sum sum = {.rows = 0};

    if (!read_range(client->peer, NULL, NULL, add_to_sum, &sum))
        return false;
    peer_answer_add(answer, 0, sum.sum);
    return true;
}

/* Seek to each partition's end and step back. */
static bool latest(struct peer_client *client, struct peer_answer *answer)
{
    const struct peer_rows *rows = client->peer->rows;
    const size_t offset = measured_offset(rows);
    struct whole_rows whole = {.rows = rows};
    rocksdb_iterator_t *at = rocksdb_create_iterator(client->peer->db, client->peer->read);
    char *message = NULL;

    for (uint32_t i = 0; i < rows->names.n; i++) {
        struct bytes end;
        make_key(rows, i, INT64_MAX, &end);
        rocksdb_iter_seek_for_prev(at, end.data, end.size);
        if (!rocksdb_iter_valid(at))
            continue;
        const struct row_view row = view_of(at, offset);
        if (row.name_size != peer_name_size(&rows->names, i) ||
            memcmp(row.name, end.data, row.name_size) != 0)
            continue; /* a partition without rows */
        add_whole(&whole, &row);
        peer_answer_add(answer, 4, (double)row.ts_ms);
    }
    answer_whole(&whole, answer);
    rocksdb_iter_get_error(at, &message);
    rocksdb_iter_destroy(at);
    return message == NULL ? true : failed("iterate", message);
}

static bool scan(struct peer_client *client, struct peer_answer *answer)
{
    return read_whole(client, NULL, NULL, answer);
}

const struct peer_definition peer_definition = {
    .name = "rocksdb",
    .version = PEER_VERSION,
    .data_suffix = ".sst",
    .bulk_commit = 200000,
    .bulk_writers = 1,
    .load_threads = 2,
    .describe = describe,
    .open = peer_open,
    .close = peer_close,
    .writer_open = writer_open,
    .writer_close = writer_close,
    .commit = commit,
    .commit_many = commit_many,
    .flush = flush,
    .merge = merge,
    .client_open = client_open,
    .client_close = client_close,
    .slice = slice,
    .hour = hour,
    .hourly = hourly,
    .by_partition = by_partition,
    .total = total,
    .latest = latest,
    .scan = scan,
};
