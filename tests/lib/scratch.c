/*
 * scratch.c - directories made by mkdtemp and removed file by file, deepest first.
 */
#include "tests/lib/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN_DIRECTORIES_MAX 16

static void broken(const char *what, const char *path)
{
    (void)fprintf(stderr, "scratch: cannot %s %s: %s\n", what, path, strerror(errno));
    abort();
}

void scratch_create(struct scratch *s)
{
    const char *base = getenv("TMPDIR");
    const int n = snprintf(s->path, sizeof s->path, "%s/varve-test-XXXXXX",
                           base != NULL && base[0] != '\0' ? base : "/tmp");

    if (n < 0 || (size_t)n >= sizeof s->path) {
        errno = ENAMETOOLONG;
        broken("name", s->path);
    }
    if (mkdtemp(s->path) == NULL)
        broken("create", s->path);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    if (walk->level > 0 && remove(path) != 0)
        broken("remove", path);
    return 0;
}

void scratch_clear(struct scratch *s)
{
    if (nftw(s->path, remove_entry, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS) != 0)
        broken("walk through", s->path);
}

void scratch_remove(struct scratch *s)
{
    if (s == NULL || s->path[0] == '\0')
        return;
    scratch_clear(s);
    if (rmdir(s->path) != 0)
        broken("remove", s->path);
    s->path[0] = '\0';
}

void scratch_path(const struct scratch *s, const char *name, char *out, size_t size)
{
    const int n = snprintf(out, size, "%s/%s", s->path, name);

    if (n < 0 || (size_t)n >= size) {
        errno = ENAMETOOLONG;
        broken("name", name);
    }
}
