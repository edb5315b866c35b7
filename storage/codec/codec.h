/*
 * codec.h - the bytes of up to 1,024 values of one column (docs/FORMAT.md, Column vectors).
 *
 * Place.   The log's payload and the SSTable store columns as blocks made here. Pure: bytes in,
 *          bytes out; no file, no log, no schema.
 * A block  is position-independent and self-describing: codec id, flags, row count, then the
 *          codec's payload, then, when a flag says so, the state bitmaps. Absent and deleted cells
 *          hold a filler that does not widen the packing; fillers never enter statistics.
 *
 * Invariants
 *   C1  decode(encode(x)) is x bit for bit, NaN payloads and -0.0 included.
 *   C2  The scalar path and every vector path write and read the same bytes.
 *   C3  Any bytes given to varve_block_open() give OK or ECORRUPT; after OK no decode reads outside
 *       the block, whatever it holds.
 *   C4  decode(first, n) costs O(n + 64).
 *
 * Floats.  Encoding, its zones and decoding enter the default mode of floating point themselves
 *          (float_mode.h). Folds and selections of floats widen F32 and add doubles, so whoever
 *          scans enters that mode: then results do not depend on the host's rounding or denormal
 *          modes.
 * Stack.   Calls use up to 72 KiB of it.
 * Threads. A struct varve_block is read-only after open and may be shared.
 */
#ifndef VARVE_CODEC_CODEC_H
#define VARVE_CODEC_CODEC_H

#include <varve/varve.h>

#include "storage/base/alloc.h"
#include "storage/base/bytes.h"
#include "storage/base/error.h"
#include "storage/base/exact.h"

#define VARVE_VECTOR_ROWS 1024u
#define VARVE_VECTOR_BYTES_MAX (1u << 20) /* raw; a vector of a single row: 16 MiB */

/* What a value is to a codec. The numbers equal enum varve_phys (schema.h checks it). */
enum varve_lane {
    VARVE_LANE_I8 = 1,
    VARVE_LANE_I16,
    VARVE_LANE_I32,
    VARVE_LANE_I64,
    VARVE_LANE_F32,
    VARVE_LANE_F64,
    VARVE_LANE_B16,
    VARVE_LANE_DEC,
    VARVE_LANE_BYTES
};

/* In files: append only. */
enum varve_codec {
    VARVE_CODEC_RAW = 1,         /* values as they are, little-endian */
    VARVE_CODEC_CONST = 2,       /* one value */
    VARVE_CODEC_CONST_DELTA = 3, /* first value and a step */
    VARVE_CODEC_FOR = 4,         /* frame of reference, bit-packed */
    VARVE_CODEC_DFOR = 5,        /* deltas minus the least delta, bit-packed */
    VARVE_CODEC_RLE = 6,         /* run values and run ends */
    VARVE_CODEC_DICT = 7,        /* codes into a dictionary that stands elsewhere */
    VARVE_CODEC_TEXT = 8,        /* offsets packed, bytes as they are */
    VARVE_CODEC_TEXT_LZ4 = 9,
    VARVE_CODEC_TEXT_ZSTD = 10,
    VARVE_CODEC_DECIMAL = 11, /* lane DEC: a block of mantissas, a block of scales */
    VARVE_CODEC_ALP = 12      /* lanes F32, F64: decimals as integers, and exceptions */
    /* 13 ..: patched FOR, a column predicted by another */
};

/* In files. */
enum varve_block_flags {
    VARVE_BLOCK_HAS_ABSENT = 1,  /* a live bitmap stands in the block: not every cell is live */
    VARVE_BLOCK_HAS_DELETED = 2, /* a deleted bitmap too (deleted cells are not live) */
    VARVE_BLOCK_HAS_DIVISOR = 4  /* FOR, DFOR: a common divisor of what is packed stands in it */
};

/* Values in memory, decoded. Buffers are 64-byte aligned and padded to 64 bytes when ours. */
struct varve_lanes {
    uint8_t lane; /* enum varve_lane */
    uint32_t n;
    const void *values;      /* typed; BYTES: the bytes */
    const uint32_t *offsets; /* BYTES: n + 1; offsets[0] need not be 0 */
    const int8_t *scales;    /* DEC */
    const uint64_t *live;    /* NULL: all live */
    const uint64_t *deleted; /* NULL: none */
};

/* The statistics of a zone map, over live cells, as if alone and nothing had expired. */
struct varve_zone {
    uint32_t live;  /* cells that are live */
    uint32_t nan;   /* of them NaN */
    bool has_range; /* min and max hold (some live cell that is not NaN; not BYTES, B16) */
    bool has_sum;   /* sum (integers, DEC(p, s)) or partial (floats) holds */
    bool has_ends;  /* first and last hold */
    uint8_t reserved;
    uint16_t first_row; /* of the first and last live cell */
    uint16_t last_row;
    union varve_scalar {
        int64_t i64;
        double f64; /* F32 too, widened */
    } min, max, first, last;
    varve_i128 sum;
    struct varve_exact_partial partial;
};

