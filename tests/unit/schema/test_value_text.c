/*
 * test_value_text.c - text of values: what is accepted, what it means, what is refused, and that
 * formatting and parsing are inverse for every value of every type.
 */
#include <fenv.h>
#include <locale.h>
#include <math.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "schema_fixture.h"
#include "storage/base/rng.h"

static varve_column_info column_of(uint8_t type, uint8_t unit, uint8_t precision, int8_t scale)
{
    return (varve_column_info){.name = "v",
                               .type = type,
                               .kind = VARVE_VALUE_COLUMN,
                               .unit = unit,
                               .precision = precision,
                               .scale = scale,
                               .id = 1};
}

static varve_status parse(const varve_column_info *column, const char *text, varve_value *value)
{
    static uint8_t scratch[256];

    return varve_value_parse(column, text, strlen(text), scratch, value, NULL);
}

/* Format, with a terminator, into a buffer that no caller keeps. */
static const char *format(const varve_value *value, uint32_t flags, char out[512])
{
    const size_t size = varve_value_format(value, flags, out, 511);

    must(size < 512);
    out[size] = '\0';
    return out;
}

static void refused(uint8_t type, uint8_t unit, uint8_t precision, int8_t scale,
                    const char *const *texts)
{
    const varve_column_info column = column_of(type, unit, precision, scale);

    for (; *texts != NULL; texts++) {
        varve_value value;
        ck_assert_msg(parse(&column, *texts, &value) == VARVE_ETYPE, "accepted: '%s'", *texts);
    }
}

struct integer_case {
    const char *text;
    int64_t value;
};

static void accepted(uint8_t type, uint8_t unit, const struct integer_case *cases)
{
    const varve_column_info column = column_of(type, unit, 0, 0);

    for (; cases->text != NULL; cases++) {
        varve_value value;
        ck_assert_msg(parse(&column, cases->text, &value) == VARVE_OK, "refused: '%s'",
                      cases->text);
        ck_assert_msg(value.as.i64 == cases->value, "'%s' gives %lld", cases->text,
                      (long long)value.as.i64);
        ck_assert_uint_eq(value.unit, unit);
    }
}

START_TEST(booleans)
{
    static const struct integer_case good[] = {{"true", 1}, {"FALSE", 0}, {"True", 1},
                                               {"1", 1},    {"0", 0},     {NULL, 0}};
    static const char *const bad[] = {"", "t", "yes", "2", "truee", "tru", NULL};

    accepted(VARVE_BOOLEAN, 0, good);
    refused(VARVE_BOOLEAN, 0, 0, 0, bad);
}
END_TEST

START_TEST(integers_have_the_range_of_their_type)
{
    static const struct integer_case tiny[] = {{"-128", -128}, {"127", 127}, {"+5", 5},
                                               {"-0", 0},      {"007", 7},   {NULL, 0}};
    static const char *const not_tiny[] = {"128", "-129", "",   "+",   "-",   "1.0",
                                           "1e2", " 1",   "1 ", "0x1", "--1", NULL};
    static const struct integer_case big[] = {{"9223372036854775807", INT64_MAX},
                                              {"-9223372036854775808", INT64_MIN},
                                              {"00000000000000000000000000001", 1},
                                              {NULL, 0}};
    static const char *const not_big[] = {"9223372036854775808", "-9223372036854775809",
                                          "18446744073709551617", "99999999999999999999", NULL};
    static const char *const not_small[] = {"32768", "-32769", NULL};
    static const char *const not_int[] = {"2147483648", "-2147483649", NULL};

    accepted(VARVE_TINYINT, 0, tiny);
    refused(VARVE_TINYINT, 0, 0, 0, not_tiny);
    accepted(VARVE_BIGINT, 0, big);
    refused(VARVE_BIGINT, 0, 0, 0, not_big);
    refused(VARVE_SMALLINT, 0, 0, 0, not_small);
    refused(VARVE_INT, 0, 0, 0, not_int);
}
END_TEST

