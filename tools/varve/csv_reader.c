/*
 * csv_reader.c - see csv_reader.h.
 *
 * The buffer holds [begin, end) of the input. A record is scanned in one pass over it; if it does
 * not end inside, more is read and the pass starts again, with twice the room, so that the work
 * stays linear.
 */
#include "tools/varve/csv_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)1 << 20)

struct csv_reader {
    struct text_input *input; /* NULL: over a text */
    char *buffer;
    bool owns_buffer;
    size_t capacity;
    size_t begin, end;
    bool ended; /* nothing follows `end` */
    bool started;
    char delimiter;
    uint64_t line;
    uint64_t blank_lines;
    bool marked;
    size_t mark;
    uint64_t mark_line, mark_blank_lines;
    struct csv_field *fields;
    uint32_t fields_capacity;
    char *unquoted; /* fields in which quotes were doubled */
    size_t unquoted_size, unquoted_capacity;
    const char *fault;
};

/* What one pass over the bytes from `begin` found. */
struct pass {
    size_t at;   /* first byte behind the record and its line end */
    size_t size; /* of the record */
    uint32_t n_fields;
    uint64_t lines;
    const char *fault;
    bool no_memory;
};

static struct csv_reader *reader_new(char delimiter)
{
    struct csv_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->delimiter = delimiter;
    reader->line = 1;
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
    reader->owns_buffer = true;
    reader->capacity = BUFFER_BYTES;
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
    reader->owns_buffer = true;
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
    if (reader->owns_buffer)
        free(reader->buffer);
    free(reader->fields);
    free(reader->unquoted);
    free(reader);
}

/* ------------------------------------------------------------------------------------- Buffer */

/* Read more behind `end`, after making room. False: failure, or no room is allowed any more
 * (`fault` is set only for the former). */
static bool read_more(struct csv_reader *reader)
{
    const size_t keep = reader->marked ? reader->mark : reader->begin;

    if (keep > 0) {
        memmove(reader->buffer, reader->buffer + keep, reader->end - keep);
        reader->begin -= keep;
        reader->end -= keep;
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
    while (reader->end < reader->capacity && !reader->ended) {
        const int64_t n = text_input_read(reader->input, (uint8_t *)reader->buffer + reader->end,
                                          reader->capacity - reader->end);
        if (n < 0) {
            reader->fault = text_input_fault(reader->input);
            return false;
        }
        reader->ended = n == 0;
        reader->end += (size_t)n;
    }
    return true;
}

/* -------------------------------------------------------------------------------- First bytes */

static char likely_delimiter(const char *text, size_t size)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    size_t counts[sizeof candidates] = {0};
    size_t best = 0;
    bool quoted = false;

    for (size_t i = 0; i < size && (quoted || text[i] != '\n'); i++) {
        quoted ^= text[i] == '"';
        for (size_t c = 0; c < sizeof candidates; c++)
            counts[c] += !quoted && text[i] == candidates[c];
    }
    for (size_t c = 1; c < sizeof candidates; c++)
        if (counts[c] > counts[best])
            best = c;
    return candidates[best];
}

static bool start(struct csv_reader *reader)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};

    if (reader->end == 0 && !reader->ended && !read_more(reader))
        return false;
    if (reader->end >= sizeof mark && memcmp(reader->buffer, mark, sizeof mark) == 0)
        reader->begin = sizeof mark;
    if (reader->delimiter == '\0')
        reader->delimiter =
            likely_delimiter(reader->buffer + reader->begin, reader->end - reader->begin);
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

static uint64_t count_lines(const char *text, size_t size)
{
    uint64_t lines = 0;

    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + size - at))) != NULL; at++)
        lines++;
    return lines;
}

/* One quoted field at `*at` (its opening quote). False: no memory. */
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
    pass->lines += count_lines(text + from, close - from);
    *at = close + 1;
    if (*at < end && text[*at] == '\r' && (*at + 1 == end || text[*at + 1] == '\n'))
        ++*at;
    if (*at < end && text[*at] != reader->delimiter && text[*at] != '\n') {
        pass->fault = "text behind a closing quote";
        const char *line_end = memchr(text + *at, '\n', end - *at);
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
static size_t unquoted_end(const char *text, size_t at, size_t end, char delimiter)
{
    while (end - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + at, sizeof word);
        const uint64_t found = zero_byte(word ^ EACH(delimiter)) | zero_byte(word ^ EACH('\n'));
        if (found != 0)
            return at + (size_t)__builtin_ctzll(found) / 8;
        at += sizeof word;
    }
    while (at < end && text[at] != delimiter && text[at] != '\n')
        at++;
    return at;
}

