/*
 * test_sst.c - what a writer was given is what a source gives back, for every shape of table,
 * direction, time range and size of row group.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/sst/sst_maker.h"

static void print_problem(void *ctx, const varve_error *problem)
{
    (void)ctx;
    fprintf(stderr, "%s at %llu: %s\n", problem->file, (unsigned long long)problem->offset,
            problem->message);
}

/* Written, read in both directions and in slices, and verified. */
static void check_all(struct sst_model *m, uint32_t group_rows, uint64_t cache_bytes)
{
    struct sst_disk d;
    varve_error err = {0};

    sst_disk_init(&d, cache_bytes);
    struct varve_sst *sst = sst_model_open(m, &d, group_rows);
    for (int round = 0; round < 2; round++) {
        ck_assert_msg(sst_model_read(m, &d, sst, false, &err) == VARVE_OK, "%s", err.message);
        ck_assert_msg(sst_model_read(m, &d, sst, true, &err) == VARVE_OK, "%s", err.message);
    }
    struct varve_source *source;
    ck_assert_int_eq(varve_sst_source_open(sst, &d.heap.heap, &source, NULL), VARVE_OK);
    for (int i = 0; i < 24 && m->n_parts > 0; i++) {
        const uint32_t p = (uint32_t)varve_rng_below(&m->rng, m->n_parts);
        const struct varve_rows *rows = &m->parts[p].rows.rows;
        const int64_t a = rows->time[varve_rng_below(&m->rng, rows->n)];
        const int64_t b = rows->time[varve_rng_below(&m->rng, rows->n)];

        sst_model_slice(m, source, p, a < b ? a : b, a < b ? b : a, i % 2 == 1);
    }
    source->ops->close(source);
    ck_assert_uint_eq(varve_sst_repairs(sst), 0);
    ck_assert_msg(varve_sst_verify(sst, &d.heap.heap, print_problem, NULL, &err) == VARVE_OK, "%s",
                  err.message);
    varve_sst_unref(sst);
    sst_disk_free(&d);
}

static const uint32_t sizes[] = {1,    2,    127,  128,  129,  1023, 1024, 1025,
                                 1440, 2047, 2048, 2049, 3000, 3072, 5000};

START_TEST(one_partition_of_any_size_comes_back)
{
    static const uint32_t groups[] = {0, 1024, 64, 100};

    for (uint32_t g = 0; g < 4; g++) {
        struct sst_model m;

        sst_model_init(&m, sst_table_bars, (uint64_t)_i);
        sst_model_add(&m, sizes[_i], SST_PLAIN);
        check_all(&m, groups[g], 1 << 20);
        sst_model_free(&m);
    }
}
END_TEST

START_TEST(all_types_and_states_come_back)
{
    struct sst_model m;

    sst_model_init(&m, row_table_all_types, (uint64_t)_i + 10);
    for (int i = 0; i < 12; i++)
        sst_model_add(&m, 1 + (uint32_t)varve_rng_below(&m.rng, 400), SST_WILD);
    sst_model_add(&m, 2500, SST_WILD);
    sst_model_add(&m, 3, SST_WILD);
    check_all(&m, _i == 0 ? 0 : 1024, _i == 2 ? 0 : 1 << 20);
    sst_model_free(&m);
}
END_TEST

START_TEST(many_small_partitions_come_back)
{
    struct sst_model m;

    sst_model_init(&m, sst_table_bars, 3);
    for (int i = 0; i < 10000; i++)
        sst_model_add(&m, 1 + (uint32_t)varve_rng_below(&m.rng, 9), SST_PLAIN);
    check_all(&m, 0, 1 << 18);
    sst_model_free(&m);
}
END_TEST

START_TEST(large_and_small_partitions_mix)
{
    struct sst_model m;

    sst_model_init(&m, _i == 0 ? sst_table_bars : sst_table_keep, 4);
    for (int i = 0; i < 60; i++)
        sst_model_add(&m,
                      varve_rng_below(&m.rng, 4) == 0 ? 1 + (uint32_t)varve_rng_below(&m.rng, 4000)
                                                      : 1 + (uint32_t)varve_rng_below(&m.rng, 150),
                      SST_PLAIN);
    check_all(&m, _i == 0 ? 4096 : 0, 1 << 18);
    sst_model_free(&m);
}
END_TEST

/* A file of 3,000 partitions of two rows, whose keys are three apart. */
static struct varve_sst *open_many(struct sst_model *m, struct sst_disk *d, uint64_t cache_bytes,
                                   struct varve_source **ret_source)
{
    sst_model_init(m, sst_table_bars, 9);
    for (int i = 0; i < 3000; i++)
        sst_model_add(m, 2, SST_PLAIN);
    sst_disk_init(d, cache_bytes);
    struct varve_sst *sst = sst_model_open(m, d, 0);
    ck_assert_int_eq(varve_sst_source_open(sst, &d->heap.heap, ret_source, NULL), VARVE_OK);
    return sst;
}

