/*
 * store_dies.c - `store_dies STORE COMMITS ROWS`: commit so often so many rows to table t (k int, ts
 * timestamp, v bigint) of the store with the policy `os`, and die without closing it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <varve/varve.h>

static varve_status commit_rows(varve_store *store, const varve_table *table, long commit,
                                long rows, varve_error *err)
{
    varve_batch *batch = NULL;
    varve_status rc = varve_batch_new(store, &batch, err);

    for (long i = 0; rc == VARVE_OK && i < rows; i++) {
        varve_value values[3] = {
            {.type = VARVE_INT}, {.type = VARVE_TIMESTAMP}, {.type = VARVE_BIGINT}};
        values[0].as.i64 = 1000 + commit;
        values[1].as.i64 = i;
        values[2].as.i64 = i * 7919 % 1000003;
        rc = varve_batch_put_row(batch, table, values, 3, NULL, err);
    }
    if (rc == VARVE_OK)
        rc = varve_commit(store, batch, VARVE_POLICY_OS, NULL, err);
    varve_batch_free(batch);
    return rc;
}

int main(int argc, char **argv)
{
    varve_options options;
    varve_error err = {.status = VARVE_OK};
    varve_store *store = NULL;
    varve_table *table = NULL;

    if (argc != 4)
        return 2;
    varve_options_init(&options, sizeof options);
    options.background_threads = UINT32_MAX; /* nobody adds what proves that a commit is durable */
    varve_status rc = varve_open(argv[1], &options, &store, &err);
    if (rc == VARVE_OK)
        rc = varve_table_open(store, "t", &table, &err);
    for (long i = 0; rc == VARVE_OK && i < strtol(argv[2], NULL, 10); i++)
        rc = commit_rows(store, table, i, strtol(argv[3], NULL, 10), &err);
    if (rc < 0)
        (void)fprintf(stderr, "%s\n", err.message);
    _exit(rc < 0 ? 3 : 0);
}
