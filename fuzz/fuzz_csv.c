/*
 * fuzz_csv.c - a text on its way into a store, out of it, and in again, as `varve import` and
 * `varve scan` take it; and the CSV reader by itself.
 *
 * Input: a line of letters that say how (HOW, below), then the text. What must hold:
 *   - The reader gives the same records, lines and faults whether the text lies in memory, comes in
 *     one piece or in small ones, lies anywhere in the reader's buffers, or is read
 *     up to somewhere, rewound and read again. Every byte belongs to one record or line end.
 *   - Importing in one piece and in small ones loads the same rows and rejects the same records for
 *     the same reasons.
 *   - What is printed is imported to the same values, without a rejection.
 *   - No row is loaded whose time is said to be in a field that is not among --columns.
 *   - Nothing leaks, and memory has a bound.
 * The store is one on the simulated disk. The target is built with buffers and batches of the program
 * so small (meson.build) that a short text has many.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/need.h"
#include "fuzz/quiet_tool.h"
#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/vfs/vfs_sim.h"
#include "tools/varve/import_load.h"
#include "tools/varve/row_printer.h"

#define TEXT_MAX ((size_t)64 << 10)
#define MEMORY_MAX ((uint64_t)64 << 20)
#define TABLES 5

/*
 * HOW: a to e: the table. 1 to 9: bytes a piece. , ; | T: the delimiter. y n: whether there is a
 * header. C: --columns, all in order. W: --columns with three fields in the place of the time. K: --set
 * for the partition key. P L B: --time-parts 1,2,3, 2,3,4, and 2,3,40, which is beyond any --columns. Z:
 * --null. D M: the order of dates. s m u o: the unit of integers. t: print with tabs. r: print raw
 * times. R: read twice. Anything else shifts the text in the reader's buffer.
 */
struct how {
    struct import_options import;
    int table;
    size_t piece;
    size_t shift;
    bool tabs, raw, rewind;
    bool beyond; /* B */
};

