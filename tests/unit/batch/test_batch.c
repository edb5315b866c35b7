/*
 * test_batch.c - batch.c, plain_row.c, batch_columns.c, batch_settle.c, key_set.c and cells_check.c.
 *
 * Method: random rows are put, one by one or as columns, and noted in a model that is a plain list;
 * after sealing, the section and what its payload decodes to must both be that list.
 */
#include "tests/unit/rows/row_maker.h"

#include "storage/batch/batch_format.h"

#include <check.h>
#include <stdlib.h>

#define COLUMNS_MAX 24
#define ROWS_MAX 1500
#define NO_LIMIT INT64_MAX

/* -------------------------------------------------------------------------------------- Model */

struct model_row {
    varve_value values[COLUMNS_MAX];
    int64_t wt;
    bool marker;
};

struct model {
    const struct varve_schema *schema;
    struct model_row *rows;
    uint32_t n;
};

static bool same_key(const struct varve_schema *schema, const varve_value *a, const varve_value *b)
{
    for (uint32_t c = 0; c < schema->first_value; c++) {
        if (!row_values_same(&a[c], &b[c]))
            return false;
    }
    return true;
}

/* Note a row as the rule of an 'upsert' batch has it: the later replaces cell by cell. */
static void model_put(struct model *m, const varve_value *values, int64_t wt, bool marker)
{
    struct model_row *row = NULL;
    for (uint32_t i = 0; wt == VARVE_WT_COMMIT && row == NULL && i < m->n; i++) {
        if (m->rows[i].wt == wt && same_key(m->schema, m->rows[i].values, values))
            row = &m->rows[i];
    }
    if (row == NULL) {
        ck_assert_uint_lt(m->n, ROWS_MAX);
        row = &m->rows[m->n++];
        row->wt = wt;
        memcpy(row->values, values, m->schema->n_columns * sizeof *values);
        row->marker = marker;
        return;
    }
    row->marker = row->marker || marker;
    for (uint32_t c = m->schema->first_value; c < m->schema->n_columns; c++) {
        if (values[c].presence != VARVE_UNSET)
            row->values[c] = values[c];
    }
}

static void check_section(const struct model *m, const struct varve_section *section)
{
    const struct varve_schema *schema = m->schema;
    struct varve_buffer key;
    struct varve_heap heap;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&key, &heap);
    ck_assert_uint_eq(section->rows->n, m->n);
    ck_assert_uint_eq(section->table_id, 7);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct model_row *want = &m->rows[i];
        const uint32_t k = section->part == NULL ? 0 : section->part[i];
        varve_buffer_clear(&key);
        bool same = varve_key_encode(schema, want->values, &key, NULL) == VARVE_OK &&
                    varve_span_compare(section->keys[k], varve_buffer_span(&key)) == 0 &&
                    section->key_hashes[k] == varve_key_hash(varve_buffer_span(&key)) &&
                    varve_rows_wt(section->rows, i) == want->wt &&
                    varve_rows_state(section->rows, i, VARVE_MARKER_COLUMN) ==
                        (want->marker ? VARVE_LIVE : VARVE_ABSENT) &&
                    section->rows->time[i] == want->values[schema->time_column].as.i64;
        for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
            const varve_value *v = &want->values[c];
            const uint8_t state = varve_rows_state(section->rows, i, c);
            const varve_value got = varve_rows_value(section->rows, i, c);
            same = same &&
                   state == (v->presence == VARVE_SET    ? VARVE_LIVE
                             : v->presence == VARVE_NULL ? VARVE_DELETED
                                                         : VARVE_ABSENT) &&
                   (state != VARVE_LIVE || row_values_same(&got, v));
        }
        ck_assert_msg(same, "row %u", i);
    }
    varve_buffer_free(&key);
}

static varve_status lookup(void *ctx, uint32_t table_id, uint32_t version,
                           const struct varve_schema **ret_schema)
{
    const struct varve_schema *schema = ctx;
    *ret_schema = schema;
    return table_id == schema->table_id && version == schema->version ? VARVE_OK : VARVE_ENOTFOUND;
}

static uint64_t section_hash(const struct varve_section *section)
{
    return varve_rows_content_hash(section->rows, 0, section->rows->n, section->key_hashes[0]);
}

/* Seal; the section and the decoded payload are the model. */
static void check_sealed(varve_batch *batch, const struct model *m, struct varve_heap *heap)
{
    struct varve_payload *payload;
    varve_error err;
    ck_assert_int_eq(varve_batch_seal(batch, &err), VARVE_OK);
    ck_assert(varve_batch_is_sealed(batch));
    ck_assert_uint_eq(varve_batch_sections(batch), 1);
    const struct varve_section mine = varve_batch_section(batch, 0);
    check_section(m, &mine);
    const struct varve_span bytes = varve_batch_payload(batch);
    ck_assert_uint_le(bytes.size, varve_batch_bytes(batch));
    ck_assert_uint_eq(varve_batch_payload_hash(batch), varve_hash64(bytes.data, bytes.size, 0));
    const varve_status rc =
        varve_payload_decode(bytes, lookup, (void *)(uintptr_t)m->schema, heap, &payload, &err);
    ck_assert_msg(rc == VARVE_OK, "%s", err.message);
    ck_assert_uint_eq(varve_payload_sections(payload), 1);
    const struct varve_section theirs = varve_payload_section(payload, 0);
    check_section(m, &theirs);
    ck_assert_uint_eq(section_hash(&mine), section_hash(&theirs));
    varve_payload_free(payload);
}

