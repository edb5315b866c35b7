/*
 * version.h - one state of the store on disk: which tables, files and log segments there are, and
 * where replay starts. Immutable once published; shared by reference count.
 *
 * Threads. Read-only after it is published; the reference count is atomic.
 */
#ifndef VARVE_MANIFEST_VERSION_H
#define VARVE_MANIFEST_VERSION_H

#include <stdatomic.h>

#include "storage/schema/schema.h"
#include "storage/sst/sst_properties.h"

/* Log positions, next_lsn too, indexes, terms and next_file_id stay below the one, times in microseconds between
 * plus and minus the other: nobody counts so far, and a sum of two does not overflow. */
#define VARVE_COUNTER_END (UINT64_C(1) << 62)
#define VARVE_TIME_END (INT64_C(1) << 61)

/* A log segment that the store vouches for. */
struct varve_segment_entry {
    uint64_t id; /* file name; never of another one */
    uint8_t uuid[16];
    uint64_t base_lsn; /* of its first record; fixed before it is listed */
    uint64_t size;     /* bytes of the file */
    bool sealed;
    uint8_t reserved[7];
    uint64_t final_lsn; /* sealed: end of its payload */
    uint64_t digest;    /* sealed: of its pages */
};

/* A log segment that an open cut the end of. It is no part of the log any more and holds nothing that the
 * store needs: it is kept so that what was cut can be looked at. */
struct varve_kept_segment {
    uint64_t id;
    uint64_t lsn, lsn_end; /* what was cut, of this segment and those with it */
};

/* An SSTable. Everything but its name comes from whoever wrote it, and stands in the manifest in
 * the tagged encoding of sst_properties.h. */
struct varve_file_entry {
    uint64_t id;                            /* "%016x.sst"; never of another one */
    struct varve_sst_properties properties; /* keys owned by the version's heap */
    uint64_t quarantined;   /* ranges that scrubbing found damaged; 0: none are recorded yet */
    _Atomic(uint32_t) refs; /* of the versions that share it; unused elsewhere */
};

/* Shared with other versions until one of them changes it. */
struct varve_table_entry {
    _Atomic(uint32_t) refs;      /* of the versions that share it */
    struct varve_schema *schema; /* the newest; owned reference */
    uint64_t flushed_lsn;        /* every record that starts below it is in files */
    int64_t retention_floor;     /* event time; INT64_MIN: none */
    int64_t write_floor;         /* write time; INT64_MIN: none */
    uint64_t n_files;
    struct varve_file_entry **files; /* shared with other versions, ascending by id */
    size_t files_capacity;
};

struct varve_epoch { /* group 0 */
    uint64_t term;
    uint64_t first_index;
};

struct varve_origin_entry {
    uint32_t id, epoch;
    uint64_t last;
    uint64_t source_crc; /* 0 */
};

/* The state exactly at the replay LSN: replay judges each record as it was judged first. */
struct varve_replay_state {
    uint64_t lsn;
    uint64_t index, term, chain; /* of the last record before lsn */
    int64_t hlc;
    uint32_t n_epochs, n_origins;
    struct varve_epoch *epochs;
    struct varve_origin_entry *origins;
};

struct varve_version {
    _Atomic(uint32_t) refs;
    struct varve_heap *heap;
    uint64_t number; /* edits over all generations */
    uint8_t store_uuid[16];
    uint8_t incarnation[16];
    uint64_t next_file_id; /* of SSTables and segments alike */
    uint64_t next_lsn; /* where the log goes on after a cut, at least: what is below was given */
    uint32_t next_table_id;
    uint32_t n_tables;
    struct varve_table_entry **tables; /* ascending by id */
    uint32_t *names;                   /* their ids, ascending by name, case aside */
    size_t tables_capacity, names_capacity, segments_capacity, kept_capacity;
    uint32_t n_segments;
    uint32_t n_kept;
    struct varve_segment_entry *segments; /* ascending by base LSN, then id (after an empty one) */
    struct varve_kept_segment *kept;      /* in the order in which they were cut */
    struct varve_replay_state replay;
    uint64_t durable_lsn; /* evidence: known durable when the edit was made */
    int64_t safe_now_us;
    int64_t boot_us; /* BOOTTIME when safe_now_us was taken */
    uint8_t boot_id[16];
};

struct varve_version *varve_version_ref(const struct varve_version *version);
void varve_version_unref(struct varve_version *version); /* NULL is a no-op */

const struct varve_table_entry *varve_version_table(const struct varve_version *version,
                                                    uint32_t table_id); /* NULL: none */
const struct varve_table_entry *varve_version_find(const struct varve_version *version,
                                                   const char *name);

#endif
