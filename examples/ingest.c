/*
 * ingest.c - a minimal ingest service: `ingest STORE < lines`.
 *
 * Reads lines "number,user,ts,value" from stdin (ts in milliseconds since 1970), commits them in
 * batches, and prints "durable N" after each: lines 1 to N need not be sent again. It prints the same
 * at its start, so that a sender knows where to go on.
 *
 * The sender numbers its lines 1, 2, 3 and so on for ever, over restarts of either side: the number
 * says which line it is. So sending a line again is harmless, however often and whatever was killed
 * in between: a number that is durable is skipped. A number that leaves others out ends the service,
 * since what is missing would be lost.
 *
 * A batch carries the numbers of its lines as the sequence of an origin. Rows and numbers are
 * committed together, so after a crash the store itself knows what it has.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <varve/varve.h>

#define LINE_MAX_BYTES 4096
#define BATCH_LINES 1000
#define ORIGIN 1 /* this sender; another one that writes to the store takes another number */
#define EPOCH 1  /* raised when a new instance must shut out an old one */

static const char create_table[] =
    "CREATE TABLE readings (user text, ts timestamp, value double, PRIMARY KEY ((user), ts))";

struct service {
    varve_store *store;
    varve_table *table;
    varve_batch *batch;
    uint64_t line;    /* of this input, for messages */
    uint64_t durable; /* the sender's number up to which every line is */
    uint64_t last;    /* the number of the last line taken; those above `durable` are the batch */
    uint64_t stored, repeated, refused;
    char buffer[1 << 16];
    size_t used;
    varve_error err;
};

static bool fail(struct service *s, const char *what)
{
    (void)snprintf(s->err.message, sizeof s->err.message, "%s", what);
    return false;
}

static bool say_durable(struct service *s)
{
    (void)printf("durable %" PRIu64 "\n", s->durable);
    return fflush(stdout) == 0 || fail(s, "stdout cannot be written");
}

static bool open_service(struct service *s, const char *folder)
{
    varve_options options;

    varve_options_init(&options, sizeof options);
    options.flags = VARVE_OPEN_CREATE;
    if (varve_open(folder, &options, &s->store, &s->err) < 0)
        return false;
    if (varve_table_open(s->store, "readings", &s->table, &s->err) < 0) {
        if (s->err.status != VARVE_ENOTFOUND ||
            varve_table_create(s->store, create_table, &s->err) < 0 ||
            varve_table_open(s->store, "readings", &s->table, &s->err) < 0)
            return false;
    }
    if (varve_batch_new(s->store, &s->batch, &s->err) < 0)
        return false;
    s->durable = s->last = varve_origin_last(s->store, ORIGIN);
    return say_durable(s);
}

/* Make the lines taken so far durable, and say so. Lines that were all refused wait for a row to be
 * committed with: only then does the store remember their numbers. */
static bool commit(struct service *s)
{
    const uint64_t rows = varve_batch_rows(s->batch);

    if (rows == 0)
        return true;
    if (varve_batch_set_origin(s->batch, ORIGIN, EPOCH, s->durable + 1, s->last, &s->err) < 0 ||
        varve_commit(s->store, s->batch, VARVE_POLICY_DURABLE_GROUP, NULL, &s->err) < 0)
        return false;
    s->durable = s->last;
    s->stored += rows;
    return say_durable(s);
}

/* The text before the next comma, or up to the end for the last field. */
static bool next_field(const char **at, const char *end, bool last, const char **ret_field,
                       size_t *ret_size)
{
    const char *comma = memchr(*at, ',', (size_t)(end - *at));

    if ((comma == NULL) != last)
        return false;
    *ret_field = *at;
    *ret_size = (size_t)((last ? end : comma) - *at);
    *at = last ? end : comma + 1;
    return true;
}

