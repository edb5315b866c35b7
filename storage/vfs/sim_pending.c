/*
 * sim_pending.c - inodes and directories of the simulated disk, and the ordered list of operations
 * that a crash may still undo. Rules S1 to S6 of vfs_sim.h, invariants I3 and I4 of sim_int.h.
 */
#include "storage/vfs/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "storage/base/alloc.h"
#include "storage/base/vec.h"

/* ---- inodes ---- */

struct varve_sim_inode *varve_sim_inode_create(struct varve_sim *sim)
{
    struct varve_sim_inode *inode = varve_alloc_zero(sim->heap, 1, sizeof *inode);
    if (inode == NULL)
        return NULL;
    inode->id = ++sim->next_inode;
    inode->refs = 1;
    inode->next = sim->inodes;
    if (inode->next != NULL)
        inode->next->prev = inode;
    sim->inodes = inode;
    return inode;
}

static void op_free(struct varve_sim *sim, struct varve_sim_op *op)
{
    for (size_t i = 0; i < op->page_count; i++)
        varve_sim_page_unref(sim->heap, op->pages[i]);
    varve_free(sim->heap, op->page_block, op->page_capacity * sizeof *op->page_block);
    varve_free(sim->heap, op, sizeof *op);
}

static void op_unlist(struct varve_sim *sim, struct varve_sim_op *op)
{
    if (op->prev != NULL)
        op->prev->next = op->next;
    else
        sim->first = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    else
        sim->last = op->prev;
}

/* Nobody can reach the inode any more, not even after a crash: its pending bytes are moot. */
static void inode_free(struct varve_sim *sim, struct varve_sim_inode *inode)
{
    struct varve_sim_op *next;

    for (struct varve_sim_op *op = sim->first; op != NULL && inode->pending > 0; op = next) {
        next = op->next;
        if (op->inode != inode)
            continue;
        assert(!varve_sim_op_is_entry(op)); /* those hold a reference */
        op_unlist(sim, op);
        op_free(sim, op);
        inode->pending--;
    }
    if (inode->prev != NULL)
        inode->prev->next = inode->next;
    else
        sim->inodes = inode->next;
    if (inode->next != NULL)
        inode->next->prev = inode->prev;
    varve_sim_content_free(sim->heap, &inode->now);
    varve_sim_content_free(sim->heap, &inode->durable);
    varve_free(sim->heap, inode->locks, inode->lock_capacity * sizeof *inode->locks);
    varve_free(sim->heap, inode, sizeof *inode);
}

void varve_sim_inode_unref(struct varve_sim *sim, struct varve_sim_inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs == 0)
        inode_free(sim, inode);
}

/* ---- directories ---- */

static struct varve_sim_entry *find_entry(const struct varve_sim_dir *dir, const char *name)
{
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    return NULL;
}

struct varve_sim_inode *varve_sim_dir_find(const struct varve_sim_dir *dir, const char *name)
{
    const struct varve_sim_entry *entry = find_entry(dir, name);
    return entry == NULL ? NULL : entry->inode;
}

static void entry_release(struct varve_sim *sim, const struct varve_sim_dir *dir,
                          struct varve_sim_inode *inode)
{
    if (dir == &sim->now)
        inode->links--;
    varve_sim_inode_unref(sim, inode);
}

int varve_sim_dir_set(struct varve_sim *sim, struct varve_sim_dir *dir, const char *name,
                      struct varve_sim_inode *inode)
{
    struct varve_sim_entry *entry = find_entry(dir, name);
    struct varve_sim_inode *old = entry == NULL ? NULL : entry->inode;

    if (entry == NULL) {
        if (!varve_vec_grow(sim->heap, (void **)&dir->entries, sizeof *dir->entries, dir->count + 1,
                            &dir->capacity))
            return -ENOMEM;
        entry = &dir->entries[dir->count++];
        memset(entry->name, 0, sizeof entry->name);
        memcpy(entry->name, name, strlen(name));
    }
    inode->refs++;
    if (dir == &sim->now)
        inode->links++;
    entry->inode = inode;
    if (old != NULL)
        entry_release(sim, dir, old);
    return 0;
}

