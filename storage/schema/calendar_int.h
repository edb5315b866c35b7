/*
 * calendar_int.h - text of timestamps, dates and times of day. Proleptic Gregorian calendar, years
 * 1 to 9999 as text, UTC, no leap seconds; nothing of the process's time zone or locale.
 */
#ifndef VARVE_SCHEMA_CALENDAR_INT_H
#define VARVE_SCHEMA_CALENDAR_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARVE_CALENDAR_TEXT_MAX 40u

/* Each parser reads all `size` characters and returns what is wrong with them (static text), or
 * NULL and writes the result. They do not take plain integers. */
const char *varve_calendar_timestamp_parse(const char *text, size_t size, uint8_t unit,
                                           int64_t *ret_time);
const char *varve_calendar_date_parse(const char *text, size_t size, int64_t *ret_days);
const char *varve_calendar_time_parse(const char *text, size_t size, int64_t *ret_ns);

/* Each writes at most VARVE_CALENDAR_TEXT_MAX characters without a terminator and returns how many;
 * 0 when the value has no such text (a year outside 1 .. 9999). */
size_t varve_calendar_timestamp_format(int64_t time, uint8_t unit, char *out);
size_t varve_calendar_date_format(int64_t days, char *out);
size_t varve_calendar_time_format(int64_t ns, char *out);

#endif
