/*
 * bucket.c - fixed intervals of time, and where in sorted times one ends.
 *
 * Buckets are floor((time - origin) / every), toward minus infinity. One division finds a bucket;
 * after that its end is searched for in the times, so that rows cost no division.
 */
#include "storage/scan/groups_int.h"

struct varve_bucket varve_bucket_of(const struct varve_buckets *buckets, int64_t time)
{
    struct varve_bucket bucket = {INT64_MIN, INT64_MAX};

    if (buckets->every == 0)
        return bucket;
    int64_t since;
    if (!__builtin_sub_overflow(time, buckets->origin, &since)) {
        const int64_t rest = since % buckets->every;
        const int64_t begun = rest < 0 ? rest + buckets->every : rest;
        if (!__builtin_sub_overflow(time, begun, &bucket.first) &&
            !__builtin_add_overflow(bucket.first, buckets->every - 1, &bucket.last))
            return bucket;
        bucket = (struct varve_bucket){INT64_MIN, INT64_MAX};
    }
    /* Near the ends of time the same needs more bits. */
    const varve_i128 every = buckets->every;
    varve_i128 past = ((varve_i128)time - buckets->origin) % every;
    if (past < 0)
        past += every;
    const varve_i128 first = (varve_i128)time - past;
    const varve_i128 last = first + every - 1;
    if (first > INT64_MIN) /* the bucket that holds INT64_MIN begins there for us */
        bucket.first = (int64_t)first;
    if (last < INT64_MAX)
        bucket.last = (int64_t)last;
    return bucket;
}

struct varve_bucket varve_bucket_after(const struct varve_buckets *buckets,
                                       struct varve_bucket near, int64_t time)
{
    const int64_t every = buckets->every;

    if (time >= near.first && time <= near.last)
        return near;
    if (every > 0 && near.last <= INT64_MAX - every && time > near.last &&
        time <= near.last + every)
        return (struct varve_bucket){near.last + 1, near.last + every};
    return varve_bucket_of(buckets, time);
}

uint32_t varve_bucket_end(const int64_t *times, uint32_t from, uint32_t n, int64_t last,
                          uint32_t hint)
{
    uint32_t low = from, step = 1;

    if (from >= n || times[n - 1] <= last)
        return n;
    if (hint > 0 && hint < n - from && times[from + hint] > last && times[from + hint - 1] <= last)
        return from + hint; /* rows come at even intervals */
    while (low + step < n &&
           times[low + step] <= last) { /* times[low] is not above, or low = from */
        low += step;
        step *= 2;
    }
    uint32_t high = low + step < n ? low + step : n - 1; /* times[high] is above */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (times[middle] <= last)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t varve_bucket_begin(const int64_t *times, uint32_t from, uint32_t to, int64_t first)
{
    uint32_t high = to, step = 1;

    if (from >= to || times[from] >= first)
        return from;
    while (high - from > step && times[high - step] >= first) { /* times[high] is not below */
        high -= step;
        step *= 2;
    }
    uint32_t low = high - from > step ? high - step : from; /* times[low] is below */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (times[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
