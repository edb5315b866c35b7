/*
 * test_csv_reader.c - which bytes are which record, and which lines a quote that is never closed costs.
 *
 * Method: the rules of csv_reader.h are written down once more, in the plainest way, which goes from the
 * beginning of each record to the end of the text if need be. Whatever texts are read, both must say the
 * same. How a file is read piece by piece is fuzz_csv.c's.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/quiet_tool.h"
#include "storage/base/rng.h"
#include "tools/varve/csv_reader.h"

#define OPEN "the quote is not closed"
#define BEHIND "text behind a closing quote"

struct plain_record {
    size_t size;       /* without the line end */
    size_t next;       /* where the next begins */
    const char *fault; /* or NULL */
};

/* The record at `at`, whose fields end with commas and whose lines with LF. */
static struct plain_record plain_record(const char *text, size_t at, size_t size)
{
    enum { BEGIN, UNQUOTED, QUOTED, QUOTE, REST } place = BEGIN;
    const char *fault = NULL;
    size_t i = at;

    for (; i < size && (text[i] != '\n' || place == QUOTED); i++) {
        const char c = text[i];
        if (place == QUOTED) {
            place = c == '"' ? QUOTE : QUOTED;
        } else if (c == '"' && place != UNQUOTED && place != REST) {
            place = QUOTED;
        } else if (c == ',' && place != REST) {
            place = BEGIN;
        } else if (place == QUOTE && !(c == '\r' && (i + 1 == size || text[i + 1] == '\n'))) {
            place = REST;
            fault = BEHIND;
        } else if (place == BEGIN) {
            place = UNQUOTED;
        }
    }
    if (place == QUOTED) {
        const char *end = memchr(text + at, '\n', size - at);
        i = end == NULL ? size : (size_t)(end - text);
        return (struct plain_record){i - at, i < size ? i + 1 : i, OPEN};
    }
    const bool cr = i > at && text[i - 1] == '\r';
    return (struct plain_record){i - at - cr, i < size ? i + 1 : i, fault};
}

/* All that the reader gives, from a text whose line `line` is its first. */
static void check_records(struct csv_reader *reader, const char *text, size_t size)
{
    uint64_t line = 1, blank_lines = 0;
    struct csv_record record;

    for (size_t at = 0; at < size;) {
        const struct plain_record plain = plain_record(text, at, size);
        if (plain.size == 0 && plain.fault == NULL) {
            blank_lines++;
        } else {
            ck_assert_int_eq(csv_reader_next(reader, &record), CSV_RECORD);
            ck_assert_msg(record.line == line && record.size == plain.size &&
                              memcmp(record.bytes, text + at, plain.size) == 0,
                          "line %d of '%.*s'", (int)line, (int)size, text);
            ck_assert_pstr_eq(record.fault, plain.fault);
            ck_assert_int_eq(record.n_fields > 0, plain.fault == NULL);
        }
        for (; at < plain.next; at++)
            line += text[at] == '\n';
    }
    ck_assert_int_eq(csv_reader_next(reader, &record), CSV_END);
    ck_assert_uint_eq(csv_reader_blank_lines(reader), blank_lines);
}

static void check_text(const char *text, size_t size)
{
    struct csv_reader *const reader = csv_reader_of_text(text, size, ',');

    ck_assert_ptr_nonnull(reader);
    check_records(reader, text, size);
    csv_reader_free(reader);
}

/* Of which some is looked at first, as import does. */
static void check_file(const char *text, size_t size)
{
    struct text_input input = {.text = text, .size = size};
    struct csv_record record;

    if (memchr(text, '\r', size) != NULL && memchr(text, '\n', size) == NULL)
        return; /* lines of a file would end with CR */
    struct csv_reader *const reader = csv_reader_new(&input, ',');
    ck_assert_ptr_nonnull(reader);
    csv_reader_mark(reader);
    for (size_t i = 0; i <= size % 8 && csv_reader_next(reader, &record) == CSV_RECORD; i++)
        continue;
    csv_reader_rewind(reader);
    check_records(reader, text, size);
    csv_reader_free(reader);
}

START_TEST(short_texts_all_of_them)
{
    static const char letters[] = {'"', '\n', ',', 'x', '\r'};
    enum { N = sizeof letters, SIZE_MAX_HERE = 6 };

    for (size_t size = 0, texts = 1; size <= SIZE_MAX_HERE; size++, texts *= N)
        for (size_t number = 0; number < texts; number++) {
            char text[SIZE_MAX_HERE];
            for (size_t i = 0, left = number; i < size; i++, left /= N)
                text[i] = letters[left % N];
            check_text(text, size);
        }
}
END_TEST

