/*
 * row_printer.c - see row_printer.h.
 */
#include "tools/varve/row_printer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_gen.h>

#include "tools/varve/csv_reader.h"
#include "tools/varve/table_layout.h"

#define CELL_BYTES 256

/* A growing piece of text. */
struct text {
    char *bytes;
    size_t size, capacity;
};

struct row_printer {
    FILE *out;
    enum row_format format;
    uint32_t value_flags;
    const char *const *names;
    uint32_t n_columns;
    bool started;
    bool failed; /* no memory */
    struct text cell;
    yajl_gen json;
    /* table: the cells of one view, and where each ends */
    struct text page;
    size_t *cell_ends;
    size_t *widths;
    bool *right; /* numbers */
};

static const struct {
    const char *name;
    enum row_format format;
} formats[] = {
    {"table", ROW_FORMAT_TABLE},       {"csv", ROW_FORMAT_CSV},     {"tsv", ROW_FORMAT_TSV},
    {"json", ROW_FORMAT_JSON},         {"jsonl", ROW_FORMAT_JSONL}, {"line", ROW_FORMAT_LINE},
    {"markdown", ROW_FORMAT_MARKDOWN}, {"none", ROW_FORMAT_NONE},
};

bool row_format_parse(const char *name, enum row_format *ret_format)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0) {
            *ret_format = formats[i].format;
            return true;
        }
    return false;
}

static bool text_reserve(struct text *text, size_t more)
{
    if (text->capacity - text->size >= more)
        return true;
    size_t capacity = text->capacity == 0 ? 4096 : text->capacity;
    while (capacity - text->size < more)
        capacity *= 2;
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL)
        return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

/* A stream that cannot be written shows in ferror(out); yajl needs no answer. */
static void print_json(void *ctx, const char *text, size_t size)
{
    FILE *out = ctx;

    (void)fwrite(text, 1, size, out);
}

struct row_printer *row_printer_new(FILE *out, enum row_format format, uint32_t value_flags,
                                    const char *const *names, uint32_t n_columns)
{
    struct row_printer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return NULL;
    if (format == ROW_FORMAT_AUTO)
        format = isatty(fileno(out)) == 1 ? ROW_FORMAT_TABLE : ROW_FORMAT_CSV;
    writer->out = out;
    writer->format = format;
    writer->value_flags = value_flags;
    writer->names = names;
    writer->n_columns = n_columns;
    bool good = text_reserve(&writer->cell, CELL_BYTES);
    if (format == ROW_FORMAT_JSON || format == ROW_FORMAT_JSONL) {
        writer->json = yajl_gen_alloc(NULL);
        good &= writer->json != NULL &&
                yajl_gen_config(writer->json, yajl_gen_print_callback, print_json, out) != 0;
    }
    writer->widths = calloc(n_columns + 1, sizeof *writer->widths);
    writer->right = calloc(n_columns + 1, sizeof *writer->right);
    writer->cell_ends = calloc((size_t)1024 * n_columns + 1, sizeof *writer->cell_ends);
    good &= writer->widths != NULL && writer->right != NULL && writer->cell_ends != NULL;
    if (!good) {
        row_printer_free(writer);
        return NULL;
    }
    return writer;
}

void row_printer_free(struct row_printer *writer)
{
    if (writer == NULL)
        return;
    if (writer->json != NULL)
        yajl_gen_free(writer->json);
    free(writer->cell.bytes);
    free(writer->page.bytes);
    free(writer->widths);
    free(writer->right);
    free(writer->cell_ends);
    free(writer);
}

/* ---------------------------------------------------------------------------------------- Cells */

/* A value's text: in the value itself, or in writer->cell. NULL: no memory. */
static const char *cell_text(struct row_printer *writer, const varve_value *value, size_t *ret_size)
{
    if (value->presence != VARVE_SET) {
        *ret_size = 0;
        return "";
    }
    if (value->type == VARVE_TEXT) {
        *ret_size = value->as.bytes.size;
        return *ret_size == 0 ? "" : value->as.bytes.data;
    }
    size_t size =
        varve_value_format(value, writer->value_flags, writer->cell.bytes, writer->cell.capacity);
    if (size > writer->cell.capacity) {
        if (!text_reserve(&writer->cell, size)) {
            writer->failed = true;
            return NULL;
        }
        size = varve_value_format(value, writer->value_flags, writer->cell.bytes,
                                  writer->cell.capacity);
    }
    *ret_size = size;
    return writer->cell.bytes;
}

