/*
 * test_memtable.c - apply, views, reservations and size of a memtable.
 *
 * Method: random sections of every type, shape and disorder go to the memtable and to a flat model;
 * views taken on the way are read through sources and compared with the model, also long after.
 */
#include "memtable_fixture.h"
#include "storage/memtable/memtable_int.h"

static const char *const schemas[] = {
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a text, b int, c blob, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, s text, n int, a boolean, b tinyint, c smallint, d "
    "int, "
    "e bigint, f float, g double, h decimal, i decimal(9,2), j text, l blob, m timestamp, o date, "
    "p time, q uuid, PRIMARY KEY (k, ts, s, n)) WITH CLUSTERING ORDER BY (ts ASC, s DESC, n ASC)",
    "CREATE TABLE t (k bigint, ts date, u uuid, d decimal, a double, PRIMARY KEY (k, ts, u, d))",
    "CREATE TABLE t (k bigint, ts timestamp, a double, b text, PRIMARY KEY (k, ts)) "
    "WITH duplicates = 'keep'",
    "CREATE TABLE t (k bigint, ts timestamp, c int, a double, PRIMARY KEY (k, ts, c)) "
    "WITH duplicates = 'first'",
    "CREATE TABLE t (k bigint, ts timestamp, a int, PRIMARY KEY (k, ts)) "
    "WITH duplicates = 'error'"};

static const struct shape shapes[] = {
    {.n_keys = 3, .key_bytes = 9, .rows = 300, .text = 20},
    {.n_keys = 3, .key_bytes = 9, .rows = 300, .late = 10, .same = 5, .text = 20},
    {.n_keys = 1, .key_bytes = 9, .rows = 1500, .late = 1, .one_partition = true, .text = 5},
    {.n_keys = 1,
     .key_bytes = 9,
     .rows = 700,
     .late = 50,
     .same = 50,
     .states = 10,
     .explicit_wt = 20,
     .expiring = 20,
     .one_partition = true,
     .text = 5},
    {.n_keys = 2, .key_bytes = 9, .rows = 3, .late = 5, .same = 10, .states = 3, .text = 200},
    {.n_keys = 400,
     .key_bytes = 40,
     .rows = 200,
     .late = 20,
     .same = 20,
     .states = 20,
     .explicit_wt = 10,
     .expiring = 10,
     .text = 300},
    {.n_keys = 5, .key_bytes = 12, .rows = 100, .late = 5, .text = 40, .big_text = 1},
    {.n_keys = 5, .key_bytes = 13, .rows = 1, .late = 5, .same = 5, .one_partition = true}};

#define SCHEMAS ((int)(sizeof schemas / sizeof schemas[0]))
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static struct shape shape_for(const struct varve_schema *schema, int i)
{
    struct shape shape = shapes[i];
    if (schema->duplicates != VARVE_DUPLICATES_UPSERT)
        shape.explicit_wt = 0; /* refused there */
    return shape;
}

static struct varve_apply apply_of(uint32_t ordinal)
{
    return (struct varve_apply){.lsn = 100u * ordinal,
                                .lsn_end = 100u * ordinal + 90,
                                .hlc = 5000 + 7 * (int64_t)ordinal,
                                .writer = 3,
                                .floor = INT64_MIN};
}

static void compare_view(const struct varve_memtable_view *view, struct varve_heap *heap,
                         const struct model *model, bool reverse, int64_t first, int64_t last)
{
    struct varve_source *source = NULL;
    struct model read = {0};
    ck_assert_int_eq(varve_memtable_source_open(view, heap, &source, NULL), VARVE_OK);
    fixture_read(source, view->table->schema, reverse, first, last, &read);
    fixture_same(&read, model, (uint32_t)view->ordinal, first, last);
    source->ops->close(source);
}

