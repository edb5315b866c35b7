/*
 * oracle_answers.c - the model's answers to scans and aggregations: every row is looked at.
 */
#include "tests/model/oracle_int.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- Scans */

static bool holds(const struct oracle_schema *schema, const varve_predicate *p,
                  const varve_value *value)
{
    const struct oracle_column *column = &schema->columns[p->column];
    int order;

    if (value->presence != VARVE_SET)
        return false;
    if (column->type == VARVE_DOUBLE && value->as.f64 == 0 && p->value.as.f64 == 0)
        order = 0;
    else if (column->type == VARVE_FLOAT && value->as.f32 == 0 && p->value.as.f32 == 0)
        order = 0;
    else
        order = oracle_compare(column, value, &p->value);
    switch (p->op) {
    case VARVE_EQ:
        return order == 0;
    case VARVE_NE:
        return order != 0;
    case VARVE_LT:
        return order < 0;
    case VARVE_LE:
        return order <= 0;
    case VARVE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool is_asked(const struct oracle_schema *schema, const varve_scan *scan,
                     const varve_value *key)
{
    const int64_t time = key[schema->n_partition].as.i64;
    bool listed = scan->n_partitions == 0;

    if ((scan->flags & VARVE_SCAN_FROM) != 0 && time < scan->from)
        return false;
    if ((scan->flags & VARVE_SCAN_TO) != 0 && time >= scan->to)
        return false;
    if (scan->key_from != NULL && oracle_compare_partitions(schema, key, scan->key_from) < 0)
        return false;
    if (scan->key_to != NULL && oracle_compare_partitions(schema, key, scan->key_to) >= 0)
        return false;
    for (uint64_t i = 0; i < scan->n_partitions && !listed; i++)
        listed =
            oracle_compare_partitions(schema, key, scan->partitions + i * schema->n_partition) == 0;
    return listed;
}

/* All columns of a row that the scan asks for; false if it does not. */
static bool read_row(const struct oracle_table *table, const struct oracle_row *row, uint64_t seq,
                     const varve_scan *scan, varve_value *values)
{
    const struct oracle_schema *schema = &table->schema;
    struct oracle_cell cells[ORACLE_COLUMNS_MAX + 1];

    if (!is_asked(schema, scan, row->key) || !oracle_row_at(schema, row, seq, cells))
        return false;
    memcpy(values, row->key, schema->first_value * sizeof *values);
    for (uint32_t i = schema->first_value; i < schema->n_columns; i++) {
        const struct oracle_cell *cell = &cells[1 + i - schema->first_value];
        values[i] = cell->value;
        values[i].presence = cell->state == ORACLE_LIVE ? VARVE_SET : VARVE_NULL;
    }
    for (uint32_t i = 0; i < scan->n_predicates; i++)
        if (!holds(schema, &scan->predicates[i], &values[scan->predicates[i].column]))
            return false;
    return true;
}

static varve_value *result_row(struct oracle_result *result)
{
    if (result->n_rows == result->capacity) {
        result->capacity = result->capacity * 2 + 64;
        result->values = oracle_grown(result->values, result->capacity * ORACLE_COLUMNS_MAX *
                                                          sizeof *result->values);
    }
    return result->values + result->n_rows++ * result->n_columns;
}

static bool is_reverse(const varve_scan *scan)
{
    return (scan->flags & VARVE_SCAN_REVERSE) != 0;
}

/* The table's rows as a scan comes upon them. Rows lie by partition, then oldest first. */
static struct oracle_row **rows_in_order(const struct oracle_table *table, const varve_scan *scan)
{
    const struct oracle_schema *schema = &table->schema;
    const size_t n = table->n_rows;
    struct oracle_row **rows = oracle_grown(NULL, (n + 1) * sizeof *rows);
    const bool newest_first =
        (scan->flags & VARVE_SCAN_DECLARED_ORDER) != 0 && schema->time_descending;
    size_t at = 0;

    while (at < n) { /* a partition at a time */
        size_t end = at + 1;
        while (end < n &&
               oracle_compare_partitions(schema, table->rows[at]->key, table->rows[end]->key) == 0)
            end++;
        for (size_t i = at; i < end; i++) {
            const size_t place = newest_first ? at + (end - 1 - i) : i;
            rows[is_reverse(scan) ? n - 1 - place : place] = table->rows[i];
        }
        at = end;
    }
    return rows;
}

void oracle_scan(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                 struct oracle_result *result)
{
    const struct oracle_schema *schema = &table->schema;
    struct oracle_row **rows = rows_in_order(table, scan);
    varve_value values[ORACLE_COLUMNS_MAX];
    const varve_value *last = NULL;
    uint64_t in_partition = 0;

    result->n_rows = 0;
    result->n_columns = scan->n_columns > 0 ? scan->n_columns : schema->n_columns;
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct oracle_row *row = rows[i];
        if (scan->limit > 0 && result->n_rows == scan->limit)
            break;
        if (!read_row(table, row, seq, scan, values))
            continue;
        if (last == NULL || oracle_compare_partitions(schema, last, row->key) != 0)
            in_partition = 0;
        last = row->key;
        if (scan->limit_per_partition > 0 && in_partition++ >= scan->limit_per_partition)
            continue;
        varve_value *out = result_row(result);
        for (uint32_t c = 0; c < result->n_columns; c++)
            out[c] = values[scan->n_columns > 0 ? scan->columns[c] : c];
    }
    free(rows);
}

uint64_t oracle_rows(const struct oracle_table *table, uint64_t seq)
{
    struct oracle_cell cells[ORACLE_COLUMNS_MAX + 1];
    uint64_t n = 0;

    for (size_t i = 0; i < table->n_rows; i++)
        n += oracle_row_at(&table->schema, table->rows[i], seq, cells);
    return n;
}

static void partition_add(struct oracle_partition *p, int64_t time, bool live)
{
    if (time < p->first_ever)
        p->first_ever = time;
    if (time > p->last_ever)
        p->last_ever = time;
    if (!live)
        return;
    if (p->rows == 0 || time < p->first)
        p->first = time;
    if (p->rows == 0 || time > p->last)
        p->last = time;
    p->rows++;
}

uint64_t oracle_partitions(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                           struct oracle_partition **ret_partitions)
{
    const struct oracle_schema *schema = &table->schema;
    const bool reverse = is_reverse(scan);
    struct oracle_partition *all = oracle_grown(NULL, (table->n_rows + 1) * sizeof *all);
    struct oracle_cell cells[ORACLE_COLUMNS_MAX + 1];
    varve_scan by_key = *scan;
    uint64_t n = 0;

    by_key.flags &= ~(uint32_t)(VARVE_SCAN_FROM | VARVE_SCAN_TO);
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct oracle_row *row = table->rows[reverse ? table->n_rows - 1 - i : i];
        if (!is_asked(schema, &by_key, row->key))
            continue;
        const int64_t time = row->key[schema->n_partition].as.i64;
        if (n == 0 || oracle_compare_partitions(schema, all[n - 1].key, row->key) != 0)
            all[n++] =
                (struct oracle_partition){.key = row->key, .first_ever = time, .last_ever = time};
        partition_add(&all[n - 1], time, oracle_row_at(schema, row, seq, cells));
    }
    *ret_partitions = all;
    return n;
}

