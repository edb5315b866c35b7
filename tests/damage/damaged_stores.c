/*
 * damaged_stores.c - small stores with one thing wrong on the disk: a flipped bit, a cut, a lost,
 * swapped or foreign sector, a file that is another's, a newer format; and, in the log, two such things.
 *
 * Each damaged disk is opened to write and to read only, and every table is scanned. Either all
 * answers are the truth, or an error names the file that was damaged, and tables in other files are
 * still read. Never a wrong row, a missing row without an error, a crash or a leak. varve_verify()
 * sees what a scan sees, and more.
 *
 * A flipped bit in any byte of these is noticed, by the open, by a scan or by varve_verify(), which
 * then names the file, whether or not a second copy made good what was read:
 *     - an SSTable: every byte;
 *     - a log segment: every byte of every page up to the last one that was written;
 *     - the newest manifest: the same, by a store that is open to read only (an open for writing makes
 *       a new one at once).
 * Of the rest nothing is believed, and a flipped bit there must not matter: what is behind the last
 * page written of a segment or a manifest, a segment made ahead, older generations of the manifest,
 * RESERVE. LOCK and READERS are left out: they have no content.
 *
 *     damaged_stores clean|dirty    every byte and length with VARVE_FULL=1, else an even choice of
 *                                   them (always of bytes that no check covers)
 *
 * A clean store was closed; a dirty one has a log that no seal vouches for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/manifest/manifest.h"
#include "storage/wal/page_format.h"
#include "tests/lib/run_share.h"
#include "tests/lib/store_rig.h"

#define HANG_SECONDS 60u
#define FILES_MAX 32u
#define SECTOR 512u

struct disk_file {
    char name[VARVE_SIM_NAME_MAX];
    uint64_t size;
    enum varve_file_kind kind;
    uint8_t *bytes;
};

struct disk_store { /* a closed store, its files and the truth about it */
    struct store_rig rig;
    struct disk_file files[FILES_MAX];
    uint32_t n_files;
};

struct counts {
    uint64_t flips, tried, same, refused_open, refused_scan, verify_only;
};

static const char *const kind_names[] = {"other",    "sstable", "segment", "manifest",
                                         "manifest", "lock",    "readers"};

/* -------------------------------------------------------------------------------- The stores */

static int note_file(void *ctx, const char *name)
{
    struct disk_store *d = ctx;
    struct disk_file *file = &d->files[d->n_files];
    uint64_t id;

    file->kind = varve_file_name_parse(name, &id);
    if (file->kind == VARVE_FILE_LOCK || file->kind == VARVE_FILE_READERS)
        return 0;
    if (d->n_files == FILES_MAX)
        rig_die(&d->rig, "too many files");
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    file->size = (uint64_t)varve_sim_size(d->rig.sim, name);
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL ||
        varve_sim_read(d->rig.sim, name, 0, file->bytes, file->size) != (int64_t)file->size)
        rig_die(&d->rig, "a file cannot be read");
    d->n_files++;
    return 0;
}

static void check(struct store_rig *rig, varve_status rc)
{
    if (rc < 0)
        rig_die(rig, "the store cannot be made");
}

/* Two tables, files and a log. `clean`: closed, so that the log is sealed; else killed. */
static void make_store(struct disk_store *d, uint64_t seed, bool clean)
{
    struct store_rig *rig = &d->rig;

    memset(d, 0, sizeof *d);
    rig_setup(rig, seed);
    (void)snprintf(rig->label, sizeof rig->label, "store %" PRIu64, seed);
    check(rig, rig_open(rig, VARVE_OPEN_CREATE));
    for (uint32_t t = 0; t < RIG_TABLES; t++)
        check(rig, rig_create_table(rig, t));
    for (uint32_t b = 0; b < 24; b++)
        check(rig, rig_commit(rig, b % RIG_TABLES, b, VARVE_POLICY_OS, true));
    check(rig, rig_flush(rig));
    check(rig, rig_work(rig));
    for (uint32_t b = 24; b < 30; b++)
        check(rig, rig_commit(rig, b % RIG_TABLES, b, VARVE_POLICY_DURABLE_GROUP, false));
    varve_sim_clock_advance(rig->sim, 1000000); /* the log notes what was acknowledged last */
    check(rig, rig_work(rig));
    if (clean)
        rig_close(rig);
    else
        rig_kill(rig);
    if (varve_sim_list(rig->sim, note_file, d) < 0)
        rig_die(rig, "no list of files");
}

static void free_store(struct disk_store *d)
{
    for (uint32_t i = 0; i < d->n_files; i++)
        free(d->files[i].bytes);
    rig_teardown(&d->rig);
}

/* ---------------------------------------------------------------------------------- Judging */

struct trial {
    const struct disk_store *store;
    const struct disk_file *file; /* that was damaged */
    bool is_covered;              /* the damage must be noticed */
};

