/*
 * schema.c - a schema as an object: built in one block, shared by reference count, asked by the
 * public accessors.
 *
 * Invariants
 *   S1  The block holds, in this order, the struct, the columns, the names with their terminators
 *       and phys; nothing in it changes after varve_schema_build() but the reference count.
 *   S2  varve_schema_draft_fault() found nothing in what it was built from.
 */
#include "storage/schema/schema.h"

#include <assert.h>

#include "storage/schema/schema_int.h"

uint8_t varve_schema_draft_kind(const struct varve_schema_draft *draft, uint32_t column)
{
    if (column < draft->n_partition)
        return VARVE_PARTITION_KEY;
    if (column == draft->n_partition)
        return VARVE_TIME_COLUMN;
    return column <= draft->n_partition + draft->n_clustering ? VARVE_CLUSTERING
                                                              : VARVE_VALUE_COLUMN;
}

static int folded(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

int varve_name_compare(const char *a, const char *b)
{
    size_t i = 0;

    while (a[i] != '\0' && folded(a[i]) == folded(b[i]))
        i++;
    return folded(a[i]) - folded(b[i]);
}

static bool is_name(struct varve_span name)
{
    return name.size > 0 && name.size <= VARVE_NAME_BYTES_MAX &&
           memchr(name.data, 0, name.size) == NULL && varve_utf8_valid(name.data, name.size);
}

static const char *counts_fault(const struct varve_schema_draft *draft)
{
    if (draft->n_columns == 0 || draft->n_columns > VARVE_COLUMNS_MAX)
        return "the number of columns is not 1 .. 1024";
    if (draft->n_partition == 0 || draft->n_partition > VARVE_KEY_COLUMNS_MAX)
        return "the number of partition key columns is not 1 .. 8";
    if (draft->n_clustering > VARVE_KEY_COLUMNS_MAX)
        return "the number of further clustering columns is not 0 .. 8";
    if (draft->n_columns < draft->n_partition + 1 + draft->n_clustering)
        return "there are fewer columns than key columns";
    if (draft->duplicates < VARVE_DUPLICATES_UPSERT || draft->duplicates > VARVE_DUPLICATES_ERROR)
        return "the rule for duplicates is none";
    if (draft->version == 0)
        return "the version is 0";
    if (draft->default_ttl_s != 0)
        return "there is a default time to live";
    if (draft->max_clock_skew_us < 0)
        return "the clock skew is negative";
    if (!is_name(draft->name))
        return "the table's name is not 1 .. 255 bytes of UTF-8 without a zero";
    return NULL;
}

static const char *type_fault(const varve_column_info *column)
{
    if (column->type < VARVE_BOOLEAN || column->type > VARVE_UUID)
        return "a column's type is none";
    if (column->type == VARVE_TIMESTAMP
            ? column->unit < VARVE_SECONDS || column->unit > VARVE_NANOSECONDS
            : column->unit != 0)
        return "a column's unit does not fit its type";
    if (column->precision > (column->type == VARVE_DECIMAL ? 18 : 0))
        return "a column's precision does not fit its type";
    if (column->scale < 0 || column->scale > column->precision)
        return "a column's scale is not 0 .. its precision";
    return NULL;
}

static bool is_time_type(uint8_t type)
{
    return type == VARVE_TIMESTAMP || type == VARVE_DATE || type == VARVE_TIME ||
           (type >= VARVE_TINYINT && type <= VARVE_BIGINT);
}

static const char *column_fault(const struct varve_schema_draft *draft, uint32_t number)
{
    const varve_column_info *column = &draft->columns[number];
    const uint8_t kind = varve_schema_draft_kind(draft, number);
    const char *fault = type_fault(column);

    if (fault != NULL)
        return fault;
    if (kind == VARVE_TIME_COLUMN && !is_time_type(column->type))
        return "the time column's type is not a time or an integer";
    if (column->descending && kind != VARVE_TIME_COLUMN && kind != VARVE_CLUSTERING)
        return "a column that is no clustering column is descending";
    if (column->id == 0 || column->id >= draft->next_column_id ||
        (number > 0 && column->id <= draft->columns[number - 1].id))
        return "the ids of columns do not ascend below the next one";
    if (!is_name(draft->names[number]))
        return "a column's name is not 1 .. 255 bytes of UTF-8 without a zero";
    for (uint32_t i = 0; i < number; i++)
        if (varve_span_compare(draft->names[i], draft->names[number]) == 0)
            return "two columns have one name";
    return NULL;
}

const char *varve_schema_draft_fault(const struct varve_schema_draft *draft)
{
    const char *fault = counts_fault(draft);
    uint8_t unit = 0; /* of the timestamps before */

    for (uint32_t i = 0; fault == NULL && i < draft->n_columns; i++) {
        fault = column_fault(draft, i);
        if (fault == NULL && draft->columns[i].type == VARVE_TIMESTAMP) {
            if (unit != 0 && unit != draft->columns[i].unit)
                fault = "two timestamps have different units";
            unit = draft->columns[i].unit;
        }
    }
    return fault;
}

static size_t block_size_of(const struct varve_schema_draft *draft)
{
    size_t size = sizeof(struct varve_schema) + draft->n_columns * (sizeof(varve_column_info) + 1) +
                  draft->name.size + 1;

    for (uint32_t i = 0; i < draft->n_columns; i++)
        size += draft->names[i].size + 1;
    return size;
}

/* Copy a name with a terminator to *at and advance it. */
static char *put_name(char **at, struct varve_span name)
{
    char *copy = *at;

    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    *at += name.size + 1;
    return copy;
}

varve_status varve_schema_build(struct varve_heap *heap, const struct varve_schema_draft *draft,
                                struct varve_schema **ret_schema, varve_error *err)
{
    assert(varve_schema_draft_fault(draft) == NULL);
    const size_t block_size = block_size_of(draft);
    struct varve_schema *schema = varve_alloc_zero(heap, 1, block_size);
    if (schema == NULL)
        return varve_error_nomem(err, "a schema");

    atomic_init(&schema->refs, 1);
    schema->version = draft->version;
    schema->table_id = draft->table_id;
    schema->duplicates = draft->duplicates;
    schema->n_columns = draft->n_columns;
    schema->n_partition = draft->n_partition;
    schema->time_column = draft->n_partition;
    schema->n_clustering = draft->n_clustering;
    schema->first_value = draft->n_partition + 1 + draft->n_clustering;
    schema->next_column_id = draft->next_column_id;
    schema->default_ttl_s = draft->default_ttl_s;
    schema->max_clock_skew_us = draft->max_clock_skew_us;
    schema->heap = heap;
    schema->block_size = block_size;
    schema->columns = (varve_column_info *)(void *)(schema + 1);

    char *at = (char *)(schema->columns + draft->n_columns);
    schema->name = put_name(&at, draft->name);
    for (uint32_t i = 0; i < draft->n_columns; i++) {
        schema->columns[i] = draft->columns[i];
        schema->columns[i].kind = varve_schema_draft_kind(draft, i);
        schema->columns[i].name = put_name(&at, draft->names[i]);
    }
    schema->phys = (uint8_t *)at;
    for (uint32_t i = 0; i < draft->n_columns; i++)
        schema->phys[i] =
            (uint8_t)varve_phys_of(draft->columns[i].type, draft->columns[i].precision);
    assert(schema->phys + draft->n_columns == (uint8_t *)schema + block_size);

    *ret_schema = schema;
    return VARVE_OK;
}

/* Where `inside`, a place in the block `from`, lies in the copy `to`. */
static void *moved(struct varve_schema *to, const struct varve_schema *from, const void *inside)
{
    return (uint8_t *)to + ((const uint8_t *)inside - (const uint8_t *)from);
}

varve_status varve_schema_with_id(const struct varve_schema *schema, struct varve_heap *heap,
                                  uint32_t table_id, uint32_t version,
                                  struct varve_schema **ret_schema, varve_error *err)
{
    assert(version > 0);
    struct varve_schema *copy = varve_alloc(heap, schema->block_size);
    if (copy == NULL)
        return varve_error_nomem(err, "a schema");

    memcpy((void *)copy, schema, schema->block_size);
    atomic_init(&copy->refs, 1);
    copy->version = version;
    copy->table_id = table_id;
    copy->owns_heap = false;
    copy->heap = heap;
    copy->name = moved(copy, schema, schema->name);
    copy->columns = moved(copy, schema, schema->columns);
    copy->phys = moved(copy, schema, schema->phys);
    for (uint32_t i = 0; i < copy->n_columns; i++)
        copy->columns[i].name = moved(copy, schema, copy->columns[i].name);

    *ret_schema = copy;
    return VARVE_OK;
}

struct varve_schema *varve_schema_ref(const struct varve_schema *schema)
{
    /* The count is not part of what makes a schema immutable. */
    struct varve_schema *shared = (struct varve_schema *)(uintptr_t)schema;
    const uint32_t before = atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);

    assert(before > 0 && before < UINT32_MAX);
    return shared;
}

