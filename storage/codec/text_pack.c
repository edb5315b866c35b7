/*
 * text_pack.c - general compression, bounded: text inside blocks, and whole sections of text.
 *
 *   PACKED SECTION, FORMAT VERSION 1
 *     offset  size  field
 *          0     1  packer   enum varve_packer: 0 as it is, 1 one LZ4 block, 2 one zstd frame
 *          1     v  raw      varint, the size of the text; packers 1 and 2: above the stored size
 *          .     .  stored   the rest: the text (then `raw` bytes), or what the packer made of it
 *
 * Compression must save an eighth to be used, and zstd an eighth over LZ4, which unpacks faster.
 * Sizes come from our own headers, are bounded before memory is taken, and must come out exactly;
 * a zstd frame must be one, state its size, and have a window of 8 MiB or less (or none: its window
 * is the text). zstd's memory is one piece of the caller's heap.
 */
#define ZSTD_STATIC_LINKING_ONLY /* contexts in memory that the caller brings */
#include <assert.h>
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#include "storage/base/alloc.h"
#include "storage/codec/block_int.h"

#define PACK_MIN_BYTES 64u /* below this no compressor gains */
#define ZSTD_LEVEL 3
#define ZSTD_WINDOW_LOG 23
#define LZ4_RATIO_MAX 255u /* an LZ4 byte stands for at most as many */

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad text: %s", what);
}

static bool saves_an_eighth(size_t packed, size_t raw)
{
    return packed > 0 && packed < raw - raw / 8;
}

/* 0: it did not fit into `capacity`. */
static size_t pack_lz4(struct varve_span in, uint8_t *out, size_t capacity)
{
    if (in.size > LZ4_MAX_INPUT_SIZE)
        return 0;
    const int size =
        LZ4_compress_default((const char *)in.data, (char *)out, (int)in.size, (int)capacity);
    return size > 0 ? (size_t)size : 0;
}

static varve_status pack_zstd(struct varve_span in, uint8_t *out, size_t capacity,
                              struct varve_heap *heap, size_t *ret_size, varve_error *err)
{
    const ZSTD_compressionParameters params = ZSTD_getCParams(ZSTD_LEVEL, in.size, 0);
    const size_t work_size = ZSTD_estimateCCtxSize_usingCParams(params);
    void *work = varve_alloc(heap, work_size);

    assert(params.windowLog <= ZSTD_WINDOW_LOG);
    if (work == NULL)
        return varve_error_nomem(err, "compression");
    ZSTD_CCtx *ctx = ZSTD_initStaticCCtx(work, work_size);
    const size_t size = ZSTD_compressCCtx(ctx, out, capacity, in.data, in.size, ZSTD_LEVEL);
    *ret_size = ZSTD_isError(size) ? 0 : size;
    varve_free(heap, work, work_size);
    return VARVE_OK;
}

varve_status varve_packer_pack(struct varve_span in, struct varve_buffer *out,
                               enum varve_packer *ret_packer, varve_error *err)
{
    const size_t capacity = in.size;
    size_t zstd = 0;
    varve_status rc;

    *ret_packer = VARVE_PACKER_NONE;
    if (in.size < PACK_MIN_BYTES)
        return VARVE_OK;
    /* Both are tried, one behind the other; each has less room than the text takes as it is. */
    uint8_t *at = varve_buffer_reserve(out, 2 * capacity);
    if (at == NULL)
        return varve_error_nomem(err, "compressed text");
    const size_t lz4 = pack_lz4(in, at, capacity);
    rc = pack_zstd(in, at + capacity, capacity, out->heap, &zstd, err);
    if (rc < 0)
        return rc;
    if (saves_an_eighth(zstd, lz4 > 0 && lz4 < in.size ? lz4 : in.size) &&
        saves_an_eighth(zstd, in.size)) {
        memcpy(at, at + capacity, zstd);
        out->size += zstd;
        *ret_packer = VARVE_PACKER_ZSTD;
    } else if (saves_an_eighth(lz4, in.size)) {
        out->size += lz4;
        *ret_packer = VARVE_PACKER_LZ4;
    }
    return VARVE_OK;
}

