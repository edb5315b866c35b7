/*
 * test_batch_format.c - batch_format.c and payload_reader.c.
 *
 * Method: one small payload written out by hand here, byte by byte, is what the encoder makes; then
 * each clause of batch_format.h is broken alone. Larger payloads are cut and bent everywhere.
 */
#include "tests/unit/rows/row_maker.h"

#include "storage/batch/batch_format.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct rig {
    struct row_heap h;
    struct varve_schema *schema;
    varve_batch *batch;
    bool dropped; /* the table is gone, its schema known no more */
};

static void rig_open(struct rig *rig, const char *table)
{
    memset(rig, 0, sizeof *rig);
    row_heap_init(&rig->h, -1);
    rig->schema = row_schema(&rig->h.heap, table);
    ck_assert_int_eq(varve_batch_create(&rig->h.heap, VARVE_RECORD_BYTES_MAX, &rig->batch, NULL),
                     VARVE_OK);
}

static void rig_close(struct rig *rig)
{
    varve_batch_free(rig->batch);
    varve_schema_unref(rig->schema);
    ck_assert_int_eq(rig->h.live, 0);
    ck_assert_uint_eq(varve_heap_used(&rig->h.heap), 0);
}

static varve_status lookup(void *ctx, uint32_t table_id, uint32_t version,
                           const struct varve_schema **ret_schema)
{
    const struct rig *rig = ctx;
    *ret_schema = rig->dropped ? NULL : rig->schema;
    return table_id == 7 && version == 1 ? VARVE_OK : VARVE_ENOTFOUND;
}

/* Decode a copy of exactly these bytes, so that a read beyond them is seen. */
static varve_status decode(struct rig *rig, const uint8_t *bytes, size_t size,
                           struct varve_payload **ret_payload)
{
    uint8_t *copy = malloc(size + (size == 0));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    const varve_status rc = varve_payload_decode(varve_span_of(copy, size), lookup, rig,
                                                 &rig->h.heap, ret_payload, NULL);
    free(copy);
    return rc;
}

static varve_status try_decode(struct rig *rig, const uint8_t *bytes, size_t size)
{
    const uint64_t used = varve_heap_used(&rig->h.heap);
    struct varve_payload *payload = NULL;
    const varve_status rc = decode(rig, bytes, size, &payload);
    ck_assert((rc == VARVE_OK) == (payload != NULL));
    varve_payload_free(payload);
    ck_assert_uint_eq(varve_heap_used(&rig->h.heap), used);
    return rc;
}

/* ------------------------------------------------------------------------ One payload, by hand */

static const char small_table[] =
    "CREATE TABLE e (k int, ts timestamp, c double, b boolean, x text, PRIMARY KEY (k, ts, c))";

/* Two rows of one partition, k = 5: (ts 1, c 0.0, b true, no x), (ts 2, c 0.0, b null, x 'hi'). */
#define SMALL_SIZE 49u
static const uint8_t small[SMALL_SIZE] = {
    1, 1,                          /*  0 version, sections */
    1, 42, 0,    0, 0,             /*  2 kind, size */
    0, 7,  1,    2,                /*  7 flags, table, version, rows */
    5, 1,  0x80, 0, 0,   5,        /* 11 key */
    2, 2,  4,                      /* 17 time: 1, 2 */
    3,                             /* 20 columns */
    3, 2,                          /* 21 c: plain */
    0, 0,  0,    0, 0,   0,  0, 0, /* 23 */
    0, 0,  0,    0, 0,   0,  0, 0, /* 31 */
    4, 3,  9,    1,                /* 39 b: live, deleted; true */
    5, 3,  4,    2, 'h', 'i'       /* 43 x: absent, live; 'hi' */
};

/* The column ids are the schema's affair: take them from there. */
static void small_bytes(const struct rig *rig, uint8_t *out, size_t *ret_size)
{
    memcpy(out, small, SMALL_SIZE);
    out[21] = (uint8_t)rig->schema->columns[2].id;
    out[39] = (uint8_t)rig->schema->columns[3].id;
    out[43] = (uint8_t)rig->schema->columns[4].id;
    *ret_size = SMALL_SIZE;
}

