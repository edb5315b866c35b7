/*
 * store_rig.c - see store_rig.h.
 */
#include "tests/lib/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"

#define WATCHED_ONE_IN 4 /* looks of the ordering rules, each of which takes an image */
#define WORK_TURNS 3000
#define LAST_BATCH (RIG_BATCHES - 8) /* batches that judging itself commits */
#define WHOLE ((1u << RIG_ROWS) - 1)

static const char *const table_names[RIG_TABLES] = {"ticks", "bars"};
static const char *const table_texts[RIG_TABLES] = {
    "CREATE TABLE ticks (k text, t timestamp, a bigint, v double, PRIMARY KEY (k, t))",
    "CREATE TABLE bars (k text, t timestamp, a bigint, v double, PRIMARY KEY (k, t)) "
    "WITH duplicates = 'keep'"};
static const char *const keys[RIG_KEYS] = {"alpha", "beta", "gamma"};

void rig_die(const struct store_rig *rig, const char *what)
{
    (void)fprintf(stderr, "%s: %s\n  last error: %s %s %s offset %lld lsn %lld\n", rig->label, what,
                  varve_status_name(rig->err.status), rig->err.message, rig->err.file,
                  (long long)rig->err.offset, (long long)rig->err.lsn);
    abort();
}

void rig_setup(struct store_rig *rig, uint64_t seed)
{
    struct varve_sim_options options;

    memset(rig, 0, sizeof *rig);
    varve_heap_init(&rig->sim_heap, NULL, UINT64_MAX);
    varve_sim_options_init(&options, &rig->sim_heap, seed);
    fault_init(&rig->fault, FAULT_NEVER, FAULT_ONCE);
    if (varve_sim_create(&options, &rig->sim) < 0 || varve_sim_attach(rig->sim, &rig->vfs) < 0)
        rig_die(rig, "no simulated disk");
    rig->order = ordering_watch(rig->sim, NULL, WATCHED_ONE_IN);
}

void rig_teardown(struct store_rig *rig)
{
    rig_close(rig);
    const char *violation = varve_sim_violation(rig->sim);
    if (violation != NULL)
        rig_die(rig, violation);
    ordering_end(rig->order);
    varve_sim_destroy(rig->sim);
    if (varve_heap_used(&rig->sim_heap) != 0)
        rig_die(rig, "the disk leaked");
}

/* ------------------------------------------------------------------------------ The store itself */

/* With nothing open. What an earlier one was told of the directory's syncs is not told again. */
static void new_process(struct store_rig *rig)
{
    rig->vfs->ops->destroy(rig->vfs);
    if (varve_sim_attach(rig->sim, &rig->vfs) < 0)
        rig_die(rig, "no new process");
}

varve_status rig_open(struct store_rig *rig, uint32_t flags)
{
    varve_options options;

    if (rig->store != NULL)
        return VARVE_EINVAL;
    new_process(rig);
    varve_options_init(&options, sizeof options);
    options.allocator = &rig->fault.allocator;
    options.vfs = rig->vfs;
    options.flags = flags;
    options.background_threads = UINT32_MAX;
    options.memory_limit = 16u << 20;
    options.memtable_bytes = 1u << 20;
    options.cache_bytes = 1u << 20;
    options.wal_segment_bytes = rig->wal_segment_bytes != 0 ? rig->wal_segment_bytes : 64u << 10;
    options.row_group_rows = 1024;
    options.commit_queue = 16;
    const varve_status rc = varve_open("sim", &options, &rig->store, &rig->err);
    if (rc < 0 && rig->store != NULL)
        rig_die(rig, "a failed open gave a handle");
    if (rc < 0 && rig->err.status != rc)
        rig_die(rig, "a failed open gave no reason");
    if (rc < 0 && fault_blocks(&rig->fault) != 0)
        rig_die(rig, "a failed open leaked");
    return rc;
}

void rig_close(struct store_rig *rig)
{
    varve_snapshot_release(rig->snapshot);
    rig->snapshot = NULL;
    varve_close(rig->store);
    rig->store = NULL;
    if (fault_blocks(&rig->fault) != 0)
        rig_die(rig, "the store leaked");
}

void rig_kill(struct store_rig *rig)
{
    varve_sim_kill(rig->vfs);
    rig_close(rig); /* gives back memory; the disk no longer listens */
    new_process(rig);
}

