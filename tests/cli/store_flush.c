/*
 * store_flush.c - `store_flush STORE`: write every memtable to files, for tests that compare answers
 * before and after it.
 */
#include <stdio.h>

#include <varve/varve.h>

int main(int argc, char **argv)
{
    varve_options options;
    varve_store *store;
    varve_error err = {.status = VARVE_OK};

    if (argc != 2)
        return 2;
    varve_options_init(&options, sizeof options);
    if (varve_open(argv[1], &options, &store, &err) < 0) {
        (void)fprintf(stderr, "store_flush: %s\n", err.message);
        return 3;
    }
    const bool good = varve_flush(store, &err) == VARVE_OK;
    if (!good)
        (void)fprintf(stderr, "store_flush: %s\n", err.message);
    varve_close(store);
    return good ? 0 : 3;
}
