/*
 * window.c - event-time windows: which file a row belongs to (docs/ARCHITECTURE.md, glossary).
 *
 * Windows are aligned intervals of length base x 8^tier from 1970, nested. A flush picks the
 * smallest tier at which its rows fall into at most 15 windows and a window would hold a worthwhile
 * number of bytes; rows absurdly far from today share one outlier file. Pure functions.
 */
#include "storage/engine/window_int.h"

#define SECONDS_PER_DAY 86400
#define OUTLIER_YEARS 100
#define BASE_SECONDS 3600u
#define WINDOW_BYTES_MIN ((uint64_t)64 << 20)

int64_t varve_ticks_per_second(const struct varve_schema *schema)
{
    const varve_column_info *column = &schema->columns[schema->time_column];

    if (column->type == VARVE_TIME)
        return 1000000000;
    if (column->type != VARVE_TIMESTAMP)
        return 1; /* integers count as seconds; dates are handled by the caller's floor */
    switch (column->unit) {
    case VARVE_SECONDS:
        return 1;
    case VARVE_MICROSECONDS:
        return 1000000;
    case VARVE_NANOSECONDS:
        return 1000000000;
    default:
        return 1000;
    }
}

static int64_t saturating_multiply(int64_t a, int64_t b)
{
    int64_t product;
    if (!__builtin_mul_overflow(a, b, &product))
        return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t floor_to(int64_t value, int64_t step)
{
    const int64_t rest = value % step;
    int64_t start;

    if (rest == 0)
        return value;
    if (__builtin_sub_overflow(value, rest < 0 ? rest + step : rest, &start))
        return INT64_MIN;
    return start;
}

struct varve_window varve_window_of(int64_t time, int64_t length)
{
    const int64_t rest = time % length;
    struct varve_window window = {.start = floor_to(time, length)};

    /* From `time` itself, since the first window may be cut short at its start. */
    if (__builtin_add_overflow(time - rest, rest < 0 ? 0 : length, &window.end))
        window.end = INT64_MAX;
    return window;
}

static uint64_t windows_between(int64_t first, int64_t last, int64_t length)
{
    const uint64_t span = (uint64_t)last - (uint64_t)first;
    return span / (uint64_t)length + 2; /* at most */
}

struct varve_window_plan varve_window_plan_of(const struct varve_schema *schema, int64_t first,
                                              int64_t last, uint64_t bytes, uint64_t window_seconds,
                                              int64_t now_s)
{
    const uint8_t type = schema->columns[schema->time_column].type;
    const int64_t second = varve_ticks_per_second(schema);
    const bool dated = type == VARVE_TIMESTAMP || type == VARVE_DATE;
    struct varve_window_plan plan = {.low = INT64_MIN, .high = INT64_MAX};

    if (dated) {
        const int64_t century = (int64_t)OUTLIER_YEARS * 365 * SECONDS_PER_DAY;
        const int64_t unit = type == VARVE_DATE ? SECONDS_PER_DAY : 1;
        plan.low = saturating_multiply((now_s - century) / unit, second);
        plan.high = saturating_multiply((now_s + century) / unit, second);
    }
    const int64_t from = first > plan.low ? first : plan.low;
    const int64_t to = last < plan.high ? last : plan.high;
    int64_t length =
        saturating_multiply((int64_t)(window_seconds != 0 ? window_seconds : BASE_SECONDS), second);
    if (type == VARVE_DATE)
        length = length / SECONDS_PER_DAY > 0 ? length / SECONDS_PER_DAY : 1;
    plan.length = length;
    if (from > to)
        return plan;

    const uint64_t span = (uint64_t)to - (uint64_t)from + 1;
    const uint64_t encoded = bytes / 3 + 1; /* a guess: blocks are about a third of the raw rows */
    while (plan.length < INT64_MAX / 8 &&
           (windows_between(from, to, plan.length) > VARVE_FLUSH_WINDOWS - 1 ||
            (window_seconds == 0 &&
             (double)plan.length / (double)span * (double)encoded < (double)WINDOW_BYTES_MIN)))
        plan.length *= 8;
    if (windows_between(from, to, plan.length) > VARVE_FLUSH_WINDOWS - 1)
        plan.length = INT64_MAX;
    return plan;
}
