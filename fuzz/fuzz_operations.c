/*
 * fuzz_operations.c - operations on a store on the simulated disk, some of which fail and some of which
 * the power ends; every answer has to be the model's (tests/model).
 *
 * Input: operations of four bytes, a letter and three that say what and how; the numbers in them are
 * the bytes less '0'. What is no letter of an operation, like a line feed, is skipped. The details
 * of an operation are drawn from its four bytes, so that a change in one place of the input leaves
 * the others what they were.
 *
 *     T i..  table i (of 4) is created, if it is not there      X i..  and dropped, if it is
 *     R p..  a batch of rows under policy p                      C p..  of whole columns too
 *     S A P L  a scan, an aggregation, a list of partitions, a split      E  all rows of all tables
 *     M b..  work for 100 b us        F  flush        V  verify          N  a snapshot, or its end
 *     D      wait until all commits are durable                  O k..  close (or kill) and open
 *     U m s.    the power goes now; model and state as m and s say
 *     Q n m s   the power goes before the n-th change of the disk from now
 *     I n c e   the n-th operation on the disk from now fails; c: which kind; e: how
 *     J n m .   the n + 64 m-th allocation from now fails
 *
 * At the end the store is closed, opened and read once more.
 */
#include <errno.h>

#include "fuzz/need.h"
#include "storage/base/checksum.h"
#include "tests/model/model_rig.h"

#define OPERATIONS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail_io(struct model_rig *rig, uint32_t n, uint32_t class, uint32_t how)
{
    static const uint32_t classes[] = {VARVE_SIM_ANY,         VARVE_SIM_READ,   VARVE_SIM_WRITE,
                                       VARVE_SIM_WRITE_DSYNC, VARVE_SIM_SYNC,   VARVE_SIM_SYNC_DIR,
                                       VARVE_SIM_OPEN,        VARVE_SIM_UNLINK, VARVE_SIM_ALLOCATE,
                                       VARVE_SIM_TRUNCATE,    VARVE_SIM_RENAME, VARVE_SIM_SUBMIT,
                                       VARVE_SIM_STAT,        VARVE_SIM_LIST};
    const struct varve_sim_fault fault = {
        .classes = classes[class % (sizeof classes / sizeof classes[0])],
        .sync_mode = (how & 1) != 0 ? VARVE_SIM_SYNC_REVERT : VARVE_SIM_SYNC_KEEP,
        .nth = 1 + n,
        .times = (how & 2) != 0 ? UINT64_MAX : 1,
        .error = (how & 4) != 0 ? ENOSPC : EIO};

    model_fail_io(rig, &fault);
}

/* False: the letter is none of an operation. */
static bool operate(struct model_rig *rig, const uint8_t *op)
{
    const uint32_t a = (uint8_t)(op[1] - '0'), b = (uint8_t)(op[2] - '0'),
                   c = (uint8_t)(op[3] - '0');
    struct model_table *const table = &rig->tables[a % MODEL_TABLES];

    switch (op[0]) {
    case 'T':
        if (table->oracle == NULL)
            model_create_table(rig, table);
        return true;
    case 'X':
        if (table->oracle != NULL)
            model_drop_table(rig, table);
        return true;
    case 'R':
    case 'C':
        model_write(rig, (varve_policy)(a % 5), op[0] == 'R' ? 0 : 60);
        return true;
    case 'S':
        model_scan(rig);
        return true;
    case 'A':
        model_aggregate(rig);
        return true;
    case 'P':
        model_partitions(rig);
        return true;
    case 'L':
        model_split(rig);
        return true;
    case 'E':
        model_scan_all(rig);
        return true;
    case 'M':
        model_work(rig, (uint64_t)100 * a);
        return true;
    case 'F':
        model_flush(rig);
        return true;
    case 'V':
        model_verify(rig);
        return true;
    case 'N':
        model_change_snapshots(rig);
        return true;
    case 'D':
        model_wait_durable(rig);
        return true;
    case 'O':
        model_reopen(rig, (a & 1) != 0);
        return true;
    case 'U':
        model_power_cut(rig, a, b);
        return true;
    case 'Q':
        model_power_cut_in(rig, 1 + a, b, c);
        return true;
    case 'I':
        fail_io(rig, a, b, c);
        return true;
    case 'J':
        model_fail_allocation(rig, a + 64 * b);
        return true;
    default:
        return false;
    }
}

static void run(struct model_rig *rig, const uint8_t *data, size_t size)
{
    uint32_t operations = 0;

    for (size_t at = 0; at + 4 <= size && operations < OPERATIONS_MAX && !rig->failed;) {
        rig->step = at;
        varve_rng_seed(&rig->random.rng, varve_hash64(data + at, 4, 0));
        if (!operate(rig, data + at)) {
            at++;
            continue;
        }
        model_trouble_settle(rig);
        at += 4;
        operations++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_rig *const rig = malloc(sizeof *rig);
    struct model_trouble *const trouble = malloc(sizeof *trouble);

    NEED(rig != NULL && trouble != NULL);
    model_rig_init(rig, 1, VARVE_IO_AUTO, trouble);
    run(rig, data, size);
    if (!rig->failed) {
        model_reopen(rig, false);
        model_trouble_settle(rig);
    }
    model_rig_free(rig);
    NEED(!rig->failed);
    free(trouble);
    free(rig);
    return 0;
}
