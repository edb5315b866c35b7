/*
 * fault_scenarios.c - whole stores on a simulated disk, with the n-th operation or the n-th
 * allocation failing, for every n until the scenario no longer reaches it.
 *
 * After each failure: a call succeeded only if what it promised is there; nothing wrong was read; the
 * store went on or said why not; closed, nothing leaked; opened again, every acknowledged batch is
 * there, whole, and the store works. Where power fails right after, too.
 *
 *     fault_scenarios [SCENARIO]     all n with VARVE_FULL=1, else an even choice of them
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/run_share.h"
#include "tests/lib/store_rig.h"

#define HANG_SECONDS 60u
#define CLASSES 17u        /* of operations, enum varve_sim_class */
#define POINTS_IN_SHARE 7u /* of each scenario and kind of fault, when not all are tried */

enum step_kind {
    STEP_END = 0,
    STEP_OPEN,
    STEP_CLOSE,
    STEP_KILL,
    STEP_CREATE,
    STEP_DROP,
    STEP_ROWS,    /* commit by rows; argument: policy */
    STEP_COLUMNS, /* and by columns */
    STEP_MANY,    /* commit many by columns; argument: how many */
    STEP_FLUSH,
    STEP_WORK,
    STEP_SCAN,
    STEP_AGGREGATE,
    STEP_SNAPSHOT,
    STEP_SCAN_SNAPSHOT,
    STEP_READ_ONLY,
    STEP_VERIFY
};

struct step {
    enum step_kind kind;
    uint32_t table;
    uint32_t argument;
};

struct scenario {
    const char *name;
    struct step steps[28];
};

#define OPEN                                                                                       \
    {                                                                                              \
        STEP_OPEN, 0, 0                                                                            \
    }
#define CLOSE                                                                                      \
    {                                                                                              \
        STEP_CLOSE, 0, 0                                                                           \
    }
#define CREATE                                                                                     \
    {                                                                                              \
        STEP_CREATE, 0, 0                                                                          \
    }
#define ROWS(policy)                                                                               \
    {                                                                                              \
        STEP_ROWS, 0, VARVE_POLICY_##policy                                                        \
    }
#define COLUMNS(policy)                                                                            \
    {                                                                                              \
        STEP_COLUMNS, 0, VARVE_POLICY_##policy                                                     \
    }
#define FLUSH                                                                                      \
    {                                                                                              \
        STEP_FLUSH, 0, 0                                                                           \
    }
#define WORK                                                                                       \
    {                                                                                              \
        STEP_WORK, 0, 0                                                                            \
    }
#define SCAN                                                                                       \
    {                                                                                              \
        STEP_SCAN, 0, 0                                                                            \
    }
#define AGGREGATE                                                                                  \
    {                                                                                              \
        STEP_AGGREGATE, 0, 0                                                                       \
    }

