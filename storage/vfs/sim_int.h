/*
 * sim_int.h - what the files of the simulated disk share. Private to storage/vfs; the model and its
 * rules S1 to S7 are in vfs_sim.h.
 *
 *     vfs_sim.c      the operations of struct varve_vfs, processes, locks, the clock
 *     sim_queue.c    asynchronous operations
 *     sim_trace.c    around each operation: watchers, faults, trace, the rules that always hold
 *     sim_pending.c  inodes, directories, and what is not durable yet
 *     sim_content.c  the bytes of a file as shared pages
 *     sim_crash.c    the states that a crash may leave
 *     sim_damage.c   copies of the machine, and changes behind the store's back
 *
 * Invariants
 *   I1  A page with more than one reference never changes.
 *   I2  In a content at rest, bytes at and beyond `size` are zero and pages beyond it absent.
 *   I3  `durable` of an inode plus all its pending operations that are neither in flight nor lost, in
 *       order, gives `now` (unless a sync failed with VARVE_SIM_SYNC_REVERT).
 *   I4  No pending operation, applied to `durable`, changes a byte that a later operation has made
 *       durable: making an operation durable takes its range out of those before it.
 */
#ifndef VARVE_VFS_SIM_INT_H
#define VARVE_VFS_SIM_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/base/rng.h"
#include "storage/vfs/vfs_sim.h"

#define VARVE_SIM_PAGE_SIZE 4096u
#define VARVE_SIM_SECTOR_SIZE 512u
#define VARVE_SIM_FILE_MAX ((uint64_t)1 << 40) /* a larger file is EFBIG */
#define VARVE_SIM_MESSAGE_SIZE 256

struct varve_sim_page {
    uint32_t refs;
    bool hashed; /* `hash` is that of `bytes` */
    uint64_t hash;
    uint8_t bytes[VARVE_SIM_PAGE_SIZE];
};

struct varve_sim_content {
    struct varve_sim_page **pages; /* NULL: a hole, reads as zero */
    size_t count;
    size_t capacity;
    uint64_t size;
};

struct varve_sim_lock {
    uint64_t start, last;
    const struct varve_sim_file *owner;
    bool exclusive;
};

struct varve_sim_inode {
    struct varve_sim_inode *next, *prev; /* in varve_sim.inodes */
    uint64_t id;
    uint32_t refs;    /* directory entries (now, durable), pending entry operations, open files */
    uint32_t links;   /* entries of `now` */
    uint32_t opens;   /* open files */
    uint32_t pending; /* operations on the content in varve_sim's list */
    int64_t sync_failed_pid; /* of the process that saw a sync of it fail; 0: none */
    struct varve_sim_content now;
    struct varve_sim_content durable;
    struct varve_sim_lock *locks;
    size_t lock_count, lock_capacity;
    /* Scratch of clone and crash. */
    struct varve_sim_inode *copy; /* this inode in the new machine */
    uint64_t grown_size;          /* with the pending operations so far */
    uint32_t group;               /* of operations that keep their order; 0: none yet */
    bool reachable;               /* a crash can leave an entry for it */
};

enum varve_sim_kind {
    VARVE_SIM_OP_WRITE = 1,
    VARVE_SIM_OP_TRUNCATE = 2,
    VARVE_SIM_OP_ALLOCATE = 3,
    VARVE_SIM_OP_CREATE = 4, /* entry operations from here on */
    VARVE_SIM_OP_RENAME = 5,
    VARVE_SIM_OP_UNLINK = 6
};

/* An operation that is not durable yet. */
struct varve_sim_op {
    struct varve_sim_op *next, *prev;
    struct varve_sim_inode *inode;
    const struct varve_sim_process *owner; /* of an operation in flight */
    uint32_t kind;
    bool in_flight;
    bool lost;                     /* a failed sync should have covered it */
    uint64_t done_seq;             /* varve_sim.completions when it completed; 0: in flight */
    uint64_t offset;               /* writes */
    uint64_t size;                 /* writes: bytes; truncate and allocate: of the file */
    struct varve_sim_page **pages; /* writes: the pages it touches, valid within the range only */
    size_t page_count;
    size_t page_capacity; /* what was allocated; pages may start inside after clipping */
    struct varve_sim_page **page_block;
    char name[VARVE_SIM_NAME_MAX];
    char to[VARVE_SIM_NAME_MAX]; /* rename */
};

struct varve_sim_entry {
    char name[VARVE_SIM_NAME_MAX];
    struct varve_sim_inode *inode;
};

struct varve_sim_dir {
    struct varve_sim_entry *entries;
    size_t count, capacity;
};

