/*
 * sst_reader.c - opening a file and reading its blocks (sst_reader.h).
 */
#include "storage/sst/sst_reader.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "index/key_filter.h"
#include "storage/schema/schema_format.h"
#include "storage/sst/sst_int.h"
#include "storage/sst/text_dictionary.h"

#define READ_TRIES 3
#define PLACE_KIND 48 /* a place in the cache: the bit at which the kind stands above the offset */
#define PLACE_OFFSET (((uint64_t)1 << PLACE_KIND) - 1)
#define FILE_SIZE_MAX ((uint64_t)1 << PLACE_KIND)

/* ------------------------------------------------------------------------------------- Blocks */

varve_status varve_sst_blame(const struct varve_sst *sst, uint64_t offset, varve_status rc,
                             varve_error *err)
{
    if (rc < 0 && err != NULL) {
        const size_t size = strlen(sst->name);

        if (err->file[0] == '\0') {
            const size_t n = size < sizeof err->file - 1 ? size : sizeof err->file - 1;
            memcpy(err->file, sst->name, n);
            err->file[n] = '\0';
        }
        if (err->offset == VARVE_NO_OFFSET)
            err->offset = offset;
    }
    return rc;
}

varve_status varve_sst_read(struct varve_sst *sst, void *buffer, size_t size, uint64_t offset,
                            varve_error *err)
{
    int64_t n = 0;

    if (offset > sst->footer.file_size || size > sst->footer.file_size - offset)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, offset,
                               "a block lies outside the file");
    for (int i = 0; i < READ_TRIES; i++) {
        n = sst->vfs->ops->read(sst->file, buffer, size, offset);
        if (n >= 0)
            break;
    }
    if (n < 0)
        return varve_error_os(err, n, sst->name, offset, "read");
    if ((uint64_t)n != size)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, offset, "the file is cut short");
    return VARVE_OK;
}

bool varve_sst_is_sound(const struct varve_sst *sst, uint32_t kind,
                        const struct varve_page_ref *ref, const void *bytes)
{
    return varve_sst_checksum(sst->footer.uuid, kind, ref->offset, bytes, (size_t)ref->size) ==
           ref->checksum;
}

void varve_sst_note_repair(struct varve_sst *sst)
{
    atomic_fetch_add(&sst->repairs, 1);
    if (sst->repairs_total != NULL)
        atomic_fetch_add(sst->repairs_total, 1);
}

/* One copy of a block, which stands at `at`. */
static varve_status read_copy(struct varve_sst *sst, uint32_t kind,
                              const struct varve_page_ref *ref, uint64_t at, void *buffer,
                              varve_error *err)
{
    const varve_status rc = varve_sst_read(sst, buffer, (size_t)ref->size, at, err);

    if (rc < 0)
        return rc;
    if (!varve_sst_is_sound(sst, kind, ref, buffer))
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, at,
                               "the checksum of a block of %llu bytes is wrong",
                               (unsigned long long)ref->size);
    return VARVE_OK;
}

varve_status varve_sst_read_block(struct varve_sst *sst, uint32_t kind,
                                  const struct varve_page_ref *ref, void *buffer, varve_error *err)
{
    const varve_status rc = read_copy(sst, kind, ref, ref->offset, buffer, err);

    if (rc == VARVE_OK)
        return rc;
    const uint64_t mirror = varve_sst_mirror_of(&sst->sections, ref->offset, ref->size);
    if (mirror == 0 || read_copy(sst, kind, ref, mirror, buffer, NULL) < 0)
        return rc;
    varve_sst_note_repair(sst);
    varve_error_clear(err);
    return VARVE_OK;
}

static varve_status no_memory(varve_error *err)
{
    return varve_error_nomem(err, "reading a file");
}

/* A block's key in the cache. The kind is part of it: a hostile file may claim one place for a page
 * and for something that is kept parsed. */
static uint64_t cache_place(uint32_t kind, uint64_t offset)
{
    return offset | (uint64_t)kind << PLACE_KIND;
}

/* A hint: if it fails, the reading will say why. */
void varve_sst_expect(const struct varve_sst *sst, uint64_t offset, uint64_t size)
{
    (void)sst->vfs->ops->advise(sst->file, offset, size, VARVE_ADVICE_WILLNEED);
}

