/*
 * memtable_int.h - what the files of this module share. No other module includes it.
 *
 * slab_space.c       memory addressed by 32-bit positions, and what reservations promise of it
 * partition_table.c  partitions by number, by key hash
 * key_order.c        partitions by key
 * record_chain.c     rows one by one (small form)
 * column_run.c       rows by columns (large form)
 * memtable.c         reserve, apply, publish
 * late_rows.c        a sorted list of the rows that are not in the main run
 * memtable_source.c  the source over a view
 * memtable_check.c   the invariants
 *
 * Threads. Functions that take a const table may run beside the applier unless they say otherwise.
 */
#ifndef VARVE_MEMTABLE_MEMTABLE_INT_H
#define VARVE_MEMTABLE_MEMTABLE_INT_H

#include <assert.h>
#include <stdatomic.h>

#include "storage/memtable/memtable.h"

/* ------------------------------------------------------------------------------------ Slabs */

#define VARVE_SLAB_BITS 20u
#define VARVE_SLAB_BYTES (1u << VARVE_SLAB_BITS)
#define VARVE_SLAB_FIRST_BYTES (16u << 10)
#define VARVE_SLABS_MAX 4095u                        /* positions stay below 2^32 */
#define VARVE_SLAB_NORMAL_MAX (VARVE_SLAB_BYTES / 4) /* larger requests have blocks of their own */
#define VARVE_SLAB_TAIL_BYTES (8u << 10) /* a chunk may abandon what is left of a slab below it */

struct varve_slab_group { /* 64 consecutive slabs: groups appear when first needed */
    uint8_t *base[64];
    uint32_t bytes[64];
};

/* A block for one request above VARVE_SLAB_NORMAL_MAX, waiting for the row that it is meant for. */
struct varve_spare_block {
    struct varve_spare_block *next;
    uint32_t bytes;
};

/*
 * Slabs [0, opened) hold something, the last of them is the current one; slabs [opened, n_slabs)
 * are spare. Blocks of larger requests take numbers from the top. A reservation is a promise of
 * `reserved` bytes in requests of at most `largest` bytes each: since a slab may be left when less
 * than `largest` remains, that much of each slab is not counted as available.
 */
struct varve_slab_space {
    struct varve_slab_group *groups[64];
    uint32_t n_slabs;
    uint32_t opened;
    uint32_t used;         /* of the current slab */
    uint32_t bytes;        /* of the current slab */
    uint32_t top;          /* numbers taken from the top, by blocks in use */
    uint32_t top_reserved; /* and by spare blocks */
    uint32_t largest;
    uint64_t spare_bytes; /* of slabs [opened, n_slabs) */
    uint64_t consumed;    /* bytes of slabs [0, opened) */
    uint64_t reserved;
    struct varve_spare_block *spare_blocks;
    struct varve_spare_block *used_blocks; /* headers, to free them by */
};

/* The numbers that a failed reservation goes back to. */
struct varve_slab_mark {
    uint32_t n_slabs;
    uint32_t largest;
    uint64_t reserved;
};

static inline uint8_t *varve_slab_at(const struct varve_slab_space *space, uint32_t position)
{
    const uint32_t slab = position >> VARVE_SLAB_BITS;
    return space->groups[slab >> 6]->base[slab & 63] + (position & (VARVE_SLAB_BYTES - 1));
}

/* ------------------------------------------------------------------------------------ Piles */

/*
 * An array that grows and never moves: blocks of 64, 64, 128, ... 2,048 items, then of 4,096 each;
 * block b is found through directory level floor(log2(b + 1)).
 */
#define VARVE_PILE_BLOCK 4096u
#define VARVE_PILE_LEVELS 22u

struct varve_pile {
    uint32_t item; /* bytes of one */
    uint32_t n_blocks;
    uint8_t **level[VARVE_PILE_LEVELS];
};

static inline uint32_t varve_log2(uint32_t x) /* x > 0 */
{
    uint32_t r = 0;
#if defined(__GNUC__)
    r = 31u - (uint32_t)__builtin_clz(x);
#else
    while ((x >>= 1) != 0)
        r++;
#endif
    return r;
}

