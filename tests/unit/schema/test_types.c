/*
 * test_types.c - forms in memory, UTF-8, and the check of values.
 */
#include "schema_fixture.h"

static const char all_types[] =
    "CREATE TABLE x (k text, t time, b boolean, i1 tinyint, i2 smallint, i4 int, i8 bigint, "
    "f float, d double, p decimal(5, 2), q decimal, s text, o blob, ts timestamp, dt date, "
    "tm time, u uuid, PRIMARY KEY (k, t))";

static varve_status check(const struct varve_schema *schema, const char *column, varve_value value)
{
    uint32_t number = 0;
    varve_error err = {0};

    ck_assert_int_eq(varve_schema_find(schema, column, &number, NULL), VARVE_OK);
    const varve_status rc = varve_schema_check_value(schema, number, &value, &err);
    ck_assert_int_eq(varve_schema_check_value(schema, number, &value, NULL), rc);
    ck_assert_int_eq(err.status, rc);
    ck_assert(rc == VARVE_OK || strstr(err.message, column) != NULL);
    return rc;
}

START_TEST(every_type_has_its_form)
{
    static const struct {
        uint8_t type, precision;
        enum varve_phys phys;
        uint32_t width;
    } forms[] = {
        {VARVE_BOOLEAN, 0, VARVE_PHYS_I8, 1},   {VARVE_TINYINT, 0, VARVE_PHYS_I8, 1},
        {VARVE_SMALLINT, 0, VARVE_PHYS_I16, 2}, {VARVE_INT, 0, VARVE_PHYS_I32, 4},
        {VARVE_BIGINT, 0, VARVE_PHYS_I64, 8},   {VARVE_FLOAT, 0, VARVE_PHYS_F32, 4},
        {VARVE_DOUBLE, 0, VARVE_PHYS_F64, 8},   {VARVE_DECIMAL, 0, VARVE_PHYS_DEC, 8},
        {VARVE_DECIMAL, 18, VARVE_PHYS_I64, 8}, {VARVE_TEXT, 0, VARVE_PHYS_BYTES, 0},
        {VARVE_BLOB, 0, VARVE_PHYS_BYTES, 0},   {VARVE_TIMESTAMP, 0, VARVE_PHYS_I64, 8},
        {VARVE_DATE, 0, VARVE_PHYS_I32, 4},     {VARVE_TIME, 0, VARVE_PHYS_I64, 8},
        {VARVE_UUID, 0, VARVE_PHYS_B16, 16},
    };

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        ck_assert_int_eq(varve_phys_of(forms[i].type, forms[i].precision), forms[i].phys);
        ck_assert_uint_eq(varve_phys_width(forms[i].phys), forms[i].width);
    }
}
END_TEST