START_TEST(views_show_what_the_model_holds)
{
    struct varve_heap heap;
    struct varve_rng rng;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[_i / SHAPES]);
    const uint64_t before = varve_heap_used(&heap);
    const struct shape shape = shape_for(schema, _i % SHAPES);
    struct varve_memtable *table = NULL;
    struct varve_memtable_view old = {0};
    struct model model = {0};
    int64_t clock = 100000;

    varve_rng_seed(&rng, (uint64_t)_i + 1);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    const uint32_t commits = shape.rows < 10 ? 240 : 8;
    for (uint32_t c = 0; c < commits; c++) {
        struct test_section *t = fixture_section(&rng, schema, &shape, &clock);
        const struct varve_apply apply = apply_of(c);
        fixture_apply(table, t, &apply, c, &model);
        fixture_section_free(t);
        ck_assert_uint_eq(varve_heap_used(&heap) - before, varve_memtable_bytes(table));
        if (c == commits / 3)
            old = varve_memtable_view_of(table);
        if (c % (commits / 4) != 1)
            continue;
        ck_assert(varve_memtable_check(table));
        const struct varve_memtable_view view = varve_memtable_view_of(table);
        const int64_t from = clock - (int64_t)varve_rng_below(&rng, 1500);
        compare_view(&view, &heap, &model, false, INT64_MIN, INT64_MAX);
        compare_view(&view, &heap, &model, true, from, from + 300);
    }
    compare_view(&old, &heap, &model, false, INT64_MIN, INT64_MAX);
    compare_view(&old, &heap, &model, true, INT64_MIN, INT64_MAX);
    for (int k = 0; k < 3; k++) {
        const int64_t from = 100000 + (int64_t)varve_rng_below(&rng, (uint64_t)clock - 99000) - 900;
        compare_view(&old, &heap, &model, k & 1, from, from + (int64_t)varve_rng_below(&rng, 400));
    }
    ck_assert(varve_memtable_check(table));
    ck_assert_uint_eq(varve_memtable_rows(table), model.n);
    ck_assert_uint_eq(varve_memtable_first_lsn(table), 0);
    ck_assert_uint_eq(varve_memtable_end_lsn(table), 100u * (commits - 1) + 90);
    varve_memtable_freeze(table);
    varve_memtable_unref(table);
    ck_assert_uint_eq(varve_heap_used(&heap), before);
    varve_schema_unref(schema);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    free(model.rows);
}
END_TEST

START_TEST(has_key_agrees_with_the_rows_applied)
{
    struct varve_heap heap;
    struct varve_rng rng;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[_i == 0 ? 7 : 3]);
    const struct shape shape = {.n_keys = 4, .key_bytes = 9, .rows = 200, .late = 20, .same = 10};
    struct varve_memtable *table = NULL;
    struct test_section *all[12];
    int64_t clock = 5000;

    varve_rng_seed(&rng, 5);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    for (uint32_t c = 0; c < 12; c++) {
        const struct varve_apply apply = apply_of(c);
        struct model model = {0};
        all[c] = fixture_section(&rng, schema, &shape, &clock);
        for (uint32_t i = 0; i < all[c]->rows.n; i++) {
            bool expected = false;
            for (uint32_t d = 0; d < c; d++)
                for (uint32_t j = 0; j < all[d]->rows.n && !expected; j++)
                    expected = varve_span_compare(all[d]->keys[all[d]->part[j]],
                                                  all[c]->keys[all[c]->part[i]]) == 0 &&
                               varve_rows_compare(&all[d]->rows, j, &all[c]->rows, i) == 0;
            ck_assert_int_eq(varve_memtable_has_key(table, &all[c]->section, i), expected);
        }
        fixture_apply(table, all[c], &apply, c, &model);
        for (uint32_t i = 0; i < all[c]->rows.n; i++)
            ck_assert(varve_memtable_has_key(table, &all[c]->section, i));
        free(model.rows);
    }
    for (uint32_t c = 0; c < 12; c++)
        fixture_section_free(all[c]);
    varve_memtable_unref(table);
    varve_schema_unref(schema);
}
END_TEST