/* ---------------------------------------------------------------------------------- Aggregates */

struct group {
    varve_value head[ORACLE_COLUMNS_MAX]; /* partition, bucket */
    uint64_t rows;
    struct aggregate {
        uint64_t count;
        oracle_i128 sum;
        struct oracle_sum real;
        varve_value min, max, first, last;
        int64_t first_time, last_time;
    } of[ORACLE_AGGREGATES_MAX];
};

static void aggregate_add(struct aggregate *a, const struct oracle_column *column,
                          const varve_value *value, int64_t time)
{
    if (value->presence != VARVE_SET)
        return;
    if (column->type == VARVE_DOUBLE || column->type == VARVE_FLOAT)
        oracle_sum_add(&a->real,
                       column->type == VARVE_FLOAT ? (double)value->as.f32 : value->as.f64);
    else if (column->type != VARVE_TEXT && column->type != VARVE_BLOB && column->type != VARVE_UUID)
        a->sum += value->as.i64;
    if (a->count == 0 || oracle_compare(column, value, &a->min) < 0)
        a->min = *value;
    if (a->count == 0 || oracle_compare(column, value, &a->max) > 0)
        a->max = *value;
    if (a->count == 0 || time < a->first_time) { /* rows come in order of key */
        a->first = *value;
        a->first_time = time;
    }
    if (a->count == 0 || time >= a->last_time) {
        a->last = *value;
        a->last_time = time;
    }
    a->count++;
}

static varve_value answer(const struct group *g, const varve_aggregate *asked, uint32_t i,
                          const struct oracle_column *column)
{
    const struct aggregate *a = &g->of[i];
    varve_value v = {.presence = VARVE_SET, .type = VARVE_BIGINT, .scale = column->scale};
    const bool real = column->type == VARVE_DOUBLE || column->type == VARVE_FLOAT;

    if (asked->function == VARVE_COUNT_ROWS || asked->function == VARVE_COUNT) {
        v.as.i64 = (int64_t)(asked->function == VARVE_COUNT ? a->count : g->rows);
        return v;
    }
    if (a->count == 0)
        return (varve_value){.presence = VARVE_NULL};
    switch (asked->function) {
    case VARVE_SUM:
        v.type = real ? VARVE_DOUBLE : VARVE_HUGEINT;
        if (real) {
            v.as.f64 = oracle_sum_round(&a->real);
        } else {
            v.as.i128.low = (uint64_t)a->sum;
            v.as.i128.high = (int64_t)(a->sum >> 64);
        }
        return v;
    case VARVE_AVG:
        v.type = VARVE_DOUBLE;
        v.as.f64 = real ? oracle_sum_round(&a->real) / (double)a->count
                        : oracle_ratio(a->sum, a->count,
                                       column->type == VARVE_DECIMAL ? column->scale : 0);
        return v;
    case VARVE_MIN:
        return a->min;
    case VARVE_MAX:
        return a->max;
    case VARVE_FIRST:
        return a->first;
    default:
        return a->last;
    }
}

