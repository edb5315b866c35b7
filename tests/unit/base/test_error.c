/*
 * test_error.c - error.c: names and texts of all statuses, and how a varve_error is filled in.
 */
#include "storage/base/error.h"

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_status_has_a_name_and_a_text)
{
    for (int code = VARVE_EUNSUPPORTED; code <= VARVE_END; code++) {
        const char *name = varve_status_name((varve_status)code);
        const char *text = varve_status_text((varve_status)code);
        ck_assert_int_eq(strncmp(name, "VARVE_", 6), 0);
        ck_assert_uint_gt(strlen(text), 3);
        ck_assert_int_ne(text[strlen(text) - 1], '.');
        ck_assert(islower((unsigned char)text[0]));
        for (int other = VARVE_EUNSUPPORTED; other < code; other++) {
            ck_assert_str_ne(name, varve_status_name((varve_status)other));
            ck_assert_str_ne(text, varve_status_text((varve_status)other));
        }
    }
    ck_assert_str_eq(varve_status_name(VARVE_ECORRUPT), "VARVE_ECORRUPT");
    ck_assert_str_eq(varve_status_name(VARVE_OK), "VARVE_OK");
    ck_assert_str_eq(varve_status_name((varve_status)2), "unknown status");
    ck_assert_str_eq(varve_status_text((varve_status)-1000), "unknown status");
    ck_assert_uint_gt(strlen(varve_version()), 4);
}
END_TEST

START_TEST(set_fills_every_field_and_returns_the_status)
{
    varve_error err;
    memset(&err, 0x77, sizeof err);
    ck_assert_int_eq(varve_error_set(&err, VARVE_ECORRUPT, "a.sst", 512, "bad %s %d", "page", 7),
                     VARVE_ECORRUPT);
    ck_assert_int_eq(err.status, VARVE_ECORRUPT);
    ck_assert_int_eq(err.os_code, 0);
    ck_assert_uint_eq(err.offset, 512);
    ck_assert_uint_eq(err.lsn, UINT64_MAX);
    ck_assert_uint_eq(err.lsn_end, UINT64_MAX);
    ck_assert_uint_eq(err.row, UINT64_MAX);
    ck_assert_str_eq(err.file, "a.sst");
    ck_assert_str_eq(err.message, "bad page 7");
    ck_assert_uint_eq(err.reserved[0] | err.reserved[1], 0);
    ck_assert_int_eq(varve_error_set(NULL, VARVE_EIO, "x", 0, "y"), VARVE_EIO);
}
END_TEST

START_TEST(set_cuts_what_is_too_long_and_may_quote_itself)
{
    varve_error err;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(varve_error_set(&err, VARVE_EIO, text, 0, "%s", text), VARVE_EIO);
    ck_assert_uint_eq(strlen(err.file), sizeof err.file - 1);
    ck_assert_uint_eq(strlen(err.message), sizeof err.message - 1);

    (void)varve_error_set(&err, VARVE_EIO, "a.wal", 1, "inner");
    (void)varve_error_set(&err, VARVE_ECORRUPT, err.file, 2, "outer: %s", err.message);
    ck_assert_str_eq(err.file, "a.wal");
    ck_assert_str_eq(err.message, "outer: inner");
}
END_TEST

START_TEST(os_failures_map_to_statuses)
{
    varve_error err;
    ck_assert_int_eq(varve_error_os(&err, -ENOSPC, "f", 3, "write"), VARVE_ENOSPC);
    ck_assert_int_eq(err.os_code, ENOSPC);
    ck_assert_ptr_nonnull(strstr(err.message, "write"));
    ck_assert_int_eq(varve_error_os(&err, -EDQUOT, "f", 3, "write"), VARVE_ENOSPC);
    ck_assert_int_eq(varve_error_os(&err, -ENOMEM, "f", 3, "open"), VARVE_ENOMEM);
    ck_assert_int_eq(varve_error_os(&err, -EIO, NULL, VARVE_NO_OFFSET, "read"), VARVE_EIO);
    ck_assert_int_eq(err.os_code, EIO);
    ck_assert_str_eq(err.file, "");
    ck_assert_int_eq(varve_error_os(NULL, -EACCES, "f", 0, "open"), VARVE_EIO);
    ck_assert_int_eq(varve_error_os(&err, INT64_MIN, "f", 0, "open"), VARVE_EIO);
    ck_assert_int_eq(varve_error_nomem(&err, "a batch"), VARVE_ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.message, "a batch"));
}
END_TEST

START_TEST(a_lost_sector_is_told_from_a_want_of_something)
{
    static const int lost[] = {EIO, ENODATA, EILSEQ, EUCLEAN, EBADMSG};
    static const int wanting[] = {EMFILE, ENFILE, EACCES, EINTR, ENOENT, ENOSPC, ENOMEM};
    varve_error err;

    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        ck_assert(varve_os_is_unreadable(-lost[i]));
        (void)varve_error_os(&err, -lost[i], "f", 0, "read");
        ck_assert(varve_error_is_unreadable(&err));
    }
    for (size_t i = 0; i < sizeof wanting / sizeof wanting[0]; i++) {
        ck_assert(!varve_os_is_unreadable(-wanting[i]));
        (void)varve_error_os(&err, -wanting[i], "f", 0, "read");
        ck_assert(!varve_error_is_unreadable(&err));
    }
    ck_assert(!varve_os_is_unreadable(0) && !varve_os_is_unreadable(EIO));
    (void)varve_error_set(&err, VARVE_ECORRUPT, "f", 0, "damaged");
    ck_assert(!varve_error_is_unreadable(&err));
}
END_TEST

START_TEST(copy_and_clear)
{
    varve_error from, to;
    (void)varve_error_set(&from, VARVE_ESTALE, NULL, VARVE_NO_OFFSET, "too old");
    ck_assert_int_eq(varve_error_copy(&to, &from, VARVE_EIO), VARVE_ESTALE);
    ck_assert_str_eq(to.message, "too old");
    ck_assert_int_eq(varve_error_copy(NULL, &from, VARVE_EIO), VARVE_ESTALE);
    ck_assert_int_eq(varve_error_copy(&to, NULL, VARVE_EBUSY), VARVE_EBUSY);
    ck_assert_int_eq(to.status, VARVE_EBUSY);
    ck_assert_int_eq(varve_error_copy(NULL, NULL, VARVE_EBUSY), VARVE_EBUSY);
    varve_error_clear(&to);
    ck_assert_int_eq(to.status, VARVE_OK);
    ck_assert_uint_eq(to.row, UINT64_MAX);
    ck_assert_str_eq(to.message, "");
    varve_error_clear(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tc = tcase_create("error");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, every_status_has_a_name_and_a_text);
    tcase_add_test(tc, set_fills_every_field_and_returns_the_status);
    tcase_add_test(tc, set_cuts_what_is_too_long_and_may_quote_itself);
    tcase_add_test(tc, os_failures_map_to_statuses);
    tcase_add_test(tc, a_lost_sector_is_told_from_a_want_of_something);
    tcase_add_test(tc, copy_and_clear);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
