/*
 * test_crash_states.c - what a power cut may leave, model by model: that every state that must be
 * possible is produced, and none that must not be. The method is to write something small, enumerate
 * all states, and compare the set of outcomes with the one worked out by hand.
 */
#include "backend_rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/rng.h"

#define CREATE (VARVE_FILE_WRITE | VARVE_FILE_CREATE)
#define SECTOR 512u

/* Describe a state: for each file in order "name:" and a letter per sector, that of its first byte
 * ('.' for zero, '#' for a mixed sector), then a space. */
static int describe_file(void *ctx, const char *name)
{
    void **both = ctx;
    struct varve_sim *image = both[0];
    char *text = both[1];
    uint8_t sector[SECTOR];
    int64_t got;

    strcat(text, name);
    strcat(text, ":");
    for (uint64_t at = 0; (got = varve_sim_read(image, name, at, sector, SECTOR)) > 0;
         at += SECTOR) {
        char letter[2] = {(char)(sector[0] == 0 ? '.' : sector[0]), 0};
        for (int64_t i = 1; i < got; i++)
            if (sector[i] != sector[0])
                letter[0] = '#';
        strcat(text, letter);
    }
    strcat(text, " ");
    return 0;
}

static void describe(struct varve_sim *image, char *text)
{
    void *both[2] = {image, text};
    text[0] = 0;
    ck_assert_int_eq(varve_sim_list(image, describe_file, both), 0);
}

enum { STATES_MAX = 1024, TEXT_SIZE = 128 };

struct states {
    char text[STATES_MAX][TEXT_SIZE];
    size_t count;
};

static bool has(const struct states *states, const char *text)
{
    for (size_t i = 0; i < states->count; i++)
        if (strcmp(states->text[i], text) == 0)
            return true;
    return false;
}

static struct varve_sim_crash_options options_of(uint32_t model)
{
    struct varve_sim_crash_options options;
    varve_sim_crash_options_init(&options, 5);
    options.model = model;
    return options;
}

static void enumerate(struct varve_sim *sim, const struct varve_sim_crash_options *options,
                      struct states *states)
{
    struct varve_sim_crash *crash;
    struct varve_sim *image;
    int rc;

    states->count = 0;
    ck_assert_int_eq(varve_sim_crash_open(sim, options, &crash), 0);
    while ((rc = varve_sim_crash_next(crash, &image, NULL)) > 0) {
        ck_assert_uint_lt(states->count, STATES_MAX);
        describe(image, states->text[states->count++]);
        varve_sim_destroy(image);
    }
    ck_assert_int_eq(rc, 0);
    varve_sim_crash_close(crash);
}

/* Require exactly these states, a NULL-terminated list. */
static void check_states(struct varve_sim *sim, const struct varve_sim_crash_options *options,
                         const char *const *want)
{
    static struct states states;
    size_t n = 0;

    enumerate(sim, options, &states);
    for (; want[n] != NULL; n++)
        ck_assert_msg(has(&states, want[n]), "missing \"%s\"", want[n]);
    for (size_t i = 0; i < states.count; i++) {
        bool wanted = false;
        for (size_t j = 0; j < n; j++)
            wanted = wanted || strcmp(states.text[i], want[j]) == 0;
        ck_assert_msg(wanted, "impossible \"%s\"", states.text[i]);
    }
    ck_assert_uint_eq(states.count, n); /* each once */
}

static void put_sectors(struct varve_vfs *vfs, struct varve_file *file, uint64_t first,
                        const char *letters)
{
    uint8_t bytes[16 * SECTOR];
    const size_t n = strlen(letters);

    for (size_t i = 0; i < n; i++)
        memset(bytes + i * SECTOR, letters[i], SECTOR);
    ck_assert_int_eq(vfs->ops->write(file, bytes, n * SECTOR, first * SECTOR),
                     (int64_t)(n * SECTOR));
}

