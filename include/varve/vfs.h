/*
 * vfs.h - everything the engine asks of the world outside: files of one directory, locks, clocks,
 * random bytes, wake-ups. An embedder may replace it; the tests put a simulated disk behind it.
 *
 * A varve_vfs stands for one store directory. Names are plain file names in it (no '/').
 *
 * Conventions. Functions return 0 or a positive count on success and a negative errno on failure.
 *   A transfer is complete or an error: short reads and writes, EINTR and EAGAIN are dealt with
 *   inside; only a read at the end of the file returns less than was asked for. A write that fails
 *   may have written a part of its range. Outputs are set on success only.
 * Threads. A vfs may be used from any thread; a file by several threads; a queue by one at a time.
 * Durability. What `sync` promises covers writes that had completed before it was called. A new,
 *   renamed or removed name is durable only after `sync_dir`.
 * Fork. In a forked child operations fail with -ECHILD; `abandon` is what the child calls.
 */
#ifndef VARVE_VFS_H
#define VARVE_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_IO_DEPTH_MAX 4096 /* the deepest queue that may be asked for */

struct varve_vfs;
struct varve_file;
struct varve_io_queue;

enum varve_file_flags {
    VARVE_FILE_READ = 0,   /* read only */
    VARVE_FILE_WRITE = 1,  /* read and write */
    VARVE_FILE_CREATE = 2, /* with WRITE: must not exist yet (O_CREAT | O_EXCL) */
    VARVE_FILE_DIRECT = 4, /* bypass the page cache if the file system can; see direct_align */
    VARVE_FILE_OPEN_OR_CREATE = 8 /* with WRITE: create unless it exists (the lock files) */
};

enum varve_io_op {
    VARVE_IO_READ = 1,
    VARVE_IO_WRITE = 2,
    VARVE_IO_WRITE_DSYNC = 3, /* the bytes of this write are durable when it completes */
    VARVE_IO_SYNC = 4         /* fdatasync */
};

/* What is done with a range soon. */
enum varve_advice {
    VARVE_ADVICE_WILLNEED = 1, /* it is read: begin to, without waiting */
    VARVE_ADVICE_DONTNEED = 2  /* nothing: let it go from the page cache */
};

/* One operation. Owned by the caller, like the buffer, and left alone from submit to reap. */
struct varve_io {
    uint32_t op;    /* enum varve_io_op */
    uint32_t flags; /* 0 */
    struct varve_file *file;
    void *buffer; /* not written to for writes */
    size_t size;
    uint64_t offset;
    int64_t result;      /* out: bytes transferred (all of them unless at the end of the
                                  file), 0 for syncs, or a negative errno */
    void *tag;           /* the caller's */
    uint64_t backend[4]; /* the backend's, while in flight */
};

struct varve_file_stat {
    uint64_t size;
    uint64_t allocated; /* bytes on disk */
};

/* Clocks: microseconds. `boot_us` counts sleep, and starts anew with every boot. */
struct varve_clock_reading {
    int64_t wall_us; /* since 1970 */
    int64_t boot_us; /* CLOCK_BOOTTIME */
};

/* Non-zero ends the listing, which returns it. Files may be removed from within. */
typedef int (*varve_vfs_list_fn)(void *ctx, const char *name);

struct varve_vfs_ops {
    size_t struct_size;

    int (*open)(struct varve_vfs *vfs, const char *name, uint32_t flags,
                struct varve_file **ret_file);
    /* Flushes nothing, cannot fail; NULL is a no-op. Nothing may be in flight. */
    void (*close)(struct varve_file *file);
    int64_t (*read)(struct varve_file *file, void *buffer, size_t size, uint64_t offset);
    int64_t (*write)(struct varve_file *file, const void *buffer, size_t size, uint64_t offset);
    int (*sync)(struct varve_file *file); /* fdatasync; after a failure never called again on it */
    int (*truncate)(struct varve_file *file, uint64_t size);
    /* Make the file at least `size` long and reserve its blocks, if the file system can; what was
     * not written reads as zero. */
    int (*allocate)(struct varve_file *file, uint64_t size);
    int (*stat)(struct varve_file *file, struct varve_file_stat *ret_stat);
    /* The descriptor's alignment for addresses, sizes and offsets; 0: not opened DIRECT. */
    uint32_t (*direct_align)(struct varve_file *file);
    /* A hint about a range: reading, and what it gives, is the same without it. */
    int (*advise)(struct varve_file *file, uint64_t offset, uint64_t size,
                  enum varve_advice advice);

