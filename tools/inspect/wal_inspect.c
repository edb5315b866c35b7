/*
 * wal_inspect.c - the pages and records of one log segment.
 *
 * Pages are read one by one. Records are put together from the payloads of VALID pages; after a
 * damaged page reading goes on at the next page in which a record begins.
 *
 * A segment has its whole size before its header is written, so one with a header that is shorter has
 * been cut. One without, of zeros and of any size, is what a crash leaves of a segment that was being
 * made.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/batch/batch_format.h"
#include "storage/wal/wal_format.h"
#include "tools/inspect/inspect_file.h"

struct wal_inspection {
    struct inspect_file *file;
    FILE *out;
    struct varve_wal_header header;
    uint8_t *bytes; /* of the stream, from the record that is not complete yet */
    size_t size, capacity;
    uint64_t lsn; /* of bytes[0] */
    bool in_step; /* bytes[0] begins a record */
    uint64_t records, rows;
    uint32_t pages[5]; /* by class */
    bool ended;        /* a seal, or pages that were never written */
};

static const char *type_name(uint8_t type)
{
    static const char *const names[] = {
        [VARVE_WAL_DATA] = "data",
        [VARVE_WAL_SCHEMA] = "schema",
        [VARVE_WAL_TABLE_DROP] = "table drop",
        [VARVE_WAL_TABLE_TRUNCATE] = "table truncate",
        [VARVE_WAL_FLOOR] = "floor",
        [VARVE_WAL_INGEST] = "ingest",
        [VARVE_WAL_NOOP] = "noop",
        [VARVE_WAL_CONFIG] = "config",
        [VARVE_WAL_HARDSTATE] = "hardstate",
        [VARVE_WAL_SUFFIX_CUT] = "suffix cut",
        [VARVE_WAL_CHECKPOINT] = "checkpoint",
        [VARVE_WAL_EPOCH] = "epoch",
        [VARVE_WAL_CLOSED_TS] = "closed ts",
        [VARVE_WAL_SLOT] = "slot",
        [VARVE_WAL_SEAL] = "seal",
        [VARVE_WAL_PAD] = "pad",
    };

    return type < sizeof names / sizeof names[0] && names[type] != NULL ? names[type] : "unknown";
}

/* Tables and rows of a DATA payload: the sections' heads need no schema (batch_format.h). */
static void print_sections(struct wal_inspection *w, struct varve_span payload)
{
    struct varve_reader r = varve_reader_of(payload);

    if (varve_read_u8(&r) != VARVE_PAYLOAD_VERSION)
        return;
    const uint64_t sections = varve_read_varint(&r);
    for (uint64_t i = 0; i < sections && !r.failed; i++) {
        const uint8_t kind = varve_read_u8(&r);
        const struct varve_span body = varve_read_bytes(&r, varve_read_u32(&r));
        struct varve_reader in = varve_reader_of(body);
        if (r.failed || kind != VARVE_SECTION_ROWS)
            continue;
        (void)varve_read_u8(&in);
        const uint64_t table = varve_read_varint(&in);
        const uint64_t version = varve_read_varint(&in);
        const uint64_t rows = varve_read_varint(&in);
        if (in.failed)
            continue;
        w->rows += rows;
        (void)fprintf(w->out, ", table %" PRIu64 " (schema %" PRIu64 "): %" PRIu64 " rows", table,
                      version, rows);
    }
}

static void print_record(struct wal_inspection *w, const struct varve_wal_record *record,
                         struct varve_span payload)
{
    (void)fprintf(w->out,
                  "record lsn %" PRIu64 ", index %" PRIu64 ", term %" PRIu64 ", %s, hlc %" PRId64
                  ", payload %" PRIu32 " bytes",
                  record->lsn, record->index, record->term, type_name(record->type), record->hlc,
                  record->payload_size);
    if (record->origin != 0)
        (void)fprintf(w->out, ", origin %" PRIu32 " epoch %" PRIu32 " %" PRIu64 "..%" PRIu64,
                      record->origin, record->origin_epoch, record->origin_first,
                      record->origin_last);
    if (record->type == VARVE_WAL_DATA)
        print_sections(w, payload);
    (void)fputc('\n', w->out);
    w->records++;
}

/* Give up what is not complete: the next page that begins a record is where reading goes on. */
static void lose_step(struct wal_inspection *w)
{
    w->in_step = false;
    w->size = 0;
}

