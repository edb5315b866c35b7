/*
 * fuzz_value_text.c - any text as a value: the first byte chooses the column, the rest is the text.
 * What is accepted formats to a text that gives the same value again, bit for bit.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    uint8_t type, unit, precision;
    int8_t scale;
} columns[] = {
    {VARVE_BOOLEAN, 0, 0, 0},
    {VARVE_TINYINT, 0, 0, 0},
    {VARVE_SMALLINT, 0, 0, 0},
    {VARVE_INT, 0, 0, 0},
    {VARVE_BIGINT, 0, 0, 0},
    {VARVE_FLOAT, 0, 0, 0},
    {VARVE_DOUBLE, 0, 0, 0},
    {VARVE_DECIMAL, 0, 0, 0},
    {VARVE_DECIMAL, 0, 18, 4},
    {VARVE_TEXT, 0, 0, 0},
    {VARVE_BLOB, 0, 0, 0},
    {VARVE_TIMESTAMP, VARVE_SECONDS, 0, 0},
    {VARVE_TIMESTAMP, VARVE_MILLISECONDS, 0, 0},
    {VARVE_TIMESTAMP, VARVE_NANOSECONDS, 0, 0},
    {VARVE_DATE, 0, 0, 0},
    {VARVE_TIME, 0, 0, 0},
    {VARVE_UUID, 0, 0, 0},
};

static void check_same(const varve_value *a, const varve_value *b)
{
    assert(a->type == b->type && a->scale == b->scale && a->unit == b->unit);
    if (a->type != VARVE_TEXT && a->type != VARVE_BLOB) {
        assert(memcmp(&a->as, &b->as, sizeof a->as) == 0);
        return;
    }
    assert(a->as.bytes.size == b->as.bytes.size);
    assert(a->as.bytes.size == 0 ||
           memcmp(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    varve_value value, again;

    if (size == 0)
        return 0;
    const size_t choice = data[0] % (sizeof columns / sizeof columns[0]);
    const varve_column_info column = {.name = "v",
                                      .type = columns[choice].type,
                                      .kind = VARVE_VALUE_COLUMN,
                                      .unit = columns[choice].unit,
                                      .precision = columns[choice].precision,
                                      .scale = columns[choice].scale,
                                      .id = 1};
    uint8_t *scratch = malloc(size);
    assert(scratch != NULL);
    if (varve_value_parse(&column, (const char *)data + 1, size - 1, scratch, &value, NULL) ==
        VARVE_OK) {
        for (uint32_t flags = 0; flags <= VARVE_FORMAT_RAW_TIME; flags++) {
            const size_t needed = varve_value_format(&value, flags, NULL, 0);
            char *text = malloc(needed + 1);
            uint8_t *bytes = malloc(needed + 1);
            assert(text != NULL && bytes != NULL);
            assert(varve_value_format(&value, flags, text, needed) == needed);
            assert(varve_value_parse(&column, text, needed, bytes, &again, NULL) == VARVE_OK);
            check_same(&value, &again);
            free(text);
            free(bytes);
        }
    }
    free(scratch);
    return 0;
}
