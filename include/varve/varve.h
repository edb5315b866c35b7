/*
 * varve.h - the whole public interface of libvarve, a storage engine for time series.
 * Simple calls first, "Advanced" last.
 *
 * Model.     A store is a directory that holds tables. A table has a partition key, a time column,
 *   further clustering columns that break ties, and value columns. Rows sort by (partition key,
 *   time, further clustering columns). Write rules are Cassandra's: per cell, the higher write
 *   time wins.
 * Ownership. X_open() and X_new() create, X_close() and X_free() destroy and accept NULL. What
 *   comes out through a `ret_` parameter is the caller's; a returned `const T *` is borrowed, and
 *   its declaration says until when.
 * Errors.    varve_status: 0 success, > 0 a normal outcome that is not data, < 0 failure. On
 *   failure no `ret_` parameter is written, and the store is unchanged unless stated. Every
 *   function that takes a varve_error accepts NULL for it.
 * Threads.   A varve_store and a varve_table may be used from any thread; every other handle by
 *   one thread at a time. A handle is unusable in a forked child: see varve_abandon().
 * Memory.    Everything is allocated through the store's allocator and counted against
 *   memory_limit, except thread stacks, rings shared with the kernel, and the page cache.
 */
#ifndef VARVE_VARVE_H
#define VARVE_VARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define VARVE_API __attribute__((visibility("default")))
#else
#define VARVE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct varve_allocator; /* alloc.h */
struct varve_vfs;       /* vfs.h */

typedef struct varve_store varve_store;
typedef struct varve_table varve_table;       /* one table of an open store; borrowed from it */
typedef struct varve_schema varve_schema;     /* the columns of one table, immutable */
typedef struct varve_batch varve_batch;       /* rows on their way in */
typedef struct varve_cursor varve_cursor;     /* the result of a scan or an aggregation */
typedef struct varve_snapshot varve_snapshot; /* one consistent state of a store */

/* ------------------------------------------------------------------------------------ Errors */

/* Values are ABI: append only, never renumber, never reuse. */
typedef enum varve_status {
    VARVE_END = 1, /* nothing more to come: a cursor is exhausted; not an error */
    VARVE_OK = 0,
    VARVE_EINVAL = -1,       /* the caller broke a documented precondition */
    VARVE_ENOMEM = -2,       /* the allocator returned NULL */
    VARVE_EIO = -3,          /* an operation on a file failed; varve_error.os_code has its code */
    VARVE_ECORRUPT = -4,     /* bytes on disk fail a check; varve_error.file and offset say where */
    VARVE_EBUSY = -5,        /* another handle or process has the store open for writing */
    VARVE_ELIMIT = -6,       /* a limit (size, memory) was reached; nothing was changed. The message
                                names `memory_limit` if and only if it was that */
    VARVE_EEXISTS = -7,      /* a row (duplicates = 'error') or a table is there already */
    VARVE_ENOTFOUND = -8,    /* no such store, table or column */
    VARVE_EPARSE = -9,       /* text (CREATE TABLE, a value, an expression) cannot be understood */
    VARVE_ETYPE = -10,       /* a value does not fit its column's type */
    VARVE_ESTALE = -11,      /* a batch of an older epoch of its origin, or below a write floor */
    VARVE_EAGAIN = -12,      /* commit queue or memtables are full: reap, and try again later */
    VARVE_EIO_SYNC = -13,    /* what is durable is unknown, the store is FAILED (varve_commit) */
    VARVE_ENOSPC = -14,      /* the disk or a quota is full; nothing was changed */
    VARVE_EVERSION = -15,    /* written by a newer version that this one must not touch */
    VARVE_EREADONLY = -16,   /* the store was opened, or has become, read-only */
    VARVE_ESNAPSHOT = -17,   /* what this view needs has been removed: open again */
    VARVE_ECANCELED = -18,   /* varve_cursor_cancel() was called */
    VARVE_EFORKED = -19,     /* the handle belongs to another process */
    VARVE_EUNSUPPORTED = -20 /* not possible for this table or on this platform */
} varve_status;

/* Detail of one failure, owned by the caller. */
typedef struct varve_error {
    varve_status status;
    int32_t os_code;      /* errno, or 0 */
    uint64_t offset;      /* byte offset in `file`, or UINT64_MAX */
    uint64_t lsn;         /* first log position concerned, or UINT64_MAX */
    uint64_t lsn_end;     /* its exclusive end, or UINT64_MAX */
    uint64_t row;         /* offending row of a batch, 0-based, or UINT64_MAX */
    char file[96];        /* name relative to the store's directory, or "" */
    char message[256];    /* one line, no trailing newline or full stop */
    uint64_t reserved[2]; /* zero: the caller owns the storage, so the size is ABI */
} varve_error;

/* The name of a status ("VARVE_ECORRUPT"), static; "unknown status" for a value that is none. */
VARVE_API const char *varve_status_name(varve_status status);

