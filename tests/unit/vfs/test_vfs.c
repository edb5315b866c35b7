/*
 * test_vfs.c - what include/varve/vfs.h promises, required of each backend alike: every test runs
 * against POSIX, io_uring and the simulated disk. The loop index is the backend.
 */
#include "backend_rig.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "storage/base/rng.h"

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)

static void check_bytes(struct varve_vfs *vfs, const char *name, const void *bytes, size_t size)
{
    uint8_t *got = malloc(size + 1);
    struct varve_file *file = rig_file(vfs, name, VARVE_FILE_READ);

    ck_assert_int_eq(vfs->ops->read(file, got, size + 1, 0), (int64_t)size);
    ck_assert_int_eq(memcmp(got, bytes, size), 0);
    vfs->ops->close(file);
    free(got);
}

static uint64_t size_of(struct varve_vfs *vfs, struct varve_file *file)
{
    struct varve_file_stat st;
    ck_assert_int_eq(vfs->ops->stat(file, &st), 0);
    return st.size;
}

START_TEST(what_is_written_is_read)
{
    struct rig rig;
    uint8_t bytes[10000];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    rig_fill(bytes, sizeof bytes, 7);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 5000, 0), 5000);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes + 5000, 5000, 5000), 5000);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 0, 0), 0);
    ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
    ck_assert_int_eq(rig.vfs->ops->sync_dir(rig.vfs), 0);
    ck_assert_uint_eq(size_of(rig.vfs, file), 10000);
    ck_assert_uint_eq(rig.vfs->ops->direct_align(file), 0);
    ck_assert_int_eq(rig.vfs->ops->advise(file, 0, 10000, VARVE_ADVICE_DONTNEED), 0);
    rig.vfs->ops->close(file);
    rig.vfs->ops->close(NULL);
    check_bytes(rig.vfs, "a", bytes, sizeof bytes);
    rig_close(&rig);
}
END_TEST

START_TEST(read_is_short_only_at_the_end)
{
    struct rig rig;
    uint8_t bytes[100], got[100];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    rig_fill(bytes, sizeof bytes, 3);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 100, 8192), 100);
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 100, 8192), 100);
    ck_assert_int_eq(memcmp(got, bytes, 100), 0);
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 100, 8200), 92);
    ck_assert_int_eq(memcmp(got, bytes + 8, 92), 0);
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 100, 8292), 0);
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 100, 1 << 20), 0);
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 100, 4090), 100); /* a hole */
    for (size_t i = 0; i < 100; i++)
        ck_assert_uint_eq(got[i], 0);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(open_flags_mean_what_they_say)
{
    struct rig rig;
    struct varve_file *file = NULL;
    uint8_t byte = 1;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    ck_assert_int_eq(ops->open(rig.vfs, "a", VARVE_FILE_READ, &file), -ENOENT);
    ck_assert_int_eq(ops->open(rig.vfs, "a", VARVE_FILE_WRITE, &file), -ENOENT);
    ops->close(rig_file(rig.vfs, "a", CREATE));
    ck_assert_int_eq(ops->open(rig.vfs, "a", CREATE, &file), -EEXIST);
    ck_assert_ptr_null(file);
    ops->close(rig_file(rig.vfs, "a", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE));
    file = rig_file(rig.vfs, "b", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE);
    ck_assert_int_eq(ops->write(file, &byte, 1, 0), 1);
    ops->close(file);
    file = rig_file(rig.vfs, "b", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE);
    ck_assert_uint_eq(size_of(rig.vfs, file), 1); /* it was not made anew */
    ops->close(file);

    file = rig_file(rig.vfs, "b", VARVE_FILE_READ);
    ck_assert_int_eq(ops->write(file, &byte, 1, 0), -EBADF);
    ck_assert_int_lt(ops->truncate(file, 0), 0);
    ck_assert_int_lt(ops->allocate(file, 4096), 0);
    ck_assert_uint_eq(size_of(rig.vfs, file), 1);
    ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(bad_names_and_flags_are_refused)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/a", "a/"};
    static const uint32_t flags[] = {16, VARVE_FILE_CREATE, VARVE_FILE_OPEN_OR_CREATE,
                                     CREATE | VARVE_FILE_OPEN_OR_CREATE};
    struct rig rig;
    struct varve_file *file = NULL;
    char long_name[300];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(ops->open(rig.vfs, names[i], CREATE, &file), -EINVAL);
        ck_assert_int_eq(ops->unlink(rig.vfs, names[i]), -EINVAL);
        ck_assert_int_eq(ops->rename(rig.vfs, names[i], "x"), -EINVAL);
        ck_assert_int_eq(ops->rename(rig.vfs, "x", names[i]), -EINVAL);
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        ck_assert_int_eq(ops->open(rig.vfs, "a", flags[i], &file), -EINVAL);
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    ck_assert_int_lt(ops->open(rig.vfs, long_name, CREATE, &file), 0);
    ck_assert_ptr_null(file);
    rig_close(&rig);
}
END_TEST

