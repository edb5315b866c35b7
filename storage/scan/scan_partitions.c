/*
 * scan_partitions.c - the partitions of a table from directories alone: key, rows, first and last
 * time. Where several sources hold a partition, rows add up to an upper bound.
 */
#include "storage/scan/scan_int.h"

/* One partition as a row of the result. */
static varve_status put_partition(varve_cursor *cursor, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const struct varve_walk *walk = &cursor->walk;
    const uint32_t n = schema->n_partition;
    varve_value cells[3] = {{.type = VARVE_BIGINT}, {0}, {0}};
    varve_status rc =
        varve_key_decode(schema, walk->key, cursor->key_scratch, cursor->key_values, err);

    cells[1].as.i64 = INT64_MAX;
    cells[2].as.i64 = INT64_MIN;
    for (uint32_t i = 0; i < walk->n_inputs; i++) {
        const struct varve_partition *p = &walk->inputs[i].partition;
        cells[0].as.i64 += (int64_t)p->rows;
        if (p->first_time < cells[1].as.i64)
            cells[1].as.i64 = p->first_time;
        if (p->last_time > cells[2].as.i64)
            cells[2].as.i64 = p->last_time;
    }
    for (uint32_t i = 0; rc == VARVE_OK && i < n; i++)
        rc = varve_result_put(&cursor->result, i, &cursor->key_values[i], err);
    for (uint32_t i = 0; rc == VARVE_OK && i < 3; i++)
        rc = varve_result_put(&cursor->result, n + i, &cells[i], err);
    if (rc == VARVE_OK)
        cursor->result.rows++;
    return rc;
}

static varve_status fill_partitions(varve_cursor *cursor, varve_error *err)
{
    varve_status rc = varve_result_begin(&cursor->result, 1, err);

    while (rc == VARVE_OK && varve_result_room(&cursor->result) > 0) {
        if (cursor->scan.limit > 0 &&
            cursor->rows_returned + cursor->result.rows == cursor->scan.limit)
            break;
        rc = varve_cursor_tick(cursor, 0, err);
        if (rc == VARVE_OK)
            rc = varve_walk_next(&cursor->walk, err);
        if (rc == VARVE_OK)
            rc = put_partition(cursor, err);
    }
    if (rc < 0)
        return rc;
    return cursor->result.rows > 0 ? VARVE_OK : VARVE_END;
}

varve_status varve_partition_list_init(varve_cursor *cursor, varve_error *err)
{
    const struct varve_schema *schema = cursor->schema;
    const varve_column_info *time = &schema->columns[schema->time_column];
    const uint32_t n = schema->n_partition;
    const varve_status rc = varve_result_init(&cursor->result, cursor, n + 3, err);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        varve_result_define(&cursor->result, i, schema->columns[i].name, &schema->columns[i],
                            schema->columns[i].type);
    varve_result_define(&cursor->result, n, "rows", NULL, VARVE_BIGINT);
    varve_result_define(&cursor->result, n + 1, "first", time, time->type);
    varve_result_define(&cursor->result, n + 2, "last", time, time->type);
    cursor->fill = fill_partitions;
    return VARVE_OK;
}
