/*
 * fuzz_sst.c - any bytes as an SSTable: open, read everything, verify. No crash, no overrun, no leak;
 * what verification passes can be read.
 *
 * Input: [1 byte flags] [file]. flags & 1 repairs the checksums from the leaves to the footer before
 * the file is opened, so that the fuzzer reaches the code behind them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "index/partition_directory.h"
#include "storage/sst/group_index.h"
#include "storage/sst/sst_format.h"
#include "storage/sst/sst_reader.h"
#include "storage/vfs/vfs_sim.h"

#define ROWS_MAX 300000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
    uint8_t *bytes;
    size_t size;
    uint8_t uuid[16];
    uint32_t depth;
};

static bool is_inside(const struct file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->size && size <= f->size - offset;
}

/* What the block's checksum must be; 0 when it is not there. */
static uint64_t checksum_of(const struct file *f, uint32_t kind, uint64_t offset, uint64_t size)
{
    if (!is_inside(f, offset, size))
        return 0;
    return varve_sst_checksum(f->uuid, kind, offset, f->bytes + offset, (size_t)size);
}

/* Put `right` wherever `wrong` stands in a parent. */
static void replace(uint8_t *bytes, size_t size, uint64_t wrong, uint64_t right)
{
    for (size_t i = 0; i + 8 <= size; i++)
        if (varve_get_u64(bytes + i) == wrong)
            varve_put_u64(bytes + i, right);
}

static void repair_index(struct file *f, uint64_t offset, uint64_t size)
{
    const struct varve_group_index *index;
    size_t need;

    if (!is_inside(f, offset, size) ||
        varve_group_index_measure(varve_span_of(f->bytes + offset, (size_t)size), &need, NULL) < 0)
        return;
    void *memory = malloc(need);
    assert(memory != NULL);
    uint8_t *at = f->bytes + offset;
    if (varve_group_index_parse(varve_span_of(at, (size_t)size), f->size, memory, need, &index,
                                NULL) == VARVE_OK) {
        for (size_t i = 0; i < (size_t)index->n_streams * index->n_vectors; i++)
            if (index->blocks[i].size != 0)
                replace(at, (size_t)size, index->blocks[i].checksum,
                        checksum_of(f, VARVE_SST_VECTOR, index->blocks[i].offset,
                                    index->blocks[i].size));
        for (uint32_t i = 0; i < index->n_dictionaries; i++)
            replace(at, (size_t)size, index->dictionaries[i].ref.checksum,
                    checksum_of(f, VARVE_SST_DICTIONARY, index->dictionaries[i].ref.offset,
                                index->dictionaries[i].ref.size));
        if (index->zones.size != 0)
            replace(at, (size_t)size, index->zones.checksum,
                    checksum_of(f, VARVE_SST_ZONES, index->zones.offset, index->zones.size));
    }
    free(memory);
}

static void repair_groups(struct file *f, uint64_t offset, uint64_t size)
{
    if (!is_inside(f, offset, size))
        return;
    for (size_t at = (size_t)offset + 4; at + 80 <= offset + size; at += 80) {
        const uint64_t index = varve_get_u64(f->bytes + at + 40);
        const uint32_t index_size = varve_get_u32(f->bytes + at + 48);

        repair_index(f, index, index_size);
        varve_put_u64(f->bytes + at + 56, checksum_of(f, VARVE_SST_INDEX, index, index_size));
    }
}

struct parent {
    struct file *file;
    uint8_t *bytes;
    size_t size;
};

/* One level of children: inner pages of these files have no more. */
static varve_status repair_child(void *ctx, struct varve_span separator, uint64_t ordinal,
                                 const struct varve_page_ref *ref, varve_error *err)
{
    struct parent *p = ctx;

    (void)separator;
    (void)ordinal;
    (void)err;
    replace(p->bytes, p->size, ref->checksum,
            checksum_of(p->file, VARVE_SST_DIRECTORY, ref->offset, ref->size));
    return VARVE_OK;
}

static void repair_filter(struct file *f, uint64_t offset, uint64_t size)
{
    if (!is_inside(f, offset, size))
        return;
    for (size_t at = (size_t)offset + 16; at + 40 <= offset + size; at += 40)
        varve_put_u64(f->bytes + at + 8,
                      checksum_of(f, VARVE_SST_FILTER, varve_get_u64(f->bytes + at),
                                  varve_get_u32(f->bytes + at + 24)));
}

static void repair_section(struct file *f, uint8_t *entry)
{
    static const uint32_t kinds[VARVE_SECTION_KINDS] = {0,
                                                        VARVE_SST_SCHEMA,
                                                        VARVE_SST_PROPERTIES,
                                                        VARVE_SST_GROUPS,
                                                        VARVE_SST_DIRECTORY,
                                                        VARVE_SST_FILTER};
    const uint32_t id = varve_get_u32(entry);
    const uint64_t offset = varve_get_u64(entry + 8), size = varve_get_u64(entry + 16);
    bool is_leaf;

    if (id >= VARVE_SECTION_KINDS || !is_inside(f, offset, size))
        return;
    if (id == VARVE_SECTION_GROUPS)
        repair_groups(f, offset, size);
    if (id == VARVE_SECTION_FILTER)
        repair_filter(f, offset, size);
    if (id == VARVE_SECTION_DIRECTORY) {
        struct parent p = {f, f->bytes + offset, (size_t)size};
        (void)varve_directory_children(varve_span_of(p.bytes, p.size), &is_leaf, repair_child, &p,
                                       NULL);
    }
    varve_put_u64(entry + 24, checksum_of(f, kinds[id], offset, size));
}

