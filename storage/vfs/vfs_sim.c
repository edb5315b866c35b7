/*
 * vfs_sim.c - the simulated machine and the operations of struct varve_vfs on it: processes, files,
 * locks, names, clock. What a crash can do to them is sim_pending.c's and sim_crash.c's.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/base/vec.h"

#define START_WALL_US 1704067200000000 /* 2024-01-01 */
#define DIRECT_ALIGN 4096

/* ---- the machine ---- */

void varve_sim_options_init(struct varve_sim_options *options, struct varve_heap *heap,
                            uint64_t seed)
{
    *options = (struct varve_sim_options){
        .heap = heap,
        .seed = seed,
        .direct_align = DIRECT_ALIGN,
        .wall_us = START_WALL_US,
        .op_us = 1,
    };
}

struct varve_sim *varve_sim_new(const struct varve_sim_options *options,
                                struct varve_sim_page *zero)
{
    struct varve_sim *sim = varve_alloc_zero(options->heap, 1, sizeof *sim);
    if (sim == NULL)
        return NULL;
    sim->heap = options->heap;
    sim->options = *options;
    varve_rng_seed(&sim->rng, options->seed);
    sim->next_pid = 1000;
    sim->wall_us = options->wall_us;
    sim->zero = zero;
    if (zero != NULL)
        zero->refs++;
    else
        sim->zero = varve_sim_page_create(sim->heap);
    if (sim->zero == NULL) {
        varve_free(sim->heap, sim, sizeof *sim);
        return NULL;
    }
    return sim;
}

int varve_sim_create(const struct varve_sim_options *options, struct varve_sim **ret_sim)
{
    struct varve_sim *sim = varve_sim_new(options, NULL);
    if (sim == NULL)
        return -ENOMEM;
    *ret_sim = sim;
    return 0;
}

static void process_free(struct varve_sim_process *process)
{
    struct varve_sim *sim = process->sim;

    while (process->queues != NULL)
        varve_sim_queue_free(process->queues);
    while (process->files != NULL)
        varve_sim_file_free(process->files);
    if (process->prev != NULL)
        process->prev->next = process->next;
    else
        sim->processes = process->next;
    if (process->next != NULL)
        process->next->prev = process->prev;
    varve_free(sim->heap, process, sizeof *process);
}

void varve_sim_destroy(struct varve_sim *sim)
{
    if (sim == NULL)
        return;
    while (sim->processes != NULL)
        process_free(sim->processes);
    while (sim->first != NULL)
        varve_sim_op_drop(sim, sim->first);
    varve_sim_dir_free(sim, &sim->now);
    varve_sim_dir_free(sim, &sim->durable);
    assert(sim->inodes == NULL);
    varve_sim_page_unref(sim->heap, sim->zero);
    varve_free(sim->heap, sim->faults, sim->fault_capacity * sizeof *sim->faults);
    varve_free(sim->heap, sim->watchers, sim->watcher_capacity * sizeof *sim->watchers);
    varve_free(sim->heap, sim->trace, sim->trace_capacity * sizeof *sim->trace);
    varve_free(sim->heap, sim, sizeof *sim);
}

void varve_sim_set_capacity(struct varve_sim *sim, uint64_t capacity)
{
    sim->options.capacity = capacity;
}

uint64_t varve_sim_used(const struct varve_sim *sim)
{
    uint64_t pages = 0;

    for (const struct varve_sim_inode *inode = sim->inodes; inode != NULL; inode = inode->next)
        if (inode->links > 0 || inode->opens > 0)
            pages += varve_sim_content_pages(&inode->now);
    return pages * VARVE_SIM_PAGE_SIZE;
}

uint64_t varve_sim_room(const struct varve_sim *sim, const struct varve_sim_inode *inode,
                        uint64_t offset, uint64_t size)
{
    if (sim->options.capacity == 0)
        return size;
    const uint64_t used = varve_sim_used(sim);
    const uint64_t free_pages =
        sim->options.capacity > used ? (sim->options.capacity - used) / VARVE_SIM_PAGE_SIZE : 0;
    while (size > 0 && varve_sim_content_holes(&inode->now, offset, size) > free_pages) {
        const uint64_t end = offset + size;
        const uint64_t page_start = (end - 1) / VARVE_SIM_PAGE_SIZE * VARVE_SIM_PAGE_SIZE;
        size = page_start > offset ? page_start - offset : 0;
    }
    return size;
}

