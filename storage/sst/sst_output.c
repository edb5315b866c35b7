/*
 * sst_output.c - the file under the writer (sst_output.h).
 */
#include "storage/sst/sst_output.h"

#include <assert.h>
#include <string.h>

#include "storage/base/vec.h"

/* Writes are as long as this, or as there is memory for. */
#define CHUNK_BYTES (1u << 20)
#define CHUNK_BYTES_MIN (64u << 10)

static varve_status no_memory(varve_error *err)
{
    return varve_error_nomem(err, "writing a file");
}

varve_status varve_sst_output_open(struct varve_sst_output *out, struct varve_vfs *vfs,
                                   const char *name, const uint8_t uuid[16],
                                   struct varve_heap *heap, varve_error *err)
{
    *out = (struct varve_sst_output){.vfs = vfs, .heap = heap};
    const uint64_t share = heap->limit / 32;
    out->chunk_bytes = share > CHUNK_BYTES       ? CHUNK_BYTES
                       : share < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN
                                                 : (size_t)share;
    varve_buffer_init(&out->chunk, heap);
    varve_buffer_init(&out->extent, heap);
    varve_buffer_init(&out->unmirrored, heap);
    memcpy(out->uuid, uuid, 16);
    out->name = varve_strdup(heap, name);
    if (out->name == NULL)
        return no_memory(err);
    const int rc = vfs->ops->open(vfs, name, VARVE_FILE_WRITE | VARVE_FILE_CREATE, &out->file);
    if (rc < 0) {
        out->file = NULL;
        return varve_error_os(err, rc, name, VARVE_NO_OFFSET, "create");
    }
    return VARVE_OK;
}

void varve_sst_output_close(struct varve_sst_output *out, bool remove)
{
    if (out->file != NULL) {
        out->vfs->ops->close(out->file);
        if (remove)
            (void)out->vfs->ops->unlink(out->vfs, out->name); /* a stray is collected at open */
        out->file = NULL;
    }
    varve_buffer_free(&out->chunk);
    varve_buffer_free(&out->extent);
    varve_buffer_free(&out->unmirrored);
    varve_free(out->heap, out->tickets, out->tickets_capacity * sizeof *out->tickets);
    varve_free(out->heap, out->mirrors, out->mirrors_capacity * sizeof *out->mirrors);
    if (out->name != NULL)
        varve_free(out->heap, out->name, strlen(out->name) + 1);
    out->tickets = NULL;
    out->mirrors = NULL;
    out->name = NULL;
    out->tickets_capacity = out->mirrors_capacity = 0;
}

/* Before so many bytes are added: the chunk need not grow for them if what it holds is written. */
static varve_status make_room(struct varve_sst_output *out, size_t bytes, varve_error *err)
{
    return varve_sst_output_drain(out, out->chunk.size + bytes > out->chunk_bytes, err);
}

varve_status varve_sst_output_drain(struct varve_sst_output *out, bool all, varve_error *err)
{
    if (out->chunk.failed)
        return no_memory(err);
    if (out->chunk.size == 0 || (!all && out->chunk.size < out->chunk_bytes))
        return VARVE_OK;
    const int64_t n =
        out->vfs->ops->write(out->file, out->chunk.data, out->chunk.size, out->written);
    if (n < 0)
        return varve_error_os(err, n, out->name, out->written, "write");
    out->written += out->chunk.size;
    varve_buffer_clear(&out->chunk);
    return VARVE_OK;
}

struct varve_page_ref varve_sst_output_ref(const struct varve_sst_output *out, uint32_t kind,
                                           size_t begin)
{
    struct varve_page_ref ref = {.offset = out->written + begin, .size = out->chunk.size - begin};

    if (!out->chunk.failed)
        ref.checksum = varve_sst_checksum(out->uuid, kind, ref.offset, out->chunk.data + begin,
                                          (size_t)ref.size);
    return ref;
}

varve_status varve_sst_output_put(struct varve_sst_output *out, uint32_t kind,
                                  struct varve_span bytes, struct varve_page_ref *ret_ref,
                                  varve_error *err)
{
    const size_t begin = out->chunk.size;

    varve_write_bytes(&out->chunk, bytes.data, bytes.size);
    *ret_ref = varve_sst_output_ref(out, kind, begin);
    return varve_sst_output_drain(out, false, err);
}

