/*
 * batch_format.h - the payload of a DATA record. The only code that reads or writes it.
 *
 * (The byte tables of the format stand here once written; docs/FORMAT.md points to them.)
 */
#ifndef VARVE_BATCH_BATCH_FORMAT_H
#define VARVE_BATCH_BATCH_FORMAT_H

#include "storage/batch/batch.h"

/* How a decoder finds the schema of a section: borrowed until the next record is applied. NULL: no
 * such table or version. */
typedef const struct varve_schema *(*varve_schema_lookup)(void *ctx, uint32_t table_id,
                                                          uint32_t schema_version);

/* Append the payload of `sections`. */
varve_status varve_payload_encode(const struct varve_section *sections, uint32_t n,
                                  struct varve_buffer *out, varve_error *err);

/* A decoded payload. */
struct varve_payload;

/*
 * Total: any bytes give OK, ECORRUPT, EVERSION (an unknown section kind or payload version stops
 * apply and is never skipped), ENOTFOUND (schema) or ENOMEM, in memory bounded by a small multiple
 * of the payload (at most VARVE_RECORD_BYTES_MAX of it).
 */
varve_status varve_payload_decode(struct varve_span in, varve_schema_lookup lookup, void *ctx,
                                  struct varve_heap *heap, struct varve_payload **ret_payload,
                                  varve_error *err);
uint32_t             varve_payload_sections(const struct varve_payload *payload);
struct varve_section varve_payload_section(const struct varve_payload *payload, uint32_t i);
void                 varve_payload_free(struct varve_payload *payload);

#endif
