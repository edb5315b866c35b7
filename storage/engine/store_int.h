/*
 * store_int.h - what an open store is made of. Private to storage/engine.
 *
 * Lock order, outermost first: flush token, log token, segment lock, manifest lock, reserve lock,
 * view lock, queue lock, file table lock. docs/ARCHITECTURE.md says what each covers; here every field names its own.
 */
#ifndef VARVE_ENGINE_STORE_INT_H
#define VARVE_ENGINE_STORE_INT_H

#include <varve/vfs.h>

#include <assert.h>

#include "storage/base/mutex.h"
#include "storage/base/vec.h"
#include "storage/batch/batch.h"
#include "storage/manifest/manifest.h"
#include "storage/memtable/memtable.h"
#include "storage/sst/sst_reader.h"
#include "storage/sst/vector_cache.h"
#include "storage/wal/wal_writer.h"

#define VARVE_GROUPS_MAX VARVE_WAL_DEPTH_MAX /* groups of commits in flight */
#define VARVE_GROUPS_BUSY 3u                 /* in flight: the disk has enough to do */
#define VARVE_GROUP_BYTES (1u << 20)         /* payload after which a group is full */
#define VARVE_THREADS_MAX 16u
#define VARVE_EPOCHS_MAX 1024u /* the newest are kept */
#define VARVE_IDLE_SEAL_US 20000
#define VARVE_REAP_SPIN_US 40   /* how long to wait for the disk while commits may still join */
#define VARVE_COMPANY 64        /* commits on their own before no other is expected */
#define VARVE_FILE_ID_CHUNK 64u /* file ids made durable ahead of use */
#define VARVE_KEPT_MAX 16u      /* files that cuts have left; of more the oldest go */
#define VARVE_LOCK_FILE "LOCK"
#define VARVE_READERS_FILE "READERS"
#define VARVE_PIN_BASE ((uint64_t)1 << 40) /* READERS: version v is byte PIN_BASE + v */

/* ------------------------------------------------------------------------ Tables, memtables */

/* What each origin has had applied, ascending by id. */
struct varve_origins {
    struct varve_origin_entry *items;
    size_t count, capacity;
};

/* The log's state just before a record, as the manifest's replay state wants it. Owns `origins`. */
struct varve_log_point {
    uint64_t lsn;
    uint64_t index, term, chain;
    int64_t hlc;
    uint32_t n_origins;
    struct varve_origin_entry *origins;
};

/*
 * A memtable in the life of the store: ACTIVE (takes new reservations), RETIRING (a newer one is
 * active; commits in flight still come here), FLUSHABLE (nothing more comes and everything is
 * published), gone.
 */
struct varve_generation {
    struct varve_generation *next; /* newer; the last one is active. View lock */
    struct varve_memtable *memtable;
    struct varve_table *table;
    uint64_t pending; /* sections reserved and not yet applied. Log token */
    struct varve_log_point
        start;        /* before its first record; lsn UINT64_MAX: no record. Log token */
    int64_t born_us;  /* boot clock of its first record */
    uint64_t number;  /* ascending over all tables; fixed */
    uint64_t counted; /* of its bytes, how many the store's sums contain. Log token */
    struct varve_generation *next_touched; /* log token */
    bool touched;                          /* applied to and not published. Log token */
    bool flushable;                        /* queue lock */
};

struct varve_table {
    varve_store *store;
    struct varve_schema *schema;       /* owned reference */
    _Atomic(bool) dropped;             /* set by the log token's holder, with the view lock */
    bool dropping;                     /* its drop has been judged. Log token */
    struct varve_generation *oldest;   /* view lock for the list; the log token makes new ones */
    struct varve_generation *active;   /* log token */
    struct varve_generation *retiring; /* the one before, while commits still go there. Log token */
    struct varve_table *next_retiring; /* log token */
    struct varve_table *older, *newer; /* in the list of those that take rows. Log token */
    uint64_t flushed_lsn; /* from the manifest; replay skips records below. Open only */
};

/* --------------------------------------------------------------------------------- Commits */

enum varve_commit_state { VARVE_COMMIT_QUEUED = 1, VARVE_COMMIT_IN_FLIGHT, VARVE_COMMIT_DONE };

