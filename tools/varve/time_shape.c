/*
 * time_shape.c - see time_shape.h. Dates in other orders are rewritten to ISO 8601, so that the
 * library alone decides which days and times there are.
 */
#include "tools/varve/time_shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Below this, an integer may be anything: 10^8 seconds are three years. From there on, each unit
 * has the three decades in which its times lie between 1973 and 5138, on either side of 1970. */
#define MAGNITUDE_MIN INT64_C(100000000)
#define YEAR_1_S INT64_C(-62135596800)
#define YEAR_10000_S INT64_C(253402300800)

static const int64_t per_second[] = {0, 1, 1000, 1000000, 1000000000};
static const char *const unit_names[] = {"", "seconds", "milliseconds", "microseconds",
                                         "nanoseconds"};

/* As the library reads integers; false for what it refuses, too. */
static bool integer_parse(const char *text, size_t size, int64_t *ret)
{
    const bool negative = size > 0 && *text == '-';
    const size_t sign = negative || (size > 0 && *text == '+');
    uint64_t magnitude = 0;

    if (size == sign)
        return false;
    for (size_t i = sign; i < size; i++) {
        const unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9 || magnitude > (uint64_t)INT64_MAX / 10)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
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

/* The unit that the integer looks like; 0: it is too small to tell. */
static uint8_t unit_of_size(int64_t number)
{
    const uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    uint64_t limit = (uint64_t)MAGNITUDE_MIN * 1000;

    if (magnitude < MAGNITUDE_MIN)
        return 0;
    for (uint8_t unit = VARVE_SECONDS; unit < VARVE_NANOSECONDS; unit++, limit *= 1000)
        if (magnitude < limit)
            return unit;
    return VARVE_NANOSECONDS;
}

/* YYYYMMDD, YYYYMMDDhhmm or YYYYMMDDhhmmss: what a date looks like when its separators are left out. */
static bool is_bare_date(int64_t number)
{
    int64_t day = number;

    if (number >= INT64_C(19000101000000)) {
        day = number / 1000000;
        if (number / 10000 % 100 > 23 || number / 100 % 100 > 59 || number % 100 > 59)
            return false;
    } else if (number >= INT64_C(190001010000)) {
        day = number / 10000;
        if (number / 100 % 100 > 23 || number % 100 > 59)
            return false;
    }
    const int64_t month = day / 100 % 100;
    return day >= 19000101 && day <= 20991231 && month >= 1 && month <= 12 && day % 100 >= 1 &&
           day % 100 <= 31;
}

void time_sample_add(struct time_sample *sample, const char *text, size_t size)
{
    int64_t number;
    int first, second;
    char year[5], separator;
    size_t rest;

    if (integer_parse(text, size, &number)) {
        const uint8_t unit = unit_of_size(number);
        sample->integers++;
        sample->bare_dates += is_bare_date(number);
        if (!sample->seen[unit])
            sample->example[unit] = number;
        sample->seen[unit] = true;
    } else if (date_split(text, size, &first, &second, year, &separator, &rest)) {
        sample->dates++;
        sample->separator = separator;
        sample->first_max = first > sample->first_max ? first : sample->first_max;
        sample->second_max = second > sample->second_max ? second : sample->second_max;
    } else if (size > 4 && text[4] == '-') { /* as ISO 8601 begins */
        sample->others++;
    }
}

/* The table's unit is taken if it can be, so that what was printed from a table is read back to it. */
static uint8_t choose_unit(const struct time_sample *sample, uint8_t table_unit)
{
    uint8_t chosen = 0;

    if (sample->seen[table_unit])
        return table_unit;
    for (uint8_t unit = VARVE_SECONDS; unit <= VARVE_NANOSECONDS; unit++)
        if (sample->seen[unit]) {
            if (chosen != 0 || sample->seen[0])
                return 0;
            chosen = unit;
        }
    return chosen == 0 ? table_unit : chosen;
}

/* Why no unit could be chosen: two integers that cannot both be right. */
static void say_undecided(const struct time_sample *sample, char *said, size_t said_size)
{
    uint8_t a = 0, b = VARVE_NANOSECONDS;

    while (!sample->seen[a])
        a++;
    while (!sample->seen[b])
        b--;
    (void)snprintf(said, said_size,
                   "%" PRId64 " %s%s and %" PRId64 " looks like %s since 1970: say the unit with "
                   "--time-unit",
                   sample->example[a], a == 0 ? "is too small to tell its unit" : "looks like ",
                   a == 0 ? "" : unit_names[a], sample->example[b], unit_names[b]);
}

static bool decide_unit(struct time_shape *shape, const struct time_sample *sample,
                        const varve_column_info *column, uint8_t unit, char *said, size_t said_size)
{
    shape->unit = unit;
    if (unit != 0)
        return true;
    shape->unit = column->unit;
    shape->guard = TIME_GUARD_UNIT;
    if (sample->others > 0 || sample->dates > 0) {
        shape->guard = TIME_GUARD_DATES;
        return true;
    }
    if (sample->integers == 0)
        return true;
    shape->unit = choose_unit(sample, column->unit);
    if (shape->unit == 0) {
        say_undecided(sample, said, said_size);
        return false;
    }
    if (sample->seen[shape->unit])
        (void)snprintf(said, said_size, "integers taken as %s since 1970, %s",
                       unit_names[shape->unit],
                       shape->unit == column->unit ? "the table's unit" : "by their size");
    else
        (void)snprintf(said, said_size,
                       "integers too small to tell their unit, taken as the table's: %s",
                       unit_names[column->unit]);
    return true;
}

/* Only a range without divisions and overflow at its ends: what is outside is looked at in full. */
static void decide_plain(struct time_shape *shape, const struct time_sample *sample,
                         const varve_column_info *column)
{
    if (column->type != VARVE_TIMESTAMP || (shape->unit != 0 && shape->unit != column->unit) ||
        shape->guard == TIME_GUARD_DATES)
        return;
    shape->plain_min = INT64_MIN;
    shape->plain_max = INT64_MAX;
    if (shape->guard == TIME_GUARD_NONE)
        return;
    const int64_t second = per_second[column->unit];
    const bool small = sample->integers > 0 && !sample->seen[column->unit];
    shape->plain_min = small ? 1 - MAGNITUDE_MIN : MAGNITUDE_MIN * second;
    shape->plain_max = small                               ? MAGNITUDE_MIN - 1
                       : column->unit == VARVE_NANOSECONDS ? INT64_MAX
                                                           : MAGNITUDE_MIN * 1000 * second - 1;
}

/* Taken as numbers they would be other times, without a word of warning. */
static void say_bare_dates(const struct time_sample *sample, const varve_column_info *column,
                           char *said, size_t said_size)
{
    uint8_t of = 0;

    while (!sample->seen[of])
        of++;
    (void)snprintf(said, said_size,
                   "%" PRId64 " looks like a date without separators: write it like 2024-01-02%s, "
                   "or say with --time-unit that it counts %s since 1970",
                   sample->example[of], sample->example[of] > 99999999 ? "T09:30:00" : "",
                   column->type == VARVE_DATE ? "days" : unit_names[column->unit]);
}

bool time_shape_decide(struct time_shape *shape, const struct time_sample *sample,
                       const varve_column_info *column, uint8_t unit, enum time_order order,
                       char *said, size_t said_size)
{
    *shape = (struct time_shape){.order = order, .plain_min = 0, .plain_max = -1};
    said[0] = '\0';
    if (unit == 0 && sample->integers > 0 && sample->bare_dates == sample->integers) {
        say_bare_dates(sample, column, said, said_size);
        return false;
    }
    if (column->type == VARVE_TIMESTAMP &&
        !decide_unit(shape, sample, column, unit, said, said_size))
        return false;
    decide_plain(shape, sample, column);
    if (order != TIME_ORDER_AUTO)
        return true;
    const bool slash = sample->separator == '/';
    const bool day_first = sample->first_max > 12;
    const bool day_second = sample->second_max > 12;
    shape->order = day_first || (!day_second && !slash) ? TIME_ORDER_DMY : TIME_ORDER_MDY;
    if (sample->dates == 0)
        return true;
    const char *how = day_first && day_second   ? "although some do not fit"
                      : day_first || day_second ? "as no month is above 12"
                                                : "a guess: --date-order says otherwise";
    (void)snprintf(said, said_size, "dates taken as %s, %s",
                   shape->order == TIME_ORDER_DMY ? "day, month, year" : "month, day, year", how);
    return true;
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

/* Whether a date can say the time, so that `scan` would have written one. */
static bool has_date(int64_t number, int64_t per)
{
    if (per > INT64_MAX / YEAR_10000_S) /* all that fit lie between 1677 and 2262 */
        return true;
    return number >= YEAR_1_S * per && number < YEAR_10000_S * per;
}

/* NULL, or why the integer is not believed. */
static const char *guard_integer(const struct time_shape *shape, const varve_column_info *column,
                                 int64_t number, varve_error *err)
{
    const uint8_t looks = unit_of_size(number);

    if (shape->guard == TIME_GUARD_NONE)
        return NULL;
    if (shape->guard == TIME_GUARD_DATES)
        return has_date(number, per_second[column->unit])
                   ? "an integer where dates are expected (--time-unit)"
                   : NULL;
    if (looks == shape->unit || (looks == 0 && shape->unit == column->unit))
        return NULL;
    (void)snprintf(err->message, sizeof err->message,
                   "the time %s%s where %s are expected (--time-unit)",
                   looks == 0 ? "is too small to tell its unit" : "looks like ",
                   looks == 0 ? "" : unit_names[looks], unit_names[shape->unit]);
    return err->message;
}

static const char *parse_integer(const struct time_shape *shape, const varve_column_info *column,
                                 int64_t number, int64_t *ret_time, varve_error *err)
{
    const uint8_t unit = shape->unit == 0 ? column->unit : shape->unit;
    const int64_t from = per_second[unit], to = per_second[column->unit];
    const char *fault = guard_integer(shape, column, number, err);

    if (fault != NULL)
        return fault;
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

/* 1704067200.5 */
static bool is_fraction(const char *text, size_t size)
{
    size_t digits = 0, points = 0;

    for (size_t i = 0; i < size; i++) {
        digits += text[i] >= '0' && text[i] <= '9';
        points += text[i] == '.';
    }
    return points == 1 && digits > 0 && digits + points + (*text == '-') == size;
}

const char *time_shape_parse(const struct time_shape *shape, const varve_column_info *column,
                             const char *text, size_t size, int64_t *ret_time, varve_error *err)
{
    int64_t number;
    int first, second;
    char year[5], separator, iso[64];
    size_t rest;

    if (column->type == VARVE_TIMESTAMP && integer_parse(text, size, &number))
        return parse_integer(shape, column, number, ret_time, err);
    if (is_fraction(text, size))
        return "a time since 1970 is a whole number of its unit";
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
