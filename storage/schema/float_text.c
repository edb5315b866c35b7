/*
 * float_text.c - see float_text_int.h. For value_text.c.
 *
 * The C library rounds correctly in both directions but writes and expects the locale's decimal
 * point. So it is given digits and an exponent only ("12345e-2"), and of what it writes only the
 * digits and the exponent are taken.
 */
#include "storage/schema/float_text_int.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAN_F32 UINT32_C(0x7FC00000)
#define NAN_F64 UINT64_C(0x7FF8000000000000)

/* No double lies between two decimals that agree in so many digits and are not both exact: behind
 * them it only matters whether a digit is not zero. */
#define DIGITS_MAX 800
#define EXPONENT_MAX 100000

/* Powers of ten that a double holds exactly; the first 11 fit a float too. */
static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* ------------------------------------------------------------------------------------- Parse */

/* A number as text: [-] digits x 10^exponent, without leading zeros. */
struct decimal_text {
    bool negative;
    bool too_long; /* digits that are not all zero were left out */
    int count;
    int64_t exponent;
    char digits[DIGITS_MAX];
};

struct scanner {
    const char *at;
    const char *end;
};

static bool at_digit(const struct scanner *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool accept(struct scanner *s, char lower_case)
{
    if (s->at == s->end || (*s->at | 0x20) != lower_case)
        return false;
    s->at++;
    return true;
}

static bool accept_sign(struct scanner *s)
{
    const bool negative = s->at < s->end && *s->at == '-';

    if (s->at < s->end && (*s->at == '-' || *s->at == '+'))
        s->at++;
    return negative;
}

/* A run of digits; returns how many. `weight` is what one digit adds to the exponent if it is kept:
 * 0 before the point, -1 behind it. */
static size_t take_digits(struct scanner *s, struct decimal_text *number, int weight)
{
    const char *start = s->at;

    for (; at_digit(s); s->at++) {
        if (number->count == 0 && *s->at == '0') {
            number->exponent += weight;
        } else if (number->count < DIGITS_MAX) {
            number->digits[number->count++] = *s->at;
            number->exponent += weight;
        } else {
            number->too_long = number->too_long || *s->at != '0';
            number->exponent += weight + 1;
        }
    }
    return (size_t)(s->at - start);
}

static bool take_exponent(struct scanner *s, struct decimal_text *number)
{
    int64_t exponent = 0;

    if (!accept(s, 'e'))
        return true;
    const bool negative = accept_sign(s);
    if (!at_digit(s))
        return false;
    for (; at_digit(s); s->at++)
        if (exponent < INT32_MAX)
            exponent = exponent * 10 + (*s->at - '0');
    number->exponent += negative ? -exponent : exponent;
    return true;
}

static const char *scan_number(struct scanner *s, struct decimal_text *number)
{
    number->too_long = false;
    number->count = 0;
    number->exponent = 0;

    size_t digits = take_digits(s, number, 0);
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        digits += take_digits(s, number, -1);
    }
    if (digits == 0 || !take_exponent(s, number) || s->at != s->end)
        return "this is not a number";
    if (number->exponent > EXPONENT_MAX)
        number->exponent = EXPONENT_MAX;
    if (number->exponent < -EXPONENT_MAX)
        number->exponent = -EXPONENT_MAX;
    return NULL;
}

static bool is_word(const struct scanner *s, const char *word)
{
    struct scanner copy = *s;

    for (; *word != '\0'; word++)
        if (!accept(&copy, *word))
            return false;
    return copy.at == copy.end;
}