static void random_values(const struct varve_schema *schema, struct varve_rng *rng,
                          varve_value *values, bool nulls)
{
    static const char *const keys[] = {"alpha", "beta", "gamma", "delta"};
    for (uint32_t c = 0; c < schema->n_columns; c++) {
        values[c] = row_value(rng, &schema->columns[c]);
        if (c < schema->first_value)
            varve_key_canonical(values[c].type, schema->columns[c].precision, &values[c]);
        else if (nulls && varve_rng_below(rng, 4) == 0)
            values[c].presence = (uint8_t)(1 + varve_rng_below(rng, 2));
    }
    values[0].as.bytes.data = keys[varve_rng_below(rng, 4)];
    values[0].as.bytes.size = strlen(values[0].as.bytes.data);
}

struct rig {
    struct row_heap h;
    struct varve_schema *schema;
    varve_batch *batch;
    struct model model;
    struct varve_rng rng;
};

static void rig_open(struct rig *rig, const char *table, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    row_heap_init(&rig->h, -1);
    varve_rng_seed(&rig->rng, seed);
    rig->schema = row_schema(&rig->h.heap, table);
    ck_assert_uint_le(rig->schema->n_columns, COLUMNS_MAX);
    ck_assert_int_eq(varve_batch_create(&rig->h.heap, VARVE_RECORD_BYTES_MAX, &rig->batch, NULL),
                     VARVE_OK);
    rig->model.schema = rig->schema;
    rig->model.rows = calloc(ROWS_MAX, sizeof *rig->model.rows);
    ck_assert_ptr_nonnull(rig->model.rows);
}

static void rig_close(struct rig *rig)
{
    free(rig->model.rows);
    varve_batch_free(rig->batch);
    varve_schema_unref(rig->schema);
    ck_assert_int_eq(rig->h.live, 0);
    ck_assert_uint_eq(varve_heap_used(&rig->h.heap), 0);
}

/* ----------------------------------------------------------------------------------- Rows in */

/* Nothing but numbers behind the key, so that rows without nulls go the short way. */
static const char numbers_table[] =
    "CREATE TABLE n (k text, k2 int, ts timestamp, c int, v bigint, d decimal(9,2), "
    "e decimal(18,6), f double, g int, h date, i time, PRIMARY KEY ((k, k2), ts, c))";

/* Times of four bytes, which rows hold in eight. */
static const char narrow_times_table[] =
    "CREATE TABLE w (k text, ts int, c int, v bigint, PRIMARY KEY ((k), ts, c))";

START_TEST(rows_put_one_by_one_are_the_models_rows) /* loop test: _i is size and table */
{
    static const uint32_t sizes[] = {1, 2, 8, 9, 64, 300, 1030};
    const uint32_t size = sizes[_i % 7];
    const char *const tables[] = {row_table_all_types, numbers_table, narrow_times_table};
    struct rig rig;
    rig_open(&rig, tables[_i / 7], (uint64_t)_i + 1);
    for (int round = 0; round < 2; round++) { /* the second time in memory kept by clear */
        varve_value values[COLUMNS_MAX], key[COLUMNS_MAX];
        rig.model.n = 0;
        for (uint32_t i = 0; i < size; i++) {
            varve_put put = {0};
            uint32_t given = rig.schema->n_columns;
            random_values(rig.schema, &rig.rng, values, i % 8 < 2);
            /* A feed's rows: mostly the key of the one before, now and then without the last columns,
             * and more of them after the batch was looked at. */
            if (i > 0 && varve_rng_below(&rig.rng, 4) != 0)
                memcpy(values, key, rig.schema->time_column * sizeof *values);
            memcpy(key, values, sizeof key);
            if (varve_rng_below(&rig.rng, 8) == 0)
                while (given > rig.schema->first_value && given + 2 > rig.schema->n_columns)
                    values[--given].presence = VARVE_UNSET;
            if (i == size / 2 && i > 0)
                check_sealed(rig.batch, &rig.model, &rig.h.heap);
            values[rig.schema->time_column].as.i64 =
                (int64_t)varve_rng_below(&rig.rng, 1 + size / 4);
            if (varve_rng_below(&rig.rng, 2) == 0)
                values[rig.schema->time_column].unit = 0;
            if (varve_rng_below(&rig.rng, 4) == 0)
                put.flags |= VARVE_PUT_UPDATE;
            if (varve_rng_below(&rig.rng, 6) == 0)
                put.flags |= VARVE_PUT_WRITE_TIME;
            put.write_time = (int64_t)varve_rng_below(&rig.rng, 100);
            ck_assert_int_eq(
                varve_batch_add_row(rig.batch, rig.schema, values, given, &put, 1000, NULL),
                VARVE_OK);
            model_put(&rig.model, values,
                      (put.flags & VARVE_PUT_WRITE_TIME) != 0 ? put.write_time : VARVE_WT_COMMIT,
                      (put.flags & VARVE_PUT_UPDATE) == 0);
        }
        ck_assert_uint_eq(varve_batch_rows(rig.batch), size);
        check_sealed(rig.batch, &rig.model, &rig.h.heap);
        check_sealed(rig.batch, &rig.model, &rig.h.heap); /* again: nothing changes */
        varve_batch_clear(rig.batch);
        ck_assert_uint_eq(varve_batch_rows(rig.batch), 0);
        ck_assert_uint_eq(varve_batch_sections(rig.batch), 0);
    }
    rig_close(&rig);
}
END_TEST

