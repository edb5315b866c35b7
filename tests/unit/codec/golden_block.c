/*
 * golden_block.c - blocks that were written once must decode to what they decoded to then.
 *
 *     golden_block DIRECTORY           check every file of tests/golden/block/vN
 *     golden_block --write DIRECTORY   write the files of the version that is current
 *     golden_block --seeds DIRECTORY   write the same blocks as inputs of fuzz_block
 *
 * A golden file is text: the lane and rows, the block in hexadecimal, then everything it decodes
 * to. Checking decodes the block and compares the whole text, so nothing of it goes unread.
 * Files are added when a codec is added, and never changed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block_samples.h"

struct golden {
    const char *name;
    uint8_t lane;
    enum sample_shape shape;
    uint32_t rows;
    enum sample_state states;
    uint32_t flags;
};

static const struct golden goldens[] = {
    {"i8_const", VARVE_LANE_I8, SHAPE_CONST, 20, STATES_SOME, 0},
    {"i8_for", VARVE_LANE_I8, SHAPE_NARROW, 40, STATES_ALL, 0},
    {"i8_raw", VARVE_LANE_I8, SHAPE_RANDOM, 20, STATES_DELETED, 0},
    {"i16_delta", VARVE_LANE_I16, SHAPE_STEPS, 33, STATES_ALL, 0},
    {"i16_for", VARVE_LANE_I16, SHAPE_NARROW, 129, STATES_GAP, 0},
    {"i32_dfor", VARVE_LANE_I32, SHAPE_WALK, 130, STATES_ALL, 0},
    {"i32_codes", VARVE_LANE_I32, SHAPE_NARROW, 150, STATES_SOME, VARVE_ENCODE_CODES},
    {"i64_none", VARVE_LANE_I64, SHAPE_RANDOM, 100, STATES_NONE, 0},
    {"i64_const", VARVE_LANE_I64, SHAPE_CONST, 100, STATES_ALL, 0},
    {"i64_delta", VARVE_LANE_I64, SHAPE_STEPS, 100, STATES_ALL, 0},
    {"i64_for_small", VARVE_LANE_I64, SHAPE_NARROW, 127, STATES_ALL, 0},
    {"i64_for", VARVE_LANE_I64, SHAPE_NARROW, 128, STATES_GAP, 0},
    {"i64_dfor", VARVE_LANE_I64, SHAPE_WALK, 300, STATES_ALL, 0},
    {"i64_dfor_small", VARVE_LANE_I64, SHAPE_WALK, 60, STATES_ALL, 0},
    {"i64_rle", VARVE_LANE_I64, SHAPE_RUNS, 250, STATES_ALL, 0},
    {"i64_raw", VARVE_LANE_I64, SHAPE_EXTREMES, 30, STATES_DELETED, 0},
    {"i64_ticks", VARVE_LANE_I64, SHAPE_TICKS, 140, STATES_SOME, 0},
    {"i64_ticks_small", VARVE_LANE_I64, SHAPE_TICKS, 50, STATES_ALL, 0},
    {"i64_ladder", VARVE_LANE_I64, SHAPE_LADDER, 300, STATES_ALL, 0},
    {"i32_ladder_small", VARVE_LANE_I32, SHAPE_LADDER, 90, STATES_ALL, VARVE_ENCODE_LOG},
    {"dec_ticks", VARVE_LANE_DEC, SHAPE_TICKS, 130, STATES_ALL, 0},
    {"f32_const", VARVE_LANE_F32, SHAPE_CONST, 20, STATES_ALL, 0},
    {"f32_raw", VARVE_LANE_F32, SHAPE_EXTREMES, 20, STATES_ALL, 0},
    {"f64_rle", VARVE_LANE_F64, SHAPE_RUNS, 150, STATES_ALL, 0},
    {"f64_raw", VARVE_LANE_F64, SHAPE_EXTREMES, 24, STATES_SOME, 0},
    {"f32_alp", VARVE_LANE_F32, SHAPE_PRICES, 60, STATES_ALL, 0},
    {"f64_alp_div", VARVE_LANE_F64, SHAPE_PRICES, 140, STATES_GAP, 0},
    {"f64_alp_mul", VARVE_LANE_F64, SHAPE_SCALED, 130, STATES_SOME, 0},
    {"f64_alp_small", VARVE_LANE_F64, SHAPE_NARROW, 40, STATES_ALL, 0},
    {"f64_alp_steps", VARVE_LANE_F64, SHAPE_STEPS, 50, STATES_DELETED, 0},
    {"b16_const", VARVE_LANE_B16, SHAPE_CONST, 10, STATES_ALL, 0},
    {"b16_rle", VARVE_LANE_B16, SHAPE_RUNS, 60, STATES_ALL, 0},
    {"b16_raw", VARVE_LANE_B16, SHAPE_RANDOM, 10, STATES_SOME, 0},
    {"dec", VARVE_LANE_DEC, SHAPE_WALK, 140, STATES_SOME, 0},
    {"text_const", VARVE_LANE_BYTES, SHAPE_CONST, 50, STATES_ALL, 0},
    {"text", VARVE_LANE_BYTES, SHAPE_NARROW, 40, STATES_SOME, VARVE_ENCODE_LOG},
    {"text_random", VARVE_LANE_BYTES, SHAPE_RANDOM, 20, STATES_ALL, 0},
    {"text_lz4", VARVE_LANE_BYTES, SHAPE_CONST, 80, STATES_SOME, 0},
    {"text_zstd", VARVE_LANE_BYTES, SHAPE_NARROW, 150, STATES_GAP, 0},
};

static void print_hex(struct varve_buffer *out, const char *what, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;

    varve_write_bytes(out, what, strlen(what));
    for (size_t i = 0; i < size; i++) {
        if (i % 48 == 0)
            varve_write_bytes(out, "\n  ", 3);
        varve_write_u8(out, (uint8_t)digits[bytes[i] >> 4]);
        varve_write_u8(out, (uint8_t)digits[bytes[i] & 15]);
    }
    varve_write_u8(out, '\n');
}

/* The whole golden text of a block, or false if it does not decode. */
static bool render(struct varve_span bytes, uint8_t lane, uint32_t n, struct varve_buffer *out)
{
    struct varve_block block;
    struct varve_buffer text;
    char head[64];
    uint64_t values[VARVE_VECTOR_ROWS * 2];
    int8_t scales[VARVE_VECTOR_ROWS];
    uint32_t offsets[VARVE_VECTOR_ROWS + 1] = {0};
    uint64_t live[VARVE_BLOCK_STATE_WORDS], deleted[VARVE_BLOCK_STATE_WORDS];
    varve_status rc;

    if (varve_block_open(bytes, lane, n, &block, NULL) < 0)
        return false;
    (void)snprintf(head, sizeof head, "lane %u rows %u\n", lane, n);
    varve_write_bytes(out, head, strlen(head));
    print_hex(out, "block", bytes.data, bytes.size);
    varve_block_states(&block, 0, n, live, deleted);
    print_hex(out, "live", live, VARVE_BITMAP_WORDS(n) * 8);
    print_hex(out, "deleted", deleted, VARVE_BITMAP_WORDS(n) * 8);
    if (block.lane == VARVE_LANE_BYTES) {
        varve_buffer_init(&text, out->heap);
        rc = varve_block_decode_bytes(&block, 0, n, offsets, &text, NULL);
        print_hex(out, "offsets", offsets, (n + 1) * sizeof *offsets);
        print_hex(out, "text", text.data, text.size);
        varve_buffer_free(&text);
        return rc == VARVE_OK;
    }
    rc = varve_block_decode(&block, 0, n, values, scales, NULL);
    print_hex(out, "values", values, (size_t)n * varve_lane_size(block.lane));
    if (block.lane == VARVE_LANE_DEC)
        print_hex(out, "scales", scales, n);
    return rc == VARVE_OK;
}

