/*
 * wal_verdict.h - what the first page that is not VALID means: one pure function, one table.
 *
 * Place.   The reader gathers the facts, this decides, the reader carries it out. Nothing else in
 *          the tree decides what is cut.
 *
 *   P       the first page of the log that is not VALID (or VALID but not the one that belongs here)
 *   E       the greatest durable_lsn in any VALID page, header, seal or the manifest
 *   covered E lies beyond the end of the last whole record before P: something acknowledged, or
 *           known to be synced, is missing
 *
 *   chain   covered  P       after            tail     verdict
 *   broken  any      any     any              any      REFUSE_CHAIN
 *   sound   yes      any     any              any      REFUSE_DAMAGED
 *   sound   no       none    nothing          any      CLEAN_END   (the last listed segment is full)
 *   sound   no       none    debris or VALID  any      REFUSE_CHAIN (a log that goes on after its end)
 *   sound   no       ZERO    nothing          any      CLEAN_END
 *   sound   no       ZERO    debris or VALID  any      CUT         (groups in flight, out of order)
 *   sound   no       TORN    any              any      CUT
 *   sound   no       ROT     any              strict   REFUSE_AMBIGUOUS
 *   sound   no       ROT     any              cut      CUT
 */
#ifndef VARVE_WAL_WAL_VERDICT_H
#define VARVE_WAL_WAL_VERDICT_H

#include <stdbool.h>

#include "storage/wal/wal_reader.h"

enum varve_wal_end { /* what P is */
                     VARVE_WAL_END_NONE =
                         0, /* there is no such page: the log ends with its last segment's seal */
                     VARVE_WAL_END_ZERO = 1,
                     VARVE_WAL_END_TORN = 2,
                     VARVE_WAL_END_ROT = 3,
};

enum varve_wal_after { /* what is found behind P, in its segment and all listed after it */
                       VARVE_WAL_AFTER_NOTHING = 0, /* only zero pages */
                       VARVE_WAL_AFTER_DEBRIS = 1,  /* pages that are neither zero nor VALID */
                       VARVE_WAL_AFTER_VALID = 2,
};

struct varve_wal_facts {
    bool chain_broken; /* a listed segment is missing or short, or a header is bad or foreign */
    bool covered;
    enum varve_wal_end end;
    enum varve_wal_after after;
    bool cut_rot; /* tail policy: false is strict */
};

enum varve_wal_verdict_kind varve_wal_judge(const struct varve_wal_facts *facts);

#endif
