/*
 * view_int.h - views: taking, sharing, releasing. See view.c.
 */
#ifndef VARVE_ENGINE_VIEW_INT_H
#define VARVE_ENGINE_VIEW_INT_H

#include "storage/engine/store_int.h"

struct varve_snapshot {
    struct varve_view *view; /* one reference */
};

/* A view of the whole store, or with `only` of that table. */
varve_status varve_view_take(varve_store *store, const struct varve_table *only,
                             struct varve_view **ret_view, varve_error *err);
struct varve_view *varve_view_ref(struct varve_view *view);
void varve_view_release(struct varve_view *view); /* NULL is a no-op; takes the view lock */
/* NULL: the table came after the view, or the view is of another one. */
const struct varve_view_table *varve_view_table_of(const struct varve_view *view,
                                                   uint32_t table_id);
/* What the manifest says of it. NULL: as above, or it was dropped before, or it has no file and is owed
 * to the manifest. */
const struct varve_table_entry *varve_view_files_of(const struct varve_view *view,
                                                    uint32_t table_id);
/* The lowest version that a view (or the store itself) needs. Takes the view lock. */
uint64_t varve_views_oldest_version(varve_store *store);

#endif
