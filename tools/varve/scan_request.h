/*
 * scan_request.h - the options of `varve scan` against a table's schema: columns, partitions, times,
 * conditions, aggregates, intervals, as varve_scan wants them.
 *
 * Every mistake is reported with the option and the place in it, and is TOOL_USAGE.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_SCAN_REQUEST_H
#define VARVE_TOOL_SCAN_REQUEST_H

#include <varve/varve.h>

#define REQUEST_PARTITIONS_MAX 10000u
#define REQUEST_TEXTS_MAX 64u /* --where, --agg */
/* A scan may have 1,024; one more than are shown is asked for (scan_request.c). */
#define REQUEST_AGGREGATES_MAX 1023u

/* As they stand on the command line; NULL: not given. */
struct scan_options {
    const char **partitions;
    uint32_t n_partitions;
    const char *from, *to, *columns, *every, *origin;
    const char *wheres[REQUEST_TEXTS_MAX]; /* all must hold */
    const char *aggs[REQUEST_TEXTS_MAX];   /* one list */
    uint32_t n_wheres, n_aggs;
    bool by_partition;
    bool reverse;
    uint64_t limit, limit_per_partition;
};

struct scan_request {
    varve_scan scan;
    bool aggregates;    /* varve_aggregate_open(), else varve_scan_open() */
    const char **names; /* of the result's columns that are shown */
    uint32_t n_names;
    /* What the above points into. */
    uint32_t *columns;
    varve_value *partitions;
    varve_predicate *predicates;
    varve_aggregate *aggregate_list;
    char **owned;
    uint32_t n_owned, owned_capacity;
};

int scan_request_make(struct scan_request *request, const varve_schema *schema,
                      const struct scan_options *options);
void scan_request_free(struct scan_request *request); /* zeroed is fine */

/* The pieces, for tests of their own and for demo. Each returns an exit code. */

/* "close > 30000 and name = 'it''s'": writes to `predicates` (room for one for each three characters
 * of the text, and one more) and sets *ret_n. `text_copy` is as large as the text, and holds what the
 * values point to. */
int scan_where_parse(const char *where, const varve_schema *schema, varve_predicate *predicates,
                     uint32_t *ret_n, char *text_copy);
/* "1h", "15m", "500ms" in units of the time column. */
int scan_interval_parse(const char *text, const varve_column_info *time, int64_t *ret_interval);

#endif
