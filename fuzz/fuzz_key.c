/*
 * fuzz_key.c - any bytes as a partition key: the first byte chooses the columns, the rest is the
 * key. What decodes encodes to the same bytes.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/schema/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const statements[] = {
    "CREATE TABLE x (a text, t int, PRIMARY KEY (a, t))",
    "CREATE TABLE x (a blob, t int, PRIMARY KEY (a, t))",
    "CREATE TABLE x (a decimal, t int, PRIMARY KEY (a, t))",
    "CREATE TABLE x (a boolean, b tinyint, c smallint, d int, e bigint, f float, g double, "
    "t int, PRIMARY KEY ((a, b, c, d, e, f, g), t))",
    "CREATE TABLE x (a decimal(7, 3), b timestamp, c date, d time, e uuid, t int, "
    "PRIMARY KEY ((a, b, c, d, e), t))",
    "CREATE TABLE x (a text, b decimal, c blob, d double, e text, t int, "
    "PRIMARY KEY ((a, b, c, d, e), t))",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_schema *schema = NULL;
    varve_value values[VARVE_KEY_COLUMNS_MAX];

    if (size == 0)
        return 0;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    const size_t choice = data[0] % (sizeof statements / sizeof statements[0]);
    assert(varve_schema_from_text(&heap, statements[choice], &schema, NULL) == VARVE_OK);
    const struct varve_span key = varve_span_of(data + 1, size - 1);
    uint8_t *scratch = malloc(size);
    assert(scratch != NULL);
    if (varve_key_decode(schema, key, scratch, values, NULL) == VARVE_OK) {
        struct varve_buffer again;
        varve_buffer_init(&again, &heap);
        assert(varve_key_encode(schema, values, &again, NULL) == VARVE_OK);
        assert(varve_span_compare(varve_buffer_span(&again), key) == 0);
        varve_buffer_free(&again);
    }
    free(scratch);
    varve_schema_unref(schema);
    return 0;
}
