/*
 * wal_segment.c - the making of a segment's file, before the log needs it.
 */
#include <assert.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/wal/segment_int.h"

#define ZERO_BYTES (256u << 10) /* one write of zeros */

_Static_assert(VARVE_WAL_STEP_MAX % ZERO_BYTES == 0, "a step is a whole number of writes");

static void segment_name(const struct varve_wal_segment *segment, char *out)
{
    varve_wal_segment_name(segment->id, out);
}

/* Open the new file; if its direct I/O wants more than page alignment, do without. */
static int segment_open_file(struct varve_wal_segment *segment, const char *name, bool direct,
                             bool *ret_made)
{
    const struct varve_vfs_ops *const ops = segment->vfs->ops;
    uint32_t flags = VARVE_FILE_WRITE | VARVE_FILE_CREATE;
    int rc = ops->open(segment->vfs, name, flags | (direct ? (uint32_t)VARVE_FILE_DIRECT : 0),
                       &segment->file);

    *ret_made = rc >= 0;
    if (rc < 0 || !direct)
        return rc;
    const uint32_t align = ops->direct_align(segment->file);
    if (align == 0 || VARVE_PAGE_SIZE % align == 0)
        return 0;
    ops->close(segment->file);
    segment->file = NULL;
    flags = VARVE_FILE_WRITE;
    return ops->open(segment->vfs, name, flags, &segment->file);
}

varve_status varve_wal_segment_create(struct varve_vfs *vfs, struct varve_heap *heap, uint64_t id,
                                      uint64_t size, bool direct,
                                      struct varve_wal_segment **ret_segment, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];
    bool made = false;
    varve_status rc;

    varve_wal_segment_name(id, name);
    if (id == 0 || size % VARVE_PAGE_SIZE != 0 || size < VARVE_WAL_SEGMENT_MIN ||
        size > VARVE_WAL_SEGMENT_MAX)
        return varve_error_set(err, VARVE_EINVAL, name, VARVE_NO_OFFSET, "bad log segment size");
    struct varve_wal_segment *segment = varve_alloc_zero(heap, 1, sizeof *segment);
    if (segment == NULL)
        return varve_error_nomem(err, "a log segment");
    segment->vfs = vfs;
    segment->heap = heap;
    segment->id = id;
    segment->size = size;

    int os = vfs->ops->random(vfs, segment->uuid, sizeof segment->uuid);
    if (os < 0) {
        rc = varve_error_os(err, os, name, VARVE_NO_OFFSET, "draw a uuid for");
        goto fail;
    }
    segment->uuid[0] |= 1; /* a uuid of zeros means none */
    os = segment_open_file(segment, name, direct, &made);
    if (os < 0) {
        rc = varve_error_os(err, os, name, VARVE_NO_OFFSET, "create");
        goto fail;
    }
    /* Whether there is room is known before the zeros take it, which a flush may need meanwhile. */
    os = vfs->ops->allocate(segment->file, size);
    if (os < 0) {
        rc = varve_error_os(err, os, name, VARVE_NO_OFFSET, "extend");
        goto fail;
    }
    *ret_segment = segment;
    return VARVE_OK;

fail:
    varve_wal_segment_close(segment, made);
    return rc;
}

static varve_status segment_zero(struct varve_wal_segment *segment, const char *name,
                                 varve_error *err)
{
    uint64_t left = VARVE_WAL_STEP_MAX;

    if (segment->zeros == NULL) {
        segment->zeros = varve_alloc_aligned(segment->heap, ZERO_BYTES, VARVE_PAGE_SIZE);
        if (segment->zeros == NULL)
            return varve_error_nomem(err, "preparing a log segment");
        memset(segment->zeros, 0, ZERO_BYTES);
    }
    while (left > 0 && segment->zeroed < segment->size) {
        const uint64_t rest = segment->size - segment->zeroed;
        const size_t n = rest < ZERO_BYTES ? (size_t)rest : ZERO_BYTES;
        const int64_t got =
            segment->vfs->ops->write(segment->file, segment->zeros, n, segment->zeroed);

        if (got < 0)
            return varve_error_os(err, got, name, segment->zeroed, "write");
        segment->zeroed += n;
        left -= ZERO_BYTES;
    }
    return VARVE_OK;
}

varve_status varve_wal_segment_step(struct varve_wal_segment *segment, varve_error *err)
{
    char name[VARVE_WAL_NAME_MAX];

    segment_name(segment, name);
    if (segment->ready)
        return VARVE_END;
    if (segment->zeroed < segment->size)
        return segment_zero(segment, name, err);
    varve_free_aligned(segment->heap, segment->zeros, ZERO_BYTES, VARVE_PAGE_SIZE);
    segment->zeros = NULL;
    if (!segment->synced) {
        const int os = segment->vfs->ops->sync(segment->file);
        if (os < 0)
            return varve_error_os(err, os, name, VARVE_NO_OFFSET, "sync");
        segment->synced = true;
        return VARVE_OK;
    }
    const int os = segment->vfs->ops->sync_dir(segment->vfs);
    if (os < 0)
        return varve_error_sync_dir(err, os, name);
    segment->ready = true;
    return VARVE_END;
}

uint64_t varve_wal_segment_id(const struct varve_wal_segment *segment)
{
    return segment->id;
}

uint64_t varve_wal_segment_size(const struct varve_wal_segment *segment)
{
    return segment->size;
}

const uint8_t *varve_wal_segment_uuid(const struct varve_wal_segment *segment)
{
    return segment->uuid;
}

bool varve_wal_segment_ready(const struct varve_wal_segment *segment)
{
    return segment->ready;
}

void varve_wal_segment_close_file(struct varve_wal_segment *segment)
{
    if (segment->file != NULL)
        segment->vfs->ops->close(segment->file);
    segment->file = NULL;
}

void varve_wal_segment_close(struct varve_wal_segment *segment, bool unlink)
{
    char name[VARVE_WAL_NAME_MAX];

    if (segment == NULL)
        return;
    varve_wal_segment_close_file(segment);
    if (unlink) { /* best effort: an unlisted file is collected at the next open anyway */
        segment_name(segment, name);
        (void)segment->vfs->ops->unlink(segment->vfs, name);
    }
    varve_free_aligned(segment->heap, segment->zeros, ZERO_BYTES, VARVE_PAGE_SIZE);
    varve_free(segment->heap, segment, sizeof *segment);
}