static void take_records(struct wal_inspection *w, uint64_t page_offset)
{
    size_t at = 0;

    while (w->in_step && w->size - at >= VARVE_WAL_RECORD_SIZE) {
        const uint8_t *bytes = w->bytes + at;
        struct varve_wal_record record;
        const uint32_t header_size = varve_wal_record_claim(bytes);
        if (header_size != 0 && w->size - at < header_size)
            break;
        if (header_size == 0 || varve_wal_record_decode((struct varve_span){bytes, header_size},
                                                        w->header.uuid, w->lsn + at, &record) < 0) {
            inspect_file_damage(w->file, page_offset, "a record's header does not hold");
            lose_step(w);
            return;
        }
        if (w->size - at < (size_t)header_size + record.payload_size)
            break;
        const struct varve_span payload = {bytes + header_size, record.payload_size};
        if (record.payload_size > 0 && varve_wal_payload_hash(payload) != record.payload_hash)
            inspect_file_damage(w->file, page_offset, "a record's payload does not hold");
        print_record(w, &record, payload);
        at += header_size + record.payload_size;
    }
    if (w->in_step) {
        memmove(w->bytes, w->bytes + at, w->size - at);
        w->size -= at;
        w->lsn += at;
    }
}

static varve_status append(struct wal_inspection *w, const uint8_t *bytes, size_t size)
{
    if (w->size + size > w->capacity) {
        const size_t capacity = w->capacity * 2 + 65536;
        uint8_t *larger = realloc(w->bytes, capacity);
        varve_error err;
        if (larger == NULL) {
            (void)varve_error_nomem(&err, "a record");
            return inspect_file_failure(w->file, &err);
        }
        w->bytes = larger;
        w->capacity = capacity;
    }
    memcpy(w->bytes + w->size, bytes, size);
    w->size += size;
    return VARVE_OK;
}

static varve_status take_page(struct wal_inspection *w, const uint8_t *page, uint32_t page_no,
                              const struct varve_page_trailer *trailer)
{
    const uint64_t offset = (uint64_t)page_no * VARVE_PAGE_SIZE;
    size_t from = 0;

    if ((trailer->flags & (VARVE_PAGE_SEAL | VARVE_PAGE_IDLE)) != 0) {
        struct varve_wal_seal seal;
        const bool good =
            varve_wal_seal_decode((struct varve_span){page, trailer->used}, &seal) == VARVE_OK;
        w->ended = (trailer->flags & VARVE_PAGE_SEAL) != 0;
        (void)fprintf(w->out, "%s at page %" PRIu32 ", lsn %" PRIu64 "%s\n",
                      w->ended ? "seal" : "idle seal", page_no, trailer->first_lsn,
                      good ? "" : ", malformed");
        if (!good)
            inspect_file_damage(w->file, offset, "the seal is malformed");
        return VARVE_OK;
    }
    if (w->in_step && w->lsn + w->size != trailer->first_lsn) {
        inspect_file_damage(w->file, offset, "the page does not follow the one before it");
        lose_step(w);
    }
    if (!w->in_step) {
        if (trailer->first_record == VARVE_PAGE_NO_RECORD)
            return VARVE_OK;
        from = trailer->first_record;
        w->in_step = true;
        w->size = 0;
        w->lsn = trailer->first_lsn + from;
    }
    const varve_status rc = append(w, page + from, trailer->used - from);
    if (rc == VARVE_OK)
        take_records(w, offset);
    return rc;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* A file that begins with zeros: VARVE_END if there is nothing else in it. */
static varve_status read_unused(struct wal_inspection *w)
{
    uint8_t page[VARVE_PAGE_SIZE];

    for (uint64_t at = 0; at < w->file->size; at += sizeof page) {
        const uint64_t left = w->file->size - at;
        const size_t n = left < sizeof page ? (size_t)left : sizeof page;
        const varve_status rc = inspect_file_read(w->file, at, page, n);
        if (rc < 0)
            return rc;
        if (!is_zero(page, n)) {
            inspect_file_damage(w->file, at,
                                w->file->size < sizeof page
                                    ? "this is no log segment, or one that is cut short"
                                    : "there is something in a log segment that has no header");
            return VARVE_ECORRUPT;
        }
    }
    (void)fprintf(w->out, "log segment, made ahead and never used%s\n",
                  w->file->size == 0 ? "; or cut down to nothing, if the manifest lists it" : "");
    return VARVE_END;
}

/* VARVE_END: the segment was never used. */
static varve_status read_header(struct wal_inspection *w)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer trailer;
    uint8_t uuid[16];
    uint64_t id, size;
    FILE *out = w->out;
    const struct varve_wal_header *h = &w->header;
    varve_status rc = w->file->size < sizeof page
                          ? read_unused(w)
                          : inspect_file_read(w->file, 0, page, sizeof page);

    if (rc != VARVE_OK)
        return rc;
    varve_wal_header_peek(page, uuid, &id, &size);
    const struct varve_page_place place = varve_wal_page_place(uuid, id, 0);
    const enum varve_page_class class = varve_page_classify(page, &place, &trailer);
    if (class == VARVE_PAGE_ZERO)
        return read_unused(w);
    rc = class == VARVE_PAGE_VALID
             ? varve_wal_header_decode((struct varve_span){page, trailer.used}, &w->header)
             : VARVE_ECORRUPT;
    if (rc < 0) {
        inspect_file_damage(w->file, 0,
                            rc == VARVE_EVERSION ? "this log segment is of a newer version"
                                                 : "this is no log segment, or its header is "
                                                   "damaged");
        return rc;
    }
    (void)fprintf(out, "log segment %016" PRIx64 ", format %u.%u, %" PRIu64 " bytes\n", h->id,
                  h->major, h->minor, h->size);
    (void)fputs("  uuid             ", out);
    inspect_print_hex(out, h->uuid, 16);
    (void)fputs("\n  store            ", out);
    inspect_print_hex(out, h->store_uuid, 16);
    (void)fprintf(out, "\n  begins at lsn    %" PRIu64 "\n", h->base_lsn);
    (void)fprintf(out, "  last record before: index %" PRIu64 ", term %" PRIu64 "\n", h->base_index,
                  h->base_term);
    if (h->prev_id != 0)
        (void)fprintf(out, "  follows          %016" PRIx64 ", which ended at lsn %" PRIu64 "\n",
                      h->prev_id, h->prev_final_lsn);
    w->in_step = true;
    w->lsn = h->base_lsn;
    return VARVE_OK;
}

