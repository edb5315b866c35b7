/*
 * wal_verdict.c - the table of wal_verdict.h.
 */
#include "storage/wal/wal_verdict.h"

#include <assert.h>

/* For a sound chain without evidence against the end: by what P is, what is behind it, tail policy. */
static const uint8_t uncovered[4][4][2] = {
    [VARVE_WAL_END_NONE] = {{VARVE_WAL_CLEAN_END, VARVE_WAL_CLEAN_END},
                            {VARVE_WAL_REFUSE_CHAIN, VARVE_WAL_REFUSE_CHAIN},
                            {VARVE_WAL_REFUSE_CHAIN, VARVE_WAL_REFUSE_CHAIN},
                            {VARVE_WAL_REFUSE_CHAIN, VARVE_WAL_REFUSE_CHAIN}},
    [VARVE_WAL_END_ZERO] = {{VARVE_WAL_CLEAN_END, VARVE_WAL_CLEAN_END},
                            {VARVE_WAL_CUT, VARVE_WAL_CUT},
                            {VARVE_WAL_CUT, VARVE_WAL_CUT},
                            {VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT}},
    [VARVE_WAL_END_TORN] = {{VARVE_WAL_CUT, VARVE_WAL_CUT},
                            {VARVE_WAL_CUT, VARVE_WAL_CUT},
                            {VARVE_WAL_CUT, VARVE_WAL_CUT},
                            {VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT}},
    [VARVE_WAL_END_ROT] = {{VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT},
                           {VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT},
                           {VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT},
                           {VARVE_WAL_REFUSE_AMBIGUOUS, VARVE_WAL_CUT}},
};

enum varve_wal_verdict_kind varve_wal_judge(const struct varve_wal_facts *facts)
{
    assert(facts->end <= VARVE_WAL_END_ROT && facts->after <= VARVE_WAL_AFTER_ROT);
    if (facts->chain_broken)
        return VARVE_WAL_REFUSE_CHAIN;
    if (facts->covered)
        return VARVE_WAL_REFUSE_DAMAGED;
    return (enum varve_wal_verdict_kind)uncovered[facts->end][facts->after][facts->cut_rot ? 1 : 0];
}
