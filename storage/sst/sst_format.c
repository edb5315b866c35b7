/*
 * sst_format.c - header, footer, section block and group directory of an SSTable (sst_format.h).
 */
#include "storage/sst/sst_format.h"

#include <assert.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/vec.h"

#define MAGIC_SIZE 8u
#define CHECKSUM_AT (VARVE_SST_PAGE - 8)
#define HEADER_USED 56u
#define FOOTER_USED 96u
#define SECTION_ENTRY 32u
#define MIRROR_ENTRY 24u
#define GROUP_ENTRY 80u
#define SECTIONS_MAX 64u

static const char header_magic[MAGIC_SIZE + 1] = "VARVESST";
static const char footer_magic[MAGIC_SIZE + 1] = "VARVEFTR";

uint64_t varve_sst_checksum(const uint8_t uuid[16], uint32_t kind, uint64_t offset,
                            const void *data, size_t size)
{
    return varve_hash64(data, size, varve_place_seed(uuid, kind, offset));
}

static varve_status corrupt(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "%s", what);
}

/* What header and footer have in common: bytes [0, 56). */
static void head_encode(const struct varve_sst_footer *footer, const char *magic, uint8_t *page)
{
    memset(page, 0, VARVE_SST_PAGE);
    memcpy(page, magic, MAGIC_SIZE);
    varve_put_u16(page + 8, VARVE_SST_MAJOR);
    varve_put_u16(page + 10, VARVE_SST_MINOR);
    varve_put_u32(page + 12, VARVE_SST_PAGE);
    memcpy(page + 16, footer->uuid, 16);
    varve_put_u64(page + 32, footer->incompatible);
    varve_put_u64(page + 40, footer->read_compatible);
    varve_put_u64(page + 48, footer->compatible);
}

/* Magic, checksum and zeros, then the version. */
static varve_status head_decode(const uint8_t *page, const char *magic, const char *what,
                                uint32_t kind, uint64_t place, size_t used,
                                struct varve_sst_footer *ret, varve_error *err)
{
    if (memcmp(page, magic, MAGIC_SIZE) != 0)
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET, "no %s is there", what);
    memcpy(ret->uuid, page + 16, 16);
    if (varve_get_u64(page + CHECKSUM_AT) !=
        varve_sst_checksum(ret->uuid, kind, place, page, CHECKSUM_AT))
        return varve_error_set(err, VARVE_ECORRUPT, NULL, VARVE_NO_OFFSET,
                               "the checksum of the %s is wrong", what);
    ret->incompatible = varve_get_u64(page + 32);
    ret->read_compatible = varve_get_u64(page + 40);
    ret->compatible = varve_get_u64(page + 48);
    if (varve_get_u16(page + 8) != VARVE_SST_MAJOR || ret->incompatible != 0)
        return varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                               "the file needs a newer version of the library");
    if (varve_get_u32(page + 12) != VARVE_SST_PAGE)
        return corrupt(err, "the page size is not one that there is");
    for (size_t i = used; i < CHECKSUM_AT; i++)
        if (page[i] != 0)
            return corrupt(err, "a reserved byte is not zero");
    return VARVE_OK;
}

void varve_sst_header_encode(const struct varve_sst_footer *footer, uint8_t *page)
{
    head_encode(footer, header_magic, page);
    varve_put_u64(page + CHECKSUM_AT,
                  varve_sst_checksum(footer->uuid, VARVE_SST_HEADER, 0, page, CHECKSUM_AT));
}

varve_status varve_sst_header_decode(const uint8_t *page, struct varve_sst_footer *ret_footer,
                                     varve_error *err)
{
    memset(ret_footer, 0, sizeof *ret_footer);
    return head_decode(page, header_magic, "file header", VARVE_SST_HEADER, 0, HEADER_USED,
                       ret_footer, err);
}