START_TEST(timestamps)
{
    static const struct integer_case ms[] = {
        {"1970-01-01", 0},
        {"2023-01-01T00:00:00.000Z", INT64_C(1672531200000)},
        {"2023-01-01 00:00", INT64_C(1672531200000)},
        {"2023-01-01 01:00:00+01", INT64_C(1672531200000)},
        {"2023-01-01 01:30:00+0130", INT64_C(1672531200000)},
        {"2022-12-31T18:15:00-05:45", INT64_C(1672531200000)},
        {"2023-01-01Z", INT64_C(1672531200000)},
        {"2023-01-01+01:00", INT64_C(1672527600000)},
        {"2024-01-02 03:04:05.678+01:00", INT64_C(1704161045678)},
        {"2024-01-02 03:04:05.678000000", INT64_C(1704164645678)},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2024-02-29", INT64_C(1709164800000)},
        {"2000-02-29", INT64_C(951782400000)},
        {"0001-01-01", INT64_C(-62135596800000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
        {"-5", -5},
        {"20240101", 20240101},
        {NULL, 0}};
    static const char *const not_ms[] = {"",
                                         "2024-02-30",
                                         "2023-02-29",
                                         "1900-02-29",
                                         "2024-13-01",
                                         "2024-00-01",
                                         "2024-01-00",
                                         "2024-04-31",
                                         "0000-01-01",
                                         "24-01-01",
                                         "2024-1-1",
                                         "2024-01-01T",
                                         "2024-01-01T24:00",
                                         "2024-01-01T00:60",
                                         "2024-01-01T00:00:60",
                                         "2024-01-01T00:00:00.",
                                         "2024-01-01T00:00:00.1234",
                                         "2024-01-01T00:00:00.1234567890",
                                         "2024-01-01T00:00.5",
                                         "2024-01-01T00",
                                         "2024-01-01T00:00Zx",
                                         "2024-01-01T00:00+1",
                                         "2024-01-01T00:00+19",
                                         "2024-01-01T00:00+18:01",
                                         "2024-01-01T00:00+01:",
                                         "2024-01-01T00:00+01:60",
                                         "2024-01-01T00:00 +01",
                                         "2024-01-01x",
                                         "2024-01-01  00:00",
                                         "9223372036854775808",
                                         "now",
                                         NULL};
    static const struct integer_case seconds[] = {
        {"2023-01-01T00:00:00Z", 1672531200}, {"2023-01-01T00:00:00.000", 1672531200}, {NULL, 0}};
    static const char *const not_seconds[] = {"2023-01-01T00:00:00.1", NULL};
    static const struct integer_case ns[] = {{"1677-09-21T00:12:43.145224192Z", INT64_MIN},
                                             {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
                                             {NULL, 0}};
    static const char *const not_ns[] = {"1677-09-21T00:12:43.145224191Z",
                                         "2262-04-11T23:47:16.854775808Z", "9999-01-01", NULL};
    static const struct integer_case us[] = {{"1970-01-01T00:00:00.000001Z", 1}, {NULL, 0}};

    accepted(VARVE_TIMESTAMP, VARVE_MILLISECONDS, ms);
    refused(VARVE_TIMESTAMP, VARVE_MILLISECONDS, 0, 0, not_ms);
    accepted(VARVE_TIMESTAMP, VARVE_SECONDS, seconds);
    refused(VARVE_TIMESTAMP, VARVE_SECONDS, 0, 0, not_seconds);
    accepted(VARVE_TIMESTAMP, VARVE_NANOSECONDS, ns);
    refused(VARVE_TIMESTAMP, VARVE_NANOSECONDS, 0, 0, not_ns);
    accepted(VARVE_TIMESTAMP, VARVE_MICROSECONDS, us);
}
END_TEST

START_TEST(dates_and_times_of_day)
{
    static const struct integer_case dates[] = {{"1970-01-01", 0},
                                                {"1969-12-31", -1},
                                                {"0001-01-01", -719162},
                                                {"9999-12-31", 2932896},
                                                {"-719163", -719163},
                                                {"2147483647", INT32_MAX},
                                                {NULL, 0}};
    static const char *const not_dates[] = {"2024-02-30", "2024-01-01T00:00", "2147483648", "", "x",
                                            NULL};
    static const struct integer_case times[] = {{"00:00", 0},
                                                {"23:59:59.999999999", INT64_C(86399999999999)},
                                                {"01:02:03", INT64_C(3723000000000)},
                                                {"00:00:00.5", 500000000},
                                                {"12", 12},
                                                {NULL, 0}};
    static const char *const not_times[] = {"24:00", "1:00", "00:00Z",    "86400000000000",
                                            "-1",    "",     "00:00:00.", NULL};

    accepted(VARVE_DATE, 0, dates);
    refused(VARVE_DATE, 0, 0, 0, not_dates);
    accepted(VARVE_TIME, 0, times);
    refused(VARVE_TIME, 0, 0, 0, not_times);
}
END_TEST

START_TEST(every_day_of_the_calendar_follows_the_one_before)
{
    const varve_column_info column = column_of(VARVE_DATE, 0, 0, 0);
    char text[512], expected[48];
    int year = 1, month = 1, day = 1;

    for (int64_t days = -719162; days <= 2932896; days++) {
        const varve_value value = {.type = VARVE_DATE, .as.i64 = days};
        varve_value parsed;
        const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        const int last = month == 2                                              ? 28 + leap
                         : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                                 : 31;
        if (days % 7 == 0 || day >= 27) { /* all month ends, and a sample of the rest */
            (void)snprintf(expected, sizeof expected, "%04d-%02d-%02d", year, month, day);
            must(strcmp(format(&value, 0, text), expected) == 0);
            must(parse(&column, expected, &parsed) == VARVE_OK && parsed.as.i64 == days);
        }
        day = day == last ? 1 : day + 1;
        month = day > 1 ? month : month == 12 ? 1 : month + 1;
        year += day == 1 && month == 1;
    }
    must(year == 10000);
}
END_TEST

START_TEST(years_outside_the_calendar_are_integers)
{
    char text[512];
    varve_value value = {.type = VARVE_DATE, .as.i64 = -719163};

    ck_assert_str_eq(format(&value, 0, text), "-719163");
    value.as.i64 = 2932897;
    ck_assert_str_eq(format(&value, 0, text), "2932897");
    value = (varve_value){
        .type = VARVE_TIMESTAMP, .unit = VARVE_SECONDS, .as.i64 = INT64_C(253402300800)};
    ck_assert_str_eq(format(&value, 0, text), "253402300800");
    value.as.i64 = INT64_C(-62135596801);
    ck_assert_str_eq(format(&value, 0, text), "-62135596801");
    value.as.i64 = 0;
    ck_assert_str_eq(format(&value, 0, text), "1970-01-01T00:00:00Z");
    ck_assert_str_eq(format(&value, VARVE_FORMAT_RAW_TIME, text), "0");
    value.unit = 0; /* no unit: nothing to make a calendar of */
    ck_assert_str_eq(format(&value, 0, text), "0");
}
END_TEST

struct decimal_case {
    const char *text;
    int64_t mantissa;
    int scale;
};

START_TEST(bare_decimals_keep_their_spelling)
{
    static const struct decimal_case cases[] = {
        {"0", 0, 0},
        {"-0.1", -1, 1},
        {"1.50", 150, 2},
        {"1E+3", 1, -3},
        {"1e3", 1, -3},
        {"1.5e-7", 15, 8},
        {".5", 5, 1},
        {"5.", 5, 0},
        {"+7", 7, 0},
        {"000012.00", 1200, 2},
        {"0.00", 0, 2},
        {"0E+3", 0, -3},
        {"100", 100, 0},
        {"9223372036854775807", INT64_MAX, 0},
        {"-9223372036854775808", INT64_MIN, 0},
        {"-9.223372036854775808", INT64_MIN, 18},
        /* What does not fit loses trailing zeros, or gets some, but never its value. */
        {"1.0000000000000000000000", INT64_C(1000000000000000000), 18},
        {"10000000000000000000", INT64_C(1000000000000000000), -1},
        {"1E+130", 100, -128},
        {"10E-128", 1, 127},
        {"0E+999999999999", 0, -128},
        {"0E-999", 0, 127},
    };
    const varve_column_info column = column_of(VARVE_DECIMAL, 0, 0, 0);
    static const char *const bad[] = {"",
                                      ".",
                                      "-",
                                      "1e",
                                      "1e+",
                                      "e5",
                                      "1.2.3",
                                      "0x10",
                                      "NaN",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "1E+147",
                                      "1E-128",
                                      "123456789012345678901",
                                      "18446744073709551616", /* 2^64, whose low bits are zero */
                                      "-18446744073709551616",
                                      "1844674407370955161.6",
                                      "36893488147419103232",
                                      "340282366920938463463374607431768211456",
                                      "1 ",
                                      "1E+99999999999999999999",
                                      NULL};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        varve_value value;
        ck_assert_msg(parse(&column, cases[i].text, &value) == VARVE_OK, "%s", cases[i].text);
        ck_assert_msg(value.as.i64 == cases[i].mantissa && value.scale == cases[i].scale,
                      "%s gives %lld scale %d", cases[i].text, (long long)value.as.i64,
                      value.scale);
    }
    refused(VARVE_DECIMAL, 0, 0, 0, bad);
}
END_TEST

START_TEST(fixed_decimals_are_exact)
{
    static const struct decimal_case cases[] = {
        {"1.5", 150, 2},      {"1.50000", 150, 2},    {"-0.01", -1, 2},
        {"999.99", 99999, 2}, {"-999.99", -99999, 2}, {"1E+2", 10000, 2},
        {"0", 0, 2},          {"0E+50", 0, 2},        {"1500e-3", 150, 2},
    };
    const varve_column_info column = column_of(VARVE_DECIMAL, 0, 5, 2);
    static const char *const bad[] = {"0.001",
                                      "1000",
                                      "-1000",
                                      "999.999",
                                      "1E+3",
                                      "",
                                      "1E-3",
                                      "99999999999999999999999",
                                      "184467440737095516.16",
                                      "-36893488147419103232",
                                      NULL};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        varve_value value;
        ck_assert_msg(parse(&column, cases[i].text, &value) == VARVE_OK, "%s", cases[i].text);
        ck_assert_int_eq(value.as.i64, cases[i].mantissa);
        ck_assert_int_eq(value.scale, 2);
    }
    refused(VARVE_DECIMAL, 0, 5, 2, bad);
}
END_TEST

START_TEST(doubles_from_text)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0.0},
        {"-0", -0.0},
        {"1.5", 1.5},
        {".5", 0.5},
        {"5.", 5.0},
        {"+1e3", 1000.0},
        {"1E-3", 0.001},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"0.000000000000000000000000000001", 1e-30},
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"4.9e-324", 4.9e-324},
        {"1e-400", 0.0},
        {"inf", INFINITY},
        {"-Infinity", -INFINITY},
        {"+INF", INFINITY},
        /* Half way between two doubles, and a hair above: every digit counts. */
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.00000000000000000000000000000000000001", 9007199254740994.0},
    };
    const varve_column_info column = column_of(VARVE_DOUBLE, 0, 0, 0);
    static const char *const bad[] = {"",
                                      "e",
                                      "1e",
                                      ".",
                                      "0x10",
                                      "1,5",
                                      "1e400",
                                      "-1e309",
                                      "nan(",
                                      "nan()",
                                      "NaN(0x7ff0000000000000)",
                                      "infin",
                                      "1 ",
                                      "NaN(0x7ff800000000000g)",
                                      "--1",
                                      "1..2",
                                      NULL};
    varve_value value;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(parse(&column, cases[i].text, &value) == VARVE_OK, "%s", cases[i].text);
        ck_assert_msg(memcmp(&value.as.f64, &cases[i].value, 8) == 0, "%s gives %.17g",
                      cases[i].text, value.as.f64);
    }
    ck_assert_int_eq(parse(&column, "nan", &value), VARVE_OK);
    ck_assert(isnan(value.as.f64));
    refused(VARVE_DOUBLE, 0, 0, 0, bad);
    static const char *const not_float[] = {"1e39", "NaN(0x7f800000)", "NaN(0x7fc0000)", NULL};
    refused(VARVE_FLOAT, 0, 0, 0, not_float);
}
END_TEST

