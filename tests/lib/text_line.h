/*
 * text_line.h - text put together piece by piece in a buffer of fixed size.
 */
#ifndef VARVE_TESTS_LIB_TEXT_LINE_H
#define VARVE_TESTS_LIB_TEXT_LINE_H

#include <stddef.h>

/* Append to the string in `out`, which has room for `size` bytes. A test whose buffer is too small
 * is wrong, and aborts. */
void text_append(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