void varve_sst_expect_vectors(const struct varve_sst *sst, struct varve_cache_hint *hints,
                              uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        hints[i].offset = cache_place(VARVE_SST_VECTOR, hints[i].offset);
    const uint32_t absent = varve_cache_prefetch(sst->cache, sst->number, hints, n);
    if ((absent & (absent - 1)) == 0) /* a single one is read as soon as it would be announced */
        return;
    for (uint32_t i = 0; i < n; i++)
        if ((absent >> i & 1) != 0)
            varve_sst_expect(sst, hints[i].offset & PLACE_OFFSET, hints[i].size);
}

varve_status varve_sst_fetch(struct varve_sst *sst, uint32_t kind, const struct varve_page_ref *ref,
                             struct varve_cache_entry **ret_entry, varve_error *err)
{
    const uint64_t place = cache_place(kind, ref->offset);
    struct varve_cache_entry *entry = varve_cache_get(sst->cache, sst->number, place);

    if (entry != NULL) {
        if (entry->size == ref->size) {
            *ret_entry = entry;
            return VARVE_OK;
        }
        varve_cache_release(sst->cache, entry);
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, ref->offset,
                               "two blocks claim one place");
    }
    if (ref->size == 0 || ref->size > VARVE_SST_BLOCK_MAX)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, ref->offset,
                               "a block has an impossible size");
    entry = varve_cache_make(sst->cache, sst->number, place, (size_t)ref->size);
    if (entry == NULL)
        return no_memory(err);
    const varve_status rc = varve_sst_read_block(sst, kind, ref, entry->data, err);
    if (rc < 0) {
        varve_cache_release(sst->cache, entry);
        return rc;
    }
    *ret_entry = varve_cache_insert(sst->cache, entry);
    return VARVE_OK;
}

/* A block's bytes in memory of the heap, for what is parsed at once. */
static varve_status read_whole(struct varve_sst *sst, uint32_t kind,
                               const struct varve_page_ref *ref, struct varve_buffer *out,
                               varve_error *err)
{
    varve_buffer_clear(out);
    if (ref->size == 0 || ref->size > VARVE_SST_BLOCK_MAX)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, ref->offset,
                               "a block has an impossible size");
    uint8_t *to = varve_buffer_reserve(out, (size_t)ref->size);
    if (to == NULL)
        return no_memory(err);
    const varve_status rc = varve_sst_read_block(sst, kind, ref, to, err);
    if (rc == VARVE_OK)
        out->size = (size_t)ref->size;
    return rc;
}

/* What a parsed index and the group directory say of each other, and the schema of both. */
static bool group_agrees(const struct varve_sst *sst, const struct varve_sst_group *group,
                         const struct varve_group_index *index)
{
    const uint32_t streams = VARVE_STREAM_COLUMN + sst->schema->n_columns;

    return index->n_rows == group->rows && index->n_vectors == group->vectors &&
           index->streams[index->n_streams - 1] < streams;
}

varve_status varve_sst_fetch_group(struct varve_sst *sst, uint32_t number,
                                   struct varve_cache_entry **ret_entry,
                                   const struct varve_group_index **ret_index, varve_error *err)
{
    const struct varve_sst_group *group = &sst->groups[number];
    const struct varve_page_ref ref = {group->index_offset, group->index_size,
                                       group->index_checksum};
    const uint64_t place = cache_place(VARVE_SST_INDEX, ref.offset);
    struct varve_cache_entry *entry = varve_cache_get(sst->cache, sst->number, place);
    struct varve_buffer bytes;
    size_t size;

    if (entry != NULL && group_agrees(sst, group, (const void *)entry->data)) {
        *ret_entry = entry;
        *ret_index = (const void *)entry->data;
        return VARVE_OK;
    }
    varve_cache_release(sst->cache, entry);
    entry = NULL;
    varve_buffer_init(&bytes, sst->heap);
    varve_status rc = read_whole(sst, VARVE_SST_INDEX, &ref, &bytes, err);
    if (rc == VARVE_OK)
        rc = varve_group_index_measure(varve_buffer_span(&bytes), &size, err);
    if (rc == VARVE_OK) {
        entry = varve_cache_make(sst->cache, sst->number, place, size);
        rc = entry == NULL
                 ? no_memory(err)
                 : varve_group_index_parse(varve_buffer_span(&bytes), sst->footer.file_size,
                                           entry->data, size, ret_index, err);
    }
    if (rc == VARVE_OK && !group_agrees(sst, group, *ret_index))
        rc = varve_error_set(err, VARVE_ECORRUPT, sst->name, ref.offset,
                             "a row group's index contradicts the group directory");
    varve_buffer_free(&bytes);
    if (rc < 0) {
        varve_cache_release(sst->cache, entry);
        return varve_sst_blame(sst, ref.offset, rc, err);
    }
    *ret_entry = varve_cache_insert(sst->cache, entry);
    *ret_index = (const void *)(*ret_entry)->data;
    return VARVE_OK;
}