START_TEST(truncate_cuts_and_grows_with_zeros)
{
    struct rig rig;
    uint8_t bytes[9000], want[12000] = {0};

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    rig_fill(bytes, sizeof bytes, 5);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, sizeof bytes, 0), sizeof bytes);
    ck_assert_int_eq(rig.vfs->ops->truncate(file, 5000), 0);
    ck_assert_uint_eq(size_of(rig.vfs, file), 5000);
    ck_assert_int_eq(rig.vfs->ops->truncate(file, 12000), 0);
    rig.vfs->ops->close(file);
    memcpy(want, bytes, 5000);
    check_bytes(rig.vfs, "a", want, sizeof want);
    rig_close(&rig);
}
END_TEST

START_TEST(allocate_extends_with_zeros_and_never_shrinks)
{
    struct rig rig;
    uint8_t want[65536] = {0};

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    rig_fill(want, 100, 9);
    ck_assert_int_eq(rig.vfs->ops->write(file, want, 100, 0), 100);
    ck_assert_int_eq(rig.vfs->ops->allocate(file, sizeof want), 0);
    ck_assert_int_eq(rig.vfs->ops->allocate(file, 10), 0);
    ck_assert_int_eq(rig.vfs->ops->allocate(file, 0), 0);
    struct varve_file_stat st;
    ck_assert_int_eq(rig.vfs->ops->stat(file, &st), 0);
    ck_assert_uint_eq(st.size, sizeof want);
    ck_assert_uint_ge(st.allocated, sizeof want);
    rig.vfs->ops->close(file);
    check_bytes(rig.vfs, "a", want, sizeof want);
    rig_close(&rig);
}
END_TEST

struct listing {
    struct varve_vfs *vfs;
    unsigned count;
    unsigned seen[8]; /* by last letter of the name */
    bool unlink;
    int stop;
};

static int note(void *ctx, const char *name)
{
    struct listing *listing = ctx;
    const size_t i = (size_t)(name[strlen(name) - 1] - 'a');

    ck_assert_uint_lt(i, 8);
    listing->seen[i]++;
    listing->count++;
    if (listing->unlink)
        ck_assert_int_eq(listing->vfs->ops->unlink(listing->vfs, name), 0);
    return listing->stop;
}

