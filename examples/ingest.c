/*
 * ingest.c - a minimal ingest service: `ingest STORE < lines`.
 *
 * Reads lines "user,ts,value" from stdin (ts in milliseconds since 1970), commits them in batches,
 * and prints what is durable after each: only then may a client forget a line.
 *
 * It survives being killed at any moment. Every batch says where it comes from: the numbers of its
 * lines, as the sequence of an origin. After a crash simply send the same input again from its
 * beginning: batches that were applied are recognised and change nothing.
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
#define ORIGIN 1 /* this service; another one that writes to the store takes another number */
#define EPOCH 1  /* raised when a new instance must shut out an old one */

static const char create_table[] =
    "CREATE TABLE readings (user text, ts timestamp, value double, PRIMARY KEY ((user), ts))";

struct service {
    varve_store *store;
    varve_table *table;
    varve_batch *batch;
    uint64_t line;       /* read so far */
    uint64_t batch_from; /* first line of the batch, 0: none yet */
    uint64_t refused;
    char buffer[1 << 16];
    size_t used;
    varve_error err;
};

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
    return varve_batch_new(s->store, &s->batch, &s->err) == VARVE_OK;
}

/* Make the lines read so far durable, and say so. */
static bool commit(struct service *s)
{
    uint64_t lsn;

    if (s->batch_from == 0)
        return true;
    if (varve_batch_rows(s->batch) > 0) {
        if (varve_batch_set_origin(s->batch, ORIGIN, EPOCH, s->batch_from, s->line, &s->err) < 0 ||
            varve_commit(s->store, s->batch, VARVE_POLICY_DURABLE_GROUP, &lsn, &s->err) < 0)
            return false;
    }
    s->batch_from = 0;
    (void)printf("durable %" PRIu64 "\n", s->line);
    return fflush(stdout) == 0;
}

/* Add one line to the batch; what is no reading is named and left out. */
static bool take_line(struct service *s, const char *text, size_t size)
{
    const varve_schema *schema = varve_table_schema(s->table);
    varve_value values[3];
    const char *at = text;
    const char *const end = text + size;
    varve_status rc = VARVE_OK;

    s->line++;
    if (s->batch_from == 0)
        s->batch_from = s->line;
    for (uint32_t i = 0; i < 3 && rc == VARVE_OK; i++) {
        const char *comma = i < 2 ? memchr(at, ',', (size_t)(end - at)) : NULL;
        if (i < 2 && comma == NULL) {
            (void)snprintf(s->err.message, sizeof s->err.message, "three fields are wanted");
            rc = VARVE_EPARSE;
            break;
        }
        const char *field_end = comma == NULL ? end : comma;
        rc = varve_value_parse(varve_schema_column(schema, i), at, (size_t)(field_end - at), NULL,
                               &values[i], &s->err);
        at = comma == NULL ? end : comma + 1;
    }
    if (rc == VARVE_OK)
        rc = varve_batch_put_row(s->batch, s->table, values, 3, NULL, &s->err);
    if (rc < 0) {
        s->refused++;
        (void)fprintf(stderr, "line %" PRIu64 ": %s\n", s->line, s->err.message);
        if (rc == VARVE_ENOMEM)
            return false;
    }
    return s->line % BATCH_LINES != 0 || commit(s);
}

/* Take every whole line of the buffer; at the end of the input also one without a line feed. */
static bool take_buffer(struct service *s, bool ended)
{
    size_t begin = 0;

    for (;;) {
        const char *line = s->buffer + begin;
        const char *feed = memchr(line, '\n', s->used - begin);
        if (feed == NULL && s->used - begin > LINE_MAX_BYTES) {
            (void)snprintf(s->err.message, sizeof s->err.message, "a line is too long");
            return false;
        }
        if (feed == NULL && (!ended || begin == s->used))
            break;
        const size_t size = feed == NULL ? s->used - begin : (size_t)(feed - line);
        if (!take_line(s, line, size))
            return false;
        begin += size + (feed != NULL);
    }
    memmove(s->buffer, s->buffer + begin, s->used - begin);
    s->used -= begin;
    return true;
}

static bool run(struct service *s)
{
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, s->buffer + s->used, sizeof s->buffer - s->used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)snprintf(s->err.message, sizeof s->err.message, "stdin cannot be read");
            return false;
        }
        s->used += (size_t)n;
        /* What has come is made durable before more is waited for. */
        if (!take_buffer(s, n == 0) || !commit(s))
            return false;
        if (n == 0)
            return true;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: ingest STORE < lines of user,ts,value\n");
        return 2;
    }
    struct service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return 3;
    const bool good = open_service(s, argv[1]) && run(s);
    if (!good)
        (void)fprintf(stderr, "ingest: %s\n",
                      s->err.message[0] != '\0' ? s->err.message : "stdout cannot be written");
    else
        (void)fprintf(stderr, "%" PRIu64 " lines, %" PRIu64 " refused\n", s->line, s->refused);
    varve_batch_free(s->batch);
    varve_close(s->store);
    const bool refused = s->refused > 0;
    free(s);
    return good && !refused ? 0 : 3;
}
