/*
 * group_index.c - encoding and parsing the index of a row group (group_index.h).
 */
#include "storage/sst/group_index.h"

#include <assert.h>
#include <string.h>

#include "index/packed_column.h"
#include "storage/codec/codec.h"

#define VERSION 1u
#define PRESENT_ALL 1u
#define PRESENT_SOME 2u
#define DICTIONARY_ENTRIES_MAX 65535u

/* ------------------------------------------------------------------------------------ Encoding */

#define WRITE_COLUMN(out, scratch, n, expression)                                                  \
    do {                                                                                           \
        for (uint32_t i = 0; i < (n); i++)                                                         \
            (scratch)[i] = (int64_t)(expression);                                                  \
        varve_packed_write((out), (scratch), (n));                                                 \
    } while (0)

static void write_vectors(const struct varve_group_index *index, int64_t *scratch,
                          struct varve_buffer *out)
{
    const struct varve_group_vector *v = index->vectors;
    const uint32_t n = index->n_vectors;

    WRITE_COLUMN(out, scratch, n, v[i].rows);
    WRITE_COLUMN(out, scratch, n, v[i].runs);
    WRITE_COLUMN(out, scratch, n, v[i].flags);
    WRITE_COLUMN(out, scratch, n, v[i].min_wt);
    WRITE_COLUMN(out, scratch, n, (uint64_t)v[i].max_wt - (uint64_t)v[i].min_wt);
    WRITE_COLUMN(out, scratch, n, v[i].min_expiry);
    for (uint32_t i = 0; i < n; i++)
        varve_write_u64(out, v[i].content_hash);
}

static void write_runs(const struct varve_group_index *index, int64_t *scratch,
                       struct varve_buffer *out)
{
    const struct varve_group_run *r = index->runs;
    const uint32_t n = index->n_runs;

    WRITE_COLUMN(out, scratch, n, r[i].rows);
    WRITE_COLUMN(out, scratch, n, i == 0 ? 0 : r[i].partition - r[i - 1].partition);
    WRITE_COLUMN(out, scratch, n,
                 (uint64_t)r[i].first_time - (i == 0 ? 0 : (uint64_t)r[i - 1].last_time));
    WRITE_COLUMN(out, scratch, n, (uint64_t)r[i].last_time - (uint64_t)r[i].first_time);
}

static void write_ref(const struct varve_page_ref *ref, struct varve_buffer *out)
{
    varve_write_varint(out, ref->offset);
    varve_write_varint(out, ref->size);
    varve_write_u64(out, ref->checksum);
}

static void write_stream(const struct varve_group_index *index, uint32_t row, int64_t *scratch,
                         struct varve_buffer *out)
{
    const struct varve_group_block *b = varve_group_block_at(index, row, 0);
    const uint32_t n = index->n_vectors;
    const uint32_t bitmap_bytes = (n + 7) / 8;
    uint32_t m = 0;
    uint64_t first = 0;
    uint64_t end = 0;

    for (uint32_t i = 0; i < n; i++)
        m += b[i].size != 0;
    assert(m > 0);
    varve_write_varint(out, index->streams[row]);
    varve_write_u8(out, m == n ? PRESENT_ALL : PRESENT_SOME);
    for (uint32_t byte = 0; m < n && byte < bitmap_bytes; byte++) {
        uint8_t bits = 0;

        for (uint32_t i = 0; i < 8 && byte * 8 + i < n; i++)
            bits |= (uint8_t)((b[byte * 8 + i].size != 0) << i);
        varve_write_u8(out, bits);
    }
    m = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (b[i].size == 0)
            continue;
        if (m == 0)
            first = end = b[i].offset;
        assert(b[i].offset >= end);
        scratch[m++] = (int64_t)(b[i].offset - end);
        end = b[i].offset + b[i].size;
    }
    varve_write_varint(out, first);
    varve_packed_write(out, scratch, m);

#define WRITE_PRESENT(field)                                                                       \
    do {                                                                                           \
        m = 0;                                                                                     \
        for (uint32_t i = 0; i < n; i++)                                                           \
            if (b[i].size != 0)                                                                    \
                scratch[m++] = (int64_t)b[i].field;                                                \
        varve_packed_write(out, scratch, m);                                                       \
    } while (0)
    WRITE_PRESENT(size);
    WRITE_PRESENT(codec);
    WRITE_PRESENT(dictionary);
#undef WRITE_PRESENT
    for (uint32_t i = 0; i < n; i++)
        if (b[i].size != 0)
            varve_write_u64(out, b[i].checksum);
}

