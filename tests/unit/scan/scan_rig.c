/*
 * scan_rig.c - see scan_rig.h.
 */
#include "tests/unit/scan/scan_rig.h"

#include <math.h>

static const char table_every_type[] =
    "CREATE TABLE everything (k text, j int, ts timestamp, seq smallint, tag text, b boolean, "
    "t tinyint, i int, l bigint, f float, d double, m decimal(9, 2), n decimal, x text, y blob, "
    "day date, u uuid, PRIMARY KEY ((k, j), ts, seq, tag)) "
    "WITH CLUSTERING ORDER BY (ts DESC, seq ASC, tag DESC)";
static const char table_bars[] =
    "CREATE TABLE bars (k text, ts int, open double, close decimal(12, 2), n bigint, x text, "
    "PRIMARY KEY (k, ts))";
static const char table_dates[] = "CREATE TABLE days (k int, day date, a double, f float, "
                                  "c smallint, PRIMARY KEY (k, day))";
static const char table_keep[] = "CREATE TABLE events (k int, ts timestamp, v int, x blob, "
                                 "PRIMARY KEY (k, ts)) WITH duplicates = 'keep'";

const struct fake_shape rig_shapes[] = {
    {.create = table_every_type,
     .partitions = 4,
     .sources = 3,
     .rows = 25,
     .time_span = 40,
     .time_step = 10,
     .time_base = -150,
     .piece_rows = 8,
     .zones = true},
    {.create = table_bars,
     .partitions = 5,
     .sources = 3,
     .rows = 30,
     .time_span = 60,
     .time_step = 3,
     .time_base = -70,
     .piece_rows = 7,
     .plain = true,
     .zones = true},
    {.create = table_bars,
     .partitions = 3,
     .sources = 4,
     .rows = 40,
     .time_span = 200,
     .time_step = 1,
     .time_base = -400,
     .piece_rows = 10,
     .plain = true,
     .disjoint = true,
     .zones = true},
    {.create = table_dates,
     .partitions = 6,
     .sources = 2,
     .rows = 20,
     .time_span = 50,
     .time_step = 1,
     .time_base = 19000,
     .piece_rows = 6,
     .zones = true},
    {.create = table_keep,
     .partitions = 4,
     .sources = 3,
     .rows = 30,
     .time_span = 15,
     .time_step = 7,
     .piece_rows = 9,
     .plain = true,
     .zones = true},
    {.create = table_bars,
     .partitions = 40,
     .sources = 2,
     .rows = 1,
     .time_span = 10,
     .time_step = 1,
     .piece_rows = 4,
     .zones = true},
    {.create = table_bars,
     .partitions = 2,
     .sources = 2,
     .rows = 3000,
     .time_span = 9000,
     .time_step = 1,
     .piece_rows = 1024,
     .plain = true,
     .disjoint = true,
     .zones = true},
};
const uint32_t rig_n_shapes = sizeof rig_shapes / sizeof *rig_shapes;

/* ------------------------------------------------------------------------------------ Questions */

static bool one_in(struct varve_rng *rng, uint64_t n)
{
    return varve_rng_below(rng, n) == 0;
}

static int64_t draw_time(const struct fake_table *table, struct varve_rng *rng)
{
    const struct fake_shape *shape = &table->shape;
    const uint64_t span = (uint64_t)shape->time_span * (shape->disjoint ? shape->sources : 1);

    if (one_in(rng, 30))
        return one_in(rng, 2) ? INT64_MIN : INT64_MAX;
    return shape->time_base + ((int64_t)varve_rng_below(rng, span + 4) - 2) * shape->time_step;
}

static void ask_partitions(struct rig_question *q, const struct fake_table *table,
                           struct varve_rng *rng)
{
    const uint32_t n = table->shape.partitions;
    const uint32_t width = table->schema->n_partition;

