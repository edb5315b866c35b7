/*
 * memtable_fixture.c - see memtable_fixture.h.
 */
#include "memtable_fixture.h"

#include "storage/base/checksum.h"

struct varve_schema *fixture_schema(struct varve_heap *heap, const char *text)
{
    struct varve_schema *schema = NULL;
    varve_error err = {0};
    const varve_status rc = varve_schema_from_text(heap, text, &schema, &err);
    ck_assert_msg(rc == VARVE_OK, "%s: %s", text, err.message);
    return schema;
}

struct varve_span fixture_key(uint64_t k, uint32_t size, uint8_t *out)
{
    memset(out, 'k', size);
    out[0] = VARVE_ROW_KIND_ORDINARY;
    for (uint32_t i = 0; i < 8; i++) /* at the end, so that long keys have a common prefix */
        out[size - 1 - i] = (uint8_t)(k >> (8 * i));
    return varve_span_of(out, size);
}

uint64_t fixture_key_number(struct varve_span key)
{
    uint64_t k = 0;
    for (uint32_t i = 8; i > 0; i--)
        k = k << 8 | key.data[key.size - i];
    return k;
}

/* ------------------------------------------------------------------------------------ Sections */

static bool chance(struct varve_rng *rng, uint32_t percent)
{
    return percent > 0 && varve_rng_below(rng, 100) < percent;
}

