/*
 * ordering_rules.c - see ordering_rules.h.
 *
 * O3 looks at the least that a crash can leave: its manifest, and the pages of the segments that it
 * lists. What was found durable before is not looked at again, since it stays so; what was written
 * before the last open is not looked at either, since recovery may leave a gap in the positions.
 */
#include "tests/lib/ordering_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"
#include "storage/manifest/manifest.h"
#include "storage/vfs/vfs_sim.h"
#include "storage/wal/page_format.h"

struct ordering {
    struct varve_sim *sim;
    uint32_t one_in;
    uint64_t turns;
    struct varve_heap heap; /* of the versions that are read */
    uint64_t *named;        /* files that a manifest has named, ascending */
    size_t n_named;
    /* In the segment, the first page not known to be durable, and the position at its start. */
    uint64_t segment, position;
    uint32_t page;
    uint64_t durable; /* O3 has held up to here */
};

/* The version that the manifest of an image holds; NULL: none can be read. */
static struct varve_version *version_of(struct ordering *o, struct varve_sim *image)
{
    struct varve_vfs *vfs = NULL;
    struct varve_manifest *manifest = NULL;
    struct varve_version *version = NULL;

    if (varve_sim_attach(image, &vfs) == 0 &&
        varve_manifest_open(vfs, &o->heap, true, &manifest, NULL) == VARVE_OK)
        version = varve_manifest_version(manifest);
    varve_manifest_close(manifest);
    return version;
}

/* The least that a crash now can leave: nothing that could be lost is there. NULL: no such state. */
static struct varve_sim *least_image(struct varve_sim *sim)
{
    struct varve_sim_crash_options options;
    struct varve_sim_crash *crash = NULL;
    struct varve_sim *image = NULL;
    struct varve_sim_crash_state state;

    varve_sim_crash_options_init(&options, 1);
    options.model = VARVE_SIM_CRASH_PREFIX; /* the shortest */
    options.random = 0;
    if (varve_sim_crash_open(sim, &options, &crash) == 0 &&
        varve_sim_crash_at(crash, 0, &image, &state) >= 0 && state.kept != 0) {
        varve_sim_destroy(image);
        image = NULL;
    }
    varve_sim_crash_close(crash);
    return image;
}

static bool is_looked_at(struct ordering *o)
{
    return varve_mix64(++o->turns) % o->one_in == 0; /* copies of a page come in pairs */
}

/* ------------------------------------------------------------------------------------------- O1 */

/* True the first time: a file that was durable once stays so, and nobody writes to it but the log. */
static bool note_named(struct ordering *o, uint64_t id)
{
    size_t at = 0, end = o->n_named;

    while (at < end) {
        const size_t middle = at + (end - at) / 2;
        if (o->named[middle] < id)
            at = middle + 1;
        else
            end = middle;
    }
    if (at < o->n_named && o->named[at] == id)
        return false;
    o->named = realloc(o->named, (o->n_named + 1) * sizeof *o->named);
    if (o->named == NULL)
        abort();
    memmove(o->named + at + 1, o->named + at, (o->n_named - at) * sizeof *o->named);
    o->named[at] = id;
    o->n_named++;
    return true;
}

static void check_named(struct ordering *o, struct varve_sim *sim, uint64_t id, bool is_segment)
{
    char text[128], name[VARVE_FILE_NAME_MAX];

    if (!note_named(o, id))
        return;
    varve_file_name_of(is_segment ? VARVE_FILE_WAL : VARVE_FILE_SST, id, name);
    /* By the time that one in many looks at it, a segment may have been written to. */
    if (varve_sim_is_entry_durable(sim, name) &&
        (is_segment && o->one_in > 1 ? varve_sim_is_range_durable(sim, name, 0, VARVE_PAGE_SIZE)
                                     : varve_sim_is_content_durable(sim, name)))
        return;
    (void)snprintf(text, sizeof text, "a manifest names %s, which is not durable", name);
    varve_sim_violate(sim, text);
}

/* After a page of a manifest was written or a manifest got its name. */
static void rule_named(struct ordering *o, struct varve_sim *sim)
{
    struct varve_sim *image = NULL;

    if (varve_sim_clone(sim, &image) < 0)
        return;
    struct varve_version *version = version_of(o, image);
    for (uint32_t t = 0; version != NULL && t < version->n_tables; t++)
        for (uint64_t f = 0; f < version->tables[t]->n_files; f++)
            check_named(o, sim, version->tables[t]->files[f]->id, false);
    for (uint64_t s = 0; version != NULL && s < version->n_segments; s++)
        check_named(o, sim, version->segments[s].id, true);
    varve_version_unref(version);
    varve_sim_destroy(image);
}

/* ------------------------------------------------------------------------------------------- O2 */

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

static void rule_unlink(struct ordering *o, struct varve_sim *sim, const char *name)
{
    uint64_t id;
    const enum varve_file_kind kind = varve_file_name_parse(name, &id);
    char text[128];

    if (kind != VARVE_FILE_SST && kind != VARVE_FILE_WAL)
        return;
    struct varve_sim *image = least_image(sim);
    struct varve_version *version = image == NULL ? NULL : version_of(o, image);
    if (version != NULL && names(version, kind, id)) {
        (void)snprintf(text, sizeof text, "%s is unlinked, and a manifest may name it", name);
        varve_sim_violate(sim, text);
    }
    varve_version_unref(version);
    varve_sim_destroy(image);
}

