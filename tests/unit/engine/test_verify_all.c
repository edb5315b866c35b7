/*
 * test_verify_all.c - varve_verify() tells of every damaged page and every one that cannot be read, also where a second copy or the next
 * segment makes it good, and where the log does not let the store be opened in the common way.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/engine/harm.h"

#define ROWS 200

/* Files, several log segments of which all but the last are sealed, and a manifest with edits. */
static void make(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    s->options.wal_segment_bytes = 64u << 10;
    s->options.max_wal_bytes = 64u << 20;
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, &s->err), VARVE_OK);
    for (int k = 2; k < 60; k++)
        ck_assert_int_eq(sim_store_put(s, "t", k, 0, ROWS, VARVE_POLICY_DURABLE_EACH), VARVE_OK);
    sim_store_table(s, "u", "keep");
    varve_sim_clock_advance(s->sim, 1000000);
    sim_store_work(s);
}

static void look(struct sim_store *s, struct harm *ret)
{
    s->options.flags = VARVE_OPEN_READ_ONLY | VARVE_OPEN_SALVAGE;
    sim_store_open(s);
    (void)harm_verify(s, ret);
    sim_store_close(s);
}

START_TEST(a_sound_store_has_no_problem)
{
    struct sim_store s;
    struct harm harm;

    make(&s, 71);
    ck_assert_int_eq(harm_verify(&s, &harm), VARVE_OK); /* the writer itself */
    struct sim_store reader = s;
    ck_assert_int_eq(varve_sim_attach(s.sim, &reader.vfs), 0);
    look(&reader, &harm); /* beside the writer */
    ck_assert_int_eq(harm.n, 0);
    sim_store_kill(&s);
    look(&s, &harm); /* after a crash */
    ck_assert_int_eq(harm.n, 0);
    s.options.flags = 0;
    sim_store_open(&s);
    sim_store_close(&s);
    look(&s, &harm); /* closed */
    ck_assert_int_eq(harm.n, 0);
    sim_store_destroy(&s);
}
END_TEST

/* One bit in each page that is in use: the store opens all the same, and the page is named. */
START_TEST(each_page_of_the_manifest_is_looked_at)
{
    struct sim_store s;
    struct harm harm;
    char name[VARVE_FILE_NAME_MAX];

    make(&s, 72);
    sim_store_kill(&s);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, name);
    const uint32_t pages = harm_pages(&s, name);
    ck_assert_uint_ge(pages, 9); /* with edits */
    for (uint32_t page = 0; page < pages; page++) {
        for (uint64_t byte = page % 7; byte < 4096; byte += 509) {
            harm_flip(&s, name, page, byte);
            look(&s, &harm);
            ck_assert_msg(harm.n == 1 && harm_names(&harm, name, (uint64_t)page * 4096),
                          "page %u, byte %u: %d problems", page, (unsigned)byte, harm.n);
            harm_flip(&s, name, page, byte);
        }
    }
    sim_store_destroy(&s);
}
END_TEST

START_TEST(all_damaged_pages_of_the_manifest_are_told)
{
    struct sim_store s;
    struct harm harm;
    char name[VARVE_FILE_NAME_MAX];

    make(&s, 73);
    sim_store_close(&s);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, name);
    for (uint32_t page = 0; page < 3; page++) /* header, snapshot, seal: the second copies stay */
        for (uint64_t byte = 0; byte < 4096; byte += 100)
            harm_flip(&s, name, page, byte);
    look(&s, &harm);
    ck_assert_int_eq(harm.n, 3);
    for (uint32_t page = 0; page < 3; page++)
        ck_assert(harm_names(&harm, name, (uint64_t)page * 4096));
    sim_store_destroy(&s);
}
END_TEST