/*
 * Scan the record at `begin`. CSV_RECORD; CSV_END: it does not end before `end`, and `ret_open`
 * says whether in a quoted field; CSV_FAILED: no memory.
 */
static enum csv_result scan_record(struct csv_reader *reader, struct pass *pass, bool *ret_open)
{
    const char *const text = reader->buffer;
    const size_t end = reader->end;
    size_t at = reader->begin;

    *pass = (struct pass){.lines = 1};
    *ret_open = false;
    reader->unquoted_size = 0;
    for (;;) {
        if (at < end && text[at] == '"') {
            if (!take_quoted(reader, pass, end, &at, ret_open))
                return CSV_FAILED;
            if (*ret_open)
                return CSV_END;
        } else {
            const size_t from = at;
            at = unquoted_end(text, at, end, reader->delimiter);
            const bool last = at == end || text[at] == '\n';
            const size_t size = at - from - (last && at > from && text[at - 1] == '\r');
            if (!add_field(reader, pass, text + from, size, false))
                return CSV_FAILED;
        }
        if (at == end && !reader->ended)
            return CSV_END;
        if (at == end || text[at] == '\n')
            break;
        at++; /* the delimiter */
    }
    pass->size = at - reader->begin;
    if (pass->size > 0 && text[reader->begin + pass->size - 1] == '\r')
        pass->size--;
    pass->at = at < end ? at + 1 : at;
    return CSV_RECORD;
}

/* A record whose quote stays open, or that is too long: its first line is what is refused. */
static void take_broken_line(struct csv_reader *reader, struct pass *pass, const char *fault)
{
    const char *const text = reader->buffer + reader->begin;
    const size_t left = reader->end - reader->begin;
    const char *line_end = memchr(text, '\n', left);
    const size_t size = line_end == NULL ? left : (size_t)(line_end - text);

    *pass = (struct pass){.at = reader->begin + size + (line_end != NULL),
                          .size = size,
                          .lines = line_end != NULL,
                          .fault = fault};
}

static enum csv_result find_record(struct csv_reader *reader, struct pass *pass)
{
    for (;;) {
        bool open;
        const enum csv_result result = scan_record(reader, pass, &open);
        if (result == CSV_RECORD)
            return CSV_RECORD;
        if (result == CSV_FAILED) {
            reader->fault = "out of memory";
            return CSV_FAILED;
        }
        if (reader->marked && reader->end - reader->mark >= CSV_SAMPLE_BYTES)
            return CSV_END;
        if (reader->ended || reader->end - reader->begin >= CSV_RECORD_MAX) {
            take_broken_line(reader, pass,
                             open ? "the quote is not closed" : "the record is too long");
            return CSV_RECORD;
        }
        if (!read_more(reader))
            return CSV_FAILED;
    }
}

enum csv_result csv_reader_next(struct csv_reader *reader, struct csv_record *ret_record)
{
    struct pass pass;

    if (reader->fault != NULL || (!reader->started && !start(reader)))
        return CSV_FAILED;
    for (;;) {
        if (reader->begin == reader->end && reader->ended)
            return CSV_END;
        if (reader->begin == reader->end) {
            if (reader->marked && reader->end - reader->mark >= CSV_SAMPLE_BYTES)
                return CSV_END;
            if (!read_more(reader))
                return CSV_FAILED;
            continue;
        }
        const enum csv_result result = find_record(reader, &pass);
        if (result != CSV_RECORD)
            return result;
        const char *const bytes = reader->buffer + reader->begin;
        const uint64_t line = reader->line;
        reader->begin = pass.at;
        reader->line += pass.lines;
        if (pass.size == 0 && pass.fault == NULL) {
            reader->blank_lines++;
            continue;
        }
        *ret_record = (struct csv_record){.fields = reader->fields,
                                          .n_fields = pass.fault == NULL ? pass.n_fields : 0,
                                          .line = line,
                                          .bytes = bytes,
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

void csv_reader_mark(struct csv_reader *reader)
{
    assert(!reader->marked);
    if (!reader->started && reader->fault == NULL)
        (void)start(reader); /* the next record reports its failure */
    reader->marked = true;
    reader->mark = reader->begin;
    reader->mark_line = reader->line;
    reader->mark_blank_lines = reader->blank_lines;
}

void csv_reader_rewind(struct csv_reader *reader)
{
    assert(reader->marked);
    reader->marked = false;
    reader->begin = reader->mark;
    reader->line = reader->mark_line;
    reader->blank_lines = reader->mark_blank_lines;
}
