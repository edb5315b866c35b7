/*
 * test_wal_format.c - wal_format.c: header, seal, record. One test a clause; where the record's crc
 * would object first it is made again.
 */
#include <check.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/wal/wal_format.h"
#include "tests/lib/format_clause.h"

static const uint8_t uuid[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8};

/* ------------------------------------------------------------------------------------- Header */

static struct varve_wal_header header_good(void)
{
    struct varve_wal_header h = {.id = 5,
                                 .size = 65536,
                                 .prev_id = 4,
                                 .prev_final_lsn = 900,
                                 .prev_digest = 0x1122334455667788,
                                 .base_lsn = 1000,
                                 .base_index = 12,
                                 .base_term = 3,
                                 .base_chain = 77,
                                 .base_hlc = -5,
                                 .read_compatible = 2,
                                 .compatible = 3};
    memcpy(h.uuid, uuid, 16);
    memset(h.store_uuid, 0xAB, 16);
    memset(h.prev_uuid, 0xCD, 16);
    return h;
}

START_TEST(header_comes_back)
{
    const struct varve_wal_header h = header_good();
    struct varve_wal_header got;
    uint8_t bytes[VARVE_WAL_HEADER_SIZE];

    varve_wal_header_encode(&h, bytes);
    ck_assert_mem_eq(bytes, "VARVEWAL", 8);
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, sizeof bytes), &got), VARVE_OK);
    ck_assert_mem_eq(got.uuid, h.uuid, 16);
    ck_assert_mem_eq(got.store_uuid, h.store_uuid, 16);
    ck_assert_mem_eq(got.prev_uuid, h.prev_uuid, 16);
    ck_assert_uint_eq(got.id, 5);
    ck_assert_uint_eq(got.size, 65536);
    ck_assert_uint_eq(got.prev_id, 4);
    ck_assert_uint_eq(got.prev_final_lsn, 900);
    ck_assert_uint_eq(got.prev_digest, h.prev_digest);
    ck_assert_uint_eq(got.base_lsn, 1000);
    ck_assert_uint_eq(got.base_index, 12);
    ck_assert_uint_eq(got.base_term, 3);
    ck_assert_uint_eq(got.base_chain, 77);
    ck_assert_int_eq(got.base_hlc, -5);
    ck_assert_uint_eq(got.read_compatible, 2);
    ck_assert_uint_eq(got.compatible, 3);
    ck_assert_uint_eq(got.major, 1);
}
END_TEST

static const struct format_clause header_clause[] = {
    {0, 1, 'X', VARVE_ECORRUPT},                  /* magic */
    {8, 2, 0, VARVE_ECORRUPT},                    /* major 0 was never written */
    {8, 2, 2, VARVE_EVERSION},                    /* major of a newer version */
    {10, 2, 9, VARVE_OK},                         /* a newer minor is read */
    {12, 4, 8192, VARVE_ECORRUPT},                /* page size */
    {48, 8, 0, VARVE_ECORRUPT},                   /* id */
    {48, 8, 4, VARVE_ECORRUPT},                   /* follows itself */
    {56, 8, 65537, VARVE_ECORRUPT},               /* not whole pages */
    {56, 8, 8192, VARVE_ECORRUPT},                /* fewer than three pages */
    {56, 8, (512u << 20) + 4096, VARVE_ECORRUPT}, /* too large */
    {64, 8, 0, VARVE_ECORRUPT},                   /* no previous id, but a previous uuid */
    {88, 8, 1001, VARVE_ECORRUPT},                /* the previous one ends after this one begins */
    {104, 8, UINT64_MAX, VARVE_ECORRUPT},         /* positions would run over */
    {144, 8, 1, VARVE_EVERSION},                  /* a feature that must be understood */
    {152, 8, 1u << 30, VARVE_OK},
    {160, 8, 1u << 30, VARVE_OK},
    {168, 1, 1, VARVE_ECORRUPT}, /* reserved */
    {207, 1, 1, VARVE_ECORRUPT},
};

