/*
 * fuzz_batch.c - any bytes as the payload of a log record: what decodes keeps to the invariants of
 * rows, and written again decodes to the same content.
 *
 * Input: [1 byte: which table] [payload]. Table 1 has a column of every type, table 2 is small.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/batch/batch_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const tables[2] = {
    "CREATE TABLE everything (k text, ts timestamp, seq int, tag text, r double, p decimal, "
    "b boolean, t tinyint, s smallint, i int, l bigint, f float, d double, m decimal(9, 2), "
    "n decimal, x text, y blob, at timestamp, day date, clock time, u uuid, "
    "PRIMARY KEY (k, ts, seq, tag, r, p))",
    "CREATE TABLE small (k int, ts date, v double, PRIMARY KEY (k, ts))"};

static varve_status lookup(void *ctx, uint32_t table_id, uint32_t version,
                           const struct varve_schema **ret_schema)
{
    *ret_schema = version == 9 ? NULL : ctx; /* version 9: of a table dropped since */
    return table_id <= 9 && version <= 9 ? VARVE_OK : VARVE_ENOTFOUND;
}

/* Sums over all rows: of their content with their own key, and of their keys by themselves. */
static uint64_t content(const struct varve_payload *payload)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < varve_payload_sections(payload); i++) {
        const struct varve_section s = varve_payload_section(payload, i);
        for (uint32_t row = 0; row < s.rows->n; row++) {
            const uint64_t key = s.key_hashes[s.part == NULL ? 0 : s.part[row]];
            sum += varve_rows_content_hash(s.rows, row, 1, key) + varve_mix64(key ^ row);
        }
    }
    return sum;
}

static void check_rows(const struct varve_section *s)
{
    const struct varve_schema *schema = s->schema;
    assert(s->rows->n > 0 && s->n_keys > 0);
    for (uint32_t row = 0; row < s->rows->n; row++) {
        assert(s->part == NULL || s->part[row] < s->n_keys);
        for (uint32_t c = schema->time_column; c < schema->n_columns; c++) {
            const uint8_t state = varve_rows_state(s->rows, row, c);
            assert(c >= schema->first_value || state == VARVE_LIVE);
            const varve_value value = varve_rows_value(s->rows, row, c);
            if (state == VARVE_LIVE)
                assert(varve_schema_check_value(schema, c, &value, NULL) == VARVE_OK);
            else if (schema->phys[c] == VARVE_PHYS_BYTES)
                assert(value.as.bytes.size == 0);
        }
    }
}

static void check_again(const struct varve_payload *payload, const struct varve_schema *schema,
                        struct varve_heap *heap)
{
    const uint32_t n = varve_payload_sections(payload);
    struct varve_section *sections = calloc((size_t)n + 1, sizeof *sections);
    struct varve_payload *again = NULL;
    struct varve_buffer bytes;

    assert(sections != NULL);
    for (uint32_t i = 0; i < n; i++) {
        sections[i] = varve_payload_section(payload, i);
        check_rows(&sections[i]);
    }
    varve_buffer_init(&bytes, heap);
    assert(varve_payload_encode(sections, n, &bytes, NULL) == VARVE_OK);
    /* A re-encoded payload may exceed a record where the first was written more densely. */
    if (bytes.size <= VARVE_RECORD_BYTES_MAX) {
        assert(varve_payload_decode(varve_buffer_span(&bytes), lookup, (void *)(uintptr_t)schema,
                                    heap, &again, NULL) == VARVE_OK);
        assert(content(again) == content(payload));
    }
    varve_payload_free(again);
    varve_buffer_free(&bytes);
    free(sections);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_schema *plain, *schema;
    struct varve_payload *payload = NULL;

    if (size == 0)
        return 0;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    assert(varve_schema_from_text(&heap, tables[data[0] & 1], &plain, NULL) == VARVE_OK);
    assert(varve_schema_with_id(plain, &heap, 7, 1, &schema, NULL) == VARVE_OK);

    /* An exact-size copy, so that one byte of over-read is a report. */
    uint8_t *copy = malloc(size - 1 + (size == 1));
    assert(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if (varve_payload_decode(varve_span_of(copy, size - 1), lookup, schema, &heap, &payload,
                             NULL) == VARVE_OK)
        check_again(payload, schema, &heap);
    varve_payload_free(payload);
    free(copy);
    varve_schema_unref(schema);
    varve_schema_unref(plain);
    assert(varve_heap_used(&heap) == 0);
    return 0;
}
