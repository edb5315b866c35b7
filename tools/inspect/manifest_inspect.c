/*
 * manifest_inspect.c - one generation of the manifest: header, snapshot, edits, operation by
 * operation. A damaged copy is named, and the other one is read.
 *
 * A generation has its whole size before it gets its name, so one that is shorter has been cut; a
 * temporary file is what a crash leaves of one that was being written.
 */
#include <inttypes.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/manifest/manifest_format.h"
#include "storage/schema/schema_format.h"
#include "tools/inspect/inspect_file.h"

struct manifest_inspection {
    struct inspect_file *file;
    FILE *out;
    struct varve_manifest_header header;
    uint32_t n_pages; /* of the file */
    bool temporary;   /* by its name: nothing uses it yet */
    struct varve_buffer bytes;
    uint64_t version;
};

static uint32_t pages_of(uint64_t size)
{
    return (uint32_t)((size + VARVE_PAGE_PAYLOAD - 1) / VARVE_PAGE_PAYLOAD);
}

/* ----------------------------------------------------------------------------------- Operations */

static void print_schema(struct manifest_inspection *m, struct varve_span body)
{
    struct varve_schema *schema;
    char text[4096];
    size_t size;

    if (varve_schema_decode(body, &m->file->heap, &schema, NULL) < 0) {
        (void)fputs("schema, malformed\n", m->out);
        m->file->damaged = true;
        return;
    }
    (void)fprintf(m->out, "schema of table %" PRIu32 ", version %" PRIu32 ": ", schema->table_id,
                  schema->version);
    if (varve_schema_text(schema, text, sizeof text, &size) == VARVE_OK)
        (void)fprintf(m->out, "%s\n", text);
    else
        (void)fprintf(m->out, "%s, %" PRIu32 " columns\n", schema->name, schema->n_columns);
    varve_schema_unref(schema);
}

static void print_file(struct manifest_inspection *m, struct varve_reader *r)
{
    const uint64_t id = varve_read_varint(r);
    struct varve_sst_properties p;

    (void)varve_read_varint(r);
    const size_t left = varve_reader_left(r);
    const struct varve_span rest = varve_read_bytes(r, left);
    (void)fprintf(m->out, "file %016" PRIx64 ".sst", id);
    memset(&p, 0, sizeof p);
    if (varve_sst_properties_decode(rest, &m->file->heap, &p, NULL) < 0) {
        (void)fputs(", malformed\n", m->out);
        m->file->damaged = true;
        return;
    }
    (void)fprintf(m->out,
                  " of table %" PRIu32 ": %" PRIu64 " rows, %" PRIu64 " partitions, %" PRIu64
                  " bytes, time %" PRId64 " to %" PRId64 ", log %" PRIu64 " to %" PRIu64 "\n",
                  p.table_id, p.rows, p.partitions, p.file_size, p.first_time, p.last_time,
                  p.lsn_first, p.lsn_end);
    varve_sst_properties_free(&p, &m->file->heap);
}

static void print_segment(struct manifest_inspection *m, struct varve_reader *r)
{
    const uint64_t id = varve_read_varint(r);

    (void)varve_read_bytes(r, 16);
    const uint64_t base = varve_read_u64(r);
    const uint64_t size = varve_read_varint(r);
    const uint8_t sealed = varve_read_u8(r);
    const uint64_t final = varve_read_varint(r);
    (void)varve_read_u64(r);
    (void)fprintf(m->out, "segment %016" PRIx64 ".wal, %" PRIu64 " bytes", id, size);
    if (base != UINT64_MAX)
        (void)fprintf(m->out, ", from lsn %" PRIu64, base);
    if (sealed != 0)
        (void)fprintf(m->out, ", sealed at lsn %" PRIu64, final);
    (void)fputc('\n', m->out);
}

static void print_kept(struct manifest_inspection *m, struct varve_reader *r)
{
    const uint64_t id = varve_read_varint(r);
    const uint64_t lsn = varve_read_varint(r);
    const uint64_t end = varve_read_varint(r);

    (void)fprintf(m->out,
                  "kept aside %016" PRIx64 ".wal, of which lsn %" PRIu64 " to %" PRIu64
                  " was cut away\n",
                  id, lsn, end);
}

