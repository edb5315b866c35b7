/*
 * fake_table.c - see fake_table.h.
 */
#include "tests/unit/scan/fake_table.h"

#include <math.h>

/* ------------------------------------------------------------------------------------- Values */

static double draw_real(struct varve_rng *rng)
{
    static const double odd[] = {0.0, -0.0, 1e300, -1e300, 5e-324, 0.1, 1e16};
    const uint64_t draw = varve_rng_below(rng, 40);

    if (draw < 7)
        return odd[draw];
    if (draw == 7)
        return (double)NAN;
    if (draw == 8)
        return varve_rng_below(rng, 2) == 0 ? HUGE_VAL : -HUGE_VAL;
    return (double)((int64_t)varve_rng_below(rng, 4001) - 2000) / 16.0 * (draw < 20 ? 1.0 : 0.3);
}

static int64_t draw_integer(struct varve_rng *rng, int64_t most)
{
    if (varve_rng_below(rng, 50) == 0)
        return varve_rng_below(rng, 2) == 0 ? most : -most;
    return (int64_t)varve_rng_below(rng, 101) - 50;
}

static void draw_bytes(struct varve_rng *rng, varve_value *v)
{
    static const char text[] = "abcabdabaaabcdefghijklmnopqrstuvwxyzaabbccddee";

    v->as.bytes.data = text + varve_rng_below(rng, 12);
    v->as.bytes.size =
        varve_rng_below(rng, 4) == 0 ? varve_rng_below(rng, 30) : varve_rng_below(rng, 3);
}

static varve_value draw_value(struct varve_rng *rng, const varve_column_info *info)
{
    varve_value v = {.type = info->type, .unit = info->unit, .scale = info->scale};

    switch (info->type) {
    case VARVE_BOOLEAN:
        v.as.i64 = (int64_t)varve_rng_below(rng, 2);
        break;
    case VARVE_FLOAT:
        v.as.f32 = (float)draw_real(rng);
        break;
    case VARVE_DOUBLE:
        v.as.f64 = draw_real(rng);
        break;
    case VARVE_TEXT:
    case VARVE_BLOB:
        draw_bytes(rng, &v);
        break;
    case VARVE_UUID:
        v.as.uuid[3] = (uint8_t)varve_rng_below(rng, 20);
        v.as.uuid[6] = (uint8_t)(varve_rng_below(rng, 2) * 16);
        break;
    case VARVE_TIME:
        v.as.i64 = (int64_t)varve_rng_below(rng, 100) * 1000;
        break;
    case VARVE_TINYINT:
        v.as.i64 = draw_integer(rng, 127);
        break;
    case VARVE_SMALLINT:
        v.as.i64 = draw_integer(rng, INT16_MAX);
        break;
    case VARVE_INT:
    case VARVE_DATE:
        v.as.i64 = draw_integer(rng, INT32_MAX);
        break;
    case VARVE_DECIMAL:
        v.as.i64 = draw_integer(rng, info->precision == 0 ? 1000000 : 99999);
        if (info->precision == 0)
            v.scale = (int8_t)((int)varve_rng_below(rng, 4) - 1);
        break;
    default:
        v.as.i64 = draw_integer(rng, INT64_MAX);
        break;
    }
    return v;
}

bool fake_values_same(const varve_value *a, const varve_value *b)
{
    if (a->type != b->type || a->presence != b->presence || a->scale != b->scale)
        return false;
    if (a->presence == VARVE_NULL)
        return true;
    switch (a->type) {
    case VARVE_FLOAT:
        return memcmp(&a->as.f32, &b->as.f32, 4) == 0;
    case VARVE_TEXT:
    case VARVE_BLOB:
        return a->as.bytes.size == b->as.bytes.size &&
               (a->as.bytes.size == 0 ||
                memcmp(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size) == 0);
    case VARVE_UUID:
    case VARVE_HUGEINT:
        return memcmp(a->as.uuid, b->as.uuid, 16) == 0;
    default:
        return memcmp(&a->as.i64, &b->as.i64, 8) == 0;
    }
}

bool fake_cell_lives(const struct varve_stamp *stamp, uint32_t now_s)
{
    return stamp->state == VARVE_LIVE && (stamp->exp == 0 || stamp->exp > now_s);
}

/* --------------------------------------------------------------------------------------- Rows */

