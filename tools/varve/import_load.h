/*
 * import_load.h - rows of CSV files into a table: parse, gather by column, commit in batches; what
 * cannot be taken goes to the rejects file.
 *
 * Place.   import_command.c opens store and files; import_plan.c says what fills each column.
 *
 * Invariants
 *   L1  Every record of every file is committed or given to the rejects file; both are counted.
 *   L2  A row is refused for its own sake only, never for want of memory: the others of its batch are
 *       committed.
 *   L3  At most ROWS_MAX rows or about PAYLOAD_MAX bytes are held, and those of a pipe for about a
 *       second at most.
 *   L4  When compressed data turns out to be damaged, what is known to be right is committed, and what
 *       was committed before is told apart.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_IMPORT_LOAD_H
#define VARVE_TOOL_IMPORT_LOAD_H

#include "tools/varve/import_plan.h"
#include "tools/varve/reject_file.h"

struct import_counts {
    uint64_t rows; /* committed */
    uint64_t rejected;
    uint64_t nulls; /* fields that stood for no value by a spelling of it: NA */
    uint64_t blank_lines;
};

/* What messages call a file of the command line. */
const char *import_file_name(const char *file);

struct import_loader; /* one for all files of one import */

/* NULL after a message. Everything is borrowed. */
struct import_loader *import_loader_new(varve_store *store, varve_table *table,
                                        const struct import_options *options,
                                        struct reject_file *rejects);
/* Look at a file's beginning as import_loader_file() does, and say what is wrong, so that a mistake in
 * the last file is found before the first is loaded. A pipe is not looked at. */
int import_loader_check(struct import_loader *loader, const char *file);
/* Load one file; adds to *counts. TOOL_OK, or the exit code of what stopped it. */
int import_loader_file(struct import_loader *loader, const char *file,
                       struct import_counts *counts);
/* Where what all files have brought ends in the log: varve_wait_durable() makes it durable, which it is
 * not yet with the policies interval and os. */
uint64_t import_loader_lsn(const struct import_loader *loader);
void import_loader_free(struct import_loader *loader); /* NULL is a no-op */

#endif