/* One short English sentence for a status, static, without a full stop. */
VARVE_API const char *varve_status_text(varve_status status);

/* "0.1.0": the version of the library that is linked, static. */
VARVE_API const char *varve_version(void);

/* ------------------------------------------------------------------------- Types and values */

/* Values are ABI and stand in files: append only. */
typedef enum varve_type {
    VARVE_BOOLEAN = 1,
    VARVE_TINYINT = 2,
    VARVE_SMALLINT = 3,
    VARVE_INT = 4,
    VARVE_BIGINT = 5,
    VARVE_FLOAT = 6,
    VARVE_DOUBLE = 7,
    VARVE_DECIMAL = 8, /* int64 mantissa; scale of the column, of a bare decimal the value's */
    VARVE_TEXT = 9,    /* UTF-8 */
    VARVE_BLOB = 10,
    VARVE_TIMESTAMP = 11, /* int64 since 1970 in the column's unit */
    VARVE_DATE = 12,      /* int64 days since 1970-01-01 */
    VARVE_TIME = 13,      /* int64 nanoseconds since midnight, 0 .. 86399999999999 */
    VARVE_UUID = 14,
    VARVE_HUGEINT = 15 /* 128 bits; only as a result: the sum of an integer or decimal column */
} varve_type;

/* Units per second of a timestamp. */
typedef enum varve_unit {
    VARVE_SECONDS = 1,
    VARVE_MILLISECONDS = 2,
    VARVE_MICROSECONDS = 3,
    VARVE_NANOSECONDS = 4
} varve_unit;

typedef enum varve_presence {
    VARVE_SET = 0,  /* there is a value */
    VARVE_NULL = 1, /* read: no value. written: the cell is deleted */
    VARVE_UNSET = 2 /* written: the cell is left as it is */
} varve_presence;

/* One cell. On input `type` must be the column's. Text and blobs are borrowed. */
typedef struct varve_value {
    uint8_t type;     /* enum varve_type */
    uint8_t presence; /* enum varve_presence */
    int8_t scale;     /* VARVE_DECIMAL and sums of it: digits after the point */
    uint8_t unit;     /* VARVE_TIMESTAMP: enum varve_unit (0 on input: the column's) */
    uint8_t reserved[4];
    union {
        int64_t i64; /* boolean (0, 1), integers, timestamp, date, time, mantissa of a decimal */
        float f32;
        double f64;
        uint8_t uuid[16];
        struct {
            uint64_t low;
            int64_t high;
        } i128;
        struct {
            const void *data;
            size_t size;
        } bytes;
    } as;
} varve_value;

typedef enum varve_column_kind {
    VARVE_PARTITION_KEY = 1,
    VARVE_TIME_COLUMN = 2, /* the first clustering column */
    VARVE_CLUSTERING = 3,  /* the further clustering columns */
    VARVE_VALUE_COLUMN = 4
} varve_column_kind;

typedef enum varve_duplicates {
    VARVE_DUPLICATES_UPSERT = 1, /* per cell, the higher write time wins */
    VARVE_DUPLICATES_KEEP = 2,   /* every row stays */
    VARVE_DUPLICATES_FIRST = 3,  /* the first row of a key stays */
    VARVE_DUPLICATES_ERROR = 4   /* a batch with a key that is there already is refused */
} varve_duplicates;

/* A column as declared. Borrowed from its schema. */
typedef struct varve_column_info {
    const char *name;  /* lower case unless it was quoted */
    uint8_t type;      /* enum varve_type */
    uint8_t kind;      /* enum varve_column_kind */
    uint8_t unit;      /* VARVE_TIMESTAMP: enum varve_unit */
    uint8_t precision; /* decimal(p, s): 1 .. 18; 0: bare decimal */
    int8_t scale;      /* decimal(p, s): 0 .. p */
    bool descending;   /* clustering columns: declared DESC */
    uint32_t id;       /* never reused within the table */
} varve_column_info;

/*
 * Parse `text`, a CREATE TABLE statement (docs/CQL.md has the grammar), without a store.
 * EPARSE names the position in `err->offset`.
 */
VARVE_API varve_status varve_schema_parse(const char *text, varve_schema **ret_schema,
                                          varve_error *err);
VARVE_API void varve_schema_free(varve_schema *schema);

VARVE_API const char *varve_schema_table_name(const varve_schema *schema);
VARVE_API varve_duplicates varve_schema_duplicates(const varve_schema *schema);
/* Columns are numbered partition key first, then time, further clustering, values. */
VARVE_API uint32_t varve_schema_columns(const varve_schema *schema);
/* NULL when `column` is not below varve_schema_columns(). */
VARVE_API const varve_column_info *varve_schema_column(const varve_schema *schema, uint32_t column);
/* Case-insensitive unless `name` is double-quoted. ENOTFOUND names the column. */
VARVE_API varve_status varve_schema_find(const varve_schema *schema, const char *name,
                                         uint32_t *ret_column, varve_error *err);
