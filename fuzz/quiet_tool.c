/*
 * quiet_tool.c - see quiet_tool.h. In the place of text_input.c, reject_file.c, tool_message.c and
 * progress_line.c.
 */
#include "fuzz/quiet_tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "tools/varve/command.h"
#include "tools/varve/progress_line.h"
#include "tools/varve/reject_file.h"

void quiet_name(const void *address, char out[QUIET_NAME_MAX])
{
    (void)snprintf(out, QUIET_NAME_MAX, "%p", address);
}

static void *address_of(const char *name)
{
    void *address = NULL;

    if (sscanf(name, "%p", &address) != 1)
        abort();
    return address;
}

bool tool_lacks_memory(const varve_error *err)
{
    return err->status == VARVE_ELIMIT && strstr(err->message, "memory_limit") != NULL;
}

/* --------------------------------------------------------------------------------------- Texts */

struct text_input *text_input_open(const char *path)
{
    return address_of(path);
}

bool text_input_repeats(const char *path)
{
    (void)path;
    return true;
}

void text_input_close(struct text_input *input)
{
    if (input != NULL)
        input->at = 0;
}

int64_t text_input_read(struct text_input *input, uint8_t *out, size_t size)
{
    const size_t left = input->size - input->at;
    size_t n = input->piece > 0 && input->piece < size ? input->piece : size;

    n = n < left ? n : left;
    if (n > 0)
        memcpy(out, input->text + input->at, n);
    input->at += n;
    return (int64_t)n;
}

const char *text_input_fault(const struct text_input *input)
{
    (void)input;
    return "";
}

void text_input_set_patience(struct text_input *input, int milliseconds)
{
    (void)input;
    (void)milliseconds;
}

uint64_t text_input_verified(const struct text_input *input)
{
    return input->at;
}

uint64_t text_input_position(const struct text_input *input)
{
    return input->at;
}

uint64_t text_input_size(const struct text_input *input)
{
    return input->size;
}

/* ------------------------------------------------------------------------------------- Rejects */

void reject_file_add(struct reject_file *rejects, const char *file, uint64_t line,
                     const char *reason, const char *record, size_t size)
{
    struct quiet_rejects *const to = address_of(rejects->wanted);

    (void)file;
    to->records++;
    to->hash = varve_hash64(reason, strlen(reason), to->hash ^ line);
    to->hash = varve_hash64(record, size, to->hash);
}

void reject_file_flush(struct reject_file *rejects)
{
    (void)rejects;
}

/* ------------------------------------------------------------------------------------ Messages */

TOOL_PRINTF(1, 0) static void say(const char *format, va_list arguments)
{
    char line[2048];

    (void)vsnprintf(line, sizeof line, format, arguments);
}

void tool_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

int tool_usage_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return TOOL_USAGE;
}

void tool_failure_text(const varve_error *err, char *out, size_t size)
{
    (void)snprintf(out, size, "%s (%d)", err->message, (int)err->status);
}

int tool_failure(const varve_error *err, const char *doing)
{
    tool_say("%s: %s", doing, err->message);
    return err->status == VARVE_ECORRUPT ? TOOL_CORRUPT : TOOL_FAILED;
}

int tool_request_failure(const varve_error *err, const char *doing)
{
    (void)tool_failure(err, doing);
    return TOOL_USAGE;
}

const char *tool_os_text(int code)
{
    (void)code;
    return "";
}

void tool_name_append(char list[TOOL_NAMES_MAX], const char *separator, const char *quote,
                      const char *name, size_t size)
{
    const size_t used = strlen(list);

    (void)snprintf(list + used, TOOL_NAMES_MAX - used, "%s%s%.*s%s", used == 0 ? "" : separator,
                   quote, (int)(size < 60 ? size : 60), name, quote);
}

void tool_column_names(const varve_schema *schema, char list[TOOL_NAMES_MAX])
{
    list[0] = '\0';
    for (uint32_t i = 0; i < varve_schema_columns(schema); i++) {
        const char *const name = varve_schema_column(schema, i)->name;
        tool_name_append(list, ", ", "", name, strlen(name));
    }
}

int tool_column_failure(const varve_error *err, const varve_schema *schema, const char *doing)
{
    (void)schema;
    return tool_request_failure(err, doing);
}

double progress_now_s(void)
{
    return 0;
}

void progress_line_start(struct progress_line *line, uint64_t size)
{
    *line = (struct progress_line){.size = size};
}

void progress_line_show(struct progress_line *line, uint64_t rows, uint64_t position)
{
    (void)line;
    (void)rows;
    (void)position;
}

void progress_line_end(struct progress_line *line)
{
    (void)line;
}
