/*
 * test_sim.c - the simulated disk: faults, its rules, its trace, kills, clocks and damage. What a
 * crash leaves is test_crash_states.c's.
 */
#include "backend_rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)

static void attach(struct rig *rig, uint64_t seed, bool keep_trace)
{
    struct varve_sim_options options;

    *rig = (struct rig){.kind = RIG_SIM};
    rig_memory_init(&rig->memory);
    varve_sim_options_init(&options, &rig->memory.heap, seed);
    options.keep_trace = keep_trace;
    options.split_chance = 64;
    ck_assert_int_eq(varve_sim_create(&options, &rig->sim), 0);
    ck_assert_int_eq(varve_sim_attach(rig->sim, &rig->vfs), 0);
}

/* A little of everything; stops at the first error. */
static int64_t scenario(struct varve_vfs *vfs)
{
    static uint8_t bytes[3][8192];
    const struct varve_vfs_ops *ops = vfs->ops;
    struct varve_file *file = NULL;
    struct varve_io_queue *queue = NULL;
    struct varve_io ios[4], *list[4], *out[4];
    struct varve_file_stat st;

    int64_t rc = ops->open(vfs, "a.tmp", VARVE_FILE_WRITE | VARVE_FILE_OPEN_OR_CREATE, &file);
    if (rc == 0)
        rc = ops->lock(file, 0, 1, true);
    if (rc == 0)
        rc = ops->allocate(file, 65536);
    if (rc == 0)
        rc = ops->queue_open(vfs, 4, &queue);
    for (uint32_t i = 0; i < 3; i++) {
        rig_fill(bytes[i], 8192, i);
        ios[i] = (struct varve_io){.op = i == 2 ? VARVE_IO_WRITE_DSYNC : VARVE_IO_WRITE,
                                   .file = file,
                                   .buffer = bytes[i],
                                   .size = 8192,
                                   .offset = (uint64_t)i * 8192};
        list[i] = &ios[i];
    }
    ios[3] = (struct varve_io){.op = VARVE_IO_SYNC, .file = file};
    list[3] = &ios[3];
    if (rc == 0)
        rc = ops->submit(queue, list, 4);
    for (int done = 0; rc == 0 && done < 4;) {
        done += ops->reap(queue, out, 4, 4, 1000);
        if (done == 4)
            for (int i = 0; i < 4; i++)
                rc = ios[i].result < 0 ? ios[i].result : rc;
    }
    if (rc == 0 && ops->read(file, bytes[0], 8192, 4096) != 8192)
        rc = -EIO;
    if (rc == 0)
        rc = ops->stat(file, &st);
    if (rc == 0)
        rc = ops->sync(file);
    if (rc == 0)
        rc = ops->rename(vfs, "a.tmp", "a");
    if (rc == 0)
        rc = ops->sync_dir(vfs);
    if (rc == 0)
        rc = ops->truncate(file, 100);
    if (rc == 0)
        rc = ops->random(vfs, bytes[0], 16);
    ops->queue_close(queue);
    ops->close(file);
    if (rc == 0)
        rc = ops->unlink(vfs, "a");
    return rc;
}

START_TEST(same_seed_same_trace)
{
    uint64_t trace[3], hash[3];

    for (int run = 0; run < 3; run++) {
        struct rig rig;
        attach(&rig, run == 2 ? 8 : 7, false);
        ck_assert_int_eq(scenario(rig.vfs), 0);
        ck_assert_int_eq(scenario(rig.vfs), 0);
        trace[run] = varve_sim_trace_hash(rig.sim);
        hash[run] = varve_sim_hash(rig.sim);
        rig_close(&rig);
    }
    ck_assert_uint_eq(trace[0], trace[1]);
    ck_assert_uint_ne(trace[0], trace[2]); /* another order of completion */
    ck_assert_uint_eq(hash[0], hash[2]);   /* and the same outcome */
}
END_TEST