/*
 * Write the CREATE TABLE text of `schema` into `out` (at most `size` bytes with the terminator).
 * `*ret_size` is the size needed, without the terminator, also when ELIMIT says it did not fit.
 */
VARVE_API varve_status varve_schema_text(const varve_schema *schema, char *out, size_t size,
                                         size_t *ret_size);

/*
 * Parse `size` bytes of text as a value of `column`. Text and blob results point into `text` or,
 * for blobs, into `scratch` (as large as the text). Timestamps: ISO 8601 (`2024-01-02`,
 * `2024-01-02 03:04:05.678+01:00`, `T`, `Z`), or an integer in the column's unit. ETYPE says what
 * is wrong with it.
 */
VARVE_API varve_status varve_value_parse(const varve_column_info *column, const char *text,
                                         size_t size, void *scratch, varve_value *ret_value,
                                         varve_error *err);

typedef enum varve_format_flags {
    VARVE_FORMAT_RAW_TIME = 1 /* timestamps, dates and times as integers */
} varve_format_flags;

/*
 * Write `value` as text that varve_value_parse() reads back to the same value: shortest digits of
 * doubles, exact decimals, ISO 8601 UTC. Returns the size needed without a terminator; writes at
 * most `size` bytes and no terminator. Null writes nothing.
 */
VARVE_API size_t varve_value_format(const varve_value *value, uint32_t flags, char *out,
                                    size_t size);

/* ------------------------------------------------------------------------------------- Store */

/* When a commit is acknowledged (docs/ARCHITECTURE.md, Durability). */
typedef enum varve_policy {
    VARVE_POLICY_DEFAULT = 0,       /* the store's */
    VARVE_POLICY_DURABLE_EACH = 1,  /* its own sync is done */
    VARVE_POLICY_DURABLE_GROUP = 2, /* a sync shared with other commits is done */
    VARVE_POLICY_INTERVAL = 3,      /* written; synced at the latest interval_ms later */
    VARVE_POLICY_OS = 4             /* written; synced when the operating system likes */
} varve_policy;

typedef enum varve_io_backend {
    VARVE_IO_AUTO = 0, /* io_uring if the kernel allows it, else POSIX */
    VARVE_IO_POSIX = 1,
    VARVE_IO_URING = 2 /* refuse to open where it is not allowed */
} varve_io_backend;

typedef enum varve_open_flags {
    VARVE_OPEN_CREATE = 1,    /* create the store if the directory is absent or empty */
    VARVE_OPEN_READ_ONLY = 2, /* no write permission needed; one consistent view, fixed at open.
                                 Beside a writer it may be some 20 ms old; while that recovers a
                                 crash, without the last commits before it */
    VARVE_OPEN_SALVAGE = 4 /* with READ_ONLY: open even if acknowledged log data is damaged or the
                                 disk does not give it back, and show the table files and the log
                                 up to there; varve_open_findings() says what is missing */
} varve_open_flags;

typedef enum varve_wal_tail {
    VARVE_WAL_TAIL_STRICT = 0, /* an ambiguous last batch refuses the open */
    VARVE_WAL_TAIL_CUT = 1     /* it is cut away, and told: varve_open_findings() */
} varve_wal_tail;

/*
 * Call varve_options_init(&options, sizeof options), then set what you need: zero or NULL means
 * the default. Fields are only ever appended, and struct_size says how many the caller knows.
 */
typedef struct varve_options {
    size_t struct_size;
    const struct varve_allocator *allocator; /* default: malloc; borrowed until close */
    struct varve_vfs *vfs;                   /* default: the real disk; borrowed until close */
    uint32_t flags;                          /* enum varve_open_flags */
    uint32_t io_backend;                     /* enum varve_io_backend; ignored with `vfs` */
    uint32_t policy;             /* enum varve_policy; default VARVE_POLICY_DURABLE_GROUP */
    uint32_t interval_ms;        /* VARVE_POLICY_INTERVAL: default 100, 1 .. 10000 */
    uint32_t wal_tail;           /* enum varve_wal_tail */
    uint32_t background_threads; /* default 2, at most 16; UINT32_MAX: none, the application
                                      calls varve_work(). What fails in them: varve_stats */
    uint64_t memory_limit;       /* bytes; default 256 MiB, at least 8 MiB. At the limit the cache
                                    gives way, then commits wait for a flush, then ELIMIT says
                                    what holds memory */
    uint64_t memtable_bytes;     /* flush the largest memtable when all tables' together have this
                                    size; default limit / 4, at most limit / 2 */
    uint64_t cache_bytes;        /* encoded vectors and index pages; default and most limit / 4 x 3:
                                    what memtables and scans do not use, since it gives way */
    uint64_t max_wal_bytes;      /* flush to keep the log below; default 4 x memtable_bytes */
    uint32_t wal_segment_bytes;  /* default 64 MiB, 64 KiB .. 512 MiB, a multiple of 4096 */
    uint32_t row_group_rows;     /* default 65536, 1024 .. 65536 */
    uint64_t window_seconds;     /* smallest event-time window of a file; 0: chosen by size */
    uint32_t flush_interval_ms;  /* flush what is older; default 600000 */
    uint32_t commit_queue;       /* commits in flight before EAGAIN; default 4096 */
    uint32_t file_mode;          /* default 0640 */
    uint32_t dir_mode;           /* default 0750 */
    uint64_t reserve_bytes;      /* kept on the disk so that a store on a full one can be opened and
                                    flushed, and its tables dropped. 0: room for two log segments
                                    (4 MiB each at first) and two copies of the manifest, growing
                                    with them. Any other size: log segments grow to half of it.
                                    At most 1 TiB; UINT64_MAX: none */
} varve_options;