void varve_schema_unref(struct varve_schema *schema)
{
    if (schema == NULL)
        return;
    const uint32_t before = atomic_fetch_sub_explicit(&schema->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;

    struct varve_heap *heap = schema->heap;
    const bool owns = schema->owns_heap;
    varve_free(heap, schema, schema->block_size);
    if (owns) {
        struct varve_heap last; /* the heap's own memory came from its allocator as well */
        varve_heap_init(&last, heap->base, UINT64_MAX);
        atomic_store_explicit(&last.used, sizeof *heap, memory_order_relaxed);
        varve_free(&last, heap, sizeof *heap);
    }
}

varve_status varve_schema_parse(const char *text, varve_schema **ret_schema, varve_error *err)
{
    struct varve_heap first;

    if (text == NULL || ret_schema == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "varve_schema_parse needs a text and a place for the result");
    varve_heap_init(&first, NULL, UINT64_MAX);
    struct varve_heap *heap = varve_alloc(&first, sizeof *heap);
    if (heap == NULL)
        return varve_error_nomem(err, "a schema");
    varve_heap_init(heap, NULL, UINT64_MAX);

    struct varve_schema *schema;
    const varve_status rc = varve_schema_from_text(heap, text, &schema, err);
    if (rc < 0) {
        varve_free(&first, heap, sizeof *heap);
        return rc;
    }
    schema->owns_heap = true;
    *ret_schema = schema;
    return VARVE_OK;
}

void varve_schema_free(varve_schema *schema)
{
    varve_schema_unref(schema);
}

const char *varve_schema_table_name(const varve_schema *schema)
{
    return schema->name;
}

varve_duplicates varve_schema_duplicates(const varve_schema *schema)
{
    return (varve_duplicates)schema->duplicates;
}

uint32_t varve_schema_columns(const varve_schema *schema)
{
    return schema->n_columns;
}

const varve_column_info *varve_schema_column(const varve_schema *schema, uint32_t column)
{
    return column < schema->n_columns ? &schema->columns[column] : NULL;
}

bool varve_schema_is_reversed(const struct varve_schema *schema, uint32_t column)
{
    assert(column > schema->time_column && column < schema->first_value);
    return schema->columns[column].descending != schema->columns[schema->time_column].descending;
}

/* Whether `asked`, as a user writes it, means the name `stored`. */
static bool name_matches(const char *asked, const char *stored)
{
    if (*asked != '"') {
        for (; *asked != '\0' && *stored != '\0'; asked++, stored++) {
            const char c = *asked >= 'A' && *asked <= 'Z' ? (char)(*asked - 'A' + 'a') : *asked;
            if (c != *stored)
                return false;
        }
        return *asked == '\0' && *stored == '\0';
    }
    for (asked++; *asked != '\0'; asked++, stored++) {
        if (*asked == '"') {
            if (asked[1] != '"') /* the closing one, which must be the last */
                return asked[1] == '\0' && *stored == '\0';
            asked++; /* two stand for one */
        }
        if (*asked != *stored)
            return false;
    }
    return false; /* never closed */
}

varve_status varve_schema_find(const varve_schema *schema, const char *name, uint32_t *ret_column,
                               varve_error *err)
{
    if (schema == NULL || name == NULL || ret_column == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "varve_schema_find needs a schema, a name and a result");
    for (uint32_t i = 0; i < schema->n_columns; i++) {
        if (name_matches(name, schema->columns[i].name)) {
            *ret_column = i;
            return VARVE_OK;
        }
    }
    return varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                           "table %.64s has no column %.100s", schema->name, name);
}
