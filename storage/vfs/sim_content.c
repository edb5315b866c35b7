/*
 * sim_content.c - the bytes of a simulated file: an array of shared pages, copied when written.
 * Invariants I1 and I2 of sim_int.h.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/base/vec.h"

static size_t pages_of(uint64_t size)
{
    return (size_t)((size + VARVE_SIM_PAGE_SIZE - 1) / VARVE_SIM_PAGE_SIZE);
}

struct varve_sim_page *varve_sim_page_create(struct varve_heap *heap)
{
    struct varve_sim_page *page = varve_alloc_zero(heap, 1, sizeof *page);
    if (page != NULL)
        page->refs = 1;
    return page;
}

void varve_sim_page_unref(struct varve_heap *heap, struct varve_sim_page *page)
{
    if (page == NULL)
        return;
    assert(page->refs > 0);
    if (--page->refs == 0)
        varve_free(heap, page, sizeof *page);
}

void varve_sim_content_free(struct varve_heap *heap, struct varve_sim_content *content)
{
    for (size_t i = 0; i < content->count; i++)
        varve_sim_page_unref(heap, content->pages[i]);
    varve_free(heap, content->pages, content->capacity * sizeof *content->pages);
    *content = (struct varve_sim_content){0};
}

/* Make page `count - 1` one that has a slot. */
static int grow(struct varve_heap *heap, struct varve_sim_content *content, size_t count)
{
    if (count <= content->count)
        return 0;
    if (!varve_vec_grow(heap, (void **)&content->pages, sizeof *content->pages, count,
                        &content->capacity))
        return -ENOMEM;
    memset(content->pages + content->count, 0, (count - content->count) * sizeof *content->pages);
    content->count = count;
    return 0;
}