START_TEST(rows_below_the_floor_are_dropped_and_counted)
{
    struct varve_heap heap;
    struct varve_rng rng;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[2]);
    const struct shape *shape = &shapes[_i == 0 ? 6 : 2];
    struct varve_memtable *table = NULL;
    struct model model = {0};
    int64_t clock = 1000;

    varve_rng_seed(&rng, 9);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    for (uint32_t c = 0; c < 30; c++) {
        struct varve_apply apply = apply_of(c);
        struct shape big = *shape;
        big.big_text = 30;
        big.late = 30;
        struct test_section *t = fixture_section(&rng, schema, &big, &clock);
        apply.floor = clock - 200;
        if (c % 7 == 6)
            apply.floor = clock + 1; /* all of it */
        fixture_apply(table, t, &apply, c, &model);
        fixture_section_free(t);
        ck_assert(varve_memtable_check(table));
    }
    const struct varve_memtable_view view = varve_memtable_view_of(table);
    compare_view(&view, &heap, &model, false, INT64_MIN, INT64_MAX);
    varve_memtable_unref(table);
    varve_schema_unref(schema);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
    free(model.rows);
}
END_TEST

START_TEST(partitions_come_in_key_order_from_any_key_both_ways)
{
    struct varve_heap heap;
    struct varve_rng rng;
    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[1]);
    const uint32_t key_bytes = _i == 0 ? 9 : 30;
    struct shape shape = {.n_keys = 1, .key_bytes = key_bytes, .rows = 1, .one_partition = true};
    struct varve_memtable *table = NULL;
    struct varve_memtable_view views[8];
    bool seen[4000] = {false};
    uint32_t when[4000] = {0};
    int64_t clock = 0;

    varve_rng_seed(&rng, 11);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    for (uint32_t c = 0; c < 2400; c++) {
        struct test_section *t = fixture_section(&rng, schema, &shape, &clock);
        struct model model = {0};
        const struct varve_apply apply = apply_of(c);
        const uint32_t k = (uint32_t)varve_rng_below(&rng, 4000);
        t->keys[0] = fixture_key(k, key_bytes, t->key_bytes);
        t->hashes[0] = varve_key_hash(t->keys[0]);
        if (!seen[k])
            when[k] = c;
        seen[k] = true;
        fixture_apply(table, t, &apply, c, &model);
        free(model.rows);
        fixture_section_free(t);
        if (c % 400 != 399)
            continue;
        views[c / 400] = varve_memtable_view_of(table);
        /* Views of all ages, so that the shared order is older or newer than they are. */
        for (int round = 0; round < 20; round++) {
            const struct varve_memtable_view *view = &views[varve_rng_below(&rng, c / 400 + 1)];
            const uint32_t from = (uint32_t)varve_rng_below(&rng, 4001);
            const bool reverse = varve_rng_below(&rng, 2) == 0;
            struct varve_source *source = NULL;
            struct varve_partition p;
            uint8_t key[64];
            ck_assert_int_eq(varve_memtable_source_open(view, &heap, &source, NULL), VARVE_OK);
            ck_assert_int_eq(
                source->ops->seek(source, fixture_key(from, key_bytes, key), reverse, NULL),
                VARVE_OK);
            for (uint32_t i = from; reverse ? i-- > 0 : i < 4000; i += !reverse) {
                if (!seen[i] || when[i] >= view->ordinal)
                    continue;
                ck_assert_int_eq(source->ops->next(source, &p, NULL), VARVE_OK);
                ck_assert_uint_eq(fixture_key_number(p.key), i);
            }
            ck_assert_int_eq(source->ops->next(source, &p, NULL), VARVE_END);
            source->ops->close(source);
        }
        ck_assert(varve_memtable_check(table));
    }
    varve_memtable_unref(table);
    varve_schema_unref(schema);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

/* ------------------------------------------------------------------------------- Reservations */

