/*
 * judge_int.h - the rules by which a commit is accepted, shared with replay. See judge.c and
 * duplicate_key.c.
 */
#ifndef VARVE_ENGINE_JUDGE_INT_H
#define VARVE_ENGINE_JUDGE_INT_H

#include "storage/engine/store_int.h"

enum varve_origin_verdict {
    VARVE_ORIGIN_NEW,      /* or none given */
    VARVE_ORIGIN_REPEATED, /* applied already: succeed and change nothing */
    VARVE_ORIGIN_OVERLAPS, /* begins below what was applied, ends above */
    VARVE_ORIGIN_STALE     /* of an epoch that is over */
};
enum varve_origin_verdict varve_origin_judge(const struct varve_origins *known,
                                             const struct varve_origin *origin);

/* 'error' tables: EEXISTS with the row if a key of the section is in the store. Reads files: EIO,
 * ECORRUPT and ENOMEM too. Log token, nothing in flight. */
varve_status varve_section_check_new(varve_store *store, const struct varve_section *section,
                                     varve_error *err);

#endif
