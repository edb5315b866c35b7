/*
 * block_int.h - the calls of codec.h with the kernels named, so that tests can compare paths.
 *
 * Private to storage/codec and its tests. varve_block_encode(..) is
 * varve_block_encode_with(varve_kernels_get(), ..), and so on.
 */
#ifndef VARVE_CODEC_BLOCK_INT_H
#define VARVE_CODEC_BLOCK_INT_H

#include "storage/codec/codec.h"
#include "storage/codec/kernels.h"

varve_status varve_block_encode_with(const struct varve_kernels *k, const struct varve_lanes *in,
                                     uint32_t flags, struct varve_buffer *out,
                                     struct varve_zone *ret_zone, varve_error *err);
varve_status varve_block_decode_with(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, void *values, int8_t *scales,
                                     varve_error *err);
varve_status varve_block_decode_bytes_with(const struct varve_kernels *k,
                                           const struct varve_block *block, uint32_t first,
                                           uint32_t n, uint32_t *offsets,
                                           struct varve_buffer *bytes, varve_error *err);
varve_status varve_block_select_with(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, uint32_t op,
                                     union varve_scalar operand, uint64_t *selected,
                                     varve_error *err);
varve_status varve_block_rank_with(const struct varve_kernels *k, const struct varve_block *block,
                                   uint32_t first, uint32_t n, int64_t key, uint32_t *ret_rank,
                                   varve_error *err);
varve_status varve_block_fold_with(const struct varve_kernels *k, const struct varve_block *block,
                                   uint32_t first, uint32_t n, uint32_t want,
                                   struct varve_fold *fold, varve_error *err);
void varve_fold_lanes_with(const struct varve_kernels *k, struct varve_fold *fold, uint32_t want,
                           const struct varve_lanes *in, uint32_t first, uint32_t n);
void varve_fold_runs_with(const struct varve_kernels *k, uint32_t want,
                          const struct varve_lanes *in, const uint64_t *live, uint32_t first,
                          const uint32_t *ends, uint32_t n_runs, struct varve_run_folds *ret_runs);

/* The range of values or keys into a fold; its count and sum are the caller's. */
void varve_fold_int_range(struct varve_fold *fold, const struct varve_int_range *range);
void varve_fold_keys(struct varve_fold *fold, const struct varve_key_range *keys);

/* Rows of an integer block (codec RAW .. RLE, or DICT) as int64. n <= 1024. */
varve_status varve_block_decode_ints(const struct varve_kernels *k, const struct varve_block *block,
                                     uint32_t first, uint32_t n, int64_t *out, varve_error *err);
/* Integers of `lane` widened. */
void varve_ints_widen(const struct varve_kernels *k, uint8_t lane, const void *values, uint32_t n,
                      int64_t *out);

/* Values of `size` bytes whose bit in `live` is set (bit 0: the first), put close together.
 * Returns their number. `out` has room for n. */
uint32_t varve_gather_live(const void *values, uint32_t size, const uint64_t *live, uint32_t n,
                           void *out);

/* Dividing by multiplying: a multiple x of `divisor` has the quotient (x >> shift) * inverse. */
struct varve_divider {
    uint64_t divisor;
    uint64_t inverse; /* of the divisor's odd part, modulo 2^64 */
    uint32_t shift;
};

#define VARVE_DIVISOR_ROWS_MIN 32u /* below this many rows no divisor is sought */
#define VARVE_DIVIDED_RANGE_MAX (UINT64_C(1) << 62)

struct varve_divider varve_divider_of(uint64_t divisor); /* divisor > 0 */
/* The greatest common divisor of the offsets value - base, or with `deltas` of the offsets
 * value j - value (j - 1) - base (j > 0), which are at most `range` < VARVE_DIVIDED_RANGE_MAX and
 * not all 0. 1 when there is none, when 2, 3, 5 and 7 are no factors of it, or when n is small. */
uint64_t varve_common_divisor(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                              int64_t base, bool deltas, uint64_t range);

/* Write the header and the codec's part of integers that are all live; false, and nothing written, if
 * they take more than `most` bytes. */
bool varve_ints_encode(const struct varve_kernels *k, const int64_t *values, uint32_t n,
                       uint8_t lane, uint8_t block_flags, uint32_t encode_flags,
                       const struct varve_int_stats *stats, size_t most, struct varve_buffer *out);

/* ALP (block_alp.c, decimal_scale.c), in the default floating-point mode. The powers of a sound scale: */
struct varve_alp_powers varve_alp_powers_of(struct varve_alp_scale scale);
/* A scale for values that look like decimals (with `single` floats, else doubles); false: they do
 * not, or nothing would be saved. */
bool varve_decimal_scale(const struct varve_kernels *k, const void *values, bool single, uint32_t n,
                         struct varve_alp_scale *ret_scale);
/* Write the header and ALP's part of floats whose cells that are not live (NULL: all are) have been
 * filled, if they look like decimals and it takes at most `most` bytes; false: nothing is written. */
bool varve_alp_encode(const struct varve_kernels *k, const void *values, uint8_t lane, uint32_t n,
                      const uint64_t *live, uint8_t block_flags, size_t most,
                      struct varve_buffer *out);
/* Rows [first, first + n) of an ALP block. */
varve_status varve_alp_decode(const struct varve_kernels *k, const struct varve_block *block,
                              uint32_t first, uint32_t n, void *out, varve_error *err);

/* Append n values of `width` bits as a bit string. */
void varve_bit_string_write(struct varve_buffer *out, const uint64_t *values, uint32_t n,
                            uint32_t width);
/* A bit string whose values come one by one: 64 of them are whole bytes. */
struct varve_bit_pieces {
    uint32_t width;
    uint32_t n;
    uint64_t values[64];
};
void varve_bit_pieces_add(struct varve_bit_pieces *pieces, uint64_t value,
                          struct varve_buffer *out);
void varve_bit_pieces_end(struct varve_bit_pieces *pieces, struct varve_buffer *out);

/* The same for text; `live` as in struct varve_lanes. */
varve_status varve_text_encode(const struct varve_kernels *k, const struct varve_lanes *in,
                               uint8_t block_flags, uint32_t encode_flags, struct varve_buffer *out,
                               varve_error *err);

/* Statistics of the live cells of `in`. `live` NULL: all. */
void varve_zone_gather(const struct varve_kernels *k, const struct varve_lanes *in,
                       const uint64_t *live, struct varve_zone *ret_zone);

/* General compression of text, in a caller's buffer. */
enum varve_packer { VARVE_PACKER_NONE = 0, VARVE_PACKER_LZ4 = 1, VARVE_PACKER_ZSTD = 2 };
/* Append `in` compressed to `out` and say how; NONE: nothing appended, it does not pay. */
varve_status varve_packer_pack(struct varve_span in, struct varve_buffer *out,
                               enum varve_packer *ret_packer, varve_error *err);
/* Exactly `raw` bytes into `out`, with scratch memory from `heap`. */
varve_status varve_packer_unpack(enum varve_packer packer, struct varve_span in, uint8_t *out,
                                 size_t raw, struct varve_heap *heap, varve_error *err);

#endif
