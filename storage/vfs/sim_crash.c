/*
 * sim_crash.c - every state that a power cut now can leave on the simulated disk: what is durable, and
 * of the pending operations any part that the model allows.
 *
 * The pending operations are divided into units (an operation; or its growth of the file and each of
 * its sectors). A state is a set of kept units; its index names the set, so that a state can be made
 * again from (options, index) alone. Different sets may give equal images; `next` skips those.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/bitmap.h"
#include "storage/base/checksum.h"
#include "storage/base/vec.h"

#define EXHAUSTIVE_MAX 20

struct step { /* a pending operation that can matter */
    const struct varve_sim_op *op;
    size_t first; /* its first unit */
    size_t units;
    bool grows;     /* its first unit is the new size of the file, the others are sectors */
    bool by_sector; /* else it is one unit, kept or lost as a whole */
    uint32_t group; /* model B */
    uint32_t rank;  /* in its group, from 0 */
};

struct view_entry {
    const char *name;
    struct varve_sim_inode *inode;
};

struct varve_sim_crash {
    struct varve_sim *sim;
    struct varve_sim_crash_options options;
    uint64_t changes; /* of the simulation when it was opened */

    struct step *steps;
    size_t step_count, step_capacity;
    size_t units;
    uint32_t *groups; /* model B: operations in each */
    size_t group_count, group_capacity;
    uint64_t count; /* of indices */
    uint64_t next;

    uint64_t *kept;          /* the current state's units */
    struct view_entry *view; /* the current state's directory */
    size_t view_count, view_capacity;
    uint64_t *seen; /* hash table of image hashes; 0: free */
    size_t seen_count, seen_capacity;
};

void varve_sim_crash_options_init(struct varve_sim_crash_options *options, uint64_t seed)
{
    *options = (struct varve_sim_crash_options){
        .model = VARVE_SIM_CRASH_SECTORS,
        .granule = VARVE_SIM_SECTOR_SIZE,
        .hole = VARVE_SIM_HOLE_ZEROS,
        .random = 256,
        .exhaustive = 12,
        .seed = seed,
    };
}

/* ---- units ---- */

static void mark_reachable(struct varve_sim *sim)
{
    for (struct varve_sim_inode *inode = sim->inodes; inode != NULL; inode = inode->next) {
        inode->reachable = false;
        inode->grown_size = inode->durable.size;
        inode->group = 0;
    }
    for (size_t i = 0; i < sim->durable.count; i++)
        sim->durable.entries[i].inode->reachable = true;
    for (struct varve_sim_op *op = sim->first; op != NULL; op = op->next)
        if (op->kind == VARVE_SIM_OP_CREATE || op->kind == VARVE_SIM_OP_RENAME)
            op->inode->reachable = true;
}

static uint64_t grown_size(const struct varve_sim_op *op)
{
    const uint64_t size = op->inode->grown_size;
    const uint64_t end = op->offset + op->size; /* the offset of the others is 0 */
    return op->kind == VARVE_SIM_OP_TRUNCATE ? op->size : end > size ? end : size;
}

static bool by_sector(const struct varve_sim_crash *crash, const struct varve_sim_op *op)
{
    return op->kind == VARVE_SIM_OP_WRITE && op->size > 0 && crash->options.granule != 0 &&
           crash->options.model >= VARVE_SIM_CRASH_SECTORS;
}

static int assign_group(struct varve_sim_crash *crash, struct step *step)
{
    uint32_t *group = &step->op->inode->group;

    if (varve_sim_op_is_entry(step->op)) {
        step->group = 0; /* the directory's */
    } else {
        if (*group == 0) {
            if (!varve_vec_grow(crash->sim->heap, (void **)&crash->groups, sizeof *crash->groups,
                                crash->group_count + 1, &crash->group_capacity))
                return -ENOMEM;
            *group = (uint32_t)crash->group_count;
            crash->groups[crash->group_count++] = 0;
        }
        step->group = *group;
    }
    step->rank = crash->groups[step->group]++;
    return 0;
}