static void put_small(struct rig *rig)
{
    varve_value values[] = {{.type = VARVE_INT, .as.i64 = 5},
                            {.type = VARVE_TIMESTAMP, .as.i64 = 1},
                            {.type = VARVE_DOUBLE, .as.f64 = 0.0},
                            {.type = VARVE_BOOLEAN, .as.i64 = 1},
                            {.type = VARVE_TEXT, .presence = VARVE_UNSET}};
    ck_assert_int_eq(varve_batch_add_row(rig->batch, rig->schema, values, 5, NULL, 0, NULL),
                     VARVE_OK);
    values[1].as.i64 = 2;
    values[3].presence = VARVE_NULL;
    values[4] = (varve_value){.type = VARVE_TEXT, .as.bytes = {"hi", 2}};
    ck_assert_int_eq(varve_batch_add_row(rig->batch, rig->schema, values, 5, NULL, 0, NULL),
                     VARVE_OK);
    ck_assert_int_eq(varve_batch_seal(rig->batch, NULL), VARVE_OK);
}

START_TEST(small_payload_is_the_bytes_of_the_format)
{
    struct rig rig;
    uint8_t want[64];
    size_t size;
    rig_open(&rig, small_table);
    put_small(&rig);
    small_bytes(&rig, want, &size);
    const struct varve_span got = varve_batch_payload(rig.batch);
    ck_assert_uint_eq(got.size, size);
    ck_assert_mem_eq(got.data, want, size);
    ck_assert_int_eq(try_decode(&rig, want, size), VARVE_OK);
    rig_close(&rig);
}
END_TEST

/* One row per clause: the byte at `at` becomes `value`. */
static const struct {
    const char *what;
    size_t at;
    uint8_t value;
    varve_status status;
} clause[] = {
    {"version 0", 0, 0, VARVE_ECORRUPT},
    {"newer version", 0, 2, VARVE_EVERSION},
    {"fewer sections", 1, 0, VARVE_ECORRUPT},
    {"more sections", 1, 2, VARVE_ECORRUPT},
    {"unknown kind", 2, 2, VARVE_EVERSION},
    {"smaller section", 3, 41, VARVE_ECORRUPT},
    {"larger section", 3, 43, VARVE_ECORRUPT},
    {"unknown flag", 7, 32, VARVE_EVERSION},
    {"table 0", 8, 0, VARVE_ECORRUPT},
    {"unknown table", 8, 8, VARVE_ENOTFOUND},
    {"schema version 0", 9, 0, VARVE_ECORRUPT},
    {"unknown schema version", 9, 2, VARVE_ENOTFOUND},
    {"no rows", 10, 0, VARVE_ECORRUPT},
    {"more rows", 10, 3, VARVE_ECORRUPT},
    {"too many plain rows", 10, 9, VARVE_ECORRUPT},
    {"empty key", 11, 0, VARVE_ECORRUPT},
    {"longer key", 11, 6, VARVE_ECORRUPT},
    {"key of another row kind", 12, 0, VARVE_ECORRUPT},
    {"unknown form", 17, 0, VARVE_ECORRUPT},
    {"unknown form", 17, 4, VARVE_ECORRUPT},
    {"states of time", 17, 3, VARVE_ECORRUPT},
    {"without a clustering column", 20, 0, VARVE_ECORRUPT},
    {"more columns", 20, 4, VARVE_ECORRUPT},
    {"unknown column", 21, 99, VARVE_ECORRUPT},
    {"value column for a clustering column", 21, 0xFE, VARVE_ECORRUPT}, /* id of b, see below */
    {"states of a key column", 22, 3, VARVE_ECORRUPT},
    {"columns out of order", 43, 0xFE, VARVE_ECORRUPT},
    {"state 3", 41, 13, VARVE_ECORRUPT},
    {"state beyond the rows", 41, 0x19, VARVE_ECORRUPT},
    {"boolean 2", 42, 2, VARVE_ECORRUPT},
    {"text beyond the section", 46, 3, VARVE_ECORRUPT},
    {"bytes behind the section", 46, 1, VARVE_ECORRUPT},
    {"text that is no UTF-8", 47, 0xC3, VARVE_ECORRUPT},
};

