/*
 * test_manifest_format.c - manifest_format.c and version.c: headers, edits, operations. One test a
 * clause; what a checksum would object to first is not under one here.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest_fixture.h"
#include "storage/base/checksum.h"
#include "tests/lib/format_clause.h"
#include "tests/lib/run_share.h"

/* ------------------------------------------------------------------------------------- Header */

static struct varve_manifest_header header_good(void)
{
    struct varve_manifest_header h = {.generation = 7,
                                      .snapshot_pages = 2,
                                      .snapshot_size = 5000,
                                      .snapshot_hash = 0x1122334455667788,
                                      .version = 99,
                                      .read_compatible = 4,
                                      .compatible = 5,
                                      .file_pages = 71};
    memset(h.uuid, 0xAA, sizeof h.uuid);
    memset(h.store_uuid, 0xBB, sizeof h.store_uuid);
    return h;
}

START_TEST(header_comes_back)
{
    const struct varve_manifest_header h = header_good();
    struct varve_manifest_header got;
    uint8_t bytes[VARVE_MANIFEST_HEADER_SIZE];

    varve_manifest_header_encode(&h, bytes);
    ck_assert_mem_eq(bytes, "VARVEMAN", 8);
    ck_assert_int_eq(varve_manifest_header_decode(varve_span_of(bytes, sizeof bytes), &got),
                     VARVE_OK);
    ck_assert_mem_eq(got.uuid, h.uuid, 16);
    ck_assert_mem_eq(got.store_uuid, h.store_uuid, 16);
    ck_assert_uint_eq(got.generation, 7);
    ck_assert_uint_eq(got.snapshot_pages, 2);
    ck_assert_uint_eq(got.snapshot_size, 5000);
    ck_assert_uint_eq(got.snapshot_hash, h.snapshot_hash);
    ck_assert_uint_eq(got.version, 99);
    ck_assert_uint_eq(got.incompatible, 0);
    ck_assert_uint_eq(got.read_compatible, 4);
    ck_assert_uint_eq(got.compatible, 5);
    ck_assert_uint_eq(got.file_pages, 71);
}
END_TEST

static const struct format_clause header_clause[] = {
    {0, 1, 'X', VARVE_ECORRUPT}, /* magic */
    {7, 1, 'X', VARVE_ECORRUPT}, /* to its end */
    {8, 2, 0, VARVE_ECORRUPT},   /* major 0 was never written */
    {8, 2, 2, VARVE_EVERSION},   /* major of a newer version */
    {10, 2, 9, VARVE_OK},        /* a newer minor is read */
    {12, 4, 1, VARVE_ECORRUPT},  /* too few pages for the snapshot */
    {12, 4, 3, VARVE_ECORRUPT},  /* more than it needs */
    {48, 8, 0, VARVE_ECORRUPT},  /* generation */
    {56, 8, 0, VARVE_ECORRUPT},  /* an empty snapshot */
    {56, 8, 4032, VARVE_ECORRUPT} /* fits into one page */,
    {56, 8, 4033, VARVE_OK},
    {56, 8, 8064, VARVE_OK},
    {56, 8, 8065, VARVE_ECORRUPT},            /* takes three */
    {56, 8, UINT64_MAX, VARVE_ECORRUPT},      /* above the limit */
    {80, 8, 1, VARVE_EVERSION},               /* a feature that must be understood */
    {88, 8, UINT64_C(1) << 63, VARVE_OK},     /* one that only a writer must understand */
    {96, 8, UINT64_MAX, VARVE_OK},            /* ones that nobody must */
    {104, 4, 6, VARVE_ECORRUPT},              /* smaller than both snapshots and seals */
    {104, 4, 7, VARVE_OK},                    /* no room for edits */
    {104, 4, (1u << 21) + 1, VARVE_ECORRUPT}, /* above the limit */
    {108, 1, 1, VARVE_ECORRUPT},              /* reserved */
    {127, 1, 1, VARVE_ECORRUPT},
};

START_TEST(header_each_clause_alone)
{
    const struct varve_manifest_header h = header_good();
    struct varve_manifest_header got;
    uint8_t bytes[VARVE_MANIFEST_HEADER_SIZE];

    varve_manifest_header_encode(&h, bytes);
    format_clause_write(&header_clause[_i], bytes);
    ck_assert_int_eq(varve_manifest_header_decode(varve_span_of(bytes, sizeof bytes), &got),
                     header_clause[_i].expect);
}
END_TEST