START_TEST(digits_far_behind_the_point_still_round)
{
    const varve_column_info column = column_of(VARVE_DOUBLE, 0, 0, 0);
    static char text[3000];
    varve_value value;

    memset(text, '0', sizeof text - 1);
    memcpy(text, "9007199254740993.", 17);
    ck_assert_int_eq(varve_value_parse(&column, text, 2999, NULL, &value, NULL), VARVE_OK);
    ck_assert(value.as.f64 == 9007199254740992.0);
    text[2500] = '1';
    ck_assert_int_eq(varve_value_parse(&column, text, 2999, NULL, &value, NULL), VARVE_OK);
    ck_assert(value.as.f64 == 9007199254740994.0);
    memset(text, '0', sizeof text - 1);
    memcpy(text, "0.", 2);
    memcpy(text + 2990, "25e2989", 7); /* 0.000...025 x 10^2989 */
    ck_assert_int_eq(varve_value_parse(&column, text, 2997, NULL, &value, NULL), VARVE_OK);
    ck_assert(value.as.f64 == 2.5);
}
END_TEST

START_TEST(doubles_have_the_shortest_digits)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0, "1"},
        {-0.0, "-0"},
        {185.64, "185.64"},
        {100.0, "100"},
        {1e15, "1000000000000000"},
        {123456789012345680.0, "123456789012345680"},
        {1e21, "1e+21"},
        {1e20, "100000000000000000000"},
        {1.5e300, "1.5e+300"},
        {1e-6, "0.000001"},
        {1.25e-6, "0.00000125"},
        {1e-7, "1e-7"},
        {-1.5e-7, "-1.5e-7"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992"},
        {5.684341886080802e-14, "5.684341886080802e-14"}, /* 2^-44 */
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
    };
    static const struct {
        float value;
        const char *text;
    } floats[] = {
        {0.1f, "0.1"},
        {16777216.0f, "16777216"},
        {3.4028235e38f, "3.4028235e+38"},
        {1e-45f, "1e-45"},
        {1.17549435e-38f, "1.1754944e-38"},
        {185.64f, "185.64"},
        {-0.0f, "-0"},
        {0.3333333433f, "0.33333334"},
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
    };
    char text[512];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const varve_value value = {.type = VARVE_DOUBLE, .as.f64 = cases[i].value};
        ck_assert_str_eq(format(&value, 0, text), cases[i].text);
    }
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        const varve_value value = {.type = VARVE_FLOAT, .as.f32 = floats[i].value};
        ck_assert_str_eq(format(&value, 0, text), floats[i].text);
    }
}
END_TEST

