/*
 * manifest_int.h - an open manifest and how its pages are read, shared by manifest.c and
 * manifest_verify.c. Private to storage/manifest.
 */
#ifndef VARVE_MANIFEST_MANIFEST_INT_H
#define VARVE_MANIFEST_MANIFEST_INT_H

#include "storage/manifest/manifest_format.h"

struct varve_manifest {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    bool read_only;
    struct varve_file *file;
    struct varve_version *version; /* one reference */
    uint64_t generation;
    uint8_t uuid[16];
    struct varve_manifest_header header; /* of a generation that was read */
    uint32_t pages;                      /* of the file */
    uint32_t next_page;                  /* where the next edit goes */
    uint64_t bytes;                      /* written since open */
    uint64_t repairs;                    /* pages made good by their copy */
    struct varve_manifest_unread {       /* the last page that the disk did not give back */
        uint32_t page_no;
        int64_t os; /* its negative errno; 0: there was none */
    } unread;
    uint64_t seen_generation, seen_number; /* what the last refresh reported */
    varve_error failure;                   /* since which what is on the disk is unknown (N2) */
};

static inline uint32_t varve_manifest_pages_of(uint64_t size)
{
    return (uint32_t)((size + VARVE_PAGE_PAYLOAD - 1) / VARVE_PAGE_PAYLOAD);
}

/* One that the disk does not give back, though asked again, is noted in manifest->unread and reads as a
 * page that is ROT: a copy makes it good. Whoever finds none has to look there before he calls it damage,
 * or the end. */
varve_status varve_manifest_read_page(struct varve_manifest *manifest, const char *name,
                                      uint32_t page_no, uint8_t *out, varve_error *err);
/* What was not read until now has no part in what is decided next. */
static inline void varve_manifest_forget_unread(struct varve_manifest *manifest)
{
    manifest->unread = (struct varve_manifest_unread){0};
}

/* EIO of the page that manifest->unread notes. */
varve_status varve_manifest_unread_error(const struct varve_manifest *manifest, const char *name,
                                         varve_error *err);
enum varve_page_class varve_manifest_classify(const struct varve_manifest *manifest,
                                              const uint8_t *page, uint32_t page_no,
                                              struct varve_page_trailer *ret_trailer);
/* Gather `size` bytes from the pages at `first`; false: some page is not as it was written.
 * `record`: what the first page says of records. */
varve_status varve_manifest_gather(struct varve_manifest *manifest, const char *name,
                                   uint32_t first, uint64_t size, uint16_t record,
                                   struct varve_buffer *out, bool *ret_valid, varve_error *err);

#endif