START_TEST(list_gives_each_file_once)
{
    struct rig rig;
    char name[] = "file-a";

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct listing empty = {.vfs = rig.vfs};
    ck_assert_int_eq(ops->list(rig.vfs, note, &empty), 0);
    ck_assert_uint_eq(empty.count, 0);
    for (; name[5] < 'i'; name[5]++)
        ops->close(rig_file(rig.vfs, name, CREATE));

    struct listing all = {.vfs = rig.vfs};
    ck_assert_int_eq(ops->list(rig.vfs, note, &all), 0);
    for (size_t i = 0; i < 8; i++)
        ck_assert_uint_eq(all.seen[i], 1);
    struct listing one = {.vfs = rig.vfs, .stop = 5};
    ck_assert_int_eq(ops->list(rig.vfs, note, &one), 5);
    ck_assert_uint_eq(one.count, 1);
    struct listing negative = {.vfs = rig.vfs, .stop = -7};
    ck_assert_int_eq(ops->list(rig.vfs, note, &negative), -7);
    struct listing removing = {.vfs = rig.vfs, .unlink = true};
    ck_assert_int_eq(ops->list(rig.vfs, note, &removing), 0);
    ck_assert_uint_eq(removing.count, 8);
    ck_assert_int_eq(ops->list(rig.vfs, note, &empty), 0);
    ck_assert_uint_eq(empty.count, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(rename_replaces_and_unlink_spares_what_is_open)
{
    struct rig rig;
    uint8_t got[4];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *a = rig_file(rig.vfs, "a", CREATE), *b = rig_file(rig.vfs, "b", CREATE);
    ck_assert_int_eq(ops->write(a, "aaaa", 4, 0), 4);
    ck_assert_int_eq(ops->write(b, "bbbb", 4, 0), 4);
    ck_assert_int_eq(ops->rename(rig.vfs, "c", "a"), -ENOENT);
    ck_assert_int_eq(ops->rename(rig.vfs, "a", "b"), 0);
    ck_assert_int_eq(ops->unlink(rig.vfs, "a"), -ENOENT);
    check_bytes(rig.vfs, "b", "aaaa", 4);
    ck_assert_int_eq(ops->read(b, got, 4, 0), 4); /* the file that had the name */
    ck_assert_int_eq(memcmp(got, "bbbb", 4), 0);
    ck_assert_int_eq(ops->unlink(rig.vfs, "b"), 0);
    ck_assert_int_eq(ops->read(a, got, 4, 0), 4);
    ck_assert_int_eq(memcmp(got, "aaaa", 4), 0);
    ops->close(a);
    ops->close(b);
    rig_close(&rig);
}
END_TEST

START_TEST(locks_belong_to_the_open_file)
{
    struct rig rig;
    int64_t pid = -5;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_vfs *other = rig_second(&rig);
    struct varve_file *a = rig_file(rig.vfs, "lock", CREATE);
    struct varve_file *b = rig_file(rig.vfs, "lock", VARVE_FILE_WRITE);
    struct varve_file *c = rig_file(other, "lock", VARVE_FILE_READ);

    ck_assert_int_eq(ops->lock(a, 0, 1, true), 0);
    ck_assert_int_eq(ops->lock(a, 0, 1, true), 0); /* again: no matter */
    ck_assert_int_eq(ops->lock(b, 0, 1, true), -EAGAIN);
    ck_assert_int_eq(ops->lock(c, 0, 1, false), -EAGAIN);
    ck_assert_int_eq(ops->lock(b, 1, 1, true), 0);            /* another byte */
    ck_assert_int_eq(ops->lock_test(a, 0, 1, true, NULL), 0); /* its own is no obstacle */
    ck_assert_int_eq(ops->lock_test(c, 0, 1, true, NULL), 1);
    ck_assert_int_eq(ops->lock_test(c, 0, 1, false, &pid), 1);
    ck_assert_int_eq(pid, ops->pid(rig.vfs));
    ck_assert_int_eq(ops->lock_test(c, 7, 1, true, NULL), 0);
    ops->close(a);
    ck_assert_int_eq(ops->lock_test(c, 0, 1, true, NULL), 0); /* closing b's twin kept b's */
    ck_assert_int_eq(ops->lock_test(c, 1, 1, true, NULL), 1);
    ck_assert_int_eq(ops->lock(c, 0, 1, true), -EBADF); /* read only */
    ck_assert_int_eq(ops->lock(c, 0, 0, false), -EINVAL);
    ck_assert_int_eq(ops->lock(c, UINT64_MAX, 1, false), -EINVAL);
    ops->close(b);
    ops->close(c);
    other->ops->destroy(other);
    rig_close(&rig);
}
END_TEST

START_TEST(locks_share_split_and_convert)
{
    const uint64_t base = (uint64_t)1 << 40;
    struct rig rig;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *a = rig_file(rig.vfs, "lock", CREATE);
    struct varve_file *b = rig_file(rig.vfs, "lock", VARVE_FILE_WRITE);

    ck_assert_int_eq(ops->lock(a, base, 100, false), 0);
    ck_assert_int_eq(ops->lock(b, base + 50, 100, false), 0);
    ck_assert_int_eq(ops->lock(b, base, 200, true), -EAGAIN);
    ck_assert_int_eq(ops->unlock(a, base + 10, 80), 0); /* a hole: [10, 90) */
    ck_assert_int_eq(ops->lock_test(b, base + 10, 80, true, NULL), 0);
    ck_assert_int_eq(ops->lock_test(b, base + 9, 1, true, NULL), 1);
    ck_assert_int_eq(ops->lock_test(b, base + 90, 1, true, NULL), 1);
    ck_assert_int_eq(ops->lock(b, base + 50, 20, true), 0); /* raised in part */
    ck_assert_int_eq(ops->lock_test(a, base + 69, 1, false, NULL), 1);
    ck_assert_int_eq(ops->lock_test(a, base + 70, 1, false, NULL), 0);
    ck_assert_int_eq(ops->lock(b, base + 50, 20, false), 0); /* and lowered */
    ck_assert_int_eq(ops->lock_test(a, base + 50, 20, false, NULL), 0);
    ck_assert_int_eq(ops->unlock(a, 0, base * 2), 0);
    ck_assert_int_eq(ops->unlock(b, 0, base * 2), 0);
    ck_assert_int_eq(ops->lock(a, 0, base * 2, true), 0);
    ops->close(a);
    ops->close(b);
    rig_close(&rig);
}
END_TEST

START_TEST(queue_does_each_operation)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[5000], got[6000];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    rig_fill(bytes, sizeof bytes, 11);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    struct varve_file *reader = rig_file(rig.vfs, "a", VARVE_FILE_READ);
    ck_assert_int_eq(ops->queue_open(rig.vfs, 0, &queue), -EINVAL);
    ck_assert_int_eq(ops->queue_open(rig.vfs, VARVE_IO_DEPTH_MAX + 1, &queue), -EINVAL);
    ck_assert_int_eq(ops->queue_open(rig.vfs, 3, &queue), 0);

    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE, file, bytes, 3000, 0), 3000);
    ck_assert_int_eq(
        rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, file, bytes + 3000, 2000, 3000), 2000);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_SYNC, file, NULL, 0, 0), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_READ, reader, got, 6000, 0), 5000);
    ck_assert_int_eq(memcmp(got, bytes, 5000), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_READ, reader, got, 100, 5000), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_READ, reader, NULL, 0, 0), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE, file, NULL, 0, 0), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE, reader, bytes, 10, 0), -EBADF);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, reader, bytes, 10, 0),
                     -EBADF);
    ops->queue_close(queue);
    ops->queue_close(NULL);
    ops->close(file);
    ops->close(reader);
    check_bytes(rig.vfs, "a", bytes, sizeof bytes);
    rig_close(&rig);
}
END_TEST

