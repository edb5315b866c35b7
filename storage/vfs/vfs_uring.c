/*
 * vfs_uring.c - asynchronous reads, writes and syncs through io_uring, one ring a queue. All that is
 * synchronous is vfs_posix.c's.
 *
 * Life of a request: taken -> (unsent -> in the kernel)+ -> finished -> reaped.
 *
 * Invariants
 *   U1  unsent + in the kernel + finished = taken <= depth; the completion queue has room for as many,
 *       so it never overflows.
 *   U2  `unsent` names the requests of the submission queue's entries that the kernel has not taken
 *       yet, in the same order.
 *   U3  A request is finished when all its bytes are moved, at the end of the file, or failed. What is
 *       left of a short transfer is submitted again as the same operation, so the rest of a
 *       WRITE_DSYNC is durable too. No links, no drains: order is the caller's business.
 *   U4  A ring that fails for good is `broken`: nothing more is submitted to it, and what it had not
 *       taken is done synchronously. What the kernel has is still waited for.
 *
 * Threads. A queue is used by one thread at a time.
 */
#include "storage/vfs/posix_int.h"
#include "storage/vfs/uring_int.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/base/error.h"

#define TRANSFER_MAX ((size_t)1 << 30)
#define AGAIN_MAX 1000 /* times that one request, or the ring, is put off before that is an error */
#define BUSY_WAIT_US 1000 /* between two attempts to hand requests to a kernel without memory */
#define FEATURES_NEEDED ((unsigned)(IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG))

struct uring_queue {
    struct varve_posix_handle handle;
    struct varve_posix_vfs *vfs;
    struct io_uring ring;
    uint32_t depth;
    uint32_t unsent_first, unsent_count; /* ring in slots[0, depth) */
    uint32_t done_first, done_count;     /* ring in slots[depth, 2 depth) */
    uint32_t in_kernel;
    uint32_t attempts; /* submissions in a row that moved nothing */
    bool broken;
    struct varve_io *slots[];
};

static struct uring_queue *to_queue(struct varve_io_queue *queue)
{
    return (struct uring_queue *)(void *)queue;
}

static uint32_t taken(const struct uring_queue *queue)
{
    return queue->unsent_count + queue->in_kernel + queue->done_count;
}

static void push_unsent(struct uring_queue *queue, struct varve_io *io)
{
    assert(queue->unsent_count < queue->depth);
    queue->slots[(queue->unsent_first + queue->unsent_count) % queue->depth] = io;
    queue->unsent_count++;
}

static struct varve_io *pop_unsent(struct uring_queue *queue)
{
    assert(queue->unsent_count > 0);
    struct varve_io *io = queue->slots[queue->unsent_first];
    queue->unsent_first = (queue->unsent_first + 1) % queue->depth;
    queue->unsent_count--;
    return io;
}

static void push_done(struct uring_queue *queue, struct varve_io *io)
{
    assert(queue->done_count < queue->depth);
    queue->slots[queue->depth + (queue->done_first + queue->done_count) % queue->depth] = io;
    queue->done_count++;
}

static struct varve_io *pop_done(struct uring_queue *queue)
{
    assert(queue->done_count > 0);
    struct varve_io *io = queue->slots[queue->depth + queue->done_first];
    queue->done_first = (queue->done_first + 1) % queue->depth;
    queue->done_count--;
    return io;
}

bool varve_uring_settle(struct varve_io *io, int32_t res)
{
    uint64_t *done = &io->backend[VARVE_URING_DONE];

    if (res == -EINTR || res == -EAGAIN || res == -ECANCELED) {
        if (io->backend[VARVE_URING_AGAIN]++ < AGAIN_MAX)
            return false;
        io->result = res;
        return true;
    }
    if (res < 0 || io->op == VARVE_IO_SYNC) {
        io->result = res < 0 ? res : 0;
        return true;
    }
    assert((uint64_t)res <= io->size - *done);
    *done += (uint64_t)res;
    const uint64_t align = io->backend[VARVE_URING_ALIGN];
    const bool at_end = res == 0 || (align != 0 && *done % align != 0);
    if (*done < io->size && !(at_end && io->op == VARVE_IO_READ)) {
        if (res > 0)
            return false;
        io->result = -EIO; /* a write that moves nothing and gives no reason: never spin on it */
        return true;
    }
    io->result = (int64_t)*done;
    return true;
}

/* ---- towards the kernel ---- */