void varve_sst_footer_encode(const struct varve_sst_footer *footer, uint8_t *page,
                             uint64_t *ret_checksum)
{
    assert(footer->file_size % VARVE_SST_PAGE == 0);
    head_encode(footer, footer_magic, page);
    varve_put_u64(page + 56, footer->file_size);
    varve_put_u64(page + 64, footer->section_a);
    varve_put_u64(page + 72, footer->section_b);
    varve_put_u64(page + 80, footer->section_size);
    varve_put_u64(page + 88, footer->section_checksum);
    *ret_checksum =
        varve_sst_checksum(footer->uuid, VARVE_SST_FOOTER, footer->file_size, page, CHECKSUM_AT);
    varve_put_u64(page + CHECKSUM_AT, *ret_checksum);
}

/* Whether [offset, offset + size) lies between the header and the footers. */
static bool is_inside(uint64_t offset, uint64_t size, uint64_t file_size)
{
    const uint64_t end = file_size - 2 * VARVE_SST_PAGE;

    return offset >= VARVE_SST_PAGE && offset <= end && size <= end - offset;
}

varve_status varve_sst_footer_decode(const uint8_t *page, uint64_t file_size,
                                     struct varve_sst_footer *ret_footer, uint64_t *ret_checksum,
                                     varve_error *err)
{
    struct varve_sst_footer f = {.file_size = varve_get_u64(page + 56)};

    if (file_size < 3 * VARVE_SST_PAGE || file_size % VARVE_SST_PAGE != 0)
        return corrupt(err, "the file has an impossible size");
    const varve_status rc = head_decode(page, footer_magic, "file footer", VARVE_SST_FOOTER,
                                        file_size, FOOTER_USED, &f, err);
    if (rc < 0)
        return rc;
    f.section_a = varve_get_u64(page + 64);
    f.section_b = varve_get_u64(page + 72);
    f.section_size = varve_get_u64(page + 80);
    f.section_checksum = varve_get_u64(page + 88);
    if (f.file_size != file_size || f.section_size > VARVE_SST_BLOCK_MAX ||
        !is_inside(f.section_a, f.section_size, file_size) ||
        !is_inside(f.section_b, f.section_size, file_size))
        return corrupt(err, "the footer contradicts the file");
    *ret_footer = f;
    *ret_checksum = varve_get_u64(page + CHECKSUM_AT);
    return VARVE_OK;
}

size_t varve_sst_sections_size(uint32_t n_sections, uint32_t n_mirrors)
{
    return 8 + (size_t)n_sections * SECTION_ENTRY + (size_t)n_mirrors * MIRROR_ENTRY;
}

void varve_sst_sections_encode(const struct varve_sst_sections *sections, struct varve_buffer *out)
{
    uint32_t n = 0;

    for (uint32_t id = 1; id < VARVE_SECTION_KINDS; id++)
        n += sections->at[id].offset != 0;
    varve_write_u32(out, n);
    varve_write_u32(out, sections->n_mirrors);
    for (uint32_t id = 1; id < VARVE_SECTION_KINDS; id++) {
        const struct varve_sst_section_ref *ref = &sections->at[id];

        if (ref->offset == 0)
            continue;
        varve_write_u32(out, id);
        varve_write_u32(out, id == VARVE_SECTION_FILTER ? 0 : VARVE_SECTION_IMPORTANT);
        varve_write_u64(out, ref->offset);
        varve_write_u64(out, ref->size);
        varve_write_u64(out, ref->checksum);
    }
    for (uint32_t i = 0; i < sections->n_mirrors; i++) {
        varve_write_u64(out, sections->mirrors[i].a);
        varve_write_u64(out, sections->mirrors[i].b);
        varve_write_u64(out, sections->mirrors[i].size);
    }
}

static varve_status read_section(struct varve_reader *r, uint64_t file_size, uint32_t *last,
                                 struct varve_sst_sections *sections, varve_error *err)
{
    const uint32_t id = varve_read_u32(r);
    const uint32_t flags = varve_read_u32(r);
    struct varve_sst_section_ref ref;

