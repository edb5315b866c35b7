/*
 * test_manifest_clauses.c - manifest.c against files whose checksums all hold: pages that say what no
 * writer would have written there, each sealed again, and names that do not belong there.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest_fixture.h"
#include "storage/base/checksum.h"

/* One generation: header, snapshot and seal twice, then edits of a page, each twice. */
#define EDITS 3u
#define FIRST_SNAPSHOT 1u
#define FIRST_SEAL 2u
#define SECOND_SNAPSHOT 3u
#define SECOND_SEAL 4u
#define LAST_EDIT 9u  /* its first copy */
#define ROOM 11u      /* the first page that was never written */
#define FIRST_EDIT 5u /* of it too */

struct file {
    struct rig rig;
    char name[VARVE_FILE_NAME_MAX];
    uint8_t uuid[16];
    uint64_t state, before; /* after the last edit, and before it */
    uint32_t pages;
};

static void get_page(struct file *f, uint32_t page_no, uint8_t *page)
{
    must(varve_sim_read(f->rig.sim, f->name, (uint64_t)page_no * VARVE_PAGE_SIZE, page,
                        VARVE_PAGE_SIZE) == VARVE_PAGE_SIZE);
}

static void put_page(struct file *f, uint32_t page_no, const uint8_t *page)
{
    must(varve_sim_overwrite(f->rig.sim, f->name, (uint64_t)page_no * VARVE_PAGE_SIZE, page,
                             VARVE_PAGE_SIZE) == 0);
}

static void zero_page(struct file *f, uint32_t page_no)
{
    static const uint8_t zeros[VARVE_PAGE_SIZE];

    put_page(f, page_no, zeros);
}

/* What page `page_no` says of itself; it has to be valid there. */
static struct varve_page_trailer trailer_of(const struct file *f, uint32_t page_no,
                                            const uint8_t *page)
{
    const struct varve_page_place place = varve_manifest_page_place(f->uuid, 1, page_no);
    struct varve_page_trailer trailer;

    must(varve_page_classify(page, &place, &trailer) == VARVE_PAGE_VALID);
    return trailer;
}

/* Write it as page `page_no`, with every checksum right. */
static void seal_page(struct file *f, uint32_t page_no, uint8_t *page,
                      const struct varve_page_trailer *trailer)
{
    const struct varve_page_place place = varve_manifest_page_place(f->uuid, 1, page_no);

    (void)varve_page_encode(page, &place, trailer);
    put_page(f, page_no, page);
}

static void file_init(struct file *f)
{
    struct varve_manifest *m = NULL;
    uint8_t page[VARVE_PAGE_SIZE];

    rig_init(&f->rig, 8);
    must(varve_manifest_create(f->rig.vfs, &f->rig.heap, &m, &f->rig.err) == VARVE_OK);
    for (uint32_t i = 0; i < EDITS; i++) {
        f->before = manifest_state(m);
        must(sample_apply(m, &f->rig, i) == VARVE_OK);
    }
    f->state = manifest_state(m);
    varve_file_name_manifest(1, f->name);
    must(varve_manifest_generation(m) == 1);
    varve_manifest_close(m);
    f->pages = (uint32_t)(varve_sim_size(f->rig.sim, f->name) / VARVE_PAGE_SIZE);
    get_page(f, 0, page);
    memcpy(f->uuid, page + 16, sizeof f->uuid);
    get_page(f, LAST_EDIT + 1, page);
    must(trailer_of(f, LAST_EDIT + 1, page).first_record == 0);
}

enum outcome { REFUSED, BEFORE, SAME };

/* What an open shows; a refusal names the file. */
static enum outcome opened_as(struct file *f, bool read_only)
{
    struct varve_manifest *m = NULL;
    varve_error err = {0};
    const varve_status rc = varve_manifest_open(f->rig.vfs, &f->rig.heap, read_only, &m, &err);