int fake_row_order(const struct varve_schema *schema, const struct fake_row *a,
                   const struct fake_row *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    for (uint32_t c = schema->time_column + 1; c < schema->first_value; c++) {
        const int rc = varve_cell_compare(schema->columns[c].type, &a->values[c], &b->values[c]);
        if (rc != 0)
            return varve_schema_is_reversed(schema, c) ? -rc : rc;
    }
    if (schema->duplicates != VARVE_DUPLICATES_KEEP)
        return 0;
    if (a->wt != b->wt)
        return a->wt < b->wt ? -1 : 1;
    if (a->writer != b->writer)
        return a->writer < b->writer ? -1 : 1;
    return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
}

static struct varve_stamp implied(const struct fake_row *row, uint8_t state)
{
    struct varve_stamp stamp = {.wt = row->wt, .state = state};

    if (state == VARVE_LIVE)
        stamp.exp = row->exp;
    if (state == VARVE_DELETED)
        stamp.exp = varve_deletion_second(row->wt);
    return stamp;
}

static struct varve_stamp draw_stamp(struct varve_rng *rng, const struct fake_row *row, bool plain)
{
    const uint64_t draw = varve_rng_below(rng, 8);
    struct varve_stamp stamp = implied(row, draw > 1 ? VARVE_LIVE : (uint8_t)(draw * 2));

    if (!plain && stamp.state != VARVE_ABSENT && varve_rng_below(rng, 6) == 0) {
        stamp.wt = (int64_t)varve_rng_below(rng, 6) * 1000000;
        stamp.exp = stamp.state == VARVE_DELETED ? varve_deletion_second(stamp.wt) : 0;
    }
    return stamp;
}

static void draw_row(const struct fake_table *table, struct varve_rng *rng, uint32_t source,
                     uint32_t partition, struct fake_row *row)
{
    const struct varve_schema *schema = table->schema;
    const struct fake_shape *shape = &table->shape;
    const bool upsert = schema->duplicates == VARVE_DUPLICATES_UPSERT;
    int64_t time = (int64_t)varve_rng_below(rng, shape->time_span);

    memset(row, 0, sizeof *row);
    if (shape->disjoint)
        time += (int64_t)source * (shape->time_span + 3);
    row->partition = partition;
    row->time = (int64_t)((uint64_t)shape->time_base + (uint64_t)time * (uint64_t)shape->time_step);
    row->wt = (int64_t)varve_rng_below(rng, 6) * 1000000;
    if (upsert && !shape->plain && varve_rng_below(rng, 5) == 0)
        row->exp = (uint32_t)varve_rng_below(rng, 3) * 50;
    row->writer = (uint32_t)varve_rng_below(rng, 2);
    row->ordinal = (uint32_t)varve_rng_below(rng, 1000000);
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        row->values[c] = draw_value(rng, &schema->columns[c]);
        if (c < schema->first_value)
            varve_key_canonical(row->values[c].type, schema->columns[c].precision, &row->values[c]);
        else
            row->stamps[c] = draw_stamp(rng, row, shape->plain || !upsert);
    }
    row->marker = implied(row, VARVE_LIVE);
    if (upsert && !shape->plain && varve_rng_below(rng, 3) == 0)
        row->marker = draw_stamp(rng, row, false);
}

/* A column's array, written at a row of its width. */
static void put_value(struct varve_rows_builder *b, uint32_t c, const varve_value *v)
{
    const struct varve_cells *cells = &b->rows.columns[c];
    const uint32_t row = b->rows.n;
    const uint8_t phys = b->rows.schema->phys[c];
    const size_t width = varve_phys_width(phys);

    if (phys == VARVE_PHYS_BYTES) {
        const size_t size = v == NULL ? 0 : v->as.bytes.size;
        must(varve_rows_builder_reserve_bytes(b, c, size, NULL) == VARVE_OK);
        if (size > 0)
            memcpy((uint8_t *)cells->values + cells->offsets[row], v->as.bytes.data, size);
        cells->offsets[row + 1] = cells->offsets[row] + (uint32_t)size;
        return;
    }
    uint8_t *at = (uint8_t *)cells->values + row * width;
    memset(at, 0, width);
    if (phys == VARVE_PHYS_DEC)
        cells->scales[row] = v == NULL ? 0 : v->scale;
    if (v != NULL) /* little-endian: the low bytes of i64, or the bits of a float */
        memcpy(at, phys == VARVE_PHYS_B16 ? (const void *)v->as.uuid : (const void *)&v->as, width);
}

