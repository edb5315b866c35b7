/*
 * test_kernel_script.c - what a kernel may answer and seldom does: interruptions, short transfers,
 * refusals half way, another process's pid. Run against POSIX and io_uring where they differ; the loop
 * index is the backend, or the row of a table.
 */
#include "backend_rig.h"
#include "kernel_script.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)
#define SIZE 100

struct bench {
    struct rig rig;
    const struct varve_vfs_ops *ops;
    struct varve_file *file; /* SIZE bytes, rig_fill(.., 1) */
    struct varve_io_queue *queue;
    uint8_t bytes[SIZE];
};

static bool bench_open(struct bench *b, enum rig_kind kind)
{
    memset(b, 0, sizeof *b);
    if (!rig_open(&b->rig, kind))
        return false;
    b->ops = b->rig.vfs->ops;
    b->file = rig_file(b->rig.vfs, "a", CREATE);
    rig_fill(b->bytes, SIZE, 1);
    ck_assert_int_eq(b->ops->write(b->file, b->bytes, SIZE, 0), SIZE);
    ck_assert_int_eq(b->ops->queue_open(b->rig.vfs, 4, &b->queue), 0);
    return true;
}

static void bench_close(struct bench *b)
{
    b->ops->queue_close(b->queue);
    b->ops->close(b->file);
    rig_close(&b->rig);
}

static void check_bytes(struct bench *b)
{
    uint8_t back[SIZE + 1];
    ck_assert_int_eq(b->ops->read(b->file, back, sizeof back, 0), SIZE);
    ck_assert_mem_eq(back, b->bytes, SIZE);
}

/* The operation that makes the call, once. */
static int64_t operate(struct bench *b, uint32_t call)
{
    struct varve_vfs *vfs = b->rig.vfs;
    struct varve_file *other = NULL;
    struct varve_file_stat st;
    uint8_t bytes[SIZE];
    int64_t rc;

    switch (call) {
    case KERNEL_PREAD:
        return b->ops->read(b->file, bytes, SIZE, 0);
    case KERNEL_PWRITE:
        return b->ops->write(b->file, b->bytes, SIZE, 0);
    case KERNEL_PWRITEV2:
        return rig_perform(vfs, b->queue, VARVE_IO_WRITE_DSYNC, b->file, b->bytes, SIZE, 0);
    case KERNEL_FDATASYNC:
        return b->ops->sync(b->file);
    case KERNEL_FSYNC:
        return b->ops->sync_dir(vfs);
    case KERNEL_FTRUNCATE:
        return b->ops->truncate(b->file, SIZE);
    case KERNEL_FALLOCATE:
        return b->ops->allocate(b->file, SIZE);
    case KERNEL_FSTAT:
        return b->ops->stat(b->file, &st);
    case KERNEL_FCNTL:
        return b->ops->lock(b->file, 0, 1, true);
    case KERNEL_FCHMOD:
        rc = b->ops->open(vfs, "new", CREATE, &other);
        break;
    case KERNEL_OPENAT:
        rc = b->ops->open(vfs, "a", VARVE_FILE_READ, &other);
        break;
    case KERNEL_GETRANDOM:
        return b->ops->random(vfs, bytes, SIZE);
    case KERNEL_READ:
        return b->ops->boot_id(vfs, bytes);
    default:
        ck_abort_msg("no operation makes call %d", (int)call);
    }
    if (rc == 0)
        b->ops->close(other);
    return rc;
}

static const enum kernel_call interrupted[] = {
    KERNEL_PREAD,  KERNEL_PWRITE,    KERNEL_PWRITEV2,  KERNEL_FDATASYNC,
    KERNEL_FSYNC,  KERNEL_FTRUNCATE, KERNEL_FALLOCATE, KERNEL_FCNTL,
    KERNEL_OPENAT, KERNEL_GETRANDOM, KERNEL_READ,
};

