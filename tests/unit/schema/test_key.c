/*
 * test_key.c - keys: bytes compare as values do, decoding is the inverse and total.
 */
#include "storage/schema/key.h"

#include <math.h>

#include "schema_fixture.h"
#include "storage/base/rng.h"

static const char *const types[] = {
    "boolean",        "tinyint", "smallint", "int",       "bigint", "float", "double", "decimal",
    "decimal(18, 4)", "text",    "blob",     "timestamp", "date",   "time",  "uuid"};

#define TYPES (sizeof types / sizeof types[0])

static int sign_of(int number)
{
    return (number > 0) - (number < 0);
}

/* Numbers that sit at edges as often as anywhere. */
static int64_t random_i64(struct varve_rng *rng)
{
    const int64_t near = (int64_t)varve_rng_below(rng, 5) - 2;
    const uint64_t bits = varve_rng_next(rng);

    switch (varve_rng_below(rng, 4)) {
    case 0:
        return near;
    case 1:
        return near < 0 ? INT64_MAX + near + 1 : INT64_MIN + near;
    case 2:
        return (int64_t)bits >> varve_rng_below(rng, 64);
    default:
        return (int64_t)bits;
    }
}

static float random_f32(struct varve_rng *rng)
{
    static const uint32_t edges[] = {0,          0x80000000, 1,          0x80000001,
                                     0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001,
                                     0x7F800001, 0x3F800000, 0x7F7FFFFF, 0x00800000};
    uint32_t bits = (uint32_t)varve_rng_next(rng);
    float value;

    if (varve_rng_below(rng, 2) == 0)
        bits = edges[varve_rng_below(rng, sizeof edges / sizeof edges[0])];
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double random_f64(struct varve_rng *rng)
{
    static const uint64_t edges[] = {0,
                                     UINT64_C(0x8000000000000000),
                                     1,
                                     UINT64_C(0x7FF0000000000000),
                                     UINT64_C(0xFFF0000000000000),
                                     UINT64_C(0x7FF8000000000000),
                                     UINT64_C(0xFFF8000000000001),
                                     UINT64_C(0x7FF0000000000001),
                                     UINT64_C(0x7FEFFFFFFFFFFFFF),
                                     UINT64_C(0x0010000000000000)};
    uint64_t bits = varve_rng_next(rng);
    double value;

    if (varve_rng_below(rng, 2) == 0)
        bits = edges[varve_rng_below(rng, sizeof edges / sizeof edges[0])];
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Short strings over few letters, so that one is often a prefix of another. */
static void random_bytes(struct varve_rng *rng, bool text, uint8_t *bytes, varve_value *value)
{
    static const uint8_t letters[] = {0x00, 0x01, 'a', 0x7F, 0xFE, 0xFF};
    const size_t size = (size_t)varve_rng_below(rng, 6);

    for (size_t i = 0; i < size; i++)
        bytes[i] = letters[varve_rng_below(rng, text ? 4 : 6)];
    value->as.bytes.data = bytes;
    value->as.bytes.size = size;
}

static void random_decimal(struct varve_rng *rng, varve_value *value)
{
    value->as.i64 = random_i64(rng);
    value->scale = (int8_t)varve_rng_next(rng);
    if (varve_rng_below(rng, 2) == 0) { /* one value in many spellings */
        static const int64_t powers[] = {1, 10, 100, 1000, 10000};
        const unsigned zeros = (unsigned)varve_rng_below(rng, 5);
        value->as.i64 = powers[zeros] * ((int64_t)varve_rng_below(rng, 21) - 10);
        value->scale = (int8_t)(zeros + varve_rng_below(rng, 3));
    }
}

static varve_value random_value(struct varve_rng *rng, const varve_column_info *column,
                                uint8_t *bytes)
{
    varve_value value = {.type = column->type, .scale = column->scale, .unit = column->unit};

    switch (column->type) {
    case VARVE_BOOLEAN:
        value.as.i64 = (int64_t)varve_rng_below(rng, 2);
        break;
    case VARVE_TINYINT:
        value.as.i64 = (int8_t)random_i64(rng);
        break;
    case VARVE_SMALLINT:
        value.as.i64 = (int16_t)random_i64(rng);
        break;
    case VARVE_INT:
    case VARVE_DATE:
        value.as.i64 = (int32_t)random_i64(rng);
        break;
    case VARVE_FLOAT:
        value.as.f32 = random_f32(rng);
        break;
    case VARVE_DOUBLE:
        value.as.f64 = random_f64(rng);
        break;
    case VARVE_DECIMAL:
        if (column->precision == 0)
            random_decimal(rng, &value);
        else
            value.as.i64 = random_i64(rng) % INT64_C(1000000000000000000);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        random_bytes(rng, column->type == VARVE_TEXT, bytes, &value);
        break;
    case VARVE_TIME:
        value.as.i64 = (int64_t)varve_rng_below(rng, UINT64_C(86400000000000));
        break;
    case VARVE_UUID:
        for (int i = 0; i < 16; i++)
            value.as.uuid[i] = (uint8_t)(varve_rng_below(rng, 2) ? varve_rng_next(rng) : 0);
        if (varve_rng_below(rng, 2))
            value.as.uuid[6] = (uint8_t)(0x10 | (value.as.uuid[6] & 15));
        break;
    default:
        value.as.i64 = random_i64(rng);
        break;
    }
    return value;
}

/* The same value, bit for bit. */
static void assert_same(const varve_value *a, const varve_value *b)
{
    must(a->type == b->type && a->scale == b->scale && a->unit == b->unit);
    if (a->type == VARVE_TEXT || a->type == VARVE_BLOB) {
        must(a->as.bytes.size == b->as.bytes.size);
        must(a->as.bytes.size == 0 ||
             memcmp(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size) == 0);
    } else {
        const size_t size = a->type == VARVE_UUID ? 16 : a->type == VARVE_FLOAT ? 4 : 8;
        must(memcmp(&a->as, &b->as, size) == 0);
    }
}

START_TEST(bytes_compare_as_cells_do)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of_type(types[_i]);
    const varve_column_info *column = &schema->columns[0];
    struct varve_rng rng;
    struct varve_buffer left, right;
    uint8_t bytes[2][8];

    failing_init(&memory, -1);
    varve_buffer_init(&left, &memory.heap);
    varve_buffer_init(&right, &memory.heap);
    varve_rng_seed(&rng, (uint64_t)_i + 1);
    for (int round = 0; round < 40000; round++) {
        const varve_value a = random_value(&rng, column, bytes[0]);
        const varve_value b = random_value(&rng, column, bytes[1]);
        const int cells = sign_of(varve_cell_compare(column->type, &a, &b));

        for (int descending = 0; descending < 2; descending++) {
            varve_buffer_clear(&left);
            varve_buffer_clear(&right);
            varve_key_append(&left, column, descending, &a);
            varve_key_append(&right, column, descending, &b);
            const int keys =
                sign_of(varve_span_compare(varve_buffer_span(&left), varve_buffer_span(&right)));
            must(keys == (descending ? -cells : cells));
            /* Neither is a prefix of the other, unless they are equal. */
            const size_t shorter = left.size < right.size ? left.size : right.size;
            must(cells == 0 || memcmp(left.data, right.data, shorter) != 0);
        }
        must(sign_of(varve_cell_compare(column->type, &b, &a)) == -cells);
    }
    varve_buffer_free(&left);
    varve_buffer_free(&right);
    varve_schema_free(schema);
}
END_TEST

START_TEST(decoding_gives_the_canonical_value)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of_type(types[_i]);
    const varve_column_info *column = &schema->columns[0];
    struct varve_rng rng;
    struct varve_buffer key, again;
    uint8_t bytes[8], scratch[64];

    failing_init(&memory, -1);
    varve_buffer_init(&key, &memory.heap);
    varve_buffer_init(&again, &memory.heap);
    varve_rng_seed(&rng, (uint64_t)_i + 100);
    for (int round = 0; round < 20000; round++) {
        varve_value value = random_value(&rng, column, bytes), decoded;
        varve_buffer_clear(&key);
        varve_buffer_clear(&again);
        if (column->type == VARVE_TEXT && value.as.bytes.size == 0)
            continue;
        must(varve_key_encode(schema, &value, &key, NULL) == VARVE_OK);
        must(varve_key_decode(schema, varve_buffer_span(&key), scratch, &decoded, NULL) ==
             VARVE_OK);
        must(varve_cell_compare(column->type, &value, &decoded) == 0);
        varve_key_canonical(column->type, column->precision, &value);
        assert_same(&value, &decoded);
        must(varve_key_encode(schema, &decoded, &again, NULL) == VARVE_OK);
        must(varve_span_compare(varve_buffer_span(&key), varve_buffer_span(&again)) == 0);
    }
    varve_buffer_free(&key);
    varve_buffer_free(&again);
    varve_schema_free(schema);
}
END_TEST