static inline void *varve_pile_at(const struct varve_pile *pile, uint32_t i)
{
    uint32_t block = 6 + (i >> 12);
    uint32_t first = i & ~(VARVE_PILE_BLOCK - 1);
    if (i < VARVE_PILE_BLOCK) {
        block = i < 64 ? 0 : varve_log2(i) - 5;
        first = i < 64 ? 0 : 32u << block;
    }
    const uint32_t k = varve_log2(block + 1);
    return pile->level[k][block + 1 - (1u << k)] + (size_t)(i - first) * pile->item;
}

/* ------------------------------------------------------------------------------- Partitions */

#define VARVE_KEY_INLINE 12u

/*
 * A partition's head. Links are positions, 0: none. Rows that readers may see are reached through
 * `chain`, `main` and `side`, which are stored with release.
 *
 * `credit` is how many bytes the partition is below its allowance of VARVE_ROW_OVERHEAD bytes a
 * row beyond the raw columns. A chunk is made only when the credit pays for what of it stays
 * unused, so the allowance holds at every moment, whatever the schema.
 */
struct varve_mem_partition {
    _Atomic(int64_t) first_time;
    _Atomic(int64_t) last_time;
    _Atomic(uint32_t) chain; /* the newest record */
    _Atomic(uint32_t) main;  /* the last chunk of the main run */
    _Atomic(uint32_t) side;  /* the newest side chunk */
    _Atomic(uint32_t) rows;
    uint32_t hash;
    int32_t credit;
    uint16_t key_size;
    uint16_t reserved;
    uint8_t key[VARVE_KEY_INLINE]; /* the key, or its position and first 8 bytes */
};

#define VARVE_ROW_OVERHEAD 8
#define VARVE_CREDIT_MAX (1 << 28)

#define VARVE_BUCKET_SLOTS 12u

/* One cache line of the hash index. Slots fill from the front and are never cleared. */
struct varve_hash_bucket {
    _Atomic(uint32_t) slot[VARVE_BUCKET_SLOTS]; /* partition number + 1; 0: free */
    _Atomic(uint8_t) tag[VARVE_BUCKET_SLOTS];
    uint8_t reserved[4];
};

/* Growth publishes a new index; the old one stays until the memtable dies, since a reader may be
 * in it. All old ones together are smaller than the new one. */
struct varve_hash_index {
    struct varve_hash_index *older;
    uint32_t n_buckets; /* a power of two */
    uint32_t reserved;
    struct varve_hash_bucket *buckets; /* cache line aligned */
};

struct varve_key_entry { /* while sorting */
    uint64_t prefix; /* key bytes 1 .. 8, big-endian: orders most keys without looking at them */
    uint32_t number;
};

/* An immutable list of partitions [0, n) in key order, shared by sources. */
struct varve_key_order {
    _Atomic(uint32_t) refs;
    uint32_t n;
    struct varve_memtable *table;
    struct varve_key_order *next; /* in the list of retired ones */
    uint32_t *numbers;
};

/* ------------------------------------------------------------------------------------- Rows */

struct varve_mem_commit {
    int64_t hlc;
    uint32_t position; /* records of this commit stand at or above it */
    uint32_t writer;
};

enum varve_record_flags { /* of a record in a chain */
                          VARVE_RECORD_STATES =
                              1,               /* two bits for the marker and each value column */
                          VARVE_RECORD_WT = 2, /* an explicit write time */
                          VARVE_RECORD_EXP = 4,
                          VARVE_RECORD_BODY =
                              8 /* the body stands elsewhere: it is too large for a slab */
};

#define VARVE_CHUNK_ROWS_MAX 1024u
#define VARVE_CHUNK_ROWS_MIN 16u

/*
 * A chunk of columns: this header, then arrays of `capacity` entries each (a multiple of 8, so that
 * every array is aligned): times, clustering and value columns, ordinals of the commits, and in
 * 'keep' and 'first' tables positions in the batch. Text columns are positions of bytes; a row's
 * texts stand together behind their total length. Rows below `count` never change.
 */