START_TEST(request_can_be_submitted_again)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[3000], got[3000];
    struct varve_io io = {.op = VARVE_IO_WRITE, .buffer = bytes, .size = 3000}, *list[1] = {&io};

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    memset(io.backend, 0xee, sizeof io.backend); /* need not be set */
    io.file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 1, &queue), 0);
    for (uint64_t round = 0; round < 3; round++) {
        rig_fill(bytes, sizeof bytes, round);
        ck_assert_int_eq(rig.vfs->ops->submit(queue, list, 1), 0);
        ck_assert_int_eq(rig.vfs->ops->reap(queue, list, 1, 1, UINT64_MAX), 1);
        ck_assert_int_eq(io.result, 3000);
        ck_assert_int_eq(rig.vfs->ops->read(io.file, got, 3000, 0), 3000);
        ck_assert_int_eq(memcmp(got, bytes, 3000), 0);
    }
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(io.file);
    rig_close(&rig);
}
END_TEST

START_TEST(submit_takes_all_or_none)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    struct varve_io ios[4], *list[4], *out[8];
    uint8_t got[4][512];

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->truncate(file, 4096), 0);
    ck_assert_int_eq(ops->queue_open(rig.vfs, 3, &queue), 0);
    for (uint32_t i = 0; i < 4; i++) {
        ios[i] = (struct varve_io){.op = VARVE_IO_READ,
                                   .file = file,
                                   .buffer = got[i],
                                   .size = 512,
                                   .offset = i * 512,
                                   .tag = &ios[i]};
        list[i] = &ios[i];
    }
    ck_assert_int_eq(ops->reap(queue, out, 8, 8, UINT64_MAX), 0); /* nothing to wait for */
    ck_assert_int_eq(ops->submit(queue, list, 4), -EBUSY);
    ios[2].op = 9;
    ck_assert_int_eq(ops->submit(queue, list, 3), -EINVAL);
    ios[2].op = VARVE_IO_READ;
    ios[2].flags = 1;
    ck_assert_int_eq(ops->submit(queue, list, 3), -EINVAL);
    ios[2].flags = 0;
    ck_assert_int_eq(ops->reap(queue, out, 8, 8, 1000), 0); /* none was taken */
    ck_assert_int_eq(ops->submit(queue, list, 3), 0);
    ck_assert_int_eq(ops->submit(queue, list + 3, 1), -EBUSY);
    ck_assert_int_eq(ops->reap(queue, out, 1, 1, UINT64_MAX), 1);
    ck_assert_int_eq(ops->submit(queue, list + 3, 1), 0);
    int n = 1;
    while (n < 4) {
        const int rc = ops->reap(queue, out + n, 8, 8, UINT64_MAX);
        ck_assert_int_gt(rc, 0);
        n += rc;
    }
    ck_assert_int_eq(n, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(out[i]->result, 512);
        ck_assert_ptr_eq(out[i]->tag, out[i]);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(out[i], out[j]);
    }
    ops->queue_close(queue);
    ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(closing_a_queue_finishes_what_is_in_flight)
{
    enum { COUNT = 32 };
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    struct varve_io ios[COUNT], *list[COUNT];
    static uint8_t bytes[COUNT][4096]; /* too large for a stack under the sanitizer */

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->queue_open(rig.vfs, COUNT, &queue), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        rig_fill(bytes[i], 4096, i);
        ios[i] = (struct varve_io){.op = i % 2 == 0 ? VARVE_IO_WRITE : VARVE_IO_WRITE_DSYNC,
                                   .file = file,
                                   .buffer = bytes[i],
                                   .size = 4096,
                                   .offset = (uint64_t)i * 4096};
        list[i] = &ios[i];
    }
    ck_assert_int_eq(ops->submit(queue, list, COUNT), 0);
    ops->queue_close(queue);
    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(ios[i].result, 4096);
    ops->close(file);
    check_bytes(rig.vfs, "a", bytes, sizeof bytes);
    rig_close(&rig);
}
END_TEST