START_TEST(header_has_its_size_and_a_uuid)
{
    const struct varve_manifest_header h = header_good();
    struct varve_manifest_header got;
    uint8_t bytes[VARVE_MANIFEST_HEADER_SIZE + 1] = {0};

    varve_manifest_header_encode(&h, bytes);
    for (size_t n = 0; n <= sizeof bytes; n++)
        ck_assert_int_eq(varve_manifest_header_decode(varve_span_of(bytes, n), &got),
                         n == VARVE_MANIFEST_HEADER_SIZE ? VARVE_OK : VARVE_ECORRUPT);
    memset(bytes + 16, 0, 16);
    ck_assert_int_eq(
        varve_manifest_header_decode(varve_span_of(bytes, VARVE_MANIFEST_HEADER_SIZE), &got),
        VARVE_ECORRUPT);
}
END_TEST

/* --------------------------------------------------------------------------------------- Edit */

static const struct format_clause edit_clause[] = {
    {0, 4, 0, VARVE_ECORRUPT}, /* no operations */
    {0, 4, 1, VARVE_OK},
    {0, 4, 64u << 20, VARVE_OK},
    {0, 4, (64u << 20) + 1, VARVE_ECORRUPT}, /* above the limit */
    {4, 4, 0, VARVE_ECORRUPT},
    {4, 4, 2, VARVE_OK},
    {4, 4, 3, VARVE_ECORRUPT},
    {24, 1, 1, VARVE_ECORRUPT}, /* reserved */
    {31, 1, 1, VARVE_ECORRUPT},
};

START_TEST(edit_each_clause_alone)
{
    const struct varve_manifest_edit e = {.size = 100, .copy = 1, .version = 5, .hash = 77};
    struct varve_manifest_edit got;
    uint8_t bytes[VARVE_MANIFEST_EDIT_SIZE];

    varve_manifest_edit_encode(&e, bytes);
    format_clause_write(&edit_clause[_i], bytes);
    ck_assert_int_eq(varve_manifest_edit_decode(varve_span_of(bytes, sizeof bytes), &got),
                     edit_clause[_i].expect);
}
END_TEST

START_TEST(edit_comes_back_and_has_its_size)
{
    const struct varve_manifest_edit e = {.size = 100, .copy = 2, .version = 5, .hash = 77};
    struct varve_manifest_edit got;
    uint8_t bytes[VARVE_MANIFEST_EDIT_SIZE];

    varve_manifest_edit_encode(&e, bytes);
    for (size_t n = 0; n < sizeof bytes; n++)
        ck_assert_int_eq(varve_manifest_edit_decode(varve_span_of(bytes, n), &got), VARVE_ECORRUPT);
    ck_assert_int_eq(varve_manifest_edit_decode(varve_span_of(bytes, sizeof bytes), &got),
                     VARVE_OK);
    ck_assert_uint_eq(got.size, 100);
    ck_assert_uint_eq(got.copy, 2);
    ck_assert_uint_eq(got.version, 5);
    ck_assert_uint_eq(got.hash, 77);
}
END_TEST

/* --------------------------------------------------------------------------------- Operations */

/* A state of every kind of operation, and the operations that make it. */
struct whole {
    struct rig rig;
    struct varve_manifest *manifest;
    struct varve_version *version;
    struct varve_heap heap;
    struct varve_buffer ops;
};

static void whole_init(struct whole *w, uint32_t edits)
{
    rig_init(&w->rig, 4);
    must(varve_manifest_create(w->rig.vfs, &w->rig.heap, &w->manifest, NULL) == VARVE_OK);
    for (uint32_t i = 0; i < edits; i++)
        must(sample_apply(w->manifest, &w->rig, i) == VARVE_OK);
    w->version = varve_manifest_version(w->manifest);
    varve_heap_init(&w->heap, NULL, UINT64_MAX);
    varve_buffer_init(&w->ops, &w->heap);
    varve_manifest_ops_of_version(w->version, &w->ops);
    must(!w->ops.failed);
}

static void whole_free(struct whole *w)
{
    varve_buffer_free(&w->ops);
    varve_version_unref(w->version);
    varve_manifest_close(w->manifest);
    rig_free(&w->rig);
}

/* Apply bytes to nothing (or to a copy of `to`). */
static varve_status applied(struct varve_heap *heap, const struct varve_version *to,
                            struct varve_span ops, varve_error *err)
{
    struct varve_version *v = to == NULL ? varve_version_new(heap) : varve_version_clone(to);

    if (v == NULL)
        return VARVE_ENOMEM;
    const varve_status rc = varve_manifest_ops_apply(ops, v, err);
    varve_version_unref(v);
    return rc;
}

START_TEST(operations_of_a_state_make_that_state)
{
    for (uint32_t edits = 0; edits <= SAMPLE_EDITS; edits++) {
        struct whole w;
        whole_init(&w, edits);
        struct varve_version *v = varve_version_new(&w.heap);
        ck_assert_int_eq(varve_manifest_ops_apply(varve_buffer_span(&w.ops), v, NULL), VARVE_OK);
        v->number = w.version->number;
        ck_assert_uint_eq(state_hash(v), state_hash(w.version));
        varve_version_unref(v);
        ck_assert_uint_eq(varve_heap_used(&w.heap), w.ops.capacity);
        whole_free(&w);
    }
}
END_TEST

