/*
 * test_newer_store.c - stores that a newer version of the library has written to: what this one must
 * not touch it refuses with VARVE_EVERSION, names the file, and leaves every byte as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/wal/wal_format.h"
#include "tests/lib/newer_file.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 300
#define FILES_MAX 16

/* Names of the files that end so (or begin so). */
struct names {
    const char *part;
    char names[FILES_MAX][VARVE_SIM_NAME_MAX];
    uint32_t n;
};

static int take_name(void *ctx, const char *name)
{
    struct names *names = ctx;

    if (strstr(name, names->part) == NULL)
        return 0;
    ck_assert_uint_lt(names->n, FILES_MAX);
    memcpy(names->names[names->n++], name, strlen(name) + 1);
    return 0;
}

static struct names names_of(struct sim_store *s, const char *part)
{
    struct names names = {.part = part};

    ck_assert_int_eq(varve_sim_list(s->sim, take_name, &names), 0);
    ck_assert_uint_gt(names.n, 0);
    return names;
}

/* Rows in a file and rows in the log, and nobody has it open. */
static void build(struct sim_store *s)
{
    sim_store_create(s, 61);
    sim_store_open(s);
    sim_store_table(s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_put(s, "t", 2, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_kill(s);
}

static void make_newer(struct sim_store *s, const char *part, enum newer_kind kind)
{
    const struct names names = names_of(s, part);

    for (uint32_t i = 0; i < names.n; i++) {
        const int64_t size = varve_sim_size(s->sim, names.names[i]);
        uint8_t *const bytes = malloc((size_t)size);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_int_eq(varve_sim_read(s->sim, names.names[i], 0, bytes, (size_t)size), size);
        if (newer_file_change(bytes, (size_t)size, kind)) /* a segment made ahead is zeros */
            ck_assert_int_eq(varve_sim_overwrite(s->sim, names.names[i], 0, bytes, (size_t)size),
                             0);
        free(bytes);
    }
}

static void must_refuse(struct sim_store *s, const char *part)
{
    ck_assert_int_eq(sim_store_try_open(s), VARVE_EVERSION);
    ck_assert_ptr_null(s->store);
    ck_assert_ptr_nonnull(strstr(s->err.file, part));
    ck_assert_ptr_nonnull(strstr(s->err.message, "newer"));
}

static const char *const opened_first[] = {"MANIFEST-", ".wal"};

/* _i: the file, major number or feature, reading or writing */
START_TEST(a_newer_manifest_or_log_refuses_the_open)
{
    struct sim_store s;

    build(&s);
    make_newer(&s, opened_first[_i % 2], _i / 2 % 2 == 0 ? NEWER_MAJOR : NEWER_FEATURE);
    const uint64_t before = varve_sim_hash(s.sim);
    s.options.flags = _i / 4 == 0 ? VARVE_OPEN_CREATE : VARVE_OPEN_READ_ONLY;
    must_refuse(&s, opened_first[_i % 2]);
    ck_assert_uint_eq(varve_sim_hash(s.sim), before);
    sim_store_destroy(&s);
}
END_TEST

START_TEST(a_feature_of_writers_allows_reading_only)
{
    struct sim_store s;

    build(&s);
    make_newer(&s, opened_first[_i], NEWER_WRITERS);
    const uint64_t before = varve_sim_hash(s.sim);
    must_refuse(&s, opened_first[_i]);
    s.options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    sim_store_close(&s);
    ck_assert_uint_eq(varve_sim_hash(s.sim), before);
    sim_store_destroy(&s);
}
END_TEST

static void count_problem(void *ctx, const varve_error *problem)
{
    ck_assert_int_eq(problem->status, VARVE_EVERSION);
    ck_assert_ptr_nonnull(strstr(problem->file, ".sst"));
    ++*(int *)ctx;
}

/* Files are opened when they are needed: the scan is told, the store stays in order. */
START_TEST(a_newer_sstable_refuses_the_scan)
{
    struct sim_store s;
    varve_cursor *cursor = NULL;
    varve_scan scan;
    int problems = 0;

    build(&s);
    make_newer(&s, ".sst", (enum newer_kind)_i);
    sim_store_open(&s);
    varve_scan_init(&scan, sizeof scan);
    varve_status rc = varve_scan_open(s.store, sim_store_handle(&s, "t"), &scan, &cursor, &s.err);
    ck_assert_int_eq(rc, VARVE_EVERSION);
    ck_assert_ptr_nonnull(strstr(s.err.file, ".sst"));
    ck_assert_ptr_nonnull(strstr(s.err.message, "newer"));
    rc = varve_verify(s.store, count_problem, &problems, NULL, NULL, &s.err);
    ck_assert_int_lt(rc, 0);
    ck_assert_int_eq(problems, 1);
    ck_assert_int_eq(sim_store_put(&s, "t", 3, 0, 5, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_destroy(&s);
}
END_TEST

/* Where a record of the log begins, if it does not span pages. */
struct found_record {
    uint32_t page_no, offset;
    uint64_t chain;
};

static struct varve_page_place place_of(const uint8_t *segment, uint32_t page_no)
{
    struct varve_page_place place = {
        .kind = VARVE_PAGE_KIND_WAL, .page_no = page_no, .file_id = varve_get_u64(segment + 48)};

    memcpy(place.uuid, segment + 16, sizeof place.uuid);
    return place;
}

/* The last two records of a segment; how many there are. */
static uint32_t last_records(const uint8_t *segment, size_t size, struct found_record found[2])
{
    struct varve_page_trailer trailer;
    uint32_t n = 0;

    for (uint32_t page_no = 1; page_no < size / VARVE_PAGE_SIZE; page_no++) {
        const uint8_t *const page = segment + (size_t)page_no * VARVE_PAGE_SIZE;
        const struct varve_page_place place = place_of(segment, page_no);
        if (varve_page_classify(page, &place, &trailer) != VARVE_PAGE_VALID ||
            trailer.first_record == VARVE_PAGE_NO_RECORD)
            continue;
        uint32_t at = trailer.first_record;
        while (at + VARVE_WAL_RECORD_SIZE <= trailer.used) {
            found[0] = found[1];
            found[1] = (struct found_record){page_no, at, varve_get_u64(page + at + 80)};
            n++;
            at += varve_wal_record_claim(page + at) + varve_get_u32(page + at + 4);
        }
    }
    return n;
}

/* Give the last record another type, and make everything that vouches for it again. */
static bool retype_record(uint8_t *segment, size_t size, uint8_t type)
{
    struct found_record found[2] = {{0}};
    struct varve_page_trailer trailer;

    if (last_records(segment, size, found) < 2)
        return false;
    uint8_t *const page = segment + (size_t)found[1].page_no * VARVE_PAGE_SIZE;
    const struct varve_page_place place = place_of(segment, found[1].page_no);
    uint8_t *const record = page + found[1].offset;
    const uint32_t header = varve_wal_record_claim(record);
    ck_assert_uint_ge(header, VARVE_WAL_RECORD_SIZE + 12);
    record[8] = type;
    varve_put_u64(record + 80,
                  varve_wal_chain(found[0].chain, varve_get_u64(record + 24),
                                  varve_get_u64(record + 32), type, varve_get_u64(record + 100)));
    const uint64_t seed =
        varve_place_seed(place.uuid, VARVE_WAL_KIND_RECORD, varve_get_u64(record + 16));
    varve_put_u32(record, varve_crc32c(record + 4, header - 4, (uint32_t)seed));
    ck_assert_int_eq(varve_page_classify(page, &place, &trailer), VARVE_PAGE_ROT);
    trailer =
        (struct varve_page_trailer){.durable_lsn = varve_get_u64(page + VARVE_PAGE_PAYLOAD + 8),
                                    .commit_lsn = varve_get_u64(page + VARVE_PAGE_PAYLOAD + 16),
                                    .first_lsn = varve_get_u64(page + VARVE_PAGE_PAYLOAD + 24),
                                    .used = varve_get_u16(page + VARVE_PAGE_PAYLOAD + 44),
                                    .flags = varve_get_u16(page + VARVE_PAGE_PAYLOAD + 46),
                                    .first_record = varve_get_u16(page + VARVE_PAGE_PAYLOAD + 48)};
    (void)varve_page_encode(page, &place, &trailer);
    return true;
}

/* 11 has a name, but this version cannot apply it; 17 has none. Refused before a byte is written. */
START_TEST(a_record_of_a_newer_type_refuses_the_open)
{
    struct sim_store s;
    bool done = false;

    build(&s);
    const struct names names = names_of(&s, ".wal");
    for (uint32_t i = 0; i < names.n && !done; i++) {
        const int64_t size = varve_sim_size(s.sim, names.names[i]);
        uint8_t *const bytes = malloc((size_t)size);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_int_eq(varve_sim_read(s.sim, names.names[i], 0, bytes, (size_t)size), size);
        done = retype_record(bytes, (size_t)size, _i % 2 == 0 ? VARVE_WAL_CHECKPOINT : 17);
        ck_assert_int_eq(varve_sim_overwrite(s.sim, names.names[i], 0, bytes, (size_t)size), 0);
        free(bytes);
    }
    ck_assert(done);
    const uint64_t before = varve_sim_hash(s.sim);
    s.options.flags = _i / 2 == 0 ? VARVE_OPEN_CREATE : VARVE_OPEN_READ_ONLY;
    must_refuse(&s, ".wal");
    ck_assert_uint_ne(s.err.lsn, UINT64_MAX);
    ck_assert_uint_eq(varve_sim_hash(s.sim), before);
    sim_store_destroy(&s);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_newer_manifest_or_log_refuses_the_open, 0, 8);
    tcase_add_loop_test(cases, a_feature_of_writers_allows_reading_only, 0, 2);
    tcase_add_loop_test(cases, a_newer_sstable_refuses_the_scan, NEWER_MAJOR, NEWER_FEATURE + 1);
    tcase_add_loop_test(cases, a_record_of_a_newer_type_refuses_the_open, 0, 4);
}

int main(void)
{
    return sim_store_main("newer_store", add);
}
