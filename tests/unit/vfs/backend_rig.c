/*
 * backend_rig.c - see backend_rig.h.
 */
#include "backend_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/base/rng.h"

static void *memory_alloc(void *ctx, size_t size, size_t align)
{
    struct rig_memory *memory = ctx;

    memory->calls++;
    if (memory->fail_at != 0 && memory->calls >= memory->fail_at)
        return NULL;
    if (align < sizeof(void *))
        align = sizeof(void *);
    void *block = NULL;
    return posix_memalign(&block, align, size) == 0 ? block : NULL;
}

static void memory_free(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(block);
}

void rig_memory_init(struct rig_memory *memory)
{
    *memory = (struct rig_memory){
        .allocator = {.ctx = memory, .alloc = memory_alloc, .free = memory_free}};
    varve_heap_init(&memory->heap, &memory->allocator, UINT64_MAX);
}

bool rig_open(struct rig *rig, enum rig_kind kind)
{
    const char *base = getenv("TMPDIR");
    struct varve_vfs_options options = {.create = true};

    *rig = (struct rig){.kind = kind};
    rig_memory_init(&rig->memory);
    options.heap = &rig->memory.heap;
    if (kind == RIG_SIM) {
        struct varve_sim_options sim_options;
        varve_sim_options_init(&sim_options, &rig->memory.heap, 1);
        ck_assert_int_eq(varve_sim_create(&sim_options, &rig->sim), 0);
        ck_assert_int_eq(varve_sim_attach(rig->sim, &rig->vfs), 0);
        return true;
    }
    (void)snprintf(rig->path, sizeof rig->path, "%s/varve-vfs-XXXXXX",
                   base == NULL ? "/tmp" : base);
    ck_assert_ptr_nonnull(mkdtemp(rig->path));
    const uint32_t backend = kind == RIG_URING ? VARVE_IO_URING : VARVE_IO_POSIX;
    const varve_status rc = varve_vfs_create(rig->path, backend, &options, &rig->vfs, NULL);
    if (rc == VARVE_EUNSUPPORTED && kind == RIG_URING) {
        (void)rmdir(rig->path);
        return false;
    }
    ck_assert_int_eq(rc, VARVE_OK);
    ck_assert_uint_eq(rig->vfs->backend, backend);
    return true;
}

static int remove_one(void *ctx, const char *name)
{
    struct varve_vfs *vfs = ctx;
    ck_assert_int_eq(vfs->ops->unlink(vfs, name), 0);
    return 0;
}

void rig_close(struct rig *rig)
{
    if (rig->kind != RIG_SIM)
        ck_assert_int_eq(rig->vfs->ops->list(rig->vfs, remove_one, rig->vfs), 0);
    else
        ck_assert_ptr_null(varve_sim_violation(rig->sim));
    rig->vfs->ops->destroy(rig->vfs);
    varve_sim_destroy(rig->sim);
    if (rig->kind != RIG_SIM)
        ck_assert_int_eq(rmdir(rig->path), 0);
    ck_assert_uint_eq(varve_heap_used(&rig->memory.heap), 0);
}

struct varve_vfs *rig_second(struct rig *rig)
{
    const struct varve_vfs_options options = {.heap = &rig->memory.heap};
    struct varve_vfs *vfs = NULL;

    if (rig->kind == RIG_SIM)
        ck_assert_int_eq(varve_sim_attach(rig->sim, &vfs), 0);
    else
        ck_assert_int_eq(varve_vfs_create(rig->path, rig->vfs->backend, &options, &vfs, NULL),
                         VARVE_OK);
    return vfs;
}

struct varve_file *rig_file(struct varve_vfs *vfs, const char *name, uint32_t flags)
{
    struct varve_file *file = NULL;
    ck_assert_int_eq(vfs->ops->open(vfs, name, flags, &file), 0);
    ck_assert_ptr_nonnull(file);
    return file;
}

void rig_fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct varve_rng rng;

    varve_rng_seed(&rng, seed);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(varve_rng_next(&rng) | 1); /* never zero */
}

int64_t rig_perform(struct varve_vfs *vfs, struct varve_io_queue *queue, uint32_t op,
                    struct varve_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct varve_io io = {.op = op, .file = file, .buffer = buffer, .size = size, .offset = offset};
    struct varve_io *list[1] = {&io};

    ck_assert_int_eq(vfs->ops->submit(queue, list, 1), 0);
    list[0] = NULL;
    ck_assert_int_eq(vfs->ops->reap(queue, list, 1, 1, UINT64_MAX), 1);
    ck_assert_ptr_eq(list[0], &io);
    return io.result;
}
