/*
 * vfs_posix.c - the disk through system calls: files of one directory, opened relative to its
 * descriptor. vfs_uring.c shares all of it but the queues. Its own queue does the work in submit.
 *
 * Invariants: posix_int.h. Threads: as vfs.h says.
 */
#include "storage/vfs/posix_int.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/base/error.h"

#define TRANSFER_MAX ((size_t)1 << 30) /* the kernel moves a little less than 2 GiB at once */
#define AGAIN_MAX 1000                 /* times that EAGAIN is met with patience */
#define LIST_BUFFER_SIZE 16384
#define DIRECT_ALIGN_GUESS 4096 /* where the kernel takes O_DIRECT but states no alignment */

struct posix_queue {
    struct varve_posix_handle handle;
    struct varve_posix_vfs *vfs;
    uint32_t depth;
    uint32_t first; /* of the finished ones in the ring `done` */
    uint32_t count;
    struct varve_io *done[];
};

static struct varve_posix_vfs *to_vfs(struct varve_vfs *vfs)
{
    return (struct varve_posix_vfs *)(void *)vfs;
}

static struct varve_posix_file *to_file(struct varve_file *file)
{
    return (struct varve_posix_file *)(void *)file;
}

static struct posix_queue *to_queue(struct varve_io_queue *queue)
{
    return (struct posix_queue *)(void *)queue;
}

bool varve_posix_is_foreign(const struct varve_posix_vfs *vfs)
{
    return (int64_t)getpid() != vfs->pid;
}

static bool file_is_foreign(const struct varve_posix_file *file)
{
    return varve_posix_is_foreign(file->vfs);
}

/* True if the call that left `error` is to be made again. */
static bool should_retry(int error, unsigned *again)
{
    if (error == EINTR)
        return true;
    if (error != EAGAIN || ++*again > AGAIN_MAX)
        return false;
    (void)sched_yield();
    return true;
}

/* ---- what is open ---- */

void varve_posix_link(struct varve_posix_vfs *vfs, struct varve_posix_handle *handle, uint32_t kind,
                      int fd, size_t size)
{
    handle->kind = kind;
    handle->fd = fd;
    handle->size = size;
    handle->prev = NULL;

    varve_mutex_lock(&vfs->mutex);
    struct varve_posix_handle *head = atomic_load_explicit(&vfs->open, memory_order_relaxed);
    atomic_init(&handle->next, head);
    if (head != NULL)
        head->prev = handle;
    atomic_store_explicit(&vfs->open, handle, memory_order_release);
    varve_mutex_unlock(&vfs->mutex);
}

void varve_posix_unlink(struct varve_posix_vfs *vfs, struct varve_posix_handle *handle)
{
    varve_mutex_lock(&vfs->mutex);
    struct varve_posix_handle *next = atomic_load_explicit(&handle->next, memory_order_relaxed);
    if (handle->prev != NULL)
        atomic_store_explicit(&handle->prev->next, next, memory_order_release);
    else
        atomic_store_explicit(&vfs->open, next, memory_order_release);
    if (next != NULL)
        next->prev = handle->prev;
    varve_mutex_unlock(&vfs->mutex);
}

/* Take a handle back. In a forked child nothing is done, because the mutex may be held by a thread
 * that does not exist there: abandon() gives all back at once. */
static void handle_release(struct varve_posix_vfs *vfs, struct varve_posix_handle *handle)
{
    if (varve_posix_is_foreign(vfs))
        return;
    varve_posix_unlink(vfs, handle);
    if (handle->fd >= 0)
        (void)close(handle->fd);
    varve_free(vfs->heap, handle, handle->size);
}

/* ---- opening ---- */