START_TEST(trace_tells_what_happened)
{
    struct rig rig;

    attach(&rig, 1, true);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(rig.vfs->ops->write(file, "abc", 3, 10), 3);
    ck_assert_int_eq(rig.vfs->ops->rename(rig.vfs, "a", "b"), 0);
    ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
    rig.vfs->ops->close(file);
    ck_assert_uint_eq(varve_sim_ops(rig.sim), 4);
    ck_assert_uint_eq(varve_sim_trace_count(rig.sim), 8);
    const struct varve_sim_trace_entry *entry = varve_sim_trace_at(rig.sim, 3);
    ck_assert_uint_eq(entry->op, VARVE_SIM_WRITE);
    ck_assert_uint_eq(entry->phase, VARVE_SIM_AFTER);
    ck_assert_uint_eq(entry->offset, 10);
    ck_assert_uint_eq(entry->size, 3);
    ck_assert_int_eq(entry->result, 3);
    ck_assert_str_eq(entry->name, "a");
    ck_assert_str_eq(varve_sim_trace_at(rig.sim, 4)->to, "b");
    ck_assert_str_eq(varve_sim_trace_at(rig.sim, 7)->name, "b"); /* it follows the name */
    ck_assert_str_eq(varve_sim_class_name(entry->op), "write");
    ck_assert_str_eq(varve_sim_class_name(3), "unknown");
    rig_close(&rig);
}
END_TEST

/* Fail operation 1, 2, ... once or for ever until none is left to fail; then all works again. */
START_TEST(each_operation_can_fail)
{
    const bool for_ever = _i != 0;

    for (uint64_t n = 1;; n++) {
        struct rig rig;
        attach(&rig, 3, false);
        ck_assert_int_eq(varve_sim_fault_nth(rig.sim, n, for_ever, EIO), 0);
        const int64_t rc = scenario(rig.vfs);
        const uint64_t hits = varve_sim_fault_hits(rig.sim);
        if (hits == 0) {
            ck_assert_int_eq(rc, 0);
            ck_assert_uint_ge(n, 15);
            rig_close(&rig);
            break;
        }
        ck_assert_int_eq(rc, -EIO);
        if (!for_ever)
            ck_assert_uint_eq(hits, 1);
        varve_sim_fault_clear(rig.sim);
        struct varve_sim *clone;
        ck_assert_int_eq(varve_sim_clone(rig.sim, &clone), 0);
        struct varve_vfs *vfs;
        ck_assert_int_eq(varve_sim_attach(clone, &vfs), 0);
        ck_assert_int_eq(scenario(vfs), 0);
        ck_assert_ptr_null(varve_sim_violation(clone));
        varve_sim_destroy(clone);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(fault_of_a_class_and_a_file)
{
    struct rig rig;

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_sim_fault fault = {
        .classes = VARVE_SIM_WRITE, .nth = 2, .times = 2, .error = ENOSPC, .name = "b"};
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
    fault.nth = 0;
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), -EINVAL);
    fault.nth = 1;
    fault.error = -EIO;
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), -EINVAL);
    struct varve_file *a = rig_file(rig.vfs, "a", CREATE), *b = rig_file(rig.vfs, "b", CREATE);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ops->write(a, "x", 1, 0), 1);
    ck_assert_int_eq(ops->write(b, "x", 1, 0), 1);
    ck_assert_int_eq(ops->write(b, "x", 1, 0), -ENOSPC);
    ck_assert_int_eq(ops->sync(b), 0);
    ck_assert_int_eq(ops->write(b, "x", 1, 0), -ENOSPC);
    ck_assert_int_eq(ops->write(b, "x", 1, 0), 1);
    ck_assert_uint_eq(varve_sim_fault_hits(rig.sim), 2);
    ops->close(a);
    ops->close(b);
    rig_close(&rig);
}
END_TEST