static void *take(size_t n, size_t size)
{
    void *memory = calloc(n == 0 ? 1 : n, size);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void fill_fixed(struct varve_rng *rng, const struct varve_schema *schema, uint32_t c,
                       struct varve_cells *cells, uint32_t n)
{
    const uint32_t width = varve_phys_width((enum varve_phys)schema->phys[c]);
    const bool key = c < schema->first_value;
    uint8_t *out = take(n, width);

    for (uint32_t i = 0; i < n; i++) {
        /* Few values of key columns, so that keys repeat. */
        uint64_t v = key ? varve_rng_below(rng, 3) + 1 : varve_rng_next(rng);
        if (schema->columns[c].type == VARVE_BOOLEAN)
            v &= 1;
        double d = (double)(v & 0xffff);
        float f = (float)(v & 0xff);
        const void *from = &v;
        if (schema->phys[c] == VARVE_PHYS_F64)
            from = &d;
        if (schema->phys[c] == VARVE_PHYS_F32)
            from = &f;
        memcpy(out + (size_t)i * width, from, width < 8 ? width : 8);
    }
    cells->values = out;
    if (schema->phys[c] == VARVE_PHYS_DEC) {
        cells->scales = take(n, 1);
        for (uint32_t i = 0; i < n && !key; i++)
            cells->scales[i] = (int8_t)varve_rng_below(rng, 5);
    }
}

static void fill_states(struct varve_rng *rng, uint32_t percent, uint32_t n, uint64_t **live,
                        uint64_t **deleted)
{
    if (percent == 0 || varve_rng_below(rng, 3) == 0)
        return;
    *live = take(VARVE_BITMAP_WORDS(n) + 1, 8);
    *deleted = take(VARVE_BITMAP_WORDS(n) + 1, 8);
    for (uint32_t i = 0; i < n; i++) {
        if (!chance(rng, percent))
            varve_bit_set(*live, i);
        else if (chance(rng, 50))
            varve_bit_set(*deleted, i);
    }
}

static void fill_text(struct varve_rng *rng, const struct varve_schema *schema,
                      const struct shape *shape, uint32_t c, struct varve_cells *cells, uint32_t n)
{
    const bool key = c < schema->first_value;
    size_t total = 0;

    cells->offsets = take(n + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = (uint32_t)varve_rng_below(rng, shape->text + 1);
        if (key)
            size = (uint32_t)varve_rng_below(rng, 3);
        else if (varve_rng_below(rng, 1000) < shape->big_text)
            size = 300000;
        if (cells->live != NULL && !varve_bit_get(cells->live, i))
            size = 0;
        cells->offsets[i] = (uint32_t)total;
        total += size;
    }
    cells->offsets[n] = (uint32_t)total;
    uint8_t *bytes = take(total, 1);
    uint64_t v = 0;
    for (size_t i = 0; i < total; i++, v >>= 4) {
        if (i % 16 == 0)
            v = varve_rng_next(rng);
        bytes[i] = (uint8_t)('a' + (key ? v & 1 : v & 15));
    }
    cells->values = bytes;
}

static void fill_times(struct varve_rng *rng, const struct shape *shape, int64_t *time, uint32_t n,
                       int64_t *clock)
{
    for (uint32_t i = 0; i < n; i++) {
        if (chance(rng, shape->late))
            time[i] = *clock - (int64_t)varve_rng_below(rng, 1000);
        else if (chance(rng, shape->same))
            time[i] = *clock;
        else
            time[i] = *clock += 1 + (int64_t)varve_rng_below(rng, 3);
    }
}

struct test_section *fixture_section(struct varve_rng *rng, const struct varve_schema *schema,
                                     const struct shape *shape, int64_t *clock)
{
    const uint32_t n = 1 + (uint32_t)varve_rng_below(rng, shape->rows);
    struct test_section *t = take(1, sizeof *t);
    struct varve_rows *rows = &t->rows;
    const uint32_t n_keys = shape->one_partition ? 1 : shape->n_keys < 50 ? shape->n_keys : 50;
    const uint64_t base = varve_rng_below(rng, shape->n_keys - n_keys + 1);

    *rows = (struct varve_rows){.schema = schema, .n = n, .wt_uniform = VARVE_WT_COMMIT};
    t->keys = take(n_keys, sizeof *t->keys);
    t->hashes = take(n_keys, sizeof *t->hashes);
    t->key_bytes = take(n_keys, shape->key_bytes);
    for (uint32_t k = 0; k < n_keys; k++) {
        t->keys[k] = fixture_key(base + k, shape->key_bytes, t->key_bytes + k * shape->key_bytes);
        t->hashes[k] = varve_key_hash(t->keys[k]);
    }
    if (!shape->one_partition) {
        t->part = take(n, sizeof *t->part);
        for (uint32_t i = 0; i < n; i++)
            t->part[i] =
                i > 0 && chance(rng, 50) ? t->part[i - 1] : (uint32_t)varve_rng_below(rng, n_keys);
    }
    rows->time = take(n, sizeof *rows->time);
    fill_times(rng, shape, rows->time, n, clock);
    fill_states(rng, shape->states, n, &rows->marker_live, &rows->marker_deleted);
    if (shape->explicit_wt > 0 && chance(rng, 50)) {
        rows->wt = take(n, sizeof *rows->wt);
        for (uint32_t i = 0; i < n; i++)
            rows->wt[i] = chance(rng, shape->explicit_wt) ? (int64_t)varve_rng_below(rng, 1000)
                                                          : VARVE_WT_COMMIT;
    }
    if (shape->expiring > 0 && chance(rng, 50)) {
        rows->exp = take(n, sizeof *rows->exp);
        for (uint32_t i = 0; i < n; i++)
            rows->exp[i] =
                chance(rng, shape->expiring) ? 1 + (uint32_t)varve_rng_below(rng, 99) : 0;
    }
    rows->columns = take(schema->n_columns, sizeof *rows->columns);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        struct varve_cells *cells = &rows->columns[c];
        if (c >= schema->first_value)
            fill_states(rng, shape->states, n, &cells->live, &cells->deleted);
        if (schema->phys[c] == VARVE_PHYS_BYTES)
            fill_text(rng, schema, shape, c, cells, n);
        else
            fill_fixed(rng, schema, c, cells, n);
    }
    t->section = (struct varve_section){.schema = schema,
                                        .n_keys = n_keys,
                                        .keys = t->keys,
                                        .key_hashes = t->hashes,
                                        .part = t->part,
                                        .rows = rows};
    return t;
}

void fixture_section_free(struct test_section *t)
{
    const uint32_t n_columns = t->rows.schema->n_columns;
    for (uint32_t c = 0; c < n_columns; c++) {
        free(t->rows.columns[c].values);
        free(t->rows.columns[c].offsets);
        free(t->rows.columns[c].scales);
        free(t->rows.columns[c].live);
        free(t->rows.columns[c].deleted);
    }
    free(t->rows.columns);
    free(t->rows.time);
    free(t->rows.wt);
    free(t->rows.exp);
    free(t->rows.marker_live);
    free(t->rows.marker_deleted);
    free(t->keys);
    free(t->hashes);
    free(t->part);
    free(t->key_bytes);
    free(t);
}

/* --------------------------------------------------------------------------------------- Model */

void fixture_model_add(struct model *model, struct model_row row)
{
    if (model->n == model->capacity) {
        model->capacity = model->capacity == 0 ? 1024 : 2 * model->capacity;
        model->rows = realloc(model->rows, model->capacity * sizeof *model->rows);
        ck_assert_ptr_nonnull(model->rows);
    }
    model->rows[model->n++] = row;
}

