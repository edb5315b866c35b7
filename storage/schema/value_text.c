/*
 * value_text.c - one value from text and to text (docs/CQL.md, Values): what import reads and scan
 * prints. For every value that a column can hold, parsing what was formatted gives the same bits.
 *
 * Each parse_* function reads the whole text and returns what is wrong with it (static text), or
 * NULL with the value filled in.
 */
#include <assert.h>
#include <fenv.h>
#include <string.h>

#include "storage/base/error.h"
#include "storage/base/exact.h"
#include "storage/base/float_mode.h"
#include "storage/schema/calendar_int.h"
#include "storage/schema/float_text_int.h"
#include "storage/schema/schema.h"
#include "storage/schema/types_int.h"

#define SCALE_MIN (-128)
#define SCALE_MAX 127

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(const char *text, size_t size, const char *word)
{
    for (size_t i = 0; i < size; i++)
        if (word[i] == '\0' || (text[i] | 0x20) != word[i])
            return false;
    return word[size] == '\0';
}

/* -------------------------------------------------------------------------- Integers, boolean */

static const char *parse_boolean(const char *text, size_t size, varve_value *value)
{
    const bool yes = is_word(text, size, "true") || (size == 1 && *text == '1');
    const bool no = is_word(text, size, "false") || (size == 1 && *text == '0');

    value->as.i64 = yes;
    return yes || no ? NULL : "a boolean is true, false, 1 or 0";
}

/* Whether the text is an integer by its form, so that it is not read as a date. */
static bool is_integer(const char *text, size_t size)
{
    size_t i = size > 1 && (*text == '-' || *text == '+');

    for (; i < size; i++)
        if (!is_digit(text[i]))
            return false;
    return size > 0;
}

static const char *parse_integer(const char *text, size_t size, uint8_t type, varve_value *value)
{
    struct varve_type_range range;
    const bool has_range = varve_type_range(type, 0, &range);
    const bool negative = size > 0 && *text == '-';
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t magnitude = 0;

    assert(has_range);
    if (!is_integer(text, size))
        return "this is not an integer";
    for (size_t i = !is_digit(*text); i < size; i++) {
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (magnitude > (limit - digit) / 10)
            return "outside the range of 64 bits";
        magnitude = magnitude * 10 + digit;
    }
    value->as.i64 = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (value->as.i64 < range.min || value->as.i64 > range.max)
        return "outside the range of the type";
    return NULL;
}

/* ----------------------------------------------------------------------------------- Decimal */

/* Text as mantissa x 10^zeros x 10^-scale, where the mantissa ends in no zero. */
struct decimal_text {
    bool negative;
    bool overflow; /* the mantissa needs more than 64 bits, of which it has the low ones */
    uint64_t mantissa;
    int64_t zeros;
    int64_t scale;
};

