/*
 * test_salvage.c - a store whose acknowledged log is damaged or cannot be read, opened with VARVE_OPEN_SALVAGE: table files
 * and the log before the damage, nothing that was not committed, what is missing named, and never a
 * byte written.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/engine/harm.h"

#define ROWS 50
#define IN_FILES (2 * ROWS)
#define COMMITS                                                                                    \
    30 /* in the log, each of a partition of its own: a prefix is a whole number of them */

/* Rows in files, then COMMITS durable ones in the log. */
static void make(struct sim_store *s, uint64_t seed, char *log)
{
    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    for (int k = 0; k < COMMITS; k++)
        ck_assert_int_eq(sim_store_put(s, "t", 10 + k, 0, ROWS, VARVE_POLICY_DURABLE_EACH),
                         VARVE_OK);
    struct varve_version *const version = sim_store_listed(s);
    varve_file_name_wal(version->segments[version->n_segments - 1].id, log);
    varve_version_unref(version);
}

static void salvage(struct sim_store *s)
{
    s->options.flags = VARVE_OPEN_READ_ONLY | VARVE_OPEN_SALVAGE;
    sim_store_open(s);
}

/* Nothing can be written through it, and nothing was. */
static void must_not_write(struct sim_store *s)
{
    varve_batch *batch = NULL;

    ck_assert_int_eq(varve_batch_new(s->store, &batch, &s->err), VARVE_EREADONLY);
    ck_assert_int_eq(sim_store_try_table(s, "u", "keep"), VARVE_EREADONLY);
    ck_assert_int_eq(varve_table_drop(s->store, "t", &s->err), VARVE_EREADONLY);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_EREADONLY);
    (void)varve_work(s->store, 1000, NULL);
}

START_TEST(damage_in_the_log_leaves_files_and_what_lies_before_it)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];

    make(&s, 61, log);
    sim_store_kill(&s);
    const uint32_t page = harm_pages(&s, log) / 2;
    harm_flip(&s, log, page, 77);
    for (int i = 0; i < 2; i++) {
        s.options.flags = i == 0 ? 0 : VARVE_OPEN_READ_ONLY;
        ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
        ck_assert_str_eq(s.err.file, log);
    }
    const uint64_t before = harm_disk_hash(&s);
    salvage(&s);
    harm_findings(&s, &harm);
    ck_assert_int_eq(harm.n, 1);
    ck_assert_int_eq(harm.n_missing, 1);
    ck_assert_int_eq(harm.items[0].status, VARVE_ECORRUPT);
    ck_assert_str_eq(harm.items[0].file, log);
    ck_assert_uint_eq(harm.items[0].offset, (uint64_t)page * 4096);
    ck_assert_uint_lt(harm.items[0].lsn, harm.items[0].lsn_end);
    const int64_t rows = sim_store_count(&s, "t");
    ck_assert_int_gt(rows, IN_FILES);
    ck_assert_int_lt(rows, IN_FILES + COMMITS * ROWS);
    ck_assert_int_eq(rows % ROWS, 0);
    must_not_write(&s);
    sim_store_close(&s);
    ck_assert_uint_eq(harm_disk_hash(&s), before);
    sim_store_destroy(&s);
}
END_TEST

/* A flipped bit, a lost sector, a lost page in each page of the log. */
static void harm_page(struct sim_store *s, const char *log, uint32_t page, int kind)
{
    if (kind == 0)
        harm_flip(s, log, page, (page * 769) % 4096);
    for (uint64_t sector = 0; kind > 0 && sector < 8; sector++)
        if (kind == 2 || sector == page % 2 * 7) /* the others hold nothing */
            harm_zero_sector(s, log, page, sector);
}

START_TEST(any_damaged_page_leaves_a_prefix_and_nothing_else)
{
    struct sim_store s;
    char log[VARVE_FILE_NAME_MAX];
    int refused = 0;

    make(&s, 62 + (uint64_t)_i, log);
    sim_store_kill(&s);
    const uint32_t pages = harm_pages(&s, log);
    ck_assert_uint_ge(pages, COMMITS);
    for (uint32_t page = 0; page < pages; page++) {
        struct sim_store copy = s;
        struct harm harm;
        ck_assert_int_eq(varve_sim_clone(s.sim, &copy.sim), 0);
        ck_assert_int_eq(varve_sim_attach(copy.sim, &copy.vfs), 0);
        harm_page(&copy, log, page, _i);
        copy.options.flags = VARVE_OPEN_READ_ONLY;
        const varve_status strict = sim_store_try_open(&copy);
        sim_store_close(&copy);
        salvage(&copy);
        harm_findings(&copy, &harm);
        ck_assert_int_eq(harm.n_missing, strict == VARVE_ECORRUPT ? 1 : 0);
        const int64_t rows = sim_store_count(&copy, "t");
        ck_assert_int_eq(rows % ROWS, 0);
        ck_assert(rows >= IN_FILES && rows <= IN_FILES + COMMITS * ROWS);
        if (page == 0)
            ck_assert_int_eq(rows, IN_FILES);
        refused += strict == VARVE_ECORRUPT;
        sim_store_close(&copy);
        varve_sim_destroy(copy.sim);
    }
    ck_assert_int_gt(refused, COMMITS / 2);
    sim_store_destroy(&s);
}
END_TEST

