/*
 * manifest.h - WRITE 5: which files are the store. Sealed generations, edits, and the order in
 * which names and files come and go.
 *
 * Place.   A flush, a new segment, a new table: each becomes part of the store by one edit, which
 *          takes effect in memory only after its sync. Recovery starts here.
 * File     MANIFEST-%016x (generation): a snapshot of the whole state, stored twice in two extents,
 *          sealed; then edits, in the page frames of the log (page_format.h). A new generation is
 *          written to a .tmp name, synced, renamed, and the directory synced; open takes the
 *          highest generation; the previous one stays until the next switch.
 *
 * Invariants
 *   N1  Whatever the crash, the directory holds one generation that opens and names only files that
 *       are durable with their directory entries.
 *   N2  After a failed edit nothing more is written: the first error is returned for ever. An edit
 *       that is refused, or lacks memory or room or a file descriptor, has changed nothing and is
 *       no such failure.
 *   N3  A .tmp generation is ignored and collected. One that has its name was whole and durable
 *       before: if its seals are damaged now the open is refused, since an older generation would
 *       pass off an older state as the newest.
 *   N4  A damaged page in the middle of the edits (a later valid page proves it) is ECORRUPT and
 *       never cut; a torn tail, whose edit was never acted upon, is. A page that the disk does not give
 *       back is made good by its copy, or else it is EIO: never the end, and never ECORRUPT, since it may
 *       be sound when it is read again.
 *   N5  A file that was there before is never written to: the first edit after an open starts a new
 *       generation.
 *
 * Threads. One at a time (the engine's manifest lock); published versions may be read by any.
 */
#ifndef VARVE_MANIFEST_MANIFEST_H
#define VARVE_MANIFEST_MANIFEST_H

#include <varve/vfs.h>

#include "storage/manifest/version.h"

struct varve_manifest;

/* One change of state, applied as a whole. Zero it, then set what changes. Arrays are borrowed. */
struct varve_edit {
    const struct varve_schema **put_schemas; /* new tables and new versions of old ones */
    uint32_t n_put_schemas;
    uint32_t n_drop_tables;
    const uint32_t *drop_tables;
    const struct varve_file_entry *add_files; /* table from properties.table_id */
    uint32_t n_add_files;
    uint32_t n_drop_files;
    const uint64_t *drop_files;
    struct varve_table_marks {
        uint32_t table_id;
        uint64_t flushed_lsn;    /* 0: unchanged */
        int64_t retention_floor; /* INT64_MIN: unchanged */
        int64_t write_floor;     /* INT64_MIN: unchanged */
    } const *marks;
    uint32_t n_marks;
    uint32_t n_put_segments; /* new ones, and new states of old ones, by id */
    const struct varve_segment_entry *put_segments;
    const uint64_t *drop_segments;
    uint32_t n_drop_segments;
    uint32_t n_keep_segments;   /* after drop_segments */
    uint32_t n_let_go_segments; /* before keep_segments */
    const struct varve_kept_segment *keep_segments;
    const uint64_t *let_go_segments;
    uint32_t set_flags; /* enum varve_edit_flags: which of the following count */
    struct varve_replay_state replay;
    uint64_t durable_lsn;
    int64_t safe_now_us;
    int64_t boot_us;
    uint8_t boot_id[16];
    uint8_t incarnation[16];
    uint64_t next_file_id;  /* only ever grows */
    uint32_t next_table_id; /* only ever grows */
    uint64_t next_lsn;      /* only ever grows */
};

enum varve_edit_flags {
    VARVE_EDIT_REPLAY = 1,
    VARVE_EDIT_DURABLE = 2,
    VARVE_EDIT_CLOCK = 4, /* safe_now_us, boot_us, boot_id */
    VARVE_EDIT_INCARNATION = 8,
    VARVE_EDIT_NEXT_FILE = 16,
    VARVE_EDIT_NEXT_TABLE = 32,
    VARVE_EDIT_NEXT_LSN = 64
};

