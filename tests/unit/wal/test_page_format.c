/*
 * test_page_format.c - page_format.c.
 *
 * Method: one good page; then damage of one kind at a time. Where a checksum would object first, it
 * is made again after the damage, so that only the clause under test is left.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/wal/page_format.h"
#include "tests/lib/format_clause.h"

#define TRAILER VARVE_PAGE_PAYLOAD

static const struct varve_page_place place = {
    .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .kind = VARVE_PAGE_KIND_WAL,
    .page_no = 7,
    .file_id = 0x1234567890};
static const struct varve_page_trailer good = {.durable_lsn = 100,
                                               .commit_lsn = 90,
                                               .first_lsn = 110,
                                               .used = 3000,
                                               .flags = 0,
                                               .first_record = 17};

static uint64_t page_make(uint8_t *page, const struct varve_page_trailer *t)
{
    for (uint32_t i = 0; i < VARVE_PAGE_PAYLOAD; i++)
        page[i] = (uint8_t)(i * 7 + 1);
    return varve_page_encode(page, &place, t);
}

/* Make crc and checksum again after damage to the trailer or the payload. */
static void page_reseal(uint8_t *page)
{
    const uint64_t seed = varve_place_seed(place.uuid, place.kind, 7 * 4096);
    uint8_t sector[512];

    memcpy(sector, page + 3584, sizeof sector);
    memset(sector + 448, 0, 8);
    memset(sector + 448 + 40, 0, 4);
    varve_put_u32(page + TRAILER + 40, varve_crc32c(sector, sizeof sector, (uint32_t)seed));
    varve_put_u64(page + TRAILER,
                  varve_hash64(page + TRAILER + 8, 56, varve_hash64(page, TRAILER, seed)));
}

static enum varve_page_class classify(const uint8_t *page)
{
    struct varve_page_trailer t;
    return varve_page_classify(page, &place, &t);
}

START_TEST(what_is_encoded_is_valid_and_comes_back)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer t;

    const uint64_t checksum = page_make(page, &good);
    ck_assert_int_eq(varve_page_classify(page, &place, &t), VARVE_PAGE_VALID);
    ck_assert_uint_eq(t.durable_lsn, 100);
    ck_assert_uint_eq(t.commit_lsn, 90);
    ck_assert_uint_eq(t.first_lsn, 110);
    ck_assert_uint_eq(t.used, 3000);
    ck_assert_uint_eq(t.flags, 0);
    ck_assert_uint_eq(t.first_record, 17);
    ck_assert_uint_eq(varve_page_checksum(page), checksum);
    for (uint32_t i = 3000; i < TRAILER; i++)
        ck_assert_uint_eq(page[i], 0);
    page_reseal(page); /* the test's own idea of the checksums is the same */
    ck_assert_uint_eq(varve_page_checksum(page), checksum);
}
END_TEST

START_TEST(fields_lie_where_the_table_says)
{
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    const uint8_t *const t = page + TRAILER;
    ck_assert_uint_eq(varve_get_u64(t + 8), 100);
    ck_assert_uint_eq(varve_get_u64(t + 16), 90);
    ck_assert_uint_eq(varve_get_u64(t + 24), 110);
    ck_assert_uint_eq(varve_get_u32(t + 32), 0x34567890);
    ck_assert_uint_eq(varve_get_u32(t + 36), 7);
    ck_assert_uint_eq(varve_get_u16(t + 44), 3000);
    ck_assert_uint_eq(varve_get_u16(t + 46), 0);
    ck_assert_uint_eq(varve_get_u16(t + 48), 17);
}
END_TEST

START_TEST(a_page_of_zeros_is_zero)
{
    uint8_t page[VARVE_PAGE_SIZE] = {0};
    ck_assert_int_eq(classify(page), VARVE_PAGE_ZERO);
}
END_TEST

/* A page written once: whichever bit flips, it is damage and never a torn write. Also where it has a
 * sector of zeros (the second page), as one that a torn write left has. */