START_TEST(interrupted_calls_are_made_again)
{
    const enum kernel_call call = interrupted[_i];
    struct bench b;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(&(struct kernel_script){.call = call, .times = 3, .error = EINTR});
    ck_assert_int_ge(operate(&b, call), 0);
    ck_assert_uint_eq(kernel_script_end(), 3);
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

static const enum kernel_call transfers[] = {KERNEL_PREAD, KERNEL_PWRITE, KERNEL_PWRITEV2};

START_TEST(a_busy_kernel_is_asked_again_but_not_for_ever)
{
    const enum kernel_call call = transfers[_i];
    struct bench b;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(&(struct kernel_script){.call = call, .times = 5, .error = EAGAIN});
    ck_assert_int_eq(operate(&b, call), SIZE);
    ck_assert_uint_eq(kernel_script_end(), 5);
    kernel_script_set(
        &(struct kernel_script){.call = call, .times = KERNEL_ALWAYS, .error = EAGAIN});
    ck_assert_int_eq(operate(&b, call), -EAGAIN);
    ck_assert_uint_gt(kernel_script_end(), 100);
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

START_TEST(short_transfers_go_on_where_they_stopped)
{
    struct bench b;
    uint8_t back[SIZE];

    ck_assert(bench_open(&b, RIG_POSIX));
    for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++) {
        rig_fill(b.bytes, SIZE, i + 2);
        if (transfers[i] == KERNEL_PREAD)
            ck_assert_int_eq(b.ops->write(b.file, b.bytes, SIZE, 0), SIZE);
        kernel_script_set(
            &(struct kernel_script){.call = transfers[i], .times = KERNEL_ALWAYS, .at_most = 7});
        if (transfers[i] != KERNEL_PREAD) {
            ck_assert_int_eq(operate(&b, transfers[i]), SIZE);
        } else {
            ck_assert_int_eq(b.ops->read(b.file, back, SIZE, 0), SIZE);
            ck_assert_mem_eq(back, b.bytes, SIZE);
        }
        ck_assert_uint_eq(kernel_script_end(), (SIZE + 6) / 7);
        check_bytes(&b);
    }
    bench_close(&b);
}
END_TEST

START_TEST(no_progress_ends_a_transfer)
{
    struct bench b;

    ck_assert(bench_open(&b, RIG_POSIX));
    for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++) {
        kernel_script_set(&(struct kernel_script){
            .call = transfers[i], .skip = 0, .times = KERNEL_ALWAYS, .at_most = 0});
        ck_assert_int_eq(operate(&b, transfers[i]), transfers[i] == KERNEL_PREAD ? 0 : -EIO);
        ck_assert_uint_eq(kernel_script_end(), 1);
    }
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

static const enum kernel_call failing[] = {
    KERNEL_PREAD,     KERNEL_PWRITE, KERNEL_PWRITEV2,  KERNEL_FDATASYNC, KERNEL_FSYNC,
    KERNEL_FTRUNCATE, KERNEL_FSTAT,  KERNEL_FCNTL,     KERNEL_FALLOCATE, KERNEL_FCHMOD,
    KERNEL_OPENAT,    KERNEL_READ,   KERNEL_GETRANDOM,
};

START_TEST(errors_are_passed_on_at_once)
{
    struct bench b;
    struct varve_file *none = NULL;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(
        &(struct kernel_script){.call = failing[_i], .times = KERNEL_ALWAYS, .error = EDOM});
    ck_assert_int_eq(operate(&b, failing[_i]), -EDOM);
    ck_assert_uint_eq(kernel_script_end(), 1); /* a failed sync least of all is tried again */
    ck_assert_int_eq(b.ops->open(b.rig.vfs, "new", VARVE_FILE_READ, &none), -ENOENT);
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

/* RWF_DSYNC is asked for once only; after that a write is followed by a sync, whose errors count. */
START_TEST(dsync_is_made_up_for)
{
    struct bench b;
    struct kernel_script script = {.call = KERNEL_PWRITEV2, .times = KERNEL_ALWAYS};

    ck_assert(bench_open(&b, RIG_POSIX));
    script.error = _i == 0 ? EOPNOTSUPP : ENOSYS;
    kernel_script_set(&script);
    ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), SIZE);
    ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), SIZE);
    ck_assert_uint_eq(kernel_script_end(), 1);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_FDATASYNC, .times = 1, .error = EIO});
    ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), -EIO);
    ck_assert_uint_eq(kernel_script_end(), 1);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_PWRITE, .times = 1, .error = ENOSPC});
    ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), -ENOSPC);
    ck_assert_uint_eq(kernel_script_end(), 1);
    bench_close(&b);
}
END_TEST

START_TEST(space_that_cannot_be_reserved_is_at_least_claimed)
{
    struct bench b;
    struct varve_file_stat st;
    struct kernel_script script = {.call = KERNEL_FALLOCATE, .times = KERNEL_ALWAYS};

    ck_assert(bench_open(&b, RIG_POSIX));
    script.error = _i == 0 ? EOPNOTSUPP : ENOSYS;
    kernel_script_set(&script);
    ck_assert_int_eq(b.ops->allocate(b.file, 5000), 0);
    ck_assert_int_eq(b.ops->allocate(b.file, 10), 0); /* never smaller */
    ck_assert_uint_eq(kernel_script_end(), 2);
    ck_assert_int_eq(b.ops->stat(b.file, &st), 0);
    ck_assert_uint_eq(st.size, 5000);
    bench_close(&b);
}
END_TEST

