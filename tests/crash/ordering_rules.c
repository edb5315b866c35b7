/*
 * ordering_rules.c - what must be on the disk before what, checked on every operation of a trace.
 *
 *     O1  A manifest page that names a file is submitted only when the file's entry is durable, and
 *         its content too: always for an SSTable, when it is first named for a log segment.
 *     O2  A file is unlinked only when no manifest that a crash can leave names it: the one that is
 *         durable is read.
 *     O3  At the acknowledgement of a durable commit with nothing else in flight every log segment
 *         that is named is durable.
 *     O4  The simulated disk's own: nothing after a failed sync, no overlapping writes in flight, no
 *         buffer changed in flight.
 */
#include <stdio.h>
#include <string.h>

#include "storage/manifest/manifest.h"
#include "tests/crash/crash_rig.h"

/* The version that the manifest of an image holds; NULL: none can be read. */
static struct varve_version *version_of(struct rig *rig, struct varve_sim *image)
{
    struct varve_vfs *vfs = NULL;
    struct varve_manifest *manifest = NULL;
    struct varve_version *version = NULL;

    if (varve_sim_attach(image, &vfs) == 0 &&
        varve_manifest_open(vfs, rig->heap, true, &manifest, NULL) == VARVE_OK)
        version = varve_manifest_version(manifest);
    varve_manifest_close(manifest);
    return version;
}

static void check_durable(struct varve_sim *sim, const char *name, bool content)
{
    char text[128];

    if (varve_sim_is_entry_durable(sim, name) &&
        (!content || varve_sim_is_content_durable(sim, name)))
        return;
    (void)snprintf(text, sizeof text, "a manifest names %s, which is not durable", name);
    varve_sim_violate(sim, text);
}

static bool note_named(struct rig *rig, uint64_t id)
{
    for (uint32_t i = 0; i < rig->n_named; i++)
        if (rig->named[i] == id)
            return false;
    const uint32_t n = sizeof rig->named / sizeof rig->named[0];
    if (rig->n_named == n)
        memmove(rig->named, rig->named + 1, --rig->n_named * sizeof rig->named[0]);
    rig->named[rig->n_named++] = id;
    return true;
}

/* O1, after a page of a manifest was written or a manifest got its name. */
static void rule_named(struct rig *rig, struct varve_sim *sim)
{
    struct varve_sim *image = NULL;
    char name[VARVE_FILE_NAME_MAX];

    if (varve_sim_clone(sim, &image) < 0)
        return;
    struct varve_version *version = version_of(rig, image);
    for (uint32_t t = 0; version != NULL && t < version->n_tables; t++)
        for (uint64_t f = 0; f < version->tables[t]->n_files; f++) {
            varve_file_name_sst(version->tables[t]->files[f]->id, name);
            check_durable(sim, name, true);
        }
    for (uint64_t s = 0; version != NULL && s < version->n_segments; s++) {
        varve_file_name_wal(version->segments[s].id, name);
        check_durable(sim, name, note_named(rig, version->segments[s].id));
    }
    varve_version_unref(version);
    varve_sim_destroy(image);
}

static bool names(const struct varve_version *version, enum varve_file_kind kind, uint64_t id)
{
    if (kind == VARVE_FILE_WAL) {
        for (uint64_t s = 0; s < version->n_segments; s++)
            if (version->segments[s].id == id)
                return true;
        return false;
    }
    for (uint32_t t = 0; t < version->n_tables; t++)
        for (uint64_t f = 0; f < version->tables[t]->n_files; f++)
            if (version->tables[t]->files[f]->id == id)
                return true;
    return false;
}

/* O2 */
static void rule_unlink(struct rig *rig, struct varve_sim *sim, const char *name)
{
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;
    struct varve_sim_crash_state state;
    uint64_t id;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);
    char text[128];

    if (kind != VARVE_FILE_SST && kind != VARVE_FILE_WAL)
        return;
    varve_sim_crash_options_init(&options, 1);
    options.model = VARVE_SIM_CRASH_PREFIX; /* the shortest: nothing that could be lost is there */
    options.random = 0;
    if (varve_sim_crash_open(sim, &options, &crash) == 0 &&
        varve_sim_crash_at(crash, 0, &image, &state) >= 0) {
        struct varve_version *version = version_of(rig, image);
        if (state.kept == 0 && version != NULL && names(version, kind, id)) {
            (void)snprintf(text, sizeof text, "%s is unlinked, and a manifest may name it", name);
            varve_sim_violate(sim, text);
        }
        varve_version_unref(version);
        varve_sim_destroy(image);
    }
    varve_sim_crash_close(crash);
}

int rig_watch_order(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct rig *rig = ctx;
    const bool manifest =
        strncmp(event->name, "MANIFEST", 8) == 0 || strncmp(event->to, "MANIFEST", 8) == 0;

    if (rig->busy)
        return 0;
    if (event->phase == VARVE_SIM_AFTER && manifest && event->result >= 0 &&
        (event->op == VARVE_SIM_WRITE || event->op == VARVE_SIM_WRITE_DSYNC ||
         event->op == VARVE_SIM_RENAME))
        rule_named(rig, sim);
    if (event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_UNLINK)
        rule_unlink(rig, sim, event->name);
    return 0;
}

void rig_rule_ack(struct rig *rig)
{
    char name[VARVE_FILE_NAME_MAX];

    for (uint32_t i = 0; i < rig->n_named; i++) {
        varve_file_name_wal(rig->named[i], name);
        if (varve_sim_size(rig->sim, name) >= 0 && !varve_sim_is_content_durable(rig->sim, name))
            varve_sim_violate(rig->sim, "a durable commit was acknowledged before its sync");
    }
}
