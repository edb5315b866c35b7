/*
 * sst_maker.c - see sst_maker.h.
 */
#include "tests/unit/sst/sst_maker.h"

#include <check.h>
#include <stdlib.h>

const char sst_table_bars[] =
    "CREATE TABLE bars (symbol bigint, ts timestamp, o decimal(18,8), h decimal(18,8), "
    "l decimal(18,8), c decimal(18,8), v decimal(18,8), q decimal(18,8), n int, x double, "
    "PRIMARY KEY (symbol, ts))";
const char sst_table_keep[] =
    "CREATE TABLE events (id bigint, ts timestamp, seq int, what text, v bigint, "
    "PRIMARY KEY (id, ts, seq)) WITH duplicates = 'keep'";

void sst_model_init(struct sst_model *m, const char *table, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    row_heap_init(&m->heap, -1);
    m->schema = row_schema(&m->heap.heap, table);
    varve_rng_seed(&m->rng, seed);
}

static void append_plain(struct varve_rows_builder *b, struct varve_rng *rng, uint32_t n,
                         int64_t time)
{
    const struct varve_schema *schema = b->rows.schema;
    int64_t level = 1000000;

    if (varve_rows_builder_reserve(b, n, (size_t)n * 8, NULL) != VARVE_OK)
        abort();
    b->rows.wt_uniform = 1700000000000000;
    if (schema->duplicates == VARVE_DUPLICATES_KEEP) {
        b->rows.writer = b->memory.writer;
        b->rows.ordinal = b->memory.ordinal;
    }
    for (uint32_t i = 0; i < n; i++) {
        b->rows.time[i] = time + (int64_t)i * 60000;
        if (b->rows.writer != NULL) { /* runs of rows with one time, told apart by their suffix */
            b->rows.time[i] = time + (int64_t)(i / 3) * 60000;
            b->rows.writer[i] = i % 3 == 2 ? 4 : 3;
            b->rows.ordinal[i] = i % 3;
        }
        level += (int64_t)varve_rng_below(rng, 2001) - 1000;
        for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
            struct varve_cells *cells = &b->rows.columns[c];
            const double real = (double)level / 8;
            const int32_t small = c < schema->first_value ? 1 : (int32_t)(level % 1000);

            switch (schema->phys[c]) {
            case VARVE_PHYS_I64:
                ((int64_t *)cells->values)[i] = level + c;
                break;
            case VARVE_PHYS_F64:
                memcpy((uint8_t *)cells->values + (size_t)i * 8, &real, 8);
                break;
            case VARVE_PHYS_I32:
                memcpy((uint8_t *)cells->values + (size_t)i * 4, &small, 4);
                break;
            case VARVE_PHYS_BYTES:
                memcpy((uint8_t *)cells->values + cells->offsets[i], "abcdefgh", 8);
                ((uint8_t *)cells->values)[cells->offsets[i]] = (uint8_t)('a' + level % 20);
                cells->offsets[i + 1] = cells->offsets[i] + (uint32_t)(level % 9);
                break;
            default:
                memset((uint8_t *)cells->values + (size_t)i * varve_phys_width(schema->phys[c]), 1,
                       varve_phys_width(schema->phys[c]));
                if (cells->scales != NULL)
                    cells->scales[i] = 2;
                break;
            }
        }
        b->rows.n++;
    }
}

void sst_model_add(struct sst_model *m, uint32_t n, enum sst_rows_kind kind)
{
    m->parts = realloc(m->parts, (m->n_parts + 1) * sizeof *m->parts);
    struct sst_part *p = &m->parts[m->n_parts];
    struct varve_buffer key;
    int64_t time = (int64_t)varve_rng_below(&m->rng, 1000000) - 500000;

    memset(p, 0, sizeof *p);
    varve_buffer_init(&key, &m->heap.heap);
    varve_write_u8(&key, 1);
    for (int shift = 56; shift >= 0; shift -= 8)
        varve_write_u8(&key, (uint8_t)(((uint64_t)m->n_parts * 3 + 7) >> shift));
    memcpy(p->key, key.data, key.size);
    p->key_size = (uint32_t)key.size;
    varve_buffer_free(&key);
    if (varve_rows_builder_init(&p->rows, &m->heap.heap, m->schema, NULL, NULL) != VARVE_OK)
        abort();
    if (kind == SST_PLAIN)
        append_plain(&p->rows, &m->rng, n, time);
    for (uint32_t i = 0; kind == SST_WILD && i < n; i++) {
        row_append_random(&p->rows, &m->rng, time);
        time += 1 + (int64_t)varve_rng_below(&m->rng, 1000);
    }
    m->n_parts++;
    m->n_rows += n;
}

