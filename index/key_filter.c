/*
 * key_filter.c - building and asking binary fuse filters (key_filter.h).
 *
 * Building a shard: every key names three places. Keys that are alone at some place are peeled off
 * one after the other; in reverse order each can then set its lonely place so that its three sum up.
 * When some keys cannot be peeled, another seed is tried; two equal hashes never can, so they are
 * sought after the second failure.
 */
#include "index/key_filter.h"

#include <assert.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/vec.h"

#define TABLE_HEAD 16u
#define SHARD_ENTRY 40u
#define SHARD_KEYS 131072u /* at most so many keys a shard on average */
#define TRIES 100u
#define SEED_STEP 0x9e3779b97f4a7c15u

struct varve_filter_builder {
    struct varve_heap *heap;
    uint64_t *hashes;
    size_t n;
    size_t capacity;
};

varve_status varve_filter_builder_create(struct varve_heap *heap, uint64_t expected,
                                         struct varve_filter_builder **ret_builder,
                                         varve_error *err)
{
    struct varve_filter_builder *b = varve_alloc_zero(heap, 1, sizeof *b);

    if (b == NULL)
        return varve_error_nomem(err, "a key filter");
    b->heap = heap;
    if (expected > 0 && expected < (UINT32_MAX / sizeof *b->hashes) &&
        !varve_vec_grow(heap, (void **)&b->hashes, sizeof *b->hashes, (size_t)expected,
                        &b->capacity)) {
        varve_filter_builder_free(b);
        return varve_error_nomem(err, "a key filter");
    }
    *ret_builder = b;
    return VARVE_OK;
}

void varve_filter_builder_free(struct varve_filter_builder *b)
{
    if (b == NULL)
        return;
    varve_free(b->heap, b->hashes, b->capacity * sizeof *b->hashes);
    varve_free(b->heap, b, sizeof *b);
}

varve_status varve_filter_add(struct varve_filter_builder *b, uint64_t key_hash, varve_error *err)
{
    if (!varve_vec_grow(b->heap, (void **)&b->hashes, sizeof *b->hashes, b->n + 1, &b->capacity))
        return varve_error_nomem(err, "a key filter");
    b->hashes[b->n++] = key_hash;
    return VARVE_OK;
}

struct places {
    uint32_t at[3];
    uint8_t print;
};

static inline uint64_t high_product(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)(((wide)a * b) >> 64);
}

static inline struct places places_of(uint64_t hash, const struct varve_filter_shard *shard)
{
    const uint32_t segment = 1u << shard->segment_bits;
    const uint64_t m = varve_mix64(hash + shard->seed);
    const uint32_t h0 = (uint32_t)high_product(m, (uint64_t)shard->n_segments * segment);
    struct places p;

    p.at[0] = h0;
    p.at[1] = (h0 + segment) ^ ((uint32_t)(m >> 18) & (segment - 1));
    p.at[2] = (h0 + 2 * segment) ^ ((uint32_t)m & (segment - 1));
    p.print = (uint8_t)(m ^ (m >> 32));
    return p;
}

bool varve_filter_probe(const struct varve_filter_shard *shard, struct varve_span bytes,
                        uint64_t key_hash)
{
    if (shard->ref.size == 0)
        return false;
    assert(bytes.size == shard->ref.size);
    const struct places p = places_of(key_hash, shard);
    const uint8_t *f = bytes.data;

    return (uint8_t)(f[p.at[0]] ^ f[p.at[1]] ^ f[p.at[2]]) == p.print;
}

static uint32_t log2_floor(uint64_t v)
{
    uint32_t n = 0;

    while (v > 1) {
        v >>= 1;
        n++;
    }
    return n;
}

/* Size the table for n keys, larger with every `grow`. The proportions are the paper's. */
static void shard_shape(uint32_t n, uint32_t grow, struct varve_filter_shard *shard)
{
    const uint64_t scale = n > 1 ? log2_floor(n) : 1;
    uint64_t capacity = (uint64_t)n * 875 / 1000 + (uint64_t)n * 4980 / (1000 * scale) + 4;
    double limit = 0.7402; /* 3.33^(bits - 2.25): segments grow with the 3.33th root */
    uint32_t bits = 2;

    if (capacity < (uint64_t)n * 1125 / 1000)
        capacity = (uint64_t)n * 1125 / 1000;
    capacity += capacity * grow / 16;
    while ((double)n >= limit * 3.33 && bits < 18) {
        limit *= 3.33;
        bits++;
    }
    const uint32_t segment = 1u << bits;
    const uint64_t segments = (capacity + segment - 1) / segment;

    shard->segment_bits = bits;
    shard->n_segments = segments > 3 ? (uint32_t)segments - 2 : 1;
    shard->ref.size = (uint64_t)segment * (shard->n_segments + 2);
}