/* The rule by definition: decode, then compare with what the code point would be written as. */
static bool utf8_by_definition(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const uint8_t lead = text[i];
        const size_t n = lead < 0x80       ? 1
                         : lead >> 5 == 6  ? 2
                         : lead >> 4 == 14 ? 3
                         : lead >> 3 == 30 ? 4
                                           : 0;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (n == 0 || n > size - i)
            return false;
        uint32_t point = n == 1 ? lead : lead & (0x7Fu >> n);
        for (size_t k = 1; k < n; k++) {
            if ((text[i + k] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (text[i + k] & 0x3F);
        }
        if (point < least[n] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
        i += n;
    }
    return true;
}

START_TEST(utf8_is_what_its_definition_says)
{
    static const uint8_t tails[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    const size_t n = sizeof tails;

    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < n * n; c++) {
                const uint8_t text[4] = {(uint8_t)a, (uint8_t)b, tails[c / n], tails[c % n]};
                for (size_t size = 0; size <= 4; size++)
                    must(varve_utf8_valid(text, size) == utf8_by_definition(text, size));
            }
    const uint8_t far[] = "0123456789abcdef\xC3\xBC"
                          "0123456\xC3";
    ck_assert(varve_utf8_valid(far, 18 + 7));
    ck_assert(!varve_utf8_valid(far, 18 + 8));
}
END_TEST

START_TEST(ranges_of_integers_and_times)
{
    static const struct {
        const char *column;
        uint8_t type;
        int8_t scale;
        int64_t min, max;
    } ranges[] = {
        {"b", VARVE_BOOLEAN, 0, 0, 1},
        {"i1", VARVE_TINYINT, 0, INT8_MIN, INT8_MAX},
        {"i2", VARVE_SMALLINT, 0, INT16_MIN, INT16_MAX},
        {"i4", VARVE_INT, 0, INT32_MIN, INT32_MAX},
        {"i8", VARVE_BIGINT, 0, INT64_MIN, INT64_MAX},
        {"p", VARVE_DECIMAL, 2, -99999, 99999},
        {"q", VARVE_DECIMAL, 77, INT64_MIN, INT64_MAX},
        {"ts", VARVE_TIMESTAMP, 0, INT64_MIN, INT64_MAX},
        {"dt", VARVE_DATE, 0, INT32_MIN, INT32_MAX},
        {"tm", VARVE_TIME, 0, 0, INT64_C(86399999999999)},
        {"t", VARVE_TIME, 0, 0, INT64_C(86399999999999)},
    };
    struct varve_schema *schema = schema_of(all_types);

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        varve_value value = {.type = ranges[i].type, .scale = ranges[i].scale};
        value.as.i64 = ranges[i].min;
        ck_assert_int_eq(check(schema, ranges[i].column, value), VARVE_OK);
        value.as.i64 = ranges[i].max;
        ck_assert_int_eq(check(schema, ranges[i].column, value), VARVE_OK);
        if (ranges[i].max == INT64_MAX)
            continue;
        value.as.i64 = ranges[i].min - 1;
        ck_assert_int_eq(check(schema, ranges[i].column, value), VARVE_ETYPE);
        value.as.i64 = ranges[i].max + 1;
        ck_assert_int_eq(check(schema, ranges[i].column, value), VARVE_ETYPE);
    }
    varve_schema_free(schema);
}
END_TEST

START_TEST(everything_else_about_a_value)
{
    struct varve_schema *schema = schema_of(all_types);
    static uint8_t zeros[VARVE_CELL_BYTES_MAX + 1];
    varve_value value = {.type = VARVE_DOUBLE};

    ck_assert_int_eq(check(schema, "d", value), VARVE_OK);
    ck_assert_int_eq(check(schema, "f", value), VARVE_ETYPE); /* another type */
    value.presence = VARVE_NULL;
    ck_assert_int_eq(check(schema, "d", value), VARVE_OK);
    ck_assert_int_eq(check(schema, "f", value), VARVE_OK); /* null has no type */
    ck_assert_int_eq(check(schema, "k", value), VARVE_ETYPE);
    value.presence = VARVE_UNSET;
    ck_assert_int_eq(check(schema, "d", value), VARVE_OK);
    ck_assert_int_eq(check(schema, "t", value), VARVE_ETYPE);
    value.presence = 3;
    ck_assert_int_eq(check(schema, "d", value), VARVE_EINVAL);

    value = (varve_value){.type = VARVE_FLOAT};
    ck_assert_int_eq(check(schema, "f", value), VARVE_OK);
    value = (varve_value){.type = VARVE_UUID};
    ck_assert_int_eq(check(schema, "u", value), VARVE_OK);
    value = (varve_value){.type = VARVE_TIMESTAMP, .unit = VARVE_MILLISECONDS};
    ck_assert_int_eq(check(schema, "ts", value), VARVE_OK);
    value.unit = VARVE_SECONDS;
    ck_assert_int_eq(check(schema, "ts", value), VARVE_ETYPE);
    value = (varve_value){.type = VARVE_DECIMAL, .scale = 3};
    ck_assert_int_eq(check(schema, "p", value), VARVE_ETYPE);

    value = (varve_value){.type = VARVE_TEXT, .as.bytes = {"\xFF", 1}};
    ck_assert_int_eq(check(schema, "s", value), VARVE_ETYPE);
    value = (varve_value){.type = VARVE_TEXT};
    ck_assert_int_eq(check(schema, "s", value), VARVE_OK);
    ck_assert_int_eq(check(schema, "k", value), VARVE_OK);
    value = (varve_value){.type = VARVE_BLOB, .as.bytes = {NULL, 1}};
    ck_assert_int_eq(check(schema, "o", value), VARVE_EINVAL);
    value = (varve_value){.type = VARVE_BLOB, .as.bytes = {zeros, VARVE_CELL_BYTES_MAX}};
    ck_assert_int_eq(check(schema, "o", value), VARVE_OK);
    value.as.bytes.size++;
    ck_assert_int_eq(check(schema, "o", value), VARVE_ELIMIT);
    value = (varve_value){.type = VARVE_TEXT, .as.bytes = {zeros, VARVE_KEY_BYTES_MAX + 1}};
    ck_assert_int_eq(check(schema, "k", value), VARVE_ELIMIT);
    ck_assert_int_eq(check(schema, "s", value), VARVE_OK);
    varve_schema_free(schema);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("types");

    tcase_add_test(tcase, every_type_has_its_form);
    tcase_add_test(tcase, utf8_is_what_its_definition_says);
    tcase_add_test(tcase, ranges_of_integers_and_times);
    tcase_add_test(tcase, everything_else_about_a_value);
    return run_case("types", tcase);
}