static void fill_sqe(struct io_uring_sqe *sqe, struct varve_io *io)
{
    const int fd = ((struct varve_posix_file *)(void *)io->file)->handle.fd;
    const uint64_t done = io->backend[VARVE_URING_DONE];
    const size_t left = io->size - done;
    const unsigned size = (unsigned)(left < TRANSFER_MAX ? left : TRANSFER_MAX);
    uint8_t *at = io->op == VARVE_IO_SYNC || io->size == 0 ? NULL : (uint8_t *)io->buffer + done;

    switch ((enum varve_io_op)io->op) {
    case VARVE_IO_READ:
        io_uring_prep_read(sqe, fd, at, size, io->offset + done);
        break;
    case VARVE_IO_WRITE:
        io_uring_prep_write(sqe, fd, at, size, io->offset + done);
        break;
    case VARVE_IO_WRITE_DSYNC:
        io_uring_prep_write(sqe, fd, at, size, io->offset + done);
        sqe->rw_flags = RWF_DSYNC;
        break;
    case VARVE_IO_SYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, io);
}

/* Do synchronously what the broken ring will never take. */
static void finish_unsent(struct uring_queue *queue)
{
    while (queue->unsent_count > 0) {
        struct varve_io *io = pop_unsent(queue);
        io->result = varve_posix_perform(io); /* from its start: the bytes are the same */
        push_done(queue, io);
    }
}

static void enqueue(struct uring_queue *queue, struct varve_io *io)
{
    push_unsent(queue, io);
    if (queue->broken)
        return;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    assert(sqe != NULL); /* U1, U2: the submission queue has `depth` entries at least */
    fill_sqe(sqe, io);
}

/* Hand the kernel what is unsent. Returns true unless it has no memory to take more just now. */
static bool hand_over(struct uring_queue *queue)
{
    while (queue->unsent_count > 0 && !queue->broken) {
        const int rc = io_uring_submit(&queue->ring);
        if (rc > 0) {
            assert((uint32_t)rc <= queue->unsent_count);
            for (int i = 0; i < rc; i++)
                (void)pop_unsent(queue);
            queue->in_kernel += (uint32_t)rc;
            queue->attempts = 0;
        } else if (rc == -EINTR) {
            continue;
        } else if ((rc == 0 || rc == -EAGAIN || rc == -EBUSY) && ++queue->attempts <= AGAIN_MAX) {
            return false;
        } else {
            queue->broken = true; /* U4 */
        }
    }
    finish_unsent(queue);
    return true;
}

/* ---- from the kernel ---- */

