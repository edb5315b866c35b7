/*
 * stats_command.c - `varve stats STORE [--json]`.
 */
#include <inttypes.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "tools/varve/command.h"

enum {
    OPTION_JSON,
};

static const struct tool_option options[] = {
    [OPTION_JSON] = {"json", NULL, "one JSON object with every counter"},
    {NULL, NULL, NULL},
};

static const struct tool_usage usage = {
    .synopsis = "STORE [OPTIONS]",
    .about = "Print what a store holds and what it has done since it was opened by this command.\n"
             "Works on a store that another process is writing to.",
    .options = options,
    .opens = TOOL_OPENS_READ,
    .operands_min = 1,
    .operands_max = 1,
};

static bool take_option(void *ctx, int option, const char *value)
{
    bool *json = ctx;

    (void)value;
    *json = option == OPTION_JSON;
    return true;
}

static const char *backend_name(uint32_t backend)
{
    return backend == VARVE_IO_URING ? "io_uring" : backend == VARVE_IO_POSIX ? "posix" : "other";
}

struct counter {
    const char *name;
    uint64_t value;
};

#define COUNTERS_MAX 42

static size_t list_counters(const varve_stats *s, struct counter *out)
{
    const struct counter counters[] = {
        {"tables", s->tables},
        {"files", s->files},
        {"file_rows", s->file_rows},
        {"file_bytes", s->file_bytes},
        {"memtable_rows", s->memtable_rows},
        {"memtable_bytes", s->memtable_bytes},
        {"wal_bytes", s->wal_bytes},
        {"wal_segments", s->wal_segments},
        {"lsn_durable", s->lsn_durable},
        {"lsn_committed", s->lsn_committed},
        {"lsn_replay", s->lsn_replay},
        {"recovered_records", s->recovered_records},
        {"cut_lsn", s->cut_lsn},
        {"cut_lsn_end", s->cut_lsn_end},
        {"cut_doubtful", s->cut_doubtful},
        {"rows_written", s->rows_written},
        {"rows_dropped", s->rows_dropped},
        {"batches", s->batches},
        {"batches_repeated", s->batches_repeated},
        {"bytes_given", s->bytes_given},
        {"bytes_log", s->bytes_log},
        {"bytes_prezero", s->bytes_prezero},
        {"bytes_flush", s->bytes_flush},
        {"bytes_manifest", s->bytes_manifest},
        {"syncs", s->syncs},
        {"flushes", s->flushes},
        {"memory_used", s->memory_used},
        {"memory_peak", s->memory_peak},
        {"memory_limit", s->memory_limit},
        {"cache_bytes", s->cache_bytes},
        {"cache_hits", s->cache_hits},
        {"cache_misses", s->cache_misses},
        {"views", s->views},
        {"pinned_bytes", s->pinned_bytes},
        {"stall_us_total", s->stall_us_total},
        {"stall_us_worst", s->stall_us_worst},
        {"clock_suspect", s->clock_suspect},
        {"reserve_bytes", s->reserve_bytes},
        {"reserve_wanted", s->reserve_wanted},
        {"reserve_spent", s->reserve_spent},
        {"flush_failures", s->flush_failures},
        {"repairs", s->repairs},
    };
    const size_t n = sizeof counters / sizeof counters[0];

    _Static_assert(sizeof counters / sizeof counters[0] <= COUNTERS_MAX, "room for every counter");
    memcpy(out, counters, sizeof counters);
    return n;
}

/* ISO 8601, or the integer where there is no such text. */
static size_t format_time(const varve_schema *schema, int64_t time, char *out, size_t size)
{
    uint32_t i = 0;

    while (varve_schema_column(schema, i)->kind != VARVE_TIME_COLUMN)
        i++;
    const varve_column_info *info = varve_schema_column(schema, i);
    const varve_value value = {.type = info->type, .unit = info->unit, .as.i64 = time};
    return varve_value_format(&value, 0, out, size);
}

/* --------------------------------------------------------------------------------------- People */

static void print_bytes(const char *name, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    (void)printf("  %-22s %.*f %s\n", name, unit == 0 ? 0 : 1, value, units[unit]);
}

