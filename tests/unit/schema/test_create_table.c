/*
 * test_create_table.c - CREATE TABLE text: what is accepted, where and why the rest is refused,
 * and the canonical text.
 */
#include "schema_fixture.h"
#include "storage/schema/schema_format.h"

/* Refused with `status` where `mark` stands (the last time) in the text, with a message that has
 * `says`. */
static void refused(varve_status status, const char *text, const char *mark, const char *says)
{
    struct varve_schema *schema = NULL;
    varve_error err;
    const char *place = mark == NULL ? text + strlen(text) : NULL;

    for (const char *at = text; mark != NULL && (at = strstr(at, mark)) != NULL; at++)
        place = at;

    ck_assert_ptr_nonnull(place);
    ck_assert_msg(varve_schema_parse(text, &schema, &err) == status, "%s", text);
    ck_assert_ptr_null(schema);
    ck_assert_msg(err.offset == (uint64_t)(place - text), "%s: offset %llu, %s", text,
                  (unsigned long long)err.offset, err.message);
    ck_assert_msg(strstr(err.message, says) != NULL, "%s: %s", text, err.message);
    ck_assert_ptr_null(strchr(err.message, '\n'));
    ck_assert_int_eq(varve_schema_parse(text, &schema, NULL), status);
}

#define COLUMNS "CREATE TABLE t (a text, ts timestamp, v double, PRIMARY KEY (a, ts))"

START_TEST(a_whole_statement_is_understood)
{
    struct varve_schema *s =
        schema_of("create /* c */ table \"Key\"\"space\".Bars ( -- comment\n"
                  " v2 decimal(10,2), seq int, ts TIMESTAMP, b blob, A varchar,\n"
                  " PRIMARY KEY ((a, b), TS, seq), \"V3\" double, u uuid, t2 timestamp // end\n"
                  ") WITH clustering order by (ts DESC, seq ASC) AND Clustering_Unit = 'us'\n"
                  " AND duplicates = 'keep' and default_time_to_live = 0 ;\n");

    ck_assert_str_eq(varve_schema_table_name(s), "bars");
    ck_assert_int_eq(varve_schema_duplicates(s), VARVE_DUPLICATES_KEEP);
    ck_assert_uint_eq(varve_schema_columns(s), 8);
    ck_assert_uint_eq(s->n_partition, 2);
    ck_assert_uint_eq(s->time_column, 2);
    ck_assert_uint_eq(s->n_clustering, 1);
    ck_assert_uint_eq(s->first_value, 4);
    ck_assert_uint_eq(s->version, 1);
    ck_assert_uint_eq(s->table_id, 0);
    ck_assert_uint_eq(s->next_column_id, 9);
    ck_assert_int_eq(s->max_clock_skew_us, INT64_C(3600000000));
    static const struct {
        const char *name;
        uint8_t type, kind, unit, precision, scale, phys;
        bool descending;
    } columns[] = {
        {"a", VARVE_TEXT, VARVE_PARTITION_KEY, 0, 0, 0, VARVE_PHYS_BYTES, false},
        {"b", VARVE_BLOB, VARVE_PARTITION_KEY, 0, 0, 0, VARVE_PHYS_BYTES, false},
        {"ts", VARVE_TIMESTAMP, VARVE_TIME_COLUMN, VARVE_MICROSECONDS, 0, 0, VARVE_PHYS_I64, true},
        {"seq", VARVE_INT, VARVE_CLUSTERING, 0, 0, 0, VARVE_PHYS_I32, false},
        {"v2", VARVE_DECIMAL, VARVE_VALUE_COLUMN, 0, 10, 2, VARVE_PHYS_I64, false},
        {"V3", VARVE_DOUBLE, VARVE_VALUE_COLUMN, 0, 0, 0, VARVE_PHYS_F64, false},
        {"u", VARVE_UUID, VARVE_VALUE_COLUMN, 0, 0, 0, VARVE_PHYS_B16, false},
        {"t2", VARVE_TIMESTAMP, VARVE_VALUE_COLUMN, VARVE_MICROSECONDS, 0, 0, VARVE_PHYS_I64,
         false},
    };
    for (uint32_t i = 0; i < 8; i++) {
        const varve_column_info *c = varve_schema_column(s, i);
        ck_assert_str_eq(c->name, columns[i].name);
        ck_assert_uint_eq(c->type, columns[i].type);
        ck_assert_uint_eq(c->kind, columns[i].kind);
        ck_assert_uint_eq(c->unit, columns[i].unit);
        ck_assert_uint_eq(c->precision, columns[i].precision);
        ck_assert_int_eq(c->scale, columns[i].scale);
        ck_assert_int_eq(c->descending, columns[i].descending);
        ck_assert_uint_eq(c->id, i + 1);
        ck_assert_uint_eq(s->phys[i], columns[i].phys);
    }
    ck_assert_ptr_null(varve_schema_column(s, 8));
    ck_assert(varve_schema_is_reversed(s, 3));
    varve_schema_free(s);
}
END_TEST

