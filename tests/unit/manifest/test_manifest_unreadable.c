/*
 * test_manifest_unreadable.c - pages of the manifest that the disk does not give back, once or for good.
 *
 * Method: one page, or two, of generations of several shapes cannot be read, or one cannot and another is
 * junk. What opens if they are all junk opens then, with the same state; anything else is EIO, which names
 * file and page, and not ECORRUPT: read later, the page may be sound.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manifest_fixture.h"
#include "tests/lib/run_share.h"

#define NO_PAGE UINT32_MAX

/* A closed manifest, and the pages that its disk does not give back. */
struct file {
    struct rig rig;
    char name[VARVE_FILE_NAME_MAX];
    uint64_t state;
    uint32_t pages, used;
    uint32_t unread[2]; /* NO_PAGE: none */
    uint64_t times;     /* so often each time it is armed */
    uint64_t struck;
    int error;
};

static int before_read(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct file *f = ctx;

    (void)sim;
    if (event->phase != VARVE_SIM_BEFORE || event->op != VARVE_SIM_READ ||
        strcmp(event->name, f->name) != 0 || f->struck == f->times)
        return 0;
    for (int i = 0; i < 2; i++) {
        const uint64_t at = (uint64_t)f->unread[i] * VARVE_PAGE_SIZE;
        if (event->offset < at + VARVE_PAGE_SIZE && at < event->offset + event->size) {
            f->struck++;
            return -f->error;
        }
    }
    return 0;
}

static void arm(struct file *f, uint32_t first, uint32_t second, uint64_t times)
{
    f->unread[0] = first;
    f->unread[1] = second;
    f->times = times;
    f->struck = 0;
}

/* 0: edits behind an empty state, the last of two pages; 1: a snapshot of two pages, and edits; 2: no
 * edits. */
static void file_init(struct file *f, int shape)
{
    struct varve_manifest *m = NULL;
    uint8_t page[VARVE_PAGE_SIZE];
    uint32_t i = 0;

    memset(f, 0, sizeof *f);
    rig_init(&f->rig, 17);
    must(varve_manifest_create(f->rig.vfs, &f->rig.heap, &m, &f->rig.err) == VARVE_OK);
    for (; i < 6; i++)
        must(sample_apply(m, &f->rig, i) == VARVE_OK);
    if (shape > 0)
        must(varve_manifest_switch(m, &f->rig.err) == VARVE_OK);
    for (; shape == 1 && i < 9; i++)
        must(sample_apply(m, &f->rig, i) == VARVE_OK);
    f->state = manifest_state(m);
    varve_file_name_manifest(varve_manifest_generation(m), f->name);
    varve_manifest_close(m);
    f->pages = (uint32_t)(varve_sim_size(f->rig.sim, f->name) / VARVE_PAGE_SIZE);
    for (uint32_t p = 0; p < f->pages; p++) {
        static const uint8_t zeros[VARVE_PAGE_SIZE];
        must(varve_sim_read(f->rig.sim, f->name, (uint64_t)p * VARVE_PAGE_SIZE, page,
                            sizeof page) == VARVE_PAGE_SIZE);
        if (memcmp(page, zeros, sizeof page) != 0)
            f->used = p + 1;
    }
    f->error = EIO;
    arm(f, NO_PAGE, NO_PAGE, 0);
    must(varve_sim_watch(f->rig.sim, before_read, f) == 0);
}

static void file_free(struct file *f)
{
    varve_sim_unwatch(f->rig.sim, before_read, f);
    rig_free(&f->rig);
}

/* Every bit the other way; twice is as before. */
static void turn_page(struct file *f, uint32_t page_no)
{
    const uint64_t at = (uint64_t)page_no * VARVE_PAGE_SIZE;
    uint8_t page[VARVE_PAGE_SIZE];

    must(varve_sim_read(f->rig.sim, f->name, at, page, sizeof page) == VARVE_PAGE_SIZE);
    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (uint8_t)~page[i];
    must(varve_sim_overwrite(f->rig.sim, f->name, at, page, sizeof page) == 0);
}

static varve_status open_it(struct file *f, bool read_only, varve_error *err)
{
    struct varve_manifest *m = NULL;
    const varve_status rc = varve_manifest_open(f->rig.vfs, &f->rig.heap, read_only, &m, err);

    if (rc == VARVE_OK)
        must(manifest_state(m) == f->state);
    varve_manifest_close(m);
    return rc;
}

