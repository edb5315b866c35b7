/*
 * test_replay.c - recover.c against logs whose checksums all hold: records that no commit makes,
 * what is refused, what changes nothing, and what an open does when replay cannot go on.
 *
 * The log's own writer appends what the test wants behind what the store wrote.
 */
#include <errno.h>
#include <string.h>

#include "storage/batch/batch.h"
#include "storage/engine/commit_int.h"
#include "storage/manifest/manifest.h"
#include "storage/schema/schema.h"
#include "storage/schema/schema_format.h"
#include "tests/lib/fault.h"
#include "tests/unit/engine/sim_store.h"

#define ROWS 5
#define NEAR 1000000 /* an end: a short life goes on beside it */
#define AT_TABLE 8   /* in the payload of one section with few rows */
#define AT_SCHEMA_VERSION 9

/* Append a record to the log of an open store, durably, behind the store's back. */
static void append_record(struct sim_store *s, struct varve_wal_record record,
                          struct varve_span payload)
{
    varve_store *store = s->store;
    struct varve_wal_group_done done;
    uint64_t lsn_end = 0, ticket = 0;

    varve_log_take(store);
    if (record.term == 0)
        record.term = store->term;
    if (record.hlc == 0)
        record.hlc = store->appended.hlc + 2;
    if (payload.size > 0)
        record.payload_hash = varve_wal_payload_hash(payload);
    ck_assert_int_eq(varve_wal_begin(store->wal, true, NULL), 0);
    ck_assert_int_eq(varve_wal_append(store->wal, &record, payload, &lsn_end, NULL), 0);
    ck_assert_int_eq(varve_wal_submit(store->wal, &ticket), VARVE_OK);
    while (varve_wal_reap(store->wal, true, UINT64_MAX, &done, 1) == 0)
        continue;
    ck_assert_int_eq(done.status, VARVE_OK);
    varve_log_release(store);
}

/* A store with table t (number 1) of ROWS rows from origin 7, all of it in the log. */
static void begin(struct sim_store *s, uint64_t seed)
{
    sim_store_create(s, seed);
    sim_store_open(s);
    sim_store_table(s, "t", "keep");
    varve_batch *batch = sim_store_batch(s, "t", 1, 0, ROWS);
    ck_assert_int_eq(varve_batch_set_origin(batch, 7, 1, 1, ROWS, NULL), VARVE_OK);
    ck_assert_int_eq(sim_store_commit(s, batch, VARVE_POLICY_DEFAULT), VARVE_OK);
}

/* Change the manifest of a store that is closed. */
static void put_edit(struct sim_store *s, const struct varve_edit *edit)
{
    struct varve_manifest *manifest = NULL;

    ck_assert_int_eq(varve_manifest_open(s->vfs, &s->heap, false, &manifest, NULL), VARVE_OK);
    ck_assert_int_eq(varve_manifest_apply(manifest, edit, NULL), VARVE_OK);
    varve_manifest_close(manifest);
}

/* --------------------------------------------------------------------------- What is refused */

/* A DATA record of table t with one byte of its payload changed. */
static void append_data(struct sim_store *s, size_t at, uint8_t value)
{
    uint8_t bytes[512];
    varve_batch *batch = sim_store_batch(s, "t", 2, 0, ROWS);
    ck_assert_int_eq(varve_batch_seal(batch, NULL), VARVE_OK);
    const struct varve_span payload = varve_batch_payload(batch);

    ck_assert_uint_le(payload.size, sizeof bytes);
    memcpy(bytes, payload.data, payload.size);
    ck_assert(bytes[AT_TABLE] == 1 && bytes[AT_SCHEMA_VERSION] == 1);
    bytes[at] = value;
    append_record(s, (struct varve_wal_record){.type = VARVE_WAL_DATA},
                  varve_span_of(bytes, payload.size));
    varve_batch_free(batch);
}