static void add_digit(struct decimal_text *d, unsigned digit)
{
    if (digit == 0) { /* it counts only if another digit follows */
        d->zeros += d->mantissa != 0;
        return;
    }
    for (; d->zeros > 0 && !d->overflow; d->zeros--) {
        d->overflow = d->mantissa > UINT64_MAX / 10;
        d->mantissa *= 10;
    }
    if (d->mantissa > (UINT64_MAX - digit) / 10)
        d->overflow = true;
    d->mantissa = d->mantissa * 10 + digit;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point. */
static bool scan_decimal(const char *text, size_t size, struct decimal_text *d)
{
    const char *const end = text + size;
    int64_t exponent = 0;
    size_t digits = 0;

    *d = (struct decimal_text){.negative = size > 0 && *text == '-'};
    if (size > 0 && (*text == '-' || *text == '+'))
        text++;
    for (; text < end && is_digit(*text); text++, digits++)
        add_digit(d, (unsigned)(*text - '0'));
    if (text < end && *text == '.') {
        for (text++; text < end && is_digit(*text); text++, digits++, d->scale++)
            add_digit(d, (unsigned)(*text - '0'));
    }
    if (digits == 0)
        return false;
    if (text == end)
        return true;
    if ((*text++ | 0x20) != 'e')
        return false;
    const bool negative = text < end && *text == '-';
    if (text < end && (*text == '-' || *text == '+'))
        text++;
    if (text == end)
        return false;
    for (; text < end && is_digit(*text); text++)
        if (exponent < INT32_MAX)
            exponent = exponent * 10 + (*text - '0');
    d->scale += negative ? exponent : -exponent;
    return text == end;
}

/* Multiply by 10^zeros; false if the result leaves `limit`. */
static bool scale_up(uint64_t *mantissa, int64_t zeros, uint64_t limit)
{
    for (; zeros > 0; zeros--) {
        if (*mantissa > limit / 10)
            return false;
        *mantissa *= 10;
    }
    return *mantissa <= limit;
}

/*
 * The spelling is kept if it fits. Where it does not, trailing zeros are taken away or added, as
 * that changes no value: down to the column's scale, or to what int64 and int8 hold.
 */
static const char *parse_decimal(const varve_column_info *column, const char *text, size_t size,
                                 varve_value *value)
{
    struct decimal_text d;
    struct varve_type_range range;
    uint64_t mantissa;

    if (!scan_decimal(text, size, &d))
        return "this is not a decimal number";
    const bool fixed = column->precision != 0;
    const int64_t shortest = d.scale - d.zeros; /* the least scale that is exact */
    int64_t scale = fixed ? column->scale : d.scale;
    if (!fixed && scale > SCALE_MAX)
        scale = SCALE_MAX;
    if (!fixed && scale < SCALE_MIN)
        scale = SCALE_MIN;
    if (d.mantissa == 0 && !d.overflow) {
        value->as.i64 = 0;
        value->scale = (int8_t)scale;
        return NULL;
    }
    if (scale < shortest)
        return fixed ? "more digits after the point than the column has"
                     : "the number is too small for a decimal";

    (void)varve_type_range(VARVE_DECIMAL, column->precision, &range);
    const uint64_t limit = d.negative ? 0 - (uint64_t)range.min : (uint64_t)range.max;
    const char *fault =
        fixed ? "more digits than the column has" : "more digits than a decimal holds";
    for (;; scale--) {
        mantissa = d.mantissa;
        if (!d.overflow && scale - shortest <= 19 && scale_up(&mantissa, scale - shortest, limit))
            break;
        if (fixed || d.overflow || scale == SCALE_MIN || scale == shortest)
            return fault;
    }
    value->as.i64 = d.negative ? (int64_t)(0 - mantissa) : (int64_t)mantissa;
    value->scale = (int8_t)scale;
    return NULL;
}

/* --------------------------------------------------------------------- Text, blob, uuid, time */

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *parse_text(const char *text, size_t size, varve_value *value)
{
    if (!varve_utf8_valid((const uint8_t *)text, size))
        return "the text is not valid UTF-8";
    value->as.bytes.data = text;
    value->as.bytes.size = size;
    return NULL;
}

static const char *parse_blob(const char *text, size_t size, uint8_t *scratch, varve_value *value)
{
    if (size < 2 || size % 2 != 0 || text[0] != '0' || (text[1] | 0x20) != 'x')
        return "a blob is 0x and pairs of hexadecimal digits";
    for (size_t i = 2; i < size; i += 2) {
        const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return "a blob is 0x and pairs of hexadecimal digits";
        scratch[i / 2 - 1] = (uint8_t)(high << 4 | low);
    }
    value->as.bytes.data = scratch;
    value->as.bytes.size = size / 2 - 1;
    return NULL;
}

/* Whether a dash stands before byte `i` of a uuid's text. */
static bool dash_before(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

static const char *parse_uuid(const char *text, size_t size, varve_value *value)
{
    static const char form[] = "a uuid is 32 hexadecimal digits in groups of 8-4-4-4-12";

    if (size != 36)
        return form;
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i) && *text++ != '-')
            return form;
        const int high = hex_digit(text[0]), low = hex_digit(text[1]);
        if (high < 0 || low < 0)
            return form;
        value->as.uuid[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return NULL;
}

/* A timestamp, date or time of day: an integer or its calendar form. */
static const char *parse_time(const varve_column_info *column, const char *text, size_t size,
                              varve_value *value)
{
    if (is_integer(text, size))
        return parse_integer(text, size, column->type, value);
    if (column->type == VARVE_TIMESTAMP)
        return varve_calendar_timestamp_parse(text, size, column->unit, &value->as.i64);
    if (column->type == VARVE_DATE)
        return varve_calendar_date_parse(text, size, &value->as.i64);
    return varve_calendar_time_parse(text, size, &value->as.i64);
}

/* What the caller's thread has set. The C library's printf() rounds as fesetround() says, which on
 * x86 is one mode more. */
struct caller_mode {
    varve_float_mode mode;
    int rounding;
};

static struct caller_mode enter_mode(void)
{
    const struct caller_mode caller = {varve_float_mode_enter(), fegetround()};

    if (caller.rounding != FE_TONEAREST)
        (void)fesetround(FE_TONEAREST);
    return caller;
}

static void leave_mode(const struct caller_mode *caller)
{
    if (caller->rounding != FE_TONEAREST)
        (void)fesetround(caller->rounding);
    varve_float_mode_leave(&caller->mode);
}

static const char *parse_floating(const char *text, size_t size, varve_value *value)
{
    const struct caller_mode caller = enter_mode();
    const char *fault = value->type == VARVE_FLOAT
                            ? varve_float_text_parse_f32(text, size, &value->as.f32)
                            : varve_float_text_parse_f64(text, size, &value->as.f64);

    leave_mode(&caller);
    return fault;
}

static size_t format_floating(const varve_value *value, char *out)
{
    const struct caller_mode caller = enter_mode();
    const size_t size = value->type == VARVE_FLOAT
                            ? varve_float_text_format_f32(value->as.f32, out)
                            : varve_float_text_format_f64(value->as.f64, out);

    leave_mode(&caller);
    return size;
}

static const char *parse_value(const varve_column_info *column, const char *text, size_t size,
                               void *scratch, varve_value *value)
{
    switch (column->type) {
    case VARVE_BOOLEAN:
        return parse_boolean(text, size, value);
    case VARVE_FLOAT:
    case VARVE_DOUBLE:
        return parse_floating(text, size, value);
    case VARVE_DECIMAL:
        return parse_decimal(column, text, size, value);
    case VARVE_TEXT:
        return parse_text(text, size, value);
    case VARVE_BLOB:
        return parse_blob(text, size, scratch, value);
    case VARVE_UUID:
        return parse_uuid(text, size, value);
    case VARVE_TIMESTAMP:
    case VARVE_DATE:
    case VARVE_TIME:
        return parse_time(column, text, size, value);
    default:
        return parse_integer(text, size, column->type, value);
    }
}

varve_status varve_value_parse(const varve_column_info *column, const char *text, size_t size,
                               void *scratch, varve_value *ret_value, varve_error *err)
{
    if (column == NULL || ret_value == NULL || (text == NULL && size > 0) ||
        column->type < VARVE_BOOLEAN || column->type > VARVE_UUID ||
        (column->type == VARVE_BLOB && scratch == NULL))
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "varve_value_parse needs a column, a text and a place for the "
                               "result, and for a blob also scratch");

    varve_value value = {.type = column->type, .scale = column->scale, .unit = column->unit};
    const char *fault = parse_value(column, text == NULL ? "" : text, size, scratch, &value);
    if (fault != NULL)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET, "column %.64s: %s",
                               column->name, size == 0 ? "there is no text" : fault);
    *ret_value = value;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Format */

