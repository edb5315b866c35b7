/*
 * mutex.c - pthread locks. A lock that cannot be taken is a broken promise, not an error.
 */
#include "storage/base/mutex.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

int varve_mutex_init(struct varve_mutex *m)
{
    return -pthread_mutex_init(&m->native, NULL);
}

void varve_mutex_destroy(struct varve_mutex *m)
{
    (void)pthread_mutex_destroy(&m->native);
}

void varve_mutex_lock(struct varve_mutex *m) VARVE_NO_ANALYSIS
{
    const int rc = pthread_mutex_lock(&m->native);
    assert(rc == 0);
    (void)rc;
}

void varve_mutex_unlock(struct varve_mutex *m) VARVE_NO_ANALYSIS
{
    const int rc = pthread_mutex_unlock(&m->native);
    assert(rc == 0);
    (void)rc;
}

int varve_cond_init(struct varve_cond *c)
{
    pthread_condattr_t attributes;

    int rc = pthread_condattr_init(&attributes);
    if (rc != 0)
        return -rc;
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(&c->native, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -rc;
}

void varve_cond_destroy(struct varve_cond *c)
{
    (void)pthread_cond_destroy(&c->native);
}

void varve_cond_wait(struct varve_cond *c, struct varve_mutex *m)
{
    const int rc = pthread_cond_wait(&c->native, &m->native);
    assert(rc == 0);
    (void)rc;
}

bool varve_cond_wait_for(struct varve_cond *c, struct varve_mutex *m, uint64_t timeout_us)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_us / 1000000);
    until.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    const int rc = pthread_cond_timedwait(&c->native, &m->native, &until);
    assert(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void varve_cond_signal(struct varve_cond *c)
{
    (void)pthread_cond_signal(&c->native);
}

void varve_cond_broadcast(struct varve_cond *c)
{
    (void)pthread_cond_broadcast(&c->native);
}
