/*
 * test_schema_format.c - the bytes of a schema: each rule broken alone is refused, every flipped
 * bit and every truncation is survived, golden bytes stay.
 */
#include "storage/schema/schema_format.h"

#include "schema_fixture.h"

static const char statement[] =
    "CREATE TABLE bars (k text, ts timestamp, n int, d decimal(10, 2), u timestamp, "
    "PRIMARY KEY (k, ts, n)) WITH CLUSTERING ORDER BY (ts DESC) AND duplicates = 'keep'";

/* Places in the bytes of `statement`. */
#define NAME_SIZE 43u
#define COLUMN_K (44u + 4)
#define COLUMN_TS (COLUMN_K + 13)
#define COLUMN_N (COLUMN_TS + 14)
#define COLUMN_D (COLUMN_N + 13)
#define COLUMN_U (COLUMN_D + 13)
#define TOTAL_SIZE (COLUMN_U + 13)

static void encode(const char *text, struct failing_allocator *memory, struct varve_buffer *out)
{
    struct varve_schema *schema = schema_of(text);

    failing_init(memory, -1);
    varve_buffer_init(out, &memory->heap);
    varve_schema_encode(schema, out);
    ck_assert(!out->failed);
    varve_schema_free(schema);
}

static varve_status decode(struct failing_allocator *memory, const uint8_t *data, size_t size)
{
    struct varve_schema *schema = NULL;
    const uint64_t before = varve_heap_used(&memory->heap);
    const varve_status rc =
        varve_schema_decode(varve_span_of(data, size), &memory->heap, &schema, NULL);

    if (rc == VARVE_OK) { /* what is accepted writes the same bytes */
        struct varve_buffer again;
        varve_buffer_init(&again, &memory->heap);
        varve_schema_encode(schema, &again);
        must(again.size == size && memcmp(again.data, data, size) == 0);
        varve_buffer_free(&again);
    } else {
        must(schema == NULL);
    }
    varve_schema_unref(schema);
    must(varve_heap_used(&memory->heap) == before);
    return rc;
}

static const struct {
    const char *rule;
    size_t at;
    uint8_t byte;
    varve_status status;
} breaks[] = {
    {"format 0", 0, 0, VARVE_ECORRUPT},
    {"a newer format", 0, 2, VARVE_EVERSION},
    {"duplicates none", 2, 0, VARVE_ECORRUPT},
    {"duplicates unknown", 2, 5, VARVE_ECORRUPT},
    {"reserved byte 3", 3, 1, VARVE_ECORRUPT},
    {"version 0", 4, 0, VARVE_ECORRUPT},
    {"next id not above", 12, 5, VARVE_ECORRUPT},
    {"no columns", 16, 0, VARVE_ECORRUPT},
    {"too many columns for the bytes", 16, 6, VARVE_ECORRUPT},
    {"far too many columns", 17, 5, VARVE_ECORRUPT},
    {"no partition key", 18, 0, VARVE_ECORRUPT},
    {"a long partition key", 18, 9, VARVE_ECORRUPT},
    {"more key columns than columns", 18, 4, VARVE_ECORRUPT},
    {"too many clustering columns", 19, 9, VARVE_ECORRUPT},
    {"a time to live", 20, 1, VARVE_EVERSION},
    {"a negative time to live", 27, 0x80, VARVE_ECORRUPT},
    {"a negative skew", 35, 0x80, VARVE_ECORRUPT},
    {"reserved byte 36", 36, 1, VARVE_ECORRUPT},
    {"reserved byte 42", 42, 1, VARVE_ECORRUPT},
    {"a name that is not UTF-8", 44, 0xFF, VARVE_ECORRUPT},
    {"a name with a zero", 45, 0, VARVE_ECORRUPT},
    {"id 0", COLUMN_K, 0, VARVE_ECORRUPT},
    {"an id twice", COLUMN_TS, 1, VARVE_ECORRUPT},
    {"an id that is not below the next", COLUMN_U, 6, VARVE_ECORRUPT},
    {"type 0", COLUMN_D + 4, 0, VARVE_ECORRUPT},
    {"type hugeint", COLUMN_N + 4, VARVE_HUGEINT, VARVE_ECORRUPT},
    {"time is text", COLUMN_TS + 4, VARVE_TEXT, VARVE_ECORRUPT},
    {"a timestamp without a unit", COLUMN_TS + 5, 0, VARVE_ECORRUPT},
    {"a timestamp with unit 5", COLUMN_TS + 5, 5, VARVE_ECORRUPT},
    {"a unit of an int", COLUMN_N + 5, 1, VARVE_ECORRUPT},
    {"two units", COLUMN_U + 5, VARVE_SECONDS, VARVE_ECORRUPT},
    {"precision 19", COLUMN_D + 6, 19, VARVE_ECORRUPT},
    {"a precision of an int", COLUMN_N + 6, 1, VARVE_ECORRUPT},
    {"a scale above the precision", COLUMN_D + 7, 11, VARVE_ECORRUPT},
    {"a negative scale", COLUMN_D + 7, 0xFF, VARVE_ECORRUPT},
    {"a scale of an int", COLUMN_N + 7, 1, VARVE_ECORRUPT},
    {"an unknown flag", COLUMN_TS + 8, 3, VARVE_ECORRUPT},
    {"a descending key", COLUMN_K + 8, 1, VARVE_ECORRUPT},
    {"a descending value", COLUMN_D + 8, 1, VARVE_ECORRUPT},
    {"reserved byte 9", COLUMN_N + 9, 1, VARVE_ECORRUPT},
    {"reserved byte 10", COLUMN_N + 10, 1, VARVE_ECORRUPT},
    {"a column's name that is not UTF-8", COLUMN_N + 12, 0xFF, VARVE_ECORRUPT},
    {"a name twice", COLUMN_D + 12, 'n', VARVE_ECORRUPT},
    {"a name that runs past the end", COLUMN_U + 11, 2, VARVE_ECORRUPT},
    {"an empty name before a stray byte", COLUMN_U + 11, 0, VARVE_ECORRUPT},
    /* What may be otherwise. */
    {"another version", 4, 7, VARVE_OK},
    {"another table id", 8, 7, VARVE_OK},
    {"another next id", 12, 200, VARVE_OK},
    {"another skew", 28, 1, VARVE_OK},
    {"two partition key columns", 18, 1, VARVE_OK},
    {"ascending", COLUMN_TS + 8, 0, VARVE_OK},
};