static bool is_number(uint8_t type)
{
    switch (type) {
    case VARVE_TINYINT:
    case VARVE_SMALLINT:
    case VARVE_INT:
    case VARVE_BIGINT:
    case VARVE_FLOAT:
    case VARVE_DOUBLE:
    case VARVE_DECIMAL:
    case VARVE_HUGEINT:
        return true;
    default:
        return false;
    }
}

/* Raw times are numbers too. */
static bool is_bare_number(const struct row_printer *writer, uint8_t type)
{
    return is_number(type) ||
           ((writer->value_flags & VARVE_FORMAT_RAW_TIME) != 0 &&
            (type == VARVE_TIMESTAMP || type == VARVE_DATE || type == VARVE_TIME));
}

/* ------------------------------------------------------------------------------------ csv, tsv */

static bool needs_quotes(const char *text, size_t size, char delimiter)
{
    if (size == 0 || (size == 2 && memcmp(text, "NA", 2) == 0))
        return true;
    for (size_t i = 0; i < size; i++)
        if (text[i] == delimiter || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
            return true;
    return text[0] == ' ' || text[size - 1] == ' ';
}

static void put_field(FILE *out, const char *text, size_t size, bool quoted)
{
    if (!quoted) {
        (void)fwrite(text, 1, size, out);
        return;
    }
    (void)putc('"', out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            (void)putc('"', out);
        (void)putc(text[i], out);
    }
    (void)putc('"', out);
}

static void csv_header(struct row_printer *writer, char delimiter)
{
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        if (c > 0)
            (void)putc(delimiter, writer->out);
        const char *const name = writer->names[c];
        const size_t size = strlen(name);
        /* Any delimiter in it would be counted by who guesses which one the file has. */
        const bool quoted = needs_quotes(name, size, delimiter) || strpbrk(name, CSV_DELIMITERS);
        put_field(writer->out, name, size, quoted);
    }
    (void)putc('\n', writer->out);
}

static bool csv_row(struct row_printer *writer, const varve_batch_view *view, uint32_t row,
                    char delimiter)
{
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        const varve_value value = varve_view_value(view, row, c);
        size_t size;
        const char *text = cell_text(writer, &value, &size);
        if (text == NULL)
            return false;
        if (c > 0)
            (void)putc(delimiter, writer->out);
        put_field(writer->out, text, size,
                  value.type == VARVE_TEXT && value.presence == VARVE_SET &&
                      needs_quotes(text, size, delimiter));
    }
    (void)putc('\n', writer->out);
    return true;
}

/* ---------------------------------------------------------------------------------------- json */

/* NaN and infinities are no numbers in JSON. */
static bool is_json_number(const struct row_printer *writer, const varve_value *value)
{
    if (value->type == VARVE_DOUBLE)
        return value->as.f64 - value->as.f64 == 0;
    if (value->type == VARVE_FLOAT)
        return value->as.f32 - value->as.f32 == 0;
    return is_bare_number(writer, value->type);
}

static bool json_value(struct row_printer *writer, const varve_value *value)
{
    size_t size;
    yajl_gen_status status;

    if (value->presence != VARVE_SET) {
        status = yajl_gen_null(writer->json);
    } else if (value->type == VARVE_BOOLEAN) {
        status = yajl_gen_bool(writer->json, value->as.i64 != 0);
    } else {
        const char *text = cell_text(writer, value, &size);
        if (text == NULL)
            return false;
        status = is_json_number(writer, value)
                     ? yajl_gen_number(writer->json, text, size)
                     : yajl_gen_string(writer->json, (const unsigned char *)text, size);
    }
    return status == yajl_gen_status_ok;
}

static bool json_row(struct row_printer *writer, const varve_batch_view *view, uint32_t row)
{
    if (writer->started)
        yajl_gen_reset(writer->json, writer->format == ROW_FORMAT_JSON ? ",\n" : "\n");
    writer->started = true;
    bool good = yajl_gen_map_open(writer->json) == yajl_gen_status_ok;
    for (uint32_t c = 0; good && c < writer->n_columns; c++) {
        const varve_value value = varve_view_value(view, row, c);
        good = yajl_gen_string(writer->json, (const unsigned char *)writer->names[c],
                               strlen(writer->names[c])) == yajl_gen_status_ok &&
               json_value(writer, &value);
    }
    return good && yajl_gen_map_close(writer->json) == yajl_gen_status_ok;
}