/* Take in all completions that are there. */
static void collect(struct uring_queue *queue)
{
    struct io_uring_cqe *cqe;

    while (queue->in_kernel > 0 && io_uring_peek_cqe(&queue->ring, &cqe) == 0) {
        struct varve_io *io = io_uring_cqe_get_data(cqe);
        const int32_t res = cqe->res;
        io_uring_cqe_seen(&queue->ring, cqe);
        queue->in_kernel--;
        if (varve_uring_settle(io, res))
            push_done(queue, io);
        else
            enqueue(queue, io);
    }
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    const int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(rc == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Wait for one completion. 0, -ETIME, or what makes another look worthwhile. */
static int wait_for_one(struct uring_queue *queue, uint64_t timeout_us)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {
        .tv_sec = (int64_t)(timeout_us / 1000000),
        .tv_nsec = (long long)(timeout_us % 1000000) * 1000,
    };

    if (timeout_us == UINT64_MAX)
        return io_uring_wait_cqe(&queue->ring, &cqe);
    return io_uring_wait_cqes(&queue->ring, &cqe, 1, &limit, NULL);
}

/* Until `wait` requests are finished, or `timeout_us` has passed. */
static void gather(struct uring_queue *queue, uint32_t wait, uint64_t timeout_us)
{
    const int64_t start = timeout_us == UINT64_MAX ? 0 : monotonic_us();

    for (;;) {
        collect(queue);
        const bool sent = hand_over(queue);
        if (queue->done_count >= wait)
            return;
        uint64_t left = UINT64_MAX;
        if (timeout_us != UINT64_MAX) {
            const uint64_t spent = (uint64_t)(monotonic_us() - start);
            if (spent >= timeout_us)
                return;
            left = timeout_us - spent;
        }
        if (!sent && left > BUSY_WAIT_US) /* soon look whether there is memory again */
            left = BUSY_WAIT_US;
        if (queue->in_kernel > 0)
            (void)wait_for_one(queue, left); /* whatever it says, the next round looks */
        else
            (void)sched_yield();
    }
}

/* ---- the queue ---- */

static int ring_init(struct io_uring *ring, uint32_t depth)
{
    struct io_uring_params params = {0}; /* the completion queue is twice as long */
    const int rc = io_uring_queue_init_params(depth, ring, &params);
    if (rc < 0)
        return rc;
    if ((params.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
        io_uring_queue_exit(ring);
        return -ENOSYS;
    }
    assert(params.sq_entries >= depth && params.cq_entries >= depth);
    return 0;
}

static int uring_queue_open(struct varve_vfs *vfs_base, uint32_t depth,
                            struct varve_io_queue **ret_queue)
{
    struct varve_posix_vfs *vfs = (struct varve_posix_vfs *)(void *)vfs_base;
    const size_t size = sizeof(struct uring_queue) + 2 * (size_t)depth * sizeof(struct varve_io *);

    if (varve_posix_is_foreign(vfs))
        return -ECHILD;
    if (depth == 0 || depth > VARVE_IO_DEPTH_MAX)
        return -EINVAL;
    struct uring_queue *queue = varve_alloc_zero(vfs->heap, 1, size);
    if (queue == NULL)
        return -ENOMEM;
    queue->vfs = vfs;
    queue->depth = depth;
    const int rc = ring_init(&queue->ring, depth);
    if (rc < 0) {
        varve_free(vfs->heap, queue, size);
        return rc;
    }
    varve_posix_link(vfs, &queue->handle, VARVE_POSIX_RING, -1, size);
    *ret_queue = (struct varve_io_queue *)(void *)queue;
    return 0;
}

static void uring_queue_close(struct varve_io_queue *queue_base)
{
    if (queue_base == NULL)
        return;
    struct uring_queue *queue = to_queue(queue_base);
    struct varve_posix_vfs *vfs = queue->vfs;
    if (varve_posix_is_foreign(vfs)) /* abandon() gives all back at once */
        return;
    /* Closing the ring would not undo what is in flight, and its buffers are about to be reused. */
    gather(queue, taken(queue), UINT64_MAX);
    assert(queue->in_kernel == 0 && queue->unsent_count == 0);
    varve_posix_unlink(vfs, &queue->handle);
    io_uring_queue_exit(&queue->ring);
    varve_free(vfs->heap, queue, queue->handle.size);
}

/* In a forked child: the ring's memory is shared with the parent, so it is unmapped, not used. */
static void abandon_ring(struct varve_posix_handle *handle)
{
    io_uring_queue_exit(&((struct uring_queue *)(void *)handle)->ring);
}

static int uring_submit(struct varve_io_queue *queue_base, struct varve_io **ios, uint32_t n)
{
    struct uring_queue *queue = to_queue(queue_base);

    if (varve_posix_is_foreign(queue->vfs))
        return -ECHILD;
    if (n > queue->depth - taken(queue))
        return -EBUSY;
    const int rc = varve_posix_check(queue->vfs, ios, n);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        struct varve_io *io = ios[i];
        io->backend[VARVE_URING_DONE] = 0;
        io->backend[VARVE_URING_AGAIN] = 0;
        io->backend[VARVE_URING_ALIGN] =
            ((struct varve_posix_file *)(void *)io->file)->direct_align;
        enqueue(queue, io);
    }
    (void)hand_over(queue); /* what the kernel does not take now, reap offers again */
    return 0;
}

static int uring_reap(struct varve_io_queue *queue_base, struct varve_io **out, uint32_t max,
                      uint32_t wait, uint64_t timeout_us)
{
    struct uring_queue *queue = to_queue(queue_base);
    uint32_t n = 0;

    if (varve_posix_is_foreign(queue->vfs))
        return -ECHILD;
    if (wait > max)
        wait = max;
    if (wait > taken(queue))
        wait = taken(queue);
    gather(queue, wait, timeout_us);
    while (n < max && queue->done_count > 0)
        out[n++] = pop_done(queue);
    return (int)n;
}

/* ---- the vfs ---- */

/* Whether the kernel allows rings: made and thrown away, because seccomp, a sysctl or a memory
 * limit may forbid what the version promises. */
static int probe(void)
{
    struct io_uring ring;

    const int rc = ring_init(&ring, 2);
    if (rc == 0)
        io_uring_queue_exit(&ring);
    return rc;
}

varve_status varve_vfs_uring_create(const char *path, const struct varve_vfs_options *options,
                                    struct varve_vfs **ret_vfs, varve_error *err)
{
    struct varve_posix_vfs *vfs = NULL;

    const int allowed = probe();
    if (allowed == -ENOSYS || allowed == -EPERM || allowed == -EACCES || allowed == -ENOMEM) {
        (void)varve_error_set(err, VARVE_EUNSUPPORTED, NULL, VARVE_NO_OFFSET,
                              "the kernel does not allow io_uring");
        if (err != NULL)
            err->os_code = -allowed;
        return VARVE_EUNSUPPORTED;
    }
    if (allowed < 0)
        return varve_error_os(err, allowed, NULL, VARVE_NO_OFFSET, "set up io_uring");

    const varve_status rc = varve_posix_create(path, VARVE_IO_URING, options, &vfs, err);
    if (rc < 0)
        return rc;
    vfs->abandon_ring = abandon_ring;
    vfs->ops.queue_open = uring_queue_open;
    vfs->ops.queue_close = uring_queue_close;
    vfs->ops.submit = uring_submit;
    vfs->ops.reap = uring_reap;
    *ret_vfs = &vfs->base;
    return VARVE_OK;
}
