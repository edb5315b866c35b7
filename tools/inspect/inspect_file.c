/*
 * inspect_file.c - see inspect_file.h.
 */
#include "tools/inspect/inspect_file.h"

#include <string.h>

#include "storage/vfs/vfs.h"

#define MEMORY_LIMIT (UINT64_C(1) << 30)

void inspect_file_damage(struct inspect_file *file, uint64_t offset, const char *message)
{
    varve_error err = {.status = VARVE_OK};

    file->damaged = true;
    (void)varve_error_set(&err, VARVE_ECORRUPT, file->name, offset, "%s", message);
    file->options->report(file->options->report_ctx, &err);
}

varve_status inspect_file_failure(struct inspect_file *file, const varve_error *err)
{
    file->damaged |= err->status == VARVE_ECORRUPT;
    file->options->report(file->options->report_ctx, err);
    return err->status;
}

varve_status inspect_file_open(struct inspect_file *file, const char *path,
                               const struct inspect_options *options)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const size_t folder = slash == NULL ? 0 : (size_t)(slash - path);
    varve_error err = {.status = VARVE_OK};
    struct varve_file_stat stat;
    varve_status rc;

    memset(file, 0, sizeof *file);
    file->options = options;
    varve_heap_init(&file->heap, NULL, MEMORY_LIMIT);
    if (*name == '\0' || strlen(name) >= sizeof file->name || folder + 2 > sizeof file->folder) {
        (void)varve_error_set(&err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "%.200s: not a file name",
                              path);
        return inspect_file_failure(file, &err);
    }
    memcpy(file->folder,
           slash == NULL ? "."
           : folder == 0 ? "/"
                         : path,
           slash == NULL || folder == 0 ? 1 : folder);
    memcpy(file->name, name, strlen(name));

    const struct varve_vfs_options vfs_options = {.heap = &file->heap};
    rc = varve_vfs_posix_create(file->folder, &vfs_options, &file->vfs, &err);
    if (rc < 0)
        return inspect_file_failure(file, &err);
    int code = file->vfs->ops->open(file->vfs, file->name, VARVE_FILE_READ, &file->file);
    if (code == 0)
        code = file->vfs->ops->stat(file->file, &stat);
    if (code < 0) {
        (void)varve_error_set(&err, VARVE_EIO, file->name, VARVE_NO_OFFSET, "cannot be opened");
        err.os_code = -code;
        return inspect_file_failure(file, &err);
    }
    file->size = stat.size;
    return VARVE_OK;
}

void inspect_file_close(struct inspect_file *file)
{
    if (file->vfs == NULL)
        return;
    file->vfs->ops->close(file->file);
    file->vfs->ops->destroy(file->vfs);
    file->vfs = NULL;
}

varve_status inspect_file_read(struct inspect_file *file, uint64_t offset, void *out, size_t size)
{
    varve_error err = {.status = VARVE_OK};

    const int64_t n = file->vfs->ops->read(file->file, out, size, offset);
    if (n == (int64_t)size)
        return VARVE_OK;
    (void)varve_error_set(&err, n < 0 ? VARVE_EIO : VARVE_ECORRUPT, file->name, offset,
                          n < 0 ? "cannot be read" : "the file ends here");
    err.os_code = n < 0 ? (int32_t)-n : 0;
    return inspect_file_failure(file, &err);
}

void inspect_print_hex(FILE *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void)fprintf(out, "%02x", bytes[i]);
}
