/*
 * reject_file.c - see reject_file.h.
 */
#include "tools/varve/reject_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/varve/command.h"

#define SAID_MAX 3
#define NAMES_MAX 10000
#define BUFFER_BYTES ((size_t)1 << 16)
#define HEADER "file,line,reason,record\n"

static const int create_flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;

/* --------------------------------------------------------------------------------------- Names */

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
        const int fd = open(rejects->name, create_flags, 0644);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* `ret_made`: the file was not there before. */
static int open_name(struct reject_file *rejects, bool *ret_made)
{
    struct stat status;

    *ret_made = true;
    if (rejects->wanted == NULL)
        return open_free_name(rejects);
    (void)snprintf(rejects->name, sizeof rejects->name, "%s", rejects->wanted);
    *ret_made = stat(rejects->wanted, &status) != 0 || S_ISREG(status.st_mode);
    return open(rejects->wanted, *ret_made ? create_flags : O_WRONLY | O_CLOEXEC, 0644);
}

/* Whether the file is an input: by device and inode, so that no link hides it. */
static const char *same_input(const struct stat *file, char *const *inputs, int n_inputs)
{
    for (int i = 0; i < n_inputs; i++) {
        struct stat input;
        const int rc =
            strcmp(inputs[i], "-") == 0 ? fstat(STDIN_FILENO, &input) : stat(inputs[i], &input);
        if (rc == 0 && input.st_dev == file->st_dev && input.st_ino == file->st_ino &&
            !S_ISCHR(input.st_mode))
            return inputs[i];
    }
    return NULL;
}

/* A wanted name that is taken. */
static int check_wanted(const char *wanted, char *const *inputs, int n_inputs)
{
    struct stat status;

    if (stat(wanted, &status) != 0) {
        if (errno == ENOENT && lstat(wanted, &status) == 0)
            return tool_usage_error("--rejects %s: this is a link to nothing", wanted);
        return TOOL_OK; /* to be made; or making it tells what is wrong */
    }
    const char *input = same_input(&status, inputs, n_inputs);
    if (input != NULL)
        return tool_usage_error("--rejects %s: this is the file %s that is to be imported", wanted,
                                strcmp(input, "-") == 0 ? "stdin" : input);
    if (S_ISDIR(status.st_mode))
        return tool_usage_error("--rejects %s: this is a directory", wanted);
    if (S_ISREG(status.st_mode))
        return tool_usage_error("--rejects %s: this file exists, and nothing is overwritten: name "
                                "another one",
                                wanted);
    if (access(wanted, W_OK) != 0) {
        tool_say("--rejects %s: %s", wanted, tool_os_text(errno));
        return TOOL_FAILED;
    }
    return TOOL_OK;
}

int reject_file_prepare(struct reject_file *rejects, const char *wanted, const char *table,
                        char *const *inputs, int n_inputs)
{
    struct stat status;

    *rejects = (struct reject_file){.wanted = wanted, .table = table, .fd = -1};
    if (wanted != NULL) {
        const int code = check_wanted(wanted, inputs, n_inputs);
        if (code != TOOL_OK || stat(wanted, &status) == 0) /* opening a pipe would wait */
            return code;
    }
    bool made;
    const int fd = open_name(rejects, &made);
    if (fd < 0) {
        tool_say("the rejects file %s cannot be made: %s%s", rejects->name, tool_os_text(errno),
                 wanted == NULL ? " (--rejects FILE puts it elsewhere)" : "");
        return TOOL_FAILED;
    }
    (void)close(fd);
    if (made)
        (void)unlink(rejects->name); /* there is nothing to put into it yet */
    return TOOL_OK;
}

/* ------------------------------------------------------------------------------------- Records */

static void note(char *place, size_t size, const char *file)
{
    (void)snprintf(place, size, "%s", file);
}

/* From here on nothing is written: the first record that is missing is the first that waited. */
static void give_up(struct reject_file *rejects, int code, const char *file, uint64_t line)
{
    rejects->failed = true;
    rejects->lost_line = rejects->waiting > 0 ? rejects->waiting_line : line;
    note(rejects->lost_file, sizeof rejects->lost_file,
         rejects->waiting > 0 ? rejects->waiting_file : file);
    rejects->used = 0;
    rejects->waiting = 0;
    tool_say("rejects file %s: %s; the import goes on without it", rejects->name,
             tool_os_text(code));
}