static void must_name(struct store_rig *rig, const struct trial *trial, varve_status rc)
{
    if (rc != VARVE_ECORRUPT && rc != VARVE_EVERSION)
        rig_die(rig, "damage is called something else");
    if (rig->err.status != rc || rig->err.file[0] == '\0' || rig->err.message[0] == '\0')
        rig_die(rig, "the error does not name a file");
    /* Which of two segments is wrong where they do not fit together, neither can know. */
    if (trial->file->kind != VARVE_FILE_WAL && strcmp(rig->err.file, trial->file->name) != 0)
        rig_die(rig, "the error names another file");
    if (trial->file->kind == VARVE_FILE_WAL && strstr(rig->err.file, ".wal") == NULL)
        rig_die(rig, "the error names another kind of file");
}

/* What varve_verify() reports is about the file that was damaged. */
static void must_report(void *ctx, const varve_error *problem)
{
    const struct trial *const trial = ctx;

    if (problem->message[0] == '\0' ||
        (trial->file->kind == VARVE_FILE_WAL ? strstr(problem->file, ".wal") == NULL
                                             : strcmp(problem->file, trial->file->name) != 0)) {
        (void)fprintf(stderr, "reported: %s: %s\n", problem->file, problem->message);
        rig_die(&trial->store->rig, "verify reports another file");
    }
}

struct outcome {
    bool opened, scanned, verified;
};

static struct outcome look_at(struct trial *trial, uint32_t flags, const char *label)
{
    static struct store_rig copy;
    struct outcome out = {false, true, false};
    struct varve_sim *image = NULL;
    uint32_t unread = 0;

    copy = trial->store->rig;
    (void)snprintf(copy.label, sizeof copy.label, "%s%s", label,
                   flags == VARVE_OPEN_READ_ONLY ? ", read only" : "");
    fault_init(&copy.fault, FAULT_NEVER, FAULT_ONCE);
    if (varve_sim_clone(copy.sim, &image) < 0 || varve_sim_attach(image, &copy.vfs) < 0)
        rig_die(&copy, "no clone");
    copy.sim = image;
    copy.order = NULL;
    varve_status rc = rig_open(&copy, flags);
    if (rc < 0)
        must_name(&copy, trial, rc);
    out.opened = rc == VARVE_OK;
    for (uint32_t t = 0; out.opened && t < RIG_TABLES; t++) {
        rc = rig_scan(&copy, t);
        if (rc < 0)
            must_name(&copy, trial, rc);
        unread += rc < 0;
    }
    /* A table has its own files: damage in one leaves the other readable. */
    if (unread > 1)
        rig_die(&copy, "damage in one file made both tables unreadable");
    out.scanned = out.opened && unread == 0;
    if (out.opened) {
        rc = varve_verify(copy.store, must_report, trial, NULL, NULL, &copy.err);
        if (rc != VARVE_OK && rc != VARVE_ECORRUPT && rc != VARVE_EVERSION)
            rig_die(&copy, "verify calls damage something else");
        if (rc == VARVE_OK && unread > 0)
            rig_die(&copy, "verify sees nothing where a scan failed");
        out.verified = rc == VARVE_OK;
    }
    /* An open for writing has made a new manifest by now, from the copy that is sound. */
    if (trial->is_covered && out.scanned && out.verified &&
        (trial->file->kind != VARVE_FILE_MANIFEST || flags == VARVE_OPEN_READ_ONLY))
        rig_die(&copy, "damage that a check covers is not noticed");
    rig_close(&copy);
    varve_sim_destroy(image);
    return out;
}

enum { READING = 1, WRITING = 2 };

static void judge_trial(struct trial *trial, uint32_t opens, const char *label,
                        struct counts *counts)
{
    const uint32_t flags[2] = {VARVE_OPEN_READ_ONLY, 0};

    (void)alarm(HANG_SECONDS);
    for (uint32_t i = 0; i < 2; i++) {
        if ((opens >> i & 1) == 0)
            continue;
        const struct outcome o = look_at(trial, flags[i], label);
        counts->tried++;
        if (!o.opened)
            counts->refused_open++;
        else if (!o.scanned)
            counts->refused_scan++;
        else if (!o.verified)
            counts->verify_only++;
        else
            counts->same++;
    }
    (void)alarm(0);
}

static void restore(struct disk_store *d, const struct disk_file *file)
{
    (void)varve_sim_remove(d->rig.sim, file->name);
    if (varve_sim_put(d->rig.sim, file->name, file->bytes, file->size) < 0)
        rig_die(&d->rig, "a file cannot be put back");
}

/* ---------------------------------------------------------------------------------- Damage */

static uint64_t stride_of(uint64_t n, uint64_t share, bool full)
{
    return full || n <= share ? 1 : n / share | 1;
}