static uint64_t hash_row(const struct varve_schema *schema, const struct varve_rows *rows,
                         uint32_t i, int64_t wt, uint32_t writer, uint32_t position)
{
    const uint64_t head[4] = {(uint64_t)wt, rows->exp == NULL ? 0 : rows->exp[i],
                              (uint64_t)writer << 32 | position,
                              varve_rows_state(rows, i, VARVE_MARKER_COLUMN)};
    uint64_t h = varve_hash64(head, sizeof head, 1);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const struct varve_cells *cells = &rows->columns[c];
        const uint8_t state = varve_rows_state(rows, i, c);
        const uint8_t *bytes = cells->values;
        size_t size = varve_phys_width((enum varve_phys)schema->phys[c]);
        h = varve_hash64(&state, 1, h);
        if (state != VARVE_LIVE)
            continue;
        bytes += i * size;
        if (schema->phys[c] == VARVE_PHYS_BYTES) {
            bytes = (const uint8_t *)cells->values + cells->offsets[i];
            size = cells->offsets[i + 1] - cells->offsets[i];
        }
        h = varve_hash64(bytes, size, h + size);
        if (schema->phys[c] == VARVE_PHYS_DEC)
            h = varve_hash64(cells->scales + i, 1, h);
    }
    return h;
}

static bool has_suffix(const struct varve_schema *schema)
{
    return schema->duplicates == VARVE_DUPLICATES_KEEP ||
           schema->duplicates == VARVE_DUPLICATES_FIRST;
}

void fixture_apply(struct varve_memtable *table, const struct test_section *t,
                   const struct varve_apply *apply, uint32_t ordinal, struct model *model)
{
    const struct varve_schema *schema = t->rows.schema;
    uint64_t dropped = 0;

    ck_assert_int_eq(varve_memtable_reserve(table, &t->section, NULL), VARVE_OK);
    for (uint32_t i = 0; i < t->rows.n; i++) {
        if (t->rows.time[i] < apply->floor) {
            dropped++;
            continue;
        }
        const int64_t given = varve_rows_wt(&t->rows, i);
        const int64_t wt = given == VARVE_WT_COMMIT ? apply->hlc : given;
        const bool suffix = has_suffix(schema);
        fixture_model_add(
            model,
            (struct model_row){.key = fixture_key_number(t->keys[t->part == NULL ? 0 : t->part[i]]),
                               .time = t->rows.time[i],
                               .hash = hash_row(schema, &t->rows, i, wt, suffix ? apply->writer : 0,
                                                suffix ? i : 0),
                               .ordinal = ordinal});
    }
    ck_assert_uint_eq(varve_memtable_apply(table, &t->section, apply), dropped);
    varve_memtable_publish(table);
}

/* ------------------------------------------------------------------------------------- Reading */

struct last_row { /* a copy of the last row of a piece, to compare over the border */
    bool has;
    int64_t time;
};

static void read_piece(struct varve_source *source, uint32_t stream,
                       const struct varve_piece *piece, const struct varve_schema *schema,
                       uint64_t key, int64_t first, int64_t last, struct model *out)
{
    struct varve_cells *columns = take(schema->n_columns, sizeof *columns);
    struct varve_rows rows = {.columns = columns};
    const bool suffix = has_suffix(schema);
    const int most = piece->flags & VARVE_PIECE_UNIQUE ? -1 : 0; /* of the order of two rows */
    bool plain = true, sound = true; /* judged once: every ck_assert is a system call */

    ck_assert_uint_ge(piece->rows, 1);
    ck_assert_uint_le(piece->rows, VARVE_VECTOR_ROWS);
    ck_assert_int_eq(source->ops->load(source, stream, 0, piece->rows, NULL, true, &rows, NULL),
                     VARVE_OK);
    ck_assert_uint_eq(rows.n, piece->rows);
    ck_assert_int_eq(rows.time[0], piece->first_time);
    ck_assert_int_eq(rows.time[rows.n - 1], piece->last_time);
    ck_assert(suffix == (rows.writer != NULL) && suffix == (rows.ordinal != NULL));
    for (uint32_t i = 0; i < rows.n; i++) {
        const int64_t wt = varve_rows_wt(&rows, i);
        sound = sound && rows.time[i] >= first && rows.time[i] <= last && wt >= piece->min_wt &&
                wt <= piece->max_wt;
        if (rows.exp != NULL && rows.exp[i] != 0)
            sound = sound && piece->min_expiry != 0 && piece->min_expiry <= rows.exp[i] &&
                    (piece->flags & VARVE_PIECE_EXPIRY);
        plain &= varve_rows_state(&rows, i, VARVE_MARKER_COLUMN) == VARVE_LIVE;
        sound = sound && (i == 0 || varve_rows_compare(&rows, i - 1, &rows, i) <= most);
        fixture_model_add(out, (struct model_row){.key = key,
                                                  .time = rows.time[i],
                                                  .hash = hash_row(schema, &rows, i, wt,
                                                                   suffix ? rows.writer[i] : 0,
                                                                   suffix ? rows.ordinal[i] : 0)});
    }
    ck_assert(sound);
    ck_assert(plain || !(piece->flags & VARVE_PIECE_PLAIN));
    /* A part of the piece, and only one column, gives the same. */
    if (rows.n > 2) {
        struct varve_column_set set = {{0}};
        const uint32_t c = schema->n_columns - 1;
        const uint64_t before = varve_rows_state(&rows, 1, c);
        const int64_t time = rows.time[1];
        varve_bit_set(set.bits, c);
        ck_assert_int_eq(source->ops->load(source, stream, 1, 1, &set, false, &rows, NULL),
                         VARVE_OK);
        ck_assert_int_eq(rows.time[0], time);
        ck_assert_uint_eq(varve_rows_state(&rows, 0, c), before);
        if (schema->n_columns - 2 > schema->time_column)
            ck_assert_ptr_null(rows.columns[c - 1].values);
    }
    free(columns);
}

