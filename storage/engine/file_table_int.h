/*
 * file_table_int.h - open SSTables, and files on their way out. See file_table.c.
 */
#ifndef VARVE_ENGINE_FILE_TABLE_INT_H
#define VARVE_ENGINE_FILE_TABLE_INT_H

#include "storage/engine/store_int.h"

varve_status varve_file_table_init(varve_store *store, varve_error *err);
void varve_file_table_free(varve_store *store);

/* The SSTable of a manifest entry, opened if need be, with a reference for the caller. */
varve_status varve_file_table_get(varve_store *store, const struct varve_file_entry *entry,
                                  struct varve_sst **ret_sst, varve_error *err);

/* Room for `n` more obsolete files. False: no memory. */
bool varve_obsolete_reserve(varve_store *store, size_t n);
void varve_obsolete_add(varve_store *store, const struct varve_obsolete *obsolete);
/* Unlink what nobody needs any more; returns how many files have gone. What could not be unlinked stays
 * for the next call. */
uint64_t varve_obsolete_remove(varve_store *store);
uint64_t varve_obsolete_bytes(varve_store *store);

#endif
