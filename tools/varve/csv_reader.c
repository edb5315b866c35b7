/*
 * csv_reader.c - see csv_reader.h.
 *
 * The buffer holds [begin, end) of the input. A record is scanned in one pass over it; if it does
 * not end inside, more is read and the pass starts again, with twice the room, so that the work
 * stays linear. A record that is too long is gone through once more, byte by byte, by a machine with
 * five states that needs no room.
 *
 * A record whose quote stays open has been scanned to the end of the input, and only its first line is
 * taken. The next line is not scanned so far again, and needs not to be: every line behind it was gone
 * through inside of quotes, and from none of them did that end. So a quote that is open at the end of
 * one of these lines is never closed, whichever record opened it.
 */
#include "tools/varve/csv_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/progress_line.h"

#ifndef CSV_BUFFER_BYTES /* a test may want to see its end often */
#define CSV_BUFFER_BYTES ((size_t)1 << 20)
#endif
#define WATCH_S 1.0

_Static_assert(CSV_SHOWN_MAX <= CSV_RECORD_MAX, "a record that is too long has that many bytes");

struct csv_reader {
    struct text_input *input; /* NULL: over a text */
    char *buffer;
    size_t capacity;
    size_t begin, end;
    uint64_t base; /* position in the input of the buffer's first byte */
    /* Position of a line: a quote that is open where it begins, or where a later one does, is never
     * closed. UINT64_MAX: nothing is known yet. */
    uint64_t open_from;
    bool ended;  /* nothing follows `end` */
    bool broken; /* what follows cannot be read */
    bool started;
    char delimiter;
    char newline; /* the last byte of a line: LF, or CR */
    uint64_t line;
    uint64_t blank_lines;
    bool marked;
    size_t mark;
    uint64_t mark_line, mark_blank_lines;
    uint32_t since_mark; /* records */
    bool watching;
    bool quiet;       /* a second has passed since `watched_s`: not told yet */
    double watched_s; /* when that was told last */
    struct csv_field *fields;
    uint32_t fields_capacity;
    char *unquoted; /* fields in which quotes were doubled */
    size_t unquoted_size, unquoted_capacity;
    char *head; /* of a record that is too long; NULL: there was none */
    char too_long[160];
    const char *fault;
};

/* What one pass over the bytes from `begin` found. */
struct pass {
    size_t at; /* first byte behind the record and its line end */
    const char *bytes;
    size_t size; /* of the record */
    uint32_t n_fields;
    uint64_t lines;
    const char *fault;
};

static struct csv_reader *reader_new(char delimiter)
{
    struct csv_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->delimiter = delimiter;
    reader->newline = '\n';
    reader->line = 1;
    reader->open_from = UINT64_MAX;
    reader->fields_capacity = 64;
    reader->fields = calloc(reader->fields_capacity, sizeof *reader->fields);
    if (reader->fields == NULL) {
        free(reader);
        return NULL;
    }
    return reader;
}

struct csv_reader *csv_reader_new(struct text_input *input, char delimiter)
{
    struct csv_reader *reader = reader_new(delimiter);

    if (reader == NULL)
        return NULL;
    reader->input = input;
    reader->capacity = CSV_BUFFER_BYTES;
    reader->buffer = malloc(reader->capacity);
    if (reader->buffer == NULL) {
        csv_reader_free(reader);
        return NULL;
    }
    return reader;
}

struct csv_reader *csv_reader_of_text(const char *text, size_t size, char delimiter)
{
    struct csv_reader *reader = reader_new(delimiter);

    if (reader == NULL)
        return NULL;
    reader->capacity = size + 1;
    reader->buffer = malloc(reader->capacity);
    if (reader->buffer == NULL) {
        csv_reader_free(reader);
        return NULL;
    }
    memcpy(reader->buffer, text, size);
    reader->end = size;
    reader->ended = true;
    return reader;
}

void csv_reader_free(struct csv_reader *reader)
{
    if (reader == NULL)
        return;
    free(reader->buffer);
    free(reader->fields);
    free(reader->unquoted);
    free(reader->head);
    free(reader);
}

/* ------------------------------------------------------------------------------------- Buffer */

static void watch_again(struct csv_reader *reader)
{
    reader->quiet = false;
    if (reader->watching)
        reader->watched_s = progress_now_s();
}

/* Whether it is time to give what is there; else a read may wait for the rest of the second. */
static bool is_quiet(struct csv_reader *reader)
{
    if (!reader->watching)
        return false;
    const double left = reader->watched_s + WATCH_S - progress_now_s();
    reader->quiet = left <= 0;
    if (!reader->quiet)
        text_input_set_patience(reader->input, (int)(left * 1000) + 1);
    return reader->quiet;
}