struct failing { /* an allocator whose n-th call fails */
    varve_allocator base;
    long left;
    bool fired;
};

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    struct failing *f = ctx;
    if (f->left-- == 0) {
        f->fired = true;
        return NULL;
    }
    return aligned_alloc(align < 16 ? 16 : align, (size + align - 1 + 16) / 64 * 64 + 64);
}

static void failing_free(void *ctx, void *memory, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(memory);
}

START_TEST(a_failed_reservation_changes_nothing)
{
    struct shape shape = {
        .n_keys = 3000, .key_bytes = 20, .late = 10, .text = 100, .states = 5, .big_text = 3};

    for (long n = 0;; n++) {
        struct failing f = {.left = -1};
        struct varve_heap heap;
        struct varve_rng rng;
        struct varve_memtable *table = NULL;
        struct model model = {0};
        int64_t clock = 1000;
        bool fired = false;

        f.base = (varve_allocator){.ctx = &f, .alloc = failing_alloc, .free = failing_free};
        varve_heap_init(&heap, &f.base, UINT64_MAX);
        struct varve_schema *schema = fixture_schema(&heap, schemas[2]);
        varve_rng_seed(&rng, 3);
        ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
        for (uint32_t c = 0; c < 10; c++) {
            shape.rows = c == 7 ? 3000 : 100; /* one that needs slabs, blocks, an index and more */
            struct test_section *t = fixture_section(&rng, schema, &shape, &clock);
            const struct varve_apply apply = apply_of(c);
            const size_t bytes = varve_memtable_bytes(table);
            if (c == 7)
                f.left = n;
            const varve_status rc = varve_memtable_reserve(table, &t->section, NULL);
            fired |= f.fired;
            f.left = -1;
            f.fired = false;
            if (rc < 0) {
                ck_assert_int_eq(rc, VARVE_ENOMEM);
                ck_assert_uint_eq(varve_memtable_bytes(table), bytes);
            } else {
                varve_memtable_unreserve(table, &t->section);
                ck_assert_uint_le(varve_memtable_bytes(table), bytes > 0 ? bytes + (1u << 20) : 0);
            }
            ck_assert(varve_memtable_check(table));
            fixture_apply(table, t, &apply, c, &model);
            fixture_section_free(t);
        }
        const struct varve_memtable_view view = varve_memtable_view_of(table);
        compare_view(&view, &heap, &model, false, INT64_MIN, INT64_MAX);
        varve_memtable_unref(table);
        varve_schema_unref(schema);
        ck_assert_uint_eq(varve_heap_used(&heap), 0);
        free(model.rows);
        if (!fired) {
            ck_assert_int_ge(n, 3);
            break;
        }
    }
}
END_TEST