varve_status varve_sst_output_put_meta(struct varve_sst_output *out, uint32_t kind,
                                       struct varve_span bytes, uint64_t *ret_ticket,
                                       varve_error *err)
{
    struct varve_sst_ticket ticket = {.kind = kind};

    assert(bytes.size > 0);
    if (bytes.size > VARVE_SST_BLOCK_MAX)
        return varve_error_set(err, VARVE_ELIMIT, out->name, VARVE_NO_OFFSET,
                               "an index block would have %zu bytes", bytes.size);
    if (!varve_vec_grow(out->heap, (void **)&out->tickets, sizeof *out->tickets, out->n_tickets + 1,
                        &out->tickets_capacity))
        return no_memory(err);
    ticket.ref.offset = out->extent.size;
    ticket.ref.size = bytes.size;
    varve_write_bytes(&out->extent, bytes.data, bytes.size);
    if (out->extent.failed)
        return no_memory(err);
    *ret_ticket = out->n_tickets;
    out->tickets[out->n_tickets++] = ticket;
    return VARVE_OK;
}

varve_status varve_sst_output_place(struct varve_sst_output *out, varve_error *err)
{
    const uint64_t at = varve_sst_output_position(out);

    if (out->extent.size == 0)
        return VARVE_OK;
    if (!varve_vec_grow(out->heap, (void **)&out->mirrors, sizeof *out->mirrors, out->n_mirrors + 1,
                        &out->mirrors_capacity))
        return no_memory(err);
    const varve_status rc = make_room(out, out->extent.size, err);
    if (rc < 0)
        return rc;
    varve_write_bytes(&out->chunk, out->extent.data, out->extent.size);
    varve_write_bytes(&out->unmirrored, out->extent.data, out->extent.size);
    if (out->chunk.failed || out->unmirrored.failed)
        return no_memory(err);
    out->mirrors[out->n_mirrors++] = (struct varve_sst_mirror){.a = at, .size = out->extent.size};
    for (; out->first_unplaced < out->n_tickets; out->first_unplaced++) {
        struct varve_sst_ticket *t = &out->tickets[out->first_unplaced];

        t->ref.checksum = varve_sst_checksum(out->uuid, t->kind, at + t->ref.offset,
                                             out->extent.data + t->ref.offset, (size_t)t->ref.size);
        t->ref.offset += at;
        t->placed = true;
    }
    varve_buffer_clear(&out->extent);
    return varve_sst_output_drain(out, false, err);
}

varve_status varve_sst_output_roll(struct varve_sst_output *out, varve_error *err)
{
    if (out->extent.size < VARVE_SST_META_BYTES)
        return VARVE_OK;
    const varve_status rc = varve_sst_output_mirror(out, err);
    return rc < 0 ? rc : varve_sst_output_place(out, err);
}

varve_status varve_sst_output_locate(struct varve_sst_output *out, uint64_t ticket,
                                     struct varve_page_ref *ret_ref, varve_error *err)
{
    assert(ticket < out->n_tickets);
    if (!out->tickets[ticket].placed) {
        const varve_status rc = varve_sst_output_place(out, err);

        if (rc < 0)
            return rc;
    }
    *ret_ref = out->tickets[ticket].ref;
    return VARVE_OK;
}

varve_status varve_sst_output_mirror(struct varve_sst_output *out, varve_error *err)
{
    uint64_t at = varve_sst_output_position(out);

    if (out->unmirrored.size == 0)
        return VARVE_OK;
    const varve_status rc = make_room(out, out->unmirrored.size, err);
    if (rc < 0)
        return rc;
    varve_write_bytes(&out->chunk, out->unmirrored.data, out->unmirrored.size);
    if (out->chunk.failed)
        return no_memory(err);
    for (; out->first_unmirrored < out->n_mirrors; out->first_unmirrored++) {
        out->mirrors[out->first_unmirrored].b = at;
        at += out->mirrors[out->first_unmirrored].size;
    }
    assert(at == varve_sst_output_position(out));
    varve_buffer_clear(&out->unmirrored);
    return varve_sst_output_drain(out, false, err);
}
