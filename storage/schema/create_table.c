/*
 * create_table.c - CREATE TABLE text to a schema. docs/CQL.md has the grammar.
 *
 * The statement is read once from left to right with one token of look-ahead and without recursion;
 * what it names is kept with its position, and resolved when everything has been read. Every
 * refusal says where: err->offset is the byte, the message has line and column. Memory is bounded
 * by the text, which is bounded by TEXT_BYTES_MAX.
 */
#include "storage/schema/schema.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "storage/base/vec.h"
#include "storage/schema/schema_int.h"

#define TEXT_BYTES_MAX (1u << 20)
#define CLUSTERING_MAX (1u + VARVE_KEY_COLUMNS_MAX) /* the time column and the further ones */

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* a name or keyword */
    TOKEN_QUOTED, /* a name in double quotes */
    TOKEN_STRING, /* in single quotes */
    TOKEN_NUMBER, /* an integer, perhaps with a minus sign */
    TOKEN_SIGN    /* one of ( ) , . = ; < > { } [ ] : */
};

struct token {
    enum token_kind kind;
    size_t at;
    size_t size;
};

struct parsed_name {
    struct varve_span name; /* folded, unquoted, in the pool */
    size_t at;
};

struct parsed_column {
    struct parsed_name name;
    uint8_t type;
    uint8_t precision;
    int8_t scale;
    bool is_key;
};

struct parser {
    const char *text;
    size_t size;
    size_t next; /* where the text after `token` begins */
    struct token token;
    struct varve_heap *heap;
    varve_error *err;

    uint8_t *pool; /* as large as the text: names take no more */
    size_t pool_used;
    struct parsed_name table;
    struct parsed_column *columns; /* in the order of the text */
    size_t n_columns;
    size_t capacity;

    bool has_key;
    uint32_t n_partition;
    uint32_t n_clustering; /* with the time column */
    struct parsed_name partition[VARVE_KEY_COLUMNS_MAX];
    struct parsed_name clustering[CLUSTERING_MAX];

    bool has_order;
    uint32_t n_order;
    bool descending[CLUSTERING_MAX];

    uint8_t unit; /* 0: not given */
    size_t unit_at;
    uint8_t duplicates; /* 0: not given */
    bool has_ttl;
};

/* ------------------------------------------------------------------------------------ Errors */

/* Make a message one line of valid UTF-8, whatever of the text got into it, cut or whole. */
static void clean(char *message)
{
    const bool valid = varve_utf8_valid((const uint8_t *)message, strlen(message));

    for (char *c = message; *c != '\0'; c++)
        if ((uint8_t)*c < ' ' || *c == 0x7F || ((uint8_t)*c >= 0x80 && !valid))
            *c = '?';
}

/* Refuse the text at byte `at`. Names that go into the message are cut to fit. */
static varve_status VARVE_PRINTF(4, 5)
    refuse(struct parser *p, varve_status status, size_t at, const char *format, ...)
{
    char what[192];
    size_t line = 1, column = 1;
    va_list args;

    for (size_t i = 0; i < at; i++) {
        if (p->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((uint8_t)p->text[i] & 0xC0) != 0x80) { /* characters, not bytes */
            column++;
        }
    }
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    clean(what);
    return varve_error_set(p->err, status, NULL, at, "line %zu, column %zu: %s", line, column,
                           what);
}

static int shown(size_t size)
{
    return size > 64 ? 64 : (int)size;
}

static varve_status expected(struct parser *p, const char *what)
{
    const struct token *t = &p->token;

    if (t->kind == TOKEN_END)
        return refuse(p, VARVE_EPARSE, t->at, "expected %s, but the text ends", what);
    return refuse(p, VARVE_EPARSE, t->at, "expected %s, found %.*s", what, shown(t->size),
                  p->text + t->at);
}

/* ------------------------------------------------------------------------------------- Lexer */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word_part(char c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The character `ahead` places after the next one; '\0' past the end. */
static char peek(const struct parser *p, size_t ahead)
{
    return ahead < p->size - p->next ? p->text[p->next + ahead] : '\0';
}

/* Pass over blanks and comments. */
static varve_status skip_blanks(struct parser *p)
{
    for (;;) {
        const char c = peek(p, 0), d = peek(p, 1);

        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
            p->next++;
        } else if ((c == '-' && d == '-') || (c == '/' && d == '/')) {
            while (p->next < p->size && p->text[p->next] != '\n')
                p->next++;
        } else if (c == '/' && d == '*') {
            const size_t at = p->next;
            for (p->next += 2; peek(p, 0) != '*' || peek(p, 1) != '/'; p->next++)
                if (p->next == p->size)
                    return refuse(p, VARVE_EPARSE, at, "this comment is never closed");
            p->next += 2;
        } else {
            return VARVE_OK;
        }
    }
}

