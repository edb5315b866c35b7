/*
 * bench_ingest.c - rows into a store, by row or by column, each commit waited for or many in flight.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/store_bench.h"

#define IN_FLIGHT_MAX 1024u

struct ingest {
    const struct bench_plan *plan;
    const struct bench_rows *rows;
    varve_store *store;
    varve_table *table;
    varve_batch *batches[IN_FLIGHT_MAX];
    double begun_s[IN_FLIGHT_MAX]; /* by batch */
    uint32_t idle[IN_FLIGHT_MAX];  /* batches that are ours */
    uint32_t n_idle;
    double worst_s;
};

static bool failed(const varve_error *err, const char *doing)
{
    (void)fprintf(stderr, "varve: %s: %s: %s\n", doing, varve_status_name(err->status),
                  err->message);
    return false;
}

bool bench_store_open(const char *path, const struct bench_options *options, varve_policy policy,
                      varve_store **ret_store)
{
    varve_options open_options;
    varve_error err = {0};

    varve_options_init(&open_options, sizeof open_options);
    open_options.flags = options->store == NULL ? VARVE_OPEN_CREATE : 0;
    open_options.policy = policy;
    open_options.memory_limit = options->memory_limit;
    return varve_open(path, &open_options, ret_store, &err) == VARVE_OK ||
           failed(&err, "open the store");
}

/* --------------------------------------------------------------------------------------- Rows */

/* What a row has in a column; type and scale are there already, being the same for all rows. */
static void value_set(varve_value *value, const struct bench_rows *rows, uint32_t column,
                      uint64_t row)
{
    if (value->type == VARVE_TEXT) {
        const uint32_t *offsets = rows->offsets[column];
        value->as.bytes.data = (const char *)rows->values[column] + offsets[row];
        value->as.bytes.size = offsets[row + 1] - offsets[row];
    } else if (value->type == VARVE_DOUBLE) {
        value->as.f64 = ((const double *)rows->values[column])[row];
    } else {
        value->as.i64 = bench_rows_i64(rows, column, row);
    }
}

static bool put_by_row(const struct ingest *in, varve_batch *batch, uint64_t first, uint64_t n)
{
    const struct bench_workload *workload = in->rows->workload;
    varve_value values[BENCH_COLUMNS_MAX];
    varve_error err = {0};

    for (uint32_t c = 0; c < workload->n_columns; c++)
        values[c] = (varve_value){.type = (uint8_t)workload->columns[c].type,
                                  .scale = workload->columns[c].scale};
    for (uint64_t i = first; i < first + n; i++) {
        for (uint32_t c = 0; c < workload->n_columns; c++)
            value_set(&values[c], in->rows, c, i);
        if (varve_batch_put_row(batch, in->table, values, workload->n_columns, NULL, &err) < 0)
            return failed(&err, "put a row");
    }
    return true;
}

static bool put_by_column(const struct ingest *in, varve_batch *batch, uint64_t first, uint64_t n)
{
    varve_array arrays[BENCH_COLUMNS_MAX];
    varve_error err = {0};

    memset(arrays, 0, sizeof arrays);
    for (uint32_t c = 0; c < in->rows->workload->n_columns; c++) {
        const uint32_t width = in->rows->workload->columns[c].width;
        arrays[c].column = c;
        arrays[c].values = (const char *)in->rows->values[c] + first * width;
        arrays[c].offsets = width == 0 ? in->rows->offsets[c] + first : NULL;
    }
    return varve_batch_put_columns(batch, in->table, NULL, arrays, in->rows->workload->n_columns, n,
                                   NULL, &err) == VARVE_OK ||
           failed(&err, "put columns");
}

/* ------------------------------------------------------------------------------------ Commits */

static void note_commit(struct ingest *in, double begun_s)
{
    const double s = bench_wall_s() - begun_s;

    if (s > in->worst_s)
        in->worst_s = s;
}

/* Wait until a commit is done, and take those that are. */
static bool reap(struct ingest *in, int timeout_ms)
{
    varve_completion done[64];
    struct pollfd ready = {.fd = varve_event_fd(in->store), .events = POLLIN};
    uint32_t n = varve_commit_reap(in->store, done, 64);

    if (n == 0) {
        if (poll(&ready, 1, timeout_ms) < 0 && errno != EINTR)
            return false;
        n = varve_commit_reap(in->store, done, 64);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (done[i].status < 0) {
            (void)fprintf(stderr, "varve: commit: %s\n", varve_status_name(done[i].status));
            return false;
        }
        note_commit(in, in->begun_s[done[i].tag]);
        in->idle[in->n_idle++] = (uint32_t)done[i].tag;
    }
    return true;
}

