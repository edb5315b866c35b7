/*
 * test_sst_damage.c - damaged files and failing calls.
 *
 * Method: damage one byte after the other of a small file that has everything (several row groups,
 * shared and pure vectors, exceptions, dictionaries, all copies), and require that reading either
 * gives the same rows or refuses, and that verification objects. Fail the n-th allocation and the
 * n-th I/O, until the call succeeds without reaching the fault.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/lib/run_share.h"
#include "tests/unit/sst/sst_maker.h"

static void make_model(struct sst_model *m)
{
    sst_model_init(m, row_table_all_types, 77);
    sst_model_add(m, 40, SST_WILD);
    sst_model_add(m, 2, SST_WILD);
    sst_model_add(m, 30, SST_WILD);
}

/* Open, read, verify. Returns whether verification objected or something was refused. */
static bool is_noticed(struct sst_model *m, struct sst_disk *d,
                       const struct varve_sst_expect *expect)
{
    struct varve_sst *sst;
    varve_error err = {0};
    varve_status rc =
        varve_sst_open(d->vfs, SST_NAME, 1, expect, d->cache, &d->heap.heap, &sst, &err);

    if (rc < 0) {
        if (rc != VARVE_ECORRUPT && rc != VARVE_EVERSION)
            ck_abort_msg("%d %s", rc, err.message);
        return true;
    }
    rc = sst_model_read(m, d, sst, false, &err); /* aborts on a wrong row */
    if (rc < 0 && (rc != VARVE_ECORRUPT || err.offset == UINT64_MAX || err.file[0] == '\0'))
        ck_abort_msg("%d %s", rc, err.message);
    const bool noticed = varve_sst_verify(sst, &d->heap.heap, NULL, NULL, &err) == VARVE_ECORRUPT;
    if (rc < 0 && !noticed)
        ck_abort_msg("reading refuses what verification passes: %s", err.message);
    varve_sst_unref(sst);
    return noticed;
}

static void expect_of(struct sst_model *m, struct sst_disk *d, struct varve_sst_expect *expect)
{
    struct varve_sst_properties p;

    ck_assert_int_eq(sst_model_write(m, d, SST_NAME, 64, &p, NULL), VARVE_OK);
    memcpy(expect->uuid, p.uuid, 16);
    expect->file_size = p.file_size;
    expect->footer_checksum = p.footer_checksum;
    varve_sst_properties_free(&p, &d->heap.heap);
}