enum varve_encode_flags {
    VARVE_ENCODE_LOG = 1,  /* cheap: CONST, CONST_DELTA, FOR, DFOR, RAW, TEXT only */
    VARVE_ENCODE_ZONE = 2, /* fill *ret_zone */
    VARVE_ENCODE_CODES = 4 /* the lanes are dictionary codes (I32): the codec id becomes DICT */
};

/* Append the block of `in` (1 .. 1024 rows) to `out`. ret_zone may be NULL. The choice of codec is a
 * function of the values and flags alone. */
varve_status varve_block_encode(const struct varve_lanes *in, uint32_t flags,
                                struct varve_buffer *out, struct varve_zone *ret_zone,
                                varve_error *err);

/* The zone that encoding these cells gives. */
void varve_zone_of(const struct varve_lanes *in, struct varve_zone *ret_zone);

/* How the integers of an ALP block become values. In files. */
enum varve_alp_mode {
    VARVE_ALP_MUL = 1, /* integer * 10^f * 10^-e */
    VARVE_ALP_DIV = 2  /* integer / 10^e */
};

struct varve_alp_scale {
    uint8_t mode; /* enum varve_alp_mode; 0: the block is not ALP */
    uint8_t e;    /* 0 .. VARVE_ALP_EXPONENT_MAX */
    uint8_t f;    /* 0 .. e; DIV: 0 */
};

#define VARVE_ALP_EXPONENT_MAX 18u

/* An opened block: header parsed and every bound checked, values not yet looked at. */
struct varve_block {
    uint8_t lane;
    uint8_t codec;
    uint8_t flags;  /* of enum varve_block_flags, those of states */
    uint8_t width;  /* bits a value, packed codecs */
    uint8_t width2; /* bits of a run end (RLE), of a restart base (DFOR) or of a row (ALP) */
    uint16_t runs;  /* RLE; ALP: exceptions */
    struct varve_alp_scale scale;
    uint32_t n;
    int64_t base;     /* FOR, DFOR, CONST (integers), CONST_DELTA: first */
    int64_t step;     /* CONST_DELTA; DFOR: least delta */
    uint64_t divisor; /* FOR, DFOR: what a packed value is multiplied by; else 1 */
    struct varve_span payload;
    struct varve_span extra; /* a codec's second part (run ends, offsets, scales, DFOR bases,
                                rows of exceptions) */
    struct varve_span raw;   /* ALP: the exceptions' values */
    struct varve_span live;  /* stored bitmaps, or empty */
    struct varve_span deleted;
    uint64_t raw_bytes; /* BYTES: of the text, at most VARVE_VECTOR_BYTES_MAX or 16 MiB */
};

/* `lane` is what the column must be; a block of another lane is ECORRUPT. A DICT block is taken for
 * any lane: ret_block->codec says so, its lane is I32, and the caller must have the dictionary.
 * `in` stays borrowed and is the block exactly: bytes left over are ECORRUPT. */
varve_status varve_block_open(struct varve_span in, uint8_t lane, uint32_t n,
                              struct varve_block *ret_block, varve_error *err);

/*
 * Decode rows [first, first + n) into typed memory at `values` (n values of the lane's width; DEC:
 * and `scales`). Not for BYTES. DICT: gives the codes as int32.
 */
varve_status varve_block_decode(const struct varve_block *block, uint32_t first, uint32_t n,
                                void *values, int8_t *scales, varve_error *err);

/* Bytes of rows [first, first + n): appended to `bytes`; n offsets are written after offsets[0],
 * which the caller has set to the position where the first starts. */
varve_status varve_block_decode_bytes(const struct varve_block *block, uint32_t first, uint32_t n,
                                      uint32_t *offsets, struct varve_buffer *bytes,
                                      varve_error *err);

/* State bits of rows [first, first + n) into bitmaps at bit 0 (both of VARVE_BITMAP_WORDS(n)). */
void varve_block_states(const struct varve_block *block, uint32_t first, uint32_t n, uint64_t *live,
                        uint64_t *deleted);

/*
 * AND into `selected` (bit 0: row `first`) the rows whose cell satisfies op against `operand`
 * (integers: i64; floats: f64 with the order of DESIGN 2; -0.0 = 0.0). Not for BYTES, B16, DEC:
 * those decode first. Null cells are deselected.
 */
varve_status varve_block_select(const struct varve_block *block, uint32_t first, uint32_t n,
                                uint32_t op, union varve_scalar operand, uint64_t *selected,
                                varve_error *err);

/*
 * How many of rows [first, first + n) of a block of integers are below `key`, the rows ascending and
 * all live. O(log n + 128). Of rows that do not ascend: some number up to n.
 */
varve_status varve_block_rank(const struct varve_block *block, uint32_t first, uint32_t n,
                              int64_t key, uint32_t *ret_rank, varve_error *err);

/* What to gather in a fold; a bit mask, so that a kernel computes no more than is asked. */
enum varve_fold_want {
    VARVE_FOLD_COUNT = 1,
    VARVE_FOLD_SUM = 2,
    VARVE_FOLD_MIN = 4,
    VARVE_FOLD_MAX = 8,
    VARVE_FOLD_FIRST = 16,
    VARVE_FOLD_LAST = 32
};

