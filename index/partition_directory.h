/*
 * partition_directory.h - where each partition of a file is: a static B+tree of pages, in which the
 * keys stand and nowhere else. Knows neither log nor files: a sink takes pages, a store gives them.
 *
 * Place.   The file's writer adds partitions in key order; the reader finds them by key or by
 *          ordinal (their number in key order). Pages come through a cache, so that ten million
 *          partitions need not be in memory.
 *
 * PAGE. At most about 4 KiB; larger only when it could not hold one entry (leaf) or two (inner).
 *     offset  size  field
 *          0     1  kind           1 leaf, 2 inner
 *          1     1  zero
 *          2     2  n              entries; 0 only in the leaf of an empty directory
 *          4     2  r              restarts: ceil(n / 16)
 *          6     2  zero
 *          8     8  first_ordinal  of the first entry
 *         16     8  first_row      rows of all partitions before
 *         24     8  base_time      of leaves, int64; inner: zero
 *         32   2 r  where entries 0, 16, 32 ... begin, from the page's begin
 *          .     .  entries
 *   Entry
 *     varint  shared               bytes of the previous entry's key; 0 at a restart
 *     varint  size                 of the rest of the key
 *     bytes   the rest
 *     leaf:   varint  rows_before  (at a restart only) rows of the page's entries before
 *             varint  rows         at least 1
 *             zigzag  first_time - base_time     modulo 2^64
 *             varint  last_time - first_time     modulo 2^64
 *     inner:  varint  ordinal      of the child's first entry, less first_ordinal
 *             varint  offset       of the child
 *             varint  size
 *             8       checksum
 *   An inner entry's key separates: greater than every key before the child, not greater than the
 *   child's first; that of the first child of all is empty.
 *
 * Invariants
 *   D1  Keys strictly ascend; ordinals count up from 0 without a gap; so do rows.
 *   D2  Any bytes in a page give OK or ECORRUPT, in time linear in the page; a search looks at no
 *       more than VARVE_DIRECTORY_DEPTH pages.
 *
 * Threads. A builder and a cursor belong to one thread; a varve_directory is read-only.
 */
#ifndef VARVE_INDEX_PARTITION_DIRECTORY_H
#define VARVE_INDEX_PARTITION_DIRECTORY_H

#include "index/page_ref.h"
#include "storage/base/alloc.h"
#include "storage/schema/schema.h"

#define VARVE_DIRECTORY_PAGE 4096u
#define VARVE_DIRECTORY_PAGE_MAX 16384u /* what a reader accepts */
#define VARVE_DIRECTORY_DEPTH 40u /* of pages with two entries at least: more than files need */
#define VARVE_DIRECTORY_RESTART 16u

/* ------------------------------------------------------------------------------------- Building */

struct varve_directory_builder;

varve_status varve_directory_builder_create(struct varve_heap *heap,
                                            const struct varve_page_sink *sink,
                                            struct varve_directory_builder **ret_builder,
                                            varve_error *err);
/* `key` is greater than the last (EINVAL), at most VARVE_KEY_BYTES_MAX; rows > 0. */
varve_status varve_directory_add(struct varve_directory_builder *builder, struct varve_span key,
                                 uint64_t rows, int64_t first_time, int64_t last_time,
                                 varve_error *err);
/* Emit what remains. The root's ticket. */
varve_status varve_directory_finish(struct varve_directory_builder *builder, uint64_t *ret_root,
                                    varve_error *err);
void varve_directory_builder_free(struct varve_directory_builder *builder); /* NULL: no-op */

/* -------------------------------------------------------------------------------------- Reading */

struct varve_directory {
    struct varve_page_ref root;
    struct varve_page_store store;
    uint64_t partitions;
};

struct varve_directory_entry {
    struct varve_span key; /* in the cursor; until it moves */
    uint64_t ordinal;
    uint64_t first_row; /* number of the partition's first row in the file */
    uint64_t rows;
    int64_t first_time;
    int64_t last_time;
};

struct varve_directory_cursor {
    const struct varve_directory *directory;
    struct varve_page leaf; /* pinned, or bytes.data NULL */
    uint32_t n;             /* entries of the leaf */
    uint32_t at;            /* entry that `reader` stands before; meaningless without a leaf */
    uint64_t leaf_ordinal;  /* of the leaf's first entry */
    uint64_t leaf_row;
    int64_t base_time;
    uint64_t next_row; /* first row of entry `at` */
    struct varve_reader reader;
    uint32_t key_size;
    uint8_t key[VARVE_KEY_BYTES_MAX + 1];
};

void varve_directory_cursor_init(struct varve_directory_cursor *cursor,
                                 const struct varve_directory *directory);
void varve_directory_cursor_close(struct varve_directory_cursor *cursor);

/* The first partition whose key is >= `key`; VARVE_END: there is none. */
varve_status varve_directory_seek(struct varve_directory_cursor *cursor, struct varve_span key,
                                  struct varve_directory_entry *ret_entry, varve_error *err);
/* Partition number `ordinal`; VARVE_END: there are not so many. The next one is quick. */
varve_status varve_directory_at(struct varve_directory_cursor *cursor, uint64_t ordinal,
                                struct varve_directory_entry *ret_entry, varve_error *err);

/* What an inner page says of its children, for verification. `fn` gets every child's key and ref;
 * OK or ECORRUPT, or what `fn` returned when not 0. A leaf has no children. */
typedef varve_status (*varve_directory_child_fn)(void *ctx, struct varve_span separator,
                                                 uint64_t first_ordinal,
                                                 const struct varve_page_ref *ref,
                                                 varve_error *err);
varve_status varve_directory_children(struct varve_span page, bool *ret_is_leaf,
                                      varve_directory_child_fn fn, void *ctx, varve_error *err);

#endif
