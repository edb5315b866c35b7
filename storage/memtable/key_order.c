/*
 * key_order.c - the partitions of a memtable in key order.
 *
 * Place.   A source that iterates needs an order; point look-ups do not. The order of the first n
 *          partitions is immutable, so one is shared by all sources; each sorts by itself only the
 *          partitions that came later, and offers a new shared order when those are many.
 *
 * Reclaiming. A source announces itself in `order_readers` before it loads the shared pointer and
 *          leaves after it has a reference. Whoever replaces the pointer (one at a time: order_busy)
 *          retires the old order, and frees retired ones without references once it has seen no
 *          announced reader after the replacement: nobody can be about to take a reference then.
 *
 * Threads. Any.
 */
#include "storage/memtable/memtable_int.h"

static uint64_t prefix_of(struct varve_span key)
{
    uint64_t prefix = 0;
    for (size_t i = 1; i <= 8; i++) /* byte 0 is the same in all keys of a kind */
        prefix = prefix << 8 | (i < key.size ? key.data[i] : 0);
    return prefix;
}

static struct varve_span key_of(const struct varve_memtable *table, uint32_t number)
{
    return varve_mem_key(table, varve_mem_partition_at(table, number));
}

static int entry_compare(const struct varve_memtable *table, const struct varve_key_entry *a,
                         const struct varve_key_entry *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return varve_span_compare(key_of(table, a->number), key_of(table, b->number));
}

static void insertion_sort(const struct varve_memtable *table, struct varve_key_entry *e,
                           uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const struct varve_key_entry moved = e[i];
        uint32_t k = i;
        for (; k > 0 && entry_compare(table, &e[k - 1], &moved) > 0; k--)
            e[k] = e[k - 1];
        e[k] = moved;
    }
}

static void merge(const struct varve_memtable *table, const struct varve_key_entry *in,
                  uint32_t middle, uint32_t n, struct varve_key_entry *out)
{
    uint32_t i = 0;
    uint32_t j = middle;
    for (uint32_t k = 0; k < n; k++) {
        if (j == n || (i < middle && entry_compare(table, &in[i], &in[j]) <= 0))
            out[k] = in[i++];
        else
            out[k] = in[j++];
    }
}

void varve_key_order_sort(const struct varve_memtable *table, uint32_t first, uint32_t n,
                          struct varve_key_entry *entries, struct varve_key_entry *scratch)
{
    const uint32_t count = n - first;
    const uint32_t base = 16;

    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct varve_key_entry){prefix_of(key_of(table, first + i)), first + i};
    for (uint32_t i = 0; i < count; i += base)
        insertion_sort(table, entries + i, count - i < base ? count - i : base);
    for (uint64_t width = base; width < count; width *= 2) {
        for (uint64_t i = 0; i < count; i += 2 * width) {
            const uint64_t left = count - i;
            merge(table, entries + i, (uint32_t)(left < width ? left : width),
                  (uint32_t)(left < 2 * width ? left : 2 * width), scratch + i);
        }
        memcpy(entries, scratch, count * sizeof *entries);
    }
}

/* ------------------------------------------------------------------------------------- Sharing */

static void order_free(struct varve_key_order *order)
{
    struct varve_memtable *table = order->table;
    varve_memtable_give(table, order->numbers, order->n * sizeof *order->numbers, 16);
    varve_memtable_give(table, order, sizeof *order, 16);
}

struct varve_key_order *varve_key_order_acquire(struct varve_memtable *table)
{
    atomic_fetch_add_explicit(&table->order_readers, 1, memory_order_seq_cst);
    struct varve_key_order *order = atomic_load_explicit(&table->order, memory_order_seq_cst);
    if (order != NULL)
        atomic_fetch_add_explicit(&order->refs, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&table->order_readers, 1, memory_order_seq_cst);
    return order;
}

void varve_key_order_release(struct varve_key_order *order)
{
    if (order != NULL) /* whoever publishes next frees it */
        atomic_fetch_sub_explicit(&order->refs, 1, memory_order_release);
}

static struct varve_key_order *order_create(struct varve_memtable *table, uint32_t n)
{
    struct varve_key_order *order = varve_memtable_take(table, sizeof *order, 16);
    if (order == NULL)
        return NULL;
    *order = (struct varve_key_order){.n = n, .table = table};
    order->numbers = varve_memtable_take(table, n * sizeof *order->numbers, 16);
    if (order->numbers == NULL) {
        varve_memtable_give(table, order, sizeof *order, 16);
        return NULL;
    }
    return order;
}

/* Replace the shared order; caller has order_busy. */
static void order_publish(struct varve_memtable *table, struct varve_key_order *order)
{
    struct varve_key_order *old =
        atomic_exchange_explicit(&table->order, order, memory_order_seq_cst);
    if (old != NULL) {
        old->next = table->order_retired;
        table->order_retired = old;
    }
    if (atomic_load_explicit(&table->order_readers, memory_order_seq_cst) != 0)
        return; /* the next to publish reclaims */
    struct varve_key_order **link = &table->order_retired;
    while (*link != NULL) {
        struct varve_key_order *retired = *link;
        if (atomic_load_explicit(&retired->refs, memory_order_acquire) != 0) {
            link = &retired->next;
            continue;
        }
        *link = retired->next;
        order_free(retired);
    }
}

void varve_key_order_offer(struct varve_memtable *table, const struct varve_key_order *base,
                           const struct varve_key_entry *rest, uint32_t n)
{
    const uint32_t n_base = base == NULL ? 0 : base->n;
    uint32_t i = 0;
    uint32_t j = 0;

    if (atomic_flag_test_and_set_explicit(&table->order_busy, memory_order_acquire))
        return;
    const struct varve_key_order *current =
        atomic_load_explicit(&table->order, memory_order_relaxed);
    struct varve_key_order *order = NULL;
    if (current == NULL || current->n < n)
        order = order_create(table, n);
    for (uint32_t k = 0; order != NULL && k < n; k++) {
        if (j == n - n_base ||
            (i < n_base && varve_span_compare(key_of(table, base->numbers[i]),
                                              key_of(table, rest[j].number)) < 0))
            order->numbers[k] = base->numbers[i++];
        else
            order->numbers[k] = rest[j++].number;
    }
    if (order != NULL)
        order_publish(table, order);
    atomic_flag_clear_explicit(&table->order_busy, memory_order_release);
}

void varve_key_orders_free(struct varve_memtable *table)
{
    struct varve_key_order *order = atomic_load_explicit(&table->order, memory_order_relaxed);
    if (order != NULL)
        order_free(order);
    while ((order = table->order_retired) != NULL) {
        table->order_retired = order->next;
        order_free(order);
    }
}