START_TEST(each_rule_broken_alone_is_refused)
{
    struct failing_allocator memory;
    struct varve_buffer bytes;

    encode(statement, &memory, &bytes);
    ck_assert_uint_eq(bytes.size, TOTAL_SIZE);
    bytes.data[breaks[_i].at] = breaks[_i].byte;
    const varve_status rc = decode(&memory, bytes.data, bytes.size);
    ck_assert_msg(rc == breaks[_i].status, "%s: %d", breaks[_i].rule, rc);
    varve_buffer_free(&bytes);
}
END_TEST

START_TEST(an_empty_name_is_refused)
{
    struct failing_allocator memory;
    struct varve_buffer bytes;

    encode(statement, &memory, &bytes);
    bytes.data[COLUMN_U + 11] = 0;
    ck_assert_int_eq(decode(&memory, bytes.data, TOTAL_SIZE - 1), VARVE_ECORRUPT);
    bytes.data[COLUMN_U + 11] = 1;
    memmove(bytes.data + 44, bytes.data + 48, TOTAL_SIZE - 48);
    bytes.data[NAME_SIZE] = 0;
    ck_assert_int_eq(decode(&memory, bytes.data, TOTAL_SIZE - 4), VARVE_ECORRUPT);
    varve_buffer_free(&bytes);
}
END_TEST

START_TEST(any_length_but_the_right_one_is_refused)
{
    struct failing_allocator memory;
    struct varve_buffer bytes;

    encode(statement, &memory, &bytes);
    for (size_t size = 0; size < TOTAL_SIZE; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a read past the end is seen */
        must(copy != NULL);
        memcpy(copy, bytes.data, size);
        must(decode(&memory, copy, size) == VARVE_ECORRUPT);
        free(copy);
    }
    ck_assert_int_eq(decode(&memory, bytes.data, TOTAL_SIZE), VARVE_OK);
    varve_write_u8(&bytes, 0);
    ck_assert_int_eq(decode(&memory, bytes.data, TOTAL_SIZE + 1), VARVE_ECORRUPT);
    ck_assert_int_eq(decode(&memory, NULL, 0), VARVE_ECORRUPT);
    varve_buffer_free(&bytes);
}
END_TEST

