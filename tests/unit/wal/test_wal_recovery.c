/*
 * test_wal_recovery.c - wal_recovery.c: what is kept, copied and dropped; a log that is another one when
 * it is read again; bytes that are sound and that no writer could go on from.
 */
#include <check.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "tests/unit/wal/log_fixture.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

static void puts_make(struct log *log, bool durable, const size_t *sizes, int n)
{
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(log_put(log, durable, sizes[i]), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
}

static void copy_name(const struct log *log, char *out)
{
    varve_wal_segment_name(log->next_id, out);
}

/* Open, recover with the ids from next_id on; the caller frees *out. */
static varve_status recover(struct log *log, const struct varve_wal_reader_options *o,
                            struct varve_wal_verdict *v, struct varve_wal_recovered *out)
{
    struct varve_wal_reader *reader = NULL;

    *out = (struct varve_wal_recovered){0};
    varve_status rc = varve_wal_reader_open(o, &reader, v, &log->err);
    if (rc == VARVE_OK)
        rc = varve_wal_recover(reader, v, log->next_id, true, out, &log->err);
    varve_wal_reader_close(reader);
    return rc;
}

/* ----------------------------------------------------------- A log that is another one meanwhile */

struct story { /* sizes of the records, each a group; a switch to the next segment before one */
    uint64_t segment_size;
    size_t sizes[10];
    int n, next_at;     /* next_at 0: one segment */
    bool seal_lost;     /* the first segment's seal page is damaged */
    uint64_t next_base; /* of the second segment, behind a gap; 0: there is none */
};

static const struct {
    struct story accepted, read_again;
    uint32_t flip; /* a byte of the file that is read again, its page then made sound; 0: none */
    bool damaged;  /* and not made sound */
} change[] = {
    /* a page is damaged */
    {{65536, {3000, 2000, 1000}, 3, 0, false, 0},
     {65536, {3000, 2000, 1000}, 3, 0, false, 0},
     2 * 4096 + 9,
     true},
    /* fewer records */
    {{65536, {3000, 2000, 1000}, 3, 0, false, 0}, {65536, {3000, 2000}, 2, 0, false, 0}, 0, false},
    /* others, up to the same position */
    {{65536, {3000, 2000, 1000}, 3, 0, false, 0},
     {65536, {1000, 2000, 3000}, 3, 0, false, 0},
     0,
     false},
    /* a last one that is longer */
    {{65536, {3000, 2000, 1000}, 3, 0, false, 0},
     {65536, {3000, 2000, 5000}, 3, 0, false, 0},
     0,
     false},
    /* one that is larger than all that there were: the copy has no room for it */
    {{131072, {3000, 3000, 3000, 3000, 3000, 3000, 3000}, 7, 0, false, 0},
     {131072, {20000, 10, 10}, 3, 0, false, 0},
     0,
     false},
    /* a segment that ends earlier, and goes on in another than the next */
    {{65536, {3000, 2000, 1000}, 3, 2, true, 0},
     {65536, {3000, 2000, 1000}, 3, 1, true, 0},
     0,
     false},
    /* or in the next, which begins where it did */
    {{65536, {3000, 2000, 1000}, 3, 2, true, 0},
     {65536, {3000, 2000, 1000}, 3, 1, true, 3108 + 2108},
     0,
     false},
    /* a segment before the one that is copied goes further than that */
    {{65536, {1000, 1000}, 2, 1, false, 0}, {65536, {3000, 3000, 3000}, 3, 0, false, 0}, 0, false},
    /* or holds other records, as many as before, or one more */
    {{65536, {2000, 1000, 500}, 3, 2, false, 0},
     {65536, {1000, 2000, 500}, 3, 2, false, 0},
     0,
     false},
    {{65536, {2108, 500}, 2, 1, false, 0}, {65536, {1000, 1000, 500}, 3, 2, false, 0}, 0, false},
    /* the term and the hlc before the first record are others */
    {{65536, {1000}, 1, 0, false, 0}, {65536, {1000}, 1, 0, false, 0}, 120, false},
    {{65536, {1000}, 1, 0, false, 0}, {65536, {1000}, 1, 0, false, 0}, 136, false},
    /* and the index, which the record then follows */
    {{65536, {1000}, 1, 0, false, 0}, {65536, {1000}, 1, 0, false, 0}, 112, false},
};

/* Go on in a segment behind a gap, as after a cut. */
static void gap_make(struct log *log, uint64_t base)
{
    struct varve_wal_seal seal;
    uint64_t id, first;

    ck_assert_int_eq(varve_wal_seal(log->writer, &log->err), VARVE_OK);
    ck_assert(varve_wal_sealed(log->writer, &id, &first, &seal));
    struct varve_wal_start start = {.prev_id = id,
                                    .prev_final_lsn = seal.lsn,
                                    .prev_digest = seal.digest,
                                    .base_lsn = base,
                                    .index = seal.index,
                                    .term = seal.term,
                                    .chain = seal.chain,
                                    .hlc = seal.hlc};
    memcpy(start.prev_uuid, log->listed[0].uuid, 16);
    log_writer_end(log);
    ck_assert_int_eq(log_writer(log, &start), VARVE_OK);
}

static void story_write(struct log *log, const struct story *story)
{
    struct varve_page_trailer t;
    uint32_t page = 1;

    log_init(log, 21); /* the same numbers, so the same uuids */
    log->segment_size = story->segment_size;
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    for (int i = 0; i < story->n; i++) {
        if (story->next_at > 0 && i == story->next_at) {
            if (story->next_base > 0)
                gap_make(log, story->next_base);
            ck_assert_int_eq(log_segment(log), VARVE_OK);
        }
        ck_assert_int_eq(log_put(log, true, story->sizes[i]), VARVE_OK);
        ck_assert_int_eq(log_drain(log), VARVE_OK);
    }
    log_writer_end(log);
    if (!story->seal_lost)
        return;
    do {
        (void)log_page_open(log, 0, page++, &t);
    } while (t.flags != VARVE_PAGE_SEAL);
    log_file(log, 0)->now[(page - 1) * 4096 + 9] ^= 1;
}

/* Give the record in page 1 another index, and the chain that goes with it. */
static void first_record_renumber(struct log *log, uint64_t index)
{
    struct varve_page_trailer t;
    struct varve_wal_record r;
    uint8_t *const page = log_page_open(log, 0, 1, &t);
    const uint8_t *const uuid = log->listed[0].uuid;

    ck_assert_int_eq(varve_wal_record_decode(varve_span_of(page, 108), uuid, 0, &r), VARVE_OK);
    r.index = index;
    r.chain = varve_wal_chain(0, r.index, r.term, r.type, r.logical_hash);
    ck_assert_uint_eq(varve_wal_record_encode(&r, uuid, page), 108);
    log_page_seal(log, 0, 1, &t);
}

static void flip(struct log *log, uint32_t at, bool damaged)
{
    struct varve_page_trailer t;

    log_page_open(log, 0, at / 4096, &t)[at % 4096] ^= 1;
    if (!damaged)
        log_page_seal(log, 0, at / 4096, &t);
    if (at == 112)
        first_record_renumber(log, 2);
}

static void contents_exchange(struct log *a, struct log *b)
{
    static uint8_t saved[131072];

    for (uint32_t i = 0; i < a->n_listed && i < b->n_listed; i++) {
        struct varve_file *const f = log_file(a, i), *const g = log_file(b, i);
        ck_assert_uint_eq(f->size, g->size);
        ck_assert_uint_le(f->size, sizeof saved);
        memcpy(saved, f->now, f->size);
        memcpy(f->now, g->now, f->size);
        memcpy(g->now, saved, f->size);
    }
}

START_TEST(what_is_copied_is_what_was_accepted)
{
    struct log log, other;
    struct varve_wal_reader *reader = NULL;
    struct varve_wal_recovered out = {0};
    struct varve_wal_verdict v;
    char name[VARVE_WAL_NAME_MAX];
    uint64_t n;

    story_write(&log, &change[_i].accepted);
    story_write(&other, &change[_i].read_again);
    if (change[_i].flip != 0)
        flip(&other, change[_i].flip, change[_i].damaged);
    ck_assert_mem_eq(log.listed[0].uuid, other.listed[0].uuid, 16);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, &log.err), VARVE_OK);
    ck_assert_uint_eq(v.records, (uint64_t)change[_i].accepted.n);
    contents_exchange(&log, &other);
    ck_assert_int_eq(varve_wal_recover(reader, &v, log.next_id, true, &out, &log.err),
                     VARVE_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(log.err.message, "changed while it was recovered"));
    ck_assert_str_ne(log.err.file, "");
    ck_assert_ptr_null(out.segments);
    for (uint64_t id = log.next_id; id < log.next_id + 2; id++) { /* and nothing is left behind */
        varve_wal_segment_name(id, name);
        ck_assert_ptr_null(mem_disk_file(&log.disk, name));
    }
    varve_wal_reader_close(reader);
    contents_exchange(&log, &other);
    ck_assert_int_eq(recover(&log, &o, &v, &out), VARVE_OK);
    memcpy(log.listed, out.segments, out.n_segments * sizeof out.segments[0]);
    log.n_listed = out.n_segments;
    const struct varve_wal_reader_options again = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &again, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, (uint64_t)change[_i].accepted.n);
    varve_wal_recovered_free(&out);
    log_free(&other);
    log_free(&log);
}
END_TEST