/* Columns of random rows in the layout that the application gives. */
struct columns {
    varve_array arrays[COLUMNS_MAX];
    uint32_t n_arrays;
    void *memory[4 * COLUMNS_MAX];
    uint32_t n_memory;
};

static void *columns_alloc(struct columns *c, size_t size)
{
    void *memory = calloc(1, size + 1);
    ck_assert_ptr_nonnull(memory);
    c->memory[c->n_memory++] = memory;
    return memory;
}

static void columns_free(struct columns *c)
{
    for (uint32_t i = 0; i < c->n_memory; i++)
        free(c->memory[i]);
}

static void columns_set(void *values, uint8_t phys, uint32_t i, const varve_value *v)
{
    switch (phys) {
    case VARVE_PHYS_I8:
        ((int8_t *)values)[i] = (int8_t)v->as.i64;
        break;
    case VARVE_PHYS_I16:
        ((int16_t *)values)[i] = (int16_t)v->as.i64;
        break;
    case VARVE_PHYS_I32:
        ((int32_t *)values)[i] = (int32_t)v->as.i64;
        break;
    case VARVE_PHYS_F32:
        ((float *)values)[i] = v->as.f32;
        break;
    case VARVE_PHYS_B16:
        memcpy((uint8_t *)values + 16 * (size_t)i, v->as.uuid, 16);
        break;
    default:
        memcpy((uint8_t *)values + 8 * (size_t)i, &v->as.i64, 8);
        break;
    }
}

/* A column of rows[i][c]; rows without a value get garbage underneath. */
static void columns_add(struct columns *out, const struct varve_schema *schema, uint32_t c,
                        varve_value (*rows)[COLUMNS_MAX], uint32_t n, bool unset)
{
    const uint8_t phys = schema->phys[c];
    uint8_t *validity = columns_alloc(out, n / 8 + 1);
    uint8_t *values = columns_alloc(out, (size_t)n * 64);
    uint32_t *offsets = columns_alloc(out, ((size_t)n + 1) * 4);
    int8_t *scales = columns_alloc(out, n);
    bool any = false;
    offsets[0] = 5; /* need not be 0 */
    for (uint32_t i = 0; i < n; i++) {
        const varve_value *v = &rows[i][c];
        offsets[i + 1] = offsets[i];
        if (phys == VARVE_PHYS_BYTES) {
            memcpy(values + offsets[i], v->as.bytes.data, v->as.bytes.size);
            offsets[i + 1] += (uint32_t)v->as.bytes.size;
        } else {
            columns_set(values, phys, i, v);
        }
        scales[i] = v->scale;
        if (v->presence == VARVE_SET)
            validity[i / 8] = (uint8_t)(validity[i / 8] | 1u << i % 8);
        else
            any = true;
    }
    out->arrays[out->n_arrays++] = (varve_array){.column = c,
                                                 .flags = unset ? VARVE_ARRAY_UNSET : 0,
                                                 .values = values,
                                                 .offsets = offsets,
                                                 .scales = scales,
                                                 .validity = any ? validity : NULL};
}

static varve_value column_rows[ROWS_MAX][COLUMNS_MAX];