/* Make the first generation of a new store (durable on return, directory synced). The caller has
 * made sure that there is none. */
varve_status varve_manifest_create(struct varve_vfs *vfs, struct varve_heap *heap,
                                   struct varve_manifest **ret_manifest, varve_error *err);

/* Open the newest sealed generation and apply its edits. ENOTFOUND: no generation is there.
 * read_only: nothing is written or collected; edits are read as far as they are valid, and the file
 * may grow meanwhile (varve_manifest_refresh). */
varve_status varve_manifest_open(struct varve_vfs *vfs, struct varve_heap *heap, bool read_only,
                                 struct varve_manifest **ret_manifest, varve_error *err);
/* read_only: see later edits or a later generation. *ret_changed says whether there were any since
 * the open or the last refresh that succeeded. After a failure the handle is as usable as before. */
varve_status varve_manifest_refresh(struct varve_manifest *manifest, bool *ret_changed,
                                    varve_error *err);
void varve_manifest_close(struct varve_manifest *manifest);

/*
 * Every page of the newest generation, each copy by itself: what is damaged is told though the other copy
 * makes it good. Older generations are not looked at: nothing ever believes them. Behind the last edit
 * there is room, of which nothing is believed, and an edit that a crash left unfinished looks like many
 * things there: a page that no write leaves is told all the same. `live`: a writer is at work, so that
 * what stands last may be half written. The status is that of opening it.
 */
varve_status varve_manifest_verify(struct varve_vfs *vfs, struct varve_heap *heap, bool live,
                                   varve_verify_report report, void *ctx, varve_error *err);

/* The current version, with a reference for the caller. */
struct varve_version *varve_manifest_version(const struct varve_manifest *manifest);

/* Write, sync, then publish. On failure nothing has changed in memory, and nothing on the disk either
 * unless the manifest is failed (N2). EINVAL: the edit contradicts the state. Switches to a new
 * generation by itself when the edits outgrow the snapshot (at least 256 KiB). */
varve_status varve_manifest_apply(struct varve_manifest *manifest, const struct varve_edit *edit,
                                  varve_error *err);

/* Start a new generation now, so that a doubtful tail is met only once. Failures as above. */
varve_status varve_manifest_switch(struct varve_manifest *manifest, varve_error *err);

/* Whether nothing is written any more, since what is on the disk is unknown (N2). */
bool varve_manifest_is_failed(const struct varve_manifest *manifest);

uint64_t varve_manifest_bytes(const struct varve_manifest *manifest); /* written since open */
/* How often something that was damaged was read from its other copy, since open. */
uint64_t varve_manifest_repairs(const struct varve_manifest *manifest);
/* Size of the generation's file; about that of the next one. */
uint64_t varve_manifest_file_bytes(const struct varve_manifest *manifest);
uint64_t varve_manifest_generation(const struct varve_manifest *manifest);

/* File names of the store. `out` has room for VARVE_FILE_NAME_MAX. */
#define VARVE_FILE_NAME_MAX 32u
void varve_file_name_sst(uint64_t id, char *out);
void varve_file_name_wal(uint64_t id, char *out);
void varve_file_name_manifest(uint64_t generation, char *out);
/* What a directory entry is: its kind and number. */
enum varve_file_kind {
    VARVE_FILE_OTHER,
    VARVE_FILE_SST,
    VARVE_FILE_WAL,
    VARVE_FILE_MANIFEST,
    VARVE_FILE_MANIFEST_TMP,
    VARVE_FILE_LOCK,
    VARVE_FILE_READERS
};
enum varve_file_kind varve_file_name_parse(const char *name, uint64_t *ret_id);
/* The name of an SSTable or of a log segment. */
void varve_file_name_of(enum varve_file_kind kind, uint64_t id, char *out);

#endif
