/*
 * peer_main.c - the commands of a peer written in C: parses them, runs the clock, prints the lines.
 *
 *   PEER describe [key=value...]
 *   PEER load|merge|size|reopen|ask FOLDER ROWS [key=value...]
 *
 * README.md says what each does and prints. peer_protocol.py is the same for peers in Python.
 */
#include "tools/bench/peers/peer.h"

#include <fts.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define ANSWER_SLICES 200u  /* slices that make up a slice's answer; all peers ask at least these */
#define LEAST_SAMPLES 3000u /* fewer say nothing about the rarest of a thousand */
#define MOST_BOXES 4.0      /* time boxes that may go by until there are so many */
#define CROWD_SECONDS 5.0   /* at least */
#define QUESTION_SHARE 10.0 /* of the time box, for which a question to many rows is repeated */
#define CLIENTS_MAX 256u
#define LOADERS_MAX 16u

struct task {
    struct peer_settings settings;
    struct peer_rows rows;
    uint64_t commit;    /* rows a commit */
    uint64_t most_rows; /* loaded; 0: all */
    uint32_t writers;
    uint32_t clients;
    uint32_t runs;
    double seconds;        /* time box of one measure */
    double warm_seconds;   /* time box of what comes before the clock of slices */
    const char *questions; /* "," between */
    bool hold;             /* after a load: wait to be killed */
    bool warm;             /* ask before the clock starts */
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool peer_feed_take(struct peer_feed *feed, uint64_t *ret_first, uint64_t *ret_n)
{
    if (now_us() >= feed->deadline_us)
        return false;
    const uint64_t first = __atomic_fetch_add(&feed->next, feed->commit, __ATOMIC_RELAXED);
    if (first >= feed->rows)
        return false;
    *ret_first = first;
    *ret_n = feed->commit < feed->rows - first ? feed->commit : feed->rows - first;
    return true;
}

/* ------------------------------------------------------------------------- What it costs */

struct cost {
    int64_t at_ns;
    double cpu_seconds;
    uint64_t written; /* bytes, by this process, to the disk */
};

static double cpu_seconds(void)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* The number after `label` in a file of /proc/self, or 0. */
static uint64_t process_number(const char *path, const char *label)
{
    FILE *file = fopen(path, "re");
    char line[256];
    uint64_t value = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, label, strlen(label)) == 0)
            value = strtoull(line + strlen(label), NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return value;
}

static uint64_t written_bytes(void)
{
    return process_number("/proc/self/io", "write_bytes:");
}

/* The clock starts after the other two were read. */
static struct cost cost_before(void)
{
    struct cost cost = {.written = written_bytes()};

    cost.cpu_seconds = cpu_seconds();
    cost.at_ns = now_ns();
    return cost;
}

/* And stops before they are. */
static struct cost cost_after(void)
{
    struct cost cost = {.at_ns = now_ns()};

    cost.cpu_seconds = cpu_seconds();
    cost.written = written_bytes();
    return cost;
}

/* Closes a line that was begun with the measure's name. */
static void print_cost(const struct cost *before, const struct cost *after)
{
    (void)printf(", \"seconds\": %.9f, \"cpu\": %.6f, \"written\": %" PRIu64 "}\n",
                 (double)(after->at_ns - before->at_ns) / 1e9,
                 after->cpu_seconds - before->cpu_seconds, after->written - before->written);
    (void)fflush(stdout);
}

static void print_answer(const struct peer_answer *answer)
{
    (void)printf(", \"answer\": [");
    for (uint32_t i = 0; i < answer->n; i++)
        (void)printf("%s%.17g", i > 0 ? ", " : "", answer->values[i]);
    (void)printf("]");
}

/* The greatest size that the process had; the mapped rows count while it loads. */
static void print_memory(void)
{
    (void)printf("{\"measure\": \"memory\", \"of\": \"process\", \"peak_bytes\": %" PRIu64 "}\n",
                 1024 * process_number("/proc/self/status", "VmHWM:"));
}

/* ------------------------------------------------------------------------------------- Load */

/* What the threads of a load share. */
struct loading {
    struct peer *peer;
    struct peer_feed feed;
    atomic_uint_fast64_t done;
    atomic_bool failed;
};