static const struct scenario scenarios[] = {
    {"create_store", {OPEN, CLOSE, OPEN, CLOSE}},
    {"create_tables", {OPEN, CREATE, {STEP_CREATE, 1, 0}, CLOSE, OPEN, SCAN, {STEP_SCAN, 1, 0}}},
    {"rows_each_policy",
     {OPEN, CREATE, ROWS(DURABLE_EACH), ROWS(DURABLE_GROUP), ROWS(INTERVAL), ROWS(OS), SCAN, WORK,
      ROWS(DURABLE_GROUP), AGGREGATE}},
    {"columns_each_policy",
     {OPEN,
      CREATE,
      COLUMNS(OS),
      COLUMNS(INTERVAL),
      COLUMNS(DURABLE_GROUP),
      COLUMNS(DURABLE_EACH),
      WORK,
      SCAN,
      {STEP_MANY, 0, 10},
      AGGREGATE}},
    {"flush",
     {OPEN, CREATE, ROWS(DEFAULT), COLUMNS(DEFAULT), FLUSH, WORK, SCAN, ROWS(DEFAULT), FLUSH, WORK,
      AGGREGATE, SCAN}},
    {"flush_two_tables",
     {OPEN,
      CREATE,
      {STEP_CREATE, 1, 0},
      ROWS(DEFAULT),
      {STEP_ROWS, 1, 0},
      FLUSH,
      {STEP_ROWS, 1, 0},
      ROWS(OS),
      WORK,
      SCAN,
      {STEP_SCAN, 1, 0},
      CLOSE,
      OPEN,
      {STEP_SCAN, 1, 0},
      SCAN}},
    {"segment_switch",
     {OPEN, CREATE, WORK, {STEP_MANY, 0, 60}, WORK, {STEP_MANY, 0, 40}, SCAN, FLUSH, WORK, SCAN}},
    {"generation_switch", /* of the manifest: every open makes one, and so do many edits */
     {OPEN,          CREATE, ROWS(DEFAULT), FLUSH, ROWS(DEFAULT), FLUSH, ROWS(DEFAULT), FLUSH,
      ROWS(DEFAULT), FLUSH,  ROWS(DEFAULT), FLUSH, ROWS(DEFAULT), FLUSH, ROWS(DEFAULT), FLUSH,
      ROWS(DEFAULT), FLUSH,  ROWS(DEFAULT), FLUSH, ROWS(DEFAULT), FLUSH, WORK,          CLOSE,
      OPEN,          SCAN}},
    {"recovery_after_a_kill",
     {OPEN,
      CREATE,
      ROWS(DURABLE_GROUP),
      COLUMNS(OS),
      ROWS(INTERVAL),
      {STEP_KILL, 0, 0},
      OPEN,
      SCAN,
      ROWS(DEFAULT),
      {STEP_KILL, 0, 0},
      OPEN,
      SCAN,
      FLUSH,
      {STEP_KILL, 0, 0},
      OPEN,
      AGGREGATE}},
    {"recovery_of_files_and_log",
     {OPEN,
      CREATE,
      {STEP_MANY, 0, 20},
      FLUSH,
      {STEP_MANY, 0, 5},
      {STEP_KILL, 0, 0},
      OPEN,
      SCAN,
      CLOSE,
      OPEN,
      AGGREGATE}},
    {"scan_memtable_and_files",
     {OPEN,
      CREATE,
      {STEP_MANY, 0, 10},
      FLUSH,
      {STEP_MANY, 0, 10},
      FLUSH,
      COLUMNS(DEFAULT),
      SCAN,
      AGGREGATE,
      CLOSE,
      OPEN,
      SCAN,
      AGGREGATE,
      {STEP_VERIFY, 0, 0}}},
    {"drop_table",
     {OPEN,
      CREATE,
      {STEP_CREATE, 1, 0},
      ROWS(DEFAULT),
      {STEP_ROWS, 1, 0},
      FLUSH,
      {STEP_DROP, 1, 0},
      WORK,
      SCAN,
      {STEP_SCAN, 1, 0},
      ROWS(DEFAULT),
      CLOSE,
      OPEN,
      SCAN,
      {STEP_SCAN, 1, 0},
      {STEP_DROP, 0, 0},
      CLOSE,
      OPEN,
      SCAN}},
    {"read_only_open",
     {OPEN,
      CREATE,
      ROWS(DEFAULT),
      {STEP_READ_ONLY, 0, 0},
      FLUSH,
      ROWS(DEFAULT),
      {STEP_READ_ONLY, 0, 0},
      CLOSE,
      {STEP_READ_ONLY, 0, 0}}},
    {"snapshot_across_a_flush",
     {OPEN,
      CREATE,
      ROWS(DEFAULT),
      COLUMNS(DEFAULT),
      {STEP_SNAPSHOT, 0, 0},
      ROWS(DEFAULT),
      FLUSH,
      WORK,
      {STEP_SCAN_SNAPSHOT, 0, 0},
      SCAN,
      ROWS(DEFAULT),
      FLUSH,
      {STEP_SCAN_SNAPSHOT, 0, 0},
      SCAN}},
};

/* --------------------------------------------------------------------------------- One run */

struct run {
    struct store_rig rig;
    uint32_t next_batch;
    varve_status first; /* error */
};