static void put_state(struct varve_rows_builder *b, uint32_t c, uint8_t state)
{
    const uint64_t *live = c == VARVE_MARKER_COLUMN ? b->rows.marker_live : b->rows.columns[c].live;

    if (state != VARVE_LIVE)
        (void)varve_rows_builder_live(b, c);
    else if (live != NULL)
        varve_bit_set(varve_rows_builder_live(b, c), b->rows.n);
    if (state == VARVE_DELETED)
        varve_bit_set(varve_rows_builder_deleted(b, c), b->rows.n);
}

static void put_exception(struct varve_rows_builder *b, uint32_t c, const struct varve_stamp *stamp)
{
    if (b->rows.n_exceptions == b->exceptions_capacity) {
        const uint32_t more = b->exceptions_capacity * 2 + 64;
        const size_t size = sizeof *b->rows.exceptions;
        void *fresh = varve_realloc(b->heap, b->memory.exceptions, b->exceptions_capacity * size,
                                    more * size);
        must(fresh != NULL);
        b->memory.exceptions = b->rows.exceptions = fresh;
        b->exceptions_capacity = more;
    }
    b->rows.exceptions[b->rows.n_exceptions++] = (struct varve_exception){
        .row = b->rows.n, .column = (uint16_t)c, .exp = stamp->exp, .wt = stamp->wt};
}

static void put_stamped(struct varve_rows_builder *b, const struct fake_row *row, uint32_t c,
                        const struct varve_stamp *stamp)
{
    const struct varve_stamp plain = implied(row, stamp->state);

    put_state(b, c, stamp->state);
    if (stamp->state != VARVE_ABSENT && (stamp->wt != plain.wt || stamp->exp != plain.exp))
        put_exception(b, c, stamp);
}

static void put_row(struct varve_rows_builder *b, const struct fake_row *row)
{
    const struct varve_schema *schema = b->rows.schema;
    const uint32_t n = b->rows.n;

    must(varve_rows_builder_reserve(b, 1, 0, NULL) == VARVE_OK);
    b->rows.time[n] = row->time;
    if (n == 0 && b->rows.wt == NULL)
        b->rows.wt_uniform = row->wt;
    if (b->rows.wt != NULL || b->rows.wt_uniform != row->wt)
        varve_rows_builder_wt(b)[n] = row->wt;
    if (b->rows.exp != NULL || row->exp != 0)
        varve_rows_builder_exp(b)[n] = row->exp;
    if (b->memory.writer != NULL) {
        b->rows.writer = b->memory.writer;
        b->rows.ordinal = b->memory.ordinal;
        b->rows.writer[n] = row->writer;
        b->rows.ordinal[n] = row->ordinal;
    }
    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const bool shows = c < schema->first_value || row->stamps[c].state == VARVE_LIVE;
        put_value(b, c, shows ? &row->values[c] : NULL);
        if (c >= schema->first_value)
            put_stamped(b, row, c, &row->stamps[c]);
    }
    put_stamped(b, row, VARVE_MARKER_COLUMN, &row->marker);
    b->rows.n++;
}

/* -------------------------------------------------------------------------------------- Table */

static void merge_sort(const struct varve_schema *schema, struct fake_row *rows, size_t n,
                       struct fake_row *scratch)
{
    const size_t half = n / 2;
    size_t i = 0, j = half;

    if (n < 2)
        return;
    merge_sort(schema, rows, half, scratch);
    merge_sort(schema, rows + half, n - half, scratch);
    for (size_t k = 0; k < n; k++) /* stable */
        scratch[k] = j == n || (i < half && fake_row_order(schema, &rows[i], &rows[j]) <= 0)
                         ? rows[i++]
                         : rows[j++];
    memcpy(rows, scratch, n * sizeof *rows);
}

static void sort_rows(const struct varve_schema *schema, struct fake_row *rows, size_t n)
{
    struct fake_row *scratch = malloc((n + 1) * sizeof *scratch);

    must(scratch != NULL);
    merge_sort(schema, rows, n, scratch);
    free(scratch);
}