/* Memory for building one shard. */
struct work {
    uint64_t *sums;  /* of the hashes at each place */
    uint8_t *counts; /* of them, * 4, and the exclusive-or of their place numbers below */
    uint32_t *queue; /* places with one key */
    uint64_t *order; /* hashes as peeled */
    uint8_t *which;  /* and which of its three places was lonely */
    uint8_t *prints;
    size_t places;
    size_t keys;
};

static void work_free(struct varve_heap *heap, struct work *w)
{
    varve_free(heap, w->sums, w->places * sizeof *w->sums);
    varve_free(heap, w->counts, w->places);
    varve_free(heap, w->queue, w->places * sizeof *w->queue);
    varve_free(heap, w->order, w->keys * sizeof *w->order);
    varve_free(heap, w->which, w->keys);
    varve_free(heap, w->prints, w->places);
    *w = (struct work){.sums = NULL};
}

static bool work_reserve(struct varve_heap *heap, struct work *w, size_t places, size_t keys)
{
    if (places <= w->places && keys <= w->keys)
        return true;
    places = places > w->places ? places : w->places;
    keys = keys > w->keys ? keys : w->keys;
    work_free(heap, w);
    w->places = places;
    w->keys = keys;
    w->sums = varve_alloc(heap, places * sizeof *w->sums);
    w->counts = varve_alloc(heap, places);
    w->queue = varve_alloc(heap, places * sizeof *w->queue);
    w->order = varve_alloc(heap, keys * sizeof *w->order);
    w->which = varve_alloc(heap, keys);
    w->prints = varve_alloc(heap, places);
    return w->sums != NULL && w->counts != NULL && w->queue != NULL && w->order != NULL &&
           w->which != NULL && w->prints != NULL;
}

/* Count the keys at each place. False: more than 63 at one place, or hashes that cannot be told
 * apart. */
static bool work_count(struct work *w, const struct varve_filter_shard *shard,
                       const uint64_t *hashes, uint32_t n)
{
    const size_t size = (size_t)shard->ref.size;

    memset(w->sums, 0, size * sizeof *w->sums);
    memset(w->counts, 0, size);
    for (uint32_t i = 0; i < n; i++) {
        const struct places p = places_of(hashes[i], shard);

        for (uint32_t k = 0; k < 3; k++) {
            if (w->counts[p.at[k]] >= 252)
                return false;
            w->counts[p.at[k]] = (uint8_t)((w->counts[p.at[k]] + 4) ^ k);
            w->sums[p.at[k]] ^= hashes[i];
        }
    }
    return true;
}

/* Peel; true if every key went. */
static bool work_peel(struct work *w, const struct varve_filter_shard *shard, uint32_t n)
{
    const uint32_t size = (uint32_t)shard->ref.size;
    uint32_t waiting = 0;
    uint32_t peeled = 0;

    for (uint32_t i = 0; i < size; i++)
        if (w->counts[i] >> 2 == 1)
            w->queue[waiting++] = i;
    while (waiting > 0) {
        const uint32_t at = w->queue[--waiting];

        if (w->counts[at] >> 2 != 1)
            continue; /* its key went by another place */
        const uint64_t hash = w->sums[at];
        const struct places p = places_of(hash, shard);

        w->order[peeled] = hash;
        w->which[peeled++] = w->counts[at] & 3;
        for (uint32_t k = 0; k < 3; k++) {
            const uint32_t other = p.at[k];

            w->counts[other] = (uint8_t)((w->counts[other] - 4) ^ k);
            w->sums[other] ^= hash;
            if (w->counts[other] >> 2 == 1 && waiting < size)
                w->queue[waiting++] = other;
        }
    }
    return peeled == n;
}

