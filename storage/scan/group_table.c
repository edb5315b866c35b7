/*
 * group_table.c - the memory of groups: one that is open, or all of them by bucket.
 */
#include "storage/scan/groups_int.h"

#include <assert.h>

#include "storage/base/checksum.h"
#include "storage/base/vec.h"

varve_status varve_groups_nomem(const struct varve_heap *heap, size_t size, varve_error *err)
{
    if (size < VARVE_GROUPS_BLOCK)
        size = VARVE_GROUPS_BLOCK;
    if (size > heap->limit || varve_heap_used(heap) > heap->limit - size)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the groups of an aggregation do not fit in memory_limit");
    return varve_error_nomem(err, "the groups of an aggregation");
}

/* Hands out what lies behind the cells of a group. */
static void *behind(uint8_t **at, bool wanted, size_t size)
{
    void *memory = *at;

    if (!wanted)
        return NULL;
    *at += size;
    return memory;
}

varve_status varve_group_new(struct varve_groups *groups, struct varve_group **ret_group,
                             varve_error *err)
{
    const size_t value = sizeof(struct varve_group_value);
    struct varve_group *group = varve_arena_alloc(&groups->arena, groups->group_size, 16);

    if (group == NULL)
        return varve_groups_nomem(groups->heap, groups->group_size, err);
    memset(group, 0, groups->group_size);
    uint8_t *at = (uint8_t *)&group->cells[groups->n_columns];
    for (uint32_t i = 0; i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        const bool by_value = column->kind == VARVE_GROUP_VALUE;
        const uint32_t wants = column->wants;
        struct varve_group_cell *cell = &group->cells[i];
        cell->fold.fsum =
            behind(&at, column->kind == VARVE_GROUP_FLOAT && (wants & VARVE_FOLD_SUM) != 0,
                   sizeof(struct varve_exact_sum));
        cell->first = behind(&at, (wants & VARVE_FOLD_FIRST) != 0, value);
        cell->last = behind(&at, (wants & VARVE_FOLD_LAST) != 0, value);
        cell->min = behind(&at, by_value && (wants & VARVE_FOLD_MIN) != 0, value);
        cell->max = behind(&at, by_value && (wants & VARVE_FOLD_MAX) != 0, value);
    }
    assert(at == (uint8_t *)group + groups->group_size);
    *ret_group = group;
    return VARVE_OK;
}

size_t varve_group_size(const struct varve_groups *groups)
{
    size_t size = sizeof(struct varve_group);

    for (uint32_t i = 0; i < groups->n_columns; i++) {
        const struct varve_group_column *column = &groups->columns[i];
        const uint32_t wants = column->wants;
        const size_t ends =
            (wants & VARVE_FOLD_FIRST ? 1u : 0u) + (wants & VARVE_FOLD_LAST ? 1u : 0u);
        const size_t extremes =
            (wants & VARVE_FOLD_MIN ? 1u : 0u) + (wants & VARVE_FOLD_MAX ? 1u : 0u);
        size += sizeof(struct varve_group_cell) + ends * sizeof(struct varve_group_value);
        if (column->kind == VARVE_GROUP_VALUE)
            size += extremes * sizeof(struct varve_group_value);
        if (column->kind == VARVE_GROUP_FLOAT && (wants & VARVE_FOLD_SUM) != 0)
            size += sizeof(struct varve_exact_sum);
    }
    return size;
}

static void drop_sums(const struct varve_groups *groups, struct varve_group_cell *cell)
{
    while (cell->sums != NULL) {
        struct varve_scale_sum *next = cell->sums->next;
        varve_free(groups->heap, cell->sums, sizeof *cell->sums);
        cell->sums = next;
    }
}

void varve_group_cell_reset(const struct varve_groups *groups, struct varve_group_cell *cell)
{
    struct varve_group_value *values[] = {cell->first, cell->last, cell->min, cell->max};

    varve_fold_reset(&cell->fold);
    for (int k = 0; k < 4; k++)
        if (values[k] != NULL)
            values[k]->has = false;
    drop_sums(groups, cell); /* scales of another group must not count as seen */
}

void varve_group_reset(const struct varve_groups *groups, struct varve_group *group, int64_t bucket)
{
    group->bucket = bucket;
    group->rows = 0;
    for (uint32_t i = 0; i < groups->n_columns; i++)
        varve_group_cell_reset(groups, &group->cells[i]);
}

void varve_group_clear(const struct varve_groups *groups, struct varve_group *group)
{
    for (uint32_t i = 0; group != NULL && i < groups->n_columns; i++) {
        struct varve_group_cell *cell = &group->cells[i];
        struct varve_group_value *values[] = {cell->first, cell->last, cell->min, cell->max};
        for (int k = 0; k < 4; k++)
            if (values[k] != NULL)
                varve_free(groups->heap, values[k]->bytes, values[k]->capacity);
        drop_sums(groups, cell);
    }
}

