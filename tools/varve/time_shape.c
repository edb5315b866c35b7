/*
 * time_shape.c - see time_shape.h. Dates in other orders are rewritten to ISO 8601, so that the
 * library alone decides which days and times there are.
 */
#include "tools/varve/time_shape.h"

#include <stdio.h>
#include <string.h>

/* Below this, an integer may be anything: 10^8 seconds are three years. From there on, each unit
 * has the three decades in which its times lie between 1973 and 5138. */
#define MAGNITUDE_MIN UINT64_C(100000000)
#define YEAR_1_S INT64_C(-62135596800)
#define YEAR_10000_S INT64_C(253402300800)

static const int64_t per_second[] = {0, 1, 1000, 1000000, 1000000000};
static const char *const unit_names[] = {"", "seconds", "milliseconds", "microseconds",
                                         "nanoseconds"};

static bool integer_parse(const char *text, size_t size, int64_t *ret)
{
    const bool negative = size > 1 && *text == '-';
    uint64_t magnitude = 0;

    if (size == 0 || size - negative > 19)
        return false;
    for (size_t i = negative; i < size; i++) {
        const unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    if (magnitude > INT64_MAX) /* 19 digits fit 64 bits without a sign */
        return false;
    *ret = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* One or two digits at *at, followed by `separator`. */
static bool short_number(const char *text, size_t size, size_t *at, char *separator, int *ret)
{
    size_t i = *at;
    int number = 0;

    for (; i < size && i < *at + 2 && text[i] >= '0' && text[i] <= '9'; i++)
        number = number * 10 + (text[i] - '0');
    if (i == *at || i >= size || (text[i] != '/' && text[i] != '-' && text[i] != '.') ||
        (*separator != '\0' && text[i] != *separator))
        return false;
    *separator = text[i];
    *at = i + 1;
    *ret = number;
    return true;
}

/* 1/2/2003, 1-2-2003 or 1.2.2003, and perhaps a blank and more: where that begins. */
static bool date_split(const char *text, size_t size, int *first, int *second, char year[5],
                       char *separator, size_t *ret_rest)
{
    size_t at = 0;

    *separator = '\0';
    if (!short_number(text, size, &at, separator, first) ||
        !short_number(text, size, &at, separator, second) || size - at < 4)
        return false;
    for (size_t i = 0; i < 4; i++)
        if (text[at + i] < '0' || text[at + i] > '9')
            return false;
    memcpy(year, text + at, 4);
    year[4] = '\0';
    *ret_rest = at + 4;
    return at + 4 == size || text[at + 4] == ' ' || text[at + 4] == 'T';
}

void time_sample_add(struct time_sample *sample, const char *text, size_t size)
{
    int64_t number;
    int first, second;
    char year[5], separator;
    size_t rest;

    if (integer_parse(text, size, &number)) {
        const uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
        sample->integers++;
        if (magnitude > sample->greatest)
            sample->greatest = magnitude;
    } else if (date_split(text, size, &first, &second, year, &separator, &rest)) {
        sample->dates++;
        sample->separator = separator;
        sample->first_max = first > sample->first_max ? first : sample->first_max;
        sample->second_max = second > sample->second_max ? second : sample->second_max;
    } else if (size > 4 && text[4] == '-') { /* as ISO 8601 begins */
        sample->others++;
    }
}

static uint8_t unit_of_magnitude(uint64_t greatest)
{
    uint64_t limit = MAGNITUDE_MIN * 1000;

    if (greatest < MAGNITUDE_MIN)
        return 0;
    for (uint8_t unit = VARVE_SECONDS; unit < VARVE_NANOSECONDS; unit++, limit *= 1000)
        if (greatest < limit)
            return unit;
    return VARVE_NANOSECONDS;
}

static void decide_unit(struct time_shape *shape, const struct time_sample *sample,
                        const varve_column_info *column, uint8_t unit, char *said, size_t said_size)
{
    shape->unit = unit;
    if (unit != 0 || sample->integers == 0)
        return;
    if (sample->others > 0 || sample->dates > 0) { /* times without a date, as scan prints them */
        (void)snprintf(said, said_size, "dates, and integers taken as %s",
                       unit_names[column->unit]);
        return;
    }
    shape->unit = unit_of_magnitude(sample->greatest);
    shape->believable = shape->unit != 0;
    if (shape->unit != 0)
        (void)snprintf(said, said_size, "integers taken as %s since 1970, by their size",
                       unit_names[shape->unit]);
    else
        (void)snprintf(said, said_size,
                       "integers too small to tell their unit, taken as the table's: %s",
                       unit_names[column->unit]);
}

/* Only a range without divisions and overflow at its ends: what is outside is looked at in full. */
static void decide_plain(struct time_shape *shape, const varve_column_info *column)
{
    const int64_t second = per_second[column->unit];

    if (column->type != VARVE_TIMESTAMP || (shape->unit != 0 && shape->unit != column->unit))
        return;
    shape->plain_min = shape->believable ? 0 : INT64_MIN;
    shape->plain_max = shape->believable && YEAR_10000_S <= INT64_MAX / second
                           ? YEAR_10000_S * second - 1
                           : INT64_MAX;
}

void time_shape_decide(struct time_shape *shape, const struct time_sample *sample,
                       const varve_column_info *column, uint8_t unit, enum time_order order,
                       char *said, size_t said_size)
{
    *shape = (struct time_shape){.order = order, .plain_min = 0, .plain_max = -1};
    said[0] = '\0';
    if (column->type == VARVE_TIMESTAMP)
        decide_unit(shape, sample, column, unit, said, said_size);
    decide_plain(shape, column);
    if (order != TIME_ORDER_AUTO)
        return;
    const bool slash = sample->separator == '/';
    const bool day_first = sample->first_max > 12;
    const bool day_second = sample->second_max > 12;
    shape->order = day_first || (!day_second && !slash) ? TIME_ORDER_DMY : TIME_ORDER_MDY;
    if (sample->dates == 0)
        return;
    const char *how = day_first && day_second   ? "although some do not fit"
                      : day_first || day_second ? "as no month is above 12"
                                                : "a guess: --date-order says otherwise";
    (void)snprintf(said, said_size, "dates taken as %s, %s",
                   shape->order == TIME_ORDER_DMY ? "day, month, year" : "month, day, year", how);
}

static const char *parse_by_library(const varve_column_info *column, const char *text, size_t size,
                                    int64_t *ret_time, varve_error *err)
{
    varve_value value;

    if (varve_value_parse(column, text, size, NULL, &value, err) < 0)
        return err->message;
    *ret_time = value.as.i64;
    return NULL;
}

static const char *parse_integer(const struct time_shape *shape, const varve_column_info *column,
                                 int64_t number, int64_t *ret_time)
{
    const uint8_t unit = shape->unit == 0 ? column->unit : shape->unit;
    const int64_t from = per_second[unit], to = per_second[column->unit];

    if (shape->believable && (number / from >= YEAR_10000_S || number / from < YEAR_1_S))
        return "the time is outside the years 1 to 9999";
    if (from > to && number % (from / to) != 0)
        return "the time is finer than the table's unit";
    if (from >= to)
        *ret_time = number / (from / to);
    else if (number > INT64_MAX / (to / from) || number < INT64_MIN / (to / from))
        return "the time is out of range";
    else
        *ret_time = number * (to / from);
    return NULL;
}

const char *time_shape_parse(const struct time_shape *shape, const varve_column_info *column,
                             const char *text, size_t size, int64_t *ret_time, varve_error *err)
{
    int64_t number;
    int first, second;
    char year[5], separator, iso[64];
    size_t rest;

    if (column->type == VARVE_TIMESTAMP && integer_parse(text, size, &number))
        return parse_integer(shape, column, number, ret_time);
    if (!date_split(text, size, &first, &second, year, &separator, &rest) ||
        size - rest > sizeof iso - 16)
        return parse_by_library(column, text, size, ret_time, err);

    const bool day_first = shape->order == TIME_ORDER_DMY;
    int n = snprintf(iso, sizeof iso, "%s-%02d-%02d", year, day_first ? second : first,
                     day_first ? first : second);
    if (rest < size) { /* one digit for the hour is common: ISO 8601 wants two */
        const bool short_hour = size - rest > 2 && text[rest + 2] == ':';
        n += snprintf(iso + n, sizeof iso - (size_t)n, "T%s%.*s", short_hour ? "0" : "",
                      (int)(size - rest - 1), text + rest + 1);
    }
    return parse_by_library(column, iso, (size_t)n, ret_time, err);
}
