/*
 * block_format.c - headers of blocks: written, and read with every bound checked.
 *
 * Opening looks at no value: it parses the header, works out where each part must end from the row
 * count and the widths, and insists that the parts fill the block exactly. The state bitmaps alone
 * are read, because varve_block_states() cannot fail.
 */
#include "storage/codec/block_format.h"

#include <assert.h>

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "bad block: %s", what);
}

uint32_t varve_lane_size(uint8_t lane)
{
    switch (lane) {
    case VARVE_LANE_I8:
        return 1;
    case VARVE_LANE_I16:
        return 2;
    case VARVE_LANE_I32:
    case VARVE_LANE_F32:
        return 4;
    case VARVE_LANE_I64:
    case VARVE_LANE_F64:
    case VARVE_LANE_DEC:
        return 8;
    case VARVE_LANE_B16:
        return 16;
    default:
        return 0;
    }
}

bool varve_lane_is_integer(uint8_t lane)
{
    return lane >= VARVE_LANE_I8 && lane <= VARVE_LANE_I64;
}

bool varve_lane_holds(uint8_t lane, int64_t value)
{
    switch (lane) {
    case VARVE_LANE_I8:
        return value >= INT8_MIN && value <= INT8_MAX;
    case VARVE_LANE_I16:
        return value >= INT16_MIN && value <= INT16_MAX;
    case VARVE_LANE_I32:
        return value >= INT32_MIN && value <= INT32_MAX;
    default:
        return true;
    }
}

size_t varve_block_packed_size(uint32_t n, uint32_t width)
{
    assert(width <= 64);
    if (n < VARVE_BLOCK_DENSE_ROWS)
        return varve_pack_size(n, width);
    const uint32_t bits = width <= 32 ? 32 : 64;
    const uint32_t lanes = 1024 / bits;
    const uint32_t rows = (n + lanes - 1) / lanes;
    return (size_t)((rows * width + bits - 1) / bits) * 128;
}

bool varve_block_divisor_fits(int64_t base, uint64_t divisor, uint32_t width)
{
    const uint64_t most = width == 0 ? 0 : UINT64_MAX >> (64 - width);
    const uint64_t room = (uint64_t)INT64_MAX - (uint64_t)base;

    return most == 0 || divisor <= room / most;
}

size_t varve_block_text_max(uint32_t n)
{
    return n == 1 ? VARVE_BLOCK_TEXT_MAX_ONE : VARVE_VECTOR_BYTES_MAX;
}

bool varve_alp_scale_is_sound(struct varve_alp_scale scale)
{
    if (scale.e > VARVE_ALP_EXPONENT_MAX)
        return false;
    return scale.mode == VARVE_ALP_MUL ? scale.f <= scale.e
                                       : scale.mode == VARVE_ALP_DIV && scale.f == 0;
}

void varve_block_header_write(struct varve_buffer *out, uint8_t codec, uint8_t lane, uint8_t flags,
                              uint32_t n)
{
    assert(n >= 1 && n <= VARVE_VECTOR_ROWS);
    assert((lane & 0xf) == lane && (flags & 7) == flags);
    varve_write_u8(out, codec);
    varve_write_u8(out, (uint8_t)(lane | flags << 4));
    varve_write_u16(out, (uint16_t)n);
}

/* The four bytes; `lane` and `n` are what the reader expects. */
static varve_status read_header(struct varve_reader *r, uint8_t lane, uint32_t n,
                                struct varve_block *block, varve_error *err)
{
    block->codec = varve_read_u8(r);
    const uint8_t form = varve_read_u8(r);
    block->lane = form & 0xf;
    block->flags = form >> 4 & 3;
    block->divisor = (form >> 4 & VARVE_BLOCK_HAS_DIVISOR) != 0 ? 0 : 1; /* 0: to be read */
    block->n = varve_read_u16(r);
    if (r->failed)
        return corrupt(err, "cut short");
    if (block->n != n || n < 1 || n > VARVE_VECTOR_ROWS)
        return corrupt(err, "row count");
    if (form >> 7 != 0 || block->flags == VARVE_BLOCK_HAS_DELETED)
        return corrupt(err, "flags");
    if (block->divisor == 0 && block->codec != VARVE_CODEC_FOR && block->codec != VARVE_CODEC_DFOR)
        return corrupt(err, "flags");
    if (block->lane != (block->codec == VARVE_CODEC_DICT ? VARVE_LANE_I32 : lane))
        return corrupt(err, "lane");
    return VARVE_OK;
}

/* A width of 0 .. 64; what is out of range fails the reader's caller through `sound`. */
static uint8_t read_width(struct varve_reader *r, bool *sound)
{
    const uint8_t width = varve_read_u8(r);
    *sound = *sound && width <= 64;
    return width <= 64 ? width : 0;
}

static int64_t read_value(struct varve_reader *r, uint8_t lane, bool *sound)
{
    const int64_t value = varve_read_zigzag(r);
    *sound = *sound && varve_lane_holds(lane, value);
    return value;
}

