/*
 * block_text.c - text and blobs in a block: where each value ends, then all bytes in one piece.
 *
 * Equal values throughout are stored once. Otherwise the ends are an ordinary block of integers
 * (values of one length cost a few bytes), and the bytes are compressed as a whole where that pays,
 * but never in the log.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/bitmap.h"
#include "storage/codec/block_format.h"
#include "storage/codec/block_int.h"

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad block: %s", what);
}

static struct varve_span value_at(const struct varve_lanes *in, uint32_t row)
{
    if (in->live != NULL && !varve_bit_get(in->live, row))
        return (struct varve_span){NULL, 0};
    const uint8_t *bytes = in->values;
    const uint32_t size = in->offsets[row + 1] - in->offsets[row];
    return size == 0 ? (struct varve_span){NULL, 0} : varve_span_of(bytes + in->offsets[row], size);
}

/* Whether every row, live or not, stands for the same bytes. */
static bool is_constant(const struct varve_lanes *in)
{
    const struct varve_span first = value_at(in, 0);
    if (in->live != NULL && first.size > 0)
        return false; /* rows that are not live stay empty */
    for (uint32_t j = 1; j < in->n; j++) {
        if (varve_span_compare(value_at(in, j), first) != 0)
            return false;
    }
    return true;
}

static void append_text(const struct varve_lanes *in, struct varve_buffer *out)
{
    for (uint32_t j = 0; j < in->n; j++) {
        const struct varve_span value = value_at(in, j);
        if (value.size > 0)
            varve_write_bytes(out, value.data, value.size);
    }
}

static void write_text(const struct varve_kernels *k, const struct varve_lanes *in,
                       uint8_t block_flags, uint32_t encode_flags, const int64_t *ends,
                       struct varve_span packed, enum varve_packer packer, struct varve_buffer *out)
{
    static const uint8_t codec[] = {VARVE_CODEC_TEXT, VARVE_CODEC_TEXT_LZ4, VARVE_CODEC_TEXT_ZSTD};
    struct varve_int_stats stats;

    varve_block_header_write(out, codec[packer], in->lane, block_flags, in->n);
    varve_write_varint(out, (uint64_t)ends[in->n - 1]);
    if (packer != VARVE_PACKER_NONE)
        varve_write_varint(out, packed.size);
    k->int_stats(ends, in->n, &stats);
    (void)varve_ints_encode(k, ends, in->n, VARVE_LANE_I32, 0, encode_flags, &stats, SIZE_MAX, out);
    if (packer == VARVE_PACKER_NONE)
        append_text(in, out);
    else
        varve_write_bytes(out, packed.data, packed.size);
}

varve_status varve_text_encode(const struct varve_kernels *k, const struct varve_lanes *in,
                               uint8_t block_flags, uint32_t encode_flags, struct varve_buffer *out,
                               varve_error *err)
{
    struct varve_buffer plain, packed;
    enum varve_packer packer = VARVE_PACKER_NONE;
    varve_status rc = VARVE_OK;
    int64_t ends[VARVE_VECTOR_ROWS];
    uint64_t total = 0;

    for (uint32_t j = 0; j < in->n; j++) {
        total += value_at(in, j).size;
        ends[j] = (int64_t)total;
    }
    if (total > varve_block_text_max(in->n))
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "text of a column vector is too large");
    /* A single long value is better off compressed. */
    const bool single = in->n == 1 && total > 64 && (encode_flags & VARVE_ENCODE_LOG) == 0;
    if (!single && is_constant(in)) {
        const struct varve_span value = value_at(in, 0);
        varve_block_header_write(out, VARVE_CODEC_CONST, in->lane, block_flags, in->n);
        varve_write_sized(out, value.data, value.size);
        return VARVE_OK;
    }
    varve_buffer_init(&plain, out->heap);
    varve_buffer_init(&packed, out->heap);
    if ((encode_flags & VARVE_ENCODE_LOG) == 0) {
        append_text(in, &plain);
        rc = plain.failed ? varve_error_nomem(err, "text to compress")
                          : varve_packer_pack(varve_buffer_span(&plain), &packed, &packer, err);
    }
    if (rc == VARVE_OK)
        write_text(k, in, block_flags, encode_flags, ends, varve_buffer_span(&packed), packer, out);
    varve_buffer_free(&packed);
    varve_buffer_free(&plain);
    return rc;
}

