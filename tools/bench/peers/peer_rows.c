/*
 * peer_rows.c - see peer_rows.h.
 */
#include "tools/bench/peers/peer_rows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool complain(const char *folder, const char *name)
{
    (void)fprintf(stderr, "%s: %s is missing or malformed\n", folder, name);
    return false;
}

/* Map `name`.`ending`; `size` receives its bytes. NULL: it is absent or empty. */
static void *map_file(const char *folder, const char *name, const char *ending, size_t *ret_size)
{
    char path[4096];
    struct stat st;
    void *bytes = MAP_FAILED;

    if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending) >= (int)sizeof path)
        return NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && st.st_size > 0)
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (bytes == MAP_FAILED)
        return NULL;
    *ret_size = (size_t)st.st_size;
    return bytes;
}

static const void *map_column(const struct peer_rows *rows, const char *folder, const char *name,
                              const char *ending, size_t width)
{
    size_t size = 0;
    const void *values = map_file(folder, name, ending, &size);

    return size == rows->rows * width ? values : NULL;
}

/* Lines become terminated strings. */
static bool read_names(const char *folder, const char *column, struct peer_names *names)
{
    size_t size = 0;
    const char *text = map_file(folder, column, "txt", &size);

    if (text == NULL || text[size - 1] != '\n' || size > UINT32_MAX)
        return complain(folder, column);
    for (size_t i = 0; i < size; i++)
        names->n += text[i] == '\n';
    names->bytes = malloc(size);
    names->offsets = calloc((size_t)names->n + 1, sizeof *names->offsets);
    if (names->bytes == NULL || names->offsets == NULL)
        return complain(folder, "memory");
    uint32_t n = 0;
    for (size_t i = 0; i < size; i++) {
        names->bytes[i] = text[i] == '\n' ? '\0' : text[i];
        if (text[i] == '\n')
            names->offsets[++n] = (uint32_t)i + 1;
    }
    (void)munmap((void *)(uintptr_t)text, size);
    return true;
}

static bool map_value_column(struct peer_rows *rows, const char *folder, struct peer_column *column)
{
    switch (column->type) {
    case PEER_REAL:
        column->values.reals = map_column(rows, folder, column->name, "f64", sizeof(double));
        return column->values.reals != NULL;
    case PEER_INT:
        column->values.ints = map_column(rows, folder, column->name, "i32", sizeof(int32_t));
        return column->values.ints != NULL;
    case PEER_TEXT:
        column->values.codes = map_column(rows, folder, column->name, "u32", sizeof(uint32_t));
        return column->values.codes != NULL && read_names(folder, column->name, &column->names);
    default:
        return false;
    }
}

/* "NAME TYPE" or "NAME TYPE key". */
static bool parse_column(struct peer_rows *rows, char *text)
{
    struct peer_column *column = &rows->columns[rows->n_columns];
    char *rest = text;
    const char *name = strsep(&rest, " ");
    const char *type = strsep(&rest, " ");
    const char *key = strsep(&rest, " ");

    if (rows->n_columns == PEER_COLUMNS_MAX || type == NULL || strlen(name) >= sizeof column->name)
        return false;
    memcpy(column->name, name, strlen(name) + 1);
    column->type = strcmp(type, "f64") == 0   ? PEER_REAL
                   : strcmp(type, "i32") == 0 ? PEER_INT
                                              : PEER_TEXT;
    column->key = key != NULL;
    rows->n_columns++;
    return true;
}

static bool parse_line(struct peer_rows *rows, char *line, char measured[32])
{
    char *value = strchr(line, ' ');

    if (value == NULL)
        return false;
    *value++ = '\0';
    if (strcmp(line, "set") == 0)
        return snprintf(rows->set, sizeof rows->set, "%s", value) < (int)sizeof rows->set;
    if (strcmp(line, "measured") == 0)
        return snprintf(measured, 32, "%s", value) < 32;
    if (strcmp(line, "column") == 0)
        return parse_column(rows, value);
    if (strcmp(line, "rows") == 0)
        rows->rows = strtoull(value, NULL, 10);
    else if (strcmp(line, "given") == 0)
        rows->given = strtoull(value, NULL, 10);
    else if (strcmp(line, "first") == 0)
        rows->first_ms = strtoll(value, NULL, 10);
    else if (strcmp(line, "last") == 0)
        rows->last_ms = strtoll(value, NULL, 10);
    return true;
}