/* One commit on its way. Blocking ones live on their caller's stack, others in the heap. */
struct varve_pending {
    struct varve_pending *next; /* queue, group or completion list */
    varve_batch *batch;         /* DATA */
    uint8_t type;               /* enum varve_wal_type: DATA, SCHEMA, TABLE_DROP */
    uint8_t policy;             /* enum varve_policy, resolved */
    bool asynchronous;
    bool logged;   /* it has a record that changes something when applied */
    bool repeated; /* recognised by its origin: a NOOP keeps its place */
    bool waits;    /* it waits for a flush rather than take memory that flushes need */
    uint8_t state; /* enum varve_commit_state. Queue lock */
    uint64_t tag;
    struct varve_schema *schema;       /* SCHEMA: the new table's; owned reference */
    struct varve_table *table;         /* SCHEMA: made when judged; DROP: the table */
    struct varve_buffer payload;       /* SCHEMA, DROP */
    struct varve_generation **targets; /* of each section: inline_targets or heap memory */
    struct varve_generation *inline_targets[4];
    uint32_t n_targets;
    uint32_t reserved;
    struct varve_wal_record record;
    uint64_t lsn_end;
    uint64_t queued_us;
    varve_error error; /* error.status is the commit's */
};

struct varve_pending_list {
    struct varve_pending *first, *last;
};

/* Commits that were submitted together. Those without a record keep their place among the others. */
struct varve_commit_group {
    struct varve_pending_list commits;
    uint64_t ticket;
};

/* ----------------------------------------------------------------------------------- Files */

struct varve_open_file {
    struct varve_open_file *next; /* hash chain */
    uint64_t id;
    struct varve_sst *sst; /* one reference of the table's */
    uint64_t used;         /* clock value of the last use */
};

/* Left the store at version `version`; unlinked when neither a view nor a reader needs it. */
struct varve_obsolete {
    uint64_t id;
    uint64_t version;
    uint64_t bytes;
    uint8_t kind; /* enum varve_file_kind */
};

struct varve_file_table {
    struct varve_mutex lock;
    struct varve_open_file *buckets[256];
    uint32_t open;
    uint32_t open_max;
    uint64_t tick;
    struct varve_obsolete *obsolete;
    size_t n_obsolete, obsolete_capacity;
    bool removing; /* a thread walks the list; only additions meanwhile */
};

/* ----------------------------------------------------------------------------------- Views */

struct varve_view_table {
    uint32_t table_id;
    uint32_t n_memtables;
    bool dropped;                          /* before the view was taken: nothing of it is seen */
    struct varve_memtable_view *memtables; /* oldest first; each with a reference */
};

/* A fixed state of the whole store, or of one table of it. */
struct varve_view {
    _Atomic(uint32_t) refs;
    varve_store *store;
    struct varve_view *next, *prev; /* all views. View lock */
    struct varve_version *version;
    uint64_t commit_lsn;
    int64_t now_us; /* safe_now */
    uint32_t n_tables;
    struct varve_view_table *tables;
};

/* ----------------------------------------------------------------------------------- Store */

enum varve_reserve_state { /* reserve.c */
                           VARVE_RESERVE_NONE = 0,
                           VARVE_RESERVE_WHOLE,
                           VARVE_RESERVE_SPENT
};

/* What the open got past: finding.c. */
struct varve_finding_entry {
    varve_finding kind;
    varve_error detail;
};

struct varve_flush; /* flush.c */

struct varve_store {
    struct varve_heap heap;
    struct varve_vfs *vfs;
    bool owns_vfs;
    bool read_only;
    bool beside_writer; /* read-only: another process had it open for writing. Fixed at open */
    bool threaded;      /* background threads exist */
    int64_t pid;
    varve_options options; /* every default filled in */
    struct varve_file *lock_file;
    struct varve_file *readers_file;
    struct varve_cache *cache;
    struct varve_finding_entry *findings; /* fixed at open */
    size_t n_findings, findings_capacity;