static void append_schema(struct sim_store *s, const char *text, uint32_t id)
{
    struct varve_schema *parsed = NULL, *schema = NULL;
    struct varve_buffer bytes;

    ck_assert_int_eq(varve_schema_from_text(&s->heap, text, &parsed, NULL), VARVE_OK);
    ck_assert_int_eq(varve_schema_with_id(parsed, &s->heap, id, 1, &schema, NULL), VARVE_OK);
    varve_buffer_init(&bytes, &s->heap);
    varve_schema_encode(schema, &bytes);
    append_record(s, (struct varve_wal_record){.type = VARVE_WAL_SCHEMA},
                  varve_buffer_span(&bytes));
    varve_buffer_free(&bytes);
    varve_schema_unref(schema);
    varve_schema_unref(parsed);
}

static void table_never_defined(struct sim_store *s)
{
    append_data(s, AT_TABLE, 2);
}

static void definition_to_come(struct sim_store *s)
{
    append_data(s, AT_SCHEMA_VERSION, 2);
}

static void payload_of_a_newer_version(struct sim_store *s)
{
    append_data(s, 0, 2);
}

static void drop_of_three_bytes(struct sim_store *s)
{
    static const uint8_t bytes[3] = {1, 0, 0};

    append_record(s, (struct varve_wal_record){.type = VARVE_WAL_TABLE_DROP},
                  varve_span_of(bytes, sizeof bytes));
}

static void schema_of_one_byte(struct sim_store *s)
{
    append_record(s, (struct varve_wal_record){.type = VARVE_WAL_SCHEMA},
                  varve_span_of((const uint8_t *)"x", 1));
}

static void table_of_a_taken_name(struct sim_store *s)
{
    append_schema(s, "CREATE TABLE T (k int, ts timestamp, PRIMARY KEY (k, ts))", 2);
}

static void table_of_the_last_number(struct sim_store *s)
{
    append_schema(s, "CREATE TABLE u (k int, ts timestamp, PRIMARY KEY (k, ts))", UINT32_MAX);
}

static const struct {
    void (*append)(struct sim_store *s);
    varve_status status;
} refused[] = {
    {table_never_defined, VARVE_ECORRUPT},        {definition_to_come, VARVE_ECORRUPT},
    {payload_of_a_newer_version, VARVE_EVERSION}, {drop_of_three_bytes, VARVE_ECORRUPT},
    {schema_of_one_byte, VARVE_ECORRUPT},         {table_of_a_taken_name, VARVE_ECORRUPT},
    {table_of_the_last_number, VARVE_ECORRUPT},
};

/* Its place in the log is told, the open is refused each time, and nothing is lost by that. */
START_TEST(a_record_that_contradicts_the_log_before_it_is_refused)
{
    static const uint32_t flags[] = {0, VARVE_OPEN_READ_ONLY, 0};
    struct sim_store s;

    begin(&s, 41);
    const uint64_t end = sim_store_stats(&s).lsn_committed;
    refused[_i].append(&s);
    sim_store_kill(&s);
    for (int i = 0; i < 3; i++) {
        s.options.flags = flags[i];
        ck_assert_int_eq(sim_store_try_open(&s), refused[_i].status);
        ck_assert_int_eq(s.err.status, refused[_i].status);
        ck_assert_uint_eq(s.err.lsn, end);
        ck_assert_uint_gt(s.err.lsn_end, end);
        ck_assert_ptr_null(s.store);
    }
    s.options.vfs = s.vfs;
    ck_assert_int_eq(varve_open("", &s.options, &s.store, NULL), refused[_i].status);
    sim_store_destroy(&s);
}
END_TEST