/* The input has failed. What was read before is given, as far as it is verified; then the failure is.
 * False: that is now. */
static bool keep_verified(struct csv_reader *reader)
{
    const uint64_t verified = text_input_verified(reader->input);
    const uint64_t begin = reader->base + reader->begin;

    if (verified < reader->base + reader->end)
        reader->end = verified > begin ? (size_t)(verified - reader->base) : reader->begin;
    reader->broken = true;
    if (reader->end > reader->begin)
        return true;
    reader->fault = text_input_fault(reader->input);
    return false;
}

/* Read more behind `end`, after making room. False: failure. */
static bool read_more(struct csv_reader *reader)
{
    const size_t keep = reader->marked ? reader->mark : reader->begin;

    if (reader->broken) {
        reader->fault = text_input_fault(reader->input);
        return false;
    }

    if (keep > 0) {
        memmove(reader->buffer, reader->buffer + keep, reader->end - keep);
        reader->begin -= keep;
        reader->end -= keep;
        reader->base += keep;
        reader->mark = 0;
    }
    if (reader->end > reader->capacity / 2) {
        const size_t larger = reader->capacity * 2;
        char *buffer = realloc(reader->buffer, larger);
        if (buffer == NULL) {
            reader->fault = "out of memory";
            return false;
        }
        reader->buffer = buffer;
        reader->capacity = larger;
    }
    /* To the brim: what a pipe gives in small pieces is scanned once, not once a piece. */
    while (reader->end < reader->capacity && !reader->ended && !is_quiet(reader)) {
        const int64_t n = text_input_read(reader->input, (uint8_t *)reader->buffer + reader->end,
                                          reader->capacity - reader->end);
        if (n == TEXT_INPUT_QUIET)
            continue;
        if (n < 0)
            return keep_verified(reader);
        reader->ended = n == 0;
        reader->end += (size_t)n;
    }
    return true;
}

/* More for the next record. CSV_RECORD: there may be; CSV_QUIET, CSV_END: first tell the caller. */
static enum csv_result want_more(struct csv_reader *reader)
{
    const bool was_quiet = reader->quiet;

    if (reader->marked && reader->since_mark > 0 &&
        (reader->end - reader->mark >= CSV_SAMPLE_BYTES ||
         (was_quiet && reader->since_mark > 1))) /* a header alone is no sample */
        return CSV_END;
    if (was_quiet)
        watch_again(reader);
    if (was_quiet && !reader->marked)
        return CSV_QUIET;
    return read_more(reader) ? CSV_RECORD : CSV_FAILED;
}

/* -------------------------------------------------------------------------------- First bytes */

static char likely_delimiter(const char *text, size_t size, char newline)
{
    static const char candidates[] = CSV_DELIMITERS;
    enum { N = sizeof candidates - 1 };
    size_t counts[N] = {0};
    size_t best = 0;
    bool quoted = false;

    for (size_t i = 0; i < size && (quoted || text[i] != newline); i++) {
        quoted ^= text[i] == '"';
        for (size_t c = 0; c < N; c++)
            counts[c] += !quoted && text[i] == candidates[c];
    }
    for (size_t c = 1; c < N; c++)
        if (counts[c] > counts[best])
            best = c;
    return candidates[best];
}

/* The first bytes, with the first line if it is not too long. */
static bool read_first(struct csv_reader *reader)
{
    while (!reader->ended && reader->end < CSV_BUFFER_BYTES &&
           memchr(reader->buffer, '\n', reader->end) == NULL) {
        watch_again(reader);
        if (!read_more(reader))
            return false;
    }
    return true;
}

static bool start(struct csv_reader *reader)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};

    if (!read_first(reader))
        return false;
    if (reader->end >= sizeof mark && memcmp(reader->buffer, mark, sizeof mark) == 0)
        reader->begin = sizeof mark;
    const char *const text = reader->buffer + reader->begin;
    const size_t size = reader->end - reader->begin;
    if (reader->input != NULL && memchr(text, '\n', size) == NULL &&
        memchr(text, '\r', size) != NULL)
        reader->newline = '\r';
    if (reader->delimiter == '\0')
        reader->delimiter = likely_delimiter(text, size, reader->newline);
    reader->started = true;
    return true;
}

/* ------------------------------------------------------------------------------------ Records */