/* Pass over quoted text; the quote doubled stands for itself. */
static varve_status scan_quoted(struct parser *p, char quote)
{
    const size_t at = p->next++;

    for (;; p->next++) {
        if (p->next == p->size)
            return refuse(p, VARVE_EPARSE, at, "this quote is never closed");
        if (peek(p, 0) != quote)
            continue;
        if (peek(p, 1) != quote)
            break;
        p->next++;
    }
    p->next++;
    return VARVE_OK;
}

/* Make p->token the next token of the text. */
static varve_status advance(struct parser *p)
{
    varve_status rc = skip_blanks(p);
    if (rc < 0)
        return rc;

    const size_t at = p->next;
    const char c = peek(p, 0);
    const bool sign = c == '-' && is_digit(peek(p, 1));

    p->token = (struct token){TOKEN_END, at, 0};
    if (at == p->size)
        return VARVE_OK;
    if (c == '"' || c == '\'') {
        p->token.kind = c == '"' ? TOKEN_QUOTED : TOKEN_STRING;
        rc = scan_quoted(p, c);
    } else if (is_letter(c)) {
        p->token.kind = TOKEN_WORD;
        while (is_word_part(peek(p, 0)))
            p->next++;
    } else if (is_digit(c) || sign) {
        p->token.kind = TOKEN_NUMBER;
        p->next += sign;
        while (is_digit(peek(p, 0)))
            p->next++;
        if (is_word_part(peek(p, 0)))
            rc = refuse(p, VARVE_EPARSE, at, "a name or number cannot be spelled like this");
    } else if (c != '\0' && strchr("(),.=;<>{}[]:", c) != NULL) {
        p->token.kind = TOKEN_SIGN;
        p->next++;
    } else {
        rc = refuse(p, VARVE_EPARSE, at, "this character has no place here");
    }
    p->token.size = p->next - at;
    return rc;
}

static bool is_sign(const struct parser *p, char sign)
{
    return p->token.kind == TOKEN_SIGN && p->text[p->token.at] == sign;
}

/* Whether the token is the word `word`, which is lower case. */
static bool is_word(const struct parser *p, const char *word)
{
    if (p->token.kind != TOKEN_WORD || strlen(word) != p->token.size)
        return false;
    for (size_t i = 0; i < p->token.size; i++)
        if (lower(p->text[p->token.at + i]) != word[i])
            return false;
    return true;
}

/* Whether the token is the string 'content'. */
static bool is_string(const struct parser *p, const char *content)
{
    const size_t size = strlen(content);

    return p->token.kind == TOKEN_STRING && p->token.size == size + 2 &&
           memcmp(p->text + p->token.at + 1, content, size) == 0;
}

static varve_status take_sign(struct parser *p, char sign, const char *what)
{
    return is_sign(p, sign) ? advance(p) : expected(p, what);
}

static varve_status take_word(struct parser *p, const char *word, const char *what)
{
    return is_word(p, word) ? advance(p) : expected(p, what);
}

/* ------------------------------------------------------------------------------ Names, types */

static varve_status take_name(struct parser *p, const char *what, struct parsed_name *ret_name)
{
    const struct token token = p->token;
    const bool quoted = token.kind == TOKEN_QUOTED;
    uint8_t *copy = p->pool + p->pool_used;
    size_t size = 0;

    if (token.kind != TOKEN_WORD && !quoted)
        return expected(p, what);
    for (size_t i = quoted; i < token.size - quoted; i++) {
        const char c = p->text[token.at + i];
        copy[size++] = (uint8_t)(quoted ? c : lower(c));
        if (quoted && c == '"')
            i++; /* the second of two */
    }
    const struct varve_span name = varve_span_of(copy, size);
    if (size == 0)
        return refuse(p, VARVE_EPARSE, token.at, "a name cannot be empty");
    if (size > VARVE_NAME_BYTES_MAX)
        return refuse(p, VARVE_ELIMIT, token.at, "a name of %zu bytes, at most %u are allowed",
                      size, VARVE_NAME_BYTES_MAX);
    if (!varve_utf8_valid(copy, size))
        return refuse(p, VARVE_EPARSE, token.at, "a name must be valid UTF-8");
    if (!quoted && varve_schema_is_reserved_word(name))
        return refuse(p, VARVE_EPARSE, token.at,
                      "expected %s, found the keyword %.*s (in double quotes it is a name)", what,
                      shown(size), (const char *)copy);
    p->pool_used += size;
    *ret_name = (struct parsed_name){name, token.at};
    return advance(p);
}

