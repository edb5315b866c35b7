/*
 * wal_format.c - see wal_format.h for the layouts.
 */
#include "storage/wal/wal_format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/checksum.h"

#define TAG_PAYLOAD_HASH 1u
#define TAG_LOGICAL_HASH 2u
#define TAG_HASH_SIZE 12u /* tag, size, value */
#define HEADER_RESERVED 40u

static const uint8_t header_magic[8] = {'V', 'A', 'R', 'V', 'E', 'W', 'A', 'L'};

void varve_wal_segment_name(uint64_t id, char *out)
{
    (void)snprintf(out, VARVE_WAL_NAME_MAX, "%016" PRIx64 ".wal", id);
}

uint64_t varve_wal_segment_capacity(uint64_t size)
{
    const uint64_t pages = size / VARVE_PAGE_SIZE;
    return pages < VARVE_WAL_SEGMENT_PAGES_MIN ? 0 : (pages - 2) * VARVE_PAGE_PAYLOAD;
}

uint32_t varve_wal_payload_limit(uint64_t size)
{
    return (uint32_t)(size / 4 < VARVE_WAL_PAYLOAD_MAX ? size / 4 : VARVE_WAL_PAYLOAD_MAX);
}

struct varve_page_place varve_wal_page_place(const uint8_t uuid[16], uint64_t id, uint32_t page_no)
{
    struct varve_page_place place = {
        .kind = VARVE_PAGE_KIND_WAL, .page_no = page_no, .file_id = id};

    memcpy(place.uuid, uuid, sizeof place.uuid);
    return place;
}

/* --------------------------------------------------------------------------- Header and seal */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* The clauses of the header's layout that its checksum does not speak of. */
static bool header_holds(const struct varve_wal_header *h)
{
    const bool first = h->prev_id == 0;

    if (h->id == 0 || is_zero(h->uuid, sizeof h->uuid))
        return false;
    if (h->size % VARVE_PAGE_SIZE != 0 || h->size > VARVE_WAL_SEGMENT_MAX ||
        h->size < VARVE_WAL_SEGMENT_PAGES_MIN * VARVE_PAGE_SIZE)
        return false;
    if (h->prev_id == h->id || first != is_zero(h->prev_uuid, sizeof h->prev_uuid))
        return false;
    if (h->prev_final_lsn > h->base_lsn)
        return false;
    return h->base_lsn <= VARVE_WAL_BASE_MAX;
}

void varve_wal_header_encode(const struct varve_wal_header *header, uint8_t *out)
{
    assert(header_holds(header));
    memset(out, 0, VARVE_WAL_HEADER_SIZE);
    memcpy(out, header_magic, sizeof header_magic);
    varve_put_u16(out + 8, VARVE_WAL_MAJOR);
    varve_put_u16(out + 10, VARVE_WAL_MINOR);
    varve_put_u32(out + 12, VARVE_PAGE_SIZE);
    memcpy(out + 16, header->uuid, 16);
    memcpy(out + 32, header->store_uuid, 16);
    varve_put_u64(out + 48, header->id);
    varve_put_u64(out + 56, header->size);
    varve_put_u64(out + 64, header->prev_id);
    memcpy(out + 72, header->prev_uuid, 16);
    varve_put_u64(out + 88, header->prev_final_lsn);
    varve_put_u64(out + 96, header->prev_digest);
    varve_put_u64(out + 104, header->base_lsn);
    varve_put_u64(out + 112, header->base_index);
    varve_put_u64(out + 120, header->base_term);
    varve_put_u64(out + 128, header->base_chain);
    varve_put_u64(out + 136, (uint64_t)header->base_hlc);
    varve_put_u64(out + 144, header->incompatible);
    varve_put_u64(out + 152, header->read_compatible);
    varve_put_u64(out + 160, header->compatible);
}