/* A file that is durable with its entry. */
static struct varve_file *durable_file(struct varve_vfs *vfs, const char *name, const char *letters)
{
    struct varve_file *file = rig_file(vfs, name, CREATE);
    put_sectors(vfs, file, 0, letters);
    ck_assert_int_eq(vfs->ops->sync(file), 0);
    ck_assert_int_eq(vfs->ops->sync_dir(vfs), 0);
    return file;
}

START_TEST(what_is_synced_is_in_every_state)
{
    struct rig rig;

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    const char *const one[] = {"a:abc ", NULL};
    for (uint32_t model = 1; model <= 5; model++) {
        const struct varve_sim_crash_options options = options_of(model);
        check_states(rig.sim, &options, one);
    }
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(sync_of_the_file_does_not_keep_its_name)
{
    struct rig rig;
    const char *const want[] = {"", "a:ab ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    put_sectors(rig.vfs, file, 0, "ab");
    ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
    for (uint32_t model = 1; model <= 5; model++) {
        const struct varve_sim_crash_options options = options_of(model);
        check_states(rig.sim, &options, want);
    }
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(sync_of_the_directory_does_not_keep_the_bytes)
{
    struct rig rig;
    const char *const want[] = {"a: ", "a:a ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = rig_file(rig.vfs, "a", CREATE);
    put_sectors(rig.vfs, file, 0, "a");
    ck_assert_int_eq(rig.vfs->ops->sync_dir(rig.vfs), 0);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SUBSET);
    check_states(rig.sim, &options, want);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(prefixes_keep_the_order)
{
    struct rig rig;
    const char *const all[] = {"a:.. b:.. ", "a:x. b:.. ", "a:x. b:y. ", "a:xz b:y. ", NULL};
    const char *const by_file[] = {"a:.. b:.. ", "a:x. b:.. ", "a:xz b:.. ", "a:.. b:y. ",
                                   "a:x. b:y. ", "a:xz b:y. ", NULL};
    const char *const subset[] = {"a:.. b:.. ", "a:x. b:.. ", "a:.z b:.. ",
                                  "a:xz b:.. ", "a:.. b:y. ", "a:x. b:y. ",
                                  "a:.z b:y. ", "a:xz b:y. ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *a = durable_file(rig.vfs, "a", "..");
    struct varve_file *b = durable_file(rig.vfs, "b", "..");
    put_sectors(rig.vfs, a, 0, "x");
    put_sectors(rig.vfs, b, 0, "y");
    put_sectors(rig.vfs, a, 1, "z");
    struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_PREFIX);
    check_states(rig.sim, &options, all);
    options = options_of(VARVE_SIM_CRASH_BY_FILE);
    check_states(rig.sim, &options, by_file);
    options = options_of(VARVE_SIM_CRASH_SUBSET);
    check_states(rig.sim, &options, subset);
    rig.vfs->ops->close(a);
    rig.vfs->ops->close(b);
    rig_close(&rig);
}
END_TEST

START_TEST(writes_tear_at_sectors)
{
    struct rig rig;
    const char *const overwrite[] = {"a:abc ", "a:xbc ", "a:ayc ", "a:abz ", "a:xyc ",
                                     "a:xbz ", "a:ayz ", "a:xyz ", NULL};
    const char *const whole[] = {"a:abc ", "a:xyz ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    put_sectors(rig.vfs, file, 0, "xyz");
    struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, overwrite);
    options.granule = 4096; /* one page: all or nothing */
    check_states(rig.sim, &options, whole);
    options = options_of(VARVE_SIM_CRASH_REORDER);
    check_states(rig.sim, &options, overwrite);
    options.granule = 0;
    check_states(rig.sim, &options, whole);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(growth_may_come_without_the_bytes)
{
    struct rig rig;
    const char *const want[] = {"a:a ", "a:a.. ", "a:ax. ", "a:a.y ", "a:axy ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "a");
    put_sectors(rig.vfs, file, 1, "xy");
    struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, want);

    static struct states states;
    options.hole = VARVE_SIM_HOLE_GARBAGE;
    enumerate(rig.sim, &options, &states);
    ck_assert(has(&states, "a:a "));
    ck_assert(has(&states, "a:a## ")); /* what lay there before */
    ck_assert(has(&states, "a:ax# "));
    ck_assert(has(&states, "a:axy "));
    ck_assert(!has(&states, "a:a.. "));
    ck_assert_uint_eq(states.count, 5);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(rename_without_sync_dir_may_be_undone)
{
    struct rig rig;
    const char *const want[] = {"a:old a.tmp:new ", "a:new ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *a = durable_file(rig.vfs, "a", "old");
    struct varve_file *tmp = durable_file(rig.vfs, "a.tmp", "new");
    ck_assert_int_eq(rig.vfs->ops->rename(rig.vfs, "a.tmp", "a"), 0);
    struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, want);
    ck_assert_int_eq(rig.vfs->ops->sync_dir(rig.vfs), 0);
    check_states(rig.sim, &options, want + 1);
    rig.vfs->ops->close(a);
    rig.vfs->ops->close(tmp);
    rig_close(&rig);
}
END_TEST

START_TEST(only_reordering_breaks_the_order_of_names)
{
    struct rig rig;
    const char *const in_order[] = {"a:a b:b ", "b:b ", "", NULL};
    const char *const any[] = {"a:a b:b ", "b:b ", "a:a ", "", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    rig.vfs->ops->close(durable_file(rig.vfs, "a", "a"));
    rig.vfs->ops->close(durable_file(rig.vfs, "b", "b"));
    ck_assert_int_eq(rig.vfs->ops->unlink(rig.vfs, "a"), 0);
    ck_assert_int_eq(rig.vfs->ops->unlink(rig.vfs, "b"), 0);
    for (uint32_t model = 1; model <= 5; model++) {
        const struct varve_sim_crash_options options = options_of(model);
        check_states(rig.sim, &options, model == VARVE_SIM_CRASH_REORDER ? any : in_order);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(rename_may_be_durable_before_the_data)
{
    static struct states states;
    struct rig rig;

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *a = durable_file(rig.vfs, "a", "o");
    struct varve_file *tmp = rig_file(rig.vfs, "t", CREATE);
    put_sectors(rig.vfs, tmp, 0, "n"); /* never synced: the classic mistake */
    ck_assert_int_eq(rig.vfs->ops->rename(rig.vfs, "t", "a"), 0);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_REORDER);
    enumerate(rig.sim, &options, &states);
    ck_assert(has(&states, "a: "));  /* empty under the good name */
    ck_assert(has(&states, "a:. ")); /* of the right size, zeros */
    ck_assert(has(&states, "a:n "));
    ck_assert(has(&states, "a:o "));
    ck_assert(has(&states, "a:o t:n "));
    ck_assert_int_eq(rig.vfs->ops->sync(tmp), 0);
    enumerate(rig.sim, &options, &states);
    ck_assert(!has(&states, "a: "));
    ck_assert(has(&states, "a:n "));
    ck_assert(has(&states, "a:o "));
    rig.vfs->ops->close(a);
    rig.vfs->ops->close(tmp);
    rig_close(&rig);
}
END_TEST

START_TEST(truncation_and_allocation_are_pending_too)
{
    struct rig rig;
    const char *const want[] = {"a:abc ", "a:a ", "a:abc. ", "a:a... ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    ck_assert_int_eq(rig.vfs->ops->truncate(file, SECTOR), 0);
    ck_assert_int_eq(rig.vfs->ops->allocate(file, 4 * SECTOR), 0);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SUBSET);
    check_states(rig.sim, &options, want);
    ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
    check_states(rig.sim, &options, want + 3);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

static void submit(struct varve_vfs *vfs, struct varve_io_queue *queue, struct varve_io *io)
{
    ck_assert_int_eq(vfs->ops->submit(queue, &io, 1), 0);
}

START_TEST(dsync_write_keeps_its_own_bytes_only)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[SECTOR];
    const char *const flying[] = {"a:abc ", "a:xbc ", "a:adc ", "a:xdc ", NULL};
    const char *const done[] = {"a:adc ", "a:xdc ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 4, &queue), 0);
    put_sectors(rig.vfs, file, 0, "x");
    memset(bytes, 'd', sizeof bytes);
    struct varve_io io = {.op = VARVE_IO_WRITE_DSYNC,
                          .file = file,
                          .buffer = bytes,
                          .size = SECTOR,
                          .offset = SECTOR},
                    *out[1];
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    submit(rig.vfs, queue, &io);
    check_states(rig.sim, &options, flying); /* in flight it may be there or not */
    ck_assert_int_eq(rig.vfs->ops->reap(queue, out, 1, 1, UINT64_MAX), 1);
    check_states(rig.sim, &options, done);
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

/* An older write that was never synced cannot come back over a newer one that was. */
START_TEST(durable_bytes_are_not_undone_by_older_writes)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[SECTOR];
    const char *const want[] = {"a:adc ", "a:xdc ", "a:adz ", "a:xdz ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 4, &queue), 0);
    put_sectors(rig.vfs, file, 0, "xyz");
    memset(bytes, 'd', sizeof bytes);
    ck_assert_int_eq(rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, file, bytes, SECTOR, SECTOR),
                     SECTOR);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, want);
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

/* Nor cut off by an older truncation. */
START_TEST(durable_bytes_are_not_cut_by_older_truncations)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[SECTOR];
    const char *const want[] = {"a:a.d ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "abc");
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 4, &queue), 0);
    ck_assert_int_eq(rig.vfs->ops->truncate(file, SECTOR), 0);
    memset(bytes, 'd', sizeof bytes);
    ck_assert_int_eq(
        rig_perform(rig.vfs, queue, VARVE_IO_WRITE_DSYNC, file, bytes, SECTOR, 2 * SECTOR), SECTOR);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, want);
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(sync_does_not_cover_what_was_in_flight)
{
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    uint8_t bytes[SECTOR];
    const char *const want[] = {"a:ab ", "a:wb ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "ab");
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 4, &queue), 0);
    memset(bytes, 'w', sizeof bytes);
    struct varve_io write = {.op = VARVE_IO_WRITE, .file = file, .buffer = bytes, .size = SECTOR},
                    sync = {.op = VARVE_IO_SYNC, .file = file}, *out[2];
    submit(rig.vfs, queue, &write);
    submit(rig.vfs, queue, &sync);
    for (int n = 0; n < 2;)
        n += rig.vfs->ops->reap(queue, out, 2, 2, UINT64_MAX);
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    check_states(rig.sim, &options, want); /* whatever the order of completion */
    submit(rig.vfs, queue, &sync);
    ck_assert_int_eq(rig.vfs->ops->reap(queue, out, 1, 1, UINT64_MAX), 1);
    check_states(rig.sim, &options, want + 1);
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

START_TEST(after_a_failed_sync_bytes_stay_in_doubt)
{
    struct rig rig;
    const char *const want[] = {"a:a ", "a:n ", NULL};

    ck_assert(rig_open(&rig, RIG_SIM));
    struct varve_file *file = durable_file(rig.vfs, "a", "a");
    put_sectors(rig.vfs, file, 0, "n");
    const struct varve_sim_fault fault = {
        .classes = VARVE_SIM_SYNC, .nth = 1, .times = 1, .error = EIO};
    ck_assert_int_eq(varve_sim_fault_add(rig.sim, &fault), 0);
    ck_assert_int_eq(rig.vfs->ops->sync(file), -EIO);
    rig.vfs->ops->close(file);
    struct varve_vfs *other = rig_second(&rig);
    file = rig_file(other, "a", VARVE_FILE_WRITE);
    ck_assert_int_eq(other->ops->sync(file), 0); /* says yes and does nothing */
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SUBSET);
    check_states(rig.sim, &options, want);
    other->ops->close(file);
    other->ops->destroy(other);
    rig_close(&rig);
}
END_TEST

START_TEST(images_can_crash_again)
{
    static struct states states;
    struct rig rig;
    struct varve_sim_crash *crash;
    struct varve_sim *image;
    unsigned images = 0;
    uint8_t first[16], second[16];

    ck_assert(rig_open(&rig, RIG_SIM));
    ck_assert_int_eq(rig.vfs->ops->boot_id(rig.vfs, first), 0);
    struct varve_file *file = durable_file(rig.vfs, "a", "ab");
    put_sectors(rig.vfs, file, 0, "xy");
    const struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), 0);
    while (varve_sim_crash_next(crash, &image, NULL) > 0) {
        struct varve_vfs *vfs;
        char before[TEXT_SIZE], after[TEXT_SIZE];
        images++;
        ck_assert_int_eq(varve_sim_attach(image, &vfs), 0);
        ck_assert_int_eq(vfs->ops->boot_id(vfs, second), 0);
        ck_assert_int_ne(memcmp(first, second, 16), 0);
        struct varve_file *again = rig_file(vfs, "a", VARVE_FILE_WRITE);
        describe(image, before);
        put_sectors(vfs, again, 1, "r"); /* recovery writes, and the power goes again */
        describe(image, after);
        enumerate(image, &options, &states);
        ck_assert(has(&states, before));
        ck_assert(has(&states, after));
        ck_assert_uint_eq(states.count, 2);
        vfs->ops->close(again);
        vfs->ops->destroy(vfs);
        varve_sim_destroy(image);
    }
    ck_assert_uint_eq(images, 4);
    varve_sim_crash_close(crash);
    ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

static void make_many_pending(struct varve_vfs *vfs, struct varve_file **ret_files)
{
    static const char *const names[] = {"a", "b", "c"};
    struct varve_rng rng;
    uint8_t bytes[4096];

    varve_rng_seed(&rng, 9);
    for (int i = 0; i < 3; i++) {
        ret_files[i] = rig_file(vfs, names[i], CREATE);
        ck_assert_int_eq(vfs->ops->allocate(ret_files[i], 65536), 0);
        ck_assert_int_eq(vfs->ops->sync(ret_files[i]), 0);
    }
    ck_assert_int_eq(vfs->ops->sync_dir(vfs), 0);
    for (unsigned i = 0; i < 24; i++) {
        rig_fill(bytes, sizeof bytes, i);
        ck_assert_int_eq(
            vfs->ops->write(ret_files[i % 3], bytes, 4096, varve_rng_below(&rng, 16) * 4096), 4096);
    }
}

/* Every index gives its image again, in any order; next() gives each image once. */
START_TEST(indices_name_states_for_ever)
{
    struct rig rig;
    struct varve_file *files[3];
    struct varve_sim_crash *crash, *again;
    struct varve_sim *image, *copy;
    struct varve_sim_crash_state state, same;
    static uint64_t hashes[2000];
    size_t count = 0;

    ck_assert(rig_open(&rig, RIG_SIM));
    make_many_pending(rig.vfs, files);
    struct varve_sim_crash_options options = options_of((uint32_t)_i);
    options.random = 100;
    ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), 0);
    ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &again), 0);
    while (count < 2000 && varve_sim_crash_next(crash, &image, &state) > 0) {
        ck_assert_uint_eq(state.hash, varve_sim_hash(image));
        ck_assert_uint_lt(state.index, varve_sim_crash_count(crash));
        if (count % 16 == 0) {
            ck_assert_int_eq(varve_sim_crash_at(again, state.index, &copy, &same), 0);
            ck_assert_uint_eq(same.hash, state.hash);
            ck_assert_uint_eq(same.kept, state.kept);
            varve_sim_destroy(copy);
        }
        hashes[count++] = state.hash;
        varve_sim_destroy(image);
    }
    for (size_t i = 0; i < count && i < 500; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(hashes[i], hashes[j]);
    ck_assert_uint_ge(count, 20);
    ck_assert_int_eq(varve_sim_crash_at(again, varve_sim_crash_count(again), &copy, NULL), -ERANGE);
    ck_assert_int_eq(rig.vfs->ops->sync(files[0]), 0);
    ck_assert_int_eq(varve_sim_crash_at(again, 0, &copy, NULL), -ESTALE);
    varve_sim_crash_close(crash);
    varve_sim_crash_close(again);
    varve_sim_crash_close(NULL);
    for (int i = 0; i < 3; i++)
        rig.vfs->ops->close(files[i]);
    rig_close(&rig);
}
END_TEST

START_TEST(bad_crash_options_are_refused)
{
    struct rig rig;
    struct varve_sim_crash *crash = NULL;

    ck_assert(rig_open(&rig, RIG_SIM));
    for (int i = 0; i < 6; i++) {
        struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
        options.model = i == 0 ? 0 : i == 1 ? 6 : options.model;
        options.granule = i == 2 ? 0 : i == 3 ? 1024 : options.granule;
        options.exhaustive = i == 4 ? 21 : options.exhaustive;
        options.hole = i == 5 ? 2 : options.hole;
        ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), -EINVAL);
    }
    ck_assert_ptr_null(crash);
    rig_close(&rig);
}
END_TEST

