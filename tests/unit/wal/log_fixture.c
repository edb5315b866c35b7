/*
 * log_fixture.c - see log_fixture.h.
 */
#include "tests/unit/wal/log_fixture.h"

#include <check.h>
#include <string.h>

#include "storage/base/checksum.h"

#define PAYLOAD_MAX 20000

void log_init(struct log *log, uint64_t seed)
{
    memset(log, 0, sizeof *log);
    varve_heap_init(&log->heap, NULL, UINT64_MAX);
    mem_disk_init(&log->disk, seed);
    log->segment_size = VARVE_WAL_SEGMENT_MIN;
    log->next_id = 1;
}

void log_free(struct log *log)
{
    varve_wal_writer_destroy(log->writer);
    log->writer = NULL;
    ck_assert_msg(log->disk.violation == NULL, "%s", log->disk.violation);
    ck_assert_uint_eq(varve_heap_used(&log->heap), 0);
    mem_disk_free(&log->disk);
}

varve_status log_writer(struct log *log, const struct varve_wal_start *start)
{
    const struct varve_wal_options options = {.vfs = &log->disk.vfs, .heap = &log->heap};
    const struct varve_wal_start fresh = {.prev_final_lsn = log->base_lsn,
                                          .base_lsn = log->base_lsn};

    return varve_wal_writer_create(&options, start == NULL ? &fresh : start, &log->writer,
                                   &log->err);
}

static void reap_some(struct log *log)
{
    struct varve_wal_group_done done[8];
    const int n = varve_wal_reap(log->writer, true, UINT64_MAX, done, 8);

    for (int i = 0; i < n; i++)
        log->given += done[i].status == VARVE_OK;
}

varve_status log_segment(struct log *log)
{
    struct varve_wal_segment *segment;
    varve_status rc = varve_wal_segment_create(&log->disk.vfs, &log->heap, log->next_id,
                                               log->segment_size, true, &segment, &log->err);

    if (rc < 0)
        return rc;
    do {
        rc = varve_wal_segment_step(segment, &log->err);
    } while (rc == VARVE_OK);
    if (rc < 0) {
        varve_wal_segment_close(segment, true);
        return rc;
    }
    ck_assert(varve_wal_segment_ready(segment));
    uint64_t base = 0;
    int prepared;
    while ((prepared = varve_wal_prepare_next(log->writer, segment, &base, &log->err)) ==
           VARVE_WAL_BUSY)
        reap_some(log);
    if (prepared < 0) {
        varve_wal_segment_close(segment, true);
        return (varve_status)prepared;
    }
    ck_assert_int_eq(prepared, VARVE_OK);
    ck_assert_uint_lt(log->n_listed, LOG_SEGMENTS);
    struct varve_wal_listed *const l = &log->listed[log->n_listed++];
    *l = (struct varve_wal_listed){.id = varve_wal_segment_id(segment),
                                   .base_lsn = base,
                                   .size = varve_wal_segment_size(segment)};
    memcpy(l->uuid, varve_wal_segment_uuid(segment), 16);
    log->next_id++;
    varve_wal_use_next(log->writer, segment);
    return VARVE_OK;
}

void log_payload(uint64_t index, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(index * 31 + i * 7 + (i >> 8));
}

varve_status log_append(struct log *log, bool durable, size_t size, uint64_t *ret_end)
{
    uint8_t payload[PAYLOAD_MAX];
    const uint64_t index = varve_wal_last_index(log->writer) + 1;
    struct varve_wal_record r = {.type = size == 0 ? VARVE_WAL_NOOP : VARVE_WAL_DATA,
                                 .term = 1 + index / 50,
                                 .hlc = (int64_t)index * 2};
    uint64_t ticket;

    ck_assert_uint_le(size, sizeof payload);
    log_payload(index, payload, size);
    const struct varve_span span = varve_span_of(payload, size);
    r.payload_hash = varve_wal_payload_hash(span);
    for (;;) {
        int rc = varve_wal_append(log->writer, &r, span, ret_end, &log->err);

        if (rc <= 0)
            return (varve_status)rc;
        if (rc == VARVE_WAL_SEGMENT) {
            rc = log_segment(log);
            if (rc < 0)
                return (varve_status)rc;
        } else if (rc == VARVE_WAL_BUSY) {
            reap_some(log);
        } else {
            (void)varve_wal_submit(log->writer, &ticket);
            while ((rc = varve_wal_begin(log->writer, durable, &log->err)) == VARVE_WAL_BUSY)
                reap_some(log);
            if (rc < 0)
                return (varve_status)rc;
        }
    }
}

