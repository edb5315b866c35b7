/*
 * model_rig.c - random operations on a store and its model.
 */
#include "tests/model/model_rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCHED_ONE_IN 64 /* writes and acknowledgements that the ordering rules look at */
#define BATCH_MAX 400
#define REAP_TURNS 100000
#define ROWS_MAX 2500 /* a table with more is dropped soon */

void model_fail(struct model_rig *rig, const char *format, ...)
{
    va_list arguments;

    if (rig->failed)
        return;
    va_start(arguments, format);
    (void)fprintf(stderr, "FAILED at step %" PRIu64 ": ", rig->step);
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    for (int i = 0; i < MODEL_TABLES; i++) {
        char text[2048];
        size_t size;
        if (rig->tables[i].table != NULL && rig->tables[i].oracle != NULL &&
            varve_schema_text(varve_table_schema(rig->tables[i].table), text, sizeof text, &size) ==
                VARVE_OK)
            (void)fprintf(stderr, "%s\n", text);
    }
    rig->failed = true;
}

void model_expect(struct model_rig *rig, varve_status rc, const char *what, const varve_error *err)
{
    if (rc >= 0 || rig->failed)
        return;
    if (model_excuses(rig, rc))
        rig->failed = rig->excused = true;
    else
        model_fail(rig, "%s fails: %s (%s)", what, err->message, varve_status_name(rc));
}

/* ------------------------------------------------------------------------------- Open and close */

static void forget_table(struct model_table *table)
{
    oracle_table_free(table->oracle);
    sqlite_mirror_free(table->mirror);
    *table = (struct model_table){.near = table->near};
}

/* Whether a table in doubt is there. Where the power has gone meanwhile this disk does not tell: the
 * doubt remains until the other one is opened. */
static void find_tables(struct model_rig *rig)
{
    varve_error err = {0};

    for (int i = 0; i < MODEL_TABLES && !rig->failed; i++) {
        struct model_table *table = &rig->tables[i];
        if (table->oracle == NULL)
            continue;
        const varve_status rc =
            varve_table_open(rig->store, table->oracle->schema.name, &table->table, &err);
        const bool gone = rc == VARVE_ENOTFOUND && table->perhaps;
        if (!gone)
            model_expect(rig, rc, "finding a table", &err);
        if (model_is_cut(rig))
            continue;
        if (gone)
            forget_table(table);
        table->perhaps = table->perhaps && rig->failed;
    }
}

varve_status model_open(struct model_rig *rig, uint32_t wal_tail, varve_error *err)
{
    varve_options options;

    varve_options_init(&options, sizeof options);
    options.flags = VARVE_OPEN_CREATE;
    options.wal_tail = wal_tail;
    options.memory_limit = 64u << 20;
    options.memtable_bytes = (uint64_t)32768 << random_below(&rig->random, 4);
    options.cache_bytes = 128u << 10;
    options.max_wal_bytes = 1u << 20;
    options.wal_segment_bytes = 128u << 10;
    options.row_group_rows = 1024;
    options.window_seconds = 60;
    options.policy = 1 + (uint32_t)random_below(&rig->random, 4);
    options.io_backend = rig->backend;
    options.background_threads = 1;
    if (rig->sim != NULL) {
        if (varve_sim_attach(rig->sim, &rig->vfs) < 0)
            abort();
        options.vfs = rig->vfs;
        options.background_threads = UINT32_MAX;
    }
    if (rig->trouble != NULL)
        model_trouble_options(rig, &options);
    rig->policy = (varve_policy)options.policy;
    varve_status rc = varve_open(rig->scratch.path, &options, &rig->store, err);
    if (rc == VARVE_OK)
        rc = varve_batch_new(rig->store, &rig->batch, err);
    if (rc == VARVE_OK)
        find_tables(rig);
    return rc;
}

static void open_store(struct model_rig *rig)
{
    varve_error err = {0};

    model_expect(rig, model_open(rig, VARVE_WAL_TAIL_STRICT, &err), "opening", &err);
}

