/*
 * test_uring.c - what is peculiar to io_uring: the kernel's partial and odd results, driven without a
 * kernel, and a ring that is kept full.
 */
#include "backend_rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"
#include "storage/vfs/uring_int.h"

static struct varve_io request(uint32_t op, size_t size)
{
    return (struct varve_io){.op = op, .size = size, .result = -12345};
}

START_TEST(short_transfers_go_on_where_they_stopped)
{
    static const uint32_t ops[] = {VARVE_IO_READ, VARVE_IO_WRITE, VARVE_IO_WRITE_DSYNC};

    for (size_t i = 0; i < 3; i++) {
        struct varve_io io = request(ops[i], 10000);
        ck_assert(!varve_uring_settle(&io, 4096));
        ck_assert_uint_eq(io.backend[VARVE_URING_DONE], 4096);
        ck_assert(!varve_uring_settle(&io, 5903));
        ck_assert_uint_eq(io.backend[VARVE_URING_DONE], 9999);
        ck_assert_int_eq(io.result, -12345); /* nothing is published before the end */
        ck_assert(varve_uring_settle(&io, 1));
        ck_assert_int_eq(io.result, 10000);
    }
}
END_TEST

START_TEST(read_ends_at_the_end_of_the_file)
{
    struct varve_io io = request(VARVE_IO_READ, 10000);
    ck_assert(!varve_uring_settle(&io, 100));
    ck_assert(varve_uring_settle(&io, 0));
    ck_assert_int_eq(io.result, 100);

    io = request(VARVE_IO_READ, 16384); /* direct: it cannot go on from an unaligned offset */
    io.backend[VARVE_URING_ALIGN] = 4096;
    ck_assert(!varve_uring_settle(&io, 4096));
    ck_assert(varve_uring_settle(&io, 700));
    ck_assert_int_eq(io.result, 4796);
}
END_TEST

START_TEST(write_without_progress_is_an_error)
{
    struct varve_io io = request(VARVE_IO_WRITE, 100);
    ck_assert(varve_uring_settle(&io, 0));
    ck_assert_int_eq(io.result, -EIO);
    io = request(VARVE_IO_WRITE, 0);
    ck_assert(varve_uring_settle(&io, 0));
    ck_assert_int_eq(io.result, 0);
}
END_TEST

START_TEST(interrupted_requests_are_tried_again_but_not_for_ever)
{
    static const int32_t passing[] = {-EINTR, -EAGAIN, -ECANCELED};

    for (size_t i = 0; i < 3; i++) {
        struct varve_io io = request(VARVE_IO_SYNC, 0);
        ck_assert(!varve_uring_settle(&io, passing[i]));
        ck_assert(varve_uring_settle(&io, 0));
        ck_assert_int_eq(io.result, 0);

        io = request(VARVE_IO_WRITE, 100);
        ck_assert(!varve_uring_settle(&io, 60));
        ck_assert(!varve_uring_settle(&io, passing[i])); /* what was moved stays moved */
        ck_assert_uint_eq(io.backend[VARVE_URING_DONE], 60);
        unsigned tries = 0;
        while (!varve_uring_settle(&io, passing[i]))
            ck_assert_uint_lt(++tries, 100000);
        ck_assert_int_eq(io.result, passing[i]);
    }
}
END_TEST

START_TEST(errors_end_a_request)
{
    struct varve_io io = request(VARVE_IO_WRITE_DSYNC, 100);
    ck_assert(!varve_uring_settle(&io, 50));
    ck_assert(varve_uring_settle(&io, -ENOSPC));
    ck_assert_int_eq(io.result, -ENOSPC);
    io = request(VARVE_IO_SYNC, 0);
    ck_assert(varve_uring_settle(&io, -EIO));
    ck_assert_int_eq(io.result, -EIO);
}
END_TEST

/* A ring of an odd depth is kept full with reads, writes and syncs; every request comes back once,
 * with its own bytes. */