void varve_group_index_encode(const struct varve_group_index *index, int64_t *scratch,
                              struct varve_buffer *out)
{
    varve_write_u8(out, VERSION);
    varve_write_u8(out, 0);
    varve_write_varint(out, index->n_rows);
    varve_write_varint(out, index->n_vectors);
    varve_write_varint(out, index->n_runs);
    varve_write_varint(out, index->n_streams);
    varve_write_varint(out, index->n_dictionaries);
    write_vectors(index, scratch, out);
    write_runs(index, scratch, out);
    write_ref(&index->zones, out);
    for (uint32_t i = 0; i < index->n_dictionaries; i++) {
        varve_write_varint(out, index->dictionaries[i].id);
        write_ref(&index->dictionaries[i].ref, out);
        varve_write_varint(out, index->dictionaries[i].entries);
    }
    for (uint32_t row = 0; row < index->n_streams; row++)
        write_stream(index, row, scratch, out);
}

/* ------------------------------------------------------------------------------------- Parsing */

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "row group index: %s", what);
}

static size_t round_up(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

/* Where the parts of the parsed form begin. */
struct plan {
    size_t vectors, runs, dictionaries, streams, blocks, scratch, present, size;
};

static struct plan plan_of(const struct varve_group_index *index)
{
    const size_t longest = index->n_runs > index->n_vectors ? index->n_runs : index->n_vectors;
    struct plan p;

    p.vectors = round_up(sizeof *index);
    p.runs = p.vectors + round_up(index->n_vectors * sizeof *index->vectors);
    p.dictionaries = p.runs + round_up(index->n_runs * sizeof *index->runs);
    p.streams = p.dictionaries + round_up(index->n_dictionaries * sizeof *index->dictionaries);
    p.blocks = p.streams + round_up(index->n_streams * sizeof *index->streams);
    p.scratch =
        p.blocks + round_up((size_t)index->n_streams * index->n_vectors * sizeof *index->blocks);
    p.present = p.scratch + longest * sizeof(int64_t);
    p.size = p.present + index->n_vectors * sizeof(uint32_t);
    return p;
}

/* The counts, checked against the limits and the bytes that must follow. */
static varve_status read_counts(struct varve_reader *r, struct varve_group_index *index,
                                varve_error *err)
{
    const uint32_t version = varve_read_u8(r);
    const uint32_t zero = varve_read_u8(r);
    const uint64_t rows = varve_read_varint(r);
    const uint64_t vectors = varve_read_varint(r);
    const uint64_t runs = varve_read_varint(r);
    const uint64_t streams = varve_read_varint(r);
    const uint64_t dictionaries = varve_read_varint(r);
    const uint64_t left = varve_reader_left(r);

    if (r->failed || version != VERSION || zero != 0)
        return corrupt(err, "its head is malformed");
    if (rows == 0 || rows > VARVE_SST_ROWS_MAX || vectors == 0 || vectors > rows ||
        vectors > left / 8 || runs < vectors || runs > rows || streams == 0 || streams > left ||
        dictionaries > left / 8 || streams * vectors > VARVE_GROUP_CELLS_MAX)
        return corrupt(err, "impossible counts");
    index->n_rows = (uint32_t)rows;
    index->n_vectors = (uint32_t)vectors;
    index->n_runs = (uint32_t)runs;
    index->n_streams = (uint32_t)streams;
    index->n_dictionaries = (uint32_t)dictionaries;
    return VARVE_OK;
}

varve_status varve_group_index_measure(struct varve_span in, size_t *ret_size, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_group_index index = {.n_rows = 0};
    const varve_status rc = read_counts(&r, &index, err);

    if (rc == VARVE_OK)
        *ret_size = plan_of(&index).size;
    return rc;
}

static bool read_vectors(struct varve_reader *r, struct varve_group_index *index, int64_t *scratch)
{
    struct varve_group_vector *v = index->vectors;
    const uint32_t n = index->n_vectors;
    uint64_t rows = 0;
    uint64_t runs = 0;
    bool ok = varve_packed_read(r, n, scratch);

    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 1 && scratch[i] <= VARVE_VECTOR_ROWS;
        v[i].first_row = (uint32_t)rows;
        v[i].rows = (uint32_t)scratch[i];
        rows += v[i].rows;
    }
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 1 && scratch[i] <= v[i].rows;
        v[i].first_run = (uint32_t)runs;
        v[i].runs = (uint32_t)scratch[i];
        runs += v[i].runs;
    }
    ok = ok && rows == index->n_rows && runs == index->n_runs && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] <= VARVE_VECTOR_FLAGS;
        v[i].flags = (uint32_t)scratch[i];
    }
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++)
        v[i].min_wt = scratch[i];
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        v[i].max_wt = (int64_t)((uint64_t)v[i].min_wt + (uint64_t)scratch[i]);
        ok = v[i].max_wt >= v[i].min_wt;
    }
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] <= UINT32_MAX &&
             (scratch[i] != 0) == ((v[i].flags & VARVE_VECTOR_HAS_EXPIRY) != 0);
        v[i].min_expiry = (uint32_t)scratch[i];
    }
    for (uint32_t i = 0; i < n && ok; i++)
        v[i].content_hash = varve_read_u64(r);
    return ok && !r->failed;
}

