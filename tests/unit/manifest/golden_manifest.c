/*
 * golden_manifest.c - a manifest that was written once must be read as it was read then.
 *
 *     golden_manifest DIRECTORY           check tests/golden/manifest/vN
 *     golden_manifest --write DIRECTORY   write the files of the version that is current
 *     golden_manifest --seeds DIRECTORY   write inputs for fuzz_manifest
 *
 * manifest.bin is a generation without the zeros at its end (its header says how long the file is):
 * a snapshot of two pages, and edits behind it, one of which takes two pages. manifest.txt is the
 * state that it holds, in words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest_fixture.h"

#define FILE_MAX (4u << 20)
#define GENERATION 2u

/* Small seed first; then the golden generation: snapshot after samples 0 to 4, the rest as edits. */
static size_t make(uint8_t *bytes, bool small)
{
    struct rig rig;
    struct varve_manifest *m = NULL;
    char name[VARVE_FILE_NAME_MAX];

    rig_init(&rig, 20240101);
    must(varve_manifest_create(rig.vfs, &rig.heap, &m, NULL) == VARVE_OK);
    const uint32_t edits = small ? 2 : SAMPLE_EDITS, at = small ? 1 : 4;
    for (uint32_t i = 0; i < edits; i++) {
        must(sample_apply(m, &rig, i) == VARVE_OK);
        must(i != at - 1 || varve_manifest_switch(m, NULL) == VARVE_OK);
    }
    varve_manifest_close(m);
    varve_file_name_manifest(GENERATION, name);
    const int64_t size = varve_sim_read(rig.sim, name, 0, bytes, FILE_MAX);
    must(size > 0);
    size_t used = (size_t)size;
    while (bytes[used - 1] == 0)
        used--;
    rig_free(&rig);
    return used;
}

static FILE *open_in(const char *directory, const char *name, const char *mode)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return file;
}

static void write_file(const char *directory, const char *name, const void *bytes, size_t size)
{
    FILE *file = open_in(directory, name, "wb");

    if (fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        exit(EXIT_FAILURE);
}

static size_t read_file(const char *directory, const char *name, uint8_t *bytes)
{
    FILE *file = open_in(directory, name, "rb");
    const size_t size = fread(bytes, 1, FILE_MAX, file);

    (void)fclose(file);
    return size;
}

/* What the bytes hold, in words. */
static char *text_of(uint8_t *bytes, size_t size)
{
    struct rig rig;
    struct varve_manifest *m = NULL;
    char name[VARVE_FILE_NAME_MAX];
    const size_t whole = (size_t)varve_get_u32(bytes + 104) * VARVE_PAGE_SIZE;

    must(size <= whole && whole <= FILE_MAX);
    memset(bytes + size, 0, whole - size);
    rig_init(&rig, 1);
    varve_file_name_manifest(GENERATION, name);
    must(varve_sim_put(rig.sim, name, bytes, whole) == 0);
    const varve_status rc = varve_manifest_open(rig.vfs, &rig.heap, true, &m, &rig.err);
    if (rc < 0) {
        (void)fprintf(stderr, "%s: %s\n", rig.err.file, rig.err.message);
        exit(EXIT_FAILURE);
    }
    struct varve_version *version = varve_manifest_version(m);
    char *text = state_text(version);
    varve_version_unref(version);
    varve_manifest_close(m);
    rig_free(&rig);
    return text;
}

/* Flags (fuzz_manifest.c), then the bytes. */
static void write_seeds(const char *directory, uint8_t *bytes)
{
    static const char *const names[4] = {"plain", "repaired", "small", "operations"};

    for (uint32_t i = 0; i < 4; i++) {
        const size_t size = i == 3 ? 0 : make(bytes + 1, i == 2);
        bytes[0] = i == 1 ? 6 : i == 3 ? 1 : 0;
        if (i < 3) {
            write_file(directory, names[i], bytes, size + 1);
            continue;
        }
        (void)make(bytes + VARVE_PAGE_SIZE, true); /* the snapshot takes one page */
        memcpy(bytes + 1, bytes + 2 * VARVE_PAGE_SIZE, VARVE_PAGE_PAYLOAD);
        write_file(directory, names[i], bytes,
                   1 + (size_t)varve_get_u64(bytes + VARVE_PAGE_SIZE + 56));
    }
}

static int check(const char *directory, uint8_t *bytes, uint8_t *made)
{
    static char expected[FILE_MAX];
    const size_t size = read_file(directory, "manifest.bin", bytes);
    const size_t words = read_file(directory, "manifest.txt", (uint8_t *)expected);

    if (size != make(made, false) || memcmp(bytes, made, size) != 0) {
        (void)fprintf(stderr, "other bytes are written now\n");
        return EXIT_FAILURE;
    }
    char *text = text_of(bytes, size);
    const bool same = strlen(text) == words && memcmp(text, expected, words) == 0;
    if (!same)
        (void)fprintf(stderr, "read as something else now:\n%s", text);
    free(text);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static uint8_t bytes[FILE_MAX], made[FILE_MAX];
    const char *directory = argv[argc - 1];

    if (argc == 2)
        return check(directory, bytes, made);
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        write_seeds(directory, bytes);
        return EXIT_SUCCESS;
    }
    if (argc != 3 || strcmp(argv[1], "--write") != 0)
        return EXIT_FAILURE;
    const size_t size = make(bytes, false);
    write_file(directory, "manifest.bin", bytes, size);
    char *text = text_of(bytes, size);
    write_file(directory, "manifest.txt", text, strlen(text));
    free(text);
    return EXIT_SUCCESS;
}
