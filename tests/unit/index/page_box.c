/*
 * page_box.c - see page_box.h.
 */
#include "tests/unit/index/page_box.h"

#include <stdlib.h>
#include <string.h>

static varve_status box_emit(void *ctx, struct varve_span bytes, uint64_t *ret_ticket,
                             varve_error *err)
{
    struct page_box *box = ctx;

    (void)err;
    if ((box->n & (box->n - 1)) == 0) { /* full: it has room for a power of two */
        const size_t room = box->n == 0 ? 1 : 2 * box->n;
        box->pages = realloc(box->pages, room * sizeof *box->pages);
        box->sizes = realloc(box->sizes, room * sizeof *box->sizes);
        if (box->pages == NULL || box->sizes == NULL)
            abort();
    }
    box->pages[box->n] = malloc(bytes.size + 1);
    if (box->pages[box->n] == NULL)
        abort();
    memcpy(box->pages[box->n], bytes.data, bytes.size);
    box->sizes[box->n] = bytes.size;
    *ret_ticket = box->n++;
    return VARVE_OK;
}

/* A page's offset is its number, plus one. */
static varve_status box_locate(void *ctx, uint64_t ticket, struct varve_page_ref *ret_ref,
                               varve_error *err)
{
    const struct page_box *box = ctx;

    (void)err;
    *ret_ref = (struct varve_page_ref){ticket + 1, box->sizes[ticket], ticket * 7};
    return VARVE_OK;
}

static varve_status box_fetch(void *ctx, const struct varve_page_ref *ref,
                              struct varve_page *ret_page, varve_error *err)
{
    struct page_box *box = ctx;

    if (ref->offset == 0 || ref->offset > box->n || ref->size != box->sizes[ref->offset - 1])
        return varve_error_set(err, VARVE_ECORRUPT, NULL, ref->offset, "no such page");
    box->fetched++;
    box->held++;
    *ret_page = (struct varve_page){{box->pages[ref->offset - 1], (size_t)ref->size}, box};
    return VARVE_OK;
}

static void box_release(void *ctx, struct varve_page *page)
{
    struct page_box *box = ctx;

    if (page->token != box)
        abort();
    box->held--;
}

struct varve_page_sink page_box_sink(struct page_box *box)
{
    return (struct varve_page_sink){box, box_emit, box_locate};
}

struct varve_page_store page_box_store(struct page_box *box)
{
    return (struct varve_page_store){box, box_fetch, box_release};
}

void page_box_free(struct page_box *box)
{
    for (size_t i = 0; i < box->n; i++)
        free(box->pages[i]);
    free(box->pages);
    free(box->sizes);
    *box = (struct page_box){.n = 0};
}