START_TEST(direct_files_read_and_write)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    void *block = NULL;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE | VARVE_FILE_DIRECT);
    const uint32_t align = ops->direct_align(file);
    ck_assert_uint_eq(align & (align - 1), 0);
    ck_assert_uint_le(align, 65536);
    ck_assert_int_eq(posix_memalign(&block, 65536, 131072), 0);
    rig_fill(block, 65536, 13);
    ck_assert_int_eq(ops->write(file, block, 65536, 0), 65536);
    memset(block, 0, 65536);
    ck_assert_int_eq(ops->truncate(file, 65000), 0);
    ck_assert_int_eq(ops->read(file, block, 131072, 0), 65000); /* ends unaligned */
    ck_assert_int_eq(ops->queue_open(rig.vfs, 4, &queue), 0);
    uint8_t *want = malloc(65536);
    rig_fill(want, 65536, 13);
    ck_assert_int_eq(memcmp(block, want, 65000), 0);
    memset(block, 0, 65536);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_READ, file, block, 131072, 0), 65000);
    ck_assert_int_eq(memcmp(block, want, 65000), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, file, block, 65536, 65536),
                     65536);
    free(want);
    free(block);
    ops->queue_close(queue);
    ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(clock_random_and_identity)
{
    struct rig rig;
    struct varve_clock_reading before, after;
    uint8_t a[16], b[16], noise[2][64] = {{0}};

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    ops->clock(rig.vfs, &before);
    ck_assert_int_eq(ops->boot_id(rig.vfs, a), 0);
    ck_assert_int_eq(ops->boot_id(rig.vfs, b), 0);
    ck_assert_int_eq(memcmp(a, b, 16), 0);
    ck_assert_int_eq(ops->random(rig.vfs, noise[0], 64), 0);
    ck_assert_int_eq(ops->random(rig.vfs, noise[1], 64), 0);
    ck_assert_int_ne(memcmp(noise[0], noise[1], 64), 0);
    ck_assert_int_eq(ops->random(rig.vfs, noise[1], 0), 0);
    ops->clock(rig.vfs, &after);
    ck_assert_int_gt(before.wall_us, (int64_t)1600000000 * 1000000);
    ck_assert_int_ge(after.boot_us, before.boot_us);
    ops->pause(rig.vfs, 3000);
    ops->pause(rig.vfs, 0);
    ops->clock(rig.vfs, &before);
    ck_assert_int_ge(before.boot_us, after.boot_us + 3000);
    ck_assert_int_gt(ops->pid(rig.vfs), 0);
    rig_close(&rig);
}
END_TEST

