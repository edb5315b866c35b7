/*
 * manifest_format.c - headers, edits and operations as bytes (manifest_format.h).
 */
#include "storage/manifest/manifest_format.h"

#include <string.h>

#include "storage/schema/schema_format.h"

static const uint8_t magic[8] = {'V', 'A', 'R', 'V', 'E', 'M', 'A', 'N'};

enum op_tag {
    OP_IDENTITY = 1,
    OP_SCHEMA,
    OP_DROP_TABLE,
    OP_MARKS,
    OP_ADD_FILE,
    OP_DROP_FILE,
    OP_SEGMENT,
    OP_DROP_SEGMENT,
    OP_REPLAY,
    OP_DURABLE,
    OP_CLOCK,
    OP_INCARNATION,
    OP_NEXT_FILE,
    OP_NEXT_TABLE,
    OP_KEEP_SEGMENT,
    OP_LET_GO,
    OP_NEXT_LSN
};

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* ----------------------------------------------------------------------------------- Headers */

void varve_manifest_header_encode(const struct varve_manifest_header *header, uint8_t *out)
{
    memset(out, 0, VARVE_MANIFEST_HEADER_SIZE);
    memcpy(out, magic, sizeof magic);
    varve_put_u16(out + 8, VARVE_MANIFEST_MAJOR);
    varve_put_u16(out + 10, VARVE_MANIFEST_MINOR);
    varve_put_u32(out + 12, header->snapshot_pages);
    memcpy(out + 16, header->uuid, 16);
    memcpy(out + 32, header->store_uuid, 16);
    varve_put_u64(out + 48, header->generation);
    varve_put_u64(out + 56, header->snapshot_size);
    varve_put_u64(out + 64, header->snapshot_hash);
    varve_put_u64(out + 72, header->version);
    varve_put_u64(out + 80, header->incompatible);
    varve_put_u64(out + 88, header->read_compatible);
    varve_put_u64(out + 96, header->compatible);
    varve_put_u32(out + 104, header->file_pages);
}

varve_status varve_manifest_header_decode(struct varve_span in,
                                          struct varve_manifest_header *ret_header)
{
    struct varve_manifest_header h;
    const uint8_t *p = in.data;

    if (in.size != VARVE_MANIFEST_HEADER_SIZE || memcmp(p, magic, sizeof magic) != 0)
        return VARVE_ECORRUPT;
    if (varve_get_u16(p + 8) == 0)
        return VARVE_ECORRUPT;
    if (varve_get_u16(p + 8) > VARVE_MANIFEST_MAJOR || varve_get_u64(p + 80) != 0)
        return VARVE_EVERSION;
    h.snapshot_pages = varve_get_u32(p + 12);
    memcpy(h.uuid, p + 16, 16);
    memcpy(h.store_uuid, p + 32, 16);
    h.generation = varve_get_u64(p + 48);
    h.snapshot_size = varve_get_u64(p + 56);
    h.snapshot_hash = varve_get_u64(p + 64);
    h.version = varve_get_u64(p + 72);
    h.incompatible = varve_get_u64(p + 80);
    h.read_compatible = varve_get_u64(p + 88);
    h.compatible = varve_get_u64(p + 96);
    h.file_pages = varve_get_u32(p + 104);
    if (all_zero(h.uuid, 16) || h.generation == 0 || !all_zero(p + 108, 20))
        return VARVE_ECORRUPT;
    if (h.snapshot_size == 0 || h.snapshot_size > VARVE_MANIFEST_SNAPSHOT_MAX ||
        h.snapshot_pages != (h.snapshot_size + VARVE_PAGE_PAYLOAD - 1) / VARVE_PAGE_PAYLOAD)
        return VARVE_ECORRUPT;
    if (h.file_pages < 2 * h.snapshot_pages + 3 || h.file_pages > VARVE_MANIFEST_PAGES_MAX)
        return VARVE_ECORRUPT;
    *ret_header = h;
    return VARVE_OK;
}