    struct varve_mutex manifest_lock;
    struct varve_manifest *manifest; /* manifest lock */
    uint64_t next_file_id;           /* manifest lock; ids below file_id_limit are persisted */
    uint64_t file_id_limit;
    uint64_t file_id_floor; /* manifest lock; what is below was given under an earlier generation */
    /* Its creation (its drop, if it is dropped) is in the log and applied, but its edit of the manifest
     * has failed so far, and left nothing in doubt. Manifest lock; NULL: nothing is owed. */
    struct varve_table *owed;
    uint64_t pinned_version; /* read-only: what READERS holds */

    struct varve_mutex reserve_lock; /* covers the file RESERVE */
    _Atomic(uint32_t) reserve_state; /* enum varve_reserve_state; written under the queue lock */
    uint64_t reserve_bytes;          /* of the file. Queue lock, like all that follows */
    uint64_t reserve_wanted;         /* that it should have; 0: not known yet, or none */
    uint64_t reserve_look_us;        /* boot clock: not to be looked at before */
    uint64_t reserve_pause_us;       /* before the next attempt to make it */
    varve_error reserve_error;       /* of the last one; status OK: none failed */

    struct varve_mutex view_lock;
    struct varve_version *version; /* view lock */
    uint64_t commit_lsn;           /* view lock */
    struct varve_view *views;      /* view lock */
    uint64_t n_views;              /* view lock */
    struct varve_table **tables;   /* view lock; ascending by name; dropped ones too */
    struct varve_table **by_id;    /* the same, ascending by id */
    size_t n_tables, tables_capacity, by_id_capacity;
    int64_t safe_now_us;  /* view lock */
    int64_t safe_boot_us; /* boot clock at safe_now_us */
    uint8_t boot_id[16];  /* fixed at open; zeros: unknown */
    bool clock_suspect;

    struct varve_mutex queue_lock;
    struct varve_cond commit_done;   /* blocking committers */
    struct varve_cond work;          /* background threads */
    struct varve_pending_list queue; /* queue lock */
    uint32_t queued;                 /* commits queued or in flight. Queue lock */
    uint32_t waiters;                /* of them those that a caller waits for. Queue lock */
    uint32_t company;                /* > 0: commits have met of late. Queue lock */
    struct varve_pending_list done;  /* completions to reap. Queue lock */
    bool log_taken;                  /* the log token. Queue lock */
    uint32_t log_claims;             /* threads that must have it next. Queue lock */
    bool flush_taken;                /* the flush token. Queue lock */
    bool closing;                    /* queue lock */
    uint64_t timer_us;               /* boot clock of the last housekeeping. Queue lock */
    varve_error failure;             /* status != OK: the store is FAILED. Queue lock */
    int event_fd;

    /* Log token */
    struct varve_wal_writer *wal;
    struct varve_pending_list intake; /* taken from the queue, not yet judged */
    struct varve_pending_list opened; /* of the group being filled */
    struct varve_commit_group groups[VARVE_GROUPS_MAX];
    uint32_t group_first, n_groups;   /* ring of groups in flight */
    struct varve_log_point appended;  /* after the last record appended; no origins */
    uint64_t next_generation;         /* number of the next memtable */
    struct varve_table *retiring;     /* tables that have a retiring memtable */
    struct varve_generation *touched; /* applied to since the last publish */
    /* Tables whose active memtable has taken a record, by the place of its first one in the log. */
    struct varve_table *oldest_filling, *newest_filling;
    uint64_t filling_bytes;         /* of their active memtables */
    struct varve_origins judged;    /* origins up to the last record appended */
    struct varve_origins origins;   /* ... applied; changed with the queue lock, too */
    struct varve_log_point applied; /* after the last record applied; without origins */
    uint64_t term; /* of the records written since the open; `appended` has that of the last one */
    _Atomic(uint32_t) next_table_id;    /* verification reads it without the token */
    uint32_t n_epochs, epochs_capacity; /* fixed at open */
    struct varve_epoch *epochs;
    bool log_full;              /* the last segment asked for found no room */
    uint64_t last_append_us;    /* boot clock; 0: nothing since the last idle seal */
    bool interval_used;         /* some commit had VARVE_POLICY_INTERVAL */
    uint64_t unsynced_since_us; /* oldest byte acknowledged and not synced; 0: none */
    uint64_t memtable_bytes;    /* of all generations, at the last turn. Queue lock */
    uint64_t waiting_bytes;     /* of those that take no more rows. Queue lock */
    uint32_t n_flushable;       /* memtables that wait for a flush. Queue lock */
    uint32_t n_dropped;         /* tables dropped whose memtables have not been freed. Queue lock */
    uint64_t n_relieved;        /* how often memtables, or log, have been let go. Queue lock */

