/*
 * sst_properties.h - what a file says of itself: a file entry of the manifest, and the properties
 * section inside the file, in one tagged encoding.
 *
 * Bytes.   A sequence of fields, ascending by tag:
 *              varint  tag * 2 + must_understand
 *              varint  size, then that many bytes
 *          A reader skips a tag that it does not know, unless must_understand is set: then the
 *          file is EVERSION. Integers are varints (signed ones zigzag), hashes and checksums eight
 *          bytes, the uuid sixteen, keys plain bytes. A field that equals its default is left out.
 *
 * Invariants
 *   P1  first_key <= last_key, both empty only when partitions == 0.
 *   P2  footer_checksum, file_size and index_bytes are known to the manifest only; inside the file
 *       they are 0.
 *
 * Threads. None; a filled struct may be read by several.
 */
#ifndef VARVE_SST_SST_PROPERTIES_H
#define VARVE_SST_SST_PROPERTIES_H

#include "storage/base/alloc.h"
#include "storage/base/bytes.h"
#include "storage/base/error.h"

enum varve_sst_kind { /* in files */
                      VARVE_SST_DATA = 1,
                      VARVE_SST_DELETIONS = 2, /* not written yet */
                      VARVE_SST_ROLLUP = 3     /* not written yet */
};

#define VARVE_SST_CODECS 32u /* codec ids that are counted one by one; later ones count as 0 */

struct varve_sst_properties {
    /* Given by whoever writes the file. */
    uint8_t uuid[16];
    uint32_t table_id;
    uint32_t group;
    uint32_t kind; /* enum varve_sst_kind */
    uint32_t schema_version;
    uint32_t stripe;
    uint32_t preset;      /* of the codecs; 0: scan */
    uint64_t key_id;      /* encryption; 0: none */
    int64_t window_start; /* event time, inclusive; INT64_MIN and INT64_MAX: the outlier file */
    int64_t window_end;   /* exclusive */
    uint64_t lsn_first;   /* of the records whose rows are here */
    uint64_t lsn_end;     /* exclusive */
    uint64_t deletions_applied_lsn;

    /* Found out while writing. */
    uint64_t rows;
    uint64_t partitions;
    uint64_t row_groups;
    uint64_t vectors;
    uint64_t markers; /* live ones */
    uint64_t deleted_markers;
    uint64_t deleted_cells;
    int64_t first_time; /* first > last: no rows */
    int64_t last_time;
    int64_t min_wt;
    int64_t max_wt;
    uint32_t min_expiry; /* 0: nothing expires */
    uint32_t max_expiry;
    uint64_t content_hash;                    /* sum over the vectors */
    uint64_t raw_bytes;                       /* of the rows as the application gave them */
    uint64_t index_bytes;                     /* everything but vectors and dictionaries */
    uint64_t codec_vectors[VARVE_SST_CODECS]; /* blocks written with each codec id */
    struct varve_span first_key;              /* owned: varve_sst_properties_free() */
    struct varve_span last_key;

    /* Of the finished file. */
    uint64_t file_size;
    uint64_t footer_checksum;
};

/* Append the fields. `in_file` leaves out what P2 says. */
void varve_sst_properties_encode(const struct varve_sst_properties *properties, bool in_file,
                                 struct varve_buffer *out);

/* Total: OK, ECORRUPT, EVERSION or ENOMEM. Keys are copied to memory of `heap`. */
varve_status varve_sst_properties_decode(struct varve_span in, struct varve_heap *heap,
                                         struct varve_sst_properties *ret_properties,
                                         varve_error *err);

varve_status varve_sst_properties_copy(const struct varve_sst_properties *from,
                                       struct varve_heap *heap,
                                       struct varve_sst_properties *ret_properties,
                                       varve_error *err);
void varve_sst_properties_free(struct varve_sst_properties *properties, struct varve_heap *heap);

#endif
