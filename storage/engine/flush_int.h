/*
 * flush_int.h - memtables become files. See flush.c.
 */
#ifndef VARVE_ENGINE_FLUSH_INT_H
#define VARVE_ENGINE_FLUSH_INT_H

#include "storage/engine/store_int.h"

/*
 * Do about `budget_us` of flushing. VARVE_OK: something was done; VARVE_END: there is nothing to
 * flush; an error: this flush was given up and will be tried again later. Takes the flush token;
 * VARVE_END too if another thread has it.
 */
varve_status varve_flush_step(varve_store *store, uint64_t budget_us, varve_error *err);

/* The next attempt begins at once, not after the pause that follows a failure, also if the one under way
 * fails. Returns how many have begun: when a later one has failed, it has been tried in vain. Any thread. */
uint64_t varve_flush_hurry(varve_store *store);

/* Let go of the log that no memtable keeps any more, without a flush. VARVE_OK: some went; VARVE_END:
 * none could; VARVE_EAGAIN: another thread has the flush token. */
varve_status varve_flush_advance(varve_store *store);

/* Whether a memtable numbered below `end` has been retired and not yet become files. */
bool varve_flush_is_owed(varve_store *store, uint64_t end);

/* Give up a flush under way and free it (close). */
void varve_flush_abandon(varve_store *store);

#endif
