/*
 * scan_where.c - the conditions of --where (scan_request.h): column op literal { and ... }.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "tools/varve/command.h"
#include "tools/varve/scan_request.h"

struct where {
    const char *text;
    const char *at;
    const varve_schema *schema;
    char *copy; /* where the next literal goes */
};

static int complain(const struct where *where, const char *wanted)
{
    return tool_usage_error("--where, character %zu: %s expected%s%.20s%s",
                            (size_t)(where->at - where->text) + 1, wanted,
                            *where->at == '\0' ? ", but it ends" : " at '", where->at,
                            *where->at == '\0' ? "" : "'");
}

static void skip_blanks(struct where *where)
{
    while (isspace((unsigned char)*where->at))
        where->at++;
}

static int take_column(struct where *where, uint32_t *ret_column)
{
    char name[520];
    size_t size;
    varve_error err = {.status = VARVE_OK};

    skip_blanks(where);
    if (*where->at == '"') {
        const char *close = where->at + 1;
        while (*close != '\0' && (*close != '"' || close[1] == '"'))
            close += 1 + (*close == '"');
        if (*close == '\0')
            return complain(where, "a closing double quote");
        size = (size_t)(close + 1 - where->at);
    } else {
        size = strcspn(where->at, " \t\r\n=!<>'");
    }
    if (size == 0 || size >= sizeof name)
        return complain(where, "a column");
    memcpy(name, where->at, size);
    name[size] = '\0';
    if (varve_schema_find(where->schema, name, ret_column, &err) < 0)
        return tool_column_failure(&err, where->schema, "--where");
    where->at += size;
    return TOOL_OK;
}

static int take_operator(struct where *where, uint32_t *ret_op)
{
    static const struct {
        const char *text;
        varve_op op;
    } operators[] = {{"<=", VARVE_LE}, {">=", VARVE_GE}, {"!=", VARVE_NE}, {"<>", VARVE_NE},
                     {"=", VARVE_EQ},  {"<", VARVE_LT},  {">", VARVE_GT}};

    skip_blanks(where);
    if (strncmp(where->at, "==", 2) == 0)
        return complain(where, "'=' (a single one)");
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        const size_t size = strlen(operators[i].text);
        if (strncmp(where->at, operators[i].text, size) == 0) {
            where->at += size;
            *ret_op = operators[i].op;
            return TOOL_OK;
        }
    }
    return complain(where, "one of = != <> < <= > >=");
}

/* 'text' with quotes doubled, or a word: its characters go to where->copy. */
static int take_literal(struct where *where, const varve_column_info *column, varve_value *ret)
{
    char *const text = where->copy;
    varve_error err = {.status = VARVE_OK};

    skip_blanks(where);
    if (*where->at == '\'') {
        const char *at = where->at + 1;
        for (; *at != '\'' || at[1] == '\''; at++) {
            if (*at == '\0')
                return complain(where, "a closing quote");
            at += *at == '\'';
            *where->copy++ = *at;
        }
        where->at = at + 1;
    } else {
        if (column->type == VARVE_TEXT)
            return complain(where, "a text in single quotes");
        const size_t size = strcspn(where->at, " \t\r\n");
        if (size == 0)
            return complain(where, "a value");
        memcpy(where->copy, where->at, size);
        where->copy += size;
        where->at += size;
    }
    const size_t size = (size_t)(where->copy - text);
    /* A blob is shorter than its text, byte by byte, so it may be parsed in place. */
    char doing[80];
    (void)snprintf(doing, sizeof doing, "--where '%.*s'", (int)(size < 40 ? size : 40), text);
    if (varve_value_parse(column, text, size, text, ret, &err) < 0)
        return tool_request_failure(&err, doing);
    return TOOL_OK;
}

int scan_where_parse(const char *text, const varve_schema *schema, varve_predicate *predicates,
                     uint32_t *ret_n, char *text_copy)
{
    struct where where = {text, text, schema, text_copy};
    uint32_t n = 0;

    for (;;) {
        varve_predicate *predicate = &predicates[n];
        int code = take_column(&where, &predicate->column);
        if (code == TOOL_OK)
            code = take_operator(&where, &predicate->op);
        if (code == TOOL_OK)
            code = take_literal(&where, varve_schema_column(schema, predicate->column),
                                &predicate->value);
        if (code != TOOL_OK)
            return code;
        n++;
        skip_blanks(&where);
        if (*where.at == '\0')
            break;
        if (strncasecmp(where.at, "and", 3) != 0 ||
            (where.at[3] != '\0' && !isspace((unsigned char)where.at[3])))
            return complain(&where, "'and'");
        where.at += 3;
        skip_blanks(&where);
        if (*where.at == '\0')
            return complain(&where, "another condition behind 'and'");
    }
    *ret_n = n;
    return TOOL_OK;
}
