/*
 * test_sim_edges.c - the simulated disk where tests seldom go: handles of the dead, names and sizes
 * beyond all limits, no memory, what a failed sync leaves undecided, crashes of very many files.
 */
#include "backend_rig.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)
#define TOO_LARGE (((uint64_t)1 << 40) + 1)
#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123"

static int ignore(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return 0;
}

START_TEST(handles_of_the_dead_only_close)
{
    struct rig rig;
    struct varve_file *other = NULL;
    struct varve_io_queue *queue = NULL, *second = NULL, *third = NULL;
    struct varve_file_stat st;
    uint8_t bytes[16] = {0};
    int64_t pid = 0;

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_vfs *vfs = rig_second(&rig);
    const struct varve_vfs_ops *ops = vfs->ops;
    struct varve_file *file = rig_file(vfs, "a", CREATE);
    struct varve_io io = {.op = VARVE_IO_SYNC, .file = file}, *list[1] = {&io};
    ck_assert_int_eq(ops->queue_open(vfs, 2, &queue), 0);
    ck_assert_int_eq(ops->queue_open(vfs, 2, &second), 0);
    ck_assert_int_eq(ops->queue_open(vfs, 2, &third), 0);
    varve_sim_kill(vfs);
    varve_sim_kill(vfs);
    ck_assert_int_eq(ops->open(vfs, "a", VARVE_FILE_READ, &other), -ESHUTDOWN);
    ck_assert_int_eq(ops->read(file, bytes, 1, 0), -ESHUTDOWN);
    ck_assert_int_eq(ops->write(file, bytes, 1, 0), -ESHUTDOWN);
    ck_assert_int_eq(ops->sync(file), -ESHUTDOWN);
    ck_assert_int_eq(ops->truncate(file, 0), -ESHUTDOWN);
    ck_assert_int_eq(ops->allocate(file, 1), -ESHUTDOWN);
    ck_assert_int_eq(ops->stat(file, &st), -ESHUTDOWN);
    ck_assert_int_eq(ops->advise(file, 0, 1, VARVE_ADVICE_DONTNEED), -ESHUTDOWN);
    ck_assert_int_eq(ops->lock(file, 0, 1, true), -ESHUTDOWN);
    ck_assert_int_eq(ops->unlock(file, 0, 1), -ESHUTDOWN);
    ck_assert_int_eq(ops->lock_test(file, 0, 1, true, &pid), -ESHUTDOWN);
    ck_assert_int_eq(ops->rename(vfs, "a", "b"), -ESHUTDOWN);
    ck_assert_int_eq(ops->unlink(vfs, "a"), -ESHUTDOWN);
    ck_assert_int_eq(ops->list(vfs, ignore, NULL), -ESHUTDOWN);
    ck_assert_int_eq(ops->sync_dir(vfs), -ESHUTDOWN);
    ck_assert_int_eq(ops->queue_open(vfs, 4, &second), -ESHUTDOWN);
    ck_assert_int_eq(ops->submit(queue, list, 1), -ESHUTDOWN);
    ck_assert_int_eq(ops->reap(queue, list, 1, 0, 0), -ESHUTDOWN);
    ck_assert_int_eq(ops->random(vfs, bytes, 16), -ESHUTDOWN);
    ck_assert_int_eq(ops->boot_id(vfs, bytes), -ESHUTDOWN);
    ck_assert_int_eq(ops->event_open(vfs), -1);
    ck_assert_int_eq(varve_sim_size(rig.sim, "a"), 0); /* none of it happened */
    ops->queue_close(second);                          /* from the middle, the end, the front */
    ops->queue_close(queue);
    ops->close(file);
    ops->destroy(vfs); /* with a queue left */
    ops->destroy(NULL);

    vfs = rig_second(&rig); /* abandoned with all it has */
    struct varve_vfs *last = rig_second(&rig);
    (void)rig_file(vfs, "a", VARVE_FILE_READ);
    ck_assert_int_eq(vfs->ops->queue_open(vfs, 2, &queue), 0);
    vfs->ops->event_signal(vfs, -1);
    vfs->ops->abandon(vfs);
    last->ops->destroy(last);
    rig_close(&rig);
}
END_TEST