/* Whether the line is the next one: its number goes up by one. `ret_known`: it has been taken. */
static bool take_number(struct service *s, const char **at, const char *end, bool *ret_known)
{
    const char *digits;
    size_t size;
    uint64_t number = 0;

    bool good = next_field(at, end, false, &digits, &size) && size > 0 && size < 20;
    for (size_t i = 0; good && i < size; i++) {
        good = digits[i] >= '0' && digits[i] <= '9';
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    *ret_known = good && number > 0 && number <= s->last;
    if (*ret_known || (good && number == s->last + 1))
        return true;
    (void)snprintf(s->err.message, sizeof s->err.message,
                   "line %" PRIu64 " does not begin with the number %" PRIu64
                   ", which comes next, or a lower one: go on from there",
                   s->line, s->last + 1);
    return false;
}

/* Which limit was reached: that of the store's memory, for which no row is to blame. */
static bool lacks_memory(const struct service *s)
{
    return strstr(s->err.message, "memory_limit") != NULL;
}

/* Put one row. Where the batch or the store's memory has no place for it, what came before makes some.
 * `ret_refused`: the row itself is to blame. */
static bool put(struct service *s, const varve_value values[3], bool *ret_refused)
{
    varve_status rc = varve_batch_put_row(s->batch, s->table, values, 3, NULL, &s->err);

    if (rc == VARVE_ELIMIT) {
        if (!commit(s))
            return false;
        rc = varve_batch_put_row(s->batch, s->table, values, 3, NULL, &s->err);
    }
    *ret_refused = rc == VARVE_ETYPE || (rc == VARVE_ELIMIT && !lacks_memory(s));
    return rc >= 0 || *ret_refused;
}

/* Add one line to the batch. What is no reading is named and left out; a good one that the store cannot
 * take ends the service, before its number is acknowledged. */
static bool take_line(struct service *s, const char *text, size_t size)
{
    const varve_schema *schema = varve_table_schema(s->table);
    const char *at = text, *const end = text + size;
    varve_value values[3];
    varve_status rc = VARVE_OK;
    bool known;

    s->line++;
    if (!take_number(s, &at, end, &known))
        return false;
    s->repeated += known;
    if (known)
        return true;
    for (uint32_t i = 0; i < 3 && rc == VARVE_OK; i++) {
        const char *field;
        size_t field_size;
        if (next_field(&at, end, i == 2, &field, &field_size)) {
            rc = varve_value_parse(varve_schema_column(schema, i), field, field_size, NULL,
                                   &values[i], &s->err);
        } else {
            rc = VARVE_EPARSE;
            (void)fail(s, "four fields are wanted: number,user,ts,value");
        }
    }
    bool refused = rc < 0;
    if (!refused && !put(s, values, &refused))
        return false;
    if (refused) {
        s->refused++;
        (void)fprintf(stderr, "line %" PRIu64 ": %s\n", s->line, s->err.message);
    }
    s->last++;
    return s->last - s->durable < BATCH_LINES || commit(s);
}

/* Take every whole line of the buffer. */
static bool take_buffer(struct service *s)
{
    size_t begin = 0;

    for (;;) {
        const char *line = s->buffer + begin;
        const char *feed = memchr(line, '\n', s->used - begin);
        const size_t size = feed == NULL ? s->used - begin : (size_t)(feed - line);
        if (size > LINE_MAX_BYTES)
            return fail(s, "a line is too long");
        if (feed == NULL)
            break;
        if (!take_line(s, line, size))
            return false;
        begin += size + 1;
    }
    memmove(s->buffer, s->buffer + begin, s->used - begin);
    s->used -= begin;
    return true;
}

/* Until the end of the input. What has come is made durable before more is waited for. */
static bool run(struct service *s)
{
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, s->buffer + s->used, sizeof s->buffer - s->used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(s, "stdin cannot be read");
        if (n == 0) /* half a line is none: its sender may have been killed while it wrote */
            return s->used == 0 || fail(s, "the last line has no end and was not taken");
        s->used += (size_t)n;
        if (!take_buffer(s)) {
            const varve_error why = s->err;
            (void)commit(s); /* what came before is good */
            s->err = why;
            return false;
        }
        if (!commit(s))
            return false;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: ingest STORE < lines of number,user,ts,value\n");
        return 2;
    }
    struct service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return 3;
    const bool good = open_service(s, argv[1]) && run(s);
    if (!good)
        (void)fprintf(stderr, "ingest: %s\n", s->err.message);
    (void)fprintf(stderr,
                  "%" PRIu64 " lines: %" PRIu64 " stored, %" PRIu64 " known already, %" PRIu64
                  " refused\n",
                  s->line, s->stored, s->repeated, s->refused);
    varve_batch_free(s->batch);
    varve_close(s->store);
    const bool refused = s->refused > 0;
    free(s);
    return good && !refused ? 0 : 3;
}
