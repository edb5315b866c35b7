/*
 * wal_verdict.h - what the first page that is not VALID means: one pure function, one table.
 *
 * Place.   The reader gathers the facts, this decides, the reader carries it out. Nothing else in
 *          the tree decides what is cut.
 *
 *   P       the first page of the log that is not VALID (or VALID but not the one that belongs here);
 *           a page that the disk does not give back is ROT to salvage, and keeps everyone else out
 *   E       the greatest durable_lsn in the manifest, a listed seal, or any page before or behind P
 *           whose trailer's sector is sound, whether the rest of that page is or not
 *   covered E lies beyond the end of the last whole record before P: something acknowledged, or
 *           known to be synced, is missing
 *   chain   sound if every listed segment is there, whole, and has its header, which was durable
 *           before the segment was listed, and if each continues the history of the one before
 *
 *   chain   covered  P       behind it        tail     verdict
 *   broken  any      any     any              any      REFUSE_CHAIN
 *   sound   yes      any     any              any      REFUSE_DAMAGED
 *   sound   no       none    nothing          any      CLEAN_END   (the last listed segment is full)
 *   sound   no       none    anything         any      REFUSE_CHAIN (a log that goes on after its end)
 *   sound   no       ZERO    nothing          any      CLEAN_END
 *   sound   no       ZERO    TORN or VALID    any      CUT         (groups in flight, out of order)
 *   sound   no       TORN    no ROT           any      CUT
 *   sound   no       ROT     any              strict   REFUSE_AMBIGUOUS
 *   sound   no       ROT     any              cut      CUT
 *   sound   no       ZERO,   ROT              strict   REFUSE_AMBIGUOUS
 *   sound   no       or TORN ROT              cut      CUT
 *
 * Why ROT decides wherever it is: a segment is zeroed before it is used, sectors are written whole,
 * so whatever of the writes in flight a crash keeps, each page of the segment is ZERO, TORN or VALID.
 * A ROT page says that the medium did something else to the end of this log, and then a page that
 * looks torn, or absent, proves nothing about itself.
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
                       VARVE_WAL_AFTER_DEBRIS = 1,  /* TORN pages too */
                       VARVE_WAL_AFTER_VALID = 2,   /* VALID pages too */
                       VARVE_WAL_AFTER_ROT = 3,     /* a page that no crash leaves */
};

struct varve_wal_facts {
    bool chain_broken; /* a listed segment is missing or short, or a header lost, bad or foreign */
    bool covered;
    enum varve_wal_end end;
    enum varve_wal_after after;
    bool cut_rot; /* tail policy: false is strict */
};

enum varve_wal_verdict_kind varve_wal_judge(const struct varve_wal_facts *facts);

#endif
