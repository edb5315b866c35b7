/*
 * sim_queue.c - asynchronous operations on the simulated disk. A write is captured at submission and
 * takes effect when it completes, in an order drawn from the seed; between the two it is pending and
 * in flight (rule S5 of vfs_sim.h). A sync covers what had completed when it was submitted.
 *
 * Also checks what every backend may rely on: buffers and requests untouched, no overlapping writes.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"

#define TIMEOUT_CHANCE 8 /* one in so many waits with a limit ends by it */

struct slot {
    struct varve_io *io;
    struct varve_io request; /* as submitted */
    uint64_t buffer_hash;    /* of a write's bytes */
    struct varve_sim_event event;
    struct varve_sim_op *ops[2]; /* of a write, which may have been split; NULL: none */
    uint64_t seq;                /* of a sync */
    int error;                   /* that it will fail with */
    uint32_t sync_mode;
};

struct varve_sim_queue {
    struct varve_sim_process *process;
    struct varve_sim_queue *next, *prev;
    uint32_t depth;
    uint32_t count;
    struct slot slots[];
};

static struct varve_sim_queue *to_queue(struct varve_io_queue *queue)
{
    return (struct varve_sim_queue *)(void *)queue;
}

static bool is_write(uint32_t op)
{
    return op == VARVE_IO_WRITE || op == VARVE_IO_WRITE_DSYNC;
}

static size_t queue_size(uint32_t depth)
{
    return sizeof(struct varve_sim_queue) + (size_t)depth * sizeof(struct slot);
}

int varve_sim_queue_open(struct varve_vfs *vfs, uint32_t depth, struct varve_io_queue **ret_queue)
{
    struct varve_sim_process *process = varve_sim_process_of(vfs);
    struct varve_sim *sim = process->sim;
    struct varve_sim_event event = {
        .op = VARVE_SIM_QUEUE, .name = "", .to = "", .size = depth, .pid = process->pid};

    if (process->killed)
        return -ESHUTDOWN;
    if (depth == 0 || depth > VARVE_IO_DEPTH_MAX)
        return -EINVAL;
    int rc = varve_sim_begin(sim, &event, NULL);
    struct varve_sim_queue *queue = NULL;
    if (rc == 0) {
        queue = varve_alloc_zero(sim->heap, 1, queue_size(depth));
        rc = queue == NULL ? -ENOMEM : 0;
    }
    if (rc == 0) {
        queue->process = process;
        queue->depth = depth;
        queue->next = process->queues;
        if (queue->next != NULL)
            queue->next->prev = queue;
        process->queues = queue;
        *ret_queue = (struct varve_io_queue *)(void *)queue;
    }
    return (int)varve_sim_end(sim, &event, rc);
}

void varve_sim_queue_free(struct varve_sim_queue *queue)
{
    if (queue->prev != NULL)
        queue->prev->next = queue->next;
    else
        queue->process->queues = queue->next;
    if (queue->next != NULL)
        queue->next->prev = queue->prev;
    varve_free(queue->process->sim->heap, queue, queue_size(queue->depth));
}

/* ---- submission ---- */

bool varve_sim_overlaps_in_flight(const struct varve_sim *sim, const struct varve_sim_inode *inode,
                                  uint64_t offset, uint64_t size)
{
    if (inode->pending == 0)
        return false;
    for (const struct varve_sim_op *op = sim->first; op != NULL; op = op->next)
        if (op->in_flight && op->inode == inode && op->kind == VARVE_SIM_OP_WRITE &&
            offset < op->offset + op->size && op->offset < offset + size)
            return true;
    return false;
}

static int check_requests(const struct varve_sim_queue *queue, struct varve_io *const *ios,
                          uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct varve_io *io = ios[i];
        if (io->op < VARVE_IO_READ || io->op > VARVE_IO_SYNC || io->flags != 0 || io->file == NULL)
            return -EINVAL;
        if (varve_sim_file_of(io->file)->process != queue->process)
            return -EINVAL;
        if (io->op != VARVE_IO_SYNC && io->offset + io->size > VARVE_SIM_FILE_MAX)
            return -EINVAL;
    }
    return 0;
}

/* Capture the bytes of a write as pending operations, of which a failing one keeps only a part. */
static int capture(struct varve_sim *sim, struct slot *slot, struct varve_sim_inode *inode)
{
    const struct varve_io *io = slot->io;
    uint64_t size = io->size;

    if (slot->error != 0)
        size = varve_sim_partial(sim, size);
    if (size == 0)
        return 0;
    const uint64_t head = varve_sim_split(sim, size);
    if (head != 0) {
        const int rc = varve_sim_op_write(sim, inode, io->offset, io->buffer, head, &slot->ops[0]);
        if (rc < 0)
            return rc;
    }
    return varve_sim_op_write(sim, inode, io->offset + head, (const uint8_t *)io->buffer + head,
                              size - head, &slot->ops[1]);
}

