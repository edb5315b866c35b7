/*
 * generator.h - sample data: minute bars of traded symbols, and listens of users to songs. Used by
 * `varve demo`, the benchmark program and tests.
 *
 * Integers only, so that a seed gives the same rows on every machine. Rows come in the order in
 * which a live service would see them: by time, and in one bar's minute by symbol.
 *
 * Threads. None; one generator, one thread.
 */
#ifndef VARVE_GENERATE_GENERATOR_H
#define VARVE_GENERATE_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#define GENERATE_NAME_MAX 24u /* of a symbol, user or song, with its terminator */

/* The tables that the rows fit. */
#define GENERATE_BARS_TABLE                                                                        \
    "CREATE TABLE bars (symbol text, ts timestamp, open decimal(18,2), high decimal(18,2), "       \
    "low decimal(18,2), close decimal(18,2), volume decimal(18,6), quote_volume decimal(18,8), "   \
    "trades bigint, PRIMARY KEY ((symbol), ts))"
#define GENERATE_LISTENS_TABLE                                                                     \
    "CREATE TABLE listens (user text, ts timestamp, seq int, song text, danceability double, "     \
    "energy double, duration int, PRIMARY KEY ((user), ts, seq))"

/* A stream of 64-bit random numbers (splitmix64). Any state is a good seed. */
uint64_t generate_random(uint64_t *state);
/* Uniform in 0 .. bound - 1; `bound` is not 0. */
uint64_t generate_below(uint64_t *state, uint64_t bound);

struct generate_bar {
    uint32_t symbol; /* 0 .. symbols - 1 */
    int64_t ts_ms;
    int64_t open, high, low, close; /* two digits after the point */
    int64_t volume;                 /* six digits */
    int64_t quote_volume;           /* eight digits */
    int64_t trades;
};

/* A random walk for each symbol; a minute in a thousand has no trade. */
struct generate_bars {
    uint64_t random;
    uint32_t symbols;
    uint32_t next_symbol;
    int64_t ts_ms;
    int64_t step_ms;
    int64_t *prices; /* by symbol, two digits after the point */
};

/* False: no memory. `symbols` at least 1; bars begin at `start_ms` and follow every `step_ms`. */
bool generate_bars_init(struct generate_bars *bars, uint64_t seed, uint32_t symbols,
                        int64_t start_ms, int64_t step_ms);
void generate_bars_free(struct generate_bars *bars); /* zeroed is fine */
void generate_bars_next(struct generate_bars *bars, struct generate_bar *ret_bar);
/* Write the name of a symbol; returns its length. */
uint32_t generate_symbol_name(uint32_t symbol, char out[GENERATE_NAME_MAX]);

struct generate_listen {
    uint32_t user; /* 0 .. users - 1; the most frequent first */
    uint32_t song;
    int64_t ts_ms;
    int32_t seq; /* tells the listens of one millisecond apart */
    int32_t duration_ms;
    double danceability, energy; /* of the song: 0 .. 1 in steps of 0.001 */
};

/* Users and songs follow Zipf's law; time advances by 0 .. 2 * mean_step_ms. */
struct generate_listens {
    uint64_t random;
    uint32_t users;
    uint32_t songs;
    int64_t ts_ms;
    int64_t mean_step_ms;
    int32_t seq;
    uint64_t *user_weights; /* running sums */
    uint64_t *song_weights;
};

/* False: no memory. `users` and `songs` at least 1. */
bool generate_listens_init(struct generate_listens *listens, uint64_t seed, uint32_t users,
                           uint32_t songs, int64_t start_ms, int64_t mean_step_ms);
void generate_listens_free(struct generate_listens *listens); /* zeroed is fine */
void generate_listens_next(struct generate_listens *listens, struct generate_listen *ret_listen);
uint32_t generate_user_name(uint32_t user, char out[GENERATE_NAME_MAX]);
uint32_t generate_song_name(uint32_t song, char out[GENERATE_NAME_MAX]);

#endif