static void release_snapshot(struct model_rig *rig, struct model_snapshot *held)
{
    varve_snapshot_release(held->snapshot);
    held->snapshot = NULL;
    rig->oracle.oldest_snapshot = rig->trouble != NULL ? 0 : UINT64_MAX;
    for (int i = 0; i < MODEL_SNAPSHOTS; i++)
        if (rig->snapshots[i].snapshot != NULL &&
            rig->snapshots[i].seq < rig->oracle.oldest_snapshot)
            rig->oracle.oldest_snapshot = rig->snapshots[i].seq;
}

void model_close(struct model_rig *rig)
{
    for (int i = 0; i < MODEL_SNAPSHOTS; i++)
        release_snapshot(rig, &rig->snapshots[i]);
    for (int i = 0; i < MODEL_TABLES; i++)
        rig->tables[i].table = NULL;
    varve_batch_free(rig->batch);
    rig->batch = NULL;
    varve_close(rig->store);
    rig->store = NULL;
    if (rig->trouble != NULL)
        model_trouble_closed(rig);
    if (rig->vfs != NULL)
        rig->vfs->ops->destroy(rig->vfs);
    rig->vfs = NULL;
}

void model_scan_all(struct model_rig *rig)
{
    for (int i = 0; i < MODEL_TABLES && !rig->failed; i++)
        if (rig->tables[i].table != NULL) /* a model alone: it is in doubt whether there is one */
            model_full_scan(rig, &rig->tables[i]);
}

void model_reopen(struct model_rig *rig, bool kill)
{
    if (rig->vfs != NULL && kill) {
        varve_sim_kill(rig->vfs); /* what was acknowledged is in the page cache at least */
        rig->kills++;
    }
    rig->reopens++;
    model_close(rig);
    open_store(rig);
    if (rig->trouble != NULL && !rig->failed)
        model_trouble_opened(rig);
    if (rig->trouble == NULL || !rig->trouble->doubt) /* else the power went meanwhile */
        model_scan_all(rig);
}

void model_rig_init(struct model_rig *rig, uint64_t seed, uint32_t backend,
                    struct model_trouble *trouble)
{
    struct varve_sim_options options;
    struct timespec now;
    int64_t wall_us;

    *rig = (struct model_rig){.seed = seed, .backend = backend, .trouble = trouble};
    varve_heap_init(&rig->heap, NULL, UINT64_MAX);
    if (backend == VARVE_IO_AUTO) {
        varve_sim_options_init(&options, &rig->heap, seed);
        wall_us = options.wall_us;
        if (varve_sim_create(&options, &rig->sim) < 0)
            abort();
        if (trouble == NULL)
            rig->order = ordering_watch(rig->sim, NULL, WATCHED_ONE_IN);
        (void)snprintf(rig->scratch.path, sizeof rig->scratch.path, "sim");
    } else {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        wall_us = (int64_t)now.tv_sec * 1000000;
        scratch_create(&rig->scratch);
    }
    random_rows_init(&rig->random, seed, wall_us);
    oracle_init(&rig->oracle, wall_us);
    if (trouble != NULL)
        model_trouble_init(rig);
    open_store(rig);
    if (trouble != NULL)
        model_trouble_opened(rig);
}

void model_rig_free(struct model_rig *rig)
{
    if (rig->trouble != NULL)
        model_trouble_end(rig);
    model_close(rig);
    for (int i = 0; i < MODEL_TABLES; i++)
        forget_table(&rig->tables[i]);
    free(rig->puts.puts);
    oracle_result_free(&rig->want);
    random_rows_free(&rig->random);
    if (rig->sim != NULL) {
        if (!rig->failed && varve_sim_violation(rig->sim) != NULL)
            model_fail(rig, "an ordering rule is broken: %s", varve_sim_violation(rig->sim));
        ordering_end(rig->order);
        varve_sim_destroy(rig->sim);
    } else {
        scratch_remove(&rig->scratch);
    }
}

/* -------------------------------------------------------------------------------------- Tables */

