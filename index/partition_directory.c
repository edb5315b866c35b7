/*
 * partition_directory.c - finding partitions in the pages that directory_builder.c made
 * (partition_directory.h has their form).
 *
 * A search goes from the root to a leaf by restarts, then entry by entry. The cursor keeps its leaf
 * pinned, and stands between two entries of it, so that going forward decodes one entry.
 */
#include "index/partition_directory.h"

#include <string.h>

#define PAGE_HEAD 32u
#define KIND_LEAF 1u
#define KIND_INNER 2u

/* A page's head, checked. */
struct head {
    struct varve_span bytes;
    uint8_t kind;
    uint32_t n;
    uint32_t restarts;
    uint64_t first_ordinal;
    uint64_t first_row;
    int64_t base_time;
};

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "partition directory: %s",
                           what);
}

static varve_status head_open(struct varve_span bytes, struct head *ret_head, varve_error *err)
{
    struct head head = {.bytes = bytes};

    if (bytes.size < PAGE_HEAD || bytes.size > VARVE_DIRECTORY_PAGE_MAX)
        return corrupt(err, "a page of an impossible size");
    head.kind = bytes.data[0];
    head.n = varve_get_u16(bytes.data + 2);
    head.restarts = varve_get_u16(bytes.data + 4);
    head.first_ordinal = varve_get_u64(bytes.data + 8);
    head.first_row = varve_get_u64(bytes.data + 16);
    head.base_time = (int64_t)varve_get_u64(bytes.data + 24);
    if (head.kind != KIND_LEAF && head.kind != KIND_INNER)
        return corrupt(err, "a page of unknown kind");
    if (bytes.data[1] != 0 || bytes.data[6] != 0 || bytes.data[7] != 0 ||
        (head.kind == KIND_INNER && head.base_time != 0))
        return corrupt(err, "a reserved byte is not zero");
    if (head.restarts != (head.n + VARVE_DIRECTORY_RESTART - 1) / VARVE_DIRECTORY_RESTART ||
        PAGE_HEAD + 2 * (size_t)head.restarts > bytes.size ||
        (head.n == 0 && (head.kind == KIND_INNER || bytes.size != PAGE_HEAD)))
        return corrupt(err, "a page with an impossible number of entries");

    size_t least = PAGE_HEAD + 2 * (size_t)head.restarts;
    for (uint32_t i = 0; i < head.restarts; i++) {
        const size_t at = varve_get_u16(bytes.data + PAGE_HEAD + 2 * (size_t)i);
        if (at < least || at >= bytes.size || (i == 0 && at != least))
            return corrupt(err, "a restart outside its page");
        least = at + 1;
    }
    *ret_head = head;
    return VARVE_OK;
}

static struct varve_reader restart_reader(const struct head *head, uint32_t i)
{
    const size_t at = varve_get_u16(head->bytes.data + PAGE_HEAD + 2 * (size_t)i);

    return varve_reader_of((struct varve_span){head->bytes.data + at, head->bytes.size - at});
}

/* The whole key at a restart. */
static struct varve_span restart_key(const struct head *head, uint32_t i)
{
    struct varve_reader r = restart_reader(head, i);

    if (varve_read_varint(&r) != 0)
        return (struct varve_span){NULL, 0};
    return varve_read_sized(&r, VARVE_KEY_BYTES_MAX);
}

/* Decode an entry's key over the previous one in `key`. */
static bool read_key(struct varve_reader *r, uint32_t i, uint8_t *key, uint32_t *key_size)
{
    const uint64_t shared = varve_read_varint(r);

    if (r->failed || shared > *key_size || (i % VARVE_DIRECTORY_RESTART == 0 && shared != 0))
        return false;
    const struct varve_span rest = varve_read_sized(r, VARVE_KEY_BYTES_MAX - (size_t)shared);
    if (r->failed)
        return false;
    if (rest.size > 0)
        memcpy(key + shared, rest.data, rest.size);
    *key_size = (uint32_t)(shared + rest.size);
    return true;
}

