/*
 * rng.c - xoshiro256** (D. Blackman and S. Vigna, "Scrambled linear pseudorandom number
 * generators", 2018), seeded by splitmix64.
 */
#include "storage/base/rng.h"

static uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

void varve_rng_seed(struct varve_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ z >> 31;
    }
}

uint64_t varve_rng_next(struct varve_rng *rng)
{
    uint64_t *s = rng->s;
    const uint64_t result = rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t varve_rng_below(struct varve_rng *rng, uint64_t bound)
{
    const uint64_t skip =
        (0 - bound) % bound; /* values below it would make some results likelier */
    uint64_t x;

    do
        x = varve_rng_next(rng);
    while (x < skip);
    return x % bound;
}

double varve_rng_unit(struct varve_rng *rng)
{
    return (double)(varve_rng_next(rng) >> 11) * 0x1p-53;
}