static int add_step(struct varve_sim_crash *crash, const struct varve_sim_op *op)
{
    struct step step = {.op = op, .first = crash->units, .units = 1};
    const uint64_t granule = crash->options.granule;

    if (!varve_sim_op_is_entry(op)) {
        const uint64_t size = grown_size(op);
        step.by_sector = by_sector(crash, op);
        step.grows = step.by_sector && size > op->inode->grown_size;
        op->inode->grown_size = size;
    }
    if (step.by_sector)
        step.units =
            (size_t)((op->offset + op->size - 1) / granule - op->offset / granule) + 1 + step.grows;
    if (!varve_vec_grow(crash->sim->heap, (void **)&crash->steps, sizeof *crash->steps,
                        crash->step_count + 1, &crash->step_capacity) ||
        assign_group(crash, &step) < 0)
        return -ENOMEM;
    crash->steps[crash->step_count++] = step;
    crash->units += step.units;
    return 0;
}

static uint64_t power_of_2(size_t bits)
{
    return (uint64_t)1 << bits;
}

/* Model B's number of prefix combinations, or UINT64_MAX if there are more than `limit`. */
static uint64_t combinations(const struct varve_sim_crash *crash, uint64_t limit)
{
    uint64_t n = 1;

    for (size_t g = 0; g < crash->group_count; g++) {
        n *= (uint64_t)crash->groups[g] + 1;
        if (n > limit)
            return UINT64_MAX;
    }
    return n;
}

static uint64_t count_indices(const struct varve_sim_crash *crash)
{
    const uint64_t units = crash->units, random = crash->options.random;
    const uint64_t few = power_of_2(crash->options.exhaustive);

    switch (crash->options.model) {
    case VARVE_SIM_CRASH_PREFIX:
        return units + 1;
    case VARVE_SIM_CRASH_BY_FILE:
        if (combinations(crash, few) != UINT64_MAX)
            return combinations(crash, few);
        return 2 * (units + crash->group_count) + random;
    default:
        if (units <= crash->options.exhaustive)
            return power_of_2(crash->units);
        /* Prefixes, all but one, only one, all but two, random. */
        return units + 1 + units + units + units * (units - 1) / 2 + random;
    }
}

/* ---- from an index to the units kept ---- */

static void keep_range(const struct varve_sim_crash *crash, size_t first, size_t n)
{
    if (n > 0)
        varve_bitmap_set_range(crash->kept, first, n);
}

static void keep_random(const struct varve_sim_crash *crash, struct varve_rng *rng)
{
    const size_t words = VARVE_BITMAP_WORDS(crash->units);
    const uint64_t density = varve_rng_below(rng, 4);

    for (size_t i = 0; i < words; i++) {
        const uint64_t a = varve_rng_next(rng), b = varve_rng_next(rng), c = varve_rng_next(rng);
        crash->kept[i] = density == 0 ? a & b & c : density == 1 ? a | b | c : a;
    }
    if (density == 3) { /* as a disk that had done most of it in order */
        const size_t done = (size_t)varve_rng_below(rng, crash->units + 1);
        const size_t busy = crash->units - done < 16 ? crash->units - done : 16;
        keep_range(crash, 0, done);
        for (size_t i = done + busy; i < crash->units; i++)
            varve_bit_clear(crash->kept, i);
    }
}

/* All but the two units of the `n`-th pair, in the order (0,1) (0,2) (1,2) (0,3) ... */
static void keep_all_but_pair(const struct varve_sim_crash *crash, uint64_t n)
{
    size_t high = 1;

    while (n >= high)
        n -= high++;
    keep_range(crash, 0, crash->units);
    varve_bit_clear(crash->kept, high);
    varve_bit_clear(crash->kept, (size_t)n);
}

static void keep_subset(const struct varve_sim_crash *crash, uint64_t index, struct varve_rng *rng)
{
    const uint64_t units = crash->units;

    if (units <= crash->options.exhaustive) {
        for (size_t i = 0; i < units; i++)
            if ((index >> i & 1) != 0)
                varve_bit_set(crash->kept, i);
        return;
    }
    if (index <= units) {
        keep_range(crash, 0, (size_t)index);
        return;
    }
    index -= units + 1;
    if (index < units) {
        keep_range(crash, 0, (size_t)units);
        varve_bit_clear(crash->kept, (size_t)index);
        return;
    }
    index -= units;
    if (index < units) {
        varve_bit_set(crash->kept, (size_t)index);
        return;
    }
    index -= units;
    if (index < units * (units - 1) / 2)
        keep_all_but_pair(crash, index);
    else
        keep_random(crash, rng);
}

