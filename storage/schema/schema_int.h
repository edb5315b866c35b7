/*
 * schema_int.h - how the parser and the decoder make a schema: both fill a draft with borrowed
 * names, ask varve_schema_draft_fault(), and let varve_schema_build() copy it into one block.
 */
#ifndef VARVE_SCHEMA_SCHEMA_INT_H
#define VARVE_SCHEMA_SCHEMA_INT_H

#include "storage/schema/schema.h"

struct varve_schema_draft {
    uint32_t version;
    uint32_t table_id;
    uint32_t next_column_id;
    uint32_t n_columns;
    uint32_t n_partition;
    uint32_t n_clustering;
    int64_t default_ttl_s;
    int64_t max_clock_skew_us;
    uint8_t duplicates;
    struct varve_span name;           /* of the table */
    const varve_column_info *columns; /* `name` and `kind` are ignored */
    const struct varve_span *names;   /* of the columns */
};

#define VARVE_MAX_CLOCK_SKEW_US INT64_C(3600000000) /* the default */

/* The first rule of a schema that the draft breaks, static text, or NULL. Counts are checked
 * before the arrays are looked at, but `columns` and `names` must hold n_columns items. */
const char *varve_schema_draft_fault(const struct varve_schema_draft *draft);

/* The kind of column number `column`. */
uint8_t varve_schema_draft_kind(const struct varve_schema_draft *draft, uint32_t column);

/* Copy a draft without faults. ENOMEM is the only failure. */
varve_status varve_schema_build(struct varve_heap *heap, const struct varve_schema_draft *draft,
                                struct varve_schema **ret_schema, varve_error *err);

/* Whether `name` is a word of CQL that must be quoted to be a name. `name` is lower case. */
bool varve_schema_is_reserved_word(struct varve_span name);

#endif
