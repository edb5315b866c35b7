/*
 * column_buffer.c - see column_buffer.h.
 */
#include "tools/varve/column_buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/plain_number.h"

#define NO_MEMORY "out of memory"

static const int64_t powers_of_ten[19] = {1,
                                          10,
                                          100,
                                          1000,
                                          10000,
                                          100000,
                                          1000000,
                                          10000000,
                                          100000000,
                                          1000000000,
                                          10000000000,
                                          100000000000,
                                          1000000000000,
                                          10000000000000,
                                          100000000000000,
                                          1000000000000000,
                                          10000000000000000,
                                          100000000000000000,
                                          1000000000000000000};

static size_t width_of(uint8_t type)
{
    switch (type) {
    case VARVE_BOOLEAN:
    case VARVE_TINYINT:
        return 1;
    case VARVE_SMALLINT:
        return 2;
    case VARVE_INT:
    case VARVE_DATE:
    case VARVE_FLOAT:
        return 4;
    case VARVE_UUID:
        return 16;
    case VARVE_TEXT:
    case VARVE_BLOB:
        return 0;
    default:
        return 8;
    }
}

bool column_buffer_init(struct column_buffer *buffer, const varve_column_info *info,
                        uint32_t column, uint32_t capacity)
{
    *buffer = (struct column_buffer){
        .info = info, .column = column, .capacity = capacity, .width = width_of(info->type)};
    buffer->present = malloc(capacity);
    buffer->validity = malloc(capacity / 8 + 1);
    bool good = buffer->present != NULL && buffer->validity != NULL;
    if (buffer->width > 0) {
        buffer->values = calloc(capacity, buffer->width);
        good &= buffer->values != NULL;
    } else {
        buffer->bytes_capacity = (size_t)1 << 16;
        buffer->bytes = malloc(buffer->bytes_capacity);
        buffer->offsets = calloc((size_t)capacity + 1, sizeof *buffer->offsets);
        good &= buffer->bytes != NULL && buffer->offsets != NULL;
    }
    if (info->type == VARVE_DECIMAL && info->precision == 0) {
        buffer->scales = calloc(capacity, 1);
        good &= buffer->scales != NULL;
    }
    if (!good)
        column_buffer_free(buffer);
    return good;
}

void column_buffer_free(struct column_buffer *buffer)
{
    free(buffer->values);
    free(buffer->scales);
    free(buffer->present);
    free(buffer->validity);
    free(buffer->offsets);
    free(buffer->bytes);
    *buffer = (struct column_buffer){.info = NULL};
}

/* -------------------------------------------------------------------------------- Fast parsing */

static bool fast_decimal(struct column_buffer *buffer, uint32_t row, const struct plain_number *p)
{
    const varve_column_info *info = buffer->info;
    uint64_t mantissa = p->mantissa;

    if (info->precision > 0) {
        const int zeros = info->scale - p->digits;
        if (zeros < 0 || mantissa >= (uint64_t)powers_of_ten[info->precision - zeros])
            return false; /* perhaps it fits all the same: the library decides */
        mantissa *= (uint64_t)powers_of_ten[zeros];
    } else {
        buffer->scales[row] = (int8_t)p->digits;
    }
    ((int64_t *)buffer->values)[row] = p->negative ? -(int64_t)mantissa : (int64_t)mantissa;
    return true;
}

/* A mantissa and a power of ten that a double holds exactly: one rounding, so the nearest double. */
static bool fast_double(double *out, const struct plain_number *p)
{
    if (p->mantissa > UINT64_C(1) << 53)
        return false;
    const double value = (double)p->mantissa / (double)powers_of_ten[p->digits];
    *out = p->negative ? -value : value;
    return true;
}

static bool fast_float(float *out, const struct plain_number *p)
{
    if (p->mantissa > UINT64_C(1) << 24 || p->digits > 10)
        return false;
    const float value = (float)p->mantissa / (float)powers_of_ten[p->digits];
    *out = p->negative ? -value : value;
    return true;
}

/* False: the general path must decide, for good or bad. */
static bool fast_parse(struct column_buffer *buffer, uint32_t row, const char *text, size_t size)
{
    struct plain_number p;

    if (buffer->width == 0 || !plain_number_parse(text, size, &p))
        return false;
    const int64_t number = p.negative ? -(int64_t)p.mantissa : (int64_t)p.mantissa;
    switch (buffer->info->type) {
    case VARVE_DECIMAL:
        return fast_decimal(buffer, row, &p);
    case VARVE_DOUBLE:
        return fast_double(&((double *)buffer->values)[row], &p);
    case VARVE_FLOAT:
        return fast_float(&((float *)buffer->values)[row], &p);
    case VARVE_BIGINT:
        ((int64_t *)buffer->values)[row] = number;
        return !p.point;
    case VARVE_INT:
        ((int32_t *)buffer->values)[row] = (int32_t)number;
        return !p.point && number >= INT32_MIN && number <= INT32_MAX;
    case VARVE_TIMESTAMP:
        ((int64_t *)buffer->values)[row] = number;
        return !p.point && time_shape_is_plain(&buffer->shape, number);
    default:
        return false;
    }
}

/* Valid UTF-8 for certain: no byte above 127. */
static bool is_ascii(const char *text, size_t size)
{
    uint64_t high = 0;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, sizeof word);
        high |= word;
    }
    for (; i < size; i++)
        high |= (uint64_t)(unsigned char)text[i];
    return (high & UINT64_C(0x8080808080808080)) == 0;
}

/* -------------------------------------------------------------------------------------- Values */

