/*
 * mutex.h - a mutex and a condition variable that clang's thread safety analysis understands.
 * Who may take locks, and in which order, says docs/ARCHITECTURE.md.
 */
#ifndef VARVE_BASE_MUTEX_H
#define VARVE_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define VARVE_CAPABILITY(name) __attribute__((capability(name)))
#define VARVE_ACQUIRES(m) __attribute__((acquire_capability(m)))
#define VARVE_RELEASES(m) __attribute__((release_capability(m)))
#define VARVE_REQUIRES(m) __attribute__((requires_capability(m)))
#define VARVE_NO_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define VARVE_CAPABILITY(name)
#define VARVE_ACQUIRES(m)
#define VARVE_RELEASES(m)
#define VARVE_REQUIRES(m)
#define VARVE_NO_ANALYSIS
#endif

struct VARVE_CAPABILITY("mutex") varve_mutex {
    pthread_mutex_t native;
};

struct varve_cond { /* waits on CLOCK_MONOTONIC */
    pthread_cond_t native;
};

int varve_mutex_init(struct varve_mutex *m); /* 0 or a negative errno */
void varve_mutex_destroy(struct varve_mutex *m);
void varve_mutex_lock(struct varve_mutex *m) VARVE_ACQUIRES(m);
void varve_mutex_unlock(struct varve_mutex *m) VARVE_RELEASES(m);

int varve_cond_init(struct varve_cond *c);
void varve_cond_destroy(struct varve_cond *c);
void varve_cond_wait(struct varve_cond *c, struct varve_mutex *m) VARVE_REQUIRES(m);
/* False when `timeout_us` passed without a signal. */
bool varve_cond_wait_for(struct varve_cond *c, struct varve_mutex *m, uint64_t timeout_us)
    VARVE_REQUIRES(m);
void varve_cond_signal(struct varve_cond *c);
void varve_cond_broadcast(struct varve_cond *c);

#endif
