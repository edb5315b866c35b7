/*
 * vfs_sim.h - a simulated disk for tests: one directory of files in memory, everything that may go
 * wrong with it, and every state that a crash may leave behind.
 *
 *     struct varve_sim *sim;                       a machine: disk, clock, seed
 *     varve_sim_create(&options, &sim);
 *     struct varve_vfs *vfs;                       a process on it; open the store through this
 *     varve_sim_attach(sim, &vfs);
 *     varve_sim_watch(sim, before_op, ctx);        called before each operation: the crash points
 *     ...
 *     struct varve_sim_crash *crash;               in before_op, or between calls
 *     varve_sim_crash_open(sim, &crash_options, &crash);
 *     while (varve_sim_crash_next(crash, &image, &state) > 0) {
 *         varve_sim_attach(image, &vfs2);          what recovery finds; image may crash again
 *         ... open, check against the oracle, close ...
 *         varve_sim_destroy(image);
 *     }
 *     varve_sim_crash_close(crash);
 *
 * Model. Each file has two contents: `now` (the page cache: what reads see) and `durable`, and the
 *   directory two sets of entries likewise. A write, truncation, allocation, creation, rename or
 *   unlink changes `now` and joins one ordered list of pending operations; a crash keeps any part of
 *   that list that its model allows.
 *     S1  sync(file) makes durable the operations on the file that had completed before it was
 *         issued. Not its directory entry.
 *     S2  WRITE_DSYNC makes its own bytes durable at completion, with as much size as they need.
 *     S3  sync_dir makes durable the entries as they were when it was called. Not the contents.
 *     S4  What is durable is in every crash state until it is overwritten, truncated or unlinked.
 *     S5  An operation in flight (submitted, not reaped) may be on the disk, in part or not at all.
 *     S6  After a failed sync no later one makes durable what it should have covered. With
 *         VARVE_SIM_SYNC_KEEP reads go on showing it, and each part may or may not be on the disk,
 *         as on ext4 and XFS; with VARVE_SIM_SYNC_REVERT it is gone, as on btrfs. A failed sync_dir
 *         is of the first kind, and the process gets its error from every later one.
 *     S7  A failed write may have written a part of its range, from the front.
 *
 * Determinism. The same calls with the same seed give the same results, completion order, images
 *   and trace hash. Nothing is taken from the real clock, process or memory addresses.
 * Threads. None: a simulation and all images made from it belong to one thread at a time.
 * Memory. Pages of 4 KiB are shared between images and copied when written.
 */
#ifndef VARVE_VFS_SIM_H
#define VARVE_VFS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve/vfs.h>

struct varve_heap;
struct varve_sim;
struct varve_sim_crash;

#define VARVE_SIM_NAME_MAX 64 /* bytes of a file name with its terminator */

struct varve_sim_options {
    struct varve_heap *heap;
    uint64_t seed;
    uint64_t capacity;     /* bytes; what does not fit is ENOSPC; 0: no limit */
    uint32_t direct_align; /* of DIRECT files, and checked; 0: direct I/O is not supported */
    uint32_t split_chance; /* in 256: a write of more than a page is two operations to a crash */
    int64_t wall_us;       /* the clock at the start */
    uint32_t op_us;        /* every operation takes so long */
    bool keep_trace;       /* for varve_sim_trace_at(); the trace hash is always there */
};

/* Defaults: no capacity limit, direct_align 4096, no splits, 2024-01-01, 1 us, no trace kept. */
void varve_sim_options_init(struct varve_sim_options *options, struct varve_heap *heap,
                            uint64_t seed);

/* All functions that return int: 0 (or as said) or a negative errno, -ENOMEM among them. */
int varve_sim_create(const struct varve_sim_options *options, struct varve_sim **ret_sim);
/* With all processes, files and queues that are still there. NULL is a no-op. */
void varve_sim_destroy(struct varve_sim *sim);

/* A process: its own pid, locks and queues. End it with ops->destroy, kill it, or leave it to
 * varve_sim_destroy(). */