/* How many operations of group `g` the state `index` of model B keeps. */
static uint32_t group_prefix(const struct varve_sim_crash *crash, size_t g, uint64_t index)
{
    uint64_t before = 1;

    if (combinations(crash, power_of_2(crash->options.exhaustive)) != UINT64_MAX) {
        for (size_t i = 0; i < g; i++)
            before *= (uint64_t)crash->groups[i] + 1;
        return (uint32_t)(index / before % ((uint64_t)crash->groups[g] + 1));
    }
    /* Each prefix of one group beside all of the others, then beside nothing of them. */
    for (int others = 1; others >= 0; others--)
        for (size_t i = 0; i < crash->group_count; i++) {
            if (index <= crash->groups[i])
                return i == g ? (uint32_t)index : others != 0 ? crash->groups[g] : 0;
            index -= (uint64_t)crash->groups[i] + 1;
        }
    struct varve_rng rng;
    varve_rng_seed(&rng, varve_mix64(crash->options.seed ^ varve_mix64(index)) + g);
    return (uint32_t)varve_rng_below(&rng, (uint64_t)crash->groups[g] + 1);
}

static void keep_prefixes(const struct varve_sim_crash *crash, uint64_t index)
{
    for (size_t i = 0; i < crash->step_count; i++) {
        const struct step *step = &crash->steps[i];
        if (step->rank < group_prefix(crash, step->group, index))
            varve_bit_set(crash->kept, step->first);
    }
}

static void keep(const struct varve_sim_crash *crash, uint64_t index)
{
    struct varve_rng rng;

    memset(crash->kept, 0, (VARVE_BITMAP_WORDS(crash->units) + 1) * sizeof *crash->kept);
    varve_rng_seed(&rng, varve_mix64(crash->options.seed ^ varve_mix64(index + 1)));
    switch (crash->options.model) {
    case VARVE_SIM_CRASH_PREFIX:
        keep_range(crash, 0, (size_t)index);
        break;
    case VARVE_SIM_CRASH_BY_FILE:
        keep_prefixes(crash, index);
        break;
    default:
        keep_subset(crash, index, &rng);
        break;
    }
}

/* ---- from the units kept to an image ---- */

static struct view_entry *view_find(const struct varve_sim_crash *crash, const char *name)
{
    for (size_t i = 0; i < crash->view_count; i++)
        if (strcmp(crash->view[i].name, name) == 0)
            return &crash->view[i];
    return NULL;
}

static int view_set(struct varve_sim_crash *crash, const char *name, struct varve_sim_inode *inode)
{
    struct view_entry *entry = view_find(crash, name);

    if (entry == NULL) {
        if (!varve_vec_grow(crash->sim->heap, (void **)&crash->view, sizeof *crash->view,
                            crash->view_count + 1, &crash->view_capacity))
            return -ENOMEM;
        entry = &crash->view[crash->view_count++];
    }
    *entry = (struct view_entry){name, inode};
    return 0;
}

static int view_apply(struct varve_sim_crash *crash, const struct varve_sim_op *op)
{
    if (op->kind != VARVE_SIM_OP_UNLINK) {
        const char *name = op->kind == VARVE_SIM_OP_CREATE ? op->name : op->to;
        if (view_set(crash, name, op->inode) < 0)
            return -ENOMEM;
    }
    if (op->kind != VARVE_SIM_OP_CREATE) {
        struct view_entry *entry = view_find(crash, op->name);
        if (entry != NULL && entry->inode == op->inode)
            *entry = crash->view[--crash->view_count];
    }
    return 0;
}

