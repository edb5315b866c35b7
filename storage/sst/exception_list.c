/*
 * exception_list.c - exceptions of a vector as bytes (exception_list.h).
 */
#include "storage/sst/exception_list.h"

#include <string.h>

#include "index/packed_column.h"

void varve_exceptions_encode(const struct varve_exception *exceptions, uint32_t n,
                             uint32_t first_row, int64_t *scratch, struct varve_buffer *out)
{
    varve_write_varint(out, n);
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = (int64_t)exceptions[i].row - (i == 0 ? first_row : exceptions[i - 1].row);
    varve_packed_write(out, scratch, n);
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = exceptions[i].column;
    varve_packed_write(out, scratch, n);
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = exceptions[i].exp;
    varve_packed_write(out, scratch, n);
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = exceptions[i].wt;
    varve_packed_write(out, scratch, n);
}

static varve_status corrupt(varve_error *err)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                           "a list of exceptions is malformed");
}

varve_status varve_exceptions_count(struct varve_span in, const struct varve_schema *schema,
                                    uint32_t rows, uint32_t *ret_n, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    const uint64_t n = varve_read_varint(&r);

    if (r.failed || n == 0 || n > (uint64_t)rows * (schema->n_columns - schema->first_value + 1))
        return corrupt(err);
    *ret_n = (uint32_t)n;
    return VARVE_OK;
}

varve_status varve_exceptions_decode(struct varve_span in, const struct varve_schema *schema,
                                     uint32_t rows, int64_t *scratch, uint32_t n,
                                     struct varve_exception *out, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    uint64_t row = 0;
    bool ok = varve_read_varint(&r) == n && varve_packed_read(&r, n, scratch);

    memset(out, 0, n * sizeof *out);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] < rows && row + (uint64_t)scratch[i] < rows;
        row += (uint64_t)scratch[i];
        out[i].row = (uint32_t)row;
    }
    ok = ok && varve_packed_read(&r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] == VARVE_MARKER_COLUMN ||
             (scratch[i] >= schema->first_value && scratch[i] < schema->n_columns);
        out[i].column = (uint16_t)scratch[i];
        ok = ok && (i == 0 || out[i].row != out[i - 1].row || out[i].column > out[i - 1].column);
    }
    ok = ok && varve_packed_read(&r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] <= UINT32_MAX;
        out[i].exp = (uint32_t)scratch[i];
    }
    ok = ok && varve_packed_read(&r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++)
        out[i].wt = scratch[i];
    return ok && varve_reader_left(&r) == 0 ? VARVE_OK : corrupt(err);
}
