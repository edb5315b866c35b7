/*
 * test_log_position.c - no position of the log is given twice, whatever a power cut took away and
 * however often the store was opened since; and no table is said to be in files beyond what is durable.
 */
#include "storage/manifest/manifest.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 20

/* What happens while a flush waits for the log: the linker puts this in its way. */
static struct {
    struct sim_store *store;
    uint64_t end; /* of the commit */
} meanwhile;

varve_status __real_varve_wait_durable(varve_store *, uint64_t, varve_error *);
varve_status __wrap_varve_wait_durable(varve_store *, uint64_t, varve_error *);

static uint64_t commit(struct sim_store *s, const char *table, int64_t first, varve_policy policy)
{
    varve_batch *batch = sim_store_batch(s, table, 1, first, ROWS);
    uint64_t end = 0;

    const varve_status rc = varve_commit(s->store, batch, policy, &end, &s->err);
    ck_assert_msg(rc == VARVE_OK, "commit: %s: %s", varve_status_name(rc), s->err.message);
    varve_batch_free(batch);
    return end;
}

varve_status __wrap_varve_wait_durable(varve_store *store, uint64_t lsn, varve_error *err)
{
    const varve_status rc = __real_varve_wait_durable(store, lsn, err);
    struct sim_store *const s = meanwhile.store;

    meanwhile.store = NULL;
    if (s != NULL)
        meanwhile.end = commit(s, "u", 0, VARVE_POLICY_OS);
    return rc;
}

static void begin(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.memtable_bytes = 700u << 10;
    s->options.wal_segment_bytes = 4u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    sim_store_table(s, "u", "upsert");
    (void)commit(s, "t", 0, VARVE_POLICY_DURABLE_GROUP);
}

/* Everything that may be lost is. */
static void cut(struct sim_store *s)
{
    ck_assert(sim_store_cut(s, 0));
}

static void open_and_close(struct sim_store *s, int times)
{
    for (int i = 0; i < times; i++) {
        sim_store_open(s);
        sim_store_close(s);
    }
}

START_TEST(positions_of_what_was_lost_are_not_given_again)
{
    struct sim_store s;

    begin(&s, 81);
    uint64_t end = 0;
    for (int i = 0; i < 5; i++)
        end = commit(&s, "u", i * ROWS, VARVE_POLICY_OS);
    cut(&s);
    open_and_close(&s, _i); /* what it cuts the first time, it does not see the second */
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "u"), 0);
    const uint64_t again = commit(&s, "u", 0, VARVE_POLICY_DURABLE_GROUP);
    ck_assert_uint_gt(again, end);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_uint_gt(commit(&s, "u", ROWS, VARVE_POLICY_DURABLE_GROUP), again);
    ck_assert_int_eq(sim_store_count(&s, "u"), 2 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* Only one of the tables is flushed: its memtable is full. */
START_TEST(what_comes_while_a_flush_waits_does_not_count_as_flushed)
{
    enum { many = 20000 };
    struct sim_store s;

    begin(&s, 82);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, many, VARVE_POLICY_DURABLE_GROUP), VARVE_OK);
    meanwhile.store = &s;
    meanwhile.end = 0;
    while (sim_store_stats(&s).flushes == 0)
        ck_assert_int_eq(varve_work(s.store, 1, NULL), VARVE_OK);
    ck_assert_uint_gt(meanwhile.end, 0); /* or nothing came */
    struct varve_version *version = sim_store_listed(&s);
    for (uint32_t i = 0; i < version->n_tables; i++)
        ck_assert_uint_le(version->tables[i]->flushed_lsn, version->durable_lsn);
    varve_version_unref(version);
    cut(&s);
    open_and_close(&s, _i);
    sim_store_open(&s);
    (void)commit(&s, "t", ROWS, VARVE_POLICY_DURABLE_GROUP);
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), many + 2 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, positions_of_what_was_lost_are_not_given_again, 0, 3);
    tcase_add_loop_test(cases, what_comes_while_a_flush_waits_does_not_count_as_flushed, 0, 3);
}

int main(void)
{
    return sim_store_main("log_position", add);
}