START_TEST(defaults)
{
    struct varve_schema *s = schema_of(COLUMNS);

    ck_assert_int_eq(varve_schema_duplicates(s), VARVE_DUPLICATES_UPSERT);
    ck_assert_uint_eq(varve_schema_column(s, 1)->unit, VARVE_MILLISECONDS);
    ck_assert(!varve_schema_column(s, 1)->descending);
    varve_schema_free(s);
    s = schema_of("CREATE TABLE t (a int, b date, PRIMARY KEY ((a), b));");
    ck_assert_uint_eq(varve_schema_columns(s), 2);
    varve_schema_free(s);
}
END_TEST

START_TEST(columns_are_found_by_name)
{
    struct varve_schema *s = schema_of("CREATE TABLE t (a int, \"B\"\"c\" date, \"a b\" int, "
                                       "PRIMARY KEY (a, \"B\"\"c\"))");
    static const struct {
        const char *name;
        int column; /* -1: not found */
    } cases[] = {
        {"a", 0},          {"A", 0},      {"\"a\"", 0},      {"\"A\"", -1},
        {"\"B\"\"c\"", 1}, {"B\"c", -1},  {"b\"c", -1},      {"a b", 2},
        {"\"a b\"", 2},    {"\"a b", -1}, {"\"a\"b", -1},    {"", -1},
        {"\"\"", -1},      {"aa", -1},    {"\"a b\"\"", -1}, {"\"ab\"", -1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t column = 99;
        varve_error err;
        const varve_status rc = varve_schema_find(s, cases[i].name, &column, &err);
        ck_assert_msg(rc == (cases[i].column < 0 ? VARVE_ENOTFOUND : VARVE_OK), "%s",
                      cases[i].name);
        ck_assert_msg(column == (cases[i].column < 0 ? 99 : (uint32_t)cases[i].column), "%s",
                      cases[i].name);
    }
    ck_assert_int_eq(varve_schema_find(s, NULL, NULL, NULL), VARVE_EINVAL);
    varve_schema_free(s);
}
END_TEST

START_TEST(every_time_type_is_accepted_and_no_other)
{
    static const char *const good[] = {"timestamp", "date", "time",  "tinyint",
                                       "smallint",  "int",  "bigint"};
    static const char *const bad[] = {"boolean",       "float", "double", "decimal",
                                      "decimal(5, 2)", "text",  "blob",   "uuid"};
    char text[128];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        (void)snprintf(text, sizeof text, "CREATE TABLE t (a int, b %s, PRIMARY KEY (a, b))",
                       good[i]);
        varve_schema_free(schema_of(text));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "CREATE TABLE t (a int, b %s, PRIMARY KEY (a, b))",
                       bad[i]);
        refused(VARVE_EPARSE, text, "b))", "is the time column");
    }
}
END_TEST