/* Significant digits of a number's text. */
static int digits_in(const char *text)
{
    int digits = 0, zeros = 0;

    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && digits == 0))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        digits++;
    }
    return digits - zeros;
}

START_TEST(any_double_reads_back_and_no_shorter_text_does)
{
    const varve_column_info column = column_of(VARVE_DOUBLE, 0, 0, 0);
    struct varve_rng rng;
    char text[512], shorter[64];

    varve_rng_seed(&rng, 3);
    for (int round = 0; round < 60000; round++) {
        uint64_t bits = varve_rng_next(&rng);
        if (round % 4 == 1) /* powers of two and their neighbours */
            bits = (bits & UINT64_C(0xFFF0000000000000)) + varve_rng_below(&rng, 3) - 1;
        if (round % 4 == 2) /* subnormal */
            bits = bits >> 12 >> varve_rng_below(&rng, 52);
        varve_value value = {.type = VARVE_DOUBLE}, parsed;
        memcpy(&value.as.f64, &bits, 8);
        if (round % 4 == 3)
            value.as.f64 = (double)(int64_t)varve_rng_below(&rng, 10000000) / 100.0;
        must(parse(&column, format(&value, 0, text), &parsed) == VARVE_OK);
        must(memcmp(&parsed.as, &value.as, 8) == 0);
        const int digits = digits_in(text);
        if (!isfinite(value.as.f64) || digits < 2)
            continue;
        (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value.as.f64);
        must(strtod(shorter, NULL) != value.as.f64);
    }
}
END_TEST

