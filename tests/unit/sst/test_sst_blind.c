/*
 * test_sst_blind.c - an SSTable whose checksums see nothing, so that everything behind them has to.
 *
 * Method: the linker puts this file's varve_sst_checksum() between the reader and the real one. While a
 * sound file is verified it notes what every block's checksum is; later it answers from these notes, so
 * damage to a block passes. Then byte after byte is changed, and whatever comes of it, nothing may
 * crash, leak or overrun, errors say where, and what verification passes holds the rows that were
 * written.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "storage/codec/codec.h"
#include "storage/sst/group_index.h"
#include "storage/sst/sst_format.h"
#include "tests/lib/run_share.h"
#include "tests/unit/sst/sst_maker.h"

#define NOTES_MAX 4096

static struct {
    bool learning, blind;
    uint32_t n;
    struct {
        uint32_t kind;
        uint64_t offset, size, checksum;
    } at[NOTES_MAX];
} notes;

uint64_t __real_varve_sst_checksum(const uint8_t uuid[16], uint32_t kind, uint64_t offset,
                                   const void *data, size_t size);
uint64_t __wrap_varve_sst_checksum(const uint8_t uuid[16], uint32_t kind, uint64_t offset,
                                   const void *data, size_t size);
uint64_t __wrap_varve_sst_checksum(const uint8_t uuid[16], uint32_t kind, uint64_t offset,
                                   const void *data, size_t size)
{
    for (uint32_t i = 0; notes.blind && i < notes.n; i++)
        if (notes.at[i].kind == kind && notes.at[i].offset == offset && notes.at[i].size == size)
            return notes.at[i].checksum;
    const uint64_t checksum = __real_varve_sst_checksum(uuid, kind, offset, data, size);
    if (notes.learning && notes.n < NOTES_MAX) {
        notes.at[notes.n].kind = kind;
        notes.at[notes.n].offset = offset;
        notes.at[notes.n].size = size;
        notes.at[notes.n++].checksum = checksum;
    }
    return checksum;
}

/* Everything that a source can be asked, whatever it says. */
static varve_status ask_all(struct varve_sst *sst, struct varve_heap *heap, bool reverse)
{
    const struct varve_schema *schema = varve_sst_schema(sst);
    struct varve_cells *cells = calloc(schema->n_columns, sizeof *cells);
    struct varve_source *source;
    struct varve_partition partition;
    struct varve_column_set none = {{0}};
    uint64_t rows = 0;
    varve_error err = {0};
    varve_status rc = varve_sst_source_open(sst, heap, &source, &err);

    if (rc < 0 || cells == NULL)
        ck_abort_msg("%d", rc);
    rc = source->ops->seek(source, varve_span_of(NULL, 0), reverse, &err);
    while (rc == VARVE_OK && rows < 10000) {
        struct varve_piece piece;
        uint32_t streams;

        rc = source->ops->next(source, &partition, &err);
        if (rc != VARVE_OK)
            break;
        rc = source->ops->open(source, &partition, INT64_MIN, INT64_MAX, reverse, &streams, &err);
        while (rc == VARVE_OK && streams > 0 && rows < 10000) {
            struct varve_rows got = {.columns = cells};
            const struct varve_zone *zone;

            rc = source->ops->piece(source, 0, &piece, &err);
            if (rc != VARVE_OK)
                break;
            rows += piece.rows;
            uint32_t begin = 0, end = 0; /* of a range with a part of the piece, unless it lies */
            rc = source->ops->bounds(source, 0, piece.first_time / 2 + piece.last_time / 2,
                                     piece.last_time / 4 * 3, NULL, &begin, &end, &err);
            if (rc == VARVE_OK && (begin > piece.rows || end > piece.rows))
                ck_abort_msg("bounds outside the piece");
            if (rc == VARVE_OK)
                rc = source->ops->load(source, 0, piece.rows / 2, piece.rows - piece.rows / 2,
                                       &none, false, &got, &err);
            if (rc == VARVE_OK)
                rc = source->ops->load(source, 0, 0, piece.rows, NULL, true, &got, &err);
            if (rc == VARVE_OK) /* touches every cell: a length too long is an overrun */
                (void)varve_rows_content_hash(&got, 0, got.n, 1);
            for (uint32_t c = 0; c < schema->n_columns && rc == VARVE_OK; c++)
                rc = source->ops->zone(source, 0, c, &zone, &err);
        }
        if (rc == VARVE_END)
            rc = VARVE_OK;
    }
    source->ops->close(source);
    free(cells);
    if (rc < 0 && (rc != VARVE_ECORRUPT || err.file[0] == '\0' || err.message[0] == '\0'))
        ck_abort_msg("%d %s", rc, err.message);
    return rc;
}

