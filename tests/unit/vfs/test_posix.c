/*
 * test_posix.c - what only a real kernel shows: modes, links, processes, forks, refused io_uring. Run
 * against POSIX and io_uring; the loop index is the backend.
 */
#include "backend_rig.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <varve/varve.h>

#include "storage/vfs/posix_int.h"
#include "tests/lib/run_share.h"

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)

static char *path_in(const struct rig *rig, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", rig->path, name);
    return path;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* The exit status of a child, which must end by itself. */
static int wait_for(pid_t child)
{
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Or io_uring gives EAGAIN on some kernels, however often it is asked. */
START_TEST(files_are_not_left_non_blocking)
{
    static const uint32_t ways[] = {CREATE, VARVE_FILE_READ, VARVE_FILE_WRITE | VARVE_FILE_DIRECT,
                                    VARVE_FILE_READ | VARVE_FILE_DIRECT};
    struct rig rig;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct varve_file *file = rig_file(rig.vfs, "a", ways[i]);
        const int flags = fcntl(((struct varve_posix_file *)(void *)file)->handle.fd, F_GETFL);
        ck_assert_int_ge(flags, 0);
        ck_assert_int_eq(flags & O_NONBLOCK, 0);
        rig.vfs->ops->close(file);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(modes_do_not_depend_on_the_umask)
{
    struct rig rig;
    struct varve_vfs *vfs = NULL;
    char path[200];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const mode_t old = umask(0077);
    rig.vfs->ops->close(rig_file(rig.vfs, "a", CREATE));
    (void)snprintf(path, sizeof path, "%s/store", rig.path);
    struct varve_vfs_options options = {.heap = &rig.memory.heap, .create = true};
    ck_assert_int_eq(varve_vfs_create(path, rig.vfs->backend, &options, &vfs, NULL), VARVE_OK);
    vfs->ops->destroy(vfs);
    ck_assert_uint_eq(mode_of(path), 0750);
    ck_assert_int_eq(rmdir(path), 0);
    options.dir_mode = 0777;
    options.file_mode = 0666;
    ck_assert_int_eq(varve_vfs_create(path, rig.vfs->backend, &options, &vfs, NULL), VARVE_OK);
    vfs->ops->close(rig_file(vfs, "b", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE));
    ck_assert_uint_eq(mode_of(path), 0777);
    ck_assert_uint_eq(mode_of(path_in(&rig, "store/b")), 0666);
    ck_assert_uint_eq(mode_of(path_in(&rig, "a")), 0640);
    ck_assert_int_eq(vfs->ops->unlink(vfs, "b"), 0);
    vfs->ops->destroy(vfs);
    ck_assert_int_eq(rmdir(path), 0);
    (void)umask(old);
    rig_close(&rig);
}
END_TEST

START_TEST(directory_must_be_there_or_be_made)
{
    struct rig rig;
    struct varve_vfs *vfs = NULL;
    varve_error err = {0};
    char path[200];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    struct varve_vfs_options options = {.heap = &rig.memory.heap};
    (void)snprintf(path, sizeof path, "%s/none", rig.path);
    ck_assert_int_eq(varve_vfs_create(path, rig.vfs->backend, &options, &vfs, &err),
                     VARVE_ENOTFOUND);
    ck_assert_int_eq(err.os_code, ENOENT);
    options.create = true;
    (void)snprintf(path, sizeof path, "%s/none/deeper", rig.path);
    ck_assert_int_lt(varve_vfs_create(path, rig.vfs->backend, &options, &vfs, &err), 0);
    rig.vfs->ops->close(rig_file(rig.vfs, "file", CREATE));
    (void)snprintf(path, sizeof path, "%s/file", rig.path);
    ck_assert_int_eq(varve_vfs_create(path, rig.vfs->backend, &options, &vfs, &err),
                     VARVE_ENOTFOUND);
    ck_assert_int_eq(varve_vfs_create(path, 17, &options, &vfs, &err), VARVE_EINVAL);
    ck_assert_ptr_null(vfs);
    rig_close(&rig);
}
END_TEST

START_TEST(only_regular_files_are_opened)
{
    struct rig rig;
    struct varve_file *file = NULL;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    ck_assert_int_eq(symlink("/etc/passwd", path_in(&rig, "link")), 0);
    ck_assert_int_eq(ops->open(rig.vfs, "link", VARVE_FILE_READ, &file), -ELOOP);
    ck_assert_int_eq(
        ops->open(rig.vfs, "link", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE, &file), -ELOOP);
    ck_assert_int_eq(ops->open(rig.vfs, "link", CREATE, &file), -EEXIST);
    ck_assert_int_eq(mkfifo(path_in(&rig, "fifo"), 0600), 0);
    ck_assert_int_eq(ops->open(rig.vfs, "fifo", VARVE_FILE_READ, &file), -EINVAL); /* at once */
    ck_assert_int_eq(ops->open(rig.vfs, "fifo", VARVE_FILE_WRITE, &file), -EINVAL);
    ck_assert_int_eq(mkdir(path_in(&rig, "dir"), 0700), 0);
    ck_assert_int_eq(ops->open(rig.vfs, "dir", VARVE_FILE_READ, &file), -EINVAL);
    ck_assert_int_eq(ops->open(rig.vfs, "dir", VARVE_FILE_WRITE, &file), -EISDIR);
    ck_assert_ptr_null(file);
    ck_assert_int_eq(rmdir(path_in(&rig, "dir")), 0);
    rig_close(&rig); /* lists and removes link and fifo; a directory is not listed */
}
END_TEST

START_TEST(kill_leaves_no_lock_and_loses_no_write)
{
    struct rig rig;
    int ready[2];
    char byte = 0;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    ck_assert_int_eq(pipe(ready), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct varve_vfs *vfs = rig_second(&rig);
        struct varve_file *file = rig_file(vfs, "lock", CREATE);
        ck_assert_int_eq(vfs->ops->lock(file, 0, 1, true), 0);
        ck_assert_int_eq(vfs->ops->write(file, "written", 7, 0), 7);
        ck_assert_int_eq(write(ready[1], &byte, 1), 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    int64_t pid = 0;
    struct varve_file *file = rig_file(rig.vfs, "lock", VARVE_FILE_WRITE);
    ck_assert_int_eq(ops->lock(file, 0, 1, true), -EAGAIN);
    ck_assert_int_eq(ops->lock_test(file, 0, 1, true, &pid), 1);
    ck_assert_int_eq(pid, child);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(ops->lock(file, 0, 1, true), 0);
    char text[8] = {0};
    ck_assert_int_eq(ops->read(file, text, 8, 0), 7);
    ck_assert_str_eq(text, "written");
    ops->close(file);
    (void)close(ready[0]);
    (void)close(ready[1]);
    rig_close(&rig);
}
END_TEST

/* Whether any descriptor of this process refers to something in the rig's directory, or a ring. */
static unsigned count_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static void check_refusals(struct varve_vfs *vfs, struct varve_file *file,
                           struct varve_io_queue *queue)
{
    const struct varve_vfs_ops *ops = vfs->ops;
    struct varve_file *other = NULL;
    struct varve_io_queue *other_queue = NULL;
    struct varve_file_stat st;
    struct varve_io io = {.op = VARVE_IO_SYNC, .file = file}, *list[1] = {&io};
    char byte = 1;

    ck_assert_int_eq(ops->open(vfs, "a", VARVE_FILE_READ, &other), -ECHILD);
    ck_assert_int_eq(ops->read(file, &byte, 1, 0), -ECHILD);
    ck_assert_int_eq(ops->write(file, &byte, 1, 0), -ECHILD);
    ck_assert_int_eq(ops->sync(file), -ECHILD);
    ck_assert_int_eq(ops->truncate(file, 0), -ECHILD);
    ck_assert_int_eq(ops->allocate(file, 1), -ECHILD);
    ck_assert_int_eq(ops->stat(file, &st), -ECHILD);
    ck_assert_int_eq(ops->advise(file, 0, 1, VARVE_ADVICE_DONTNEED), -ECHILD);
    ck_assert_int_eq(ops->lock(file, 0, 1, true), -ECHILD);
    ck_assert_int_eq(ops->unlock(file, 0, 1), -ECHILD);
    ck_assert_int_eq(ops->lock_test(file, 0, 1, true, NULL), -ECHILD);
    ck_assert_int_eq(ops->rename(vfs, "a", "b"), -ECHILD);
    ck_assert_int_eq(ops->unlink(vfs, "a"), -ECHILD);
    ck_assert_int_eq(ops->list(vfs, NULL, NULL), -ECHILD);
    ck_assert_int_eq(ops->sync_dir(vfs), -ECHILD);
    ck_assert_int_eq(ops->queue_open(vfs, 4, &other_queue), -ECHILD);
    ck_assert_int_eq(ops->submit(queue, list, 1), -ECHILD);
    ck_assert_int_eq(ops->reap(queue, list, 1, 0, 0), -ECHILD);
    ck_assert_int_eq(ops->event_open(vfs), -1);
}

/* In a forked child nothing works, and abandon() or destroy() closes all of it, but the parent's
 * lock stays. */
START_TEST(forked_child_can_only_abandon)
{
    for (int by_destroy = 0; by_destroy < 2; by_destroy++) {
        const unsigned before = count_descriptors();
        struct rig rig;
        struct varve_io_queue *queue = NULL;
        if (!rig_open(&rig, (enum rig_kind)_i))
            return;
        const struct varve_vfs_ops *ops = rig.vfs->ops;
        struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
        const int event = ops->event_open(rig.vfs);
        ck_assert_int_ge(event, 0);
        ck_assert_int_eq(ops->lock(file, 0, 1, true), 0);
        ck_assert_int_eq(ops->queue_open(rig.vfs, 8, &queue), 0);
        const pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            check_refusals(rig.vfs, file, queue);
            ops->event_signal(rig.vfs, event);
            ops->event_drain(rig.vfs, event);
            ops->event_close(rig.vfs, event);
            ops->queue_close(queue); /* these do nothing by themselves */
            ops->close(file);
            if (by_destroy != 0)
                ops->destroy(rig.vfs);
            else
                ops->abandon(rig.vfs);
            ck_assert_uint_eq(count_descriptors(), before);
            ck_assert_uint_eq(varve_heap_used(&rig.memory.heap), 0);
            _exit(0);
        }
        ck_assert_int_eq(wait_for(child), 0);
        struct varve_file *again = rig_file(rig.vfs, "a", VARVE_FILE_WRITE);
        ck_assert_int_eq(ops->lock(again, 0, 1, true), -EAGAIN);
        ops->close(again);
        struct pollfd poll_fd = {.fd = event, .events = POLLIN};
        ck_assert_int_eq(poll(&poll_fd, 1, 0), 0); /* the child's signal did not reach it */
        ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_SYNC, file, NULL, 0, 0), 0);
        ops->event_close(rig.vfs, event);
        ops->queue_close(queue);
        ops->close(file);
        rig_close(&rig);
        ck_assert_uint_eq(count_descriptors(), before);
    }
}
END_TEST

/* A child that was forked and did not abandon keeps the lock, and is named. */
START_TEST(inheritor_of_a_lock_is_named)
{
    struct rig rig;
    int64_t pid = 0;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "lock", CREATE);
    ck_assert_int_eq(ops->lock(file, 0, 1, true), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        for (;;)
            (void)pause();
    ops->close(file);
    file = rig_file(rig.vfs, "lock", VARVE_FILE_READ);
    ck_assert_int_eq(ops->lock_test(file, 0, 1, true, &pid), 1);
    ck_assert_int_eq(pid, child);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(ops->lock_test(file, 0, 1, true, &pid), 0);
    ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(event_polls_readable_between_signal_and_drain)
{
    struct rig rig;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const int fd = rig.vfs->ops->event_open(rig.vfs);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    rig.vfs->ops->event_signal(rig.vfs, fd);
    rig.vfs->ops->event_signal(rig.vfs, fd);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 1);
    rig.vfs->ops->event_drain(rig.vfs, fd);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    rig.vfs->ops->event_drain(rig.vfs, fd); /* does not block */
    rig.vfs->ops->event_close(rig.vfs, fd);
    rig.vfs->ops->event_close(rig.vfs, -1);
    rig_close(&rig);
}
END_TEST

/* Let system call `number` fail with `error` in this process from now on. */
static void forbid(unsigned number, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = 4, .filter = code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

START_TEST(refused_uring_falls_back)
{
    static const unsigned errors[] = {ENOSYS, EPERM, EACCES, ENOMEM};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            struct rig rig;
            struct varve_vfs *vfs = NULL;
            varve_error err = {0};
            forbid(__NR_io_uring_setup, errors[i]);
            ck_assert(rig_open(&rig, RIG_POSIX));
            const struct varve_vfs_options options = {.heap = &rig.memory.heap};
            ck_assert_int_eq(varve_vfs_create(rig.path, VARVE_IO_URING, &options, &vfs, &err),
                             VARVE_EUNSUPPORTED);
            ck_assert_ptr_null(vfs);
            ck_assert_int_eq(varve_vfs_create(rig.path, VARVE_IO_AUTO, &options, &vfs, &err),
                             VARVE_OK);
            ck_assert_uint_eq(vfs->backend, VARVE_IO_POSIX);
            ck_assert_int_eq(err.status, VARVE_OK);
            vfs->ops->destroy(vfs);
            rig_close(&rig);
            _exit(0);
        }
        ck_assert_int_eq(wait_for(child), 0);
    }
}
END_TEST

/* What the file system cannot do is done another way. */
START_TEST(missing_abilities_are_made_up_for)
{
    static const unsigned errors[] = {EOPNOTSUPP, ENOSYS};

    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rig rig;
        struct varve_io_queue *queue = NULL;
        struct varve_file_stat st;
        char text[8] = "written";
        forbid(__NR_pwritev2, errors[_i]);
        forbid(__NR_fallocate, errors[_i]);
        ck_assert(rig_open(&rig, RIG_POSIX));
        const struct varve_vfs_ops *ops = rig.vfs->ops;
        struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
        ck_assert_int_eq(ops->queue_open(rig.vfs, 2, &queue), 0);
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, file, text, 8, 0),
                             8);
        ck_assert_int_eq(ops->allocate(file, 100000), 0);
        ck_assert_int_eq(ops->allocate(file, 10), 0);
        ck_assert_int_eq(ops->stat(file, &st), 0);
        ck_assert_uint_eq(st.size, 100000);
        ops->queue_close(queue);
        ops->close(file);
        rig_close(&rig);
        _exit(0);
    }
    ck_assert_int_eq(wait_for(child), 0);
}
END_TEST