struct type_word {
    const char *word;
    uint8_t type;        /* 0: refused */
    const char *refusal; /* after "the type X" */
};

static const struct type_word type_words[] = {
    {"boolean", VARVE_BOOLEAN, NULL},
    {"tinyint", VARVE_TINYINT, NULL},
    {"smallint", VARVE_SMALLINT, NULL},
    {"int", VARVE_INT, NULL},
    {"bigint", VARVE_BIGINT, NULL},
    {"float", VARVE_FLOAT, NULL},
    {"double", VARVE_DOUBLE, NULL},
    {"decimal", VARVE_DECIMAL, NULL},
    {"text", VARVE_TEXT, NULL},
    {"varchar", VARVE_TEXT, NULL},
    {"blob", VARVE_BLOB, NULL},
    {"timestamp", VARVE_TIMESTAMP, NULL},
    {"date", VARVE_DATE, NULL},
    {"time", VARVE_TIME, NULL},
    {"uuid", VARVE_UUID, NULL},
    {"timeuuid", 0, "is not supported: use uuid, which sorts version 1 by time"},
    {"ascii", 0, "is not supported: use text"},
    {"varint", 0, "is not supported: use bigint or decimal"},
    {"counter", 0, "is not supported"},
    {"duration", 0, "is not supported"},
    {"inet", 0, "is not supported: use text or blob"},
    {"list", 0, "is not supported: there are no collections"},
    {"set", 0, "is not supported: there are no collections"},
    {"map", 0, "is not supported: there are no collections"},
    {"vector", 0, "is not supported: there are no collections"},
    {"tuple", 0, "is not supported"},
    {"frozen", 0, "is not supported"},
};

/* An integer 0 .. max (below 100). */
static varve_status take_small(struct parser *p, int max, const char *what, uint8_t *ret_number)
{
    const char *digits = p->text + p->token.at;
    int number = 0;

    if (p->token.kind != TOKEN_NUMBER || *digits == '-')
        return expected(p, what);
    for (size_t i = 0; i < p->token.size && number <= max; i++)
        number = number * 10 + (digits[i] - '0');
    if (number > max)
        return expected(p, what);
    *ret_number = (uint8_t)number;
    return advance(p);
}

/* What may follow `decimal`: nothing, or (precision, scale). */
static varve_status parse_decimal(struct parser *p, struct parsed_column *column)
{
    const size_t at = p->token.at;
    uint8_t scale = 0;
    varve_status rc;

    if (!is_sign(p, '('))
        return VARVE_OK;
    rc = advance(p);
    if (rc < 0)
        return rc;
    rc = take_small(p, 18, "a precision of 1 to 18", &column->precision);
    if (rc < 0)
        return rc;
    if (column->precision == 0)
        return refuse(p, VARVE_EPARSE, at, "the precision of a decimal is 1 to 18");
    rc = take_sign(p, ',', "',' and the scale");
    if (rc < 0)
        return rc;
    const size_t scale_at = p->token.at;
    rc = take_small(p, 18, "a scale of 0 to the precision", &scale);
    if (rc < 0)
        return rc;
    if (scale > column->precision)
        return refuse(p, VARVE_EPARSE, scale_at, "the scale %u is above the precision %u",
                      (unsigned)scale, (unsigned)column->precision);
    column->scale = (int8_t)scale;
    return take_sign(p, ')', "')'");
}

static const char type_hint[] = "a type (text, bigint, double, decimal(18, 8), timestamp, ...)";