static void print_replay(struct manifest_inspection *m, struct varve_reader *r)
{
    const uint64_t lsn = varve_read_varint(r);
    const uint64_t index = varve_read_varint(r);
    const uint64_t term = varve_read_varint(r);

    (void)varve_read_u64(r);
    const int64_t hlc = varve_read_zigzag(r);
    const uint64_t epochs = varve_read_varint(r);
    for (uint64_t i = 0; i < epochs && !r->failed; i++) {
        (void)varve_read_varint(r);
        (void)varve_read_varint(r);
    }
    const uint64_t origins = varve_read_varint(r);
    (void)fprintf(m->out,
                  "replay from lsn %" PRIu64 ": index %" PRIu64 ", term %" PRIu64 ", hlc %" PRId64
                  ", %" PRIu64 " epochs, %" PRIu64 " origins\n",
                  lsn, index, term, hlc, epochs, origins);
    for (uint64_t i = 0; i < origins && !r->failed; i++) {
        const uint64_t id = varve_read_varint(r);
        const uint64_t epoch = varve_read_varint(r);
        const uint64_t last = varve_read_varint(r);
        (void)varve_read_u64(r);
        if (!r->failed)
            (void)fprintf(m->out, "    origin %" PRIu64 ", epoch %" PRIu64 ", last %" PRIu64 "\n",
                          id, epoch, last);
    }
}

static void print_marks(struct manifest_inspection *m, struct varve_reader *r)
{
    const uint64_t table = varve_read_varint(r);
    const uint64_t flushed = varve_read_varint(r);
    const int64_t retention = varve_read_zigzag(r);
    const int64_t write = varve_read_zigzag(r);

    (void)fprintf(m->out, "table %" PRIu64 ": flushed up to lsn %" PRIu64, table, flushed);
    if (retention != INT64_MIN)
        (void)fprintf(m->out, ", retention floor %" PRId64, retention);
    if (write != INT64_MIN)
        (void)fprintf(m->out, ", write floor %" PRId64, write);
    (void)fputc('\n', m->out);
}

static void print_uuid(struct manifest_inspection *m, const char *what, struct varve_reader *r)
{
    const struct varve_span bytes = varve_read_bytes(r, 16);

    (void)fprintf(m->out, "%s ", what);
    if (!r->failed)
        inspect_print_hex(m->out, bytes.data, bytes.size);
    (void)fputc('\n', m->out);
}

/* A body as manifest_format.h lists them. */
static void print_operation(struct manifest_inspection *m, uint64_t tag, struct varve_span body)
{
    static const char *const numbers[] = {[3] = "drop table",
                                          [6] = "drop file",
                                          [8] = "drop segment",
                                          [10] = "durable up to lsn",
                                          [13] = "next file id",
                                          [14] = "next table id",
                                          [16] = "no longer kept: file",
                                          [17] = "next lsn"};
    struct varve_reader r = varve_reader_of(body);

    (void)fputs("  ", m->out);
    switch (tag) {
    case 1:
        print_uuid(m, "store", &r);
        break;
    case 2:
        print_schema(m, body);
        break;
    case 4:
        print_marks(m, &r);
        break;
    case 5:
        print_file(m, &r);
        break;
    case 7:
        print_segment(m, &r);
        break;
    case 9:
        print_replay(m, &r);
        break;
    case 15:
        print_kept(m, &r);
        break;
    case 11:
        (void)fprintf(m->out, "clock: safe now %" PRId64 " us\n", varve_read_zigzag(&r));
        break;
    case 12:
        print_uuid(m, "incarnation", &r);
        break;
    default:
        if (tag < sizeof numbers / sizeof numbers[0] && numbers[tag] != NULL)
            (void)fprintf(m->out, "%s %" PRIu64 "\n", numbers[tag], varve_read_varint(&r));
        else
            (void)fprintf(m->out, "operation %" PRIu64 " of a newer version, %zu bytes\n", tag,
                          body.size);
    }
    if (r.failed) {
        (void)fputs("    malformed\n", m->out);
        m->file->damaged = true;
    }
}

static void print_operations(struct manifest_inspection *m, struct varve_span bytes,
                             uint64_t offset)
{
    struct varve_reader r = varve_reader_of(bytes);

    while (varve_reader_left(&r) > 0) {
        const uint64_t tag = varve_read_varint(&r);
        const struct varve_span body = varve_read_sized(&r, VARVE_MANIFEST_EDIT_MAX);
        if (r.failed) {
            inspect_file_damage(m->file, offset, "the operations are malformed");
            return;
        }
        print_operation(m, tag >> 1, body);
    }
}

/* ---------------------------------------------------------------------------------------- Pages */

static varve_status read_page(struct manifest_inspection *m, uint32_t page_no, uint8_t *page,
                              enum varve_page_class *ret_class,
                              struct varve_page_trailer *ret_trailer)
{
    const varve_status rc =
        inspect_file_read(m->file, (uint64_t)page_no * VARVE_PAGE_SIZE, page, VARVE_PAGE_SIZE);
    const struct varve_page_place place =
        varve_manifest_page_place(m->header.uuid, m->header.generation, page_no);

