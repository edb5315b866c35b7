/*
 * wal_audit.c - see wal_audit.h.
 */
#include "storage/wal/wal_audit.h"

#include <errno.h>

#include "storage/base/alloc.h"

#define WINDOW_PAGES 64u
#define NO_PAGE UINT32_MAX

struct segment_check {
    const struct varve_wal_audit *audit;
    const struct varve_wal_listed *listed;
    struct varve_file *file;
    char name[VARVE_WAL_NAME_MAX];
    uint32_t zero_from; /* zero pages since then, as far as no other page followed; or NO_PAGE */
    uint32_t seal;      /* its page, or NO_PAGE */
    uint64_t problems;
};

static void tell(struct segment_check *c, uint64_t offset, const char *what, const char *detail)
{
    varve_error problem;

    varve_error_set(&problem, VARVE_ECORRUPT, c->name, offset, "%s%s%s", what,
                    detail == NULL ? "" : ": ", detail == NULL ? "" : detail);
    c->audit->report(c->audit->ctx, &problem);
    c->problems++;
}

static void tell_page(struct segment_check *c, uint32_t page_no, const char *what,
                      const char *detail)
{
    tell(c, (uint64_t)page_no * VARVE_PAGE_SIZE, what, detail);
}

/* Something follows pages that are zero: they have been lost. */
static void end_zeros(struct segment_check *c)
{
    if (c->zero_from != NO_PAGE)
        tell_page(c, c->zero_from, "pages of a log segment are lost, from this one on", NULL);
    c->zero_from = NO_PAGE;
}

static void check_sealed_page(struct segment_check *c, uint32_t page_no,
                              enum varve_page_class class, const struct varve_page_trailer *t)
{
    if (c->seal != NO_PAGE) {
        if (class != VARVE_PAGE_ZERO)
            tell_page(c, page_no, "a page behind the end of a log segment is not zero", NULL);
        return;
    }
    if (class == VARVE_PAGE_ZERO) {
        c->zero_from = c->zero_from == NO_PAGE ? page_no : c->zero_from;
        return;
    }
    end_zeros(c);
    if (class != VARVE_PAGE_VALID)
        tell_page(c, page_no, "a page of the log is damaged", varve_page_class_name(class));
    else if (t->flags == VARVE_PAGE_SEAL)
        c->seal = page_no;
}

static void check_page(struct segment_check *c, uint32_t page_no, const uint8_t *page)
{
    const struct varve_page_place place =
        varve_wal_page_place(c->listed->uuid, c->listed->id, page_no);
    struct varve_page_trailer t = {0};
    const enum varve_page_class class = varve_page_classify(page, &place, &t);

    if (c->listed->sealed)
        check_sealed_page(c, page_no, class, &t);
    else if (class == VARVE_PAGE_ROT || (page_no == 0 && class != VARVE_PAGE_VALID))
        tell_page(c, page_no,
                  page_no == 0 ? "the header of a log segment is lost or damaged"
                               : "a page of the log is damaged",
                  varve_page_class_name(class));
}

/* The disk does not give something back: that is a problem of the file. */
static varve_status tell_unreadable(struct segment_check *c, int64_t rc, uint64_t offset,
                                    const char *doing, varve_error *err)
{
    varve_error problem;
    const varve_status status = varve_error_os(&problem, rc, c->name, offset, doing);

    if (!varve_error_is_unreadable(&problem))
        return varve_error_copy(err, &problem, status);
    c->audit->report(c->audit->ctx, &problem);
    c->problems++;
    return VARVE_OK;
}

/* Check pages [first, first + n). VARVE_END: the file ends in them. *ret_unreadable: they are not all to
 * be had, and if they are more than one nothing has been said of them. */