uint64_t varve_sim_split(struct varve_sim *sim, uint64_t size)
{
    const uint64_t pages = size / VARVE_SIM_PAGE_SIZE;

    /* A process that dies in the middle of a write leaves each page of it old or new: the kernel
     * copies a page, or hands it to the disk, as a whole. Torn pages are the power cut's. */
    if (pages < 2 || varve_rng_below(&sim->rng, 256) >= sim->options.split_chance)
        return 0;
    return (1 + varve_rng_below(&sim->rng, pages - 1)) * VARVE_SIM_PAGE_SIZE;
}

uint64_t varve_sim_partial(struct varve_sim *sim, uint64_t size)
{
    const uint64_t sectors = size / VARVE_SIM_SECTOR_SIZE;
    return varve_rng_below(&sim->rng, sectors + 1) * VARVE_SIM_SECTOR_SIZE;
}

void varve_sim_clock_set(struct varve_sim *sim, int64_t wall_us, int64_t boot_us)
{
    sim->wall_us = wall_us;
    sim->boot_us = boot_us;
}

void varve_sim_clock_advance(struct varve_sim *sim, int64_t us)
{
    sim->wall_us += us;
    sim->boot_us += us;
}

void varve_sim_reboot(struct varve_sim *sim, int64_t wall_us)
{
    assert(sim->processes == NULL);
    sim->boots++;
    sim->boot_us = 0;
    sim->wall_us += wall_us;
}

/* ---- casts and checks ---- */

struct varve_sim_process *varve_sim_process_of(struct varve_vfs *vfs)
{
    return (struct varve_sim_process *)(void *)vfs;
}

struct varve_sim_file *varve_sim_file_of(struct varve_file *file)
{
    return (struct varve_sim_file *)(void *)file;
}

struct varve_sim *varve_sim_of(struct varve_vfs *vfs)
{
    return varve_sim_process_of(vfs)->sim;
}

struct varve_sim_event varve_sim_event_of(const struct varve_sim_file *file, uint32_t op)
{
    return (struct varve_sim_event){
        .op = op, .name = file->name, .to = "", .pid = file->process->pid};
}

static struct varve_sim_event event_of_name(const struct varve_sim_process *process, uint32_t op,
                                            const char *name)
{
    return (struct varve_sim_event){.op = op, .name = name, .to = "", .pid = process->pid};
}

