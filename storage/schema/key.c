/*
 * key.c - values to bytes that compare as the values do, and back.
 *
 * Bytes of one value, ascending; a descending column's are the complement:
 *   boolean                1  00 or 01
 *   integers, date,
 *   timestamp, time,
 *   decimal(p, s)   1,2,4,8   big-endian, sign bit flipped
 *   float, double       4, 8  big-endian bits: sign bit flipped if positive, all bits if negative,
 *                             after every NaN became the positive quiet one
 *   decimal               10  2 bytes of sign and exponent, 8 bytes of digits, see decimal_rank
 *   text, blob        n + 2+  the bytes, each 00 as 00 FF, then 00 00
 *   uuid                  16  see uuid_reorder
 * No encoding is a prefix of another of its type, so concatenations compare column by column.
 */
#include "storage/schema/key.h"

#include <assert.h>

#include "storage/schema/types_int.h"

#define NAN_F32 UINT32_C(0x7FC00000)
#define NAN_F64 UINT64_C(0x7FF8000000000000)

/* ---------------------------------------------------------------------------- Floating point */

/* The bits of a float, remade so that unsigned comparison gives the order of values. */
static uint32_t f32_rank(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & UINT32_C(0x7FFFFFFF)) > UINT32_C(0x7F800000))
        bits = NAN_F32;
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

static uint64_t f64_rank(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & UINT64_C(0x7FFFFFFFFFFFFFFF)) > UINT64_C(0x7FF0000000000000))
        bits = NAN_F64;
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static bool f32_unrank(uint32_t rank, float *ret_value)
{
    const uint32_t bits = rank >> 31 ? rank ^ UINT32_C(1) << 31 : ~rank;

    memcpy(ret_value, &bits, sizeof bits);
    return f32_rank(*ret_value) == rank; /* false for any other NaN */
}

static bool f64_unrank(uint64_t rank, double *ret_value)
{
    const uint64_t bits = rank >> 63 ? rank ^ UINT64_C(1) << 63 : ~rank;

    memcpy(ret_value, &bits, sizeof bits);
    return f64_rank(*ret_value) == rank;
}

/* ------------------------------------------------------------------------------ Bare decimal */

/*
 * The value is +-0.d1 d2 ... x 10^exponent with d1 > 0, at most 19 digits, exponent -126 .. 147.
 *   order   zero: 0x8000; positive: 0x8000 + (exponent + 127); negative: 0x8000 - the same
 *   digits  d1 d2 ... d19 as one integer in [10^18, 10^19); complemented if negative; zero: 0
 * Compared as the pair (order, digits), unsigned, this is the order of values, and a value has one
 * pair however it is spelled.
 */
struct decimal_rank {
    uint16_t order;
    uint64_t digits;
};

#define DECIMAL_ZERO 0x8000
#define DECIMAL_BIAS 127
#define DECIMAL_DIGITS 19
#define SCALE_MIN (-128)
#define SCALE_MAX 127

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static struct decimal_rank decimal_rank_of(int64_t mantissa, int scale)
{
    struct decimal_rank rank = {DECIMAL_ZERO, 0};
    uint64_t digits;
    int count = DECIMAL_DIGITS;

    if (mantissa == 0)
        return rank;
    for (digits = magnitude(mantissa); digits < UINT64_C(1000000000000000000); digits *= 10)
        count--;
    const int order = count - scale + DECIMAL_BIAS; /* 1 .. 274 */
    rank.order = (uint16_t)(mantissa > 0 ? DECIMAL_ZERO + order : DECIMAL_ZERO - order);
    rank.digits = mantissa > 0 ? digits : ~digits;
    return rank;
}

/* The canonical spelling of a rank: no trailing zero in the mantissa, unless the scale would leave
 * int8. False if no value has this rank. */