static int count_block(void *ctx, const struct varve_sst_block_info *info)
{
    uint32_t *left = ctx;

    if (info->size == 0 || info->what[0] == '\0')
        ck_abort_msg("a block of nothing");
    return --*left == 0;
}

struct findings {
    uint32_t refused, noticed, passed;
};

static void judge(struct sst_model *m, struct sst_disk *d, struct findings *found)
{
    struct varve_sst *sst;
    struct varve_buffer key;
    varve_error err = {0};
    varve_status rc =
        varve_sst_open(d->vfs, SST_NAME, 1, NULL, d->cache, &d->heap.heap, &sst, &err);

    if (rc < 0) {
        if (rc != VARVE_ECORRUPT && rc != VARVE_EVERSION)
            ck_abort_msg("%d %s", rc, err.message);
        found->refused++;
        return;
    }
    rc = varve_sst_verify(sst, &d->heap.heap, NULL, NULL, &err);
    if (rc == VARVE_OK) {
        if (sst_model_read(m, d, sst, false, &err) != VARVE_OK) /* aborts on a wrong row */
            ck_abort_msg("verified, but: %s", err.message);
        found->passed++;
    } else if (rc == VARVE_ECORRUPT) {
        (void)ask_all(sst, &d->heap.heap, (found->noticed & 1) != 0);
        found->noticed++;
    } else {
        ck_abort_msg("verify says %d %s", rc, err.message);
    }
    uint32_t left = UINT32_MAX;
    uint64_t row;
    const varve_status walked = varve_sst_walk(sst, count_block, &left, &err);
    if (walked != VARVE_OK && walked != VARVE_ECORRUPT)
        ck_abort_msg("walk says %d", walked);
    varve_buffer_init(&key, &d->heap.heap);
    rc = varve_sst_partition_at(sst, 1, &key, &row, &err);
    if (rc != VARVE_OK && rc != VARVE_ECORRUPT && rc != VARVE_END)
        ck_abort_msg("partition_at says %d", rc);
    varve_buffer_free(&key);
    for (uint32_t i = 0; i < m->n_parts; i++)
        if (varve_sst_may_hold(sst, varve_span_of(m->parts[i].key, m->parts[i].key_size), &err) < 0)
            ck_abort_msg("may_hold fails: %s", err.message);
    varve_sst_unref(sst);
}

/* The rows that are written: every type, shared and pure vectors, several groups, a dictionary. */
static void make_model(struct sst_model *m, int kind)
{
    sst_model_init(m, kind == 0 ? row_table_all_types : sst_table_keep, 31);
    for (int i = 0; i < 3; i++)
        sst_model_add(m, kind == 0 ? 3 + (uint32_t)i : 60, kind == 0 ? SST_WILD : SST_PLAIN);
    sst_model_add(m, kind == 0 ? 12 : 150, kind == 0 ? SST_WILD : SST_PLAIN);
}

static void learn(struct sst_model *m, struct sst_disk *d, uint64_t *ret_size)
{
    struct findings found = {0};

    struct varve_sst *sst = sst_model_open(m, d, 64);
    *ret_size = varve_sst_get_properties(sst)->file_size;
    varve_sst_unref(sst);
    memset(&notes, 0, sizeof notes);
    notes.learning = true;
    judge(m, d, &found);
    notes.learning = false;
    ck_assert_uint_eq(found.passed, 1);
    ck_assert_uint_gt(notes.n, 10);
    ck_assert_uint_lt(notes.n, NOTES_MAX);
    notes.blind = true;
}

