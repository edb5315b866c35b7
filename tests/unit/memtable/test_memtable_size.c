/*
 * test_memtable_size.c - how much memory rows take before they are in files, in memtables of the size
 * that stores have: a million partitions of ten rows, and every kind of schema.
 *
 * The bound is the promise of memtable.h and nothing else; what a memtable says that it holds is
 * what the heap has given out. In the optimised build, where millions of rows take seconds.
 */
#include <stdio.h>

#include "memtable_fixture.h"
#include "storage/memtable/memtable_int.h"
#include "tests/lib/run_share.h"

#define KEY_BYTES                                                                                  \
    9u /* of a bigint: it has no costs of its own, a partition's head has room for it */
#define PARTITIONS_A_SECTION 1000u
#define MILLION 1000000u

_Static_assert(VARVE_MEMTABLE_PARTITION_BYTES == 96 && VARVE_MEMTABLE_ROW_BYTES == 8,
               "as promised");

/* Room that nothing is in yet: the current slab, the slab that a reservation made beside it, and the
 * last block of the piles of partitions and commits with the directories of both. */
#define SLACK_BYTES                                                                                \
    (2 * VARVE_SLAB_BYTES + VARVE_PILE_BLOCK * (sizeof(struct varve_mem_partition) + 16) +         \
     (64u << 10))

/* What arrives: `per` rows of each partition, either all at once, or one of each of a thousand
 * partitions after the other. */
struct load {
    const char *create;
    uint32_t partitions, per;
    bool scattered;
};

struct filled {
    struct varve_heap heap;
    struct varve_schema *schema;
    uint64_t before; /* bytes of the heap without the memtable */
    struct varve_memtable *table;
    uint64_t raw, commits;
};

static uint64_t raw_row(const struct varve_schema *schema)
{
    uint64_t row = 8 + (schema->duplicates == VARVE_DUPLICATES_KEEP ? 4 : 0);

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        row += varve_phys_width((enum varve_phys)schema->phys[c]) +
               (schema->phys[c] == VARVE_PHYS_BYTES ? 4 : 0) +
               (schema->phys[c] == VARVE_PHYS_DEC ? 1 : 0);
    return row;
}

static uint64_t raw_of(const struct test_section *t)
{
    const struct varve_schema *schema = t->rows.schema;
    uint64_t text = 0;

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        if (schema->phys[c] == VARVE_PHYS_BYTES)
            text += t->rows.columns[c].offsets[t->rows.n];
    return raw_row(schema) * t->rows.n + text;
}

/* A section of exactly `rows` rows, whose keys and times are set by whoever applies it. */
static struct test_section *section_of(const struct varve_schema *schema, uint32_t rows)
{
    const struct shape shape = {.n_keys = PARTITIONS_A_SECTION < rows ? PARTITIONS_A_SECTION : rows,
                                .key_bytes = KEY_BYTES,
                                .rows = 2 * rows,
                                .one_partition = true,
                                .text = 12};
    struct test_section *t = NULL;
    struct varve_rng rng;
    int64_t clock = 0;

    varve_rng_seed(&rng, 21);
    while (t == NULL || t->rows.n < rows) {
        if (t != NULL)
            fixture_section_free(t);
        t = fixture_section(&rng, schema, &shape, &clock);
    }
    t->rows.n = rows;
    return t;
}

static void apply(struct filled *f, struct test_section *t)
{
    const struct varve_apply how = {.lsn = f->commits * 64,
                                    .lsn_end = f->commits * 64 + 64,
                                    .hlc = (int64_t)f->commits,
                                    .writer = 1,
                                    .floor = INT64_MIN};

    if (varve_memtable_reserve(f->table, &t->section, NULL) != VARVE_OK)
        ck_abort_msg("no reservation");
    (void)varve_memtable_apply(f->table, &t->section, &how);
    f->commits++;
    f->raw += raw_of(t);
}

static void name_partition(struct test_section *t, uint32_t i, uint32_t partition)
{
    t->keys[i] = fixture_key(partition, KEY_BYTES, t->key_bytes + i * KEY_BYTES);
    t->hashes[i] = varve_key_hash(t->keys[i]);
}

static void fill(struct filled *f, const struct load *load)
{
    struct test_section *whole = section_of(f->schema, load->per);

    for (uint32_t p = 0; p < load->partitions; p++) {
        name_partition(whole, 0, p);
        for (uint32_t i = 0; i < load->per; i++)
            whole->rows.time[i] = i;
        apply(f, whole);
    }
    fixture_section_free(whole);
}