/* ------------------------------------------------------------------ What is kept, what is dropped */

/* Two segments; the second record of the first one is lost, without evidence for it. */
static void cut_before_a_segment(struct log *log)
{
    static const size_t sizes[] = {1000, 1000};

    log_init(log, 22);
    ck_assert_int_eq(log_writer(log, NULL), VARVE_OK);
    puts_make(log, false, sizes, 1);
    ck_assert_int_eq(log_put(log, false, 9000), VARVE_OK);
    ck_assert_int_eq(log_drain(log), VARVE_OK);
    log->disk.order = MEM_DISK_HELD; /* nothing says that the seal is durable */
    ck_assert_int_eq(log_segment(log), VARVE_OK);
    mem_disk_crash(&log->disk, false);
    log_writer_end(log);
    log->disk.order = MEM_DISK_AT_ONCE;
    memset(log_file(log, 0)->now + 2 * 4096, 0, 4096);
}

START_TEST(segments_behind_the_cut_are_dropped)
{
    struct log log;
    struct varve_wal_recovered out;
    struct varve_wal_verdict v = {0};
    uint64_t n;

    cut_before_a_segment(&log);
    ck_assert_uint_eq(log.n_listed, 2);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_msg(recover(&log, &o, &v, &out) == VARVE_OK, "%s", log.err.message);
    ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
    ck_assert_uint_eq(out.n_segments, 1); /* a copy up to the cut */
    ck_assert_uint_eq(out.segments[0].id, log.next_id);
    ck_assert_uint_eq(out.segments[0].final_lsn, v.recovered_to);
    ck_assert_uint_eq(out.n_dropped, 2);
    ck_assert_uint_eq(out.dropped[0], 1);
    ck_assert_uint_eq(out.dropped[1], 2);
    ck_assert_uint_eq(out.start.prev_id, log.next_id);
    ck_assert_uint_ge(out.start.base_lsn, v.cut_lsn_end);
    log.listed[0] = out.segments[0];
    log.n_listed = 1;
    o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 1);
    varve_wal_recovered_free(&out);
    log_free(&log);
}
END_TEST

