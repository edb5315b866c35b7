/*
 * packed_column.c - integers of an index, bit-packed (packed_column.h).
 */
#include "index/packed_column.h"

#include "storage/codec/codec.h"

static uint32_t bits_of(uint64_t v)
{
    uint32_t n = 0;

    for (; v != 0; v >>= 1)
        n++;
    return n;
}

static void write_chunk(struct varve_buffer *out, const int64_t *values, uint32_t n)
{
    uint64_t rest[VARVE_PACKED_CHUNK];
    int64_t least = values[0];
    int64_t greatest = values[0];

    for (uint32_t i = 1; i < n; i++) {
        least = values[i] < least ? values[i] : least;
        greatest = values[i] > greatest ? values[i] : greatest;
    }
    for (uint32_t i = 0; i < n; i++)
        rest[i] = (uint64_t)values[i] - (uint64_t)least;

    const uint32_t width = bits_of((uint64_t)greatest - (uint64_t)least);
    const size_t size = varve_pack_size(n, width);

    varve_write_zigzag(out, least);
    varve_write_u8(out, (uint8_t)width);
    if (size == 0)
        return;
    uint8_t *to = varve_buffer_reserve(out, size);
    if (to == NULL) /* the buffer remembers */
        return;
    varve_pack_u64(rest, n, width, to);
    out->size += size;
}

void varve_packed_write(struct varve_buffer *out, const int64_t *values, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += VARVE_PACKED_CHUNK) {
        const uint32_t left = n - at;
        write_chunk(out, values + at, left < VARVE_PACKED_CHUNK ? left : VARVE_PACKED_CHUNK);
    }
}

static struct varve_span read_head(struct varve_reader *r, uint32_t n, int64_t *ret_least,
                                   uint32_t *ret_width)
{
    *ret_least = varve_read_zigzag(r);
    *ret_width = varve_read_u8(r);
    bool sound = *ret_width <= 64;
    const struct varve_span bits = varve_bit_string_read(r, n, sound ? *ret_width : 0, &sound);
    r->failed = r->failed || !sound;
    return bits;
}

bool varve_packed_read(struct varve_reader *r, uint32_t n, int64_t *values)
{
    uint64_t rest[VARVE_PACKED_CHUNK];

    for (uint32_t at = 0; at < n && !r->failed; at += VARVE_PACKED_CHUNK) {
        const uint32_t left = n - at;
        const uint32_t take = left < VARVE_PACKED_CHUNK ? left : VARVE_PACKED_CHUNK;
        int64_t least;
        uint32_t width;
        const struct varve_span bytes = read_head(r, take, &least, &width);

        if (r->failed)
            return false;
        if (width == 0) {
            for (uint32_t i = 0; i < take; i++)
                values[at + i] = least;
            continue;
        }
        varve_unpack_u64(bytes.data, 0, take, width, rest);
        for (uint32_t i = 0; i < take; i++)
            values[at + i] = (int64_t)(rest[i] + (uint64_t)least);
    }
    return !r->failed;
}

bool varve_packed_skip(struct varve_reader *r, uint32_t n)
{
    for (uint32_t at = 0; at < n && !r->failed; at += VARVE_PACKED_CHUNK) {
        const uint32_t left = n - at;
        int64_t least;
        uint32_t width;

        (void)read_head(r, left < VARVE_PACKED_CHUNK ? left : VARVE_PACKED_CHUNK, &least, &width);
    }
    return !r->failed;
}
