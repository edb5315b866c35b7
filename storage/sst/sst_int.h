/*
 * sst_int.h - an open file, as reader, source and verification share it.
 */
#ifndef VARVE_SST_SST_INT_H
#define VARVE_SST_SST_INT_H

#include <stdatomic.h>

#include "index/partition_directory.h"
#include "storage/sst/group_index.h"
#include "storage/sst/sst_format.h"
#include "storage/sst/sst_reader.h"

struct varve_sst {
    _Atomic(uint32_t) refs;
    _Atomic(uint64_t) repairs;
    _Atomic(uint64_t) *repairs_total; /* NULL: nobody adds them up */
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    struct varve_cache *cache;
    struct varve_file *file;
    char *name;
    uint64_t number;
    struct varve_sst_footer footer;
    uint64_t footer_checksum;
    struct varve_sst_sections sections;
    struct varve_sst_group *groups;
    uint32_t n_groups;
    struct varve_schema *schema;
    struct varve_sst_properties properties;
    struct varve_directory directory;
};

/* Read bytes of the file, all of them; transient errors are tried again a few times. */
varve_status varve_sst_read(struct varve_sst *sst, void *buffer, size_t size, uint64_t offset,
                            varve_error *err);
/* Something damaged has been made good, or done without. */
void varve_sst_note_repair(struct varve_sst *sst);
bool varve_sst_is_sound(const struct varve_sst *sst, uint32_t kind,
                        const struct varve_page_ref *ref, const void *bytes);
/* Read and check a block, from its second copy if need be. */
varve_status varve_sst_read_block(struct varve_sst *sst, uint32_t kind,
                                  const struct varve_page_ref *ref, void *buffer, varve_error *err);
/* The same through the cache: an entry whose data are the block's bytes. */
varve_status varve_sst_fetch(struct varve_sst *sst, uint32_t kind, const struct varve_page_ref *ref,
                             struct varve_cache_entry **ret_entry, varve_error *err);
/* Vectors at the hints' offsets in the file (at most VARVE_CACHE_PREFETCH_MAX) will be fetched next:
 * begin to bring them near, all at once, what is cached to the processor, what is not from the disk.
 * The hints are used up. */
void varve_sst_expect_vectors(const struct varve_sst *sst, struct varve_cache_hint *hints,
                              uint32_t n);
/* Bytes of the file will be read past the cache: begin to bring them from the disk. */
void varve_sst_expect(const struct varve_sst *sst, uint64_t offset, uint64_t size);
/* The parsed index of a row group: an entry whose data begin with struct varve_group_index. */
varve_status varve_sst_fetch_group(struct varve_sst *sst, uint32_t group,
                                   struct varve_cache_entry **ret_entry,
                                   const struct varve_group_index **ret_index, varve_error *err);
/* A parsed dictionary of a group's index (varve_dictionary_view of its data). */
varve_status varve_sst_fetch_dictionary(struct varve_sst *sst,
                                        const struct varve_group_index *index, uint32_t id,
                                        struct varve_cache_entry **ret_entry, varve_error *err);

/* Say in `err` which file it is about, and where, unless it knows. Returns rc. */
varve_status varve_sst_blame(const struct varve_sst *sst, uint64_t offset, varve_status rc,
                             varve_error *err);

/* For verification: all of a vector, whoever's rows it holds, past the cache; and the zone map of one
 * of its columns (NULL: such columns have none), whose absence or damage is an error here. */
varve_status varve_sst_source_vector(struct varve_source *source, uint32_t group, uint32_t vector,
                                     struct varve_rows *rows,
                                     const struct varve_group_index **ret_index, varve_error *err);
varve_status varve_sst_source_zone(struct varve_source *source, uint32_t column,
                                   const struct varve_zone **ret_zone, varve_error *err);

/* The group that holds row `row` of the file. */
uint32_t varve_sst_group_of_row(const struct varve_sst *sst, uint64_t row);

#endif
