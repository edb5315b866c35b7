/*
 * test_replay_memory.c - logs that a writer with more memory made: an open for writing takes them under
 * the smallest limit, a reader under the limit that they need, and no log takes more than is allowed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define MIB ((uint64_t)1 << 20)
#define BIG_ROWS 200000 /* of one commit */
#define SMALL_ROWS 2000
#define SMALL_COMMITS 200

/* A store whose rows are all in its log. */
static void make(struct sim_store *s, uint64_t seed, bool big)
{
    sim_store_create(s, seed);
    s->options.memory_limit = 1024 * MIB;
    s->options.memtable_bytes = 512 * MIB;
    s->options.max_wal_bytes = 1024 * MIB;
    s->options.wal_segment_bytes = 64u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    for (int i = 0; i < (big ? 1 : SMALL_COMMITS); i++)
        ck_assert_int_eq(sim_store_put(s, "t", i % 5, (int64_t)i * SMALL_ROWS,
                                       big ? BIG_ROWS : SMALL_ROWS, VARVE_POLICY_DURABLE_GROUP),
                         VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(s).flushes, 0);
    sim_store_kill(s);
    s->options.max_wal_bytes = s->options.memtable_bytes = 0;
}

static int64_t rows_of(bool big)
{
    return big ? BIG_ROWS : SMALL_ROWS * SMALL_COMMITS;
}

START_TEST(a_smaller_writer_takes_the_log_of_a_larger_one)
{
    struct sim_store s;
    struct fault f;

    make(&s, 81, _i == 1);
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    s.options.allocator = &f.allocator;
    s.options.memory_limit = 8 * MIB;
    s.options.flags = 0;
    sim_store_open(&s);
    const varve_stats stats = sim_store_stats(&s);
    ck_assert_uint_ge(stats.flushes, 1);
    ck_assert_uint_le(stats.memory_used, 8 * MIB);
    ck_assert_uint_le(fault_peak(&f), _i == 1 ? 256 * MIB : 9 * MIB); /* no more than it needs */
    ck_assert_int_eq(sim_store_count(&s, "t"), rows_of(_i == 1));
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, 10, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_reader_says_what_its_rows_need)
{
    struct sim_store s;
    struct fault f;
    unsigned long long limit = 0, wanted = 0, used = 0, memtables = 0;

    make(&s, 83, false);
    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    s.options.allocator = &f.allocator;
    s.options.memory_limit = 8 * MIB;
    s.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_ELIMIT);
    ck_assert_uint_le(fault_peak(&f), 8 * MIB + 4096); /* however much there is to replay */
    ck_assert_uint_eq(fault_live(&f), 0);
    const char *at = strstr(s.err.message, "memory_limit of ");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(
        sscanf(at,
               "memory_limit of %llu KiB reached, %llu more wanted beside %llu in use: "
               "memtables %llu KiB",
               &limit, &wanted, &used, &memtables),
        4);
    ck_assert_uint_eq(limit, 8192);
    ck_assert_uint_gt(used + wanted, limit - 1);
    ck_assert_uint_gt(memtables, limit / 2); /* it is they that hold the memory */
    ck_assert_uint_le(memtables, used);
    ck_assert_ptr_nonnull(strstr(s.err.message, "raise it, or flush the store"));
    s.options.memory_limit = 64 * MIB;
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), rows_of(false));
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_smaller_writer_takes_the_log_of_a_larger_one, 0, 2);
    tcase_add_test(cases, a_reader_says_what_its_rows_need);
}

int main(void)
{
    return sim_store_main("replay_memory", add);
}
