/*
 * fuzz_create_table.c - any text as CREATE TABLE: a refusal names a place in it; what is accepted
 * has a canonical text that gives an equal schema.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/schema/schema_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const struct varve_schema *schema)
{
    size_t needed = 0;

    assert(varve_schema_text(schema, NULL, 0, &needed) == VARVE_ELIMIT);
    char *text = malloc(needed + 1);
    assert(text != NULL);
    assert(varve_schema_text(schema, text, needed + 1, &needed) == VARVE_OK);
    return text;
}

static void check_round_trip(struct varve_heap *heap, const struct varve_schema *schema)
{
    struct varve_schema *parsed = NULL;
    struct varve_buffer a, b;
    char *text = text_of(schema);

    assert(varve_schema_from_text(heap, text, &parsed, NULL) == VARVE_OK);
    varve_buffer_init(&a, heap);
    varve_buffer_init(&b, heap);
    varve_schema_encode(schema, &a);
    varve_schema_encode(parsed, &b);
    assert(varve_span_compare(varve_buffer_span(&a), varve_buffer_span(&b)) == 0);
    varve_buffer_free(&a);
    varve_buffer_free(&b);
    varve_schema_unref(parsed);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_schema *schema = NULL;
    varve_error err = {0};
    char *text = malloc(size + 1);

    assert(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    varve_heap_init(&heap, NULL, UINT64_MAX);
    const varve_status rc = varve_schema_from_text(&heap, text, &schema, &err);
    if (rc == VARVE_OK) {
        check_round_trip(&heap, schema);
    } else {
        assert(schema == NULL && (rc == VARVE_EPARSE || rc == VARVE_ELIMIT));
        assert(err.offset <= size || (rc == VARVE_ELIMIT && err.offset == UINT64_MAX));
        assert(varve_utf8_valid((const uint8_t *)err.message, strlen(err.message)));
    }
    varve_schema_unref(schema);
    assert(varve_heap_used(&heap) == 0);
    free(text);
    return 0;
}