START_TEST(what_is_beyond_the_limits_is_refused)
{
    struct rig rig;
    uint8_t byte = 1;

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_sim *sim = rig.sim;
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->write(file, &byte, 1, TOO_LARGE), -EFBIG);
    ck_assert_int_eq(ops->write(file, &byte, 1, TOO_LARGE - 1), -EFBIG);
    ck_assert_int_eq(ops->truncate(file, TOO_LARGE), -EFBIG);
    ck_assert_int_eq(ops->allocate(file, TOO_LARGE), -EFBIG);
    ck_assert_int_eq(ops->lock(file, 0, 0, true), -EINVAL);
    ck_assert_int_eq(ops->lock(file, 0, (uint64_t)INT64_MAX + 1, true), -EINVAL);
    ck_assert_int_eq(ops->lock(file, INT64_MAX, 2, true), -EINVAL);

    ck_assert_int_eq(varve_sim_overwrite(sim, "a", TOO_LARGE, &byte, 1), -EFBIG);
    ck_assert_int_eq(varve_sim_overwrite(sim, "a", TOO_LARGE - 1, &byte, 1), -EFBIG);
    ck_assert_int_eq(varve_sim_overwrite(sim, "a", 0, &byte, TOO_LARGE), -EFBIG);
    ck_assert_int_eq(varve_sim_truncate(sim, "a", TOO_LARGE), -EFBIG);
    ck_assert_int_eq(varve_sim_put(sim, LONG_NAME, &byte, 1), -ENAMETOOLONG);
    ck_assert_int_eq(varve_sim_put(sim, "", &byte, 1), -EINVAL);
    ck_assert_int_eq(varve_sim_put(sim, "a/b", &byte, 1), -EINVAL);
    ck_assert_int_eq(varve_sim_rename(sim, "a", LONG_NAME), -ENAMETOOLONG);
    ck_assert_int_eq(varve_sim_rename(sim, "none", "b"), -ENOENT);
    ck_assert_int_eq(varve_sim_rename(sim, "a", "a"), 0);
    ck_assert_int_eq(varve_sim_overwrite(sim, "none", 0, &byte, 1), -ENOENT);
    ck_assert_int_eq(varve_sim_truncate(sim, "none", 0), -ENOENT);
    ck_assert_int_eq(varve_sim_remove(sim, "none"), -ENOENT);
    ck_assert_int_lt(varve_sim_flip(sim, "none", 0), 0);
    ck_assert_int_eq(varve_sim_flip(sim, "a", 0), -ERANGE); /* it is empty */
    ck_assert_int_eq(varve_sim_copy_file(sim, LONG_NAME, sim, "a"), -ENAMETOOLONG);
    ck_assert_int_eq(varve_sim_copy_file(sim, "b", sim, "none"), -ENOENT);

    struct varve_sim_fault fault = {.classes = VARVE_SIM_ANY, .nth = 0, .times = 1, .error = EIO};
    ck_assert_int_eq(varve_sim_fault_add(sim, &fault), -EINVAL);
    fault.nth = 1;
    fault.error = 0;
    ck_assert_int_eq(varve_sim_fault_add(sim, &fault), -EINVAL);
    fault.error = EIO;
    memset(fault.name, 'x', sizeof fault.name);
    ck_assert_int_eq(varve_sim_fault_add(sim, &fault), -EINVAL);
    ck_assert_int_eq(varve_sim_size(sim, "a"), 0);
    ck_assert_uint_eq(varve_sim_violations(sim), 0);
    ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(requests_of_others_are_refused)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t byte = 1;

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_vfs *second = rig_second(&rig);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    struct varve_file *others = rig_file(second, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(ops->queue_open(rig.vfs, 8, &queue), 0);
    const struct varve_io good = {
        .op = VARVE_IO_WRITE, .file = file, .buffer = &byte, .size = 1, .offset = 0};
    struct varve_io bad[6] = {good, good, good, good, good, good};
    bad[0].op = VARVE_IO_READ - 1;
    bad[1].op = VARVE_IO_SYNC + 1;
    bad[2].flags = 1;
    bad[3].file = NULL;
    bad[4].file = others;
    bad[5].offset = TOO_LARGE;
    for (size_t i = 0; i < 6; i++) {
        struct varve_io *list[1] = {&bad[i]};
        ck_assert_int_eq(ops->submit(queue, list, 1), -EINVAL);
    }
    ck_assert_int_eq(varve_sim_size(rig.sim, "a"), 0);
    ops->queue_close(queue);
    ops->close(file);
    second->ops->close(others);
    second->ops->destroy(second);
    rig_close(&rig);
}
END_TEST

