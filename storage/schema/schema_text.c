/*
 * schema_text.c - a schema to its CREATE TABLE text, in one spelling: columns in the schema's
 * order, every option that is not the default, names quoted only where they must be.
 * varve_schema_from_text() reads it back to an equal schema.
 */
#include "storage/schema/schema.h"

#include <stdio.h>

#include "storage/schema/schema_int.h"
#include "storage/schema/types_int.h"

bool varve_schema_is_reserved_word(struct varve_span name)
{
    /* The words that Cassandra reserves: accepted later they could not be given meaning. */
    static const char *const words[] = {
        "add",          "allow",  "alter",    "and",         "apply",        "asc",
        "authorize",    "batch",  "begin",    "by",          "columnfamily", "create",
        "delete",       "desc",   "describe", "drop",        "entries",      "execute",
        "from",         "full",   "grant",    "if",          "in",           "index",
        "infinity",     "insert", "into",     "is",          "keyspace",     "limit",
        "materialized", "modify", "nan",      "norecursive", "not",          "null",
        "of",           "on",     "or",       "order",       "primary",      "rename",
        "replace",      "revoke", "schema",   "select",      "set",          "table",
        "to",           "token",  "truncate", "unlogged",    "update",       "use",
        "using",        "view",   "where",    "with"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == name.size && memcmp(words[i], name.data, name.size) == 0)
            return true;
    return false;
}

/* Text that goes to `out` as far as it fits, and is counted in any case. */
struct sink {
    char *out;
    size_t room;
    size_t size;
};

static void put_char(struct sink *sink, char c)
{
    if (sink->size < sink->room)
        sink->out[sink->size] = c;
    sink->size++;
}

static void put(struct sink *sink, const char *text)
{
    while (*text != '\0')
        put_char(sink, *text++);
}

static bool needs_quotes(const char *name)
{
    if (*name < 'a' || *name > 'z')
        return true;
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_'))
            return true;
    return varve_schema_is_reserved_word(varve_span_of(name, strlen(name)));
}

static void put_name(struct sink *sink, const char *name)
{
    if (!needs_quotes(name)) {
        put(sink, name);
        return;
    }
    put_char(sink, '"');
    for (; *name != '\0'; name++) {
        put_char(sink, *name);
        if (*name == '"')
            put_char(sink, '"');
    }
    put_char(sink, '"');
}

static void put_column(struct sink *sink, const varve_column_info *column)
{
    char decimal[32];

    put(sink, "    ");
    put_name(sink, column->name);
    put_char(sink, ' ');
    put(sink, varve_type_name(column->type));
    if (column->precision != 0) {
        (void)snprintf(decimal, sizeof decimal, "(%u, %d)", (unsigned)column->precision,
                       column->scale);
        put(sink, decimal);
    }
    put(sink, ",\n");
}

static void put_primary_key(struct sink *sink, const struct varve_schema *schema)
{
    put(sink, "    PRIMARY KEY ((");
    for (uint32_t i = 0; i < schema->first_value; i++) {
        if (i > 0)
            put(sink, i == schema->time_column ? "), " : ", ");
        put_name(sink, schema->columns[i].name);
    }
    put(sink, ")\n)");
}

static bool any_descending(const struct varve_schema *schema)
{
    for (uint32_t i = schema->time_column; i < schema->first_value; i++)
        if (schema->columns[i].descending)
            return true;
    return false;
}

static void put_order(struct sink *sink, const struct varve_schema *schema)
{
    put(sink, "CLUSTERING ORDER BY (");
    for (uint32_t i = schema->time_column; i < schema->first_value; i++) {
        if (i > schema->time_column)
            put(sink, ", ");
        put_name(sink, schema->columns[i].name);
        put(sink, schema->columns[i].descending ? " DESC" : " ASC");
    }
    put_char(sink, ')');
}

/* The unit of the table's timestamps; milliseconds if it has none. */
static uint8_t unit_of(const struct varve_schema *schema)
{
    for (uint32_t i = 0; i < schema->n_columns; i++)
        if (schema->columns[i].type == VARVE_TIMESTAMP)
            return schema->columns[i].unit;
    return VARVE_MILLISECONDS;
}

static void put_options(struct sink *sink, const struct varve_schema *schema)
{
    static const char *const units[] = {"", "s", "ms", "us", "ns"};
    static const char *const rules[] = {"", "upsert", "keep", "first", "error"};
    const char *with = " WITH ";
    const uint8_t unit = unit_of(schema);

    if (any_descending(schema)) {
        put(sink, with);
        put_order(sink, schema);
        with = "\n    AND ";
    }
    if (unit != VARVE_MILLISECONDS) {
        put(sink, with);
        put(sink, "clustering_unit = '");
        put(sink, units[unit]);
        put_char(sink, '\'');
        with = "\n    AND ";
    }
    if (schema->duplicates != VARVE_DUPLICATES_UPSERT) {
        put(sink, with);
        put(sink, "duplicates = '");
        put(sink, rules[schema->duplicates]);
        put_char(sink, '\'');
    }
}

varve_status varve_schema_text(const varve_schema *schema, char *out, size_t size, size_t *ret_size)
{
    struct sink sink = {out, out == NULL ? 0 : size, 0};

    if (schema == NULL || ret_size == NULL)
        return VARVE_EINVAL;
    put(&sink, "CREATE TABLE ");
    put_name(&sink, schema->name);
    put(&sink, " (\n");
    for (uint32_t i = 0; i < schema->n_columns; i++)
        put_column(&sink, &schema->columns[i]);
    put_primary_key(&sink, schema);
    put_options(&sink, schema);
    put_char(&sink, ';');

    *ret_size = sink.size;
    if (sink.size >= sink.room) {
        if (sink.room > 0)
            out[0] = '\0'; /* nothing rather than half a statement */
        return VARVE_ELIMIT;
    }
    out[sink.size] = '\0';
    return VARVE_OK;
}