VARVE_API void varve_options_init(varve_options *options, size_t struct_size);

/*
 * Open the store in directory `path` and recover it. After a crash recovery cuts away what at the
 * end of the log was not known to be durable: perhaps the last commits of interval and os (a power
 * cut takes them; the death of the process does not), but nothing that durable_each or
 * durable_group acknowledged, unless the disk lost what it had just confirmed.
 * varve_open_findings() tells. Any other damage is ECORRUPT, which names file, offset and log
 * range. Opening twice gives the same state. For writing, recovery may take up to 256 MiB whatever
 * memory_limit is, since it must read what a writer with more memory wrote; read-only, ELIMIT says
 * that the rows in the log do not fit in memory_limit. ENOTFOUND: `path` holds no store, and CREATE
 * was not asked for or there is something else in it. EBUSY: it is open for writing elsewhere.
 * ENOSPC: there is no room to open it for writing, even with its reserve; READ_ONLY works. EAGAIN
 * (READ_ONLY): it changes too fast just now, try again.
 */
VARVE_API varve_status varve_open(const char *path, const varve_options *options,
                                  varve_store **ret_store, varve_error *err);

/*
 * Flush nothing, make the log durable, seal it, and free everything (NULL is a no-op). Close
 * cursors, snapshots and batches first. What durable_each and durable_group acknowledged is on disk
 * already; what interval and os did gets there if this last sync succeeds, which nobody can be told:
 * call varve_wait_durable() before, to know.
 */
VARVE_API void varve_close(varve_store *store);

/* ------------------------------------------------------------------------------------ Tables */

/* Create a table from CREATE TABLE text. EEXISTS if there is one of that name; ELIMIT after
 * 4,294,967,294 of them, or if its definition takes more than a quarter of wal_segment_bytes. Durable
 * on return; EIO_SYNC: in doubt, as varve_commit() says. */
VARVE_API varve_status varve_table_create(varve_store *store, const char *text, varve_error *err);
/* Find a table by name (case-insensitive). The handle is valid until varve_close(). */
VARVE_API varve_status varve_table_open(varve_store *store, const char *name,
                                        varve_table **ret_table, varve_error *err);
/* Remove a table and, when no view needs them any more, its files. Durable on return; EIO_SYNC: in
 * doubt, as varve_commit() says. Works on a full disk, with the store's reserve. */
VARVE_API varve_status varve_table_drop(varve_store *store, const char *name, varve_error *err);
/* The `position`-th table in order of name (case-insensitive), or NULL. */
VARVE_API varve_table *varve_table_at(varve_store *store, uint32_t position);
/* Borrowed until varve_close(). */
VARVE_API const varve_schema *varve_table_schema(const varve_table *table);

/* ----------------------------------------------------------------------------------- Batches */

VARVE_API varve_status varve_batch_new(varve_store *store, varve_batch **ret_batch,
                                       varve_error *err);
VARVE_API void varve_batch_free(varve_batch *batch);
/* Forget the rows, keep the memory. */
VARVE_API void varve_batch_clear(varve_batch *batch);
VARVE_API uint64_t varve_batch_rows(const varve_batch *batch);
/* Bytes that the batch would take in the log, at most. */
VARVE_API uint64_t varve_batch_bytes(const varve_batch *batch);

typedef enum varve_put_flags {
    VARVE_PUT_UPDATE = 1,    /* CQL's UPDATE: write no row marker */
    VARVE_PUT_WRITE_TIME = 2 /* take varve_put.write_time instead of the commit's */
} varve_put_flags;

typedef struct varve_put {
    uint32_t flags; /* enum varve_put_flags */
    uint32_t reserved;
    int64_t write_time; /* microseconds since 1970, > INT64_MIN */
} varve_put;

/*
 * Add one row: `n` values in the schema's column order (trailing value columns may be left out:
 * they are UNSET). `put` may be NULL. ETYPE, ELIMIT (row, key or batch too large, or memory_limit
 * reached: the message tells which; the batch is unchanged), EUNSUPPORTED (an explicit write time
 * or UPDATE in a table that is not 'upsert').
 */
VARVE_API varve_status varve_batch_put_row(varve_batch *batch, const varve_table *table,
                                           const varve_value *values, uint32_t n,
                                           const varve_put *put, varve_error *err);

