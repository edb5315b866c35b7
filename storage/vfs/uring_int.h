/*
 * uring_int.h - the part of vfs_uring.c that its tests drive without a kernel. Private to
 * storage/vfs.
 */
#ifndef VARVE_VFS_URING_INT_H
#define VARVE_VFS_URING_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/vfs/vfs.h"

/* How varve_io.backend[] is used between submit and reap. */
enum varve_uring_slot {
    VARVE_URING_DONE = 0,  /* bytes transferred so far */
    VARVE_URING_AGAIN = 1, /* times that it was put off */
    VARVE_URING_ALIGN = 2  /* the file's direct alignment, or 0 */
};

/*
 * Take in the kernel's result for the part of `io` that was last submitted. True: io->result is
 * final. False: submit what is left, from offset + backend[VARVE_URING_DONE].
 */
bool varve_uring_settle(struct varve_io *io, int32_t res);

#endif