START_TEST(what_is_not_there_is_not_found)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_source *source;
    struct varve_partition partition;
    uint32_t maybe = 0;

    struct varve_sst *sst = open_many(&m, &d, 1 << 20, &source);
    for (uint32_t i = 0; i < 3000; i += 7) {
        uint8_t key[9];

        memcpy(key, m.parts[i].key, 9);
        ck_assert_int_eq(varve_sst_may_hold(sst, varve_span_of(key, 9), NULL), 1);
        key[8]++; /* keys are three apart */
        if (key[8] == 0)
            continue;
        maybe += varve_sst_may_hold(sst, varve_span_of(key, 9), NULL) != 0;
        ck_assert_int_eq(source->ops->find(source, varve_span_of(key, 9), &partition, NULL),
                         VARVE_END);
        ck_assert_int_eq(source->ops->seek(source, varve_span_of(key, 9), false, NULL), VARVE_OK);
        const varve_status rc = source->ops->next(source, &partition, NULL);
        ck_assert_int_eq(rc, i + 1 < 3000 ? VARVE_OK : VARVE_END);
        if (rc == VARVE_OK)
            ck_assert_mem_eq(partition.key.data, m.parts[i + 1].key, 9);
        ck_assert_int_eq(source->ops->seek(source, varve_span_of(key, 9), true, NULL), VARVE_OK);
        ck_assert_int_eq(source->ops->next(source, &partition, NULL), VARVE_OK);
        ck_assert_mem_eq(partition.key.data, m.parts[i].key, 9);
    }
    ck_assert_uint_lt(maybe, 12); /* 1 in 256 of 429 */
    source->ops->close(source);
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

/* Where a file was read. */
struct places {
    uint64_t at[8];
    uint32_t n;
};

static int watch_places(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct places *places = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_READ) {
        ck_assert_uint_lt(places->n, sizeof places->at / sizeof places->at[0]);
        places->at[places->n++] = event->offset;
    }
    return 0;
}

/* What the key filter knows to be absent is not looked for: no page of the directory is read. */
START_TEST(absent_key_costs_no_more_than_the_filter)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_source *source;
    struct varve_partition partition;
    uint32_t refused = 0;

    /* No cache, so that each page that is looked at is read. */
    struct varve_sst *sst = open_many(&m, &d, 0, &source);
    for (uint32_t i = 0; i < 2999; i += 97) {
        struct places filter = {.n = 0};
        struct places found = {.n = 0};
        uint8_t key[9];

        memcpy(key, m.parts[i].key, 9);
        key[8]++; /* keys are three apart */
        ck_assert_int_eq(varve_sim_watch(d.sim, watch_places, &filter), 0);
        const int may = varve_sst_may_hold(sst, varve_span_of(key, 9), NULL);
        varve_sim_unwatch(d.sim, watch_places, &filter);
        if (key[8] == 0 || may != 0)
            continue;
        refused++;
        ck_assert_int_eq(varve_sim_watch(d.sim, watch_places, &found), 0);
        ck_assert_int_eq(source->ops->find(source, varve_span_of(key, 9), &partition, NULL),
                         VARVE_END);
        varve_sim_unwatch(d.sim, watch_places, &found);
        ck_assert_uint_gt(filter.n, 0);
        ck_assert_uint_eq(found.n, filter.n);
        ck_assert_mem_eq(found.at, filter.at, sizeof found.at);
    }
    ck_assert_uint_gt(refused, 20); /* of 31 */
    source->ops->close(source);
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

/* Ranges of a file that were announced, and reads of what was. */
struct announced {
    uint64_t from[256];
    uint64_t to[256];
    uint32_t n;
    uint32_t n_at_first_read; /* announcements before the first read of something announced */
    uint32_t reads;           /* of something announced */
    int error;                /* that announcing gives */
};

static int watch_reads(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct announced *a = ctx;

    (void)sim;
    if (event->phase != VARVE_SIM_BEFORE)
        return 0;
    if (event->op == VARVE_SIM_ADVISE) {
        ck_assert_uint_lt(a->n, 256);
        a->from[a->n] = event->offset;
        a->to[a->n++] = event->offset + event->size;
        return a->error;
    }
    for (uint32_t i = 0; event->op == VARVE_SIM_READ && i < a->n; i++)
        if (event->offset >= a->from[i] && event->offset + event->size <= a->to[i]) {
            if (a->reads++ == 0)
                a->n_at_first_read = a->n;
            break;
        }
    return 0;
}

/* All columns of a vector that is in no cache, and later the windows of a walk, are announced before the
 * first of them is read. Whether announcing works makes no difference to what is read. */
