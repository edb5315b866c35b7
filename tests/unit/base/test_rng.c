/*
 * test_rng.c - rng.c: the numbers are those of the published generator, and bounds hold.
 */
#include "storage/base/rng.h"

#include <check.h>
#include <stdlib.h>

START_TEST(first_numbers_of_a_seed_never_change)
{
    /* xoshiro256** seeded by splitmix64(0), computed apart from the published algorithms. */
    static const uint64_t expect[4] = {UINT64_C(0x99ec5f36cb75f2b4), UINT64_C(0xbf6e1f784956452a),
                                       UINT64_C(0x1a5f849d4933e6e0), UINT64_C(0x6aa594f1262d2d2c)};
    struct varve_rng rng;
    varve_rng_seed(&rng, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(varve_rng_next(&rng), expect[i]);
}
END_TEST

START_TEST(below_stays_below_and_is_even)
{
    struct varve_rng rng;
    uint32_t seen[10] = {0};
    varve_rng_seed(&rng, 1);
    for (int i = 0; i < 100000; i++)
        seen[varve_rng_below(&rng, 10)]++;
    for (int i = 0; i < 10; i++)
        ck_assert(seen[i] > 9500 && seen[i] < 10500);
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_eq(varve_rng_below(&rng, 1), 0);
        ck_assert_uint_lt(varve_rng_below(&rng, UINT64_MAX), UINT64_MAX);
        ck_assert_uint_lt(varve_rng_below(&rng, (UINT64_C(1) << 63) + 1), (UINT64_C(1) << 63) + 1);
    }
}
END_TEST

START_TEST(unit_lies_in_zero_to_one)
{
    struct varve_rng rng;
    double sum = 0;
    varve_rng_seed(&rng, 2);
    for (int i = 0; i < 100000; i++) {
        const double v = varve_rng_unit(&rng);
        ck_assert(v >= 0.0 && v < 1.0);
        sum += v;
    }
    ck_assert(sum > 49000 && sum < 51000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rng");
    TCase *tc = tcase_create("rng");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, first_numbers_of_a_seed_never_change);
    tcase_add_test(tc, below_stays_below_and_is_even);
    tcase_add_test(tc, unit_lies_in_zero_to_one);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