/* 0, or what write() failed with; then the file is as long as it was. */
static int write_whole(struct reject_file *rejects, const char *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t n = write(rejects->fd, bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int code = errno;
            const int cut = ftruncate(rejects->fd, (off_t)rejects->size);
            (void)cut; /* a pipe has no length */
            return code;
        }
        done += (size_t)n;
    }
    rejects->size += size;
    return 0;
}

static void write_waiting(struct reject_file *rejects)
{
    const int code = write_whole(rejects, rejects->buffer, rejects->used);

    if (code != 0) {
        give_up(rejects, code, "", 0);
        return;
    }
    rejects->kept += rejects->waiting;
    rejects->waiting = 0;
    rejects->used = 0;
}

/* False: it has been given up. */
static bool open_file(struct reject_file *rejects, const char *file, uint64_t line)
{
    bool made;

    rejects->opened = true;
    rejects->capacity = BUFFER_BYTES;
    rejects->buffer = malloc(rejects->capacity);
    if (rejects->buffer != NULL)
        rejects->fd = open_name(rejects, &made);
    int code = rejects->buffer == NULL ? ENOMEM : rejects->fd < 0 ? errno : 0;
    if (code == 0)
        code = write_whole(rejects, HEADER, strlen(HEADER));
    if (code != 0)
        give_up(rejects, code, file, line);
    return code == 0;
}

/* Behind `used`, where there is room for it. */
static void put_quoted(struct reject_file *rejects, const char *text, size_t size)
{
    char *out = rejects->buffer + rejects->used;

    *out++ = '"';
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            *out++ = '"';
        *out++ = text[i];
    }
    *out++ = '"';
    rejects->used = (size_t)(out - rejects->buffer);
}

/* Room for one more record. False: there is no memory. */
static bool make_room(struct reject_file *rejects, size_t size)
{
    if (rejects->used + size > rejects->capacity && rejects->waiting > 0)
        write_waiting(rejects);
    if (rejects->failed || rejects->used + size <= rejects->capacity)
        return true;
    char *buffer = realloc(rejects->buffer, rejects->used + size);
    if (buffer == NULL)
        return false;
    rejects->buffer = buffer;
    rejects->capacity = rejects->used + size;
    return true;
}

void reject_file_add(struct reject_file *rejects, const char *file, uint64_t line,
                     const char *reason, const char *record, size_t size)
{
    const size_t room = 2 * (strlen(file) + strlen(reason) + size) + 64;

    if (rejects->added < SAID_MAX)
        tool_say("%s, line %" PRIu64 ": rejected: %s", file, line, reason);
    rejects->added++;
    if (rejects->failed || (!rejects->opened && !open_file(rejects, file, line)))
        return;
    if (rejects->added == SAID_MAX + 1)
        tool_say("further rejected records are only in %s", rejects->name);
    if (!make_room(rejects, room))
        give_up(rejects, ENOMEM, file, line);
    if (rejects->failed)
        return;
    if (rejects->waiting == 0) {
        rejects->waiting_line = line;
        note(rejects->waiting_file, sizeof rejects->waiting_file, file);
    }
    put_quoted(rejects, file, strlen(file));
    rejects->used += (size_t)snprintf(rejects->buffer + rejects->used, 32, ",%" PRIu64 ",", line);
    put_quoted(rejects, reason, strlen(reason));
    rejects->buffer[rejects->used++] = ',';
    put_quoted(rejects, record, size);
    rejects->buffer[rejects->used++] = '\n';
    rejects->waiting++;
}

void reject_file_flush(struct reject_file *rejects)
{
    if (rejects->waiting > 0)
        write_waiting(rejects);
}

void reject_file_close(struct reject_file *rejects)
{
    reject_file_flush(rejects);
    if (rejects->fd >= 0 && close(rejects->fd) != 0 && !rejects->failed)
        give_up(rejects, errno, "", 0);
    rejects->fd = -1;
    free(rejects->buffer);
    rejects->buffer = NULL;
    if (!rejects->opened)
        return;
    rejects->opened = false;
    if (!rejects->failed)
        tool_say("%" PRIu64 " rejected %s in %s", rejects->kept,
                 rejects->kept == 1 ? "record is" : "records are", rejects->name);
    else if (rejects->lost_line == 0)
        tool_say("%" PRIu64 " records were rejected; %s may not be whole", rejects->added,
                 rejects->name);
    else
        tool_say("%" PRIu64 " of %" PRIu64 " rejected records are in %s; the first that is missing "
                 "is %s, line %" PRIu64,
                 rejects->kept, rejects->added, rejects->name, rejects->lost_file,
                 rejects->lost_line);
}