/* Commit after commit until all rows are in or time is up. */
static void *load_some(void *argument)
{
    struct loading *loading = argument;
    struct peer_writer *writer = NULL;
    uint64_t first, n;
    bool ok = peer_definition.writer_open(loading->peer, &writer);

    while (ok && !atomic_load(&loading->failed) && peer_feed_take(&loading->feed, &first, &n)) {
        ok = peer_definition.commit(writer, first, n);
        if (ok)
            (void)atomic_fetch_add(&loading->done, n);
    }
    peer_definition.writer_close(writer);
    if (!ok)
        atomic_store(&loading->failed, true);
    return NULL;
}

static bool load_by_threads(struct peer *peer, const struct task *task, struct peer_feed feed,
                            uint64_t *ret_done)
{
    pthread_t threads[LOADERS_MAX];
    uint32_t started = 1; /* this one */
    struct loading loading = {.peer = peer, .feed = feed};

    if (task->settings.threads > peer_definition.load_threads) {
        (void)fprintf(stderr, "%s: %u threads cannot load it at once\n", peer_definition.name,
                      task->settings.threads);
        return false;
    }
    while (started < task->settings.threads &&
           pthread_create(&threads[started], NULL, load_some, &loading) == 0)
        started++;
    (void)load_some(&loading);
    for (uint32_t i = 1; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    *ret_done = atomic_load(&loading.done);
    return started == task->settings.threads && !atomic_load(&loading.failed);
}

static bool load_by_writers(struct peer *peer, const struct task *task, struct peer_feed feed,
                            uint64_t *ret_done)
{
    if (peer_definition.commit_many == NULL) {
        (void)fprintf(stderr, "%s has one writer\n", peer_definition.name);
        return false;
    }
    if (!peer_definition.commit_many(peer, &feed, task->writers))
        return false;
    *ret_done = feed.next < feed.rows ? feed.next : feed.rows;
    return true;
}

static bool load(struct peer *peer, const struct task *task, uint64_t rows, uint64_t *ret_done)
{
    const struct peer_feed feed = {
        .rows = rows,
        .commit = task->commit,
        .deadline_us = now_us() + (int64_t)(task->seconds * 1e6),
    };

    return task->writers > 1 ? load_by_writers(peer, task, feed, ret_done)
                             : load_by_threads(peer, task, feed, ret_done);
}

/* Until the process is killed, or whoever started it is gone. */
static void wait_for_the_end(void)
{
    (void)printf("{\"event\": \"holding\"}\n");
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
}

/* Whoever loads rows has a client already, with statements prepared where there are any. */
static bool first_answer(struct peer *peer, const struct task *task)
{
    struct peer_answer answer = {.n = 0};
    struct peer_client *client = NULL;

    bool ok = peer_definition.client_open(peer, &client);
    const struct cost before = cost_before();
    ok = ok && peer_definition.slice(client, &task->rows.slices[0], &answer);
    const struct cost after = cost_after();
    peer_definition.client_close(client);
    if (!ok)
        return false;
    (void)printf("{\"measure\": \"first_answer\"");
    print_answer(&answer);
    print_cost(&before, &after);
    return true;
}

/* The last work on a store, which is then closed. What was written counts from the `written` bytes of
 * earlier until the store is closed, since engines write when they open and close it, too. */
static bool finish(struct peer *peer, const char *measure, bool (*work)(struct peer *),
                   uint64_t written)
{
    struct cost before = cost_before();
    const bool ok = work(peer);
    struct cost after = cost_after();

    peer_definition.close(peer);
    if (!ok)
        return false;
    before.written = written;
    after.written = written_bytes();
    (void)printf("{\"measure\": \"%s\"", measure);
    print_cost(&before, &after);
    return true;
}

static bool command_load(const struct task *task)
{
    const uint64_t rows = task->most_rows > 0 && task->most_rows < task->rows.rows
                              ? task->most_rows
                              : task->rows.rows;
    const uint64_t written = written_bytes();
    struct peer *peer = NULL;
    uint64_t done = 0;

    if (!peer_definition.open(&task->settings, &task->rows, true, &peer))
        return false;
    struct cost before = cost_before();
    before.written = written; /* a log that is made ahead is written for these rows */
    bool ok = load(peer, task, rows, &done);
    const struct cost after = cost_after();
    if (ok) {
        (void)printf("{\"measure\": \"ingest\", \"rows\": %" PRIu64 ", \"complete\": %s", done,
                     done == task->rows.rows ? "true" : "false");
        print_cost(&before, &after);
    }
    if (ok && done == task->rows.rows)
        ok = first_answer(peer, task);
    if (!ok) {
        peer_definition.close(peer);
        return false;
    }
    if (task->hold)
        wait_for_the_end();
    if (!finish(peer, "flush", peer_definition.flush, after.written))
        return false;
    print_memory();
    return true;
}

static bool command_merge(const struct task *task)
{
    const uint64_t written = written_bytes();
    struct peer *peer = NULL;

    if (peer_definition.merge == NULL) {
        (void)printf("{\"measure\": \"merge\", \"not\": \"%s does not merge\"}\n",
                     peer_definition.name);
        return true;
    }
    return peer_definition.open(&task->settings, &task->rows, false, &peer) &&
           finish(peer, "merge", peer_definition.merge, written);
}

/* ------------------------------------------------------------------------------------- Size */

static bool ends_with(const char *text, const char *suffix)
{
    const size_t size = strlen(text), n = strlen(suffix);

    return size >= n && strcmp(text + size - n, suffix) == 0;
}

static bool command_size(const struct task *task)
{
    char *folder = strdup(task->settings.folder);
    char *roots[] = {folder, NULL};
    FTS *walk = folder != NULL ? fts_open(roots, FTS_PHYSICAL, NULL) : NULL;
    uint64_t data = 0, other = 0;

    if (walk == NULL) {
        perror(task->settings.folder);
        free(folder);
        return false;
    }
    for (FTSENT *entry = fts_read(walk); entry != NULL; entry = fts_read(walk)) {
        if (entry->fts_info != FTS_F)
            continue;
        if (ends_with(entry->fts_name, peer_definition.data_suffix))
            data += (uint64_t)entry->fts_statp->st_size;
        else
            other += (uint64_t)entry->fts_statp->st_size;
    }
    (void)fts_close(walk);
    free(folder);
    (void)printf("{\"measure\": \"size\", \"bytes\": %" PRIu64 ", \"other_bytes\": %" PRIu64 "}\n",
                 data, other);
    return true;
}

static bool command_reopen(const struct task *task)
{
    struct peer_answer answer = {.n = 0};
    struct peer_client *client = NULL;
    struct peer *peer = NULL;
    const struct cost before = cost_before();

    bool ok = peer_definition.open(&task->settings, &task->rows, false, &peer) &&
              peer_definition.client_open(peer, &client) &&
              peer_definition.slice(client, &task->rows.slices[0], &answer);
    const struct cost after = cost_after();
    struct peer_answer all = {.n = 0};
    ok = ok && peer_definition.scan(client, &all); /* nothing acknowledged may be missing */
    if (ok) {
        (void)printf("{\"measure\": \"reopen\", \"rows\": %.0f", all.values[0]);
        print_answer(&answer);
        print_cost(&before, &after);
    }
    peer_definition.client_close(client);
    peer_definition.close(peer);
    return ok;
}

/* ------------------------------------------------------------------------------------ Slices */

/*
 * How often a question took how long: exact below 2 us, beyond in boxes that are a thousandth of
 * their time wide. Its size does not depend on how much is asked, so it costs no peer any memory.
 */
#define BOX_BITS 10u
#define BOXES ((41u - BOX_BITS) << BOX_BITS) /* up to 2^40 ns, a quarter of an hour */

struct times {
    uint64_t n;
    uint32_t boxes[BOXES];
};

static uint32_t box_of(uint64_t ns)
{
    const uint32_t bits = 64 - (uint32_t)__builtin_clzll(ns | 1);
    const uint32_t shift = bits > BOX_BITS + 1 ? bits - BOX_BITS - 1 : 0;
    const uint64_t box = ((uint64_t)shift << BOX_BITS) + (ns >> shift);

    return box < BOXES ? (uint32_t)box : BOXES - 1;
}

/* The middle of a box. */
static double seconds_of(uint32_t box)
{
    const uint32_t shift = box < 2u << BOX_BITS ? 0 : (box >> BOX_BITS) - 1;
    const uint64_t first = (uint64_t)(box - (shift << BOX_BITS)) << shift;

    return ((double)first + (double)((UINT64_C(1) << shift) - 1) / 2) / 1e9;
}

static void times_add(struct times *times, int64_t ns)
{
    times->boxes[box_of((uint64_t)ns)]++;
    times->n++;
}

static double times_at(const struct times *times, double fraction)
{
    const uint64_t rank = (uint64_t)(fraction * (double)times->n);
    uint64_t below = 0;
    uint32_t box = 0;

    while (box < BOXES - 1 && below + times->boxes[box] <= rank)
        below += times->boxes[box++];
    return seconds_of(box);
}

typedef bool (*slice_question)(struct peer_client *, const struct peer_slice *,
                               struct peer_answer *);

/* Every slice once, as far as time allows. */
static bool warm_slices(struct peer_client *client, const struct task *task, slice_question ask)
{
    const int64_t deadline = now_us() + (int64_t)(task->warm_seconds * 1e6);
    bool ok = true;

    for (uint32_t i = 0; ok && i < task->rows.n_slices && now_us() < deadline; i++) {
        struct peer_answer ignored = {.n = 0};
        ok = ask(client, &task->rows.slices[i], &ignored);
    }
    return ok;
}

/* Until there are samples for the rarest percentile and the time box is full. */
static bool time_slices(struct peer_client *client, const struct task *task, slice_question ask,
                        struct times *times, struct peer_answer *answer)
{
    const uint32_t n = task->rows.n_slices;
    const uint32_t counted = n < ANSWER_SLICES ? n : ANSWER_SLICES;
    const int64_t start = now_ns();
    const double box_ns = task->seconds * 1e9;
    bool ok = true;

    for (;;) {
        const int64_t asked = now_ns();
        const double past = (double)(asked - start);
        if (!ok || (times->n >= counted && past >= box_ns &&
                    (times->n >= LEAST_SAMPLES || past >= MOST_BOXES * box_ns)))
            return ok;
        struct peer_answer ignored = {.n = 0};
        ok = ask(client, &task->rows.slices[times->n % n], times->n < counted ? answer : &ignored);
        times_add(times, now_ns() - asked);
    }
}

/* One client asks slice after slice; the answer is that of the first ANSWER_SLICES. */
static bool ask_slices(struct peer *peer, const struct task *task, const char *measure,
                       slice_question ask)
{
    struct times *times = calloc(1, sizeof *times);
    struct peer_answer answer = {.n = 0};
    struct peer_client *client = NULL;

    bool ok = times != NULL && peer_definition.client_open(peer, &client);
    ok = ok && (!task->warm || warm_slices(client, task, ask));
    const struct cost before = cost_before();
    ok = ok && time_slices(client, task, ask, times, &answer);
    const struct cost after = cost_after();
    peer_definition.client_close(client);
    if (ok) {
        (void)printf("{\"measure\": \"%s\", \"n\": %" PRIu64 ", \"p50\": %.9f, \"p99\": %.9f, "
                     "\"p999\": %.9f",
                     measure, times->n, times_at(times, 0.5), times_at(times, 0.99),
                     times_at(times, 0.999));
        print_answer(&answer);
        print_cost(&before, &after);
    }
    free(times);
    return ok;
}

/* ------------------------------------------------------------------------------------- Crowd */

/* What all clients have come to; the next step begins when every one has. */
enum crowd_step { CROWD_READY, CROWD_DONE, CROWD_STEPS };

struct crowd {
    struct peer *peer;
    const struct task *task;
    int64_t deadline_us;         /* of the step that is under way */
    atomic_uint_fast64_t warmed; /* slices asked before the clock starts */
    atomic_uint_fast64_t asked;
    atomic_uint_fast64_t done;
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t there[CROWD_STEPS]; /* clients; under `lock`, as is `open` */
    bool open[CROWD_STEPS];
};

/* A client has come to `step`, and waits for the others. */
static void crowd_wait(struct crowd *crowd, enum crowd_step step)
{
    (void)pthread_mutex_lock(&crowd->lock);
    crowd->there[step]++;
    (void)pthread_cond_broadcast(&crowd->changed);
    while (!crowd->open[step])
        (void)pthread_cond_wait(&crowd->changed, &crowd->lock);
    (void)pthread_mutex_unlock(&crowd->lock);
}

/* Wait until all have come to `step`. */
static void crowd_gather(struct crowd *crowd, enum crowd_step step, uint32_t clients)
{
    (void)pthread_mutex_lock(&crowd->lock);
    while (crowd->there[step] < clients)
        (void)pthread_cond_wait(&crowd->changed, &crowd->lock);
    (void)pthread_mutex_unlock(&crowd->lock);
}

static void crowd_release(struct crowd *crowd, enum crowd_step step)
{
    (void)pthread_mutex_lock(&crowd->lock);
    crowd->open[step] = true;
    (void)pthread_cond_broadcast(&crowd->changed);
    (void)pthread_mutex_unlock(&crowd->lock);
}

/* Ask slices that `counter` gives, fewer than `most`, until the deadline; adds to `done`, if there
 * is one, what was answered. */
static bool crowd_ask(struct crowd *crowd, struct peer_client *client,
                      atomic_uint_fast64_t *counter, uint64_t most, atomic_uint_fast64_t *done)
{
    const struct peer_rows *rows = &crowd->task->rows;
    uint64_t i;

    while (now_us() < crowd->deadline_us && (i = atomic_fetch_add(counter, 1)) < most) {
        struct peer_answer ignored = {.n = 0};
        if (!peer_definition.slice(client, &rows->slices[i % rows->n_slices], &ignored))
            return false;
        if (done != NULL)
            (void)atomic_fetch_add(done, 1);
    }
    return true;
}

static void *crowd_member(void *argument)
{
    struct crowd *crowd = argument;
    struct peer_client *client = NULL;
    bool ok = peer_definition.client_open(crowd->peer, &client);

    if (ok && crowd->task->warm)
        ok = crowd_ask(crowd, client, &crowd->warmed, crowd->task->rows.n_slices, NULL);
    crowd_wait(crowd, CROWD_READY);
    ok = ok && crowd_ask(crowd, client, &crowd->asked, UINT64_MAX, &crowd->done);
    crowd_wait(crowd, CROWD_DONE);
    peer_definition.client_close(client);
    if (!ok)
        atomic_store(&crowd->failed, true);
    return NULL;
}

static void print_crowd(const struct crowd *crowd, const struct cost *before,
                        const struct cost *after)
{
    (void)printf("{\"measure\": \"slice_crowd\", \"clients\": %u, \"n\": %" PRIu64,
                 crowd->task->clients, (uint64_t)atomic_load(&crowd->done));
    print_cost(before, after);
}

/* Slices a second of many clients at once. Clients are opened before the clock starts and closed
 * after it stopped. */
static bool ask_crowd(struct peer *peer, const struct task *task)
{
    const double seconds = task->seconds > CROWD_SECONDS ? task->seconds : CROWD_SECONDS;
    pthread_t threads[CLIENTS_MAX];
    uint32_t started = 0;
    struct crowd crowd = {
        .peer = peer,
        .task = task,
        .deadline_us = now_us() + (int64_t)(task->warm_seconds * 1e6),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };

    while (started < task->clients &&
           pthread_create(&threads[started], NULL, crowd_member, &crowd) == 0)
        started++;
    crowd_gather(&crowd, CROWD_READY, started);
    const struct cost before = cost_before();
    crowd.deadline_us = now_us() + (int64_t)(seconds * 1e6);
    crowd_release(&crowd, CROWD_READY);
    crowd_gather(&crowd, CROWD_DONE, started);
    const struct cost after = cost_after();
    crowd_release(&crowd, CROWD_DONE);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    if (started < task->clients || atomic_load(&crowd.failed))
        return false;
    print_crowd(&crowd, &before, &after);
    return true;
}

/* -------------------------------------------------------------------------------- Questions */

static bool ask_hourly_one(struct peer_client *client, struct peer_answer *answer)
{
    return peer_definition.hourly(client, 0, answer);
}

static bool ask_hourly_all(struct peer_client *client, struct peer_answer *answer)
{
    return peer_definition.hourly(client, UINT32_MAX, answer);
}

typedef bool (*whole_question)(struct peer_client *, struct peer_answer *);

/* Again and again for a share of the time box, and once without warming: the time of the one in the
 * middle, and what an answer costs on average. */
static bool ask_run(struct peer_client *client, const struct task *task, const char *measure,
                    uint32_t run, whole_question ask, struct times *times)
{
    const int64_t box_ns = task->warm ? (int64_t)(task->seconds / QUESTION_SHARE * 1e9) : 0;
    struct peer_answer answer;
    int64_t asked, answered;
    bool ok;

    memset(times, 0, sizeof *times);
    const struct cost before = cost_before();
    do {
        answer = (struct peer_answer){.n = 0};
        asked = now_ns();
        ok = ask(client, &answer);
        answered = now_ns();
        times_add(times, answered - asked);
    } while (ok && answered - before.at_ns < box_ns);
    const struct cost after = cost_after();
    if (!ok)
        return false;
    (void)printf("{\"measure\": \"%s\", \"run\": %u, \"n\": %" PRIu64, measure, run, times->n);
    print_answer(&answer);
    (void)printf(", \"seconds\": %.9f, \"cpu\": %.9f}\n", times_at(times, 0.5),
                 (after.cpu_seconds - before.cpu_seconds) / (double)times->n);
    (void)fflush(stdout);
    return true;
}

/* The same question in `runs` runs; before, once outside the clock. */
static bool ask_whole(struct peer *peer, const struct task *task, const char *measure,
                      whole_question ask)
{
    struct times *times = calloc(1, sizeof *times);
    struct peer_answer ignored = {.n = 0};
    struct peer_client *client = NULL;
    bool ok = times != NULL && peer_definition.client_open(peer, &client);

    ok = ok && (!task->warm || ask(client, &ignored));
    for (uint32_t run = 0; ok && run < task->runs; run++)
        ok = ask_run(client, task, measure, run, ask, times);
    peer_definition.client_close(client);
    free(times);
    return ok;
}

static bool ask_one(struct peer *peer, const struct task *task, const char *question)
{
    if (strcmp(question, "slice") == 0)
        return ask_slices(peer, task, question, peer_definition.slice);
    if (strcmp(question, "hour") == 0)
        return ask_slices(peer, task, question, peer_definition.hour);
    if (strcmp(question, "slice_crowd") == 0)
        return ask_crowd(peer, task);
    if (strcmp(question, "hourly_one") == 0)
        return ask_whole(peer, task, question, ask_hourly_one);
    if (strcmp(question, "hourly_all") == 0)
        return ask_whole(peer, task, question, ask_hourly_all);
    if (strcmp(question, "by_partition") == 0)
        return ask_whole(peer, task, question, peer_definition.by_partition);
    if (strcmp(question, "total") == 0)
        return ask_whole(peer, task, question, peer_definition.total);
    if (strcmp(question, "latest") == 0)
        return ask_whole(peer, task, question, peer_definition.latest);
    if (strcmp(question, "scan") == 0)
        return ask_whole(peer, task, question, peer_definition.scan);
    (void)fprintf(stderr, "no question is named %s\n", question);
    return false;
}

static bool command_ask(const struct task *task)
{
    struct peer *peer = NULL;
    char *questions = strdup(task->questions), *rest = questions;
    const char *question;

    bool ok = questions != NULL && peer_definition.open(&task->settings, &task->rows, false, &peer);
    while (ok && (question = strsep(&rest, ",")) != NULL)
        ok = ask_one(peer, task, question);
    peer_definition.close(peer);
    free(questions);
    if (ok)
        print_memory();
    return ok;
}

/* ---------------------------------------------------------------------------------- Commands */

static bool command_describe(const struct task *task)
{
    (void)printf("{\"peer\": \"%s\", \"version\": \"%s\", \"parallel\": %s, \"merges\": %s, "
                 "\"many_writers\": %s, \"columns\": %s, \"zone_maps\": %s, "
                 "\"bulk_commit\": %" PRIu64 ", \"bulk_writers\": %u, \"load_threads\": [1%s], "
                 "\"settings\": \"",
                 peer_definition.name, peer_definition.version,
                 peer_definition.parallel ? "true" : "false",
                 peer_definition.merge != NULL ? "true" : "false",
                 peer_definition.commit_many != NULL ? "true" : "false",
                 peer_definition.columns ? "true" : "false",
                 peer_definition.zone_maps ? "true" : "false", peer_definition.bulk_commit,
                 peer_definition.bulk_writers, peer_definition.load_threads > 1 ? ", 2" : "");
    peer_definition.describe(stdout, &task->settings);
    (void)printf("\"}\n");
    return true;
}

static uint32_t number_of(const char *value)
{
    return (uint32_t)strtoul(value, NULL, 10);
}

static bool set_option(struct task *task, const char *key, const char *value)
{
    if (strcmp(key, "commit") == 0)
        task->commit = strtoull(value, NULL, 10);
    else if (strcmp(key, "rows") == 0)
        task->most_rows = strtoull(value, NULL, 10);
    else if (strcmp(key, "writers") == 0)
        task->writers = number_of(value);
    else if (strcmp(key, "clients") == 0)
        task->clients = number_of(value);
    else if (strcmp(key, "runs") == 0)
        task->runs = number_of(value);
    else if (strcmp(key, "threads") == 0)
        task->settings.threads = number_of(value);
    else if (strcmp(key, "seconds") == 0)
        task->seconds = strtod(value, NULL);
    else if (strcmp(key, "questions") == 0)
        task->questions = value;
    else if (strcmp(key, "compression") == 0)
        task->settings.compression = value;
    else if (strcmp(key, "form") == 0)
        task->settings.by_rows = strcmp(value, "rows") == 0;
    else if (strcmp(key, "hold") == 0)
        task->hold = strcmp(value, "1") == 0;
    else if (strcmp(key, "warm") == 0)
        task->warm = strcmp(value, "1") == 0;
    else if (strcmp(key, "warm_seconds") == 0)
        task->warm_seconds = strtod(value, NULL);
    else if (strcmp(key, "zone_maps") == 0 && peer_definition.zone_maps)
        task->settings.read_all_values = strcmp(value, "0") == 0;
    else
        return false;
    return task->commit > 0 && task->writers > 0 && task->clients > 0 &&
           task->clients <= CLIENTS_MAX && task->settings.threads > 0 &&
           task->settings.threads <= LOADERS_MAX;
}

/* "key=value"; the text is cut at its '='. */
static bool parse_option(struct task *task, char *text)
{
    char *value = strchr(text, '=');

    if (value == NULL)
        return false;
    *value = '\0';
    return set_option(task, text, value + 1);
}

static const struct {
    const char *name;
    bool (*run)(const struct task *task);
} commands[] = {
    {"describe", command_describe}, {"load", command_load},     {"merge", command_merge},
    {"size", command_size},         {"reopen", command_reopen}, {"ask", command_ask},
};

/* The program's exit code. */
static int run(const char *name, const struct task *task)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(task) ? 0 : 1;
    (void)fprintf(stderr, "%s: no such command\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    struct task task = {
        .settings = {.compression = "lz4", .threads = 1, .memory_bytes = UINT64_C(512) << 20},
        .commit = 10000,
        .writers = 1,
        .clients = 64,
        .runs = 5,
        .seconds = 60,
        .warm_seconds = 10,
        .questions = "slice",
        .warm = true,
    };
    const bool describes = argc >= 2 && strcmp(argv[1], "describe") == 0;
    const int options = describes ? 2 : 4;
    bool ok = argc >= options;

    for (int i = options; ok && i < argc; i++)
        ok = parse_option(&task, argv[i]);
    if (!ok) {
        (void)fprintf(stderr, "usage: %s COMMAND FOLDER ROWS [key=value...]\n", argv[0]);
        return 2;
    }
    task.settings.folder = describes ? NULL : argv[2];
    const int code = (describes || peer_rows_open(&task.rows, argv[3])) ? run(argv[1], &task) : 1;
    peer_rows_close(&task.rows);
    return code;
}