static void fill_scattered(struct filled *f, const struct load *load)
{
    const uint32_t n =
        load->partitions < PARTITIONS_A_SECTION ? load->partitions : PARTITIONS_A_SECTION;
    struct test_section *one = section_of(f->schema, n);
    uint32_t *part = malloc(n * sizeof *part);
    struct varve_span *keys = calloc(n, sizeof *keys);
    uint64_t *hashes = calloc(n, sizeof *hashes);
    uint8_t *bytes = malloc((size_t)n * KEY_BYTES);

    if (part == NULL || keys == NULL || hashes == NULL || bytes == NULL)
        abort();
    free(one->keys);
    free(one->hashes);
    free(one->key_bytes);
    one->section.keys = one->keys = keys;
    one->section.key_hashes = one->hashes = hashes;
    one->section.part = one->part = part;
    one->section.n_keys = n;
    one->key_bytes = bytes;
    for (uint32_t i = 0; i < n; i++)
        part[i] = i;
    for (uint32_t round = 0; round < load->per; round++)
        for (uint32_t first = 0; first + n <= load->partitions; first += n) {
            for (uint32_t i = 0; i < n; i++) {
                name_partition(one, i, first + i);
                one->rows.time[i] = round;
            }
            apply(f, one);
        }
    fixture_section_free(one);
}

static void filled_make(struct filled *f, const struct load *load)
{
    memset(f, 0, sizeof *f);
    varve_heap_init(&f->heap, NULL, UINT64_MAX);
    f->schema = fixture_schema(&f->heap, load->create);
    f->before = varve_heap_used(&f->heap);
    ck_assert_int_eq(varve_memtable_create(&f->heap, f->schema, &f->table, NULL), VARVE_OK);
    if (load->scattered)
        fill_scattered(f, load);
    else
        fill(f, load);
    varve_memtable_publish(f->table);
    ck_assert_uint_eq(varve_memtable_partitions(f->table), load->partitions);
    ck_assert_uint_eq(varve_memtable_rows(f->table), (uint64_t)load->partitions * load->per);
    ck_assert_uint_eq(varve_memtable_bytes(f->table), varve_heap_used(&f->heap) - f->before);
}

static void filled_free(struct filled *f)
{
    varve_memtable_unref(f->table);
    ck_assert_uint_eq(varve_heap_used(&f->heap), f->before);
    varve_schema_unref(f->schema);
}

static const char two_doubles[] =
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, PRIMARY KEY (k, ts))";

START_TEST(a_million_partitions_of_ten_rows_fit_in_400_mib) /* loop test: 1: rows come one by one */
{
    const struct load load = {two_doubles, MILLION, 10, _i == 1};
    struct filled f;

    filled_make(&f, &load);
    const uint64_t bytes = varve_memtable_bytes(f.table);
    run_share("memory: a million partitions of ten rows%s in %.1f MiB",
              _i == 1 ? ", one at a time," : "", (double)bytes / (1 << 20));
    ck_assert_uint_le(bytes, (uint64_t)400 << 20);
    ck_assert(varve_memtable_check(f.table));
    filled_free(&f);
}
END_TEST

static const char *const schemas[] = {
    two_doubles,
    "CREATE TABLE t (k bigint, ts timestamp, a boolean, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, c double, d double, e double, "
    "f double, g double, h double, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, a text, b int, c text, PRIMARY KEY (k, ts))",
    "CREATE TABLE t (k bigint, ts timestamp, n int, u uuid, d decimal, PRIMARY KEY (k, ts, n))",
    "CREATE TABLE t (k bigint, ts timestamp, a double, b double, PRIMARY KEY (k, ts)) "
    "WITH duplicates = 'keep'"};
static const uint32_t rows_each[] = {1, 10, 1000};
#define SCHEMAS ((int)(sizeof schemas / sizeof schemas[0]))
#define ROWS_EACH ((int)(sizeof rows_each / sizeof rows_each[0]))

START_TEST(any_schema_has_at_most_96_bytes_a_partition_and_8_a_row_beyond_its_columns)
{
    const uint32_t per = rows_each[_i / 2 % ROWS_EACH];
    const struct load load = {schemas[_i / 2 / ROWS_EACH], 1000 * (per < 1000 ? 300 / per : 1), per,
                              _i % 2 == 1};
    struct filled f;

    filled_make(&f, &load);
    const uint64_t rows = varve_memtable_rows(f.table);
    const uint64_t bound = f.raw + VARVE_MEMTABLE_PARTITION_BYTES * (uint64_t)load.partitions +
                           VARVE_MEMTABLE_ROW_BYTES * rows + 16 * f.commits + SLACK_BYTES;
    ck_assert_msg(varve_memtable_bytes(f.table) <= bound,
                  "%u partitions of %u rows%s: %zu bytes, bound %llu: %s", load.partitions, per,
                  load.scattered ? ", one at a time" : "", varve_memtable_bytes(f.table),
                  (unsigned long long)bound, load.create);
    filled_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memtable_size");
    TCase *tc = tcase_create("size");

    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, a_million_partitions_of_ten_rows_fit_in_400_mib, 0, 2);
    tcase_add_loop_test(tc,
                        any_schema_has_at_most_96_bytes_a_partition_and_8_a_row_beyond_its_columns,
                        0, 2 * ROWS_EACH * SCHEMAS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
