/*
 * bench_baseline.c - the same work done by SQLite: WAL mode, prepared statements, a WITHOUT ROWID
 * table, synchronous = FULL for the durable policies, NORMAL for interval, OFF for os, a page cache
 * as large as the store's.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/bench/store_bench.h"

struct bench_baseline {
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *commit, *slice;
};

bool bench_baseline_available(void)
{
    return true;
}

static bool failed(struct bench_baseline *base, const char *doing)
{
    (void)fprintf(stderr, "varve: sqlite: %s: %s\n", doing, sqlite3_errmsg(base->db));
    return false;
}

static bool execute(struct bench_baseline *base, const char *text)
{
    return sqlite3_exec(base->db, text, NULL, NULL, NULL) == SQLITE_OK || failed(base, text);
}

static bool prepare(struct bench_baseline *base, const char *text, sqlite3_stmt **ret_statement)
{
    return sqlite3_prepare_v2(base->db, text, -1, ret_statement, NULL) == SQLITE_OK ||
           failed(base, text);
}

static bool prepare_all(struct bench_baseline *base, const struct bench_workload *workload)
{
    char text[512];
    int size = snprintf(text, sizeof text, "INSERT OR REPLACE INTO %s VALUES (?", workload->table);

    for (uint32_t c = 1; c < workload->n_columns; c++)
        size += snprintf(text + size, sizeof text - (size_t)size, ", ?");
    (void)snprintf(text + size, sizeof text - (size_t)size, ")");
    if (!prepare(base, text, &base->insert) || !prepare(base, "BEGIN", &base->begin) ||
        !prepare(base, "COMMIT", &base->commit))
        return false;
    (void)snprintf(text, sizeof text, "SELECT * FROM %s WHERE %s = ? AND %s >= ? AND %s < ?",
                   workload->table, workload->columns[0].name, workload->columns[1].name,
                   workload->columns[1].name);
    return prepare(base, text, &base->slice);
}

void bench_baseline_close(struct bench_baseline *base)
{
    if (base == NULL)
        return;
    (void)sqlite3_finalize(base->insert);
    (void)sqlite3_finalize(base->begin);
    (void)sqlite3_finalize(base->commit);
    (void)sqlite3_finalize(base->slice);
    (void)sqlite3_close(base->db);
    free(base);
}

static bool open_base(const char *path, const struct bench_options *options, varve_policy policy,
                      bool create, struct bench_baseline **ret_base)
{
    struct bench_baseline *base = calloc(1, sizeof *base);
    char text[64];

    if (base == NULL)
        return false;
    const uint64_t limit = options->memory_limit == 0 ? UINT64_C(256) << 20 : options->memory_limit;
    const char *sync = policy <= VARVE_POLICY_DURABLE_GROUP ? "PRAGMA synchronous = FULL"
                       : policy == VARVE_POLICY_INTERVAL    ? "PRAGMA synchronous = NORMAL"
                                                            : "PRAGMA synchronous = OFF";
    (void)snprintf(text, sizeof text, "PRAGMA cache_size = -%llu",
                   (unsigned long long)(limit / 4 / 1024));
    const bool opened = sqlite3_open(path, &base->db) == SQLITE_OK || failed(base, "open");
    if (opened && execute(base, "PRAGMA journal_mode = WAL") && execute(base, sync) &&
        execute(base, text) && (!create || execute(base, options->workload->create_sqlite)) &&
        prepare_all(base, options->workload)) {
        *ret_base = base;
        return true;
    }
    bench_baseline_close(base);
    return false;
}

/* -------------------------------------------------------------------------------------- Ingest */

static bool step_once(struct bench_baseline *base, sqlite3_stmt *statement)
{
    const int rc = sqlite3_step(statement);

    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE || failed(base, "write");
}

static bool insert(struct bench_baseline *base, const struct bench_rows *rows, uint64_t row)
{
    for (uint32_t c = 0; c < rows->workload->n_columns; c++) {
        const varve_type type = rows->workload->columns[c].type;
        const int place = (int)c + 1;
        int rc;
        if (type == VARVE_TEXT)
            rc = sqlite3_bind_text(
                base->insert, place, (const char *)rows->values[c] + rows->offsets[c][row],
                (int)(rows->offsets[c][row + 1] - rows->offsets[c][row]), SQLITE_STATIC);
        else if (type == VARVE_DOUBLE)
            rc = sqlite3_bind_double(base->insert, place, ((const double *)rows->values[c])[row]);
        else
            rc = sqlite3_bind_int64(base->insert, place, bench_rows_i64(rows, c, row));
        if (rc != SQLITE_OK)
            return failed(base, "bind");
    }
    return step_once(base, base->insert);
}

static bool run_chunk(struct bench_baseline *base, const struct bench_rows *rows, uint32_t batch,
                      double deadline_s, struct bench_ingest_result *result)
{
    for (uint64_t done = 0; done < rows->n && bench_wall_s() < deadline_s;) {
        const uint64_t end = rows->n - done < batch ? rows->n : done + batch;
        if (!step_once(base, base->begin))
            return false;
        for (uint64_t i = done; i < end; i++)
            if (!insert(base, rows, i))
                return false;
        const double begun_s = bench_wall_s();
        if (!step_once(base, base->commit))
            return false;
        const double s = bench_wall_s() - begun_s;
        result->worst_commit_s = s > result->worst_commit_s ? s : result->worst_commit_s;
        result->rows += end - done;
        done = end;
    }
    return true;
}

bool bench_baseline_ingest(const char *path, const struct bench_options *options, uint32_t batch,
                           varve_policy policy, struct bench_feed *feed,
                           struct bench_baseline **ret_baseline,
                           struct bench_ingest_result *ret_result)
{
    struct bench_ingest_result result = {.rows = 0};
    struct bench_baseline *base = NULL;
    struct bench_memory memory;
    const double written = bench_written();
    bool ok, more = feed->rows->n > 0;