struct varve_sim_file {
    struct varve_sim_file *next, *prev; /* in the process's list */
    struct varve_sim_process *process;
    struct varve_sim_inode *inode;
    uint32_t flags;
    uint32_t in_flight;
    bool closed; /* against the rule, with operations in flight: freed after the last */
    char name[VARVE_SIM_NAME_MAX];
};

struct varve_sim_process {
    struct varve_vfs base;
    struct varve_sim *sim;
    struct varve_sim_process *next, *prev;
    struct varve_sim_file *files;
    struct varve_sim_queue *queues;
    int64_t pid;
    bool killed;
    int dir_error; /* of the sync_dir that failed */
};

struct varve_sim_watcher {
    varve_sim_watch_fn fn;
    void *ctx;
};

struct varve_sim {
    struct varve_heap *heap;
    struct varve_sim_options options;
    struct varve_rng rng;
    uint64_t ops;
    uint64_t completions; /* counts completed operations on contents */
    uint64_t changes;     /* counts everything a crash could see */
    uint64_t boots;
    uint64_t next_inode;
    int64_t next_pid;
    int64_t wall_us, boot_us;

    struct varve_sim_dir now, durable;
    struct varve_sim_inode *inodes;
    struct varve_sim_op *first, *last;
    struct varve_sim_page *zero; /* stands for what is reserved and not written */
    struct varve_sim_process *processes;

    struct varve_sim_fault *faults;
    size_t fault_count, fault_capacity;
    uint64_t fault_hits;
    struct varve_sim_watcher *watchers;
    size_t watcher_count, watcher_capacity;
    bool watching; /* a watcher is being called */
    struct varve_sim_trace_entry *trace;
    size_t trace_count, trace_capacity;
    uint64_t trace_hash;
    uint64_t violations;
    char violation[VARVE_SIM_MESSAGE_SIZE];
};

/* ---- sim_content.c ---- */
struct varve_sim_page *varve_sim_page_create(struct varve_heap *heap); /* zeros */
void varve_sim_page_unref(struct varve_heap *heap, struct varve_sim_page *page);
void varve_sim_content_free(struct varve_heap *heap, struct varve_sim_content *content);
int varve_sim_content_copy(struct varve_heap *heap, struct varve_sim_content *to,
                           const struct varve_sim_content *from); /* `to` is empty */
/* Put bytes [from, to) of `page` into page `i`. The size stays: see I2. */
int varve_sim_content_put(struct varve_heap *heap, struct varve_sim_content *content, size_t i,
                          struct varve_sim_page *page, uint32_t from, uint32_t to);
int varve_sim_content_fill(struct varve_heap *heap, struct varve_sim_content *content,
                           uint64_t offset, const uint8_t *bytes, size_t size);
/* Change the size, and bring I2 about. */
int varve_sim_content_resize(struct varve_heap *heap, struct varve_sim_content *content,
                             uint64_t size);
/* Let holes below `size` be `zero`. */
int varve_sim_content_reserve(struct varve_heap *heap, struct varve_sim_content *content,
                              uint64_t size, struct varve_sim_page *zero);
size_t varve_sim_content_read(const struct varve_sim_content *content, uint64_t offset,
                              void *buffer, size_t size);
uint64_t varve_sim_content_pages(const struct varve_sim_content *content); /* that are no holes */
/* How many holes a write to [offset, offset + size) would fill. */
uint64_t varve_sim_content_holes(const struct varve_sim_content *content, uint64_t offset,
                                 uint64_t size);
uint64_t varve_sim_content_hash(const struct varve_sim_content *content,
                                struct varve_sim_page *zero);

/* ---- sim_pending.c ---- */
struct varve_sim_inode *varve_sim_inode_create(struct varve_sim *sim); /* one reference */
void varve_sim_inode_unref(struct varve_sim *sim, struct varve_sim_inode *inode);
struct varve_sim_inode *varve_sim_dir_find(const struct varve_sim_dir *dir, const char *name);
/* Point `name` at `inode`, replacing what it was. */
int varve_sim_dir_set(struct varve_sim *sim, struct varve_sim_dir *dir, const char *name,
                      struct varve_sim_inode *inode);
void varve_sim_dir_remove(struct varve_sim *sim, struct varve_sim_dir *dir, const char *name);
void varve_sim_dir_free(struct varve_sim *sim, struct varve_sim_dir *dir);

bool varve_sim_op_is_entry(const struct varve_sim_op *op);
/* A write captured from `bytes`; in flight until varve_sim_op_complete(). */
int varve_sim_op_write(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t offset,
                       const void *bytes, uint64_t size, struct varve_sim_op **ret_op);
