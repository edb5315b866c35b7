/*
 * sqlite_peer.c - SQLite: one table WITHOUT ROWID in the order of its key, WAL, synchronous=full.
 * A client is a connection of its own.
 */
#include "tools/bench/peers/peer.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 4096u
#define TEXT_MAX_BYTES 1024u
#define MAPPED_BYTES (UINT64_C(2) << 30) /* the most that SQLite can */
#define LOG_PAGES 16384u                 /* 64 MiB; then the log is brought into the file */

struct peer {
    const struct peer_rows *rows;
    uint64_t memory_bytes;
    char path[PATH_MAX_BYTES];
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *end;
    struct peer_order order;
};

struct peer_writer {
    struct peer *peer;
};

struct peer_client {
    struct peer *peer;
    sqlite3 *db;
    sqlite3_stmt *slice, *hour;
};

static bool failed(const char *what, sqlite3 *db)
{
    (void)fprintf(stderr, "sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    return false;
}

static void describe(FILE *out, const struct peer_settings *settings)
{
    (void)fprintf(
        out,
        "journal_mode=wal, synchronous=full, WITHOUT ROWID, page size 4096, "
        "wal_autocheckpoint=%u, rows of a commit ordered by partition, cache %" PRIu64
        " MiB, prepared statements; one connection a client, each with a cache of its own "
        "but with the file mapped (mmap_size=%" PRIu64 " MiB), which they share",
        LOG_PAGES, settings->memory_bytes >> 20, MAPPED_BYTES >> 20);
}

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(sql, db);
}

/* "`before` FROM the table `after`". */
static bool prepare(const struct peer_rows *rows, sqlite3 *db, const char *before,
                    const char *after, sqlite3_stmt **ret_statement)
{
    char *sql = sqlite3_mprintf("%s FROM %s %s", before, rows->set, after);
    const bool ok =
        sql != NULL && sqlite3_prepare_v2(db, sql, -1, ret_statement, NULL) == SQLITE_OK;

    sqlite3_free(sql);
    return ok || failed("prepare", db);
}

/* -------------------------------------------------------------------------------------- Open */

static bool set_number(sqlite3 *db, const char *name, int64_t value)
{
    char sql[64];

    (void)snprintf(sql, sizeof sql, "PRAGMA %s=%" PRId64, name, value);
    return run(db, sql);
}