void sst_model_free(struct sst_model *m)
{
    for (uint32_t i = 0; i < m->n_parts; i++)
        varve_rows_builder_free(&m->parts[i].rows);
    free(m->parts);
    varve_schema_unref(m->schema);
    ck_assert_int_eq(m->heap.live, 0);
}

void sst_disk_init(struct sst_disk *d, uint64_t cache_bytes)
{
    struct varve_sim_options options;

    memset(d, 0, sizeof *d);
    row_heap_init(&d->heap, -1);
    row_heap_init(&d->sim_heap, -1);
    varve_sim_options_init(&options, &d->sim_heap.heap, 1);
    ck_assert_int_eq(varve_sim_create(&options, &d->sim), 0);
    ck_assert_int_eq(varve_sim_attach(d->sim, &d->vfs), 0);
    ck_assert_int_eq(varve_cache_create(&d->heap.heap, cache_bytes, &d->cache, NULL), VARVE_OK);
}

void sst_disk_free(struct sst_disk *d)
{
    ck_assert(varve_cache_check(d->cache));
    varve_cache_free(d->cache);
    ck_assert_int_eq(d->heap.live, 0);
    d->vfs->ops->destroy(d->vfs);
    varve_sim_destroy(d->sim);
    ck_assert_int_eq(d->sim_heap.live, 0);
}

varve_status sst_model_write(struct sst_model *m, struct sst_disk *d, const char *name,
                             uint32_t group_rows, struct varve_sst_properties *ret_properties,
                             varve_error *err)
{
    struct varve_sst_writer_options options = {.schema = m->schema, .row_group_rows = group_rows};
    struct varve_sst_writer *writer;
    struct varve_rng rng;

    for (uint32_t i = 0; i < 16; i++)
        options.given.uuid[i] = (uint8_t)(i + 1);
    options.given.lsn_first = 100;
    options.given.lsn_end = 200;
    varve_rng_seed(&rng, 5);
    varve_status rc = varve_sst_writer_open(d->vfs, name, &options, &d->heap.heap, &writer, err);
    if (rc < 0)
        return rc;
    for (uint32_t p = 0; p < m->n_parts; p++) {
        const struct sst_part *part = &m->parts[p];

        rc =
            varve_sst_writer_begin_partition(writer, varve_span_of(part->key, part->key_size), err);
        for (uint32_t at = 0; rc == VARVE_OK && at < part->rows.rows.n;) {
            const uint32_t left = part->rows.rows.n - at;
            uint32_t n = 1 + (uint32_t)varve_rng_below(&rng, 3000);

            n = n < left ? n : left;
            rc = varve_sst_writer_append(writer, &part->rows.rows, at, n, err);
            at += n;
        }
        if (rc < 0) {
            varve_sst_writer_abort(writer);
            return rc;
        }
    }
    return varve_sst_writer_finish(writer, ret_properties, err);
}

struct varve_sst *sst_model_open(struct sst_model *m, struct sst_disk *d, uint32_t group_rows)
{
    struct varve_sst_properties properties;
    struct varve_sst_expect expect;
    struct varve_sst *sst;
    varve_error err = {0};

    ck_assert_msg(sst_model_write(m, d, SST_NAME, group_rows, &properties, &err) == VARVE_OK, "%s",
                  err.message);
    ck_assert_uint_eq(properties.rows, m->n_rows);
    memcpy(expect.uuid, properties.uuid, 16);
    expect.file_size = properties.file_size;
    expect.footer_checksum = properties.footer_checksum;
    varve_sst_properties_free(&properties, &d->heap.heap);
    ck_assert_msg(varve_sst_open(d->vfs, SST_NAME, 1, &expect, d->cache, &d->heap.heap, &sst,
                                 &err) == VARVE_OK,
                  "%s", err.message);
    ck_assert_uint_eq(varve_sst_repairs(sst), 0);
    return sst;
}

/* Check reports every assertion to its parent, which is too slow for one a cell. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

static bool same_cell(const struct varve_rows *a, uint32_t i, const struct varve_rows *b,
                      uint32_t j, uint32_t column)
{
    const struct varve_stamp x = varve_rows_stamp(a, i, column);
    const struct varve_stamp y = varve_rows_stamp(b, j, column);

    if (x.state != y.state)
        return false;
    if (x.state == VARVE_ABSENT)
        return true;
    if (x.wt != y.wt || x.exp != y.exp)
        return false;
    if (x.state != VARVE_LIVE || column == VARVE_MARKER_COLUMN)
        return true;
    const varve_value v = varve_rows_value(a, i, column);
    const varve_value w = varve_rows_value(b, j, column);
    return row_values_same(&v, &w);
}

static bool same_row(const struct varve_rows *a, uint32_t i, const struct varve_rows *b, uint32_t j)
{
    const struct varve_schema *schema = b->schema;

    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const varve_value v = varve_rows_value(a, i, c);
        const varve_value w = varve_rows_value(b, j, c);
        if (!row_values_same(&v, &w))
            return false;
    }
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        if (!same_cell(a, i, b, j, c))
            return false;
    return a->time[i] == b->time[j] && varve_rows_wt(a, i) == varve_rows_wt(b, j) &&
           same_cell(a, i, b, j, VARVE_MARKER_COLUMN) &&
           (b->writer == NULL || (a->writer[i] == b->writer[j] && a->ordinal[i] == b->ordinal[j]));
}

/* Rows [first, first + n) of the current piece again, with some columns only: these are the same,
 * the others are not there. `begin` is where the piece starts in the model. */