int varve_sim_op_size(struct varve_sim *sim, uint32_t kind, struct varve_sim_inode *inode,
                      uint64_t size, struct varve_sim_op **ret_op);
int varve_sim_op_entry(struct varve_sim *sim, uint32_t kind, const char *name, const char *to,
                       struct varve_sim_inode *inode, struct varve_sim_op **ret_op);
int varve_sim_op_copy(struct varve_sim *sim, const struct varve_sim_op *op,
                      struct varve_sim_inode *inode);
void varve_sim_op_drop(struct varve_sim *sim, struct varve_sim_op *op);
/* Let the operation take effect in `now`; it stays pending. */
int varve_sim_op_complete(struct varve_sim *sim, struct varve_sim_op *op);
/* Its effect on a content or directory, as a whole. */
int varve_sim_op_apply(struct varve_sim *sim, const struct varve_sim_op *op,
                       struct varve_sim_content *content);
int varve_sim_op_apply_entry(struct varve_sim *sim, const struct varve_sim_op *op,
                             struct varve_sim_dir *dir);
/* Make it durable; it is pending no more. */
int varve_sim_op_commit(struct varve_sim *sim, struct varve_sim_op *op);
/* S1, S3, S6. `seq`: what had completed then. */
int varve_sim_sync_inode(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t seq);
int varve_sim_sync_entries(struct varve_sim *sim);
int varve_sim_lose_inode(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t seq,
                         uint32_t sync_mode);
void varve_sim_lose_entries(struct varve_sim *sim);

/* ---- sim_trace.c ---- */
/* Before an operation: counts it, advances the clock, asks watchers and faults. 0 or the errno that
 * it fails with; *ret_sync_mode (may be NULL) is the fault's. */
int varve_sim_begin(struct varve_sim *sim, struct varve_sim_event *event, uint32_t *ret_sync_mode);
/* After it: traces it and tells the watchers. Returns `result`. */
int64_t varve_sim_end(struct varve_sim *sim, struct varve_sim_event *event, int64_t result);
void varve_sim_breach(struct varve_sim *sim, const char *rule, const char *name, uint64_t offset);

/* ---- vfs_sim.c ---- */
/* `zero` may be NULL, else it is shared. NULL: no memory. */
struct varve_sim *varve_sim_new(const struct varve_sim_options *options,
                                struct varve_sim_page *zero);
struct varve_sim_process *varve_sim_process_of(struct varve_vfs *vfs);
struct varve_sim_file *varve_sim_file_of(struct varve_file *file);
struct varve_sim_event varve_sim_event_of(const struct varve_sim_file *file, uint32_t op);
void varve_sim_file_free(struct varve_sim_file *file);
/* Before a write to `inode`: how much of `size` fits. */
uint64_t varve_sim_room(const struct varve_sim *sim, const struct varve_sim_inode *inode,
                        uint64_t offset, uint64_t size);
/* The size of the first part if this write is to be two operations, else 0. */
uint64_t varve_sim_split(struct varve_sim *sim, uint64_t size);
/* A failed write of `size` bytes: how many of them it wrote all the same (S7). */
uint64_t varve_sim_partial(struct varve_sim *sim, uint64_t size);
/* -EINVAL unless the transfer meets the alignment of a DIRECT file. */
int varve_sim_check_direct(const struct varve_sim_file *file, const void *buffer, uint64_t size,
                           uint64_t offset);
/* The rule about failed syncs. */
void varve_sim_check_written(struct varve_sim *sim, const struct varve_sim_file *file);

/* ---- sim_queue.c ---- */
int varve_sim_queue_open(struct varve_vfs *vfs, uint32_t depth, struct varve_io_queue **ret_queue);
void varve_sim_queue_close(struct varve_io_queue *queue);
int varve_sim_submit(struct varve_io_queue *queue, struct varve_io **ios, uint32_t n);
int varve_sim_reap(struct varve_io_queue *queue, struct varve_io **out, uint32_t max, uint32_t wait,
                   uint64_t timeout_us);
void varve_sim_queue_free(struct varve_sim_queue *queue); /* without a look at what is in flight */
bool varve_sim_overlaps_in_flight(const struct varve_sim *sim, const struct varve_sim_inode *inode,
                                  uint64_t offset, uint64_t size);
/* Resolve an operation in flight as a process death does: true if it reaches the page cache. */
bool varve_sim_survives(const struct varve_sim *sim, const struct varve_sim_op *op);

#endif
