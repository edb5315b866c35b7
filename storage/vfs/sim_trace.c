/*
 * sim_trace.c - around each simulated operation: count it, ask the watchers and the faults, trace
 * it. Also the breaches of the rules that hold whatever is stored.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/base/vec.h"

const char *varve_sim_class_name(uint32_t op)
{
    static const struct {
        uint32_t op;
        const char *name;
    } names[] = {
        {VARVE_SIM_OPEN, "open"},         {VARVE_SIM_READ, "read"},
        {VARVE_SIM_WRITE, "write"},       {VARVE_SIM_WRITE_DSYNC, "write_dsync"},
        {VARVE_SIM_SYNC, "sync"},         {VARVE_SIM_TRUNCATE, "truncate"},
        {VARVE_SIM_ALLOCATE, "allocate"}, {VARVE_SIM_STAT, "stat"},
        {VARVE_SIM_LOCK, "lock"},         {VARVE_SIM_RENAME, "rename"},
        {VARVE_SIM_UNLINK, "unlink"},     {VARVE_SIM_LIST, "list"},
        {VARVE_SIM_SYNC_DIR, "sync_dir"}, {VARVE_SIM_QUEUE, "queue_open"},
        {VARVE_SIM_SUBMIT, "submit"},     {VARVE_SIM_RANDOM, "random"},
        {VARVE_SIM_ADVISE, "advise"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].op == op)
            return names[i].name;
    return "unknown";
}

/* ---- breaches ---- */

void varve_sim_violate(struct varve_sim *sim, const char *message)
{
    if (sim->violations++ == 0)
        (void)snprintf(sim->violation, sizeof sim->violation, "%s", message);
}

void varve_sim_breach(struct varve_sim *sim, const char *rule, const char *name, uint64_t offset)
{
    char message[VARVE_SIM_MESSAGE_SIZE];

    (void)snprintf(message, sizeof message, "operation %" PRIu64 ": %s: %s at %" PRIu64, sim->ops,
                   rule, name, offset);
    varve_sim_violate(sim, message);
}

const char *varve_sim_violation(const struct varve_sim *sim)
{
    return sim->violations == 0 ? NULL : sim->violation;
}

uint64_t varve_sim_violations(const struct varve_sim *sim)
{
    return sim->violations;
}

/* ---- faults ---- */

int varve_sim_fault_add(struct varve_sim *sim, const struct varve_sim_fault *fault)
{
    if (fault->nth == 0 || fault->error <= 0 || memchr(fault->name, 0, sizeof fault->name) == NULL)
        return -EINVAL;
    if (!varve_vec_grow(sim->heap, (void **)&sim->faults, sizeof *sim->faults, sim->fault_count + 1,
                        &sim->fault_capacity))
        return -ENOMEM;
    sim->faults[sim->fault_count++] = *fault;
    return 0;
}

void varve_sim_fault_clear(struct varve_sim *sim)
{
    sim->fault_count = 0;
}

uint64_t varve_sim_fault_hits(const struct varve_sim *sim)
{
    return sim->fault_hits;
}

int varve_sim_fault_nth(struct varve_sim *sim, uint64_t nth, bool for_ever, int error)
{
    const struct varve_sim_fault fault = {
        .classes = VARVE_SIM_ANY,
        .nth = nth,
        .times = for_ever ? UINT64_MAX : 1,
        .error = error,
    };
    return varve_sim_fault_add(sim, &fault);
}

/* True if the fault strikes this operation; counts it in any case. */
static bool fault_strikes(struct varve_sim_fault *fault, const struct varve_sim_event *event)
{
    if ((fault->classes & event->op) == 0)
        return false;
    if (fault->name[0] != 0 && strcmp(fault->name, event->name) != 0)
        return false;
    if (fault->nth > 1) {
        fault->nth--;
        return false;
    }
    if (fault->times == 0)
        return false;
    if (fault->times != UINT64_MAX)
        fault->times--;
    return true;
}

static int ask_faults(struct varve_sim *sim, const struct varve_sim_event *event,
                      uint32_t *ret_sync_mode)
{
    int error = 0;

    for (size_t i = 0; i < sim->fault_count; i++) {
        if (!fault_strikes(&sim->faults[i], event) || error != 0)
            continue;
        error = sim->faults[i].error;
        if (ret_sync_mode != NULL)
            *ret_sync_mode = sim->faults[i].sync_mode;
        sim->fault_hits++;
    }
    return -error;
}