/* The last restart whose key is <= `key`, or 0. */
static uint32_t restart_search(const struct head *head, struct varve_span key)
{
    uint32_t low = 0;
    uint32_t high = head->restarts;

    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (varve_span_compare(restart_key(head, middle), key) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct inner_entry {
    uint64_t ordinal; /* less the page's first */
    struct varve_page_ref ref;
};

static bool read_inner(struct varve_reader *r, struct inner_entry *ret)
{
    ret->ordinal = varve_read_varint(r);
    ret->ref.offset = varve_read_varint(r);
    ret->ref.size = varve_read_varint(r);
    ret->ref.checksum = varve_read_u64(r);
    return !r->failed && ret->ref.size <= VARVE_DIRECTORY_PAGE_MAX;
}

/* The child of an inner page in which `key` is, if anywhere (by key), or partition `ordinal` (key
 * NULL): the last entry that is not greater. */
static varve_status inner_find(const struct head *head, const struct varve_span *key,
                               uint64_t ordinal, uint8_t *scratch, struct varve_page_ref *ret_ref,
                               varve_error *err)
{
    uint32_t i = key == NULL ? 0 : restart_search(head, *key) * VARVE_DIRECTORY_RESTART;
    struct varve_reader r = restart_reader(head, i / VARVE_DIRECTORY_RESTART);
    uint32_t size = 0;
    bool found = false;

    for (; i < head->n; i++) {
        struct inner_entry entry;

        if (!read_key(&r, i, scratch, &size) || !read_inner(&r, &entry))
            return corrupt(err, "an inner entry cannot be read");
        const bool after = key != NULL
                               ? varve_span_compare((struct varve_span){scratch, size}, *key) > 0
                               : entry.ordinal > ordinal - head->first_ordinal;
        if (after && found)
            break;
        *ret_ref = entry.ref; /* before the first entry there is only the first child */
        found = true;
        if (after)
            break;
    }
    return found ? VARVE_OK : corrupt(err, "an inner page without entries");
}

void varve_directory_cursor_init(struct varve_directory_cursor *cursor,
                                 const struct varve_directory *directory)
{
    cursor->directory = directory;
    cursor->leaf = (struct varve_page){.token = NULL};
    cursor->n = 0;
    cursor->at = 0;
    cursor->key_size = 0;
}

static void leaf_drop(struct varve_directory_cursor *cursor)
{
    if (cursor->leaf.bytes.data != NULL)
        cursor->directory->store.release(cursor->directory->store.ctx, &cursor->leaf);
    cursor->leaf = (struct varve_page){.token = NULL};
    cursor->n = 0;
}

void varve_directory_cursor_close(struct varve_directory_cursor *cursor)
{
    if (cursor->directory != NULL)
        leaf_drop(cursor);
}

/* Stand before entry restart * 16 of the pinned leaf. */
static void leaf_restart(struct varve_directory_cursor *cursor, const struct head *head,
                         uint32_t restart)
{
    cursor->at = restart * VARVE_DIRECTORY_RESTART;
    cursor->reader = restart_reader(head, restart);
    cursor->key_size = 0;
}

/* Go down to the leaf for `key`, or for `ordinal` when key is NULL, and pin it. */
static varve_status descend(struct varve_directory_cursor *cursor, const struct varve_span *key,
                            uint64_t ordinal, struct head *ret_head, varve_error *err)
{
    const struct varve_directory *directory = cursor->directory;
    struct varve_page_ref ref = directory->root;

    leaf_drop(cursor);
    for (uint32_t depth = 0; depth < VARVE_DIRECTORY_DEPTH; depth++) {
        struct varve_page page;
        varve_status rc = directory->store.fetch(directory->store.ctx, &ref, &page, err);

        if (rc < 0)
            return rc;
        rc = head_open(page.bytes, ret_head, err);
        if (rc == VARVE_OK && ret_head->kind == KIND_LEAF) {
            cursor->leaf = page;
            cursor->n = ret_head->n;
            cursor->leaf_ordinal = ret_head->first_ordinal;
            cursor->leaf_row = ret_head->first_row;
            cursor->base_time = ret_head->base_time;
            cursor->at = cursor->n; /* before no entry, until leaf_restart() */
            return VARVE_OK;
        }
        if (rc == VARVE_OK && key == NULL && ordinal < ret_head->first_ordinal)
            rc = corrupt(err, "ordinals do not ascend");
        if (rc == VARVE_OK)
            rc = inner_find(ret_head, key, ordinal, cursor->key, &ref, err);
        directory->store.release(directory->store.ctx, &page);
        if (rc < 0)
            return rc;
    }
    return corrupt(err, "more levels than there can be");
}

/* Decode the entry that the cursor stands before, and step over it. */
static varve_status leaf_next(struct varve_directory_cursor *cursor,
                              struct varve_directory_entry *ret_entry, varve_error *err)
{
    struct varve_reader *r = &cursor->reader;

    if (!read_key(r, cursor->at, cursor->key, &cursor->key_size))
        return corrupt(err, "a key cannot be read");
    if (cursor->at % VARVE_DIRECTORY_RESTART == 0)
        cursor->next_row = cursor->leaf_row + varve_read_varint(r);

    const uint64_t rows = varve_read_varint(r);
    const uint64_t first = (uint64_t)cursor->base_time + (uint64_t)varve_read_zigzag(r);
    const uint64_t span = varve_read_varint(r);

    if (r->failed || rows == 0 || (int64_t)(first + span) < (int64_t)first)
        return corrupt(err, "an entry cannot be read");
    *ret_entry = (struct varve_directory_entry){
        .key = {cursor->key, cursor->key_size},
        .ordinal = cursor->leaf_ordinal + cursor->at,
        .first_row = cursor->next_row,
        .rows = rows,
        .first_time = (int64_t)first,
        .last_time = (int64_t)(first + span),
    };
    cursor->next_row += rows;
    cursor->at++;
    return VARVE_OK;
}

varve_status varve_directory_seek(struct varve_directory_cursor *cursor, struct varve_span key,
                                  struct varve_directory_entry *ret_entry, varve_error *err)
{
    struct head head;
    varve_status rc = descend(cursor, &key, 0, &head, err);

    if (rc < 0)
        return rc;
    if (head.n == 0)
        return VARVE_END;
    leaf_restart(cursor, &head, restart_search(&head, key));
    while (cursor->at < cursor->n) {
        rc = leaf_next(cursor, ret_entry, err);
        if (rc < 0 || varve_span_compare(ret_entry->key, key) >= 0)
            return rc;
    }
    return varve_directory_at(cursor, cursor->leaf_ordinal + cursor->n, ret_entry, err);
}

varve_status varve_directory_at(struct varve_directory_cursor *cursor, uint64_t ordinal,
                                struct varve_directory_entry *ret_entry, varve_error *err)
{
    struct head head;
    varve_status rc = VARVE_OK;

    if (ordinal >= cursor->directory->partitions)
        return VARVE_END;
    if (cursor->leaf.bytes.data != NULL && ordinal == cursor->leaf_ordinal + cursor->at &&
        cursor->at < cursor->n)
        return leaf_next(cursor, ret_entry, err);
    if (cursor->leaf.bytes.data != NULL && ordinal >= cursor->leaf_ordinal &&
        ordinal - cursor->leaf_ordinal < cursor->n)
        rc = head_open(cursor->leaf.bytes, &head, err);
    else
        rc = descend(cursor, NULL, ordinal, &head, err);
    if (rc < 0)
        return rc;
    if (ordinal < cursor->leaf_ordinal || ordinal - cursor->leaf_ordinal >= cursor->n)
        return corrupt(err, "a partition is missing");

    const uint32_t i = (uint32_t)(ordinal - cursor->leaf_ordinal);
    leaf_restart(cursor, &head, i / VARVE_DIRECTORY_RESTART);
    while (cursor->at <= i) {
        rc = leaf_next(cursor, ret_entry, err);
        if (rc < 0)
            return rc;
    }
    return VARVE_OK;
}

varve_status varve_directory_children(struct varve_span page, bool *ret_is_leaf,
                                      varve_directory_child_fn fn, void *ctx, varve_error *err)
{
    uint8_t key[VARVE_KEY_BYTES_MAX + 1];
    uint32_t size = 0;
    struct head head;
    varve_status rc = head_open(page, &head, err);

    if (rc < 0)
        return rc;
    *ret_is_leaf = head.kind == KIND_LEAF;
    if (head.kind == KIND_LEAF)
        return VARVE_OK;

    struct varve_reader r = restart_reader(&head, 0);
    for (uint32_t i = 0; i < head.n; i++) {
        struct inner_entry entry;

        if (i % VARVE_DIRECTORY_RESTART == 0 &&
            r.at != restart_reader(&head, i / VARVE_DIRECTORY_RESTART).at)
            return corrupt(err, "a restart is not where its entry is");
        if (!read_key(&r, i, key, &size) || !read_inner(&r, &entry))
            return corrupt(err, "an inner entry cannot be read");
        rc = fn(ctx, (struct varve_span){key, size}, head.first_ordinal + entry.ordinal, &entry.ref,
                err);
        if (rc != VARVE_OK)
            return rc;
    }
    return varve_reader_left(&r) == 0 ? VARVE_OK : corrupt(err, "bytes after the last entry");
}