static void add_version(struct fake_table *table, const struct fake_row *row)
{
    if (table->n_versions == table->versions_capacity) {
        table->versions_capacity = table->versions_capacity * 2 + 256;
        table->versions =
            realloc(table->versions, table->versions_capacity * sizeof *table->versions);
        must(table->versions != NULL);
    }
    table->versions[table->n_versions++] = *row;
}

static void cut_pieces(const struct fake_table *table, struct varve_rng *rng,
                       struct fake_stream *stream)
{
    const uint32_t n = stream->rows.rows.n;
    const uint32_t most = table->shape.piece_rows;

    stream->cuts = calloc(n + 1, sizeof *stream->cuts);
    must(stream->cuts != NULL);
    for (uint32_t at = 0; at < n;) {
        uint32_t take = most >= 1024 ? most : 1 + (uint32_t)varve_rng_below(rng, most);
        if (take > n - at)
            take = n - at;
        at += take;
        stream->cuts[++stream->n_cuts] = at;
    }
}

static void make_stream(struct fake_table *table, struct varve_rng *rng, uint32_t source,
                        uint32_t partition, struct fake_stream *stream)
{
    const uint32_t rows = table->shape.rows;
    const uint32_t n = rows >= 1000 ? rows : (uint32_t)varve_rng_below(rng, 2 * rows + 1);
    struct fake_row *drawn = calloc(n + 1, sizeof *drawn);

    must(drawn != NULL);
    must(varve_rows_builder_init(&stream->rows, &table->heap, table->schema, NULL, NULL) ==
         VARVE_OK);
    for (uint32_t i = 0; i < n; i++)
        draw_row(table, rng, source, partition, &drawn[i]);
    sort_rows(table->schema, drawn, n);
    for (uint32_t i = 0; i < n; i++) {
        if (stream->unique && i > 0 && fake_row_order(table->schema, &drawn[i - 1], &drawn[i]) == 0)
            continue;
        put_row(&stream->rows, &drawn[i]);
        add_version(table, &drawn[i]);
    }
    free(drawn);
    cut_pieces(table, rng, stream);
}

static void make_key(struct fake_table *table, uint32_t partition)
{
    const struct varve_schema *schema = table->schema;
    static const char names[] = "aaabacadaeafagahaiajakalamanaoapaqarasatauavawaxayaz"
                                "babbbcbdbebfbgbhbibjbkblbmbnbobpbqbrbsbtbubvbwbxbybz";
    varve_value *values = table->key_values[partition];

    for (uint32_t c = 0; c < schema->n_partition; c++) { /* ascending by the last column */
        const bool last = c + 1 == schema->n_partition;
        varve_value v = {.type = schema->columns[c].type, .unit = schema->columns[c].unit};
        if (v.type == VARVE_TEXT) {
            v.as.bytes.data = names + (last ? (size_t)partition * 2 : 3);
            v.as.bytes.size = 2;
        } else {
            v.as.i64 = last ? (int64_t)partition * 3 - 5 : 1;
        }
        values[c] = v;
    }
    varve_buffer_init(&table->keys[partition], &table->heap);
    must(varve_key_encode(schema, values, &table->keys[partition], NULL) == VARVE_OK);
}

void fake_table_make(struct fake_table *table, const struct fake_shape *shape, uint64_t seed)
{
    struct varve_rng rng;
    varve_error err = {.status = VARVE_OK};

    memset(table, 0, sizeof *table);
    table->shape = *shape;
    table->fail_at = -1;
    varve_rng_seed(&rng, seed);
    varve_heap_init(&table->heap, NULL, UINT64_MAX);
    ck_assert_msg(varve_schema_from_text(&table->heap, shape->create, &table->schema, &err) ==
                      VARVE_OK,
                  "%s", err.message);
    must(table->schema->n_columns <= FAKE_COLUMNS_MAX && shape->sources <= FAKE_SOURCES_MAX);
    must(shape->partitions <= 52);
    table->keys = calloc(shape->partitions, sizeof *table->keys);
    table->key_values = calloc(shape->partitions, sizeof *table->key_values);
    table->streams = calloc((size_t)shape->sources * shape->partitions * 2, sizeof *table->streams);
    must(table->keys != NULL && table->key_values != NULL && table->streams != NULL);
    for (uint32_t p = 0; p < shape->partitions; p++)
        make_key(table, p);
    for (uint32_t s = 0; s < shape->sources; s++) {
        for (uint32_t p = 0; p < shape->partitions; p++) {
            struct fake_stream *pair = table->streams + ((size_t)s * shape->partitions + p) * 2;
            pair[0].unique = true;
            pair[1].unique = varve_rng_below(&rng, 3) == 0;
            const uint64_t draw = varve_rng_below(&rng, 5); /* some partitions are not there */
            if (draw > 0 || shape->rows >= 1000)
                make_stream(table, &rng, s, p, &pair[0]);
            if (draw == 4 && shape->rows < 1000)
                make_stream(table, &rng, s, p, &pair[1]);
        }
    }
}

