/*
 * sim_damage.c - copies of a simulated machine, and changes to its files behind the store's back:
 * what bit rot, a misdirected write or a careless administrator do. Durable at once, never counted,
 * traced or failed.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/checksum.h"

/* ---- copies ---- */

static int clone_inode(struct varve_sim *to, struct varve_sim_inode *from)
{
    struct varve_sim_inode *copy = varve_sim_inode_create(to);
    if (copy == NULL)
        return -ENOMEM;
    from->copy = copy;
    const int rc = varve_sim_content_copy(to->heap, &copy->now, &from->now);
    return rc < 0 ? rc : varve_sim_content_copy(to->heap, &copy->durable, &from->durable);
}

static int clone_dir(struct varve_sim *to, struct varve_sim_dir *to_dir,
                     const struct varve_sim_dir *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct varve_sim_entry *entry = &from->entries[i];
        const int rc = varve_sim_dir_set(to, to_dir, entry->name, entry->inode->copy);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int clone_pending(struct varve_sim *to, const struct varve_sim *from)
{
    for (const struct varve_sim_op *op = from->first; op != NULL; op = op->next) {
        if (op->in_flight && !varve_sim_survives(from, op))
            continue;
        int rc = varve_sim_op_copy(to, op, op->inode->copy);
        if (rc == 0 && op->in_flight)
            rc = varve_sim_op_complete(to, to->last);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int clone_into(struct varve_sim *to, struct varve_sim *from)
{
    int rc = 0;

    for (struct varve_sim_inode *inode = from->inodes; inode != NULL; inode = inode->next)
        inode->copy = NULL;
    for (struct varve_sim_inode *inode = from->inodes; inode != NULL && rc == 0;
         inode = inode->next)
        rc = clone_inode(to, inode);
    if (rc == 0)
        rc = clone_dir(to, &to->now, &from->now);
    if (rc == 0)
        rc = clone_dir(to, &to->durable, &from->durable);
    if (rc == 0)
        rc = clone_pending(to, from);
    /* The references of creation; what only an open file held goes here. */
    for (struct varve_sim_inode *inode = from->inodes; inode != NULL; inode = inode->next)
        if (inode->copy != NULL)
            varve_sim_inode_unref(to, inode->copy);
    return rc;
}

int varve_sim_clone(struct varve_sim *sim, struct varve_sim **ret_sim)
{
    struct varve_sim *copy = varve_sim_new(&sim->options, sim->zero);
    if (copy == NULL)
        return -ENOMEM;
    copy->rng = sim->rng;
    copy->completions = sim->completions;
    copy->boots = sim->boots;
    copy->next_pid = sim->next_pid;
    copy->wall_us = sim->wall_us;
    copy->boot_us = sim->boot_us;
    const int rc = clone_into(copy, sim);
    if (rc < 0) {
        varve_sim_destroy(copy);
        return rc;
    }
    *ret_sim = copy;
    return 0;
}

/* A sum over the files, so that the order of entries does not matter. */
uint64_t varve_sim_hash(struct varve_sim *sim)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < sim->now.count; i++) {
        const struct varve_sim_entry *entry = &sim->now.entries[i];
        const uint64_t name = varve_hash64(entry->name, strlen(entry->name), 0);
        sum +=
            varve_mix64(name ^ varve_mix64(varve_sim_content_hash(&entry->inode->now, sim->zero)));
    }
    return sum;
}

/* ---- looking ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

int varve_sim_list(struct varve_sim *sim, varve_vfs_list_fn fn, void *ctx)
{
    const size_t count = sim->now.count;
    int rc = 0;

    if (count == 0)
        return 0;
    char(*names)[VARVE_SIM_NAME_MAX] = varve_alloc(sim->heap, count * sizeof *names);
    if (names == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        memcpy(names[i], sim->now.entries[i].name, sizeof names[i]);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = fn(ctx, names[i]);
    varve_free(sim->heap, names, count * sizeof *names);
    return rc;
}

int64_t varve_sim_size(struct varve_sim *sim, const char *name)
{
    const struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);
    return inode == NULL ? -ENOENT : (int64_t)inode->now.size;
}

int64_t varve_sim_read(struct varve_sim *sim, const char *name, uint64_t offset, void *buffer,
                       size_t size)
{
    const struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);
    return inode == NULL ? -ENOENT
                         : (int64_t)varve_sim_content_read(&inode->now, offset, buffer, size);
}

/* ---- changing ---- */

/* The inode of `name`, everything about it made durable, so that a change has one meaning. */
static int settle(struct varve_sim *sim, const char *name, struct varve_sim_inode **ret_inode)
{
    struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);
    if (inode == NULL)
        return -ENOENT;
    sim->changes++;
    const int rc = varve_sim_sync_inode(sim, inode, UINT64_MAX);
    if (rc == 0)
        *ret_inode = inode;
    return rc;
}

