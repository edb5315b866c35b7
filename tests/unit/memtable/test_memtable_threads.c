/*
 * test_memtable_threads.c - one applier beside readers who take no lock.
 *
 * Method: commit c adds a row to each of some partitions, cells derived from (partition, c). A view
 * must show exactly the rows of the commits below its ordinal, however far the applier has gone on.
 * To be run under a thread sanitizer too.
 */
#include <pthread.h>
#include <stdio.h>

#include "memtable_fixture.h"
#include "storage/base/mutex.h"

#define KEYS 40u
#define COMMITS 1500u
#define READERS 3

struct shared {
    struct varve_heap heap;
    struct varve_memtable *table;
    struct varve_schema *schema;
    struct varve_mutex lock; /* excludes publish from taking a view, as the engine's does */
    atomic_bool done;
    atomic_uint wrong;
};

/* Commit `c` writes the row of time t(c) to each partition; some commits are late, and some cells
 * are deleted, so that every form is read while it is written. */
static int64_t time_of(uint32_t c)
{
    return c % 10 == 3 ? (int64_t)c * 10 - 55 : (int64_t)c * 10;
}

static uint32_t bad(uint32_t line, uint32_t rc)
{
    if (rc != 0)
        (void)fprintf(stderr, "line %u\n", line);
    return rc != 0;
}

static void apply_commits(struct shared *s)
{
    static const uint32_t batch = KEYS;
    struct varve_span keys[KEYS];
    uint64_t hashes[KEYS];
    uint8_t bytes[KEYS][9];
    uint32_t part[KEYS];
    int64_t time[KEYS];
    double a[KEYS];
    uint64_t live[1];
    uint64_t deleted[1];
    struct varve_cells columns[4] = {{0}};
    struct varve_rows rows = {.schema = s->schema,
                              .n = batch,
                              .wt_uniform = VARVE_WT_COMMIT,
                              .time = time,
                              .columns = columns};
    const struct varve_section section = {.schema = s->schema,
                                          .n_keys = KEYS,
                                          .keys = keys,
                                          .key_hashes = hashes,
                                          .part = part,
                                          .rows = &rows};

    for (uint32_t c = 0; c < COMMITS; c++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            keys[k] = fixture_key((uint64_t)k + (k >= 20 ? c / 100 * 100 : 0), 9, bytes[k]);
            hashes[k] = varve_key_hash(keys[k]);
            part[k] = k;
            time[k] = time_of(c);
            a[k] = (double)c;
        }
        columns[2].values = a;
        columns[2].live = c % 5 == 4 ? live : NULL;
        columns[2].deleted = c % 5 == 4 ? deleted : NULL;
        live[0] = 0xFFFFFFFF0F;
        deleted[0] = 0xF0;
        if (bad(__LINE__, varve_memtable_reserve(s->table, &section, NULL) != VARVE_OK))
            atomic_fetch_add(&s->wrong, 1);
        varve_memtable_apply(
            s->table, &section,
            &(struct varve_apply){.lsn = c, .lsn_end = c + 1, .hlc = 100 + c, .floor = INT64_MIN});
        varve_mutex_lock(&s->lock);
        varve_memtable_publish(s->table);
        varve_mutex_unlock(&s->lock);
    }
    varve_memtable_freeze(s->table);
    atomic_store(&s->done, true);
}

/* Rows of one partition in the view: their number, and each must be of a visible commit. */
static uint64_t read_rows(struct shared *s, struct varve_source *source,
                          const struct varve_partition *p, uint64_t ordinal, bool reverse)
{
    uint64_t n = 0;
    uint32_t streams = 0;
    struct varve_cells columns[4];
    struct varve_rows rows = {.columns = columns};
    struct varve_piece piece;

    if (source->ops->open(source, p, INT64_MIN, INT64_MAX, reverse, &streams, NULL) < 0)
        atomic_fetch_add(&s->wrong, 1);
    for (uint32_t k = 0; k < streams; k++) {
        while (source->ops->piece(source, k, &piece, NULL) == VARVE_OK) {
            if (source->ops->load(source, k, 0, piece.rows, NULL, true, &rows, NULL) < 0)
                atomic_fetch_add(&s->wrong, 1);
            for (uint32_t i = 0; i < rows.n; i++) {
                const uint32_t c = (uint32_t)(varve_rows_wt(&rows, i) - 100);
                const uint8_t state = varve_rows_state(&rows, i, 2);
                const double a = ((const double *)columns[2].values)[i];
                uint32_t wrong = c >= ordinal || rows.time[i] != time_of(c);
                wrong |= state == VARVE_LIVE ? a != (double)c : c % 5 != 4;
                atomic_fetch_add(&s->wrong, bad(__LINE__, wrong));
            }
            n += rows.n;
        }
    }
    return n;
}

static void *read_views(void *ctx)
{
    struct shared *s = ctx;
    bool last = false;
    for (uint32_t round = 0; !last; round++) {
        last = atomic_load(&s->done); /* one more round on the final state */
        varve_mutex_lock(&s->lock);
        const struct varve_memtable_view view = varve_memtable_view_of(s->table);
        varve_mutex_unlock(&s->lock);
        struct varve_source *source = NULL;
        struct varve_partition p;
        uint64_t rows = 0;
        uint32_t wrong = varve_memtable_source_open(&view, &s->heap, &source, NULL) != VARVE_OK;
        wrong += source->ops->seek(source, varve_span_of(NULL, 0), round & 1, NULL) != VARVE_OK;
        while (source->ops->next(source, &p, NULL) == VARVE_OK)
            rows += read_rows(s, source, &p, view.ordinal, round & 1);
        wrong += rows != view.ordinal * KEYS;
        source->ops->close(source);
        atomic_fetch_add(&s->wrong, bad(__LINE__, wrong));
    }
    return NULL;
}

START_TEST(readers_see_whole_commits_while_more_are_applied)
{
    struct shared s = {0};
    pthread_t readers[READERS];
    varve_heap_init(&s.heap, NULL, UINT64_MAX);
    s.schema = fixture_schema(
        &s.heap, "CREATE TABLE t (k bigint, ts timestamp, a double, PRIMARY KEY (k, ts))");
    ck_assert_int_eq(varve_mutex_init(&s.lock), 0);
    ck_assert_int_eq(varve_memtable_create(&s.heap, s.schema, &s.table, NULL), VARVE_OK);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_views, &s), 0);
    apply_commits(&s);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&s.wrong), 0);
    ck_assert(varve_memtable_check(s.table));
    ck_assert_uint_eq(varve_memtable_rows(s.table), COMMITS * KEYS);
    varve_memtable_unref(s.table);
    varve_schema_unref(s.schema);
    varve_mutex_destroy(&s.lock);
    ck_assert_uint_eq(varve_heap_used(&s.heap), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memtable_threads");
    TCase *tc = tcase_create("threads");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, readers_see_whole_commits_while_more_are_applied);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