/* Every system call that an operation makes, failing: the operation says so with that errno. */
static int64_t operate(struct rig *rig, struct varve_file *file, unsigned number)
{
    const struct varve_vfs_ops *ops = rig->vfs->ops;
    struct varve_io_queue *queue = NULL;
    struct varve_file_stat st;
    struct varve_file *other = NULL;
    uint8_t bytes[16] = {0};

    switch (number) {
    case __NR_pread64:
        return ops->read(file, bytes, 16, 0);
    case __NR_pwrite64:
        return ops->write(file, bytes, 16, 0);
    case __NR_pwritev2:
        ck_assert_int_eq(ops->queue_open(rig->vfs, 1, &queue), 0);
        const int64_t rc = rig_perform(rig->vfs, queue, VARVE_IO_WRITE_DSYNC, file, bytes, 16, 0);
        ops->queue_close(queue);
        return rc;
    case __NR_fdatasync:
        return ops->sync(file);
    case __NR_fsync:
        return ops->sync_dir(rig->vfs);
    case __NR_ftruncate:
        return ops->truncate(file, 5);
    case __NR_fallocate:
        return ops->allocate(file, 5);
    case __NR_fadvise64:
        return ops->advise(file, 0, 5, VARVE_ADVICE_DONTNEED);
    case __NR_newfstatat:
        return ops->stat(file, &st);
    case __NR_fcntl:
        return ops->lock(file, 0, 1, true);
    case __NR_fchmod:
        return ops->open(rig->vfs, "new", CREATE, &other);
    case __NR_openat:
        return ops->open(rig->vfs, "a", VARVE_FILE_READ, &other);
    case __NR_getdents64:
        return ops->list(rig->vfs, NULL, NULL);
    case __NR_unlinkat:
        return ops->unlink(rig->vfs, "a");
    case __NR_getrandom:
        return ops->random(rig->vfs, bytes, 16);
    default:
        return 1;
    }
}