static void ignore(int number)
{
    (void)number;
}

START_TEST(a_pause_lasts_through_signals)
{
    struct rig rig;
    struct varve_clock_reading before, after;
    const struct sigaction action = {.sa_handler = ignore};
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    rig.vfs->ops->clock(rig.vfs, &before);
    rig.vfs->ops->pause(rig.vfs, 20000);
    rig.vfs->ops->clock(rig.vfs, &after);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    ck_assert_int_ge(after.boot_us, before.boot_us + 20000);
    rig_close(&rig);
}
END_TEST

/* Random reads and writes through a queue, none overlapping in flight, against plain memory. */
START_TEST(random_requests_agree_with_memory)
{
    enum { SLOTS = 16, SLOT_SIZE = 12288, ROUNDS = 200 };
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    struct varve_io ios[SLOTS], *list[SLOTS], *out[SLOTS];
    struct varve_rng rng;

    if (!rig_open(&rig, (enum rig_kind)_i))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    uint8_t *model = calloc(SLOTS, SLOT_SIZE), *buffers = malloc(SLOTS * SLOT_SIZE);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->truncate(file, SLOTS * SLOT_SIZE), 0);
    ck_assert_int_eq(ops->queue_open(rig.vfs, SLOTS, &queue), 0);
    varve_rng_seed(&rng, 42);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t n = 0;
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            const size_t start = (size_t)varve_rng_below(&rng, SLOT_SIZE);
            const size_t size = (size_t)varve_rng_below(&rng, SLOT_SIZE - start) + 1;
            static const uint32_t ops_drawn[] = {VARVE_IO_READ, VARVE_IO_READ, VARVE_IO_WRITE,
                                                 VARVE_IO_WRITE, VARVE_IO_WRITE_DSYNC};
            uint32_t op = ops_drawn[varve_rng_below(&rng, 5)];
            if (op == VARVE_IO_WRITE_DSYNC && slot != 3)
                op = VARVE_IO_WRITE; /* dear */
            uint8_t *buffer = buffers + slot * SLOT_SIZE;
            if (op != VARVE_IO_READ) {
                rig_fill(buffer, size, varve_rng_next(&rng));
                memcpy(model + slot * SLOT_SIZE + start, buffer, size);
            }
            ios[slot] = (struct varve_io){.op = op,
                                          .file = file,
                                          .buffer = buffer,
                                          .size = size,
                                          .offset = slot * SLOT_SIZE + start};
            list[n++] = &ios[slot];
        }
        ck_assert_int_eq(ops->submit(queue, list, n), 0);
        for (uint32_t done = 0; done < n;) {
            const int got = ops->reap(queue, out, SLOTS, (uint32_t)varve_rng_below(&rng, 5), 10000);
            ck_assert_int_ge(got, 0);
            for (int i = 0; i < got; i++) {
                ck_assert_int_eq(out[i]->result, (int64_t)out[i]->size);
                ck_assert_int_eq(memcmp(out[i]->buffer, model + out[i]->offset, out[i]->size), 0);
            }
            done += (uint32_t)got;
        }
    }
    ops->queue_close(queue);
    ops->close(file);
    check_bytes(rig.vfs, "a", model, SLOTS * SLOT_SIZE);
    free(model);
    free(buffers);
    rig_close(&rig);
}
END_TEST