START_TEST(every_flipped_bit_is_rot)
{
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    if (_i == 1) {
        memset(page + 1024, 0, 512);
        (void)varve_page_encode(page, &place, &good);
    }
    for (uint32_t bit = 0; bit < VARVE_PAGE_SIZE * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(classify(page) == VARVE_PAGE_ROT, "bit %u", bit);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_int_eq(classify(page), VARVE_PAGE_VALID);
}
END_TEST

/* Of a page of any kind: no other write leaves the same bytes beside a checksum that nearly is theirs. */
START_TEST(a_damaged_checksum_is_rot)
{
    uint8_t page[VARVE_PAGE_SIZE];

    for (uint16_t flags = 0; flags <= (VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN); flags++) {
        struct varve_page_trailer t = good;
        t.flags = flags;
        page_make(page, &t);
        for (uint32_t i = 0; i < 8; i++)
            for (uint32_t change = 1; change < 256; change++) {
                page[TRAILER + i] ^= (uint8_t)change;
                ck_assert_msg(classify(page) == VARVE_PAGE_ROT, "flags %u, byte %u", flags, i);
                page[TRAILER + i] ^= (uint8_t)change;
            }
        ck_assert_int_eq(classify(page), VARVE_PAGE_VALID);
    }
}
END_TEST

/* Every subset of sectors lost from a page that is full: torn, unless nothing or all is lost. */
START_TEST(every_set_of_lost_sectors_is_torn)
{
    struct varve_page_trailer full = good;
    uint8_t whole[VARVE_PAGE_SIZE], page[VARVE_PAGE_SIZE];

    full.used = VARVE_PAGE_PAYLOAD;
    page_make(whole, &full);
    for (uint32_t lost = 0; lost < 256; lost++) {
        memcpy(page, whole, sizeof page);
        for (uint32_t s = 0; s < 8; s++)
            if ((lost >> s & 1) != 0)
                memset(page + (size_t)s * 512, 0, 512);
        ck_assert_int_eq(classify(page), lost == 0     ? VARVE_PAGE_VALID
                                         : lost == 255 ? VARVE_PAGE_ZERO
                                                       : VARVE_PAGE_TORN);
    }
}
END_TEST

START_TEST(a_lost_sector_beside_a_changed_one_is_rot)
{
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    memset(page, 0, 512);
    page[600] ^= 1;
    ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);
}
END_TEST

/* Three versions of a page, each longer; each sector from any of them, or never written: no crash
 * looks like rot. */
START_TEST(every_mixture_of_versions_is_torn)
{
    static const uint16_t ends[][3] = {
        {700, 1500, 3000}, {512, 1024, 4032}, {1, 2, 3}, {100, 3600, 3700}, {600, 3584, 3585}};
    static const uint16_t flags[3] = {VARVE_PAGE_PARTIAL, VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN,
                                      VARVE_PAGE_REWRITTEN};
    static uint8_t versions[4][VARVE_PAGE_SIZE]; /* the first: never written */
    uint8_t page[VARVE_PAGE_SIZE];

    for (size_t set = 0; set < sizeof ends / sizeof ends[0]; set++) {
        for (int v = 0; v < 3; v++) {
            struct varve_page_trailer t = good;
            t.flags = flags[v];
            t.used = ends[set][v];
            t.first_record = 0;
            page_make(versions[v + 1], &t);
        }
        for (uint32_t mix = 0; mix < 65536; mix++) {
            enum varve_page_class expect = VARVE_PAGE_TORN;
            for (size_t i = 0; i < 8; i++)
                memcpy(page + i * 512, versions[mix >> 2 * i & 3] + i * 512, 512);
            for (int v = 0; v < 4; v++)
                if (memcmp(page, versions[v], sizeof page) == 0)
                    expect = v == 0 ? VARVE_PAGE_ZERO : VARVE_PAGE_VALID;
            ck_assert_msg(classify(page) == expect, "set %zu, mixture %x", set, mix);
        }
    }
}
END_TEST