/* Where a bucket begins that holds the time, as far as its type goes. */
static int64_t bucket_of(const struct oracle_column *column, int64_t time, const varve_scan *scan)
{
    const int64_t least = column->type == VARVE_TIME                                ? 0
                          : column->type == VARVE_TINYINT                           ? INT8_MIN
                          : column->type == VARVE_SMALLINT                          ? INT16_MIN
                          : column->type == VARVE_INT || column->type == VARVE_DATE ? INT32_MIN
                                                                                    : INT64_MIN;
    oracle_i128 from = (oracle_i128)time - scan->origin;
    oracle_i128 below = from % scan->every;

    below += below < 0 ? scan->every : 0;
    return time - below < least ? least : (int64_t)(time - below);
}

struct groups {
    struct group *items;
    size_t n, capacity;
};

/* The group with this head, made where it belongs in the order. */
static struct group *group_of(struct groups *groups, const struct oracle_schema *schema,
                              const varve_value *head, uint32_t n_key, bool bucketed)
{
    size_t at = groups->n;

    while (at > 0) {
        const varve_value *other = groups->items[at - 1].head;
        int rc = n_key > 0 ? oracle_compare_partitions(schema, other, head) : 0;
        if (rc == 0 && bucketed)
            rc = oracle_sign(other[n_key].as.i64, head[n_key].as.i64);
        if (rc == 0)
            return &groups->items[at - 1];
        if (rc < 0)
            break;
        at--;
    }
    if (groups->n == groups->capacity) {
        groups->capacity = groups->capacity * 2 + 8;
        groups->items = oracle_grown(groups->items, groups->capacity * sizeof *groups->items);
    }
    memmove(groups->items + at + 1, groups->items + at, (groups->n - at) * sizeof *groups->items);
    groups->n++;
    memset(&groups->items[at], 0, sizeof groups->items[at]);
    memcpy(groups->items[at].head, head, (n_key + bucketed) * sizeof *head);
    return &groups->items[at];
}

void oracle_aggregate(const struct oracle_table *table, uint64_t seq, const varve_scan *scan,
                      struct oracle_result *result)
{
    const struct oracle_schema *schema = &table->schema;
    const bool grouped = (scan->flags & VARVE_SCAN_BY_PARTITION) != 0;
    const bool bucketed = scan->every > 0;
    const uint32_t n_key = grouped ? schema->n_partition : 0;
    struct groups groups = {0};
    varve_value values[ORACLE_COLUMNS_MAX], head[ORACLE_COLUMNS_MAX] = {0};

    if (!grouped && !bucketed)
        (void)group_of(&groups, schema, head, 0, false);
    for (size_t i = 0; i < table->n_rows; i++) {
        if (!read_row(table, table->rows[i], seq, scan, values))
            continue;
        const int64_t time = values[schema->n_partition].as.i64;
        memcpy(head, values, n_key * sizeof *head);
        head[n_key] = values[schema->n_partition];
        if (bucketed)
            head[n_key].as.i64 = bucket_of(&schema->columns[schema->n_partition], time, scan);
        struct group *g = group_of(&groups, schema, head, n_key, bucketed);
        g->rows++;
        for (uint32_t a = 0; a < scan->n_aggregates; a++)
            aggregate_add(&g->of[a], &schema->columns[scan->aggregates[a].column],
                          &values[scan->aggregates[a].column], time);
    }
    result->n_rows = 0;
    result->n_columns = n_key + bucketed + scan->n_aggregates;
    for (size_t i = 0; i < groups.n && (scan->limit == 0 || i < scan->limit); i++) {
        const size_t at = is_reverse(scan) ? groups.n - 1 - i : i;
        varve_value *out = result_row(result);
        memcpy(out, groups.items[at].head, (n_key + bucketed) * sizeof *out);
        for (uint32_t a = 0; a < scan->n_aggregates; a++)
            out[n_key + bucketed + a] = answer(&groups.items[at], &scan->aggregates[a], a,
                                               &schema->columns[scan->aggregates[a].column]);
    }
    free(groups.items);
}

void oracle_result_free(struct oracle_result *result)
{
    free(result->values);
    *result = (struct oracle_result){0};
}
