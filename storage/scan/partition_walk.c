/*
 * partition_walk.c - which partitions a scan visits, in key order over all sources.
 *
 * A list is looked up key by key. A range goes through the directories of all sources side by side:
 * each stands at its next partition, and the least key (in reverse the greatest) is next of all.
 */
#include "storage/scan/scan_int.h"

static varve_status encode_key(varve_cursor *cursor, const varve_value *values,
                               struct varve_span *ret_key, varve_error *err)
{
    struct varve_buffer buffer;

    *ret_key = (struct varve_span){NULL, 0};
    if (values == NULL)
        return VARVE_OK;
    varve_buffer_init(&buffer, cursor->heap);
    varve_status rc = varve_key_encode(cursor->schema, values, &buffer, err);
    uint8_t *copy = NULL;
    if (rc == VARVE_OK) {
        copy = varve_arena_alloc(&cursor->arena, buffer.size, 1);
        if (copy == NULL)
            rc = varve_error_nomem(err, "the keys of a scan");
        else
            memcpy(copy, buffer.data, buffer.size);
    }
    if (rc == VARVE_OK)
        *ret_key = varve_span_of(copy, buffer.size);
    varve_buffer_free(&buffer);
    return rc;
}

/* Sift entry `i` of a heap of n spans down (the greatest on top). */
static void sift(struct varve_span *keys, uint64_t i, uint64_t n)
{
    const struct varve_span key = keys[i];

    for (uint64_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && varve_span_compare(keys[child], keys[child + 1]) < 0)
            child++;
        if (varve_span_compare(key, keys[child]) >= 0)
            break;
        keys[i] = keys[child];
        i = child;
    }
    keys[i] = key;
}

static uint64_t sort_unique(struct varve_span *keys, uint64_t n)
{
    uint64_t out = 0;

    for (uint64_t i = n / 2; i-- > 0;)
        sift(keys, i, n);
    for (uint64_t end = n; end-- > 1;) {
        const struct varve_span top = keys[0];
        keys[0] = keys[end];
        keys[end] = top;
        sift(keys, 0, end);
    }
    for (uint64_t i = 0; i < n; i++)
        if (out == 0 || varve_span_compare(keys[out - 1], keys[i]) != 0)
            keys[out++] = keys[i];
    return out;
}

static varve_status list_init(struct varve_walk *walk, varve_cursor *cursor, varve_error *err)
{
    const uint64_t n = cursor->scan.n_partitions;
    struct varve_span *keys = varve_cursor_memory(cursor, n, sizeof *keys);

    if (keys == NULL)
        return varve_error_nomem(err, "the keys of a scan");
    for (uint64_t i = 0; i < n; i++) {
        const varve_value *values = cursor->scan.partitions + i * cursor->schema->n_partition;
        const varve_status rc = encode_key(cursor, values, &keys[i], err);
        if (rc < 0)
            return rc;
    }
    walk->n_keys = sort_unique(keys, n);
    walk->keys = keys;
    return VARVE_OK;
}

varve_status varve_walk_init(struct varve_walk *walk, varve_cursor *cursor, varve_error *err)
{
    const uint32_t n = cursor->input.n_sources;
    struct varve_span from, to;

    walk->sources = cursor->input.sources;
    walk->n_sources = n;
    walk->reverse = cursor->keys_reverse;
    walk->places = varve_cursor_memory(cursor, n + 1, sizeof *walk->places);
    walk->inputs = varve_cursor_memory(cursor, n + 1, sizeof *walk->inputs);
    if (walk->places == NULL || walk->inputs == NULL)
        return varve_error_nomem(err, "a scan");
    if (cursor->scan.n_partitions > 0)
        return list_init(walk, cursor, err);
    varve_status rc = encode_key(cursor, cursor->scan.key_from, &from, err);
    if (rc == VARVE_OK)
        rc = encode_key(cursor, cursor->scan.key_to, &to, err);
    if (rc < 0)
        return rc;
    walk->start = walk->reverse ? to : from;
    walk->stop = walk->reverse ? from : to;
    return VARVE_OK;
}

static varve_status next_of_list(struct varve_walk *walk, varve_error *err)
{
    while (walk->at < walk->n_keys) {
        const uint64_t i = walk->reverse ? walk->n_keys - 1 - walk->at : walk->at;
        walk->at++;
        walk->key = walk->keys[i];
        walk->n_inputs = 0;
        for (uint32_t s = 0; s < walk->n_sources; s++) {
            struct varve_merge_input *input = &walk->inputs[walk->n_inputs];
            const varve_status rc =
                walk->sources[s]->ops->find(walk->sources[s], walk->key, &input->partition, err);
            if (rc < 0)
                return rc;
            if (rc == VARVE_END)
                continue;
            input->source = walk->sources[s];
            walk->n_inputs++;
        }
        if (walk->n_inputs > 0)
            return VARVE_OK;
    }
    return VARVE_END;
}

static varve_status advance(struct varve_walk *walk, uint32_t s, varve_error *err)
{
    struct varve_walk_place *place = &walk->places[s];
    const varve_status rc = walk->sources[s]->ops->next(walk->sources[s], &place->partition, err);

    if (rc < 0)
        return rc;
    place->taken = false;
    place->has = rc == VARVE_OK;
    if (place->has && walk->stop.size > 0) {
        const int order = varve_span_compare(place->partition.key, walk->stop);
        place->has = walk->reverse ? order >= 0 : order < 0;
    }
    return VARVE_OK;
}

static varve_status begin_range(struct varve_walk *walk, varve_error *err)
{
    for (uint32_t s = 0; s < walk->n_sources; s++) {
        varve_status rc =
            walk->sources[s]->ops->seek(walk->sources[s], walk->start, walk->reverse, err);
        if (rc == VARVE_OK)
            rc = advance(walk, s, err);
        if (rc < 0)
            return rc;
    }
    walk->begun = true;
    return VARVE_OK;
}

static varve_status next_of_range(struct varve_walk *walk, varve_error *err)
{
    varve_status rc = walk->begun ? VARVE_OK : begin_range(walk, err);

    walk->n_inputs = 0;
    for (uint32_t s = 0; rc == VARVE_OK && s < walk->n_sources; s++)
        if (walk->places[s].has && walk->places[s].taken)
            rc = advance(walk, s, err);
    if (rc < 0)
        return rc;
    for (uint32_t s = 0; s < walk->n_sources; s++) {
        struct varve_walk_place *place = &walk->places[s];
        if (!place->has)
            continue;
        int order = 0;
        if (walk->n_inputs > 0)
            order = varve_span_compare(place->partition.key, walk->key);
        if (walk->reverse)
            order = -order;
        if (order > 0)
            continue;
        if (order < 0)
            walk->n_inputs = 0;
        walk->key = place->partition.key;
        walk->inputs[walk->n_inputs++] =
            (struct varve_merge_input){walk->sources[s], place->partition};
    }
    for (uint32_t i = 0, s = 0; i < walk->n_inputs; s++)
        if (walk->inputs[i].source == walk->sources[s]) {
            walk->places[s].taken = true;
            i++;
        }
    return walk->n_inputs > 0 ? VARVE_OK : VARVE_END;
}

varve_status varve_walk_next(struct varve_walk *walk, varve_error *err)
{
    return walk->keys != NULL ? next_of_list(walk, err) : next_of_range(walk, err);
}