/* Room for one more field. False: no memory; or there may be no more, which is the pass's fault. */
static bool more_fields(struct csv_reader *reader, struct pass *pass)
{
    if (reader->fields_capacity >= CSV_FIELDS_MAX) {
        pass->fault = "too many fields";
        return true;
    }
    struct csv_field *fields =
        realloc(reader->fields, sizeof *fields * 2 * reader->fields_capacity);
    if (fields == NULL)
        return false;
    reader->fields = fields;
    reader->fields_capacity *= 2;
    return true;
}

static inline bool add_field(struct csv_reader *reader, struct pass *pass, const char *text,
                             size_t size, bool quoted)
{
    if (pass->n_fields == reader->fields_capacity &&
        (!more_fields(reader, pass) || pass->fault != NULL))
        return pass->fault != NULL;
    reader->fields[pass->n_fields++] = (struct csv_field){text, size, quoted};
    return true;
}

/* Copy a quoted field whose quotes are doubled. There is room: unquoted_capacity >= the record. */
static const char *undouble(struct csv_reader *reader, const char *text, size_t size,
                            size_t *ret_size)
{
    char *const out = reader->unquoted + reader->unquoted_size;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        out[n++] = text[i];
        i += text[i] == '"'; /* the one behind it is its double */
    }
    reader->unquoted_size += n;
    *ret_size = n;
    return out;
}

/* Room for everything that undouble() may copy out of `size` bytes; the place never moves during a
 * pass. */
static bool reserve_unquoted(struct csv_reader *reader, size_t size)
{
    if (reader->unquoted_capacity >= size)
        return true;
    char *unquoted = malloc(size);
    if (unquoted == NULL)
        return false;
    free(reader->unquoted);
    reader->unquoted = unquoted;
    reader->unquoted_capacity = size;
    return true;
}

/* The end of a quoted field whose text begins at `at`: the position of its closing quote, or `end`.
 */
static size_t closing_quote(const char *text, size_t at, size_t end, bool *ret_doubled)
{
    *ret_doubled = false;
    while (at < end) {
        const char *quote = memchr(text + at, '"', end - at);
        if (quote == NULL)
            return end;
        at = (size_t)(quote - text);
        if (at + 1 >= end || text[at + 1] != '"')
            return at;
        *ret_doubled = true;
        at += 2;
    }
    return end;
}

static uint64_t count_lines(const char *text, size_t size, char newline)
{
    uint64_t lines = 0;

    for (const char *at = text; (at = memchr(at, newline, (size_t)(text + size - at))) != NULL;
         at++)
        lines++;
    return lines;
}

/* How far a quoted field of the record at `begin` may go: to the end of the line if it is known to stay
 * open behind that, else to the end of the buffer. */
static size_t quoted_limit(const struct csv_reader *reader)
{
    if (reader->base + reader->begin < reader->open_from)
        return reader->end;
    const char *const text = reader->buffer + reader->begin;
    const char *line_end = memchr(text, reader->newline, reader->end - reader->begin);
    return line_end == NULL ? reader->end : (size_t)(line_end - reader->buffer);
}

/* One quoted field at `*at` (its opening quote), which must close before `end`. False: no memory. */
static bool take_quoted(struct csv_reader *reader, struct pass *pass, size_t end, size_t *at,
                        bool *ret_open)
{
    const char *const text = reader->buffer;
    const size_t from = *at + 1;
    bool doubled;
    size_t close = closing_quote(text, from, end, &doubled);
    size_t size;

    *ret_open = close == end;
    if (*ret_open)
        return true;
    if (doubled && (reader->unquoted_size > 0 || reserve_unquoted(reader, end - reader->begin))) {
        /* Reserved at the first such field of the record, for all of them. */
        const char *copy = undouble(reader, text + from, close - from, &size);
        if (!add_field(reader, pass, copy, size, true))
            return false;
    } else if (doubled || !add_field(reader, pass, text + from, close - from, true)) {
        return false;
    }
    pass->lines += count_lines(text + from, close - from, reader->newline);
    *at = close + 1;
    if (*at < end && text[*at] == '\r' && reader->newline == '\n' &&
        (*at + 1 == end || text[*at + 1] == '\n'))
        ++*at;
    if (*at < end && text[*at] != reader->delimiter && text[*at] != reader->newline) {
        pass->fault = "text behind a closing quote";
        const char *line_end = memchr(text + *at, reader->newline, end - *at);
        *at = line_end == NULL ? end : (size_t)(line_end - text);
    }
    return true;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (unsigned char)(byte))

/* The highest bit of a byte that is zero, right for the first such byte. */
static uint64_t zero_byte(uint64_t word)
{
    return (word - EACH(1)) & ~word & EACH(0x80);
}