    ref.offset = varve_read_u64(r);
    ref.size = varve_read_u64(r);
    ref.checksum = varve_read_u64(r);

    if (r->failed || id <= *last || flags > VARVE_SECTION_IMPORTANT ||
        ref.size > VARVE_SST_BLOCK_MAX || !is_inside(ref.offset, ref.size, file_size))
        return corrupt(err, "a section is malformed");
    *last = id;
    if (id < VARVE_SECTION_KINDS) {
        sections->at[id] = ref;
        return VARVE_OK;
    }
    return (flags & VARVE_SECTION_IMPORTANT) == 0
               ? VARVE_OK
               : varve_error_set(err, VARVE_EVERSION, NULL, VARVE_NO_OFFSET,
                                 "the file has a section %u that must be understood", id);
}

static varve_status read_mirrors(struct varve_reader *r, uint64_t file_size,
                                 struct varve_sst_sections *sections, varve_error *err)
{
    uint64_t a_end = 0;
    uint64_t b_end = 0;

    for (uint32_t i = 0; i < sections->n_mirrors; i++) {
        struct varve_sst_mirror *m = &sections->mirrors[i];

        m->a = varve_read_u64(r);
        m->b = varve_read_u64(r);
        m->size = varve_read_u64(r);
        if (r->failed || m->size == 0 || m->a < a_end || m->b < b_end ||
            !is_inside(m->a, m->size, file_size) || !is_inside(m->b, m->size, file_size))
            return corrupt(err, "the table of second copies is malformed");
        a_end = m->a + m->size;
        b_end = m->b + m->size;
    }
    return VARVE_OK;
}

varve_status varve_sst_sections_decode(struct varve_span in, uint64_t file_size,
                                       struct varve_heap *heap,
                                       struct varve_sst_sections *ret_sections, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    struct varve_sst_sections sections = {.n_mirrors = 0};
    const uint32_t n = varve_read_u32(&r);
    uint32_t last = 0;
    varve_status rc = VARVE_OK;

    sections.n_mirrors = varve_read_u32(&r);
    if (r.failed || n > SECTIONS_MAX || sections.n_mirrors > in.size / MIRROR_ENTRY ||
        in.size != varve_sst_sections_size(n, sections.n_mirrors))
        return corrupt(err, "the section block has an impossible size");
    for (uint32_t i = 0; i < n && rc == VARVE_OK; i++)
        rc = read_section(&r, file_size, &last, &sections, err);
    if (rc < 0)
        return rc;
    for (uint32_t id = 1; id < VARVE_SECTION_KINDS; id++)
        if (sections.at[id].offset == 0 && id != VARVE_SECTION_FILTER)
            return corrupt(err, "a section is missing");
    if (sections.n_mirrors > 0) {
        sections.mirrors = varve_alloc(heap, sections.n_mirrors * sizeof *sections.mirrors);
        if (sections.mirrors == NULL)
            return varve_error_nomem(err, "the section block of a file");
        rc = read_mirrors(&r, file_size, &sections, err);
        if (rc < 0) {
            varve_sst_sections_free(&sections, heap);
            return rc;
        }
    }
    *ret_sections = sections;
    return VARVE_OK;
}

void varve_sst_sections_free(struct varve_sst_sections *sections, struct varve_heap *heap)
{
    varve_free(heap, sections->mirrors, sections->n_mirrors * sizeof *sections->mirrors);
    sections->mirrors = NULL;
    sections->n_mirrors = 0;
}