/* The pages of a file up to the last that is not zeros. */
static uint64_t used_of(const struct disk_file *file)
{
    uint64_t used = file->size;

    while (used > 0 && file->bytes[used - 1] == 0)
        used--;
    used = (used + VARVE_PAGE_SIZE - 1) / VARVE_PAGE_SIZE * VARVE_PAGE_SIZE;
    return used < file->size ? used : file->size;
}

/* The newest manifest is the one that counts; the one before it may be anything. */
static bool is_newest(const struct disk_store *d, const struct disk_file *f)
{
    for (uint32_t i = 0; i < d->n_files; i++)
        if (d->files[i].kind == f->kind && strcmp(d->files[i].name, f->name) > 0)
            return false;
    return true;
}

/* How many bytes of the file, from its beginning, are such that damage to them is noticed. */
static uint64_t covered_of(const struct disk_store *d, const struct disk_file *file)
{
    switch (file->kind) {
    case VARVE_FILE_SST:
        return file->size;
    case VARVE_FILE_WAL:
        return used_of(file);
    case VARVE_FILE_MANIFEST:
        return is_newest(d, file) ? used_of(file) : 0;
    case VARVE_FILE_OTHER:
    case VARVE_FILE_MANIFEST_TMP:
    case VARVE_FILE_LOCK:
    case VARVE_FILE_READERS:
        break;
    }
    return 0;
}

static void flip_bytes(struct disk_store *d, const struct disk_file *f, bool full,
                       struct counts *counts)
{
    struct trial trial = {.store = d, .file = f};
    const uint64_t covered = covered_of(d, f);
    const uint64_t used = f->kind == VARVE_FILE_MANIFEST && !is_newest(d, f) ? 0 : used_of(f);
    const uint64_t stride = stride_of(used, 500, full);
    char label[96];

    /* Every byte is read; every eighth by a store that is open for writing too, and of those that no
     * check covers each is either. */
    for (uint64_t at = 0; at < f->size; at += at < used ? stride : full ? 61 : f->size / 24 + 1) {
        const uint64_t bit = at * 8 + (at / stride) % 8;
        const uint32_t turn = (uint32_t)(counts->flips++ % 8);
        trial.is_covered = at < covered;
        (void)snprintf(label, sizeof label, "%s: bit %" PRIu64, f->name, bit);
        if (varve_sim_flip(d->rig.sim, f->name, bit) < 0)
            rig_die(&d->rig, "no flip");
        judge_trial(&trial,
                    turn == 0          ? READING | WRITING
                    : trial.is_covered ? READING
                    : turn % 2 == 0    ? READING
                                       : WRITING,
                    label, counts);
        (void)varve_sim_flip(d->rig.sim, f->name, bit);
    }
}

static void truncate_file(struct disk_store *d, const struct disk_file *f, bool full,
                          struct counts *counts)
{
    struct trial trial = {.store = d, .file = f};
    /* The manifest's own tests take every length of it. */
    const uint64_t stride = !full ? f->size / 100 | 1 : f->kind == VARVE_FILE_MANIFEST ? 61 : 1;
    char label[96];

    for (uint64_t size = 0; size < f->size; size += stride) {
        trial.is_covered = size < covered_of(d, f);
        (void)snprintf(label, sizeof label, "%s: cut to %" PRIu64, f->name, size);
        if (varve_sim_truncate(d->rig.sim, f->name, size) < 0)
            rig_die(&d->rig, "no cut");
        judge_trial(&trial, size % 2 == 0 ? READING : WRITING, label, counts);
        restore(d, f);
    }
    (void)varve_sim_remove(d->rig.sim, f->name);
    (void)snprintf(label, sizeof label, "%s: removed", f->name);
    if (f->kind != VARVE_FILE_MANIFEST) /* without it there is no store: another rule */
        judge_trial(&trial, READING | WRITING, label, counts);
    restore(d, f);
}

static void change_sectors(struct disk_store *d, const struct disk_file *f, bool full,
                           struct counts *counts)
{
    static const uint8_t zeros[SECTOR];
    struct trial trial = {.store = d, .file = f};
    const uint64_t sectors = used_of(f) / SECTOR + 1, stride = stride_of(sectors, 60, full);
    char label[96];

    for (uint64_t s = 0; (s + 1) * SECTOR <= f->size && s < sectors; s += stride) {
        const uint64_t other = (s + 1 + s % 7) % (f->size / SECTOR);
        const uint8_t *sources[2] = {zeros, f->bytes + other * SECTOR};
        for (int k = 0; k < 2; k++) {
            if (memcmp(f->bytes + s * SECTOR, sources[k], SECTOR) == 0)
                continue;
            (void)snprintf(label, sizeof label, "%.40s: sector %" PRIu64 " %s", f->name, s,
                           k == 0 ? "zeroed" : "swapped");
            (void)varve_sim_overwrite(d->rig.sim, f->name, s * SECTOR, sources[k], SECTOR);
            if (k == 1)
                (void)varve_sim_overwrite(d->rig.sim, f->name, other * SECTOR,
                                          f->bytes + s * SECTOR, SECTOR);
            judge_trial(&trial, READING | WRITING, label, counts);
            restore(d, f);
        }
    }
}

