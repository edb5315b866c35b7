/*
 * plain_number.c - see plain_number.h.
 *
 * Eight characters are a 64-bit word whose lowest byte is the first (little-endian machines only,
 * as all of varve). Digits are checked and joined within the word; the words are chosen so that all
 * of them lie inside the text, which is why a text under eight characters is read byte by byte.
 */
#include "tools/varve/plain_number.h"

#include <string.h>

#define WORD ((size_t)8)
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t load(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    return word;
}

/* Of the first '.' in a word, or WORD. */
static size_t find_point(uint64_t word)
{
    const uint64_t zero = word ^ EACH('.');
    const uint64_t found = (zero - EACH(1)) & ~zero & EACH(0x80); /* right for the first of them */

    return found == 0 ? WORD : (size_t)__builtin_ctzll(found) / 8;
}

/* Of the first '.' in 8 bytes or more, or `size`. */
static size_t point_of(const char *text, size_t size)
{
    for (size_t at = 0; at + WORD <= size; at += WORD) {
        const size_t found = find_point(load(text + at));
        if (found < WORD)
            return at + found;
    }
    const size_t found = find_point(load(text + size - WORD));
    return found < WORD ? size - WORD + found : size;
}

/* The number that eight digits spell; false: they are not all digits. */
static bool join_digits(uint64_t word, uint64_t *ret_number)
{
    if (((word & EACH(0xf0)) | ((word + EACH(0x06)) & EACH(0xf0)) >> 4) != EACH(0x33))
        return false;
    word -= EACH('0');
    word = word * 10 + (word >> 8); /* every other byte: pairs */
    const uint64_t pairs = UINT64_C(0x000000ff000000ff);
    *ret_number = ((word & pairs) * UINT64_C(0x000f424000000064) +
                   (word >> 16 & pairs) * UINT64_C(0x0000271000000001)) >>
                  32;
    return true;
}

/* The `n` <= 8 digits that end at `end`, of a text that is at least a word long. */
static bool join_last(const char *text, size_t end, size_t n, uint64_t *ret_number)
{
    if (n == 0) {
        *ret_number = 0;
        return true;
    }
    const uint64_t word = end >= WORD ? load(text + end - WORD) : load(text) << 8 * (WORD - end);
    const unsigned others = 8 * (unsigned)(WORD - n);
    const uint64_t mine = others == 0 ? UINT64_MAX : UINT64_MAX << others;
    return join_digits((word & mine) | (EACH('0') & ~mine), ret_number);
}

/* The digits in [begin, end), at most 18 of them, behind `*mantissa`. */
static bool append_digits(const char *text, size_t begin, size_t end, uint64_t *mantissa)
{
    static const uint64_t tens[WORD + 1] = {1,      10,      100,      1000,     10000,
                                            100000, 1000000, 10000000, 100000000};

    while (begin < end) {
        const size_t n = end - begin < WORD ? end - begin : WORD;
        uint64_t part;
        if (!join_last(text, begin + n, n, &part))
            return false;
        *mantissa = *mantissa * tens[n] + part;
        begin += n;
    }
    return true;
}

static bool parse_short(const char *text, size_t size, struct plain_number *ret)
{
    uint64_t mantissa = 0;
    size_t point = size;

    for (size_t i = 0; i < size; i++) {
        const unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit <= 9)
            mantissa = mantissa * 10 + digit;
        else if (text[i] == '.' && point == size)
            point = i;
        else
            return false;
    }
    ret->mantissa = mantissa;
    ret->point = point < size;
    ret->digits = ret->point ? (int)(size - point - 1) : 0;
    return size > ret->point;
}

bool plain_number_parse(const char *text, size_t size, struct plain_number *ret)
{
    ret->negative = size > 1 && *text == '-';
    text += ret->negative;
    size -= ret->negative;
    if (size < WORD)
        return parse_short(text, size, ret);
    if (size > PLAIN_DIGITS_MAX + 1)
        return false;
    const size_t point = point_of(text, size);
    ret->point = point < size;
    ret->digits = ret->point ? (int)(size - point - 1) : 0;
    ret->mantissa = 0;
    return size - ret->point <= PLAIN_DIGITS_MAX && append_digits(text, 0, point, &ret->mantissa) &&
           append_digits(text, point + ret->point, size, &ret->mantissa);
}