#define NUMBER_TEXT_MAX 192u /* sign, 39 digits, point, 128 zeros */

/* The digits of a number; returns how many. */
static size_t put_digits(char *out, varve_u128 number)
{
    char reversed[40];
    size_t count = 0;

    for (; number > UINT64_MAX; number /= 10)
        reversed[count++] = (char)('0' + (int)(number % 10));
    uint64_t rest = (uint64_t)number;
    do {
        reversed[count++] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

/* number x 10^-scale, with exactly `scale` digits after the point, or with an exponent if the scale
 * is negative: so that the scale can be read back. */
static size_t format_scaled(varve_i128 number, int scale, char *out)
{
    char *at = out;
    char digits[40];
    size_t count = put_digits(digits, number < 0 ? 0 - (varve_u128)number : (varve_u128)number);

    if (number < 0)
        *at++ = '-';
    if (scale <= 0) {
        memcpy(at, digits, count);
        at += count;
        if (scale < 0) {
            *at++ = 'E';
            *at++ = '+';
            at += put_digits(at, (varve_u128)-scale);
        }
        return (size_t)(at - out);
    }
    const size_t places = (size_t)scale;
    const size_t whole = count > places ? count - places : 0;
    memcpy(at, whole > 0 ? digits : "0", whole > 0 ? whole : 1);
    at += whole > 0 ? whole : 1;
    *at++ = '.';
    for (size_t i = count; i < places; i++)
        *at++ = '0';
    memcpy(at, digits + whole, count - whole);
    return (size_t)(at + (count - whole) - out);
}

static size_t format_uuid(const uint8_t uuid[16], char *out)
{
    static const char hex[] = "0123456789abcdef";
    char *at = out;

    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i))
            *at++ = '-';
        *at++ = hex[uuid[i] >> 4];
        *at++ = hex[uuid[i] & 15];
    }
    return (size_t)(at - out);
}

