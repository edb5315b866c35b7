/*
 * test_plain_number.c - numbers read eight digits at a time are those read one by one.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/varve/plain_number.h"

/* The rule of plain_number.h, character by character. */
static bool slow_parse(const char *text, size_t size, struct plain_number *ret)
{
    size_t i = 0, digits = 0;

    *ret = (struct plain_number){.mantissa = 0};
    if (size > 1 && text[0] == '-') {
        ret->negative = true;
        i = 1;
    }
    for (; i < size; i++) {
        if (text[i] == '.' && !ret->point) {
            ret->point = true;
        } else if (text[i] >= '0' && text[i] <= '9') {
            ret->mantissa = digits < 18 ? ret->mantissa * 10 + (uint64_t)(text[i] - '0') : 0;
            ret->digits += ret->point;
            digits++;
        } else {
            return false;
        }
    }
    return digits > 0 && digits <= 18;
}

/* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
static void check_same(const char *text, size_t size)
{
    char *exact = malloc(size == 0 ? 1 : size);
    struct plain_number fast, slow;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, text, size);
    const bool good = plain_number_parse(exact, size, &fast);
    ck_assert_msg(good == slow_parse(exact, size, &slow), "%.*s", (int)size, text);
    if (good) {
        ck_assert_msg(fast.mantissa == slow.mantissa, "%.*s", (int)size, text);
        ck_assert_int_eq(fast.digits, slow.digits);
        ck_assert_int_eq(fast.negative, slow.negative);
        ck_assert_int_eq(fast.point, slow.point);
    }
    free(exact);
}

START_TEST(every_length_with_the_point_everywhere)
{
    static const char digits[] = "9182736450917263544";

    for (size_t n = 0; n <= 19; n++)
        for (size_t point = 0; point <= n; point++)
            for (int negative = 0; negative < 2; negative++) {
                char text[32];
                const int size =
                    snprintf(text, sizeof text, "%s%.*s%s%.*s", negative ? "-" : "", (int)point,
                             digits, point < n ? "." : "", (int)(n - point), digits + point);
                check_same(text, (size_t)size);
            }
}
END_TEST

START_TEST(any_other_character_anywhere_is_refused)
{
    for (size_t n = 1; n <= 20; n++)
        for (size_t at = 0; at < n; at++)
            for (int other = 0; other < 256; other++) {
                char text[20];
                memset(text, '7', n);
                text[at] = (char)other;
                check_same(text, n);
                if (n > 3) {
                    text[n / 2] = '.';
                    check_same(text, n);
                }
            }
}
END_TEST

START_TEST(zeros_nines_and_two_points)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "-",
                                        "-.",
                                        "..",
                                        "--1",
                                        "0",
                                        "-0",
                                        "000000000000000000",
                                        "999999999999999999",
                                        "1.",
                                        ".5",
                                        "5-",
                                        "1.2.3",
                                        "12345678.1234567.",
                                        ".12345678",
                                        "12345678.",
                                        "1234567.8",
                                        "+1",
                                        "1e5",
                                        " 1",
                                        "1 ",
                                        "12345678 ",
                                        "1234567890123456789",
                                        "0000000000000000001"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_same(texts[i], strlen(texts[i]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plain_number");
    TCase *tc = tcase_create("plain_number");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_length_with_the_point_everywhere);
    tcase_add_test(tc, any_other_character_anywhere_is_refused);
    tcase_add_test(tc, zeros_nines_and_two_points);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
