/*
 * vfs_choice.c - which backend a store gets: what was asked for, or the best that the kernel allows.
 */
#include "storage/vfs/vfs.h"

#include "storage/base/error.h"

#if !VARVE_HAVE_URING
varve_status varve_vfs_uring_create(const char *path, const struct varve_vfs_options *options,
                                    struct varve_vfs **ret_vfs, varve_error *err)
{
    (void)path;
    (void)options;
    (void)ret_vfs;
    return varve_error_set(err, VARVE_EUNSUPPORTED, NULL, VARVE_NO_OFFSET,
                           "this build has no io_uring");
}
#endif

varve_status varve_vfs_create(const char *path, uint32_t backend,
                              const struct varve_vfs_options *options, struct varve_vfs **ret_vfs,
                              varve_error *err)
{
    varve_status rc;

    switch (backend) {
    case VARVE_IO_POSIX:
        return varve_vfs_posix_create(path, options, ret_vfs, err);
    case VARVE_IO_URING:
        return varve_vfs_uring_create(path, options, ret_vfs, err);
    case VARVE_IO_AUTO:
        rc = varve_vfs_uring_create(path, options, ret_vfs, err);
        if (rc != VARVE_EUNSUPPORTED)
            return rc;
        varve_error_clear(err);
        return varve_vfs_posix_create(path, options, ret_vfs, err);
    default:
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "no I/O backend %u",
                               (unsigned)backend);
    }
}
