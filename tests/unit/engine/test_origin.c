/*
 * test_origin.c - who sent what: the table of origins, and what a repeated, overlapping or outdated
 * batch comes to through the public interface: at once, in flight, after a flush, after a reopen.
 */
#include "storage/base/rng.h"
#include "storage/engine/judge_int.h"
#include "tests/unit/engine/sim_store.h"

static varve_status put_from(struct sim_store *s, const char *table, uint32_t epoch, uint64_t first,
                             uint64_t last)
{
    varve_batch *batch = sim_store_batch(s, table, 1, (int64_t)first, (int64_t)(last - first + 1));

    ck_assert_int_eq(varve_batch_set_origin(batch, 7, epoch, first, last, NULL), VARVE_OK);
    return sim_store_commit(s, batch, VARVE_POLICY_DURABLE_GROUP);
}

START_TEST(table_of_origins_is_sorted_and_keeps_the_last)
{
    struct varve_origins origins = {0};
    struct varve_heap heap;
    struct varve_rng rng;
    uint64_t last[64] = {0};

    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_rng_seed(&rng, 3);
    for (uint64_t i = 1; i < 1000; i++) {
        const uint32_t id = 1 + (uint32_t)(varve_rng_next(&rng) % 63);
        ck_assert(varve_origins_reserve(&heap, &origins));
        varve_origins_put(&origins,
                          &(struct varve_origin){.id = id, .epoch = id, .first = i, .last = i});
        last[id] = i;
    }
    for (uint32_t id = 0; id < 70; id++) {
        const struct varve_origin_entry *entry =
            varve_origin_find(origins.items, origins.count, id);
        ck_assert_int_eq(entry != NULL, id < 64 && last[id] > 0);
        if (entry != NULL)
            ck_assert(entry->last == last[id] && entry->epoch == id);
    }
    for (size_t i = 1; i < origins.count; i++)
        ck_assert_uint_lt(origins.items[i - 1].id, origins.items[i].id);
    varve_origins_free(&heap, &origins);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(log_point_is_copied_whole_or_not_at_all)
{
    struct varve_origin_entry entries[3] = {{.id = 1}, {.id = 4}, {.id = 9}};
    const struct varve_log_point from = {.lsn = 5, .index = 6, .n_origins = 3, .origins = entries};
    struct varve_log_point to = {0};
    struct varve_heap heap;

    varve_heap_init(&heap, NULL, sizeof entries);
    ck_assert_int_eq(varve_log_point_copy(&heap, &to, &from, NULL), VARVE_OK);
    ck_assert(to.lsn == 5 && to.n_origins == 3 && to.origins != entries && to.origins[2].id == 9);
    varve_error err;
    const struct varve_log_point other = {.lsn = 8, .n_origins = 3, .origins = entries};
    ck_assert_int_eq(varve_log_point_copy(&heap, &to, &other, &err), VARVE_ENOMEM);
    ck_assert_uint_eq(to.lsn, 5); /* there is no room for two */
    const struct varve_log_point none = {.lsn = 9};
    ck_assert_int_eq(varve_log_point_copy(&heap, &to, &none, NULL), VARVE_OK);
    ck_assert(to.lsn == 9 && to.origins == NULL);
    varve_log_point_free(&heap, &to);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(verdict_follows_epoch_and_sequence)
{
    struct varve_origin_entry entry = {.id = 7, .epoch = 5, .last = 100};
    const struct varve_origins known = {.items = &entry, .count = 1};
    const struct {
        struct varve_origin origin;
        enum varve_origin_verdict verdict;
    } cases[] = {
        {{0, 0, 0, 0}, VARVE_ORIGIN_NEW},         {{8, 1, 1, 1}, VARVE_ORIGIN_NEW},
        {{7, 5, 101, 101}, VARVE_ORIGIN_NEW},     {{7, 5, 100, 101}, VARVE_ORIGIN_OVERLAPS},
        {{7, 5, 1, 100}, VARVE_ORIGIN_REPEATED},  {{7, 6, 50, 60}, VARVE_ORIGIN_REPEATED},
        {{7, 6, 101, 102}, VARVE_ORIGIN_NEW},     {{7, 6, 99, 102}, VARVE_ORIGIN_OVERLAPS},
        {{7, 4, 90, 100}, VARVE_ORIGIN_REPEATED}, {{7, 4, 90, 101}, VARVE_ORIGIN_STALE},
        {{7, 4, 101, 101}, VARVE_ORIGIN_STALE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(varve_origin_judge(&known, &cases[i].origin) == cases[i].verdict, "case %zu",
                      i);
}
END_TEST

/* The rules, with the store in the state that `between` leaves. */
static void check_rules(struct sim_store *s, void (*between)(struct sim_store *s))
{
    sim_store_table(s, "u", "upsert");
    sim_store_table(s, "w", "keep");
    ck_assert_int_eq(put_from(s, "u", 2, 1, 10), VARVE_OK);
    between(s);
    ck_assert_int_eq(put_from(s, "u", 2, 1, 10), VARVE_OK); /* repeated */
    ck_assert_int_eq(put_from(s, "u", 2, 3, 7), VARVE_OK);
    ck_assert_int_eq(put_from(s, "w", 2, 5, 10), VARVE_OK);
    ck_assert_int_eq(sim_store_count(s, "w"), 0);
    between(s);
    ck_assert_uint_eq(varve_origin_last(s->store, 7), 10);
    ck_assert_uint_eq(varve_origin_last(s->store, 8), 0);
    ck_assert_int_eq(put_from(s, "w", 2, 10, 11), VARVE_EEXISTS); /* overlaps */
    ck_assert_uint_eq(varve_origin_last(s->store, 7), 10);
    ck_assert_int_eq(put_from(s, "u", 2, 10, 12), VARVE_OK);
    ck_assert_int_eq(sim_store_count(s, "u"), 12);
    between(s);
    ck_assert_int_eq(put_from(s, "w", 3, 13, 20), VARVE_OK);
    between(s);
    ck_assert_int_eq(put_from(s, "w", 2, 21, 22), VARVE_ESTALE); /* an epoch that is over */
    ck_assert_int_eq(put_from(s, "w", 3, 13, 20), VARVE_OK);
    ck_assert_int_eq(sim_store_count(s, "w"), 8);
    ck_assert_int_eq(sim_store_count(s, "u"), 12);
    ck_assert_uint_eq(varve_origin_last(s->store, 7), 20);
}

static void nothing(struct sim_store *s)
{
    (void)s;
}

static void reopen(struct sim_store *s)
{
    sim_store_close(s);
    sim_store_open(s);
}

static void flush_and_kill(struct sim_store *s)
{
    ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    sim_store_kill(s);
    sim_store_open(s);
}

static void kill_it(struct sim_store *s)
{
    sim_store_kill(s);
    sim_store_open(s);
}

static void (*const states[])(struct sim_store *) = {nothing, kill_it, reopen, flush_and_kill};

START_TEST(repeats_are_recognised_in_every_state)
{
    struct sim_store s;

    sim_store_create(&s, 11);
    sim_store_open(&s);
    check_rules(&s, states[_i]);
    sim_store_close(&s);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&s);
    ck_assert_uint_eq(varve_origin_last(s.store, 7), 20);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(repeat_of_a_batch_in_flight_changes_nothing)
{
    struct sim_store s;
    varve_completion done[8];
    uint32_t n = 0;

    sim_store_create(&s, 12);
    sim_store_open(&s);
    sim_store_table(&s, "t", "keep");
    for (uint64_t tag = 0; tag < 5; tag++) {
        varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 4);
        const uint64_t first = tag == 4 ? 2 : 1; /* the last one overlaps */
        ck_assert_int_eq(varve_batch_set_origin(batch, 7, 1, first, first + 3, NULL), VARVE_OK);
        ck_assert_int_eq(varve_commit_start(s.store, batch, VARVE_POLICY_DURABLE_EACH, tag, &s.err),
                         VARVE_OK);
    }
    for (int i = 0; i < 1000 && n < 5; i++) {
        (void)varve_work(s.store, 1000, NULL);
        n += varve_commit_reap(s.store, done + n, 8 - n);
    }
    ck_assert_uint_eq(n, 5);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_eq(done[i].tag, i);
        ck_assert_int_eq(done[i].status, i == 4 ? VARVE_EEXISTS : VARVE_OK);
        ck_assert_uint_eq(varve_batch_rows(done[i].batch), i == 4 ? 4 : 0);
        varve_batch_free(done[i].batch);
    }
    ck_assert_int_eq(sim_store_count(&s, "t"), 4);
    ck_assert_uint_eq(sim_store_stats(&s).batches_repeated, 3);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 4);
    sim_store_destroy(&s);
}
END_TEST

/* A sender that sends all of a long history again leaves nothing in memtables, which a flush would let
 * go with its log: that goes by itself. Loop test: nothing but repeats; rows before them that wait for
 * no flush. */
START_TEST(log_of_repeated_batches_does_not_pile_up)
{
    const uint64_t most = 512u << 10;
    struct sim_store s;

    sim_store_create(&s, 25);
    s.options.wal_segment_bytes = 64u << 10;
    s.options.max_wal_bytes = most;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(put_from(&s, "t", 1, 1, 10), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    for (int i = 0; i < 800; i++) {
        ck_assert_int_eq(put_from(&s, "t", 1, 1, 10), VARVE_OK);
        if (_i == 1 && i == 790)
            ck_assert_int_eq(put_from(&s, "t", 1, 11, 20), VARVE_OK);
        (void)varve_work(s.store, 1000, NULL);
    }
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_ge(stats.bytes_log, 4 * most);
    ck_assert_uint_le(stats.wal_bytes, most + 3 * s.options.wal_segment_bytes);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), _i == 1 ? 20 : 10);
    ck_assert_uint_eq(varve_origin_last(s.store, 7), _i == 1 ? 20 : 10);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, table_of_origins_is_sorted_and_keeps_the_last);
    tcase_add_test(cases, log_point_is_copied_whole_or_not_at_all);
    tcase_add_test(cases, verdict_follows_epoch_and_sequence);
    tcase_add_loop_test(cases, repeats_are_recognised_in_every_state, 0,
                        (int)(sizeof states / sizeof states[0]));
    tcase_add_test(cases, repeat_of_a_batch_in_flight_changes_nothing);
    tcase_add_loop_test(cases, log_of_repeated_batches_does_not_pile_up, 0, 2);
}

int main(void)
{
    return sim_store_main("origin", add);
}