    q->from_partition = q->to_partition = UINT32_MAX;
    if (one_in(rng, 3)) {
        q->scan.n_partitions = 1 + varve_rng_below(rng, 6);
        for (uint64_t i = 0; i < q->scan.n_partitions; i++) {
            const uint32_t p = (uint32_t)varve_rng_below(rng, n);
            q->listed[p] = true;
            memcpy(q->list + i * width, table->key_values[p], width * sizeof *q->list);
        }
        q->scan.partitions = q->list;
        return;
    }
    for (uint32_t p = 0; p < n; p++)
        q->listed[p] = true;
    if (one_in(rng, 3)) {
        q->from_partition = (uint32_t)varve_rng_below(rng, n);
        q->scan.key_from = table->key_values[q->from_partition];
    }
    if (one_in(rng, 3)) {
        q->to_partition = (uint32_t)varve_rng_below(rng, n);
        q->scan.key_to = table->key_values[q->to_partition];
    }
}

/* A value that occurs in the column, so that predicates part rows. */
static bool draw_operand(const struct fake_table *table, struct varve_rng *rng, uint32_t column,
                         varve_value *ret_value)
{
    const struct varve_schema *schema = table->schema;
    const varve_column_info *info = &schema->columns[column];

    *ret_value = (varve_value){.type = info->type, .unit = info->unit};
    if (column < schema->n_partition) {
        *ret_value = table->key_values[varve_rng_below(rng, table->shape.partitions)][column];
        return true;
    }
    if (column == schema->time_column) {
        ret_value->as.i64 = draw_time(table, rng);
        return true;
    }
    for (int tries = 0; tries < 20 && table->n_versions > 0; tries++) {
        const struct fake_row *row = &table->versions[varve_rng_below(rng, table->n_versions)];
        if (column < schema->first_value || row->stamps[column].state == VARVE_LIVE) {
            *ret_value = row->values[column];
            if (info->type == VARVE_DECIMAL && info->precision > 0 && one_in(rng, 4)) {
                ret_value->as.i64 *= 10; /* the same value, spelled otherwise */
                ret_value->scale++;
            }
            return true;
        }
    }
    return false;
}

static void ask_predicates(struct rig_question *q, const struct fake_table *table,
                           struct varve_rng *rng)
{
    const uint64_t n = one_in(rng, 2) ? 0 : varve_rng_below(rng, RIG_TERMS_MAX + 1);

    for (uint64_t i = 0; i < n; i++) {
        varve_predicate *p = &q->predicates[q->scan.n_predicates];
        p->column = (uint32_t)varve_rng_below(rng, table->schema->n_columns);
        p->op = (uint32_t)(VARVE_EQ + varve_rng_below(rng, 6));
        if (p->op == VARVE_EQ && one_in(rng, 2))
            p->op = VARVE_GE;
        if (draw_operand(table, rng, p->column, &p->value))
            q->scan.n_predicates++;
    }
    q->scan.predicates = q->predicates;
}

static bool has_sum(uint8_t type)
{
    return (type >= VARVE_TINYINT && type <= VARVE_BIGINT) || type == VARVE_FLOAT ||
           type == VARVE_DOUBLE || type == VARVE_DECIMAL;
}

static void ask_aggregates(struct rig_question *q, const struct fake_table *table,
                           struct varve_rng *rng)
{
    q->scan.n_aggregates = 1 + (uint32_t)varve_rng_below(rng, RIG_AGGREGATES_MAX);
    for (uint32_t i = 0; i < q->scan.n_aggregates; i++) {
        varve_aggregate *a = &q->aggregates[i];
        do {
            a->function = (uint32_t)(VARVE_COUNT_ROWS + varve_rng_below(rng, 8));
            a->column = (uint32_t)varve_rng_below(rng, table->schema->n_columns);
        } while ((a->function == VARVE_SUM || a->function == VARVE_AVG) &&
                 !has_sum(table->schema->columns[a->column].type));
    }
    q->scan.aggregates = q->aggregates;
    if (one_in(rng, 2))
        q->scan.flags |= VARVE_SCAN_BY_PARTITION;
    if (one_in(rng, 2))
        q->scan.flags |= VARVE_SCAN_NO_ZONE_MAPS;
    if (one_in(rng, 3)) {
        q->scan.every = 1 + (int64_t)varve_rng_below(rng, 100) * table->shape.time_step;
        q->scan.origin = draw_time(table, rng);
        if (one_in(rng, 10))
            q->scan.every = INT64_MAX;
    }
}