START_TEST(concatenations_compare_column_by_column)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of(
        "CREATE TABLE x (a text, b blob, c int, d decimal, e double, f uuid, g text, t int, "
        "PRIMARY KEY ((a, b, c, d, e, f, g), t))");
    struct varve_rng rng;
    struct varve_buffer left, right;
    uint8_t bytes[2][8][8];
    varve_value a[8], b[8];

    failing_init(&memory, -1);
    varve_buffer_init(&left, &memory.heap);
    varve_buffer_init(&right, &memory.heap);
    varve_rng_seed(&rng, 7);
    for (int round = 0; round < 50000; round++) {
        int expected = 0;
        for (uint32_t i = 0; i < schema->n_partition; i++) {
            a[i] = random_value(&rng, &schema->columns[i], bytes[0][i]);
            b[i] = varve_rng_below(&rng, 2) ? a[i]
                                            : random_value(&rng, &schema->columns[i], bytes[1][i]);
            if (expected == 0)
                expected = sign_of(varve_cell_compare(a[i].type, &a[i], &b[i]));
        }
        varve_buffer_clear(&left);
        varve_buffer_clear(&right);
        must(varve_key_encode(schema, a, &left, NULL) == VARVE_OK);
        must(varve_key_encode(schema, b, &right, NULL) == VARVE_OK);
        must(sign_of(varve_span_compare(varve_buffer_span(&left), varve_buffer_span(&right))) ==
             expected);
    }
    varve_buffer_free(&left);
    varve_buffer_free(&right);
    varve_schema_free(schema);
}
END_TEST

