/*
 * manifest_fixture.c - see manifest_fixture.h.
 */
#include "manifest_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/schema/schema.h"

#define BIG_FILES 60u

void rig_init(struct rig *rig, uint64_t seed)
{
    struct varve_sim_options options;

    memset(rig, 0, sizeof *rig);
    varve_heap_init(&rig->sim_heap, NULL, UINT64_MAX);
    varve_sim_options_init(&options, &rig->sim_heap, seed);
    must(varve_sim_create(&options, &rig->sim) == 0);
    must(varve_sim_attach(rig->sim, &rig->vfs) == 0);
    rig_fault(rig, FAULT_NEVER, FAULT_ONCE);
}

void rig_fault(struct rig *rig, long at, enum fault_mode mode)
{
    must(fault_blocks(&rig->fault) == 0);
    fault_init(&rig->fault, at, mode);
    varve_heap_init(&rig->heap, &rig->fault.allocator, UINT64_MAX);
}

void rig_free(struct rig *rig)
{
    const char *violation = varve_sim_violation(rig->sim);

    if (violation != NULL)
        ck_abort_msg("%s", violation);
    must(fault_blocks(&rig->fault) == 0);
    varve_sim_destroy(rig->sim);
    must(varve_heap_used(&rig->sim_heap) == 0);
}

/* -------------------------------------------------------------------------------------- Samples */

static varve_status put_schema(struct varve_manifest *m, const char *text, uint32_t id,
                               uint32_t version, varve_error *err)
{
    varve_schema *parsed = NULL;
    struct varve_schema *schema = NULL;

    must(varve_schema_parse(text, &parsed, NULL) == VARVE_OK);
    must(varve_schema_with_id(parsed, parsed->heap, id, version, &schema, NULL) == VARVE_OK);
    const struct varve_schema *put = schema;
    const struct varve_edit edit = {.put_schemas = &put,
                                    .n_put_schemas = 1,
                                    .set_flags = VARVE_EDIT_NEXT_TABLE | VARVE_EDIT_NEXT_FILE,
                                    .next_table_id = id + 1,
                                    .next_file_id = 65};
    const varve_status rc = varve_manifest_apply(m, &edit, err);
    varve_schema_unref(schema);
    varve_schema_free(parsed);
    return rc;
}

static void fill_file(struct varve_file_entry *file, uint64_t id, uint32_t table_id)
{
    static const uint8_t keys[2][4] = {{1, 2, 3, 4}, {9, 8, 7, 6}};

    file->id = id;
    file->properties.table_id = table_id;
    file->properties.kind = VARVE_SST_DATA;
    file->properties.schema_version = 1;
    file->properties.rows = id * 100;
    file->properties.partitions = id;
    file->properties.first_time = -(int64_t)id;
    file->properties.last_time = (int64_t)id * 1000;
    file->properties.lsn_end = id * 7;
    file->properties.file_size = id << 12;
    file->properties.footer_checksum = varve_mix64(id);
    memset(file->properties.uuid, (int)(id & 0xff) | 1, sizeof file->properties.uuid);
    file->properties.first_key = varve_span_of(keys[0], 4);
    file->properties.last_key = varve_span_of(keys[1], 4);
}

static varve_status add_files(struct varve_manifest *m, uint64_t first, uint32_t n,
                              uint32_t table_id, varve_error *err)
{
    static struct varve_file_entry files[BIG_FILES];
    const struct varve_table_marks marks = {.table_id = table_id,
                                            .flushed_lsn = first * 10,
                                            .retention_floor = INT64_MIN,
                                            .write_floor = -5};
    const struct varve_edit edit = {.add_files = files,
                                    .n_add_files = n,
                                    .marks = &marks,
                                    .n_marks = 1,
                                    .set_flags = VARVE_EDIT_NEXT_FILE,
                                    .next_file_id = first + n};

    must(n <= BIG_FILES);
    memset(files, 0, sizeof files);
    for (uint32_t i = 0; i < n; i++)
        fill_file(&files[i], first + i, table_id);
    return varve_manifest_apply(m, &edit, err);
}

static varve_status put_segments(struct varve_manifest *m, varve_error *err)
{
    const struct varve_segment_entry segments[2] = {
        {.id = 2, .uuid = {2}, .base_lsn = 6000, .size = 65536},
        {.id = 1, .uuid = {1}, .base_lsn = 64, .size = 65536}};
    const struct varve_edit edit = {.put_segments = segments, .n_put_segments = 2};
    return varve_manifest_apply(m, &edit, err);
}