varve_status rig_create_table(struct store_rig *rig, uint32_t table)
{
    struct rig_table_truth *truth = &rig->tables[table];

    if (rig->store == NULL)
        return VARVE_EINVAL;
    const varve_status rc = varve_table_create(rig->store, table_texts[table], &rig->err);
    if (rc == VARVE_OK)
        truth->exists = RIG_ACKED;
    else if (truth->exists != RIG_ACKED && rc != VARVE_EEXISTS)
        truth->exists = RIG_MAYBE;
    return rc;
}

varve_status rig_drop_table(struct store_rig *rig, uint32_t table)
{
    struct rig_table_truth *truth = &rig->tables[table];

    if (rig->store == NULL)
        return VARVE_EINVAL;
    const varve_status rc = varve_table_drop(rig->store, table_names[table], &rig->err);
    if (rc == VARVE_OK) {
        truth->exists = RIG_GONE;
        memset(truth->batches, RIG_GONE, sizeof truth->batches);
    } else if (rc != VARVE_ENOTFOUND) {
        truth->exists = RIG_MAYBE;
    }
    return rc;
}

/* ----------------------------------------------------------------------------------------- Rows */

static int64_t time_of(uint32_t batch, uint32_t i)
{
    return (int64_t)batch * 1000 + i * 10;
}

static int64_t value_of(uint32_t table, uint32_t batch, uint32_t key, uint32_t i)
{
    return (
        int64_t)(varve_mix64(((uint64_t)table << 40 | (uint64_t)batch << 20 | key << 10 | i) + 1) >>
                 20);
}

