/*
 * disk_fails.c - loaded before the C library (LD_PRELOAD): a disk that fails where the environment says.
 *
 *   DISK_FAILS_READ=NAME:OFFSET   reads that take in this byte of a file whose path ends so: EIO
 *   DISK_FAILS_SYNC=NAME          syncs of such a file, once standard input has been read to its end: EIO
 *
 * There is no io_uring then, so that these calls are all there are.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool input_ended;

/* The C library's function, as a pointer that C lets be called. */
static void find(const char *name, void *ret_function)
{
    void *const symbol = dlsym(RTLD_NEXT, name);

    if (symbol == NULL)
        abort();
    memcpy(ret_function, &symbol, sizeof symbol);
}

/* Whether the path of `fd` ends with the first `size` bytes of `name`. */
static bool is_named(int fd, const char *name, size_t size)
{
    char link[64], path[4096];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path);
    return n >= 0 && (size_t)n >= size && memcmp(path + (size_t)n - size, name, size) == 0;
}

static bool fails_to_read(int fd, size_t size, off_t offset)
{
    const char *const fails = getenv("DISK_FAILS_READ");
    const char *const at = fails == NULL ? NULL : strrchr(fails, ':');

    if (at == NULL || !is_named(fd, fails, (size_t)(at - fails)))
        return false;
    const off_t byte = (off_t)strtoll(at + 1, NULL, 10);
    return offset <= byte && byte - offset < (off_t)size;
}

ssize_t pread(int fd, void *out, size_t size, off_t offset)
{
    ssize_t (*next)(int, void *, size_t, off_t);

    if (fails_to_read(fd, size, offset)) {
        errno = EIO;
        return -1;
    }
    find("pread64", &next);
    return next(fd, out, size, offset);
}

ssize_t read(int fd, void *out, size_t size)
{
    ssize_t (*next)(int, void *, size_t);

    find("read", &next);
    const ssize_t n = next(fd, out, size);
    input_ended = input_ended || (fd == STDIN_FILENO && n == 0 && size > 0);
    return n;
}

int fdatasync(int fd)
{
    const char *const fails = getenv("DISK_FAILS_SYNC");
    int (*next)(int);

    if (fails != NULL && input_ended && is_named(fd, fails, strlen(fails))) {
        errno = EIO;
        return -1;
    }
    find("fdatasync", &next);
    return next(fd);
}

struct io_uring;
struct io_uring_params;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params);
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params)
{
    (void)entries;
    (void)ring;
    (void)params;
    return -ENOSYS;
}