static const struct {
    const char *text;
    const char *mark; /* the error's place; NULL: the end */
    const char *says;
} refusals[] = {
    {"", NULL, "line 1, column 1: expected CREATE TABLE, but the text ends"},
    {"DROP TABLE t", "DROP", "expected CREATE TABLE, found DROP"},
    {"CREATE INDEX", "INDEX", "expected TABLE"},
    {"CREATE TABLE IF NOT EXISTS t", "IF", "IF NOT EXISTS is not supported"},
    {"CREATE TABLE 1a (", "1a", "cannot be spelled"},
    {"CREATE TABLE 'a' (", "'a'", "expected the table's name"},
    {"CREATE TABLE \"\" (", "\"\"", "cannot be empty"},
    {"CREATE TABLE \"\xFF\" (", "\"\xFF", "valid UTF-8"},
    {"CREATE TABLE select (", "select", "keyword select"},
    {"CREATE TABLE a.b.c (", ".c", "expected '('"},
    {"CREATE TABLE a. (", "(", "expected the table's name"},
    {"CREATE TABLE t", NULL, "expected '('"},
    {"CREATE TABLE t ()", ")", "expected a column or PRIMARY KEY"},
    {"CREATE TABLE t (a)", ")", "expected a type"},
    {"CREATE TABLE t (a 'int'", "'int'", "expected a type"},
    {"CREATE TABLE t (a integer)", "integer", ", found integer"},
    {"CREATE TABLE t (a int", NULL, "expected ',' or ')'"},
    {"CREATE TABLE t (a int,", NULL, "expected a column or PRIMARY KEY"},
    {"CREATE TABLE t (a int,)", ")", "expected a column or PRIMARY KEY"},
    {"CREATE TABLE t (a int)", ")", "has no PRIMARY KEY"},
    {"CREATE TABLE t (a int, A text)", "A text", "there is a column a already"},
    {"CREATE TABLE t (a int static)", "static", "static columns are not supported"},
    {"CREATE TABLE t (a int PRIMARY KEY)", "PRIMARY", "needs a time column"},
    {"CREATE TABLE t (a counter)", "counter", "the type counter is not supported"},
    {"CREATE TABLE t (a timeuuid)", "timeuuid", "use uuid"},
    {"CREATE TABLE t (a ascii)", "ascii", "use text"},
    {"CREATE TABLE t (a list<int>)", "list", "no collections"},
    {"CREATE TABLE t (a frozen<int>)", "frozen", "not supported"},
    {"CREATE TABLE t (a decimal(0, 0))", "(0", "precision of a decimal is 1 to 18"},
    {"CREATE TABLE t (a decimal(19, 0))", "19", "precision of 1 to 18, found 19"},
    {"CREATE TABLE t (a decimal(99999999999999, 0))", "99999999999999", "precision of 1 to 18"},
    {"CREATE TABLE t (a decimal(-1, 0))", "-1", "precision of 1 to 18"},
    {"CREATE TABLE t (a decimal(x))", "x))", "precision of 1 to 18"},
    {"CREATE TABLE t (a decimal(5))", "))", "expected ',' and the scale"},
    {"CREATE TABLE t (a decimal(5, 6))", "6", "the scale 6 is above the precision 5"},
    {"CREATE TABLE t (a decimal(5, ))", "))", "expected a scale"},
    {"CREATE TABLE t (a decimal(5, 2 int", "int", "expected ')'"},
    {"CREATE TABLE t (PRIMARY (a))", "(a)", "expected KEY"},
    {"CREATE TABLE t (PRIMARY KEY a", "a", "expected '('"},
    {"CREATE TABLE t (PRIMARY KEY ()", ")", "expected a column of the primary key"},
    {"CREATE TABLE t (PRIMARY KEY (a))", "))", "lacks the time column"},
    {"CREATE TABLE t (PRIMARY KEY ((a, b) )", ")", "lacks the time column"},
    {"CREATE TABLE t (PRIMARY KEY ((a b)", "b)", "expected ',' or ')'"},
    {"CREATE TABLE t (PRIMARY KEY ((a), b c)", "c)", "expected ',' or ')'"},
    {"CREATE TABLE t (PRIMARY KEY ((a) b)", "b)", "expected ',' or ')'"},
    {"CREATE TABLE t (PRIMARY KEY ((a), )", ")", "expected a column of the primary key"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY (a, b), PRIMARY KEY (a, b))", "PRIMARY KEY (a, b))",
     "there is a primary key already"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY (x, b))", "x", "names x, which is no column"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY (a, x))", "x", "names x, which is no column"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY (a, a))", "a))", "a is in the primary key twice"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY ((a, a), b))", "a), b", "twice"},
    {COLUMNS " WITH", NULL, "expected an option"},
    {COLUMNS " WITH 'x'", "'x'", "expected an option"},
    {COLUMNS " zz", "zz", "expected WITH, ';' or the end"},
    {COLUMNS "; ;", ";", "nothing after ';', found ;"},
    {COLUMNS "; zz", "zz", "nothing after ';'"},
    {COLUMNS " WITH duplicates = 'keep' zz", "zz", "expected AND, ';' or the end"},
    {COLUMNS " WITH duplicates 'keep'", "'keep'", "expected '='"},
    {COLUMNS " WITH duplicates = keep", "keep", "expected 'upsert', 'keep', 'first' or 'error'"},
    {COLUMNS " WITH duplicates = 'KEEP'", "'KEEP'", "expected 'upsert'"},
    {COLUMNS " WITH duplicates = 'keep' AND duplicates = 'keep'", "duplicates", "given already"},
    {COLUMNS " WITH clustering_unit = 'm'", "'m'", "expected 's', 'ms', 'us' or 'ns'"},
    {COLUMNS " WITH default_time_to_live = 1", "1", "other than 0 is not supported"},
    {COLUMNS " WITH default_time_to_live = 00", "00", "other than 0"},
    {COLUMNS " WITH default_time_to_live = '0'", "'0'", "expected 0"},
    {COLUMNS " WITH gc_grace_seconds = 1", "gc_", "gc_grace_seconds has no meaning here"},
    {COLUMNS " WITH compaction = {'class': 'x'}", "compaction", "has no meaning here"},
    {COLUMNS " WITH COMMENT = 'x'", "COMMENT", "comment has no meaning here"},
    {COLUMNS " WITH COMPACT STORAGE", "COMPACT", "not supported"},
    {COLUMNS " WITH colour = 'x'", "colour", "there is no option colour"},
    {COLUMNS " WITH CLUSTERING BY", "BY", "expected ORDER BY"},
    {COLUMNS " WITH CLUSTERING ORDER {", "{", "expected BY"},
    {COLUMNS " WITH CLUSTERING ORDER BY tz", "tz", "expected '(', found tz"},
    {COLUMNS " WITH CLUSTERING ORDER BY (v ASC)", "v ASC", "in the order of the primary key"},
    {COLUMNS " WITH CLUSTERING ORDER BY (ts}", "}", "expected ASC or DESC"},
    {COLUMNS " WITH CLUSTERING ORDER BY (ts DESC, a ASC)", "a ASC", "in the order of"},
    {COLUMNS " WITH CLUSTERING ORDER BY (ts DESC x)", "x)", "expected ',' or ')'"},
    {COLUMNS " WITH CLUSTERING ORDER BY (ts ASC) AND CLUSTERING ORDER BY (ts ASC)", "CLUSTERING",
     "given already"},
    {"CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)) WITH clustering_unit = 's'",
     "clustering_unit", "the table has none"},
    {"CREATE TABLE t (a int, b ?", "?", "this character has no place here"},
    {"CREATE TABLE t (a int, b - c", "- c", "this character has no place here"},
    {"CREATE TABLE /* x", "/*", "this comment is never closed"},
    {"CREATE TABLE /*", "/*", "this comment is never closed"},
    {"CREATE TABLE \"x", "\"x", "this quote is never closed"},
    {"CREATE TABLE t 'it''s", "'it", "this quote is never closed"},
    {"CREATE\n  TABLE\n\tz\xC3\xBC", "\xC3\xBC", "line 3, column 3: this character"},
    {"CREATE TABLE 'a\nb'", "'a", "found 'a?b'"},
};