START_TEST(every_damaged_byte_is_noticed_and_no_row_is_wrong)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst_expect expect;

    make_model(&m);
    sst_disk_init(&d, 0); /* no cache: every block is read again */
    expect_of(&m, &d, &expect);
    ck_assert_uint_le(expect.file_size, 65536);
    if (is_noticed(&m, &d, &expect))
        ck_abort_msg("the sound file is refused");
    uint64_t flips = 0;
    /* One process looks at every fourth byte; four loops look at all. */
    for (uint64_t at = (uint64_t)_i; at < expect.file_size; at += 4) {
        const uint64_t bit = at * 8 + at % 8;
        uint8_t byte;

        /* Unless all are asked for: of the zeros of header and footers one in eight, of the rest
         * one in two. */
        (void)varve_sim_read(d.sim, SST_NAME, at, &byte, 1);
        const bool is_frame = at < 4096 || at >= expect.file_size - 8192;
        if (!run_is_full() &&
            (byte == 0 && is_frame ? at / 4 % 8 != 0 : at / 4 % 2 != 0 && !is_frame))
            continue;
        if (varve_sim_flip(d.sim, SST_NAME, bit) != 0)
            ck_abort_msg("flip");
        if (!is_noticed(&m, &d, _i % 2 == 0 ? &expect : NULL))
            ck_abort_msg("byte %llu", (unsigned long long)at);
        varve_sim_flip(d.sim, SST_NAME, bit);
        flips++;
    }
    run_share("damage: %llu bytes of an SSTable flipped (part %d of 4, %llu bytes in all)",
              (unsigned long long)flips, _i + 1, (unsigned long long)expect.file_size);
    if (is_noticed(&m, &d, &expect))
        ck_abort_msg("the file is not as it was");
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(a_file_cut_short_or_swapped_is_refused)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst_expect expect;
    struct varve_sst *sst;

    make_model(&m);
    sst_disk_init(&d, 0);
    expect_of(&m, &d, &expect);
    expect.uuid[3] ^= 1;
    ck_assert_int_eq(varve_sst_open(d.vfs, SST_NAME, 1, &expect, d.cache, &d.heap.heap, &sst, NULL),
                     VARVE_ECORRUPT);
    expect.uuid[3] ^= 1;
    expect.footer_checksum ^= 1;
    ck_assert_int_eq(varve_sst_open(d.vfs, SST_NAME, 1, &expect, d.cache, &d.heap.heap, &sst, NULL),
                     VARVE_ECORRUPT);
    ck_assert_int_eq(varve_sst_open(d.vfs, "none", 1, NULL, d.cache, &d.heap.heap, &sst, NULL),
                     VARVE_ENOTFOUND);
    for (uint64_t size = expect.file_size; size > 0;) {
        size = size > 1021 ? size - 1021 : 0;
        ck_assert_int_eq(varve_sim_truncate(d.sim, SST_NAME, size), 0);
        ck_assert_int_eq(
            varve_sst_open(d.vfs, SST_NAME, 1, NULL, d.cache, &d.heap.heap, &sst, NULL),
            VARVE_ECORRUPT);
    }
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    struct sst_model m;
    bool fired = true;

    sst_model_init(&m, row_table_all_types, 5);
    sst_model_add(&m, 70, SST_WILD);
    sst_model_add(&m, 2, SST_WILD);
    for (long n = 0; fired; n++) {
        struct sst_disk d;

        sst_disk_init(&d, 1 << 16);
        d.heap.fail_at = d.heap.calls + n;
        const varve_status rc = sst_model_whole_story(&m, &d, 64, false);
        fired = d.heap.fired;
        if (!fired && rc != VARVE_OK)
            ck_abort_msg("%d without a fault", rc);
        if (fired && rc != VARVE_ENOMEM && rc != VARVE_OK)
            ck_abort_msg("%d after failing allocation %ld", rc, n);
        d.heap.fail_at = -1;
        varve_cache_drop_file(d.cache, 1);
        sst_disk_free(&d); /* requires that nothing has leaked */
    }
    sst_model_free(&m);
}
END_TEST

START_TEST(every_failed_operation_is_survived)
{
    const bool for_ever = _i % 2 == 1;
    const int error = _i < 2 ? EIO : ENOSPC;
    struct sst_model m;
    uint64_t hits = 1;

    sst_model_init(&m, row_table_all_types, 5);
    sst_model_add(&m, 70, SST_WILD);
    sst_model_add(&m, 2, SST_WILD);
    for (uint64_t n = 1; hits > 0; n++) {
        struct sst_disk d;

        sst_disk_init(&d, 1 << 16);
        ck_assert_int_eq(varve_sim_fault_nth(d.sim, n, for_ever, error), 0);
        const varve_status rc = sst_model_whole_story(&m, &d, 64, false);
        hits = varve_sim_fault_hits(d.sim);
        if (hits == 0 ? rc != VARVE_OK : rc == VARVE_OK && for_ever)
            ck_abort_msg("%d at operation %llu", rc, (unsigned long long)n);
        if (rc < 0 && rc != VARVE_EIO && rc != VARVE_ENOSPC && rc != VARVE_ECORRUPT)
            ck_abort_msg("%d at operation %llu", rc, (unsigned long long)n);
        if (varve_sim_violation(d.sim) != NULL)
            ck_abort_msg("%s", varve_sim_violation(d.sim));
        sst_disk_free(&d);
    }
    sst_model_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sst_damage");
    TCase *tc = tcase_create("sst_damage");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_damaged_byte_is_noticed_and_no_row_is_wrong, 0, 4);
    tcase_add_test(tc, a_file_cut_short_or_swapped_is_refused);
    tcase_add_test(tc, every_failed_allocation_is_survived);
    tcase_add_loop_test(tc, every_failed_operation_is_survived, 0, 4);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
