/*
 * text_dictionary.c - making and reading dictionaries (text_dictionary.h).
 */
#include "storage/sst/text_dictionary.h"

#include <assert.h>
#include <string.h>

#include "index/packed_column.h"
#include "storage/base/checksum.h"
#include "storage/base/vec.h"

#define SLOTS (1u << 17) /* twice the most entries: probes stay short */
#define TEXT_PADDING 64u /* of memory behind decoded text */
#define LIVE_LEAST 64u   /* fewer values are not worth a block */

void varve_dictionary_builder_init(struct varve_dictionary_builder *b, struct varve_heap *heap)
{
    *b = (struct varve_dictionary_builder){.heap = heap};
}

static size_t entries_size(size_t one)
{
    return VARVE_DICTIONARY_ENTRIES_MAX * one;
}

void varve_dictionary_builder_free(struct varve_dictionary_builder *b)
{
    varve_free(b->heap, b->slots, SLOTS * sizeof *b->slots);
    varve_free(b->heap, b->entries, entries_size(sizeof *b->entries));
    varve_free(b->heap, b->order, entries_size(sizeof *b->order));
    varve_free(b->heap, b->scratch, entries_size(sizeof *b->scratch));
    varve_free(b->heap, b->codes, b->codes_capacity * sizeof *b->codes);
    *b = (struct varve_dictionary_builder){.heap = b->heap};
}

static bool reserve(struct varve_dictionary_builder *b, uint32_t n_rows)
{
    if (b->slots == NULL)
        b->slots = varve_alloc(b->heap, SLOTS * sizeof *b->slots);
    if (b->entries == NULL)
        b->entries = varve_alloc(b->heap, entries_size(sizeof *b->entries));
    if (b->order == NULL)
        b->order = varve_alloc(b->heap, entries_size(sizeof *b->order));
    if (b->scratch == NULL)
        b->scratch = varve_alloc(b->heap, entries_size(sizeof *b->scratch));
    return b->slots != NULL && b->entries != NULL && b->order != NULL && b->scratch != NULL &&
           varve_vec_grow(b->heap, (void **)&b->codes, sizeof *b->codes, n_rows,
                          &b->codes_capacity);
}

static struct varve_span value_at(const struct varve_cells *cells, uint32_t row)
{
    const uint32_t at = cells->offsets[row];

    return (struct varve_span){(const uint8_t *)cells->values + at, cells->offsets[row + 1] - at};
}

/* The entry of `value`, new or old; UINT32_MAX: one too many. */
static uint32_t intern(struct varve_dictionary_builder *b, struct varve_span value, size_t *bytes)
{
    uint32_t slot = (uint32_t)varve_hash64(value.data, value.size, 0) & (SLOTS - 1);

    while (b->slots[slot] != 0) {
        const uint32_t entry = b->slots[slot] - 1;

        if (varve_span_compare(b->entries[entry], value) == 0)
            return entry;
        slot = (slot + 1) & (SLOTS - 1);
    }
    if (b->n == VARVE_DICTIONARY_ENTRIES_MAX || value.size > VARVE_DICTIONARY_BYTES_MAX - *bytes)
        return UINT32_MAX;
    *bytes += value.size;
    b->entries[b->n] = value;
    b->slots[slot] = ++b->n;
    return b->n - 1;
}

