/*
 * calendar.c - see calendar_int.h. Values to text, for value_text.c.
 */
#include "storage/schema/calendar_int.h"

#include <assert.h>

#include <varve/varve.h>

#include "storage/base/exact.h"

#define DAYS_TO_1970 INT64_C(719162)   /* from 0001-01-01 */
#define DAYS_TO_10000 INT64_C(3652059) /* from 0001-01-01 to the end of year 9999 */
#define SECONDS_A_DAY 86400
#define NS_A_SECOND INT64_C(1000000000)
#define OFFSET_MINUTES 1080 /* no time zone is further than 18 hours from UTC */

static const uint16_t days_before_month[13] = {0,   31,  59,  90,  120, 151, 181,
                                               212, 243, 273, 304, 334, 365};

struct civil {
    int year; /* 1 .. 9999 */
    int month;
    int day;
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    return days_before_month[month] - days_before_month[month - 1] + (month == 2 && is_leap(year));
}

/* Days since 1970-01-01. */
static int64_t days_of(struct civil date)
{
    const int64_t before = date.year - 1; /* whole years */

    return before * 365 + before / 4 - before / 100 + before / 400 +
           days_before_month[date.month - 1] + (date.month > 2 && is_leap(date.year)) + date.day -
           1 - DAYS_TO_1970;
}

/* The inverse; false outside the years 1 .. 9999. */
static bool civil_of(int64_t days_since_1970, struct civil *ret_date)
{
    if (days_since_1970 < -DAYS_TO_1970 || days_since_1970 >= DAYS_TO_10000 - DAYS_TO_1970)
        return false;

    int days = (int)(days_since_1970 + DAYS_TO_1970);
    const int cycles = days / 146097; /* of 400 years */
    days = days % 146097;
    const int centuries = days / 36524 < 3 ? days / 36524 : 3; /* the fourth has a day more */
    days -= centuries * 36524;
    const int fours = days / 1461;
    days = days % 1461;
    const int years = days / 365 < 3 ? days / 365 : 3;
    days -= years * 365;

    ret_date->year = cycles * 400 + centuries * 100 + fours * 4 + years + 1;
    ret_date->month = 1;
    while (days >= days_in_month(ret_date->year, ret_date->month))
        days -= days_in_month(ret_date->year, ret_date->month++);
    ret_date->day = days + 1;
    return true;
}

/* ------------------------------------------------------------------------------------- Parse */

struct scanner {
    const char *at;
    const char *end;
};

