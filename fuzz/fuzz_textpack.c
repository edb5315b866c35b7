/*
 * fuzz_textpack.c - unpack arbitrary bytes as a packed section; pack them as text and compare.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAW_MAX (1u << 20)

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was unpacked, or the input itself, must come back from being packed. */
static void check_again(struct varve_span text, struct varve_heap *heap)
{
    struct varve_buffer packed, back;

    varve_buffer_init(&packed, heap);
    varve_buffer_init(&back, heap);
    require(varve_text_pack(text, &packed, NULL) == VARVE_OK);
    require(varve_text_unpack(varve_buffer_span(&packed), text.size, &back, NULL) == VARVE_OK);
    require(back.size == text.size &&
            (text.size == 0 || memcmp(back.data, text.data, text.size) == 0));
    varve_buffer_free(&back);
    varve_buffer_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_heap heap;
    struct varve_buffer out;
    uint8_t *copy = malloc(size + (size == 0));

    require(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    varve_heap_init(&heap, NULL, 64u << 20);
    varve_buffer_init(&out, &heap);
    const varve_status rc = varve_text_unpack(varve_span_of(copy, size), RAW_MAX, &out, NULL);
    require(rc == VARVE_OK || rc == VARVE_ECORRUPT);
    require(out.size <= RAW_MAX && (rc == VARVE_OK || out.size == 0));
    if (rc == VARVE_OK)
        check_again(varve_buffer_span(&out), &heap);
    check_again(varve_span_of(copy, size), &heap);
    varve_buffer_free(&out);
    require(varve_heap_used(&heap) == 0);
    free(copy);
    return 0;
}
