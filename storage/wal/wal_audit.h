/*
 * wal_audit.h - every page of the listed segments looked at by itself, so that all damage is told, not
 * only what a reader meets first and cannot get past.
 *
 * Place.   varve_verify(). What pages mean together (records, chain, verdict) is the reader's to say.
 *
 *   sealed segment     each page up to its seal is VALID, and behind the seal all is zero: the file
 *                      was made of zeros and nothing was ever written there. A seal that is lost is
 *                      told, though the next segment's header stands in for it.
 *   segment in use     its header is VALID and no page is ROT. What is torn at the end, or absent, the
 *                      reader judges. Not looked at while a writer is at work.
 *
 * Threads. None.
 */
#ifndef VARVE_WAL_WAL_AUDIT_H
#define VARVE_WAL_WAL_AUDIT_H

#include "storage/wal/wal_reader.h"

struct varve_wal_audit {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    bool live; /* a writer is at work */
    const struct varve_wal_listed *segments;
    uint32_t n_segments;
    varve_verify_report report;
    void *ctx;
};

/* OK whatever was found, pages and files that the disk does not give back included, which are told; ENOMEM,
 * and EIO for want of a descriptor and the like, if it could not be looked at. */
varve_status varve_wal_audit(const struct varve_wal_audit *audit, varve_error *err);

#endif