START_TEST(columns_put_the_same_rows_as_rows_do)
{
    static const uint32_t sizes[] = {1, 7, 8, 65, 700, 1300};
    const uint32_t n = sizes[_i % 6];
    const bool fixed = _i >= 6; /* one partition, given apart */
    struct rig rig;
    struct columns columns = {.n_arrays = 0};
    rig_open(&rig, row_table_all_types, (uint64_t)_i + 50);
    const struct varve_schema *schema = rig.schema;
    for (uint32_t i = 0; i < n; i++) {
        random_values(schema, &rig.rng, column_rows[i], false);
        column_rows[i][1].as.i64 = i;
        if (fixed)
            column_rows[i][0] = column_rows[0][0];
        for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
            if (c % 5 == 4) /* not among the arrays */
                column_rows[i][c].presence = VARVE_UNSET;
            else if (c % 2 == 0 && varve_rng_below(&rig.rng, 3) == 0)
                column_rows[i][c].presence = c % 3 == 0 ? VARVE_UNSET : VARVE_NULL;
        }
    }
    for (uint32_t c = fixed ? 1 : 0; c < schema->n_columns; c++) {
        if (c < schema->first_value || c % 5 != 4)
            columns_add(&columns, schema, c, column_rows, n, c % 3 == 0);
    }
    /* Between rows put singly, so that bitmaps are shifted. */
    varve_value single[COLUMNS_MAX];
    for (int turn = 0; turn < 2; turn++) {
        random_values(schema, &rig.rng, single, true);
        single[1].as.i64 = -1 - turn;
        ck_assert_int_eq(
            varve_batch_add_row(rig.batch, schema, single, schema->n_columns, NULL, NO_LIMIT, NULL),
            VARVE_OK);
        model_put(&rig.model, single, VARVE_WT_COMMIT, true);
        if (turn == 1)
            break;
        varve_error err;
        const varve_status rc =
            varve_batch_add_columns(rig.batch, schema, fixed ? column_rows[0] : NULL,
                                    columns.arrays, columns.n_arrays, n, NULL, NO_LIMIT, &err);
        ck_assert_msg(rc == VARVE_OK, "%s", err.message);
        for (uint32_t i = 0; i < n; i++) {
            rig.model.rows[rig.model.n].wt = VARVE_WT_COMMIT;
            rig.model.rows[rig.model.n].marker = true;
            memcpy(rig.model.rows[rig.model.n++].values, column_rows[i], sizeof column_rows[i]);
        }
    }
    check_sealed(rig.batch, &rig.model, &rig.h.heap);
    columns_free(&columns);
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------- Duplicate keys */

#define SMALL_TABLE                                                                                \
    "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts)) WITH duplicates = "

static const char *const three_tables[] = {(SMALL_TABLE "'keep'"), (SMALL_TABLE "'first'"),
                                           (SMALL_TABLE "'error'")};

static varve_status put_small(struct rig *rig, int64_t k, int64_t ts, int64_t v,
                              const varve_put *put, varve_error *err)
{
    const varve_value values[] = {{.type = VARVE_INT, .as.i64 = k},
                                  {.type = VARVE_TIMESTAMP, .as.i64 = ts},
                                  {.type = VARVE_BIGINT, .as.i64 = v}};
    return varve_batch_add_row(rig->batch, rig->schema, values, 3, put, 1000, err);
}

