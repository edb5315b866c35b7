/*
 * schema_format.h - the bytes of a schema: the same in the log's SCHEMA record, in the manifest and
 * in every SSTable. The only code that reads or writes them.
 */
#ifndef VARVE_SCHEMA_SCHEMA_FORMAT_H
#define VARVE_SCHEMA_SCHEMA_FORMAT_H

#include "storage/schema/schema.h"

#define VARVE_SCHEMA_FORMAT 1u

/* A failed growth shows in out->failed. */
void varve_schema_encode(const struct varve_schema *schema, struct varve_buffer *out);

/* Total: any bytes give OK, ECORRUPT, EVERSION or ENOMEM, in memory bounded by the input's size. */
varve_status varve_schema_decode(struct varve_span in, struct varve_heap *heap,
                                 struct varve_schema **ret_schema, varve_error *err);

#endif