START_TEST(offsets_beyond_all_files_are_refused)
{
    struct bench b;
    uint8_t byte = 0;
    int64_t pid = 0;
    const uint64_t end = INT64_MAX;

    if (!bench_open(&b, (enum rig_kind)_i))
        return;
    ck_assert_int_eq(b.ops->read(b.file, &byte, 1, end), -EINVAL);
    ck_assert_int_eq(b.ops->read(b.file, &byte, SIZE_MAX, 0), -EINVAL);
    ck_assert_int_eq(b.ops->write(b.file, &byte, 1, end), -EINVAL);
    ck_assert_int_eq(b.ops->write(b.file, &byte, 1, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(b.ops->truncate(b.file, end + 1), -EFBIG);
    ck_assert_int_eq(b.ops->allocate(b.file, end + 1), -EFBIG);
    ck_assert_int_eq(b.ops->advise(b.file, 0, end + 1, VARVE_ADVICE_DONTNEED), -EINVAL);
    ck_assert_int_eq(b.ops->advise(b.file, end, 1, VARVE_ADVICE_DONTNEED), -EINVAL);
    ck_assert_int_eq(b.ops->lock(b.file, 0, 0, true), -EINVAL);
    ck_assert_int_eq(b.ops->lock(b.file, 0, end + 1, true), -EINVAL);
    ck_assert_int_eq(b.ops->lock(b.file, end, 2, true), -EINVAL);
    ck_assert_int_eq(b.ops->unlock(b.file, 0, 0), -EINVAL);
    ck_assert_int_eq(b.ops->lock_test(b.file, 0, 0, true, &pid), -EINVAL);
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

START_TEST(requests_that_no_queue_can_take_are_refused)
{
    struct bench b, other;
    struct varve_io good, *list[5];

    if (!bench_open(&b, (enum rig_kind)_i))
        return;
    ck_assert(bench_open(&other, (enum rig_kind)_i));
    good = (struct varve_io){.op = VARVE_IO_READ, .file = b.file, .buffer = b.bytes, .size = 1};
    struct varve_io bad[6] = {good, good, good, good, good, good};
    bad[0].op = VARVE_IO_READ - 1;
    bad[1].op = VARVE_IO_SYNC + 1;
    bad[2].flags = 1;
    bad[3].file = NULL;
    bad[4].file = other.file;
    bad[5].offset = INT64_MAX;
    for (size_t i = 0; i < 6; i++) {
        list[0] = &good;
        list[1] = &bad[i];
        ck_assert_int_eq(b.ops->submit(b.queue, list, 2), -EINVAL);
        ck_assert_int_eq(b.ops->reap(b.queue, list, 2, 2, 0), 0); /* nor was the good one taken */
    }
    for (size_t i = 0; i < 5; i++)
        list[i] = &good;
    ck_assert_int_eq(b.ops->submit(b.queue, list, 5), -EBUSY);
    struct varve_io_queue *none = NULL;
    ck_assert_int_eq(b.ops->queue_open(b.rig.vfs, 0, &none), -EINVAL);
    ck_assert_int_eq(b.ops->queue_open(b.rig.vfs, VARVE_IO_DEPTH_MAX + 1, &none), -EINVAL);
    bench_close(&other);
    bench_close(&b);
}
END_TEST

/* What the kernel states about direct I/O, and what comes of it. */
#ifdef STATX_DIOALIGN
static const struct {
    struct kernel_script script;
    uint32_t align;
} direct[] = {
    {{.error = ENOSYS}, 4096},                    /* an old kernel: guess */
    {{.mask = 0, .align = 512}, 4096},            /* a file system that does not say: guess */
    {{.mask = STATX_DIOALIGN, .align = 0}, 0},    /* it cannot: buffered */
    {{.mask = STATX_DIOALIGN, .align = 1536}, 0}, /* no power of two: buffered */
};

START_TEST(direct_alignment_is_what_the_kernel_states)
{
    struct bench b;
    struct kernel_script script = direct[_i].script;

    ck_assert(bench_open(&b, RIG_POSIX));
    /* Without a script: whether this file system takes O_DIRECT at all. */
    struct varve_file *file = rig_file(b.rig.vfs, "a", VARVE_FILE_READ | VARVE_FILE_DIRECT);
    const bool takes = b.ops->direct_align(file) != 0;
    b.ops->close(file);
    script.call = KERNEL_STATX;
    script.times = KERNEL_ALWAYS;
    kernel_script_set(&script);
    file = rig_file(b.rig.vfs, "a", VARVE_FILE_READ | VARVE_FILE_DIRECT);
    ck_assert_uint_eq(kernel_script_end(), 1);
    if (takes || direct[_i].align == 0)
        ck_assert_uint_eq(b.ops->direct_align(file), direct[_i].align);
    b.ops->close(file);
    bench_close(&b);
}
END_TEST
#endif

START_TEST(a_refused_direct_flag_leaves_the_file_buffered)
{
    struct bench b;
    struct varve_file *file = NULL;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(
        &(struct kernel_script){.call = KERNEL_FCNTL, .skip = 3, .times = 1, .error = EINVAL});
    file = rig_file(b.rig.vfs, "a", VARVE_FILE_READ | VARVE_FILE_DIRECT);
    ck_assert_uint_eq(kernel_script_end(), 1);
    ck_assert_uint_eq(b.ops->direct_align(file), 0);
    b.ops->close(file);
    for (uint32_t skip = 0; skip < 4; skip++) { /* any other error is one */
        kernel_script_set(
            &(struct kernel_script){.call = KERNEL_FCNTL, .skip = skip, .times = 1, .error = EDOM});
        ck_assert_int_eq(b.ops->open(b.rig.vfs, "a", VARVE_FILE_READ | VARVE_FILE_DIRECT, &file),
                         -EDOM);
        ck_assert_uint_eq(kernel_script_end(), 1);
    }
    bench_close(&b);
}
END_TEST

START_TEST(open_survives_a_race_and_a_failed_look)
{
    struct bench b;
    struct varve_file *file = NULL;

    ck_assert(bench_open(&b, RIG_POSIX));
    /* "a" is not there at the first look, but is when it is to be created: it is opened then. */
    kernel_script_set(&(struct kernel_script){.call = KERNEL_OPENAT, .times = 1, .error = ENOENT});
    file = rig_file(b.rig.vfs, "a", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE);
    ck_assert_uint_eq(kernel_script_end(), 1);
    b.ops->close(file);
    file = NULL;
    kernel_script_set(&(struct kernel_script){.call = KERNEL_FSTAT, .times = 1, .error = EDOM});
    ck_assert_int_eq(b.ops->open(b.rig.vfs, "a", VARVE_FILE_READ, &file), -EDOM);
    ck_assert_uint_eq(kernel_script_end(), 1);
    b.rig.memory.fail_at = b.rig.memory.calls + 1;
    ck_assert_int_eq(b.ops->open(b.rig.vfs, "a", VARVE_FILE_READ, &file), -ENOMEM);
    b.rig.memory.fail_at = 0;
    ck_assert_ptr_null(file);
    check_bytes(&b);
    bench_close(&b);
}
END_TEST

static int count_name(void *ctx, const char *name)
{
    (void)name;
    return ++*(int *)ctx >= 2 ? 42 : 0;
}

START_TEST(listing_stops_at_an_error_or_when_told)
{
    struct bench b;
    int count = 0;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(&(struct kernel_script){.call = KERNEL_GETDENTS, .times = 2, .error = EINTR});
    ck_assert_int_eq(b.ops->list(b.rig.vfs, count_name, &count), 0);
    ck_assert_uint_eq(kernel_script_end(), 2);
    ck_assert_int_eq(count, 1);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_GETDENTS, .times = 1, .error = EIO});
    ck_assert_int_eq(b.ops->list(b.rig.vfs, count_name, &count), -EIO);
    ck_assert_uint_eq(kernel_script_end(), 1);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_OPENAT, .times = 1, .error = EMFILE});
    ck_assert_int_eq(b.ops->list(b.rig.vfs, count_name, &count), -EMFILE);
    ck_assert_uint_eq(kernel_script_end(), 1);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(b.ops->list(b.rig.vfs, count_name, &count), 42);
    b.rig.memory.fail_at = b.rig.memory.calls + 1;
    ck_assert_int_eq(b.ops->list(b.rig.vfs, count_name, &count), -ENOMEM);
    b.rig.memory.fail_at = 0;
    bench_close(&b);
}
END_TEST

