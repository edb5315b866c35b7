/*
 * float_mode.h - the mode in which the library computes with floating point: to nearest, subnormals
 * kept, nothing trapped; whatever the application has set.
 *
 * What is stored and what is answered must not depend on the caller's mode, so it is entered around
 * such computations and left afterwards. A compiler may move arithmetic across these calls within a
 * function, so whoever calls them does none itself: it stands behind a call that is not inlined (of
 * another file, or by the table of kernels). Threads: the mode is the thread's own.
 */
#ifndef VARVE_BASE_FLOAT_MODE_H
#define VARVE_BASE_FLOAT_MODE_H

#include <assert.h>
#include <float.h>

static_assert(FLT_EVAL_METHOD == 0, "arithmetic on doubles must round to double");

#if defined(__SSE__)
#include <xmmintrin.h>

#define VARVE_MXCSR_DEFAULT 0x1F80u

typedef unsigned int varve_float_mode;

static inline varve_float_mode varve_float_mode_enter(void)
{
    const unsigned int before = _mm_getcsr();

    if (before != VARVE_MXCSR_DEFAULT)
        _mm_setcsr(VARVE_MXCSR_DEFAULT);
    return before;
}

static inline void varve_float_mode_leave(const varve_float_mode *before)
{
    if (_mm_getcsr() != *before)
        _mm_setcsr(*before);
}
#else
#include <fenv.h>

typedef fenv_t varve_float_mode;

static inline varve_float_mode varve_float_mode_enter(void)
{
    fenv_t before;

    (void)fegetenv(&before);
    (void)fesetenv(FE_DFL_ENV);
    return before;
}

static inline void varve_float_mode_leave(const varve_float_mode *before)
{
    (void)fesetenv(before);
}
#endif

#endif