static FILE *open_text(const char *folder, const char *name)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/%s.txt", folder, name) >= (int)sizeof path)
        return NULL;
    return fopen(path, "re");
}

static bool read_meta(struct peer_rows *rows, const char *folder)
{
    FILE *file = open_text(folder, "meta");
    char line[256], measured[32] = "";
    bool ok = file != NULL;

    while (ok && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        ok = parse_line(rows, line, measured);
    }
    if (file != NULL)
        (void)fclose(file);
    while (rows->measured < rows->n_columns &&
           strcmp(rows->columns[rows->measured].name, measured) != 0)
        rows->measured++;
    ok = ok && rows->rows > 0 && rows->measured < rows->n_columns &&
         rows->columns[rows->measured].type == PEER_REAL;
    return ok ? true : complain(folder, "meta.txt");
}

static bool parse_slice(const char *line, uint32_t partitions, struct peer_slice *ret_slice)
{
    char *end;
    const uint64_t partition = strtoull(line, &end, 10);

    ret_slice->partition = (uint32_t)partition;
    ret_slice->from = strtoll(end, &end, 10);
    ret_slice->to = strtoll(end, &end, 10);
    return partition < partitions && ret_slice->to > ret_slice->from;
}

static bool read_slices(struct peer_rows *rows, const char *folder)
{
    FILE *file = open_text(folder, "slices");
    char line[128];
    uint32_t capacity = 0;
    bool ok = file != NULL;

    while (ok && fgets(line, sizeof line, file) != NULL) {
        if (rows->n_slices == capacity) {
            capacity = capacity == 0 ? 1024 : 2 * capacity;
            struct peer_slice *slices = realloc(rows->slices, capacity * sizeof *slices);
            if (slices == NULL)
                break;
            rows->slices = slices;
        }
        ok = parse_slice(line, rows->names.n, &rows->slices[rows->n_slices++]);
    }
    if (file != NULL)
        (void)fclose(file);
    return ok && rows->n_slices > 0 ? true : complain(folder, "slices.txt");
}

bool peer_rows_open(struct peer_rows *rows, const char *folder)
{
    memset(rows, 0, sizeof *rows);
    if (!read_meta(rows, folder) || !read_names(folder, "name", &rows->names) ||
        !read_slices(rows, folder))
        return false;
    rows->partitions = map_column(rows, folder, "name", "u32", sizeof(uint32_t));
    rows->ts_ms = map_column(rows, folder, "ts", "i64", sizeof(int64_t));
    if (rows->partitions == NULL || rows->ts_ms == NULL)
        return complain(folder, "name.u32 or ts.i64");
    for (uint32_t i = 0; i < rows->n_columns; i++)
        if (!map_value_column(rows, folder, &rows->columns[i]))
            return complain(folder, rows->columns[i].name);
    return true;
}

static void free_names(struct peer_names *names)
{
    free(names->bytes);
    free(names->offsets);
}

void peer_rows_close(struct peer_rows *rows)
{
    free_names(&rows->names);
    for (uint32_t i = 0; i < rows->n_columns; i++)
        free_names(&rows->columns[i].names);
    free(rows->slices);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

bool peer_order_by_partition(struct peer_order *order, const struct peer_rows *rows, uint64_t first,
                             uint64_t n)
{
    if (n > order->capacity) {
        uint64_t *grown = n <= UINT32_MAX ? realloc(order->rows, n * sizeof *grown) : NULL;
        if (grown == NULL) {
            perror("order of a commit");
            return false;
        }
        order->rows = grown;
        order->capacity = n;
    }
    for (uint64_t i = 0; i < n; i++)
        order->rows[i] = (uint64_t)rows->partitions[first + i] << 32 | i;
    qsort(order->rows, n, sizeof *order->rows, compare_u64);
    for (uint64_t i = 0; i < n; i++)
        order->rows[i] = first + (order->rows[i] & UINT32_MAX);
    return true;
}

void peer_order_free(struct peer_order *order)
{
    free(order->rows);
}