/* Everyone else is kept out by the page that the disk does not give back, and told which it is. */
START_TEST(any_page_that_cannot_be_read_leaves_a_prefix_and_nothing_else)
{
    struct sim_store s;
    struct harm harm;
    struct harm_unread unread = {.n = 0};
    char log[VARVE_FILE_NAME_MAX];
    int64_t rows = 0, before = 0;

    make(&s, 68, log);
    sim_store_kill(&s);
    s.options.wal_tail = (uint32_t)_i; /* it is not cut either: an open for writing would fail */
    const uint64_t hash = harm_disk_hash(&s);
    const uint32_t pages = harm_pages(&s, log);
    harm_unread_add(&unread, log, 0);
    harm_unread(&s, &unread);
    for (uint32_t page = 0; page < pages + 2; page++) { /* two that hold nothing */
        unread.pages[0] = page;
        for (int i = 0; i < 2; i++) {
            s.options.flags = i == 0 ? 0 : VARVE_OPEN_READ_ONLY;
            ck_assert_int_eq(sim_store_try_open(&s), VARVE_EIO);
            ck_assert_str_eq(s.err.file, log);
            ck_assert_uint_eq(s.err.offset, (uint64_t)page * 4096);
        }
        salvage(&s);
        harm_findings(&s, &harm);
        ck_assert_int_eq(harm.n, 1);
        ck_assert_int_eq(harm.n_missing, 1);
        ck_assert_str_eq(harm.items[0].file, log);
        ck_assert_int_eq(harm.items[0].status, VARVE_EIO);
        ck_assert_int_eq(harm.items[0].os_code, EIO);
        ck_assert_uint_eq(harm.items[0].offset, (uint64_t)page * 4096);
        ck_assert_ptr_nonnull(strstr(harm.items[0].message, "cannot be read"));
        before = rows;
        rows = sim_store_count(&s, "t");
        ck_assert_int_eq(rows % ROWS, 0);
        ck_assert(rows >= IN_FILES && rows >= before);
        must_not_write(&s);
        sim_store_close(&s);
    }
    ck_assert_int_eq(rows, IN_FILES + COMMITS * ROWS);
    ck_assert_uint_eq(harm_disk_hash(&s), hash);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_leaves_the_files)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];
    struct varve_sim_fault fault = {.classes = _i == 0 ? VARVE_SIM_OPEN : VARVE_SIM_STAT,
                                    .nth = 1,
                                    .times = UINT64_MAX,
                                    .error = EIO};

    make(&s, 69, log);
    sim_store_kill(&s);
    memcpy(fault.name, log, strlen(log) + 1);
    ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_EIO);
    salvage(&s);
    harm_findings(&s, &harm);
    ck_assert_int_eq(harm.n_missing, 1);
    ck_assert_str_eq(harm.items[0].file, log);
    ck_assert_int_eq(harm.items[0].status, VARVE_EIO);
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES);
    sim_store_close(&s);
    varve_sim_fault_clear(s.sim);
    fault.error = EMFILE; /* says nothing of the disk */
    ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_EIO);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_read_that_succeeds_in_the_end_loses_nothing)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];
    struct varve_sim_fault fault = {.classes = VARVE_SIM_READ, .nth = 1, .times = 2, .error = EIO};

    make(&s, 70, log);
    sim_store_kill(&s);
    memcpy(fault.name, log, strlen(log) + 1);
    ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
    salvage(&s);
    harm_findings(&s, &harm);
    ck_assert_int_eq(harm.n, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES + COMMITS * ROWS);
    ck_assert_uint_eq(varve_sim_fault_hits(s.sim), 2);
    sim_store_destroy(&s);
}
END_TEST

