/*
 * bytes.c - bounded reading, growing writing.
 */
#include "storage/base/bytes.h"

#include "storage/base/alloc.h"

#define VARINT_BYTES_MAX 10u
#define BUFFER_CAPACITY_MIN 64u

/* The next `size` bytes, or NULL after marking the reader failed. */
static const uint8_t *take(struct varve_reader *r, size_t size)
{
    if (r->failed || size > (size_t)(r->end - r->at)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    if (size > 0)
        r->at += size;
    return bytes;
}

uint16_t varve_read_u16(struct varve_reader *r)
{
    const uint8_t *p = take(r, 2);
    return p == NULL ? 0 : varve_get_u16(p);
}

uint32_t varve_read_u32(struct varve_reader *r)
{
    const uint8_t *p = take(r, 4);
    return p == NULL ? 0 : varve_get_u32(p);
}

uint64_t varve_read_u64(struct varve_reader *r)
{
    const uint8_t *p = take(r, 8);
    return p == NULL ? 0 : varve_get_u64(p);
}

uint64_t varve_read_long_varint(struct varve_reader *r)
{
    const size_t left = varve_reader_left(r);
    const size_t most = left < VARINT_BYTES_MAX ? left : VARINT_BYTES_MAX;
    uint64_t value = 0;

    for (size_t i = 0; i < most; i++) {
        const uint8_t byte = r->at[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            if (byte == 0 && i > 0)
                break; /* a shorter spelling exists */
            r->at += i + 1;
            return value;
        }
    }
    r->failed = true;
    return 0;
}

struct varve_span varve_read_bytes(struct varve_reader *r, size_t size)
{
    const uint8_t *p = take(r, size);
    return r->failed ? (struct varve_span){NULL, 0} : (struct varve_span){p, size};
}

struct varve_span varve_read_sized(struct varve_reader *r, size_t max)
{
    const uint64_t size = varve_read_varint(r);

    if (size > max)
        r->failed = true;
    return varve_read_bytes(r, r->failed ? 0 : (size_t)size);
}

void varve_buffer_init(struct varve_buffer *b, struct varve_heap *heap)
{
    *b = (struct varve_buffer){.heap = heap};
}

void varve_buffer_free(struct varve_buffer *b)
{
    if (b->data != NULL)
        varve_free(b->heap, b->data, b->capacity);
    varve_buffer_init(b, b->heap);
}

void varve_buffer_clear(struct varve_buffer *b)
{
    b->size = 0;
    b->failed = false;
}

uint8_t *varve_buffer_reserve(struct varve_buffer *b, size_t size)
{
    size_t need;

    if (b->failed)
        return NULL;
    if (__builtin_add_overflow(b->size, size, &need)) {
        b->failed = true;
        return NULL;
    }
    if (need > b->capacity || b->data == NULL) {
        size_t capacity = b->capacity < BUFFER_CAPACITY_MIN ? BUFFER_CAPACITY_MIN : b->capacity;
        while (capacity < need)
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        uint8_t *data = varve_realloc(b->heap, b->data, b->capacity, capacity);
        if (data == NULL) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void varve_write_u8(struct varve_buffer *b, uint8_t v)
{
    varve_write_bytes(b, &v, 1);
}

void varve_write_u16(struct varve_buffer *b, uint16_t v)
{
    uint8_t bytes[2];
    varve_put_u16(bytes, v);
    varve_write_bytes(b, bytes, sizeof bytes);
}

void varve_write_u32(struct varve_buffer *b, uint32_t v)
{
    uint8_t bytes[4];
    varve_put_u32(bytes, v);
    varve_write_bytes(b, bytes, sizeof bytes);
}

void varve_write_u64(struct varve_buffer *b, uint64_t v)
{
    uint8_t bytes[8];
    varve_put_u64(bytes, v);
    varve_write_bytes(b, bytes, sizeof bytes);
}

void varve_write_varint(struct varve_buffer *b, uint64_t v)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t n = 0;

    while (v >= 0x80) {
        bytes[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (uint8_t)v;
    varve_write_bytes(b, bytes, n);
}

void varve_write_zigzag(struct varve_buffer *b, int64_t v)
{
    varve_write_varint(b, varve_zigzag(v));
}

void varve_write_bytes(struct varve_buffer *b, const void *data, size_t size)
{
    uint8_t *to = varve_buffer_reserve(b, size);

    if (to == NULL || size == 0)
        return;
    memcpy(to, data, size);
    b->size += size;
}

void varve_write_sized(struct varve_buffer *b, const void *data, size_t size)
{
    varve_write_varint(b, size);
    varve_write_bytes(b, data, size);
}

void varve_write_zeros(struct varve_buffer *b, size_t size)
{
    uint8_t *to = varve_buffer_reserve(b, size);

    if (to == NULL || size == 0)
        return;
    memset(to, 0, size);
    b->size += size;
}