varve_status varve_sst_fetch_dictionary(struct varve_sst *sst,
                                        const struct varve_group_index *index, uint32_t id,
                                        struct varve_cache_entry **ret_entry, varve_error *err)
{
    const struct varve_group_dictionary *d = NULL;
    struct varve_buffer bytes;
    struct varve_buffer parsed;

    for (uint32_t i = 0; i < index->n_dictionaries && d == NULL; i++)
        if (index->dictionaries[i].id == id)
            d = &index->dictionaries[i];
    assert(d != NULL); /* the parser has looked */
    const uint64_t place = cache_place(VARVE_SST_DICTIONARY, d->ref.offset);
    *ret_entry = varve_cache_get(sst->cache, sst->number, place);
    if (*ret_entry != NULL)
        return VARVE_OK;

    varve_buffer_init(&bytes, sst->heap);
    varve_buffer_init(&parsed, sst->heap);
    varve_status rc = read_whole(sst, VARVE_SST_DICTIONARY, &d->ref, &bytes, err);
    if (rc == VARVE_OK)
        rc = varve_dictionary_decode(varve_buffer_span(&bytes), &parsed, err);
    if (rc == VARVE_OK && varve_dictionary_view(parsed.data).n != d->entries)
        rc = varve_error_set(err, VARVE_ECORRUPT, sst->name, d->ref.offset,
                             "a dictionary has another number of entries than its index says");
    if (rc == VARVE_OK) {
        struct varve_cache_entry *entry =
            varve_cache_make(sst->cache, sst->number, place, parsed.size);

        if (entry == NULL) {
            rc = no_memory(err);
        } else {
            memcpy(entry->data, parsed.data, parsed.size);
            *ret_entry = varve_cache_insert(sst->cache, entry);
        }
    }
    varve_buffer_free(&bytes);
    varve_buffer_free(&parsed);
    return varve_sst_blame(sst, d->ref.offset, rc, err);
}

static varve_status page_fetch(void *ctx, const struct varve_page_ref *ref,
                               struct varve_page *ret_page, varve_error *err)
{
    struct varve_cache_entry *entry = NULL;
    const varve_status rc = varve_sst_fetch(ctx, VARVE_SST_DIRECTORY, ref, &entry, err);

    if (rc == VARVE_OK)
        *ret_page = (struct varve_page){{entry->data, entry->size}, entry};
    return rc;
}

static void page_release(void *ctx, struct varve_page *page)
{
    struct varve_sst *sst = ctx;

    varve_cache_release(sst->cache, page->token);
    page->token = NULL;
}

/* ------------------------------------------------------------------------------------- Opening */

static void sst_free(struct varve_sst *sst)
{
    if (sst->file != NULL)
        sst->vfs->ops->close(sst->file);
    varve_sst_sections_free(&sst->sections, sst->heap);
    varve_sst_groups_free(sst->groups, sst->n_groups, sst->heap);
    varve_schema_unref(sst->schema);
    varve_sst_properties_free(&sst->properties, sst->heap);
    if (sst->name != NULL)
        varve_free(sst->heap, sst->name, strlen(sst->name) + 1);
    varve_free(sst->heap, sst, sizeof *sst);
}

struct varve_sst *varve_sst_ref(struct varve_sst *sst)
{
    atomic_fetch_add(&sst->refs, 1);
    return sst;
}

bool varve_sst_is_shared(const struct varve_sst *sst)
{
    return atomic_load(&sst->refs) > 1;
}

void varve_sst_unref(struct varve_sst *sst)
{
    if (sst != NULL && atomic_fetch_sub(&sst->refs, 1) == 1)
        sst_free(sst);
}