static bool start_commit(struct ingest *in, uint32_t slot)
{
    varve_error err = {0};

    in->begun_s[slot] = bench_wall_s();
    for (;;) {
        const varve_status rc =
            varve_commit_start(in->store, in->batches[slot], VARVE_POLICY_DEFAULT, slot, &err);
        if (rc == VARVE_OK)
            return true;
        if (rc != VARVE_EAGAIN)
            return failed(&err, "start a commit");
        if (!reap(in, 1))
            return false;
    }
}

static bool commit_now(struct ingest *in, uint32_t slot)
{
    varve_error err = {0};
    const double begun_s = bench_wall_s();

    if (varve_commit(in->store, in->batches[slot], VARVE_POLICY_DEFAULT, NULL, &err) < 0)
        return failed(&err, "commit");
    note_commit(in, begun_s);
    return true;
}

static bool drain(struct ingest *in)
{
    while (in->n_idle < in->plan->in_flight)
        if (!reap(in, 1000))
            return false;
    return true;
}

/* Commit the rows in memory, until `deadline_s`. Returns how many by `*ret_done`. */
static bool run_chunk(struct ingest *in, double deadline_s, uint64_t *ret_done)
{
    const struct bench_plan *plan = in->plan;

    *ret_done = 0;
    while (*ret_done < in->rows->n && bench_wall_s() < deadline_s) {
        const uint64_t left = in->rows->n - *ret_done;
        const uint64_t n = left < plan->batch ? left : plan->batch;
        while (in->n_idle == 0)
            if (!reap(in, 1000))
                return false;
        const uint32_t slot = in->idle[in->n_idle - 1];
        varve_batch *batch = in->batches[slot];
        if (!(plan->by_column ? put_by_column : put_by_row)(in, batch, *ret_done, n))
            return false;
        if (plan->in_flight > 1) {
            in->n_idle--;
            if (!start_commit(in, slot))
                return false;
        } else if (!commit_now(in, slot)) {
            return false;
        }
        *ret_done += n;
    }
    return drain(in);
}

/* ---------------------------------------------------------------------------------------- Run */

static bool begin(struct ingest *in, const struct bench_workload *workload)
{
    varve_error err = {0};

    if (varve_table_create(in->store, workload->create, &err) < 0 ||
        varve_table_open(in->store, workload->table, &in->table, &err) < 0)
        return failed(&err, "create the table");
    for (uint32_t i = 0; i < in->plan->in_flight; i++) {
        if (varve_batch_new(in->store, &in->batches[i], &err) < 0)
            return failed(&err, "make a batch");
        in->idle[in->n_idle++] = i;
    }
    return true;
}

static bool run(struct ingest *in, const struct bench_options *options, struct bench_feed *feed,
                struct bench_ingest_result *result)
{
    varve_error err = {0};
    bool more = feed->rows->n > 0; /* the first chunk is there already */

    while (more && result->acknowledged.wall_s < options->seconds) {
        uint64_t done = 0;
        bench_meter_start(&result->acknowledged);
        const bool ok =
            run_chunk(in, bench_wall_s() + options->seconds - result->acknowledged.wall_s, &done);
        bench_meter_stop(&result->acknowledged);
        result->rows += done;
        if (!ok)
            return false;
        more = result->acknowledged.wall_s < options->seconds && bench_feed_next(feed);
    }
    result->flushed = result->acknowledged;
    bench_meter_start(&result->flushed);
    const varve_status rc = varve_flush(in->store, &err);
    bench_meter_stop(&result->flushed);
    return rc == VARVE_OK || failed(&err, "flush");
}

bool bench_ingest(const char *path, const struct bench_options *options,
                  const struct bench_plan *plan, varve_policy policy, struct bench_feed *feed,
                  varve_store **ret_store, struct bench_ingest_result *ret_result)
{
    struct bench_ingest_result result = {.rows = 0};
    struct bench_memory memory;
    struct ingest *in = calloc(1, sizeof *in);
    const double written = bench_written();
    bool ok = in != NULL;

    bench_memory_reset(&memory);
    if (ok) {
        in->plan = plan;
        in->rows = feed->rows;
        ok = bench_store_open(path, options, policy, &in->store) &&
             begin(in, feed->rows->workload) && run(in, options, feed, &result);
    }
    if (ok) {
        result.worst_commit_s = in->worst_s;
        result.resident_peak = bench_memory_peak(&memory);
        result.written = bench_written() - written;
        result.stats.struct_size = sizeof result.stats;
        varve_get_stats(in->store, &result.stats);
        *ret_result = result;
    }
    for (uint32_t i = 0; in != NULL && i < plan->in_flight; i++)
        if (ok || in->n_idle == plan->in_flight)
            varve_batch_free(in->batches[i]);
    if (ok)
        *ret_store = in->store;
    else if (in != NULL)
        varve_close(in->store);
    free(in);
    return ok;
}