START_TEST(full_disk_refuses_and_recovers)
{
    struct rig rig;
    static uint8_t bytes[65536];

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    rig_fill(bytes, sizeof bytes, 1);
    varve_sim_set_capacity(rig.sim, 65536);
    struct varve_file *a = rig_file(rig.vfs, "a", CREATE), *b = rig_file(rig.vfs, "b", CREATE);
    ck_assert_int_eq(ops->allocate(a, 40960), 0);
    ck_assert_uint_eq(varve_sim_used(rig.sim), 40960);
    ck_assert_int_eq(ops->allocate(b, 40960), -ENOSPC);
    ck_assert_int_eq(ops->write(b, bytes, 40960, 0), -ENOSPC);
    ck_assert_int_eq(varve_sim_size(rig.sim, "b"), 24576);   /* what fitted */
    ck_assert_int_eq(ops->write(a, bytes, 40960, 0), 40960); /* it was reserved */
    struct varve_io_queue *queue;
    ck_assert_int_eq(ops->queue_open(rig.vfs, 2, &queue), 0);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, b, bytes, 8192, 24576),
                     -ENOSPC);
    ck_assert_int_eq(ops->unlink(rig.vfs, "a"), 0);
    ck_assert_int_eq(ops->write(b, bytes, 8192, 24576), -ENOSPC); /* still open */
    ops->close(a);
    ck_assert_int_eq(ops->write(b, bytes, 8192, 24576), 8192);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, b, bytes, 8192, 32768),
                     8192);
    ops->queue_close(queue);
    ops->close(b);
    rig_close(&rig);
}
END_TEST

START_TEST(failed_sync_keeps_or_reverts)
{
    const bool revert = _i != 0;
    struct rig rig;
    char got[4] = {0};

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->write(file, "old", 3, 0), 3);
    ck_assert_int_eq(ops->sync(file), 0);
    ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
    ck_assert_int_eq(ops->write(file, "new", 3, 0), 3);
    const struct varve_sim_fault fault = {.classes = VARVE_SIM_SYNC,
                                          .sync_mode =
                                              revert ? VARVE_SIM_SYNC_REVERT : VARVE_SIM_SYNC_KEEP,
                                          .nth = 1,
                                          .times = 1,
                                          .error = EIO};
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
    ck_assert_int_eq(ops->sync(file), -EIO);
    ops->close(file);

    struct varve_vfs *other = rig_second(&rig); /* after a restart nobody knows of it */
    file = rig_file(other, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(ops->read(file, got, 3, 0), 3);
    ck_assert_str_eq(got, revert ? "old" : "new");
    ck_assert_int_eq(ops->sync(file), 0);
    ck_assert_int_eq(varve_sim_is_content_durable(rig.sim, "a"), revert);
    ck_assert_int_eq(ops->write(file, "NEW", 3, 0), 3); /* written again it can be synced */
    ck_assert_int_eq(ops->sync(file), 0);
    ck_assert(varve_sim_is_content_durable(rig.sim, "a"));
    ops->close(file);
    other->ops->destroy(other);
    rig_close(&rig);
}
END_TEST

static void check_breach(struct rig *rig, const char *part)
{
    ck_assert_ptr_nonnull(varve_sim_violation(rig->sim));
    ck_assert_msg(strstr(varve_sim_violation(rig->sim), part) != NULL, "%s",
                  varve_sim_violation(rig->sim));
    rig->vfs->ops->destroy(rig->vfs);
    varve_sim_destroy(rig->sim);
    ck_assert_uint_eq(varve_heap_used(&rig->memory.heap), 0);
}

START_TEST(use_after_failed_sync_is_a_breach)
{
    struct rig rig;

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    const struct varve_sim_fault fault = {
        .classes = VARVE_SIM_SYNC, .nth = 1, .times = 1, .error = EIO};
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
    ck_assert_int_eq(ops->sync(file), -EIO);
    ck_assert_ptr_null(varve_sim_violation(rig.sim));
    ops->close(file);
    file = rig_file(rig.vfs, "a", VARVE_FILE_WRITE); /* opening it again forgives nothing */
    ck_assert_ptr_null(varve_sim_violation(rig.sim));
    if (_i == 0)
        (void)ops->write(file, "x", 1, 0);
    else if (_i == 1)
        (void)ops->sync(file);
    else
        (void)ops->truncate(file, 0);
    ops->close(file);
    check_breach(&rig, "sync failed");
}
END_TEST

