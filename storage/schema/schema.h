/*
 * schema.h - the columns of a table, their types, and how a cell lies in memory.
 *
 * A schema is immutable once built; tables share it by reference count. Columns are numbered
 * partition key columns first, then the time column, then further clustering columns, then value
 * columns. `duplicates = 'keep'` adds no declared column: the hidden suffix of a key (write time,
 * writer, ordinal) lives beside the columns, see rows.h.
 *
 * Threads. Read-only after creation; the reference count is atomic.
 */
#ifndef VARVE_SCHEMA_SCHEMA_H
#define VARVE_SCHEMA_SCHEMA_H

#include <stdatomic.h>

#include "storage/base/alloc.h"
#include "storage/base/bytes.h"
#include "storage/base/error.h"

#define VARVE_COLUMNS_MAX 1024u
#define VARVE_KEY_COLUMNS_MAX 8u /* of the partition key, and of further clustering columns */
#define VARVE_KEY_BYTES_MAX 4096u
#define VARVE_CELL_BYTES_MAX (8u << 20)
#define VARVE_NAME_BYTES_MAX 255u

/* How a column's values lie in memory, decided by its type alone. */
enum varve_phys {
    VARVE_PHYS_I8 = 1, /* boolean (0, 1), tinyint */
    VARVE_PHYS_I16 = 2,
    VARVE_PHYS_I32 = 3, /* int, date */
    VARVE_PHYS_I64 = 4, /* bigint, timestamp, time, decimal(p, s) */
    VARVE_PHYS_F32 = 5,
    VARVE_PHYS_F64 = 6,
    VARVE_PHYS_B16 = 7,  /* uuid */
    VARVE_PHYS_DEC = 8,  /* bare decimal: int64 mantissas and int8 scales, in two arrays */
    VARVE_PHYS_BYTES = 9 /* text, blob: bytes and n + 1 uint32 offsets */
};

enum varve_phys varve_phys_of(uint8_t type, uint8_t precision);

struct varve_type_range {
    int64_t min;
    int64_t max; /* inclusive */
};

/* The values that as.i64 may have; false for types that do not live there. */
bool varve_type_range(uint8_t type, uint8_t precision, struct varve_type_range *ret_range);
/* Bytes of one value in the values array: 1, 2, 4, 8 or 16; 0 for BYTES. DEC: 8. */
uint32_t varve_phys_width(enum varve_phys phys);

/* The order of names, case aside: < 0, 0, > 0. Of ASCII letters only, and whatever the process's locale
 * is or becomes: names that are kept in this order must stay in it. */
int varve_name_compare(const char *a, const char *b);

struct varve_schema {
    _Atomic(uint32_t) refs;
    uint32_t version;   /* 1 at creation, +1 with every alteration */
    uint32_t table_id;  /* 0 until the store gives it one; never reused */
    uint8_t duplicates; /* enum varve_duplicates */
    bool owns_heap;     /* made by varve_schema_parse(), on a heap of its own */
    uint8_t reserved[2];
    uint32_t n_columns;
    uint32_t n_partition;  /* columns [0, n_partition) */
    uint32_t time_column;  /* == n_partition */
    uint32_t n_clustering; /* further clustering: [time_column + 1, + n_clustering) */
    uint32_t first_value;  /* value columns: [first_value, n_columns) */
    uint32_t next_column_id;
    int64_t default_ttl_s;     /* 0; room for the semantics that use it */
    int64_t max_clock_skew_us; /* default 3600 s */
    char *name;                /* of the table */
    varve_column_info *columns;
    uint8_t *phys; /* enum varve_phys of each column */
    struct varve_heap *heap;
    size_t block_size; /* struct, columns, phys and names are one block */
};

/* Whether a further clustering column runs against time: one is declared DESC, the other ASC. */
bool varve_schema_is_reversed(const struct varve_schema *schema, uint32_t column);

struct varve_schema *varve_schema_ref(const struct varve_schema *schema);
void varve_schema_unref(struct varve_schema *schema); /* NULL is a no-op */

/* CREATE TABLE text to a schema, in memory of `heap`. varve_schema_parse() is this on malloc. */
varve_status varve_schema_from_text(struct varve_heap *heap, const char *text,
                                    struct varve_schema **ret_schema, varve_error *err);

/* A copy that has an id and version (what the store admits). */
varve_status varve_schema_with_id(const struct varve_schema *schema, struct varve_heap *heap,
                                  uint32_t table_id, uint32_t version,
                                  struct varve_schema **ret_schema, varve_error *err);

/* Check a value against column `column`: type, range (boolean, date, time, precision and scale of
 * decimals), UTF-8, size. Keys: null and unset refused. ETYPE or ELIMIT. */
varve_status varve_schema_check_value(const struct varve_schema *schema, uint32_t column,
                                      const varve_value *value, varve_error *err);
bool varve_utf8_valid(const uint8_t *text, size_t size);

#endif