static varve_status open_file(struct varve_sst *sst, const struct varve_sst_expect *expect,
                              varve_error *err)
{
    struct varve_file_stat stat;
    int rc = sst->vfs->ops->open(sst->vfs, sst->name, VARVE_FILE_READ, &sst->file);

    if (rc < 0) {
        sst->file = NULL;
        if (rc == -ENOENT)
            return varve_error_set(err, VARVE_ENOTFOUND, sst->name, VARVE_NO_OFFSET,
                                   "there is no such file");
        return varve_error_os(err, rc, sst->name, VARVE_NO_OFFSET, "open");
    }
    rc = sst->vfs->ops->stat(sst->file, &stat);
    if (rc < 0)
        return varve_error_os(err, rc, sst->name, VARVE_NO_OFFSET, "stat");
    if ((expect != NULL && stat.size != expect->file_size) || stat.size < 3 * VARVE_SST_PAGE ||
        stat.size > FILE_SIZE_MAX || stat.size % VARVE_SST_PAGE != 0)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, stat.size,
                               "the file has a size that it cannot have");
    sst->footer.file_size = stat.size;
    return VARVE_OK;
}

static varve_status try_footer(struct varve_sst *sst, const uint8_t *page,
                               const struct varve_sst_expect *expect, varve_error *err)
{
    const uint64_t file_size = sst->footer.file_size;
    struct varve_sst_footer footer;
    uint64_t checksum;
    const varve_status rc = varve_sst_footer_decode(page, file_size, &footer, &checksum, err);

    if (rc < 0)
        return rc;
    if (expect != NULL &&
        (memcmp(footer.uuid, expect->uuid, 16) != 0 || checksum != expect->footer_checksum))
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, VARVE_NO_OFFSET,
                               "this is another file than the one that is named");
    sst->footer = footer;
    sst->footer_checksum = checksum;
    return VARVE_OK;
}

/* Both footers in one read; should that fail, each by itself. */
static varve_status open_footer(struct varve_sst *sst, uint8_t *pages,
                                const struct varve_sst_expect *expect, varve_error *err)
{
    const uint64_t at = sst->footer.file_size - 2 * VARVE_SST_PAGE;
    varve_status rc = varve_sst_read(sst, pages, 2 * VARVE_SST_PAGE, at, err);

    if (rc == VARVE_OK)
        rc = try_footer(sst, pages, expect, err);
    else
        rc = varve_sst_read(sst, pages + VARVE_SST_PAGE, VARVE_SST_PAGE, at + VARVE_SST_PAGE,
                            NULL) == VARVE_OK
                 ? VARVE_ECORRUPT
                 : rc;
    if (rc != VARVE_ECORRUPT)
        return varve_sst_blame(sst, at, rc, err);
    rc = try_footer(sst, pages + VARVE_SST_PAGE, expect, err);
    if (rc == VARVE_OK) {
        varve_sst_note_repair(sst);
        varve_error_clear(err);
    }
    return varve_sst_blame(sst, at, rc, err);
}

/* The header adds nothing to the footer: it is only checked. */
static void check_header(struct varve_sst *sst, uint8_t *page)
{
    struct varve_sst_footer header;

    if (varve_sst_read(sst, page, VARVE_SST_PAGE, 0, NULL) < 0 ||
        varve_sst_header_decode(page, &header, NULL) < 0 ||
        memcmp(header.uuid, sst->footer.uuid, 16) != 0 ||
        header.incompatible != sst->footer.incompatible ||
        header.read_compatible != sst->footer.read_compatible ||
        header.compatible != sst->footer.compatible)
        varve_sst_note_repair(sst);
}

static varve_status open_sections(struct varve_sst *sst, struct varve_buffer *bytes,
                                  varve_error *err)
{
    const struct varve_page_ref ref = {sst->footer.section_a, sst->footer.section_size,
                                       sst->footer.section_checksum};
    varve_status rc;

    varve_buffer_clear(bytes);
    if (varve_buffer_reserve(bytes, (size_t)ref.size + 1) == NULL)
        return no_memory(err);
    rc = read_copy(sst, VARVE_SST_SECTIONS, &ref, ref.offset, bytes->data, err);
    if (rc < 0) {
        const varve_status again =
            read_copy(sst, VARVE_SST_SECTIONS, &ref, sst->footer.section_b, bytes->data, NULL);

        if (again < 0)
            return rc;
        varve_sst_note_repair(sst);
        varve_error_clear(err);
    }
    rc = varve_sst_sections_decode(varve_span_of(bytes->data, (size_t)ref.size),
                                   sst->footer.file_size, sst->heap, &sst->sections, err);
    return varve_sst_blame(sst, ref.offset, rc, err);
}