static void check_schema(struct model_rig *rig, const struct model_table *table)
{
    const varve_schema *schema = varve_table_schema(table->table);
    const struct oracle_schema *want = &table->oracle->schema;

    if (varve_schema_columns(schema) != want->n_columns ||
        varve_schema_duplicates(schema) != want->duplicates)
        model_fail(rig, "table %s is not what was declared", want->name);
    for (uint32_t i = 0; i < want->n_columns && !rig->failed; i++) {
        const varve_column_info *info = varve_schema_column(schema, i);
        if (strcmp(info->name, want->columns[i].name) != 0 || info->type != want->columns[i].type ||
            info->precision != want->columns[i].precision ||
            info->scale != want->columns[i].scale ||
            (info->type == VARVE_TIMESTAMP && info->unit != want->columns[i].unit))
            model_fail(rig, "column %u of table %s is not what was declared", i, want->name);
    }
}

void model_create_table(struct model_rig *rig, struct model_table *table)
{
    struct oracle_schema schema;
    varve_error err = {0};
    char text[RANDOM_SCHEMA_TEXT_MAX], name[16];

    (void)snprintf(name, sizeof name, "t%" PRIu64, rig->tables_made++);
    random_schema(&rig->random, name, &schema, text);
    model_expect(rig, varve_table_create(rig->store, text, &err), text, &err);
    if (rig->failed && !rig->excused)
        return;
    table->oracle = oracle_table_new(&schema);
    table->near = 0;
    table->perhaps = rig->failed || model_is_cut(rig);
    if (rig->failed)
        return;
    model_expect(rig, varve_table_open(rig->store, name, &table->table, &err), "finding a table",
                 &err);
    if (rig->failed)
        return;
    const varve_status again = varve_table_create(rig->store, text, &err);
    if (again != VARVE_EEXISTS && !model_excuses(rig, again))
        model_fail(rig, "table %s is made twice", name);
    if (rig->trouble == NULL && schema.duplicates == VARVE_DUPLICATES_UPSERT &&
        random_chance(&rig->random, 50))
        table->mirror = sqlite_mirror_new(&schema);
    check_schema(rig, table);
}

void model_drop_table(struct model_rig *rig, struct model_table *table)
{
    varve_error err = {0};
    varve_table *gone;

    for (int i = 0; i < MODEL_SNAPSHOTS; i++) /* their oracle goes with the table */
        release_snapshot(rig, &rig->snapshots[i]);
    model_expect(rig, varve_table_drop(rig->store, table->oracle->schema.name, &err),
                 "dropping a table", &err);
    table->perhaps = rig->failed || model_is_cut(rig);
    if (!rig->failed &&
        varve_table_open(rig->store, table->oracle->schema.name, &gone, &err) != VARVE_ENOTFOUND)
        model_fail(rig, "table %s is there after its drop", table->oracle->schema.name);
    if (!table->perhaps)
        forget_table(table);
}

static void change_tables(struct model_rig *rig)
{
    struct model_table *table = &rig->tables[random_below(&rig->random, MODEL_TABLES)];

    if (table->oracle == NULL)
        model_create_table(rig, table);
    else if (table->oracle->n_rows > ROWS_MAX || random_chance(&rig->random, 2))
        model_drop_table(rig, table);
}

/* ------------------------------------------------------------------------------------- Batches */

static struct oracle_put *next_put(struct model_rig *rig)
{
    if (rig->puts.n == rig->puts.capacity) {
        rig->puts.capacity = rig->puts.capacity * 2 + 64;
        rig->puts.puts = realloc(rig->puts.puts, rig->puts.capacity * sizeof *rig->puts.puts);
        if (rig->puts.puts == NULL)
            abort();
    }
    return &rig->puts.puts[rig->puts.n];
}

static void draw_put(struct model_rig *rig, struct model_table *table, struct oracle_put *put)
{
    random_put(&rig->random, table->oracle, table->near, put);
    const bool refuses = table->oracle->schema.duplicates == VARVE_DUPLICATES_ERROR;
    if (refuses || random_chance(&rig->random, 8))
        table->near += refuses ? 6 : 1;
    if (table->mirror != NULL)
        put->update = put->explicit_time = false;
    if (rig->puts.n > 0 && random_chance(&rig->random, 4)) { /* a key that the batch has */
        const struct oracle_put *other = &rig->puts.puts[random_below(&rig->random, rig->puts.n)];
        if (other->table == put->table)
            memcpy(put->values, other->values,
                   put->table->schema.first_value * sizeof put->values[0]);
    }
}