void rig_ask(struct rig_question *q, const struct fake_table *table, enum rig_kind kind,
             struct varve_rng *rng)
{
    memset(q, 0, sizeof *q);
    varve_scan_init(&q->scan, sizeof q->scan);
    q->floor = one_in(rng, 5) ? draw_time(table, rng) : INT64_MIN;
    q->now_s = (uint32_t)varve_rng_below(rng, 120);
    ask_partitions(q, table, rng);
    if (kind == RIG_PARTITIONS) {
        q->scan.limit = one_in(rng, 3) ? 1 + varve_rng_below(rng, 4) : 0;
        q->scan.flags = one_in(rng, 2) ? VARVE_SCAN_REVERSE : 0;
        q->scan.flags |= one_in(rng, 4) ? VARVE_SCAN_DECLARED_ORDER : 0; /* which says nothing */
        return;
    }
    ask_predicates(q, table, rng);
    if (one_in(rng, 2)) {
        q->scan.flags |= VARVE_SCAN_FROM;
        q->scan.from = draw_time(table, rng);
    }
    if (one_in(rng, 2)) {
        q->scan.flags |= VARVE_SCAN_TO;
        q->scan.to = draw_time(table, rng);
    }
    if (one_in(rng, 2))
        q->scan.flags |= VARVE_SCAN_REVERSE;
    if (one_in(rng, 4))
        q->scan.flags |= VARVE_SCAN_DECLARED_ORDER;
    if (kind == RIG_GROUPS)
        ask_aggregates(q, table, rng);
    if (one_in(rng, 3))
        q->scan.limit = 1 + varve_rng_below(rng, 30);
    if (one_in(rng, 3) && (kind == RIG_ROWS || (q->scan.flags & VARVE_SCAN_BY_PARTITION) != 0))
        q->scan.limit_per_partition = 1 + varve_rng_below(rng, 10);
    if (kind == RIG_ROWS && one_in(rng, 2)) {
        q->scan.n_columns = 1 + (uint32_t)varve_rng_below(rng, 6);
        for (uint32_t i = 0; i < q->scan.n_columns; i++)
            q->columns[i] = (uint32_t)varve_rng_below(rng, table->schema->n_columns);
        q->scan.columns = q->columns;
    }
}

varve_status rig_open(struct fake_table *table, struct varve_heap *heap,
                      const struct rig_question *q, enum rig_kind kind, varve_cursor **ret_cursor,
                      varve_error *err)
{
    struct varve_source *sources[FAKE_SOURCES_MAX];
    struct varve_scan_input input = {.schema = table->schema,
                                     .sources = sources,
                                     .n_sources = table->shape.sources,
                                     .now_s = q->now_s,
                                     .floor = q->floor};

    for (uint32_t i = 0; i < table->shape.sources; i++)
        sources[i] = fake_source_open(table, i);
    const varve_status rc =
        kind == RIG_ROWS     ? varve_scan_cursor(heap, &input, &q->scan, ret_cursor, err)
        : kind == RIG_GROUPS ? varve_aggregate_cursor(heap, &input, &q->scan, ret_cursor, err)
                             : varve_partitions_cursor(heap, &input, &q->scan, ret_cursor, err);
    for (uint32_t i = 0; rc < 0 && i < table->shape.sources; i++)
        sources[i]->ops->close(sources[i]);
    return rc;
}

/* ---------------------------------------------------------------------------------------- Model */

varve_value rig_cell(const struct fake_table *table, const struct rig_question *q,
                     const struct fake_row *row, uint32_t column)
{
    const struct varve_schema *schema = table->schema;
    const varve_column_info *info = &schema->columns[column];
    varve_value null = {.type = info->type, .unit = info->unit, .presence = VARVE_NULL};

    if (column < schema->n_partition)
        return table->key_values[row->partition][column];
    if (column == schema->time_column)
        return (varve_value){.type = info->type, .unit = info->unit, .as.i64 = row->time};
    if (column < schema->first_value || fake_cell_lives(&row->stamps[column], q->now_s))
        return row->values[column];
    null.scale = info->scale;
    return null;
}

