/*
 * zone_map.c - writing and reading zone maps (zone_map.h).
 */
#include "index/zone_map.h"

#include <string.h>

#include "index/packed_column.h"

#define VERSION 1u

enum holds { HOLDS_RANGE = 1, HOLDS_SUM = 2, HOLDS_ENDS = 4, HOLDS_ALL = 7 };

static bool is_float(uint8_t lane)
{
    return lane == VARVE_LANE_F32 || lane == VARVE_LANE_F64;
}

/* A statistic as an integer; 0 where the zone does not hold it. */
static int64_t zone_get(const struct varve_zone *z, bool floating, uint32_t id)
{
    const varve_i128 sum = floating ? z->partial.mantissa : z->sum;

    switch (id) {
    case VARVE_ZONE_LIVE:
        return z->live;
    case VARVE_ZONE_NAN:
        return z->nan;
    case VARVE_ZONE_HOLDS:
        return (z->has_range ? HOLDS_RANGE : 0) | (z->has_sum ? HOLDS_SUM : 0) |
               (z->has_ends ? HOLDS_ENDS : 0);
    case VARVE_ZONE_FIRST_ROW:
        return z->has_ends ? z->first_row : 0;
    case VARVE_ZONE_LAST_ROW:
        return z->has_ends ? z->last_row : 0;
    case VARVE_ZONE_MIN:
        return z->has_range ? z->min.i64 : 0;
    case VARVE_ZONE_MAX:
        return z->has_range ? z->max.i64 : 0;
    case VARVE_ZONE_FIRST:
        return z->has_ends ? z->first.i64 : 0;
    case VARVE_ZONE_LAST:
        return z->has_ends ? z->last.i64 : 0;
    case VARVE_ZONE_SUM_LOW:
        return z->has_sum ? (int64_t)(uint64_t)sum : 0;
    case VARVE_ZONE_SUM_HIGH:
        return z->has_sum ? (int64_t)(sum >> 64) : 0;
    case VARVE_ZONE_EXPONENT:
        return z->has_sum && floating ? z->partial.exponent : 0;
    default:
        return 0;
    }
}

/* Which HOLDS bit a statistic depends on; 0: none. */
static uint32_t zone_needs(uint32_t id)
{
    switch (id) {
    case VARVE_ZONE_MIN:
    case VARVE_ZONE_MAX:
        return HOLDS_RANGE;
    case VARVE_ZONE_FIRST:
    case VARVE_ZONE_LAST:
    case VARVE_ZONE_FIRST_ROW:
    case VARVE_ZONE_LAST_ROW:
        return HOLDS_ENDS;
    case VARVE_ZONE_SUM_LOW:
    case VARVE_ZONE_SUM_HIGH:
    case VARVE_ZONE_EXPONENT:
        return HOLDS_SUM;
    default:
        return 0;
    }
}

void varve_zone_map_begin(struct varve_buffer *out, uint32_t n_vectors, uint32_t n_columns)
{
    varve_write_u8(out, VERSION);
    varve_write_varint(out, n_vectors);
    varve_write_varint(out, n_columns);
}

void varve_zone_map_column(struct varve_buffer *out, uint32_t column, uint8_t lane,
                           const struct varve_zone *zones, uint32_t n_vectors, int64_t *scratch,
                           struct varve_buffer *body)
{
    const bool floating = is_float(lane);
    struct varve_buffer packed;

    varve_buffer_init(&packed, out->heap);
    varve_buffer_clear(body);
    for (uint32_t id = 1; id < VARVE_ZONE_STATISTICS; id++) {
        const uint32_t needs = zone_needs(id);
        int64_t filler = 0; /* the value before, so that gaps do not widen the packing */
        bool all_zero = true;

        for (uint32_t i = 0; i < n_vectors; i++) {
            const int64_t holds = zone_get(&zones[i], floating, VARVE_ZONE_HOLDS);

            if (needs == 0 || (holds & needs) != 0)
                filler = zone_get(&zones[i], floating, id);
            scratch[i] = filler;
            all_zero = all_zero && filler == 0;
        }
        if (all_zero)
            continue;
        varve_buffer_clear(&packed);
        varve_packed_write(&packed, scratch, n_vectors);
        varve_write_varint(body, id);
        varve_write_sized(body, packed.data, packed.size);
        if (packed.failed)
            body->failed = true;
    }
    varve_write_varint(out, column);
    varve_write_u8(out, lane);
    varve_write_sized(out, body->data, body->size);
    if (body->failed)
        out->failed = true;
    varve_buffer_free(&packed);
}

