/*
 * test_log_segment.c - segment.c: what the manifest says of the log's segments, and when.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/rng.h"
#include "storage/engine/commit_int.h"
#include "storage/wal/wal_format.h"
#include "storage/wal/wal_writer.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 400

/* Each listed segment begins with its header, which says the base that is listed. */
static void check_listed(struct sim_store *s, const struct varve_version *version)
{
    char name[VARVE_FILE_NAME_MAX];
    uint8_t page[4096];
    struct varve_wal_header h;

    for (uint32_t i = 0; i < version->n_segments; i++) {
        const struct varve_segment_entry *const e = &version->segments[i];

        ck_assert(i == 0 || e->base_lsn > version->segments[i - 1].base_lsn);
        ck_assert(i == 0 || e->id > version->segments[i - 1].id);
        varve_file_name_wal(e->id, name);
        ck_assert_int_eq(varve_sim_read(s->sim, name, 0, page, sizeof page), sizeof page);
        ck_assert_int_eq(
            varve_wal_header_decode((struct varve_span){page, VARVE_WAL_HEADER_SIZE}, &h),
            VARVE_OK);
        ck_assert_uint_eq(h.base_lsn, e->base_lsn);
    }
}

START_TEST(a_segment_is_listed_when_it_is_put_to_use)
{
    struct sim_store s;
    uint64_t switched = 0;

    sim_store_create(&s, 21);
    sim_store_open(&s);
    sim_store_work(&s); /* without threads nothing is made ahead before it is needed */
    struct varve_version *version = sim_store_listed(&s);
    ck_assert_uint_eq(version->n_segments, 0);
    varve_version_unref(version);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
        varve_sim_clock_advance(s.sim, 20000);
        if (i % 7 == 0)
            (void)varve_work(s.store, 1000, NULL);
        version = sim_store_listed(&s);
        check_listed(&s, version);
        ck_assert_uint_ge(version->n_segments, 1);
        if (version->n_segments > 1 && version->segments[version->n_segments - 1].id > switched) {
            /* The edit that listed it brought evidence of what was durable before. */
            ck_assert_uint_gt(version->durable_lsn, 0);
            switched = version->segments[version->n_segments - 1].id;
        }
        varve_version_unref(version);
    }
    ck_assert_uint_gt(switched, 0);
    sim_store_close(&s); /* what was kept ready is gone, and what is there is listed */
    version = sim_store_listed(&s);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_WAL), version->n_segments);
    for (uint32_t i = 0; i < version->n_segments; i++)
        ck_assert(version->segments[i].sealed);
    varve_version_unref(version);
    sim_store_destroy(&s);
}
END_TEST

/* The manifest says that it was put to use, so a segment that looks unused has lost its content. */
START_TEST(a_current_segment_that_looks_unused_is_refused)
{
    static uint8_t zeros[512u << 10];
    static const uint32_t flags[] = {0, VARVE_OPEN_READ_ONLY};
    struct sim_store s;
    char name[VARVE_FILE_NAME_MAX];

    sim_store_create(&s, 22);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    sim_store_kill(&s);
    struct varve_version *const version = sim_store_listed(&s);
    ck_assert_uint_eq(version->n_segments, 1);
    ck_assert_uint_le(version->segments[0].size, sizeof zeros);
    varve_file_name_wal(version->segments[0].id, name);
    ck_assert_int_eq(varve_sim_overwrite(s.sim, name, 0, zeros, version->segments[0].size), 0);
    varve_version_unref(version);
    for (int i = 0; i < 4; i++) { /* whatever the tail policy */
        s.options.flags = flags[i % 2];
        s.options.wal_tail = i < 2 ? VARVE_WAL_TAIL_STRICT : VARVE_WAL_TAIL_CUT;
        ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
        ck_assert_str_eq(s.err.file, name);
    }
    sim_store_destroy(&s);
}
END_TEST