START_TEST(a_refusal_says_where_and_why)
{
    const char *text = refusals[_i].text, *mark = refusals[_i].mark, *says = refusals[_i].says;

    refused(VARVE_EPARSE, text, mark, says);
}
END_TEST

/* A statement with `n` columns c0 .. after the key, the text malloc'd. */
static char *wide_text(int n)
{
    const size_t size = (size_t)n * 16 + 128;
    char *text = malloc(size);
    size_t at = 0;

    ck_assert_ptr_nonnull(text);
    at += (size_t)snprintf(text, size, "CREATE TABLE t (k int, ts int, ");
    for (int i = 0; i < n - 2; i++)
        at += (size_t)snprintf(text + at, size - at, "c%d int, ", i);
    (void)snprintf(text + at, size - at, "PRIMARY KEY (k, ts))");
    return text;
}

START_TEST(limits)
{
    char name[300], text[1024];

    char *wide = wide_text(1024);
    struct varve_schema *s = schema_of(wide);
    ck_assert_uint_eq(varve_schema_columns(s), 1024);
    varve_schema_free(s);
    free(wide);
    wide = wide_text(1025);
    refused(VARVE_ELIMIT, wide, "c1022", "more than 1024 columns");
    free(wide);

    memset(name, 'n', sizeof name);
    (void)snprintf(text, sizeof text, "CREATE TABLE %.255s (a int, b int, PRIMARY KEY (a, b))",
                   name);
    s = schema_of(text);
    ck_assert_uint_eq(strlen(varve_schema_table_name(s)), 255);
    varve_schema_free(s);
    (void)snprintf(text, sizeof text, "CREATE TABLE %.256s (a int, b int, PRIMARY KEY (a, b))",
                   name);
    refused(VARVE_ELIMIT, text, text + 13, "a name of 256 bytes, at most 255");

#define EIGHT "c1 int, c2 int, c3 int, c4 int, c5 int, c6 int, c7 int, c8 int, "
    varve_schema_free(schema_of("CREATE TABLE t (" EIGHT "ts int, d1 int, d2 int, d3 int, d4 int, "
                                "d5 int, d6 int, d7 int, d8 int, PRIMARY KEY ((c1, c2, c3, c4, c5, "
                                "c6, c7, c8), ts, d1, d2, d3, d4, d5, d6, d7, d8))"));
    refused(VARVE_ELIMIT, "CREATE TABLE t (PRIMARY KEY ((c1, c2, c3, c4, c5, c6, c7, c8, c9), ts))",
            "c9", "more than 8 partition key columns");
    refused(VARVE_ELIMIT,
            "CREATE TABLE t (PRIMARY KEY (k, ts, c1, c2, c3, c4, c5, c6, c7, c8, c9))", "c9",
            "more than 8 further clustering columns");

    const size_t big = (1u << 20) + 1;
    char *blanks = malloc(big + 1);
    ck_assert_ptr_nonnull(blanks);
    memset(blanks, ' ', big);
    blanks[big] = '\0';
    varve_error err;
    ck_assert_int_eq(varve_schema_parse(blanks, &s, &err), VARVE_ELIMIT);
    blanks[big - 1] = '\0';
    ck_assert_int_eq(varve_schema_parse(blanks, &s, &err), VARVE_EPARSE);
    free(blanks);
    ck_assert_int_eq(varve_schema_parse(NULL, &s, &err), VARVE_EINVAL);
}
END_TEST

