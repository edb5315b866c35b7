/*
 * test_model.c - random operations against the model (oracle.h) and SQLite.
 *
 *     test_model [--disk sim|posix|uring] [--seed N] [--seconds N | --ops N | --steps N]
 *
 * Runs one seed after the other, each for some thousand steps, until so many operations are done or
 * the time is over. --steps runs one seed for so many steps: what a failure prints.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/run_share.h"
#include "tests/model/model_rig.h"

#define STEPS_A_SEED 1500

struct wish {
    uint32_t backend;
    const char *disk;
    uint64_t seed, ops, steps;
    double seconds;
};

struct totals {
    uint64_t seeds, ops, rows, batches, refused, repeated, scans, aggregates, compared, reopens,
        kills, mirrored;
};

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add(struct totals *totals, const struct model_rig *rig)
{
    totals->seeds++;
    totals->ops += rig->ops;
    totals->rows += rig->rows;
    totals->batches += rig->batches;
    totals->refused += rig->refused;
    totals->repeated += rig->repeated;
    totals->scans += rig->scans;
    totals->aggregates += rig->aggregates;
    totals->compared += rig->compared;
    totals->reopens += rig->reopens;
    totals->kills += rig->kills;
    totals->mirrored += rig->mirrored;
}

static bool run_one_seed(const struct wish *wish, uint64_t seed, double until,
                         struct totals *totals)
{
    static const uint64_t enough = STEPS_A_SEED;
    struct model_rig *rig = calloc(1, sizeof *rig);
    const uint64_t steps = wish->steps > 0 ? wish->steps : enough;

    if (rig == NULL)
        abort();
    model_rig_init(rig, seed, wish->backend, NULL);
    while (!rig->failed && rig->step < steps && totals->ops + rig->ops < wish->ops &&
           (rig->step % 64 != 0 || now() < until))
        model_rig_step(rig);
    model_rig_free(rig);
    add(totals, rig);
    if (rig->failed)
        (void)fprintf(stderr,
                      "replay: test_model --disk %s --seed %" PRIu64 " --steps %" PRIu64 "\n",
                      wish->disk, seed, rig->step);
    const bool ok = !rig->failed;
    free(rig);
    return ok;
}

static bool run(const struct wish *wish)
{
    struct totals t = {0};
    const double begun = now();
    bool ok = true;

    for (uint64_t seed = wish->seed; ok; seed++) {
        ok = run_one_seed(wish, seed, begun + wish->seconds, &t);
        if (wish->steps > 0 || t.ops >= wish->ops || now() - begun > wish->seconds)
            break;
    }
    (void)printf("model on %s: %" PRIu64 " operations (%" PRIu64 " rows in %" PRIu64
                 " batches, %" PRIu64 " of them refused, %" PRIu64 " repeats; %" PRIu64
                 " scans, %" PRIu64 " aggregations, %" PRIu64 " rows compared, %" PRIu64
                 " with SQLite too; %" PRIu64 " reopens, %" PRIu64 " after a kill) of %" PRIu64
                 " seeds from %" PRIu64 ", %.1f s\n",
                 wish->disk, t.ops, t.rows, t.batches, t.refused, t.repeated, t.scans, t.aggregates,
                 t.compared, t.mirrored, t.reopens, t.kills, t.seeds, wish->seed, now() - begun);
    run_share("operations against the model on %s: %" PRIu64 ", %" PRIu64
              " reopens, from seed %" PRIu64,
              wish->disk, t.ops, t.reopens, wish->seed);
    return ok;
}

static bool parse(int argc, char **argv, struct wish *wish)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const uint64_t n = strtoull(argv[i + 1], NULL, 0);
        if (strcmp(argv[i], "--seed") == 0)
            wish->seed = n;
        else if (strcmp(argv[i], "--seconds") == 0)
            wish->seconds = (double)n;
        else if (strcmp(argv[i], "--ops") == 0)
            wish->ops = n, wish->seconds = 1e9;
        else if (strcmp(argv[i], "--steps") == 0)
            wish->steps = n, wish->seconds = 1e9;
        else if (strcmp(argv[i], "--disk") == 0) {
            wish->disk = argv[i + 1];
            wish->backend = strcmp(wish->disk, "posix") == 0   ? VARVE_IO_POSIX
                            : strcmp(wish->disk, "uring") == 0 ? VARVE_IO_URING
                                                               : VARVE_IO_AUTO;
        } else {
            return false;
        }
    }
    return argc % 2 == 1;
}

int main(int argc, char **argv)
{
    struct wish wish = {.disk = "sim",
                        .backend = VARVE_IO_AUTO,
                        .seed = run_seed(),
                        .ops = UINT64_MAX,
                        .seconds = 30};

    if (!parse(argc, argv, &wish)) {
        (void)fprintf(stderr, "usage: test_model [--disk sim|posix|uring] [--seed N] "
                              "[--seconds N | --ops N | --steps N]\n");
        return 2;
    }
    return run(&wish) ? 0 : 1;
}