static varve_status read_projected(struct sst_model *m, struct varve_source *source,
                                   const struct varve_rows *want, uint32_t begin, uint32_t first,
                                   uint32_t n, struct varve_cells *cells, varve_error *err)
{
    const struct varve_schema *schema = m->schema;
    const bool stamps = varve_rng_below(&m->rng, 2) == 0;
    struct varve_rows rows = {.columns = cells};
    struct varve_column_set set = {{0}};

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++)
        if (varve_rng_below(&m->rng, 3) == 0)
            varve_bit_set(set.bits, c);
    const varve_status rc = source->ops->load(source, 0, first, n, &set, stamps, &rows, err);
    if (rc < 0)
        return rc;
    REQUIRE(rows.n == n);
    REQUIRE(memcmp(rows.time, want->time + begin + first, n * sizeof *rows.time) == 0);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        if (!varve_bit_get(set.bits, c)) {
            REQUIRE(cells[c].values == NULL && cells[c].live == NULL);
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t j = begin + first + i;
            if (stamps && c >= schema->first_value) {
                REQUIRE(same_cell(&rows, i, want, j, c));
                continue;
            }
            const uint8_t state = varve_rows_state(want, j, c);
            const varve_value v = varve_rows_value(&rows, i, c);
            const varve_value w = varve_rows_value(want, j, c);
            REQUIRE(varve_rows_state(&rows, i, c) == state);
            REQUIRE(state != VARVE_LIVE || row_values_same(&v, &w));
        }
    }
    return VARVE_OK;
}

static int64_t time_near(struct sst_model *m, int64_t time)
{
    switch (varve_rng_below(&m->rng, 4)) {
    case 0:
        return time > INT64_MIN ? time - 1 : time;
    case 1:
        return time < INT64_MAX ? time + 1 : time;
    default:
        return time;
    }
}

/* The bounds of any range of times in the current piece, which begins at row `begin` of the model,
 * are what a look at all of its times says. */
static varve_status check_bounds(struct sst_model *m, struct varve_source *source,
                                 const struct varve_rows *want, uint32_t begin, uint32_t rows,
                                 varve_error *err)
{
    const int64_t *times = want->time + begin;
    const int64_t a = time_near(m, times[varve_rng_below(&m->rng, rows)]);
    const int64_t b = time_near(m, times[varve_rng_below(&m->rng, rows)]);
    const int64_t first = a < b ? a : b, last = a < b ? b : a;
    uint32_t low = 0, high = 0, got_low = 0, got_high = 0;

    const varve_status rc =
        source->ops->bounds(source, 0, first, last, NULL, &got_low, &got_high, err);
    if (rc < 0)
        return rc;
    while (low < rows && times[low] < first)
        low++;
    while (high < rows && times[high] <= last)
        high++;
    REQUIRE(got_low == low && got_high == high);
    return VARVE_OK;
}

/* Compare the pieces of an open partition with rows [low, high) of the model. */
static varve_status read_pieces(struct sst_model *m, const struct sst_part *part,
                                struct varve_source *source, struct varve_cells *cells,
                                uint32_t low, uint32_t high, bool reverse, varve_error *err)
{
    const struct varve_rows *want = &part->rows.rows;
    uint32_t at = reverse ? high : low;
    bool is_first = true;

    for (;;) {
        struct varve_piece piece;
        struct varve_rows rows = {.columns = cells};
        varve_status rc = source->ops->piece(source, 0, &piece, err);

        if (rc == VARVE_END)
            break;
        if (rc < 0)
            return rc;
        uint32_t first = 0, n = piece.rows;
        if (varve_rng_below(&m->rng, 3) == 0) {
            first = (uint32_t)varve_rng_below(&m->rng, piece.rows);
            n = 1 + (uint32_t)varve_rng_below(&m->rng, piece.rows - first);
        }
        rc = source->ops->load(source, 0, first, n, NULL, true, &rows, err);
        if (rc < 0)
            return rc;
        REQUIRE(rows.n == n);
        /* Where the piece begins in the model: the first one of a slice may begin before it. */
        uint32_t begin = reverse ? at - piece.rows : at;
        if (is_first) {
            for (begin = 0; begin + piece.rows < want->n; begin++)
                if (varve_rows_compare(&rows, 0, want, begin + first) == 0)
                    break;
            is_first = false;
        }
        REQUIRE(begin + piece.rows <= want->n);
        REQUIRE(piece.first_time == want->time[begin]);
        REQUIRE(piece.last_time == want->time[begin + piece.rows - 1]);
        for (uint32_t i = 0; i < n; i++)
            REQUIRE(same_row(&rows, i, want, begin + first + i));
        if (varve_rng_below(&m->rng, 2) == 0)
            rc = check_bounds(m, source, want, begin, piece.rows, err);
        if (rc == VARVE_OK && varve_rng_below(&m->rng, 4) == 0)
            rc = read_projected(m, source, want, begin, first, n, cells, err);
        if (rc < 0)
            return rc;
        at = reverse ? begin : begin + piece.rows;
    }
    if (reverse)
        REQUIRE(at <= low);
    else
        REQUIRE(at >= high);
    return VARVE_OK;
}

