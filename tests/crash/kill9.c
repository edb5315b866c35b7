/*
 * kill9.c - processes that write are killed; what they were told is durable must be there.
 *
 *     kill9 [--cycles N] [--seed N] [--disk posix|uring|both]
 *
 * A child opens the store, commits numbered batches under all policies, alone and several in
 * flight, with background threads, and says through a pipe what was acknowledged. The parent kills
 * it (SIGKILL) at a random moment, opens the store itself, and requires every acknowledged batch,
 * whatever its policy (the page cache survives a process), and no batch in part. The store of one
 * seed lives on from cycle to cycle.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <varve/varve.h>

#include "storage/base/rng.h"
#include "tests/lib/numbered.h"
#include "tests/lib/run_share.h"
#include "tests/lib/scratch.h"

#define PAD 300u
#define LIFE_US_MAX 10000u
#define IN_FLIGHT 12u
#define BATCHES_A_STORE 4000u /* then begin with an empty one: counting takes time */

static void options_of(uint32_t backend, uint64_t draw, varve_options *options)
{
    varve_options_init(options, sizeof *options);
    options->flags = VARVE_OPEN_CREATE;
    options->io_backend = backend;
    options->policy = 1 + (uint32_t)(draw % 4);
    options->interval_ms = 5;
    options->background_threads = 1 + (uint32_t)(draw / 4 % 2);
    options->memory_limit = 16u << 20;
    options->memtable_bytes = 128u << 10;
    options->max_wal_bytes = 1u << 20;
    options->wal_segment_bytes = 64u << 10;
    options->row_group_rows = 1024;
    options->window_seconds = 3600;
}

/* ------------------------------------------------------------------------------------ The child */

_Noreturn static void child_fails(const char *what, const varve_error *err)
{
    (void)fprintf(stderr, "kill9: child: %s: %s\n", what, err->message);
    _exit(3);
}

/* `count` batches are acknowledged: one whole write of the pipe. */
static void say(int pipe_fd, uint64_t count)
{
    if (write(pipe_fd, &count, sizeof count) != (ssize_t)sizeof count)
        _exit(4);
}

static void several(varve_store *store, const struct numbered *numbered, uint64_t *next, int fd,
                    varve_policy policy)
{
    varve_completion done[IN_FLIGHT];
    varve_error err = {0};
    uint64_t started = *next;

    for (unsigned i = 0; i < IN_FLIGHT; i++, started++) {
        varve_batch *batch = NULL;
        if (varve_batch_new(store, &batch, &err) < 0 ||
            numbered_put(numbered, batch, started, &err) < 0)
            child_fails("put", &err);
        varve_status rc;
        while ((rc = varve_commit_start(store, batch, policy, started, &err)) == VARVE_EAGAIN)
            (void)usleep(50);
        if (rc < 0)
            child_fails("start", &err);
    }
    while (*next < started) {
        const uint32_t n = varve_commit_reap(store, done, IN_FLIGHT);
        for (uint32_t i = 0; i < n; i++) {
            if (done[i].status < 0 || done[i].tag != *next)
                child_fails(varve_status_name(done[i].status), &err);
            varve_batch_free(done[i].batch);
            say(fd, ++*next);
        }
    }
}

_Noreturn static void child(const char *path, const varve_options *options, uint64_t seed, int fd)
{
    varve_store *store = NULL;
    varve_batch *batch = NULL;
    struct numbered numbered;
    varve_error err = {0};
    struct varve_rng rng;
    char why[256];

    varve_rng_seed(&rng, seed);
    if (varve_open(path, options, &store, &err) < 0)
        child_fails("open", &err);
    if (numbered_open(store, PAD, &numbered, &err) < 0 || varve_batch_new(store, &batch, &err) < 0)
        child_fails("tables", &err);
    uint64_t next = numbered_count(store, &numbered, why);
    if (next == NUMBERED_BROKEN)
        child_fails(why, &err);
    say(fd, next);
    for (;;) {
        const varve_policy policy = (varve_policy)varve_rng_below(&rng, 5);
        const uint64_t kind = varve_rng_below(&rng, 20);
        if (kind < 3) {
            several(store, &numbered, &next, fd, policy);
        } else if (kind == 3 && varve_flush(store, &err) < 0) {
            child_fails("flush", &err);
        } else {
            if (numbered_put(&numbered, batch, next, &err) < 0 ||
                varve_commit(store, batch, policy, NULL, &err) < 0)
                child_fails("commit", &err);
            say(fd, ++next);
        }
    }
}

/* ----------------------------------------------------------------------------------- The parent */

struct cycle {
    const char *path;
    uint32_t backend;
    uint64_t seed;
    struct varve_rng rng;
    uint64_t acked; /* batches */
    uint64_t kills;
};

