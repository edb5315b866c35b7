/*
 * one_file.c - see one_file.h.
 */
#include "fuzz/one_file.h"

#include <errno.h>
#include <string.h>

static struct one_file *disk_of(struct varve_vfs *vfs)
{
    return (struct one_file *)(void *)vfs;
}

static int one_open(struct varve_vfs *vfs, const char *name, uint32_t flags,
                    struct varve_file **ret_file)
{
    struct one_file *const disk = disk_of(vfs);

    if (strcmp(name, disk->name) != 0 || (flags & VARVE_FILE_CREATE) != 0)
        return -ENOENT;
    *ret_file = &disk->file;
    return 0;
}

static void one_close(struct varve_file *file)
{
    (void)file;
}

static int64_t one_read(struct varve_file *file, void *buffer, size_t size, uint64_t offset)
{
    if (offset >= file->size)
        return 0;
    const uint64_t left = file->size - offset;
    const size_t n = left < size ? (size_t)left : size;
    memcpy(buffer, file->bytes + offset, n);
    return (int64_t)n;
}

static int one_stat(struct varve_file *file, struct varve_file_stat *ret)
{
    *ret = (struct varve_file_stat){file->size, file->size};
    return 0;
}

static uint32_t one_direct_align(struct varve_file *file)
{
    (void)file;
    return 0;
}

static void one_pause(struct varve_vfs *vfs, uint64_t us) /* nobody writes meanwhile */
{
    (void)vfs;
    (void)us;
}

static int one_list(struct varve_vfs *vfs, varve_vfs_list_fn fn, void *ctx)
{
    return fn(ctx, disk_of(vfs)->name);
}

static const struct varve_vfs_ops one_ops = {.struct_size = sizeof(struct varve_vfs_ops),
                                             .open = one_open,
                                             .close = one_close,
                                             .read = one_read,
                                             .stat = one_stat,
                                             .direct_align = one_direct_align,
                                             .list = one_list,
                                             .pause = one_pause};

void one_file_init(struct one_file *disk, const char *name, const uint8_t *bytes, uint64_t size)
{
    *disk = (struct one_file){.vfs = {.ops = &one_ops}, .file = {bytes, size}, .name = name};
}
