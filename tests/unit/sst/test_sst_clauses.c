/*
 * test_sst_clauses.c - the small formats inside an SSTable, clause by clause: each row of a table breaks
 * one rule, and the decoder has to object to it (or, where a rule is only just kept, must not). And
 * writing and reading a file of many groups, with every kind of call failing.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index/packed_column.h"
#include "storage/codec/codec.h"
#include "storage/sst/exception_list.h"
#include "storage/sst/sst_format.h"
#include "storage/sst/text_dictionary.h"
#include "tests/unit/sst/sst_maker.h"

/* ---- exceptions ---- */

#define EXCEPTIONS 3

struct exception_lists {
    uint64_t n;
    int64_t row[EXCEPTIONS], column[EXCEPTIONS], exp[EXCEPTIONS], wt[EXCEPTIONS]; /* rows: steps */
    uint8_t tail; /* bytes after it */
    int status;
};

/* 10 rows; columns are 2 to 6, and the marker. */
static const struct exception_lists lists[] = {
    {3, {0, 0, 9}, {2, 6, 3}, {0, 5, UINT32_MAX}, {INT64_MIN, 0, INT64_MAX}, 0, VARVE_OK},
    {3, {0, 0, 9}, {2, 6, VARVE_MARKER_COLUMN}, {0, 0, 0}, {1, 2, 3}, 0, VARVE_OK},
    {2, {0, 0, 9}, {2, 6, 3}, {0}, {0}, 0, VARVE_ECORRUPT},        /* not the number asked for */
    {3, {-1, 1, 1}, {2, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},       /* rows ascend */
    {3, {10, 0, 0}, {2, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},       /* a row beyond the vector */
    {3, {5, 4, 1}, {2, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},        /* the same, by steps */
    {3, {1, 1, 1}, {1, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},        /* a key column */
    {3, {1, 1, 1}, {-1, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},       /* no column */
    {3, {1, 1, 1}, {2, 7, 4}, {0}, {0}, 0, VARVE_ECORRUPT},        /* a column that is not there */
    {3, {1, 0, 1}, {4, 4, 4}, {0}, {0}, 0, VARVE_ECORRUPT},        /* the same cell twice */
    {3, {1, 0, 1}, {4, 3, 4}, {0}, {0}, 0, VARVE_ECORRUPT},        /* columns of a row ascend */
    {3, {1, 1, 1}, {2, 3, 4}, {0, -1, 0}, {0}, 0, VARVE_ECORRUPT}, /* expiry */
    {3, {1, 1, 1}, {2, 3, 4}, {0, 0, (int64_t)UINT32_MAX + 1}, {0}, 0, VARVE_ECORRUPT},
    {3, {1, 1, 1}, {2, 3, 4}, {0}, {0}, 1, VARVE_ECORRUPT}, /* bytes after the end */
};

static void write_lists(const struct exception_lists *list, struct varve_buffer *out)
{
    varve_write_varint(out, list->n);
    varve_packed_write(out, list->row, EXCEPTIONS);
    varve_packed_write(out, list->column, EXCEPTIONS);
    varve_packed_write(out, list->exp, EXCEPTIONS);
    varve_packed_write(out, list->wt, EXCEPTIONS);
    for (uint8_t i = 0; i < list->tail; i++)
        varve_write_u8(out, 0);
}

START_TEST(each_clause_of_a_list_of_exceptions)
{
    struct row_heap heap;
    struct varve_exception out[EXCEPTIONS];
    int64_t scratch[EXCEPTIONS];
    struct varve_buffer bytes;
    uint32_t n;

    row_heap_init(&heap, -1);
    struct varve_schema *schema =
        row_schema(&heap.heap, "CREATE TABLE t (k int, ts timestamp, a int, b int, c int, d int, "
                               "e int, PRIMARY KEY (k, ts))");
    ck_assert_uint_eq(schema->first_value, 2);
    ck_assert_uint_eq(schema->n_columns, 7);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        varve_buffer_init(&bytes, &heap.heap);
        write_lists(&lists[i], &bytes);
        const struct varve_span span = varve_buffer_span(&bytes);
        ck_assert_msg(varve_exceptions_decode(span, schema, 10, scratch, EXCEPTIONS, out, NULL) ==
                          (varve_status)lists[i].status,
                      "clause %zu", i);
        for (size_t cut = 0; cut < span.size && lists[i].status == VARVE_OK; cut++)
            ck_assert_int_eq(varve_exceptions_decode(varve_span_of(span.data, cut), schema, 10,
                                                     scratch, EXCEPTIONS, out, NULL),
                             VARVE_ECORRUPT);
        varve_buffer_free(&bytes);
    }
    /* How many there may be: one, up to one for each cell and marker. */
    static const struct {
        uint64_t n;
        int status;
    } count[] = {{0, VARVE_ECORRUPT}, {1, VARVE_OK}, {60, VARVE_OK}, {61, VARVE_ECORRUPT}};
    for (size_t i = 0; i < 4; i++) {
        varve_buffer_init(&bytes, &heap.heap);
        varve_write_varint(&bytes, count[i].n);
        ck_assert_int_eq(varve_exceptions_count(varve_buffer_span(&bytes), schema, 10, &n, NULL),
                         count[i].status);
        varve_buffer_free(&bytes);
    }
    ck_assert_int_eq(varve_exceptions_count(varve_span_of("", 0), schema, 10, &n, NULL),
                     VARVE_ECORRUPT);
    varve_schema_unref(schema);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

/* ---- row groups ---- */

#define FILE_SIZE 40960u

static const struct varve_sst_group sound[2] = {
    {0, 0, 700, 2, -5, 90, 8192, 100, 7, 4096, 4096},
    {700, 3, 50, 1, 10, 10, 8292, 60, 8, 12288, 100},
};

struct group_clause {
    size_t at, width; /* of the field in the encoded entries */
    uint64_t value;
    int status;
};

static const struct group_clause group_clause[] = {
    {0, 4, 3, VARVE_ECORRUPT},                      /* n against the size */
    {0, 4, 1, VARVE_ECORRUPT},                      /* */
    {4 + 0, 8, 1, VARVE_ECORRUPT},                  /* rows begin with 0 */
    {4 + 8, 8, 1, VARVE_ECORRUPT},                  /* partitions begin with 0 */
    {4 + 16, 4, 0, VARVE_ECORRUPT},                 /* rows */
    {4 + 80 + 16, 4, VARVE_SST_ROWS_MAX, VARVE_OK}, /* just so many */
    {4 + 80 + 16, 4, VARVE_SST_ROWS_MAX + 1, VARVE_ECORRUPT},
    {4 + 20, 4, 0, VARVE_ECORRUPT},                       /* vectors */
    {4 + 80 + 20, 4, 50, VARVE_OK},                       /* one a row */
    {4 + 80 + 20, 4, 51, VARVE_ECORRUPT},                 /* more than rows */
    {4 + 24, 8, 91, VARVE_ECORRUPT},                      /* first time after the last */
    {4 + 40, 8, 4095, VARVE_ECORRUPT},                    /* index within the header */
    {4 + 40, 8, FILE_SIZE - 99, VARVE_ECORRUPT},          /* index beyond the file */
    {4 + 40, 8, UINT64_MAX, VARVE_ECORRUPT},              /* */
    {4 + 48, 4, VARVE_SST_BLOCK_MAX + 1, VARVE_ECORRUPT}, /* index too large */
    {4 + 52, 4, 1, VARVE_ECORRUPT},                       /* reserved */
    {4 + 64, 8, 0, VARVE_ECORRUPT},                       /* data within the header */
    {4 + 64, 8, FILE_SIZE - 4095, VARVE_ECORRUPT},        /* data beyond the file */
    {4 + 72, 8, UINT64_MAX, VARVE_ECORRUPT},              /* */
    {4 + 80, 8, 699, VARVE_ECORRUPT},                     /* rows without a gap */
    {4 + 80, 8, 701, VARVE_ECORRUPT},                     /* */
    {4 + 80 + 8, 8, 0, VARVE_OK},                         /* a partition may go on */
    {4 + 80 + 8, 8, UINT64_MAX, VARVE_OK},                /* judged against the directory, later */
};

START_TEST(each_clause_of_the_row_groups)
{
    struct row_heap heap;
    struct varve_buffer bytes;
    struct varve_sst_group *back;
    uint32_t n;

    row_heap_init(&heap, -1);
    varve_buffer_init(&bytes, &heap.heap);
    varve_sst_groups_encode(sound, 2, &bytes);
    const struct varve_span span = varve_buffer_span(&bytes);
    ck_assert_int_eq(varve_sst_groups_decode(span, FILE_SIZE, &heap.heap, &back, &n, NULL),
                     VARVE_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(back[1].first_partition, 3);
    ck_assert_uint_eq(back[1].data_size, 100);
    varve_sst_groups_free(back, n, &heap.heap);
    for (size_t i = 0; i < sizeof group_clause / sizeof *group_clause; i++) {
        uint8_t copy[200];
        memcpy(copy, span.data, span.size);
        for (size_t b = 0; b < group_clause[i].width; b++)
            copy[group_clause[i].at + b] = (uint8_t)(group_clause[i].value >> 8 * b);
        const varve_status rc = varve_sst_groups_decode(varve_span_of(copy, span.size), FILE_SIZE,
                                                        &heap.heap, &back, &n, NULL);
        ck_assert_msg(rc == (varve_status)group_clause[i].status, "clause %zu: %d", i, rc);
        if (rc == VARVE_OK)
            varve_sst_groups_free(back, n, &heap.heap);
    }
    for (size_t cut = 0; cut < span.size; cut++)
        ck_assert_int_eq(varve_sst_groups_decode(varve_span_of(span.data, cut), FILE_SIZE,
                                                 &heap.heap, &back, &n, NULL),
                         VARVE_ECORRUPT);
    static const uint8_t none[4] = {0}; /* a file without rows */
    n = 9;
    ck_assert_int_eq(
        varve_sst_groups_decode(varve_span_of(none, 4), FILE_SIZE, &heap.heap, &back, &n, NULL),
        VARVE_OK);
    ck_assert_uint_eq(n, 0);
    heap.fail_at = heap.calls;
    ck_assert_int_eq(varve_sst_groups_decode(span, FILE_SIZE, &heap.heap, &back, &n, NULL),
                     VARVE_ENOMEM);
    heap.fail_at = -1;
    varve_buffer_free(&bytes);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

/* ---- properties ---- */

static const struct {
    const char *bytes;
    size_t size;
    int status;
} property[] = {
    {"", 0, VARVE_OK}, /* all of them default */
    {"\x03\x10"
     "0123456789abcdef",
     18, VARVE_OK}, /* uuid */
    {"\x03\x0f"
     "0123456789abcde",
     17, VARVE_ECORRUPT}, /* too short */
    {"\x03\x11"
     "0123456789abcdefg",
     19, VARVE_ECORRUPT},                                /* too long */
    {"\x05\x05\xff\xff\xff\xff\x0f", 7, VARVE_OK},       /* table_id: 2^32 - 1 */
    {"\x05\x05\x80\x80\x80\x80\x10", 7, VARVE_ECORRUPT}, /* 2^32 */
    {"\x05\x02\x01\x00", 4, VARVE_ECORRUPT},             /* a byte after the number */
    {"\x05\x01\x80", 3, VARVE_ECORRUPT},                 /* a number without its end */
    {"\x05\x02\x01", 3, VARVE_ECORRUPT},                 /* a value without its end */
    {"\x05", 1, VARVE_ECORRUPT},                         /* a tag without a value */
    {"\x05\x01\x01\x05\x01\x01", 6, VARVE_ECORRUPT},     /* a tag twice */
    {"\x07\x01\x01\x05\x01\x01", 6, VARVE_ECORRUPT},     /* tags ascend */
    {"\x01\x01\x01", 3, VARVE_ECORRUPT},                 /* there is no tag 0 */
    {"\xfe\x07\x01\x01", 4, VARVE_OK},                   /* unknown, may be skipped */
    {"\xff\x07\x01\x01", 4, VARVE_EVERSION},             /* unknown, must be understood */
};

START_TEST(each_clause_of_the_properties)
{
    struct row_heap heap;
    struct varve_sst_properties back;

    row_heap_init(&heap, -1);
    for (size_t i = 0; i < sizeof property / sizeof *property; i++) {
        const varve_status rc = varve_sst_properties_decode(
            varve_span_of(property[i].bytes, property[i].size), &heap.heap, &back, NULL);
        ck_assert_msg(rc == (varve_status)property[i].status, "clause %zu: %d", i, rc);
        if (rc == VARVE_OK)
            varve_sst_properties_free(&back, &heap.heap);
    }
    /* Keys: the first is not after the last, and there is one if there are partitions. */
    struct varve_sst_properties p;
    static const struct {
        const char *first, *last;
        uint64_t partitions;
        int status;
    } keys[] = {{"a", "b", 2, VARVE_OK},
                {"a", "a", 1, VARVE_OK},
                {"b", "a", 2, VARVE_ECORRUPT},
                {"", "", 0, VARVE_OK},
                {"", "b", 1, VARVE_ECORRUPT}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct varve_buffer out;
        memset(&p, 0, sizeof p);
        p.partitions = keys[i].partitions;
        p.first_key = varve_span_of(keys[i].first, strlen(keys[i].first));
        p.last_key = varve_span_of(keys[i].last, strlen(keys[i].last));
        varve_buffer_init(&out, &heap.heap);
        varve_sst_properties_encode(&p, true, &out);
        for (long fail = 0; fail < 3; fail++) { /* the copies of the keys may find no memory */
            heap.fail_at = heap.calls + fail;
            heap.fired = false;
            const varve_status rc =
                varve_sst_properties_decode(varve_buffer_span(&out), &heap.heap, &back, NULL);
            if (heap.fired)
                ck_assert_int_eq(rc, VARVE_ENOMEM);
            else
                ck_assert_msg(rc == (varve_status)keys[i].status, "keys %zu: %d", i, rc);
            if (rc == VARVE_OK)
                varve_sst_properties_free(&back, &heap.heap);
        }
        heap.fail_at = -1;
        varve_buffer_free(&out);
    }
    varve_sst_properties_free(NULL, &heap.heap);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

/* ---- dictionaries ---- */

START_TEST(each_clause_of_a_dictionary)
{
    static const struct {
        uint64_t n;
        int64_t lengths[3]; /* of min(n, 3) entries */
        int64_t bytes;      /* of text */
        int status;
    } clause[] = {
        {3, {1, 2, 3}, 6, VARVE_OK},
        {1, {0}, 0, VARVE_OK},
        {0, {0}, 0, VARVE_ECORRUPT}, /* no entry */
        {VARVE_DICTIONARY_ENTRIES_MAX + 1, {1, 1, 1}, 3, VARVE_ECORRUPT},
        {3, {1, -1, 3}, 3, VARVE_ECORRUPT},                         /* a negative length */
        {3, {1, 2, VARVE_DICTIONARY_BYTES_MAX}, 6, VARVE_ECORRUPT}, /* too long together */
        {3, {1, 2, 4}, 6, VARVE_ECORRUPT},                          /* less text than lengths */
        {3, {1, 2, 2}, 6, VARVE_ECORRUPT},                          /* more text than lengths */
    };
    struct row_heap heap;
    struct varve_buffer out, parsed;

    row_heap_init(&heap, -1);
    for (size_t i = 0; i < sizeof clause / sizeof *clause; i++) {
        varve_buffer_init(&out, &heap.heap);
        varve_buffer_init(&parsed, &heap.heap);
        varve_write_varint(&out, clause[i].n);
        varve_packed_write(&out, clause[i].lengths, clause[i].n < 3 ? (uint32_t)clause[i].n : 3);
        ck_assert_int_ge(
            varve_text_pack(varve_span_of("abcdef", (size_t)clause[i].bytes), &out, NULL), 0);
        ck_assert_msg(varve_dictionary_decode(varve_buffer_span(&out), &parsed, NULL) ==
                          (varve_status)clause[i].status,
                      "clause %zu", i);
        varve_buffer_free(&parsed);
        varve_buffer_free(&out);
    }
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

/* ---- calls that fail ---- */

/* Several groups and extents, dictionaries, exceptions, every section. */
static void make_large(struct sst_model *m)
{
    sst_model_init(m, row_table_all_types, 6);
    for (int i = 0; i < 40; i++)
        sst_model_add(m, 4, SST_WILD);
    sst_model_add(m, 1100, SST_WILD);
    sst_model_add(m, 300, SST_WILD);
}

START_TEST(failed_allocations_of_a_large_file_are_survived)
{
    struct sst_model m;
    bool fired = true;

    make_large(&m);
    /* Each of the first ones, then ever fewer; three loops take different ones. */
    for (long n = _i; fired; n += 3 + n / 24) {
        struct sst_disk d;

        sst_disk_init(&d, 1 << 16);
        d.heap.fail_at = d.heap.calls + n;
        const varve_status rc = sst_model_whole_story(&m, &d, 512, true);
        fired = d.heap.fired;
        if (fired ? rc != VARVE_ENOMEM && rc != VARVE_OK : rc != VARVE_OK)
            ck_abort_msg("%d after failing allocation %ld", rc, n);
        d.heap.fail_at = -1;
        varve_cache_drop_file(d.cache, 1);
        sst_disk_free(&d);
    }
    sst_model_free(&m);
}
END_TEST

START_TEST(failed_operations_of_a_large_file_are_survived)
{
    struct sst_model m;
    uint64_t hits = 1;

    make_large(&m);
    for (uint64_t n = 1; hits > 0; n += 1 + n / 8) {
        struct sst_disk d;

        sst_disk_init(&d, 1 << 16);
        ck_assert_int_eq(varve_sim_fault_nth(d.sim, n, _i == 1, EIO), 0);
        const varve_status rc = sst_model_whole_story(&m, &d, 512, true);
        hits = varve_sim_fault_hits(d.sim);
        if (hits == 0 ? rc != VARVE_OK : rc < 0 && rc != VARVE_EIO && rc != VARVE_ECORRUPT)
            ck_abort_msg("%d at operation %llu", rc, (unsigned long long)n);
        if (varve_sim_violation(d.sim) != NULL)
            ck_abort_msg("%s", varve_sim_violation(d.sim));
        sst_disk_free(&d);
    }
    sst_model_free(&m);
}
END_TEST

START_TEST(a_writer_counts_and_refuses)
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst_writer *writer;
    struct varve_sst_properties p;
    uint8_t key[VARVE_KEY_BYTES_MAX + 1] = {1};

    sst_model_init(&m, sst_table_bars, 1);
    sst_model_add(&m, 10, SST_PLAIN);
    sst_disk_init(&d, 0);
    struct varve_sst_writer_options options = {.schema = m.schema,
                                               .row_group_rows = 1u << 30,
                                               .row_group_bytes = 1 << 20,
                                               .expected_partitions = 5};
    options.given.table_id = 99;
    options.given.schema_version = 5;
    options.given.kind = VARVE_SST_DATA;
    ck_assert_int_eq(varve_sst_writer_open(d.vfs, SST_NAME, &options, &d.heap.heap, &writer, NULL),
                     VARVE_OK);
    ck_assert_uint_eq(varve_sst_writer_rows(writer), 0);
    ck_assert_int_eq(varve_sst_writer_begin_partition(writer, varve_span_of(key, 0), NULL),
                     VARVE_EINVAL);
    varve_sst_writer_abort(writer);
    varve_sst_writer_abort(NULL);
    ck_assert_int_eq(varve_sst_writer_open(d.vfs, SST_NAME, &options, &d.heap.heap, &writer, NULL),
                     VARVE_OK);
    ck_assert_int_eq(
        varve_sst_writer_begin_partition(writer, varve_span_of(key, VARVE_KEY_BYTES_MAX + 1), NULL),
        VARVE_EINVAL);
    varve_sst_writer_abort(writer);
    ck_assert_int_eq(varve_sst_writer_open(d.vfs, SST_NAME, &options, &d.heap.heap, &writer, NULL),
                     VARVE_OK);
    ck_assert_int_eq(varve_sst_writer_begin_partition(writer, varve_span_of("\1", 1), NULL),
                     VARVE_OK); /* it stays empty, and leaves no trace */
    ck_assert_int_eq(varve_sst_writer_begin_partition(
                         writer, varve_span_of(m.parts[0].key, m.parts[0].key_size), NULL),
                     VARVE_OK);
    ck_assert_int_eq(varve_sst_writer_append(writer, &m.parts[0].rows.rows, 0, 0, NULL), VARVE_OK);
    ck_assert_int_eq(varve_sst_writer_append(writer, &m.parts[0].rows.rows, 0, 10, NULL), VARVE_OK);
    const uint64_t bytes = varve_sst_writer_bytes(writer);
    ck_assert_int_eq(varve_sst_writer_finish(writer, &p, NULL), VARVE_OK);
    ck_assert_uint_le(bytes, p.file_size);
    ck_assert_uint_eq(p.rows, 10);
    ck_assert_uint_eq(p.partitions, 1);
    ck_assert_uint_eq(p.table_id, 99);
    ck_assert_uint_eq(p.schema_version, 5);
    varve_sst_properties_free(&p, &d.heap.heap);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sst_clauses");
    TCase *tc = tcase_create("sst_clauses");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, each_clause_of_a_list_of_exceptions);
    tcase_add_test(tc, each_clause_of_the_row_groups);
    tcase_add_test(tc, each_clause_of_the_properties);
    tcase_add_test(tc, each_clause_of_a_dictionary);
    tcase_add_loop_test(tc, failed_allocations_of_a_large_file_are_survived, 0, 3);
    tcase_add_loop_test(tc, failed_operations_of_a_large_file_are_survived, 0, 2);
    tcase_add_test(tc, a_writer_counts_and_refuses);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