/* One column of rows to put. Arrays are borrowed during the call. */
typedef struct varve_array {
    uint32_t column;         /* number in the schema */
    uint32_t flags;          /* 0; VARVE_ARRAY_UNSET */
    const void *values;      /* boolean, tinyint: int8_t; smallint: int16_t; int, date: int32_t;
                                 float; double; uuid: 16 bytes each; text, blob: the bytes;
                                 everything else: int64_t */
    const uint32_t *offsets; /* text and blob: n + 1 positions in `values` */
    const int8_t *scales;    /* bare decimal: a scale for each */
    const uint8_t *validity; /* bit i (least significant first): row i has a value; NULL: all */
} varve_array;

#define VARVE_ARRAY_UNSET 1u /* an invalid row is UNSET instead of NULL */

/*
 * Add `n` rows by columns. Either `partition` gives the partition key's values (all rows belong to
 * it) or every partition key column is among `arrays`. Columns that are not named are UNSET.
 * All rows are added, or none. Errors as varve_batch_put_row(); err->row is the offending row.
 */
VARVE_API varve_status varve_batch_put_columns(varve_batch *batch, const varve_table *table,
                                               const varve_value *partition,
                                               const varve_array *arrays, uint32_t n_arrays,
                                               uint64_t n, const varve_put *put, varve_error *err);

/*
 * Say where the batch comes from, so that a retry is harmless: a batch whose `last` is not above
 * what `origin` (> 0) has had applied changes nothing and succeeds, whatever its epoch; sequence
 * numbers go on over epochs. One that only begins below it is applied whole in 'upsert' tables and
 * refused in others (EEXISTS). One that would bring something new under an older epoch than the
 * origin's last is refused (ESTALE).
 */
VARVE_API varve_status varve_batch_set_origin(varve_batch *batch, uint32_t origin, uint32_t epoch,
                                              uint64_t first, uint64_t last, varve_error *err);

/* The last sequence number that `origin` has had applied, 0 if none: where its sender goes on. Right
 * after an open it is durable, later as durable as the policy of its commit made it. */
VARVE_API uint64_t varve_origin_last(varve_store *store, uint32_t origin);

/* ----------------------------------------------------------------------------------- Commits */

/*
 * Commit `batch`: atomic and isolated across partitions and tables. On return the rows are
 * readable and have met `policy`. The batch is cleared on success and kept as it is on failure.
 * `ret_lsn` (may be NULL): log position after the record. EEXISTS sets err->row. ENOSPC: the disk
 * is full, or the reserve has been used and is not back; later commits succeed once there is room.
 * Where a flush may make room, for memory or on the disk, it waits for that: at most a minute in all.
 * EIO_SYNC: the commit is in doubt; it is there after the next open, or it is not. With every other
 * error it is not.
 */
VARVE_API varve_status varve_commit(varve_store *store, varve_batch *batch, varve_policy policy,
                                    uint64_t *ret_lsn, varve_error *err);

/*
 * Queue `batch` and return. With background threads that never waits for the disk; without them the
 * caller does a turn of work on the log, as varve_work() would. On success the batch belongs to the
 * store until its completion is reaped. EAGAIN: the queue or the memtables are full, nothing happened.
 * Where the flush that would make room goes on failing, its error is returned instead.
 */
VARVE_API varve_status varve_commit_start(varve_store *store, varve_batch *batch,
                                          varve_policy policy, uint64_t tag, varve_error *err);

typedef struct varve_completion {
    uint64_t tag;
    varve_status status;
    uint32_t reserved;
    uint64_t lsn;       /* after the record */
    uint64_t row;       /* offending row, or UINT64_MAX */
    varve_batch *batch; /* the caller's again; cleared if status is OK */
} varve_completion;

/* Take up to `max` completions, in the order of the queue, and do not wait for more (without background
 * threads: after a turn of work on the log). Returns how many. */
VARVE_API uint32_t varve_commit_reap(varve_store *store, varve_completion *out, uint32_t max);

/* A descriptor that is readable while completions wait. Borrowed until close; -1 if there is none. */
VARVE_API int varve_event_fd(varve_store *store);

/* Every log byte below this position is on disk. */
VARVE_API uint64_t varve_durable_lsn(varve_store *store);
/* Make every log byte below `lsn` durable (an `interval` or `os` commit, say), and wait for it. */
VARVE_API varve_status varve_wait_durable(varve_store *store, uint64_t lsn, varve_error *err);

/* ------------------------------------------------------------------------ Scans, aggregates */

typedef enum varve_op {
    VARVE_EQ = 1,
    VARVE_NE = 2,
    VARVE_LT = 3,
    VARVE_LE = 4,
    VARVE_GT = 5,
    VARVE_GE = 6
} varve_op;

/* A condition on a column; a null never satisfies one. -0.0 = 0.0, NaN = NaN and the greatest. */
typedef struct varve_predicate {
    uint32_t column;
    uint32_t op; /* enum varve_op */
    varve_value value;
} varve_predicate;