static varve_status put_rows(struct store_rig *rig, varve_batch *out, const varve_table *handle,
                             uint32_t table, uint32_t batch)
{
    for (uint32_t r = 0; r < RIG_ROWS; r++) {
        const uint32_t key = r % RIG_KEYS, i = r / RIG_KEYS;
        varve_value values[4] = {{.type = VARVE_TEXT},
                                 {.type = VARVE_TIMESTAMP},
                                 {.type = VARVE_BIGINT},
                                 {.type = VARVE_DOUBLE}};
        values[0].as.bytes.data = keys[key];
        values[0].as.bytes.size = strlen(keys[key]);
        values[1].as.i64 = time_of(batch, i);
        values[2].as.i64 = value_of(table, batch, key, i);
        values[3].as.f64 = (double)values[2].as.i64 / 2;
        const varve_status rc = varve_batch_put_row(out, handle, values, 4, NULL, &rig->err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status put_columns(struct store_rig *rig, varve_batch *out, const varve_table *handle,
                                uint32_t table, uint32_t batch)
{
    for (uint32_t key = 0; key < RIG_KEYS; key++) {
        int64_t times[RIG_TIMES], a[RIG_TIMES];
        double v[RIG_TIMES];
        varve_value partition = {.type = VARVE_TEXT};
        partition.as.bytes.data = keys[key];
        partition.as.bytes.size = strlen(keys[key]);
        for (uint32_t i = 0; i < RIG_TIMES; i++) {
            times[i] = time_of(batch, i);
            a[i] = value_of(table, batch, key, i);
            v[i] = (double)a[i] / 2;
        }
        const varve_array arrays[3] = {
            {.column = 1, .values = times}, {.column = 2, .values = a}, {.column = 3, .values = v}};
        const varve_status rc =
            varve_batch_put_columns(out, handle, &partition, arrays, 3, RIG_TIMES, NULL, &rig->err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

/* A durable commit makes durable all that the log held before it. */
static void note_acked(struct store_rig *rig, uint32_t table, uint32_t batch, varve_policy policy,
                       uint64_t lsn)
{
    const bool soft = policy == VARVE_POLICY_OS || policy == VARVE_POLICY_INTERVAL;

    if (!soft)
        ordering_acked(rig->order, lsn);
    for (uint32_t t = 0; t < RIG_TABLES && !soft; t++)
        memset(rig->tables[t].is_soft, 0, sizeof rig->tables[t].is_soft);
    rig->tables[table].is_soft[batch] = soft;
    rig->tables[table].batches[batch] = RIG_ACKED;
}

void rig_lose_soft(struct store_rig *rig)
{
    for (uint32_t t = 0; t < RIG_TABLES; t++)
        for (uint32_t b = 0; b < RIG_BATCHES; b++)
            if (rig->tables[t].is_soft[b] && rig->tables[t].batches[b] == RIG_ACKED)
                rig->tables[t].batches[b] = RIG_MAYBE;
}

varve_status rig_commit(struct store_rig *rig, uint32_t table, uint32_t batch, varve_policy policy,
                        bool by_columns)
{
    varve_table *handle = NULL;
    varve_batch *rows = NULL;
    uint8_t *truth = &rig->tables[table].batches[batch];

    if (rig->store == NULL)
        return VARVE_EINVAL;
    varve_status rc = varve_table_open(rig->store, table_names[table], &handle, &rig->err);
    if (rc == VARVE_OK)
        rc = varve_batch_new(rig->store, &rows, &rig->err);
    if (rc == VARVE_OK)
        rc = by_columns ? put_columns(rig, rows, handle, table, batch)
                        : put_rows(rig, rows, handle, table, batch);
    if (rc == VARVE_OK) {
        uint64_t lsn = 0;
        rc = varve_commit(rig->store, rows, policy, &lsn, &rig->err);
        *truth = RIG_MAYBE;
        if (rc == VARVE_OK)
            note_acked(rig, table, batch, policy, lsn);
        if (varve_batch_rows(rows) != (rc == VARVE_OK ? 0 : RIG_ROWS))
            rig_die(rig, "the batch is not cleared, or not kept");
    }
    varve_batch_free(rows);
    return rc;
}

varve_status rig_flush(struct store_rig *rig)
{
    return rig->store == NULL ? VARVE_EINVAL : varve_flush(rig->store, &rig->err);
}

varve_status rig_work(struct store_rig *rig)
{
    if (rig->store == NULL)
        return VARVE_EINVAL;
    for (int i = 0; i < WORK_TURNS; i++) {
        const varve_status rc = varve_work(rig->store, 100, &rig->err);
        if (rc != VARVE_OK)
            return rc == VARVE_END ? VARVE_OK : rc;
    }
    rig_die(rig, "background work does not end");
    return VARVE_EINVAL;
}

bool rig_is_failed(const struct store_rig *rig)
{
    varve_stats stats = {.struct_size = sizeof stats};

    if (rig->store == NULL)
        return false;
    varve_get_stats(rig->store, &stats);
    return stats.failed != 0;
}

varve_status rig_snapshot(struct store_rig *rig)
{
    if (rig->store == NULL || rig->snapshot != NULL)
        return VARVE_EINVAL;
    rig->at_snapshot = rig->tables[0];
    return varve_snapshot_take(rig->store, &rig->snapshot, &rig->err);
}

/* -------------------------------------------------------------------------------------- Judging */

struct sight { /* which rows of each batch were seen */
    uint32_t rows[RIG_BATCHES];
    uint64_t total;
};

static void see_row(const struct store_rig *rig, uint32_t table, const varve_batch_view *view,
                    uint32_t row, struct sight *sight)
{
    const varve_value k = varve_view_value(view, row, 0), t = varve_view_value(view, row, 1),
                      a = varve_view_value(view, row, 2), v = varve_view_value(view, row, 3);
    const int64_t batch = t.as.i64 / 1000, i = t.as.i64 % 1000 / 10;
    uint32_t key = 0;

    while (key < RIG_KEYS && (strlen(keys[key]) != k.as.bytes.size ||
                              memcmp(keys[key], k.as.bytes.data, k.as.bytes.size) != 0))
        key++;
    if (key == RIG_KEYS || batch < 0 || batch >= RIG_BATCHES || i >= RIG_TIMES || t.as.i64 < 0 ||
        t.as.i64 != time_of((uint32_t)batch, (uint32_t)i))
        rig_die(rig, "a row that was never written");
    const int64_t expected = value_of(table, (uint32_t)batch, key, (uint32_t)i);
    if (a.presence != VARVE_SET || v.presence != VARVE_SET || a.as.i64 != expected ||
        v.as.f64 != (double)expected / 2)
        rig_die(rig, "a row with another value than was written");
    const uint32_t bit = 1u << (key * RIG_TIMES + (uint32_t)i);
    if ((sight->rows[batch] & bit) != 0)
        rig_die(rig, "a row twice");
    sight->rows[batch] |= bit;
    sight->total++;
}

static void judge(const struct store_rig *rig, const struct rig_table_truth *truth,
                  const struct sight *sight)
{
    for (uint32_t b = 0; b < RIG_BATCHES; b++) {
        const uint32_t rows = sight->rows[b];
        if (rows != 0 && rows != WHOLE)
            rig_die(rig, "half a batch");
        if (rows != WHOLE && truth->batches[b] == RIG_ACKED)
            rig_die(rig, "an acknowledged batch is not there");
        if (rows != 0 && (truth->batches[b] == RIG_NEVER || truth->batches[b] == RIG_GONE))
            rig_die(rig, "a batch is there that was never given");
    }
}

static varve_status look(struct store_rig *rig, varve_store *store, varve_snapshot *snapshot,
                         uint32_t table, struct sight *sight)
{
    varve_table *handle = NULL;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;

    memset(sight, 0, sizeof *sight);
    varve_status rc = varve_table_open(store, table_names[table], &handle, &rig->err);
    if (rc < 0)
        return rc;
    varve_scan_init(&scan, sizeof scan);
    scan.snapshot = snapshot;
    rc = varve_scan_open(store, handle, &scan, &cursor, &rig->err);
    while (rc == VARVE_OK && (rc = varve_cursor_next(cursor, &view, &rig->err)) == VARVE_OK)
        for (uint32_t row = 0; row < view->rows; row++)
            see_row(rig, table, view, row, sight);
    varve_cursor_close(cursor);
    return rc == VARVE_END ? VARVE_OK : rc;
}

/* A table that is not there is as it should be, unless it should be there. */
static varve_status judge_missing(const struct store_rig *rig, const struct rig_table_truth *truth,
                                  varve_status rc)
{
    if (rc != VARVE_ENOTFOUND)
        return rc;
    if (truth->exists == RIG_ACKED)
        rig_die(rig, "an acknowledged table is not there");
    return VARVE_OK;
}

static varve_status scan_in(struct store_rig *rig, varve_store *store, uint32_t table)
{
    struct rig_table_truth *truth = &rig->tables[table];
    struct sight sight;
    const varve_status rc = look(rig, store, NULL, table, &sight);

    if (rc < 0)
        return judge_missing(rig, truth, rc);
    if (truth->exists == RIG_NEVER || truth->exists == RIG_GONE)
        rig_die(rig, "a table is there that should not be");
    judge(rig, truth, &sight);
    return VARVE_OK;
}

varve_status rig_scan(struct store_rig *rig, uint32_t table)
{
    return rig->store == NULL ? VARVE_EINVAL : scan_in(rig, rig->store, table);
}

varve_status rig_scan_snapshot(struct store_rig *rig)
{
    struct sight sight;

    if (rig->store == NULL || rig->snapshot == NULL)
        return VARVE_EINVAL;
    const varve_status rc = look(rig, rig->store, rig->snapshot, 0, &sight);
    if (rc < 0)
        return judge_missing(rig, &rig->at_snapshot, rc);
    judge(rig, &rig->at_snapshot, &sight);
    return VARVE_OK;
}

/* The sum over what a scan shows, and the count, must be what an aggregation says. */
varve_status rig_aggregate(struct store_rig *rig, uint32_t table)
{
    const varve_aggregate functions[2] = {{.function = VARVE_COUNT_ROWS},
                                          {.function = VARVE_SUM, .column = 2}};
    varve_table *handle = NULL;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;
    struct sight sight;

    if (rig->store == NULL)
        return VARVE_EINVAL;
    varve_status rc = look(rig, rig->store, NULL, table, &sight);
    if (rc < 0)
        return judge_missing(rig, &rig->tables[table], rc);
    rc = varve_table_open(rig->store, table_names[table], &handle, &rig->err);
    if (rc < 0)
        return rc;
    varve_scan_init(&scan, sizeof scan);
    scan.aggregates = functions;
    scan.n_aggregates = 2;
    rc = varve_aggregate_open(rig->store, handle, &scan, &cursor, &rig->err);
    if (rc == VARVE_OK)
        rc = varve_cursor_next(cursor, &view, &rig->err);
    if (rc == VARVE_OK) {
        int64_t sum = 0;
        for (uint32_t b = 0; b < RIG_BATCHES; b++)
            for (uint32_t r = 0; r < RIG_ROWS; r++)
                if ((sight.rows[b] >> r & 1) != 0)
                    sum += value_of(table, b, r / RIG_TIMES, r % RIG_TIMES);
        const varve_value count = varve_view_value(view, 0, 0),
                          total = varve_view_value(view, 0, 1);
        if (view->rows != 1 || (uint64_t)count.as.i64 != sight.total ||
            (sight.total > 0 && (int64_t)total.as.i128.low != sum))
            rig_die(rig, "an aggregation differs from the rows");
    }
    varve_cursor_close(cursor);
    return rc == VARVE_END ? VARVE_EINVAL : rc;
}

/* Everything that should be there may be. */
static void doubt(struct rig_table_truth *truth)
{
    if (truth->exists == RIG_ACKED)
        truth->exists = RIG_MAYBE;
    for (uint32_t b = 0; b < RIG_BATCHES; b++)
        if (truth->batches[b] == RIG_ACKED)
            truth->batches[b] = RIG_MAYBE;
}

varve_status rig_verify(struct store_rig *rig)
{
    return rig->store == NULL ? VARVE_EINVAL
                              : varve_verify(rig->store, NULL, NULL, NULL, NULL, &rig->err);
}

varve_status rig_read_only(struct store_rig *rig)
{
    static struct store_rig reader;
    varve_status rc = VARVE_OK;

    reader = *rig;
    if (rig->store != NULL) /* a reader beside a writer may see an older state */
        for (uint32_t t = 0; t < RIG_TABLES; t++)
            doubt(&reader.tables[t]);
    reader.store = NULL;
    reader.snapshot = NULL;
    if (varve_sim_attach(rig->sim, &reader.vfs) < 0)
        rig_die(rig, "no process to read");
    fault_init(&reader.fault, FAULT_NEVER, FAULT_ONCE);
    rc = rig_open(&reader, VARVE_OPEN_READ_ONLY);
    for (uint32_t t = 0; rc == VARVE_OK && t < RIG_TABLES; t++)
        rc = scan_in(&reader, reader.store, t);
    rig->err = reader.err;
    rig_close(&reader);
    reader.vfs->ops->destroy(reader.vfs);
    return rc;
}

/* ------------------------------------------------------------------------------------ Afterwards */

/* What was doubtful is decided by the first open, and for ever. */
static void settle(struct store_rig *rig, uint32_t table)
{
    struct rig_table_truth *truth = &rig->tables[table];
    struct sight sight;
    const varve_status rc = look(rig, rig->store, NULL, table, &sight);

    if (rc < 0 && rc != VARVE_ENOTFOUND)
        rig_die(rig, "a table cannot be read");
    if (rc == VARVE_ENOTFOUND) {
        (void)judge_missing(rig, truth, rc);
        truth->exists = truth->exists == RIG_NEVER ? RIG_NEVER : RIG_GONE;
        memset(truth->batches, RIG_GONE, sizeof truth->batches);
        return;
    }
    if (truth->exists == RIG_NEVER || truth->exists == RIG_GONE)
        rig_die(rig, "a table is there that should not be");
    judge(rig, truth, &sight);
    truth->exists = RIG_ACKED;
    for (uint32_t b = 0; b < RIG_BATCHES; b++)
        truth->batches[b] = sight.rows[b] == WHOLE ? RIG_ACKED : RIG_NEVER;
}

void rig_must_be_sound(struct store_rig *rig)
{
    for (uint32_t round = 0; round < 2; round++) {
        if (rig_open(rig, VARVE_OPEN_CREATE) < 0)
            rig_die(rig, "the store cannot be opened afterwards");
        for (uint32_t t = 0; t < RIG_TABLES; t++)
            settle(rig, t);
        for (uint32_t t = 0; t < RIG_TABLES; t++) {
            if (rig->tables[t].exists != RIG_ACKED)
                continue;
            if (rig_commit(rig, t, LAST_BATCH + round, VARVE_POLICY_DEFAULT, false) < 0)
                rig_die(rig, "the store cannot be written afterwards");
        }
        if (round == 1 && (rig_flush(rig) < 0 || rig_work(rig) < 0))
            rig_die(rig, "the store cannot be flushed afterwards");
        for (uint32_t t = 0; t < RIG_TABLES; t++)
            if (rig_aggregate(rig, t) < 0 || rig_scan(rig, t) < 0)
                rig_die(rig, "the store cannot be read afterwards");
        if (rig_verify(rig) < 0)
            rig_die(rig, "the store does not verify afterwards");
        rig_close(rig);
    }
}

void rig_image_must_be_sound(const struct store_rig *rig, struct varve_sim *image)
{
    static struct store_rig copy;

    copy = *rig;
    copy.sim = image;
    copy.order = ordering_watch(image, rig->order, WATCHED_ONE_IN);
    copy.store = NULL;
    copy.snapshot = NULL;
    fault_init(&copy.fault, FAULT_NEVER, FAULT_ONCE);
    if (varve_sim_attach(image, &copy.vfs) < 0)
        rig_die(rig, "no process on the image");
    rig_must_be_sound(&copy);
    if (varve_sim_violation(image) != NULL)
        rig_die(&copy, varve_sim_violation(image));
    ordering_end(copy.order);
    varve_sim_destroy(image);
}
