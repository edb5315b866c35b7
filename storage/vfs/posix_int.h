/*
 * posix_int.h - what vfs_posix.c, vfs_uring.c and lock_owner.c share. Private to storage/vfs.
 *
 * Invariants
 *   P1  Every descriptor but those of directories and rings is in `open` from before its owner gets
 *       it until after its owner gives it back.
 *   P2  `open` can be walked forwards at any instant, also in a child forked in the middle of an
 *       insertion or removal: `next` is set before a handle is linked in, and one store takes it out.
 *
 * Threads. `mutex` guards changes of `open`; all else is fixed at creation or atomic.
 */
#ifndef VARVE_VFS_POSIX_INT_H
#define VARVE_VFS_POSIX_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/base/mutex.h"
#include "storage/vfs/vfs.h"

enum varve_posix_kind {
    VARVE_POSIX_FILE = 1,
    VARVE_POSIX_QUEUE = 2, /* the synchronous one; no descriptor */
    VARVE_POSIX_EVENT = 3,
    VARVE_POSIX_RING = 4 /* vfs_uring.c's; its ring is closed by `abandon_ring` */
};

struct varve_posix_handle {
    _Atomic(struct varve_posix_handle *) next;
    struct varve_posix_handle *prev; /* under the mutex */
    uint32_t kind;
    int fd;      /* -1: none */
    size_t size; /* of the object that begins with this handle */
};

struct varve_posix_vfs {
    struct varve_vfs base;
    struct varve_vfs_ops ops; /* base.ops points here */
    struct varve_heap *heap;
    struct varve_mutex mutex;
    _Atomic(struct varve_posix_handle *) open;
    void (*abandon_ring)(struct varve_posix_handle *handle); /* NULL: no rings */
    int64_t pid;
    int dir_fd;
    struct varve_mutex dir_mutex;
    int dir_error; /* of the sync of the directory that failed. Under dir_mutex */
    uint32_t file_mode;
    atomic_bool no_dsync; /* RWF_DSYNC was refused once: sync after the write instead */
};

struct varve_posix_file {
    struct varve_posix_handle handle;
    struct varve_posix_vfs *vfs;
    uint32_t direct_align;
};

/* A POSIX vfs that says it is `backend`, its operations in ->ops for that backend to replace. */
varve_status varve_posix_create(const char *path, uint32_t backend,
                                const struct varve_vfs_options *options,
                                struct varve_posix_vfs **ret_vfs, varve_error *err);
void varve_posix_link(struct varve_posix_vfs *vfs, struct varve_posix_handle *handle, uint32_t kind,
                      int fd, size_t size);
void varve_posix_unlink(struct varve_posix_vfs *vfs, struct varve_posix_handle *handle);
bool varve_posix_is_foreign(const struct varve_posix_vfs *vfs); /* true in a forked child */

/* Do one operation now, completely; the result is io->result's. */
int64_t varve_posix_perform(const struct varve_io *io);
/* Whether `ios` are requests that a queue can take: 0 or -EINVAL. */
int varve_posix_check(const struct varve_posix_vfs *vfs, struct varve_io *const *ios, uint32_t n);

/* The pid of a process that holds a lock on the open file `fd` refers to through another open file,
 * or 0. Slow: reads /proc. */
int64_t varve_posix_lock_owner(int fd);

#endif
