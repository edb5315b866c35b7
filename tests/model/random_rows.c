/*
 * random_rows.c - see random_rows.h.
 */
#include "tests/model/random_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/text_line.h"

#define POOL_BYTES (1u << 17)

static const uint8_t value_types[] = {
    VARVE_BOOLEAN, VARVE_TINYINT, VARVE_SMALLINT, VARVE_INT,    VARVE_BIGINT, VARVE_FLOAT,
    VARVE_DOUBLE,  VARVE_DECIMAL, VARVE_DECIMAL,  VARVE_TEXT,   VARVE_BLOB,   VARVE_TIMESTAMP,
    VARVE_DATE,    VARVE_TIME,    VARVE_UUID,     VARVE_DOUBLE, VARVE_INT,    VARVE_TEXT};

static const char *type_name(uint8_t type)
{
    static const char *const names[] = {
        [VARVE_BOOLEAN] = "boolean",     [VARVE_TINYINT] = "tinyint",
        [VARVE_SMALLINT] = "smallint",   [VARVE_INT] = "int",
        [VARVE_BIGINT] = "bigint",       [VARVE_FLOAT] = "float",
        [VARVE_DOUBLE] = "double",       [VARVE_DECIMAL] = "decimal",
        [VARVE_TEXT] = "text",           [VARVE_BLOB] = "blob",
        [VARVE_TIMESTAMP] = "timestamp", [VARVE_DATE] = "date",
        [VARVE_TIME] = "time",           [VARVE_UUID] = "uuid"};
    return names[type];
}

uint64_t random_below(struct random_rows *random, uint64_t bound)
{
    return varve_rng_below(&random->rng, bound);
}

bool random_chance(struct random_rows *random, unsigned percent)
{
    return varve_rng_below(&random->rng, 100) < percent;
}

void random_rows_init(struct random_rows *random, uint64_t seed, int64_t wall_us)
{
    size_t at = 0;

    *random = (struct random_rows){.wt_past = INT64_C(1500000000000000),
                                   .wt_future = wall_us + INT64_C(2400000000)};
    varve_rng_seed(&random->rng, seed);
    random->pool = malloc(POOL_BYTES);
    if (random->pool == NULL)
        abort();
    for (size_t i = 0; i < RANDOM_TEXTS; i++) {
        const uint64_t kind = random_below(random, 40);
        const size_t most = kind == 0 ? 2500 : kind < 5 ? 120 : kind < 8 ? 0 : 14;
        size_t n = most == 0 ? 0 : (size_t)random_below(random, most + 1);
        const uint64_t letters = 2 + random_below(random, 24);
        n = n < POOL_BYTES - at ? n : 0;
        for (size_t k = 0; k < n; k++)
            random->pool[at + k] = (char)('a' + random_below(random, letters));
        if (n >= 2 && random_chance(random, 20))
            memcpy(random->pool + at, "\xc3\xa9", 2);
        if (n >= 4 && random_chance(random, 10))
            random->pool[at + n - 1] = 0; /* a zero byte is text too */
        random->texts[i].data = random->pool + at;
        random->texts[i].size = n;
        at += n;
    }
}

void random_rows_free(struct random_rows *random)
{
    free(random->pool);
    random->pool = NULL;
}

/* ------------------------------------------------------------------------------------- Schemas */

static void set_column(struct random_rows *random, struct oracle_schema *schema, const char *prefix,
                       uint8_t type, uint8_t unit)
{
    struct oracle_column *column = &schema->columns[schema->n_columns];

    *column = (struct oracle_column){.type = type};
    (void)snprintf(column->name, sizeof column->name, "%s%u", prefix, schema->n_columns);
    if (type == VARVE_TIMESTAMP)
        column->unit = unit;
    if (type == VARVE_DECIMAL && random_chance(random, 60)) {
        column->precision = (uint8_t)(1 + random_below(random, 18));
        column->scale = (int8_t)random_below(random, column->precision + 1u);
    }
    schema->n_columns++;
}

static void write_text(const struct oracle_schema *schema, uint8_t unit, char *out)
{
    static const char *const units[] = {"", "s", "ms", "us", "ns"};
    static const char *const rules[] = {"", "upsert", "keep", "first", "error"};
    const size_t size = RANDOM_SCHEMA_TEXT_MAX;
    bool stamps = false;

    out[0] = '\0';
    text_append(out, size, "CREATE TABLE %s (", schema->name);
    for (uint32_t i = 0; i < schema->n_columns; i++) {
        const struct oracle_column *c = &schema->columns[i];
        text_append(out, size, "%s %s", c->name, type_name(c->type));
        if (c->precision > 0)
            text_append(out, size, "(%d, %d)", c->precision, c->scale);
        text_append(out, size, ", ");
        stamps |= c->type == VARVE_TIMESTAMP;
    }
    text_append(out, size, "PRIMARY KEY ((");
    for (uint32_t i = 0; i < schema->first_value; i++)
        text_append(out, size, "%s%s", schema->columns[i].name,
                    i + 1 == schema->n_partition   ? "), "
                    : i + 1 == schema->first_value ? "))"
                                                   : ", ");
    text_append(out, size, " WITH CLUSTERING ORDER BY (");
    for (uint32_t i = schema->n_partition; i < schema->first_value; i++)
        text_append(out, size, "%s %s%s", schema->columns[i].name,
                    schema->columns[i].descending ? "DESC" : "ASC",
                    i + 1 == schema->first_value ? ")" : ", ");
    text_append(out, size, " AND duplicates = '%s'", rules[schema->duplicates]);
    if (stamps)
        text_append(out, size, " AND clustering_unit = '%s'", units[unit]);
}