static size_t format_calendar(const varve_value *value, char *out)
{
    if (value->type == VARVE_TIMESTAMP)
        return value->unit >= VARVE_SECONDS && value->unit <= VARVE_NANOSECONDS
                   ? varve_calendar_timestamp_format(value->as.i64, value->unit, out)
                   : 0;
    if (value->type == VARVE_DATE)
        return varve_calendar_date_format(value->as.i64, out);
    return varve_calendar_time_format(value->as.i64, out);
}

/* Everything but text and blobs, into NUMBER_TEXT_MAX characters. */
static size_t format_scalar(const varve_value *value, uint32_t flags, char *out)
{
    size_t size = 0;

    switch (value->type) {
    case VARVE_BOOLEAN:
        size = value->as.i64 != 0 ? 4 : 5;
        memcpy(out, value->as.i64 != 0 ? "true" : "false", size);
        return size;
    case VARVE_FLOAT:
    case VARVE_DOUBLE:
        return format_floating(value, out);
    case VARVE_DECIMAL:
        return format_scaled(value->as.i64, value->scale, out);
    case VARVE_HUGEINT:
        return format_scaled(
            (varve_i128)((varve_u128)(uint64_t)value->as.i128.high << 64 | value->as.i128.low),
            value->scale, out);
    case VARVE_UUID:
        return format_uuid(value->as.uuid, out);
    case VARVE_TIMESTAMP:
    case VARVE_DATE:
    case VARVE_TIME:
        if ((flags & VARVE_FORMAT_RAW_TIME) == 0)
            size = format_calendar(value, out);
        return size > 0 ? size : format_scaled(value->as.i64, 0, out);
    default:
        return format_scaled(value->as.i64, 0, out);
    }
}

static size_t format_blob(const varve_value *value, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *data = value->as.bytes.data;
    const size_t needed = 2 + 2 * value->as.bytes.size;

    for (size_t i = 0; i < needed && i < size; i++) {
        if (i < 2)
            out[i] = "0x"[i];
        else
            out[i] = hex[i % 2 == 0 ? data[i / 2 - 1] >> 4 : data[i / 2 - 1] & 15];
    }
    return needed;
}

size_t varve_value_format(const varve_value *value, uint32_t flags, char *out, size_t size)
{
    char scalar[NUMBER_TEXT_MAX];
    const char *text = scalar;
    size_t needed;

    if (value == NULL || value->presence != VARVE_SET)
        return 0;
    if (out == NULL)
        size = 0;
    if (value->type == VARVE_BLOB)
        return format_blob(value, out, size);
    if (value->type == VARVE_TEXT) {
        text = value->as.bytes.data;
        needed = value->as.bytes.size;
    } else {
        needed = format_scalar(value, flags, scalar);
        assert(needed <= sizeof scalar);
    }
    const size_t written = needed < size ? needed : size;
    if (written > 0)
        memcpy(out, text, written);
    return needed;
}
