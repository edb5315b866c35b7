/*
 * rig_check.c - a store on a crash image: does it hold what was promised, and go on?
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash_rig.h"

/* ------------------------------------------------------------------------------- Images seen */

static struct rig_found *seen_slot(struct rig_seen *seen, uint64_t hash)
{
    uint64_t at = hash & (seen->n_slots - 1);

    while (seen->slots[at].hash != 0 && seen->slots[at].hash != hash)
        at = (at + 1) & (seen->n_slots - 1);
    return &seen->slots[at];
}

static struct rig_found *seen_get(struct rig_seen *seen, uint64_t hash)
{
    if (2 * seen->n >= seen->n_slots) {
        struct rig_seen more = {.n_slots = seen->n_slots == 0 ? 4096 : seen->n_slots * 2,
                                .n = seen->n};
        more.slots = calloc(more.n_slots, sizeof *more.slots);
        if (more.slots == NULL)
            abort();
        for (uint64_t i = 0; i < seen->n_slots; i++)
            if (seen->slots[i].hash != 0)
                *seen_slot(&more, seen->slots[i].hash) = seen->slots[i];
        free(seen->slots);
        *seen = more;
    }
    return seen_slot(seen, hash);
}

/* ------------------------------------------------------------------------------- One opening */

/* The store on an image, open. */
struct opening {
    struct rig *rig;
    struct varve_vfs *vfs;
    varve_store *store;
    struct numbered numbered;
    const char *replay;
    const char *when;
};

static bool broken(const struct opening *o, const char *what, const char *detail)
{
    rig_fail(o->rig, "%s (%s): %s\n  replay: %s", what, o->when, detail, o->replay);
    return false;
}

static void leave(struct opening *o)
{
    varve_close(o->store);
    if (o->vfs != NULL)
        o->vfs->ops->destroy(o->vfs);
    o->store = NULL;
    o->vfs = NULL;
}

static varve_status enter(struct opening *o, struct varve_sim *image, uint32_t flags, uint32_t tail,
                          const char *when, varve_error *err)
{
    varve_options options;

    o->when = when;
    if (varve_sim_attach(image, &o->vfs) < 0)
        abort();
    rig_options(o->rig, o->vfs, &options);
    options.flags = flags;
    options.wal_tail = tail;
    const varve_status rc = varve_open("sim", &options, &o->store, err);
    if (rc < 0) {
        o->vfs->ops->destroy(o->vfs);
        o->vfs = NULL;
        o->store = NULL;
    }
    return rc;
}

/* Read everything. */
static bool look(struct opening *o, struct rig_found *found)
{
    varve_error err = {0};
    varve_table *extra;
    char why[256];

    found->store = RIG_YES;
    const varve_status rc = numbered_open(o->store, o->rig->pad, &o->numbered, &err);
    found->tables = rc == VARVE_OK ? RIG_YES : RIG_NO;
    found->count = 0;
    if (rc == VARVE_OK) {
        found->count = numbered_count(o->store, &o->numbered, why);
        if (found->count == NUMBERED_BROKEN)
            return broken(o, "the store is not right", why);
    }
    found->extra = varve_table_open(o->store, "c", &extra, &err) == VARVE_OK ? RIG_YES : RIG_NO;
    return true;
}

static bool agrees(uint8_t promised, uint8_t found)
{
    return promised == RIG_PERHAPS || promised == found;
}

static bool keeps(const struct opening *o, const struct rig_promise *promise,
                  const struct rig_found *found)
{
    char text[160];

    if (found->refused)
        return true; /* without counting on what cannot be read */
    if (!agrees(promise->store, found->store) || !agrees(promise->tables, found->tables) ||
        !agrees(promise->extra, found->extra)) {
        (void)snprintf(text, sizeof text, "store %u of %u, tables %u of %u, extra table %u of %u",
                       found->store, promise->store, found->tables, promise->tables, found->extra,
                       promise->extra);
        return broken(o, "what was created or dropped is not so", text);
    }
    if (found->count < promise->durable || found->count > promise->started) {
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " batches of %" PRIu64 " durable and %" PRIu64 " started",
                       found->count, promise->durable, promise->started);
        return broken(o, "acknowledged batches are lost, or there are too many", text);
    }
    return true;
}

