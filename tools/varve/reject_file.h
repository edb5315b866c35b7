/*
 * reject_file.h - records that an import could not take, as CSV: file, line, reason, record.
 *
 * Invariants
 *   J1  No file that exists is overwritten, an input least of all: a wanted name is refused, and a
 *       default one gives way to the next that is free.
 *   J2  That it can be made is known before the import begins; it is made when the first record comes.
 *   J3  What cannot be written to it stops nobody: the file ends behind a whole record, and
 *       reject_file_close() says how many are missing, and from where on.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_REJECT_FILE_H
#define VARVE_TOOL_REJECT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reject_file {
    const char *wanted; /* --rejects, or NULL: TABLE.rejects.csv, or a name that is free */
    const char *table;
    int fd;
    char *buffer;          /* whole records that wait to be written */
    size_t used, capacity; /* of the buffer */
    uint64_t waiting;      /* records in it */
    uint64_t size;         /* of the file */
    uint64_t kept;         /* records in it */
    uint64_t added;        /* the first few are also shown on stderr */
    uint64_t lost_line;    /* the first that is missing, of the file `lost_file` */
    char lost_file[200];
    uint64_t waiting_line; /* of the first record that waits, and its file */
    char waiting_file[200];
    bool opened, failed;
    char name[320];
};

/*
 * Find out, before anything is read, whether the file may and can be made: a wanted one must not
 * exist (a device or a pipe may) nor be one of the `inputs`, of which `-` is stdin. Exit code.
 */
int reject_file_prepare(struct reject_file *rejects, const char *wanted, const char *table,
                        char *const *inputs, int n_inputs);
void reject_file_add(struct reject_file *rejects, const char *file, uint64_t line,
                     const char *reason, const char *record, size_t size);
void reject_file_flush(struct reject_file *rejects); /* write what waits */
/* Write what waits, and say what is in the file and what is not. Nothing to do if nothing was
 * rejected. */
void reject_file_close(struct reject_file *rejects);

#endif
