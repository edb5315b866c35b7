/*
 * sst_inspect.c - one SSTable: properties, where its bytes went, what its vectors are encoded with,
 * and, if asked for, its rows as they are stored.
 */
#include <inttypes.h>
#include <string.h>

#include "storage/sst/sst_format.h"
#include "storage/sst/sst_reader.h"
#include "tools/inspect/inspect_file.h"

#define CACHE_BYTES (UINT64_C(16) << 20)
#define STREAMS_MAX (VARVE_STREAM_COLUMN + 1024u)
#define CODECS_MAX 16u

struct sst_inspection {
    struct inspect_file *file;
    FILE *out;
    struct varve_cache *cache;
    struct varve_sst *sst;
    struct varve_sst_stream_sum {
        uint64_t bytes, rows;
        uint64_t vectors[CODECS_MAX]; /* by codec; others in [0] */
    } streams[STREAMS_MAX];
};

static const char *const codec_names[CODECS_MAX] = {
    "other", "raw", "const", "const-delta", "for", "dfor", "rle", "dict",
    "text",  "lz4", "zstd",  "decimal",     "alp", NULL,   NULL,  NULL};

static const char *stream_name(const struct varve_schema *schema, uint32_t stream)
{
    static const char *const names[] = {"time",        "@wt",     "@exp",    "@marker",
                                        "@exceptions", "@writer", "@ordinal"};

    if (stream == VARVE_STREAM_TIME)
        return schema->columns[schema->time_column].name;
    if (stream < sizeof names / sizeof names[0])
        return names[stream];
    if (stream >= VARVE_STREAM_COLUMN && stream - VARVE_STREAM_COLUMN < schema->n_columns)
        return schema->columns[stream - VARVE_STREAM_COLUMN].name;
    return "unknown";
}

static void print_properties(struct sst_inspection *s)
{
    const struct varve_sst_properties *p = varve_sst_get_properties(s->sst);
    const struct varve_schema *schema = varve_sst_schema(s->sst);
    char text[4096];
    size_t size;

    (void)fprintf(s->out, "sstable %s, format %u.%u, %" PRIu64 " bytes\n", s->file->name,
                  VARVE_SST_MAJOR, VARVE_SST_MINOR, s->file->size);
    (void)fputs("  uuid        ", s->out);
    inspect_print_hex(s->out, p->uuid, 16);
    (void)fprintf(s->out, "\n  table       %" PRIu32 ", schema version %" PRIu32 "\n", p->table_id,
                  p->schema_version);
    if (varve_schema_text(schema, text, sizeof text, &size) == VARVE_OK)
        (void)fprintf(s->out, "  schema      %s\n", text);
    (void)fprintf(s->out,
                  "  rows        %" PRIu64 " of %" PRIu64 " partitions, in %" PRIu64
                  " vectors of %" PRIu64 " row groups\n",
                  p->rows, p->partitions, p->vectors, p->row_groups);
    (void)fprintf(s->out, "  time        %" PRId64 " to %" PRId64 "\n", p->first_time,
                  p->last_time);
    (void)fprintf(s->out, "  window      %" PRId64 " to %" PRId64 "\n", p->window_start,
                  p->window_end);
    (void)fprintf(s->out, "  write times %" PRId64 " to %" PRId64 "\n", p->min_wt, p->max_wt);
    (void)fprintf(s->out, "  log         %" PRIu64 " to %" PRIu64 "\n", p->lsn_first, p->lsn_end);
    (void)fprintf(
        s->out, "  markers     %" PRIu64 " live, %" PRIu64 " deleted; %" PRIu64 " deleted cells\n",
        p->markers, p->deleted_markers, p->deleted_cells);
    (void)fprintf(s->out, "  raw bytes   %" PRIu64 "\n", p->raw_bytes);
    (void)fprintf(s->out, "  content     %016" PRIx64 "\n", p->content_hash);
}