START_TEST(apply_after_reserve_never_allocates)
{
    struct failing f = {.left = -1};
    struct varve_heap heap;
    struct varve_rng rng;
    struct varve_memtable *table = NULL;
    int64_t clock = 1000;
    const struct shape shape = {.n_keys = 5000,
                                .key_bytes = 20,
                                .rows = 300,
                                .late = 10,
                                .same = 10,
                                .states = 2,
                                .text = 50,
                                .big_text = 2};
    struct test_section *queue[8];
    uint32_t c = 0;

    f.base = (varve_allocator){.ctx = &f, .alloc = failing_alloc, .free = failing_free};
    varve_heap_init(&heap, &f.base, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[_i == 0 ? 2 : 3]);
    varve_rng_seed(&rng, 17);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    for (int round = 0; round < 20; round++) {
        for (int k = 0; k < 8; k++) { /* many in flight, some of which fail */
            queue[k] = fixture_section(&rng, schema, &shape, &clock);
            ck_assert_int_eq(varve_memtable_reserve(table, &queue[k]->section, NULL), VARVE_OK);
        }
        f.left = 0;
        for (int k = 0; k < 8; k++) {
            const struct varve_apply apply = apply_of(c);
            if (varve_rng_below(&rng, 4) == 0) {
                varve_memtable_unreserve(table, &queue[k]->section);
                continue;
            }
            ck_assert_uint_eq(varve_memtable_apply(table, &queue[k]->section, &apply), 0);
            c++;
        }
        ck_assert(!f.fired);
        f.left = -1;
        ck_assert(varve_memtable_check(table));
        for (int k = 0; k < 8; k++)
            fixture_section_free(queue[k]);
    }
    varve_memtable_unref(table);
    varve_schema_unref(schema);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(giving_back_a_reservation_frees_what_it_took)
{
    struct varve_heap heap;
    struct varve_rng rng;
    struct varve_memtable *table = NULL;
    int64_t clock = 0;
    const struct shape shape = {
        .n_keys = 5000, .key_bytes = 20, .rows = 3000, .text = 50, .big_text = 1};
    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, schemas[2]);
    varve_rng_seed(&rng, 4);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    const size_t empty = varve_memtable_bytes(table);
    struct test_section *queue[20];
    for (int k = 0; k < 20; k++) {
        queue[k] = fixture_section(&rng, schema, &shape, &clock);
        ck_assert_int_eq(varve_memtable_reserve(table, &queue[k]->section, NULL), VARVE_OK);
    }
    ck_assert_uint_gt(varve_memtable_bytes(table), empty + 1000000);
    for (int k = 0; k < 20; k++) {
        varve_memtable_unreserve(table, &queue[(k * 7) % 20]->section);
        ck_assert(varve_memtable_check(table));
    }
    ck_assert_uint_eq(varve_memtable_bytes(table), empty);
    for (int k = 0; k < 20; k++)
        fixture_section_free(queue[k]);
    varve_memtable_unref(table);
    varve_schema_unref(schema);
}
END_TEST

START_TEST(a_source_survives_every_failed_allocation)
{
    const struct shape *shape = &shapes[_i == 0 ? 3 : 5];
    for (long n = 0;; n++) {
        struct failing f = {.left = -1};
        struct varve_heap heap, plain;
        struct varve_rng rng;
        struct varve_memtable *table = NULL;
        struct model model = {0};
        int64_t clock = 10000;
        f.base = (varve_allocator){.ctx = &f, .alloc = failing_alloc, .free = failing_free};
        varve_heap_init(&heap, &f.base, UINT64_MAX);
        varve_heap_init(&plain, NULL, UINT64_MAX);
        struct varve_schema *schema = fixture_schema(&plain, schemas[3]);
        varve_rng_seed(&rng, 8);
        ck_assert_int_eq(varve_memtable_create(&plain, schema, &table, NULL), VARVE_OK);
        for (uint32_t c = 0; c < 3; c++) {
            struct test_section *t = fixture_section(&rng, schema, shape, &clock);
            const struct varve_apply apply = apply_of(c);
            fixture_apply(table, t, &apply, c, &model);
            fixture_section_free(t);
        }
        const struct varve_memtable_view view = varve_memtable_view_of(table);
        struct varve_source *source = NULL;
        struct varve_partition p;
        struct varve_piece piece;
        struct varve_cells columns[32];
        struct varve_rows rows = {.columns = columns};
        uint32_t streams = 0;
        f.left = n;
        varve_status rc = varve_memtable_source_open(&view, &heap, &source, NULL);
        ck_assert((rc == VARVE_OK) == (source != NULL));
        if (rc == VARVE_OK)
            rc = source->ops->seek(source, varve_span_of(NULL, 0), false, NULL);
        if (rc == VARVE_OK)
            rc = source->ops->next(source, &p, NULL);
        if (rc == VARVE_OK)
            rc = source->ops->open(source, &p, INT64_MIN, INT64_MAX, false, &streams, NULL);
        for (uint32_t k = 0; rc == VARVE_OK && k < streams; k++) {
            rc = source->ops->piece(source, k, &piece, NULL);
            if (rc == VARVE_OK)
                rc = source->ops->load(source, k, 0, piece.rows, NULL, true, &rows, NULL);
        }
        ck_assert_int_eq(rc, f.fired ? VARVE_ENOMEM : VARVE_OK);
        if (source != NULL)
            source->ops->close(source);
        ck_assert_uint_eq(varve_heap_used(&heap), 0);
        varve_memtable_unref(table);
        varve_schema_unref(schema);
        ck_assert_uint_eq(varve_heap_used(&plain), 0);
        free(model.rows);
        if (!f.fired) {
            ck_assert_int_ge(n, 3);
            break;
        }
    }
}
END_TEST