START_TEST(a_boot_id_is_read_whole_or_not_at_all)
{
    static const char *const bad[] = {"",
                                      "0123-4567-89ab-cdef",
                                      "0123456789abcdef0123456789abcdeG",
                                      "0123456789ABCDEF0123456789abcdef",
                                      "/",
                                      "g",
                                      ":"};
    struct bench b;
    uint8_t id[16];

    ck_assert(bench_open(&b, RIG_POSIX));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kernel_script_set(&(struct kernel_script){.call = KERNEL_READ, .times = 1, .text = bad[i]});
        ck_assert_int_eq(b.ops->boot_id(b.rig.vfs, id), -EIO);
        ck_assert_uint_eq(kernel_script_end(), 1);
    }
    kernel_script_set(&(struct kernel_script){
        .call = KERNEL_READ, .times = 1, .text = "01234567-89ab-cdef-fedc-ba9876543210\n"});
    ck_assert_int_eq(b.ops->boot_id(b.rig.vfs, id), 0);
    ck_assert_uint_eq(kernel_script_end(), 1);
    ck_assert_mem_eq(id, "\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10", 16);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_OPENAT, .times = 1, .error = ENOENT});
    ck_assert_int_eq(b.ops->boot_id(b.rig.vfs, id), -ENOENT);
    ck_assert_uint_eq(kernel_script_end(), 1);
    uint8_t random[64] = {0}, none[64] = {0};
    kernel_script_set(
        &(struct kernel_script){.call = KERNEL_GETRANDOM, .times = KERNEL_ALWAYS, .at_most = 5});
    ck_assert_int_eq(b.ops->random(b.rig.vfs, random, sizeof random), 0);
    ck_assert_uint_eq(kernel_script_end(), 13);
    ck_assert_int_ne(memcmp(random + 59, none, 5), 0);
    bench_close(&b);
}
END_TEST

