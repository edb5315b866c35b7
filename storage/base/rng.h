/*
 * rng.h - a seeded pseudo-random generator (xoshiro256**, D. Blackman and S. Vigna, 2018).
 * Not for secrets. Threads: none.
 */
#ifndef VARVE_BASE_RNG_H
#define VARVE_BASE_RNG_H

#include <stdint.h>

struct varve_rng {
    uint64_t s[4];
};

void varve_rng_seed(struct varve_rng *rng, uint64_t seed); /* splitmix64 fills the state */
uint64_t varve_rng_next(struct varve_rng *rng);
uint64_t varve_rng_below(struct varve_rng *rng, uint64_t bound); /* unbiased; bound > 0 */
double varve_rng_unit(struct varve_rng *rng);                    /* [0, 1) */

#endif