static int name_check(const char *name)
{
    const size_t size = strlen(name);
    if (size >= VARVE_SIM_NAME_MAX)
        return -ENAMETOOLONG;
    if (size == 0 || strchr(name, '/') != NULL)
        return -EINVAL;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

int varve_sim_check_direct(const struct varve_sim_file *file, const void *buffer, uint64_t size,
                           uint64_t offset)
{
    const uint32_t align = file->process->sim->options.direct_align;

    if ((file->flags & VARVE_FILE_DIRECT) == 0 || align == 0)
        return 0;
    return (uintptr_t)buffer % align != 0 || size % align != 0 || offset % align != 0 ? -EINVAL : 0;
}

void varve_sim_check_written(struct varve_sim *sim, const struct varve_sim_file *file)
{
    if (file->inode->sync_failed_pid == file->process->pid)
        varve_sim_breach(sim, "file used after its sync failed", file->name, 0);
}

/* ---- files ---- */

static void unlock_owner(struct varve_sim_inode *inode, const struct varve_sim_file *owner)
{
    size_t kept = 0;

    for (size_t i = 0; i < inode->lock_count; i++)
        if (inode->locks[i].owner != owner)
            inode->locks[kept++] = inode->locks[i];
    inode->lock_count = kept;
}

/* What the end of an open file means to the disk. */
static void file_detach(struct varve_sim_file *file)
{
    struct varve_sim_inode *inode = file->inode;
    if (inode == NULL)
        return;
    unlock_owner(inode, file);
    inode->opens--;
    file->inode = NULL;
    varve_sim_inode_unref(file->process->sim, inode);
}

void varve_sim_file_free(struct varve_sim_file *file)
{
    struct varve_sim_process *process = file->process;

    file_detach(file);
    if (file->prev != NULL)
        file->prev->next = file->next;
    else
        process->files = file->next;
    if (file->next != NULL)
        file->next->prev = file->prev;
    varve_free(process->sim->heap, file, sizeof *file);
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

/* The inode that open() means, with a reference for the caller. */
static int find_or_create(struct varve_sim *sim, const char *name, uint32_t flags,
                          struct varve_sim_inode **ret_inode)
{
    struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);
    struct varve_sim_op *op;

    if (inode != NULL) {
        if ((flags & VARVE_FILE_CREATE) != 0)
            return -EEXIST;
        inode->refs++;
        *ret_inode = inode;
        return 0;
    }
    if ((flags & (VARVE_FILE_CREATE | VARVE_FILE_OPEN_OR_CREATE)) == 0)
        return -ENOENT;
    inode = varve_sim_inode_create(sim);
    if (inode == NULL)
        return -ENOMEM;
    int rc = varve_sim_op_entry(sim, VARVE_SIM_OP_CREATE, name, NULL, inode, &op);
    if (rc == 0) {
        rc = varve_sim_op_complete(sim, op);
        if (rc < 0)
            varve_sim_op_drop(sim, op);
    }
    if (rc < 0) {
        varve_sim_inode_unref(sim, inode);
        return rc;
    }
    *ret_inode = inode;
    return 0;
}

static int open_file(struct varve_sim_process *process, const char *name, uint32_t flags,
                     struct varve_file **ret_file)
{
    struct varve_sim *sim = process->sim;

    struct varve_sim_file *file = varve_alloc_zero(sim->heap, 1, sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    const int rc = find_or_create(sim, name, flags, &file->inode);
    if (rc < 0) {
        varve_free(sim->heap, file, sizeof *file);
        return rc;
    }
    file->process = process;
    file->flags = flags;
    memcpy(file->name, name, strlen(name));
    file->inode->opens++;
    file->next = process->files;
    if (file->next != NULL)
        file->next->prev = file;
    process->files = file;
    *ret_file = (struct varve_file *)(void *)file;
    return 0;
}

static int sim_open(struct varve_vfs *vfs, const char *name, uint32_t flags,
                    struct varve_file **ret_file)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_OPEN, name);

    if (process->killed)
        return -ESHUTDOWN;
    int rc = flags_are_valid(flags) ? name_check(name) : -EINVAL;
    if (rc < 0)
        return rc;
    event.size = flags;
    rc = varve_sim_begin(process->sim, &event, NULL);
    if (rc == 0)
        rc = open_file(process, name, flags, ret_file);
    return (int)varve_sim_end(process->sim, &event, rc);
}

static void sim_close(struct varve_file *file_base)
{
    if (file_base == NULL)
        return;
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    if (file->in_flight > 0 && !file->process->killed) {
        varve_sim_breach(file->process->sim, "file closed with operations in flight", file->name,
                         0);
        file->closed = true;
        return;
    }
    varve_sim_file_free(file);
}

static int64_t sim_read(struct varve_file *file_base, void *buffer, size_t size, uint64_t offset)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_READ);

    if (file->process->killed)
        return -ESHUTDOWN;
    event.offset = offset;
    event.size = size;
    int64_t rc = varve_sim_begin(sim, &event, NULL);
    if (rc == 0)
        rc = varve_sim_check_direct(file, buffer, size, offset);
    if (rc == 0)
        rc = (int64_t)varve_sim_content_read(&file->inode->now, offset, buffer, size);
    return varve_sim_end(sim, &event, rc);
}

/* Write all of it now, as one operation or two. */
static int write_now(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t offset,
                     const uint8_t *bytes, uint64_t size)
{
    uint64_t part = varve_sim_split(sim, size);

    if (part == 0)
        part = size;
    while (size > 0) {
        struct varve_sim_op *op;
        int rc = varve_sim_op_write(sim, inode, offset, bytes, part, &op);
        if (rc < 0)
            return rc;
        rc = varve_sim_op_complete(sim, op);
        if (rc < 0) {
            varve_sim_op_drop(sim, op);
            return rc;
        }
        offset += part;
        bytes += part;
        size -= part;
        part = size;
    }
    return 0;
}

