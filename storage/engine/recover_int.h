/*
 * recover_int.h - the steps of opening a store. See recover.c.
 */
#ifndef VARVE_ENGINE_RECOVER_INT_H
#define VARVE_ENGINE_RECOVER_INT_H

#include "storage/engine/store_int.h"

/* Tables, origins, epochs and positions from the current version. */
varve_status varve_recover_load(varve_store *store, varve_error *err);
/* Replay, make durable what was accepted, and start the log's writer. */
varve_status varve_recover_writable(varve_store *store, varve_error *err);
/* Replay in memory. `live`: another process is writing. */
varve_status varve_recover_read_only(varve_store *store, bool live, varve_error *err);
/* Remove files that nothing names. */
varve_status varve_recover_strays(varve_store *store, varve_error *err);

#endif
