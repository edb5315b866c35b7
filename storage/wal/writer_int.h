/*
 * writer_int.h - the writer's state, shared by wal_writer.c (records into pages) and wal_flight.c
 * (pages to the disk and back). Private to storage/wal.
 *
 * Groups are numbered by `seq` in the order of submission, from 1. Two frontiers run over them:
 * written_seq (every write of it and of all before has completed) and durable_seq <= written_seq
 * (every byte of it and of all before is durable). A group written with DSYNC moves durable_seq by
 * itself, and is chosen only while no plain group is waiting for a sync (plain_seq <= durable_seq);
 * otherwise a sync of the oldest segment that needs it moves durable_seq to what was written when
 * the sync was submitted.
 */
#ifndef VARVE_WAL_WRITER_INT_H
#define VARVE_WAL_WRITER_INT_H

#include "storage/wal/segment_int.h"

#define VARVE_WAL_SLOTS (VARVE_WAL_DEPTH_MAX + 2u) /* and the open group, and a seal */
#define VARVE_WAL_QUEUE_DEPTH 128u /* above the writes that all slots can have in flight */
#define VARVE_WAL_CHUNK_FIRST 64u  /* pages of a slot's first buffer, which it keeps */
#define VARVE_WAL_CHUNK_MORE 256u  /* pages of each further one */
#define VARVE_WAL_RETIRED_MAX 2u   /* sealed segments that may wait for their sync */

/* One buffer of whole pages, and the write of it. */
struct varve_wal_chunk {
    struct varve_io io;
    struct varve_wal_chunk *next;
    uint8_t *data;
    uint32_t capacity; /* pages */
    uint32_t pages;    /* begun */
};

struct varve_wal_group {
    bool in_use;
    bool durable;   /* asked for */
    bool internal;  /* a seal: not given to the caller */
    bool plain;     /* written without DSYNC */
    bool rewriting; /* its first page is a longer version of one on disk */
    bool written;
    bool failed;      /* a write of it, or its submission */
    uint32_t pending; /* writes in flight */
    uint64_t seq;
    struct varve_wal_segment *segment; /* NULL: no page yet */
    struct varve_wal_chunk first;      /* its buffer stays */
    struct varve_wal_chunk *last;      /* the one being filled */
    uint32_t first_page;
    uint64_t first_lsn; /* of its first page */
    uint64_t lsn_end;
    uint64_t bytes;     /* payload appended by the group */
    uint32_t page_used; /* of the page being filled */
};

struct varve_wal_writer {
    struct varve_wal_options options;
    struct varve_io_queue *queue;
    varve_error error; /* status 0: not failed */

    struct varve_wal_group slots[VARVE_WAL_SLOTS];
    struct varve_wal_group *open;
    struct varve_wal_group *flight[VARVE_WAL_SLOTS]; /* in order of submission */
    uint32_t n_flight;

    struct varve_wal_segment *current;
    struct varve_wal_segment *retired; /* sealed, not yet told; oldest first */
    uint8_t *header;                   /* room for a segment's header page */

    /* The end of the log as appended. */
    uint64_t lsn, index, term, chain;
    int64_t hlc;
    struct varve_wal_start start; /* prev_*: of the segment before the current one */
    uint32_t next_page;           /* of the current segment */
    uint64_t digest;              /* of its pages that are final */

    /* The partial last page of a group that was not durable. */
    bool tail_open;
    uint64_t tail_seq;
    uint64_t tail_checksum;
    uint64_t tail_lsn;
    uint16_t tail_used;
    uint16_t tail_first_record;
    uint8_t *tail; /* its payload, a page */

    uint64_t last_seq, plain_seq, written_seq, durable_seq;
    uint64_t written_lsn, durable_lsn, commit_lsn;
    uint64_t told_durable, told_commit; /* in the last page submitted */

    uint64_t sync_wanted; /* durable_seq asked for */
    bool syncing;
    uint64_t sync_seq, sync_lsn; /* what the sync in flight will have made durable */
    struct varve_io sync_io;
    struct varve_wal_counters counters;
};

/* wal_flight.c: after `group` has its pages: trailers, submission. */
void varve_wal_group_send(struct varve_wal_writer *w, struct varve_wal_group *group);
/* Make the last partial page final. */
void varve_wal_tail_close(struct varve_wal_writer *w);
/* Write the seal of the current segment and retire it. False: no slot is free. */
bool varve_wal_current_seal(struct varve_wal_writer *w);
/* A control page as a group of its own. False: no slot is free. */
bool varve_wal_control_send(struct varve_wal_writer *w, uint16_t flag, bool durable);
struct varve_wal_group *varve_wal_group_take(struct varve_wal_writer *w);
void varve_wal_group_release(struct varve_wal_writer *w, struct varve_wal_group *group);
void varve_wal_fail(struct varve_wal_writer *w, varve_status status, int64_t os,
                    struct varve_wal_segment *segment, uint64_t offset, const char *what);

#endif