static const char *const round_trips[] = {
    COLUMNS,
    COLUMNS " WITH CLUSTERING ORDER BY (ts DESC)",
    COLUMNS " WITH clustering_unit = 's'",
    COLUMNS " WITH clustering_unit = 'ns' AND duplicates = 'error'",
    COLUMNS " WITH duplicates = 'first'",
    "CREATE TABLE \"Odd \"\"name\"\"\" (\"select\" decimal(18, 18), \"1\" date, key time, x "
    "decimal, "
    "\"z\xC3\xBC\" boolean, y float, PRIMARY KEY ((key, \"select\"), \"1\", x, y)) "
    "WITH CLUSTERING ORDER BY (\"1\" ASC, x DESC) AND duplicates = 'keep'",
    "CREATE TABLE t (a tinyint, b smallint, c int, d bigint, e uuid, f blob, PRIMARY KEY (f, b))",
};

START_TEST(canonical_text_reads_back_to_an_equal_schema)
{
    struct failing_allocator memory;
    struct varve_buffer first, second;
    struct varve_schema *s = schema_of(round_trips[_i]);
    char text[2048], again[2048];
    size_t size, size_again;

    failing_init(&memory, -1);
    varve_buffer_init(&first, &memory.heap);
    varve_buffer_init(&second, &memory.heap);
    ck_assert_int_eq(varve_schema_text(s, text, sizeof text, &size), VARVE_OK);
    ck_assert_uint_eq(strlen(text), size);
    struct varve_schema *t = schema_of(text);
    varve_schema_encode(s, &first);
    varve_schema_encode(t, &second);
    ck_assert(varve_span_compare(varve_buffer_span(&first), varve_buffer_span(&second)) == 0);
    ck_assert_int_eq(varve_schema_text(t, again, sizeof again, &size_again), VARVE_OK);
    ck_assert_str_eq(text, again);

    for (size_t room = 0; room <= size + 1; room++) {
        memset(again, '#', sizeof again);
        const varve_status rc = varve_schema_text(s, again, room, &size_again);
        ck_assert_int_eq(rc, room > size ? VARVE_OK : VARVE_ELIMIT);
        ck_assert_uint_eq(size_again, size);
        ck_assert_int_eq(again[room], '#');
    }
    ck_assert_int_eq(varve_schema_text(s, NULL, 0, &size_again), VARVE_ELIMIT);
    ck_assert_uint_eq(size_again, size);
    ck_assert_int_eq(varve_schema_text(s, text, sizeof text, NULL), VARVE_EINVAL);
    varve_buffer_free(&first);
    varve_buffer_free(&second);
    varve_schema_free(s);
    varve_schema_free(t);
}
END_TEST

