/*
 * oracle.c - the model's tables: orders of values, what a commit does, what a row is.
 */
#include "tests/model/oracle_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *oracle_grown(void *memory, size_t bytes)
{
    void *more = realloc(memory, bytes);

    if (more == NULL && bytes > 0) {
        (void)fprintf(stderr, "oracle: no memory\n");
        abort();
    }
    return more;
}

/* ----------------------------------------------------------------------------- Orders of values */

int oracle_sign(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_doubles(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
    if (a != b)
        return a < b ? -1 : 1;
    return (signbit(b) != 0) - (signbit(a) != 0); /* -0.0 before 0.0 */
}

static int compare_bytes(const void *a, size_t n_a, const void *b, size_t n_b)
{
    const size_t n = n_a < n_b ? n_a : n_b;
    const int rc = n > 0 ? memcmp(a, b, n) : 0;

    return rc != 0 ? rc : (n_a > n_b) - (n_a < n_b);
}

/* m1 x 10^-s1 against m2 x 10^-s2. */
static int compare_decimals(int64_t m1, int s1, int64_t m2, int s2)
{
    oracle_i128 x = m1, y = m2;

    if (m1 == 0 || m2 == 0 || (m1 < 0) != (m2 < 0))
        return oracle_sign(m1, m2);
    const int apart = s1 > s2 ? s1 - s2 : s2 - s1;
    if (apart >= 20) { /* the one with fewer places is larger whatever its digits */
        const int larger = s1 < s2 ? 1 : -1;
        return m1 > 0 ? larger : -larger;
    }
    for (int i = 0; i < apart; i++)
        s1 > s2 ? (y *= 10) : (x *= 10);
    return (x > y) - (x < y);
}

/* Version, then for version 1 the time from its high bits down, then the bytes as they stand. */
static int compare_uuids(const uint8_t a[16], const uint8_t b[16])
{
    static const uint8_t by_time[8] = {6, 7, 4, 5, 0, 1, 2, 3};

    if (a[6] >> 4 != b[6] >> 4)
        return (a[6] >> 4) - (b[6] >> 4);
    for (int i = 0; i < 8 && a[6] >> 4 == 1; i++)
        if (a[by_time[i]] != b[by_time[i]])
            return a[by_time[i]] - b[by_time[i]];
    return memcmp(a, b, 16);
}

int oracle_compare(const struct oracle_column *column, const varve_value *a, const varve_value *b)
{
    switch (column->type) {
    case VARVE_FLOAT:
        return compare_doubles((double)a->as.f32, (double)b->as.f32);
    case VARVE_DOUBLE:
        return compare_doubles(a->as.f64, b->as.f64);
    case VARVE_TEXT:
    case VARVE_BLOB:
        return compare_bytes(a->as.bytes.data, a->as.bytes.size, b->as.bytes.data,
                             b->as.bytes.size);
    case VARVE_UUID:
        return compare_uuids(a->as.uuid, b->as.uuid);
    case VARVE_DECIMAL:
        if (column->precision == 0)
            return compare_decimals(a->as.i64, a->scale, b->as.i64, b->scale);
        return oracle_sign(a->as.i64, b->as.i64);
    default:
        return oracle_sign(a->as.i64, b->as.i64);
    }
}

bool oracle_same(const struct oracle_column *column, const varve_value *want,
                 const varve_value *got, bool key)
{
    if (want->presence != VARVE_SET || got->presence != VARVE_SET)
        return want->presence == got->presence;
    if (got->type != column->type)
        return false;
    if (key)
        return oracle_compare(column, want, got) == 0;
    switch (column->type) {
    case VARVE_FLOAT:
        return memcmp(&want->as.f32, &got->as.f32, sizeof want->as.f32) == 0;
    case VARVE_DOUBLE:
        return memcmp(&want->as.f64, &got->as.f64, sizeof want->as.f64) == 0;
    case VARVE_DECIMAL:
        return want->as.i64 == got->as.i64 &&
               got->scale == (column->precision == 0 ? want->scale : column->scale);
    default:
        return oracle_compare(column, want, got) == 0;
    }
}

/* Cassandra's serialised bytes of a value, for ties of write time. Returns how many. */
static size_t serialise(const struct oracle_column *column, const varve_value *value, uint8_t *out)
{
    static const uint8_t widths[] = {
        [VARVE_BOOLEAN] = 1,   [VARVE_TINYINT] = 1, [VARVE_SMALLINT] = 2, [VARVE_INT] = 4,
        [VARVE_BIGINT] = 8,    [VARVE_FLOAT] = 4,   [VARVE_DOUBLE] = 8,   [VARVE_DECIMAL] = 8,
        [VARVE_TIMESTAMP] = 8, [VARVE_DATE] = 4,    [VARVE_TIME] = 8};
    uint64_t bits = (uint64_t)value->as.i64;
    size_t n = widths[column->type], at = 0;

    if (column->type == VARVE_FLOAT) {
        uint32_t bits32;
        memcpy(&bits32, &value->as.f32, sizeof bits32);
        bits = bits32;
    } else if (column->type == VARVE_DATE) {
        bits ^= 0x80000000u; /* days since 1970 count from 2^31 */
    } else if (column->type == VARVE_DECIMAL && column->precision == 0) {
        for (; at < 4; at++)
            out[at] = (uint8_t)((uint32_t)(int32_t)value->scale >> 8 * (3 - at));
        while (n > 1 && value->as.i64 >> (8 * n - 9) == (value->as.i64 < 0 ? -1 : 0))
            n--;
    }
    for (size_t i = 0; i < n; i++)
        out[at + i] = (uint8_t)(bits >> 8 * (n - 1 - i));
    return at + n;
}

static int compare_serialised(const struct oracle_column *column, const varve_value *a,
                              const varve_value *b)
{
    uint8_t x[16], y[16];

    if (column->type == VARVE_TEXT || column->type == VARVE_BLOB)
        return oracle_compare(column, a, b);
    if (column->type == VARVE_UUID)
        return memcmp(a->as.uuid, b->as.uuid, 16);
    const size_t n_x = serialise(column, a, x), n_y = serialise(column, b, y);
    return compare_bytes(x, n_x, y, n_y);
}

/* -------------------------------------------------------------------------------------- Tables */

void oracle_init(struct oracle *oracle, int64_t base_wt)
{
    *oracle = (struct oracle){.base_wt = base_wt, .oldest_snapshot = UINT64_MAX};
}

struct oracle_table *oracle_table_new(const struct oracle_schema *schema)
{
    struct oracle_table *table = oracle_grown(NULL, sizeof *table);

    *table = (struct oracle_table){.schema = *schema};
    return table;
}

static void row_free(struct oracle_row *row)
{
    for (struct oracle_version *v = row->newest; v != NULL;) {
        struct oracle_version *older = v->older;
        free(v);
        v = older;
    }
    free(row);
}

void oracle_table_free(struct oracle_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->n_rows; i++)
        row_free(table->rows[i]);
    free(table->rows);
    free(table);
}