void varve_manifest_edit_encode(const struct varve_manifest_edit *edit, uint8_t *out)
{
    memset(out, 0, VARVE_MANIFEST_EDIT_SIZE);
    varve_put_u32(out, edit->size);
    varve_put_u32(out + 4, edit->copy);
    varve_put_u64(out + 8, edit->version);
    varve_put_u64(out + 16, edit->hash);
}

varve_status varve_manifest_edit_decode(struct varve_span in, struct varve_manifest_edit *ret_edit)
{
    if (in.size < VARVE_MANIFEST_EDIT_SIZE)
        return VARVE_ECORRUPT;
    const struct varve_manifest_edit edit = {.size = varve_get_u32(in.data),
                                             .copy = varve_get_u32(in.data + 4),
                                             .version = varve_get_u64(in.data + 8),
                                             .hash = varve_get_u64(in.data + 16)};
    if (edit.size == 0 || edit.size > VARVE_MANIFEST_EDIT_MAX || edit.copy < 1 || edit.copy > 2 ||
        !all_zero(in.data + 24, 8))
        return VARVE_ECORRUPT;
    *ret_edit = edit;
    return VARVE_OK;
}

struct varve_page_place varve_manifest_page_place(const uint8_t uuid[16], uint64_t generation,
                                                  uint32_t page_no)
{
    struct varve_page_place place = {
        .kind = VARVE_PAGE_KIND_MANIFEST, .page_no = page_no, .file_id = generation};
    memcpy(place.uuid, uuid, sizeof place.uuid);
    return place;
}

/* -------------------------------------------------------------------------- Writing operations */

/* Append one operation whose body is `body`, which is cleared for the next. */
static void put_op(struct varve_buffer *out, enum op_tag tag, struct varve_buffer *body)
{
    varve_write_varint(out, (uint64_t)tag * 2 + 1);
    varve_write_sized(out, body->data, body->size);
    out->failed |= body->failed;
    varve_buffer_clear(body);
}

static void put_number(struct varve_buffer *out, struct varve_buffer *body, enum op_tag tag,
                       uint64_t value)
{
    varve_write_varint(body, value);
    put_op(out, tag, body);
}

static void put_bytes(struct varve_buffer *out, struct varve_buffer *body, enum op_tag tag,
                      const uint8_t bytes[16])
{
    varve_write_bytes(body, bytes, 16);
    put_op(out, tag, body);
}

static void put_schema(struct varve_buffer *out, struct varve_buffer *body,
                       const struct varve_schema *schema)
{
    varve_schema_encode(schema, body);
    put_op(out, OP_SCHEMA, body);
}

static void put_marks(struct varve_buffer *out, struct varve_buffer *body,
                      const struct varve_table_marks *marks)
{
    varve_write_varint(body, marks->table_id);
    varve_write_varint(body, marks->flushed_lsn);
    varve_write_zigzag(body, marks->retention_floor);
    varve_write_zigzag(body, marks->write_floor);
    put_op(out, OP_MARKS, body);
}

static void put_file(struct varve_buffer *out, struct varve_buffer *body,
                     const struct varve_file_entry *file)
{
    varve_write_varint(body, file->id);
    varve_write_varint(body, file->quarantined);
    varve_sst_properties_encode(&file->properties, false, body);
    put_op(out, OP_ADD_FILE, body);
}

static void put_segment(struct varve_buffer *out, struct varve_buffer *body,
                        const struct varve_segment_entry *segment)
{
    varve_write_varint(body, segment->id);
    varve_write_bytes(body, segment->uuid, 16);
    varve_write_u64(body, segment->base_lsn);
    varve_write_varint(body, segment->size);
    varve_write_u8(body, segment->sealed);
    varve_write_varint(body, segment->final_lsn);
    varve_write_u64(body, segment->digest);
    put_op(out, OP_SEGMENT, body);
}

static void put_kept(struct varve_buffer *out, struct varve_buffer *body,
                     const struct varve_kept_segment *kept)
{
    varve_write_varint(body, kept->id);
    varve_write_varint(body, kept->lsn);
    varve_write_varint(body, kept->lsn_end);
    put_op(out, OP_KEEP_SEGMENT, body);
}

