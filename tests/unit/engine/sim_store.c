/*
 * sim_store.c - see sim_store.h.
 */
#include "tests/unit/engine/sim_store.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/run_share.h"

void sim_store_create(struct sim_store *s, uint64_t seed)
{
    struct varve_sim_options options;

    memset(s, 0, sizeof *s);
    varve_heap_init(&s->heap, NULL, UINT64_MAX);
    varve_sim_options_init(&options, &s->heap, seed);
    ck_assert_int_eq(varve_sim_create(&options, &s->sim), 0);
    s->order = ordering_watch(s->sim, NULL, run_is_full() ? 1 : 4);
    ck_assert_int_eq(varve_sim_attach(s->sim, &s->vfs), 0);
    varve_options_init(&s->options, sizeof s->options);
    s->options.flags = VARVE_OPEN_CREATE;
    s->options.background_threads = UINT32_MAX;
    s->options.memory_limit = 16u << 20;
    s->options.memtable_bytes = 1u << 20;
    s->options.wal_segment_bytes = 256u << 10;
}

void sim_store_destroy(struct sim_store *s)
{
    sim_store_close(s);
    ck_assert_msg(varve_sim_violation(s->sim) == NULL, "%s", varve_sim_violation(s->sim));
    ordering_end(s->order);
    varve_sim_destroy(s->sim);
    ck_assert_uint_eq(varve_heap_used(&s->heap), 0);
}

void sim_store_remove(struct sim_store *s, const char *file)
{
    ordering_end(s->order);
    s->order = NULL;
    ck_assert_int_eq(varve_sim_remove(s->sim, file), 0);
}

varve_status sim_store_try_open(struct sim_store *s)
{
    s->options.vfs = s->vfs;
    return varve_open("", &s->options, &s->store, &s->err);
}

void sim_store_open(struct sim_store *s)
{
    const varve_status rc = sim_store_try_open(s);
    ck_assert_msg(rc == VARVE_OK, "open: %s: %s (%s)", varve_status_name(rc), s->err.message,
                  s->err.file);
}

void sim_store_close(struct sim_store *s)
{
    varve_close(s->store);
    s->store = NULL;
}

void sim_store_kill(struct sim_store *s)
{
    varve_sim_kill(s->vfs);
    sim_store_close(s);
    ck_assert_int_eq(varve_sim_attach(s->sim, &s->vfs), 0);
}

bool sim_store_cut(struct sim_store *s, uint64_t index)
{
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;

    varve_sim_crash_options_init(&options, 7);
    ck_assert_int_eq(varve_sim_crash_open(s->sim, &options, &crash), 0);
    const bool there = varve_sim_crash_at(crash, index, &image, NULL) >= 0 && image != NULL;
    varve_sim_crash_close(crash);
    if (!there)
        return false;
    varve_sim_kill(s->vfs);
    sim_store_close(s);
    ck_assert_msg(varve_sim_violation(s->sim) == NULL, "%s", varve_sim_violation(s->sim));
    struct ordering *const before = s->order;
    s->order = ordering_watch(image, before, run_is_full() ? 1 : 4);
    ordering_end(before);
    varve_sim_destroy(s->sim);
    s->sim = image;
    ck_assert_int_eq(varve_sim_attach(s->sim, &s->vfs), 0);
    return true;
}

struct of_kind {
    enum varve_file_kind kind;
    uint32_t n;
};

static int count_kind(void *ctx, const char *name)
{
    struct of_kind *of = ctx;
    uint64_t id;

    of->n += varve_file_name_parse(name, &id) == of->kind;
    return 0;
}

uint32_t sim_store_files(struct sim_store *s, enum varve_file_kind kind)
{
    struct of_kind of = {.kind = kind};

    ck_assert_int_eq(varve_sim_list(s->sim, count_kind, &of), 0);
    return of.n;
}

struct newest {
    enum varve_file_kind kind;
    char *name;
};

static int find_newest(void *ctx, const char *name)
{
    struct newest *newest = ctx;
    uint64_t id;

    if (varve_file_name_parse(name, &id) == newest->kind && strcmp(name, newest->name) > 0)
        memcpy(newest->name, name, strlen(name) + 1);
    return 0;
}

void sim_store_newest(struct sim_store *s, enum varve_file_kind kind, char *ret_name)
{
    struct newest newest = {.kind = kind, .name = ret_name};

    ret_name[0] = '\0';
    ck_assert_int_eq(varve_sim_list(s->sim, find_newest, &newest), 0);
    ck_assert(ret_name[0] != '\0');
}

varve_status sim_store_try_table(struct sim_store *s, const char *name, const char *duplicates)
{
    char text[256];

    (void)snprintf(text, sizeof text,
                   "CREATE TABLE %s (k int, ts timestamp, v bigint, PRIMARY KEY ((k), ts)) WITH "
                   "duplicates = '%s'",
                   name, duplicates);
    return varve_table_create(s->store, text, &s->err);
}

