/*
 * test_checksum.c - checksum.c: published test vectors, both paths of CRC32C, seeds, places.
 */
#include "storage/base/checksum.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"

START_TEST(crc32c_gives_the_published_values)
{
    uint8_t bytes[32];
    ck_assert_uint_eq(varve_crc32c("123456789", 9, 0), 0xe3069283u);
    ck_assert_uint_eq(varve_crc32c_portable("123456789", 9, 0), 0xe3069283u);
    memset(bytes, 0, sizeof bytes); /* RFC 3720, B.4 */
    ck_assert_uint_eq(varve_crc32c(bytes, 32, 0), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(varve_crc32c(bytes, 32, 0), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(varve_crc32c(bytes, 32, 0), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(varve_crc32c(bytes, 32, 0), 0x113fdb5cu);
    ck_assert_uint_eq(varve_crc32c(NULL, 0, 0), 0);
}
END_TEST

START_TEST(crc32c_paths_agree_at_every_length_and_alignment)
{
    struct varve_rng rng;
    uint8_t bytes[300];
    varve_rng_seed(&rng, 1);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)varve_rng_next(&rng);
    for (size_t start = 0; start < 9; start++) {
        for (size_t n = 0; n <= sizeof bytes - start; n++) {
            const uint32_t seed = (uint32_t)varve_rng_next(&rng);
            ck_assert_uint_eq(varve_crc32c(bytes + start, n, seed),
                              varve_crc32c_portable(bytes + start, n, seed));
        }
    }
}
END_TEST

START_TEST(crc32c_of_a_whole_is_that_of_its_parts)
{
    static const char text[] = "the seed is the checksum of what goes before";
    const size_t n = sizeof text - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        const uint32_t head = varve_crc32c(text, cut, 0);
        ck_assert_uint_eq(varve_crc32c(text + cut, n - cut, head), varve_crc32c(text, n, 0));
    }
}
END_TEST

START_TEST(hash64_is_xxh3)
{
    /* Values of the XXH3 specification's reference program. */
    ck_assert_uint_eq(varve_hash64(NULL, 0, 0), UINT64_C(0x2d06800538d394c2));
    ck_assert_uint_eq(varve_hash64("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
    ck_assert_uint_ne(varve_hash64("abc", 3, 1), varve_hash64("abc", 3, 0));
}
END_TEST

START_TEST(place_seed_depends_on_file_kind_and_offset)
{
    uint8_t uuid[16] = {1, 2, 3, 4};
    const uint64_t seed = varve_place_seed(uuid, 5, 4096);
    ck_assert_uint_eq(varve_place_seed(uuid, 5, 4096), seed);
    ck_assert_uint_ne(varve_place_seed(uuid, 6, 4096), seed);
    ck_assert_uint_ne(varve_place_seed(uuid, 5, 8192), seed);
    ck_assert_uint_ne(varve_place_seed(uuid, 5, 4096 + (UINT64_C(1) << 40)), seed);
    uuid[15] ^= 1;
    ck_assert_uint_ne(varve_place_seed(uuid, 5, 4096), seed);
    /* It stands in files: it must not change. */
    static const uint8_t zero[16];
    ck_assert_uint_eq(varve_place_seed(zero, 0, 0), varve_hash64((const uint8_t[28]){0}, 28, 0));
}
END_TEST

START_TEST(mix64_is_the_one_of_the_format_and_keeps_numbers_apart)
{
    ck_assert_uint_eq(varve_mix64(0), 0);
    uint64_t all = 0;
    for (int bit = 0; bit < 64; bit++) {
        const uint64_t a = varve_mix64(UINT64_C(1) << bit);
        ck_assert_int_gt(__builtin_popcountll(a), 12);
        all |= a;
    }
    ck_assert_uint_eq(all, UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checksum");
    TCase *tc = tcase_create("checksum");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, crc32c_gives_the_published_values);
    tcase_add_test(tc, crc32c_paths_agree_at_every_length_and_alignment);
    tcase_add_test(tc, crc32c_of_a_whole_is_that_of_its_parts);
    tcase_add_test(tc, hash64_is_xxh3);
    tcase_add_test(tc, place_seed_depends_on_file_kind_and_offset);
    tcase_add_test(tc, mix64_is_the_one_of_the_format_and_keeps_numbers_apart);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