/* What an open for writing counts on from has to leave room; a reader counts on from nothing. */
static void must_open(struct sim_store *s, varve_status status)
{
    s->options.flags = VARVE_OPEN_READ_ONLY;
    sim_store_open(s);
    ck_assert_int_eq(sim_store_count(s, "t"), ROWS);
    sim_store_close(s);
    s->options.flags = 0;
    ck_assert_int_eq(sim_store_try_open(s), status);
    if (status < 0)
        return;
    ck_assert_int_eq(sim_store_put(s, "t", 2, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_int_eq(varve_flush(s->store, NULL), VARVE_OK);
    sim_store_kill(s);
    sim_store_open(s);
    ck_assert_int_eq(sim_store_count(s, "t"), 2 * ROWS);
}

START_TEST(a_log_whose_numbers_end_is_only_read)
{
    const uint64_t end = VARVE_COUNTER_END / 2;
    const int64_t late = VARVE_TIME_END / 2;
    const struct varve_wal_record last[] = {{.term = end - NEAR}, {.hlc = late - NEAR},
                                            {.term = end},        {.hlc = late},
                                            {.term = UINT64_MAX}, {.hlc = INT64_MAX}};
    struct sim_store s;

    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
        struct varve_wal_record record = last[i];

        begin(&s, 46);
        record.type = VARVE_WAL_NOOP;
        append_record(&s, record, (struct varve_span){0});
        sim_store_kill(&s);
        must_open(&s, i < 2 ? VARVE_OK : VARVE_ECORRUPT);
        sim_store_destroy(&s);
    }
}
END_TEST

START_TEST(a_manifest_whose_numbers_end_is_only_read)
{
    const uint64_t end = VARVE_COUNTER_END / 2;
    const int64_t late = VARVE_TIME_END / 2;
    struct varve_epoch epochs[2] = {{1, 1}, {1, 1}};
    const struct varve_edit edits[] = {
        {.set_flags = VARVE_EDIT_NEXT_FILE, .next_file_id = end - NEAR},
        {.set_flags = VARVE_EDIT_CLOCK, .safe_now_us = late - NEAR},
        {.set_flags = VARVE_EDIT_NEXT_LSN, .next_lsn = end - NEAR},
        {.set_flags = VARVE_EDIT_REPLAY},
        {.set_flags = VARVE_EDIT_NEXT_LSN, .next_lsn = end},
        {.set_flags = VARVE_EDIT_NEXT_FILE, .next_file_id = end},
        {.set_flags = VARVE_EDIT_NEXT_FILE, .next_file_id = VARVE_COUNTER_END - 1},
        {.set_flags = VARVE_EDIT_CLOCK, .safe_now_us = late},
        {.set_flags = VARVE_EDIT_CLOCK, .safe_now_us = VARVE_TIME_END - 1},
        {.set_flags = VARVE_EDIT_REPLAY},
    };
    struct sim_store s;

    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        struct varve_edit edit = edits[i];

        begin(&s, 47);
        sim_store_kill(&s);
        struct varve_version *const version = sim_store_listed(&s);
        if ((edit.set_flags & VARVE_EDIT_REPLAY) != 0) {
            edit.replay = version->replay;
            edit.replay.epochs = epochs;
            edit.replay.n_epochs = 2;
            epochs[1].term = i < 4 ? end - NEAR : end;
        }
        put_edit(&s, &edit);
        varve_version_unref(version);
        must_open(&s, i < 4 ? VARVE_OK : VARVE_ECORRUPT);
        sim_store_destroy(&s);
    }
}
END_TEST

