/*
 * sst_writer.h - WRITE 4: rows in key order become one immutable file (bytes: sst_format.h).
 *
 * Place.   Flush and compaction pour partitions in here, in key order, rows in order inside each.
 *          The file is not part of the store until the manifest names it.
 * States.  OPEN --begin_partition, append--> OPEN --finish--> gone (the file is synced),
 *          or --abort--> gone (the file is removed). A call that failed leaves only abort.
 *
 * Invariants
 *   W1  Keys strictly ascend; inside a partition (time, clustering, hidden suffix) strictly ascends.
 *   W2  The bytes are a function of the options, the keys and the rows, not of how append() was cut.
 *   W3  Memory: one row group raw and encoded, two metadata extents of 256 KiB, 8 bytes a partition
 *       for the filter, some 60 bytes and a separator (a key at most) for each directory page of
 *       4 KiB.
 *
 * Threads. None; the writer creates none and takes no lock.
 */
#ifndef VARVE_SST_SST_WRITER_H
#define VARVE_SST_SST_WRITER_H

#include <varve/vfs.h>

#include "storage/rows/rows.h"
#include "storage/sst/sst_properties.h"

struct varve_sst_writer;

struct varve_sst_writer_options {
    const struct varve_schema *schema; /* referenced until the writer is gone */
    uint32_t row_group_rows;           /* 0: 65,536; 1 .. 65,536 */
    uint64_t row_group_bytes;          /* raw; 0: 32 MiB. Each file being written has one */
    uint64_t expected_partitions;      /* a guess, to make room for the filter at once; 0: none */
    /* The part of a file entry that the caller knows; `uuid` must be set. table_id and
     * schema_version are taken from the schema when 0, kind is DATA when 0. */
    struct varve_sst_properties given;
};

/* Create file `name` (it must not exist). `heap` pays for everything. */
varve_status varve_sst_writer_open(struct varve_vfs *vfs, const char *name,
                                   const struct varve_sst_writer_options *options,
                                   struct varve_heap *heap, struct varve_sst_writer **ret_writer,
                                   varve_error *err);

/* The rows that follow belong to `key`, which is greater than the last one (EINVAL otherwise). A
 * partition without rows leaves no trace. */
varve_status varve_sst_writer_begin_partition(struct varve_sst_writer *writer,
                                              struct varve_span key, varve_error *err);

/* Rows [first, first + n) of `rows`, all columns loaded, in order after those before (EINVAL where
 * the order breaks between calls; inside a call it is the caller's promise). Copied. */
varve_status varve_sst_writer_append(struct varve_sst_writer *writer, const struct varve_rows *rows,
                                     uint32_t first, uint32_t n, varve_error *err);

uint64_t varve_sst_writer_rows(const struct varve_sst_writer *writer);
/* Bytes handed to the file so far, and those that are encoded but not written yet. */
uint64_t varve_sst_writer_bytes(const struct varve_sst_writer *writer);

/*
 * Write what remains, sync the file, close it and free the writer. The directory's sync is the
 * caller's. `ret_properties` has keys in memory of the writer's heap (varve_sst_properties_free).
 * On failure the file is removed and the writer freed as by abort.
 */
varve_status varve_sst_writer_finish(struct varve_sst_writer *writer,
                                     struct varve_sst_properties *ret_properties, varve_error *err);

/* Close and remove the file, free the writer. NULL is a no-op. */
void varve_sst_writer_abort(struct varve_sst_writer *writer);

#endif
