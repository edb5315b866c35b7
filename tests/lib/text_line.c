/*
 * text_line.c - appending to a string, bounded.
 */
#include "tests/lib/text_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_append(char *out, size_t size, const char *format, ...)
{
    const size_t used = strlen(out);
    va_list arguments;

    va_start(arguments, format);
    const int n = vsnprintf(out + used, size - used, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= size - used)
        abort();
}