static void put_replay(struct varve_buffer *out, struct varve_buffer *body,
                       const struct varve_replay_state *replay)
{
    varve_write_varint(body, replay->lsn);
    varve_write_varint(body, replay->index);
    varve_write_varint(body, replay->term);
    varve_write_u64(body, replay->chain);
    varve_write_zigzag(body, replay->hlc);
    varve_write_varint(body, replay->n_epochs);
    for (uint32_t i = 0; i < replay->n_epochs; i++) {
        varve_write_varint(body, replay->epochs[i].term);
        varve_write_varint(body, replay->epochs[i].first_index);
    }
    varve_write_varint(body, replay->n_origins);
    for (uint32_t i = 0; i < replay->n_origins; i++) {
        varve_write_varint(body, replay->origins[i].id);
        varve_write_varint(body, replay->origins[i].epoch);
        varve_write_varint(body, replay->origins[i].last);
        varve_write_u64(body, replay->origins[i].source_crc);
    }
    put_op(out, OP_REPLAY, body);
}

static void put_clock(struct varve_buffer *out, struct varve_buffer *body, int64_t safe_now_us,
                      int64_t boot_us, const uint8_t boot_id[16])
{
    varve_write_zigzag(body, safe_now_us);
    varve_write_zigzag(body, boot_us);
    varve_write_bytes(body, boot_id, 16);
    put_op(out, OP_CLOCK, body);
}

static void put_settings(struct varve_buffer *out, struct varve_buffer *body,
                         const struct varve_edit *edit)
{
    if ((edit->set_flags & VARVE_EDIT_REPLAY) != 0)
        put_replay(out, body, &edit->replay);
    if ((edit->set_flags & VARVE_EDIT_DURABLE) != 0)
        put_number(out, body, OP_DURABLE, edit->durable_lsn);
    if ((edit->set_flags & VARVE_EDIT_CLOCK) != 0)
        put_clock(out, body, edit->safe_now_us, edit->boot_us, edit->boot_id);
    if ((edit->set_flags & VARVE_EDIT_INCARNATION) != 0)
        put_bytes(out, body, OP_INCARNATION, edit->incarnation);
    if ((edit->set_flags & VARVE_EDIT_NEXT_FILE) != 0)
        put_number(out, body, OP_NEXT_FILE, edit->next_file_id);
    if ((edit->set_flags & VARVE_EDIT_NEXT_TABLE) != 0)
        put_number(out, body, OP_NEXT_TABLE, edit->next_table_id);
    if ((edit->set_flags & VARVE_EDIT_NEXT_LSN) != 0)
        put_number(out, body, OP_NEXT_LSN, edit->next_lsn);
}

void varve_manifest_ops_of_edit(const struct varve_edit *edit, struct varve_buffer *out)
{
    struct varve_buffer body;

    varve_buffer_init(&body, out->heap);
    for (uint32_t i = 0; i < edit->n_put_schemas; i++)
        put_schema(out, &body, edit->put_schemas[i]);
    for (uint32_t i = 0; i < edit->n_drop_files; i++)
        put_number(out, &body, OP_DROP_FILE, edit->drop_files[i]);
    for (uint32_t i = 0; i < edit->n_add_files; i++)
        put_file(out, &body, &edit->add_files[i]);
    for (uint32_t i = 0; i < edit->n_marks; i++)
        put_marks(out, &body, &edit->marks[i]);
    for (uint32_t i = 0; i < edit->n_drop_tables; i++)
        put_number(out, &body, OP_DROP_TABLE, edit->drop_tables[i]);
    for (uint32_t i = 0; i < edit->n_put_segments; i++)
        put_segment(out, &body, &edit->put_segments[i]);
    for (uint32_t i = 0; i < edit->n_drop_segments; i++)
        put_number(out, &body, OP_DROP_SEGMENT, edit->drop_segments[i]);
    for (uint32_t i = 0; i < edit->n_let_go_segments; i++)
        put_number(out, &body, OP_LET_GO, edit->let_go_segments[i]);
    for (uint32_t i = 0; i < edit->n_keep_segments; i++)
        put_kept(out, &body, &edit->keep_segments[i]);
    put_settings(out, &body, edit);
    varve_buffer_free(&body);
}

