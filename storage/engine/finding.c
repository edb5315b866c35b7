/*
 * finding.c - what an open got past and does not keep to itself: an end of the log that was cut away,
 * segments kept from earlier cuts, and, with SALVAGE, what is missing.
 *
 * Threads. Added to by the open; fixed from then on, and read by any.
 */
#include "storage/engine/recover_int.h"

varve_status varve_finding_add(varve_store *store, varve_finding kind, const varve_error *detail,
                               varve_error *err)
{
    if (!varve_vec_grow(&store->heap, (void **)&store->findings, sizeof *store->findings,
                        store->n_findings + 1, &store->findings_capacity))
        return varve_error_nomem(err, "what was found at open");
    store->findings[store->n_findings++] =
        (struct varve_finding_entry){.kind = kind, .detail = *detail};
    return VARVE_OK;
}

void varve_findings_free(varve_store *store)
{
    if (store->findings != NULL)
        varve_free(&store->heap, store->findings,
                   store->findings_capacity * sizeof *store->findings);
}

void varve_open_findings(const varve_store *store, varve_finding_report report, void *ctx)
{
    if (varve_store_enter(store, NULL) < 0 || report == NULL)
        return;
    for (size_t i = 0; i < store->n_findings; i++)
        report(ctx, store->findings[i].kind, &store->findings[i].detail);
}