static int name_check(const char *name)
{
    const size_t size = strlen(name);
    if (size == 0 || size > NAME_MAX || memchr(name, '/', size) != NULL)
        return -EINVAL;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

static int open_retrying(int dir_fd, const char *name, int flags, mode_t mode)
{
    for (;;) {
        const int fd = openat(dir_fd, name, flags, mode);
        if (fd >= 0 || errno != EINTR)
            return fd >= 0 ? fd : -errno;
    }
}

/* Create `name`; the mode is set again because the umask had its say in openat(). */
static int create_fd(const struct varve_posix_vfs *vfs, const char *name, int flags)
{
    const int fd = open_retrying(vfs->dir_fd, name, flags | O_CREAT | O_EXCL, vfs->file_mode);
    if (fd < 0)
        return fd;
    if (fchmod(fd, vfs->file_mode) == 0)
        return fd;
    const int rc = -errno;
    (void)unlinkat(vfs->dir_fd, name, 0);
    (void)close(fd);
    return rc;
}

static int open_fd(const struct varve_posix_vfs *vfs, const char *name, uint32_t flags)
{
    /* O_NONBLOCK keeps a FIFO that somebody put there from blocking; make_blocking() takes it back. */
    const int native = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK |
                       ((flags & VARVE_FILE_WRITE) != 0 ? O_RDWR : O_RDONLY);

    if ((flags & VARVE_FILE_CREATE) != 0)
        return create_fd(vfs, name, native);
    for (;;) {
        int fd = open_retrying(vfs->dir_fd, name, native, 0);
        if (fd != -ENOENT || (flags & VARVE_FILE_OPEN_OR_CREATE) == 0)
            return fd;
        fd = create_fd(vfs, name, native);
        if (fd != -EEXIST) /* else somebody made it in between: open that one */
            return fd;
    }
}

/* The alignment that the kernel states for direct I/O on `fd`; 0: it says that it cannot. */
static uint32_t direct_align_of(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
        (st.stx_mask & STATX_DIOALIGN) != 0) {
        const uint32_t align = st.stx_dio_mem_align > st.stx_dio_offset_align
                                   ? st.stx_dio_mem_align
                                   : st.stx_dio_offset_align;
        return st.stx_dio_offset_align == 0 || (align & (align - 1)) != 0 ? 0 : align;
    }
#endif
    (void)fd;
    return DIRECT_ALIGN_GUESS;
}

/* Make `fd` direct if that can be had; 0: it stays buffered. O_DIRECT is not given to openat(),
 * which may create the file first and then refuse. */
static int make_direct(int fd, uint32_t *ret_align)
{
    const uint32_t align = direct_align_of(fd);

    *ret_align = 0;
    if (align == 0)
        return 0;
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
        return errno == EINVAL ? 0 : -errno;
    *ret_align = align;
    return 0;
}

/* To read(2) and write(2) of a file O_NONBLOCK is nothing; of io_uring kernels before 6.5 then give
 * EAGAIN, again and again, where the disk below cannot say beforehand that it would wait (dm-crypt). */