static varve_status put_replay(struct varve_manifest *m, varve_error *err)
{
    struct varve_epoch epochs[2] = {{1, 1}, {2, 500}};
    struct varve_origin_entry origins[1] = {{7, 3, 12345, 0}};
    const struct varve_edit edit = {.set_flags = VARVE_EDIT_REPLAY | VARVE_EDIT_DURABLE |
                                                 VARVE_EDIT_NEXT_LSN,
                                    .durable_lsn = 5000,
                                    .next_lsn = 7000,
                                    .replay = {.lsn = 4000,
                                               .index = 600,
                                               .term = 2,
                                               .chain = 0x0123456789abcdef,
                                               .hlc = -77,
                                               .n_epochs = 2,
                                               .n_origins = 1,
                                               .epochs = epochs,
                                               .origins = origins}};
    return varve_manifest_apply(m, &edit, err);
}

static varve_status seal_and_drop(struct varve_manifest *m, varve_error *err)
{
    static const uint64_t drop[1] = {10};
    const struct varve_segment_entry seal = {
        .id = 1, .base_lsn = 64, .sealed = true, .final_lsn = 6000, .digest = 42};
    struct varve_edit edit = {.drop_files = drop,
                              .n_drop_files = 1,
                              .put_segments = &seal,
                              .n_put_segments = 1,
                              .set_flags = VARVE_EDIT_CLOCK | VARVE_EDIT_INCARNATION,
                              .safe_now_us = 1700000000000000,
                              .boot_us = 12,
                              .boot_id = {1, 2, 3},
                              .incarnation = {4, 5, 6}};
    return varve_manifest_apply(m, &edit, err);
}

static varve_status drop_segment(struct varve_manifest *m, varve_error *err)
{
    static const uint64_t drop[1] = {1};
    const struct varve_segment_entry current = {
        .id = 2, .uuid = {2}, .base_lsn = 7000, .size = 65536};
    const struct varve_edit edit = {
        .drop_segments = drop, .n_drop_segments = 1, .put_segments = &current, .n_put_segments = 1};
    return varve_manifest_apply(m, &edit, err);
}

static varve_status drop_table(struct varve_manifest *m, varve_error *err)
{
    static const uint32_t drop[1] = {2};
    const struct varve_table_marks marks = {
        .table_id = 1, .flushed_lsn = 9000, .retention_floor = -1, .write_floor = 3};
    const struct varve_edit edit = {
        .drop_tables = drop, .n_drop_tables = 1, .marks = &marks, .n_marks = 1};
    return varve_manifest_apply(m, &edit, err);
}

static varve_status put_number(struct varve_manifest *m, uint32_t i, varve_error *err)
{
    const struct varve_edit edit = {.set_flags = VARVE_EDIT_DURABLE, .durable_lsn = 9000 + i};
    return varve_manifest_apply(m, &edit, err);
}

varve_status sample_apply(struct varve_manifest *m, struct rig *rig, uint32_t i)
{
    static const char ticks[] = "CREATE TABLE ticks (k text, t timestamp, v double, "
                                "PRIMARY KEY (k, t))";
    static const char ticks2[] = "CREATE TABLE ticks (k text, t timestamp, v double, w int, "
                                 "PRIMARY KEY (k, t))";
    static const char bars[] = "CREATE TABLE bars (a int, b text, t bigint, x decimal(9, 2), "
                               "PRIMARY KEY ((a, b), t))";
    varve_error *err = &rig->err;

    switch (i) {
    case 0:
        return put_schema(m, ticks, 1, 1, err);
    case 1:
        return put_segments(m, err);
    case 2:
        return add_files(m, 10, 2, 1, err);
    case 3:
        return put_replay(m, err);
    case 4:
        return put_schema(m, bars, 2, 1, err);
    case 5:
        return add_files(m, 65, BIG_FILES, 1, err);
    case 6:
        return add_files(m, 130, 3, 2, err);
    case 7:
        return seal_and_drop(m, err);
    case 8:
        return drop_segment(m, err);
    case 9:
        return drop_table(m, err);
    case 10:
        return put_schema(m, ticks2, 1, 2, err);
    default:
        return put_number(m, i, err);
    }
}

/* --------------------------------------------------------------------------------------- States */