static void print_table(varve_store *store, const varve_table *table)
{
    const varve_schema *schema = varve_table_schema(table);
    varve_table_stats s = {.struct_size = sizeof s};
    char first[64], last[64];

    varve_table_get_stats(store, table, &s);
    (void)printf("Table %s\n", varve_schema_table_name(schema));
    (void)printf("  %-22s %" PRIu64 " in %" PRIu64 " file%s, %" PRIu64 " in log and memory\n",
                 "rows", s.file_rows, s.files, s.files == 1 ? "" : "s", s.memtable_rows);
    if (s.file_rows + s.memtable_rows > 1 &&
        varve_schema_duplicates(schema) != VARVE_DUPLICATES_KEEP)
        (void)printf("  %-22s (a row that was written again is counted again)\n", "");
    (void)printf("  %-22s at most %" PRIu64 "\n", "partitions", s.partitions);
    if (s.first_time <= s.last_time) {
        const size_t a = format_time(schema, s.first_time, first, sizeof first);
        const size_t b = format_time(schema, s.last_time, last, sizeof last);
        (void)printf("  %-22s %.*s to %.*s\n", "time", (int)a, first, (int)b, last);
    }
    print_bytes("bytes in files", s.file_bytes);
    if (s.file_rows > 0)
        (void)printf("  %-22s %.1f\n", "bytes a row in files",
                     (double)s.file_bytes / (double)s.file_rows);
    print_bytes("bytes in memory", s.memtable_bytes);
}

/* What is missing has been said on stderr with all there is to say; here so that a look at the rows and
 * bytes below does not deceive. */
static void print_finding(void *ctx, varve_finding kind, const varve_error *detail)
{
    (void)ctx;
    switch (kind) {
    case VARVE_FOUND_CUT:
        (void)printf("  %-22s log range %" PRIu64 " to %" PRIu64 " in %s\n", "to be cut away",
                     detail->lsn, detail->lsn_end, detail->file);
        break;
    case VARVE_FOUND_KEPT:
        (void)printf("  %-22s log range %" PRIu64 " to %" PRIu64 ", kept aside in %s\n",
                     "cut away earlier", detail->lsn, detail->lsn_end, detail->file);
        break;
    case VARVE_FOUND_MISSING:
        (void)printf("  %-22s the log from %" PRIu64 " on, damaged in %s\n", "missing", detail->lsn,
                     detail->file);
        break;
    }
}

static void print_store(varve_store *store, const varve_stats *s)
{
    (void)printf("Store\n");
    if (s->failed != 0)
        (void)printf("  %-22s %s\n", "FAILED", varve_status_text((varve_status)(int32_t)s->failed));
    (void)printf("  %-22s %" PRIu32 "\n", "tables", s->tables);
    (void)printf("  %-22s %" PRIu32 "\n", "files", s->files);
    print_bytes("bytes in files", s->file_bytes);
    print_bytes("log", s->wal_bytes);
    if (s->reserve_spent != 0)
        (void)printf("  %-22s used: nothing is taken in until there is room for it again\n",
                     "reserve");
    else
        print_bytes("reserve", s->reserve_bytes);
    (void)printf("  %-22s %" PRIu64 " at open\n", "log records replayed", s->recovered_records);
    varve_open_findings(store, print_finding, NULL);
    print_bytes("memory", s->memory_used);
    print_bytes("memory limit", s->memory_limit);
    (void)printf("  %-22s %s\n", "I/O", backend_name(s->io_backend));
    if (s->repairs != 0)
        (void)printf("  %-22s %" PRIu64 ", of damage that was made good: see varve verify\n",
                     "repairs", s->repairs);
    if (s->clock_suspect != 0)
        (void)printf("  %-22s the clock moved too far to be believed\n", "clock");
    for (uint32_t i = 0;; i++) {
        const varve_table *table = varve_table_at(store, i);
        if (table == NULL)
            break;
        print_table(store, table);
    }
}

/* ----------------------------------------------------------------------------------------- JSON */

static void json_key(yajl_gen json, const char *key)
{
    (void)yajl_gen_string(json, (const unsigned char *)key, strlen(key));
}

/* Numbers as text: yajl's own integers end at 63 bits. */
static void json_counter(yajl_gen json, const char *key, uint64_t value)
{
    char text[24];
    const int size = snprintf(text, sizeof text, "%" PRIu64, value);

    json_key(json, key);
    (void)yajl_gen_number(json, text, (size_t)size);
}

static void json_text(yajl_gen json, const char *key, const char *text, size_t size)
{
    json_key(json, key);
    (void)yajl_gen_string(json, (const unsigned char *)text, size);
}