START_TEST(any_float_reads_back_and_no_shorter_text_does)
{
    const varve_column_info column = column_of(VARVE_FLOAT, 0, 0, 0);
    struct varve_rng rng;
    char text[512], shorter[64];

    varve_rng_seed(&rng, 4);
    for (int round = 0; round < 60000; round++) {
        uint32_t bits = (uint32_t)varve_rng_next(&rng);
        if (round % 3 == 1)
            bits = (bits & UINT32_C(0xFF800000)) + (uint32_t)varve_rng_below(&rng, 3) - 1;
        if (round % 3 == 2)
            bits = bits >> 9 >> varve_rng_below(&rng, 23);
        varve_value value = {.type = VARVE_FLOAT}, parsed;
        memcpy(&value.as.f32, &bits, 4);
        must(parse(&column, format(&value, 0, text), &parsed) == VARVE_OK);
        must(memcmp(&parsed.as, &value.as, 4) == 0);
        const int digits = digits_in(text);
        if (!isfinite(value.as.f32) || digits < 2)
            continue;
        (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 2, (double)value.as.f32);
        must(strtof(shorter, NULL) != value.as.f32);
    }
}
END_TEST

/* The application's: its rounding, and its way with numbers that are nearly zero. */
static void set_mode(int rounding, bool flush)
{
    ck_assert_int_eq(fesetround(rounding), 0);
#if defined(__SSE__)
    const unsigned int flushes = 0x8040; /* results, and operands */
    _mm_setcsr(flush ? _mm_getcsr() | flushes : _mm_getcsr() & ~flushes);
#else
    (void)flush;
#endif
}