/* Each is made three times: x and y take the text, z what is printed of x. */
static const struct {
    const char *text, *columns, *parted, *set;
    uint8_t unit;
} tables[TABLES] = {
    {"(k text, t timestamp, v double, note text, PRIMARY KEY (k, t))", "k,t,v,note",
     "k,_,_,_,v,note", "k=one", VARVE_MILLISECONDS},
    {"(p int, q text, t timestamp, c uuid, yes boolean, i1 tinyint, i2 smallint, "
     "i8 bigint, f float, d double, m decimal(12, 4), n decimal, day date, at time, raw blob, "
     "other timestamp, PRIMARY KEY ((p, q), t, c)) WITH clustering_unit = 'us'",
     "p,q,t,c,yes,i1,i2,i8,f,d,m,n,day,at,raw,other",
     "p,_,_,_,q,c,yes,i1,i2,i8,f,d,m,n,day,at,raw,other", "p=7", VARVE_MICROSECONDS},
    {"(k decimal, d date, n int, note text, PRIMARY KEY (k, d)) "
     "WITH CLUSTERING ORDER BY (d DESC) AND duplicates = 'keep'",
     "k,d,n,note", "k,_,_,_,n,note", "k=-1.50", 0},
    {"(k blob, t timestamp, s text, v float, PRIMARY KEY (k, t, s)) "
     "WITH duplicates = 'error' AND clustering_unit = 'ns'",
     "k,t,s,v", "k,_,_,_,s,v", "k=0xff", VARVE_NANOSECONDS},
    {"(k bigint, t time, n smallint, m decimal(18, 0), PRIMARY KEY (k, t)) "
     "WITH duplicates = 'first'",
     "k,t,n,m", "k,_,_,_,n,m", "k=1", 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_letter(struct how *how, char letter)
{
    switch (letter) {
    case ',':
    case ';':
    case '|':
        how->import.delimiter = letter;
        break;
    case 'T':
        how->import.delimiter = '\t';
        break;
    case 'y':
        how->import.header = PLAN_HEADER_YES;
        break;
    case 'n':
        how->import.header = PLAN_HEADER_NO;
        break;
    case 'C':
        how->import.columns = tables[how->table].columns;
        break;
    case 'W':
        how->import.columns = tables[how->table].parted;
        break;
    case 'K':
        how->import.n_sets = 1;
        break;
    case 'P':
    case 'L':
    case 'B':
        how->import.time_parts = letter == 'P' ? "1,2,3" : letter == 'L' ? "2,3,4" : "2,3,40";
        how->beyond = letter == 'B';
        break;
    case 'Z':
        how->import.nulls_given = true;
        how->import.n_nulls = 2;
        how->import.nulls[0] = "-";
        how->import.nulls[1] = "0";
        break;
    case 'D':
        how->import.date_order = TIME_ORDER_DMY;
        break;
    case 'M':
        how->import.date_order = TIME_ORDER_MDY;
        break;
    case 's':
        how->import.time_unit = VARVE_SECONDS;
        break;
    case 'm':
        how->import.time_unit = VARVE_MILLISECONDS;
        break;
    case 'u':
        how->import.time_unit = VARVE_MICROSECONDS;
        break;
    case 'o':
        how->import.time_unit = VARVE_NANOSECONDS;
        break;
    case 't':
        how->tabs = true;
        break;
    case 'r':
        how->raw = true;
        break;
    case 'R':
        how->rewind = true;
        break;
    default:
        if (letter >= 'a' && letter <= 'e')
            how->table = letter - 'a';
        else if (letter >= '1' && letter <= '9')
            how->piece = (size_t)(letter - '0');
        else
            how->shift = how->shift * 31 + (unsigned char)letter;
        break;
    }
}

/* The first line; returns where the text begins. */
static size_t take_how(struct how *how, const uint8_t *data, size_t size)
{
    size_t at = 0;

    *how = (struct how){0};
    while (at < size && data[at] != '\n')
        take_letter(how, (char)data[at++]);
    how->import.sets[0] = tables[how->table].set;
    return at < size ? at + 1 : at;
}

/* ----------------------------------------------------------------------------------- The reader */

/* What a reader gave, told apart by a hash over lines, bytes, fields and faults. */
struct reading {
    uint64_t records, blank_lines, hash;
    uint64_t bytes; /* of records */
};

static void note_record(struct reading *reading, const struct csv_record *record, uint64_t lines)
{
    const uint64_t line = record->line - lines;
    uint64_t hash = varve_hash64(record->bytes, record->size, reading->hash ^ line);

    NEED(record->line > lines && record->n_fields <= CSV_FIELDS_MAX);
    NEED((record->fault != NULL) == (record->n_fields == 0));
    if (record->fault != NULL)
        hash = varve_hash64(record->fault, strlen(record->fault), hash);
    for (uint32_t i = 0; i < record->n_fields; i++)
        hash = varve_hash64(record->fields[i].text, record->fields[i].size,
                            hash ^ record->fields[i].quoted);
    reading->hash = hash;
    reading->records++;
    reading->bytes += record->size;
}

/* All that is left; `lines` come before the text. */
static struct reading read_on(struct csv_reader *reader, uint64_t lines)
{
    struct reading reading = {0};
    struct csv_record record;
    enum csv_result result;

    while ((result = csv_reader_next(reader, &record)) == CSV_RECORD)
        note_record(&reading, &record, lines);
    NEED(result == CSV_END && csv_reader_next(reader, &record) == CSV_END);
    reading.blank_lines = csv_reader_blank_lines(reader);
    return reading;
}

static bool is_same(const struct reading *a, const struct reading *b)
{
    return a->records == b->records && a->blank_lines == b->blank_lines && a->hash == b->hash;
}

static struct reading read_text(const char *text, size_t size, char *delimiter)
{
    struct csv_reader *reader = csv_reader_of_text(text, size, *delimiter);

    NEED(reader != NULL);
    const struct reading reading = read_on(reader, 0);
    *delimiter = csv_reader_delimiter(reader);
    csv_reader_free(reader);
    return reading;
}

/* With a record of `before` bytes, at least 4, in front of it. */
static struct reading read_behind(const char *text, size_t size, size_t before, size_t piece,
                                  char delimiter)
{
    char *const whole = malloc(before + size);
    struct text_input input = {.text = whole, .size = before + size, .piece = piece};
    struct csv_record record;

    NEED(whole != NULL);
    memset(whole, 'x', before);
    whole[0] = whole[before - 2] = '"';
    whole[before - 1] = '\n';
    if (size > 0)
        memcpy(whole + before, text, size);
    struct csv_reader *const reader = csv_reader_new(&input, delimiter);
    NEED(reader != NULL && csv_reader_next(reader, &record) == CSV_RECORD);
    NEED(record.n_fields == 1 && record.fields[0].size == before - 3);
    const struct reading reading = read_on(reader, 1);
    csv_reader_free(reader);
    free(whole);
    return reading;
}

/* Some records, and then everything from the mark on once more. */
static struct reading read_twice(const char *text, size_t size, size_t piece, char delimiter,
                                 size_t records)
{
    struct text_input input = {.text = text, .size = size, .piece = piece};
    struct csv_reader *const reader = csv_reader_new(&input, delimiter);
    struct csv_record record;

    NEED(reader != NULL);
    csv_reader_mark(reader);
    while (records-- > 0 && csv_reader_next(reader, &record) == CSV_RECORD)
        continue;
    csv_reader_rewind(reader);
    const struct reading reading = read_on(reader, 0);
    csv_reader_free(reader);
    return reading;
}

/* Lines may end with CR alone: of a file, where no LF shows, but not of a text in memory. */
static bool ends_in_cr(const char *text, size_t size)
{
    struct text_input input = {.text = text, .size = size};
    struct csv_reader *const reader = csv_reader_new(&input, ',');
    struct csv_record record;

    NEED(reader != NULL);
    (void)csv_reader_next(reader, &record);
    const bool cr = csv_reader_ends_in_cr(reader);
    csv_reader_free(reader);
    return cr;
}

static void check_reader(const struct how *how, const char *text, size_t size)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    const bool marked = size >= sizeof mark && memcmp(text, mark, sizeof mark) == 0;
    char delimiter = how->import.delimiter;
    const struct reading one = read_text(text, size, &delimiter);
    size_t line_ends = 0;

    if (ends_in_cr(text, size)) {
        const struct reading whole = read_twice(text, size, 0, delimiter, 0);
        const struct reading twice = read_twice(text, size, how->piece, delimiter, size % 5);
        NEED(is_same(&whole, &twice));
        return;
    }
    for (size_t i = 0; i < size; i++)
        line_ends += text[i] == '\n' || text[i] == '\r';
    /* What is in no record is a line end, the byte order mark, or between lines. */
    NEED(one.bytes <= size && size - one.bytes - (marked ? sizeof mark : 0) <= line_ends);
    if (how->rewind) {
        const struct reading twice = read_twice(text, size, how->piece, delimiter, size % 5);
        NEED(is_same(&one, &twice));
    }
    if (marked)
        return; /* in the middle of a file that is text */
    const struct reading behind =
        read_behind(text, size, 4 + how->shift % 512, how->piece, delimiter);
    NEED(is_same(&one, &behind));
}

/* ------------------------------------------------------------------------------ Import and print */

struct loaded {
    int code;
    struct import_counts counts;
    struct quiet_rejects rejects;
};

static void make_table(varve_store *store, int table, char name)
{
    char text[512];
    const int n = snprintf(text, sizeof text, "CREATE TABLE %c %s", name, tables[table].text);

    NEED(n > 0 && n < (int)sizeof text);
    NEED(varve_table_create(store, text, NULL) == VARVE_OK);
}

static varve_table *table_of(varve_store *store, const char *name)
{
    varve_table *table = NULL;

    NEED(varve_table_open(store, name, &table, NULL) == VARVE_OK);
    return table;
}

static struct loaded load(varve_store *store, const char *name,
                          const struct import_options *options, const char *text, size_t size,
                          size_t piece)
{
    struct text_input input = {.text = text, .size = size, .piece = piece};
    struct loaded loaded = {0};
    char file[QUIET_NAME_MAX], rejects[QUIET_NAME_MAX];

    quiet_name(&input, file);
    quiet_name(&loaded.rejects, rejects);
    struct reject_file out = {.wanted = rejects};
    struct import_loader *const loader =
        import_loader_new(store, table_of(store, name), options, &out);
    NEED(loader != NULL);
    loaded.code = import_loader_check(loader, file);
    const int code = import_loader_file(loader, file, &loaded.counts);
    NEED(loaded.code == 0 || code == loaded.code);
    loaded.code = code;
    NEED(loaded.counts.rejected == loaded.rejects.records);
    import_loader_free(loader);
    return loaded;
}

static varve_cursor *scan(varve_store *store, const char *name)
{
    varve_cursor *cursor = NULL;
    varve_scan all;

    varve_scan_init(&all, sizeof all);
    NEED(varve_scan_open(store, table_of(store, name), &all, &cursor, NULL) == VARVE_OK);
    return cursor;
}

static char *print(varve_store *store, const struct how *how, size_t *ret_size)
{
    const varve_schema *const schema = varve_table_schema(table_of(store, "x"));
    const uint32_t n = varve_schema_columns(schema);
    varve_cursor *const cursor = scan(store, "x");
    const varve_batch_view *view = NULL;
    const char *names[32];
    char *text = NULL;
    FILE *const out = open_memstream(&text, ret_size);

    NEED(out != NULL && n <= 32);
    for (uint32_t i = 0; i < n; i++)
        names[i] = varve_schema_column(schema, i)->name;
    struct row_printer *const printer =
        row_printer_new(out, how->tabs ? ROW_FORMAT_TSV : ROW_FORMAT_CSV,
                        how->raw ? (uint32_t)VARVE_FORMAT_RAW_TIME : 0, names, n);
    NEED(printer != NULL);
    while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK)
        NEED(row_printer_add(printer, view));
    NEED(row_printer_end(printer, true));
    row_printer_free(printer);
    varve_cursor_close(cursor);
    NEED(fclose(out) == 0);
    return text;
}

