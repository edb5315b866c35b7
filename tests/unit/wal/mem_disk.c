/*
 * mem_disk.c - see mem_disk.h.
 */
#include "tests/unit/wal/mem_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"

#define SECTOR 512u

struct varve_io_queue {
    struct mem_disk *disk;
};

static struct mem_disk *disk_of(struct varve_vfs *vfs)
{
    return (struct mem_disk *)(void *)vfs;
}

static int strike(struct mem_disk *d, uint32_t op_class)
{
    if ((d->fail_classes & op_class) == 0)
        return 0;
    if (d->fail_nth > 1) {
        d->fail_nth--;
        return 0;
    }
    if (d->fail_times == 0)
        return 0;
    if (d->fail_times != UINT64_MAX)
        d->fail_times--;
    d->fired++;
    return -d->fail_error;
}

struct varve_file *mem_disk_file(struct mem_disk *d, const char *name)
{
    for (int i = 0; i < MEM_DISK_FILES; i++)
        if (d->files[i].exists && strcmp(d->files[i].name, name) == 0)
            return &d->files[i];
    return NULL;
}

static int file_open(struct varve_vfs *vfs, const char *name, uint32_t flags,
                     struct varve_file **ret_file)
{
    struct mem_disk *const d = disk_of(vfs);
    struct varve_file *f = mem_disk_file(d, name);
    const int rc = strike(d, MEM_DISK_OPEN);

    if (rc < 0)
        return rc;
    if ((flags & VARVE_FILE_CREATE) != 0) {
        if (f != NULL)
            return -EEXIST;
        for (f = d->files; f->exists || f->opened > 0; f++)
            continue;
        free(f->now);
        free(f->durable);
        *f = (struct varve_file){.disk = d, .exists = true};
        strncpy(f->name, name, sizeof f->name - 1);
    }
    if (f == NULL)
        return -ENOENT;
    if ((flags & VARVE_FILE_WRITE) != 0)
        f->direct = (flags & VARVE_FILE_DIRECT) != 0;
    else
        f->read_direct = (flags & VARVE_FILE_DIRECT) != 0;
    f->opened++;
    *ret_file = f;
    return 0;
}

static void file_close(struct varve_file *f)
{
    for (uint32_t i = 0; i < f->disk->n_queue; i++)
        if (f->opened == 1 && f->disk->queue[i]->file == f)
            f->disk->violation = "a file is closed with operations in flight";
    f->opened--;
}

static int64_t file_read(struct varve_file *f, void *buffer, size_t size, uint64_t offset)
{
    const int rc = strike(f->disk, MEM_DISK_READ);

    if (rc < 0)
        return rc;
    if (f->disk->align != 0 && f->read_direct &&
        ((uintptr_t)buffer % f->disk->align != 0 || offset % f->disk->align != 0))
        f->disk->violation = "a read that is not aligned";
    if (offset >= f->size)
        return 0;
    const uint64_t left = f->size - offset;
    const size_t n = left < size ? (size_t)left : size;
    memcpy(buffer, f->now + offset, n);
    const uint64_t torn = f->disk->torn_page * 4096 + 10;
    if (f->disk->torn_us > 0 && offset <= torn && n > torn - offset)
        ((uint8_t *)buffer)[torn - offset] ^= 1;
    return (int64_t)n;
}

static void file_grow(struct varve_file *f, uint64_t size)
{
    if (size <= f->size)
        return;
    f->now = realloc(f->now, size);
    f->durable = realloc(f->durable, size);
    if (f->now == NULL || f->durable == NULL)
        abort();
    memset(f->now + f->size, 0, size - f->size);
    memset(f->durable + f->size, 0, size - f->size);
    f->size = size;
}

static int file_allocate(struct varve_file *f, uint64_t size)
{
    const int rc = strike(f->disk, MEM_DISK_ALLOCATE);

    if (rc == 0)
        file_grow(f, size);
    return rc;
}

static int64_t bytes_write(struct varve_file *f, const void *buffer, size_t size, uint64_t offset)
{
    const int rc = strike(f->disk, MEM_DISK_WRITE);

    if (f->disk->align != 0 && f->direct &&
        ((uintptr_t)buffer % f->disk->align != 0 || offset % f->disk->align != 0))
        f->disk->violation = "a write that is not aligned";
    file_grow(f, offset + size);
    if (rc < 0) { /* a failed write may have written a part */
        memcpy(f->now + offset, buffer, size / 2);
        return rc;
    }
    memcpy(f->now + offset, buffer, size);
    return (int64_t)size;
}

