/*
 * table_layout.h - text in columns of a terminal: how wide it is (East Asian characters and emoji
 * take two cells, accents none), and that no byte of it can command the terminal.
 */
#ifndef VARVE_TOOL_TABLE_LAYOUT_H
#define VARVE_TOOL_TABLE_LAYOUT_H

#include <stddef.h>

/* Cells that `size` bytes of printable UTF-8 take (table_text_printable). */
size_t table_text_width(const char *text, size_t size);

/*
 * Copy `text` with control characters and bytes that are no UTF-8 as \n, \t or \xNN. Returns the
 * size needed; writes at most `room` bytes. 4 * size is always enough.
 */
size_t table_text_printable(const char *text, size_t size, char *out, size_t room);

#endif
