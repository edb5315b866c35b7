/*
 * bench_no_baseline.c - in place of bench_baseline.c where there is no SQLite to build with.
 */
#include "tools/bench/store_bench.h"

bool bench_baseline_available(void)
{
    return false;
}

bool bench_baseline_ingest(const char *path, const struct bench_options *options, uint32_t batch,
                           varve_policy policy, struct bench_feed *feed,
                           struct bench_baseline **ret_baseline,
                           struct bench_ingest_result *ret_result)
{
    (void)path, (void)options, (void)batch, (void)policy, (void)feed, (void)ret_baseline;
    (void)ret_result;
    return false;
}

bool bench_baseline_reopen(struct bench_baseline **baseline, const char *path,
                           const struct bench_options *options, struct bench_meter *meter)
{
    (void)baseline, (void)path, (void)options, (void)meter;
    return false;
}

void bench_baseline_close(struct bench_baseline *baseline)
{
    (void)baseline;
}

uint64_t bench_baseline_bytes(struct bench_baseline *baseline, const char *path)
{
    (void)baseline, (void)path;
    return 0;
}

uint64_t bench_baseline_memory(void)
{
    return 0;
}

bool bench_baseline_scan(struct bench_baseline *baseline, const struct bench_workload *workload,
                         struct bench_meter *meter, struct bench_sum *ret_sum)
{
    (void)baseline, (void)workload, (void)meter, (void)ret_sum;
    return false;
}

bool bench_baseline_aggregate(struct bench_baseline *baseline,
                              const struct bench_workload *workload, struct bench_meter *meter,
                              struct bench_sum *ret_sum)
{
    (void)baseline, (void)workload, (void)meter, (void)ret_sum;
    return false;
}

bool bench_baseline_slices(struct bench_baseline *baseline, const struct bench_rows *rows,
                           const uint64_t *picks, uint32_t n, double *seconds,
                           struct bench_sum *ret_sum)
{
    (void)baseline, (void)rows, (void)picks, (void)n, (void)seconds, (void)ret_sum;
    return false;
}