static varve_status parse_type(struct parser *p, struct parsed_column *column)
{
    const struct token token = p->token;
    const struct type_word *found = NULL;

    if (token.kind != TOKEN_WORD)
        return expected(p, type_hint);
    for (size_t i = 0; i < sizeof type_words / sizeof type_words[0]; i++)
        if (is_word(p, type_words[i].word))
            found = &type_words[i];
    if (found == NULL)
        return expected(p, type_hint);
    if (found->type == 0)
        return refuse(p, VARVE_EPARSE, token.at, "the type %s %s", found->word, found->refusal);
    column->type = found->type;
    const varve_status rc = advance(p);
    if (rc < 0 || found->type != VARVE_DECIMAL)
        return rc;
    return parse_decimal(p, column);
}

/* ----------------------------------------------------------------------------------- Columns */

static varve_status parse_column(struct parser *p)
{
    struct parsed_column column = {.type = 0};
    varve_status rc;

    rc = take_name(p, "a column or PRIMARY KEY", &column.name);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < p->n_columns; i++)
        if (varve_span_compare(p->columns[i].name.name, column.name.name) == 0)
            return refuse(p, VARVE_EPARSE, column.name.at, "there is a column %.*s already",
                          shown(column.name.name.size), (const char *)column.name.name.data);
    if (p->n_columns == VARVE_COLUMNS_MAX)
        return refuse(p, VARVE_ELIMIT, column.name.at, "more than %u columns", VARVE_COLUMNS_MAX);
    rc = parse_type(p, &column);
    if (rc < 0)
        return rc;
    if (is_word(p, "static"))
        return refuse(p, VARVE_EPARSE, p->token.at, "static columns are not supported");
    if (is_word(p, "primary"))
        return refuse(p, VARVE_EPARSE, p->token.at,
                      "a table needs a time column too: write PRIMARY KEY (partition key, time)");
    if (!varve_vec_grow(p->heap, (void **)&p->columns, sizeof *p->columns, p->n_columns + 1,
                        &p->capacity))
        return varve_error_nomem(p->err, "a CREATE TABLE statement");
    p->columns[p->n_columns++] = column;
    return VARVE_OK;
}

/* One column of the primary key, into `list` unless it is full. */
static varve_status parse_key_column(struct parser *p, struct parsed_name *list, uint32_t max,
                                     const char *what, uint32_t *count)
{
    struct parsed_name name;
    const varve_status rc = take_name(p, "a column of the primary key", &name);

    if (rc < 0)
        return rc;
    if (*count == max)
        return refuse(p, VARVE_ELIMIT, name.at, "more than %u %s columns", VARVE_KEY_COLUMNS_MAX,
                      what);
    list[(*count)++] = name;
    return VARVE_OK;
}

/* (a, b) after PRIMARY KEY ( */
static varve_status parse_partition_list(struct parser *p)
{
    varve_status rc;

    do {
        rc = advance(p); /* the '(' or ',' */
        if (rc < 0)
            return rc;
        rc = parse_key_column(p, p->partition, VARVE_KEY_COLUMNS_MAX, "partition key",
                              &p->n_partition);
        if (rc < 0)
            return rc;
    } while (is_sign(p, ','));
    return take_sign(p, ')', "',' or ')'");
}

/* PRIMARY KEY (...); the token is PRIMARY. */
static varve_status parse_primary_key(struct parser *p)
{
    varve_status rc;

    if (p->has_key)
        return refuse(p, VARVE_EPARSE, p->token.at, "there is a primary key already");
    p->has_key = true;
    rc = advance(p);
    if (rc < 0)
        return rc;
    rc = take_word(p, "key", "KEY");
    if (rc < 0)
        return rc;
    rc = take_sign(p, '(', "'('");
    if (rc < 0)
        return rc;
    if (is_sign(p, '('))
        rc = parse_partition_list(p);
    else
        rc = parse_key_column(p, p->partition, VARVE_KEY_COLUMNS_MAX, "partition key",
                              &p->n_partition);
    if (rc < 0)
        return rc;
    if (is_sign(p, ')'))
        return refuse(p, VARVE_EPARSE, p->token.at,
                      "the primary key lacks the time column: PRIMARY KEY (partition key, time)");
    while (is_sign(p, ',')) {
        rc = advance(p);
        if (rc < 0)
            return rc;
        rc = parse_key_column(p, p->clustering, CLUSTERING_MAX, "further clustering",
                              &p->n_clustering);
        if (rc < 0)
            return rc;
    }
    return take_sign(p, ')', "',' or ')'");
}

