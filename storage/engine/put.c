/*
 * put.c - the public calls on batches that need to know their table's store.
 */
#include "storage/engine/store_int.h"

varve_status varve_batch_new(varve_store *store, varve_batch **ret_batch, varve_error *err)
{
    varve_status rc = varve_store_enter(store, err);

    if (rc < 0)
        return rc;
    if (ret_batch == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "no place for the batch given");
    if (store->read_only)
        return varve_error_set(err, VARVE_EREADONLY, NULL, VARVE_NO_OFFSET,
                               "the store is open read-only");
    rc = varve_batch_create(&store->heap, varve_wal_payload_limit(store->options.wal_segment_bytes),
                            ret_batch, err);
    return varve_heap_explain(&store->heap, rc, err);
}

/* The greatest write time that the caller may give. */
static int64_t write_time_max(const varve_table *table)
{
    int64_t max;

    if (__builtin_add_overflow(varve_store_wall_us(table->store), table->schema->max_clock_skew_us,
                               &max))
        return INT64_MAX;
    return max;
}

static varve_status put_check(varve_batch *batch, const varve_table *table, varve_error *err)
{
    if (batch == NULL || table == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "a row needs a batch and a table");
    if (table->dropped)
        return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                               "table '%s' has been dropped", table->schema->name);
    return VARVE_OK;
}

varve_status varve_batch_put_row(varve_batch *batch, const varve_table *table,
                                 const varve_value *values, uint32_t n, const varve_put *put,
                                 varve_error *err)
{
    varve_status rc = put_check(batch, table, err);

    if (rc < 0)
        return rc;
    const bool stamped = put != NULL && (put->flags & VARVE_PUT_WRITE_TIME) != 0;
    rc = varve_batch_add_row(batch, table->schema, values, n, put,
                             stamped ? write_time_max(table) : INT64_MAX, err);
    return rc < 0 ? varve_heap_explain(&table->store->heap, rc, err) : rc;
}

varve_status varve_batch_put_columns(varve_batch *batch, const varve_table *table,
                                     const varve_value *partition, const varve_array *arrays,
                                     uint32_t n_arrays, uint64_t n, const varve_put *put,
                                     varve_error *err)
{
    varve_status rc = put_check(batch, table, err);

    if (rc < 0)
        return rc;
    const bool stamped = put != NULL && (put->flags & VARVE_PUT_WRITE_TIME) != 0;
    rc = varve_batch_add_columns(batch, table->schema, partition, arrays, n_arrays, n, put,
                                 stamped ? write_time_max(table) : INT64_MAX, err);
    return rc < 0 ? varve_heap_explain(&table->store->heap, rc, err) : rc;
}
