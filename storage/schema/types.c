/*
 * types.c - what each type may hold: its form in memory, and the check that every value passes on
 * its way in. Behind this check the rest of the library asserts instead of asking.
 */
#include "storage/schema/schema.h"

#include <assert.h>
#include <inttypes.h>

#include "storage/schema/types_int.h"

#define TIME_END_NS INT64_C(86400000000000)

enum varve_phys varve_phys_of(uint8_t type, uint8_t precision)
{
    static const uint8_t phys[] = {
        [VARVE_BOOLEAN] = VARVE_PHYS_I8,    [VARVE_TINYINT] = VARVE_PHYS_I8,
        [VARVE_SMALLINT] = VARVE_PHYS_I16,  [VARVE_INT] = VARVE_PHYS_I32,
        [VARVE_BIGINT] = VARVE_PHYS_I64,    [VARVE_FLOAT] = VARVE_PHYS_F32,
        [VARVE_DOUBLE] = VARVE_PHYS_F64,    [VARVE_DECIMAL] = VARVE_PHYS_I64,
        [VARVE_TEXT] = VARVE_PHYS_BYTES,    [VARVE_BLOB] = VARVE_PHYS_BYTES,
        [VARVE_TIMESTAMP] = VARVE_PHYS_I64, [VARVE_DATE] = VARVE_PHYS_I32,
        [VARVE_TIME] = VARVE_PHYS_I64,      [VARVE_UUID] = VARVE_PHYS_B16,
    };

    assert(type >= VARVE_BOOLEAN && type <= VARVE_UUID);
    if (type == VARVE_DECIMAL && precision == 0)
        return VARVE_PHYS_DEC;
    return (enum varve_phys)phys[type];
}

uint32_t varve_phys_width(enum varve_phys phys)
{
    static const uint8_t width[] = {
        [VARVE_PHYS_I8] = 1,   [VARVE_PHYS_I16] = 2, [VARVE_PHYS_I32] = 4,
        [VARVE_PHYS_I64] = 8,  [VARVE_PHYS_F32] = 4, [VARVE_PHYS_F64] = 8,
        [VARVE_PHYS_B16] = 16, [VARVE_PHYS_DEC] = 8, [VARVE_PHYS_BYTES] = 0,
    };

    assert(phys >= VARVE_PHYS_I8 && phys <= VARVE_PHYS_BYTES);
    return width[phys];
}

const char *varve_type_name(uint8_t type)
{
    static const char *const names[] = {
        [VARVE_BOOLEAN] = "boolean", [VARVE_TINYINT] = "tinyint",     [VARVE_SMALLINT] = "smallint",
        [VARVE_INT] = "int",         [VARVE_BIGINT] = "bigint",       [VARVE_FLOAT] = "float",
        [VARVE_DOUBLE] = "double",   [VARVE_DECIMAL] = "decimal",     [VARVE_TEXT] = "text",
        [VARVE_BLOB] = "blob",       [VARVE_TIMESTAMP] = "timestamp", [VARVE_DATE] = "date",
        [VARVE_TIME] = "time",       [VARVE_UUID] = "uuid",           [VARVE_HUGEINT] = "hugeint",
    };

    return type >= VARVE_BOOLEAN && type <= VARVE_HUGEINT ? names[type] : "unknown type";
}

bool varve_type_range(uint8_t type, uint8_t precision, struct varve_type_range *ret_range)
{
    switch (type) {
    case VARVE_BOOLEAN:
        *ret_range = (struct varve_type_range){0, 1};
        return true;
    case VARVE_TINYINT:
        *ret_range = (struct varve_type_range){INT8_MIN, INT8_MAX};
        return true;
    case VARVE_SMALLINT:
        *ret_range = (struct varve_type_range){INT16_MIN, INT16_MAX};
        return true;
    case VARVE_INT:
    case VARVE_DATE:
        *ret_range = (struct varve_type_range){INT32_MIN, INT32_MAX};
        return true;
    case VARVE_BIGINT:
    case VARVE_TIMESTAMP:
        *ret_range = (struct varve_type_range){INT64_MIN, INT64_MAX};
        return true;
    case VARVE_TIME:
        *ret_range = (struct varve_type_range){0, TIME_END_NS - 1};
        return true;
    case VARVE_DECIMAL:
        if (precision == 0) {
            *ret_range = (struct varve_type_range){INT64_MIN, INT64_MAX};
        } else {
            const int64_t end = (int64_t)varve_pow10(precision);
            *ret_range = (struct varve_type_range){1 - end, end - 1};
        }
        return true;
    default:
        return false;
    }
}