int varve_sim_content_copy(struct varve_heap *heap, struct varve_sim_content *to,
                           const struct varve_sim_content *from)
{
    assert(to->count == 0);
    if (grow(heap, to, from->count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < from->count; i++) {
        to->pages[i] = from->pages[i];
        if (to->pages[i] != NULL)
            to->pages[i]->refs++;
    }
    to->size = from->size;
    return 0;
}

/* The page in slot `i`, made this content's alone, to be written to. */
static struct varve_sim_page *own_page(struct varve_heap *heap, struct varve_sim_content *content,
                                       size_t i)
{
    struct varve_sim_page *old = content->pages[i];

    if (old == NULL || old->refs > 1) {
        struct varve_sim_page *page = varve_sim_page_create(heap);
        if (page == NULL)
            return NULL;
        if (old != NULL) {
            memcpy(page->bytes, old->bytes, sizeof page->bytes);
            old->refs--;
        }
        content->pages[i] = page;
    }
    content->pages[i]->hashed = false;
    return content->pages[i];
}

int varve_sim_content_put(struct varve_heap *heap, struct varve_sim_content *content, size_t i,
                          struct varve_sim_page *page, uint32_t from, uint32_t to)
{
    assert(from < to && to <= VARVE_SIM_PAGE_SIZE);
    if (grow(heap, content, i + 1) < 0)
        return -ENOMEM;
    if (from == 0 && to == VARVE_SIM_PAGE_SIZE) {
        page->refs++;
        varve_sim_page_unref(heap, content->pages[i]);
        content->pages[i] = page;
        return 0;
    }
    struct varve_sim_page *own = own_page(heap, content, i);
    if (own == NULL)
        return -ENOMEM;
    memcpy(own->bytes + from, page->bytes + from, to - from);
    return 0;
}

int varve_sim_content_fill(struct varve_heap *heap, struct varve_sim_content *content,
                           uint64_t offset, const uint8_t *bytes, size_t size)
{
    if (grow(heap, content, pages_of(offset + size)) < 0)
        return -ENOMEM;
    while (size > 0) {
        const size_t at = (size_t)(offset % VARVE_SIM_PAGE_SIZE);
        const size_t n = size < VARVE_SIM_PAGE_SIZE - at ? size : VARVE_SIM_PAGE_SIZE - at;
        struct varve_sim_page *page =
            own_page(heap, content, (size_t)(offset / VARVE_SIM_PAGE_SIZE));
        if (page == NULL)
            return -ENOMEM;
        memcpy(page->bytes + at, bytes, n);
        offset += n;
        bytes += n;
        size -= n;
    }
    if (content->size < offset)
        content->size = offset;
    return 0;
}

int varve_sim_content_resize(struct varve_heap *heap, struct varve_sim_content *content,
                             uint64_t size)
{
    const size_t keep = pages_of(size);
    const size_t tail = (size_t)(size % VARVE_SIM_PAGE_SIZE);

    if (tail != 0 && keep <= content->count && content->pages[keep - 1] != NULL) {
        struct varve_sim_page *page = content->pages[keep - 1];
        size_t i = tail;
        while (i < VARVE_SIM_PAGE_SIZE && page->bytes[i] == 0)
            i++;
        if (i < VARVE_SIM_PAGE_SIZE) { /* only then is it worth a page of its own */
            page = own_page(heap, content, keep - 1);
            if (page == NULL)
                return -ENOMEM;
            memset(page->bytes + tail, 0, VARVE_SIM_PAGE_SIZE - tail);
        }
    }
    while (content->count > keep)
        varve_sim_page_unref(heap, content->pages[--content->count]);
    content->size = size;
    return 0;
}

int varve_sim_content_reserve(struct varve_heap *heap, struct varve_sim_content *content,
                              uint64_t size, struct varve_sim_page *zero)
{
    if (grow(heap, content, pages_of(size)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < pages_of(size); i++)
        if (content->pages[i] == NULL) {
            content->pages[i] = zero;
            zero->refs++;
        }
    if (content->size < size)
        content->size = size;
    return 0;
}

size_t varve_sim_content_read(const struct varve_sim_content *content, uint64_t offset,
                              void *buffer, size_t size)
{
    uint8_t *to = buffer;

    if (offset >= content->size)
        return 0;
    if (size > content->size - offset)
        size = (size_t)(content->size - offset);
    for (size_t left = size; left > 0;) {
        const size_t i = (size_t)(offset / VARVE_SIM_PAGE_SIZE);
        const size_t at = (size_t)(offset % VARVE_SIM_PAGE_SIZE);
        const size_t n = left < VARVE_SIM_PAGE_SIZE - at ? left : VARVE_SIM_PAGE_SIZE - at;
        if (i < content->count && content->pages[i] != NULL)
            memcpy(to, content->pages[i]->bytes + at, n);
        else
            memset(to, 0, n);
        to += n;
        offset += n;
        left -= n;
    }
    return size;
}

uint64_t varve_sim_content_pages(const struct varve_sim_content *content)
{
    uint64_t n = 0;

    for (size_t i = 0; i < content->count; i++)
        n += content->pages[i] != NULL;
    return n;
}

uint64_t varve_sim_content_holes(const struct varve_sim_content *content, uint64_t offset,
                                 uint64_t size)
{
    uint64_t n = 0;

    for (size_t i = (size_t)(offset / VARVE_SIM_PAGE_SIZE); i < pages_of(offset + size); i++)
        n += i >= content->count || content->pages[i] == NULL;
    return n;
}

static uint64_t page_hash(struct varve_sim_page *page)
{
    if (!page->hashed) {
        page->hash = varve_hash64(page->bytes, sizeof page->bytes, 0);
        page->hashed = true;
    }
    return page->hash;
}

/* A hole and a page of zeros hash alike. */
uint64_t varve_sim_content_hash(const struct varve_sim_content *content,
                                struct varve_sim_page *zero)
{
    uint64_t hash = varve_mix64(content->size + 1);

    for (size_t i = 0; i < pages_of(content->size); i++) {
        struct varve_sim_page *page =
            i < content->count && content->pages[i] != NULL ? content->pages[i] : zero;
        hash = varve_mix64(hash ^ page_hash(page)) + i;
    }
    return hash;
}