static varve_value decimal_of(int64_t mantissa, int scale)
{
    return (varve_value){.type = VARVE_DECIMAL, .scale = (int8_t)scale, .as.i64 = mantissa};
}

START_TEST(decimals_of_any_scale_compare_by_value)
{
    static const struct {
        int64_t a;
        int a_scale;
        int64_t b;
        int b_scale;
        int order;
    } cases[] = {
        {10, 0, 1, -1, 0},
        {1000, 2, 10, 0, 0},
        {0, 127, 0, -128, 0},
        {1, 127, 0, -128, 1},
        {-1, 127, 0, -128, -1},
        {1, -128, INT64_MAX, 127, 1},
        {-1, -128, INT64_MIN, 127, -1},
        {INT64_MIN, 0, INT64_MIN, 1, -1},
        {INT64_MAX, 0, INT64_MAX, -1, -1},
        {INT64_MAX, 18, 9, 0, 1},
        {INT64_MAX, 18, 10, 0, -1},
        {15, 1, 149, 2, 1},
        {-15, 1, -149, 2, -1},
        {-15, 1, 15, 1, -1},
        {1, 0, 999999999999999999, 18, 1},
        {INT64_C(1000000000000000000), -128, 1, -128, 1},
        {INT64_C(1000000000000000000), 18, 1, 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const varve_value a = decimal_of(cases[i].a, cases[i].a_scale);
        const varve_value b = decimal_of(cases[i].b, cases[i].b_scale);
        ck_assert_int_eq(sign_of(varve_cell_compare(VARVE_DECIMAL, &a, &b)), cases[i].order);
        ck_assert_int_eq(sign_of(varve_cell_compare(VARVE_DECIMAL, &b, &a)), -cases[i].order);
    }
}
END_TEST

START_TEST(decimals_agree_with_128_bit_arithmetic)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, 11);
    for (int round = 0; round < 200000; round++) {
        const int shift = (int)varve_rng_below(&rng, 19); /* 10^18 x int64 fits 128 bits */
        const int scale = (int)varve_rng_below(&rng, 230) - 128;
        const varve_value a = decimal_of(random_i64(&rng) >> varve_rng_below(&rng, 64), scale);
        const varve_value b = decimal_of(random_i64(&rng), scale + shift);
        __extension__ __int128 left = a.as.i64;

        for (int i = 0; i < shift; i++)
            left *= 10;
        const int expected = (left > b.as.i64) - (left < b.as.i64);
        must(sign_of(varve_cell_compare(VARVE_DECIMAL, &a, &b)) == expected);
    }
}
END_TEST