static bool connect_to(const struct peer *peer, bool create, sqlite3 **ret_db)
{
    const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);

    if (sqlite3_open_v2(peer->path, ret_db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return failed("open", *ret_db);
    (void)sqlite3_busy_timeout(*ret_db, 10000);
    return run(*ret_db, "PRAGMA journal_mode=wal") && run(*ret_db, "PRAGMA synchronous=full") &&
           set_number(*ret_db, "cache_size", -(int64_t)(peer->memory_bytes >> 10)) &&
           set_number(*ret_db, "wal_autocheckpoint", LOG_PAGES);
}

static bool create_table(const struct peer *peer)
{
    static const char *const types[] = {
        [PEER_REAL] = "REAL", [PEER_INT] = "INTEGER", [PEER_TEXT] = "TEXT"};
    sqlite3_str *sql = sqlite3_str_new(peer->db);

    sqlite3_str_appendf(sql, "CREATE TABLE %s (name TEXT NOT NULL, ts INTEGER NOT NULL",
                        peer->rows->set);
    for (uint32_t i = 0; i < peer->rows->n_columns; i++)
        sqlite3_str_appendf(sql, ", %s %s NOT NULL", peer->rows->columns[i].name,
                            types[peer->rows->columns[i].type]);
    sqlite3_str_appendall(sql, ", PRIMARY KEY (name, ts");
    for (uint32_t i = 0; i < peer->rows->n_columns; i++)
        if (peer->rows->columns[i].key)
            sqlite3_str_appendf(sql, ", %s", peer->rows->columns[i].name);
    sqlite3_str_appendall(sql, ")) WITHOUT ROWID");
    char *text = sqlite3_str_finish(sql);
    const bool ok = text != NULL && run(peer->db, text);
    sqlite3_free(text);
    return ok;
}

static bool prepare_writing(struct peer *peer)
{
    sqlite3_str *sql = sqlite3_str_new(peer->db);

    sqlite3_str_appendf(sql, "INSERT INTO %s VALUES (?, ?", peer->rows->set);
    for (uint32_t i = 0; i < peer->rows->n_columns; i++)
        sqlite3_str_appendall(sql, ", ?");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    const bool ok = text != NULL &&
                    sqlite3_prepare_v2(peer->db, text, -1, &peer->insert, NULL) == SQLITE_OK &&
                    sqlite3_prepare_v2(peer->db, "BEGIN", -1, &peer->begin, NULL) == SQLITE_OK &&
                    sqlite3_prepare_v2(peer->db, "COMMIT", -1, &peer->end, NULL) == SQLITE_OK;
    sqlite3_free(text);
    return ok || failed("prepare", peer->db);
}

static void peer_close(struct peer *peer)
{
    if (peer == NULL)
        return;
    (void)sqlite3_finalize(peer->insert);
    (void)sqlite3_finalize(peer->begin);
    (void)sqlite3_finalize(peer->end);
    (void)sqlite3_close(peer->db);
    peer_order_free(&peer->order);
    free(peer);
}

static bool peer_open(const struct peer_settings *settings, const struct peer_rows *rows,
                      bool create, struct peer **ret_peer)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL)
        return false;
    peer->rows = rows;
    peer->memory_bytes = settings->memory_bytes;
    bool ok = snprintf(peer->path, sizeof peer->path, "%s/rows.db", settings->folder) <
              (int)sizeof peer->path;
    ok = ok && connect_to(peer, create, &peer->db);
    ok = ok && (!create || create_table(peer)) && prepare_writing(peer);
    if (!ok) {
        peer_close(peer);
        return false;
    }
    *ret_peer = peer;
    return true;
}

/* -------------------------------------------------------------------------------------- Load */

static bool step_once(sqlite3 *db, sqlite3_stmt *statement)
{
    const int rc = sqlite3_step(statement);

    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE || failed("step", db);
}

static void bind_text(sqlite3_stmt *statement, int at, const struct peer_names *names,
                      uint32_t code)
{
    (void)sqlite3_bind_text(statement, at, peer_name(names, code), (int)peer_name_size(names, code),
                            SQLITE_STATIC);
}

static bool insert_row(struct peer *peer, uint64_t row)
{
    const struct peer_rows *rows = peer->rows;

    bind_text(peer->insert, 1, &rows->names, rows->partitions[row]);
    (void)sqlite3_bind_int64(peer->insert, 2, rows->ts_ms[row]);
    for (uint32_t i = 0; i < rows->n_columns; i++) {
        const struct peer_column *column = &rows->columns[i];
        const int at = (int)i + 3;
        if (column->type == PEER_REAL)
            (void)sqlite3_bind_double(peer->insert, at, column->values.reals[row]);
        else if (column->type == PEER_INT)
            (void)sqlite3_bind_int(peer->insert, at, column->values.ints[row]);
        else
            bind_text(peer->insert, at, &column->names, column->values.codes[row]);
    }
    return step_once(peer->db, peer->insert);
}

/* There is one writer: the peer's connection. */
static bool writer_open(struct peer *peer, struct peer_writer **ret_writer)
{
    struct peer_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return false;
    writer->peer = peer;
    *ret_writer = writer;
    return true;
}

static void writer_close(struct peer_writer *writer)
{
    free(writer);
}

/* By partition, since rows of one page are then inserted one after the other. */
static bool commit(struct peer_writer *writer, uint64_t first, uint64_t n)
{
    struct peer *peer = writer->peer;
    bool ok = peer_order_by_partition(&peer->order, peer->rows, first, n) &&
              step_once(peer->db, peer->begin);

    for (uint64_t i = 0; ok && i < n; i++)
        ok = insert_row(peer, peer->order.rows[i]);
    return ok && step_once(peer->db, peer->end);
}