void varve_sim_dir_remove(struct varve_sim *sim, struct varve_sim_dir *dir, const char *name)
{
    struct varve_sim_entry *entry = find_entry(dir, name);
    if (entry == NULL)
        return;
    struct varve_sim_inode *inode = entry->inode;
    const size_t after = dir->count - (size_t)(entry - dir->entries) - 1;
    memmove(entry, entry + 1, after * sizeof *entry);
    dir->count--;
    entry_release(sim, dir, inode);
}

void varve_sim_dir_free(struct varve_sim *sim, struct varve_sim_dir *dir)
{
    while (dir->count > 0)
        entry_release(sim, dir, dir->entries[--dir->count].inode);
    varve_free(sim->heap, dir->entries, dir->capacity * sizeof *dir->entries);
    *dir = (struct varve_sim_dir){0};
}

/* ---- pending operations ---- */

bool varve_sim_op_is_entry(const struct varve_sim_op *op)
{
    return op->kind >= VARVE_SIM_OP_CREATE;
}

static void op_append(struct varve_sim *sim, struct varve_sim_op *op)
{
    op->prev = sim->last;
    op->next = NULL;
    if (sim->last != NULL)
        sim->last->next = op;
    else
        sim->first = op;
    sim->last = op;
    if (varve_sim_op_is_entry(op))
        op->inode->refs++;
    else
        op->inode->pending++;
    sim->changes++;
}

void varve_sim_op_drop(struct varve_sim *sim, struct varve_sim_op *op)
{
    struct varve_sim_inode *inode = op->inode;
    const bool is_entry = varve_sim_op_is_entry(op);

    op_unlist(sim, op);
    op_free(sim, op);
    sim->changes++;
    if (is_entry) {
        varve_sim_inode_unref(sim, inode);
    } else {
        assert(inode->pending > 0);
        inode->pending--;
    }
}

static struct varve_sim_op *op_create(struct varve_sim *sim, uint32_t kind,
                                      struct varve_sim_inode *inode)
{
    struct varve_sim_op *op = varve_alloc_zero(sim->heap, 1, sizeof *op);
    if (op != NULL) {
        op->kind = kind;
        op->inode = inode;
        op->in_flight = true;
    }
    return op;
}

static int op_alloc_pages(struct varve_sim *sim, struct varve_sim_op *op, size_t count)
{
    if (count == 0)
        return 0;
    op->page_block = varve_alloc_zero(sim->heap, count, sizeof *op->page_block);
    if (op->page_block == NULL)
        return -ENOMEM;
    op->page_capacity = count;
    op->pages = op->page_block;
    return 0;
}

/* The part of page `i` of a write that lies in its range. */
static void op_page_range(const struct varve_sim_op *op, size_t i, uint32_t *ret_from,
                          uint32_t *ret_to)
{
    const uint64_t page_start =
        (op->offset / VARVE_SIM_PAGE_SIZE + i) * (uint64_t)VARVE_SIM_PAGE_SIZE;
    const uint64_t start = op->offset > page_start ? op->offset : page_start;
    const uint64_t end = op->offset + op->size < page_start + VARVE_SIM_PAGE_SIZE
                             ? op->offset + op->size
                             : page_start + VARVE_SIM_PAGE_SIZE;
    *ret_from = (uint32_t)(start - page_start);
    *ret_to = (uint32_t)(end - page_start);
}

static size_t pages_touched(uint64_t offset, uint64_t size)
{
    if (size == 0)
        return 0;
    return (size_t)((offset + size - 1) / VARVE_SIM_PAGE_SIZE - offset / VARVE_SIM_PAGE_SIZE + 1);
}

