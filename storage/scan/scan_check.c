/*
 * scan_check.c - whether a question makes sense, before anything is opened for it.
 */
#include <string.h>

#include "storage/scan/scan.h"

#define STRUCT_SIZE_MAX 4096u /* what is larger was never set */

VARVE_API void varve_scan_init(varve_scan *scan, size_t struct_size)
{
    memset(scan, 0, struct_size);
    scan->struct_size = struct_size;
}

static varve_status invalid(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "%s", what);
}

static varve_status check_columns(const struct varve_schema *schema, const varve_scan *scan,
                                  varve_error *err)
{
    if (scan->n_columns > VARVE_COLUMNS_MAX || (scan->n_columns > 0 && scan->columns == NULL))
        return invalid(err, "the columns of a scan: none given, or more than 1024");
    for (uint32_t i = 0; i < scan->n_columns; i++)
        if (scan->columns[i] >= schema->n_columns)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "a scan names column %u of %u", scan->columns[i],
                                   schema->n_columns);
    return VARVE_OK;
}

static varve_status check_predicates(const struct varve_schema *schema, const varve_scan *scan,
                                     varve_error *err)
{
    if (scan->n_predicates > VARVE_COLUMNS_MAX ||
        (scan->n_predicates > 0 && scan->predicates == NULL))
        return invalid(err, "the predicates of a scan: none given, or more than 1024");
    for (uint32_t i = 0; i < scan->n_predicates; i++) {
        const varve_predicate *p = &scan->predicates[i];
        if (p->column >= schema->n_columns)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "a predicate names column %u of %u", p->column,
                                   schema->n_columns);
        const varve_column_info *info = &schema->columns[p->column];
        if (p->op < VARVE_EQ || p->op > VARVE_GE)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "a predicate on %.64s has no operator", info->name);
        if (p->value.presence != VARVE_SET || p->value.type != info->type ||
            (p->value.unit != 0 && p->value.unit != info->unit))
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "a predicate on %.64s needs a value of its type and unit",
                                   info->name);
        if ((info->type == VARVE_TEXT || info->type == VARVE_BLOB) &&
            p->value.as.bytes.data == NULL && p->value.as.bytes.size > 0)
            return invalid(err, "a predicate's text is missing");
    }
    return VARVE_OK;
}

static bool is_numeric(uint8_t type)
{
    return (type >= VARVE_TINYINT && type <= VARVE_BIGINT) || type == VARVE_FLOAT ||
           type == VARVE_DOUBLE || type == VARVE_DECIMAL;
}

static varve_status check_aggregates(const struct varve_schema *schema, const varve_scan *scan,
                                     varve_error *err)
{
    if (scan->n_aggregates == 0 || scan->aggregates == NULL ||
        scan->n_aggregates > VARVE_COLUMNS_MAX)
        return invalid(err, "an aggregation needs 1 to 1024 aggregates");
    for (uint32_t i = 0; i < scan->n_aggregates; i++) {
        const varve_aggregate *a = &scan->aggregates[i];
        if (a->function < VARVE_COUNT_ROWS || a->function > VARVE_LAST)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "aggregate %u has no function", i);
        if (a->function == VARVE_COUNT_ROWS)
            continue;
        if (a->column >= schema->n_columns)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "an aggregate names column %u of %u", a->column,
                                   schema->n_columns);
        if ((a->function == VARVE_SUM || a->function == VARVE_AVG) &&
            !is_numeric(schema->columns[a->column].type))
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "column %.64s has no sum: it is not a number",
                                   schema->columns[a->column].name);
    }
    if (scan->every < 0)
        return invalid(err, "the width of buckets is negative");
    if (scan->limit_per_partition > 0 && (scan->flags & VARVE_SCAN_BY_PARTITION) == 0)
        return invalid(err, "a limit per partition needs groups by partition");
    return VARVE_OK;
}

/* Whether a caller that was compiled with more fields has set one of those. */
static bool asks_for_more(const varve_scan *scan)
{
    const uint8_t *bytes = (const uint8_t *)scan;

    for (size_t i = sizeof *scan; i < scan->struct_size; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

varve_status varve_scan_check(const struct varve_schema *schema, const varve_scan *scan,
                              bool aggregate, varve_error *err)
{
    const uint32_t known = VARVE_SCAN_REVERSE | VARVE_SCAN_FROM | VARVE_SCAN_TO |
                           VARVE_SCAN_BY_PARTITION | VARVE_SCAN_NO_ZONE_MAPS |
                           VARVE_SCAN_DECLARED_ORDER;

    if (scan->struct_size < sizeof *scan || scan->struct_size > STRUCT_SIZE_MAX)
        return invalid(err, "varve_scan.struct_size is not set (varve_scan_init)");
    if (asks_for_more(scan))
        return varve_error_set(err, VARVE_EUNSUPPORTED, NULL, VARVE_NO_OFFSET,
                               "the scan asks for something that only a newer version knows");
    if ((scan->flags & ~known) != 0)
        return invalid(err, "unknown flags of a scan");
    if (scan->n_partitions > 0 && scan->partitions == NULL)
        return invalid(err, "the partitions of a scan are missing");
    if (scan->n_partitions > 0 && (scan->key_from != NULL || scan->key_to != NULL))
        return invalid(err, "a scan names partitions or a key range, not both");
    varve_status rc = check_columns(schema, scan, err);
    if (rc == VARVE_OK)
        rc = check_predicates(schema, scan, err);
    if (rc == VARVE_OK && aggregate)
        rc = check_aggregates(schema, scan, err);
    return rc;
}

void varve_scan_time_range(const varve_scan *scan, int64_t floor, int64_t *ret_first,
                           int64_t *ret_last)
{
    int64_t first = floor;
    int64_t last = INT64_MAX;

    if ((scan->flags & VARVE_SCAN_FROM) != 0 && scan->from > first)
        first = scan->from;
    if ((scan->flags & VARVE_SCAN_TO) != 0) {
        if (scan->to == INT64_MIN) { /* nothing is before it */
            *ret_first = INT64_MAX;
            *ret_last = INT64_MIN;
            return;
        }
        last = scan->to - 1;
    }
    *ret_first = first;
    *ret_last = last;
}