static varve_status parse_table_name(struct parser *p)
{
    varve_status rc;

    if (is_word(p, "if"))
        return refuse(p, VARVE_EPARSE, p->token.at, "IF NOT EXISTS is not supported");
    rc = take_name(p, "the table's name", &p->table);
    if (rc < 0 || !is_sign(p, '.'))
        return rc;
    rc = advance(p); /* that was a keyspace: a store has none, the text of others does */
    if (rc < 0)
        return rc;
    return take_name(p, "the table's name", &p->table);
}

/* ( column type, ..., PRIMARY KEY (...) ) */
static varve_status parse_definitions(struct parser *p)
{
    varve_status rc;

    if (!is_sign(p, '('))
        return expected(p, "'('");
    do {
        rc = advance(p); /* the '(' or ',' */
        if (rc < 0)
            return rc;
        rc = is_word(p, "primary") ? parse_primary_key(p) : parse_column(p);
        if (rc < 0)
            return rc;
    } while (is_sign(p, ','));
    if (is_sign(p, ')') && !p->has_key)
        return refuse(p, VARVE_EPARSE, p->token.at, "the table has no PRIMARY KEY (...)");
    return take_sign(p, ')', "',' or ')'");
}

/* ----------------------------------------------------------------------------------- Options */

/* CLUSTERING ORDER BY (a ASC, b DESC); the token is CLUSTERING. */
static varve_status parse_order(struct parser *p)
{
    varve_status rc;

    if (p->has_order)
        return refuse(p, VARVE_EPARSE, p->token.at, "CLUSTERING ORDER BY is given already");
    p->has_order = true;
    rc = advance(p);
    if (rc < 0)
        return rc;
    rc = take_word(p, "order", "ORDER BY");
    if (rc < 0)
        return rc;
    rc = take_word(p, "by", "BY");
    if (rc < 0)
        return rc;
    if (!is_sign(p, '('))
        return expected(p, "'('");
    do {
        rc = advance(p); /* the '(' or ',' */
        if (rc < 0)
            return rc;
        struct parsed_name name;
        rc = take_name(p, "a clustering column", &name);
        if (rc < 0)
            return rc;
        if (p->n_order == p->n_clustering ||
            varve_span_compare(name.name, p->clustering[p->n_order].name) != 0)
            return refuse(p, VARVE_EPARSE, name.at,
                          "CLUSTERING ORDER BY must name the clustering columns in the order of "
                          "the primary key");
        if (!is_word(p, "asc") && !is_word(p, "desc"))
            return expected(p, "ASC or DESC");
        p->descending[p->n_order++] = is_word(p, "desc");
        rc = advance(p);
        if (rc < 0)
            return rc;
    } while (is_sign(p, ','));
    return take_sign(p, ')', "',' or ')'");
}

/* One of the strings in `words` (NULL ends them) as its number, from 1. */
static varve_status take_choice(struct parser *p, const char *const *words, const char *what,
                                uint8_t *ret_choice)
{
    for (uint8_t i = 0; words[i] != NULL; i++) {
        if (is_string(p, words[i])) {
            *ret_choice = (uint8_t)(i + 1);
            return advance(p);
        }
    }
    return expected(p, what);
}

static varve_status take_zero_ttl(struct parser *p)
{
    if (p->token.kind != TOKEN_NUMBER)
        return expected(p, "0");
    if (p->token.size != 1 || p->text[p->token.at] != '0')
        return refuse(p, VARVE_EPARSE, p->token.at,
                      "a default_time_to_live other than 0 is not supported");
    p->has_ttl = true;
    return advance(p);
}

/* An option that is not ours: say why. The token is its name. */
static varve_status refuse_option(struct parser *p)
{
    static const char *const cassandra[] = {"additional_write_policy",
                                            "allow_auto_snapshot",
                                            "bloom_filter_fp_chance",
                                            "caching",
                                            "cdc",
                                            "comment",
                                            "compaction",
                                            "compression",
                                            "crc_check_chance",
                                            "dclocal_read_repair_chance",
                                            "extensions",
                                            "gc_grace_seconds",
                                            "id",
                                            "incremental_backups",
                                            "max_index_interval",
                                            "memtable",
                                            "memtable_flush_period_in_ms",
                                            "min_index_interval",
                                            "read_repair",
                                            "read_repair_chance",
                                            "speculative_retry"};

    if (p->token.kind != TOKEN_WORD)
        return expected(p, "an option");
    if (is_word(p, "compact"))
        return refuse(p, VARVE_EPARSE, p->token.at, "COMPACT STORAGE is not supported");
    for (size_t i = 0; i < sizeof cassandra / sizeof cassandra[0]; i++)
        if (is_word(p, cassandra[i]))
            return refuse(p, VARVE_EPARSE, p->token.at,
                          "the Cassandra option %s has no meaning here: leave it out",
                          cassandra[i]);
    return refuse(p, VARVE_EPARSE, p->token.at,
                  "there is no option %.*s; known are CLUSTERING ORDER BY, clustering_unit, "
                  "duplicates and default_time_to_live",
                  shown(p->token.size), p->text + p->token.at);
}