static int order_of_reals(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

static bool satisfies(const varve_value *value, const varve_predicate *p)
{
    int order;

    if (value->presence == VARVE_NULL)
        return false;
    if (value->type == VARVE_DOUBLE)
        order = order_of_reals(value->as.f64, p->value.as.f64);
    else if (value->type == VARVE_FLOAT)
        order = order_of_reals((double)value->as.f32, (double)p->value.as.f32);
    else
        order = varve_cell_compare(value->type, value, &p->value);
    return p->op == VARVE_EQ   ? order == 0
           : p->op == VARVE_NE ? order != 0
           : p->op == VARVE_LT ? order < 0
           : p->op == VARVE_LE ? order <= 0
           : p->op == VARVE_GT ? order > 0
                               : order >= 0;
}

static bool is_meant(const struct fake_table *table, const struct rig_question *q,
                     const struct fake_row *row)
{
    const varve_scan *scan = &q->scan;

    if (!q->listed[row->partition] || row->time < q->floor)
        return false;
    if (q->from_partition != UINT32_MAX && row->partition < q->from_partition)
        return false;
    if (q->to_partition != UINT32_MAX && row->partition >= q->to_partition)
        return false;
    if ((scan->flags & VARVE_SCAN_FROM) != 0 && row->time < scan->from)
        return false;
    if ((scan->flags & VARVE_SCAN_TO) != 0 && row->time >= scan->to)
        return false;
    for (uint32_t i = 0; i < scan->n_predicates; i++) {
        const varve_value value = rig_cell(table, q, row, scan->predicates[i].column);
        if (!satisfies(&value, &scan->predicates[i]))
            return false;
    }
    return true;
}

struct fake_row *rig_rows(const struct fake_table *table, const struct rig_question *q,
                          size_t *ret_n)
{
    bool *exists;
    size_t n, out = 0;
    struct fake_row *rows = fake_model(table, q->now_s, &n, &exists);

    for (size_t i = 0; i < n; i++)
        if (exists[i] && is_meant(table, q, &rows[i]))
            rows[out++] = rows[i];
    free(exists);
    *ret_n = out;
    return rows;
}

bool rig_reverse(const struct rig_question *q)
{
    return (q->scan.flags & VARVE_SCAN_REVERSE) != 0;
}

/* --------------------------------------------------------------------------------------- Layout */

static uint32_t width_of(const varve_column_view *c)
{
    if (c->type == VARVE_HUGEINT)
        return 16;
    return varve_phys_width(varve_phys_of(c->type, c->bare ? 0 : 1));
}

static void check_padding(const void *data, size_t used)
{
    const uint8_t *bytes = data;

    must(((uintptr_t)data & 63) == 0);
    for (; used % 64 != 0; used++)
        must(bytes[used] == 0);
}

void rig_check_layout(const varve_batch_view *view)
{
    static const uint8_t zeros[16];

    must(view->rows >= 1 && view->rows <= VARVE_VECTOR_ROWS);
    for (uint32_t i = 0; i < view->n_columns; i++) {
        const varve_column_view *c = &view->columns[i];
        const bool text = c->type == VARVE_TEXT || c->type == VARVE_BLOB;
        uint32_t nulls = 0;
        must(c->name != NULL && c->values != NULL);
        must((c->validity == NULL) == (c->nulls == 0));
        must((c->offsets != NULL) == text && (c->scales != NULL) == (c->bare != 0));
        if (c->validity != NULL)
            check_padding(c->validity, (view->rows + 7) / 8);
        if (text)
            must(c->offsets[0] == 0 && ((uintptr_t)c->offsets & 63) == 0);
        check_padding(c->values, text                       ? c->offsets[view->rows]
                                 : c->type == VARVE_BOOLEAN ? (view->rows + 7) / 8
                                                            : (size_t)view->rows * width_of(c));
        for (uint32_t r = 0; c->validity != NULL && r < view->rows; r++) {
            const uint8_t *values = c->values;
            if ((c->validity[r / 8] >> (r % 8) & 1) != 0)
                continue;
            nulls++;
            if (text)
                must(c->offsets[r] == c->offsets[r + 1]);
            else if (c->type == VARVE_BOOLEAN)
                must((values[r / 8] >> (r % 8) & 1) == 0);
            else
                must(memcmp(values + (size_t)r * width_of(c), zeros, width_of(c)) == 0);
        }
        must(nulls == c->nulls);
    }
}