static bool put_bytes(struct column_buffer *buffer, uint32_t row, const void *data, size_t size)
{
    const size_t begin = buffer->offsets[row];

    if (size > UINT32_MAX / 2 - begin)
        return false;
    if (begin + size > buffer->bytes_capacity) {
        size_t capacity = buffer->bytes_capacity;
        while (capacity < begin + size)
            capacity *= 2;
        uint8_t *bytes = realloc(buffer->bytes, capacity);
        if (bytes == NULL)
            return false;
        buffer->bytes = bytes;
        buffer->bytes_capacity = capacity;
    }
    if (size > 0)
        memcpy(buffer->bytes + begin, data, size);
    buffer->offsets[row + 1] = (uint32_t)(begin + size);
    buffer->present[row] = 1;
    return true;
}

bool column_buffer_put(struct column_buffer *buffer, uint32_t row, const varve_value *value)
{
    assert(row < buffer->capacity);
    switch (buffer->info->type) {
    case VARVE_BOOLEAN:
    case VARVE_TINYINT:
        ((int8_t *)buffer->values)[row] = (int8_t)value->as.i64;
        break;
    case VARVE_SMALLINT:
        ((int16_t *)buffer->values)[row] = (int16_t)value->as.i64;
        break;
    case VARVE_INT:
    case VARVE_DATE:
        ((int32_t *)buffer->values)[row] = (int32_t)value->as.i64;
        break;
    case VARVE_FLOAT:
        ((float *)buffer->values)[row] = value->as.f32;
        break;
    case VARVE_DOUBLE:
        ((double *)buffer->values)[row] = value->as.f64;
        break;
    case VARVE_UUID:
        memcpy((uint8_t *)buffer->values + (size_t)row * 16, value->as.uuid, 16);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        return put_bytes(buffer, row, value->as.bytes.data, value->as.bytes.size);
    default:
        ((int64_t *)buffer->values)[row] = value->as.i64;
        if (buffer->scales != NULL)
            buffer->scales[row] = value->scale;
        break;
    }
    buffer->present[row] = 1;
    return true;
}

void column_buffer_put_unset(struct column_buffer *buffer, uint32_t row)
{
    if (buffer->width == 0)
        buffer->offsets[row + 1] = buffer->offsets[row];
    else
        memset((uint8_t *)buffer->values + (size_t)row * buffer->width, 0, buffer->width);
    if (buffer->scales != NULL)
        buffer->scales[row] = 0;
    buffer->present[row] = 0;
}

static const char *general_parse(struct column_buffer *buffer, uint32_t row, const char *text,
                                 size_t size, varve_error *err)
{
    varve_value value;
    void *scratch = NULL;
    const char *fault = NULL;

    if (buffer->info->type == VARVE_BLOB) {
        scratch = malloc(size + 1);
        if (scratch == NULL)
            return NO_MEMORY;
    }
    if (varve_value_parse(buffer->info, text, size, scratch, &value, err) < 0)
        fault = err->message;
    else if (buffer->info->type == VARVE_DATE &&
             (value.as.i64 > INT32_MAX || value.as.i64 < INT32_MIN))
        fault = "the date is out of range";
    else if (!column_buffer_put(buffer, row, &value))
        fault = NO_MEMORY;
    free(scratch);
    return fault;
}

bool column_buffer_take_number(struct column_buffer *buffer, uint32_t row, const char *text,
                               size_t size)
{
    assert(row < buffer->capacity);
    if (!fast_parse(buffer, row, text, size))
        return false;
    buffer->present[row] = 1;
    return true;
}

const char *column_buffer_parse(struct column_buffer *buffer, uint32_t row, const char *text,
                                size_t size, varve_error *err)
{
    const uint8_t type = buffer->info->type;

    if (column_buffer_take_number(buffer, row, text, size))
        return NULL;
    if (type == VARVE_TEXT && is_ascii(text, size))
        return put_bytes(buffer, row, text, size) ? NULL : NO_MEMORY;
    if (type == VARVE_TIMESTAMP || type == VARVE_DATE) {
        varve_value value = {.type = type};
        const char *fault =
            time_shape_parse(&buffer->shape, buffer->info, text, size, &value.as.i64, err);
        if (fault != NULL)
            return fault;
        if (type == VARVE_DATE && (value.as.i64 > INT32_MAX || value.as.i64 < INT32_MIN))
            return "the date is out of range";
        return column_buffer_put(buffer, row, &value) ? NULL : NO_MEMORY;
    }
    return general_parse(buffer, row, text, size, err);
}

/* -------------------------------------------------------------------------------------- Ranges */

size_t column_buffer_bytes(const struct column_buffer *buffer, uint32_t rows)
{
    return buffer->width == 0 ? buffer->offsets[rows] : buffer->width * rows;
}

varve_array column_buffer_array(struct column_buffer *buffer, uint32_t first, uint32_t n)
{
    varve_array array = {.column = buffer->column, .flags = VARVE_ARRAY_UNSET};

    assert(first + n <= buffer->capacity);
    if (memchr(buffer->present + first, 0, n) != NULL) {
        memset(buffer->validity, 0, n / 8 + 1);
        for (uint32_t i = 0; i < n; i++) {
            const unsigned present = buffer->present[first + i];
            buffer->validity[i / 8] = (uint8_t)(buffer->validity[i / 8] | present << (i % 8));
        }
        array.validity = buffer->validity;
    }
    if (buffer->width == 0) {
        array.values = buffer->bytes;
        array.offsets = buffer->offsets + first;
    } else {
        array.values = (const uint8_t *)buffer->values + (size_t)first * buffer->width;
    }
    if (buffer->scales != NULL)
        array.scales = buffer->scales + first;
    return array;
}