START_TEST(an_event_that_cannot_be_had_leaves_nothing)
{
    struct bench b;

    ck_assert(bench_open(&b, RIG_POSIX));
    kernel_script_set(&(struct kernel_script){.call = KERNEL_EVENTFD, .times = 1, .error = EMFILE});
    ck_assert_int_eq(b.ops->event_open(b.rig.vfs), -1);
    ck_assert_uint_eq(kernel_script_end(), 1);
    b.rig.memory.fail_at = b.rig.memory.calls + 1;
    ck_assert_int_eq(b.ops->event_open(b.rig.vfs), -1);
    b.rig.memory.fail_at = 0;
    const int first = b.ops->event_open(b.rig.vfs), fd = b.ops->event_open(b.rig.vfs);
    ck_assert_int_ge(fd, 0);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_WRITE, .times = 2, .error = EINTR});
    b.ops->event_signal(b.rig.vfs, fd);
    ck_assert_uint_eq(kernel_script_end(), 2);
    uint64_t count = 0;
    ck_assert_int_eq(read(fd, &count, sizeof count), sizeof count);
    ck_assert_uint_eq(count, 1);
    b.ops->event_signal(b.rig.vfs, fd);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_READ, .times = 2, .error = EINTR});
    b.ops->event_drain(b.rig.vfs, fd);
    ck_assert_uint_eq(kernel_script_end(), 2);
    ck_assert_int_eq(read(fd, &count, sizeof count), -1); /* drained */
    b.ops->event_close(b.rig.vfs, first);
    b.ops->event_close(b.rig.vfs, fd);
    bench_close(&b);
}
END_TEST

/* Who holds a lock is told if /proc tells; that it is held is told in any case. */
START_TEST(a_lock_is_reported_with_or_without_its_owner)
{
    static const struct kernel_script silent[] = {
        {.call = KERNEL_FSTAT, .times = 1, .error = EIO},
        {.call = KERNEL_OPEN, .times = KERNEL_ALWAYS, .error = EMFILE},
        {.call = KERNEL_OPEN, .skip = 1, .times = KERNEL_ALWAYS, .error = EACCES},
        {.call = KERNEL_GETDENTS, .times = KERNEL_ALWAYS, .error = EIO},
        {.call = KERNEL_GETDENTS, .skip = 1, .times = KERNEL_ALWAYS, .error = EIO},
        {.call = KERNEL_READ, .times = KERNEL_ALWAYS, .error = EIO},
        {.call = KERNEL_READ, .times = KERNEL_ALWAYS, .at_most = 0},
    };
    struct bench b;
    int64_t pid = -1;

    ck_assert(bench_open(&b, RIG_POSIX));
    struct varve_vfs *second = rig_second(&b.rig);
    struct varve_file *other = rig_file(second, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(b.ops->lock(b.file, 0, 1, true), 0);
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        kernel_script_set(&silent[i]);
        ck_assert_int_eq(second->ops->lock_test(other, 0, 1, true, &pid), 1);
        ck_assert_uint_gt(kernel_script_end(), 0);
        ck_assert_int_eq(pid, 0);
        pid = -1;
    }
    kernel_script_set(&(struct kernel_script){.call = KERNEL_READ, .times = 2, .error = EINTR});
    ck_assert_int_eq(second->ops->lock_test(other, 0, 1, true, &pid), 1);
    ck_assert_uint_eq(kernel_script_end(), 2);
    ck_assert_int_eq(pid, getpid());
    ck_assert_int_eq(second->ops->lock_test(other, 0, 1, true, NULL), 1);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_FCNTL, .times = 1, .error = EACCES});
    ck_assert_int_eq(second->ops->lock(other, 0, 1, true), -EAGAIN); /* as some systems say it */
    ck_assert_uint_eq(kernel_script_end(), 1);
    second->ops->close(other);
    second->ops->destroy(second);
    bench_close(&b);
}
END_TEST

/* A directory that was made for a store that cannot be is taken away again; one that was there stays. */
START_TEST(a_directory_half_made_is_not_left_behind)
{
    static const struct {
        struct kernel_script script;
        bool keeps; /* the call concerns directories that were there as well */
    } step[] = {
        {{.call = KERNEL_FCHMOD, .times = 1, .error = EPERM}, false},
        {{.call = KERNEL_OPENAT, .times = 1, .error = EMFILE}, true},
        {{.call = KERNEL_OPENAT, .skip = 1, .times = 1, .error = EMFILE}, true},
        {{.call = KERNEL_FSYNC, .times = 1, .error = EIO}, true},
    };
    struct rig rig;
    struct varve_vfs *vfs = NULL;
    char path[200];
    struct stat st;

    ck_assert(rig_open(&rig, RIG_POSIX));
    const struct varve_vfs_options options = {.heap = &rig.memory.heap, .create = true};
    (void)snprintf(path, sizeof path, "%s/store", rig.path);
    for (size_t i = 0; i < sizeof step / sizeof *step; i++)
        for (int there = 0; there < 2; there++) {
            varve_error err = {0};
            if (there != 0)
                ck_assert_int_eq(mkdir(path, 0700), 0);
            kernel_script_set(&step[i].script);
            const varve_status rc =
                varve_vfs_create(path, VARVE_IO_POSIX, &options, &vfs, there != 0 ? NULL : &err);
            if (there != 0 && !step[i].keeps) {
                ck_assert_uint_eq(kernel_script_end(), 0);
                ck_assert_int_eq(rc, VARVE_OK);
                vfs->ops->destroy(vfs);
            } else {
                ck_assert_uint_eq(kernel_script_end(), 1);
                ck_assert_int_lt(rc, 0);
                if (there == 0)
                    ck_assert_int_eq(err.os_code, step[i].script.error);
            }
            vfs = NULL;
            ck_assert_msg((stat(path, &st) == 0) == (there != 0), "step %zu there %d", i, there);
            if (there != 0)
                ck_assert_int_eq(rmdir(path), 0);
        }
    rig_close(&rig);
}
END_TEST

