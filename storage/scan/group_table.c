/*
 * group_table.c - the memory of groups: one that is open, or all of them by bucket.
 */
#include "storage/scan/groups_int.h"

#include <assert.h>

#include "storage/base/checksum.h"
#include "storage/base/vec.h"

varve_status varve_groups_nomem(const struct varve_heap *heap, size_t size, varve_error *err)
{
    if (size > heap->limit || varve_heap_used(heap) > heap->limit - size)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "the groups of an aggregation do not fit in the memory limit");
    return varve_error_nomem(err, "the groups of an aggregation");
}

varve_status varve_group_new(struct varve_groups *groups, struct varve_group **ret_group,
                             varve_error *err)
{
    struct varve_group *group = varve_alloc_zero(groups->heap, 1, groups->group_size);

    if (group == NULL)
        return varve_groups_nomem(groups->heap, groups->group_size, err);
    struct varve_exact_sum *sums =
        (struct varve_exact_sum *)(void *)&group->cells[groups->n_columns];
    for (uint32_t i = 0; i < groups->n_columns; i++)
        if (groups->columns[i].kind == VARVE_GROUP_FLOAT &&
            (groups->columns[i].wants & VARVE_FOLD_SUM) != 0)
            group->cells[i].fold.fsum = sums++;
    assert((uint8_t *)sums == (uint8_t *)group + groups->group_size);
    *ret_group = group;
    return VARVE_OK;
}

void varve_group_reset(const struct varve_groups *groups, struct varve_group *group, int64_t bucket)
{
    group->bucket = bucket;
    group->rows = 0;
    for (uint32_t i = 0; i < groups->n_columns; i++) {
        struct varve_group_cell *cell = &group->cells[i];
        varve_fold_reset(&cell->fold);
        cell->first.has = cell->last.has = false;
        cell->min.has = cell->max.has = false;
        while (cell->sums != NULL) { /* scales of another group must not count as seen */
            struct varve_scale_sum *next = cell->sums->next;
            varve_free(groups->heap, cell->sums, sizeof *cell->sums);
            cell->sums = next;
        }
    }
}

void varve_group_free(const struct varve_groups *groups, struct varve_group *group)
{
    if (group == NULL)
        return;
    varve_group_reset(groups, group, 0);
    for (uint32_t i = 0; i < groups->n_columns; i++) {
        struct varve_group_cell *cell = &group->cells[i];
        varve_free(groups->heap, cell->first.bytes, cell->first.capacity);
        varve_free(groups->heap, cell->last.bytes, cell->last.capacity);
        varve_free(groups->heap, cell->min.bytes, cell->min.capacity);
        varve_free(groups->heap, cell->max.bytes, cell->max.capacity);
    }
    varve_free(groups->heap, group, groups->group_size);
}

void varve_groups_free(struct varve_groups *groups)
{
    if (groups == NULL)
        return;
    varve_group_free(groups, groups->open);
    for (size_t i = 0; i < groups->n_all; i++)
        varve_group_free(groups, groups->all[i]);
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
