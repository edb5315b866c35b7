/*
 * model_ranges.c - random questions about partitions: their list, and the ranges that a table is
 * split into.
 *
 * A list is made from directories alone, so it may name partitions whose rows are all deleted or
 * expired, and its counts and times are bounds: what must be there is there, in order, once; a count
 * is at least that of the rows, and in a 'keep' table, but for snapshots, just that; times hold all
 * rows and are times that rows have had.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/model_rig.h"

#define LIST_MAX 6
#define RANGES_MAX 9u

struct asked {
    varve_scan scan;
    varve_value partitions[LIST_MAX * ORACLE_COLUMNS_MAX];
    varve_value key_from[ORACLE_COLUMNS_MAX], key_to[ORACLE_COLUMNS_MAX];
};

static void ask_partitions(struct model_rig *rig, const struct model_table *table, struct asked *a)
{
    struct random_rows *random = &rig->random;
    const struct oracle_schema *schema = &table->oracle->schema;
    const uint64_t kind = random_below(random, 3);

    if (kind == 0) {
        a->scan.partitions = a->partitions;
        a->scan.n_partitions = 1 + random_below(random, LIST_MAX);
        for (uint64_t i = 0; i < a->scan.n_partitions; i++)
            random_partition(random, schema, a->partitions + i * schema->n_partition);
    } else if (kind == 1) {
        random_partition(random, schema, a->key_from);
        random_partition(random, schema, a->key_to);
        a->scan.key_from = random_chance(random, 70) ? a->key_from : NULL;
        a->scan.key_to = random_chance(random, 70) ? a->key_to : NULL;
    }
    if (random_chance(random, 30))
        a->scan.flags |= VARVE_SCAN_REVERSE;
    if (random_chance(random, 30))
        a->scan.limit = 1 + random_below(random, 8);
    if (random_chance(random, 20)) { /* a time range does not count */
        a->scan.flags |= VARVE_SCAN_FROM;
        a->scan.from = random_time(random, schema, table->near);
    }
}

static bool is_partition(const struct oracle_schema *schema, const struct oracle_partition *want,
                         const varve_batch_view *view, uint32_t r)
{
    for (uint32_t c = 0; c < schema->n_partition; c++) {
        const varve_value got = varve_view_value(view, r, c);
        if (!oracle_same(&schema->columns[c], &want->key[c], &got, true))
            return false;
    }
    return true;
}

static bool bounds_hold(const struct oracle_schema *schema, const struct oracle_partition *want,
                        const varve_batch_view *view, uint32_t r, bool exact)
{
    const int64_t rows = varve_view_value(view, r, schema->n_partition).as.i64;
    const int64_t first = varve_view_value(view, r, schema->n_partition + 1).as.i64;
    const int64_t last = varve_view_value(view, r, schema->n_partition + 2).as.i64;

    if (exact && schema->duplicates == VARVE_DUPLICATES_KEEP && rows != want->rows)
        return false;
    if (rows < want->rows || rows <= 0 || first < want->first_ever || last > want->last_ever)
        return false;
    return want->rows == 0 || (first <= want->first && last >= want->last);
}