/* It may lie where only its owner may look: then its own entry is taken to be durable. */
START_TEST(a_parent_out_of_reach_matters_only_to_new_directories)
{
    static const int errors[] = {EACCES, EPERM};
    struct rig rig;
    struct varve_vfs *vfs = NULL;
    char path[200];

    ck_assert(rig_open(&rig, RIG_POSIX));
    const struct varve_vfs_options options = {.heap = &rig.memory.heap, .create = true};
    (void)snprintf(path, sizeof path, "%s/store", rig.path);
    const struct kernel_script script = {
        .call = KERNEL_OPENAT, .skip = 1, .times = 1, .error = errors[_i]};
    kernel_script_set(&script);
    ck_assert_int_lt(varve_vfs_create(path, VARVE_IO_POSIX, &options, &vfs, NULL), 0);
    ck_assert_uint_eq(kernel_script_end(), 1);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    kernel_script_set(&script);
    ck_assert_int_eq(varve_vfs_create(path, VARVE_IO_POSIX, &options, &vfs, NULL), VARVE_OK);
    ck_assert_uint_eq(kernel_script_end(), 1);
    vfs->ops->destroy(vfs);
    ck_assert_int_eq(varve_vfs_create(rig.path, 99, &options, &vfs, NULL), VARVE_EINVAL);
    (void)snprintf(path, sizeof path, "%s/none", rig.path);
    const struct varve_vfs_options open_only = {.heap = &rig.memory.heap};
    ck_assert_int_eq(varve_vfs_create(path, VARVE_IO_POSIX, &open_only, &vfs, NULL),
                     VARVE_ENOTFOUND);
    (void)snprintf(path, sizeof path, "%s/store", rig.path);
    ck_assert_int_eq(rmdir(path), 0);
    rig_close(&rig);
}
END_TEST

/* In a forked child nothing works, nothing is closed one by one, and destroy() gives back all. */
START_TEST(another_process_can_only_abandon)
{
    struct bench b;
    struct varve_file *other = NULL;
    struct varve_io_queue *other_queue = NULL;
    struct varve_file_stat st;
    int64_t pid = 0;

    if (!bench_open(&b, (enum rig_kind)_i))
        return;
    struct varve_vfs *vfs = b.rig.vfs;
    const struct varve_vfs_ops *ops = b.ops;
    struct varve_io io = {.op = VARVE_IO_SYNC, .file = b.file}, *list[1] = {&io};
    const int event = ops->event_open(vfs);
    ck_assert_int_ge(event, 0);
    const uint64_t used = varve_heap_used(&b.rig.memory.heap);
    kernel_script_set(&(struct kernel_script){.call = KERNEL_GETPID, .times = KERNEL_ALWAYS});
    ck_assert_int_eq(ops->open(vfs, "a", VARVE_FILE_READ, &other), -ECHILD);
    ck_assert_int_eq(ops->read(b.file, b.bytes, 1, 0), -ECHILD);
    ck_assert_int_eq(ops->write(b.file, b.bytes, 1, 0), -ECHILD);
    ck_assert_int_eq(ops->sync(b.file), -ECHILD);
    ck_assert_int_eq(ops->truncate(b.file, 0), -ECHILD);
    ck_assert_int_eq(ops->allocate(b.file, 1), -ECHILD);
    ck_assert_int_eq(ops->stat(b.file, &st), -ECHILD);
    ck_assert_int_eq(ops->advise(b.file, 0, 1, VARVE_ADVICE_DONTNEED), -ECHILD);
    ck_assert_int_eq(ops->lock(b.file, 0, 1, true), -ECHILD);
    ck_assert_int_eq(ops->unlock(b.file, 0, 1), -ECHILD);
    ck_assert_int_eq(ops->lock_test(b.file, 0, 1, true, &pid), -ECHILD);
    ck_assert_int_eq(ops->rename(vfs, "a", "b"), -ECHILD);
    ck_assert_int_eq(ops->unlink(vfs, "a"), -ECHILD);
    ck_assert_int_eq(ops->list(vfs, NULL, NULL), -ECHILD);
    ck_assert_int_eq(ops->sync_dir(vfs), -ECHILD);
    ck_assert_int_eq(ops->queue_open(vfs, 4, &other_queue), -ECHILD);
    ck_assert_int_eq(ops->submit(b.queue, list, 1), -ECHILD);
    ck_assert_int_eq(ops->reap(b.queue, list, 1, 0, 0), -ECHILD);
    ck_assert_int_eq(ops->event_open(vfs), -1);
    ops->event_signal(vfs, event);
    ops->event_drain(vfs, event);
    ops->event_close(vfs, event);
    ops->queue_close(b.queue);
    ops->close(b.file);
    ck_assert_uint_eq(varve_heap_used(&b.rig.memory.heap), used);
    ops->destroy(vfs);
    kernel_script_end();
    ck_assert_uint_eq(varve_heap_used(&b.rig.memory.heap), 0);
    ck_assert_int_eq(fcntl(event, F_GETFD), -1); /* closed */

    const struct varve_vfs_options options = {.heap = &b.rig.memory.heap};
    ck_assert_int_eq(varve_vfs_create(b.rig.path, VARVE_IO_POSIX, &options, &b.rig.vfs, NULL),
                     VARVE_OK);
    b.ops = b.rig.vfs->ops;
    b.file = rig_file(b.rig.vfs, "a", VARVE_FILE_READ);
    check_bytes(&b); /* nothing that was asked for happened */
    b.ops->close(b.file);
    rig_close(&b.rig);
}
END_TEST

