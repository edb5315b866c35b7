/*
 * generation.c - memtables come and go: when a new one takes over, and what an old one remembers.
 *
 * A memtable remembers the log's state just before its first record (varve_log_point): the oldest
 * such state of all tables is where replay starts. It is taken when the first section is counted
 * in, so an idle table pins no log.
 *
 * All functions require the log token.
 */
#include "storage/engine/commit_int.h"

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
    }
    generation->pending++;
    return VARVE_OK;
}

void varve_generation_leave(varve_store *store, struct varve_generation *generation)
{
    assert(generation->pending > 0);
    generation->pending--;
    if (generation->pending > 0)
        return;
    if (varve_memtable_rows(generation->memtable) == 0 &&
        varve_memtable_end_lsn(generation->memtable) == 0) {
        varve_log_point_free(&store->heap, &generation->start);
        generation->start.lsn = UINT64_MAX; /* nothing came of it: it pins nothing */
    }
}

/* Nothing more goes to a retired memtable and everything in it is published: a flush, which sees what
 * a view sees, may begin. */
static void make_flushable(varve_store *store, struct varve_generation *generation)
{
    varve_mutex_lock(&store->queue_lock);
    generation->flushable = true;
    varve_memtable_freeze(generation->memtable);
    varve_cond_signal(&store->work);
    varve_mutex_unlock(&store->queue_lock);
}

void varve_generations_settle(varve_store *store)
{
    if (store->n_retiring == 0)
        return;
    for (size_t i = 0; i < store->n_tables; i++) {
        struct varve_generation *g = store->tables[i]->retiring;
        if (g == NULL || g->pending > 0)
            continue;
        store->tables[i]->retiring = NULL;
        store->n_retiring--;
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
    varve_mutex_lock(&store->view_lock);
    old->next = fresh;
    if (old->pending == 0)
        varve_memtable_publish(old->memtable); /* between two records: nothing is half there */
    varve_mutex_unlock(&store->view_lock);
    table->active = fresh;
    if (old->pending == 0) {
        make_flushable(store, old);
    } else {
        table->retiring = old;
        store->n_retiring++;
    }
    return VARVE_OK;
}

static bool holds_rows(const struct varve_generation *generation)
{
    return generation->pending > 0 || varve_memtable_rows(generation->memtable) > 0;
}

/* Whether the active memtable is older than it should get. */
static bool is_old(const varve_store *store, const struct varve_generation *generation,
                   int64_t now_us)
{
    return generation->start.lsn != UINT64_MAX &&
           now_us - generation->born_us > (int64_t)store->options.flush_interval_ms * 1000;
}

/* What there is to rotate: the active memtable whose first record is the oldest in the log, the
 * largest one, and one that has grown old. */
struct candidates {
    struct varve_table *largest, *oldest, *stale;
    size_t largest_bytes;
    size_t active_bytes; /* of all that take rows */
    size_t total_bytes;  /* with those that wait to be flushed */
    uint64_t oldest_lsn;
};

static void look_at(varve_store *store, struct varve_table *table, int64_t now_us,
                    struct candidates *found)
{
    for (struct varve_generation *g = table->oldest; g != NULL && g != table->active; g = g->next)
        found->total_bytes += varve_memtable_bytes(g->memtable);
    if (!holds_rows(table->active))
        return;
    const size_t bytes = varve_memtable_bytes(table->active->memtable);
    found->active_bytes += bytes;
    found->total_bytes += bytes;
    if (is_old(store, table->active, now_us))
        found->stale = table;
    if (bytes > found->largest_bytes) {
        found->largest = table;
        found->largest_bytes = bytes;
    }
    if (table->oldest == table->active && table->active->start.lsn < found->oldest_lsn) {
        found->oldest_lsn = table->active->start.lsn;
        found->oldest = table;
    }
}

/* A flush may unlink and free a memtable meanwhile, so the lists are walked under the view lock. */
static struct candidates look(varve_store *store, int64_t now_us)
{
    struct candidates found = {.oldest_lsn = UINT64_MAX};

    varve_mutex_lock(&store->view_lock);
    for (size_t i = 0; i < store->n_tables; i++)
        if (!store->tables[i]->dropped)
            look_at(store, store->tables[i], now_us, &found);
    varve_mutex_unlock(&store->view_lock);
    return found;
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

void varve_generations_check(varve_store *store)
{
    const struct candidates found = look(store, varve_store_boot_us(store));

    varve_mutex_lock(&store->queue_lock);
    store->memtable_bytes = found.total_bytes;
    varve_mutex_unlock(&store->queue_lock);
    struct varve_table *chosen = found.stale;
    /* Together, however many tables share them: what commits are held back for can then always be
     * flushed, since half of the limit at most is in memtables that still take rows. */
    if (found.active_bytes >= store->options.memtable_bytes)
        chosen = found.largest;
    else if (chosen == NULL && found.oldest != NULL &&
             pinned_bytes(store, found.oldest_lsn) > store->options.max_wal_bytes)
        chosen = found.oldest;
    if (chosen != NULL)
        (void)varve_generation_rotate(store, chosen, NULL); /* no memory: the next turn tries */
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