/* A further batch, durable. */
static bool go_on(struct opening *o, uint64_t number)
{
    varve_error err = {0};
    varve_batch *batch = NULL;
    varve_status rc = VARVE_OK;

    if (o->numbered.a == NULL || o->numbered.b == NULL) {
        rc = numbered_create(o->store, &err);
        if (rc == VARVE_EEXISTS) /* only the first of the two got through */
            rc = varve_table_create(
                o->store,
                "CREATE TABLE b (p int, ts timestamp, seq int, batch_no bigint, n "
                "int, hash bigint, pad text, PRIMARY KEY (p, ts, seq)) WITH "
                "duplicates = 'keep'",
                &err);
        if (rc == VARVE_OK)
            rc = numbered_open(o->store, o->rig->pad, &o->numbered, &err);
    }
    if (rc == VARVE_OK)
        rc = varve_batch_new(o->store, &batch, &err);
    if (rc == VARVE_OK)
        rc = numbered_put(&o->numbered, batch, number, &err);
    if (rc == VARVE_OK)
        rc = varve_commit(o->store, batch, VARVE_POLICY_DURABLE_GROUP, NULL, &err);
    varve_batch_free(batch);
    return rc == VARVE_OK || broken(o, "it does not go on", err.message);
}

static bool same_again(struct opening *o, struct varve_sim *image, const struct rig_found *before,
                       uint64_t count, const char *when)
{
    varve_error err = {0};
    struct rig_found now = {0};

    if (enter(o, image, 0, VARVE_WAL_TAIL_STRICT, when, &err) < 0)
        return broken(o, "it does not open again", err.message);
    if (!look(o, &now))
        return false;
    if (now.count != count || (now.tables != before->tables && count == before->count) ||
        now.extra != before->extra)
        return broken(o, "it is not the same", "counts or tables differ");
    return true;
}

static void report_verify(void *ctx, const varve_error *problem)
{
    varve_error *first = ctx;

    if (first->status == VARVE_OK)
        *first = *problem;
}

/* Everything that is required of a store that opened. */
static bool live_on(struct opening *o, struct varve_sim *image, const struct rig_found *found)
{
    varve_error err = {0}, problem = {0};

    varve_sim_kill(o->vfs); /* the second opening finds what the first one left at once */
    leave(o);
    bool ok = same_again(o, image, found, found->count, "second opening");
    if (ok && varve_verify(o->store, report_verify, &problem, NULL, NULL, &err) != VARVE_OK)
        ok = broken(o, "it does not verify",
                    problem.message[0] != 0 ? problem.message : err.message);
    ok = ok && go_on(o, found->count);
    leave(o);
    ok = ok && same_again(o, image, found, found->count + 1, "third opening");
    if (ok && o->vfs != NULL && varve_sim_violation(image) != NULL)
        ok = broken(o, "an ordering rule is broken", varve_sim_violation(image));
    leave(o);
    return ok;
}

/* -------------------------------------------------------------------- A crash inside recovery */

/*
 * Recover once more under a rig of its own, which takes a few crash points of it. What recovery
 * found without them is what it must find with them; after a mere process death, of which the disk
 * has not seen everything, at least the part of it that is durable.
 */