/* The divisor, where the flags announced one; `base` is what its multiples are added to. */
static void read_divisor(struct varve_reader *r, struct varve_block *block, int64_t base,
                         bool *sound)
{
    if (block->divisor != 0)
        return;
    block->divisor = varve_read_varint(r);
    *sound = *sound && block->divisor >= 2 &&
             varve_block_divisor_fits(base, block->divisor, block->width);
}

/* The packed part of FOR and DFOR. */
static struct varve_span read_packed(struct varve_reader *r, const struct varve_block *block,
                                     bool *sound)
{
    if (block->n < VARVE_BLOCK_DENSE_ROWS)
        return varve_bit_string_read(r, block->n, block->width, sound);
    return varve_read_bytes(r, varve_block_packed_size(block->n, block->width));
}

static void read_rle(struct varve_reader *r, struct varve_block *block, bool *sound)
{
    const bool integer = varve_lane_is_integer(block->lane);

    block->runs = varve_read_u16(r);
    if (block->runs < 1 || block->runs > block->n) {
        *sound = false;
        return;
    }
    block->width2 = (uint8_t)varve_bit_length(block->n - 1);
    if (integer) {
        block->width = read_width(r, sound);
        block->base = read_value(r, block->lane, sound);
    }
    block->extra = varve_bit_string_read(r, block->runs - 1u, block->width2, sound);
    block->payload = integer
                         ? varve_bit_string_read(r, block->runs, block->width, sound)
                         : varve_read_bytes(r, (size_t)block->runs * varve_lane_size(block->lane));
}

static void read_dfor(struct varve_reader *r, struct varve_block *block, bool *sound)
{
    block->width = read_width(r, sound);
    block->width2 = read_width(r, sound);
    block->base = read_value(r, block->lane, sound);
    block->step = varve_read_zigzag(r);
    read_divisor(r, block, block->step, sound);
    block->extra = varve_bit_string_read(r, varve_block_restarts(block->n), block->width2, sound);
    block->payload = read_packed(r, block, sound);
}

/* The part of a codec of fixed-size values: RAW .. RLE. */
static varve_status read_simple(struct varve_reader *r, struct varve_block *block, varve_error *err)
{
    const uint32_t size = varve_lane_size(block->lane);
    const bool integer = varve_lane_is_integer(block->lane);
    bool sound = size > 0 && block->lane != VARVE_LANE_DEC;

    switch (block->codec) {
    case VARVE_CODEC_RAW:
        block->payload = varve_read_bytes(r, (size_t)block->n * size);
        break;
    case VARVE_CODEC_CONST:
        if (integer)
            block->base = read_value(r, block->lane, &sound);
        else
            block->payload = varve_read_bytes(r, size);
        break;
    case VARVE_CODEC_CONST_DELTA:
        sound = sound && integer;
        block->base = read_value(r, block->lane, &sound);
        block->step = varve_read_zigzag(r);
        break;
    case VARVE_CODEC_FOR:
        sound = sound && integer;
        block->width = read_width(r, &sound);
        block->base = read_value(r, block->lane, &sound);
        read_divisor(r, block, block->base, &sound);
        block->payload = read_packed(r, block, &sound);
        break;
    case VARVE_CODEC_DFOR:
        sound = sound && integer;
        read_dfor(r, block, &sound);
        break;
    case VARVE_CODEC_RLE:
        read_rle(r, block, &sound);
        break;
    default:
        sound = false;
        break;
    }
    if (r->failed)
        return corrupt(err, "cut short");
    return sound ? VARVE_OK : corrupt(err, "codec's parameters");
}

/* A block inside a block, from where the reader stands; `ret_span` is its bytes. */
static varve_status read_inner(struct varve_reader *r, uint8_t lane, uint32_t n,
                               struct varve_span *ret_span, varve_error *err)
{
    const uint8_t *start = r->at;
    struct varve_block inner = {0};
    varve_status rc = read_header(r, lane, n, &inner, err);

    if (rc == VARVE_OK && inner.flags != 0)
        rc = corrupt(err, "flags of an inner block");
    if (rc == VARVE_OK)
        rc = read_simple(r, &inner, err);
    if (rc == VARVE_OK)
        *ret_span = (struct varve_span){start, (size_t)(r->at - start)};
    return rc;
}

varve_status varve_block_open_inner(struct varve_span in, uint8_t lane, uint32_t n,
                                    struct varve_block *ret_block, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_block block = {0};
    varve_status rc = read_header(&r, lane, n, &block, err);

    if (rc == VARVE_OK)
        rc = read_simple(&r, &block, err);
    if (rc == VARVE_OK && varve_reader_left(&r) != 0)
        rc = corrupt(err, "bytes left over");
    if (rc == VARVE_OK)
        *ret_block = block;
    return rc;
}