/* Bring the log's pages into the table's file. */
static bool flush(struct peer *peer)
{
    return run(peer->db, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static bool merge(struct peer *peer)
{
    return run(peer->db, "VACUUM") && flush(peer);
}

/* --------------------------------------------------------------------------------- Questions */

static void client_close(struct peer_client *client)
{
    if (client == NULL)
        return;
    (void)sqlite3_finalize(client->slice);
    (void)sqlite3_finalize(client->hour);
    (void)sqlite3_close(client->db);
    free(client);
}

static const char *measured_name(const struct peer_rows *rows)
{
    return rows->columns[rows->measured].name;
}

static bool client_open(struct peer *peer, struct peer_client **ret_client)
{
    static const char where[] = "WHERE name = ? AND ts >= ? AND ts < ?";
    struct peer_client *client = calloc(1, sizeof *client);
    char hour_sql[TEXT_MAX_BYTES];

    if (client == NULL)
        return false;
    client->peer = peer;
    (void)snprintf(hour_sql, sizeof hour_sql, "SELECT count(*), avg(%s)",
                   measured_name(peer->rows));
    if (!connect_to(peer, false, &client->db) ||
        !set_number(client->db, "mmap_size", (int64_t)MAPPED_BYTES) ||
        !prepare(peer->rows, client->db, "SELECT *", where, &client->slice) ||
        !prepare(peer->rows, client->db, hour_sql, where, &client->hour)) {
        client_close(client);
        return false;
    }
    *ret_client = client;
    return true;
}

static void bind_slice(const struct peer_client *client, sqlite3_stmt *statement,
                       const struct peer_slice *asked)
{
    bind_text(statement, 1, &client->peer->rows->names, asked->partition);
    (void)sqlite3_bind_int64(statement, 2, asked->from);
    (void)sqlite3_bind_int64(statement, 3, asked->to);
}

/* Add every row of `statement`: how many, if `counts`, then the columns from `first` on. */
static bool add_rows(struct peer_client *client, sqlite3_stmt *statement, bool counts, int first,
                     struct peer_answer *answer)
{
    const int columns = sqlite3_column_count(statement);
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (counts)
            peer_answer_add(answer, 0, 1);
        for (int i = first; i < columns; i++)
            peer_answer_add(answer, (uint32_t)(i - first) + counts,
                            sqlite3_column_double(statement, i));
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE || failed("step", client->db);
}

/* Add a row of SELECT *, every column of which is fetched. */
static void add_row(const struct peer_rows *rows, sqlite3_stmt *statement,
                    struct peer_answer *answer)
{
    double numbers = 0, text_bytes = 0;

    (void)sqlite3_column_text(statement, 0);
    (void)sqlite3_column_int64(statement, 1);
    for (uint32_t i = 0; i < rows->n_columns; i++) {
        const int at = (int)i + 2;
        if (rows->columns[i].type == PEER_TEXT) {
            (void)sqlite3_column_text(statement, at);
            text_bytes += sqlite3_column_bytes(statement, at);
        } else if (rows->columns[i].key) {
            (void)sqlite3_column_int(statement, at);
        } else {
            const double value = sqlite3_column_double(statement, at);
            numbers += value;
            if (i == rows->measured)
                peer_answer_add(answer, 1, value);
        }
    }
    peer_answer_add(answer, 0, 1);
    peer_answer_add(answer, 2, numbers);
    peer_answer_add(answer, 3, text_bytes);
}

static bool slice(struct peer_client *client, const struct peer_slice *asked,
                  struct peer_answer *answer)
{
    int rc;

    bind_slice(client, client->slice, asked);
    while ((rc = sqlite3_step(client->slice)) == SQLITE_ROW)
        add_row(client->peer->rows, client->slice, answer);
    (void)sqlite3_reset(client->slice);
    return rc == SQLITE_DONE || failed("step", client->db);
}

static bool hour(struct peer_client *client, const struct peer_slice *asked,
                 struct peer_answer *answer)
{
    bind_slice(client, client->hour, asked);
    return add_rows(client, client->hour, false, 0, answer);
}

/* Takes `select`; the first `keys` columns of the result are not added. */
static bool ask(struct peer_client *client, char *select, const char *after, bool counts, int keys,
                struct peer_answer *answer)
{
    sqlite3_stmt *statement = NULL;
    const bool ok = select != NULL &&
                    prepare(client->peer->rows, client->db, select, after, &statement) &&
                    add_rows(client, statement, counts, keys, answer);

    (void)sqlite3_finalize(statement);
    sqlite3_free(select);
    return ok;
}

static bool hourly(struct peer_client *client, uint32_t partition, struct peer_answer *answer)
{
    const struct peer_rows *rows = client->peer->rows;
    const char *m = measured_name(rows);
    char where[TEXT_MAX_BYTES] = "";

    if (partition != UINT32_MAX)
        (void)snprintf(where, sizeof where, "WHERE name = '%s'",
                       peer_name(&rows->names, partition));
    (void)snprintf(where + strlen(where), sizeof where - strlen(where),
                   " GROUP BY name, ts / %" PRId64, PEER_HOUR_MS);
    char *select = sqlite3_mprintf("SELECT name, ts / %lld, count(*), min(%s), max(%s), sum(%s)",
                                   (long long)PEER_HOUR_MS, m, m, m);
    return ask(client, select, where, true, 2, answer);
}

static bool by_partition(struct peer_client *client, struct peer_answer *answer)
{
    char *select =
        sqlite3_mprintf("SELECT name, count(*), avg(%s)", measured_name(client->peer->rows));

    return ask(client, select, "GROUP BY name", true, 1, answer);
}

static bool total(struct peer_client *client, struct peer_answer *answer)
{
    char *select = sqlite3_mprintf("SELECT sum(%s)", measured_name(client->peer->rows));

    return ask(client, select, "", false, 0, answer);
}

/* The last row of each partition by the key, partition by partition. */
static bool latest(struct peer_client *client, struct peer_answer *answer)
{
    const struct peer_rows *rows = client->peer->rows;
    char key[64] = "", where[TEXT_MAX_BYTES];
    sqlite3_stmt *statement = NULL;

    for (uint32_t i = 0; i < rows->n_columns; i++)
        if (rows->columns[i].key)
            (void)snprintf(key, sizeof key, ", %s DESC", rows->columns[i].name);
    (void)snprintf(where, sizeof where, "WHERE name = ? ORDER BY ts DESC%s LIMIT 1", key);
    bool ok = prepare(rows, client->db, "SELECT *", where, &statement);
    for (uint32_t i = 0; ok && i < rows->names.n; i++) {
        bind_text(statement, 1, &rows->names, i);
        const int rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            add_row(rows, statement, answer);
            peer_answer_add(answer, 4, (double)sqlite3_column_int64(statement, 1));
        }
        (void)sqlite3_reset(statement);
        ok = rc == SQLITE_ROW || rc == SQLITE_DONE || failed("step", client->db);
    }
    (void)sqlite3_finalize(statement);
    return ok;
}

static bool scan(struct peer_client *client, struct peer_answer *answer)
{
    sqlite3_stmt *statement = NULL;
    int rc = SQLITE_ERROR;

    if (!prepare(client->peer->rows, client->db, "SELECT *", "", &statement))
        return false;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        add_row(client->peer->rows, statement, answer);
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE || failed("step", client->db);
}

const struct peer_definition peer_definition = {
    .name = "sqlite",
    .version = PEER_VERSION,
    .data_suffix = ".db",
    .bulk_commit = 300000,
    .bulk_writers = 1,
    .load_threads = 1,
    .describe = describe,
    .open = peer_open,
    .close = peer_close,
    .writer_open = writer_open,
    .writer_close = writer_close,
    .commit = commit,
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