/* Room for the text, then offsets of rows that all hold the same value. */
static varve_status decode_constant(const struct varve_block *block, uint32_t n, uint32_t *offsets,
                                    struct varve_buffer *bytes, varve_error *err)
{
    const size_t size = block->payload.size;
    uint8_t *at = size == 0 ? NULL : varve_buffer_reserve(bytes, size * n);

    if (size > 0 && at == NULL)
        return varve_error_nomem(err, "text of a block");
    for (uint32_t j = 0; j < n; j++) {
        if (size > 0)
            memcpy(at + j * size, block->payload.data, size);
        offsets[j + 1] = offsets[j] + (uint32_t)size;
    }
    bytes->size += size * n;
    return VARVE_OK;
}

/* ends[0] is where row `first` starts and ends[j + 1] where row first + j ends. */
static varve_status decode_ends(const struct varve_kernels *k, const struct varve_block *block,
                                uint32_t first, uint32_t n, int64_t *ends, varve_error *err)
{
    struct varve_block inner;
    const uint32_t before = first == 0 ? 0 : 1;
    varve_status rc;

    rc = varve_block_open_inner(block->extra, VARVE_LANE_I32, block->n, &inner, err);
    if (rc < 0)
        return rc;
    ends[0] = 0;
    rc = varve_block_decode_ints(k, &inner, first - before, n + before, ends + 1 - before, err);
    if (rc < 0)
        return rc;
    if (ends[0] < 0)
        return corrupt(err, "ends of text values");
    for (uint32_t j = 0; j < n; j++) {
        if (ends[j + 1] < ends[j])
            return corrupt(err, "ends of text values");
    }
    if (ends[n] > (int64_t)block->raw_bytes)
        return corrupt(err, "ends of text values");
    return VARVE_OK;
}

/* Append text[from, to) of the block; a compressed one is unpacked whole behind `bytes` first. */
static varve_status append_range(const struct varve_block *block, size_t from, size_t to,
                                 struct varve_buffer *bytes, varve_error *err)
{
    const size_t size = to - from;
    const bool lz4 = block->codec == VARVE_CODEC_TEXT_LZ4;

    if (size == 0)
        return VARVE_OK;
    if (block->codec == VARVE_CODEC_TEXT) {
        varve_write_bytes(bytes, block->payload.data + from, size);
        return bytes->failed ? varve_error_nomem(err, "text of a block") : VARVE_OK;
    }
    const size_t raw = (size_t)block->raw_bytes;
    uint8_t *at = varve_buffer_reserve(bytes, raw);
    if (at == NULL)
        return varve_error_nomem(err, "text of a block");
    const varve_status rc = varve_packer_unpack(lz4 ? VARVE_PACKER_LZ4 : VARVE_PACKER_ZSTD,
                                                block->payload, at, raw, bytes->heap, err);
    if (rc < 0)
        return rc;
    memmove(at, at + from, size);
    bytes->size += size;
    return VARVE_OK;
}

varve_status varve_block_decode_bytes_with(const struct varve_kernels *k,
                                           const struct varve_block *block, uint32_t first,
                                           uint32_t n, uint32_t *offsets,
                                           struct varve_buffer *bytes, varve_error *err)
{
    int64_t ends[VARVE_VECTOR_ROWS + 1];
    varve_status rc;

    assert(block->lane == VARVE_LANE_BYTES);
    assert(first <= block->n && n <= block->n - first);
    if (n == 0)
        return VARVE_OK;
    if (block->raw_bytes > UINT32_MAX - offsets[0])
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "more than 4 GiB of text in a column");
    if (block->codec == VARVE_CODEC_CONST)
        return decode_constant(block, n, offsets, bytes, err);
    rc = decode_ends(k, block, first, n, ends, err);
    if (rc < 0)
        return rc;
    rc = append_range(block, (size_t)ends[0], (size_t)ends[n], bytes, err);
    if (rc < 0)
        return rc;
    for (uint32_t j = 0; j < n; j++)
        offsets[j + 1] = offsets[0] + (uint32_t)(ends[j + 1] - ends[0]);
    return VARVE_OK;
}

varve_status varve_block_decode_bytes(const struct varve_block *block, uint32_t first, uint32_t n,
                                      uint32_t *offsets, struct varve_buffer *bytes,
                                      varve_error *err)
{
    return varve_block_decode_bytes_with(varve_kernels_get(), block, first, n, offsets, bytes, err);
}