/* Everything that it holds is in files already: the new log begins with nothing before it. */
START_TEST(a_log_behind_the_manifests_state_is_dropped_whole)
{
    struct log log;
    struct varve_wal_recovered out;
    struct varve_wal_verdict v = {0};

    cut_before_a_segment(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    o.start_lsn = 50000;
    o.start_index = 9;
    o.start_term = 2;
    o.start_chain = 77;
    o.start_hlc = 1000;
    ck_assert_msg(recover(&log, &o, &v, &out) == VARVE_OK, "%s", log.err.message);
    ck_assert_uint_eq(v.recovered_to, 50000);
    ck_assert_int_eq(v.hlc, 1000);
    ck_assert_uint_eq(out.n_segments, 0);
    ck_assert_uint_eq(out.n_dropped, 2);
    ck_assert_uint_eq(out.start.prev_id, 0);
    ck_assert_uint_eq(out.start.prev_final_lsn, 50000);
    ck_assert_uint_eq(out.start.index, 9);
    ck_assert_uint_eq(out.start.chain, 77);
    ck_assert_uint_ge(out.start.base_lsn,
                      log.listed[1].base_lsn + varve_wal_segment_capacity(log.listed[1].size));
    varve_wal_recovered_free(&out);
    log_free(&log);
}
END_TEST

/* A seal that was written proves nothing of the pages before it, unless something says that they were
 * synced: then the segment stays as it is. */
START_TEST(a_seal_vouches_if_what_it_seals_was_synced)
{
    for (int known = 0; known < 3; known++) {
        struct log log;
        struct varve_wal_segment *next = NULL;
        struct varve_wal_recovered out;
        struct varve_wal_verdict v = {0};
        struct varve_page_trailer t;
        static const size_t sizes[] = {1000};
        uint64_t base;

        log_init(&log, 28);
        ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
        puts_make(&log, false, sizes, COUNT(sizes));
        ck_assert_int_eq(varve_wal_segment_create(&log.disk.vfs, &log.heap, log.next_id++, 65536,
                                                  true, &next, &log.err),
                         VARVE_OK);
        while (varve_wal_segment_step(next, &log.err) == VARVE_OK)
            continue;
        log.disk.order = MEM_DISK_HELD;
        ck_assert_int_eq(varve_wal_prepare_next(log.writer, next, &base, &log.err), VARVE_OK);
        mem_disk_finish(&log.disk, 0, 0); /* the seal; the sync is not submitted any more */
        mem_disk_crash(&log.disk, false);
        varve_wal_segment_close(next, true);
        log_writer_end(&log);
        log.disk.order = MEM_DISK_AT_ONCE;
        (void)log_page_open(&log, 0, 2, &t);
        ck_assert_uint_eq(t.flags, VARVE_PAGE_SEAL);
        struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        o.durable_lsn = known == 0 ? 0 : base - (known == 1);
        ck_assert_msg(recover(&log, &o, &v, &out) == VARVE_OK, "%s", log.err.message);
        ck_assert_uint_eq(out.n_segments, 1);
        ck_assert_uint_eq(out.n_dropped, known < 2);
        ck_assert_uint_eq(out.segments[0].id, known < 2 ? log.next_id : 1);
        ck_assert_uint_eq(out.segments[0].final_lsn, base);
        varve_wal_recovered_free(&out);
        log_free(&log);
    }
}
END_TEST

/* The greatest hlc is the log's own if the manifest's is from before. */
START_TEST(the_hlc_never_goes_back)
{
    struct log log;
    struct varve_wal_verdict v;
    static const size_t sizes[] = {10, 10, 10};
    uint64_t n;

    log_init(&log, 23);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    puts_make(&log, true, sizes, COUNT(sizes));
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    for (int64_t before = 4; before < 9; before += 2) {
        o.start_hlc = before;
        ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
        ck_assert_int_eq(v.hlc, before > 6 ? before : 6);
    }
    log_free(&log);
}
END_TEST

/* -------------------------------------------------------- Sound bytes that no writer goes on from */

/* Behind a page that never came, a sound one that claims a position outside of its segment. */
START_TEST(a_position_that_a_segment_has_no_room_for_moves_nothing)
{
    static const size_t sizes[] = {1000, 1000, 1000};
    static const uint64_t claim[] = {0, 4999, 5000 + 14 * 4032 - 100, 1ull << 40, UINT64_MAX - 9};

    for (int i = 0; i < COUNT(claim); i++) {
        struct log log;
        struct varve_wal_recovered out;
        struct varve_wal_verdict v = {0};
        struct varve_page_trailer t;

        log_init(&log, 24);
        log.base_lsn = 5000;
        ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
        puts_make(&log, true, sizes, COUNT(sizes));
        log_writer_end(&log);
        (void)log_page_open(&log, 0, 3, &t);
        const uint64_t seen = t.first_lsn + t.used;
        memset(log_file(&log, 0)->now + 2 * 4096, 0, 4096);
        t.durable_lsn = 0;
        if (claim[i] != 0) /* as it is: it was seen */
            t.first_lsn = claim[i];
        log_page_seal(&log, 0, 3, &t);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_msg(recover(&log, &o, &v, &out) == VARVE_OK, "%s", log.err.message);
        ck_assert_int_eq(v.kind, VARVE_WAL_CUT);
        ck_assert_uint_eq(v.recovered_to, 5000 + 1108);
        ck_assert_uint_eq(v.cut_lsn_end, claim[i] == 0 ? seen : v.recovered_to);
        ck_assert_uint_eq(out.start.base_lsn, 5000 + varve_wal_segment_capacity(65536));
        varve_wal_recovered_free(&out);
        log_free(&log);
    }
}
END_TEST

/* Readers skip an extension that they do not know; a copy would lose it, and move what follows. */
START_TEST(a_record_with_an_unknown_part_is_read_and_not_copied)
{
    static const size_t sizes[] = {1000, 1000};
    struct log log;
    struct varve_wal_recovered out;
    struct varve_wal_verdict v = {0};
    struct varve_page_trailer t;
    char name[VARVE_WAL_NAME_MAX];
    uint64_t n;

    log_init(&log, 25);
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    puts_make(&log, true, sizes, COUNT(sizes));
    log_writer_end(&log);
    uint8_t *const record = log_page_open(&log, 0, 2, &t);
    memmove(record + 112, record + 108, 1000);
    varve_put_u32(record + 108, 0xFFFF); /* a tag of the future, of no bytes */
    varve_put_u16(record + 10, 112);
    const uint64_t seed =
        varve_place_seed(log.listed[0].uuid, VARVE_WAL_KIND_RECORD, varve_get_u64(record + 16));
    varve_put_u32(record, varve_crc32c(record + 4, 108, (uint32_t)seed));
    t.used += 4;
    log_page_seal(&log, 0, 2, &t);
    const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(recover(&log, &o, &v, &out), VARVE_EVERSION);
    ck_assert_int_eq(log.err.status, VARVE_EVERSION);
    ck_assert_str_eq(log.err.file, "0000000000000001.wal");
    struct varve_wal_reader *reader = NULL; /* and without a place for the error */
    ck_assert_int_eq(varve_wal_reader_open(&o, &reader, &v, NULL), VARVE_OK);
    ck_assert_int_eq(varve_wal_recover(reader, &v, log.next_id, true, &out, NULL), VARVE_EVERSION);
    varve_wal_reader_close(reader);
    copy_name(&log, name);
    ck_assert_ptr_null(mem_disk_file(&log.disk, name));
    log_free(&log);
}
END_TEST

/* What the first segment follows is not checked by reading; its copy must not follow itself. */
START_TEST(a_segment_that_follows_a_number_never_given_is_refused)
{
    static const size_t sizes[] = {1000};

    for (uint64_t ahead = 0; ahead < 2; ahead++) {
        struct log log;
        struct varve_wal_recovered out;
        struct varve_wal_verdict v = {0};
        struct varve_page_trailer t;

        log_init(&log, 26);
        log.next_id = 5;
        ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
        puts_make(&log, true, sizes, COUNT(sizes));
        log_writer_end(&log);
        uint8_t *const header = log_page_open(&log, 0, 0, &t);
        varve_put_u64(header + 64, 4); /* one that may have been */
        header[72] = 1;
        if (ahead != 0)
            varve_put_u64(header + 64, log.next_id);
        log_page_seal(&log, 0, 0, &t);
        const struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
        ck_assert_int_eq(recover(&log, &o, &v, &out), ahead == 0 ? VARVE_OK : VARVE_ECORRUPT);
        varve_wal_recovered_free(&out);
        log_free(&log);
    }
}
END_TEST

START_TEST(a_log_at_the_end_of_all_positions_takes_no_more)
{
    static const size_t sizes[] = {1000};
    struct log log;
    struct varve_wal_recovered out;
    struct varve_wal_verdict v = {0};
    uint64_t n;

    log_init(&log, 27);
    log.base_lsn = VARVE_WAL_BASE_MAX;
    ck_assert_int_eq(log_writer(&log, NULL), VARVE_OK);
    puts_make(&log, true, sizes, COUNT(sizes));
    ck_assert_int_eq(log_segment(&log), VARVE_ELIMIT);
    log_writer_end(&log);
    struct varve_wal_reader_options o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_msg(recover(&log, &o, &v, &out) == VARVE_OK, "%s", log.err.message);
    ck_assert_uint_eq(out.n_segments, 1);
    log.listed[0] = out.segments[0];
    log.n_listed = 1;
    log.next_id = out.next_id;
    o = log_reader_options(&log, VARVE_WAL_RECOVERY);
    ck_assert_int_eq(log_check(&log, &o, &v, &n), VARVE_OK); /* what there is can be read */
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(log_writer(&log, &out.start), VARVE_OK);
    ck_assert_int_eq(log_put(&log, true, 10), VARVE_ELIMIT);
    varve_wal_recovered_free(&out);
    log_free(&log);
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_recovery");
    TCase *const tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_is_copied_is_what_was_accepted, 0, COUNT(change));
    tcase_add_test(tc, segments_behind_the_cut_are_dropped);
    tcase_add_test(tc, a_log_behind_the_manifests_state_is_dropped_whole);
    tcase_add_test(tc, a_seal_vouches_if_what_it_seals_was_synced);
    tcase_add_test(tc, the_hlc_never_goes_back);
    tcase_add_test(tc, a_position_that_a_segment_has_no_room_for_moves_nothing);
    tcase_add_test(tc, a_record_with_an_unknown_part_is_read_and_not_copied);
    tcase_add_test(tc, a_segment_that_follows_a_number_never_given_is_refused);
    tcase_add_test(tc, a_log_at_the_end_of_all_positions_takes_no_more);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
