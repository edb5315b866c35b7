/*
 * block_format.h - the bytes of a block: up to 1,024 values of one column. With block_format.c the
 * only code that knows where things stand in it.
 *
 * BLOCK, FORMAT VERSION 1. A header, the codec's own part, then the state bitmaps that the flags
 * announce; nothing after them. Integers are little-endian; "varint" is canonical LEB128, "zigzag"
 * a varint of a signed value; bit strings fill bytes from the least significant bit, and what the
 * last byte has left is zero.
 *
 *   Header, 4 bytes
 *     offset  size  field
 *          0     1  codec     enum varve_codec
 *          1     1  form      bits 0-3 lane (enum varve_lane), bits 4-6 flags (enum
 *                             varve_block_flags; HAS_DELETED only with HAS_ABSENT, HAS_DIVISOR
 *                             only in FOR and DFOR), bit 7 zero
 *          2     2  n         rows, 1 .. 1024
 *
 *   Codec part. "Integers" are the lanes I8 .. I64, and base and first lie in the lane's range;
 *   arithmetic wraps modulo 2^64, then the lane's low bits are kept.
 *     RAW          n values of the lane's size. Not BYTES, DEC.
 *     CONST        integers: zigzag value. F32, F64, B16: the value. BYTES: varint size, bytes; the
 *                  n copies are at most the limit on raw text. Not DEC.
 *     CONST_DELTA  integers: zigzag first, zigzag step; value j is first + j * step.
 *     FOR          integers: u8 width (0 .. 64), zigzag base, n packed offsets from base.
 *     DFOR         integers: u8 width (0 .. 64), u8 restart width (0 .. 64), zigzag first, zigzag
 *                  step, the restarts as a bit string, n packed residuals.
 *                  Residual 0 is 0; residual j is value j - value (j - 1) - step. Restart k (1 ..
 *                  (n - 1) / 128) is the sum of the residuals below row 128 k, so that
 *                  value j = first + j * step + restart (j / 128) + the segment's residuals up to j.
 *                  With HAS_DIVISOR a varint divisor, 2 or more, follows base (FOR) or step (DFOR),
 *                  and what is packed counts in it: offsets, residuals and restarts are divisor
 *                  times what stands. base (step) + divisor * (2^width - 1) is at most 2^63 - 1.
 *     RLE          u16 runs (1 .. n). Integers: u8 width (0 .. 64), zigzag base. The last row + 1 of
 *                  each run but the last, which ends at n: a bit string of bitlen(n - 1) each,
 *                  increasing. Integers: a bit string of the runs' offsets from base, width bits
 *                  each. F32, F64, B16: the runs' values.
 *     DICT         a block of lane I32, same n, no states, codec RAW .. RLE: the codes. The outer
 *                  lane is I32 too.
 *     DECIMAL      lane DEC: a block of the mantissas (I64), then one of the scales (I8); both
 *                  codec RAW .. RLE, same n, no states.
 *     ALP          lanes F32, F64: u8 mode (enum varve_alp_mode), u8 e (0 .. 18), u8 f (0 .. e; DIV:
 *                  0), u16 exceptions (0 .. n), a block of lane I64 (codec RAW .. RLE, same n, no
 *                  states) of integers in [-2^51, 2^51), the exceptions' rows as a bit string of
 *                  bitlen(n - 1) each, increasing and below n, then the exceptions' values.
 *                  Value j is an exception's where j is its row. Else it is computed from integer j
 *                  as a double, every step rounded to nearest: MUL (integer * 10^f) * 10^-e with the
 *                  double nearest to 10^-e, DIV integer / 10^e; F32: rounded to a float last.
 *     TEXT         lane BYTES: varint raw size, a block of lane I32 (codec RAW .. RLE, same n, no
 *                  states) of the end of each value in the text, then the text.
 *     TEXT_LZ4     the same with varint stored size after the raw size, and the text as one LZ4
 *     TEXT_ZSTD    block or one zstd frame that states its content size.
 *   Raw text is at most 1 MiB, or 16 MiB when n = 1. Stored sizes are below raw sizes.
 *
 *   Bit packing. n < 128: a bit string, value j at bit j * width, ceil(n * width / 8) bytes.
 *   n >= 128: words of T bits, T = 32 when width <= 32, else 64, in S = 1024 / T lanes. Value j is
 *   in row r = j / S, lane l = j % S; it starts at bit r * width of its lane's bit string, whose
 *   word i is word i * S + l of the block. Only the words up to row ceil(n / S) stand:
 *   ceil(ceil(n / S) * width / T) * S of them. Rows after n are written as zero and not looked at.
 *
 *   State bitmap (live first, then deleted). u8 kind, then
 *     1 BITS       ceil(n / 8) bytes, row j at bit j; the bits after n are zero
 *     2, 3 RUNS    varint flips (below n); a bit string of bitlen(n - 1) each: the rows, increasing
 *                  and above 0, at which the bit changes. Row 0 is 0 (kind 2) or 1 (kind 3).
 *   A row that is deleted is not live. RUNS is written when it is smaller than BITS.
 *
 * Where a choice of codec is open, the writer takes CONST if all values are equal, else the fewest bytes
 * (in the log without RLE, ALP and compression, for the sake of time), and of equals the first of CONST_DELTA, RAW, FOR, RLE, DFOR, FOR with a divisor, DFOR with a divisor
 * (common_divisor.c says which divisors it looks for). ALP is taken where block_alp.c finds decimals
 * and it saves an eighth of what the next best takes. Readers accept any.
 *
 * Changing anything above takes a new codec id, a new folder in tests/golden/block/, and a decoder
 * that still reads what version 1 wrote.
 */