    if (rc < 0) {
        ck_assert_msg(rc == VARVE_ECORRUPT, "%s: %s", varve_status_name(rc), err.message);
        ck_assert_str_eq(err.file, f->name);
        return REFUSED;
    }
    const uint64_t state = manifest_state(m);
    varve_manifest_close(m);
    must(state == f->state || state == f->before);
    return state == f->state ? SAME : BEFORE;
}

/* --------------------------------------------------------------------------------------- Pages */

/* A field of a trailer that no page of the manifest has so. */
static const struct {
    const char *what;
    struct varve_page_trailer add; /* to what stands there */
    enum outcome writer, reader;   /* with it in both copies of the last edit */
} page_clause[] = {
    {"durable position", {.durable_lsn = 1}, REFUSED, BEFORE},
    {"commit position", {.commit_lsn = 1}, REFUSED, BEFORE},
    {"first position", {.first_lsn = 1}, REFUSED, BEFORE},
    {"flag", {.flags = VARVE_PAGE_PARTIAL}, REFUSED, REFUSED},
    {"more bytes than its content has", {.used = 1}, BEFORE, BEFORE},
    {"no record where one begins", {.first_record = VARVE_PAGE_NO_RECORD}, BEFORE, BEFORE},
};

static void spoil(struct file *f, uint32_t page_no, const struct varve_page_trailer *add)
{
    uint8_t page[VARVE_PAGE_SIZE];

    get_page(f, page_no, page);
    struct varve_page_trailer trailer = trailer_of(f, page_no, page);
    trailer.durable_lsn += add->durable_lsn;
    trailer.commit_lsn += add->commit_lsn;
    trailer.first_lsn += add->first_lsn;
    trailer.used = (uint16_t)(trailer.used + add->used);
    trailer.flags |= add->flags;
    trailer.first_record |= add->first_record;
    seal_page(f, page_no, page, &trailer);
}

START_TEST(a_page_that_breaks_a_clause_is_made_good_by_its_copy_alone)
{
    struct file f;
    uint8_t good[VARVE_PAGE_SIZE];

    for (uint32_t copy = 0; copy < 2; copy++) {
        file_init(&f);
        spoil(&f, LAST_EDIT + copy, &page_clause[_i].add);
        ck_assert_msg(opened_as(&f, false) == SAME, "%s", page_clause[_i].what);
        ck_assert_int_eq(opened_as(&f, true), SAME);
        spoil(&f, LAST_EDIT + 1 - copy, &page_clause[_i].add);
        ck_assert_msg(opened_as(&f, false) == page_clause[_i].writer, "%s", page_clause[_i].what);
        ck_assert_msg(opened_as(&f, true) == page_clause[_i].reader, "%s", page_clause[_i].what);
        rig_free(&f.rig);
    }
    if (page_clause[_i].add.first_record != 0)
        return; /* no record begins in a snapshot */
    file_init(&f);
    get_page(&f, FIRST_SNAPSHOT, good);
    spoil(&f, FIRST_SNAPSHOT, &page_clause[_i].add);
    ck_assert_int_eq(opened_as(&f, false), SAME);
    spoil(&f, SECOND_SNAPSHOT, &page_clause[_i].add);
    for (int read_only = 0; read_only < 2; read_only++)
        ck_assert_int_eq(opened_as(&f, read_only), REFUSED);
    put_page(&f, FIRST_SNAPSHOT, good);
    ck_assert_int_eq(opened_as(&f, false), SAME);
    rig_free(&f.rig);
}
END_TEST

START_TEST(a_record_that_begins_in_a_snapshot_is_damage)
{
    struct file f;
    uint8_t page[VARVE_PAGE_SIZE];

    file_init(&f);
    for (uint32_t p = FIRST_SNAPSHOT; p <= SECOND_SNAPSHOT; p += 2) {
        get_page(&f, p, page);
        struct varve_page_trailer trailer = trailer_of(&f, p, page);
        trailer.first_record = 0;
        seal_page(&f, p, page, &trailer);
        ck_assert_int_eq(opened_as(&f, p % 2 != 0), p == FIRST_SNAPSHOT ? SAME : REFUSED);
    }
    rig_free(&f.rig);
}
END_TEST