/* Sort `order` (entry numbers) by their values: merges of growing runs, bottom up. */
static void sort_entries(struct varve_dictionary_builder *b)
{
    uint32_t *from = b->order;
    uint32_t *to = b->scratch;

    for (uint32_t i = 0; i < b->n; i++)
        from[i] = i;
    for (uint32_t width = 1; width < b->n; width *= 2) {
        for (uint32_t begin = 0; begin < b->n; begin += 2 * width) {
            const uint32_t middle = b->n - begin < width ? b->n : begin + width;
            const uint32_t end = b->n - begin < 2 * width ? b->n : begin + 2 * width;
            uint32_t left = begin;
            uint32_t right = middle;

            for (uint32_t at = begin; at < end; at++) {
                const bool take_left =
                    left < middle &&
                    (right >= end ||
                     varve_span_compare(b->entries[from[left]], b->entries[from[right]]) <= 0);
                to[at] = take_left ? from[left++] : from[right++];
            }
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    b->order = from;
    b->scratch = to;
}

varve_status varve_dictionary_build(struct varve_dictionary_builder *b,
                                    const struct varve_cells *cells, uint32_t n_rows,
                                    varve_error *err)
{
    const uint32_t live =
        cells->live == NULL ? n_rows : (uint32_t)varve_bitmap_count(cells->live, n_rows);
    size_t bytes = 0;

    if (live < LIVE_LEAST)
        return VARVE_END;
    if (!reserve(b, n_rows))
        return varve_error_nomem(err, "a dictionary");
    memset(b->slots, 0, SLOTS * sizeof *b->slots);
    b->n = 0;
    for (uint32_t row = 0; row < n_rows; row++) {
        b->codes[row] = 0;
        if (cells->live != NULL && !varve_bit_get(cells->live, row))
            continue;
        const uint32_t entry = intern(b, value_at(cells, row), &bytes);
        if (entry == UINT32_MAX || b->n > live / 2)
            return VARVE_END;
        b->codes[row] = (int32_t)entry;
    }

    sort_entries(b);
    for (uint32_t code = 0; code < b->n; code++)
        b->scratch[b->order[code]] = code;
    for (uint32_t row = 0; row < n_rows; row++)
        if (cells->live == NULL || varve_bit_get(cells->live, row))
            b->codes[row] = (int32_t)b->scratch[b->codes[row]];
    return VARVE_OK;
}

varve_status varve_dictionary_encode(const struct varve_dictionary_builder *b,
                                     struct varve_buffer *out, varve_error *err)
{
    struct varve_buffer text;
    int64_t lengths[VARVE_PACKED_CHUNK];
    varve_status rc = VARVE_OK;

    varve_write_varint(out, b->n);
    for (uint32_t at = 0; at < b->n; at += VARVE_PACKED_CHUNK) {
        const uint32_t n = b->n - at < VARVE_PACKED_CHUNK ? b->n - at : VARVE_PACKED_CHUNK;

        for (uint32_t i = 0; i < n; i++)
            lengths[i] = (int64_t)b->entries[b->order[at + i]].size;
        varve_packed_write(out, lengths, n);
    }
    varve_buffer_init(&text, b->heap);
    for (uint32_t i = 0; i < b->n; i++)
        varve_write_bytes(&text, b->entries[b->order[i]].data, b->entries[b->order[i]].size);
    if (text.failed || out->failed)
        rc = varve_error_nomem(err, "a dictionary");
    else
        rc = varve_text_pack(varve_buffer_span(&text), out, err);
    varve_buffer_free(&text);
    return rc;
}

/* Parsed: u32 n, then n + 1 offsets as they are in memory, then the bytes. */
varve_status varve_dictionary_decode(struct varve_span in, struct varve_buffer *out,
                                     varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    const uint64_t count = varve_read_varint(&r);
    int64_t lengths[VARVE_PACKED_CHUNK];
    uint64_t sum = 0;

    if (r.failed || count == 0 || count > VARVE_DICTIONARY_ENTRIES_MAX)
        goto corrupt;
    const uint32_t n = (uint32_t)count;
    const size_t head = ((size_t)n + 2) * sizeof(uint32_t);
    varve_buffer_clear(out);
    if (varve_buffer_reserve(out, head) == NULL)
        return varve_error_nomem(err, "a dictionary");
    memcpy(out->data, &n, sizeof n);
    memset(out->data + 4, 0, sizeof(uint32_t));
    out->size = head;
    for (uint32_t at = 0; at < n; at += VARVE_PACKED_CHUNK) {
        const uint32_t take = n - at < VARVE_PACKED_CHUNK ? n - at : VARVE_PACKED_CHUNK;

        if (!varve_packed_read(&r, take, lengths))
            goto corrupt;
        for (uint32_t i = 0; i < take; i++) {
            if (lengths[i] < 0 || (uint64_t)lengths[i] > VARVE_DICTIONARY_BYTES_MAX - sum)
                goto corrupt;
            sum += (uint64_t)lengths[i];
            const uint32_t end = (uint32_t)sum;
            memcpy(out->data + ((size_t)at + i + 2) * sizeof end, &end, sizeof end);
        }
    }
    const size_t left = varve_reader_left(&r);
    const varve_status rc =
        varve_text_unpack(varve_read_bytes(&r, left), VARVE_DICTIONARY_BYTES_MAX, out, err);
    if (rc < 0)
        return rc;
    if (out->failed)
        return varve_error_nomem(err, "a dictionary");
    if (out->size - head != sum)
        goto corrupt;
    return VARVE_OK;

corrupt:
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "a dictionary is malformed");
}

struct varve_dictionary varve_dictionary_view(const uint8_t *parsed)
{
    struct varve_dictionary d;

    memcpy(&d.n, parsed, sizeof d.n);
    d.offsets = (const uint32_t *)(const void *)(parsed + 4);
    d.bytes = parsed + ((size_t)d.n + 2) * sizeof(uint32_t);
    return d;
}

varve_status varve_dictionary_spell(const uint8_t *parsed, const int32_t *codes, uint32_t n,
                                    const uint64_t *live, uint32_t *offsets,
                                    struct varve_buffer *text, varve_error *err)
{
    const struct varve_dictionary d = varve_dictionary_view(parsed);
    uint64_t size = 0;

    offsets[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (live == NULL || varve_bit_get(live, i)) {
            const uint32_t code = (uint32_t)codes[i];

            if (code >= d.n)
                return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                       "a code is not in its dictionary");
            size += d.offsets[code + 1] - d.offsets[code];
        }
        if (size > VARVE_VECTOR_BYTES_MAX)
            return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                                   "a vector has more text than it may");
        offsets[i + 1] = (uint32_t)size;
    }
    varve_buffer_clear(text);
    uint8_t *to = varve_buffer_reserve(text, (size_t)size + TEXT_PADDING);
    if (to == NULL)
        return varve_error_nomem(err, "text");
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bytes = offsets[i + 1] - offsets[i];

        if (bytes > 0)
            memcpy(to + offsets[i], d.bytes + d.offsets[codes[i]], bytes);
    }
    text->size = (size_t)size;
    return VARVE_OK;
}