/* Where the delimiter or the line ends that field: eight bytes at a time. */
static size_t unquoted_end(const char *text, size_t at, size_t end, char delimiter, char newline)
{
    while (end - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        const uint64_t found = zero_byte(word ^ EACH(delimiter)) | zero_byte(word ^ EACH(newline));
        if (found != 0)
            return at + (size_t)__builtin_ctzll(found) / 8;
        at += sizeof word;
    }
    while (at < end && text[at] != delimiter && text[at] != newline)
        at++;
    return at;
}

/*
 * Scan the record at `begin`. CSV_RECORD; CSV_END: it does not end before `end`, and `ret_open`
 * says whether in a quoted field, or its quote is known never to be closed; CSV_FAILED: no memory.
 */
static enum csv_result scan_record(struct csv_reader *reader, struct pass *pass, bool *ret_open)
{
    const char *const text = reader->buffer;
    const size_t end = reader->end, limit = quoted_limit(reader);
    size_t at = reader->begin;

    *pass = (struct pass){.bytes = text + at, .lines = 1};
    *ret_open = false;
    reader->unquoted_size = 0;
    for (;;) {
        if (at < end && text[at] == '"') {
            if (!take_quoted(reader, pass, limit, &at, ret_open))
                return CSV_FAILED;
            if (*ret_open)
                return CSV_END;
        } else {
            const size_t from = at;
            at = unquoted_end(text, at, end, reader->delimiter, reader->newline);
            const bool last = at == end || text[at] == reader->newline;
            const size_t size = at - from - (last && at > from && text[at - 1] == '\r');
            if (!add_field(reader, pass, text + from, size, false))
                return CSV_FAILED;
        }
        if (at == end && !reader->ended)
            return CSV_END;
        if (at == end || text[at] == reader->newline)
            break;
        at++; /* the delimiter */
    }
    pass->size = at - reader->begin;
    if (pass->size > 0 && text[reader->begin + pass->size - 1] == '\r')
        pass->size--;
    pass->at = at < end ? at + 1 : at;
    return CSV_RECORD;
}

/* A record whose quote stays open: its first line is what is refused. */
static void take_broken_line(struct csv_reader *reader, struct pass *pass)
{
    const char *const text = reader->buffer + reader->begin;
    const size_t left = reader->end - reader->begin;
    const char *line_end = memchr(text, reader->newline, left);
    const size_t size = line_end == NULL ? left : (size_t)(line_end - text);

    *pass = (struct pass){.at = reader->begin + size + (line_end != NULL),
                          .bytes = text,
                          .size = size,
                          .lines = line_end != NULL,
                          .fault = "the quote is not closed"};
    if (reader->base + pass->at < reader->open_from) /* it was scanned to the end */
        reader->open_from = reader->base + pass->at;
}

/* ------------------------------------------------------------------------------------ Too long */

enum place {
    FIELD_BEGIN,
    UNQUOTED,
    QUOTED,
    QUOTE, /* in a quoted field: it closes it, or is the first of two */
    REST,  /* of the line, behind a closing quote */
};

/* Move `begin` to the end of the record, behind its line end. False: it goes on behind `end`. */
static bool find_end(struct csv_reader *reader, enum place *place, uint64_t *lines)
{
    enum place now = *place;

    while (reader->begin < reader->end) {
        const char c = reader->buffer[reader->begin++];
        *lines += c == reader->newline;
        if (now == QUOTED)
            now = c == '"' ? QUOTE : QUOTED;
        else if (c == reader->newline)
            return true;
        else if (now == REST)
            continue;
        else if (c == '"' && now != UNQUOTED)
            now = QUOTED;
        else if (c == reader->delimiter)
            now = FIELD_BEGIN;
        else
            now = now == QUOTE ? REST : UNQUOTED;
    }
    *place = now;
    return false;
}

/* Go on to the end of the record that begins at `begin`, and forget all but its first bytes. */
static enum csv_result skip_record(struct csv_reader *reader, struct pass *pass)
{
    enum place place = FIELD_BEGIN;
    uint64_t lines = 0;

    if (reader->head == NULL)
        reader->head = malloc(CSV_SHOWN_MAX);
    if (reader->head == NULL) {
        reader->fault = "out of memory";
        return CSV_FAILED;
    }
    memcpy(reader->head, reader->buffer + reader->begin, CSV_SHOWN_MAX);
    bool found = find_end(reader, &place, &lines);
    while (!found && !reader->ended) {
        watch_again(reader);
        if (!read_more(reader))
            return CSV_FAILED;
        found = find_end(reader, &place, &lines);
    }
    (void)snprintf(reader->too_long, sizeof reader->too_long,
                   "the record is longer than %zu MiB: %s line %" PRIu64
                   "; its first %zu KiB are kept",
                   CSV_RECORD_MAX >> 20,
                   !found && place == QUOTED ? "a quote is not closed up to the end of the file,"
                                             : "it ends in",
                   reader->line + lines - found, CSV_SHOWN_MAX >> 10);
    *pass = (struct pass){.at = reader->begin,
                          .bytes = reader->head,
                          .size = CSV_SHOWN_MAX,
                          .lines = lines,
                          .fault = reader->too_long};
    return CSV_RECORD;
}