static int file_sync(struct varve_file *f)
{
    struct mem_disk *const d = f->disk;
    const int rc = strike(d, MEM_DISK_SYNC);

    if (rc < 0) {
        f->poisoned = true;
        return rc;
    }
    for (uint64_t at = 0; at < f->size; at += SECTOR) {
        bool in_flight = false;
        for (uint32_t i = 0; i < d->n_queue; i++) {
            const struct varve_io *const io = d->queue[i];
            in_flight = in_flight || (!d->finished[i] && io->op != VARVE_IO_SYNC && io->file == f &&
                                      at >= io->offset && at < io->offset + io->size);
        }
        if (!in_flight)
            memcpy(f->durable + at, f->now + at, f->size - at < SECTOR ? f->size - at : SECTOR);
    }
    return 0;
}

static int file_stat(struct varve_file *f, struct varve_file_stat *ret)
{
    const int rc = strike(f->disk, MEM_DISK_STAT);

    *ret = (struct varve_file_stat){f->size, f->size};
    return rc;
}

static uint32_t file_align(struct varve_file *f)
{
    return f->disk->align;
}

static int name_unlink(struct varve_vfs *vfs, const char *name)
{
    struct varve_file *const f = mem_disk_file(disk_of(vfs), name);

    if (f == NULL)
        return -ENOENT;
    f->exists = false;
    return 0;
}

static int dir_sync(struct varve_vfs *vfs)
{
    return strike(disk_of(vfs), MEM_DISK_SYNC_DIR);
}

static int queue_open(struct varve_vfs *vfs, uint32_t depth, struct varve_io_queue **ret_queue)
{
    const int rc = strike(disk_of(vfs), MEM_DISK_QUEUE_OPEN);

    (void)depth;
    if (rc < 0)
        return rc;
    *ret_queue = malloc(sizeof **ret_queue);
    if (*ret_queue == NULL)
        abort();
    (*ret_queue)->disk = disk_of(vfs);
    return 0;
}

static void queue_close(struct varve_io_queue *queue)
{
    queue->disk->n_queue = 0;
    free(queue);
}

/* The effect of an operation whose time has come. */
static void op_finish(struct mem_disk *d, uint32_t i, int64_t result)
{
    struct varve_io *const io = d->queue[i];
    struct varve_file *const f = io->file;

    d->finished[i] = true;
    if (io->op == VARVE_IO_SYNC) {
        const int rc = result < 0 ? (int)result : file_sync(f);
        f->poisoned = f->poisoned || rc < 0;
        io->result = rc;
        return;
    }
    if (varve_hash64(io->buffer, io->size, 0) != d->hashes[i])
        d->violation = "a buffer changed in flight";
    const size_t size = result > 0 ? (size_t)result : io->size;
    io->result = result < 0 ? result : bytes_write(f, io->buffer, size, io->offset);
    if (io->op == VARVE_IO_WRITE_DSYNC) {
        if (io->result > 0)
            memcpy(f->durable + io->offset, f->now + io->offset, size);
        else
            f->poisoned = true;
    }
}

static void op_check(struct mem_disk *d, const struct varve_io *io)
{
    if (io->file->poisoned)
        d->violation = "a write or sync is submitted after a failed sync";
    for (uint32_t i = 0; i < d->n_queue; i++) {
        const struct varve_io *const o = d->queue[i];
        if (!d->finished[i] && io->op != VARVE_IO_SYNC && o->op != VARVE_IO_SYNC &&
            o->file == io->file && io->offset < o->offset + o->size &&
            o->offset < io->offset + io->size)
            d->violation = "two writes in flight overlap";
    }
}

static int queue_submit(struct varve_io_queue *queue, struct varve_io **ios, uint32_t n)
{
    struct mem_disk *const d = queue->disk;
    const int rc = strike(d, MEM_DISK_SUBMIT);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        op_check(d, ios[i]);
        if (d->n_queue == MEM_DISK_QUEUE)
            abort();
        d->queue[d->n_queue] = ios[i];
        d->finished[d->n_queue] = false;
        if (ios[i]->op != VARVE_IO_SYNC) {
            d->hashes[d->n_queue] = varve_hash64(ios[i]->buffer, ios[i]->size, 0);
            file_grow(ios[i]->file, ios[i]->offset + ios[i]->size);
        }
        d->n_queue++;
        if (d->order == MEM_DISK_AT_ONCE)
            op_finish(d, d->n_queue - 1, 0);
    }
    return 0;
}

void mem_disk_finish(struct mem_disk *d, uint32_t i, int64_t result)
{
    for (uint32_t k = 0; k < d->n_queue; k++) {
        if (!d->finished[k] && i-- == 0) {
            op_finish(d, k, result);
            return;
        }
    }
    abort();
}

