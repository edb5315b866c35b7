/*
 * bytes.h - spans, and the one way to read and write integers in files: little-endian, bounded.
 */
#ifndef VARVE_BASE_BYTES_H
#define VARVE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct varve_span { /* borrowed bytes */
    const uint8_t *data;
    size_t size;
};

static inline struct varve_span varve_span_of(const void *data, size_t size)
{
    return (struct varve_span){(const uint8_t *)data, size};
}

/* Lexicographic by unsigned bytes, then by length: < 0, 0, > 0. */
static inline int varve_span_compare(struct varve_span a, struct varve_span b)
{
    const size_t n = a.size < b.size ? a.size : b.size;
    const int rc = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return rc != 0 ? rc : (a.size > b.size) - (a.size < b.size);
}

static inline uint16_t varve_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t varve_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t varve_get_u64(const uint8_t *p)
{
    return (uint64_t)varve_get_u32(p) | (uint64_t)varve_get_u32(p + 4) << 32;
}
static inline void varve_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void varve_put_u32(uint8_t *p, uint32_t v)
{
    varve_put_u16(p, (uint16_t)v);
    varve_put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void varve_put_u64(uint8_t *p, uint64_t v)
{
    varve_put_u32(p, (uint32_t)v);
    varve_put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t varve_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t varve_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/*
 * A bounded reader. The first read past the end, or a malformed varint, sets `failed`; from then on
 * every read gives 0 or an empty span, so a decoder checks once at the end (and before it trusts a
 * count: compare with varve_reader_left()).
 */
struct varve_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct varve_reader varve_reader_of(struct varve_span span)
{
    return (struct varve_reader){span.data, span.data == NULL ? NULL : span.data + span.size,
                                 false};
}
static inline size_t varve_reader_left(const struct varve_reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}
static inline uint8_t varve_read_u8(struct varve_reader *r)
{
    if (varve_reader_left(r) > 0)
        return *r->at++;
    r->failed = true;
    return 0;
}
uint16_t varve_read_u16(struct varve_reader *r);
uint32_t varve_read_u32(struct varve_reader *r);
uint64_t varve_read_u64(struct varve_reader *r);
uint64_t varve_read_long_varint(struct varve_reader *r);
/* LEB128, at most 10 bytes, canonical. */
static inline uint64_t varve_read_varint(struct varve_reader *r)
{
    if (varve_reader_left(r) > 0 && *r->at < 0x80)
        return *r->at++;
    return varve_read_long_varint(r);
}
static inline int64_t varve_read_zigzag(struct varve_reader *r)
{
    return varve_unzigzag(varve_read_varint(r));
}
struct varve_span varve_read_bytes(struct varve_reader *r, size_t size);
/* A varint length, then that many bytes; a length above `max` fails. */
struct varve_span varve_read_sized(struct varve_reader *r, size_t max);

/* A growing output buffer in counted memory. After a failed growth `failed` is set and writes do
 * nothing, so an encoder checks once at the end. */
struct varve_heap;
struct varve_buffer {
    struct varve_heap *heap;
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void varve_buffer_init(struct varve_buffer *b, struct varve_heap *heap);
void varve_buffer_free(struct varve_buffer *b);
void varve_buffer_clear(struct varve_buffer *b); /* keeps the memory; resets failed */
/* Room for `size` more bytes at b->data + b->size, or NULL; the caller advances b->size. */
uint8_t *varve_buffer_reserve(struct varve_buffer *b, size_t size);
void varve_write_u8(struct varve_buffer *b, uint8_t v);
void varve_write_u16(struct varve_buffer *b, uint16_t v);
void varve_write_u32(struct varve_buffer *b, uint32_t v);
void varve_write_u64(struct varve_buffer *b, uint64_t v);
void varve_write_varint(struct varve_buffer *b, uint64_t v);
void varve_write_zigzag(struct varve_buffer *b, int64_t v);
void varve_write_bytes(struct varve_buffer *b, const void *data, size_t size);
void varve_write_sized(struct varve_buffer *b, const void *data, size_t size);
void varve_write_zeros(struct varve_buffer *b, size_t size);
static inline struct varve_span varve_buffer_span(const struct varve_buffer *b)
{
    return (struct varve_span){b->data, b->size};
}

#endif