/* Without its header and the seals in their places the file is not sealed, whatever else is there. */
START_TEST(a_seal_counts_only_where_it_says_that_it_stands)
{
    struct file f;
    uint8_t seal[VARVE_PAGE_SIZE];

    file_init(&f);
    get_page(&f, SECOND_SEAL, seal);
    const struct varve_page_trailer trailer = trailer_of(&f, SECOND_SEAL, seal);
    zero_page(&f, 0);
    zero_page(&f, FIRST_SEAL);
    ck_assert_int_eq(opened_as(&f, false), SAME);
    zero_page(&f, SECOND_SEAL);
    seal_page(&f, FIRST_EDIT, seal, &trailer); /* whose other copy is good */
    for (int read_only = 0; read_only < 2; read_only++)
        ck_assert_int_eq(opened_as(&f, read_only), REFUSED);
    seal_page(&f, FIRST_SEAL, seal, &trailer);
    zero_page(&f, FIRST_EDIT);
    ck_assert_int_eq(opened_as(&f, false), SAME);
    rig_free(&f.rig);
}
END_TEST

/* However many seals there are, those of a file itself are found. */
START_TEST(seals_of_other_files_are_outvoted)
{
    struct file f;
    uint8_t page[VARVE_PAGE_SIZE], own[VARVE_PAGE_SIZE];
    struct varve_manifest_header header;

    file_init(&f);
    get_page(&f, FIRST_SEAL, own);
    const struct varve_page_trailer trailer = trailer_of(&f, FIRST_SEAL, own);
    must(varve_manifest_header_decode(varve_span_of(own, VARVE_MANIFEST_HEADER_SIZE), &header) ==
         VARVE_OK);
    zero_page(&f, 0);
    memset(header.uuid, 0x77, sizeof header.uuid);
    for (uint32_t n = 10; n < 14; n++) { /* the seals of larger snapshots, behind the edits */
        header.snapshot_pages = n;
        header.snapshot_size = (uint64_t)n * VARVE_PAGE_PAYLOAD;
        header.file_pages = f.pages;
        header.uuid[0] = (uint8_t)n;
        memcpy(page, own, sizeof page);
        varve_manifest_header_encode(&header, page);
        const struct varve_page_place place = varve_manifest_page_place(header.uuid, 1, 2 * n + 2);
        (void)varve_page_encode(page, &place, &trailer);
        put_page(&f, 2 * n + 2, page);
    }
    ck_assert_int_eq(opened_as(&f, true), SAME);
    ck_assert_int_eq(opened_as(&f, false), REFUSED); /* no write of this file left those pages */
    rig_free(&f.rig);
}
END_TEST

/* ---------------------------------------------------------------------------- Behind the edits */

/* A page in the room behind the last edit, which is number EDITS of the file. */
static void put_behind(struct file *f, uint64_t version, uint32_t copy, uint16_t flags,
                       uint16_t first_record)
{
    const struct varve_manifest_edit edit = {
        .size = 2 * VARVE_PAGE_PAYLOAD, .copy = copy, .version = version, .hash = 1};
    const struct varve_page_trailer trailer = {
        .used = VARVE_PAGE_PAYLOAD, .flags = flags, .first_record = first_record};
    uint8_t page[VARVE_PAGE_SIZE] = {0};

    varve_manifest_edit_encode(&edit, page);
    seal_page(f, ROOM, page, &trailer);
}