/* Whether an open for writing gets past junk in these pages. */
static bool junk_opens(struct file *f, uint32_t first, uint32_t second)
{
    varve_error err = {0};

    turn_page(f, first);
    if (second != first)
        turn_page(f, second);
    const varve_status rc = open_it(f, false, &err);
    must(rc == VARVE_OK || rc == VARVE_ECORRUPT);
    turn_page(f, first);
    if (second != first)
        turn_page(f, second);
    return rc == VARVE_OK;
}

/* Readers, too, although they pass over junk behind the last edit: a writer may be at work there. Over
 * what they could not read they pass only where nothing can be hidden in it. */
static void must_open_or_say_so(struct file *f, bool opens, const char *what)
{
    for (int read_only = 0; read_only < 2; read_only++) {
        varve_error err = {0};
        const varve_status rc = open_it(f, read_only, &err);

        ck_assert_msg(rc == (opens ? VARVE_OK : VARVE_EIO),
                      "%s, pages %u and %u, read_only %d: %s: %s", what, f->unread[0], f->unread[1],
                      read_only, varve_status_name(rc), err.message);
        if (opens)
            continue;
        must(err.os_code == f->error);
        must(strcmp(err.file, f->name) == 0);
        must(err.offset == (uint64_t)f->unread[0] * VARVE_PAGE_SIZE ||
             err.offset == (uint64_t)f->unread[1] * VARVE_PAGE_SIZE);
    }
}

START_TEST(a_page_that_can_be_read_the_second_time_is_no_loss)
{
    struct file f;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.pages; p++) {
        for (int read_only = 0; read_only < 2; read_only++) {
            varve_error err = {0};
            arm(&f, p, NO_PAGE, 1);
            const varve_status rc = open_it(&f, read_only, &err);
            ck_assert_msg(rc == VARVE_OK, "page %u: %s", p, err.message);
        }
    }
    file_free(&f);
}
END_TEST

START_TEST(an_unreadable_page_is_made_good_like_junk)
{
    static const int errors[] = {EIO, ENODATA, EUCLEAN};
    struct file f;
    uint32_t opened = 0;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.pages; p++) {
        const bool opens = junk_opens(&f, p, p);
        opened += opens;
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            f.error = errors[e];
            arm(&f, p, NO_PAGE, UINT64_MAX);
            must_open_or_say_so(&f, opens, "unreadable");
            must(f.struck > 0 || (opens && p < f.used)); /* a copy that nobody needed */
        }
        arm(&f, NO_PAGE, NO_PAGE, 0);
    }
    ck_assert_uint_eq(opened, f.used); /* all that was written stands twice */
    file_free(&f);
}
END_TEST

START_TEST(two_unreadable_pages_open_what_two_of_junk_do)
{
    struct file f;
    uint64_t opened = 0, refused = 0;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.used; p++)
        for (uint32_t q = p + 1; q < f.used + 2; q++) {
            const bool opens = junk_opens(&f, p, q);
            arm(&f, p, q, UINT64_MAX);
            must_open_or_say_so(&f, opens, "both unreadable");
            arm(&f, NO_PAGE, NO_PAGE, 0);
            opened += opens;
            refused += !opens;
        }
    ck_assert_uint_gt(opened, 0);
    ck_assert_uint_gt(refused, 0);
    run_share("damage: pairs of pages of a manifest that cannot be read: %llu opened, %llu refused",
              (unsigned long long)opened, (unsigned long long)refused);
    file_free(&f);
}
END_TEST

/* A disk that gives a page back at last, between any two looks at it: what was passed over at the first one
 * must not be taken for an edit that nobody acted upon at the second. */
START_TEST(pages_that_come_back_meanwhile_hide_nothing)
{
    struct file f;
    uint64_t opened = 0, refused = 0;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.used; p++)
        for (uint32_t q = p + 1; q < f.used; q++)
            for (uint64_t times = 1; times < 20; times++) {
                varve_error err = {0};
                arm(&f, p, q, times);
                const varve_status rc = open_it(&f, times % 2 != 0, &err);
                must(rc == VARVE_OK || rc == VARVE_EIO);
                opened += rc == VARVE_OK;
                refused += rc == VARVE_EIO;
            }
    ck_assert_uint_gt(opened, 0);
    ck_assert_uint_gt(refused, 0);
    file_free(&f);
}
END_TEST

