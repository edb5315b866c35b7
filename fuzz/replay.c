/*
 * replay.c - run a fuzz target over files, where no fuzzer is linked in.
 *
 *     replay_<target> [--fails] FILE|DIRECTORY ...
 *
 * Every file goes to LLVMFuzzerTestOneInput() in a buffer of its exact size. A target that finds a
 * fault aborts. With --fails the target must abort: each file runs in a child process, and it is an
 * error if none of them dies. At least one file must have been read.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replay {
    bool in_child;
    uint32_t files;
    uint32_t died;
};

static int run_bytes(struct replay *replay, const uint8_t *data, size_t size)
{
    int status = 0;

    replay->files++;
    if (!replay->in_child)
        return LLVMFuzzerTestOneInput(data, size);
    const pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        (void)LLVMFuzzerTestOneInput(data, size);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child)
        return -1;
    replay->died += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return 0;
}

static int run_file(struct replay *replay, const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size + (size == 0));
    int rc = -1;

    if (file != NULL && data != NULL && fread(data, 1, size, file) == size)
        rc = run_bytes(replay, data, size);
    if (rc != 0)
        fprintf(stderr, "cannot replay %s: %s\n", path, strerror(errno));
    free(data);
    if (file != NULL)
        (void)fclose(file);
    return rc;
}

/* A file, or the files of a directory (not of those below it). */
static int run_path(struct replay *replay, const char *path, bool descend)
{
    struct stat info;
    int rc = 0;

    if (stat(path, &info) != 0) {
        fprintf(stderr, "no such file: %s\n", path);
        return -1;
    }
    if (S_ISREG(info.st_mode))
        return run_file(replay, path, (size_t)info.st_size);
    if (!S_ISDIR(info.st_mode) || !descend)
        return 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        rc = run_path(replay, name, false);
    }
    (void)closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    struct replay replay = {0};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fails") == 0)
            replay.in_child = true;
        else if (run_path(&replay, argv[i], true) != 0)
            return EXIT_FAILURE;
    }
    if (replay.files == 0 || (replay.in_child && replay.died == 0)) {
        fprintf(stderr, "%u files replayed, %u died\n", replay.files, replay.died);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