static bool decimal_unrank(struct decimal_rank rank, int64_t *ret_mantissa, int8_t *ret_scale)
{
    const bool negative = rank.order < DECIMAL_ZERO;
    uint64_t digits = negative ? ~rank.digits : rank.digits;
    int scale = DECIMAL_DIGITS + DECIMAL_BIAS;

    if (rank.order == DECIMAL_ZERO) {
        *ret_mantissa = 0;
        *ret_scale = 0;
        return rank.digits == 0;
    }
    scale -= negative ? DECIMAL_ZERO - rank.order : rank.order - DECIMAL_ZERO;
    if (digits < UINT64_C(1000000000000000000) || digits >= UINT64_C(10000000000000000000))
        return false;
    while (digits % 10 == 0 && scale > SCALE_MIN) {
        digits /= 10;
        scale--;
    }
    if (scale < SCALE_MIN || scale > SCALE_MAX || digits > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_mantissa = negative ? (int64_t)(0 - digits) : (int64_t)digits;
    *ret_scale = (int8_t)scale;
    return true;
}

static void decimal_canonical(int64_t *mantissa, int8_t *scale)
{
    while (*mantissa != 0 && *mantissa % 10 == 0 && *scale > SCALE_MIN) {
        *mantissa /= 10;
        (*scale)--;
    }
    if (*mantissa == 0)
        *scale = 0;
}

/* -------------------------------------------------------------------------------------- UUID */

/*
 * Reversible: the version (high nibble of byte 6) comes first. Version 1: then its 60 bits of time
 * from high to low (low nibble of byte 6, byte 7, bytes 4 and 5, bytes 0 to 3), then bytes 8 to 15.
 * Any other: then the remaining nibbles in their order.
 */
static void uuid_reorder(const uint8_t uuid[16], uint8_t out[16])
{
    if (uuid[6] >> 4 == 1) {
        out[0] = uuid[6];
        out[1] = uuid[7];
        memcpy(out + 2, uuid + 4, 2);
        memcpy(out + 4, uuid, 4);
        memcpy(out + 8, uuid + 8, 8);
        return;
    }
    out[0] = (uint8_t)((uuid[6] & 0xF0) | uuid[0] >> 4);
    for (int i = 1; i < 6; i++)
        out[i] = (uint8_t)(uuid[i - 1] << 4 | uuid[i] >> 4);
    out[6] = (uint8_t)(uuid[5] << 4 | (uuid[6] & 0x0F));
    memcpy(out + 7, uuid + 7, 9);
}

static void uuid_restore(const uint8_t in[16], uint8_t uuid[16])
{
    if (in[0] >> 4 == 1) {
        uuid[6] = in[0];
        uuid[7] = in[1];
        memcpy(uuid + 4, in + 2, 2);
        memcpy(uuid, in + 4, 4);
        memcpy(uuid + 8, in + 8, 8);
        return;
    }
    for (int i = 0; i < 6; i++)
        uuid[i] = (uint8_t)(in[i] << 4 | in[i + 1] >> 4);
    uuid[6] = (uint8_t)((in[0] & 0xF0) | (in[6] & 0x0F));
    memcpy(uuid + 7, in + 7, 9);
}

/* ------------------------------------------------------------------------------------ Append */

static void put_big_endian(uint8_t *out, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        out[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

static uint64_t get_big_endian(const uint8_t *in, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value = value << 8 | in[i];
    return value;
}

static size_t count_zeros(const uint8_t *data, size_t size)
{
    size_t zeros = 0;

    for (size_t i = 0; i < size; i++)
        zeros += data[i] == 0;
    return zeros;
}

static size_t append_bytes(struct varve_buffer *out, const varve_value *value)
{
    const uint8_t *data = value->as.bytes.data;
    const size_t size = value->as.bytes.size;
    const size_t need = size + count_zeros(data, size) + 2;
    uint8_t *at = varve_buffer_reserve(out, need);

    if (at == NULL)
        return 0;
    for (size_t i = 0; i < size; i++) {
        *at++ = data[i];
        if (data[i] == 0)
            *at++ = 0xFF;
    }
    memset(at, 0, 2);
    return need;
}

/* The encoding of a value of fixed width; returns the width. */
static size_t encode_fixed(uint8_t *out, const varve_column_info *column, const varve_value *value)
{
    const enum varve_phys phys = varve_phys_of(column->type, column->precision);
    const unsigned width = varve_phys_width(phys);
    struct decimal_rank rank;

    switch (phys) {
    case VARVE_PHYS_F32:
        put_big_endian(out, f32_rank(value->as.f32), width);
        return width;
    case VARVE_PHYS_F64:
        put_big_endian(out, f64_rank(value->as.f64), width);
        return width;
    case VARVE_PHYS_B16:
        uuid_reorder(value->as.uuid, out);
        return width;
    case VARVE_PHYS_DEC:
        rank = decimal_rank_of(value->as.i64, value->scale);
        put_big_endian(out, rank.order, 2);
        put_big_endian(out + 2, rank.digits, 8);
        return 10;
    case VARVE_PHYS_I8:
    case VARVE_PHYS_I16:
    case VARVE_PHYS_I32:
    case VARVE_PHYS_I64:
    case VARVE_PHYS_BYTES: /* not here: it has no width */
        break;
    }
    assert(phys != VARVE_PHYS_BYTES);
    put_big_endian(out, (uint64_t)value->as.i64, width);
    if (column->type != VARVE_BOOLEAN)
        out[0] ^= 0x80;
    return width;
}

void varve_key_append(struct varve_buffer *out, const varve_column_info *column, bool descending,
                      const varve_value *value)
{
    assert(value->presence == VARVE_SET && value->type == column->type);
    size_t size;

    if (column->type == VARVE_TEXT || column->type == VARVE_BLOB) {
        size = append_bytes(out, value);
    } else {
        uint8_t *at = varve_buffer_reserve(out, 16);
        size = at == NULL ? 0 : encode_fixed(at, column, value);
    }
    if (descending)
        for (size_t i = 0; i < size; i++)
            out->data[out->size + i] = (uint8_t)~out->data[out->size + i];
    out->size += size;
}

varve_status varve_key_encode(const struct varve_schema *schema, const varve_value *values,
                              struct varve_buffer *out, varve_error *err)
{
    const size_t start = out->size;

    for (uint32_t i = 0; i < schema->n_partition; i++) {
        const varve_status rc = varve_schema_check_value(schema, i, &values[i], err);
        if (rc < 0)
            return rc;
    }
    if (schema->n_partition == 1 && schema->columns[0].type == VARVE_TEXT &&
        values[0].as.bytes.size == 0)
        return varve_error_set(err, VARVE_ETYPE, NULL, VARVE_NO_OFFSET,
                               "column %.64s: empty text cannot be the whole partition key",
                               schema->columns[0].name);

    varve_write_u8(out, VARVE_ROW_KIND_ORDINARY);
    for (uint32_t i = 0; i < schema->n_partition; i++)
        varve_key_append(out, &schema->columns[i], false, &values[i]);
    const size_t size = out->size - start;
    if (out->failed || size > VARVE_KEY_BYTES_MAX)
        out->size = start;
    if (out->failed)
        return varve_error_nomem(err, "a key");
    if (size > VARVE_KEY_BYTES_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the partition key takes %zu bytes, at most %u are allowed", size,
                               VARVE_KEY_BYTES_MAX);
    return VARVE_OK;
}

/* ----------------------------------------------------------------------------------- Compare */

/* Whether the reader goes on with the encoding of text or a blob that has no zero byte. */
static bool is_plain_bytes(struct varve_reader *in, const varve_value *value)
{
    const uint8_t *data = value->as.bytes.data;
    const size_t size = value->as.bytes.size;
    const struct varve_span bytes = varve_read_bytes(in, size);

    if (in->failed || (size > 0 && data == NULL))
        return false;
    for (size_t i = 0; i < size; i++)
        if (data[i] != bytes.data[i] || data[i] == 0)
            return false;
    return varve_read_u16(in) == 0;
}

/* Whether the reader goes on with the encoding of the value. Text that equals a key's is as valid. */
static bool is_next(struct varve_reader *in, const struct varve_schema *schema, uint32_t column,
                    const varve_value *value)
{
    const varve_column_info *info = &schema->columns[column];
    uint8_t fixed[16];

    if (value->presence != VARVE_SET || value->type != info->type)
        return false;
    if (value->type == VARVE_TEXT || value->type == VARVE_BLOB)
        return is_plain_bytes(in, value);
    if (varve_schema_check_value(schema, column, value, NULL) < 0)
        return false;
    const size_t size = encode_fixed(fixed, info, value);
    const struct varve_span bytes = varve_read_bytes(in, size);
    return !in->failed && memcmp(fixed, bytes.data, size) == 0;
}

bool varve_key_is(const struct varve_schema *schema, const varve_value *values,
                  struct varve_span key)
{
    struct varve_reader in = varve_reader_of(key);

    if (varve_read_u8(&in) != VARVE_ROW_KIND_ORDINARY)
        return false;
    for (uint32_t i = 0; i < schema->n_partition; i++)
        if (!is_next(&in, schema, i, &values[i]))
            return false;
    return !in.failed && varve_reader_left(&in) == 0;
}

/* ------------------------------------------------------------------------------------ Decode */

/* Undo append_bytes() into `scratch`; false when there is no terminator or a lone zero. */
static bool decode_bytes(struct varve_reader *in, uint8_t *scratch, varve_value *ret_value)
{
    size_t size = 0;

    for (;;) {
        const uint8_t byte = varve_read_u8(in);
        if (byte == 0) {
            const uint8_t next = varve_read_u8(in);
            if (in->failed || (next != 0 && next != 0xFF))
                return false;
            if (next == 0)
                break;
        }
        scratch[size++] = byte;
    }
    ret_value->as.bytes.data = scratch;
    ret_value->as.bytes.size = size;
    return true;
}

/* One value of fixed width; false when no value has these bytes. */
static bool decode_fixed(struct varve_reader *in, const varve_column_info *column,
                         varve_value *ret_value)
{
    const enum varve_phys phys = varve_phys_of(column->type, column->precision);
    const unsigned width = phys == VARVE_PHYS_DEC ? 10 : varve_phys_width(phys);
    const uint8_t *bytes = varve_read_bytes(in, width).data;

    if (in->failed)
        return false;
    if (phys == VARVE_PHYS_F32)
        return f32_unrank((uint32_t)get_big_endian(bytes, 4), &ret_value->as.f32);
    if (phys == VARVE_PHYS_F64)
        return f64_unrank(get_big_endian(bytes, 8), &ret_value->as.f64);
    if (phys == VARVE_PHYS_DEC) {
        const struct decimal_rank rank = {(uint16_t)get_big_endian(bytes, 2),
                                          get_big_endian(bytes + 2, 8)};
        return decimal_unrank(rank, &ret_value->as.i64, &ret_value->scale);
    }
    if (phys == VARVE_PHYS_B16) {
        uuid_restore(bytes, ret_value->as.uuid);
        return true;
    }
    uint64_t bits = get_big_endian(bytes, width);
    if (column->type != VARVE_BOOLEAN)
        bits -= UINT64_C(1) << (8 * width - 1); /* flips the sign back and extends it */
    ret_value->as.i64 = (int64_t)bits;
    return true;
}

static varve_status key_corrupt(varve_error *err)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                           "the bytes of a partition key are none that the schema can make");
}

varve_status varve_key_decode(const struct varve_schema *schema, struct varve_span key,
                              uint8_t *scratch, varve_value *ret_values, varve_error *err)
{
    struct varve_reader in = varve_reader_of(key);

    if (key.size > VARVE_KEY_BYTES_MAX || varve_read_u8(&in) != VARVE_ROW_KIND_ORDINARY)
        return key_corrupt(err);
    for (uint32_t i = 0; i < schema->n_partition; i++) {
        const varve_column_info *column = &schema->columns[i];
        varve_value *value = &ret_values[i];

        *value = (varve_value){.type = column->type, .scale = column->scale, .unit = column->unit};
        if (column->type != VARVE_TEXT && column->type != VARVE_BLOB) {
            if (!decode_fixed(&in, column, value))
                return key_corrupt(err);
        } else {
            if (!decode_bytes(&in, scratch, value))
                return key_corrupt(err);
            scratch += value->as.bytes.size;
        }
        if (varve_schema_check_value(schema, i, value, NULL) < 0)
            return key_corrupt(err);
    }
    if (in.failed || varve_reader_left(&in) != 0)
        return key_corrupt(err);
    if (schema->n_partition == 1 && ret_values[0].type == VARVE_TEXT &&
        ret_values[0].as.bytes.size == 0)
        return key_corrupt(err);
    return VARVE_OK;
}

/* ----------------------------------------------------------------------------------- Compare */

void varve_key_canonical(uint8_t type, uint8_t precision, varve_value *value)
{
    if (value->presence != VARVE_SET)
        return;
    if (type == VARVE_FLOAT && value->as.f32 != value->as.f32) {
        const uint32_t bits = NAN_F32;
        memcpy(&value->as.f32, &bits, sizeof bits);
    } else if (type == VARVE_DOUBLE && value->as.f64 != value->as.f64) {
        const uint64_t bits = NAN_F64;
        memcpy(&value->as.f64, &bits, sizeof bits);
    } else if (type == VARVE_DECIMAL && precision == 0) {
        decimal_canonical(&value->as.i64, &value->scale);
    }
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_bytes(const varve_value *a, const varve_value *b)
{
    return varve_span_compare(varve_span_of(a->as.bytes.data, a->as.bytes.size),
                              varve_span_of(b->as.bytes.data, b->as.bytes.size));
}

static int compare_decimal(const varve_value *a, const varve_value *b)
{
    if (a->scale == b->scale)
        return compare_i64(a->as.i64, b->as.i64);
    const struct decimal_rank left = decimal_rank_of(a->as.i64, a->scale);
    const struct decimal_rank right = decimal_rank_of(b->as.i64, b->scale);
    if (left.order != right.order)
        return left.order < right.order ? -1 : 1;
    return compare_u64(left.digits, right.digits);
}

static int compare_uuid(const varve_value *a, const varve_value *b)
{
    uint8_t left[16], right[16];

    uuid_reorder(a->as.uuid, left);
    uuid_reorder(b->as.uuid, right);
    return memcmp(left, right, sizeof left);
}

int varve_cell_compare(uint8_t type, const varve_value *a, const varve_value *b)
{
    switch (type) {
    case VARVE_FLOAT:
        return compare_u64(f32_rank(a->as.f32), f32_rank(b->as.f32));
    case VARVE_DOUBLE:
        return compare_u64(f64_rank(a->as.f64), f64_rank(b->as.f64));
    case VARVE_DECIMAL:
        return compare_decimal(a, b);
    case VARVE_TEXT:
    case VARVE_BLOB:
        return compare_bytes(a, b);
    case VARVE_UUID:
        return compare_uuid(a, b);
    default:
        assert(type >= VARVE_BOOLEAN && type <= VARVE_TIME);
        return compare_i64(a->as.i64, b->as.i64);
    }
}

/* The shortest big-endian two's complement of `mantissa`: at least one byte. */
static struct varve_span minimal_mantissa(int64_t mantissa, uint8_t out[8])
{
    size_t first = 0;

    put_big_endian(out, (uint64_t)mantissa, 8);
    while (first < 7 && ((out[first] == 0 && out[first + 1] < 0x80) ||
                         (out[first] == 0xFF && out[first + 1] >= 0x80)))
        first++;
    return varve_span_of(out + first, 8 - first);
}

static int compare_decimal_serialised(const varve_value *a, const varve_value *b)
{
    uint8_t left[8], right[8];

    /* Four bytes of scale, unsigned: a negative scale sorts above the others. */
    if (a->scale != b->scale)
        return (uint32_t)a->scale < (uint32_t)b->scale ? -1 : 1;
    return varve_span_compare(minimal_mantissa(a->as.i64, left),
                              minimal_mantissa(b->as.i64, right));
}

int varve_cell_compare_serialised(uint8_t type, uint8_t precision, const varve_value *a,
                                  const varve_value *b)
{
    uint32_t a32, b32;
    uint64_t a64, b64;

    switch (type) {
    case VARVE_FLOAT:
        memcpy(&a32, &a->as.f32, sizeof a32);
        memcpy(&b32, &b->as.f32, sizeof b32);
        return compare_u64(a32, b32);
    case VARVE_DOUBLE:
        memcpy(&a64, &a->as.f64, sizeof a64);
        memcpy(&b64, &b->as.f64, sizeof b64);
        return compare_u64(a64, b64);
    case VARVE_DECIMAL:
        if (precision == 0)
            return compare_decimal_serialised(a, b);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        return compare_bytes(a, b);
    case VARVE_UUID:
        return memcmp(a->as.uuid, b->as.uuid, sizeof a->as.uuid);
    case VARVE_DATE: /* Cassandra's date counts from -2^31, so its bytes keep the order of days */
        return compare_i64(a->as.i64, b->as.i64);
    default:
        assert(type >= VARVE_BOOLEAN && type <= VARVE_TIME);
        break;
    }
    /* Extending the sign to 64 bits keeps the unsigned order of narrower two's complement. */
    return compare_u64((uint64_t)a->as.i64, (uint64_t)b->as.i64);
}