    if (rc == VARVE_OK)
        *ret_class = varve_page_classify(page, &place, ret_trailer);
    return rc;
}

/* The header, or a seal in its place: whichever holds. VARVE_END as in check_size(). */
static varve_status read_control(struct manifest_inspection *m)
{
    uint64_t generation = 0;
    varve_status found = VARVE_ECORRUPT;

    m->temporary = varve_file_name_parse(m->file->name, &generation) == VARVE_FILE_MANIFEST_TMP;
    for (uint32_t n = 0; n < m->n_pages && found != VARVE_OK; n++) {
        uint8_t page[VARVE_PAGE_SIZE];
        struct varve_page_trailer trailer;
        const varve_status rc =
            inspect_file_read(m->file, (uint64_t)n * VARVE_PAGE_SIZE, page, sizeof page);
        if (rc < 0)
            return rc;
        struct varve_page_place place = varve_manifest_page_place(page + 16, generation, n);
        if (generation == 0) { /* a file that was renamed: what the page claims */
            struct varve_reader r = varve_reader_of((struct varve_span){page + 48, 8});
            place = varve_manifest_page_place(page + 16, varve_read_u64(&r), n);
        }
        if (varve_page_classify(page, &place, &trailer) != VARVE_PAGE_VALID ||
            (trailer.flags & (VARVE_PAGE_HEADER | VARVE_PAGE_SEAL)) == 0) {
            if (n == 0 && !m->temporary)
                inspect_file_damage(m->file, 0, "the header page is damaged, or no manifest's");
            continue;
        }
        found = varve_manifest_header_decode((struct varve_span){page, trailer.used}, &m->header);
        if (found == VARVE_EVERSION) {
            inspect_file_damage(m->file, 0, "this manifest is of a newer version");
            return found;
        }
    }
    if (found == VARVE_OK)
        return VARVE_OK;
    if (m->temporary) {
        (void)fputs("manifest generation, not finished: nothing uses it\n", m->out);
        return VARVE_END;
    }
    inspect_file_damage(m->file, 0, "no header and no seal holds");
    return found;
}

/* Put together the payloads of pages; *ret_valid is false if one of them does not hold. */
static varve_status gather(struct manifest_inspection *m, uint32_t first, uint64_t size,
                           bool *ret_valid)
{
    varve_error err;

    *ret_valid = false;
    varve_buffer_clear(&m->bytes);
    for (uint32_t i = 0; i < pages_of(size); i++) {
        uint8_t page[VARVE_PAGE_SIZE];
        struct varve_page_trailer trailer;
        enum varve_page_class class = VARVE_PAGE_ZERO;
        if (first + i >= m->n_pages)
            return VARVE_OK;
        const varve_status rc = read_page(m, first + i, page, &class, &trailer);
        if (rc < 0)
            return rc;
        if (class != VARVE_PAGE_VALID)
            return VARVE_OK;
        varve_write_bytes(&m->bytes, page, trailer.used);
    }
    if (m->bytes.failed) {
        (void)varve_error_nomem(&err, "the manifest");
        return inspect_file_failure(m->file, &err);
    }
    *ret_valid = m->bytes.size == size;
    return VARVE_OK;
}

static varve_status print_snapshot(struct manifest_inspection *m)
{
    const struct varve_manifest_header *h = &m->header;
    bool shown = false;

    for (uint32_t copy = 0; copy < 2; copy++) {
        const uint32_t first = copy == 0 ? 1 : h->snapshot_pages + 2;
        bool valid;
        const varve_status rc = gather(m, first, h->snapshot_size, &valid);
        if (rc < 0)
            return rc;
        valid = valid && varve_hash64(m->bytes.data, m->bytes.size, 0) == h->snapshot_hash;
        if (!valid)
            inspect_file_damage(m->file, (uint64_t)first * VARVE_PAGE_SIZE,
                                copy == 0 ? "the first copy of the snapshot is damaged"
                                          : "the second copy of the snapshot is damaged");
        if (valid && !shown) {
            (void)fprintf(m->out, "snapshot, version %" PRIu64 "\n", h->version);
            print_operations(m, varve_buffer_span(&m->bytes), VARVE_PAGE_SIZE);
            shown = true;
        }
    }
    return VARVE_OK;
}

