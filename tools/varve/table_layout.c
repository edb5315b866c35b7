/*
 * table_layout.c - see table_layout.h.
 */
#include "tools/varve/table_layout.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* One character: bytes used, and its code; code 0xFFFF: no character begins here. */
static size_t next_character(const char *text, size_t size, wchar_t *ret)
{
    mbstate_t state;

    memset(&state, 0, sizeof state);
    const size_t n = mbrtowc(ret, text, size, &state);
    if (n == 0 || n > size) { /* a zero byte, or not valid */
        *ret = n == 0 ? L'\0' : (wchar_t)0xFFFF;
        return 1;
    }
    return n;
}

size_t table_text_width(const char *text, size_t size)
{
    size_t width = 0;

    for (size_t at = 0; at < size;) {
        wchar_t character;
        at += next_character(text + at, size - at, &character);
        const int cells = wcwidth(character);
        width += cells > 0 ? (size_t)cells : 0;
    }
    return width;
}

size_t table_text_printable(const char *text, size_t size, char *out, size_t room)
{
    size_t used = 0;

    for (size_t at = 0; at < size;) {
        wchar_t character;
        char escape[8];
        const char *piece = text + at;
        size_t n = next_character(piece, size - at, &character);
        at += n;
        const unsigned char byte = (unsigned char)*piece;
        if (byte == '\n' || byte == '\t') {
            piece = byte == '\n' ? "\\n" : "\\t";
            n = 2;
        } else if (n == 1 && (byte < 0x20 || byte >= 0x7f)) {
            (void)snprintf(escape, sizeof escape, "\\x%02x", byte);
            piece = escape;
            n = 4;
        } else if (wcwidth(character) < 0) { /* a control character beyond ASCII */
            for (size_t i = 0; i < n; i++) {
                (void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)piece[i]);
                if (used + 4 <= room)
                    memcpy(out + used, escape, 4);
                used += 4;
            }
            continue;
        }
        if (used + n <= room)
            memcpy(out + used, piece, n);
        used += n;
    }
    return used;
}
