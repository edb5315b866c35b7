/*
 * model_questions.c - random scans and aggregations, and the comparison of their answers.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/text_line.h"
#include "tests/model/model_rig.h"

#define QUESTION_TEXT_MAX 512u

#define LIST_MAX 6

/* A question with what it borrows. */
struct question {
    varve_scan scan;
    uint32_t columns[ORACLE_COLUMNS_MAX];
    varve_value partitions[LIST_MAX * ORACLE_COLUMNS_MAX];
    varve_value key_from[ORACLE_COLUMNS_MAX], key_to[ORACLE_COLUMNS_MAX];
    varve_predicate predicates[3];
    varve_aggregate aggregates[ORACLE_AGGREGATES_MAX];
};

static void ask_where(struct model_rig *rig, struct model_table *table, struct question *q)
{
    struct random_rows *random = &rig->random;
    const struct oracle_schema *schema = &table->oracle->schema;
    const uint64_t kind = random_below(random, 5);

    if (kind == 0) {
        q->scan.partitions = q->partitions;
        q->scan.n_partitions = 1 + random_below(random, LIST_MAX);
        for (uint64_t i = 0; i < q->scan.n_partitions; i++)
            random_partition(random, schema, q->partitions + i * schema->n_partition);
    } else if (kind == 1) {
        random_partition(random, schema, q->key_from);
        random_partition(random, schema, q->key_to);
        q->scan.key_from = random_chance(random, 70) ? q->key_from : NULL;
        q->scan.key_to = random_chance(random, 70) ? q->key_to : NULL;
    }
    if (random_chance(random, 40)) {
        q->scan.flags |= VARVE_SCAN_FROM;
        q->scan.from = random_time(random, schema, table->near);
    }
    if (random_chance(random, 40)) {
        q->scan.flags |= VARVE_SCAN_TO;
        q->scan.to = random_time(random, schema, table->near);
    }
    const uint64_t n = random_chance(random, 60) ? 0 : 1 + random_below(random, 3);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t c = (uint32_t)random_below(random, schema->n_columns);
        q->predicates[i].column = c;
        q->predicates[i].op = 1 + (uint32_t)random_below(random, 6);
        q->predicates[i].value = random_value(random, schema, c, c < schema->first_value);
        if (c == schema->n_partition)
            q->predicates[i].value.as.i64 = random_time(random, schema, table->near);
    }
    q->scan.predicates = q->predicates;
    q->scan.n_predicates = (uint32_t)n;
    if (random_chance(random, 30))
        q->scan.flags |= VARVE_SCAN_REVERSE;
    if (random_chance(random, 30))
        q->scan.flags |= VARVE_SCAN_DECLARED_ORDER;
    if (random_chance(random, 25))
        q->scan.limit = 1 + random_below(random, 40);
}

static const char *describe(const struct question *q, char *out)
{
    const varve_scan *s = &q->scan;

    out[0] = '\0';
    text_append(out, QUESTION_TEXT_MAX,
                "flags %x, columns %u, partitions %" PRIu64 "%s%s, from %" PRId64 ", to %" PRId64
                ", predicates %u (column %u op %u), limit %" PRIu64 "/%" PRIu64 ", every %" PRId64
                ", aggregates %u%s",
                s->flags, s->n_columns, s->n_partitions, s->key_from ? ", from a key" : "",
                s->key_to ? ", to a key" : "", s->from, s->to, s->n_predicates,
                q->predicates[0].column, q->predicates[0].op, s->limit, s->limit_per_partition,
                s->every, s->n_aggregates, s->snapshot ? ", in a snapshot" : "");
    return out;
}

static const char *show(const varve_value *value, char *out)
{
    size_t n = 0;

    if (value->presence == VARVE_SET)
        n = varve_value_format(value, VARVE_FORMAT_RAW_TIME, out, 80);
    out[n < 80 ? n : 80] = 0;
    return value->presence == VARVE_SET ? out : "null";
}