static varve_put flags_of(const struct oracle_put *put)
{
    return (varve_put){.flags = (put->update ? (uint32_t)VARVE_PUT_UPDATE : 0) |
                                (put->explicit_time ? (uint32_t)VARVE_PUT_WRITE_TIME : 0),
                       .write_time = put->wt};
}

/* ELIMIT: the batch is full, which is no fault. */
static bool was_put(struct model_rig *rig, varve_status rc, const varve_error *err)
{
    if (rc < 0 && rc != VARVE_ELIMIT)
        model_expect(rig, rc, "a put", err);
    return rc == VARVE_OK;
}

static void put_row(struct model_rig *rig, struct model_table *table)
{
    struct oracle_put *put = next_put(rig);
    const struct oracle_schema *schema = &table->oracle->schema;
    varve_error err = {0};
    uint32_t n = schema->n_columns;

    draw_put(rig, table, put);
    while (n > schema->first_value && put->values[n - 1].presence == VARVE_UNSET)
        n--; /* may be left out */
    const varve_put flags = flags_of(put);
    if (was_put(rig,
                varve_batch_put_row(rig->batch, table->table, put->values, n,
                                    flags.flags != 0 ? &flags : NULL, &err),
                &err))
        rig->puts.n++;
}

/* One column of puts as an array; memory is malloc'ed. */
struct column_array {
    varve_array array;
    void *values;
    uint32_t *offsets;
    int8_t *scales;
    uint8_t *validity;
};

static void store_value(struct column_array *to, const struct oracle_column *column, uint32_t i,
                        const varve_value *value)
{
    switch (column->type) {
    case VARVE_BOOLEAN:
    case VARVE_TINYINT:
        ((int8_t *)to->values)[i] = (int8_t)value->as.i64;
        break;
    case VARVE_SMALLINT:
        ((int16_t *)to->values)[i] = (int16_t)value->as.i64;
        break;
    case VARVE_INT:
    case VARVE_DATE:
        ((int32_t *)to->values)[i] = (int32_t)value->as.i64;
        break;
    case VARVE_FLOAT:
        ((float *)to->values)[i] = value->as.f32;
        break;
    case VARVE_UUID:
        memcpy((uint8_t *)to->values + 16 * (size_t)i, value->as.uuid, 16);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        if (value->presence == VARVE_SET && value->as.bytes.size > 0)
            memcpy((uint8_t *)to->values + to->offsets[i], value->as.bytes.data,
                   value->as.bytes.size);
        to->offsets[i + 1] =
            to->offsets[i] + (value->presence == VARVE_SET ? (uint32_t)value->as.bytes.size : 0);
        break;
    default: /* double shares its place with the integers */
        memcpy((uint8_t *)to->values + 8 * (size_t)i, &value->as.i64, 8);
        break;
    }
}

static void make_array(struct model_rig *rig, const struct oracle_schema *schema, uint32_t c,
                       const struct oracle_put *puts, uint32_t n, struct column_array *to)
{
    const struct oracle_column *column = &schema->columns[c];
    size_t bytes = 16 * (size_t)n + 16;
    bool all = true;

    for (uint32_t i = 0; i < n; i++) {
        if (column->type == VARVE_TEXT || column->type == VARVE_BLOB)
            bytes += puts[i].values[c].as.bytes.size;
        all &= puts[i].values[c].presence == VARVE_SET;
    }
    *to = (struct column_array){.values = calloc(1, bytes),
                                .offsets = calloc(n + 1, sizeof(uint32_t)),
                                .scales = calloc(n, 1),
                                .validity = calloc(n / 8 + 1, 1)};
    if (to->values == NULL || to->offsets == NULL || to->scales == NULL || to->validity == NULL)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        const varve_value *value = &puts[i].values[c];
        store_value(to, column, i, value);
        to->scales[i] = value->scale;
        if (value->presence == VARVE_SET)
            to->validity[i / 8] = (uint8_t)(to->validity[i / 8] | 1u << i % 8);
    }
    to->array =
        (varve_array){.column = c,
                      .values = to->values,
                      .validity = all && random_chance(&rig->random, 80) ? NULL : to->validity};
    if (column->type == VARVE_TEXT || column->type == VARVE_BLOB)
        to->array.offsets = to->offsets;
    if (column->type == VARVE_DECIMAL && column->precision == 0)
        to->array.scales = to->scales;
}