static bool fail(const struct cycle *cycle, const char *what, const char *detail)
{
    (void)fprintf(stderr, "FAILED after %" PRIu64 " kills, backend %u, seed %" PRIu64 ": %s: %s\n",
                  cycle->kills, cycle->backend, cycle->seed, what, detail);
    return false;
}

/* The last count that the child said, once it has closed the pipe by dying. */
static uint64_t heard(int fd, uint64_t before)
{
    uint64_t count;

    while (read(fd, &count, sizeof count) == (ssize_t)sizeof count)
        before = count;
    return before;
}

static bool run_child(struct cycle *cycle, const varve_options *options)
{
    int ends[2], status = 0;
    uint64_t first;

    if (pipe(ends) != 0)
        return fail(cycle, "pipe", strerror(errno));
    const uint64_t seed = varve_rng_next(&cycle->rng);
    const pid_t pid = fork();
    if (pid < 0)
        return fail(cycle, "fork", strerror(errno));
    if (pid == 0) {
        (void)close(ends[0]);
        child(cycle->path, options, seed, ends[1]);
    }
    (void)close(ends[1]);
    /* Mostly it may begin to write first; sometimes it dies while it opens. */
    bool said = true;
    if (varve_rng_below(&cycle->rng, 5) != 0)
        said = read(ends[0], &first, sizeof first) == (ssize_t)sizeof first;
    else
        first = cycle->acked;
    /* On a slow machine, let it get somewhere. */
    for (uint64_t more = varve_rng_below(&cycle->rng, 16); said && more > 8; more--)
        said = read(ends[0], &first, sizeof first) == (ssize_t)sizeof first;
    (void)usleep((useconds_t)varve_rng_below(&cycle->rng, LIFE_US_MAX));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    cycle->acked = said ? heard(ends[0], first) : cycle->acked;
    (void)close(ends[0]);
    cycle->kills++;
    if (!said || !WIFSIGNALED(status))
        return fail(cycle, "the child ended by itself", "see above");
    return true;
}

static bool look(struct cycle *cycle, const varve_options *options)
{
    varve_store *store = NULL;
    struct numbered numbered;
    varve_error err = {0};
    char text[256];

    if (varve_open(cycle->path, options, &store, &err) < 0)
        return fail(cycle, "it does not open", err.message);
    varve_status rc = numbered_open(store, PAD, &numbered, &err);
    if (rc == VARVE_ENOTFOUND && cycle->acked == 0) {
        rc = numbered_create(store, &err);
        if (rc == VARVE_OK)
            rc = numbered_open(store, PAD, &numbered, &err);
    }
    const uint64_t count = rc < 0 ? NUMBERED_BROKEN : numbered_count(store, &numbered, text);
    varve_close(store);
    if (rc < 0)
        return fail(cycle, "the tables are not there", err.message);
    if (count == NUMBERED_BROKEN)
        return fail(cycle, "the store is not right", text);
    if (count < cycle->acked) {
        (void)snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64, count, cycle->acked);
        return fail(cycle, "acknowledged batches are lost", text);
    }
    cycle->acked = count; /* what is there now must stay */
    return true;
}

static bool run(uint32_t backend, uint64_t cycles, uint64_t seed)
{
    struct scratch scratch;
    struct cycle cycle = {.path = scratch.path, .backend = backend, .seed = seed};
    uint64_t total = 0;
    bool ok = true;

    scratch_create(&scratch);
    varve_rng_seed(&cycle.rng, seed);
    for (uint64_t i = 0; ok && i < cycles; i++) {
        varve_options options;
        if (cycle.acked > BATCHES_A_STORE) {
            total += cycle.acked;
            cycle.acked = 0;
            scratch_clear(&scratch);
        }
        options_of(backend, varve_rng_next(&cycle.rng), &options);
        if (i == 0 || cycle.acked == 0)
            ok = look(&cycle, &options); /* makes the tables */
        ok = ok && run_child(&cycle, &options) && look(&cycle, &options);
    }
    run_share("kill -9 on %s: %" PRIu64 " of %" PRIu64 " cycles at work, %" PRIu64
              " batches survived, "
              "seed %" PRIu64,
              backend == VARVE_IO_URING ? "uring" : "posix", cycle.kills, cycles,
              total + cycle.acked, seed);
    if (ok)
        scratch_remove(&scratch);
    else
        (void)fprintf(stderr, "the store is left in %s\n", scratch.path);
    return ok;
}

int main(int argc, char **argv)
{
    const char *disk = "both";
    uint64_t cycles = 40, seed = run_seed();

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cycles") == 0)
            cycles = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--disk") == 0)
            disk = argv[i + 1];
        else
            return 2;
    }
    bool ok = true;
    if (strcmp(disk, "uring") != 0)
        ok = run(VARVE_IO_POSIX, (cycles + 1) / 2, seed);
    if (ok && strcmp(disk, "posix") != 0 && VARVE_HAVE_URING)
        ok = run(VARVE_IO_URING, cycles / 2, seed);
    return ok ? 0 : 1;
}