void fake_table_free(struct fake_table *table)
{
    const size_t n = (size_t)table->shape.sources * table->shape.partitions * 2;

    must(table->open_sources == 0);
    for (size_t i = 0; i < n; i++) {
        varve_rows_builder_free(&table->streams[i].rows);
        free(table->streams[i].cuts);
    }
    for (uint32_t p = 0; p < table->shape.partitions; p++)
        varve_buffer_free(&table->keys[p]);
    free(table->keys);
    free(table->key_values);
    free(table->streams);
    free(table->versions);
    varve_schema_unref(table->schema);
}

/* -------------------------------------------------------------------------------------- Model */

static int order_of_stamps(const struct varve_stamp *a, const struct varve_stamp *b)
{
    const int rank_a = a->state == VARVE_DELETED ? 2 : a->exp != 0;
    const int rank_b = b->state == VARVE_DELETED ? 2 : b->exp != 0;

    if (a->state == VARVE_ABSENT || b->state == VARVE_ABSENT)
        return (a->state != VARVE_ABSENT) - (b->state != VARVE_ABSENT);
    if (a->wt != b->wt)
        return a->wt > b->wt ? 1 : -1;
    if (rank_a != rank_b)
        return rank_a - rank_b;
    return (a->exp > b->exp) - (a->exp < b->exp);
}

/* `into` becomes what the two versions come to. */
static void reconcile(const struct varve_schema *schema, struct fake_row *into,
                      const struct fake_row *from)
{
    if (schema->duplicates == VARVE_DUPLICATES_KEEP)
        return; /* the same row met twice */
    if (schema->duplicates != VARVE_DUPLICATES_UPSERT) {
        const bool earlier = from->wt != into->wt           ? from->wt < into->wt
                             : from->writer != into->writer ? from->writer < into->writer
                                                            : from->ordinal < into->ordinal;
        if (earlier)
            *into = *from;
        return;
    }
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++) {
        int rc = order_of_stamps(&from->stamps[c], &into->stamps[c]);
        if (rc == 0 && from->stamps[c].state == VARVE_LIVE)
            rc =
                varve_cell_compare_serialised(schema->columns[c].type, schema->columns[c].precision,
                                              &from->values[c], &into->values[c]);
        if (rc > 0) {
            into->stamps[c] = from->stamps[c];
            into->values[c] = from->values[c];
        }
    }
    if (order_of_stamps(&from->marker, &into->marker) > 0)
        into->marker = from->marker;
}

static bool row_exists(const struct varve_schema *schema, const struct fake_row *row,
                       uint32_t now_s)
{
    if (fake_cell_lives(&row->marker, now_s))
        return true;
    for (uint32_t c = schema->first_value; c < schema->n_columns; c++)
        if (fake_cell_lives(&row->stamps[c], now_s))
            return true;
    return false;
}

struct fake_row *fake_model(const struct fake_table *table, uint32_t now_s, size_t *ret_n,
                            bool **ret_exists)
{
    struct fake_row *rows = malloc((table->n_versions + 1) * sizeof *rows);
    size_t n = 0;

    must(rows != NULL);
    if (table->n_versions > 0)
        memcpy(rows, table->versions, table->n_versions * sizeof *rows);
    sort_rows(table->schema, rows, table->n_versions);
    for (size_t i = 0; i < table->n_versions; i++) {
        if (n > 0 && fake_row_order(table->schema, &rows[n - 1], &rows[i]) == 0)
            reconcile(table->schema, &rows[n - 1], &rows[i]);
        else
            rows[n++] = rows[i];
    }
    *ret_n = n;
    *ret_exists = calloc(n + 1, sizeof **ret_exists);
    must(*ret_exists != NULL);
    for (size_t i = 0; i < n; i++)
        (*ret_exists)[i] = row_exists(table->schema, &rows[i], now_s);
    return rows;
}