static void own_parts(const struct varve_sim_queue *queue, struct slot *slot)
{
    for (int i = 0; i < 2; i++)
        if (slot->ops[i] != NULL)
            slot->ops[i]->owner = queue->process;
}

static void submit_one(struct varve_sim_queue *queue, struct varve_io *io)
{
    static const uint32_t classes[] = {
        [VARVE_IO_READ] = VARVE_SIM_READ,
        [VARVE_IO_WRITE] = VARVE_SIM_WRITE,
        [VARVE_IO_WRITE_DSYNC] = VARVE_SIM_WRITE_DSYNC,
        [VARVE_IO_SYNC] = VARVE_SIM_SYNC,
    };
    struct varve_sim *sim = queue->process->sim;
    struct varve_sim_file *file = varve_sim_file_of(io->file);
    struct slot *slot = &queue->slots[queue->count++];

    *slot = (struct slot){.io = io, .request = *io};
    slot->event = varve_sim_event_of(file, classes[io->op]);
    slot->event.async = true;
    if (io->op != VARVE_IO_SYNC) {
        slot->event.offset = io->offset;
        slot->event.size = io->size;
        slot->event.bytes = is_write(io->op) ? io->buffer : NULL;
    }
    file->in_flight++;

    const int refused = varve_sim_begin(sim, &slot->event, &slot->sync_mode);
    slot->error = refused;
    slot->seq = sim->completions;
    if (io->op != VARVE_IO_READ)
        varve_sim_check_written(sim, file);
    if (!is_write(io->op))
        return;
    slot->buffer_hash = varve_hash64(io->buffer, io->size, 0);
    if (varve_sim_overlaps_in_flight(sim, file->inode, io->offset, io->size))
        varve_sim_breach(sim, "write overlaps one in flight", file->name, io->offset);
    if ((file->flags & VARVE_FILE_WRITE) == 0)
        slot->error = -EBADF;
    else if (slot->error == 0)
        slot->error = varve_sim_check_direct(file, io->buffer, io->size, io->offset);
    if (slot->error == 0 || slot->error == refused) {
        const int rc = capture(sim, slot, file->inode);
        own_parts(queue, slot);
        if (rc < 0)
            slot->error = rc;
    }
}

int varve_sim_submit(struct varve_io_queue *queue_base, struct varve_io **ios, uint32_t n)
{
    struct varve_sim_queue *queue = to_queue(queue_base);
    struct varve_sim *sim = queue->process->sim;
    struct varve_sim_event event = {
        .op = VARVE_SIM_SUBMIT, .name = "", .to = "", .size = n, .pid = queue->process->pid};

    if (queue->process->killed)
        return -ESHUTDOWN;
    if (n > queue->depth - queue->count)
        return -EBUSY;
    int rc = check_requests(queue, ios, n);
    if (rc < 0)
        return rc;
    rc = (int)varve_sim_end(sim, &event, varve_sim_begin(sim, &event, NULL));
    for (uint32_t i = 0; i < n && rc == 0; i++)
        submit_one(queue, ios[i]);
    return rc;
}

/* ---- completion ---- */

static void check_untouched(struct varve_sim *sim, const struct slot *slot)
{
    const struct varve_io *io = slot->io, *was = &slot->request;

    if (io->op != was->op || io->file != was->file || io->buffer != was->buffer ||
        io->size != was->size || io->offset != was->offset)
        varve_sim_breach(sim, "request changed in flight", slot->event.name, was->offset);
    else if (is_write(was->op) && varve_hash64(was->buffer, was->size, 0) != slot->buffer_hash)
        varve_sim_breach(sim, "buffer changed in flight", slot->event.name, was->offset);
}

/* Let the captured parts take effect; `commit`: durable too. */
static int complete_parts(struct varve_sim *sim, struct slot *slot, bool commit)
{
    int rc = 0;

    for (int i = 0; i < 2; i++) {
        struct varve_sim_op *op = slot->ops[i];
        slot->ops[i] = NULL;
        if (op == NULL)
            continue;
        if (rc == 0)
            rc = varve_sim_op_complete(sim, op);
        if (op->in_flight) /* never reached the cache, and its queue is about to forget it */
            varve_sim_op_drop(sim, op);
        else if (rc == 0 && commit)
            rc = varve_sim_op_commit(sim, op);
    }
    return rc;
}