static int queue_reap(struct varve_io_queue *queue, struct varve_io **out, uint32_t max,
                      uint32_t wait, uint64_t timeout_us)
{
    struct mem_disk *const d = queue->disk;
    const int rc = strike(d, MEM_DISK_REAP);
    uint32_t n = 0;

    (void)timeout_us;
    if (rc < 0)
        return rc;
    uint32_t left = 0;
    for (uint32_t i = 0; i < d->n_queue; i++)
        left += !d->finished[i];
    if (d->order == MEM_DISK_RANDOM && left > 0 && (wait > 0 || varve_rng_below(&d->rng, 2) == 0))
        mem_disk_finish(d, (uint32_t)varve_rng_below(&d->rng, left), 0);
    for (uint32_t i = 0; i < d->n_queue && n < max;) {
        if (!d->finished[i]) {
            i++;
            continue;
        }
        out[n++] = d->queue[i];
        d->n_queue--;
        memmove(d->queue + i, d->queue + i + 1, (d->n_queue - i) * sizeof d->queue[0]);
        memmove(d->finished + i, d->finished + i + 1, (d->n_queue - i) * sizeof d->finished[0]);
        memmove(d->hashes + i, d->hashes + i + 1, (d->n_queue - i) * sizeof d->hashes[0]);
    }
    return (int)n;
}

static int bytes_random(struct varve_vfs *vfs, void *out, size_t size)
{
    struct mem_disk *const d = disk_of(vfs);
    const int rc = strike(d, MEM_DISK_RANDOM_BYTES);

    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)varve_rng_next(&d->rng);
    return rc;
}

static void time_pause(struct varve_vfs *vfs, uint64_t us)
{
    struct mem_disk *const d = disk_of(vfs);

    d->paused_us += us;
    if (d->paused_us >= d->torn_us)
        d->torn_us = 0;
}

static const struct varve_vfs_ops mem_ops = {
    .struct_size = sizeof(struct varve_vfs_ops),
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = bytes_write,
    .sync = file_sync,
    .allocate = file_allocate,
    .stat = file_stat,
    .direct_align = file_align,
    .unlink = name_unlink,
    .sync_dir = dir_sync,
    .queue_open = queue_open,
    .queue_close = queue_close,
    .submit = queue_submit,
    .reap = queue_reap,
    .pause = time_pause,
    .random = bytes_random,
};

void mem_disk_init(struct mem_disk *d, uint64_t seed)
{
    memset(d, 0, sizeof *d);
    d->vfs.ops = &mem_ops;
    varve_rng_seed(&d->rng, seed);
    d->align = 4096;
    d->torn_page = 1;
}

void mem_disk_free(struct mem_disk *d)
{
    for (int i = 0; i < MEM_DISK_FILES; i++) {
        free(d->files[i].now);
        free(d->files[i].durable);
    }
    memset(d, 0, sizeof *d);
}

void mem_disk_fail(struct mem_disk *d, uint32_t classes, uint64_t nth, uint64_t times, int error)
{
    d->fail_classes = classes;
    d->fail_nth = nth;
    d->fail_times = times;
    d->fail_error = error;
    d->fired = 0;
}

void mem_disk_crash(struct mem_disk *d, bool power)
{
    for (uint32_t i = 0; i < d->n_queue; i++) { /* in flight: on its way to the disk, or not */
        const struct varve_io *const io = d->queue[i];
        if (!d->finished[i] && io->op != VARVE_IO_SYNC && varve_rng_below(&d->rng, 2) == 0)
            memcpy(io->file->now + io->offset, io->buffer, io->size);
    }
    d->n_queue = 0;
    for (int i = 0; i < MEM_DISK_FILES; i++) {
        struct varve_file *const f = &d->files[i];

        f->opened = 0;
        f->poisoned = false;
        for (uint64_t at = 0; power && at < f->size; at += SECTOR) {
            const size_t n = f->size - at < SECTOR ? (size_t)(f->size - at) : SECTOR;
            if (varve_rng_below(&d->rng, 2) == 0)
                memcpy(f->durable + at, f->now + at, n);
            memcpy(f->now + at, f->durable + at, n);
        }
    }
}

void mem_disk_copy(struct mem_disk *to, const struct mem_disk *from)
{
    *to = *from;
    for (int i = 0; i < MEM_DISK_FILES; i++) {
        struct varve_file *const f = &to->files[i];

        f->disk = to;
        f->opened = 0;
        if (from->files[i].now == NULL)
            continue;
        f->now = malloc(f->size);
        f->durable = malloc(f->size);
        if (f->now == NULL || f->durable == NULL)
            abort();
        memcpy(f->now, from->files[i].now, f->size);
        memcpy(f->durable, from->files[i].durable, f->size);
    }
    /* Operations in flight belong to the original: what they may leave is drawn at the crash. */
}
