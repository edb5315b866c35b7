/*
 * background_int.h - the tasks that run beside the application's calls. See background.c.
 */
#ifndef VARVE_ENGINE_BACKGROUND_INT_H
#define VARVE_ENGINE_BACKGROUND_INT_H

#include "storage/engine/store_int.h"

varve_status varve_background_start(varve_store *store, varve_error *err);
void varve_background_stop(varve_store *store); /* waits for the threads */

/* Do the most urgent thing there is, about 2 ms of it. False: there was nothing. */
bool varve_background_step(varve_store *store);
/* How often threads look for what is due, without being woken. */
uint64_t varve_background_tick_us(uint32_t interval_ms);

#endif