    bench_memory_reset(&memory);
    ok = open_base(path, options, policy, true, &base);
    while (ok && more) {
        bench_meter_start(&result.acknowledged);
        ok = run_chunk(base, feed->rows, batch,
                       bench_wall_s() + options->seconds - result.acknowledged.wall_s, &result);
        bench_meter_stop(&result.acknowledged);
        more = result.acknowledged.wall_s < options->seconds && bench_feed_next(feed);
    }
    result.flushed = result.acknowledged;
    bench_meter_start(&result.flushed);
    ok = ok && execute(base, "PRAGMA wal_checkpoint(TRUNCATE)");
    bench_meter_stop(&result.flushed);
    if (!ok) {
        bench_baseline_close(base);
        return false;
    }
    result.resident_peak = bench_memory_peak(&memory);
    result.written = bench_written() - written;
    *ret_result = result;
    *ret_baseline = base;
    return true;
}

bool bench_baseline_reopen(struct bench_baseline **baseline, const char *path,
                           const struct bench_options *options, struct bench_meter *meter)
{
    char text[128];

    bench_baseline_close(*baseline);
    *baseline = NULL;
    (void)snprintf(text, sizeof text, "SELECT 1 FROM %s LIMIT 1", options->workload->table);
    bench_meter_start(meter);
    const bool ok = open_base(path, options, VARVE_POLICY_DURABLE_GROUP, false, baseline) &&
                    execute(*baseline, text);
    bench_meter_stop(meter);
    return ok;
}

uint64_t bench_baseline_bytes(struct bench_baseline *baseline, const char *path)
{
    struct stat status;

    (void)execute(baseline, "PRAGMA wal_checkpoint(TRUNCATE)");
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t bench_baseline_memory(void)
{
    return (uint64_t)sqlite3_memory_highwater(1);
}

/* ----------------------------------------------------------------------------------- Questions */

static uint64_t sum_cell(sqlite3_stmt *statement, int column, varve_type type)
{
    uint64_t bits;

    if (type == VARVE_TEXT)
        return (uint64_t)sqlite3_column_bytes(statement, column);
    if (type != VARVE_DOUBLE)
        return (uint64_t)sqlite3_column_int64(statement, column);
    const double value = sqlite3_column_double(statement, column);
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool drain_rows(struct bench_baseline *base, sqlite3_stmt *statement,
                       const struct bench_workload *workload, struct bench_sum *sum)
{
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        sum->rows++;
        for (uint32_t c = 0; c < workload->n_columns; c++)
            sum->cells += sum_cell(statement, (int)c, workload->columns[c].type);
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE || failed(base, "read");
}

bool bench_baseline_scan(struct bench_baseline *base, const struct bench_workload *workload,
                         struct bench_meter *meter, struct bench_sum *ret_sum)
{
    sqlite3_stmt *statement = NULL;
    char text[64];

    (void)snprintf(text, sizeof text, "SELECT * FROM %s", workload->table);
    *ret_sum = (struct bench_sum){0};
    bench_meter_start(meter);
    const bool ok =
        prepare(base, text, &statement) && drain_rows(base, statement, workload, ret_sum);
    (void)sqlite3_finalize(statement);
    bench_meter_stop(meter);
    return ok;
}

bool bench_baseline_aggregate(struct bench_baseline *base, const struct bench_workload *workload,
                              struct bench_meter *meter, struct bench_sum *ret_sum)
{
    const char *key = workload->columns[0].name,
               *value = workload->columns[workload->measured].name;
    sqlite3_stmt *statement = NULL;
    char text[512];
    int rc = SQLITE_DONE;

    (void)snprintf(text, sizeof text,
                   "SELECT %s, ts / 3600000 * 3600000, count(%s), min(%s), max(%s), sum(%s), "
                   "avg(%s) FROM %s GROUP BY 1, 2 ORDER BY 1, 2",
                   key, value, value, value, value, value, workload->table);
    *ret_sum = (struct bench_sum){0};
    bench_meter_start(meter);
    const bool ok = prepare(base, text, &statement);
    while (ok && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        ret_sum->rows++;
        for (int c = 1; c < 6; c++)
            ret_sum->cells += (uint64_t)sqlite3_column_int64(statement, c) * (2 * (uint64_t)c + 1);
        ret_sum->averages += sqlite3_column_double(statement, 6);
    }
    (void)sqlite3_finalize(statement);
    bench_meter_stop(meter);
    return ok && (rc == SQLITE_DONE || failed(base, "aggregate"));
}

bool bench_baseline_slices(struct bench_baseline *base, const struct bench_rows *rows,
                           const uint64_t *picks, uint32_t n, double *seconds,
                           struct bench_sum *ret_sum)
{
    *ret_sum = (struct bench_sum){0};
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *offsets = rows->offsets[0];
        const int64_t time = bench_rows_i64(rows, 1, picks[i]);
        const int64_t from = time - time % BENCH_HOUR_MS;
        const double begun_s = bench_wall_s();
        if (sqlite3_bind_text(base->slice, 1, (const char *)rows->values[0] + offsets[picks[i]],
                              (int)(offsets[picks[i] + 1] - offsets[picks[i]]),
                              SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_bind_int64(base->slice, 2, from) != SQLITE_OK ||
            sqlite3_bind_int64(base->slice, 3, from + BENCH_HOUR_MS) != SQLITE_OK)
            return failed(base, "bind");
        if (!drain_rows(base, base->slice, rows->workload, ret_sum))
            return false;
        seconds[i] = bench_wall_s() - begun_s;
    }
    return true;
}