static int64_t sim_write(struct varve_file *file_base, const void *buffer, size_t size,
                         uint64_t offset)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_WRITE);

    if (file->process->killed)
        return -ESHUTDOWN;
    if ((file->flags & VARVE_FILE_WRITE) == 0)
        return -EBADF;
    if (offset + size > VARVE_SIM_FILE_MAX)
        return -EFBIG;
    event.offset = offset;
    event.size = size;
    event.bytes = buffer;
    const int refused = varve_sim_begin(sim, &event, NULL);
    int64_t rc = refused;
    varve_sim_check_written(sim, file);
    if (varve_sim_overlaps_in_flight(sim, file->inode, offset, size))
        varve_sim_breach(sim, "write overlaps one in flight", file->name, offset);
    if (rc == 0)
        rc = varve_sim_check_direct(file, buffer, size, offset);
    if (rc == 0 || rc == refused) {
        const uint64_t wanted = refused != 0 ? varve_sim_partial(sim, size) : size;
        const uint64_t fits = varve_sim_room(sim, file->inode, offset, wanted);
        const int done = write_now(sim, file->inode, offset, buffer, fits);
        if (rc == 0)
            rc = done < 0 ? done : fits < size ? -ENOSPC : (int64_t)size;
    }
    return varve_sim_end(sim, &event, rc);
}

static int sim_sync(struct varve_file *file_base)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_SYNC);
    uint32_t mode = VARVE_SIM_SYNC_KEEP;

    if (file->process->killed)
        return -ESHUTDOWN;
    int rc = varve_sim_begin(sim, &event, &mode);
    varve_sim_check_written(sim, file);
    if (rc == 0) {
        rc = varve_sim_sync_inode(sim, file->inode, sim->completions);
    } else {
        file->inode->sync_failed_pid = file->process->pid;
        const int lost = varve_sim_lose_inode(sim, file->inode, sim->completions, mode);
        rc = lost < 0 ? lost : rc;
    }
    return (int)varve_sim_end(sim, &event, rc);
}

/* Truncate and allocate. */
static int change_size(struct varve_file *file_base, uint64_t size, uint32_t class, uint32_t kind)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, class);
    struct varve_sim_op *op;

    if (file->process->killed)
        return -ESHUTDOWN;
    if ((file->flags & VARVE_FILE_WRITE) == 0)
        return -EBADF;
    if (size > VARVE_SIM_FILE_MAX)
        return -EFBIG;
    event.size = size;
    int rc = varve_sim_begin(sim, &event, NULL);
    varve_sim_check_written(sim, file);
    if (kind == VARVE_SIM_OP_TRUNCATE && size < VARVE_SIM_FILE_MAX &&
        varve_sim_overlaps_in_flight(sim, file->inode, size, VARVE_SIM_FILE_MAX - size))
        varve_sim_breach(sim, "truncation of a write in flight", file->name, size);
    if (rc == 0 && kind == VARVE_SIM_OP_ALLOCATE &&
        varve_sim_room(sim, file->inode, 0, size) < size)
        rc = -ENOSPC;
    if (rc == 0)
        rc = varve_sim_op_size(sim, kind, file->inode, size, &op);
    if (rc == 0) {
        rc = varve_sim_op_complete(sim, op);
        if (rc < 0)
            varve_sim_op_drop(sim, op);
    }
    return (int)varve_sim_end(sim, &event, rc);
}

static int sim_truncate(struct varve_file *file, uint64_t size)
{
    return change_size(file, size, VARVE_SIM_TRUNCATE, VARVE_SIM_OP_TRUNCATE);
}

static int sim_allocate(struct varve_file *file, uint64_t size)
{
    return change_size(file, size, VARVE_SIM_ALLOCATE, VARVE_SIM_OP_ALLOCATE);
}

static int sim_stat(struct varve_file *file_base, struct varve_file_stat *ret_stat)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_STAT);

    if (file->process->killed)
        return -ESHUTDOWN;
    const int rc = varve_sim_begin(sim, &event, NULL);
    if (rc == 0) {
        ret_stat->size = file->inode->now.size;
        ret_stat->allocated =
            varve_sim_content_pages(&file->inode->now) * (uint64_t)VARVE_SIM_PAGE_SIZE;
    }
    return (int)varve_sim_end(sim, &event, rc);
}

static uint32_t sim_direct_align(struct varve_file *file_base)
{
    const struct varve_sim_file *file = varve_sim_file_of(file_base);
    return (file->flags & VARVE_FILE_DIRECT) != 0 ? file->process->sim->options.direct_align : 0;
}

static int sim_advise(struct varve_file *file_base, uint64_t offset, uint64_t size,
                      enum varve_advice advice)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_ADVISE);

    (void)advice;
    if (file->process->killed)
        return -ESHUTDOWN;
    event.offset = offset;
    event.size = size;
    return (int)varve_sim_end(file->process->sim, &event,
                              varve_sim_begin(file->process->sim, &event, NULL));
}