static bool accept(struct scanner *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool at_digit(const struct scanner *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* Exactly `count` digits. */
static bool take_digits(struct scanner *s, int count, int *ret_number)
{
    int number = 0;

    for (int i = 0; i < count; i++) {
        if (!at_digit(s))
            return false;
        number = number * 10 + (*s->at++ - '0');
    }
    *ret_number = number;
    return true;
}

/* YYYY-MM-DD as days since 1970. */
static const char *take_date(struct scanner *s, int64_t *ret_days)
{
    struct civil date;

    if (!take_digits(s, 4, &date.year) || !accept(s, '-') || !take_digits(s, 2, &date.month) ||
        !accept(s, '-') || !take_digits(s, 2, &date.day))
        return "a date is written YYYY-MM-DD";
    if (date.year < 1)
        return "the first year is 0001";
    if (date.month < 1 || date.month > 12)
        return "there is no such month";
    if (date.day < 1 || date.day > days_in_month(date.year, date.month))
        return "the month has no such day";
    *ret_days = days_of(date);
    return NULL;
}

/* .f with 1 to 9 digits, if it is there, as nanoseconds. */
static const char *take_fraction(struct scanner *s, int64_t *ret_ns)
{
    int64_t ns = 0;
    int digits = 0;

    if (!accept(s, '.')) {
        *ret_ns = 0;
        return NULL;
    }
    for (; at_digit(s) && digits < 9; digits++)
        ns = ns * 10 + (*s->at++ - '0');
    if (digits == 0 || at_digit(s))
        return "a fraction of a second has 1 to 9 digits";
    for (; digits < 9; digits++)
        ns *= 10;
    *ret_ns = ns;
    return NULL;
}

/* HH:MM[:SS[.f]] as nanoseconds since midnight. */
static const char *take_time(struct scanner *s, int64_t *ret_ns)
{
    int hour, minute, second = 0;
    int64_t ns = 0;

    if (!take_digits(s, 2, &hour) || !accept(s, ':') || !take_digits(s, 2, &minute))
        return "a time is written HH:MM, HH:MM:SS or HH:MM:SS.fraction";
    if (accept(s, ':')) {
        if (!take_digits(s, 2, &second))
            return "a time is written HH:MM, HH:MM:SS or HH:MM:SS.fraction";
        const char *fault = take_fraction(s, &ns);
        if (fault != NULL)
            return fault;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return "there is no such time of day";
    *ret_ns = ((int64_t)hour * 3600 + minute * 60 + second) * NS_A_SECOND + ns;
    return NULL;
}

/* Z, +HH, +HHMM, +HH:MM or the same with '-', if it is there, as seconds east of UTC. */
static const char *take_offset(struct scanner *s, int64_t *ret_seconds)
{
    int hours, minutes = 0;

    *ret_seconds = 0;
    if (s->at == s->end || accept(s, 'Z') || accept(s, 'z'))
        return NULL;
    const bool west = accept(s, '-');
    if (!west && !accept(s, '+'))
        return "after the time only a zone may follow: Z, +HH, +HHMM or +HH:MM";
    if (!take_digits(s, 2, &hours))
        return "a zone is written Z, +HH, +HHMM or +HH:MM";
    const bool colon = accept(s, ':');
    if ((colon || s->at < s->end) && !take_digits(s, 2, &minutes))
        return "a zone is written Z, +HH, +HHMM or +HH:MM";
    if (minutes > 59 || hours * 60 + minutes > OFFSET_MINUTES)
        return "there is no such time zone";
    *ret_seconds = (int64_t)(hours * 60 + minutes) * (west ? -60 : 60);
    return NULL;
}

static int64_t units_a_second(uint8_t unit)
{
    static const int64_t units[] = {0, 1, 1000, 1000000, 1000000000};

    assert(unit >= VARVE_SECONDS && unit <= VARVE_NANOSECONDS);
    return units[unit];
}

const char *varve_calendar_timestamp_parse(const char *text, size_t size, uint8_t unit,
                                           int64_t *ret_time)
{
    struct scanner s = {text, text + size};
    const int64_t rate = units_a_second(unit);
    int64_t days, offset, ns = 0;
    const char *fault;

    fault = take_date(&s, &days);
    if (fault == NULL && (accept(&s, 'T') || accept(&s, 't') || accept(&s, ' ')))
        fault = take_time(&s, &ns);
    if (fault == NULL)
        fault = take_offset(&s, &offset);
    if (fault != NULL)
        return fault;
    if (s.at != s.end)
        return "something follows the timestamp";
    if (ns % (NS_A_SECOND / rate) != 0)
        return "the fraction is finer than the column's unit";

    const varve_i128 time =
        (varve_i128)(days * SECONDS_A_DAY - offset) * rate + ns / (NS_A_SECOND / rate);
    if (time < INT64_MIN || time > INT64_MAX)
        return "outside the range of the column's unit";
    *ret_time = (int64_t)time;
    return NULL;
}

const char *varve_calendar_date_parse(const char *text, size_t size, int64_t *ret_days)
{
    struct scanner s = {text, text + size};
    int64_t days;
    const char *fault = take_date(&s, &days);

    if (fault != NULL)
        return fault;
    if (s.at != s.end)
        return "something follows the date";
    *ret_days = days;
    return NULL;
}

const char *varve_calendar_time_parse(const char *text, size_t size, int64_t *ret_ns)
{
    struct scanner s = {text, text + size};
    int64_t ns;
    const char *fault = take_time(&s, &ns);

    if (fault != NULL)
        return fault;
    if (s.at != s.end)
        return "something follows the time";
    *ret_ns = ns;
    return NULL;
}

/* ------------------------------------------------------------------------------------ Format */

/* `number` in exactly `count` digits. */
static char *put_digits(char *out, int64_t number, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    assert(number == 0);
    return out + count;
}

static char *put_date(char *out, struct civil date)
{
    out = put_digits(out, date.year, 4);
    *out++ = '-';
    out = put_digits(out, date.month, 2);
    *out++ = '-';
    return put_digits(out, date.day, 2);
}

static char *put_time(char *out, int64_t second_of_day)
{
    out = put_digits(out, second_of_day / 3600, 2);
    *out++ = ':';
    out = put_digits(out, second_of_day / 60 % 60, 2);
    *out++ = ':';
    return put_digits(out, second_of_day % 60, 2);
}

/* The quotient rounded down, and the rest, which is not negative. */
static int64_t divide_down(int64_t number, int64_t by, int64_t *ret_rest)
{
    int64_t quotient = number / by, rest = number % by;

    if (rest < 0) {
        quotient--;
        rest += by;
    }
    *ret_rest = rest;
    return quotient;
}

size_t varve_calendar_timestamp_format(int64_t time, uint8_t unit, char *out)
{
    static const uint8_t fraction_digits[] = {0, 0, 3, 6, 9};
    int64_t fraction, second_of_day;
    struct civil date;
    char *at = out;

    const int64_t seconds = divide_down(time, units_a_second(unit), &fraction);
    const int64_t days = divide_down(seconds, SECONDS_A_DAY, &second_of_day);
    if (!civil_of(days, &date))
        return 0;
    at = put_date(at, date);
    *at++ = 'T';
    at = put_time(at, second_of_day);
    if (fraction_digits[unit] > 0) {
        *at++ = '.';
        at = put_digits(at, fraction, fraction_digits[unit]);
    }
    *at++ = 'Z';
    return (size_t)(at - out);
}

size_t varve_calendar_date_format(int64_t days, char *out)
{
    struct civil date;

    return civil_of(days, &date) ? (size_t)(put_date(out, date) - out) : 0;
}

size_t varve_calendar_time_format(int64_t ns, char *out)
{
    int64_t fraction;
    char *at = out;

    if (ns < 0 || ns >= SECONDS_A_DAY * NS_A_SECOND)
        return 0;
    at = put_time(at, divide_down(ns, NS_A_SECOND, &fraction));
    *at++ = '.';
    at = put_digits(at, fraction, 9);
    return (size_t)(at - out);
}
