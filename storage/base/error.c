/*
 * error.c - filling in a varve_error, and the names of the status codes.
 */
#include "storage/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct status_text {
    varve_status status;
    const char *name;
    const char *text;
};

static const struct status_text status_texts[] = {
    {VARVE_END, "VARVE_END", "there is nothing more to come"},
    {VARVE_OK, "VARVE_OK", "success"},
    {VARVE_EINVAL, "VARVE_EINVAL", "an argument is not what the call asks for"},
    {VARVE_ENOMEM, "VARVE_ENOMEM", "out of memory"},
    {VARVE_EIO, "VARVE_EIO", "a file operation failed"},
    {VARVE_ECORRUPT, "VARVE_ECORRUPT", "data on disk is damaged"},
    {VARVE_EBUSY, "VARVE_EBUSY", "the store is open for writing elsewhere"},
    {VARVE_ELIMIT, "VARVE_ELIMIT", "a limit was reached"},
    {VARVE_EEXISTS, "VARVE_EEXISTS", "it exists already"},
    {VARVE_ENOTFOUND, "VARVE_ENOTFOUND", "it does not exist"},
    {VARVE_EPARSE, "VARVE_EPARSE", "the text cannot be understood"},
    {VARVE_ETYPE, "VARVE_ETYPE", "the value does not fit the column's type"},
    {VARVE_ESTALE, "VARVE_ESTALE", "the write is older than what may still be accepted"},
    {VARVE_EAGAIN, "VARVE_EAGAIN",
     "too much is waiting: commits in flight, or memtables to be flushed"},
    {VARVE_EIO_SYNC, "VARVE_EIO_SYNC", "a sync failed, so what is durable is unknown"},
    {VARVE_ENOSPC, "VARVE_ENOSPC", "the disk or a quota is full"},
    {VARVE_EVERSION, "VARVE_EVERSION", "the data was written by a newer version"},
    {VARVE_EREADONLY, "VARVE_EREADONLY", "the store is read-only"},
    {VARVE_ESNAPSHOT, "VARVE_ESNAPSHOT", "what the view needs has been removed"},
    {VARVE_ECANCELED, "VARVE_ECANCELED", "the cursor was cancelled"},
    {VARVE_EFORKED, "VARVE_EFORKED", "the handle belongs to another process"},
    {VARVE_EUNSUPPORTED, "VARVE_EUNSUPPORTED", "this is not possible here"},
};

static const struct status_text *find_status(varve_status status)
{
    for (size_t i = 0; i < sizeof status_texts / sizeof status_texts[0]; i++)
        if (status_texts[i].status == status)
            return &status_texts[i];
    return NULL;
}

const char *varve_status_name(varve_status status)
{
    const struct status_text *found = find_status(status);
    return found != NULL ? found->name : "unknown status";
}

const char *varve_status_text(varve_status status)
{
    const struct status_text *found = find_status(status);
    return found != NULL ? found->text : "unknown status";
}

const char *varve_version(void)
{
    return VARVE_VERSION;
}

void varve_error_clear(varve_error *err)
{
    if (err == NULL)
        return;
    memset(err, 0, sizeof *err);
    err->offset = err->lsn = err->lsn_end = err->row = UINT64_MAX;
}

varve_status varve_error_set(varve_error *err, varve_status status, const char *file,
                             uint64_t offset, const char *format, ...)
{
    va_list arguments;
    varve_error fresh; /* apart, since `file` or an argument may be a field of `err` itself */

    if (err == NULL)
        return status;
    varve_error_clear(&fresh);
    fresh.status = status;
    fresh.offset = offset;
    if (file != NULL)
        (void)snprintf(fresh.file, sizeof fresh.file, "%s", file);
    va_start(arguments, format);
    (void)vsnprintf(fresh.message, sizeof fresh.message, format, arguments);
    va_end(arguments);
    *err = fresh;
    return status;
}

varve_status varve_error_os(varve_error *err, int64_t rc, const char *file, uint64_t offset,
                            const char *what)
{
    const int code = rc < 0 && rc > -4096 ? (int)-rc : EIO;
    varve_status status = VARVE_EIO;
    char reason[128];

    if (code == ENOSPC || code == EDQUOT)
        status = VARVE_ENOSPC;
    else if (code == ENOMEM)
        status = VARVE_ENOMEM;
    const char *text = strerror_r(code, reason, sizeof reason);
    (void)varve_error_set(err, status, file, offset, "cannot %s: %s", what, text);
    if (err != NULL)
        err->os_code = code;
    return status;
}

varve_status varve_error_sync_dir(varve_error *err, int rc, const char *file)
{
    (void)varve_error_os(err, rc, file, VARVE_NO_OFFSET, "sync the directory");
    if (err != NULL)
        err->status = VARVE_EIO_SYNC;
    return VARVE_EIO_SYNC;
}

bool varve_os_is_unreadable(int64_t rc)
{
    return rc == -EIO || rc == -ENODATA || rc == -EILSEQ || rc == -EUCLEAN || rc == -EBADMSG;
}

bool varve_error_is_unreadable(const varve_error *err)
{
    return err->status == VARVE_EIO && varve_os_is_unreadable(-(int64_t)err->os_code);
}

varve_status varve_error_nomem(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_ENOMEM, NULL, VARVE_NO_OFFSET, "no memory for %s", what);
}

varve_status varve_error_copy(varve_error *to, const varve_error *from, varve_status fallback)
{
    if (from == NULL || from->status == VARVE_OK) {
        (void)varve_error_set(to, fallback, NULL, VARVE_NO_OFFSET, "%s",
                              varve_status_text(fallback));
        return fallback;
    }
    if (to != NULL && to != from)
        *to = *from;
    return from->status;
}
