/*
 * store_newer.c - `store_newer FILE KIND`: make a file of a store look as if a newer version of the
 * library had written it. KIND: 0 major number, 1 a feature of readers, 2 a feature of writers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/newer_file.h"

int main(int argc, char **argv)
{
    uint8_t *bytes = NULL;
    long size = 0;
    bool good = false;

    if (argc != 3)
        return 2;
    FILE *file = fopen(argv[1], "r+b");
    if (file == NULL)
        return 3;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 &&
        (bytes = malloc((size_t)size)) != NULL && fseek(file, 0, SEEK_SET) == 0 &&
        fread(bytes, 1, (size_t)size, file) == (size_t)size &&
        newer_file_change(bytes, (size_t)size, (enum newer_kind)(argv[2][0] - '0')) &&
        fseek(file, 0, SEEK_SET) == 0)
        good = fwrite(bytes, 1, (size_t)size, file) == (size_t)size;
    free(bytes);
    return fclose(file) == 0 && good ? 0 : 3;
}