START_TEST(canonical_decimals_have_no_trailing_zero)
{
    static const struct {
        int64_t mantissa;
        int scale;
        int64_t canonical;
        int canonical_scale;
    } cases[] = {
        {0, 5, 0, 0},         {0, -128, 0, 0},       {10, 0, 1, -1},
        {1000, 2, 1, -1},     {-1200, 3, -12, 1},    {5, -128, 5, -128},
        {50, -128, 50, -128}, {500, -127, 50, -128}, {7, 127, 7, 127},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        varve_value value = decimal_of(cases[i].mantissa, cases[i].scale);
        varve_key_canonical(VARVE_DECIMAL, 0, &value);
        ck_assert_int_eq(value.as.i64, cases[i].canonical);
        ck_assert_int_eq(value.scale, cases[i].canonical_scale);
    }
    varve_value fixed = decimal_of(1000, 2); /* decimal(p, s) keeps its scale */
    varve_key_canonical(VARVE_DECIMAL, 10, &fixed);
    ck_assert_int_eq(fixed.as.i64, 1000);
    varve_value null = {.type = VARVE_DECIMAL, .presence = VARVE_NULL, .scale = 3};
    varve_key_canonical(VARVE_DECIMAL, 0, &null);
    ck_assert_int_eq(null.scale, 3);
}
END_TEST

START_TEST(floats_sort_from_minus_infinity_to_nan)
{
    const double order[] = {-INFINITY, -1e300, -1.0,  -5e-324,  -0.0, 0.0,
                            5e-324,    1.0,    1e300, INFINITY, NAN};
    const size_t n = sizeof order / sizeof order[0];

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const varve_value a = {.type = VARVE_DOUBLE, .as.f64 = order[i]};
            const varve_value b = {.type = VARVE_DOUBLE, .as.f64 = order[j]};
            ck_assert_int_eq(varve_cell_compare(VARVE_DOUBLE, &a, &b), (i > j) - (i < j));
            const varve_value c = {.type = VARVE_FLOAT, .as.f32 = (float)order[i]};
            const varve_value d = {.type = VARVE_FLOAT, .as.f32 = (float)order[j]};
            if (i != 1 && i != 3 && i != 6 && i != 8 && j != 1 && j != 3 && j != 6 && j != 8)
                ck_assert_int_eq(varve_cell_compare(VARVE_FLOAT, &c, &d), (i > j) - (i < j));
        }
    }
}
END_TEST