START_TEST(what_comes_next_is_announced_together)
{
    struct announced slice = {.error = _i == 0 ? 0 : -EIO};
    struct announced walk = {.error = slice.error};
    struct varve_source *source = NULL;
    varve_error err = {0};
    struct sst_model m;
    struct sst_disk d;

    sst_model_init(&m, sst_table_bars, 81);
    for (uint32_t i = 0; i < 3; i++)
        sst_model_add(&m, 9000, SST_PLAIN);
    sst_disk_init(&d, 1 << 20);
    struct varve_sst *sst = sst_model_open(&m, &d, 65536);
    const uint32_t streams = 1 + m.schema->n_columns - (m.schema->time_column + 1);

    ck_assert_int_eq(varve_sst_source_open(sst, &d.heap.heap, &source, &err), VARVE_OK);
    const struct varve_rows *rows = &m.parts[1].rows.rows;
    ck_assert_int_eq(varve_sim_watch(d.sim, watch_reads, &slice), 0);
    sst_model_slice(&m, source, 1, rows->time[5000], rows->time[5010], false);
    varve_sim_unwatch(d.sim, watch_reads, &slice);
    ck_assert_uint_eq(slice.n, streams);
    ck_assert_uint_eq(slice.n_at_first_read, streams);
    ck_assert_uint_eq(slice.reads, streams);
    source->ops->close(source);

    ck_assert_int_eq(varve_sim_watch(d.sim, watch_reads, &walk), 0);
    ck_assert_int_eq(sst_model_read(&m, &d, sst, false, &err), VARVE_OK);
    varve_sim_unwatch(d.sim, watch_reads, &walk);
    ck_assert_uint_ge(walk.n_at_first_read, streams);
    ck_assert_uint_ge(walk.reads, 3 * streams);
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(bytes_do_not_depend_on_how_rows_were_appended)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst_properties a, b;
    varve_error err = {0};

    sst_model_init(&m, row_table_all_types, 12);
    sst_model_add(&m, 2600, SST_WILD);
    sst_model_add(&m, 100, SST_WILD);
    sst_model_add(&m, 50, SST_WILD);
    sst_disk_init(&d, 0);
    ck_assert_int_eq(sst_model_write(&m, &d, "1", 1024, &a, &err), VARVE_OK);

    struct varve_sst_writer_options options = {.schema = m.schema, .row_group_rows = 1024};
    struct varve_sst_writer *writer;
    memcpy(options.given.uuid, a.uuid, 16);
    options.given.lsn_first = 100;
    options.given.lsn_end = 200;
    ck_assert_int_eq(varve_sst_writer_open(d.vfs, "2", &options, &d.heap.heap, &writer, NULL),
                     VARVE_OK);
    for (uint32_t p = 0; p < m.n_parts; p++) {
        ck_assert_int_eq(varve_sst_writer_begin_partition(
                             writer, varve_span_of(m.parts[p].key, m.parts[p].key_size), NULL),
                         VARVE_OK);
        for (uint32_t i = 0; i < m.parts[p].rows.rows.n; i++)
            ck_assert_int_eq(varve_sst_writer_append(writer, &m.parts[p].rows.rows, i, 1, NULL),
                             VARVE_OK);
    }
    ck_assert_int_eq(varve_sst_writer_finish(writer, &b, NULL), VARVE_OK);
    ck_assert_uint_eq(a.footer_checksum, b.footer_checksum);
    ck_assert_uint_eq(a.file_size, b.file_size);
    varve_sst_properties_free(&a, &d.heap.heap);
    varve_sst_properties_free(&b, &d.heap.heap);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(keys_and_rows_out_of_order_are_refused)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst_writer *writer;

    sst_model_init(&m, sst_table_bars, 1);
    sst_model_add(&m, 10, SST_PLAIN);
    sst_disk_init(&d, 0);
    for (int i = 0; i < 3; i++) {
        struct varve_sst_writer_options options = {.schema = m.schema};
        const struct varve_span key = varve_span_of(m.parts[0].key, m.parts[0].key_size);

        ck_assert_int_eq(
            varve_sst_writer_open(d.vfs, SST_NAME, &options, &d.heap.heap, &writer, NULL),
            VARVE_OK);
        ck_assert_int_eq(varve_sst_writer_begin_partition(writer, key, NULL), VARVE_OK);
        ck_assert_int_eq(varve_sst_writer_append(writer, &m.parts[0].rows.rows, 2, 3, NULL),
                         VARVE_OK);
        if (i == 0)
            ck_assert_int_eq(varve_sst_writer_begin_partition(writer, key, NULL), VARVE_EINVAL);
        else
            ck_assert_int_eq(
                varve_sst_writer_append(writer, &m.parts[0].rows.rows, i == 1 ? 4 : 0, 1, NULL),
                VARVE_EINVAL);
        varve_sst_writer_abort(writer);
        ck_assert_int_lt(varve_sim_size(d.sim, SST_NAME), 0); /* no stray is left */
    }
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sst");
    TCase *tc = tcase_create("sst");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, one_partition_of_any_size_comes_back, 0,
                        (int)(sizeof sizes / sizeof sizes[0]));
    tcase_add_loop_test(tc, all_types_and_states_come_back, 0, 3);
    tcase_add_test(tc, many_small_partitions_come_back);
    tcase_add_loop_test(tc, large_and_small_partitions_mix, 0, 2);
    tcase_add_test(tc, what_is_not_there_is_not_found);
    tcase_add_test(tc, absent_key_costs_no_more_than_the_filter);
    tcase_add_loop_test(tc, what_comes_next_is_announced_together, 0, 2);
    tcase_add_test(tc, bytes_do_not_depend_on_how_rows_were_appended);
    tcase_add_test(tc, keys_and_rows_out_of_order_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