/* ---- watchers ---- */

int varve_sim_watch(struct varve_sim *sim, varve_sim_watch_fn fn, void *ctx)
{
    if (!varve_vec_grow(sim->heap, (void **)&sim->watchers, sizeof *sim->watchers,
                        sim->watcher_count + 1, &sim->watcher_capacity))
        return -ENOMEM;
    sim->watchers[sim->watcher_count++] = (struct varve_sim_watcher){fn, ctx};
    return 0;
}

void varve_sim_unwatch(struct varve_sim *sim, varve_sim_watch_fn fn, void *ctx)
{
    assert(!sim->watching);
    for (size_t i = 0; i < sim->watcher_count; i++)
        if (sim->watchers[i].fn == fn && sim->watchers[i].ctx == ctx) {
            sim->watcher_count--;
            memmove(&sim->watchers[i], &sim->watchers[i + 1],
                    (sim->watcher_count - i) * sizeof *sim->watchers);
            return;
        }
}

static int ask_watchers(struct varve_sim *sim, const struct varve_sim_event *event)
{
    int first = 0;

    sim->watching = true;
    for (size_t i = 0; i < sim->watcher_count; i++) {
        const int rc = sim->watchers[i].fn(sim->watchers[i].ctx, sim, event);
        if (rc < 0 && first == 0)
            first = rc;
    }
    sim->watching = false;
    return first;
}

/* ---- the trace ---- */

static void mix(struct varve_sim *sim, uint64_t value)
{
    sim->trace_hash = varve_mix64(sim->trace_hash ^ value) + 1;
}

static void trace(struct varve_sim *sim, const struct varve_sim_event *event)
{
    mix(sim, (uint64_t)event->phase << 32 | event->op);
    mix(sim, event->index);
    mix(sim, varve_hash64(event->name, strlen(event->name), 1));
    mix(sim, varve_hash64(event->to, strlen(event->to), 2));
    mix(sim, event->offset);
    mix(sim, event->size);
    mix(sim, (uint64_t)event->result);
    mix(sim, (uint64_t)event->pid);
    if (event->bytes != NULL && event->phase == VARVE_SIM_BEFORE)
        mix(sim, varve_hash64(event->bytes, (size_t)event->size, 3));

    if (!sim->options.keep_trace)
        return;
    if (!varve_vec_grow(sim->heap, (void **)&sim->trace, sizeof *sim->trace, sim->trace_count + 1,
                        &sim->trace_capacity)) {
        varve_sim_violate(sim, "no memory for the trace");
        return;
    }
    struct varve_sim_trace_entry *entry = &sim->trace[sim->trace_count++];
    *entry = (struct varve_sim_trace_entry){
        .index = event->index,
        .op = event->op,
        .phase = event->phase,
        .offset = event->offset,
        .size = event->size,
        .result = event->result,
        .pid = event->pid,
    };
    (void)snprintf(entry->name, sizeof entry->name, "%s", event->name);
    (void)snprintf(entry->to, sizeof entry->to, "%s", event->to);
}

int varve_sim_begin(struct varve_sim *sim, struct varve_sim_event *event, uint32_t *ret_sync_mode)
{
    assert(!sim->watching); /* a watcher looks and does not touch */
    event->index = ++sim->ops;
    event->phase = VARVE_SIM_BEFORE;
    varve_sim_clock_advance(sim, sim->options.op_us);
    trace(sim, event);
    const int refused = ask_watchers(sim, event);
    const int failed = ask_faults(sim, event, ret_sync_mode);
    return refused != 0 ? refused : failed;
}

int64_t varve_sim_end(struct varve_sim *sim, struct varve_sim_event *event, int64_t result)
{
    event->phase = VARVE_SIM_AFTER;
    event->result = result;
    trace(sim, event);
    (void)ask_watchers(sim, event); /* afterwards there is nothing left to refuse */
    return result;
}

uint64_t varve_sim_ops(const struct varve_sim *sim)
{
    return sim->ops;
}

uint64_t varve_sim_trace_hash(const struct varve_sim *sim)
{
    return sim->trace_hash;
}

size_t varve_sim_trace_count(const struct varve_sim *sim)
{
    return sim->trace_count;
}

const struct varve_sim_trace_entry *varve_sim_trace_at(const struct varve_sim *sim, size_t i)
{
    assert(i < sim->trace_count);
    return &sim->trace[i];
}