static int watch(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    (void)sim;
    (void)event;
    ++*(uint32_t *)ctx;
    return 0;
}

/* A little of everything that needs memory, until something fails. */
static int64_t whole_story(struct varve_sim *sim, struct varve_sim *other, uint32_t *seen)
{
    static const struct varve_sim_fault fault = {
        .classes = VARVE_SIM_LIST, .nth = 50, .times = 1, .error = EIO};
    struct varve_vfs *vfs = NULL;
    struct varve_file *file = NULL;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[3 * 4096];

    rig_fill(bytes, sizeof bytes, 3);
    int64_t rc = varve_sim_attach(sim, &vfs);
    if (rc < 0)
        return rc;
    const struct varve_vfs_ops *ops = vfs->ops;
    struct varve_io io = {.op = VARVE_IO_WRITE, .buffer = bytes, .size = 9000, .offset = 30000};
    struct varve_io *list[1] = {&io};
    rc = varve_sim_watch(sim, watch, seen);
    if (rc == 0)
        rc = varve_sim_fault_add(sim, &fault);
    if (rc == 0)
        rc = ops->open(vfs, "a", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE, &file);
    if (rc == 0)
        rc = ops->lock(file, 0, 100, false);
    if (rc == 0)
        rc = ops->lock(file, 40, 20, true);
    if (rc == 0)
        rc = ops->lock(file, 70, 10, true);
    if (rc == 0)
        rc = ops->write(file, bytes, sizeof bytes, 100) < 0 ? -ENOMEM : 0;
    if (rc == 0)
        rc = ops->truncate(file, 5000);
    if (rc == 0)
        rc = ops->allocate(file, 20000);
    if (rc == 0)
        rc = ops->queue_open(vfs, 2, &queue);
    io.file = file;
    if (rc == 0) {
        rc = ops->submit(queue, list, 1);
        if (rc == 0)
            rc = ops->reap(queue, list, 1, 1, UINT64_MAX) == 1 && io.result >= 0 ? 0 : io.result;
    }
    if (rc == 0)
        rc = ops->sync(file);
    if (rc == 0)
        rc = ops->rename(vfs, "a", "b");
    if (rc == 0)
        rc = ops->sync_dir(vfs);
    if (rc == 0)
        rc = ops->list(vfs, ignore, NULL);
    if (rc == 0)
        rc = varve_sim_list(sim, ignore, NULL);
    if (rc == 0)
        rc = varve_sim_put(sim, "c", bytes, sizeof bytes);
    if (rc == 0)
        rc = varve_sim_overwrite(sim, "c", 20000, bytes, 5000);
    if (rc == 0)
        rc = varve_sim_truncate(sim, "c", 4097);
    if (rc == 0)
        rc = varve_sim_rename(sim, "c", "d");
    if (rc == 0)
        rc = varve_sim_copy_file(other, "b", sim, "b");
    if (rc == 0)
        rc = varve_sim_copy_file(sim, "e", sim, "b");
    ops->queue_close(queue);
    if (file != NULL)
        ops->close(file);
    ops->destroy(vfs);
    varve_sim_unwatch(sim, watch, &rc); /* nobody's */
    varve_sim_unwatch(sim, watch, seen);
    return rc;
}