struct varve_chunk {
    uint32_t prev;           /* chunk before it, of the same run */
    uint32_t jump;           /* main: a chunk further back; a search takes O(log chunks) steps */
    _Atomic(uint32_t) next;  /* main */
    uint32_t number;         /* main: 0, 1, ... in the run */
    _Atomic(uint32_t) extra; /* struct varve_chunk_extra, once some row needs it */
    uint16_t capacity;
    _Atomic(uint16_t) count;
    _Atomic(int64_t) first_time; /* bounds; exact in the main run */
    _Atomic(int64_t) last_time;
};

struct varve_chunk_extra {    /* positions of arrays, 0: none */
    _Atomic(uint32_t) states; /* pairs of bitmaps (live, deleted): marker, then value columns */
    _Atomic(uint32_t) wt;     /* int64; VARVE_WT_COMMIT: the commit's */
    _Atomic(uint32_t) exp;
};

/* Where the columns of a schema lie in records and chunks. */
struct varve_mem_column {
    uint8_t phys;
    uint8_t width; /* in fixed parts: 0 for text in records */
    uint16_t reserved;
    uint32_t chunk_offset;  /* x capacity, behind the header */
    uint32_t record_offset; /* fixed columns: in the fixed part of a record with all cells live */
    uint32_t next_text;     /* text columns: the next one, or UINT32_MAX */
};

struct varve_mem_layout {
    uint32_t n_columns;
    uint32_t first; /* the first clustering or value column */
    uint32_t first_value;
    uint32_t n_text;
    uint32_t first_text;
    uint32_t last_text;
    uint32_t fixed_bytes;  /* of a record's fixed part with all cells live */
    uint32_t states_bytes; /* of a record's states */
    uint32_t record_max;   /* of a record without its text, everything possible included */
    uint32_t row_raw;      /* what a row's columns take at least: the base of the allowance */
    uint32_t chunk_row;    /* bytes of one row of a chunk */
    uint32_t ordinal_offset;
    uint32_t position_offset;
    uint32_t chunk_rows; /* the largest capacity */
    bool has_position;   /* 'keep' and 'first': rows remember their position in the batch */
    bool is_keep;
    struct varve_mem_column *columns; /* [n_columns] */
};

struct varve_memtable {
    _Atomic(uint32_t) refs;
    _Atomic(bool) frozen;
    struct varve_heap *heap;
    struct varve_schema *schema;
    _Atomic(size_t) held; /* M3 */
    struct varve_mem_layout layout;
    struct varve_slab_space slabs;

    struct varve_pile partitions;
    uint32_t n_partitions;
    uint64_t reserved_keys;
    _Atomic(struct varve_hash_index *) index;
    struct varve_hash_index *spare_index;

    struct varve_pile commits;
    uint32_t n_commits;
    uint64_t reserved_commits;

    _Atomic(uint64_t) published_ordinal;
    _Atomic(uint64_t) published_position;
    _Atomic(uint32_t) published_partitions;

    _Atomic(uint64_t) rows;
    _Atomic(uint64_t) first_lsn;
    _Atomic(uint64_t) end_lsn;
    _Atomic(int64_t) first_time;
    _Atomic(int64_t) last_time;
    _Atomic(int64_t) min_wt;
    _Atomic(int64_t) max_wt;
    _Atomic(uint32_t) min_expiry; /* 0: nothing expires */

    _Atomic(struct varve_key_order *) order; /* the newest shared list */
    _Atomic(uint32_t) order_readers;         /* between loading `order` and holding a reference */
    atomic_flag order_busy;                  /* one source at a time publishes and reclaims */
    struct varve_key_order *order_retired;   /* owned by whoever set order_busy */
};

/* A row, wherever it lies: exactly one of the three is set. */
struct varve_mem_row {
    const struct varve_section *section;
    const struct varve_chunk *chunk;
    const uint8_t *record;
    uint32_t i;       /* of the section or chunk */
    uint32_t ordinal; /* of its commit */
};

