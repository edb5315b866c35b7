/*
 * vfs.h - the backends that put a real disk behind struct varve_vfs (include/varve/vfs.h).
 *
 * Place.   storage/engine makes one when the application brought none. posix does every operation
 *          with a system call; uring shares all of it but the asynchronous queues. The simulated
 *          disk of the tests is vfs_sim.h.
 *
 * Files.   Opened relative to the directory's descriptor, never through a symbolic link, regular
 *          files only (anything else is -EINVAL, a link -ELOOP), close-on-exec. The mode of a new
 *          file does not depend on the umask.
 * Fork.    A vfs belongs to the process that made it. In a forked child every operation that
 *          returns a result fails with -ECHILD, close() and destroy() only give back memory and
 *          descriptors, and abandon() does that for all that is open: no lock is released for the
 *          parent, no ring is touched. (A descriptor that another thread was closing or opening at
 *          the very moment of the fork may stay open in the child.)
 * Threads. As the interface says. One mutex guards the list of what is open; no other lock is
 *          ever taken under it.
 */
#ifndef VARVE_VFS_VFS_H
#define VARVE_VFS_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include <varve/varve.h>
#include <varve/vfs.h>

struct varve_heap;

struct varve_vfs_options {
    struct varve_heap *heap;
    bool create;        /* make the directory unless it exists; its parent is synced */
    uint32_t file_mode; /* of new files; 0: 0640 */
    uint32_t dir_mode;  /* of a new directory; 0: 0750 */
};

/*
 * A vfs for the directory `path`; end it with (*ret_vfs)->ops->destroy(). `backend` is an enum
 * varve_io_backend; VARVE_IO_AUTO takes POSIX where the kernel refuses io_uring (ENOSYS, EPERM,
 * EACCES, ENOMEM) or lacks a feature, or the build has none. What came of it: (*ret_vfs)->backend.
 * Returns OK, EINVAL, ENOMEM, ENOTFOUND (no such directory, not `create`), EIO, ENOSPC or
 * EUNSUPPORTED (VARVE_IO_URING where it is not to be had).
 */
varve_status varve_vfs_create(const char *path, uint32_t backend,
                              const struct varve_vfs_options *options, struct varve_vfs **ret_vfs,
                              varve_error *err);

varve_status varve_vfs_posix_create(const char *path, const struct varve_vfs_options *options,
                                    struct varve_vfs **ret_vfs, varve_error *err);

/* Absent (EUNSUPPORTED) from a build without liburing. */
varve_status varve_vfs_uring_create(const char *path, const struct varve_vfs_options *options,
                                    struct varve_vfs **ret_vfs, varve_error *err);

#endif
