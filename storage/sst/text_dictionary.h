/*
 * text_dictionary.h - the dictionary of a text column of one row group: its distinct values, sorted;
 * the vectors hold codes. Worth it while at most half of the values are distinct.
 *
 *   Block
 *     varint  n               1 .. 65,535
 *     packed  lengths         (packed_column.h)
 *     bytes                   the values one after the other, as varve_text_pack() left them; at most
 *                             256 KiB raw
 *
 * Threads. Building belongs to one thread; a parsed dictionary is read-only.
 */
#ifndef VARVE_SST_TEXT_DICTIONARY_H
#define VARVE_SST_TEXT_DICTIONARY_H

#include "storage/codec/codec.h"
#include "storage/rows/rows.h"

#define VARVE_DICTIONARY_ENTRIES_MAX 65535u
#define VARVE_DICTIONARY_BYTES_MAX (256u << 10)

/* A dictionary being made; its memory is used again for the next one. */
struct varve_dictionary_builder {
    struct varve_heap *heap;
    uint32_t *slots;            /* hash table: entry + 1 */
    struct varve_span *entries; /* in order of appearance, then sorted; borrowed from the rows */
    uint32_t *order;            /* entry of appearance -> code; scratch when sorting */
    uint32_t *scratch;
    uint32_t n;
    int32_t *codes; /* of every row */
    size_t codes_capacity;
};

void varve_dictionary_builder_init(struct varve_dictionary_builder *b, struct varve_heap *heap);
void varve_dictionary_builder_free(struct varve_dictionary_builder *b);

/*
 * Try rows [0, n_rows) of a column of BYTES. VARVE_OK: b->codes has the codes (0 where a cell is not
 * live); VARVE_END: not worth it; ENOMEM.
 */
varve_status varve_dictionary_build(struct varve_dictionary_builder *b,
                                    const struct varve_cells *cells, uint32_t n_rows,
                                    varve_error *err);
varve_status varve_dictionary_encode(const struct varve_dictionary_builder *b,
                                     struct varve_buffer *out, varve_error *err);

/* A parsed dictionary: one block of memory that may lie in the cache. */
struct varve_dictionary {
    uint32_t n;
    const uint32_t *offsets; /* n + 1 */
    const uint8_t *bytes;
};

/* Decode a block into `out` (cleared): the parsed form as plain memory. OK, ECORRUPT, ENOMEM. */
varve_status varve_dictionary_decode(struct varve_span in, struct varve_buffer *out,
                                     varve_error *err);
/* A view of what varve_dictionary_decode() made (aligned to 4). */
struct varve_dictionary varve_dictionary_view(const uint8_t *parsed);
/*
 * Codes to text: the values of `n` codes into `text` (cleared first), where each begins and ends into
 * offsets[0 .. n]. Of rows that `live` (NULL: all) does not have nothing is taken. OK, ECORRUPT, ENOMEM.
 */
varve_status varve_dictionary_spell(const uint8_t *parsed, const int32_t *codes, uint32_t n,
                                    const uint64_t *live, uint32_t *offsets,
                                    struct varve_buffer *text, varve_error *err);

#endif
