/*
 * kernels_pick.c - which build of kernels.c this machine runs.
 *
 * Nothing is remembered: asking the CPU's flags is a load and a test, so there is no state to
 * initialise, and a test can name any path.
 */
#include "storage/codec/kernels.h"

extern const struct varve_kernels varve_kernels_scalar;
extern const struct varve_kernels varve_kernels_baseline;
#if defined(__x86_64__)
extern const struct varve_kernels varve_kernels_avx2;
extern const struct varve_kernels varve_kernels_avx512;

/* What codec/meson.build has the compiler use: a virtual machine may have one without the other. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi2") != 0;
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
           __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0;
}

const struct varve_kernels *varve_kernels_get(void)
{
    if (has_avx512())
        return &varve_kernels_avx512;
    return has_avx2() ? &varve_kernels_avx2 : &varve_kernels_baseline;
}

const struct varve_kernels *varve_kernels_at(uint32_t index)
{
    switch (index) {
    case 0:
        return &varve_kernels_scalar;
    case 1:
        return &varve_kernels_baseline;
    case 2:
        return has_avx2() ? &varve_kernels_avx2 : NULL;
    case 3:
        return has_avx512() ? &varve_kernels_avx512 : NULL;
    default:
        return NULL;
    }
}
#else
const struct varve_kernels *varve_kernels_get(void)
{
    return &varve_kernels_baseline;
}

const struct varve_kernels *varve_kernels_at(uint32_t index)
{
    return index == 0 ? &varve_kernels_scalar : index == 1 ? &varve_kernels_baseline : NULL;
}
#endif
