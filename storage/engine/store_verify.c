/*
 * store_verify.c - every byte of the store looked at: manifest, log, files.
 *
 * A damaged part, or one that the disk does not give back, is reported and the rest is checked all the
 * same; so is damage that a second copy makes good. While a writer has the store open, here or
 * elsewhere, the segment in use may be half written: then the sealed ones are checked here and that one
 * by the next open. With SALVAGE what the open could not read is reported first.
 *
 * Not looked at, since nothing believes a byte of them: LOCK, READERS, RESERVE, temporary files, older
 * generations of the manifest, segments that are kept aside or were made ahead, strays.
 */
#include <string.h>

#include "storage/batch/batch_format.h"
#include "storage/engine/file_table_int.h"
#include "storage/engine/recover_int.h"
#include "storage/engine/view_int.h"
#include "storage/wal/wal_audit.h"

struct verification {
    varve_store *store;
    struct varve_view *view;
    varve_verify_report report;
    void *ctx;
    varve_progress progress;
    void *progress_ctx;
    uint64_t problems;
    uint64_t rows;
    uint64_t bytes_done, bytes_total;
    bool canceled;
    bool reported; /* by the part being checked, about itself */
};

static void note_problem(void *ctx, const varve_error *problem)
{
    struct verification *v = ctx;

    v->problems++;
    v->reported = true;
    if (v->report != NULL)
        v->report(v->ctx, problem);
}

static bool advance(struct verification *v, uint64_t bytes)
{
    v->bytes_done += bytes;
    if (v->progress != NULL && !v->canceled)
        v->canceled =
            v->progress(v->progress_ctx, v->rows, v->bytes_done,
                        v->bytes_total == 0 ? 1.0
                                            : (double)v->bytes_done / (double)v->bytes_total) != 0;
    return !v->canceled;
}

/* A part that could not be checked to its end: damage is a problem, and so is what the disk does not give
 * back; anything else is an error. */
static varve_status settle(struct verification *v, varve_status rc, const varve_error *detail,
                           varve_error *err)
{
    const bool unreadable = rc < 0 && varve_error_is_unreadable(detail);

    if (unreadable || rc == VARVE_ECORRUPT || rc == VARVE_EVERSION || rc == VARVE_ENOTFOUND) {
        if (unreadable || !v->reported)
            note_problem(v, detail);
        return VARVE_OK;
    }
    return rc < 0 ? varve_error_copy(err, detail, rc) : VARVE_OK;
}

static varve_status check_file(struct verification *v, const struct varve_file_entry *entry,
                               varve_error *err)
{
    struct varve_sst *sst = NULL;
    varve_error detail = {0};

    v->reported = false;
    varve_status rc = varve_file_table_get(v->store, entry, &sst, &detail);
    if (rc == VARVE_OK)
        rc = varve_sst_verify(sst, &v->store->heap, note_problem, v, &detail);
    varve_sst_unref(sst);
    v->rows += entry->properties.rows;
    return settle(v, rc, &detail, err);
}

static varve_status check_files(struct verification *v, varve_error *err)
{
    const struct varve_version *version = v->view->version;

    for (uint32_t t = 0; t < version->n_tables; t++) {
        const struct varve_table_entry *table = version->tables[t];
        for (uint64_t f = 0; f < table->n_files; f++) {
            const varve_status rc = check_file(v, table->files[f], err);
            if (rc < 0)
                return rc;
            if (!advance(v, table->files[f]->properties.file_size))
                return VARVE_OK;
        }
    }
    return VARVE_OK;
}

/* Whether somebody may be writing to the store just now. */
static bool is_live(const varve_store *store)
{
    return !store->read_only || store->beside_writer;
}

static varve_status check_manifest(struct verification *v, varve_error *err)
{
    varve_error detail = {0};

    v->reported = false;
    const varve_status rc = varve_manifest_verify(v->store->vfs, &v->store->heap, is_live(v->store),
                                                  note_problem, v, &detail);
    return settle(v, rc, &detail, err);
}

/* Segments of the view that nobody writes any more, in order. */
static uint32_t sealed_prefix(const struct varve_version *version)
{
    uint32_t n = 0;

    while (n < version->n_segments && version->segments[n].sealed)
        n++;
    return n;
}

