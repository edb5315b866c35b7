/*
 * test_missing_manifest.c - a store whose newest manifest was lost, as by a copy that is not whole: the
 * manifest before it opens and looks sound, but must not be believed while files show that there was
 * a newer one. No file is touched meanwhile.
 */
#include <string.h>

#include "tests/unit/engine/sim_store.h"

#define ROWS 100

static void lose_newest(struct sim_store *s)
{
    char name[VARVE_FILE_NAME_MAX];

    sim_store_newest(s, VARVE_FILE_MANIFEST, name);
    ck_assert_int_eq(s->vfs->ops->unlink(s->vfs, name), 0);
    ck_assert_int_eq(s->vfs->ops->sync_dir(s->vfs), 0);
}

static uint32_t files_of(struct sim_store *s)
{
    return sim_store_files(s, VARVE_FILE_WAL) + sim_store_files(s, VARVE_FILE_SST);
}

/* Refused, for writing and reading alike, as often as it is tried; nothing is removed. */
static void must_refuse(struct sim_store *s)
{
    const uint32_t files = files_of(s);

    for (int i = 0; i < 4; i++) {
        s->options.flags = i % 2 == 0 ? 0 : VARVE_OPEN_READ_ONLY;
        ck_assert_int_eq(sim_store_try_open(s), VARVE_ECORRUPT);
        ck_assert_ptr_nonnull(strstr(s->err.message, "a manifest is missing"));
        ck_assert_ptr_nonnull(strchr(s->err.file, '.'));
        ck_assert_uint_eq(files_of(s), files);
    }
    s->options.flags = VARVE_OPEN_READ_ONLY | VARVE_OPEN_SALVAGE;
    ck_assert_int_eq(sim_store_try_open(s), VARVE_OK);
    ck_assert_int_eq(sim_store_count(s, "t"), ROWS);
    sim_store_close(s);
}

static void fill(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_close(s);
}

START_TEST(of_the_last_open)
{
    struct sim_store s;

    fill(&s, 71);
    sim_store_open(&s); /* begins a generation */
    ck_assert_int_eq(sim_store_put(&s, "t", 1, ROWS, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    if (_i == 1)
        sim_store_close(&s);
    else
        sim_store_kill(&s);
    lose_newest(&s);
    must_refuse(&s);
    sim_store_destroy(&s);
}
END_TEST

/* The edits of one life outgrow a generation: the ids that were reserved under it are not used up, and
 * yet a segment made later shows. */
START_TEST(of_a_switch_in_the_middle)
{
    struct sim_store s;
    int64_t row = 0;

    sim_store_create(&s, 72);
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    char before[VARVE_FILE_NAME_MAX];
    char now[VARVE_FILE_NAME_MAX];
    sim_store_newest(&s, VARVE_FILE_MANIFEST, before);
    memcpy(now, before, sizeof now);
    while (strcmp(now, before) == 0) {
        row += ROWS;
        ck_assert_int_eq(sim_store_put(&s, "t", 1, row, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
        ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
        sim_store_newest(&s, VARVE_FILE_MANIFEST, now);
    }
    row += ROWS;
    ck_assert_int_eq(sim_store_put(&s, "t", 1, row, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s.store, NULL), VARVE_OK);
    sim_store_kill(&s);
    lose_newest(&s);
    for (int i = 0; i < 2; i++) {
        s.options.flags = i == 0 ? 0 : VARVE_OPEN_READ_ONLY;
        ck_assert_int_eq(sim_store_try_open(&s), VARVE_ECORRUPT);
        ck_assert_ptr_nonnull(strstr(s.err.message, "a manifest is missing"));
    }
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, of_the_last_open, 0, 2);
    tcase_add_test(cases, of_a_switch_in_the_middle);
}

int main(void)
{
    return sim_store_main("missing_manifest", add);
}