START_TEST(header_each_clause_alone)
{
    const struct varve_wal_header h = header_good();
    struct varve_wal_header got;
    uint8_t bytes[VARVE_WAL_HEADER_SIZE];

    varve_wal_header_encode(&h, bytes);
    format_clause_write(&header_clause[_i], bytes);
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, sizeof bytes), &got),
                     header_clause[_i].expect);
}
END_TEST

START_TEST(header_other_clauses)
{
    struct varve_wal_header h = header_good(), got;
    uint8_t bytes[VARVE_WAL_HEADER_SIZE + 1];

    varve_wal_header_encode(&h, bytes);
    memset(bytes + 16, 0, 16); /* no uuid */
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, VARVE_WAL_HEADER_SIZE), &got),
                     VARVE_ECORRUPT);
    varve_wal_header_encode(&h, bytes);
    memset(bytes + 72, 0, 16); /* a previous id without its uuid */
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, VARVE_WAL_HEADER_SIZE), &got),
                     VARVE_ECORRUPT);
    varve_wal_header_encode(&h, bytes);
    for (size_t n = 0; n < VARVE_WAL_HEADER_SIZE; n++) /* cut short */
        ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, n), &got), VARVE_ECORRUPT);
    bytes[VARVE_WAL_HEADER_SIZE] = 0; /* and too long */
    ck_assert_int_eq(varve_wal_header_decode(varve_span_of(bytes, sizeof bytes), &got),
                     VARVE_ECORRUPT);
    uint8_t page[VARVE_PAGE_SIZE] = {0}, peeked[16];
    uint64_t id, size;
    varve_wal_header_encode(&h, page);
    varve_wal_header_peek(page, peeked, &id, &size);
    ck_assert_mem_eq(peeked, uuid, 16);
    ck_assert_uint_eq(id, 5);
    ck_assert_uint_eq(size, 65536);
}
END_TEST

START_TEST(seal_comes_back_and_has_one_size)
{
    const struct varve_wal_seal s = {
        .lsn = 1, .digest = 2, .index = 3, .term = 4, .chain = 5, .hlc = -6};
    struct varve_wal_seal got;
    uint8_t bytes[VARVE_WAL_SEAL_SIZE + 1] = {0};

    varve_wal_seal_encode(&s, bytes);
    ck_assert_int_eq(varve_wal_seal_decode(varve_span_of(bytes, VARVE_WAL_SEAL_SIZE), &got), 0);
    ck_assert(got.lsn == 1 && got.digest == 2 && got.index == 3 && got.term == 4 &&
              got.chain == 5 && got.hlc == -6);
    ck_assert_int_eq(varve_wal_seal_decode(varve_span_of(bytes, VARVE_WAL_SEAL_SIZE - 1), &got),
                     VARVE_ECORRUPT);
    ck_assert_int_eq(varve_wal_seal_decode(varve_span_of(bytes, sizeof bytes), &got),
                     VARVE_ECORRUPT);
}
END_TEST

/* ------------------------------------------------------------------------------------- Record */

static struct varve_wal_record record_good(void)
{
    return (struct varve_wal_record){.type = VARVE_WAL_DATA,
                                     .flags = VARVE_WAL_BULK,
                                     .payload_size = 40,
                                     .lsn = 5000,
                                     .index = 8,
                                     .term = 2,
                                     .commit = 7,
                                     .hlc = 123456,
                                     .origin = 1,
                                     .origin_epoch = 2,
                                     .origin_first = 3,
                                     .origin_last = 4,
                                     .chain = 0xC0FFEE,
                                     .replica = 6,
                                     .writer = 5,
                                     .payload_hash = 0xABCDEF,
                                     .logical_hash = 0xABCDEF};
}

