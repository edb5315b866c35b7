/*
 * window_int.h - event-time windows. See window.c.
 */
#ifndef VARVE_ENGINE_WINDOW_INT_H
#define VARVE_ENGINE_WINDOW_INT_H

#include "storage/schema/schema.h"

#define VARVE_FLUSH_WINDOWS 16u /* files of one flush, the outlier file among them */

struct varve_window { /* event times in the time column's unit */
    int64_t start;    /* inclusive */
    int64_t end;      /* exclusive; INT64_MAX: open */
};

/* How a flush divides its rows. */
struct varve_window_plan {
    int64_t length;    /* of a window, in ticks */
    int64_t low, high; /* rows below or above are outliers */
};

/* Ticks of the time column in a second; dates and integers count as 1. */
int64_t varve_ticks_per_second(const struct varve_schema *schema);

/* The window of `length` ticks that holds `time`. */
struct varve_window varve_window_of(int64_t time, int64_t length);

/* For rows between `first` and `last` that take `bytes` raw: at most VARVE_FLUSH_WINDOWS - 1 windows.
 * `window_seconds` 0: chosen by size. */
struct varve_window_plan varve_window_plan_of(const struct varve_schema *schema, int64_t first,
                                              int64_t last, uint64_t bytes, uint64_t window_seconds,
                                              int64_t now_s);

#endif