static varve_status read_const_text(struct varve_reader *r, struct varve_block *block,
                                    varve_error *err)
{
    const size_t max = varve_block_text_max(block->n);

    block->payload = varve_read_sized(r, max);
    block->raw_bytes = (uint64_t)block->payload.size * block->n;
    if (r->failed || block->raw_bytes > max)
        return corrupt(err, "size of the text");
    return VARVE_OK;
}

static varve_status read_text(struct varve_reader *r, struct varve_block *block, varve_error *err)
{
    const bool packed = block->codec != VARVE_CODEC_TEXT;

    block->raw_bytes = varve_read_varint(r);
    const uint64_t stored = packed ? varve_read_varint(r) : block->raw_bytes;
    if (r->failed || block->raw_bytes > varve_block_text_max(block->n))
        return corrupt(err, "size of the text");
    if (packed && stored >= block->raw_bytes)
        return corrupt(err, "stored size of the text");
    const varve_status rc = read_inner(r, VARVE_LANE_I32, block->n, &block->extra, err);
    if (rc < 0)
        return rc;
    block->payload = varve_read_bytes(r, (size_t)stored);
    return r->failed ? corrupt(err, "cut short") : VARVE_OK;
}

/* The integers are a block inside, which is no ALP block: nothing nests deeper. */
static varve_status read_alp(struct varve_reader *r, struct varve_block *block, varve_error *err)
{
    if (block->lane != VARVE_LANE_F32 && block->lane != VARVE_LANE_F64)
        return corrupt(err, "codec of a float");
    block->scale.mode = varve_read_u8(r);
    block->scale.e = varve_read_u8(r);
    block->scale.f = varve_read_u8(r);
    block->runs = varve_read_u16(r);
    block->width2 = (uint8_t)varve_bit_length(block->n - 1);
    if (r->failed)
        return corrupt(err, "cut short");
    if (!varve_alp_scale_is_sound(block->scale) || block->runs > block->n)
        return corrupt(err, "codec's parameters");
    const varve_status rc = read_inner(r, VARVE_LANE_I64, block->n, &block->payload, err);
    if (rc < 0)
        return rc;
    bool sound = true;
    block->extra = varve_bit_string_read(r, block->runs, block->width2, &sound);
    block->raw = varve_read_bytes(r, (size_t)block->runs * varve_lane_size(block->lane));
    if (r->failed)
        return corrupt(err, "cut short");
    return sound ? VARVE_OK : corrupt(err, "rows of exceptions");
}

static varve_status read_codec(struct varve_reader *r, struct varve_block *block, varve_error *err)
{
    varve_status rc;

    if (block->codec == VARVE_CODEC_DICT)
        return read_inner(r, VARVE_LANE_I32, block->n, &block->payload, err);
    if (block->codec == VARVE_CODEC_ALP)
        return read_alp(r, block, err);
    if (block->lane == VARVE_LANE_DEC) {
        if (block->codec != VARVE_CODEC_DECIMAL)
            return corrupt(err, "codec of a decimal");
        rc = read_inner(r, VARVE_LANE_I64, block->n, &block->payload, err);
        return rc < 0 ? rc : read_inner(r, VARVE_LANE_I8, block->n, &block->extra, err);
    }
    if (block->lane == VARVE_LANE_BYTES) {
        if (block->codec == VARVE_CODEC_CONST)
            return read_const_text(r, block, err);
        if (block->codec < VARVE_CODEC_TEXT || block->codec > VARVE_CODEC_TEXT_ZSTD)
            return corrupt(err, "codec of a text");
        return read_text(r, block, err);
    }
    return read_simple(r, block, err);
}

static varve_status read_states(struct varve_reader *r, struct varve_block *block, varve_error *err)
{
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];

    if ((block->flags & VARVE_BLOCK_HAS_ABSENT) == 0)
        return VARVE_OK;
    if (!varve_state_read(r, block->n, &block->live, live))
        return corrupt(err, "bitmap of live cells");
    if ((block->flags & VARVE_BLOCK_HAS_DELETED) == 0)
        return VARVE_OK;
    if (!varve_state_read(r, block->n, &block->deleted, deleted))
        return corrupt(err, "bitmap of deleted cells");
    for (uint32_t i = 0; i < VARVE_BLOCK_STATE_WORDS; i++) {
        if ((live[i] & deleted[i]) != 0)
            return corrupt(err, "a cell both live and deleted");
    }
    return VARVE_OK;
}

varve_status varve_block_open(struct varve_span in, uint8_t lane, uint32_t n,
                              struct varve_block *ret_block, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_block block = {0};
    varve_status rc;

    rc = read_header(&r, lane, n, &block, err);
    if (rc == VARVE_OK)
        rc = read_codec(&r, &block, err);
    if (rc == VARVE_OK)
        rc = read_states(&r, &block, err);
    if (rc == VARVE_OK && varve_reader_left(&r) != 0)
        rc = corrupt(err, "bytes left over");
    if (rc == VARVE_OK)
        *ret_block = block;
    return rc;
}