/* ---------------------------------------------------------------------------------------- Size */

static const uint32_t row_counts[] = {1, 10, 16, 17, 40, 100, 300, 1000, 100000};
#define ROW_COUNTS ((int)(sizeof row_counts / sizeof row_counts[0]))
#define SIZE_SCHEMAS 6
static const char *const size_schemas[SIZE_SCHEMAS] = {
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a boolean, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, c double, d double, e double, "
    "f double, g double, h double, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a text, b int, c text, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, n int, u uuid, d decimal, PRIMARY KEY (k, ts, n))",
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, PRIMARY KEY (k, ts)) "
    "WITH duplicates = 'keep'"};

static uint64_t raw_of(const struct test_section *t)
{
    const struct varve_schema *schema = t->rows.schema;
    uint64_t row = 8 + (schema->duplicates == VARVE_DUPLICATES_KEEP ? 4 : 0);
    uint64_t text = 0;
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        if (schema->phys[c] == VARVE_PHYS_BYTES) {
            text += t->rows.columns[c].offsets[t->rows.n];
            row += 4;
        }
        row += varve_phys_width((enum varve_phys)schema->phys[c]) +
               (schema->phys[c] == VARVE_PHYS_DEC ? 1 : 0);
    }
    return row * t->rows.n + text;
}

static uint64_t pile_unused(const struct varve_pile *pile, uint64_t n)
{
    uint64_t held = 0;
    uint64_t items = 0;
    for (uint32_t b = 0; b < pile->n_blocks; b++)
        items += b == 0 ? 64 : b < 7 ? 32u << b : VARVE_PILE_BLOCK;
    for (uint32_t k = 0; k < VARVE_PILE_LEVELS; k++)
        held += pile->level[k] == NULL ? 0 : sizeof(uint8_t *) << k;
    return held + (items - n) * pile->item;
}

/* What is held but holds nothing yet, and what does not grow with rows. */
static uint64_t unused_of(const struct varve_memtable *table)
{
    const struct varve_slab_space *slabs = &table->slabs;
    uint64_t bytes = sizeof *table + table->schema->n_columns * sizeof(struct varve_mem_column) +
                     slabs->spare_bytes + slabs->bytes - slabs->used + 64;
    for (uint32_t g = 0; g < 64; g++)
        bytes += slabs->groups[g] == NULL ? 0 : sizeof *slabs->groups[g];
    bytes += pile_unused(&table->partitions, table->n_partitions);
    bytes += pile_unused(&table->commits, table->n_commits);
    if (table->spare_index != NULL)
        bytes += (uint64_t)table->spare_index->n_buckets * sizeof(struct varve_hash_bucket);
    return bytes + 2 * sizeof(struct varve_hash_index) + sizeof(struct varve_hash_bucket);
}

/* Round robin over the partitions in sections of one row (the worst: every row comes alone) or of
 * 1,000, partition after partition. */
