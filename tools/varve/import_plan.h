/*
 * import_plan.h - which field of a CSV record, or which constant, fills each column of a table.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_IMPORT_PLAN_H
#define VARVE_TOOL_IMPORT_PLAN_H

#include "tools/varve/column_buffer.h"
#include "tools/varve/csv_reader.h"

#define PLAN_COLUMNS_MAX 1024u
#define PLAN_NULLS_MAX 16u
#define PLAN_PARTS_MAX 6u /* year, month, day, hour, minute, second */

enum plan_header {
    PLAN_HEADER_AUTO,
    PLAN_HEADER_YES,
    PLAN_HEADER_NO,
};

enum plan_flush {
    PLAN_FLUSH_AUTO,
    PLAN_FLUSH_YES,
    PLAN_FLUSH_NO,
};

/* What the command line says. Borrowed from it. */
struct import_options {
    const char *columns;    /* --columns, or NULL */
    const char *time_parts; /* --time-parts, or NULL */
    const char *sets[PLAN_COLUMNS_MAX];
    uint32_t n_sets;
    const char *nulls[PLAN_NULLS_MAX];
    uint32_t n_nulls;
    bool nulls_given;
    enum plan_header header;
    uint8_t time_unit; /* 0: auto */
    enum time_order date_order;
    char delimiter; /* 0: detected */
    varve_policy policy;
    const char *rejects; /* or NULL */
    enum plan_flush flush;
};

enum plan_source {
    PLAN_ABSENT,
    PLAN_FIELD,
    PLAN_CONSTANT,
    PLAN_PARTS, /* the time column, of several fields */
};

struct plan_column {
    const varve_column_info *info;
    enum plan_source source;
    uint32_t field;
    varve_value constant; /* text points into the command line, blobs to `scratch` */
    void *scratch;
    struct time_shape shape;
};

struct import_plan {
    const varve_schema *schema;
    uint32_t n_columns; /* of the table */
    struct plan_column *columns;
    uint32_t n_fields;              /* of a record: no other is taken */
    uint32_t parts[PLAN_PARTS_MAX]; /* fields, each below n_fields */
    uint32_t n_parts;
    bool has_header;
    bool constant_partition; /* every partition key column is a constant */
    bool quiet;              /* only faults are said */
};

/*
 * Make the plan for one file and say on stderr what was found out (`quiet`: only what is wrong). The
 * reader is left where the rows begin. Returns an exit code.
 */
int import_plan_make(struct import_plan *plan, const varve_schema *schema,
                     const struct import_options *options, struct csv_reader *reader,
                     const char *file, bool quiet);
void import_plan_free(struct import_plan *plan); /* zeroed is fine */

/* Whether a field stands for no value, in a column of that type. */
bool import_field_is_null(const struct import_options *options, const struct csv_field *field,
                          uint8_t type);

/* Take blanks away from both ends: around anything but text they mean nothing. */
void import_trim(const char **text, size_t *size);

#define PLAN_TIME_TEXT_MAX 64u
/* Put the parts of a time together as ISO 8601; the record has n_fields. NULL, or what is wrong. */
const char *import_time_text(const struct import_plan *plan, const struct csv_record *record,
                             char out[PLAN_TIME_TEXT_MAX], size_t *ret_size);

#endif