static int make_blocking(int fd)
{
    const int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

static bool flags_are_valid(uint32_t flags)
{
    const uint32_t creating = flags & (VARVE_FILE_CREATE | VARVE_FILE_OPEN_OR_CREATE);

    if ((flags & ~(uint32_t)(VARVE_FILE_WRITE | VARVE_FILE_CREATE | VARVE_FILE_DIRECT |
                             VARVE_FILE_OPEN_OR_CREATE)) != 0)
        return false;
    if (creating != 0 && (flags & VARVE_FILE_WRITE) == 0)
        return false;
    return creating != (VARVE_FILE_CREATE | VARVE_FILE_OPEN_OR_CREATE);
}

/* Open, check that it is a regular file, and find out about direct I/O. */
static int open_checked(const struct varve_posix_vfs *vfs, const char *name, uint32_t flags,
                        uint32_t *ret_align)
{
    struct stat st;
    int rc;

    const int fd = open_fd(vfs, name, flags);
    if (fd < 0)
        return fd;
    rc = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (rc == 0)
        rc = make_blocking(fd);
    if (rc == 0 && (flags & VARVE_FILE_DIRECT) != 0)
        rc = make_direct(fd, ret_align);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    return fd;
}

static int posix_open(struct varve_vfs *vfs_base, const char *name, uint32_t flags,
                      struct varve_file **ret_file)
{
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);
    uint32_t align = 0;

    if (varve_posix_is_foreign(vfs))
        return -ECHILD;
    if (!flags_are_valid(flags) || name_check(name) < 0)
        return -EINVAL;

    struct varve_posix_file *file = varve_alloc_zero(vfs->heap, 1, sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    const int fd = open_checked(vfs, name, flags, &align);
    if (fd < 0) {
        varve_free(vfs->heap, file, sizeof *file);
        return fd;
    }
    file->vfs = vfs;
    file->direct_align = align;
    varve_posix_link(vfs, &file->handle, VARVE_POSIX_FILE, fd, sizeof *file);
    *ret_file = (struct varve_file *)(void *)file;
    return 0;
}

static void posix_close(struct varve_file *file)
{
    if (file != NULL)
        handle_release(to_file(file)->vfs, &to_file(file)->handle);
}

/* ---- transfers ---- */

static bool range_is_valid(size_t size, uint64_t offset)
{
    return size <= INT64_MAX && offset <= (uint64_t)INT64_MAX - size;
}

static int64_t read_fully(const struct varve_posix_file *file, uint8_t *buffer, size_t size,
                          uint64_t offset)
{
    size_t done = 0;
    unsigned again = 0;

    if (!range_is_valid(size, offset))
        return -EINVAL;
    while (done < size) {
        const size_t want = size - done < TRANSFER_MAX ? size - done : TRANSFER_MAX;
        const ssize_t got = pread(file->handle.fd, buffer + done, want, (off_t)(offset + done));
        if (got < 0) {
            if (should_retry(errno, &again))
                continue;
            return -errno;
        }
        done += (size_t)got;
        /* A direct read ends unaligned only at the end of the file, and cannot go on from there. */
        if (got == 0 || (file->direct_align != 0 && done % file->direct_align != 0))
            break;
    }
    return (int64_t)done;
}

static int64_t write_once(const struct varve_posix_file *file, const uint8_t *bytes, size_t size,
                          uint64_t offset, bool dsync)
{
    const struct iovec part = {
        .iov_base = (void *)(uintptr_t)bytes, /* iovec has no const form; pwritev2 only reads */
        .iov_len = size,
    };
    const ssize_t put = dsync ? pwritev2(file->handle.fd, &part, 1, (off_t)offset, RWF_DSYNC)
                              : pwrite(file->handle.fd, bytes, size, (off_t)offset);
    return put < 0 ? -errno : put;
}

static int64_t write_fully(const struct varve_posix_file *file, const uint8_t *bytes, size_t size,
                           uint64_t offset, bool dsync)
{
    size_t done = 0;
    unsigned again = 0;

    if (!range_is_valid(size, offset))
        return -EINVAL;
    while (done < size) {
        const size_t want = size - done < TRANSFER_MAX ? size - done : TRANSFER_MAX;
        const int64_t put = write_once(file, bytes + done, want, offset + done, dsync);
        if (put < 0) {
            if (should_retry((int)-put, &again))
                continue;
            return put;
        }
        if (put == 0) /* neither progress nor a reason: never spin on it */
            return -EIO;
        done += (size_t)put;
    }
    return (int64_t)done;
}

static int sync_fd(int fd)
{
    for (;;) {
        if (fdatasync(fd) == 0)
            return 0;
        if (errno != EINTR) /* an interrupted call has reported nothing; any other error is final */
            return -errno;
    }
}

static int64_t write_dsync(const struct varve_posix_file *file, const uint8_t *bytes, size_t size,
                           uint64_t offset)
{
    if (!atomic_load_explicit(&file->vfs->no_dsync, memory_order_relaxed)) {
        const int64_t rc = write_fully(file, bytes, size, offset, true);
        if (rc != -EOPNOTSUPP && rc != -ENOSYS)
            return rc;
        atomic_store_explicit(&file->vfs->no_dsync, true, memory_order_relaxed);
    }
    const int64_t put = write_fully(file, bytes, size, offset, false);
    if (put < 0)
        return put;
    const int rc = sync_fd(file->handle.fd);
    return rc < 0 ? rc : put;
}

static int64_t posix_read(struct varve_file *file, void *buffer, size_t size, uint64_t offset)
{
    return file_is_foreign(to_file(file)) ? -ECHILD
                                          : read_fully(to_file(file), buffer, size, offset);
}

static int64_t posix_write(struct varve_file *file, const void *buffer, size_t size,
                           uint64_t offset)
{
    return file_is_foreign(to_file(file)) ? -ECHILD
                                          : write_fully(to_file(file), buffer, size, offset, false);
}

static int posix_sync(struct varve_file *file)
{
    return file_is_foreign(to_file(file)) ? -ECHILD : sync_fd(to_file(file)->handle.fd);
}

static int posix_truncate(struct varve_file *file, uint64_t size)
{
    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    if (size > INT64_MAX)
        return -EFBIG;
    for (;;) {
        if (ftruncate(to_file(file)->handle.fd, (off_t)size) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int posix_stat(struct varve_file *file, struct varve_file_stat *ret_stat)
{
    struct stat st;

    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    if (fstat(to_file(file)->handle.fd, &st) < 0)
        return -errno;
    ret_stat->size = (uint64_t)st.st_size;
    ret_stat->allocated = (uint64_t)st.st_blocks * 512;
    return 0;
}

static int posix_allocate(struct varve_file *file, uint64_t size)
{
    struct varve_file_stat st = {0};
    struct rlimit limit;

    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    if (size > INT64_MAX)
        return -EFBIG;
    if (size == 0)
        return 0;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur)
        return -EFBIG; /* asking would end the process: SIGXFSZ */
    for (;;) {
        if (fallocate(to_file(file)->handle.fd, 0, 0, (off_t)size) == 0)
            return 0;
        if (errno != EINTR)
            break;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -errno;
    /* The file system cannot reserve: the file gets its size, and writes may still find it full. */
    const int rc = posix_stat(file, &st);
    return rc < 0 || st.size >= size ? rc : posix_truncate(file, size);
}

static uint32_t posix_direct_align(struct varve_file *file)
{
    return to_file(file)->direct_align;
}

static int posix_advise(struct varve_file *file, uint64_t offset, uint64_t size,
                        enum varve_advice advice)
{
    const int how = advice == VARVE_ADVICE_WILLNEED ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED;

    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    if (size > INT64_MAX || !range_is_valid((size_t)size, offset))
        return -EINVAL;
    return -posix_fadvise(to_file(file)->handle.fd, (off_t)offset, (off_t)size, how);
}

/* ---- locks ---- */

static int lock_range(struct flock *ret_lock, uint64_t start, uint64_t size, bool exclusive)
{
    if (size == 0 || size > INT64_MAX || start > (uint64_t)INT64_MAX - (size - 1))
        return -EINVAL;
    *ret_lock = (struct flock){
        .l_type = exclusive ? F_WRLCK : F_RDLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)start,
        .l_len = (off_t)size,
    };
    return 0;
}

static int lock_call(const struct varve_posix_file *file, int command, struct flock *lock)
{
    for (;;) {
        if (fcntl(file->handle.fd, command, lock) == 0)
            return 0;
        if (errno != EINTR)
            return errno == EACCES ? -EAGAIN : -errno;
    }
}

static int posix_lock(struct varve_file *file, uint64_t start, uint64_t size, bool exclusive)
{
    struct flock lock;

    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    const int rc = lock_range(&lock, start, size, exclusive);
    return rc < 0 ? rc : lock_call(to_file(file), F_OFD_SETLK, &lock);
}

static int posix_unlock(struct varve_file *file, uint64_t start, uint64_t size)
{
    struct flock lock;

    if (file_is_foreign(to_file(file))) /* the lock is the parent's as well */
        return -ECHILD;
    const int rc = lock_range(&lock, start, size, false);
    if (rc < 0)
        return rc;
    lock.l_type = F_UNLCK;
    return lock_call(to_file(file), F_OFD_SETLK, &lock);
}

static int posix_lock_test(struct varve_file *file, uint64_t start, uint64_t size, bool exclusive,
                           int64_t *ret_pid)
{
    struct flock lock;

    if (file_is_foreign(to_file(file)))
        return -ECHILD;
    int rc = lock_range(&lock, start, size, exclusive);
    if (rc == 0)
        rc = lock_call(to_file(file), F_OFD_GETLK, &lock);
    if (rc < 0)
        return rc;
    if (lock.l_type == F_UNLCK)
        return 0;
    if (ret_pid != NULL) /* the kernel gives -1: such a lock belongs to no process */
        *ret_pid = lock.l_pid > 0 ? lock.l_pid : varve_posix_lock_owner(to_file(file)->handle.fd);
    return 1;
}

/* ---- names ---- */

static int posix_rename(struct varve_vfs *vfs, const char *from, const char *to)
{
    if (varve_posix_is_foreign(to_vfs(vfs)))
        return -ECHILD;
    if (name_check(from) < 0 || name_check(to) < 0)
        return -EINVAL;
    return renameat(to_vfs(vfs)->dir_fd, from, to_vfs(vfs)->dir_fd, to) < 0 ? -errno : 0;
}

static int posix_unlink(struct varve_vfs *vfs, const char *name)
{
    if (varve_posix_is_foreign(to_vfs(vfs)))
        return -ECHILD;
    if (name_check(name) < 0)
        return -EINVAL;
    return unlinkat(to_vfs(vfs)->dir_fd, name, 0) < 0 ? -errno : 0;
}

static int list_entries(int fd, char *buffer, varve_vfs_list_fn fn, void *ctx)
{
    for (;;) {
        const ssize_t size = getdents64(fd, buffer, LIST_BUFFER_SIZE);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? -errno : 0;
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            at += entry->d_reclen;
            if (entry->d_type == DT_DIR)
                continue;
            const int rc = fn(ctx, entry->d_name);
            if (rc != 0)
                return rc;
        }
    }
}

static int posix_list(struct varve_vfs *vfs_base, varve_vfs_list_fn fn, void *ctx)
{
    const struct varve_posix_vfs *vfs = to_vfs(vfs_base);

    if (varve_posix_is_foreign(vfs))
        return -ECHILD;
    char *buffer = varve_alloc(vfs->heap, LIST_BUFFER_SIZE);
    if (buffer == NULL)
        return -ENOMEM;
    /* A descriptor of its own, so that listings have positions of their own. */
    int rc = open_retrying(vfs->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (rc >= 0) {
        const int fd = rc;
        rc = list_entries(fd, buffer, fn, ctx);
        (void)close(fd);
    }
    varve_free(vfs->heap, buffer, LIST_BUFFER_SIZE);
    return rc;
}

static int sync_dir_fd(int fd)
{
    for (;;) {
        if (fsync(fd) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int posix_sync_dir(struct varve_vfs *vfs)
{
    struct varve_posix_vfs *posix = to_vfs(vfs);

    if (varve_posix_is_foreign(posix))
        return -ECHILD;
    varve_mutex_lock(&posix->dir_mutex);
    if (posix->dir_error == 0)
        posix->dir_error = sync_dir_fd(posix->dir_fd);
    const int rc = posix->dir_error;
    varve_mutex_unlock(&posix->dir_mutex);
    return rc;
}

/* ---- the queue that does the work in submit ---- */

int varve_posix_check(const struct varve_posix_vfs *vfs, struct varve_io *const *ios, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct varve_io *io = ios[i];
        if (io->op < VARVE_IO_READ || io->op > VARVE_IO_SYNC || io->flags != 0)
            return -EINVAL;
        if (io->file == NULL || to_file(io->file)->vfs != vfs)
            return -EINVAL;
        if (io->op != VARVE_IO_SYNC && !range_is_valid(io->size, io->offset))
            return -EINVAL;
    }
    return 0;
}

int64_t varve_posix_perform(const struct varve_io *io)
{
    const struct varve_posix_file *file = to_file(io->file);

    switch ((enum varve_io_op)io->op) {
    case VARVE_IO_READ:
        return read_fully(file, io->buffer, io->size, io->offset);
    case VARVE_IO_WRITE:
        return write_fully(file, io->buffer, io->size, io->offset, false);
    case VARVE_IO_WRITE_DSYNC:
        return write_dsync(file, io->buffer, io->size, io->offset);
    case VARVE_IO_SYNC:
        return sync_fd(file->handle.fd);
    }
    return -EINVAL;
}

static int posix_queue_open(struct varve_vfs *vfs_base, uint32_t depth,
                            struct varve_io_queue **ret_queue)
{
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);
    const size_t size = sizeof(struct posix_queue) + (size_t)depth * sizeof(struct varve_io *);

    if (varve_posix_is_foreign(vfs))
        return -ECHILD;
    if (depth == 0 || depth > VARVE_IO_DEPTH_MAX)
        return -EINVAL;
    struct posix_queue *queue = varve_alloc_zero(vfs->heap, 1, size);
    if (queue == NULL)
        return -ENOMEM;
    queue->vfs = vfs;
    queue->depth = depth;
    varve_posix_link(vfs, &queue->handle, VARVE_POSIX_QUEUE, -1, size);
    *ret_queue = (struct varve_io_queue *)(void *)queue;
    return 0;
}

static void posix_queue_close(struct varve_io_queue *queue)
{
    if (queue != NULL)
        handle_release(to_queue(queue)->vfs, &to_queue(queue)->handle);
}

static int posix_submit(struct varve_io_queue *queue_base, struct varve_io **ios, uint32_t n)
{
    struct posix_queue *queue = to_queue(queue_base);

    if (varve_posix_is_foreign(queue->vfs))
        return -ECHILD;
    if (n > queue->depth - queue->count)
        return -EBUSY;
    const int rc = varve_posix_check(queue->vfs, ios, n);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        ios[i]->result = varve_posix_perform(ios[i]);
        queue->done[(queue->first + queue->count) % queue->depth] = ios[i];
        queue->count++;
    }
    return 0;
}

static int posix_reap(struct varve_io_queue *queue_base, struct varve_io **out, uint32_t max,
                      uint32_t wait, uint64_t timeout_us)
{
    struct posix_queue *queue = to_queue(queue_base);
    uint32_t n = 0;

    (void)wait; /* all that was submitted is finished */
    (void)timeout_us;
    if (varve_posix_is_foreign(queue->vfs))
        return -ECHILD;
    for (; n < max && queue->count > 0; n++) {
        out[n] = queue->done[queue->first];
        queue->first = (queue->first + 1) % queue->depth;
        queue->count--;
    }
    return (int)n;
}

/* ---- clock, random, events ---- */

static int64_t clock_us(clockid_t id)
{
    struct timespec now;
    const int rc = clock_gettime(id, &now);
    assert(rc == 0); /* both clocks exist on every kernel that has OFD locks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void posix_clock(struct varve_vfs *vfs, struct varve_clock_reading *ret_reading)
{
    (void)vfs;
    ret_reading->wall_us = clock_us(CLOCK_REALTIME);
    ret_reading->boot_us = clock_us(CLOCK_BOOTTIME);
}

static void posix_pause(struct varve_vfs *vfs, uint64_t us)
{
    struct timespec left = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    (void)vfs;
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

/* "b7a1c2d4-...": 32 hexadecimal digits with dashes between them. */
static int parse_boot_id(const char *text, size_t size, uint8_t ret_id[16])
{
    unsigned digits = 0;

    for (size_t i = 0; i < size && digits < 32; i++) {
        const char c = text[i];
        if (c == '-')
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return -EIO;
        const unsigned value = c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
        uint8_t *byte = &ret_id[digits / 2];
        *byte = (uint8_t)(digits % 2 == 0 ? value << 4 : *byte | value);
        digits++;
    }
    return digits == 32 ? 0 : -EIO;
}

static int posix_boot_id(struct varve_vfs *vfs, uint8_t ret_id[16])
{
    char text[64];
    ssize_t size;

    (void)vfs;
    const int fd =
        open_retrying(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    do
        size = read(fd, text, sizeof text);
    while (size < 0 && errno == EINTR);
    const int rc = size < 0 ? -errno : parse_boot_id(text, (size_t)size, ret_id);
    (void)close(fd);
    return rc;
}

static int posix_random(struct varve_vfs *vfs, void *out, size_t size)
{
    size_t done = 0;

    (void)vfs;
    while (done < size) {
        const ssize_t got = getrandom((uint8_t *)out + done, size - done, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}

static int64_t posix_pid(struct varve_vfs *vfs)
{
    (void)vfs;
    return getpid();
}

static int posix_event_open(struct varve_vfs *vfs_base)
{
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);

    if (varve_posix_is_foreign(vfs))
        return -1;
    struct varve_posix_handle *handle = varve_alloc_zero(vfs->heap, 1, sizeof *handle);
    if (handle == NULL)
        return -1;
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        varve_free(vfs->heap, handle, sizeof *handle);
        return -1;
    }
    varve_posix_link(vfs, handle, VARVE_POSIX_EVENT, fd, sizeof *handle);
    return fd;
}

static void posix_event_signal(struct varve_vfs *vfs, int fd)
{
    const uint64_t one = 1;
    ssize_t rc;

    if (varve_posix_is_foreign(to_vfs(vfs))) /* it would wake the parent */
        return;
    do
        rc = write(fd, &one, sizeof one);
    while (rc < 0 && errno == EINTR); /* EAGAIN: the counter is full, and readable all the same */
}

static void posix_event_drain(struct varve_vfs *vfs, int fd)
{
    uint64_t count;
    ssize_t rc;

    if (varve_posix_is_foreign(to_vfs(vfs)))
        return;
    do
        rc = read(fd, &count, sizeof count);
    while (rc < 0 && errno == EINTR);
}

static void posix_event_close(struct varve_vfs *vfs_base, int fd)
{
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);
    struct varve_posix_handle *handle;

    if (fd < 0 || varve_posix_is_foreign(vfs))
        return;
    varve_mutex_lock(&vfs->mutex);
    for (handle = atomic_load_explicit(&vfs->open, memory_order_relaxed); handle != NULL;
         handle = atomic_load_explicit(&handle->next, memory_order_relaxed))
        if (handle->kind == VARVE_POSIX_EVENT && handle->fd == fd)
            break;
    varve_mutex_unlock(&vfs->mutex);
    assert(handle != NULL); /* it came from event_open and has not been closed */
    handle_release(vfs, handle);
}

/* ---- the vfs itself ---- */

static void posix_abandon(struct varve_vfs *vfs_base)
{
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);
    struct varve_posix_handle *handle = atomic_load_explicit(&vfs->open, memory_order_acquire);

    while (handle != NULL) {
        struct varve_posix_handle *next = atomic_load_explicit(&handle->next, memory_order_acquire);
        if (handle->fd >= 0)
            (void)close(handle->fd);
        if (handle->kind == VARVE_POSIX_RING)
            vfs->abandon_ring(handle);
        varve_free(vfs->heap, handle, handle->size);
        handle = next;
    }
    (void)close(vfs->dir_fd);
    varve_free(vfs->heap, vfs, sizeof *vfs);
}

static void posix_destroy(struct varve_vfs *vfs_base)
{
    if (vfs_base == NULL)
        return;
    struct varve_posix_vfs *vfs = to_vfs(vfs_base);
    if (varve_posix_is_foreign(vfs)) {
        posix_abandon(vfs_base);
        return;
    }
    /* Files, queues and events are closed by those who opened them. */
    assert(atomic_load_explicit(&vfs->open, memory_order_relaxed) == NULL);
    varve_mutex_destroy(&vfs->dir_mutex);
    varve_mutex_destroy(&vfs->mutex);
    (void)close(vfs->dir_fd);
    varve_free(vfs->heap, vfs, sizeof *vfs);
}

static void set_ops(struct varve_vfs_ops *ops)
{
    *ops = (struct varve_vfs_ops){
        .struct_size = sizeof *ops,
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .stat = posix_stat,
        .direct_align = posix_direct_align,
        .advise = posix_advise,
        .lock = posix_lock,
        .unlock = posix_unlock,
        .lock_test = posix_lock_test,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .list = posix_list,
        .sync_dir = posix_sync_dir,
        .queue_open = posix_queue_open,
        .queue_close = posix_queue_close,
        .submit = posix_submit,
        .reap = posix_reap,
        .clock = posix_clock,
        .pause = posix_pause,
        .boot_id = posix_boot_id,
        .random = posix_random,
        .pid = posix_pid,
        .event_open = posix_event_open,
        .event_signal = posix_event_signal,
        .event_drain = posix_event_drain,
        .event_close = posix_event_close,
        .destroy = posix_destroy,
        .abandon = posix_abandon,
    };
}

/* Make the directory unless it exists, and open it. */
static int open_directory(const char *path, const struct varve_vfs_options *options,
                          bool *ret_created)
{
    const mode_t mode = options->dir_mode == 0 ? 0750 : (mode_t)options->dir_mode;

    *ret_created = false;
    if (options->create) {
        if (mkdir(path, mode) == 0)
            *ret_created = true;
        else if (errno != EEXIST)
            return -errno;
    }
    const int fd = open_retrying(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0 && *ret_created && fchmod(fd, mode) < 0) {
        const int rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd;
}

/* Make the directory's own entry durable. One that was there before is synced too: whoever made it
 * may have died before this step; but it may lie where only its owner may look. */
static int sync_parent(int dir_fd, bool created)
{
    const int fd = open_retrying(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return !created && (fd == -EACCES || fd == -EPERM) ? 0 : fd;
    const int rc = sync_dir_fd(fd);
    (void)close(fd);
    return rc;
}

/* Open the directory and fill in what depends on it, or change nothing. */
static varve_status vfs_init(struct varve_posix_vfs *vfs, const char *path,
                             const struct varve_vfs_options *options, varve_error *err)
{
    bool created;

    const int fd = open_directory(path, options, &created);
    if (fd < 0 && created)
        (void)rmdir(path);
    if (fd == -ENOENT || fd == -ENOTDIR) {
        (void)varve_error_set(err, VARVE_ENOTFOUND, NULL, VARVE_NO_OFFSET,
                              fd == -ENOENT ? "there is no such directory"
                                            : "it is not a directory");
        if (err != NULL)
            err->os_code = -fd;
        return VARVE_ENOTFOUND;
    }
    if (fd < 0)
        return varve_error_os(err, fd, NULL, VARVE_NO_OFFSET, "open the directory");

    int rc = options->create ? sync_parent(fd, created) : 0;
    if (rc == 0)
        rc = varve_mutex_init(&vfs->mutex);
    if (rc == 0 && (rc = varve_mutex_init(&vfs->dir_mutex)) < 0)
        varve_mutex_destroy(&vfs->mutex);
    if (rc < 0) {
        (void)close(fd);
        if (created)
            (void)rmdir(path);
        return varve_error_os(err, rc, NULL, VARVE_NO_OFFSET, "create the directory");
    }
    vfs->heap = options->heap;
    atomic_init(&vfs->open, NULL);
    atomic_init(&vfs->no_dsync, false);
    vfs->pid = getpid();
    vfs->dir_fd = fd;
    vfs->file_mode = options->file_mode == 0 ? 0640 : options->file_mode;
    return VARVE_OK;
}

varve_status varve_posix_create(const char *path, uint32_t backend,
                                const struct varve_vfs_options *options,
                                struct varve_posix_vfs **ret_vfs, varve_error *err)
{
    struct varve_posix_vfs *vfs = varve_alloc_zero(options->heap, 1, sizeof *vfs);
    if (vfs == NULL)
        return varve_error_nomem(err, "a file system");
    const varve_status rc = vfs_init(vfs, path, options, err);
    if (rc < 0) {
        varve_free(options->heap, vfs, sizeof *vfs);
        return rc;
    }
    set_ops(&vfs->ops);
    vfs->base.ops = &vfs->ops;
    vfs->base.backend = backend;
    *ret_vfs = vfs;
    return VARVE_OK;
}

varve_status varve_vfs_posix_create(const char *path, const struct varve_vfs_options *options,
                                    struct varve_vfs **ret_vfs, varve_error *err)
{
    struct varve_posix_vfs *vfs = NULL;

    const varve_status rc = varve_posix_create(path, VARVE_IO_POSIX, options, &vfs, err);
    if (rc == VARVE_OK)
        *ret_vfs = &vfs->base;
    return rc;
}