/* Values are ABI. */
typedef enum varve_function {
    VARVE_COUNT_ROWS = 1,
    VARVE_COUNT = 2, /* of values that are not null */
    VARVE_SUM = 3,   /* exact: VARVE_HUGEINT; of float and double the real sum, rounded once */
    VARVE_MIN = 4,
    VARVE_MAX = 5,
    VARVE_AVG = 6,   /* double */
    VARVE_FIRST = 7, /* by time; not null */
    VARVE_LAST = 8
} varve_function;

typedef struct varve_aggregate {
    uint32_t function; /* enum varve_function */
    uint32_t column;   /* ignored by COUNT_ROWS */
} varve_aggregate;

typedef enum varve_scan_flags {
    VARVE_SCAN_REVERSE = 1,        /* the same, last first: partitions, rows, groups */
    VARVE_SCAN_FROM = 2,           /* `from` counts */
    VARVE_SCAN_TO = 4,             /* `to` counts */
    VARVE_SCAN_BY_PARTITION = 8,   /* aggregate: a group per partition */
    VARVE_SCAN_NO_ZONE_MAPS = 16,  /* aggregate: read every value (the answer is the same) */
    VARVE_SCAN_DECLARED_ORDER = 32 /* varve_scan_open(): rows of a partition in the table's
                                      CLUSTERING ORDER, so newest first if its time is DESC */
} varve_scan_flags;

/*
 * Order. Partitions come in key byte order, and the rows of each oldest first: in the table's
 * CLUSTERING ORDER, or in its exact reverse where the time is DESC. DECLARED_ORDER turns the rows
 * of each partition there, never the partitions. Groups come by partition, then by bucket, oldest
 * first, whatever the table declares. REVERSE turns the whole result, partitions too, so that a
 * limit takes from the other end.
 */

/* Called now and then during a long scan; a return value other than 0 cancels it. */
typedef int (*varve_progress)(void *ctx, uint64_t rows, uint64_t bytes, double fraction);

/* Zero it (varve_scan_init), set struct_size, then what you need. Everything is borrowed until the
 * cursor is closed. Fields are only ever appended; EUNSUPPORTED: one is set that is not known here. */
typedef struct varve_scan {
    size_t struct_size;
    varve_snapshot *snapshot;          /* NULL: the state at open */
    uint32_t flags;                    /* enum varve_scan_flags */
    uint32_t n_columns;                /* 0: all */
    const uint32_t *columns;           /* of the result, in this order */
    const varve_value *partitions;     /* n_partitions keys, each of all partition key columns */
    uint64_t n_partitions;             /* 0: all partitions, or the key range */
    const varve_value *key_from;       /* first partition, inclusive; NULL: no bound */
    const varve_value *key_to;         /* last partition, exclusive; NULL: no bound */
    int64_t from;                      /* time, inclusive, in the time column's unit */
    int64_t to;                        /* time, exclusive */
    const varve_predicate *predicates; /* all must hold */
    uint32_t n_predicates;
    uint32_t n_aggregates; /* varve_aggregate_open() */
    const varve_aggregate *aggregates;
    uint64_t limit; /* rows or groups; 0: no limit */
    uint64_t limit_per_partition;
    int64_t every;           /* aggregate: bucket width in the time column's unit; 0: none */
    int64_t origin;          /* start of some bucket */
    varve_progress progress; /* may be NULL */
    void *progress_ctx;
} varve_scan;

VARVE_API void varve_scan_init(varve_scan *scan, size_t struct_size);

/*
 * Open a scan of rows. The cursor sees one consistent state, whatever is written meanwhile.
 * EINVAL says which part of `scan` is wrong.
 */
VARVE_API varve_status varve_scan_open(varve_store *store, const varve_table *table,
                                       const varve_scan *scan, varve_cursor **ret_cursor,
                                       varve_error *err);

/*
 * Open an aggregation: one row per group, in key and time order. Its columns are the partition key
 * columns (BY_PARTITION), then the bucket's start (`every`; the least value of the time column's type
 * where it would begin below), then the aggregates. A bucket without rows is not returned. Without any
 * group the result is exactly one row.
 */
VARVE_API varve_status varve_aggregate_open(varve_store *store, const varve_table *table,
                                            const varve_scan *scan, varve_cursor **ret_cursor,
                                            varve_error *err);

/* One column of a result, in Arrow's layout: 64-byte aligned, validity least significant bit first. */
typedef struct varve_column_view {
    const char *name;        /* of the table's column, or of the function */
    uint8_t type;            /* enum varve_type */
    uint8_t unit;            /* VARVE_TIMESTAMP */
    int8_t scale;            /* decimal(p, s) and sums of it */
    uint8_t bare;            /* decimal: 1 if `scales` holds */
    uint32_t nulls;          /* how many rows are null */
    const uint8_t *validity; /* NULL: no nulls */
    const void *values; /* as varve_array.values, but boolean: one bit a row; hugeint: 16 bytes */
    const uint32_t *offsets; /* text and blob: rows + 1 */
    const int8_t *scales;    /* bare decimal */
} varve_column_view;