START_TEST(any_byte_with_any_value_is_survived)
{
    struct failing_allocator memory;
    struct varve_buffer bytes;

    encode(statement, &memory, &bytes);
    for (size_t at = 0; at < TOTAL_SIZE; at++) {
        const uint8_t before = bytes.data[at];
        for (unsigned byte = 0; byte < 256; byte++) {
            bytes.data[at] = (uint8_t)byte;
            const varve_status rc = decode(&memory, bytes.data, TOTAL_SIZE);
            must(rc == VARVE_OK || rc == VARVE_ECORRUPT || rc == VARVE_EVERSION);
        }
        bytes.data[at] = before;
    }
    varve_buffer_free(&bytes);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    struct failing_allocator memory;
    struct varve_buffer bytes;

    encode(statement, &memory, &bytes);
    for (long n = 0;; n++) {
        struct failing_allocator failing;
        failing_init(&failing, n);
        struct varve_schema *schema = NULL, *copy = NULL;
        varve_status rc =
            varve_schema_decode(varve_buffer_span(&bytes), &failing.heap, &schema, NULL);
        if (rc == VARVE_OK)
            rc = varve_schema_with_id(schema, &failing.heap, 7, 3, &copy, NULL);
        ck_assert(rc == VARVE_OK || rc == VARVE_ENOMEM);
        varve_schema_unref(schema);
        varve_schema_unref(copy);
        ck_assert_uint_eq(varve_heap_used(&failing.heap), 0);
        if (rc == VARVE_OK)
            break;
        ck_assert_int_lt(n, 20);
    }
    for (long n = 0;; n++) { /* the encoder's failure shows in the buffer */
        struct failing_allocator failing;
        struct varve_buffer out;
        struct varve_schema *schema = schema_of(statement);
        failing_init(&failing, n);
        varve_buffer_init(&out, &failing.heap);
        varve_schema_encode(schema, &out);
        const bool failed = out.failed;
        varve_buffer_free(&out);
        varve_schema_free(schema);
        if (!failed)
            break;
        ck_assert_int_lt(n, 20);
    }
    varve_buffer_free(&bytes);
}
END_TEST

START_TEST(a_copy_with_an_id_outlives_the_original)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of(statement), *copy;
    uint32_t column;

    failing_init(&memory, -1);
    ck_assert_int_eq(varve_schema_with_id(schema, &memory.heap, 42, 9, &copy, NULL), VARVE_OK);
    ck_assert_uint_eq(schema->table_id, 0);
    varve_schema_free(schema);
    ck_assert_uint_eq(copy->table_id, 42);
    ck_assert_uint_eq(copy->version, 9);
    ck_assert_str_eq(varve_schema_table_name(copy), "bars");
    ck_assert_int_eq(varve_schema_find(copy, "D", &column, NULL), VARVE_OK);
    ck_assert_uint_eq(column, 3);
    ck_assert_ptr_eq(varve_schema_ref(copy), copy);
    varve_schema_unref(copy);
    ck_assert_uint_eq(copy->phys[3], VARVE_PHYS_I64); /* one reference is left */
    varve_schema_unref(copy);
    ck_assert_uint_eq(varve_heap_used(&memory.heap), 0);
    varve_schema_unref(NULL);
    varve_schema_free(NULL);
}
END_TEST

/* Read tests/golden/schema/v1/NAME; returns a terminated text to free. */
static char *read_golden(const char *name)
{
    char path[128];
    char *text = calloc(1, 16384);

    (void)snprintf(path, sizeof path, "tests/golden/schema/v1/%s", name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL && text != NULL, "%s", path);
    ck_assert_uint_gt(fread(text, 1, 16383, file), 0);
    (void)fclose(file);
    return text;
}

START_TEST(golden_bytes_have_not_changed)
{
    static const char *const names[] = {"smallest", "every_type", "options"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct failing_allocator memory;
        struct varve_buffer bytes;
        char name[64], got[8192] = "";

        (void)snprintf(name, sizeof name, "%s.cql", names[i]);
        char *text = read_golden(name);
        (void)snprintf(name, sizeof name, "%s.hex", names[i]);
        char *hex = read_golden(name);
        hex[strcspn(hex, "\n")] = '\0';
        encode(text, &memory, &bytes);
        for (size_t k = 0; k < bytes.size; k++)
            (void)snprintf(got + 2 * k, 3, "%02x", (unsigned)bytes.data[k]);
        ck_assert_str_eq(got, hex);
        ck_assert_int_eq(decode(&memory, bytes.data, bytes.size), VARVE_OK);
        varve_buffer_free(&bytes);
        free(text);
        free(hex);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("schema_format");

    tcase_add_loop_test(tcase, each_rule_broken_alone_is_refused, 0,
                        (int)(sizeof breaks / sizeof breaks[0]));
    tcase_add_test(tcase, an_empty_name_is_refused);
    tcase_add_test(tcase, any_length_but_the_right_one_is_refused);
    tcase_add_test(tcase, any_byte_with_any_value_is_survived);
    tcase_add_test(tcase, every_failed_allocation_is_survived);
    tcase_add_test(tcase, a_copy_with_an_id_outlives_the_original);
    tcase_add_test(tcase, golden_bytes_have_not_changed);
    return run_case("schema_format", tcase);
}