static int add_block(void *ctx, const struct varve_sst_block_info *info)
{
    struct sst_inspection *s = ctx;

    if (strcmp(info->what, "vector") != 0) {
        if (strcmp(info->what, "group index") == 0)
            (void)fprintf(s->out, "row group %" PRIu64 ": index at offset %" PRIu64 "\n",
                          info->group, info->offset);
        return 0;
    }
    if (info->stream < STREAMS_MAX) {
        struct varve_sst_stream_sum *sum = &s->streams[info->stream];
        sum->bytes += info->size;
        sum->rows += info->rows;
        sum->vectors[info->codec < CODECS_MAX && codec_names[info->codec] != NULL ? info->codec
                                                                                  : 0]++;
    }
    return 0;
}

static void print_streams(struct sst_inspection *s)
{
    const struct varve_schema *schema = varve_sst_schema(s->sst);

    for (uint32_t i = 0; i < STREAMS_MAX; i++) {
        const struct varve_sst_stream_sum *sum = &s->streams[i];
        if (sum->rows == 0)
            continue;
        (void)fprintf(s->out, "  column %-20s %12" PRIu64 " bytes, %6.2f a row;",
                      stream_name(schema, i), sum->bytes, (double)sum->bytes / (double)sum->rows);
        for (uint32_t c = 0; c < CODECS_MAX; c++)
            if (sum->vectors[c] > 0)
                (void)fprintf(s->out, " %s %" PRIu64, codec_names[c], sum->vectors[c]);
        (void)fputc('\n', s->out);
    }
}

/* ----------------------------------------------------------------------------------------- Rows */

static void print_value(FILE *out, const varve_value *value)
{
    char text[256];

    if (value->type == VARVE_TEXT) {
        const char *bytes = value->as.bytes.data;
        (void)fputc('"', out);
        for (size_t i = 0; i < value->as.bytes.size; i++) {
            if (bytes[i] == '"')
                (void)fputc('"', out);
            (void)fputc(bytes[i], out);
        }
        (void)fputc('"', out);
        return;
    }
    if (value->type == VARVE_BLOB) {
        (void)fputs("0x", out);
        inspect_print_hex(out, value->as.bytes.data, value->as.bytes.size);
        return;
    }
    const size_t size = varve_value_format(value, 0, text, sizeof text);
    (void)fwrite(text, 1, size < sizeof text ? size : sizeof text, out);
}

static void print_row(struct sst_inspection *s, const varve_value *key,
                      const struct varve_rows *rows, uint32_t row)
{
    const struct varve_schema *schema = varve_sst_schema(s->sst);

    for (uint32_t c = 0; c < schema->n_columns; c++) {
        if (c > 0)
            (void)fputc(',', s->out);
        if (c < schema->n_partition) {
            print_value(s->out, &key[c]);
            continue;
        }
        const bool is_value = c >= schema->first_value;
        const uint8_t state = is_value ? varve_rows_state(rows, row, c) : (uint8_t)VARVE_LIVE;
        if (state == VARVE_DELETED)
            (void)fputs("deleted", s->out);
        if (state != VARVE_LIVE)
            continue;
        const varve_value value = varve_rows_value(rows, row, c);
        print_value(s->out, &value);
    }
    (void)fprintf(s->out, ",%" PRId64 "\n", varve_rows_wt(rows, row));
}

static varve_status print_stream(struct sst_inspection *s, struct varve_source *source,
                                 uint32_t stream, const varve_value *key, struct varve_cells *cells,
                                 varve_error *err)
{
    struct varve_column_set all;
    varve_status rc;

    memset(&all, 0xff, sizeof all);
    for (;;) {
        struct varve_piece piece;
        struct varve_rows rows;
        rc = source->ops->piece(source, stream, &piece, err);
        if (rc != VARVE_OK)
            break;
        memset(&rows, 0, sizeof rows);
        rows.columns = cells;
        rc = source->ops->load(source, stream, 0, piece.rows, &all, true, &rows, err);
        if (rc < 0)
            break;
        for (uint32_t i = 0; i < rows.n; i++)
            print_row(s, key, &rows, i);
    }
    return rc == VARVE_END ? VARVE_OK : rc;
}