START_TEST(queue_misuse_is_a_breach)
{
    struct rig rig;
    uint8_t a[512] = {1}, b[512] = {2};
    struct varve_io_queue *queue = NULL;

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    ck_assert_int_eq(ops->queue_open(rig.vfs, 4, &queue), 0);
    struct varve_io first = {.op = VARVE_IO_WRITE, .file = file, .buffer = a, .size = 512};
    struct varve_io second = {
        .op = VARVE_IO_WRITE, .file = file, .buffer = b, .size = 512, .offset = 511};
    struct varve_io *list[2] = {&first, &second};
    static const char *const parts[] = {"overlaps", "buffer changed", "request changed",
                                        "closed",   "truncation",     "overlaps"};
    ck_assert_int_eq(ops->submit(queue, list, _i == 0 ? 2 : 1), 0);
    switch (_i) {
    case 1:
        a[100] ^= 1;
        break;
    case 2:
        first.offset = 8;
        break;
    case 3:
        ops->close(file);
        file = NULL;
        break;
    case 4:
        ck_assert_int_eq(ops->truncate(file, 100), 0);
        break;
    case 5:
        ck_assert_int_eq(ops->write(file, b, 1, 0), 1);
        break;
    default:
        break;
    }
    ops->queue_close(queue);
    ops->close(file);
    check_breach(&rig, parts[_i]);
}
END_TEST

struct observer {
    unsigned before, after;
    uint32_t refuse; /* class */
    int error;
    bool named_before_durable;
};

/* As a test of the engine would: a page that names a file may not be written before the file is
 * durable. */
static int observe(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct observer *observer = ctx;

    if (event->phase == VARVE_SIM_AFTER) {
        observer->after++;
        return 0;
    }
    observer->before++;
    if (event->op == VARVE_SIM_WRITE && strcmp(event->name, "MANIFEST") == 0) {
        char name[VARVE_SIM_NAME_MAX] = {0};
        memcpy(name, event->bytes, event->size);
        if (!varve_sim_is_durable(sim, name))
            observer->named_before_durable = true;
    }
    return observer->refuse == event->op ? observer->error : 0;
}

START_TEST(watchers_see_refuse_and_ask)
{
    struct rig rig;
    struct observer observer = {0};

    attach(&rig, 3, false);
    const struct varve_vfs_ops *ops = rig.vfs->ops;
    ck_assert_int_eq(varve_sim_watch(rig.sim, observe, &observer), 0);
    struct varve_file *data = rig_file(rig.vfs, "data", CREATE);
    struct varve_file *manifest = rig_file(rig.vfs, "MANIFEST", CREATE);
    ck_assert_int_eq(ops->write(data, "rows", 4, 0), 4);
    ck_assert(!varve_sim_is_content_durable(rig.sim, "data"));
    ck_assert_int_eq(ops->sync(data), 0);
    ck_assert(varve_sim_is_content_durable(rig.sim, "data"));
    ck_assert(varve_sim_is_range_durable(rig.sim, "data", 0, 4));
    ck_assert(!varve_sim_is_range_durable(rig.sim, "data", 0, 5));
    ck_assert(!varve_sim_is_entry_durable(rig.sim, "data"));
    ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
    ck_assert(varve_sim_is_durable(rig.sim, "data"));
    ck_assert_int_eq(ops->write(manifest, "data", 4, 0), 4);
    ck_assert(!observer.named_before_durable);
    ck_assert_int_eq(ops->write(manifest, "none", 4, 4), 4);
    ck_assert(observer.named_before_durable);
    ck_assert_uint_eq(observer.before, varve_sim_ops(rig.sim));
    ck_assert_uint_eq(observer.after, observer.before);

    observer.refuse = VARVE_SIM_TRUNCATE;
    observer.error = -EDQUOT;
    ck_assert_int_eq(ops->truncate(data, 1), -EDQUOT);
    ck_assert_int_eq(varve_sim_size(rig.sim, "data"), 4);
    varve_sim_unwatch(rig.sim, observe, &observer);
    ck_assert_int_eq(ops->truncate(data, 1), 0);
    ck_assert_uint_eq(observer.after, observer.before);

    ck_assert_int_eq(ops->unlink(rig.vfs, "data"), 0);
    ck_assert(!varve_sim_is_gone(rig.sim, "data"));
    ck_assert_int_eq(ops->sync_dir(rig.vfs), 0);
    ck_assert(varve_sim_is_gone(rig.sim, "data"));
    ops->close(data);
    ops->close(manifest);
    rig_close(&rig);
}
END_TEST