static void record_reseal(uint8_t *bytes, size_t size)
{
    const uint64_t seed = varve_place_seed(uuid, VARVE_WAL_KIND_RECORD, 5000);
    varve_put_u32(bytes, varve_crc32c(bytes + 4, size - 4, (uint32_t)seed));
}

START_TEST(record_comes_back)
{
    const struct varve_wal_record r = record_good();
    struct varve_wal_record got;
    uint8_t bytes[VARVE_WAL_RECORD_OVERHEAD];

    const uint32_t size = varve_wal_record_encode(&r, uuid, bytes);
    ck_assert_uint_eq(size, 108);
    ck_assert_uint_eq(varve_wal_record_claim(bytes), 108);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, size), uuid, 5000, &got), 0);
    ck_assert(got.type == r.type && got.flags == (VARVE_WAL_BULK | VARVE_WAL_EXTENDED) &&
              got.payload_size == 40 && got.header_size == 108 && got.group == 0);
    ck_assert(got.lsn == 5000 && got.index == 8 && got.term == 2 && got.commit == 7 &&
              got.hlc == 123456 && got.origin == 1 && got.origin_epoch == 2);
    ck_assert(got.origin_first == 3 && got.origin_last == 4 && got.chain == 0xC0FFEE &&
              got.replica == 6 && got.writer == 5);
    ck_assert(got.payload_hash == 0xABCDEF && got.logical_hash == 0xABCDEF);
    ck_assert_uint_eq(varve_get_u64(bytes + 16), 5000);
    ck_assert_uint_eq(varve_get_u64(bytes + 80), 0xC0FFEE);
    ck_assert_uint_eq(varve_get_u32(bytes + 92), 5);
}
END_TEST

START_TEST(record_without_payload_has_no_extension)
{
    struct varve_wal_record r = record_good(), got;
    uint8_t bytes[VARVE_WAL_RECORD_OVERHEAD];

    r.payload_size = 0;
    r.type = VARVE_WAL_NOOP;
    ck_assert_uint_eq(varve_wal_record_encode(&r, uuid, bytes), 96);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, 96), uuid, 5000, &got), 0);
    ck_assert_uint_eq(got.payload_hash, varve_wal_payload_hash(varve_span_of("", 0)));
    ck_assert_uint_eq(got.logical_hash, got.payload_hash);
}
END_TEST

START_TEST(record_with_transformed_payload_has_two_hashes)
{
    struct varve_wal_record r = record_good(), got;
    uint8_t bytes[VARVE_WAL_RECORD_OVERHEAD];

    r.flags = VARVE_WAL_COMPRESSED;
    r.logical_hash = 42;
    ck_assert_uint_eq(varve_wal_record_encode(&r, uuid, bytes), VARVE_WAL_RECORD_OVERHEAD);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, sizeof bytes), uuid, 5000, &got),
                     0);
    ck_assert_uint_eq(got.logical_hash, 42);
    ck_assert_uint_eq(got.payload_hash, 0xABCDEF);
    bytes[9] = VARVE_WAL_EXTENDED; /* the second hash without its flag */
    record_reseal(bytes, sizeof bytes);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, sizeof bytes), uuid, 5000, &got),
                     VARVE_ECORRUPT);
}
END_TEST

