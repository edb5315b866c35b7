/*
 * segment_int.h - what wal_segment.c makes and wal_writer.c fills. Private to storage/wal.
 */
#ifndef VARVE_WAL_SEGMENT_INT_H
#define VARVE_WAL_SEGMENT_INT_H

#include "storage/wal/wal_writer.h"

struct varve_wal_segment {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    struct varve_file *file; /* NULL once it is sealed and durable */
    uint64_t id;
    uint64_t size;
    uint8_t uuid[16];
    uint8_t *zeros; /* while it is prepared */
    uint64_t zeroed;
    bool synced, ready;

    /* The writer's, from varve_wal_prepare_next() on. */
    struct varve_wal_segment *next; /* in the list of retired segments */
    uint64_t base_lsn;
    uint64_t header_digest; /* running digest after the header page */
    bool begun;             /* its header is durable */
    uint64_t last_seq;      /* of the last group written to it */
    uint64_t plain_seq;     /* of the last one without DSYNC; 0: none */
    bool sealed;
    struct varve_wal_seal seal;
};

void varve_wal_segment_close_file(struct varve_wal_segment *segment);

#endif
