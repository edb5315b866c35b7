/*
 * peer.h - what a peer written in C provides, so that peer_main.c can load it and ask it.
 *
 * Place.   A peer is one program: peer_main.c, peer_rows.c and one *_peer.c with `peer_definition`.
 *          It is started once a command (README.md lists them) and prints a JSON object a line.
 * Errors.  Functions that return bool have written what is wrong to stderr when they return false;
 *          the program then ends with exit code 1.
 * Threads. One peer, one thread; further threads get a client of their own.
 */
#ifndef VARVE_BENCH_PEER_H
#define VARVE_BENCH_PEER_H

#include "tools/bench/peers/peer_rows.h"

#include <stdio.h>

#define PEER_HOUR_MS INT64_C(3600000)
#define PEER_ANSWER_MAX 5u

/* What a question comes to: a few numbers that every peer must agree on. */
struct peer_answer {
    double values[PEER_ANSWER_MAX];
    uint32_t n;
};

/* From the command line. */
struct peer_settings {
    const char *folder; /* the peer's own */
    const char *compression;
    uint32_t threads;      /* that one question may use */
    uint64_t memory_bytes; /* for caches and rows not yet in files, the same for every engine */
    bool by_rows;          /* commit() puts row after row, if the peer takes columns too */
    bool read_all_values;  /* aggregates take nothing from statistics of blocks */
};

struct peer;        /* an open store */
struct peer_writer; /* one thread's way to load it */
struct peer_client; /* one thread's way to ask it */

/* Rows that several writers take from, a commit's at a time. */
struct peer_feed {
    uint64_t rows;       /* to give */
    uint64_t commit;     /* at once */
    int64_t deadline_us; /* none is given later */
    uint64_t next;       /* atomic; row that nobody has taken */
};

/* Take the next `*ret_n` rows, from `*ret_first` on. False: there are none, or time is up. Safe from
 * any thread. */
bool peer_feed_take(struct peer_feed *feed, uint64_t *ret_first, uint64_t *ret_n);

struct peer_definition {
    const char *name;
    const char *version;
    const char *data_suffix; /* of the files whose size counts as the data's */
    uint64_t bulk_commit;    /* rows a commit that load a whole set soonest */
    uint32_t bulk_writers;   /* so many such commits at once, by commit_many if more than one */
    uint32_t load_threads;   /* that can load it at once, each with a writer of its own */
    bool parallel;           /* a question can use several threads */
    bool columns;            /* commit() takes whole columns, unless it is told by_rows */
    bool zone_maps;          /* it can be told read_all_values */

    /* Write what was set, as one line of text without quotes. */
    void (*describe)(FILE *out, const struct peer_settings *settings);
    bool (*open)(const struct peer_settings *settings, const struct peer_rows *rows, bool create,
                 struct peer **ret_peer);
    void (*close)(struct peer *peer); /* NULL is a no-op */
    bool (*writer_open)(struct peer *peer, struct peer_writer **ret_writer);
    void (*writer_close)(struct peer_writer *writer); /* NULL is a no-op */
    /* Commit `n` rows from `first` on as one unit, on disk at return. */
    bool (*commit)(struct peer_writer *writer, uint64_t first, uint64_t n);
    /* Commit what `feed` gives, `writers` commits at a time; all are on disk at return, when the feed
     * gives no more. NULL: the peer has one writer. */
    bool (*commit_many)(struct peer *peer, struct peer_feed *feed, uint32_t writers);
    bool (*flush)(struct peer *peer);
    bool (*merge)(struct peer *peer); /* NULL: the peer does not merge */

    bool (*client_open)(struct peer *peer, struct peer_client **ret_client);
    void (*client_close)(struct peer_client *client); /* NULL is a no-op */
    /* Questions. They add to `answer`:
     * slice         rows, sum of the measured column, then what shows that all columns were read:
     *               sum over all numeric value columns, bytes of all text value columns
     * hour          count and average of the measured column, answered by the peer itself
     * hourly        groups, count, sum of minima, of maxima and of sums; of `partition`, or of every
     *               partition if it is UINT32_MAX
     * by_partition  groups, count, sum of averages
     * total         sum of the measured column
     * latest        of the latest row of each partition, all its columns, what slice gives, and the
     *               sum of their times
     * scan          of all rows what slice gives of some */
    bool (*slice)(struct peer_client *client, const struct peer_slice *slice,
                  struct peer_answer *answer);
    bool (*hour)(struct peer_client *client, const struct peer_slice *slice,
                 struct peer_answer *answer);
    bool (*hourly)(struct peer_client *client, uint32_t partition, struct peer_answer *answer);
    bool (*by_partition)(struct peer_client *client, struct peer_answer *answer);
    bool (*total)(struct peer_client *client, struct peer_answer *answer);
    bool (*latest)(struct peer_client *client, struct peer_answer *answer);
    bool (*scan)(struct peer_client *client, struct peer_answer *answer);
};

/* Each *_peer.c defines it. */
extern const struct peer_definition peer_definition;

static inline void peer_answer_add(struct peer_answer *answer, uint32_t at, double value)
{
    answer->values[at] += value;
    if (answer->n <= at)
        answer->n = at + 1;
}

#endif