static void zone_set(struct varve_zone *z, bool floating, uint32_t id, int64_t value)
{
    const varve_i128 low = (varve_i128)(uint64_t)value;

    switch (id) {
    case VARVE_ZONE_LIVE:
        z->live = (uint32_t)value;
        break;
    case VARVE_ZONE_NAN:
        z->nan = (uint32_t)value;
        break;
    case VARVE_ZONE_HOLDS:
        z->has_range = (value & HOLDS_RANGE) != 0;
        z->has_sum = (value & HOLDS_SUM) != 0;
        z->has_ends = (value & HOLDS_ENDS) != 0;
        break;
    case VARVE_ZONE_FIRST_ROW:
        z->first_row = (uint16_t)value;
        break;
    case VARVE_ZONE_LAST_ROW:
        z->last_row = (uint16_t)value;
        break;
    case VARVE_ZONE_MIN:
        z->min.i64 = value;
        break;
    case VARVE_ZONE_MAX:
        z->max.i64 = value;
        break;
    case VARVE_ZONE_FIRST:
        z->first.i64 = value;
        break;
    case VARVE_ZONE_LAST:
        z->last.i64 = value;
        break;
    case VARVE_ZONE_SUM_LOW:
        if (floating)
            z->partial.mantissa = low;
        else
            z->sum = low;
        break;
    case VARVE_ZONE_SUM_HIGH:
        if (floating)
            z->partial.mantissa |= (varve_i128)((varve_u128)(uint64_t)value << 64);
        else
            z->sum |= (varve_i128)((varve_u128)(uint64_t)value << 64);
        break;
    case VARVE_ZONE_EXPONENT:
        z->partial.exponent = (int16_t)value;
        break;
    default:
        break;
    }
}

/* Whether a value can be one of this statistic in a vector of `rows`. */
static bool value_fits(uint32_t id, int64_t value, uint32_t rows)
{
    switch (id) {
    case VARVE_ZONE_LIVE:
    case VARVE_ZONE_NAN:
        return value >= 0 && value <= rows;
    case VARVE_ZONE_HOLDS:
        return value >= 0 && value <= HOLDS_ALL;
    case VARVE_ZONE_FIRST_ROW:
    case VARVE_ZONE_LAST_ROW:
        return value >= 0 && value <= UINT16_MAX;
    case VARVE_ZONE_EXPONENT:
        return value >= INT16_MIN && value <= INT16_MAX;
    default:
        return true;
    }
}

/* What one vector's statistics must say together. Values that mean nothing are cleared. */
static bool zone_settle(struct varve_zone *z, uint32_t rows, bool floating)
{
    if (!z->has_range)
        z->min.i64 = z->max.i64 = 0;
    if (!z->has_ends) {
        z->first.i64 = z->last.i64 = 0;
        z->first_row = z->last_row = 0;
    }
    if (!z->has_sum) {
        z->sum = 0;
        z->partial = (struct varve_exact_partial){.mantissa = 0};
    }
    if (z->has_sum && floating && !varve_exact_partial_valid(&z->partial))
        return false;
    return z->nan <= z->live && z->live <= rows && (!z->has_range || z->live > z->nan) &&
           (!z->has_ends || (z->live > 0 && z->first_row <= z->last_row && z->last_row < rows));
}

static varve_status read_statistics(struct varve_span body, uint8_t lane, uint32_t n_vectors,
                                    const uint32_t *rows, int64_t *scratch,
                                    struct varve_zone *zones, varve_error *err)
{
    struct varve_reader r = varve_reader_of(body);
    uint64_t last = 0;

    memset(zones, 0, n_vectors * sizeof *zones);
    while (varve_reader_left(&r) > 0) {
        const uint64_t id = varve_read_varint(&r);
        const struct varve_span bytes = varve_read_sized(&r, varve_reader_left(&r));
        struct varve_reader inner = varve_reader_of(bytes);

        if (r.failed || id <= last)
            goto corrupt;
        last = id;
        if (id >= VARVE_ZONE_STATISTICS)
            continue;
        if (!varve_packed_read(&inner, n_vectors, scratch) || varve_reader_left(&inner) != 0)
            goto corrupt;
        for (uint32_t i = 0; i < n_vectors; i++) {
            if (!value_fits((uint32_t)id, scratch[i], rows[i]))
                goto corrupt;
            zone_set(&zones[i], is_float(lane), (uint32_t)id, scratch[i]);
        }
    }
    for (uint32_t i = 0; i < n_vectors; i++)
        if (!zone_settle(&zones[i], rows[i], is_float(lane)))
            goto corrupt;
    return VARVE_OK;

corrupt:
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                           "a zone map's statistics are malformed");
}

varve_status varve_zone_map_read(struct varve_span block, uint32_t column, uint8_t lane,
                                 uint32_t n_vectors, const uint32_t *rows, int64_t *scratch,
                                 struct varve_zone *ret_zones, varve_error *err)
{
    struct varve_reader r = varve_reader_of(block);
    const uint32_t version = varve_read_u8(&r);
    const uint64_t vectors = varve_read_varint(&r);
    const uint64_t columns = varve_read_varint(&r);
    uint64_t next = 0;

    if (r.failed || version != VERSION || vectors != n_vectors || columns > varve_reader_left(&r))
        goto corrupt;
    for (uint64_t i = 0; i < columns; i++) {
        const uint64_t number = varve_read_varint(&r);
        const uint8_t has = varve_read_u8(&r);
        const struct varve_span body = varve_read_sized(&r, varve_reader_left(&r));

        if (r.failed || number < next)
            goto corrupt;
        next = number + 1;
        if (number > column)
            return VARVE_END;
        if (number == column) {
            if (has != lane)
                goto corrupt;
            return read_statistics(body, lane, n_vectors, rows, scratch, ret_zones, err);
        }
    }
    return VARVE_END;

corrupt:
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "a zone map is malformed");
}
