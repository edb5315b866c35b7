/*
 * file_name.c - the names of a store's files: a kind and a number, never used again once a manifest
 * has named it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/manifest/manifest.h"

void varve_file_name_sst(uint64_t id, char *out)
{
    (void)snprintf(out, VARVE_FILE_NAME_MAX, "%016" PRIx64 ".sst", id);
}

void varve_file_name_wal(uint64_t id, char *out)
{
    (void)snprintf(out, VARVE_FILE_NAME_MAX, "%016" PRIx64 ".wal", id);
}

void varve_file_name_manifest(uint64_t generation, char *out)
{
    (void)snprintf(out, VARVE_FILE_NAME_MAX, "MANIFEST-%016" PRIx64, generation);
}

void varve_file_name_of(enum varve_file_kind kind, uint64_t id, char *out)
{
    if (kind == VARVE_FILE_WAL)
        varve_file_name_wal(id, out);
    else
        varve_file_name_sst(id, out);
}

/* Sixteen lower-case hexadecimal digits. */
static bool parse_number(const char *text, uint64_t *ret)
{
    uint64_t value = 0;

    for (int i = 0; i < 16; i++) {
        const char c = text[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret = value;
    return true;
}

enum varve_file_kind varve_file_name_parse(const char *name, uint64_t *ret_id)
{
    static const char prefix[] = "MANIFEST-";
    const size_t length = strlen(name), prefix_length = sizeof prefix - 1;

    *ret_id = 0;
    if (strcmp(name, "LOCK") == 0)
        return VARVE_FILE_LOCK;
    if (strcmp(name, "READERS") == 0)
        return VARVE_FILE_READERS;
    if (length == 20 && parse_number(name, ret_id)) {
        if (strcmp(name + 16, ".sst") == 0)
            return VARVE_FILE_SST;
        if (strcmp(name + 16, ".wal") == 0)
            return VARVE_FILE_WAL;
    }
    if (length >= prefix_length + 16 && strncmp(name, prefix, prefix_length) == 0 &&
        parse_number(name + prefix_length, ret_id)) {
        if (length == prefix_length + 16)
            return VARVE_FILE_MANIFEST;
        if (strcmp(name + prefix_length + 16, ".tmp") == 0)
            return VARVE_FILE_MANIFEST_TMP;
    }
    return VARVE_FILE_OTHER;
}
