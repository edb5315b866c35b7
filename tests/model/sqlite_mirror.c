/*
 * sqlite_mirror.c - see sqlite_mirror.h.
 */
#include "tests/model/sqlite_mirror.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/text_line.h"

struct sqlite_mirror {
    struct oracle_schema schema;
    sqlite3 *db;
    sqlite3_stmt *insert, *range;
};

static void need(const struct sqlite_mirror *mirror, int rc, int wanted)
{
    if (rc == wanted)
        return;
    (void)fprintf(stderr, "mirror: %s\n", sqlite3_errmsg(mirror->db));
    abort();
}

static sqlite3_stmt *prepared(struct sqlite_mirror *mirror, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    need(mirror, sqlite3_prepare_v2(mirror->db, sql, -1, &statement, NULL), SQLITE_OK);
    return statement;
}

static void make_table(struct sqlite_mirror *mirror)
{
    const struct oracle_schema *schema = &mirror->schema;
    char create[1024] = "CREATE TABLE r (", insert[4096] = "INSERT INTO r VALUES (";
    char range[512] = "SELECT * FROM r WHERE ";
    char key[512] = "", update[2048] = "";

    for (uint32_t i = 0; i < schema->n_columns; i++) {
        const bool turned =
            i > schema->n_partition && schema->columns[i].descending != schema->time_descending;
        text_append(create, sizeof create, "c%u, ", i);
        text_append(insert, sizeof insert, "?%u%s", i + 1, i + 1 < schema->n_columns ? ", " : ")");
        if (i < schema->first_value)
            text_append(key, sizeof key, "c%u%s%s", i, turned ? " DESC" : "",
                        i + 1 < schema->first_value ? ", " : "");
        else /* a parameter of its own says whether the cell was given at all */
            text_append(update, sizeof update,
                        "%sc%u = CASE WHEN ?%u THEN excluded.c%u ELSE c%u END",
                        i > schema->first_value ? ", " : "", i, schema->n_columns + i + 1, i, i);
    }
    text_append(create, sizeof create, "PRIMARY KEY (%s)) WITHOUT ROWID", key);
    text_append(insert, sizeof insert, " ON CONFLICT DO UPDATE SET %s", update);
    text_append(range, sizeof range, "c%u >= ?1 AND c%u < ?2 ORDER BY %s", schema->n_partition,
                schema->n_partition, key);
    need(mirror, sqlite3_exec(mirror->db, create, NULL, NULL, NULL), SQLITE_OK);
    mirror->insert = prepared(mirror, insert);
    mirror->range = prepared(mirror, range);
}

struct sqlite_mirror *sqlite_mirror_new(const struct oracle_schema *schema)
{
    struct sqlite_mirror *mirror;

    for (uint32_t i = 0; i < schema->first_value; i++)
        if (schema->columns[i].type == VARVE_UUID ||
            (schema->columns[i].type == VARVE_DECIMAL && schema->columns[i].precision == 0))
            return NULL;
    mirror = calloc(1, sizeof *mirror);
    if (mirror == NULL)
        abort();
    mirror->schema = *schema;
    need(mirror, sqlite3_open(":memory:", &mirror->db), SQLITE_OK);
    make_table(mirror);
    return mirror;
}

void sqlite_mirror_free(struct sqlite_mirror *mirror)
{
    if (mirror == NULL)
        return;
    (void)sqlite3_finalize(mirror->insert);
    (void)sqlite3_finalize(mirror->range);
    (void)sqlite3_close(mirror->db);
    free(mirror);
}

/* A double's bits so that integers order as the doubles do, every NaN as one. */
static int64_t ordered_bits(double value)
{
    int64_t bits;

    if (isnan(value))
        return INT64_MAX;
    memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? INT64_MIN - bits - 1 : bits;
}

/* A FLOAT or DOUBLE as it stands in the mirror: what orders it in a key, its very bits elsewhere. */
static int64_t float_bits(const struct oracle_column *column, const varve_value *value, bool key)
{
    int64_t bits = 0;

    if (key)
        return ordered_bits(column->type == VARVE_FLOAT ? (double)value->as.f32 : value->as.f64);
    if (column->type == VARVE_FLOAT)
        memcpy(&bits, &value->as.f32, sizeof value->as.f32);
    else
        memcpy(&bits, &value->as.f64, sizeof bits);
    return bits;
}