/* A record that is longer than any may be begins at `begin`. While a place is marked nothing can be
 * forgotten: it is given as it is, and the place is what is read next. */
static enum csv_result take_long(struct csv_reader *reader, struct pass *pass)
{
    if (!reader->marked)
        return skip_record(reader, pass);
    *pass = (struct pass){.at = reader->end,
                          .bytes = reader->buffer + reader->begin,
                          .size = CSV_SHOWN_MAX,
                          .fault = "it is longer than any may be (16 MiB)"};
    return CSV_RECORD;
}

static enum csv_result find_record(struct csv_reader *reader, struct pass *pass)
{
    for (;;) {
        bool open;
        const enum csv_result result = scan_record(reader, pass, &open);
        if (result == CSV_FAILED) {
            reader->fault = "out of memory";
            return CSV_FAILED;
        }
        if (result == CSV_RECORD)
            return pass->size > CSV_RECORD_MAX ? take_long(reader, pass) : CSV_RECORD;
        if (reader->end - reader->begin > CSV_RECORD_MAX)
            return take_long(reader, pass);
        if (reader->ended) {
            take_broken_line(reader, pass);
            return CSV_RECORD;
        }
        const enum csv_result more = want_more(reader);
        if (more != CSV_RECORD)
            return more;
    }
}

static void set_mark(struct csv_reader *reader)
{
    reader->mark = reader->begin;
    reader->mark_line = reader->line;
    reader->mark_blank_lines = reader->blank_lines;
}

enum csv_result csv_reader_next(struct csv_reader *reader, struct csv_record *ret_record)
{
    struct pass pass;

    if (reader->fault != NULL || (!reader->started && !start(reader)))
        return CSV_FAILED;
    for (;;) {
        if (reader->begin == reader->end && reader->ended)
            return CSV_END;
        const bool empty = reader->begin == reader->end;
        const enum csv_result result = empty ? want_more(reader) : find_record(reader, &pass);
        if (result != CSV_RECORD)
            return result;
        if (empty)
            continue;
        const uint64_t line = reader->line;
        reader->begin = pass.at;
        reader->line += pass.lines;
        if (pass.size == 0 && pass.fault == NULL) {
            reader->blank_lines++;
            if (reader->marked && reader->since_mark == 0)
                set_mark(reader); /* the place is that of the first record */
            continue;
        }
        reader->since_mark++;
        *ret_record = (struct csv_record){.fields = reader->fields,
                                          .n_fields = pass.fault == NULL ? pass.n_fields : 0,
                                          .line = line,
                                          .bytes = pass.bytes,
                                          .size = pass.size,
                                          .fault = pass.fault};
        return CSV_RECORD;
    }
}

const char *csv_reader_fault(const struct csv_reader *reader)
{
    return reader->fault == NULL ? "" : reader->fault;
}

char csv_reader_delimiter(const struct csv_reader *reader)
{
    return reader->delimiter;
}

uint64_t csv_reader_blank_lines(const struct csv_reader *reader)
{
    return reader->blank_lines;
}

bool csv_reader_ends_in_cr(const struct csv_reader *reader)
{
    return reader->newline == '\r';
}

uint64_t csv_reader_line(const struct csv_reader *reader)
{
    return reader->line;
}

uint64_t csv_reader_position(const struct csv_reader *reader)
{
    return reader->base + reader->begin;
}

void csv_reader_watch(struct csv_reader *reader)
{
    reader->watching = true;
    watch_again(reader);
}

void csv_reader_mark(struct csv_reader *reader)
{
    assert(!reader->marked);
    if (!reader->started && reader->fault == NULL)
        (void)start(reader); /* the next record reports its failure */
    reader->marked = true;
    reader->since_mark = 0;
    set_mark(reader);
    watch_again(reader);
}

void csv_reader_rewind(struct csv_reader *reader)
{
    assert(reader->marked);
    reader->marked = false;
    reader->begin = reader->mark;
    reader->line = reader->mark_line;
    reader->blank_lines = reader->mark_blank_lines;
}
