/*
 * sqlite_mirror.h - a second opinion that shares nothing with the first: an 'upsert' table in SQLite,
 * written with the same rows in SQL, as far as SQL can say it (write times are those of the commits,
 * no UPDATE without an insert). Keys and values are stored so that SQLite's own order and equality
 * are the ones asked for: keys as sortable blobs made by the mirror, values as blobs of their bits.
 * Threads. None.
 */
#ifndef VARVE_TESTS_MODEL_SQLITE_MIRROR_H
#define VARVE_TESTS_MODEL_SQLITE_MIRROR_H

#include "tests/model/oracle.h"

struct sqlite_mirror;

/* NULL if the table's key has a type that the mirror cannot order by bytes (bare decimals). */
struct sqlite_mirror *sqlite_mirror_new(const struct oracle_schema *schema);
void sqlite_mirror_free(struct sqlite_mirror *mirror);
void sqlite_mirror_put(struct sqlite_mirror *mirror, const struct oracle_put *put);
/* Rows with from <= time < to in key order; each row is given to `fn` as a sequence of value blobs;
 * compare with sqlite_mirror_row(). Returns the number of rows. */
bool sqlite_mirror_begin(struct sqlite_mirror *mirror, int64_t from, int64_t to);
/* Whether the next row is this one (values in schema order, null or set). */
bool sqlite_mirror_next_is(struct sqlite_mirror *mirror, const varve_value *values);
/* Whether there are no more. */
bool sqlite_mirror_end(struct sqlite_mirror *mirror);

#endif