/* Random operations on several files. At every point each crash state must hold, for each file, the
 * bytes that were synced and not overwritten since. */
START_TEST(synced_bytes_survive_random_histories)
{
    enum { SECTORS = 16, STEPS = 120 };
    struct rig rig;
    struct varve_io_queue *queue = NULL;
    struct varve_rng rng;
    uint8_t now[SECTORS] = {0}, synced[SECTORS] = {0};
    bool doubt[SECTORS] = {false};
    uint8_t bytes[SECTORS * SECTOR];

    ck_assert(rig_open(&rig, RIG_SIM));
    varve_rng_seed(&rng, (uint64_t)_i);
    struct varve_file *file = durable_file(rig.vfs, "a", "................");
    ck_assert_int_eq(rig.vfs->ops->queue_open(rig.vfs, 4, &queue), 0);
    memset(now, '.', sizeof now);
    memset(synced, '.', sizeof synced);
    for (int step = 0; step < STEPS; step++) {
        const size_t first = (size_t)varve_rng_below(&rng, SECTORS);
        const size_t n = 1 + (size_t)varve_rng_below(&rng, SECTORS - first);
        const uint8_t letter = (uint8_t)('a' + step % 26);
        const uint64_t action = varve_rng_below(&rng, 8);
        memset(bytes, letter, n * SECTOR);
        if (action < 6) {
            const uint32_t op = action < 4 ? VARVE_IO_WRITE : VARVE_IO_WRITE_DSYNC;
            ck_assert_int_eq(
                rig_perform(rig.vfs, queue, op, file, bytes, n * SECTOR, first * SECTOR),
                (int64_t)(n * SECTOR));
            memset(now + first, letter, n);
            memset(doubt + first, op == VARVE_IO_WRITE, n);
            if (op == VARVE_IO_WRITE_DSYNC)
                memset(synced + first, letter, n);
        } else {
            ck_assert_int_eq(rig.vfs->ops->sync(file), 0);
            memcpy(synced, now, sizeof now);
            memset(doubt, 0, sizeof doubt);
        }
        struct varve_sim_crash *crash;
        struct varve_sim *image;
        struct varve_sim_crash_options options = options_of(1 + (uint32_t)step % 5);
        options.exhaustive = 5;
        ck_assert_int_eq(varve_sim_crash_open(rig.sim, &options, &crash), 0);
        for (int k = 0; k < 40; k++) {
            const uint64_t index = varve_rng_below(&rng, varve_sim_crash_count(crash));
            ck_assert_int_eq(varve_sim_crash_at(crash, index, &image, NULL), 0);
            ck_assert_int_eq(varve_sim_read(image, "a", 0, bytes, sizeof bytes), sizeof bytes);
            for (size_t i = 0; i < SECTORS; i++)
                if (!doubt[i])
                    ck_assert_uint_eq(bytes[i * SECTOR], synced[i]);
            varve_sim_destroy(image);
        }
        varve_sim_crash_close(crash);
    }
    rig.vfs->ops->queue_close(queue);
    rig.vfs->ops->close(file);
    rig_close(&rig);
}
END_TEST