int varve_sim_op_write(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t offset,
                       const void *bytes, uint64_t size, struct varve_sim_op **ret_op)
{
    const uint8_t *from_bytes = bytes;
    struct varve_sim_op *op = op_create(sim, VARVE_SIM_OP_WRITE, inode);
    if (op == NULL)
        return -ENOMEM;

    op->offset = offset;
    op->size = size;
    if (op_alloc_pages(sim, op, pages_touched(offset, size)) < 0)
        goto fail;
    for (size_t i = 0; i < op->page_capacity; i++) {
        uint32_t from, to;
        op->pages[i] = varve_sim_page_create(sim->heap);
        if (op->pages[i] == NULL)
            goto fail;
        op->page_count++;
        op_page_range(op, i, &from, &to);
        memcpy(op->pages[i]->bytes + from, from_bytes, to - from);
        from_bytes += to - from;
    }
    op_append(sim, op);
    *ret_op = op;
    return 0;

fail:
    op_free(sim, op);
    return -ENOMEM;
}

int varve_sim_op_size(struct varve_sim *sim, uint32_t kind, struct varve_sim_inode *inode,
                      uint64_t size, struct varve_sim_op **ret_op)
{
    struct varve_sim_op *op = op_create(sim, kind, inode);
    if (op == NULL)
        return -ENOMEM;
    op->size = size;
    op_append(sim, op);
    *ret_op = op;
    return 0;
}

int varve_sim_op_entry(struct varve_sim *sim, uint32_t kind, const char *name, const char *to,
                       struct varve_sim_inode *inode, struct varve_sim_op **ret_op)
{
    struct varve_sim_op *op = op_create(sim, kind, inode);
    if (op == NULL)
        return -ENOMEM;
    memcpy(op->name, name, strlen(name));
    if (to != NULL)
        memcpy(op->to, to, strlen(to));
    op_append(sim, op);
    *ret_op = op;
    return 0;
}

int varve_sim_op_copy(struct varve_sim *sim, const struct varve_sim_op *op,
                      struct varve_sim_inode *inode)
{
    struct varve_sim_op *copy = op_create(sim, op->kind, inode);
    if (copy == NULL)
        return -ENOMEM;
    copy->in_flight = op->in_flight;
    copy->lost = op->lost;
    copy->done_seq = op->done_seq;
    copy->offset = op->offset;
    copy->size = op->size;
    memcpy(copy->name, op->name, sizeof copy->name);
    memcpy(copy->to, op->to, sizeof copy->to);
    if (op_alloc_pages(sim, copy, op->page_count) < 0) {
        op_free(sim, copy);
        return -ENOMEM;
    }
    for (; copy->page_count < op->page_count; copy->page_count++) {
        copy->pages[copy->page_count] = op->pages[copy->page_count];
        copy->pages[copy->page_count]->refs++;
    }
    op_append(sim, copy);
    return 0;
}

int varve_sim_op_apply(struct varve_sim *sim, const struct varve_sim_op *op,
                       struct varve_sim_content *content)
{
    const size_t first = (size_t)(op->offset / VARVE_SIM_PAGE_SIZE);

    switch (op->kind) {
    case VARVE_SIM_OP_WRITE:
        for (size_t i = 0; i < op->page_count; i++) {
            uint32_t from, to;
            op_page_range(op, i, &from, &to);
            if (varve_sim_content_put(sim->heap, content, first + i, op->pages[i], from, to) < 0)
                return -ENOMEM;
        }
        if (op->size > 0 && content->size < op->offset + op->size)
            content->size = op->offset + op->size;
        return 0;
    case VARVE_SIM_OP_TRUNCATE:
        return varve_sim_content_resize(sim->heap, content, op->size);
    default:
        assert(op->kind == VARVE_SIM_OP_ALLOCATE);
        return varve_sim_content_reserve(sim->heap, content, op->size, sim->zero);
    }
}