/* A version of a page whose sector 3 (of 1 to 8) has the digest `wanted`, as one in 65,536 has. */
static void page_with_digest(uint8_t *page, const struct varve_page_trailer *t, uint16_t wanted)
{
    for (uint32_t i = 1;; i++) {
        ck_assert_uint_lt(i, 10000000);
        for (uint32_t k = 0; k < t->used; k++)
            page[k] = (uint8_t)(k * 7 + 1);
        varve_put_u32(page + 1100, i);
        (void)varve_page_encode(page, &place, t);
        if (varve_get_u16(page + TRAILER + 50 + 2 * 2) == wanted)
            return;
    }
}

/* Digests have 16 bits. A torn write whose one lost sector has the right ones by chance is torn all the
 * same, of pages that are written more than once; what no write explains is rot. */
START_TEST(a_digest_that_agrees_by_chance_hides_no_torn_write)
{
    struct varve_page_trailer tail = good, whole = good;
    uint8_t page[VARVE_PAGE_SIZE], other[VARVE_PAGE_SIZE];

    tail.used = 1230;
    tail.flags = VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN;
    (void)page_make(page, &tail);
    page_with_digest(page, &tail, varve_get_u16(page + TRAILER + 50 + 2 * 6)); /* that of zeros */
    memset(page + 1024, 0, 512); /* as it was before this version */
    ck_assert_int_eq(classify(page), VARVE_PAGE_TORN);

    whole.used = VARVE_PAGE_PAYLOAD;
    (void)page_make(page, &whole);
    page_with_digest(other, &whole, varve_get_u16(page + TRAILER + 50 + 2 * 2));
    ck_assert_mem_ne(page + 1024, other + 1024, 512);
    memcpy(page + 1024, other + 1024, 512);
    ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);

    (void)page_make(page, &good); /* written once: the zeros behind `used` excuse nothing */
    page_with_digest(other, &good, varve_get_u16(page + TRAILER + 50 + 2 * 2));
    memcpy(page + 1024, other + 1024, 512);
    ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);
}
END_TEST

/* What no other version of a page can have where one has it. Sector 1 is full, 5 has the end. */
START_TEST(a_sector_that_no_version_has_is_rot)
{
    static const struct {
        uint16_t flags;
        uint16_t sector;
        uint8_t last; /* the sector's last byte */
        enum varve_page_class expect;
    } cases[] = {{0, 1, 1, VARVE_PAGE_ROT},
                 {0, 1, 0, VARVE_PAGE_ROT},
                 {0, 5, 0, VARVE_PAGE_ROT},
                 {VARVE_PAGE_PARTIAL, 1, 1, VARVE_PAGE_ROT},
                 {VARVE_PAGE_PARTIAL, 1, 0, VARVE_PAGE_ROT},
                 {VARVE_PAGE_PARTIAL, 5, 1, VARVE_PAGE_TORN}, /* a later one's */
                 {VARVE_PAGE_PARTIAL, 6, 1, VARVE_PAGE_TORN},
                 {VARVE_PAGE_REWRITTEN, 1, 1, VARVE_PAGE_ROT},
                 {VARVE_PAGE_REWRITTEN, 1, 0, VARVE_PAGE_TORN}, /* an earlier one's */
                 {VARVE_PAGE_REWRITTEN, 5, 1, VARVE_PAGE_ROT},
                 {VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN, 1, 1, VARVE_PAGE_ROT},
                 {VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN, 1, 0, VARVE_PAGE_TORN},
                 {VARVE_PAGE_PARTIAL | VARVE_PAGE_REWRITTEN, 6, 1, VARVE_PAGE_TORN}};
    uint8_t page[VARVE_PAGE_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct varve_page_trailer t = good;
        t.flags = cases[i].flags;
        page_make(page, &t);
        ck_assert_int_eq(classify(page), VARVE_PAGE_VALID);
        memset(page + (size_t)cases[i].sector * 512, 0xEE, 512);
        page[(cases[i].sector + 1) * 512 - 1] = cases[i].last;
        ck_assert_msg(classify(page) == cases[i].expect, "case %zu", i);
        page[4000] ^= 1; /* and the trailer's sector is not sound */
        ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);
    }
}
END_TEST