/* ---- locks ---- */

static const struct varve_sim_lock *find_conflict(const struct varve_sim_inode *inode,
                                                  const struct varve_sim_lock *wanted)
{
    for (size_t i = 0; i < inode->lock_count; i++) {
        const struct varve_sim_lock *lock = &inode->locks[i];
        if (lock->owner != wanted->owner && lock->start <= wanted->last &&
            wanted->start <= lock->last && (lock->exclusive || wanted->exclusive))
            return lock;
    }
    return NULL;
}

/* Take the range out of what its owner holds: any lock may lose an end, be split, or vanish. There
 * is room for the one more that a split makes. */
static void lock_subtract(struct varve_sim_inode *inode, const struct varve_sim_lock *range)
{
    for (size_t i = 0; i < inode->lock_count;) {
        struct varve_sim_lock *lock = &inode->locks[i];
        const bool head = lock->start<range->start, tail = lock->last> range->last;
        if (lock->owner != range->owner || lock->start > range->last || lock->last < range->start) {
            i++;
            continue;
        }
        if (!head && !tail) {
            *lock = inode->locks[--inode->lock_count];
            continue;
        }
        if (head && tail) {
            assert(inode->lock_count < inode->lock_capacity);
            inode->locks[inode->lock_count] = *lock;
            inode->locks[inode->lock_count++].start = range->last + 1;
        }
        if (head)
            lock->last = range->start - 1;
        else
            lock->start = range->last + 1;
        i++;
    }
}

enum lock_action { LOCK_TAKE, LOCK_DROP, LOCK_TEST };

static int lock_do(struct varve_sim_file *file, const struct varve_sim_lock *wanted,
                   enum lock_action action, int64_t *ret_pid)
{
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_inode *inode = file->inode;
    const struct varve_sim_lock *conflict =
        action == LOCK_DROP ? NULL : find_conflict(inode, wanted);

    if (action == LOCK_TEST) {
        if (conflict != NULL && ret_pid != NULL)
            *ret_pid = conflict->owner->process->pid;
        return conflict != NULL;
    }
    if (conflict != NULL)
        return -EAGAIN;
    if (action == LOCK_TAKE && wanted->exclusive && (file->flags & VARVE_FILE_WRITE) == 0)
        return -EBADF;
    if (!varve_vec_grow(sim->heap, (void **)&inode->locks, sizeof *inode->locks,
                        inode->lock_count + 2, &inode->lock_capacity))
        return -ENOMEM;
    lock_subtract(inode, wanted);
    if (action == LOCK_TAKE)
        inode->locks[inode->lock_count++] = *wanted;
    return 0;
}

static int lock_op(struct varve_file *file_base, uint64_t start, uint64_t size, bool exclusive,
                   enum lock_action action, int64_t *ret_pid)
{
    struct varve_sim_file *file = varve_sim_file_of(file_base);
    struct varve_sim *sim = file->process->sim;
    struct varve_sim_event event = varve_sim_event_of(file, VARVE_SIM_LOCK);

    if (file->process->killed)
        return -ESHUTDOWN;
    if (size == 0 || size > INT64_MAX || start > (uint64_t)INT64_MAX - (size - 1))
        return -EINVAL;
    const struct varve_sim_lock wanted = {start, start + (size - 1), file, exclusive};
    event.offset = start;
    event.size = size;
    /* Giving back a lock cannot be made to fail: nothing could be done about it. */
    int rc = action == LOCK_DROP ? 0 : varve_sim_begin(sim, &event, NULL);
    if (rc == 0)
        rc = lock_do(file, &wanted, action, ret_pid);
    return action == LOCK_DROP ? rc : (int)varve_sim_end(sim, &event, rc);
}

static int sim_lock(struct varve_file *file, uint64_t start, uint64_t size, bool exclusive)
{
    return lock_op(file, start, size, exclusive, LOCK_TAKE, NULL);
}

static int sim_unlock(struct varve_file *file, uint64_t start, uint64_t size)
{
    return lock_op(file, start, size, false, LOCK_DROP, NULL);
}

static int sim_lock_test(struct varve_file *file, uint64_t start, uint64_t size, bool exclusive,
                         int64_t *ret_pid)
{
    return lock_op(file, start, size, exclusive, LOCK_TEST, ret_pid);
}