void varve_manifest_ops_of_version(const struct varve_version *version, struct varve_buffer *out)
{
    struct varve_buffer body;

    varve_buffer_init(&body, out->heap);
    put_bytes(out, &body, OP_IDENTITY, version->store_uuid);
    put_bytes(out, &body, OP_INCARNATION, version->incarnation);
    put_number(out, &body, OP_NEXT_FILE, version->next_file_id);
    put_number(out, &body, OP_NEXT_TABLE, version->next_table_id);
    put_number(out, &body, OP_NEXT_LSN, version->next_lsn);
    for (uint32_t i = 0; i < version->n_tables; i++) {
        const struct varve_table_entry *table = version->tables[i];
        const struct varve_table_marks marks = {.table_id = table->schema->table_id,
                                                .flushed_lsn = table->flushed_lsn,
                                                .retention_floor = table->retention_floor,
                                                .write_floor = table->write_floor};
        put_schema(out, &body, table->schema);
        put_marks(out, &body, &marks);
        for (uint64_t f = 0; f < table->n_files; f++)
            put_file(out, &body, table->files[f]);
    }
    for (uint32_t i = 0; i < version->n_segments; i++)
        put_segment(out, &body, &version->segments[i]);
    for (uint32_t i = 0; i < version->n_kept; i++)
        put_kept(out, &body, &version->kept[i]);
    put_replay(out, &body, &version->replay);
    put_number(out, &body, OP_DURABLE, version->durable_lsn);
    put_clock(out, &body, version->safe_now_us, version->boot_us, version->boot_id);
    varve_buffer_free(&body);
}

varve_status varve_manifest_snapshot_encode(const struct varve_version *version, uint64_t max,
                                            struct varve_buffer *out, varve_error *err)
{
    varve_manifest_ops_of_version(version, out);
    if (out->failed)
        return varve_error_nomem(err, "a snapshot of the manifest");
    if (out->size > max)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "the state of the store is too large for a manifest");
    return VARVE_OK;
}

/* -------------------------------------------------------------------------- Reading operations */

static void read_16(struct varve_reader *r, uint8_t out[16])
{
    const struct varve_span span = varve_read_bytes(r, 16);

    if (span.size == 16)
        memcpy(out, span.data, 16);
    else
        memset(out, 0, 16);
}

static varve_status read_schema(struct varve_reader *r, struct varve_version *version,
                                varve_error *err)
{
    struct varve_schema *schema = NULL;
    const struct varve_span bytes = varve_read_bytes(r, varve_reader_left(r));
    varve_status rc = varve_schema_decode(bytes, version->heap, &schema, err);

    if (rc < 0)
        return rc;
    rc = varve_version_put_schema(version, schema);
    if (rc < 0)
        varve_schema_unref(schema);
    return rc;
}

static varve_status read_file(struct varve_reader *r, struct varve_version *version,
                              varve_error *err)
{
    struct varve_file_entry *file = varve_alloc_zero(version->heap, 1, sizeof *file);

    if (file == NULL)
        return VARVE_ENOMEM;
    file->id = varve_read_varint(r);
    file->quarantined = varve_read_varint(r);
    const struct varve_span bytes = varve_read_bytes(r, varve_reader_left(r));
    varve_status rc =
        r->failed ? VARVE_ECORRUPT
                  : varve_sst_properties_decode(bytes, version->heap, &file->properties, err);
    if (rc == VARVE_OK) {
        rc = varve_version_add_file(version, file);
        if (rc < 0)
            varve_sst_properties_free(&file->properties, version->heap);
    }
    if (rc < 0)
        varve_free(version->heap, file, sizeof *file);
    return rc;
}

/* A number that only grows, by one or by bytes; one at its end fails the reader. */
static uint64_t read_counter(struct varve_reader *r)
{
    const uint64_t value = varve_read_varint(r);

    r->failed |= value >= VARVE_COUNTER_END;
    return r->failed ? 0 : value;
}