START_TEST(every_failed_allocation_is_survived)
{
    for (uint64_t n = 1;; n++) {
        struct rig_memory memory, others;
        struct varve_sim_options options;
        struct varve_sim *sim = NULL, *other = NULL;
        uint32_t seen = 0;

        rig_memory_init(&memory);
        rig_memory_init(&others);
        varve_sim_options_init(&options, &others.heap, 9);
        ck_assert_int_eq(varve_sim_create(&options, &other), 0);
        varve_sim_options_init(&options, &memory.heap, 9);
        options.split_chance = 128;
        memory.fail_at = n;
        int64_t rc = varve_sim_create(&options, &sim);
        if (rc == 0)
            rc = whole_story(sim, other, &seen);
        const bool fired = memory.calls >= n;
        memory.fail_at = 0;
        ck_assert_int_eq(rc, fired ? -ENOMEM : 0);
        if (!fired) { /* the copy on the other machine is whole */
            uint8_t a[5000], b[5000];
            ck_assert_int_eq(varve_sim_read(sim, "b", 100, a, sizeof a), 5000);
            ck_assert_int_eq(varve_sim_read(other, "b", 100, b, sizeof b), 5000);
            ck_assert_mem_eq(a, b, sizeof a);
            ck_assert_int_eq(varve_sim_size(other, "b"), varve_sim_size(sim, "e"));
            ck_assert_uint_gt(seen, 10);
        }
        varve_sim_destroy(sim);
        varve_sim_destroy(other);
        ck_assert_uint_eq(varve_heap_used(&memory.heap), 0);
        ck_assert_uint_eq(varve_heap_used(&others.heap), 0);
        if (!fired)
            break;
    }
}
END_TEST

static struct varve_sim_fault failing(uint32_t class, uint32_t mode)
{
    return (struct varve_sim_fault){
        .classes = class, .sync_mode = mode, .nth = 1, .times = 1, .error = EIO};
}