#ifndef VARVE_CODEC_BLOCK_FORMAT_H
#define VARVE_CODEC_BLOCK_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/codec/codec.h"

#define VARVE_BLOCK_HEADER_SIZE 4u
#define VARVE_BLOCK_DENSE_ROWS 128u /* below this many rows, packing is one bit string */
#define VARVE_BLOCK_STATE_WORDS (VARVE_VECTOR_ROWS / 64)
#define VARVE_BLOCK_TEXT_MAX_ONE (16u << 20) /* raw text of a block with a single row */

/* Bytes of a value of the lane; DEC counts its mantissa, BYTES has none: 0. */
uint32_t varve_lane_size(uint8_t lane);
bool varve_lane_is_integer(uint8_t lane);
bool varve_lane_holds(uint8_t lane, int64_t value); /* integers */

/* 64 - leading zeros: the width that `value` needs, 0 for 0. */
uint32_t varve_bit_length(uint64_t value);

/* Size of n packed values, as the header comment says. */
size_t varve_block_packed_size(uint32_t n, uint32_t width);
/* Restart bases of a DFOR block. */
static inline uint32_t varve_block_restarts(uint32_t n)
{
    return (n - 1) / 128;
}
/* Whether base + divisor * (2^width - 1) is at most 2^63 - 1. */
bool varve_block_divisor_fits(int64_t base, uint64_t divisor, uint32_t width);
size_t varve_block_text_max(uint32_t n);
/* Whether mode, e and f are what an ALP block may have. */
bool varve_alp_scale_is_sound(struct varve_alp_scale scale);

void varve_block_header_write(struct varve_buffer *out, uint8_t codec, uint8_t lane, uint8_t flags,
                              uint32_t n);

/* Open a block that stands inside another: no states, and codec RAW .. RLE. */
varve_status varve_block_open_inner(struct varve_span in, uint8_t lane, uint32_t n,
                                    struct varve_block *ret_block, varve_error *err);

/* Append the bitmap of n rows; bits from n on are ignored. */
void varve_state_write(struct varve_buffer *out, const uint64_t *bits, uint32_t n);
/* Read one: its bytes, and its bits (VARVE_BLOCK_STATE_WORDS words). False: malformed. */
bool varve_state_read(struct varve_reader *r, uint32_t n, struct varve_span *ret_span,
                      uint64_t *ret_bits);

#endif
