/*
 * numbered.c - rows that follow from their batch's number, and the count of them.
 */
#include "tests/lib/numbered.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAD_MAX 4096u
#define HEAD_PARTITION (-1)
#define WHY 256u

enum { A_PARTITION, A_TIME, A_SEQ, A_BATCH, A_ROWS, A_CHECK, A_PAD, A_COLUMNS };

static uint64_t mixed(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint32_t rows_of_a(uint64_t i)
{
    return 1 + (uint32_t)(mixed(i) % 5);
}

static uint32_t rows_of_b(uint64_t i)
{
    return (uint32_t)(mixed(i ^ 0xb) % 3);
}

static int64_t check_of(uint64_t i, uint32_t row)
{
    return (int64_t)mixed(i * 16 + row);
}

static uint32_t fill_pad(uint64_t i, uint32_t row, uint32_t pad, char *out)
{
    const uint64_t hash = mixed(i * 32 + row + 7);
    const uint32_t n = pad == 0 ? 0 : (uint32_t)(hash % (pad + 1));

    for (uint32_t k = 0; k < n; k++)
        out[k] = (char)('a' + mixed(hash + k / 3) % 26);
    return n;
}

varve_status numbered_create(varve_store *store, varve_error *err)
{
    const varve_status rc = varve_table_create(store,
                                               "CREATE TABLE a (p int, ts timestamp, seq int, "
                                               "batch_no bigint, n int, hash bigint, pad text, "
                                               "PRIMARY KEY (p, ts, seq))",
                                               err);

    return rc < 0 ? rc
                  : varve_table_create(
                        store,
                        "CREATE TABLE b (p int, ts timestamp, seq int, batch_no bigint, "
                        "n int, hash bigint, pad text, PRIMARY KEY (p, ts, seq)) "
                        "WITH duplicates = 'keep'",
                        err);
}

varve_status numbered_open(varve_store *store, uint32_t pad, struct numbered *numbered,
                           varve_error *err)
{
    varve_status rc;

    *numbered = (struct numbered){.pad = pad < PAD_MAX ? pad : PAD_MAX};
    rc = varve_table_open(store, "a", &numbered->a, err);
    return rc < 0 ? rc : varve_table_open(store, "b", &numbered->b, err);
}

static varve_value integer(varve_type type, int64_t value)
{
    return (varve_value){.type = (uint8_t)type, .as.i64 = value};
}

/* Row `row` of batch `i`; rows of b are numbered from 8; the head is row 15. */
static varve_status put_row(const struct numbered *numbered, varve_batch *batch, uint64_t i,
                            uint32_t row, varve_error *err)
{
    char pad[PAD_MAX];
    varve_value values[A_COLUMNS];
    const bool head = row == 15;

    values[A_PARTITION] = integer(VARVE_INT, head ? HEAD_PARTITION : (int64_t)(mixed(row) % 3));
    values[A_TIME] = integer(VARVE_TIMESTAMP, head ? 0 : 1700000000000 + (int64_t)i * 60000);
    values[A_SEQ] = integer(VARVE_INT, head ? 0 : row);
    values[A_BATCH] = integer(VARVE_BIGINT, (int64_t)i);
    values[A_ROWS] = integer(VARVE_INT, rows_of_a(i) * 16 + rows_of_b(i));
    values[A_CHECK] = integer(VARVE_BIGINT, check_of(i, row));
    values[A_PAD] = (varve_value){.type = VARVE_TEXT};
    values[A_PAD].as.bytes.data = pad;
    values[A_PAD].as.bytes.size = fill_pad(i, row, numbered->pad, pad);
    return varve_batch_put_row(batch, row >= 8 && !head ? numbered->b : numbered->a, values,
                               A_COLUMNS, NULL, err);
}

varve_status numbered_put(const struct numbered *numbered, varve_batch *batch, uint64_t i,
                          varve_error *err)
{
    varve_status rc = put_row(numbered, batch, i, 15, err);

    for (uint32_t row = 0; row < rows_of_a(i) && rc == VARVE_OK; row++)
        rc = put_row(numbered, batch, i, row, err);
    for (uint32_t row = 0; row < rows_of_b(i) && rc == VARVE_OK; row++)
        rc = put_row(numbered, batch, i, 8 + row, err);
    return rc;
}

/* What was found of each batch. */
struct found {
    uint16_t *rows; /* a bit for each row number */
    uint64_t n, capacity;
    uint64_t head; /* batches below it, by the head row */
};

static bool note_row(struct found *found, const struct numbered *numbered, const varve_value *v,
                     bool is_b, char *why)
{
    char pad[PAD_MAX];
    const uint64_t i = (uint64_t)v[A_BATCH].as.i64;
    const bool head = v[A_PARTITION].as.i64 == HEAD_PARTITION;
    const uint32_t row = head ? 15 : (uint32_t)v[A_SEQ].as.i64;

    for (int c = 0; c < A_COLUMNS; c++)
        if (v[c].presence != VARVE_SET) {
            (void)snprintf(why, WHY, "column %d of a row of batch %" PRIu64 " is null", c, i);
            return false;
        }
    const uint32_t n = fill_pad(i, row, numbered->pad, pad);
    const bool place = head   ? !is_b
                       : is_b ? row >= 8 && row < 8 + rows_of_b(i)
                              : row < rows_of_a(i);
    if (i > 10000000 || !place || v[A_CHECK].as.i64 != check_of(i, row) ||
        v[A_ROWS].as.i64 != rows_of_a(i) * 16 + rows_of_b(i) || v[A_PAD].as.bytes.size != n ||
        (n > 0 && memcmp(v[A_PAD].as.bytes.data, pad, n) != 0)) {
        (void)snprintf(why, WHY, "row %u of batch %" PRIu64 " is not what was written", row, i);
        return false;
    }
    if (head) {
        found->head = i + 1;
        return true;
    }
    if (i >= found->capacity) {
        const uint64_t capacity = i * 2 + 256;
        uint16_t *more = realloc(found->rows, capacity * sizeof *more);
        if (more == NULL)
            abort();
        memset(more + found->capacity, 0, (capacity - found->capacity) * sizeof *more);
        found->rows = more;
        found->capacity = capacity;
    }
    if ((found->rows[i] >> row & 1) != 0) {
        (void)snprintf(why, WHY, "row %u of batch %" PRIu64 " is there twice", row, i);
        return false;
    }
    found->rows[i] = (uint16_t)(found->rows[i] | 1u << row);
    found->n = i >= found->n ? i + 1 : found->n;
    return true;
}

static bool scan_table(varve_store *store, const struct numbered *numbered, varve_table *table,
                       struct found *found, char *why)
{
    varve_scan scan;
    varve_cursor *cursor = NULL;
    const varve_batch_view *view;
    varve_error err = {0};
    bool ok = true;

    varve_scan_init(&scan, sizeof scan);
    varve_status rc = varve_scan_open(store, table, &scan, &cursor, &err);
    while (rc == VARVE_OK && ok && (rc = varve_cursor_next(cursor, &view, &err)) == VARVE_OK) {
        for (uint32_t r = 0; r < view->rows && ok; r++) {
            varve_value values[A_COLUMNS];
            for (uint32_t c = 0; c < A_COLUMNS; c++)
                values[c] = varve_view_value(view, r, c);
            ok = note_row(found, numbered, values, table == numbered->b, why);
        }
    }
    varve_cursor_close(cursor);
    if (rc < 0)
        (void)snprintf(why, WHY, "the scan fails: %.200s", err.message);
    return ok && rc >= 0;
}

uint64_t numbered_count(varve_store *store, const struct numbered *numbered, char *why)
{
    struct found found = {0};
    uint64_t result = NUMBERED_BROKEN;

    if (scan_table(store, numbered, numbered->a, &found, why) &&
        scan_table(store, numbered, numbered->b, &found, why)) {
        result = found.n;
        for (uint64_t i = 0; i < found.n && result != NUMBERED_BROKEN; i++) {
            const unsigned whole = ((1u << rows_of_a(i)) - 1) | ((1u << rows_of_b(i)) - 1) << 8;
            if (found.rows[i] != whole) {
                (void)snprintf(why, WHY,
                               "batch %" PRIu64 " has rows %x of %x, and %" PRIu64 " is there", i,
                               found.rows[i], whole, found.n - 1);
                result = NUMBERED_BROKEN;
            }
        }
        if (result != NUMBERED_BROKEN && found.head != found.n) {
            (void)snprintf(why, WHY, "the head says %" PRIu64 " batches, there are %" PRIu64,
                           found.head, found.n);
            result = NUMBERED_BROKEN;
        }
    }
    free(found.rows);
    return result;
}