/* Make the puts' cells of a column what an array can say. */
static bool settle_column(struct model_rig *rig, struct oracle_put *puts, uint32_t n, uint32_t c,
                          uint32_t *ret_flags)
{
    const bool given = random_chance(&rig->random, 80), unset = random_chance(&rig->random, 50);

    *ret_flags = unset ? VARVE_ARRAY_UNSET : 0;
    for (uint32_t i = 0; i < n; i++)
        if (!given || puts[i].values[c].presence != VARVE_SET)
            puts[i].values[c].presence = (uint8_t)(!given || unset ? VARVE_UNSET : VARVE_NULL);
    return given;
}

static void put_columns(struct model_rig *rig, struct model_table *table)
{
    const struct oracle_schema *schema = &table->oracle->schema;
    const uint32_t n = 1 + (uint32_t)random_below(&rig->random, 120), first = rig->puts.n;
    const bool one_partition = random_chance(&rig->random, 60);
    struct column_array columns[ORACLE_COLUMNS_MAX];
    varve_array arrays[ORACLE_COLUMNS_MAX];
    varve_error err = {0};
    uint32_t n_arrays = 0;

    for (uint32_t i = 0; i < n; i++, rig->puts.n++)
        draw_put(rig, table, next_put(rig));
    rig->puts.n = first;
    struct oracle_put *puts = &rig->puts.puts[first];
    for (uint32_t i = 1; i < n; i++) {
        puts[i].update = puts[0].update;
        puts[i].explicit_time = puts[0].explicit_time;
        puts[i].wt = puts[0].wt;
        if (one_partition)
            memcpy(puts[i].values, puts[0].values, schema->n_partition * sizeof puts[0].values[0]);
    }
    for (uint32_t c = one_partition ? schema->n_partition : 0; c < schema->n_columns; c++) {
        uint32_t flags = 0;
        if (c >= schema->first_value && !settle_column(rig, puts, n, c, &flags))
            continue;
        make_array(rig, schema, c, puts, n, &columns[n_arrays]);
        arrays[n_arrays] = columns[n_arrays].array;
        arrays[n_arrays++].flags = flags;
    }
    const varve_put flags = flags_of(&puts[0]);
    if (was_put(rig,
                varve_batch_put_columns(rig->batch, table->table,
                                        one_partition ? puts[0].values : NULL, arrays, n_arrays, n,
                                        &flags, &err),
                &err))
        rig->puts.n += n;
    for (uint32_t i = 0; i < n_arrays; i++) {
        free(columns[i].values);
        free(columns[i].offsets);
        free(columns[i].scales);
        free(columns[i].validity);
    }
}

static void draw_origin(struct model_rig *rig)
{
    struct oracle_batch *batch = &rig->puts;
    struct random_rows *random = &rig->random;
    uint64_t last = 0;

    batch->origin = 0;
    if (!random_chance(random, 25))
        return;
    batch->origin = 1 + (uint32_t)random_below(random, ORACLE_ORIGINS_MAX);
    for (uint32_t i = 0; i < rig->oracle.n_origins; i++)
        if (rig->oracle.origins[i].id == batch->origin)
            last = rig->oracle.origins[i].last;
    batch->epoch = 5 + (uint32_t)random_below(random, 2) + (uint32_t)(rig->step / 20000);
    /* Mostly the next ones; sometimes a repeat, an overlap, a gap. */
    batch->first = last + 1;
    if (random_chance(random, 25))
        batch->first = last > 5 ? last - random_below(random, 5) : 0;
    batch->last = batch->first + random_below(random, 4);
    varve_error err = {0};
    model_expect(rig,
                 varve_batch_set_origin(rig->batch, batch->origin, batch->epoch, batch->first,
                                        batch->last, &err),
                 "setting an origin", &err);
}