static varve_status parse_option(struct parser *p)
{
    static const char *const units[] = {"s", "ms", "us", "ns", NULL};
    static const char *const duplicates[] = {"upsert", "keep", "first", "error", NULL};
    const size_t at = p->token.at;
    const bool is_unit = is_word(p, "clustering_unit");
    const bool is_rule = is_word(p, "duplicates");
    const bool is_ttl = is_word(p, "default_time_to_live");
    varve_status rc;

    if (is_word(p, "clustering"))
        return parse_order(p);
    if (!is_unit && !is_rule && !is_ttl)
        return refuse_option(p);
    if ((is_unit && p->unit != 0) || (is_rule && p->duplicates != 0) || (is_ttl && p->has_ttl))
        return refuse(p, VARVE_EPARSE, at, "this option is given already");
    rc = advance(p);
    if (rc < 0)
        return rc;
    rc = take_sign(p, '=', "'='");
    if (rc < 0)
        return rc;
    if (is_unit) {
        p->unit_at = at;
        return take_choice(p, units, "'s', 'ms', 'us' or 'ns'", &p->unit);
    }
    if (is_rule)
        return take_choice(p, duplicates, "'upsert', 'keep', 'first' or 'error'", &p->duplicates);
    return take_zero_ttl(p);
}

static varve_status parse_options(struct parser *p)
{
    varve_status rc;

    if (!is_word(p, "with"))
        return VARVE_OK;
    do {
        rc = advance(p); /* WITH or AND */
        if (rc < 0)
            return rc;
        rc = parse_option(p);
        if (rc < 0)
            return rc;
    } while (is_word(p, "and"));
    return VARVE_OK;
}