/* Which table column a result's column is judged as, and whether only up to the order of keys. */
struct judged_column {
    struct oracle_column column;
    bool key;
};

static bool compare_rows(struct model_rig *rig, struct model_table *table,
                         const varve_batch_view *view, uint64_t first,
                         const struct judged_column *columns, const struct question *q)
{
    char question[QUESTION_TEXT_MAX], want_text[96], got_text[96];

    for (uint32_t r = 0; r < view->rows; r++) {
        if (first + r >= rig->want.n_rows) {
            model_fail(rig, "table %s: more than %" PRIu64 " rows (%s)", table->oracle->schema.name,
                       rig->want.n_rows, describe(q, question));
            return false;
        }
        for (uint32_t c = 0; c < rig->want.n_columns; c++) {
            const varve_value *want = &rig->want.values[(first + r) * rig->want.n_columns + c];
            const varve_value got = varve_view_value(view, r, c);
            if (oracle_same(&columns[c].column, want, &got, columns[c].key))
                continue;
            model_fail(rig, "table %s: row %" PRIu64 ", column %u (%s) is %s, should be %s (%s)",
                       table->oracle->schema.name, first + r, c, columns[c].column.name,
                       show(&got, got_text), show(want, want_text), describe(q, question));
            return false;
        }
    }
    return true;
}