/* ------------------------------------------------------------------------------------------- O3 */

/* The position behind the last sound page of the segment, at most `end`, or a page beyond it. */
static uint64_t walk_segment(struct ordering *o, struct varve_sim *image,
                             const struct varve_segment_entry *segment, uint64_t end)
{
    uint8_t page[VARVE_PAGE_SIZE];
    struct varve_page_trailer trailer;
    struct varve_page_place place = {.kind = VARVE_PAGE_KIND_WAL, .file_id = segment->id};
    char name[VARVE_FILE_NAME_MAX];

    memcpy(place.uuid, segment->uuid, sizeof place.uuid);
    varve_file_name_wal(segment->id, name);
    if (o->segment != segment->id) {
        o->segment = segment->id;
        o->page = 1;
        o->position = segment->base_lsn;
    }
    uint64_t position = o->position;
    for (uint32_t p = o->page; position < end; p++) {
        place.page_no = p;
        if (varve_sim_read(image, name, (uint64_t)p * sizeof page, page, sizeof page) !=
                (int64_t)sizeof page ||
            varve_page_classify(page, &place, &trailer) != VARVE_PAGE_VALID)
            break;
        if ((trailer.flags & VARVE_PAGE_CONTROL) != 0)
            continue;
        if (trailer.first_lsn != position)
            break;
        o->page = p; /* it may be written again, longer */
        o->position = position;
        position += trailer.used;
    }
    return position;
}

static bool is_log_durable(struct ordering *o, struct varve_sim *image,
                           const struct varve_version *version, uint64_t lsn)
{
    uint64_t reached = 0;

    if (lsn <= version->replay.lsn)
        return true; /* flushed since */
    for (uint32_t s = 0; s < version->n_segments && version->segments[s].base_lsn < lsn; s++) {
        const struct varve_segment_entry *segment = &version->segments[s];
        const bool is_last =
            s + 1 == version->n_segments || version->segments[s + 1].base_lsn >= lsn;
        /* Behind a seal that is listed recovery may have left a gap. */
        const uint64_t next = is_last ? lsn : version->segments[s + 1].base_lsn;
        const uint64_t end = !is_last && segment->sealed ? segment->final_lsn : next;
        if (!is_last && (o->durable == 0 || end <= o->durable))
            continue;
        reached = walk_segment(o, image, segment, end);
        if (reached < end)
            return false;
    }
    return reached >= lsn;
}

void ordering_acked(struct ordering *o, uint64_t lsn)
{
    if (o == NULL || lsn <= o->durable || !is_looked_at(o))
        return;
    struct varve_sim *image = least_image(o->sim);
    struct varve_version *version = image == NULL ? NULL : version_of(o, image);
    if (version == NULL || !is_log_durable(o, image, version, lsn))
        varve_sim_violate(o->sim, "a durable commit was acknowledged before its sync");
    o->durable = lsn;
    varve_version_unref(version);
    varve_sim_destroy(image);
}

/* ------------------------------------------------------------------------------------------ All */

static int watch(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    const uint32_t writes = VARVE_SIM_WRITE | VARVE_SIM_WRITE_DSYNC;
    struct ordering *o = ctx;
    const bool manifest =
        strncmp(event->name, "MANIFEST", 8) == 0 || strncmp(event->to, "MANIFEST", 8) == 0;

    if (event->op == VARVE_SIM_LOCK && strcmp(event->name, "LOCK") == 0)
        o->segment = o->durable = 0; /* an open: recovery may leave a gap in the positions */
    if (event->phase == VARVE_SIM_AFTER && manifest && event->result >= 0 &&
        (event->op & (writes | VARVE_SIM_RENAME)) != 0 && is_looked_at(o))
        rule_named(o, sim);
    if (event->phase == VARVE_SIM_BEFORE && event->op == VARVE_SIM_UNLINK && is_looked_at(o))
        rule_unlink(o, sim, event->name);
    return 0;
}

struct ordering *ordering_watch(struct varve_sim *sim, const struct ordering *before,
                                uint32_t one_in)
{
    struct ordering *const o = calloc(1, sizeof *o);

    if (o == NULL || varve_sim_watch(sim, watch, o) < 0)
        abort();
    o->sim = sim;
    o->one_in = one_in;
    varve_heap_init(&o->heap, NULL, UINT64_MAX);
    for (size_t i = 0; before != NULL && i < before->n_named; i++)
        (void)note_named(o, before->named[i]);
    return o;
}

void ordering_thin_out(struct ordering *o, uint32_t one_in)
{
    o->one_in = one_in;
}

void ordering_end(struct ordering *o)
{
    if (o == NULL)
        return;
    varve_sim_unwatch(o->sim, watch, o);
    if (varve_heap_used(&o->heap) != 0)
        abort();
    free(o->named);
    free(o);
}