static varve_status unpack_lz4(struct varve_span in, uint8_t *out, size_t raw, varve_error *err)
{
    if (in.size > LZ4_MAX_INPUT_SIZE || raw > LZ4_MAX_INPUT_SIZE)
        return corrupt(err, "size of an LZ4 block");
    const int size =
        LZ4_decompress_safe((const char *)in.data, (char *)out, (int)in.size, (int)raw);
    return size >= 0 && (size_t)size == raw ? VARVE_OK : corrupt(err, "LZ4 block");
}

static varve_status unpack_zstd(struct varve_span in, uint8_t *out, size_t raw,
                                struct varve_heap *heap, varve_error *err)
{
    ZSTD_frameHeader frame;

    if (ZSTD_getFrameHeader(&frame, in.data, in.size) != 0 || frame.frameType != ZSTD_frame ||
        frame.dictID != 0 || frame.frameContentSize != raw)
        return corrupt(err, "header of a zstd frame");
    if (frame.windowSize > (UINT64_C(1) << ZSTD_WINDOW_LOG) && frame.windowSize > raw)
        return corrupt(err, "window of a zstd frame");
    if (ZSTD_findFrameCompressedSize(in.data, in.size) != in.size)
        return corrupt(err, "size of a zstd frame");
    const size_t work_size = ZSTD_estimateDCtxSize();
    void *work = varve_alloc(heap, work_size);
    if (work == NULL)
        return varve_error_nomem(err, "decompression");
    ZSTD_DCtx *ctx = ZSTD_initStaticDCtx(work, work_size);
    const size_t size = ctx == NULL ? 0 : ZSTD_decompressDCtx(ctx, out, raw, in.data, in.size);
    varve_free(heap, work, work_size);
    return !ZSTD_isError(size) && size == raw ? VARVE_OK : corrupt(err, "zstd frame");
}

varve_status varve_packer_unpack(enum varve_packer packer, struct varve_span in, uint8_t *out,
                                 size_t raw, struct varve_heap *heap, varve_error *err)
{
    assert(packer == VARVE_PACKER_LZ4 || packer == VARVE_PACKER_ZSTD);
    return packer == VARVE_PACKER_LZ4 ? unpack_lz4(in, out, raw, err)
                                      : unpack_zstd(in, out, raw, heap, err);
}

varve_status varve_text_pack(struct varve_span in, struct varve_buffer *out, varve_error *err)
{
    const size_t start = out->size;
    enum varve_packer packer = VARVE_PACKER_NONE;
    struct varve_buffer packed;
    varve_status rc;

    varve_buffer_init(&packed, out->heap);
    rc = varve_packer_pack(in, &packed, &packer, err);
    if (rc == VARVE_OK) {
        const struct varve_span body =
            packer == VARVE_PACKER_NONE ? in : varve_buffer_span(&packed);
        varve_write_u8(out, (uint8_t)packer);
        varve_write_varint(out, in.size);
        if (body.size > 0)
            varve_write_bytes(out, body.data, body.size);
        if (out->failed)
            rc = varve_error_nomem(err, "packed text");
    }
    if (rc < 0)
        out->size = start;
    varve_buffer_free(&packed);
    return rc;
}

varve_status varve_text_unpack(struct varve_span in, size_t max, struct varve_buffer *out,
                               varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    const uint8_t packer = varve_read_u8(&r);
    const uint64_t raw = varve_read_varint(&r);
    const size_t left = varve_reader_left(&r);

    if (r.failed || packer > VARVE_PACKER_ZSTD || raw > max)
        return corrupt(err, "header");
    if (packer == VARVE_PACKER_NONE ? raw != left : raw <= left)
        return corrupt(err, "size");
    if (packer == VARVE_PACKER_LZ4 && raw / LZ4_RATIO_MAX > left)
        return corrupt(err, "size");
    if (raw == 0)
        return VARVE_OK;
    uint8_t *at = varve_buffer_reserve(out, (size_t)raw);
    if (at == NULL)
        return varve_error_nomem(err, "text of a section");
    const struct varve_span body = varve_read_bytes(&r, left);
    if (packer == VARVE_PACKER_NONE) {
        memcpy(at, body.data, body.size);
    } else {
        const varve_status rc =
            varve_packer_unpack((enum varve_packer)packer, body, at, (size_t)raw, out->heap, err);
        if (rc < 0)
            return rc;
    }
    out->size += (size_t)raw;
    return VARVE_OK;
}