START_TEST(a_text_in_memory_is_copied)
{
    char text[] = "one,\"t\"\"w\"\nthree";
    struct csv_reader *const reader = csv_reader_of_text(text, strlen(text), ',');

    ck_assert_ptr_nonnull(reader);
    memset(text, '!', sizeof text);
    check_records(reader, "one,\"t\"\"w\"\nthree", sizeof text - 1);
    csv_reader_free(reader);
}
END_TEST

/* Lines that open quotes and close those of others. */
START_TEST(lines_with_quotes_in_any_order)
{
    static const char *const lines[] = {"x\",\"\n", "x\n",        "\"x\n",    "\"x\"\n", "\",\"\n",
                                        "x,\"\n",   "\"\"\"\n",   "\"x\",\n", "x\"\n",   "\"x\"y\n",
                                        "\n",       "x,\"\"\r\n", "\"\r\n",   "a,b"};
    enum { N = sizeof lines / sizeof lines[0] };
    struct varve_rng rng;

    varve_rng_seed(&rng, 1);
    for (int turn = 0; turn < 4000; turn++) {
        char text[128];
        size_t size = 0;
        for (uint64_t n = varve_rng_below(&rng, 16); n > 0; n--) {
            const char *line = lines[varve_rng_below(&rng, N)];
            memcpy(text + size, line, strlen(line));
            size += strlen(line);
        }
        check_text(text, size);
        check_file(text, size);
    }
}
END_TEST

START_TEST(lines_whose_quote_stays_open_are_refused_one_by_one)
{
    static const struct {
        uint64_t line;
        const char *fault;
    } wanted[] = {{1, NULL}, {2, BEHIND}, {3, OPEN}, {4, OPEN},
                  {6, NULL}, {7, NULL},   {8, OPEN}, {9, NULL}};
    static const char text[] =
        "h,i\n"        /* 1 */
        "\"a\"b,\"c\n" /* 2: what stands behind the quote goes to the line's end */
        "x\",\"\n"     /* 3: to the quote of line 4 */
        "x\",\"\n"     /* 4: to that of line 8 */
        "\n"           /* 5: blank */
        "good,1\n"     /* 6 */
        "a,\"\"\n"     /* 7: or, in a quoted field, one quote */
        "x\",\"\n"     /* 8: to the end */
        "last,\"\"";   /* 9 */
    struct csv_reader *reader = csv_reader_of_text(text, sizeof text - 1, ',');
    struct csv_record record;

    ck_assert_ptr_nonnull(reader);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        ck_assert_int_eq(csv_reader_next(reader, &record), CSV_RECORD);
        ck_assert_uint_eq(record.line, wanted[i].line);
        ck_assert_pstr_eq(record.fault, wanted[i].fault);
    }
    ck_assert_int_eq(csv_reader_next(reader, &record), CSV_END);
    ck_assert_uint_eq(csv_reader_blank_lines(reader), 1);
    csv_reader_free(reader);
}
END_TEST

/* Each of them would be gone through to the end of the text, which takes minutes. */
START_TEST(lines_that_open_quotes_again_take_linear_time)
{
    static const char line[] = "x\",\"\n";
    enum { LINE = sizeof line - 1, LINES = 300000 };
    char *const text = malloc(LINE * LINES);
    struct text_input input = {.text = text, .size = LINE * LINES};
    struct csv_reader *const reader = csv_reader_new(&input, ',');
    struct csv_record record;

    ck_assert(text != NULL && reader != NULL);
    for (size_t i = 0; i < LINES; i++)
        memcpy(text + i * LINE, line, LINE);
    csv_reader_mark(reader);
    while (csv_reader_next(reader, &record) == CSV_RECORD)
        continue;
    csv_reader_rewind(reader);
    for (uint64_t i = 1; i <= LINES; i++) {
        ck_assert_int_eq(csv_reader_next(reader, &record), CSV_RECORD);
        ck_assert_uint_eq(record.line, i);
        ck_assert_uint_eq(record.size, LINE - 1);
        ck_assert_pstr_eq(record.fault, OPEN);
    }
    ck_assert_int_eq(csv_reader_next(reader, &record), CSV_END);
    csv_reader_free(reader);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csv_reader");
    TCase *tc = tcase_create("csv_reader");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, short_texts_all_of_them);
    tcase_add_test(tc, a_text_in_memory_is_copied);
    tcase_add_test(tc, lines_with_quotes_in_any_order);
    tcase_add_test(tc, lines_whose_quote_stays_open_are_refused_one_by_one);
    tcase_add_test(tc, lines_that_open_quotes_again_take_linear_time);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