static void compare(struct model_rig *rig, struct model_table *table, varve_cursor *cursor,
                    const struct judged_column *columns, const struct question *q)
{
    const varve_batch_view *view = NULL;
    varve_error err = {0};
    varve_status rc;
    uint64_t rows = 0;
    char question[QUESTION_TEXT_MAX];

    while ((rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK) {
        if (view->n_columns != rig->want.n_columns || view->rows == 0 || view->rows > 1024) {
            model_fail(rig, "a view of %u rows and %u columns in place of %u", view->rows,
                       view->n_columns, rig->want.n_columns);
            break;
        }
        if (!compare_rows(rig, table, view, rows, columns, q))
            break;
        rows += view->rows;
    }
    rig->compared += rows;
    model_expect(rig, rc, "a cursor", &err);
    if (!rig->failed && rows != rig->want.n_rows)
        model_fail(rig, "table %s: %" PRIu64 " rows in place of %" PRIu64 " (%s)",
                   table->oracle->schema.name, rows, rig->want.n_rows, describe(q, question));
    varve_cursor_close(cursor);
}

/* A table to ask, and the state to ask it in. */
static struct model_table *pick(struct model_rig *rig, struct question *q, uint64_t *ret_seq)
{
    struct model_table *table = &rig->tables[random_below(&rig->random, MODEL_TABLES)];
    const struct model_snapshot *held =
        &rig->snapshots[random_below(&rig->random, MODEL_SNAPSHOTS)];

    varve_scan_init(&q->scan, sizeof q->scan);
    *ret_seq = rig->oracle.seq;
    if (held->snapshot != NULL && random_chance(&rig->random, 30)) {
        q->scan.snapshot = held->snapshot;
        *ret_seq = held->seq;
    }
    return table->oracle != NULL ? table : NULL;
}

static void run_scan(struct model_rig *rig, struct model_table *table, struct question *q,
                     uint64_t seq)
{
    const struct oracle_schema *schema = &table->oracle->schema;
    struct judged_column columns[ORACLE_COLUMNS_MAX];
    varve_cursor *cursor = NULL;
    varve_error err = {0};

    oracle_scan(table->oracle, seq, &q->scan, &rig->want);
    for (uint32_t i = 0; i < rig->want.n_columns; i++) {
        const uint32_t c = q->scan.n_columns > 0 ? q->scan.columns[i] : i;
        columns[i].column = schema->columns[c];
        columns[i].key = c < schema->first_value;
    }
    rig->scans++;
    model_expect(rig, varve_scan_open(rig->store, table->table, &q->scan, &cursor, &err),
                 "opening a scan", &err);
    if (cursor != NULL)
        compare(rig, table, cursor, columns, q);
}

void model_scan(struct model_rig *rig)
{
    struct question q = {0};
    uint64_t seq;
    struct model_table *table = pick(rig, &q, &seq);

    if (table == NULL)
        return;
    ask_where(rig, table, &q);
    if (random_chance(&rig->random, 50)) {
        q.scan.n_columns = 1 + (uint32_t)random_below(&rig->random, ORACLE_COLUMNS_MAX - 1);
        for (uint32_t i = 0; i < q.scan.n_columns; i++)
            q.columns[i] = (uint32_t)random_below(&rig->random, table->oracle->schema.n_columns);
        q.scan.columns = q.columns;
    }
    if (random_chance(&rig->random, 20))
        q.scan.limit_per_partition = 1 + random_below(&rig->random, 12);
    run_scan(rig, table, &q, seq);
}

void model_full_scan(struct model_rig *rig, struct model_table *table)
{
    struct question q = {0};
    const uint32_t n = table->oracle->schema.n_columns;

    varve_scan_init(&q.scan, sizeof q.scan);
    run_scan(rig, table, &q, rig->oracle.seq);
    q.scan.flags = VARVE_SCAN_REVERSE;
    if (!rig->failed)
        run_scan(rig, table, &q, rig->oracle.seq);
    if (rig->failed || table->mirror == NULL)
        return;
    q.scan.flags = VARVE_SCAN_FROM | VARVE_SCAN_TO;
    q.scan.from = random_time(&rig->random, &table->oracle->schema, table->near / 2);
    q.scan.to = random_chance(&rig->random, 50)
                    ? INT64_MAX
                    : random_time(&rig->random, &table->oracle->schema, table->near);
    run_scan(rig, table, &q, rig->oracle.seq); /* the store against the model ... */
    bool same = sqlite_mirror_begin(table->mirror, q.scan.from, q.scan.to);
    for (uint64_t i = 0; i < rig->want.n_rows && same; i++) /* ... the model against SQLite */
        same = sqlite_mirror_next_is(table->mirror, rig->want.values + i * n);
    if (!same || !sqlite_mirror_end(table->mirror))
        model_fail(rig, "table %s: SQLite has other rows", table->oracle->schema.name);
    rig->mirrored += rig->want.n_rows;
}

/* ---------------------------------------------------------------------------------- Aggregates */

static bool can_sum(const struct oracle_column *column)
{
    return (column->type >= VARVE_TINYINT && column->type <= VARVE_DOUBLE) ||
           (column->type == VARVE_DECIMAL && column->precision > 0);
}

static bool same_sum(const struct oracle_column *column, uint32_t function, const varve_value *want,
                     const varve_value *got)
{
    if (want->presence != VARVE_SET || got->presence != VARVE_SET)
        return want->presence == got->presence;
    if (want->type != got->type)
        return false;
    if (want->type == VARVE_HUGEINT)
        return want->as.i128.low == got->as.i128.low && want->as.i128.high == got->as.i128.high &&
               (column->type != VARVE_DECIMAL || got->scale == column->scale);
    (void)function;
    return (isnan(want->as.f64) && isnan(got->as.f64)) ||
           memcmp(&want->as.f64, &got->as.f64, sizeof want->as.f64) == 0;
}

static bool same_answer(const struct oracle_schema *schema, const varve_aggregate *asked,
                        const varve_value *want, const varve_value *got)
{
    const struct oracle_column *column = &schema->columns[asked->column];

    switch (asked->function) {
    case VARVE_COUNT_ROWS:
    case VARVE_COUNT:
        return got->presence == VARVE_SET && got->type == VARVE_BIGINT &&
               want->as.i64 == got->as.i64;
    case VARVE_SUM:
    case VARVE_AVG:
        return same_sum(column, asked->function, want, got);
    case VARVE_MIN:
    case VARVE_MAX: /* of equal ones any: NaNs, spellings of a decimal */
        return oracle_same(column, want, got, true);
    default:
        return oracle_same(column, want, got, asked->column < schema->first_value);
    }
}

static bool compare_groups(struct model_rig *rig, struct model_table *table,
                           const varve_batch_view *view, uint64_t first, uint32_t n_head,
                           const struct question *q)
{
    const struct oracle_schema *schema = &table->oracle->schema;
    char question[QUESTION_TEXT_MAX], want_text[96], got_text[96];

    for (uint32_t r = 0; r < view->rows; r++)
        for (uint32_t c = 0; c < rig->want.n_columns && first + r < rig->want.n_rows; c++) {
            const varve_value *want = &rig->want.values[(first + r) * rig->want.n_columns + c];
            const varve_value got = varve_view_value(view, r, c);
            const bool bucket = c + 1 == n_head && q->scan.every > 0;
            const uint32_t of = c < n_head ? bucket ? schema->n_partition : c : 0;
            if (c < n_head ? oracle_same(&schema->columns[of], want, &got, true)
                           : same_answer(schema, &q->aggregates[c - n_head], want, &got))
                continue;
            model_fail(rig,
                       "table %s: group %" PRIu64 ", column %u (function %u of column %u) is %s, "
                       "should be %s (%s)",
                       schema->name, first + r, c,
                       c < n_head ? 0 : q->aggregates[c - n_head].function,
                       c < n_head ? of : q->aggregates[c - n_head].column, show(&got, got_text),
                       show(want, want_text), describe(q, question));
            return false;
        }
    return true;
}

static void ask_aggregates(struct model_rig *rig, struct model_table *table, struct question *q)
{
    struct random_rows *random = &rig->random;
    const struct oracle_schema *schema = &table->oracle->schema;

    q->scan.n_aggregates = 1 + (uint32_t)random_below(random, ORACLE_AGGREGATES_MAX);
    for (uint32_t i = 0; i < q->scan.n_aggregates; i++) {
        varve_aggregate *a = &q->aggregates[i];
        a->column = (uint32_t)random_below(random, schema->n_columns);
        do
            a->function = 1 + (uint32_t)random_below(random, 8);
        while ((a->function == VARVE_SUM || a->function == VARVE_AVG) &&
               !can_sum(&schema->columns[a->column]));
    }
    q->scan.aggregates = q->aggregates;
    if (random_chance(random, 40))
        q->scan.flags |= VARVE_SCAN_BY_PARTITION;
    if (random_chance(random, 20))
        q->scan.flags |= VARVE_SCAN_NO_ZONE_MAPS;
    if (random_chance(random, 50)) {
        const int64_t a = random_time(random, schema, 200), b = random_time(random, schema, 10);
        q->scan.every = 1 + (a > b ? a - b : b - a) / (1 + (int64_t)random_below(random, 60));
        q->scan.origin = (int64_t)random_below(random, 1000) - 500;
    }
}

void model_aggregate(struct model_rig *rig)
{
    struct question q = {0};
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_error err = {0};
    varve_status rc;
    uint64_t seq, rows = 0;
    char question[QUESTION_TEXT_MAX];
    struct model_table *table = pick(rig, &q, &seq);

    if (table == NULL)
        return;
    ask_where(rig, table, &q);
    ask_aggregates(rig, table, &q);
    oracle_aggregate(table->oracle, seq, &q.scan, &rig->want);
    rig->aggregates++;
    model_expect(rig, varve_aggregate_open(rig->store, table->table, &q.scan, &cursor, &err),
                 "opening an aggregation", &err);
    if (cursor == NULL)
        return;
    while ((rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK) {
        if (!compare_groups(rig, table, view, rows, rig->want.n_columns - q.scan.n_aggregates, &q))
            break;
        rows += view->rows;
    }
    varve_cursor_close(cursor);
    rig->compared += rows;
    model_expect(rig, rc, "an aggregation", &err);
    if (!rig->failed && rows != rig->want.n_rows)
        model_fail(rig, "table %s: %" PRIu64 " groups in place of %" PRIu64 " (%s)",
                   table->oracle->schema.name, rows, rig->want.n_rows, describe(&q, question));
}