START_TEST(no_table_follows_the_last_number)
{
    static const char text[] = "CREATE TABLE v (k int, ts timestamp, PRIMARY KEY (k, ts))";
    const struct varve_edit edit = {.set_flags = VARVE_EDIT_NEXT_TABLE,
                                    .next_table_id = UINT32_MAX - 1};
    struct sim_store s;

    begin(&s, 48);
    sim_store_kill(&s);
    put_edit(&s, &edit);
    sim_store_open(&s);
    sim_store_table(&s, "u", "upsert");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_table_create(s.store, text, &s.err), VARVE_ELIMIT);
        ck_assert_int_eq(sim_store_put(&s, "u", i, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
        ck_assert_uint_eq(sim_store_stats(&s).failed, 0);
        sim_store_kill(&s);
        sim_store_open(&s);
    }
    ck_assert_int_eq(sim_store_count(&s, "u"), 2 * ROWS);
    ck_assert_int_eq(sim_store_count(&s, "t"), ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* ----------------------------------------------------------------------- What changes nothing */

static void drop_of_no_table(struct sim_store *s)
{
    static const uint8_t bytes[4] = {9, 0, 0, 0};

    append_record(s, (struct varve_wal_record){.type = VARVE_WAL_TABLE_DROP},
                  varve_span_of(bytes, sizeof bytes));
}

/* Other rows under sequence numbers that were applied. */
static void repeat_of_an_origin(struct sim_store *s)
{
    varve_batch *batch = sim_store_batch(s, "t", 2, 0, ROWS);

    ck_assert_int_eq(varve_batch_seal(batch, NULL), VARVE_OK);
    append_record(s,
                  (struct varve_wal_record){.type = VARVE_WAL_DATA,
                                            .origin = 7,
                                            .origin_epoch = 1,
                                            .origin_first = 2,
                                            .origin_last = ROWS},
                  varve_batch_payload(batch));
    varve_batch_free(batch);
}

static void schema_that_is_known(struct sim_store *s)
{
    append_schema(s, "CREATE TABLE other (k int, ts timestamp, PRIMARY KEY (k, ts))", 1);
}

static void (*const idle[])(struct sim_store *) = {drop_of_no_table, repeat_of_an_origin,
                                                   schema_that_is_known};

START_TEST(a_record_that_says_nothing_new_keeps_its_place_and_no_more)
{
    struct sim_store s;
    varve_table *table = NULL;

    begin(&s, 42);
    idle[_i](&s);
    sim_store_kill(&s);
    for (int i = 0; i < 2; i++) {
        s.options.flags = i == 0 ? VARVE_OPEN_READ_ONLY : 0;
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_count(&s, "t"), ROWS);
        ck_assert_int_eq(varve_table_open(s.store, "other", &table, NULL), VARVE_ENOTFOUND);
        if (i == 0)
            sim_store_close(&s);
    }
    ck_assert_int_eq(sim_store_put(&s, "t", 3, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_kill(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    sim_store_destroy(&s);
}
END_TEST

/* ---------------------------------------------------------------------- A log that is too long */

static int no_files(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    const size_t length = strlen(event->name);

    (void)ctx;
    (void)sim;
    return event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_OPEN && length > 4 &&
                   strcmp(event->name + length - 4, ".sst") == 0
               ? -EACCES
               : 0;
}

/* What does not fit into memory is flushed on the way; without that the open says why, and keeps all. */
START_TEST(a_replay_that_cannot_flush_fails_and_the_next_one_goes_on)
{
    struct sim_store s;

    sim_store_create(&s, 43);
    s.options.memtable_bytes = 4u << 20;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(sim_store_put(&s, "t", i, 0, 400, VARVE_POLICY_DEFAULT), VARVE_OK);
    ck_assert_uint_eq(sim_store_stats(&s).flushes, 0);
    sim_store_kill(&s);
    s.options.memtable_bytes = 128u << 10;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(varve_sim_watch(s.sim, no_files, NULL), 0);
        ck_assert_int_eq(sim_store_try_open(&s), VARVE_EIO);
        ck_assert_int_eq(s.err.os_code, EACCES);
        ck_assert_ptr_null(s.store);
        varve_sim_unwatch(s.sim, no_files, NULL);
    }
    sim_store_open(&s);
    ck_assert_uint_gt(sim_store_stats(&s).flushes, 0);
    ck_assert_int_eq(sim_store_count(&s, "t"), 40 * 400);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------- Epochs */

START_TEST(the_newest_epochs_are_kept)
{
    static struct varve_epoch epochs[VARVE_EPOCHS_MAX];
    struct sim_store s;

    begin(&s, 44);
    sim_store_close(&s);
    struct varve_version *version = sim_store_listed(&s);
    const uint64_t term = version->replay.epochs[0].term;
    for (uint32_t i = 0; i < VARVE_EPOCHS_MAX; i++)
        epochs[i] = (struct varve_epoch){.term = term + i, .first_index = 1};
    struct varve_edit edit = {.set_flags = VARVE_EDIT_REPLAY, .replay = version->replay};
    edit.replay.epochs = epochs;
    edit.replay.n_epochs = VARVE_EPOCHS_MAX;
    put_edit(&s, &edit);
    varve_version_unref(version);
    for (uint64_t life = 1; life < 4; life++) {
        sim_store_open(&s);
        ck_assert_int_eq(sim_store_put(&s, "t", 2, (int64_t)life, 1, VARVE_POLICY_DEFAULT),
                         VARVE_OK);
        sim_store_kill(&s);
        version = sim_store_listed(&s);
        ck_assert_uint_eq(version->replay.n_epochs, VARVE_EPOCHS_MAX);
        const struct varve_epoch *const last = &version->replay.epochs[VARVE_EPOCHS_MAX - 1];
        ck_assert_uint_eq(version->replay.epochs[0].term, term + life);
        ck_assert_uint_eq(last->term, term + VARVE_EPOCHS_MAX - 1 + life);
        ck_assert_uint_gt(last->first_index, last[-1].first_index);
        varve_version_unref(version);
    }
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_count(&s, "t"), ROWS + 3);
    sim_store_destroy(&s);
}
END_TEST

/* ------------------------------------------------------------------------------- Verification */

/* How many allocations a flush needs; `fail` from its end does not succeed (0: all do). True: the log
 * was not trimmed, though all of its sealed part has been flushed. */
static bool flush_without_trim(long fail, long *calls)
{
    struct fault f;
    struct sim_store s;

    fault_init(&f, FAULT_NEVER, FAULT_ONCE);
    sim_store_create(&s, 45);
    s.options.allocator = &f.allocator;
    sim_store_open(&s);
    sim_store_table(&s, "t", "upsert");
    ck_assert_int_eq(sim_store_put(&s, "t", 1, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    sim_store_close(&s);
    sim_store_open(&s);
    ck_assert_int_eq(sim_store_put(&s, "t", 2, 0, ROWS, VARVE_POLICY_DEFAULT), VARVE_OK);
    const long before = fault_calls(&f);
    f.at = fail == 0 ? FAULT_NEVER : before + *calls - fail;
    const varve_status rc = varve_flush(s.store, &s.err);
    if (fail == 0)
        *calls = fault_calls(&f) - before;
    f.at = FAULT_NEVER;
    ck_assert(rc == VARVE_OK || rc == VARVE_ENOMEM);
    struct varve_version *const version = sim_store_listed(&s);
    const bool left = version->n_segments > 0 && version->segments[0].sealed &&
                      version->segments[0].final_lsn < version->replay.lsn;
    varve_version_unref(version);
    ck_assert_int_eq(varve_verify(s.store, NULL, NULL, NULL, NULL, &s.err), VARVE_OK);
    ck_assert_int_eq(sim_store_count(&s, "t"), 2 * ROWS);
    sim_store_destroy(&s);
    return left;
}

/* A log that is only waiting to be removed holds nothing that replay, or a check, would read. */
START_TEST(a_log_that_was_flushed_and_not_trimmed_is_sound)
{
    long calls = 0, left = 0;

    ck_assert(!flush_without_trim(0, &calls));
    for (long fail = 1; fail <= 12 && fail <= calls; fail++)
        left += flush_without_trim(fail, &calls);
    ck_assert_int_gt(left, 0);
}
END_TEST

static void add(TCase *cases)
{
    tcase_add_loop_test(cases, a_record_that_contradicts_the_log_before_it_is_refused, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(cases, a_log_whose_numbers_end_is_only_read);
    tcase_add_test(cases, a_manifest_whose_numbers_end_is_only_read);
    tcase_add_test(cases, no_table_follows_the_last_number);
    tcase_add_loop_test(cases, a_record_that_says_nothing_new_keeps_its_place_and_no_more, 0,
                        (int)(sizeof idle / sizeof idle[0]));
    tcase_add_test(cases, a_replay_that_cannot_flush_fails_and_the_next_one_goes_on);
    tcase_add_test(cases, the_newest_epochs_are_kept);
    tcase_add_test(cases, a_log_that_was_flushed_and_not_trimmed_is_sound);
}

int main(void)
{
    return sim_store_main("replay", add);
}