uint64_t varve_sst_mirror_of(const struct varve_sst_sections *sections, uint64_t offset,
                             uint64_t size)
{
    uint32_t low = 0;
    uint32_t high = sections->n_mirrors;

    while (low < high) { /* the first that begins after `offset` */
        const uint32_t middle = low + (high - low) / 2;

        if (sections->mirrors[middle].a <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    const struct varve_sst_mirror *m = &sections->mirrors[low - 1];
    const uint64_t at = offset - m->a;

    return at <= m->size && size <= m->size - at ? m->b + at : 0;
}

void varve_sst_groups_encode(const struct varve_sst_group *groups, uint32_t n,
                             struct varve_buffer *out)
{
    varve_write_u32(out, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct varve_sst_group *g = &groups[i];

        varve_write_u64(out, g->first_row);
        varve_write_u64(out, g->first_partition);
        varve_write_u32(out, g->rows);
        varve_write_u32(out, g->vectors);
        varve_write_u64(out, (uint64_t)g->first_time);
        varve_write_u64(out, (uint64_t)g->last_time);
        varve_write_u64(out, g->index_offset);
        varve_write_u32(out, g->index_size);
        varve_write_u32(out, 0);
        varve_write_u64(out, g->index_checksum);
        varve_write_u64(out, g->data_offset);
        varve_write_u64(out, g->data_size);
    }
}

static varve_status read_group(struct varve_reader *r, uint64_t file_size,
                               const struct varve_sst_group *before, struct varve_sst_group *g,
                               varve_error *err)
{
    g->first_row = varve_read_u64(r);
    g->first_partition = varve_read_u64(r);
    g->rows = varve_read_u32(r);
    g->vectors = varve_read_u32(r);
    g->first_time = (int64_t)varve_read_u64(r);
    g->last_time = (int64_t)varve_read_u64(r);
    g->index_offset = varve_read_u64(r);
    g->index_size = varve_read_u32(r);
    const uint32_t zero = varve_read_u32(r);
    g->index_checksum = varve_read_u64(r);
    g->data_offset = varve_read_u64(r);
    g->data_size = varve_read_u64(r);

    const uint64_t first_row = before == NULL ? 0 : before->first_row + before->rows;
    const uint64_t least = before == NULL ? 0 : before->first_partition;

    if (r->failed || zero != 0 || g->rows == 0 || g->rows > VARVE_SST_ROWS_MAX || g->vectors == 0 ||
        g->vectors > g->rows || g->first_time > g->last_time || g->first_row != first_row ||
        g->first_partition < least || (before == NULL && g->first_partition != 0) ||
        g->index_size > VARVE_SST_BLOCK_MAX ||
        !is_inside(g->index_offset, g->index_size, file_size) ||
        !is_inside(g->data_offset, g->data_size, file_size))
        return corrupt(err, "the directory of row groups is malformed");
    return VARVE_OK;
}

varve_status varve_sst_groups_decode(struct varve_span in, uint64_t file_size,
                                     struct varve_heap *heap, struct varve_sst_group **ret_groups,
                                     uint32_t *ret_n, varve_error *err)
{
    struct varve_reader r = varve_reader_of(in);
    const uint32_t n = varve_read_u32(&r);

    if (r.failed || in.size != 4 + (uint64_t)n * GROUP_ENTRY)
        return corrupt(err, "the directory of row groups has an impossible size");
    if (n == 0) {
        *ret_groups = NULL;
        *ret_n = 0;
        return VARVE_OK;
    }
    struct varve_sst_group *groups = varve_alloc_zero(heap, n, sizeof *groups);
    if (groups == NULL)
        return varve_error_nomem(err, "the row groups of a file");
    for (uint32_t i = 0; i < n; i++) {
        const varve_status rc =
            read_group(&r, file_size, i == 0 ? NULL : &groups[i - 1], &groups[i], err);

        if (rc < 0) {
            varve_sst_groups_free(groups, n, heap);
            return rc;
        }
    }
    *ret_groups = groups;
    *ret_n = n;
    return VARVE_OK;
}

void varve_sst_groups_free(struct varve_sst_group *groups, uint32_t n, struct varve_heap *heap)
{
    varve_free(heap, groups, n * sizeof *groups);
}