/* ---- names ---- */

static int do_entry(struct varve_sim *sim, uint32_t kind, const char *name, const char *to)
{
    struct varve_sim_op *op;
    struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);

    if (inode == NULL)
        return -ENOENT;
    if (to != NULL && strcmp(name, to) == 0)
        return 0;
    int rc = varve_sim_op_entry(sim, kind, name, to, inode, &op);
    if (rc < 0)
        return rc;
    rc = varve_sim_op_complete(sim, op);
    if (rc < 0) {
        varve_sim_op_drop(sim, op);
        return rc;
    }
    for (struct varve_sim_process *p = sim->processes; p != NULL && to != NULL; p = p->next)
        for (struct varve_sim_file *file = p->files; file != NULL; file = file->next)
            if (file->inode == inode && strcmp(file->name, name) == 0) {
                memset(file->name, 0, sizeof file->name);
                memcpy(file->name, to, strlen(to));
            }
    return 0;
}

static int sim_rename(struct varve_vfs *vfs, const char *from, const char *to)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_RENAME, from);

    if (process->killed)
        return -ESHUTDOWN;
    int rc = name_check(from);
    if (rc == 0)
        rc = name_check(to);
    if (rc < 0)
        return rc;
    event.to = to;
    rc = varve_sim_begin(process->sim, &event, NULL);
    if (rc == 0)
        rc = do_entry(process->sim, VARVE_SIM_OP_RENAME, from, to);
    return (int)varve_sim_end(process->sim, &event, rc);
}

static int sim_unlink(struct varve_vfs *vfs, const char *name)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_UNLINK, name);

    if (process->killed)
        return -ESHUTDOWN;
    int rc = name_check(name);
    if (rc < 0)
        return rc;
    rc = varve_sim_begin(process->sim, &event, NULL);
    if (rc == 0)
        rc = do_entry(process->sim, VARVE_SIM_OP_UNLINK, name, NULL);
    return (int)varve_sim_end(process->sim, &event, rc);
}

/* From a copy, because the callback may remove files; from a start drawn from the seed, because
 * no order is promised. */
static int list_names(struct varve_sim *sim, varve_vfs_list_fn fn, void *ctx)
{
    const size_t count = sim->now.count;
    int rc = 0;

    if (count == 0)
        return 0;
    char(*names)[VARVE_SIM_NAME_MAX] = varve_alloc(sim->heap, count * sizeof *names);
    if (names == NULL)
        return -ENOMEM;
    const size_t start = (size_t)varve_rng_below(&sim->rng, count);
    for (size_t i = 0; i < count; i++)
        memcpy(names[i], sim->now.entries[(start + i) % count].name, sizeof names[i]);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = fn(ctx, names[i]);
    varve_free(sim->heap, names, count * sizeof *names);
    return rc;
}

static int sim_list(struct varve_vfs *vfs, varve_vfs_list_fn fn, void *ctx)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_LIST, "");

    if (process->killed)
        return -ESHUTDOWN;
    /* The operation ends before the callbacks, which may begin others. */
    int rc = varve_sim_begin(process->sim, &event, NULL);
    rc = (int)varve_sim_end(process->sim, &event, rc);
    return rc < 0 ? rc : list_names(process->sim, fn, ctx);
}

static int sim_sync_dir(struct varve_vfs *vfs)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim *sim = process->sim;
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_SYNC_DIR, "");

    if (process->killed)
        return -ESHUTDOWN;
    if (process->dir_error != 0)
        return process->dir_error;
    int rc = varve_sim_begin(sim, &event, NULL);
    process->dir_error = rc;
    if (rc == 0)
        rc = varve_sim_sync_entries(sim);
    else
        varve_sim_lose_entries(sim);
    return (int)varve_sim_end(sim, &event, rc);
}

/* ---- clock, random ---- */

static void sim_clock(struct varve_vfs *vfs, struct varve_clock_reading *ret_reading)
{
    const struct varve_sim *sim = varve_sim_of(vfs);
    ret_reading->wall_us = sim->wall_us;
    ret_reading->boot_us = sim->boot_us;
}

static void sim_pause(struct varve_vfs *vfs, uint64_t us)
{
    varve_sim_clock_advance(varve_sim_of(vfs), (int64_t)us);
}

