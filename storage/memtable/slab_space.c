/*
 * slab_space.c - append-only memory addressed by 32-bit positions.
 *
 * Place.   Records, chunks, keys and text of a memtable stand here. reserve() makes sure before a
 *          record is logged that applying it will find memory; take() cannot fail then.
 *
 * Invariants
 *   L1  available() >= reserved: what is promised can be taken, in any order of requests of at most
 *       `largest` bytes.
 *   L2  Positions of ordinary requests ascend; a slab that has been left is never taken from again.
 *   L3  There is a spare block of the very size for each promised larger request.
 *
 * Threads. Changes belong to the applier. A reader who got a position through an acquiring load
 *          may use varve_slab_at(): group and base were written before the position was.
 */
#include "storage/memtable/memtable_int.h"

#define SLAB_ALIGN 64u
#define BLOCK_HEADER 64u /* keeps the block's memory aligned behind its header */

void *varve_memtable_take(struct varve_memtable *table, size_t size, size_t align)
{
    void *memory = varve_alloc_aligned(table->heap, size, align);
    if (memory != NULL)
        atomic_fetch_add_explicit(&table->held, size, memory_order_relaxed);
    return memory;
}

void varve_memtable_give(struct varve_memtable *table, void *memory, size_t size, size_t align)
{
    if (memory == NULL)
        return;
    atomic_fetch_sub_explicit(&table->held, size, memory_order_relaxed);
    varve_free_aligned(table->heap, memory, size, align);
}

static uint64_t usable(uint64_t bytes, uint32_t largest)
{
    /* 8 bytes at the start of the first slab keep position 0 free, and alignment may cost 7. */
    const uint64_t lost = (uint64_t)largest + 16;
    return bytes > lost ? bytes - lost : 0;
}

/* What promises may count on. Spare slabs are summed, so one below `lost` counts against others:
 * an underestimate, never an overestimate. */
static int64_t available(const struct varve_slab_space *space)
{
    const int64_t lost = (int64_t)space->largest + 16;
    return (int64_t)usable(space->bytes - space->used, space->largest) +
           (int64_t)space->spare_bytes - lost * (space->n_slabs - space->opened);
}

/* A growing memtable adds slabs of an eighth of its size, so that small ones stay small. */
static uint32_t slab_bytes(const struct varve_slab_space *space, uint64_t shortage)
{
    uint64_t bytes = (space->consumed + space->spare_bytes) / 8;
    const uint64_t need = shortage + space->largest + 16;
    if (bytes < need)
        bytes = need;
    if (bytes < VARVE_SLAB_FIRST_BYTES)
        bytes = VARVE_SLAB_FIRST_BYTES;
    if (bytes > VARVE_SLAB_BYTES)
        bytes = VARVE_SLAB_BYTES;
    return (uint32_t)((bytes + 4095) & ~(uint64_t)4095);
}

/* The group that slab number `slab` belongs to, made if need be. */
static struct varve_slab_group *group_of(struct varve_memtable *table, uint32_t slab)
{
    struct varve_slab_group **group = &table->slabs.groups[slab >> 6];
    if (*group == NULL) {
        *group = varve_memtable_take(table, sizeof **group, 16);
        if (*group != NULL)
            memset(*group, 0, sizeof **group);
    }
    return *group;
}

static void slab_pop(struct varve_memtable *table)
{
    struct varve_slab_space *space = &table->slabs;
    assert(space->n_slabs > space->opened);
    const uint32_t slab = --space->n_slabs;
    struct varve_slab_group *group = space->groups[slab >> 6];
    space->spare_bytes -= group->bytes[slab & 63];
    varve_memtable_give(table, group->base[slab & 63], group->bytes[slab & 63], SLAB_ALIGN);
    group->base[slab & 63] = NULL;
    group->bytes[slab & 63] = 0;
}

/* Free groups none of whose numbers are in use or promised. */
static void groups_trim(struct varve_memtable *table)
{
    struct varve_slab_space *space = &table->slabs;
    const uint32_t taken = space->top + space->top_reserved;
    for (uint32_t g = 0; g < 64; g++) {
        const bool below = g < (space->n_slabs + 63) >> 6;
        const bool above = taken > 0 && g >= (VARVE_SLABS_MAX - taken) >> 6;
        if (below || above || space->groups[g] == NULL)
            continue;
        varve_memtable_give(table, space->groups[g], sizeof *space->groups[g], 16);
        space->groups[g] = NULL;
    }
}