START_TEST(version_1_uuids_sort_by_time)
{
    /* Time in ticks, spread over the fields of a version 1 uuid. */
    const uint64_t times[] = {0,
                              1,
                              UINT64_C(0xFFFFFFFF),
                              UINT64_C(0x100000000),
                              UINT64_C(0xFFFFFFFFFFFF),
                              UINT64_C(0x1000000000000),
                              UINT64_C(0xFFFFFFFFFFFFFFF)};
    varve_value previous = {.type = VARVE_UUID};

    memset(previous.as.uuid, 0xFF, 16); /* version 0 sorts below, whatever its bytes */
    previous.as.uuid[6] = 0x0F;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        varve_value uuid = {.type = VARVE_UUID};
        const uint64_t time = times[i];
        const uint8_t bytes[8] = {(uint8_t)(time >> 24),        (uint8_t)(time >> 16),
                                  (uint8_t)(time >> 8),         (uint8_t)time,
                                  (uint8_t)(time >> 40),        (uint8_t)(time >> 32),
                                  (uint8_t)(0x10 | time >> 56), (uint8_t)(time >> 48)};
        memcpy(uuid.as.uuid, bytes, 8);
        uuid.as.uuid[8] = (uint8_t)(255 - i);
        ck_assert_int_lt(varve_cell_compare(VARVE_UUID, &previous, &uuid), 0);
        previous = uuid;
    }
    varve_value version_4 = {.type = VARVE_UUID};
    version_4.as.uuid[6] = 0x40;
    ck_assert_int_lt(varve_cell_compare(VARVE_UUID, &previous, &version_4), 0);
}
END_TEST

START_TEST(serialised_order_is_unsigned)
{
    const varve_value minus = {.type = VARVE_INT, .as.i64 = -1};
    const varve_value one = {.type = VARVE_INT, .as.i64 = 1};
    const varve_value low = {.type = VARVE_INT, .as.i64 = INT32_MIN};

    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_INT, 0, &minus, &one), 0);
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_INT, 0, &minus, &low), 0);
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_INT, 0, &low, &one), 0);
    ck_assert_int_eq(varve_cell_compare_serialised(VARVE_INT, 0, &one, &one), 0);
    ck_assert_int_lt(varve_cell_compare_serialised(VARVE_DATE, 0, &minus, &one), 0);
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_TIMESTAMP, 0, &minus, &one), 0);

    const varve_value minus_zero = {.type = VARVE_DOUBLE, .as.f64 = -0.0};
    const varve_value zero = {.type = VARVE_DOUBLE, .as.f64 = 0.0};
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_DOUBLE, 0, &minus_zero, &zero), 0);
    const varve_value f_minus = {.type = VARVE_FLOAT, .as.f32 = -1.0f};
    const varve_value f_inf = {.type = VARVE_FLOAT, .as.f32 = INFINITY};
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_FLOAT, 0, &f_minus, &f_inf), 0);

    const varve_value uuid_1 = {.type = VARVE_UUID, .as.uuid = {1, 0, 0, 0, 0, 0, 0x40}};
    const varve_value uuid_2 = {.type = VARVE_UUID, .as.uuid = {2, 0, 0, 0, 0, 0, 0x10}};
    ck_assert_int_lt(varve_cell_compare_serialised(VARVE_UUID, 0, &uuid_1, &uuid_2), 0);
    const varve_value a = {.type = VARVE_TEXT, .as.bytes = {"a", 1}};
    const varve_value ab = {.type = VARVE_TEXT, .as.bytes = {"ab", 2}};
    ck_assert_int_lt(varve_cell_compare_serialised(VARVE_TEXT, 0, &a, &ab), 0);
}
END_TEST

