/*
 * log_fixture.h - a log on a disk in memory: write records whose bytes follow from their index, read
 * them back and check every one.
 */
#ifndef VARVE_TESTS_LOG_FIXTURE_H
#define VARVE_TESTS_LOG_FIXTURE_H

#include "storage/base/alloc.h"
#include "storage/wal/wal_recovery.h"
#include "tests/unit/wal/mem_disk.h"

#define LOG_SEGMENTS 60

struct log {
    struct varve_heap heap;
    struct mem_disk disk;
    struct varve_wal_writer *writer;
    struct varve_wal_listed listed[LOG_SEGMENTS];
    uint32_t n_listed;
    uint64_t next_id;
    uint64_t segment_size;
    uint64_t base_lsn;
    uint64_t given;       /* groups reported, with VARVE_OK */
    uint64_t durable_end; /* end of the last durable group reported */
    varve_error err;
};

void log_init(struct log *log, uint64_t seed);
void log_free(struct log *log); /* asserts that nothing leaks and no rule was broken */
/* VARVE_OK or the error; start NULL: a new store. */
varve_status log_writer(struct log *log, const struct varve_wal_start *start);
varve_status log_segment(struct log *log); /* make, list and use one */
/* Append the next record with a payload of `size` bytes to the open group, whatever that takes. */
varve_status log_append(struct log *log, bool durable, size_t size, uint64_t *ret_end);
/* One group of one record, submitted. */
varve_status log_put(struct log *log, bool durable, size_t size);
varve_status log_drain(struct log *log); /* reap until nothing is in flight */
void log_payload(uint64_t index, uint8_t *out, size_t size);
void log_writer_end(struct log *log); /* destroy it; nothing more is written */
/* The file of listed segment `i`. */
struct varve_file *log_file(struct log *log, uint32_t i);
/* A VALID page of it out of its envelope; log_page_seal() makes it sound again. */
uint8_t *log_page_open(struct log *log, uint32_t i, uint32_t page_no,
                       struct varve_page_trailer *ret_trailer);
void log_page_seal(struct log *log, uint32_t i, uint32_t page_no,
                   const struct varve_page_trailer *trailer);
struct varve_wal_reader_options log_reader_options(struct log *log, uint32_t mode);
/* Read and check all records from the start; their number in *ret_n. */
varve_status log_check(struct log *log, const struct varve_wal_reader_options *options,
                       struct varve_wal_verdict *ret_verdict, uint64_t *ret_n);

#endif