static bool is_same_value(const varve_value *a, const varve_value *b)
{
    if (a->presence != b->presence || a->type != b->type)
        return false;
    if (a->presence != VARVE_SET)
        return true;
    switch (a->type) {
    case VARVE_TEXT:
    case VARVE_BLOB:
        return a->as.bytes.size == b->as.bytes.size &&
               (a->as.bytes.size == 0 ||
                memcmp(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size) == 0);
    case VARVE_UUID:
        return memcmp(a->as.uuid, b->as.uuid, 16) == 0;
    case VARVE_FLOAT:
        return memcmp(&a->as.f32, &b->as.f32, sizeof a->as.f32) == 0;
    default: /* double shares its place with the integers */
        return a->as.i64 == b->as.i64 && a->scale == b->scale;
    }
}

/* Both tables have the same rows; returns how many. */
static uint64_t compare(varve_store *store, const char *one, const char *other)
{
    varve_cursor *const a = scan(store, one), *const b = scan(store, other);
    const varve_batch_view *x = NULL, *y = NULL;
    uint64_t rows = 0;

    for (;;) { /* the same rows were written in the same order, so that views are alike */
        const varve_status rc = varve_cursor_next(a, &x, NULL);
        NEED(rc >= 0 && varve_cursor_next(b, &y, NULL) == rc);
        if (rc == VARVE_END)
            break;
        NEED(x->rows == y->rows && x->n_columns == y->n_columns);
        for (uint32_t i = 0; i < x->rows * x->n_columns; i++) {
            const varve_value v = varve_view_value(x, i / x->n_columns, i % x->n_columns);
            const varve_value w = varve_view_value(y, i / x->n_columns, i % x->n_columns);
            NEED(is_same_value(&v, &w));
        }
        rows += x->rows;
    }
    varve_cursor_close(a);
    varve_cursor_close(b);
    return rows;
}