START_TEST(serialised_bare_decimals_compare_scale_then_mantissa)
{
    /* The mantissa is minimal: 128 is 00 80, below 7F; -129 is FF 7F. */
    const varve_value m127 = decimal_of(127, 0), m128 = decimal_of(128, 0);
    const varve_value m256 = decimal_of(256, 0), minus = decimal_of(-1, 0);
    const varve_value m129 = decimal_of(-129, 0), m128n = decimal_of(-128, 0);
    ck_assert_int_lt(varve_cell_compare_serialised(VARVE_DECIMAL, 0, &m128, &m127), 0);
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_DECIMAL, 0, &m256, &m128), 0);
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_DECIMAL, 0, &m129, &minus), 0);
    ck_assert_int_lt(varve_cell_compare_serialised(VARVE_DECIMAL, 0, &m128n, &minus), 0);
    /* Fixed, 127 and 128 are eight bytes. */
    ck_assert_int_gt(varve_cell_compare_serialised(VARVE_DECIMAL, 18, &m128, &m127), 0);
    const varve_value negative_scale = decimal_of(0, -1), positive_scale = decimal_of(99, 127);
    ck_assert_int_gt(
        varve_cell_compare_serialised(VARVE_DECIMAL, 0, &negative_scale, &positive_scale), 0);
}
END_TEST

static varve_status decode_hex(const char *type, const char *hex)
{
    struct varve_schema *schema = schema_of_type(type);
    uint8_t key[64], scratch[64];
    size_t size = 0;
    varve_value value;

    for (; *hex != '\0'; hex += 2) {
        unsigned byte;
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        key[size++] = (uint8_t)byte;
    }
    const varve_status rc =
        varve_key_decode(schema, varve_span_of(key, size), scratch, &value, NULL);
    varve_schema_free(schema);
    return rc;
}

START_TEST(decoding_refuses_what_encoding_cannot_make)
{
    static const struct {
        const char *type;
        const char *hex;
    } bad[] = {
        {"int", ""},                      /* nothing */
        {"int", "00"},                    /* the wrong row kind */
        {"int", "0080000000"},            /* the wrong row kind, else right */
        {"int", "01800000"},              /* cut short */
        {"int", "018000000000"},          /* too long */
        {"boolean", "0102"},              /* neither false nor true */
        {"time", "017FFFFFFFFFFFFFFF"},   /* before midnight */
        {"time", "0180004E94914F0000"},   /* 24:00 */
        {"float", "01FFC00001"},          /* a NaN that is not the one */
        {"float", "01003FFFFF"},          /* a negative NaN */
        {"double", "01FFF8000000000001"}, /* as above */
        {"text", "010000"},               /* empty text as the whole key */
        {"text", "0161"},                 /* no terminator */
        {"text", "016100"},               /* half a terminator */
        {"text", "01610001"},             /* a zero that is not escaped */
        {"text", "01610000FF"},           /* bytes behind the terminator */
        {"text", "01FF0000"},             /* not UTF-8 */
        {"uuid", "0100000000000000000000000000000000"
                 "00"},                        /* a byte too many */
        {"decimal", "0180000000000000000001"}, /* zero with digits */
        {"decimal", "0180800000000000000001"}, /* digits that do not begin at the first place */
        {"decimal", "018081FFFFFFFFFFFFFFFF"}, /* twenty digits */
        {"decimal", "0180000"
                    "0"},                      /* cut short */
        {"decimal", "01FFFF0DE0B6B3A7640000"}, /* an exponent that no value has */
        {"decimal", "0100000DE0B6B3A7640000"}, /* as above */
        {"decimal", "0180800DE0B6B3A7640001"
                    "00"}, /* a byte too many */
        {"decimal", "018092"
                    "8AC7230489E7FFFF"},         /* a mantissa above int64 */
        {"decimal", "0180010DE0B6B3A7640001"},   /* a scale above 127 */
        {"decimal(3, 1)", "0180000000000003E8"}, /* more digits than the precision */
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(decode_hex(bad[i].type, bad[i].hex) == VARVE_ECORRUPT, "%s %s", bad[i].type,
                      bad[i].hex);
    ck_assert_int_eq(decode_hex("int", "0180000000"), VARVE_OK);
    ck_assert_int_eq(decode_hex("text", "01610000"), VARVE_OK);
    ck_assert_int_eq(decode_hex("blob", "010000"), VARVE_OK);
    ck_assert_int_eq(decode_hex("decimal", "0180800DE0B6B3A7640000"), VARVE_OK);
    ck_assert_int_eq(decode_hex("decimal(3, 1)", "0180000000000003E7"), VARVE_OK);
}
END_TEST

static bool has_zero(const varve_value *value)
{
    return (value->type == VARVE_TEXT || value->type == VARVE_BLOB) && value->as.bytes.size > 0 &&
           memchr(value->as.bytes.data, 0, value->as.bytes.size) != NULL;
}

/* Two values, the second often the first again or nearly: the comparison is that of the encodings. */
START_TEST(a_key_is_what_its_values_encode_to) /* loop test: _i is the type */
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of_type(types[_i]);
    struct varve_buffer keys[2];
    const bool is_text = strcmp(types[_i], "text") == 0 || strcmp(types[_i], "blob") == 0;
    uint8_t bytes[2][64];
    struct varve_rng rng;
    uint32_t same = 0;

    failing_init(&memory, -1);
    varve_rng_seed(&rng, (uint64_t)_i);
    varve_buffer_init(&keys[0], &memory.heap);
    varve_buffer_init(&keys[1], &memory.heap);
    for (int round = 0; round < 20000; round++) {
        varve_value values[2];
        varve_status rc[2];
        for (int i = 0; i < 2; i++) {
            values[i] = i == 1 && varve_rng_below(&rng, 2) == 0
                            ? values[0]
                            : random_value(&rng, &schema->columns[0], bytes[i]);
            if (i == 1 && !is_text && varve_rng_below(&rng, 8) == 0)
                values[i].as.uuid[varve_rng_below(&rng, 8)] ^= 1;
            varve_buffer_clear(&keys[i]);
            rc[i] = varve_key_encode(schema, &values[i], &keys[i], NULL);
        }
        if (rc[0] < 0)
            continue;
        const bool is = varve_key_is(schema, &values[1], varve_buffer_span(&keys[0]));
        const bool equal = rc[1] == VARVE_OK && keys[0].size == keys[1].size &&
                           memcmp(keys[0].data, keys[1].data, keys[0].size) == 0;
        must(is == (equal && !has_zero(&values[1])));
        same += is;
    }
    ck_assert_uint_gt(same, 100);
    varve_buffer_free(&keys[0]);
    varve_buffer_free(&keys[1]);
    varve_schema_free(schema);
}
END_TEST