START_TEST(each_clause_broken_alone_is_refused)
{
    struct rig rig;
    uint8_t bytes[64];
    size_t size;
    rig_open(&rig, small_table);
    small_bytes(&rig, bytes, &size);
    ck_assert_int_eq(try_decode(&rig, bytes, size), VARVE_OK);
    bytes[clause[_i].at] = clause[_i].value == 0xFE ? bytes[39] : clause[_i].value;
    ck_assert_msg(try_decode(&rig, bytes, size) == clause[_i].status, "%s", clause[_i].what);
    rig_close(&rig);
}
END_TEST

START_TEST(key_cell_that_is_not_canonical_is_refused)
{
    static const uint8_t other_nan[8] = {1, 0, 0, 0, 0, 0, 0xF8, 0x7F};
    struct rig rig;
    uint8_t bytes[64];
    size_t size;
    rig_open(&rig, small_table);
    small_bytes(&rig, bytes, &size);
    memcpy(bytes + 23, other_nan, 8);
    ck_assert_int_eq(try_decode(&rig, bytes, size), VARVE_ECORRUPT);
    rig_close(&rig);
}
END_TEST

START_TEST(section_of_a_dropped_table_is_skipped)
{
    struct rig rig;
    uint8_t bytes[64];
    size_t size;
    struct varve_payload *payload;
    rig_open(&rig, small_table);
    small_bytes(&rig, bytes, &size);
    rig.dropped = true;
    ck_assert_int_eq(decode(&rig, bytes, size, &payload), VARVE_OK);
    ck_assert_uint_eq(varve_payload_sections(payload), 0);
    varve_payload_free(payload);
    ck_assert_int_eq(try_decode(&rig, bytes, size - 1), VARVE_ECORRUPT);
    rig_close(&rig);
}
END_TEST

START_TEST(bytes_behind_the_last_section_are_refused)
{
    struct rig rig;
    uint8_t bytes[64] = {0};
    size_t size;
    rig_open(&rig, small_table);
    small_bytes(&rig, bytes, &size);
    ck_assert_int_eq(try_decode(&rig, bytes, size + 1), VARVE_ECORRUPT);
    rig_close(&rig);
}
END_TEST

/* Sections that no batch writes yet, through the encoder: stamps, markers, keys. */
START_TEST(stamps_and_markers_come_back_and_contradictions_do_not)
{
    struct rig rig;
    struct varve_rows_builder b;
    struct varve_buffer out;
    struct varve_payload *payload;
    rig_open(&rig, "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts))");
    ck_assert_int_eq(varve_rows_builder_init(&b, &rig.h.heap, rig.schema, NULL, NULL), VARVE_OK);
    varve_buffer_init(&out, &rig.h.heap);
    const uint32_t n = _i == 0 ? 6 : 1500;
    ck_assert_int_eq(varve_rows_builder_reserve(&b, n, 0, NULL), VARVE_OK);
    uint64_t *live = varve_rows_builder_live(&b, VARVE_MARKER_COLUMN);
    uint64_t *deleted = varve_rows_builder_deleted(&b, VARVE_MARKER_COLUMN);
    int64_t *wt = varve_rows_builder_wt(&b);
    uint32_t *exp = varve_rows_builder_exp(&b), *part = calloc(n, sizeof *part);
    ck_assert_ptr_nonnull(part);
    for (uint32_t i = 0; i < n; i++) {
        b.rows.time[i] = i;
        ((int64_t *)b.rows.columns[2].values)[i] = i * 3;
        wt[i] = i % 5 == 0 ? VARVE_WT_COMMIT : 1000 + i;
        exp[i] = i % 7 == 0 ? UINT32_MAX - i : 0;
        part[i] = i % 2;
        if (i % 3 != 0)
            varve_bit_set(i % 3 == 1 ? live : deleted, i);
    }
    b.rows.n = n;
    const uint8_t keys[2][5] = {{1, 0x80, 0, 0, 1}, {1, 0x80, 0, 0, 2}};
    const struct varve_span spans[2] = {varve_span_of(keys[0], 5), varve_span_of(keys[1], 5)};
    struct varve_section section = {.schema = rig.schema,
                                    .table_id = 7,
                                    .schema_version = 1,
                                    .n_keys = 2,
                                    .keys = spans,
                                    .part = part,
                                    .rows = &b.rows};
    ck_assert_int_eq(varve_payload_encode(&section, 1, &out, NULL), VARVE_OK);
    ck_assert_int_eq(decode(&rig, out.data, out.size, &payload), VARVE_OK);
    const struct varve_section got = varve_payload_section(payload, 0);
    ck_assert_uint_eq(got.rows->n, n);
    ck_assert_uint_eq(got.n_keys, 2);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_eq(got.part[i], part[i]);
        row_check_same(got.rows, i, &b.rows, i);
    }
    varve_payload_free(payload);
    part[n - 1] = 2; /* no such key */
    varve_buffer_clear(&out);
    ck_assert_int_eq(varve_payload_encode(&section, 1, &out, NULL), VARVE_OK);
    ck_assert_int_eq(try_decode(&rig, out.data, out.size), VARVE_ECORRUPT);
    part[n - 1] = 0;
    varve_bit_set(live, 2); /* a deleted marker */
    varve_buffer_clear(&out);
    ck_assert_int_eq(varve_payload_encode(&section, 1, &out, NULL), VARVE_OK);
    ck_assert_int_eq(try_decode(&rig, out.data, out.size), VARVE_ECORRUPT);
    varve_bit_clear(live, 2);
    const struct varve_span twice[2] = {spans[0], spans[0]};
    section.keys = twice;
    varve_buffer_clear(&out);
    ck_assert_int_eq(varve_payload_encode(&section, 1, &out, NULL), VARVE_OK);
    ck_assert_int_eq(try_decode(&rig, out.data, out.size), VARVE_ECORRUPT);
    free(part);
    varve_buffer_free(&out);
    varve_rows_builder_free(&b);
    rig_close(&rig);
}
END_TEST

