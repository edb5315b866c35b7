/*
 * reserve_int.h - room on the disk that is kept for what gives room back. See reserve.c.
 */
#ifndef VARVE_ENGINE_RESERVE_INT_H
#define VARVE_ENGINE_RESERVE_INT_H

#include "storage/engine/store_int.h"

/* What is there of it. An open for writing, which must hold the store's lock, also removes one that is
 * not wanted or was not finished; what cannot be found out counts as no reserve. */
void varve_reserve_load(varve_store *store);

/* Whether a file of that name is, or would have become, the reserve. */
bool varve_reserve_is_name(const char *name);

/* Something that may use the reserve finds no room: give it back to the disk. True: there was one, so
 * that it is worth trying again. The manifest lock or anything above it may be held. */
bool varve_reserve_release(varve_store *store);

/* A background task: make it, or as large as it should be, if that is due. Returns whether anything
 * was done. No lock may be held. `opening`: before anything else goes on; whether a flush waits makes
 * no difference. */
bool varve_reserve_step(varve_store *store, bool opening);

/* How large it should be now: two of the log segments that are made next and two generations of the
 * manifest, unless the options say it. No lock below the manifest lock, nor that, may be held. */
uint64_t varve_reserve_plan(varve_store *store);

/* Room may have come: do not wait until it is due. */
void varve_reserve_hurry(varve_store *store);

/* ENOSPC, and why: it has been used and is not back, so nothing new is taken in. */
varve_status varve_reserve_check(varve_store *store, varve_error *err);

/* How large a log segment the reserve has room to copy; at least `smallest`. */
uint64_t varve_reserve_segment_max(varve_store *store, uint64_t smallest);

void varve_reserve_get_stats(varve_store *store, varve_stats *stats);

#endif
