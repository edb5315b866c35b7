/*
 * sst_properties.c - the tagged fields of a file entry (sst_properties.h).
 */
#include "storage/sst/sst_properties.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* How a field's value is written. */
enum form {
    FORM_UUID = 1,
    FORM_U32,   /* varint */
    FORM_U64,   /* varint */
    FORM_I64,   /* zigzag */
    FORM_HASH,  /* eight bytes */
    FORM_KEY,   /* bytes */
    FORM_CODECS /* pairs of varints: codec, count */
};

struct field {
    uint16_t tag;
    uint8_t form; /* enum form */
    bool must;    /* a reader that does not know it cannot use the file */
    bool outside; /* not inside the file itself */
    size_t at;
};

#define FIELD(tag, form, must, name)                                                               \
    {                                                                                              \
        tag, form, must, false, offsetof(struct varve_sst_properties, name)                        \
    }
#define OUTSIDE(tag, form, name)                                                                   \
    {                                                                                              \
        tag, form, false, true, offsetof(struct varve_sst_properties, name)                        \
    }

/* Ascending; a tag is never used again. 33: quarantined ranges, kept free. */
static const struct field fields[] = {
    FIELD(1, FORM_UUID, true, uuid),
    FIELD(2, FORM_U32, true, table_id),
    FIELD(3, FORM_U32, true, group),
    FIELD(4, FORM_U32, true, kind),
    FIELD(5, FORM_U32, true, schema_version),
    FIELD(6, FORM_U32, true, stripe),
    FIELD(7, FORM_U32, false, preset),
    FIELD(8, FORM_U64, true, key_id),
    FIELD(9, FORM_I64, false, window_start),
    FIELD(10, FORM_I64, false, window_end),
    FIELD(11, FORM_U64, false, lsn_first),
    FIELD(12, FORM_U64, false, lsn_end),
    FIELD(13, FORM_U64, true, deletions_applied_lsn),
    FIELD(14, FORM_U64, true, rows),
    FIELD(15, FORM_U64, true, partitions),
    FIELD(16, FORM_U64, true, row_groups),
    FIELD(17, FORM_U64, false, vectors),
    FIELD(18, FORM_U64, false, markers),
    FIELD(19, FORM_U64, false, deleted_markers),
    FIELD(20, FORM_U64, false, deleted_cells),
    FIELD(21, FORM_I64, true, first_time),
    FIELD(22, FORM_I64, true, last_time),
    FIELD(23, FORM_I64, true, min_wt),
    FIELD(24, FORM_I64, true, max_wt),
    FIELD(25, FORM_U32, true, min_expiry),
    FIELD(26, FORM_U32, false, max_expiry),
    FIELD(27, FORM_HASH, false, content_hash),
    FIELD(28, FORM_U64, false, raw_bytes),
    OUTSIDE(29, FORM_U64, index_bytes),
    FIELD(30, FORM_CODECS, false, codec_vectors),
    FIELD(31, FORM_KEY, true, first_key),
    FIELD(32, FORM_KEY, true, last_key),
    OUTSIDE(34, FORM_U64, file_size),
    OUTSIDE(35, FORM_HASH, footer_checksum),
};

#define N_FIELDS (sizeof fields / sizeof fields[0])

static void write_codecs(struct varve_buffer *out, const uint64_t *counts)
{
    for (uint32_t i = 0; i < VARVE_SST_CODECS; i++) {
        if (counts[i] == 0)
            continue;
        varve_write_varint(out, i);
        varve_write_varint(out, counts[i]);
    }
}

/* The value of a field; nothing when it is the default. */
static void write_value(struct varve_buffer *out, const struct field *field, const void *value)
{
    uint64_t u64;
    uint32_t u32;
    struct varve_span key;

    switch ((enum form)field->form) {
    case FORM_UUID:
        varve_write_bytes(out, value, 16);
        break;
    case FORM_U32:
        memcpy(&u32, value, sizeof u32);
        if (u32 != 0)
            varve_write_varint(out, u32);
        break;
    case FORM_U64:
        memcpy(&u64, value, sizeof u64);
        if (u64 != 0)
            varve_write_varint(out, u64);
        break;
    case FORM_I64:
        memcpy(&u64, value, sizeof u64);
        if (u64 != 0)
            varve_write_zigzag(out, (int64_t)u64);
        break;
    case FORM_HASH:
        memcpy(&u64, value, sizeof u64);
        if (u64 != 0)
            varve_write_u64(out, u64);
        break;
    case FORM_KEY:
        memcpy(&key, value, sizeof key);
        varve_write_bytes(out, key.data, key.size);
        break;
    case FORM_CODECS:
        write_codecs(out, value);
        break;
    }
}

void varve_sst_properties_encode(const struct varve_sst_properties *properties, bool in_file,
                                 struct varve_buffer *out)
{
    struct varve_buffer value;

    varve_buffer_init(&value, out->heap);
    for (size_t i = 0; i < N_FIELDS; i++) {
        const struct field *field = &fields[i];

        if (in_file && field->outside)
            continue;
        varve_buffer_clear(&value);
        write_value(&value, field, (const uint8_t *)properties + field->at);
        if (value.failed)
            out->failed = true;
        if (value.size == 0)
            continue;
        varve_write_varint(out, ((uint64_t)field->tag << 1) | (field->must ? 1 : 0));
        varve_write_sized(out, value.data, value.size);
    }
    varve_buffer_free(&value);
}

