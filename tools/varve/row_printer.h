/*
 * row_printer.h - rows of a cursor as text, in one of the formats of --format.
 *
 * Place.   scan_command.c gives the views of a cursor; this writes them to a stream.
 *
 * Null is nothing, and empty text is `""`, in csv, tsv and table; null is null in json. What csv
 * and tsv write, `varve import` reads back to the same values: a text that import would take for
 * no value is quoted.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_ROW_PRINTER_H
#define VARVE_TOOL_ROW_PRINTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <varve/varve.h>

enum row_format {
    ROW_FORMAT_AUTO, /* table on a terminal, else csv */
    ROW_FORMAT_TABLE,
    ROW_FORMAT_CSV,
    ROW_FORMAT_TSV,
    ROW_FORMAT_JSON,
    ROW_FORMAT_JSONL,
    ROW_FORMAT_LINE,
    ROW_FORMAT_MARKDOWN,
    ROW_FORMAT_NONE,
};

/* False: there is no such format. */
bool row_format_parse(const char *name, enum row_format *ret_format);

struct row_printer;

/*
 * `names` are borrowed; what the rows have beyond n_columns is not written. `value_flags`: enum
 * varve_format_flags. NULL: no memory.
 */
struct row_printer *row_printer_new(FILE *out, enum row_format format, uint32_t value_flags,
                                    const char *const *names, uint32_t n_columns);
/* False: no memory. Whether `out` took it, ferror() says. */
bool row_printer_add(struct row_printer *writer, const varve_batch_view *view);
/* `whole`: these were all. If not, what comes out is not a whole document either: its array stays open. */
bool row_printer_end(struct row_printer *writer, bool whole);
void row_printer_free(struct row_printer *writer); /* NULL is a no-op */

#endif