/* The list, against all that the model knows; returns how many it names. */
static uint64_t compare_list(struct model_rig *rig, const struct oracle_schema *schema,
                             varve_cursor *cursor, const struct oracle_partition *want, uint64_t n,
                             bool exact, uint64_t *ret_at)
{
    const varve_batch_view *view = NULL;
    varve_error err = {0};
    varve_status rc = VARVE_OK;
    uint64_t at = 0, named = 0;

    while (!rig->failed && (rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK) {
        for (uint32_t r = 0; r < view->rows && !rig->failed; r++, at++, named++) {
            while (at < n && want[at].rows == 0 && !is_partition(schema, &want[at], view, r))
                at++;
            if (at == n || !is_partition(schema, &want[at], view, r))
                model_fail(rig, "table %s: partition %" PRIu64 " of the list is not the next one",
                           schema->name, named);
            else if (!bounds_hold(schema, &want[at], view, r, exact))
                model_fail(rig,
                           "table %s: partition %" PRIu64 " of the list has %" PRId64
                           " rows from %" PRId64 " to %" PRId64 " in place of %" PRId64
                           " from %" PRId64 " to %" PRId64 " (ever %" PRId64 " to %" PRId64 ")",
                           schema->name, named,
                           varve_view_value(view, r, schema->n_partition).as.i64,
                           varve_view_value(view, r, schema->n_partition + 1).as.i64,
                           varve_view_value(view, r, schema->n_partition + 2).as.i64, want[at].rows,
                           want[at].first, want[at].last, want[at].first_ever, want[at].last_ever);
        }
    }
    model_expect(rig, rc, "a list of partitions", &err);
    *ret_at = at;
    return named;
}

void model_partitions(struct model_rig *rig)
{
    struct model_table *table = &rig->tables[random_below(&rig->random, MODEL_TABLES)];
    const struct model_snapshot *held =
        &rig->snapshots[random_below(&rig->random, MODEL_SNAPSHOTS)];
    struct asked a = {0};
    struct oracle_partition *want = NULL;
    varve_cursor *cursor = NULL;
    varve_error err = {0};
    uint64_t seq = rig->oracle.seq, at = 0;

    if (table->oracle == NULL)
        return;
    varve_scan_init(&a.scan, sizeof a.scan);
    ask_partitions(rig, table, &a);
    if (held->snapshot != NULL && random_chance(&rig->random, 30)) {
        a.scan.snapshot = held->snapshot;
        seq = held->seq;
    }
    const uint64_t n = oracle_partitions(table->oracle, seq, &a.scan, &want);
    model_expect(rig, varve_partitions_open(rig->store, table->table, &a.scan, &cursor, &err),
                 "opening a list of partitions", &err);
    if (cursor != NULL) {
        const uint64_t named = compare_list(rig, &table->oracle->schema, cursor, want, n,
                                            a.scan.snapshot == NULL, &at);
        if (a.scan.limit > 0 && named > a.scan.limit)
            model_fail(rig, "%" PRIu64 " partitions are named in place of %" PRIu64, named,
                       a.scan.limit);
        for (; !rig->failed && (a.scan.limit == 0 || named < a.scan.limit) && at < n; at++)
            if (want[at].rows > 0)
                model_fail(rig, "table %s: a partition with %" PRId64 " rows is not in the list",
                           table->oracle->schema.name, want[at].rows);
        rig->compared += named;
    }
    varve_cursor_close(cursor);
    free(want);
    rig->scans++;
}

/* Rows that the store has in [from, to) of the key order; NULL: no bound. */
static int64_t rows_between(struct model_rig *rig, const struct model_table *table,
                            const varve_value *from, const varve_value *to)
{
    const varve_aggregate count = {.function = VARVE_COUNT_ROWS};
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_error err = {0};
    varve_scan scan;
    int64_t rows = -1;

    varve_scan_init(&scan, sizeof scan);
    scan.key_from = from;
    scan.key_to = to;
    scan.aggregates = &count;
    scan.n_aggregates = 1;
    varve_status rc = varve_aggregate_open(rig->store, table->table, &scan, &cursor, &err);
    if (rc == VARVE_OK)
        rc = varve_cursor_next(cursor, &view, &err);
    model_expect(rig, rc, "a count of a range", &err);
    if (rc == VARVE_OK)
        rows = varve_view_value(view, 0, 0).as.i64;
    varve_cursor_close(cursor);
    return rows;
}

static bool is_known(const struct oracle_schema *schema, const struct oracle_partition *all,
                     uint64_t n, const varve_value *key)
{
    for (uint64_t i = 0; i < n; i++) {
        bool same = true;
        for (uint32_t c = 0; c < schema->n_partition; c++)
            same = same && oracle_same(&schema->columns[c], &all[i].key[c], &key[c], true);
        if (same)
            return true;
    }
    return false;
}

void model_split(struct model_rig *rig)
{
    struct model_table *table = &rig->tables[random_below(&rig->random, MODEL_TABLES)];
    const uint32_t asked = 1 + (uint32_t)random_below(&rig->random, RANGES_MAX);
    struct oracle_partition *all = NULL;
    varve_value *keys = NULL;
    varve_error err = {0};
    varve_scan whole;
    uint32_t n = 0;
    int64_t rows = 0;

    if (table->oracle == NULL)
        return;
    const struct oracle_schema *schema = &table->oracle->schema;
    const varve_status rc = varve_table_split(rig->store, table->table, asked, &keys, &n, &err);
    model_expect(rig, rc, "a split", &err);
    if (rc < 0)
        return;
    varve_scan_init(&whole, sizeof whole);
    const uint64_t n_all = oracle_partitions(table->oracle, rig->oracle.seq, &whole, &all);
    if (n >= asked)
        model_fail(rig, "%u separators for %u ranges", n, asked);
    for (uint32_t i = 0; i < n && !rig->failed; i++) {
        const varve_value *key = keys + (size_t)i * schema->n_partition;
        if (!is_known(schema, all, n_all, key))
            model_fail(rig, "table %s: separator %u is no partition's key", schema->name, i);
        if (i > 0 && oracle_compare_partitions(schema, key - schema->n_partition, key) >= 0)
            model_fail(rig, "table %s: separator %u is not above the one before", schema->name, i);
    }
    for (uint32_t i = 0; i <= n && !rig->failed; i++)
        rows +=
            rows_between(rig, table, i > 0 ? keys + (size_t)(i - 1) * schema->n_partition : NULL,
                         i < n ? keys + (size_t)i * schema->n_partition : NULL);
    if (!rig->failed && (uint64_t)rows != oracle_rows(table->oracle, rig->oracle.seq))
        model_fail(rig, "table %s: %" PRId64 " rows in %u ranges", schema->name, rows, n + 1);
    varve_keys_free(rig->store, keys);
    free(all);
    rig->aggregates++;
}