/* A time in microseconds; one that cannot be reckoned with fails the reader. */
static int64_t read_time(struct varve_reader *r)
{
    const int64_t value = varve_read_zigzag(r);

    r->failed |= value <= -VARVE_TIME_END || value >= VARVE_TIME_END;
    return r->failed ? 0 : value;
}

static varve_status read_segment(struct varve_reader *r, struct varve_version *version)
{
    struct varve_segment_entry segment = {.id = varve_read_varint(r)};

    read_16(r, segment.uuid);
    segment.base_lsn = varve_read_u64(r);
    segment.size = varve_read_varint(r);
    const uint8_t sealed = varve_read_u8(r);
    segment.sealed = sealed != 0;
    segment.final_lsn = read_counter(r);
    segment.digest = varve_read_u64(r);
    return r->failed || sealed > 1 ? VARVE_ECORRUPT : varve_version_put_segment(version, &segment);
}

static varve_status read_kept(struct varve_reader *r, struct varve_version *version)
{
    struct varve_kept_segment kept = {.id = varve_read_varint(r)};

    kept.lsn = read_counter(r);
    kept.lsn_end = read_counter(r);
    return r->failed ? VARVE_ECORRUPT : varve_version_keep_segment(version, &kept);
}

static bool read_count(struct varve_reader *r, size_t least, uint32_t *ret)
{
    const uint64_t count = varve_read_varint(r);

    *ret = 0;
    if (r->failed || count > varve_reader_left(r) / least || count > UINT32_MAX)
        return false;
    *ret = (uint32_t)count;
    return true;
}

/* A varint of 32 bits; a larger one fails the reader. */
static uint32_t read_u32(struct varve_reader *r)
{
    const uint64_t value = varve_read_varint(r);

    r->failed |= value > UINT32_MAX;
    return r->failed ? 0 : (uint32_t)value;
}

static varve_status read_replay(struct varve_reader *r, struct varve_version *version)
{
    struct varve_replay_state replay = {.lsn = read_counter(r)};
    varve_status rc = VARVE_ECORRUPT;
    uint32_t epochs = 0, origins = 0;

    replay.index = read_counter(r);
    replay.term = read_counter(r);
    replay.chain = varve_read_u64(r);
    replay.hlc = read_time(r);
    if (!read_count(r, 2, &epochs))
        return VARVE_ECORRUPT;
    if (epochs > 0)
        replay.epochs = varve_alloc_zero(version->heap, epochs, sizeof *replay.epochs);
    if (epochs > 0 && replay.epochs == NULL)
        return VARVE_ENOMEM;
    for (uint32_t i = 0; i < epochs; i++) {
        replay.epochs[i].term = read_counter(r);
        replay.epochs[i].first_index = read_counter(r);
    }
    if (!read_count(r, 11, &origins))
        goto out;
    if (origins > 0)
        replay.origins = varve_alloc_zero(version->heap, origins, sizeof *replay.origins);
    if (origins > 0 && replay.origins == NULL) {
        rc = VARVE_ENOMEM;
        goto out;
    }
    for (uint32_t i = 0; i < origins; i++) {
        replay.origins[i].id = read_u32(r);
        r->failed |= replay.origins[i].id <= (i == 0 ? 0 : replay.origins[i - 1].id);
        replay.origins[i].epoch = read_u32(r);
        replay.origins[i].last = varve_read_varint(r);
        replay.origins[i].source_crc = varve_read_u64(r);
    }
    replay.n_epochs = epochs;
    replay.n_origins = origins;
    if (!r->failed)
        rc = varve_version_put_replay(version, &replay);
out:
    if (replay.epochs != NULL)
        varve_free(version->heap, replay.epochs, epochs * sizeof *replay.epochs);
    if (replay.origins != NULL)
        varve_free(version->heap, replay.origins, origins * sizeof *replay.origins);
    return rc;
}

static varve_status read_marks(struct varve_reader *r, struct varve_version *version)
{
    struct varve_table_marks marks = {.table_id = read_u32(r)};

    marks.flushed_lsn = varve_read_varint(r);
    marks.retention_floor = varve_read_zigzag(r);
    marks.write_floor = varve_read_zigzag(r);
    return r->failed ? VARVE_ECORRUPT : varve_version_put_marks(version, &marks);
}

