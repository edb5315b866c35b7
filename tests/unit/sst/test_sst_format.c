/*
 * test_sst_format.c - sst_format.c, sst_properties.c, group_index.c, exception_list.c and
 * text_dictionary.c: each clause of a format is checked by itself, any damage is survived, and the
 * file of version 1 still reads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/sst/exception_list.h"
#include "storage/sst/group_index.h"
#include "storage/sst/sst_format.h"
#include "storage/sst/text_dictionary.h"
#include "tests/unit/sst/sst_maker.h"

#define GOLDEN "tests/golden/sst/v1/all_types.sst"

static const struct varve_sst_footer sample = {.uuid = {1, 2, 3},
                                               .compatible = 5,
                                               .read_compatible = 6,
                                               .file_size = 40960,
                                               .section_a = 8192,
                                               .section_b = 16384,
                                               .section_size = 200,
                                               .section_checksum = 77};

static void reseal(uint8_t *page, uint32_t kind, uint64_t place)
{
    varve_put_u64(page + 4088, varve_sst_checksum(page + 16, kind, place, page, 4088));
}

START_TEST(each_clause_of_header_and_footer)
{
    static const struct {
        uint32_t at;
        uint8_t value;
        int footer, header; /* status */
    } clause[] = {
        {0, 'X', VARVE_ECORRUPT, VARVE_ECORRUPT}, /* magic */
        {8, 2, VARVE_EVERSION, VARVE_EVERSION},   /* major */
        {10, 1, VARVE_OK, VARVE_OK},              /* minor: read all the same */
        {13, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* page_size */
        {32, 1, VARVE_EVERSION, VARVE_EVERSION},  /* incompatible */
        {40, 9, VARVE_OK, VARVE_OK},              /* read_compatible */
        {48, 9, VARVE_OK, VARVE_OK},              /* compatible */
        {57, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* file_size; header: zero */
        {70, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* section_a outside */
        {73, 0, VARVE_ECORRUPT, 99},              /* section_b in the header */
        {78, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* section_b outside */
        {84, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* section_size */
        {96, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},  /* reserved */
        {4087, 1, VARVE_ECORRUPT, VARVE_ECORRUPT},
    };
    uint8_t page[4096];
    struct varve_sst_footer back;
    uint64_t checksum, again;

    varve_sst_footer_encode(&sample, page, &checksum);
    ck_assert_int_eq(varve_sst_footer_decode(page, 40960, &back, &again, NULL), VARVE_OK);
    ck_assert_uint_eq(checksum, again);
    ck_assert_uint_eq(back.section_b, 16384);
    ck_assert_int_eq(varve_sst_footer_decode(page, 45056, &back, &again, NULL), VARVE_ECORRUPT);
    for (size_t i = 0; i < sizeof clause / sizeof clause[0]; i++) {
        varve_sst_footer_encode(&sample, page, &checksum);
        page[clause[i].at] = clause[i].value;
        ck_assert_int_eq(varve_sst_footer_decode(page, 40960, &back, &again, NULL),
                         VARVE_ECORRUPT); /* the checksum objects */
        reseal(page, VARVE_SST_FOOTER, 40960);
        ck_assert_msg(varve_sst_footer_decode(page, 40960, &back, &again, NULL) ==
                          (varve_status)clause[i].footer,
                      "footer %zu", i);
        if (clause[i].header == 99)
            continue;
        varve_sst_header_encode(&sample, page);
        page[clause[i].at] = clause[i].value;
        reseal(page, VARVE_SST_HEADER, 0);
        page[0] = clause[i].at == 0 ? 'X' : 'V';
        ck_assert_msg(varve_sst_header_decode(page, &back, NULL) == (varve_status)clause[i].header,
                      "header %zu", i);
    }
}
END_TEST

START_TEST(each_clause_of_sections_and_mirrors)
{
    struct varve_sst_mirror mirrors[2] = {{4096, 12288, 100}, {8192, 16384, 50}};
    struct varve_sst_sections s = {.mirrors = mirrors, .n_mirrors = 2}, back;
    struct row_heap heap;
    struct varve_buffer out;

    row_heap_init(&heap, -1);
    varve_buffer_init(&out, &heap.heap);
    for (uint32_t id = 1; id < VARVE_SECTION_KINDS; id++)
        s.at[id] = (struct varve_sst_section_ref){4096 + id, 10, id};
    varve_sst_sections_encode(&s, &out);
    ck_assert_uint_eq(out.size, varve_sst_sections_size(5, 2));
    ck_assert_int_eq(
        varve_sst_sections_decode(varve_buffer_span(&out), 40960, &heap.heap, &back, NULL),
        VARVE_OK);
    ck_assert_uint_eq(varve_sst_mirror_of(&back, 4100, 90), 12292);
    ck_assert_uint_eq(varve_sst_mirror_of(&back, 4100, 97), 0);
    ck_assert_uint_eq(varve_sst_mirror_of(&back, 8192, 50), 16384);
    ck_assert_uint_eq(varve_sst_mirror_of(&back, 100, 1), 0);
    varve_sst_sections_free(&back, &heap.heap);

    static const struct {
        uint32_t at;
        uint8_t value;
        int status;
    } clause[] = {
        {0, 4, VARVE_ECORRUPT},            /* n_sections against the size */
        {4, 1, VARVE_ECORRUPT},            /* n_mirrors */
        {8, 2, VARVE_ECORRUPT},            /* ids ascend */
        {8 + 128, 99, VARVE_OK},           /* an unknown id that need not be understood */
        {8 + 96, 98, VARVE_EVERSION},      /* an unknown id that must be understood */
        {8 + 96, 3, VARVE_ECORRUPT},       /* ids ascend */
        {8 + 12, 2, VARVE_ECORRUPT},       /* flags; byte of the first's offset */
        {8 + 4, 2, VARVE_ECORRUPT},        /* unknown flag */
        {8 + 9, 0, VARVE_ECORRUPT},        /* offset within the header */
        {8 + 160 + 9, 0, VARVE_ECORRUPT},  /* copy B within the header */
        {8 + 160 + 16, 0, VARVE_ECORRUPT}, /* empty mirror */
        {8 + 160 + 25, 16, VARVE_ECORRUPT} /* not ascending: 4096 again */
    };
    for (size_t i = 0; i < sizeof clause / sizeof clause[0]; i++) {
        const uint8_t before = out.data[clause[i].at];

        out.data[clause[i].at] = clause[i].value;
        const varve_status rc =
            varve_sst_sections_decode(varve_buffer_span(&out), 40960, &heap.heap, &back, NULL);
        ck_assert_msg(rc == (varve_status)clause[i].status, "clause %zu: %d", i, rc);
        if (rc == VARVE_OK)
            varve_sst_sections_free(&back, &heap.heap);
        out.data[clause[i].at] = before;
    }
    varve_buffer_free(&out);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(properties_come_back_and_unknown_ones_are_judged)
{
    struct varve_sst_properties p, back;
    struct row_heap heap;
    struct varve_buffer out;

    row_heap_init(&heap, -1);
    memset(&p, 0, sizeof p);
    p.uuid[5] = 9;
    p.kind = VARVE_SST_DATA;
    p.window_start = INT64_MIN;
    p.window_end = INT64_MAX;
    p.rows = UINT64_MAX;
    p.min_wt = -5;
    p.content_hash = 0x1234567890abcdef;
    p.codec_vectors[3] = 7;
    p.file_size = 4096;
    p.footer_checksum = 1;
    p.first_key = varve_span_of("a", 1);
    p.last_key = varve_span_of("b", 1);
    varve_buffer_init(&out, &heap.heap);
    varve_sst_properties_encode(&p, false, &out);
    ck_assert_int_eq(varve_sst_properties_decode(varve_buffer_span(&out), &heap.heap, &back, NULL),
                     VARVE_OK);
    ck_assert_mem_eq(back.uuid, p.uuid, 16);
    ck_assert_int_eq(back.window_start, INT64_MIN);
    ck_assert_int_eq(back.window_end, INT64_MAX);
    ck_assert_uint_eq(back.rows, UINT64_MAX);
    ck_assert_int_eq(back.min_wt, -5);
    ck_assert_uint_eq(back.content_hash, p.content_hash);
    ck_assert_uint_eq(back.codec_vectors[3], 7);
    ck_assert_uint_eq(back.footer_checksum, 1);
    ck_assert_int_eq(varve_span_compare(back.last_key, p.last_key), 0);
    varve_sst_properties_free(&back, &heap.heap);

    const size_t size = out.size;
    varve_write_varint(&out, 100 << 1); /* unknown, may be skipped */
    varve_write_sized(&out, "xyz", 3);
    ck_assert_int_eq(varve_sst_properties_decode(varve_buffer_span(&out), &heap.heap, &back, NULL),
                     VARVE_OK);
    varve_sst_properties_free(&back, &heap.heap);
    out.size = size;
    varve_write_varint(&out, 100 << 1 | 1); /* must be understood */
    varve_write_sized(&out, "xyz", 3);
    ck_assert_int_eq(varve_sst_properties_decode(varve_buffer_span(&out), &heap.heap, &back, NULL),
                     VARVE_EVERSION);
    out.size = size;
    varve_write_varint(&out, 3 << 1); /* tags ascend */
    varve_write_sized(&out, "\1", 1);
    ck_assert_int_eq(varve_sst_properties_decode(varve_buffer_span(&out), &heap.heap, &back, NULL),
                     VARVE_ECORRUPT);
    for (size_t cut = 1; cut < size; cut++) { /* any truncation is survived */
        if (varve_sst_properties_decode(varve_span_of(out.data, cut), &heap.heap, &back, NULL) ==
            VARVE_OK)
            varve_sst_properties_free(&back, &heap.heap);
    }
    varve_buffer_free(&out);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

START_TEST(a_dictionary_comes_back_sorted)
{
    static const char *const words[] = {"pear", "apple", "", "fig", "app"};
    uint32_t offsets[501] = {0};
    uint8_t text[5000];
    struct varve_cells cells = {.values = text, .offsets = offsets};
    struct varve_dictionary_builder b;
    struct row_heap heap;
    struct varve_buffer out, parsed;

    row_heap_init(&heap, -1);
    for (uint32_t i = 0; i < 500; i++) {
        const char *word = words[(i * 7) % 5];
        memcpy(text + offsets[i], word, strlen(word));
        offsets[i + 1] = offsets[i] + (uint32_t)strlen(word);
    }
    varve_dictionary_builder_init(&b, &heap.heap);
    varve_buffer_init(&out, &heap.heap);
    varve_buffer_init(&parsed, &heap.heap);
    ck_assert_int_eq(varve_dictionary_build(&b, &cells, 500, NULL), VARVE_OK);
    ck_assert_int_eq(varve_dictionary_encode(&b, &out, NULL), VARVE_OK);
    ck_assert_int_eq(varve_dictionary_decode(varve_buffer_span(&out), &parsed, NULL), VARVE_OK);
    const struct varve_dictionary d = varve_dictionary_view(parsed.data);
    ck_assert_uint_eq(d.n, 5);
    for (uint32_t i = 0; i < 500; i++) {
        const uint32_t code = (uint32_t)b.codes[i];
        ck_assert_int_eq(
            varve_span_compare(
                varve_span_of(text + offsets[i], offsets[i + 1] - offsets[i]),
                varve_span_of(d.bytes + d.offsets[code], d.offsets[code + 1] - d.offsets[code])),
            0);
    }
    ck_assert_uint_eq(d.offsets[1], 0); /* the empty text is least */
    for (size_t cut = 0; cut < out.size; cut++)
        ck_assert_int_eq(varve_dictionary_decode(varve_span_of(out.data, cut), &parsed, NULL),
                         VARVE_ECORRUPT);
    for (uint32_t i = 0; i < 500; i++) { /* all distinct: not worth it */
        text[i * 4] = (uint8_t)i;
        text[i * 4 + 1] = (uint8_t)(i >> 8);
        offsets[i + 1] = i * 4 + 4;
    }
    ck_assert_int_eq(varve_dictionary_build(&b, &cells, 500, NULL), VARVE_END);
    varve_dictionary_builder_free(&b);
    varve_buffer_free(&out);
    varve_buffer_free(&parsed);
    ck_assert_int_eq(heap.live, 0);
}
END_TEST

static void sample_index(struct varve_group_index *index, struct varve_group_vector *vectors,
                         struct varve_group_run *runs, struct varve_group_dictionary *dictionary,
                         uint32_t *streams, struct varve_group_block *blocks)
{
    memset(blocks, 0, 6 * sizeof *blocks);
    vectors[0] = (struct varve_group_vector){0, 700, 0, 1, 0, 0, 5, 5, 11};
    vectors[1] =
        (struct varve_group_vector){700, 100, 1, 3, VARVE_VECTOR_HAS_EXPIRY, 9, -5, 70, 12};
    runs[0] = (struct varve_group_run){10, 900, 0, 700, 0, 0};
    runs[1] = (struct varve_group_run){900, 901, 700, 50, 0, 1};
    runs[2] = (struct varve_group_run){-7, 3, 750, 20, 1, 1};
    runs[3] = (struct varve_group_run){5, 5, 770, 30, 2, 1};
    *dictionary = (struct varve_group_dictionary){{9000, 40, 3}, 4, 17};
    streams[0] = VARVE_STREAM_TIME;
    streams[1] = VARVE_STREAM_WT;
    streams[2] = VARVE_STREAM_COLUMN + 3;
    blocks[0] = (struct varve_group_block){5000, 1, 100, 0, 3};
    blocks[1] = (struct varve_group_block){5100, 2, 50, 0, 5};
    blocks[3] = (struct varve_group_block){5150, 3, 20, 0, 2};
    blocks[4] = (struct varve_group_block){5200, 4, 20, 4, 7};
    blocks[5] = (struct varve_group_block){5230, 5, 20, 4, 7};
    *index = (struct varve_group_index){.n_rows = 800,
                                        .n_vectors = 2,
                                        .n_runs = 4,
                                        .n_streams = 3,
                                        .n_dictionaries = 1,
                                        .zones = {9500, 30, 8},
                                        .vectors = vectors,
                                        .runs = runs,
                                        .dictionaries = dictionary,
                                        .streams = streams,
                                        .blocks = blocks};
}

/* Every byte changed in every way: OK or ECORRUPT, and what is OK keeps the invariants. */
START_TEST(a_group_index_comes_back_and_damage_is_bounded)
{
    struct varve_group_vector vectors[2];
    struct varve_group_run runs[4];
    struct varve_group_dictionary dictionary;
    struct varve_group_block blocks[6];
    uint32_t streams[3];
    int64_t scratch[4];
    struct varve_group_index index;
    const struct varve_group_index *back;
    struct row_heap heap;
    struct varve_buffer out;
    size_t size;

    row_heap_init(&heap, -1);
    varve_buffer_init(&out, &heap.heap);
    sample_index(&index, vectors, runs, &dictionary, streams, blocks);
    varve_group_index_encode(&index, scratch, &out);
    ck_assert_int_eq(varve_group_index_measure(varve_buffer_span(&out), &size, NULL), VARVE_OK);
    void *memory = malloc(size);
    ck_assert_int_eq(
        varve_group_index_parse(varve_buffer_span(&out), 40960, memory, size, &back, NULL),
        VARVE_OK);
    ck_assert_mem_eq(back->vectors, vectors, sizeof vectors);
    ck_assert_mem_eq(back->runs, runs, sizeof runs);
    for (uint32_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(back->blocks[i].offset, blocks[i].offset);
        ck_assert_uint_eq(back->blocks[i].checksum, blocks[i].checksum);
        ck_assert_uint_eq(back->blocks[i].dictionary, blocks[i].dictionary);
    }
    ck_assert_uint_eq(varve_group_stream(back, VARVE_STREAM_COLUMN + 3), 2);
    ck_assert_uint_eq(varve_group_stream(back, VARVE_STREAM_EXP), UINT32_MAX);
    ck_assert_uint_eq(varve_group_run_of_row(back, 769), 2);
    free(memory);
    ck_assert_int_eq(varve_group_index_parse(varve_buffer_span(&out), 40960, memory = malloc(size),
                                             size, &back, NULL),
                     VARVE_OK);
    free(memory);
    for (size_t at = 0; at < out.size; at++) {
        const uint8_t before = out.data[at];

        for (uint32_t value = 0; value < 256; value++) {
            out.data[at] = (uint8_t)value;
            varve_status rc = varve_group_index_measure(varve_buffer_span(&out), &size, NULL);
            if (rc == VARVE_OK) {
                memory = malloc(size);
                rc = varve_group_index_parse(varve_buffer_span(&out), 40960, memory, size, &back,
                                             NULL);
                if (rc == VARVE_OK &&
                    (back->vectors[1].first_row + back->vectors[1].rows != back->n_rows ||
                     back->runs[back->n_runs - 1].first_row + back->runs[back->n_runs - 1].rows !=
                         back->n_rows))
                    ck_abort_msg("rows do not add up");
                free(memory);
            }
            if (rc != VARVE_OK && rc != VARVE_ECORRUPT)
                ck_abort_msg("%d", rc);
        }
        out.data[at] = before;
    }
    for (size_t cut = 0; cut < out.size; cut++) {
        const struct varve_span span = {out.data, cut};
        if (varve_group_index_measure(span, &size, NULL) == VARVE_OK) {
            memory = malloc(size);
            ck_assert_int_eq(varve_group_index_parse(span, 40960, memory, size, &back, NULL),
                             VARVE_ECORRUPT);
            free(memory);
        }
    }
    varve_buffer_free(&out);
}
END_TEST

static void make_golden_model(struct sst_model *m)
{
    sst_model_init(m, row_table_all_types, 2024);
    sst_model_add(m, 80, SST_WILD);
    sst_model_add(m, 1, SST_WILD);
    sst_model_add(m, 129, SST_WILD);
    for (int i = 0; i < 12; i++)
        sst_model_add(m, 3, SST_PLAIN);
}

/*
 * The golden file is what the writer made of make_golden_model() when version 1 was new. With
 * VARVE_GOLDEN=write it is made again: only for a new version, under a new name, with new figures.
 * It must read for ever. The content hash of its rows stands for the rows (what row_maker.c draws
 * depends on the compiler); verification computes it anew from every cell.
 */
#define GOLDEN_HASH 9052329793870289388u
#define GOLDEN_ROWS 246u
#define GOLDEN_PARTITIONS 15u

static void write_golden(struct sst_disk *d)
{
    struct sst_model m;

    make_golden_model(&m);
    struct varve_sst *sst = sst_model_open(&m, d, 64);
    const size_t size = (size_t)varve_sst_get_properties(sst)->file_size;
    uint8_t *bytes = malloc(size);
    FILE *file = fopen(GOLDEN, "wb");

    ck_assert_int_eq(varve_sim_read(d->sim, SST_NAME, 0, bytes, size), (int64_t)size);
    ck_assert(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    free(bytes);
    varve_sst_unref(sst);
    ck_assert_int_eq(varve_sim_remove(d->sim, SST_NAME), 0);
    sst_model_free(&m);
}

START_TEST(the_file_of_version_1_still_reads)
{
    static uint8_t golden[1 << 17];
    struct sst_disk d;
    struct varve_sst *sst;
    varve_error err = {0};

    sst_disk_init(&d, 1 << 20);
    if (getenv("VARVE_GOLDEN") != NULL)
        write_golden(&d);
    FILE *file = fopen(GOLDEN, "rb");
    ck_assert_ptr_nonnull(file);
    const size_t size = fread(golden, 1, sizeof golden, file);
    (void)fclose(file);
    ck_assert_int_eq(varve_sim_put(d.sim, SST_NAME, golden, size), 0);
    ck_assert_msg(varve_sst_open(d.vfs, SST_NAME, 2, NULL, d.cache, &d.heap.heap, &sst, &err) ==
                      VARVE_OK,
                  "%s", err.message);
    const struct varve_sst_properties *p = varve_sst_get_properties(sst);
    ck_assert_uint_eq(p->rows, GOLDEN_ROWS);
    ck_assert_uint_eq(p->partitions, GOLDEN_PARTITIONS);
    ck_assert_uint_eq(p->content_hash, GOLDEN_HASH);
    ck_assert_msg(varve_sst_verify(sst, &d.heap.heap, NULL, NULL, &err) == VARVE_OK, "%s",
                  err.message);
    ck_assert_uint_eq(varve_sst_repairs(sst), 0);
    varve_sst_unref(sst);
    sst_disk_free(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sst_format");
    TCase *tc = tcase_create("sst_format");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, each_clause_of_header_and_footer);
    tcase_add_test(tc, each_clause_of_sections_and_mirrors);
    tcase_add_test(tc, properties_come_back_and_unknown_ones_are_judged);
    tcase_add_test(tc, a_dictionary_comes_back_sorted);
    tcase_add_test(tc, a_group_index_comes_back_and_damage_is_bounded);
    tcase_add_test(tc, the_file_of_version_1_still_reads);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