START_TEST(record_of_another_place_or_with_any_bit_flipped_is_refused)
{
    const struct varve_wal_record r = record_good();
    struct varve_wal_record got;
    uint8_t bytes[VARVE_WAL_RECORD_OVERHEAD], other[16];

    const uint32_t size = varve_wal_record_encode(&r, uuid, bytes);
    const struct varve_span in = varve_span_of(bytes, size);
    memcpy(other, uuid, 16);
    other[3] ^= 1;
    ck_assert_int_eq(varve_wal_record_decode(in, other, 5000, &got), VARVE_ECORRUPT);
    ck_assert_int_eq(varve_wal_record_decode(in, uuid, 5001, &got), VARVE_ECORRUPT);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, 95), uuid, 5000, &got),
                     VARVE_ECORRUPT);
    for (uint32_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_lt(varve_wal_record_decode(in, uuid, 5000, &got), 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

static const struct format_clause record_clause[] = {
    {4, 4, (16u << 20) + 1, VARVE_ECORRUPT}, /* payload too large */
    {4, 4, 16u << 20, VARVE_OK},
    {4, 4, 0, VARVE_ECORRUPT},  /* a hash without a payload */
    {8, 1, 0, VARVE_ECORRUPT},  /* types start at 1 */
    {8, 1, 16, VARVE_ECORRUPT}, /* PAD is never written */
    {8, 1, 17, VARVE_EVERSION},
    {8, 1, 15, VARVE_OK},
    {9, 1, 4 | 16, VARVE_EVERSION}, /* the short header */
    {9, 1, 4 | 32, VARVE_EVERSION}, /* a flag that is not known */
    {9, 1, 0, VARVE_ECORRUPT},      /* extensions without their flag */
    {9, 1, 4 | 1, VARVE_ECORRUPT},  /* compressed, without the logical hash */
    {10, 2, 104, VARVE_ECORRUPT},   /* another header size than there are bytes */
    {16, 8, 4999, VARVE_ECORRUPT},  /* lsn */
    {96, 2, 0, VARVE_ECORRUPT},     /* tag 0 */
    {96, 2, 3, VARVE_ECORRUPT},     /* no hash, but an extension that may be skipped */
    {96, 2, 2, VARVE_ECORRUPT},     /* the logical hash instead of the hash */
    {98, 2, 4, VARVE_ECORRUPT},     /* a hash of 4 bytes (and then half an extension) */
    {98, 2, 9, VARVE_ECORRUPT},     /* longer than the header */
    {24, 8, 99, VARVE_OK},          /* the rest is for the reader to judge */
};

START_TEST(record_each_clause_alone)
{
    const struct varve_wal_record r = record_good();
    struct varve_wal_record got;
    uint8_t bytes[VARVE_WAL_RECORD_OVERHEAD];

    const uint32_t size = varve_wal_record_encode(&r, uuid, bytes);
    format_clause_write(&record_clause[_i], bytes);
    record_reseal(bytes, size);
    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, size), uuid, 5000, &got),
                     record_clause[_i].expect);
}
END_TEST

/* A record with its hash and then these bytes of extensions. */
static varve_status extension_decode(const uint8_t *extra, uint32_t n)
{
    const struct varve_wal_record r = record_good();
    struct varve_wal_record got;
    uint8_t bytes[256];

    const uint32_t size = varve_wal_record_encode(&r, uuid, bytes) + n;
    memcpy(bytes + size - n, extra, n);
    varve_put_u16(bytes + 10, (uint16_t)size);
    record_reseal(bytes, size);
    return varve_wal_record_decode(varve_span_of(bytes, size), uuid, 5000, &got);
}

START_TEST(extensions_that_are_not_known_are_skipped)
{
    const uint8_t five[12] = {9, 0, 5, 0, 1, 2, 3, 4, 5, 0, 0, 0};
    const uint8_t empty[4] = {0xFF, 0xFF, 0, 0};
    const uint8_t padding[12] = {9, 0, 5, 0, 1, 2, 3, 4, 5, 0, 1, 0};
    const uint8_t twice[12] = {1, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8};

    ck_assert_int_eq(extension_decode(five, 12), VARVE_OK);
    ck_assert_int_eq(extension_decode(empty, 4), VARVE_OK);
    ck_assert_int_eq(extension_decode(padding, 12), VARVE_ECORRUPT);
    ck_assert_int_eq(extension_decode(twice, 12), VARVE_ECORRUPT);
}
END_TEST