/* Whether groups may hold memory of their own. */
static bool holds_memory(const struct varve_groups *groups)
{
    for (uint32_t i = 0; i < groups->n_columns; i++)
        if (groups->columns[i].type == VARVE_TEXT || groups->columns[i].type == VARVE_BLOB ||
            groups->columns[i].phys == VARVE_PHYS_DEC)
            return true;
    return false;
}

void varve_groups_free(struct varve_groups *groups)
{
    if (groups == NULL)
        return;
    varve_group_clear(groups, groups->open);
    for (size_t i = 0; i < groups->n_all && holds_memory(groups); i++)
        varve_group_clear(groups, groups->all[i]);
    varve_arena_free(&groups->arena);
    varve_free(groups->heap, groups->all, groups->all_capacity * sizeof(struct varve_group *));
    varve_free(groups->heap, groups->slots, groups->n_slots * sizeof *groups->slots);
}

static struct varve_group_slot *slot_of(const struct varve_groups *groups, int64_t bucket)
{
    size_t i = (size_t)varve_mix64((uint64_t)bucket) & (groups->n_slots - 1);

    while (groups->slots[i].number != 0 && groups->slots[i].bucket != bucket)
        i = (i + 1) & (groups->n_slots - 1);
    return &groups->slots[i];
}

/* At most half of the slots are in use. */
static varve_status grow_slots(struct varve_groups *groups, varve_error *err)
{
    const size_t before = groups->n_slots;
    const size_t n = before == 0 ? 64 : before * 2;
    struct varve_group_slot *slots;

    if (groups->n_all * 2 < before)
        return VARVE_OK;
    slots = varve_alloc_zero(groups->heap, n, sizeof *slots);
    if (slots == NULL)
        return varve_groups_nomem(groups->heap, n * sizeof *slots, err);
    varve_free(groups->heap, groups->slots, before * sizeof *slots);
    groups->slots = slots;
    groups->n_slots = n;
    for (size_t i = 0; i < groups->n_all; i++)
        *slot_of(groups, groups->all[i]->bucket) =
            (struct varve_group_slot){.bucket = groups->all[i]->bucket, .number = (uint32_t)i + 1};
    return VARVE_OK;
}

static varve_status add_group(struct varve_groups *groups, struct varve_group_slot *slot,
                              int64_t bucket, varve_error *err)
{
    struct varve_group *group;

    if (groups->n_all >= UINT32_MAX - 1 ||
        !varve_vec_grow(groups->heap, (void **)&groups->all, sizeof(struct varve_group *),
                        groups->n_all + 1, &groups->all_capacity))
        return varve_groups_nomem(groups->heap, groups->all_capacity * 16, err);
    const varve_status rc = varve_group_new(groups, &group, err);
    if (rc < 0)
        return rc;
    group->bucket = bucket;
    groups->all[groups->n_all++] = group;
    *slot = (struct varve_group_slot){.bucket = bucket, .number = (uint32_t)groups->n_all};
    return VARVE_OK;
}

varve_status varve_groups_find(struct varve_groups *groups, int64_t bucket,
                               struct varve_group **ret_group, varve_error *err)
{
    /* Rows come in order of time, and so did those that made the groups: the next is likely next. */
    for (size_t i = groups->recent; i < groups->n_all && i <= groups->recent + 1; i++)
        if (groups->all[i]->bucket == bucket) {
            groups->recent = i;
            *ret_group = groups->all[i];
            return VARVE_OK;
        }
    varve_status rc = grow_slots(groups, err);
    if (rc < 0)
        return rc;
    struct varve_group_slot *slot = slot_of(groups, bucket);
    if (slot->number == 0) {
        rc = add_group(groups, slot, bucket, err);
        if (rc < 0)
            return rc;
    }
    groups->recent = slot->number - 1;
    *ret_group = groups->all[groups->recent];
    return VARVE_OK;
}

static void sift(struct varve_group **all, size_t i, size_t n)
{
    struct varve_group *group = all[i];

    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && all[child]->bucket < all[child + 1]->bucket)
            child++;
        if (group->bucket >= all[child]->bucket)
            break;
        all[i] = all[child];
        i = child;
    }
    all[i] = group;
}

static void swap(struct varve_group **a, struct varve_group **b)
{
    struct varve_group *group = *a;
    *a = *b;
    *b = group;
}

void varve_groups_sort(struct varve_groups *groups, bool reverse)
{
    struct varve_group **all = groups->all;
    const size_t n = groups->n_all;
    size_t ordered = 1;

    while (ordered < n && all[ordered - 1]->bucket < all[ordered]->bucket)
        ordered++;
    for (size_t i = ordered < n ? n / 2 : 0; i-- > 0;)
        sift(all, i, n);
    for (size_t end = ordered < n ? n : 0; end > 1;) {
        end--;
        swap(&all[0], &all[end]);
        sift(all, 0, end);
    }
    for (size_t i = 0; reverse && i < n / 2; i++)
        swap(&all[i], &all[n - 1 - i]);
}
