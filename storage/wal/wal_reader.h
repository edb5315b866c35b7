/*
 * wal_reader.h - the log read back: recovery's judgement, and records from a position on.
 *
 * Place.   Opening a store reads the segments that its manifest lists (RECOVERY: no one writes; every
 *          page is read and a verdict reached, before any record is given). A reader in another
 *          process follows the live log (FOLLOW: buffered, up to the greatest commit_lsn found or
 *          given; what is not valid at the tail is "not yet").
 *
 * Invariants
 *   R0  Segments follow each other as they are listed, and every one of them has its header: it was
 *       durable before the segment was listed.
 *   R1  A record is given only if its pages, header, payload hash, position, index and chain hold.
 *   R2  Nothing is written.
 *   R3  Acknowledged data is never cut away: what evidence covers and cannot be read is ECORRUPT,
 *       with file, page offset and LSN range.
 *   R4  Memory: one window of pages and one record.
 *
 * Threads. None; one reader, one thread.
 */
#ifndef VARVE_WAL_WAL_READER_H
#define VARVE_WAL_WAL_READER_H

#include <varve/vfs.h>

#include "storage/wal/wal_format.h"

struct varve_heap;
struct varve_wal_reader;

/* A segment as the manifest lists it. */
struct varve_wal_listed {
    uint64_t id;
    uint8_t uuid[16];
    uint64_t base_lsn; /* of its first payload byte */
    uint64_t size;
    bool sealed;
    uint64_t final_lsn; /* sealed */
    uint64_t digest;    /* sealed */
};

enum varve_wal_mode {
    VARVE_WAL_RECOVERY = 1,
    VARVE_WAL_FOLLOW = 2,
};

enum varve_wal_verdict_kind { /* wal_verdict.h decides */
                              VARVE_WAL_CLEAN_END = 1,
                              VARVE_WAL_CUT =
                                  2, /* what follows was never acknowledged as durable */
                              VARVE_WAL_REFUSE_DAMAGED = 3, /* acknowledged data is damaged */
                              VARVE_WAL_REFUSE_AMBIGUOUS =
                                  4, /* a damaged last batch, perhaps acknowledged (tail policy strict) */
                              VARVE_WAL_REFUSE_CHAIN =
                                  5, /* a segment is missing, short, foreign or out of order */
};

struct varve_wal_reader_options {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    uint32_t mode; /* enum varve_wal_mode */
    bool cut_rot;  /* wal_tail = cut: an ambiguous tail is cut instead of refused */
    bool salvage;  /* do not fail on a refusal, nor on what the disk does not give back, which then
                      is damaged; records before the damage are given */
    bool writes;   /* the store will be written to: features that a writer must know count */
    uint8_t store_uuid[16];
    const struct varve_wal_listed *segments; /* in order of use; copied */
    uint32_t n_segments;
    uint64_t durable_lsn; /* the manifest's evidence */
    uint64_t commit_lsn;  /* the same of what is committed (FOLLOW; 0: none) */
    uint64_t start_lsn;   /* the first record wanted (a record's start, or an end of the log) */
    /* Of the last record before start_lsn; checked against what the log says there. */
    uint64_t start_index, start_term, start_chain;
    int64_t start_hlc;
};

/* What recovery found. */
struct varve_wal_verdict {
    uint32_t kind;        /* enum varve_wal_verdict_kind */
    uint32_t page_class;  /* of the first page that is not VALID (enum varve_page_class; 0: none) */
    uint64_t segment_id;  /* where the log ends or is damaged; 0: no segment was ever used */
    uint64_t page_offset; /* in that file */
    uint64_t recovered_to; /* end of the last record kept */
    uint64_t cut_lsn_end;  /* CUT: [recovered_to, cut_lsn_end) may have held unacknowledged bytes */
    uint64_t durable_lsn;  /* the greatest evidence found */
    uint64_t commit_lsn;
    uint64_t records;            /* from start_lsn on */
    uint64_t index, term, chain; /* of the last record kept */
    int64_t hlc;                 /* the greatest */
    uint32_t
        damaged_seals;   /* seal pages that were not VALID where the next header vouches instead */
    uint32_t retries;    /* reads repeated after EIO */
    uint32_t lost_pages; /* damaged ones without a trailer that says what they held */
    bool doubtful;       /* CUT: only because of cut_rot */
};

/*
 * Open. RECOVERY reads everything and reaches the verdict: a refusal is VARVE_ECORRUPT (err: file,
 * offset, LSN range) unless `salvage`. Other errors: ENOMEM, EIO (names the page that cannot be read,
 * unless `salvage`), EVERSION. `ret_verdict` (may be NULL) is written also when the verdict refuses.
 */
varve_status varve_wal_reader_open(const struct varve_wal_reader_options *options,
                                   struct varve_wal_reader **ret_reader,
                                   struct varve_wal_verdict *ret_verdict, varve_error *err);
void varve_wal_reader_close(struct varve_wal_reader *reader);

/*
 * The next record at or after start_lsn. VARVE_OK; VARVE_END: no more (FOLLOW: for now; call
 * varve_wal_reader_refresh() and try again). `ret_payload` is borrowed until the next call.
 */
varve_status varve_wal_reader_next(struct varve_wal_reader *reader,
                                   struct varve_wal_record *ret_record,
                                   struct varve_span *ret_payload, varve_error *err);

/* FOLLOW: look for more; *ret_commit_lsn is how far next() now goes. New segments that the manifest
 * lists meanwhile are given (the whole list, which begins with what was known: EINVAL), or NULL. */
varve_status varve_wal_reader_refresh(struct varve_wal_reader *reader,
                                      const struct varve_wal_listed *segments, uint32_t n_segments,
                                      uint64_t *ret_commit_lsn, varve_error *err);

/* What `salvage` got past, as the error that it would have been. False: nothing. */
bool varve_wal_reader_missing(const struct varve_wal_reader *reader, varve_error *ret_error);

/* End of the last record given (start_lsn before the first). */
uint64_t varve_wal_reader_lsn(const struct varve_wal_reader *reader);
/* The greatest position below which everything is known to be on disk, by all evidence read so far,
 * the manifest's included. */
uint64_t varve_wal_reader_durable_lsn(const struct varve_wal_reader *reader);

#endif