static varve_status print_partition(struct sst_inspection *s, struct varve_source *source,
                                    const struct varve_partition *partition,
                                    struct varve_cells *cells, varve_error *err)
{
    const struct varve_schema *schema = varve_sst_schema(s->sst);
    uint8_t scratch[8192];
    varve_value key[8];
    uint32_t streams;
    varve_status rc;

    if (partition->key.size > sizeof scratch)
        return varve_error_set(err, VARVE_ECORRUPT, s->file->name, VARVE_NO_OFFSET,
                               "a partition key is too long");
    rc = varve_key_decode(schema, partition->key, scratch, key, err);
    if (rc == VARVE_OK)
        rc = source->ops->open(source, partition, INT64_MIN, INT64_MAX, false, &streams, err);
    for (uint32_t i = 0; rc == VARVE_OK && i < streams; i++)
        rc = print_stream(s, source, i, key, cells, err);
    return rc;
}

static varve_status print_rows(struct sst_inspection *s)
{
    const struct varve_schema *schema = varve_sst_schema(s->sst);
    struct varve_source *source = NULL;
    struct varve_cells *cells = varve_alloc_zero(&s->file->heap, schema->n_columns, sizeof *cells);
    struct varve_partition partition;
    varve_error err = {.status = VARVE_OK};
    varve_status rc = cells == NULL ? varve_error_nomem(&err, "columns")
                                    : varve_sst_source_open(s->sst, &s->file->heap, &source, &err);

    for (uint32_t c = 0; rc == VARVE_OK && c < schema->n_columns; c++)
        (void)fprintf(s->out, "%s,", schema->columns[c].name);
    if (rc == VARVE_OK) {
        (void)fputs("@wt\n", s->out);
        rc = source->ops->seek(source, (struct varve_span){NULL, 0}, false, &err);
    }
    while (rc == VARVE_OK) {
        rc = source->ops->next(source, &partition, &err);
        if (rc == VARVE_OK)
            rc = print_partition(s, source, &partition, cells, &err);
    }
    if (source != NULL)
        source->ops->close(source);
    varve_free(&s->file->heap, cells, schema->n_columns * sizeof *cells);
    return rc < 0 ? inspect_file_failure(s->file, &err) : VARVE_OK;
}

static void forward_report(void *ctx, const varve_error *problem)
{
    (void)inspect_file_failure(ctx, problem);
}

static varve_status inspect_open_sst(struct sst_inspection *s)
{
    struct inspect_file *file = s->file;
    varve_error err = {.status = VARVE_OK};
    varve_status rc = varve_cache_create(&file->heap, CACHE_BYTES, &s->cache, &err);

    if (rc == VARVE_OK)
        rc = varve_sst_open(file->vfs, file->name, 1, NULL, s->cache, &file->heap, &s->sst, &err);
    if (rc < 0)
        return inspect_file_failure(file, &err);
    print_properties(s);
    /* What is damaged is said first; the listing then goes as far as it can. */
    rc = varve_sst_verify(s->sst, &file->heap, forward_report, file, &err);
    if (rc < 0 && rc != VARVE_ECORRUPT)
        return inspect_file_failure(file, &err);
    rc = varve_sst_walk(s->sst, add_block, s, &err);
    print_streams(s);
    if (rc < 0)
        return inspect_file_failure(file, &err);
    return s->file->options->rows ? print_rows(s) : VARVE_OK;
}

varve_status inspect_sst(const char *path, const struct inspect_options *options)
{
    struct inspect_file file;
    varve_status rc = inspect_file_open(&file, path, options);
    struct sst_inspection *s = rc < 0 ? NULL : varve_alloc_zero(&file.heap, 1, sizeof *s);

    if (s != NULL) {
        s->file = &file;
        s->out = options->out;
        rc = inspect_open_sst(s);
        varve_sst_unref(s->sst);
        varve_cache_free(s->cache);
        varve_free(&file.heap, s, sizeof *s);
    } else if (rc == VARVE_OK) {
        varve_error err;
        (void)varve_error_nomem(&err, "an inspection");
        rc = inspect_file_failure(&file, &err);
    }
    if (rc == VARVE_OK && file.damaged)
        rc = VARVE_ECORRUPT;
    inspect_file_close(&file);
    return rc;
}