typedef struct varve_batch_view {
    uint32_t rows; /* 1 .. 1024 */
    uint32_t n_columns;
    const varve_column_view *columns;
} varve_batch_view;

/*
 * The next rows. `*ret_view` is borrowed until the next call on the cursor. VARVE_END when there
 * are no more. After an error every further call returns the same error.
 */
VARVE_API varve_status varve_cursor_next(varve_cursor *cursor, const varve_batch_view **ret_view,
                                         varve_error *err);
/* One cell of a view; text and blobs borrowed as the view is. */
VARVE_API varve_value varve_view_value(const varve_batch_view *view, uint32_t row, uint32_t column);
/* Make the cursor's next or current call return ECANCELED soon. The one call for any thread. */
VARVE_API void varve_cursor_cancel(varve_cursor *cursor);
VARVE_API void varve_cursor_close(varve_cursor *cursor);

/* What a cursor has done so far. */
typedef struct varve_cursor_stats {
    uint64_t rows;          /* returned */
    uint64_t rows_examined; /* decoded */
    uint64_t vectors_read;
    uint64_t vectors_zone_map; /* answered from their zone map */
    uint64_t vectors_pruned;   /* not read thanks to time or zone map */
    uint64_t files;            /* consulted */
    uint64_t files_pruned;
    uint64_t bytes_read;
} varve_cursor_stats;

VARVE_API void varve_cursor_get_stats(const varve_cursor *cursor, varve_cursor_stats *ret_stats);

/* ---------------------------------------------------------------------------------- Advanced */

VARVE_API varve_status varve_snapshot_take(varve_store *store, varve_snapshot **ret_snapshot,
                                           varve_error *err);
VARVE_API void varve_snapshot_release(varve_snapshot *snapshot);

/* Iterate over partitions from directories only, nothing decoded: the columns are the partition
 * key, then `rows` (bigint, an upper bound where sources overlap and in a snapshot), `first` and
 * `last` (time; rows that were deleted count). Of `scan`, the partitions, key range, order, snapshot
 * and limit count. */
VARVE_API varve_status varve_partitions_open(varve_store *store, const varve_table *table,
                                             const varve_scan *scan, varve_cursor **ret_cursor,
                                             varve_error *err);

/* Split the table's partitions into about `n` even key ranges: up to n - 1 separators, each the
 * values of a partition key, one after the other in `*ret_keys` (freed by varve_keys_free). */
VARVE_API varve_status varve_table_split(varve_store *store, const varve_table *table, uint32_t n,
                                         varve_value **ret_keys, uint32_t *ret_n, varve_error *err);
VARVE_API void varve_keys_free(varve_store *store, varve_value *keys);

/* Write every memtable to files and wait for it. */
VARVE_API varve_status varve_flush(varve_store *store, varve_error *err);

/*
 * Do background work in this thread (log, flush, reserve) until `budget_us` microseconds have passed.
 * A step that has begun is finished: a flush goes by row groups, of row_group_rows rows and some 10 ms
 * by default, and by syncs. Returns VARVE_OK if something was done, VARVE_END if there was nothing to
 * do. Needed only when the store has no background threads, allowed always.
 * What fails is tried again after a pause and does not end the call, as in a background thread:
 * flush_failures and pinned_bytes of varve_stats tell of flushes, and of files that cannot be removed.
 */
VARVE_API varve_status varve_work(varve_store *store, uint64_t budget_us, varve_error *err);

/* Check every byte of the store's files: what each names, that each can be decoded, that counts,
 * order, statistics and hashes agree; each copy of what is stored twice, too. Calls `report` for each
 * problem; ECORRUPT if there was any. What the disk does not give back is such a problem (of status EIO),
 * and the rest is checked; EIO is returned for what says nothing of the store, as a want of descriptors.
 * With SALVAGE, all of a store whose log is damaged. */
typedef void (*varve_verify_report)(void *ctx, const varve_error *problem);
VARVE_API varve_status varve_verify(varve_store *store, varve_verify_report report, void *ctx,
                                    varve_progress progress, void *progress_ctx, varve_error *err);

/*
 * What an open got past.
 * CUT      the end of the log: not taken, because a crash left it unfinished or (with
 *          VARVE_WAL_TAIL_CUT) damaged. Open for writing has cut it away and keeps the file aside;
 *          read-only only says what the next such open will do.
 * KEPT     a file that an earlier open cut the end from, still kept aside.
 * MISSING  VARVE_OPEN_SALVAGE: damaged, or (status EIO) not given back by the disk; from there on no log
 *          is shown.
 */
typedef enum varve_finding {
    VARVE_FOUND_CUT = 1,
    VARVE_FOUND_KEPT = 2,
    VARVE_FOUND_MISSING = 3
} varve_finding;