/* Were the other one read, the store would open: so it is not damaged beyond repair yet. */
START_TEST(junk_beside_an_unreadable_page_is_not_called_the_loss)
{
    struct file f;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.used; p++)
        for (uint32_t q = 0; q < f.used; q++) {
            if (p == q)
                continue;
            const bool opens = junk_opens(&f, p, q);
            turn_page(&f, p);
            arm(&f, q, NO_PAGE, UINT64_MAX);
            must_open_or_say_so(&f, opens, "junk beside it");
            arm(&f, NO_PAGE, NO_PAGE, 0);
            turn_page(&f, p);
        }
    file_free(&f);
}
END_TEST

/* Both copies of the last edit lost to junk is ECORRUPT, whatever of the snapshot was not read. */
START_TEST(damage_stays_damage_where_what_was_not_read_does_not_matter)
{
    struct file f;
    varve_error err = {0};

    file_init(&f, 0);
    turn_page(&f, f.used - 4);
    turn_page(&f, f.used - 1);
    for (uint32_t p = 0; p < 5; p++) {
        arm(&f, p, NO_PAGE, UINT64_MAX);
        ck_assert_int_eq(open_it(&f, false, &err), VARVE_ECORRUPT);
        ck_assert_uint_eq(err.offset, (uint64_t)(f.used - 4) * VARVE_PAGE_SIZE);
    }
    turn_page(&f, f.used - 4);
    turn_page(&f, f.used - 1);
    turn_page(&f, 1); /* both copies of the snapshot; header, seals and edits do not help */
    turn_page(&f, 3);
    for (uint32_t p = 0; p < f.used; p += p == 0 || p == 2 ? 2 : 1) {
        arm(&f, p, NO_PAGE, UINT64_MAX);
        ck_assert_int_eq(open_it(&f, false, &err), VARVE_ECORRUPT);
        ck_assert_uint_eq(err.offset, VARVE_PAGE_SIZE);
    }
    file_free(&f);
}
END_TEST

/* Another store's seal in place of the first one. Header or second seal would outvote it, if they were
 * read; by it alone nothing else in the file is sound. */
START_TEST(a_foreign_seal_does_not_speak_for_one_that_was_not_read)
{
    static const uint32_t unread[][2] = {{0, 4}, {4, NO_PAGE}};
    struct file f;
    struct rig other;
    struct varve_manifest *m = NULL;
    uint8_t seal[VARVE_PAGE_SIZE];
    varve_error err = {0};

    rig_init(&other, 99);
    must(varve_manifest_create(other.vfs, &other.heap, &m, &other.err) == VARVE_OK);
    varve_manifest_close(m);
    file_init(&f, 0);
    must(varve_sim_read(other.sim, f.name, 2 * sizeof seal, seal, sizeof seal) == sizeof seal);
    must(varve_sim_overwrite(f.rig.sim, f.name, 2 * sizeof seal, seal, sizeof seal) == 0);
    ck_assert_int_eq(open_it(&f, false, &err), VARVE_OK);
    for (size_t i = 0; i < sizeof unread / sizeof unread[0]; i++) {
        arm(&f, unread[i][0], unread[i][1], UINT64_MAX);
        must_open_or_say_so(&f, false, "a foreign seal");
    }
    rig_free(&other);
    file_free(&f);
}
END_TEST

/* What the process lacks says nothing of the page: it is not asked for again, nor is its copy. */
START_TEST(an_error_that_is_not_the_pages_ends_the_open)
{
    struct file f;
    varve_error err = {0};

    file_init(&f, 0);
    f.error = ENOMEM;
    for (uint32_t p = 0; p < f.pages; p++) {
        arm(&f, p, NO_PAGE, 1);
        const varve_status rc = open_it(&f, true, &err);
        ck_assert_int_eq(rc, f.struck > 0 ? VARVE_ENOMEM : VARVE_OK);
    }
    file_free(&f);
}
END_TEST

/* The newest generation cannot be read where it matters; the one before is sound. */
START_TEST(an_older_generation_is_not_taken_instead)
{
    struct file f;
    varve_error err = {0};

    file_init(&f, 1);
    const uint32_t both[][2] = {{1, 4}, {2, 5}, {f.used - 2, f.used - 1}, {0, NO_PAGE}};
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++)
        for (int read_only = 0; read_only < 2; read_only++) {
            arm(&f, both[i][0], both[i][1], UINT64_MAX);
            const varve_status rc = open_it(&f, read_only, &err);
            ck_assert_int_eq(rc, both[i][1] == NO_PAGE ? VARVE_OK : VARVE_EIO);
        }
    file_free(&f);
}
END_TEST

