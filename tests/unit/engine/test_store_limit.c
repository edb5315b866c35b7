/*
 * test_store_limit.c - at memory_limit: the cache gives way first, then commits wait for a flush, and
 * only then is anything refused, with a message that says what holds memory. An allocator that has
 * none refuses a batch and harms nothing.
 */
#include <stdio.h>
#include <string.h>

#include "storage/engine/pressure_int.h"
#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define HOGS 64

/* Batches never committed: memory that no flush frees. */
struct hogs {
    varve_batch *batches[HOGS];
    int n;
};

static varve_status hog_rows(struct sim_store *s, varve_batch *batch, int64_t n)
{
    const varve_table *table = sim_store_handle(s, "t");
    varve_status rc = VARVE_OK;

    for (int64_t i = 0; i < n && rc == VARVE_OK; i++) {
        varve_value row[3] = {
            {.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
        row[1].as.i64 = i;
        row[2].as.i64 = 3 * i;
        rc = varve_batch_put_row(batch, table, row, 3, NULL, &s->err);
    }
    return rc;
}

/* Take memory until `used` bytes are, or as long as there is some. */
static varve_status hog(struct sim_store *s, struct hogs *hogs, uint64_t used)
{
    varve_status rc = VARVE_OK;

    while (rc == VARVE_OK && hogs->n < HOGS && sim_store_stats(s).memory_used < used) {
        varve_batch **batch = &hogs->batches[hogs->n];
        rc = varve_batch_new(s->store, batch, &s->err);
        if (rc < 0)
            break;
        hogs->n++;
        for (int i = 0; i < 10 && rc == VARVE_OK && sim_store_stats(s).memory_used < used; i++)
            rc = hog_rows(s, *batch, 1000);
    }
    return rc;
}

static void let_go(struct hogs *hogs)
{
    while (hogs->n > 0)
        varve_batch_free(hogs->batches[--hogs->n]);
}

static void create(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.memory_limit = 16u << 20;
    s->options.memtable_bytes = 8u << 20; /* so that memory is short before a memtable is full */
    s->options.cache_bytes = 8u << 20;
    s->options.wal_segment_bytes = 4u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
}

static void must_say_why(const struct sim_store *s, varve_status rc)
{
    ck_assert_msg(rc == VARVE_ELIMIT, "%s: %s", varve_status_name(rc), s->err.message);
    ck_assert_int_eq(s->err.status, VARVE_ELIMIT);
    ck_assert_msg(strstr(s->err.message, "memory_limit of 16384 KiB reached") != NULL &&
                      strstr(s->err.message, "memtables") != NULL &&
                      strstr(s->err.message, "close views") != NULL,
                  "%s", s->err.message);
}

START_TEST(cache_gives_way_before_anything_is_refused)
{
    struct sim_store s;
    struct hogs hogs = {0};
    varve_cursor *cursor = NULL;
    varve_snapshot *snapshot = NULL;
    const varve_batch_view *view = NULL;
    varve_scan scan;

    create(&s, 71);
    for (int k = 0; k < 100; k++)
        ck_assert_int_eq(sim_store_put(&s, "t", k, 0, 2000, VARVE_POLICY_OS), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    const varve_table *table = sim_store_handle(&s, "t");
    for (int k = 0; k < 100; k++) {
        const varve_value key = {.type = VARVE_INT, .as.i64 = k};
        varve_scan_init(&scan, sizeof scan);
        scan.partitions = &key;
        scan.n_partitions = 1;
        ck_assert_int_eq(varve_scan_open(s.store, table, &scan, &cursor, &s.err), VARVE_OK);
        while (varve_cursor_next(cursor, &view, NULL) == VARVE_OK)
            ck_assert_uint_gt(view->rows, 0);
        varve_cursor_close(cursor);
    }
    const uint64_t cached = sim_store_stats(&s).cache_bytes;
    ck_assert_uint_gt(cached, 40000);
    must_say_why(&s, hog(&s, &hogs, UINT64_MAX));
    ck_assert_uint_lt(sim_store_stats(&s).cache_bytes, cached / 4);
    ck_assert_uint_le(sim_store_stats(&s).memory_peak, s.options.memory_limit);
    varve_scan_init(&scan, sizeof scan);
    varve_status rc = VARVE_OK; /* what is left is enough for few cursors */
    for (int i = 0; i < 10000 && rc == VARVE_OK; i++) {
        rc = varve_scan_open(s.store, table, &scan, &cursor, &s.err);
        if (rc == VARVE_OK) {
            rc = varve_cursor_next(cursor, &view, &s.err);
            varve_cursor_close(cursor);
        }
        if (rc == VARVE_OK)
            rc = hog_rows(&s, hogs.batches[0], 50);
    }
    must_say_why(&s, rc);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    let_go(&hogs);
    ck_assert_int_eq(varve_snapshot_take(s.store, &snapshot, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_rows(&s, table, snapshot), 200000);
    varve_snapshot_release(snapshot);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(commit_that_finds_no_memory_waits_for_a_flush)
{
    struct sim_store s;
    struct hogs hogs = {0};

    create(&s, 72);
    ck_assert_int_eq(hog(&s, &hogs, 9u << 20), VARVE_OK);
    for (int i = 0; i < 600; i++) {
        const varve_status rc = sim_store_put(&s, "t", i, 0, 1000, VARVE_POLICY_DEFAULT);
        ck_assert_msg(rc == VARVE_OK, "commit %d: %s: %s", i, varve_status_name(rc), s.err.message);
    }
    ck_assert_uint_ge(sim_store_stats(&s).flushes, 1);
    ck_assert_uint_le(sim_store_stats(&s).memory_peak, s.options.memory_limit);
    let_go(&hogs);
    ck_assert_int_eq(sim_store_count(&s, "t"), 600000);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(commit_is_refused_when_no_flush_can_help)
{
    struct sim_store s;
    struct hogs hogs = {0};
    varve_status rc = VARVE_OK;
    int64_t rows = 0;

    create(&s, 73);
    varve_batch *batch = sim_store_batch(&s, "t", 1, 0, 1000);
    (void)hog(&s, &hogs, UINT64_MAX);
    for (int i = 0; i < 100 && rc == VARVE_OK; i++) {
        rc = varve_commit(s.store, batch, VARVE_POLICY_DEFAULT, NULL, &s.err);
        rows += rc == VARVE_OK ? 1000 : 0;
        if (rc == VARVE_OK)
            rc = hog_rows(&s, batch, 1000);
        if (rc == VARVE_OK)
            (void)hog(&s, &hogs, UINT64_MAX);
    }
    must_say_why(&s, rc);
    ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
    ck_assert_uint_gt(varve_batch_rows(batch), 0); /* it is as it was */
    varve_batch_free(batch);
    let_go(&hogs);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, 1000, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 1000 + (rows < 2000 ? rows : 2000));
    sim_store_destroy(&s);
}
END_TEST

/* A commit must not wait for a flush that nobody needs any more. */
START_TEST(dropped_table_gives_its_memory_back_without_a_flush)
{
    struct sim_store s;

    create(&s, 75);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 20000, VARVE_POLICY_DEFAULT), VARVE_OK);
    const uint64_t used = sim_store_stats(&s).memory_used;
    ck_assert_int_eq(varve_table_drop(s.store, "t", &s.err), VARVE_OK);
    struct varve_patience patience = varve_pressure_begin(s.store);
    ck_assert(varve_pressure_relieve(s.store, &patience));
    ck_assert_uint_lt(sim_store_stats(&s).memory_used, used);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    ck_assert(!varve_pressure_relieve(s.store, &patience)); /* there is nothing else */
    sim_store_destroy(&s);
}
END_TEST

/* Memory that no flush frees, near the limit: small commits must not each make a file. */
START_TEST(memory_held_by_others_does_not_flush_every_commit)
{
    struct sim_store s;
    struct hogs hogs = {0};

    create(&s, 76);
    ck_assert_int_eq(hog(&s, &hogs, 12800u << 10), VARVE_OK);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(sim_store_put(&s, "t", 1, i, 1, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    let_go(&hogs);
    ck_assert_int_eq(sim_store_count(&s, "t"), 200);
    sim_store_destroy(&s);
}
END_TEST

/* From now on the n-th call fails, once. */
static void arm(struct fault *fault, long n)
{
    fault->at = n == FAULT_NEVER ? n : atomic_load(&fault->calls) + n;
}

/* The allocator itself has nothing, once, at each place of a commit in turn. */
/* What is not a commit or a read needs memory, too, and says the same when there is none. */
START_TEST(other_calls_say_what_holds_memory)
{
    struct sim_store s;
    struct hogs hogs = {0};
    static varve_snapshot *snapshots[20000];
    varve_value *keys = NULL;
    uint32_t n = 0, taken = 0;

    create(&s, 78);
    for (int k = 0; k < 50; k++)
        ck_assert_int_eq(sim_store_put(&s, "t", k, 0, 200, VARVE_POLICY_OS), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 200, VARVE_POLICY_OS), VARVE_OK);
    const varve_table *table = sim_store_handle(&s, "t");
    must_say_why(&s, hog(&s, &hogs, UINT64_MAX));
    while (taken < 20000 && varve_snapshot_take(s.store, &snapshots[taken], NULL) == VARVE_OK)
        taken++; /* down to the last bytes */
    must_say_why(&s, varve_flush(s.store, &s.err));
    must_say_why(&s, varve_verify(s.store, NULL, NULL, NULL, NULL, &s.err));
    must_say_why(&s, varve_table_split(s.store, table, 8, &keys, &n, &s.err));
    while (taken > 0)
        varve_snapshot_release(snapshots[--taken]);
    let_go(&hogs);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 50 * 200);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(allocation_that_fails_refuses_the_batch_and_harms_nothing)
{
    struct fault fault;
    struct sim_store s;
    int refused = 0;

    fault_init(&fault, FAULT_NEVER, FAULT_ONCE);
    sim_store_create(&s, 74);
    s.options.allocator = &fault.allocator;
    s.options.wal_segment_bytes = 4u << 20;
    s.options.memtable_bytes = 0;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (long n = 0; n < 60; n++) {
        varve_batch *batch = sim_store_batch(&s, "t", (int)n, 0, 3000); /* a partition of its own */
        arm(&fault, n % 20);
        varve_status rc = varve_commit(s.store, batch, VARVE_POLICY_DEFAULT, NULL, &s.err);
        arm(&fault, FAULT_NEVER);
        if (rc < 0) {
            ck_assert_msg(rc == VARVE_ENOMEM, "%s: %s", varve_status_name(rc), s.err.message);
            ck_assert_uint_eq(varve_batch_rows(batch), 3000);
            ck_assert_int_eq(sim_store_count(&s, "t"), n * 3000);
            rc = varve_commit(s.store, batch, VARVE_POLICY_DEFAULT, NULL, &s.err);
            refused++;
        }
        ck_assert_msg(rc == VARVE_OK, "%s: %s", varve_status_name(rc), s.err.message);
        varve_batch_free(batch);
    }
    ck_assert_int_gt(refused, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 180000);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 180000);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, cache_gives_way_before_anything_is_refused);
    tcase_add_test(cases, commit_that_finds_no_memory_waits_for_a_flush);
    tcase_add_test(cases, commit_is_refused_when_no_flush_can_help);
    tcase_add_test(cases, memory_held_by_others_does_not_flush_every_commit);
    tcase_add_test(cases, dropped_table_gives_its_memory_back_without_a_flush);
    tcase_add_test(cases, other_calls_say_what_holds_memory);
    tcase_add_test(cases, allocation_that_fails_refuses_the_batch_and_harms_nothing);
}

int main(void)
{
    return sim_store_main("store_limit", add);
}