int oracle_compare_partitions(const struct oracle_schema *schema, const varve_value *a,
                              const varve_value *b)
{
    int rc = 0;

    for (uint32_t i = 0; i < schema->n_partition && rc == 0; i++)
        rc = oracle_compare(&schema->columns[i], &a[i], &b[i]);
    return rc;
}

static int compare_keys(const struct oracle_schema *schema, const varve_value *a,
                        const varve_value *b)
{
    int rc = oracle_compare_partitions(schema, a, b);

    if (rc == 0)
        rc = oracle_sign(a[schema->n_partition].as.i64, b[schema->n_partition].as.i64);
    for (uint32_t i = schema->n_partition + 1; i < schema->first_value && rc == 0; i++) {
        /* The direction of a column is relative to that of the time. */
        const bool turned = schema->columns[i].descending != schema->time_descending;
        rc = oracle_compare(&schema->columns[i], &a[i], &b[i]);
        rc = turned ? -rc : rc;
    }
    return rc;
}

/* The first row that is not before `key`; in a 'keep' table with `past`, the first that is after. */
static size_t find(const struct oracle_table *table, const varve_value *key, bool past)
{
    size_t low = 0, high = table->n_rows;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int rc = compare_keys(&table->schema, table->rows[middle]->key, key);
        if (rc < 0 || (past && rc == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct oracle_row *row_of(const struct oracle_table *table, const varve_value *key)
{
    const size_t at = find(table, key, false);
    const bool found =
        at < table->n_rows && compare_keys(&table->schema, table->rows[at]->key, key) == 0;

    return found ? table->rows[at] : NULL;
}

static struct oracle_row *row_insert(struct oracle *oracle, struct oracle_table *table,
                                     const varve_value *key)
{
    const size_t at = find(table, key, true);
    struct oracle_row *row =
        oracle_grown(NULL, sizeof *row + table->schema.first_value * sizeof(varve_value));

    if (table->n_rows == table->capacity) {
        table->capacity = table->capacity * 2 + 64;
        table->rows = oracle_grown(table->rows, table->capacity * sizeof(struct oracle_row *));
    }
    memmove(table->rows + at + 1, table->rows + at,
            (table->n_rows - at) * sizeof(struct oracle_row *));
    table->rows[at] = row;
    table->n_rows++;
    row->newest = NULL;
    row->order = oracle->order++;
    memcpy(row->key, key, table->schema.first_value * sizeof(varve_value));
    return row;
}

void oracle_table_rewind(struct oracle_table *table, uint64_t seq)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->n_rows; i++) {
        struct oracle_row *row = table->rows[i];
        while (row->newest != NULL && row->newest->seq > seq) {
            struct oracle_version *gone = row->newest;
            row->newest = gone->older;
            free(gone);
        }
        if (row->newest != NULL)
            table->rows[kept++] = row;
        else
            free(row);
    }
    table->n_rows = kept;
}

/* ------------------------------------------------------------------------------- Reconciliation */

/* The higher write time wins; then a deletion; then the larger bytes. */
static bool beats(const struct oracle_column *column, const struct oracle_cell *a,
                  const struct oracle_cell *b)
{
    if (a->state == ORACLE_ABSENT || b->state == ORACLE_ABSENT)
        return a->state != ORACLE_ABSENT && b->state == ORACLE_ABSENT;
    if (a->wt != b->wt)
        return a->wt > b->wt;
    if (a->state != b->state)
        return a->state == ORACLE_DELETED;
    return a->state == ORACLE_LIVE && column != NULL &&
           compare_serialised(column, &a->value, &b->value) > 0;
}

static void merge(const struct oracle_schema *schema, struct oracle_cell *into,
                  const struct oracle_cell *from)
{
    for (uint32_t i = 0; i <= schema->n_columns - schema->first_value; i++)
        if (beats(i > 0 ? &schema->columns[schema->first_value + i - 1] : NULL, &from[i], &into[i]))
            into[i] = from[i];
}

/* The row as it was after commit `seq`; false: there was none. */
bool oracle_row_at(const struct oracle_schema *schema, const struct oracle_row *row, uint64_t seq,
                   struct oracle_cell *cells)
{
    bool exists = false;

    memset(cells, 0, (ORACLE_COLUMNS_MAX + 1) * sizeof *cells);
    for (const struct oracle_version *v = row->newest; v != NULL; v = v->older)
        if (v->seq <= seq)
            merge(schema, cells, v->cells);
    for (uint32_t i = 0; i <= schema->n_columns - schema->first_value; i++)
        exists |= cells[i].state == ORACLE_LIVE;
    return exists;
}

/* Versions that no snapshot can tell apart become one. */
static void forget(const struct oracle *oracle, const struct oracle_schema *schema,
                   struct oracle_row *row, uint64_t seq)
{
    struct oracle_version *newest = row->newest;
    const uint64_t limit =
        oracle->oldest_snapshot < oracle->seq ? oracle->oldest_snapshot : oracle->seq;

    if (newest == NULL || newest->seq == seq)
        newest = NULL; /* the batch that is being applied may still change it */
    for (struct oracle_version *v = newest; v != NULL && v->older != NULL;) {
        struct oracle_version *older = v->older;
        if (v->seq > limit) {
            v = older;
            continue;
        }
        merge(schema, v->cells, older->cells);
        v->explicit_time = true; /* it is no single commit's any more */
        v->older = older->older;
        free(older);
    }
}

/* ------------------------------------------------------------------------------------- Commits */

static void lay_over(struct oracle_cell *cell, const varve_value *value, int64_t wt)
{
    if (value->presence == VARVE_UNSET)
        return;
    cell->state = value->presence == VARVE_SET ? ORACLE_LIVE : ORACLE_DELETED;
    cell->wt = wt;
    cell->value = *value;
}

static void apply_put(struct oracle *oracle, const struct oracle_put *put)
{
    struct oracle_table *table = put->table;
    const struct oracle_schema *schema = &table->schema;
    const uint64_t seq = oracle->seq + 1;
    const int64_t wt = put->explicit_time ? put->wt : oracle->base_wt + (int64_t)seq;
    struct oracle_row *row =
        schema->duplicates == VARVE_DUPLICATES_KEEP ? NULL : row_of(table, put->values);

    if (row != NULL && schema->duplicates != VARVE_DUPLICATES_UPSERT)
        return; /* the first row of a key stays */
    if (row == NULL)
        row = row_insert(oracle, table, put->values);
    forget(oracle, schema, row, seq);
    struct oracle_version *v = row->newest;
    while (v != NULL && (v->seq != seq || v->explicit_time))
        v = v->older;
    if (v == NULL || put->explicit_time) { /* else a later row of the batch goes over it */
        const size_t cells = schema->n_columns - schema->first_value + 1;
        v = oracle_grown(NULL, sizeof *v + cells * sizeof v->cells[0]);
        memset(v->cells, 0, cells * sizeof v->cells[0]);
        v->seq = seq;
        v->explicit_time = put->explicit_time;
        v->older = row->newest;
        row->newest = v;
    }
    if (!put->update)
        lay_over(&v->cells[0], &(varve_value){.presence = VARVE_SET}, wt);
    for (uint32_t i = schema->first_value; i < schema->n_columns; i++)
        lay_over(&v->cells[1 + i - schema->first_value], &put->values[i], wt);
}

static struct oracle_origin *origin_of(struct oracle *oracle, uint32_t id)
{
    for (uint32_t i = 0; i < oracle->n_origins; i++)
        if (oracle->origins[i].id == id)
            return &oracle->origins[i];
    return NULL;
}

/* OK: go on; END: a repeat; else a refusal. */
static varve_status judge_origin(struct oracle *oracle, const struct oracle_batch *batch)
{
    const struct oracle_origin *known = origin_of(oracle, batch->origin);

    if (batch->origin == 0 || known == NULL)
        return VARVE_OK;
    if (batch->last <= known->last)
        return VARVE_END;
    if (batch->epoch < known->epoch)
        return VARVE_ESTALE;
    for (uint32_t i = 0; i < batch->n && batch->first <= known->last; i++)
        if (batch->puts[i].table->schema.duplicates != VARVE_DUPLICATES_UPSERT)
            return VARVE_EEXISTS;
    return VARVE_OK;
}

static bool repeats_in_batch(const struct oracle_batch *batch, uint32_t row)
{
    const struct oracle_put *put = &batch->puts[row];

    for (uint32_t i = 0; i < row; i++)
        if (batch->puts[i].table == put->table &&
            compare_keys(&put->table->schema, batch->puts[i].values, put->values) == 0)
            return true;
    return false;
}

/* The rows of 'error' tables whose keys are in the batch before (`in_batch`) or in the table. */
static varve_status judge_keys(const struct oracle_batch *batch, bool in_batch, uint8_t **ret_rows)
{
    uint8_t *rows = NULL;

    for (uint32_t i = 0; i < batch->n; i++) {
        const struct oracle_put *put = &batch->puts[i];
        if (put->table->schema.duplicates != VARVE_DUPLICATES_ERROR)
            continue;
        if (in_batch ? !repeats_in_batch(batch, i) : row_of(put->table, put->values) == NULL)
            continue;
        if (rows == NULL) {
            rows = oracle_grown(NULL, batch->n);
            memset(rows, 0, batch->n);
        }
        rows[i] = 1;
    }
    *ret_rows = rows;
    return rows != NULL ? VARVE_EEXISTS : VARVE_OK;
}

varve_status oracle_commit(struct oracle *oracle, const struct oracle_batch *batch,
                           uint8_t **ret_rows)
{
    *ret_rows = NULL;
    if (batch->n == 0)
        return VARVE_OK;
    varve_status rc = judge_keys(batch, true, ret_rows);
    if (rc == VARVE_OK)
        rc = judge_origin(oracle, batch);
    if (rc == VARVE_END)
        return VARVE_OK;
    if (rc == VARVE_OK)
        rc = judge_keys(batch, false, ret_rows);
    if (rc != VARVE_OK)
        return rc;
    for (uint32_t i = 0; i < batch->n; i++)
        apply_put(oracle, &batch->puts[i]);
    oracle->seq++;
    if (batch->origin != 0) {
        struct oracle_origin *known = origin_of(oracle, batch->origin);
        if (known == NULL)
            known = &oracle->origins[oracle->n_origins++];
        *known = (struct oracle_origin){batch->origin, batch->epoch, batch->last};
    }
    return VARVE_OK;
}