static varve_status check_window(struct segment_check *c, uint8_t *window, uint32_t first,
                                 uint32_t n, bool *ret_unreadable, varve_error *err)
{
    const uint64_t offset = (uint64_t)first * VARVE_PAGE_SIZE;
    const size_t size = (size_t)n * VARVE_PAGE_SIZE;
    const int64_t got = c->audit->vfs->ops->read(c->file, window, size, offset);

    *ret_unreadable = varve_os_is_unreadable(got);
    if (*ret_unreadable && n > 1)
        return VARVE_OK;
    if (got < 0)
        return tell_unreadable(c, got, offset, "read", err);
    if ((uint64_t)got < size) {
        tell(c, offset + (uint64_t)got, "a log segment is cut short", NULL);
        return VARVE_END;
    }
    for (uint32_t i = 0; i < n; i++)
        check_page(c, first + i, window + (size_t)i * VARVE_PAGE_SIZE);
    return VARVE_OK;
}

static varve_status check_pages(struct segment_check *c, uint8_t *window, uint32_t pages,
                                varve_error *err)
{
    varve_status rc = VARVE_OK;
    bool unreadable;

    for (uint32_t first = 0; first < pages && rc == VARVE_OK; first += WINDOW_PAGES) {
        const uint32_t n = pages - first < WINDOW_PAGES ? pages - first : WINDOW_PAGES;
        rc = check_window(c, window, first, n, &unreadable, err);
        for (uint32_t i = 0; unreadable && n > 1 && i < n && rc == VARVE_OK; i++) {
            bool page_unreadable;
            rc = check_window(c, window, first + i, 1, &page_unreadable, err);
        }
    }
    if (rc != VARVE_OK)
        return rc < 0 ? rc : VARVE_OK;
    if (c->listed->sealed && c->seal == NO_PAGE && c->problems == 0)
        tell_page(c, c->zero_from == NO_PAGE ? pages - 1 : c->zero_from,
                  "the seal of a log segment is lost", NULL);
    return VARVE_OK;
}

static varve_status check_file(struct segment_check *c, uint8_t *window, varve_error *err)
{
    const struct varve_vfs_ops *ops = c->audit->vfs->ops;
    struct varve_file_stat st;

    int rc = ops->open(c->audit->vfs, c->name, VARVE_FILE_READ, &c->file);
    if (rc == -ENOENT) {
        tell(c, VARVE_NO_OFFSET, "a listed log segment is missing", NULL);
        return VARVE_OK;
    }
    if (rc < 0)
        return tell_unreadable(c, rc, VARVE_NO_OFFSET, "open", err);
    rc = ops->stat(c->file, &st);
    varve_status status = VARVE_OK;
    if (rc < 0) {
        status = tell_unreadable(c, rc, VARVE_NO_OFFSET, "stat", err);
    } else {
        if (st.size > c->listed->size)
            tell(c, c->listed->size, "a log segment is longer than it was made", NULL);
        else if (st.size < c->listed->size)
            tell(c, st.size, "a log segment is cut short", NULL);
        const uint64_t size = st.size < c->listed->size ? st.size : c->listed->size;
        status = check_pages(c, window, (uint32_t)(size / VARVE_PAGE_SIZE), err);
    }
    ops->close(c->file);
    return status;
}

varve_status varve_wal_audit(const struct varve_wal_audit *audit, varve_error *err)
{
    const size_t size = (size_t)WINDOW_PAGES * VARVE_PAGE_SIZE;
    uint8_t *window = varve_alloc_aligned(audit->heap, size, VARVE_PAGE_SIZE);
    varve_status rc = VARVE_OK;

    if (window == NULL)
        return varve_error_nomem(err, "a look at the log");
    for (uint32_t i = 0; i < audit->n_segments && rc == VARVE_OK; i++) {
        struct segment_check c = {
            .audit = audit, .listed = &audit->segments[i], .zero_from = NO_PAGE, .seal = NO_PAGE};
        if (audit->live && !c.listed->sealed)
            continue;
        varve_wal_segment_name(c.listed->id, c.name);
        rc = check_file(&c, window, err);
    }
    varve_free_aligned(audit->heap, window, size, VARVE_PAGE_SIZE);
    return rc;
}