START_TEST(keep_first_and_error_treat_a_repeated_key_as_they_say)
{
    struct rig rig;
    varve_error err;
    rig_open(&rig, three_tables[_i], 1);
    const int64_t rows[][3] = {{1, 10, 0}, {2, 10, 1}, {1, 11, 2},
                               {1, 10, 3}, {2, 9, 4},  {1, 11, 5}};
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(put_small(&rig, rows[i][0], rows[i][1], rows[i][2], NULL, NULL), VARVE_OK);
    const varve_status rc = varve_batch_seal(rig.batch, &err);
    const struct varve_section s = varve_batch_section(rig.batch, 0);
    if (_i == 2) {
        ck_assert_int_eq(rc, VARVE_EEXISTS);
        ck_assert_uint_eq(err.row, 3);
        ck_assert(!varve_batch_is_sealed(rig.batch));
        ck_assert_uint_eq(s.rows->n, 6);
    } else {
        static const int64_t kept[2][6] = {{0, 1, 2, 3, 4, 5}, {0, 1, 2, 4}};
        ck_assert_int_eq(rc, VARVE_OK);
        ck_assert_uint_eq(s.rows->n, _i == 0 ? 6 : 4);
        for (uint32_t i = 0; i < s.rows->n; i++)
            ck_assert_int_eq(varve_rows_value(s.rows, i, 2).as.i64, kept[_i][i]);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(row_of_a_refused_batch_counts_all_its_tables)
{
    struct rig rig, other;
    varve_error err;
    rig_open(&rig, three_tables[2], 1);
    rig_open(&other, three_tables[0], 1);
    other.schema->table_id = 8;
    const varve_value more[] = {
        {.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
    ck_assert_int_eq(put_small(&rig, 1, 1, 0, NULL, NULL), VARVE_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(varve_batch_add_row(rig.batch, other.schema, more, 3, NULL, 0, NULL),
                         VARVE_OK);
    ck_assert_int_eq(put_small(&rig, 1, 2, 0, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(put_small(&rig, 1, 1, 0, NULL, NULL), VARVE_OK);
    ck_assert_uint_eq(varve_batch_sections(rig.batch), 2);
    ck_assert_int_eq(varve_batch_seal(rig.batch, &err), VARVE_EEXISTS);
    ck_assert_uint_eq(err.row, 7);
    ck_assert_uint_eq(varve_batch_row_of(rig.batch, 0, 1), 6);
    ck_assert_uint_eq(varve_batch_row_of(rig.batch, 1, 4), 5);
    rig_close(&rig);
    rig_close(&other);
}
END_TEST

/* ------------------------------------------------------------------------------------- Refusals */

/* A refused put leaves the batch as it is, whether it had rows or none. */
static void check_unchanged(struct rig *rig, uint64_t rows, uint64_t bytes, uint32_t sections)
{
    ck_assert_uint_eq(varve_batch_rows(rig->batch), rows);
    ck_assert_uint_eq(varve_batch_bytes(rig->batch), bytes);
    ck_assert_uint_eq(varve_batch_sections(rig->batch), sections);
}

static const struct {
    const char *what;
    varve_put put;
    varve_status upsert, first;
} put_kinds[] = {
    {"unknown flag", {.flags = 4}, VARVE_EINVAL, VARVE_EINVAL},
    {"update", {.flags = VARVE_PUT_UPDATE}, VARVE_OK, VARVE_EUNSUPPORTED},
    {"write time",
     {.flags = VARVE_PUT_WRITE_TIME, .write_time = 1000},
     VARVE_OK,
     VARVE_EUNSUPPORTED},
    {"skew", {.flags = VARVE_PUT_WRITE_TIME, .write_time = 1001}, VARVE_EINVAL, VARVE_EUNSUPPORTED},
    {"least",
     {.flags = VARVE_PUT_WRITE_TIME, .write_time = INT64_MIN},
     VARVE_EINVAL,
     VARVE_EUNSUPPORTED},
};

START_TEST(put_options_are_judged)
{
    struct rig rig;
    for (int table = 0; table < 2; table++) {
        rig_open(&rig,
                 table == 1 ? three_tables[1]
                            : "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts))",
                 1);
        const uint64_t bytes = varve_batch_bytes(rig.batch);
        const varve_status want = table == 0 ? put_kinds[_i].upsert : put_kinds[_i].first;
        ck_assert_int_eq(put_small(&rig, 1, 1, 1, &put_kinds[_i].put, NULL), want);
        if (want != VARVE_OK)
            check_unchanged(&rig, 0, bytes, 0);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(refused_rows_change_nothing)
{
    static char large[VARVE_CELL_BYTES_MAX + 1];
    const uint8_t broken[] = {'a', 0xC3};
    struct rig rig;
    varve_error err;
    rig_open(&rig,
             "CREATE TABLE e (k text, ts time, c text, d text, x text, y blob, b boolean, "
             "PRIMARY KEY (k, ts, c, d))",
             1);
    const varve_value good[7] = {
        {.type = VARVE_TEXT, .as.bytes = {"k", 1}}, {.type = VARVE_TIME, .as.i64 = 5},
        {.type = VARVE_TEXT, .as.bytes = {"c", 1}}, {.type = VARVE_TEXT, .as.bytes = {"d", 1}},
        {.type = VARVE_TEXT, .as.bytes = {"x", 1}}, {.type = VARVE_BLOB, .as.bytes = {broken, 2}},
        {.type = VARVE_BOOLEAN, .as.i64 = 1}};
    const struct {
        uint32_t column;
        varve_value value;
        varve_status status;
    } bad[] = {
        {0, {.type = VARVE_TEXT, .presence = VARVE_NULL}, VARVE_ETYPE},
        {0, {.type = VARVE_TEXT, .as.bytes = {"", 0}}, VARVE_ETYPE},
        {0, {.type = VARVE_TEXT, .as.bytes = {large, VARVE_KEY_BYTES_MAX}}, VARVE_ELIMIT},
        {1, {.type = VARVE_TIME, .presence = VARVE_UNSET}, VARVE_ETYPE},
        {1, {.type = VARVE_TIME, .presence = VARVE_NULL}, VARVE_ETYPE},
        {1, {.type = VARVE_TIME, .as.i64 = -1}, VARVE_ETYPE},
        {1, {.type = VARVE_BIGINT, .as.i64 = 1}, VARVE_ETYPE},
        {2, {.type = VARVE_TEXT, .as.bytes = {large, VARVE_KEY_BYTES_MAX}}, VARVE_ELIMIT},
        {4, {.type = VARVE_TEXT, .as.bytes = {broken, 2}}, VARVE_ETYPE},
        {4, {.type = VARVE_TEXT, .presence = 3}, VARVE_EINVAL},
        {5, {.type = VARVE_BLOB, .as.bytes = {large, sizeof large}}, VARVE_ELIMIT},
        {6, {.type = VARVE_BOOLEAN, .as.i64 = 2}, VARVE_ETYPE},
    };
    memset(large, 'x', sizeof large);
    for (int had = 0; had < 2; had++) {
        const uint64_t rows = varve_batch_rows(rig.batch), bytes = varve_batch_bytes(rig.batch);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            varve_value values[7];
            memcpy(values, good, sizeof values);
            values[bad[i].column] = bad[i].value;
            ck_assert_int_eq(
                varve_batch_add_row(rig.batch, rig.schema, values, 7, NULL, NO_LIMIT, &err),
                bad[i].status);
            ck_assert_int_eq(err.status, bad[i].status);
            check_unchanged(&rig, rows, bytes, had == 0 ? 0 : 1);
        }
        ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, good, 3, NULL, 0, NULL),
                         VARVE_EINVAL);
        ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, good, 8, NULL, 0, NULL),
                         VARVE_EINVAL);
        check_unchanged(&rig, rows, bytes, had == 0 ? 0 : 1);
        ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, good, 4, NULL, 0, NULL),
                         VARVE_OK);
    }
    /* A batch is full before it is too large; then it still seals. */
    varve_value values[7];
    memcpy(values, good, sizeof values);
    values[5].as.bytes.data = large;
    values[5].as.bytes.size = VARVE_CELL_BYTES_MAX;
    ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, values, 7, NULL, 0, NULL),
                     VARVE_OK);
    const uint64_t rows = varve_batch_rows(rig.batch), bytes = varve_batch_bytes(rig.batch);
    ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, values, 7, NULL, 0, &err),
                     VARVE_ELIMIT);
    check_unchanged(&rig, rows, bytes, 1);
    ck_assert_int_eq(varve_batch_seal(rig.batch, NULL), VARVE_OK);
    ck_assert_uint_le(varve_batch_payload(rig.batch).size, bytes);
    rig_close(&rig);
}
END_TEST

