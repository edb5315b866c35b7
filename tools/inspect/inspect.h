/*
 * inspect.h - what is inside one file of a store, for people. Works without an engine: it uses the
 * formats and readers only, so that a file can be looked at wherever it lies.
 *
 * Each writes to `out`. Damage is reported through `report` with file and offset, and inspecting
 * goes on behind it where the format allows that. VARVE_OK; VARVE_ECORRUPT if there was any damage;
 * another failure (reported as well).
 *
 * Threads. None.
 */
#ifndef VARVE_INSPECT_INSPECT_H
#define VARVE_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stdio.h>

#include <varve/varve.h>

struct inspect_options {
    FILE *out;
    bool rows; /* sst: print the rows too, as CSV */
    varve_verify_report report;
    void *report_ctx;
};

varve_status inspect_sst(const char *path, const struct inspect_options *options);
varve_status inspect_wal(const char *path, const struct inspect_options *options);
varve_status inspect_manifest(const char *path, const struct inspect_options *options);

#endif