/* A commit that ends at `lsn` is acknowledged. */
static void acknowledged(struct model_rig *rig, varve_policy policy, uint64_t lsn)
{
    const varve_policy chosen = policy == VARVE_POLICY_DEFAULT ? rig->policy : policy;

    if (chosen == VARVE_POLICY_DURABLE_EACH || chosen == VARVE_POLICY_DURABLE_GROUP)
        ordering_acked(rig->order, lsn);
}

static void judge(struct model_rig *rig, varve_policy policy, varve_status rc, uint64_t row,
                  const char *message)
{
    uint8_t *rows = NULL;
    const uint64_t seq = rig->oracle.seq;
    const varve_status want = oracle_commit(&rig->oracle, &rig->puts, &rows);
    const bool applied = rig->oracle.seq != seq;

    if (rc < 0 && rc != want && model_excuses(rig, rc))
        rig->failed = rig->excused = true; /* it may have been committed: the next open tells */
    else if (rc != want)
        model_fail(rig, "a commit is %s (%s), should be %s", varve_status_name(rc), message,
                   varve_status_name(want));
    else if (rc == VARVE_EEXISTS && rows != NULL && (row >= rig->puts.n || rows[row] == 0))
        model_fail(rig, "row %" PRIu64 " of %u is said to be there already (%s)", row, rig->puts.n,
                   message);
    free(rows);
    rig->refused += rc < 0;
    rig->repeated += rc == VARVE_OK && rig->puts.n > 0 && !applied;
    if (rig->trouble != NULL && applied)
        model_trouble_committed(rig, policy, rc);
    for (uint32_t i = 0; i < rig->puts.n && applied; i++)
        for (int t = 0; t < MODEL_TABLES; t++)
            if (rig->tables[t].oracle == rig->puts.puts[i].table && rig->tables[t].mirror != NULL)
                sqlite_mirror_put(rig->tables[t].mirror, &rig->puts.puts[i]);
}

static void commit_started(struct model_rig *rig, varve_policy policy)
{
    varve_completion done;
    varve_error err = {0};

    varve_status rc = varve_commit_start(rig->store, rig->batch, policy, rig->step, &err);
    if (rc < 0) {
        if (rc == VARVE_EEXISTS)
            judge(rig, policy, rc, err.row, err.message);
        else if (rc != VARVE_EAGAIN) /* nothing happened */
            model_expect(rig, rc, "starting a commit", &err);
        return;
    }
    for (uint32_t turns = 0; varve_commit_reap(rig->store, &done, 1) == 0; turns++)
        if (rig->sim == NULL)
            (void)usleep(20);
        else if (turns < REAP_TURNS)
            (void)varve_work(rig->store, 50, NULL);
        else
            abort(); /* with the batch in the store's hands there is no going on */
    if (done.tag != rig->step || done.batch != rig->batch)
        model_fail(rig, "another commit comes back");
    if (done.status == VARVE_OK)
        acknowledged(rig, policy, done.lsn);
    judge(rig, policy, done.status, done.row, "reaped");
}