START_TEST(the_floating_point_mode_changes_nothing)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static const char *const texts[] = {"0.3",    "-0.1",   "1.1e-5",  "123456789.123456789",
                                        "5e-324", "1e-310", "-3e-320", "1.7976931348623157e308",
                                        "7e22",   "1e-40"};
    const varve_column_info columns[] = {column_of(VARVE_DOUBLE, 0, 0, 0),
                                         column_of(VARVE_FLOAT, 0, 0, 0)};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t c = 0; c < 2; c++) {
            varve_value usual = {0}, value = {0};
            char text[512], again[512];
            const varve_status rc = parse(&columns[c], texts[i], &usual);
            (void)format(&usual, 0, text);
            for (size_t m = 0; m < 8; m++) {
                set_mode(modes[m / 2], m % 2 == 1);
                const varve_status same = parse(&columns[c], texts[i], &value);
                const size_t size = varve_value_format(&usual, 0, again, sizeof again);
                set_mode(FE_TONEAREST, false);
                ck_assert_int_eq(same, rc);
                ck_assert_msg(memcmp(&usual.as, &value.as, 8) == 0, "%s in mode %zu", texts[i], m);
                ck_assert_msg(size == strlen(text), "%s in mode %zu: %.*s", text, m, (int)size,
                              again);
                ck_assert_mem_eq(again, text, size);
            }
        }
}
END_TEST

START_TEST(the_locale_changes_nothing)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    const varve_column_info column = column_of(VARVE_DOUBLE, 0, 0, 0);
    char text[512];
    varve_value value;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (setlocale(LC_ALL, names[i]) == NULL)
            continue; /* not installed */
        ck_assert_int_eq(parse(&column, "0.30000000000000004", &value), VARVE_OK);
        ck_assert_str_eq(format(&value, 0, text), "0.30000000000000004");
        ck_assert_int_eq(parse(&column, "0,5", &value), VARVE_ETYPE);
    }
}
END_TEST

START_TEST(decimals_and_hugeints_to_text)
{
    static const struct decimal_case cases[] = {
        {"0.00000001", 1, 8},
        {"1E+3", 1, -3},
        {"-15E+128", -15, -128},
        {"0.00", 0, 2},
        {"-0.05", -5, 2},
        {"123.45", 12345, 2},
        {"-9223372036854775808", INT64_MIN, 0},
        {"-9.223372036854775808", INT64_MIN, 18},
    };
    char text[512];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const varve_value value = {
            .type = VARVE_DECIMAL, .scale = (int8_t)cases[i].scale, .as.i64 = cases[i].mantissa};
        ck_assert_str_eq(format(&value, 0, text), cases[i].text);
    }
    varve_value sum = {.type = VARVE_HUGEINT, .as.i128 = {0, INT64_MIN}};
    ck_assert_str_eq(format(&sum, 0, text), "-170141183460469231731687303715884105728");
    sum.scale = 38;
    ck_assert_str_eq(format(&sum, 0, text), "-1.70141183460469231731687303715884105728");
    sum.scale = 127;
    ck_assert_uint_eq(strlen(format(&sum, 0, text)), 130);
    sum = (varve_value){.type = VARVE_HUGEINT, .scale = 2, .as.i128 = {UINT64_MAX, INT64_MAX}};
    ck_assert_str_eq(format(&sum, 0, text), "1701411834604692317316873037158841057.27");
    sum = (varve_value){.type = VARVE_HUGEINT, .scale = 2, .as.i128 = {UINT64_MAX, -1}};
    ck_assert_str_eq(format(&sum, 0, text), "-0.01");
    sum = (varve_value){.type = VARVE_HUGEINT, .as.i128 = {0, 1}};
    ck_assert_str_eq(format(&sum, 0, text), "18446744073709551616");
}
END_TEST

