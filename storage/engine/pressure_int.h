/*
 * pressure_int.h - holding commits back, a little and early. See pressure.c.
 */
#ifndef VARVE_ENGINE_PRESSURE_INT_H
#define VARVE_ENGINE_PRESSURE_INT_H

#include "storage/engine/store_int.h"

#define VARVE_PRESSURE_DELAY_MAX_US 2000u

/* How long a commit waits when memtables hold `bytes` and may hold `hard`: nothing up to three quarters
 * of that, then in proportion, and at the limit so long again and again until a flush has made room. */
uint64_t varve_pressure_delay_us(uint64_t bytes, uint64_t hard);

/* What one call that waits for room has seen, and how long it waits in all. */
struct varve_patience {
    uint64_t mark;  /* how often memory, or log, had been given back when it looked last */
    int64_t end_us; /* boot clock */
};

/* Taken before a commit, or a statement, is tried. */
struct varve_patience varve_pressure_begin(varve_store *store);
/* Wait as long as the memtables' debt asks for. ELIMIT if no flush can help; what flushes fail with; the
 * store's failure. */
varve_status varve_pressure_wait(varve_store *store, const struct varve_patience *patience,
                                 varve_error *err);
/* For a commit that must not block: EAGAIN where it would have to wait for a flush, or why waiting
 * cannot help. */
varve_status varve_pressure_check(varve_store *store, varve_error *err);
/* A commit was refused because memory is at its limit: wait until a flush has given some back since it
 * looked last. False: none will, or not in time. Others may have made room meanwhile: one last attempt is
 * due. */
bool varve_pressure_relieve(varve_store *store, struct varve_patience *patience);
/* It was refused because the disk has no room for a segment of the log: the same, and wait for the
 * segments that the flush, or an edit where nothing is to be flushed, lets go. False also when the
 * reserve has been used. */
bool varve_pressure_make_room(varve_store *store, struct varve_patience *patience);
/* Whether memory is so near its limit that a flush may find none, the cache given up already. */
bool varve_pressure_is_high(varve_store *store);

#endif
