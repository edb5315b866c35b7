/*
 * test_crash.c - scenarios with the power going at every moment (crash_rig.h says what must hold).
 *
 *     test_crash [--seconds N | --states N] [--scenario NAME] [--seed N]
 *                [--op N [--model N [--state N]]]
 *
 * Without --scenario all of them run in turn, with one seed after the other from VARVE_SEED on (or 1),
 * until the time is over or so many distinct states have been seen (VARVE_FULL=1: 200,000). Small
 * scenarios are crashed at every operation, larger ones at some, chosen by the seed. One pass is a
 * function of its seed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/crash/crash_rig.h"
#include "tests/lib/run_share.h"

static void create_store(struct rig *rig)
{
    rig_open(rig);
    rig_close(rig);
    rig_open(rig);
}

static void create_tables(struct rig *rig)
{
    rig_open(rig);
    rig_tables(rig);
    rig_commit(rig, VARVE_POLICY_DURABLE_EACH, 1);
    rig_close(rig);
}

static void begin(struct rig *rig, uint32_t chance)
{
    const uint32_t wanted = rig->chance;

    rig->chance = 0;
    rig_open(rig);
    rig_tables(rig);
    rig->chance = wanted < chance ? wanted : chance;
}

static void commit_each(struct rig *rig)
{
    begin(rig, 40000);
    rig_commit(rig, VARVE_POLICY_DURABLE_EACH, 6);
    rig_die(rig);
    rig_open(rig);
    rig_commit(rig, VARVE_POLICY_DURABLE_EACH, 2);
}

static void commit_policies(struct rig *rig)
{
    begin(rig, 30000);
    for (int i = 0; i < 10; i++)
        rig_commit(rig, (varve_policy)(1 + varve_rng_below(&rig->rng, 4)), 1);
    rig_wait_durable(rig);
    rig_commit(rig, VARVE_POLICY_OS, 2);
    rig_die(rig);
    rig_open(rig);
    rig_commit(rig, VARVE_POLICY_INTERVAL, 2);
    varve_sim_clock_advance(rig->sim, 200000);
    rig_work(rig, 1000);
    rig_close(rig);
}

static void commit_buffered(struct rig *rig)
{
    rig->policy = varve_rng_below(&rig->rng, 2) == 0 ? VARVE_POLICY_OS : VARVE_POLICY_INTERVAL;
    begin(rig, 20000);
    for (int i = 0; i < 12; i++) {
        rig_commit(rig, (varve_policy)varve_rng_below(&rig->rng, 5), 1);
        if (varve_rng_below(&rig->rng, 4) == 0) {
            varve_sim_clock_advance(rig->sim, 60000);
            rig_work(rig, 500);
        }
    }
    rig_close(rig);
}

static void groups(struct rig *rig)
{
    begin(rig, 30000);
    for (int i = 0; i < 4; i++) {
        rig_commit_group(rig, (varve_policy)(1 + varve_rng_below(&rig->rng, 4)),
                         1 + (uint32_t)varve_rng_below(&rig->rng, 9));
        varve_sim_clock_advance(rig->sim, 30000);
        if (varve_rng_below(&rig->rng, 2) == 0)
            rig_work(rig, 500);
    }
    rig_close(rig);
}

static void segments(struct rig *rig)
{
    rig->pad = 1500;
    begin(rig, 4000);
    for (int i = 0; i < 12; i++) {
        rig_commit_group(rig, (varve_policy)(1 + varve_rng_below(&rig->rng, 4)), 6);
        rig_work(rig, 300);
    }
    rig_close(rig);
}

static void flush(struct rig *rig)
{
    rig->pad = 200;
    begin(rig, 3000);
    for (int round = 0; round < 3; round++) {
        rig_commit_group(rig, VARVE_POLICY_OS, 60); /* an hour: two windows or so */
        rig_flush(rig);
        rig_work(rig, 1000);
        rig_commit(rig, VARVE_POLICY_DURABLE_GROUP, 3);
    }
    rig_die(rig);
    rig_open(rig);
    rig_flush(rig);
    rig_close(rig);
}

static void drop(struct rig *rig)
{
    begin(rig, 12000);
    rig_extra(rig, true);
    rig_commit(rig, VARVE_POLICY_OS, 2);
    rig_flush(rig);
    rig_extra(rig, false);
    rig_commit(rig, VARVE_POLICY_DURABLE_GROUP, 1);
    rig_extra(rig, true);
    rig_work(rig, 1000);
    rig_extra(rig, false);
    rig_work(rig, 1000);
    rig_close(rig);
}

static void recovery(struct rig *rig)
{
    const uint32_t wanted = rig->chance;

    begin(rig, 0);
    rig_commit_group(rig, VARVE_POLICY_DURABLE_GROUP, 5);
    rig_commit(rig, VARVE_POLICY_OS, 4);
    rig_die(rig);
    rig->chance = wanted < 20000 ? wanted : 20000;
    rig_open(rig);
    rig_commit(rig, VARVE_POLICY_OS, 1);
    rig_die(rig);
    rig_open(rig);
    rig_close(rig);
}