/* A record, taken apart. */
struct varve_mem_record {
    uint32_t link;
    uint32_t position; /* in the batch, 0 without layout.has_position */
    uint32_t exp;
    uint8_t flags;
    int64_t time;
    int64_t wt;            /* VARVE_WT_COMMIT: the commit's */
    const uint8_t *states; /* NULL: everything is live */
    const uint8_t *fixed;
};

/* ----------------------------------------------------------------------- memory (memtable.c) */

/* Counted memory of the table; take gives NULL or memory that is not cleared. */
void *varve_memtable_take(struct varve_memtable *table, size_t size, size_t align);
void varve_memtable_give(struct varve_memtable *table, void *memory, size_t size, size_t align);

/* ------------------------------------------------------------------------------ slab_space.c */

struct varve_slab_mark varve_slabs_mark(const struct varve_slab_space *space);
/* Promise `bytes` more in requests of at most `largest`. ENOMEM, ELIMIT: go back to the mark. */
varve_status varve_slabs_reserve(struct varve_memtable *table, uint64_t bytes, uint32_t largest,
                                 varve_error *err);
/* Set aside a block for one larger request; undone by dropping it. */
varve_status varve_slabs_reserve_block(struct varve_memtable *table, uint32_t bytes,
                                       varve_error *err);
void varve_slabs_drop_block(struct varve_memtable *table, uint32_t bytes);
void varve_slabs_go_back(struct varve_memtable *table, const struct varve_slab_mark *mark);
/* Free spare slabs that no promise needs. */
void varve_slabs_trim(struct varve_memtable *table);
/* Take promised memory: cannot fail. The caller lowers `reserved`. */
uint32_t varve_slabs_take(struct varve_slab_space *space, uint32_t size, uint32_t align);
uint32_t varve_slabs_take_block(struct varve_slab_space *space, uint32_t bytes);
/* Whether memory beyond all promises is there, `covered` bytes of which the request fulfils. */
bool varve_slabs_can_take(const struct varve_slab_space *space, uint32_t size, uint32_t covered);
void varve_slabs_free(struct varve_memtable *table);

/* ------------------------------------------------------------------------- partition_table.c */

varve_status varve_pile_ensure(struct varve_memtable *table, struct varve_pile *pile, uint64_t n,
                               varve_error *err);
/* Free blocks beyond `n_blocks` (or beyond what n items need). */
void varve_pile_cut(struct varve_memtable *table, struct varve_pile *pile, uint32_t n_blocks);
uint32_t varve_pile_blocks(uint64_t n);

static inline struct varve_mem_partition *varve_mem_partition_at(const struct varve_memtable *table,
                                                                 uint32_t number)
{
    return (struct varve_mem_partition *)varve_pile_at(&table->partitions, number);
}
static inline const struct varve_mem_commit *varve_mem_commit_at(const struct varve_memtable *table,
                                                                 uint32_t ordinal)
{
    return (const struct varve_mem_commit *)varve_pile_at(&table->commits, ordinal);
}

struct varve_span varve_mem_key(const struct varve_memtable *table,
                                const struct varve_mem_partition *partition);
/* The partition's number, or UINT32_MAX. */
uint32_t varve_partitions_find(const struct varve_memtable *table, struct varve_span key,
                               uint64_t hash);
/* Bring the bucket of a hash near; later, the head of the partition that it probably leads to. */
void varve_partitions_prefetch(const struct varve_memtable *table, uint64_t hash);
void varve_partitions_prefetch_head(const struct varve_memtable *table, uint64_t hash);
/* Memory for `n` partitions in all. */
varve_status varve_partitions_ensure_index(struct varve_memtable *table, uint64_t n,
                                           varve_error *err);
void varve_partitions_cut_index(struct varve_memtable *table, uint64_t n);
/* Applier: a partition that is not there yet. Cannot fail after the two above. */
uint32_t varve_partitions_add(struct varve_memtable *table, struct varve_span key, uint64_t hash);
void varve_partitions_free(struct varve_memtable *table);

/* ------------------------------------------------------------------------------- key_order.c */

/* The shared order, with a reference; NULL: there is none yet. It may know fewer partitions than a
 * view, or more. */