/* Pages behind the end are not part of the log: never written, or left from an attempt. */
static varve_status read_pages(struct wal_inspection *w)
{
    const uint64_t claimed = w->header.size / VARVE_PAGE_SIZE;
    const uint64_t there = w->file->size / VARVE_PAGE_SIZE;
    varve_status rc = VARVE_OK;

    for (uint32_t n = 1; n < claimed && n < there && rc == VARVE_OK && !w->ended; n++) {
        uint8_t page[VARVE_PAGE_SIZE];
        struct varve_page_trailer trailer;
        const uint64_t offset = (uint64_t)n * VARVE_PAGE_SIZE;
        rc = inspect_file_read(w->file, offset, page, sizeof page);
        if (rc < 0)
            return rc;
        const struct varve_page_place place = varve_wal_page_place(w->header.uuid, w->header.id, n);
        const enum varve_page_class class = varve_page_classify(page, &place, &trailer);
        w->pages[class]++;
        if (class == VARVE_PAGE_VALID) {
            rc = take_page(w, page, n, &trailer);
        } else if (class != VARVE_PAGE_ZERO) {
            inspect_file_damage(w->file, offset,
                                class == VARVE_PAGE_TORN ? "a page that was not written whole"
                                                         : "a damaged page");
            lose_step(w);
        } else if (w->in_step) { /* the end of what was written, or a hole: what follows tells */
            lose_step(w);
        }
    }
    return rc;
}

varve_status inspect_wal(const char *path, const struct inspect_options *options)
{
    struct inspect_file file;
    struct wal_inspection w = {.file = &file, .out = options->out};
    varve_status rc = inspect_file_open(&file, path, options);

    if (rc == VARVE_OK)
        rc = read_header(&w);
    if (rc == VARVE_OK)
        rc = read_pages(&w);
    if (rc == VARVE_OK && file.size < w.header.size) {
        char message[120];
        (void)snprintf(message, sizeof message,
                       "the log segment is cut short: %" PRIu64 " of %" PRIu64 " bytes are there",
                       file.size, w.header.size);
        inspect_file_damage(&file, file.size, message);
    }
    if (rc == VARVE_OK)
        (void)fprintf(w.out,
                      "%" PRIu64 " records, %" PRIu64 " rows; pages: %" PRIu32 " valid, %" PRIu32
                      " never written, %" PRIu32 " torn, %" PRIu32 " damaged\n",
                      w.records, w.rows, w.pages[VARVE_PAGE_VALID], w.pages[VARVE_PAGE_ZERO],
                      w.pages[VARVE_PAGE_TORN], w.pages[VARVE_PAGE_ROT]);
    free(w.bytes);
    if (rc >= 0)
        rc = VARVE_OK;
    if (rc == VARVE_OK && file.damaged)
        rc = VARVE_ECORRUPT;
    inspect_file_close(&file);
    return rc;
}