START_TEST(size_stays_within_its_bound)
{
    struct varve_heap heap;
    struct varve_rng rng;
    const bool single = _i & 1;
    const uint32_t per = row_counts[_i / 2 % ROW_COUNTS];
    const uint32_t total = per > 4000 ? (_i / 2 / ROW_COUNTS == 0 ? per : 20000) : 4000;
    const uint32_t partitions = total < per ? 1 : total / per;
    struct varve_memtable *table = NULL;
    struct shape shape = {
        .n_keys = 1, .key_bytes = 9, .rows = 1, .one_partition = true, .text = 12};
    uint64_t raw = 0;
    uint64_t commits = 0;
    int64_t clock = 0;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    struct varve_schema *schema = fixture_schema(&heap, size_schemas[_i / 2 / ROW_COUNTS]);
    varve_rng_seed(&rng, 21);
    ck_assert_int_eq(varve_memtable_create(&heap, schema, &table, NULL), VARVE_OK);
    struct test_section *one = NULL;
    const uint32_t step = single ? 1 : per < 1000 ? per : 1000;
    while (one == NULL || one->rows.n != step) { /* exactly `step` rows in order */
        if (one != NULL)
            fixture_section_free(one);
        shape.rows = step;
        one = fixture_section(&rng, schema, &shape, &clock);
        shape.rows = step;
        if (step > 1 && one->rows.n < step && one->rows.n + 20 > step)
            break;
    }
    const uint32_t n = one->rows.n;
    for (uint32_t done = 0; done < total; done += n) {
        const uint32_t p = single ? done % partitions : done / per % partitions;
        struct varve_apply apply = apply_of((uint32_t)commits);
        one->keys[0] = fixture_key(p, 9, one->key_bytes);
        one->hashes[0] = varve_key_hash(one->keys[0]);
        for (uint32_t i = 0; i < n; i++)
            one->rows.time[i] = ++clock;
        ck_assert_int_eq(varve_memtable_reserve(table, &one->section, NULL), VARVE_OK);
        varve_memtable_apply(table, &one->section, &apply);
        commits++;
        raw += raw_of(one);
    }
    varve_memtable_publish(table);
    const uint64_t rows = varve_memtable_rows(table);
    const uint64_t parts = varve_memtable_partitions(table);
    const uint64_t slack = unused_of(table);
    const uint64_t bound = raw + 9 * parts + VARVE_MEMTABLE_PARTITION_BYTES * parts +
                           VARVE_MEMTABLE_ROW_BYTES * rows + 16 * commits + slack;
    ck_assert_msg(varve_memtable_bytes(table) <= bound, "%u rows each: %zu bytes, bound %llu", per,
                  varve_memtable_bytes(table), (unsigned long long)bound);
    ck_assert(varve_memtable_check(table));
    fixture_section_free(one);
    varve_memtable_unref(table);
    varve_schema_unref(schema);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memtable");
    TCase *views = tcase_create("views");
    TCase *promises = tcase_create("promises");
    TCase *sizes = tcase_create("sizes");
    tcase_set_timeout(views, 60);
    tcase_set_timeout(promises, 60);
    tcase_set_timeout(sizes, 60);
    tcase_add_loop_test(views, views_show_what_the_model_holds, 0, SCHEMAS * SHAPES);
    tcase_add_loop_test(views, has_key_agrees_with_the_rows_applied, 0, 2);
    tcase_add_loop_test(views, rows_below_the_floor_are_dropped_and_counted, 0, 2);
    tcase_add_loop_test(views, partitions_come_in_key_order_from_any_key_both_ways, 0, 2);
    tcase_add_test(promises, a_failed_reservation_changes_nothing);
    tcase_add_loop_test(promises, apply_after_reserve_never_allocates, 0, 2);
    tcase_add_test(promises, giving_back_a_reservation_frees_what_it_took);
    tcase_add_loop_test(promises, a_source_survives_every_failed_allocation, 0, 2);
    tcase_add_loop_test(sizes, size_stays_within_its_bound, 0, 2 * ROW_COUNTS * SIZE_SCHEMAS);
    suite_add_tcase(suite, views);
    suite_add_tcase(suite, promises);
    suite_add_tcase(suite, sizes);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