int varve_sim_op_apply_entry(struct varve_sim *sim, const struct varve_sim_op *op,
                             struct varve_sim_dir *dir)
{
    switch (op->kind) {
    case VARVE_SIM_OP_CREATE:
        return varve_sim_dir_set(sim, dir, op->name, op->inode);
    case VARVE_SIM_OP_RENAME:
        if (varve_sim_dir_set(sim, dir, op->to, op->inode) < 0)
            return -ENOMEM;
        break;
    default:
        assert(op->kind == VARVE_SIM_OP_UNLINK);
        break;
    }
    /* Not if a crash has reordered things and the name is another file's by now. */
    if (varve_sim_dir_find(dir, op->name) == op->inode)
        varve_sim_dir_remove(sim, dir, op->name);
    return 0;
}

int varve_sim_op_complete(struct varve_sim *sim, struct varve_sim_op *op)
{
    assert(op->in_flight);
    const int rc = varve_sim_op_is_entry(op) ? varve_sim_op_apply_entry(sim, op, &sim->now)
                                             : varve_sim_op_apply(sim, op, &op->inode->now);
    if (rc < 0)
        return rc;
    op->in_flight = false;
    op->done_seq = ++sim->completions;
    sim->changes++;
    return 0;
}

/* ---- becoming durable ---- */

/* Keep of a pending write only [start, end), which is not empty and within its range. */
static void op_narrow(struct varve_sim *sim, struct varve_sim_op *op, uint64_t start, uint64_t end)
{
    const size_t first = (size_t)(op->offset / VARVE_SIM_PAGE_SIZE);
    const size_t skip = (size_t)(start / VARVE_SIM_PAGE_SIZE) - first;
    const size_t keep = pages_touched(start, end - start);

    assert(op->offset <= start && start < end && end <= op->offset + op->size);
    for (size_t i = 0; i < op->page_count; i++)
        if (i < skip || i >= skip + keep)
            varve_sim_page_unref(sim->heap, op->pages[i]);
    op->pages += skip;
    op->page_count = keep;
    op->offset = start;
    op->size = end - start;
}

/* Take [start, end) out of a pending write, which may become two, or none. */
static int op_cut(struct varve_sim *sim, struct varve_sim_op *op, uint64_t start, uint64_t end)
{
    const uint64_t op_end = op->offset + op->size;

    if (start >= op_end || end <= op->offset)
        return 0;
    if (start <= op->offset && end >= op_end) {
        varve_sim_op_drop(sim, op);
        return 0;
    }
    if (start > op->offset && end < op_end) {
        struct varve_sim_op *before = op->prev, *tail;
        if (varve_sim_op_copy(sim, op, op->inode) < 0)
            return -ENOMEM;
        tail = sim->last;
        op_narrow(sim, tail, end, op_end);
        /* Its place in the order is right after `op`. */
        op_unlist(sim, tail);
        tail->prev = op;
        tail->next = op->next;
        if (op->next != NULL)
            op->next->prev = tail;
        else
            sim->last = tail;
        op->next = tail;
        assert(op->prev == before);
        op_narrow(sim, op, op->offset, start);
        return 0;
    }
    if (start <= op->offset)
        op_narrow(sim, op, end, op_end);
    else
        op_narrow(sim, op, op->offset, start);
    return 0;
}

static bool changes_size(const struct varve_sim_op *op)
{
    return op->kind == VARVE_SIM_OP_TRUNCATE || op->kind == VARVE_SIM_OP_ALLOCATE;
}

/* I4 before a write becomes durable: earlier truncations that would cut it off have happened. */
static int commit_cuts_before(struct varve_sim *sim, const struct varve_sim_op *op)
{
    struct varve_sim_op *next;

    for (struct varve_sim_op *earlier = sim->first; earlier != op; earlier = next) {
        next = earlier->next;
        if (earlier->inode != op->inode || earlier->kind != VARVE_SIM_OP_TRUNCATE ||
            earlier->size >= op->offset + op->size)
            continue;
        const int rc = varve_sim_content_resize(sim->heap, &op->inode->durable, earlier->size);
        if (rc < 0)
            return rc;
        varve_sim_op_drop(sim, earlier);
    }
    return 0;
}