void random_schema(struct random_rows *random, const char *name, struct oracle_schema *schema,
                   char *text)
{
    static const uint8_t times[] = {VARVE_TIMESTAMP, VARVE_TIMESTAMP, VARVE_TIMESTAMP,
                                    VARVE_BIGINT,    VARVE_INT,       VARVE_DATE,
                                    VARVE_TIME,      VARVE_SMALLINT};
    const uint8_t unit = (uint8_t)(1 + random_below(random, 4));
    const uint64_t n_types = sizeof value_types;

    *schema = (struct oracle_schema){0};
    (void)snprintf(schema->name, sizeof schema->name, "%s", name);
    schema->duplicates =
        (varve_duplicates)(random_chance(random, 50) ? VARVE_DUPLICATES_UPSERT
                                                     : 1 + random_below(random, 4));
    schema->n_partition = 1 + (uint32_t)random_below(random, 10) / 7;
    for (uint32_t i = 0; i < schema->n_partition; i++)
        set_column(random, schema, "p", value_types[random_below(random, n_types)], unit);
    set_column(random, schema, "t", times[random_below(random, sizeof times)], unit);
    const uint64_t further = random_chance(random, 50) ? 0 : 1 + random_below(random, 3);
    for (uint64_t i = 0; i < further; i++)
        set_column(random, schema, "c", value_types[random_below(random, n_types)], unit);
    schema->first_value = schema->n_columns;
    for (uint64_t i = random_below(random, 7) + 1; i > 0; i--)
        set_column(random, schema, "v", value_types[random_below(random, n_types)], unit);
    for (uint32_t i = schema->n_partition; i < schema->first_value; i++)
        schema->columns[i].descending = random_chance(random, 35);
    schema->time_descending = schema->columns[schema->n_partition].descending;
    write_text(schema, unit, text);
}

/* -------------------------------------------------------------------------------------- Values */

static int64_t limit_of(uint8_t type)
{
    switch (type) {
    case VARVE_TINYINT:
        return INT8_MAX;
    case VARVE_SMALLINT:
        return INT16_MAX;
    case VARVE_INT:
    case VARVE_DATE:
        return INT32_MAX;
    default:
        return INT64_MAX;
    }
}

static int64_t random_integer(struct random_rows *random, int64_t low, int64_t high, bool key)
{
    const uint64_t span = (uint64_t)high - (uint64_t)low;

    if (key)
        return low > 0 || high < 5 ? low + (int64_t)random_below(random, span < 5 ? span + 1 : 5)
                                   : (int64_t)random_below(random, low < 0 ? 3 : 5) - (low < 0);
    switch (random_below(random, 12)) {
    case 0:
        return low;
    case 1:
        return high;
    case 2:
        return (int64_t)((uint64_t)low + (span == UINT64_MAX ? varve_rng_next(&random->rng)
                                                             : random_below(random, span + 1)));
    default:
        if (high < 200)
            return low + (int64_t)random_below(random, span + 1);
        return (int64_t)random_below(random, 200) - (low < -100 ? 100 : 0);
    }
}

static double random_double(struct random_rows *random, bool key)
{
    static const double edges[] = {0.0,       -0.0,      1.0,      -1.0,      NAN,         INFINITY,
                                   -INFINITY, 0x1p-1074, 0x1p1023, 0x1p-1022, -0x1.8p1023, 1e300};
    uint64_t bits;
    double value;

    if (key)
        return edges[random_below(random, 7)];
    switch (random_below(random, 20)) {
    case 0:
        return edges[random_below(random, sizeof edges / sizeof edges[0])];
    case 1:
        bits = varve_rng_next(&random->rng);
        memcpy(&value, &bits, sizeof value);
        return value;
    default:
        return (double)((int64_t)random_below(random, 2000000) - 1000000) / 100;
    }
}