/* Each page of a sealed segment, its seal and what is behind it included. */
START_TEST(each_page_of_a_sealed_segment_is_looked_at)
{
    struct sim_store s;
    struct harm harm;
    char name[VARVE_FILE_NAME_MAX];

    make(&s, 74);
    sim_store_close(&s);
    struct varve_version *const version = sim_store_listed(&s);
    ck_assert_uint_ge(version->n_segments, 2);
    for (uint32_t i = 0; i < version->n_segments; i++) {
        const uint64_t pages = version->segments[i].size / 4096;
        ck_assert(version->segments[i].sealed);
        varve_file_name_wal(version->segments[i].id, name);
        for (uint64_t page = 0; page < pages; page++) {
            harm_flip(&s, name, page, 4096 - 1 - page * 13 % 4096);
            look(&s, &harm);
            ck_assert_msg(harm_names(&harm, name, page * 4096), "%s, page %u", name,
                          (unsigned)page);
            harm_flip(&s, name, page, 4096 - 1 - page * 13 % 4096);
        }
    }
    varve_version_unref(version);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(lost_pages_of_a_sealed_segment_are_told)
{
    struct sim_store s;
    struct harm harm;
    char name[VARVE_FILE_NAME_MAX];

    make(&s, 75);
    sim_store_close(&s);
    struct varve_version *const version = sim_store_listed(&s);
    varve_file_name_wal(version->segments[0].id, name);
    const uint32_t used = harm_pages(&s, name);
    for (uint64_t sector = 0; sector < 8; sector++)
        harm_zero_sector(&s, name, used - 1, sector); /* the seal */
    look(&s, &harm);
    ck_assert(harm_names(&harm, name, (uint64_t)(used - 1) * 4096));
    for (uint64_t sector = 0; sector < 8; sector++)
        harm_zero_sector(&s, name, 2, sector);
    look(&s, &harm);
    ck_assert(harm_names(&harm, name, 2 * 4096));
    ck_assert_int_eq(varve_sim_truncate(s.sim, name, 3 * 4096 + 5), 0);
    look(&s, &harm);
    ck_assert(harm_names(&harm, name, 3 * 4096 + 5));
    ck_assert_int_eq(varve_sim_remove(s.sim, name), 0);
    look(&s, &harm);
    ck_assert(harm_names(&harm, name, UINT64_MAX));
    varve_version_unref(version);
    sim_store_destroy(&s);
}
END_TEST

/* One file of each kind is damaged, one of them twice: all is told at once. */
START_TEST(damage_in_the_log_hides_no_other)
{
    struct sim_store s;
    struct harm harm;
    char log[VARVE_FILE_NAME_MAX], table[VARVE_FILE_NAME_MAX], manifest[VARVE_FILE_NAME_MAX];

    make(&s, 76);
    sim_store_kill(&s);
    struct varve_version *const version = sim_store_listed(&s);
    varve_file_name_wal(version->segments[0].id, log);
    varve_version_unref(version);
    sim_store_newest(&s, VARVE_FILE_SST, table);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, manifest);
    harm_flip(&s, log, 2, 100);
    harm_flip(&s, log, 5, 200);
    harm_flip(&s, table, 0, 300);
    harm_flip(&s, manifest, 1, 400);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
    look(&s, &harm);
    ck_assert(harm_names(&harm, log, 2 * 4096));
    ck_assert(harm_names(&harm, log, 5 * 4096));
    ck_assert(harm_names(&harm, manifest, 4096));
    bool of_table = false;
    int of_page = 0;
    for (int i = 0; i < harm.n; i++) {
        of_table = of_table || strcmp(harm.items[i].file, table) == 0;
        of_page += strcmp(harm.items[i].file, log) == 0 && harm.items[i].offset == 2 * 4096;
    }
    ck_assert(of_table);
    ck_assert_int_eq(of_page, 1); /* not once by the open and once by the look at the page */
    sim_store_destroy(&s);
}
END_TEST

/* Whether a problem names the file and was found because the disk did not give something back. */
static bool unread_in(const struct harm *harm, const char *file)
{
    bool told = false;

    for (int i = 0; i < harm->n; i++)
        told |= strcmp(harm->items[i].file, file) == 0 && harm->items[i].status == VARVE_EIO &&
                harm->items[i].os_code == EIO;
    return told;
}

/* The second of two files is damaged, and each page of the first cannot be read, one after the other. */
START_TEST(what_cannot_be_read_is_told_and_hides_no_other)
{
    struct sim_store s;
    struct harm harm;
    struct harm_unread unread = {.n = 0};
    char log[VARVE_FILE_NAME_MAX], first[VARVE_FILE_NAME_MAX], second[VARVE_FILE_NAME_MAX];

    make(&s, 78);
    sim_store_newest(&s, VARVE_FILE_SST, first);
    ck_assert_int_eq(varve_flush(s.store, &s.err), VARVE_OK);
    sim_store_newest(&s, VARVE_FILE_SST, second);
    ck_assert_str_ne(first, second);
    for (int k = 60; k < 90; k++)
        ck_assert_int_eq(sim_store_put(&s, "t", k, 0, ROWS, VARVE_POLICY_DURABLE_EACH), VARVE_OK);
    sim_store_kill(&s);
    struct varve_version *const version = sim_store_listed(&s);
    varve_file_name_wal(version->segments[0].id, log);
    ck_assert(version->segments[0].sealed);
    varve_version_unref(version);
    harm_flip(&s, second, 0, 300);
    harm_unread_add(&unread, log, 2);
    harm_unread_add(&unread, log, 5);
    harm_unread_add(&unread, first, 0);
    harm_unread(&s, &unread);
    const uint32_t pages = harm_pages(&s, first);
    for (uint32_t page = 0; page < pages; page++) {
        unread.pages[2] = page;
        look(&s, &harm);
        ck_assert_msg(unread_in(&harm, first), "page %u", page);
        ck_assert(harm_names(&harm, log, 2 * 4096));
        ck_assert(harm_names(&harm, log, 5 * 4096));
        bool of_second = false;
        int of_page = 0;
        for (int i = 0; i < harm.n; i++) {
            of_second |= strcmp(harm.items[i].file, second) == 0;
            of_page += strcmp(harm.items[i].file, log) == 0 && harm.items[i].offset == 2 * 4096;
        }
        ck_assert(of_second);
        ck_assert_int_eq(of_page, 1); /* not once by the open and once by the look at the page */
    }
    sim_store_destroy(&s);
}
END_TEST

