/*
 * bench_meter.c - clocks, memory, bytes written, and the comparison of answers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tools/bench/store_bench.h"

double bench_wall_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void bench_meter_start(struct bench_meter *meter)
{
    meter->cpu_begun = cpu_s();
    meter->wall_begun = bench_wall_s();
}

void bench_meter_stop(struct bench_meter *meter)
{
    meter->wall_s += bench_wall_s() - meter->wall_begun;
    meter->cpu_s += cpu_s() - meter->cpu_begun;
}

/* The number behind `label` in a file of /proc/self; false: it is not there. */
static bool process_number(const char *path, const char *label, uint64_t *ret_number)
{
    FILE *file = fopen(path, "r");
    char line[128];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, label, strlen(label)) == 0) {
            *ret_number = strtoull(line + strlen(label), NULL, 10);
            found = true;
        }
    (void)fclose(file);
    return found;
}

static uint64_t status_kib(const char *label)
{
    uint64_t kib = 0;

    (void)process_number("/proc/self/status", label, &kib);
    return kib;
}

double bench_written(void)
{
    uint64_t bytes = 0;

    return process_number("/proc/self/io", "write_bytes:", &bytes) ? (double)bytes : NAN;
}

void bench_memory_reset(struct bench_memory *memory)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (file != NULL) { /* 5: the high-water mark falls to what is resident now */
        (void)fputs("5\n", file);
        (void)fclose(file);
    }
    memory->begun_kib = status_kib("VmRSS:");
}

uint64_t bench_memory_peak(const struct bench_memory *memory)
{
    const uint64_t peak = status_kib("VmHWM:");

    return peak > memory->begun_kib ? (peak - memory->begun_kib) * 1024 : 0;
}

bool bench_sum_equal(const struct bench_sum *a, const struct bench_sum *b)
{
    return a->rows == b->rows && a->cells == b->cells &&
           fabs(a->averages - b->averages) <= 1e-9 * fabs(a->averages);
}
