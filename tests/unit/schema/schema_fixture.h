/*
 * schema_fixture.h - what the tests of storage/schema share: a heap whose n-th allocation fails,
 * schemas from text, values from text.
 */
#ifndef VARVE_TESTS_SCHEMA_FIXTURE_H
#define VARVE_TESTS_SCHEMA_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/schema/schema.h"

/* An assertion for long loops: Check's own writes to a file each time, also when it holds. */
#define must(condition) ((condition) ? (void)0 : ck_abort_msg("not true: %s", #condition))

struct failing_allocator {
    varve_allocator base;
    struct varve_heap heap;
    long left; /* allocations that succeed; -1: all */
};

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    struct failing_allocator *failing = ctx;

    if (failing->left == 0)
        return NULL;
    if (failing->left > 0)
        failing->left--;
    const size_t unit = align < sizeof(void *) ? sizeof(void *) : align;
    return aligned_alloc(unit, (size + unit - 1) / unit * unit);
}

static void failing_free(void *ctx, void *memory, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(memory);
}

/* A heap of which `left` allocations succeed, or all with -1. */
static inline void failing_init(struct failing_allocator *failing, long left)
{
    *failing = (struct failing_allocator){.left = left};
    failing->base = (varve_allocator){.ctx = failing, .alloc = failing_alloc, .free = failing_free};
    varve_heap_init(&failing->heap, &failing->base, UINT64_MAX);
}

static inline struct varve_schema *schema_of(const char *text)
{
    struct varve_schema *schema = NULL;
    varve_error err;

    if (varve_schema_parse(text, &schema, &err) != VARVE_OK)
        ck_abort_msg("%s: %s", text, err.message);
    return schema;
}

/* A schema with the partition key column k of type `type` and the time column t. */
static inline struct varve_schema *schema_of_type(const char *type)
{
    char text[128];

    (void)snprintf(text, sizeof text, "CREATE TABLE x (k %s, t int, PRIMARY KEY (k, t))", type);
    return schema_of(text);
}

/* Run one suite of one case in this process or a child, as CK_FORK says. */
static inline int run_case(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