/* ------------------------------------------------------------------------------ line, markdown */

/* A cell with nothing in it that could command a terminal, in writer->page. NULL: no memory. */
static const char *printable_cell(struct row_printer *writer, const varve_value *value,
                                  size_t *ret_size)
{
    size_t size;
    const char *text = cell_text(writer, value, &size);

    if (text == NULL)
        return NULL;
    if (size == 0 && value->presence == VARVE_SET && value->type == VARVE_TEXT) {
        text = "\"\"";
        size = 2;
    }
    if (!text_reserve(&writer->page, 4 * size)) {
        writer->failed = true;
        return NULL;
    }
    char *const out = writer->page.bytes + writer->page.size;
    *ret_size = table_text_printable(text, size, out, 4 * size);
    return out;
}

static bool line_row(struct row_printer *writer, const varve_batch_view *view, uint32_t row)
{
    size_t width = 0;

    for (uint32_t c = 0; c < writer->n_columns; c++) {
        const size_t name = table_text_width(writer->names[c], strlen(writer->names[c]));
        width = name > width ? name : width;
    }
    if (writer->started)
        (void)putc('\n', writer->out);
    writer->started = true;
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        const varve_value value = varve_view_value(view, row, c);
        size_t size;
        const char *text = printable_cell(writer, &value, &size);
        if (text == NULL)
            return false;
        const size_t name = table_text_width(writer->names[c], strlen(writer->names[c]));
        (void)fprintf(writer->out, "%*s%s = %.*s\n", (int)(width - name), "", writer->names[c],
                      (int)size, text);
    }
    return true;
}

static void markdown_text(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '|' || text[i] == '\\')
            (void)putc('\\', out);
        (void)putc(text[i], out);
    }
}

static void markdown_header(struct row_printer *writer, const varve_batch_view *view)
{
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        (void)fputs("| ", writer->out);
        markdown_text(writer->out, writer->names[c], strlen(writer->names[c]));
        (void)putc(' ', writer->out);
    }
    (void)fputs("|\n", writer->out);
    for (uint32_t c = 0; c < writer->n_columns; c++)
        (void)fputs(view != NULL && is_bare_number(writer, view->columns[c].type) ? "| ---: "
                                                                                  : "| --- ",
                    writer->out);
    (void)fputs("|\n", writer->out);
}

static bool markdown_row(struct row_printer *writer, const varve_batch_view *view, uint32_t row)
{
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        const varve_value value = varve_view_value(view, row, c);
        size_t size;
        const char *text = printable_cell(writer, &value, &size);
        if (text == NULL)
            return false;
        (void)fputs("| ", writer->out);
        markdown_text(writer->out, text, size);
        (void)putc(' ', writer->out);
    }
    (void)fputs("|\n", writer->out);
    return true;
}

/* --------------------------------------------------------------------------------------- table */

static void put_spaces(FILE *out, size_t n)
{
    while (n-- > 0)
        (void)putc(' ', out);
}

static void table_cell(struct row_printer *writer, uint32_t column, const char *text, size_t size)
{
    const size_t width = table_text_width(text, size);
    const size_t spaces = width < writer->widths[column] ? writer->widths[column] - width : 0;
    const bool last = column + 1 == writer->n_columns;

    if (column > 0)
        (void)fputs("  ", writer->out);
    if (writer->right[column])
        put_spaces(writer->out, spaces);
    (void)fwrite(text, 1, size, writer->out);
    if (!writer->right[column] && !last)
        put_spaces(writer->out, spaces);
}

static void table_header(struct row_printer *writer)
{
    for (uint32_t c = 0; c < writer->n_columns; c++)
        table_cell(writer, c, writer->names[c], strlen(writer->names[c]));
    (void)putc('\n', writer->out);
    for (uint32_t c = 0; c < writer->n_columns; c++) {
        if (c > 0)
            (void)fputs("  ", writer->out);
        for (size_t i = 0; i < writer->widths[c]; i++)
            (void)fputs("\u2500", writer->out);
    }
    (void)putc('\n', writer->out);
}