START_TEST(a_snapshot_has_a_greatest_size)
{
    struct whole w;
    struct varve_buffer out;
    varve_error err = {0};

    whole_init(&w, SAMPLE_EDITS);
    for (int more = -1; more < 2; more++) {
        varve_buffer_init(&out, &w.heap);
        const varve_status rc = varve_manifest_snapshot_encode(
            w.version, (uint64_t)((int64_t)w.ops.size + more), &out, &err);
        ck_assert_int_eq(rc, more < 0 ? VARVE_EINVAL : VARVE_OK);
        varve_buffer_free(&out);
    }
    struct varve_heap none;
    varve_heap_init(&none, NULL, 16);
    varve_buffer_init(&out, &none);
    ck_assert_int_eq(varve_manifest_snapshot_encode(w.version, UINT64_MAX, &out, &err),
                     VARVE_ENOMEM);
    ck_assert_int_eq(err.status, VARVE_ENOMEM);
    varve_buffer_free(&out);
    whole_free(&w);
}
END_TEST

START_TEST(operations_cut_anywhere_fail_or_end_between_two)
{
    struct whole w;
    uint32_t whole_ones = 0;

    whole_init(&w, SAMPLE_EDITS);
    const uint64_t before = varve_heap_used(&w.heap);
    for (size_t n = 0; n < w.ops.size; n++) {
        const varve_status rc = applied(&w.heap, NULL, varve_span_of(w.ops.data, n), NULL);
        must(rc == VARVE_OK || rc == VARVE_ECORRUPT);
        whole_ones += rc == VARVE_OK;
    }
    ck_assert_uint_lt(whole_ones, 100); /* as many as there are operations */
    ck_assert_uint_gt(whole_ones, 5);
    ck_assert_uint_eq(varve_heap_used(&w.heap), before);
    whole_free(&w);
}
END_TEST

