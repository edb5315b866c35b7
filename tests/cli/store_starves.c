/*
 * store_starves.c - linked into the example service: puts fail as the environment says.
 *
 *   STORE_STARVES=FIRST:TIMES:TEXT   so many puts from the FIRST on (from 1) are ELIMIT with that message
 */
#include <stdio.h>
#include <stdlib.h>

#include <varve/varve.h>

varve_status __real_varve_batch_put_row(varve_batch *, const varve_table *, const varve_value *,
                                        uint32_t, const varve_put *, varve_error *);
varve_status __wrap_varve_batch_put_row(varve_batch *, const varve_table *, const varve_value *,
                                        uint32_t, const varve_put *, varve_error *);

varve_status __wrap_varve_batch_put_row(varve_batch *batch, const varve_table *table,
                                        const varve_value *values, uint32_t n, const varve_put *how,
                                        varve_error *err)
{
    static unsigned long calls;
    const char *const starves = getenv("STORE_STARVES");
    unsigned long first = 0, times = 0;
    char text[100] = "";

    calls++;
    if (starves == NULL || sscanf(starves, "%lu:%lu:%99[^\n]", &first, &times, text) != 3 ||
        calls < first || calls - first >= times)
        return __real_varve_batch_put_row(batch, table, values, n, how, err);
    *err = (varve_error){.status = VARVE_ELIMIT, .row = UINT64_MAX};
    (void)snprintf(err->message, sizeof err->message, "%s", text);
    return VARVE_ELIMIT;
}