static varve_status read_section(struct varve_sst *sst, uint32_t id, uint32_t kind,
                                 struct varve_buffer *bytes, varve_error *err)
{
    const struct varve_sst_section_ref *s = &sst->sections.at[id];
    const struct varve_page_ref ref = {s->offset, s->size, s->checksum};

    return read_whole(sst, kind, &ref, bytes, err);
}

static varve_status open_roots(struct varve_sst *sst, struct varve_buffer *bytes, varve_error *err)
{
    const struct varve_sst_section_ref *root = &sst->sections.at[VARVE_SECTION_DIRECTORY];
    uint64_t at = sst->sections.at[VARVE_SECTION_SCHEMA].offset;
    varve_status rc = read_section(sst, VARVE_SECTION_SCHEMA, VARVE_SST_SCHEMA, bytes, err);

    if (rc == VARVE_OK)
        rc = varve_schema_decode(varve_buffer_span(bytes), sst->heap, &sst->schema, err);
    if (rc < 0)
        return varve_sst_blame(sst, at, rc, err);

    at = sst->sections.at[VARVE_SECTION_PROPERTIES].offset;
    rc = read_section(sst, VARVE_SECTION_PROPERTIES, VARVE_SST_PROPERTIES, bytes, err);
    if (rc == VARVE_OK)
        rc =
            varve_sst_properties_decode(varve_buffer_span(bytes), sst->heap, &sst->properties, err);
    if (rc < 0)
        return varve_sst_blame(sst, at, rc, err);
    sst->properties.file_size = sst->footer.file_size;
    sst->properties.footer_checksum = sst->footer_checksum;

    at = sst->sections.at[VARVE_SECTION_GROUPS].offset;
    rc = read_section(sst, VARVE_SECTION_GROUPS, VARVE_SST_GROUPS, bytes, err);
    if (rc == VARVE_OK)
        rc = varve_sst_groups_decode(varve_buffer_span(bytes), sst->footer.file_size, sst->heap,
                                     &sst->groups, &sst->n_groups, err);
    if (rc < 0)
        return varve_sst_blame(sst, at, rc, err);

    const uint64_t rows = sst->n_groups == 0 ? 0
                                             : sst->groups[sst->n_groups - 1].first_row +
                                                   sst->groups[sst->n_groups - 1].rows;
    if (sst->properties.kind != VARVE_SST_DATA)
        return varve_error_set(err, VARVE_EVERSION, sst->name, at,
                               "files of kind %u are unknown to this version",
                               sst->properties.kind);
    if (memcmp(sst->properties.uuid, sst->footer.uuid, 16) != 0 || sst->properties.rows != rows ||
        sst->properties.row_groups != sst->n_groups || sst->properties.partitions > rows ||
        (rows > 0 && sst->properties.partitions == 0))
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, at,
                               "properties and group directory contradict each other");
    sst->directory = (struct varve_directory){
        .root = {root->offset, root->size, root->checksum},
        .store = {sst, page_fetch, page_release},
        .partitions = sst->properties.partitions,
    };
    return VARVE_OK;
}

varve_status varve_sst_open(struct varve_vfs *vfs, const char *name, uint64_t number,
                            const struct varve_sst_expect *expect, struct varve_cache *cache,
                            struct varve_heap *heap, struct varve_sst **ret_sst, varve_error *err)
{
    struct varve_sst *sst = varve_alloc_zero(heap, 1, sizeof *sst);
    struct varve_buffer bytes;
    varve_status rc;

    if (sst == NULL)
        return no_memory(err);
    atomic_init(&sst->refs, 1);
    atomic_init(&sst->repairs, 0);
    sst->vfs = vfs;
    sst->heap = heap;
    sst->cache = cache;
    sst->number = number;
    varve_buffer_init(&bytes, heap);
    sst->name = varve_strdup(heap, name);
    rc = sst->name == NULL ? no_memory(err) : open_file(sst, expect, err);
    if (rc < 0)
        goto fail;
    uint8_t *pages = varve_buffer_reserve(&bytes, 2 * VARVE_SST_PAGE);
    rc = pages == NULL ? no_memory(err) : open_footer(sst, pages, expect, err);
    if (rc < 0)
        goto fail;
    check_header(sst, pages);
    rc = open_sections(sst, &bytes, err);
    if (rc < 0)
        goto fail;
    rc = open_roots(sst, &bytes, err);
    if (rc < 0)
        goto fail;
    varve_buffer_free(&bytes);
    *ret_sst = sst;
    return VARVE_OK;

fail:
    varve_buffer_free(&bytes);
    sst_free(sst);
    return rc;
}