static bool read_runs(struct varve_reader *r, struct varve_group_index *index, int64_t *scratch)
{
    struct varve_group_run *runs = index->runs;
    const uint32_t n = index->n_runs;
    uint32_t row = 0;
    uint32_t partition = 0;
    uint64_t time = 0;
    bool ok = varve_packed_read(r, n, scratch);

    for (uint32_t v = 0; v < index->n_vectors && ok; v++) {
        const struct varve_group_vector *vector = &index->vectors[v];

        for (uint32_t i = vector->first_run; i < vector->first_run + vector->runs && ok; i++) {
            ok = scratch[i] >= 1 && scratch[i] <= vector->first_row + vector->rows - row;
            runs[i].first_row = row;
            runs[i].rows = (uint32_t)scratch[i];
            runs[i].vector = v;
            row += runs[i].rows;
        }
        ok = ok && row == vector->first_row + vector->rows;
    }
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = scratch[i] == 0 || (scratch[i] == 1 && i > 0);
        partition += (uint32_t)scratch[i];
        runs[i].partition = partition;
    }
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++)
        runs[i].first_time = scratch[i];
    ok = ok && varve_packed_read(r, n, scratch);
    for (uint32_t i = 0; i < n && ok; i++) {
        time += (uint64_t)runs[i].first_time;
        runs[i].first_time = (int64_t)time;
        time += (uint64_t)scratch[i];
        runs[i].last_time = (int64_t)time;
        ok = runs[i].first_time <= runs[i].last_time &&
             (i == 0 || runs[i].partition != runs[i - 1].partition ||
              runs[i].first_time >= runs[i - 1].last_time);
    }
    return ok;
}

static bool is_inside(uint64_t offset, uint64_t size, uint64_t file_size)
{
    return offset >= VARVE_SST_PAGE && offset <= file_size && size <= file_size - offset &&
           size <= VARVE_SST_BLOCK_MAX;
}

static bool read_ref(struct varve_reader *r, uint64_t file_size, struct varve_page_ref *ret)
{
    ret->offset = varve_read_varint(r);
    ret->size = varve_read_varint(r);
    ret->checksum = varve_read_u64(r);
    return !r->failed && is_inside(ret->offset, ret->size, file_size) && ret->size > 0;
}

static bool read_dictionaries(struct varve_reader *r, uint64_t file_size,
                              struct varve_group_index *index)
{
    uint32_t last = 0;

    for (uint32_t i = 0; i < index->n_dictionaries; i++) {
        struct varve_group_dictionary *d = &index->dictionaries[i];
        const uint64_t id = varve_read_varint(r);
        const bool ok = read_ref(r, file_size, &d->ref);
        const uint64_t entries = varve_read_varint(r);

        if (!ok || r->failed || id <= last || id > UINT32_MAX || entries == 0 ||
            entries > DICTIONARY_ENTRIES_MAX)
            return false;
        d->id = last = (uint32_t)id;
        d->entries = (uint32_t)entries;
    }
    return true;
}

static bool has_dictionary(const struct varve_group_index *index, int64_t id)
{
    for (uint32_t i = 0; i < index->n_dictionaries; i++)
        if (index->dictionaries[i].id == id)
            return true;
    return id == 0;
}

/* Which vectors have a block: their numbers into `present`. */
static bool read_presence(struct varve_reader *r, uint32_t n, uint32_t *present, uint32_t *ret_m)
{
    const uint32_t presence = varve_read_u8(r);
    uint32_t m = 0;

    if (presence == PRESENT_ALL) {
        for (uint32_t i = 0; i < n; i++)
            present[i] = i;
        *ret_m = n;
        return !r->failed;
    }
    const struct varve_span bits = varve_read_bytes(r, (n + 7) / 8);
    if (r->failed || presence != PRESENT_SOME)
        return false;
    for (uint32_t i = 0; i < bits.size * 8; i++) {
        if ((bits.data[i / 8] >> (i % 8) & 1) == 0)
            continue;
        if (i >= n)
            return false;
        present[m++] = i;
    }
    *ret_m = m;
    return m > 0 && m < n;
}