/* The edit copy that begins at `page_no`: its pages, or 0 if none holds there. */
static varve_status read_edit(struct manifest_inspection *m, uint32_t page_no,
                              struct varve_manifest_edit *ret_edit, uint32_t *ret_pages,
                              bool *ret_written)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer trailer;
    enum varve_page_class class = VARVE_PAGE_ZERO;
    bool valid;
    varve_status rc = read_page(m, page_no, page, &class, &trailer);

    *ret_pages = 0;
    *ret_written = rc == VARVE_OK && class != VARVE_PAGE_ZERO;
    if (rc < 0 || class != VARVE_PAGE_VALID || trailer.first_record != 0 ||
        varve_manifest_edit_decode((struct varve_span){page, trailer.used}, ret_edit) < 0)
        return rc;
    rc = gather(m, page_no, (uint64_t)VARVE_MANIFEST_EDIT_SIZE + ret_edit->size, &valid);
    if (rc == VARVE_OK && valid &&
        varve_hash64(m->bytes.data + VARVE_MANIFEST_EDIT_SIZE, ret_edit->size, 0) == ret_edit->hash)
        *ret_pages = pages_of((uint64_t)VARVE_MANIFEST_EDIT_SIZE + ret_edit->size);
    return rc;
}

/* Page by page: where a copy does not hold, the next page may begin the other one. */
static varve_status print_edits(struct manifest_inspection *m)
{
    uint32_t page_no = 2 * m->header.snapshot_pages + 3;
    uint64_t edits = 0;

    m->version = m->header.version;
    while (page_no < m->n_pages) {
        struct varve_manifest_edit edit;
        uint32_t pages;
        bool written;
        const varve_status rc = read_edit(m, page_no, &edit, &pages, &written);
        if (rc < 0)
            return rc;
        if (pages == 0) {
            if (written)
                inspect_file_damage(m->file, (uint64_t)page_no * VARVE_PAGE_SIZE,
                                    "a page of an edit is damaged or was not written whole");
            page_no++;
            continue;
        }
        if (edit.version > m->version) {
            (void)fprintf(m->out, "edit, version %" PRIu64 "%s\n", edit.version,
                          edit.version == m->version + 1 ? "" : ", some before it are missing");
            print_operations(
                m, (struct varve_span){m->bytes.data + VARVE_MANIFEST_EDIT_SIZE, edit.size},
                (uint64_t)page_no * VARVE_PAGE_SIZE);
            m->version = edit.version;
            edits++;
        }
        page_no += pages;
    }
    (void)fprintf(m->out, "%" PRIu64 " edits, version %" PRIu64 "\n", edits, m->version);
    return VARVE_OK;
}

/* VARVE_END: a generation that was never finished, of which nothing is believed. */
static varve_status check_size(struct manifest_inspection *m)
{
    const uint64_t size = (uint64_t)m->header.file_pages * VARVE_PAGE_SIZE;
    char message[120];

    if (m->file->size == size)
        return VARVE_OK;
    if (m->temporary) {
        (void)fputs("  not finished: nothing uses it\n", m->out);
        return VARVE_END;
    }
    (void)snprintf(message, sizeof message,
                   m->file->size < size
                       ? "the manifest is cut short: %" PRIu64 " of %" PRIu64 " bytes are there"
                       : "the manifest has grown: %" PRIu64 " instead of %" PRIu64 " bytes",
                   m->file->size, size);
    inspect_file_damage(m->file, m->file->size < size ? m->file->size : size, message);
    return VARVE_OK;
}

varve_status inspect_manifest(const char *path, const struct inspect_options *options)
{
    struct inspect_file file;
    struct manifest_inspection m = {.file = &file, .out = options->out};
    varve_status rc = inspect_file_open(&file, path, options);

    varve_buffer_init(&m.bytes, &file.heap);
    if (rc == VARVE_OK) {
        m.n_pages = (uint32_t)(file.size / VARVE_PAGE_SIZE);
        rc = read_control(&m);
    }
    if (rc == VARVE_OK) {
        (void)fprintf(m.out, "manifest generation %" PRIu64 ", format %u.%u\n", m.header.generation,
                      VARVE_MANIFEST_MAJOR, VARVE_MANIFEST_MINOR);
        (void)fputs("  store ", m.out);
        inspect_print_hex(m.out, m.header.store_uuid, 16);
        (void)fputc('\n', m.out);
        rc = check_size(&m);
    }
    if (rc == VARVE_OK)
        rc = print_snapshot(&m);
    if (rc == VARVE_OK)
        rc = print_edits(&m);
    varve_buffer_free(&m.bytes);
    if (rc == VARVE_END)
        rc = VARVE_OK;
    if (rc == VARVE_OK && file.damaged)
        rc = VARVE_ECORRUPT;
    inspect_file_close(&file);
    return rc;
}