uint64_t state_hash(const struct varve_version *version)
{
    struct varve_heap heap;
    struct varve_buffer bytes;

    varve_heap_init(&heap, NULL, UINT64_MAX);
    varve_buffer_init(&bytes, &heap);
    varve_manifest_ops_of_version(version, &bytes);
    varve_write_u64(&bytes, version->number);
    must(!bytes.failed);
    const uint64_t hash = varve_hash64(bytes.data, bytes.size, 0);
    varve_buffer_free(&bytes);
    return hash;
}

uint64_t manifest_state(const struct varve_manifest *manifest)
{
    struct varve_version *version = varve_manifest_version(manifest);
    const uint64_t hash = state_hash(version);

    varve_version_unref(version);
    return hash;
}

uint64_t opened_state(struct rig *rig, bool read_only)
{
    struct varve_manifest *m = NULL;
    const varve_status rc = varve_manifest_open(rig->vfs, &rig->heap, read_only, &m, &rig->err);

    if (rc < 0)
        ck_abort_msg("%s: %s", varve_status_name(rc), rig->err.message);
    const uint64_t hash = manifest_state(m);
    varve_manifest_close(m);
    return hash;
}

static void print_16(FILE *out, const char *what, const uint8_t bytes[16])
{
    (void)fprintf(out, "%s ", what);
    for (int i = 0; i < 16; i++)
        (void)fprintf(out, "%02x", bytes[i]);
    (void)fprintf(out, "\n");
}

static void print_table(FILE *out, const struct varve_table_entry *table)
{
    (void)fprintf(out,
                  "table %u version %u %s flushed %" PRIu64 " floors %" PRId64 " %" PRId64 "\n",
                  table->schema->table_id, table->schema->version, table->schema->name,
                  table->flushed_lsn, table->retention_floor, table->write_floor);
    for (uint64_t i = 0; i < table->n_files; i++) {
        const struct varve_sst_properties *p = &table->files[i]->properties;
        (void)fprintf(out,
                      "  file %" PRIu64 " quarantined %" PRIu64 " rows %" PRIu64 " times %" PRId64
                      " %" PRId64 " size %" PRIu64 " footer %016" PRIx64 "\n",
                      table->files[i]->id, table->files[i]->quarantined, p->rows, p->first_time,
                      p->last_time, p->file_size, p->footer_checksum);
    }
}

static void print_replay(FILE *out, const struct varve_replay_state *r)
{
    (void)fprintf(out,
                  "replay lsn %" PRIu64 " index %" PRIu64 " term %" PRIu64 " chain %016" PRIx64
                  " hlc %" PRId64 "\n",
                  r->lsn, r->index, r->term, r->chain, r->hlc);
    for (uint32_t i = 0; i < r->n_epochs; i++)
        (void)fprintf(out, "  epoch %" PRIu64 " %" PRIu64 "\n", r->epochs[i].term,
                      r->epochs[i].first_index);
    for (uint32_t i = 0; i < r->n_origins; i++)
        (void)fprintf(out, "  origin %u %u %" PRIu64 "\n", r->origins[i].id, r->origins[i].epoch,
                      r->origins[i].last);
}

char *state_text(const struct varve_version *v)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    must(out != NULL);
    (void)fprintf(out, "number %" PRIu64 "\n", v->number);
    print_16(out, "store", v->store_uuid);
    print_16(out, "incarnation", v->incarnation);
    (void)fprintf(out, "next file %" PRIu64 " table %u lsn %" PRIu64 "\n", v->next_file_id,
                  v->next_table_id, v->next_lsn);
    for (uint32_t i = 0; i < v->n_tables; i++)
        print_table(out, v->tables[i]);
    for (uint32_t i = 0; i < v->n_segments; i++) {
        const struct varve_segment_entry *s = &v->segments[i];
        (void)fprintf(out,
                      "segment %" PRIu64 " base %" PRIu64 " size %" PRIu64
                      " sealed %d final %" PRIu64 " digest %" PRIu64 "\n",
                      s->id, s->base_lsn, s->size, s->sealed, s->final_lsn, s->digest);
        print_16(out, "  uuid", s->uuid);
    }
    print_replay(out, &v->replay);
    (void)fprintf(out, "durable %" PRIu64 " now %" PRId64 " boot %" PRId64 "\n", v->durable_lsn,
                  v->safe_now_us, v->boot_us);
    print_16(out, "boot id", v->boot_id);
    must(fclose(out) == 0);
    return text;
}