START_TEST(operations_with_any_bit_flipped_are_total)
{
    struct whole w;

    whole_init(&w, SAMPLE_EDITS);
    const uint64_t before = varve_heap_used(&w.heap);
    const size_t stride = run_is_full() ? 1 : 7;
    for (size_t bit = 0; bit < w.ops.size * 8; bit += stride) {
        w.ops.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const varve_status rc = applied(&w.heap, NULL, varve_buffer_span(&w.ops), NULL);
        must(rc == VARVE_OK || rc == VARVE_ECORRUPT || rc == VARVE_EVERSION);
        w.ops.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(varve_heap_used(&w.heap), before);
    whole_free(&w);
}
END_TEST

/* Each breaks one clause, given to the state after six samples. Tag * 2 + 1, size, body. */
static const struct {
    const char *what;
    varve_status expect;
    uint8_t size;
    uint8_t bytes[56];
} op_clause[] = {
    {"nothing", VARVE_OK, 0, {0}},
    {"unknown, to be skipped", VARVE_OK, 4, {0xc8, 1, 1, 99}},
    {"unknown, to be understood", VARVE_EVERSION, 4, {0xc9, 1, 1, 99}},
    {"tag 0", VARVE_EVERSION, 2, {1, 0}},
    {"tag 0, to be skipped", VARVE_OK, 2, {0, 0}},
    {"size above what there is", VARVE_ECORRUPT, 3, {21, 2, 5}},
    {"size in a longer varint than needed", VARVE_ECORRUPT, 4, {21, 0x81, 0, 5}},
    {"a second identity", VARVE_ECORRUPT, 18, {3, 16, 1, 2, 3}},
    {"schema of no bytes", VARVE_ECORRUPT, 2, {5, 0}},
    {"drop of a table that is not there", VARVE_ECORRUPT, 3, {7, 1, 9}},
    {"drop of a table", VARVE_OK, 3, {7, 1, 2}},
    {"table id above 32 bits", VARVE_ECORRUPT, 7, {7, 5, 0x82, 0x80, 0x80, 0x80, 0x10}},
    {"bytes behind the operation", VARVE_ECORRUPT, 4, {7, 2, 2, 0}},
    {"marks", VARVE_OK, 6, {9, 4, 1, 5, 1, 1}},
    {"marks cut short", VARVE_ECORRUPT, 5, {9, 3, 1, 5, 1}},
    {"marks of no table", VARVE_ECORRUPT, 6, {9, 4, 8, 5, 1, 1}},
    {"marks' table above 32 bits",
     VARVE_ECORRUPT,
     10,
     {9, 8, 0x81, 0x80, 0x80, 0x80, 0x10, 5, 1, 1}},
    {"file without properties", VARVE_ECORRUPT, 4, {11, 2, 20, 0}},
    {"file cut short", VARVE_ECORRUPT, 3, {11, 1, 20}},
    {"file", VARVE_OK, 7, {11, 5, 20, 0, 5, 1, 1}},
    {"file of no table", VARVE_ECORRUPT, 7, {11, 5, 20, 0, 5, 1, 7}},
    {"file 0", VARVE_ECORRUPT, 7, {11, 5, 0, 0, 5, 1, 1}},
    {"file that is there", VARVE_ECORRUPT, 7, {11, 5, 11, 0, 5, 1, 1}},
    {"file that is there, in another table", VARVE_ECORRUPT, 7, {11, 5, 11, 0, 5, 1, 2}},
    {"file with a segment's id", VARVE_ECORRUPT, 7, {11, 5, 2, 0, 5, 1, 1}},
    {"file id not given out yet", VARVE_ECORRUPT, 8, {11, 6, 0xc8, 1, 0, 5, 1, 1}},
    {"drop of a file", VARVE_OK, 3, {13, 1, 11}},
    {"drop of no file", VARVE_ECORRUPT, 3, {13, 1, 20}},
    {"segment", VARVE_OK, 38, {15, 36, 3, 1, 2, 3, [19] = 5, [27] = 8, 0, 0}},
    {"segment 0", VARVE_ECORRUPT, 38, {15, 36, 0, 1, 2, 3, [19] = 5, [27] = 8, 0, 0}},
    {"segment of no bytes", VARVE_ECORRUPT, 38, {15, 36, 3, 1, 2, 3, [19] = 5, [27] = 0, 0, 0}},
    {"segment without uuid", VARVE_ECORRUPT, 38, {15, 36, 3, [19] = 5, [27] = 8, 0, 0}},
    {"segment with a file's id", VARVE_ECORRUPT, 38, {15, 36, 11, 1, [19] = 5, [27] = 8, 0, 0}},
    {"segment neither sealed nor open",
     VARVE_ECORRUPT,
     38,
     {15, 36, 3, 1, [19] = 5, [27] = 8, 2, 9}},
    {"segment sealed", VARVE_OK, 38, {15, 36, 3, 1, [19] = 5, [27] = 8, 1, 9}},
    {"segment that ends before it begins",
     VARVE_ECORRUPT,
     38,
     {15, 36, 3, 1, [19] = 5, [27] = 8, 1, 4}},
    {"segment cut short", VARVE_ECORRUPT, 37, {15, 35, 3, 1, [19] = 5, [27] = 8, 1, 9}},
    {"drop of a segment", VARVE_OK, 3, {17, 1, 1}},
    {"drop of no segment", VARVE_ECORRUPT, 3, {17, 1, 9}},
    {"kept segment", VARVE_OK, 5, {31, 3, 3, 4, 9}},
    {"kept segment 0", VARVE_ECORRUPT, 5, {31, 3, 0, 4, 9}},
    {"kept segment that is one of the log", VARVE_ECORRUPT, 5, {31, 3, 2, 4, 9}},
    {"kept segment with a file's id", VARVE_ECORRUPT, 5, {31, 3, 11, 4, 9}},
    {"kept segment, id not given out yet", VARVE_ECORRUPT, 6, {31, 4, 0xc8, 1, 4, 9}},
    {"kept segment of an empty range", VARVE_ECORRUPT, 5, {31, 3, 3, 4, 4}},
    {"kept segment cut short", VARVE_ECORRUPT, 4, {31, 2, 3, 4}},
    {"kept segment, lsn too large",
     VARVE_ECORRUPT,
     13,
     {31, 11, 3, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}},
    {"kept segment, twice", VARVE_ECORRUPT, 10, {31, 3, 3, 4, 9, 31, 3, 3, 4, 9}},
    {"kept segment that comes back",
     VARVE_ECORRUPT,
     43,
     {31, 3, 3, 4, 9, 15, 36, 3, 1, 2, 3, [24] = 5, [32] = 8, 0, 0}},
    {"file with a kept segment's id", VARVE_ECORRUPT, 12, {31, 3, 20, 4, 9, 11, 5, 20, 0, 5, 1, 1}},
    {"kept segment let go", VARVE_OK, 8, {31, 3, 3, 4, 9, 33, 1, 3}},
    {"the second of two kept segments let go",
     VARVE_OK,
     13,
     {31, 3, 3, 4, 9, 31, 3, 4, 4, 9, 33, 1, 4}},
    {"let go of no segment", VARVE_ECORRUPT, 3, {33, 1, 3}},
    {"replay", VARVE_OK, 16, {19, 14, 1, 2, 3, [13] = 0, 0, 0}},
    {"replay, epochs it has no bytes for", VARVE_ECORRUPT, 16, {19, 14, 1, 2, 3, [13] = 0, 1, 0}},
    {"replay, origins it has no bytes for", VARVE_ECORRUPT, 16, {19, 14, 1, 2, 3, [13] = 0, 0, 1}},
    {"replay, 2^63 epochs",
     VARVE_ECORRUPT,
     25,
     {19, 23, 1, 2, 3, [13] = 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}},
    {"replay, epoch", VARVE_OK, 18, {19, 16, 1, 2, 3, [13] = 0, 1, 5, 6, 0}},
    {"replay, epoch, then cut short", VARVE_ECORRUPT, 17, {19, 15, 1, 2, 3, [13] = 0, 1, 5, 6}},
    {"replay, origin", VARVE_OK, 27, {19, 25, 1, 2, 3, [13] = 0, 0, 1, 1, 2, 3}},
    {"replay, origin above 32 bits",
     VARVE_ECORRUPT,
     31,
     {19, 29, 1, 2, 3, [13] = 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 2, 3}},
    {"replay, last lsn", VARVE_OK, 24, {19,   22,   0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0x3f, 2,    3,    0,    0,    0,
                                        0,    0,    0,    0,    0,    0,    0,    0}},
    {"replay, index: last lsn", VARVE_OK, 24, {19,   22,   1,    0xff, 0xff, 0xff, 0xff, 0xff,
                                               0xff, 0xff, 0xff, 0x3f, 3,    0,    0,    0,
                                               0,    0,    0,    0,    0,    0,    0,    0}},
    {"replay, term: last lsn", VARVE_OK, 24, {19,   22,   1,    2,    0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0,    0,
                                              0,    0,    0,    0,    0,    0,    0,    0}},
    {"replay, epoch: last lsn", VARVE_OK, 26, {19,   24,   1,    2,    3,    0,    0,    0,    0,
                                               0,    0,    0,    0,    0,    1,    0xff, 0xff, 0xff,
                                               0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 6,    0}},
    {"replay, first index: last lsn", VARVE_OK, 26, {19,   24,   1,    2,    3,    0,    0,
                                                     0,    0,    0,    0,    0,    0,    0,
                                                     1,    5,    0xff, 0xff, 0xff, 0xff, 0xff,
                                                     0xff, 0xff, 0xff, 0x3f, 0}},
    {"durable: last lsn",
     VARVE_OK,
     11,
     {21, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f}},
    {"next file: last lsn",
     VARVE_OK,
     11,
     {27, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f}},
    {"replay, lsn at the end", VARVE_ECORRUPT, 24, {19,   22,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                                    0x80, 0x80, 0x40, 2,    3,    0,    0,    0,
                                                    0,    0,    0,    0,    0,    0,    0,    0}},
    {"replay, index: lsn at the end", VARVE_ECORRUPT, 24, {19,   22,   1,    0x80, 0x80, 0x80,
                                                           0x80, 0x80, 0x80, 0x80, 0x80, 0x40,
                                                           3,    0,    0,    0,    0,    0,
                                                           0,    0,    0,    0,    0,    0}},
    {"replay, term: lsn at the end", VARVE_ECORRUPT, 24, {19,   22,   1,    2,    0x80, 0x80,
                                                          0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                                          0x40, 0,    0,    0,    0,    0,
                                                          0,    0,    0,    0,    0,    0}},
    {"replay, epoch: lsn at the end", VARVE_ECORRUPT, 26, {19,   24,   1,    2,    3,    0,    0,
                                                           0,    0,    0,    0,    0,    0,    0,
                                                           1,    0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                                           0x80, 0x80, 0x40, 6,    0}},
    {"replay, first index: lsn at the end",
     VARVE_ECORRUPT,
     26,
     {19, 24, 1, 2,    3,    0,    0,    0,    0,    0,    0,    0,    0,
      0,  1,  5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0}},
    {"durable: lsn at the end",
     VARVE_ECORRUPT,
     11,
     {21, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}},
    {"next file: lsn at the end",
     VARVE_ECORRUPT,
     11,
     {27, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}},
    {"replay, greatest time", VARVE_OK, 24, {19,   22,   1,    2,    3,    0,    0,    0,
                                             0,    0,    0,    0,    0,    0xfe, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0}},
    {"clock, greatest time", VARVE_OK, 28, {23,   26,   0xfe, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0x3f, 4,    0,    0,
                                            0,    0,    0,    0,    0,    0,    0,
                                            0,    0,    0,    0,    0,    0,    0}},
    {"clock, boot: greatest time", VARVE_OK, 28, {23,   26,   4,    0xfe, 0xff, 0xff, 0xff,
                                                  0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0,
                                                  0,    0,    0,    0,    0,    0,    0,
                                                  0,    0,    0,    0,    0,    0,    0}},
    {"replay, least time", VARVE_OK, 24, {19,   22,   1,    2,    3,    0,    0,    0,
                                          0,    0,    0,    0,    0,    0xfd, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0}},
    {"clock, least time", VARVE_OK, 28, {23,   26, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                         0x3f, 4,  0,    0,    0,    0,    0,    0,    0,    0,
                                         0,    0,  0,    0,    0,    0,    0,    0}},
    {"clock, boot: least time", VARVE_OK, 28, {23,   26,   4,    0xfd, 0xff, 0xff, 0xff,
                                               0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0,
                                               0,    0,    0,    0,    0,    0,    0,
                                               0,    0,    0,    0,    0,    0,    0}},
    {"replay, time too late", VARVE_ECORRUPT, 24, {19,   22,   1,    2,    3,    0,    0,    0,
                                                   0,    0,    0,    0,    0,    0x80, 0x80, 0x80,
                                                   0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0,    0}},
    {"clock, time too late", VARVE_ECORRUPT, 28, {23,   26,   0x80, 0x80, 0x80, 0x80, 0x80,
                                                  0x80, 0x80, 0x80, 0x40, 4,    0,    0,
                                                  0,    0,    0,    0,    0,    0,    0,
                                                  0,    0,    0,    0,    0,    0,    0}},
    {"clock, boot: time too late", VARVE_ECORRUPT, 28, {23,   26,   4,    0x80, 0x80, 0x80, 0x80,
                                                        0x80, 0x80, 0x80, 0x80, 0x40, 0,    0,
                                                        0,    0,    0,    0,    0,    0,    0,
                                                        0,    0,    0,    0,    0,    0,    0}},
    {"replay, time too early", VARVE_ECORRUPT, 24, {19,   22,   1,    2,    3,    0,    0,    0,
                                                    0,    0,    0,    0,    0,    0xff, 0xff, 0xff,
                                                    0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0}},
    {"clock, time too early", VARVE_ECORRUPT, 28, {23,   26,   0xff, 0xff, 0xff, 0xff, 0xff,
                                                   0xff, 0xff, 0xff, 0x3f, 4,    0,    0,
                                                   0,    0,    0,    0,    0,    0,    0,
                                                   0,    0,    0,    0,    0,    0,    0}},
    {"clock, boot: time too early", VARVE_ECORRUPT, 28, {23,   26,   4,    0xff, 0xff, 0xff, 0xff,
                                                         0xff, 0xff, 0xff, 0xff, 0x3f, 0,    0,
                                                         0,    0,    0,    0,    0,    0,    0,
                                                         0,    0,    0,    0,    0,    0,    0}},
    {"replay, origin 0", VARVE_ECORRUPT, 27, {19, 25, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                              0,  1,  0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"replay, origins in order", VARVE_OK, 38, {19, 36, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0,
                                                0,  0,  2, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0,
                                                0,  2,  2, 3, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"replay, an origin twice", VARVE_ECORRUPT, 38, {19, 36, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0,
                                                     0,  0,  2, 2, 2, 3, 0, 0, 0, 0, 0, 0, 0,
                                                     0,  2,  2, 3, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"segment, a base too far",
     VARVE_ECORRUPT,
     46,
     {15,   44,   3,    1,    0,    0,    0, 0, 0, 0, 0,    0, 0, 0,    0,    0,
      0,    0,    0,    5,    0,    0,    0, 0, 0, 0, 0x40, 8, 1, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 0, 0, 0, 0,    0, 0, 0}},
    {"segment, last end", VARVE_OK, 46, {15,   44,   3,    1,    0,    0,    0,    0,    0, 0,
                                         0,    0,    0,    0,    0,    0,    0,    0,    0, 5,
                                         0,    0,    0,    0,    0,    0,    0,    8,    1, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0, 0,
                                         0,    0,    0,    0,    0,    0}},
    {"segment, an end too far",
     VARVE_ECORRUPT,
     46,
     {15,   44,   3,    1,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0,    0,    0,
      0,    0,    0,    5,    0,    0,    0, 0, 0, 0, 0, 8, 1, 0x80, 0x80, 0x80,
      0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"durable", VARVE_OK, 3, {21, 1, 5}},
    {"clock", VARVE_OK, 20, {23, 18, 2, 4}},
    {"clock cut short", VARVE_ECORRUPT, 19, {23, 17, 2, 4}},
    {"incarnation", VARVE_OK, 18, {25, 16, 1}},
    {"incarnation cut short", VARVE_ECORRUPT, 17, {25, 15, 1}},
    {"incarnation too long", VARVE_ECORRUPT, 19, {25, 17, 1}},
    {"next file", VARVE_OK, 3, {27, 1, 5}},
    {"next table", VARVE_OK, 3, {29, 1, 9}},
    {"next table above 32 bits", VARVE_ECORRUPT, 7, {29, 5, 0x80, 0x80, 0x80, 0x80, 0x10}},
    {"next lsn", VARVE_OK, 3, {35, 1, 5}},
    {"next lsn that none can follow",
     VARVE_ECORRUPT,
     11,
     {35, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40}},
};

START_TEST(operation_each_clause_alone)
{
    struct whole w;
    varve_error err = {0};

    whole_init(&w, 6);
    const varve_status rc =
        applied(&w.heap, w.version, varve_span_of(op_clause[_i].bytes, op_clause[_i].size), &err);
    ck_assert_msg(rc == op_clause[_i].expect, "%s: %s (%s)", op_clause[_i].what,
                  varve_status_name(rc), err.message);
    if (rc < 0)
        ck_assert_int_eq(err.status, rc);
    whole_free(&w);
}
END_TEST

START_TEST(counts_do_not_go_back)
{
    struct whole w;
    const uint8_t less[] = {27, 1, 1, 29, 1, 1, 21, 1, 1, 9, 4, 1, 0, 1, 1, 35, 1, 1};

    whole_init(&w, 6);
    struct varve_version *v = varve_version_clone(w.version);
    ck_assert_int_eq(varve_manifest_ops_apply(varve_span_of(less, sizeof less), v, NULL), VARVE_OK);
    ck_assert_uint_eq(v->next_file_id, w.version->next_file_id);
    ck_assert_uint_eq(v->next_table_id, w.version->next_table_id);
    ck_assert_uint_eq(v->durable_lsn, w.version->durable_lsn);
    ck_assert_uint_gt(v->next_lsn, 1);
    ck_assert_uint_eq(v->next_lsn, w.version->next_lsn);
    ck_assert_uint_eq(v->tables[0]->flushed_lsn, w.version->tables[0]->flushed_lsn);
    varve_version_unref(v);
    whole_free(&w);
}
END_TEST

START_TEST(a_failed_allocation_is_told_and_leaks_nothing)
{
    struct whole w;

    whole_init(&w, SAMPLE_EDITS);
    for (long n = 0;; n++) {
        struct fault fault;
        struct varve_heap heap;
        fault_init(&fault, n, FAULT_ONCE);
        varve_heap_init(&heap, &fault.allocator, UINT64_MAX);
        const varve_status rc = applied(&heap, NULL, varve_buffer_span(&w.ops), NULL);
        must(rc == (fault_fired(&fault) ? VARVE_ENOMEM : VARVE_OK));
        must(fault_blocks(&fault) == 0);
        if (rc == VARVE_OK)
            break;
    }
    whole_free(&w);
}
END_TEST

/* ------------------------------------------------------------------------- Files, re-sealed */

static void reseal(uint8_t *page, uint32_t page_no, uint64_t generation)
{
    struct varve_page_place place = varve_manifest_page_place(page + 16, generation, page_no);
    uint8_t *const t = page + VARVE_PAGE_PAYLOAD;
    const struct varve_page_trailer trailer = {.used = varve_get_u16(t + 44),
                                               .flags = varve_get_u16(t + 46),
                                               .first_record = varve_get_u16(t + 48)};
    (void)varve_page_encode(page, &place, &trailer);
}

/* Header and seals with `width` bytes at `offset` set, their pages sealed again. */
static varve_status open_patched(uint32_t offset, uint32_t width, uint64_t value, bool read_only,
                                 varve_error *err)
{
    struct rig rig;
    struct varve_manifest *m = NULL;
    char name[VARVE_FILE_NAME_MAX];

    rig_init(&rig, 4);
    must(varve_manifest_create(rig.vfs, &rig.heap, &m, NULL) == VARVE_OK);
    varve_manifest_close(m);
    varve_file_name_manifest(1, name);
    static const uint32_t controls[3] = {0, 2, 4}; /* the snapshot takes one page */
    for (int i = 0; i < 3; i++) {
        uint8_t page[VARVE_PAGE_SIZE];
        const uint64_t at = (uint64_t)controls[i] * VARVE_PAGE_SIZE;
        must(varve_sim_read(rig.sim, name, at, page, sizeof page) == VARVE_PAGE_SIZE);
        for (uint32_t k = 0; k < width; k++)
            page[offset + k] = (uint8_t)(value >> 8 * k);
        reseal(page, controls[i], 1);
        must(varve_sim_overwrite(rig.sim, name, at, page, sizeof page) == 0);
    }
    m = NULL;
    const varve_status rc = varve_manifest_open(rig.vfs, &rig.heap, read_only, &m, err);
    varve_manifest_close(m);
    if (rc < 0)
        ck_assert_str_eq(err->file, name);
    rig_free(&rig);
    return rc;
}

START_TEST(a_newer_file_is_refused_by_name)
{
    varve_error err = {0};

    ck_assert_int_eq(open_patched(10, 2, 0, false, &err), VARVE_OK);
    ck_assert_int_eq(open_patched(8, 2, 2, false, &err), VARVE_EVERSION);
    ck_assert_str_eq(err.message, "the manifest was written by a newer version");
    ck_assert_int_eq(open_patched(80, 8, 2, true, &err), VARVE_EVERSION);
    ck_assert_int_eq(open_patched(88, 8, 2, true, &err), VARVE_OK); /* it can still be read */
    ck_assert_int_eq(open_patched(88, 8, 2, false, &err), VARVE_EVERSION);
}
END_TEST

START_TEST(header_and_file_agree)
{
    varve_error err = {0};

    ck_assert_int_eq(open_patched(48, 8, 2, false, &err), VARVE_ECORRUPT);   /* generation */
    ck_assert_int_eq(open_patched(64, 8, 2, false, &err), VARVE_ECORRUPT);   /* snapshot's hash */
    ck_assert_int_eq(open_patched(56, 8, 50, false, &err), VARVE_ECORRUPT);  /* and size */
    ck_assert_int_eq(open_patched(32, 1, 99, false, &err), VARVE_ECORRUPT);  /* store */
    ck_assert_int_eq(open_patched(104, 4, 70, false, &err), VARVE_ECORRUPT); /* pages */
    ck_assert_int_eq(open_patched(16, 1, 99, false, &err), VARVE_ECORRUPT);  /* uuid */
}
END_TEST

/* -------------------------------------------------------------------------------------- Names */

START_TEST(names_are_read_as_they_are_written)
{
    char name[VARVE_FILE_NAME_MAX];
    uint64_t id = 0;

    varve_file_name_sst(0xfedcba9876543210, name);
    ck_assert_str_eq(name, "fedcba9876543210.sst");
    ck_assert_int_eq(varve_file_name_parse(name, &id), VARVE_FILE_SST);
    ck_assert_uint_eq(id, 0xfedcba9876543210);
    varve_file_name_wal(17, name);
    ck_assert_int_eq(varve_file_name_parse(name, &id), VARVE_FILE_WAL);
    ck_assert_uint_eq(id, 17);
    varve_file_name_of(VARVE_FILE_WAL, 18, name);
    ck_assert_str_eq(name, "0000000000000012.wal");
    varve_file_name_of(VARVE_FILE_SST, 19, name);
    ck_assert_str_eq(name, "0000000000000013.sst");
    varve_file_name_manifest(UINT64_MAX, name);
    ck_assert_int_eq(varve_file_name_parse(name, &id), VARVE_FILE_MANIFEST);
    ck_assert_uint_eq(id, UINT64_MAX);
    ck_assert_int_eq(varve_file_name_parse("LOCK", &id), VARVE_FILE_LOCK);
    ck_assert_int_eq(varve_file_name_parse("READERS", &id), VARVE_FILE_READERS);
    ck_assert_int_eq(varve_file_name_parse("MANIFEST-0000000000000002.tmp", &id),
                     VARVE_FILE_MANIFEST_TMP);
    ck_assert_uint_eq(id, 2);
}
END_TEST

START_TEST(other_names_are_not_the_stores)
{
    static const char *const others[] = {"",
                                         "lock",
                                         "MANIFEST",
                                         "MANIFEST-",
                                         "MANIFEST-1",
                                         "MANIFEST-000000000000000g",
                                         "MANIFEST-00000000000000010",
                                         "MANIFEST-0000000000000001.tm",
                                         "MANIFEST-0000000000000001.tmp2",
                                         "000000000000001.sst",
                                         "0000000000000001.SST",
                                         "0000000000000001.ss",
                                         "00000000000000010.sst",
                                         "000000000000000A.wal",
                                         "0000000000000001",
                                         "0000000000000001.sst.tmp",
                                         "READERS2"};
    uint64_t id = 1;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(varve_file_name_parse(others[i], &id) == VARVE_FILE_OTHER, "%s", others[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_format");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, header_comes_back);
    tcase_add_loop_test(tc, header_each_clause_alone, 0,
                        sizeof header_clause / sizeof header_clause[0]);
    tcase_add_test(tc, header_has_its_size_and_a_uuid);
    tcase_add_loop_test(tc, edit_each_clause_alone, 0, sizeof edit_clause / sizeof edit_clause[0]);
    tcase_add_test(tc, edit_comes_back_and_has_its_size);
    tcase_add_test(tc, operations_of_a_state_make_that_state);
    tcase_add_test(tc, a_snapshot_has_a_greatest_size);
    tcase_add_test(tc, operations_cut_anywhere_fail_or_end_between_two);
    tcase_add_test(tc, operations_with_any_bit_flipped_are_total);
    tcase_add_loop_test(tc, operation_each_clause_alone, 0, sizeof op_clause / sizeof op_clause[0]);
    tcase_add_test(tc, counts_do_not_go_back);
    tcase_add_test(tc, a_failed_allocation_is_told_and_leaks_nothing);
    tcase_add_test(tc, a_newer_file_is_refused_by_name);
    tcase_add_test(tc, header_and_file_agree);
    tcase_add_test(tc, names_are_read_as_they_are_written);
    tcase_add_test(tc, other_names_are_not_the_stores);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