static void widen(struct row_printer *writer, uint32_t column, const char *text, size_t size)
{
    const size_t width = table_text_width(text, size);

    if (width > writer->widths[column])
        writer->widths[column] = width;
}

/* One view at a time: columns are as wide as the widest cell so far. */
static bool table_view(struct row_printer *writer, const varve_batch_view *view)
{
    const uint32_t n = writer->n_columns;
    size_t begin = 0;

    writer->page.size = 0;
    for (uint32_t i = 0; i < view->rows * n; i++) {
        const varve_value value = varve_view_value(view, i / n, i % n);
        size_t size;
        const char *text = printable_cell(writer, &value, &size);
        if (text == NULL)
            return false;
        widen(writer, i % n, text, size);
        writer->page.size += size;
        writer->cell_ends[i] = writer->page.size;
    }
    if (!writer->started) {
        for (uint32_t c = 0; c < n; c++) {
            widen(writer, c, writer->names[c], strlen(writer->names[c]));
            writer->right[c] = is_bare_number(writer, view->columns[c].type);
        }
        table_header(writer);
    }
    writer->started = true;
    for (uint32_t i = 0; i < view->rows * n; i++) {
        table_cell(writer, i % n, writer->page.bytes + begin, writer->cell_ends[i] - begin);
        begin = writer->cell_ends[i];
        if (i % n == n - 1)
            (void)putc('\n', writer->out);
    }
    writer->page.size = 0;
    return true;
}

/* ------------------------------------------------------------------------------------ All of it */

/* What comes before the first row; `view` NULL: there is none. */
static void start(struct row_printer *writer, const varve_batch_view *view)
{
    switch (writer->format) {
    case ROW_FORMAT_CSV:
        csv_header(writer, ',');
        break;
    case ROW_FORMAT_TSV:
        csv_header(writer, '\t');
        break;
    case ROW_FORMAT_MARKDOWN:
        markdown_header(writer, view);
        break;
    case ROW_FORMAT_JSON:
        (void)fputs("[", writer->out);
        return; /* started with the first row, which has no comma before it */
    case ROW_FORMAT_AUTO:
    case ROW_FORMAT_TABLE:
    case ROW_FORMAT_JSONL:
    case ROW_FORMAT_LINE:
    case ROW_FORMAT_NONE:
        return;
    }
    writer->started = true;
}

static bool add_row(struct row_printer *writer, const varve_batch_view *view, uint32_t row)
{
    switch (writer->format) {
    case ROW_FORMAT_CSV:
        return csv_row(writer, view, row, ',');
    case ROW_FORMAT_TSV:
        return csv_row(writer, view, row, '\t');
    case ROW_FORMAT_JSON:
    case ROW_FORMAT_JSONL:
        return json_row(writer, view, row);
    case ROW_FORMAT_LINE:
        return line_row(writer, view, row);
    case ROW_FORMAT_MARKDOWN:
        return markdown_row(writer, view, row);
    case ROW_FORMAT_AUTO:
    case ROW_FORMAT_TABLE:
    case ROW_FORMAT_NONE:
        break;
    }
    return true;
}

bool row_printer_add(struct row_printer *writer, const varve_batch_view *view)
{
    assert(view->n_columns >= writer->n_columns && view->rows <= 1024);
    if (writer->format == ROW_FORMAT_TABLE)
        return table_view(writer, view);
    if (!writer->started)
        start(writer, view);
    for (uint32_t row = 0; row < view->rows; row++)
        if (!add_row(writer, view, row))
            return false;
    return true;
}

bool row_printer_end(struct row_printer *writer, bool whole)
{
    const bool any = writer->started;

    if (!any)
        start(writer, NULL);
    if (writer->format == ROW_FORMAT_JSON)
        (void)fputs(whole ? "]\n" : "\n", writer->out);
    if (writer->format == ROW_FORMAT_JSONL && any)
        (void)putc('\n', writer->out);
    if (writer->format == ROW_FORMAT_TABLE && !any) {
        for (uint32_t c = 0; c < writer->n_columns; c++)
            widen(writer, c, writer->names[c], strlen(writer->names[c]));
        table_header(writer);
    }
    return !writer->failed;
}