/* No room, or an error, at any operation while segments change: what was accepted is there. */
static uint64_t switch_with_fault(uint64_t n, int error)
{
    struct sim_store s;
    int64_t accepted = 0, refused = 0;

    sim_store_create(&s, 23);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 12; i++) /* the next one does not fit */
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, ROWS, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    (void)varve_work(s.store, 1, NULL);
    const uint64_t before = varve_sim_fault_hits(s.sim);
    ck_assert_int_eq(varve_sim_fault_nth(s.sim, n, false, error), 0);
    for (int i = 12; i < 40; i++) {
        const varve_status rc = sim_store_put(&s, "t", i, 0, ROWS, VARVE_POLICY_DURABLE_GROUP);
        accepted += rc == VARVE_OK;
        refused += rc < 0;
    }
    const uint64_t hits = varve_sim_fault_hits(s.sim) - before;
    varve_sim_fault_clear(s.sim);
    if (sim_store_stats(&s).failed == 0)
        ck_assert_int_le(refused, 1);
    sim_store_kill(&s);
    sim_store_open(&s);
    const int64_t there = sim_store_count(&s, "t");
    ck_assert_msg(there >= (12 + accepted) * ROWS && there <= (12 + accepted + refused) * ROWS,
                  "operation %llu", (unsigned long long)n);
    sim_store_destroy(&s);
    return hits;
}

START_TEST(a_switch_survives_every_failing_operation)
{
    for (uint64_t n = 1; switch_with_fault(n, ENOSPC) > 0; n++)
        (void)switch_with_fault(n, EIO);
}
END_TEST

/* Small segments beside a large memtable: one flush lets go of hundreds. */
START_TEST(flush_lets_go_of_all_segments_behind_it)
{
    struct sim_store s;

    sim_store_create(&s, 27);
    s.options.wal_segment_bytes = 64u << 10;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; sim_store_stats(&s).wal_segments < 150; i++) {
        ck_assert_int_lt(i, 9000);
        ck_assert_int_eq(sim_store_put(&s, "t", i % 9, i, 1, VARVE_POLICY_DEFAULT), VARVE_OK);
    }
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    ck_assert_uint_le(sim_store_stats(&s).wal_segments, 2);
    sim_store_work(&s);
    ck_assert_uint_le(sim_store_files(&s, VARVE_FILE_WAL), 3);
    sim_store_destroy(&s);
}
END_TEST

/* How much is written, and how often room for a segment is asked for. */
struct effort {
    uint64_t written;
    uint32_t asked;
};

static int watch_effort(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct effort *effort = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_WRITE)
        effort->written += event->size;
    effort->asked += event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_ALLOCATE;
    return 0;
}

/* What is there may be what a flush needs: it is not filled with zeros for a segment that does not fit,
 * and not asked for again with every commit. */
START_TEST(segment_ahead_of_need_leaves_a_full_disk_alone)
{
    struct effort effort = {0};
    struct sim_store s;

    sim_store_create(&s, 28);
    s.options.reserve_bytes = UINT64_MAX;
    s.options.wal_segment_bytes = 1u << 20;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    varve_sim_set_capacity(s.sim, varve_sim_used(s.sim) + (900u << 10));
    ck_assert_int_eq(varve_sim_watch(s.sim, watch_effort, &effort), 0);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(sim_store_put(&s, "t", 1, i, 1, VARVE_POLICY_DEFAULT), VARVE_OK);
        sim_store_work(&s);
    }
    varve_sim_unwatch(s.sim, watch_effort, &effort);
    ck_assert_uint_ge(effort.asked, 1);
    ck_assert_uint_le(effort.asked, 2);
    ck_assert_uint_lt(effort.written, 512u << 10);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_WAL), 1);
    varve_sim_set_capacity(s.sim, 0);
    varve_sim_clock_advance(s.sim, 2000000);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 50, 1, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_work(&s);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_WAL), 2);
    ck_assert_int_eq(sim_store_count(&s, "t"), 51);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------- Segments made ahead */

static void open_with_segment(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 16u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    sim_store_close(s);
    sim_store_open(s); /* the next record needs a segment */
    sim_store_work(s); /* the reserve */
    ck_assert_ptr_null(s->store->ready_segment);
    s->store->segment_bytes = 64u << 10;
    ck_assert_int_eq(varve_segment_prepare(s->store, NULL), VARVE_OK);
    ck_assert_ptr_nonnull(s->store->ready_segment);
}

/* Another thread, while one makes a segment, gives back one that it could not put to use. */
struct borrowed {
    varve_store *store;
    struct varve_wal_segment *segment;
};