static bool read_codecs(struct varve_reader *r, uint64_t *counts)
{
    while (varve_reader_left(r) > 0) {
        const uint64_t codec = varve_read_varint(r);
        const uint64_t count = varve_read_varint(r);

        counts[codec < VARVE_SST_CODECS ? codec : 0] += count;
    }
    return !r->failed;
}

static varve_status copy_key(struct varve_span from, struct varve_heap *heap, struct varve_span *to,
                             varve_error *err)
{
    *to = (struct varve_span){NULL, 0};
    if (from.size == 0)
        return VARVE_OK;
    uint8_t *data = varve_alloc(heap, from.size);
    if (data == NULL)
        return varve_error_nomem(err, "the keys of a file entry");
    memcpy(data, from.data, from.size);
    *to = (struct varve_span){data, from.size};
    return VARVE_OK;
}

/* One value into its place; keys stay borrowed from the input. */
static bool read_value(struct varve_span bytes, const struct field *field, void *value)
{
    struct varve_reader r = varve_reader_of(bytes);
    uint64_t u64;
    uint32_t u32;

    switch ((enum form)field->form) {
    case FORM_UUID: {
        const struct varve_span uuid = varve_read_bytes(&r, 16);
        if (!r.failed)
            memcpy(value, uuid.data, 16);
        break;
    }
    case FORM_U32:
        u64 = varve_read_varint(&r);
        u32 = (uint32_t)u64;
        if (u64 > UINT32_MAX)
            return false;
        memcpy(value, &u32, sizeof u32);
        break;
    case FORM_U64:
        u64 = varve_read_varint(&r);
        memcpy(value, &u64, sizeof u64);
        break;
    case FORM_I64:
        u64 = (uint64_t)varve_read_zigzag(&r);
        memcpy(value, &u64, sizeof u64);
        break;
    case FORM_HASH:
        u64 = varve_read_u64(&r);
        memcpy(value, &u64, sizeof u64);
        break;
    case FORM_KEY:
        memcpy(value, &bytes, sizeof bytes);
        return true;
    case FORM_CODECS:
        return read_codecs(&r, value);
    }
    return !r.failed && varve_reader_left(&r) == 0;
}

static const struct field *field_of(uint64_t tag)
{
    for (size_t i = 0; i < N_FIELDS; i++)
        if (fields[i].tag == tag)
            return &fields[i];
    return NULL;
}

static varve_status read_fields(struct varve_span in, struct varve_sst_properties *p,
                                varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    uint64_t last = 0;

    while (varve_reader_left(&r) > 0) {
        const uint64_t head = varve_read_varint(&r);
        const struct varve_span bytes = varve_read_sized(&r, varve_reader_left(&r));
        const struct field *field = field_of(head >> 1);

        if (r.failed || head >> 1 <= last)
            goto corrupt;
        last = head >> 1;
        if (field == NULL) {
            if ((head & 1) != 0)
                return varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                                       "a property that must be understood is unknown");
            continue;
        }
        if (!read_value(bytes, field, (uint8_t *)p + field->at))
            goto corrupt;
    }
    if (!r.failed && varve_span_compare(p->first_key, p->last_key) <= 0 &&
        (p->partitions == 0 || p->first_key.size > 0))
        return VARVE_OK;

corrupt:
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                           "the properties of a file are malformed");
}

varve_status varve_sst_properties_decode(struct varve_span in, struct varve_heap *heap,
                                         struct varve_sst_properties *ret_properties,
                                         varve_error *err)
{
    struct varve_sst_properties p = {.kind = 0};
    const varve_status rc = read_fields(in, &p, err);

    return rc < 0 ? rc : varve_sst_properties_copy(&p, heap, ret_properties, err);
}

varve_status varve_sst_properties_copy(const struct varve_sst_properties *from,
                                       struct varve_heap *heap,
                                       struct varve_sst_properties *ret_properties,
                                       varve_error *err)
{
    struct varve_sst_properties copy = *from;
    varve_status rc = copy_key(from->first_key, heap, &copy.first_key, err);

    if (rc < 0)
        return rc;
    rc = copy_key(from->last_key, heap, &copy.last_key, err);
    if (rc < 0) {
        copy.last_key = (struct varve_span){NULL, 0};
        varve_sst_properties_free(&copy, heap);
        return rc;
    }
    *ret_properties = copy;
    return VARVE_OK;
}

static void free_key(struct varve_span *key, struct varve_heap *heap)
{
    if (key->size > 0) {
        uint8_t *data;

        memcpy(&data, &key->data, sizeof data); /* the span is const, its memory is ours */
        varve_free(heap, data, key->size);
    }
    *key = (struct varve_span){NULL, 0};
}

void varve_sst_properties_free(struct varve_sst_properties *properties, struct varve_heap *heap)
{
    if (properties == NULL)
        return;
    free_key(&properties->first_key, heap);
    free_key(&properties->last_key, heap);
}