/* What a write of the next edit leaves when it is cut short, and what it cannot leave. */
START_TEST(a_page_behind_the_last_edit_is_a_part_of_the_next_or_damage)
{
    static const struct {
        const char *what;
        uint64_t version;
        uint32_t copy;
        uint16_t flags, first_record;
        enum outcome outcome;
    } pages[] = {
        {"the next edit, its other pages missing", EDITS + 1, 1, 0, 0, SAME},
        {"a later page of it", 0, 1, 0, VARVE_PAGE_NO_RECORD, SAME},
        {"a seal", EDITS + 1, 1, VARVE_PAGE_SEAL, VARVE_PAGE_NO_RECORD, REFUSED},
        {"a page that is to be written again", EDITS + 1, 1, VARVE_PAGE_PARTIAL, 0, REFUSED},
        {"an edit that was applied", EDITS, 1, 0, 0, REFUSED},
        {"the edit after the next", EDITS + 2, 1, 0, 0, REFUSED},
        {"no edit", EDITS + 1, 3, 0, 0, REFUSED},
    };
    struct file f;

    file_init(&f);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        put_behind(&f, pages[i].version, pages[i].copy, pages[i].flags, pages[i].first_record);
        for (int read_only = 0; read_only < 2; read_only++)
            ck_assert_msg(opened_as(&f, read_only) == pages[i].outcome, "%s", pages[i].what);
    }
    rig_free(&f.rig);
}
END_TEST

/* Give copy `copy` of the last edit another size; its content stays. */
static void resize_edit(struct file *f, uint32_t copy, uint32_t size)
{
    uint8_t page[VARVE_PAGE_SIZE];

    get_page(f, LAST_EDIT + copy, page);
    const struct varve_page_trailer trailer = trailer_of(f, LAST_EDIT + copy, page);
    varve_put_u32(page, size);
    seal_page(f, LAST_EDIT + copy, page, &trailer);
}

START_TEST(an_edit_that_does_not_fit_where_it_stands_is_none)
{
    struct file f;

    file_init(&f);
    const uint32_t room = f.pages - LAST_EDIT;
    const uint32_t sizes[] = {(room / 2 + 1) * VARVE_PAGE_PAYLOAD, VARVE_MANIFEST_EDIT_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        resize_edit(&f, 0, sizes[i]); /* more pages than the file has: the other copy counts */
        ck_assert_int_eq(opened_as(&f, false), SAME);
        resize_edit(&f, 1, sizes[i]);
        ck_assert_int_eq(opened_as(&f, false), BEFORE);
        rig_free(&f.rig);
        file_init(&f);
    }
    rig_free(&f.rig);
}
END_TEST

/* An edit of two pages, whole but for its place: a second copy, a page behind where a first would be. */
START_TEST(a_second_copy_counts_only_behind_the_whole_first)
{
    static uint8_t bytes[2 * VARVE_PAGE_PAYLOAD];
    const uint32_t size = VARVE_PAGE_PAYLOAD; /* of one operation, to be skipped */
    uint8_t *const ops = bytes + VARVE_MANIFEST_EDIT_SIZE;
    struct file f;
    struct varve_manifest_edit edit = {.size = size, .copy = 2, .version = EDITS};

    const uint32_t body = size - 4;
    const uint8_t head[4] = {0xc8, 1, (uint8_t)(0x80 | (body & 0x7f)), (uint8_t)(body >> 7)};
    memcpy(ops, head, sizeof head);
    edit.hash = varve_hash64(ops, size, 0);
    varve_manifest_edit_encode(&edit, bytes);
    for (uint32_t distance = 1; distance <= 2; distance++) {
        file_init(&f);
        zero_page(&f, LAST_EDIT);
        zero_page(&f, LAST_EDIT + 1);
        for (uint32_t i = 0; i < 2; i++) {
            uint8_t page[VARVE_PAGE_SIZE] = {0};
            const struct varve_page_trailer trailer = {
                .used = i == 0 ? VARVE_PAGE_PAYLOAD : VARVE_MANIFEST_EDIT_SIZE,
                .first_record = i == 0 ? 0 : VARVE_PAGE_NO_RECORD};
            memcpy(page, bytes + (size_t)i * VARVE_PAGE_PAYLOAD, trailer.used);
            seal_page(&f, LAST_EDIT + distance + i, page, &trailer);
        }
        struct varve_manifest *m = NULL;
        must(varve_manifest_open(f.rig.vfs, &f.rig.heap, false, &m, NULL) == VARVE_OK);
        ck_assert_int_eq(manifest_state(m) == f.before, distance == 1);
        varve_manifest_close(m);
        rig_free(&f.rig);
    }
}
END_TEST

/* --------------------------------------------------------------------------------------- Names */