struct varve_key_order *varve_key_order_acquire(struct varve_memtable *table);
void varve_key_order_release(struct varve_key_order *order); /* NULL is a no-op */
/* Sort partitions [first, n) into entries[n - first]; scratch is as large. */
void varve_key_order_sort(const struct varve_memtable *table, uint32_t first, uint32_t n,
                          struct varve_key_entry *entries, struct varve_key_entry *scratch);
/* Offer partitions [0, n) as the shared order: `base` merged with the sorted rest. Does nothing
 * without memory or while another source does the same. */
void varve_key_order_offer(struct varve_memtable *table, const struct varve_key_order *base,
                           const struct varve_key_entry *rest, uint32_t n);
void varve_key_orders_free(struct varve_memtable *table);

/* ---------------------------------------------------------------------------- record_chain.c */

varve_status varve_layout_init(struct varve_memtable *table, varve_error *err);

/* The state of a cell of a row of a section (VARVE_MARKER_COLUMN: the marker). A section of an
 * older schema lacks the last columns: absent. */
enum varve_cell_state varve_section_state(const struct varve_section *section, uint32_t column,
                                          uint32_t i);
/* Bytes of the live text of a row. */
uint64_t varve_section_text(const struct varve_memtable *table, const struct varve_section *section,
                            uint32_t i);

/* Append row `i` as a record. `block`: its body has a block of its own, of that many bytes. */
void varve_chain_append(struct varve_memtable *table, struct varve_mem_partition *partition,
                        const struct varve_section *section, uint32_t i, uint32_t block);
struct varve_mem_record varve_record_parse(const struct varve_memtable *table,
                                           const uint8_t *record);
static inline uint32_t varve_record_link(const uint8_t *record)
{
    uint32_t link;
    memcpy(&link, record, sizeof link);
    return link;
}
/* A fixed-width cell that is live, unaligned. */
const uint8_t *varve_record_cell(const struct varve_memtable *table,
                                 const struct varve_mem_record *record, uint32_t column);
/* The first text of a record; each call of next gives one and steps on. */
const uint8_t *varve_record_texts(const struct varve_memtable *table,
                                  const struct varve_mem_record *record);
const uint8_t *varve_text_next(const uint8_t *at, struct varve_span *ret_text);
int64_t varve_record_time(const struct varve_memtable *table, const uint8_t *record);
/* 0 is the marker, 1 the first value column, ... */
static inline enum varve_cell_state varve_record_state(const struct varve_mem_record *record,
                                                       uint32_t k)
{
    return record->states == NULL
               ? VARVE_LIVE
               : (enum varve_cell_state)(record->states[k >> 2] >> (k & 3) * 2 & 3);
}

/* The ordinal of the commit that wrote the record at `position`; `n` commits are known. */
uint32_t varve_record_ordinal(const struct varve_memtable *table, uint32_t n, uint32_t position);

/* ------------------------------------------------------------------------------ column_run.c */

static inline uint8_t *varve_chunk_array(const struct varve_chunk *chunk, uint32_t offset)
{
    /* A chunk is memory of the table's: constness of the pointer is the reader's promise. */
    return (uint8_t *)(uintptr_t)chunk + sizeof *chunk + (size_t)offset * chunk->capacity;
}
static inline const int64_t *varve_chunk_times(const struct varve_chunk *chunk)
{
    return (const int64_t *)(const void *)varve_chunk_array(chunk, 0);
}
static inline const uint32_t *varve_chunk_ordinals(const struct varve_memtable *table,
                                                   const struct varve_chunk *chunk)
{
    return (const uint32_t *)(const void *)varve_chunk_array(chunk, table->layout.ordinal_offset);
}
static inline const uint32_t *varve_chunk_positions(const struct varve_memtable *table,
                                                    const struct varve_chunk *chunk)
{
    return (const uint32_t *)(const void *)varve_chunk_array(chunk, table->layout.position_offset);
}
static inline const struct varve_chunk *varve_chunk_at(const struct varve_memtable *table,
                                                       uint32_t position)
{
    return position == 0
               ? NULL
               : (const struct varve_chunk *)(const void *)varve_slab_at(&table->slabs, position);
}

