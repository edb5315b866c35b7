/*
 * test_store_options.c - every bound of varve_options from both sides, and the defaults.
 */
#include <check.h>
#include <stddef.h>
#include <string.h>

#include "storage/engine/options_int.h"

#define MIB ((uint64_t)1 << 20)

static varve_options options;

static varve_status complete(varve_options *ret)
{
    varve_options unused;
    varve_error err = {.status = VARVE_OK};
    const varve_status rc = varve_options_complete(&options, ret != NULL ? ret : &unused, &err);

    ck_assert_int_eq(err.status, rc);
    if (rc < 0)
        ck_assert_msg(strncmp(err.message, "varve_options.", 14) == 0, "%s", err.message);
    return rc;
}

/* Set one field to a value that is refused; the next case begins with defaults again. */
#define REFUSES(field, value)                                                                      \
    do {                                                                                           \
        varve_options_init(&options, sizeof options);                                              \
        options.field = (value);                                                                   \
        ck_assert_msg(complete(NULL) == VARVE_EINVAL, #field " = " #value " was taken");           \
    } while (0)
#define TAKES(field, value)                                                                        \
    do {                                                                                           \
        varve_options_init(&options, sizeof options);                                              \
        options.field = (value);                                                                   \
        ck_assert_msg(complete(NULL) == VARVE_OK, #field " = " #value " was refused");             \
    } while (0)

START_TEST(defaults_are_those_of_the_header)
{
    varve_options o;

    varve_options_init(&options, sizeof options);
    ck_assert_int_eq(complete(&o), VARVE_OK);
    ck_assert_uint_eq(o.policy, VARVE_POLICY_DURABLE_GROUP);
    ck_assert_uint_eq(o.interval_ms, 100);
    ck_assert_uint_eq(o.background_threads, 2);
    ck_assert_uint_eq(o.memory_limit, 256 * MIB);
    ck_assert_uint_eq(o.memtable_bytes, 64 * MIB);
    ck_assert_uint_eq(o.cache_bytes, 192 * MIB);
    ck_assert_uint_eq(o.max_wal_bytes, 256 * MIB);
    ck_assert_uint_eq(o.wal_segment_bytes, 64 * MIB);
    ck_assert_uint_eq(o.row_group_rows, 65536);
    ck_assert_uint_eq(o.flush_interval_ms, 600000);
    ck_assert_uint_eq(o.commit_queue, 4096);
    ck_assert_uint_eq(o.file_mode, 0640);
    ck_assert_uint_eq(o.dir_mode, 0750);
    varve_options same;
    ck_assert_int_eq(varve_options_complete(NULL, &same, NULL), VARVE_OK);
    ck_assert_int_eq(memcmp(&same, &o, sizeof o), 0);
}
END_TEST

START_TEST(numbers_are_bounded)
{
    REFUSES(interval_ms, 10001);
    TAKES(interval_ms, 10000);
    TAKES(interval_ms, 1);
    REFUSES(background_threads, 17);
    REFUSES(background_threads, UINT32_MAX - 1);
    TAKES(background_threads, 16);
    TAKES(background_threads, UINT32_MAX);
    REFUSES(reserve_bytes, (MIB << 20) + 1);
    TAKES(reserve_bytes, MIB << 20);
    TAKES(reserve_bytes, 1);
    TAKES(reserve_bytes, UINT64_MAX);
    REFUSES(memory_limit, 8 * MIB - 1);
    TAKES(memory_limit, 8 * MIB);
    TAKES(memory_limit, UINT64_MAX);
    REFUSES(memtable_bytes, 128 * MIB + 1);
    TAKES(memtable_bytes, 128 * MIB);
    REFUSES(cache_bytes, 192 * MIB + 1);
    TAKES(cache_bytes, 192 * MIB);
    REFUSES(wal_segment_bytes, (64u << 10) - 4096);
    TAKES(wal_segment_bytes, 64u << 10);
    TAKES(wal_segment_bytes, 512u << 20);
    REFUSES(wal_segment_bytes, (512u << 20) + 4096);
    REFUSES(wal_segment_bytes, (64u << 20) + 1);
    REFUSES(row_group_rows, 1023);
    TAKES(row_group_rows, 1024);
    REFUSES(row_group_rows, 65537);
    TAKES(window_seconds, (uint64_t)INT64_MAX / 1000000000u);
    REFUSES(window_seconds, (uint64_t)INT64_MAX / 1000000000u + 1);
}
END_TEST

START_TEST(names_are_known)
{
    REFUSES(policy, VARVE_POLICY_OS + 1);
    TAKES(policy, VARVE_POLICY_OS);
    REFUSES(io_backend, VARVE_IO_URING + 1);
    TAKES(io_backend, VARVE_IO_URING);
    REFUSES(wal_tail, VARVE_WAL_TAIL_CUT + 1);
    TAKES(wal_tail, VARVE_WAL_TAIL_CUT);
    REFUSES(flags, 8);
    REFUSES(flags, VARVE_OPEN_CREATE | VARVE_OPEN_READ_ONLY);
    REFUSES(flags, VARVE_OPEN_SALVAGE);
    TAKES(flags, VARVE_OPEN_READ_ONLY | VARVE_OPEN_SALVAGE);
}
END_TEST

START_TEST(size_says_which_fields_the_caller_knows)
{
    varve_options o;

    memset(&options, 0xff, sizeof options); /* fields beyond the size do not count */
    varve_options_init(&options, offsetof(varve_options, interval_ms));
    options.policy = VARVE_POLICY_OS;
    ck_assert_int_eq(complete(&o), VARVE_OK);
    ck_assert_uint_eq(o.policy, VARVE_POLICY_OS);
    ck_assert_uint_eq(o.interval_ms, 100);
    options.struct_size = 0;
    ck_assert_int_eq(complete(NULL), VARVE_EINVAL);
    options.struct_size = 4097;
    ck_assert_int_eq(complete(NULL), VARVE_EINVAL);
    varve_options_init(NULL, sizeof options);
}
END_TEST

START_TEST(reader_has_no_threads)
{
    varve_options o;

    varve_options_init(&options, sizeof options);
    options.flags = VARVE_OPEN_READ_ONLY;
    options.background_threads = 4;
    ck_assert_int_eq(complete(&o), VARVE_OK);
    ck_assert_uint_eq(o.background_threads, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_options");
    TCase *cases = tcase_create("store_options");

    tcase_add_test(cases, defaults_are_those_of_the_header);
    tcase_add_test(cases, numbers_are_bounded);
    tcase_add_test(cases, names_are_known);
    tcase_add_test(cases, size_says_which_fields_the_caller_knows);
    tcase_add_test(cases, reader_has_no_threads);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