static varve_status slab_push(struct varve_memtable *table, uint64_t shortage, varve_error *err)
{
    struct varve_slab_space *space = &table->slabs;
    const uint32_t slab = space->n_slabs;
    if (slab + space->top + space->top_reserved >= VARVE_SLABS_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a memtable cannot hold more than 4 GiB");
    struct varve_slab_group *group = group_of(table, slab);
    if (group == NULL)
        return varve_error_nomem(err, "a memtable");
    const uint32_t bytes = slab_bytes(space, shortage);
    uint8_t *base = varve_memtable_take(table, bytes, SLAB_ALIGN);
    if (base == NULL) {
        groups_trim(table); /* a failed attempt leaves nothing behind */
        return varve_error_nomem(err, "a memtable");
    }
    group->base[slab & 63] = base;
    group->bytes[slab & 63] = bytes;
    space->n_slabs++;
    space->spare_bytes += bytes;
    return VARVE_OK;
}

struct varve_slab_mark varve_slabs_mark(const struct varve_slab_space *space)
{
    return (struct varve_slab_mark){space->n_slabs, space->largest, space->reserved};
}

void varve_slabs_go_back(struct varve_memtable *table, const struct varve_slab_mark *mark)
{
    while (table->slabs.n_slabs > mark->n_slabs)
        slab_pop(table);
    groups_trim(table);
    table->slabs.largest = mark->largest;
    table->slabs.reserved = mark->reserved;
}

/* Memory beyond promises that chunks may use: without it rows would become records. */
static int64_t headroom(const struct varve_slab_space *space)
{
    const uint64_t bytes = space->consumed / 16;
    return (int64_t)(bytes < VARVE_SLAB_NORMAL_MAX / 2 ? bytes : VARVE_SLAB_NORMAL_MAX / 2);
}

varve_status varve_slabs_reserve(struct varve_memtable *table, uint64_t bytes, uint32_t largest,
                                 varve_error *err)
{
    struct varve_slab_space *space = &table->slabs;
    assert(largest <= VARVE_SLAB_NORMAL_MAX + 16);
    if (largest > space->largest)
        space->largest = largest;
    space->reserved += bytes;
    for (int64_t left; (left = available(space) - (int64_t)space->reserved) < 0;) {
        const varve_status rc = slab_push(table, (uint64_t)-left, err);
        if (rc < 0)
            return rc;
    }
    /* Headroom is a convenience: without memory for it nothing fails. */
    if (available(space) - (int64_t)space->reserved < headroom(space))
        (void)slab_push(table, (uint64_t)headroom(space), NULL);
    return VARVE_OK;
}

void varve_slabs_trim(struct varve_memtable *table)
{
    struct varve_slab_space *space = &table->slabs;
    while (space->n_slabs > space->opened) {
        const uint32_t slab = space->n_slabs - 1;
        const int64_t bytes = space->groups[slab >> 6]->bytes[slab & 63];
        const int64_t without = available(space) - (bytes - space->largest - 16);
        if (without < (int64_t)space->reserved + headroom(space))
            break;
        slab_pop(table);
    }
    groups_trim(table);
}

uint32_t varve_slabs_take(struct varve_slab_space *space, uint32_t size, uint32_t align)
{
    uint32_t at = (space->used + align - 1) & ~(align - 1);
    assert(size > 0 && size <= VARVE_SLAB_NORMAL_MAX);
    if (space->opened == 0 || at + size > space->bytes) {
        assert(space->opened < space->n_slabs); /* L1 */
        const uint32_t slab = space->opened++;
        space->bytes = space->groups[slab >> 6]->bytes[slab & 63];
        space->spare_bytes -= space->bytes;
        space->consumed += space->bytes;
        at = slab == 0 ? 8 : 0;
        assert(at + size <= space->bytes);
    }
    space->used = at + size;
    return (space->opened - 1) << VARVE_SLAB_BITS | at;
}

bool varve_slabs_can_take(const struct varve_slab_space *space, uint32_t size, uint32_t covered)
{
    const uint32_t lost = space->largest + 16;
    const uint32_t at = (space->used + 7) & ~7u;
    const int64_t spare =
        (int64_t)space->spare_bytes - (int64_t)lost * (space->n_slabs - space->opened);
    int64_t left;

    if (size > VARVE_SLAB_NORMAL_MAX)
        return false;
    if (space->opened > 0 && at + size <= space->bytes) {
        left = (int64_t)usable(space->bytes - at - size, space->largest) + spare;
    } else {
        if (space->opened == space->n_slabs)
            return false;
        const uint32_t slab = space->opened;
        const uint32_t bytes = space->groups[slab >> 6]->bytes[slab & 63];
        if (size + 8 > bytes)
            return false;
        left = (int64_t)usable(bytes - size - 8, space->largest) + spare - ((int64_t)bytes - lost);
    }
    return left + covered >= (int64_t)space->reserved;
}

/* ------------------------------------------------------------- Blocks for larger requests */

static uint32_t slabs_of(uint32_t bytes)
{
    return (bytes + VARVE_SLAB_BYTES - 1) >> VARVE_SLAB_BITS;
}

varve_status varve_slabs_reserve_block(struct varve_memtable *table, uint32_t bytes,
                                       varve_error *err)
{
    struct varve_slab_space *space = &table->slabs;
    const uint32_t n = slabs_of(bytes);
    if (space->n_slabs + space->top + space->top_reserved + n > VARVE_SLABS_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a memtable cannot hold more than 4 GiB");
    /* Numbers are handed out when the block is used; groups must be there by then. */
    for (uint32_t i = 0; i < n; i++)
        if (group_of(table, VARVE_SLABS_MAX - 1 - space->top - space->top_reserved - i) == NULL)
            return varve_error_nomem(err, "a memtable");
    struct varve_spare_block *block = varve_memtable_take(table, BLOCK_HEADER + bytes, SLAB_ALIGN);
    if (block == NULL)
        return varve_error_nomem(err, "a large row");
    *block = (struct varve_spare_block){.next = space->spare_blocks, .bytes = bytes};
    space->spare_blocks = block;
    space->top_reserved += n;
    return VARVE_OK;
}

static struct varve_spare_block *spare_block_remove(struct varve_slab_space *space, uint32_t bytes)
{
    struct varve_spare_block **link = &space->spare_blocks;
    while (*link != NULL && (*link)->bytes != bytes)
        link = &(*link)->next;
    struct varve_spare_block *block = *link;
    assert(block != NULL); /* L3 */
    *link = block->next;
    space->top_reserved -= slabs_of(bytes);
    return block;
}

void varve_slabs_drop_block(struct varve_memtable *table, uint32_t bytes)
{
    struct varve_spare_block *block = spare_block_remove(&table->slabs, bytes);
    varve_memtable_give(table, block, BLOCK_HEADER + bytes, SLAB_ALIGN);
    groups_trim(table);
}

uint32_t varve_slabs_take_block(struct varve_slab_space *space, uint32_t bytes)
{
    struct varve_spare_block *block = spare_block_remove(space, bytes);
    const uint32_t n = slabs_of(bytes);
    block->next = space->used_blocks;
    space->used_blocks = block;
    space->top += n;
    const uint32_t first = VARVE_SLABS_MAX - space->top;
    for (uint32_t i = 0; i < n; i++) {
        struct varve_slab_group *group = space->groups[(first + i) >> 6];
        group->base[(first + i) & 63] = (uint8_t *)block + BLOCK_HEADER + (i << VARVE_SLAB_BITS);
    }
    return first << VARVE_SLAB_BITS;
}

static void blocks_free(struct varve_memtable *table, struct varve_spare_block *block)
{
    while (block != NULL) {
        struct varve_spare_block *next = block->next;
        varve_memtable_give(table, block, BLOCK_HEADER + block->bytes, SLAB_ALIGN);
        block = next;
    }
}

void varve_slabs_free(struct varve_memtable *table)
{
    struct varve_slab_space *space = &table->slabs;
    for (uint32_t slab = 0; slab < space->n_slabs; slab++) {
        struct varve_slab_group *group = space->groups[slab >> 6];
        varve_memtable_give(table, group->base[slab & 63], group->bytes[slab & 63], SLAB_ALIGN);
    }
    blocks_free(table, space->spare_blocks);
    blocks_free(table, space->used_blocks);
    for (uint32_t i = 0; i < 64; i++)
        if (space->groups[i] != NULL)
            varve_memtable_give(table, space->groups[i], sizeof *space->groups[i], 16);
    *space = (struct varve_slab_space){0};
}