static int give_back(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct borrowed *const borrowed = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_ALLOCATE &&
        borrowed->segment != NULL) {
        borrowed->store->ready_segment = borrowed->segment;
        borrowed->segment = NULL;
    }
    return 0;
}

START_TEST(a_segment_that_is_given_back_beside_a_new_one_is_not_lost)
{
    struct sim_store s;

    open_with_segment(&s, 29);
    struct varve_wal_segment *const ready = s.store->ready_segment;
    struct borrowed borrowed = {.store = s.store, .segment = ready};
    const uint32_t files = sim_store_files(&s, VARVE_FILE_WAL);
    const uint64_t next = s.store->next_file_id;
    s.store->ready_segment = NULL;
    ck_assert_int_eq(varve_sim_watch(s.sim, give_back, &borrowed), 0);
    ck_assert_int_eq(varve_segment_prepare(s.store, NULL), VARVE_OK);
    varve_sim_unwatch(s.sim, give_back, &borrowed);
    ck_assert_ptr_null(borrowed.segment);
    ck_assert_ptr_eq(s.store->ready_segment, ready);
    ck_assert_uint_eq(sim_store_files(&s, VARVE_FILE_WAL), files);
    ck_assert_uint_eq(s.store->next_file_id, next);
    sim_store_destroy(&s);
}
END_TEST

/* 4,000 rows that nothing makes smaller. */
static varve_batch *large_batch(struct sim_store *s)
{
    varve_table *const table = sim_store_handle(s, "t");
    varve_value row[3] = {
        {.type = VARVE_INT, .as.i64 = 1}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
    varve_batch *batch = NULL;
    struct varve_rng rng;

    varve_rng_seed(&rng, 30);
    row[1].unit = varve_schema_column(varve_table_schema(table), 1)->unit;
    ck_assert_int_eq(varve_batch_new(s->store, &batch, NULL), VARVE_OK);
    for (int i = 0; i < 4000; i++) {
        row[1].as.i64 = (int64_t)(varve_rng_next(&rng) >> 20);
        row[2].as.i64 = (int64_t)varve_rng_next(&rng);
        ck_assert_int_eq(varve_batch_put_row(batch, table, row, 3, NULL, NULL), VARVE_OK);
    }
    return batch;
}

/* A record that needs a larger segment (0), a header that cannot be written: the one that was kept is gone,
 * and its id is the next one's. */
START_TEST(a_segment_that_is_not_put_to_use_gives_back_its_id)
{
    char name[VARVE_FILE_NAME_MAX];
    struct sim_store s;

    open_with_segment(&s, 30);
    const uint64_t id = varve_wal_segment_id(s.store->ready_segment);
    const uint64_t size = varve_wal_segment_size(s.store->ready_segment);
    varve_file_name_wal(id, name);
    struct varve_sim_fault fault = {
        .classes = VARVE_SIM_WRITE, .nth = 1, .times = 1, .error = ENOSPC};
    memcpy(fault.name, name, sizeof name);
    if (_i == 1)
        ck_assert_int_ge(varve_sim_fault_add(s.sim, &fault), 0);
    varve_batch *const batch = _i == 0 ? large_batch(&s) : sim_store_batch(&s, "t", 1, 0, ROWS);
    ck_assert_int_eq(sim_store_commit(&s, batch, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), (unsigned)_i);
    struct varve_version *const version = sim_store_listed(&s);
    const struct varve_segment_entry *const last = &version->segments[version->n_segments - 1];
    ck_assert_uint_eq(last->id, id);
    ck_assert_uint_gt(last->size, _i == 0 ? size : 0);
    varve_version_unref(version);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, a_segment_is_listed_when_it_is_put_to_use);
    tcase_add_test(cases, a_current_segment_that_looks_unused_is_refused);
    tcase_add_test(cases, a_switch_survives_every_failing_operation);
    tcase_add_test(cases, flush_lets_go_of_all_segments_behind_it);
    tcase_add_test(cases, a_segment_that_is_given_back_beside_a_new_one_is_not_lost);
    tcase_add_loop_test(cases, a_segment_that_is_not_put_to_use_gives_back_its_id, 0, 2);
    tcase_add_test(cases, segment_ahead_of_need_leaves_a_full_disk_alone);
}

int main(void)
{
    return sim_store_main("log_segment", add);
}