/*
 * Call `report` for each finding of this store's open. `detail` is borrowed during the call and says
 * in words what it is; `file`, `offset` and the range `lsn` .. `lsn_end` say where (a range over several
 * files is told once for each). A file kept aside stays until an open for writing finds that all the log
 * before the cut is in table files: flush, and open again.
 */
typedef void (*varve_finding_report)(void *ctx, varve_finding kind, const varve_error *detail);
VARVE_API void varve_open_findings(const varve_store *store, varve_finding_report report,
                                   void *ctx);

/* In a forked child: close the descriptors that the child inherited, without touching what the parent
 * has (with `vfs` in the options that is the application's to do). The handle must not be used again;
 * its memory stays until the child ends or executes another program, since the parent may have held
 * any lock at the fork. */
VARVE_API void varve_abandon(varve_store *store);

/*
 * What fails in the background, or was made good, and no call returns:
 * flush_failures  flushes that failed one after the other. Each is tried again after a pause, of 5 s at
 *                 most; until one succeeds rows stay in log and memory. 0 after one that succeeds, and
 *                 when none is owed any more, since the tables were dropped.
 * flush_status    varve_status of the last of them, and 0 whenever flush_failures is. varve_flush()
 *                 tries again at once and says why in words.
 * repairs         how often the open, or a read since, found metadata damaged or not given back by the
 *                 disk and went on. Of a manifest: it took the other copy of a seal, snapshot or edit.
 *                 Of a file: it took the other copy of footer, sections, directory or index, or did
 *                 without header, key filter or zone map. Of the log, if the open recovers it: it
 *                 repeated a read that failed, or took the end of a segment from the next one. What was
 *                 read is right; not 0 means that varve_verify() should be called, which says where. A
 *                 power cut may leave such a place, too, which the next open for writing makes good;
 *                 and a reader may meet one that another process is just writing.
 */
typedef struct varve_stats {
    size_t struct_size;
    uint32_t io_backend; /* enum varve_io_backend in use */
    uint32_t failed;     /* varve_status that made the store FAILED, or 0 */
    uint32_t tables;
    uint32_t files;
    uint64_t rows_written; /* since open */
    uint64_t rows_dropped; /* below a floor, since open */
    uint64_t batches;
    uint64_t batches_repeated; /* recognised by their origin */
    uint64_t bytes_given;      /* raw bytes of the rows written since open */
    uint64_t bytes_log;        /* submitted to the log, without pre-zeroing */
    uint64_t bytes_prezero;
    uint64_t bytes_flush;
    uint64_t bytes_manifest;
    uint64_t syncs;
    uint64_t flushes;
    uint64_t file_rows; /* in files */
    uint64_t file_bytes;
    uint64_t memtable_rows;
    uint64_t memtable_bytes;
    uint64_t memory_used; /* all that the allocator counts */
    uint64_t memory_peak;
    uint64_t memory_limit;
    uint64_t cache_bytes;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t wal_bytes; /* of segments on disk that hold data */
    uint64_t wal_segments;
    uint64_t lsn_durable; /* read-only: known durable then; with no writer, what recovery keeps */
    uint64_t lsn_committed;
    uint64_t lsn_replay;        /* replay would start here */
    uint64_t recovered_records; /* by the open */
    uint64_t cut_lsn;           /* what recovery cut away (read-only: would cut), or both 0 */
    uint64_t cut_lsn_end;       /* varve_open_findings() says more */
    uint64_t views;             /* snapshots and cursors alive */
    uint64_t pinned_bytes;      /* files kept only for them, or that cannot be removed as yet */
    uint64_t stall_us_total;    /* commits held back */
    uint64_t stall_us_worst;
    uint64_t clock_suspect;  /* 1: after a reboot the clock moved too far to be believed */
    uint64_t reserve_bytes;  /* kept on the disk for the time when it is full */
    uint64_t reserve_wanted; /* what it should be; more: there was no room. Read-only: 0, unknown */
    uint64_t reserve_spent;  /* 1: it has been used; commits get ENOSPC until it is back */
    uint64_t cut_doubtful;   /* 1: what was cut was damaged; it may have been acknowledged */
    uint64_t flush_failures; /* in a row; above */
    int64_t flush_status;    /* of the last of them: varve_status, or 0; above */
    uint64_t repairs;        /* above */
} varve_stats;

/* Set struct_size first. */
VARVE_API void varve_get_stats(varve_store *store, varve_stats *ret_stats);

/* Counters of one table. */
typedef struct varve_table_stats {
    size_t struct_size;
    uint64_t partitions; /* upper bound: counted once per file */
    uint64_t file_rows;
    uint64_t file_bytes;
    uint64_t files;
    uint64_t memtable_rows;
    uint64_t memtable_bytes;
    uint64_t memtable_partitions;
    int64_t first_time; /* of all files and the memtable; first > last: no rows */
    int64_t last_time;
    uint64_t flushed_lsn;
} varve_table_stats;

VARVE_API void varve_table_get_stats(varve_store *store, const varve_table *table,
                                     varve_table_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif /* VARVE_VARVE_H */