static void bind(const struct sqlite_mirror *mirror, uint32_t column, const varve_value *value)
{
    const struct oracle_column *c = &mirror->schema.columns[column];
    const bool key = column < mirror->schema.first_value;
    const int at = (int)column + 1;
    int64_t integer = value->as.i64;
    uint8_t cell[16];

    if (value->presence != VARVE_SET) {
        need(mirror, sqlite3_bind_null(mirror->insert, at), SQLITE_OK);
        return;
    }
    switch (c->type) {
    case VARVE_TEXT:
    case VARVE_BLOB:
        need(mirror,
             sqlite3_bind_blob(mirror->insert, at,
                               value->as.bytes.size > 0 ? value->as.bytes.data : "",
                               (int)value->as.bytes.size, SQLITE_TRANSIENT),
             SQLITE_OK);
        return;
    case VARVE_UUID:
        need(mirror, sqlite3_bind_blob(mirror->insert, at, value->as.uuid, 16, SQLITE_TRANSIENT),
             SQLITE_OK);
        return;
    case VARVE_FLOAT:
    case VARVE_DOUBLE:
        integer = float_bits(c, value, key);
        break;
    case VARVE_DECIMAL:
        if (c->precision == 0) { /* a value: its mantissa and scale */
            memcpy(cell, &integer, 8);
            cell[8] = (uint8_t)value->scale;
            need(mirror, sqlite3_bind_blob(mirror->insert, at, cell, 9, SQLITE_TRANSIENT),
                 SQLITE_OK);
            return;
        }
        break;
    default:
        break;
    }
    need(mirror, sqlite3_bind_int64(mirror->insert, at, integer), SQLITE_OK);
}

void sqlite_mirror_put(struct sqlite_mirror *mirror, const struct oracle_put *put)
{
    for (uint32_t i = 0; i < mirror->schema.n_columns; i++) {
        bind(mirror, i, &put->values[i]);
        if (i >= mirror->schema.first_value)
            need(mirror,
                 sqlite3_bind_int(mirror->insert, (int)(mirror->schema.n_columns + i + 1),
                                  put->values[i].presence != VARVE_UNSET),
                 SQLITE_OK);
    }
    need(mirror, sqlite3_step(mirror->insert), SQLITE_DONE);
    need(mirror, sqlite3_reset(mirror->insert), SQLITE_OK);
}

bool sqlite_mirror_begin(struct sqlite_mirror *mirror, int64_t from, int64_t to)
{
    need(mirror, sqlite3_reset(mirror->range), SQLITE_OK);
    need(mirror, sqlite3_bind_int64(mirror->range, 1, from), SQLITE_OK);
    need(mirror, sqlite3_bind_int64(mirror->range, 2, to), SQLITE_OK);
    return true;
}

static bool column_is(struct sqlite_mirror *mirror, uint32_t column, const varve_value *value)
{
    const struct oracle_column *c = &mirror->schema.columns[column];
    const bool key = column < mirror->schema.first_value;
    sqlite3_stmt *row = mirror->range;
    const int at = (int)column;
    int64_t integer = value->as.i64;

    if (sqlite3_column_type(row, at) == SQLITE_NULL || value->presence != VARVE_SET)
        return sqlite3_column_type(row, at) == SQLITE_NULL && value->presence != VARVE_SET;
    const size_t size =
        sqlite3_column_type(row, at) == SQLITE_BLOB ? (size_t)sqlite3_column_bytes(row, at) : 0;
    const uint8_t *bytes = size > 0 ? sqlite3_column_blob(row, at) : NULL;
    switch (c->type) {
    case VARVE_TEXT:
    case VARVE_BLOB:
        return size == value->as.bytes.size &&
               (size == 0 || memcmp(bytes, value->as.bytes.data, size) == 0);
    case VARVE_UUID:
        return size == 16 && memcmp(bytes, value->as.uuid, 16) == 0;
    case VARVE_FLOAT:
    case VARVE_DOUBLE:
        integer = float_bits(c, value, key);
        break;
    case VARVE_DECIMAL:
        if (c->precision == 0)
            return size == 9 && memcmp(bytes, &integer, 8) == 0 &&
                   bytes[8] == (uint8_t)value->scale;
        break;
    default:
        break;
    }
    return sqlite3_column_int64(row, at) == integer;
}

bool sqlite_mirror_next_is(struct sqlite_mirror *mirror, const varve_value *values)
{
    if (sqlite3_step(mirror->range) != SQLITE_ROW)
        return false;
    for (uint32_t i = 0; i < mirror->schema.n_columns; i++)
        if (!column_is(mirror, i, &values[i]))
            return false;
    return true;
}

bool sqlite_mirror_end(struct sqlite_mirror *mirror)
{
    const bool ended = sqlite3_step(mirror->range) == SQLITE_DONE;

    need(mirror, sqlite3_reset(mirror->range), SQLITE_OK);
    return ended;
}
