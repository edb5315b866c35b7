/*
 * state_bits.c - the bitmaps of a block: which cells are live, and which of the others deleted.
 *
 * A column that is rarely or hardly ever null changes state a few times in a vector, so the rows of
 * change are stored where that is smaller than the bits.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"

enum state_kind { /* in files */
                  STATE_BITS = 1,
                  STATE_RUNS0 = 2,
                  STATE_RUNS1 = 3
};

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static uint32_t list_flips(const uint64_t *bits, uint32_t n, uint64_t *flips)
{
    uint32_t count = 0;
    for (uint32_t j = 1; j < n; j++) {
        flips[count] = j;
        count += varve_bit_get(bits, j) != varve_bit_get(bits, j - 1);
    }
    return count;
}

void varve_state_write(struct varve_buffer *out, const uint64_t *bits, uint32_t n)
{
    uint64_t flips[VARVE_VECTOR_ROWS];
    const uint32_t width = varve_bit_length(n - 1);
    const size_t plain = (n + 7) / 8;

    assert(n >= 1 && n <= VARVE_VECTOR_ROWS);
    const uint32_t count = list_flips(bits, n, flips);
    const size_t packed = varve_pack_size(count, width);
    if (varint_size(count) + packed < plain) {
        varve_write_u8(out, varve_bit_get(bits, 0) ? STATE_RUNS1 : STATE_RUNS0);
        varve_write_varint(out, count);
        uint8_t *at = varve_buffer_reserve(out, packed + 8);
        if (at == NULL)
            return;
        varve_pack_u64(flips, count, width, at);
        out->size += packed;
        return;
    }
    varve_write_u8(out, STATE_BITS);
    for (uint32_t i = 0; i < plain; i++) {
        uint8_t byte = (uint8_t)(bits[i / 8] >> (i % 8 * 8));
        if (i + 1 == plain && n % 8 != 0)
            byte &= (uint8_t)((1u << (n % 8)) - 1);
        varve_write_u8(out, byte);
    }
}

static bool read_bits(struct varve_reader *r, uint32_t n, uint64_t *bits)
{
    const struct varve_span span = varve_read_bytes(r, (n + 7) / 8);
    if (r->failed)
        return false;
    for (uint32_t i = 0; i < span.size; i++)
        bits[i / 8] |= (uint64_t)span.data[i] << (i % 8 * 8);
    return n % 8 == 0 || span.data[span.size - 1] >> (n % 8) == 0;
}

static void set_run(uint64_t *bits, uint32_t first, uint32_t end)
{
    for (uint32_t j = first; j < end;) {
        const uint32_t left = end - j, room = 64 - j % 64;
        const uint32_t take = left < room ? left : room;
        bits[j / 64] |= UINT64_MAX >> (64 - take) << j % 64;
        j += take;
    }
}

static bool read_runs(struct varve_reader *r, uint32_t n, bool value, uint64_t *bits)
{
    uint64_t flips[VARVE_VECTOR_ROWS];
    const uint32_t width = varve_bit_length(n - 1);
    const uint64_t count = varve_read_varint(r);
    uint32_t from = 0;

    if (r->failed || count >= n)
        return false;
    bool sound = true;
    const struct varve_span span = varve_bit_string_read(r, (uint32_t)count, width, &sound);
    if (r->failed || !sound)
        return false;
    varve_unpack_u64(span.data, 0, (uint32_t)count, width, flips);
    for (uint32_t i = 0; i < count; i++) {
        if (flips[i] <= from || flips[i] >= n)
            return false;
        if (value)
            set_run(bits, from, (uint32_t)flips[i]);
        from = (uint32_t)flips[i];
        value = !value;
    }
    if (value)
        set_run(bits, from, n);
    return true;
}

bool varve_state_read(struct varve_reader *r, uint32_t n, struct varve_span *ret_span,
                      uint64_t *ret_bits)
{
    const uint8_t *start = r->at;
    const uint8_t kind = varve_read_u8(r);
    bool sound = false;

    assert(n >= 1 && n <= VARVE_VECTOR_ROWS);
    memset(ret_bits, 0, VARVE_BLOCK_STATE_WORDS * sizeof *ret_bits);
    if (kind == STATE_BITS)
        sound = read_bits(r, n, ret_bits);
    else if (kind == STATE_RUNS0 || kind == STATE_RUNS1)
        sound = read_runs(r, n, kind == STATE_RUNS1, ret_bits);
    if (!sound || r->failed)
        return false;
    *ret_span = (struct varve_span){start, (size_t)(r->at - start)};
    return true;
}
