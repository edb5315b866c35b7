/*
 * fuzz_schema.c - any bytes as a schema: what decodes is written back unchanged, and its text
 * parses.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/schema/schema_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The columns of the schema's own text are the same, ids and all, if no alteration left gaps. */
static void check_text(const struct varve_schema *schema)
{
    struct varve_schema *parsed = NULL;
    size_t needed = 0;

    assert(varve_schema_text(schema, NULL, 0, &needed) == VARVE_ELIMIT);
    char *text = malloc(needed + 1);
    assert(text != NULL);
    assert(varve_schema_text(schema, text, needed + 1, &needed) == VARVE_OK);
    assert(varve_schema_parse(text, &parsed, NULL) == VARVE_OK);
    assert(parsed->n_columns == schema->n_columns && parsed->n_partition == schema->n_partition);
    for (uint32_t i = 0; i < parsed->n_columns; i++) {
        const varve_column_info *a = &schema->columns[i], *b = &parsed->columns[i];
        assert(strcmp(a->name, b->name) == 0 && a->type == b->type && a->unit == b->unit);
        assert(a->precision == b->precision && a->scale == b->scale);
        assert(a->descending == b->descending && a->kind == b->kind);
    }
    varve_schema_free(parsed);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_schema *schema = NULL;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    if (varve_schema_decode(varve_span_of(data, size), &heap, &schema, NULL) == VARVE_OK) {
        struct varve_buffer again;
        varve_buffer_init(&again, &heap);
        varve_schema_encode(schema, &again);
        assert(!again.failed && again.size == size && memcmp(again.data, data, size) == 0);
        varve_buffer_free(&again);
        check_text(schema);
    }
    varve_schema_unref(schema);
    assert(varve_heap_used(&heap) == 0);
    return 0;
}