varve_status varve_wal_header_decode(struct varve_span in, struct varve_wal_header *ret_header)
{
    struct varve_wal_header h = {0};
    struct varve_reader r = varve_reader_of(in);

    const struct varve_span magic = varve_read_bytes(&r, sizeof header_magic);
    h.major = varve_read_u16(&r);
    h.minor = varve_read_u16(&r);
    if (r.failed || memcmp(magic.data, header_magic, sizeof header_magic) != 0)
        return VARVE_ECORRUPT;
    if (h.major == 0)
        return VARVE_ECORRUPT;
    if (h.major > VARVE_WAL_MAJOR) /* the rest may mean anything */
        return VARVE_EVERSION;

    const uint32_t page_size = varve_read_u32(&r);
    const struct varve_span uuid = varve_read_bytes(&r, 16);
    const struct varve_span store = varve_read_bytes(&r, 16);
    h.id = varve_read_u64(&r);
    h.size = varve_read_u64(&r);
    h.prev_id = varve_read_u64(&r);
    const struct varve_span prev = varve_read_bytes(&r, 16);
    h.prev_final_lsn = varve_read_u64(&r);
    h.prev_digest = varve_read_u64(&r);
    h.base_lsn = varve_read_u64(&r);
    h.base_index = varve_read_u64(&r);
    h.base_term = varve_read_u64(&r);
    h.base_chain = varve_read_u64(&r);
    h.base_hlc = (int64_t)varve_read_u64(&r);
    h.incompatible = varve_read_u64(&r);
    h.read_compatible = varve_read_u64(&r);
    h.compatible = varve_read_u64(&r);
    const struct varve_span reserved = varve_read_bytes(&r, HEADER_RESERVED);
    if (r.failed || varve_reader_left(&r) != 0 || page_size != VARVE_PAGE_SIZE)
        return VARVE_ECORRUPT;
    memcpy(h.uuid, uuid.data, 16);
    memcpy(h.store_uuid, store.data, 16);
    memcpy(h.prev_uuid, prev.data, 16);
    if (h.incompatible != 0)
        return VARVE_EVERSION;
    if (!is_zero(reserved.data, reserved.size) || !header_holds(&h))
        return VARVE_ECORRUPT;
    *ret_header = h;
    return VARVE_OK;
}

void varve_wal_header_peek(const uint8_t *page, uint8_t ret_uuid[16], uint64_t *ret_id,
                           uint64_t *ret_size)
{
    memcpy(ret_uuid, page + 16, 16);
    *ret_id = varve_get_u64(page + 48);
    *ret_size = varve_get_u64(page + 56);
}

void varve_wal_seal_encode(const struct varve_wal_seal *seal, uint8_t *out)
{
    varve_put_u64(out, seal->lsn);
    varve_put_u64(out + 8, seal->digest);
    varve_put_u64(out + 16, seal->index);
    varve_put_u64(out + 24, seal->term);
    varve_put_u64(out + 32, seal->chain);
    varve_put_u64(out + 40, (uint64_t)seal->hlc);
}

varve_status varve_wal_seal_decode(struct varve_span in, struct varve_wal_seal *ret_seal)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_wal_seal seal;

    seal.lsn = varve_read_u64(&r);
    seal.digest = varve_read_u64(&r);
    seal.index = varve_read_u64(&r);
    seal.term = varve_read_u64(&r);
    seal.chain = varve_read_u64(&r);
    seal.hlc = (int64_t)varve_read_u64(&r);
    if (r.failed || varve_reader_left(&r) != 0)
        return VARVE_ECORRUPT;
    *ret_seal = seal;
    return VARVE_OK;
}

/* ------------------------------------------------------------------------------------- Record */

uint64_t varve_wal_payload_hash(struct varve_span payload)
{
    return varve_hash64(payload.size == 0 ? "" : (const void *)payload.data, payload.size, 0);
}