/* The directory of the state. But in model E its operations keep their order. */
static int view_build(struct varve_sim_crash *crash)
{
    const struct varve_sim_dir *durable = &crash->sim->durable;

    crash->view_count = 0;
    for (size_t i = 0; i < durable->count; i++)
        if (view_set(crash, durable->entries[i].name, durable->entries[i].inode) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < crash->step_count; i++) {
        const struct step *step = &crash->steps[i];
        if (!varve_sim_op_is_entry(step->op))
            continue;
        if (!varve_bit_get(crash->kept, step->first)) {
            if (crash->options.model == VARVE_SIM_CRASH_REORDER)
                continue;
            break;
        }
        if (view_apply(crash, step->op) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* What lies in blocks that were given to a file and never written: noise, or bytes of another file
 * that once had the block. */
static int put_garbage(const struct varve_sim_crash *crash, struct varve_sim *image,
                       const struct varve_sim_op *op, size_t i, uint32_t from, uint32_t to)
{
    const uint64_t key = varve_mix64(crash->options.seed ^ op->inode->id) + i;
    struct varve_sim_page *old = NULL;
    struct varve_rng rng;

    varve_rng_seed(&rng, key);
    for (struct varve_sim_inode *other = crash->sim->inodes; other != NULL && old == NULL;
         other = other->next)
        if (other != op->inode && i < other->durable.count && varve_rng_below(&rng, 2) == 0)
            old = other->durable.pages[i];
    if (old != NULL)
        return varve_sim_content_put(image->heap, &op->inode->copy->durable, i, old, from, to);

    struct varve_sim_page *noise = varve_sim_page_create(image->heap);
    if (noise == NULL)
        return -ENOMEM;
    for (uint32_t at = 0; at < VARVE_SIM_PAGE_SIZE; at++)
        noise->bytes[at] = (uint8_t)varve_rng_next(&rng);
    const int rc =
        varve_sim_content_put(image->heap, &op->inode->copy->durable, i, noise, from, to);
    varve_sim_page_unref(image->heap, noise);
    return rc;
}

/* Bytes [start, end) of a write, all within one page, kept or lost; `old_size`: of the file. */
static int apply_run(const struct varve_sim_crash *crash, struct varve_sim *image,
                     const struct step *step, uint64_t start, uint64_t end, bool is_kept,
                     uint64_t old_size)
{
    const struct varve_sim_op *op = step->op;
    const size_t i = (size_t)(start / VARVE_SIM_PAGE_SIZE);
    const size_t first = (size_t)(op->offset / VARVE_SIM_PAGE_SIZE);
    const uint64_t base = (uint64_t)i * VARVE_SIM_PAGE_SIZE;

    if (is_kept)
        return varve_sim_content_put(image->heap, &op->inode->copy->durable, i,
                                     op->pages[i - first], (uint32_t)(start - base),
                                     (uint32_t)(end - base));
    if (start < old_size)
        start = old_size;
    if (crash->options.hole != VARVE_SIM_HOLE_GARBAGE || !step->grows || start >= end)
        return 0;
    return put_garbage(crash, image, op, i, (uint32_t)(start - base), (uint32_t)(end - base));
}

static int apply_sectors(const struct varve_sim_crash *crash, struct varve_sim *image,
                         const struct step *step)
{
    const struct varve_sim_op *op = step->op;
    struct varve_sim_content *content = &op->inode->copy->durable;
    const uint64_t granule = crash->options.granule, end = op->offset + op->size;
    const uint64_t old_size = content->size;
    const size_t sectors = step->first + step->grows;
    uint64_t start = op->offset;

    while (start < end) {
        /* As long a run of sectors with one fate as there is in this page: whole pages are shared. */
        const uint64_t page_end = (start / VARVE_SIM_PAGE_SIZE + 1) * VARVE_SIM_PAGE_SIZE;
        const uint64_t limit = end < page_end ? end : page_end;
        size_t unit = sectors + (size_t)(start / granule - op->offset / granule);
        const bool is_kept = varve_bit_get(crash->kept, unit);
        uint64_t stop = start;
        do
            stop = (stop / granule + 1) * granule;
        while (stop < limit && varve_bit_get(crash->kept, ++unit) == is_kept);
        if (stop > limit)
            stop = limit;
        const int rc = apply_run(crash, image, step, start, stop, is_kept, old_size);
        if (rc < 0)
            return rc;
        start = stop;
    }
    if (step->grows && varve_bit_get(crash->kept, step->first) && content->size < end)
        content->size = end;
    return 0;
}

static int apply_step(const struct varve_sim_crash *crash, struct varve_sim *image,
                      const struct step *step)
{
    if (varve_sim_op_is_entry(step->op) || step->op->inode->copy == NULL)
        return 0;
    if (step->by_sector)
        return apply_sectors(crash, image, step);
    if (!varve_bit_get(crash->kept, step->first))
        return 0;
    return varve_sim_op_apply(image, step->op, &step->op->inode->copy->durable);
}

/* Fill a new machine with the state: durable contents first, then what is kept, then the cache. */
static int fill_image(struct varve_sim_crash *crash, struct varve_sim *image)
{
    int rc = view_build(crash);

    for (struct varve_sim_inode *inode = crash->sim->inodes; inode != NULL; inode = inode->next)
        inode->copy = NULL;
    for (size_t i = 0; i < crash->view_count && rc == 0; i++) {
        struct varve_sim_inode *inode = crash->view[i].inode;
        const bool is_new = inode->copy == NULL;
        if (is_new)
            inode->copy = varve_sim_inode_create(image);
        if (inode->copy == NULL)
            return -ENOMEM;
        rc = varve_sim_dir_set(image, &image->durable, crash->view[i].name, inode->copy);
        if (rc == 0)
            rc = varve_sim_dir_set(image, &image->now, crash->view[i].name, inode->copy);
        if (is_new) /* the entries hold it now, or nobody does */
            varve_sim_inode_unref(image, inode->copy);
        if (rc == 0 && is_new)
            rc = varve_sim_content_copy(image->heap, &inode->copy->durable, &inode->durable);
    }
    for (size_t i = 0; i < crash->step_count && rc == 0; i++)
        rc = apply_step(crash, image, &crash->steps[i]);
    for (struct varve_sim_inode *inode = image->inodes; inode != NULL && rc == 0;
         inode = inode->next) {
        rc = varve_sim_content_resize(image->heap, &inode->durable, inode->durable.size);
        if (rc == 0)
            rc = varve_sim_content_copy(image->heap, &inode->now, &inode->durable);
    }
    return rc;
}

static int make_image(struct varve_sim_crash *crash, uint64_t index, struct varve_sim **ret_image,
                      struct varve_sim_crash_state *ret_state)
{
    const struct varve_sim *sim = crash->sim;

    keep(crash, index);
    struct varve_sim *image = varve_sim_new(&sim->options, sim->zero);
    if (image == NULL)
        return -ENOMEM;
    image->boots = sim->boots + 1;
    image->wall_us = sim->wall_us;
    image->next_pid = sim->next_pid;
    const int rc = fill_image(crash, image);
    if (rc < 0) {
        varve_sim_destroy(image);
        return rc;
    }
    ret_state->at_op = sim->ops;
    ret_state->index = index;
    ret_state->hash = varve_sim_hash(image);
    ret_state->units = (uint32_t)crash->units;
    ret_state->kept = (uint32_t)varve_bitmap_count(crash->kept, crash->units);
    image->options.seed = varve_mix64(sim->options.seed ^ ret_state->hash);
    varve_rng_seed(&image->rng, image->options.seed);
    *ret_image = image;
    return 0;
}

/* ---- the set of images seen ---- */

static void seen_put(uint64_t *table, size_t capacity, uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);
    while (table[i] != 0)
        i = (i + 1) & (capacity - 1);
    table[i] = hash;
}

/* 1: new; 0: seen before. */
static int seen_add(struct varve_sim_crash *crash, uint64_t hash)
{
    struct varve_heap *heap = crash->sim->heap;

    if (hash == 0)
        hash = 1;
    if (2 * crash->seen_count >= crash->seen_capacity) {
        const size_t capacity = crash->seen_capacity == 0 ? 256 : 2 * crash->seen_capacity;
        uint64_t *table = varve_alloc_zero(heap, capacity, sizeof *table);
        if (table == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < crash->seen_capacity; i++)
            if (crash->seen[i] != 0)
                seen_put(table, capacity, crash->seen[i]);
        varve_free(heap, crash->seen, crash->seen_capacity * sizeof *crash->seen);
        crash->seen = table;
        crash->seen_capacity = capacity;
    }
    for (size_t i = (size_t)hash & (crash->seen_capacity - 1); crash->seen[i] != 0;
         i = (i + 1) & (crash->seen_capacity - 1))
        if (crash->seen[i] == hash)
            return 0;
    seen_put(crash->seen, crash->seen_capacity, hash);
    crash->seen_count++;
    return 1;
}

/* ---- the iterator ---- */

static bool options_are_valid(const struct varve_sim_crash_options *options)
{
    const uint32_t granule = options->granule;

    if (options->model < VARVE_SIM_CRASH_PREFIX || options->model > VARVE_SIM_CRASH_REORDER)
        return false;
    if (options->exhaustive > EXHAUSTIVE_MAX || options->hole > VARVE_SIM_HOLE_GARBAGE)
        return false;
    if (options->model == VARVE_SIM_CRASH_REORDER && granule == 0)
        return true;
    return options->model < VARVE_SIM_CRASH_SECTORS || granule == VARVE_SIM_SECTOR_SIZE ||
           granule == VARVE_SIM_PAGE_SIZE;
}

static int crash_init(struct varve_sim_crash *crash)
{
    struct varve_heap *heap = crash->sim->heap;

    if (!varve_vec_grow(heap, (void **)&crash->groups, sizeof *crash->groups, 1,
                        &crash->group_capacity))
        return -ENOMEM;
    crash->groups[crash->group_count++] = 0; /* the directory's */
    mark_reachable(crash->sim);
    for (const struct varve_sim_op *op = crash->sim->first; op != NULL; op = op->next)
        if (varve_sim_op_is_entry(op) || op->inode->reachable)
            if (add_step(crash, op) < 0)
                return -ENOMEM;
    crash->kept = varve_alloc_zero(heap, VARVE_BITMAP_WORDS(crash->units) + 1, sizeof *crash->kept);
    if (crash->kept == NULL)
        return -ENOMEM;
    crash->count = count_indices(crash);
    return 0;
}

int varve_sim_crash_open(struct varve_sim *sim, const struct varve_sim_crash_options *options,
                         struct varve_sim_crash **ret_crash)
{
    if (!options_are_valid(options))
        return -EINVAL;
    struct varve_sim_crash *crash = varve_alloc_zero(sim->heap, 1, sizeof *crash);
    if (crash == NULL)
        return -ENOMEM;
    crash->sim = sim;
    crash->options = *options;
    crash->changes = sim->changes;
    const int rc = crash_init(crash);
    if (rc < 0) {
        varve_sim_crash_close(crash);
        return rc;
    }
    *ret_crash = crash;
    return 0;
}

int varve_sim_crash_at(struct varve_sim_crash *crash, uint64_t index, struct varve_sim **ret_image,
                       struct varve_sim_crash_state *ret_state)
{
    struct varve_sim_crash_state state;

    if (crash->changes != crash->sim->changes)
        return -ESTALE;
    if (index >= crash->count)
        return -ERANGE;
    const int rc = make_image(crash, index, ret_image, &state);
    if (rc == 0 && ret_state != NULL)
        *ret_state = state;
    return rc;
}

int varve_sim_crash_next(struct varve_sim_crash *crash, struct varve_sim **ret_image,
                         struct varve_sim_crash_state *ret_state)
{
    while (crash->next < crash->count) {
        struct varve_sim_crash_state state;
        struct varve_sim *image;
        int rc = varve_sim_crash_at(crash, crash->next, &image, &state);
        if (rc < 0)
            return rc;
        rc = seen_add(crash, state.hash);
        if (rc <= 0)
            varve_sim_destroy(image);
        if (rc < 0)
            return rc;
        crash->next++;
        if (rc == 0)
            continue;
        if (ret_state != NULL)
            *ret_state = state;
        *ret_image = image;
        return 1;
    }
    return 0;
}

uint64_t varve_sim_crash_count(const struct varve_sim_crash *crash)
{
    return crash->count;
}

void varve_sim_crash_close(struct varve_sim_crash *crash)
{
    if (crash == NULL)
        return;
    struct varve_heap *heap = crash->sim->heap;
    varve_free(heap, crash->steps, crash->step_capacity * sizeof *crash->steps);
    varve_free(heap, crash->groups, crash->group_capacity * sizeof *crash->groups);
    varve_free(heap, crash->kept,
               crash->kept == NULL ? 0
                                   : (VARVE_BITMAP_WORDS(crash->units) + 1) * sizeof *crash->kept);
    varve_free(heap, crash->view, crash->view_capacity * sizeof *crash->view);
    varve_free(heap, crash->seen, crash->seen_capacity * sizeof *crash->seen);
    varve_free(heap, crash, sizeof *crash);
}