static bool crash_inside(struct rig *rig, struct varve_sim *copy, const struct rig_found *found,
                         const struct rig_promise *durable)
{
    struct rig inner = *rig;
    varve_error err = {0};
    varve_options options;

    inner.sim = copy;
    inner.depth = 1;
    inner.random = 2;
    inner.chance = 8000;
    inner.promise = (struct rig_promise){.started = found->count,
                                         .acked = found->count,
                                         .durable = found->count,
                                         .store = found->store,
                                         .tables = found->tables,
                                         .extra = found->extra};
    if (found->store == RIG_NO)
        inner.promise.store = RIG_PERHAPS;
    if (durable != NULL) {
        inner.promise = *durable;
        inner.promise.started = inner.promise.acked = found->count;
    }
    inner.failed = false;
    inner.busy = false;
    inner.store = NULL;
    inner.batch = NULL;
    inner.only_op = UINT64_MAX;
    inner.only_model = -1;
    inner.only_state = UINT64_MAX;
    inner.points = inner.states = inner.distinct = inner.refusals = inner.nested = 0;
    varve_rng_seed(&inner.choice, rig->seed ^ found->hash);
    inner.order = ordering_watch(copy, rig->order, 1);
    rig_watch_points(&inner);
    if (varve_sim_attach(copy, &inner.vfs) < 0)
        abort();
    rig_options(&inner, inner.vfs, &options);
    options.flags = inner.promise.store == RIG_YES ? 0 : VARVE_OPEN_CREATE;
    (void)varve_open("sim", &options, &inner.store, &err); /* checked where it is not watched */
    inner.busy = true;
    varve_close(inner.store);
    inner.vfs->ops->destroy(inner.vfs);
    if (!inner.failed && varve_sim_violation(copy) != NULL)
        rig_fail(&inner, "an ordering rule is broken in recovery: %s", varve_sim_violation(copy));
    ordering_end(inner.order);
    rig->states += inner.states;
    rig->distinct += inner.distinct;
    rig->refusals += inner.refusals;
    rig->nested += inner.states;
    rig->failed |= inner.failed;
    return !inner.failed;
}

/* ---------------------------------------------------------------------------------- The check */

/* A refusal where bytes were lost and garbage shows: it must say where, and a cut must help. */
static bool refused_rightly(struct opening *o, struct varve_sim *image,
                            const struct rig_promise *promise, const varve_error *why)
{
    varve_error err = {0};
    struct rig_found found = {0};

    if (why->status != VARVE_ECORRUPT || why->file[0] == 0 ||
        (strstr(why->file, ".wal") != NULL && why->lsn == UINT64_MAX))
        return broken(o, "it refuses without saying where", why->message);
    if (strstr(why->file, ".wal") == NULL)
        return broken(o, "it refuses", why->message);
    if (enter(o, image, 0, VARVE_WAL_TAIL_CUT, "opening with a cut", &err) < 0)
        return broken(o, "it refuses to cut", err.message);
    const bool ok = look(o, &found) && keeps(o, promise, &found);
    leave(o);
    return ok;
}

bool rig_check_image(struct rig *rig, struct varve_sim *image, const struct rig_promise *promise,
                     uint64_t hash, bool garbage, const char *replay)
{
    struct opening o = {.rig = rig, .replay = replay, .when = "first opening"};
    struct rig_found *known = seen_get(rig->seen, hash), found = {.hash = hash};
    varve_error err = {0};

    rig->states++;
    if (known->hash != 0)
        return keeps(&o, promise, known);
    rig->distinct++;
    struct varve_sim *before = NULL;
    if (rig->depth == 0 && (hash ^ rig->seed) % 20 == 0 && varve_sim_clone(image, &before) < 0)
        abort();
    bool ok = true, made = false;
    const bool death =
        promise != &rig->promise; /* what was written and not synced is still there */
    varve_status rc = enter(&o, image, 0, VARVE_WAL_TAIL_STRICT, "first opening", &err);
    if (rc == VARVE_ENOTFOUND && promise->store != RIG_YES) {
        made = true;
        rc = enter(&o, image, VARVE_OPEN_CREATE, VARVE_WAL_TAIL_STRICT, "creation", &err);
    }
    if (rc < 0) {
        found.refused = garbage;
        rig->refusals++;
        ok = garbage ? refused_rightly(&o, image, promise, &err)
                     : broken(&o, "it does not open", err.message);
    } else {
        ok = look(&o, &found);
        found.store = made ? RIG_NO : RIG_YES;
        ok = ok && keeps(&o, promise, &found) && live_on(&o, image, &found);
        leave(&o);
    }
    *seen_get(rig->seen, hash) = found;
    rig->seen->n++;
    if (ok && before != NULL && !found.refused &&
        !crash_inside(rig, before, &found, death ? &rig->promise : NULL)) {
        (void)fprintf(stderr, "  in the recovery of: %s\n", replay);
        ok = false;
    }
    varve_sim_destroy(before);
    return ok;
}
