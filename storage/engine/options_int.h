/*
 * options_int.h - options with every default filled in. See options.c.
 */
#ifndef VARVE_ENGINE_OPTIONS_INT_H
#define VARVE_ENGINE_OPTIONS_INT_H

#include "storage/engine/store_int.h"

/* `given` may be NULL. EINVAL names the option that is wrong. */
varve_status varve_options_complete(const varve_options *given, varve_options *ret_options,
                                    varve_error *err);

#endif