    /* Byte-range locks that belong to the open file, not to the process (OFD locks): two files
     * opened by one process exclude each other. size > 0. An exclusive one needs a file opened to
     * write, a shared one and a test do not. */
    int (*lock)(struct varve_file *file, uint64_t start, uint64_t size,
                bool exclusive); /* -EAGAIN */
    int (*unlock)(struct varve_file *file, uint64_t start, uint64_t size);
    /* 0: such a lock could be taken; 1: another holds one. `ret_pid` may be NULL; else it gets the
     * pid of a process with the lock (a forked child that inherited it, perhaps), or 0 if it cannot
     * be found out, which may take milliseconds. */
    int (*lock_test)(struct varve_file *file, uint64_t start, uint64_t size, bool exclusive,
                     int64_t *ret_pid);

    int (*rename)(struct varve_vfs *vfs, const char *from, const char *to); /* replaces `to` */
    int (*unlink)(struct varve_vfs *vfs, const char *name);
    int (*list)(struct varve_vfs *vfs, varve_vfs_list_fn fn, void *ctx); /* in no order */
    /* A failure is for good: every later call of this vfs fails too, by whichever thread, since none
     * covers what that one should have covered (a system tells it only once). A store that is to be opened
     * for writing again then needs a new vfs. */
    int (*sync_dir)(struct varve_vfs *vfs);

    /* Asynchronous I/O. `submit` takes all of `ios` or fails and takes none (-EBUSY: more than
     * `depth` would be submitted and not reaped). Errors of an operation are in its result. The
     * order in which operations are done is open: submit what must come later after reaping what
     * must come first. Never two overlapping writes, nor a truncation of what is written. No file
     * is closed with operations in flight. `reap` gives finished
     * ones, in any order; it waits until at least `wait` have finished (never more than are in
     * flight) or `timeout_us` has passed (UINT64_MAX: no limit). Backends without asynchrony do
     * the work in submit. Close drains first. */
    int (*queue_open)(struct varve_vfs *vfs, uint32_t depth, struct varve_io_queue **ret_queue);
    void (*queue_close)(struct varve_io_queue *queue);
    int (*submit)(struct varve_io_queue *queue, struct varve_io **ios, uint32_t n);
    int (*reap)(struct varve_io_queue *queue, struct varve_io **out, uint32_t max, uint32_t wait,
                uint64_t timeout_us);

    void (*clock)(struct varve_vfs *vfs, struct varve_clock_reading *ret_reading);
    /* Let others run for at least `us` microseconds. */
    void (*pause)(struct varve_vfs *vfs, uint64_t us);
    int (*boot_id)(struct varve_vfs *vfs, uint8_t ret_id[16]); /* the same until the next boot */
    int (*random)(struct varve_vfs *vfs, void *out, size_t size);
    int64_t (*pid)(struct varve_vfs *vfs);

    /* A descriptor that polls readable between `signal` and `drain`; -1 if there is none. */
    int (*event_open)(struct varve_vfs *vfs);
    void (*event_signal)(struct varve_vfs *vfs, int fd);
    void (*event_drain)(struct varve_vfs *vfs, int fd);
    void (*event_close)(struct varve_vfs *vfs, int fd);

    void (*destroy)(struct varve_vfs *vfs); /* called by whoever created it */
    /* In a forked child: close every descriptor that is open through this vfs, without any other
     * effect (no lock is released for the parent), and free it with all its files and queues. */
    void (*abandon)(struct varve_vfs *vfs);
};

/* Backends put this first in their own structs. */
struct varve_vfs {
    const struct varve_vfs_ops *ops;
    uint32_t backend; /* enum varve_io_backend (varve.h) in use, for stats */
    uint32_t reserved;
};

#ifdef __cplusplus
}
#endif

#endif /* VARVE_VFS_H */