int varve_sim_overwrite(struct varve_sim *sim, const char *name, uint64_t offset, const void *bytes,
                        size_t size)
{
    struct varve_sim_inode *inode;

    if (offset > VARVE_SIM_FILE_MAX || size > VARVE_SIM_FILE_MAX - offset)
        return -EFBIG;
    int rc = settle(sim, name, &inode);
    if (rc == 0)
        rc = varve_sim_content_fill(sim->heap, &inode->now, offset, bytes, size);
    if (rc == 0)
        rc = varve_sim_content_fill(sim->heap, &inode->durable, offset, bytes, size);
    return rc;
}

int varve_sim_flip(struct varve_sim *sim, const char *name, uint64_t bit)
{
    uint8_t byte;

    const int64_t got = varve_sim_read(sim, name, bit / 8, &byte, 1);
    if (got <= 0)
        return got < 0 ? (int)got : -ERANGE;
    byte ^= (uint8_t)(1u << (bit % 8));
    return varve_sim_overwrite(sim, name, bit / 8, &byte, 1);
}

int varve_sim_truncate(struct varve_sim *sim, const char *name, uint64_t size)
{
    struct varve_sim_inode *inode;

    if (size > VARVE_SIM_FILE_MAX)
        return -EFBIG;
    int rc = settle(sim, name, &inode);
    if (rc == 0)
        rc = varve_sim_content_resize(sim->heap, &inode->now, size);
    if (rc == 0)
        rc = varve_sim_content_resize(sim->heap, &inode->durable, size);
    return rc;
}

int varve_sim_remove(struct varve_sim *sim, const char *name)
{
    if (varve_sim_dir_find(&sim->now, name) == NULL)
        return -ENOENT;
    sim->changes++;
    const int rc = varve_sim_sync_entries(sim);
    if (rc < 0)
        return rc;
    varve_sim_dir_remove(sim, &sim->durable, name);
    varve_sim_dir_remove(sim, &sim->now, name);
    return 0;
}

/* Enter `inode` in both directories; takes over the caller's reference. */
static int enter(struct varve_sim *sim, const char *name, struct varve_sim_inode *inode)
{
    sim->changes++;
    int rc = varve_sim_sync_entries(sim);
    if (rc == 0)
        rc = varve_sim_dir_set(sim, &sim->durable, name, inode);
    if (rc == 0)
        rc = varve_sim_dir_set(sim, &sim->now, name, inode);
    varve_sim_inode_unref(sim, inode);
    return rc;
}

static int check_new_name(const char *name)
{
    const size_t size = strlen(name);
    if (size >= VARVE_SIM_NAME_MAX)
        return -ENAMETOOLONG;
    return size == 0 || strchr(name, '/') != NULL ? -EINVAL : 0;
}

int varve_sim_put(struct varve_sim *sim, const char *name, const void *bytes, size_t size)
{
    int rc = check_new_name(name);
    if (rc < 0)
        return rc;
    if (varve_sim_dir_find(&sim->now, name) != NULL)
        return -EEXIST;
    struct varve_sim_inode *inode = varve_sim_inode_create(sim);
    if (inode == NULL)
        return -ENOMEM;
    rc = enter(sim, name, inode);
    return rc < 0 || size == 0 ? rc : varve_sim_overwrite(sim, name, 0, bytes, size);
}

int varve_sim_rename(struct varve_sim *sim, const char *from, const char *to)
{
    struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, from);

    int rc = check_new_name(to);
    if (rc < 0)
        return rc;
    if (inode == NULL)
        return -ENOENT;
    if (strcmp(from, to) == 0)
        return 0;
    inode->refs++;
    rc = enter(sim, to, inode);
    return rc < 0 ? rc : varve_sim_remove(sim, from);
}

/* A copy that shares nothing, for a machine whose memory is counted elsewhere. */
static int copy_bytes(struct varve_heap *heap, struct varve_sim_content *to,
                      const struct varve_sim_content *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (from->pages[i] == NULL)
            continue;
        const int rc = varve_sim_content_fill(heap, to, (uint64_t)i * VARVE_SIM_PAGE_SIZE,
                                              from->pages[i]->bytes, VARVE_SIM_PAGE_SIZE);
        if (rc < 0)
            return rc;
    }
    return varve_sim_content_resize(heap, to, from->size);
}

int varve_sim_copy_file(struct varve_sim *to, const char *to_name, struct varve_sim *from,
                        const char *from_name)
{
    const struct varve_sim_inode *source = varve_sim_dir_find(&from->now, from_name);

    int rc = check_new_name(to_name);
    if (rc < 0)
        return rc;
    if (source == NULL)
        return -ENOENT;
    struct varve_sim_inode *inode = varve_sim_inode_create(to);
    if (inode == NULL)
        return -ENOMEM;
    rc = to->heap == from->heap ? varve_sim_content_copy(to->heap, &inode->now, &source->now)
                                : copy_bytes(to->heap, &inode->now, &source->now);
    if (rc == 0)
        rc = varve_sim_content_copy(to->heap, &inode->durable, &inode->now);
    if (rc < 0) {
        varve_sim_inode_unref(to, inode);
        return rc;
    }
    return enter(to, to_name, inode);
}
