/*
 * reader_int.h - the reader's state, shared by wal_scan.c (pages), wal_reader.c (records, verdict)
 * and wal_recovery.c (rewriting). Private to storage/wal.
 */
#ifndef VARVE_WAL_READER_INT_H
#define VARVE_WAL_READER_INT_H

#include "storage/wal/wal_reader.h"
#include "storage/wal/wal_verdict.h"

#define VARVE_WAL_WINDOW_PAGES 64u
#define VARVE_WAL_READ_TRIES 3u

/* What the scan learned of a listed segment. */
struct varve_wal_found {
    bool used;      /* its header is VALID and follows the segment before */
    bool complete;  /* the seal, or the next header, vouches for its end */
    bool seal_read; /* its seal page is VALID */
    struct varve_wal_header header;
    uint64_t end_lsn;            /* of its last whole record (base_lsn: none) */
    uint64_t digest;             /* complete: of its pages */
    uint64_t index, term, chain; /* at end_lsn */
    int64_t hlc;
    uint32_t payload_max;
};

/* A position in the log, and what is known of everything before it. Copied to come back to it. */
struct varve_wal_cursor {
    uint32_t segment;   /* in the list; n_segments: behind the last */
    bool opened;        /* its header has been read */
    bool in_page;       /* page_no is entered, offset bytes of it are consumed */
    bool record_seen;   /* a record has started in this page */
    bool after_partial; /* the page before this one is flagged PARTIAL */
    uint32_t page_no;
    uint32_t offset;
    struct varve_page_trailer trailer;
    uint64_t checksum;
    uint64_t lsn;
    uint64_t digest; /* of the pages before this one */
    uint64_t index, term, chain;
    int64_t hlc;
    uint64_t prev_id; /* the segment before; 0: not read */
    uint8_t prev_uuid[16];
    uint64_t prev_final_lsn, prev_digest;
};

/* Why the scan stopped. */
struct varve_wal_stop {
    enum varve_wal_end end;
    bool chain_broken;
    bool bad_record; /* pages are VALID, what they hold is not a record that belongs here */
    int32_t os_code; /* SALVAGE: errno of the read, if that is why; or 0 */
    uint32_t segment;
    uint32_t page_no;
    const char *why;
};

struct varve_wal_reader {
    struct varve_wal_reader_options options; /* segments: own copy */
    struct varve_wal_listed *listed;
    struct varve_wal_found *found;
    uint32_t n_segments;

    struct varve_file *file; /* of listed[file_segment] */
    uint32_t file_segment;
    uint8_t *window;
    uint32_t window_page, window_pages; /* what it holds of that file; 0 pages: nothing */
    uint32_t singly_until;              /* pages of that file before this one are read one by one */

    struct varve_wal_cursor at;
    struct varve_wal_stop stop;
    struct varve_wal_stop unread; /* SALVAGE: the first page behind the stop that cannot be read;
                                     os_code 0: none */
    uint64_t durable_lsn, commit_lsn; /* the greatest seen */
    uint64_t seen_lsn;                /* end of the last payload byte seen in any VALID page */
    uint64_t limit_lsn;               /* next() gives records that end at or below it */
    uint32_t damaged_seals, retries, lost_pages;
    int32_t os_code;     /* SALVAGE: errno of the last read that was got past, or 0 */
    varve_error missing; /* salvage: the refusal; status OK: there was none */

    uint8_t *payload; /* of a record that does not lie in one page */
    size_t payload_capacity;
};

/* wal_scan.c. Results: VARVE_OK, VARVE_END (reader->stop says why), or an error. */
void varve_wal_scan_reset(struct varve_wal_reader *r);
/* The bytes at the cursor: at least one. `mid_record`: the segment cannot end here. */
varve_status varve_wal_scan_bytes(struct varve_wal_reader *r, bool mid_record,
                                  struct varve_span *ret_bytes, varve_error *err);
void varve_wal_scan_consume(struct varve_wal_reader *r, size_t size);
varve_status varve_wal_scan_copy(struct varve_wal_reader *r, uint8_t *out, size_t size,
                                 varve_error *err);
/* Note that a record starts at the cursor; false: the page says otherwise. */
bool varve_wal_scan_mark(struct varve_wal_reader *r);
/* Look at what lies behind the stop, at most `pages_max` pages: gathers evidence. */
varve_status varve_wal_scan_after(struct varve_wal_reader *r, uint64_t pages_max,
                                  enum varve_wal_after *ret_after, varve_error *err);
/* Forget what was read of a file that may have changed. */
void varve_wal_scan_forget(struct varve_wal_reader *r);
/* FOLLOW: read the page again in which the cursor stands. */
varve_status varve_wal_scan_reenter(struct varve_wal_reader *r, varve_error *err);
varve_status varve_wal_stopped(struct varve_wal_reader *r, enum varve_wal_end end, const char *why);

/* wal_reader.c: the record at the cursor, verified. VARVE_END: the scan stopped; the cursor is back
 * at the record's start. */
varve_status varve_wal_record_next(struct varve_wal_reader *r, struct varve_wal_record *ret_record,
                                   struct varve_span *ret_payload, varve_error *err);

#endif