/* NaN(0x7ff8000000000001): a NaN with the bits that are written out. */
static bool take_nan_bits(const struct scanner *s, size_t digits, uint64_t *ret_bits)
{
    struct scanner copy = *s;
    uint64_t bits = 0;

    for (const char *c = "nan("; *c != '\0'; c++)
        if (!accept(&copy, *c))
            return false;
    if ((size_t)(copy.end - copy.at) != digits + 3 || copy.at[0] != '0' || copy.at[1] != 'x' ||
        copy.end[-1] != ')')
        return false;
    for (copy.at += 2; copy.at < copy.end - 1; copy.at++) {
        const char c = (char)(*copy.at | 0x20);
        if (*copy.at >= '0' && *copy.at <= '9')
            bits = bits << 4 | (uint64_t)(*copy.at - '0');
        else if (c >= 'a' && c <= 'f')
            bits = bits << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_bits = bits;
    return true;
}

/* Digits and exponent as the C library reads them in any locale. */
static void spell(const struct decimal_text *number, char out[DIGITS_MAX + 32])
{
    const int sticky = number->too_long;

    memcpy(out, number->digits, (size_t)number->count);
    (void)snprintf(out + number->count, 32, "%se%lld", sticky ? "1" : "",
                   (long long)(number->exponent - sticky));
}

static double to_f64(const struct decimal_text *number)
{
    char spelled[DIGITS_MAX + 32];
    uint64_t digits = 0;

    if (number->count == 0)
        return 0.0;
    if (FLT_EVAL_METHOD == 0 && number->count <= 15 && number->exponent >= -22 &&
        number->exponent <= 22) { /* both numbers are exact, so IEEE rounds the result once */
        for (int i = 0; i < number->count; i++)
            digits = digits * 10 + (uint64_t)(number->digits[i] - '0');
        return number->exponent < 0 ? (double)digits / exact_powers[-number->exponent]
                                    : (double)digits * exact_powers[number->exponent];
    }
    spell(number, spelled);
    return strtod(spelled, NULL);
}

static float to_f32(const struct decimal_text *number)
{
    char spelled[DIGITS_MAX + 32];
    uint32_t digits = 0;

    if (number->count == 0)
        return 0.0f;
    if (FLT_EVAL_METHOD == 0 && number->count <= 7 && number->exponent >= -10 &&
        number->exponent <= 10) {
        for (int i = 0; i < number->count; i++)
            digits = digits * 10 + (uint32_t)(number->digits[i] - '0');
        if (digits <= UINT32_C(1) << 24)
            return number->exponent < 0 ? (float)digits / (float)exact_powers[-number->exponent]
                                        : (float)digits * (float)exact_powers[number->exponent];
    }
    spell(number, spelled);
    return strtof(spelled, NULL);
}

const char *varve_float_text_parse_f64(const char *text, size_t size, double *ret_value)
{
    struct scanner s = {text, text + size};
    struct decimal_text number;
    const char *fault;
    double value;
    uint64_t bits;

    if (take_nan_bits(&s, 16, &bits)) {
        memcpy(&value, &bits, sizeof value);
        if (!isnan(value))
            return "these are not the bits of a NaN";
        *ret_value = value;
        return NULL;
    }
    number.negative = accept_sign(&s);
    if (is_word(&s, "nan")) {
        bits = NAN_F64;
        memcpy(&value, &bits, sizeof value);
    } else if (is_word(&s, "infinity") || is_word(&s, "inf")) {
        value = (double)INFINITY;
    } else {
        fault = scan_number(&s, &number);
        if (fault != NULL)
            return fault;
        value = to_f64(&number);
        if (isinf(value))
            return "outside the range of a double";
    }
    *ret_value = number.negative ? -value : value;
    return NULL;
}

const char *varve_float_text_parse_f32(const char *text, size_t size, float *ret_value)
{
    struct scanner s = {text, text + size};
    struct decimal_text number;
    const char *fault;
    float value;
    uint64_t bits;

    if (take_nan_bits(&s, 8, &bits)) {
        const uint32_t half = (uint32_t)bits;
        memcpy(ret_value, &half, sizeof half);
        return isnan(*ret_value) ? NULL : "these are not the bits of a NaN";
    }
    number.negative = accept_sign(&s);
    if (is_word(&s, "nan")) {
        const uint32_t half = NAN_F32;
        memcpy(&value, &half, sizeof value);
    } else if (is_word(&s, "infinity") || is_word(&s, "inf")) {
        value = INFINITY;
    } else {
        fault = scan_number(&s, &number);
        if (fault != NULL)
            return fault;
        value = to_f32(&number);
        if (isinf(value))
            return "outside the range of a float";
    }
    *ret_value = number.negative ? -value : value;
    return NULL;
}

/* ------------------------------------------------------------------------------------ Format */

/* A positive number as digits x 10^exponent; digits below 10^17. */
struct digits {
    uint64_t digits;
    int exponent;
};

/* What "%.*e" gives: `count` digits, correctly rounded. */
static struct digits round_to(double value, int count)
{
    char text[64];
    struct digits result = {0, 0};
    const char *at = text;

    const int written = snprintf(text, sizeof text, "%.*e", count - 1, value);
    assert(written > 0 && (size_t)written < sizeof text);
    for (; *at != 'e'; at++) /* between the first digit and the second is the locale's point */
        if (*at >= '0' && *at <= '9')
            result.digits = result.digits * 10 + (uint64_t)(*at - '0');
    result.exponent = (int)strtol(at + 1, NULL, 10) - (count - 1);
    return result;
}

static bool reads_back(struct digits d, double value, bool single)
{
    char text[64];

    (void)snprintf(text, sizeof text, "%llue%d", (unsigned long long)d.digits, d.exponent);
    return single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

/* Short decimals, which most measured values and prices are, without the C library: if a decimal of
 * at most 15 digits (6 for a float) reads back, it is the only one, so it is the shortest. */
static bool short_digits(double value, bool single, struct digits *ret_digits)
{
    const double limit = single ? 1e6 : 1e15;
    const int places = single ? 10 : 15;

    if (FLT_EVAL_METHOD != 0 || value < 1e-5)
        return false;
    for (int k = 0; k <= places; k++) {
        const double scaled = value * exact_powers[k];
        if (scaled >= limit - 0.5)
            return false;
        const uint64_t digits = (uint64_t)(scaled + 0.5);
        const bool same = single ? (float)digits / (float)exact_powers[k] == (float)value
                                 : (double)digits / exact_powers[k] == value;
        if (same) {
            *ret_digits = (struct digits){digits, -k};
            return true;
        }
    }
    return false;
}

/*
 * The fewest digits that read back. Up to 15 digits (6) a normal value is what it was rounded to,
 * so the search begins there; a subnormal one has fewer digits to it. Just below a power of two the
 * neighbours are half as far as above it: there a decimal that is not the nearest of its length may
 * still read back, and it lies above.
 */
static struct digits shortest_digits(double value, bool single)
{
    const int longest = single ? 9 : 17;
    const bool normal = value >= (single ? (double)FLT_MIN : DBL_MIN);
    struct digits d;
    int exponent;

    if (short_digits(value, single, &d))
        return d;
    const bool power_of_two = frexp(value, &exponent) == 0.5;
    for (int count = normal ? (single ? 6 : 15) : 1; count < longest; count++) {
        d = round_to(value, count);
        if (reads_back(d, value, single))
            return d;
        d.digits++;
        if (power_of_two && reads_back(d, value, single))
            return d;
    }
    return round_to(value, longest);
}

static size_t put_text(char *out, const char *text)
{
    const size_t size = strlen(text);

    memcpy(out, text, size);
    return size;
}

/* Plain from 0.000001 to below 10^21, else with an exponent. */
static size_t put_number(char *out, bool negative, struct digits d)
{
    char digits[24];
    char *at = out;

    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    const int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)d.digits);
    const int point = count + d.exponent; /* digits before the decimal point */

    if (negative)
        *at++ = '-';
    if (point > 21 || point < -5) {
        *at++ = digits[0];
        if (count > 1)
            *at++ = '.';
        at += put_text(at, digits + 1);
        return (size_t)(at - out) + (size_t)snprintf(at, 8, "e%+d", point - 1);
    }
    if (point <= 0) {
        at += put_text(at, "0.");
        for (int i = point; i < 0; i++)
            *at++ = '0';
        at += put_text(at, digits);
        return (size_t)(at - out);
    }
    for (int i = 0; i < count || i < point; i++) {
        if (i == point)
            *at++ = '.';
        *at++ = i < count ? digits[i] : '0';
    }
    return (size_t)(at - out);
}

size_t varve_float_text_format_f64(double value, char *out)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) {
        if ((bits & INT64_MAX) == NAN_F64)
            return put_text(out, bits == NAN_F64 ? "NaN" : "-NaN");
        return (size_t)snprintf(out, VARVE_FLOAT_TEXT_MAX, "NaN(0x%016llx)",
                                (unsigned long long)bits);
    }
    if (isinf(value))
        return put_text(out, value < 0 ? "-Infinity" : "Infinity");
    if (value == 0)
        return put_text(out, signbit(value) ? "-0" : "0");
    return put_number(out, value < 0, shortest_digits(fabs(value), false));
}

size_t varve_float_text_format_f32(float value, char *out)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) {
        if ((bits & INT32_MAX) == NAN_F32)
            return put_text(out, bits == NAN_F32 ? "NaN" : "-NaN");
        return (size_t)snprintf(out, VARVE_FLOAT_TEXT_MAX, "NaN(0x%08lx)", (unsigned long)bits);
    }
    if (isinf(value))
        return put_text(out, value < 0 ? "-Infinity" : "Infinity");
    if (value == 0)
        return put_text(out, signbit(value) ? "-0" : "0");
    return put_number(out, value < 0, shortest_digits(fabs((double)value), true));
}