/* A bad number is refused wherever the row goes: first of its section, or like the one before. */
START_TEST(refused_numbers_change_nothing)
{
    struct rig rig;
    rig_open(&rig, numbers_table, 1);
    const varve_value good[9] = {{.type = VARVE_TEXT, .as.bytes = {"k", 1}},
                                 {.type = VARVE_INT, .as.i64 = 7},
                                 {.type = VARVE_TIMESTAMP, .as.i64 = 5},
                                 {.type = VARVE_INT, .as.i64 = INT32_MIN},
                                 {.type = VARVE_BIGINT, .as.i64 = INT64_MIN},
                                 {.type = VARVE_DECIMAL, .scale = 2, .as.i64 = 999999999},
                                 {.type = VARVE_DECIMAL, .scale = 6, .as.i64 = -5},
                                 {.type = VARVE_DOUBLE, .as.f64 = -1.5},
                                 {.type = VARVE_INT, .as.i64 = INT32_MAX}};
    const struct {
        uint32_t column;
        varve_value value;
    } bad[] = {
        {1, {.type = VARVE_INT, .as.i64 = 7 + (INT64_C(1) << 32)}},
        {1, {.type = VARVE_BIGINT, .as.i64 = 7}},
        {2, {.type = VARVE_TIMESTAMP, .presence = VARVE_NULL}},
        {2, {.type = VARVE_TIMESTAMP, .unit = VARVE_NANOSECONDS, .as.i64 = 5}},
        {2, {.type = VARVE_BIGINT, .as.i64 = 5}},
        {3, {.type = VARVE_INT, .as.i64 = INT64_C(1) << 31}},
        {3, {.type = VARVE_INT, .presence = VARVE_UNSET}},
        {4, {.type = VARVE_INT, .as.i64 = 5}},
        {5, {.type = VARVE_DECIMAL, .scale = 2, .as.i64 = 1000000000}},
        {5, {.type = VARVE_DECIMAL, .scale = 2, .as.i64 = -1000000000}},
        {5, {.type = VARVE_DECIMAL, .scale = 3, .as.i64 = 1}},
        {6, {.type = VARVE_DECIMAL, .scale = 6, .as.i64 = INT64_C(1000000000000000000)}},
        {7, {.type = VARVE_FLOAT, .as.f32 = 1}},
        {8, {.type = VARVE_INT, .as.i64 = INT32_MIN - INT64_C(1)}},
    };
    for (int had = 0; had < 3; had++) {
        const uint64_t rows = varve_batch_rows(rig.batch), bytes = varve_batch_bytes(rig.batch);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            varve_value values[9];
            varve_error err;
            memcpy(values, good, sizeof values);
            values[bad[i].column] = bad[i].value;
            ck_assert_int_eq(
                varve_batch_add_row(rig.batch, rig.schema, values, 9, NULL, NO_LIMIT, &err),
                VARVE_ETYPE);
            ck_assert_int_eq(err.status, VARVE_ETYPE);
            check_unchanged(&rig, rows, bytes, had == 0 ? 0 : 1);
        }
        ck_assert_int_eq(varve_batch_add_row(rig.batch, rig.schema, good, 9, NULL, 0, NULL),
                         VARVE_OK);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(refused_columns_change_nothing_and_name_the_row)
{
    struct rig rig;
    varve_error err;
    rig_open(&rig,
             "CREATE TABLE e (k text, ts int, x text, b boolean, m decimal(3, 1), "
             "PRIMARY KEY (k, ts))",
             1);
    const int32_t ts[4] = {1, 2, 3, 4};
    const uint32_t offsets[5] = {0, 1, 2, 3, 4};
    const uint32_t back[5] = {0, 1, 0, 3, 4};
    const int8_t b[4] = {0, 1, 1, 0}, b2[4] = {0, 1, 2, 0};
    const int64_t m[4] = {999, -999, 0, 1000};
    const uint8_t hole = 0xB; /* row 2 has no value */
    const varve_array good[3] = {{.column = 0, .values = "kkll", .offsets = offsets},
                                 {.column = 1, .values = ts},
                                 {.column = 2, .values = "wxyz", .offsets = offsets}};
    const struct {
        varve_array last;
        varve_status status;
        uint64_t row;
    } bad[] = {
        {{.column = 9, .values = ts}, VARVE_EINVAL, UINT64_MAX},
        {{.column = 1, .values = ts}, VARVE_EINVAL, UINT64_MAX},
        {{.column = 3}, VARVE_EINVAL, UINT64_MAX},
        {{.column = 3, .values = b, .flags = 2}, VARVE_EINVAL, UINT64_MAX},
        {{.column = 3, .values = b2}, VARVE_ETYPE, 2},
        {{.column = 4, .values = m}, VARVE_ETYPE, 3},
    };
    varve_array arrays[4];
    const uint64_t empty = varve_batch_bytes(rig.batch);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memcpy(arrays, good, sizeof good);
        arrays[3] = bad[i].last;
        ck_assert_int_eq(
            varve_batch_add_columns(rig.batch, rig.schema, NULL, arrays, 4, 4, NULL, 0, &err),
            bad[i].status);
        ck_assert_uint_eq(err.row, bad[i].row);
        check_unchanged(&rig, 0, empty, 0);
    }
    for (int column = 0; column < 3; column += 2) { /* offsets of a key and of a value */
        memcpy(arrays, good, sizeof good);
        arrays[column].offsets = back;
        ck_assert_int_eq(
            varve_batch_add_columns(rig.batch, rig.schema, NULL, arrays, 3, 4, NULL, 0, &err),
            VARVE_EINVAL);
    }
    for (int column = 0; column < 2; column++) {
        memcpy(arrays, good, sizeof good);
        arrays[column].validity = &hole;
        ck_assert_int_eq(
            varve_batch_add_columns(rig.batch, rig.schema, NULL, arrays, 3, 4, NULL, 0, &err),
            VARVE_ETYPE);
        ck_assert_uint_eq(err.row, 2);
    }
    memcpy(arrays, good, sizeof good);
    arrays[2].values = "w\xFFyz";
    ck_assert_int_eq(
        varve_batch_add_columns(rig.batch, rig.schema, NULL, arrays, 3, 4, NULL, 0, &err),
        VARVE_ETYPE);
    ck_assert_uint_eq(err.row, 1);
    ck_assert_int_eq(
        varve_batch_add_columns(rig.batch, rig.schema, NULL, good, 3, 1u << 24, NULL, 0, &err),
        VARVE_ELIMIT);
    ck_assert_int_eq(
        varve_batch_add_columns(rig.batch, rig.schema, NULL, good + 1, 2, 4, NULL, 0, &err),
        VARVE_EINVAL); /* no partition key */
    check_unchanged(&rig, 0, empty, 0);
    ck_assert_int_eq(
        varve_batch_add_columns(rig.batch, rig.schema, NULL, good, 3, 0, NULL, 0, &err), VARVE_OK);
    check_unchanged(&rig, 0, empty, 0);
    ck_assert_int_eq(
        varve_batch_add_columns(rig.batch, rig.schema, NULL, good, 3, 4, NULL, 0, &err), VARVE_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(origin_is_checked_and_forgotten_by_clear)
{
    struct rig rig;
    rig_open(&rig, three_tables[0], 1);
    ck_assert_int_eq(varve_batch_set_origin(rig.batch, 0, 1, 1, 2, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_batch_set_origin(rig.batch, 3, 1, 3, 2, NULL), VARVE_EINVAL);
    ck_assert_int_eq(varve_batch_set_origin(rig.batch, 3, 1, 2, 2, NULL), VARVE_OK);
    ck_assert_uint_eq(varve_batch_origin(rig.batch).id, 3);
    ck_assert_uint_eq(varve_batch_origin(rig.batch).last, 2);
    varve_batch_clear(rig.batch);
    ck_assert_uint_eq(varve_batch_origin(rig.batch).id, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(raw_bytes_count_what_was_given)
{
    struct rig rig;
    rig_open(&rig, "CREATE TABLE e (k int, ts timestamp, v bigint, PRIMARY KEY (k, ts))", 1);
    for (int i = 0; i < 10; i++) /* 4 + 8 + 8 bytes; the key is encoded in 4 */
        ck_assert_int_eq(put_small(&rig, i % 3, i % 4, 0, NULL, NULL), VARVE_OK);
    ck_assert_int_eq(put_small(&rig, 0, 0, 0, NULL, NULL), VARVE_OK); /* goes into another */
    ck_assert_int_eq(varve_batch_seal(rig.batch, NULL), VARVE_OK);
    ck_assert_uint_eq(varve_batch_section(rig.batch, 0).rows->n, 10);
    ck_assert_uint_eq(varve_batch_raw_bytes(rig.batch), 220);
    rig_close(&rig);
}
END_TEST

/* --------------------------------------------------------------------------------------- Faults */

START_TEST(every_failed_allocation_leaves_the_batch_in_order)
{
    struct rig rig;
    for (long n = 0;; n++) {
        varve_value values[COLUMNS_MAX];
        uint64_t put = 0;
        rig_open(&rig, row_table_all_types, 99);
        rig.h.calls = 0;
        rig.h.fail_at = n;
        varve_error err = {0};
        while (put < 40) {
            random_values(rig.schema, &rig.rng, values, true);
            values[1].as.i64 = (int64_t)varve_rng_below(&rig.rng, 3);
            const uint64_t bytes = varve_batch_bytes(rig.batch);
            varve_status rc = varve_batch_add_row(rig.batch, rig.schema, values,
                                                  rig.schema->n_columns, NULL, NO_LIMIT, &err);
            if (rc < 0) {
                ck_assert_int_eq(rc, VARVE_ENOMEM);
                check_unchanged(&rig, put, bytes, put > 0 ? 1 : 0);
                rc = varve_batch_add_row(rig.batch, rig.schema, values, rig.schema->n_columns, NULL,
                                         NO_LIMIT, &err);
            }
            ck_assert_int_eq(rc, VARVE_OK);
            model_put(&rig.model, values, VARVE_WT_COMMIT, true);
            put++;
        }
        if (varve_batch_seal(rig.batch, &err) < 0) {
            ck_assert_int_eq(err.status, VARVE_ENOMEM);
            ck_assert(!varve_batch_is_sealed(rig.batch));
        }
        const bool fired = rig.h.fired;
        rig.h.fail_at = -1;
        check_sealed(rig.batch, &rig.model, &rig.h.heap);
        rig_close(&rig);
        if (!fired) {
            ck_assert_int_ge(n, 20);
            break;
        }
    }
}
END_TEST

START_TEST(every_failed_allocation_while_putting_columns_is_undone)
{
    static const uint32_t n_rows = 50;
    struct rig rig;
    struct columns columns = {.n_arrays = 0};
    rig_open(&rig, row_table_all_types, 7);
    for (uint32_t i = 0; i < n_rows; i++) {
        random_values(rig.schema, &rig.rng, column_rows[i], true);
        column_rows[i][1].as.i64 = i;
    }
    for (uint32_t c = 0; c < rig.schema->n_columns; c++)
        columns_add(&columns, rig.schema, c, column_rows, n_rows, false);
    rig_close(&rig);
    for (long n = 0;; n++) {
        rig_open(&rig, row_table_all_types, 7);
        rig.h.calls = 0;
        rig.h.fail_at = n;
        const uint64_t empty = varve_batch_bytes(rig.batch);
        varve_status rc = varve_batch_add_columns(rig.batch, rig.schema, NULL, columns.arrays,
                                                  columns.n_arrays, n_rows, NULL, 0, NULL);
        ck_assert_int_eq(rc, rig.h.fired ? VARVE_ENOMEM : VARVE_OK);
        if (rc < 0) {
            check_unchanged(&rig, 0, empty, 0);
            ck_assert_int_eq(varve_batch_add_columns(rig.batch, rig.schema, NULL, columns.arrays,
                                                     columns.n_arrays, n_rows, NULL, 0, NULL),
                             VARVE_OK);
        }
        const struct varve_section section = varve_batch_section(rig.batch, 0);
        ck_assert_uint_eq(section.rows->n, n_rows);
        ck_assert_uint_eq(section.n_keys, 4);
        rig_close(&rig);
        if (rc == VARVE_OK)
            break;
    }
    columns_free(&columns);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tc = tcase_create("batch");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rows_put_one_by_one_are_the_models_rows, 0, 21);
    tcase_add_loop_test(tc, columns_put_the_same_rows_as_rows_do, 0, 12);
    tcase_add_loop_test(tc, keep_first_and_error_treat_a_repeated_key_as_they_say, 0, 3);
    tcase_add_test(tc, row_of_a_refused_batch_counts_all_its_tables);
    tcase_add_loop_test(tc, put_options_are_judged, 0,
                        (int)(sizeof put_kinds / sizeof put_kinds[0]));
    tcase_add_test(tc, refused_rows_change_nothing);
    tcase_add_test(tc, refused_numbers_change_nothing);
    tcase_add_test(tc, refused_columns_change_nothing_and_name_the_row);
    tcase_add_test(tc, origin_is_checked_and_forgotten_by_clear);
    tcase_add_test(tc, raw_bytes_count_what_was_given);
    tcase_add_test(tc, every_failed_allocation_leaves_the_batch_in_order);
    tcase_add_test(tc, every_failed_allocation_while_putting_columns_is_undone);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
