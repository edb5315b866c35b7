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

#define ANSWER_SLICES 200u /* slices that make up a slice's answer; all peers ask at least these */
#define WARM_SLICES 20u    /* asked before the clock starts */
#define CLIENTS_MAX 256u

struct task {
    struct peer_settings settings;
    struct peer_rows rows;
    uint64_t commit;    /* rows a commit */
    uint64_t most_rows; /* loaded; 0: all */
    uint32_t writers;
    uint32_t clients;
    uint32_t runs;
    double seconds;        /* time box of one measure */
    const char *questions; /* "," between */
    bool hold;             /* after a load: wait to be killed */
    bool warm;             /* ask some slices before the clock starts */
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

bool peer_feed_take(struct peer_feed *feed, uint64_t *ret_row)
{
    if (now_us() >= feed->deadline_us)
        return false;
    *ret_row = __atomic_fetch_add(&feed->next, 1, __ATOMIC_RELAXED);
    return *ret_row < feed->n;
}

/* ------------------------------------------------------------------------- What it costs */

struct cost {
    int64_t started_ns;
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

static struct cost cost_now(void)
{
    return (struct cost){
        .started_ns = now_ns(),
        .cpu_seconds = cpu_seconds(),
        .written = process_number("/proc/self/io", "write_bytes:"),
    };
}

static double seconds_since(const struct cost *cost)
{
    return (double)(now_ns() - cost->started_ns) / 1e9;
}

/* Closes a line that was begun with the measure's name. */
static void print_cost(const struct cost *before, double seconds)
{
    const struct cost after = cost_now();

    (void)printf(", \"seconds\": %.9f, \"cpu\": %.6f, \"written\": %" PRIu64 "}\n", seconds,
                 after.cpu_seconds - before->cpu_seconds, after.written - before->written);
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
    (void)printf("{\"measure\": \"memory\", \"peak_bytes\": %" PRIu64 "}\n",
                 1024 * process_number("/proc/self/status", "VmHWM:"));
}

/* ------------------------------------------------------------------------------------- Load */

/* Commit after commit until all rows are in or time is up. */
static bool load_batches(struct peer *peer, const struct task *task, uint64_t rows,
                         uint64_t *ret_done)
{
    const int64_t deadline = now_us() + (int64_t)(task->seconds * 1e6);
    uint64_t done = 0;

    while (done < rows && now_us() < deadline) {
        const uint64_t n = task->commit < rows - done ? task->commit : rows - done;
        if (!peer_definition.commit(peer, done, n))
            return false;
        done += n;
    }
    *ret_done = done;
    return true;
}

static bool load_single(struct peer *peer, const struct task *task, uint64_t rows,
                        uint64_t *ret_done)
{
    struct peer_feed feed = {
        .rows = &task->rows,
        .n = rows,
        .deadline_us = now_us() + (int64_t)(task->seconds * 1e6),
    };

    if (peer_definition.commit_single == NULL) {
        (void)fprintf(stderr, "%s has one writer\n", peer_definition.name);
        return false;
    }
    if (!peer_definition.commit_single(peer, &feed, task->writers))
        return false;
    *ret_done = feed.next < feed.n ? feed.next : feed.n;
    return true;
}

/* Until the process is killed, or whoever started it is gone. */
static void wait_for_the_end(void)
{
    (void)printf("{\"event\": \"holding\"}\n");
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
}

static bool first_answer(struct peer *peer, const struct task *task)
{
    const struct cost before = cost_now();
    struct peer_answer answer = {.n = 0};
    struct peer_client *client = NULL;

    const bool ok = peer_definition.client_open(peer, &client) &&
                    peer_definition.slice(client, &task->rows.slices[0], &answer);
    const double seconds = seconds_since(&before);
    peer_definition.client_close(client);
    if (!ok)
        return false;
    (void)printf("{\"measure\": \"first_answer\"");
    print_answer(&answer);
    print_cost(&before, seconds);
    return true;
}

static bool command_load(const struct task *task)
{
    const uint64_t rows = task->most_rows > 0 && task->most_rows < task->rows.rows
                              ? task->most_rows
                              : task->rows.rows;
    struct peer *peer = NULL;
    uint64_t done = 0;

    if (!peer_definition.open(&task->settings, &task->rows, true, &peer))
        return false;
    const struct cost before = cost_now();
    bool ok = task->writers > 1 ? load_single(peer, task, rows, &done)
                                : load_batches(peer, task, rows, &done);
    if (ok) {
        const double seconds = seconds_since(&before);
        (void)printf("{\"measure\": \"ingest\", \"rows\": %" PRIu64 ", \"complete\": %s", done,
                     done == task->rows.rows ? "true" : "false");
        print_cost(&before, seconds);
    }
    if (ok && done == task->rows.rows)
        ok = first_answer(peer, task);
    if (ok && task->hold)
        wait_for_the_end();
    const struct cost before_flush = cost_now();
    ok = ok && peer_definition.flush(peer);
    const double seconds = seconds_since(&before_flush);
    peer_definition.close(peer);
    if (ok) {
        (void)printf("{\"measure\": \"flush\"");
        print_cost(&before_flush, seconds);
    }
    return ok;
}

static bool command_merge(const struct task *task)
{
    struct peer *peer = NULL;

    if (peer_definition.merge == NULL) {
        (void)printf("{\"measure\": \"merge\", \"not\": \"%s does not merge\"}\n",
                     peer_definition.name);
        return true;
    }
    if (!peer_definition.open(&task->settings, &task->rows, false, &peer))
        return false;
    const struct cost before = cost_now();
    const bool ok = peer_definition.merge(peer);
    const double seconds = seconds_since(&before);
    peer_definition.close(peer);
    if (ok) {
        (void)printf("{\"measure\": \"merge\"");
        print_cost(&before, seconds);
    }
    return ok;
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
    const struct cost before = cost_now();

    bool ok = peer_definition.open(&task->settings, &task->rows, false, &peer) &&
              peer_definition.client_open(peer, &client) &&
              peer_definition.slice(client, &task->rows.slices[0], &answer);
    const double seconds = seconds_since(&before);
    struct peer_answer all = {.n = 0};
    ok = ok && peer_definition.scan(client, &all); /* nothing acknowledged may be missing */
    if (ok) {
        (void)printf("{\"measure\": \"reopen\", \"rows\": %.0f", all.values[0]);
        print_answer(&answer);
        print_cost(&before, seconds);
    }
    peer_definition.client_close(client);
    peer_definition.close(peer);
    return ok;
}

/* ------------------------------------------------------------------------------------ Slices */

typedef bool (*slice_question)(struct peer_client *, const struct peer_slice *,
                               struct peer_answer *);

static int compare_ns(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double at_fraction(const int64_t *sorted, uint32_t n, double fraction)
{
    const uint32_t at = (uint32_t)(fraction * n);

    return (double)sorted[at < n ? at : n - 1] / 1e9;
}

/* One client asks slice after slice; the answer is that of the first ANSWER_SLICES. */
static bool ask_slices(struct peer *peer, const struct task *task, const char *measure,
                       slice_question ask)
{
    const uint32_t most = task->rows.n_slices;
    const uint32_t least = most < ANSWER_SLICES ? most : ANSWER_SLICES;
    int64_t *times = calloc(most, sizeof *times);
    struct peer_answer answer = {.n = 0}, ignored = {.n = 0};
    struct peer_client *client = NULL;
    uint32_t n = 0;

    bool ok = times != NULL && peer_definition.client_open(peer, &client);
    for (uint32_t i = 0; ok && task->warm && i < WARM_SLICES && i < most; i++)
        ok = ask(client, &task->rows.slices[most - 1 - i], &ignored);
    const struct cost before = cost_now();
    while (ok && n < most && (n < least || seconds_since(&before) < task->seconds)) {
        const int64_t start = now_ns();
        ok = ask(client, &task->rows.slices[n], n < least ? &answer : &ignored);
        times[n++] = now_ns() - start;
    }
    const double seconds = seconds_since(&before);
    peer_definition.client_close(client);
    if (ok) {
        qsort(times, n, sizeof *times, compare_ns);
        (void)printf("{\"measure\": \"%s\", \"n\": %u, \"p50\": %.9f, \"p99\": %.9f, "
                     "\"p999\": %.9f",
                     measure, n, at_fraction(times, n, 0.5), at_fraction(times, n, 0.99),
                     at_fraction(times, n, 0.999));
        print_answer(&answer);
        print_cost(&before, seconds);
    }
    free(times);
    return ok;
}

struct crowd {
    struct peer *peer;
    const struct task *task;
    int64_t deadline_us;
    atomic_uint_fast64_t asked;
    atomic_uint_fast64_t done;
    atomic_bool failed;
};

static void *crowd_member(void *argument)
{
    struct crowd *crowd = argument;
    struct peer_answer ignored = {.n = 0};
    struct peer_client *client = NULL;
    bool ok = peer_definition.client_open(crowd->peer, &client);

    while (ok && now_us() < crowd->deadline_us) {
        const uint64_t i = atomic_fetch_add(&crowd->asked, 1) % crowd->task->rows.n_slices;
        ok = peer_definition.slice(client, &crowd->task->rows.slices[i], &ignored);
        if (ok)
            (void)atomic_fetch_add(&crowd->done, 1);
    }
    peer_definition.client_close(client);
    if (!ok)
        atomic_store(&crowd->failed, true);
    return NULL;
}

/* Slices a second of many clients at once. */
static bool ask_crowd(struct peer *peer, const struct task *task)
{
    pthread_t threads[CLIENTS_MAX];
    uint32_t started = 0;
    struct crowd crowd = {
        .peer = peer,
        .task = task,
        .deadline_us = now_us() + (int64_t)(task->seconds * 1e6 / 4),
    };
    const struct cost before = cost_now();

    while (started < task->clients &&
           pthread_create(&threads[started], NULL, crowd_member, &crowd) == 0)
        started++;
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    const double seconds = seconds_since(&before);
    if (started < task->clients || atomic_load(&crowd.failed))
        return false;
    (void)printf("{\"measure\": \"slice_crowd\", \"clients\": %u, \"n\": %" PRIu64, task->clients,
                 (uint64_t)atomic_load(&crowd.done));
    print_cost(&before, seconds);
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

/* The same question `runs` times, or until the time box is full; at least once. */
static bool ask_whole(struct peer *peer, const struct task *task, const char *measure,
                      bool (*ask)(struct peer_client *, struct peer_answer *))
{
    const int64_t deadline = now_us() + (int64_t)(task->seconds * 1e6);
    struct peer_client *client = NULL;
    bool ok = peer_definition.client_open(peer, &client);

    for (uint32_t run = 0; ok && run < task->runs && (run == 0 || now_us() < deadline); run++) {
        struct peer_answer answer = {.n = 0};
        const struct cost before = cost_now();
        ok = ask(client, &answer);
        const double seconds = seconds_since(&before);
        if (ok) {
            (void)printf("{\"measure\": \"%s\", \"run\": %u", measure, run);
            print_answer(&answer);
            print_cost(&before, seconds);
        }
    }
    peer_definition.client_close(client);
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
                 "\"many_writers\": %s, \"columns\": %s, \"settings\": \"",
                 peer_definition.name, peer_definition.version,
                 peer_definition.parallel ? "true" : "false",
                 peer_definition.merge != NULL ? "true" : "false",
                 peer_definition.commit_single != NULL ? "true" : "false",
                 peer_definition.columns ? "true" : "false");
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
    else
        return false;
    return task->commit > 0 && task->writers > 0 && task->clients > 0 &&
           task->clients <= CLIENTS_MAX && task->settings.threads > 0;
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
