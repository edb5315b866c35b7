/*
 * error.h - filling in a varve_error. Knows nothing above libc and the public status codes.
 */
#ifndef VARVE_BASE_ERROR_H
#define VARVE_BASE_ERROR_H

#include <varve/varve.h>

#if defined(__GNUC__)
#define VARVE_PRINTF(at, first) __attribute__((format(printf, at, first)))
#define VARVE_MUST_USE __attribute__((warn_unused_result))
#else
#define VARVE_PRINTF(at, first)
#define VARVE_MUST_USE
#endif

#define VARVE_NO_OFFSET UINT64_MAX

/*
 * Fill `err` (NULL is allowed) and return `status`, so that `return varve_error_set(...)` reads
 * well. os_code, lsn, lsn_end and row are reset. `file` may be NULL. Messages name no key or value.
 */
varve_status varve_error_set(varve_error *err, varve_status status, const char *file,
                             uint64_t offset, const char *format, ...) VARVE_PRINTF(5, 6);

/* The status of a failed vfs call: `rc` is its negative errno. ENOSPC and EDQUOT give
 * VARVE_ENOSPC, ENOMEM VARVE_ENOMEM, everything else VARVE_EIO. `what` is a verb: "read". */
varve_status varve_error_os(varve_error *err, int64_t rc, const char *file, uint64_t offset,
                            const char *what);

/* Of a failed sync_dir: VARVE_EIO_SYNC, whatever the reason, since no later one makes up for it. */
varve_status varve_error_sync_dir(varve_error *err, int rc, const char *file);

/* Whether a vfs call that failed with `rc` says that the disk does not give something back, so that
 * trying later or with more of anything would not help: EIO; ENODATA and EILSEQ, which direct reads give
 * for the same; EUCLEAN and EBADMSG, by which a file system says so. */
bool varve_os_is_unreadable(int64_t rc);
/* The same of a status that varve_error_os() gave. */
bool varve_error_is_unreadable(const varve_error *err);

/* "no memory for WHAT" */
varve_status varve_error_nomem(varve_error *err, const char *what);

/* Copy `from` to `to` (either may be NULL) and return from's status, or `fallback` without it. */
varve_status varve_error_copy(varve_error *to, const varve_error *from, varve_status fallback);

void varve_error_clear(varve_error *err);

#endif