uint64_t varve_pow10(unsigned exponent)
{
    uint64_t power = 1;

    assert(exponent <= 19);
    for (unsigned i = 0; i < exponent; i++)
        power *= 10;
    return power;
}

/* Bytes of the sequence that starts at text[0], or 0 if it is not one that UTF-8 allows: no
 * overlong form, no surrogate, nothing above U+10FFFF. */
static size_t utf8_sequence(const uint8_t *text, size_t left)
{
    const uint8_t lead = text[0];
    uint8_t low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t size;

    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    if (left < size || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

bool varve_utf8_valid(const uint8_t *text, size_t size)
{
    size_t i = 0;

    while (i < size) {
        if (size - i >= 8) { /* eight ASCII bytes at a time: most text is nothing else */
            uint64_t word;
            memcpy(&word, text + i, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        const size_t sequence = utf8_sequence(text + i, size - i);
        if (sequence == 0)
            return false;
        i += sequence;
    }
    return true;
}

static varve_status check_bytes(const varve_column_info *column, const varve_value *value,
                                varve_error *err)
{
    const size_t max =
        column->kind == VARVE_VALUE_COLUMN ? VARVE_CELL_BYTES_MAX : VARVE_KEY_BYTES_MAX;

    if (value->as.bytes.size > max)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "column %.64s: %zu bytes, at most %zu are allowed", column->name,
                               value->as.bytes.size, max);
    if (value->as.bytes.size > 0 && value->as.bytes.data == NULL)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "column %.64s: a size without bytes", column->name);
    if (value->type == VARVE_TEXT &&
        !varve_utf8_valid((const uint8_t *)value->as.bytes.data, value->as.bytes.size))
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s: the text is not valid UTF-8", column->name);
    return VARVE_OK;
}

static varve_status check_scalar(const varve_column_info *column, const varve_value *value,
                                 varve_error *err)
{
    struct varve_type_range range;

    if (value->type == VARVE_TIMESTAMP && value->unit != 0 && value->unit != column->unit)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s: the timestamp has another unit than the column",
                               column->name);
    if (value->type == VARVE_DECIMAL && column->precision != 0 && value->scale != column->scale)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s: the decimal has scale %d, the column has %d",
                               column->name, value->scale, column->scale);
    if (!varve_type_range(value->type, column->precision, &range))
        return VARVE_OK; /* any bits are a float, a double or a uuid */
    if (value->as.i64 < range.min || value->as.i64 > range.max)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s: outside the range of %s, %" PRId64 " to %" PRId64,
                               column->name, varve_type_name(value->type), range.min, range.max);
    return VARVE_OK;
}

varve_status varve_schema_check_value(const struct varve_schema *schema, uint32_t column,
                                      const varve_value *value, varve_error *err)
{
    assert(column < schema->n_columns);
    const varve_column_info *info = &schema->columns[column];

    if (value->presence != VARVE_SET) {
        if (value->presence > VARVE_UNSET)
            return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                                   "column %.64s: presence %u is none", info->name,
                                   (unsigned)value->presence);
        if (column < schema->first_value)
            return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                                   "key column %.64s has no value", info->name);
        return VARVE_OK;
    }
    if (value->type != info->type)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s is %s, the value is %s", info->name,
                               varve_type_name(info->type), varve_type_name(value->type));
    if (value->type == VARVE_TEXT || value->type == VARVE_BLOB)
        return check_bytes(info, value, err);
    return check_scalar(info, value, err);
}