int varve_sim_attach(struct varve_sim *sim, struct varve_vfs **ret_vfs);
struct varve_sim *varve_sim_of(struct varve_vfs *vfs);

/*
 * The process dies (kill -9): its files close, its locks go, what it had in flight completes or is
 * cancelled as the seed says, the page cache stays. All its handles return -ESHUTDOWN from then
 * on; closing them is still allowed.
 */
void varve_sim_kill(struct varve_vfs *vfs);

/* The whole machine again, with what is pending but without processes, watchers, faults or trace;
 * operations in flight are resolved as by a kill. So it is also the state a process death leaves
 * behind, taken without disturbing the process. */
int varve_sim_clone(struct varve_sim *sim, struct varve_sim **ret_sim);

/* ---- crashes: the power goes now ---------------------------------------------------------- */

enum varve_sim_model {
    VARVE_SIM_CRASH_PREFIX = 1, /* A: the operations reached the disk in order, up to one of them */
    VARVE_SIM_CRASH_BY_FILE = 2, /* B: the same for each file and the directory by itself */
    VARVE_SIM_CRASH_SUBSET = 3,  /* C: any subset of whole operations; directory in order */
    VARVE_SIM_CRASH_SECTORS = 4, /* D: any subset of sectors and sizes; directory in order */
    VARVE_SIM_CRASH_REORDER = 5  /* E: as D (or C, with granule 0), and any subset of creations,
                                    renames and unlinks */
};

enum varve_sim_hole { /* what a file shows where it grew but its data was lost */
                      VARVE_SIM_HOLE_ZEROS = 0,
                      VARVE_SIM_HOLE_GARBAGE =
                          1 /* bytes drawn from the seed, or what an older block held */
};

struct varve_sim_crash_options {
    uint32_t model;
    uint32_t granule; /* D, E: 512 or 4096; E also 0: whole operations */
    uint32_t hole;
    uint32_t random;     /* states drawn from the seed after the systematic ones */
    uint32_t exhaustive; /* all subsets when there are at most so many units; at most 20 */
    uint64_t seed;
};

/* Defaults: model D, 512 B, zeros, 256 random states, exhaustive up to 12 units. */
void varve_sim_crash_options_init(struct varve_sim_crash_options *options, uint64_t seed);

struct varve_sim_crash_state {
    uint64_t at_op; /* operations done when the power went */
    uint64_t index; /* with the options, names the state: see varve_sim_crash_at() */
    uint64_t hash;  /* of names and contents */
    uint32_t units; /* that could have been lost separately */
    uint32_t kept;
};

/*
 * The distinct states that a crash now can leave, one after the other: all subsets if there are few
 * units, else all prefixes, all but one, only one, all but two, then random ones. The simulation
 * may not change while the iterator is open (`next` fails with -ESTALE).
 */
int varve_sim_crash_open(struct varve_sim *sim, const struct varve_sim_crash_options *options,
                         struct varve_sim_crash **ret_crash);
/* 1: an image, the caller's to destroy, quiet (all durable, just booted); 0: no more. `ret_state`
 * may be NULL. */
int varve_sim_crash_next(struct varve_sim_crash *crash, struct varve_sim **ret_image,
                         struct varve_sim_crash_state *ret_state);
/* The state of one index again, to replay a failure. -ERANGE: there is none. */
int varve_sim_crash_at(struct varve_sim_crash *crash, uint64_t index, struct varve_sim **ret_image,
                       struct varve_sim_crash_state *ret_state);
/* How many indices there are, duplicates among them. */
uint64_t varve_sim_crash_count(const struct varve_sim_crash *crash);
void varve_sim_crash_close(struct varve_sim_crash *crash);

/* ---- faults ------------------------------------------------------------------------------- */