START_TEST(kill_keeps_the_cache_and_drops_locks)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[512];

    attach(&rig, 3, false);
    struct varve_vfs *victim = rig_second(&rig);
    struct varve_file *file = rig_file(victim, "a", CREATE);
    ck_assert_int_ne(victim->ops->pid(victim), rig.vfs->ops->pid(rig.vfs));
    ck_assert_int_eq(victim->ops->write(file, "abc", 3, 0), 3);
    ck_assert_int_eq(victim->ops->lock(file, 0, 1, true), 0);
    ck_assert_int_eq(victim->ops->queue_open(victim, 4, &queue), 0);
    rig_fill(bytes, sizeof bytes, 1);
    struct varve_io io = {
        .op = VARVE_IO_WRITE, .file = file, .buffer = bytes, .size = 512, .offset = 512};
    struct varve_io *list[1] = {&io};
    ck_assert_int_eq(victim->ops->submit(queue, list, 1), 0);

    struct varve_sim *clone; /* the same death, beside it */
    ck_assert_int_eq(varve_sim_clone(rig.sim, &clone), 0);
    varve_sim_kill(victim);
    ck_assert_uint_eq(varve_sim_hash(clone), varve_sim_hash(rig.sim));
    varve_sim_destroy(clone);
    ck_assert_int_eq(victim->ops->write(file, "x", 1, 0), -ESHUTDOWN);
    ck_assert_int_eq(victim->ops->submit(queue, list, 1), -ESHUTDOWN);
    victim->ops->queue_close(queue);
    victim->ops->close(file);
    victim->ops->destroy(victim);

    file = rig_file(rig.vfs, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(rig.vfs->ops->lock(file, 0, 1, true), 0);
    char got[4] = {0};
    ck_assert_int_eq(rig.vfs->ops->read(file, got, 3, 0), 3);
    ck_assert_str_eq(got, "abc");
    ck_assert(!varve_sim_is_durable(rig.sim, "a")); /* a power cut may still take it */
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(clock_is_the_tests)
{
    struct rig rig;
    struct varve_clock_reading now;
    uint8_t first[16], second[16];

    attach(&rig, 3, false);
    varve_sim_clock_set(rig.sim, 1000, 50);
    varve_sim_clock_advance(rig.sim, 7);
    rig.vfs->ops->clock(rig.vfs, &now);
    ck_assert_int_eq(now.wall_us, 1007);
    ck_assert_int_eq(now.boot_us, 57);
    ck_assert_int_eq(rig.vfs->ops->boot_id(rig.vfs, first), 0);
    rig.vfs->ops->destroy(rig.vfs);
    varve_sim_reboot(rig.sim, 1000000);
    ck_assert_int_eq(varve_sim_attach(rig.sim, &rig.vfs), 0);
    ck_assert_int_eq(rig.vfs->ops->boot_id(rig.vfs, second), 0);
    ck_assert_int_ne(memcmp(first, second, 16), 0);
    rig.vfs->ops->clock(rig.vfs, &now);
    ck_assert_int_lt(now.boot_us, 57);
    ck_assert_int_gt(now.wall_us, 1000000);
    rig_close(&rig);
}
END_TEST

static int collect(void *ctx, const char *name)
{
    char *text = ctx;
    strcat(text, name);
    strcat(text, " ");
    return 0;
}

START_TEST(damage_is_exact)
{
    struct rig rig, other;
    char names[64] = "", got[16] = {0};

    attach(&rig, 3, false);
    attach(&other, 4, false);
    struct varve_sim *sim = rig.sim;
    ck_assert_int_eq(varve_sim_put(sim, "b", "banana", 6), 0);
    ck_assert_int_eq(varve_sim_put(sim, "a", "", 0), 0);
    ck_assert_int_eq(varve_sim_put(sim, "a", "x", 1), -EEXIST);
    ck_assert_int_eq(varve_sim_list(sim, collect, names), 0);
    ck_assert_str_eq(names, "a b ");
    struct varve_sim *clone;
    ck_assert_int_eq(varve_sim_clone(sim, &clone), 0);
    ck_assert_uint_eq(varve_sim_hash(clone), varve_sim_hash(sim));
    ck_assert_int_eq(varve_sim_flip(clone, "b", 8), 0);
    ck_assert_uint_ne(varve_sim_hash(clone), varve_sim_hash(sim));
    ck_assert_int_eq(varve_sim_read(clone, "b", 0, got, 16), 6);
    ck_assert_str_eq(got, "b`nana");
    ck_assert_int_eq(varve_sim_read(sim, "b", 0, got, 16), 6);
    ck_assert_str_eq(got, "banana"); /* the original is untouched */
    ck_assert_int_eq(varve_sim_flip(clone, "b", 8), 0);
    ck_assert_uint_eq(varve_sim_hash(clone), varve_sim_hash(sim));
    ck_assert_int_eq(varve_sim_flip(clone, "b", 48), -ERANGE);
    ck_assert_int_eq(varve_sim_truncate(clone, "b", 3), 0);
    ck_assert_int_eq(varve_sim_overwrite(clone, "b", 5, "!", 1), 0);
    ck_assert_int_eq(varve_sim_read(clone, "b", 0, got, 16), 6);
    ck_assert_int_eq(memcmp(got, "ban\0\0!", 6), 0);
    ck_assert_int_eq(varve_sim_rename(clone, "b", "c"), 0);
    ck_assert_int_eq(varve_sim_size(clone, "b"), -ENOENT);
    ck_assert_int_eq(varve_sim_copy_file(other.sim, "d", clone, "c"), 0);
    ck_assert_int_eq(varve_sim_remove(clone, "c"), 0);
    ck_assert_int_eq(varve_sim_remove(clone, "c"), -ENOENT);
    ck_assert(varve_sim_is_gone(clone, "c"));
    ck_assert(varve_sim_is_durable(other.sim, "d"));
    ck_assert_int_eq(varve_sim_size(other.sim, "d"), 6);
    varve_sim_destroy(clone);
    rig_close(&rig);
    rig_close(&other);
}
END_TEST

START_TEST(direct_files_check_alignment)
{
    struct rig rig;
    _Alignas(4096) static uint8_t bytes[8192];

    attach(&rig, 3, false);
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE | VARVE_FILE_DIRECT);
    ck_assert_uint_eq(rig.vfs->ops->direct_align(file), 4096);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 4096, 0), 4096);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes + 1, 4096, 0), -EINVAL);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 4095, 0), -EINVAL);
    ck_assert_int_eq(rig.vfs->ops->write(file, bytes, 4096, 512), -EINVAL);
    ck_assert_int_eq(rig.vfs->ops->read(file, bytes, 100, 0), -EINVAL);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim");
    TCase *tests = tcase_create("machine");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, same_seed_same_trace);
    tcase_add_test(tests, trace_tells_what_happened);
    tcase_add_loop_test(tests, each_operation_can_fail, 0, 2);
    tcase_add_test(tests, fault_of_a_class_and_a_file);
    tcase_add_test(tests, full_disk_refuses_and_recovers);
    tcase_add_loop_test(tests, failed_sync_keeps_or_reverts, 0, 2);
    tcase_add_loop_test(tests, use_after_failed_sync_is_a_breach, 0, 3);
    tcase_add_loop_test(tests, queue_misuse_is_a_breach, 0, 6);
    tcase_add_test(tests, watchers_see_refuse_and_ask);
    tcase_add_test(tests, kill_keeps_the_cache_and_drops_locks);
    tcase_add_test(tests, clock_is_the_tests);
    tcase_add_test(tests, damage_is_exact);
    tcase_add_test(tests, direct_files_check_alignment);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
