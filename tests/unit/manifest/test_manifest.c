/*
 * test_manifest.c - manifest.c on a simulated disk: what was applied comes back, whatever single
 * thing goes wrong, and what does not is refused by name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest_fixture.h"
#include "storage/base/checksum.h"
#include "tests/lib/run_share.h"

#define STEPS 60u /* edits of a long script: they outgrow a generation */

static struct varve_manifest *created(struct rig *rig)
{
    struct varve_manifest *m = NULL;
    const varve_status rc = varve_manifest_create(rig->vfs, &rig->heap, &m, &rig->err);

    ck_assert_msg(rc == VARVE_OK, "%s", rig->err.message);
    return m;
}

static struct varve_manifest *opened(struct rig *rig, bool read_only)
{
    struct varve_manifest *m = NULL;
    const varve_status rc = varve_manifest_open(rig->vfs, &rig->heap, read_only, &m, &rig->err);

    ck_assert_msg(rc == VARVE_OK, "%s", rig->err.message);
    return m;
}

static void apply_all(struct rig *rig, struct varve_manifest *m, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        ck_assert_msg(sample_apply(m, rig, i) == VARVE_OK, "edit %u: %s", i, rig->err.message);
}

static void name_of(uint64_t generation, char *out)
{
    varve_file_name_manifest(generation, out);
}

/* -------------------------------------------------------------------------------- What it keeps */

START_TEST(every_edit_comes_back)
{
    struct rig rig;

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    for (uint32_t i = 0; i < SAMPLE_EDITS; i++) {
        apply_all(&rig, m, i, i + 1);
        ck_assert_uint_eq(opened_state(&rig, true), manifest_state(m));
    }
    const uint64_t state = manifest_state(m);
    varve_manifest_close(m);
    ck_assert_uint_eq(opened_state(&rig, false), state);
    m = opened(&rig, false);
    ck_assert_int_eq(varve_manifest_switch(m, &rig.err), VARVE_OK);
    ck_assert_uint_eq(manifest_state(m), state);
    varve_manifest_close(m);
    ck_assert_uint_eq(opened_state(&rig, true), state);
    rig_free(&rig);
}
END_TEST

START_TEST(a_new_directory_has_no_manifest)
{
    struct rig rig;
    struct varve_manifest *m = NULL;

    rig_init(&rig, 1);
    for (int read_only = 0; read_only < 2; read_only++)
        ck_assert_int_eq(varve_manifest_open(rig.vfs, &rig.heap, read_only, &m, &rig.err),
                         VARVE_ENOTFOUND);
    rig_free(&rig);
}
END_TEST

START_TEST(generations_follow_when_the_room_is_used_up)
{
    struct rig rig;

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    apply_all(&rig, m, 0, 300);
    ck_assert_uint_ge(varve_manifest_generation(m), 5);
    ck_assert_uint_gt(varve_manifest_bytes(m), 300 * 2 * VARVE_PAGE_SIZE);
    const uint64_t state = manifest_state(m), generation = varve_manifest_generation(m);
    varve_manifest_close(m);
    ck_assert_uint_eq(opened_state(&rig, true), state);
    char name[VARVE_FILE_NAME_MAX];
    for (uint64_t g = 1; g <= generation; g++) { /* the last two are there */
        name_of(g, name);
        ck_assert_int_eq(varve_sim_size(rig.sim, name) > 0, g + 1 >= generation);
    }
    rig_free(&rig);
}
END_TEST