uint64_t varve_wal_chain(uint64_t prev_chain, uint64_t index, uint64_t term, uint8_t type,
                         uint64_t logical_hash)
{
    uint8_t bytes[33];

    varve_put_u64(bytes, prev_chain);
    varve_put_u64(bytes + 8, index);
    varve_put_u64(bytes + 16, term);
    bytes[24] = type;
    varve_put_u64(bytes + 25, logical_hash);
    return varve_hash64(bytes, sizeof bytes, 0);
}

static uint32_t record_crc(struct varve_span header, const uint8_t uuid[16], uint64_t lsn)
{
    const uint64_t seed = varve_place_seed(uuid, VARVE_WAL_KIND_RECORD, lsn);
    return varve_crc32c(header.data + 4, header.size - 4, (uint32_t)seed);
}

static bool is_transformed(uint8_t flags)
{
    return (flags & (VARVE_WAL_COMPRESSED | VARVE_WAL_ENCRYPTED)) != 0;
}

uint32_t varve_wal_record_header_size(const struct varve_wal_record *record)
{
    uint32_t size = VARVE_WAL_RECORD_SIZE;

    if (record->payload_size > 0)
        size += TAG_HASH_SIZE;
    if (is_transformed(record->flags))
        size += TAG_HASH_SIZE;
    return size;
}

static uint8_t *put_hash(uint8_t *at, uint16_t tag, uint64_t hash)
{
    varve_put_u16(at, tag);
    varve_put_u16(at + 2, 8);
    varve_put_u64(at + 4, hash);
    return at + TAG_HASH_SIZE;
}

uint32_t varve_wal_record_encode(const struct varve_wal_record *record, const uint8_t uuid[16],
                                 uint8_t *out)
{
    const uint32_t size = varve_wal_record_header_size(record);
    uint8_t flags = (uint8_t)(record->flags & ~VARVE_WAL_EXTENDED);
    uint8_t *at = out + VARVE_WAL_RECORD_SIZE;

    assert(size <= VARVE_WAL_RECORD_OVERHEAD);
    assert(record->type > 0 && record->type < VARVE_WAL_PAD);
    assert((flags & ~(VARVE_WAL_COMPRESSED | VARVE_WAL_ENCRYPTED | VARVE_WAL_BULK)) == 0);
    assert(record->payload_size <= VARVE_WAL_PAYLOAD_MAX);
    if (size > VARVE_WAL_RECORD_SIZE)
        flags |= VARVE_WAL_EXTENDED;

    varve_put_u32(out + 4, record->payload_size);
    out[8] = record->type;
    out[9] = flags;
    varve_put_u16(out + 10, (uint16_t)size);
    varve_put_u32(out + 12, record->group);
    varve_put_u64(out + 16, record->lsn);
    varve_put_u64(out + 24, record->index);
    varve_put_u64(out + 32, record->term);
    varve_put_u64(out + 40, record->commit);
    varve_put_u64(out + 48, (uint64_t)record->hlc);
    varve_put_u32(out + 56, record->origin);
    varve_put_u32(out + 60, record->origin_epoch);
    varve_put_u64(out + 64, record->origin_first);
    varve_put_u64(out + 72, record->origin_last);
    varve_put_u64(out + 80, record->chain);
    varve_put_u32(out + 88, record->replica);
    varve_put_u32(out + 92, record->writer);
    if (record->payload_size > 0)
        at = put_hash(at, TAG_PAYLOAD_HASH, record->payload_hash);
    if (is_transformed(flags))
        at = put_hash(at, TAG_LOGICAL_HASH, record->logical_hash);
    assert(at == out + size);
    varve_put_u32(out, record_crc(varve_span_of(out, size), uuid, record->lsn));
    return size;
}

uint32_t varve_wal_record_claim(const uint8_t *fixed)
{
    const uint32_t size = varve_get_u16(fixed + 10);

    if (size < VARVE_WAL_RECORD_SIZE || size > VARVE_WAL_RECORD_MAX || size % 4 != 0)
        return 0;
    return size;
}

