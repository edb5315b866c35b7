/*
 * fuzz_directory.c - any bytes as pages of a partition directory: searching ends, within bounds.
 *
 * Input: pages, each [2 bytes size] [bytes]; a child's offset chooses a page.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "index/partition_directory.h"

#define PAGES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pages {
    uint8_t *bytes[PAGES_MAX]; /* copies of exact size, so that one byte too far is seen */
    size_t size[PAGES_MAX];
    uint32_t n;
    long held;
};

static varve_status fetch(void *ctx, const struct varve_page_ref *ref, struct varve_page *ret_page,
                          varve_error *err)
{
    struct pages *p = ctx;
    const uint32_t i = (uint32_t)(ref->offset % p->n);

    (void)err;
    p->held++;
    *ret_page = (struct varve_page){{p->bytes[i], p->size[i]}, p};
    return VARVE_OK;
}

static void release(void *ctx, struct varve_page *page)
{
    struct pages *p = ctx;

    (void)page;
    p->held--;
}

static varve_status count_child(void *ctx, struct varve_span separator, uint64_t ordinal,
                                const struct varve_page_ref *ref, varve_error *err)
{
    (void)separator;
    (void)ordinal;
    (void)ref;
    (void)err;
    ++*(uint32_t *)ctx;
    return VARVE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pages p = {.n = 0};
    struct varve_reader r = varve_reader_of(varve_span_of(data, size));

    while (p.n < PAGES_MAX && varve_reader_left(&r) > 2) {
        size_t n = varve_read_u16(&r);

        n = n < varve_reader_left(&r) ? n : varve_reader_left(&r);
        const struct varve_span bytes = varve_read_bytes(&r, n);
        p.bytes[p.n] = malloc(n + (n == 0));
        assert(p.bytes[p.n] != NULL);
        if (n > 0)
            memcpy(p.bytes[p.n], bytes.data, n);
        p.size[p.n++] = n;
    }
    if (p.n == 0)
        return 0;

    const struct varve_directory directory = {.store = {&p, fetch, release}, .partitions = 5000};
    struct varve_directory_cursor cursor;
    struct varve_directory_entry e;
    varve_directory_cursor_init(&cursor, &directory);
    for (uint64_t i = 0; i < 64; i++)
        (void)varve_directory_at(&cursor, i < 40 ? i : i * 97, &e, NULL);
    for (size_t i = 0; i < 16 && i < size; i++)
        (void)varve_directory_seek(&cursor, varve_span_of(data + i, (size - i) / (i + 1) % 600), &e,
                                   NULL);
    varve_directory_cursor_close(&cursor);
    assert(p.held == 0);
    for (uint32_t i = 0; i < p.n; i++) {
        uint32_t children = 0;
        bool is_leaf;

        (void)varve_directory_children(varve_span_of(p.bytes[i], p.size[i]), &is_leaf, count_child,
                                       &children, NULL);
        free(p.bytes[i]);
    }
    return 0;
}