/* Everything that allocates, with the n-th allocation and all after it failing. */
static int use_everything(struct varve_vfs *vfs)
{
    struct varve_file *file = NULL;
    struct varve_io_queue *queue = NULL;
    struct listing listing = {.vfs = vfs};
    uint8_t bytes[9000] = {1};

    int rc = vfs->ops->open(vfs, "file-b", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE, &file);
    if (rc == 0)
        rc = vfs->ops->write(file, bytes, sizeof bytes, 100) < 0 ? -ENOMEM : 0;
    if (rc == 0)
        rc = vfs->ops->sync(file);
    if (rc == 0)
        rc = vfs->ops->truncate(file, 50);
    if (rc == 0)
        rc = vfs->ops->lock(file, 0, 10, true);
    if (rc == 0)
        rc = vfs->ops->queue_open(vfs, 4, &queue);
    if (rc == 0)
        rc = rig_perform(vfs, queue, VARVE_IO_WRITE_DSYNC, file, bytes, 5000, 0) < 0 ? -ENOMEM : 0;
    if (rc == 0)
        rc = vfs->ops->list(vfs, note, &listing);
    if (rc == 0)
        rc = vfs->ops->rename(vfs, "file-b", "file-c");
    if (rc == 0)
        rc = vfs->ops->sync_dir(vfs);
    vfs->ops->queue_close(queue);
    vfs->ops->close(file);
    return rc;
}

START_TEST(no_memory_is_an_error_and_leaks_nothing)
{
    for (uint64_t n = 1;; n++) {
        struct rig rig;
        if (!rig_open(&rig, (enum rig_kind)_i))
            return;
        rig.memory.fail_at = rig.memory.calls + n;
        const int rc = use_everything(rig.vfs);
        const bool fired = rig.memory.calls >= rig.memory.fail_at;
        rig.memory.fail_at = 0;
        if (!fired)
            ck_assert_int_eq(rc, 0);
        else
            ck_assert_int_eq(rc, -ENOMEM);
        /* After a sync that failed for want of memory the file is not to be used. */
        if (rig.kind != RIG_SIM || varve_sim_violation(rig.sim) == NULL)
            ck_assert_int_eq(use_everything(rig.vfs), 0);
        rig_close(&rig);
        if (!fired) {
            ck_assert_uint_ge(n, 3);
            break;
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vfs");
    TCase *tests = tcase_create("conformance");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, what_is_written_is_read, 0, RIG_KINDS);
    tcase_add_loop_test(tests, read_is_short_only_at_the_end, 0, RIG_KINDS);
    tcase_add_loop_test(tests, open_flags_mean_what_they_say, 0, RIG_KINDS);
    tcase_add_loop_test(tests, bad_names_and_flags_are_refused, 0, RIG_KINDS);
    tcase_add_loop_test(tests, truncate_cuts_and_grows_with_zeros, 0, RIG_KINDS);
    tcase_add_loop_test(tests, allocate_extends_with_zeros_and_never_shrinks, 0, RIG_KINDS);
    tcase_add_loop_test(tests, list_gives_each_file_once, 0, RIG_KINDS);
    tcase_add_loop_test(tests, rename_replaces_and_unlink_spares_what_is_open, 0, RIG_KINDS);
    tcase_add_loop_test(tests, locks_belong_to_the_open_file, 0, RIG_KINDS);
    tcase_add_loop_test(tests, locks_share_split_and_convert, 0, RIG_KINDS);
    tcase_add_loop_test(tests, queue_does_each_operation, 0, RIG_KINDS);
    tcase_add_loop_test(tests, request_can_be_submitted_again, 0, RIG_KINDS);
    tcase_add_loop_test(tests, submit_takes_all_or_none, 0, RIG_KINDS);
    tcase_add_loop_test(tests, closing_a_queue_finishes_what_is_in_flight, 0, RIG_KINDS);
    tcase_add_loop_test(tests, direct_files_read_and_write, 0, RIG_KINDS);
    tcase_add_loop_test(tests, clock_random_and_identity, 0, RIG_KINDS);
    tcase_add_loop_test(tests, a_pause_lasts_through_signals, 0, RIG_KINDS);
    tcase_add_loop_test(tests, random_requests_agree_with_memory, 0, RIG_KINDS);
    tcase_add_loop_test(tests, no_memory_is_an_error_and_leaks_nothing, 0, RIG_KINDS);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
