/*
 * test_wal_verdict.c - every input of the verdict, against a table written out by hand.
 */
#include <check.h>

#include "storage/wal/wal_verdict.h"

#define CLEAN VARVE_WAL_CLEAN_END
#define CUT VARVE_WAL_CUT
#define DAMAG VARVE_WAL_REFUSE_DAMAGED
#define AMBIG VARVE_WAL_REFUSE_AMBIGUOUS
#define CHAIN VARVE_WAL_REFUSE_CHAIN

/* [chain broken][covered][end][after][cut policy] */
static const enum varve_wal_verdict_kind expect[2][2][4][4][2] = {
    {
        {
            /* sound chain, not covered; behind it: nothing, torn pages, valid ones, rot */
            {{CLEAN, CLEAN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}}, /* none */
            {{CLEAN, CLEAN}, {CUT, CUT}, {CUT, CUT}, {AMBIG, CUT}},           /* zero */
            {{CUT, CUT}, {CUT, CUT}, {CUT, CUT}, {AMBIG, CUT}},               /* torn */
            {{AMBIG, CUT}, {AMBIG, CUT}, {AMBIG, CUT}, {AMBIG, CUT}},         /* rot */
        },
        {
            /* sound chain, covered: never cut */
            {{DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}},
            {{DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}},
            {{DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}},
            {{DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}, {DAMAG, DAMAG}},
        },
    },
    {
        {
            /* broken chain */
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
        },
        {
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
            {{CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}, {CHAIN, CHAIN}},
        },
    },
};

START_TEST(every_input_has_the_verdict_of_the_table)
{
    for (int i = 0; i < 2 * 2 * 4 * 4 * 2; i++) {
        const int broken = i / 64, covered = i / 32 % 2, end = i / 8 % 4, after = i / 2 % 4,
                  cut = i % 2;
        const struct varve_wal_facts facts = {.chain_broken = broken != 0,
                                              .covered = covered != 0,
                                              .end = (enum varve_wal_end)end,
                                              .after = (enum varve_wal_after)after,
                                              .cut_rot = cut != 0};

        ck_assert_int_eq(varve_wal_judge(&facts), expect[broken][covered][end][after][cut]);
    }
}
END_TEST

int main(void)
{
    Suite *const suite = suite_create("wal_verdict");
    TCase *const tc = tcase_create("all");

    tcase_add_test(tc, every_input_has_the_verdict_of_the_table);
    suite_add_tcase(suite, tc);
    SRunner *const runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
