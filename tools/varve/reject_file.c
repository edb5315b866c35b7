/*
 * reject_file.c - see reject_file.h.
 */
#include "tools/varve/reject_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "tools/varve/command.h"

#define SAID_MAX 3
#define NAMES_MAX 10000

/* TABLE.rejects.csv, TABLE.rejects.1.csv, ...: what an earlier import rejected is not lost. */
static int open_free_name(struct reject_file *rejects)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        char number[16] = "";
        if (i > 0)
            (void)snprintf(number, sizeof number, ".%d", i);
        (void)snprintf(rejects->name, sizeof rejects->name, "%s.rejects%s.csv", rejects->table,
                       number);
        for (char *at = rejects->name; *at != '\0'; at++)
            if (*at == '/')
                *at = '_';
        const int fd = open(rejects->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static bool complain(struct reject_file *rejects)
{
    tool_say("rejects file %s: %s", rejects->name, tool_os_text(errno));
    rejects->failed = true;
    return false;
}

static bool open_file(struct reject_file *rejects)
{
    int fd;

    if (rejects->wanted != NULL) {
        (void)snprintf(rejects->name, sizeof rejects->name, "%s", rejects->wanted);
        fd = open(rejects->wanted, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    } else {
        fd = open_free_name(rejects);
    }
    if (fd < 0)
        return complain(rejects);
    rejects->out = fdopen(fd, "w");
    if (rejects->out == NULL) {
        (void)close(fd);
        return complain(rejects);
    }
    return fputs("file,line,reason,record\n", rejects->out) >= 0 || complain(rejects);
}

static void put_quoted(FILE *out, const char *text, size_t size)
{
    (void)putc('"', out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            (void)putc('"', out);
        (void)putc(text[i], out);
    }
    (void)putc('"', out);
}

bool reject_file_add(struct reject_file *rejects, const char *file, uint64_t line,
                     const char *reason, const char *record, size_t size)
{
    if (rejects->failed || (rejects->out == NULL && !open_file(rejects)))
        return false;
    if (rejects->said < SAID_MAX)
        tool_say("%s, line %" PRIu64 ": rejected: %s", file, line, reason);
    if (rejects->said++ == SAID_MAX)
        tool_say("further rejected records are only in %s", rejects->name);
    put_quoted(rejects->out, file, strlen(file));
    (void)fprintf(rejects->out, ",%" PRIu64 ",", line);
    put_quoted(rejects->out, reason, strlen(reason));
    (void)putc(',', rejects->out);
    put_quoted(rejects->out, record, size);
    (void)putc('\n', rejects->out);
    return ferror(rejects->out) == 0 || complain(rejects);
}

bool reject_file_close(struct reject_file *rejects)
{
    FILE *out = rejects->out;

    rejects->out = NULL;
    if (out == NULL)
        return !rejects->failed;
    if (fclose(out) != 0 && !rejects->failed)
        return complain(rejects);
    return !rejects->failed;
}