void sim_store_table(struct sim_store *s, const char *name, const char *duplicates)
{
    const varve_status rc = sim_store_try_table(s, name, duplicates);
    ck_assert_msg(rc == VARVE_OK, "create %s: %s", name, s->err.message);
}

bool sim_store_has_table(struct sim_store *s, const char *name)
{
    varve_table *table = NULL;

    return varve_table_open(s->store, name, &table, NULL) == VARVE_OK;
}

struct varve_version *sim_store_listed(struct sim_store *s)
{
    struct varve_manifest *manifest = NULL;

    ck_assert_int_eq(varve_manifest_open(s->vfs, &s->heap, true, &manifest, NULL), VARVE_OK);
    struct varve_version *const version = varve_manifest_version(manifest);
    varve_manifest_close(manifest);
    return version;
}

varve_table *sim_store_handle(struct sim_store *s, const char *name)
{
    varve_table *table = NULL;

    ck_assert_int_eq(varve_table_open(s->store, name, &table, &s->err), VARVE_OK);
    return table;
}

varve_batch *sim_store_batch(struct sim_store *s, const char *name, int k, int64_t first, int64_t n)
{
    const varve_table *table = sim_store_handle(s, name);
    varve_batch *batch = NULL;

    ck_assert_int_eq(varve_batch_new(s->store, &batch, &s->err), VARVE_OK);
    varve_status rc = VARVE_OK; /* judged once: every ck_assert is a system call */
    for (int64_t i = first; i < first + n && rc == VARVE_OK; i++) {
        varve_value values[3] = {
            {.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
        values[0].as.i64 = k;
        values[1].as.i64 = i;
        values[2].as.i64 = 3 * i;
        rc = varve_batch_put_row(batch, table, values, 3, NULL, &s->err);
    }
    ck_assert_msg(rc == VARVE_OK, "put: %s", s->err.message);
    return batch;
}

varve_status sim_store_commit(struct sim_store *s, varve_batch *batch, varve_policy policy)
{
    const uint32_t used = policy == VARVE_POLICY_DEFAULT ? s->options.policy : (uint32_t)policy;
    const bool is_soft = used == VARVE_POLICY_OS || used == VARVE_POLICY_INTERVAL;
    uint64_t lsn = 0;

    s->err.status = VARVE_OK;
    const varve_status rc = varve_commit(s->store, batch, policy, &lsn, &s->err);
    if (rc == VARVE_OK && !is_soft)
        ordering_acked(s->order, lsn);
    ck_assert_int_eq(varve_batch_rows(batch) == 0, rc == VARVE_OK);
    varve_batch_free(batch);
    return rc;
}

varve_status sim_store_put(struct sim_store *s, const char *table, int k, int64_t first, int64_t n,
                           varve_policy policy)
{
    return sim_store_commit(s, sim_store_batch(s, table, k, first, n), policy);
}

int64_t sim_store_rows(struct sim_store *s, const varve_table *table, varve_snapshot *snapshot)
{
    const varve_batch_view *view = NULL;
    varve_cursor *cursor = NULL;
    varve_scan scan;
    varve_status rc;
    int64_t rows = 0;

    varve_scan_init(&scan, sizeof scan);
    scan.snapshot = snapshot;
    rc = varve_scan_open(s->store, table, &scan, &cursor, &s->err);
    ck_assert_msg(rc == VARVE_OK, "scan: %s", s->err.message);
    while ((rc = varve_cursor_next(cursor, &view, &s->err)) == VARVE_OK) {
        bool sound = true;
        for (uint32_t i = 0; i < view->rows; i++, rows++)
            sound = sound &&
                    varve_view_value(view, i, 2).as.i64 == 3 * varve_view_value(view, i, 1).as.i64;
        ck_assert(sound);
    }
    ck_assert_msg(rc == VARVE_END, "next: %s", s->err.message);
    varve_cursor_close(cursor);
    return rows;
}

int64_t sim_store_count(struct sim_store *s, const char *table)
{
    return sim_store_rows(s, sim_store_handle(s, table), NULL);
}

void sim_store_work(struct sim_store *s)
{
    for (int i = 0; i < 10000; i++)
        if (varve_work(s->store, 10000, NULL) != VARVE_OK)
            return;
    ck_abort_msg("there is always something to do");
}

varve_stats sim_store_stats(struct sim_store *s)
{
    varve_stats stats = {.struct_size = sizeof stats};

    varve_get_stats(s->store, &stats);
    return stats;
}

int sim_store_main(const char *name, void (*add)(TCase *cases))
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);

    tcase_set_timeout(cases, 60);
    add(cases);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