/* --------------------------------------------------------------------------- Larger payloads */

static void put_random(struct rig *rig, struct varve_rng *rng, uint32_t n)
{
    varve_value values[32];
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < rig->schema->n_columns; c++) {
            values[c] = row_value(rng, &rig->schema->columns[c]);
            if (c >= rig->schema->first_value && varve_rng_below(rng, 5) == 0)
                values[c].presence = (uint8_t)(1 + varve_rng_below(rng, 2));
        }
        values[0].as.bytes.data = "key";
        values[0].as.bytes.size = 1 + varve_rng_below(rng, 3);
        values[1].as.i64 = i;
        const varve_put put = {.flags = varve_rng_below(rng, 3) == 0 ? VARVE_PUT_UPDATE : 0};
        ck_assert_int_eq(varve_batch_add_row(rig->batch, rig->schema, values,
                                             rig->schema->n_columns, &put, 0, NULL),
                         VARVE_OK);
    }
    ck_assert_int_eq(varve_batch_seal(rig->batch, NULL), VARVE_OK);
}

START_TEST(every_cut_is_refused_and_every_bent_byte_survived)
{
    struct rig rig;
    struct varve_rng rng;
    rig_open(&rig, row_table_all_types);
    varve_rng_seed(&rng, 4);
    put_random(&rig, &rng, _i == 0 ? 3 : 40);
    const struct varve_span payload = varve_batch_payload(rig.batch);
    uint8_t *bytes = malloc(payload.size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, payload.data, payload.size);
    ck_assert_int_eq(try_decode(&rig, bytes, payload.size), VARVE_OK);
    for (size_t size = 0; size < payload.size; size++)
        ck_assert_int_eq(try_decode(&rig, bytes, size), VARVE_ECORRUPT);
    for (size_t i = 0; i < payload.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] = (uint8_t)(payload.data[i] ^ 1u << bit);
            const varve_status rc = try_decode(&rig, bytes, payload.size);
            ck_assert(rc == VARVE_OK || rc == VARVE_ECORRUPT || rc == VARVE_EVERSION ||
                      rc == VARVE_ENOTFOUND);
        }
        bytes[i] = payload.data[i];
    }
    free(bytes);
    rig_close(&rig);
}
END_TEST