/* One copy of the snapshot, or both: then only a store that is open can tell, since nobody can open one
 * with such a manifest. */
START_TEST(a_manifest_that_cannot_be_read_hides_no_other)
{
    struct sim_store s;
    struct harm harm;
    struct harm_unread unread = {.n = 0};
    char manifest[VARVE_FILE_NAME_MAX], table[VARVE_FILE_NAME_MAX];

    make(&s, 79);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, manifest);
    sim_store_newest(&s, VARVE_FILE_SST, table);
    harm_flip(&s, table, 0, 300);
    harm_unread_add(&unread, manifest, 1);
    if (_i == 1)
        harm_unread_add(&unread, manifest, 3);
    harm_unread(&s, &unread);
    ck_assert_int_eq(harm_verify(&s, &harm), VARVE_ECORRUPT);
    ck_assert(unread_in(&harm, manifest));
    ck_assert(_i == 1 || harm_names(&harm, manifest, 4096));
    struct sim_store reader = s;
    ck_assert_int_eq(varve_sim_attach(s.sim, &reader.vfs), 0);
    reader.options.flags = VARVE_OPEN_READ_ONLY;
    ck_assert_int_eq(sim_store_try_open(&reader), _i == 1 ? VARVE_EIO : VARVE_OK);
    if (_i == 0)
        sim_store_close(&reader);
    bool of_table = false;
    for (int i = 0; i < harm.n; i++)
        of_table |= strcmp(harm.items[i].file, table) == 0;
    ck_assert(of_table);
    unread.n = 0;
    sim_store_destroy(&s);
}
END_TEST

/* What the process lacks is no damage of the store. */
START_TEST(a_file_that_could_not_be_looked_at_fails_the_call)
{
    struct sim_store s;
    struct varve_sim_fault fault = {
        .classes = VARVE_SIM_OPEN, .nth = 1, .times = UINT64_MAX, .error = EMFILE};

    make(&s, 80);
    sim_store_kill(&s);
    sim_store_newest(&s, VARVE_FILE_SST, fault.name);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&s);
    ck_assert_int_eq(varve_sim_fault_add(s.sim, &fault), 0);
    ck_assert_int_eq(varve_verify(s.store, NULL, NULL, NULL, NULL, &s.err), VARVE_EIO);
    ck_assert_int_eq(s.err.os_code, EMFILE);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(what_nothing_believes_is_not_looked_at)
{
    static const uint8_t junk[100] = "junk";
    struct sim_store s;
    struct harm harm;
    char newest[VARVE_FILE_NAME_MAX], older[VARVE_FILE_NAME_MAX];
    uint64_t generation = 0;

    make(&s, 77);
    sim_store_close(&s);
    sim_store_newest(&s, VARVE_FILE_MANIFEST, newest);
    ck_assert_int_eq(varve_file_name_parse(newest, &generation), VARVE_FILE_MANIFEST);
    varve_file_name_manifest(generation - 1, older);
    ck_assert(harm_exists(&s, older));
    for (uint64_t byte = 0; byte < 4096; byte += 10)
        harm_flip(&s, older, 0, byte);
    (void)varve_sim_overwrite(s.sim, "RESERVE", 0, junk, sizeof junk);
    look(&s, &harm);
    ck_assert_int_eq(harm.n, 0);
    ck_assert_int_eq(sim_store_try_open(&s), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 59 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_test(cases, a_sound_store_has_no_problem);
    tcase_add_test(cases, each_page_of_the_manifest_is_looked_at);
    tcase_add_test(cases, all_damaged_pages_of_the_manifest_are_told);
    tcase_add_test(cases, each_page_of_a_sealed_segment_is_looked_at);
    tcase_add_test(cases, lost_pages_of_a_sealed_segment_are_told);
    tcase_add_test(cases, damage_in_the_log_hides_no_other);
    tcase_add_test(cases, what_cannot_be_read_is_told_and_hides_no_other);
    tcase_add_loop_test(cases, a_manifest_that_cannot_be_read_hides_no_other, 0, 2);
    tcase_add_test(cases, a_file_that_could_not_be_looked_at_fails_the_call);
    tcase_add_test(cases, what_nothing_believes_is_not_looked_at);
}

int main(void)
{
    return sim_store_main("verify_all", add);
}