static const unsigned failing[] = {
    __NR_pread64,   __NR_pwrite64,  __NR_pwritev2,   __NR_fdatasync,  __NR_fsync,
    __NR_ftruncate, __NR_fallocate, __NR_fadvise64,  __NR_newfstatat, __NR_fcntl,
    __NR_fchmod,    __NR_openat,    __NR_getdents64, __NR_unlinkat,   __NR_getrandom,
};

START_TEST(errors_of_the_kernel_are_passed_on)
{
    struct rig rig;

    ck_assert(rig_open(&rig, RIG_POSIX));
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    /* The child makes the vfs its own by opening the directory anew. */
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rig mine = rig;
        mine.vfs = rig_second(&rig);
        struct varve_file *again = rig_file(mine.vfs, "a", VARVE_FILE_WRITE);
        forbid(failing[_i], EIO);
        _exit(operate(&mine, again, failing[_i]) == -EIO ? 0 : 1);
    }
    ck_assert_int_eq(wait_for(child), 0);
    char path[256];
    (void)snprintf(path, sizeof path, "%s", path_in(&rig, "new"));
    struct stat st;
    if (failing[_i] == __NR_fchmod) /* a file of the wrong mode is not left behind */
        ck_assert_int_eq(stat(path, &st), -1);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(auto_takes_the_best)
{
    struct rig rig, probe;
    struct varve_vfs *vfs = NULL;

    ck_assert(rig_open(&rig, RIG_POSIX));
    const bool uring = rig_open(&probe, RIG_URING);
    if (uring)
        rig_close(&probe);
    const struct varve_vfs_options options = {.heap = &rig.memory.heap};
    ck_assert_int_eq(varve_vfs_create(rig.path, VARVE_IO_AUTO, &options, &vfs, NULL), VARVE_OK);
    ck_assert_uint_eq(vfs->backend, uring ? VARVE_IO_URING : VARVE_IO_POSIX);
    vfs->ops->destroy(vfs);
    rig_close(&rig);
}
END_TEST

