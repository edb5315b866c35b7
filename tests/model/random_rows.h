/*
 * random_rows.h - tables, values, batches and questions drawn from a seed.
 *
 * Keys are drawn from few values, so that rows meet; values from edges of their types and from
 * small and wide ranges. Text lives in a pool for the life of the generator.
 * Threads. None.
 */
#ifndef VARVE_TESTS_MODEL_RANDOM_ROWS_H
#define VARVE_TESTS_MODEL_RANDOM_ROWS_H

#include "storage/base/rng.h"
#include "tests/model/oracle.h"

#define RANDOM_TEXTS 192

struct random_rows {
    struct varve_rng rng;
    char *pool;
    struct {
        const char *data;
        size_t size;
    } texts[RANDOM_TEXTS];
    int64_t wt_past, wt_future; /* explicit write times begin there */
};

void random_rows_init(struct random_rows *random, uint64_t seed, int64_t wall_us);
void random_rows_free(struct random_rows *random);

uint64_t random_below(struct random_rows *random, uint64_t bound);
bool random_chance(struct random_rows *random, unsigned percent);

#define RANDOM_SCHEMA_TEXT_MAX 2048u

/* A table of this name, and its CREATE TABLE text (RANDOM_SCHEMA_TEXT_MAX bytes). */
void random_schema(struct random_rows *random, const char *name, struct oracle_schema *schema,
                   char *text);
/* A value for a column; `key`: from few ones. Always SET. */
varve_value random_value(struct random_rows *random, const struct oracle_schema *schema,
                         uint32_t column, bool key);
void random_partition(struct random_rows *random, const struct oracle_schema *schema,
                      varve_value *values);
/* A row: key set, values set, null or unset. `near`: around where the table's writes are now. */
void random_put(struct random_rows *random, struct oracle_table *table, int64_t near,
                struct oracle_put *put);
int64_t random_time(struct random_rows *random, const struct oracle_schema *schema, int64_t near);

#endif