START_TEST(canonical_text_is_this)
{
    struct varve_schema *s = schema_of(
        "create table k.Bars(close decimal(18,8),ts timestamp,symbol text,seq int,"
        "primary key((symbol),ts,seq)) with duplicates='keep' and clustering order by(ts desc)");
    char text[1024];
    size_t size;

    ck_assert_int_eq(varve_schema_text(s, text, sizeof text, &size), VARVE_OK);
    ck_assert_str_eq(text, "CREATE TABLE bars (\n"
                           "    symbol text,\n"
                           "    ts timestamp,\n"
                           "    seq int,\n"
                           "    close decimal(18, 8),\n"
                           "    PRIMARY KEY ((symbol), ts, seq)\n"
                           ") WITH CLUSTERING ORDER BY (ts DESC, seq ASC)\n"
                           "    AND duplicates = 'keep';");
    varve_schema_free(s);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    for (long n = 0;; n++) {
        struct failing_allocator memory;
        struct varve_schema *schema = NULL;
        varve_error err;
        failing_init(&memory, n);
        const varve_status rc = varve_schema_from_text(&memory.heap, round_trips[5], &schema, &err);
        ck_assert(rc == VARVE_OK || (rc == VARVE_ENOMEM && schema == NULL));
        varve_schema_unref(schema);
        ck_assert_uint_eq(varve_heap_used(&memory.heap), 0);
        if (rc == VARVE_OK)
            break;
        ck_assert_int_lt(n, 100);
    }
}
END_TEST

START_TEST(a_refused_text_leaves_no_memory_behind)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct failing_allocator memory;
        struct varve_schema *schema = NULL;
        failing_init(&memory, -1);
        ck_assert_int_lt(varve_schema_from_text(&memory.heap, refusals[i].text, &schema, NULL), 0);
        ck_assert_uint_eq(varve_heap_used(&memory.heap), 0);
    }
}
END_TEST

START_TEST(names_have_one_order_case_aside)
{
    static const char *const ascending[] = {
        "",    "I", "i[", "Ia",       "ib",
        "IB_", "j", "~",  "\xc3\x9c", "\xc3\xbc"}; /* case is ASCII's alone */
    const int n = (int)(sizeof ascending / sizeof ascending[0]);

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const int order = varve_name_compare(ascending[i], ascending[j]);
            ck_assert_msg((order > 0) - (order < 0) == (i > j) - (i < j), "%s %s", ascending[i],
                          ascending[j]);
        }
    ck_assert_int_eq(varve_name_compare("TABLE_az[`{@", "table_AZ[`{@"), 0);
    ck_assert_int_ne(varve_name_compare("[", "{"), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("create_table");

    tcase_add_test(tcase, a_whole_statement_is_understood);
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, columns_are_found_by_name);
    tcase_add_test(tcase, every_time_type_is_accepted_and_no_other);
    tcase_add_loop_test(tcase, a_refusal_says_where_and_why, 0,
                        (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(tcase, limits);
    tcase_add_loop_test(tcase, canonical_text_reads_back_to_an_equal_schema, 0,
                        (int)(sizeof round_trips / sizeof round_trips[0]));
    tcase_add_test(tcase, canonical_text_is_this);
    tcase_add_test(tcase, every_failed_allocation_is_survived);
    tcase_add_test(tcase, a_refused_text_leaves_no_memory_behind);
    tcase_add_test(tcase, names_have_one_order_case_aside);
    return run_case("create_table", tcase);
}
