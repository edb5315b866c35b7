/*
 * test_result_columns.c - a text column of a batch never has 4 GiB, whatever room there is: offsets have
 * 32 bits.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "storage/scan/scan_int.h"

#define ROOM ((size_t)8 << 30) /* addresses; hardly any of it is touched */
#define LEFT 10u               /* bytes that the offsets still can say */

static uint8_t *room_of(size_t size)
{
    uint8_t *room = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(room, MAP_FAILED);
    return room;
}

START_TEST(text_that_offsets_cannot_say_is_refused_though_there_is_room)
{
    static const uint8_t text[100];
    uint64_t validity[2] = {0};
    uint32_t offsets[9] = {UINT32_MAX - LEFT};
    struct varve_result_column column = {.phys = VARVE_PHYS_BYTES,
                                         .values = room_of(ROOM),
                                         .validity = validity,
                                         .offsets = offsets,
                                         .bytes_capacity = ROOM};
    struct varve_result result = {.n_columns = 1, .capacity = 8, .columns = &column};
    varve_value value = {.type = VARVE_TEXT, .presence = VARVE_SET, .as.bytes = {text, LEFT + 1}};
    varve_error err = {0};

    ck_assert_int_eq(varve_result_put(&result, 0, &value, &err), VARVE_ELIMIT);
    ck_assert_int_eq(varve_result_fill(&result, 0, &value, 1, &err), VARVE_ELIMIT);
    value.as.bytes.size = LEFT / 2;
    ck_assert_int_eq(varve_result_fill(&result, 0, &value, 3, &err), VARVE_ELIMIT);
    ck_assert_int_eq(varve_result_fill(&result, 0, &value, 2, &err), VARVE_OK);
    ck_assert_uint_eq(offsets[2], UINT32_MAX);
    value.as.bytes.size = LEFT;
    ck_assert_int_eq(varve_result_put(&result, 0, &value, &err), VARVE_OK);
    ck_assert_uint_eq(offsets[1], UINT32_MAX);
    (void)munmap(column.values, ROOM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("result_columns");
    TCase *cases = tcase_create("result_columns");
    SRunner *runner = srunner_create(suite);

    tcase_add_test(cases, text_that_offsets_cannot_say_is_refused_though_there_is_room);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
