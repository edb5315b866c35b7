/*
 * test_text_pack.c - bit strings and packed sections: what goes in comes out, bounds are kept.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

START_TEST(bit_strings_come_back) /* loop test: _i is the width */
{
    const uint32_t width = (uint32_t)_i;
    struct varve_rng rng;
    uint64_t in[300], out[300];
    bool sound = true;

    varve_rng_seed(&rng, width);
    for (uint32_t n = 0; n <= 300; n += n < 70 ? 1 : 115) {
        const size_t size = varve_pack_size(n, width);
        uint8_t *at = malloc(size + 1);
        ck_assert_ptr_nonnull(at);
        ck_assert_uint_eq(size, (n * width + 7) / 8);
        at[size] = 0xa5;
        for (uint32_t j = 0; j < n; j++)
            in[j] = width == 0 ? 0 : varve_rng_next(&rng) >> (64 - width);
        varve_pack_u64(in, n, width, at);
        sound = sound && at[size] == 0xa5;
        uint8_t *copy = malloc(size + (size == 0));
        memcpy(copy, at, size);
        for (uint32_t first = 0; first <= n; first += 1 + first / 3) {
            varve_unpack_u64(copy, first, n - first, width, out);
            sound = sound && memcmp(out, in + first, (n - first) * sizeof *in) == 0;
        }
        free(copy);
        free(at);
    }
    ck_assert(sound);
}
END_TEST

/* Kinds of text: none, short, repetitive, like words, random. */
static void fill(uint8_t *text, size_t size, int kind)
{
    struct varve_rng rng;
    varve_rng_seed(&rng, (uint64_t)kind);
    for (size_t i = 0; i < size; i++) {
        const uint64_t word = varve_rng_next(&rng);
        text[i] = kind == 0   ? 'x'
                  : kind == 1 ? (uint8_t) "etaoin shrdlu"[word % 13]
                              : (uint8_t)word;
    }
}

START_TEST(sections_come_back) /* loop test: _i is the kind of text */
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 70000, 300000};
    struct varve_heap heap;
    struct varve_buffer packed, back;
    uint8_t *text = malloc(300000);

    ck_assert_ptr_nonnull(text);
    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&packed, &heap);
    varve_buffer_init(&back, &heap);
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(text, sizes[i], _i);
        varve_buffer_clear(&packed);
        varve_buffer_clear(&back);
        varve_write_u8(&back, 'b');
        ck_assert_int_eq(varve_text_pack(varve_span_of(text, sizes[i]), &packed, NULL), 0);
        ck_assert_uint_le(packed.size, sizes[i] + 11);
        if (sizes[i] >= 1000 && _i < 2)
            ck_assert_uint_lt(packed.size, sizes[i] * 7 / 8);
        ck_assert_int_eq(varve_text_unpack(varve_buffer_span(&packed), sizes[i], &back, NULL), 0);
        ck_assert_uint_eq(back.size, sizes[i] + 1);
        ck_assert(sizes[i] == 0 || memcmp(back.data + 1, text, sizes[i]) == 0);
        if (sizes[i] > 0)
            ck_assert_int_eq(
                varve_text_unpack(varve_buffer_span(&packed), sizes[i] - 1, &back, NULL),
                VARVE_ECORRUPT);
        ck_assert_uint_eq(back.size, sizes[i] + 1);
    }
    varve_buffer_free(&back);
    varve_buffer_free(&packed);
    free(text);
    ck_assert_uint_eq(varve_heap_used(&heap), 0);
}
END_TEST

START_TEST(damaged_sections_are_refused_or_bounded) /* loop test: _i is the kind of text */
{
    struct varve_heap heap;
    struct varve_buffer packed, back;
    uint8_t text[700];
    bool sound = true;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&packed, &heap);
    varve_buffer_init(&back, &heap);
    fill(text, sizeof text, _i);
    ck_assert_int_eq(varve_text_pack(varve_span_of(text, sizeof text), &packed, NULL), 0);
    for (size_t size = 0; size <= packed.size; size++) {
        uint8_t *copy = malloc(size + (size == 0));
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, packed.data, size);
        if (size == packed.size) {
            for (size_t i = 0; i < size * 255; i++) {
                copy[i / 255] ^= (uint8_t)(i % 255 + 1);
                varve_buffer_clear(&back);
                const varve_status rc =
                    varve_text_unpack(varve_span_of(copy, size), 1000, &back, NULL);
                sound = sound && (rc == VARVE_OK ? back.size <= 1000 : rc == VARVE_ECORRUPT);
                copy[i / 255] ^= (uint8_t)(i % 255 + 1);
            }
        } else {
            varve_buffer_clear(&back);
            sound = sound && varve_text_unpack(varve_span_of(copy, size), 1000, &back, NULL) ==
                                 VARVE_ECORRUPT;
        }
        free(copy);
    }
    ck_assert(sound);
    varve_buffer_free(&back);
    varve_buffer_free(&packed);
}
END_TEST

START_TEST(no_memory_is_reported)
{
    struct varve_heap heap;
    uint8_t text[4000];
    bool done = false;

    fill(text, sizeof text, 1);
    for (uint64_t limit = 0; !done; limit += limit < 4096 ? 256 : limit / 8) {
        struct varve_buffer packed, back;
        varve_heap_init(&heap, NULL, limit);
        varve_buffer_init(&packed, &heap);
        varve_buffer_init(&back, &heap);
        varve_status rc = varve_text_pack(varve_span_of(text, sizeof text), &packed, NULL);
        if (rc == VARVE_OK)
            rc = varve_text_unpack(varve_buffer_span(&packed), sizeof text, &back, NULL);
        done = rc == VARVE_OK;
        ck_assert(done || rc == VARVE_ENOMEM);
        varve_buffer_free(&back);
        varve_buffer_free(&packed);
        ck_assert_uint_eq(varve_heap_used(&heap), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text_pack");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, bit_strings_come_back, 0, 65);
    tcase_add_loop_test(tcase, sections_come_back, 0, 3);
    tcase_add_loop_test(tcase, damaged_sections_are_refused_or_bounded, 0, 3);
    tcase_add_test(tcase, no_memory_is_reported);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