static void work_assign(struct work *w, const struct varve_filter_shard *shard, uint32_t n)
{
    memset(w->prints, 0, (size_t)shard->ref.size);
    for (uint32_t i = n; i-- > 0;) {
        const struct places p = places_of(w->order[i], shard);
        const uint32_t k = w->which[i];

        w->prints[p.at[k]] =
            (uint8_t)(p.print ^ w->prints[p.at[(k + 1) % 3]] ^ w->prints[p.at[(k + 2) % 3]]);
    }
}

/* Sort ascending in place (a heap), and drop repetitions. Returns how many remain. */
static uint32_t sort_distinct(uint64_t *v, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t end = n, start = n / 2; end > 1;) {
        uint64_t moved;

        if (start > 0) {
            moved = v[--start];
        } else {
            moved = v[--end];
            v[end] = v[0];
        }
        uint32_t hole = start;
        for (uint32_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
            if (child + 1 < end && v[child + 1] > v[child])
                child++;
            if (v[child] <= moved)
                break;
            v[hole] = v[child];
            hole = child;
        }
        v[hole] = moved;
    }
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || v[i] != v[kept - 1])
            v[kept++] = v[i];
    return kept;
}

/* Fingerprints of `hashes` into w->prints. *n shrinks where hashes repeat. */
static varve_status shard_build(struct varve_filter_builder *b, struct work *w, uint64_t *hashes,
                                uint32_t *n, struct varve_filter_shard *shard, varve_error *err)
{
    for (uint32_t i = 0; i < TRIES; i++) {
        shard_shape(*n, i / 4, shard);
        shard->seed = (i + 1) * SEED_STEP;
        if (!work_reserve(b->heap, w, (size_t)shard->ref.size, *n))
            return varve_error_nomem(err, "a key filter");
        if (work_count(w, shard, hashes, *n) && work_peel(w, shard, *n)) {
            work_assign(w, shard, *n);
            return VARVE_OK;
        }
        if (i == 1)
            *n = sort_distinct(hashes, *n);
    }
    return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                           "a key filter could not be built");
}

/* Order the hashes by their top bits, in place; `ends` gets the end of each shard's. */
static void spread(struct varve_filter_builder *b, uint32_t bits, size_t *begins, size_t *ends)
{
    const uint32_t shards = 1u << bits;
    size_t sum = 0;

    if (bits == 0) {
        ends[0] = b->n;
        return;
    }
    memset(begins, 0, shards * sizeof *begins);
    for (size_t i = 0; i < b->n; i++)
        begins[b->hashes[i] >> (64 - bits)]++;
    for (uint32_t s = 0; s < shards; s++) {
        const size_t n = begins[s];

        begins[s] = sum;
        sum += n;
        ends[s] = sum;
    }
    for (uint32_t s = 0; s < shards; s++) {
        while (begins[s] < ends[s]) {
            const uint64_t hash = b->hashes[begins[s]];
            const uint32_t home = (uint32_t)(hash >> (64 - bits));

            if (home == s) {
                begins[s]++;
            } else {
                b->hashes[begins[s]] = b->hashes[begins[home]];
                b->hashes[begins[home]++] = hash;
            }
        }
    }
}

static void table_entry(struct varve_buffer *table, const struct varve_filter_shard *shard)
{
    varve_write_u64(table, shard->ref.offset);
    varve_write_u64(table, shard->ref.checksum);
    varve_write_u64(table, shard->seed);
    varve_write_u32(table, (uint32_t)shard->ref.size);
    varve_write_u32(table, shard->n_segments);
    varve_write_u8(table, (uint8_t)shard->segment_bits);
    varve_write_zeros(table, 7);
}

static varve_status shards_emit(struct varve_filter_builder *b, struct work *w, uint32_t shards,
                                const size_t *ends, const struct varve_page_sink *sink,
                                struct varve_buffer *table, uint64_t *ret_keys, varve_error *err)
{
    size_t begin = 0;