START_TEST(first_edit_after_an_open_leaves_the_old_file_alone)
{
    struct rig rig;
    char name[VARVE_FILE_NAME_MAX];
    static uint8_t before[1u << 20], after[1u << 20];

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    apply_all(&rig, m, 0, 3);
    varve_manifest_close(m);
    name_of(1, name);
    const int64_t size = varve_sim_read(rig.sim, name, 0, before, sizeof before);
    m = opened(&rig, false);
    apply_all(&rig, m, 3, 4);
    ck_assert_uint_eq(varve_manifest_generation(m), 2);
    ck_assert_int_eq(varve_sim_read(rig.sim, name, 0, after, sizeof after), size);
    ck_assert_mem_eq(before, after, (size_t)size);
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

START_TEST(old_versions_stay_as_they_were)
{
    struct rig rig;
    struct varve_version *versions[SAMPLE_EDITS];
    uint64_t states[SAMPLE_EDITS];

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    for (uint32_t i = 0; i < SAMPLE_EDITS; i++) {
        apply_all(&rig, m, i, i + 1);
        versions[i] = varve_manifest_version(m);
        states[i] = state_hash(versions[i]);
        for (uint32_t k = 0; k < i; k++)
            ck_assert_uint_ne(states[k], states[i]);
    }
    varve_manifest_close(m);
    for (uint32_t i = 0; i < SAMPLE_EDITS; i += 2) { /* released in any order */
        ck_assert_uint_eq(state_hash(versions[i]), states[i]);
        varve_version_unref(versions[i]);
    }
    for (uint32_t i = 1; i < SAMPLE_EDITS; i += 2) {
        ck_assert_uint_eq(state_hash(versions[i]), states[i]);
        varve_version_unref(versions[i]);
    }
    rig_free(&rig);
}
END_TEST

static struct varve_schema *schema_of(struct rig *rig, const char *name, uint32_t id,
                                      uint32_t version)
{
    char text[128];
    struct varve_schema *parsed = NULL, *schema = NULL;

    (void)snprintf(text, sizeof text, "CREATE TABLE %s (k text, t timestamp, PRIMARY KEY (k, t))",
                   name);
    must(varve_schema_from_text(&rig->heap, text, &parsed, NULL) == VARVE_OK);
    must(varve_schema_with_id(parsed, &rig->heap, id, version, &schema, NULL) == VARVE_OK);
    varve_schema_unref(parsed);
    return schema;
}

/* Tables 1, ticks, in version 2, and 2, bars, in version 1 are there. */
START_TEST(a_definition_that_contradicts_another_is_refused)
{
    static const struct {
        const char *name;
        uint32_t id, version;
        varve_status status;
    } puts[] = {
        {"ticks", 1, 1, VARVE_EINVAL}, /* a version goes back */
        {"ticks", 1, 2, VARVE_OK},
        {"ticks", 3, 1, VARVE_EINVAL}, /* the name is another's */
        {"TICKS", 3, 1, VARVE_EINVAL}, /* case aside */
        {"bars", 1, 3, VARVE_EINVAL},
        {"fresh", 0, 1, VARVE_EINVAL},          /* no table has id 0 */
        {"fresh", UINT32_MAX, 1, VARVE_EINVAL}, /* an id that was not given out yet */
        {"ticks2", 1, 3, VARVE_OK},             /* a newer version may have another name */
        {"ticks", 2, 2, VARVE_OK},              /* which is free then */
    };
    struct rig rig;

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    apply_all(&rig, m, 0, 5);
    apply_all(&rig, m, 10, 11);
    for (size_t i = 0; i < sizeof puts / sizeof puts[0]; i++) {
        struct varve_schema *const schema =
            schema_of(&rig, puts[i].name, puts[i].id, puts[i].version);
        const struct varve_schema *put = schema;
        const struct varve_edit edit = {.put_schemas = &put, .n_put_schemas = 1};
        const uint64_t state = manifest_state(m);

        ck_assert_msg(varve_manifest_apply(m, &edit, &rig.err) == puts[i].status, "%s %u",
                      puts[i].name, puts[i].id);
        ck_assert_int_eq(manifest_state(m) == state, puts[i].status < 0);
        varve_schema_unref(schema);
    }
    struct varve_version *const version = varve_manifest_version(m);
    ck_assert_uint_eq(varve_version_find(version, "ticks")->schema->table_id, 2);
    ck_assert_uint_eq(varve_version_find(version, "ticks2")->schema->table_id, 1);
    ck_assert_ptr_null(varve_version_find(version, "bars"));
    varve_version_unref(version);
    ck_assert_uint_eq(opened_state(&rig, true), manifest_state(m));
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

START_TEST(contradictions_are_refused_and_change_nothing)
{
    struct rig rig;
    static const uint64_t no_file[1] = {999}, taken_file[1] = {11};
    static const uint32_t no_table[1] = {77};
    struct varve_file_entry twice = {.id = 1, .properties = {.table_id = 1}};
    const struct varve_segment_entry ahead = {
        .id = 1000, .uuid = {1}, .base_lsn = 5, .size = 65536};
    const struct varve_segment_entry as_file = {
        .id = taken_file[0], .uuid = {1}, .base_lsn = 5, .size = 65536};
    const struct varve_segment_entry no_uuid = {.id = 3, .base_lsn = 5, .size = 65536};
    const struct varve_segment_entry backwards = {
        .id = 2, .base_lsn = 50, .sealed = true, .final_lsn = 49};
    const struct varve_table_marks marks = {.table_id = 77};
    const struct varve_edit edits[] = {
        {0},
        {.drop_files = no_file, .n_drop_files = 1},
        {.drop_segments = no_file, .n_drop_segments = 1},
        {.drop_tables = no_table, .n_drop_tables = 1},
        {.marks = &marks, .n_marks = 1},
        {.add_files = &twice, .n_add_files = 1},
        {.put_segments = &ahead, .n_put_segments = 1},
        {.put_segments = &as_file, .n_put_segments = 1},
        {.put_segments = &no_uuid, .n_put_segments = 1},
        {.put_segments = &backwards, .n_put_segments = 1},
    };

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    apply_all(&rig, m, 0, 3);
    const uint64_t state = manifest_state(m), ops = varve_sim_ops(rig.sim);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++)
        ck_assert_msg(varve_manifest_apply(m, &edits[i], &rig.err) == VARVE_EINVAL, "edit %zu", i);
    ck_assert_int_eq(rig.err.status, VARVE_EINVAL);
    ck_assert_uint_eq(manifest_state(m), state);
    ck_assert_uint_eq(varve_sim_ops(rig.sim), ops);
    apply_all(&rig, m, 3, 5); /* and it goes on */
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------- Readers */

START_TEST(a_reader_follows_edits_and_generations)
{
    struct rig rig;
    bool changed = true;

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig), *reader = opened(&rig, true);
    ck_assert_int_eq(varve_manifest_refresh(reader, &changed, &rig.err), VARVE_OK);
    ck_assert(!changed);
    for (uint32_t i = 0; i < 100; i++) {
        apply_all(&rig, m, i, i + 1);
        if (i % 7 == 3) /* it may fall behind by more than a generation */
            continue;
        ck_assert_int_eq(varve_manifest_refresh(reader, &changed, &rig.err), VARVE_OK);
        ck_assert(changed);
        ck_assert_uint_eq(manifest_state(reader), manifest_state(m));
    }
    ck_assert_int_eq(varve_manifest_apply(reader, &(struct varve_edit){0}, &rig.err),
                     VARVE_EREADONLY);
    ck_assert_int_eq(varve_manifest_switch(reader, &rig.err), VARVE_EREADONLY);
    varve_manifest_close(reader);
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

START_TEST(a_refresh_that_fails_leaves_the_reader_usable)
{
    struct rig rig;
    bool changed = false;

    rig_init(&rig, 1);
    struct varve_manifest *m = created(&rig);
    for (uint32_t n = 1, i = 0;; n++) {
        struct varve_manifest *reader = opened(&rig, true);
        apply_all(&rig, m, i, i + 1);
        ck_assert_int_eq(varve_manifest_switch(m, &rig.err), VARVE_OK);
        i++;
        ck_assert_int_eq(varve_sim_fault_nth(rig.sim, n, true, EIO), 0);
        const uint64_t hits = varve_sim_fault_hits(rig.sim);
        varve_status rc = varve_manifest_refresh(reader, &changed, &rig.err);
        const bool hit = varve_sim_fault_hits(rig.sim) != hits;
        varve_sim_fault_clear(rig.sim);
        if (hit)
            ck_assert_int_eq(rc, VARVE_EIO);
        (void)manifest_state(reader);
        if (rc < 0)
            rc = varve_manifest_refresh(reader, &changed, &rig.err);
        ck_assert_int_eq(rc, VARVE_OK);
        ck_assert(changed);
        ck_assert_uint_eq(manifest_state(reader), manifest_state(m));
        varve_manifest_close(reader);
        if (!hit)
            break;
    }
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

/* -------------------------------------------------------------------------------------- Damage */

/* A small generation whose every byte the damage tests change. */
struct small {
    struct rig rig;
    char name[VARVE_FILE_NAME_MAX];
    uint64_t state;
    uint64_t size;
    uint32_t used; /* pages */
    uint8_t *bytes;
};

static void small_init(struct small *s, uint32_t edits)
{
    rig_init(&s->rig, 3);
    struct varve_manifest *m = created(&s->rig);
    apply_all(&s->rig, m, 0, edits);
    s->state = manifest_state(m);
    name_of(varve_manifest_generation(m), s->name);
    varve_manifest_close(m);
    s->size = (uint64_t)varve_sim_size(s->rig.sim, s->name);
    s->bytes = malloc(s->size);
    must(s->bytes != NULL);
    must(varve_sim_read(s->rig.sim, s->name, 0, s->bytes, s->size) == (int64_t)s->size);
    s->used = 0;
    for (uint32_t i = 0; i < s->size; i++)
        if (s->bytes[i] != 0)
            s->used = i / VARVE_PAGE_SIZE + 1;
}

static void small_free(struct small *s)
{
    free(s->bytes);
    rig_free(&s->rig);
}

/* The same state, or ECORRUPT with file and offset; true: the same. */
static bool same_or_refused(struct small *s, bool read_only)
{
    struct varve_manifest *m = NULL;
    varve_error err = {0};
    const varve_status rc = varve_manifest_open(s->rig.vfs, &s->rig.heap, read_only, &m, &err);

    if (rc == VARVE_OK) {
        must(manifest_state(m) == s->state);
        varve_manifest_close(m);
        return true;
    }
    ck_assert_msg(rc == VARVE_ECORRUPT, "%s: %s", varve_status_name(rc), err.message);
    must(strcmp(err.file, s->name) == 0);
    must(err.offset <= s->size);
    must(fault_blocks(&s->rig.fault) == 0);
    return false;
}

/* A bit of every byte that was written, and of some behind it, which are no one's. */
START_TEST(every_flipped_byte_is_repaired_or_refused)
{
    struct small s;
    uint64_t flips = 0, same = 0;

    small_init(&s, 3);
    const uint64_t used = (uint64_t)s.used * VARVE_PAGE_SIZE;
    for (uint64_t byte = 0; byte < s.size; byte += byte >= used ? 251 : run_is_full() ? 1 : 7) {
        const uint64_t bit = byte * 8 + varve_mix64(byte) % 8;
        must(varve_sim_flip(s.rig.sim, s.name, bit) == 0);
        const bool kept = same_or_refused(&s, (byte & 1) != 0);
        must(kept || byte >= used); /* what was written, stands twice */
        same += kept;
        flips++;
        must(varve_sim_flip(s.rig.sim, s.name, bit) == 0);
    }
    run_share("damage: %llu bytes of a manifest flipped (%llu written), %llu repaired",
              (unsigned long long)flips, (unsigned long long)used, (unsigned long long)same);
    small_free(&s);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct small s;

    small_init(&s, 3);
    for (uint64_t size = s.size - 1; size < s.size;
         size -= run_is_full() || size % 4096 < 8 ? 1 : 7) {
        must(varve_sim_truncate(s.rig.sim, s.name, size) == 0);
        must(!same_or_refused(&s, (size & 1) != 0));
    }
    must(varve_sim_overwrite(s.rig.sim, s.name, 0, s.bytes, s.size) == 0);
    must(same_or_refused(&s, false));
    must(varve_sim_overwrite(s.rig.sim, s.name, s.size, s.bytes, VARVE_PAGE_SIZE) == 0);
    must(!same_or_refused(&s, false)); /* and so is a file that has grown */
    small_free(&s);
}
END_TEST

START_TEST(every_lost_or_foreign_sector_is_repaired_or_refused)
{
    struct small s, other;
    static const uint8_t zeros[512];

    small_init(&s, 3);
    small_init(&other, 3);
    must(varve_sim_flip(other.rig.sim, other.name, 0) == 0);
    for (uint64_t at = 0; at < s.size; at += 512) {
        const uint64_t from = (at + 512) % s.size;
        const uint8_t *sources[3] = {zeros, s.bytes + from, s.bytes + (at + 4096) % s.size};
        for (int k = 0; k < 3; k++) {
            must(varve_sim_overwrite(s.rig.sim, s.name, at, sources[k], 512) == 0);
            const bool kept = same_or_refused(&s, (at & 512) != 0);
            must(kept || at >= (uint64_t)s.used * VARVE_PAGE_SIZE);
        }
        must(varve_sim_overwrite(s.rig.sim, s.name, at, s.bytes + at, 512) == 0);
    }
    small_free(&other);
    small_free(&s);
}
END_TEST

START_TEST(damage_before_a_later_edit_is_refused_by_readers_too)
{
    struct small s;
    static const uint8_t zeros[2 * VARVE_PAGE_SIZE];

    small_init(&s, 3);
    const uint64_t at = (uint64_t)(s.used - 4) * VARVE_PAGE_SIZE; /* the last edit but one */
    must(varve_sim_overwrite(s.rig.sim, s.name, at, zeros, sizeof zeros) == 0);
    must(!same_or_refused(&s, false));
    must(!same_or_refused(&s, true));
    small_free(&s);
}
END_TEST

START_TEST(a_file_of_another_store_or_generation_is_refused)
{
    struct small s;
    struct rig other;
    char name[VARVE_FILE_NAME_MAX];

    small_init(&s, 3);
    name_of(2, name); /* this generation under the name of another */
    must(varve_sim_copy_file(s.rig.sim, name, s.rig.sim, s.name) == 0);
    struct varve_manifest *m = NULL;
    ck_assert_int_eq(varve_manifest_open(s.rig.vfs, &s.rig.heap, false, &m, &s.rig.err),
                     VARVE_ECORRUPT);
    ck_assert_str_eq(s.rig.err.file, name);
    must(varve_sim_remove(s.rig.sim, name) == 0);

    rig_init(&other, 99); /* a page of another store in place of the same page */
    m = created(&other);
    apply_all(&other, m, 0, 3);
    varve_manifest_close(m);
    for (uint32_t p = 0; p < s.used; p++) {
        uint8_t page[VARVE_PAGE_SIZE];
        must(varve_sim_read(other.sim, s.name, (uint64_t)p * VARVE_PAGE_SIZE, page, sizeof page) ==
             VARVE_PAGE_SIZE);
        must(varve_sim_overwrite(s.rig.sim, s.name, (uint64_t)p * VARVE_PAGE_SIZE, page,
                                 sizeof page) == 0);
        must(same_or_refused(&s, p % 2 == 0));
        must(varve_sim_overwrite(s.rig.sim, s.name, (uint64_t)p * VARVE_PAGE_SIZE,
                                 s.bytes + (uint64_t)p * VARVE_PAGE_SIZE, sizeof page) == 0);
    }
    rig_free(&other);
    small_free(&s);
}
END_TEST

/* --------------------------------------------------------------------------- Torn last edits */

/* Sector `i` of the last edit's pages is there if bit i of `mask` is set. */
static void put_torn(struct small *s, uint32_t pages, uint64_t mask)
{
    static const uint8_t zeros[512];
    const uint64_t first = (uint64_t)(s->used - pages) * VARVE_PAGE_SIZE;

    for (uint32_t i = 0; i < pages * 8; i++) {
        const uint64_t at = first + (uint64_t)i * 512;
        const uint8_t *from = (mask >> i & 1) != 0 ? s->bytes + at : zeros;
        must(varve_sim_overwrite(s->rig.sim, s->name, at, from, 512) == 0);
    }
}

START_TEST(a_torn_last_edit_is_there_or_is_not)
{
    struct small s, before;
    uint64_t seen[2] = {0};
    /* A single page twice: all subsets. Two pages twice: each alone, each missing, and a mixture. */
    const uint32_t edits = _i == 0 ? 3 : 6, pages = _i == 0 ? 2 : 4;

    small_init(&s, edits);
    small_init(&before, edits - 1);
    const uint64_t after_state = s.state;
    uint64_t n = _i == 0 ? 65536 : 600, mix = 0x9e3779b97f4a7c15;
    for (uint64_t k = 0; k < n; k += _i == 0 && !run_is_full() ? 1 + k % 199 : 1) {
        uint64_t mask = k;
        if (_i == 1) {
            mix = varve_mix64(mix + k);
            mask = k < 32 ? UINT64_C(1) << k : k < 64 ? ~(UINT64_C(1) << (k - 32)) : mix;
        }
        put_torn(&s, pages, mask);
        struct varve_manifest *m = opened(&s.rig, k % 2 != 0);
        const uint64_t state = manifest_state(m);
        varve_manifest_close(m);
        must(state == before.state || state == after_state);
        seen[state == after_state]++;
    }
    ck_assert_uint_gt(seen[0], 0);
    ck_assert_uint_gt(seen[1], 0);
    small_free(&before);
    small_free(&s);
}
END_TEST

/* ------------------------------------------------------------------------------- Crash states */

struct crash_watch {
    struct rig *rig;
    const uint64_t *states; /* after each step; [0] is the new manifest */
    uint32_t done;          /* steps that have returned */
    bool started;           /* a step is under way */
    bool made;              /* create has returned */
    uint64_t images, models[6];
    uint32_t budget; /* random states a point */
};

/* Open an image, look at its state, go on with it, and look again. */
static void check_image(struct crash_watch *w, struct varve_sim *image)
{
    struct varve_manifest *m = NULL;
    struct varve_vfs *vfs = NULL;
    varve_error err = {0};

    must(varve_sim_attach(image, &vfs) == 0);
    varve_status rc = varve_manifest_open(vfs, &w->rig->heap, false, &m, &err);
    w->images++;
    if (rc == VARVE_ENOTFOUND && !w->made)
        return;
    ck_assert_msg(rc == VARVE_OK, "after %u steps: %s %s at %llu", w->done, err.message, err.file,
                  (unsigned long long)err.offset);
    const uint64_t state = manifest_state(m);
    const bool before = state == w->states[w->done];
    must(before || (w->started && state == w->states[w->done + 1]));
    if (w->images % 8 == 0) {
        const struct varve_edit edit = {.set_flags = VARVE_EDIT_DURABLE, .durable_lsn = 1 << 20};
        must(varve_manifest_apply(m, &edit, &err) == VARVE_OK);
        const uint64_t next = manifest_state(m);
        varve_manifest_close(m);
        must(varve_manifest_open(vfs, &w->rig->heap, true, &m, &err) == VARVE_OK);
        must(manifest_state(m) == next);
    }
    varve_manifest_close(m);
}

static int on_event(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    struct crash_watch *w = ctx;
    const uint32_t writes = VARVE_SIM_WRITE | VARVE_SIM_SYNC | VARVE_SIM_RENAME | VARVE_SIM_UNLINK |
                            VARVE_SIM_SYNC_DIR | VARVE_SIM_OPEN;

    if (event->phase != VARVE_SIM_BEFORE || (event->op & writes) == 0)
        return 0;
    for (uint32_t model = VARVE_SIM_CRASH_PREFIX; model <= VARVE_SIM_CRASH_REORDER; model++) {
        struct varve_sim_crash_options options;
        struct varve_sim_crash *crash = NULL;
        struct varve_sim *image = NULL;
        varve_sim_crash_options_init(&options, event->index * 8 + model);
        options.model = model;
        options.random = w->budget;
        options.exhaustive = 5;
        options.granule = event->index % 2 == 0 ? 512 : 4096;
        options.hole = event->index % 3 == 0 ? VARVE_SIM_HOLE_GARBAGE : VARVE_SIM_HOLE_ZEROS;
        must(varve_sim_crash_open(sim, &options, &crash) == 0);
        const uint64_t count = varve_sim_crash_count(crash);
        const uint64_t most = run_is_full() ? 96 : 24; /* tests/crash goes through many more */
        const uint64_t stride = count < most ? 1 : count / most;
        for (uint64_t i = 0; i < count; i += stride) {
            must(varve_sim_crash_at(crash, i, &image, NULL) == 0);
            check_image(w, image);
            w->models[model]++;
            varve_sim_destroy(image);
        }
        varve_sim_crash_close(crash);
    }
    return 0;
}

static void plan_states(uint64_t *states, uint32_t n, uint64_t seed)
{
    struct rig rig;

    rig_init(&rig, seed);
    struct varve_manifest *m = created(&rig);
    states[0] = manifest_state(m);
    for (uint32_t i = 0; i < n; i++) {
        apply_all(&rig, m, i, i + 1);
        states[i + 1] = manifest_state(m);
    }
    varve_manifest_close(m);
    rig_free(&rig);
}

/* The whole script, then a close, an open and one more switch, with a crash before every write. */
START_TEST(every_crash_leaves_the_state_before_or_after)
{
    struct rig rig;
    static uint64_t states[STEPS + 1];
    const uint32_t steps = run_is_full() ? STEPS : 42;

    plan_states(states, STEPS, 5);
    rig_init(&rig, 5);
    struct crash_watch w = {.rig = &rig, .states = states, .budget = run_is_full() ? 32 : 8};
    must(varve_sim_watch(rig.sim, on_event, &w) == 0);
    w.started = true;
    struct varve_manifest *m = created(&rig);
    w.made = true;
    for (uint32_t i = 0; i < steps; i++) {
        apply_all(&rig, m, i, i + 1);
        w.done++;
        if (i % 16 != 8)
            continue;
        w.started = false;
        must(varve_manifest_switch(m, &rig.err) == VARVE_OK);
        varve_manifest_close(m);
        m = opened(&rig, false);
        w.started = true;
    }
    w.started = false;
    varve_sim_unwatch(rig.sim, on_event, &w);
    varve_manifest_close(m);
    run_share("crash states of a manifest: %llu (A %llu, B %llu, C %llu, D %llu, E %llu)",
              (unsigned long long)w.images, (unsigned long long)w.models[1],
              (unsigned long long)w.models[2], (unsigned long long)w.models[3],
              (unsigned long long)w.models[4], (unsigned long long)w.models[5]);
    rig_free(&rig);
}
END_TEST

/* -------------------------------------------------------------------------------- Failed calls */

static int is_written(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    uint64_t *writes = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_AFTER && event->result >= 0 &&
        (event->op & (VARVE_SIM_WRITE | VARVE_SIM_RENAME | VARVE_SIM_TRUNCATE)) != 0)
        ++*writes;
    return 0;
}

/* Which operations have failed. */
static int note_failed(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    uint32_t *failed = ctx;

    (void)sim;
    if (event->phase == VARVE_SIM_AFTER && event->result < 0)
        *failed |= (uint32_t)event->op;
    return 0;
}

struct attempt {
    uint32_t done;      /* steps that succeeded */
    varve_status first; /* error */
    bool made;
};

/* Run the script until something fails. If that leaves the disk in doubt it has to go on failing, and to
 * write nothing; else nothing has happened, and it goes on. */
static struct attempt run_script(struct rig *rig, uint32_t steps)
{
    const uint32_t doubtful =
        VARVE_SIM_WRITE | VARVE_SIM_SYNC | VARVE_SIM_RENAME | VARVE_SIM_SYNC_DIR;
    struct attempt a = {.first = VARVE_OK};
    struct varve_manifest *m = NULL;
    uint64_t writes = 0;
    uint32_t failed = 0;

    a.first = varve_manifest_create(rig->vfs, &rig->heap, &m, &rig->err);
    if (a.first < 0)
        return a;
    a.made = true;
    must(varve_sim_watch(rig->sim, note_failed, &failed) == 0);
    while (a.done < steps && a.first == VARVE_OK) {
        failed = 0;
        a.first = sample_apply(m, rig, a.done);
        if (a.first == VARVE_OK && a.done % 16 == 8)
            a.first = varve_manifest_switch(m, &rig->err);
        else if (a.first < 0)
            break;
        a.done++;
    }
    varve_sim_unwatch(rig->sim, note_failed, &failed);
    const bool is_last = a.first < 0 && a.first != VARVE_ENOSPC && (failed & doubtful) != 0;
    must(varve_manifest_is_failed(m) == is_last);
    varve_sim_fault_clear(rig->sim);
    if (is_last) {
        must(varve_sim_watch(rig->sim, is_written, &writes) == 0);
        must(sample_apply(m, rig, a.done) == a.first);
        must(varve_manifest_switch(m, &rig->err) == a.first);
        must(writes == 0);
        varve_sim_unwatch(rig->sim, is_written, &writes);
    } else if (a.first < 0) {
        const varve_status rc = sample_apply(m, rig, a.done);
        must(rc == VARVE_OK);
        a.done++;
    }
    varve_manifest_close(m);
    return a;
}

static void fail_everywhere(uint32_t classes, int error, uint32_t sync_mode, bool for_ever,
                            const uint64_t *states, uint64_t *ret_points)
{
    for (uint64_t n = 1;; n++) {
        struct rig rig;
        struct varve_sim_fault fault = {.classes = classes,
                                        .sync_mode = sync_mode,
                                        .nth = n,
                                        .times = for_ever ? UINT64_MAX : 1,
                                        .error = error};
        rig_init(&rig, 5);
        must(varve_sim_fault_add(rig.sim, &fault) == 0);
        const struct attempt a = run_script(&rig, 30);
        const bool hit = varve_sim_fault_hits(rig.sim) > 0;
        varve_sim_fault_clear(rig.sim); /* of a manifest that was not made */
        if (a.made) {
            const uint64_t state = opened_state(&rig, true);
            must(state == states[a.done] || (a.first < 0 && state == states[a.done + 1]));
            must(opened_state(&rig, false) == state);
        }
        must(a.first < 0 || a.done == 30);
        rig_free(&rig);
        if (!hit)
            break;
        ++*ret_points;
    }
}

START_TEST(a_failed_operation_is_the_last_or_none)
{
    static uint64_t states[STEPS + 1];
    static const struct {
        uint32_t classes;
        int error;
    } kinds[] = {
        {VARVE_SIM_ANY, EIO},     {VARVE_SIM_ANY, EMFILE},      {VARVE_SIM_WRITE, ENOSPC},
        {VARVE_SIM_SYNC, EIO},    {VARVE_SIM_SYNC_DIR, ENOSPC}, {VARVE_SIM_RENAME, ENOSPC},
        {VARVE_SIM_OPEN, ENOSPC}, {VARVE_SIM_SYNC, ENOSPC},     {VARVE_SIM_SYNC_DIR, EIO},
        {VARVE_SIM_RENAME, EIO},
    };
    uint64_t points = 0;

    plan_states(states, STEPS, 5);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (uint32_t i = 0; i < 4; i += run_is_full() ? 1 : 3)
            fail_everywhere(kinds[k].classes, kinds[k].error, i & 1, (i & 2) != 0, states, &points);
    run_share("fault points: %llu disk operations of a manifest failed",
              (unsigned long long)points);
}
END_TEST

START_TEST(a_full_disk_at_a_switch_leaves_the_old_generation_usable)
{
    struct rig rig;

    rig_init(&rig, 5);
    struct varve_manifest *m = created(&rig);
    apply_all(&rig, m, 0, 5);
    const uint64_t state = manifest_state(m);
    varve_sim_set_capacity(rig.sim, varve_sim_used(rig.sim) + 8192);
    ck_assert_int_eq(varve_manifest_switch(m, &rig.err), VARVE_ENOSPC);
    ck_assert_uint_eq(manifest_state(m), state);
    apply_all(&rig, m, 5, 7);
    ck_assert_uint_eq(varve_manifest_generation(m), 1);
    ck_assert_uint_eq(opened_state(&rig, true), manifest_state(m));
    varve_sim_set_capacity(rig.sim, 0);
    ck_assert_int_eq(varve_manifest_switch(m, &rig.err), VARVE_OK);
    ck_assert_uint_eq(varve_manifest_generation(m), 2);
    varve_manifest_close(m);
    rig_free(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------- Memory */

/* Create, edit until a generation is full, read beside, open again. */
static varve_status whole_life(struct rig *rig, uint32_t *ret_done)
{
    struct varve_manifest *m = NULL, *reader = NULL;
    varve_status rc = varve_manifest_create(rig->vfs, &rig->heap, &m, &rig->err);
    bool changed;

    *ret_done = 0;
    if (rc == VARVE_OK)
        rc = varve_manifest_open(rig->vfs, &rig->heap, true, &reader, &rig->err);
    for (uint32_t i = 0; rc == VARVE_OK && i < SAMPLE_EDITS; i++) {
        const uint64_t before = manifest_state(m);
        rc = sample_apply(m, rig, i);
        if (rc < 0)
            must(manifest_state(m) == before);
        *ret_done += rc == VARVE_OK;
    }
    if (rc == VARVE_OK)
        rc = varve_manifest_refresh(reader, &changed, &rig->err);
    if (rc == VARVE_OK)
        rc = varve_manifest_switch(m, &rig->err);
    if (rc == VARVE_OK)
        rc = varve_manifest_refresh(reader, &changed, &rig->err);
    varve_manifest_close(reader);
    varve_manifest_close(m);
    m = NULL;
    if (rc == VARVE_OK)
        rc = varve_manifest_open(rig->vfs, &rig->heap, false, &m, &rig->err);
    varve_manifest_close(m);
    return rc;
}

START_TEST(every_failed_allocation_changes_nothing)
{
    static uint64_t states[STEPS + 1];
    const enum fault_mode mode = _i == 0 ? FAULT_ONCE : FAULT_FOR_EVER;

    plan_states(states, STEPS, 5);
    for (long n = 0;; n++) {
        struct rig rig;
        uint32_t done = 0;
        rig_init(&rig, 5);
        rig_fault(&rig, n, mode);
        const varve_status rc = whole_life(&rig, &done);
        const bool fired = fault_fired(&rig.fault);
        must(rc == (fired ? VARVE_ENOMEM : VARVE_OK));
        must(fault_blocks(&rig.fault) == 0);
        rig_fault(&rig, FAULT_NEVER, FAULT_ONCE);
        struct varve_manifest *m = NULL;
        const varve_status again = varve_manifest_open(rig.vfs, &rig.heap, true, &m, &rig.err);
        must(again == VARVE_OK || (again == VARVE_ENOTFOUND && done == 0));
        if (again == VARVE_OK)
            must(manifest_state(m) == states[done]);
        varve_manifest_close(m);
        rig_free(&rig);
        if (!fired)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest");
    TCase *keeps = tcase_create("keeps"), *damage = tcase_create("damage"),
          *faults = tcase_create("faults");

    tcase_add_test(keeps, every_edit_comes_back);
    tcase_add_test(keeps, a_new_directory_has_no_manifest);
    tcase_add_test(keeps, generations_follow_when_the_room_is_used_up);
    tcase_add_test(keeps, first_edit_after_an_open_leaves_the_old_file_alone);
    tcase_add_test(keeps, old_versions_stay_as_they_were);
    tcase_add_test(keeps, a_definition_that_contradicts_another_is_refused);
    tcase_add_test(keeps, contradictions_are_refused_and_change_nothing);
    tcase_add_test(keeps, a_reader_follows_edits_and_generations);
    tcase_add_test(keeps, a_refresh_that_fails_leaves_the_reader_usable);
    tcase_add_test(damage, every_flipped_byte_is_repaired_or_refused);
    tcase_add_test(damage, every_truncation_is_refused);
    tcase_add_test(damage, every_lost_or_foreign_sector_is_repaired_or_refused);
    tcase_add_test(damage, damage_before_a_later_edit_is_refused_by_readers_too);
    tcase_add_test(damage, a_file_of_another_store_or_generation_is_refused);
    tcase_add_loop_test(damage, a_torn_last_edit_is_there_or_is_not, 0, 2);
    tcase_add_test(faults, every_crash_leaves_the_state_before_or_after);
    tcase_add_test(faults, a_failed_operation_is_the_last_or_none);
    tcase_add_test(faults, a_full_disk_at_a_switch_leaves_the_old_generation_usable);
    tcase_add_loop_test(faults, every_failed_allocation_changes_nothing, 0, 2);
    TCase *all[] = {keeps, damage, faults};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tcase_set_timeout(all[i], run_is_full() ? 3600 : 60);
        suite_add_tcase(suite, all[i]);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
