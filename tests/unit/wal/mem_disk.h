/*
 * mem_disk.h - a small disk in memory for the tests of the log: completion order and failures under
 * the test's control, and crashes that keep or lose each sector that was not made durable.
 *
 * Each file has two contents: `now` (what reads see) and `durable`. A write changes `now` when it is
 * submitted; DSYNC makes its range durable when it completes; a sync makes durable what had
 * completed before it was issued.
 */
#ifndef VARVE_TESTS_MEM_DISK_H
#define VARVE_TESTS_MEM_DISK_H

#include <varve/vfs.h>

#include "storage/base/rng.h"

#define MEM_DISK_FILES 128
#define MEM_DISK_QUEUE 256

enum mem_disk_order {
    MEM_DISK_AT_ONCE = 0, /* the work is done in submit */
    MEM_DISK_HELD = 1,    /* nothing completes until mem_disk_finish() */
    MEM_DISK_RANDOM = 2,  /* reap finishes a random one */
};

enum mem_disk_class {
    MEM_DISK_OPEN = 1,
    MEM_DISK_READ = 2,
    MEM_DISK_WRITE = 4,
    MEM_DISK_SYNC = 8,
    MEM_DISK_STAT = 16,
    MEM_DISK_SYNC_DIR = 32,
    MEM_DISK_SUBMIT = 64,
    MEM_DISK_RANDOM_BYTES = 128,
    MEM_DISK_QUEUE_OPEN = 256,
    MEM_DISK_REAP = 512,
    MEM_DISK_ALLOCATE = 1024,
    MEM_DISK_ANY = 2047,
};

struct varve_file {
    struct mem_disk *disk;
    char name[64];
    bool exists;
    bool poisoned;            /* a sync failed */
    bool direct, read_direct; /* as last opened for writing, for reading */
    uint32_t opened;
    uint8_t *now, *durable;
    uint64_t size;
};

struct mem_disk {
    struct varve_vfs vfs; /* first */
    struct varve_file files[MEM_DISK_FILES];
    struct varve_io *queue[MEM_DISK_QUEUE]; /* submitted */
    bool finished[MEM_DISK_QUEUE];
    uint64_t hashes[MEM_DISK_QUEUE];
    uint32_t n_queue;
    enum mem_disk_order order;
    uint32_t align; /* of direct files; 0: none */
    struct varve_rng rng;
    uint32_t fail_classes; /* the fail_nth-th (from 1) operation of these fails; 0: none */
    uint64_t fail_nth;
    uint64_t fail_times;
    int fail_error;
    uint64_t fired;
    uint64_t paused_us;
    uint64_t torn_us; /* until it has been paused for so long, this page is half written */
    uint64_t torn_page;
    const char *violation; /* a rule of the interface that was broken */
};

void mem_disk_init(struct mem_disk *disk, uint64_t seed);
void mem_disk_free(struct mem_disk *disk);
struct varve_file *mem_disk_file(struct mem_disk *disk, const char *name); /* NULL: none */
/* HELD: let the i-th operation in flight complete, with this result if it is negative; if it is
 * positive, a write is done no further than that. */
void mem_disk_finish(struct mem_disk *disk, uint32_t i, int64_t result);
void mem_disk_fail(struct mem_disk *disk, uint32_t classes, uint64_t nth, uint64_t times,
                   int error);
/* The process died, and with `power` the power: each sector that is not durable is kept or lost as
 * the random numbers say; nothing is in flight any more. */
void mem_disk_crash(struct mem_disk *disk, bool power);
void mem_disk_copy(struct mem_disk *to, const struct mem_disk *from); /* `to` not initialised */

#endif