enum varve_sim_class { /* one bit a kind of operation */
                       VARVE_SIM_OPEN = 1u << 0,
                       VARVE_SIM_READ = 1u << 1,
                       VARVE_SIM_WRITE = 1u << 2,       /* VARVE_IO_WRITE and write() */
                       VARVE_SIM_WRITE_DSYNC = 1u << 3, /* VARVE_IO_WRITE_DSYNC */
                       VARVE_SIM_SYNC = 1u << 4,        /* VARVE_IO_SYNC and sync() */
                       VARVE_SIM_TRUNCATE = 1u << 5,
                       VARVE_SIM_ALLOCATE = 1u << 6,
                       VARVE_SIM_STAT = 1u << 7,
                       VARVE_SIM_LOCK = 1u << 8, /* lock, lock_test */
                       VARVE_SIM_RENAME = 1u << 9,
                       VARVE_SIM_UNLINK = 1u << 10,
                       VARVE_SIM_LIST = 1u << 11,
                       VARVE_SIM_SYNC_DIR = 1u << 12,
                       VARVE_SIM_QUEUE = 1u << 13, /* queue_open */
                       VARVE_SIM_SUBMIT = 1u
                                          << 14, /* the call as a whole, which then takes nothing */
                       VARVE_SIM_RANDOM = 1u << 15, /* random, boot_id */
                       VARVE_SIM_ADVISE = 1u << 16,
                       VARVE_SIM_ANY = (1u << 17) - 1
};

enum varve_sim_sync_mode { VARVE_SIM_SYNC_KEEP = 0, VARVE_SIM_SYNC_REVERT = 1 };

struct varve_sim_fault {
    uint32_t classes;   /* enum varve_sim_class bits */
    uint32_t sync_mode; /* of a failed sync; enum varve_sim_sync_mode */
    uint64_t nth;       /* the n-th matching operation from now; 1 is the next */
    uint64_t times;     /* so many from there on; UINT64_MAX: for ever */
    int error;          /* an errno, positive: EIO, ENOSPC, EMFILE, EINTR ... */
    uint32_t reserved;
    char name[VARVE_SIM_NAME_MAX]; /* only this file; "": any */
};

/* Add a fault; several may be armed at once, the first that strikes decides. */
int varve_sim_fault_add(struct varve_sim *sim, const struct varve_sim_fault *fault);
/* Remove all. */
void varve_sim_fault_clear(struct varve_sim *sim);
/* How often a fault has struck since the simulation was made. */
uint64_t varve_sim_fault_hits(const struct varve_sim *sim);
/* Fail the n-th operation of any class, once or for ever: the loop over all operations. */
int varve_sim_fault_nth(struct varve_sim *sim, uint64_t nth, bool for_ever, int error);

/* Change the capacity; 0: no limit. */
void varve_sim_set_capacity(struct varve_sim *sim, uint64_t capacity);
/* Bytes in use, of that capacity. */
uint64_t varve_sim_used(const struct varve_sim *sim);

/* ---- watching, tracing, checking ---------------------------------------------------------- */

enum varve_sim_phase {
    VARVE_SIM_BEFORE = 1, /* nothing has happened yet; a negative result makes it fail so */
    VARVE_SIM_AFTER = 2   /* `result` is what the caller gets, or has got at reap */
};

struct varve_sim_event {
    uint64_t index;    /* of the operation, from 1 */
    uint32_t phase;    /* enum varve_sim_phase */
    uint32_t op;       /* enum varve_sim_class */
    const char *name;  /* of the file when it was opened, or first renamed from; "" if none */
    const char *to;    /* rename: the new name; else "" */
    const void *bytes; /* writes: what is written; else NULL */
    uint64_t offset;
    uint64_t size; /* bytes, or the new size of truncate and allocate */
    int64_t result;
    int64_t pid;
    bool async; /* came through a queue */
};

/*
 * Call `fn` around every operation, in the order of registration. It may look at the simulation,
 * take crash images and ask the questions below, but not operate on the disk. Before an operation,
 * a negative errno from it makes the operation fail like a fault.
 */
typedef int (*varve_sim_watch_fn)(void *ctx, struct varve_sim *sim,
                                  const struct varve_sim_event *event);
int varve_sim_watch(struct varve_sim *sim, varve_sim_watch_fn fn, void *ctx);
void varve_sim_unwatch(struct varve_sim *sim, varve_sim_watch_fn fn, void *ctx);