static int write_file(const char *dir, const char *name, const char *suffix, const uint8_t *first,
                      struct varve_span bytes)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/%s%s", dir, name, suffix);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return -1;
    if (first != NULL)
        (void)fwrite(first, 1, 1, file);
    (void)fwrite(bytes.data, 1, bytes.size, file);
    return fclose(file);
}

static int write_all(const char *dir, bool seeds, struct varve_heap *heap)
{
    struct sample *s = malloc(sizeof *s);
    int rc = s == NULL ? -1 : 0;

    for (size_t i = 0; rc == 0 && i < sizeof goldens / sizeof *goldens; i++) {
        const struct golden *g = &goldens[i];
        struct varve_buffer block, text;
        varve_buffer_init(&block, heap);
        varve_buffer_init(&text, heap);
        sample_fill(s, g->lane, g->shape, g->rows, g->states, 11);
        rc = varve_block_encode(&s->in, g->flags, &block, NULL, NULL);
        if (rc == 0 && !render(varve_buffer_span(&block), g->lane, g->rows, &text))
            rc = -1;
        if (rc == 0)
            rc = seeds ? write_file(dir, g->name, "", &g->lane, varve_buffer_span(&block))
                       : write_file(dir, g->name, ".hex", NULL, varve_buffer_span(&text));
        varve_buffer_free(&text);
        varve_buffer_free(&block);
    }
    free(s);
    return rc;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that stand under "block". */
static void parse_block(const char *text, struct varve_buffer *out)
{
    const char *at = strstr(text, "\nblock\n");

    for (at = at == NULL ? "" : at + 7; *at == ' '; at++) {
        for (at += 2; nibble(at[0]) >= 0 && nibble(at[1]) >= 0; at += 2)
            varve_write_u8(out, (uint8_t)(nibble(at[0]) << 4 | nibble(at[1])));
    }
}

static bool check_file(const char *path, struct varve_heap *heap)
{
    static char text[1 << 20];
    struct varve_buffer block, again;
    unsigned lane = 0, rows = 0;
    FILE *file = fopen(path, "rb");
    const size_t size = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);

    text[size] = '\0';
    if (file != NULL)
        (void)fclose(file);
    varve_buffer_init(&block, heap);
    varve_buffer_init(&again, heap);
    parse_block(text, &block);
    const bool sound = sscanf(text, "lane %u rows %u", &lane, &rows) == 2 &&
                       render(varve_buffer_span(&block), (uint8_t)lane, rows, &again) &&
                       again.size == size && memcmp(again.data, text, size) == 0;
    varve_buffer_free(&again);
    varve_buffer_free(&block);
    if (!sound)
        fprintf(stderr, "%s does not decode to what it says\n", path);
    return sound;
}

static int check_all(const char *dir_name, struct varve_heap *heap)
{
    DIR *dir = opendir(dir_name);
    size_t checked = 0, failed = 0;

    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char path[4096];
        if (strstr(e->d_name, ".hex") == NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir_name, e->d_name);
        checked++;
        failed += !check_file(path, heap);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return failed == 0 && checked >= sizeof goldens / sizeof *goldens ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct varve_heap heap;
    int rc = -1;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        rc = write_all(argv[2], false, &heap);
    else if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        rc = write_all(argv[2], true, &heap);
    else if (argc == 2)
        rc = check_all(argv[1], &heap);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