    /* Queue lock: between the task that makes segments, the log token, and the next edit */
    struct varve_mutex segment_lock;         /* makes segments; taken before the manifest lock */
    struct varve_wal_segment *ready_segment; /* not yet listed in the manifest */
    uint64_t segment_bytes;                  /* size of the next one; 0: none was made yet */
    bool segment_wanted;
    uint64_t segment_retry_us;            /* boot clock: none is made ahead of need before then */
    struct varve_segment_entry sealed[8]; /* not yet noted in the manifest */
    uint32_t n_sealed;

    /* Flush token */
    struct varve_flush *flush;
    /* Attempts at a flush are counted from 1. Queue lock */
    uint64_t flush_attempts;  /* how many have begun */
    uint64_t flush_failed;    /* the last one that failed; 0: none */
    uint64_t flush_hurried;   /* after this one, the next is to come without a pause */
    bool replay_wanted;       /* log could go that no flush would let go. Queue lock */
    uint64_t replay_retry_us; /* boot clock. Queue lock */
    uint64_t flush_retry_us;  /* boot clock. Queue lock */
    varve_error flush_error;  /* of the last failure in a row; status OK: none. Queue lock */

    struct varve_file_table files;
    _Atomic(uint64_t) repairs; /* of files and log; the manifest counts its own */
    pthread_t threads[VARVE_THREADS_MAX];
    uint32_t n_threads;

    varve_stats stats; /* counters. Queue lock */
};

/* store_state.c */

/* Every public call begins with this: EINVAL (NULL), EFORKED. */
varve_status varve_store_enter(const varve_store *store, varve_error *err);
/* The first failure, or OK. Takes the queue lock. */
varve_status varve_store_failure(varve_store *store, varve_error *err);
/* Make the store FAILED (the first call counts). Takes the queue lock. */
void varve_store_fail(varve_store *store, const varve_error *err);

int64_t varve_store_wall_us(const varve_store *store);
int64_t varve_store_boot_us(const varve_store *store);
/* Once the version is known, before anything is served: continue the time of the last open. Within the
 * same boot it goes on by elapsed BOOTTIME; after a reboot the wall clock is believed if it is within
 * 30 days of the last value, else the store is clock-suspect and time stands. */
void varve_store_start_clock(varve_store *store);
/* Advance and return safe_now: as fast as the wall clock, never faster than BOOTTIME. */
int64_t varve_store_safe_now_locked(varve_store *store) VARVE_REQUIRES(&store->view_lock);

/* table.c */
struct varve_table *varve_store_table_by_id(varve_store *store, uint32_t table_id);
struct varve_table *varve_store_table_by_name(varve_store *store, const char *name);
/* Make a table with room in the store's list (log token or open), then link it, which cannot fail,
 * or let it go. */
varve_status varve_table_new(varve_store *store, const struct varve_schema *schema,
                             struct varve_table **ret_table, varve_error *err);
void varve_table_link(struct varve_table *table);
void varve_table_discard(struct varve_table *table); /* NULL is a no-op */
void varve_store_tables_free(varve_store *store);
struct varve_generation *varve_generation_new(struct varve_table *table, varve_error *err);
void varve_generation_free(struct varve_generation *generation);

/* log_point.c */
varve_status varve_log_point_copy(struct varve_heap *heap, struct varve_log_point *to,
                                  const struct varve_log_point *from, varve_error *err);
void varve_log_point_free(struct varve_heap *heap, struct varve_log_point *point);
const struct varve_origin_entry *varve_origin_find(const struct varve_origin_entry *origins,
                                                   size_t n, uint32_t id);
/* Room for one more, so that the next put cannot fail. False: no memory. */
bool varve_origins_reserve(struct varve_heap *heap, struct varve_origins *origins);
void varve_origins_put(struct varve_origins *origins, const struct varve_origin *origin);
void varve_origins_free(struct varve_heap *heap, struct varve_origins *origins);

#endif