/* Beside a writer: an edit with one copy unreadable is seen, with both it is not passed over. */
START_TEST(a_reader_sees_an_edit_by_the_copy_that_can_be_read)
{
    struct file f;
    struct varve_manifest *m = NULL, *reader = NULL;
    bool changed = false;

    file_init(&f, 2);
    must(varve_manifest_open(f.rig.vfs, &f.rig.heap, false, &m, &f.rig.err) == VARVE_OK);
    must(varve_manifest_switch(m, &f.rig.err) == VARVE_OK);
    varve_file_name_manifest(varve_manifest_generation(m), f.name);
    must(varve_manifest_open(f.rig.vfs, &f.rig.heap, true, &reader, &f.rig.err) == VARVE_OK);
    uint32_t at = f.used;
    for (uint32_t i = 20; i < 23; i++, at += 2) {
        const uint64_t before = manifest_state(reader);
        must(sample_apply(m, &f.rig, i) == VARVE_OK);
        arm(&f, at, at + 1, UINT64_MAX);
        ck_assert_int_eq(varve_manifest_refresh(reader, &changed, &f.rig.err), VARVE_EIO);
        ck_assert_str_eq(f.rig.err.file, f.name);
        ck_assert_uint_eq(f.rig.err.offset, (uint64_t)at * VARVE_PAGE_SIZE);
        ck_assert_uint_eq(manifest_state(reader), before);
        arm(&f, at + i % 2, NO_PAGE, UINT64_MAX);
        ck_assert_int_eq(varve_manifest_refresh(reader, &changed, &f.rig.err), VARVE_OK);
        ck_assert(changed);
        ck_assert_uint_eq(manifest_state(reader), manifest_state(m));
    }
    varve_manifest_close(reader);
    varve_manifest_close(m);
    file_free(&f);
}
END_TEST

/* -------------------------------------------------------------------------------------- Verify */

struct told {
    struct file *file;
    uint32_t n; /* of the page that cannot be read */
};

static void take_problem(void *ctx, const varve_error *problem)
{
    struct told *told = ctx;

    ck_assert_int_eq(problem->status, VARVE_EIO);
    ck_assert_int_eq(problem->os_code, EIO);
    ck_assert_str_eq(problem->file, told->file->name);
    ck_assert_uint_eq(problem->offset, (uint64_t)told->file->unread[0] * VARVE_PAGE_SIZE);
    told->n++;
}

START_TEST(verify_tells_of_a_page_that_cannot_be_read)
{
    struct file f;

    file_init(&f, _i);
    for (uint32_t p = 0; p < f.used; p++) {
        struct told told = {.file = &f};
        arm(&f, p, NO_PAGE, UINT64_MAX);
        ck_assert_int_eq(
            varve_manifest_verify(f.rig.vfs, &f.rig.heap, false, take_problem, &told, &f.rig.err),
            VARVE_OK);
        ck_assert_msg(told.n == 1, "page %u: %u", p, told.n);
        arm(&f, p, NO_PAGE, 1); /* once is no problem */
        ck_assert_int_eq(
            varve_manifest_verify(f.rig.vfs, &f.rig.heap, false, take_problem, &told, &f.rig.err),
            VARVE_OK);
        ck_assert_uint_eq(told.n, 1);
    }
    file_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_unreadable");
    TCase *cases = tcase_create("unreadable");

    tcase_add_loop_test(cases, a_page_that_can_be_read_the_second_time_is_no_loss, 0, 3);
    tcase_add_loop_test(cases, an_unreadable_page_is_made_good_like_junk, 0, 3);
    tcase_add_loop_test(cases, two_unreadable_pages_open_what_two_of_junk_do, 0, 3);
    tcase_add_loop_test(cases, pages_that_come_back_meanwhile_hide_nothing, 0, 3);
    tcase_add_loop_test(cases, junk_beside_an_unreadable_page_is_not_called_the_loss, 0, 3);
    tcase_add_test(cases, damage_stays_damage_where_what_was_not_read_does_not_matter);
    tcase_add_test(cases, a_foreign_seal_does_not_speak_for_one_that_was_not_read);
    tcase_add_test(cases, an_error_that_is_not_the_pages_ends_the_open);
    tcase_add_test(cases, an_older_generation_is_not_taken_instead);
    tcase_add_test(cases, a_reader_sees_an_edit_by_the_copy_that_can_be_read);
    tcase_add_loop_test(cases, verify_tells_of_a_page_that_cannot_be_read, 0, 3);
    tcase_set_timeout(cases, run_is_full() ? 3600 : 60);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
