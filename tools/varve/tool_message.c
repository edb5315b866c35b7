/*
 * tool_message.c - what the tool says on stderr, and the exit codes that follow from failures
 * (command.h). Opening tables, because its failure is the most common.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "tools/varve/command.h"

const char *tool_os_text(int code)
{
    const char *text = strerrordesc_np(code);

    return text == NULL ? "unknown error" : text;
}

/* One line, whatever bytes a message quotes: control characters become spaces. */
TOOL_PRINTF(1, 0) static void say_line(const char *format, va_list arguments)
{
    char line[2048];

    (void)vsnprintf(line, sizeof line, format, arguments);
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    (void)fflush(stdout); /* so that both appear in the order in which they were said */
    (void)fprintf(stderr, "varve: %s\n", line);
}

void tool_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
}

int tool_usage_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
    return TOOL_USAGE;
}

void tool_failure_text(const varve_error *err, char *out, size_t size)
{
    char place[200] = "", log[80] = "", code[160] = "";
    const char *message = err->message[0] != '\0' ? err->message : varve_status_text(err->status);

    if (err->file[0] != '\0' && err->offset != UINT64_MAX)
        (void)snprintf(place, sizeof place, " (%s, offset %" PRIu64 ")", err->file, err->offset);
    else if (err->file[0] != '\0')
        (void)snprintf(place, sizeof place, " (%s)", err->file);
    if (err->lsn != UINT64_MAX && err->lsn_end != UINT64_MAX && err->lsn_end > err->lsn)
        (void)snprintf(log, sizeof log, ", log range %" PRIu64 " to %" PRIu64, err->lsn,
                       err->lsn_end);
    if (err->os_code > 0 && err->status != VARVE_ENOTFOUND &&
        strstr(message, tool_os_text(err->os_code)) == NULL)
        (void)snprintf(code, sizeof code, ": %s", tool_os_text(err->os_code));
    (void)snprintf(out, size, "%s%s%s%s", message, code, place, log);
}

bool tool_lacks_memory(const varve_error *err)
{
    return err->status == VARVE_ELIMIT && strstr(err->message, "memory_limit") != NULL;
}

int tool_failure(const varve_error *err, const char *doing)
{
    char text[900];

    tool_failure_text(err, text, sizeof text);
    tool_say("%s%s%s%s", doing, doing[0] == '\0' ? "" : ": ", text,
             tool_lacks_memory(err) ? " (--memory SIZE)" : "");
    return err->status == VARVE_ECORRUPT ? TOOL_CORRUPT : TOOL_FAILED;
}

int tool_request_failure(const varve_error *err, const char *doing)
{
    const int code = tool_failure(err, doing);

    switch ((int)err->status) {
    case VARVE_EINVAL:
    case VARVE_ENOTFOUND:
    case VARVE_EPARSE:
    case VARVE_ETYPE:
        return TOOL_USAGE;
    default:
        return code;
    }
}

void tool_name_append(char list[TOOL_NAMES_MAX], const char *separator, const char *quote,
                      const char *name, size_t size)
{
    const size_t used = strlen(list);
    const bool fits = used + size + 16 < TOOL_NAMES_MAX;

    if (!fits && used >= 4 && strcmp(list + used - 4, " ...") == 0)
        return;
    (void)snprintf(list + used, TOOL_NAMES_MAX - used, "%s%s%.*s%s", used == 0 ? "" : separator,
                   fits ? quote : "", fits ? (int)size : 4, fits ? name : " ...",
                   fits ? quote : "");
}

void tool_column_names(const varve_schema *schema, char list[TOOL_NAMES_MAX])
{
    list[0] = '\0';
    for (uint32_t i = 0; i < varve_schema_columns(schema); i++) {
        const char *name = varve_schema_column(schema, i)->name;
        tool_name_append(list, ", ", "", name, strlen(name));
    }
}

int tool_column_failure(const varve_error *err, const varve_schema *schema, const char *doing)
{
    char columns[TOOL_NAMES_MAX];

    if (err->status != VARVE_ENOTFOUND)
        return tool_request_failure(err, doing);
    tool_column_names(schema, columns);
    return tool_usage_error("%s: %s; its columns are %s", doing, err->message, columns);
}

int tool_finish_output(int code)
{
    const bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;

    if (!failed)
        return code;
    if (errno != EPIPE)
        tool_say("stdout: %s", tool_os_text(errno));
    return code == TOOL_OK || code == TOOL_NOTHING ? TOOL_FAILED : code;
}

int tool_open_table(varve_store *store, const char *name, varve_table **ret_table)
{
    char names[512] = "";
    size_t size = 0;
    varve_error err = {.status = VARVE_OK};

    if (varve_table_open(store, name, ret_table, &err) >= 0)
        return TOOL_OK;
    if (err.status != VARVE_ENOTFOUND)
        return tool_request_failure(&err, name);
    for (uint32_t i = 0; size < sizeof names; i++) {
        const varve_table *table = varve_table_at(store, i);
        if (table == NULL)
            break;
        const int more = snprintf(names + size, sizeof names - size, "%s%s", i == 0 ? "" : ", ",
                                  varve_schema_table_name(varve_table_schema(table)));
        size += more > 0 ? (size_t)more : 0;
    }
    return tool_usage_error("there is no table '%s' (tables: %s)", name,
                            size == 0 ? "none" : names);
}
