/*
 * kernel_script.c - see kernel_script.h. __wrap_x() is called in the place of x(), and __real_x() is
 * what x() was.
 */
#include "kernel_script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#if VARVE_HAVE_URING
#include <liburing.h>
#endif

static struct kernel_script current;

void kernel_script_set(const struct kernel_script *script)
{
    current = *script;
    current.hits = 0;
}

uint32_t kernel_script_end(void)
{
    const uint32_t hits = current.hits;
    current = (struct kernel_script){0};
    return hits;
}

static bool is_scripted(enum kernel_call call)
{
    if (current.call != call)
        return false;
    if (current.skip > 0) {
        current.skip--;
        return false;
    }
    if (current.times == 0)
        return false;
    current.times--;
    current.hits++;
    errno = current.error;
    return true;
}

/* Whether the call fails; else *size is what it may move. */
static bool fails(enum kernel_call call, size_t *size)
{
    if (!is_scripted(call))
        return false;
    if (current.error == 0 && size != NULL && *size > current.at_most)
        *size = current.at_most;
    return current.error != 0;
}

ssize_t __real_pread64(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset)
{
    return fails(KERNEL_PREAD, &size) ? -1 : __real_pread64(fd, buffer, size, offset);
}

ssize_t __real_pwrite64(int fd, const void *buffer, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t size, off_t offset)
{
    return fails(KERNEL_PWRITE, &size) ? -1 : __real_pwrite64(fd, buffer, size, offset);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *parts, int n, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *parts, int n, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
    struct iovec part = *parts;
    return fails(KERNEL_PWRITEV2, &part.iov_len) ? -1
                                                 : __real_pwritev64v2(fd, &part, n, offset, flags);
}

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    if (current.text != NULL && is_scripted(KERNEL_READ)) {
        const size_t length = strlen(current.text);
        memcpy(buffer, current.text, length < size ? length : size);
        return (ssize_t)(length < size ? length : size);
    }
    return fails(KERNEL_READ, &size) ? -1 : __real_read(fd, buffer, size);
}

ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
    return fails(KERNEL_WRITE, &size) ? -1 : __real_write(fd, buffer, size);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return fails(KERNEL_FDATASYNC, NULL) ? -1 : __real_fdatasync(fd);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return fails(KERNEL_FSYNC, NULL) ? -1 : __real_fsync(fd);
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
    return fails(KERNEL_FTRUNCATE, NULL) ? -1 : __real_ftruncate64(fd, size);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    return fails(KERNEL_FALLOCATE, NULL) ? -1 : __real_fallocate64(fd, mode, offset, size);
}

int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
    return fails(KERNEL_FSTAT, NULL) ? -1 : __real_fstat64(fd, st);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list list;

    va_start(list, command);
    void *argument = va_arg(list, void *); /* an int comes in the same register */
    va_end(list);
    return fails(KERNEL_FCNTL, NULL) ? -1 : __real_fcntl64(fd, command, argument);
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode)
{
    return fails(KERNEL_FCHMOD, NULL) ? -1 : __real_fchmod(fd, mode);
}

int __real_openat64(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails(KERNEL_OPENAT, NULL) ? -1 : __real_openat64(dir_fd, name, flags, mode);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails(KERNEL_OPEN, NULL) ? -1 : __real_open64(path, flags, mode);
}

ssize_t __real_getdents64(int fd, void *buffer, size_t size);
ssize_t __wrap_getdents64(int fd, void *buffer, size_t size);
ssize_t __wrap_getdents64(int fd, void *buffer, size_t size)
{
    return fails(KERNEL_GETDENTS, NULL) ? -1 : __real_getdents64(fd, buffer, size);
}

ssize_t __real_getrandom(void *buffer, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
    return fails(KERNEL_GETRANDOM, &size) ? -1 : __real_getrandom(buffer, size, flags);
}

pid_t __real_getpid(void);
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
    return is_scripted(KERNEL_GETPID) ? -7 : __real_getpid();
}

int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st)
{
    if (!is_scripted(KERNEL_STATX))
        return __real_statx(fd, path, flags, mask, st);
    if (current.error != 0)
        return -1;
    memset(st, 0, sizeof *st);
    st->stx_mask = current.mask;
#ifdef STATX_DIOALIGN
    st->stx_dio_offset_align = current.align;
    st->stx_dio_mem_align = current.align == 0 ? 0 : 4;
#endif
    return 0;
}

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
    return fails(KERNEL_EVENTFD, NULL) ? -1 : __real_eventfd(count, flags);
}

#if VARVE_HAVE_URING
int __real_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *p)
{
    const bool scripted = is_scripted(KERNEL_RING_INIT);
    if (scripted && current.error != 0)
        return -current.error;
    const int rc = __real_io_uring_queue_init_params(n, ring, p);
    if (scripted)
        p->features = 0;
    return rc;
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    return is_scripted(KERNEL_RING_SUBMIT) ? -current.error : __real_io_uring_submit(ring);
}

int __real_io_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned n,
                              struct __kernel_timespec *limit, sigset_t *mask);
int __wrap_io_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned n,
                              struct __kernel_timespec *limit, sigset_t *mask);
int __wrap_io_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned n,
                              struct __kernel_timespec *limit, sigset_t *mask)
{
    return is_scripted(KERNEL_RING_WAIT) ? -current.error
                                         : __real_io_uring_wait_cqes(ring, cqe, n, limit, mask);
}
#endif