/* I4: take what `op` has made durable out of the earlier operations on the content. Those in flight
 * belong to their queue and are left; they overlap only if the caller broke the rule. */
static int supersede(struct varve_sim *sim, const struct varve_sim_op *op)
{
    struct varve_sim_op *next;

    for (struct varve_sim_op *earlier = sim->first; earlier != op; earlier = next) {
        next = earlier->next;
        if (earlier->inode != op->inode || varve_sim_op_is_entry(earlier) || earlier->in_flight)
            continue;
        int rc = 0;
        if (op->kind == VARVE_SIM_OP_WRITE && earlier->kind == VARVE_SIM_OP_WRITE)
            rc = op_cut(sim, earlier, op->offset, op->offset + op->size);
        else if (op->kind == VARVE_SIM_OP_TRUNCATE && earlier->kind == VARVE_SIM_OP_WRITE)
            rc = op_cut(sim, earlier, op->size, UINT64_MAX);
        else if (op->kind == VARVE_SIM_OP_TRUNCATE && changes_size(earlier))
            varve_sim_op_drop(sim, earlier);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool names_overlap(const struct varve_sim_op *a, const struct varve_sim_op *b)
{
    if (strcmp(a->name, b->name) == 0)
        return true;
    if (a->to[0] != 0 && (strcmp(a->to, b->name) == 0 || strcmp(a->to, b->to) == 0))
        return true;
    return b->to[0] != 0 && strcmp(a->name, b->to) == 0;
}

static int commit_entry(struct varve_sim *sim, struct varve_sim_op *op)
{
    struct varve_sim_op *next;

    const int rc = varve_sim_op_apply_entry(sim, op, &sim->durable);
    if (rc < 0)
        return rc;
    for (struct varve_sim_op *earlier = sim->first; earlier != op; earlier = next) {
        next = earlier->next;
        if (varve_sim_op_is_entry(earlier) && names_overlap(earlier, op))
            varve_sim_op_drop(sim, earlier);
    }
    varve_sim_op_drop(sim, op);
    return 0;
}

int varve_sim_op_commit(struct varve_sim *sim, struct varve_sim_op *op)
{
    int rc;

    if (varve_sim_op_is_entry(op))
        return commit_entry(sim, op);
    if (op->kind == VARVE_SIM_OP_WRITE) {
        rc = commit_cuts_before(sim, op);
        if (rc < 0)
            return rc;
    }
    rc = varve_sim_op_apply(sim, op, &op->inode->durable);
    if (rc == 0)
        rc = supersede(sim, op);
    if (rc == 0)
        varve_sim_op_drop(sim, op);
    return rc; /* after a failure it is still pending, and committing it again does no harm */
}

static bool is_covered(const struct varve_sim_op *op, const struct varve_sim_inode *inode,
                       uint64_t seq)
{
    return op->inode == inode && !varve_sim_op_is_entry(op) && !op->in_flight && !op->lost &&
           op->done_seq <= seq;
}

int varve_sim_sync_inode(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t seq)
{
    struct varve_sim_op *next;

    for (struct varve_sim_op *op = sim->first; op != NULL && inode->pending > 0; op = next) {
        next = op->next; /* committing `op` removes none but it and earlier ones */
        if (!is_covered(op, inode, seq))
            continue;
        const int rc = varve_sim_op_commit(sim, op);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Looked for anew every time: an entry's commit may free an inode, and with it later operations. */
static struct varve_sim_op *next_entry(const struct varve_sim *sim)
{
    struct varve_sim_op *op = sim->first;
    while (op != NULL && (!varve_sim_op_is_entry(op) || op->lost))
        op = op->next;
    return op;
}

int varve_sim_sync_entries(struct varve_sim *sim)
{
    struct varve_sim_op *op;

    while ((op = next_entry(sim)) != NULL) {
        const int rc = varve_sim_op_commit(sim, op);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Let `now` be what is durable and what has completed since. */
static int rebuild_now(struct varve_sim *sim, struct varve_sim_inode *inode)
{
    struct varve_sim_content now = {0};

    int rc = varve_sim_content_copy(sim->heap, &now, &inode->durable);
    for (struct varve_sim_op *op = sim->first; op != NULL && rc == 0; op = op->next)
        if (op->inode == inode && !varve_sim_op_is_entry(op) && !op->in_flight)
            rc = varve_sim_op_apply(sim, op, &now);
    if (rc < 0) {
        varve_sim_content_free(sim->heap, &now);
        return rc;
    }
    varve_sim_content_free(sim->heap, &inode->now);
    inode->now = now;
    return 0;
}

int varve_sim_lose_inode(struct varve_sim *sim, struct varve_sim_inode *inode, uint64_t seq,
                         uint32_t sync_mode)
{
    struct varve_sim_op *next;

    for (struct varve_sim_op *op = sim->first; op != NULL; op = next) {
        next = op->next;
        if (!is_covered(op, inode, seq))
            continue;
        if (sync_mode == VARVE_SIM_SYNC_REVERT)
            varve_sim_op_drop(sim, op);
        else
            op->lost = true;
    }
    sim->changes++;
    return sync_mode == VARVE_SIM_SYNC_REVERT ? rebuild_now(sim, inode) : 0;
}

void varve_sim_lose_entries(struct varve_sim *sim)
{
    for (struct varve_sim_op *op = sim->first; op != NULL; op = op->next)
        if (varve_sim_op_is_entry(op))
            op->lost = true;
    sim->changes++;
}

/* ---- questions ---- */

bool varve_sim_is_entry_durable(struct varve_sim *sim, const char *name)
{
    const struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);

    if (inode == NULL || varve_sim_dir_find(&sim->durable, name) != inode)
        return false;
    for (const struct varve_sim_op *op = sim->first; op != NULL; op = op->next)
        if (varve_sim_op_is_entry(op) && (strcmp(op->name, name) == 0 || strcmp(op->to, name) == 0))
            return false;
    return true;
}

bool varve_sim_is_content_durable(struct varve_sim *sim, const char *name)
{
    const struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);
    return inode != NULL && inode->pending == 0;
}

bool varve_sim_is_durable(struct varve_sim *sim, const char *name)
{
    return varve_sim_is_entry_durable(sim, name) && varve_sim_is_content_durable(sim, name);
}

bool varve_sim_is_range_durable(struct varve_sim *sim, const char *name, uint64_t offset,
                                uint64_t size)
{
    const struct varve_sim_inode *inode = varve_sim_dir_find(&sim->now, name);

    if (inode == NULL || inode->durable.size < offset + size)
        return false;
    for (const struct varve_sim_op *op = sim->first; op != NULL; op = op->next) {
        if (op->inode != inode)
            continue;
        if (op->kind == VARVE_SIM_OP_WRITE && op->offset < offset + size &&
            offset < op->offset + op->size)
            return false;
        if (op->kind == VARVE_SIM_OP_TRUNCATE && op->size < offset + size)
            return false;
    }
    return true;
}

bool varve_sim_is_gone(struct varve_sim *sim, const char *name)
{
    if (varve_sim_dir_find(&sim->now, name) != NULL ||
        varve_sim_dir_find(&sim->durable, name) != NULL)
        return false;
    for (const struct varve_sim_op *op = sim->first; op != NULL; op = op->next)
        if ((op->kind == VARVE_SIM_OP_CREATE && strcmp(op->name, name) == 0) ||
            (op->kind == VARVE_SIM_OP_RENAME && strcmp(op->to, name) == 0))
            return false;
    return true;
}
