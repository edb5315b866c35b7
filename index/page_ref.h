/*
 * page_ref.h - how the parts of an index name blocks of a file that they know nothing about.
 */
#ifndef VARVE_INDEX_PAGE_REF_H
#define VARVE_INDEX_PAGE_REF_H

#include "storage/base/bytes.h"
#include "storage/base/error.h"

/* A block of the file, and the checksum that its holder promises. */
struct varve_page_ref {
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

/* A block in memory, verified; `token` is its owner's. */
struct varve_page {
    struct varve_span bytes;
    void *token;
};

/* Where a builder puts its blocks. Where one came to stand is known only when the owner says so,
 * hence the two steps; a ticket is a number of the owner's. */
struct varve_page_sink {
    void *ctx;
    varve_status (*emit)(void *ctx, struct varve_span bytes, uint64_t *ret_ticket,
                         varve_error *err);
    varve_status (*locate)(void *ctx, uint64_t ticket, struct varve_page_ref *ret_ref,
                           varve_error *err);
};

/* Where a reader takes them from. Every fetched page is released. */
struct varve_page_store {
    void *ctx;
    varve_status (*fetch)(void *ctx, const struct varve_page_ref *ref, struct varve_page *ret_page,
                          varve_error *err);
    void (*release)(void *ctx, struct varve_page *page);
};

#endif