static bool read_stream(struct varve_reader *r, uint64_t file_size, uint32_t row, uint32_t *present,
                        int64_t *scratch, struct varve_group_index *index)
{
    struct varve_group_block *blocks = &index->blocks[(size_t)row * index->n_vectors];
    const uint64_t stream = varve_read_varint(r);
    uint32_t m = 0;

    if (r->failed || stream > UINT16_MAX || (row > 0 && stream <= index->streams[row - 1]) ||
        !read_presence(r, index->n_vectors, present, &m))
        return false;
    index->streams[row] = (uint32_t)stream;

    uint64_t at = varve_read_varint(r);
    bool ok = varve_packed_read(r, m, scratch);
    for (uint32_t i = 0; i < m && ok; i++)
        blocks[present[i]].offset = (uint64_t)scratch[i];
    ok = ok && varve_packed_read(r, m, scratch);
    for (uint32_t i = 0; i < m && ok; i++) {
        struct varve_group_block *b = &blocks[present[i]];

        ok = b->offset <= file_size && scratch[i] > 0 && at <= file_size;
        at += b->offset;
        ok = ok && is_inside(at, (uint64_t)scratch[i], file_size);
        b->offset = at;
        b->size = (uint32_t)scratch[i];
        at += b->size;
    }
    ok = ok && varve_packed_read(r, m, scratch);
    for (uint32_t i = 0; i < m && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] <= UINT8_MAX;
        blocks[present[i]].codec = (uint32_t)scratch[i];
    }
    ok = ok && varve_packed_read(r, m, scratch);
    for (uint32_t i = 0; i < m && ok; i++) {
        ok = scratch[i] >= 0 && scratch[i] <= UINT32_MAX &&
             ((i > 0 && scratch[i] == scratch[i - 1]) || has_dictionary(index, scratch[i]));
        blocks[present[i]].dictionary = (uint32_t)scratch[i];
    }
    for (uint32_t i = 0; i < m && ok; i++)
        blocks[present[i]].checksum = varve_read_u64(r);
    return ok && !r->failed;
}

varve_status varve_group_index_parse(struct varve_span in, uint64_t file_size, void *memory,
                                     size_t size, const struct varve_group_index **ret_index,
                                     varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_group_index *index = memory;

    memset(memory, 0, size);
    varve_status rc = read_counts(&r, index, err);
    if (rc < 0)
        return rc;

    const struct plan plan = plan_of(index);
    uint8_t *base = memory;
    assert(plan.size <= size);
    index->vectors = (struct varve_group_vector *)(void *)(base + plan.vectors);
    index->runs = (struct varve_group_run *)(void *)(base + plan.runs);
    index->dictionaries = (struct varve_group_dictionary *)(void *)(base + plan.dictionaries);
    index->streams = (uint32_t *)(void *)(base + plan.streams);
    index->blocks = (struct varve_group_block *)(void *)(base + plan.blocks);
    int64_t *scratch = (int64_t *)(void *)(base + plan.scratch);
    uint32_t *present = (uint32_t *)(void *)(base + plan.present);

    if (!read_vectors(&r, index, scratch))
        return corrupt(err, "its vectors are malformed");
    if (!read_runs(&r, index, scratch))
        return corrupt(err, "its runs are malformed");
    index->zones.offset = varve_read_varint(&r);
    index->zones.size = varve_read_varint(&r);
    index->zones.checksum = varve_read_u64(&r);
    if (r.failed ||
        (index->zones.size == 0 ? index->zones.offset != 0 || index->zones.checksum != 0
                                : !is_inside(index->zones.offset, index->zones.size, file_size)))
        return corrupt(err, "its zone block is malformed");
    if (!read_dictionaries(&r, file_size, index))
        return corrupt(err, "its dictionaries are malformed");
    for (uint32_t row = 0; row < index->n_streams; row++)
        if (!read_stream(&r, file_size, row, present, scratch, index))
            return corrupt(err, "a stream is malformed");
    if (varve_reader_left(&r) != 0)
        return corrupt(err, "bytes after its end");
    *ret_index = index;
    return VARVE_OK;
}

/* ----------------------------------------------------------------------------------- Searching */

uint32_t varve_group_stream(const struct varve_group_index *index, uint32_t stream)
{
    uint32_t low = 0;
    uint32_t high = index->n_streams;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (index->streams[middle] < stream)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->n_streams && index->streams[low] == stream ? low : UINT32_MAX;
}

uint32_t varve_group_run_of_row(const struct varve_group_index *index, uint32_t row)
{
    uint32_t low = 0;
    uint32_t high = index->n_runs;

    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (index->runs[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint32_t varve_group_run_from(const struct varve_group_index *index, uint32_t from, uint32_t to,
                              int64_t t)
{
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;

        if (index->runs[middle].last_time < t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

uint32_t varve_group_run_after(const struct varve_group_index *index, uint32_t from, uint32_t to,
                               int64_t t)
{
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;

        if (index->runs[middle].first_time <= t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}