START_TEST(a_trailer_is_sound_if_its_own_sector_is)
{
    struct varve_page_trailer t = {0};
    struct varve_page_place other = place;
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    memset(page, 0xEE, 3584); /* whatever became of the others */
    ck_assert(varve_page_trailer_sound(page, &place, &t));
    ck_assert_uint_eq(t.durable_lsn, good.durable_lsn);
    ck_assert_uint_eq(t.first_lsn, good.first_lsn);
    for (uint32_t bit = 3584 * 8; bit < VARVE_PAGE_SIZE * 8; bit++) {
        if (bit >= TRAILER * 8 && bit < (TRAILER + 8) * 8) /* the page's checksum speaks of more */
            continue;
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(!varve_page_trailer_sound(page, &place, &t), "bit %u", bit);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    other.page_no++;
    ck_assert(!varve_page_trailer_sound(page, &other, &t));
    memset(page, 0, sizeof page);
    ck_assert(!varve_page_trailer_sound(page, &place, &t));
}
END_TEST

/* Its crc holds, and what it says cannot be: then it says nothing of other pages either. */
START_TEST(a_trailer_that_cannot_be_is_not_sound)
{
    static const struct format_clause row[] = {
        {0, 8, 0, 1},  /* as it is, but for the page's checksum */
        {32, 4, 7, 0}, /* of another file */
        {36, 4, 8, 0}, /* of another page */
        {44, 2, 4033, 0}, {46, 2, 32, 0}, {46, 2, VARVE_PAGE_SEAL | VARVE_PAGE_IDLE, 0},
        {48, 2, 3000, 0}, /* a record that starts behind what is used */
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct varve_page_trailer t = {.durable_lsn = 1};
        uint8_t page[VARVE_PAGE_SIZE];

        page_make(page, &good);
        format_clause_write(&row[i], page + TRAILER);
        page_reseal(page);
        page[700] ^= 1; /* the page is damaged elsewhere */
        ck_assert_int_eq(varve_page_trailer_sound(page, &place, &t), row[i].expect);
        ck_assert_uint_eq(t.durable_lsn, row[i].expect != 0 ? good.durable_lsn : 1);
        ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);
        memset(page + 512, 0, 512); /* torn, if only its trailer could be */
        ck_assert_int_eq(classify(page), row[i].expect != 0 ? VARVE_PAGE_TORN : VARVE_PAGE_ROT);
    }
}
END_TEST

START_TEST(a_page_of_another_place_is_rot)
{
    struct varve_page_trailer t;
    struct varve_page_place other;
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    for (int i = 0; i < 4; i++) {
        other = place;
        if (i == 0)
            other.uuid[9] ^= 1;
        if (i == 1)
            other.kind = VARVE_PAGE_KIND_MANIFEST;
        if (i == 2)
            other.page_no++;
        if (i == 3)
            other.file_id++; /* not in the seed: its own clause */
        ck_assert_int_eq(varve_page_classify(page, &other, &t), VARVE_PAGE_ROT);
    }
    varve_put_u32(page + TRAILER + 36, 8); /* page_no alone, sealed again */
    page_reseal(page);
    ck_assert_int_eq(classify(page), VARVE_PAGE_ROT);
}
END_TEST

/* One row a clause of VALID; after the damage both checksums are made again. */
static const struct format_clause clause[] = {
    {TRAILER + 44, 2, 4033, VARVE_PAGE_ROT},   /* used beyond the payload */
    {TRAILER + 46, 2, 32, VARVE_PAGE_ROT},     /* a flag that is not known */
    {TRAILER + 46, 2, 4 | 8, VARVE_PAGE_ROT},  /* two control flags */
    {TRAILER + 46, 2, 4 | 1, VARVE_PAGE_ROT},  /* control and partial */
    {TRAILER + 46, 2, 4, VARVE_PAGE_ROT},      /* a record starts in a control page */
    {TRAILER + 48, 2, 3000, VARVE_PAGE_ROT},   /* first_record at the end of what is used */
    {TRAILER + 48, 2, 0xFFFE, VARVE_PAGE_ROT}, /* and beyond */
    {TRAILER + 32, 4, 1, VARVE_PAGE_ROT},      /* file_id */
    {TRAILER + 36, 4, 1, VARVE_PAGE_ROT},      /* page_no */
    {3000, 2, 1, VARVE_PAGE_ROT},              /* padding that is not zero */
    {4030, 2, 1, VARVE_PAGE_ROT},              /* its last bytes */
    {TRAILER + 48, 2, 2999, VARVE_PAGE_VALID}, /* the last possible first_record */
    {TRAILER + 48, 2, 0xFFFF, VARVE_PAGE_VALID},
    {TRAILER + 46, 2, 3, VARVE_PAGE_VALID},
};