varve_status sst_model_read(struct sst_model *m, struct sst_disk *d, struct varve_sst *sst,
                            bool reverse, varve_error *err)
{
    struct varve_source *source;
    const struct varve_span none = {NULL, 0};
    varve_status rc = varve_sst_source_open(sst, &d->heap.heap, &source, err);
    uint32_t seen = 0;

    if (rc < 0)
        return rc;
    struct varve_cells *cells = calloc(m->schema->n_columns, sizeof *cells);
    rc = source->ops->seek(source, none, reverse, err);
    while (rc == VARVE_OK) {
        struct varve_partition partition;
        uint32_t streams;

        rc = source->ops->next(source, &partition, err);
        if (rc != VARVE_OK)
            break;
        REQUIRE(seen < m->n_parts);
        const struct sst_part *part = &m->parts[reverse ? m->n_parts - 1 - seen : seen];
        REQUIRE(partition.key.size == part->key_size);
        REQUIRE(memcmp(partition.key.data, part->key, part->key_size) == 0);
        REQUIRE(partition.rows == part->rows.rows.n);
        REQUIRE(partition.first_time == part->rows.rows.time[0]);
        rc = source->ops->open(source, &partition, INT64_MIN, INT64_MAX, reverse, &streams, err);
        if (rc < 0)
            break;
        REQUIRE(streams == 1);
        rc = read_pieces(m, part, source, cells, 0, part->rows.rows.n, reverse, err);
        seen++;
    }
    if (rc == VARVE_END) {
        REQUIRE(seen == m->n_parts);
        rc = VARVE_OK;
    }
    source->ops->close(source);
    free(cells);
    return rc;
}

varve_status sst_model_whole_story(struct sst_model *m, struct sst_disk *d, uint32_t group_rows,
                                   bool reverse)
{
    struct varve_sst_properties properties;
    struct varve_sst *sst;
    varve_status rc = sst_model_write(m, d, SST_NAME, group_rows, &properties, NULL);

    if (rc < 0) {
        if (varve_sim_size(d->sim, SST_NAME) >= 0 && varve_sim_fault_hits(d->sim) == 0)
            ck_abort_msg("a stray is left");
        return rc;
    }
    varve_sst_properties_free(&properties, &d->heap.heap);
    rc = varve_sst_open(d->vfs, SST_NAME, 1, NULL, d->cache, &d->heap.heap, &sst, NULL);
    if (rc < 0)
        return rc;
    rc = sst_model_read(m, d, sst, reverse, NULL);
    if (rc == VARVE_OK)
        rc = varve_sst_verify(sst, &d->heap.heap, NULL, NULL, NULL);
    varve_sst_unref(sst);
    return rc;
}

void sst_model_slice(struct sst_model *m, struct varve_source *source, uint32_t part, int64_t first,
                     int64_t last, bool reverse)
{
    const struct sst_part *p = &m->parts[part];
    const struct varve_rows *want = &p->rows.rows;
    struct varve_partition partition;
    uint32_t streams, low = 0, high = want->n;
    struct varve_cells *cells = calloc(m->schema->n_columns, sizeof *cells);
    varve_error err = {0};

    ck_assert_msg(source->ops->find(source, varve_span_of(p->key, p->key_size), &partition, &err) ==
                      VARVE_OK,
                  "%s", err.message);
    REQUIRE(source->ops->open(source, &partition, first, last, reverse, &streams, &err) ==
            VARVE_OK);
    while (low < want->n && want->time[low] < first)
        low++;
    while (high > low && want->time[high - 1] > last)
        high--;
    if (low < high) {
        REQUIRE(streams == 1);
        ck_assert_msg(read_pieces(m, p, source, cells, low, high, reverse, &err) == VARVE_OK, "%s",
                      err.message);
    }
    free(cells);
}
