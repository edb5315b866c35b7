/*
 * scan.h - READ 1 to 4: from sources to what the application holds.
 *
 *     sources (source.h) -> merge (merge.h) -> filter -> aggregate -> cursor
 *
 * Place.   The engine builds the sources of a view and hands them over; everything behind the
 *          public cursor functions is here. Knows neither log nor manifest nor threads.
 * Threads. A cursor belongs to one thread; only its cancel flag may be set by another.
 */
#ifndef VARVE_SCAN_SCAN_H
#define VARVE_SCAN_SCAN_H

#include "storage/rows/source.h"

/* What a scan reads. On success the cursor owns the sources and calls `release` once at close. */
struct varve_scan_input {
    const struct varve_schema *schema; /* borrowed until release */
    struct varve_source **sources;
    uint32_t n_sources;
    uint32_t files; /* for varve_cursor_stats */
    uint32_t files_pruned;
    uint32_t now_s; /* the view's read time: what has expired by then is deleted */
    int64_t floor;  /* rows with an event time below it do not show; INT64_MIN */
    void (*release)(void *ctx);
    void *ctx;
};

/* The checks of varve_scan that need no view; EINVAL says what is wrong. */
varve_status varve_scan_check(const struct varve_schema *schema, const varve_scan *scan,
                              bool aggregate, varve_error *err);
/* The inclusive time range of a scan; first > last: empty. */
void varve_scan_time_range(const varve_scan *scan, int64_t floor, int64_t *ret_first,
                           int64_t *ret_last);

/* The bodies of the public open functions. On failure the sources stay the caller's. */
varve_status varve_scan_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                               const varve_scan *scan, varve_cursor **ret_cursor, varve_error *err);
varve_status varve_aggregate_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                                    const varve_scan *scan, varve_cursor **ret_cursor,
                                    varve_error *err);
varve_status varve_partitions_cursor(struct varve_heap *heap, const struct varve_scan_input *input,
                                     const varve_scan *scan, varve_cursor **ret_cursor,
                                     varve_error *err);

#endif