/* Whatever fills it: no header is larger, so that whoever reads one knows how much to hold. */
START_TEST(a_header_is_at_most_as_large_as_it_may_claim)
{
    for (uint32_t size = VARVE_WAL_RECORD_MAX; size <= VARVE_WAL_RECORD_MAX + 4; size += 4) {
        const struct varve_wal_record r = record_good();
        struct varve_wal_record got;
        uint8_t bytes[VARVE_WAL_RECORD_MAX + 4] = {0};

        const uint32_t head = varve_wal_record_encode(&r, uuid, bytes);
        varve_put_u16(bytes + head, 9); /* one extension of zeros to its end */
        varve_put_u16(bytes + head + 2, (uint16_t)(size - head - 4));
        varve_put_u16(bytes + 10, (uint16_t)size);
        record_reseal(bytes, size);
        ck_assert_int_eq(varve_wal_record_decode(varve_span_of(bytes, size), uuid, 5000, &got),
                         size > VARVE_WAL_RECORD_MAX ? VARVE_ECORRUPT : VARVE_OK);
    }
}
END_TEST

START_TEST(a_claimed_header_size_is_bounded)
{
    const struct {
        uint16_t size;
        uint32_t expect;
    } rows[] = {{0, 0}, {92, 0}, {95, 0}, {96, 96}, {98, 0}, {1024, 1024}, {1028, 0}, {65535, 0}};
    uint8_t fixed[VARVE_WAL_RECORD_SIZE] = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        varve_put_u16(fixed + 10, rows[i].size);
        ck_assert_uint_eq(varve_wal_record_claim(fixed), rows[i].expect);
    }
}
END_TEST

START_TEST(chain_depends_on_each_part)
{
    const uint64_t a = varve_wal_chain(1, 2, 3, 4, 5);

    ck_assert_uint_ne(a, varve_wal_chain(2, 2, 3, 4, 5));
    ck_assert_uint_ne(a, varve_wal_chain(1, 3, 3, 4, 5));
    ck_assert_uint_ne(a, varve_wal_chain(1, 2, 4, 4, 5));
    ck_assert_uint_ne(a, varve_wal_chain(1, 2, 3, 5, 5));
    ck_assert_uint_ne(a, varve_wal_chain(1, 2, 3, 4, 6));
}
END_TEST

START_TEST(sizes_and_names)
{
    char name[VARVE_WAL_NAME_MAX];

    varve_wal_segment_name(0xABC, name);
    ck_assert_str_eq(name, "0000000000000abc.wal");
    ck_assert_uint_eq(varve_wal_segment_capacity(65536), 14 * 4032);
    ck_assert_uint_eq(varve_wal_segment_capacity(8192), 0);
    ck_assert_uint_eq(varve_wal_payload_limit(65536), 16384);
    ck_assert_uint_eq(varve_wal_payload_limit(512u << 20), 16u << 20);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_format");
    TCase *const tc = tcase_create("all");

    tcase_add_test(tc, header_comes_back);
    tcase_add_loop_test(tc, header_each_clause_alone, 0,
                        (int)(sizeof header_clause / sizeof header_clause[0]));
    tcase_add_test(tc, header_other_clauses);
    tcase_add_test(tc, seal_comes_back_and_has_one_size);
    tcase_add_test(tc, record_comes_back);
    tcase_add_test(tc, record_without_payload_has_no_extension);
    tcase_add_test(tc, record_with_transformed_payload_has_two_hashes);
    tcase_add_test(tc, record_of_another_place_or_with_any_bit_flipped_is_refused);
    tcase_add_loop_test(tc, record_each_clause_alone, 0,
                        (int)(sizeof record_clause / sizeof record_clause[0]));
    tcase_add_test(tc, extensions_that_are_not_known_are_skipped);
    tcase_add_test(tc, a_header_is_at_most_as_large_as_it_may_claim);
    tcase_add_test(tc, a_claimed_header_size_is_bounded);
    tcase_add_test(tc, chain_depends_on_each_part);
    tcase_add_test(tc, sizes_and_names);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
