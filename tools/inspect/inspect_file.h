/*
 * inspect_file.h - one file to look at: its folder as a vfs, memory, reads and reports.
 */
#ifndef VARVE_INSPECT_INSPECT_FILE_H
#define VARVE_INSPECT_INSPECT_FILE_H

#include <varve/vfs.h>

#include "storage/base/alloc.h"
#include "storage/base/error.h"
#include "tools/inspect/inspect.h"

struct inspect_file {
    const struct inspect_options *options;
    struct varve_heap heap;
    struct varve_vfs *vfs;
    struct varve_file *file; /* NULL when only the folder was opened */
    char folder[4096];
    char name[256];
    uint64_t size;
    bool damaged;
};

/* Open the folder and the file. On failure it has been reported; close all the same. */
varve_status inspect_file_open(struct inspect_file *file, const char *path,
                               const struct inspect_options *options);
void inspect_file_close(struct inspect_file *file);

/* Exactly `size` bytes. A failure has been reported. */
varve_status inspect_file_read(struct inspect_file *file, uint64_t offset, void *out, size_t size);

/* Report damage at `offset` (UINT64_MAX: nowhere in particular). */
void inspect_file_damage(struct inspect_file *file, uint64_t offset, const char *message);
/* Report a failure of the library; damage counts as such. Returns its status. */
varve_status inspect_file_failure(struct inspect_file *file, const varve_error *err);

void inspect_print_hex(FILE *out, const uint8_t *bytes, size_t size);

#endif