static void check_import(varve_store *store, const struct how *how, const char *text, size_t size)
{
    struct import_options again = {.time_unit = tables[how->table].unit};
    size_t printed_size = 0;

    make_table(store, how->table, 'x');
    const struct loaded x = load(store, "x", &how->import, text, size, 0);
    NEED(!how->beyond || how->import.columns == NULL || x.counts.rows == 0);
    if (how->piece > 0) {
        make_table(store, how->table, 'y');
        const struct loaded y = load(store, "y", &how->import, text, size, how->piece);
        NEED(x.code == y.code && x.counts.rows == y.counts.rows &&
             x.counts.nulls == y.counts.nulls && x.counts.blank_lines == y.counts.blank_lines);
        NEED(x.rejects.records == y.rejects.records && x.rejects.hash == y.rejects.hash);
        (void)compare(store, "x", "y");
    }
    if (x.counts.rows == 0)
        return;
    make_table(store, how->table, 'z');
    char *const printed = print(store, how, &printed_size);
    const struct loaded z = load(store, "z", &again, printed, printed_size, how->piece);
    const uint64_t rows = compare(store, "x", "z");
    NEED(z.code == 0 && z.counts.rejected == 0 && z.counts.rows == rows);
    NEED(rows > 0 && rows <= x.counts.rows);
    free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_sim_options sim_options;
    struct varve_sim *sim = NULL;
    struct varve_vfs *vfs = NULL;
    struct varve_heap heap;
    varve_options options;
    varve_store *store = NULL;
    struct how how;

    if (size > TEXT_MAX)
        return 0;
    const size_t at = take_how(&how, data, size);
    check_reader(&how, (const char *)data + at, size - at);

    varve_heap_init(&heap, NULL, MEMORY_MAX);
    varve_sim_options_init(&sim_options, &heap, 1);
    NEED(varve_sim_create(&sim_options, &sim) == 0 && varve_sim_attach(sim, &vfs) == 0);
    varve_options_init(&options, sizeof options);
    options.vfs = vfs;
    options.flags = VARVE_OPEN_CREATE;
    options.background_threads = UINT32_MAX;
    options.memory_limit = 16u << 20;
    options.memtable_bytes = 1u << 20;
    options.cache_bytes = 1u << 20;
    options.wal_segment_bytes = 64u << 10;
    NEED(varve_open("sim", &options, &store, NULL) == VARVE_OK);
    check_import(store, &how, (const char *)data + at, size - at);
    varve_close(store);
    vfs->ops->destroy(vfs);
    NEED(varve_sim_violation(sim) == NULL);
    varve_sim_destroy(sim);
    NEED(varve_heap_used(&heap) == 0);
    return 0;
}