START_TEST(any_decimal_reads_back_bit_for_bit)
{
    const varve_column_info column = column_of(VARVE_DECIMAL, 0, 0, 0);
    struct varve_rng rng;
    char text[512];

    varve_rng_seed(&rng, 5);
    for (int round = 0; round < 50000; round++) {
        varve_value parsed, value = {.type = VARVE_DECIMAL};
        value.as.i64 = (int64_t)varve_rng_next(&rng) >> varve_rng_below(&rng, 64);
        value.scale = (int8_t)varve_rng_next(&rng);
        if (round == 0)
            value.as.i64 = INT64_MIN;
        must(parse(&column, format(&value, 0, text), &parsed) == VARVE_OK);
        must(parsed.as.i64 == value.as.i64 && parsed.scale == value.scale);
    }
}
END_TEST

static const struct {
    uint8_t type;
    uint8_t unit;
    int64_t min;
    int64_t max;
} integer_types[] = {
    {VARVE_BOOLEAN, 0, 0, 1},
    {VARVE_TINYINT, 0, INT8_MIN, INT8_MAX},
    {VARVE_SMALLINT, 0, INT16_MIN, INT16_MAX},
    {VARVE_INT, 0, INT32_MIN, INT32_MAX},
    {VARVE_BIGINT, 0, INT64_MIN, INT64_MAX},
    {VARVE_TIMESTAMP, VARVE_SECONDS, INT64_MIN, INT64_MAX},
    {VARVE_TIMESTAMP, VARVE_MILLISECONDS, INT64_MIN, INT64_MAX},
    {VARVE_TIMESTAMP, VARVE_MICROSECONDS, INT64_MIN, INT64_MAX},
    {VARVE_TIMESTAMP, VARVE_NANOSECONDS, INT64_MIN, INT64_MAX},
    {VARVE_DATE, 0, INT32_MIN, INT32_MAX},
    {VARVE_TIME, 0, 0, INT64_C(86399999999999)},
};

START_TEST(any_integer_or_time_reads_back)
{
    const uint8_t type = integer_types[_i].type;
    const varve_column_info column = column_of(type, integer_types[_i].unit, 0, 0);
    const int64_t min = integer_types[_i].min, max = integer_types[_i].max;
    struct varve_rng rng;
    char text[512];

    varve_rng_seed(&rng, (uint64_t)_i);
    for (int round = 0; round < 20000; round++) {
        varve_value parsed, value = {.type = type, .unit = integer_types[_i].unit};
        value.as.i64 = (int64_t)varve_rng_next(&rng) >> varve_rng_below(&rng, 64);
        if (round < 2)
            value.as.i64 = round == 0 ? min : max;
        if (value.as.i64 < min || value.as.i64 > max)
            continue;
        must(parse(&column, format(&value, 0, text), &parsed) == VARVE_OK);
        must(parsed.as.i64 == value.as.i64);
        must(parse(&column, format(&value, VARVE_FORMAT_RAW_TIME, text), &parsed) == VARVE_OK);
        must(parsed.as.i64 == value.as.i64);
    }
}
END_TEST

START_TEST(text_blobs_and_uuids)
{
    varve_column_info column = column_of(VARVE_TEXT, 0, 0, 0);
    char text[512];
    varve_value value;
    static const char *const bad_text[] = {"\xFF",         "\xC0\x80",         "\xE2\x82",
                                           "\xED\xA0\x80", "\xF4\x90\x80\x80", NULL};
    static const char *const bad_blobs[] = {"", "0", "0x0", "0xgg", "00", "1x00", "0x0g", NULL};
    static const char *const bad_uuids[] = {"",
                                            "123e4567e89b12d3a456426614174000",
                                            "123e4567-e89b-12d3-a456-42661417400",
                                            "123e4567-e89b-12d3-a456-4266141740000",
                                            "123e4567-e89b-12d3+a456-426614174000",
                                            "g23e4567-e89b-12d3-a456-426614174000",
                                            "123e4567-e89b-12d3-a456-42661417400g",
                                            NULL};

    ck_assert_int_eq(parse(&column, "z\xC3\xBCrich", &value), VARVE_OK);
    ck_assert_str_eq(format(&value, 0, text), "z\xC3\xBCrich");
    ck_assert_int_eq(varve_value_parse(&column, NULL, 0, NULL, &value, NULL), VARVE_OK);
    ck_assert_uint_eq(value.as.bytes.size, 0);
    refused(VARVE_TEXT, 0, 0, 0, bad_text);

    column = column_of(VARVE_BLOB, 0, 0, 0);
    ck_assert_int_eq(parse(&column, "0X00fFAb", &value), VARVE_OK);
    ck_assert_str_eq(format(&value, 0, text), "0x00ffab");
    ck_assert_int_eq(parse(&column, "0x", &value), VARVE_OK);
    ck_assert_str_eq(format(&value, 0, text), "0x");
    refused(VARVE_BLOB, 0, 0, 0, bad_blobs);

    column = column_of(VARVE_UUID, 0, 0, 0);
    ck_assert_int_eq(parse(&column, "123E4567-e89b-12d3-A456-426614174000", &value), VARVE_OK);
    ck_assert_str_eq(format(&value, 0, text), "123e4567-e89b-12d3-a456-426614174000");
    refused(VARVE_UUID, 0, 0, 0, bad_uuids);
}
END_TEST

