/*
 * generation.c - memtables come and go: when a new one takes over, and what an old one remembers.
 *
 * A memtable remembers the log's state just before its first record (varve_log_point): the oldest
 * such state of all tables is where replay starts. It is taken when the first section is counted
 * in, so an idle table pins no log.
 *
 * Nothing that a commit does walks all tables: a store may have thousands. Tables whose active
 * memtable has taken a record stand in a list, in the order of those records, so the one that pins
 * most log and the one that has grown old are its first; bytes are kept as sums. Only when memtables
 * are full is the list walked, for the largest.
 *
 * All functions require the log token.
 */
#include "storage/engine/commit_int.h"
#include "storage/engine/reserve_int.h"

/* ----------------------------------------------------------------- Tables that take rows, in order */

static void filling_add(varve_store *store, struct varve_table *table)
{
    table->older = store->newest_filling;
    table->newer = NULL;
    if (store->newest_filling != NULL)
        store->newest_filling->newer = table;
    else
        store->oldest_filling = table;
    store->newest_filling = table;
}

static void filling_remove(varve_store *store, struct varve_table *table)
{
    if (table->older != NULL)
        table->older->newer = table->newer;
    else
        store->oldest_filling = table->newer;
    if (table->newer != NULL)
        table->newer->older = table->older;
    else
        store->newest_filling = table->older;
    table->older = table->newer = NULL;
}

/* Only an active memtable that has taken a record counts among those that fill: what an empty one
 * holds cannot be had by a flush. */
void varve_generation_count(varve_store *store, struct varve_generation *generation)
{
    const bool active = generation == generation->table->active;
    const uint64_t before = generation->counted;
    const uint64_t now = active && generation->start.lsn == UINT64_MAX
                             ? 0
                             : varve_memtable_bytes(generation->memtable);

    if (now == before)
        return;
    generation->counted = now;
    if (active) {
        store->filling_bytes += now - before; /* modulo 2^64: it may have shrunk */
        return;
    }
    varve_mutex_lock(&store->queue_lock);
    store->waiting_bytes += now - before;
    varve_mutex_unlock(&store->queue_lock);
}

/* The active memtable's bytes count as waiting from now on. */
static void stop_filling(varve_store *store, struct varve_table *table)
{
    const uint64_t bytes = table->active->counted;

    if (table->active->start.lsn != UINT64_MAX)
        filling_remove(store, table);
    store->filling_bytes -= bytes;
    varve_mutex_lock(&store->queue_lock);
    store->waiting_bytes += bytes;
    varve_mutex_unlock(&store->queue_lock);
}

void varve_generation_stop(varve_store *store, struct varve_table *table)
{
    assert(table->active->pending == 0);
    stop_filling(store, table);
    varve_mutex_lock(&store->queue_lock);
    store->n_dropped++;
    varve_cond_signal(&store->work);
    varve_mutex_unlock(&store->queue_lock);
}

/* --------------------------------------------------------------------------- Sections in, sections out */

varve_status varve_generation_enter(varve_store *store, struct varve_generation *generation,
                                    varve_error *err)
{
    if (generation->start.lsn == UINT64_MAX) {
        struct varve_log_point now = store->appended;
        now.origins = store->judged.items;
        now.n_origins = (uint32_t)store->judged.count;
        const varve_status rc = varve_log_point_copy(&store->heap, &generation->start, &now, err);
        if (rc < 0) {
            generation->start.lsn = UINT64_MAX;
            return rc;
        }
        generation->born_us = varve_store_boot_us(store);
        filling_add(store, generation->table);
    }
    generation->pending++;
    return VARVE_OK;
}

void varve_generation_leave(varve_store *store, struct varve_generation *generation)
{
    assert(generation->pending > 0);
    generation->pending--;
    if (generation->pending == 0 && varve_memtable_rows(generation->memtable) == 0 &&
        varve_memtable_end_lsn(generation->memtable) == 0) {
        varve_log_point_free(&store->heap, &generation->start);
        generation->start.lsn = UINT64_MAX; /* nothing came of it: it pins nothing */
        if (generation == generation->table->active)
            filling_remove(store, generation->table);
    }
    varve_generation_count(store, generation);
}

void varve_generation_touch(varve_store *store, struct varve_generation *generation)
{
    if (generation->touched)
        return;
    generation->touched = true;
    generation->next_touched = store->touched;
    store->touched = generation;
}

void varve_generations_publish_locked(varve_store *store)
{
    while (store->touched != NULL) {
        struct varve_generation *generation = store->touched;
        store->touched = generation->next_touched;
        generation->next_touched = NULL;
        generation->touched = false;
        varve_memtable_publish(generation->memtable);
    }
}

/* Nothing more goes to a retired memtable and everything in it is published: a flush, which sees what
 * a view sees, may begin. */
static void make_flushable(varve_store *store, struct varve_generation *generation)
{
    varve_mutex_lock(&store->queue_lock);
    generation->flushable = true;
    store->n_flushable++;
    varve_memtable_freeze(generation->memtable);
    varve_cond_signal(&store->work);
    varve_mutex_unlock(&store->queue_lock);
}

void varve_generations_settle(varve_store *store)
{
    struct varve_table **link = &store->retiring;

    while (*link != NULL) {
        struct varve_table *table = *link;
        struct varve_generation *g = table->retiring;
        if (g->pending > 0) {
            link = &table->next_retiring;
            continue;
        }
        *link = table->next_retiring;
        table->next_retiring = NULL;
        table->retiring = NULL;
        make_flushable(store, g);
    }
}

