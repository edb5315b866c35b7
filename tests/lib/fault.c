/*
 * fault.c - every block has a hidden head that remembers its size and alignment, so that a free
 * with another size, a double free, and a free of a foreign pointer abort on the spot. New memory
 * and freed memory are filled with different patterns, so that neither passes for zeros.
 */
#include "tests/lib/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAGIC UINT64_C(0x6661756c74206f6b)
#define HEAD_FREED UINT64_C(0x6661756c74206e6f)

struct block_head { /* ends where the block starts */
    uint64_t magic;
    size_t size;
    size_t align;
    void *whole;
};

static void broken(const char *what)
{
    (void)fprintf(stderr, "fault allocator: %s\n", what);
    abort();
}

static void *fault_alloc(void *ctx, size_t size, size_t align)
{
    struct fault *f = ctx;
    const long call = atomic_fetch_add(&f->calls, 1);

    if (size == 0 || align < 8 || (align & (align - 1)) != 0)
        broken("asked for no bytes, or for an alignment that is none");
    if (f->at != FAULT_NEVER && (call == f->at || (f->mode == FAULT_FOR_EVER && call > f->at))) {
        atomic_fetch_add(&f->failed, 1);
        return NULL;
    }
    const size_t before = align > sizeof(struct block_head) ? align : sizeof(struct block_head);
    void *whole = NULL;
    if (size > SIZE_MAX / 2 || posix_memalign(&whole, align, before + size) != 0)
        return NULL;
    uint8_t *memory = (uint8_t *)whole + before;
    const struct block_head head = {HEAD_MAGIC, size, align, whole};
    memcpy(memory - sizeof head, &head, sizeof head);
    memset(memory, 0xa5, size < f->fill_max ? size : f->fill_max);
    const uint64_t live = atomic_fetch_add(&f->live, size) + size;
    uint64_t peak = atomic_load(&f->peak);
    while (live > peak && !atomic_compare_exchange_weak(&f->peak, &peak, live)) {
    }
    atomic_fetch_add(&f->blocks, 1);
    return memory;
}

static void fault_free(void *ctx, void *memory, size_t size, size_t align)
{
    struct fault *f = ctx;
    struct block_head head;

    if (memory == NULL) {
        if (size != 0)
            broken("NULL freed with a size");
        return;
    }
    memcpy(&head, (uint8_t *)memory - sizeof head, sizeof head);
    if (head.magic != HEAD_MAGIC)
        broken("freed twice, or never allocated");
    if (head.size != size || head.align != align)
        broken("freed with another size or alignment than it was asked for with");
    head.magic = HEAD_FREED;
    memcpy((uint8_t *)memory - sizeof head, &head, sizeof head);
    memset(memory, 0x5a, size < f->fill_max ? size : f->fill_max);
    free(head.whole);
    atomic_fetch_sub(&f->live, size);
    atomic_fetch_sub(&f->blocks, 1);
}

void fault_init(struct fault *f, long at, enum fault_mode mode)
{
    memset(f, 0, sizeof *f);
    f->allocator = (varve_allocator){.ctx = f, .alloc = fault_alloc, .free = fault_free};
    f->at = at;
    f->mode = mode;
    f->fill_max = SIZE_MAX;
}

bool fault_fired(const struct fault *f)
{
    return atomic_load(&f->failed) > 0;
}

long fault_calls(const struct fault *f)
{
    return atomic_load(&f->calls);
}

uint64_t fault_live(const struct fault *f)
{
    return atomic_load(&f->live);
}

uint64_t fault_blocks(const struct fault *f)
{
    return atomic_load(&f->blocks);
}

uint64_t fault_peak(const struct fault *f)
{
    return atomic_load(&f->peak);
}
