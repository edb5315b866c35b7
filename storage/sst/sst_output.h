/*
 * sst_output.h - the file that is being written: blocks in order, metadata extents and their
 * mirrors (sst_format.h). Knows checksums and places, not what the blocks mean.
 *
 * Place.   sst_writer.c and group_encoder.c put blocks here; whole chunks go to the vfs.
 *
 * A metadata block gets a ticket when it is put, and a place when its extent is closed.
 *
 * Threads. None.
 */
#ifndef VARVE_SST_SST_OUTPUT_H
#define VARVE_SST_SST_OUTPUT_H

#include <varve/vfs.h>

#include "index/page_ref.h"
#include "storage/sst/sst_format.h"

struct varve_sst_ticket {
    struct varve_page_ref ref; /* offset within its extent until that is closed */
    uint32_t kind;
    bool placed;
};

struct varve_sst_output {
    struct varve_vfs *vfs;
    struct varve_heap *heap;
    struct varve_file *file;
    char *name;
    uint8_t uuid[16];
    uint64_t written;               /* bytes that the file has taken */
    struct varve_buffer chunk;      /* what follows */
    size_t chunk_bytes;             /* written when there is so much */
    struct varve_buffer extent;     /* metadata that has no place yet */
    struct varve_buffer unmirrored; /* extents whose copy B is to be written */
    struct varve_sst_ticket *tickets;
    size_t n_tickets;
    size_t tickets_capacity;
    size_t first_unplaced;
    struct varve_sst_mirror *mirrors; /* b is 0 while it is to be written */
    size_t n_mirrors;
    size_t mirrors_capacity;
    size_t first_unmirrored;
    uint64_t data_bytes; /* of vectors and dictionaries */
};

varve_status varve_sst_output_open(struct varve_sst_output *out, struct varve_vfs *vfs,
                                   const char *name, const uint8_t uuid[16],
                                   struct varve_heap *heap, varve_error *err);
/* `remove`: unlink the file too. Half-built is fine. */
void varve_sst_output_close(struct varve_sst_output *out, bool remove);

static inline uint64_t varve_sst_output_position(const struct varve_sst_output *out)
{
    return out->written + out->chunk.size;
}

/* Hand whole chunks to the file if there is enough of them; `all`: whatever there is. */
varve_status varve_sst_output_drain(struct varve_sst_output *out, bool all, varve_error *err);

/* The block that stands in out->chunk from byte `begin` on is complete: its reference. */
struct varve_page_ref varve_sst_output_ref(const struct varve_sst_output *out, uint32_t kind,
                                           size_t begin);
/* Append a block that stands once. */
varve_status varve_sst_output_put(struct varve_sst_output *out, uint32_t kind,
                                  struct varve_span bytes, struct varve_page_ref *ret_ref,
                                  varve_error *err);
/* Take a block that stands twice. */
varve_status varve_sst_output_put_meta(struct varve_sst_output *out, uint32_t kind,
                                       struct varve_span bytes, uint64_t *ret_ticket,
                                       varve_error *err);
/* Close the extent if it is large enough, after the mirrors of those before. */
varve_status varve_sst_output_roll(struct varve_sst_output *out, varve_error *err);
/* Close the extent now, whatever its size, and write no mirror. */
varve_status varve_sst_output_place(struct varve_sst_output *out, varve_error *err);
varve_status varve_sst_output_locate(struct varve_sst_output *out, uint64_t ticket,
                                     struct varve_page_ref *ret_ref, varve_error *err);
/* Write the mirrors that are due: out->unmirrored.size bytes. */
varve_status varve_sst_output_mirror(struct varve_sst_output *out, varve_error *err);

#endif