START_TEST(format_writes_no_more_than_it_may)
{
    static const uint8_t blob[] = {0x12, 0x34};
    const varve_value values[] = {
        {.type = VARVE_BIGINT, .as.i64 = -12345},
        {.type = VARVE_TEXT, .as.bytes = {"abcdef", 6}},
        {.type = VARVE_BLOB, .as.bytes = {blob, 2}},
        {.type = VARVE_BIGINT, .presence = VARVE_NULL},
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char out[16], whole[16];
        const size_t needed = varve_value_format(&values[i], 0, NULL, 100);
        ck_assert_uint_eq(needed, i == 3 ? 0 : 6);
        ck_assert_uint_eq(varve_value_format(&values[i], 0, whole, sizeof whole), needed);
        for (size_t size = 0; size <= 8; size++) {
            memset(out, '#', sizeof out);
            ck_assert_uint_eq(varve_value_format(&values[i], 0, out, size), needed);
            const size_t written = size < needed ? size : needed;
            ck_assert(memcmp(out, whole, written) == 0);
            ck_assert_int_eq(out[written], '#');
        }
    }
}
END_TEST

START_TEST(bad_calls_are_refused)
{
    varve_column_info column = column_of(VARVE_BLOB, 0, 0, 0);
    varve_value value;

    ck_assert_int_eq(varve_value_parse(NULL, "1", 1, NULL, &value, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_value_parse(&column, "0x", 2, NULL, &value, NULL), VARVE_EINVAL);
    column.type = VARVE_INT;
    ck_assert_int_eq(varve_value_parse(&column, "1", 1, NULL, NULL, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_value_parse(&column, NULL, 1, NULL, &value, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_value_parse(&column, NULL, 0, NULL, &value, NULL), VARVE_ETYPE);
    column.type = VARVE_HUGEINT;
    ck_assert_int_eq(varve_value_parse(&column, "1", 1, NULL, &value, NULL), VARVE_EINVAL);
    ck_assert_uint_eq(varve_value_format(NULL, 0, NULL, 0), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("value_text");

    tcase_add_test(tcase, booleans);
    tcase_add_test(tcase, integers_have_the_range_of_their_type);
    tcase_add_test(tcase, timestamps);
    tcase_add_test(tcase, dates_and_times_of_day);
    tcase_add_test(tcase, every_day_of_the_calendar_follows_the_one_before);
    tcase_add_test(tcase, years_outside_the_calendar_are_integers);
    tcase_add_test(tcase, bare_decimals_keep_their_spelling);
    tcase_add_test(tcase, fixed_decimals_are_exact);
    tcase_add_test(tcase, doubles_from_text);
    tcase_add_test(tcase, digits_far_behind_the_point_still_round);
    tcase_add_test(tcase, doubles_have_the_shortest_digits);
    tcase_add_test(tcase, any_double_reads_back_and_no_shorter_text_does);
    tcase_add_test(tcase, any_float_reads_back_and_no_shorter_text_does);
    tcase_add_test(tcase, the_locale_changes_nothing);
    tcase_add_test(tcase, the_floating_point_mode_changes_nothing);
    tcase_add_test(tcase, decimals_and_hugeints_to_text);
    tcase_add_test(tcase, any_decimal_reads_back_bit_for_bit);
    tcase_add_loop_test(tcase, any_integer_or_time_reads_back, 0,
                        (int)(sizeof integer_types / sizeof integer_types[0]));
    tcase_add_test(tcase, text_blobs_and_uuids);
    tcase_add_test(tcase, format_writes_no_more_than_it_may);
    tcase_add_test(tcase, bad_calls_are_refused);
    return run_case("value_text", tcase);
}