/* Recovery reads the log twice: what it gives back once may be gone the second time. */
START_TEST(a_disk_that_fails_at_any_read_of_the_log_leaves_a_prefix)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];
    struct varve_sim_fault fault = {.classes = VARVE_SIM_READ, .times = UINT64_MAX, .error = EIO};
    bool struck = true;
    int told = 0;

    make(&s, 71, log);
    sim_store_kill(&s);
    memcpy(fault.name, log, strlen(log) + 1);
    while (struck) {
        const uint64_t hits = varve_sim_fault_hits(s.sim);
        fault.nth++;
        ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
        salvage(&s);
        harm_findings(&s, &harm);
        struck = varve_sim_fault_hits(s.sim) > hits;
        const int64_t rows = sim_store_count(&s, "t");
        if (harm.n == 0) { /* what lies behind the records is not missed */
            ck_assert_int_eq(rows, IN_FILES + COMMITS * ROWS);
        } else {
            ck_assert(struck && harm.n == 1);
            ck_assert_int_eq(harm.n_missing, 1);
            ck_assert_str_eq(harm.items[0].file, log);
            ck_assert_int_eq(harm.items[0].status, VARVE_EIO);
            ck_assert_int_eq(harm.items[0].os_code, EIO);
            ck_assert_ptr_nonnull(strstr(harm.items[0].message, "cannot be read"));
            ck_assert(rows % ROWS == 0 && rows >= IN_FILES);
            told++;
        }
        sim_store_close(&s);
        varve_sim_fault_clear(s.sim);
    }
    ck_assert_int_ge(told, 2); /* in either pass */
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_lost_segment_leaves_the_files)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];

    make(&s, 65, log);
    sim_store_kill(&s);
    ck_assert_int_eq(varve_sim_remove(s.sim, log), 0);
    s.options.flags = 0;
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
    salvage(&s);
    harm_findings(&s, &harm);
    ck_assert_int_eq(harm.n_missing, 1);
    ck_assert_str_eq(harm.items[0].file, log);
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_sound_store_is_shown_whole)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];

    make(&s, 66, log);
    sim_store_kill(&s);
    salvage(&s);
    harm_findings(&s, &harm);
    ck_assert_int_eq(harm.n, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES + COMMITS * ROWS);
    must_not_write(&s);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(beside_a_writer_a_page_that_cannot_be_read_leaves_a_prefix_too)
{
    struct sim_store s;
    struct harm harm;
    struct harm_unread unread = {.n = 0};
    char log[VARVE_FILE_NAME_MAX];

    make(&s, 71, log);
    struct sim_store reader = s;
    ck_assert_int_eq(varve_sim_attach(s.sim, &reader.vfs), 0);
    const uint32_t pages = harm_pages(&s, log);
    harm_unread_add(&unread, log, 0);
    harm_unread(&s, &unread);
    for (uint32_t page = 0; page < pages; page++) {
        unread.pages[0] = page;
        reader.options.flags = VARVE_OPEN_READ_ONLY;
        ck_assert_int_eq(sim_store_try_open(&reader), VARVE_EIO);
        ck_assert_uint_eq(reader.err.offset, (uint64_t)page * 4096);
        reader.store = NULL;
        salvage(&reader);
        harm_findings(&reader, &harm);
        ck_assert_int_eq(harm.n_missing, 1);
        ck_assert_int_eq(harm.items[0].status, VARVE_EIO);
        ck_assert_uint_eq(harm.items[0].offset, (uint64_t)page * 4096);
        const int64_t rows = sim_store_count(&reader, "t");
        ck_assert(rows % ROWS == 0 && rows >= IN_FILES && rows <= IN_FILES + COMMITS * ROWS);
        sim_store_close(&reader);
    }
    unread.n = 0;
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES + COMMITS * ROWS);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(beside_a_writer_too)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX];

    make(&s, 67, log);
    struct sim_store reader = s;
    ck_assert_int_eq(varve_sim_attach(s.sim, &reader.vfs), 0);
    harm_flip(&s, log, harm_pages(&s, log) / 2, 55);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&reader), VARVE_ECORRUPT);
    reader.store = NULL;
    salvage(&reader);
    harm_findings(&reader, &harm);
    ck_assert_int_eq(harm.n_missing, 1);
    ck_assert_str_eq(harm.items[0].file, log);
    const int64_t rows = sim_store_count(&reader, "t");
    ck_assert(rows % ROWS == 0 && rows > IN_FILES && rows < IN_FILES + COMMITS * ROWS);
    must_not_write(&reader);
    sim_store_close(&reader);
    ck_assert_int_eq(sim_store_count(&s, "t"), IN_FILES + COMMITS * ROWS);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, damage_in_the_log_leaves_files_and_what_lies_before_it);
    tcase_add_loop_test(cases, any_damaged_page_leaves_a_prefix_and_nothing_else, 0, 3);
    tcase_add_loop_test(cases, any_page_that_cannot_be_read_leaves_a_prefix_and_nothing_else, 0, 2);
    tcase_add_loop_test(cases, a_log_that_cannot_be_opened_leaves_the_files, 0, 2);
    tcase_add_test(cases, a_read_that_succeeds_in_the_end_loses_nothing);
    tcase_add_test(cases, a_disk_that_fails_at_any_read_of_the_log_leaves_a_prefix);
    tcase_add_test(cases, a_lost_segment_leaves_the_files);
    tcase_add_test(cases, a_sound_store_is_shown_whole);
    tcase_add_test(cases, beside_a_writer_too);
    tcase_add_test(cases, beside_a_writer_a_page_that_cannot_be_read_leaves_a_prefix_too);
}

int main(void)
{
    return sim_store_main("salvage", add);
}