/* No memory at the n-th allocation: an error, nothing leaked, and the simulation as it was. */
START_TEST(crash_without_memory_leaks_nothing)
{
    struct rig rig;
    struct varve_file *files[3];

    ck_assert(rig_open(&rig, RIG_SIM));
    make_many_pending(rig.vfs, files);
    const uint64_t used = varve_heap_used(&rig.memory.heap);
    struct varve_sim_crash_options options = options_of(VARVE_SIM_CRASH_SECTORS);
    options.hole = VARVE_SIM_HOLE_GARBAGE;
    for (uint64_t n = 1;; n++) {
        struct varve_sim_crash *crash = NULL;
        struct varve_sim *image = NULL, *clone = NULL;
        rig.memory.fail_at = rig.memory.calls + n;
        int rc = varve_sim_crash_open(rig.sim, &options, &crash);
        for (int i = 0; i < 3 && rc >= 0; i++) {
            rc = varve_sim_crash_next(crash, &image, NULL);
            if (rc > 0)
                varve_sim_destroy(image);
        }
        if (rc >= 0)
            rc = varve_sim_clone(rig.sim, &clone);
        varve_sim_destroy(clone);
        varve_sim_crash_close(crash);
        const bool fired = rig.memory.calls >= rig.memory.fail_at;
        rig.memory.fail_at = 0;
        ck_assert_uint_eq(varve_heap_used(&rig.memory.heap), used);
        ck_assert_int_eq(rc, fired ? -ENOMEM : 0);
        if (!fired)
            break;
    }
    for (int i = 0; i < 3; i++)
        rig.vfs->ops->close(files[i]);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash_states");
    TCase *tests = tcase_create("models");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_synced_is_in_every_state);
    tcase_add_test(tests, sync_of_the_file_does_not_keep_its_name);
    tcase_add_test(tests, sync_of_the_directory_does_not_keep_the_bytes);
    tcase_add_test(tests, prefixes_keep_the_order);
    tcase_add_test(tests, writes_tear_at_sectors);
    tcase_add_test(tests, growth_may_come_without_the_bytes);
    tcase_add_test(tests, rename_without_sync_dir_may_be_undone);
    tcase_add_test(tests, only_reordering_breaks_the_order_of_names);
    tcase_add_test(tests, rename_may_be_durable_before_the_data);
    tcase_add_test(tests, truncation_and_allocation_are_pending_too);
    tcase_add_test(tests, dsync_write_keeps_its_own_bytes_only);
    tcase_add_test(tests, durable_bytes_are_not_undone_by_older_writes);
    tcase_add_test(tests, durable_bytes_are_not_cut_by_older_truncations);
    tcase_add_test(tests, sync_does_not_cover_what_was_in_flight);
    tcase_add_test(tests, after_a_failed_sync_bytes_stay_in_doubt);
    tcase_add_test(tests, images_can_crash_again);
    tcase_add_loop_test(tests, indices_name_states_for_ever, 1, 6);
    tcase_add_test(tests, bad_crash_options_are_refused);
    tcase_add_loop_test(tests, synced_bytes_survive_random_histories, 0, 4);
    tcase_add_test(tests, crash_without_memory_leaks_nothing);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
