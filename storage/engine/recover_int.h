/*
 * recover_int.h - the steps of opening a store. See recover.c.
 */
#ifndef VARVE_ENGINE_RECOVER_INT_H
#define VARVE_ENGINE_RECOVER_INT_H

#include "storage/engine/store_int.h"
#include "storage/wal/wal_reader.h"

/* Tables, origins, epochs and positions from the current version. */
varve_status varve_recover_load(varve_store *store, varve_error *err);
/* Replay, make durable what was accepted, and start the log's writer. */
varve_status varve_recover_writable(varve_store *store, varve_error *err);
/* Replay in memory. `live`: another process is writing. */
varve_status varve_recover_read_only(varve_store *store, bool live, varve_error *err);
/* Remove files that nothing names (stray.c). */
varve_status varve_recover_strays(varve_store *store, varve_error *err);
/* ECORRUPT: there is a file that was made under a newer manifest than the newest one in the folder. */
varve_status varve_recover_check_files(varve_store *store, varve_error *err);

/* What recovery for writing may take at least: one record of any writer, and a flush of it. */
#define VARVE_RECOVERY_BYTES ((uint64_t)256 << 20)

/* log_replay.c: apply every record that the reader gives. With SALVAGE, up to one that contradicts those
 * before it, which is a finding then. */
varve_status varve_replay(varve_store *store, struct varve_wal_reader *reader, varve_error *err);

/* finding.c: note what the open got past. */
varve_status varve_finding_add(varve_store *store, varve_finding kind, const varve_error *detail,
                               varve_error *err);
void varve_findings_free(varve_store *store);

/* Finds a section's schema for the payload decoder; `ctx` is the store. ECORRUPT: no record before that
 * one defines it. */
varve_status varve_recover_schema(void *ctx, uint32_t table_id, uint32_t version,
                                  const struct varve_schema **ret_schema);
/* The first `n` segments of `version` as the log's reader wants them; NULL for none. */
varve_status varve_recover_list(varve_store *store, const struct varve_version *version, uint32_t n,
                                struct varve_wal_listed **ret_list, varve_error *err);
/* A reader over the first `n` segments of `version`, which are sealed, from the replay LSN on.
 * VARVE_END: they hold no record that replay would want. */
varve_status varve_recover_reader(varve_store *store, const struct varve_version *version,
                                  uint32_t n, struct varve_wal_reader **ret_reader,
                                  varve_error *err);

#endif