START_TEST(decode_survives_every_failed_allocation)
{
    struct rig rig;
    struct varve_rng rng;
    rig_open(&rig, row_table_all_types);
    varve_rng_seed(&rng, 4);
    put_random(&rig, &rng, 40);
    const struct varve_span payload = varve_batch_payload(rig.batch);
    for (long n = 0;; n++) {
        rig.h.calls = 0;
        rig.h.fired = false;
        rig.h.fail_at = n;
        const varve_status rc = try_decode(&rig, payload.data, payload.size);
        ck_assert_int_eq(rc, rig.h.fired ? VARVE_ENOMEM : VARVE_OK);
        if (rc == VARVE_OK)
            break;
        ck_assert_int_lt(n, 1000);
    }
    rig.h.fail_at = -1;
    rig_close(&rig);
}
END_TEST

/* A few bytes that announce more than a record can hold are refused before memory is taken. */
START_TEST(counts_cannot_ask_for_more_than_a_record)
{
    struct rig rig;
    uint8_t bytes[64];
    size_t size;
    rig_open(&rig, small_table);
    small_bytes(&rig, bytes, &size);
    memmove(bytes + 14, bytes + 11, size - 11);
    bytes[10] = 0xFF, bytes[11] = 0xFF, bytes[12] = 0xFF, bytes[13] = 0x07; /* rows */
    bytes[3] = (uint8_t)(bytes[3] + 3);
    const uint64_t peak = varve_heap_peak(&rig.h.heap);
    ck_assert_int_eq(try_decode(&rig, bytes, size + 3), VARVE_ECORRUPT);
    ck_assert_uint_le(varve_heap_peak(&rig.h.heap), peak + 4096);
    rig_close(&rig);
}
END_TEST

/* --------------------------------------------------------------------------------------- Golden */

/* tests/golden/batch/v1: payloads of random rows of a table with every type, in hex. Set
 * VARVE_WRITE_GOLDEN to make a file that is not there. */
START_TEST(golden_bytes_have_not_changed)
{
    static const uint32_t rows[] = {1, 8, 9, 300};
    struct rig rig;
    struct varve_rng rng;
    char path[64];
    rig_open(&rig, row_table_all_types);
    varve_rng_seed(&rng, 2024);
    put_random(&rig, &rng, rows[_i]);
    const struct varve_span payload = varve_batch_payload(rig.batch);
    (void)snprintf(path, sizeof path, "tests/golden/batch/v1/rows_%u.hex", rows[_i]);
    FILE *file = fopen(path, "r");
    if (file == NULL && getenv("VARVE_WRITE_GOLDEN") != NULL) {
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        for (size_t i = 0; i < payload.size; i++)
            (void)fprintf(file, "%02x%s", payload.data[i], i % 40 == 39 ? "\n" : "");
        (void)fprintf(file, "\n");
        ck_assert_int_eq(fclose(file), 0);
        file = fopen(path, "r");
    }
    ck_assert_msg(file != NULL, "%s", path);
    for (size_t i = 0; i < payload.size; i++) {
        unsigned byte;
        ck_assert_int_eq(fscanf(file, "%2x", &byte), 1);
        ck_assert_msg(byte == payload.data[i], "%s: byte %zu", path, i);
    }
    unsigned more;
    ck_assert_int_eq(fscanf(file, "%2x", &more), EOF);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(try_decode(&rig, payload.data, payload.size), VARVE_OK);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_format");
    TCase *tc = tcase_create("batch_format");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, small_payload_is_the_bytes_of_the_format);
    tcase_add_loop_test(tc, each_clause_broken_alone_is_refused, 0,
                        (int)(sizeof clause / sizeof clause[0]));
    tcase_add_test(tc, key_cell_that_is_not_canonical_is_refused);
    tcase_add_test(tc, section_of_a_dropped_table_is_skipped);
    tcase_add_test(tc, bytes_behind_the_last_section_are_refused);
    tcase_add_loop_test(tc, stamps_and_markers_come_back_and_contradictions_do_not, 0, 2);
    tcase_add_loop_test(tc, every_cut_is_refused_and_every_bent_byte_survived, 0, 2);
    tcase_add_test(tc, decode_survives_every_failed_allocation);
    tcase_add_test(tc, counts_cannot_ask_for_more_than_a_record);
    tcase_add_loop_test(tc, golden_bytes_have_not_changed, 0, 4);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