void model_write(struct model_rig *rig, varve_policy policy, unsigned columns)
{
    const uint64_t puts = 1 + random_below(&rig->random, random_chance(&rig->random, 30) ? 40 : 6);
    varve_error err = {0};

    varve_batch_clear(rig->batch);
    rig->puts.n = 0;
    for (uint64_t i = 0; i < puts && rig->puts.n < BATCH_MAX && !rig->failed; i++) {
        struct model_table *table = &rig->tables[random_below(&rig->random, MODEL_TABLES)];
        if (table->oracle == NULL)
            continue;
        if (table->oracle->schema.duplicates == VARVE_DUPLICATES_ERROR &&
            random_chance(&rig->random, 80))
            continue; /* else most batches would be refused */
        if (random_chance(&rig->random, columns))
            put_columns(rig, table);
        else
            put_row(rig, table);
    }
    if (rig->failed)
        return;
    if (varve_batch_rows(rig->batch) != rig->puts.n)
        model_fail(rig, "a batch has %" PRIu64 " rows in place of %u", varve_batch_rows(rig->batch),
                   rig->puts.n);
    draw_origin(rig);
    if (rig->trouble != NULL && rig->puts.n > 0 && !model_trouble_mark(rig))
        return;
    rig->batches++;
    rig->rows += rig->puts.n;
    rig->ops += rig->puts.n;
    if (rig->puts.n > 0 && random_chance(&rig->random, 20)) {
        commit_started(rig, policy);
        return;
    }
    uint64_t lsn = 0;
    const varve_status rc = varve_commit(rig->store, rig->batch, policy, &lsn, &err);
    if (rc == VARVE_OK)
        acknowledged(rig, policy, lsn);
    judge(rig, policy, rc, err.row, err.message);
}

/* --------------------------------------------------------------------------------------- Steps */

void model_change_snapshots(struct model_rig *rig)
{
    struct model_snapshot *held = &rig->snapshots[random_below(&rig->random, MODEL_SNAPSHOTS)];
    varve_error err = {0};

    if (held->snapshot != NULL) {
        release_snapshot(rig, held);
        return;
    }
    model_expect(rig, varve_snapshot_take(rig->store, &held->snapshot, &err), "taking a snapshot",
                 &err);
    if (rig->failed)
        return;
    held->seq = rig->oracle.seq;
    if (held->seq < rig->oracle.oldest_snapshot)
        rig->oracle.oldest_snapshot = held->seq;
}

struct problems {
    struct model_rig *rig;
    varve_status excused; /* the last that was; OK: none */
};

static void check_problem(void *ctx, const varve_error *problem)
{
    struct problems *problems = ctx;

    if (model_excuses(problems->rig, problem->status))
        problems->excused = problem->status;
    else
        model_fail(problems->rig, "verify: %s %s", problem->file, problem->message);
}

/* What the disk does not give back is a problem like damage, and excused where it was asked for. */
void model_verify(struct model_rig *rig)
{
    struct problems problems = {.rig = rig, .excused = VARVE_OK};
    varve_error err = {0};
    varve_status rc = varve_verify(rig->store, check_problem, &problems, NULL, NULL, &err);

    if (rc == VARVE_ECORRUPT && problems.excused < 0)
        rc = problems.excused;
    model_expect(rig, rc, "verify", &err);
}

void model_work(struct model_rig *rig, uint64_t budget_us)
{
    varve_error err = {0};

    model_expect(rig, varve_work(rig->store, budget_us, &err), "work", &err);
}

void model_flush(struct model_rig *rig)
{
    varve_error err = {0};

    model_expect(rig, varve_flush(rig->store, &err), "a flush", &err);
}

static void maintain(struct model_rig *rig)
{
    const uint64_t kind = random_below(&rig->random, 100);

    if (kind < 60)
        model_work(rig, random_below(&rig->random, 400));
    else if (kind < 68)
        model_flush(rig);
    else if (kind < 72)
        model_reopen(rig, random_chance(&rig->random, 40));
    else if (kind < 84)
        model_change_snapshots(rig);
    else if (kind < 96)
        change_tables(rig);
    else if (kind < 97)
        model_verify(rig);
    else if (rig->tables[kind % MODEL_TABLES].oracle != NULL)
        model_full_scan(rig, &rig->tables[kind % MODEL_TABLES]);
}

void model_rig_step(struct model_rig *rig)
{
    const uint64_t kind = random_below(&rig->random, 100);

    rig->step++;
    rig->ops++;
    if (rig->step <= MODEL_TABLES)
        model_create_table(rig, &rig->tables[rig->step - 1]);
    else if (kind < 60)
        model_write(rig, (varve_policy)random_below(&rig->random, 5), 15);
    else if (kind < 73)
        model_scan(rig);
    else if (kind < 75)
        model_partitions(rig);
    else if (kind < 76)
        model_split(rig);
    else if (kind < 86)
        model_aggregate(rig);
    else
        maintain(rig);
}