/* What a store in the directory says that it uses; VARVE_IO_AUTO: it cannot be opened so. */
static uint32_t backend_of_store(const char *path, uint32_t asked)
{
    varve_stats stats = {.struct_size = sizeof stats};
    varve_store *store = NULL;
    varve_options options;

    varve_options_init(&options, sizeof options);
    options.flags = VARVE_OPEN_CREATE;
    options.io_backend = asked;
    options.background_threads = UINT32_MAX;
    options.wal_segment_bytes = 64u << 10;
    options.reserve_bytes = UINT64_MAX;
    const varve_status rc = varve_open(path, &options, &store, NULL);
    if (rc == VARVE_EUNSUPPORTED)
        return VARVE_IO_AUTO;
    ck_assert_int_eq(rc, VARVE_OK);
    varve_get_stats(store, &stats);
    varve_close(store);
    return stats.io_backend;
}

START_TEST(store_tells_which_backend_it_uses)
{
    struct rig rig, probe;

    ck_assert(rig_open(&rig, RIG_POSIX));
    ck_assert_uint_eq(backend_of_store(rig.path, VARVE_IO_POSIX), VARVE_IO_POSIX);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        forbid(__NR_io_uring_setup, EPERM);
        ck_assert_uint_eq(backend_of_store(rig.path, VARVE_IO_AUTO), VARVE_IO_POSIX);
        ck_assert_uint_eq(backend_of_store(rig.path, VARVE_IO_URING), VARVE_IO_AUTO);
        _exit(0);
    }
    ck_assert_int_eq(wait_for(child), 0);
    if (rig_open(&probe, RIG_URING)) {
        rig_close(&probe);
        ck_assert_uint_eq(backend_of_store(rig.path, VARVE_IO_AUTO), VARVE_IO_URING);
        ck_assert_uint_eq(backend_of_store(rig.path, VARVE_IO_URING), VARVE_IO_URING);
    } else {
        run_share("SKIPPED: what a store on io_uring tells: it cannot be had here");
    }
    rig_close(&rig);
}
END_TEST

