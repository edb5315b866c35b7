/*
 * directory_builder.c - building the partition directory (partition_directory.h).
 *
 * Leaves go to the sink as they fill up; of each, the separator and its first ordinal are kept. At
 * the end every level of inner pages is made from the level below, until one page is left.
 */
#include <assert.h>
#include <string.h>

#include "index/partition_directory.h"
#include "storage/base/vec.h"

#define PAGE_HEAD 32u
#define KIND_LEAF 1u
#define KIND_INNER 2u
#define RESTARTS_MAX 256u

/* A page that is being filled. */
struct page {
    struct varve_buffer entries;
    struct varve_buffer entry; /* scratch for one */
    struct varve_buffer bytes; /* scratch for the whole page */
    uint16_t restarts[RESTARTS_MAX];
    uint32_t n;
    uint64_t first_ordinal;
    uint64_t first_row;
    int64_t base_time;
    uint32_t last_size;
    uint8_t last[VARVE_KEY_BYTES_MAX + 1]; /* key of the last entry */
};

struct child {
    uint64_t ticket;
    uint64_t first_ordinal;
    uint64_t first_row;
    size_t separator; /* in the level's text */
    size_t separator_size;
};

struct level {
    struct child *children;
    size_t n;
    size_t capacity;
    struct varve_buffer text;
};

struct varve_directory_builder {
    struct varve_heap *heap;
    struct varve_page_sink sink;
    struct page page;
    struct level level; /* what has been emitted of the level in work */
    uint64_t partitions;
    uint64_t rows;
    uint32_t separator_size; /* of the page in work */
    uint8_t separator[VARVE_KEY_BYTES_MAX + 1];
};

static void level_init(struct level *level, struct varve_heap *heap)
{
    *level = (struct level){.children = NULL};
    varve_buffer_init(&level->text, heap);
}

static void level_free(struct level *level, struct varve_heap *heap)
{
    varve_free(heap, level->children, level->capacity * sizeof *level->children);
    varve_buffer_free(&level->text);
    level->children = NULL;
    level->capacity = 0;
    level->n = 0;
}

varve_status varve_directory_builder_create(struct varve_heap *heap,
                                            const struct varve_page_sink *sink,
                                            struct varve_directory_builder **ret_builder,
                                            varve_error *err)
{
    struct varve_directory_builder *b = varve_alloc_zero(heap, 1, sizeof *b);

    if (b == NULL)
        return varve_error_nomem(err, "a partition directory");
    b->heap = heap;
    b->sink = *sink;
    varve_buffer_init(&b->page.entries, heap);
    varve_buffer_init(&b->page.entry, heap);
    varve_buffer_init(&b->page.bytes, heap);
    level_init(&b->level, heap);
    *ret_builder = b;
    return VARVE_OK;
}

void varve_directory_builder_free(struct varve_directory_builder *b)
{
    if (b == NULL)
        return;
    varve_buffer_free(&b->page.entries);
    varve_buffer_free(&b->page.entry);
    varve_buffer_free(&b->page.bytes);
    level_free(&b->level, b->heap);
    varve_free(b->heap, b, sizeof *b);
}

static uint32_t shared_prefix(const uint8_t *a, size_t a_size, struct varve_span b)
{
    const size_t n = a_size < b.size ? a_size : b.size;
    size_t i = 0;

    while (i < n && a[i] == b.data[i])
        i++;
    return (uint32_t)i;
}

/* The key part of an entry into page->entry. */
static void entry_begin(struct page *page, struct varve_span key)
{
    const bool restart = page->n % VARVE_DIRECTORY_RESTART == 0;
    const uint32_t shared = restart ? 0 : shared_prefix(page->last, page->last_size, key);

    varve_buffer_clear(&page->entry);
    varve_write_varint(&page->entry, shared);
    varve_write_sized(&page->entry, key.data + shared, key.size - shared);
}

static size_t page_size_with(const struct page *page)
{
    const size_t restarts = page->n / VARVE_DIRECTORY_RESTART + 1;

    return PAGE_HEAD + 2 * restarts + page->entries.size + page->entry.size;
}

/* Take page->entry into the page. */
static void entry_commit(struct page *page, struct varve_span key)
{
    if (page->n % VARVE_DIRECTORY_RESTART == 0) {
        assert(page->n / VARVE_DIRECTORY_RESTART < RESTARTS_MAX);
        page->restarts[page->n / VARVE_DIRECTORY_RESTART] = (uint16_t)page->entries.size;
    }
    varve_write_bytes(&page->entries, page->entry.data, page->entry.size);
    if (key.size > 0)
        memcpy(page->last, key.data, key.size);
    page->last_size = (uint32_t)key.size;
    page->n++;
}

/* The finished page's bytes into page->bytes; the page is empty then. */
static void page_seal(struct page *page, uint8_t kind)
{
    const uint32_t restarts = (page->n + VARVE_DIRECTORY_RESTART - 1) / VARVE_DIRECTORY_RESTART;
    struct varve_buffer *out = &page->bytes;

    varve_buffer_clear(out);
    varve_write_u8(out, kind);
    varve_write_u8(out, 0);
    varve_write_u16(out, (uint16_t)page->n);
    varve_write_u16(out, (uint16_t)restarts);
    varve_write_u16(out, 0);
    varve_write_u64(out, page->first_ordinal);
    varve_write_u64(out, page->first_row);
    varve_write_u64(out, (uint64_t)page->base_time);
    for (uint32_t i = 0; i < restarts; i++)
        varve_write_u16(out, (uint16_t)(PAGE_HEAD + 2 * restarts + page->restarts[i]));
    varve_write_bytes(out, page->entries.data, page->entries.size);
    varve_buffer_clear(&page->entries);
    page->n = 0;
    page->last_size = 0;
    page->base_time = 0;
}