static bool is_there(struct rig *rig, const char *name)
{
    return varve_sim_size(rig->sim, name) >= 0;
}

START_TEST(a_temporary_generation_is_ignored_and_collected)
{
    struct file f;
    struct varve_manifest *m = NULL;
    char later[VARVE_FILE_NAME_MAX], earlier[VARVE_FILE_NAME_MAX];

    file_init(&f);
    varve_file_name_manifest(9, later);
    strcat(later, ".tmp");
    varve_file_name_manifest(1, earlier);
    strcat(earlier, ".tmp");
    must(varve_sim_copy_file(f.rig.sim, later, f.rig.sim, f.name) == 0);
    must(varve_sim_copy_file(f.rig.sim, earlier, f.rig.sim, f.name) == 0);
    for (int read_only = 1; read_only >= 0; read_only--) {
        ck_assert_int_eq(opened_as(&f, read_only), SAME);
        ck_assert(is_there(&f.rig, later) && is_there(&f.rig, earlier));
    }
    must(varve_manifest_open(f.rig.vfs, &f.rig.heap, false, &m, NULL) == VARVE_OK);
    must(varve_manifest_switch(m, NULL) == VARVE_OK);
    ck_assert(!is_there(&f.rig, later) && !is_there(&f.rig, earlier));
    ck_assert_uint_eq(varve_manifest_generation(m), 2);
    varve_manifest_close(m);
    rig_free(&f.rig);
}
END_TEST

/* The highest is the newest however many there are and in whatever order the directory lists them. */
START_TEST(the_highest_of_many_generations_is_opened)
{
    struct file f;
    struct varve_manifest *m = NULL;
    char name[VARVE_FILE_NAME_MAX];

    file_init(&f);
    for (uint64_t i = 0; i < 100; i++) {
        varve_file_name_manifest(2 + i * 37 % 100, name);
        must(varve_sim_copy_file(f.rig.sim, name, f.rig.sim, f.name) == 0);
    }
    varve_file_name_manifest(101, name);
    ck_assert_int_eq(varve_manifest_open(f.rig.vfs, &f.rig.heap, false, &m, &f.rig.err),
                     VARVE_ECORRUPT); /* all but the first have another's name */
    ck_assert_str_eq(f.rig.err.file, name);
    rig_free(&f.rig);
}
END_TEST

/* A failed refresh without anyone to tell is a failed refresh all the same. */
START_TEST(a_reader_may_ask_for_no_detail)
{
    struct file f;
    struct varve_manifest *reader = NULL;
    bool changed = true;

    file_init(&f);
    must(varve_manifest_open(f.rig.vfs, &f.rig.heap, true, &reader, NULL) == VARVE_OK);
    put_behind(&f, EDITS + 2, 1, 0, 0);
    ck_assert_int_eq(varve_manifest_refresh(reader, &changed, NULL), VARVE_ECORRUPT);
    ck_assert(changed);
    zero_page(&f, ROOM);
    ck_assert_int_eq(varve_manifest_refresh(reader, &changed, NULL), VARVE_OK);
    ck_assert(!changed);
    varve_manifest_close(reader);
    rig_free(&f.rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_clauses");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_page_that_breaks_a_clause_is_made_good_by_its_copy_alone, 0,
                        sizeof page_clause / sizeof page_clause[0]);
    tcase_add_test(tc, a_record_that_begins_in_a_snapshot_is_damage);
    tcase_add_test(tc, a_seal_counts_only_where_it_says_that_it_stands);
    tcase_add_test(tc, seals_of_other_files_are_outvoted);
    tcase_add_test(tc, a_page_behind_the_last_edit_is_a_part_of_the_next_or_damage);
    tcase_add_test(tc, an_edit_that_does_not_fit_where_it_stands_is_none);
    tcase_add_test(tc, a_second_copy_counts_only_behind_the_whole_first);
    tcase_add_test(tc, a_temporary_generation_is_ignored_and_collected);
    tcase_add_test(tc, the_highest_of_many_generations_is_opened);
    tcase_add_test(tc, a_reader_may_ask_for_no_detail);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