static int random_op(struct varve_vfs *vfs)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim_event event = event_of_name(process, VARVE_SIM_RANDOM, "");

    if (process->killed)
        return -ESHUTDOWN;
    return (int)varve_sim_end(process->sim, &event, varve_sim_begin(process->sim, &event, NULL));
}

static int sim_boot_id(struct varve_vfs *vfs, uint8_t ret_id[16])
{
    const struct varve_sim *sim = varve_sim_of(vfs);
    const int rc = random_op(vfs);
    if (rc < 0)
        return rc;
    for (uint64_t half = 0; half < 2; half++) {
        const uint64_t bits = varve_mix64(sim->options.seed + 2 * sim->boots + half + 1);
        memcpy(ret_id + 8 * half, &bits, sizeof bits);
    }
    return 0;
}

static int sim_random(struct varve_vfs *vfs, void *out, size_t size)
{
    uint8_t *to = out;
    const int rc = random_op(vfs);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)varve_rng_next(&varve_sim_of(vfs)->rng);
    return 0;
}

static int64_t sim_pid(struct varve_vfs *vfs)
{
    return varve_sim_process_of(vfs)->pid;
}

/* There is nothing that could be polled. */
static int sim_event_open(struct varve_vfs *vfs)
{
    (void)vfs;
    return -1;
}

static void sim_event_ignore(struct varve_vfs *vfs, int fd)
{
    (void)vfs;
    (void)fd;
}

/* ---- processes ---- */

static void sim_abandon(struct varve_vfs *vfs)
{
    varve_sim_kill(vfs);
    process_free(varve_sim_process_of(vfs));
}

static void sim_destroy(struct varve_vfs *vfs)
{
    if (vfs == NULL)
        return;
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    /* Files and queues are closed by those who opened them. */
    assert(process->killed || (process->files == NULL && process->queues == NULL));
    process_free(process);
}

int varve_sim_attach(struct varve_sim *sim, struct varve_vfs **ret_vfs)
{
    static const struct varve_vfs_ops ops = {
        .struct_size = sizeof ops,
        .open = sim_open,
        .close = sim_close,
        .read = sim_read,
        .write = sim_write,
        .sync = sim_sync,
        .truncate = sim_truncate,
        .allocate = sim_allocate,
        .stat = sim_stat,
        .direct_align = sim_direct_align,
        .advise = sim_advise,
        .lock = sim_lock,
        .unlock = sim_unlock,
        .lock_test = sim_lock_test,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .list = sim_list,
        .sync_dir = sim_sync_dir,
        .queue_open = varve_sim_queue_open,
        .queue_close = varve_sim_queue_close,
        .submit = varve_sim_submit,
        .reap = varve_sim_reap,
        .clock = sim_clock,
        .pause = sim_pause,
        .boot_id = sim_boot_id,
        .random = sim_random,
        .pid = sim_pid,
        .event_open = sim_event_open,
        .event_signal = sim_event_ignore,
        .event_drain = sim_event_ignore,
        .event_close = sim_event_ignore,
        .destroy = sim_destroy,
        .abandon = sim_abandon,
    };
    struct varve_sim_process *process = varve_alloc_zero(sim->heap, 1, sizeof *process);
    if (process == NULL)
        return -ENOMEM;
    process->base.ops = &ops;
    process->base.backend = 0; /* VARVE_IO_AUTO: none of the real ones */
    process->sim = sim;
    process->pid = ++sim->next_pid;
    process->next = sim->processes;
    if (process->next != NULL)
        process->next->prev = process;
    sim->processes = process;
    *ret_vfs = &process->base;
    return 0;
}

/* The operations in flight of `process` end one way or the other. */
static void resolve_in_flight(struct varve_sim_process *process)
{
    struct varve_sim *sim = process->sim;
    struct varve_sim_op *next;

    for (struct varve_sim_op *op = sim->first; op != NULL; op = next) {
        next = op->next;
        if (!op->in_flight || op->owner != process)
            continue;
        if (!varve_sim_survives(sim, op) || varve_sim_op_complete(sim, op) < 0)
            varve_sim_op_drop(sim, op);
    }
}

void varve_sim_kill(struct varve_vfs *vfs)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);

    assert(!process->sim->watching);
    if (process->killed)
        return;
    resolve_in_flight(process);
    process->killed = true;
    for (struct varve_sim_file *file = process->files; file != NULL; file = file->next) {
        file->in_flight = 0;
        file_detach(file);
    }
}