varve_status log_put(struct log *log, bool durable, size_t size)
{
    uint64_t ticket, end;
    int rc;

    while ((rc = varve_wal_begin(log->writer, durable, &log->err)) == VARVE_WAL_BUSY)
        reap_some(log);
    if (rc < 0)
        return (varve_status)rc;
    const varve_status put = log_append(log, durable, size, &end);
    const varve_status sub = varve_wal_submit(log->writer, &ticket);
    ck_assert(sub == VARVE_OK || put < 0);
    return put;
}

varve_status log_drain(struct log *log)
{
    while (varve_wal_in_flight(log->writer) > 0)
        reap_some(log);
    log->durable_end = varve_wal_durable_lsn(log->writer);
    return varve_wal_error(log->writer, &log->err);
}

void log_writer_end(struct log *log)
{
    varve_wal_writer_destroy(log->writer);
    log->writer = NULL;
}

struct varve_file *log_file(struct log *log, uint32_t i)
{
    char name[VARVE_WAL_NAME_MAX];

    varve_wal_segment_name(log->listed[i].id, name);
    struct varve_file *const file = mem_disk_file(&log->disk, name);
    ck_assert_ptr_nonnull(file);
    return file;
}

uint8_t *log_page_open(struct log *log, uint32_t i, uint32_t page_no,
                       struct varve_page_trailer *ret_trailer)
{
    const struct varve_wal_listed *const l = &log->listed[i];
    const struct varve_page_place place = varve_wal_page_place(l->uuid, l->id, page_no);
    uint8_t *const page = log_file(log, i)->now + (size_t)page_no * VARVE_PAGE_SIZE;

    ck_assert_int_eq(varve_page_classify(page, &place, ret_trailer), VARVE_PAGE_VALID);
    return page;
}

void log_page_seal(struct log *log, uint32_t i, uint32_t page_no,
                   const struct varve_page_trailer *trailer)
{
    const struct varve_wal_listed *const l = &log->listed[i];
    const struct varve_page_place place = varve_wal_page_place(l->uuid, l->id, page_no);

    (void)varve_page_encode(log_file(log, i)->now + (size_t)page_no * VARVE_PAGE_SIZE, &place,
                            trailer);
}

struct varve_wal_reader_options log_reader_options(struct log *log, uint32_t mode)
{
    return (struct varve_wal_reader_options){.vfs = &log->disk.vfs,
                                             .heap = &log->heap,
                                             .mode = mode,
                                             .segments = log->listed,
                                             .n_segments = log->n_listed,
                                             .start_lsn = log->base_lsn};
}

varve_status log_check(struct log *log, const struct varve_wal_reader_options *options,
                       struct varve_wal_verdict *ret_verdict, uint64_t *ret_n)
{
    uint8_t payload[PAYLOAD_MAX];
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_record r;
    struct varve_span span;
    uint64_t index = options->start_index;

    *ret_n = 0;
    varve_status rc = varve_wal_reader_open(options, &reader, ret_verdict, &log->err);
    if (rc < 0) {
        ck_assert_ptr_null(reader);
        ck_assert_int_eq(log->err.status, rc);
        return rc;
    }
    while ((rc = varve_wal_reader_next(reader, &r, &span, &log->err)) == VARVE_OK) {
        ck_assert_uint_eq(r.index, ++index);
        ck_assert_int_eq(r.hlc, (int64_t)index * 2);
        ck_assert_uint_le(span.size, sizeof payload);
        log_payload(index, payload, span.size);
        ck_assert(span.size == 0 || memcmp(payload, span.data, span.size) == 0);
        ++*ret_n;
    }
    varve_wal_reader_close(reader);
    return rc == VARVE_END ? VARVE_OK : rc;
}