/* Every open starts a generation of the manifest. */
static void generations(struct rig *rig)
{
    begin(rig, 5000);
    for (int i = 0; i < 5; i++) {
        rig_commit(rig, VARVE_POLICY_OS, 1);
        rig_close(rig);
        rig_open(rig);
    }
    rig_commit(rig, VARVE_POLICY_DURABLE_EACH, 1);
}

static const struct scenario {
    const char *name;
    void (*run)(struct rig *rig);
} scenarios[] = {
    {"create_store", create_store},
    {"create_tables", create_tables},
    {"commit_each", commit_each},
    {"commit_policies", commit_policies},
    {"commit_buffered", commit_buffered},
    {"groups", groups},
    {"segments", segments},
    {"flush", flush},
    {"drop", drop},
    {"recovery", recovery},
    {"generations", generations},
};

struct wish {
    const char *scenario;
    uint64_t seed, states, op, state;
    int model;
    double seconds;
};

struct totals {
    uint64_t points, states, distinct, refusals, nested, passes;
};

static bool pass(const struct wish *wish, const struct scenario *scenario, uint64_t seed,
                 double deadline, struct varve_heap *heap, struct rig_seen *seen,
                 struct totals *totals)
{
    struct rig rig;

    rig_init(&rig, heap, seen, seed, scenario->name);
    rig.only_op = wish->op;
    rig.deadline = deadline;
    rig.only_model = wish->model;
    rig.only_state = wish->state;
    scenario->run(&rig);
    rig_finish(&rig);
    totals->points += rig.points;
    totals->states += rig.states;
    totals->distinct += rig.distinct;
    totals->refusals += rig.refusals;
    totals->nested += rig.nested;
    totals->passes++;
    return !rig.failed;
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool run(const struct wish *wish)
{
    struct varve_heap heap;
    struct rig_seen seen = {0};
    struct totals totals = {0};
    const double begun = now();
    bool ok = true, more = true;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    for (uint64_t seed = wish->seed; ok && more; seed++) {
        for (size_t i = 0; ok && more && i < sizeof scenarios / sizeof scenarios[0]; i++) {
            if (wish->scenario != NULL && strcmp(wish->scenario, scenarios[i].name) != 0)
                continue;
            const uint64_t before = totals.distinct;
            const double started = now();
            ok = pass(wish, &scenarios[i], seed, begun + wish->seconds, &heap, &seen, &totals);
            if (getenv("VARVE_VERBOSE") != NULL)
                (void)printf("%s, seed %" PRIu64 ": %" PRIu64 " states in %.2f s\n",
                             scenarios[i].name, seed, totals.distinct - before, now() - started);
            more = now() - begun < wish->seconds && totals.distinct < wish->states;
        }
        more = more && wish->op == UINT64_MAX;
    }
    (void)printf("crash: %" PRIu64 " distinct states (%" PRIu64 " looked at, %" PRIu64
                 " within recoveries, %" PRIu64 " refused as they must be) at %" PRIu64
                 " crash points of %" PRIu64 " runs from seed %" PRIu64 ", %.1f s\n",
                 totals.distinct, totals.states, totals.nested, totals.refusals, totals.points,
                 totals.passes, wish->seed, now() - begun);
    run_share("crash states: %" PRIu64 " distinct, at %" PRIu64 " points, from seed %" PRIu64,
              totals.distinct, totals.points, wish->seed);
    free(seen.slots);
    return ok;
}

int main(int argc, char **argv)
{
    const bool full = run_is_full();
    struct wish wish = {.seed = run_seed(),
                        .states = full ? 200000 : UINT64_MAX,
                        .op = UINT64_MAX,
                        .state = UINT64_MAX,
                        .model = -1,
                        .seconds = full ? 86400 : 50};

    for (int i = 1; i + 1 < argc; i += 2) {
        const uint64_t n = strtoull(argv[i + 1], NULL, 0);
        if (strcmp(argv[i], "--scenario") == 0)
            wish.scenario = argv[i + 1];
        else if (strcmp(argv[i], "--seed") == 0)
            wish.seed = n;
        else if (strcmp(argv[i], "--seconds") == 0)
            wish.seconds = (double)n;
        else if (strcmp(argv[i], "--states") == 0)
            wish.states = n, wish.seconds = 86400;
        else if (strcmp(argv[i], "--op") == 0)
            wish.op = n;
        else if (strcmp(argv[i], "--model") == 0)
            wish.model = (int)n;
        else if (strcmp(argv[i], "--state") == 0)
            wish.state = n;
        else {
            (void)fprintf(stderr, "test_crash: what is %s?\n", argv[i]);
            return 2;
        }
    }
    return run(&wish) ? 0 : 1;
}