/* ---- rings ---- */

START_TEST(a_ring_that_cannot_be_had_is_told_apart)
{
    static const struct {
        int error, os_code;
        varve_status expect;
    } refusal[] = {
        {ENOSYS, ENOSYS, VARVE_EUNSUPPORTED}, {EPERM, EPERM, VARVE_EUNSUPPORTED},
        {EACCES, EACCES, VARVE_EUNSUPPORTED}, {ENOMEM, ENOMEM, VARVE_EUNSUPPORTED},
        {0, ENOSYS, VARVE_EUNSUPPORTED}, /* without the features needed */
        {EMFILE, EMFILE, VARVE_EIO},
    };
    struct rig rig;

    if (!rig_open(&rig, RIG_URING))
        return;
    const struct varve_vfs_options options = {.heap = &rig.memory.heap};
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    for (size_t i = 0; i < sizeof refusal / sizeof *refusal; i++) {
        struct varve_vfs *vfs = NULL;
        struct varve_io_queue *queue = NULL;
        varve_error err = {0};
        const struct kernel_script script = {
            .call = KERNEL_RING_INIT, .times = KERNEL_ALWAYS, .error = refusal[i].error};

        kernel_script_set(&script);
        ck_assert_int_eq(varve_vfs_create(rig.path, VARVE_IO_URING, &options, &vfs, &err),
                         refusal[i].expect);
        ck_assert_int_eq(err.os_code, refusal[i].os_code);
        ck_assert_int_lt(varve_vfs_create(rig.path, VARVE_IO_URING, &options, &vfs, NULL), 0);
        ck_assert_ptr_null(vfs);
        const varve_status rc = varve_vfs_create(rig.path, VARVE_IO_AUTO, &options, &vfs, &err);
        if (refusal[i].expect == VARVE_EUNSUPPORTED) { /* then POSIX does, and nothing is wrong */
            ck_assert_int_eq(rc, VARVE_OK);
            ck_assert_int_eq(err.status, VARVE_OK);
            ck_assert_uint_eq(vfs->backend, VARVE_IO_POSIX);
            vfs->ops->destroy(vfs);
        } else {
            ck_assert_int_eq(rc, refusal[i].expect);
        }
        /* The vfs is there already, and only the queue's own ring is refused. */
        ck_assert_int_eq(ops->queue_open(rig.vfs, 4, &queue), -refusal[i].os_code);
        ck_assert_ptr_null(queue);
        ck_assert_uint_ge(kernel_script_end(), 4);
    }
    rig.memory.fail_at = rig.memory.calls + 1;
    struct varve_io_queue *queue = NULL;
    ck_assert_int_eq(ops->queue_open(rig.vfs, 4, &queue), -ENOMEM);
    rig.memory.fail_at = 0;
    rig_close(&rig);
}
END_TEST

/* What submitting says, how often, and whether the request is done all the same. */
static const struct {
    int error;
    uint32_t times;
} submission[] = {
    {EINTR, 5},
    {EAGAIN, 3},
    {EBUSY, 3},
    {0, 3},
    {EAGAIN, KERNEL_ALWAYS},
    {EBUSY, 5000},
    {EIO, 1},
    {EBADF, 1},
    {ENXIO, KERNEL_ALWAYS},
};

