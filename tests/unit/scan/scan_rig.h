/*
 * scan_rig.h - what tests of the cursor share: random questions to a fake table, cursors over it, and
 * the rows that a question means, picked one by one from the model.
 */
#ifndef VARVE_TESTS_SCAN_RIG_H
#define VARVE_TESTS_SCAN_RIG_H

#include "storage/scan/scan.h"
#include "tests/unit/scan/fake_table.h"

#define RIG_TERMS_MAX 3
#define RIG_AGGREGATES_MAX 12

/* A question and the memory it borrows. */
struct rig_question {
    varve_scan scan;
    int64_t floor;
    uint32_t now_s;
    uint32_t columns[FAKE_COLUMNS_MAX];
    varve_predicate predicates[RIG_TERMS_MAX];
    varve_aggregate aggregates[RIG_AGGREGATES_MAX];
    varve_value keys[8][VARVE_KEY_COLUMNS_MAX]; /* n_partitions x n_partition, packed in `list` */
    varve_value list[8 * VARVE_KEY_COLUMNS_MAX];
    uint32_t from_partition, to_partition; /* of key_from and key_to; UINT32_MAX: none */
    bool listed[64];
};

enum rig_kind { RIG_ROWS, RIG_GROUPS, RIG_PARTITIONS };

extern const struct fake_shape rig_shapes[];
extern const uint32_t rig_n_shapes;

void rig_ask(struct rig_question *q, const struct fake_table *table, enum rig_kind kind,
             struct varve_rng *rng);

/* Open a cursor over all sources of the table. On failure the sources are closed again. */
varve_status rig_open(struct fake_table *table, struct varve_heap *heap,
                      const struct rig_question *q, enum rig_kind kind, varve_cursor **ret_cursor,
                      varve_error *err);

/* The rows that the question means, before limits, in ascending order. */
struct fake_row *rig_rows(const struct fake_table *table, const struct rig_question *q,
                          size_t *ret_n);
/* Whether the whole answer is turned. */
bool rig_reverse(const struct rig_question *q);

/* The cell as a reader sees it: partition key and time columns too. */
varve_value rig_cell(const struct fake_table *table, const struct rig_question *q,
                     const struct fake_row *row, uint32_t column);

/* Alignment, padding, validity, offsets and zeroed null slots of a batch. */
void rig_check_layout(const varve_batch_view *view);

#endif