/* A zero byte is escaped by 0xFF: a blob that spells the escape out is another key. */
START_TEST(escapes_are_not_taken_for_bytes)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of_type("blob");
    struct varve_buffer key;
    const varve_value zero = {.type = VARVE_BLOB, .as.bytes = {"a", 2}};
    const varve_value spelled = {.type = VARVE_BLOB, .as.bytes = {"a\0\xFF", 3}};

    failing_init(&memory, -1);
    varve_buffer_init(&key, &memory.heap);
    ck_assert_int_eq(varve_key_encode(schema, &zero, &key, NULL), VARVE_OK);
    ck_assert(!varve_key_is(schema, &spelled, varve_buffer_span(&key)));
    varve_buffer_free(&key);
    varve_schema_free(schema);
}
END_TEST

START_TEST(encoding_refuses_bad_values_and_appends_nothing)
{
    struct failing_allocator memory;
    struct varve_schema *schema = schema_of_type("text");
    struct varve_buffer key;
    varve_error err;
    static char zeros[4096];
    varve_value value = {.type = VARVE_TEXT};

    failing_init(&memory, -1);
    varve_buffer_init(&key, &memory.heap);
    varve_write_u8(&key, 9);
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_ETYPE); /* empty */
    value.presence = VARVE_NULL;
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_ETYPE);
    value.presence = VARVE_UNSET;
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_ETYPE);
    value = (varve_value){.type = VARVE_BLOB, .as.bytes = {"a", 1}};
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_ETYPE);
    value = (varve_value){.type = VARVE_TEXT, .as.bytes = {zeros, 2047}};
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_ELIMIT); /* 4,097 */
    ck_assert_uint_eq(key.size, 1);
    value.as.bytes.size = 2046; /* 1 + 4,092 + 2 */
    ck_assert_int_eq(varve_key_encode(schema, &value, &key, &err), VARVE_OK);
    ck_assert_uint_eq(key.size, 1 + 4095);
    varve_buffer_free(&key);
    varve_schema_free(schema);
}
END_TEST