/* Emit the page in work and note it as a child of the level above. */
static varve_status page_emit(struct varve_directory_builder *b, uint8_t kind, struct level *to,
                              varve_error *err)
{
    struct child child = {.first_ordinal = b->page.first_ordinal,
                          .first_row = b->page.first_row,
                          .separator = to->text.size,
                          .separator_size = b->separator_size};
    const bool failed = b->page.entries.failed || b->page.entry.failed;

    page_seal(&b->page, kind);
    varve_write_bytes(&to->text, b->separator, b->separator_size);
    if (failed || b->page.bytes.failed || to->text.failed ||
        !varve_vec_grow(b->heap, (void **)&to->children, sizeof *to->children, to->n + 1,
                        &to->capacity))
        return varve_error_nomem(err, "a partition directory");
    assert(b->page.bytes.size <= VARVE_DIRECTORY_PAGE_MAX);

    const varve_status rc =
        b->sink.emit(b->sink.ctx, varve_buffer_span(&b->page.bytes), &child.ticket, err);
    if (rc < 0)
        return rc;
    to->children[to->n++] = child;
    return VARVE_OK;
}

static void leaf_entry(struct varve_directory_builder *b, struct varve_span key, uint64_t rows,
                       int64_t first_time, int64_t last_time)
{
    struct page *page = &b->page;

    if (page->n == 0) {
        page->first_ordinal = b->partitions;
        page->first_row = b->rows;
        page->base_time = first_time;
    }
    entry_begin(page, key);
    if (page->n % VARVE_DIRECTORY_RESTART == 0)
        varve_write_varint(&page->entry, b->rows - page->first_row);
    varve_write_varint(&page->entry, rows);
    varve_write_zigzag(&page->entry, (int64_t)((uint64_t)first_time - (uint64_t)page->base_time));
    varve_write_varint(&page->entry, (uint64_t)last_time - (uint64_t)first_time);
}

varve_status varve_directory_add(struct varve_directory_builder *b, struct varve_span key,
                                 uint64_t rows, int64_t first_time, int64_t last_time,
                                 varve_error *err)
{
    struct page *page = &b->page;
    const struct varve_span last = {page->last, page->last_size};

    assert(rows > 0 && first_time <= last_time);
    if (key.size > VARVE_KEY_BYTES_MAX)
        return varve_error_set(err, VARVE_ELIMIT, NULL, VARVE_NO_OFFSET,
                               "a partition key of %zu bytes is longer than %u", key.size,
                               VARVE_KEY_BYTES_MAX);
    if (b->partitions > 0 && varve_span_compare(last, key) >= 0)
        return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET,
                               "partition keys must ascend");

    leaf_entry(b, key, rows, first_time, last_time);
    if (page->n > 0 && page_size_with(page) > VARVE_DIRECTORY_PAGE) {
        const uint32_t cut = shared_prefix(page->last, page->last_size, key) + 1;
        const varve_status rc = page_emit(b, KIND_LEAF, &b->level, err);

        if (rc < 0)
            return rc;
        memcpy(b->separator, key.data, cut);
        b->separator_size = cut;
        leaf_entry(b, key, rows, first_time, last_time);
    }
    entry_commit(page, key);
    if (page->entries.failed || page->entry.failed)
        return varve_error_nomem(err, "a partition directory");
    b->partitions++;
    b->rows += rows;
    return VARVE_OK;
}

static void inner_entry(struct page *page, struct varve_span separator, const struct child *child,
                        const struct varve_page_ref *ref)
{
    if (page->n == 0) {
        page->first_ordinal = child->first_ordinal;
        page->first_row = child->first_row;
    }
    entry_begin(page, separator);
    varve_write_varint(&page->entry, child->first_ordinal - page->first_ordinal);
    varve_write_varint(&page->entry, ref->offset);
    varve_write_varint(&page->entry, ref->size);
    varve_write_u64(&page->entry, ref->checksum);
}

/* One level of inner pages over `below`, into `to`. */
static varve_status level_build(struct varve_directory_builder *b, const struct level *below,
                                struct level *to, varve_error *err)
{
    struct page *page = &b->page;

    for (size_t i = 0; i < below->n; i++) {
        const struct child *child = &below->children[i];
        const struct varve_span separator = {below->text.data + child->separator,
                                             child->separator_size};
        struct varve_page_ref ref;
        varve_status rc = b->sink.locate(b->sink.ctx, child->ticket, &ref, err);

        if (rc < 0)
            return rc;
        inner_entry(page, separator, child, &ref);
        if (page->n >= 2 && page_size_with(page) > VARVE_DIRECTORY_PAGE) {
            rc = page_emit(b, KIND_INNER, to, err);
            if (rc < 0)
                return rc;
            inner_entry(page, separator, child, &ref);
        }
        if (page->n == 0) { /* the page begins with this child, and is known by its separator */
            if (separator.size > 0)
                memcpy(b->separator, separator.data, separator.size);
            b->separator_size = (uint32_t)separator.size;
        }
        entry_commit(page, separator);
    }
    return page_emit(b, KIND_INNER, to, err);
}

varve_status varve_directory_finish(struct varve_directory_builder *b, uint64_t *ret_root,
                                    varve_error *err)
{
    varve_status rc = VARVE_OK;

    if (b->page.n > 0 || b->level.n == 0)
        rc = page_emit(b, KIND_LEAF, &b->level, err);
    while (rc == VARVE_OK && b->level.n > 1) {
        struct level above;

        level_init(&above, b->heap);
        rc = level_build(b, &b->level, &above, err);
        level_free(&b->level, b->heap);
        b->level = above;
    }
    if (rc < 0)
        return rc;
    *ret_root = b->level.children[0].ticket;
    return VARVE_OK;
}