/* What a failed sync left in doubt is settled by what another process makes durable over it. */
START_TEST(a_later_truncation_settles_what_was_in_doubt)
{
    struct rig rig;
    uint8_t bytes[3000];
    const struct varve_sim_fault fault = failing(VARVE_SIM_SYNC, VARVE_SIM_SYNC_KEEP);

    ck_assert(rig_open(&rig, RIG_SIM));
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    rig_fill(bytes, sizeof bytes, 1);
    ck_assert_int_eq(ops->write(file, bytes, 3000, 0), 3000);
    ck_assert_int_eq(ops->truncate(file, 2500), 0);
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
    ck_assert_int_eq(ops->sync(file), -EIO);
    ck_assert(!varve_sim_is_content_durable(rig.sim, "a"));
    ops->close(file);
    struct varve_vfs *second = rig_second(&rig);
    file = rig_file(second, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(second->ops->truncate(file, 0), 0);
    ck_assert_int_eq(second->ops->sync(file), 0);
    ck_assert(varve_sim_is_content_durable(rig.sim, "a")); /* nothing is left to come back */
    ck_assert_int_eq(second->ops->sync_dir(second), 0);
    ck_assert(varve_sim_is_durable(rig.sim, "a"));
    second->ops->close(file);
    second->ops->destroy(second);
    rig_close(&rig);
}
END_TEST

/* The same for names: each is used again after a sync of the directory that failed. */
START_TEST(later_names_settle_what_was_in_doubt)
{
    static const struct {
        const char *first_from, *first_to; /* to NULL: create */
        const char *from, *to;             /* after the failure; to NULL: unlink */
        const char *settled;               /* durable after the next sync, or gone */
    } step[] = {
        {"x", NULL, "x", "y", "y"},  /* created, then renamed */
        {"x", NULL, "x", NULL, "x"}, /* created, then removed */
        {"a", "y", "y", NULL, "y"},  /* renamed, then removed under the new name */
        {"a", "y", "y", "z", "z"},   /* renamed, and again */
        {"a", "y", "b", "y", "y"},   /* renamed, then replaced by another */
        {"a", "y", "b", "a", "a"},   /* renamed, then another takes the old name */
    };

    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        const struct varve_sim_fault fault = failing(VARVE_SIM_SYNC_DIR, VARVE_SIM_SYNC_KEEP);
        struct rig rig;

        ck_assert(rig_open(&rig, RIG_SIM));
        const struct varve_vfs_ops *ops = rig.vfs->ops;
        ops->close(rig_file(rig.vfs, "a", CREATE));
        ops->close(rig_file(rig.vfs, "b", CREATE));
        ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
        if (step[i].first_to == NULL)
            ops->close(rig_file(rig.vfs, step[i].first_from, CREATE));
        else
            ck_assert_int_eq(ops->rename(rig.vfs, step[i].first_from, step[i].first_to), 0);
        ck_assert(!varve_sim_is_gone(rig.sim, step[i].first_to == NULL ? "x" : "a"));
        ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
        ck_assert_int_eq(ops->sync_dir(rig.vfs), -EIO);
        ck_assert_int_eq(varve_sim_is_entry_durable(rig.sim, step[i].from),
                         strcmp(step[i].from, "b") == 0); /* nothing happened to that one */
        struct varve_vfs *second = rig_second(&rig);
        if (step[i].to == NULL)
            ck_assert_int_eq(second->ops->unlink(second, step[i].from), 0);
        else
            ck_assert_int_eq(second->ops->rename(second, step[i].from, step[i].to), 0);
        ck_assert_int_eq(second->ops->sync_dir(second), 0);
        if (step[i].to == NULL)
            ck_assert(varve_sim_is_gone(rig.sim, step[i].settled));
        else
            ck_assert_msg(varve_sim_is_entry_durable(rig.sim, step[i].settled), "step %zu", i);
        second->ops->destroy(second);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(ranges_are_durable_by_themselves)
{
    struct rig rig;
    uint8_t bytes[1000];

    ck_assert(rig_open(&rig, RIG_SIM));
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    rig_fill(bytes, sizeof bytes, 1);
    ck_assert(!varve_sim_is_range_durable(rig.sim, "none", 0, 1));
    ck_assert(!varve_sim_is_content_durable(rig.sim, "none"));
    ck_assert(!varve_sim_is_entry_durable(rig.sim, "none"));
    ck_assert_int_eq(ops->write(file, bytes, 1000, 0), 1000);
    ck_assert(!varve_sim_is_range_durable(rig.sim, "a", 0, 1000));
    ck_assert_int_eq(ops->sync(file), 0);
    ck_assert(varve_sim_is_range_durable(rig.sim, "a", 0, 1000));
    ck_assert(!varve_sim_is_range_durable(rig.sim, "a", 0, 1001));
    ck_assert_int_eq(ops->write(file, bytes, 100, 500), 100);
    ck_assert(!varve_sim_is_range_durable(rig.sim, "a", 0, 501));
    ck_assert(!varve_sim_is_range_durable(rig.sim, "a", 599, 10));
    ck_assert(varve_sim_is_range_durable(rig.sim, "a", 0, 500));
    ck_assert(varve_sim_is_range_durable(rig.sim, "a", 600, 400));
    ck_assert_int_eq(ops->truncate(file, 900), 0);
    ck_assert(varve_sim_is_range_durable(rig.sim, "a", 600, 300));
    ck_assert(!varve_sim_is_range_durable(rig.sim, "a", 600, 301));
    ops->close(file);
    rig_close(&rig);
}
END_TEST

/* So many files that not even their prefixes can all be tried: every state is still one in which each
 * file has a beginning of what was written to it, and there are enough of them. */
START_TEST(crashes_of_very_many_files_keep_each_in_order)
{
    enum { FILES = 40, WRITES = 3 };
    struct rig rig;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;
    struct varve_sim_crash_options options;
    uint32_t states = 0, mixed = 0;
    char name[16];

    ck_assert(rig_open(&rig, RIG_SIM));
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *files[FILES];
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "%02d", i);
        files[i] = rig_file(rig.vfs, name, CREATE);
    }
    ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
    for (int w = 0; w < WRITES; w++)
        for (int i = 0; i < FILES; i++)
            ck_assert_int_eq(ops->write(files[i], &"abc"[w], 1, (uint64_t)w), 1);
    varve_sim_crash_options_init(&options, 4);
    options.model = VARVE_SIM_CRASH_BY_FILE;
    options.random = 50;
    ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), 0);
    int rc;
    while ((rc = varve_sim_crash_next(crash, &image, NULL)) > 0) {
        int64_t least = WRITES, most = 0;
        for (int i = 0; i < FILES; i++) {
            uint8_t text[WRITES + 1];
            (void)snprintf(name, sizeof name, "%02d", i);
            const int64_t size = varve_sim_read(image, name, 0, text, sizeof text);
            if (size < 0 || size > WRITES || memcmp(text, "abc", (size_t)size) != 0)
                ck_abort_msg("file %d of state %u", i, states);
            least = size < least ? size : least;
            most = size > most ? size : most;
        }
        mixed += least < most;
        states++;
        varve_sim_destroy(image);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(states, 200);
    ck_assert_uint_gt(mixed, states / 2);
    varve_sim_crash_close(crash);
    for (int i = 0; i < FILES; i++)
        ops->close(files[i]);
    rig_close(&rig);
}
END_TEST