/* Bitmap pair `k` (0: marker) of a states block of a chunk. */
static inline const _Atomic(uint64_t) *varve_chunk_bits(const struct varve_memtable *table,
                                                        const struct varve_chunk *chunk,
                                                        uint32_t states, uint32_t k, bool deleted)
{
    const size_t words = VARVE_BITMAP_WORDS(chunk->capacity);
    return (const _Atomic(uint64_t) *)(const void *)varve_slab_at(&table->slabs, states) +
           (2 * (size_t)k + deleted) * words;
}

/* The value of a live cell of a chunk or record; text is borrowed from the table. */
varve_value varve_chunk_value(const struct varve_memtable *table, const struct varve_chunk *chunk,
                              uint32_t column, uint32_t i);
varve_value varve_record_value(const struct varve_memtable *table,
                               const struct varve_mem_record *record, uint32_t column);
varve_value varve_mem_value(const struct varve_memtable *table, uint32_t column,
                            const uint8_t *cell, int8_t scale);

/*
 * Put rows of the section, given by their ascending numbers, into the partition's main run (or a
 * side chunk), as many of the `n` as fit one chunk. 0: no chunk is to be had, the first becomes a
 * record.
 */
uint32_t varve_run_append(struct varve_memtable *table, struct varve_mem_partition *partition,
                          const struct varve_section *section, const uint32_t *rows, uint32_t n,
                          uint32_t ordinal, bool side);
/* Bring near what appending to the partition touches. */
void varve_run_prefetch(const struct varve_memtable *table,
                        const struct varve_mem_partition *partition);
/* Rows of the chunk that commits below `ordinal` have written. */
uint32_t varve_chunk_visible(const struct varve_memtable *table, const struct varve_chunk *chunk,
                             uint64_t ordinal);
/* The last chunk of the main run that has a visible row with a time <= `time`; NULL: none. */
const struct varve_chunk *varve_run_find(const struct varve_memtable *table, uint32_t last,
                                         int64_t time, uint64_t ordinal);
/* The bytes of text column `column` of row `i`. */
struct varve_span varve_chunk_text(const struct varve_memtable *table,
                                   const struct varve_chunk *chunk, uint32_t column, uint32_t i);

/* -------------------------------------------------------------------------------- memtable.c */

/* Order by time, clustering columns and, in 'keep' tables, hidden suffix. The times are given. */
int varve_mem_row_compare(const struct varve_memtable *table, int64_t time_a,
                          const struct varve_mem_row *a, int64_t time_b,
                          const struct varve_mem_row *b);
/* What a section takes from the slabs at most: bytes, and the largest request. */
uint64_t varve_section_bound(const struct varve_memtable *table,
                             const struct varve_section *section, uint32_t *ret_largest,
                             bool *ret_blocks);
/* Bytes of the block of its own that row `i` needs, 0: none. */
uint32_t varve_section_block(const struct varve_memtable *table,
                             const struct varve_section *section, uint32_t i);

/* ------------------------------------------------------------------------------- late_rows.c */

struct varve_late_row {
    int64_t time;
    uint32_t position; /* of the record or the chunk */
    uint32_t row;      /* of the chunk; UINT32_MAX: a record */
};

/* The rows of one partition outside the main run, sorted; memory is reused. */
struct varve_late_rows {
    struct varve_heap *heap;
    struct varve_late_row *rows;
    uint32_t n;
    uint32_t capacity; /* of each half: rows and room to merge */
    uint32_t at;       /* while collecting: the side chunk */
    bool has_extra;    /* some row has states, a write time or an expiry */
};

varve_status varve_late_rows_collect(struct varve_late_rows *late,
                                     const struct varve_memtable_view *view,
                                     const struct varve_mem_partition *partition, int64_t first,
                                     int64_t last, varve_error *err);
void varve_late_rows_free(struct varve_late_rows *late);
struct varve_mem_row varve_late_row_of(const struct varve_memtable_view *view,
                                       const struct varve_late_row *late);

#endif
