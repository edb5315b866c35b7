/*
 * reject_file.h - records that an import could not take, as CSV: file, line, reason, record. Made
 * when the first one comes.
 */
#ifndef VARVE_TOOL_REJECT_FILE_H
#define VARVE_TOOL_REJECT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct reject_file {
    FILE *out;
    const char *wanted; /* --rejects, or NULL: TABLE.rejects.csv, or a name that is free */
    const char *table;
    uint64_t said; /* the first few are also shown on stderr */
    bool failed;
    char name[320];
};

/* False after a message: the file cannot be written, so the import must stop. */
bool reject_file_add(struct reject_file *rejects, const char *file, uint64_t line,
                     const char *reason, const char *record, size_t size);
/* False after a message. Nothing to do if nothing was rejected. */
bool reject_file_close(struct reject_file *rejects);

#endif
