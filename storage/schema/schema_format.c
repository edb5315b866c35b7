/*
 * schema_format.c - see schema_format.h. Decoding reads everything into a draft of borrowed names,
 * checks the draft against every rule of a schema, and only then builds the object.
 */
#include "storage/schema/schema_format.h"

#include <assert.h>

#include "storage/schema/schema_int.h"

#define COLUMN_SIZE_MIN 13u /* with a name of one byte */
#define FLAG_DESCENDING 1u

void varve_schema_encode(const struct varve_schema *schema, struct varve_buffer *out)
{
    const size_t name_size = strlen(schema->name);

    varve_write_u16(out, VARVE_SCHEMA_FORMAT);
    varve_write_u8(out, schema->duplicates);
    varve_write_u8(out, 0);
    varve_write_u32(out, schema->version);
    varve_write_u32(out, schema->table_id);
    varve_write_u32(out, schema->next_column_id);
    varve_write_u16(out, (uint16_t)schema->n_columns);
    varve_write_u8(out, (uint8_t)schema->n_partition);
    varve_write_u8(out, (uint8_t)schema->n_clustering);
    varve_write_u64(out, (uint64_t)schema->default_ttl_s);
    varve_write_u64(out, (uint64_t)schema->max_clock_skew_us);
    varve_write_zeros(out, 7);
    varve_write_u8(out, (uint8_t)name_size);
    varve_write_bytes(out, schema->name, name_size);

    for (uint32_t i = 0; i < schema->n_columns; i++) {
        const varve_column_info *column = &schema->columns[i];
        const size_t size = strlen(column->name);

        assert(size > 0 && size <= VARVE_NAME_BYTES_MAX);
        varve_write_u32(out, column->id);
        varve_write_u8(out, column->type);
        varve_write_u8(out, column->unit);
        varve_write_u8(out, column->precision);
        varve_write_u8(out, (uint8_t)column->scale);
        varve_write_u8(out, column->descending ? FLAG_DESCENDING : 0);
        varve_write_zeros(out, 2);
        varve_write_u8(out, (uint8_t)size);
        varve_write_bytes(out, column->name, size);
    }
}

static varve_status schema_corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad schema: %s", what);
}

static bool read_zeros(struct varve_reader *in, size_t size)
{
    bool zero = true;

    while (size-- > 0)
        zero = varve_read_u8(in) == 0 && zero;
    return zero;
}

static varve_status decode_header(struct varve_reader *in, struct varve_schema_draft *draft,
                                  varve_error *err)
{
    const uint16_t format = varve_read_u16(in);

    if (format > VARVE_SCHEMA_FORMAT)
        return varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                               "the schema has format %u, this version knows %u", (unsigned)format,
                               VARVE_SCHEMA_FORMAT);
    if (in->failed || format == 0)
        return schema_corrupt(err, "no format number");

    draft->duplicates = varve_read_u8(in);
    bool zero = read_zeros(in, 1);
    draft->version = varve_read_u32(in);
    draft->table_id = varve_read_u32(in);
    draft->next_column_id = varve_read_u32(in);
    draft->n_columns = varve_read_u16(in);
    draft->n_partition = varve_read_u8(in);
    draft->n_clustering = varve_read_u8(in);
    draft->default_ttl_s = (int64_t)varve_read_u64(in);
    draft->max_clock_skew_us = (int64_t)varve_read_u64(in);
    zero = read_zeros(in, 7) && zero;
    draft->name = varve_read_bytes(in, varve_read_u8(in));

    if (in->failed)
        return schema_corrupt(err, "it is cut short");
    if (!zero)
        return schema_corrupt(err, "a reserved byte is not zero");
    if (draft->default_ttl_s > 0)
        return varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                               "the schema has a default time to live, which this version lacks");
    if (draft->n_columns == 0 || draft->n_columns > VARVE_COLUMNS_MAX ||
        draft->n_columns > varve_reader_left(in) / COLUMN_SIZE_MIN)
        return schema_corrupt(err, "the number of columns");
    return VARVE_OK;
}

static varve_status decode_column(struct varve_reader *in, varve_column_info *ret_column,
                                  struct varve_span *ret_name, varve_error *err)
{
    varve_column_info column = {.id = varve_read_u32(in)};

    column.type = varve_read_u8(in);
    column.unit = varve_read_u8(in);
    column.precision = varve_read_u8(in);
    const uint8_t scale = varve_read_u8(in);
    const uint8_t flags = varve_read_u8(in);
    const bool zero = read_zeros(in, 2);
    *ret_name = varve_read_bytes(in, varve_read_u8(in));
    column.scale = (int8_t)scale;
    column.descending = (flags & FLAG_DESCENDING) != 0;

    if (in->failed)
        return schema_corrupt(err, "it is cut short");
    if (!zero || (flags & ~FLAG_DESCENDING) != 0)
        return schema_corrupt(err, "a reserved byte or flag is not zero");
    *ret_column = column;
    return VARVE_OK;
}

varve_status varve_schema_decode(struct varve_span in, struct varve_heap *heap,
                                 struct varve_schema **ret_schema, varve_error *err)
{
    struct varve_reader reader = varve_reader_of(in);
    struct varve_schema_draft draft = {0};
    varve_column_info *columns;
    struct varve_span *names = NULL;
    varve_status rc;

    rc = decode_header(&reader, &draft, err);
    if (rc < 0)
        return rc;
    columns = varve_alloc_zero(heap, draft.n_columns, sizeof *columns);
    names = varve_alloc_zero(heap, draft.n_columns, sizeof *names);
    if (columns == NULL || names == NULL) {
        rc = varve_error_nomem(err, "a schema");
        goto done;
    }
    for (uint32_t i = 0; i < draft.n_columns; i++) {
        rc = decode_column(&reader, &columns[i], &names[i], err);
        if (rc < 0)
            goto done;
    }
    if (varve_reader_left(&reader) != 0) {
        rc = schema_corrupt(err, "bytes follow it");
        goto done;
    }
    draft.columns = columns;
    draft.names = names;
    const char *fault = varve_schema_draft_fault(&draft);
    if (fault != NULL)
        rc = schema_corrupt(err, fault);
    else
        rc = varve_schema_build(heap, &draft, ret_schema, err);

done:
    varve_free(heap, columns, columns == NULL ? 0 : draft.n_columns * sizeof *columns);
    varve_free(heap, names, names == NULL ? 0 : draft.n_columns * sizeof *names);
    return rc;
}
