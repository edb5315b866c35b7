/*
 * csv_reader.h - records of a CSV file (RFC 4180, and what is found in its place): any delimiter,
 * LF, CRLF, or CR where there is no LF, a byte order mark skipped, quotes inside an unquoted field taken
 * as they stand.
 *
 * Place.   text_input.h gives bytes, this records, import_load.c rows.
 *
 * Invariants
 *   C1  Every byte of the input belongs to exactly one record or blank line: nothing is lost.
 *   C2  A record that is malformed is given with what is wrong and its bytes. If its quote is never
 *       closed, and not more than CSV_RECORD_MAX are left, it is its first line only, and reading goes
 *       on with the next.
 *   C3  A record that is longer than CSV_RECORD_MAX is malformed, and of its bytes only the first are
 *       given. It ends where it ends all the same, if need be with the input: what is inside it is
 *       never taken for records.
 *   C4  Memory is bounded by CSV_RECORD_MAX and CSV_FIELDS_MAX; time is linear in the input.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_CSV_READER_H
#define VARVE_TOOL_CSV_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/varve/text_input.h"

#define CSV_RECORD_MAX ((size_t)16 << 20)
#define CSV_SHOWN_MAX ((size_t)64 << 10) /* of a record that is too long */
#define CSV_FIELDS_MAX 4096u
#define CSV_DELIMITERS ",;\t|" /* of these the most frequent in the first line, if none is given */

struct csv_field {
    const char *text;
    size_t size;
    bool quoted;
};

struct csv_record {
    const struct csv_field *fields; /* borrowed until the next call */
    uint32_t n_fields;
    uint64_t line;     /* of its first byte, from 1 */
    const char *bytes; /* as they stand in the file, without the line end */
    size_t size;
    const char *fault; /* NULL, or what is wrong: then there are no fields */
};

enum csv_result {
    CSV_RECORD,
    CSV_END,
    CSV_QUIET,  /* csv_reader_watch() */
    CSV_FAILED, /* csv_reader_fault() */
};

struct csv_reader;

/* `delimiter` 0: among , ; tab | the one that the first line has most of. The input is borrowed.
 * NULL: no memory. */
struct csv_reader *csv_reader_new(struct text_input *input, char delimiter);
/* Over a copy of `size` bytes of memory, as if they were a file whose lines end with LF. */
struct csv_reader *csv_reader_of_text(const char *text, size_t size, char delimiter);
void csv_reader_free(struct csv_reader *reader); /* NULL is a no-op */

enum csv_result csv_reader_next(struct csv_reader *reader, struct csv_record *ret_record);
const char *csv_reader_fault(const struct csv_reader *reader);
char csv_reader_delimiter(const struct csv_reader *reader);
uint64_t csv_reader_blank_lines(const struct csv_reader *reader);
bool csv_reader_ends_in_cr(const struct csv_reader *reader); /* known with the first record */
uint64_t csv_reader_line(const struct csv_reader *reader);   /* behind the last record */
/* Bytes of the input up to the end of the last record. */
uint64_t csv_reader_position(const struct csv_reader *reader);

/* Of an input that may pause, as a pipe does: about once a second, and only when no record is there,
 * csv_reader_next() says CSV_QUIET. */
void csv_reader_watch(struct csv_reader *reader);

/* Remember this place; csv_reader_rewind() comes back to it, once. In between one record is given if
 * there is one, and others as long as they are within some CSV_SAMPLE_BYTES and, of an input that is
 * watched, come within a second: then csv_reader_next() says CSV_END. Not over a text in memory. */
#ifndef CSV_SAMPLE_BYTES
#define CSV_SAMPLE_BYTES ((size_t)4 << 20)
#endif
void csv_reader_mark(struct csv_reader *reader);
void csv_reader_rewind(struct csv_reader *reader);

#endif