static void read_partition(struct varve_source *source, const struct varve_schema *schema,
                           const struct varve_partition *partition, bool reverse, int64_t first,
                           int64_t last, struct model *out)
{
    const size_t before = out->n;
    uint32_t streams = 0;

    ck_assert_int_eq(source->ops->open(source, partition, first, last, reverse, &streams, NULL),
                     VARVE_OK);
    ck_assert_uint_le(streams, VARVE_STREAMS_MAX);
    for (uint32_t k = 0; k < streams; k++) {
        struct varve_piece piece;
        struct last_row border = {0};
        varve_status rc;
        while ((rc = source->ops->piece(source, k, &piece, NULL)) == VARVE_OK) {
            if (border.has && !reverse)
                ck_assert_int_le(border.time, piece.first_time);
            if (border.has && reverse)
                ck_assert_int_ge(border.time, piece.last_time);
            border.has = true;
            border.time = reverse ? piece.first_time : piece.last_time;
            read_piece(source, k, &piece, schema, fixture_key_number(partition->key), first, last,
                       out);
        }
        ck_assert_int_eq(rc, VARVE_END);
        ck_assert_int_eq(source->ops->piece(source, k, &piece, NULL), VARVE_END);
        ck_assert(border.has);
    }
    ck_assert_uint_le(out->n - before, partition->rows);
}

void fixture_read(struct varve_source *source, const struct varve_schema *schema, bool reverse,
                  int64_t first, int64_t last, struct model *out)
{
    struct varve_partition partition;
    uint8_t previous[VARVE_KEY_BYTES_MAX];
    size_t previous_size = 0;
    varve_status rc;

    ck_assert_int_eq(source->ops->seek(source, varve_span_of(NULL, 0), reverse, NULL), VARVE_OK);
    while ((rc = source->ops->next(source, &partition, NULL)) == VARVE_OK) {
        struct varve_partition found;
        if (previous_size > 0) {
            const int order =
                varve_span_compare(varve_span_of(previous, previous_size), partition.key);
            ck_assert(reverse ? order > 0 : order < 0);
        }
        memcpy(previous, partition.key.data, partition.key.size);
        previous_size = partition.key.size;
        ck_assert_int_eq(source->ops->find(source, partition.key, &found, NULL), VARVE_OK);
        ck_assert_uint_eq(found.handle[0], partition.handle[0]);
        read_partition(source, schema, &partition, reverse, first, last, out);
    }
    ck_assert_int_eq(rc, VARVE_END);
}

static int compare_rows(const void *a, const void *b)
{
    const struct model_row *x = a;
    const struct model_row *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

void fixture_same(struct model *read, const struct model *model, uint32_t ordinal, int64_t first,
                  int64_t last)
{
    struct model expected = {0};
    for (size_t i = 0; i < model->n; i++)
        if (model->rows[i].ordinal < ordinal && model->rows[i].time >= first &&
            model->rows[i].time <= last)
            fixture_model_add(&expected, model->rows[i]);
    ck_assert_uint_eq(read->n, expected.n);
    if (read->n > 0) {
        qsort(read->rows, read->n, sizeof *read->rows, compare_rows);
        qsort(expected.rows, expected.n, sizeof *expected.rows, compare_rows);
    }
    bool same = true;
    for (size_t i = 0; i < read->n; i++)
        same = same && compare_rows(&read->rows[i], &expected.rows[i]) == 0;
    ck_assert(same);
    free(expected.rows);
    free(read->rows);
    *read = (struct model){0};
}