START_TEST(encoding_survives_every_failed_allocation)
{
    struct varve_schema *schema = schema_of_type("text");
    const varve_value value = {.type = VARVE_TEXT, .as.bytes = {"\0key", 4}};

    for (long n = 0;; n++) {
        struct failing_allocator memory;
        struct varve_buffer key;
        failing_init(&memory, n);
        varve_buffer_init(&key, &memory.heap);
        const varve_status rc = varve_key_encode(schema, &value, &key, NULL);
        ck_assert(rc == VARVE_OK || (rc == VARVE_ENOMEM && key.size == 0));
        varve_buffer_free(&key);
        ck_assert_uint_eq(varve_heap_used(&memory.heap), 0);
        if (rc == VARVE_OK)
            break;
        ck_assert_int_lt(n, 10);
    }
    varve_schema_free(schema);
}
END_TEST

/* tests/golden/key/v1/values.tsv: type, asc or desc, the value's text, the bytes in hex. */
START_TEST(golden_bytes_have_not_changed)
{
    FILE *file = fopen("tests/golden/key/v1/values.tsv", "r");
    char line[512], type[32], direction[8], text[256], hex[256];
    int lines = 0;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        struct failing_allocator memory;
        struct varve_buffer key;
        varve_value value;
        uint8_t scratch[256];
        char got[256] = "";

        ck_assert_int_eq(
            sscanf(line, "%31[^\t]\t%7[^\t]\t%255[^\t]\t%255[^\n]", type, direction, text, hex), 4);
        struct varve_schema *schema = schema_of_type(type);
        failing_init(&memory, -1);
        varve_buffer_init(&key, &memory.heap);
        ck_assert_int_eq(
            varve_value_parse(&schema->columns[0], text, strlen(text), scratch, &value, NULL),
            VARVE_OK);
        varve_key_append(&key, &schema->columns[0], strcmp(direction, "desc") == 0, &value);
        for (size_t i = 0; i < key.size; i++)
            (void)snprintf(got + 2 * i, 3, "%02x", (unsigned)key.data[i]);
        ck_assert_str_eq(got, hex);
        varve_buffer_free(&key);
        varve_schema_free(schema);
        lines++;
    }
    ck_assert_int_ge(lines, 40);
    (void)fclose(file);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("key");

    tcase_add_loop_test(tcase, bytes_compare_as_cells_do, 0, (int)TYPES);
    tcase_add_loop_test(tcase, decoding_gives_the_canonical_value, 0, (int)TYPES);
    tcase_add_test(tcase, concatenations_compare_column_by_column);
    tcase_add_test(tcase, decimals_of_any_scale_compare_by_value);
    tcase_add_test(tcase, decimals_agree_with_128_bit_arithmetic);
    tcase_add_test(tcase, canonical_decimals_have_no_trailing_zero);
    tcase_add_test(tcase, floats_sort_from_minus_infinity_to_nan);
    tcase_add_test(tcase, version_1_uuids_sort_by_time);
    tcase_add_test(tcase, serialised_order_is_unsigned);
    tcase_add_test(tcase, serialised_bare_decimals_compare_scale_then_mantissa);
    tcase_add_test(tcase, decoding_refuses_what_encoding_cannot_make);
    tcase_add_loop_test(tcase, a_key_is_what_its_values_encode_to, 0, (int)TYPES);
    tcase_add_test(tcase, escapes_are_not_taken_for_bytes);
    tcase_add_test(tcase, encoding_refuses_bad_values_and_appends_nothing);
    tcase_add_test(tcase, encoding_survives_every_failed_allocation);
    tcase_add_test(tcase, golden_bytes_have_not_changed);
    return run_case("key", tcase);
}