    for (uint32_t s = 0; s < shards; s++) {
        struct varve_filter_shard shard = {.seed = 0};
        uint32_t n = (uint32_t)(ends[s] - begin);

        if (n > 0) {
            uint64_t ticket;
            varve_status rc = shard_build(b, w, b->hashes + begin, &n, &shard, err);

            if (rc < 0)
                return rc;
            rc = sink->emit(sink->ctx, varve_span_of(w->prints, (size_t)shard.ref.size), &ticket,
                            err);
            if (rc < 0)
                return rc;
            rc = sink->locate(sink->ctx, ticket, &shard.ref, err);
            if (rc < 0)
                return rc;
        }
        table_entry(table, &shard);
        *ret_keys += n;
        begin = ends[s];
    }
    return VARVE_OK;
}

varve_status varve_filter_finish(struct varve_filter_builder *b, const struct varve_page_sink *sink,
                                 struct varve_buffer *table, varve_error *err)
{
    uint32_t bits = 0;

    while (bits < VARVE_FILTER_SHARD_BITS_MAX && (b->n >> bits) > SHARD_KEYS)
        bits++;

    const uint32_t shards = 1u << bits;
    const size_t size = 2 * (size_t)shards * sizeof(size_t);
    const size_t at = table->size;
    struct work work = {.sums = NULL};
    uint64_t keys = 0;
    size_t *begins = varve_alloc(b->heap, size);

    if (begins == NULL)
        return varve_error_nomem(err, "a key filter");
    spread(b, bits, begins, begins + shards);
    varve_write_u32(table, bits);
    varve_write_u32(table, 0);
    varve_write_u64(table, 0);
    varve_status rc = shards_emit(b, &work, shards, begins + shards, sink, table, &keys, err);
    if (rc == VARVE_OK && table->failed)
        rc = varve_error_nomem(err, "a key filter");
    if (rc == VARVE_OK)
        varve_put_u64(table->data + at + 8, keys);
    work_free(b->heap, &work);
    varve_free(b->heap, begins, size);
    return rc;
}

void varve_filter_shard_at(struct varve_span table, uint32_t i, struct varve_filter_shard *ret)
{
    const uint8_t *p = table.data + TABLE_HEAD + (size_t)i * SHARD_ENTRY;

    ret->ref.offset = varve_get_u64(p);
    ret->ref.checksum = varve_get_u64(p + 8);
    ret->seed = varve_get_u64(p + 16);
    ret->ref.size = varve_get_u32(p + 24);
    ret->n_segments = varve_get_u32(p + 28);
    ret->segment_bits = p[32];
}

varve_status varve_filter_check(struct varve_span table, uint32_t *ret_shards, varve_error *err)
{
    static const uint8_t zero[7];
    const char *what = "a key filter's table has an impossible size";

    if (table.size < TABLE_HEAD + SHARD_ENTRY)
        goto corrupt;
    const uint32_t bits = varve_get_u32(table.data);
    if (bits > VARVE_FILTER_SHARD_BITS_MAX ||
        table.size != TABLE_HEAD + ((size_t)1 << bits) * SHARD_ENTRY)
        goto corrupt;

    what = "a key filter's table is malformed";
    if (varve_get_u32(table.data + 4) != 0)
        goto corrupt;
    for (uint32_t i = 0; i < 1u << bits; i++) {
        const uint8_t *p = table.data + TABLE_HEAD + (size_t)i * SHARD_ENTRY;
        struct varve_filter_shard s;

        varve_filter_shard_at(table, i, &s);
        if (memcmp(p + 33, zero, sizeof zero) != 0)
            goto corrupt;
        if (s.ref.size == 0 && s.ref.offset == 0 && s.ref.checksum == 0 && s.seed == 0 &&
            s.n_segments == 0 && s.segment_bits == 0)
            continue;
        if (s.ref.size == 0 || s.ref.size > VARVE_FILTER_SHARD_MAX || s.segment_bits < 2 ||
            s.segment_bits > 18 || s.n_segments == 0 ||
            s.ref.size != ((uint64_t)s.n_segments + 2) << s.segment_bits)
            goto corrupt;
    }
    *ret_shards = 1u << bits;
    return VARVE_OK;

corrupt:
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "%s", what);
}

void varve_filter_locate(struct varve_span table, uint64_t key_hash,
                         struct varve_filter_shard *ret_shard)
{
    const uint32_t bits = varve_get_u32(table.data);

    varve_filter_shard_at(table, bits == 0 ? 0 : (uint32_t)(key_hash >> (64 - bits)), ret_shard);
}