/* The extensions behind the fixed part. `seen` says which hashes were there: bit `tag`. */
static varve_status extensions_decode(struct varve_reader *r, struct varve_wal_record *record,
                                      uint32_t *seen)
{
    while (varve_reader_left(r) > 0) {
        const uint16_t tag = varve_read_u16(r);
        const uint16_t size = varve_read_u16(r);
        const struct varve_span value = varve_read_bytes(r, size);
        const struct varve_span padding = varve_read_bytes(r, (4u - size % 4u) % 4u);

        if (r->failed || tag == 0 || !is_zero(padding.data, padding.size))
            return VARVE_ECORRUPT;
        if (tag > TAG_LOGICAL_HASH)
            continue;
        if (size != 8 || (*seen & 1u << tag) != 0)
            return VARVE_ECORRUPT;
        *seen |= 1u << tag;
        if (tag == TAG_PAYLOAD_HASH)
            record->payload_hash = varve_get_u64(value.data);
        else
            record->logical_hash = varve_get_u64(value.data);
    }
    return VARVE_OK;
}

/* The fixed part, all but the crc. */
static void fixed_decode(struct varve_reader *r, struct varve_wal_record *record)
{
    record->payload_size = varve_read_u32(r);
    record->type = varve_read_u8(r);
    record->flags = varve_read_u8(r);
    record->header_size = varve_read_u16(r);
    record->group = varve_read_u32(r);
    record->lsn = varve_read_u64(r);
    record->index = varve_read_u64(r);
    record->term = varve_read_u64(r);
    record->commit = varve_read_u64(r);
    record->hlc = (int64_t)varve_read_u64(r);
    record->origin = varve_read_u32(r);
    record->origin_epoch = varve_read_u32(r);
    record->origin_first = varve_read_u64(r);
    record->origin_last = varve_read_u64(r);
    record->chain = varve_read_u64(r);
    record->replica = varve_read_u32(r);
    record->writer = varve_read_u32(r);
}

varve_status varve_wal_record_decode(struct varve_span in, const uint8_t uuid[16], uint64_t lsn,
                                     struct varve_wal_record *ret_record)
{
    const uint8_t known =
        VARVE_WAL_COMPRESSED | VARVE_WAL_ENCRYPTED | VARVE_WAL_EXTENDED | VARVE_WAL_BULK;
    struct varve_wal_record record = {0};
    struct varve_reader r = varve_reader_of(in);
    uint32_t seen = 0;

    if (in.size < VARVE_WAL_RECORD_SIZE || varve_read_u32(&r) != record_crc(in, uuid, lsn))
        return VARVE_ECORRUPT;
    fixed_decode(&r, &record);
    if (record.lsn != lsn || record.header_size != in.size ||
        varve_wal_record_claim(in.data) != in.size)
        return VARVE_ECORRUPT;
    if (record.type == 0 || record.type == VARVE_WAL_PAD ||
        record.payload_size > VARVE_WAL_PAYLOAD_MAX)
        return VARVE_ECORRUPT;
    if (record.type > VARVE_WAL_TYPE_LAST || (record.flags & ~known) != 0)
        return VARVE_EVERSION;
    if (((record.flags & VARVE_WAL_EXTENDED) != 0) != (in.size > VARVE_WAL_RECORD_SIZE))
        return VARVE_ECORRUPT;
    const varve_status rc = extensions_decode(&r, &record, &seen);
    if (rc < 0)
        return rc;
    if (((seen & 1u << TAG_PAYLOAD_HASH) != 0) != (record.payload_size > 0) ||
        ((seen & 1u << TAG_LOGICAL_HASH) != 0) != is_transformed(record.flags))
        return VARVE_ECORRUPT;
    if (record.payload_size == 0)
        record.payload_hash = varve_wal_payload_hash((struct varve_span){NULL, 0});
    if (!is_transformed(record.flags))
        record.logical_hash = record.payload_hash;
    *ret_record = record;
    return VARVE_OK;
}
