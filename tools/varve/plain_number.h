/*
 * plain_number.h - numbers as most files write them, read eight digits at a time.
 *
 * Place.   column_buffer.c and time_shape.c ask here first; what this does not take (signs in
 *          front of nothing, exponents, more digits, blanks) goes to the library's general parser.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_PLAIN_NUMBER_H
#define VARVE_TOOL_PLAIN_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAIN_DIGITS_MAX 18

/* [-] digits [. digits], with 1 to PLAIN_DIGITS_MAX digits in all; one side of the point may be
 * empty. */
struct plain_number {
    uint64_t mantissa;
    int digits; /* behind the point */
    bool negative;
    bool point;
};

/* False: it is none. Reads nothing outside [text, text + size). */
bool plain_number_parse(const char *text, size_t size, struct plain_number *ret);

#endif