static varve_status read_numbers(uint64_t tag, struct varve_reader *r,
                                 struct varve_version *version)
{
    const bool grows = tag == OP_DURABLE || tag == OP_NEXT_FILE || tag == OP_NEXT_LSN;
    const uint64_t number = grows ? read_counter(r) : varve_read_varint(r);

    if (r->failed || (number > UINT32_MAX && (tag == OP_DROP_TABLE || tag == OP_NEXT_TABLE)))
        return VARVE_ECORRUPT;
    switch (tag) {
    case OP_DROP_TABLE:
        return varve_version_drop_table(version, (uint32_t)number);
    case OP_DROP_FILE:
        return varve_version_drop_file(version, number);
    case OP_DROP_SEGMENT:
        return varve_version_drop_segment(version, number);
    case OP_LET_GO:
        return varve_version_let_go_segment(version, number);
    case OP_DURABLE:
        version->durable_lsn = number > version->durable_lsn ? number : version->durable_lsn;
        return VARVE_OK;
    case OP_NEXT_FILE:
        version->next_file_id = number > version->next_file_id ? number : version->next_file_id;
        return VARVE_OK;
    case OP_NEXT_LSN:
        version->next_lsn = number > version->next_lsn ? number : version->next_lsn;
        return VARVE_OK;
    default:
        if (number > version->next_table_id)
            version->next_table_id = (uint32_t)number;
        return VARVE_OK;
    }
}

static varve_status apply_op(uint64_t tag, struct varve_reader *r, struct varve_version *version,
                             varve_error *err)
{
    switch (tag) {
    case OP_IDENTITY:
        if (!all_zero(version->store_uuid, 16))
            return VARVE_ECORRUPT;
        read_16(r, version->store_uuid);
        return all_zero(version->store_uuid, 16) ? VARVE_ECORRUPT : VARVE_OK;
    case OP_SCHEMA:
        return read_schema(r, version, err);
    case OP_MARKS:
        return read_marks(r, version);
    case OP_ADD_FILE:
        return read_file(r, version, err);
    case OP_SEGMENT:
        return read_segment(r, version);
    case OP_REPLAY:
        return read_replay(r, version);
    case OP_KEEP_SEGMENT:
        return read_kept(r, version);
    case OP_CLOCK:
        version->safe_now_us = read_time(r);
        version->boot_us = read_time(r);
        read_16(r, version->boot_id);
        return VARVE_OK;
    case OP_INCARNATION:
        read_16(r, version->incarnation);
        return VARVE_OK;
    default:
        return read_numbers(tag, r, version);
    }
}

varve_status varve_manifest_ops_apply(struct varve_span ops, struct varve_version *version,
                                      varve_error *err)
{
    struct varve_reader r = varve_reader_of(ops);

    while (varve_reader_left(&r) > 0) {
        const uint64_t head = varve_read_varint(&r), tag = head / 2;
        const struct varve_span bytes = varve_read_sized(&r, ops.size);
        struct varve_reader body = varve_reader_of(bytes);
        if (r.failed)
            break;
        if (tag < OP_IDENTITY || tag > OP_NEXT_LSN) {
            if ((head & 1) != 0)
                return varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                                       "the manifest holds operation %llu, which this version does "
                                       "not know",
                                       (unsigned long long)tag);
            continue;
        }
        varve_status rc = apply_op(tag, &body, version, err);
        if (rc == VARVE_OK && (body.failed || varve_reader_left(&body) > 0))
            rc = VARVE_ECORRUPT;
        if (rc == VARVE_ENOMEM)
            return varve_error_nomem(err, "the manifest");
        if (rc == VARVE_EINVAL || rc == VARVE_ECORRUPT)
            return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                   "operation %llu of the manifest is malformed or contradicts "
                                   "the state",
                                   (unsigned long long)tag);
        if (rc < 0)
            return rc;
    }
    if (r.failed)
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "the operations of the manifest are cut short");
    if (!varve_version_holds(version))
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "the manifest names an id that has not been given out yet");
    return VARVE_OK;
}