/* Two faults in pages of an unsealed log: a sector lost in one, which alone could be a torn write,
 * and a bit changed in one behind it, which no torn write does. */
static void lose_and_flip(struct disk_store *d, const struct disk_file *f, bool full,
                          struct counts *counts)
{
    static const uint8_t zeros[SECTOR];
    struct trial trial = {.store = d, .file = f};
    const uint64_t sectors = (used_of(f) + VARVE_PAGE_SIZE - 1) / VARVE_PAGE_SIZE * 8;
    char label[96];

    for (uint64_t s = 8; s + 8 < sectors; s += stride_of(sectors, 30, full)) {
        if (memcmp(f->bytes + s * SECTOR, zeros, SECTOR) == 0)
            continue;
        for (uint64_t page = s / 8 + 1; page < sectors / 8; page++) {
            const uint64_t bit = (page * VARVE_PAGE_SIZE + (s * 1031 + page * 509) % 4096) * 8 + 3;
            (void)snprintf(label, sizeof label, "%s: sector %" PRIu64 " lost, bit %" PRIu64,
                           f->name, s, bit);
            (void)varve_sim_overwrite(d->rig.sim, f->name, s * SECTOR, zeros, SECTOR);
            (void)varve_sim_flip(d->rig.sim, f->name, bit);
            judge_trial(&trial, READING | WRITING, label, counts);
            restore(d, f);
        }
    }
}

/* Another file's content under this file's name. */
static void replace_file(struct disk_store *d, const struct disk_file *f,
                         const struct disk_store *from, struct counts *counts)
{
    struct trial trial = {.store = d, .file = f};
    char label[160];

    for (uint32_t i = 0; i < from->n_files; i++) {
        const struct disk_file *other = &from->files[i];
        if (other->kind != f->kind || (from == d && other == f))
            continue;
        (void)snprintf(label, sizeof label, "%s: is %s of %s store", f->name, other->name,
                       from == d ? "the same" : "another");
        (void)varve_sim_remove(d->rig.sim, f->name);
        (void)varve_sim_put(d->rig.sim, f->name, other->bytes, other->size);
        judge_trial(&trial, READING | WRITING, label, counts);
        restore(d, f);
    }
}

static void damage_store(struct disk_store *d, const struct disk_store *other, bool full,
                         struct counts *total)
{
    for (uint32_t i = 0; i < d->n_files; i++) {
        const struct disk_file *f = &d->files[i];
        const bool every = full && f->kind != VARVE_FILE_OTHER;
        struct counts counts = {0};
        flip_bytes(d, f, every, &counts);
        if (f->kind != VARVE_FILE_MANIFEST || is_newest(d, f)) {
            truncate_file(d, f, every, &counts);
            change_sectors(d, f, every, &counts);
            if (f->kind == VARVE_FILE_WAL)
                lose_and_flip(d, f, full, &counts);
            if (f->kind != VARVE_FILE_MANIFEST) /* of a whole other store: that store, then */
                replace_file(d, f, other, &counts);
            replace_file(d, f, d, &counts);
        }
        printf("%s %s: %" PRIu64 " tried, %" PRIu64 " harmless or repaired, %" PRIu64
               " refused at open, %" PRIu64 " at the scan, %" PRIu64 " by verify\n",
               kind_names[f->kind], f->name, counts.tried, counts.same, counts.refused_open,
               counts.refused_scan, counts.verify_only);
        (void)fflush(stdout);
        total->flips += counts.flips;
        total->tried += counts.tried;
    }
}

int main(int argc, char **argv)
{
    const bool full = run_is_full();
    const bool clean = argc == 2 && strcmp(argv[1], "clean") == 0;
    static struct disk_store store, other;
    struct counts total = {0};

    if (!clean && (argc != 2 || strcmp(argv[1], "dirty") != 0)) {
        (void)fputs("usage: damaged_stores clean|dirty\n", stderr);
        return 2;
    }
    make_store(&store, clean ? 1 : 2, clean);
    make_store(&other, 3, true);
    damage_store(&store, &other, full, &total);
    run_share("damage: %" PRIu64 " bytes flipped, %" PRIu64 " damaged stores opened, of a %s store",
              total.flips, total.tried, argv[1]);
    free_store(&store);
    free_store(&other);
    return EXIT_SUCCESS;
}