static varve_status check_records(struct verification *v, struct varve_wal_reader *reader,
                                  varve_error *err)
{
    struct varve_wal_record record;
    struct varve_span payload;
    varve_status rc;

    while ((rc = varve_wal_reader_next(reader, &record, &payload, err)) == VARVE_OK) {
        struct varve_payload *decoded = NULL;
        if (record.type != VARVE_WAL_DATA)
            continue;
        rc = varve_payload_decode(payload, varve_recover_schema, v->store, &v->store->heap,
                                  &decoded, err);
        varve_payload_free(decoded);
        if (rc < 0)
            return rc;
    }
    return rc == VARVE_END ? VARVE_OK : rc;
}

/* What a SALVAGE open could not read. */
static void note_missing(struct verification *v)
{
    for (size_t i = 0; i < v->store->n_findings; i++)
        if (v->store->findings[i].kind == VARVE_FOUND_MISSING)
            note_problem(v, &v->store->findings[i].detail);
}

/* A page that the open could not get past need not be told twice. */
static void note_page(void *ctx, const varve_error *problem)
{
    struct verification *v = ctx;

    for (size_t i = 0; i < v->store->n_findings; i++) {
        const struct varve_finding_entry *f = &v->store->findings[i];
        if (f->kind == VARVE_FOUND_MISSING && strcmp(f->detail.file, problem->file) == 0 &&
            f->detail.offset == problem->offset)
            return;
    }
    note_problem(v, problem);
}

static varve_status check_pages(struct verification *v, varve_error *err)
{
    const struct varve_version *version = v->view->version;
    struct varve_wal_listed *list = NULL;
    varve_status rc = varve_recover_list(v->store, version, version->n_segments, &list, err);

    if (rc < 0 || list == NULL)
        return rc;
    const struct varve_wal_audit audit = {.vfs = v->store->vfs,
                                          .heap = &v->store->heap,
                                          .live = is_live(v->store),
                                          .segments = list,
                                          .n_segments = version->n_segments,
                                          .report = note_page,
                                          .ctx = v};
    rc = varve_wal_audit(&audit, err);
    varve_free(&v->store->heap, list, version->n_segments * sizeof *list);
    return rc;
}

/* First what each page says of itself; if nothing is wrong with them, what they mean together. */
static varve_status check_log(struct verification *v, varve_error *err)
{
    struct varve_wal_reader *reader = NULL;
    varve_error detail = {0};
    const uint32_t n = sealed_prefix(v->view->version);

    v->reported = false;
    note_missing(v);
    varve_status rc = check_pages(v, &detail);
    if (rc == VARVE_OK && n > 0 && !v->reported) {
        rc = varve_recover_reader(v->store, v->view->version, n, &reader, &detail);
        if (rc == VARVE_OK)
            rc = check_records(v, reader, &detail);
        else if (rc == VARVE_END)
            rc = VARVE_OK;
        varve_wal_reader_close(reader);
    }
    for (uint32_t i = 0; i < n; i++)
        (void)advance(v, v->view->version->segments[i].size);
    return settle(v, rc, &detail, err);
}

static uint64_t bytes_of(const struct varve_version *version)
{
    uint64_t bytes = 0;

    for (uint32_t t = 0; t < version->n_tables; t++)
        for (uint64_t f = 0; f < version->tables[t]->n_files; f++)
            bytes += version->tables[t]->files[f]->properties.file_size;
    for (uint32_t i = 0; i < sealed_prefix(version); i++)
        bytes += version->segments[i].size;
    return bytes;
}

varve_status varve_verify(varve_store *store, varve_verify_report report, void *ctx,
                          varve_progress progress, void *progress_ctx, varve_error *err)
{
    struct verification v = {.store = store,
                             .report = report,
                             .ctx = ctx,
                             .progress = progress,
                             .progress_ctx = progress_ctx};
    varve_status rc = varve_store_enter(store, err);

    if (rc == VARVE_OK)
        rc = varve_view_take(store, NULL, &v.view, err);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    v.bytes_total = bytes_of(v.view->version);
    rc = check_manifest(&v, err);
    if (rc == VARVE_OK)
        rc = check_log(&v, err);
    if (rc == VARVE_OK)
        rc = check_files(&v, err);
    varve_view_release(v.view);
    if (rc < 0)
        return varve_heap_explain(&store->heap, rc, err);
    if (v.problems > 0)
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "%llu problem%s found",
                               (unsigned long long)v.problems, v.problems == 1 ? " was" : "s were");
    if (v.canceled)
        return varve_error_set(err, VARVE_ECANCELED, NULL, VARVE_NO_OFFSET,
                               "the check was cancelled");
    return VARVE_OK;
}