START_TEST(create_without_memory_leaks_nothing)
{
    struct rig rig;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const unsigned before = count_descriptors();
    const struct varve_vfs_options options = {.heap = &rig.memory.heap, .create = true};
    struct varve_vfs *vfs = NULL;
    rig.memory.fail_at = rig.memory.calls + 1;
    ck_assert_int_eq(varve_vfs_create(rig.path, rig.vfs->backend, &options, &vfs, NULL),
                     VARVE_ENOMEM);
    rig.memory.fail_at = 0;
    ck_assert_ptr_null(vfs);
    ck_assert_uint_eq(count_descriptors(), before);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("posix");
    TCase *tests = tcase_create("kernel");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, files_are_not_left_non_blocking, 0, RIG_SIM);
    tcase_add_loop_test(tests, modes_do_not_depend_on_the_umask, 0, RIG_SIM);
    tcase_add_loop_test(tests, directory_must_be_there_or_be_made, 0, RIG_SIM);
    tcase_add_loop_test(tests, only_regular_files_are_opened, 0, RIG_SIM);
    tcase_add_loop_test(tests, kill_leaves_no_lock_and_loses_no_write, 0, RIG_SIM);
    tcase_add_loop_test(tests, forked_child_can_only_abandon, 0, RIG_SIM);
    tcase_add_loop_test(tests, inheritor_of_a_lock_is_named, 0, RIG_SIM);
    tcase_add_loop_test(tests, event_polls_readable_between_signal_and_drain, 0, RIG_SIM);
    tcase_add_loop_test(tests, create_without_memory_leaks_nothing, 0, RIG_SIM);
    tcase_add_test(tests, refused_uring_falls_back);
    tcase_add_loop_test(tests, missing_abilities_are_made_up_for, 0, 2);
    tcase_add_loop_test(tests, errors_of_the_kernel_are_passed_on, 0,
                        (int)(sizeof failing / sizeof *failing));
    tcase_add_test(tests, auto_takes_the_best);
    tcase_add_test(tests, store_tells_which_backend_it_uses);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