/* True if a crash now would leave the file under its name with the content that reads see. */
bool varve_sim_is_durable(struct varve_sim *sim, const char *name);
/* The halves of it: its directory entry; its content; a range of its content. */
bool varve_sim_is_entry_durable(struct varve_sim *sim, const char *name);
bool varve_sim_is_content_durable(struct varve_sim *sim, const char *name);
bool varve_sim_is_range_durable(struct varve_sim *sim, const char *name, uint64_t offset,
                                uint64_t size);
/* True if no crash now can bring the name back. */
bool varve_sim_is_gone(struct varve_sim *sim, const char *name);

/*
 * The rules that hold whatever is stored: no write, truncation or sync of a file after a failed
 * sync of it (by the process that saw it fail); no two overlapping writes in flight; no buffer or
 * request changed between submit and reap; no file closed with operations in flight. NULL, or the
 * first breach as one line.
 */
const char *varve_sim_violation(const struct varve_sim *sim);
uint64_t varve_sim_violations(const struct varve_sim *sim);
/* For a test's own rules: record a breach in the same place. `message` is copied. */
void varve_sim_violate(struct varve_sim *sim, const char *message);

uint64_t varve_sim_ops(const struct varve_sim *sim); /* operations so far */
/* Over kind, file, range, bytes and result of every operation so far. */
uint64_t varve_sim_trace_hash(const struct varve_sim *sim);

struct varve_sim_trace_entry {
    uint64_t index;
    uint32_t op;    /* enum varve_sim_class */
    uint32_t phase; /* BEFORE for a submission, AFTER for what is finished */
    uint64_t offset;
    uint64_t size;
    int64_t result;
    int64_t pid;
    char name[VARVE_SIM_NAME_MAX];
    char to[VARVE_SIM_NAME_MAX];
};
size_t varve_sim_trace_count(const struct varve_sim *sim);
const struct varve_sim_trace_entry *varve_sim_trace_at(const struct varve_sim *sim, size_t i);
const char *varve_sim_class_name(uint32_t op); /* "write" */

/* ---- time --------------------------------------------------------------------------------- */

void varve_sim_clock_set(struct varve_sim *sim, int64_t wall_us, int64_t boot_us);
void varve_sim_clock_advance(struct varve_sim *sim, int64_t us); /* both clocks */
/* A clean reboot: a new boot id, the boot clock from 0, the wall clock `wall_us` later. Every
 * process must have ended. */
void varve_sim_reboot(struct varve_sim *sim, int64_t wall_us);

/* ---- damage: behind the back of the store, durable at once, not counted or traced ---------- */

uint64_t varve_sim_hash(struct varve_sim *sim); /* of all names and contents as reads see them */
int varve_sim_list(struct varve_sim *sim, varve_vfs_list_fn fn, void *ctx); /* sorted */
int64_t varve_sim_size(struct varve_sim *sim, const char *name);
/* Bytes read, fewer at the end of the file. */
int64_t varve_sim_read(struct varve_sim *sim, const char *name, uint64_t offset, void *buffer,
                       size_t size);
/* Overwrites, and extends the file if need be. The file must exist. */
int varve_sim_overwrite(struct varve_sim *sim, const char *name, uint64_t offset, const void *bytes,
                        size_t size);
int varve_sim_flip(struct varve_sim *sim, const char *name, uint64_t bit); /* bit 0: byte 0, 1 */
int varve_sim_truncate(struct varve_sim *sim, const char *name, uint64_t size);
int varve_sim_put(struct varve_sim *sim, const char *name, const void *bytes,
                  size_t size); /* new */
int varve_sim_remove(struct varve_sim *sim, const char *name);
int varve_sim_rename(struct varve_sim *sim, const char *from, const char *to);
/* A file of another machine, replacing one of that name. */
int varve_sim_copy_file(struct varve_sim *to, const char *to_name, struct varve_sim *from,
                        const char *from_name);

#endif