static void json_status(yajl_gen json, const char *key, varve_status status)
{
    const char *name = varve_status_name(status);

    if (status != VARVE_OK) {
        json_text(json, key, name, strlen(name));
        return;
    }
    json_key(json, key);
    (void)yajl_gen_null(json);
}

static void json_table(yajl_gen json, varve_store *store, const varve_table *table)
{
    const varve_schema *schema = varve_table_schema(table);
    const char *name = varve_schema_table_name(schema);
    varve_table_stats s = {.struct_size = sizeof s};
    char text[64];

    varve_table_get_stats(store, table, &s);
    (void)yajl_gen_map_open(json);
    json_text(json, "name", name, strlen(name));
    json_counter(json, "partitions", s.partitions);
    json_counter(json, "file_rows", s.file_rows);
    json_counter(json, "file_bytes", s.file_bytes);
    json_counter(json, "files", s.files);
    json_counter(json, "memtable_rows", s.memtable_rows);
    json_counter(json, "memtable_bytes", s.memtable_bytes);
    json_counter(json, "memtable_partitions", s.memtable_partitions);
    json_counter(json, "flushed_lsn", s.flushed_lsn);
    if (s.first_time <= s.last_time) {
        json_text(json, "first_time", text, format_time(schema, s.first_time, text, sizeof text));
        json_text(json, "last_time", text, format_time(schema, s.last_time, text, sizeof text));
    }
    (void)yajl_gen_map_close(json);
}

static void json_finding(void *ctx, varve_finding kind, const varve_error *detail)
{
    static const char *const kinds[] = {
        [VARVE_FOUND_CUT] = "cut", [VARVE_FOUND_KEPT] = "kept", [VARVE_FOUND_MISSING] = "missing"};
    yajl_gen json = ctx;

    (void)yajl_gen_map_open(json);
    json_text(json, "kind", kinds[kind], strlen(kinds[kind]));
    json_text(json, "message", detail->message, strlen(detail->message));
    json_text(json, "file", detail->file, strlen(detail->file));
    if (detail->offset != UINT64_MAX)
        json_counter(json, "offset", detail->offset);
    json_counter(json, "lsn", detail->lsn);
    json_counter(json, "lsn_end", detail->lsn_end);
    (void)yajl_gen_map_close(json);
}

static void print_json(void *ctx, const char *text, size_t size)
{
    (void)ctx;
    (void)fwrite(text, 1, size, stdout);
}

static int json_store(varve_store *store, const varve_stats *s)
{
    struct counter counters[COUNTERS_MAX];
    yajl_gen json = yajl_gen_alloc(NULL);
    const size_t n = list_counters(s, counters);
    const char *backend = backend_name(s->io_backend);

    if (json == NULL) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    (void)yajl_gen_config(json, yajl_gen_beautify, 1);
    (void)yajl_gen_config(json, yajl_gen_print_callback, print_json, NULL);
    (void)yajl_gen_map_open(json);
    json_text(json, "io_backend", backend, strlen(backend));
    json_status(json, "failed", (varve_status)(int32_t)s->failed);
    json_status(json, "flush_status", (varve_status)s->flush_status);
    for (size_t i = 0; i < n; i++)
        json_counter(json, counters[i].name, counters[i].value);
    json_key(json, "findings");
    (void)yajl_gen_array_open(json);
    varve_open_findings(store, json_finding, json);
    (void)yajl_gen_array_close(json);
    json_key(json, "table_list");
    (void)yajl_gen_array_open(json);
    for (uint32_t i = 0; varve_table_at(store, i) != NULL; i++)
        json_table(json, store, varve_table_at(store, i));
    (void)yajl_gen_array_close(json);
    (void)yajl_gen_map_close(json);
    yajl_gen_free(json);
    return TOOL_OK;
}

int command_stats(int argc, char **argv)
{
    struct tool_opening opening = {.memory = 0};
    bool json = false;
    int first;
    varve_store *store;
    varve_stats s = {.struct_size = sizeof s};
    int code = tool_options_parse(argc, argv, &usage, take_option, &json, &opening, &first);

    if (code >= 0)
        return code;
    code = tool_open_store(argv[first], 0, &opening, &store);
    if (code != TOOL_OK)
        return code;
    varve_get_stats(store, &s);
    if (json)
        code = json_store(store, &s);
    else
        print_store(store, &s);
    varve_close(store);
    return tool_opening_code(&opening, code);
}
