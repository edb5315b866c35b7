/*
 * lock_owner.c - who holds a lock that belongs to an open file? The kernel says only that somebody
 * does, so /proc is searched: for each process, a descriptor of the same file whose fdinfo lists a
 * lock. Only for error messages: best effort, bounded, and 0 where /proc does not tell.
 *
 * Threads. None of its own; no state.
 */
#include "storage/vfs/posix_int.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_SIZE 4096
#define FDINFO_SIZE 4096
#define FDS_MAX 4096 /* descriptors looked at in one process */

/* A number that is a whole directory entry's name, or -1. */
static int64_t name_to_number(const char *name)
{
    int64_t value = 0;
    size_t i = 0;

    for (; name[i] != 0 && i < 10; i++) {
        if (!isdigit((unsigned char)name[i]))
            return -1;
        value = value * 10 + (name[i] - '0');
    }
    return i == 0 || name[i] != 0 ? -1 : value;
}

/* True if the open file behind /proc/PID/fdinfo/FD holds an OFD lock. */
static bool holds_lock(int64_t pid, int64_t number)
{
    char path[64], text[FDINFO_SIZE];
    ssize_t size;

    (void)snprintf(path, sizeof path, "/proc/%lld/fdinfo/%lld", (long long)pid, (long long)number);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    do
        size = read(fd, text, sizeof text - 1);
    while (size < 0 && errno == EINTR);
    (void)close(fd);
    if (size <= 0)
        return false;
    text[size] = 0;
    return strstr(text, "OFDLCK") != NULL;
}

struct search {
    struct stat file;
    int64_t self;
    int own_fd; /* the asker's, whose own locks do not conflict */
    int64_t pid;
    bool found;
};

static bool visit_fd(struct search *search, int dir_fd, const char *name)
{
    struct stat st;
    const int64_t number = name_to_number(name);

    if (number < 0 || (search->pid == search->self && number == search->own_fd))
        return false;
    if (fstatat(dir_fd, name, &st, 0) < 0 || st.st_dev != search->file.st_dev ||
        st.st_ino != search->file.st_ino)
        return false;
    return holds_lock(search->pid, number);
}

static bool visit_process(struct search *search, const char *name)
{
    char path[64];
    _Alignas(struct dirent64) char entries[ENTRIES_SIZE];
    unsigned seen = 0;
    ssize_t size;

    search->pid = name_to_number(name);
    if (search->pid <= 0)
        return false;
    (void)snprintf(path, sizeof path, "/proc/%lld/fd", (long long)search->pid);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false; /* another user's */
    while (!search->found && seen < FDS_MAX && (size = getdents64(fd, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < size && !search->found; seen++) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
            at += entry->d_reclen;
            search->found = visit_fd(search, fd, entry->d_name);
        }
    (void)close(fd);
    return search->found;
}

int64_t varve_posix_lock_owner(int fd)
{
    struct search search = {.self = getpid(), .own_fd = fd};
    _Alignas(struct dirent64) char entries[ENTRIES_SIZE];
    ssize_t size;

    if (fstat(fd, &search.file) < 0)
        return 0;
    const int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return 0;
    while (!search.found && (size = getdents64(proc, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < size && !search.found;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
            at += entry->d_reclen;
            (void)visit_process(&search, entry->d_name);
        }
    (void)close(proc);
    return search.found ? search.pid : 0;
}
