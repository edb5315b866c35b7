/*
 * test_codec_stack.c - how deep the calls of codec.h go into the stack, against what it promises.
 *
 * Method: a thread whose stack has been painted runs every lane in every shape through encode, decode,
 * select and fold; the lowest byte that is not paint any more tells the depth. Sanitizers and builds
 * that are not optimised lay frames out in another way, so there is nothing to measure in them.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

#define STACK_SIZE (512u << 10)
#define STACK_MAX (72u << 10) /* codec.h; what the thread takes itself is among it */
#define PAINT 0xa5

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__OPTIMIZE__) && !defined(SANITIZED)
struct job {
    struct sample sample;
    struct varve_heap heap;
    struct varve_buffer out, bytes;
    uint64_t values[VARVE_VECTOR_ROWS * 2];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1];
    struct varve_exact_sum sum;
    uint32_t blocks;
};

static void read_block(struct job *job, const struct varve_block *block)
{
    const uint8_t lane = job->sample.in.lane;
    uint64_t selected[VARVE_BLOCK_STATE_WORDS];
    struct varve_fold fold = {.fsum = &job->sum};
    const uint32_t first = block->n / 3;

    if (lane == VARVE_LANE_BYTES) {
        varve_buffer_clear(&job->bytes);
        (void)varve_block_decode_bytes(block, first, block->n - first, job->offsets, &job->bytes,
                                       NULL);
        return;
    }
    (void)varve_block_decode(block, first, block->n - first, job->values, job->scales, NULL);
    memset(selected, 0xff, sizeof selected);
    if (lane != VARVE_LANE_B16 && lane != VARVE_LANE_DEC)
        (void)varve_block_select(block, first, block->n - first, VARVE_GT,
                                 (union varve_scalar){.i64 = 0}, selected, NULL);
    if (lane != VARVE_LANE_B16)
        (void)varve_block_fold(block, first, block->n - first,
                               VARVE_FOLD_SUM | VARVE_FOLD_MIN | VARVE_FOLD_MAX, &fold, NULL);
}

static void *run(void *argument)
{
    static const uint32_t rows[] = {60, 1000, VARVE_VECTOR_ROWS};
    struct job *job = argument;
    struct varve_block block;
    struct varve_zone zone;

    for (uint32_t i = 0; i < 3u * VARVE_LANE_BYTES * SHAPE_COUNT * STATES_COUNT; i++) {
        const uint8_t lane = (uint8_t)(1 + i / 3 % VARVE_LANE_BYTES);
        sample_fill(&job->sample, lane, (enum sample_shape)(i / 3 / VARVE_LANE_BYTES % SHAPE_COUNT),
                    rows[i % 3], (enum sample_state)(i / 3 / VARVE_LANE_BYTES / SHAPE_COUNT), i);
        varve_buffer_clear(&job->out);
        memset(&zone, 0, sizeof zone);
        if (varve_block_encode(&job->sample.in, VARVE_ENCODE_ZONE, &job->out, &zone, NULL) < 0 ||
            varve_block_open(varve_buffer_span(&job->out), lane, rows[i % 3], &block, NULL) < 0)
            return NULL;
        read_block(job, &block);
        job->blocks++;
    }
    return job;
}

START_TEST(calls_use_no_more_stack_than_promised)
{
    struct job *job = calloc(1, sizeof *job);
    uint8_t *stack = aligned_alloc(4096, STACK_SIZE);
    pthread_attr_t attributes;
    pthread_t thread;
    void *ended = NULL;
    size_t unused = 0;

    ck_assert(job != NULL && stack != NULL);
    varve_heap_init(&job->heap, NULL, UINT64_MAX);
    varve_buffer_init(&job->out, &job->heap);
    varve_buffer_init(&job->bytes, &job->heap);
    memset(stack, PAINT, STACK_SIZE);
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, STACK_SIZE), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, run, job), 0);
    ck_assert_int_eq(pthread_join(thread, &ended), 0);
    ck_assert_ptr_nonnull(ended);
    while (unused < STACK_SIZE && stack[unused] == PAINT)
        unused++;
    ck_assert_msg(STACK_SIZE - unused <= STACK_MAX, "%zu bytes of stack", STACK_SIZE - unused);
    ck_assert_uint_gt(STACK_SIZE - unused, 16u << 10); /* something was measured */
    varve_buffer_free(&job->out);
    varve_buffer_free(&job->bytes);
    ck_assert_int_eq(pthread_attr_destroy(&attributes), 0);
    free(stack);
    free(job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_stack");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, calls_use_no_more_stack_than_promised);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#else
int main(void)
{
    puts("not measured: this build lays frames out in another way");
    return 77; /* skipped */
}
#endif