START_TEST(what_checksums_miss_is_survived_and_what_is_verified_is_right)
{
    static const uint8_t change[] = {0x01, 0x80, 0xFF, 0x10};
    const bool full = run_is_full();
    struct sst_model m;
    struct sst_disk d;
    struct findings found = {0};
    uint64_t size;

    make_model(&m, _i % 2);
    sst_disk_init(&d, 0);
    learn(&m, &d, &size);
    uint32_t seen = 0;
    for (uint64_t at = 4096; at < size - 8192; at++) {
        uint8_t byte;

        ck_assert_int_eq(varve_sim_read(d.sim, SST_NAME, at, &byte, 1), 1);
        /* One process looks at a quarter. Unless all are asked for, most of the padding is left out. */
        if (full ? at % 4 != (uint64_t)_i / 2
                 : (byte == 0 && at % 16 != 0) || ++seen % 4 != (uint32_t)_i / 2)
            continue;
        const uint8_t other = byte ^ change[at % 4];
        ck_assert_int_eq(varve_sim_overwrite(d.sim, SST_NAME, at, &other, 1), 0);
        judge(&m, &d, &found);
        ck_assert_int_eq(varve_sim_overwrite(d.sim, SST_NAME, at, &byte, 1), 0);
    }
    notes.blind = false;
    ck_assert_uint_gt(found.refused, 20);
    ck_assert_uint_gt(found.noticed, 100);
    judge(&m, &d, &(struct findings){0});
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

/* ---- codes into a dictionary ---- */

static const char every_lane[] = "CREATE TABLE e (k bigint, ts timestamp, a boolean, b smallint, "
                                 "c int, d bigint, e float, f double, g decimal, h text, u uuid, "
                                 "PRIMARY KEY (k, ts))";

/* One partition, in which every column repeats one value: blocks of few, known bytes. */
static void make_even(struct sst_model *m, uint32_t n)
{
    sst_model_init(m, every_lane, 1);
    sst_model_add(m, n, SST_PLAIN);
    struct varve_rows *rows = &m->parts[0].rows.rows;
    for (uint32_t i = 0; i < n; i++)
        rows->time[i] = (INT64_C(1) << 50) + i;
    for (uint32_t c = m->schema->time_column + 1; c < m->schema->n_columns; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        const size_t width = varve_phys_width(m->schema->phys[c]);
        if (cells->scales != NULL)
            memset(cells->values, 0, n * width);
        for (uint32_t i = 0; i < n && cells->offsets != NULL; i++) {
            memcpy((uint8_t *)cells->values + (size_t)4 * i, "text", 4);
            cells->offsets[i + 1] = 4 * (i + 1);
        }
        for (uint32_t i = 0; i < n && cells->offsets == NULL; i++)
            memset((uint8_t *)cells->values + i * width, width == 1 ? 1 : 0x55,
                   cells->scales != NULL ? 1 : width);
    }
}

/* A block of `size` bytes that holds `n` codes 0, by ways of saying so of different lengths: a
 * constant, or one run whose value takes the bytes that are left over. False: it has no such. */
static bool spell_codes(uint8_t *out, size_t size, uint32_t n, bool dict)
{
    const uint8_t head[4] = {dict ? VARVE_CODEC_DICT : VARVE_CODEC_RLE, VARVE_LANE_I32, (uint8_t)n,
                             (uint8_t)(n >> 8)};
    const size_t before = dict ? 4 : 0;

    memset(out, 0, size);
    memcpy(out, head, 4);
    memcpy(out + before, head, 4);
    out[before] = VARVE_CODEC_RLE;
    if (size == before + 5) {
        out[before] = VARVE_CODEC_CONST;
        return true;
    }
    if (size < before + 8 || size > before + 16)
        return false;
    out[before + 4] = 1;                                  /* runs */
    out[before + 6] = (uint8_t)(8 * (size - before - 8)); /* width */
    return true;
}

static bool is_first_vector_note(uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (notes.at[i].offset == notes.at[at].offset)
            return false;
    return notes.at[at].kind == VARVE_SST_VECTOR;
}

/* Put codes, in DICT or bare, in the place of the block `at`, and read. True: they were refused. */
static bool refuses_codes(struct sst_disk *d, struct varve_sst *sst, uint32_t at, bool dict,
                          uint32_t n)
{
    uint8_t was[64], codes[64];
    const size_t size = (size_t)notes.at[at].size;
    const uint64_t offset = notes.at[at].offset;

    ck_assert_uint_le(size, sizeof was);
    ck_assert_int_eq(varve_sim_read(d->sim, SST_NAME, offset, was, size), (int)size);
    if (!spell_codes(codes, size, n, dict))
        return false;
    /* Bare codes in a column of 32-bit integers are its values. */
    const bool meant = was[1] == VARVE_LANE_I32 && (was[0] == VARVE_CODEC_DICT) == dict;
    ck_assert_int_eq(varve_sim_overwrite(d->sim, SST_NAME, offset, codes, size), 0);
    varve_cache_drop_file(d->cache, 1);
    const varve_status rc = ask_all(sst, &d->heap.heap, false);
    if (rc != (meant ? VARVE_END : VARVE_ECORRUPT))
        ck_abort_msg("codes (dict %d) instead of codec %u, lane %u: %d", dict, was[0], was[1], rc);
    ck_assert_int_eq(varve_sim_overwrite(d->sim, SST_NAME, offset, was, size), 0);
    varve_cache_drop_file(d->cache, 1);
    return !meant;
}

/* Codes are as sound as any numbers: wrong is only where they stand. */
START_TEST(
    codes_stand_where_a_dictionary_does_and_nowhere_else) /* loop test: without one, with one */
{
    const uint32_t n = _i == 0 ? 40 : 64; /* less text than 64 values has no dictionary */
    uint32_t refused[2] = {0};
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst *sst;
    uint64_t size;

    make_even(&m, n);
    sst_disk_init(&d, 1 << 20);
    learn(&m, &d, &size);
    ck_assert_int_eq(varve_sst_open(d.vfs, SST_NAME, 1, NULL, d.cache, &d.heap.heap, &sst, NULL),
                     VARVE_OK);
    ck_assert_int_eq(ask_all(sst, &d.heap.heap, false), VARVE_END);
    for (uint32_t i = 0; i < notes.n; i++)
        for (int dict = 0; dict < 2 && is_first_vector_note(i); dict++)
            refused[dict] += refuses_codes(&d, sst, i, dict == 1, n);
    notes.blind = false;
    ck_assert_uint_eq(refused[0], 7);               /* all but b, c, u */
    ck_assert_uint_eq(refused[1], _i == 0 ? 7 : 6); /* all but a, b, e, and h if it has codes */
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

/* Change one byte of an index so that column `c` has the dictionary of another. Its first block is
 * what is given back. */
static struct varve_group_block give_dictionary(struct sst_disk *d, uint32_t at, uint32_t c,
                                                uint64_t file_size)
{
    _Alignas(16) uint64_t memory[8192];
    uint8_t bytes[4096];
    const size_t size = (size_t)notes.at[at].size;
    const struct varve_group_index *index;
    size_t need;

    ck_assert_uint_le(size, sizeof bytes);
    ck_assert_int_eq(varve_sim_read(d->sim, SST_NAME, notes.at[at].offset, bytes, size), (int)size);
    for (size_t i = 0; i < size * 256; i++) {
        const uint8_t was = bytes[i / 256];
        bytes[i / 256] = (uint8_t)i;
        const struct varve_span span = varve_span_of(bytes, size);
        if (varve_group_index_measure(span, &need, NULL) == VARVE_OK && need <= sizeof memory &&
            varve_group_index_parse(span, file_size, memory, need, &index, NULL) == VARVE_OK) {
            const uint32_t row = varve_group_stream(index, VARVE_STREAM_COLUMN + c);
            if (row != UINT32_MAX && varve_group_block_at(index, row, 0)->dictionary != 0) {
                ck_assert_int_eq(
                    varve_sim_overwrite(d->sim, SST_NAME, notes.at[at].offset, bytes, size), 0);
                return *varve_group_block_at(index, row, 0);
            }
        }
        bytes[i / 256] = was;
    }
    ck_abort_msg("no byte gives a dictionary");
}

START_TEST(only_text_has_a_dictionary) /* loop test: _i is the column */
{
    struct sst_model m;
    struct sst_disk d;
    struct varve_sst *sst;
    uint64_t size;
    uint8_t codes[64];
    uint32_t at = 0;

    make_even(&m, 64);
    sst_disk_init(&d, 1 << 20);
    learn(&m, &d, &size);
    while (notes.at[at].kind != VARVE_SST_INDEX)
        ck_assert_uint_lt(++at, notes.n);
    const struct varve_group_block b = give_dictionary(&d, at, (uint32_t)_i, size);
    ck_assert(spell_codes(codes, b.size, 64, true));
    ck_assert_int_eq(varve_sim_overwrite(d.sim, SST_NAME, b.offset, codes, b.size), 0);
    varve_cache_drop_file(d.cache, 1);
    ck_assert_int_eq(varve_sst_open(d.vfs, SST_NAME, 1, NULL, d.cache, &d.heap.heap, &sst, NULL),
                     VARVE_OK);
    ck_assert_int_eq(ask_all(sst, &d.heap.heap, false), VARVE_ECORRUPT);
    notes.blind = false;
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(a_walk_ends_where_it_is_told_to)
{
    struct sst_model m;
    struct sst_disk d;
    uint32_t left = UINT32_MAX;

    make_model(&m, 0);
    sst_disk_init(&d, 0);
    struct varve_sst *sst = sst_model_open(&m, &d, 64);
    ck_assert_int_eq(varve_sst_walk(sst, count_block, &left, NULL), VARVE_OK);
    const uint32_t blocks = UINT32_MAX - left;
    ck_assert_uint_gt(blocks, 10);
    left = 5;
    ck_assert_int_eq(varve_sst_walk(sst, count_block, &left, NULL), VARVE_OK);
    ck_assert_uint_eq(left, 0);
    varve_sst_unref(sst);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

START_TEST(partitions_are_found_by_their_number)
{
    struct sst_model m;
    struct sst_disk d;
    uint64_t row, want = 0;
    struct varve_buffer key;

    make_model(&m, 0);
    sst_disk_init(&d, 0);
    struct varve_sst *sst = sst_model_open(&m, &d, 64);
    ck_assert(!varve_sst_is_shared(sst));
    ck_assert_ptr_eq(varve_sst_ref(sst), sst);
    ck_assert(varve_sst_is_shared(sst));
    varve_sst_unref(sst);
    ck_assert_str_eq(varve_sst_name(sst), SST_NAME);
    ck_assert_uint_gt(varve_sst_memory(sst), 200);
    for (uint32_t i = 0; i < m.n_parts; i++) {
        varve_buffer_init(&key, &d.heap.heap);
        ck_assert_int_eq(varve_sst_partition_at(sst, i, &key, &row, NULL), VARVE_OK);
        ck_assert_uint_eq(row, want);
        ck_assert_uint_eq(key.size, m.parts[i].key_size);
        ck_assert_mem_eq(key.data, m.parts[i].key, key.size);
        varve_buffer_free(&key);
        want += m.parts[i].rows.rows.n;
    }
    /* Below the least key and above the greatest there is nothing, and no block is read. */
    const uint64_t ops = varve_sim_ops(d.sim);
    ck_assert_int_eq(varve_sst_may_hold(sst, varve_span_of("\0", 1), NULL), 0);
    ck_assert_int_eq(varve_sst_may_hold(sst, varve_span_of("\xff", 1), NULL), 0);
    ck_assert_uint_eq(varve_sim_ops(d.sim), ops);
    varve_sst_unref(sst);
    varve_sst_unref(NULL);
    sst_disk_free(&d);
    sst_model_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sst_blind");
    TCase *tc = tcase_create("sst_blind");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, what_checksums_miss_is_survived_and_what_is_verified_is_right, 0, 8);
    tcase_add_loop_test(tc, codes_stand_where_a_dictionary_does_and_nowhere_else, 0, 2);
    tcase_add_loop_test(tc, only_text_has_a_dictionary, 4, 6); /* an integer of 32 bits, of 64 */
    tcase_add_test(tc, a_walk_ends_where_it_is_told_to);
    tcase_add_test(tc, partitions_are_found_by_their_number);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
