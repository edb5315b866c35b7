/*
 * crash_models.h - the kinds of power cuts that the tests draw from: which of what was pending is kept,
 * in which pieces, and what a hole in a file holds.
 */
#ifndef VARVE_TESTS_LIB_CRASH_MODELS_H
#define VARVE_TESTS_LIB_CRASH_MODELS_H

#include "storage/vfs/vfs_sim.h"

#define CRASH_MODELS 10u

struct crash_model {
    uint32_t model, granule, hole; /* of struct varve_sim_crash_options */
};

static const struct crash_model crash_models[CRASH_MODELS] = {
    {VARVE_SIM_CRASH_PREFIX, 512, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_BY_FILE, 512, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_SUBSET, 512, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_SECTORS, 512, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_SECTORS, 4096, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_SECTORS, 512, VARVE_SIM_HOLE_GARBAGE},
    {VARVE_SIM_CRASH_SECTORS, 4096, VARVE_SIM_HOLE_GARBAGE},
    {VARVE_SIM_CRASH_REORDER, 0, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_REORDER, 512, VARVE_SIM_HOLE_ZEROS},
    {VARVE_SIM_CRASH_REORDER, 4096, VARVE_SIM_HOLE_GARBAGE},
};

#endif