/* ----------------------------------------------------------------------------------- Questions */

const struct varve_schema *varve_sst_schema(const struct varve_sst *sst)
{
    return sst->schema;
}

const struct varve_sst_properties *varve_sst_get_properties(const struct varve_sst *sst)
{
    return &sst->properties;
}

const char *varve_sst_name(const struct varve_sst *sst)
{
    return sst->name;
}

uint64_t varve_sst_repairs(const struct varve_sst *sst)
{
    return atomic_load(&sst->repairs);
}

void varve_sst_count_repairs(struct varve_sst *sst, _Atomic(uint64_t) *total)
{
    assert(sst->repairs_total == NULL);
    sst->repairs_total = total;
    atomic_fetch_add(total, atomic_load(&sst->repairs));
}

size_t varve_sst_memory(const struct varve_sst *sst)
{
    return sizeof *sst + sst->n_groups * sizeof *sst->groups +
           sst->sections.n_mirrors * sizeof *sst->sections.mirrors +
           sst->properties.first_key.size + sst->properties.last_key.size + strlen(sst->name) + 1;
}

uint32_t varve_sst_group_of_row(const struct varve_sst *sst, uint64_t row)
{
    uint32_t low = 0;
    uint32_t high = sst->n_groups;

    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (sst->groups[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Ask the filter: 1 maybe, 0 no, or an error of which ECORRUPT means that there is no filter. */
static int ask_filter(struct varve_sst *sst, uint64_t hash, varve_error *err)
{
    const struct varve_sst_section_ref *s = &sst->sections.at[VARVE_SECTION_FILTER];
    const struct varve_page_ref ref = {s->offset, s->size, s->checksum};
    struct varve_cache_entry *table = NULL;
    struct varve_cache_entry *bytes = NULL;
    struct varve_filter_shard shard;
    uint32_t n_shards;
    varve_status rc = varve_sst_fetch(sst, VARVE_SST_FILTER, &ref, &table, err);

    if (rc < 0)
        return rc;
    rc = varve_filter_check(varve_span_of(table->data, table->size), &n_shards, err);
    if (rc == VARVE_OK)
        varve_filter_locate(varve_span_of(table->data, table->size), hash, &shard);
    varve_cache_release(sst->cache, table);
    if (rc < 0)
        return rc;
    if (shard.ref.size == 0)
        return 0;
    rc = varve_sst_fetch(sst, VARVE_SST_FILTER, &shard.ref, &bytes, err);
    if (rc < 0)
        return rc;
    const bool maybe = varve_filter_probe(&shard, varve_span_of(bytes->data, bytes->size), hash);
    varve_cache_release(sst->cache, bytes);
    return maybe;
}

int varve_sst_may_hold(struct varve_sst *sst, struct varve_span key, varve_error *err)
{
    if (sst->properties.partitions == 0 || varve_span_compare(key, sst->properties.first_key) < 0 ||
        varve_span_compare(key, sst->properties.last_key) > 0)
        return 0;
    if (sst->sections.at[VARVE_SECTION_FILTER].offset == 0)
        return 1;
    const int rc = ask_filter(sst, varve_key_hash(key), err);
    if (rc != VARVE_ECORRUPT)
        return rc;
    varve_sst_note_repair(sst);
    varve_error_clear(err);
    return 1;
}

varve_status varve_sst_partition_at(struct varve_sst *sst, uint64_t ordinal,
                                    struct varve_buffer *key, uint64_t *ret_first_row,
                                    varve_error *err)
{
    struct varve_directory_cursor cursor;
    struct varve_directory_entry entry;

    varve_directory_cursor_init(&cursor, &sst->directory);
    varve_status rc = varve_directory_at(&cursor, ordinal, &entry, err);
    if (rc == VARVE_OK) {
        varve_write_bytes(key, entry.key.data, entry.key.size);
        *ret_first_row = entry.first_row;
        if (key->failed)
            rc = no_memory(err);
    }
    varve_directory_cursor_close(&cursor);
    return varve_sst_blame(sst, sst->directory.root.offset, rc, err);
}