static varve_status parse_statement(struct parser *p)
{
    varve_status rc = advance(p);

    if (rc < 0)
        return rc;
    rc = take_word(p, "create", "CREATE TABLE");
    if (rc < 0)
        return rc;
    rc = take_word(p, "table", "TABLE");
    if (rc < 0)
        return rc;
    rc = parse_table_name(p);
    if (rc < 0)
        return rc;
    rc = parse_definitions(p);
    if (rc < 0)
        return rc;
    rc = parse_options(p);
    if (rc < 0)
        return rc;
    if (is_sign(p, ';')) {
        rc = advance(p);
        if (rc < 0)
            return rc;
        return p->token.kind == TOKEN_END ? VARVE_OK : expected(p, "nothing after ';'");
    }
    if (p->token.kind != TOKEN_END)
        return expected(p, p->unit || p->duplicates || p->has_ttl || p->has_order
                               ? "AND, ';' or the end"
                               : "WITH, ';' or the end");
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------ Result */

/* Find the column that the key names and number it `number` in the draft's arrays. */
static varve_status resolve_key_column(struct parser *p, const struct parsed_name *key,
                                       uint32_t number, varve_column_info *columns,
                                       struct varve_span *names)
{
    for (size_t i = 0; i < p->n_columns; i++) {
        struct parsed_column *column = &p->columns[i];
        if (varve_span_compare(column->name.name, key->name) != 0)
            continue;
        if (column->is_key)
            return refuse(p, VARVE_EPARSE, key->at, "column %.*s is in the primary key twice",
                          shown(key->name.size), (const char *)key->name.data);
        column->is_key = true;
        columns[number] = (varve_column_info){
            .type = column->type, .precision = column->precision, .scale = column->scale};
        names[number] = column->name.name;
        return VARVE_OK;
    }
    return refuse(p, VARVE_EPARSE, key->at, "the primary key names %.*s, which is no column",
                  shown(key->name.size), (const char *)key->name.data);
}

static varve_status check_time_column(struct parser *p, uint8_t type)
{
    if (type == VARVE_TIMESTAMP || type == VARVE_DATE || type == VARVE_TIME ||
        (type >= VARVE_TINYINT && type <= VARVE_BIGINT))
        return VARVE_OK;
    return refuse(p, VARVE_EPARSE, p->clustering[0].at,
                  "%.*s, the first clustering column, is the time column: its type must be "
                  "timestamp, date, time or an integer",
                  shown(p->clustering[0].name.size), (const char *)p->clustering[0].name.data);
}

/* Bring the columns into the schema's order: partition key, time, further clustering, values. */
static varve_status arrange_columns(struct parser *p, varve_column_info *columns,
                                    struct varve_span *names)
{
    const uint8_t unit = p->unit != 0 ? p->unit : VARVE_MILLISECONDS;
    bool timed = false;
    uint32_t number = 0;
    varve_status rc;

    for (uint32_t i = 0; i < p->n_partition; i++) {
        rc = resolve_key_column(p, &p->partition[i], number++, columns, names);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < p->n_clustering; i++) {
        rc = resolve_key_column(p, &p->clustering[i], number, columns, names);
        if (rc < 0)
            return rc;
        columns[number++].descending = i < p->n_order && p->descending[i];
    }
    rc = check_time_column(p, columns[p->n_partition].type);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < p->n_columns; i++) {
        const struct parsed_column *column = &p->columns[i];
        if (column->is_key)
            continue;
        columns[number] = (varve_column_info){
            .type = column->type, .precision = column->precision, .scale = column->scale};
        names[number++] = column->name.name;
    }
    assert(number == p->n_columns);
    for (uint32_t i = 0; i < number; i++) {
        columns[i].id = i + 1;
        if (columns[i].type == VARVE_TIMESTAMP) {
            columns[i].unit = unit;
            timed = true;
        }
    }
    if (p->unit != 0 && !timed)
        return refuse(p, VARVE_EPARSE, p->unit_at,
                      "clustering_unit is the unit of timestamps, and the table has none");
    return VARVE_OK;
}

static varve_status make_schema(struct parser *p, struct varve_schema **ret_schema)
{
    varve_column_info *columns = varve_alloc_zero(p->heap, p->n_columns + 1, sizeof *columns);
    struct varve_span *names = varve_alloc_zero(p->heap, p->n_columns + 1, sizeof *names);
    varve_status rc;

    if (columns == NULL || names == NULL) {
        rc = varve_error_nomem(p->err, "a schema");
        goto done;
    }
    rc = arrange_columns(p, columns, names);
    if (rc < 0)
        goto done;
    const struct varve_schema_draft draft = {
        .version = 1,
        .next_column_id = (uint32_t)p->n_columns + 1,
        .n_columns = (uint32_t)p->n_columns,
        .n_partition = p->n_partition,
        .n_clustering = p->n_clustering - 1,
        .max_clock_skew_us = VARVE_MAX_CLOCK_SKEW_US,
        .duplicates = p->duplicates != 0 ? p->duplicates : VARVE_DUPLICATES_UPSERT,
        .name = p->table.name,
        .columns = columns,
        .names = names,
    };
    rc = varve_schema_build(p->heap, &draft, ret_schema, p->err);

done:
    varve_free(p->heap, columns, columns == NULL ? 0 : (p->n_columns + 1) * sizeof *columns);
    varve_free(p->heap, names, names == NULL ? 0 : (p->n_columns + 1) * sizeof *names);
    return rc;
}

varve_status varve_schema_from_text(struct varve_heap *heap, const char *text,
                                    struct varve_schema **ret_schema, varve_error *err)
{
    struct parser p = {.text = text, .size = strnlen(text, TEXT_BYTES_MAX + 1)};
    varve_status rc;

    if (p.size > TEXT_BYTES_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the CREATE TABLE text is longer than %u bytes", TEXT_BYTES_MAX);
    p.heap = heap;
    p.err = err;
    p.pool = varve_alloc(heap, p.size + 1);
    if (p.pool == NULL)
        return varve_error_nomem(err, "a CREATE TABLE statement");
    rc = parse_statement(&p);
    if (rc == VARVE_OK)
        rc = make_schema(&p, ret_schema);
    varve_free(heap, p.columns, p.capacity * sizeof *p.columns);
    varve_free(heap, p.pool, p.size + 1);
    return rc;
}