/* A file that grew may show what an older block of another file held. */
START_TEST(garbage_may_be_what_another_file_held)
{
    struct rig rig;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;
    struct varve_sim_crash_options options;
    static uint8_t old[4096], bytes[4096], seen[4096];
    uint32_t olds = 0;

    ck_assert(rig_open(&rig, RIG_SIM));
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *a = rig_file(rig.vfs, "a", CREATE), *b = rig_file(rig.vfs, "b", CREATE);
    rig_fill(old, sizeof old, 1);
    rig_fill(bytes, sizeof bytes, 2);
    ck_assert_int_eq(ops->write(a, old, 4096, 0), 4096);
    ck_assert_int_eq(ops->sync(a), 0);
    ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
    ck_assert_int_eq(ops->write(b, bytes, 4096, 0), 4096);
    for (uint64_t seed = 0; seed < 20; seed++) {
        varve_sim_crash_options_init(&options, seed);
        options.hole = VARVE_SIM_HOLE_GARBAGE;
        options.random = 8;
        ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), 0);
        while (varve_sim_crash_next(crash, &image, NULL) > 0) {
            if (varve_sim_read(image, "b", 0, seen, 4096) == 4096)
                for (size_t at = 0; at < 4096; at += 512)
                    olds += memcmp(seen + at, old + at, 512) == 0;
            ck_assert_int_eq(varve_sim_read(image, "a", 0, seen, 4096), 4096);
            if (memcmp(seen, old, 4096) != 0)
                ck_abort_msg("what was durable has changed");
            varve_sim_destroy(image);
        }
        varve_sim_crash_close(crash);
    }
    ck_assert_uint_gt(olds, 0);
    ops->close(a);
    ops->close(b);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_edges");
    TCase *tests = tcase_create("sim_edges");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, handles_of_the_dead_only_close);
    tcase_add_test(tests, what_is_beyond_the_limits_is_refused);
    tcase_add_test(tests, requests_of_others_are_refused);
    tcase_add_test(tests, every_failed_allocation_is_survived);
    tcase_add_test(tests, a_later_truncation_settles_what_was_in_doubt);
    tcase_add_test(tests, later_names_settle_what_was_in_doubt);
    tcase_add_test(tests, ranges_are_durable_by_themselves);
    tcase_add_test(tests, crashes_of_very_many_files_keep_each_in_order);
    tcase_add_test(tests, garbage_may_be_what_another_file_held);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
