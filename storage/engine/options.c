/*
 * options.c - defaults and limits of varve_options, in one place.
 */
#include <string.h>

#include "storage/engine/options_int.h"

#define MIB ((uint64_t)1 << 20)

void varve_options_init(varve_options *options, size_t struct_size)
{
    if (options == NULL || struct_size < sizeof options->struct_size)
        return;
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

static varve_status refuse(varve_error *err, const char *what)
{
    return varve_error_set(err, VARVE_EINVAL, NULL, VARVE_NO_OFFSET, "varve_options.%s", what);
}

static void default_u32(uint32_t *value, uint32_t fallback)
{
    if (*value == 0)
        *value = fallback;
}

static void default_u64(uint64_t *value, uint64_t fallback)
{
    if (*value == 0)
        *value = fallback;
}

static void fill_defaults(varve_options *o)
{
    default_u32(&o->policy, VARVE_POLICY_DURABLE_GROUP);
    default_u32(&o->interval_ms, 100);
    default_u32(&o->background_threads, 2);
    default_u64(&o->memory_limit, 256 * MIB);
    default_u64(&o->memtable_bytes, o->memory_limit / 4);
    default_u64(&o->cache_bytes, o->memory_limit / 4 * 3);
    default_u64(&o->max_wal_bytes, 4 * o->memtable_bytes);
    default_u32(&o->wal_segment_bytes, 64u << 20);
    default_u32(&o->row_group_rows, 65536);
    default_u32(&o->flush_interval_ms, 600000);
    default_u32(&o->commit_queue, 4096);
    default_u32(&o->file_mode, 0640);
    default_u32(&o->dir_mode, 0750);
    if (o->background_threads == UINT32_MAX || (o->flags & VARVE_OPEN_READ_ONLY) != 0)
        o->background_threads = 0;
}

static varve_status check(const varve_options *o, varve_error *err)
{
    const uint32_t known = VARVE_OPEN_CREATE | VARVE_OPEN_READ_ONLY | VARVE_OPEN_SALVAGE;

    if ((o->flags & ~known) != 0)
        return refuse(err, "flags has a bit that this version does not know");
    if ((o->flags & VARVE_OPEN_CREATE) != 0 && (o->flags & VARVE_OPEN_READ_ONLY) != 0)
        return refuse(err, "flags: a store cannot be created read-only");
    if ((o->flags & VARVE_OPEN_SALVAGE) != 0 && (o->flags & VARVE_OPEN_READ_ONLY) == 0)
        return refuse(err, "flags: SALVAGE goes with READ_ONLY");
    if (o->io_backend > VARVE_IO_URING)
        return refuse(err, "io_backend is none of enum varve_io_backend");
    if (o->policy > VARVE_POLICY_OS)
        return refuse(err, "policy is none of enum varve_policy");
    if (o->wal_tail > VARVE_WAL_TAIL_CUT)
        return refuse(err, "wal_tail is none of enum varve_wal_tail");
    if (o->interval_ms > 10000)
        return refuse(err, "interval_ms is above 10000");
    if (o->background_threads > VARVE_THREADS_MAX)
        return refuse(err, "background_threads is above 16");
    if (o->memory_limit < 8 * MIB)
        return refuse(err, "memory_limit is below 8 MiB");
    if (o->memtable_bytes > o->memory_limit / 2)
        return refuse(err, "memtable_bytes is above half of memory_limit");
    if (o->cache_bytes > o->memory_limit / 4 * 3)
        return refuse(err, "cache_bytes is above three quarters of memory_limit");
    if (o->wal_segment_bytes < (64u << 10) || o->wal_segment_bytes > (512u << 20) ||
        o->wal_segment_bytes % 4096 != 0)
        return refuse(err, "wal_segment_bytes is not a multiple of 4096 in 64 KiB .. 512 MiB");
    if (o->row_group_rows < 1024 || o->row_group_rows > 65536)
        return refuse(err, "row_group_rows is not in 1024 .. 65536");
    if (o->reserve_bytes != UINT64_MAX && o->reserve_bytes > MIB << 20)
        return refuse(err, "reserve_bytes is above 1 TiB");
    if (o->window_seconds > (uint64_t)INT64_MAX / 1000000000u)
        return refuse(err, "window_seconds is too large");
    return VARVE_OK;
}

varve_status varve_options_complete(const varve_options *given, varve_options *ret_options,
                                    varve_error *err)
{
    varve_options o;

    varve_options_init(&o, sizeof o);
    if (given != NULL) {
        if (given->struct_size < sizeof given->struct_size || given->struct_size > 4096)
            return refuse(err, "struct_size is not set: call varve_options_init() first");
        memcpy(&o, given, given->struct_size < sizeof o ? given->struct_size : sizeof o);
        o.struct_size = sizeof o;
    }
    fill_defaults(&o);
    const varve_status rc = check(&o, err);
    if (rc < 0)
        return rc;
    *ret_options = o;
    return VARVE_OK;
}