static int64_t complete_write(struct varve_sim *sim, struct slot *slot,
                              struct varve_sim_inode *inode)
{
    const struct varve_io *io = &slot->request;
    int rc = slot->error;

    if (rc == 0 && varve_sim_room(sim, inode, io->offset, io->size) < io->size)
        rc = -ENOSPC;
    if (rc == -ENOSPC && slot->error == 0) { /* there is no room for the captured parts */
        for (int i = 0; i < 2; i++)
            if (slot->ops[i] != NULL)
                varve_sim_op_drop(sim, slot->ops[i]);
        return rc;
    }
    const int done = complete_parts(sim, slot, rc == 0 && io->op == VARVE_IO_WRITE_DSYNC);
    if (rc < 0)
        return rc;
    return done < 0 ? done : (int64_t)io->size;
}

static int64_t complete_sync(struct varve_sim *sim, const struct slot *slot,
                             struct varve_sim_inode *inode)
{
    if (slot->error == 0)
        return varve_sim_sync_inode(sim, inode, slot->seq);
    inode->sync_failed_pid = slot->event.pid;
    const int rc = varve_sim_lose_inode(sim, inode, slot->seq, slot->sync_mode);
    return rc < 0 ? rc : slot->error;
}

static int64_t complete_read(const struct slot *slot, const struct varve_sim_file *file)
{
    const struct varve_io *io = &slot->request;
    int rc = slot->error;

    if (rc == 0)
        rc = varve_sim_check_direct(file, io->buffer, io->size, io->offset);
    if (rc < 0)
        return rc;
    return (int64_t)varve_sim_content_read(&file->inode->now, io->offset, io->buffer, io->size);
}

/* Finish the operation in slot `i`, whose place the last one takes. */
static struct varve_io *complete(struct varve_sim_queue *queue, uint32_t i)
{
    struct varve_sim *sim = queue->process->sim;
    struct slot slot = queue->slots[i];
    struct varve_sim_file *file = varve_sim_file_of(slot.request.file);
    int64_t result;

    queue->slots[i] = queue->slots[--queue->count];
    check_untouched(sim, &slot);
    if (slot.request.op == VARVE_IO_READ)
        result = complete_read(&slot, file);
    else if (slot.request.op == VARVE_IO_SYNC)
        result = complete_sync(sim, &slot, file->inode);
    else
        result = complete_write(sim, &slot, file->inode);
    slot.io->result = varve_sim_end(sim, &slot.event, result);
    if (--file->in_flight == 0 && file->closed)
        varve_sim_file_free(file);
    return slot.io;
}

/* How many to finish now: as many as are waited for, by chance more, or fewer if time runs out. */
static uint32_t draw_count(struct varve_sim *sim, uint32_t wait, uint32_t most, uint64_t timeout_us)
{
    if (wait > 0 && timeout_us != UINT64_MAX && varve_rng_below(&sim->rng, TIMEOUT_CHANCE) == 0) {
        const uint64_t limit = (uint64_t)1 << 40;
        varve_sim_clock_advance(sim, (int64_t)(timeout_us < limit ? timeout_us : limit));
        return (uint32_t)varve_rng_below(&sim->rng, wait);
    }
    return wait + (uint32_t)varve_rng_below(&sim->rng, (uint64_t)most - wait + 1);
}

int varve_sim_reap(struct varve_io_queue *queue_base, struct varve_io **out, uint32_t max,
                   uint32_t wait, uint64_t timeout_us)
{
    struct varve_sim_queue *queue = to_queue(queue_base);
    struct varve_sim *sim = queue->process->sim;
    const uint32_t most = max < queue->count ? max : queue->count;
    uint32_t n = 0;

    if (queue->process->killed)
        return -ESHUTDOWN;
    assert(!sim->watching);
    const uint32_t count = draw_count(sim, wait < most ? wait : most, most, timeout_us);
    while (n < count)
        out[n++] = complete(queue, (uint32_t)varve_rng_below(&sim->rng, queue->count));
    return (int)n;
}

void varve_sim_queue_close(struct varve_io_queue *queue_base)
{
    if (queue_base == NULL)
        return;
    struct varve_sim_queue *queue = to_queue(queue_base);
    struct varve_sim *sim = queue->process->sim;
    while (!queue->process->killed && queue->count > 0)
        (void)complete(queue, (uint32_t)varve_rng_below(&sim->rng, queue->count));
    varve_sim_queue_free(queue);
}

bool varve_sim_survives(const struct varve_sim *sim, const struct varve_sim_op *op)
{
    const uint64_t key = sim->options.seed ^ varve_mix64(op->inode->id) ^ op->offset;
    return (varve_mix64(key + sim->completions) & 1) != 0;
}
