/*
 * generator.c - see generator.h.
 */
#include "tools/generate/generator.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t generate_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t generate_below(uint64_t *state, uint64_t bound)
{
    assert(bound > 0);
    return generate_random(state) % bound;
}

/* Roughly normal, -1024 .. 1024: the sum of four uniform numbers. */
static int64_t noise(uint64_t *state)
{
    const uint64_t bits = generate_random(state);

    return (int64_t)((bits & 511) + (bits >> 9 & 511) + (bits >> 18 & 511) + (bits >> 27 & 511)) -
           1022;
}

/* -------------------------------------------------------------------------------------- Bars */

static const struct {
    const char *name;
    int64_t price; /* at the start, two digits after the point */
} known_symbols[] = {
    {"BTCUSDT", 4250000}, {"ETHUSDT", 228000}, {"SOLUSDT", 9800},  {"BNBUSDT", 31000},
    {"XRPUSDT", 62},      {"ADAUSDT", 55},     {"LINKUSDT", 1490}, {"LTCUSDT", 7250},
};
#define KNOWN_SYMBOLS (sizeof known_symbols / sizeof known_symbols[0])

bool generate_bars_init(struct generate_bars *bars, uint64_t seed, uint32_t symbols,
                        int64_t start_ms, int64_t step_ms)
{
    assert(symbols > 0);
    *bars = (struct generate_bars){
        .random = seed, .symbols = symbols, .ts_ms = start_ms, .step_ms = step_ms};
    bars->prices = calloc(symbols, sizeof *bars->prices);
    if (bars->prices == NULL)
        return false;
    for (uint32_t i = 0; i < symbols; i++)
        bars->prices[i] = i < KNOWN_SYMBOLS ? known_symbols[i].price
                                            : 100 + (int64_t)generate_below(&bars->random, 1000000);
    return true;
}

void generate_bars_free(struct generate_bars *bars)
{
    free(bars->prices);
    bars->prices = NULL;
}

/* A step of the walk: some 0.02 % of the price, and at least a cent now and then. */
static int64_t walk(struct generate_bars *bars, int64_t price)
{
    const int64_t step = noise(&bars->random);
    const int64_t next = price + price * step / (1024 * 1024 * 2) + (step > 600) - (step < -600);

    return next < 1 ? 1 : next > INT64_C(100000000) ? INT64_C(100000000) : next;
}

void generate_bars_next(struct generate_bars *bars, struct generate_bar *ret_bar)
{
    struct generate_bar bar = {.symbol = bars->next_symbol, .ts_ms = bars->ts_ms};
    int64_t price = bars->prices[bar.symbol];

    bar.open = bar.high = bar.low = bar.close = price;
    if (generate_below(&bars->random, 1000) != 0) {
        for (int i = 0; i < 4; i++) {
            price = walk(bars, price);
            bar.high = price > bar.high ? price : bar.high;
            bar.low = price < bar.low ? price : bar.low;
        }
        bar.close = price;
        bar.trades = 1 + (int64_t)generate_below(&bars->random, 3000);
        /* Some 2,000,000 of the quote currency a minute at most; the price is in hundredths. */
        const int64_t value = 1 + (int64_t)generate_below(&bars->random, 200000000);
        bar.volume = value * 1000000 / price + 1;
        bar.quote_volume = bar.volume * ((bar.high + bar.low) / 2);
    }
    bars->prices[bar.symbol] = price;
    if (++bars->next_symbol == bars->symbols) {
        bars->next_symbol = 0;
        bars->ts_ms += bars->step_ms;
    }
    *ret_bar = bar;
}

static uint32_t numbered_name(char out[GENERATE_NAME_MAX], const char *prefix, uint32_t number)
{
    const int size = snprintf(out, GENERATE_NAME_MAX, "%s%06u", prefix, number);

    assert(size > 0 && size < (int)GENERATE_NAME_MAX);
    return (uint32_t)size;
}

uint32_t generate_symbol_name(uint32_t symbol, char out[GENERATE_NAME_MAX])
{
    if (symbol >= KNOWN_SYMBOLS)
        return numbered_name(out, "SYM", symbol);
    const size_t size = strlen(known_symbols[symbol].name);
    memcpy(out, known_symbols[symbol].name, size + 1);
    return (uint32_t)size;
}

/* ----------------------------------------------------------------------------------- Listens */

/* Running sums of weights that fall as 1 / rank. */
static uint64_t *zipf_weights(uint32_t n)
{
    uint64_t *weights = calloc(n, sizeof *weights);
    uint64_t sum = 0;

    for (uint32_t i = 0; weights != NULL && i < n; i++)
        weights[i] = sum += (UINT64_C(1) << 32) / (i + 1);
    return weights;
}

static uint32_t zipf_pick(uint64_t *random, const uint64_t *weights, uint32_t n)
{
    const uint64_t at = generate_below(random, weights[n - 1]);
    uint32_t low = 0, high = n - 1;

    while (low < high) { /* the first sum above `at` */
        const uint32_t middle = low + (high - low) / 2;
        if (weights[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool generate_listens_init(struct generate_listens *listens, uint64_t seed, uint32_t users,
                           uint32_t songs, int64_t start_ms, int64_t mean_step_ms)
{
    assert(users > 0 && songs > 0 && mean_step_ms >= 0);
    *listens = (struct generate_listens){.random = seed,
                                         .users = users,
                                         .songs = songs,
                                         .ts_ms = start_ms,
                                         .mean_step_ms = mean_step_ms,
                                         .user_weights = zipf_weights(users),
                                         .song_weights = zipf_weights(songs)};
    if (listens->user_weights != NULL && listens->song_weights != NULL)
        return true;
    generate_listens_free(listens);
    return false;
}

void generate_listens_free(struct generate_listens *listens)
{
    free(listens->user_weights);
    free(listens->song_weights);
    listens->user_weights = NULL;
    listens->song_weights = NULL;
}

void generate_listens_next(struct generate_listens *listens, struct generate_listen *ret_listen)
{
    const int64_t step =
        (int64_t)generate_below(&listens->random, 2 * (uint64_t)listens->mean_step_ms + 1);
    struct generate_listen listen;

    listens->ts_ms += step;
    listens->seq = step == 0 ? listens->seq + 1 : 0;
    listen.ts_ms = listens->ts_ms;
    listen.seq = listens->seq;
    listen.user = zipf_pick(&listens->random, listens->user_weights, listens->users);
    listen.song = zipf_pick(&listens->random, listens->song_weights, listens->songs);
    uint64_t song_state = listen.song; /* a song's features are always the same */
    listen.danceability = (double)generate_below(&song_state, 1001) / 1000;
    listen.energy = (double)generate_below(&song_state, 1001) / 1000;
    listen.duration_ms = 90000 + (int32_t)generate_below(&song_state, 240000);
    *ret_listen = listen;
}

uint32_t generate_user_name(uint32_t user, char out[GENERATE_NAME_MAX])
{
    return numbered_name(out, "user-", user);
}

uint32_t generate_song_name(uint32_t song, char out[GENERATE_NAME_MAX])
{
    return numbered_name(out, "song-", song);
}
