/*
 * harm.c - see harm.h.
 */
#include "tests/unit/engine/harm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"

#define PAGE 4096u

static void note(struct harm *harm, varve_finding kind, const varve_error *detail)
{
    ck_assert_int_lt(harm->n, HARM_MAX);
    harm->kinds[harm->n] = kind;
    harm->items[harm->n++] = *detail;
    harm->n_cut += kind == VARVE_FOUND_CUT;
    harm->n_kept += kind == VARVE_FOUND_KEPT;
    harm->n_missing += kind == VARVE_FOUND_MISSING;
}

static void note_finding(void *ctx, varve_finding kind, const varve_error *detail)
{
    note(ctx, kind, detail);
}

static void note_problem(void *ctx, const varve_error *problem)
{
    note(ctx, (varve_finding)0, problem);
}

void harm_findings(struct sim_store *s, struct harm *ret)
{
    memset(ret, 0, sizeof *ret);
    varve_open_findings(s->store, note_finding, ret);
}

varve_status harm_verify(struct sim_store *s, struct harm *ret)
{
    memset(ret, 0, sizeof *ret);
    const varve_status rc = varve_verify(s->store, note_problem, ret, NULL, NULL, &s->err);

    ck_assert_int_eq(rc, ret->n > 0 ? VARVE_ECORRUPT : VARVE_OK);
    return rc;
}

bool harm_names(const struct harm *harm, const char *file, uint64_t offset)
{
    for (int i = 0; i < harm->n; i++)
        if (strcmp(harm->items[i].file, file) == 0 && harm->items[i].offset == offset)
            return true;
    return false;
}

bool harm_exists(struct sim_store *s, const char *name)
{
    return varve_sim_size(s->sim, name) >= 0;
}

static uint8_t *content(struct sim_store *s, const char *name, uint64_t *ret_size)
{
    const int64_t size = varve_sim_size(s->sim, name);
    uint8_t *bytes = malloc((size_t)size + 1);

    ck_assert(size >= 0 && bytes != NULL);
    ck_assert_int_eq(varve_sim_read(s->sim, name, 0, bytes, (size_t)size), size);
    *ret_size = (uint64_t)size;
    return bytes;
}

uint32_t harm_pages(struct sim_store *s, const char *name)
{
    uint64_t size;
    uint8_t *bytes = content(s, name, &size);

    while (size > 0 && bytes[size - 1] == 0)
        size--;
    free(bytes);
    return (uint32_t)((size + PAGE - 1) / PAGE);
}

void harm_flip(struct sim_store *s, const char *name, uint64_t page, uint64_t byte)
{
    ck_assert_int_eq(varve_sim_flip(s->sim, name, (page * PAGE + byte) * 8 + 2), 0);
}

void harm_zero_sector(struct sim_store *s, const char *name, uint64_t page, uint64_t sector)
{
    static const uint8_t zeros[512];

    ck_assert_int_eq(
        varve_sim_overwrite(s->sim, name, page * PAGE + sector * 512, zeros, sizeof zeros), 0);
}

static int before_read(void *ctx, struct varve_sim *sim, const struct varve_sim_event *event)
{
    const struct harm_unread *unread = ctx;

    (void)sim;
    if (event->phase != VARVE_SIM_BEFORE || event->op != VARVE_SIM_READ)
        return 0;
    for (int i = 0; i < unread->n; i++)
        if (strcmp(event->name, unread->names[i]) == 0 &&
            event->offset < (unread->pages[i] + 1) * PAGE &&
            unread->pages[i] * PAGE < event->offset + event->size)
            return -EIO;
    return 0;
}

void harm_unread(struct sim_store *s, struct harm_unread *unread)
{
    ck_assert_int_eq(varve_sim_watch(s->sim, before_read, unread), 0);
}

void harm_unread_add(struct harm_unread *unread, const char *name, uint64_t page)
{
    ck_assert_int_lt(unread->n, 4);
    unread->pages[unread->n] = page;
    memcpy(unread->names[unread->n++], name, strlen(name) + 1);
}

struct disk_hash {
    struct sim_store *s;
    uint64_t hash;
};

static int add_file(void *ctx, const char *name)
{
    struct disk_hash *d = ctx;
    uint64_t size;
    uint8_t *bytes = content(d->s, name, &size);

    d->hash = varve_hash64(name, strlen(name), d->hash);
    d->hash = varve_hash64(bytes, size, d->hash ^ size);
    free(bytes);
    return 0;
}

uint64_t harm_disk_hash(struct sim_store *s)
{
    struct disk_hash d = {.s = s};

    ck_assert_int_eq(varve_sim_list(s->sim, add_file, &d), 0);
    return d.hash;
}