START_TEST(each_clause_alone)
{
    uint8_t page[VARVE_PAGE_SIZE];

    page_make(page, &good);
    format_clause_write(&clause[_i], page);
    page_reseal(page);
    ck_assert_int_eq(classify(page), clause[_i].expect);
}
END_TEST

START_TEST(the_running_digest_depends_on_order_and_number)
{
    const uint64_t a = varve_page_digest_add(varve_page_digest_add(0, 1), 2);
    const uint64_t b = varve_page_digest_add(varve_page_digest_add(0, 2), 1);

    ck_assert_uint_ne(a, b);
    ck_assert_uint_ne(varve_page_digest_add(a, 0), a);
}
END_TEST

START_TEST(every_class_has_a_name)
{
    ck_assert_str_eq(varve_page_class_name(VARVE_PAGE_VALID), "valid");
    ck_assert_str_eq(varve_page_class_name(VARVE_PAGE_ZERO), "zero");
    ck_assert_str_eq(varve_page_class_name(VARVE_PAGE_TORN), "torn");
    ck_assert_str_eq(varve_page_class_name(VARVE_PAGE_ROT), "rotten");
    ck_assert_str_eq(varve_page_class_name((enum varve_page_class)99), "unknown");
}
END_TEST

/* The golden page is what the first version wrote; this version writes and reads the same. */
START_TEST(golden_page_of_version_1)
{
    uint8_t page[VARVE_PAGE_SIZE], golden[VARVE_PAGE_SIZE];

    page_make(page, &good);
    if (getenv("VARVE_GOLDEN_WRITE") != NULL) {
        FILE *const out = fopen("tests/golden/page/v1/page.bin", "wb");
        ck_assert_ptr_nonnull(out);
        ck_assert_uint_eq(fwrite(page, 1, sizeof page, out), sizeof page);
        fclose(out);
    }
    FILE *const in = fopen("tests/golden/page/v1/page.bin", "rb");
    ck_assert_ptr_nonnull(in);
    ck_assert_uint_eq(fread(golden, 1, sizeof golden, in), sizeof golden);
    fclose(in);
    ck_assert_int_eq(classify(golden), VARVE_PAGE_VALID);
    ck_assert_mem_eq(page, golden, sizeof page);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("page_format");
    TCase *const tc = tcase_create("all");

    tcase_add_test(tc, what_is_encoded_is_valid_and_comes_back);
    tcase_add_test(tc, fields_lie_where_the_table_says);
    tcase_add_test(tc, a_page_of_zeros_is_zero);
    tcase_add_loop_test(tc, every_flipped_bit_is_rot, 0, 2);
    tcase_add_test(tc, a_damaged_checksum_is_rot);
    tcase_add_test(tc, every_set_of_lost_sectors_is_torn);
    tcase_add_test(tc, a_lost_sector_beside_a_changed_one_is_rot);
    tcase_add_test(tc, every_mixture_of_versions_is_torn);
    tcase_add_test(tc, a_digest_that_agrees_by_chance_hides_no_torn_write);
    tcase_add_test(tc, a_sector_that_no_version_has_is_rot);
    tcase_add_test(tc, a_trailer_is_sound_if_its_own_sector_is);
    tcase_add_test(tc, a_trailer_that_cannot_be_is_not_sound);
    tcase_add_test(tc, a_page_of_another_place_is_rot);
    tcase_add_loop_test(tc, each_clause_alone, 0, (int)(sizeof clause / sizeof clause[0]));
    tcase_add_test(tc, the_running_digest_depends_on_order_and_number);
    tcase_add_test(tc, every_class_has_a_name);
    tcase_add_test(tc, golden_page_of_version_1);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