START_TEST(a_ring_that_takes_nothing_loses_nothing)
{
    struct bench b;
    struct varve_io ios[4], *list[4];

    if (!bench_open(&b, RIG_URING))
        return;
    kernel_script_set(&(struct kernel_script){
        .call = KERNEL_RING_SUBMIT, .times = submission[_i].times, .error = submission[_i].error});
    rig_fill(b.bytes, SIZE, 9);
    for (uint32_t i = 0; i < 4; i++) {
        ios[i] = (struct varve_io){.op = i < 2 ? VARVE_IO_WRITE : VARVE_IO_WRITE_DSYNC,
                                   .file = b.file,
                                   .buffer = b.bytes + i * (SIZE / 4),
                                   .size = SIZE / 4,
                                   .offset = i * (SIZE / 4)};
        list[i] = &ios[i];
    }
    ck_assert_int_eq(b.ops->submit(b.queue, list, 2), 0);
    ck_assert_int_eq(b.ops->submit(b.queue, list + 2, 2), 0);
    uint32_t got = 0;
    for (int round = 0; got < 4 && round < 5; round++) {
        const int n = b.ops->reap(b.queue, list + got, 4 - got, 9, UINT64_MAX);
        ck_assert_int_ge(n, 1);
        got += (uint32_t)n;
    }
    ck_assert_uint_eq(got, 4);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(ios[i].result, SIZE / 4);
    check_bytes(&b);
    ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), SIZE); /* and it goes on working */
    ck_assert_uint_gt(kernel_script_end(), 0);
    bench_close(&b);
}
END_TEST

START_TEST(waiting_for_a_ring_ends_when_it_was_told_to)
{
    struct bench b;

    if (!bench_open(&b, RIG_URING))
        return;
    struct varve_io io = {.op = VARVE_IO_SYNC, .file = b.file}, *list[2] = {&io};
    kernel_script_set(&(struct kernel_script){
        .call = KERNEL_RING_SUBMIT, .times = KERNEL_ALWAYS, .error = EAGAIN});
    ck_assert_int_eq(b.ops->submit(b.queue, list, 1), 0);
    ck_assert_int_eq(b.ops->reap(b.queue, list, 1, 1, 0), 0);
    kernel_script_end();
    ck_assert_int_eq(b.ops->reap(b.queue, list, 1, 1, 10000000), 1);
    ck_assert_int_eq(io.result, 0);
    /* A wait that is broken off is taken up again. */
    kernel_script_set(
        &(struct kernel_script){.call = KERNEL_RING_WAIT, .times = 3, .error = EINTR});
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(operate(&b, KERNEL_PWRITEV2), SIZE);
    ck_assert_int_eq(b.ops->submit(b.queue, list, 1), 0);
    ck_assert_int_eq(b.ops->reap(b.queue, list, 2, 2, 10000000), 1);
    kernel_script_end();
    bench_close(&b);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

int main(void)
{
    Suite *suite = suite_create("kernel_script");
    TCase *tests = tcase_create("kernel");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, interrupted_calls_are_made_again, 0, ROWS(interrupted));
    tcase_add_loop_test(tests, a_busy_kernel_is_asked_again_but_not_for_ever, 0, ROWS(transfers));
    tcase_add_test(tests, short_transfers_go_on_where_they_stopped);
    tcase_add_test(tests, no_progress_ends_a_transfer);
    tcase_add_loop_test(tests, errors_are_passed_on_at_once, 0, ROWS(failing));
    tcase_add_loop_test(tests, dsync_is_made_up_for, 0, 2);
    tcase_add_loop_test(tests, space_that_cannot_be_reserved_is_at_least_claimed, 0, 2);
    tcase_add_loop_test(tests, offsets_beyond_all_files_are_refused, 0, RIG_SIM);
    tcase_add_loop_test(tests, requests_that_no_queue_can_take_are_refused, 0, RIG_SIM);
#ifdef STATX_DIOALIGN
    tcase_add_loop_test(tests, direct_alignment_is_what_the_kernel_states, 0, ROWS(direct));
#endif
    tcase_add_test(tests, a_refused_direct_flag_leaves_the_file_buffered);
    tcase_add_test(tests, open_survives_a_race_and_a_failed_look);
    tcase_add_test(tests, listing_stops_at_an_error_or_when_told);
    tcase_add_test(tests, a_boot_id_is_read_whole_or_not_at_all);
    tcase_add_test(tests, an_event_that_cannot_be_had_leaves_nothing);
    tcase_add_test(tests, a_lock_is_reported_with_or_without_its_owner);
    tcase_add_test(tests, a_directory_half_made_is_not_left_behind);
    tcase_add_loop_test(tests, a_parent_out_of_reach_matters_only_to_new_directories, 0, 2);
    tcase_add_loop_test(tests, another_process_can_only_abandon, 0, RIG_SIM);
    tcase_add_test(tests, a_ring_that_cannot_be_had_is_told_apart);
    tcase_add_loop_test(tests, a_ring_that_takes_nothing_loses_nothing, 0, ROWS(submission));
    tcase_add_test(tests, waiting_for_a_ring_ends_when_it_was_told_to);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
