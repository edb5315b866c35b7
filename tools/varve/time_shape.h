/*
 * time_shape.h - how a column of a CSV file writes times: seconds or finer since 1970, ISO 8601, or
 * a date with day and month in either order. Decided over a sample, then every value is read alike.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_TIME_SHAPE_H
#define VARVE_TOOL_TIME_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/varve.h>

enum time_order { /* of a date like 1/2/2003 */
                  TIME_ORDER_AUTO,
                  TIME_ORDER_DMY,
                  TIME_ORDER_MDY,
};

/* What an integer must be to be believed, so that no row gets another time than its neighbours mean. */
enum time_guard {
    TIME_GUARD_NONE, /* the unit was given */
    TIME_GUARD_UNIT, /* it looks like a time of the unit; if that is the table's, it may be small */
    TIME_GUARD_DATES, /* among dates: one of the table's unit that no date can say */
};

struct time_shape {
    uint8_t unit; /* of integers: enum varve_unit; 0: as the column */
    enum time_guard guard;
    enum time_order order;
    int64_t plain_min, plain_max; /* integers in this range are the column's value as they stand */
};

/* What the sample holds. Zero it, add every field, then decide. */
struct time_sample {
    uint64_t integers, dates, others;
    uint64_t bare_dates;       /* integers that would be dates with separators, as 20240102 */
    bool seen[5];              /* integers that look like that unit; 0: too small to tell */
    int64_t example[5];        /* the first of each */
    int first_max, second_max; /* numbers of dates */
    char separator;
};

void time_sample_add(struct time_sample *sample, const char *text, size_t size);

#define TIME_SAID_MAX 300u
/*
 * Decide; `unit` 0: the table's if some integer looks like it or none like anything, else the one that
 * all of them look like; `order` AUTO: by the sample. `said` gets a sentence on what was found, or "".
 * False: nobody can tell what the integers are, and `said` says why.
 */
bool time_shape_decide(struct time_shape *shape, const struct time_sample *sample,
                       const varve_column_info *column, uint8_t unit, enum time_order order,
                       char *said, size_t said_size);

static inline bool time_shape_is_plain(const struct time_shape *shape, int64_t number)
{
    return number >= shape->plain_min && number <= shape->plain_max;
}

/* A timestamp or date. NULL, or what is wrong with it (`err` is scratch for it). */
const char *time_shape_parse(const struct time_shape *shape, const varve_column_info *column,
                             const char *text, size_t size, int64_t *ret_time, varve_error *err);

#endif
