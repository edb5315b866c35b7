/*
 * page_box.h - pages in memory: a sink and a store for tests of index parts.
 */
#ifndef VARVE_TESTS_PAGE_BOX_H
#define VARVE_TESTS_PAGE_BOX_H

#include "index/page_ref.h"
#include "storage/base/alloc.h"

struct page_box {
    uint8_t **pages;
    size_t *sizes;
    size_t n;
    long fetched;
    long held; /* fetched and not released */
};

struct varve_page_sink page_box_sink(struct page_box *box);
struct varve_page_store page_box_store(struct page_box *box);
void page_box_free(struct page_box *box);

#endif