static varve_status commit_many(struct run *run, const struct step *step)
{
    for (uint32_t i = 0; i < step->argument && run->next_batch < RIG_BATCHES - 8; i++) {
        const varve_status rc =
            rig_commit(&run->rig, step->table, run->next_batch++, VARVE_POLICY_OS, true);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

static varve_status do_step(struct run *run, const struct step *step)
{
    struct store_rig *rig = &run->rig;

    switch (step->kind) {
    case STEP_OPEN:
        return rig_open(rig, VARVE_OPEN_CREATE);
    case STEP_CLOSE:
        rig_close(rig);
        return VARVE_OK;
    case STEP_KILL:
        rig_kill(rig);
        return VARVE_OK;
    case STEP_CREATE:
        return rig_create_table(rig, step->table);
    case STEP_DROP:
        return rig_drop_table(rig, step->table);
    case STEP_ROWS:
    case STEP_COLUMNS:
        return rig_commit(rig, step->table, run->next_batch++, (varve_policy)step->argument,
                          step->kind == STEP_COLUMNS);
    case STEP_MANY:
        return commit_many(run, step);
    case STEP_FLUSH:
        return rig_flush(rig);
    case STEP_WORK:
        return rig_work(rig);
    case STEP_SCAN:
        return rig_scan(rig, step->table);
    case STEP_AGGREGATE:
        return rig_aggregate(rig, step->table);
    case STEP_SNAPSHOT:
        return rig_snapshot(rig);
    case STEP_SCAN_SNAPSHOT:
        return rig_scan_snapshot(rig);
    case STEP_READ_ONLY:
        return rig_read_only(rig);
    case STEP_VERIFY:
        return rig_verify(rig);
    case STEP_END:
        break;
    }
    return VARVE_EINVAL;
}

static void run_steps(struct run *run, const struct scenario *scenario, bool reverts)
{
    for (const struct step *step = scenario->steps; step->kind != STEP_END; step++) {
        const varve_status rc = do_step(run, step);
        if (rc < 0 && run->first == VARVE_OK)
            run->first = rc;
        /* A failed write may leave half of a page that held acknowledged rows before; a failed sync
         * may take back what reads have shown. The store has to say that it failed, or to be gone. */
        if (varve_sim_fault_hits(run->rig.sim) > 0 &&
            (reverts || rig_is_failed(&run->rig) || run->rig.store == NULL))
            rig_lose_soft(&run->rig);
        /* A store that could not be opened is tried again: the fault may be over. */
        if (rc < 0 && step->kind == STEP_OPEN)
            (void)rig_open(&run->rig, VARVE_OPEN_CREATE);
    }
}

/* --------------------------------------------------------------------------------- Kinds of fault */

struct kind {
    const char *name;
    uint32_t classes; /* enum varve_sim_class; 0: allocations */
    int error;
    uint32_t sync_mode;
    bool for_ever;
    bool power; /* and then the power fails */
};

static const struct kind kinds[] = {
    {"no memory once", 0, 0, 0, false, false},
    {"no memory for ever", 0, 0, 0, true, false},
    {"EIO once", VARVE_SIM_ANY, EIO, 0, false, false},
    {"EIO for ever", VARVE_SIM_ANY, EIO, 0, true, false},
    {"ENOSPC once", VARVE_SIM_ANY, ENOSPC, 0, false, false},
    {"ENOSPC for ever",
     VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC | VARVE_SIM_ALLOCATE | VARVE_SIM_OPEN, ENOSPC, 0, true,
     false},
    {"EMFILE once", VARVE_SIM_OPEN, EMFILE, 0, false, false},
    {"EMFILE for ever", VARVE_SIM_OPEN, EMFILE, 0, true, false},
    {"sync fails once", VARVE_SIM_SYNC | VARVE_SIM_SYNC_DIR | VARVE_SIM_WRITE_DSYNC, EIO,
     VARVE_SIM_SYNC_KEEP, false, true},
    {"sync fails for ever", VARVE_SIM_SYNC | VARVE_SIM_SYNC_DIR | VARVE_SIM_WRITE_DSYNC, EIO,
     VARVE_SIM_SYNC_KEEP, true, true},
    {"sync fails once and reverts", VARVE_SIM_SYNC, EIO, VARVE_SIM_SYNC_REVERT, false, true},
    {"write fails once, then power", VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC, EIO, 0, false, true},
};

/* What a run did that can fail. */
struct tally {
    uint64_t operations[CLASSES]; /* by the bit of their class */
    uint64_t allocations;
};

static int tally_operation(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct tally *tally = ctx;

    (void)sim;
    for (uint32_t class = 0; event->phase == VARVE_SIM_BEFORE && class < CLASSES; class ++)
        tally->operations[class] += event->op >> class & 1;
    return 0;
}

struct counts {
    uint64_t points, allocations, failed, unharmed, images;
};

/* A power cut now: what was acknowledged durable must be there. Which of the disk's states are looked at
 * follows from the point alone, so that one that fails can be tried again. */
static void cut_power(struct run *run, uint64_t n, struct counts *counts)
{
    static struct store_rig truth;

    truth = run->rig;
    rig_lose_soft(&truth);
    for (uint32_t model = VARVE_SIM_CRASH_SUBSET; model <= VARVE_SIM_CRASH_REORDER; model++) {
        struct varve_sim_crash_options options;
        struct varve_sim_crash *crash = NULL;
        struct varve_sim *image = NULL;
        varve_sim_crash_options_init(&options, n + model);
        options.model = model;
        options.random = 4;
        if (varve_sim_crash_open(run->rig.sim, &options, &crash) < 0)
            rig_die(&run->rig, "no crash states");
        const uint64_t count = varve_sim_crash_count(crash);
        for (uint64_t k = 0; k < 2; k++) {
            if (varve_sim_crash_at(crash, (n * 7 + k * 3) % count, &image, NULL) < 0)
                continue;
            rig_image_must_be_sound(&truth, image);
            counts->images++;
        }
        varve_sim_crash_close(crash);
    }
}

/* True if the fault struck. `tally` may be NULL. */
static bool try_point(const struct scenario *scenario, const struct kind *kind, uint64_t n,
                      struct counts *counts, struct tally *tally)
{
    static struct run run;

    memset(&run, 0, sizeof run);
    (void)alarm(HANG_SECONDS);
    rig_setup(&run.rig, 11);
    (void)snprintf(run.rig.label, sizeof run.rig.label, "%s: %s at %llu", scenario->name,
                   kind->name, (unsigned long long)n);
    if (kind->classes == 0) {
        fault_init(&run.rig.fault, (long)n - 1, kind->for_ever ? FAULT_FOR_EVER : FAULT_ONCE);
    } else {
        const struct varve_sim_fault fault = {.classes = kind->classes,
                                              .sync_mode = kind->sync_mode,
                                              .nth = n,
                                              .times = kind->for_ever ? UINT64_MAX : 1,
                                              .error = kind->error};
        if (varve_sim_fault_add(run.rig.sim, &fault) < 0)
            rig_die(&run.rig, "no fault");
    }
    const bool reverts = kind->sync_mode == VARVE_SIM_SYNC_REVERT;
    if (tally != NULL && varve_sim_watch(run.rig.sim, tally_operation, tally) < 0)
        rig_die(&run.rig, "no watcher");
    run_steps(&run, scenario, reverts);
    if (tally != NULL) {
        varve_sim_unwatch(run.rig.sim, tally_operation, tally);
        tally->allocations = (uint64_t)fault_calls(&run.rig.fault);
    }
    const bool struck =
        kind->classes == 0 ? fault_fired(&run.rig.fault) : varve_sim_fault_hits(run.rig.sim) > 0;
    if (!struck && run.first < 0)
        rig_die(&run.rig, "a step failed without a fault");
    varve_sim_fault_clear(run.rig.sim);
    if (kind->power && struck)
        cut_power(&run, n, counts);
    rig_close(&run.rig);
    if (reverts)
        rig_lose_soft(&run.rig);
    fault_init(&run.rig.fault, FAULT_NEVER, FAULT_ONCE);
    rig_must_be_sound(&run.rig);
    rig_teardown(&run.rig);
    (void)alarm(0);
    counts->points += struck;
    counts->allocations += struck && kind->classes == 0;
    counts->failed += struck && run.first < 0;
    counts->unharmed += struck && run.first == VARVE_OK;
    return struck;
}

/* How often a fault of a kind can strike in a run that meets none. */
static uint64_t reach(const struct tally *tally, const struct kind *kind)
{
    uint64_t n = 0;

    if (kind->classes == 0)
        return tally->allocations;
    for (uint32_t class = 0; class < CLASSES; class ++)
        n += (kind->classes >> class & 1) != 0 ? tally->operations[class] : 0;
    return n;
}

/* Of each kind of fault every n, or an even choice: from where on says the seed. */
static void run_scenario(const struct scenario *scenario, bool full, struct counts *total)
{
    const struct kind none = {"nothing", VARVE_SIM_ANY, EIO, 0, false, false};
    struct counts counts = {0};
    struct tally tally = {0};

    if (try_point(scenario, &none, UINT64_MAX, &counts, &tally))
        exit(EXIT_FAILURE);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const uint64_t stride = full ? 1 : reach(&tally, &kinds[k]) / POINTS_IN_SHARE + 1;
        for (uint64_t n = 1 + run_seed() % stride; try_point(scenario, &kinds[k], n, &counts, NULL);
             n += stride) {
        }
    }
    printf("%-28s %7llu points: %llu with an error, %llu without; %llu power cuts\n",
           scenario->name, (unsigned long long)counts.points, (unsigned long long)counts.failed,
           (unsigned long long)counts.unharmed, (unsigned long long)counts.images);
    (void)fflush(stdout);
    total->points += counts.points;
    total->allocations += counts.allocations;
    total->images += counts.images;
}

int main(int argc, char **argv)
{
    const bool full = run_is_full();
    struct counts total = {0}, ignored = {0};

    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (argc > 1 && strcmp(argv[1], scenarios[i].name) != 0)
            continue;
        if (argc > 3) { /* one point again: SCENARIO KIND N */
            (void)try_point(&scenarios[i], &kinds[strtoul(argv[2], NULL, 10)],
                            strtoull(argv[3], NULL, 10), &ignored, NULL);
            continue;
        }
        run_scenario(&scenarios[i], full, &total);
    }
    run_share(
        "fault points: %llu allocations and %llu disk operations failed, %llu power cuts after, of "
        "%zu scenarios",
        (unsigned long long)total.allocations,
        (unsigned long long)(total.points - total.allocations), (unsigned long long)total.images,
        sizeof scenarios / sizeof scenarios[0]);
    return EXIT_SUCCESS;
}