static void repair(struct file *f)
{
    if (f->size < 3 * VARVE_SST_PAGE)
        return;
    uint8_t *footer = f->bytes + f->size - 2 * VARVE_SST_PAGE;
    const uint64_t offset = varve_get_u64(footer + 64), size = varve_get_u64(footer + 80);

    memcpy(f->uuid, footer + 16, 16);
    varve_put_u64(footer + 56, f->size);
    if (is_inside(f, offset, size) && size >= 8) {
        const uint32_t n = varve_get_u32(f->bytes + offset);

        for (uint64_t i = 0; i < n && 8 + 32 * (i + 1) <= size; i++)
            repair_section(f, f->bytes + offset + 8 + 32 * i);
        varve_put_u64(footer + 88, checksum_of(f, VARVE_SST_SECTIONS, offset, size));
    }
    varve_put_u64(footer + 4088,
                  varve_sst_checksum(f->uuid, VARVE_SST_FOOTER, f->size, footer, 4088));
    memcpy(footer + VARVE_SST_PAGE, footer, VARVE_SST_PAGE);
}

/* Everything that a source can be asked. */
static varve_status read_all(struct varve_sst *sst, struct varve_heap *heap)
{
    const struct varve_schema *schema = varve_sst_schema(sst);
    struct varve_cells *cells = calloc(schema->n_columns, sizeof *cells);
    struct varve_source *source;
    struct varve_partition partition;
    uint64_t rows = 0;
    varve_status rc = varve_sst_source_open(sst, heap, &source, NULL);

    assert(rc == VARVE_OK && cells != NULL);
    rc = source->ops->seek(source, varve_span_of(NULL, 0), false, NULL);
    while (rc == VARVE_OK && rows < ROWS_MAX) {
        struct varve_piece piece;
        uint32_t streams;

        rc = source->ops->next(source, &partition, NULL);
        if (rc != VARVE_OK)
            break;
        rc = source->ops->open(source, &partition, INT64_MIN, INT64_MAX, false, &streams, NULL);
        while (rc == VARVE_OK && rows < ROWS_MAX) {
            struct varve_rows got = {.columns = cells};
            const struct varve_zone *zone;

            rc = streams == 0 ? (varve_status)VARVE_END
                              : source->ops->piece(source, 0, &piece, NULL);
            if (rc != VARVE_OK)
                break;
            rows += piece.rows;
            uint32_t begin = 0, end = 0;
            rc = source->ops->bounds(source, 0, piece.first_time / 2 + piece.last_time / 2,
                                     piece.last_time / 4 * 3, NULL, &begin, &end, NULL);
            if (rc == VARVE_OK && (begin > piece.rows || end > piece.rows))
                abort();
            if (rc == VARVE_OK)
                rc = source->ops->load(source, 0, 0, piece.rows, NULL, true, &got, NULL);
            for (uint32_t c = 0; c < schema->n_columns && rc == VARVE_OK; c++)
                rc = source->ops->zone(source, 0, c, &zone, NULL);
            if (rc == VARVE_OK)
                (void)varve_rows_content_hash(&got, 0, got.n, 1);
        }
        if (rc == VARVE_END)
            rc = VARVE_OK;
    }
    source->ops->close(source);
    free(cells);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct varve_sim_options options;
    struct varve_heap heap, sim_heap;
    struct varve_sim *sim;
    struct varve_vfs *vfs;
    struct varve_cache *cache;
    struct varve_sst *sst;

    if (size < 1 || size > 1u << 20)
        return 0;
    struct file f = {.size = size - 1, .bytes = malloc(size)};
    assert(f.bytes != NULL);
    memcpy(f.bytes, data + 1, f.size);
    if ((data[0] & 1) != 0)
        repair(&f);

    varve_heap_init(&heap, NULL, 256u << 20);
    varve_heap_init(&sim_heap, NULL, UINT64_MAX);
    varve_sim_options_init(&options, &sim_heap, 1);
    assert(varve_sim_create(&options, &sim) == 0 && varve_sim_attach(sim, &vfs) == 0);
    assert(varve_sim_put(sim, "f", f.bytes, f.size) == 0);
    assert(varve_cache_create(&heap, 1 << 18, &cache, NULL) == VARVE_OK);
    if (varve_sst_open(vfs, "f", 1, NULL, cache, &heap, &sst, NULL) == VARVE_OK) {
        const varve_status read = read_all(sst, &heap);

        if (varve_sst_get_properties(sst)->rows < ROWS_MAX &&
            varve_sst_verify(sst, &heap, NULL, NULL, NULL) == VARVE_OK)
            assert(read >= 0);
        varve_sst_unref(sst);
    }
    varve_cache_free(cache);
    assert(varve_heap_used(&heap) == 0);
    vfs->ops->destroy(vfs);
    varve_sim_destroy(sim);
    assert(varve_heap_used(&sim_heap) == 0);
    free(f.bytes);
    return 0;
}