static varve_value random_decimal(struct random_rows *random, const struct oracle_column *column,
                                  bool key)
{
    varve_value value = {.type = VARVE_DECIMAL};
    int64_t end = 1;

    if (column->precision == 0) {
        value.as.i64 = random_integer(random, INT64_MIN, INT64_MAX, key);
        value.scale = (int8_t)(random_chance(random, 80) ? 2 : random_below(random, 5));
        if (!key && random_chance(random, 2))
            value.scale = (int8_t)(random_below(random, 256));
        return value;
    }
    for (unsigned i = 0; i < column->precision; i++)
        end *= 10;
    value.as.i64 = random_integer(random, 1 - end, end - 1, key);
    value.scale = column->scale;
    return value;
}

varve_value random_value(struct random_rows *random, const struct oracle_schema *schema, uint32_t c,
                         bool key)
{
    const struct oracle_column *column = &schema->columns[c];
    varve_value value = {.type = column->type};
    size_t text;

    switch (column->type) {
    case VARVE_BOOLEAN:
        value.as.i64 = (int64_t)random_below(random, 2);
        break;
    case VARVE_FLOAT:
        value.as.f32 = (float)random_double(random, key);
        break;
    case VARVE_DOUBLE:
        value.as.f64 = random_double(random, key);
        break;
    case VARVE_DECIMAL:
        return random_decimal(random, column, key);
    case VARVE_TEXT:
    case VARVE_BLOB:
        text = (size_t)random_below(random, key                         ? 6
                                            : random_chance(random, 30) ? RANDOM_TEXTS
                                                                        : 12);
        while (key && c == 0 && random->texts[text].size == 0)
            text++; /* no text is no key of a partition by itself */
        value.as.bytes.data = random->texts[text].data;
        value.as.bytes.size = key && random->texts[text].size > 100 ? 3 : random->texts[text].size;
        break;
    case VARVE_UUID:
        for (int i = 0; i < 16; i++)
            value.as.uuid[i] = (uint8_t)(key ? 7 : random_below(random, 256));
        value.as.uuid[6] = (uint8_t)((random_chance(random, 50) ? 0x10 : 0x40) + key);
        value.as.uuid[random_below(random, 16)] ^= (uint8_t)random_below(random, 4);
        break;
    case VARVE_TIME:
        value.as.i64 = random_integer(random, 0, INT64_C(86399999999999), key);
        break;
    default:
        value.as.i64 =
            random_integer(random, -limit_of(column->type) - 1, limit_of(column->type), key);
        break;
    }
    return value;
}

void random_partition(struct random_rows *random, const struct oracle_schema *schema,
                      varve_value *values)
{
    for (uint32_t i = 0; i < schema->n_partition; i++)
        values[i] = random_value(random, schema, i, true);
}

int64_t random_time(struct random_rows *random, const struct oracle_schema *schema, int64_t near)
{
    const struct oracle_column *column = &schema->columns[schema->n_partition];
    const int64_t limit =
        column->type == VARVE_TIME ? INT64_C(86399999999999) : limit_of(column->type);
    int64_t step = 1;

    if (column->type == VARVE_TIMESTAMP)
        for (int unit = VARVE_SECONDS; unit < column->unit; unit++)
            step *= 1000;
    if (column->type == VARVE_TIME)
        step = 10000000;
    const int64_t base = column->type == VARVE_TIMESTAMP ? 1700000000 * step : 0;
    int64_t at = near;
    if (random_chance(random, 15)) /* late */
        at = near - (int64_t)random_below(random, (uint64_t)near + 1);
    else if (random_chance(random, 2))
        at = near * 50;
    at += (int64_t)random_below(random, 6);
    if (limit <= INT16_MAX)
        at %= 3000;
    return base + at * step <= limit ? base + at * step : limit;
}

void random_put(struct random_rows *random, struct oracle_table *table, int64_t near,
                struct oracle_put *put)
{
    const struct oracle_schema *schema = &table->schema;

    *put = (struct oracle_put){.table = table};
    random_partition(random, schema, put->values);
    put->values[schema->n_partition] =
        (varve_value){.type = schema->columns[schema->n_partition].type,
                      .as.i64 = random_time(random, schema, near)};
    for (uint32_t i = schema->n_partition + 1; i < schema->first_value; i++)
        put->values[i] = random_value(random, schema, i, true);
    const unsigned nulls = random_chance(random, 50) ? 0 : 15;
    for (uint32_t i = schema->first_value; i < schema->n_columns; i++) {
        put->values[i] = random_value(random, schema, i, false);
        if (random_chance(random, nulls))
            put->values[i].presence = random_chance(random, 50) ? VARVE_NULL : VARVE_UNSET;
    }
    if (schema->duplicates != VARVE_DUPLICATES_UPSERT)
        return;
    put->update = random_chance(random, 10);
    put->explicit_time = random_chance(random, 10);
    if (put->explicit_time)
        put->wt = (random_chance(random, 70) ? random->wt_past : random->wt_future) +
                  (int64_t)random_below(random, 4);
}