varve_status varve_generation_rotate(varve_store *store, struct varve_table *table,
                                     varve_error *err)
{
    struct varve_generation *old = table->active;

    if (table->retiring != NULL) /* commits are still on their way to the one before */
        return VARVE_OK;
    struct varve_generation *fresh = varve_generation_new(table, err);
    if (fresh == NULL)
        return VARVE_ENOMEM;
    stop_filling(store, table);
    varve_mutex_lock(&store->view_lock);
    old->next = fresh;
    if (old->pending == 0)
        varve_generations_publish_locked(store); /* between two records: nothing is half there */
    varve_mutex_unlock(&store->view_lock);
    table->active = fresh;
    if (old->pending == 0) {
        make_flushable(store, old);
    } else {
        table->retiring = old;
        table->next_retiring = store->retiring;
        store->retiring = table;
    }
    return VARVE_OK;
}

/* Whether the active memtable is older than it should get. */
static bool is_old(const varve_store *store, const struct varve_generation *generation,
                   int64_t now_us)
{
    return generation->start.lsn != UINT64_MAX &&
           now_us - generation->born_us > (int64_t)store->options.flush_interval_ms * 1000;
}

/* The first table whose oldest memtable still takes rows: rotating it lets log go. Those before it
 * in the list have one that waits for a flush already. */
static struct varve_table *oldest_to_rotate(varve_store *store)
{
    struct varve_table *table = store->oldest_filling;

    varve_mutex_lock(&store->view_lock); /* a flush may unlink and free a memtable meanwhile */
    while (table != NULL && table->oldest != table->active)
        table = table->newer;
    varve_mutex_unlock(&store->view_lock);
    return table;
}

static struct varve_table *largest_to_rotate(varve_store *store)
{
    struct varve_table *largest = NULL;

    for (struct varve_table *t = store->oldest_filling; t != NULL; t = t->newer)
        if (t->retiring == NULL &&
            (largest == NULL || t->active->counted > largest->active->counted))
            largest = t;
    return largest;
}

/* Bytes of log segments that are kept from `lsn` on and could go (positions have gaps, so they do not
 * tell). Segments not sealed stay, whatever is flushed: to count them would flush for nothing. */
static uint64_t pinned_bytes(varve_store *store, uint64_t lsn)
{
    uint64_t bytes = 0;

    varve_mutex_lock(&store->view_lock);
    for (uint32_t i = 0; i < store->version->n_segments; i++) {
        const struct varve_segment_entry *segment = &store->version->segments[i];
        if (segment->sealed && segment->final_lsn > lsn)
            bytes += segment->size;
    }
    varve_mutex_unlock(&store->view_lock);
    return bytes;
}

/* What the log may keep. Where the disk has no room for more, a flush that lets segments go gives back
 * more than its files take. */
static uint64_t log_limit(varve_store *store)
{
    const bool full = store->log_full || varve_reserve_check(store, NULL) < 0;
    return full ? 0 : store->options.max_wal_bytes;
}

/* Log that no memtable keeps, because its records left nothing in one (a batch that was repeated is such
 * a record) or since its rows are in files: a flush would let it go along with its own, but none may
 * come. */
static void want_replay(varve_store *store)
{
    const bool wanted = pinned_bytes(store, 0) > log_limit(store);

    varve_mutex_lock(&store->queue_lock);
    store->replay_wanted = wanted;
    varve_mutex_unlock(&store->queue_lock);
}

/* The first in the list is the one that has waited longest. */
static struct varve_table *stale_to_rotate(varve_store *store)
{
    struct varve_table *first = store->oldest_filling;

    return first != NULL && is_old(store, first->active, varve_store_boot_us(store)) ? first : NULL;
}

void varve_generations_check(varve_store *store)
{
    struct varve_table *chosen = NULL;

    assert(store->oldest_filling != NULL || store->filling_bytes == 0);
    varve_mutex_lock(&store->queue_lock);
    store->memtable_bytes = store->filling_bytes + store->waiting_bytes;
    varve_mutex_unlock(&store->queue_lock);
    /* Together, however many tables share them: what commits are held back for can then always be
     * flushed, since half of the limit at most is in memtables that still take rows. */
    if (store->filling_bytes >= store->options.memtable_bytes) {
        chosen = largest_to_rotate(store);
    } else {
        chosen = stale_to_rotate(store);
        struct varve_table *oldest = chosen == NULL ? oldest_to_rotate(store) : NULL;
        if (oldest != NULL && pinned_bytes(store, oldest->active->start.lsn) > log_limit(store))
            chosen = oldest;
    }
    if (chosen != NULL)
        (void)varve_generation_rotate(store, chosen, NULL); /* no memory: the next turn tries */
    else
        want_replay(store);
}

bool varve_generations_shed(varve_store *store)
{
    struct varve_table *largest = largest_to_rotate(store);

    varve_mutex_lock(&store->queue_lock);
    const bool waiting = store->n_flushable > 0 || store->n_dropped > 0;
    varve_mutex_unlock(&store->queue_lock);
    if (waiting || store->retiring != NULL)
        return true;
    return largest != NULL && varve_memtable_rows(largest->active->memtable) > 0 &&
           varve_generation_rotate(store, largest, NULL) == VARVE_OK;
}

varve_status varve_replay_point(varve_store *store, const struct varve_generation *without,
                                struct varve_log_point *ret_point, varve_error *err)
{
    struct varve_log_point now = store->applied;
    const struct varve_log_point *oldest = &now;

    now.origins = store->origins.items;
    now.n_origins = (uint32_t)store->origins.count;
    for (size_t i = 0; i < store->n_tables; i++)
        for (const struct varve_generation *g = store->tables[i]->oldest; g != NULL; g = g->next)
            if (g != without && !store->tables[i]->dropped && g->start.lsn < oldest->lsn)
                oldest = &g->start;
    *ret_point = (struct varve_log_point){0};
    return varve_log_point_copy(&store->heap, ret_point, oldest, err);
}