START_TEST(full_ring_loses_and_mixes_nothing)
{
    enum { DEPTH = 61, BLOCK = 1024, REQUESTS = 5000 };
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    struct varve_io ios[DEPTH], *idle[DEPTH], *out[DEPTH];
    struct varve_rng rng;
    uint32_t idle_count = 0, submitted = 0, reaped = 0;

    if (!rig_open(&rig, RIG_URING))
        return;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    uint8_t *model = calloc(DEPTH, BLOCK), *buffers = malloc(DEPTH * BLOCK);
    struct varve_file *file = rig_file(rig.vfs, "a", VARVE_FILE_WRITE | VARVE_FILE_CREATE);
    ck_assert_int_eq(ops->truncate(file, DEPTH * BLOCK), 0);
    ck_assert_int_eq(ops->queue_open(rig.vfs, DEPTH, &queue), 0);
    varve_rng_seed(&rng, 7);
    for (; idle_count < DEPTH; idle_count++)
        idle[idle_count] = &ios[idle_count];
    while (reaped < REQUESTS) {
        while (idle_count > 0 && submitted < REQUESTS) {
            struct varve_io *io = idle[--idle_count];
            const size_t slot = (size_t)(io - ios);
            const uint64_t draw = varve_rng_below(&rng, 100);
            *io = (struct varve_io){.op = draw == 0   ? VARVE_IO_SYNC
                                          : draw < 50 ? VARVE_IO_READ
                                                      : VARVE_IO_WRITE,
                                    .file = file,
                                    .buffer = buffers + slot * BLOCK,
                                    .size = draw == 0 ? 0 : BLOCK,
                                    .offset = draw == 0 ? 0 : slot * BLOCK};
            if (io->op == VARVE_IO_WRITE) {
                rig_fill(io->buffer, BLOCK, varve_rng_next(&rng));
                memcpy(model + slot * BLOCK, io->buffer, BLOCK);
            }
            ck_assert_int_eq(ops->submit(queue, &io, 1), 0);
            submitted++;
        }
        const int n = ops->reap(queue, out, DEPTH, 1 + (uint32_t)varve_rng_below(&rng, 8), 100000);
        ck_assert_int_ge(n, 0);
        for (int i = 0; i < n; i++) {
            ck_assert_int_eq(out[i]->result, (int64_t)out[i]->size);
            ck_assert_int_eq(
                memcmp(out[i]->buffer, model + (size_t)(out[i] - ios) * BLOCK, out[i]->size), 0);
            idle[idle_count++] = out[i];
        }
        reaped += (uint32_t)n;
    }
    ck_assert_uint_eq(idle_count, DEPTH);
    ops->queue_close(queue);
    ops->close(file);
    free(model);
    free(buffers);
    rig_close(&rig);
}
END_TEST

START_TEST(rings_of_all_depths_open)
{
    static const uint32_t depths[] = {1, 2, 3, 64, 1000, VARVE_IO_DEPTH_MAX};
    struct rig rig;
    uint8_t byte = 9;

    if (!rig_open(&rig, RIG_URING))
        return;
    struct varve_file *file = rig_file(rig.vfs, "a", VARVE_FILE_WRITE | VARVE_FILE_CREATE);
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        struct varve_io_queue *queue = NULL;
        ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, depths[i], &queue), 0);
        ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE, file, &byte, 1, i), 1);
        rig.vfs->ops->queue_close(queue);
    }
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uring");
    TCase *tests = tcase_create("ring");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, short_transfers_go_on_where_they_stopped);
    tcase_add_test(tests, read_ends_at_the_end_of_the_file);
    tcase_add_test(tests, write_without_progress_is_an_error);
    tcase_add_test(tests, interrupted_requests_are_tried_again_but_not_for_ever);
    tcase_add_test(tests, errors_end_a_request);
    tcase_add_test(tests, full_ring_loses_and_mixes_nothing);
    tcase_add_test(tests, rings_of_all_depths_open);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
