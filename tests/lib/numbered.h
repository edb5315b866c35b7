/*
 * numbered.h - batches that a test knows by their number: what batch i writes follows from i alone,
 * so that whoever finds a store can say which batches it holds, whole or in part.
 *
 * Batch i puts 1 to 5 rows of its own into table a ('upsert'), 0 to 2 into table b ('keep'), in
 * partitions that it shares with others, and writes over one row of a, the head, that every batch
 * writes. If batches are committed in the order of their numbers, a store that lost none but the
 * last holds exactly the batches below some number, and its head says the same.
 * Threads. None.
 */
#ifndef VARVE_TESTS_LIB_NUMBERED_H
#define VARVE_TESTS_LIB_NUMBERED_H

#include <stdint.h>

#include <varve/varve.h>

#define NUMBERED_BROKEN UINT64_MAX

struct numbered {
    varve_table *a, *b;
    uint32_t pad; /* greatest bytes of text in a row */
};

/* Create both tables. */
varve_status numbered_create(varve_store *store, varve_error *err);
/* Find them; ENOTFOUND: one is missing. */
varve_status numbered_open(varve_store *store, uint32_t pad, struct numbered *numbered,
                           varve_error *err);
/* Put the rows of batch `i` into `batch`. */
varve_status numbered_put(const struct numbered *numbered, varve_batch *batch, uint64_t i,
                          varve_error *err);
/*
 * How many batches the store holds: exactly those below the result, each whole. NUMBERED_BROKEN if
 * that cannot be said, with the reason in `why` (256 bytes).
 */
uint64_t numbered_count(varve_store *store, const struct numbered *numbered, char *why);

#endif