/* A running aggregate of one column over rows in order; zero is empty (see varve_fold_reset). */
struct varve_fold {
    uint64_t count; /* live cells */
    bool has_first; /* first and last hold */
    bool has_range; /* min and max hold; NaN sorts greatest */
    union varve_scalar first, last, min, max;
    varve_i128 sum;               /* integers */
    struct varve_exact_sum *fsum; /* floats: borrowed, wanted with FOLD_SUM */
};

void varve_fold_reset(struct varve_fold *fold);

/* Fold rows of a decoded column, [first, first + n) of `in`. Kernels vectorise; all paths agree. */
void varve_fold_lanes(struct varve_fold *fold, uint32_t want, const struct varve_lanes *in,
                      uint32_t first, uint32_t n);
/*
 * Runs. Consecutive rows of a decoded column, folded run by run in one go: run k is the rows
 * [ends[k - 1], ends[k]) behind row `first`, run 0 begins at `first` itself.
 */
#define VARVE_RUNS_MAX 128u

struct varve_int_range { /* of some integers */
    int64_t min, max;
    varve_i128 sum;
};

struct varve_run_folds {
    uint32_t n;
    uint8_t lane;   /* VARVE_LANE_I64, or VARVE_LANE_F64 for both kinds of floats */
    bool has_range; /* min and max hold for runs with live cells; so do sums, or halves */
    bool has_halves;
    uint32_t ends[VARVE_RUNS_MAX];                 /* of run k among the live cells */
    const void *values;                            /* of the live cells: int64_t or double */
    struct varve_int_range ranges[VARVE_RUNS_MAX]; /* of floats: order keys */
    struct varve_exact_halves halves[VARVE_RUNS_MAX];
    int64_t wide[VARVE_VECTOR_ROWS]; /* where `values` points if it must */
};

/* `in` is of numbers, with at most VARVE_VECTOR_ROWS rows. `live` (from bit 0, row `first` being
 * bit `first`) is looked at instead of in->live; NULL: all. n_runs is 1 .. VARVE_RUNS_MAX. */
void varve_fold_runs(uint32_t want, const struct varve_lanes *in, const uint64_t *live,
                     uint32_t first, const uint32_t *ends, uint32_t n_runs,
                     struct varve_run_folds *ret_runs);
static inline uint32_t varve_run_begin(const struct varve_run_folds *runs, uint32_t k)
{
    return k == 0 ? 0 : runs->ends[k - 1];
}
/* How many cells of run k live. */
static inline uint32_t varve_run_count(const struct varve_run_folds *runs, uint32_t k)
{
    return runs->ends[k] - varve_run_begin(runs, k);
}
/* Fold run k on: the same as folding its rows. */
void varve_fold_run(struct varve_fold *fold, uint32_t want, const struct varve_run_folds *runs,
                    uint32_t k);
/* Sums of runs of floats, each rounded once, into out[0 .. n_runs); 0.0 where no cell lives. */
void varve_run_sums(const struct varve_run_folds *runs, uint32_t n_runs, double *out);
/* Least (or greatest) values of runs, as int64_t or the bits of doubles. */
void varve_run_extremes(const struct varve_run_folds *runs, bool greatest, uint32_t n_runs,
                        int64_t *out);

/* Fold straight from a block (decodes into scratch of its own stack frame, n <= 1024). */
varve_status varve_block_fold(const struct varve_block *block, uint32_t first, uint32_t n,
                              uint32_t want, struct varve_fold *fold, varve_error *err);
/* Fold what a zone map says of a whole vector. `lane` as of the column. */
void varve_fold_zone(struct varve_fold *fold, uint32_t want, uint8_t lane,
                     const struct varve_zone *zone);

/* Integers packed into `width` bits each, natural order (docs/FORMAT.md, Bit packing): for the run
 * directories and zone maps of other formats. Size of the packed bytes: */
size_t varve_pack_size(uint32_t n, uint32_t width);
void varve_pack_u64(const uint64_t *in, uint32_t n, uint32_t width, uint8_t *out);
/* Total for any `in` of varve_pack_size() bytes. */
void varve_unpack_u64(const uint8_t *in, uint32_t first, uint32_t n, uint32_t width, uint64_t *out);
/* The packed bytes of n integers from a reader; *sound becomes false where the bits that the last of
 * them has left are not zero. */
struct varve_span varve_bit_string_read(struct varve_reader *r, uint32_t n, uint32_t width,
                                        bool *sound);

/* Text of a whole section, compressed only when smaller (zstd, LZ4 or as it is), behind a small
 * header; the reader refuses a raw size above `max` before it allocates. */
varve_status varve_text_pack(struct varve_span in, struct varve_buffer *out, varve_error *err);
varve_status varve_text_unpack(struct varve_span in, size_t max, struct varve_buffer *out,
                               varve_error *err);

#endif
